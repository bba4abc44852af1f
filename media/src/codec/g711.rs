//! G.711 mu-law and A-law: logarithmic 8-bit samples at 8 kHz, one byte per sample.

use super::{CodecError, Decoder, Encoder};

/// Mu-law codeword of silence, for filling packets without a codec at hand.
pub const MU_LAW_SILENCE: u8 = 0xff;
/// A-law codeword of the smallest positive value, the usual idle byte.
pub const A_LAW_SILENCE: u8 = 0xd5;

/// Which of the two characteristics of G.711.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Law {
    /// North America and Japan.
    Mu,
    /// The rest of the world.
    A,
}

/// Expands codewords by table.
#[derive(Clone, Copy, Debug)]
pub struct G711Decoder {
    table: &'static [i16; 256],
}

impl G711Decoder {
    /// A decoder for `law`; it has no state.
    #[must_use]
    pub const fn new(law: Law) -> Self {
        Self {
            table: match law {
                Law::Mu => &MU_LAW_TO_LINEAR,
                Law::A => &A_LAW_TO_LINEAR,
            },
        }
    }
}

impl Decoder for G711Decoder {
    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, CodecError> {
        if payload.is_empty() {
            return Err(CodecError::Malformed);
        }
        let pcm = pcm
            .get_mut(..payload.len())
            .ok_or(CodecError::BufferTooSmall)?;
        for (sample, &code) in pcm.iter_mut().zip(payload) {
            *sample = self.table[usize::from(code)];
        }
        Ok(payload.len())
    }

    fn conceal(&mut self, _next: Option<&[u8]>, _pcm: &mut [i16]) -> bool {
        false
    }
}

/// Compresses samples by finding the segment from the leading bit.
#[derive(Clone, Copy, Debug)]
pub struct G711Encoder {
    law: Law,
}

impl G711Encoder {
    /// An encoder for `law`; it has no state.
    #[must_use]
    pub const fn new(law: Law) -> Self {
        Self { law }
    }
}

impl Encoder for G711Encoder {
    fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<usize, CodecError> {
        let payload = payload
            .get_mut(..pcm.len())
            .ok_or(CodecError::BufferTooSmall)?;
        let codes = payload.iter_mut().zip(pcm);
        match self.law {
            Law::Mu => codes.for_each(|(code, &sample)| *code = linear_to_mu_law(sample)),
            Law::A => codes.for_each(|(code, &sample)| *code = linear_to_a_law(sample)),
        }
        Ok(pcm.len())
    }
}

/// Offset that makes every mu-law segment begin at a power of two (16-bit scale).
const MU_LAW_BIAS: u16 = 132;
/// Largest magnitude mu-law can carry once the bias is added.
const MU_LAW_CLIP: u16 = 32_635;

/// The mu-law codeword whose quantizing interval holds `sample` (G.711 table 2).
#[must_use]
pub const fn linear_to_mu_law(sample: i16) -> u8 {
    let magnitude = sample.unsigned_abs();
    let clipped = if magnitude > MU_LAW_CLIP {
        MU_LAW_CLIP
    } else {
        magnitude
    };
    let biased = clipped + MU_LAW_BIAS;
    // The bias sets bit 7 at least, the clip keeps bit 15 clear: segments 0 to 7.
    let segment = 8 - biased.leading_zeros() as u16;
    let interval = (biased >> (segment + 3)) & 0x0f;
    let sign = if sample < 0 { 0x80 } else { 0 };
    // All bits are inverted on the line.
    !(sign | (segment << 4 | interval) as u8)
}

/// The A-law codeword whose quantizing interval holds `sample` (G.711 table 1).
#[must_use]
pub const fn linear_to_a_law(sample: i16) -> u8 {
    // One's complement of negatives: the characteristic is symmetric about -1/2, it has no zero.
    let (magnitude, sign) = if sample < 0 {
        (!sample as u16, 0)
    } else {
        (sample as u16, 0x80)
    };
    let code = if magnitude < 256 {
        magnitude >> 4
    } else {
        let segment = 8 - magnitude.leading_zeros() as u16;
        (segment << 4) | ((magnitude >> (segment + 3)) & 0x0f)
    };
    // Even bits are inverted on the line.
    (sign | code as u8) ^ 0x55
}

