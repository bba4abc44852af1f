// What happened in a call beside the words: tools, overlaps, keys, faults.

import type { CallEvent } from "../api/calls";
import { duration, words } from "../ui/format";
import { Empty } from "../ui/parts";

/** These are shown elsewhere, or change too often to be read. */
const LEFT_OUT = new Set(["turn", "caller_partial", "state", "closed"]);

export function Events({ events, began }: { events: CallEvent[]; began: string }) {
  const shown = events.filter((event) => !LEFT_OUT.has(event.type));
  if (!shown.length) return <Empty title="Nothing but speech." />;
  const start = new Date(began).getTime();
  return (
    <ol class="events">
      {shown.map((event, index) => (
        <li key={event.number ?? `live-${index}`} class={event["is_error"] === true || event.type === "provider_fault" ? "bad" : ""}>
          <span class="time">{duration(new Date(event.at).getTime() - start)}</span>
          <span class="strong">{words(event.type)}</span>
          <Content event={event} />
        </li>
      ))}
    </ol>
  );
}

function Content({ event }: { event: CallEvent }) {
  const { number: _number, at: _at, type, ...rest } = event;
  if (type === "tool") {
    const took = rest["duration_ms"];
    return (
      <details>
        <summary>
          {String(rest["name"])} {rest["is_error"] === true && "failed"}
          {typeof took === "number" && <span class="quiet"> {took} ms</span>}
        </summary>
        <pre tabIndex={0}>{pretty(rest["arguments"])}</pre>
        <pre tabIndex={0}>{pretty(rest["result"])}</pre>
      </details>
    );
  }
  const text = Object.entries(rest)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${words(name)} ${typeof value === "object" ? JSON.stringify(value) : String(value)}`)
    .join(", ");
  return <span>{text}</span>;
}

/** Arguments and results are JSON, sometimes as text. */
function pretty(value: unknown): string {
  if (typeof value === "string") {
    try {
      return JSON.stringify(JSON.parse(value), null, 2);
    } catch {
      return value;
    }
  }
  return JSON.stringify(value, null, 2) ?? "";
}
