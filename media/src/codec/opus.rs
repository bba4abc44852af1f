//! Opus (RFC 6716) at 16 kHz mono, as an RTP payload of RFC 7587.
//!
//! The RTP clock runs at 48 kHz whatever the rate of the PCM; libopus converts inside.

use std::fmt;

use audiopus::coder::{Decoder as LibDecoder, Encoder as LibEncoder};
use audiopus::{
    Application, Bandwidth, Bitrate, Channels, Error, ErrorCode, SampleRate, Signal, packet::Packet,
};

use super::{CodecError, Decoder, Encoder};

/// Samples of the shortest unit Opus can conceal: 2.5 ms at 16 kHz.
const CONCEAL_UNIT: usize = 40;
/// Samples of the longest packet: 120 ms at 16 kHz. A buffer of this size is never too small.
pub const OPUS_SAMPLES_MAX: usize = 1_920;

/// How an [`OpusEncoder`] spends time and bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpusSettings {
    /// Search effort, 0 to 10. Every step costs CPU time; above 5 speech hardly gains.
    pub complexity: u8,
    /// Target rate in bit/s.
    pub bitrate: u32,
    /// Whether packets carry a coarse copy of their predecessor (`useinbandfec`).
    pub in_band_fec: bool,
    /// Loss in percent to expect; with FEC on it decides how good the copies are.
    pub expected_loss_percent: u8,
    /// Whether silence is sent as packets of one or two bytes, which need not go out
    /// (`usedtx`).
    pub discontinuous: bool,
}

impl Default for OpusSettings {
    /// Speech over the open internet: 24 kbit/s, FEC for 10 % loss, no gaps in silence.
    fn default() -> Self {
        Self {
            complexity: 5,
            bitrate: 24_000,
            in_band_fec: true,
            expected_loss_percent: 10,
            discontinuous: false,
        }
    }
}

/// Decodes Opus packets of any mode, bandwidth, duration and channel count to 16 kHz mono.
pub struct OpusDecoder {
    library: LibDecoder,
}

impl OpusDecoder {
    /// A decoder that has heard nothing.
    ///
    /// # Errors
    /// [`CodecError::Setup`] when the library cannot be set up (out of memory).
    pub fn new() -> Result<Self, CodecError> {
        let library =
            LibDecoder::new(SampleRate::Hz16000, Channels::Mono).map_err(|_| CodecError::Setup)?;
        Ok(Self { library })
    }

    fn run(
        &mut self,
        payload: Option<&[u8]>,
        pcm: &mut [i16],
        from_fec: bool,
    ) -> Result<usize, CodecError> {
        let packet = payload
            .map(Packet::try_from)
            .transpose()
            .map_err(codec_error)?;
        let signals = pcm.try_into().map_err(codec_error)?;
        self.library
            .decode(packet, signals, from_fec)
            .map_err(codec_error)
    }
}

impl Decoder for OpusDecoder {
    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, CodecError> {
        // A packet of the TOC byte alone is legal: the sender's silence (DTX), which libopus
        // renders as comfort noise.
        if pcm.is_empty() {
            return Err(CodecError::BufferTooSmall);
        }
        self.run(Some(payload), pcm, false)
    }

    fn conceal(&mut self, next: Option<&[u8]>, pcm: &mut [i16]) -> bool {
        if pcm.is_empty() || !pcm.len().is_multiple_of(CONCEAL_UNIT) || pcm.len() > OPUS_SAMPLES_MAX
        {
            return false;
        }
        // Without a copy inside `next` libopus falls back to its own concealment; a broken `next`
        // must not spoil it either.
        let concealed = match next.filter(|next| !next.is_empty()) {
            Some(next) => self
                .run(Some(next), pcm, true)
                .or_else(|_| self.run(None, pcm, false)),
            None => self.run(None, pcm, false),
        };
        concealed.is_ok_and(|samples| samples == pcm.len())
    }
}

impl fmt::Debug for OpusDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpusDecoder").finish_non_exhaustive()
    }
}

