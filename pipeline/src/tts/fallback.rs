//! Several voices as one: the next is asked when one is slow, and carries on where one breaks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use media::frame::FRAME_RATE;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use crate::playout::words_within;
use crate::provider_error::ProviderError;
use crate::provider_health::ProviderHealth;
use crate::provider_race::{Hedge, order, race};
use crate::tts::{TextToSpeech, TtsEvent, TtsRequest, WordTiming};

/// Longest wait for the first sound of a voice.
const FIRST_MAX: Duration = Duration::from_millis(1_000);
/// A voice that pauses longer than this within a chunk has failed.
const STALL_MAX: Duration = Duration::from_millis(1_000);
/// Events that wait for the conversation.
const EVENTS_MAX: usize = 64;
const HEDGE: Hedge = Hedge {
    default: Duration::from_millis(700),
    min: Duration::from_millis(250),
};

/// Voices in order of preference. The request's voice name is the first one's; the others speak
/// with their configured voices.
pub struct FallbackVoice {
    shared: Arc<Shared>,
}

struct Shared {
    voices: Vec<Arc<dyn TextToSpeech>>,
    healths: Vec<Arc<ProviderHealth>>,
    name: String,
}

impl std::fmt::Debug for FallbackVoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FallbackVoice")
            .field(&self.shared.name)
            .finish()
    }
}

impl FallbackVoice {
    /// These voices, best first, each with its record.
    #[must_use]
    pub fn new(voices: Vec<(Arc<dyn TextToSpeech>, Arc<ProviderHealth>)>) -> Self {
        let names: Vec<&str> = voices.iter().map(|(voice, _)| voice.name()).collect();
        let name = names.join("+");
        let (voices, healths) = voices.into_iter().unzip();
        Self {
            shared: Arc::new(Shared {
                voices,
                healths,
                name,
            }),
        }
    }
}

#[async_trait]
impl TextToSpeech for FallbackVoice {
    fn name(&self) -> &str {
        &self.shared.name
    }

    async fn synthesize(
        &self,
        request: TtsRequest,
    ) -> Result<mpsc::Receiver<TtsEvent>, ProviderError> {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let outcome = tokio::select! {
                // Dropping a voice's receiver cancels it.
                () = sender.closed() => return,
                outcome = shared.speak(request, &sender) => outcome,
            };
            let last = match outcome {
                Ok(()) => TtsEvent::Done,
                Err(error) => TtsEvent::Fault {
                    retryable: error.is_retryable(),
                    message: error.to_string(),
                },
            };
            let _ = sender.send(last).await;
        });
        Ok(receiver)
    }
}

/// What of a request has been spoken.
#[derive(Default)]
struct Progress {
    /// Bytes of the request's text that are done with.
    text: usize,
    /// Samples delivered.
    samples: usize,
    /// Where the present voice began in both.
    from_text: usize,
    from_samples: usize,
    words: Vec<WordTiming>,
}

impl Shared {
    async fn speak(
        &self,
        request: TtsRequest,
        sender: &mpsc::Sender<TtsEvent>,
    ) -> Result<(), ProviderError> {
        let mut progress = Progress::default();
        let mut broken = Vec::new();
        loop {
            let rest = TtsRequest {
                text: request.text[progress.text..].to_owned(),
                ..request.clone()
            };
            let order = order(&self.healths, &broken);
            let begin = |index: usize| self.begin(index, &rest);
            let (index, (head, tail)) = race(&self.healths, &order, HEDGE, begin).await?;
            if !broken.is_empty() {
                self.healths[index].continued();
            }
            progress.from_text = progress.text;
            progress.from_samples = progress.samples;
            progress.words.clear();
            let error = match forward(head, tail, sender, &mut progress).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            self.healths[index].failed(Instant::now().into_std());
            tracing::debug!(%error, voice = self.voices[index].name(), "voice broke off");
            broken.push(index);
            progress.settle(&rest);
            if request.text[progress.text..].is_empty() {
                return Ok(());
            }
            if broken.len() == self.voices.len() {
                return Err(error);
            }
        }
    }

