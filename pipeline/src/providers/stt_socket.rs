//! The driver under all streaming recognisers: one task a call, one connection at a time.
//!
//! Utterances are serialized: what follows a `Finish` waits in the command queue until the
//! provider has said its last word on it or [`FINAL_MAX`] is over. A result can therefore never
//! land in the wrong utterance, whatever a provider reports about time.
//!
//! | what happens | what is done |
//! |---|---|
//! | connection breaks | a new one at once, with the audio since the last final text |
//! | breaks again, nothing heard between | [`SttEvent::Fault`] |
//! | no final text in time | the interim text stands in, and the connection is replaced |

use std::collections::VecDeque;
use std::time::Duration;

use media::dsp::resample::Resampler;
use media::frame::{FRAME_MS, FRAME_RATE, FRAME_SAMPLES, Frame, SamplePosition};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::provider_error::ProviderError;
use crate::providers::socket::{Incoming, Outgoing, Socket};
use crate::providers::stt_codec::{AudioFormat, Heard, Idle, SttCodec, TimedWord};
use crate::stt::{
    RecognisedWord, SttCommand, SttEvent, SttRequest, SttStream, TurnSignal, UtteranceId,
};

/// Commands that wait for the provider: 5 s of frames.
const COMMANDS: usize = 256;
/// Events that wait for the conversation.
const EVENTS: usize = 64;
/// Longest time to a connection.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Longest wait for the last word on an utterance.
const FINAL_MAX: Duration = Duration::from_millis(1_500);
/// The same when the provider has ended the turn by itself and nothing was said since.
const GRACE: Duration = Duration::from_millis(250);
/// Audio of an utterance that is kept for another connection.
const REPLAY_MAX: usize = 500;
/// Silence is sent in pieces of this length.
const SILENCE_MS: u32 = 100;

/// Makes the codec of a new connection.
pub(crate) type MakeCodec =
    Box<dyn Fn(&SttRequest) -> Result<Box<dyn SttCodec>, ProviderError> + Send + Sync>;

/// Connects and starts the session's task.
pub(crate) async fn open(
    make: std::sync::Arc<MakeCodec>,
    request: SttRequest,
) -> Result<SttStream, ProviderError> {
    let connection = Connection::open(&make, &request).await?;
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let (events, outbox) = mpsc::channel(EVENTS);
    let session = Session {
        make,
        request,
        connection,
        events,
        utterance: None,
        fruitless: 0,
    };
    tokio::spawn(session.run(inbox));
    Ok(SttStream {
        commands,
        events: outbox,
    })
}

struct Connection {
    socket: Socket,
    codec: Box<dyn SttCodec>,
    format: AudioFormat,
    idle: Idle,
    resampler: Option<Resampler>,
    /// PCM on its way into the next message.
    pending: Vec<u8>,
    /// Milliseconds of audio in messages sent and in `pending`.
    sent_ms: u64,
    last_sent: Instant,
}

impl Connection {
    async fn open(make: &MakeCodec, request: &SttRequest) -> Result<Self, ProviderError> {
        let mut codec = make(request)?;
        let socket = Socket::connect(&codec.address(), CONNECT_MAX).await?;
        let format = codec.format();
        let resampler = (format.rate != FRAME_RATE)
            .then(|| Resampler::new(FRAME_RATE, format.rate))
            .transpose()
            .map_err(|error| ProviderError::Rejected(error.to_string()))?;
        let opening = codec.opening();
        let mut connection = Self {
            idle: codec.idle(),
            socket,
            codec,
            format,
            resampler,
            pending: Vec::new(),
            sent_ms: 0,
            last_sent: Instant::now(),
        };
        connection.send_all(opening).await?;
        Ok(connection)
    }

    async fn send(&mut self, message: Outgoing) -> Result<(), ProviderError> {
        self.last_sent = Instant::now();
        self.socket.send(message).await
    }

