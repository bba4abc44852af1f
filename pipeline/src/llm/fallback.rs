//! Several language models as one: the next is asked when one is slow or fails before its first
//! useful piece.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, timeout_at};

use crate::llm::{
    FaultReport, LanguageModel, LanguageModelSession, LlmEvent, LlmSessionRequest, Message,
};
use crate::provider_error::ProviderError;
use crate::provider_health::ProviderHealth;
use crate::provider_race::{Hedge, order, race};

/// Longest wait for the first word or tool call of a model.
const FIRST_MAX: Duration = Duration::from_millis(2_500);
/// Events that wait for the conversation.
const EVENTS_MAX: usize = 64;
const HEDGE: Hedge = Hedge {
    default: Duration::from_millis(1_500),
    min: Duration::from_millis(400),
};

/// Models in order of preference. They must keep no state of their own between answers: which of
/// them answers may change with every turn.
pub struct FallbackModel {
    models: Vec<Arc<dyn LanguageModel>>,
    healths: Arc<[Arc<ProviderHealth>]>,
    name: String,
}

impl std::fmt::Debug for FallbackModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FallbackModel").field(&self.name).finish()
    }
}

impl FallbackModel {
    /// These models, best first, each with its record.
    #[must_use]
    pub fn new(models: Vec<(Arc<dyn LanguageModel>, Arc<ProviderHealth>)>) -> Self {
        let names: Vec<&str> = models.iter().map(|(model, _)| model.name()).collect();
        let name = names.join("+");
        let (models, healths): (_, Vec<_>) = models.into_iter().unzip();
        Self {
            models,
            healths: healths.into(),
            name,
        }
    }
}

type Member = Mutex<Box<dyn LanguageModelSession>>;

#[async_trait]
impl LanguageModel for FallbackModel {
    fn name(&self) -> &str {
        &self.name
    }

    async fn open(
        &self,
        request: LlmSessionRequest,
    ) -> Result<Box<dyn LanguageModelSession>, ProviderError> {
        let mut sessions = Vec::new();
        let mut healths = Vec::new();
        let mut last = ProviderError::Unavailable("no language model".to_owned());
        for (model, health) in self.models.iter().zip(self.healths.iter()) {
            match model.open(request.clone()).await {
                Ok(session) => {
                    sessions.push(Mutex::new(session));
                    healths.push(Arc::clone(health));
                }
                Err(error) => last = error,
            }
        }
        if sessions.is_empty() {
            return Err(last);
        }
        Ok(Box::new(FallbackSession {
            sessions: sessions.into(),
            healths: healths.into(),
        }))
    }
}

struct FallbackSession {
    sessions: Arc<[Member]>,
    healths: Arc<[Arc<ProviderHealth>]>,
}

#[async_trait]
impl LanguageModelSession for FallbackSession {
    async fn respond(&mut self, history: &[Message]) -> mpsc::Receiver<LlmEvent> {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        let sessions = Arc::clone(&self.sessions);
        let healths = Arc::clone(&self.healths);
        let history = history.to_vec();
        tokio::spawn(async move {
            tokio::select! {
                // Dropping a model's receiver cancels its answer.
                () = sender.closed() => {}
                () = answer(&sessions, &healths, &history, &sender) => {}
            }
        });
        receiver
    }
}

async fn answer(
    sessions: &[Member],
    healths: &[Arc<ProviderHealth>],
    history: &[Message],
    sender: &mpsc::Sender<LlmEvent>,
) {
    let begin = |index: usize| begin(&sessions[index], history);
    let order = order(healths, &[]);
    let (index, (head, mut tail)) = match race(healths, &order, HEDGE, begin).await {
        Ok(found) => found,
        Err(error) => {
            let fault = LlmEvent::Fault(FaultReport {
                retryable: error.is_retryable(),
                message: error.to_string(),
            });
            let _ = sender.send(fault).await;
            return;
        }
    };
    for event in head {
        let _ = sender.send(event).await;
    }
    // What is said cannot be taken back: from here on the answer is this model's.
    while let Some(event) = tail.recv().await {
        if matches!(event, LlmEvent::Fault(_)) {
            healths[index].failed(Instant::now().into_std());
        }
        let _ = sender.send(event).await;
    }
}

