//! The melody of the voice: fundamental frequency by autocorrelation, and what it does at the end
//! of a run of speech. A voice that has come down to the bottom of its range, and dies away, has
//! usually finished; one that stops in mid-range has not.

use std::collections::VecDeque;

use media::dsp::level::rms_dbfs;
use media::frame::{FRAME_SAMPLES, Frame};

/// Rate of the analysis: half of the frame's.
const RATE: f32 = 8_000.0;
/// Samples of half a frame at that rate.
const HALF: usize = FRAME_SAMPLES / 2;
/// Window: this frame and the one before it.
const WINDOW: usize = HALF * 2;
/// Lags of 400 Hz to 70 Hz.
const LAG_MIN: usize = 20;
const LAG_MAX: usize = 114;
/// Correlation from which a frame is voiced.
const VOICED: f32 = 0.55;
/// A shorter lag wins when it is this nearly as good: octave errors go downwards.
const OCTAVE: f32 = 0.88;
/// Frames remembered: two seconds.
const KEPT: usize = 100;
/// Weight of one voiced frame in the running range of the voice.
const RANGE_WEIGHT: f32 = 0.01;

/// A frame as the tracker sees it.
#[derive(Clone, Copy, Debug)]
struct Heard {
    /// Pitch in semitones above 50 Hz, of voiced frames.
    pitch: Option<f32>,
    level: f32,
    speech: bool,
}

/// The end of a run of speech.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Ending {
    /// Last pitch relative to the voice's mean, in its standard deviations.
    pub height: f32,
    /// Change of pitch over the last 300 ms of voice, in semitones.
    pub slope: f32,
    /// Level of the last 100 ms of speech relative to the run's mean, in dB.
    pub decay: f32,
    /// Length of the last voiced stretch, in ms.
    pub stretch: f32,
    /// Pitch relative to the lowest of the last two seconds, in semitones.
    pub above_lowest: f32,
}

/// Follows the melody of one voice.
#[derive(Clone, Debug)]
pub struct Prosody {
    window: [f32; WINDOW],
    recent: VecDeque<Heard>,
    mean: f32,
    variance: f32,
    voiced: u32,
}

impl Default for Prosody {
    fn default() -> Self {
        Self {
            window: [0.0; WINDOW],
            recent: VecDeque::with_capacity(KEPT),
            mean: 0.0,
            variance: 9.0,
            voiced: 0,
        }
    }
}

impl Prosody {
    /// Takes the next frame; `speech` when it belongs to the caller's speech.
    pub fn hear(&mut self, frame: &Frame, speech: bool) {
        self.window.copy_within(HALF.., 0);
        for (place, pair) in self.window[HALF..]
            .iter_mut()
            .zip(frame.samples.chunks_exact(2))
        {
            *place = (f32::from(pair[0]) + f32::from(pair[1])) / 2.0;
        }
        let pitch = if speech { pitch_of(&self.window) } else { None };
        if let Some(pitch) = pitch {
            self.voiced += 1;
            // The first frames set the range, later ones move it.
            let weight = RANGE_WEIGHT.max(1.0 / self.voiced as f32);
            let off = pitch - self.mean;
            self.mean += weight * off;
            if self.voiced > 10 {
                self.variance += weight * (off * off - self.variance);
            }
        }
        if self.recent.len() == KEPT {
            self.recent.pop_front();
        }
        self.recent.push_back(Heard {
            pitch,
            level: rms_dbfs(&frame.samples),
            speech,
        });
    }

