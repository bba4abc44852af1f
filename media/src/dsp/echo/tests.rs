//! Echo paths of every delay and loss the telephone network makes, in virtual time.

use fixtures::voice;

use super::*;
use crate::codec::{Codec, OpusSettings};
use crate::dsp::level::{factor, rms_dbfs};
use crate::dsp::resample::Resampler;
use crate::random::SplitMix;
use crate::vad::{NeuralDetector, VoiceActivityDetector};

const RATE: usize = FRAME_RATE as usize;

/// What makes echo of our voice.
#[derive(Clone, Copy, Debug)]
enum Path {
    /// A two-wire hybrid: a few ms, strongly coloured.
    Hybrid,
    /// A speaker-phone in a room: a tail of 80 ms.
    Room,
}

/// Impulse response at 16 kHz with a power gain of one for speech.
fn response(path: Path, seed: u64) -> Vec<f32> {
    let mut random = SplitMix::new(seed);
    let mut noise = || random.next_u32() as f32 / u32::MAX as f32 - 0.5;
    let (len, fade) = match path {
        Path::Hybrid => (128, 24.0),
        Path::Room => (1_280, 280.0),
    };
    let mut taps: Vec<f32> = (0..len)
        .map(|n| noise() * (-(n as f32) / fade).exp())
        .collect();
    taps[0] += 0.8;
    let energy: f32 = taps.iter().map(|t| t * t).sum();
    taps.iter_mut().for_each(|t| *t /= energy.sqrt());
    taps
}

/// `far` as it comes back `delay_ms` later, `loss_db` fainter.
fn echo(far: &[i16], path: Path, delay_ms: usize, loss_db: f32, seed: u64) -> Vec<i16> {
    let taps = response(path, seed);
    let delay = delay_ms * RATE / 1000;
    let mut out = vec![0f32; far.len()];
    for (n, &sample) in far.iter().enumerate() {
        let sample = f32::from(sample);
        for (tap, out) in taps.iter().zip(out.iter_mut().skip(n + delay)) {
            *out += tap * sample;
        }
    }
    let level = rms_dbfs(far) - loss_db;
    let power = out.iter().map(|s| s * s).sum::<f32>() / out.len() as f32;
    let scale = 32_768.0 * factor(level) / power.sqrt();
    out.iter().map(|s| (s * scale) as i16).collect()
}

/// What 8 kHz mu-law makes of wideband audio, with the noise of a line at -65 dBFS.
fn telephone(pcm: &[i16], seed: u64) -> Vec<i16> {
    let mut random = SplitMix::new(seed);
    let noisy: Vec<i16> = pcm
        .iter()
        .map(|&s| {
            let noise = (random.next_u32() as f32 / u32::MAX as f32 - 0.5) * 3.46 * 18.0;
            s.saturating_add(noise as i16)
        })
        .collect();
    let narrow = Resampler::convert(16_000, 8_000, &noisy).expect("rates");
    let mut payload = vec![0; narrow.len()];
    let mut encoder = Codec::Pcmu
        .encoder(&OpusSettings::default())
        .expect("codec");
    encoder.encode(&narrow, &mut payload).expect("room");
    let mut narrow = vec![0; payload.len()];
    let mut decoder = Codec::Pcmu.decoder().expect("codec");
    decoder.decode(&payload, &mut narrow).expect("room");
    let mut wide = Resampler::convert(8_000, 16_000, &narrow).expect("rates");
    wide.resize(pcm.len(), 0);
    wide
}

fn add(one: &[i16], other: &[i16]) -> Vec<i16> {
    one.iter()
        .zip(other)
        .map(|(a, b)| a.saturating_add(*b))
        .collect()
}

/// Our voice: `seconds` of speech at -20 dBFS.
fn agent(seconds: usize) -> Vec<i16> {
    voice::speech(11, FRAME_RATE, 190.0, -20.0, seconds * RATE)
}

