// Small parts that pages share.

import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { words } from "./format";
import type { Loaded } from "./load";

export function Page(props: { title: string; actions?: ComponentChildren; children: ComponentChildren }) {
  useEffect(() => {
    document.title = `${props.title} · Samvad`;
  }, [props.title]);
  return (
    <>
      <header class="page-head">
        <h1 tabIndex={-1}>{props.title}</h1>
        <div class="actions">{props.actions}</div>
      </header>
      {props.children}
    </>
  );
}

export function Problem(props: { problem: Error; retry?: () => void }) {
  return (
    <div class="note problem" role="alert">
      <p>{props.problem.message}</p>
      {props.retry && (
        <button type="button" onClick={props.retry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Empty(props: { title: string; children?: ComponentChildren }) {
  return (
    <div class="note empty">
      <p class="strong">{props.title}</p>
      {props.children}
    </div>
  );
}

/** Shows data once it is there; keeps its place meanwhile. */
export function Await<T>(props: { of: Loaded<T>; children: (data: T) => ComponentChildren }) {
  const { data, problem, reload } = props.of;
  return (
    <>
      {problem && <Problem problem={problem} retry={reload} />}
      {data !== undefined ? props.children(data) : !problem && <div class="note waiting" role="status">Loading…</div>}
    </>
  );
}

export function Badge(props: { kind: "good" | "bad" | "busy" | "plain"; children: ComponentChildren }) {
  return <span class={`badge ${props.kind}`}>{props.children}</span>;
}

export function OutcomeBadge(props: { status: string; outcome: { class: string; reason: string } | null }) {
  if (props.status === "active") return <Badge kind="busy">active</Badge>;
  if (!props.outcome) return <Badge kind="plain">{props.status}</Badge>;
  const kind = props.outcome.class === "completed" ? "good" : /failed/.test(props.outcome.class) ? "bad" : "plain";
  return <Badge kind={kind}>{words(props.outcome.reason)}</Badge>;
}

export function Field(props: { label: string; children: ComponentChildren; hint?: string }) {
  return (
    <label class="field">
      <span>{props.label}</span>
      {props.children}
      {props.hint && <small>{props.hint}</small>}
    </label>
  );
}

/** Names and values of one thing. */
export function Facts(props: { of: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {props.of.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value ?? "–"}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Something that is shown once only. */
export function Secret(props: { label: string; value: string }) {
  return (
    <div class="note secret" role="status">
      <p class="strong">{props.label}: shown this once</p>
      <pre tabIndex={0}>{props.value}</pre>
    </div>
  );
}
