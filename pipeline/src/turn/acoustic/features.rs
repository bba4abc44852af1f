//! What the last two seconds of speech sound like, in numbers.

use media::dsp::level::rms_dbfs;
use media::frame::{FRAME_SAMPLES, Frame};

use super::pitch::{Pitch, PitchTracker, VOICED};

/// Numbers that describe the end of a stretch of speech.
pub const FEATURES: usize = 15;
/// Their names, in order, for reports.
pub const FEATURE_NAMES: [&str; FEATURES] = [
    "pitch slope, last 300 ms",
    "pitch slope, last 600 ms",
    "last pitch above the median",
    "last pitch above the speaker's floor",
    "spread of the pitch",
    "last level above the mean",
    "level slope, last 300 ms",
    "last peak above the loudest",
    "length of the last voiced run",
    "the same against the mean run",
    "voiced share, last 300 ms",
    "voicing strength, last 200 ms",
    "spectral tilt at the end",
    "syllables a second, last 1 s",
    "time since the last syllable",
];

/// Frames remembered: 2 s.
const KEPT: usize = 100;
/// Level below the loudest, in dB, at which speech has faded out.
const FADED_DB: f32 = 30.0;
const FRAME_S: f32 = 0.02;

#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    level: f32,
    pitch: Pitch,
    /// Energy of the difference of neighbouring samples to that of the samples, in dB: high for
    /// bright sounds.
    tilt: f32,
}

impl Heard {
    fn voiced(&self) -> bool {
        self.pitch.strength > VOICED
    }
}

/// Remembers speech frame by frame, at a fixed size.
#[derive(Clone, Debug)]
pub(super) struct SpeechMemory {
    tracker: PitchTracker,
    /// The latest frames, oldest first, of which the last `filled` count.
    frames: [Heard; KEPT],
    filled: usize,
    /// Low end of the speaker's pitch in semitones, over the call.
    floor: Option<f32>,
}

impl SpeechMemory {
    pub(super) const fn new() -> Self {
        const NOTHING: Heard = Heard {
            level: 0.0,
            pitch: Pitch {
                semitones: 0.0,
                strength: 0.0,
            },
            tilt: 0.0,
        };
        Self {
            tracker: PitchTracker::new(),
            frames: [NOTHING; KEPT],
            filled: 0,
            floor: None,
        }
    }

    /// Takes a frame without speech: only what the next one must continue is kept.
    pub(super) fn pause(&mut self, frame: &Frame) {
        self.tracker.push(&frame.samples);
    }

    /// Takes a frame of speech.
    pub(super) fn speech(&mut self, frame: &Frame) {
        self.tracker.push(&frame.samples);
        let heard = Heard {
            level: rms_dbfs(&frame.samples),
            pitch: self.tracker.pitch(),
            tilt: tilt(&frame.samples),
        };
        if heard.voiced() && heard.pitch.strength > 0.8 {
            let pitch = heard.pitch.semitones;
            // Falls quickly towards lower pitches and rises slowly.
            let floor = self.floor.get_or_insert(pitch);
            let rate = if pitch < *floor { 0.2 } else { 0.005 };
            *floor += rate * (pitch - *floor);
        }
        self.frames.rotate_left(1);
        self.frames[KEPT - 1] = heard;
        self.filled = (self.filled + 1).min(KEPT);
    }

    /// Describes the end of the stretch; `None` when it is too short, or has too little pitch, to
    /// tell.
    pub(super) fn describe(&self, stretch_frames: u32) -> Option<[f32; FEATURES]> {
        let all = &self.frames[KEPT - self.filled..];
        let loudest = all.iter().map(|f| f.level).fold(f32::MIN, f32::max);
        let end = all.iter().rposition(|f| f.level > loudest - FADED_DB)? + 1;
        let all = &all[..end];
        let stretch = (stretch_frames as usize).saturating_sub(self.filled - end);
        if stretch < 5 {
            return None;
        }
        // Nothing about the end may reach back over a pause.
        let last = |frames: usize| &all[all.len().saturating_sub(frames.min(stretch))..];
        let mut features = [0.0; FEATURES];
        self.describe_pitch(all, last(30), &mut features)?;
        let level = mean(all, |f| f.level);
        features[5] = mean(last(5), |f| f.level) - level;
        features[6] = slope(last(15), |f| Some(f.level)).unwrap_or(0.0);
        let peak = last(10).iter().map(|f| f.level).fold(f32::MIN, f32::max);
        features[7] = peak - loudest;
        describe_rhythm(all, loudest, &mut features);
        features[10] = mean(last(15), |f| f32::from(u8::from(f.voiced())));
        features[11] = mean(last(10), |f| f.pitch.strength);
        features[12] = mean(last(5), |f| f.tilt) - mean(all, |f| f.tilt);
        Some(features)
    }

