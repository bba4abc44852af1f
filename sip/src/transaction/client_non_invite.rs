//! Non-INVITE client transaction (RFC 3261 §17.1.2).

use std::time::Instant;

use super::{Due, Repeat, Timers};
use crate::message::StatusCode;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// No final response yet: repeated by timer E, given up by timer F.
    Trying { repeat: Repeat, give_up: Instant },
    /// A final response came: timer K absorbs its repeats.
    Completed { end: Instant },
}

#[derive(Debug)]
pub(crate) struct ClientNonInvite {
    state: State,
    timers: Timers,
}

impl ClientNonInvite {
    pub(crate) fn new(now: Instant, timers: Timers) -> Self {
        Self {
            state: State::Trying {
                repeat: timers.repeat(now, timers.t2),
                give_up: now + timers.timeout(),
            },
            timers,
        }
    }

    /// Whether the response is to be taken.
    pub(crate) fn on_response(&mut self, now: Instant, status: StatusCode) -> bool {
        match &mut self.state {
            State::Trying { repeat, .. } => {
                if status.is_provisional() {
                    if !self.timers.reliable {
                        repeat.slow_down();
                    }
                } else {
                    self.state = State::Completed {
                        end: now + self.timers.linger(self.timers.t4),
                    };
                }
                true
            }
            State::Completed { .. } => false,
        }
    }

    /// Whether the final response is still to come.
    pub(crate) const fn is_trying(&self) -> bool {
        matches!(self.state, State::Trying { .. })
    }

    pub(crate) fn deadline(&self) -> Instant {
        match self.state {
            State::Trying { repeat, give_up } => repeat.at.min(give_up),
            State::Completed { end } => end,
        }
    }

    pub(crate) fn on_timeout(&mut self, now: Instant) -> Due {
        match &mut self.state {
            State::Trying { give_up, .. } if *give_up <= now => Due::TimedOut,
            State::Trying { repeat, .. } if repeat.at <= now => {
                repeat.advance(now);
                Due::Repeat
            }
            State::Completed { end } if *end <= now => Due::Terminated,
            State::Trying { .. } | State::Completed { .. } => Due::Nothing,
        }
    }
}
