//! Puts payloads into RTP packets of one source.

use super::packet::FIXED_HEADER_BYTES;
use super::{RtpError, RtpHeader, RtpTimestamp, SequenceNumber, Ssrc};

/// Where a source's numbers begin. The caller draws them at random (RFC 3550 §5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PacketizerStart {
    /// Synchronisation source.
    pub ssrc: Ssrc,
    /// First sequence number.
    pub sequence: SequenceNumber,
    /// First timestamp.
    pub timestamp: RtpTimestamp,
}

/// One sending source: audio and key presses share its SSRC and sequence numbers.
///
/// The timestamp follows the samples given and the idle time announced by [`Self::skip`], never
/// the moment of sending, so that pacing leaves no mark in it.
#[derive(Clone, Debug)]
pub struct Packetizer {
    ssrc: Ssrc,
    sequence: SequenceNumber,
    timestamp: RtpTimestamp,
    payload_type: u8,
    /// The next audio packet begins a talkspurt.
    marker: bool,
    packets: u32,
    payload_octets: u32,
}

impl Packetizer {
    /// A source that begins with `start` and sends audio as `payload_type` (0 to 127).
    #[must_use]
    pub const fn new(start: PacketizerStart, payload_type: u8) -> Self {
        Self {
            ssrc: start.ssrc,
            sequence: start.sequence,
            timestamp: start.timestamp,
            payload_type,
            marker: true,
            packets: 0,
            payload_octets: 0,
        }
    }

    /// Writes an audio packet that lasts `ticks` of the RTP clock, returns its length. The marker
    /// is set on the first packet and on the first after [`Self::skip`].
    ///
    /// # Errors
    /// [`RtpError::BufferTooSmall`] when `out` cannot hold it, [`RtpError::Field`] for an
    /// impossible payload type; nothing is advanced then.
    pub fn packetize(
        &mut self,
        payload: &[u8],
        ticks: u32,
        out: &mut [u8],
    ) -> Result<usize, RtpError> {
        let length = self.write(self.payload_type, self.marker, self.timestamp, payload, out)?;
        self.marker = false;
        self.timestamp = self.timestamp.plus(ticks);
        Ok(length)
    }

    /// Writes a packet of another payload type at a timestamp of its own (telephone-event, comfort
    /// noise); only the sequence number advances.
    ///
    /// # Errors
    /// As [`Self::packetize`].
    pub fn packetize_at(
        &mut self,
        payload_type: u8,
        marker: bool,
        timestamp: RtpTimestamp,
        payload: &[u8],
        out: &mut [u8],
    ) -> Result<usize, RtpError> {
        self.write(payload_type, marker, timestamp, payload, out)
    }

    /// Lets `ticks` of real time pass without a packet; the next audio packet carries the marker.
    pub const fn skip(&mut self, ticks: u32) {
        self.timestamp = self.timestamp.plus(ticks);
        self.marker = true;
    }

    /// Sends audio as `payload_type` from now on, within the same sequence.
    pub const fn set_payload_type(&mut self, payload_type: u8) {
        self.payload_type = payload_type;
    }

    /// Timestamp of the next audio packet.
    #[must_use]
    pub const fn timestamp(&self) -> RtpTimestamp {
        self.timestamp
    }

    /// The source.
    #[must_use]
    pub const fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// Packets written so far, wrapping, as a sender report counts them.
    #[must_use]
    pub const fn packets(&self) -> u32 {
        self.packets
    }

    /// Payload octets written so far, wrapping, as a sender report counts them.
    #[must_use]
    pub const fn payload_octets(&self) -> u32 {
        self.payload_octets
    }

    fn write(
        &mut self,
        payload_type: u8,
        marker: bool,
        timestamp: RtpTimestamp,
        payload: &[u8],
        out: &mut [u8],
    ) -> Result<usize, RtpError> {
        let length = FIXED_HEADER_BYTES + payload.len();
        let out = out.get_mut(..length).ok_or(RtpError::BufferTooSmall)?;
        let header = RtpHeader {
            marker,
            payload_type,
            sequence: self.sequence,
            timestamp,
            ssrc: self.ssrc,
        };
        header.write(out)?;
        out[FIXED_HEADER_BYTES..].copy_from_slice(payload);
        self.sequence = self.sequence.plus(1);
        self.packets = self.packets.wrapping_add(1);
        let octets = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        self.payload_octets = self.payload_octets.wrapping_add(octets);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::RtpPacket;

    fn packetizer() -> Packetizer {
        Packetizer::new(
            PacketizerStart {
                ssrc: Ssrc(1),
                sequence: SequenceNumber(u16::MAX),
                timestamp: RtpTimestamp(u32::MAX - 159),
            },
            8,
        )
    }

    #[test]
    fn numbers_advance_by_samples_and_wrap() {
        let mut packetizer = packetizer();
        let mut out = [0; 200];
        let length = packetizer.packetize(&[0x55; 160], 160, &mut out).unwrap();
        let first = RtpPacket::parse(&out[..length]).unwrap().header;
        assert_eq!((first.sequence.0, first.marker), (u16::MAX, true));
        let length = packetizer.packetize(&[0x55; 160], 160, &mut out).unwrap();
        let second = RtpPacket::parse(&out[..length]).unwrap();
        assert_eq!(second.header.sequence.0, 0);
        assert_eq!(second.header.timestamp.0, 0);
        assert!(!second.header.marker);
        assert_eq!(second.header.payload_type, 8);
        assert_eq!(second.payload, [0x55; 160]);
        assert_eq!(
            (packetizer.packets(), packetizer.payload_octets()),
            (2, 320)
        );
    }

    #[test]
    fn silence_moves_the_timestamp_and_marks_the_next_packet() {
        let mut packetizer = packetizer();
        let mut out = [0; 200];
        packetizer.packetize(&[0; 160], 160, &mut out).unwrap();
        packetizer.skip(320);
        let length = packetizer.packetize(&[0; 160], 160, &mut out).unwrap();
        let header = RtpPacket::parse(&out[..length]).unwrap().header;
        assert_eq!((header.sequence.0, header.timestamp.0), (0, 320));
        assert!(header.marker);
    }

    #[test]
    fn a_refused_packet_leaves_no_gap() {
        let mut packetizer = packetizer();
        let mut out = [0; 200];
        assert_eq!(
            packetizer.packetize(&[0; 160], 160, &mut out[..100]),
            Err(RtpError::BufferTooSmall)
        );
        packetizer.packetize(&[0; 160], 160, &mut out).unwrap();
        let header = RtpPacket::parse(&out).unwrap().header;
        assert_eq!(header.sequence.0, u16::MAX);
        assert!(header.marker);
        assert_eq!(packetizer.packets(), 1);
    }
}
