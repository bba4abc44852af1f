// One call: what was heard and said, when, and why it took as long as it did.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Call, type CallEvent, type Turn, followEvents, hangUp, showCall } from "../api/calls";
import { useAgentNames } from "../api/agents";
import { Events } from "../call/events";
import { Player } from "../call/player";
import { Transcript } from "../call/transcript";
import { Waterfall } from "../call/waterfall";
import { duration, when, words } from "../ui/format";
import { useLoad } from "../ui/load";
import { Await, Facts, OutcomeBadge, Page, Problem } from "../ui/parts";

export function CallPage({ id }: { id: string }) {
  const call = useLoad(() => showCall(id), [id]);
  const active = call.data?.status === "active";
  return (
    <Page
      title="Call"
      actions={
        active && (
          <button class="danger" type="button" onClick={() => void hangUp(id).finally(call.reload)}>
            Hang up
          </button>
        )
      }
    >
      <Await of={call}>{(data) => <Detail call={data} reload={call.reload} />}</Await>
    </Page>
  );
}

function Detail({ call, reload }: { call: Call; reload: () => void }) {
  const agents = useAgentNames();
  const [events, setEvents] = useState<CallEvent[]>([]);
  const [problem, setProblem] = useState<Error>();
  const [position, setPosition] = useState(0);
  const seek = useRef<(ms: number) => void>(() => {});
  const live = call.status === "active";

  useEffect(() => {
    const stop = new AbortController();
    setEvents([]);
    const tell = (more: CallEvent[]) => setEvents((old) => [...old, ...more]);
    followEvents(call.id, live, tell, stop.signal).then(
      () => !stop.signal.aborted && live && reload(),
      (failed: Error) => setProblem(failed),
    );
    return () => stop.abort();
  }, [call.id, live]);

  const turns = useMemo(() => (live ? liveTurns(events) : call.turns), [live, call.turns, events]);
  const partial = live ? lastPartial(events) : undefined;
  return (
    <>
      <Facts
        of={[
          ["State", <OutcomeBadge status={call.status} outcome={call.outcome} />],
          ["Agent", agents.get(call.agent_id) ?? call.agent_id],
          ["From", call.caller],
          ["To", call.called],
          ["Began", when(call.started_at)],
          ["Length", duration(call.duration_ms)],
          ["Way", `${call.direction}, ${call.carrier}${call.codec ? `, ${call.codec}` : ""}`],
          ["Ended by", call.outcome && `${words(call.outcome.class)}: ${words(call.outcome.reason)}`],
          ["Disposition", call.disposition],
        ]}
      />
      {!live && <Player call={call} turns={turns} onPosition={setPosition} seek={seek} />}
      <div class="columns">
        <section aria-labelledby="transcript">
          <h2 id="transcript">Transcript</h2>
          <Transcript turns={turns} partial={partial} live={live} position={position} onSeek={call.recording && !live ? (ms) => seek.current(ms) : undefined} />
        </section>
        <section aria-labelledby="latency">
          <h2 id="latency">Response latency by turn</h2>
          <Waterfall turns={turns} />
        </section>
      </div>
      <section aria-labelledby="events">
        <h2 id="events">Events</h2>
        {problem && <Problem problem={problem} />}
        <Events events={events} began={call.started_at} />
      </section>
      {call.statistics && <Statistics of={call.statistics} />}
      <details class="more">
        <summary>Identifiers</summary>
        <Facts of={[["Call", <code>{call.id}</code>], ["Carrier's id", call.carrier_call_id && <code>{call.carrier_call_id}</code>], ["Recording", call.recording && <code>{call.recording.file}</code>]]} />
      </details>
    </>
  );
}

function liveTurns(events: CallEvent[]): Turn[] {
  return events.filter((event) => event.type === "turn").map((event) => event as unknown as Turn);
}

/** What the caller is saying just now; a turn of theirs settles it. */
function lastPartial(events: CallEvent[]): string | undefined {
  for (let index = events.length - 1; index >= 0; index -= 1) {
    const event = events[index];
    if (event?.type === "caller_partial") return String(event["text"]);
    if (event?.type === "turn" && event["speaker"] === "caller") return undefined;
  }
  return undefined;
}

function Statistics({ of }: { of: Record<string, unknown> }) {
  const plain = Object.entries(of).filter(([, value]) => typeof value === "number");
  if (!plain.length) return null;
  return (
    <details class="more">
      <summary>Media statistics</summary>
      <Facts of={plain.map(([name, value]) => [words(name), (value as number).toLocaleString()])} />
    </details>
  );
}
