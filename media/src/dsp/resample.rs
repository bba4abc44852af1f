//! Change of sample rate.
//!
//! Rates in integer ratio (8, 16, 24 and 48 kHz in any combination) go through a fixed polyphase
//! FIR filter: linear phase, about 1.5 ms of delay or less, integer arithmetic, no allocation. Any
//! other pair (22.05 and 44.1 kHz voices) goes through an FFT resampler that is meant for
//! material prepared off the audio path.

mod fft;
mod polyphase;

use fft::FftResampler;
use polyphase::PolyphaseResampler;

/// Rates, in Hz, that may be converted.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=192_000;

/// Why a resampler could not do its work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResampleError {
    /// No conversion between these rates (in Hz) is on offer.
    #[error("cannot convert {from} Hz to {to} Hz")]
    Rates {
        /// Rate of the input.
        from: u32,
        /// Rate of the output.
        to: u32,
    },
    /// The output does not fit the caller's buffer; nothing was consumed.
    #[error("output buffer is too small")]
    BufferTooSmall,
}

/// Converts one stream of PCM from one sample rate to another.
///
/// Between 8, 16, 24 and 48 kHz, what lies below 0.85 times the Nyquist frequency of the lower
/// rate (3.4 kHz of telephone audio) keeps its level, and images and aliases of it stay below
/// -55 dB. Input may come in pieces of any length; over time output has the exact ratio, and a
/// 20 ms piece gives a 20 ms piece.
#[derive(Debug)]
pub struct Resampler {
    from: u32,
    to: u32,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Same,
    Polyphase(PolyphaseResampler),
    Fft(Box<FftResampler>),
}

impl Resampler {
    /// A resampler that has heard silence, for rates in Hz.
    ///
    /// # Errors
    /// [`ResampleError::Rates`] for rates outside 4 to 192 kHz or pairs without a common
    /// divisor of at least 50 Hz.
    pub fn new(from: u32, to: u32) -> Result<Self, ResampleError> {
        if !RATES.contains(&from) || !RATES.contains(&to) {
            return Err(ResampleError::Rates { from, to });
        }
        let kind = if from == to {
            Kind::Same
        } else if polyphase::handles(from, to) {
            Kind::Polyphase(PolyphaseResampler::new(from, to))
        } else {
            Kind::Fft(Box::new(FftResampler::new(from, to)?))
        };
        Ok(Self { from, to, kind })
    }

    /// Converts `input`, returns the samples written to `output`.
    ///
    /// On the audio path only pairs for which [`Self::is_real_time`] holds may be used.
    ///
    /// # Errors
    /// [`ResampleError::BufferTooSmall`] when `output` is shorter than
    /// [`Self::output_len_max`]; nothing is consumed then.
    pub fn process(&mut self, input: &[i16], output: &mut [i16]) -> Result<usize, ResampleError> {
        if output.len() < self.output_len_max(input.len()) {
            return Err(ResampleError::BufferTooSmall);
        }
        Ok(match &mut self.kind {
            Kind::Same => {
                output[..input.len()].copy_from_slice(input);
                input.len()
            }
            Kind::Polyphase(polyphase) => polyphase.process(input, output),
            Kind::Fft(fft) => fft.process(input, output),
        })
    }

    /// Writes what is still inside after the last input, returns the samples written, and starts
    /// afresh. With the FFT kind the sum of all output is then the length of all input at the new
    /// rate; the polyphase kind adds its delay at the end.
    ///
    /// # Errors
    /// [`ResampleError::BufferTooSmall`] when `output` is shorter than
    /// [`Self::flush_len_max`].
    pub fn flush(&mut self, output: &mut [i16]) -> Result<usize, ResampleError> {
        if output.len() < self.flush_len_max() {
            return Err(ResampleError::BufferTooSmall);
        }
        Ok(match &mut self.kind {
            Kind::Same => 0,
            Kind::Polyphase(polyphase) => polyphase.flush(output),
            Kind::Fft(fft) => fft.flush(output),
        })
    }

