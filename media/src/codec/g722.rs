//! G.722 at 64 kbit/s (mode 1): 16 kHz audio in two sub-bands of adaptive differential PCM.
//!
//! A quadrature mirror filter splits the band at 4 kHz. The lower half gets 6 bits per sample (of
//! which 4 drive the adaptation, so that the other modes stay in step), the upper half 2. Block
//! names in the comments are those of ITU-T G.722 (09/2012) clause 6.2; arithmetic is 16-bit
//! saturating as there, carried in `i32`.

use super::{CodecError, Decoder, Encoder};

/// Decodes 64 kbit/s G.722, two samples per byte.
#[derive(Clone, Debug)]
pub struct G722Decoder {
    low: Band,
    high: Band,
    /// Sums and differences of the sub-bands, newest last.
    history: [i32; QMF_TAPS],
}

impl G722Decoder {
    /// A decoder in the reset state.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            low: Band::new(LOW_STEP_INITIAL),
            high: Band::new(HIGH_STEP_INITIAL),
            history: [0; QMF_TAPS],
        }
    }

    fn decode_byte(&mut self, code: u8) -> [i16; 2] {
        let low_code = usize::from(code & 0x3f);
        let high_code = usize::from(code >> 6);

        let fine = scaled(self.low.step, LOW_FINE_LEVELS[low_code]);
        let low = limit_15_bit(self.low.prediction + fine);
        self.low.adapt_low(low_code);

        let difference = scaled(self.high.step, HIGH_LEVELS[high_code]);
        let high = limit_15_bit(self.high.prediction + difference);
        self.high.adapt_high(high_code);

        // RECA, RECB, ACCUMC, ACCUMD: the receive filter is the transmit filter mirrored.
        push_two(&mut self.history, low + high, low - high);
        let (of_sums, of_differences) = qmf_sums(&self.history);
        [
            saturate_to_i16(of_differences >> 11),
            saturate_to_i16(of_sums >> 11),
        ]
    }
}

impl Default for G722Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder for G722Decoder {
    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, CodecError> {
        if payload.is_empty() {
            return Err(CodecError::Malformed);
        }
        let pcm = pcm
            .get_mut(..payload.len() * 2)
            .ok_or(CodecError::BufferTooSmall)?;
        let (pairs, _) = pcm.as_chunks_mut::<2>();
        for (pair, &code) in pairs.iter_mut().zip(payload) {
            *pair = self.decode_byte(code);
        }
        Ok(pcm.len())
    }

    fn conceal(&mut self, _next: Option<&[u8]>, _pcm: &mut [i16]) -> bool {
        false
    }
}

/// Encodes 16 kHz PCM to 64 kbit/s G.722.
#[derive(Clone, Debug)]
pub struct G722Encoder {
    low: Band,
    high: Band,
    /// The latest samples, newest last.
    history: [i32; QMF_TAPS],
}

impl G722Encoder {
    /// An encoder in the reset state.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            low: Band::new(LOW_STEP_INITIAL),
            high: Band::new(HIGH_STEP_INITIAL),
            history: [0; QMF_TAPS],
        }
    }

    fn encode_pair(&mut self, pair: [i16; 2]) -> u8 {
        push_two(&mut self.history, pair[0].into(), pair[1].into());
        let (odd, even) = qmf_sums(&self.history);
        let low = limit_15_bit((even + odd) >> 14);
        let high = limit_15_bit((even - odd) >> 14);

        let low_code = quantize_low(saturate(low - self.low.prediction), self.low.step);
        self.low.adapt_low(usize::from(low_code));

        let high_code = quantize_high(saturate(high - self.high.prediction), self.high.step);
        self.high.adapt_high(usize::from(high_code));

        high_code << 6 | low_code
    }
}

impl Default for G722Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder for G722Encoder {
    fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<usize, CodecError> {
        let (pairs, rest) = pcm.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(CodecError::Malformed);
        }
        let payload = payload
            .get_mut(..pairs.len())
            .ok_or(CodecError::BufferTooSmall)?;
        for (code, &pair) in payload.iter_mut().zip(pairs) {
            *code = self.encode_pair(pair);
        }
        Ok(pairs.len())
    }
}

