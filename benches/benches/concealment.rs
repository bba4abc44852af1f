//! Cost of concealing one 20 ms frame (pitch search included) and of passing one on.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use media::jitter::Concealer;

fn concealment(criterion: &mut Criterion) {
    for rate in [8_000u32, 16_000] {
        let frame = rate as usize / 50;
        // A 110 Hz sawtooth has the pitch and the harmonics of a voice.
        let period = rate as usize / 110;
        let mut signal: Vec<i16> = (0..frame * 5)
            .map(|at| i16::try_from(at % period * 100).unwrap_or(i16::MAX))
            .collect();
        let mut heard = Concealer::new(rate);
        heard.received(&mut signal);
        let mut pcm = vec![0i16; frame];
        criterion.bench_function(&format!("conceal_first_20ms_{rate}"), |bencher| {
            bencher.iter_batched_ref(
                || heard.clone(),
                |concealer| concealer.conceal(black_box(&mut pcm)),
                criterion::BatchSize::SmallInput,
            );
        });
        let mut concealer = heard.clone();
        criterion.bench_function(&format!("received_20ms_{rate}"), |bencher| {
            bencher.iter(|| concealer.received(black_box(&mut pcm)));
        });
    }
}

criterion_group!(benches, concealment);
criterion_main!(benches);
