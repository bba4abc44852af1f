//! Voice activity detection: how likely each frame holds speech.

pub mod energy;
pub mod neural;

pub use energy::EnergyDetector;
pub use neural::NeuralDetector;

use crate::frame::FRAME_SAMPLES;

/// Tells speech from everything else, frame by frame, for one stream of audio.
pub trait VoiceActivityDetector: Send {
    /// Probability, 0 to 1, that `frame` (20 ms at [`crate::frame::FRAME_RATE`]) holds speech.
    /// Allocates nothing. Above 0.5 counts as speech.
    fn process(&mut self, frame: &[i16; FRAME_SAMPLES]) -> f32;
}
