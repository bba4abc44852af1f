// Numbers and who answers them; where calls are sent on to.

import { useState } from "preact/hooks";
import { listAgents } from "../api/agents";
import {
  type Endpoint,
  type PhoneNumber,
  createEndpoint,
  deleteEndpoint,
  listEndpoints,
  listNumbers,
  mapAgent,
  registerTrunk,
  removeNumber,
  setEndpointStatus,
} from "../api/numbers";
import { useLoad } from "../ui/load";
import { Await, Badge, Empty, Field, Page, Problem, Secret } from "../ui/parts";

export function NumbersPage() {
  const numbers = useLoad(listNumbers, []);
  const endpoints = useLoad(listEndpoints, []);
  return (
    <Page title="Numbers and trunks">
      <Await of={numbers}>
        {(list) => (list.length ? <Numbers list={list} reload={numbers.reload} /> : <Empty title="No numbers yet."><p>Register the SIP trunk that brings one, or buy one at the carrier.</p></Empty>)}
      </Await>
      <details class="more">
        <summary>Register a number with its SIP trunk</summary>
        <TrunkForm onMade={numbers.reload} />
      </details>
      <section aria-labelledby="endpoints">
        <h2 id="endpoints">Endpoints</h2>
        <p class="quiet">Where calls are sent on to: another platform or a SIP address.</p>
        <Await of={endpoints}>
          {(list) => (list.length ? <Endpoints list={list} reload={endpoints.reload} /> : <Empty title="No endpoints." />)}
        </Await>
        <details class="more">
          <summary>Add an endpoint</summary>
          <EndpointForm onMade={endpoints.reload} />
        </details>
      </section>
    </Page>
  );
}

function Numbers({ list, reload }: { list: PhoneNumber[]; reload: () => void }) {
  const agents = useLoad(listAgents, []);
  const [problem, setProblem] = useState<Error>();
  const run = (work: Promise<unknown>) => void work.then(() => { setProblem(undefined); reload(); }, setProblem);
  return (
    <>
      {problem && <Problem problem={problem} />}
      <div class="scroll" tabIndex={0} role="region" aria-label="Numbers">
        <table>
          <thead>
            <tr><th scope="col">Number</th><th scope="col">Answered by</th><th scope="col">Trunk</th><th scope="col">State</th><th scope="col"><span class="unseen">Action</span></th></tr>
          </thead>
          <tbody>
            {list.map((number) => (
              <tr key={number.id}>
                <th scope="row">{number.phone_number}{number.label && <small> {number.label}</small>}</th>
                <td>
                  <select
                    aria-label={`Agent of ${number.phone_number}`}
                    value={number.agent_id ?? ""}
                    onChange={(event) => event.currentTarget.value && run(mapAgent(number.phone_number, event.currentTarget.value))}
                  >
                    <option value="">nobody</option>
                    {(agents.data ?? []).map((agent) => (
                      <option key={agent.id} value={agent.id} selected={agent.id === number.agent_id}>{agent.name}</option>
                    ))}
                  </select>
                </td>
                <td>{number.sip_address ? <code>{number.sip_address}</code> : number.provider}</td>
                <td><Badge kind={number.is_active ? "good" : "plain"}>{number.is_active ? "active" : "inactive"}</Badge></td>
                <td class="number">
                  <button class="danger" type="button" onClick={() => window.confirm(`Remove ${number.phone_number} with its trunk?`) && run(removeNumber(number.phone_number))}>Remove</button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

function TrunkForm({ onMade }: { onMade: () => void }) {
  const [problem, setProblem] = useState<Error>();
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const data = new FormData(form);
    const given = (name: string) => String(data.get(name) ?? "").trim();
    const optional = (name: string) => (given(name) ? { [name]: given(name) } : {});
    try {
      await registerTrunk({
        phone_number: given("phone_number"),
        sip_address: given("sip_address"),
        ...optional("auth_username"),
        ...optional("auth_password"),
        ...optional("label"),
      });
      form.reset();
      setProblem(undefined);
      onMade();
    } catch (failed) {
      setProblem(failed as Error);
    }
  };
  return (
    <form class="form" onSubmit={(event) => void submit(event)}>
      <Field label="Number" hint="E.164, like +15550100100"><input name="phone_number" inputMode="tel" required /></Field>
      <Field label="Address of the trunk" hint="host or host:port of the carrier"><input name="sip_address" required /></Field>
      <Field label="User name"><input name="auth_username" autocomplete="off" /></Field>
      <Field label="Password" hint="kept sealed, never shown again"><input name="auth_password" type="password" autocomplete="new-password" /></Field>
      <Field label="Label"><input name="label" /></Field>
      {problem && <Problem problem={problem} />}
      <div class="actions"><button class="primary">Register</button></div>
    </form>
  );
}

function Endpoints({ list, reload }: { list: Endpoint[]; reload: () => void }) {
  const [problem, setProblem] = useState<Error>();
  const run = (work: Promise<unknown>) => void work.then(() => { setProblem(undefined); reload(); }, setProblem);
  return (
    <>
      {problem && <Problem problem={problem} />}
      <div class="scroll" tabIndex={0} role="region" aria-label="Endpoints">
        <table>
          <thead><tr><th scope="col">Name</th><th scope="col">Type</th><th scope="col">Address</th><th scope="col">State</th><th scope="col"><span class="unseen">Actions</span></th></tr></thead>
          <tbody>
            {list.map((endpoint) => (
              <tr key={endpoint.id}>
                <th scope="row">{endpoint.name}</th>
                <td>{endpoint.type}</td>
                <td><code>{endpoint.url}</code></td>
                <td><Badge kind={endpoint.status === "active" ? "good" : endpoint.status === "error" ? "bad" : "plain"}>{endpoint.status}</Badge></td>
                <td>
                  <div class="actions">
                    <button type="button" onClick={() => run(setEndpointStatus(endpoint.id, endpoint.status === "active" ? "inactive" : "active"))}>
                      {endpoint.status === "active" ? "Pause" : "Activate"}
                    </button>
                    <button class="danger" type="button" onClick={() => window.confirm(`Delete ${endpoint.name}?`) && run(deleteEndpoint(endpoint.id))}>Delete</button>
                  </div>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

const TYPES = ["custom_sip", "webhook", "vapi", "retell", "livekit", "elevenlabs", "vogent"] as const;

function EndpointForm({ onMade }: { onMade: () => void }) {
  const [problem, setProblem] = useState<Error>();
  const [secret, setSecret] = useState<string>();
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const data = new FormData(form);
    try {
      const made = await createEndpoint({
        name: String(data.get("name")),
        type: String(data.get("type")) as (typeof TYPES)[number],
        url: String(data.get("url")),
      });
      form.reset();
      setProblem(undefined);
      setSecret(made.secret);
      onMade();
    } catch (failed) {
      setProblem(failed as Error);
    }
  };
  return (
    <form class="form" onSubmit={(event) => void submit(event)}>
      <Field label="Name"><input name="name" required maxLength={100} /></Field>
      <Field label="Type">
        <select name="type">{TYPES.map((type) => <option key={type}>{type}</option>)}</select>
      </Field>
      <Field label="Address" hint="a SIP URI in which {number} stands for the number called; for a webhook an https URL"><input name="url" required /></Field>
      {problem && <Problem problem={problem} />}
      {secret && <Secret label="Signing secret" value={secret} />}
      <div class="actions"><button class="primary">Add</button></div>
    </form>
  );
}
