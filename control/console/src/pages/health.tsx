// How the server fares: readiness, and the metrics it gives to Prometheus.

import { useEffect, useState } from "preact/hooks";
import { requestRaw } from "../api/client";
import { useLoad } from "../ui/load";
import { Await, Badge, Empty, Facts, Field, Page } from "../ui/parts";
import { type Family, histogramQuantile, parseMetrics } from "./metrics";

const EVERY_MS = 5_000;

interface Readiness {
  ready: boolean;
  reasons: string[];
}

/** Not being ready is an answer too. */
async function readiness(): Promise<Readiness> {
  const response = await fetch("/ready");
  return (await response.json()) as Readiness;
}

async function metrics(): Promise<Family[]> {
  return parseMetrics(await (await requestRaw("/metrics")).text());
}

export function HealthPage() {
  const ready = useLoad(readiness, []);
  const families = useLoad(metrics, []);
  useEffect(() => {
    const timer = setInterval(() => {
      if (document.hidden) return;
      ready.reload();
      families.reload();
    }, EVERY_MS);
    return () => clearInterval(timer);
  }, [ready.reload, families.reload]);
  return (
    <Page title="System health">
      <Await of={ready}>
        {({ ready: fine, reasons }) => (
          <p class="readiness">
            <Badge kind={fine ? "good" : "bad"}>{fine ? "ready for calls" : "not ready"}</Badge> {reasons.join(", ")}
          </p>
        )}
      </Await>
      <Await of={families}>{(list) => <Metrics families={list} />}</Await>
    </Page>
  );
}

function Metrics({ families }: { families: Family[] }) {
  const [search, setSearch] = useState("");
  const value = (name: string) => {
    const samples = families.find((family) => family.name === name)?.samples ?? [];
    return samples.length ? samples.reduce((sum, sample) => sum + sample.value, 0).toLocaleString() : "–";
  };
  const latency = (share: number) => {
    const family = families.find((one) => one.name === "samvad_turn_latency_seconds");
    const whole = family?.samples.filter(({ labels }) => labels["span"] === "voice_to_voice");
    const seconds = whole && histogramQuantile(whole, share);
    return seconds === undefined ? "–" : `${Math.round(seconds * 1000)} ms`;
  };
  const found = families.filter(({ name, help }) => `${name} ${help}`.toLowerCase().includes(search.toLowerCase()));
  return (
    <>
      <Facts
        of={[
          ["Calls on the line", value("samvad_calls_active")],
          ["Calls since the start", value("samvad_calls_total")],
          ["Voice to voice, median", latency(0.5)],
          ["Voice to voice, 95th of 100", latency(0.95)],
          ["Provider faults", value("samvad_provider_faults_total")],
          ["Writes that wait", value("samvad_store_queue")],
        ]}
      />
      <div class="filters">
        <Field label="Search metrics"><input type="search" value={search} onInput={(event) => setSearch(event.currentTarget.value)} /></Field>
        <p class="count" role="status">{found.length} of {families.length}</p>
      </div>
      {found.length === 0 ? (
        <Empty title="No metric fits." />
      ) : (
        <ul class="metrics">
          {found.map((family) => (
            <li key={family.name}>
              <details>
                <summary><code>{family.name}</code> <span class="quiet">{family.help}</span></summary>
                <pre tabIndex={0}>{family.lines.join("\n")}</pre>
              </details>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
