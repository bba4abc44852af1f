//! Which source a leg listens and sends to (symmetric RTP, RFC 4961).
//!
//! Until the peer has been heard we send to the address of its SDP. A source that proves steady
//! becomes the peer, wherever SDP said it would be: networks translate addresses. From then on
//! strangers are refused as long as the peer is heard, so that nobody can steal the audio by
//! sending some of his own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::rtp::{RtpHeader, SequenceNumber, Ssrc};

/// Packets in order that make an unexpected source the peer while there is none.
const LATCH_PACKETS: u8 = 2;
/// Packets in order that make a stranger the peer after the old one fell silent.
const SWITCH_PACKETS: u8 = 5;
/// Silence of the peer before a stranger may take its place.
const SWITCH_SILENCE: Duration = Duration::from_secs(1);
/// Step in sequence numbers that still counts as in order.
const STEP_MAX: u16 = 8;

/// What to do with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is from the peer.
    Accept,
    /// It is from the peer, whose address has changed with it.
    Latched,
    /// It is from a source that has yet to prove itself.
    Probation,
    /// It is from a stranger.
    Reject,
}

/// Tells the peer's packets from others.
#[derive(Clone, Debug)]
pub struct SourceLatch {
    described: Option<SocketAddr>,
    peer: Option<SocketAddr>,
    heard_at: Option<Instant>,
    candidate: Option<Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    address: SocketAddr,
    ssrc: Ssrc,
    last: SequenceNumber,
    packets: u8,
}

impl SourceLatch {
    /// Nobody has been heard; SDP names `described`.
    #[must_use]
    pub const fn new(described: Option<SocketAddr>) -> Self {
        Self {
            described,
            peer: None,
            heard_at: None,
            candidate: None,
        }
    }

    /// Takes the address of a new description. A different one than before makes the peer prove
    /// itself again.
    pub fn describe(&mut self, described: Option<SocketAddr>) {
        if described.is_some() && described != self.described {
            *self = Self::new(described);
        }
    }

    /// Judges a packet of a known payload type that came from `from`.
    pub fn judge(&mut self, now: Instant, from: SocketAddr, header: &RtpHeader) -> Verdict {
        if self.peer == Some(from) {
            self.heard_at = Some(now);
            self.candidate = None;
            return Verdict::Accept;
        }
        let heard_lately = self
            .heard_at
            .is_some_and(|at| now.saturating_duration_since(at) < SWITCH_SILENCE);
        if self.peer.is_some() && heard_lately {
            self.candidate = None;
            return Verdict::Reject;
        }
        let packets = self.count(from, header);
        let expected = self.peer.is_none() && self.described == Some(from);
        let wanted = match self.peer {
            _ if expected => 1,
            None => LATCH_PACKETS,
            Some(_) => SWITCH_PACKETS,
        };
        if packets < wanted {
            return Verdict::Probation;
        }
        self.peer = Some(from);
        self.heard_at = Some(now);
        self.candidate = None;
        Verdict::Latched
    }

    /// Where to send.
    #[must_use]
    pub fn target(&self) -> Option<SocketAddr> {
        self.peer.or(self.described)
    }

    /// The source that has proved itself.
    #[must_use]
    pub const fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Packets in order that `from` has sent now.
    fn count(&mut self, from: SocketAddr, header: &RtpHeader) -> u8 {
        let before = self
            .candidate
            .filter(|c| c.address == from && c.ssrc == header.ssrc)
            .filter(|c| {
                let step = header.sequence.0.wrapping_sub(c.last.0);
                (1..=STEP_MAX).contains(&step)
            });
        let packets = before.map_or(0, |c| c.packets).saturating_add(1);
        self.candidate = Some(Candidate {
            address: from,
            ssrc: header.ssrc,
            last: header.sequence,
            packets,
        });
        packets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::RtpTimestamp;

    #[expect(clippy::disallowed_methods, reason = "origin of virtual time")]
    fn origin() -> Instant {
        Instant::now()
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    const fn header(ssrc: u32, sequence: u16) -> RtpHeader {
        RtpHeader {
            marker: false,
            payload_type: 0,
            sequence: SequenceNumber(sequence),
            timestamp: RtpTimestamp(0),
            ssrc: Ssrc(ssrc),
        }
    }

    #[test]
    fn the_described_source_is_heard_from_its_first_packet() {
        let mut latch = SourceLatch::new(Some(address(1)));
        assert_eq!(latch.target(), Some(address(1)));
        let verdict = latch.judge(origin(), address(1), &header(7, 1));
        assert_eq!(verdict, Verdict::Latched);
        let verdict = latch.judge(origin(), address(2), &header(8, 1));
        assert_eq!(verdict, Verdict::Reject);
    }

    #[test]
    fn another_source_must_send_in_order_first() {
        let t0 = origin();
        let mut latch = SourceLatch::new(Some(address(1)));
        assert_eq!(
            latch.judge(t0, address(2), &header(7, 65_535)),
            Verdict::Probation
        );
        assert_eq!(
            latch.judge(t0, address(2), &header(7, 40_000)),
            Verdict::Probation
        );
        assert_eq!(latch.target(), Some(address(1)));
        assert_eq!(
            latch.judge(t0, address(2), &header(7, 40_001)),
            Verdict::Latched
        );
        assert_eq!(latch.target(), Some(address(2)));
    }

    #[test]
    fn a_stranger_takes_over_only_after_silence_and_when_steady() {
        let t0 = origin();
        let mut latch = SourceLatch::new(Some(address(1)));
        latch.judge(t0, address(1), &header(7, 1));
        for sequence in 0..100 {
            let now = t0 + Duration::from_millis(u64::from(sequence) * 20);
            latch.judge(now, address(1), &header(7, sequence + 2));
            let verdict = latch.judge(now, address(9), &header(9, sequence));
            assert_eq!(verdict, Verdict::Reject);
        }
        let silent = t0 + Duration::from_secs(10);
        let verdicts: Vec<_> = (100..106)
            .map(|sequence| latch.judge(silent, address(9), &header(9, sequence)))
            .collect();
        assert_eq!(verdicts[..4], [Verdict::Probation; 4]);
        assert_eq!(verdicts[4..], [Verdict::Latched, Verdict::Accept]);
        assert_eq!(latch.peer(), Some(address(9)));
    }

    #[test]
    fn a_new_description_asks_for_a_new_proof() {
        let t0 = origin();
        let mut latch = SourceLatch::new(Some(address(1)));
        latch.judge(t0, address(1), &header(7, 1));
        latch.describe(Some(address(1)));
        assert_eq!(latch.peer(), Some(address(1)));
        latch.describe(None);
        assert_eq!(latch.peer(), Some(address(1)));
        latch.describe(Some(address(5)));
        assert_eq!((latch.peer(), latch.target()), (None, Some(address(5))));
    }
}
