//! What a conversation is told.

use media::frame::Frame;
use media::leg::LegEvent;

use crate::call::{CallOrder, TransferFailure};
use crate::llm::LlmEvent;
use crate::stt::SttEvent;
use crate::tts::TtsEvent;

/// Counts the recogniser's sessions in one call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SttSession(pub u32);

/// Numbers the requests to the model.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct RequestId(pub u64);

/// Numbers the requests to the voice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct JobId(pub u64);

/// Numbers the runs of tools; a model may use its own ids twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ToolRunId(pub u64);

/// Something that happened. What carries the id of something given up changes nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "frames travel by value, without heap"
)]
pub enum Event {
    /// The call is answered; first event.
    Started,
    /// 20 ms of the caller.
    Frame(Frame),
    /// The leg reports.
    Leg(LegEvent),
    /// The leg's worker is gone without a last word.
    LegGone,
    /// A recognition session is open.
    SttOpened {
        /// Which.
        session: SttSession,
    },
    /// The recogniser reports. A session that could not be opened reports [`SttEvent::Fault`].
    Stt {
        /// The session that speaks.
        session: SttSession,
        /// What it says.
        event: SttEvent,
    },
    /// The model answers. An answer that ends without a last event counts as a fault.
    Llm {
        /// The request.
        request: RequestId,
        /// A piece of the answer.
        event: LlmEvent,
    },
    /// No session with the model could be had.
    LlmRefused {
        /// For the call record.
        message: String,
    },
    /// The voice delivers.
    Tts {
        /// The request.
        job: JobId,
        /// A piece of speech.
        event: TtsEvent,
    },
    /// A tool has run.
    ToolDone {
        /// The run.
        run: ToolRunId,
        /// Its result, or why there is none.
        result: Result<serde_json::Value, String>,
    },
    /// A transfer has come to an end.
    TransferDone {
        /// The run of `transfer_call`.
        run: ToolRunId,
        /// Whether the caller was handed over.
        result: Result<(), TransferFailure>,
    },
    /// Someone outside wants something.
    Order(CallOrder),
    /// A deadline given by [`super::Conversation::poll_timeout`] may have come.
    Timeout,
}
