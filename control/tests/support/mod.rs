//! What the tests with real peers share.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(unreachable_pub, reason = "a module of tests has no outside")]
#![allow(
    clippy::disallowed_methods,
    reason = "real peers are watched by the real clock"
)]

pub mod baresip;
pub mod called_party;
pub mod conversation;
pub mod owner;
pub mod server;
pub mod sipp;
