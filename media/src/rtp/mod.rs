//! The Real-time Transport Protocol: packets, sequence rules, statistics, RTCP and key presses
//! (RFC 3550, RFC 3551, RFC 4733, RFC 5761).
//!
//! Everything here is sans-IO and works in the caller's buffers. Bytes from the network never
//! panic: they are read through checked slices and refused with [`RtpError`].

pub mod dtmf_event;
pub mod packet;
pub mod packetizer;
pub mod reception_stats;
pub mod rtcp;
pub mod sequence;
pub mod srtp;
pub mod timestamp;

pub use packet::{PacketClass, RtpHeader, RtpPacket, classify};
pub use sequence::{ExtendedSequence, SequenceNumber};
pub use timestamp::{NtpTime, RtpTimestamp, Ssrc};

/// Why bytes are not RTP or RTCP, or why a packet could not be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RtpError {
    /// The packet ends before what its header announces.
    #[error("packet is truncated")]
    Truncated,
    /// The version is not 2.
    #[error("protocol version is not 2")]
    Version,
    /// The padding count is zero or larger than the packet.
    #[error("padding is malformed")]
    Padding,
    /// A field that the format limits is out of range.
    #[error("field is out of range")]
    Field,
    /// The output does not fit the caller's buffer.
    #[error("output buffer is too small")]
    BufferTooSmall,
}

/// Reads a big-endian 16-bit number at `at`.
pub(crate) fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    let (chunk, _) = bytes.get(at..)?.split_first_chunk::<2>()?;
    Some(u16::from_be_bytes(*chunk))
}

/// Reads a big-endian 32-bit number at `at`.
pub(crate) fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let (chunk, _) = bytes.get(at..)?.split_first_chunk::<4>()?;
    Some(u32::from_be_bytes(*chunk))
}
