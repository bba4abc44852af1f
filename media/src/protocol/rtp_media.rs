//! A negotiation made ready for the worker: codecs, buffers and detectors, all allocated.

use std::fmt;
use std::time::Instant;

use crate::codec::{Codec, CodecError, Decoder, Encoder, OpusSettings};
use crate::dsp::echo::EchoBand;
use crate::dsp::resample::Resampler;
use crate::frame::{FRAME_RATE, FRAME_SAMPLES};
use crate::jitter::{Concealer, JitterBuffer, JitterConfig};
use crate::protocol::rtp::{RECEIVE_PAYLOADS_MAX, RtpMedia, RtpPayload};
use crate::rtp::dtmf_event::{DtmfConfig, DtmfReceiver, DtmfSender};
use crate::rtp::srtp::{SrtpReceiver, SrtpSender};

/// Packet times we can send, in ms.
const PTIMES: [u32; 5] = [10, 20, 30, 40, 60];
/// Packets that may wait for one that is missing: 280 ms of 10 ms packets, well above the longest
/// reorder wait.
const JITTER_DEPTH: usize = 28;
/// Most samples at the codec's rate in one packet we send: 60 ms at 16 kHz.
pub(crate) const PACKET_SAMPLES_MAX: usize = 960;

/// Why a description cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// No codec to accept, more than [`RECEIVE_PAYLOADS_MAX`], an encoding without an RTP form, a
    /// payload type above 127, or a packet time we cannot send.
    #[error("media description is not usable")]
    Invalid,
    /// A codec could not be set up.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Everything an RTP leg needs for one negotiation.
pub struct PreparedMedia {
    pub(crate) description: RtpMedia,
    pub(crate) encoder: Box<dyn Encoder>,
    pub(crate) down: Resampler,
    pub(crate) decoders: Vec<PayloadDecoder>,
    /// One for each RTP clock among the decoders.
    pub(crate) buffers: Vec<ClockBuffer>,
    pub(crate) key_receivers: Vec<KeyReceiver>,
    pub(crate) key_sender: Option<DtmfSender>,
    pub(crate) srtp: Option<SrtpPair>,
}

/// Keys and counters of both directions.
#[derive(Debug)]
pub(crate) struct SrtpPair {
    pub(crate) send: SrtpSender,
    pub(crate) receive: SrtpReceiver,
}

/// Decodes one payload type up to [`FRAME_RATE`].
pub(crate) struct PayloadDecoder {
    pub(crate) payload: RtpPayload,
    pub(crate) decoder: Box<dyn Decoder>,
    pub(crate) concealer: Concealer,
    pub(crate) up: Resampler,
}

/// Orders the packets of codecs that share a clock.
pub(crate) struct ClockBuffer {
    pub(crate) codec: Codec,
    pub(crate) jitter: JitterBuffer,
}

/// Reads the telephone events of one payload type.
pub(crate) struct KeyReceiver {
    pub(crate) payload_type: u8,
    pub(crate) clock: u32,
    pub(crate) receiver: DtmfReceiver,
}

impl PreparedMedia {
    /// Prepares `description` for a leg whose timeline began at `origin`.
    ///
    /// # Errors
    /// See [`MediaError`].
    pub fn new(description: RtpMedia, origin: Instant) -> Result<Self, MediaError> {
        check(&description)?;
        let send = description.send.codec;
        let mut decoders = Vec::with_capacity(description.receive.len());
        let mut buffers: Vec<ClockBuffer> = Vec::new();
        for &payload in &description.receive {
            decoders.push(PayloadDecoder::new(payload)?);
            let clock = payload.codec.rtp_clock();
            if buffers.iter().all(|b| b.codec.rtp_clock() != clock) {
                buffers.push(ClockBuffer {
                    codec: payload.codec,
                    jitter: JitterBuffer::new(JitterConfig {
                        depth: JITTER_DEPTH,
                        ..JitterConfig::new(origin, payload.codec)
                    }),
                });
            }
        }
        let key_receivers = description
            .receive_events
            .iter()
            .map(|event| KeyReceiver {
                payload_type: event.payload_type,
                clock: event.clock,
                receiver: DtmfReceiver::new(event.clock),
            })
            .collect();
        let key_sender = description.send_events.map(|event| {
            let config = DtmfConfig::new(event.payload_type, event.clock, send.rtp_clock());
            DtmfSender::new(config)
        });
        Ok(Self {
            encoder: send.encoder(&OpusSettings::default())?,
            down: resampler(FRAME_RATE, send.pcm_rate())?,
            decoders,
            buffers,
            key_receivers,
            key_sender,
            srtp: description.srtp.as_ref().map(|keys| SrtpPair {
                send: SrtpSender::new(&keys.send),
                receive: SrtpReceiver::new(&keys.receive),
            }),
            description,
        })
    }