    /// Asks a voice and waits for its first sound.
    async fn begin(
        &self,
        index: usize,
        request: &TtsRequest,
    ) -> Result<(Vec<TtsEvent>, mpsc::Receiver<TtsEvent>), ProviderError> {
        let deadline = Instant::now() + FIRST_MAX;
        let mut request = request.clone();
        if index > 0 {
            request.voice.clear();
        }
        let late = |_| ProviderError::TimedOut;
        let asking = self.voices[index].synthesize(request);
        let mut events = timeout_at(deadline, asking).await.map_err(late)??;
        let mut head = Vec::new();
        loop {
            let event = timeout_at(deadline, events.recv()).await.map_err(late)?;
            let event = checked(event)?;
            let useful = match &event {
                TtsEvent::Audio(pcm) => !pcm.is_empty(),
                // A text without sound is spoken.
                TtsEvent::Done => true,
                TtsEvent::Words(_) | TtsEvent::Fault { .. } => false,
            };
            head.push(event);
            if useful {
                return Ok((head, events));
            }
        }
    }
}

fn checked(event: Option<TtsEvent>) -> Result<TtsEvent, ProviderError> {
    match event {
        None => Err(ProviderError::Failed("no last event".to_owned())),
        Some(TtsEvent::Fault { retryable, message }) => Err(if retryable {
            ProviderError::Failed(message)
        } else {
            ProviderError::Rejected(message)
        }),
        Some(event) => Ok(event),
    }
}

/// Passes a voice on to its end.
async fn forward(
    head: Vec<TtsEvent>,
    mut tail: mpsc::Receiver<TtsEvent>,
    sender: &mpsc::Sender<TtsEvent>,
    progress: &mut Progress,
) -> Result<(), ProviderError> {
    let mut head = head.into_iter();
    loop {
        let event = match head.next() {
            Some(event) => event,
            None => {
                let next = timeout(STALL_MAX, tail.recv()).await;
                checked(next.map_err(|_| ProviderError::TimedOut)?)?
            }
        };
        let event = match event {
            TtsEvent::Done => return Ok(()),
            TtsEvent::Audio(pcm) => {
                progress.samples += pcm.len();
                TtsEvent::Audio(pcm)
            }
            TtsEvent::Words(words) => TtsEvent::Words(progress.placed(words)),
            fault @ TtsEvent::Fault { .. } => fault,
        };
        // A reader that has gone cancels everything elsewhere.
        let _ = sender.send(event).await;
    }
}

impl Progress {
    /// Words of the present voice in the whole text and speech.
    fn placed(&mut self, words: Vec<WordTiming>) -> Vec<WordTiming> {
        let before = Duration::from_secs_f64(self.from_samples as f64 / f64::from(FRAME_RATE));
        self.words.extend(words.iter().cloned());
        words
            .into_iter()
            .map(|word| WordTiming {
                text_range: word.text_range.start + self.from_text
                    ..word.text_range.end + self.from_text,
                end: word.end + before,
            })
            .collect()
    }

