//! Loss concealment on decoded PCM, in the manner of G.711 Appendix I.
//!
//! The last pitch period is repeated through the gap: at full level for 10 ms, then fading by
//! 20 % per 10 ms to silence at 60 ms, with two and three periods in turn so that it does not
//! buzz. Unlike the Appendix nothing is delayed by 3.75 ms to smooth the first edge: the step
//! there is spread over the first quarter period instead, since a recogniser gains more from
//! early audio than from a perfect seam.

/// Longest pitch period in ms (66 Hz).
const PERIOD_MAX_MS: usize = 15;
/// Shortest pitch period in ms (200 Hz).
const PERIOD_MIN_MS: usize = 5;
/// Correlation window in ms.
const WINDOW_MS: usize = 20;
/// Periods repeated in turn at most.
const PERIODS_MAX: usize = 3;
/// Gap after which another period joins, and in which the level falls by a fifth.
const STEP_MS: usize = 10;
/// Gap that is filled; silence follows.
const GAP_MAX_MS: usize = 60;
/// Cross-fade back into received audio: 4 ms, plus 4 ms per 10 ms of gap, at most 10 ms.
const FADE_MS: usize = 4;
const FADE_MAX_MS: usize = 10;
/// Unity gain, Q15.
const UNITY: i32 = 1 << 15;
/// Samples per ms at the highest rate.
const PER_MS_MAX: usize = 16;
/// Three periods and the quarter before them.
const HISTORY: usize = PER_MS_MAX * (PERIODS_MAX * PERIOD_MAX_MS + PERIOD_MAX_MS / 4 + 1);

/// Conceals lost audio of one leg. Holds 48 ms of history inline and allocates nothing.
#[derive(Clone, Debug)]
pub struct Concealer {
    /// Samples per ms.
    per_ms: usize,
    /// The last samples given out, oldest first; the front is unused at 8 kHz.
    history: [i16; HISTORY],
    /// Samples at the end of `history` that are real.
    known: usize,
    /// The samples repeated, taken when the gap began.
    cycle: Cycle,
    /// Samples of the gap filled so far; zero outside a gap.
    gap: usize,
}

#[derive(Clone, Debug)]
struct Cycle {
    /// Up to three periods, the newest last.
    samples: [i16; PER_MS_MAX * PERIODS_MAX * PERIOD_MAX_MS],
    /// What lies before them, for the seam.
    lead: [i16; PER_MS_MAX * PERIOD_MAX_MS / 4],
    length: usize,
    period: usize,
    /// Periods in use.
    periods: usize,
    /// Place within the periods in use.
    at: usize,
    /// Difference at the first edge, spread over the first quarter period.
    step: i32,
}

impl Concealer {
    /// A concealer for PCM of `rate_hz`, 8000 or 16000; other rates work with the pitch range
    /// scaled to the nearer of the two.
    #[must_use]
    pub const fn new(rate_hz: u32) -> Self {
        Self {
            per_ms: if rate_hz <= 12_000 { 8 } else { PER_MS_MAX },
            history: [0; HISTORY],
            known: 0,
            cycle: Cycle {
                samples: [0; PER_MS_MAX * PERIODS_MAX * PERIOD_MAX_MS],
                lead: [0; PER_MS_MAX * PERIOD_MAX_MS / 4],
                length: 0,
                period: 0,
                periods: 0,
                at: 0,
                step: 0,
            },
            gap: 0,
        }
    }

    /// Takes decoded audio that is about to be given out. After a gap its beginning is
    /// cross-faded with the end of the concealment.
    pub fn received(&mut self, pcm: &mut [i16]) {
        if self.gap > 0 {
            let gap_ms = self.gap / self.per_ms;
            let fade_ms = FADE_MS + 4 * (gap_ms.saturating_sub(1) / STEP_MS);
            let fade = (fade_ms.min(FADE_MAX_MS) * self.per_ms).min(pcm.len());
            for (done, sample) in pcm.iter_mut().take(fade).enumerate() {
                let rising = ratio(done + 1, fade + 1);
                let old = i32::from(self.next_sample());
                *sample = blend(old, i32::from(*sample), rising);
            }
            self.gap = 0;
        }
        self.remember(pcm);
    }

