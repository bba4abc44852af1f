// Agents and workflows, by the routes of Kupe, and the agents of the installation's configuration.

import { useEffect, useState } from "preact/hooks";
import { request, requestWithToken } from "./client";
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Agent = Schemas["AgentAnswer"] & {
  description?: string;
  workflow_id?: string;
  first_response_message?: string;
  recording_enabled?: boolean;
};

export interface WholeAgent {
  agent: Agent;
  configurations: {
    model_config: Record<string, unknown>;
    tts_config: Record<string, unknown>;
    transcriber_config: Record<string, unknown>;
    agent_specific_config: Record<string, unknown>;
  };
}

export type AgentVersion = Schemas["AgentVersionAnswer"];
export type Workflow = Schemas["WorkflowAnswer"] & { definition: Record<string, unknown> };

/** An agent as the engine lists it; for super administrators. */
export interface EngineAgent {
  id: string;
  name: string;
  available: boolean;
  language?: string;
  stt?: string;
  llm?: string;
  tts?: string;
  numbers?: string[];
}

export interface Catalogue {
  model: CatalogueEntry[];
  tts: CatalogueEntry[];
  stt: CatalogueEntry[];
}

export interface CatalogueEntry {
  id: string;
  name: string;
  provider_name?: string;
}

export const listAgents = () => requestWithToken<Agent[]>("GET", "/api/v1/agents");
export const showAgent = (id: string) => requestWithToken<WholeAgent>("GET", `/api/v1/agents/${id}`);
export const createAgent = (body: unknown) => requestWithToken<WholeAgent>("POST", "/api/v1/agents", body);
export const deleteAgent = (id: string) => requestWithToken("DELETE", `/api/v1/agents/${id}?force_delete=true`);
export const agentVersions = (id: string) => requestWithToken<AgentVersion[]>("GET", `/api/v1/agents/${id}/versions`);

export const rollBack = (id: string, version: number) =>
  requestWithToken<WholeAgent>("POST", `/api/v1/agents/${id}/rollback`, { version });

/** Refused with 412 when somebody else has changed the agent since `version`. */
export const updateAgent = (id: string, version: number, body: unknown) =>
  requestWithToken<WholeAgent>("PUT", `/api/v1/agents/${id}?force_update=true`, body, { "if-match": `"${version}"` });

export const catalogue = () => requestWithToken<Catalogue>("GET", "/api/v1/providers/all");

export const listWorkflows = () => requestWithToken<Workflow[]>("GET", "/api/v1/workflows");
export const showWorkflow = (id: string) => requestWithToken<Workflow>("GET", `/api/v1/workflows/${id}`);
export const createWorkflow = (name: string, definition: unknown) =>
  requestWithToken<Workflow>("POST", "/api/v1/workflows", { name, definition });
export const checkWorkflow = (definition: unknown) =>
  requestWithToken<Schemas["WorkflowCheckedAnswer"]>("POST", "/api/v1/workflows/check", { definition });
export const updateWorkflow = (id: string, version: number, definition: unknown) =>
  requestWithToken<Workflow>("PUT", `/api/v1/workflows/${id}`, { definition }, { "if-match": `"${version}"` });
export const deleteWorkflow = (id: string) => requestWithToken("DELETE", `/api/v1/workflows/${id}`);

/** None for those who are no super administrators: the server would refuse. */
export async function listEngineAgents(): Promise<EngineAgent[]> {
  const answer = await request<{ agents: EngineAgent[] }>("GET", "/v1/agents");
  return answer.agents;
}

/** Names by id, of all agents that can be seen. A name that is not known is no fault of a page. */
export function useAgentNames(): Map<string, string> {
  const [names, setNames] = useState(new Map<string, string>());
  useEffect(() => {
    void Promise.allSettled([listAgents(), listEngineAgents()]).then((lists) => {
      const found = lists.flatMap((list): { id: string; name: string }[] => (list.status === "fulfilled" ? list.value : []));
      setNames(new Map(found.map((agent) => [agent.id, agent.name])));
    });
  }, []);
  return names;
}
