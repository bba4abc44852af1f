//! Transactions (RFC 3261 §17, RFC 6026) as state machines without sockets or clock.

mod client_invite;
mod client_non_invite;
mod key;
mod server_invite;
mod server_non_invite;
mod table;
mod timers;

pub(crate) use client_invite::{ClientInvite, InviteResponse};
pub(crate) use client_non_invite::ClientNonInvite;
pub(crate) use key::{ClientKey, ServerKey};
pub(crate) use server_invite::ServerInvite;
pub(crate) use server_non_invite::ServerNonInvite;
pub(crate) use table::{Deadline, Table};
pub use timers::Timers;
pub(crate) use timers::{Due, Repeat};
