// What a new agent can begin as.

import { parse } from "smol-toml";
import clinic from "../../../../fixtures/workflows/clinic.toml?raw";
import reception from "./reception.toml?raw";

export interface Template {
  id: string;
  title: string;
  about: string;
  name: string;
  /** The dialogue it follows; absent for an agent that a language model leads. */
  workflow?: Record<string, unknown>;
  prompt?: string;
  firstMessage?: string;
}

export const TEMPLATES: Template[] = [
  {
    id: "clinic",
    title: "Clinic appointments",
    about: "A workflow that books, moves and cancels appointments. Runs without any account.",
    name: "Clinic",
    workflow: parse(clinic),
  },
  {
    id: "reception",
    title: "Small reception",
    about: "A workflow of a few nodes that takes a message: a start for one of your own.",
    name: "Reception",
    workflow: parse(reception),
  },
  {
    id: "assistant",
    title: "Assistant",
    about: "A language model leads the conversation. Needs one to be set up, see the providers.",
    name: "Assistant",
    prompt: "You answer the telephone of a small shop. Answer in one or two short sentences.",
    firstMessage: "Hello, how can I help?",
  },
];
