//! From packets as they arrive to media in order, for the direction to the recogniser.
//!
//! There is no playout clock here: a packet leaves [`JitterBuffer`] the moment it is next in
//! sequence, and only a gap makes it wait. [`Concealer`] fills what is lost after decoding. A
//! clocked consumer (bridging to another party) would stand behind the same buffer and take its
//! spans by position.

pub mod buffer;
pub mod concealment;
pub mod config;
pub mod delay_estimator;
pub mod span;
pub mod timeline;

pub use buffer::JitterBuffer;
pub use concealment::Concealer;
pub use config::JitterConfig;
pub use delay_estimator::{DelayConfig, DelayEstimator};
pub use span::{BufferedPacket, Insert, JitterCounters, LostSpan, PacketKind, Pop, SilentSpan};
