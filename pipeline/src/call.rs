//! What goes into a call's conversation and what comes out of it: the seam to the product.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use media::leg::LegStatistics;
use media::leg_queue::MediaLeg;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::llm::{LanguageModel, LlmUsage, ToolDefinition, ToolRunner};
use crate::stt::SpeechToText;
use crate::tts::TextToSpeech;
use crate::turn::detector::PauseRule;
use crate::usage_meter::UsageMeter;

/// What the conversation needs to know of an agent.
#[derive(Clone, Debug)]
pub struct AgentProfile {
    /// Said when the call is answered; `None` waits for the caller, unless the model itself
    /// (a workflow) opens.
    pub first_message: Option<String>,
    /// Whether the model is asked for the opening when there is no first message.
    pub model_opens: bool,
    /// Instructions for the model.
    pub system_prompt: String,
    /// BCP 47 language tag.
    pub language: String,
    /// Voice name; empty for the provider's default.
    pub voice: String,
    /// Speaking rate; 1.0 is the voice's own.
    pub speed: f32,
    /// IANA time zone name.
    pub time_zone: String,
    /// Tools the model may use, besides the engine's own.
    pub tools: Vec<ToolDefinition>,
    /// Longest call; a spoken warning comes 30 s earlier.
    pub call_duration_max: Duration,
    /// Silence after which the caller is asked whether they are there.
    pub silence_prompt_after: Duration,
    /// How many such prompts before the agent says goodbye.
    pub silence_prompts_max: u32,
}

/// The parties' services for one call.
pub struct CallServices {
    /// Recogniser.
    pub stt: Arc<dyn SpeechToText>,
    /// Model or workflow.
    pub llm: Arc<dyn LanguageModel>,
    /// Voice.
    pub tts: Arc<dyn TextToSpeech>,
    /// Runner of tools.
    pub tools: Arc<dyn ToolRunner>,
    /// What only the carrier side can do.
    pub carrier: Arc<dyn CarrierActions>,
}

impl fmt::Debug for CallServices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallServices")
            .field("stt", &self.stt.name())
            .field("llm", &self.llm.name())
            .field("tts", &self.tts.name())
            .finish_non_exhaustive()
    }
}

/// Everything a conversation is started with.
#[derive(Debug)]
pub struct CallSetup {
    /// The agent.
    pub agent: AgentProfile,
    /// The services.
    pub services: CallServices,
    /// The caller's audio.
    pub leg: MediaLeg,
    /// Variables of the call (`caller`, `called`, custom parameters).
    pub variables: BTreeMap<String, String>,
    /// Where events go; the receiver must keep up, a full queue holds the conversation's record
    /// keeping (never its audio) back.
    pub events: mpsc::Sender<CallEvent>,
    /// Orders from outside.
    pub orders: mpsc::Receiver<CallOrder>,
    /// Counts what the call uses.
    pub meter: Arc<UsageMeter>,
}

/// Orders to a running conversation.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CallOrder {
    /// The other side has hung up.
    RemoteHungUp,
    /// End the call now, for this reason.
    HangUp(EndReason),
    /// The call is paid up to then: it says goodbye shortly before and ends then, unless told a
    /// later time first.
    FundedUntil(Instant),
}

/// Why a transfer did not happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TransferFailure {
    /// The carrier or leg has no way to transfer.
    Unsupported,
    /// The target is not allowed or not an address.
    InvalidTarget,
    /// The target is busy.
    Busy,
    /// The target did not answer.
    NoAnswer,
    /// The target, or the carrier, refused.
    Declined,
    /// No outcome in time.
    TimedOut,
    /// Anything else.
    Failed,
}

/// What only the carrier side can do for a conversation.
#[async_trait]
pub trait CarrierActions: Send + Sync {
    /// Hands the caller over to `target` (a telephone number or SIP URI), blind.
    ///
    /// # Errors
    /// The typed reason; the caller is then still on the line.
    async fn transfer(&self, target: &str) -> Result<(), TransferFailure>;
}

/// Why a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndReason {
    /// The agent said goodbye and hung up.
    AgentHungUp,
    /// The caller hung up.
    CallerHungUp,
    /// The caller was handed over.
    Transferred,
    /// The caller said nothing, prompts included.
    CallerSilent,
    /// No media came for the configured time.
    MediaTimeout,
    /// The agent's limit for a call was reached.
    DurationLimit,
    /// There was no credit for more.
    CreditExhausted,
    /// The server was shut down.
    ServerShutdown,
    /// An operator ended it.
    OperatorHungUp,
    /// A provider failed and no other was there.
    ProviderFailed,
    /// The engine itself failed in this call.
    InternalError,
    /// The process died in the middle of the call; found at restart.
    Interrupted,
}