/// Asks a model and waits for its first useful piece.
async fn begin(
    session: &Member,
    history: &[Message],
) -> Result<(Vec<LlmEvent>, mpsc::Receiver<LlmEvent>), ProviderError> {
    let deadline = Instant::now() + FIRST_MAX;
    let late = |_| ProviderError::TimedOut;
    let mut events = timeout_at(deadline, async {
        session.lock().await.respond(history).await
    })
    .await
    .map_err(late)?;
    let mut head = Vec::new();
    loop {
        let event = timeout_at(deadline, events.recv()).await.map_err(late)?;
        let event = match event {
            None => return Err(ProviderError::Failed("no last event".to_owned())),
            Some(LlmEvent::Fault(report)) if report.retryable => {
                return Err(ProviderError::Failed(report.message));
            }
            Some(LlmEvent::Fault(report)) => return Err(ProviderError::Rejected(report.message)),
            Some(event) => event,
        };
        let useful = match &event {
            LlmEvent::Text(text) => !text.trim().is_empty(),
            LlmEvent::ToolCall(_) | LlmEvent::Done { .. } => true,
            LlmEvent::Expect(_) | LlmEvent::Fault(_) => false,
        };
        head.push(event);
        if useful {
            return Ok((head, events));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits so many ms, then says its words or fails.
    #[derive(Clone)]
    struct Scripted {
        wait: u64,
        events: Vec<LlmEvent>,
    }

    #[async_trait]
    impl LanguageModel for Scripted {
        fn name(&self) -> &str {
            "scripted"
        }

        async fn open(
            &self,
            _: LlmSessionRequest,
        ) -> Result<Box<dyn LanguageModelSession>, ProviderError> {
            Ok(Box::new(self.clone()))
        }
    }

    #[async_trait]
    impl LanguageModelSession for Scripted {
        async fn respond(&mut self, _: &[Message]) -> mpsc::Receiver<LlmEvent> {
            let (sender, receiver) = mpsc::channel(8);
            let this = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(this.wait)).await;
                for event in this.events {
                    let _ = sender.send(event).await;
                }
            });
            receiver
        }
    }

    fn says(wait: u64, text: &str) -> Scripted {
        Scripted {
            wait,
            events: vec![LlmEvent::Text(text.into()), LlmEvent::Done { usage: None }],
        }
    }

    fn fault(retryable: bool) -> LlmEvent {
        LlmEvent::Fault(FaultReport {
            retryable,
            message: "oh".into(),
        })
    }

    async fn ask(models: &[Scripted]) -> (Vec<LlmEvent>, u128) {
        let members = models
            .iter()
            .map(|model| {
                let model: Arc<dyn LanguageModel> = Arc::new(model.clone());
                (model, Arc::new(ProviderHealth::new("llm", "x")))
            })
            .collect();
        let model = FallbackModel::new(members);
        let mut session = model.open(LlmSessionRequest::default()).await.unwrap();
        let began = Instant::now();
        let mut events = session.respond(&[]).await;
        let mut out = Vec::new();
        while let Some(event) = events.recv().await {
            out.push(event);
        }
        (out, began.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_or_refusing_model_is_stood_in_for() {
        let (events, took) = ask(&[says(9_000, "late"), says(300, "here")]).await;
        assert_eq!(
            (events[0].clone(), took),
            (LlmEvent::Text("here".into()), 1_800)
        );
        let refusing = Scripted {
            wait: 100,
            events: vec![fault(false)],
        };
        let (events, took) = ask(&[refusing, says(300, "here")]).await;
        assert_eq!(
            (events[0].clone(), took),
            (LlmEvent::Text("here".into()), 400)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_behind_the_first_word_is_passed_on_and_not_repeated() {
        let breaking = Scripted {
            wait: 0,
            events: vec![LlmEvent::Text("We are".into()), fault(true)],
        };
        let (events, _) = ask(&[breaking, says(0, "other")]).await;
        assert_eq!(events, [LlmEvent::Text("We are".into()), fault(true)]);
    }

    #[tokio::test(start_paused = true)]
    async fn when_no_model_answers_a_fault_comes_in_time() {
        let (events, took) = ask(&[says(60_000, ""), says(60_000, "")]).await;
        assert!(matches!(events[..], [LlmEvent::Fault(_)]), "{events:?}");
        assert_eq!(took, 4_000);
    }
}
