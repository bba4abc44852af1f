//! Non-INVITE server transaction (RFC 3261 §17.2.2).

use std::sync::Arc;
use std::time::Instant;

use super::{Due, Timers};
use crate::message::StatusCode;

#[derive(Debug)]
pub(crate) struct ServerNonInvite {
    timers: Timers,
    last: Option<Arc<[u8]>>,
    /// Set with the final response: timer J.
    end: Option<Instant>,
}

impl ServerNonInvite {
    pub(crate) const fn new(timers: Timers) -> Self {
        Self {
            timers,
            last: None,
            end: None,
        }
    }

    /// Notes a response that is being sent. `false` if a final one was sent before.
    pub(crate) fn on_respond(
        &mut self,
        now: Instant,
        status: StatusCode,
        response: &Arc<[u8]>,
    ) -> bool {
        if self.end.is_some() {
            return false;
        }
        self.last = Some(Arc::clone(response));
        if !status.is_provisional() {
            self.end = Some(now + self.timers.linger(self.timers.timeout()));
        }
        true
    }

    pub(crate) fn last_response(&self) -> Option<Arc<[u8]>> {
        self.last.clone()
    }

    /// Whether the final response is still to come.
    pub(crate) const fn is_proceeding(&self) -> bool {
        self.end.is_none()
    }

    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.end
    }

    pub(crate) fn on_timeout(&self, now: Instant) -> Due {
        match self.end {
            Some(end) if end <= now => Due::Terminated,
            _ => Due::Nothing,
        }
    }
}
