//! The shipped model. Written by `cargo run -p benches --example end_of_turn`; see
//! `docs/turn-taking.md`.

use super::model::Model;

/// The shipped model.
pub const SHIPPED: Model = Model {
    scale: [
        (-10.5807, 0.0481), // pitch slope, last 300 ms
        (-7.5714, 0.0804),  // pitch slope, last 600 ms
        (-3.1861, 0.2353),  // last pitch above the median
        (1.5877, 0.2643),   // last pitch above the speaker's floor
        (8.9954, 0.2896),   // spread of the pitch
        (-5.1013, 0.1427),  // last level above the mean
        (-33.2536, 0.0202), // level slope, last 300 ms
        (-6.6749, 0.1661),  // last peak above the loudest
        (0.3340, 4.4735),   // length of the last voiced run
        (1.2099, 1.4013),   // the same against the mean run
        (0.8429, 5.1123),   // voiced share, last 300 ms
        (0.7897, 5.5766),   // voicing strength, last 200 ms
        (0.3406, 0.1865),   // spectral tilt at the end
        (4.5060, 0.8085),   // syllables a second, last 1 s
        (0.1987, 8.8120),   // time since the last syllable
    ],
    weights: [
        0.0104,  // pitch slope, last 300 ms
        -0.2878, // pitch slope, last 600 ms
        -0.3418, // last pitch above the median
        -0.2491, // last pitch above the speaker's floor
        -0.0211, // spread of the pitch
        -0.0820, // last level above the mean
        -0.0594, // level slope, last 300 ms
        -0.2233, // last peak above the loudest
        0.0616,  // length of the last voiced run
        0.1773,  // the same against the mean run
        0.0402,  // voiced share, last 300 ms
        0.0345,  // voicing strength, last 200 ms
        -0.0319, // spectral tilt at the end
        -0.1736, // syllables a second, last 1 s
        0.0249,  // time since the last syllable
    ],
    bias: 0.0093,
    calibration: 1.0000,
};
