//! Real Fourier transforms with their work space, planned once for the process.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

static PLANNER: LazyLock<Mutex<RealFftPlanner<f32>>> =
    LazyLock::new(|| Mutex::new(RealFftPlanner::new()));

/// Forward and inverse transform of one length. Plans are shared between all legs.
pub(super) struct Transform {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    scratch: Box<[Complex32]>,
}

impl Transform {
    /// For `len` real samples. Allocates and locks: for set-up only.
    pub(super) fn new(len: usize) -> Self {
        let mut planner = PLANNER.lock().unwrap_or_else(PoisonError::into_inner);
        let forward = planner.plan_fft_forward(len);
        let inverse = planner.plan_fft_inverse(len);
        let scratch = forward.get_scratch_len().max(inverse.get_scratch_len());
        Self {
            forward,
            inverse,
            scratch: vec![Complex32::default(); scratch].into_boxed_slice(),
        }
    }

    /// Spectrum of `time`, which is used up.
    pub(super) fn forward(&mut self, time: &mut [f32], spectrum: &mut [Complex32]) {
        let result = self
            .forward
            .process_with_scratch(time, spectrum, &mut self.scratch);
        debug_assert!(result.is_ok(), "buffers have the transform's lengths");
    }

    /// Samples of `spectrum`, which is used up; scaled so that it undoes [`Self::forward`].
    pub(super) fn inverse(&mut self, spectrum: &mut [Complex32], time: &mut [f32]) {
        // The transform of real samples is real at both ends.
        if let [first, .., last] = spectrum {
            (first.im, last.im) = (0.0, 0.0);
        }
        let result = self
            .inverse
            .process_with_scratch(spectrum, time, &mut self.scratch);
        debug_assert!(result.is_ok(), "buffers have the transform's lengths");
        let scale = 1.0 / time.len() as f32;
        for sample in time {
            *sample *= scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_undoes_the_forward_transform() {
        let mut transform = Transform::new(640);
        let time: Vec<f32> = (0..640).map(|n| (n * n % 977) as f32 - 400.0).collect();
        let mut work = time.clone();
        let mut spectrum = vec![Complex32::default(); 321];
        transform.forward(&mut work, &mut spectrum);
        let mut back = vec![0.0; 640];
        transform.inverse(&mut spectrum, &mut back);
        for (back, time) in back.iter().zip(&time) {
            assert!((back - time).abs() < 0.05, "{back} {time}");
        }
    }
}
