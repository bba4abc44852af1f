//! What the media workers count, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds, in microseconds, of the buckets of [`EngineCounters::slot_us`]; a last bucket
/// takes the rest. A slot is 5000 us long.
pub const SLOT_BUCKETS_US: [u64; 9] = [50, 100, 250, 500, 1_000, 2_000, 3_500, 5_000, 10_000];

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Sums over all workers since the engine's start; gauges say so.
        #[derive(Clone, PartialEq, Eq, Debug, Default)]
        #[non_exhaustive]
        pub struct EngineCounters {
            $($(#[$doc])* pub $name: u64,)*
            /// Gauge: legs open.
            pub legs: usize,
            /// Gauge: RTP port pairs in use.
            pub port_pairs_used: usize,
            /// RTP port pairs in the range.
            pub port_pairs: usize,
            /// Longest working time of a slot in microseconds.
            pub slot_us_max: u64,
            /// Slots by working time, see [`SLOT_BUCKETS_US`].
            pub slot_us: [u64; SLOT_BUCKETS_US.len() + 1],
        }

        /// Counters of one worker; it alone writes, anyone reads.
        #[derive(Debug, Default)]
        pub(crate) struct WorkerCounters {
            $(pub(crate) $name: AtomicU64,)*
            slot_us_max: AtomicU64,
            slot_us: [AtomicU64; SLOT_BUCKETS_US.len() + 1],
        }

        impl WorkerCounters {
            /// Adds this worker's counts to `sum`.
            pub(crate) fn add_to(&self, sum: &mut EngineCounters) {
                $(sum.$name += self.$name.load(Ordering::Relaxed);)*
                sum.slot_us_max = sum.slot_us_max.max(self.slot_us_max.load(Ordering::Relaxed));
                for (sum, bucket) in sum.slot_us.iter_mut().zip(&self.slot_us) {
                    *sum += bucket.load(Ordering::Relaxed);
                }
            }
        }
    };
}

counters! {
    /// Legs opened.
    legs_opened,
    /// Legs finished, those that failed included.
    legs_finished,
    /// Legs that a bug of ours has ended.
    legs_failed,
    /// Slots that began later than the next slot's time.
    slots_late,
    /// Ticks left out after a stall of the machine.
    ticks_skipped,
    /// Packets read from sockets.
    packets_received,
    /// Packets handed to sockets.
    packets_sent,
    /// Packets a socket did not take.
    send_failures,
    /// Sockets that could not be watched; their legs end by media timeout.
    register_failures,
    /// Times a socket had more packets than a slot may read.
    floods,
    /// Times the queue towards the bridge was full; the leg was announced a slot later.
    ready_queue_full,
}

impl WorkerCounters {
    /// Counts a slot that worked for `us` microseconds.
    pub(crate) fn slot_worked(&self, us: u64) {
        let bucket = SLOT_BUCKETS_US
            .iter()
            .position(|&bound| us <= bound)
            .unwrap_or(SLOT_BUCKETS_US.len());
        add(&self.slot_us[bucket], 1);
        self.slot_us_max.fetch_max(us, Ordering::Relaxed);
    }
}

/// Adds to a counter that only this thread writes.
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_fall_into_the_bucket_that_bounds_them() {
        let counters = WorkerCounters::default();
        for us in [1, 50, 51, 20_000] {
            counters.slot_worked(us);
        }
        add(&counters.packets_sent, 3);
        let mut sum = EngineCounters::default();
        counters.add_to(&mut sum);
        counters.add_to(&mut sum);
        assert_eq!(sum.slot_us, [4, 2, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(sum.slot_us_max, 20_000);
        assert_eq!(sum.packets_sent, 6);
    }
}
