//! How a provider has fared lately, shared by all calls: circuit breaker and time to the first
//! useful piece.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row that open the breaker.
const FAILURES_MAX: u32 = 3;
/// How long an open breaker keeps requests away; doubled each time a trial fails.
const COOLDOWN: Duration = Duration::from_secs(5);
/// It is never doubled beyond this.
const COOLDOWN_MAX: Duration = Duration::from_secs(60);
/// A trial that nobody has reported on counts as failed after this.
const TRIAL_MAX: Duration = Duration::from_secs(10);
/// Latencies that are kept.
const LATENCIES: usize = 64;
/// Fewer say nothing about a 95th percentile.
const LATENCIES_MIN: usize = 10;

/// Keeps requests from a provider that fails; free of I/O and clock.
#[derive(Clone, Debug, Default)]
pub struct CircuitBreaker {
    failures: u32,
    /// While it is open: when the next trial may begin, and the wait that led there.
    open: Option<(Instant, Duration)>,
}

impl CircuitBreaker {
    /// Whether a request may go there now. An open breaker lets one trial through at a time.
    pub fn admits(&mut self, now: Instant) -> bool {
        match &mut self.open {
            None => true,
            Some((until, _)) if now < *until => false,
            Some((until, _)) => {
                *until = now + TRIAL_MAX;
                true
            }
        }
    }

    /// A request has brought something useful.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// A request has failed.
    pub fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.open = match self.open {
            Some((_, wait)) => {
                let wait = (wait * 2).min(COOLDOWN_MAX);
                Some((now + wait, wait))
            }
            None if self.failures >= FAILURES_MAX => Some((now + COOLDOWN, COOLDOWN)),
            None => None,
        };
    }

    /// Whether requests are kept away, but for trials.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }
}

/// Counts of one provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HealthCounts {
    /// Requests that brought something useful.
    pub succeeded: u64,
    /// Requests that failed, before or after the first useful piece.
    pub failed: u64,
    /// Times this provider was asked because an earlier one was slow or failed.
    pub stood_in: u64,
    /// Times an answer was carried on by another provider from the middle.
    pub continued: u64,
    /// Whether the breaker is open.
    pub open: bool,
}

/// A provider's record. Short critical sections, never on the audio path.
#[derive(Debug)]
pub struct ProviderHealth {
    part: &'static str,
    name: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    breaker: CircuitBreaker,
    counts: HealthCounts,
    latencies: Vec<Duration>,
    next: usize,
}

impl ProviderHealth {
    /// A provider with a clean record. `part` is `stt`, `llm` or `tts`; `name` the configured one.
    #[must_use]
    pub fn new(part: &'static str, name: &str) -> Self {
        Self {
            part,
            name: name.to_owned(),
            state: Mutex::default(),
        }
    }

    /// What the provider does: `stt`, `llm` or `tts`.
    #[must_use]
    pub const fn part(&self) -> &'static str {
        self.part
    }

    /// The configured name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its counts.
    #[must_use]
    pub fn counts(&self) -> HealthCounts {
        let state = self.state();
        HealthCounts {
            open: state.breaker.is_open(),
            ..state.counts
        }
    }

    /// Whether a request may go there now.
    pub fn admits(&self, now: Instant) -> bool {
        self.state().breaker.admits(now)
    }

    /// Something useful came, so long after it was asked for.
    pub fn succeeded(&self, after: Duration) {
        let mut state = self.state();
        state.breaker.succeeded();
        state.counts.succeeded += 1;
        if state.latencies.len() < LATENCIES {
            state.latencies.push(after);
        } else {
            let next = state.next;
            state.latencies[next] = after;
        }
        state.next = (state.next + 1) % LATENCIES;
    }

    /// A request failed.
    pub fn failed(&self, now: Instant) {
        let mut state = self.state();
        state.breaker.failed(now);
        state.counts.failed += 1;
    }

    /// It was asked in another's place.
    pub fn stood_in(&self) {
        self.state().counts.stood_in += 1;
    }

    /// It has carried another's answer on.
    pub fn continued(&self) {
        self.state().counts.continued += 1;
    }

    /// 95th percentile of the time to the first useful piece, once enough is known.
    #[must_use]
    pub fn latency_p95(&self) -> Option<Duration> {
        let mut sorted = self.state().latencies.clone();
        if sorted.len() < LATENCIES_MIN {
            return None;
        }
        sorted.sort_unstable();
        sorted.get(sorted.len() * 95 / 100).copied()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_keep_requests_away_and_one_success_lets_them_in() {
        let mut breaker = CircuitBreaker::default();
        let start = Instant::now();
        for _ in 0..2 {
            breaker.failed(start);
        }
        breaker.succeeded();
        for _ in 0..3 {
            assert!(breaker.admits(start));
            breaker.failed(start);
        }
        assert!(!breaker.admits(start + Duration::from_millis(4_999)));
        let trial = start + Duration::from_secs(5);
        assert!(breaker.admits(trial), "one trial");
        assert!(!breaker.admits(trial), "and only one");
        breaker.succeeded();
        assert!(breaker.admits(trial) && breaker.admits(trial));
    }

    #[test]
    fn the_wait_doubles_with_each_failed_trial_up_to_a_minute() {
        let mut breaker = CircuitBreaker::default();
        let mut now = Instant::now();
        for _ in 0..3 {
            breaker.failed(now);
        }
        for wait in [5, 10, 20, 40, 60, 60] {
            assert!(!breaker.admits(now + Duration::from_millis(wait * 1_000 - 1)));
            now += Duration::from_secs(wait);
            assert!(breaker.admits(now), "{wait}");
            breaker.failed(now);
        }
    }

    #[test]
    fn a_trial_nobody_reports_on_does_not_lock_the_door() {
        let mut breaker = CircuitBreaker::default();
        let now = Instant::now();
        for _ in 0..3 {
            breaker.failed(now);
        }
        let trial = now + COOLDOWN;
        assert!(breaker.admits(trial));
        assert!(!breaker.admits(trial + TRIAL_MAX - Duration::from_millis(1)));
        assert!(breaker.admits(trial + TRIAL_MAX));
    }

    #[test]
    fn the_percentile_follows_the_latest_answers() {
        let health = ProviderHealth::new("tts", "x");
        for ms in 0..9 {
            health.succeeded(Duration::from_millis(ms));
        }
        assert_eq!(health.latency_p95(), None);
        for _ in 0..LATENCIES {
            health.succeeded(Duration::from_millis(200));
        }
        assert_eq!(health.latency_p95(), Some(Duration::from_millis(200)));
    }
}
