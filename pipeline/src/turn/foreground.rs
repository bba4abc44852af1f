//! Who of those that can be heard is the caller: by level. A frame that is speech to the voice
//! activity detector belongs to the caller only if it is about as loud as the caller is known to
//! be, and louder than what has turned out to be wordless background.

use media::dsp::level::rms_dbfs;
use media::frame::Frame;

/// Weak frames of the caller lie this far below the strong ones. What is weaker is the detector
/// ringing on after the last sound.
const CALLER_RANGE_DB: f32 = 22.0;
/// While the agent speaks, what is this much softer than the caller is not meant for it.
const OVERLAP_RANGE_DB: f32 = 9.5;
/// Background must be exceeded by this.
const MARGIN_DB: f32 = 3.0;
/// However loud the background, what is this close to the caller's level is the caller.
const CALLER_SURE_DB: f32 = 4.0;
/// Share of the way that the caller's known level moves with each confirmed run of speech.
const LEARN: f32 = 0.3;
/// Background is forgotten by this much in each frame: 0.1 dB a second.
const FORGET_DB: f32 = 0.002;
/// Probability given to frames that are not the caller's.
const NOT_CALLER: f32 = 0.1;
/// From here on a frame holds voice, as in the segmenter.
const VOICE: f32 = 0.35;

/// Levels of the caller and of the background.
#[derive(Clone, Copy, Debug, Default)]
pub struct Foreground {
    caller: Option<f32>,
    background: Option<f32>,
    /// Level of the strong frames of the present run of speech.
    run: Option<f32>,
    /// Level of the last second.
    recent: Option<f32>,
    /// Level over the last 100 ms.
    smooth: f32,
}

impl Foreground {
    /// Probability that `frame` holds speech of the caller.
    pub fn voice(&mut self, frame: &Frame, agent_speaks: bool) -> f32 {
        let level = rms_dbfs(&frame.samples).max(-90.0);
        let rise = if level > self.smooth { 0.5 } else { 0.3 };
        self.smooth += rise * (level - self.smooth);
        if let Some(background) = &mut self.background {
            *background -= FORGET_DB;
        }
        if frame.voice < VOICE {
            return frame.voice;
        }
        if frame.voice >= 0.5 {
            let recent = self.recent.get_or_insert(level);
            *recent += 0.06 * (level - *recent);
        }
        let threshold = self.threshold(agent_speaks);
        let crowded = match (self.background, self.caller) {
            (Some(background), Some(caller)) => caller - background < 12.0,
            (background, _) => background.is_some(),
        };
        if level < threshold || crowded && self.smooth < threshold {
            return NOT_CALLER;
        }
        let run = self.run.get_or_insert(level);
        if level > *run {
            *run += 0.3 * (level - *run);
        } else if level > *run - 12.0 {
            *run += 0.03 * (level - *run);
        }
        frame.voice
    }

    fn threshold(&self, agent_speaks: bool) -> f32 {
        let Some(caller) = self.caller else {
            let noise = self.background.map_or(-90.0, |b| b + MARGIN_DB);
            return noise.max(self.run.map_or(-90.0, |run| run - CALLER_RANGE_DB - 3.0));
        };
        let range = if agent_speaks {
            OVERLAP_RANGE_DB
        } else {
            CALLER_RANGE_DB
        };
        let noise = self.background.map_or(-90.0, |b| b + MARGIN_DB);
        (caller - range).max(noise.min(caller - CALLER_SURE_DB))
    }

    /// A new run of speech begins.
    pub const fn begin(&mut self) {
        self.run = None;
    }

    /// Words came of the present run of speech.
    pub fn confirm(&mut self) {
        if let Some(run) = self.run {
            self.caller = Some(match self.caller {
                None => run,
                Some(caller) => caller + LEARN * (run - caller),
            });
        }
    }

    /// No words came of what has been heard in the last second.
    pub fn refute(&mut self) {
        if let Some(recent) = self.recent {
            let known = self.background.unwrap_or(f32::NEG_INFINITY);
            self.background = Some(known.max(recent));
        }
        self.run = None;
    }

    /// How much louder the present run of speech is than the caller usually, in dB; `None` while
    /// one of them is not known.
    #[must_use]
    pub fn loudness(&self) -> Option<f32> {
        Some(self.run? - self.caller?)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
mod tests {
    use std::time::Instant;

    use media::frame::SamplePosition;

    use super::*;

    fn voiced(dbfs: f32) -> Frame {
        let mut frame = Frame::silence(SamplePosition(0), Instant::now());
        let peak = 32_768.0 * 10f32.powf(dbfs / 20.0);
        for (i, sample) in frame.samples.iter_mut().enumerate() {
            *sample = if i % 32 < 16 {
                peak as i16
            } else {
                -peak as i16
            };
        }
        frame.voice = 0.9;
        frame
    }

    fn hear(foreground: &mut Foreground, dbfs: f32, frames: usize, agent: bool) -> f32 {
        (0..frames)
            .map(|_| foreground.voice(&voiced(dbfs), agent))
            .last()
            .unwrap()
    }

    #[test]
    fn a_soft_voice_over_the_agent_is_not_the_callers() {
        let mut foreground = Foreground::default();
        assert_eq!(hear(&mut foreground, -20.0, 50, false), 0.9);
        foreground.confirm();
        assert_eq!(hear(&mut foreground, -35.0, 10, true), 0.1);
        assert_eq!(hear(&mut foreground, -24.0, 10, true), 0.9);
        assert_eq!(
            hear(&mut foreground, -35.0, 10, false),
            0.9,
            "nobody else speaks"
        );
    }

    #[test]
    fn wordless_sound_becomes_background_and_the_caller_stands_out() {
        let mut foreground = Foreground::default();
        assert_eq!(hear(&mut foreground, -28.0, 100, false), 0.9);
        foreground.refute();
        assert_eq!(hear(&mut foreground, -28.0, 20, false), 0.1);
        assert_eq!(hear(&mut foreground, -20.0, 20, false), 0.9);
        foreground.confirm();
        assert_eq!(hear(&mut foreground, -28.0, 20, false), 0.1);
    }

    #[test]
    fn a_loud_noise_does_not_deafen() {
        let mut foreground = Foreground::default();
        hear(&mut foreground, -25.0, 50, false);
        foreground.confirm();
        hear(&mut foreground, -10.0, 100, false);
        foreground.refute();
        assert_eq!(hear(&mut foreground, -25.0, 20, false), 0.9);
    }
}
