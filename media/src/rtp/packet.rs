//! RTP packets, read without copying (RFC 3550 §5.1, §5.3.1).

use super::{RtpError, RtpTimestamp, SequenceNumber, Ssrc, read_u16, read_u32};

/// Octets of the header before CSRCs and extension.
pub const FIXED_HEADER_BYTES: usize = 12;
/// The protocol version in the upper two bits of the first octet.
const VERSION: u8 = 2;

/// What a datagram on a media port is, by its first two octets (RFC 7983, RFC 5761 §4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PacketClass {
    /// RTP.
    Rtp,
    /// RTCP, multiplexed with RTP or on its own port.
    Rtcp,
    /// STUN.
    Stun,
    /// DTLS.
    Dtls,
    /// None of these.
    Unknown,
}

/// Tells RTP, RTCP, STUN and DTLS apart on a shared port.
#[must_use]
pub fn classify(datagram: &[u8]) -> PacketClass {
    match datagram {
        [0..=3, ..] => PacketClass::Stun,
        [20..=63, ..] => PacketClass::Dtls,
        [128..=191, 192..=223, ..] => PacketClass::Rtcp,
        [128..=191, _, ..] => PacketClass::Rtp,
        _ => PacketClass::Unknown,
    }
}

/// The fields of the fixed header that a sender chooses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RtpHeader {
    /// Marker bit; with audio the first packet of a talkspurt (RFC 3551 §4.1).
    pub marker: bool,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: SequenceNumber,
    /// Media time of the first sample.
    pub timestamp: RtpTimestamp,
    /// Synchronisation source.
    pub ssrc: Ssrc,
}

impl RtpHeader {
    /// Writes a header without CSRCs and extension, returns [`FIXED_HEADER_BYTES`].
    ///
    /// # Errors
    /// [`RtpError::Field`] for a payload type above 127, [`RtpError::BufferTooSmall`].
    pub fn write(&self, out: &mut [u8]) -> Result<usize, RtpError> {
        let out = out
            .first_chunk_mut::<FIXED_HEADER_BYTES>()
            .ok_or(RtpError::BufferTooSmall)?;
        if self.payload_type > 0x7f {
            return Err(RtpError::Field);
        }
        out[0] = VERSION << 6;
        out[1] = (u8::from(self.marker) << 7) | self.payload_type;
        out[2..4].copy_from_slice(&self.sequence.0.to_be_bytes());
        out[4..8].copy_from_slice(&self.timestamp.0.to_be_bytes());
        out[8..12].copy_from_slice(&self.ssrc.0.to_be_bytes());
        Ok(FIXED_HEADER_BYTES)
    }
}

/// Octets of the header with CSRCs and extension; `None` if the packet is none or ends before.
pub(crate) fn header_len(packet: &[u8]) -> Option<usize> {
    parse_header(packet).ok().map(|(_, _, _, len)| len)
}

/// A header extension (RFC 3550 §5.3.1), uninterpreted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RtpExtension<'a> {
    /// The profile-defined 16 bits; 0xBEDE announces one-byte elements (RFC 8285).
    pub profile: u16,
    /// The extension's body, a multiple of four octets.
    pub data: &'a [u8],
}

/// An RTP packet that borrows the datagram it was read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RtpPacket<'a> {
    /// Fixed header fields.
    pub header: RtpHeader,
    /// Contributing sources, four octets each.
    csrcs: &'a [u8],
    /// Header extension, if present.
    pub extension: Option<RtpExtension<'a>>,
    /// Payload with padding removed.
    pub payload: &'a [u8],
    /// Octets of padding that followed the payload.
    pub padding: u8,
}

impl<'a> RtpPacket<'a> {
    /// A packet with nothing but fixed header and payload.
    #[must_use]
    pub const fn new(header: RtpHeader, payload: &'a [u8]) -> Self {
        Self {
            header,
            csrcs: &[],
            extension: None,
            payload,
            padding: 0,
        }
    }

