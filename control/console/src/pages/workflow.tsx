// A workflow as text and as graph; what is wrong is told while one types, at its line.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Workflow, checkWorkflow, deleteWorkflow, listWorkflows, showWorkflow, updateWorkflow } from "../api/agents";
import { ApiProblem } from "../api/client";
import { go } from "../router";
import { when } from "../ui/format";
import { useLoad } from "../ui/load";
import { Await, Badge, Empty, Page, Problem } from "../ui/parts";
import { GraphView } from "../workflow/graph_view";
import { type Definition, type TextProblem, lineOf, read, write } from "../workflow/text";

/** How long typing must rest before the text is checked. */
const REST_MS = 350;

export function WorkflowsPage() {
  const workflows = useLoad(listWorkflows, []);
  return (
    <Page title="Workflows" actions={<a class="button primary" href="#/agents/new">New agent with a workflow</a>}>
      <Await of={workflows}>
        {(list) =>
          list.length === 0 ? (
            <Empty title="No workflows yet."><p><a href="#/agents/new">Make an agent of a template</a></p></Empty>
          ) : (
            <table>
              <thead><tr><th scope="col">Name</th><th scope="col">Version</th><th scope="col">Changed</th></tr></thead>
              <tbody>
                {list.map((workflow) => (
                  <tr key={workflow.id}>
                    <th scope="row"><a href={`#/workflows/${workflow.id}`}>{workflow.name}</a></th>
                    <td>{workflow.version}</td>
                    <td>{when(workflow.updated_at)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          )
        }
      </Await>
    </Page>
  );
}

export function WorkflowPage({ id }: { id: string }) {
  const workflow = useLoad(() => showWorkflow(id), [id]);
  const remove = async () => {
    if (!window.confirm("Delete this workflow? Agents that follow it cannot answer any more.")) return;
    await deleteWorkflow(id);
    go("/workflows");
  };
  return (
    <Page title={workflow.data?.name ?? "Workflow"} actions={<button class="danger" type="button" onClick={() => void remove()}>Delete</button>}>
      <Await of={workflow}>{(data) => <Editor key={data.version} workflow={data} reload={workflow.reload} />}</Await>
    </Page>
  );
}

function Editor({ workflow, reload }: { workflow: Workflow; reload: () => void }) {
  const original = useMemo(() => write(workflow.definition), [workflow]);
  const [text, setText] = useState(original);
  const [shown, setShown] = useState<Definition>(workflow.definition);
  const [problems, setProblems] = useState<TextProblem[]>([]);
  const [state, setState] = useState<"checked" | "waiting">("checked");
  const [failed, setFailed] = useState<Error>();
  const area = useRef<HTMLTextAreaElement>(null);
  const gutter = useRef<HTMLPreElement>(null);

  useEffect(() => {
    if (text === original) {
      setProblems([]);
      setShown(workflow.definition);
      setState("checked");
      return undefined;
    }
    let wanted = true;
    setState("waiting");
    const timer = setTimeout(() => {
      const found = read(text);
      if ("problem" in found) {
        setProblems([found.problem]);
        setState("checked");
        return;
      }
      setShown(found.definition);
      checkWorkflow(found.definition).then(
        (checked) => {
          if (!wanted) return;
          setProblems(checked.problems.map(({ path, message }) => ({ path: path.replace(/^definition\.?/, ""), message, ...at(lineOf(text, path)) })));
          setState("checked");
        },
        (problem: Error) => wanted && setFailed(problem),
      );
    }, REST_MS);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [text]);

  const wrong = useMemo(() => new Set(problems.flatMap(({ path }) => /^nodes\.([^.]+)/.exec(path)?.[1] ?? [])), [problems]);
  const marked = new Set(problems.map(({ line }) => line));
  const lines = text.split("\n").length;

  const toLine = (line: number | undefined) => {
    const target = area.current;
    if (!target || !line) return;
    const start = text.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    const end = text.indexOf("\n", start);
    target.focus();
    target.setSelectionRange(start, end < 0 ? text.length : end);
    const height = target.scrollHeight / lines;
    target.scrollTop = Math.max(0, (line - 4) * height);
  };

  const save = async () => {
    const found = read(text);
    if ("problem" in found) return;
    setFailed(undefined);
    try {
      await updateWorkflow(workflow.id, workflow.version, found.definition);
      reload();
    } catch (problem) {
      const stale = problem instanceof ApiProblem && problem.status === 412;
      setFailed(stale ? new Error("Somebody else has changed this workflow meanwhile. Copy your text and load the page again.") : (problem as Error));
    }
  };
  const changed = text !== original;
  return (
    <>
      <div class="editor-head">
        <Badge kind="plain">version {workflow.version}</Badge>
        <span role="status">
          {state === "waiting" ? "Checking…" : problems.length ? <Badge kind="bad">{problems.length === 1 ? "1 problem" : `${problems.length} problems`}</Badge> : <Badge kind="good">valid</Badge>}
        </span>
        <span class="actions">
          <button type="button" disabled={!changed} onClick={() => setText(original)}>Undo changes</button>
          <button class="primary" type="button" disabled={!changed || state === "waiting" || problems.length > 0} onClick={() => void save()}>Save</button>
        </span>
      </div>
      {failed && <Problem problem={failed} />}
      <ul class="problems" aria-label="Problems">
        {problems.map((problem, index) => (
          <li key={index}>
            <button type="button" onClick={() => toLine(problem.line)} disabled={!problem.line}>{problem.line ? `Line ${problem.line}` : "Text"}</button>
            <span><code>{problem.path}</code> {problem.message}</span>
          </li>
        ))}
      </ul>
      <div class="columns">
        <div class="editor">
          <pre class="gutter" aria-hidden="true" ref={gutter}>
            {Array.from({ length: lines }, (_, index) => (
              <span key={index} class={marked.has(index + 1) ? "wrong" : ""}>{index + 1}{"\n"}</span>
            ))}
          </pre>
          <textarea
            class="code"
            ref={area}
            aria-label="Text of the workflow"
            aria-invalid={problems.length > 0}
            spellcheck={false}
            wrap="off"
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
            onScroll={(event) => {
              if (gutter.current) gutter.current.scrollTop = event.currentTarget.scrollTop;
            }}
          />
        </div>
        <GraphView definition={shown} wrong={wrong} onChoose={(node) => toLine(lineOf(text, `nodes.${node}`))} />
      </div>
    </>
  );
}

const at = (line: number | undefined) => (line === undefined ? {} : { line });
