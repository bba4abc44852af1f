//! What a receiver knows about a source: loss, jitter and round trip (RFC 3550 §6.4, A.3, A.8).

use std::time::{Duration, Instant};

use super::rtcp::ReportBlock;
use super::sequence::{SEQUENTIAL_MIN, SequenceTracker, SequenceVerdict};
use super::timestamp::{compact_to_duration, duration_to_compact};
use super::{NtpTime, RtpHeader, RtpTimestamp, Ssrc};

/// Differences in transit above this are a step of the sender's clock, not jitter.
const TRANSIT_STEP_MAX: Duration = Duration::from_secs(2);

/// Statistics of the source currently received. A new SSRC starts them anew, as does a restart
/// of the sequence.
#[derive(Clone, Debug)]
pub struct ReceptionStats {
    clock_hz: u32,
    ssrc: Option<Ssrc>,
    tracker: SequenceTracker,
    /// First number counted.
    base: u64,
    received: u64,
    expected_prior: u64,
    received_prior: u64,
    /// Arrival and timestamp of the last timed packet.
    transit: Option<(Instant, RtpTimestamp)>,
    /// Jitter in ticks, scaled by 16 as in RFC 3550 A.8.
    jitter_q4: u64,
    last_sender_report: Option<(Instant, NtpTime)>,
}

impl ReceptionStats {
    /// Empty statistics for payloads of an RTP clock of `clock_hz`.
    #[must_use]
    pub const fn new(clock_hz: u32) -> Self {
        Self {
            clock_hz: if clock_hz == 0 { 1 } else { clock_hz },
            ssrc: None,
            tracker: SequenceTracker::new(SEQUENTIAL_MIN),
            base: 0,
            received: 0,
            expected_prior: 0,
            received_prior: 0,
            transit: None,
            jitter_q4: 0,
            last_sender_report: None,
        }
    }

    /// Counts an audio packet that arrived at `now`.
    pub fn on_packet(&mut self, now: Instant, header: &RtpHeader) {
        if self.count(header) {
            self.update_jitter(now, header.timestamp);
        }
    }

    /// Counts a packet whose timestamp says nothing about its sending (telephone-event repeats
    /// the start of the press): it enters loss but not jitter.
    pub fn on_event_packet(&mut self, header: &RtpHeader) {
        self.count(header);
    }

    /// Notes a sender report that arrived at `now`, for LSR and DLSR.
    pub fn on_sender_report(&mut self, now: Instant, ssrc: Ssrc, ntp: NtpTime) {
        if self.ssrc == Some(ssrc) {
            self.last_sender_report = Some((now, ntp));
        }
    }

    /// The report block for the next RTCP packet; the fraction lost starts anew with it. `None`
    /// while no source is valid.
    pub fn report_block(&mut self, now: Instant) -> Option<ReportBlock> {
        let ssrc = self.ssrc?;
        let highest = self.tracker.highest()?;
        let expected = self.expected();
        let expected_interval = expected - self.expected_prior;
        let received_interval = self.received - self.received_prior;
        self.expected_prior = expected;
        self.received_prior = self.received;
        let (last_sender_report, delay_since_last_sender_report) =
            self.last_sender_report.map_or((0, 0), |(at, ntp)| {
                let delay = now.saturating_duration_since(at);
                (ntp.compact(), duration_to_compact(delay))
            });
        let cycle_base = self.base & !0xffff;
        Some(ReportBlock {
            ssrc,
            fraction_lost: fraction(expected_interval, received_interval),
            cumulative_lost: i32::try_from(self.lost()).unwrap_or(i32::MAX),
            highest_sequence: u32::try_from((highest.0 - cycle_base) & 0xffff_ffff)
                .unwrap_or(u32::MAX),
            jitter: self.jitter_ticks(),
            last_sender_report,
            delay_since_last_sender_report,
        })
    }

    /// The source, once a packet came.
    #[must_use]
    pub const fn ssrc(&self) -> Option<Ssrc> {
        self.ssrc
    }

    /// Interarrival jitter.
    #[must_use]
    pub fn jitter(&self) -> Duration {
        let ticks = u64::from(self.jitter_ticks());
        Duration::from_nanos(ticks * 1_000_000_000 / u64::from(self.clock_hz))
    }

