//! Audio in real time: frames, codecs, RTP, jitter, DSP, voice activity and media legs.
//!
//! The core is sans-IO: it takes packets, commands and `now`, and returns frames, packets and
//! events. Sockets, threads and the bridge into tokio live in [`net`] behind the `net` feature.

pub mod codec;
pub mod frame;
pub mod leg;
pub mod leg_queue;
