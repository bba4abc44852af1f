//! What runs on the audio path allocates nothing once it is set up.
#![expect(unsafe_code, reason = "counting allocations takes a global allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use media::codec::{Codec, OpusSettings};
use media::dsp::gain::Gain;
use media::dsp::resample::Resampler;
use media::dsp::tone::KeyTones;
use media::leg::DigitString;
use media::vad::{EnergyDetector, NeuralDetector, VoiceActivityDetector};

struct Counting;

thread_local! {
    /// Per thread, because tests run side by side.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: hands every request to the system allocator unchanged; the counter needs neither
// allocation nor destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: `pointer` came from `alloc` above, thus from the system allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations and releases while `work` runs.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![0u8; 10]))), 2);
}

#[test]
fn codecs_allocate_nothing() {
    for codec in [
        Codec::Pcmu,
        Codec::Pcma,
        Codec::G722,
        Codec::Opus,
        Codec::L16Le(16_000),
    ] {
        let mut encoder = codec.encoder(&OpusSettings::default()).expect("encoder");
        let mut decoder = codec.decoder().expect("decoder");
        let samples = codec.pcm_rate() as usize / 50;
        let mut pcm = [0; 1_920];
        let mut payload = [0; 1_500];
        let count = allocations(|| {
            for _ in 0..50 {
                let len = encoder.encode(&pcm[..samples], &mut payload).expect("room");
                decoder
                    .decode(&payload[..len], &mut pcm)
                    .expect("own packet");
                decoder.conceal(Some(&payload[..len]), &mut pcm[..samples]);
                decoder.conceal(None, &mut pcm[..samples]);
            }
        });
        assert_eq!(count, 0, "{codec:?}");
    }
}

#[test]
fn resamplers_of_the_audio_path_allocate_nothing() {
    for (from, to) in [(8_000, 16_000), (48_000, 16_000), (16_000, 24_000)] {
        let mut resampler = Resampler::new(from, to).expect("rates");
        let input = vec![1_000; from as usize / 50];
        let mut output = vec![0; to as usize / 50];
        let count = allocations(|| {
            for _ in 0..50 {
                resampler.process(&input, &mut output).expect("room");
            }
            resampler.reset();
        });
        assert_eq!(count, 0, "{from} to {to}");
    }
}

#[test]
fn gain_tones_and_detectors_allocate_nothing() {
    let mut gain = Gain::new(16_000);
    let mut keys = KeyTones::new(16_000, DigitString::new("12"), 100, 70);
    let mut energy = EnergyDetector::new();
    let mut neural = NeuralDetector::new();
    let count = allocations(|| {
        for n in 0..50u8 {
            let mut frame = [0; 320];
            keys.fill(&mut frame);
            gain.set(-f32::from(n), 10);
            gain.apply(&mut frame);
            energy.process(&frame);
            neural.process(&frame);
        }
    });
    assert_eq!(count, 0);
}
