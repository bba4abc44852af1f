// Workspaces, members and keys.

import { request, requestWithToken } from "./client";
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Workspace = Schemas["WorkspaceAnswer"];
export type Member = Schemas["WorkspaceMemberAnswer"];
export type Key = Schemas["ApiKeyAnswer"];

export const listWorkspaces = () => request<Workspace[]>("GET", "/workspaces");
export const switchWorkspace = (workspace_id: string) => request("POST", "/workspaces/switch", { workspace_id });
export const listMembers = (workspace: string) => request<Member[]>("GET", `/workspaces/${workspace}/members`);
export const invite = (workspace: string, email: string, role: "member" | "developer" | "admin") =>
  request<Schemas["MessageAnswer"]>("POST", `/workspaces/${workspace}/invite`, { email, role });
export const removeMember = (workspace: string, user: string) => request("DELETE", `/workspaces/${workspace}/members/${user}`);

export const listKeys = (user: string) => requestWithToken<Key[]>("GET", `/api/v1/api-keys/fetch/${user}`);
export const createKey = (body: Schemas["ApiKeyCreate"]) =>
  requestWithToken<{ api_key: Key & { key?: string } }>("POST", "/api/v1/api-keys", body);
export const revokeKey = (id: string) => requestWithToken("DELETE", `/api/v1/api-keys/${id}`);