    /// Converts a whole recording at once, delay removed: `output` lies in time where `input`
    /// lay. Allocates; for material prepared off the audio path.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn convert(from: u32, to: u32, input: &[i16]) -> Result<Vec<i16>, ResampleError> {
        let mut resampler = Self::new(from, to)?;
        let body = resampler.output_len_max(input.len());
        let mut output = vec![0; body + resampler.flush_len_max()];
        let mut written = resampler.process(input, &mut output)?;
        written += resampler.flush(&mut output[written..])?;
        let lead = match &resampler.kind {
            Kind::Same | Kind::Fft(_) => 0,
            Kind::Polyphase(polyphase) => polyphase.delay_samples(),
        };
        output.truncate(written);
        output.drain(..lead.min(written));
        let exact = (input.len() as u64 * u64::from(to)).div_ceil(u64::from(from));
        output.resize(exact as usize, 0);
        Ok(output)
    }

    /// Forgets all input.
    pub fn reset(&mut self) {
        match &mut self.kind {
            Kind::Same => {}
            Kind::Polyphase(polyphase) => polyphase.reset(),
            Kind::Fft(fft) => fft.reset(),
        }
    }

    /// Most samples [`Self::process`] may write for `input_len` samples.
    #[must_use]
    pub fn output_len_max(&self, input_len: usize) -> usize {
        match &self.kind {
            Kind::Same => input_len,
            Kind::Polyphase(_) => {
                (input_len as u64 * u64::from(self.to)).div_ceil(u64::from(self.from)) as usize
            }
            Kind::Fft(fft) => fft.output_len_max(input_len),
        }
    }

    /// Most samples [`Self::flush`] may write.
    #[must_use]
    pub fn flush_len_max(&self) -> usize {
        match &self.kind {
            Kind::Same => 0,
            Kind::Polyphase(polyphase) => polyphase.delay_samples(),
            Kind::Fft(fft) => fft.flush_len_max(),
        }
    }

    /// Whether the conversion is allocation free and of constant ratio, so that it may run on
    /// the audio path.
    #[must_use]
    pub const fn is_real_time(&self) -> bool {
        !matches!(self.kind, Kind::Fft(_))
    }

    /// Time in ms by which a sound comes out later than it went in, seen in sample positions.
    #[must_use]
    pub fn delay_ms(&self) -> f32 {
        match &self.kind {
            Kind::Same | Kind::Fft(_) => 0.0,
            Kind::Polyphase(polyphase) => polyphase.delay_ms(),
        }
    }
}

#[cfg(test)]
mod tests {
    use fixtures::tone;
    use proptest::prelude::*;

    use super::*;

    const PAIRS: [(u32, u32); 12] = [
        (8_000, 16_000),
        (16_000, 8_000),
        (16_000, 48_000),
        (48_000, 16_000),
        (8_000, 48_000),
        (48_000, 8_000),
        (16_000, 24_000),
        (24_000, 16_000),
        (8_000, 24_000),
        (24_000, 8_000),
        (24_000, 48_000),
        (48_000, 24_000),
    ];

    /// Feeds 20 ms at a time, as a leg does.
    fn stream(resampler: &mut Resampler, from: u32, to: u32, pcm: &[i16]) -> Vec<i16> {
        let mut output = Vec::new();
        for piece in pcm.chunks_exact(from as usize / 50) {
            let mut frame = vec![0; to as usize / 50];
            let written = resampler.process(piece, &mut frame);
            assert_eq!(written, Ok(frame.len()), "20 ms give 20 ms");
            output.extend_from_slice(&frame);
        }
        output
    }

    #[test]
    fn pass_band_is_flat() {
        for (from, to) in PAIRS {
            let nyquist = f64::from(from.min(to)) / 2.0;
            for part in [0.05, 0.25, 0.5, 0.75, 0.85] {
                let frequency = nyquist * part;
                let pcm = tone::sine(from, frequency, -12.0, from as usize / 2);
                let mut resampler = Resampler::new(from, to).expect("rates");
                let output = stream(&mut resampler, from, to, &pcm);
                let level = tone::level_dbfs(&output[output.len() / 5..], to, frequency);
                assert!(
                    (level + 12.0).abs() < 0.05,
                    "{from} to {to}, {frequency} Hz: {:+.3} dB",
                    level + 12.0
                );
            }
        }
    }

