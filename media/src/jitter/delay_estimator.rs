//! How long a gap should be waited for.
//!
//! After the histogram of NetEQ, but fed with what matters without a playout clock: the lateness
//! of each packet that was overtaken, that is the time from the first packet behind it to its own
//! arrival. Jitter that keeps the order costs no wait at all.

use std::time::Duration;

/// Width of a histogram bucket.
const BUCKET: Duration = Duration::from_millis(5);
/// Buckets: 0 to 200 ms, the last one takes everything above.
const BUCKETS: usize = 41;
/// Observations the starting value counts as.
const PRIOR_WEIGHT: f32 = 4.0;
/// Weight the past keeps per observation once the start is over: a memory of some 50 overtaken
/// packets.
const FORGET: f32 = 0.98;
/// Share of overtaken packets the wait should cover.
const QUANTILE: f32 = 0.97;

/// Bounds of the wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DelayConfig {
    /// Wait before anything was observed.
    pub start: Duration,
    /// Least wait.
    pub min: Duration,
    /// Longest wait.
    pub max: Duration,
}

impl Default for DelayConfig {
    fn default() -> Self {
        Self {
            start: Duration::from_millis(40),
            min: Duration::from_millis(20),
            max: Duration::from_millis(200),
        }
    }
}

/// Learns the reorder wait of a path.
#[derive(Clone, Debug)]
pub struct DelayEstimator {
    config: DelayConfig,
    /// Shares of lateness by bucket; they sum up to one.
    histogram: [f32; BUCKETS],
    observations: f32,
    wait: Duration,
}

impl DelayEstimator {
    /// An estimator that waits `config.start` until it knows better.
    #[must_use]
    pub fn new(config: DelayConfig) -> Self {
        let mut histogram = [0.0; BUCKETS];
        // The bucket whose upper edge is the starting value.
        histogram[bucket(config.start.saturating_sub(Duration::from_nanos(1)))] = 1.0;
        let mut estimator = Self {
            config,
            histogram,
            observations: 0.0,
            wait: Duration::ZERO,
        };
        estimator.wait = estimator.quantile();
        estimator
    }

    /// Takes the lateness of an overtaken packet, whether it still came in time or not. What
    /// comes later than twice the longest wait tells nothing about reordering and is ignored.
    pub fn observe(&mut self, lateness: Duration) {
        if lateness > 2 * self.config.max {
            return;
        }
        self.observations += 1.0;
        let past = self.observations + PRIOR_WEIGHT;
        let forget = ((past - 1.0) / past).min(FORGET);
        for share in &mut self.histogram {
            *share *= forget;
        }
        self.histogram[bucket(lateness)] += 1.0 - forget;
        self.wait = self.quantile();
    }

    /// How long a gap is waited for, from the moment it shows.
    #[must_use]
    pub const fn wait(&self) -> Duration {
        self.wait
    }

    fn quantile(&self) -> Duration {
        let mut covered = 0.0;
        let mut edge = Duration::ZERO;
        for share in self.histogram {
            edge += BUCKET;
            covered += share;
            if covered >= QUANTILE {
                break;
            }
        }
        edge.clamp(self.config.min, self.config.max)
    }
}

fn bucket(lateness: Duration) -> usize {
    let index = lateness.as_micros() / BUCKET.as_micros();
    usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn starts_at_its_starting_value() {
        let estimator = DelayEstimator::new(DelayConfig::default());
        assert_eq!(estimator.wait(), ms(40));
    }

    #[test]
    fn one_slower_packet_raises_the_wait_at_the_start() {
        let mut estimator = DelayEstimator::new(DelayConfig::default());
        estimator.observe(ms(93));
        assert_eq!(estimator.wait(), ms(95));
    }

    #[test]
    fn sinks_to_the_least_wait_when_overtaking_is_slight() {
        let mut estimator = DelayEstimator::new(DelayConfig::default());
        for _ in 0..200 {
            estimator.observe(ms(2));
        }
        assert_eq!(estimator.wait(), ms(20));
    }

    #[test]
    fn forgets_an_outlier_and_never_passes_the_longest_wait() {
        let mut estimator = DelayEstimator::new(DelayConfig::default());
        for _ in 0..4 {
            estimator.observe(ms(390));
        }
        assert_eq!(estimator.wait(), ms(200));
        for _ in 0..200 {
            estimator.observe(ms(50));
        }
        assert_eq!(estimator.wait(), ms(55));
    }

    #[test]
    fn ignores_what_is_no_reordering() {
        let mut estimator = DelayEstimator::new(DelayConfig::default());
        estimator.observe(Duration::from_secs(3));
        assert_eq!(estimator.wait(), ms(40));
    }

    #[test]
    fn covers_the_quantile_of_an_even_spread() {
        let mut estimator = DelayEstimator::new(DelayConfig::default());
        for round in 0..2000u64 {
            estimator.observe(Duration::from_millis((round * 37) % 100));
        }
        let wait = estimator.wait();
        assert!((ms(85)..=ms(100)).contains(&wait), "{wait:?}");
    }
}
