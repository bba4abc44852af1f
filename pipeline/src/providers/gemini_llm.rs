//! Google's Gemini, `streamGenerateContent`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use url::Url;

use crate::llm::{
    LanguageModel, LanguageModelSession, LlmEvent, LlmSessionRequest, LlmUsage, Message, ToolCall,
};
use crate::provider_error::ProviderError;
use crate::providers::http::{CONNECT_MAX, client, error_message, headers, refusal_of};
use crate::providers::llm_stream::{AnswerDecoder, Patience, Question, TOOL_CALLS_MAX, parse};
use crate::providers::openai_messages::{messages, tools};
use crate::providers::settings::ProviderSettings;

/// Begins ids that we make up because the server gave none.
const OWN_ID: &str = "call-";

/// Signatures of function calls by id: the model wants them back with the call.
type Signatures = Arc<Mutex<HashMap<String, String>>>;

struct Shared {
    settings: ProviderSettings,
    url: Url,
    client: reqwest::Client,
}

/// A Gemini model.
pub(crate) struct GeminiModel(Arc<Shared>);

impl GeminiModel {
    pub(crate) fn new(settings: ProviderSettings) -> Result<Self, ProviderError> {
        let model = settings.model_or("gemini-2.5-flash");
        let path = format!("/v1beta/models/{model}:streamGenerateContent?alt=sse");
        let url = settings.http_url("https://generativelanguage.googleapis.com", &path)?;
        let headers = headers(&[("x-goog-api-key", settings.key())])?;
        let client = client(headers, CONNECT_MAX)?;
        Ok(Self(Arc::new(Shared {
            settings,
            url,
            client,
        })))
    }
}

#[async_trait]
impl LanguageModel for GeminiModel {
    fn name(&self) -> &str {
        "gemini"
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
                    "parametersJsonSchema": function["parameters"],
                })
            })
            .collect();
        Ok(Box::new(Session {
            shared: Arc::clone(&self.0),
            system_prompt: request.system_prompt,
            tools,
            signatures: Signatures::default(),
            answers: 0,
        }))
    }
}

struct Session {
    shared: Arc<Shared>,
    system_prompt: String,
    tools: Vec<Value>,
    signatures: Signatures,
    answers: u64,
}

#[async_trait]
impl LanguageModelSession for Session {
    async fn respond(&mut self, history: &[Message]) -> mpsc::Receiver<LlmEvent> {
        let chat = messages(&self.system_prompt, history);
        let (system, contents) = {
            let signatures = self
                .signatures
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            converted(&chat, &signatures)
        };
        let mut body = json!({
            "contents": contents,
            "tools": [{"functionDeclarations": self.tools}],
        });
        if !system.is_empty() {
            body["systemInstruction"] = json!({"parts": [{"text": system}]});
        }
        self.shared.settings.merge_options(&mut body);
        self.answers += 1;
        let number = self.answers;
        let signatures = Arc::clone(&self.signatures);
        let question = Question {
            client: self.shared.client.clone(),
            url: self.shared.url.clone(),
            body,
            patience: Patience::default(),
        };
        question.ask(move || Answer {
            number,
            calls: 0,
            useful: false,
            finish_reason: None,
            usage: None,
            signatures: Arc::clone(&signatures),
        })
    }
}

/// System text and contents out of the messages of a chat completion.
fn converted(chat: &[Value], signatures: &HashMap<String, String>) -> (String, Vec<Value>) {
    let mut system: Vec<&str> = Vec::new();
    let mut out: Vec<Value> = Vec::new();
    let mut names: HashMap<&str, &str> = HashMap::new();
    for message in chat {
        let text = message["content"].as_str().unwrap_or_default();
        let mut parts = Vec::new();
        if !text.is_empty() && message["role"] != "tool" {
            parts.push(json!({"text": text}));
        }
        let role = match message["role"].as_str() {
            Some("system") => {
                system.push(text);
                continue;
            }
            Some("assistant") => {
                for call in message["tool_calls"].as_array().into_iter().flatten() {
                    let id = call["id"].as_str().unwrap_or_default();
                    let name = call["function"]["name"].as_str().unwrap_or_default();
                    names.insert(id, name);
                    let arguments = call["function"]["arguments"].as_str().unwrap_or("{}");
                    let args: Value = serde_json::from_str(arguments).unwrap_or_default();
                    let mut part = json!({"functionCall": {"name": name, "args": args}});
                    if !id.starts_with(OWN_ID) {
                        part["functionCall"]["id"] = json!(id);
                    }
                    if let Some(signature) = signatures.get(id) {
                        part["thoughtSignature"] = json!(signature);
                    }
                    parts.push(part);
                }
                "model"
            }
            Some("tool") => {
                let id = message["tool_call_id"].as_str().unwrap_or_default();
                let response = serde_json::from_str::<Value>(text)
                    .ok()
                    .filter(Value::is_object)
                    .unwrap_or_else(|| json!({"result": text}));
                let name = names.get(id).copied().unwrap_or_default();
                let mut part = json!({"functionResponse": {"name": name, "response": response}});
                if !id.starts_with(OWN_ID) {
                    part["functionResponse"]["id"] = json!(id);
                }
                parts.push(part);
                "user"
            }
            _ => "user",
        };
        match out.last_mut() {
            Some(last) if last["role"] == role => {
                if let Some(content) = last["parts"].as_array_mut() {
                    content.extend(parts);
                }
            }
            _ if parts.is_empty() => {}
            _ => out.push(json!({"role": role, "parts": parts})),
        }
    }
    if out.first().is_some_and(|first| first["role"] == "model") {
        let opening = json!([{"text": "(The call is answered.)"}]);
        out.insert(0, json!({"role": "user", "parts": opening}));
    }
    (system.join("\n\n"), out)
}

