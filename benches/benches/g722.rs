//! G.722 per 20 ms frame of speech.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use fixtures::wav::Wav;
use media::codec::{Codec, OpusSettings};

const SPEECH: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../fixtures/audio/speech_16k.wav"
);

fn g722(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("g722_20ms");
    let speech = Wav::read(SPEECH).expect("fixture");
    let (frames, _) = speech.channels[0].as_chunks::<320>();
    let settings = OpusSettings::default();
    let mut encoder = Codec::G722.encoder(&settings).expect("encoder");
    let mut decoder = Codec::G722.decoder().expect("decoder");
    let mut payload = [0; 160];
    let mut frame = frames.iter().cycle();
    group.bench_function("encode", |bencher| {
        bencher.iter(|| encoder.encode(black_box(frame.next().expect("endless")), &mut payload));
    });
    let mut encoder = Codec::G722.encoder(&settings).expect("encoder");
    let payloads: Vec<[u8; 160]> = frames
        .iter()
        .map(|frame| {
            let mut payload = [0; 160];
            encoder.encode(frame, &mut payload).expect("room");
            payload
        })
        .collect();
    let mut payload = payloads.iter().cycle();
    let mut pcm = [0; 320];
    group.bench_function("decode", |bencher| {
        bencher.iter(|| decoder.decode(black_box(payload.next().expect("endless")), &mut pcm));
    });
    group.finish();
}

criterion_group!(benches, g722);
criterion_main!(benches);
