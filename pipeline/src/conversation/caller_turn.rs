//! The caller's turn while it is being spoken, and key presses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use media::frame::SamplePosition;

use super::history::Entry;
use crate::stt::{RecognitionHints, UtteranceId};
use crate::turn::lexicon::words;

/// Where one utterance of a turn stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Audio goes to the recogniser.
    Running,
    /// The recogniser was told to finish.
    Finishing {
        /// When.
        since: Instant,
    },
    /// The final text is there.
    Done,
}

/// One utterance of a turn.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) id: UtteranceId,
    /// First sample sent, pre-roll included.
    pub(super) from: SamplePosition,
    /// Just behind the last sample sent.
    pub(super) until: SamplePosition,
    pub(super) stage: Stage,
    /// The partial, then the final text.
    pub(super) text: String,
}

/// What the caller says until the turn is committed.
#[derive(Clone, Debug)]
pub(super) struct CallerTurn {
    /// First sample of speech.
    pub(super) onset: SamplePosition,
    /// First sample of the latest run of speech.
    pub(super) burst: SamplePosition,
    /// Just behind the last sample of speech.
    pub(super) end: SamplePosition,
    /// Arrival of that sample.
    pub(super) end_at: Instant,
    pub(super) began_at: Instant,
    /// The detector's stop event, if it came after the last speech.
    pub(super) stop_at: Option<Instant>,
    pub(super) final_at: Option<Instant>,
    /// Speech in runs that have ended.
    pub(super) spoken: Duration,
    pub(super) pieces: Vec<Piece>,
    /// When its text last changed.
    pub(super) text_at: Option<Instant>,
    /// Time is up: it is over, pause or not.
    pub(super) forced: bool,
}

impl CallerTurn {
    pub(super) fn new(onset: SamplePosition, now: Instant) -> Self {
        Self {
            onset,
            burst: onset,
            end: onset,
            end_at: now,
            began_at: now,
            stop_at: None,
            final_at: None,
            spoken: Duration::ZERO,
            pieces: Vec::new(),
            text_at: None,
            forced: false,
        }
    }

    /// Puts an earlier turn, withdrawn before its answer was heard, in front of this one.
    pub(super) fn continue_from(&mut self, earlier: Self) {
        self.onset = earlier.onset;
        self.began_at = earlier.began_at;
        self.spoken += earlier.spoken;
        let later = std::mem::replace(&mut self.pieces, earlier.pieces);
        self.pieces.extend(later);
    }

    pub(super) fn text(&self) -> String {
        let texts: Vec<&str> = self
            .pieces
            .iter()
            .map(|p| p.text.trim())
            .filter(|t| !t.is_empty())
            .collect();
        texts.join(" ")
    }

    /// Whether the recogniser owes nothing.
    pub(super) fn is_transcribed(&self) -> bool {
        self.pieces.iter().all(|p| p.stage == Stage::Done)
    }

    pub(super) fn running(&mut self) -> Option<&mut Piece> {
        self.pieces.iter_mut().find(|p| p.stage == Stage::Running)
    }

    pub(super) fn piece(&mut self, id: UtteranceId) -> Option<&mut Piece> {
        self.pieces.iter_mut().find(|p| p.id == id)
    }
}

/// A turn that is committed but may still be taken back, as its answer has not been heard.
#[derive(Clone, Debug)]
pub(super) struct Provisional {
    pub(super) turn: CallerTurn,
    pub(super) text: String,
    pub(super) entry: Entry,
}

/// What an answer was asked for before the turn was taken.
#[derive(Clone, Debug)]
pub(super) struct Speculation {
    /// The text, as [`spoken_form`] has it.
    pub(super) text: String,
    pub(super) entry: Entry,
    /// What the answer expects next; in force once the turn is taken.
    pub(super) expected: Option<Arc<RecognitionHints>>,
}

/// A text without what does not change its meaning: case and punctuation.
pub(super) fn spoken_form(text: &str) -> String {
    words(text).collect::<Vec<_>>().join(" ")
}

/// Keys pressed so far.
#[derive(Clone, Debug)]
pub(super) struct KeyEntry {
    pub(super) keys: String,
    pub(super) first: SamplePosition,
    pub(super) last: SamplePosition,
    pub(super) last_at: Instant,
    /// No further key is waited for.
    pub(super) complete: bool,
}
