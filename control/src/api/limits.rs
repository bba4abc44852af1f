//! How often one caller may call: token buckets in this process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::failure::Failure;
use super::route::Rate;
use crate::config::LimitsSection;

/// Callers remembered at most; when more come, those who have been quiet are forgotten.
const CALLERS_MAX: usize = 50_000;

/// The buckets.
#[derive(Debug)]
pub struct Limits {
    settings: LimitsSection,
    buckets: Mutex<HashMap<(Rate, String), Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at_us: i64,
}

impl Limits {
    /// With these settings.
    #[must_use]
    pub fn new(settings: LimitsSection) -> Self {
        Self {
            settings,
            buckets: Mutex::default(),
        }
    }

    /// Takes a token of `caller`'s bucket.
    ///
    /// # Errors
    /// 429 with the time until the next token.
    pub fn take(&self, rate: Rate, caller: &str, now_us: i64) -> Result<(), Failure> {
        let (per_second, burst) = self.allowance(rate);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= CALLERS_MAX {
            buckets.retain(|(rate, _), bucket| {
                let (per_second, burst) = self.allowance(*rate);
                bucket.refilled(per_second, burst, now_us) < burst
            });
        }
        let full = Bucket {
            tokens: burst,
            at_us: now_us,
        };
        let bucket = buckets.entry((rate, caller.to_owned())).or_insert(full);
        bucket.tokens = bucket.refilled(per_second, burst, now_us);
        bucket.at_us = now_us.max(bucket.at_us);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let wait = ((1.0 - bucket.tokens) / per_second).ceil();
        let mut failure = Failure::new(
            axum::http::StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            "too many requests; try again later",
        );
        failure.retry_after = Some(wait as u64);
        Err(failure)
    }

    /// Tokens a second, and how many may be saved up.
    fn allowance(&self, rate: Rate) -> (f64, f64) {
        let per_minute = |n: u32| (f64::from(n) / 60.0, f64::from(n));
        match rate {
            Rate::Usual => {
                let n = f64::from(self.settings.requests_per_second);
                (n, 2.0 * n)
            }
            Rate::Login => per_minute(self.settings.logins_per_minute),
            Rate::Open => per_minute(self.settings.open_per_minute),
            Rate::Export => per_minute(self.settings.exports_per_minute),
        }
    }
}

impl Bucket {
    fn refilled(&self, per_second: f64, burst: f64, now_us: i64) -> f64 {
        let elapsed_s = (now_us - self.at_us).max(0) as f64 / 1e6;
        (self.tokens + elapsed_s * per_second).min(burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_refills_for_its_caller_only() {
        let limits = Limits::new(LimitsSection {
            logins_per_minute: 6,
            ..LimitsSection::default()
        });
        let second = 1_000_000;
        for _ in 0..6 {
            assert!(limits.take(Rate::Login, "a", 0).is_ok());
        }
        let refused = limits.take(Rate::Login, "a", 0).unwrap_err();
        assert_eq!(refused.retry_after, Some(10));
        assert!(limits.take(Rate::Login, "b", 0).is_ok());
        assert!(limits.take(Rate::Open, "a", 0).is_ok());
        assert!(limits.take(Rate::Login, "a", 9 * second).is_err());
        assert!(limits.take(Rate::Login, "a", 11 * second).is_ok());
        // A clock that goes back gives nothing away.
        assert!(limits.take(Rate::Login, "a", 0).is_err());
    }
}
