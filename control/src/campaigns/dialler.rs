//! Decides for one campaign whom to dial, whom to leave for later, and what a result means.
//!
//! No clock, no store, no network: [`Dialler::plan`] is given due recipients and the room there is,
//! [`Dialler::ended`] the result of an attempt, be it that nobody knows it. Each answers with what
//! is to be written and done. All times are microseconds since 1970.

use std::collections::VecDeque;

use chrono::DateTime;
use chrono_tz::Tz;
use uuid::Uuid;

use super::hours::CallingHours;
use super::rules::Rules;
use super::zones::zones_of;
use crate::outbound::outcome::{DialDetail, DialEnd, DialOutcome};

const SECOND_US: i64 = 1_000_000;
/// Over which the frequency cap counts.
pub const DAY_US: i64 = 24 * 3600 * SECOND_US;
/// What the circuit breaker remembers.
const BREAKER_US: i64 = 5 * 60 * SECOND_US;
/// Before a recipient is looked at again whose call did not leave for want of a line.
const UNSENT_RETRY_US: i64 = 2 * SECOND_US;
/// An intent older than this is not acted on: its process was held up, and others may have taken
/// the call for lost meanwhile.
pub const INTENT_STALE_US: i64 = 5 * SECOND_US;

/// A recipient whose time has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Due {
    /// Id.
    pub recipient: Uuid,
    /// E.164 with its plus sign.
    pub phone: String,
    /// IANA name, where the list gave one.
    pub zone: Option<String>,
    /// Attempts that counted so far.
    pub attempts: u32,
    /// When the number was called within the last [`DAY_US`], by any campaign, oldest first.
    pub called_at: Vec<i64>,
    /// Whether the number is on a do-not-call list.
    pub do_not_call: bool,
}

/// What is to become of a due recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Write the intent, then call.
    Dial {
        /// Whom.
        recipient: Uuid,
        /// Which attempt it is, from 1.
        attempt: u32,
    },
    /// Not before then.
    Defer {
        /// Whom.
        recipient: Uuid,
        /// When to look again.
        until: i64,
        /// Why.
        reason: Reason,
    },
    /// Never.
    Close {
        /// Whom.
        recipient: Uuid,
        /// How it ends.
        status: Status,
        /// Why.
        reason: Reason,
    },
}

/// Final states of a recipient.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Status {
    /// Reached.
    Completed,
    /// Busy or did not answer, to the last attempt.
    NoAnswer,
    /// Not reached, and will not be.
    Failed,
    /// Given up with the campaign.
    Cancelled,
}

impl Status {
    /// Name in rows and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::NoAnswer => "no_answer",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why something was decided.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reason {
    /// The call was answered.
    Answered,
    /// Engaged.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// Not wanted.
    Rejected,
    /// No such number.
    InvalidNumber,
    /// The carrier could not.
    CarrierError,
    /// On a do-not-call list.
    DoNotCall,
    /// Outside the calling hours.
    OutsideHours,
    /// No calling hours will come, or they or the zone cannot be read.
    WindowNever,
    /// Called as often as a number may be within a day.
    FrequencyCap,
    /// Nothing left the server; not counted as an attempt.
    NotSent,
    /// The result was lost with its server.
    Interrupted,
    /// The call was ended from our side before the answer.
    Cancelled,
}

impl Reason {
    /// Name in rows and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Rejected => "rejected",
            Self::InvalidNumber => "invalid_number",
            Self::CarrierError => "carrier_error",
            Self::DoNotCall => "dnc",
            Self::OutsideHours => "outside_hours",
            Self::WindowNever => "window_never",
            Self::FrequencyCap => "frequency_cap",
            Self::NotSent => "not_sent",
            Self::Interrupted => "interrupted",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a result means for the recipient.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is over.
    Done {
        /// How.
        status: Status,
        /// Why.
        reason: Reason,
    },
    /// It is dialled again, not before then.
    Retry {
        /// When.
        not_before: i64,
        /// Why.
        reason: Reason,
        /// Whether the attempt counts.
        counts: bool,
    },
}

