//! The LiveKit protocol, spoken by ourselves: clients of LiveKit reach an agent without any other
//! server.
//!
//! `endpoint` HTTP side · `grant` tokens · `join` what a client asks for when it joins · `room`
//! what it is told of the room · `packets` data packets and text streams · `session` one client
//! from join to leave · `keys` key and secret of this installation.

pub(crate) mod endpoint;
pub(crate) mod grant;
mod join;
pub mod keys;
mod packets;
mod room;
mod session;
