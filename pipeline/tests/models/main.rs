//! Models and tools as the conversation sees them: workflows, a remote model, HTTP tools.

#![expect(clippy::unwrap_used, reason = "a helper fails as its test does")]

mod clinic;
mod guarded_http;
mod http_tools;
mod openai;
mod scripted_call;
mod workflow_files;
mod workflow_history;
