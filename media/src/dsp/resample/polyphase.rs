//! Fixed polyphase FIR filter for rates in integer ratio.
//!
//! Seen from outside: raise the rate by `up` (stuffing zeros), low-pass, keep every `down`-th
//! sample. Only the products that reach the output are computed. Coefficients are 16-bit fixed
//! point, so a row is a chain of 16 x 16 bit products, which vectorizes eightfold on any x86-64,
//! and the result is the same on every machine.

use std::f64::consts::PI;

/// Input samples taken at a time; bounds the buffer, not the caller.
const BLOCK: usize = 480;
/// Rows are padded to a multiple of this, the width of the vector unit.
const LANES: usize = 8;
/// Design attenuation of images and aliases in dB. Quantized coefficients and the odd tap count
/// leave a few dB less.
const STOP_BAND_DB: f64 = 60.0;
/// Width of the transition, centred on the Nyquist frequency of the lower rate, relative to it:
/// from 3.4 to 4.6 kHz when that is 4 kHz.
const TRANSITION: f64 = 0.3;

/// Whether the pair is one this filter is made for.
pub(super) fn handles(from: u32, to: u32) -> bool {
    const RATES: [u32; 4] = [8_000, 16_000, 24_000, 48_000];
    RATES.contains(&from) && RATES.contains(&to)
}

#[derive(Debug)]
pub(super) struct PolyphaseResampler {
    up: usize,
    down: usize,
    /// Coefficients, one row per phase, each in the order of the samples it meets.
    rows: Vec<Row>,
    /// Fraction bits of the coefficients.
    shift: u32,
    /// The last `row_len - 1` samples, then room for a block.
    samples: Vec<i16>,
    row_len: usize,
    /// Place of the next output, in steps of the raised rate behind the last input seen.
    next: usize,
    /// Samples of digital silence taken last, in a row.
    zeros: usize,
    /// Delay in steps of the raised rate, and that rate in Hz.
    delay: usize,
    raised_rate: u32,
}

#[derive(Debug)]
struct Row {
    /// Where the first coefficient meets the samples.
    offset: usize,
    coefficients: Box<[i16]>,
}

impl PolyphaseResampler {
    pub(super) fn new(from: u32, to: u32) -> Self {
        let divisor = gcd(from, to);
        let up = (to / divisor) as usize;
        let down = (from / divisor) as usize;
        let raised_rate = from * (to / divisor);
        let prototype = low_pass(f64::from(from.min(to)) / f64::from(raised_rate));
        let delay = (prototype.len() - 1) / 2;
        let row_len = prototype.len().div_ceil(up).next_multiple_of(LANES);

        let rows: Vec<Vec<f64>> = (0..up)
            .map(|phase| {
                let mut row: Vec<f64> = prototype.iter().skip(phase).step_by(up).copied().collect();
                // Every phase passes a constant unchanged: no image of it can remain.
                let sum: f64 = row.iter().sum();
                row.iter_mut().for_each(|tap| *tap /= sum);
                row
            })
            .collect();
        let shift = fraction_bits(&rows);
        let rows = rows
            .iter()
            .map(|row| Row::new(row, row_len, shift))
            .collect();
        Self {
            up,
            down,
            rows,
            shift,
            samples: vec![0; row_len - 1 + BLOCK],
            row_len,
            next: 0,
            zeros: row_len,
            delay,
            raised_rate,
        }
    }

    /// `output` holds at least as many samples as come out.
    pub(super) fn process(&mut self, input: &[i16], output: &mut [i16]) -> usize {
        let past = self.row_len - 1;
        let half = 1 << (self.shift - 1);
        let mut written = 0;
        for block in input.chunks(BLOCK) {
            if self.zeros >= past && block.iter().all(|&sample| sample == 0) {
                written += self.pass_silence(block.len(), &mut output[written..]);
                continue;
            }
            self.zeros = trailing_zeros(block, self.zeros);
            self.samples[past..past + block.len()].copy_from_slice(block);
            let end = block.len() * self.up;
            let (mut place, mut phase) = (self.next / self.up, self.next % self.up);
            while self.next < end {
                let row = &self.rows[phase];
                let met = &self.samples[place + row.offset..][..row.coefficients.len()];
                let sum = dot(&row.coefficients, met);
                output[written] = clip((sum + half) >> self.shift);
                written += 1;
                self.next += self.down;
                phase += self.down;
                while phase >= self.up {
                    phase -= self.up;
                    place += 1;
                }
            }
            self.next -= end;
            self.samples.copy_within(block.len()..block.len() + past, 0);
        }
        written
    }

    /// What `len` samples of silence after silence come to, without a filter: a party that is not
    /// speaking costs nothing.
    fn pass_silence(&mut self, len: usize, output: &mut [i16]) -> usize {
        let end = len * self.up;
        let made = end.saturating_sub(self.next).div_ceil(self.down);
        output[..made].fill(0);
        self.next += made * self.down;
        self.next -= end;
        made
    }

    pub(super) fn flush(&mut self, output: &mut [i16]) -> usize {
        let mut written = 0;
        let wanted = self.delay_samples();
        while written < wanted {
            let mut tail = [0; 4];
            let made = self.process(&[0], &mut tail[..]);
            let kept = made.min(wanted - written);
            output[written..written + kept].copy_from_slice(&tail[..kept]);
            written += kept;
        }
        self.reset();
        written
    }