/// Who spoke.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The caller.
    Caller,
    /// The agent.
    Agent,
}

/// One line of the transcript.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TranscriptTurn {
    /// Who spoke.
    pub speaker: Speaker,
    /// Caller: what was understood. Agent: what was really heard.
    pub text: String,
    /// Start, in ms since the leg began.
    pub start_ms: u64,
    /// End, in ms since the leg began.
    pub end_ms: u64,
    /// Agent only: cut short by the caller.
    pub interrupted: bool,
    /// Caller only: keyed in.
    pub dtmf: bool,
    /// Agent only: how the wait before it came about.
    pub timings: Option<TurnTimings>,
}

/// Latency spans of one agent turn, in microseconds; they add up to `voice_to_voice`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TurnTimings {
    /// t1-t0: last true speech sample to the detector's stop event.
    pub vad_lag: i64,
    /// t2-t1: stop event to the decision that the turn is over.
    pub endpoint_wait: i64,
    /// t3-t2: decision to request.
    pub dispatch: i64,
    /// t4-t3: request to first token.
    pub llm_ttft: i64,
    /// t5-t4: first token to first speakable chunk.
    pub chunking: i64,
    /// t6-t5: chunk to first byte of speech.
    pub tts_ttfb: i64,
    /// t7-t6: first byte to first sample that is not silence.
    pub lead_silence: i64,
    /// t7 to the opening of the gate, for speech that was prepared before the turn was taken.
    #[serde(default)]
    pub gate_hold: i64,
    /// From there to the wire (t8).
    pub out_queue: i64,
    /// t9-t8: wire to the caller's ear, estimated.
    pub carrier: i64,
    /// t9-t0.
    pub voice_to_voice: i64,
    /// Final transcript after t0; overlaps `endpoint_wait`, not part of the sum.
    pub stt_ttfs: Option<i64>,
}

/// What happens in a conversation, for records, live views and metrics.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallEvent {
    /// Text understood so far; replaces the last partial.
    CallerPartial {
        /// Text.
        text: String,
    },
    /// The caller's turn was taken to be over: an answer is made. The turn may still be taken
    /// back while nothing of the answer has been heard.
    TurnTaken {
        /// End of the caller's speech in ms on the timeline.
        end_ms: u64,
        /// From there to the decision.
        wait_ms: u64,
        /// Which rule set the wait.
        rule: PauseRule,
    },
    /// A turn is final.
    Turn(TranscriptTurn),
    /// The agent has begun to speak (first sample on the wire).
    AgentSpeaking {
        /// Place on the timeline in ms.
        at_ms: u64,
    },
    /// The caller talked over the agent.
    Overlap {
        /// What it was taken for.
        verdict: OverlapVerdict,
        /// Onset in ms on the timeline.
        onset_ms: u64,
        /// From onset to verdict.
        decision_ms: u64,
    },
    /// A tool was run.
    Tool {
        /// Its name.
        name: String,
        /// Its arguments.
        arguments: serde_json::Value,
        /// Its result.
        result: serde_json::Value,
        /// Whether it failed.
        is_error: bool,
        /// How long it took.
        duration_ms: u64,
    },
    /// A key was pressed.
    Digit {
        /// The key.
        key: char,
    },
    /// A provider failed; the call may go on.
    ProviderFault {
        /// `stt`, `llm`, `tts` or `tool`.
        part: String,
        /// Provider name.
        provider: String,
        /// What it said.
        message: String,
    },
    /// Tokens used by an answer.
    Usage(LlmUsage),
    /// No more credit could be set aside for the call.
    CreditLow {
        /// Paid seconds that are left.
        seconds_left: u64,
    },
    /// The state machine moved: `listening`, `thinking`, `speaking`, `tool`, `ended`.
    State {
        /// Name of the state.
        state: String,
    },
    /// The conversation is over; last event.
    Ended {
        /// Why.
        reason: EndReason,
        /// The leg's counters.
        #[serde(skip)]
        statistics: LegStatistics,
    },
}

/// What speech over the agent's own was taken for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OverlapVerdict {
    /// The caller wants the floor.
    Takeover,
    /// "Mm-hm".
    Backchannel,
    /// Too short to be speech.
    Noise,
}
