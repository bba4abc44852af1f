// One agent: what it is told, what it hears and speaks with, its versions.

import { useState } from "preact/hooks";
import { type WholeAgent, agentVersions, catalogue, deleteAgent, rollBack, showAgent, updateAgent } from "../api/agents";
import { ApiProblem } from "../api/client";
import { go } from "../router";
import { when } from "../ui/format";
import { useLoad } from "../ui/load";
import { Await, Badge, Empty, Field, Page, Problem } from "../ui/parts";

export function AgentPage({ id }: { id: string }) {
  const agent = useLoad(() => showAgent(id), [id]);
  const remove = async () => {
    if (!window.confirm("Delete this agent? Numbers mapped to it lose their target.")) return;
    await deleteAgent(id);
    go("/agents");
  };
  return (
    <Page
      title={agent.data?.agent.name ?? "Agent"}
      actions={
        <>
          {agent.data?.agent.workflow_id && <a class="button" href={`#/workflows/${agent.data.agent.workflow_id}`}>Edit the workflow</a>}
          <button class="danger" type="button" onClick={() => void remove()}>Delete</button>
        </>
      }
    >
      <Await of={agent}>
        {(whole) => (
          <div class="columns">
            <AgentForm key={whole.agent.version} whole={whole} reload={agent.reload} />
            <div>
              <section aria-labelledby="try">
                <h2 id="try">Try it</h2>
                <p>Let the program call:</p>
                <pre tabIndex={0}>samvad call {id} --say "hello"</pre>
                <p>Or dial <code>sip:{id}@{location.hostname}</code> with a softphone. The next call has the current version.</p>
              </section>
              <Versions id={id} current={whole.agent.version} reload={agent.reload} />
            </div>
          </div>
        )}
      </Await>
    </Page>
  );
}

const text = (section: Record<string, unknown>, name: string) => {
  const value = section[name];
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
};

function AgentForm({ whole, reload }: { whole: WholeAgent; reload: () => void }) {
  const { agent, configurations } = whole;
  const providers = useLoad(catalogue, []);
  const [problem, setProblem] = useState<Error>();
  const [saved, setSaved] = useState(false);
  const follows = Boolean(agent.workflow_id);
  const save = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const given = (name: string) => String(form.get(name) ?? "");
    const chosen = (name: string, field: string) => (given(name) ? { [field]: given(name) } : {});
    setProblem(undefined);
    setSaved(false);
    try {
      await updateAgent(agent.id, agent.version, {
        agent: {
          name: given("name"),
          is_active: form.has("active"),
          is_public: form.has("public"),
          recording_enabled: form.has("recording"),
          ...(!follows && { first_response_message: given("first") }),
        },
        ...(!follows && { agent_model_config: { system_prompt: given("prompt"), ...chosen("model", "model_name") } }),
        transcriber_config: chosen("stt", "transcriber_model_name"),
        tts_config: chosen("tts", "tts_model_name"),
      });
      setSaved(true);
      reload();
    } catch (failed) {
      const stale = failed instanceof ApiProblem && failed.status === 412;
      setProblem(stale ? new Error("Somebody else has changed this agent meanwhile. Load it again before you save.") : (failed as Error));
    }
  };
  const select = (name: "model" | "stt" | "tts", label: string, value: string) => (
    <Field label={label}>
      <select name={name} key={providers.data ? "loaded" : "waiting"} defaultValue={value}>
        <option value="" selected={!value}>the installation's default</option>
        {(providers.data?.[name] ?? []).map((entry) => (
          <option key={entry.id} value={entry.name} selected={entry.name === value}>{entry.name}</option>
        ))}
      </select>
    </Field>
  );
  const check = (name: string, label: string, value: boolean) => (
    <label class="check"><input type="checkbox" name={name} defaultChecked={value} /> {label}</label>
  );
  return (
    <form class="form" onSubmit={(event) => void save(event)} aria-label="Settings">
      <h2>Settings <Badge kind="plain">version {agent.version}</Badge></h2>
      <Field label="Name"><input name="name" required maxLength={200} defaultValue={agent.name} /></Field>
      {!follows && (
        <>
          <Field label="First message"><textarea name="first" rows={2} defaultValue={agent.first_response_message ?? ""} /></Field>
          <Field label="Instructions to the model"><textarea name="prompt" rows={8} defaultValue={text(configurations.model_config, "system_prompt")} /></Field>
          {select("model", "Language model", text(configurations.model_config, "model_name"))}
        </>
      )}
      {select("stt", "Recogniser", text(configurations.transcriber_config, "transcriber_model_name"))}
      {select("tts", "Voice", text(configurations.tts_config, "tts_model_name"))}
      {check("active", "Active: answers calls", agent.is_active)}
      {check("recording", "Record calls", agent.recording_enabled ?? true)}
      {check("public", "Public: may be called from the web without a sign-in", agent.is_public)}
      {problem && <Problem problem={problem} />}
      <div class="actions">
        <button class="primary">Save</button>
        <span role="status" class="quiet">{saved && "Saved."}</span>
      </div>
    </form>
  );
}

function Versions(props: { id: string; current: number; reload: () => void }) {
  const versions = useLoad(() => agentVersions(props.id), [props.id, props.current]);
  const [problem, setProblem] = useState<Error>();
  const back = (version: number) => void rollBack(props.id, version).then(props.reload, setProblem);
  return (
    <section aria-labelledby="versions">
      <h2 id="versions">Versions</h2>
      {problem && <Problem problem={problem} />}
      <Await of={versions}>
        {(list) =>
          list.length === 0 ? (
            <Empty title="No versions." />
          ) : (
            <table>
              <thead><tr><th scope="col">Version</th><th scope="col">Made</th><th scope="col"><span class="unseen">Action</span></th></tr></thead>
              <tbody>
                {list.map(({ version, created_at }) => (
                  <tr key={version}>
                    <th scope="row">{version}</th>
                    <td>{when(created_at)}</td>
                    <td class="number">
                      {version === props.current ? <Badge kind="good">current</Badge> : <button type="button" onClick={() => back(version)}>Make current</button>}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )
        }
      </Await>
    </section>
  );
}
