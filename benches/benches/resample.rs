//! Change of sample rate per 20 ms frame: the engine's polyphase filter against rubato's FFT and
//! sinc resamplers. Quality and delay of all three are printed first (they do not depend on the
//! machine); `cargo bench -p benches --bench resample`.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use fixtures::tone;
use media::dsp::resample::Resampler;
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, Fft, FixedAsync, FixedSync, SincInterpolationParameters, SincInterpolationType,
    WindowFunction,
};

const PAIRS: [(u32, u32); 8] = [
    (8_000, 16_000),
    (16_000, 8_000),
    (16_000, 48_000),
    (48_000, 16_000),
    (8_000, 48_000),
    (48_000, 8_000),
    (16_000, 24_000),
    (24_000, 16_000),
];

/// One of the candidates, fed 20 ms at a time.
enum Candidate {
    Polyphase(Resampler, Vec<i16>),
    Rubato(
        Box<dyn rubato::Resampler<f32>>,
        Vec<f32>,
        Vec<f32>,
        Vec<i16>,
    ),
}

impl Candidate {
    const NAMES: [&'static str; 4] = ["polyphase", "rubato_fft", "rubato_sinc64", "rubato_sinc128"];

    fn new(name: &str, from: u32, to: u32) -> Self {
        let (block, ratio) = (from as usize / 50, f64::from(to) / f64::from(from));
        let sinc = |length, interpolation| {
            let parameters = SincInterpolationParameters {
                sinc_len: length,
                f_cutoff: None,
                interpolation,
                oversampling_factor: 128,
                window: WindowFunction::BlackmanHarris2,
            };
            Async::new_sinc(ratio, 1.0, &parameters, block, 1, FixedAsync::Input).expect("rates")
        };
        let library: Box<dyn rubato::Resampler<f32>> = match name {
            "polyphase" => {
                let resampler = Resampler::new(from, to).expect("rates");
                return Self::Polyphase(resampler, vec![0; to as usize / 50]);
            }
            "rubato_fft" => Box::new(
                Fft::new(from as usize, to as usize, block, 1, FixedSync::Both).expect("rates"),
            ),
            "rubato_sinc64" => Box::new(sinc(64, SincInterpolationType::Linear)),
            _ => Box::new(sinc(128, SincInterpolationType::Cubic)),
        };
        let output = vec![0.0; library.output_frames_max()];
        let pcm = vec![0; output.len()];
        Self::Rubato(library, vec![0.0; block], output, pcm)
    }

    /// Conversion from and to 16-bit samples is part of the work.
    fn process(&mut self, piece: &[i16]) -> &[i16] {
        match self {
            Self::Polyphase(resampler, output) => {
                let written = resampler.process(piece, output).expect("room");
                &output[..written]
            }
            Self::Rubato(library, input, output, pcm) => {
                for (place, &sample) in input.iter_mut().zip(piece) {
                    *place = f32::from(sample);
                }
                let block = InterleavedSlice::new(input.as_slice(), 1, piece.len()).expect("mono");
                let frames = output.len();
                let mut converted =
                    InterleavedSlice::new_mut(output.as_mut_slice(), 1, frames).expect("mono");
                let (_, made) = library
                    .process_into_buffer(&block, &mut converted, None)
                    .expect("room");
                for (place, &sample) in pcm.iter_mut().zip(&output[..made]) {
                    *place = sample.round() as i16;
                }
                &pcm[..made]
            }
        }
    }

    fn stream(&mut self, from: u32, pcm: &[i16]) -> Vec<i16> {
        pcm.chunks_exact(from as usize / 50)
            .flat_map(|piece| self.process(piece).to_vec())
            .collect()
    }
}

/// Level change of a sine in dB.
fn gain(name: &str, from: u32, to: u32, frequency: f64) -> f64 {
    let pcm = tone::sine(from, frequency, -12.0, from as usize);
    let output = Candidate::new(name, from, to).stream(from, &pcm);
    tone::level_dbfs(&output[output.len() / 4..], to, frequency) + 12.0
}

/// Loudest image of sines up to 0.85 of the lower Nyquist frequency, or what comes through of
/// sines above 1.15 of it, in dB.
fn rejection(name: &str, from: u32, to: u32) -> f64 {
    let nyquist = f64::from(from.min(to)) / 2.0;
    let mut worst = f64::NEG_INFINITY;
    if from < to {
        for part in [0.1, 0.3, 0.5, 0.7, 0.85] {
            let frequency = nyquist * part;
            let pcm = tone::sine(from, frequency, -6.0, from as usize);
            let output = Candidate::new(name, from, to).stream(from, &pcm);
            let output = &output[output.len() / 4..];
            for image in 1..=3 {
                for image in [
                    f64::from(from * image) - frequency,
                    f64::from(from * image) + frequency,
                ] {
                    if image < f64::from(to) / 2.0 {
                        worst = worst.max(tone::level_dbfs(output, to, image) + 6.0);
                    }
                }
            }
        }
    } else {
        let mut frequency = nyquist * 1.15;
        while frequency < f64::from(from) / 2.0 {
            let pcm = tone::sine(from, frequency, -6.0, from as usize);
            let output = Candidate::new(name, from, to).stream(from, &pcm);
            worst = worst.max(tone::rms_dbfs(&output[output.len() / 4..]) + 6.0);
            frequency += nyquist * 0.17;
        }
    }
    worst
}

/// Time in ms between the centre of a smooth pulse going in and coming out, by sample position.
fn delay_ms(name: &str, from: u32, to: u32) -> f64 {
    let at = f64::from(from) * 0.3;
    let width = f64::from(from) * 0.002;
    let pcm: Vec<i16> = (0..from)
        .map(|n| {
            let x = (f64::from(n) - at) / width;
            (20_000.0 * (-x * x).exp()).round() as i16
        })
        .collect();
    let output = Candidate::new(name, from, to).stream(from, &pcm);
    let (mut weight, mut moment) = (0.0, 0.0);
    for (n, &sample) in output.iter().enumerate() {
        weight += f64::from(sample);
        moment += f64::from(sample) * n as f64;
    }
    (moment / weight / f64::from(to) - at / f64::from(from)) * 1000.0
}

#[expect(clippy::print_stdout, reason = "the table is the point")]
fn quality(_: &mut Criterion) {
    println!("conversion         candidate        delay ms  gain 3.4 kHz  gain 0.85 fN  rejection");
    for (from, to) in PAIRS {
        let edge = f64::from(from.min(to)) / 2.0 * 0.85;
        for name in Candidate::NAMES {
            println!(
                "{from:>5} -> {to:<5}     {name:<15} {:>8.2} {:>10.2} dB {:>10.2} dB {:>7.1} dB",
                delay_ms(name, from, to),
                gain(name, from, to, 3_400.0),
                gain(name, from, to, edge),
                rejection(name, from, to),
            );
        }
    }
}

fn cost(criterion: &mut Criterion) {
    for (from, to) in PAIRS {
        let mut group = criterion.benchmark_group(format!("resample_20ms/{from}_to_{to}"));
        let piece = tone::mixture(
            from,
            &[(440.0, -20.0), (1_700.0, -30.0)],
            from as usize / 50,
        );
        for name in Candidate::NAMES {
            let mut candidate = Candidate::new(name, from, to);
            group.bench_function(name, |bencher| {
                bencher.iter(|| candidate.process(black_box(&piece)).len());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, quality, cost);
criterion_main!(benches);
