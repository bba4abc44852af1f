// Prometheus' text format 0.0.4, as far as the page shows it.

export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

export interface Family {
  name: string;
  help: string;
  type: string;
  samples: Sample[];
  lines: string[];
}

export function parseMetrics(text: string): Family[] {
  const families = new Map<string, Family>();
  const family = (name: string) => {
    let found = families.get(name);
    if (!found) {
      found = { name, help: "", type: "untyped", samples: [], lines: [] };
      families.set(name, found);
    }
    return found;
  };
  for (const line of text.split("\n")) {
    const comment = /^# (HELP|TYPE) (\S+) ?(.*)$/.exec(line);
    if (comment) {
      const [, kind, name = "", rest = ""] = comment;
      if (kind === "HELP") family(name).help = rest;
      else family(name).type = rest;
      continue;
    }
    const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!sample) continue;
    const [, name = "", labels = "", value] = sample;
    const base = name.replace(/_(bucket|sum|count)$/, "");
    const owner = families.get(base)?.type === "histogram" ? family(base) : family(name);
    owner.lines.push(line);
    owner.samples.push({
      name,
      labels: Object.fromEntries([...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key = "", text = ""]) => [key, text])),
      value: Number(value),
    });
  }
  return [...families.values()];
}

/** A quantile by linear interpolation within its bucket, as Prometheus' `histogram_quantile` has it. */
export function histogramQuantile(samples: Sample[], share: number): number | undefined {
  const counts = new Map<number, number>();
  for (const { name, labels, value } of samples) {
    if (!name.endsWith("_bucket")) continue;
    const bound = labels["le"] === "+Inf" ? Infinity : Number(labels["le"]);
    counts.set(bound, (counts.get(bound) ?? 0) + value);
  }
  const buckets = [...counts].sort(([a], [b]) => a - b);
  const total = buckets[buckets.length - 1]?.[1] ?? 0;
  if (total === 0) return undefined;
  const rank = share * total;
  let below = 0;
  let lower = 0;
  for (const [bound, count] of buckets) {
    if (count >= rank) return bound === Infinity ? lower : lower + ((bound - lower) * (rank - below)) / Math.max(1, count - below);
    below = count;
    lower = bound;
  }
  return lower;
}
