//! The endpoint on a socket: one task owns it, handles talk to that task over bounded queues.

mod call;
mod driver;
mod resolver;
mod stream;
mod udp;
mod user_agent;

pub use call::{
    Dialog, DialogEvent, IncomingCall, LateOffer, OfferResponder, OutgoingCall, OutgoingEvent,
};
pub use resolver::{ResolveError, Resolver};
pub use user_agent::{
    ListenerConfig, Registration, TlsSettings, UserAgent, UserAgentConfig, UserAgentError,
};
