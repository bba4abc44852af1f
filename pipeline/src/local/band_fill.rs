//! Fills the empty band above 4 kHz of telephone audio for recognisers trained on wideband.
//!
//! An 8 kHz leg that is converted cleanly to 16 kHz has nothing above 4 kHz, where the model
//! expects speech, and recognition collapses. Multiplying by (-1)^n mirrors the spectrum around
//! 4 kHz; a faint copy of the mirror puts plausible energy into the empty band and leaves the
//! lower one as it was.

use media::frame::FRAME_SAMPLES;
use serde::{Deserialize, Serialize};

/// When the band above 4 kHz is filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BandFillMode {
    /// As long as the caller's audio has shown nothing above 4 kHz.
    #[default]
    Auto,
    /// In every call.
    Always,
    /// In no call.
    Never,
}

/// Length of the high-pass filter that measures the upper band.
const TAPS: usize = 31;
/// Frames below this mean square (about -50 dBFS) say nothing about the band.
const LOUD_MEAN_SQUARE: f32 = 10_000.0;
/// Upper band against the whole, in power (-25 dB): a fricative of a wideband call exceeds it
/// by far, images of a clean converter stay far below.
const WIDE_POWER_RATIO: f32 = 0.003_2;
/// Loud frames with an upper band that prove a wideband call.
const WIDE_FRAMES: u32 = 3;
/// Loud frames without an upper band (10 s of speech) after which the question is settled.
const NARROW_FRAMES: u32 = 500;

/// Decides whether one call is narrow-band and fills its upper band. One per call; frames go
/// in and come out at 16 kHz.
#[derive(Clone, Debug)]
pub struct BandFill {
    verdict: Verdict,
    gain: f32,
    wide_frames: u32,
    narrow_frames: u32,
    tail: [f32; TAPS - 1],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// Treated as narrow until shown otherwise.
    Undecided,
    Narrow,
    Wide,
}

impl BandFill {
    /// A filler for one call; `gain_db` is the level of the copy against the original.
    #[must_use]
    pub fn new(mode: BandFillMode, gain_db: f32) -> Self {
        Self {
            verdict: match mode {
                BandFillMode::Auto => Verdict::Undecided,
                BandFillMode::Always => Verdict::Narrow,
                BandFillMode::Never => Verdict::Wide,
            },
            gain: 10.0_f32.powf(gain_db / 20.0),
            wide_frames: 0,
            narrow_frames: 0,
            tail: [0.0; TAPS - 1],
        }
    }

    /// Looks at one frame and fills it if the call is, as far as known, narrow-band.
    pub fn process(&mut self, samples: &mut [i16; FRAME_SAMPLES]) {
        if self.verdict == Verdict::Undecided {
            self.observe(samples);
        }
        if self.verdict == Verdict::Wide {
            return;
        }
        // A frame has an even number of samples, so the sign alternates across frames too.
        for pair in samples.as_chunks_mut::<2>().0 {
            pair[0] = saturate(f32::from(pair[0]) * (1.0 + self.gain));
            pair[1] = saturate(f32::from(pair[1]) * (1.0 - self.gain));
        }
    }

    /// Whether frames are filled at present.
    #[must_use]
    pub fn is_filling(&self) -> bool {
        self.verdict != Verdict::Wide
    }

    fn observe(&mut self, samples: &[i16; FRAME_SAMPLES]) {
        let mut line = [0.0_f32; FRAME_SAMPLES + TAPS - 1];
        line[..TAPS - 1].copy_from_slice(&self.tail);
        for (slot, sample) in line[TAPS - 1..].iter_mut().zip(samples) {
            *slot = f32::from(*sample);
        }
        self.tail.copy_from_slice(&line[FRAME_SAMPLES..]);

        let whole: f32 = line[TAPS - 1..].iter().map(|sample| sample * sample).sum();
        if whole < LOUD_MEAN_SQUARE * FRAME_SAMPLES as f32 {
            return;
        }
        let high: f32 = line
            .windows(TAPS)
            .map(|window| {
                let out: f32 = window.iter().zip(&HIGH_PASS).map(|(x, h)| x * h).sum();
                out * out
            })
            .sum();
        if high > WIDE_POWER_RATIO * whole {
            self.wide_frames += 1;
            if self.wide_frames >= WIDE_FRAMES {
                self.verdict = Verdict::Wide;
            }
        } else {
            self.narrow_frames += 1;
            if self.narrow_frames >= NARROW_FRAMES {
                self.verdict = Verdict::Narrow;
            }
        }
    }
}

