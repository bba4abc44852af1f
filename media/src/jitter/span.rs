//! What goes into a [`super::JitterBuffer`] and what comes out.

use std::time::Instant;

use crate::frame::SamplePosition;
use crate::rtp::{ExtendedSequence, RtpTimestamp};

/// What a packet of the sequence carries; the caller knows by payload type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PacketKind {
    /// Encoded audio.
    Audio,
    /// A description of background noise (RFC 3389, or an Opus packet of at most 2 octets):
    /// audio is silent from here on.
    ComfortNoise,
    /// A key press (RFC 4733): it takes a sequence number but no audio is missing there.
    Event,
}

/// What became of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Insert {
    /// Kept, or noted if it is an event.
    Stored,
    /// Kept, and a new source or sequence begins with it: a codec with memory must be reset when
    /// its packets come out (they carry [`BufferedPacket::sync`]).
    NewSync,
    /// Seen before.
    Duplicate,
    /// Its place has been given up.
    Late,
    /// Of another source or far off the sequence: kept aside until a second one confirms it.
    Probation,
    /// Larger than a slot.
    Oversized,
    /// An event that does not belong to the audio's sequence.
    Foreign,
}

/// A packet in its turn. Borrows its payload until the next call.
#[derive(Clone, Copy, Debug)]
pub struct BufferedPacket<'a> {
    /// The payload.
    pub payload: &'a [u8],
    /// Payload type, to choose the decoder.
    pub payload_type: u8,
    /// [`PacketKind::Audio`] or [`PacketKind::ComfortNoise`].
    pub kind: PacketKind,
    /// Sequence number.
    pub sequence: ExtendedSequence,
    /// RTP timestamp.
    pub timestamp: RtpTimestamp,
    /// Where its first sample lies.
    pub position: SamplePosition,
    /// How many samples it lasts at [`FRAME_RATE`](crate::frame::FRAME_RATE); zero for comfort noise.
    pub samples: u32,
    /// When it arrived.
    pub received_at: Instant,
    /// The first of a source or of a restarted sequence.
    pub sync: bool,
    /// `position` is not where the span before ended, since the timeline caught up with arrival;
    /// a partly filled frame must be closed first.
    pub jumped: bool,
}

/// A span whose packets did not come: conceal it.
#[derive(Clone, Copy, Debug)]
pub struct LostSpan<'a> {
    /// Where it begins.
    pub position: SamplePosition,
    /// How many samples it lasts at [`FRAME_RATE`](crate::frame::FRAME_RATE); at most one packet.
    pub samples: u32,
    /// The payload behind the gap when this span borders on it (in-band FEC).
    pub next: Option<&'a [u8]>,
}

/// A span in which the sender sent nothing on purpose: comfort noise or silence, no loss.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SilentSpan {
    /// Where it begins.
    pub position: SamplePosition,
    /// How many samples it lasts at [`FRAME_RATE`](crate::frame::FRAME_RATE), at most one second.
    pub samples: u32,
}

/// What comes next. Spans follow each other without hole or overlap, except where a packet says
/// [`BufferedPacket::jumped`].
#[derive(Clone, Copy, Debug)]
pub enum Pop<'a> {
    /// The next packet in sequence.
    Packet(BufferedPacket<'a>),
    /// Media is missing and is not waited for any longer.
    Lost(LostSpan<'a>),
    /// The sender is silent.
    Silent(SilentSpan),
    /// Nothing yet.
    Wait {
        /// When to ask again if no packet comes before; `None` while no source is known.
        until: Option<Instant>,
    },
}

/// What happened so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct JitterCounters {
    /// Packets inserted, of whatever fate.
    pub received: u64,
    /// Packets given out.
    pub delivered: u64,
    /// Packets that never came, those that came late excluded.
    pub lost: u64,
    /// Packets that came after their place was given up.
    pub late: u64,
    /// Packets seen before.
    pub duplicate: u64,
    /// Packets that came after a younger one and were still used.
    pub reordered: u64,
    /// Packets dropped because the buffer was full or its source was replaced.
    pub overflowed: u64,
    /// Packets too large for a slot.
    pub oversized: u64,
    /// New sources and restarted sequences, the first one included.
    pub syncs: u64,
}