    /// Fills `pcm` for lost audio. Works for any length; what was never heard is silence.
    pub fn conceal(&mut self, pcm: &mut [i16]) {
        if self.gap == 0 {
            self.begin();
        }
        for sample in pcm.iter_mut() {
            *sample = self.next_sample();
        }
        self.remember(pcm);
    }

    /// Forgets everything: another source follows, or silence was played meanwhile.
    pub fn reset(&mut self) {
        self.known = 0;
        self.gap = 0;
    }

    /// Whether the last audio was concealed.
    #[must_use]
    pub const fn is_concealing(&self) -> bool {
        self.gap > 0
    }

    fn begin(&mut self) {
        let quarter_max = self.per_ms * PERIOD_MAX_MS / 4;
        if self.known < self.per_ms * (PERIODS_MAX * PERIOD_MAX_MS) + quarter_max {
            // Too little was heard to repeat.
            self.cycle.length = 0;
            return;
        }
        let period = self.pitch_period();
        let quarter = period / 4;
        let length = period * PERIODS_MAX;
        let start = HISTORY - length;
        self.cycle.samples[..length].copy_from_slice(&self.history[start..]);
        self.cycle.lead[..quarter].copy_from_slice(&self.history[start - quarter..][..quarter]);
        let last = i32::from(self.history[HISTORY - 1]);
        let before = i32::from(self.history[HISTORY - period - 1]);
        self.cycle.length = length;
        self.cycle.period = period;
        self.cycle.periods = 1;
        self.cycle.at = 0;
        self.cycle.step = last - before;
    }

    /// The next sample of the concealment, faded.
    fn next_sample(&mut self) -> i16 {
        let filled = self.gap;
        self.gap += 1;
        if self.cycle.length == 0 || filled >= GAP_MAX_MS * self.per_ms {
            return 0;
        }
        let gain = gain(filled, self.per_ms);
        let periods = (filled / (STEP_MS * self.per_ms) + 1).min(PERIODS_MAX);
        self.cycle.extend_to(periods);
        let mut sample = self.cycle.next();
        let quarter = (self.cycle.period / 4).max(1);
        if filled < quarter {
            // Halves keep the product of a full-scale step in range.
            let share = (UNITY - ratio(filled + 1, quarter + 1)) / 2;
            sample += self.cycle.step * share / (UNITY / 2);
            sample = i32::from(saturate(sample));
        }
        saturate(sample * gain / UNITY)
    }

    /// The lag at which the last 20 ms resemble what came before most, by normalised
    /// correlation: coarsely at 4 kHz, then exactly around the best.
    fn pitch_period(&self) -> usize {
        let min = PERIOD_MIN_MS * self.per_ms;
        let max = PERIOD_MAX_MS * self.per_ms;
        let stride = self.per_ms / 4;
        let coarse = self.best_lag(min, max, stride, stride);
        let low = coarse.saturating_sub(stride - 1).max(min);
        let high = (coarse + stride - 1).min(max);
        self.best_lag(low, high, 1, stride.div_ceil(2))
    }

    fn best_lag(&self, low: usize, high: usize, lag_step: usize, sample_step: usize) -> usize {
        let window = WINDOW_MS * self.per_ms;
        let recent = &self.history[HISTORY - window..];
        let mut best = (0.0, low);
        for lag in (low..=high).step_by(lag_step) {
            let earlier = &self.history[HISTORY - window - lag..HISTORY - lag];
            let mut product = 0i64;
            let mut energy = 0i64;
            let pairs = recent.iter().zip(earlier).step_by(sample_step);
            for (now, then) in pairs {
                product += i64::from(i32::from(*now) * i32::from(*then));
                energy += i64::from(i32::from(*then) * i32::from(*then));
            }
            #[expect(
                clippy::cast_precision_loss,
                reason = "a comparison of magnitudes needs no exact sums"
            )]
            let score = product as f32 / (energy.max(1) as f32).sqrt();
            if score > best.0 {
                best = (score, lag);
            }
        }
        best.1
    }

    fn remember(&mut self, pcm: &[i16]) {
        let recent = &pcm[pcm.len().saturating_sub(HISTORY)..];
        self.history.copy_within(recent.len().., 0);
        self.history[HISTORY - recent.len()..].copy_from_slice(recent);
        self.known = (self.known + recent.len()).min(HISTORY);
    }
}

