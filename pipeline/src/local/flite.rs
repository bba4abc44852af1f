//! The embedded voice: flite.
//!
//! Synthesis runs on threads of its own, faster than real time by some fifty times, and hands
//! audio over while it goes on. Dropping the receiver stops it within 20 ms of audio.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use media::frame::{FRAME_RATE, FRAME_SAMPLES};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::flite_ffi::{self, FliteVoiceName, SpokenToken, SynthesisSink};
use super::speakable_text::SpeakableText;
use crate::provider_error::ProviderError;
use crate::tts::{TextToSpeech, TtsEvent, TtsRequest, WordTiming};

/// Longest text of one request in bytes: about two minutes of speech.
pub const TEXT_BYTES_MAX: usize = 2_000;
/// Events a request can hold, more than the longest text makes, so that a slow listener never
/// blocks a synthesis thread. Full-policy: the request fails.
const EVENTS_MAX: usize = 8_192;
/// First audio handed over: 40 ms; later in pieces of 100 ms.
const FIRST_SAMPLES: usize = 2 * FRAME_SAMPLES;
const NEXT_SAMPLES: usize = 5 * FRAME_SAMPLES;
/// Below this (-44 dBFS) the beginning of the audio is silence.
const ONSET_LEVEL: u16 = 200;
/// Kept before the first sample above the level, for soft consonants: 30 ms.
const ONSET_LEAD: usize = FRAME_RATE as usize * 30 / 1000;
/// Speaking rates that stay intelligible.
const SPEED_RANGE: std::ops::RangeInclusive<f32> = 0.5..=2.0;

/// Settings of the embedded voice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FliteConfig {
    /// Voice used when a request names none: `slt`, `rms`, `awb` or `kal16`.
    pub default_voice: String,
    /// Synthesis threads.
    pub threads: NonZeroUsize,
    /// Requests that wait for a thread. Full-policy: [`ProviderError::AtCapacity`].
    pub queue_max: usize,
    /// Whether silence before the first sound is left out, 100 to 270 ms of every request.
    pub trim_leading_silence: bool,
}

impl Default for FliteConfig {
    fn default() -> Self {
        Self {
            default_voice: "slt".to_owned(),
            threads: NonZeroUsize::new(2).expect("two is not zero"),
            queue_max: 64,
            trim_leading_silence: true,
        }
    }
}

/// The embedded voice; one per process serves all calls. Threads end when it is dropped.
#[derive(Debug)]
pub struct FliteVoice {
    jobs: SyncSender<Job>,
    default_voice: FliteVoiceName,
    trim_leading_silence: bool,
    counters: Arc<FliteCounters>,
}

#[derive(Debug, Default)]
struct FliteCounters {
    refused: AtomicU64,
    cancelled: AtomicU64,
    failed: AtomicU64,
    completed: AtomicU64,
}

/// What the voice has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FliteStatistics {
    /// Requests spoken to the end.
    pub completed: u64,
    /// Requests whose receiver was dropped before the end.
    pub cancelled: u64,
    /// Requests the library failed on.
    pub failed: u64,
    /// Requests refused because the queue was full.
    pub refused: u64,
}

#[derive(Debug)]
struct Job {
    voice: FliteVoiceName,
    text: SpeakableText,
    duration_stretch: f32,
    trim: bool,
    events: mpsc::Sender<TtsEvent>,
}

