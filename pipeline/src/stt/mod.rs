//! Speech to text: the provider-neutral trait and its events.

pub mod fallback;

use std::sync::Arc;

use async_trait::async_trait;
use media::frame::{Frame, SamplePosition};
use tokio::sync::mpsc;

use crate::provider_error::ProviderError;

/// Numbers the utterances of one call, in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct UtteranceId(pub u64);

/// What kind of answer the agent has asked for; decides the pause policy and helps recognition.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum AnswerKind {
    /// Anything.
    #[default]
    Open,
    /// Yes or no.
    YesNo,
    /// One of a few phrases.
    Choice,
    /// A string of digits, such as a telephone number.
    Digits,
    /// A quantity.
    Number,
    /// A calendar date.
    Date,
    /// A time of day.
    Time,
    /// A name, said or spelled letter by letter.
    Spelling,
}

/// What the recogniser is told about the answer that is coming.
#[derive(Clone, Debug, Default)]
pub struct RecognitionHints {
    /// The kind of answer.
    pub kind: AnswerKind,
    /// A complete JSGF grammar for recognisers that take one; `None` means open dictation.
    pub grammar: Option<Arc<str>>,
    /// Words and phrases likely to be said, for recognisers that take key terms.
    pub phrases: Vec<String>,
}

/// Opens a recognition session for one call.
#[derive(Clone, Debug)]
pub struct SttRequest {
    /// BCP 47 language tag, for example `en-US`.
    pub language: String,
    /// Hints in force at the start.
    pub hints: Arc<RecognitionHints>,
}

/// What the conversation tells the recogniser. Order: `Start`, `Audio`*, then `Finish` or `Cancel`.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "frames travel by value, without heap"
)]
pub enum SttCommand {
    /// An utterance begins; the frames that follow (pre-roll first) belong to it.
    Start {
        /// Its number.
        utterance: UtteranceId,
        /// Place of the first frame.
        position: SamplePosition,
    },
    /// Audio of the running utterance, in order.
    Audio(Frame),
    /// The utterance is over: answer with [`SttEvent::Final`] as fast as possible.
    Finish {
        /// Its number.
        utterance: UtteranceId,
    },
    /// Forget the utterance; nothing more is said about it.
    Cancel {
        /// Its number.
        utterance: UtteranceId,
    },
    /// What is expected has changed, from the next utterance on.
    Hints(Arc<RecognitionHints>),
}

/// A recognised word with its place.
#[derive(Clone, PartialEq, Debug)]
pub struct RecognisedWord {
    /// As spoken.
    pub text: String,
    /// First sample.
    pub start: SamplePosition,
    /// Just behind the last sample.
    pub end: SamplePosition,
}

/// What a recogniser with an end-of-turn detector of its own thinks of the caller's turn.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum TurnSignal {
    /// The caller has probably finished: an answer may be drafted, but not given.
    EagerEnd {
        /// 0 to 1, if the recogniser says.
        confidence: Option<f32>,
    },
    /// The caller goes on after all: a draft is void.
    Resumed,
    /// The caller has finished.
    End {
        /// 0 to 1, if the recogniser says.
        confidence: Option<f32>,
    },
}

/// What the recogniser reports.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum SttEvent {
    /// The text so far; replaces earlier partials of the utterance.
    Partial {
        /// The utterance.
        utterance: UtteranceId,
        /// Text so far.
        text: String,
    },
    /// The whole utterance. Exactly one for every finished utterance; empty text means that
    /// nothing was understood.
    Final {
        /// The utterance.
        utterance: UtteranceId,
        /// The text.
        text: String,
        /// 0 to 1, if the recogniser knows.
        confidence: Option<f32>,
        /// Words with their places, if the recogniser knows.
        words: Vec<RecognisedWord>,
    },
    /// The recogniser's own opinion on the caller's turn, from one that has such opinions. It
    /// ends nothing by itself: the utterance goes on until [`SttCommand::Finish`].
    Turn {
        /// The utterance.
        utterance: UtteranceId,
        /// What the recogniser thinks.
        signal: TurnSignal,
    },
    /// The language that the utterance turned out to be in.
    Language {
        /// The utterance.
        utterance: UtteranceId,
        /// BCP 47 tag as the recogniser gives it, for example `hi` or `hi-IN`.
        language: String,
    },
    /// The session failed; the channel closes after it.
    Fault {
        /// Whether a new session may work.
        retryable: bool,
        /// For the log and the call record.
        message: String,
    },
}

/// The two ends of a recognition session. Dropping it ends the session.
#[derive(Debug)]
pub struct SttStream {
    /// Towards the recogniser; bounded, a full queue means it is too slow.
    pub commands: mpsc::Sender<SttCommand>,
    /// From the recogniser.
    pub events: mpsc::Receiver<SttEvent>,
}

/// A recogniser, local or remote.
#[async_trait]
pub trait SpeechToText: Send + Sync {
    /// Name for records and metrics, for example `pocketsphinx`.
    fn name(&self) -> &str;

    /// Opens a session for one call.
    ///
    /// # Errors
    /// [`ProviderError`] when no session can be had.
    async fn open(&self, request: SttRequest) -> Result<SttStream, ProviderError>;
}
