//! Tones: single frequencies and the key tones of ITU-T Q.23.

use std::f64::consts::TAU;

use super::level;
use crate::leg::DigitString;

/// Level of each of the two frequencies of a key in dBFS: -9 dBm0 and -11 dBm0 as networks send
/// them, low group first (full scale is about +3 dBm0).
const KEY_LEVELS_DBFS: [f32; 2] = [-14.0, -12.0];
/// Time in which a key tone rises and falls, so that it does not click.
const KEY_RAMP_MS: u32 = 2;

/// The two frequencies in Hz, low group first, of one of the keys `0-9*#A-D`.
#[must_use]
pub const fn key_frequencies(key: u8) -> Option<[f64; 2]> {
    let (row, column) = match key {
        b'1' => (0, 0),
        b'2' => (0, 1),
        b'3' => (0, 2),
        b'A' | b'a' => (0, 3),
        b'4' => (1, 0),
        b'5' => (1, 1),
        b'6' => (1, 2),
        b'B' | b'b' => (1, 3),
        b'7' => (2, 0),
        b'8' => (2, 1),
        b'9' => (2, 2),
        b'C' | b'c' => (2, 3),
        b'*' => (3, 0),
        b'0' => (3, 1),
        b'#' => (3, 2),
        b'D' | b'd' => (3, 3),
        _ => return None,
    };
    const LOW: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
    const HIGH: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
    Some([LOW[row], HIGH[column]])
}

/// An endless sine, continuous from one buffer to the next.
#[derive(Clone, Copy, Debug)]
pub struct Tone {
    /// In turns, below 1.
    phase: f64,
    /// Turns per sample.
    step: f64,
    amplitude: f64,
}

impl Tone {
    /// A sine of `frequency` Hz whose RMS level is `level_dbfs` (-3.01 is full scale), for PCM at
    /// `rate` Hz.
    #[must_use]
    pub fn new(rate: u32, frequency: f64, level_dbfs: f32) -> Self {
        Self {
            phase: 0.0,
            step: (frequency / f64::from(rate)).fract(),
            amplitude: 32_768.0 * f64::from(level::factor(level_dbfs)) * std::f64::consts::SQRT_2,
        }
    }

    /// Adds the tone to what `pcm` holds; the sum saturates.
    pub fn mix_into(&mut self, pcm: &mut [i16]) {
        for sample in pcm {
            *sample = sample.saturating_add(self.next_value().round() as i16);
        }
    }

    /// Replaces what `pcm` holds.
    pub fn fill(&mut self, pcm: &mut [i16]) {
        pcm.fill(0);
        self.mix_into(pcm);
    }

    fn next_value(&mut self) -> f64 {
        let value = self.amplitude * (TAU * self.phase).sin();
        self.phase = (self.phase + self.step).fract();
        value
    }
}

/// Key presses as sound: tone, gap, tone, gap, to the end of a string.
#[derive(Clone, Copy, Debug)]
pub struct KeyTones {
    rate: u32,
    keys: DigitString,
    /// Index of the key that sounds, or whose gap lasts.
    current: usize,
    tones: [Tone; 2],
    tone_samples: u32,
    gap_samples: u32,
    /// Samples into the current key.
    elapsed: u32,
}

impl KeyTones {
    /// The keys of `keys` in order, each `tone_ms` of tone (at least 4) and `gap_ms` of silence,
    /// for PCM at `rate` Hz. Receivers want 40 ms of each or more (Q.24); 100 and 70 are usual.
    #[must_use]
    pub fn new(rate: u32, keys: DigitString, tone_ms: u32, gap_ms: u32) -> Self {
        let samples = |ms: u32| (u64::from(rate) * u64::from(ms) / 1000) as u32;
        let mut tones = Self {
            rate,
            keys,
            current: 0,
            tones: [Tone::new(rate, 0.0, level::SILENCE_DBFS); 2],
            tone_samples: samples(tone_ms.max(2 * KEY_RAMP_MS)),
            gap_samples: samples(gap_ms),
            elapsed: 0,
        };
        tones.start_key();
        tones
    }

