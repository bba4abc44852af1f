//! End of turn by silence, with a wait that depends on the question asked and the text so far.

use std::time::Duration;

use crate::stt::AnswerKind;
use crate::turn::detector::{Patience, Pause, PauseRule, TurnDetector};
use crate::turn::lexicon::Lexicon;

/// Waits in force, counted from the last speech sample.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PausePolicy {
    /// Wait after an open question.
    pub open: Duration,
    /// After a yes-or-no question.
    pub yes_no: Duration,
    /// After a choice between a few phrases.
    pub choice: Duration,
    /// After a question for digits or for something to be spelled.
    pub digits: Duration,
    /// After a question for a date, a time or a quantity.
    pub quantity: Duration,
    /// A complete text shortens the wait to this share of it, in percent.
    pub complete_percent: u32,
    /// A text that breaks off lengthens it to this share, in percent.
    pub unfinished_percent: u32,
    /// No wait is shorter.
    pub min: Duration,
    /// No wait is longer.
    pub max: Duration,
    /// Share of every wait that is really waited, in percent: below 100 is more eager than the
    /// shipped balance.
    pub patience_percent: u32,
}

impl Default for PausePolicy {
    fn default() -> Self {
        Self {
            open: Duration::from_millis(600),
            yes_no: Duration::from_millis(300),
            choice: Duration::from_millis(500),
            digits: Duration::from_millis(1200),
            quantity: Duration::from_millis(700),
            complete_percent: 60,
            unfinished_percent: 220,
            min: Duration::from_millis(240),
            max: Duration::from_millis(2500),
            patience_percent: 100,
        }
    }
}

impl PausePolicy {
    /// The wait for an answer of this kind, before the text is looked at.
    #[must_use]
    pub const fn base(&self, kind: AnswerKind) -> Duration {
        match kind {
            AnswerKind::Open => self.open,
            AnswerKind::YesNo => self.yes_no,
            AnswerKind::Choice => self.choice,
            AnswerKind::Digits | AnswerKind::Spelling => self.digits,
            AnswerKind::Number | AnswerKind::Date | AnswerKind::Time => self.quantity,
        }
    }
}

/// Judges pauses by their length and the text alone.
#[derive(Clone, Copy, Debug)]
pub struct SilenceDetector {
    policy: PausePolicy,
    lexicon: Lexicon,
}

impl SilenceDetector {
    /// A detector for a language.
    #[must_use]
    pub const fn new(policy: PausePolicy, lexicon: Lexicon) -> Self {
        Self { policy, lexicon }
    }

    fn rule(&self, pause: &Pause<'_>) -> PauseRule {
        let text = pause.text.trim();
        match pause.kind {
            // Anything may follow a digit or a letter; a word list cannot tell.
            AnswerKind::Digits | AnswerKind::Spelling => PauseRule::Neutral,
            AnswerKind::YesNo if self.lexicon.is_yes_or_no(text) => PauseRule::Complete,
            _ if self.lexicon.breaks_off(text) => PauseRule::Unfinished,
            _ if text.ends_with(['.', '!', '?', '।', '。']) => PauseRule::Complete,
            _ => PauseRule::Neutral,
        }
    }
}

impl TurnDetector for SilenceDetector {
    fn patience(&mut self, pause: &Pause<'_>) -> Patience {
        let rule = self.rule(pause);
        let base = self.policy.base(pause.kind);
        let percent = match rule {
            PauseRule::Complete => self.policy.complete_percent,
            PauseRule::Neutral => 100,
            PauseRule::Unfinished => self.policy.unfinished_percent,
        };
        let wait = (base * percent / 100).clamp(self.policy.min, self.policy.max)
            * self.policy.patience_percent
            / 100;
        // Finishing early hides the recogniser's delay inside the wait. Cutting a number or a
        // spelled name in two costs more than it saves.
        let early = match pause.kind {
            AnswerKind::Open | AnswerKind::YesNo | AnswerKind::Choice => {
                pause.recogniser_delay.min(wait / 2)
            }
            AnswerKind::Digits
            | AnswerKind::Spelling
            | AnswerKind::Number
            | AnswerKind::Date
            | AnswerKind::Time => Duration::ZERO,
        };
        let early = if rule == PauseRule::Unfinished {
            Duration::ZERO
        } else {
            early
        };
        Patience {
            wait,
            finish_after: wait.saturating_sub(early),
            rule,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(kind: AnswerKind, text: &str, delay_ms: u64) -> Patience {
        SilenceDetector::new(PausePolicy::default(), Lexicon::of("en")).patience(&Pause {
            kind,
            text,
            speech: Duration::from_secs(1),
            recogniser_delay: Duration::from_millis(delay_ms),
        })
    }

    #[test]
    fn the_wait_follows_the_question_and_the_text() {
        let ms = |kind, text| patience(kind, text, 0).wait.as_millis();
        assert_eq!(ms(AnswerKind::Open, "book a table"), 600);
        assert_eq!(ms(AnswerKind::Open, "book a table."), 360);
        assert_eq!(ms(AnswerKind::Open, "I would like to"), 1320);
        assert_eq!(ms(AnswerKind::YesNo, ""), 300);
        assert_eq!(ms(AnswerKind::YesNo, "yes"), 240);
        assert_eq!(ms(AnswerKind::Digits, "five five five"), 1200);
        assert_eq!(ms(AnswerKind::Spelling, "a"), 1200);
        assert_eq!(ms(AnswerKind::Date, "the third of may"), 700);
    }

    #[test]
    fn finishing_early_hides_the_recognisers_delay_but_never_splits_numbers() {
        assert_eq!(
            patience(AnswerKind::Open, "book a table", 200).finish_after,
            Duration::from_millis(400)
        );
        assert_eq!(
            patience(AnswerKind::Open, "book a table", 2000).finish_after,
            Duration::from_millis(300)
        );
        assert_eq!(
            patience(AnswerKind::Digits, "five", 200).finish_after,
            Duration::from_millis(1200)
        );
        let broken = patience(AnswerKind::Open, "and", 200);
        assert_eq!(broken.finish_after, broken.wait);
    }
}
