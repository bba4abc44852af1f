//! Protection of what we send.

use super::cipher::{Cipher, Stream};
use super::key::SrtpKey;
use crate::rtp::packet::header_len;
use crate::rtp::{read_u16, read_u32};

/// The index of SRTCP has 31 bits; the highest tells encryption.
const ENCRYPTED: u32 = 1 << 31;

/// One direction's keys and counters. One SSRC, whose packets come in order.
#[derive(Debug)]
pub(crate) struct SrtpSender {
    rtp: Cipher,
    rtcp: Cipher,
    rollover: u32,
    last: Option<u16>,
    rtcp_index: u32,
}

impl SrtpSender {
    pub(crate) fn new(key: &SrtpKey) -> Self {
        Self {
            rtp: Cipher::new(key, Stream::Rtp),
            rtcp: Cipher::new(key, Stream::Rtcp),
            rollover: 0,
            last: None,
            rtcp_index: 0,
        }
    }

    /// Protects the RTP packet of `len` octets at the front of `buffer`; its new length, `None`
    /// if it is no packet or the buffer has no room.
    pub(crate) fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        let header = header_len(buffer.get(..len)?)?;
        let sequence = read_u16(buffer, 2)?;
        let ssrc = read_u32(buffer, 8)?;
        if self
            .last
            .is_some_and(|last| sequence < last && last - sequence > 0x8000)
        {
            self.rollover = self.rollover.wrapping_add(1);
        }
        self.last = Some(sequence);
        let index = u64::from(self.rollover) << 16 | u64::from(sequence);
        let end = len + self.rtp.tag_len();
        if end > buffer.len() {
            return None;
        }
        let (packet, rest) = buffer.split_at_mut(len);
        let (head, payload) = packet.split_at_mut(header);
        if self.rtp.is_aead() {
            let iv = self.rtp.iv(ssrc, index);
            let tag = self.rtp.seal(&iv, head, payload)?;
            rest.get_mut(..tag.len())?.copy_from_slice(&tag);
        } else {
            self.rtp.apply(ssrc, index, payload);
            let tag = self.rtp.tag(&[packet, &self.rollover.to_be_bytes()]);
            let wanted = self.rtp.tag_len();
            rest.get_mut(..wanted)?.copy_from_slice(&tag[..wanted]);
        }
        Some(end)
    }

    /// Protects the compound RTCP packet of `len` octets at the front of `buffer`.
    pub(crate) fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        if len < 8 || len + self.rtcp.tag_len() + 4 > buffer.len() {
            return None;
        }
        let ssrc = read_u32(buffer, 4)?;
        let index = self.rtcp_index;
        self.rtcp_index = (self.rtcp_index + 1) & !ENCRYPTED;
        let word = (index | ENCRYPTED).to_be_bytes();
        let (packet, rest) = buffer.split_at_mut(len);
        let (head, payload) = packet.split_at_mut(8);
        if self.rtcp.is_aead() {
            let mut aad = [0; 12];
            aad[..8].copy_from_slice(head);
            aad[8..].copy_from_slice(&word);
            let iv = self.rtcp.iv(ssrc, u64::from(index));
            let tag = self.rtcp.seal(&iv, &aad, payload)?;
            rest.get_mut(..tag.len())?.copy_from_slice(&tag);
            rest.get_mut(tag.len()..tag.len() + 4)?
                .copy_from_slice(&word);
            return Some(len + tag.len() + 4);
        }
        self.rtcp.apply(ssrc, u64::from(index), payload);
        let tag = self.rtcp.tag(&[packet, &word]);
        let wanted = self.rtcp.tag_len();
        rest.get_mut(..4)?.copy_from_slice(&word);
        rest.get_mut(4..4 + wanted)?.copy_from_slice(&tag[..wanted]);
        Some(len + 4 + wanted)
    }
}
