//! End of turn by silence, with a wait that depends on the question asked, the text so far, the
//! melody of the voice and the caller's habits.

use std::time::Duration;

use media::frame::Frame;

use crate::stt::AnswerKind;
use crate::turn::completeness::{self, Completeness};
use crate::turn::detector::{Patience, Pause, PauseRule, TurnDetector};
use crate::turn::lexicon::Lexicon;
use crate::turn::prosody::{Ending, Prosody};

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
            digits: Duration::from_millis(1400),
            quantity: Duration::from_millis(700),
            complete_percent: 45,
            unfinished_percent: 300,
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

/// Judges pauses by their length, the text, the melody and the caller's earlier pauses.
#[derive(Clone, Debug)]
pub struct SilenceDetector {
    policy: PausePolicy,
    lexicon: Lexicon,
    prosody: Prosody,
    /// Running mean of the caller's pauses inside turns, in seconds.
    pauses: Option<f32>,
}

/// Log odds that a turn is over, by the text alone.
const fn text_odds(text: Completeness) -> f32 {
    match text {
        Completeness::Ended => 2.0,
        Completeness::Whole => 0.9,
        // Nothing is known of it: the base wait.
        Completeness::Unknown => 0.8,
        Completeness::Thin => -0.4,
        Completeness::Open => -1.7,
    }
}

/// What the melody adds to the log odds: logistic regression over pauses of simulated callers
/// (`docs/turn-taking.md`, "How the detector was tuned").
fn melody_odds(ending: &Ending) -> f32 {
    let height = ending.height.clamp(-3.0, 3.0);
    let slope = ending.slope.clamp(-6.0, 6.0) / 3.0;
    let decay = ending.decay.clamp(-20.0, 5.0) / 5.0;
    let stretch = ending.stretch.min(600.0) / 300.0;
    let above = ending.above_lowest.clamp(-6.0, 12.0) / 4.0;
    -1.25 - 1.85 * height + 1.09 * slope - 0.82 * decay - 0.29 * stretch + 0.17 * above
}

/// Weight of the latest pause in the running mean.
const PAUSE_WEIGHT: f32 = 0.3;
/// Log odds from which the wait is the shortest, and up to which it is the longest.
const ODDS_SURE: f32 = 1.5;
const ODDS_OPEN: f32 = -2.0;
/// Probability from which a frame is speech.
const VOICED: f32 = 0.35;
/// A caller whose pauses inside turns are this long on average gets the shipped waits, in s.
const USUAL_PAUSE: f32 = 0.5;

impl SilenceDetector {
    /// A detector for a language.
    #[must_use]
    pub fn new(policy: PausePolicy, lexicon: Lexicon) -> Self {
        Self {
            policy,
            lexicon,
            prosody: Prosody::default(),
            pauses: None,
        }
    }

    fn rule(&self, pause: &Pause<'_>) -> PauseRule {
        let text = pause.text.trim();
        match pause.kind {
            // Anything may follow a digit or a letter; a word list cannot tell.
            AnswerKind::Digits | AnswerKind::Spelling => PauseRule::Neutral,
            AnswerKind::YesNo if self.lexicon.is_yes_or_no(text) => PauseRule::Complete,
            _ => match completeness::judge(text, &self.lexicon) {
                Completeness::Ended => PauseRule::Complete,
                Completeness::Open => PauseRule::Unfinished,
                Completeness::Whole | Completeness::Thin | Completeness::Unknown => {
                    PauseRule::Neutral
                }
            },
        }
    }

    /// Share of the base wait by how likely the turn is over, in percent.
    fn percent(&self, pause: &Pause<'_>, rule: PauseRule) -> u32 {
        let policy = &self.policy;
        if matches!(pause.kind, AnswerKind::Digits | AnswerKind::Spelling) {
            return 100 * 100 / self.habit().min(100);
        }
        if rule == PauseRule::Complete {
            return policy.complete_percent;
        }
        let text = match completeness::judge(pause.text, &self.lexicon) {
            // An answer to a narrow question needs no verb.
            Completeness::Thin if pause.kind != AnswerKind::Open => Completeness::Whole,
            text => text,
        };
        let melody = self.prosody.ending().map_or(0.0, |e| melody_odds(&e));
        let odds = text_odds(text) + melody;
        // From the longest wait at odds against the end to the shortest at odds for it.
        let (long, short) = (
            policy.unfinished_percent as f32,
            policy.complete_percent as f32,
        );
        let share = ((ODDS_SURE - odds) / (ODDS_SURE - ODDS_OPEN)).clamp(0.0, 1.0);
        (short + (long - short) * share) as u32
    }

    /// The wait grows and shrinks with the caller's pauses, by a quarter at most.
    fn habit(&self) -> u32 {
        let pause = self.pauses.unwrap_or(USUAL_PAUSE);
        (75.0 + 25.0 * pause / USUAL_PAUSE).clamp(80.0, 125.0) as u32
    }
}

impl TurnDetector for SilenceDetector {
    fn hear(&mut self, frame: &Frame) {
        self.prosody.hear(frame, frame.voice >= VOICED);
    }

    fn resumed(&mut self, pause: Duration) {
        let pause = pause.as_secs_f32();
        let known = self.pauses.get_or_insert(USUAL_PAUSE);
        *known += PAUSE_WEIGHT * (pause - *known);
    }

    fn patience(&mut self, pause: &Pause<'_>) -> Patience {
        let rule = self.rule(pause);
        let base = self.policy.base(pause.kind);
        let percent = self.percent(pause, rule) * self.habit() / 100;
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
        assert_eq!(ms(AnswerKind::Open, "book a table"), 528);
        assert_eq!(ms(AnswerKind::Open, "book a table."), 270);
        assert_eq!(ms(AnswerKind::Open, "I would like to"), 1668);
        assert_eq!(ms(AnswerKind::YesNo, ""), 288);
        assert_eq!(ms(AnswerKind::YesNo, "yes"), 240);
        assert_eq!(ms(AnswerKind::Digits, "five five five"), 1400);
        assert_eq!(ms(AnswerKind::Spelling, "a"), 1400);
        assert_eq!(ms(AnswerKind::Date, "the third of may"), 616);
    }

    #[test]
    fn finishing_early_hides_the_recognisers_delay_but_never_splits_numbers() {
        assert_eq!(
            patience(AnswerKind::Open, "book a table", 200).finish_after,
            Duration::from_millis(328)
        );
        assert_eq!(
            patience(AnswerKind::Open, "book a table", 2000).finish_after,
            Duration::from_millis(264)
        );
        assert_eq!(
            patience(AnswerKind::Digits, "five", 200).finish_after,
            Duration::from_millis(1400)
        );
        let broken = patience(AnswerKind::Open, "and", 200);
        assert_eq!(broken.finish_after, broken.wait);
    }
}
