// From the caller's last sound to the agent's first, span by span, as measured in the call.

import type { Turn, TurnTimings } from "../api/calls";
import { duration, milliseconds } from "../ui/format";
import { Empty } from "../ui/parts";

type Span = Exclude<keyof TurnTimings, "voice_to_voice" | "stt_ttfs">;

const SPANS: [span: Span, title: string, kind: string][] = [
  ["vad_lag", "end of speech seen", "speech"],
  ["endpoint_wait", "wait for more", "wait"],
  ["dispatch", "request", "model"],
  ["llm_ttft", "first token", "model"],
  ["chunking", "first sentence", "model"],
  ["tts_ttfb", "first audio of the voice", "voice"],
  ["lead_silence", "silence before the first sound", "voice"],
  ["gate_hold", "held back", "out"],
  ["out_queue", "to the wire", "out"],
  ["carrier", "on the way", "out"],
];

const LEGEND: [kind: string, title: string][] = [
  ["speech", "end of speech"],
  ["wait", "end of turn"],
  ["model", "model or workflow"],
  ["voice", "voice"],
  ["out", "sending"],
];

export function Waterfall({ turns }: { turns: Turn[] }) {
  const timed = turns.flatMap((turn) => (turn.timings ? [{ turn, timings: turn.timings }] : []));
  if (!timed.length) return <Empty title="No answered turn was timed." />;
  const longest = Math.max(1, ...timed.map(({ timings }) => timings.voice_to_voice));
  const share = (us: number) => `${(Math.max(0, us) / longest) * 100}%`;
  return (
    <>
      <ul class="legend">
        {LEGEND.map(([kind, title]) => (
          <li key={kind}>
            <i class={`span ${kind}`} /> {title}
          </li>
        ))}
      </ul>
      <div class="scroll" tabIndex={0} role="region" aria-labelledby="latency">
        <table class="waterfall">
          <thead>
            <tr>
              <th scope="col">At</th>
              <th scope="col">Spans</th>
              <th scope="col" class="number">Total</th>
            </tr>
          </thead>
          <tbody>
            {timed.map(({ turn, timings }, index) => (
              <tr key={index}>
                <th scope="row">{duration(turn.start_ms)}</th>
                <td>
                  <div class="bar-line" role="img" aria-label={describe(timings)}>
                    {SPANS.map(([span, title, kind]) =>
                      timings[span] > 0 ? (
                        <i key={span} class={`span ${kind}`} style={{ width: share(timings[span]) }} title={`${title}: ${milliseconds(timings[span])}`} />
                      ) : null,
                    )}
                  </div>
                  <details>
                    <summary>Details</summary>
                    <dl class="spans">
                      {SPANS.map(([span, title, kind]) => (
                        <div key={span}>
                          <dt><i class={`span ${kind}`} /> {title}</dt>
                          <dd>{milliseconds(timings[span])}</dd>
                        </div>
                      ))}
                      {timings.stt_ttfs !== null && (
                        <div>
                          <dt>final text, within the wait</dt>
                          <dd>{milliseconds(timings.stt_ttfs)}</dd>
                        </div>
                      )}
                    </dl>
                  </details>
                </td>
                <td class="number">{milliseconds(timings.voice_to_voice)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

function describe(timings: TurnTimings): string {
  return SPANS.filter(([span]) => timings[span] > 0)
    .map(([span, title]) => `${title} ${milliseconds(timings[span])}`)
    .join(", ");
}
