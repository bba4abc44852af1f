// A workflow as text: TOML as in the documentation, or JSON; and where in it a problem lies.

import { TomlError, parse, stringify } from "smol-toml";

export interface TextProblem {
  /** Counts from 1; absent when the place is not in the text. */
  line?: number;
  path: string;
  message: string;
}

export type Definition = Record<string, unknown>;

export function write(definition: Definition): string {
  return `${stringify(definition).trim()}\n`;
}

export function read(text: string): { definition: Definition } | { problem: TextProblem } {
  const json = text.trimStart().startsWith("{");
  try {
    const definition: unknown = json ? JSON.parse(text) : parse(text);
    if (typeof definition !== "object" || definition === null) throw new Error("a workflow is a table");
    return { definition: definition as Definition };
  } catch (failed) {
    if (failed instanceof TomlError) {
      const message = failed.message.split("\n")[0] ?? "";
      return { problem: { line: failed.line, path: "", message } };
    }
    return { problem: { path: "", message: (failed as Error).message } };
  }
}

/** The line of `definition.nodes.welcome.next`: the table's heading, then the key below it. */
export function lineOf(text: string, path: string): number | undefined {
  const parts = path.replace(/^definition\.?/, "").split(".").filter(Boolean);
  const lines = text.split("\n");
  for (let depth = parts.length; depth > 0; depth -= 1) {
    const table = parts.slice(0, depth);
    const heading = findHeading(lines, table);
    if (heading === undefined) continue;
    const key = parts[depth]?.replace(/\[\d+\]$/, "");
    if (!key) return heading + 1;
    for (let line = heading + 1; line < lines.length && !/^\s*\[/.test(lines[line] ?? ""); line += 1) {
      if (startsWithKey(lines[line], key)) return line + 1;
    }
    return heading + 1;
  }
  const top = parts[0];
  const found = top ? lines.findIndex((line) => startsWithKey(line, top)) : -1;
  return found >= 0 ? found + 1 : undefined;
}

/** Line of `[a.b]`, or of the n-th `[[a]]` for `a[n]`. */
function findHeading(lines: string[], table: string[]): number | undefined {
  const last = table[table.length - 1] ?? "";
  const counted = /^(.*)\[(\d+)\]$/.exec(last);
  const name = [...table.slice(0, -1), counted?.[1] ?? last].join(".");
  let left = Number(counted?.[2] ?? 0);
  for (const [index, line] of lines.entries()) {
    const text = line.trim().replaceAll('"', "");
    if (text === (counted ? `[[${name}]]` : `[${name}]`)) {
      if (left === 0) return index;
      left -= 1;
    }
  }
  return undefined;
}

const startsWithKey = (line: string | undefined, key: string) =>
  line?.trimStart().startsWith(`${key} `) || line?.trimStart().startsWith(`${key}=`);
