//! Encryption and authentication of RTP and RTCP (RFC 3711, RFC 7714), keyed by SDES (RFC 4568).
//!
//! Sans-IO and without allocation per packet: packets are changed in the caller's buffers.

mod cipher;
mod key;
mod receive;
mod replay;
mod send;

pub use key::{SrtpKey, SrtpKeyError, SrtpSuite};
pub(crate) use receive::SrtpReceiver;
pub(crate) use send::SrtpSender;

#[cfg(test)]
mod tests;

/// Most octets that protection adds to a packet: a GCM tag and the SRTCP index.
pub(crate) const OVERHEAD_MAX: usize = 20;

/// Master keys of both directions, as SDP agreed on them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SrtpKeys {
    /// Of what we send.
    pub send: SrtpKey,
    /// Of what we receive.
    pub receive: SrtpKey,
}