/// One sub-band: the adaptive step of its quantizer and the adaptive predictor.
#[derive(Clone, Debug)]
struct Band {
    /// Logarithm of the step, 11 fractional bits.
    log_step: i32,
    /// Quantizer step (DETL, DETH).
    step: i32,
    /// What the next sample is expected to be (SL, SH).
    prediction: i32,
    /// The zeros' share of the prediction.
    zero_prediction: i32,
    /// Pole coefficients, the nearer sample first.
    poles: [i32; 2],
    /// Zero coefficients, the nearer sample first.
    zeros: [i32; 6],
    /// Last two reconstructed samples, newest first.
    reconstructed: [i32; 2],
    /// Last two partially reconstructed samples (without the poles), newest first.
    partial: [i32; 2],
    /// Last six quantized differences, newest first.
    differences: [i32; 6],
}

impl Band {
    const fn new(step: i32) -> Self {
        Self {
            log_step: 0,
            step,
            prediction: 0,
            zero_prediction: 0,
            poles: [0; 2],
            zeros: [0; 6],
            reconstructed: [0; 2],
            partial: [0; 2],
            differences: [0; 6],
        }
    }

    /// Follows a lower-band codeword, by its upper four bits only.
    fn adapt_low(&mut self, code: usize) {
        let coarse = code >> 2;
        // INVQAL with the step before LOGSCL and SCALEL change it.
        let difference = scaled(self.step, LOW_COARSE_LEVELS[coarse]);
        self.adapt_step(LOW_STEP_CHANGES[coarse], 18_432, 8);
        self.adapt_predictor(difference);
    }

    /// Follows a higher-band codeword.
    fn adapt_high(&mut self, code: usize) {
        let difference = scaled(self.step, HIGH_LEVELS[code]);
        self.adapt_step(HIGH_STEP_CHANGES[code], 22_528, 10);
        self.adapt_predictor(difference);
    }

    /// LOGSCL and SCALEL, LOGSCH and SCALEH: leaky logarithm, then its exponential by table.
    fn adapt_step(&mut self, change: i32, log_max: i32, exponent: i32) {
        self.log_step = (((self.log_step * 127) >> 7) + change).clamp(0, log_max);
        let mantissa = EXPONENTIAL[((self.log_step >> 6) & 31) as usize];
        let shift = exponent - (self.log_step >> 11);
        self.step = if shift < 0 {
            mantissa << -shift
        } else {
            mantissa >> shift
        } << 2;
    }

    /// Block 4: moves poles and zeros along the sign of the gradient, then predicts.
    fn adapt_predictor(&mut self, difference: i32) {
        // RECONS and PARREC.
        let reconstructed = saturate(self.prediction + difference);
        let partial = saturate(self.zero_prediction + difference);

        let same_as_last = same_sign(partial, self.partial[0]);
        // UPPOL2.
        let near = saturate(self.poles[0] << 2);
        let turned = saturate(if same_as_last { -near } else { near });
        let push = if same_sign(partial, self.partial[1]) {
            128
        } else {
            -128
        };
        let far_pole =
            ((turned >> 7) + push + scaled(self.poles[1], 32_512)).clamp(-12_288, 12_288);
        // UPPOL1; the bound keeps the poles inside the unit circle.
        let push = if same_as_last { 192 } else { -192 };
        let bound = saturate(15_360 - far_pole);
        let near_pole = saturate(push + scaled(self.poles[0], 32_640)).clamp(-bound, bound);
        self.poles = [near_pole, far_pole];

        // UPZERO.
        let push = if difference == 0 { 0 } else { 128 };
        for (zero, &past) in self.zeros.iter_mut().zip(&self.differences) {
            let signed = if same_sign(past, difference) {
                push
            } else {
                -push
            };
            *zero = saturate(signed + scaled(*zero, 32_640));
        }

        // DELAYA.
        self.differences.copy_within(..5, 1);
        self.differences[0] = difference;
        self.reconstructed = [reconstructed, self.reconstructed[0]];
        self.partial = [partial, self.partial[0]];

        // FILTEP, FILTEZ (farthest first, as the order of saturating sums matters), PREDIC.
        let pole_prediction = saturate(
            scaled(self.poles[0], saturate(self.reconstructed[0] * 2))
                + scaled(self.poles[1], saturate(self.reconstructed[1] * 2)),
        );
        self.zero_prediction = self
            .zeros
            .iter()
            .zip(&self.differences)
            .rev()
            .fold(0, |sum, (&zero, &past)| {
                saturate(sum + scaled(zero, saturate(past * 2)))
            });
        self.prediction = saturate(pole_prediction + self.zero_prediction);
    }
}

/// QUANTL: index of the interval that holds the difference, as a 6-bit codeword.
fn quantize_low(difference: i32, step: i32) -> u8 {
    let magnitude = magnitude(difference);
    let above = LOW_DECISIONS.partition_point(|&level| magnitude >= (level * step) >> 12);
    LOW_CODES[usize::from(difference < 0)][above]
}

