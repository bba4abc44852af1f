//! Voice activity by a small neural network (earshot) over 16 ms windows.

use std::fmt;

use earshot::Detector;

use super::VoiceActivityDetector;
use crate::frame::FRAME_SAMPLES;

/// Samples of one window of the network: 16 ms at 16 kHz.
const WINDOW: usize = 256;

/// Largest sample of a window that is not worth asking about: -58 dBFS at its peak, where a faint
/// talker is at -35.
const QUIET_PEAK: u16 = 40;
/// Quiet windows that the network still hears, so that its memory is of quiet when it is next asked.
const QUIET_HEARD: u32 = 16;

/// Sixteenths of the band below 4 kHz that are mirrored into the band above: -10 dB.
const MIRRORED: i32 = 5;

/// The network together with the samples that do not fill a window yet.
///
/// Each frame completes one or two windows (the 20 ms and 16 ms grids meet every 80 ms); its value
/// is the largest score among the windows it completed. About 13 KiB per stream.
///
/// The network learnt from wideband audio and takes almost any noise for speech when the band
/// above 4 kHz is empty, as it is on a telephone. So it never hears it empty: a faint mirror image
/// of the lower band is added, which leaves its judgement of speech, and of wideband audio, as
/// it was. A quarter of a second into near silence it is not asked any more until something is
/// heard, which is most of a caller's time on the line and most of the cost. Key tones and call-progress tones still pass for speech: who knows of a tone must not
/// ask.
pub struct NeuralDetector {
    detector: Box<Detector>,
    carry: [i16; WINDOW],
    carried: usize,
    /// Quiet windows in a row.
    quiet: u32,
}

impl NeuralDetector {
    /// A detector that has heard nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            detector: Box::default(),
            carry: [0; WINDOW],
            carried: 0,
            quiet: 0,
        }
    }

    /// Forgets all it has heard, for a new speaker on the same leg.
    pub fn reset(&mut self) {
        self.detector.reset();
        self.carried = 0;
        self.quiet = 0;
    }

    /// The probability of the window in `carry`.
    fn window(&mut self) -> f32 {
        let peak = self.carry.iter().map(|s| s.unsigned_abs()).max();
        if peak.is_some_and(|peak| peak > QUIET_PEAK) {
            self.quiet = 0;
        } else if self.quiet >= QUIET_HEARD {
            return 0.0;
        } else {
            self.quiet += 1;
        }
        self.detector.predict_i16(&self.carry)
    }
}

impl Default for NeuralDetector {
    fn default() -> Self {
        Self::new()
    }
}

impl VoiceActivityDetector for NeuralDetector {
    fn process(&mut self, frame: &[i16; FRAME_SAMPLES]) -> f32 {
        let mut probability = 0.0f32;
        let mut rest = &frame[..];
        while self.carried + rest.len() >= WINDOW {
            let (head, tail) = rest.split_at(WINDOW - self.carried);
            mirror(head, &mut self.carry[self.carried..]);
            self.carried = 0;
            rest = tail;
            probability = probability.max(self.window());
        }
        mirror(rest, &mut self.carry[self.carried..]);
        self.carried += rest.len();
        probability.clamp(0.0, 1.0)
    }
}

/// Copies samples, the band below 4 kHz mirrored into the one above: multiplying by an alternating
/// sign turns the spectrum about. Frames and windows have even lengths, so the sign goes on
/// alternating from one call to the next.
fn mirror(samples: &[i16], place: &mut [i16]) {
    for (n, (place, &sample)) in place.iter_mut().zip(samples).enumerate() {
        let image = i32::from(sample) * MIRRORED / 16;
        let sum = i32::from(sample) + if n % 2 == 0 { image } else { -image };
        *place = sum.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
    }
}

