//! A browser's connection (RFC 8825) without its audio: ICE, DTLS and data channels.
//!
//! All of it is sans-IO. The audio of such a call is an ordinary RTP leg, with the keys and the
//! address that come out of here ([`crate::protocol::rtp_media::PreparedMedia`]); so jitter buffer,
//! concealment, SRTP and recording are those of every other call.

pub mod certificate;
mod data_channels;
mod dcep;
pub mod sdp;
mod stun;
pub mod transport;

pub use certificate::Certificate;
pub use stun::{IceCredentials, write_check};
pub use transport::{PeerTransport, TransportEvent};

/// Why a connection cannot be set up or has failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebRtcError {
    /// The certificate could not be made.
    #[error("the certificate cannot be made")]
    Certificate,
    /// The DTLS stack refuses its settings.
    #[error("DTLS cannot be set up")]
    Dtls,
}
