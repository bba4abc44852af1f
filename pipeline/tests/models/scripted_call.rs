//! A call by text: the conversation's part of the seam, without sound.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use pipeline::llm::record_tools::RecordTools;
use pipeline::llm::records::{MemoryRecordStore, RecordStore};
use pipeline::llm::{
    LanguageModel, LanguageModelSession, LlmEvent, LlmSessionRequest, Message, ToolRunner,
};
use pipeline::stt::RecognitionHints;
use pipeline::workflow::{Workflow, WorkflowModel};
use serde_json::json;

pub(crate) const CLINIC: &str = include_str!("../../../fixtures/workflows/clinic.toml");

/// A Sunday morning in New York.
pub(crate) const SUNDAY: &str = "2026-11-22T15:00:00Z";

pub(crate) fn clinic() -> Arc<Workflow> {
    static WORKFLOW: LazyLock<Arc<Workflow>> = LazyLock::new(|| {
        Arc::new(Workflow::from_toml(CLINIC).unwrap_or_else(|error| panic!("{error}")))
    });
    Arc::clone(&WORKFLOW)
}

/// What one answer held.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) text: String,
    pub(crate) hints: Option<Arc<RecognitionHints>>,
    pub(crate) transferred_to: Option<String>,
    pub(crate) ended: bool,
}

pub(crate) struct ScriptedCall {
    pub(crate) session: Box<dyn LanguageModelSession>,
    pub(crate) history: Vec<Message>,
    tools: RecordTools,
    /// What transfers come to.
    pub(crate) transfer: Result<(), &'static str>,
    /// Names of the tools run so far.
    pub(crate) tool_log: Vec<String>,
}

impl ScriptedCall {
    pub(crate) async fn new(
        workflow: Arc<Workflow>,
        store: Arc<dyn RecordStore>,
        now: &str,
    ) -> Self {
        let now: DateTime<Utc> = now.parse().expect("a time in the test");
        let tools = RecordTools::new(store, workflow.collections().to_vec());
        let model = WorkflowModel::new(workflow, Arc::new(move || now));
        let request = LlmSessionRequest {
            time_zone: "America/New_York".into(),
            ..LlmSessionRequest::default()
        };
        Self {
            session: model.open(request).await.expect("a known time zone"),
            history: Vec::new(),
            tools,
            transfer: Err("busy"),
            tool_log: Vec::new(),
        }
    }

    pub(crate) async fn clinic() -> (Self, Arc<MemoryRecordStore>) {
        let store = Arc::new(MemoryRecordStore::default());
        let call = Self::new(clinic(), store.clone(), SUNDAY).await;
        (call, store)
    }

    pub(crate) async fn opening(&mut self) -> Heard {
        self.answer().await
    }

    pub(crate) async fn say(&mut self, text: &str) -> Heard {
        self.history.push(Message::User {
            text: text.into(),
            dtmf: false,
        });
        self.answer().await
    }

    pub(crate) async fn press(&mut self, keys: &str) -> Heard {
        self.history.push(Message::User {
            text: keys.into(),
            dtmf: true,
        });
        self.answer().await
    }

    pub(crate) async fn silence(&mut self) -> Heard {
        self.history.push(Message::Silence { count: 1 });
        self.answer().await
    }

    /// Answers until no tool result is due any more.
    async fn answer(&mut self) -> Heard {
        let mut heard = Heard::default();
        for _ in 0..8 {
            let mut receiver = self.session.respond(&self.history).await;
            let mut text = String::new();
            let mut calls = Vec::new();
            let mut done = false;
            while let Some(event) = receiver.recv().await {
                assert!(!done, "an event after the last one: {event:?}");
                match event {
                    LlmEvent::Text(piece) => text.push_str(&piece),
                    LlmEvent::Expect(expected) => heard.hints = Some(expected.0),
                    LlmEvent::ToolCall(call) => calls.push(call),
                    LlmEvent::Done { .. } => done = true,
                    other => panic!("unexpected {other:?}"),
                }
            }
            assert!(done, "the answer has no end");
            if !text.is_empty() {
                self.history.push(Message::Assistant {
                    text: text.clone(),
                    interrupted: false,
                });
                heard.text.push_str(&text);
                heard.text.push(' ');
            }
            let Some(call) = calls.pop() else {
                return heard;
            };
            self.history.push(Message::ToolCall(call.clone()));
            let (content, is_error) = match call.name.as_str() {
                "end_call" => {
                    heard.ended = true;
                    return heard;
                }
                "transfer_call" => {
                    heard.transferred_to = call.arguments["target"].as_str().map(str::to_owned);
                    match self.transfer {
                        Ok(()) => return heard,
                        Err(reason) => (json!(reason).to_string(), true),
                    }
                }
                name => {
                    self.tool_log.push(name.to_owned());
                    match self.tools.run(&call, &BTreeMap::new()).await {
                        Ok(value) => (value.to_string(), false),
                        Err(error) => (error.to_string(), true),
                    }
                }
            };
            self.history.push(Message::ToolResult {
                id: call.id,
                content,
                is_error,
            });
        }
        panic!("tools without end");
    }
}

/// Reads an answer to its end.
pub(crate) async fn read_all(
    session: &mut dyn LanguageModelSession,
    history: &[Message],
) -> Vec<LlmEvent> {
    let mut receiver = session.respond(history).await;
    let mut events = Vec::new();
    while let Some(event) = receiver.recv().await {
        events.push(event);
    }
    events
}

/// The words of an answer.
pub(crate) fn text_of(events: &[LlmEvent]) -> String {
    events
        .iter()
        .filter_map(|event| match event {
            LlmEvent::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

pub(crate) fn user(text: &str) -> Message {
    Message::User {
        text: text.into(),
        dtmf: false,
    }
}

pub(crate) fn agent(text: &str, interrupted: bool) -> Message {
    Message::Assistant {
        text: text.into(),
        interrupted,
    }
}