    /// The present voice has broken off: counts the words it has said whole.
    fn settle(&mut self, rest: &TtsRequest) {
        let samples = self.samples - self.from_samples;
        let spoken = if self.words.is_empty() {
            words_within(&rest.text, samples, rest.speed)
        } else {
            let delivered = Duration::from_secs_f64(samples as f64 / f64::from(FRAME_RATE));
            let whole = self.words.iter().take_while(|word| word.end <= delivered);
            whole.last().map_or(0, |word| word.text_range.end)
        };
        let left = &rest.text[spoken..];
        let spaces = left.len() - left.trim_start().len();
        self.text = self.from_text + spoken + spaces;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a scripted voice does.
    #[derive(Clone)]
    enum Step {
        Wait(u64),
        Say(u64),
        Word(std::ops::Range<usize>, u64),
        Fail,
        Hang,
    }
    use Step::{Fail, Hang, Say, Wait, Word};

    struct Scripted {
        steps: Vec<Step>,
        asked: std::sync::Mutex<Vec<String>>,
    }

    #[async_trait]
    impl TextToSpeech for Scripted {
        fn name(&self) -> &str {
            "scripted"
        }

        async fn synthesize(
            &self,
            request: TtsRequest,
        ) -> Result<mpsc::Receiver<TtsEvent>, ProviderError> {
            self.asked.lock().unwrap().push(request.text);
            let (sender, receiver) = mpsc::channel(8);
            let steps = self.steps.clone();
            tokio::spawn(async move {
                for step in steps {
                    let event = match step {
                        Wait(ms) => {
                            tokio::time::sleep(Duration::from_millis(ms)).await;
                            continue;
                        }
                        Say(ms) => TtsEvent::Audio(vec![1; ms as usize * 16].into()),
                        Word(text_range, ms) => TtsEvent::Words(vec![WordTiming {
                            text_range,
                            end: Duration::from_millis(ms),
                        }]),
                        Fail => TtsEvent::Fault {
                            retryable: true,
                            message: "broke".into(),
                        },
                        Hang => std::future::pending().await,
                    };
                    if sender.send(event).await.is_err() {
                        return;
                    }
                }
                let _ = sender.send(TtsEvent::Done).await;
            });
            Ok(receiver)
        }
    }

    fn scripted(steps: &[Step]) -> Arc<Scripted> {
        Arc::new(Scripted {
            steps: steps.to_vec(),
            asked: std::sync::Mutex::default(),
        })
    }

    struct Heard {
        ms: usize,
        words: Vec<(std::ops::Range<usize>, u128)>,
        fault: bool,
        took: u128,
    }

    async fn speak(voices: &[&Arc<Scripted>], text: &str) -> Heard {
        let members = voices
            .iter()
            .map(|voice| {
                let voice: Arc<dyn TextToSpeech> = Arc::clone(*voice) as _;
                (voice, Arc::new(ProviderHealth::new("tts", "x")))
            })
            .collect();
        let began = Instant::now();
        let request = TtsRequest {
            text: text.into(),
            voice: "v".into(),
            language: "en".into(),
            speed: 1.0,
        };
        let mut events = FallbackVoice::new(members)
            .synthesize(request)
            .await
            .unwrap();
        let mut heard = Heard {
            ms: 0,
            words: Vec::new(),
            fault: false,
            took: 0,
        };
        while let Some(event) = events.recv().await {
            match event {
                TtsEvent::Audio(pcm) => heard.ms += pcm.len() / 16,
                TtsEvent::Words(words) => heard
                    .words
                    .extend(words.into_iter().map(|w| (w.text_range, w.end.as_millis()))),
                TtsEvent::Done => {}
                TtsEvent::Fault { .. } => heard.fault = true,
            }
        }
        heard.took = began.elapsed().as_millis();
        heard
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_sentence_goes_on_with_the_next_word() {
        let first = scripted(&[Word(0..3, 300), Word(4..7, 600), Say(400), Fail]);
        let second = scripted(&[Say(500), Word(0..3, 250), Word(4..9, 500)]);
        let heard = speak(&[&first, &second], "one two three").await;
        assert_eq!(second.asked.lock().unwrap()[0], "two three");
        assert_eq!((heard.ms, heard.fault), (900, false));
        // Places are those of the whole text and of all that was delivered.
        let rest = "one two three".find("two").unwrap();
        assert_eq!(heard.words[2], (rest..rest + 3, 650));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_voice_without_timestamps_is_carried_on_by_the_rate() {
        let first = scripted(&[Say(560), Hang]);
        let second = scripted(&[Say(100)]);
        let heard = speak(&[&first, &second], "one two three four").await;
        // 3.8 syllables a second: two words.
        assert_eq!(second.asked.lock().unwrap()[0], "three four");
        assert!(!heard.fault);
        assert_eq!(heard.took, 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_voice_late_with_its_first_sound_is_hedged() {
        let first = scripted(&[Wait(5_000), Say(100)]);
        let second = scripted(&[Wait(200), Say(300)]);
        let heard = speak(&[&first, &second], "one").await;
        assert_eq!((heard.ms, heard.took), (300, 900));
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_fail_the_last_event_is_a_fault_within_the_deadlines() {
        let first = scripted(&[Hang]);
        let second = scripted(&[Hang]);
        let heard = speak(&[&first, &second], "one").await;
        assert!(heard.fault);
        assert_eq!(heard.took, 1_700);
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_end_behind_the_last_word_is_no_failure() {
        let first = scripted(&[Word(0..3, 300), Say(300), Hang]);
        let second = scripted(&[Say(100)]);
        let heard = speak(&[&first, &second], "one").await;
        assert_eq!((heard.ms, heard.fault), (300, false));
        assert!(second.asked.lock().unwrap().is_empty());
    }
}
