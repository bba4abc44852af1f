//! Encodings of audio on the wire.

pub mod g711;
pub mod g722;
pub mod linear;
pub mod opus;

use g711::{G711Decoder, G711Encoder, Law};
use g722::{G722Decoder, G722Encoder};
use linear::{LinearDecoder, LinearEncoder};
pub use opus::OpusSettings;
use opus::{OpusDecoder, OpusEncoder};

/// Rates in Hz that [`Codec::L16Le`] may have.
const LINEAR_RATES: [u32; 3] = [8_000, 16_000, 24_000];

/// An encoding a leg can speak. Names are the RTP encoding names of RFC 3551 and RFC 7587;
/// `L16Le` is the little-endian linear PCM of carrier websockets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Codec {
    /// G.711 mu-law, 8 kHz.
    Pcmu,
    /// G.711 A-law, 8 kHz.
    Pcma,
    /// G.722 at 64 kbit/s, 16 kHz audio on an 8 kHz RTP clock (RFC 3551 §4.5.2).
    G722,
    /// Opus, coded and decoded at 16 kHz mono on a 48 kHz RTP clock (RFC 7587).
    Opus,
    /// 16-bit little-endian linear PCM at the given rate in Hz (8000, 16000 or 24000).
    L16Le(u32),
}

impl Codec {
    /// Encoding name as written in `a=rtpmap`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::Opus => "opus",
            Self::L16Le(_) => "L16LE",
        }
    }

    /// RTP clock rate in Hz.
    #[must_use]
    pub const fn rtp_clock(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => 8_000,
            Self::Opus => 48_000,
            Self::L16Le(rate) => rate,
        }
    }

    /// Rate in Hz of the PCM that [`Decoder`] writes and [`Encoder`] reads.
    #[must_use]
    pub const fn pcm_rate(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma => 8_000,
            Self::G722 | Self::Opus => 16_000,
            Self::L16Le(rate) => rate,
        }
    }

    /// Channels as written in `a=rtpmap`; audio itself is always mono here.
    #[must_use]
    pub const fn rtpmap_channels(self) -> u8 {
        match self {
            Self::Opus => 2,
            Self::Pcmu | Self::Pcma | Self::G722 | Self::L16Le(_) => 1,
        }
    }

    /// Static payload type of RFC 3551 table 4, if the encoding has one.
    #[must_use]
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Self::Pcmu => Some(0),
            Self::Pcma => Some(8),
            Self::G722 => Some(9),
            Self::Opus | Self::L16Le(_) => None,
        }
    }

    /// A fresh decoder for one received stream.
    ///
    /// # Errors
    /// [`CodecError::Setup`] for a rate [`Codec::L16Le`] does not have, or when the Opus library
    /// cannot be set up.
    pub fn decoder(self) -> Result<Box<dyn Decoder>, CodecError> {
        Ok(match self {
            Self::Pcmu => Box::new(G711Decoder::new(Law::Mu)),
            Self::Pcma => Box::new(G711Decoder::new(Law::A)),
            Self::G722 => Box::new(G722Decoder::new()),
            Self::Opus => Box::new(OpusDecoder::new()?),
            Self::L16Le(rate) if LINEAR_RATES.contains(&rate) => Box::new(LinearDecoder),
            Self::L16Le(_) => return Err(CodecError::Setup),
        })
    }

    /// A fresh encoder for one sent stream; `opus` matters to [`Codec::Opus`] only.
    ///
    /// # Errors
    /// As [`Self::decoder`], and for settings the Opus library refuses.
    pub fn encoder(self, opus: &OpusSettings) -> Result<Box<dyn Encoder>, CodecError> {
        Ok(match self {
            Self::Pcmu => Box::new(G711Encoder::new(Law::Mu)),
            Self::Pcma => Box::new(G711Encoder::new(Law::A)),
            Self::G722 => Box::new(G722Encoder::new()),
            Self::Opus => Box::new(OpusEncoder::new(opus)?),
            Self::L16Le(rate) if LINEAR_RATES.contains(&rate) => Box::new(LinearEncoder),
            Self::L16Le(_) => return Err(CodecError::Setup),
        })
    }
}