/// The verdict, and whether the campaign must pause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended {
    /// For the recipient.
    pub verdict: Verdict,
    /// For the campaign.
    pub pause: Option<Pause>,
}

/// Why a campaign pauses by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pause {
    /// The circuit breaker: too many set-ups fail for reasons of line or set-up.
    TrunkFailing,
    /// There is no credit.
    NoCredit,
    /// The agent is gone or cannot be set up.
    AgentUnavailable,
}

impl Pause {
    /// Name in rows and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TrunkFailing => "trunk_failing",
            Self::NoCredit => "no_credit",
            Self::AgentUnavailable => "agent_unavailable",
        }
    }
}

/// The dialler of one campaign.
#[derive(Clone, Debug)]
pub struct Dialler {
    rules: Rules,
    hours: Option<CallingHours>,
    /// Of numbers whose country says nothing.
    zone: Option<Tz>,
    /// When set-ups ended, and whether line or set-up was to blame.
    setups: VecDeque<(i64, bool)>,
    /// How many of them it was to blame for.
    failed: usize,
}

impl Dialler {
    /// A dialler by these rules. `zone` is the campaign's own (IANA name), for numbers whose
    /// country is not known; a name that is none closes them.
    #[must_use]
    pub fn new(rules: Rules, zone: &str) -> Self {
        Self {
            hours: rules.calling_hours(),
            zone: zone.parse().ok(),
            rules,
            setups: VecDeque::new(),
            failed: 0,
        }
    }

    /// A copy that plans as this one does, without what the breaker has seen.
    #[must_use]
    pub fn planner(&self) -> Self {
        Self {
            rules: self.rules.clone(),
            hours: self.hours.clone(),
            zone: self.zone,
            setups: VecDeque::new(),
            failed: 0,
        }
    }

    /// Other rules from now on; what the breaker has seen stays.
    pub fn set_rules(&mut self, rules: Rules, zone: &str) {
        self.hours = rules.calling_hours();
        self.zone = zone.parse().ok();
        self.rules = rules;
    }

    /// The rules in force.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Decides about each of `due`, of which at most `room` may be dialled now. Those beyond the
    /// room are left as they are.
    #[must_use]
    pub fn plan(&self, now: i64, room: usize, due: &[Due]) -> Vec<Step> {
        let mut dialled = 0;
        let mut steps = Vec::with_capacity(due.len());
        for one in due {
            let step = self.step(now, one);
            if matches!(step, Step::Dial { .. }) {
                if dialled == room {
                    continue;
                }
                dialled += 1;
            }
            steps.push(step);
        }
        steps
    }

    fn step(&self, now: i64, due: &Due) -> Step {
        let recipient = due.recipient;
        let close = |reason| Step::Close {
            recipient,
            status: Status::Failed,
            reason,
        };
        let defer = |until, reason| Step::Defer {
            recipient,
            until,
            reason,
        };
        if due.do_not_call {
            return close(Reason::DoNotCall);
        }
        match self.opening(now, due) {
            None => return close(Reason::WindowNever),
            Some(at) if at > now => return defer(at, Reason::OutsideHours),
            Some(_) => {}
        }
        let cap = self.rules.calls_per_number_and_day as usize;
        if cap > 0 && due.called_at.len() >= cap {
            // The oldest of the last `cap` calls must be a day old.
            let oldest = due.called_at[due.called_at.len() - cap];
            if oldest + DAY_US > now {
                return defer(oldest + DAY_US, Reason::FrequencyCap);
            }
        }
        Step::Dial {
            recipient,
            attempt: due.attempts + 1,
        }
    }

    /// When the number may be called; `None` if never.
    fn opening(&self, now: i64, due: &Due) -> Option<i64> {
        let hours = self.hours.as_ref()?;
        if hours.is_always() {
            return Some(now);
        }
        let own: Option<Tz> = match &due.zone {
            Some(name) => Some(name.parse().ok()?),
            None => None,
        };
        let of_country = zones_of(&due.phone);
        let zones: Vec<Tz> = match own {
            Some(zone) => vec![zone],
            None if !of_country.is_empty() => of_country.to_vec(),
            None => vec![self.zone?],
        };
        let at = hours.next_open(DateTime::from_timestamp_micros(now)?, &zones)?;
        Some(at.timestamp_micros().max(now))
    }

