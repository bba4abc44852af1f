//! What a conversation wants done.

use media::leg::LegCommand;

use crate::call::{CallEvent, EndReason};
use crate::conversation::event::{JobId, RequestId, SttSession, ToolRunId};
use crate::llm::{Message, ToolCall};
use crate::stt::{SttCommand, SttRequest};
use crate::tts::TtsRequest;

/// Something to be done, in this order.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "frames travel by value, without heap"
)]
pub enum Action {
    /// Open a recognition session in place of the last one.
    OpenStt {
        /// Its number.
        session: SttSession,
        /// What to open it with.
        request: SttRequest,
    },
    /// Tell the latest recognition session.
    Stt(SttCommand),
    /// Ask the model.
    Respond {
        /// Its number.
        request: RequestId,
        /// What to answer.
        history: Vec<Message>,
    },
    /// Drop the model's answer.
    CancelRespond {
        /// The request.
        request: RequestId,
    },
    /// Ask the voice.
    Synthesize {
        /// Its number.
        job: JobId,
        /// What to say.
        request: TtsRequest,
    },
    /// Drop the voice's answer.
    CancelSynthesis {
        /// The request.
        job: JobId,
    },
    /// Run a tool.
    RunTool {
        /// Its number.
        run: ToolRunId,
        /// The call.
        call: ToolCall,
    },
    /// Drop a run.
    CancelTool {
        /// The run.
        run: ToolRunId,
    },
    /// Hand the caller over.
    Transfer {
        /// The run of `transfer_call`.
        run: ToolRunId,
        /// Telephone number or SIP URI.
        target: String,
    },
    /// Tell the leg. A refused command is tried again, in order; a `Clear` overtakes speech.
    Leg(LegCommand),
    /// Report to the product.
    Emit(CallEvent),
    /// The conversation is over; last action.
    Finished(EndReason),
}
