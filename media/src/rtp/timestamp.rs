//! Times and source identifiers of RTP.

use std::time::{Duration, Instant};

/// Seconds from the NTP epoch (1900) to the Unix epoch (1970).
const NTP_UNIX_OFFSET_S: u64 = 2_208_988_800;

/// Identifies a source of RTP packets within a session (RFC 3550 §3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Ssrc(pub u32);

/// A media time in ticks of the payload's RTP clock; starts anywhere and wraps at 2^32.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct RtpTimestamp(pub u32);

impl RtpTimestamp {
    /// The timestamp `ticks` later, wrapping.
    #[must_use]
    pub const fn plus(self, ticks: u32) -> Self {
        Self(self.0.wrapping_add(ticks))
    }

    /// Ticks from `earlier` to `self`, negative when `self` is the older one. Holds while the two
    /// lie less than 2^31 ticks apart.
    #[must_use]
    pub const fn ticks_since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }
}

/// A 64-bit NTP time: seconds since 1900 in the upper half, fraction in the lower (RFC 3550 §4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// The NTP time `since_epoch` after the Unix epoch.
    #[must_use]
    pub const fn from_unix(since_epoch: Duration) -> Self {
        let seconds = since_epoch.as_secs().wrapping_add(NTP_UNIX_OFFSET_S);
        let fraction = ((since_epoch.subsec_nanos() as u64) << 32) / 1_000_000_000;
        Self((seconds << 32) | fraction)
    }

    /// The time `duration` later.
    #[must_use]
    pub const fn plus(self, duration: Duration) -> Self {
        let fraction = ((duration.subsec_nanos() as u64) << 32) / 1_000_000_000;
        Self(
            self.0
                .wrapping_add(duration.as_secs() << 32)
                .wrapping_add(fraction),
        )
    }

    /// The middle 32 bits, in units of 1/65536 s, as used by LSR and DLSR (RFC 3550 §6.4.1).
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the middle 32 bits are what the format carries"
    )]
    pub const fn compact(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// Turns instants into NTP times by one reading of both clocks, so that the core needs no clock.
#[derive(Clone, Copy, Debug)]
pub struct NtpClock {
    origin: Instant,
    origin_ntp: NtpTime,
}

impl NtpClock {
    /// A clock that shows `ntp` at `origin`.
    #[must_use]
    pub const fn new(origin: Instant, ntp: NtpTime) -> Self {
        Self {
            origin,
            origin_ntp: ntp,
        }
    }

    /// The NTP time at `now`; instants before the origin show the origin's time.
    #[must_use]
    pub fn at(&self, now: Instant) -> NtpTime {
        self.origin_ntp
            .plus(now.saturating_duration_since(self.origin))
    }
}

/// Length of `compact`, a count of 1/65536 s as in DLSR.
#[must_use]
pub const fn compact_to_duration(compact: u32) -> Duration {
    Duration::from_nanos(((compact as u64) * 1_000_000_000) >> 16)
}

/// `duration` in units of 1/65536 s, saturating at 18 hours.
#[must_use]
pub fn duration_to_compact(duration: Duration) -> u32 {
    let units = (duration.as_nanos() << 16) / 1_000_000_000;
    u32::try_from(units).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_compare_across_the_wrap() {
        let before = RtpTimestamp(u32::MAX - 79);
        let after = before.plus(160);
        assert_eq!(after.0, 80);
        assert_eq!(after.ticks_since(before), 160);
        assert_eq!(before.ticks_since(after), -160);
    }

    #[test]
    fn ntp_time_of_a_known_moment() {
        // RFC 868 gives 2,208,988,800 for 1970-01-01 00:00:00 UTC.
        let time = NtpTime::from_unix(Duration::from_millis(500));
        assert_eq!(time.0 >> 32, 2_208_988_800);
        assert_eq!(time.0 & 0xffff_ffff, 0x8000_0000);
        assert_eq!(time.compact(), (2_208_988_800u64 << 16) as u32 | 0x8000);
        assert_eq!(
            time.plus(Duration::from_millis(500)).0,
            2_208_988_801u64 << 32
        );
    }

    #[test]
    fn compact_durations_round_trip() {
        assert_eq!(duration_to_compact(Duration::from_secs(2)), 2 << 16);
        assert_eq!(compact_to_duration(3 << 15), Duration::from_millis(1500));
        assert_eq!(duration_to_compact(Duration::from_secs(1 << 20)), u32::MAX);
    }
}