    /// What the voice did before it paused; `None` when too little was voiced to tell.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        let run: Vec<&Heard> = self.recent.iter().filter(|h| h.speech).collect();
        let pitches: Vec<f32> = run.iter().filter_map(|h| h.pitch).collect();
        if pitches.len() <= 8 || self.voiced < 20 {
            return None;
        }
        let last = median(&pitches[pitches.len() - 4..]);
        let before = median(&pitches[pitches.len().saturating_sub(16)..pitches.len() - 8]);
        let lowest = pitches[..pitches.len() - 4]
            .iter()
            .copied()
            .fold(f32::INFINITY, f32::min);
        let mean_level = run.iter().map(|h| h.level).sum::<f32>() / run.len() as f32;
        let tail = &run[run.len().saturating_sub(5)..];
        let tail_level = tail.iter().map(|h| h.level).sum::<f32>() / tail.len() as f32;
        let stretch = run
            .iter()
            .rev()
            .skip_while(|h| h.pitch.is_none())
            .take_while(|h| h.pitch.is_some())
            .count();
        Some(Ending {
            height: (last - self.mean) / self.variance.sqrt().max(1.0),
            slope: last - before,
            decay: tail_level - mean_level,
            stretch: stretch as f32 * 20.0,
            above_lowest: last - lowest,
        })
    }
}

fn median(values: &[f32]) -> f32 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// Pitch of a window in semitones above 50 Hz, if it is voiced.
fn pitch_of(window: &[f32; WINDOW]) -> Option<f32> {
    let length = WINDOW - LAG_MAX;
    let head = &window[..length];
    let energy: f32 = head.iter().map(|s| s * s).sum();
    if energy < 1e4 * length as f32 / 10.0 {
        return None;
    }
    let mut scores = [0.0f32; LAG_MAX + 1];
    let mut best = 0.0f32;
    let mut shifted: f32 = window[LAG_MIN..LAG_MIN + length]
        .iter()
        .map(|s| s * s)
        .sum();
    for lag in LAG_MIN..=LAG_MAX {
        let product: f32 = head.iter().zip(&window[lag..]).map(|(a, b)| a * b).sum();
        scores[lag] = product / (energy * shifted.max(1.0)).sqrt();
        best = best.max(scores[lag]);
        if lag < LAG_MAX {
            shifted += window[lag + length].powi(2) - window[lag].powi(2);
        }
    }
    if best < VOICED {
        return None;
    }
    let lag = (LAG_MIN + 1..LAG_MAX).find(|&lag| {
        scores[lag] >= best * OCTAVE
            && scores[lag] >= scores[lag - 1]
            && scores[lag] >= scores[lag + 1]
    })?;
    Some(12.0 * (RATE / lag as f32 / 50.0).log2())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
mod tests {
    use std::time::Instant;

    use media::frame::SamplePosition;

    use super::*;

    /// A buzz whose pitch moves evenly between two frequencies.
    fn buzz(prosody: &mut Prosody, from: f32, to: f32, frames: usize) {
        let now = Instant::now();
        let mut phase = 0.0f32;
        for n in 0..frames {
            let mut frame = Frame::silence(SamplePosition(0), now);
            for (i, sample) in frame.samples.iter_mut().enumerate() {
                let at = (n * FRAME_SAMPLES + i) as f32 / (frames * FRAME_SAMPLES) as f32;
                phase = (phase + (from + (to - from) * at) / 16_000.0).fract();
                *sample = ((1.0 - phase).powi(3) * 8_000.0) as i16;
            }
            prosody.hear(&frame, true);
        }
    }

    #[test]
    fn a_falling_voice_ends_low_and_a_level_one_does_not() {
        let mut falling = Prosody::default();
        buzz(&mut falling, 140.0, 140.0, 60);
        buzz(&mut falling, 140.0, 95.0, 20);
        let falling = falling.ending().unwrap();
        let mut level = Prosody::default();
        buzz(&mut level, 140.0, 140.0, 80);
        let level = level.ending().unwrap();
        assert!(falling.slope < -2.0, "{falling:?}");
        assert!(falling.height < level.height - 1.0, "{falling:?} {level:?}");
        assert!(level.slope.abs() < 0.5, "{level:?}");
    }

    #[test]
    fn silence_and_noise_have_no_melody() {
        let mut prosody = Prosody::default();
        let mut state = 7u64;
        for _ in 0..50 {
            let mut frame = Frame::silence(SamplePosition(0), Instant::now());
            for sample in &mut frame.samples {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                *sample = (state >> 51) as i16 - 4_096;
            }
            prosody.hear(&frame, true);
        }
        assert_eq!(prosody.ending(), None);
    }
}
