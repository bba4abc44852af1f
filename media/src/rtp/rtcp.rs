//! RTCP: sender and receiver reports, CNAME and BYE (RFC 3550 §6).
//!
//! Reading walks a compound packet without copying; writing goes into the caller's buffer.

use std::time::Duration;

use super::{NtpTime, RtpError, RtpTimestamp, Ssrc, read_u32};

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const CNAME: u8 = 1;
const REPORT_BLOCK_BYTES: usize = 24;
const SENDER_INFO_BYTES: usize = 20;
/// Most that the 5-bit count of a packet can say.
const COUNT_MAX: usize = 31;

/// Mean time between compound packets of one participant (RFC 3550 §6.2).
pub const REPORT_INTERVAL_MEAN: Duration = Duration::from_secs(5);

/// Time to the next compound packet: 0.5 to 1.5 times the mean, by `random`, a number drawn
/// evenly from all of `u32`, so that legs set up together do not report together.
#[must_use]
pub fn report_interval(random: u32) -> Duration {
    let mean = REPORT_INTERVAL_MEAN;
    mean / 2 + mean.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// The sender's part of a sender report (RFC 3550 §6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SenderInfo {
    /// When the report was sent.
    pub ntp: NtpTime,
    /// The same moment on the media clock.
    pub timestamp: RtpTimestamp,
    /// Packets sent since the start.
    pub packets: u32,
    /// Payload octets sent since the start.
    pub payload_octets: u32,
}

/// What a receiver tells about one source (RFC 3550 §6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReportBlock {
    /// The source reported on.
    pub ssrc: Ssrc,
    /// Loss since the last report in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the start, 24 bits signed: duplicates can make it negative.
    pub cumulative_lost: i32,
    /// Highest sequence number received, with wraps in the upper half.
    pub highest_sequence: u32,
    /// Interarrival jitter in ticks of the RTP clock.
    pub jitter: u32,
    /// Middle 32 bits of the last sender report's NTP time; zero if none came.
    pub last_sender_report: u32,
    /// Time since that report in 1/65536 s; zero if none came.
    pub delay_since_last_sender_report: u32,
}

/// One packet of a compound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RtcpPacket<'a> {
    /// From a participant that sends media.
    SenderReport {
        /// The participant.
        ssrc: Ssrc,
        /// What it has sent.
        info: SenderInfo,
        /// What it has received.
        reports: ReportBlocks<'a>,
    },
    /// From a participant that only receives.
    ReceiverReport {
        /// The participant.
        ssrc: Ssrc,
        /// What it has received.
        reports: ReportBlocks<'a>,
    },
    /// Names of sources.
    SourceDescription(SourceDescriptions<'a>),
    /// Sources that leave.
    Goodbye(GoodbyeSources<'a>),
    /// A type this engine does not use (feedback, extended reports, applications).
    Other {
        /// RTCP packet type.
        packet_type: u8,
    },
}

/// Report blocks in packet order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReportBlocks<'a>(&'a [[u8; REPORT_BLOCK_BYTES]]);

impl<'a> ReportBlocks<'a> {
    /// The blocks.
    pub fn iter(&self) -> impl Iterator<Item = ReportBlock> + 'a {
        self.0.iter().map(read_block)
    }
}

/// Sources of a BYE in packet order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GoodbyeSources<'a>(&'a [[u8; 4]]);

impl<'a> GoodbyeSources<'a> {
    /// The sources.
    pub fn iter(&self) -> impl Iterator<Item = Ssrc> + 'a {
        self.0
            .iter()
            .map(|octets| Ssrc(u32::from_be_bytes(*octets)))
    }
}

/// Chunks of a source description.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SourceDescriptions<'a> {
    body: &'a [u8],
    chunks: usize,
}

impl<'a> SourceDescriptions<'a> {
    /// The sources that name themselves, with the octets of their CNAME. Stops at the first
    /// malformed chunk.
    pub fn cnames(&self) -> impl Iterator<Item = (Ssrc, &'a [u8])> + 'a {
        let mut rest = self.body;
        (0..self.chunks)
            .map_while(move |_| {
                let (ssrc, cname, length) = read_chunk(rest)?;
                rest = rest.get(length..)?;
                Some((ssrc, cname))
            })
            .filter_map(|(ssrc, cname)| Some((ssrc, cname?)))
    }
}

/// Walks the packets of a compound. Lengths are checked as it goes; the rule that a compound
/// begins with a report is not enforced, since reduced-size packets (RFC 5506) break it.
#[derive(Clone, Debug)]
pub struct RtcpReader<'a> {
    rest: &'a [u8],
}