    /// Takes over from `old` what goes on unchanged, so that a re-INVITE that changes only
    /// addresses or direction is not heard.
    pub(crate) fn adopt(&mut self, old: &mut Self) {
        if self.description.send == old.description.send {
            std::mem::swap(&mut self.encoder, &mut old.encoder);
            std::mem::swap(&mut self.down, &mut old.down);
            if self.description.send_events == old.description.send_events {
                std::mem::swap(&mut self.key_sender, &mut old.key_sender);
            }
        }
        // A key that goes on goes on with its counters: they must never run twice.
        if let (Some(new), Some(before)) = (&mut self.srtp, &mut old.srtp)
            && let (Some(keys), Some(were)) = (&self.description.srtp, &old.description.srtp)
        {
            if keys.send == were.send {
                std::mem::swap(&mut new.send, &mut before.send);
            }
            if keys.receive == were.receive {
                std::mem::swap(&mut new.receive, &mut before.receive);
            }
        }
        for new in &mut self.decoders {
            if let Some(same) = old.decoders.iter_mut().find(|d| d.payload == new.payload) {
                std::mem::swap(new, same);
            }
        }
        for new in &mut self.buffers {
            if let Some(same) = old.buffers.iter_mut().find(|b| b.codec == new.codec) {
                std::mem::swap(new, same);
            }
        }
        for new in &mut self.key_receivers {
            let same =
                |k: &&mut KeyReceiver| (k.payload_type, k.clock) == (new.payload_type, new.clock);
            if let Some(same) = old.key_receivers.iter_mut().find(same) {
                std::mem::swap(new, same);
            }
        }
    }

    /// Rate in Hz at which the leg is recorded: 8000 when no wider codec can occur.
    #[must_use]
    pub fn recording_rate(&self) -> u32 {
        let codecs = self.decoders.iter().map(|d| d.payload.codec);
        let wide = codecs
            .chain([self.description.send.codec])
            .any(|codec| codec.pcm_rate() > 8_000);
        if wide { FRAME_RATE } else { 8_000 }
    }
}

impl PreparedMedia {
    /// How wide the leg's audio is.
    pub(crate) fn echo_band(&self) -> EchoBand {
        if self.recording_rate() == FRAME_RATE {
            EchoBand::Wide
        } else {
            EchoBand::Narrow
        }
    }
}

impl PayloadDecoder {
    fn new(payload: RtpPayload) -> Result<Self, CodecError> {
        let rate = payload.codec.pcm_rate();
        Ok(Self {
            payload,
            decoder: payload.codec.decoder()?,
            concealer: Concealer::new(rate),
            up: resampler(rate, FRAME_RATE)?,
        })
    }
}

impl fmt::Debug for PreparedMedia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedMedia")
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}

/// Samples at `rate` in a tick.
pub(crate) const fn tick_samples(rate: u32) -> usize {
    FRAME_SAMPLES * rate as usize / FRAME_RATE as usize
}

fn resampler(from: u32, to: u32) -> Result<Resampler, CodecError> {
    Resampler::new(from, to).map_err(|_| CodecError::Setup)
}

fn check(description: &RtpMedia) -> Result<(), MediaError> {
    let payloads = description.receive.iter().chain([&description.send]);
    let events = description
        .receive_events
        .iter()
        .chain(&description.send_events);
    let types = payloads
        .clone()
        .map(|p| p.payload_type)
        .chain(events.clone().map(|e| e.payload_type));
    let usable = (1..=RECEIVE_PAYLOADS_MAX).contains(&description.receive.len())
        && description.receive_events.len() <= RECEIVE_PAYLOADS_MAX
        && PTIMES.contains(&description.ptime_ms)
        && types.max().unwrap_or(0) <= 127
        && payloads.clone().all(|p| has_rtp_form(p.codec))
        && events.clone().all(|e| e.clock >= 1_000);
    usable.then_some(()).ok_or(MediaError::Invalid)
}

const fn has_rtp_form(codec: Codec) -> bool {
    match codec {
        Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::Opus => true,
        Codec::L16Le(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "origin of virtual time")]
    fn origin() -> Instant {
        Instant::now()
    }

    fn payload(payload_type: u8, codec: Codec) -> RtpPayload {
        RtpPayload {
            payload_type,
            codec,
        }
    }

    #[test]
    fn unusable_descriptions_are_refused() {
        let good = RtpMedia::new(payload(0, Codec::Pcmu), None);
        assert!(PreparedMedia::new(good.clone(), origin()).is_ok());
        let mut none = good.clone();
        none.receive.clear();
        let mut many = good.clone();
        many.receive = vec![payload(0, Codec::Pcmu); RECEIVE_PAYLOADS_MAX + 1];
        let linear = RtpMedia::new(payload(96, Codec::L16Le(16_000)), None);
        let high = RtpMedia::new(payload(128, Codec::Pcmu), None);
        let mut odd = good;
        odd.ptime_ms = 25;
        for bad in [none, many, linear, high, odd] {
            let refused = PreparedMedia::new(bad.clone(), origin()).err();
            assert_eq!(refused, Some(MediaError::Invalid), "{bad:?}");
        }
    }

    #[test]
    fn codecs_that_share_a_clock_share_a_buffer() {
        let mut media = RtpMedia::new(payload(0, Codec::Pcmu), None);
        media.receive.push(payload(8, Codec::Pcma));
        media.receive.push(payload(111, Codec::Opus));
        let prepared = PreparedMedia::new(media, origin()).expect("usable");
        assert_eq!(prepared.decoders.len(), 3);
        assert_eq!(prepared.buffers.len(), 2);
        assert_eq!(prepared.recording_rate(), 16_000);
    }
}
