//! A weighted sum of the features.
//!
//! With the little speech that may be used freely, a network of one hidden layer learnt the
//! training speakers by heart and told nothing of others; a sum generalizes.

use super::features::FEATURES;

/// The model's numbers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Model {
    /// Mean and inverse spread of each feature.
    pub scale: [(f32, f32); FEATURES],
    /// Weight of each feature.
    pub weights: [f32; FEATURES],
    /// Log odds of a stretch of speech that is average in everything.
    pub bias: f32,
    /// What the sum is multiplied by so that it is a true probability for speakers it was not
    /// trained on.
    pub calibration: f32,
}

/// Spreads beyond which a feature is cut off: nothing like it was in the training.
const SPREADS_MAX: f32 = 3.0;

impl Model {
    /// Features by their distance from the mean.
    #[must_use]
    pub fn standardize(&self, features: &[f32; FEATURES]) -> [f32; FEATURES] {
        let mut out = [0.0; FEATURES];
        for ((out, x), (mean, inverse)) in out.iter_mut().zip(features).zip(&self.scale) {
            *out = ((x - mean) * inverse).clamp(-SPREADS_MAX, SPREADS_MAX);
        }
        out
    }

    /// Log odds that the turn ends here rather than goes on, both equally likely beforehand.
    #[must_use]
    pub fn log_odds(&self, features: &[f32; FEATURES]) -> f32 {
        let x = self.standardize(features);
        let sum: f32 = x.iter().zip(&self.weights).map(|(x, w)| x * w).sum();
        (self.bias + sum) * self.calibration
    }
}
