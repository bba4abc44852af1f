//! Shares and percentiles.

use serde::Serialize;

/// How many of how many.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Share {
    /// These.
    pub of: u32,
    /// Out of these.
    pub all: u32,
}

impl Share {
    /// Counts those that hold.
    pub fn count(items: impl IntoIterator<Item = bool>) -> Self {
        let mut share = Self::default();
        for holds in items {
            share.of += u32::from(holds);
            share.all += 1;
        }
        share
    }

    /// 0 to 1; `None` of nothing.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        (self.all > 0).then(|| f64::from(self.of) / f64::from(self.all))
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.value() {
            Some(value) => write!(f, "{:5.1} % ({}/{})", value * 100.0, self.of, self.all),
            None => write!(f, "none"),
        }
    }
}

/// A distribution of times, in ms.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Spread {
    /// Values.
    pub count: u32,
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: u64,
    /// 95th percentile.
    pub p95: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Largest.
    pub max: u64,
}

impl Spread {
    /// Of these values.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = u64>) -> Self {
        let mut values: Vec<u64> = values.into_iter().collect();
        values.sort_unstable();
        let at = |percent: usize| {
            // The smallest value that this share of all does not exceed.
            let rank = (values.len() * percent).div_ceil(100);
            values.get(rank.saturating_sub(1)).copied().unwrap_or(0)
        };
        let sum: u64 = values.iter().sum();
        Self {
            count: values.len() as u32,
            mean: if values.is_empty() {
                0.0
            } else {
                sum as f64 / values.len() as f64
            },
            p50: at(50),
            p95: at(95),
            p99: at(99),
            max: values.last().copied().unwrap_or(0),
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "p50 {:5}  p95 {:5}  mean {:7.1} ms  (n {})",
            self.p50, self.p95, self.mean, self.count
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occur() {
        let spread = Spread::of(1..=100);
        assert_eq!(
            (spread.p50, spread.p95, spread.p99, spread.max),
            (50, 95, 99, 100)
        );
        assert_eq!(Spread::of([7]).p95, 7);
        assert_eq!(Spread::of([]).count, 0);
        assert_eq!(Share::count([true, false]).value(), Some(0.5));
    }
}