impl fmt::Debug for NeuralDetector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NeuralDetector")
            .field("carried", &self.carried)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use fixtures::tone;
    use fixtures::wav::Wav;

    use super::*;
    use crate::codec::{Codec, OpusSettings};
    use crate::dsp::gain::Gain;
    use crate::dsp::resample::Resampler;

    fn speech() -> Vec<i16> {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../fixtures/audio/speech_16k.wav"
        );
        let mut wav = Wav::read(path).expect("fixture");
        wav.channels.swap_remove(0)
    }

    /// What a telephone makes of wideband speech: 8 kHz mu-law, and up again.
    fn telephone(pcm: &[i16]) -> Vec<i16> {
        let narrow = Resampler::convert(16_000, 8_000, pcm).expect("rates");
        let mut payload = vec![0; narrow.len()];
        let mut encoder = Codec::Pcmu
            .encoder(&OpusSettings::default())
            .expect("codec");
        encoder.encode(&narrow, &mut payload).expect("room");
        let mut narrow = vec![0; payload.len()];
        let mut decoder = Codec::Pcmu.decoder().expect("codec");
        decoder.decode(&payload, &mut narrow).expect("room");
        Resampler::convert(8_000, 16_000, &narrow).expect("rates")
    }

    fn at_level(pcm: &[i16], dbfs: f64) -> Vec<i16> {
        let mut gain = Gain::new(16_000);
        gain.set((dbfs - tone::rms_dbfs(pcm)) as f32, 0);
        let mut pcm = pcm.to_vec();
        gain.apply(&mut pcm);
        pcm
    }

    fn probabilities(pcm: &[i16]) -> Vec<f32> {
        let mut detector = NeuralDetector::new();
        let (frames, _) = pcm.as_chunks::<FRAME_SAMPLES>();
        frames.iter().map(|frame| detector.process(frame)).collect()
    }

    fn share_of_speech(pcm: &[i16]) -> f64 {
        let probabilities = probabilities(pcm);
        let speech = probabilities.iter().filter(|p| **p > 0.5).count();
        speech as f64 / probabilities.len() as f64
    }

    #[test]
    fn telephone_speech_is_found_at_every_usual_level() {
        let wide = speech();
        let direct = share_of_speech(&at_level(&wide, -20.0));
        assert!(direct > 0.7, "{direct}");
        for dbfs in [-10.0, -20.0, -30.0, -40.0] {
            let share = share_of_speech(&telephone(&at_level(&wide, dbfs)));
            assert!(
                (share - direct).abs() < 0.15,
                "{dbfs} dBFS: {share}, wideband {direct}"
            );
        }
    }

    #[test]
    fn silence_and_hum_are_not_speech() {
        assert_eq!(share_of_speech(&[0; 16_000]), 0.0);
        let hum = tone::mixture(
            16_000,
            &[(50.0, -30.0), (100.0, -36.0), (150.0, -40.0)],
            16_000,
        );
        assert!(share_of_speech(&hum) < 0.05);
    }

    #[test]
    fn noise_on_a_telephone_is_not_speech() {
        // Without the mirrored band between 80 and 99 % of these frames pass for speech.
        let mut state = 7u64;
        let noise: Vec<i16> = (0..32_000)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 48) as i16
            })
            .collect();
        for dbfs in [-20.0, -25.0, -30.0, -40.0] {
            let share = share_of_speech(&telephone(&at_level(&noise, dbfs)));
            assert!(share < 0.1, "{dbfs} dBFS: {share}");
        }
    }

    #[test]
    fn onset_is_seen_within_a_few_frames() {
        let mut pcm = vec![0; 50 * FRAME_SAMPLES];
        let speech = at_level(&speech(), -20.0);
        let begins = speech
            .chunks(FRAME_SAMPLES)
            .position(|frame| tone::rms_dbfs(frame) > -40.0)
            .expect("speech");
        pcm.extend(&speech);
        let found = probabilities(&telephone(&pcm))
            .iter()
            .position(|p| *p > 0.5)
            .expect("speech");
        let late = found as i64 - (50 + begins) as i64;
        assert!((-2..=5).contains(&late), "{late} frames late");
    }

    #[test]
    fn speech_after_a_long_quiet_is_judged_as_by_a_network_that_heard_the_quiet() {
        let speech = telephone(&at_level(&speech(), -30.0));
        let mut pcm = vec![3; 100 * FRAME_SAMPLES];
        pcm.extend(&speech);
        let gated = probabilities(&pcm);
        let mut network = Detector::<earshot::DefaultPredictor>::default();
        let mut heard = vec![0; pcm.len()];
        mirror(&pcm, &mut heard);
        let (windows, _) = heard.as_chunks::<WINDOW>();
        let full: Vec<f32> = windows.iter().map(|w| network.predict_i16(w)).collect();
        let speaks = |scores: &[f32]| {
            let onset = scores.iter().position(|p| *p > 0.5).expect("speech");
            let share = scores.iter().filter(|p| **p > 0.5).count() as f64 / scores.len() as f64;
            (onset as f64 / scores.len() as f64 * pcm.len() as f64, share)
        };
        let ((onset, share), (full_onset, full_share)) = (speaks(&gated), speaks(&full));
        assert!(
            (onset - full_onset).abs() < 2.0 * FRAME_SAMPLES as f64,
            "{onset} {full_onset}"
        );
        assert!((share - full_share).abs() < 0.05, "{share} {full_share}");
    }

    #[test]
    fn every_frame_completes_a_window_and_reset_forgets() {
        let pcm = speech();
        let mut detector = NeuralDetector::new();
        let (frames, _) = pcm.as_chunks::<FRAME_SAMPLES>();
        for (n, frame) in (1..).zip(frames) {
            detector.process(frame);
            assert_eq!(detector.carried, n * FRAME_SAMPLES % WINDOW);
        }
        detector.reset();
        let again: Vec<f32> = frames.iter().map(|frame| detector.process(frame)).collect();
        assert_eq!(again, probabilities(&pcm));
    }
}
