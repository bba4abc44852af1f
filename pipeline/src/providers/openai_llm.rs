//! Chat completions in the OpenAI wire format, which many vendors and local servers speak.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::llm::{
    FaultReport, LanguageModel, LanguageModelSession, LlmEvent, LlmSessionRequest, LlmUsage,
    Message, ToolCall,
};
use crate::provider_error::ProviderError;
use crate::providers::openai_messages::{messages, tools};
use crate::providers::sse::SseParser;
use crate::secret::Secret;

/// Events waiting to be taken; when full, the network is read no further.
const EVENTS_MAX: usize = 64;
/// Most of an error's body that is read.
const ERROR_BYTES_MAX: usize = 4 * 1024;
/// Most tool calls in one answer.
const TOOL_CALLS_MAX: usize = 16;
/// Longest arguments of one tool call.
const ARGUMENT_BYTES_MAX: usize = 64 * 1024;

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
        let client = reqwest::Client::builder()
            .default_headers(headers)
            .connect_timeout(Duration::from_millis(config.connect_ms))
            .tcp_nodelay(true)
            .pool_idle_timeout(Duration::from_secs(90))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| ProviderError::Unavailable(error.to_string()))?;
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
        let shared = Arc::clone(&self.shared);
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        tokio::spawn(async move {
            let cancelled = sender.clone();
            tokio::select! {
                // Dropping the request drops its connection, which is how it is cancelled.
                () = cancelled.closed() => {}
                outcome = shared.answer(&body, number, &sender) => {
                    let last = match outcome {
                        Ok(usage) => LlmEvent::Done { usage },
                        Err(error) => LlmEvent::Fault(FaultReport {
                            retryable: error.is_retryable(),
                            message: error.to_string(),
                        }),
                    };
                    // The reader may have gone in the meantime, and then wants nothing more.
                    let _ = sender.send(last).await;
                }
            }
        });
        receiver
    }
}

impl Shared {
    /// Asks, once more if the first time fails before anything useful came.
    async fn answer(
        &self,
        body: &Value,
        number: u64,
        sender: &mpsc::Sender<LlmEvent>,
    ) -> Result<Option<LlmUsage>, ProviderError> {
        let deadline = Instant::now() + Duration::from_millis(self.config.first_token_ms);
        let mut answer = Answer::new(sender, number, deadline);
        let error = match self.attempt(body, &mut answer).await {
            Ok(usage) => return Ok(usage),
            Err(error) => error,
        };
        let wait = match &error {
            ProviderError::RateLimited { retry_after } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        if answer.useful || !error.is_retryable() || Instant::now() + wait >= deadline {
            return Err(error);
        }
        tracing::debug!(%error, "language model is asked again");
        tokio::time::sleep(wait).await;
        answer = Answer::new(sender, number, deadline);
        self.attempt(body, &mut answer).await
    }

    async fn attempt(
        &self,
        body: &Value,
        answer: &mut Answer<'_>,
    ) -> Result<Option<LlmUsage>, ProviderError> {
        let request = self.client.post(self.url.clone()).json(body).send();
        let response = timeout_at(answer.deadline, request)
            .await
            .map_err(|_| ProviderError::TimedOut)?
            .map_err(transport)?;
        if !response.status().is_success() {
            return Err(refusal(response, answer.deadline).await);
        }
        self.read(response, answer).await
    }

    async fn read(
        &self,
        mut response: Response,
        answer: &mut Answer<'_>,
    ) -> Result<Option<LlmUsage>, ProviderError> {
        let stall = Duration::from_millis(self.config.stall_ms);
        let mut parser = SseParser::default();
        let mut deadline = answer.deadline;
        loop {
            let chunk = timeout_at(deadline, response.chunk())
                .await
                .map_err(|_| ProviderError::TimedOut)?
                .map_err(transport)?;
            let Some(chunk) = chunk else {
                return answer.end_of_stream().await;
            };
            let events = parser
                .push(&chunk)
                .map_err(|error| ProviderError::Failed(error.to_string()))?;
            let progress = !events.is_empty();
            for data in events {
                if data.trim() == "[DONE]" {
                    return answer.finish().await;
                }
                answer.take(&data).await?;
            }
            // Comments keep a connection open but are no progress.
            if progress && answer.useful {
                deadline = Instant::now() + stall;
            }
        }
    }
}

/// One answer as it comes in.
struct Answer<'a> {
    sender: &'a mpsc::Sender<LlmEvent>,
    /// Which answer of the session this is; makes up ids that the server leaves out.
    number: u64,
    /// When the first useful piece must be there.
    deadline: Instant,
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

impl<'a> Answer<'a> {
    const fn new(sender: &'a mpsc::Sender<LlmEvent>, number: u64, deadline: Instant) -> Self {
        Self {
            sender,
            number,
            deadline,
            useful: false,
            finish_reason: None,
            usage: None,
            calls: BTreeMap::new(),
        }
    }

