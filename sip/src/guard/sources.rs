//! What is remembered of sources: their buckets, their faults, their ban. Bounded.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Rate;

/// Faults are forgotten when none was added for so long.
const FAULTS_FORGOTTEN: Duration = Duration::from_secs(600);

/// A token bucket.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Tokens taken out, that is: `burst` minus what is in it.
    spent: f64,
    /// When that was so.
    at: Instant,
}

#[derive(Debug)]
struct Source {
    /// When it was last heard of.
    seen: Instant,
    order: u64,
    buckets: [Bucket; 3],
    excesses: u32,
    auth_failures: u32,
    banned_until: Option<Instant>,
}

/// Sources by address, the one unseen for longest forgotten first.
#[derive(Debug)]
pub(super) struct Sources {
    max: usize,
    by_address: HashMap<IpAddr, Source>,
    by_order: BTreeMap<u64, IpAddr>,
    next: u64,
}

impl Sources {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max: max.max(1),
            by_address: HashMap::new(),
            by_order: BTreeMap::new(),
            next: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_address.len()
    }

    pub(super) fn is_banned(&self, now: Instant, address: IpAddr) -> bool {
        self.by_address
            .get(&address)
            .and_then(|source| source.banned_until)
            .is_some_and(|until| until > now)
    }

    pub(super) fn ban(&mut self, now: Instant, address: IpAddr, until: Instant) {
        let source = self.touch(now, address);
        source.banned_until = Some(until);
        source.excesses = 0;
        source.auth_failures = 0;
    }

    /// Takes one token; `false` if there is none.
    pub(super) fn take(&mut self, now: Instant, address: IpAddr, kind: usize, rate: Rate) -> bool {
        if rate.per_second <= 0.0 {
            return true;
        }
        let source = self.touch(now, address);
        let Some(bucket) = source.buckets.get_mut(kind) else {
            return true;
        };
        let passed = now.duration_since(bucket.at).as_secs_f64();
        bucket.spent = (bucket.spent - passed * rate.per_second).max(0.0);
        bucket.at = now;
        if bucket.spent + 1.0 > rate.burst.max(1.0) {
            return false;
        }
        bucket.spent += 1.0;
        true
    }

    /// Notes a request beyond the rate; how many there were.
    pub(super) fn note_excess(&mut self, now: Instant, address: IpAddr) -> u32 {
        let source = self.touch(now, address);
        source.excesses += 1;
        source.excesses
    }

    /// Notes a wrong password; how many there were.
    pub(super) fn note_auth_failure(&mut self, now: Instant, address: IpAddr) -> u32 {
        let source = self.touch(now, address);
        source.auth_failures += 1;
        source.auth_failures
    }

    fn touch(&mut self, now: Instant, address: IpAddr) -> &mut Source {
        self.next += 1;
        let order = self.next;
        if !self.by_address.contains_key(&address) && self.by_address.len() >= self.max {
            self.forget_one();
        }
        self.by_order.insert(order, address);
        let source = self.by_address.entry(address).or_insert(Source {
            seen: now,
            order,
            buckets: [Bucket {
                spent: 0.0,
                at: now,
            }; 3],
            excesses: 0,
            auth_failures: 0,
            banned_until: None,
        });
        if source.order != order {
            self.by_order.remove(&source.order);
            source.order = order;
        }
        if now.duration_since(source.seen) > FAULTS_FORGOTTEN {
            source.excesses = 0;
            source.auth_failures = 0;
        }
        source.seen = now;
        source
    }

    fn forget_one(&mut self) {
        if let Some((_, address)) = self.by_order.pop_first() {
            self.by_address.remove(&address);
        }
    }
}
