//! An RTP leg as SDP describes it.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::codec::Codec;
use crate::protocol::MediaLimits;
use crate::random::SplitMix;
use crate::rtp::Ssrc;
use crate::rtp::srtp::SrtpKeys;

/// Most payload types of audio a leg accepts.
pub const RECEIVE_PAYLOADS_MAX: usize = 6;
/// Delay assumed between a packet leaving us and the caller hearing it, until RTCP tells more.
pub const ONE_WAY_MS: u32 = 60;

/// A payload type and what it means (`a=rtpmap`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RtpPayload {
    /// RTP payload type, 0 to 127.
    pub payload_type: u8,
    /// The encoding.
    pub codec: Codec,
}

/// A payload type of RFC 4733 telephone events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TelephoneEvent {
    /// RTP payload type, 0 to 127.
    pub payload_type: u8,
    /// Clock rate in Hz.
    pub clock: u32,
}

/// Where the peer wants its media, as its SDP says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RtpRemote {
    /// Address for RTP.
    pub rtp: SocketAddr,
    /// Address for RTCP (`a=rtcp`); `None` means the RTP port plus one.
    pub rtcp: Option<SocketAddr>,
    /// Whether RTCP shares the RTP port (RFC 5761).
    pub rtcp_mux: bool,
}

/// The negotiated part of an RTP leg: everything an answer or a re-INVITE can change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RtpMedia {
    /// What we send.
    pub send: RtpPayload,
    /// What we accept; at most [`RECEIVE_PAYLOADS_MAX`], at least one.
    pub receive: Vec<RtpPayload>,
    /// Telephone events the peer accepts; `None` sends key presses as tones.
    pub send_events: Option<TelephoneEvent>,
    /// Telephone events we accept.
    pub receive_events: Vec<TelephoneEvent>,
    /// Payload type of RFC 3389 comfort noise we accept (13 when the peer may use it).
    pub comfort_noise: Option<u8>,
    /// Where to send until the peer's real source is known; `None` waits for its first packets.
    pub remote: Option<RtpRemote>,
    /// Milliseconds of audio in each packet we send: 10, 20, 40 or 60.
    pub ptime_ms: u32,
    /// Keys of both directions; `None` is plain RTP (RFC 3711, RFC 4568).
    pub srtp: Option<SrtpKeys>,
    /// Whether our audio goes out (`sendrecv`, `sendonly`).
    pub sending: bool,
    /// Whether the peer's audio is expected; the media timeout stands still when not.
    pub receiving: bool,
    /// How the peer's packets are told from a stranger's.
    pub source: RtpSource,
}

/// How the peer's packets are told from a stranger's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RtpSource {
    /// By where they come from ([`crate::protocol::source_latch`]).
    Address,
    /// By their authenticity alone, wherever they come from; ours go exactly to
    /// [`RtpMedia::remote`], which ICE keeps right. Without keys nothing is taken.
    Authentic,
}

impl RtpMedia {
    /// Both ways with one codec, 20 ms packets, towards `remote`.
    #[must_use]
    pub fn new(payload: RtpPayload, remote: Option<RtpRemote>) -> Self {
        Self {
            send: payload,
            receive: vec![payload],
            send_events: None,
            receive_events: Vec::new(),
            comfort_noise: Some(13),
            remote,
            ptime_ms: 20,
            srtp: None,
            sending: true,
            receiving: true,
            source: RtpSource::Address,
        }
    }
}

/// How to set up an RTP leg.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RtpLegConfig {
    /// The negotiated part.
    pub media: RtpMedia,
    /// Media timeouts.
    pub limits: MediaLimits,
    /// Canonical name in RTCP (RFC 3550 §6.5.1).
    pub cname: String,
    /// Delay assumed from our wire to the caller's ear, in ms, until RTCP tells more.
    pub one_way_ms: u32,
    /// Seed of SSRC, first sequence number, first timestamp and RTCP intervals; must differ and
    /// be unpredictable for each leg.
    pub seed: u64,
    /// Where to record both parties; `None` records nothing.
    pub recording: Option<PathBuf>,
    /// Whether our own voice is taken out of what comes back. For telephones; a browser does it
    /// itself.
    pub echo_control: bool,
}

impl RtpLegConfig {
    /// The SSRC that the leg will send with.
    #[must_use]
    pub fn ssrc(&self) -> Ssrc {
        Ssrc(SplitMix::new(self.seed).next_u32())
    }

    /// Default limits and delays for `media`, with echo control.
    #[must_use]
    pub fn new(media: RtpMedia, cname: impl Into<String>, seed: u64) -> Self {
        Self {
            media,
            limits: MediaLimits::default(),
            cname: cname.into(),
            one_way_ms: ONE_WAY_MS,
            seed,
            recording: None,
            echo_control: true,
        }
    }
}
