// Calls: the list of the workspace, and a call with all that the engine knows of it.

import { request, requestRaw } from "./client";
import type { components } from "./schema";

export type Outcome = { class: string; reason: string };

/** The published shape, and what the answer holds beyond it. */
export type CallSummary = components["schemas"]["CallAnswer"] & {
  answered_at: string | null;
  carrier: string;
  outcome: Outcome | null;
};

export interface CallPage {
  items: CallSummary[];
  total: number;
}

/** Latency spans of an agent's turn, in microseconds. */
export interface TurnTimings {
  vad_lag: number;
  endpoint_wait: number;
  dispatch: number;
  llm_ttft: number;
  chunking: number;
  tts_ttfb: number;
  lead_silence: number;
  gate_hold: number;
  out_queue: number;
  carrier: number;
  voice_to_voice: number;
  stt_ttfs: number | null;
}

export interface Turn {
  speaker: "agent" | "caller";
  text: string;
  start_ms: number;
  end_ms: number;
  interrupted: boolean;
  dtmf: boolean;
  timings: TurnTimings | null;
}

export interface Call {
  id: string;
  agent_id: string;
  direction: string;
  carrier: string;
  carrier_call_id: string | null;
  caller: string | null;
  called: string | null;
  codec: string | null;
  status: "active" | "ended";
  started_at: string;
  answered_at: string | null;
  ended_at: string | null;
  duration_ms: number | null;
  outcome: Outcome | null;
  recording: { file: string; duration_ms: number | null } | null;
  call_type: string;
  disposition: string | null;
  statistics: Record<string, unknown> | null;
  turns: Turn[];
}

export type CallEvent = { number?: number; at: string; type: string } & Record<string, unknown>;

export function listCalls(filter: URLSearchParams, page: number, size: number): Promise<CallPage> {
  const query = new URLSearchParams(filter);
  query.set("page", String(page));
  query.set("page_size", String(size));
  return request("GET", `/calls?${query}`);
}

export const showCall = (id: string) => request<Call>("GET", `/v1/calls/${id}`);

export const hangUp = (id: string) => request<unknown>("POST", `/v1/calls/${id}/hangup`);

export const recordingPath = (id: string) => `/v1/calls/${id}/recording`;

/**
 * Reads the events of a call, those stored first, until the call is closed. A connection that breaks
 * is taken up after the last event; `EventSource` would also take up one that has simply ended.
 */
export async function followEvents(
  id: string,
  live: boolean,
  tell: (events: CallEvent[]) => void,
  signal: AbortSignal,
): Promise<void> {
  let last = 0;
  for (;;) {
    try {
      const headers: Record<string, string> = last ? { "last-event-id": String(last) } : {};
      const response = await requestRaw(`/v1/calls/${id}/events`, { headers, signal });
      let closed = !live;
      await readEvents(response, (events) => {
        for (const event of events) {
          last = event.number ?? last;
          closed ||= event.type === "closed";
        }
        tell(events);
      });
      if (closed) return;
    } catch (problem) {
      if (signal.aborted) return;
      if (!(problem instanceof TypeError)) throw problem;
    }
    await new Promise((wake) => setTimeout(wake, 1_000));
    if (signal.aborted) return;
  }
}

/** Server-sent events (HTML Living Standard §9.2.6); only `data` fields matter here. */
async function readEvents(response: Response, tell: (events: CallEvent[]) => void): Promise<void> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const piece = await reader?.read();
    if (!piece || piece.done) return;
    const blocks = (rest + piece.value).split("\n\n");
    rest = blocks.pop() ?? "";
    const events = blocks.flatMap((block) => {
      const data = block
        .split("\n")
        .filter((line) => line.startsWith("data:"))
        .map((line) => line.slice(5).trimStart())
        .join("\n");
      return data ? [JSON.parse(data) as CallEvent] : [];
    });
    if (events.length) tell(events);
  }
}