/// The caller at `level_dbfs`, silent but from `from` to `to` seconds.
fn caller(level_dbfs: f64, from: f32, to: f32, seconds: usize) -> Vec<i16> {
    let begin = (from * RATE as f32) as usize;
    let end = (to * RATE as f32) as usize;
    let mut pcm = vec![0; seconds * RATE];
    let speech = voice::speech(5, FRAME_RATE, 110.0, level_dbfs, end - begin);
    pcm[begin..end].copy_from_slice(&speech);
    pcm
}

struct Heard {
    control: EchoControl,
    out: Vec<i16>,
    verdicts: Vec<EchoVerdict>,
    /// Voice activity as the leg would report it, and what it would be without echo control.
    voice: Vec<f32>,
    bare: Vec<f32>,
}

/// Sends `far` and hears `near` through echo control, frame by frame.
fn hear(far: &[i16], near: &[i16]) -> Heard {
    let mut control = EchoControl::new(EchoBand::Narrow);
    let (mut vad, mut bare_vad) = (NeuralDetector::new(), NeuralDetector::new());
    let mut heard = Heard {
        control: EchoControl::new(EchoBand::Narrow),
        out: Vec::new(),
        verdicts: Vec::new(),
        voice: Vec::new(),
        bare: Vec::new(),
    };
    let (far, _) = far.as_chunks::<FRAME_SAMPLES>();
    let (near, _) = near.as_chunks::<FRAME_SAMPLES>();
    for (n, (far, near)) in far.iter().zip(near).enumerate() {
        let position = SamplePosition((n * FRAME_SAMPLES) as u64);
        control.sent(position, far);
        let mut frame = *near;
        let verdict = control.process(&mut frame, position, true);
        let probability = vad.process(&frame);
        heard.voice.push(if verdict == EchoVerdict::Echo {
            0.0
        } else {
            probability
        });
        heard.bare.push(bare_vad.process(near));
        heard.verdicts.push(verdict);
        heard.out.extend(frame);
    }
    heard.control = control;
    heard
}

/// Longest run, in ms, of frames with voice between two times in seconds, pauses of two frames
/// bridged as the segmenter would.
fn longest_voice_ms(voice: &[f32], from: f32, to: f32) -> usize {
    let frames = &voice[(from * 50.0) as usize..(to * 50.0) as usize];
    let (mut longest, mut run, mut pause) = (0, 0, 3);
    for &p in frames {
        if p >= 0.5 {
            run += 1;
            pause = 0;
        } else if p < 0.35 {
            pause += 1;
            if pause > 2 {
                run = 0;
            }
        }
        longest = longest.max(run);
    }
    longest * 20
}

/// Share of frames with voice between two times.
fn share(voice: &[f32], from: f32, to: f32) -> f32 {
    let frames = &voice[(from * 50.0) as usize..(to * 50.0) as usize];
    frames.iter().filter(|p| **p >= 0.5).count() as f32 / frames.len() as f32
}

fn loss_db(before: &[i16], after: &[i16], from: f32, to: f32) -> f32 {
    let range = (from * RATE as f32) as usize..(to * RATE as f32) as usize;
    rms_dbfs(&before[range.clone()]) - rms_dbfs(&after[range])
}

/// The recorded voice of the fixtures, over and over, at -20 dBFS.
fn recorded(seconds: usize) -> Vec<i16> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../fixtures/audio/speech_16k.wav"
    );
    let wav = fixtures::wav::Wav::read(path).expect("fixture");
    let gain = factor(-20.0 - rms_dbfs(&wav.channels[0]));
    let scaled = wav.channels[0]
        .iter()
        .map(|&s| (f32::from(s) * gain) as i16);
    let once: Vec<i16> = scaled.collect();
    once.iter().copied().cycle().take(seconds * RATE).collect()
}

const PATHS: [(Path, usize, f32); 11] = [
    (Path::Hybrid, 20, 10.0),
    (Path::Hybrid, 60, 16.0),
    (Path::Hybrid, 150, 10.0),
    (Path::Hybrid, 400, 10.0),
    (Path::Hybrid, 220, 24.0),
    (Path::Hybrid, 400, 40.0),
    (Path::Hybrid, 20, 40.0),
    (Path::Room, 40, 12.0),
    (Path::Room, 120, 20.0),
    (Path::Room, 300, 10.0),
    (Path::Room, 380, 30.0),
];

