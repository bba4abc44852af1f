//! Little-endian 16-bit linear PCM, the raw format of carrier websockets.

use super::{CodecError, Decoder, Encoder};

/// Reads little-endian 16-bit samples.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinearDecoder;

impl Decoder for LinearDecoder {
    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, CodecError> {
        let (pairs, rest) = payload.as_chunks::<2>();
        if pairs.is_empty() || !rest.is_empty() {
            return Err(CodecError::Malformed);
        }
        let pcm = pcm
            .get_mut(..pairs.len())
            .ok_or(CodecError::BufferTooSmall)?;
        for (sample, bytes) in pcm.iter_mut().zip(pairs) {
            *sample = i16::from_le_bytes(*bytes);
        }
        Ok(pairs.len())
    }

    fn conceal(&mut self, _next: Option<&[u8]>, _pcm: &mut [i16]) -> bool {
        false
    }
}

/// Writes little-endian 16-bit samples.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinearEncoder;

impl Encoder for LinearEncoder {
    fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<usize, CodecError> {
        let payload = payload
            .get_mut(..pcm.len() * 2)
            .ok_or(CodecError::BufferTooSmall)?;
        let (pairs, _) = payload.as_chunks_mut::<2>();
        for (bytes, sample) in pairs.iter_mut().zip(pcm) {
            *bytes = sample.to_le_bytes();
        }
        Ok(payload.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_survive_the_round_trip() {
        let pcm = [0, 1, -1, i16::MAX, i16::MIN, 0x1234];
        let mut payload = [0; 12];
        assert_eq!(LinearEncoder.encode(&pcm, &mut payload), Ok(12));
        assert_eq!(payload[10..], [0x34, 0x12]);
        let mut back = [0; 8];
        assert_eq!(LinearDecoder.decode(&payload, &mut back), Ok(6));
        assert_eq!(back[..6], pcm);
    }

    #[test]
    fn half_a_sample_is_malformed() {
        let mut pcm = [0; 8];
        assert_eq!(
            LinearDecoder.decode(&[1, 2, 3], &mut pcm),
            Err(CodecError::Malformed)
        );
        assert_eq!(
            LinearDecoder.decode(&[], &mut pcm),
            Err(CodecError::Malformed)
        );
        assert_eq!(
            LinearDecoder.decode(&[0; 18], &mut pcm),
            Err(CodecError::BufferTooSmall)
        );
        assert_eq!(
            LinearEncoder.encode(&pcm, &mut [0; 15]),
            Err(CodecError::BufferTooSmall)
        );
    }
}
