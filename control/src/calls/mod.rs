//! Calls: who is on the line, what is kept of them, how they end.

pub mod admission;
pub mod controller;
pub mod events;
pub mod history;
pub mod id;
pub mod outcome;
pub mod queries;
pub mod record;
pub mod recovery;
pub mod registry;
pub mod sent_on;
