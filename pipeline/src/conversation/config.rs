//! The conversation's constants, in one table.

use std::time::Duration;

use crate::turn::silence::PausePolicy;
use crate::turn::speech_segmenter::SegmenterPolicy;

/// What becomes of a running tool when the caller takes the floor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum ToolInterruption {
    /// It is cancelled; its result says so.
    #[default]
    Cancel,
    /// It runs to its end before the caller's turn is answered.
    Finish,
}

/// Everything tunable about turn-taking. The defaults are the shipped ones.
#[derive(Clone, PartialEq, Debug)]
pub struct ConversationConfig {
    /// Beginnings and ends of speech.
    pub segmenter: SegmenterPolicy,
    /// Waits for the end of a turn.
    pub pauses: PausePolicy,
    /// Audio before the onset that the recogniser gets too.
    pub pre_roll: Duration,
    /// Audio kept for a recogniser that must be reopened.
    pub replay: Duration,
    /// A turn is committed this long after speech end, whatever is missing.
    pub backstop: Duration,
    /// A turn is committed after this much talk, even without a pause.
    pub monologue_max: Duration,
    /// Wordless speech shorter than this is noise.
    pub noise_max: Duration,
    /// Speech of which no words come within this is background, once the recogniser is known to
    /// give partial texts.
    pub wordless_max: Duration,
    /// Speech that adds no words for this long has ended.
    pub stalled_max: Duration,
    /// Pause after which an answer may be prepared.
    pub speculate_after: Duration,
    /// The same when no text has come in the pause: the last word may still be on its way.
    pub speculate_late: Duration,
    /// Answers that may be prepared in vain in one turn; zero turns speculation off.
    pub speculations_max: u32,
    /// Turns longer than this are not speculated on.
    pub speculate_speech_max: Duration,
    /// Speech over the agent for which the agent holds its breath, until it is clear what it is.
    pub hold_after: Duration,
    /// Speech this much softer than the caller's usual level is not held for, in dB.
    pub hold_softest: f32,
    /// Gain while the caller talks over the agent, in dB.
    pub duck_decibel: f32,
    /// Ramp of ducking and of its end.
    pub duck_ramp_ms: u32,
    /// Speech over the agent that takes the floor by its length alone.
    pub takeover_after: Duration,
    /// Added to it where the recogniser tells words while they are said.
    pub words_patience: Duration,
    /// The same while the caller has heard less than this of the agent: both began at once.
    pub both_began_within: Duration,
    /// Speech that takes the floor when both began at once.
    pub takeover_when_both_began: Duration,
    /// Words, other than acknowledgements, that take the floor at once.
    pub takeover_words: usize,
    /// An overlap without verdict is ignored after this.
    pub verdict_max: Duration,
    /// Acknowledgements that go on for longer than this take the floor.
    pub acknowledgement_max: Duration,
    /// Output that was stopped is resumed when no words come within this.
    pub resume_after: Duration,
    /// An acknowledgement this close to the end of the agent's turn is an answer.
    pub answer_near_end: Duration,
    /// The leg must confirm a cleared queue within this.
    pub clear_max: Duration,
    /// Pause between keys after which an entry is complete.
    pub key_idle: Duration,
    /// Keys after which an entry is complete.
    pub keys_max: usize,
    /// Longest run of a tool.
    pub tool_max: Duration,
    /// What becomes of running tools at an interruption.
    pub tool_interruption: ToolInterruption,
    /// Tool rounds in a row before the model must speak.
    pub tool_rounds_max: u32,
    /// Longest attempt to transfer.
    pub transfer_max: Duration,
    /// The model's first event must come within this.
    pub llm_first_max: Duration,
    /// Every further event of the model must come within this.
    pub llm_stall_max: Duration,
    /// Every piece of speech must come within this.
    pub tts_stall_max: Duration,
    /// Requests to the voice that may run at once.
    pub tts_jobs_max: usize,
    /// Unplayed speech at hand beyond which no more is requested.
    pub speech_ahead_max: Duration,
    /// Recognition sessions that may fail in a row.
    pub stt_failures_max: u32,
    /// Wait before the second reopening in a row; the third waits twice as long.
    pub stt_reopen_wait: Duration,
    /// Speech counts as played this long after its reckoned end when the leg says nothing.
    pub playout_slack: Duration,
    /// The warning comes this long before the end of the longest call.
    pub warning_before_end: Duration,
    /// The goodbye of a call whose credit ends begins so long before the end.
    pub credit_goodbye: Duration,
    /// A farewell may take this long at most.
    pub farewell_max: Duration,
    /// The leg must close within this.
    pub close_max: Duration,
    /// Frames that stay out for longer than this stop the silence ladder.
    pub stall_max: Duration,
    /// Way from the wire to the caller's ear, for the timings; zero when not known.
    pub carrier_delay: Duration,
}

impl Default for ConversationConfig {
    fn default() -> Self {
        Self {
            segmenter: SegmenterPolicy::default(),
            pauses: PausePolicy::default(),
            pre_roll: Duration::from_millis(360),
            replay: Duration::from_secs(2),
            backstop: Duration::from_secs(5),
            monologue_max: Duration::from_secs(90),
            noise_max: Duration::from_millis(300),
            wordless_max: Duration::from_millis(1500),
            stalled_max: Duration::from_millis(1400),
            speculate_after: Duration::from_millis(100),
            speculate_late: Duration::from_millis(300),
            speculations_max: 3,
            speculate_speech_max: Duration::from_secs(10),
            hold_after: Duration::from_millis(120),
            hold_softest: -7.0,
            duck_decibel: -9.0,
            duck_ramp_ms: 20,
            takeover_after: Duration::from_millis(640),
            words_patience: Duration::from_millis(100),
            both_began_within: Duration::from_millis(300),
            takeover_when_both_began: Duration::from_millis(300),
            takeover_words: 2,
            verdict_max: Duration::from_millis(700),
            acknowledgement_max: Duration::from_millis(1000),
            resume_after: Duration::from_secs(2),
            answer_near_end: Duration::from_secs(1),
            clear_max: Duration::from_millis(500),
            key_idle: Duration::from_secs(3),
            keys_max: 32,
            tool_max: Duration::from_secs(10),
            tool_interruption: ToolInterruption::default(),
            tool_rounds_max: 8,
            transfer_max: Duration::from_secs(60),
            llm_first_max: Duration::from_secs(5),
            llm_stall_max: Duration::from_secs(8),
            tts_stall_max: Duration::from_secs(4),
            tts_jobs_max: 2,
            speech_ahead_max: Duration::from_secs(10),
            stt_failures_max: 3,
            stt_reopen_wait: Duration::from_millis(500),
            playout_slack: Duration::from_secs(5),
            warning_before_end: Duration::from_secs(30),
            credit_goodbye: Duration::from_secs(8),
            farewell_max: Duration::from_secs(15),
            close_max: Duration::from_secs(1),
            stall_max: Duration::from_secs(1),
            carrier_delay: Duration::ZERO,
        }
    }
}