    fn describe_pitch(
        &self,
        all: &[Heard],
        end: &[Heard],
        features: &mut [f32; FEATURES],
    ) -> Option<()> {
        let mut sorted = [0f32; KEPT];
        let mut voiced = 0;
        for frame in all.iter().filter(|f| f.voiced()) {
            sorted[voiced] = frame.pitch.semitones;
            voiced += 1;
        }
        let recent = &end[end.len().saturating_sub(20)..];
        let mut last = [0f32; 3];
        let mut found = 0;
        for frame in recent.iter().rev().filter(|f| f.voiced()).take(3) {
            last[found] = frame.pitch.semitones;
            found += 1;
        }
        if voiced < 5 || found == 0 {
            return None;
        }
        let sorted = &mut sorted[..voiced];
        sorted.sort_unstable_by(f32::total_cmp);
        let last = &mut last[..found];
        last.sort_unstable_by(f32::total_cmp);
        let (median, last) = (sorted[voiced / 2], last[found / 2]);
        let of = |f: &Heard| {
            // Octave errors would look like the steepest slopes.
            let near = (f.pitch.semitones - median).abs() < 9.0;
            (f.voiced() && near).then_some(f.pitch.semitones)
        };
        let short = &end[end.len().saturating_sub(15)..];
        features[0] = slope(short, of).unwrap_or(0.0).clamp(-60.0, 60.0);
        features[1] = slope(end, of).unwrap_or(0.0).clamp(-40.0, 40.0);
        features[2] = (last - median).clamp(-9.0, 9.0);
        features[3] = (last - self.floor.unwrap_or(sorted[0])).clamp(-6.0, 15.0);
        features[4] = (sorted[voiced * 9 / 10] - sorted[voiced / 10]).min(15.0);
        Some(())
    }
}

fn describe_rhythm(all: &[Heard], loudest: f32, features: &mut [f32; FEATURES]) {
    let (mut runs, mut run, mut last_run, mut total) = (0u32, 0u32, 0u32, 0u32);
    for frame in all {
        if frame.voiced() {
            run += 1;
        } else if run > 0 {
            (runs, total, last_run) = (runs + 1, total + run, run);
            run = 0;
        }
    }
    if run > 0 {
        (runs, total, last_run) = (runs + 1, total + run, run);
    }
    let mean_run = total as f32 / runs.max(1) as f32;
    features[8] = last_run.min(40) as f32 * FRAME_S;
    features[9] = (last_run as f32 / mean_run.max(1.0)).min(4.0);
    // A syllable is a level that stands out of those 60 ms to either side.
    let (mut syllables, mut since) = (0u32, all.len());
    for (n, around) in all.windows(7).enumerate() {
        let here = around[3].level;
        let top = around.iter().all(|f| f.level <= here);
        let low = around.iter().map(|f| f.level).fold(f32::MAX, f32::min);
        if top && here > low + 2.0 && here > loudest - 20.0 {
            since = all.len() - (n + 4);
            syllables += u32::from(since <= 50);
        }
    }
    let seconds = all.len().min(50) as f32 * FRAME_S;
    features[13] = syllables as f32 / seconds;
    features[14] = since.min(50) as f32 * FRAME_S;
}

fn tilt(samples: &[i16; FRAME_SAMPLES]) -> f32 {
    let (mut differences, mut energy) = (1f32, 1f32);
    for pair in samples.windows(2) {
        let (a, b) = (f32::from(pair[0]), f32::from(pair[1]));
        differences += (b - a) * (b - a);
        energy += b * b;
    }
    10.0 * (differences / energy).log10()
}

fn mean(frames: &[Heard], of: impl Fn(&Heard) -> f32) -> f32 {
    frames.iter().map(of).sum::<f32>() / frames.len().max(1) as f32
}

/// Regression line's slope per second, if at least four frames have a value.
fn slope(frames: &[Heard], of: impl Fn(&Heard) -> Option<f32>) -> Option<f32> {
    let (mut n, mut sx, mut sy, mut sxx, mut sxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (index, frame) in frames.iter().enumerate() {
        if let Some(y) = of(frame) {
            let x = index as f32 * FRAME_S;
            n += 1.0;
            sx += x;
            sy += y;
            sxx += x * x;
            sxy += x * y;
        }
    }
    let spread = n * sxx - sx * sx;
    (n >= 4.0 && spread > 1e-6).then(|| (n * sxy - sx * sy) / spread)
}
