//! Hears from the voice itself whether a turn is over: melody, loudness and rhythm of the last two
//! seconds before a pause, and how long the pause has lasted.
//!
//! It needs no words and no language, takes a few microseconds a frame, and says 0.5 when it cannot
//! tell. How it was trained, on what, and how good it is stands in `docs/turn-taking.md`.

mod features;
mod model;
mod pitch;
mod weights;

use media::frame::{FRAME_MS, Frame, FrameOrigin};

pub use self::features::{FEATURE_NAMES, FEATURES};
pub use self::model::Model;
pub use self::weights::SHIPPED;

use self::features::SpeechMemory;

/// Voice probability from which a frame is speech.
const SPEECH: f32 = 0.5;
/// Voice probability below which running speech pauses.
const PAUSE: f32 = 0.35;
/// Frames without speech that make a pause: one alone may be a stop consonant.
const PAUSE_FRAMES: u32 = 3;
/// Frames without speech after which the next speech is a new stretch: 200 ms.
const STRETCH_FRAMES: u32 = 10;
/// Median and steepness of the pauses that callers make within a turn: half last longer than
/// 550 ms, one in twenty longer than 2.5 s.
const PAUSE_MEDIAN_MS: f32 = 550.0;
const PAUSE_STEEPNESS: i32 = 2;
/// Log odds beyond which the voice alone is not trusted: one in twenty.
const LOG_ODDS_MAX: f32 = 3.0;

/// What the voice says about a pause.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct EndOfTurn {
    /// Probability, 0 to 1, that the caller is done, given the voice and the pause so far, if a
    /// pause is as likely as an end.
    pub probability: f32,
    /// The same by the voice before the pause alone: what was known when the pause began.
    pub at_onset: f32,
    /// Known length of the pause so far in ms.
    pub pause_ms: u32,
}

impl EndOfTurn {
    /// Logarithm of the odds for an end by the voice alone: 0 when it cannot tell, never beyond
    /// 3 to either side.
    #[must_use]
    pub fn onset_log_odds(&self) -> f32 {
        (self.at_onset / (1.0 - self.at_onset)).ln()
    }
}

/// Listens to one caller. About 5 KiB, never allocates.
#[derive(Clone, Debug)]
pub struct AcousticDetector {
    memory: SpeechMemory,
    in_speech: bool,
    /// Speech of the stretch so far, pauses below 200 ms left out.
    stretch_frames: u32,
    pause_frames: u32,
    log_odds: Option<f32>,
}

impl AcousticDetector {
    /// A detector that has heard nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            memory: SpeechMemory::new(),
            in_speech: false,
            stretch_frames: 0,
            pause_frames: 0,
            log_odds: None,
        }
    }

    /// Takes the caller's next 20 ms. A concealed frame is unknown: neither speech nor pause.
    pub fn hear(&mut self, frame: &Frame) {
        if frame.origin == FrameOrigin::Concealed {
            return;
        }
        let limit = if self.in_speech { PAUSE } else { SPEECH };
        if frame.voice >= limit {
            if self.pause_frames >= STRETCH_FRAMES {
                self.stretch_frames = 0;
            }
            self.in_speech = true;
            self.pause_frames = 0;
            self.log_odds = None;
            self.stretch_frames = self.stretch_frames.saturating_add(1);
            self.memory.speech(frame);
            return;
        }
        self.memory.pause(frame);
        self.in_speech = false;
        self.pause_frames = self.pause_frames.saturating_add(1);
        if self.pause_frames == PAUSE_FRAMES {
            self.log_odds = self.features().map(|features| {
                SHIPPED
                    .log_odds(&features)
                    .clamp(-LOG_ODDS_MAX, LOG_ODDS_MAX)
            });
        }
    }

    /// What is known of the running pause; `None` while the caller speaks, within the first 60 ms
    /// of a pause, and before he has spoken.
    #[must_use]
    pub fn end_of_turn(&self) -> Option<EndOfTurn> {
        if self.stretch_frames == 0 || self.pause_frames < PAUSE_FRAMES {
            return None;
        }
        let log_odds = self.log_odds.unwrap_or(0.0);
        let pause_ms = self.pause_frames.saturating_mul(FRAME_MS);
        // Of the pauses within a turn fewer and fewer last this long; an end lasts for ever.
        let lasting = 1.0 + (pause_ms as f32 / PAUSE_MEDIAN_MS).powi(PAUSE_STEEPNESS);
        Some(EndOfTurn {
            probability: logistic(log_odds + lasting.ln()),
            at_onset: logistic(log_odds),
            pause_ms,
        })
    }

    /// What the model is given at the present point, for training and reports.
    #[must_use]
    pub fn features(&self) -> Option<[f32; FEATURES]> {
        self.memory.describe(self.stretch_frames)
    }

    /// Forgets the turn, as after its end, but not the speaker.
    pub const fn next_turn(&mut self) {
        self.in_speech = false;
        self.stretch_frames = 0;
        self.pause_frames = 0;
        self.log_odds = None;
    }
}

impl Default for AcousticDetector {
    fn default() -> Self {
        Self::new()
    }
}

fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use fixtures::virtual_clock::VirtualClock;
    use media::frame::{FRAME_RATE, FRAME_SAMPLES, SamplePosition};

    use super::*;

    struct Line {
        detector: AcousticDetector,
        position: u64,
        origin: Instant,
    }

    impl Line {
        fn new() -> Self {
            Self {
                detector: AcousticDetector::new(),
                position: 0,
                origin: VirtualClock::new().origin(),
            }
        }

        fn hear(&mut self, samples: [i16; FRAME_SAMPLES], voice: f32, origin: FrameOrigin) {
            let frame = Frame {
                samples,
                voice,
                origin,
                ..Frame::silence(SamplePosition(self.position), self.origin)
            };
            self.position += FRAME_SAMPLES as u64;
            self.detector.hear(&frame);
        }

        fn silence(&mut self, frames: usize) {
            for _ in 0..frames {
                self.hear([0; FRAME_SAMPLES], 0.0, FrameOrigin::Received);
            }
        }

        /// Syllables of 160 ms, pitch and amplitude of each at its end.
        fn speak(&mut self, syllables: &[(f64, f64)]) {
            let (mut phase, mut last) = (0.0f64, syllables[0]);
            for &(hz, amplitude) in syllables {
                for n in 0..8 {
                    let mut frame = [0; FRAME_SAMPLES];
                    for (k, sample) in frame.iter_mut().enumerate() {
                        let at = (n * FRAME_SAMPLES + k) as f64 / (8 * FRAME_SAMPLES) as f64;
                        phase += (last.0 + (hz - last.0) * at) / f64::from(FRAME_RATE);
                        let loud = last.1 + (amplitude - last.1) * at;
                        let shape = 0.3 + 0.7 * (std::f64::consts::PI * at).sin();
                        let tone = |n: f64| (std::f64::consts::TAU * phase * n).sin() / n;
                        let sum: f64 = (1..8).map(|n| tone(f64::from(n))).sum();
                        *sample = (loud * shape * sum) as i16;
                    }
                    self.hear(frame, 0.9, FrameOrigin::Received);
                }
                last = (hz, amplitude);
            }
        }
    }

    #[test]
    fn nothing_is_said_before_or_during_speech_and_silence_speaks_for_an_end() {
        let mut line = Line::new();
        line.silence(50);
        assert_eq!(line.detector.end_of_turn(), None);
        line.speak(&[(120.0, 4_000.0); 6]);
        assert_eq!(line.detector.end_of_turn(), None);
        line.silence(2);
        assert_eq!(line.detector.end_of_turn(), None);
        line.silence(1);
        let onset = line.detector.end_of_turn().expect("a pause");
        assert_eq!(onset.pause_ms, 60);
        assert!((onset.probability - onset.at_onset).abs() < 0.01);
        // Of what was lost nothing is known.
        for _ in 0..20 {
            line.hear([0; FRAME_SAMPLES], 0.0, FrameOrigin::Concealed);
        }
        assert_eq!(line.detector.end_of_turn(), Some(onset));
        let mut last = onset.probability;
        for _ in 0..50 {
            line.silence(1);
            let now = line.detector.end_of_turn().expect("a pause");
            assert!(now.probability > last && now.at_onset == onset.at_onset);
            last = now.probability;
        }
        line.speak(&[(120.0, 4_000.0)]);
        assert_eq!(line.detector.end_of_turn(), None);
    }

    #[test]
    fn a_falling_and_fading_voice_speaks_for_an_end_more_than_a_level_one() {
        let at_onset = |end: &[(f64, f64)]| {
            let mut line = Line::new();
            line.speak(&[
                (125.0, 4_000.0),
                (140.0, 5_000.0),
                (130.0, 4_000.0),
                (135.0, 4_500.0),
                (128.0, 4_000.0),
                (132.0, 4_000.0),
            ]);
            line.speak(end);
            line.silence(3);
            line.detector.end_of_turn().expect("a pause").at_onset
        };
        let fallen = at_onset(&[(110.0, 2_500.0), (88.0, 900.0)]);
        let level = at_onset(&[(138.0, 4_500.0), (142.0, 4_500.0)]);
        assert!(fallen > level + 0.05, "{fallen} {level}");
    }

    #[test]
    fn too_little_speech_is_even_odds() {
        let mut line = Line::new();
        for _ in 0..3 {
            line.hear([900; FRAME_SAMPLES], 0.9, FrameOrigin::Received);
        }
        line.silence(3);
        let end = line.detector.end_of_turn().expect("a pause");
        assert_eq!((end.at_onset, end.onset_log_odds()), (0.5, 0.0));
    }

    #[test]
    fn any_samples_give_a_probability() {
        let mut line = Line::new();
        let mut state = 1u32;
        for round in 0..300 {
            let mut frame = [0; FRAME_SAMPLES];
            for sample in &mut frame {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *sample = match round % 4 {
                    0 => (state >> 16) as i16,
                    1 => i16::MIN,
                    2 => i16::MAX,
                    _ => 0,
                };
            }
            line.hear(
                frame,
                (state >> 8) as f32 / 16_777_216.0,
                FrameOrigin::Received,
            );
            if let Some(end) = line.detector.end_of_turn() {
                assert!((0.0..=1.0).contains(&end.probability), "{end:?}");
            }
        }
    }
}
