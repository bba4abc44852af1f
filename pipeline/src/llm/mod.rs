//! What answers: language models and workflows, behind one provider-neutral trait.

pub mod engine_tools;
pub mod fallback;
pub mod record_tools;
pub mod records;
pub mod tools;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::provider_error::ProviderError;
use crate::stt::RecognitionHints;

/// One entry of the history a model answers to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Message {
    /// Instructions.
    System {
        /// Text.
        text: String,
    },
    /// What the caller said or keyed in.
    User {
        /// Text; key presses appear as their digits.
        text: String,
        /// Whether it was keyed in.
        dtmf: bool,
    },
    /// What the caller heard of the agent, which may be less than was generated.
    Assistant {
        /// The heard text.
        text: String,
        /// Whether the caller cut it short.
        interrupted: bool,
    },
    /// A tool the model asked for.
    ToolCall(ToolCall),
    /// What the tool gave back. Every call has exactly one result.
    ToolResult {
        /// [`ToolCall::id`] of the call.
        id: String,
        /// JSON, or text.
        content: String,
        /// Whether it failed.
        is_error: bool,
    },
    /// The caller has been silent; the how-manieth time in a row, from 1.
    Silence {
        /// Count.
        count: u32,
    },
}

/// A tool invocation asked for by the model.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ToolCall {
    /// Unique within the call.
    pub id: String,
    /// Name of the tool. The engine's own: `end_call`, `transfer_call`, `send_digits`.
    pub name: String,
    /// Arguments, a JSON object.
    pub arguments: serde_json::Value,
}

/// A tool a model may use.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ToolDefinition {
    /// Name.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of the arguments.
    pub parameters: serde_json::Value,
}

/// What a model session is opened with.
#[derive(Clone, Debug, Default)]
pub struct LlmSessionRequest {
    /// Instructions of the agent.
    pub system_prompt: String,
    /// BCP 47 language tag.
    pub language: String,
    /// Tools offered.
    pub tools: Vec<ToolDefinition>,
    /// Variables of the call (`caller`, `called`, custom parameters).
    pub variables: BTreeMap<String, String>,
    /// IANA name of the time zone that dates and times are understood in.
    pub time_zone: String,
}

/// What a model says, piece by piece.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum LlmEvent {
    /// More text to speak.
    Text(String),
    /// A tool to run; may come several times before [`LlmEvent::Done`].
    ToolCall(ToolCall),
    /// What the next answer of the caller will look like.
    Expect(ExpectedAnswer),
    /// The answer is complete. Last event, unless a fault came.
    Done {
        /// Tokens read and written, if the model counts.
        usage: Option<LlmUsage>,
    },
    /// The answer failed; last event.
    Fault(FaultReport),
}

/// Hints wrapped so that events compare by identity.
#[derive(Clone, Debug)]
pub struct ExpectedAnswer(pub Arc<RecognitionHints>);

impl PartialEq for ExpectedAnswer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A failure in the middle of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FaultReport {
    /// Whether a retry may work.
    pub retryable: bool,
    /// For the log and the call record.
    pub message: String,
}

/// Tokens of one answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LlmUsage {
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
}

/// Answers one caller through one call.
#[async_trait]
pub trait LanguageModelSession: Send {
    /// Begins the answer to `history`, whose last entry is the caller's turn, a tool result or a
    /// silence; an empty history asks for the opening. Dropping the receiver cancels the answer:
    /// whatever state the session keeps must then be as if only the events read had happened.
    async fn respond(&mut self, history: &[Message]) -> mpsc::Receiver<LlmEvent>;
}

/// A model, local or remote, or a workflow.
#[async_trait]
pub trait LanguageModel: Send + Sync {
    /// Name for records and metrics, for example `openai` or `workflow:clinic`.
    fn name(&self) -> &str;

    /// Opens a session for one call.
    ///
    /// # Errors
    /// [`ProviderError`] when no session can be had.
    async fn open(
        &self,
        request: LlmSessionRequest,
    ) -> Result<Box<dyn LanguageModelSession>, ProviderError>;
}

/// Runs the tools that are not the engine's own.
#[async_trait]
pub trait ToolRunner: Send + Sync {
    /// Runs one call to its end. Dropping the future cancels it where the tool allows.
    ///
    /// # Errors
    /// [`ProviderError`]; its text becomes the tool's (failed) result.
    async fn run(
        &self,
        call: &ToolCall,
        variables: &BTreeMap<String, String>,
    ) -> Result<serde_json::Value, ProviderError>;
}
