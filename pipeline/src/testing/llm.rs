//! A model that says what its script says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::llm::{
    ExpectedAnswer, FaultReport, LanguageModel, LanguageModelSession, LlmEvent, LlmSessionRequest,
    Message, ToolCall,
};
use crate::provider_error::ProviderError;
use crate::stt::RecognitionHints;

/// Pieces of an answer that wait for the reader.
const EVENTS: usize = 64;

/// One scripted answer.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Reply {
    /// Events before the last one.
    pub events: Vec<LlmEvent>,
    /// The answer fails after these events.
    pub fault: Option<FaultReport>,
}

impl Reply {
    /// An answer of this text, word by word.
    #[must_use]
    pub fn say(text: &str) -> Self {
        Self::default().and_say(text)
    }

    /// More text.
    #[must_use]
    pub fn and_say(mut self, text: &str) -> Self {
        self.events.extend(
            text.split_inclusive(' ')
                .map(|w| LlmEvent::Text(w.to_owned())),
        );
        self
    }

    /// A call of a tool.
    #[must_use]
    pub fn and_call(mut self, id: &str, name: &str, arguments: Value) -> Self {
        self.events.push(LlmEvent::ToolCall(ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments,
        }));
        self
    }

    /// What the next answer of the caller looks like.
    #[must_use]
    pub fn and_expect(mut self, hints: RecognitionHints) -> Self {
        self.events
            .push(LlmEvent::Expect(ExpectedAnswer(Arc::new(hints))));
        self
    }

    /// An answer that fails at once.
    #[must_use]
    pub fn fail(retryable: bool) -> Self {
        Self {
            events: Vec::new(),
            fault: Some(FaultReport {
                retryable,
                message: "scripted to fail".to_owned(),
            }),
        }
    }

    /// All events, the last one included.
    #[must_use]
    pub fn into_events(self) -> Vec<LlmEvent> {
        let last = match self.fault {
            Some(report) => LlmEvent::Fault(report),
            None => LlmEvent::Done { usage: None },
        };
        self.events.into_iter().chain([last]).collect()
    }
}

/// Gives its replies one after another, then repeats `otherwise`; remembers what it was asked.
#[derive(Clone, Debug, Default)]
pub struct ScriptedModel {
    /// Wait before the first event.
    pub first_token: Duration,
    /// Said when the script has run out.
    pub otherwise: Reply,
    script: Arc<Mutex<VecDeque<Reply>>>,
    asked: Arc<Mutex<Vec<Vec<Message>>>>,
}

impl ScriptedModel {
    /// A model with this script.
    #[must_use]
    pub fn new(script: impl IntoIterator<Item = Reply>) -> Self {
        Self {
            first_token: Duration::from_millis(100),
            otherwise: Reply::say("All right."),
            script: Arc::new(Mutex::new(script.into_iter().collect())),
            asked: Arc::default(),
        }
    }

    /// The histories it was asked with, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<Vec<Message>> {
        lock(&self.asked).clone()
    }

    /// Takes the next reply for a history.
    #[must_use]
    pub fn reply_to(&self, history: &[Message]) -> Reply {
        lock(&self.asked).push(history.to_vec());
        lock(&self.script)
            .pop_front()
            .unwrap_or_else(|| self.otherwise.clone())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct ScriptedSession(ScriptedModel);

#[async_trait]
impl LanguageModelSession for ScriptedSession {
    async fn respond(&mut self, history: &[Message]) -> mpsc::Receiver<LlmEvent> {
        let reply = self.0.reply_to(history);
        let first_token = self.0.first_token;
        let (events, receiver) = mpsc::channel(EVENTS);
        tokio::spawn(async move {
            tokio::time::sleep(first_token).await;
            for event in reply.into_events() {
                if events.send(event).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }
}

#[async_trait]
impl LanguageModel for ScriptedModel {
    fn name(&self) -> &str {
        "scripted"
    }

    async fn open(
        &self,
        _request: LlmSessionRequest,
    ) -> Result<Box<dyn LanguageModelSession>, ProviderError> {
        Ok(Box::new(ScriptedSession(self.clone())))
    }
}