impl Cycle {
    /// Uses `periods` of the newest periods, staying at the same phase.
    fn extend_to(&mut self, periods: usize) {
        if periods > self.periods {
            self.at += (periods - self.periods) * self.period;
            self.periods = periods;
        }
    }

    /// The next sample. The last quarter of the newest period leads over to the first period in
    /// use, so that the repetition has no seam.
    fn next(&mut self) -> i32 {
        let used = self.periods * self.period;
        let start = self.length - used;
        let quarter = self.period / 4;
        let sample = i32::from(self.samples[start + self.at]);
        let left = used - self.at;
        let sample = if left <= quarter {
            let rising = ratio(quarter - left + 1, quarter + 1);
            let over = if start >= quarter {
                self.samples[start - left]
            } else {
                self.lead[quarter - left]
            };
            i32::from(blend(sample, i32::from(over), rising))
        } else {
            sample
        };
        self.at = (self.at + 1) % used.max(1);
        sample
    }
}

/// Level after `filled` samples of a gap: full for 10 ms, then falling by a fifth per 10 ms.
fn gain(filled: usize, per_ms: usize) -> i32 {
    let step = STEP_MS * per_ms;
    let fading = filled.saturating_sub(step);
    (UNITY - ratio(fading, 5 * step)).max(0)
}

/// `part / whole` in Q15.
fn ratio(part: usize, whole: usize) -> i32 {
    let whole = whole.max(1);
    i32::try_from((part << 15) / whole).unwrap_or(UNITY)
}

/// `old` at `UNITY - rising` and `new` at `rising`.
fn blend(old: i32, new: i32, rising: i32) -> i16 {
    saturate((old * (UNITY - rising) + new * rising) / UNITY)
}

