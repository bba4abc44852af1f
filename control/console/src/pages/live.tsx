// Calls that go on now.

import { useEffect } from "preact/hooks";
import { type CallSummary, hangUp, listCalls } from "../api/calls";
import { useAgentNames } from "../api/agents";
import { when } from "../ui/format";
import { useLoad } from "../ui/load";
import { Await, Empty, Page } from "../ui/parts";

const ACTIVE = new URLSearchParams({ status: "active" });
const EVERY_MS = 3_000;

export function LivePage() {
  const calls = useLoad(() => listCalls(ACTIVE, 1, 100), []);
  const agents = useAgentNames();
  useEffect(() => {
    const timer = setInterval(() => document.hidden || calls.reload(), EVERY_MS);
    return () => clearInterval(timer);
  }, [calls.reload]);
  return (
    <Page title="Live calls" actions={<button type="button" onClick={calls.reload}>Refresh</button>}>
      <Await of={calls}>
        {({ items, total }) =>
          total === 0 ? (
            <Empty title="No call goes on." />
          ) : (
            <>
              <p class="count" role="status">{total === 1 ? "1 call" : `${total} calls`}{total > items.length && `, the newest ${items.length} shown`}</p>
              <ul class="cards">
                {items.map((call) => (
                  <LiveCall key={call.id} call={call} agent={agents.get(call.agent_id) ?? call.agent_id} onEnded={calls.reload} />
                ))}
              </ul>
            </>
          )
        }
      </Await>
    </Page>
  );
}

function LiveCall(props: { call: CallSummary; agent: string; onEnded: () => void }) {
  const { call } = props;
  return (
    <li class="card">
      <div>
        <a class="strong" href={`#/calls/${call.id}`}>{call.from_number ?? "unknown caller"}</a>
        <p>with {props.agent}, since {when(call.answered_at ?? call.started_at)}</p>
      </div>
      <div class="actions">
        <a class="button" href={`#/calls/${call.id}`}>Follow</a>
        <button class="danger" type="button" onClick={() => void hangUp(call.id).then(props.onEnded, props.onEnded)}>Hang up</button>
      </div>
    </li>
  );
}
