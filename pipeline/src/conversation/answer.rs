//! One turn of the agent, from the request to the last sample heard.

use std::collections::VecDeque;
use std::time::Instant;

use media::frame::SamplePosition;
use media::leg::SegmentId;

use super::event::{JobId, RequestId, ToolRunId};
use super::history::Entry;
use crate::call::EndReason;
use crate::llm::ToolCall;
use crate::playout::Playout;
use crate::tts::sentence_splitter::SentenceSplitter;
use crate::turn_timings::TurnMarks;

/// What an answer answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trigger {
    /// The call was answered.
    Opening,
    /// The caller's turn.
    Caller,
    /// The caller's silence.
    Silence(Entry),
    /// Something of the engine's own.
    Notice,
}

/// What follows when the answer has been heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    Listen,
    HangUp(EndReason),
}

/// A running request to the model.
#[derive(Clone, Copy, Debug)]
pub(super) struct ModelRequest {
    pub(super) id: RequestId,
    /// The next event must have come by then.
    pub(super) due: Instant,
    /// Something of the answer has come.
    pub(super) begun: bool,
    pub(super) expectation_given: bool,
}

/// A running request to the voice.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) id: JobId,
    pub(super) segment: SegmentId,
    pub(super) text: String,
    pub(super) due: Instant,
    pub(super) begun: bool,
    pub(super) retried: bool,
}

/// Where a tool call stands.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum ToolStage {
    /// Held until it is sure that the turn is over.
    Held,
    /// Running, to be over by then.
    Running { due: Instant, since: Instant },
    /// A transfer that begins when what is queued has been heard.
    AwaitsPlayout { target: String },
    /// A transfer under way.
    Transferring { due: Instant, since: Instant },
    /// Over.
    Done { content: String, is_error: bool },
}

#[derive(Clone, Debug)]
pub(super) struct ToolUse {
    pub(super) run: ToolRunId,
    pub(super) call: ToolCall,
    pub(super) stage: ToolStage,
}

/// One turn of the agent. Its text comes in parts: each model request makes one, and tools run
/// between them.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) trigger: Trigger,
    pub(super) request: Option<ModelRequest>,
    pub(super) retried: bool,
    pub(super) splitter: SentenceSplitter,
    /// Chunks of the present part that have not been asked of the voice.
    pub(super) waiting: VecDeque<String>,
    pub(super) jobs: Vec<Job>,
    pub(super) playout: Playout,
    /// Number of the present part.
    pub(super) part: usize,
    /// Entries of the earlier parts in the history.
    pub(super) told: Vec<Entry>,
    pub(super) has_text: bool,
    pub(super) tools: Vec<ToolUse>,
    pub(super) rounds: u32,
    pub(super) then: Then,
    pub(super) marks: TurnMarks,
    /// The caller speaks before anything was heard: nothing more may leave until it is clear
    /// whether the turn goes on.
    pub(super) gate_closed: bool,
    /// Last sign of progress of the playout.
    pub(super) playout_at: Instant,
    /// Where the last played segment ended.
    pub(super) ended: Option<SamplePosition>,
}

impl Answer {
    pub(super) fn new(trigger: Trigger, speed: f32, now: Instant) -> Self {
        Self {
            trigger,
            request: None,
            retried: false,
            splitter: SentenceSplitter::new(),
            waiting: VecDeque::new(),
            jobs: Vec::new(),
            playout: Playout::new(speed),
            part: 0,
            told: Vec::new(),
            has_text: false,
            tools: Vec::new(),
            rounds: 0,
            then: Then::Listen,
            marks: TurnMarks::default(),
            gate_closed: false,
            playout_at: now,
            ended: None,
        }
    }

    /// Whether the agent has the floor: it sounds, or is in the middle of what it says.
    pub(super) fn has_floor(&self) -> bool {
        self.playout.sounding()
            || self.playout.part_started(self.part) && (self.is_generating() || !self.is_spoken())
    }

    /// Whether more of the present part may come.
    pub(super) const fn is_generating(&self) -> bool {
        self.request.is_some() && self.tools.is_empty()
    }

    /// Whether everything there is to say has been played.
    pub(super) fn is_spoken(&self) -> bool {
        self.waiting.is_empty() && self.jobs.is_empty() && self.playout.finished()
    }

    /// Whether a tool of this answer has had, or may have had, an effect.
    pub(super) fn has_acted(&self) -> bool {
        !self.told.is_empty()
            || self
                .tools
                .iter()
                .any(|t| !matches!(t.stage, ToolStage::Held | ToolStage::AwaitsPlayout { .. }))
    }

    /// Whether some tool is not over.
    pub(super) fn awaits_tools(&self) -> bool {
        self.tools
            .iter()
            .any(|t| !matches!(t.stage, ToolStage::Done { .. }))
    }

    /// Whether the caller cannot take the floor from it any more.
    pub(super) fn is_final(&self) -> bool {
        matches!(self.then, Then::HangUp(_))
            || self
                .tools
                .iter()
                .any(|t| matches!(t.stage, ToolStage::Transferring { .. }))
    }
}
