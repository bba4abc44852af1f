//! Events that the customer's servers are told of.
//!
//! `endpoints` where to, `outbox` events written in the transaction of what they tell of,
//! `schedule` when a delivery is tried again, `signature` Standard Webhooks, `message` what is
//! sent, `sender` the task that sends.

pub mod endpoints;
pub mod message;
pub mod outbox;
pub mod schedule;
pub mod sender;
pub mod signature;
