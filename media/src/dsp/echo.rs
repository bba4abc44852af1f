//! Keeps our own voice, as it comes back over speaker-phones and hybrids, from being taken for
//! the caller's.
//!
//! Three steps, of which the first always holds:
//!
//! 1. *Energy bound* (`bound`): a frame whose energy our own voice can account for is no speech of
//!    the caller's. Until the echo path is known the bound is what the path returned at most while
//!    the caller was silent, and before that the worst path expected.
//! 2. *Canceller*: `delay_search` finds the delay, `adaptive_filter` models 100 ms of the path from
//!    there on and its prediction is taken away.
//! 3. *Suppressor*: what is left in frames without the caller is turned down to the line's noise.
//!
//! It works only while our voice can come back, and adds no delay.

mod adaptive_filter;
mod bound;
mod delay_search;
mod far_end;
mod spectrum;

use std::fmt;

use realfft::num_complex::Complex32;

use self::adaptive_filter::AdaptiveFilter;
use self::bound::{NoiseFloor, RatioFloor};
use self::delay_search::DelaySearch;
use self::far_end::FarEnd;
use self::spectrum::Transform;
use crate::frame::{FRAME_MS, FRAME_RATE, FRAME_SAMPLES, SamplePosition};

const FRAME: i64 = FRAME_SAMPLES as i64;
/// Blocks of taps: 100 ms of the echo path.
const PARTITIONS: usize = 5;
/// How much of them, in samples, lies before the largest echo: 20 ms.
const LEAD: u64 = FRAME_SAMPLES as u64;
/// Longest delay of an echo, in samples.
const DELAY_MAX: u64 = (delay_search::PARTITIONS * FRAME_SAMPLES) as u64;
/// Samples after which nothing of what was sent comes back: the longest delay and a tail.
const REACH: u64 = DELAY_MAX + FRAME_RATE as u64 / 10;
/// Power gain of the worst path expected: -8 dB.
const GAIN_WORST: f32 = 0.16;
/// Power gain from which an echo is found: -26 dB.
const GAIN_FOUND: f32 = 0.0025;
/// Power gain believed possible when no echo was found, though the caller was never silent enough
/// to measure: -32 dB.
const GAIN_UNFOUND: f32 = 0.0006;
/// Frames of our speech in which an echo that matters is found, and learnt once found. If
/// the caller's voice hides it for longer, he is heard all the same.
const SEARCH_FRAMES: u32 = 75;
const LEARN_FRAMES: u32 = 125;
/// How far the energy of a frame may exceed the bound's average, before the path is known.
const GAIN_PEAK: f32 = 6.0;
/// The same for what the canceller leaves.
const REST_PEAK: f32 = 5.0;
/// Extra room, as energies are compared frame by frame: about 1.8 dB.
const MARGIN: f32 = 1.5;
/// What the canceller leaves, before it has been measured.
const REST_WORST: f32 = 0.25;
/// Share of the predicted echo that is never believed to be the caller: he would be 8 dB below
/// our voice in his own telephone.
const REST_SURE: f32 = 0.16;
/// Mean square from which a frame of ours is loud enough to learn from: -50 dBFS.
const FAR_LOUD: f32 = 1e4;
/// Echo loss in dB from which the canceller counts as converged.
const CONVERGED_DB: f32 = 6.0;
/// Echo loss in dB from which the filter's output is used.
const USEFUL_DB: f32 = 3.0;
/// Frames of echo that must have been measured for it.
const CONVERGED_FRAMES: u32 = 15;
/// How the averages of the echo loss fade from frame to frame: within about 1 s.
const LOSS_FADE: f32 = 0.98;
/// Difference of delays, in samples, that moves the filter: 15 ms.
const MOVED: u64 = 240;
/// Least gain of the suppressor: -30 dB.
const SUPPRESSED_MIN: f32 = 0.03;
/// Samples in which the suppressor and the choice of output move: 4 ms.
const RAMP: usize = 64;
/// Frames without the caller after which the canceller's loss is measured again.
const SINGLE_TALK_FRAMES: u32 = 25;
/// Frames that are the caller's after a frame that surely was.
const NEAR_HANGOVER: u32 = 3;