/// One answer as it comes in.
struct Answer {
    number: u64,
    calls: usize,
    useful: bool,
    finish_reason: Option<String>,
    usage: Option<LlmUsage>,
    signatures: Signatures,
}

impl Answer {
    fn call(&mut self, part: &Value, out: &mut Vec<LlmEvent>) -> Result<(), ProviderError> {
        let call = &part["functionCall"];
        let id = match call["id"].as_str() {
            Some(id) if !id.is_empty() => id.to_owned(),
            _ => format!("{OWN_ID}{}-{}", self.number, self.calls),
        };
        self.calls += 1;
        self.useful = true;
        if self.calls > TOOL_CALLS_MAX {
            return Err(ProviderError::Failed("tool calls without end".into()));
        }
        if let Some(signature) = part["thoughtSignature"].as_str() {
            let mut signatures = self
                .signatures
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            signatures.insert(id.clone(), signature.to_owned());
        }
        out.push(LlmEvent::ToolCall(ToolCall {
            id,
            name: call["name"].as_str().unwrap_or_default().to_owned(),
            arguments: match &call["args"] {
                Value::Null => json!({}),
                args => args.clone(),
            },
        }));
        Ok(())
    }
}

impl AnswerDecoder for Answer {
    fn take(&mut self, data: &str, out: &mut Vec<LlmEvent>) -> Result<bool, ProviderError> {
        let chunk: Value = parse(data)?;
        if let Some(error) = chunk.get("error") {
            let status = error["code"]
                .as_u64()
                .and_then(|code| u16::try_from(code).ok())
                .and_then(|code| reqwest::StatusCode::from_u16(code).ok());
            return Err(match status {
                Some(status) => refusal_of(status, None, data.as_bytes()),
                None => ProviderError::Failed(error_message(error)),
            });
        }
        let usage = &chunk["usageMetadata"];
        if usage.is_object() {
            let number = |key: &str| usage[key].as_u64().unwrap_or(0);
            // Totals so far.
            self.usage = Some(LlmUsage {
                input_tokens: number("promptTokenCount"),
                output_tokens: number("candidatesTokenCount") + number("thoughtsTokenCount"),
            });
        }
        if let Some(reason) = chunk["promptFeedback"]["blockReason"].as_str() {
            return Err(ProviderError::Rejected(format!("prompt blocked: {reason}")));
        }
        let candidate = &chunk["candidates"][0];
        for part in candidate["content"]["parts"]
            .as_array()
            .into_iter()
            .flatten()
        {
            if part["functionCall"].is_object() {
                self.call(part, out)?;
            } else if part["thought"] != true
                && let Some(text) = part["text"].as_str().filter(|text| !text.is_empty())
            {
                self.useful = true;
                out.push(LlmEvent::Text(text.to_owned()));
            }
        }
        if let Some(reason) = candidate["finishReason"].as_str() {
            self.finish_reason = Some(reason.to_owned());
        }
        // There is no end mark: the stream closes.
        Ok(false)
    }

    fn useful(&self) -> bool {
        self.useful
    }

    fn may_end(&self) -> bool {
        self.finish_reason.is_some()
    }

    fn finish(&mut self, _: &mut Vec<LlmEvent>) -> Result<Option<LlmUsage>, ProviderError> {
        match self.finish_reason.as_deref() {
            Some("STOP" | "MAX_TOKENS") | None => Ok(self.usage),
            Some(_) if self.useful => Ok(self.usage),
            Some(reason) => Err(ProviderError::Rejected(format!("no answer: {reason}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_ids_stay_here_and_signatures_go_back() {
        let history = [
            Message::User {
                text: "x".into(),
                dtmf: false,
            },
            Message::ToolCall(ToolCall {
                id: "call-1-0".into(),
                name: "look_up".into(),
                arguments: json!({"day": 1}),
            }),
            Message::ToolResult {
                id: "call-1-0".into(),
                content: "fine".into(),
                is_error: false,
            },
        ];
        let signatures = [("call-1-0".to_owned(), "sig".to_owned())].into();
        let (_, contents) = converted(&messages("", &history), &signatures);
        let call = &contents[1]["parts"][0];
        assert_eq!(call["thoughtSignature"], "sig");
        assert!(call["functionCall"].get("id").is_none());
        assert_eq!(
            contents[2]["parts"][0]["functionResponse"],
            json!({"name": "look_up", "response": {"result": "fine"}})
        );
    }
}