/// What went wrong with a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The input is not one this codec can take: an unreadable payload, or PCM that is not a
    /// whole packet.
    #[error("input is malformed")]
    Malformed,
    /// The output does not fit the caller's buffer.
    #[error("output buffer is too small")]
    BufferTooSmall,
    /// The codec library refused its parameters.
    #[error("codec could not be set up")]
    Setup,
}

/// Turns payloads into PCM at [`Codec::pcm_rate`]. Allocates nothing after construction.
pub trait Decoder: Send {
    /// Decodes one payload into `pcm`, returns the samples written.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] for a payload of impossible size (empty, too) or content,
    /// [`CodecError::BufferTooSmall`] when `pcm` cannot hold the result.
    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, CodecError>;

    /// Fills `pcm` for a lost packet by the codec's own concealment; `next` is the packet after
    /// the gap if it is already there (in-band FEC). Returns `false` when the codec has no
    /// concealment of its own and the caller's generic one must work.
    fn conceal(&mut self, next: Option<&[u8]>, pcm: &mut [i16]) -> bool;
}

/// Turns PCM at [`Codec::pcm_rate`] into payloads. Allocates nothing after construction.
pub trait Encoder: Send {
    /// Encodes `pcm` (a whole packet's worth) into `payload`, returns the bytes written.
    ///
    /// # Errors
    /// [`CodecError::BufferTooSmall`] when `payload` cannot hold the result,
    /// [`CodecError::Malformed`] when `pcm` has a length the codec cannot make a packet of (an odd
    /// number of samples for G.722, not 2.5 to 60 ms for Opus).
    fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<usize, CodecError>;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Codec; 7] = [
        Codec::Pcmu,
        Codec::Pcma,
        Codec::G722,
        Codec::Opus,
        Codec::L16Le(8_000),
        Codec::L16Le(16_000),
        Codec::L16Le(24_000),
    ];

    #[test]
    fn twenty_milliseconds_survive_every_codec() {
        for codec in ALL {
            let rate = codec.pcm_rate();
            let samples = rate as usize / 50;
            let pcm = fixtures::tone::sine(rate, 1_000.0, -20.0, 10 * samples);
            let mut encoder = codec.encoder(&OpusSettings::default()).expect("encoder");
            let mut decoder = codec.decoder().expect("decoder");
            let mut heard = Vec::new();
            for frame in pcm.chunks_exact(samples) {
                let mut payload = [0; 1_500];
                let len = encoder.encode(frame, &mut payload).expect("20 ms");
                let mut back = [0; 2_000];
                assert_eq!(decoder.decode(&payload[..len], &mut back), Ok(samples));
                heard.extend_from_slice(&back[..samples]);
            }
            let level = fixtures::tone::level_dbfs(&heard[heard.len() / 2..], rate, 1_000.0);
            assert!((level + 20.0).abs() < 2.0, "{codec:?}: {level} dBFS");
        }
    }

    #[test]
    fn unknown_linear_rates_are_refused() {
        let codec = Codec::L16Le(11_025);
        assert_eq!(codec.decoder().err(), Some(CodecError::Setup));
        let settings = OpusSettings::default();
        assert_eq!(codec.encoder(&settings).err(), Some(CodecError::Setup));
    }

    proptest! {
        #[test]
        fn no_payload_breaks_a_decoder(
            payloads in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..400), 0usize..2_000, any::<bool>()),
                1..8,
            ),
        ) {
            for codec in ALL {
                let mut decoder = codec.decoder().expect("decoder");
                for (payload, room, lost) in &payloads {
                    let mut pcm = vec![0; *room];
                    if *lost {
                        decoder.conceal(Some(payload), &mut pcm);
                    } else if let Ok(written) = decoder.decode(payload, &mut pcm) {
                        prop_assert!(written <= *room);
                    }
                }
            }
        }

        #[test]
        fn no_samples_break_an_encoder(
            pcm in prop::collection::vec(any::<i16>(), 0..700),
            room in 0usize..1_500,
        ) {
            for codec in ALL {
                let mut encoder = codec.encoder(&OpusSettings::default()).expect("encoder");
                let mut payload = vec![0; room];
                if let Ok(written) = encoder.encode(&pcm, &mut payload) {
                    prop_assert!(written <= room);
                }
            }
        }
    }
}