    pub(super) fn reset(&mut self) {
        self.samples.fill(0);
        self.zeros = self.row_len;
        self.next = 0;
    }

    /// Delay in samples of the output, rounded up.
    pub(super) fn delay_samples(&self) -> usize {
        self.delay.div_ceil(self.down)
    }

    pub(super) fn delay_ms(&self) -> f32 {
        self.delay as f32 * 1000.0 / self.raised_rate as f32
    }
}

/// Zeros at the end of `block`, and before it when there is nothing else in it.
fn trailing_zeros(block: &[i16], before: usize) -> usize {
    let zeros = block
        .iter()
        .rev()
        .take_while(|&&sample| sample == 0)
        .count();
    if zeros == block.len() {
        before + zeros
    } else {
        zeros
    }
}

impl Row {
    fn new(taps: &[f64], row_len: usize, shift: u32) -> Self {
        let scale = f64::from(1u32 << shift);
        // The newest sample is met last, so the taps run backwards; padding goes to the old end.
        let mut coefficients = vec![0i16; row_len];
        for (coefficient, tap) in coefficients.iter_mut().rev().zip(taps) {
            *coefficient = (tap * scale).round() as i16;
        }
        // What rounding took from the sum goes to the largest tap, where it matters least.
        let sum: i32 = coefficients.iter().map(|&c| i32::from(c)).sum();
        if let Some(largest) = coefficients.iter_mut().max_by_key(|c| c.unsigned_abs()) {
            *largest += ((1 << shift) - sum) as i16;
        }
        // In a half-band filter every other tap is zero, and one phase a mere delay.
        let mut taps = coefficients.iter().enumerate().filter(|(_, c)| **c != 0);
        match (taps.next(), taps.next()) {
            (Some((offset, &only)), None) => Self {
                offset,
                coefficients: Box::new([only]),
            },
            _ => Self {
                offset: 0,
                coefficients: coefficients.into(),
            },
        }
    }
}

fn dot(coefficients: &[i16], samples: &[i16]) -> i32 {
    coefficients
        .iter()
        .zip(samples)
        .map(|(&c, &s)| i32::from(c) * i32::from(s))
        .sum()
}

fn clip(value: i32) -> i16 {
    value.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

/// The most fraction bits with which all taps fit 16 bits and no sum of products can exceed 32.
fn fraction_bits(rows: &[Vec<f64>]) -> u32 {
    let fits = |bits: u32| {
        let scale = f64::from(1u32 << bits);
        rows.iter().all(|row| {
            let largest = row.iter().fold(0.0f64, |max, tap| max.max(tap.abs()));
            let sum: f64 = row.iter().map(|tap| tap.abs()).sum();
            // One part in 64 is kept back for rounding.
            largest * scale < 32_700.0 && sum * scale * 32_768.0 < 2_147_483_648.0 * 63.0 / 64.0
        })
    };
    (1..=15).rev().find(|&bits| fits(bits)).unwrap_or(1)
}

/// Kaiser-windowed sinc that halves the amplitude at `cutoff` / 2 (relative to the raised rate).
fn low_pass(cutoff: f64) -> Vec<f64> {
    let transition = TRANSITION * cutoff / 2.0;
    let exact = (STOP_BAND_DB - 7.95) / (14.36 * transition) + 1.0;
    // Odd, so that the delay is whole; 3 modulo 4, so that a half-band filter ends in non-zeros.
    let len = ((exact / 4.0).round() as usize) * 4 - 1;
    let beta = 0.1102 * (STOP_BAND_DB - 8.7);
    let centre = (len - 1) as f64 / 2.0;
    (0..len)
        .map(|n| {
            let x = n as f64 - centre;
            let edge = x / (centre + 1.0);
            cutoff * sinc(cutoff * x) * bessel_i0(beta * (1.0 - edge * edge).sqrt())
                / bessel_i0(beta)
        })
        .collect()
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        1.0
    } else if x.fract() == 0.0 {
        0.0
    } else {
        (PI * x).sin() / (PI * x)
    }
}

/// Modified Bessel function of the first kind, order zero, by its power series.
fn bessel_i0(x: f64) -> f64 {
    let quarter_square = x * x / 4.0;
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..64 {
        term *= quarter_square / f64::from(k * k);
        sum += term;
    }
    sum
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_passed_as_the_filter_would_pass_it() {
        for (from, to) in [
            (8_000, 16_000),
            (16_000, 8_000),
            (48_000, 16_000),
            (16_000, 24_000),
        ] {
            let mut short = PolyphaseResampler::new(from, to);
            let mut filter = PolyphaseResampler::new(from, to);
            for (round, len) in [160, 33, 480, 7, 320, 160, 161, 5, 900]
                .into_iter()
                .enumerate()
            {
                let loud = round % 3 == 1;
                let input: Vec<i16> = (0..len)
                    .map(|n| if loud { (n as i16 % 50) * 300 } else { 0 })
                    .collect();
                let (mut a, mut b) = (vec![1; 4 * len + 4], vec![1; 4 * len + 4]);
                filter.zeros = 0;
                let made = short.process(&input, &mut a);
                assert_eq!(
                    made,
                    filter.process(&input, &mut b),
                    "{from} to {to}, {round}"
                );
                assert_eq!(a[..made], b[..made], "{from} to {to}, {round}");
            }
        }
    }
}
