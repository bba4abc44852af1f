//! Anthropic's messages API.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use url::Url;

use crate::llm::{
    LanguageModel, LanguageModelSession, LlmEvent, LlmSessionRequest, LlmUsage, Message, ToolCall,
};
use crate::provider_error::ProviderError;
use crate::providers::http::{CONNECT_MAX, client, error_message, headers};
use crate::providers::llm_stream::{
    ARGUMENT_BYTES_MAX, AnswerDecoder, Patience, Question, TOOL_CALLS_MAX, arguments, parse,
};
use crate::providers::openai_messages::{messages, tools};
use crate::providers::settings::ProviderSettings;

/// Version of the protocol, a header of every request.
const VERSION: &str = "2023-06-01";

struct Shared {
    settings: ProviderSettings,
    url: Url,
    client: reqwest::Client,
}

/// A model behind the messages API.
pub(crate) struct AnthropicModel(Arc<Shared>);

impl AnthropicModel {
    pub(crate) fn new(settings: ProviderSettings) -> Result<Self, ProviderError> {
        let url = settings.http_url("https://api.anthropic.com", "/v1/messages")?;
        let headers = headers(&[
            ("x-api-key", settings.key()),
            ("anthropic-version", VERSION),
        ])?;
        let client = client(headers, CONNECT_MAX)?;
        Ok(Self(Arc::new(Shared {
            settings,
            url,
            client,
        })))
    }
}

#[async_trait]
impl LanguageModel for AnthropicModel {
    fn name(&self) -> &str {
        "anthropic"
    }

    async fn open(
        &self,
        request: LlmSessionRequest,
    ) -> Result<Box<dyn LanguageModelSession>, ProviderError> {
        let tools = tools(&request.tools)
            .iter()
            .map(|tool| {
                let function = &tool["function"];
                json!({
                    "name": function["name"],
                    "description": function["description"],
                    "input_schema": function["parameters"],
                })
            })
            .collect();
        Ok(Box::new(Session {
            shared: Arc::clone(&self.0),
            system_prompt: request.system_prompt,
            tools,
        }))
    }
}

struct Session {
    shared: Arc<Shared>,
    system_prompt: String,
    tools: Vec<Value>,
}