impl FliteVoice {
    /// Starts the synthesis threads.
    ///
    /// # Errors
    /// [`ProviderError::Unavailable`] for an unknown default voice or when threads cannot be
    /// started.
    pub fn new(config: &FliteConfig) -> Result<Self, ProviderError> {
        let default_voice = voice_name(&config.default_voice).ok_or_else(|| {
            ProviderError::Unavailable(format!("voice {:?}", config.default_voice))
        })?;
        let (jobs, queue) = sync_channel(config.queue_max);
        let queue = Arc::new(Mutex::new(queue));
        let counters = Arc::new(FliteCounters::default());
        for index in 0..config.threads.get() {
            let queue = Arc::clone(&queue);
            let counters = Arc::clone(&counters);
            thread::Builder::new()
                .name(format!("flite-{index}"))
                .spawn(move || work(&queue, &counters))
                .map_err(|error| ProviderError::Unavailable(format!("flite thread: {error}")))?;
        }
        Ok(Self {
            jobs,
            default_voice,
            trim_leading_silence: config.trim_leading_silence,
            counters,
        })
    }

    /// What the voice has done so far.
    #[must_use]
    pub fn statistics(&self) -> FliteStatistics {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FliteStatistics {
            completed: of(&self.counters.completed),
            cancelled: of(&self.counters.cancelled),
            failed: of(&self.counters.failed),
            refused: of(&self.counters.refused),
        }
    }
}

#[async_trait]
impl TextToSpeech for FliteVoice {
    fn name(&self) -> &str {
        "flite"
    }

    async fn synthesize(
        &self,
        request: TtsRequest,
    ) -> Result<mpsc::Receiver<TtsEvent>, ProviderError> {
        if request.text.len() > TEXT_BYTES_MAX {
            return Err(ProviderError::Rejected(format!(
                "text is longer than {TEXT_BYTES_MAX} bytes"
            )));
        }
        let voice = if request.voice.is_empty() {
            self.default_voice
        } else {
            voice_name(&request.voice)
                .ok_or_else(|| ProviderError::Rejected(format!("no voice {:?}", request.voice)))?
        };
        let speed = if request.speed.is_finite() {
            request
                .speed
                .clamp(*SPEED_RANGE.start(), *SPEED_RANGE.end())
        } else {
            1.0
        };
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let job = Job {
            voice,
            text: SpeakableText::new(&request.text, &request.language),
            duration_stretch: 1.0 / speed,
            trim: self.trim_leading_silence,
            events,
        };
        match self.jobs.try_send(job) {
            Ok(()) => Ok(receiver),
            Err(TrySendError::Full(_)) => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                Err(ProviderError::AtCapacity)
            }
            Err(TrySendError::Disconnected(_)) => Err(ProviderError::Failed(
                "synthesis threads have ended".to_owned(),
            )),
        }
    }
}

fn voice_name(name: &str) -> Option<FliteVoiceName> {
    match name {
        "slt" => Some(FliteVoiceName::Slt),
        "rms" => Some(FliteVoiceName::Rms),
        "awb" => Some(FliteVoiceName::Awb),
        "kal16" => Some(FliteVoiceName::Kal16),
        _ => None,
    }
}

