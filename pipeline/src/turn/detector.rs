//! The seam between the conversation and whatever judges that a turn is over.

use std::fmt;
use std::time::Duration;

use media::frame::Frame;
use serde::{Deserialize, Serialize};

use crate::stt::AnswerKind;

/// What is known while the caller pauses.
#[derive(Clone, Copy, Debug)]
pub struct Pause<'a> {
    /// What the agent has asked for.
    pub kind: AnswerKind,
    /// Text of the turn so far: finals and the running partial.
    pub text: &'a str,
    /// Speech in the turn so far, pauses excluded.
    pub speech: Duration,
    /// How long the recogniser takes from `Finish` to the final text, running estimate.
    pub recogniser_delay: Duration,
}

/// Which rule set the wait.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PauseRule {
    /// The text is complete.
    Complete,
    /// Nothing speaks for or against.
    Neutral,
    /// The text breaks off: a filler, a conjunction, half a number.
    Unfinished,
}

/// How long to wait, counted from the last speech sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// The turn is over when the pause has lasted this long.
    pub wait: Duration,
    /// The recogniser is told to finish after this much of the pause; never more than `wait`.
    pub finish_after: Duration,
    /// Why.
    pub rule: PauseRule,
}

/// Judges pauses. The conversation asks again at every frame of a pause and whenever the text
/// changes, and it alone owns the clock: nothing a detector waits for adds to the wait.
pub trait TurnDetector: Send + fmt::Debug {
    /// Takes the caller's audio, for detectors that listen to the voice itself.
    fn hear(&mut self, frame: &Frame) {
        let _ = frame;
    }

    /// How long to wait in this pause.
    fn patience(&mut self, pause: &Pause<'_>) -> Patience;

    /// The caller went on after a pause of this length, within one turn.
    fn resumed(&mut self, pause: Duration) {
        let _ = pause;
    }
}
