//! Chat completions in the OpenAI wire format, which many vendors and local servers speak.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use url::Url;

use crate::llm::{
    LanguageModel, LanguageModelSession, LlmEvent, LlmSessionRequest, LlmUsage, Message, ToolCall,
};
use crate::provider_error::ProviderError;
use crate::providers::http::{client, error_message, header_value};
use crate::providers::llm_stream::{
    ARGUMENT_BYTES_MAX, AnswerDecoder, Patience, Question, TOOL_CALLS_MAX, arguments, parse,
};
use crate::providers::openai_messages::{messages, tools};
use crate::secret::Secret;

/// Where the model is and how it is asked.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenAiConfig {
    /// Address before `/chat/completions`.
    pub base_url: String,
    /// Sent as a bearer token; none for local servers.
    pub api_key: Option<Secret>,
    /// Model name.
    pub model: String,
    /// Sampling temperature; the server's default when absent.
    pub temperature: Option<f32>,
    /// Longest answer in tokens.
    pub max_tokens: Option<u32>,
    /// Further headers.
    pub headers: BTreeMap<String, Secret>,
    /// Longest wait for the first word or tool call, retry included, in ms.
    pub first_token_ms: u64,
    /// Longest pause within an answer, in ms.
    pub stall_ms: u64,
    /// Longest time to a connection, in ms.
    pub connect_ms: u64,
}

impl Default for OpenAiConfig {
    fn default() -> Self {
        Self {
            base_url: "https://api.openai.com/v1".to_owned(),
            api_key: None,
            model: "gpt-4o-mini".to_owned(),
            temperature: None,
            max_tokens: None,
            headers: BTreeMap::new(),
            first_token_ms: 2_500,
            stall_ms: 3_000,
            connect_ms: 2_000,
        }
    }
}

/// A model behind an OpenAI-compatible API. Connections are kept alive between answers and calls.
#[derive(Debug)]
pub struct OpenAiModel {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: OpenAiConfig,
    url: Url,
    client: reqwest::Client,
}

impl OpenAiModel {
    /// A model as configured. A process-wide TLS crypto provider must have been installed before.
    ///
    /// # Errors
    /// [`ProviderError::Rejected`] names the setting that is wrong.
    pub fn new(config: OpenAiConfig) -> Result<Self, ProviderError> {
        let url = format!("{}/chat/completions", config.base_url.trim_end_matches('/'));
        let url = Url::parse(&url)
            .map_err(|error| ProviderError::Rejected(format!("base_url: {error}")))?;
        let mut headers = HeaderMap::new();
        if let Some(key) = &config.api_key {
            headers.insert(
                AUTHORIZATION,
                header_value("api_key", &format!("Bearer {}", key.expose()))?,
            );
        }
        for (name, value) in &config.headers {
            let header: HeaderName = name
                .parse()
                .map_err(|_| ProviderError::Rejected(format!("headers.{name}: not a name")))?;
            headers.insert(header, header_value(name, value.expose())?);
        }
        let client = client(headers, Duration::from_millis(config.connect_ms))?;
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                url,
                client,
            }),
        })
    }
}

#[async_trait]
impl LanguageModel for OpenAiModel {
    fn name(&self) -> &'static str {
        "openai"
    }

    async fn open(
        &self,
        request: LlmSessionRequest,
    ) -> Result<Box<dyn LanguageModelSession>, ProviderError> {
        Ok(Box::new(OpenAiSession {
            shared: Arc::clone(&self.shared),
            tools: tools(&request.tools),
            system_prompt: request.system_prompt,
            answers: 0,
        }))
    }
}

struct OpenAiSession {
    shared: Arc<Shared>,
    system_prompt: String,
    tools: Vec<Value>,
    /// Answers begun.
    answers: u64,
}

#[async_trait]
impl LanguageModelSession for OpenAiSession {
    async fn respond(&mut self, history: &[Message]) -> mpsc::Receiver<LlmEvent> {
        let config = &self.shared.config;
        let mut body = json!({
            "model": config.model,
            "messages": messages(&self.system_prompt, history),
            "tools": self.tools,
            "stream": true,
            "stream_options": {"include_usage": true},
        });
        if let Some(temperature) = config.temperature {
            body["temperature"] = json!(temperature);
        }
        if let Some(max_tokens) = config.max_tokens {
            body["max_tokens"] = json!(max_tokens);
        }
        self.answers += 1;
        let number = self.answers;
        let question = Question {
            client: self.shared.client.clone(),
            url: self.shared.url.clone(),
            body,
            patience: Patience {
                first: Duration::from_millis(config.first_token_ms),
                stall: Duration::from_millis(config.stall_ms),
            },
        };
        question.ask(move || Answer::new(number))
    }
}

