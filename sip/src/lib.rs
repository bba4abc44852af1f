//! SIP signalling: messages, transactions, dialogs, SDP offer/answer (RFC 3261 and extensions).
//!
//! [`endpoint::Endpoint`] is the whole of it without sockets or clock; [`net`] puts it on UDP
//! with tokio.

pub mod auth;
pub mod dialog;
pub mod endpoint;
pub mod event;
pub mod guard;
pub mod identity;
pub mod message;
#[cfg(feature = "net")]
pub mod net;
pub mod reason;
pub mod registrar;
pub mod sdp;
pub mod transaction;
pub mod transport;