    /// Packets expected less packets received; negative when duplicates outweigh the loss.
    #[must_use]
    pub fn lost(&self) -> i64 {
        self.expected().cast_signed() - self.received.cast_signed()
    }

    /// Counts the packet; `true` when it belongs to a valid source.
    fn count(&mut self, header: &RtpHeader) -> bool {
        if self.ssrc != Some(header.ssrc) {
            *self = Self::new(self.clock_hz);
            self.ssrc = Some(header.ssrc);
        }
        match self.tracker.update(header.sequence) {
            SequenceVerdict::Probation | SequenceVerdict::Suspect => return false,
            SequenceVerdict::Started(at) | SequenceVerdict::Restarted(at) => {
                // The packet before, which opened the probation, belongs to the run.
                self.base = at.0 - 1;
                self.received = 2;
                self.expected_prior = 0;
                self.received_prior = 0;
                self.transit = None;
            }
            SequenceVerdict::Ahead(_) => self.received += 1,
            SequenceVerdict::Behind(at) if at.0 >= self.base => self.received += 1,
            // From before the first packet counted: not expected, so not received either.
            SequenceVerdict::Behind(_) => {}
        }
        true
    }

    fn expected(&self) -> u64 {
        self.tracker
            .highest()
            .map_or(0, |highest| highest.0 - self.base + 1)
    }

    fn update_jitter(&mut self, now: Instant, timestamp: RtpTimestamp) {
        let Some((then, earlier)) = self.transit.replace((now, timestamp)) else {
            return;
        };
        let clock = i128::from(self.clock_hz);
        let sent = i128::from(timestamp.ticks_since(earlier));
        let arrived = match now.checked_duration_since(then) {
            Some(later) => duration_ticks(later, clock),
            None => -duration_ticks(then - now, clock),
        };
        let difference = (arrived - sent).unsigned_abs();
        if difference > duration_ticks(TRANSIT_STEP_MAX, clock).unsigned_abs() {
            return;
        }
        let difference = u64::try_from(difference).unwrap_or(u64::MAX);
        // J += (|D| - J) / 16, rounded, in sixteenths of a tick.
        self.jitter_q4 = self.jitter_q4 + difference - ((self.jitter_q4 + 8) >> 4);
    }

    fn jitter_ticks(&self) -> u32 {
        u32::try_from(self.jitter_q4 >> 4).unwrap_or(u32::MAX)
    }
}

/// Round-trip time from a report block about us that arrived at `now`; `None` when the peer has
/// had no sender report of ours or its numbers do not add up (RFC 3550 §6.4.1).
#[must_use]
pub fn round_trip(now: NtpTime, report: &ReportBlock) -> Option<Duration> {
    if report.last_sender_report == 0 {
        return None;
    }
    let elapsed = now.compact().wrapping_sub(report.last_sender_report);
    let trip = elapsed.checked_sub(report.delay_since_last_sender_report)?;
    // An LSR from the future wraps to hours.
    (trip < 60 << 16).then(|| compact_to_duration(trip))
}

fn fraction(expected: u64, received: u64) -> u8 {
    let lost = expected.saturating_sub(received);
    (lost * 256)
        .checked_div(expected)
        .map_or(0, |fraction| u8::try_from(fraction).unwrap_or(u8::MAX))
}

fn duration_ticks(duration: Duration, clock_hz: i128) -> i128 {
    let nanos = i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX / clock_hz);
    nanos * clock_hz / 1_000_000_000
}

#[cfg(test)]
mod tests {
    use fixtures::virtual_clock::VirtualClock;

    use super::*;
    use crate::rtp::SequenceNumber;

    fn header(sequence: u16, timestamp: u32) -> RtpHeader {
        RtpHeader {
            sequence: SequenceNumber(sequence),
            timestamp: RtpTimestamp(timestamp),
            ssrc: Ssrc(1),
            ..RtpHeader::default()
        }
    }

