// Requests to the server. The session is a cookie that no script can read; the routes that take a
// token in a header get the one that login and refresh answer, kept in memory only.

export class ApiProblem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly errors: FieldProblem[] = [],
  ) {
    super(message);
  }
}

export interface FieldProblem {
  path: string;
  code: string;
  message: string;
}

interface Session {
  access_token: string;
  user: User;
}

export interface User {
  id: string;
  email: string | null;
  name: string | null;
  current_workspace_id: string | null;
}

/** Tells a later visit that asking for the session is worth it. No secret. */
const SIGNED_IN = "samvad-signed-in";

let token: string | null = null;
let renewing: Promise<User | null> | null = null;
let onSignedOut: () => void = () => {};

export function whenSignedOut(tell: () => void): void {
  onSignedOut = tell;
}

/** The user of the session that an earlier visit left, if it still lasts. */
export async function resume(): Promise<User | null> {
  if (!localStorage.getItem(SIGNED_IN)) return null;
  return renew();
}

export async function signIn(email: string, password: string): Promise<User> {
  const session = (await send("POST", "/auth/login", { email, password })) as Session;
  return keep(session);
}

export async function signOut(): Promise<void> {
  try {
    await request("POST", "/auth/logout");
  } finally {
    forget();
  }
}

function keep(session: Session): User {
  token = session.access_token;
  localStorage.setItem(SIGNED_IN, "1");
  return session.user;
}

function forget(): void {
  token = null;
  localStorage.removeItem(SIGNED_IN);
  onSignedOut();
}

/** Exchanges the refresh cookie; requests that find the session expired at once share one exchange. */
function renew(): Promise<User | null> {
  renewing ??= send("POST", "/auth/refresh")
    .then((session) => keep(session as Session))
    .catch((problem: unknown) => {
      if (problem instanceof ApiProblem && problem.status === 401) {
        forget();
        return null;
      }
      throw problem;
    })
    .finally(() => {
      renewing = null;
    });
  return renewing;
}

/** Asks a route that takes the cookie: Vaani's, and those of the engine under /v1. */
export async function request<T>(method: string, path: string, body?: unknown): Promise<T> {
  return (await withSession(() => send(method, path, body))) as T;
}

/** Asks a route of Kupe or kros, which take a token and no cookie. */
export async function requestWithToken<T>(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<T> {
  if (!token) await renew();
  return (await withSession(() =>
    send(method, path, body, { ...headers, authorization: `Bearer ${token ?? ""}` }),
  )) as T;
}

/** The answer's body as it is. */
export async function requestRaw(path: string, init: RequestInit = {}): Promise<Response> {
  return withSession(async () => {
    const response = await fetch(path, { ...init, credentials: "same-origin" });
    if (!response.ok) throw await problemOf(response);
    return response;
  });
}

async function withSession<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (problem) {
    if (!(problem instanceof ApiProblem) || problem.status !== 401) throw problem;
    if ((await renew()) === null) throw problem;
    return ask();
  }
}

async function send(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<unknown> {
  const init: RequestInit = { method, headers, credentials: "same-origin" };
  if (body instanceof Blob) {
    init.body = body;
    init.headers = { ...headers, "content-type": body.type };
  } else if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { ...headers, "content-type": "application/json" };
  }
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch {
    throw new ApiProblem(0, "unreachable", "The server does not answer.");
  }
  if (!response.ok) throw await problemOf(response);
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

async function problemOf(response: Response): Promise<ApiProblem> {
  const body: unknown = await response.json().catch(() => null);
  const object = isObject(body) ? body : {};
  const inner = isObject(object["error"]) ? object["error"] : object;
  const details = isObject(object["details"]) ? object["details"] : object;
  const text = (value: unknown) => (typeof value === "string" ? value : undefined);
  const message =
    text(inner["message"]) ?? text(object["detail"]) ?? text(object["error"]) ?? response.statusText;
  const errors = Array.isArray(details["errors"]) ? (details["errors"] as FieldProblem[]) : [];
  return new ApiProblem(response.status, text(inner["code"]) ?? "error", message, errors);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
