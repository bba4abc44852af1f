// Batches of calls: a list of people, who calls them, and how far it is.

import { useEffect, useState } from "preact/hooks";
import { listAgents } from "../api/agents";
import {
  type Batch,
  type Counts,
  type ImportReport,
  batchStatus,
  createBatch,
  deleteBatch,
  listBatches,
  listRecipients,
  moveBatch,
  uploadList,
} from "../api/batches";
import { listNumbers } from "../api/numbers";
import { go } from "../router";
import { when, words } from "../ui/format";
import { useLoad } from "../ui/load";
import { Await, Badge, Empty, Facts, Field, Page, Problem } from "../ui/parts";

const EVERY_MS = 2_000;

export function BatchesPage() {
  const batches = useLoad(listBatches, []);
  return (
    <Page title="Batches" actions={<a class="button primary" href="#/batches/new">New batch</a>}>
      <Await of={batches}>
        {(list) =>
          list.length === 0 ? (
            <Empty title="No batches yet."><p>A batch calls a list of people, in their hours and at the pace that is set.</p></Empty>
          ) : (
            <div class="scroll" tabIndex={0} role="region" aria-label="Batches">
              <table>
                <thead><tr><th scope="col">Name</th><th scope="col">State</th><th scope="col">At a time</th><th scope="col">Made</th></tr></thead>
                <tbody>
                  {list.map((batch) => (
                    <tr key={batch.id}>
                      <th scope="row"><a href={`#/batches/${batch.id}`}>{batch.batch_name}</a></th>
                      <td><BatchState batch={batch} /></td>
                      <td>{batch.batch_size}</td>
                      <td>{when(batch.created_at)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )
        }
      </Await>
    </Page>
  );
}

function BatchState({ batch }: { batch: Batch }) {
  const kind = batch.status === "completed" ? "good" : batch.status === "in_progress" ? "busy" : "plain";
  return <Badge kind={kind}>{words(batch.status)}</Badge>;
}

export function NewBatchPage() {
  const choices = useLoad(() => Promise.all([listAgents(), listNumbers()]), []);
  const [problem, setProblem] = useState<Error>();
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const given = (name: string) => String(form.get(name) ?? "").trim();
    try {
      const made = await createBatch({
        batch_name: given("name"),
        agent_id: given("agent"),
        caller_phone_id: given("line"),
        batch_size: Number(given("size")),
        variable_names: given("variables").split(",").map((name) => name.trim()).filter(Boolean),
        ...(given("hours") && { calling_hours: given("hours") }),
        ...(given("zone") && { time_zone: given("zone") }),
      });
      go(`/batches/${made.id}`);
    } catch (failed) {
      setProblem(failed as Error);
    }
  };
  return (
    <Page title="New batch">
      <Await of={choices}>
        {([agents, numbers]) =>
          agents.length === 0 || numbers.length === 0 ? (
            <Empty title={agents.length === 0 ? "A batch needs an agent that calls." : "A batch needs a number to call from."}>
              <p>{agents.length === 0 ? <a href="#/agents/new">Make an agent</a> : <a href="#/numbers">Register a number with its trunk</a>}</p>
            </Empty>
          ) : (
            <form class="form" onSubmit={(event) => void submit(event)}>
              <Field label="Name"><input name="name" required maxLength={200} /></Field>
              <Field label="Agent"><select name="agent">{agents.map(({ id, name }) => <option key={id} value={id}>{name}</option>)}</select></Field>
              <Field label="Calls from"><select name="line">{numbers.map(({ id, phone_number }) => <option key={id} value={id}>{phone_number}</option>)}</select></Field>
              <Field label="Calls at a time"><input name="size" type="number" min={1} max={10_000} defaultValue="1" required /></Field>
              <Field label="Variables" hint="columns of the list that the agent's texts use, separated by commas"><input name="variables" /></Field>
              <Field label="Calling hours" hint="like mon-fri 09:00-18:00; the installation's otherwise"><input name="hours" /></Field>
              <Field label="Time zone" hint="of those called, like Asia/Kolkata"><input name="zone" /></Field>
              {problem && <Problem problem={problem} />}
              <div class="actions"><button class="primary">Create</button><a class="button" href="#/batches">Cancel</a></div>
            </form>
          )
        }
      </Await>
    </Page>
  );
}

export function BatchPage({ id }: { id: string }) {
  const status = useLoad(() => batchStatus(id), [id]);
  const [problem, setProblem] = useState<Error>();
  const running = status.data?.batch.status === "in_progress" || (status.data?.status_counts.calling ?? 0) > 0;
  useEffect(() => {
    if (!running) return undefined;
    const timer = setInterval(() => document.hidden || status.reload(), EVERY_MS);
    return () => clearInterval(timer);
  }, [running, status.reload]);
  const run = (work: Promise<unknown>) => void work.then(() => { setProblem(undefined); status.reload(); }, setProblem);
  const state = status.data?.batch.status;
  const step = (name: "start" | "pause" | "resume" | "cancel", title: string, primary = false) => (
    <button type="button" class={primary ? "primary" : ""} onClick={() => run(moveBatch(id, name))}>{title}</button>
  );
  return (
    <Page
      title={status.data?.batch.batch_name ?? "Batch"}
      actions={
        <>
          {state === "not_started" && step("start", "Start", true)}
          {state === "in_progress" && step("pause", "Pause")}
          {state === "paused" && step("resume", "Resume", true)}
          {(state === "in_progress" || state === "paused") && step("cancel", "Cancel the batch")}
          {state !== "in_progress" && (
            <button class="danger" type="button" onClick={() => window.confirm("Delete this batch with its list?") && void deleteBatch(id).then(() => go("/batches"), setProblem)}>Delete</button>
          )}
        </>
      }
    >
      {problem && <Problem problem={problem} />}
      <Await of={status}>
        {({ batch, status_counts: counts }) => (
          <>
            <Progress counts={counts} />
            <Facts
              of={[
                ["State", <BatchState batch={batch} />],
                ["Reason", batch.status_reason && words(batch.status_reason)],
                ["Calls at a time", batch.batch_size],
                ["Started", when(batch.started_at)],
                ["Completed", when(batch.completed_at)],
                ["Variables", batch.variable_names.join(", ") || "none"],
              ]}
            />
            {batch.status === "not_started" && <Upload id={id} onKept={status.reload} />}
            <Recipients id={id} counts={counts} />
          </>
        )}
      </Await>
    </Page>
  );
}

const PARTS: [name: keyof Counts, title: string, kind: string][] = [
  ["completed", "reached", "voice"],
  ["calling", "on the line", "model"],
  ["no_answer", "no answer", "wait"],
  ["failed", "failed", "failed"],
  ["not_started", "waiting", "out"],
];

function Progress({ counts }: { counts: Counts }) {
  const described = PARTS.map(([name, title]) => `${counts[name].toLocaleString()} ${title}`).join(", ");
  return (
    <>
      <div class="bar-line progress" role="img" aria-label={described}>
        {counts.total > 0 && PARTS.map(([name, , kind]) => <i key={name} class={`span ${kind}`} style={{ width: `${(counts[name] / counts.total) * 100}%` }} />)}
      </div>
      <ul class="legend">
        {PARTS.map(([name, title, kind]) => <li key={name}><i class={`span ${kind}`} /> {counts[name].toLocaleString()} {title}</li>)}
        <li>{counts.total.toLocaleString()} in all</li>
      </ul>
    </>
  );
}

function Upload({ id, onKept }: { id: string; onKept: () => void }) {
  const [file, setFile] = useState<File>();
  const [report, setReport] = useState<ImportReport>();
  const [kept, setKept] = useState<ImportReport>();
  const [problem, setProblem] = useState<Error>();
  const [busy, setBusy] = useState(false);
  const choose = async (chosen: File | undefined) => {
    setFile(chosen);
    setReport(undefined);
    setKept(undefined);
    setProblem(undefined);
    if (!chosen) return;
    setBusy(true);
    await uploadList(id, new Blob([chosen], { type: "text/csv" }), true).then(setReport, setProblem);
    setBusy(false);
  };
  const keep = async () => {
    if (!file) return;
    setBusy(true);
    await uploadList(id, new Blob([file], { type: "text/csv" }), false).then((done) => {
      setKept(done);
      setReport(undefined);
      onKept();
    }, setProblem);
    setBusy(false);
  };
  return (
    <section aria-labelledby="upload">
      <h2 id="upload">Add people</h2>
      <Field label="List (CSV with the column to_phonenumber)">
        <input type="file" accept=".csv,text/csv" onChange={(event) => void choose(event.currentTarget.files?.[0])} />
      </Field>
      <div role="status">
        {busy && <p class="quiet">Reading the list…</p>}
        {kept && <p>{kept.inserted.toLocaleString()} people were added{kept.failed > 0 && `, ${kept.failed.toLocaleString()} rows were left out`}.</p>}
      </div>
      {problem && <Problem problem={problem} />}
      {report && (
        <div class="note">
          <p class="strong">{report.inserted.toLocaleString()} rows are good, {report.failed.toLocaleString()} are not.</p>
          {report.errors.length > 0 && (
            <div class="scroll" tabIndex={0} role="region" aria-label="Rows with mistakes">
              <table>
                <thead><tr><th scope="col">Row</th><th scope="col">Mistake</th></tr></thead>
                <tbody>{report.errors.slice(0, 100).map(({ row, error }) => <tr key={row}><th scope="row">{row}</th><td>{error}</td></tr>)}</tbody>
              </table>
            </div>
          )}
          <div class="actions">
            <button class="primary" type="button" disabled={busy || report.inserted === 0} onClick={() => void keep()}>Add the {report.inserted.toLocaleString()} good rows</button>
          </div>
        </div>
      )}
    </section>
  );
}

function Recipients({ id, counts }: { id: string; counts: Counts }) {
  const people = useLoad(() => listRecipients(id), [id, JSON.stringify(counts)]);
  return (
    <section aria-labelledby="people">
      <h2 id="people">People</h2>
      <Await of={people}>
        {(list) =>
          list.length === 0 ? (
            <Empty title="Nobody is on the list yet." />
          ) : (
            <>
              {counts.total > list.length && <p class="quiet">The first {list.length} of {counts.total.toLocaleString()}.</p>}
              <div class="scroll" tabIndex={0} role="region" aria-labelledby="people">
                <table>
                  <thead><tr><th scope="col">Number</th><th scope="col">State</th><th scope="col">Attempts</th><th scope="col">Reason</th><th scope="col">Call</th></tr></thead>
                  <tbody>
                    {list.map((person) => (
                      <tr key={person.id}>
                        <th scope="row">{person.to_phonenumber}</th>
                        <td><Badge kind={person.status === "completed" ? "good" : person.status === "failed" ? "bad" : "plain"}>{words(person.status)}</Badge></td>
                        <td>{person.attempts}</td>
                        <td>{person.error_message ?? (person.reason && words(person.reason)) ?? "–"}</td>
                        <td>{person.call_session_id ? <a href={`#/calls/${person.call_session_id}`}>look</a> : "–"}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            </>
          )
        }
      </Await>
    </section>
  );
}