    /// Replaces `pcm` by the next samples; silence after the last gap.
    pub fn fill(&mut self, pcm: &mut [i16]) {
        for sample in pcm {
            *sample = self.next_sample();
        }
    }

    /// Whether the last gap is over.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.current >= self.keys.as_bytes().len()
    }

    fn next_sample(&mut self) -> i16 {
        if self.is_finished() {
            return 0;
        }
        let value = if self.elapsed < self.tone_samples {
            let ramp = self.rate * KEY_RAMP_MS / 1000;
            let edge = (self.elapsed + 1).min(self.tone_samples - self.elapsed);
            let envelope = f64::from(edge.min(ramp)) / f64::from(ramp);
            let [low, high] = &mut self.tones;
            envelope * (low.next_value() + high.next_value())
        } else {
            0.0
        };
        self.elapsed += 1;
        if self.elapsed >= self.tone_samples + self.gap_samples {
            self.current += 1;
            self.start_key();
        }
        value.round() as i16
    }

    fn start_key(&mut self) {
        self.elapsed = 0;
        let key = self.keys.as_bytes().get(self.current).copied();
        if let Some([low, high]) = key.and_then(key_frequencies) {
            self.tones = [
                Tone::new(self.rate, low, KEY_LEVELS_DBFS[0]),
                Tone::new(self.rate, high, KEY_LEVELS_DBFS[1]),
            ];
        }
    }
}

#[cfg(test)]
mod tests {
    use fixtures::tone::level_dbfs;

    use super::*;

    #[test]
    fn tone_has_its_level_and_no_seam() {
        let mut pieces = [0; 1_600];
        let mut tone = Tone::new(16_000, 1_000.5, -20.0);
        for piece in pieces.chunks_mut(7) {
            tone.fill(piece);
        }
        let mut whole = [0; 1_600];
        Tone::new(16_000, 1_000.5, -20.0).fill(&mut whole);
        assert_eq!(pieces, whole);
        assert!((level_dbfs(&whole, 16_000, 1_000.5) + 20.0).abs() < 0.1);
    }

    #[test]
    fn mixing_adds_and_saturates() {
        let mut pcm = [30_000; 160];
        Tone::new(8_000, 1_000.0, -9.0).mix_into(&mut pcm);
        assert_eq!(pcm.iter().max(), Some(&i16::MAX));
        assert!(pcm.iter().min().is_some_and(|&min| min < 20_000));
    }

    #[test]
    fn every_key_sounds_as_its_two_frequencies() {
        for &key in b"0123456789*#ABCD" {
            let text = char::from(key).to_string();
            let mut tones = KeyTones::new(8_000, DigitString::new(&text), 100, 70);
            let mut pcm = [0; 1_360];
            tones.fill(&mut pcm[..1_359]);
            assert!(!tones.is_finished());
            tones.fill(&mut pcm[1_359..]);
            assert!(tones.is_finished());
            let [low, high] = key_frequencies(key).expect("a key");
            for group in [
                [697.0, 770.0, 852.0, 941.0],
                [1209.0, 1336.0, 1477.0, 1633.0],
            ] {
                for frequency in group {
                    let level = level_dbfs(&pcm[16..784], 8_000, frequency);
                    if frequency == low {
                        assert!((level + 14.0).abs() < 0.5, "{text} {frequency} {level}");
                    } else if frequency == high {
                        assert!((level + 12.0).abs() < 0.5, "{text} {frequency} {level}");
                    } else {
                        assert!(level < -35.0, "{text} {frequency} {level}");
                    }
                }
            }
            assert!(pcm[800..].iter().all(|&sample| sample == 0));
        }
    }

    #[test]
    fn no_keys_no_sound() {
        let mut tones = KeyTones::new(16_000, DigitString::default(), 100, 70);
        assert!(tones.is_finished());
        let mut pcm = [1; 320];
        tones.fill(&mut pcm);
        assert_eq!(pcm, [0; 320]);
    }
}