    #[test]
    fn images_stay_below_55_db() {
        for (from, to) in PAIRS.into_iter().filter(|(from, to)| from < to) {
            for part in [0.1, 0.4, 0.7, 0.85] {
                let frequency = f64::from(from) / 2.0 * part;
                let pcm = tone::sine(from, frequency, -6.0, from as usize / 2);
                let mut resampler = Resampler::new(from, to).expect("rates");
                let output = stream(&mut resampler, from, to, &pcm);
                for image in 1..=to / from {
                    for image in [
                        f64::from(from * image) - frequency,
                        f64::from(from * image) + frequency,
                    ] {
                        if image < f64::from(to) / 2.0 {
                            let level =
                                tone::level_dbfs(&output[output.len() / 5..], to, image) + 6.0;
                            assert!(
                                level < -55.0,
                                "{from} to {to}, {frequency} Hz at {image} Hz: {level:.1} dB"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn aliases_into_the_telephone_band_stay_below_55_db() {
        for (from, to) in PAIRS.into_iter().filter(|(from, to)| from > to) {
            let nyquist = f64::from(to) / 2.0;
            let highest = f64::from(from) / 2.0;
            let mut frequency = nyquist * 1.15;
            while frequency < highest {
                let pcm = tone::sine(from, frequency, -6.0, from as usize / 2);
                let mut resampler = Resampler::new(from, to).expect("rates");
                let output = stream(&mut resampler, from, to, &pcm);
                let level = tone::rms_dbfs(&output[output.len() / 5..]) + 6.0;
                assert!(
                    level < -55.0,
                    "{from} to {to}, {frequency} Hz: {level:.1} dB"
                );
                frequency += nyquist * 0.17;
            }
        }
    }

    #[test]
    fn delay_is_as_announced_and_short() {
        for (from, to) in PAIRS {
            let mut pcm = vec![0i16; from as usize / 5];
            let at = pcm.len() / 2;
            // Smooth enough to lie in the band, symmetric, so that its centre can be measured.
            let width = from as f64 * 0.002;
            for (n, sample) in pcm.iter_mut().enumerate() {
                let x = (n as f64 - at as f64) / width;
                *sample = (20_000.0 * (-x * x).exp()).round() as i16;
            }
            let mut resampler = Resampler::new(from, to).expect("rates");
            let output = stream(&mut resampler, from, to, &pcm);
            let weight: f64 = output.iter().map(|&s| f64::from(s)).sum();
            let moment: f64 = (0..)
                .zip(&output)
                .map(|(n, &s)| f64::from(n) * f64::from(s))
                .sum();
            let measured = (moment / weight / f64::from(to) - at as f64 / f64::from(from)) * 1000.0;
            let announced = f64::from(resampler.delay_ms());
            assert!(
                (measured - announced).abs() < 0.01,
                "{from} to {to}: {measured:.3} ms, announced {announced:.3} ms"
            );
            let bound = if from.min(to) == 8_000 { 1.6 } else { 0.8 };
            assert!(announced < bound, "{from} to {to}: {announced} ms");
        }
    }

    #[test]
    fn full_scale_squares_clip_without_wrapping() {
        for (from, to) in PAIRS {
            let half_period = from as usize / 400;
            let pcm: Vec<i16> = (0..from as usize / 5)
                .map(|n| {
                    if (n / half_period).is_multiple_of(2) {
                        i16::MAX
                    } else {
                        i16::MIN
                    }
                })
                .collect();
            let mut resampler = Resampler::new(from, to).expect("rates");
            let output = stream(&mut resampler, from, to, &pcm);
            let lead = output.len() / 10;
            let flips = output[lead..]
                .windows(2)
                .filter(|w| (w[0] < 0) != (w[1] < 0))
                .count();
            // 200 Hz over the 180 ms looked at; a wrapped sample would add two flips.
            assert!((71..=73).contains(&flips), "{from} to {to}: {flips}");
        }
    }

    #[test]
    fn whole_recordings_keep_length_place_and_level() {
        for (from, to) in [
            (22_050, 16_000),
            (44_100, 16_000),
            (11_025, 8_000),
            (16_000, 44_100),
            (24_000, 16_000),
            (16_000, 8_000),
            (16_000, 16_000),
        ] {
            let len = from as usize / 3 + 17;
            let pcm = tone::sine(from, 200.0, -12.0, len);
            let output = Resampler::convert(from, to, &pcm).expect("rates");
            assert_eq!(
                output.len(),
                (len as u64 * u64::from(to)).div_ceil(u64::from(from)) as usize
            );
            let wanted = tone::sine(to, 200.0, -12.0, output.len());
            let inner = output.len() / 10..output.len() * 9 / 10;
            let level = tone::level_dbfs(&output[inner.clone()], to, 200.0);
            assert!((level + 12.0).abs() < 0.05, "{from} to {to}: {level} dBFS");
            // The delay of an even filter is half a sample more than can be taken back.
            let clarity = tone::signal_to_noise_db(&wanted[inner.clone()], &output[inner]);
            let half_sample = std::f64::consts::PI * 200.0 / f64::from(from.min(to));
            let bound = -20.0 * half_sample.log10() - 0.5;
            assert!(clarity > bound, "{from} to {to}: {clarity:.1} dB");
        }
    }

    #[test]
    fn odd_rates_are_refused_or_kept_off_the_audio_path() {
        let error = |from, to| Some(ResampleError::Rates { from, to });
        assert_eq!(Resampler::new(0, 8_000).err(), error(0, 8_000));
        assert_eq!(Resampler::new(8_000, 400_000).err(), error(8_000, 400_000));
        assert_eq!(Resampler::new(22_051, 16_000).err(), error(22_051, 16_000));
        assert!(
            !Resampler::new(22_050, 16_000)
                .expect("rates")
                .is_real_time()
        );
        assert!(
            Resampler::new(48_000, 16_000)
                .expect("rates")
                .is_real_time()
        );
    }

    #[test]
    fn a_short_buffer_consumes_nothing() {
        let pcm = tone::sine(8_000, 500.0, -12.0, 160);
        let mut wanted = [0; 320];
        let mut got = [0; 320];
        let mut resampler = Resampler::new(8_000, 16_000).expect("rates");
        resampler.process(&pcm, &mut wanted).expect("room");
        let mut resampler = Resampler::new(8_000, 16_000).expect("rates");
        assert_eq!(
            resampler.process(&pcm, &mut got[..319]),
            Err(ResampleError::BufferTooSmall)
        );
        resampler.process(&pcm, &mut got).expect("room");
        assert_eq!(wanted, got);
        resampler.reset();
        let mut again = [0; 320];
        resampler.process(&pcm, &mut again).expect("room");
        assert_eq!(wanted, again);
    }

    proptest! {
        #[test]
        fn pieces_of_any_length_give_the_same_stream(
            pair in 0..PAIRS.len(),
            cuts in prop::collection::vec(0usize..700, 1..12),
            seed in any::<u64>(),
        ) {
            let (from, to) = PAIRS[pair];
            let mut state = seed;
            let pcm: Vec<i16> = (0..cuts.iter().sum())
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 48) as i16
                })
                .collect();
            let mut whole = vec![0; pcm.len() * 6];
            let mut resampler = Resampler::new(from, to).expect("rates");
            let written = resampler.process(&pcm, &mut whole).expect("room");
            whole.truncate(written);
            let exact = (pcm.len() as u64 * u64::from(to)).div_ceil(u64::from(from));
            prop_assert_eq!(written as u64, exact);

            let mut resampler = Resampler::new(from, to).expect("rates");
            let (mut pieces, mut rest) = (Vec::new(), &pcm[..]);
            for cut in cuts {
                let (piece, tail) = rest.split_at(cut);
                rest = tail;
                let mut output = vec![0; resampler.output_len_max(cut)];
                let written = resampler.process(piece, &mut output).expect("room");
                pieces.extend_from_slice(&output[..written]);
            }
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn there_and_back_keeps_length_and_level(
            via in prop::sample::select(vec![16_000u32, 24_000, 48_000]),
            frequency in 200.0f64..3_400.0,
            level in -40.0f64..-6.0,
        ) {
            let pcm = tone::sine(8_000, frequency, level, 3_200);
            let mut up = Resampler::new(8_000, via).expect("rates");
            let mut down = Resampler::new(via, 8_000).expect("rates");
            let raised = stream(&mut up, 8_000, via, &pcm);
            let back = stream(&mut down, via, 8_000, &raised);
            prop_assert_eq!(back.len(), pcm.len());
            let got = tone::level_dbfs(&back[800..], 8_000, frequency);
            prop_assert!((got - level).abs() < 0.1, "{} Hz: {:+.3} dB", frequency, got - level);
        }

        #[test]
        fn odd_rates_keep_length_in_pieces(
            from in prop::sample::select(vec![11_025u32, 22_050, 32_000, 44_100]),
            cuts in prop::collection::vec(0usize..2_000, 1..8),
        ) {
            let mut resampler = Resampler::new(from, 16_000).expect("rates");
            let mut total = 0;
            for &cut in &cuts {
                let mut output = vec![0; resampler.output_len_max(cut)];
                total += resampler.process(&vec![1_000; cut], &mut output).expect("room");
            }
            let mut output = vec![0; resampler.flush_len_max()];
            total += resampler.flush(&mut output).expect("room");
            let taken: usize = cuts.iter().sum();
            let exact = (taken as u64 * 16_000).div_ceil(u64::from(from));
            prop_assert_eq!(total as u64, exact);
        }
    }
}
