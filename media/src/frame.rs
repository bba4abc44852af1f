//! The unit of audio that moves between legs and the conversation.

use std::fmt;
use std::time::Instant;

/// Length of every [`Frame`] in milliseconds.
pub const FRAME_MS: u32 = 20;
/// Sample rate, in Hz, of every [`Frame`] outside a leg's codec: the rate the voice activity
/// detector, the recogniser and the embedded voice work at, so that a telephone leg converts
/// exactly once per direction.
pub const FRAME_RATE: u32 = 16_000;
/// Samples in one [`Frame`].
pub const FRAME_SAMPLES: usize = (FRAME_RATE / 1000 * FRAME_MS) as usize;

/// A point on a leg's media timeline: samples at [`FRAME_RATE`] since the leg began.
///
/// Both directions of a leg share the timeline, so differences between what was heard and what
/// was said are exact.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SamplePosition(pub u64);

impl SamplePosition {
    /// The position `samples` later.
    #[must_use]
    pub const fn plus(self, samples: u64) -> Self {
        Self(self.0 + samples)
    }

    /// Milliseconds since the leg began.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0 * 1000 / FRAME_RATE as u64
    }

    /// Position that lies `ms` milliseconds after the start of the leg.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms * FRAME_RATE as u64 / 1000)
    }

    /// Milliseconds from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub const fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) * 1000 / FRAME_RATE as u64
    }
}

/// Where the samples of a frame came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FrameOrigin {
    /// Decoded from a packet that arrived.
    #[default]
    Received,
    /// Made by loss concealment: the caller may have said anything here, so no silence may be
    /// counted from it.
    Concealed,
    /// The sender announced silence (discontinuous transmission or comfort noise).
    ComfortNoise,
}

/// 20 ms of 16-bit mono PCM at [`FRAME_RATE`], stored inline.
#[derive(Clone, Copy)]
pub struct Frame {
    /// PCM samples.
    pub samples: [i16; FRAME_SAMPLES],
    /// Where the first sample lies on the leg's timeline.
    pub position: SamplePosition,
    /// When the packet that completed this frame reached the process.
    pub received_at: Instant,
    /// Probability, 0 to 1, that the frame holds speech.
    pub voice: f32,
    /// How the samples came about.
    pub origin: FrameOrigin,
}

impl Frame {
    /// A frame of digital silence at `position`.
    #[must_use]
    pub const fn silence(position: SamplePosition, received_at: Instant) -> Self {
        Self {
            samples: [0; FRAME_SAMPLES],
            position,
            received_at,
            voice: 0.0,
            origin: FrameOrigin::Received,
        }
    }

    /// Position just behind the last sample.
    #[must_use]
    pub const fn end(&self) -> SamplePosition {
        self.position.plus(FRAME_SAMPLES as u64)
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("position", &self.position)
            .field("voice", &self.voice)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}
