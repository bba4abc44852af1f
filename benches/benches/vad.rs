//! Voice activity detection per 20 ms frame of speech.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use fixtures::wav::Wav;
use media::vad::{EnergyDetector, NeuralDetector, VoiceActivityDetector};

const SPEECH: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../fixtures/audio/speech_16k.wav"
);

fn vad(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("vad_20ms");
    let speech = Wav::read(SPEECH).expect("fixture");
    let (frames, _) = speech.channels[0].as_chunks::<320>();
    let detectors: [(&str, Box<dyn VoiceActivityDetector>); 2] = [
        ("energy", Box::new(EnergyDetector::new())),
        ("neural", Box::new(NeuralDetector::new())),
    ];
    for (name, mut detector) in detectors {
        let mut frame = frames.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| detector.process(black_box(frame.next().expect("endless"))));
        });
    }
    group.finish();
}

criterion_group!(benches, vad);
criterion_main!(benches);
