//! From audio whose end is known to examples of ends and pauses.

use std::time::Instant;

use fixtures::virtual_clock::VirtualClock;
use media::frame::{FRAME_RATE, FRAME_SAMPLES, Frame, SamplePosition};
use media::vad::{NeuralDetector, VoiceActivityDetector};
use pipeline::turn::acoustic::{AcousticDetector, FEATURES};
use serde::{Deserialize, Serialize};

/// Silence put before and behind the audio, in frames.
const BEFORE: usize = 15;
const BEHIND: usize = 30;
/// Pauses from here on are examples; shorter ones are consonants.
const PAUSE_FRAMES: u32 = 6;

/// What an example may be used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Split {
    Train,
    HeldOut,
}

/// One pause.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Example {
    pub(crate) features: [f32; FEATURES],
    /// Whether the turn ended here.
    pub(crate) is_end: bool,
    /// Whether it is the last of its piece of audio.
    pub(crate) is_last: bool,
    pub(crate) speaker: String,
    pub(crate) split: Split,
}

/// How a piece of audio ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// The turn is over.
    Complete,
    /// The speaker would have gone on.
    Unfinished,
    /// Nobody knows: only the pauses within count.
    Unknown,
}

/// A repeatable source of chance.
#[derive(Clone, Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// Uniform from 0 to 1.
    pub(crate) fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u32 << 24) as f32
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        ((self.next() * limit as f32) as usize).min(limit - 1)
    }
}

/// Hears `pcm` (16 kHz) as a leg would and notes each pause.
pub(crate) fn examples_of(
    pcm: &[i16],
    ending: Ending,
    speaker: &str,
    split: Split,
    chance: &mut Chance,
) -> Vec<Example> {
    let gain = 10f32.powf((chance.next() * 14.0 - 10.0) / 20.0);
    let noise = 10f32.powf(-(chance.next() * 25.0 + 48.0) / 20.0) * 32_768.0;
    let padding = |frames: usize| std::iter::repeat_n(0i16, frames * FRAME_SAMPLES);
    let line: Vec<i16> = padding(BEFORE)
        .chain(pcm.iter().copied())
        .chain(padding(BEHIND))
        .map(|s| (f32::from(s) * gain + (chance.next() - 0.5) * 3.46 * noise) as i16)
        .collect();
    let origin = VirtualClock::new().origin();
    let mut vad = NeuralDetector::new();
    let mut detector = AcousticDetector::new();
    let mut pauses: Vec<[f32; FEATURES]> = Vec::new();
    let (mut open, mut known_frames) = (None, 0);
    for (n, samples) in line.as_chunks::<FRAME_SAMPLES>().0.iter().enumerate() {
        let frame = frame(samples, n, vad.process(samples), origin);
        detector.hear(&frame);
        let Some(end) = detector.end_of_turn() else {
            // Speech goes on: the pause that was open lay within the turn.
            if let Some(features) = open.take()
                && known_frames >= PAUSE_FRAMES
            {
                pauses.push(features);
            }
            continue;
        };
        known_frames = end.pause_ms / 20;
        if open.is_none() {
            open = detector.features();
        }
    }
    let mut examples: Vec<Example> = pauses
        .into_iter()
        .map(|features| Example {
            features,
            is_end: false,
            is_last: false,
            speaker: speaker.to_owned(),
            split,
        })
        .collect();
    if let Some(features) = open
        && ending != Ending::Unknown
    {
        examples.push(Example {
            features,
            is_end: ending == Ending::Complete,
            is_last: true,
            speaker: speaker.to_owned(),
            split,
        });
    }
    examples
}

fn frame(samples: &[i16; FRAME_SAMPLES], n: usize, voice: f32, origin: Instant) -> Frame {
    let position = SamplePosition((n * FRAME_SAMPLES) as u64);
    let at = origin + std::time::Duration::from_millis(position.0 * 1000 / u64::from(FRAME_RATE));
    Frame {
        samples: *samples,
        voice,
        ..Frame::silence(position, at)
    }
}
