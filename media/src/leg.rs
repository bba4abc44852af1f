//! The handle by which the rest of the house holds one party's audio.
//!
//! A media worker thread owns the leg itself. What crosses to the asynchronous side goes through
//! bounded single-producer queues; a test simply holds the other ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::dsp::echo::EchoReport;
use crate::frame::SamplePosition;

/// Identifies a leg within the process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LegId(pub u64);

/// Identifies one piece of speech handed to a leg for playing.
///
/// Segments play in the order they are queued. A segment may be sent in several
/// [`LegCommand::Play`] commands while it is still being synthesized.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SegmentId(pub u64);

/// Counts interruptions: what belongs to an older generation than the leg's is dropped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Generation(pub u32);

/// A run of PCM at [`crate::frame::FRAME_RATE`], shared so that caches can hold it too.
#[derive(Clone, Debug)]
pub struct SpeechChunk {
    /// The segment it belongs to.
    pub segment: SegmentId,
    /// The generation it was made for.
    pub generation: Generation,
    /// PCM; empty is allowed together with `last`.
    pub pcm: Arc<[i16]>,
    /// Sample of `pcm` to begin with, used when speech is resumed.
    pub start: usize,
    /// Whether the segment ends with this chunk.
    pub last: bool,
}

/// What the conversation can ask of a leg. Taken by the worker at the leg's next tick.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LegCommand {
    /// Append speech to the playout queue; dropped if its generation is stale.
    Play(SpeechChunk),
    /// Close the gate: ramp down within 10 ms, drop all queued speech, tell the carrier to drop
    /// its own, and accept only `generation` or later from here on. Answered by
    /// [`LegEvent::Cleared`].
    Clear {
        /// The first generation that may play again.
        generation: Generation,
    },
    /// Move the playout gain to this many decibels (0 restores, negative ducks).
    Gain {
        /// Target in dB.
        decibel: f32,
        /// Time to get there, in ms.
        ramp_ms: u32,
    },
    /// Send these key presses (`0-9*#A-D`), audio paused meanwhile. Longer strings are cut.
    SendDigits(DigitString),
    /// Start or stop suppressing our own audio (call on hold).
    Hold(bool),
    /// Finish: what is queued is dropped, statistics are reported, [`LegEvent::Closed`] follows.
    Close,
}

/// Up to 32 DTMF keys, inline.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DigitString {
    keys: [u8; 32],
    len: u8,
}

impl DigitString {
    /// Keeps the characters `0-9`, `*`, `#`, `A-D` of `text`, at most 32.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut digits = Self::default();
        for key in text.bytes().map(|b| b.to_ascii_uppercase()) {
            if matches!(key, b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D')
                && usize::from(digits.len) < digits.keys.len()
            {
                digits.keys[usize::from(digits.len)] = key;
                digits.len += 1;
            }
        }
        digits
    }

    /// The keys in ASCII.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.keys[..usize::from(self.len)]
    }
}

/// How far the caller has really heard what we sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heard {
    /// The segment that was playing (the last one played when nothing was).
    pub segment: SegmentId,
    /// Samples of that segment heard: written to the wire less the carrier's backlog and the
    /// estimated one-way delay. All earlier segments were heard to the end.
    pub samples: u64,
}

/// Why a leg ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LegEnd {
    /// [`LegCommand::Close`] or the control side asked for it.
    Closed,
    /// The carrier's stream ended.
    RemoteEnded,
    /// No media came for the configured time.
    MediaTimeout,
    /// The leg itself failed; the counters tell more.
    Failed,
}

/// What a leg reports. Never lost: when the queue is full the leg keeps the event and tries
/// again at its next tick.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LegEvent {
    /// The first sample of a segment went onto the wire.
    Playing {
        /// The segment.
        segment: SegmentId,
        /// Its place on the leg's timeline.
        position: SamplePosition,
        /// When the packet left.
        at: Instant,
    },
    /// A whole segment has been heard (as far as the carrier lets us know).
    Played {
        /// The segment.
        segment: SegmentId,
        /// Place of its last sample on the timeline.
        position: SamplePosition,
    },
    /// The gate is closed; nothing of an older generation follows.
    Cleared {
        /// The generation given with [`LegCommand::Clear`].
        generation: Generation,
        /// What was heard before it; `None` when nothing had been played.
        heard: Option<Heard>,
        /// When the last audible sample of ours left.
        at: Instant,
    },
    /// The caller pressed a key; reported once per press.
    Digit {
        /// One of `0-9*#A-D`.
        key: u8,
        /// Length of the press if known.
        duration: Option<Duration>,
        /// Where on the timeline.
        position: SamplePosition,
    },
    /// Periodic statistics.
    Statistics(LegStatistics),
    /// The last event of a leg.
    Closed {
        /// Why.
        end: LegEnd,
        /// What had been heard of our speech when it ended.
        heard: Option<Heard>,
        /// Final statistics.
        statistics: LegStatistics,
    },
}

/// Counters of one leg since its start.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct LegStatistics {
    /// Packets received, duplicates and late ones included.
    pub packets_received: u64,
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets that never came, by sequence number.
    pub packets_lost: u64,
    /// Packets that came too late to be used.
    pub packets_late: u64,
    /// Packets seen before.
    pub packets_duplicate: u64,
    /// Packets dropped as malformed, of an unknown payload type or from a stranger.
    pub packets_rejected: u64,
    /// Milliseconds of concealed audio.
    pub concealed_ms: u64,
    /// Interarrival jitter (RFC 3550 §6.4.1) in microseconds.
    pub jitter_us: u32,
    /// Round trip by RTCP in microseconds; zero when unknown.
    pub round_trip_us: u32,
    /// Loss of our own packets as reported by the peer, in 1/256.
    pub remote_fraction_lost: u8,
    /// Frames the asynchronous side was too slow to take (oldest dropped).
    pub frames_dropped: u64,
    /// Ticks that found the playout queue dry in the middle of a segment.
    pub underruns: u64,
    /// What is known of the leg's echo; `None` without echo control.
    pub echo: Option<EchoReport>,
}