/// Shortest run of voice that the conversation takes for the beginning of speech.
const ONSET_MS: usize = 80;

#[test]
fn echo_of_every_delay_and_loss_is_no_voice_and_the_caller_over_it_is() {
    let seconds = 9;
    // The caller comes in over our voice for the last three seconds.
    let near = caller(-26.0, 6.0, 9.0, seconds);
    for far in [agent(seconds), recorded(seconds)] {
        let undisturbed = share(&hear(&[0; 9 * RATE], &telephone(&near, 3)).voice, 6.0, 9.0);
        let mut bare_worst = 0;
        for (path, delay_ms, loss) in PATHS {
            let back = echo(&far, path, delay_ms, loss, 7);
            let came = telephone(&add(&back, &near), 3);
            let heard = hear(&far, &came);
            let report = heard.control.report();
            let caller = share(&heard.voice, 6.0, 9.0);
            let learning = longest_voice_ms(&heard.voice, 0.0, 3.0);
            let learnt = longest_voice_ms(&heard.voice, 3.0, 6.0);
            let lower = loss_db(&came, &heard.out, 3.0, 6.0);
            let case = format!(
                "{path:?} {delay_ms} ms -{loss} dB: false voice {learning} ms, then {learnt} ms, \
                 echo {lower:.1} dB lower, caller {caller:.2} of {undisturbed:.2}, {report:?}"
            );
            println!("{case}");
            bare_worst = bare_worst.max(longest_voice_ms(&heard.bare, 0.0, 6.0));
            assert!(learning <= 2 * ONSET_MS, "{case}");
            assert!(learnt < ONSET_MS, "{case}");
            assert!(caller > 0.65 * undisturbed, "{case}");
            let onset = longest_voice_ms(&heard.voice, 6.0, 6.6);
            assert!(onset >= 2 * ONSET_MS, "caller's onset {onset} ms: {case}");
            if loss <= 20.0 {
                assert!(report.converged && lower > 12.0, "{case}");
                let delay = usize::from(report.delay_ms);
                assert!(delay.abs_diff(delay_ms) <= 3, "{case}");
            }
        }
        assert!(
            bare_worst > 10 * ONSET_MS,
            "nothing to show: without echo control {bare_worst} ms"
        );
    }
}

#[test]
fn a_leg_without_echo_hears_the_caller_as_he_is() {
    let seconds = 9;
    let near = telephone(&caller(-26.0, 0.5, 9.0, seconds), 3);
    let heard = hear(&agent(seconds), &near);
    let with = share(&heard.voice, 3.0, 9.0);
    let without = share(&heard.bare, 3.0, 9.0);
    assert!(with > 0.8 * without, "{with} of {without}");
    let changed = heard.out.iter().zip(&near).filter(|(a, b)| a != b).count();
    assert!(changed * 50 < near.len(), "{changed} samples changed");
    assert!(!heard.control.report().converged);
}

#[test]
fn nothing_happens_while_we_are_silent() {
    let near = telephone(&caller(-26.0, 0.0, 3.0, 3), 3);
    let heard = hear(&[0; 3 * RATE], &near);
    assert!(heard.verdicts.iter().all(|v| *v == EchoVerdict::Idle));
    assert_eq!(heard.out, near);
}

#[test]
fn the_path_is_kept_through_double_talk() {
    let seconds = 14;
    let far = agent(seconds);
    let near = caller(-22.0, 5.0, 10.0, seconds);
    let back = echo(&far, Path::Hybrid, 90, 12.0, 7);
    let heard = hear(&far, &telephone(&add(&back, &near), 3));
    let report = heard.control.report();
    assert!(report.converged && report.path_changes == 0, "{report:?}");
    assert!(report.erle_db > 8.0, "{report:?}");
    let after = longest_voice_ms(&heard.voice, 10.1, 14.0);
    assert!(after < ONSET_MS, "{after} ms: {report:?}");
}