    async fn take(&mut self, data: &str) -> Result<(), ProviderError> {
        let chunk: Chunk = serde_json::from_str(data)
            .map_err(|error| ProviderError::Failed(format!("unreadable chunk: {error}")))?;
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
            return Ok(());
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
            self.send(LlmEvent::Text(text)).await;
        }
        Ok(())
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

    /// The connection ended without the end mark, which some servers leave out.
    async fn end_of_stream(&mut self) -> Result<Option<LlmUsage>, ProviderError> {
        if self.finish_reason.is_none() {
            return Err(ProviderError::Connection("answer was cut off".into()));
        }
        self.finish().await
    }

    async fn finish(&mut self) -> Result<Option<LlmUsage>, ProviderError> {
        if !self.useful && self.finish_reason.as_deref() == Some("content_filter") {
            return Err(ProviderError::Rejected("content filter".into()));
        }
        for (index, call) in std::mem::take(&mut self.calls) {
            let arguments = match call.arguments.trim() {
                "" => json!({}),
                text => serde_json::from_str(text).map_err(|error| {
                    ProviderError::Failed(format!("arguments of {}: {error}", call.name))
                })?,
            };
            let id = if call.id.is_empty() {
                format!("call-{}-{index}", self.number)
            } else {
                call.id
            };
            self.send(LlmEvent::ToolCall(ToolCall {
                id,
                name: call.name,
                arguments,
            }))
            .await;
        }
        Ok(self.usage)
    }

    async fn send(&self, event: LlmEvent) {
        // A reader that has gone cancels the whole answer elsewhere.
        let _ = self.sender.send(event).await;
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

fn header_value(setting: &str, text: &str) -> Result<HeaderValue, ProviderError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| ProviderError::Rejected(format!("{setting}: not a header value")))?;
    value.set_sensitive(true);
    Ok(value)
}

async fn refusal(mut response: Response, deadline: Instant) -> ProviderError {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse::<f64>().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return ProviderError::Unauthorized,
        StatusCode::TOO_MANY_REQUESTS => return ProviderError::RateLimited { retry_after },
        StatusCode::REQUEST_TIMEOUT => return ProviderError::TimedOut,
        _ => {}
    }
    let mut body = Vec::new();
    while body.len() < ERROR_BYTES_MAX
        && let Ok(Ok(Some(chunk))) = timeout_at(deadline, response.chunk()).await
    {
        body.extend_from_slice(&chunk);
    }
    let message = serde_json::from_slice::<Value>(&body)
        .ok()
        .and_then(|body| Some(error_message(body.get("error")?)))
        .unwrap_or_default();
    let text = format!("status {} {message}", status.as_u16());
    if status.is_client_error() || status.is_redirection() {
        ProviderError::Rejected(text)
    } else {
        ProviderError::Failed(text)
    }
}

fn error_message(error: &Value) -> String {
    error
        .get("message")
        .and_then(Value::as_str)
        .map_or_else(|| error.to_string(), str::to_owned)
}

fn transport(error: reqwest::Error) -> ProviderError {
    if error.is_timeout() {
        return ProviderError::TimedOut;
    }
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    ProviderError::Connection(cause.to_string())
}
