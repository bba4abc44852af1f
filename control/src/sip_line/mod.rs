//! Calls over SIP: from the INVITE to the BYE.

mod answer;
mod bridge;
mod dialog;
mod inbound;
mod listen;
mod media;
pub mod outbound;
mod renegotiation;
mod tls;
mod transfer;
pub mod trunks;
mod variables;

pub use self::inbound::accept_calls;
pub use self::listen::bind_user_agent;
pub(crate) use self::media::rtp_media;