/// How wide the audio of a leg is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EchoBand {
    /// Up to 4 kHz: every codec of the leg works at 8 kHz.
    Narrow,
    /// Up to 8 kHz.
    Wide,
}

/// What a frame of the caller's direction holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EchoVerdict {
    /// Nothing of ours can come back now; the frame was left as it is.
    Idle,
    /// More than our own voice accounts for.
    NearEnd,
    /// No more than our own voice accounts for: not the caller's speech.
    Echo,
}

/// What is known of a leg's echo.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct EchoReport {
    /// Delay of the echo in ms, from our wire back to it; 0 while the path is not known.
    pub delay_ms: u16,
    /// Echo return loss enhancement: by how many dB the canceller lowers the echo, noise taken
    /// into account. 0 until measured.
    pub erle_db: f32,
    /// Whether the canceller has learnt the path.
    pub converged: bool,
    /// Milliseconds of audible echo that were kept from the voice activity detector.
    pub masked_ms: u32,
    /// Times the path was lost and learnt anew.
    pub path_changes: u16,
}

/// Echo control of one leg. Holds 102 KiB (narrow) or 107 KiB (wide), all of it allocated by
/// [`Self::new`].
pub struct EchoControl {
    far: FarEnd,
    search: DelaySearch,
    filter: AdaptiveFilter,
    transform: Transform,
    spectrum: [Complex32; FRAME_SAMPLES + 1],
    time: [f32; 2 * FRAME_SAMPLES],
    near: [f32; FRAME_SAMPLES],
    predicted: [f32; FRAME_SAMPLES],
    rest: [f32; FRAME_SAMPLES],
    /// Where the filter's window begins: samples between far and near.
    window: Option<u64>,
    /// Position at which the next frame continues the last one.
    next: Option<u64>,
    /// The newest far spectrum was taken before all of it was sent.
    search_early: bool,
    filter_early: bool,
    searching: bool,
    noise: NoiseFloor,
    /// What came to what was sent, and what was left to what was predicted.
    gain: RatioFloor,
    left: RatioFloor,
    /// Power of the last predictions: a room rings on.
    recent: [f32; 5],
    near_power: f32,
    rest_power: f32,
    loss_frames: u32,
    /// Frames of our speech since the path began to be looked for, or learnt.
    learning: u32,
    converged: bool,
    /// Powers of the last frames before and after the filter.
    before: f32,
    after: f32,
    hangover: u32,
    since_near: u32,
    /// Share of the filter's output in what is given out, and its gain.
    mix: f32,
    suppression: f32,
    masked: u32,
    path_changes: u16,
}

impl EchoControl {
    /// Echo control that has heard nothing.
    #[must_use]
    pub fn new(band: EchoBand) -> Self {
        let bins = match band {
            EchoBand::Narrow => FRAME_SAMPLES / 2 + 1,
            EchoBand::Wide => FRAME_SAMPLES + 1,
        };
        Self {
            far: FarEnd::new(),
            search: DelaySearch::new(),
            filter: AdaptiveFilter::new(FRAME_SAMPLES, bins, PARTITIONS, GAIN_WORST),
            transform: Transform::new(2 * FRAME_SAMPLES),
            spectrum: [Complex32::default(); FRAME_SAMPLES + 1],
            time: [0.0; 2 * FRAME_SAMPLES],
            near: [0.0; FRAME_SAMPLES],
            predicted: [0.0; FRAME_SAMPLES],
            rest: [0.0; FRAME_SAMPLES],
            window: None,
            next: None,
            search_early: false,
            filter_early: false,
            searching: true,
            noise: NoiseFloor::new(),
            gain: RatioFloor::new(),
            left: RatioFloor::new(),
            recent: [0.0; 5],
            near_power: 0.0,
            rest_power: 0.0,
            loss_frames: 0,
            learning: 0,
            converged: false,
            before: 0.0,
            after: 0.0,
            hangover: 0,
            since_near: 0,
            mix: 0.0,
            suppression: 1.0,
            masked: 0,
            path_changes: 0,
        }
    }

