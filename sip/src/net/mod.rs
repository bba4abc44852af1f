//! The endpoint on a socket: one task owns it, handles talk to that task over bounded queues.

mod call;
mod driver;
mod udp;
mod user_agent;

pub use call::{
    Dialog, DialogEvent, IncomingCall, LateOffer, OfferResponder, OutgoingCall, OutgoingEvent,
};
pub use user_agent::{UserAgent, UserAgentConfig, UserAgentError};