impl<'a> RtcpReader<'a> {
    /// A walk over `datagram`.
    #[must_use]
    pub const fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }

    fn next_packet(&mut self) -> Result<RtcpPacket<'a>, RtpError> {
        let head = self.rest.first_chunk::<4>().ok_or(RtpError::Truncated)?;
        if head[0] >> 6 != 2 {
            return Err(RtpError::Version);
        }
        let length = 4 + 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (packet, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(RtpError::Truncated)?;
        let mut body = &packet[4..];
        if head[0] & 0x20 != 0 {
            let padding = usize::from(*body.last().ok_or(RtpError::Padding)?);
            if padding == 0 || padding > body.len() || !rest.is_empty() {
                return Err(RtpError::Padding);
            }
            body = &body[..body.len() - padding];
        }
        self.rest = rest;
        read_packet(head[1], usize::from(head[0] & 0x1f), body)
    }
}

impl<'a> Iterator for RtcpReader<'a> {
    type Item = Result<RtcpPacket<'a>, RtpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let packet = self.next_packet();
        if packet.is_err() {
            self.rest = &[];
        }
        Some(packet)
    }
}

/// Writes a compound packet into the caller's buffer: a report first, then CNAME, then BYE
/// (RFC 3550 §6.1). A packet that does not fit is left out whole.
#[derive(Debug)]
pub struct RtcpWriter<'a> {
    out: &'a mut [u8],
    length: usize,
}

impl<'a> RtcpWriter<'a> {
    /// An empty compound in `out`.
    #[must_use]
    pub const fn new(out: &'a mut [u8]) -> Self {
        Self { out, length: 0 }
    }

    /// Appends a sender report.
    ///
    /// # Errors
    /// [`RtpError::BufferTooSmall`]; [`RtpError::Field`] for more than 31 reports.
    pub fn sender_report(
        &mut self,
        ssrc: Ssrc,
        info: SenderInfo,
        reports: &[ReportBlock],
    ) -> Result<(), RtpError> {
        let body = 4 + SENDER_INFO_BYTES + reports.len() * REPORT_BLOCK_BYTES;
        let out = self.begin(SENDER_REPORT, reports.len(), body)?;
        out[..4].copy_from_slice(&ssrc.0.to_be_bytes());
        out[4..12].copy_from_slice(&info.ntp.0.to_be_bytes());
        out[12..16].copy_from_slice(&info.timestamp.0.to_be_bytes());
        out[16..20].copy_from_slice(&info.packets.to_be_bytes());
        out[20..24].copy_from_slice(&info.payload_octets.to_be_bytes());
        write_blocks(&mut out[24..], reports);
        Ok(())
    }

    /// Appends a receiver report, for a participant that has sent nothing lately.
    ///
    /// # Errors
    /// As [`Self::sender_report`].
    pub fn receiver_report(&mut self, ssrc: Ssrc, reports: &[ReportBlock]) -> Result<(), RtpError> {
        let body = 4 + reports.len() * REPORT_BLOCK_BYTES;
        let out = self.begin(RECEIVER_REPORT, reports.len(), body)?;
        out[..4].copy_from_slice(&ssrc.0.to_be_bytes());
        write_blocks(&mut out[4..], reports);
        Ok(())
    }

    /// Appends a source description with one CNAME.
    ///
    /// # Errors
    /// [`RtpError::BufferTooSmall`]; [`RtpError::Field`] for a name above 255 octets.
    pub fn source_description(&mut self, ssrc: Ssrc, cname: &[u8]) -> Result<(), RtpError> {
        let name_length = u8::try_from(cname.len()).map_err(|_| RtpError::Field)?;
        // A chunk ends with at least one zero octet and is filled up to a word.
        let chunk = (4 + 2 + cname.len() + 1).next_multiple_of(4);
        let out = self.begin(SOURCE_DESCRIPTION, 1, chunk)?;
        out[..4].copy_from_slice(&ssrc.0.to_be_bytes());
        out[4] = CNAME;
        out[5] = name_length;
        out[6..6 + cname.len()].copy_from_slice(cname);
        out[6 + cname.len()..].fill(0);
        Ok(())
    }

    /// Appends a BYE of one source.
    ///
    /// # Errors
    /// [`RtpError::BufferTooSmall`].
    pub fn goodbye(&mut self, ssrc: Ssrc) -> Result<(), RtpError> {
        let out = self.begin(GOODBYE, 1, 4)?;
        out.copy_from_slice(&ssrc.0.to_be_bytes());
        Ok(())
    }

