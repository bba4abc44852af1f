//! An adaptive filter over partitioned blocks of spectra.
//!
//! The filter is a Kalman filter in the frequency domain (Enzner and Vary, "Frequency-domain
//! adaptive Kalman filter for acoustic echo control in hands-free telephones", Signal Processing
//! 86, 2006): for each tap it keeps how uncertain that tap is, so that its step shrinks by itself
//! when the near end speaks over the echo and as it converges.

use realfft::num_complex::Complex32;

use super::spectrum::Transform;

/// How much of a tap is kept from one block to the next, squared. The rest is what the path may
/// have changed by.
const PERSISTENCE: f32 = 0.998;
/// Share of its old value that the power of the near end keeps from block to block.
const NEAR_SMOOTHING: f32 = 0.9;
/// How much surer a tap becomes by a step, of what theory says. Speech is far from the white noise
/// of the theory: with 0.5 the filter stops learning too early.
const LEARNT: f32 = 0.25;
/// Power below which no bin is believed to be, against division by nothing. One 16-bit step of
/// white noise over a block.
const POWER_MIN: f32 = 100.0;

/// Models the way from `far` blocks to `near` blocks with `partitions` blocks of taps.
pub(super) struct AdaptiveFilter {
    block: usize,
    /// Bins adapted; those above stay zero.
    bins: usize,
    partitions: usize,
    /// Spectra of the last far blocks, a ring of `partitions` times `bins`.
    far: Box<[Complex32]>,
    /// Partition of the newest far block.
    newest: usize,
    taps: Box<[Complex32]>,
    uncertainty: Box<[f32]>,
    near_power: Box<[f32]>,
    /// Partition whose taps are next cleared of what wraps around.
    constrained: usize,
    initial: f32,
    transform: Transform,
    time: Box<[f32]>,
    work: Box<[f32]>,
    spectrum: Box<[Complex32]>,
}

impl AdaptiveFilter {
    /// For blocks of `block` samples, of whose spectrum the lowest `bins` bins are modelled.
    /// `gain` is the power gain expected of the path at most.
    pub(super) fn new(block: usize, bins: usize, partitions: usize, gain: f32) -> Self {
        let bins = bins.min(block + 1);
        let zeros = |len| vec![Complex32::default(); len].into_boxed_slice();
        Self {
            block,
            bins,
            partitions,
            far: zeros(partitions * bins),
            newest: 0,
            taps: zeros(partitions * bins),
            uncertainty: vec![gain; partitions * bins].into_boxed_slice(),
            near_power: vec![0.0; bins].into_boxed_slice(),
            constrained: 0,
            initial: gain,
            transform: Transform::new(2 * block),
            time: vec![0.0; 2 * block].into_boxed_slice(),
            work: vec![0.0; 2 * block].into_boxed_slice(),
            spectrum: zeros(block + 1),
        }
    }

    /// Forgets the path.
    pub(super) fn forget(&mut self) {
        self.taps.fill(Complex32::default());
        self.uncertainty.fill(self.initial);
        self.near_power.fill(0.0);
    }

    /// Takes the spectrum of the next two far blocks, of which the older one was the newer one
    /// before.
    pub(super) fn push_far(&mut self, spectrum: &[Complex32]) {
        self.newest = (self.newest + self.partitions - 1) % self.partitions;
        self.replace_far(spectrum);
    }

    /// Puts the spectrum of the newest two far blocks right.
    pub(super) fn replace_far(&mut self, spectrum: &[Complex32]) {
        let begin = self.newest * self.bins;
        self.far[begin..begin + self.bins].copy_from_slice(&spectrum[..self.bins]);
    }

    /// The echo expected in the near block that belongs to the newest far block.
    pub(super) fn predict(&mut self, echo: &mut [f32]) {
        self.spectrum.fill(Complex32::default());
        for partition in 0..self.partitions {
            let far = row(&self.far, self.slot(partition), self.bins);
            let taps = row(&self.taps, partition, self.bins);
            for ((sum, x), w) in self.spectrum.iter_mut().zip(far).zip(taps) {
                sum.re += x.re * w.re - x.im * w.im;
                sum.im += x.re * w.im + x.im * w.re;
            }
        }
        self.transform.inverse(&mut self.spectrum, &mut self.time);
        echo.copy_from_slice(&self.time[self.block..]);
    }

