//! How far a carrier has played what we sent, told from the marks it gives back.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::frame::FRAME_RATE;
use crate::leg::Generation;
use crate::protocol::stream::MarkId;
use crate::speech_journal::WirePosition;

/// Marks that may be under way: at five a second far more than a carrier's buffer holds; the
/// oldest then counts as played.
const OUTSTANDING_MAX: usize = 64;
/// How long after its audio must have ended a mark counts as played without coming back.
pub(crate) const MARK_PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug)]
struct Outstanding {
    id: MarkId,
    wire: WirePosition,
    /// When its audio ends if the carrier plays without a pause.
    plays_until: Instant,
}

#[derive(Debug)]
pub(crate) struct MarkLedger {
    outstanding: VecDeque<Outstanding>,
    generation: Generation,
    number: u32,
    sent: WirePosition,
    confirmed: WirePosition,
    /// The carrier is taken to have been here then, and to go on in real time.
    base: Option<(WirePosition, Instant)>,
}

impl MarkLedger {
    pub(crate) fn new() -> Self {
        Self {
            outstanding: VecDeque::with_capacity(OUTSTANDING_MAX),
            generation: Generation(0),
            number: 0,
            sent: 0,
            confirmed: 0,
            base: None,
        }
    }

    /// Notes `samples` more on the wire. When all before has been played, the carrier begins
    /// with them now.
    pub(crate) fn sent(&mut self, now: Instant, samples: u64) {
        if self.heard(now) >= self.sent {
            self.base = Some((self.sent, now));
        }
        self.sent += samples;
    }

    /// A mark behind everything sent so far.
    pub(crate) fn mark(&mut self, now: Instant) -> MarkId {
        if self.outstanding.len() == OUTSTANDING_MAX
            && let Some(oldest) = self.outstanding.pop_front()
        {
            self.confirmed = self.confirmed.max(oldest.wire);
        }
        let id = MarkId {
            generation: self.generation,
            number: self.number,
        };
        self.number = self.number.wrapping_add(1);
        self.outstanding.push_back(Outstanding {
            id,
            wire: self.sent,
            plays_until: now + duration(self.sent - self.heard(now)),
        });
        id
    }

    /// Takes a mark that came back. Returns `false` for one of an older generation (the carrier
    /// gives back what a clear has dropped, too) or one that is not under way.
    pub(crate) fn acknowledge(&mut self, now: Instant, id: MarkId) -> bool {
        let found = self.outstanding.iter().position(|mark| mark.id == id);
        let Some(mark) = found.and_then(|index| self.outstanding.drain(..=index).next_back())
        else {
            return false;
        };
        self.confirmed = self.confirmed.max(mark.wire);
        self.base = Some((mark.wire, now));
        true
    }

    /// Counts marks as played that should have come back long ago.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(mark) = self.outstanding.front()
            && mark.plays_until + MARK_PATIENCE <= now
        {
            self.confirmed = self.confirmed.max(mark.wire);
            if self.heard(now) < mark.wire {
                self.base = Some((mark.wire, mark.plays_until));
            }
            self.outstanding.pop_front();
        }
    }

    /// Forgets what is under way: the carrier drops it. Marks belong to `generation` from now on.
    pub(crate) fn clear(&mut self, now: Instant, generation: Generation) {
        self.generation = generation;
        self.outstanding.clear();
        self.confirmed = self.sent;
        self.base = Some((self.sent, now));
    }

    /// How far the wire has been heard: the last mark that came back and the real time since,
    /// at most what was sent.
    pub(crate) fn heard(&self, now: Instant) -> WirePosition {
        let Some((wire, at)) = self.base else {
            return self.sent;
        };
        let since = now.saturating_duration_since(at).as_micros() as u64;
        self.sent
            .min(wire + since * u64::from(FRAME_RATE) / 1_000_000)
    }

    /// How far the carrier has confirmed playing, or has had time enough to.
    pub(crate) const fn confirmed(&self) -> WirePosition {
        self.confirmed
    }

    pub(crate) const fn wire(&self) -> WirePosition {
        self.sent
    }
}

fn duration(samples: u64) -> Duration {
    Duration::from_micros(samples * 1_000_000 / u64::from(FRAME_RATE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "origin of virtual time")]
    fn origin() -> Instant {
        Instant::now()
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn heard_is_the_last_mark_and_the_time_since_but_never_more_than_sent() {
        let t0 = origin();
        let mut ledger = MarkLedger::new();
        assert_eq!(ledger.heard(t0), 0);
        ledger.sent(t0, 3_200);
        let first = ledger.mark(t0);
        ledger.sent(t0, 3_200);
        assert_eq!(ledger.heard(t0 + ms(50)), 800);
        assert_eq!(ledger.confirmed(), 0);
        // The carrier was 100 ms slower than assumed.
        assert!(ledger.acknowledge(t0 + ms(300), first));
        assert_eq!(ledger.confirmed(), 3_200);
        assert_eq!(ledger.heard(t0 + ms(310)), 3_360);
        assert_eq!(ledger.heard(t0 + ms(9_000)), 6_400);
        // Idle, then speech again: it begins to be heard now, not in the past.
        ledger.sent(t0 + ms(9_000), 320);
        assert_eq!(ledger.heard(t0 + ms(9_010)), 6_560);
    }

    #[test]
    fn marks_that_a_clear_sends_back_change_nothing() {
        let t0 = origin();
        let mut ledger = MarkLedger::new();
        ledger.sent(t0, 16_000);
        let stale = ledger.mark(t0);
        ledger.clear(t0 + ms(100), Generation(1));
        assert!(!ledger.acknowledge(t0 + ms(120), stale));
        ledger.sent(t0 + ms(200), 320);
        assert!(!ledger.acknowledge(t0 + ms(201), stale));
        assert_eq!(ledger.heard(t0 + ms(205)), 16_080);
        let fresh = ledger.mark(t0 + ms(205));
        assert_eq!(fresh.generation, Generation(1));
        assert!(ledger.acknowledge(t0 + ms(230), fresh));
        assert!(!ledger.acknowledge(t0 + ms(231), fresh));
    }

    #[test]
    fn a_mark_that_never_returns_counts_as_played_in_the_end() {
        let t0 = origin();
        let mut ledger = MarkLedger::new();
        ledger.sent(t0, 1_600);
        ledger.mark(t0);
        ledger.expire(t0 + ms(100) + MARK_PATIENCE - ms(1));
        assert_eq!(ledger.confirmed(), 0);
        ledger.expire(t0 + ms(100) + MARK_PATIENCE);
        assert_eq!(ledger.confirmed(), 1_600);
    }

    #[test]
    fn one_mark_back_answers_for_all_before_it() {
        let t0 = origin();
        let mut ledger = MarkLedger::new();
        let mut last = None;
        for _ in 0..200 {
            ledger.sent(t0, 320);
            last = Some(ledger.mark(t0));
        }
        assert!(ledger.acknowledge(t0 + ms(4_000), last.expect("200 marks")));
        assert_eq!(ledger.confirmed(), 64_000);
        assert!(ledger.outstanding.is_empty());
    }
}
