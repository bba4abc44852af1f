//! Checking and decrypting of what comes.

use super::cipher::{Cipher, Stream};
use super::key::SrtpKey;
use super::replay::ReplayWindow;
use crate::rtp::packet::header_len;
use crate::rtp::{read_u16, read_u32};

const ENCRYPTED: u32 = 1 << 31;
/// Sources remembered; peers change theirs now and then. A new one takes the place of the one
/// unheard for longest, once it has proved itself.
const SOURCES: usize = 4;

/// Counters of one SSRC.
#[derive(Clone, Copy, Debug, Default)]
struct Source {
    ssrc: u32,
    rtp: ReplayWindow,
    rtcp: ReplayWindow,
    used: u64,
}

/// One direction's keys and counters.
#[derive(Debug)]
pub(crate) struct SrtpReceiver {
    rtp: Cipher,
    rtcp: Cipher,
    sources: [Source; SOURCES],
    packets: u64,
}

impl SrtpReceiver {
    pub(crate) fn new(key: &SrtpKey) -> Self {
        Self {
            rtp: Cipher::new(key, Stream::Rtp),
            rtcp: Cipher::new(key, Stream::Rtcp),
            sources: [Source::default(); SOURCES],
            packets: 0,
        }
    }

    /// Checks and decrypts an SRTP packet in place: the length of the RTP packet at its front.
    /// `None` if it is not authentic, or was seen before; nothing is remembered of it then.
    pub(crate) fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Option<usize> {
        let tag = self.rtp.tag_len();
        let len = packet.len().checked_sub(tag)?;
        let header = header_len(packet.get(..len)?)?;
        let sequence = read_u16(packet, 2)?;
        let ssrc = read_u32(packet, 8)?;
        let source = self.source(ssrc);
        let index = estimate(source.rtp.highest(), sequence)?;
        if !source.rtp.is_new(index) {
            return None;
        }
        if self.rtp.is_aead() {
            let (body, tag) = packet.split_at_mut(len);
            let (head, payload) = body.split_at_mut(header);
            let iv = self.rtp.iv(ssrc, index);
            if !self.rtp.open(&iv, head, payload, tag) {
                return None;
            }
        } else {
            let rollover = ((index >> 16) as u32).to_be_bytes();
            let (body, given) = packet.split_at_mut(len);
            let expected = self.rtp.tag(&[body, &rollover]);
            if !equal(&expected[..tag], given) {
                return None;
            }
            self.rtp.apply(ssrc, index, body.get_mut(header..)?);
        }
        self.note(ssrc, |source| source.rtp.note(index));
        Some(len)
    }

    /// Checks and decrypts a compound SRTCP packet in place.
    pub(crate) fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Option<usize> {
        let tag = self.rtcp.tag_len();
        let len = packet.len().checked_sub(tag + 4).filter(|len| *len >= 8)?;
        let ssrc = read_u32(packet, 4)?;
        let aead = self.rtcp.is_aead();
        let word = read_u32(packet, if aead { len + tag } else { len })?;
        let (index, encrypted) = (u64::from(word & !ENCRYPTED), word & ENCRYPTED != 0);
        if !self.source(ssrc).rtcp.is_new(index) {
            return None;
        }
        if aead {
            // Without encryption nobody sends here; RFC 7714 §9.3 allows it, and we do not.
            if !encrypted {
                return None;
            }
            let iv = self.rtcp.iv(ssrc, index);
            let (body, rest) = packet.split_at_mut(len);
            let (head, payload) = body.split_at_mut(8);
            let mut aad = [0; 12];
            aad[..8].copy_from_slice(head);
            aad[8..].copy_from_slice(&word.to_be_bytes());
            if !self.rtcp.open(&iv, &aad, payload, rest.get(..tag)?) {
                return None;
            }
        } else {
            let expected = self.rtcp.tag(&[packet.get(..len + 4)?]);
            if !equal(&expected[..tag], packet.get(len + 4..)?) {
                return None;
            }
            if encrypted {
                self.rtcp.apply(ssrc, index, packet.get_mut(8..len)?);
            }
        }
        self.note(ssrc, |source| source.rtcp.note(index));
        Some(len)
    }

    fn source(&self, ssrc: u32) -> Source {
        self.sources
            .iter()
            .find(|source| source.used > 0 && source.ssrc == ssrc)
            .copied()
            .unwrap_or_default()
    }

    fn note(&mut self, ssrc: u32, change: impl FnOnce(&mut Source)) {
        self.packets += 1;
        let known = self
            .sources
            .iter()
            .position(|source| source.used > 0 && source.ssrc == ssrc);
        let at = known.unwrap_or_else(|| {
            let oldest = self.sources.iter().enumerate().min_by_key(|(_, s)| s.used);
            oldest.map_or(0, |(at, _)| at)
        });
        let source = &mut self.sources[at];
        if known.is_none() {
            *source = Source {
                ssrc,
                ..Source::default()
            };
        }
        source.used = self.packets;
        change(source);
    }
}

/// The packet index by the sequence number nearest to the highest seen (RFC 3711 §3.3.1).
fn estimate(highest: Option<u64>, sequence: u16) -> Option<u64> {
    let Some(highest) = highest else {
        return Some(u64::from(sequence));
    };
    let rollover = highest >> 16;
    let last = highest as u16;
    let rollover = if last < 0x8000 {
        if i32::from(sequence) - i32::from(last) > 0x8000 {
            // Before the first packet there is nothing.
            rollover.checked_sub(1)?
        } else {
            rollover
        }
    } else if i32::from(last) - 0x8000 > i32::from(sequence) {
        rollover + 1
    } else {
        rollover
    };
    Some(rollover << 16 | u64::from(sequence))
}

/// Comparison in time that tells nothing.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}