static MU_LAW_TO_LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = !(code as u8);
        let segment = (bits >> 4) & 7;
        let interval = (bits & 0x0f) as i16;
        let magnitude = (((interval << 3) + MU_LAW_BIAS as i16) << segment) - MU_LAW_BIAS as i16;
        table[code] = if bits & 0x80 == 0 {
            magnitude
        } else {
            -magnitude
        };
        code += 1;
    }
    table
};

static A_LAW_TO_LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = code as u8 ^ 0x55;
        let segment = (bits >> 4) & 7;
        // The middle of the quantizing interval.
        let interval = ((bits & 0x0f) as i16) << 4 | 8;
        let magnitude = if segment == 0 {
            interval
        } else {
            (interval + 256) << (segment - 1)
        };
        table[code] = if bits & 0x80 == 0 {
            -magnitude
        } else {
            magnitude
        };
        code += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_a_law_codeword_survives_the_round_trip() {
        for code in 0..=255u8 {
            let sample = A_LAW_TO_LINEAR[usize::from(code)];
            assert_eq!(linear_to_a_law(sample), code, "sample {sample}");
        }
    }

    #[test]
    fn every_mu_law_codeword_but_negative_zero_survives_the_round_trip() {
        for code in 0..=255u8 {
            let sample = MU_LAW_TO_LINEAR[usize::from(code)];
            // 0x7f is minus zero: linear PCM cannot hold it, the level is the same.
            let expected = if code == 0x7f { 0xff } else { code };
            assert_eq!(linear_to_mu_law(sample), expected, "sample {sample}");
        }
    }

    #[test]
    fn codewords_match_the_tables_of_the_recommendation() {
        // Positive values of G.711 tables 1a and 2a, in 16-bit scale.
        for (code, value) in [
            (0xff, 0),
            (0xfe, 8),
            (0xef, 132),
            (0x80, 32_124),
            (0, -32_124),
        ] {
            assert_eq!(MU_LAW_TO_LINEAR[code], value);
        }
        for (code, value) in [
            (0xd5, 8),
            (0xd4, 24),
            (0x55, -8),
            (0xaa, 32_256),
            (0x2a, -32_256),
        ] {
            assert_eq!(A_LAW_TO_LINEAR[code], value);
        }
        assert_eq!(linear_to_mu_law(0), MU_LAW_SILENCE);
        assert_eq!(linear_to_a_law(0), A_LAW_SILENCE);
    }

    #[test]
    fn quantizing_error_stays_within_half_an_interval() {
        for (encode, table, clip) in [
            (linear_to_mu_law as fn(i16) -> u8, &MU_LAW_TO_LINEAR, 32_635),
            (linear_to_a_law, &A_LAW_TO_LINEAR, 32_767),
        ] {
            for sample in i16::MIN..=i16::MAX {
                let wanted = i32::from(sample).clamp(-clip, clip);
                let code = encode(sample);
                let got = i32::from(table[usize::from(code)]);
                // Segments double the interval: 8 or 16 at the bottom, 1024 at the top.
                let half_interval = match encode {
                    e if e(0) == MU_LAW_SILENCE => 4 << (!code >> 4 & 7),
                    _ => 8 << ((code ^ 0x55) >> 4 & 7).saturating_sub(1),
                };
                assert!(
                    (wanted - got).abs() <= half_interval,
                    "sample {sample} became {got}"
                );
            }
        }
    }

    #[test]
    fn codes_are_monotonic() {
        for (encode, table) in [
            (linear_to_mu_law as fn(i16) -> u8, &MU_LAW_TO_LINEAR),
            (linear_to_a_law, &A_LAW_TO_LINEAR),
        ] {
            let decoded = (i16::MIN..=i16::MAX).map(|s| table[usize::from(encode(s))]);
            assert!(decoded.is_sorted());
        }
    }

    #[test]
    fn sizes_are_checked() {
        let mut decoder = G711Decoder::new(Law::Mu);
        assert_eq!(decoder.decode(&[], &mut [0; 4]), Err(CodecError::Malformed));
        assert_eq!(
            decoder.decode(&[0; 5], &mut [0; 4]),
            Err(CodecError::BufferTooSmall)
        );
        assert_eq!(
            G711Encoder::new(Law::A).encode(&[0; 5], &mut [0; 4]),
            Err(CodecError::BufferTooSmall)
        );
    }
}
