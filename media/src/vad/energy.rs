//! Voice activity by level alone: cheap, deaf to what the sound is.

use super::VoiceActivityDetector;
use crate::dsp::level::rms_dbfs;
use crate::frame::FRAME_SAMPLES;

/// Below this level nothing is taken for speech, in dBFS.
const SPEECH_DBFS_MIN: f32 = -55.0;
/// Distance above the noise floor, in dB, at which speech is as likely as not.
const MARGIN_DB: f32 = 9.0;
/// Decibels by which the odds grow from even to about 3 : 1.
const SOFTNESS_DB: f32 = 3.0;
/// How fast the floor follows louder noise: 0.06 dB a frame is 3 dB/s, too slow to climb into a
/// sentence.
const FLOOR_RISE_DB: f32 = 0.06;
/// Share of the way down that the floor takes in one frame.
const FLOOR_FALL: f32 = 0.3;
/// Where the floor starts: a quiet line.
const FLOOR_DBFS_INITIAL: f32 = -60.0;

/// Compares each frame with a running noise floor. Tones, music and hum are speech to it.
#[derive(Clone, Copy, Debug)]
pub struct EnergyDetector {
    floor_dbfs: f32,
}

impl EnergyDetector {
    /// A detector that assumes a quiet line.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            floor_dbfs: FLOOR_DBFS_INITIAL,
        }
    }

    /// Level in dBFS the detector takes for background noise.
    #[must_use]
    pub const fn floor_dbfs(&self) -> f32 {
        self.floor_dbfs
    }
}

impl Default for EnergyDetector {
    fn default() -> Self {
        Self::new()
    }
}

impl VoiceActivityDetector for EnergyDetector {
    fn process(&mut self, frame: &[i16; FRAME_SAMPLES]) -> f32 {
        let level = rms_dbfs(frame);
        let threshold = (self.floor_dbfs + MARGIN_DB).max(SPEECH_DBFS_MIN);
        if level > self.floor_dbfs {
            self.floor_dbfs += FLOOR_RISE_DB.min(level - self.floor_dbfs);
        } else {
            self.floor_dbfs += FLOOR_FALL * (level - self.floor_dbfs);
        }
        1.0 / (1.0 + (-(level - threshold) / SOFTNESS_DB).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share_of_speech(detector: &mut EnergyDetector, pcm: &[i16]) -> f32 {
        let (frames, _) = pcm.as_chunks::<FRAME_SAMPLES>();
        let speech = frames.iter().filter(|frame| detector.process(frame) > 0.5);
        speech.count() as f32 / frames.len() as f32
    }

    fn noise(level_dbfs: f64, samples: usize) -> Vec<i16> {
        let mut state = 7u64;
        let peak = 32_768.0 * 3f64.sqrt() * 10f64.powf(level_dbfs / 20.0);
        (0..samples)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let uniform = (state >> 40) as f64 / f64::from(1u32 << 23) - 1.0;
                (peak * uniform) as i16
            })
            .collect()
    }

    #[test]
    fn loud_is_speech_and_silence_is_not() {
        let mut detector = EnergyDetector::new();
        assert_eq!(share_of_speech(&mut detector, &[0; 16_000]), 0.0);
        let tone = fixtures::tone::sine(16_000, 300.0, -25.0, 8_000);
        assert_eq!(share_of_speech(&mut detector, &tone), 1.0);
    }

    #[test]
    fn steady_noise_becomes_the_floor() {
        let mut detector = EnergyDetector::new();
        share_of_speech(&mut detector, &noise(-45.0, 10 * 16_000));
        assert!(
            (detector.floor_dbfs() + 45.0).abs() < 2.0,
            "{}",
            detector.floor_dbfs()
        );
        assert_eq!(share_of_speech(&mut detector, &noise(-45.0, 16_000)), 0.0);
        assert_eq!(share_of_speech(&mut detector, &noise(-25.0, 3_200)), 1.0);
    }
}
