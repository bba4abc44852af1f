//! What a running server does now and then, beside its calls.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::calls::registry::CallRegistry;

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(5);
/// Rounds after a fall in calls until memory is given back once more: by then idle recognisers have
/// been given up and transactions (RFC 3261 §17, 32 s) are forgotten.
const SECOND_RELEASE: u32 = 8;
/// A peak of fewer calls is not worth a walk through the heap.
const PEAK_MIN: usize = 8;

/// Runs until its task is ended.
pub(crate) async fn run(registry: CallRegistry, metrics: PrometheusHandle) {
    let mut rounds = interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut releases = ReleasePolicy::default();
    loop {
        rounds.tick().await;
        // Without this a histogram keeps every sample until somebody reads the metrics.
        metrics.run_upkeep();
        if releases.round(registry.len()) {
            // Walks the heap; the arenas it looks at are locked meanwhile.
            let _ = tokio::task::spawn_blocking(release_free_memory).await;
        }
    }
}

/// Decides when memory that calls have left behind goes back to the system.
#[derive(Debug, Default)]
struct ReleasePolicy {
    /// Most calls at a time since the last release.
    peak: usize,
    /// Rounds until the second release; 0 when none is due.
    second: u32,
}

impl ReleasePolicy {
    /// Takes the calls on the line in this round; `true` when memory should be released.
    fn round(&mut self, calls: usize) -> bool {
        self.peak = self.peak.max(calls);
        let fallen = self.peak >= PEAK_MIN && calls * 2 <= self.peak;
        if fallen {
            self.peak = calls;
            self.second = SECOND_RELEASE;
            return true;
        }
        if self.second > 0 {
            self.second -= 1;
            return self.second == 0;
        }
        false
    }
}

/// Gives what the allocator holds free back to the system. glibc keeps freed memory in its arenas
/// otherwise, so that one busy hour would set the size of the process for good.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
fn release_free_memory() {
    // SAFETY: `malloc_trim` takes no pointer and may be called from any thread at any time.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators give memory back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn release_free_memory() {}

#[cfg(test)]
mod tests {
    use super::*;

    fn releases(calls: &[usize]) -> Vec<usize> {
        let mut policy = ReleasePolicy::default();
        let mut rounds = Vec::new();
        for (round, &calls) in calls.iter().enumerate() {
            if policy.round(calls) {
                rounds.push(round);
            }
        }
        rounds
    }

    #[test]
    fn memory_is_released_when_calls_have_halved_and_once_more_later() {
        let mut calls = vec![0, 50, 100, 80, 60, 50];
        calls.extend([40; 10]);
        assert_eq!(releases(&calls), [5, 5 + SECOND_RELEASE as usize]);
    }

    #[test]
    fn a_steady_or_small_load_releases_nothing() {
        assert!(releases(&[100; 50]).is_empty());
        assert!(releases(&[0, 7, 0, 7, 0]).is_empty());
    }
}
