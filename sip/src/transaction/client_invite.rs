//! INVITE client transaction (RFC 3261 §17.1.1, RFC 6026 §7.2).

use std::sync::Arc;
use std::time::Instant;

use super::{Due, Repeat, Timers};
use crate::message::StatusCode;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// No response yet: repeated by timer A, given up by timer B.
    Calling { repeat: Repeat, give_up: Instant },
    /// A provisional response came; limited once CANCEL was sent (§9.1).
    Proceeding { give_up: Option<Instant> },
    /// A non-2xx final response came: lingers for timer D to acknowledge repeats.
    Completed { end: Instant },
    /// A 2xx came: lingers for timer M to pass on its repeats and those of other forks.
    Accepted { end: Instant },
}

/// What the transaction user does with a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum InviteResponse {
    /// Take it; if it is a non-2xx final one, build and send its ACK.
    Deliver,
    /// A repeat of the non-2xx final response: send the same ACK again.
    RepeatAck,
    /// Drop it.
    Ignore,
}

#[derive(Debug)]
pub(crate) struct ClientInvite {
    state: State,
    timers: Timers,
    /// ACK of the non-2xx final response.
    ack: Option<Arc<[u8]>>,
}

impl ClientInvite {
    pub(crate) fn new(now: Instant, timers: Timers) -> Self {
        Self {
            state: State::Calling {
                // Timer A has no upper bound but timer B.
                repeat: timers.repeat(now, timers.timeout()),
                give_up: now + timers.timeout(),
            },
            timers,
            ack: None,
        }
    }

    pub(crate) fn on_response(&mut self, now: Instant, status: StatusCode) -> InviteResponse {
        match (self.state, status) {
            (State::Calling { .. }, status) if status.is_provisional() => {
                self.state = State::Proceeding { give_up: None };
                InviteResponse::Deliver
            }
            (State::Proceeding { .. }, status) if status.is_provisional() => {
                InviteResponse::Deliver
            }
            (State::Calling { .. } | State::Proceeding { .. }, status) if status.is_success() => {
                self.state = State::Accepted {
                    end: now + self.timers.timeout(),
                };
                InviteResponse::Deliver
            }
            (State::Calling { .. } | State::Proceeding { .. }, _) => {
                // Timer D: at least 32 s with the default T1.
                self.state = State::Completed {
                    end: now + self.timers.linger(self.timers.timeout()),
                };
                InviteResponse::Deliver
            }
            (State::Accepted { .. }, status) if status.is_success() => InviteResponse::Deliver,
            (State::Completed { .. }, status)
                if !status.is_provisional() && !status.is_success() =>
            {
                InviteResponse::RepeatAck
            }
            (State::Accepted { .. } | State::Completed { .. }, _) => InviteResponse::Ignore,
        }
    }

    /// Remembers the ACK of the non-2xx final response for its repeats.
    pub(crate) fn set_ack(&mut self, ack: Arc<[u8]>) {
        self.ack = Some(ack);
    }

    pub(crate) fn ack(&self) -> Option<Arc<[u8]>> {
        self.ack.clone()
    }

    /// From here on the final response must come within 64 × T1: CANCEL was sent (§9.1), or it is
    /// a re-INVITE, for which nobody rings.
    pub(crate) fn limit_wait(&mut self, now: Instant) {
        if let State::Proceeding { give_up } = &mut self.state {
            give_up.get_or_insert(now + self.timers.timeout());
        }
    }

    /// Whether a CANCEL may be sent: only after a provisional response (§9.1).
    pub(crate) const fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// Whether no response has come yet.
    pub(crate) const fn is_calling(&self) -> bool {
        matches!(self.state, State::Calling { .. })
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Calling { repeat, give_up } => Some(repeat.at.min(give_up)),
            State::Proceeding { give_up } => give_up,
            State::Completed { end } | State::Accepted { end } => Some(end),
        }
    }

    pub(crate) fn on_timeout(&mut self, now: Instant) -> Due {
        match &mut self.state {
            State::Calling { give_up, .. } if *give_up <= now => Due::TimedOut,
            State::Calling { repeat, .. } if repeat.at <= now => {
                repeat.advance(now);
                Due::Repeat
            }
            State::Proceeding {
                give_up: Some(give_up),
            } if *give_up <= now => Due::TimedOut,
            State::Completed { end } | State::Accepted { end } if *end <= now => Due::Terminated,
            _ => Due::Nothing,
        }
    }
}