    /// Octets written.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing has been written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn begin(&mut self, packet_type: u8, count: usize, body: usize) -> Result<&mut [u8], RtpError> {
        if count > COUNT_MAX {
            return Err(RtpError::Field);
        }
        let words = u16::try_from(body / 4).map_err(|_| RtpError::Field)?;
        let start = self.length;
        let out = self
            .out
            .get_mut(start..start + 4 + body)
            .ok_or(RtpError::BufferTooSmall)?;
        let count = u8::try_from(count).map_err(|_| RtpError::Field)?;
        out[0] = 0x80 | count;
        out[1] = packet_type;
        out[2..4].copy_from_slice(&words.to_be_bytes());
        self.length += 4 + body;
        Ok(&mut out[4..])
    }
}

fn read_packet(packet_type: u8, count: usize, body: &[u8]) -> Result<RtcpPacket<'_>, RtpError> {
    let truncated = RtpError::Truncated;
    Ok(match packet_type {
        SENDER_REPORT => RtcpPacket::SenderReport {
            ssrc: Ssrc(read_u32(body, 0).ok_or(truncated)?),
            info: read_sender_info(body).ok_or(truncated)?,
            reports: read_blocks(body, 4 + SENDER_INFO_BYTES, count).ok_or(truncated)?,
        },
        RECEIVER_REPORT => RtcpPacket::ReceiverReport {
            ssrc: Ssrc(read_u32(body, 0).ok_or(truncated)?),
            reports: read_blocks(body, 4, count).ok_or(truncated)?,
        },
        SOURCE_DESCRIPTION => RtcpPacket::SourceDescription(SourceDescriptions {
            body,
            chunks: count,
        }),
        GOODBYE => {
            let sources = body.as_chunks::<4>().0.get(..count).ok_or(truncated)?;
            RtcpPacket::Goodbye(GoodbyeSources(sources))
        }
        packet_type => RtcpPacket::Other { packet_type },
    })
}

fn read_sender_info(body: &[u8]) -> Option<SenderInfo> {
    let high = u64::from(read_u32(body, 4)?);
    let low = u64::from(read_u32(body, 8)?);
    Some(SenderInfo {
        ntp: NtpTime((high << 32) | low),
        timestamp: RtpTimestamp(read_u32(body, 12)?),
        packets: read_u32(body, 16)?,
        payload_octets: read_u32(body, 20)?,
    })
}

fn read_blocks(body: &[u8], start: usize, count: usize) -> Option<ReportBlocks<'_>> {
    let blocks = body.get(start..)?.as_chunks::<REPORT_BLOCK_BYTES>().0;
    Some(ReportBlocks(blocks.get(..count)?))
}

fn read_block(octets: &[u8; REPORT_BLOCK_BYTES]) -> ReportBlock {
    let word = |at: usize| {
        u32::from_be_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
    };
    // The shift left and back carries the sign of the 24-bit count.
    let lost = (word(4) << 8).cast_signed() >> 8;
    ReportBlock {
        ssrc: Ssrc(word(0)),
        fraction_lost: octets[4],
        cumulative_lost: lost,
        highest_sequence: word(8),
        jitter: word(12),
        last_sender_report: word(16),
        delay_since_last_sender_report: word(20),
    }
}

fn write_blocks(out: &mut [u8], reports: &[ReportBlock]) {
    let (chunks, _) = out.as_chunks_mut::<REPORT_BLOCK_BYTES>();
    for (out, report) in chunks.iter_mut().zip(reports) {
        let lost = report.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff);
        out[..4].copy_from_slice(&report.ssrc.0.to_be_bytes());
        out[4..8].copy_from_slice(&lost.to_be_bytes());
        out[4] = report.fraction_lost;
        out[8..12].copy_from_slice(&report.highest_sequence.to_be_bytes());
        out[12..16].copy_from_slice(&report.jitter.to_be_bytes());
        out[16..20].copy_from_slice(&report.last_sender_report.to_be_bytes());
        out[20..24].copy_from_slice(&report.delay_since_last_sender_report.to_be_bytes());
    }
}