#[test]
fn a_new_path_is_learnt_and_hardly_heard() {
    let seconds = 12;
    let far = agent(seconds);
    let mut back = echo(&far, Path::Hybrid, 60, 18.0, 7);
    let other = echo(&far, Path::Room, 180, 12.0, 9);
    back[6 * RATE..].copy_from_slice(&other[6 * RATE..]);
    let heard = hear(&far, &telephone(&back, 3));
    let report = heard.control.report();
    assert!(report.path_changes >= 1 && report.converged, "{report:?}");
    let delay = report.delay_ms;
    assert!(delay.abs_diff(180) <= 3, "{report:?}");
    let change = longest_voice_ms(&heard.voice, 6.0, 9.0);
    assert!(change <= 240, "{change} ms at the change: {report:?}");
    let after = longest_voice_ms(&heard.voice, 9.0, 12.0);
    assert!(after < ONSET_MS, "{after} ms after it: {report:?}");
}

#[test]
fn lost_and_moved_audio_does_no_harm() {
    let seconds = 8;
    let far = agent(seconds);
    let came = telephone(&echo(&far, Path::Hybrid, 100, 14.0, 7), 3);
    let mut control = EchoControl::new(EchoBand::Wide);
    let mut vad = NeuralDetector::new();
    let mut voice = Vec::new();
    let (far, _) = far.as_chunks::<FRAME_SAMPLES>();
    for (n, sent) in far.iter().enumerate() {
        control.sent(SamplePosition((n * FRAME_SAMPLES) as u64), sent);
        // Frames off the grid of the ticks, every tenth concealed, and a hole every two seconds.
        let at = n * FRAME_SAMPLES + 100;
        if n % 100 < 3 || at + FRAME_SAMPLES > came.len() {
            voice.push(0.0);
            continue;
        }
        let known = n % 10 != 5;
        let mut frame = [0; FRAME_SAMPLES];
        if known {
            frame.copy_from_slice(&came[at..at + FRAME_SAMPLES]);
        }
        let verdict = control.process(&mut frame, SamplePosition(at as u64), known);
        let p = vad.process(&frame);
        voice.push(if verdict == EchoVerdict::Echo { 0.0 } else { p });
    }
    let report = control.report();
    assert!(report.converged, "{report:?}");
    let learnt = longest_voice_ms(&voice, 3.0, 7.9);
    assert!(learnt < ONSET_MS, "{learnt} ms: {report:?}");
}

#[test]
fn speech_that_was_cleared_is_no_excuse() {
    let far = agent(8);
    let came = telephone(&echo(&far, Path::Hybrid, 100, 12.0, 7), 3);
    let mut control = EchoControl::new(EchoBand::Narrow);
    let (far, _) = far.as_chunks::<FRAME_SAMPLES>();
    let (near, _) = came.as_chunks::<FRAME_SAMPLES>();
    // A stream is 200 ms ahead of its time; then everything unplayed is dropped.
    for (n, near) in near.iter().take(200).enumerate() {
        for ahead in far
            .iter()
            .enumerate()
            .skip(n + 10 * usize::from(n > 0))
            .take(if n == 0 { 11 } else { 1 })
        {
            control.sent(SamplePosition((ahead.0 * FRAME_SAMPLES) as u64), ahead.1);
        }
        control.process(
            &mut near.clone(),
            SamplePosition((n * FRAME_SAMPLES) as u64),
            true,
        );
    }
    assert!(control.report().converged, "{:?}", control.report());
    control.dropped(SamplePosition((200 * FRAME_SAMPLES) as u64));
    let reach = REACH as usize / FRAME_SAMPLES + 1;
    let speech = caller(-26.0, 0.0, 1.0, 1);
    let (speech, _) = speech.as_chunks::<FRAME_SAMPLES>();
    for (n, frame) in speech.iter().enumerate().skip(reach) {
        let position = SamplePosition(((200 + n) * FRAME_SAMPLES) as u64);
        let mut heard = *frame;
        let verdict = control.process(&mut heard, position, true);
        assert_eq!((verdict, heard), (EchoVerdict::Idle, *frame), "frame {n}");
    }
}
