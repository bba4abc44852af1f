//! Echo control per 20 ms frame: while we are silent, while the path is learnt, and once it is known.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use fixtures::voice;
use media::dsp::echo::{EchoBand, EchoControl};
use media::frame::{FRAME_RATE, FRAME_SAMPLES, SamplePosition};

/// Frames of speech that come round and round: 20 s.
const FRAMES: usize = 1_000;
/// Frames after which the path is known.
const LEARNT: usize = 500;

/// A leg that speaks and hears itself `delay` frames later.
struct Leg {
    control: EchoControl,
    far: Vec<i16>,
    gain: i16,
    tick: usize,
}

impl Leg {
    fn new(band: EchoBand, gain: i16) -> Self {
        Self {
            control: EchoControl::new(band),
            far: voice::speech(1, FRAME_RATE, 140.0, -20.0, FRAMES * FRAME_SAMPLES),
            gain,
            tick: 0,
        }
    }

    fn tick(&mut self, speaks: bool) {
        let frame = |tick: usize| {
            let begin = tick % FRAMES * FRAME_SAMPLES;
            &self.far[begin..begin + FRAME_SAMPLES]
        };
        let position = SamplePosition((self.tick * FRAME_SAMPLES) as u64);
        if speaks {
            self.control.sent(position, frame(self.tick));
        }
        let mut near = [0; FRAME_SAMPLES];
        for (near, far) in near.iter_mut().zip(frame(self.tick + FRAMES - 6)) {
            *near = far / self.gain;
        }
        black_box(self.control.process(&mut near, position, true));
        self.tick += 1;
    }
}

fn echo(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("echo_20ms");
    let mut silent = Leg::new(EchoBand::Narrow, 4);
    group.bench_function("silent", |b| b.iter(|| silent.tick(false)));
    // An echo of one part in thirty thousand is never found, so the search never ends.
    let mut learning = Leg::new(EchoBand::Narrow, i16::MAX);
    group.bench_function("learning, narrow", |b| b.iter(|| learning.tick(true)));
    for (name, band) in [
        ("known, narrow", EchoBand::Narrow),
        ("known, wide", EchoBand::Wide),
    ] {
        let mut known = Leg::new(band, 4);
        for _ in 0..LEARNT {
            known.tick(true);
        }
        assert!(known.control.report().converged);
        group.bench_function(name, |b| b.iter(|| known.tick(true)));
    }
    group.finish();
}

criterion_group!(benches, echo);
criterion_main!(benches);