    /// What the end of a recipient's attempt number `attempt` means.
    pub fn ended(&mut self, now: i64, attempt: u32, end: &DialEnd) -> Ended {
        if let Some(detail) = end.detail.filter(|detail| detail.is_unsent()) {
            let pause = match detail {
                DialDetail::NoCredit => Some(Pause::NoCredit),
                DialDetail::AgentUnavailable => Some(Pause::AgentUnavailable),
                _ => None,
            };
            return Ended {
                verdict: Verdict::Retry {
                    not_before: now + UNSENT_RETRY_US,
                    reason: Reason::NotSent,
                    counts: false,
                },
                pause,
            };
        }
        let trouble = end.detail.is_some_and(DialDetail::is_trunk_trouble);
        let pause = self.note_setup(now, trouble).then_some(Pause::TrunkFailing);
        Ended {
            verdict: self.verdict(now, attempt, end),
            pause,
        }
    }

    fn verdict(&self, now: i64, attempt: u32, end: &DialEnd) -> Verdict {
        let (status, reason, again_s) = match (end.outcome, end.detail) {
            (DialOutcome::Answered, _) => (Status::Completed, Reason::Answered, None),
            (DialOutcome::Busy, _) => (
                Status::NoAnswer,
                Reason::Busy,
                Some(self.rules.retry_busy_s),
            ),
            (DialOutcome::NoAnswer, _) => {
                let again = Some(self.rules.retry_no_answer_s);
                (Status::NoAnswer, Reason::NoAnswer, again)
            }
            (DialOutcome::Rejected, _) => (Status::Failed, Reason::Rejected, None),
            (DialOutcome::Cancelled, _) => (Status::Failed, Reason::Cancelled, None),
            (DialOutcome::Failed, Some(DialDetail::InvalidNumber)) => {
                (Status::Failed, Reason::InvalidNumber, None)
            }
            (DialOutcome::Failed, Some(DialDetail::Interrupted)) => {
                return self.interrupted(now, attempt);
            }
            (DialOutcome::Failed, _) => (
                Status::Failed,
                Reason::CarrierError,
                Some(self.rules.retry_failed_s),
            ),
        };
        match again_s.filter(|_| attempt < self.rules.attempts_max) {
            Some(seconds) => Verdict::Retry {
                not_before: now + i64::from(seconds) * SECOND_US,
                reason,
                counts: true,
            },
            None => Verdict::Done { status, reason },
        }
    }

    fn interrupted(&self, now: i64, attempt: u32) -> Verdict {
        if self.rules.retry_interrupted && attempt < self.rules.attempts_max {
            return Verdict::Retry {
                not_before: now + i64::from(self.rules.retry_failed_s) * SECOND_US,
                reason: Reason::Interrupted,
                counts: true,
            };
        }
        Verdict::Done {
            status: Status::Failed,
            reason: Reason::Interrupted,
        }
    }

    /// Notes how a set-up ended; true once too many fail. Then it begins to count anew.
    fn note_setup(&mut self, now: i64, trouble: bool) -> bool {
        let least = self.rules.breaker_setups_min as usize;
        if least == 0 {
            return false;
        }
        self.setups.push_back((now, trouble));
        self.failed += usize::from(trouble);
        while let Some((_, trouble)) = self.setups.pop_front_if(|(at, _)| *at + BREAKER_US <= now) {
            self.failed -= usize::from(trouble);
        }
        let share = self.rules.breaker_failures_percent as usize;
        let open = self.setups.len() >= least && self.failed * 100 > self.setups.len() * share;
        if open {
            self.setups.clear();
            self.failed = 0;
        }
        open
    }
}

#[cfg(test)]
mod tests;