#[async_trait]
impl LanguageModelSession for Session {
    async fn respond(&mut self, history: &[Message]) -> mpsc::Receiver<LlmEvent> {
        let (system, messages) = converted(&messages(&self.system_prompt, history));
        let mut body = json!({
            "model": self.shared.settings.model_or("claude-haiku-4-5"),
            "max_tokens": 1024,
            "messages": messages,
            "tools": self.tools,
            "stream": true,
        });
        if !system.is_empty() {
            // The prompt is the same in every turn of every call: worth keeping at the vendor's.
            body["system"] = json!([
                {"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}
            ]);
        }
        self.shared.settings.merge_options(&mut body);
        let question = Question {
            client: self.shared.client.clone(),
            url: self.shared.url.clone(),
            body,
            patience: Patience::default(),
        };
        question.ask(Answer::default)
    }
}

/// System text and messages out of those of a chat completion, which has the order right: every
/// tool call has its result behind it.
fn converted(chat: &[Value]) -> (String, Vec<Value>) {
    let mut system: Vec<&str> = Vec::new();
    let mut out: Vec<Value> = Vec::new();
    for message in chat {
        let text = message["content"].as_str().unwrap_or_default();
        let mut blocks = Vec::new();
        if !text.is_empty() && message["role"] != "tool" {
            blocks.push(json!({"type": "text", "text": text}));
        }
        let role = match message["role"].as_str() {
            Some("system") => {
                system.push(text);
                continue;
            }
            Some("assistant") => {
                for call in message["tool_calls"].as_array().into_iter().flatten() {
                    let arguments = call["function"]["arguments"].as_str().unwrap_or("{}");
                    let input: Value = serde_json::from_str(arguments).unwrap_or_default();
                    blocks.push(json!({
                        "type": "tool_use",
                        "id": call["id"],
                        "name": call["function"]["name"],
                        "input": input,
                    }));
                }
                "assistant"
            }
            Some("tool") => {
                blocks.push(json!({
                    "type": "tool_result",
                    "tool_use_id": message["tool_call_id"],
                    "content": text,
                }));
                "user"
            }
            _ => "user",
        };
        match out.last_mut() {
            // All results of one answer belong into one message.
            Some(last) if last["role"] == role => {
                if let Some(content) = last["content"].as_array_mut() {
                    content.extend(blocks);
                }
            }
            _ if blocks.is_empty() => {}
            _ => out.push(json!({"role": role, "content": blocks})),
        }
    }
    // The first message must be the user's.
    if out
        .first()
        .is_some_and(|first| first["role"] == "assistant")
    {
        let opening = json!([{"type": "text", "text": "(The call is answered.)"}]);
        out.insert(0, json!({"role": "user", "content": opening}));
    }
    (system.join("\n\n"), out)
}

/// One answer as it comes in.
#[derive(Default)]
struct Answer {
    useful: bool,
    stop_reason: Option<String>,
    usage: LlmUsage,
    /// Tool calls by block.
    calls: BTreeMap<u64, (String, String, String)>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    index: u64,
    #[serde(default)]
    message: Value,
    #[serde(default)]
    content_block: Value,
    #[serde(default)]
    delta: Value,
    #[serde(default)]
    usage: Value,
    #[serde(default)]
    error: Value,
}

impl Answer {
    fn count(&mut self, usage: &Value) {
        let number = |key: &str| usage[key].as_u64().unwrap_or(0);
        let read = number("input_tokens")
            + number("cache_read_input_tokens")
            + number("cache_creation_input_tokens");
        // Both counts are totals so far.
        self.usage.input_tokens = self.usage.input_tokens.max(read);
        self.usage.output_tokens = self.usage.output_tokens.max(number("output_tokens"));
    }
}

fn string(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

impl AnswerDecoder for Answer {
    fn take(&mut self, data: &str, out: &mut Vec<LlmEvent>) -> Result<bool, ProviderError> {
        let event: Event = parse(data)?;
        match event.kind.as_str() {
            "message_start" => self.count(&event.message["usage"]),
            "content_block_start" => match event.content_block["type"].as_str() {
                Some("tool_use") => {
                    self.useful = true;
                    let id = string(&event.content_block, "id");
                    let name = string(&event.content_block, "name");
                    self.calls.insert(event.index, (id, name, String::new()));
                    if self.calls.len() > TOOL_CALLS_MAX {
                        return Err(ProviderError::Failed("tool calls without end".into()));
                    }
                }
                Some("text") => {
                    let text = string(&event.content_block, "text");
                    if !text.is_empty() {
                        self.useful = true;
                        out.push(LlmEvent::Text(text));
                    }
                }
                // Thinking, and what may be added.
                _ => {}
            },
            "content_block_delta" => match event.delta["type"].as_str() {
                Some("text_delta") => {
                    let text = string(&event.delta, "text");
                    if !text.is_empty() {
                        self.useful = true;
                        out.push(LlmEvent::Text(text));
                    }
                }
                Some("input_json_delta") => {
                    if let Some((_, _, input)) = self.calls.get_mut(&event.index) {
                        input.push_str(event.delta["partial_json"].as_str().unwrap_or_default());
                        if input.len() > ARGUMENT_BYTES_MAX {
                            return Err(ProviderError::Failed("arguments without end".into()));
                        }
                    }
                }
                _ => {}
            },
            "message_delta" => {
                self.stop_reason = event.delta["stop_reason"].as_str().map(str::to_owned);
                self.count(&event.usage);
            }
            "message_stop" => return Ok(true),
            "error" => {
                let words = error_message(&event.error);
                return Err(match event.error["type"].as_str() {
                    Some("overloaded_error") => ProviderError::AtCapacity,
                    Some("rate_limit_error") => ProviderError::RateLimited { retry_after: None },
                    Some("authentication_error" | "permission_error") => {
                        ProviderError::Unauthorized
                    }
                    Some("invalid_request_error") => ProviderError::Rejected(words),
                    _ => ProviderError::Failed(words),
                });
            }
            _ => {}
        }
        Ok(false)
    }

    fn useful(&self) -> bool {
        self.useful
    }

    fn may_end(&self) -> bool {
        self.stop_reason.is_some()
    }

    fn finish(&mut self, out: &mut Vec<LlmEvent>) -> Result<Option<LlmUsage>, ProviderError> {
        if !self.useful && self.stop_reason.as_deref() == Some("refusal") {
            return Err(ProviderError::Rejected("the model refuses".into()));
        }
        for (id, name, input) in std::mem::take(&mut self.calls).into_values() {
            let arguments = arguments(&name, &input)?;
            out.push(LlmEvent::ToolCall(ToolCall {
                id,
                name,
                arguments,
            }));
        }
        Ok(Some(self.usage))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_one_answer_share_a_message_and_the_user_begins() {
        let history = [
            Message::Assistant {
                text: "Hello.".into(),
                interrupted: false,
            },
            Message::User {
                text: "two things".into(),
                dtmf: false,
            },
            Message::ToolCall(ToolCall {
                id: "a".into(),
                name: "x".into(),
                arguments: json!({"n": 1}),
            }),
            Message::ToolCall(ToolCall {
                id: "b".into(),
                name: "y".into(),
                arguments: json!({}),
            }),
            Message::ToolResult {
                id: "b".into(),
                content: "two".into(),
                is_error: false,
            },
        ];
        let (system, messages) = converted(&messages("Be brief.", &history));
        assert_eq!(system, "Be brief.");
        let roles: Vec<&str> = messages.iter().filter_map(|m| m["role"].as_str()).collect();
        assert_eq!(roles, ["user", "assistant", "user", "assistant", "user"]);
        assert_eq!(messages[3]["content"][0]["input"], json!({"n": 1}));
        let results = messages[4]["content"].as_array().unwrap();
        assert_eq!(results.len(), 2);
        assert_eq!(results[0]["tool_use_id"], "a");
        assert_eq!(results[1]["content"], "two");
    }
}