    #[test]
    fn loss_is_counted_over_the_wrap_and_per_interval() {
        let mut clock = VirtualClock::new();
        let mut stats = ReceptionStats::new(8000);
        assert!(stats.report_block(clock.now()).is_none());
        for step in 0..100u16 {
            clock.advance(Duration::from_millis(20));
            if step % 10 != 5 {
                let header = header(65_500u16.wrapping_add(step), u32::from(step) * 160);
                stats.on_packet(clock.now(), &header);
            }
        }
        let block = stats.report_block(clock.now()).unwrap();
        assert_eq!(block.cumulative_lost, 10);
        assert_eq!(block.fraction_lost, 25); // 10 of 100 in 1/256, cut
        assert_eq!(block.highest_sequence, 0x0001_0000 + 63);
        let block = stats.report_block(clock.now()).unwrap();
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 10));
    }

    #[test]
    fn steady_arrival_has_no_jitter_and_alternation_has_its_size() {
        let mut clock = VirtualClock::new();
        let mut stats = ReceptionStats::new(8000);
        for step in 0..50u16 {
            clock.advance(Duration::from_millis(20));
            stats.on_packet(clock.now(), &header(step, u32::from(step) * 160));
        }
        assert_eq!(stats.jitter(), Duration::ZERO);
        for step in 50..500u16 {
            // Every other packet is 10 ms late: |D| is always 10 ms, which J approaches.
            let wait = if step % 2 == 0 { 30 } else { 10 };
            clock.advance(Duration::from_millis(wait));
            stats.on_packet(clock.now(), &header(step, u32::from(step) * 160));
        }
        let jitter = stats.jitter();
        assert!(
            jitter > Duration::from_micros(9_500) && jitter <= Duration::from_millis(10),
            "{jitter:?}"
        );
    }

    #[test]
    fn key_presses_do_not_disturb_the_jitter() {
        let mut clock = VirtualClock::new();
        let mut stats = ReceptionStats::new(8000);
        for step in 0..50u16 {
            clock.advance(Duration::from_millis(20));
            if (20..30).contains(&step) {
                stats.on_event_packet(&header(step, 20 * 160));
            } else {
                stats.on_packet(clock.now(), &header(step, u32::from(step) * 160));
            }
        }
        assert_eq!(stats.jitter(), Duration::ZERO);
        assert_eq!(stats.lost(), 0);
    }

    #[test]
    fn a_new_source_starts_anew() {
        let clock = VirtualClock::new();
        let mut stats = ReceptionStats::new(8000);
        stats.on_packet(clock.now(), &header(1, 0));
        stats.on_packet(clock.now(), &header(2, 160));
        stats.on_packet(clock.now(), &header(9, 1280));
        assert_eq!(stats.lost(), 6);
        for step in 0..2 {
            let header = RtpHeader {
                ssrc: Ssrc(2),
                ..header(500 + step, 0)
            };
            stats.on_packet(clock.now(), &header);
        }
        assert_eq!((stats.lost(), stats.ssrc()), (0, Some(Ssrc(2))));
    }

    #[test]
    fn round_trip_follows_the_example_of_the_rfc() {
        // RFC 3550 §6.4.1, figure 2.
        let report = ReportBlock {
            last_sender_report: 0xb705_2000,
            delay_since_last_sender_report: 0x0005_4000,
            ..ReportBlock::default()
        };
        let now = NtpTime(0xb710_8000u64 << 16);
        assert_eq!(round_trip(now, &report), Some(Duration::from_millis(6125)));
        let never = ReportBlock::default();
        assert_eq!(round_trip(now, &never), None);
        let impossible = ReportBlock {
            delay_since_last_sender_report: u32::MAX,
            ..report
        };
        assert_eq!(round_trip(now, &impossible), None);
    }

    #[test]
    fn report_block_tells_the_age_of_the_last_sender_report() {
        let mut clock = VirtualClock::new();
        let mut stats = ReceptionStats::new(8000);
        stats.on_packet(clock.now(), &header(1, 0));
        stats.on_packet(clock.now(), &header(2, 160));
        stats.on_sender_report(clock.now(), Ssrc(1), NtpTime(0x1234_5678_9abc_def0));
        clock.advance(Duration::from_millis(1500));
        let block = stats.report_block(clock.now()).unwrap();
        assert_eq!(block.last_sender_report, 0x5678_9abc);
        assert_eq!(block.delay_since_last_sender_report, 3 << 15);
    }
}
