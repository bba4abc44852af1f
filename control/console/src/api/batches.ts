// Batches of calls: lists of people an agent or a workflow calls.

import { requestWithToken } from "./client";
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Batch = Schemas["BatchAnswer"] & {
  description: string | null;
  agent_id: string | null;
  workflow_id: string | null;
  status_reason: string | null;
  started_at: string | null;
  completed_at: string | null;
};

export interface Counts {
  not_started: number;
  calling: number;
  completed: number;
  failed: number;
  no_answer: number;
  total: number;
}

export interface ImportReport {
  inserted: number;
  failed: number;
  errors: { row: number; error: string }[];
}

export interface Recipient {
  id: string;
  to_phonenumber: string;
  status: string;
  reason: string | null;
  error_message: string | null;
  attempts: number;
  call_session_id: string | null;
}

interface Done<T> {
  success: boolean;
  data: T;
}

const data = async <T>(asked: Promise<Done<T>>) => (await asked).data;

export const listBatches = () => data(requestWithToken<Done<Batch[]>>("GET", "/api/v1/batch-call/me"));
export const batchStatus = (id: string) =>
  data(requestWithToken<Done<{ batch: Batch; status_counts: Counts }>>("GET", `/api/v1/batch-call/${id}/status`));
export const createBatch = (body: Schemas["BatchCreate"]) => data(requestWithToken<Done<Batch>>("POST", "/api/v1/batch-call/create", body));
export const moveBatch = (id: string, step: "start" | "pause" | "resume" | "cancel") =>
  data(requestWithToken<Done<Batch>>("POST", `/api/v1/batch-call/${step}/${id}`));
export const deleteBatch = (id: string) => requestWithToken("DELETE", `/api/v1/batch-call/${id}`);
export const listRecipients = (id: string) =>
  data(requestWithToken<Done<Recipient[]>>("GET", `/api/v1/batch-call/${id}/data?limit=500`));

/** With `preview` the list is read and judged, and nothing is kept. */
export const uploadList = (id: string, csv: Blob, preview: boolean) =>
  data(requestWithToken<Done<ImportReport>>("POST", `/api/v1/batch-call/upload/${id}?preview=${preview}`, csv));
