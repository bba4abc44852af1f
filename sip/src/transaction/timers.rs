//! Base timers of RFC 3261 §17.1.1.1 and the repeats built from them.

use std::time::{Duration, Instant};

/// The three base values all SIP timers derive from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timers {
    /// Round-trip estimate; first repeat of a request.
    pub t1: Duration,
    /// Longest interval between repeats of a non-INVITE request or an INVITE response.
    pub t2: Duration,
    /// Longest time a message stays in the network.
    pub t4: Duration,
    /// Whether the transport is a stream.
    pub reliable: bool,
}

impl Timers {
    /// The same for a transport that repeats what is lost by itself: nothing is sent twice and
    /// nothing lingers for copies (RFC 3261 §17.1.1.2, table 4).
    #[must_use]
    pub const fn on_stream(self) -> Self {
        Self {
            reliable: true,
            ..self
        }
    }

    /// Repeats of a message sent at `now`, the intervals doubling up to `interval_max`; none on a
    /// stream.
    pub(crate) fn repeat(&self, now: Instant, interval_max: Duration) -> Repeat {
        if self.reliable {
            Repeat::never(now + self.timeout())
        } else {
            Repeat::new(now, self.t1, interval_max)
        }
    }

    /// How long copies are waited for: `time`, and none on a stream.
    pub(crate) const fn linger(&self, time: Duration) -> Duration {
        if self.reliable { Duration::ZERO } else { time }
    }

    /// Life of a transaction without an answer: 64 × T1.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.t1 * 64
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            reliable: false,
        }
    }
}

/// What a transaction's timer calls for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    /// Nothing yet.
    Nothing,
    /// Send the last message again.
    Repeat,
    /// No answer came in time; the transaction is over.
    TimedOut,
    /// The transaction has lingered long enough.
    Terminated,
}

/// A repeat with doubling intervals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Repeat {
    /// When the next copy is due.
    pub(crate) at: Instant,
    interval: Duration,
    interval_max: Duration,
}

impl Repeat {
    /// First repeat after `interval`, doubling up to `interval_max`.
    pub(crate) fn new(now: Instant, interval: Duration, interval_max: Duration) -> Self {
        Self {
            at: now + interval,
            interval,
            interval_max,
        }
    }

    /// Notes that a copy was sent at `now`.
    pub(crate) fn advance(&mut self, now: Instant) {
        self.interval = (self.interval * 2).min(self.interval_max);
        self.at = now + self.interval;
    }

    /// A repeat that never comes: the transport is a stream. `give_up` is past all that matters.
    pub(crate) const fn never(give_up: Instant) -> Self {
        Self {
            at: give_up,
            interval: Duration::from_secs(3_600),
            interval_max: Duration::from_secs(3_600),
        }
    }

    /// From here on at the longest interval (RFC 3261 §17.1.2.2, after a provisional response).
    pub(crate) fn slow_down(&mut self) {
        self.interval = self.interval_max;
    }
}
