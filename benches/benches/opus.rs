//! Opus per 20 ms frame of speech: encoding by complexity, decoding, both ways of concealment.
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

fn opus(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("opus_20ms");
    let speech = Wav::read(SPEECH).expect("fixture");
    let (frames, _) = speech.channels[0].as_chunks::<320>();
    for complexity in [0, 3, 5, 8, 10] {
        let settings = OpusSettings {
            complexity,
            ..OpusSettings::default()
        };
        let mut encoder = Codec::Opus.encoder(&settings).expect("encoder");
        let mut payload = [0; 1_275];
        let mut frame = frames.iter().cycle();
        group.bench_function(format!("encode_complexity_{complexity}"), |bencher| {
            bencher
                .iter(|| encoder.encode(black_box(frame.next().expect("endless")), &mut payload));
        });
    }

    let settings = OpusSettings::default();
    let mut encoder = Codec::Opus.encoder(&settings).expect("encoder");
    let payloads: Vec<Vec<u8>> = frames
        .iter()
        .map(|frame| {
            let mut payload = vec![0; 1_275];
            let len = encoder.encode(frame, &mut payload).expect("room");
            payload.truncate(len);
            payload
        })
        .collect();
    let mut pcm = [0; 320];
    let mut decoder = Codec::Opus.decoder().expect("decoder");
    let mut payload = payloads.iter().cycle();
    group.bench_function("decode", |bencher| {
        bencher.iter(|| decoder.decode(black_box(payload.next().expect("endless")), &mut pcm));
    });
    let mut payload = payloads.iter().cycle();
    group.bench_function("conceal_from_fec_then_decode", |bencher| {
        bencher.iter(|| {
            let next = black_box(payload.next().expect("endless"));
            decoder.conceal(Some(next), &mut pcm);
            decoder.decode(next, &mut pcm)
        });
    });
    group.finish();
}

criterion_group!(benches, opus);
criterion_main!(benches);
