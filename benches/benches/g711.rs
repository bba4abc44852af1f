//! G.711 per 20 ms frame.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use media::codec::{Codec, OpusSettings};

fn g711(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("g711_20ms");
    let pcm = fixtures::tone::mixture(8_000, &[(440.0, -20.0), (1_700.0, -30.0)], 160);
    for codec in [Codec::Pcmu, Codec::Pcma] {
        let settings = OpusSettings::default();
        let mut encoder = codec.encoder(&settings).expect("encoder");
        let mut decoder = codec.decoder().expect("decoder");
        let mut payload = [0; 160];
        let mut back = [0; 160];
        group.bench_function(format!("encode_{}", codec.name()), |bencher| {
            bencher.iter(|| encoder.encode(black_box(&pcm), &mut payload));
        });
        group.bench_function(format!("decode_{}", codec.name()), |bencher| {
            bencher.iter(|| decoder.decode(black_box(&payload), &mut back));
        });
    }
    group.finish();
}

criterion_group!(benches, g711);
criterion_main!(benches);