/// QUANTH: two bits, sign and whether the difference is large.
fn quantize_high(difference: i32, step: i32) -> u8 {
    let large = magnitude(difference) >= (HIGH_DECISION * step) >> 12;
    match (difference < 0, large) {
        (true, false) => 1,
        (true, true) => 0,
        (false, false) => 3,
        (false, true) => 2,
    }
}

/// One's complement magnitude, so that -1 and 0 fall into the same interval.
const fn magnitude(difference: i32) -> i32 {
    if difference < 0 {
        !difference
    } else {
        difference
    }
}

/// Q15 product, truncated.
const fn scaled(value: i32, factor: i32) -> i32 {
    (value * factor) >> 15
}

fn saturate(value: i32) -> i32 {
    value.clamp(i16::MIN.into(), i16::MAX.into())
}

fn saturate_to_i16(value: i32) -> i16 {
    saturate(value) as i16
}

/// Range of a sub-band sample.
fn limit_15_bit(value: i32) -> i32 {
    value.clamp(-16_384, 16_383)
}

/// Zero counts as positive.
const fn same_sign(a: i32, b: i32) -> bool {
    (a < 0) == (b < 0)
}

const QMF_TAPS: usize = 24;
/// Every other coefficient of the symmetric filter; the rest are these, reversed.
const QMF: [i32; QMF_TAPS / 2] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];

fn push_two(history: &mut [i32; QMF_TAPS], first: i32, second: i32) {
    history.copy_within(2.., 0);
    history[QMF_TAPS - 2] = first;
    history[QMF_TAPS - 1] = second;
}

/// Filter sums over the even and over the odd places of the history.
fn qmf_sums(history: &[i32; QMF_TAPS]) -> (i32, i32) {
    let (pairs, _) = history.as_chunks::<2>();
    let mut sums = (0, 0);
    for (i, &[even_place, odd_place]) in pairs.iter().enumerate() {
        sums.0 += even_place * QMF[i];
        sums.1 += odd_place * QMF[QMF.len() - 1 - i];
    }
    sums
}

const LOW_STEP_INITIAL: i32 = 32;
const HIGH_STEP_INITIAL: i32 = 8;

/// Decision levels of the 6-bit quantizer (table 14), in units of step / 4096.
static LOW_DECISIONS: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023,
    1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
];
/// Output levels of the 6-bit quantizer, one per interval, in Q15 of the step.
const LOW_LEVELS: [i32; 30] = [
    136, 432, 728, 1040, 1360, 1688, 2032, 2400, 2776, 3168, 3576, 4008, 4464, 4944, 5456, 6000,
    6576, 7192, 7856, 8576, 9360, 10_232, 11_192, 12_280, 13_512, 14_984, 16_704, 19_008, 21_904,
    24_808,
];
/// Codeword of each interval: for positive, then for negative differences.
static LOW_CODES: [[u8; 30]; 2] = {
    let mut codes = [[0; 30]; 2];
    let mut i = 0;
    while i < 30 {
        codes[0][i] = 61 - i as u8;
        // The two smallest negative codes lie apart, so that no codeword is all zeros.
        codes[1][i] = if i < 2 { 63 - i as u8 } else { 33 - i as u8 };
        i += 1;
    }
    codes
};
/// Output level of each 6-bit codeword; the four unused ones decode as the smallest negative.
static LOW_FINE_LEVELS: [i32; 64] = {
    let mut levels = [-LOW_LEVELS[0]; 64];
    let mut i = 0;
    while i < 30 {
        levels[LOW_CODES[0][i] as usize] = LOW_LEVELS[i];
        levels[LOW_CODES[1][i] as usize] = -LOW_LEVELS[i];
        i += 1;
    }
    levels
};
/// Output level of each 4-bit codeword.
static LOW_COARSE_LEVELS: [i32; 16] = [
    0, -20_456, -12_896, -8968, -6288, -4240, -2584, -1200, 20_456, 12_896, 8968, 6288, 4240, 2584,
    1200, 0,
];
/// Change of the logarithmic step for each 4-bit codeword.
static LOW_STEP_CHANGES: [i32; 16] = [
    -60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60,
];
/// Decision level of the 2-bit quantizer.
const HIGH_DECISION: i32 = 564;
/// Output level of each 2-bit codeword.
static HIGH_LEVELS: [i32; 4] = [-7408, -1616, 7408, 1616];
/// Change of the logarithmic step for each 2-bit codeword.
static HIGH_STEP_CHANGES: [i32; 4] = [798, -214, 798, -214];
/// 2048 * 2^(i/32).
static EXPONENTIAL: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
    2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];

