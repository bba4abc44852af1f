//! One streamed answer over HTTP, whatever the vendor's events look like: deadlines, one retry
//! before the first useful piece, cancellation by dropping the connection.

use std::time::Duration;

use reqwest::Response;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::llm::{FaultReport, LlmEvent, LlmUsage};
use crate::provider_error::ProviderError;
use crate::providers::http::{refusal, transport};
use crate::providers::sse::SseParser;

/// Events waiting to be taken; when full, the network is read no further.
const EVENTS_MAX: usize = 64;
/// Most tool calls in one answer.
pub(crate) const TOOL_CALLS_MAX: usize = 16;
/// Longest arguments of one tool call.
pub(crate) const ARGUMENT_BYTES_MAX: usize = 64 * 1024;

/// Reads the events of one answer; free of I/O and clock.
pub(crate) trait AnswerDecoder: Send + 'static {
    /// Takes the data of one event. `true` says that the answer is complete.
    fn take(&mut self, data: &str, out: &mut Vec<LlmEvent>) -> Result<bool, ProviderError>;
    /// Whether a word or a piece of a tool call has come.
    fn useful(&self) -> bool;
    /// Whether the answer may end where the connection did.
    fn may_end(&self) -> bool;
    /// Gives out what comes last.
    fn finish(&mut self, out: &mut Vec<LlmEvent>) -> Result<Option<LlmUsage>, ProviderError>;
}

/// How long is waited.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For the first useful piece, retry included.
    pub(crate) first: Duration,
    /// Between pieces.
    pub(crate) stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(2_500),
            stall: Duration::from_millis(3_000),
        }
    }
}

/// A request that is answered by a stream of events.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) client: reqwest::Client,
    pub(crate) url: Url,
    pub(crate) body: Value,
    pub(crate) patience: Patience,
}

impl Question {
    /// Asks in a task of its own. Dropping the receiver drops the connection, which is how an
    /// answer is cancelled.
    pub(crate) fn ask<D: AnswerDecoder>(
        self,
        decoder: impl Fn() -> D + Send + Sync + 'static,
    ) -> mpsc::Receiver<LlmEvent> {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        tokio::spawn(async move {
            let cancelled = sender.clone();
            tokio::select! {
                () = cancelled.closed() => {}
                outcome = self.answer(&decoder, &sender) => {
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

    /// Asks, once more if the first time fails before anything useful came.
    async fn answer<D: AnswerDecoder>(
        &self,
        decoder: &(impl Fn() -> D + Sync),
        sender: &mpsc::Sender<LlmEvent>,
    ) -> Result<Option<LlmUsage>, ProviderError> {
        let deadline = Instant::now() + self.patience.first;
        let mut first = decoder();
        let error = match self.attempt(&mut first, deadline, sender).await {
            Ok(usage) => return Ok(usage),
            Err(error) => error,
        };
        let wait = match &error {
            ProviderError::RateLimited { retry_after } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        if first.useful() || !error.is_retryable() || Instant::now() + wait >= deadline {
            return Err(error);
        }
        tracing::debug!(%error, "language model is asked again");
        tokio::time::sleep(wait).await;
        self.attempt(&mut decoder(), deadline, sender).await
    }

    async fn attempt<D: AnswerDecoder>(
        &self,
        decoder: &mut D,
        deadline: Instant,
        sender: &mpsc::Sender<LlmEvent>,
    ) -> Result<Option<LlmUsage>, ProviderError> {
        let request = self.client.post(self.url.clone()).json(&self.body).send();
        let response = timeout_at(deadline, request)
            .await
            .map_err(|_| ProviderError::TimedOut)?
            .map_err(transport)?;
        if !response.status().is_success() {
            return Err(refusal(response, deadline).await);
        }
        self.read(response, decoder, deadline, sender).await
    }

    async fn read<D: AnswerDecoder>(
        &self,
        mut response: Response,
        decoder: &mut D,
        first: Instant,
        sender: &mpsc::Sender<LlmEvent>,
    ) -> Result<Option<LlmUsage>, ProviderError> {
        let mut parser = SseParser::default();
        let mut deadline = first;
        let mut complete = false;
        while !complete {
            let chunk = timeout_at(deadline, response.chunk())
                .await
                .map_err(|_| ProviderError::TimedOut)?
                .map_err(transport)?;
            let Some(chunk) = chunk else {
                if decoder.may_end() {
                    break;
                }
                return Err(ProviderError::Connection("answer was cut off".into()));
            };
            let events = parser
                .push(&chunk)
                .map_err(|error| ProviderError::Failed(error.to_string()))?;
            let progress = !events.is_empty();
            for data in events {
                let mut out = Vec::new();
                let taken = decoder.take(&data, &mut out);
                give(sender, out).await;
                if taken? {
                    complete = true;
                    break;
                }
            }
            // Comments keep a connection open but are no progress.
            if progress && decoder.useful() {
                deadline = Instant::now() + self.patience.stall;
            }
        }
        let mut out = Vec::new();
        let usage = decoder.finish(&mut out);
        give(sender, out).await;
        usage
    }
}

async fn give(sender: &mpsc::Sender<LlmEvent>, events: Vec<LlmEvent>) {
    for event in events {
        // A reader that has gone cancels the whole answer elsewhere.
        let _ = sender.send(event).await;
    }
}

/// Arguments of a tool call out of their joined pieces; none are an empty object.
pub(crate) fn arguments(name: &str, text: &str) -> Result<Value, ProviderError> {
    match text.trim() {
        "" => Ok(Value::Object(serde_json::Map::new())),
        text => serde_json::from_str(text)
            .map_err(|error| ProviderError::Failed(format!("arguments of {name}: {error}"))),
    }
}

/// The data of an event.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(data: &str) -> Result<T, ProviderError> {
    serde_json::from_str(data)
        .map_err(|error| ProviderError::Failed(format!("unreadable chunk: {error}")))
}
