// The list of calls: filtered by the server, of any length, loaded as it is scrolled.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { type CallSummary, listCalls } from "../api/calls";
import { useAgentNames } from "../api/agents";
import { replaceQuery, useAddress } from "../router";
import { duration, when, whenBriefly } from "../ui/format";
import { Empty, Field, OutcomeBadge, Page, Problem } from "../ui/parts";
import { VirtualRows } from "../ui/virtual_rows";

const PAGE = 100;
const ROW = 48;

interface Listed {
  total: number;
  pages: Map<number, CallSummary[]>;
}

/** Days of the filter fields become times of the browser's zone. */
function toQuery(fields: URLSearchParams): URLSearchParams {
  const query = new URLSearchParams();
  for (const name of ["status", "call_direction", "call_type", "agent_id"]) {
    const value = fields.get(name);
    if (value) query.set(name, value);
  }
  const from = fields.get("from");
  if (from) query.set("start_datetime", new Date(`${from}T00:00:00`).toISOString());
  const until = fields.get("until");
  if (until) {
    const end = new Date(`${until}T00:00:00`);
    end.setDate(end.getDate() + 1);
    query.set("end_datetime", end.toISOString());
  }
  return query;
}

export function CallsPage() {
  const address = useAddress();
  const [fields, setFields] = useState(address.query);
  const [listed, setListed] = useState<Listed>();
  const [problem, setProblem] = useState<Error>();
  const agents = useAgentNames();
  const asked = useRef(new Set<number>());
  const wanted = useRef<number[]>([]);
  const busy = useRef(false);
  const pumpNow = useRef<() => Promise<void>>(async () => {});
  const round = useRef(0);

  const load = useCallback(
    async (page: number) => {
      if (asked.current.has(page)) return;
      asked.current.add(page);
      const mine = round.current;
      try {
        const found = await listCalls(toQuery(fields), page, PAGE);
        if (mine !== round.current) return;
        setProblem(undefined);
        setListed((old) => {
          const pages = new Map(old?.pages);
          pages.set(page, found.items);
          return { total: found.total, pages };
        });
      } catch (failed) {
        if (mine !== round.current) return;
        asked.current.delete(page);
        setProblem(failed as Error);
      }
    },
    [fields],
  );

  /** One page at a time, of those in sight by then: what was scrolled past is not asked for. */
  const pump = useCallback(async () => {
    if (busy.current) return;
    busy.current = true;
    const mine = round.current;
    while (mine === round.current) {
      const page = wanted.current.find((one) => !asked.current.has(one));
      if (page === undefined) break;
      await load(page);
      if (!asked.current.has(page)) break;
    }
    busy.current = false;
    if (mine !== round.current) void pumpNow.current();
  }, [load]);
  pumpNow.current = pump;

  const restart = useCallback(() => {
    round.current += 1;
    asked.current.clear();
    setListed(undefined);
    void load(1);
  }, [load]);
  useEffect(restart, [restart]);

  const change = (name: string, value: string) => {
    const next = new URLSearchParams(fields);
    if (value) next.set(name, value);
    else next.delete(name);
    replaceQuery("calls", next);
    setFields(next);
  };
  const select = (name: string, label: string, options: [string, string][]) => (
    <Field label={label}>
      <select value={fields.get(name) ?? ""} onChange={(event) => change(name, event.currentTarget.value)}>
        <option value="">all</option>
        {options.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </Field>
  );
  const day = (name: string, label: string) => (
    <Field label={label}>
      <input type="date" value={fields.get(name) ?? ""} onChange={(event) => change(name, event.currentTarget.value)} />
    </Field>
  );
  const filtered = [...fields.keys()].length > 0;
  const exported = `/calls/export?${toQuery(fields)}`;
  const total = listed?.total;
  return (
    <Page
      title="Calls"
      actions={
        <>
          <button type="button" onClick={restart}>Refresh</button>
          <a class="button" href={exported} download>Export CSV</a>
        </>
      }
    >
      <form class="filters" aria-label="Filter calls" onSubmit={(event) => event.preventDefault()}>
        {select("status", "State", [["active", "active"], ["ended", "ended"]])}
        {select("call_direction", "Direction", [["inbound", "inbound"], ["outbound", "outbound"]])}
        {select("call_type", "Kind", [["phone", "phone"], ["web", "web"]])}
        {select("agent_id", "Agent", [...agents])}
        {day("from", "From")}
        {day("until", "Until")}
        <p class="count" role="status">{total === undefined ? "Loading…" : `${total.toLocaleString()} ${total === 1 ? "call" : "calls"}`}</p>
      </form>
      {problem && <Problem problem={problem} retry={restart} />}
      {total === 0 ? (
        <Empty title={filtered ? "No call fits the filter." : "No calls yet."}>
          {!filtered && (
            <p>
              Dial the agent with a softphone, or let the program call:{" "}
              <code>samvad call clinic --say "i'd like to book an appointment"</code>
            </p>
          )}
        </Empty>
      ) : (
        <VirtualRows
          label="Calls"
          total={total ?? 0}
          rowHeight={ROW}
          onRange={(first, last) => {
            const pages = [];
            for (let page = Math.floor(first / PAGE) + 1; page <= Math.floor(last / PAGE) + 1; page += 1) pages.push(page);
            wanted.current = pages;
            void pump();
          }}
          head={HEAD}
          row={(index) => {
            const call = listed?.pages.get(Math.floor(index / PAGE) + 1)?.[index % PAGE];
            return call ? <Row call={call} agent={agents.get(call.agent_id) ?? call.agent_id} /> : <span role="cell" class="pending" />;
          }}
        />
      )}
    </Page>
  );
}

const HEAD = ["Began", "Agent", "From", "To", "Length", "Outcome"].map((title) => (
  <span role="columnheader" key={title}>{title}</span>
));

function Row({ call, agent }: { call: CallSummary; agent: string }) {
  return (
    <>
      <span role="cell"><a href={`#/calls/${call.id}`} title={when(call.started_at)}>{whenBriefly(call.started_at)}</a></span>
      <span role="cell">{agent}</span>
      <span role="cell">{call.from_number ?? "–"}</span>
      <span role="cell">{call.to_number ?? "–"}</span>
      <span role="cell" class="number">{duration(call.duration_seconds === null ? null : call.duration_seconds * 1000)}</span>
      <span role="cell"><OutcomeBadge status={call.status} outcome={call.outcome} /></span>
    </>
  );
}