    async fn send_all(&mut self, messages: Vec<Outgoing>) -> Result<(), ProviderError> {
        for message in messages {
            self.send(message).await?;
        }
        Ok(())
    }

    async fn audio(&mut self, samples: &[i16]) -> Result<(), ProviderError> {
        let mut converted = Vec::new();
        let samples = match &mut self.resampler {
            None => samples,
            Some(resampler) => {
                converted.resize(resampler.output_len_max(samples.len()), 0);
                let length = resampler
                    .process(samples, &mut converted)
                    .map_err(|error| ProviderError::Failed(error.to_string()))?;
                &converted[..length]
            }
        };
        self.pending
            .extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        self.sent_ms += u64::from(FRAME_MS);
        // A resampler may hold a few samples back.
        if self.pending.len() + 2 * FRAME_SAMPLES / 4 > self.message_bytes() {
            self.flush().await?;
        }
        Ok(())
    }

    fn message_bytes(&self) -> usize {
        (self.format.rate / 1000 * self.format.message_ms * 2) as usize
    }

    /// Sends what is pending, filled up with silence: some providers refuse shorter messages.
    async fn flush_whole(&mut self) -> Result<(), ProviderError> {
        let missing = self.message_bytes().saturating_sub(self.pending.len());
        if !self.pending.is_empty() {
            self.sent_ms += missing as u64 / u64::from(self.format.rate / 1000 * 2);
            self.pending.resize(self.pending.len() + missing, 0);
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), ProviderError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pcm = std::mem::take(&mut self.pending);
        let message = self.codec.audio(pcm);
        self.send(message).await
    }

    async fn silence(&mut self) -> Result<(), ProviderError> {
        let bytes = (self.format.rate / 1000 * SILENCE_MS * 2) as usize;
        self.sent_ms += u64::from(SILENCE_MS);
        let message = self.codec.audio(vec![0; bytes]);
        self.send(message).await
    }

    /// When something must be sent so that the connection stays.
    fn idle_at(&self) -> Option<Instant> {
        match &self.idle {
            Idle::Nothing => None,
            Idle::Message(after, _) => Some(self.last_sent + *after),
            Idle::Silence => Some(self.last_sent + Duration::from_millis(u64::from(SILENCE_MS))),
        }
    }

    async fn stay(&mut self) -> Result<(), ProviderError> {
        match self.idle.clone() {
            Idle::Nothing => Ok(()),
            Idle::Message(_, message) => self.send(message).await,
            Idle::Silence => self.silence().await,
        }
    }
}

/// What is known of the running utterance.
struct Utterance {
    id: UtteranceId,
    /// Where on the provider's timeline its audio began, and where that lies on the leg's.
    spans: Vec<(u64, SamplePosition)>,
    /// Frames whose text is not final.
    replay: VecDeque<Frame>,
    said: String,
    interim: String,
    confidence: Option<f32>,
    words: Vec<RecognisedWord>,
    /// The provider has ended the turn and heard nothing since.
    ended: bool,
    cancelled: bool,
    /// When its last word is due.
    due: Option<Instant>,
}

impl Utterance {
    fn text(&self) -> String {
        join(&self.said, &self.interim)
    }

    fn place(&self, ms: u64) -> Option<SamplePosition> {
        let (start, position) = self.spans.iter().rev().find(|(start, _)| *start <= ms)?;
        Some(position.plus((ms - start) * u64::from(FRAME_RATE) / 1000))
    }

    fn add_words(&mut self, words: &[TimedWord]) {
        for word in words {
            if let (Some(start), Some(end)) = (self.place(word.start_ms), self.place(word.end_ms)) {
                self.words.push(RecognisedWord {
                    text: word.text.clone(),
                    start,
                    end,
                });
            }
        }
    }
}

fn join(first: &str, second: &str) -> String {
    let (first, second) = (first.trim(), second.trim());
    if first.is_empty() || second.is_empty() {
        format!("{first}{second}")
    } else {
        format!("{first} {second}")
    }
}

