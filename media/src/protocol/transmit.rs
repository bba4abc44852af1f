//! Packets a leg wants sent.

use std::net::SocketAddr;

use crate::protocol::rtp_media::PACKET_SAMPLES_MAX;
use crate::rtp::packet::FIXED_HEADER_BYTES;
use crate::rtp::srtp;

/// Packets of one tick: two of audio when the peer wants 10 ms, one of RTCP, and one to spare.
const PACKETS_MAX: usize = 4;
/// Octets of the largest packet: 60 ms of an encoding with one octet per sample.
pub(crate) const PACKET_BYTES_MAX: usize =
    FIXED_HEADER_BYTES + PACKET_SAMPLES_MAX + srtp::OVERHEAD_MAX;

/// Which of a leg's two ports a packet belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RtpPort {
    /// The even one; RTCP too when multiplexed.
    Rtp,
    /// The odd one.
    Rtcp,
}

/// A packet to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transmit<'a> {
    /// From which port.
    pub port: RtpPort,
    /// Where to.
    pub to: SocketAddr,
    /// What.
    pub packet: &'a [u8],
}

#[derive(Debug)]
struct Slot {
    port: RtpPort,
    to: SocketAddr,
    len: usize,
    bytes: [u8; PACKET_BYTES_MAX],
}

/// The packets of a tick, in buffers of the leg.
#[derive(Debug)]
pub(crate) struct TransmitQueue {
    slots: Box<[Slot]>,
    filled: usize,
    taken: usize,
}

impl TransmitQueue {
    pub(crate) fn new() -> Self {
        let slot = || Slot {
            port: RtpPort::Rtp,
            to: SocketAddr::from(([0, 0, 0, 0], 0)),
            len: 0,
            bytes: [0; PACKET_BYTES_MAX],
        };
        Self {
            slots: (0..PACKETS_MAX).map(|_| slot()).collect(),
            filled: 0,
            taken: 0,
        }
    }

    /// Has `write` fill a buffer; it returns the octets written, or `None` for no packet. Packets
    /// that the driver has not taken make way.
    pub(crate) fn push(
        &mut self,
        port: RtpPort,
        to: SocketAddr,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) {
        if self.taken == self.filled || self.filled == self.slots.len() {
            self.taken = 0;
            self.filled = 0;
        }
        let slot = &mut self.slots[self.filled];
        if let Some(len) = write(&mut slot.bytes) {
            (slot.port, slot.to, slot.len) = (port, to, len);
            self.filled += 1;
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Transmit<'_>> {
        let slot = self.slots[..self.filled].get(self.taken)?;
        self.taken += 1;
        Some(Transmit {
            port: slot.port,
            to: slot.to,
            packet: &slot.bytes[..slot.len],
        })
    }
}
