//! Several recognisers as one: a session that fails, or owes its last word too long, is replaced,
//! and what it owes is asked of the next from the audio kept here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use media::frame::{Frame, SamplePosition};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::provider_error::ProviderError;
use crate::provider_health::ProviderHealth;
use crate::provider_race::order;
use crate::stt::{SpeechToText, SttCommand, SttEvent, SttRequest, SttStream, UtteranceId};

/// Commands that wait: 5 s of frames.
const COMMANDS: usize = 256;
/// Events that wait for the conversation.
const EVENTS: usize = 64;
/// Longest time to a session.
const OPEN_MAX: Duration = Duration::from_millis(2_500);
/// Longest wait for the last word on an utterance.
const FINAL_MAX: Duration = Duration::from_millis(2_500);
/// Failures of a recogniser in one call after which the next one is asked.
const FAILURES_MAX: u32 = 2;
/// Frames of an utterance that are kept for another session: 10 s.
const FRAMES_MAX: usize = 500;

/// Recognisers in order of preference.
pub struct FallbackRecogniser {
    members: Arc<Members>,
    name: String,
}

struct Members {
    recognisers: Vec<Arc<dyn SpeechToText>>,
    healths: Vec<Arc<ProviderHealth>>,
}

impl std::fmt::Debug for FallbackRecogniser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FallbackRecogniser")
            .field(&self.name)
            .finish()
    }
}

impl FallbackRecogniser {
    /// These recognisers, best first, each with its record.
    #[must_use]
    pub fn new(members: Vec<(Arc<dyn SpeechToText>, Arc<ProviderHealth>)>) -> Self {
        let names: Vec<&str> = members.iter().map(|(member, _)| member.name()).collect();
        let name = names.join("+");
        let (recognisers, healths) = members.into_iter().unzip();
        Self {
            members: Arc::new(Members {
                recognisers,
                healths,
            }),
            name,
        }
    }
}

#[async_trait]
impl SpeechToText for FallbackRecogniser {
    fn name(&self) -> &str {
        &self.name
    }

    async fn open(&self, request: SttRequest) -> Result<SttStream, ProviderError> {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (events, outbox) = mpsc::channel(EVENTS);
        let mut session = Session {
            failures: vec![0; self.members.recognisers.len()],
            members: Arc::clone(&self.members),
            request,
            events,
            owed: VecDeque::new(),
            index: 0,
        };
        let inner = session.open().await?;
        tokio::spawn(session.run(inner, inbox));
        Ok(SttStream {
            commands,
            events: outbox,
        })
    }
}

/// An utterance whose last word has not come.
struct Owed {
    id: UtteranceId,
    position: SamplePosition,
    frames: VecDeque<Frame>,
    /// When it is due, once it was asked for, and since when.
    due: Option<(Instant, Instant)>,
}

struct Session {
    members: Arc<Members>,
    request: SttRequest,
    events: mpsc::Sender<SttEvent>,
    owed: VecDeque<Owed>,
    /// The recogniser at work, and the failures of each in this call.
    index: usize,
    failures: Vec<u32>,
}

#[expect(
    clippy::large_enum_variant,
    reason = "frames travel by value, without heap"
)]
enum Wake {
    Command(Option<SttCommand>),
    Event(Option<SttEvent>),
    Due,
}

impl Session {
    async fn run(mut self, mut inner: SttStream, mut inbox: mpsc::Receiver<SttCommand>) {
        loop {
            let due = self
                .owed
                .iter()
                .filter_map(|o| o.due)
                .map(|(due, _)| due)
                .min();
            let events = self.events.clone();
            let wake = tokio::select! {
                biased;
                () = events.closed() => return,
                event = inner.events.recv() => Wake::Event(event),
                () = at(due) => Wake::Due,
                command = inbox.recv() => Wake::Command(command),
            };
            let failed = match wake {
                Wake::Command(None) => return,
                Wake::Command(Some(command)) => {
                    self.note(&command);
                    // A session that does not even take audio has failed.
                    inner.commands.try_send(command).is_err().then_some(true)
                }
                Wake::Event(None) | Wake::Due => Some(true),
                Wake::Event(Some(SttEvent::Fault { retryable, message })) => {
                    tracing::debug!(message, "recogniser failed");
                    Some(retryable)
                }
                Wake::Event(Some(event)) => {
                    if let SttEvent::Final { utterance, .. } = &event {
                        self.settled(*utterance);
                    }
                    let _ = self.events.send(event).await;
                    None
                }
            };
            if let Some(retryable) = failed {
                self.failed(self.index, retryable);
                inner = match self.open().await {
                    Ok(inner) => inner,
                    Err(error) => {
                        let fault = SttEvent::Fault {
                            retryable: error.is_retryable(),
                            message: error.to_string(),
                        };
                        let _ = self.events.send(fault).await;
                        return;
                    }
                };
            }
        }
    }