    /// Notes audio that goes to the caller at `position` of the leg's timeline, after every gain.
    /// A carrier's stream notes it ahead of its time.
    pub fn sent(&mut self, position: SamplePosition, pcm: &[i16]) {
        self.far.write(position, pcm);
    }

    /// What was noted from `position` on is dropped before it is played.
    pub fn dropped(&mut self, position: SamplePosition) {
        self.far.drop_from(position);
    }

    /// Takes our voice out of the caller's frame at `position` and tells whether anything else is
    /// in it. Of a frame that is not `known`, because it was concealed, nothing is learnt.
    pub fn process(
        &mut self,
        frame: &mut [i16; FRAME_SAMPLES],
        position: SamplePosition,
        known: bool,
    ) -> EchoVerdict {
        let begin = position.0 as i64;
        let continued = self.next == Some(position.0);
        if !self.far.is_active(position.0 + FRAME as u64, REACH) {
            self.next = None;
            self.hangover = 0;
            (self.mix, self.suppression) = (0.0, 1.0);
            if known {
                self.noise.take(power_of(frame));
            }
            return EchoVerdict::Idle;
        }
        self.next = Some(position.0 + FRAME as u64);
        for (near, &sample) in self.near.iter_mut().zip(&*frame) {
            *near = f32::from(sample);
        }
        if self.searching {
            self.search(begin, continued, known);
        }
        let came = power(&self.near);
        let rest = self.cancel(begin, continued, known);
        let verdict = self.judge(begin, came, rest, known);
        self.give(frame, came, rest, verdict);
        verdict
    }

    /// What is known of the echo.
    #[must_use]
    pub fn report(&self) -> EchoReport {
        EchoReport {
            delay_ms: self.window.filter(|_| self.converged).map_or(0, |window| {
                // Bounded by the range of the search.
                ((window + LEAD) * 1000 / u64::from(FRAME_RATE)) as u16
            }),
            erle_db: if self.loss_frames >= CONVERGED_FRAMES {
                self.loss_db()
            } else {
                0.0
            },
            converged: self.converged,
            masked_ms: self.masked.saturating_mul(FRAME_MS),
            path_changes: self.path_changes,
        }
    }

    /// Looks for the delay, and moves the filter to it.
    fn search(&mut self, begin: i64, continued: bool, known: bool) {
        if !continued {
            for back in (1..delay_search::PARTITIONS as i64).rev() {
                self.far_spectrum(begin - back * FRAME);
                self.search.push_far(&self.spectrum);
            }
        } else if self.search_early {
            self.far_spectrum(begin - FRAME);
            self.search.replace_far(&self.spectrum);
        }
        self.search_early = !self.far_spectrum(begin);
        self.search.push_far(&self.spectrum);
        if !known {
            return;
        }
        self.time[..FRAME_SAMPLES].fill(0.0);
        self.time[FRAME_SAMPLES..].copy_from_slice(&self.near);
        self.transform.forward(&mut self.time, &mut self.spectrum);
        self.search.take_near(&self.spectrum);
        if let Some(delay) = self.search.delay() {
            let window = delay.saturating_sub(LEAD);
            if self.window.is_none_or(|old| old.abs_diff(window) > MOVED) {
                self.window = Some(window);
                self.forget_path();
                self.next = None;
            }
        }
    }

    /// Spectrum of the far samples of two blocks, the newer of which begins at `begin`; whether
    /// all of them have been sent.
    fn far_spectrum(&mut self, begin: i64) -> bool {
        self.far.read(begin - FRAME, &mut self.time);
        self.transform.forward(&mut self.time, &mut self.spectrum);
        self.far.is_written((begin + FRAME).max(0) as u64)
    }

