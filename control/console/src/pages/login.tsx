import { useState } from "preact/hooks";
import { type User, signIn } from "../api/client";
import { Field } from "../ui/parts";

export function LoginPage(props: { onSignedIn: (user: User) => void }) {
  const [problem, setProblem] = useState<string>();
  const [busy, setBusy] = useState(false);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    setBusy(true);
    setProblem(undefined);
    try {
      props.onSignedIn(await signIn(String(form.get("email")), String(form.get("password"))));
    } catch (failed) {
      setProblem((failed as Error).message);
      setBusy(false);
    }
  };
  return (
    <main class="alone">
      <form class="login" onSubmit={(event) => void submit(event)}>
        <h1>
          <img src="./icon.svg" alt="" width="32" height="32" /> Samvad
        </h1>
        <Field label="Mail address">
          <input name="email" type="text" inputMode="email" autocomplete="username" required autoFocus />
        </Field>
        <Field label="Password">
          <input name="password" type="password" autocomplete="current-password" required />
        </Field>
        <p class="problem-line" role="alert">{problem}</p>
        <button class="primary" disabled={busy}>Sign in</button>
        <p class="quiet">
          <code>make run</code> prints the first account. More: <code>samvad admin create --email you@example.org</code>
        </p>
      </form>
    </main>
  );
}