/// Reads one SDES chunk: its source, its CNAME and its length.
fn read_chunk(body: &[u8]) -> Option<(Ssrc, Option<&[u8]>, usize)> {
    let ssrc = Ssrc(read_u32(body, 0)?);
    let mut cname = None;
    let mut at = 4;
    loop {
        let kind = *body.get(at)?;
        if kind == 0 {
            return Some((ssrc, cname, (at + 1).next_multiple_of(4)));
        }
        let length = usize::from(*body.get(at + 1)?);
        let text = body.get(at + 2..at + 2 + length)?;
        if kind == CNAME {
            cname = Some(text);
        }
        at += 2 + length;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block() -> ReportBlock {
        ReportBlock {
            ssrc: Ssrc(0x1122_3344),
            fraction_lost: 12,
            cumulative_lost: -3,
            highest_sequence: 0x0001_0005,
            jitter: 77,
            last_sender_report: 0xaabb_ccdd,
            delay_since_last_sender_report: 65_536,
        }
    }

    #[test]
    fn a_compound_reads_back_as_written() {
        let info = SenderInfo {
            ntp: NtpTime(0x0102_0304_0506_0708),
            timestamp: RtpTimestamp(9),
            packets: 10,
            payload_octets: 1600,
        };
        let mut out = [0xff; 256];
        let mut writer = RtcpWriter::new(&mut out);
        writer.sender_report(Ssrc(5), info, &[block()]).unwrap();
        writer.source_description(Ssrc(5), b"leg-7@host").unwrap();
        writer.goodbye(Ssrc(5)).unwrap();
        let length = writer.len();
        assert_eq!(length % 4, 0);

        let packets: Result<Vec<_>, _> = RtcpReader::new(&out[..length]).collect();
        let packets = packets.unwrap();
        let RtcpPacket::SenderReport {
            ssrc,
            info: read,
            reports,
        } = packets[0]
        else {
            panic!("expected a sender report, got {:?}", packets[0]);
        };
        assert_eq!((ssrc, read), (Ssrc(5), info));
        assert_eq!(reports.iter().collect::<Vec<_>>(), [block()]);
        let RtcpPacket::SourceDescription(names) = packets[1] else {
            panic!("expected a source description, got {:?}", packets[1]);
        };
        let names: Vec<_> = names.cnames().collect();
        assert_eq!(names, [(Ssrc(5), b"leg-7@host".as_slice())]);
        let RtcpPacket::Goodbye(sources) = packets[2] else {
            panic!("expected a goodbye, got {:?}", packets[2]);
        };
        assert_eq!(sources.iter().collect::<Vec<_>>(), [Ssrc(5)]);
    }

    #[test]
    fn a_receiver_report_without_blocks_is_two_words() {
        let mut out = [0; 8];
        let mut writer = RtcpWriter::new(&mut out);
        writer.receiver_report(Ssrc(1), &[]).unwrap();
        assert_eq!(out, [0x80, 201, 0, 1, 0, 0, 0, 1]);
    }

    #[test]
    fn what_does_not_fit_is_left_out_whole() {
        let mut out = [0; 20];
        let mut writer = RtcpWriter::new(&mut out);
        writer.receiver_report(Ssrc(1), &[]).unwrap();
        assert_eq!(
            writer.source_description(Ssrc(1), b"a-long-name"),
            Err(RtpError::BufferTooSmall)
        );
        assert_eq!(writer.len(), 8);
        assert_eq!(
            writer.source_description(Ssrc(1), &[b'x'; 256]),
            Err(RtpError::Field)
        );
    }

    #[test]
    fn chunks_of_every_alignment_are_found() {
        for name in [&b""[..], b"a", b"ab", b"abc", b"abcd"] {
            let mut out = [0xff; 32];
            let mut writer = RtcpWriter::new(&mut out);
            writer.source_description(Ssrc(3), name).unwrap();
            let length = writer.len();
            let mut reader = RtcpReader::new(&out[..length]);
            let Some(Ok(RtcpPacket::SourceDescription(names))) = reader.next() else {
                panic!("expected a source description");
            };
            assert_eq!(names.cnames().collect::<Vec<_>>(), [(Ssrc(3), name)]);
            assert!(reader.next().is_none());
        }
    }

    #[test]
    fn intervals_spread_around_the_mean() {
        assert_eq!(report_interval(0), Duration::from_millis(2500));
        assert_eq!(report_interval(u32::MAX), Duration::from_millis(7500));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_end(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..160),
            packet_type in 198u8..206,
            words in 0u8..40,
        ) {
            if let Some(head) = bytes.first_chunk_mut::<4>() {
                head[0] = (head[0] & 0x3f) | 0x80;
                head[1] = packet_type;
                head[2..].copy_from_slice(&[0, words]);
            }
            let mut packets = 0;
            for packet in RtcpReader::new(&bytes) {
                packets += 1;
                match packet {
                    Ok(RtcpPacket::SenderReport { reports, .. }
                        | RtcpPacket::ReceiverReport { reports, .. }) => {
                        prop_assert!(reports.iter().count() <= 31);
                    }
                    Ok(RtcpPacket::SourceDescription(names)) => {
                        prop_assert!(names.cnames().count() <= 31);
                    }
                    Ok(RtcpPacket::Goodbye(sources)) => {
                        prop_assert!(sources.iter().count() <= 31);
                    }
                    Ok(RtcpPacket::Other { .. }) | Err(_) => {}
                }
            }
            prop_assert!(packets <= bytes.len().div_ceil(4));
        }
    }
}
