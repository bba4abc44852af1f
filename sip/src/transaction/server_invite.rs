//! INVITE server transaction (RFC 3261 §17.2.1, RFC 6026 §7.1).

use std::sync::Arc;
use std::time::Instant;

use super::{Due, Repeat, Timers};
use crate::message::StatusCode;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// No final response yet; the transaction user decides when.
    Proceeding,
    /// A non-2xx final response was sent: repeated by timer G until the ACK, timer H gives up.
    Completed { repeat: Repeat, give_up: Instant },
    /// The ACK came: timer I absorbs its repeats.
    Confirmed { end: Instant },
    /// A 2xx was sent: timer L absorbs repeats of the INVITE; the dialog repeats the 2xx.
    Accepted { end: Instant },
}

#[derive(Debug)]
pub(crate) struct ServerInvite {
    state: State,
    timers: Timers,
    last: Option<Arc<[u8]>>,
}

impl ServerInvite {
    pub(crate) const fn new(timers: Timers) -> Self {
        Self {
            state: State::Proceeding,
            timers,
            last: None,
        }
    }

    /// Notes a response that is being sent. `false` if a final one was sent before: then it must
    /// not go out.
    pub(crate) fn on_respond(
        &mut self,
        now: Instant,
        status: StatusCode,
        response: &Arc<[u8]>,
    ) -> bool {
        if self.state != State::Proceeding {
            return false;
        }
        if status.is_success() {
            self.last = None;
            self.state = State::Accepted {
                end: now + self.timers.timeout(),
            };
        } else {
            self.last = Some(Arc::clone(response));
            if !status.is_provisional() {
                self.state = State::Completed {
                    repeat: self.timers.repeat(now, self.timers.t2),
                    give_up: now + self.timers.timeout(),
                };
            }
        }
        true
    }

    /// The response with which a repeated INVITE, or timer G, is answered.
    pub(crate) fn last_response(&self) -> Option<Arc<[u8]>> {
        match self.state {
            State::Proceeding | State::Completed { .. } => self.last.clone(),
            State::Confirmed { .. } | State::Accepted { .. } => None,
        }
    }

    /// Whether the ACK was for a response of this transaction; else it belongs to a dialog.
    pub(crate) fn on_ack(&mut self, now: Instant) -> bool {
        match self.state {
            State::Completed { .. } => {
                self.last = None;
                self.state = State::Confirmed {
                    end: now + self.timers.linger(self.timers.t4),
                };
                true
            }
            State::Confirmed { .. } => true,
            State::Proceeding | State::Accepted { .. } => false,
        }
    }

    /// Whether the final response is still to come.
    pub(crate) fn is_proceeding(&self) -> bool {
        self.state == State::Proceeding
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Proceeding => None,
            State::Completed { repeat, give_up } => Some(repeat.at.min(give_up)),
            State::Confirmed { end } | State::Accepted { end } => Some(end),
        }
    }

    pub(crate) fn on_timeout(&mut self, now: Instant) -> Due {
        match &mut self.state {
            // An error response without ACK concerns nobody any more: the call is over anyway.
            State::Completed { give_up, .. } if *give_up <= now => Due::Terminated,
            State::Completed { repeat, .. } if repeat.at <= now => {
                repeat.advance(now);
                Due::Repeat
            }
            State::Confirmed { end } | State::Accepted { end } if *end <= now => Due::Terminated,
            _ => Due::Nothing,
        }
    }
}