struct Session {
    make: std::sync::Arc<MakeCodec>,
    request: SttRequest,
    connection: Connection,
    events: mpsc::Sender<SttEvent>,
    utterance: Option<Utterance>,
    /// Connections in a row that brought nothing.
    fruitless: u32,
}

#[expect(
    clippy::large_enum_variant,
    reason = "frames travel by value, without heap"
)]
enum Wake {
    Command(Option<SttCommand>),
    Message(Result<Incoming, ProviderError>),
    Idle,
    Due,
}

impl Session {
    async fn run(mut self, mut inbox: mpsc::Receiver<SttCommand>) {
        loop {
            let finishing = self.utterance.as_ref().and_then(|u| u.due);
            let idle_at = self.connection.idle_at();
            let events = self.events.clone();
            let wake = tokio::select! {
                biased;
                () = events.closed() => Wake::Command(None),
                message = self.connection.socket.receive() => Wake::Message(message),
                () = at(finishing) => Wake::Due,
                command = inbox.recv(), if finishing.is_none() => Wake::Command(command),
                () = at(idle_at) => Wake::Idle,
            };
            let outcome = match wake {
                Wake::Command(None) => break,
                Wake::Command(Some(command)) => self.command(command).await,
                Wake::Message(Ok(message)) => self.message(&message).await,
                Wake::Message(Err(error)) => Err(error),
                Wake::Idle => self.connection.stay().await,
                Wake::Due => self.overdue().await,
            };
            if let Err(error) = outcome
                && let Err(error) = self.recover(error).await
            {
                let fault = SttEvent::Fault {
                    retryable: error.is_retryable(),
                    message: error.to_string(),
                };
                let _ = self.events.send(fault).await;
                return;
            }
        }
        let last = self.connection.codec.closing();
        self.connection.socket.close(last).await;
    }

    async fn command(&mut self, command: SttCommand) -> Result<(), ProviderError> {
        match command {
            SttCommand::Start {
                utterance,
                position,
            } => {
                self.utterance = Some(Utterance {
                    id: utterance,
                    spans: vec![(self.connection.sent_ms, position)],
                    replay: VecDeque::new(),
                    said: String::new(),
                    interim: String::new(),
                    confidence: None,
                    words: Vec::new(),
                    ended: false,
                    cancelled: false,
                    due: None,
                });
                let begin = self.connection.codec.begin();
                self.connection.send_all(begin).await
            }
            SttCommand::Audio(frame) => {
                let Some(utterance) = &mut self.utterance else {
                    return Ok(());
                };
                if utterance.replay.len() == REPLAY_MAX {
                    utterance.replay.pop_front();
                }
                utterance.replay.push_back(frame);
                self.connection.audio(&frame.samples).await
            }
            SttCommand::Finish { utterance } => self.finish(utterance, false).await,
            SttCommand::Cancel { utterance } => self.finish(utterance, true).await,
            // Terms are fixed for a connection; the next one takes these.
            SttCommand::Hints(hints) => {
                self.request.hints = hints;
                Ok(())
            }
        }
    }

    async fn finish(&mut self, id: UtteranceId, cancelled: bool) -> Result<(), ProviderError> {
        let Some(utterance) = self.utterance.as_mut().filter(|u| u.id == id) else {
            return Ok(());
        };
        utterance.cancelled = cancelled;
        let ended = utterance.ended && utterance.interim.is_empty();
        utterance.due = Some(Instant::now() + if ended { GRACE } else { FINAL_MAX });
        self.ask_for_final().await
    }

    async fn ask_for_final(&mut self) -> Result<(), ProviderError> {
        self.connection.flush_whole().await?;
        let finish = self.connection.codec.finish();
        self.connection.send_all(finish).await
    }

