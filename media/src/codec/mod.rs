//! Encodings of audio on the wire.

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
}

/// What went wrong with a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The payload is not one this decoder can read.
    #[error("payload is malformed")]
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
    /// [`CodecError::Malformed`] for a payload of impossible size or content,
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
    /// [`CodecError::BufferTooSmall`] when `payload` cannot hold the result.
    fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<usize, CodecError>;
}
