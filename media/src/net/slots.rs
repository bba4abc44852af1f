//! The grid of times at which a worker works.

use std::time::{Duration, Instant};

/// Time between two slots.
pub(crate) const SLOT: Duration = Duration::from_millis(5);
/// Slots in a tick of 20 ms: legs are spread over as many phases.
pub(crate) const PHASES: usize = 4;

/// Slot `n` lies at `t0 + n * 5 ms`, however long the work of one takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotGrid {
    t0: Instant,
}

impl SlotGrid {
    pub(crate) const fn new(t0: Instant) -> Self {
        Self { t0 }
    }

    /// Time of `slot`.
    pub(crate) fn time(self, slot: u64) -> Instant {
        self.t0 + Duration::from_millis(slot * SLOT.as_millis() as u64)
    }

    /// The first slot that is not before `now`.
    pub(crate) fn next(self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.t0);
        since.as_nanos().div_ceil(SLOT.as_nanos()) as u64
    }

    /// Slots that have passed since `slot` began.
    pub(crate) fn late(self, slot: u64, now: Instant) -> u64 {
        let behind = now.saturating_duration_since(self.time(slot));
        (behind.as_nanos() / SLOT.as_nanos()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_lie_on_the_grid_whatever_the_moment() {
        #[expect(clippy::disallowed_methods, reason = "origin of virtual time")]
        let t0 = Instant::now();
        let grid = SlotGrid::new(t0);
        assert_eq!(grid.next(t0), 0);
        assert_eq!(grid.next(t0 + Duration::from_micros(1)), 1);
        assert_eq!(grid.next(t0 + Duration::from_millis(10)), 2);
        assert_eq!(grid.time(3), t0 + Duration::from_millis(15));
        assert_eq!(grid.late(3, t0 + Duration::from_millis(15)), 0);
        assert_eq!(grid.late(3, t0 + Duration::from_millis(19)), 0);
        assert_eq!(grid.late(3, t0 + Duration::from_millis(27)), 2);
    }
}
