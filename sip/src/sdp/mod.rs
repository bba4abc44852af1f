//! Session descriptions (RFC 4566) and the offer/answer model for one audio stream (RFC 3264).

mod crypto;
mod description;
mod offer_answer;
mod parse;
mod write;

pub use crypto::LocalSrtp;
pub use description::{
    Attribute, Connection, Direction, MediaDescription, Origin, SessionDescription,
};
pub use offer_answer::{
    CodecPreference, LocalMedia, NegotiatedAudio, NegotiationError, TelephoneEvent, accept_answer,
    negotiate, offer,
};
pub use parse::{MEDIA_MAX, SDP_LINES_MAX, SdpError};

/// Media type of session descriptions.
pub const SDP_MEDIA_TYPE: &str = "application/sdp";

#[cfg(test)]
mod tests;
