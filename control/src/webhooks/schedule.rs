//! When a delivery is tried again, and when it is given up.

use std::time::Duration;

/// Waits after the first try and each further one, in seconds.
const WAITS_S: [u64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// Part of a wait by which it varies either way, so that what failed together does not come back
/// together.
const JITTER: f64 = 0.2;
/// An endpoint that has failed for so long, without one success, is switched off.
pub const FAILING_MAX: Duration = Duration::from_secs(5 * 86_400);
/// Longest wait that a `Retry-After` may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(86_400);

/// The wait after so many tries (1 after the first); `None` gives up. `chance` is from 0 to 1; a
/// receiver may ask for more time.
#[must_use]
pub fn wait(tries: u32, chance: f64, asked: Option<Duration>) -> Option<Duration> {
    let place = usize::try_from(tries.checked_sub(1)?).ok()?;
    let base = Duration::from_secs(*WAITS_S.get(place)?);
    let own = base.mul_f64(1.0 + JITTER * (2.0 * chance.clamp(0.0, 1.0) - 1.0));
    Some(own.max(asked.unwrap_or_default().min(RETRY_AFTER_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_for_three_days_and_then_it_is_given_up() {
        let waits: Vec<u64> = (1..=9)
            .map(|tries| wait(tries, 0.5, None).unwrap().as_secs())
            .collect();
        assert_eq!(waits, WAITS_S);
        assert!(wait(10, 0.5, None).is_none());
        assert_eq!(wait(2, 0.0, None), Some(Duration::from_secs(240)));
        assert_eq!(wait(2, 1.0, None), Some(Duration::from_secs(360)));
        let asked = Some(Duration::from_secs(60));
        assert_eq!(wait(1, 0.5, asked), asked);
        assert_eq!(wait(2, 0.5, asked), Some(Duration::from_secs(300)));
        let forever = Some(Duration::from_secs(1 << 40));
        assert_eq!(wait(1, 0.5, forever), Some(RETRY_AFTER_MAX));
    }
}