/// Encodes 16 kHz mono speech; the packet duration follows the PCM handed in (20 ms as a rule).
pub struct OpusEncoder {
    library: LibEncoder,
}

impl OpusEncoder {
    /// An encoder with the given settings.
    ///
    /// # Errors
    /// [`CodecError::Setup`] when the library refuses the settings.
    pub fn new(settings: &OpusSettings) -> Result<Self, CodecError> {
        Self::build(settings).map_err(|_| CodecError::Setup)
    }

    fn build(settings: &OpusSettings) -> Result<Self, Error> {
        let mut library = LibEncoder::new(SampleRate::Hz16000, Channels::Mono, Application::Voip)?;
        let bitrate = i32::try_from(settings.bitrate).unwrap_or(i32::MAX);
        library.set_bitrate(Bitrate::BitsPerSecond(bitrate))?;
        library.set_complexity(settings.complexity)?;
        library.set_signal(Signal::Voice)?;
        library.set_max_bandwidth(Bandwidth::Wideband)?;
        library.set_inband_fec(settings.in_band_fec)?;
        library.set_packet_loss_perc(settings.expected_loss_percent)?;
        library.set_dtx(settings.discontinuous)?;
        Ok(Self { library })
    }

    /// Samples by which the encoder delays its input.
    #[must_use]
    pub fn look_ahead(&self) -> u32 {
        self.library.lookahead().unwrap_or(0)
    }
}

impl Encoder for OpusEncoder {
    fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<usize, CodecError> {
        if pcm.is_empty() {
            return Err(CodecError::Malformed);
        }
        if payload.is_empty() {
            return Err(CodecError::BufferTooSmall);
        }
        self.library.encode(pcm, payload).map_err(codec_error)
    }
}

impl fmt::Debug for OpusEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpusEncoder").finish_non_exhaustive()
    }
}

