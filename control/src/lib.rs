//! The product: configuration, calls, carriers, store, API and metrics of the `samvad` server.

pub mod agents;
pub mod api;
pub mod app;
pub mod billing;
pub mod calls;
pub mod campaigns;
pub mod carriers;
pub mod chats;
pub mod cli;
pub mod clock;
pub mod config;
mod console;
mod descriptors;
mod housekeeping;
pub mod identity;
pub mod livekit;
pub mod numbers;
pub mod outbound;
pub mod records;
pub mod services;
pub mod shutdown;
pub mod sip_line;
pub mod store;
pub mod telemetry;
pub mod tools;
pub mod webhooks;
pub(crate) mod webrtc;