    /// Reads a packet in clear (for SRTP: after decryption, since padding is encrypted).
    ///
    /// # Errors
    /// [`RtpError`] when the octets are not a well-formed RTP packet.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, RtpError> {
        let (header, csrcs, extension, header_bytes) = parse_header(datagram)?;
        let body = datagram.get(header_bytes..).ok_or(RtpError::Truncated)?;
        let padded = datagram[0] & 0x20 != 0;
        let padding = if padded {
            let count = *body.last().ok_or(RtpError::Padding)?;
            if count == 0 || usize::from(count) > body.len() {
                return Err(RtpError::Padding);
            }
            count
        } else {
            0
        };
        Ok(Self {
            header,
            csrcs,
            extension,
            payload: &body[..body.len() - usize::from(padding)],
            padding,
        })
    }

    /// Writes the packet with extension, CSRCs and padding, returns its length.
    ///
    /// # Errors
    /// [`RtpError::BufferTooSmall`] when `out` cannot hold it, [`RtpError::Field`] when the
    /// payload type or the extension's length cannot be expressed.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, RtpError> {
        let mut at = self.header.write(out)?;
        let csrc_count = u8::try_from(self.csrcs.len() / 4).map_err(|_| RtpError::Field)?;
        out[0] |= csrc_count & 0x0f;
        at = append(out, at, self.csrcs)?;
        if let Some(extension) = self.extension {
            if !extension.data.len().is_multiple_of(4) {
                return Err(RtpError::Field);
            }
            let words = u16::try_from(extension.data.len() / 4).map_err(|_| RtpError::Field)?;
            out[0] |= 0x10;
            at = append(out, at, &extension.profile.to_be_bytes())?;
            at = append(out, at, &words.to_be_bytes())?;
            at = append(out, at, extension.data)?;
        }
        at = append(out, at, self.payload)?;
        if self.padding > 0 {
            out[0] |= 0x20;
            let end = at + usize::from(self.padding);
            let room = out.get_mut(at..end).ok_or(RtpError::BufferTooSmall)?;
            room.fill(0);
            out[end - 1] = self.padding;
            at = end;
        }
        Ok(at)
    }

    /// Contributing sources in header order, at most 15.
    pub fn csrcs(&self) -> impl Iterator<Item = Ssrc> + 'a {
        self.csrcs
            .as_chunks::<4>()
            .0
            .iter()
            .map(|octets| Ssrc(u32::from_be_bytes(*octets)))
    }
}

/// Octets of the header including CSRCs and extension: where SRTP's encrypted part begins.
///
/// # Errors
/// [`RtpError`] when the octets do not begin with a well-formed RTP header.
pub fn header_length(datagram: &[u8]) -> Result<usize, RtpError> {
    parse_header(datagram).map(|(_, _, _, length)| length)
}

/// Reads the fixed header alone; nothing is said about the rest of the datagram.
///
/// # Errors
/// [`RtpError`] when there is no fixed header of version 2.
pub fn fixed_header(datagram: &[u8]) -> Result<RtpHeader, RtpError> {
    let octets = datagram
        .first_chunk::<FIXED_HEADER_BYTES>()
        .ok_or(RtpError::Truncated)?;
    if octets[0] >> 6 != VERSION {
        return Err(RtpError::Version);
    }
    Ok(RtpHeader {
        marker: octets[1] & 0x80 != 0,
        payload_type: octets[1] & 0x7f,
        sequence: SequenceNumber(u16::from_be_bytes([octets[2], octets[3]])),
        timestamp: RtpTimestamp(u32::from_be_bytes([
            octets[4], octets[5], octets[6], octets[7],
        ])),
        ssrc: Ssrc(u32::from_be_bytes([
            octets[8], octets[9], octets[10], octets[11],
        ])),
    })
}

type HeaderParts<'a> = (RtpHeader, &'a [u8], Option<RtpExtension<'a>>, usize);

fn parse_header(datagram: &[u8]) -> Result<HeaderParts<'_>, RtpError> {
    let header = fixed_header(datagram)?;
    let csrc_end = FIXED_HEADER_BYTES + 4 * usize::from(datagram[0] & 0x0f);
    let csrcs = datagram
        .get(FIXED_HEADER_BYTES..csrc_end)
        .ok_or(RtpError::Truncated)?;
    if datagram[0] & 0x10 == 0 {
        return Ok((header, csrcs, None, csrc_end));
    }
    let profile = read_u16(datagram, csrc_end).ok_or(RtpError::Truncated)?;
    let words = read_u32(datagram, csrc_end).ok_or(RtpError::Truncated)? & 0xffff;
    let start = csrc_end + 4;
    let end = start + 4 * words as usize;
    let data = datagram.get(start..end).ok_or(RtpError::Truncated)?;
    Ok((header, csrcs, Some(RtpExtension { profile, data }), end))
}