#[cfg(test)]
mod tests {
    use fixtures::tone;
    use fixtures::wav::Wav;

    use super::*;

    /// Both filters together: 24 taps at 16 kHz, less the pair that belongs to the same step.
    const DELAY: usize = 22;

    fn data(name: &str) -> String {
        format!("{}/../fixtures/audio/{name}", env!("CARGO_MANIFEST_DIR"))
    }

    fn encode(pcm: &[i16]) -> Vec<u8> {
        let mut payload = vec![0; pcm.len() / 2];
        let written = G722Encoder::new().encode(pcm, &mut payload);
        assert_eq!(written, Ok(payload.len()));
        payload
    }

    fn decode(payload: &[u8]) -> Vec<i16> {
        let mut pcm = vec![0; payload.len() * 2];
        let written = G722Decoder::new().decode(payload, &mut pcm);
        assert_eq!(written, Ok(pcm.len()));
        pcm
    }

    #[test]
    fn encoder_agrees_with_an_independent_one_bit_for_bit() {
        let speech = Wav::read(data("speech_16k.wav")).expect("fixture");
        let wanted = std::fs::read(data("speech_16k.g722")).expect("fixture");
        let got = encode(&speech.channels[0]);
        let first_difference = wanted.iter().zip(&got).position(|(w, g)| w != g);
        assert_eq!((first_difference, got.len()), (None, wanted.len()));
    }

    #[test]
    fn decoder_agrees_with_an_independent_one_bit_for_bit() {
        let payload = std::fs::read(data("speech_16k.g722")).expect("fixture");
        let wanted = Wav::read(data("speech_16k_from_g722.wav")).expect("fixture");
        let got = decode(&payload);
        let first_difference = wanted.channels[0]
            .iter()
            .zip(&got)
            .position(|(w, g)| w != g);
        assert_eq!(
            (first_difference, got.len()),
            (None, wanted.channels[0].len())
        );
    }

    #[test]
    fn tones_keep_level_and_clarity() {
        // The upper band has 2 bits per sample, so its tones are coarser.
        for (frequency, clarity_db) in [
            (300.0, 35.0),
            (1_000.0, 30.0),
            (3_000.0, 25.0),
            (6_000.0, 8.0),
        ] {
            let pcm = tone::sine(16_000, frequency, -20.0, 8_000);
            let heard = decode(&encode(&pcm));
            let level = tone::level_dbfs(&heard[1_600..], 16_000, frequency);
            assert!(
                (level + 20.0).abs() < 0.5,
                "{frequency} Hz came out at {level} dBFS"
            );
            let clarity = tone::signal_to_noise_db(&pcm[1_600..], &heard[1_600 + DELAY..]);
            assert!(clarity > clarity_db, "{frequency} Hz: {clarity} dB");
        }
    }

    #[test]
    fn speech_stays_clear() {
        let speech = Wav::read(data("speech_16k.wav")).expect("fixture");
        let heard = decode(&encode(&speech.channels[0]));
        let clarity = tone::signal_to_noise_db(&speech.channels[0], &heard[DELAY..]);
        assert!(clarity > 20.0, "{clarity} dB");
    }

    #[test]
    fn a_mangled_stream_recovers() {
        let pcm = tone::sine(16_000, 1_000.0, -20.0, 16_000);
        let mut payload = encode(&pcm);
        for (n, byte) in payload[1_000..1_160].iter_mut().enumerate() {
            *byte ^= (n * 37) as u8;
        }
        let heard = decode(&payload);
        let clarity = tone::signal_to_noise_db(&pcm[10_000..], &heard[10_000 + DELAY..]);
        assert!(clarity > 25.0, "{clarity} dB");
    }

    #[test]
    fn full_scale_noise_of_square_waves_stays_in_range() {
        // Every partial product and shift is exercised at its limits; debug builds would panic
        // on overflow.
        let mut pcm = vec![0; 32_000];
        let mut state = 1u32;
        for sample in &mut pcm {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *sample = if state & 0x8000_0000 == 0 {
                i16::MAX
            } else {
                i16::MIN
            };
        }
        let heard = decode(&encode(&pcm));
        assert!(tone::rms_dbfs(&heard) > -10.0);
    }

    #[test]
    fn odd_samples_are_refused() {
        assert_eq!(
            G722Encoder::new().encode(&[0; 3], &mut [0; 4]),
            Err(CodecError::Malformed)
        );
        assert_eq!(
            G722Decoder::new().decode(&[0; 3], &mut [0; 5]),
            Err(CodecError::BufferTooSmall)
        );
    }
}
