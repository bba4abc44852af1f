// The workspace: who belongs to it, and the keys that programs use.

import { useState } from "preact/hooks";
import type { User } from "../api/client";
import { createKey, invite, listKeys, listMembers, listWorkspaces, removeMember, revokeKey, switchWorkspace } from "../api/people";
import { when } from "../ui/format";
import { useLoad } from "../ui/load";
import { Await, Badge, Empty, Field, Page, Problem, Secret } from "../ui/parts";

export function PeoplePage({ user }: { user: User }) {
  const workspaces = useLoad(listWorkspaces, []);
  const [current, setCurrent] = useState(user.current_workspace_id);
  const [problem, setProblem] = useState<Error>();
  const choose = (id: string) => void switchWorkspace(id).then(() => { user.current_workspace_id = id; setCurrent(id); }, setProblem);
  return (
    <Page title="Keys and members">
      {problem && <Problem problem={problem} />}
      <Await of={workspaces}>
        {(list) => {
          const chosen = list.find(({ id }) => id === current) ?? list[0];
          if (!chosen) return <Empty title="You belong to no workspace." />;
          return (
            <>
              {list.length > 1 ? (
                <div class="filters">
                  <Field label="Workspace">
                    <select value={chosen.id} onChange={(event) => choose(event.currentTarget.value)}>
                      {list.map(({ id, name }) => <option key={id} value={id} selected={id === chosen.id}>{name}</option>)}
                    </select>
                  </Field>
                </div>
              ) : (
                <p class="quiet">Workspace {chosen.name}</p>
              )}
              <Members workspace={chosen.id} self={user.id} />
              <Keys key={chosen.id} user={user.id} />
            </>
          );
        }}
      </Await>
    </Page>
  );
}

const ROLES = ["member", "developer", "admin"] as const;

function Members({ workspace, self }: { workspace: string; self: string }) {
  const members = useLoad(() => listMembers(workspace), [workspace]);
  const [problem, setProblem] = useState<Error>();
  const [sent, setSent] = useState<string>();
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const data = new FormData(form);
    try {
      const answer = await invite(workspace, String(data.get("email")), String(data.get("role")) as (typeof ROLES)[number]);
      form.reset();
      setProblem(undefined);
      setSent(answer.message);
    } catch (failed) {
      setProblem(failed as Error);
    }
  };
  return (
    <section aria-labelledby="members">
      <h2 id="members">Members</h2>
      {problem && <Problem problem={problem} />}
      <Await of={members}>
        {(list) => (
          <div class="scroll" tabIndex={0} role="region" aria-labelledby="members">
            <table>
              <thead><tr><th scope="col">Name</th><th scope="col">Mail address</th><th scope="col">Role</th><th scope="col"><span class="unseen">Action</span></th></tr></thead>
              <tbody>
                {list.map((member) => (
                  <tr key={member.user_id}>
                    <th scope="row">{member.name ?? "–"}</th>
                    <td>{member.email ?? "–"}</td>
                    <td><Badge kind="plain">{member.role}</Badge></td>
                    <td class="number">
                      {member.user_id !== self && (
                        <button class="danger" type="button" onClick={() => window.confirm("Remove this member? Their keys lose their force.") && void removeMember(workspace, member.user_id).then(members.reload, setProblem)}>Remove</button>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Await>
      <form class="line-form" onSubmit={(event) => void submit(event)} aria-label="Invite a member">
        <Field label="Mail address to invite"><input name="email" type="email" required /></Field>
        <Field label="Role"><select name="role">{ROLES.map((role) => <option key={role}>{role}</option>)}</select></Field>
        <button>Invite</button>
        <span role="status" class="quiet">{sent}</span>
      </form>
    </section>
  );
}

const PRODUCTS = ["kupe", "kros", "vaani"] as const;

function Keys({ user }: { user: string }) {
  const keys = useLoad(() => listKeys(user), [user]);
  const [problem, setProblem] = useState<Error>();
  const [secret, setSecret] = useState<string>();
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const data = new FormData(form);
    try {
      const made = await createKey({ name: String(data.get("name")), product: String(data.get("product")) as (typeof PRODUCTS)[number] });
      form.reset();
      setProblem(undefined);
      setSecret(made.api_key.key);
      keys.reload();
    } catch (failed) {
      setProblem(failed as Error);
    }
  };
  return (
    <section aria-labelledby="keys">
      <h2 id="keys">Your keys</h2>
      {problem && <Problem problem={problem} />}
      <Await of={keys}>
        {(list) =>
          list.length === 0 ? (
            <Empty title="No keys. Programs need one." />
          ) : (
            <div class="scroll" tabIndex={0} role="region" aria-labelledby="keys">
              <table>
                <thead><tr><th scope="col">Name</th><th scope="col">Begins with</th><th scope="col">Surface</th><th scope="col">Made</th><th scope="col">Last used</th><th scope="col"><span class="unseen">Action</span></th></tr></thead>
                <tbody>
                  {list.map((key) => (
                    <tr key={key.id}>
                      <th scope="row">{key.name ?? "–"}</th>
                      <td><code>{key.prefix}</code></td>
                      <td>{key.product} {key.mode === "test" && <Badge kind="plain">test</Badge>}</td>
                      <td>{when(key.created_at)}</td>
                      <td>{key.last_used_at ? when(key.last_used_at) : "never"}</td>
                      <td class="number"><button class="danger" type="button" onClick={() => window.confirm("Revoke this key? Programs that use it are refused at once.") && void revokeKey(key.id).then(keys.reload, setProblem)}>Revoke</button></td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )
        }
      </Await>
      {secret && <Secret label="The new key" value={secret} />}
      <form class="line-form" onSubmit={(event) => void submit(event)} aria-label="Make a key">
        <Field label="Name of a new key"><input name="name" required maxLength={200} /></Field>
        <Field label="Surface"><select name="product">{PRODUCTS.map((product) => <option key={product}>{product}</option>)}</select></Field>
        <button>Make a key</button>
      </form>
    </section>
  );
}
