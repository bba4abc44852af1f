//! Training by gradient descent, and how good the model became.

use std::fmt::Write as _;

use pipeline::turn::acoustic::{FEATURE_NAMES, FEATURES, Model};

use crate::examples::Example;

/// Steps downhill over all examples at once, and their size.
const STEPS: usize = 300;
const RATE: f32 = 1.0;
/// Pull of every weight towards nothing: strong, because there are few speakers.
const DECAY: f32 = 0.1;

/// Trains on `examples`, ends and pauses and speakers weighing the same.
fn train(examples: &[&Example]) -> Model {
    let mut model = Model {
        scale: scale(examples),
        weights: [0.0; FEATURES],
        bias: 0.0,
        calibration: 1.0,
    };
    let inputs: Vec<[f32; FEATURES]> = examples
        .iter()
        .map(|e| model.standardize(&e.features))
        .collect();
    let importance = importance(examples);
    let total: f32 = importance.iter().sum();
    for _ in 0..STEPS {
        let mut slope = model.weights.map(|w| DECAY * w);
        let mut bias_slope = 0.0;
        for ((example, x), weight) in examples.iter().zip(&inputs).zip(&importance) {
            let target = if example.is_end { 1.0 } else { 0.0 };
            let error = weight / total * (probability(&model, example) - target);
            bias_slope += error;
            for (slope, x) in slope.iter_mut().zip(x) {
                *slope += error * x;
            }
        }
        model.bias -= RATE * bias_slope;
        for (weight, slope) in model.weights.iter_mut().zip(slope) {
            *weight -= RATE * slope;
        }
    }
    model
}

/// Trains on `examples` with a calibration for speakers never heard: each speaker is left out
/// once, and the log odds of all of them, each by the model that did not know him, are scaled for
/// the least loss.
pub(crate) fn train_calibrated(examples: &[&Example]) -> Model {
    let mut speakers: Vec<&str> = examples.iter().map(|e| e.speaker.as_str()).collect();
    speakers.sort_unstable();
    speakers.dedup();
    let mut odds = Vec::new();
    for speaker in speakers {
        let (own, others): (Vec<&Example>, Vec<&Example>) =
            examples.iter().copied().partition(|e| e.speaker == speaker);
        let model = train(&others);
        report(&format!("left out: {speaker}"), &model, &own);
        let weights = importance(&own);
        odds.extend(
            own.iter()
                .zip(weights)
                .map(|(e, weight)| (model.log_odds(&e.features), e.is_end, weight)),
        );
    }
    let loss = |scale: f32| -> f32 {
        let own = |(odds, is_end, weight): &(f32, bool, f32)| {
            let odds = if *is_end { *odds } else { -*odds } * scale;
            weight * (1.0 + (-odds).exp()).ln()
        };
        odds.iter().map(own).sum()
    };
    let scales = (0..=40).map(|n| n as f32 * 0.025);
    let best = scales.min_by(|a, b| loss(*a).total_cmp(&loss(*b)));
    Model {
        calibration: best.unwrap_or(1.0),
        ..train(examples)
    }
}

fn scale(examples: &[&Example]) -> [(f32, f32); FEATURES] {
    std::array::from_fn(|n| {
        let count = examples.len().max(1) as f32;
        let mean = examples.iter().map(|e| e.features[n]).sum::<f32>() / count;
        let variance = examples
            .iter()
            .map(|e| (e.features[n] - mean).powi(2))
            .sum::<f32>()
            / count;
        (mean, 1.0 / variance.sqrt().max(1e-3))
    })
}

/// Weights that make ends and pauses of each speaker count the same.
pub(crate) fn importance(examples: &[&Example]) -> Vec<f32> {
    let count = |speaker: &str, is_end: bool| {
        let same = |e: &&&Example| e.speaker == speaker && e.is_end == is_end;
        examples.iter().filter(same).count().max(1) as f32
    };
    let all: Vec<f32> = examples
        .iter()
        .map(|e| 1.0 / count(&e.speaker, e.is_end))
        .collect();
    let mean = all.iter().sum::<f32>() / all.len().max(1) as f32;
    all.iter().map(|w| w / mean).collect()
}

fn probability(model: &Model, example: &Example) -> f32 {
    1.0 / (1.0 + (-model.log_odds(&example.features)).exp())
}

/// Prints how well `model` tells ends from pauses.
pub(crate) fn report(name: &str, model: &Model, examples: &[&Example]) {
    let weights = importance(examples);
    let (mut right, mut loss, mut total) = (0.0, 0.0, 0.0);
    for (example, weight) in examples.iter().zip(&weights) {
        let p = probability(model, example).clamp(1e-4, 1.0 - 1e-4);
        let own = if example.is_end { p } else { 1.0 - p };
        right += if own > 0.5 { *weight } else { 0.0 };
        loss -= weight * own.ln();
        total += weight;
    }
    println!(
        "{name}: {} pauses, area under the curve {:.3}, right {:.1} %, log loss {:.3} (chance 0.693)",
        examples.len(),
        area(model, examples),
        100.0 * right / total,
        loss / total
    );
}

/// Chance that an end is given a higher probability than a pause.
fn area(model: &Model, examples: &[&Example]) -> f64 {
    let (mut ends, mut pauses) = (Vec::new(), Vec::new());
    for example in examples {
        let p = probability(model, example);
        if example.is_end {
            &mut ends
        } else {
            &mut pauses
        }
        .push(p);
    }
    let mut higher = 0.0;
    for end in &ends {
        for pause in &pauses {
            higher += if end > pause {
                1.0
            } else if end == pause {
                0.5
            } else {
                0.0
            };
        }
    }
    higher / (ends.len() * pauses.len()).max(1) as f64
}

/// Prints what share of ends there is among pauses of each probability.
pub(crate) fn calibration(model: &Model, examples: &[&Example]) {
    let weights = importance(examples);
    let mut bins = [(0.0f32, 0.0f32, 0.0f32); 5];
    for (example, weight) in examples.iter().zip(&weights) {
        let p = probability(model, example);
        let bin = &mut bins[((p * 5.0) as usize).min(4)];
        bin.0 += weight;
        bin.1 += weight * p;
        bin.2 += if example.is_end { *weight } else { 0.0 };
    }
    println!("said / true share of ends, and share of all pauses:");
    let total: f32 = bins.iter().map(|b| b.0).sum();
    for (weight, said, ends) in bins {
        if weight > 0.0 {
            println!(
                "  {:.2} / {:.2}  {:.0} %",
                said / weight,
                ends / weight,
                100.0 * weight / total
            );
        }
    }
}

/// The model as a source file.
pub(crate) fn source(model: &Model) -> String {
    let mut text = String::from(
        "//! The shipped model. Written by `cargo run -p benches --example end_of_turn`; see\n\
         //! `docs/turn-taking.md`.\n\n\
         use super::model::Model;\n\n\
         /// The shipped model.\n\
         pub const SHIPPED: Model = Model {\n    scale: [\n",
    );
    for ((mean, inverse), name) in model.scale.iter().zip(FEATURE_NAMES) {
        let _ = writeln!(text, "        ({mean:.4}, {inverse:.4}), // {name}");
    }
    text.push_str("    ],\n    weights: [\n");
    for (weight, name) in model.weights.iter().zip(FEATURE_NAMES) {
        let _ = writeln!(text, "        {weight:.4}, // {name}");
    }
    let _ = write!(
        text,
        "    ],\n    bias: {:.4},\n    calibration: {:.4},\n}};\n",
        model.bias, model.calibration
    );
    text
}
