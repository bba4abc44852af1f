import { useMemo } from "preact/hooks";
import { type GraphNode, graphOf } from "./graph";
import type { Definition } from "./text";

const WIDTH = 168;
const HEIGHT = 56;
const GAP_X = 28;
const GAP_Y = 44;

interface Props {
  definition: Definition;
  /** Nodes with a problem. */
  wrong: Set<string>;
  onChoose: (node: string) => void;
}

export function GraphView({ definition, wrong, onChoose }: Props) {
  const graph = useMemo(() => graphOf(definition), [definition]);
  const at = useMemo(() => new Map(graph.nodes.map((node) => [node.name, node])), [graph]);
  const x = (node: GraphNode) => 12 + node.place * (WIDTH + GAP_X);
  const y = (node: GraphNode) => 12 + node.layer * (HEIGHT + GAP_Y);
  const width = graph.widest * (WIDTH + GAP_X) + 40;
  const height = graph.layers * (HEIGHT + GAP_Y);
  return (
    <div class="graph" tabIndex={0} role="region" aria-label="Graph of the workflow">
      <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="group" aria-label={`${graph.nodes.length} nodes`}>
        <defs>
          <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
            <path d="M0 0 8 4 0 8z" class="arrow" />
          </marker>
        </defs>
        {graph.edges.map(({ from, to, label }, index) => {
          const start = at.get(from);
          const end = at.get(to);
          if (!start || !end) return null;
          const down = end.layer > start.layer;
          const x1 = x(start) + (down ? WIDTH / 2 : WIDTH);
          const y1 = y(start) + (down ? HEIGHT : HEIGHT / 2);
          const x2 = x(end) + (down ? WIDTH / 2 : WIDTH);
          const y2 = y(end) + (down ? 0 : HEIGHT / 2);
          const path = down
            ? `M${x1} ${y1}C${x1} ${y1 + GAP_Y / 2} ${x2} ${y2 - GAP_Y / 2} ${x2} ${y2}`
            : `M${x1} ${y1}C${x1 + 36} ${y1} ${x2 + 36} ${y2} ${x2} ${y2}`;
          return (
            <g key={index} class={`edge ${/error|failure|fallback|^no$/.test(label) ? "other" : ""}`}>
              <path d={path} marker-end="url(#arrow)">
                <title>{`${from} to ${to}${label ? ` (${label})` : ""}`}</title>
              </path>
            </g>
          );
        })}
        {graph.nodes.map((node) => (
          <g
            key={node.name}
            class={`node ${wrong.has(node.name) || !node.known ? "wrong" : ""}`}
            transform={`translate(${x(node)} ${y(node)})`}
            role="button"
            tabIndex={0}
            aria-label={`${clip(node.name, 16)} ${node.type} ${clip(node.text, 25)}${wrong.has(node.name) ? ", has a problem" : ""}`}
            onClick={() => onChoose(node.name)}
            onKeyDown={(event) => {
              if (event.key !== "Enter" && event.key !== " ") return;
              event.preventDefault();
              onChoose(node.name);
            }}
          >
            <rect width={WIDTH} height={HEIGHT} rx="6" />
            <text x="10" y="20" class="name">{clip(node.name, 16)}</text>{" "}
            <text x={WIDTH - 10} y="20" class="type" text-anchor="end">{node.type}</text>{" "}
            <text x="10" y="41" class="said">{clip(node.text, 25)}</text>
          </g>
        ))}
      </svg>
    </div>
  );
}

const clip = (text: string, most: number) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
