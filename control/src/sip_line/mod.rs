//! Calls over SIP: from the INVITE to the BYE.

mod dialog;
mod inbound;
mod media;
mod transfer;

pub use self::inbound::accept_calls;
pub use self::media::advertised_address;
pub(crate) use self::media::rtp_media;
