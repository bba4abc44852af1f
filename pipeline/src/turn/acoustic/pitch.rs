//! Pitch and voicing of a frame by normalized autocorrelation.

use media::frame::{FRAME_RATE, FRAME_SAMPLES};

/// Samples averaged into one: the search works at 4 kHz.
const DECIMATION: usize = 4;
const RATE: f32 = FRAME_RATE as f32 / DECIMATION as f32;
/// Samples of a frame at that rate.
const FRAME: usize = FRAME_SAMPLES / DECIMATION;
/// Shortest and longest period looked for: 400 and 60 Hz. Above 250 Hz a period is few samples, and
/// twice the period may fit better: the pitch is then an octave low, its movement right.
const LAG_MIN: usize = 10;
const LAG_MAX: usize = 66;
/// Samples compared at each lag: 34 ms, two periods of the lowest voices.
const SPAN: usize = 134;
/// Samples kept.
const KEPT: usize = SPAN + LAG_MAX;
/// Correlation from which a frame counts as voiced.
pub(super) const VOICED: f32 = 0.55;

/// What a frame sounds like.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Pitch {
    /// Semitones above 50 Hz; meaningless unless voiced.
    pub(super) semitones: f32,
    /// Correlation of one period with the next, 0 to 1.
    pub(super) strength: f32,
}

/// Follows the pitch of one speaker.
#[derive(Clone, Debug)]
pub(super) struct PitchTracker {
    kept: [f32; KEPT],
}

impl PitchTracker {
    pub(super) const fn new() -> Self {
        Self { kept: [0.0; KEPT] }
    }

    /// Takes the next frame without looking at it.
    pub(super) fn push(&mut self, samples: &[i16; FRAME_SAMPLES]) {
        self.kept.rotate_left(FRAME);
        let new = &mut self.kept[KEPT - FRAME..];
        for (new, group) in new.iter_mut().zip(samples.chunks_exact(DECIMATION)) {
            let sum: f32 = group.iter().map(|&s| f32::from(s)).sum();
            *new = sum / DECIMATION as f32;
        }
    }

    /// Pitch of the last 50 ms.
    pub(super) fn pitch(&self) -> Pitch {
        let (old, now) = (&self.kept[..], &self.kept[LAG_MAX..]);
        let energy: f32 = now.iter().map(|s| s * s).sum();
        if energy < 1.0 {
            return Pitch::default();
        }
        let mut scores = [0f32; LAG_MAX + 2];
        let mut past: f32 = old[LAG_MAX - LAG_MIN + 1..][..SPAN]
            .iter()
            .map(|s| s * s)
            .sum();
        let mut best = LAG_MIN;
        for lag in LAG_MIN - 1..=LAG_MAX {
            let begin = LAG_MAX - lag;
            if lag >= LAG_MIN {
                past += old[begin] * old[begin] - old[begin + SPAN] * old[begin + SPAN];
            }
            let product: f32 = now
                .iter()
                .zip(&old[begin..])
                .map(|(now, old)| now * old)
                .sum();
            scores[lag] = product / (energy * past.max(1.0)).sqrt();
            // A shorter period is preferred: every multiple of the true one fits as well.
            if lag >= LAG_MIN
                && scores[lag] > scores[best] + if lag > best + 2 { 0.05 } else { 0.0 }
            {
                best = lag;
            }
        }
        let strength = scores[best].clamp(0.0, 1.0);
        let (before, here, after) = (scores[best - 1], scores[best], scores[best + 1]);
        let bend = before - 2.0 * here + after;
        let offset = if best < LAG_MAX && bend < -1e-6 {
            (0.5 * (before - after) / bend).clamp(-0.5, 0.5)
        } else {
            0.0
        };
        let hz = RATE / (best as f32 + offset);
        Pitch {
            semitones: 12.0 * (hz / 50.0).log2(),
            strength,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pitch_of_a_voice_is_found_and_noise_has_none() {
        for hz in [75.0, 110.0, 190.0, 235.0] {
            let mut tracker = PitchTracker::new();
            let parts: Vec<(f64, f64)> = (1..6)
                .map(|n| (hz * f64::from(n), -20.0 - 3.0 * f64::from(n)))
                .collect();
            let pcm = fixtures::tone::mixture(FRAME_RATE, &parts, 3_200);
            for frame in pcm.as_chunks().0 {
                tracker.push(frame);
            }
            let pitch = tracker.pitch();
            let expected = 12.0 * (hz as f32 / 50.0).log2();
            assert!((pitch.semitones - expected).abs() < 0.4, "{hz}: {pitch:?}");
            assert!(pitch.strength > 0.9, "{hz}: {pitch:?}");
        }
        let mut tracker = PitchTracker::new();
        let mut state = 1u32;
        let mut voiced = 0;
        for _ in 0..100 {
            let mut frame = [0; FRAME_SAMPLES];
            for sample in &mut frame {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *sample = (state >> 18) as i16 - 8_192;
            }
            tracker.push(&frame);
            voiced += u32::from(tracker.pitch().strength > VOICED);
        }
        assert!(voiced < 5, "{voiced} of 100 frames of noise");
        assert_eq!(PitchTracker::new().pitch(), Pitch::default());
    }
}
