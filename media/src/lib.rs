//! Audio in real time: frames, codecs, RTP, jitter, DSP, voice activity and media legs.
//!
//! The core is sans-IO: it takes packets, commands and `now`, and returns frames, packets and
//! events. Sockets, threads and the bridge into tokio live in [`net`] behind the `net` feature.

pub mod codec;
pub mod dsp;
pub mod frame;
pub mod jitter;
pub mod leg;
mod leg_core;
pub mod leg_orders;
pub mod leg_queue;
#[cfg(feature = "net")]
pub mod net;
mod playout;
pub mod protocol;
mod random;
pub mod recording;
pub mod relay;
pub mod rtp;
pub mod session;
mod session_events;
mod session_inbound;
mod session_outbound;
mod speech_journal;
pub mod vad;
#[cfg(feature = "webrtc")]
pub mod webrtc;
