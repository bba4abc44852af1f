//! Reports to and from the peer of an RTP leg (RFC 3550 §6).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::leg::LegStatistics;
use crate::random::SplitMix;
use crate::rtp::packetizer::Packetizer;
use crate::rtp::reception_stats::{ReceptionStats, round_trip};
use crate::rtp::rtcp::{
    ReportBlock, RtcpPacket, RtcpReader, RtcpWriter, SenderInfo, report_interval,
};
use crate::rtp::timestamp::NtpClock;
use crate::rtp::{NtpTime, Ssrc};

/// Longest canonical name sent.
const CNAME_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct RtcpSession {
    pub(crate) reception: ReceptionStats,
    cname: Box<[u8]>,
    clock: NtpClock,
    random: SplitMix,
    next_report: Instant,
    /// Packets sent when the last report was.
    reported_packets: u32,
    /// Where the peer's reports come from.
    peer: Option<SocketAddr>,
    round_trip: Option<Duration>,
    remote_fraction_lost: u8,
}

impl RtcpSession {
    pub(crate) fn new(
        cname: &str,
        clock_hz: u32,
        origin: Instant,
        ntp: NtpTime,
        mut random: SplitMix,
    ) -> Self {
        let cname = &cname.as_bytes()[..cname.len().min(CNAME_MAX)];
        // The first report comes after half the interval (RFC 3550 §6.2).
        let first = report_interval(random.next_u32()) / 2;
        Self {
            reception: ReceptionStats::new(clock_hz),
            cname: cname.into(),
            clock: NtpClock::new(origin, ntp),
            random,
            next_report: origin + first,
            reported_packets: 0,
            peer: None,
            round_trip: None,
            remote_fraction_lost: 0,
        }
    }

    /// Takes a compound packet; `None` when it is not one.
    pub(crate) fn handle(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ours: Ssrc,
        datagram: &[u8],
    ) -> Option<()> {
        let mut any = None;
        for packet in RtcpReader::new(datagram) {
            match packet.ok()? {
                RtcpPacket::SenderReport {
                    ssrc,
                    info,
                    reports,
                } => {
                    self.reception.on_sender_report(now, ssrc, info.ntp);
                    self.take_reports(now, ours, reports.iter());
                }
                RtcpPacket::ReceiverReport { reports, .. } => {
                    self.take_reports(now, ours, reports.iter());
                }
                _ => {}
            }
            any = Some(());
        }
        if any.is_some() {
            self.peer = Some(from);
        }
        any
    }

    /// Whether a report must go out; the next one is then due later.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        if now < self.next_report {
            return false;
        }
        self.next_report = now + report_interval(self.random.next_u32());
        true
    }

    /// Writes a report, with a goodbye when the leg ends; `None` when it does not fit.
    pub(crate) fn write_report(
        &mut self,
        now: Instant,
        sender: &Packetizer,
        goodbye: bool,
        out: &mut [u8],
    ) -> Option<usize> {
        let ssrc = sender.ssrc();
        let block = self.reception.report_block(now);
        let mut writer = RtcpWriter::new(out);
        if sender.packets() == self.reported_packets {
            writer.receiver_report(ssrc, block.as_slice()).ok()?;
        } else {
            let info = SenderInfo {
                ntp: self.clock.at(now),
                timestamp: sender.timestamp(),
                packets: sender.packets(),
                payload_octets: sender.payload_octets(),
            };
            writer.sender_report(ssrc, info, block.as_slice()).ok()?;
        }
        self.reported_packets = sender.packets();
        writer.source_description(ssrc, &self.cname).ok()?;
        if goodbye {
            writer.goodbye(ssrc).ok()?;
        }
        Some(writer.len())
    }

    /// Where the peer's reports come from.
    pub(crate) const fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Half the round trip, once known.
    pub(crate) fn one_way(&self) -> Option<Duration> {
        self.round_trip.map(|trip| trip / 2)
    }

    pub(crate) fn count(&self, statistics: &mut LegStatistics) {
        statistics.jitter_us = micros(self.reception.jitter());
        statistics.round_trip_us = self.round_trip.map_or(0, micros);
        statistics.remote_fraction_lost = self.remote_fraction_lost;
    }

    fn take_reports(
        &mut self,
        now: Instant,
        ours: Ssrc,
        reports: impl Iterator<Item = ReportBlock>,
    ) {
        for report in reports.filter(|report| report.ssrc == ours) {
            self.remote_fraction_lost = report.fraction_lost;
            if let Some(trip) = round_trip(self.clock.at(now), &report) {
                self.round_trip = Some(trip);
            }
        }
    }
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
