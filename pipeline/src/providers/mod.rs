//! Adapters to remote providers.

pub mod openai_llm;
mod openai_messages;
pub mod sse;