    fn failed(&mut self, index: usize, retryable: bool) {
        self.members.healths[index].failed(Instant::now().into_std());
        // What will not work a second time is not tried a second time.
        self.failures[index] += if retryable { 1 } else { FAILURES_MAX };
    }

    /// Opens a session with the best recogniser left and tells it what is owed.
    async fn open(&mut self) -> Result<SttStream, ProviderError> {
        let mut last = ProviderError::Unavailable("every recogniser has failed".to_owned());
        loop {
            let spent: Vec<usize> = (0..self.failures.len())
                .filter(|index| self.failures[*index] >= FAILURES_MAX)
                .collect();
            let order = order(&self.members.healths, &spent);
            let Some(&index) = order.first() else {
                return Err(last);
            };
            if index != self.index {
                self.members.healths[index].stood_in();
            }
            let opening = self.members.recognisers[index].open(self.request.clone());
            match timeout(OPEN_MAX, opening).await {
                Ok(Ok(inner)) => {
                    self.index = index;
                    if self.repeat(&inner).await {
                        return Ok(inner);
                    }
                    self.failed(index, true);
                }
                Ok(Err(error)) => {
                    self.failed(index, error.is_retryable());
                    last = error;
                }
                Err(_) => {
                    self.failed(index, true);
                    last = ProviderError::TimedOut;
                }
            }
        }
    }

    /// Says again what is owed; `false` when the session does not take it.
    async fn repeat(&mut self, inner: &SttStream) -> bool {
        let mut commands = Vec::new();
        for owed in &mut self.owed {
            let utterance = owed.id;
            let first = owed.frames.front().map_or(owed.position, |f| f.position);
            commands.push(SttCommand::Start {
                utterance,
                position: first,
            });
            commands.extend(owed.frames.iter().copied().map(SttCommand::Audio));
            if owed.due.is_some() {
                let now = Instant::now();
                owed.due = Some((now + FINAL_MAX, now));
                commands.push(SttCommand::Finish { utterance });
            }
        }
        let sending = async {
            for command in commands {
                if inner.commands.send(command).await.is_err() {
                    return false;
                }
            }
            true
        };
        timeout(OPEN_MAX, sending).await.unwrap_or(false)
    }

    /// Keeps what another session would need.
    fn note(&mut self, command: &SttCommand) {
        match command {
            SttCommand::Start {
                utterance,
                position,
            } => self.owed.push_back(Owed {
                id: *utterance,
                position: *position,
                frames: VecDeque::new(),
                due: None,
            }),
            SttCommand::Audio(frame) => {
                if let Some(owed) = self.owed.back_mut().filter(|o| o.due.is_none()) {
                    if owed.frames.len() == FRAMES_MAX {
                        owed.frames.pop_front();
                    }
                    owed.frames.push_back(*frame);
                }
            }
            SttCommand::Finish { utterance } => {
                if let Some(owed) = self.owed.iter_mut().find(|o| o.id == *utterance) {
                    let now = Instant::now();
                    owed.due = Some((now + FINAL_MAX, now));
                }
            }
            SttCommand::Cancel { utterance } => self.owed.retain(|o| o.id != *utterance),
            SttCommand::Hints(hints) => self.request.hints = Arc::clone(hints),
        }
    }

