// Numbers, SIP trunks and endpoints.

import { request, requestWithToken } from "./client";
import type { components } from "./schema";

type Schemas = components["schemas"];

export type PhoneNumber = Schemas["PhoneNumberAnswer"];
export type Endpoint = Schemas["EndpointAnswer"];

export const listNumbers = () => request<PhoneNumber[]>("GET", "/phonenumbers");
export const registerTrunk = (body: Schemas["SipTrunkCreate"]) => request<PhoneNumber>("POST", "/phonenumbers/sip_trunk", body);
export const mapAgent = (phone_number: string, agent_id: string) =>
  request<PhoneNumber>("PUT", "/phonenumbers/map_agent", { phone_number, agent_id });
export const removeNumber = (number: string) => request("DELETE", `/phonenumbers/delete_sip/${encodeURIComponent(number)}`);

export const listEndpoints = () => requestWithToken<Endpoint[]>("GET", "/endpoints");
export const createEndpoint = (body: Schemas["EndpointCreate"]) =>
  requestWithToken<Endpoint & { secret?: string }>("POST", "/endpoints", body);
export const setEndpointStatus = (id: string, status: Endpoint["status"]) =>
  requestWithToken<Endpoint>("PATCH", `/endpoints/${id}`, { status });
export const deleteEndpoint = (id: string) => requestWithToken("DELETE", `/endpoints/${id}`);
