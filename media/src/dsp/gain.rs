//! Level changes without clicks.

use super::level;

/// Gain, in dB, at and below which nothing is left.
pub const MUTE_DECIBEL: f32 = -96.0;

/// Multiplies PCM by a gain that moves along a straight line to each new target; loud results
/// saturate.
#[derive(Clone, Copy, Debug)]
pub struct Gain {
    samples_per_ms: u32,
    current: f32,
    target: f32,
    step: f32,
    /// Samples until the target is reached.
    left: u32,
}

impl Gain {
    /// A gain of 0 dB for PCM at `rate` Hz.
    #[must_use]
    pub const fn new(rate: u32) -> Self {
        Self {
            samples_per_ms: rate / 1000,
            current: 1.0,
            target: 1.0,
            step: 0.0,
            left: 0,
        }
    }

    /// Moves to `decibel` within `ramp_ms`, from wherever the gain is now. From
    /// [`MUTE_DECIBEL`] down it is silence.
    pub fn set(&mut self, decibel: f32, ramp_ms: u32) {
        self.target = if decibel > MUTE_DECIBEL {
            level::factor(decibel)
        } else {
            // Not a number ends here, too: silence is the safe reading.
            0.0
        };
        self.left = ramp_ms.saturating_mul(self.samples_per_ms);
        if self.left == 0 {
            self.current = self.target;
        } else {
            self.step = (self.target - self.current) / self.left as f32;
        }
    }

    /// Applies the gain to the next samples of the stream.
    pub fn apply(&mut self, pcm: &mut [i16]) {
        let ramp = pcm.len().min(self.left as usize);
        let (moving, steady) = pcm.split_at_mut(ramp);
        for sample in moving {
            self.current += self.step;
            *sample = scale(*sample, self.current);
        }
        self.left -= ramp as u32;
        if self.left == 0 {
            // Rounding of the steps must not leave a rest.
            self.current = self.target;
        }
        if self.current == 0.0 {
            steady.fill(0);
        } else if self.current != 1.0 {
            for sample in steady {
                *sample = scale(*sample, self.current);
            }
        }
    }

    /// Whether the last target is reached.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.left == 0
    }

    /// Whether the gain has settled at silence.
    #[must_use]
    pub fn is_muted(&self) -> bool {
        self.is_settled() && self.current == 0.0
    }
}

fn scale(sample: i16, factor: f32) -> i16 {
    // `as` saturates.
    (f32::from(sample) * factor).round() as i16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unity_changes_nothing() {
        let mut pcm: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        Gain::new(16_000).apply(&mut pcm);
        assert!(pcm.into_iter().eq(i16::MIN..=i16::MAX));
    }

    #[test]
    fn target_is_reached_on_time_across_buffers() {
        let mut gain = Gain::new(16_000);
        gain.set(-20.0, 10);
        let mut pcm = vec![10_000; 320];
        for piece in pcm.chunks_mut(33) {
            gain.apply(piece);
        }
        assert!(gain.is_settled());
        assert!(pcm.is_sorted_by(|a, b| a >= b));
        assert!(pcm[0] > 9_900 && pcm[158] > 1_000);
        assert!(pcm[159..].iter().all(|&sample| sample == 1_000));
    }

    #[test]
    fn mute_ends_in_digital_silence_and_returns() {
        let mut gain = Gain::new(8_000);
        gain.set(f32::NEG_INFINITY, 10);
        let mut pcm = [20_000; 160];
        gain.apply(&mut pcm);
        assert!(gain.is_muted());
        assert_eq!(pcm[79..], [0; 81]);
        gain.set(0.0, 0);
        let mut pcm = [20_000; 4];
        gain.apply(&mut pcm);
        assert_eq!(pcm, [20_000; 4]);
    }

    #[test]
    fn loud_samples_saturate() {
        let mut gain = Gain::new(16_000);
        gain.set(12.0, 0);
        let mut pcm = [20_000, -20_000, 100];
        gain.apply(&mut pcm);
        assert_eq!(pcm, [i16::MAX, i16::MIN, 398]);
    }

    proptest! {
        #[test]
        fn steps_between_samples_stay_small(
            targets in prop::collection::vec((-100.0f32..6.0, 5u32..60), 1..8),
        ) {
            let mut gain = Gain::new(16_000);
            let mut last = 10_000i32;
            for (decibel, ramp_ms) in targets {
                gain.set(decibel, ramp_ms);
                let mut pcm = [10_000; 320];
                gain.apply(&mut pcm);
                for sample in pcm {
                    // At most the whole range (0 to +6 dB) within the shortest ramp of 5 ms.
                    prop_assert!((i32::from(sample) - last).abs() <= 20_000 / 80 + 1);
                    last = i32::from(sample);
                }
            }
        }
    }
}
