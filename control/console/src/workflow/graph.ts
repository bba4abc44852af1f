// The nodes of a workflow and where they lead, laid out in layers from the start.

import type { Definition } from "./text";

export interface GraphNode {
  name: string;
  type: string;
  text: string;
  layer: number;
  place: number;
  known: boolean;
}

export interface GraphEdge {
  from: string;
  to: string;
  label: string;
}

export interface Graph {
  nodes: GraphNode[];
  edges: GraphEdge[];
  layers: number;
  widest: number;
}

type Table = Record<string, unknown>;

const table = (value: unknown): Table => (typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Table) : {});
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

/** Keys of nodes that name another node. */
const TARGETS = ["next", "yes", "no", "changed", "goto", "otherwise", "on_error", "on_failure", "fallback"];

export function graphOf(definition: Definition): Graph {
  const nodes = table(definition["nodes"]);
  const edges: GraphEdge[] = [];
  for (const [from, value] of Object.entries(nodes)) {
    const node = table(value);
    for (const key of TARGETS) {
      const to = node[key];
      if (typeof to === "string" && !to.startsWith("@")) edges.push({ from, to, label: key === "next" || key === "goto" ? "" : key.replace("on_", "") });
    }
    for (const entry of list(node["cases"])) {
      const one = table(entry);
      if (typeof one["goto"] === "string") edges.push({ from, to: one["goto"], label: String(one["is"] ?? one["of"] ?? "") });
    }
  }
  const layers = layersFrom(String(definition["start"] ?? ""), Object.keys(nodes), edges);
  const filled = new Map<number, number>();
  const placed: GraphNode[] = [...layers].map(([name, layer]) => {
    const place = filled.get(layer) ?? 0;
    filled.set(layer, place + 1);
    const node = table(nodes[name]);
    const said = list(node["say"] ?? node["ask"])[0];
    return {
      name,
      type: String(node["type"] ?? "missing"),
      text: typeof said === "string" ? said : typeof node["tool"] === "string" ? node["tool"] : "",
      layer,
      place,
      known: name in nodes,
    };
  });
  return { nodes: placed, edges, layers: Math.max(0, ...filled.keys()) + 1, widest: Math.max(1, ...filled.values()) };
}

/** Distance of each node from the start; what nothing leads to comes last. */
function layersFrom(start: string, names: string[], edges: GraphEdge[]): Map<string, number> {
  const layers = new Map<string, number>();
  const leadsTo = new Map<string, string[]>();
  for (const { from, to } of edges) leadsTo.set(from, [...(leadsTo.get(from) ?? []), to]);
  let reached = start ? [start] : [];
  for (let layer = 0; reached.length > 0; layer += 1) {
    const next: string[] = [];
    for (const name of reached) {
      if (layers.has(name)) continue;
      layers.set(name, layer);
      next.push(...(leadsTo.get(name) ?? []));
    }
    reached = next;
  }
  const last = Math.max(-1, ...layers.values()) + 1;
  for (const name of [...names, ...edges.map(({ to }) => to)]) if (!layers.has(name)) layers.set(name, last);
  return layers;
}