    /// Learns from what was left of the near block when the prediction was taken away.
    pub(super) fn adapt(&mut self, rest: &[f32]) {
        self.time[..self.block].fill(0.0);
        self.time[self.block..].copy_from_slice(rest);
        self.transform.forward(&mut self.time, &mut self.spectrum);
        // The gain of the whole array of partitions is shared by all: first the expected power.
        let mut expected = [0f32; BINS_MAX];
        let expected = &mut expected[..self.bins];
        for partition in 0..self.partitions {
            let far = row(&self.far, self.slot(partition), self.bins);
            let uncertainty = row(&self.uncertainty, partition, self.bins);
            for ((sum, x), p) in expected.iter_mut().zip(far).zip(uncertainty) {
                *sum += p * (x.re * x.re + x.im * x.im);
            }
        }
        for ((expected, near), e) in expected
            .iter_mut()
            .zip(&mut self.near_power)
            .zip(&self.spectrum)
        {
            let power = e.re * e.re + e.im * e.im;
            *near += (1.0 - NEAR_SMOOTHING) * (power - *near);
            // From here on what the error is divided by. Half the far power falls into the half
            // of the block that is not used.
            *expected = 1.0 / (0.5 * *expected + near.max(power) + POWER_MIN);
        }
        for partition in 0..self.partitions {
            let begin = self.slot(partition) * self.bins;
            let far = &self.far[begin..begin + self.bins];
            let begin = partition * self.bins;
            let taps = &mut self.taps[begin..begin + self.bins];
            let uncertainty = &mut self.uncertainty[begin..begin + self.bins];
            for ((((w, p), x), e), scale) in taps
                .iter_mut()
                .zip(uncertainty)
                .zip(far)
                .zip(&self.spectrum)
                .zip(&*expected)
            {
                let step = *p * scale;
                w.re += step * (x.re * e.re + x.im * e.im);
                w.im += step * (x.re * e.im - x.im * e.re);
                let learnt = LEARNT * step * (x.re * x.re + x.im * x.im);
                let size = w.re * w.re + w.im * w.im;
                *p = PERSISTENCE * (1.0 - learnt) * *p + (1.0 - PERSISTENCE) * size;
            }
        }
    }

    /// Clears one partition, each in turn, of taps that wrap around; returns which one and its
    /// taps in time.
    pub(super) fn constrain(&mut self) -> (usize, &[f32]) {
        let partition = self.constrained;
        self.constrained = (partition + 1) % self.partitions;
        self.spectrum.fill(Complex32::default());
        let begin = partition * self.bins;
        let taps = &mut self.taps[begin..begin + self.bins];
        self.spectrum[..self.bins].copy_from_slice(taps);
        self.transform.inverse(&mut self.spectrum, &mut self.time);
        self.time[self.block..].fill(0.0);
        // The transform uses its input up, so it works on a copy.
        self.work.copy_from_slice(&self.time);
        self.transform.forward(&mut self.work, &mut self.spectrum);
        taps.copy_from_slice(&self.spectrum[..self.bins]);
        (partition, &self.time[..self.block])
    }

    /// Row of the far ring that meets `partition`.
    const fn slot(&self, partition: usize) -> usize {
        (self.newest + partition) % self.partitions
    }
}

/// Most bins of a filter: blocks of 20 ms at 16 kHz.
const BINS_MAX: usize = 321;

fn row<T>(values: &[T], index: usize, len: usize) -> &[T] {
    &values[index * len..(index + 1) * len]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix;

    fn noise(random: &mut SplitMix, amplitude: f32) -> f32 {
        (random.next_u32() as f32 / u32::MAX as f32 - 0.5) * 2.0 * amplitude
    }

    /// A path of two taps, one of them in the second partition.
    #[test]
    fn a_path_is_learnt_and_kept_while_the_near_end_speaks() {
        const BLOCK: usize = 80;
        let mut filter = AdaptiveFilter::new(BLOCK, BLOCK + 1, 3, 1.0);
        let mut transform = Transform::new(2 * BLOCK);
        let mut random = SplitMix::new(3);
        let mut far = vec![0.0; 4 * BLOCK];
        let mut loss = Vec::new();
        for n in 0..200 {
            far.rotate_left(BLOCK);
            for sample in &mut far[3 * BLOCK..] {
                *sample = noise(&mut random, 5_000.0);
            }
            let mut spectrum = vec![Complex32::default(); BLOCK + 1];
            transform.forward(&mut far[2 * BLOCK..].to_vec(), &mut spectrum);
            filter.push_far(&spectrum);
            let at = |i: usize, delay: usize| far[3 * BLOCK + i - delay];
            let echo: Vec<f32> = (0..BLOCK)
                .map(|i| 0.3 * at(i, 10) - 0.2 * at(i, 110))
                .collect();
            let speaks = (100..150).contains(&n);
            let near: Vec<f32> = echo
                .iter()
                .map(|e| e + noise(&mut random, if speaks { 3_000.0 } else { 1.0 }))
                .collect();
            let mut predicted = vec![0.0; BLOCK];
            filter.predict(&mut predicted);
            let rest: Vec<f32> = near.iter().zip(&predicted).map(|(n, p)| n - p).collect();
            filter.adapt(&rest);
            filter.constrain();
            let power = |v: &mut dyn Iterator<Item = f32>| v.map(|x| x * x).sum::<f32>();
            let left = power(&mut echo.iter().zip(&predicted).map(|(e, p)| e - p));
            loss.push(10.0 * (power(&mut echo.iter().copied()) / left).log10());
        }
        assert!(loss[50] > 20.0, "{:?}", &loss[..50]);
        let worst = loss[100..200].iter().copied().fold(f32::MAX, f32::min);
        assert!(worst > 15.0, "double talk: {worst}");
    }
}