    /// Leaves in `rest` what the filter does not explain; returns its power.
    fn cancel(&mut self, begin: i64, continued: bool, known: bool) -> f32 {
        let Some(window) = self.window else {
            self.rest = self.near;
            self.predicted.fill(0.0);
            return power(&self.rest);
        };
        let begin = begin - window as i64;
        // The window may just have moved, which `next` tells.
        if !continued || self.next.is_none() {
            for back in (1..PARTITIONS as i64).rev() {
                self.far_spectrum(begin - back * FRAME);
                self.filter.push_far(&self.spectrum);
            }
            self.next
                .get_or_insert((begin + window as i64 + FRAME) as u64);
        } else if self.filter_early {
            self.far_spectrum(begin - FRAME);
            self.filter.replace_far(&self.spectrum);
        }
        self.filter_early = !self.far_spectrum(begin);
        self.filter.push_far(&self.spectrum);
        self.filter.predict(&mut self.predicted);
        for ((rest, near), predicted) in self.rest.iter_mut().zip(&self.near).zip(&self.predicted) {
            *rest = near - predicted;
        }
        if known {
            self.filter.adapt(&self.rest);
            for _ in 0..PARTITIONS {
                self.filter.constrain();
            }
        }
        power(&self.rest)
    }

    fn judge(&mut self, begin: i64, came: f32, rest: f32, known: bool) -> EchoVerdict {
        let predicted = power(&self.predicted);
        self.recent.rotate_right(1);
        self.recent[0] = predicted;
        if known {
            self.watch_path(came, rest, predicted);
            self.learn_gain(begin, came);
        }
        let rest = if self.is_useful() {
            rest.min(came)
        } else {
            came
        };
        let limit = self.limit(begin);
        let within = rest <= limit;
        let noise = self.noise.power();
        self.hangover = if rest > 4.0 * limit && rest > 4.0 * noise {
            NEAR_HANGOVER
        } else {
            self.hangover.saturating_sub(1)
        };
        let echo = within && (self.hangover == 0 || 4.0 * rest < limit);
        if known {
            self.since_near = if echo {
                self.since_near.saturating_add(1)
            } else {
                0
            };
            if self.converged && self.since_near > SINGLE_TALK_FRAMES {
                self.measure_loss(came, rest, predicted);
            }
            if !echo && limit < noise {
                self.noise.take(rest);
            } else {
                self.noise.fall(rest);
            }
        }
        if echo && came > 8.0 * noise {
            self.masked = self.masked.saturating_add(1);
        }
        if echo {
            EchoVerdict::Echo
        } else {
            EchoVerdict::NearEnd
        }
    }

    /// Most energy that our own voice can account for in this frame.
    fn limit(&self, begin: i64) -> f32 {
        if self.converged {
            let left = self.left.floor().unwrap_or(REST_WORST).min(REST_WORST);
            let echo = self.recent.iter().copied().fold(0.0, f32::max);
            return (left * REST_PEAK).max(REST_SURE) * echo;
        }
        let learnt = match self.window {
            None => self.learning > SEARCH_FRAMES,
            Some(_) => self.learning > LEARN_FRAMES,
        };
        let gain = match self.gain.floor() {
            Some(floor) if !learnt => GAIN_WORST.min(floor * GAIN_PEAK),
            None if !learnt => GAIN_WORST,
            // The caller was silent for a moment, and this is what came then.
            Some(floor) if floor < GAIN_FOUND => floor * GAIN_PEAK,
            Some(_) | None => GAIN_UNFOUND,
        };
        let end = begin + FRAME;
        gain * MARGIN * self.far.peak_energy(begin - REACH as i64, end)
    }

    /// Measures what comes back at most, whatever the delay: over the delays the least energy that
    /// can have caused it.
    fn learn_gain(&mut self, begin: i64, came: f32) {
        if self.converged {
            return;
        }
        const STEP: usize = FRAME_RATE as usize / 10;
        const FRAMES: i64 = FRAME_RATE as i64 / 2;
        let end = begin + FRAME;
        if self.far.peak_energy(end - FRAME, end) > FAR_LOUD {
            self.learning = self.learning.saturating_add(1);
        }
        let causes = (0..=DELAY_MAX as i64)
            .step_by(STEP)
            .map(|delay| self.far.mean_energy(end - delay - FRAMES, end - delay));
        self.gain.take(came, causes.fold(f32::INFINITY, f32::min));
    }