fn codec_error(error: Error) -> CodecError {
    match error {
        Error::Opus(ErrorCode::BufferTooSmall) => CodecError::BufferTooSmall,
        _ => CodecError::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use fixtures::tone;
    use fixtures::wav::Wav;

    use super::*;

    const FRAME: usize = 320;

    fn speech() -> Vec<i16> {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../fixtures/audio/speech_16k.wav"
        );
        let mut wav = Wav::read(path).expect("fixture");
        wav.channels.swap_remove(0)
    }

    fn packets(settings: &OpusSettings, pcm: &[i16]) -> Vec<Vec<u8>> {
        let mut encoder = OpusEncoder::new(settings).expect("settings");
        pcm.chunks_exact(FRAME)
            .map(|frame| {
                let mut payload = vec![0; 400];
                let len = encoder.encode(frame, &mut payload).expect("20 ms");
                payload.truncate(len);
                payload
            })
            .collect()
    }

    #[test]
    fn speech_tones_come_through() {
        let pcm = tone::mixture(16_000, &[(400.0, -20.0), (1_200.0, -26.0)], 16_000);
        let mut decoder = OpusDecoder::new().expect("memory");
        let mut heard = Vec::new();
        for packet in packets(&OpusSettings::default(), &pcm) {
            let mut frame = [0; OPUS_SAMPLES_MAX];
            assert_eq!(decoder.decode(&packet, &mut frame), Ok(FRAME));
            heard.extend_from_slice(&frame[..FRAME]);
        }
        for (frequency, level) in [(400.0, -20.0), (1_200.0, -26.0)] {
            let got = tone::level_dbfs(&heard[3_200..], 16_000, frequency);
            assert!((got - level).abs() < 2.0, "{frequency} Hz at {got} dBFS");
        }
    }

    #[test]
    fn other_packet_durations_are_understood() {
        for samples in [40, 80, 160, 640, 960] {
            let mut encoder = OpusEncoder::new(&OpusSettings::default()).expect("settings");
            let mut payload = [0; 1_000];
            let len = encoder
                .encode(&vec![0; samples], &mut payload)
                .expect("2.5 to 60 ms");
            let mut decoder = OpusDecoder::new().expect("memory");
            let mut pcm = [0; OPUS_SAMPLES_MAX];
            assert_eq!(decoder.decode(&payload[..len], &mut pcm), Ok(samples));
        }
    }

    /// How close, in dB, the rebuilt frames come to what the packets would have given.
    fn closeness(with_next: bool) -> f64 {
        let settings = OpusSettings {
            expected_loss_percent: 25,
            ..OpusSettings::default()
        };
        let packets = packets(&settings, &speech());
        let mut whole = OpusDecoder::new().expect("memory");
        let mut lossy = OpusDecoder::new().expect("memory");
        let (mut wanted, mut rebuilt) = (Vec::new(), Vec::new());
        for (n, packet) in packets.iter().enumerate() {
            let mut frame = [0; FRAME];
            whole.decode(packet, &mut frame).expect("own packet");
            let mut lossy_frame = [0; FRAME];
            if n % 5 == 4 && n + 1 < packets.len() {
                let next = with_next.then_some(packets[n + 1].as_slice());
                assert!(lossy.conceal(next, &mut lossy_frame));
                wanted.extend_from_slice(&frame);
                rebuilt.extend_from_slice(&lossy_frame);
            } else {
                lossy.decode(packet, &mut lossy_frame).expect("own packet");
            }
        }
        tone::signal_to_noise_db(&wanted, &rebuilt)
    }

    #[test]
    fn the_next_packet_rebuilds_a_lost_one() {
        let (with, without) = (closeness(true), closeness(false));
        assert!(with > without + 3.0, "with {with} dB, without {without} dB");
    }

    #[test]
    fn silence_sent_discontinuously_is_heard_as_silence() {
        let settings = OpusSettings {
            discontinuous: true,
            ..OpusSettings::default()
        };
        let mut pcm = speech();
        pcm.extend([0; 50 * FRAME]);
        let packets = packets(&settings, &pcm);
        let silent = packets.iter().rev().take(20).filter(|p| p.len() <= 2);
        assert!(silent.count() >= 15);
        let mut decoder = OpusDecoder::new().expect("memory");
        let mut frame = [0; FRAME];
        for packet in &packets {
            assert_eq!(decoder.decode(packet, &mut frame), Ok(FRAME));
        }
        assert!(tone::rms_dbfs(&frame) < -50.0);
        // And the same when the packets are not sent at all.
        assert!(decoder.conceal(None, &mut frame));
        assert!(tone::rms_dbfs(&frame) < -50.0);
    }

    #[test]
    fn bad_sizes_and_settings_are_errors() {
        let mut decoder = OpusDecoder::new().expect("memory");
        assert_eq!(
            decoder.decode(&[], &mut [0; 320]),
            Err(CodecError::Malformed)
        );
        let packet = &packets(&OpusSettings::default(), &[0; FRAME])[0];
        assert_eq!(
            decoder.decode(packet, &mut [0; 319]),
            Err(CodecError::BufferTooSmall)
        );
        assert_eq!(
            decoder.decode(packet, &mut []),
            Err(CodecError::BufferTooSmall)
        );
        assert!(!decoder.conceal(None, &mut []));
        assert!(!decoder.conceal(None, &mut [0; 321]));
        let mut encoder = OpusEncoder::new(&OpusSettings::default()).expect("settings");
        assert_eq!(
            encoder.encode(&[0; 321], &mut [0; 400]),
            Err(CodecError::Malformed)
        );
        assert_eq!(
            encoder.encode(&[], &mut [0; 400]),
            Err(CodecError::Malformed)
        );
        assert_eq!(
            encoder.encode(&[0; 320], &mut []),
            Err(CodecError::BufferTooSmall)
        );
        let settings = OpusSettings {
            complexity: 11,
            ..OpusSettings::default()
        };
        assert_eq!(OpusEncoder::new(&settings).err(), Some(CodecError::Setup));
        assert_eq!(encoder.look_ahead(), 104);
    }
}