fn append(out: &mut [u8], at: usize, bytes: &[u8]) -> Result<usize, RtpError> {
    let end = at + bytes.len();
    out.get_mut(at..end)
        .ok_or(RtpError::BufferTooSmall)?
        .copy_from_slice(bytes);
    Ok(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> RtpHeader {
        RtpHeader {
            marker: true,
            payload_type: 101,
            sequence: SequenceNumber(0xfffe),
            timestamp: RtpTimestamp(0x0102_0304),
            ssrc: Ssrc(0xdead_beef),
        }
    }

    #[test]
    fn fixed_header_has_the_bytes_of_the_rfc() {
        let mut out = [0; 12];
        assert_eq!(header().write(&mut out), Ok(12));
        assert_eq!(
            out,
            [0x80, 0xe5, 0xff, 0xfe, 1, 2, 3, 4, 0xde, 0xad, 0xbe, 0xef]
        );
        assert_eq!(fixed_header(&out), Ok(header()));
    }

    #[test]
    fn padding_csrcs_and_extension_are_separated_from_the_payload() {
        let datagram = [
            0xb1, 0x00, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, // fixed: padding, extension, 1 CSRC
            0, 0, 0, 9, // CSRC
            0xbe, 0xde, 0, 1, 0x10, 0x7f, 0, 0, // extension of one word
            0xaa, 0xbb, // payload
            0, 2, // padding
        ];
        let packet = RtpPacket::parse(&datagram).unwrap();
        assert_eq!(packet.payload, [0xaa, 0xbb]);
        assert_eq!(packet.padding, 2);
        assert_eq!(packet.csrcs().collect::<Vec<_>>(), [Ssrc(9)]);
        assert_eq!(
            packet.extension,
            Some(RtpExtension {
                profile: 0xbede,
                data: &[0x10, 0x7f, 0, 0]
            })
        );
        assert_eq!(header_length(&datagram), Ok(24));
        let mut out = [0xff; 64];
        let length = packet.write(&mut out).unwrap();
        assert_eq!(&out[..length], datagram);
    }

    #[test]
    fn malformed_packets_are_refused_with_the_reason() {
        let mut datagram = [0u8; 13];
        header().write(&mut datagram).unwrap();
        assert_eq!(RtpPacket::parse(&datagram[..11]), Err(RtpError::Truncated));
        datagram[0] = 0x40;
        assert_eq!(RtpPacket::parse(&datagram), Err(RtpError::Version));
        datagram[0] = 0xa0; // padding flag, count 0
        assert_eq!(RtpPacket::parse(&datagram), Err(RtpError::Padding));
        datagram[12] = 2; // padding longer than the body
        assert_eq!(RtpPacket::parse(&datagram), Err(RtpError::Padding));
        datagram[12] = 1;
        assert_eq!(RtpPacket::parse(&datagram).unwrap().payload, []);
        datagram[0] = 0x8f; // 15 CSRCs that are not there
        assert_eq!(RtpPacket::parse(&datagram), Err(RtpError::Truncated));
        datagram[0] = 0x90; // extension that is not there
        assert_eq!(RtpPacket::parse(&datagram), Err(RtpError::Truncated));
    }

    #[test]
    fn shared_ports_are_told_apart() {
        assert_eq!(classify(&[0x80, 0x00]), PacketClass::Rtp);
        assert_eq!(classify(&[0x80, 0xc8]), PacketClass::Rtcp);
        assert_eq!(classify(&[0x80, 0xe5]), PacketClass::Rtp); // PT 101 with marker
        assert_eq!(classify(&[0, 1]), PacketClass::Stun);
        assert_eq!(classify(&[22, 254]), PacketClass::Dtls);
        assert_eq!(classify(b"\r\n"), PacketClass::Unknown);
        assert_eq!(classify(&[]), PacketClass::Unknown);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_what_parses_writes_back(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..128),
            force_version in any::<bool>(),
        ) {
            if force_version && let Some(first) = bytes.first_mut() {
                *first = (*first & 0x3f) | 0x80;
            }
            let _ = classify(&bytes);
            let _ = header_length(&bytes);
            if let Ok(packet) = RtpPacket::parse(&bytes) {
                let mut out = [0; 256];
                let length = packet.write(&mut out).unwrap();
                prop_assert_eq!(length, bytes.len());
                let again = RtpPacket::parse(&out[..length]).unwrap();
                prop_assert_eq!(again, packet);
            }
        }
    }
}