    /// Notices that the canceller has converged, or that the path has changed.
    fn watch_path(&mut self, came: f32, rest: f32, predicted: f32) {
        if self.window.is_none() {
            return;
        }
        self.left.take(rest, predicted);
        self.before = 0.8 * self.before + came;
        self.after = 0.8 * self.after + rest;
        if !self.converged {
            self.measure_loss(came, rest, predicted);
        }
        let noise = self.noise.power();
        let worse = self.after > 1.3 * self.before + 5.0 * noise;
        if worse {
            if self.converged {
                self.path_changes = self.path_changes.saturating_add(1);
                self.learning = 0;
                self.gain.forget();
                self.search.forget();
                // The search has not followed the far end while the filter did its work.
                self.next = None;
            }
            self.forget_path();
        } else if !self.converged
            && self.loss_frames >= CONVERGED_FRAMES
            && self.loss_db() >= CONVERGED_DB
        {
            self.converged = true;
        }
        self.searching = !self.converged;
    }

    fn measure_loss(&mut self, came: f32, rest: f32, predicted: f32) {
        let noise = self.noise.power();
        if predicted < 4.0 * noise.min(came) || predicted < 0.25 * came {
            return;
        }
        self.loss_frames = self.loss_frames.saturating_add(1);
        self.near_power = LOSS_FADE * self.near_power + (came - noise).max(0.0);
        self.rest_power = LOSS_FADE * self.rest_power + (rest - noise).max(0.0);
    }

    /// Whether the filter's output is better than its input, by more than chance.
    fn is_useful(&self) -> bool {
        self.converged || self.loss_frames >= CONVERGED_FRAMES && self.loss_db() > USEFUL_DB
    }

    fn loss_db(&self) -> f32 {
        let rest = self.rest_power.max(self.near_power * 1e-4).max(1e-3);
        10.0 * (self.near_power.max(1e-3) / rest).log10()
    }

    fn forget_path(&mut self) {
        self.filter.forget();
        self.left.forget();
        self.converged = false;
        self.loss_frames = 0;
        (self.near_power, self.rest_power) = (0.0, 0.0);
        (self.before, self.after) = (0.0, 0.0);
        self.recent = [0.0; 5];
    }

    /// Writes what is left into the frame, without steps between one frame and the next.
    fn give(&mut self, frame: &mut [i16], came: f32, rest: f32, verdict: EchoVerdict) {
        let mix = if self.is_useful() && rest < came {
            1.0
        } else {
            0.0
        };
        let suppression = if verdict == EchoVerdict::Echo && self.converged {
            let target = (2.0 * self.noise.power() / rest.max(1.0)).sqrt();
            target.clamp(SUPPRESSED_MIN, 1.0)
        } else {
            1.0
        };
        let (mix_step, step) = (
            (mix - self.mix) / RAMP as f32,
            (suppression - self.suppression) / RAMP as f32,
        );
        for (n, (out, (near, predicted))) in frame
            .iter_mut()
            .zip(self.near.iter().zip(&self.predicted))
            .enumerate()
        {
            if n < RAMP {
                self.mix += mix_step;
                self.suppression += step;
            }
            *out = ((near - self.mix * predicted) * self.suppression) as i16;
        }
        (self.mix, self.suppression) = (mix, suppression);
    }
}

impl fmt::Debug for EchoControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EchoControl")
            .field("report", &self.report())
            .finish_non_exhaustive()
    }
}

fn power(samples: &[f32]) -> f32 {
    samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32
}

fn power_of(samples: &[i16]) -> f32 {
    let sum: f32 = samples.iter().map(|&s| f32::from(s) * f32::from(s)).sum();
    sum / samples.len() as f32
}

#[cfg(test)]
mod tests;
