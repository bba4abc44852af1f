//! Drivers: media worker threads, sockets and the bridge into tokio.

mod bridge;
pub mod control;
pub mod counters;
pub mod datagram_port;
pub mod engine;
pub mod ports;
mod slots;
mod worker;
