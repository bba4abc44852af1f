//! Places RTP timestamps on the leg's timeline.

use std::time::Instant;

use crate::frame::{FRAME_RATE, SamplePosition};
use crate::rtp::RtpTimestamp;

/// How far, in samples, media may lead or lag its arrival before it is anchored anew: 200 ms,
/// more than a first packet is usually late and less than a listener would notice between the
/// two directions of a leg.
pub const SKEW_MAX: u64 = FRAME_RATE as u64 / 5;
/// Packets over which the lag is judged by the fastest one, about 2 s: a lag of them all is a
/// drifting clock or a longer path, not jitter.
const SKEW_WINDOW: u32 = 100;

/// Maps timestamps to positions and remembers where the media given out so far ends. The end
/// never moves backwards.
///
/// The first packet of a source is anchored where it arrived. From there on positions follow the
/// timestamps, so jitter leaves no trace in them, until media leads arrival by more than
/// [`SKEW_MAX`] or a whole window of packets lags by more than it.
#[derive(Clone, Debug)]
pub(crate) struct MediaTimeline {
    origin: Instant,
    clock_hz: i64,
    /// Timestamp last mapped, unwrapped.
    last: (RtpTimestamp, i64),
    anchor_ticks: i64,
    anchor_position: i64,
    end: i64,
    /// Whether anything has been placed.
    started: bool,
    /// Lead of the fastest packet of the current window, and its packets.
    window_lead: i64,
    window_packets: u32,
}

impl MediaTimeline {
    /// A timeline that begins at `origin`, for timestamps of `clock_hz`.
    pub(crate) const fn new(origin: Instant, clock_hz: u32) -> Self {
        Self {
            origin,
            clock_hz: if clock_hz == 0 { 1 } else { clock_hz as i64 },
            last: (RtpTimestamp(0), 0),
            anchor_ticks: 0,
            anchor_position: 0,
            end: 0,
            started: false,
            window_lead: i64::MIN,
            window_packets: 0,
        }
    }

    /// Anchors a new source: its first packet lies where it arrived, or behind what was given out.
    pub(crate) fn sync(&mut self, timestamp: RtpTimestamp, received_at: Instant) {
        let arrival = self.arrival(received_at);
        if !self.started {
            self.started = true;
            self.end = arrival;
        }
        self.last = (timestamp, 0);
        self.anchor(timestamp, arrival.max(self.end));
    }

    /// Lets `timestamp` lie at `position` from now on.
    pub(crate) fn anchor(&mut self, timestamp: RtpTimestamp, position: i64) {
        self.anchor_ticks = self.unwrap(timestamp);
        self.anchor_position = position;
        self.window_lead = i64::MIN;
        self.window_packets = 0;
    }

    /// Where `timestamp` lies, as the anchor has it.
    pub(crate) const fn position(&self, timestamp: RtpTimestamp) -> i64 {
        let ticks = self.unwrap(timestamp) - self.anchor_ticks;
        self.anchor_position + (ticks * FRAME_RATE as i64).div_euclid(self.clock_hz)
    }

    /// Moves the end by `samples` and returns where it was.
    pub(crate) fn advance(&mut self, samples: u32) -> SamplePosition {
        let position = SamplePosition(self.end.unsigned_abs());
        self.end += i64::from(samples);
        position
    }

    /// Notes that the packet of `timestamp` is given out now, and judges the lag of the window.
    /// Returns `true` when the end has jumped forward to catch up with arrival.
    pub(crate) fn delivered(&mut self, timestamp: RtpTimestamp, received_at: Instant) -> bool {
        let lead = self.position(timestamp) - self.arrival(received_at);
        self.last = (timestamp, self.unwrap(timestamp));
        self.window_lead = self.window_lead.max(lead);
        self.window_packets += 1;
        if self.window_packets < SKEW_WINDOW {
            return false;
        }
        let lag = -self.window_lead;
        self.window_lead = i64::MIN;
        self.window_packets = 0;
        if lag <= SKEW_MAX.cast_signed() {
            return false;
        }
        self.anchor_position += lag;
        self.end += lag;
        true
    }

    /// Samples of the leg that had passed at `instant`.
    pub(crate) fn arrival(&self, instant: Instant) -> i64 {
        let elapsed = instant.saturating_duration_since(self.origin).as_micros();
        let samples = elapsed * u128::from(FRAME_RATE) / 1_000_000;
        i64::try_from(samples).unwrap_or(i64::MAX / 4)
    }

    /// Just behind the last sample given out.
    pub(crate) const fn end(&self) -> i64 {
        self.end
    }

    const fn unwrap(&self, timestamp: RtpTimestamp) -> i64 {
        let (last, ticks) = self.last;
        ticks + timestamp.ticks_since(last) as i64
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fixtures::virtual_clock::VirtualClock;

    use super::*;

    #[test]
    fn positions_follow_the_timestamps_across_the_wrap() {
        let mut clock = VirtualClock::new();
        let mut timeline = MediaTimeline::new(clock.origin(), 8000);
        clock.advance(Duration::from_millis(100));
        let first = RtpTimestamp(u32::MAX - 100);
        timeline.sync(first, clock.now());
        assert_eq!(timeline.position(first), 1600);
        for step in 0..1000u32 {
            let timestamp = first.plus(step * 160);
            assert_eq!(timeline.position(timestamp), 1600 + i64::from(step) * 320);
            assert!(!timeline.delivered(timestamp, clock.now()));
            timeline.advance(320);
            clock.advance(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_slow_sender_is_anchored_anew_once_it_lags_too_far() {
        let mut clock = VirtualClock::new();
        let mut timeline = MediaTimeline::new(clock.origin(), 48_000);
        timeline.sync(RtpTimestamp(0), clock.now());
        let mut jumps = 0;
        // 0.1 % slow: 200 ms of lag after 200 s, far more than any real clock.
        for step in 0..20_000u32 {
            let timestamp = RtpTimestamp(step * 960);
            jumps += u32::from(timeline.delivered(timestamp, clock.now()));
            timeline.advance(320);
            let lag = timeline.arrival(clock.now()) - timeline.end();
            assert!(lag < 3200 + 2 * 320 + 40, "lag of {lag} samples");
            clock.advance(Duration::from_micros(20_020));
        }
        assert_eq!(jumps, 1);
    }
}