    fn settled(&mut self, id: UtteranceId) {
        let asked = self.owed.iter().find(|o| o.id == id).and_then(|o| o.due);
        if let Some((_, since)) = asked {
            self.members.healths[self.index].succeeded(since.elapsed());
        }
        self.owed.retain(|o| o.id > id);
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stt::RecognitionHints;

    /// Answers a finished utterance with the number of its frames, after failing as told.
    struct Scripted {
        name: &'static str,
        /// What each session does with the first utterance.
        sessions: std::sync::Mutex<VecDeque<Deed>>,
    }

    #[derive(Clone, Copy)]
    enum Deed {
        Answer,
        Refuse,
        Fault,
        Mute,
    }

    #[async_trait]
    impl SpeechToText for Scripted {
        fn name(&self) -> &str {
            self.name
        }

        async fn open(&self, _: SttRequest) -> Result<SttStream, ProviderError> {
            let deed = self
                .sessions
                .lock()
                .unwrap()
                .pop_front()
                .unwrap_or(Deed::Answer);
            if let Deed::Refuse = deed {
                return Err(ProviderError::Unauthorized);
            }
            let (commands, mut inbox) = mpsc::channel(1_024);
            let (events, outbox) = mpsc::channel(8);
            let name = self.name;
            tokio::spawn(async move {
                let mut frames = 0;
                while let Some(command) = inbox.recv().await {
                    match command {
                        SttCommand::Start { .. } => frames = 0,
                        SttCommand::Audio(_) => frames += 1,
                        SttCommand::Finish { utterance } => {
                            let event = match deed {
                                Deed::Mute => continue,
                                Deed::Fault => SttEvent::Fault {
                                    retryable: true,
                                    message: "oh".into(),
                                },
                                Deed::Answer | Deed::Refuse => SttEvent::Final {
                                    utterance,
                                    text: format!("{name} {frames}"),
                                    confidence: None,
                                    words: Vec::new(),
                                },
                            };
                            let _ = events.send(event).await;
                        }
                        _ => {}
                    }
                }
            });
            Ok(SttStream {
                commands,
                events: outbox,
            })
        }
    }

    async fn ask(first: &[Deed], second: &[Deed]) -> (SttEvent, u128) {
        let member = |name, deeds: &[Deed]| {
            let recogniser: Arc<dyn SpeechToText> = Arc::new(Scripted {
                name,
                sessions: std::sync::Mutex::new(deeds.iter().copied().collect()),
            });
            (recogniser, Arc::new(ProviderHealth::new("stt", name)))
        };
        let recogniser = FallbackRecogniser::new(vec![member("one", first), member("two", second)]);
        assert_eq!(recogniser.name(), "one+two");
        let request = SttRequest {
            language: "en".into(),
            hints: Arc::new(RecognitionHints::default()),
        };
        let began = Instant::now();
        let mut stt = recogniser.open(request).await.unwrap();
        let utterance = UtteranceId(1);
        let position = SamplePosition(0);
        let send = async |command| stt.commands.send(command).await.unwrap();
        send(SttCommand::Start {
            utterance,
            position,
        })
        .await;
        for index in 0..20 {
            let at = SamplePosition(index * 320);
            send(SttCommand::Audio(Frame::silence(at, began.into_std()))).await;
        }
        send(SttCommand::Finish { utterance }).await;
        let event = stt.events.recv().await.unwrap();
        (event, began.elapsed().as_millis())
    }

    fn text(event: SttEvent) -> String {
        match event {
            SttEvent::Final { text, .. } => text,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_session_is_replaced_and_asked_again_with_all_the_audio() {
        let (event, took) = ask(&[Deed::Fault, Deed::Answer], &[]).await;
        assert_eq!((text(event).as_str(), took), ("one 20", 0));
    }

    #[tokio::test(start_paused = true)]
    async fn two_failures_in_a_call_hand_over_to_the_next() {
        let (event, _) = ask(&[Deed::Fault, Deed::Fault, Deed::Answer], &[]).await;
        assert_eq!(text(event), "two 20");
    }

    #[tokio::test(start_paused = true)]
    async fn refused_credentials_hand_over_at_once() {
        let (event, _) = ask(&[Deed::Refuse, Deed::Answer], &[]).await;
        assert_eq!(text(event), "two 20");
    }

    #[tokio::test(start_paused = true)]
    async fn a_last_word_that_stays_out_is_asked_of_another_session() {
        let (event, took) = ask(&[Deed::Mute, Deed::Mute], &[]).await;
        assert_eq!((text(event).as_str(), took), ("two 20", 5_000));
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_have_failed_a_fault_comes() {
        let (event, _) = ask(&[Deed::Refuse], &[Deed::Fault, Deed::Fault]).await;
        assert!(matches!(event, SttEvent::Fault { .. }), "{event:?}");
    }
}