    async fn message(&mut self, message: &Incoming) -> Result<(), ProviderError> {
        for heard in self.connection.codec.take(message)? {
            self.fruitless = 0;
            let Some(utterance) = &mut self.utterance else {
                continue;
            };
            let id = utterance.id;
            let event = match heard {
                Heard::Interim(text) => {
                    if utterance.interim == text {
                        continue;
                    }
                    utterance.ended &= text.is_empty();
                    utterance.interim = text;
                    SttEvent::Partial {
                        utterance: id,
                        text: utterance.text(),
                    }
                }
                Heard::Final {
                    text,
                    confidence,
                    words,
                } => {
                    utterance.interim.clear();
                    utterance.ended &= text.is_empty();
                    if !text.is_empty() {
                        utterance.replay.clear();
                        utterance.add_words(&words);
                        utterance.said = join(&utterance.said, &text);
                        utterance.confidence = match (utterance.confidence, confidence) {
                            (Some(a), Some(b)) => Some(a.min(b)),
                            (a, b) => b.or(a),
                        };
                    }
                    SttEvent::Partial {
                        utterance: id,
                        text: utterance.text(),
                    }
                }
                Heard::Turn(signal) => {
                    utterance.ended |= matches!(signal, TurnSignal::End { .. });
                    SttEvent::Turn {
                        utterance: id,
                        signal,
                    }
                }
                Heard::Language(language) => SttEvent::Language {
                    utterance: id,
                    language,
                },
                Heard::Finished => {
                    // A provider may call a turn forced that we have not asked about.
                    if utterance.due.is_some() {
                        self.conclude().await;
                    }
                    continue;
                }
            };
            if !utterance.cancelled && (utterance.due.is_none() || is_kept(&event)) {
                let _ = self.events.send(event).await;
            }
        }
        Ok(())
    }

    /// Gives out the final text; the interim stands in where the provider was cut short.
    async fn conclude(&mut self) {
        let Some(utterance) = self.utterance.take() else {
            return;
        };
        if utterance.cancelled {
            return;
        }
        let event = SttEvent::Final {
            utterance: utterance.id,
            text: utterance.text(),
            confidence: utterance.confidence,
            words: utterance.words,
        };
        let _ = self.events.send(event).await;
    }

    /// The last word has not come. What comes later would be taken for the next utterance's, so
    /// unless the provider had ended the turn before, the connection goes.
    async fn overdue(&mut self) -> Result<(), ProviderError> {
        let clean = self
            .utterance
            .as_ref()
            .is_none_or(|u| u.ended && u.interim.is_empty());
        self.conclude().await;
        if clean {
            return Ok(());
        }
        Err(ProviderError::TimedOut)
    }

    /// Replaces the connection. What the running utterance has not got text for is sent again.
    async fn recover(&mut self, error: ProviderError) -> Result<(), ProviderError> {
        self.fruitless += 1;
        if self.fruitless > 2 || !error.is_retryable() {
            return Err(error);
        }
        tracing::debug!(%error, "recogniser is connected anew");
        self.connection = Connection::open(&self.make, &self.request).await?;
        let Some(utterance) = &mut self.utterance else {
            return Ok(());
        };
        utterance.interim.clear();
        utterance.ended = false;
        let frames: Vec<Frame> = utterance.replay.iter().copied().collect();
        if let Some(first) = frames.first() {
            utterance.spans = vec![(0, first.position)];
        }
        let due = utterance.due.as_mut();
        let finishing = due.is_some();
        if let Some(due) = due {
            *due = Instant::now() + FINAL_MAX;
        }
        let begin = self.connection.codec.begin();
        self.connection.send_all(begin).await?;
        for frame in &frames {
            self.connection.audio(&frame.samples).await?;
        }
        if finishing {
            self.ask_for_final().await?;
        }
        Ok(())
    }
}

/// What is still said about an utterance that is being finished: its language.
fn is_kept(event: &SttEvent) -> bool {
    matches!(event, SttEvent::Language { .. })
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
