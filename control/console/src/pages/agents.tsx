// Agents, and making one of a template.

import { useState } from "preact/hooks";
import { createAgent, createWorkflow, listAgents, listEngineAgents } from "../api/agents";
import { go } from "../router";
import { TEMPLATES, type Template } from "../templates";
import { when } from "../ui/format";
import { useLoad } from "../ui/load";
import { Await, Badge, Empty, Field, Page, Problem } from "../ui/parts";

export function AgentsPage() {
  const agents = useLoad(listAgents, []);
  const built = useLoad(listEngineAgents, []);
  return (
    <Page title="Agents" actions={<a class="button primary" href="#/agents/new">New agent</a>}>
      <Await of={agents}>
        {(list) =>
          list.length === 0 ? (
            <Empty title="No agents of your own yet."><p><a href="#/agents/new">Make one of a template</a></p></Empty>
          ) : (
            <div class="scroll" tabIndex={0} role="region" aria-label="Agents of the workspace">
              <table>
                <thead>
                  <tr><th scope="col">Name</th><th scope="col">State</th><th scope="col">Led by</th><th scope="col">Version</th><th scope="col">Changed</th></tr>
                </thead>
                <tbody>
                  {list.map((agent) => (
                    <tr key={agent.id}>
                      <th scope="row"><a href={`#/agents/${agent.id}`}>{agent.name}</a></th>
                      <td><Badge kind={agent.is_active ? "good" : "plain"}>{agent.is_active ? "active" : "inactive"}</Badge></td>
                      <td>{agent.workflow_id ? <a href={`#/workflows/${agent.workflow_id}`}>a workflow</a> : "a language model"}</td>
                      <td>{agent.version}</td>
                      <td>{when(agent.updated_at)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )
        }
      </Await>
      {built.data && built.data.length > 0 && (
        <section aria-labelledby="configured">
          <h2 id="configured">Of the configuration file</h2>
          <ul class="cards">
            {built.data.map((agent) => (
              <li class="card" key={agent.id}>
                <div>
                  <span class="strong">{agent.name}</span> <code>{agent.id}</code>
                  <p class="quiet">{agent.available ? [agent.language, agent.stt, agent.llm, agent.tts].filter(Boolean).join(" · ") : "could not be set up; the server's log says why"}</p>
                </div>
                <Badge kind={agent.available ? "good" : "bad"}>{agent.available ? "available" : "unavailable"}</Badge>
              </li>
            ))}
          </ul>
        </section>
      )}
    </Page>
  );
}

export function NewAgentPage() {
  const [chosen, setChosen] = useState<Template>(TEMPLATES[0] as Template);
  const [name, setName] = useState(chosen.name);
  const [problem, setProblem] = useState<Error>();
  const [busy, setBusy] = useState(false);
  const create = async (event: SubmitEvent) => {
    event.preventDefault();
    setBusy(true);
    setProblem(undefined);
    try {
      const workflow = chosen.workflow && (await createWorkflow(name, chosen.workflow));
      const made = await createAgent({
        agent: {
          name,
          ...(workflow && { workflow_id: workflow.id }),
          ...(chosen.firstMessage && { first_response_message: chosen.firstMessage }),
        },
        ...(chosen.prompt && { agent_model_config: { system_prompt: chosen.prompt } }),
      });
      go(`/agents/${made.agent.id}`);
    } catch (failed) {
      setProblem(failed as Error);
      setBusy(false);
    }
  };
  return (
    <Page title="New agent">
      <form class="form" onSubmit={(event) => void create(event)}>
        <fieldset class="choices">
          <legend>Template</legend>
          {TEMPLATES.map((template) => (
            <label class="choice" key={template.id}>
              <input
                type="radio"
                name="template"
                checked={chosen === template}
                onChange={() => {
                  if (name === chosen.name) setName(template.name);
                  setChosen(template);
                }}
              />
              <span>
                <span class="strong">{template.title}</span>
                <small>{template.about}</small>
              </span>
            </label>
          ))}
        </fieldset>
        <Field label="Name">
          <input required maxLength={200} value={name} onInput={(event) => setName(event.currentTarget.value)} />
        </Field>
        {problem && <Problem problem={problem} />}
        <div class="actions">
          <button class="primary" disabled={busy}>Create</button>
          <a class="button" href="#/agents">Cancel</a>
        </div>
      </form>
    </Page>
  );
}