fn work(queue: &Mutex<Receiver<Job>>, counters: &FliteCounters) {
    loop {
        let job = {
            let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.recv()
        };
        let Ok(job) = job else { return };
        let counter = match speak(job) {
            Spoken::Completed => &counters.completed,
            Spoken::Cancelled => &counters.cancelled,
            Spoken::Failed => &counters.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

enum Spoken {
    Completed,
    Cancelled,
    Failed,
}

fn speak(job: Job) -> Spoken {
    if job.events.is_closed() {
        return Spoken::Cancelled;
    }
    if job.text.is_silent() {
        return match job.events.try_send(TtsEvent::Done) {
            Ok(()) => Spoken::Completed,
            Err(_) => Spoken::Cancelled,
        };
    }
    let mut speech = Speech {
        job: &job,
        tokens: Vec::new(),
        held: Vec::new(),
        trimmed: 0,
        begun: !job.trim,
        words_sent: false,
        piece: FIRST_SAMPLES,
        fault: None,
    };
    let synthesized =
        flite_ffi::synthesize(job.voice, &job.text.text, job.duration_stretch, &mut speech);
    if synthesized && speech.fault.is_none() {
        // What is left; its failure leaves its mark in `fault`.
        let _ = speech.flush();
    }
    let fault = speech.fault;
    if job.events.is_closed() {
        return Spoken::Cancelled;
    }
    let (event, spoken) = match (synthesized, fault) {
        (true, None) => (TtsEvent::Done, Spoken::Completed),
        (_, fault) => {
            let message = fault.unwrap_or("flite failed").to_owned();
            let retryable = false;
            (TtsEvent::Fault { retryable, message }, Spoken::Failed)
        }
    };
    match job.events.try_send(event) {
        Ok(()) => spoken,
        Err(_) => Spoken::Cancelled,
    }
}

/// Turns what flite produces into events.
struct Speech<'a> {
    job: &'a Job,
    tokens: Vec<SpokenToken>,
    held: Vec<i16>,
    /// Samples of leading silence left out.
    trimmed: usize,
    /// Whether the first sound has come.
    begun: bool,
    words_sent: bool,
    /// Samples to hand over at once.
    piece: usize,
    fault: Option<&'static str>,
}

impl SynthesisSink for Speech<'_> {
    fn tokens(&mut self, tokens: Vec<SpokenToken>) {
        self.tokens = tokens;
    }

    fn samples(&mut self, samples: &[i16], rate: u32) -> ControlFlow<()> {
        if self.job.events.is_closed() {
            return ControlFlow::Break(());
        }
        if rate != FRAME_RATE {
            self.fault = Some("voice has another sample rate");
            return ControlFlow::Break(());
        }
        self.held.extend_from_slice(samples);
        if !self.begun {
            let onset = self
                .held
                .iter()
                .position(|sample| sample.unsigned_abs() > ONSET_LEVEL);
            let silent = onset.unwrap_or(self.held.len()).saturating_sub(ONSET_LEAD);
            self.held.drain(..silent);
            self.trimmed += silent;
            self.begun = onset.is_some();
            if !self.begun {
                return ControlFlow::Continue(());
            }
        }
        if self.held.len() >= self.piece {
            self.flush()
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl Speech<'_> {
    /// Hands over what is held, after the words.
    fn flush(&mut self) -> ControlFlow<()> {
        if !self.words_sent {
            self.words_sent = true;
            let words = word_timings(&self.job.text, &self.tokens, self.trimmed);
            self.send(TtsEvent::Words(words))?;
        }
        if self.held.is_empty() {
            return ControlFlow::Continue(());
        }
        self.piece = NEXT_SAMPLES;
        let audio: Arc<[i16]> = Arc::from(self.held.as_slice());
        self.held.clear();
        self.send(TtsEvent::Audio(audio))
    }

    fn send(&mut self, event: TtsEvent) -> ControlFlow<()> {
        if self.job.events.try_send(event).is_ok() {
            return ControlFlow::Continue(());
        }
        self.fault = Some("listener does not keep up");
        ControlFlow::Break(())
    }
}

/// Ends of the source's words: flite's tokens, found in the rewritten text one after another.
fn word_timings(text: &SpeakableText, tokens: &[SpokenToken], trimmed: usize) -> Vec<WordTiming> {
    let lead = Duration::from_secs_f64(trimmed as f64 / f64::from(FRAME_RATE));
    let mut words: Vec<WordTiming> = Vec::new();
    let mut from = 0;
    let mut end = Duration::ZERO;
    for token in tokens {
        let Some(at) = text.text[from..].find(&token.name).map(|at| from + at) else {
            continue;
        };
        from = at + token.name.len();
        let Some(range) = text.source_word(at) else {
            continue;
        };
        let said = Duration::try_from_secs_f32(token.end_s)
            .unwrap_or_default()
            .saturating_sub(lead);
        // A token without sound of its own ends where the one before it does.
        end = end.max(said);
        match words.last_mut() {
            Some(last) if last.text_range == range => last.end = end,
            _ => words.push(WordTiming {
                text_range: range,
                end,
            }),
        }
    }
    words
}
