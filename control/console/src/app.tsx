// The frame: who is signed in, where one is, and where one can go.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { type User, resume, signOut, whenSignedOut } from "./api/client";
import { AgentPage } from "./pages/agent";
import { AgentsPage, NewAgentPage } from "./pages/agents";
import { BatchPage, BatchesPage, NewBatchPage } from "./pages/batches";
import { CallPage } from "./pages/call";
import { CallsPage } from "./pages/calls";
import { HealthPage } from "./pages/health";
import { LivePage } from "./pages/live";
import { LoginPage } from "./pages/login";
import { NumbersPage } from "./pages/numbers";
import { PeoplePage } from "./pages/people";
import { WorkflowPage, WorkflowsPage } from "./pages/workflow";
import { type Address, useAddress } from "./router";
import { Empty, Page, Problem } from "./ui/parts";

const SECTIONS: [path: string, title: string][] = [
  ["live", "Live calls"],
  ["calls", "Calls"],
  ["agents", "Agents"],
  ["workflows", "Workflows"],
  ["batches", "Batches"],
  ["numbers", "Numbers"],
  ["people", "Keys and members"],
  ["health", "System health"],
];

type Visitor = User | null | undefined;

export function App() {
  const [visitor, setVisitor] = useState<Visitor>(undefined);
  const [problem, setProblem] = useState<Error>();
  const address = useAddress();
  const find = () => {
    setProblem(undefined);
    resume().then(setVisitor, setProblem);
  };
  useEffect(() => {
    whenSignedOut(() => setVisitor(null));
    find();
  }, []);
  if (problem) return <main class="alone"><Problem problem={problem} retry={find} /></main>;
  if (visitor === undefined) return <main class="alone" aria-busy="true" />;
  if (visitor === null) return <LoginPage onSignedIn={setVisitor} />;
  return (
    <Frame user={visitor} current={address.path[0] ?? "calls"}>
      <Current address={address} user={visitor} />
    </Frame>
  );
}

function Current({ address, user }: { address: Address; user: User }) {
  const [section = "calls", id] = address.path;
  switch (section) {
    case "live":
      return <LivePage />;
    case "calls":
      return id ? <CallPage key={id} id={id} /> : <CallsPage />;
    case "agents":
      if (id === "new") return <NewAgentPage />;
      return id ? <AgentPage key={id} id={id} /> : <AgentsPage />;
    case "workflows":
      return id ? <WorkflowPage key={id} id={id} /> : <WorkflowsPage />;
    case "batches":
      if (id === "new") return <NewBatchPage />;
      return id ? <BatchPage key={id} id={id} /> : <BatchesPage />;
    case "numbers":
      return <NumbersPage />;
    case "people":
      return <PeoplePage user={user} />;
    case "health":
      return <HealthPage />;
    default:
      return (
        <Page title="Not found">
          <Empty title="There is no such page.">
            <a href="#/calls">To the calls</a>
          </Empty>
        </Page>
      );
  }
}

function Frame(props: { user: User; current: string; children: ComponentChildren }) {
  const main = useRef<HTMLElement>(null);
  const [open, setOpen] = useState(false);
  useEffect(() => setOpen(false), [props.current]);
  return (
    <div class="frame">
      <a class="skip" href="#content" onClick={(event) => { event.preventDefault(); main.current?.focus(); }}>
        Skip to the content
      </a>
      <header class="bar">
        <a class="brand" href="#/calls">
          <img src="./icon.svg" alt="" width="24" height="24" />
          Samvad
        </a>
        <button class="menu" type="button" aria-expanded={open} aria-controls="sections" onClick={() => setOpen(!open)}>
          Menu
        </button>
      </header>
      <nav id="sections" class={open ? "open" : ""} aria-label="Sections">
        <ul>
          {SECTIONS.map(([path, title]) => (
            <li key={path}>
              <a href={`#/${path}`} aria-current={props.current === path ? "page" : undefined}>
                {title}
              </a>
            </li>
          ))}
        </ul>
        <div class="who">
          <span title={props.user.email ?? ""}>{props.user.name ?? props.user.email}</span>
          <button type="button" onClick={() => void signOut()}>
            Sign out
          </button>
        </div>
      </nav>
      <main id="content" ref={main} tabIndex={-1}>
        {props.children}
      </main>
    </div>
  );
}
