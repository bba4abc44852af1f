//! Calls at a time and calls a second of one trunk.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The counts of one trunk; they outlive a change of its settings.
#[derive(Debug, Default)]
pub(super) struct Usage {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: u32,
    /// Calls begun that the rate has not made up for yet, and when that was so.
    spent: f64,
    at: Option<Instant>,
}

/// Why a trunk takes no call now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Full {
    /// As many calls as allowed are on the line.
    Calls,
    /// More calls a second than allowed.
    Rate,
}

/// One call of a trunk; gives its place back when dropped.
#[derive(Debug)]
pub struct Place(Arc<Usage>);

impl Usage {
    /// Takes a place. `calls_max` 0 and `per_second` 0 are no limits; a second's worth of calls,
    /// and at least one, may come at once.
    pub(super) fn take(
        self: &Arc<Self>,
        now: Instant,
        calls_max: u32,
        per_second: f64,
    ) -> Result<Place, Full> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if calls_max > 0 && state.calls >= calls_max {
            return Err(Full::Calls);
        }
        if per_second > 0.0 {
            let passed = state.at.map_or(Duration::ZERO, |at| now.duration_since(at));
            state.at = Some(now);
            state.spent = (state.spent - passed.as_secs_f64() * per_second).max(0.0);
            if state.spent + 1.0 > per_second.max(1.0) {
                return Err(Full::Rate);
            }
            state.spent += 1.0;
        }
        state.calls += 1;
        Ok(Place(Arc::clone(self)))
    }

    /// Calls on the line.
    pub(super) fn calls(&self) -> u32 {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .calls
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.calls = state.calls.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "only an origin for virtual time")]
    fn origin() -> Instant {
        Instant::now()
    }

    #[test]
    fn places_come_back_and_the_rate_holds() {
        let usage = Arc::new(Usage::default());
        let now = origin();
        let first = usage.take(now, 2, 0.0).unwrap();
        let _second = usage.take(now, 2, 0.0).unwrap();
        assert_eq!(usage.take(now, 2, 0.0).unwrap_err(), Full::Calls);
        drop(first);
        assert_eq!(usage.calls(), 1);
        let taken = (0..10).filter(|_| usage.take(now, 0, 3.0).is_ok()).count();
        assert_eq!(taken, 3);
        assert_eq!(usage.take(now, 0, 3.0).unwrap_err(), Full::Rate);
        assert!(usage.take(now + Duration::from_millis(334), 0, 3.0).is_ok());
        assert_eq!(usage.calls(), 1, "places not kept are given back");
    }

    #[test]
    fn less_than_one_call_a_second_is_possible() {
        let usage = Arc::new(Usage::default());
        let now = origin();
        assert!(usage.take(now, 0, 0.5).is_ok());
        assert!(usage.take(now + Duration::from_secs(1), 0, 0.5).is_err());
        assert!(usage.take(now + Duration::from_secs(3), 0, 0.5).is_ok());
    }
}