fn saturate(value: f32) -> i16 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float cast to an integer saturates"
    )]
    let sample = value.round() as i16;
    sample
}

/// High-pass at 16 kHz (windowed sinc, Hamming): -6 dB at 5.3 kHz, below -55 dB under 4.4 kHz.
const HIGH_PASS: [f32; TAPS] = {
    let from_centre: [f32; TAPS / 2 + 1] = [
        0.337_500, -0.274_932, 0.130_305, 0.003_800, -0.060_112, 0.040_758, 0.002_839, -0.024_285,
        0.015_835, 0.001_654, -0.009_116, 0.005_277, 0.000_697, -0.002_751, 0.001_557, 0.000_331,
    ];
    let mut taps = [0.0; TAPS];
    let mut distance = 0;
    while distance <= TAPS / 2 {
        taps[TAPS / 2 + distance] = from_centre[distance];
        taps[TAPS / 2 - distance] = from_centre[distance];
        distance += 1;
    }
    taps
};

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f32, amplitude: f32, first: usize) -> [i16; FRAME_SAMPLES] {
        std::array::from_fn(|n| {
            let t = (first + n) as f32 / 16_000.0;
            saturate(amplitude * (2.0 * std::f32::consts::PI * hz * t).sin())
        })
    }

    /// Amplitude of `hz` in `samples` (one bin of a Fourier transform).
    fn amplitude_at(samples: &[i16], hz: f32) -> f32 {
        let (mut re, mut im) = (0.0_f32, 0.0_f32);
        for (n, sample) in samples.iter().enumerate() {
            let phase = 2.0 * std::f32::consts::PI * hz * n as f32 / 16_000.0;
            re += f32::from(*sample) * phase.cos();
            im += f32::from(*sample) * phase.sin();
        }
        2.0 * re.hypot(im) / samples.len() as f32
    }

    #[test]
    fn narrow_audio_gets_a_mirror_image_at_the_asked_level() {
        let mut fill = BandFill::new(BandFillMode::Auto, -12.0);
        for index in 0..600 {
            let mut frame = tone(1_000.0, 8_000.0, index * FRAME_SAMPLES);
            fill.process(&mut frame);
            assert!((amplitude_at(&frame, 1_000.0) - 8_000.0).abs() < 10.0);
            let mirror = amplitude_at(&frame, 7_000.0);
            let expected = 8_000.0 * 10.0_f32.powf(-12.0 / 20.0);
            assert!((mirror - expected).abs() < 10.0, "{mirror}");
        }
        assert_eq!(fill.verdict, Verdict::Narrow);
    }

    #[test]
    fn wideband_audio_is_left_alone_once_it_has_shown_itself() {
        let mut fill = BandFill::new(BandFillMode::Auto, -12.0);
        for index in 0..10 {
            let original = tone(6_000.0, 3_000.0, index * FRAME_SAMPLES);
            let mut frame = original;
            fill.process(&mut frame);
            assert_eq!(
                frame == original,
                index + 1 >= WIDE_FRAMES as usize,
                "{index}"
            );
        }
        assert!(!fill.is_filling());
        let original = tone(1_000.0, 3_000.0, 0);
        let mut frame = original;
        fill.process(&mut frame);
        assert_eq!(frame, original);
    }

    #[test]
    fn full_scale_audio_saturates_instead_of_wrapping() {
        let mut fill = BandFill::new(BandFillMode::Always, -12.0);
        let mut frame = [i16::MAX; FRAME_SAMPLES];
        fill.process(&mut frame);
        assert!(frame.iter().all(|sample| *sample > 0));
        let mut frame = [i16::MIN; FRAME_SAMPLES];
        fill.process(&mut frame);
        assert!(frame.iter().all(|sample| *sample < 0));
    }

    #[test]
    fn mode_never_changes_nothing() {
        let mut fill = BandFill::new(BandFillMode::Never, -12.0);
        let original = tone(1_000.0, 8_000.0, 0);
        let mut frame = original;
        fill.process(&mut frame);
        assert_eq!(frame, original);
    }
}