fn saturate(sample: i32) -> i16 {
    i16::try_from(sample.clamp(i32::from(i16::MIN), i32::from(i16::MAX))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    /// A voiced sound: harmonics of `pitch_hz` that fall off with frequency.
    fn voice(rate: u32, pitch_hz: f64, samples: usize) -> Vec<i16> {
        (0..samples)
            .map(|at| {
                let time = at as f64 / f64::from(rate);
                let sum: f64 = (1..=8)
                    .map(|harmonic| {
                        let harmonic = f64::from(harmonic);
                        (TAU * pitch_hz * harmonic * time + harmonic).sin() / harmonic
                    })
                    .sum();
                (sum * 6000.0) as i16
            })
            .collect()
    }

    /// Plays `signal` in 20 ms frames with the frames in `lost` concealed.
    fn play(rate: u32, signal: &[i16], lost: std::ops::Range<usize>) -> Vec<i16> {
        let frame = rate as usize / 50;
        let mut concealer = Concealer::new(rate);
        let mut out = signal.to_vec();
        for (number, pcm) in out.chunks_mut(frame).enumerate() {
            if lost.contains(&number) {
                concealer.conceal(pcm);
            } else {
                concealer.received(pcm);
            }
        }
        out
    }

    fn energy(pcm: &[i16]) -> f64 {
        pcm.iter().map(|sample| f64::from(*sample).powi(2)).sum()
    }

    fn snr_db(truth: &[i16], heard: &[i16]) -> f64 {
        let noise: f64 = truth
            .iter()
            .zip(heard)
            .map(|(truth, heard)| (f64::from(*truth) - f64::from(*heard)).powi(2))
            .sum();
        10.0 * (energy(truth) / noise.max(1.0)).log10()
    }

    fn steepest(pcm: &[i16]) -> i32 {
        let step = |pair: &[i16]| (i32::from(pair[1]) - i32::from(pair[0])).abs();
        pcm.windows(2).map(step).max().unwrap_or(0)
    }

    #[test]
    fn one_lost_frame_of_a_voice_is_hardly_noticed() {
        for rate in [8_000, 16_000] {
            let frame = rate as usize / 50;
            for pitch in [80.0, 100.0, 125.0, 160.0, 190.0] {
                let signal = voice(rate, pitch, frame * 20);
                let heard = play(rate, &signal, 10..11);
                let span = frame * 10..frame * 11;
                let snr = snr_db(&signal[span.clone()], &heard[span.clone()]);
                // The last 10 ms fade by a fifth, which alone bounds this near 16 dB; silence
                // in place of the frame gives 0 dB.
                assert!(snr > 10.0, "{snr:.1} dB at {rate} Hz, pitch {pitch}");
                let around = span.start - frame..span.end + frame;
                let limit = steepest(&signal) * 3 / 2;
                assert!(steepest(&heard[around]) <= limit, "click at pitch {pitch}");
                assert_eq!(heard[..span.start], signal[..span.start]);
                assert_eq!(heard[span.end + frame..], signal[span.end + frame..]);
            }
        }
    }

    #[test]
    fn a_long_gap_fades_to_silence_at_60_ms() {
        for rate in [8_000, 16_000] {
            let frame = rate as usize / 50;
            let step = frame / 2;
            let signal = voice(rate, 100.0, frame * 20);
            let heard = play(rate, &signal, 10..16);
            let gap = &heard[frame * 10..frame * 16];
            let levels: Vec<_> = gap
                .chunks(step)
                .map(|ten_ms| energy(ten_ms).sqrt())
                .collect();
            let full = levels[0];
            for (number, level) in levels.iter().enumerate().take(6) {
                // Level in the middle of each 10 ms.
                let expected = (1.1 - 0.2 * number as f64).min(1.0);
                let share = level / full;
                assert!(
                    (share - expected).abs() < 0.08,
                    "{share:.2} in step {number}"
                );
            }
            assert!(gap[step * 6..].iter().all(|sample| *sample == 0));
            // Audio comes back faded in over 10 ms.
            let back = &heard[frame * 16..];
            assert!(steepest(&heard[frame * 16 - 2..]) <= steepest(&signal) * 3 / 2);
            assert_eq!(back[step..], signal[frame * 16 + step..]);
        }
    }

    #[test]
    fn nothing_heard_is_silence() {
        let mut concealer = Concealer::new(8000);
        let mut pcm = [7; 160];
        concealer.conceal(&mut pcm);
        assert_eq!(pcm, [0; 160]);
        let mut pcm = [1000; 160];
        concealer.received(&mut pcm);
        concealer.reset();
        concealer.conceal(&mut pcm);
        assert_eq!(pcm, [0; 160]);
    }

    #[test]
    fn the_length_of_the_pieces_does_not_matter() {
        let signal = voice(8000, 110.0, 1600);
        let mut whole = Concealer::new(8000);
        whole.received(&mut signal.clone());
        let mut pieces = whole.clone();
        let mut expected = [0; 480];
        whole.conceal(&mut expected);
        let mut heard = [0; 480];
        for piece in heard.chunks_mut(7) {
            pieces.conceal(piece);
        }
        assert_eq!(heard, expected);
    }

    #[test]
    fn full_scale_and_noise_stay_in_range() {
        // Pseudo-random full-scale samples; overflow would panic in this build.
        let mut state = 1u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if state >> 31 == 0 { i16::MIN } else { i16::MAX }
        };
        let mut concealer = Concealer::new(16_000);
        for round in 0..200 {
            let mut pcm: Vec<i16> = (0..320).map(|_| noise()).collect();
            if round % 5 < 3 {
                concealer.received(&mut pcm);
            } else {
                concealer.conceal(&mut pcm);
            }
        }
        assert!(concealer.is_concealing());
    }
}