/// One answer as it comes in.
struct Answer {
    /// Which answer of the session this is; makes up ids that the server leaves out.
    number: u64,
    /// A word or a tool call has come.
    useful: bool,
    finish_reason: Option<String>,
    usage: Option<LlmUsage>,
    calls: BTreeMap<usize, PartialCall>,
}

#[derive(Default)]
struct PartialCall {
    id: String,
    name: String,
    arguments: String,
}

impl AnswerDecoder for Answer {
    fn take(&mut self, data: &str, out: &mut Vec<LlmEvent>) -> Result<bool, ProviderError> {
        if data.trim() == "[DONE]" {
            return Ok(true);
        }
        let chunk: Chunk = parse(data)?;
        if let Some(error) = chunk.error {
            return Err(ProviderError::Failed(error_message(&error)));
        }
        if let Some(usage) = chunk.usage {
            self.usage = Some(LlmUsage {
                input_tokens: usage.prompt_tokens,
                output_tokens: usage.completion_tokens,
            });
        }
        let Some(choice) = chunk.choices.into_iter().next() else {
            return Ok(false);
        };
        if choice.finish_reason.is_some() {
            self.finish_reason = choice.finish_reason;
        }
        for delta in choice.delta.tool_calls.unwrap_or_default() {
            self.useful = true;
            self.add_call(delta)?;
        }
        if let Some(text) = choice.delta.content.filter(|text| !text.is_empty()) {
            self.useful = true;
            out.push(LlmEvent::Text(text));
        }
        Ok(false)
    }

    fn useful(&self) -> bool {
        self.useful
    }

    /// Some servers leave the end mark out.
    fn may_end(&self) -> bool {
        self.finish_reason.is_some()
    }

    fn finish(&mut self, out: &mut Vec<LlmEvent>) -> Result<Option<LlmUsage>, ProviderError> {
        if !self.useful && self.finish_reason.as_deref() == Some("content_filter") {
            return Err(ProviderError::Rejected("content filter".into()));
        }
        for (index, call) in std::mem::take(&mut self.calls) {
            let arguments = arguments(&call.name, &call.arguments)?;
            let id = if call.id.is_empty() {
                format!("call-{}-{index}", self.number)
            } else {
                call.id
            };
            out.push(LlmEvent::ToolCall(ToolCall {
                id,
                name: call.name,
                arguments,
            }));
        }
        Ok(self.usage)
    }
}

impl Answer {
    const fn new(number: u64) -> Self {
        Self {
            number,
            useful: false,
            finish_reason: None,
            usage: None,
            calls: BTreeMap::new(),
        }
    }

    /// Joins the pieces of tool calls by index. Some servers leave the index out and send each
    /// call whole.
    fn add_call(&mut self, delta: ToolCallDelta) -> Result<(), ProviderError> {
        let next = self.calls.last_key_value().map_or(0, |(last, _)| last + 1);
        let index = match (delta.index, &delta.id) {
            (Some(index), _) => index,
            (None, Some(_)) => next,
            (None, None) => next.saturating_sub(1),
        };
        let call = self.calls.entry(index).or_default();
        if let Some(id) = delta.id.filter(|id| !id.is_empty()) {
            call.id = id;
        }
        if let Some(function) = delta.function {
            call.name
                .push_str(function.name.as_deref().unwrap_or_default());
            call.arguments
                .push_str(function.arguments.as_deref().unwrap_or_default());
        }
        if call.arguments.len() > ARGUMENT_BYTES_MAX || self.calls.len() > TOOL_CALLS_MAX {
            return Err(ProviderError::Failed("tool calls without end".into()));
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Delta {
    content: Option<String>,
    tool_calls: Option<Vec<ToolCallDelta>>,
}

#[derive(Deserialize)]
struct ToolCallDelta {
    index: Option<usize>,
    id: Option<String>,
    function: Option<FunctionDelta>,
}

#[derive(Deserialize)]
struct FunctionDelta {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}
