//! Carriers that bring calls over websockets and webhooks.
//!
//! [`adapter`] is the one seam; each carrier's messages are read and written by a file that knows
//! neither sockets nor time, and [`stream`] drives any of them.

pub mod adapter;
pub mod exotel;
pub mod piece_numberer;
pub mod request_origin;
pub mod stream;
pub mod stream_token;
pub mod twilio;
pub mod twilio_numbers;
pub mod twilio_signature;
pub mod webhooks;

use std::time::Instant;

#[expect(
    clippy::disallowed_methods,
    reason = "driver: tokens expire in real time"
)]
fn now() -> Instant {
    Instant::now()
}
