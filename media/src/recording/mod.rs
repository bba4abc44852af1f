//! Recording of a leg: the caller on the left channel, the agent on the right.
//!
//! Both channels lie on the leg's one timeline (position 0 is the leg's first tick), and each
//! packet lies where it passed this point: the agent's where it was sent, after ducking and
//! clearing; the caller's where the first packet arrived and from there on by its own clock, so
//! that jitter leaves no trace. On a carrier's stream, which takes audio ahead of time, the
//! agent's audio lies where the carrier plays it. Nothing is shifted by delays of the network.

#[cfg(feature = "net")]
pub mod recorder;
pub mod tap;
pub mod timeline;
pub mod wav;

/// Which party a run of samples belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Channel {
    /// The caller, left.
    Caller,
    /// The agent, right.
    Agent,
}

/// How a recording ended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecordingSummary {
    /// Length of the file in ms.
    pub duration_ms: u64,
    /// Runs of up to 20 ms lost because the recorder was too slow.
    pub blocks_dropped: u64,
    /// Runs that came after their place had been written.
    pub blocks_late: u64,
    /// What the file system refused, if it did; the file then ends before the call.
    pub error: Option<std::io::ErrorKind>,
}
