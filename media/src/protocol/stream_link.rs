//! The media side of a stream leg: decoding what comes, pacing and marking what goes.

use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

use crate::codec::{CodecError, Decoder, Encoder, OpusSettings};
use crate::dsp::echo::EchoBand;
use crate::dsp::resample::Resampler;
use crate::frame::{FRAME_MS, FRAME_RATE, FRAME_SAMPLES, FrameOrigin, SamplePosition};
use crate::leg::{Generation, LegEnd, LegEvent};
use crate::leg_core::LegCore;
use crate::protocol::marks::MarkLedger;
use crate::protocol::stream::{
    STREAM_PAYLOAD_MAX, StreamInput, StreamLegConfig, StreamOutput, StreamPacket, StreamPayload,
    StreamQueues,
};
use crate::recording::Channel;
use crate::session_inbound::Run;
use crate::session_outbound::{Content, Moment};
use crate::speech_journal::WirePosition;

/// Inputs taken in one go.
const INPUTS_MAX: usize = 64;
/// Steps of the timestamp below this, in samples, are the carrier's rounding (20 ms).
const ROUNDING: u64 = FRAME_SAMPLES as u64;
/// Most samples in a payload: one octet each.
const NATIVE_MAX: usize = STREAM_PAYLOAD_MAX;
const WIDE_MAX: usize = 2 * NATIVE_MAX + 64;
/// Octets of an encoded frame: 20 ms of 16-bit PCM at 24 kHz.
const ENCODED_MAX: usize = 960;
/// Samples a carrier is believed to play after a clear has left: 60 ms.
const CLEAR_SAMPLES: u64 = 3 * ROUNDING;
/// Ticks for which the end of the leg is offered to a task that does not read.
const END_TRIES: u32 = 50;

pub(crate) struct StreamLink {
    queues: StreamQueues,
    receive: Receive,
    send: Send,
    ledger: MarkLedger,
    /// Frames sent that have not been due in real time yet.
    ahead: u32,
    /// Samples since the last mark.
    unmarked: u64,
    clear_waiting: bool,
    end_tries: u32,
    /// Recorded when its time comes, so that what a clear drops is not in the recording.
    unplayed: VecDeque<Unplayed>,
}

struct Receive {
    rate: u32,
    decoder: Box<dyn Decoder>,
    up: Resampler,
    /// A timestamp in ms and where it lies.
    anchor: Option<(u64, SamplePosition)>,
    last_sequence: Option<u64>,
}

struct Send {
    rate: u32,
    encoder: Box<dyn Encoder>,
    down: Resampler,
    lead: u32,
    mark_every: u64,
    silence: bool,
}

struct Unplayed {
    position: SamplePosition,
    len: usize,
    pcm: [i16; FRAME_SAMPLES],
}

impl StreamLink {
    /// # Errors
    /// [`CodecError`] when a codec or its rate cannot be set up.
    pub(crate) fn new(config: &StreamLegConfig, queues: StreamQueues) -> Result<Self, CodecError> {
        let (receive, send) = (config.receive, config.send);
        let resampler = |from, to| Resampler::new(from, to).map_err(|_| CodecError::Setup);
        let lead = (config.lead_ms / FRAME_MS).max(1);
        let recorded = if config.recording.is_some() {
            lead + 2
        } else {
            0
        };
        Ok(Self {
            queues,
            receive: Receive {
                rate: receive.pcm_rate(),
                decoder: receive.decoder()?,
                up: resampler(receive.pcm_rate(), FRAME_RATE)?,
                anchor: None,
                last_sequence: None,
            },
            send: Send {
                rate: send.pcm_rate(),
                encoder: send.encoder(&OpusSettings::default())?,
                down: resampler(FRAME_RATE, send.pcm_rate())?,
                lead,
                mark_every: u64::from((config.mark_every_ms / FRAME_MS).max(1)) * ROUNDING,
                silence: config.send_silence,
            },
            ledger: MarkLedger::new(),
            ahead: 0,
            unmarked: 0,
            clear_waiting: false,
            end_tries: 0,
            unplayed: VecDeque::with_capacity(recorded as usize),
        })
    }

    /// Takes what the socket's task has brought; `Some` when the stream is over.
    pub(crate) fn take_inputs(&mut self, now: Instant, core: &mut LegCore) -> Option<LegEnd> {
        for _ in 0..INPUTS_MAX {
            // After a stall audio comes faster than the conversation takes it: it then waits.
            if self.queues.next_is_packet() && core.port.frames.slots() < 4 {
                break;
            }
            match self.queues.pop() {
                Some(StreamInput::Packet(packet)) => self.receive.packet(now, &packet, core),
                Some(StreamInput::Mark(id)) => {
                    self.ledger.acknowledge(now, id);
                }
                Some(StreamInput::Digit(key)) => {
                    let position = core.position_at(now);
                    core.digit(key, None, position);
                }
                Some(StreamInput::End) => return Some(LegEnd::RemoteEnded),
                None => break,
            }
        }
        self.offer_clear();
        self.queues.is_abandoned().then_some(LegEnd::RemoteEnded)
    }

    /// Sends what is due at this tick.
    pub(crate) fn tick(&mut self, now: Instant, core: &mut LegCore) {
        self.ledger.expire(now);
        if let Some(generation) = core.outbound.take_clear() {
            self.clear(now, generation, core);
        }
        self.ahead = self.ahead.saturating_sub(1);
        self.offer_clear();
        while self.ahead < self.send.lead && self.has_room() && core.outbound.is_ready() {
            if !self.send_frame(now, core) {
                break;
            }
        }
        if self.ahead == 0 {
            if core.outbound.playout.in_segment() && !core.outbound.is_ready() {
                core.outbound.count_underrun();
            }
            if self.send.silence && self.has_room() {
                self.send_frame(now, core);
            }
        }
        core.outbound
            .report_played(self.ledger.confirmed(), &mut core.events);
        self.record_played(core);
    }

    /// Tells the task that the leg is over; `true` when it has been told or will not listen.
    pub(crate) fn finish(&mut self, end: LegEnd) -> bool {
        self.end_tries += 1;
        self.end_tries > END_TRIES
            || self.queues.is_abandoned()
            || self.queues.push(StreamOutput::End(end))
    }

    /// How far the wire has been heard.
    pub(crate) fn heard(&self, now: Instant) -> WirePosition {
        self.ledger.heard(now)
    }

    /// The queues to the task that speaks to the carrier.
    pub(crate) const fn queues_mut(&mut self) -> &mut StreamQueues {
        &mut self.queues
    }

    /// Rate in Hz at which a leg of `config` is recorded: 8000 when both codecs are narrow.
    #[cfg(feature = "net")]
    pub(crate) fn recording_rate(config: &StreamLegConfig) -> u32 {
        match Self::echo_band(config) {
            EchoBand::Narrow => 8_000,
            EchoBand::Wide => FRAME_RATE,
        }
    }

    /// How wide the audio of a leg of `config` is.
    pub(crate) fn echo_band(config: &StreamLegConfig) -> EchoBand {
        if config.receive.pcm_rate().max(config.send.pcm_rate()) <= 8_000 {
            EchoBand::Narrow
        } else {
            EchoBand::Wide
        }
    }

    /// Whether a frame in two pieces and a mark fit, and nothing must go before them.
    fn has_room(&self) -> bool {
        !self.clear_waiting && self.queues.room() >= 3
    }

    fn clear(&mut self, now: Instant, generation: Generation, core: &mut LegCore) {
        let heard = self.ledger.heard(now);
        core.outbound.report_played(heard, &mut core.events);
        core.outbound.drop_speech(generation);
        core.outbound.truncate(heard);
        self.ledger.clear(now, generation);
        self.queues.invalidate();
        self.clear_waiting = true;
        self.ahead = 0;
        self.unmarked = 0;
        let due = core.position();
        if let Some(echo) = &mut core.inbound.echo {
            // The carrier goes on playing until the order reaches it.
            echo.dropped(due.plus(CLEAR_SAMPLES));
        }
        self.unplayed.retain(|frame| frame.position < due);
        core.events.push(LegEvent::Cleared {
            generation,
            heard: core.outbound.heard(heard),
            at: now,
        });
    }

    fn offer_clear(&mut self) {
        if self.clear_waiting && self.queues.push(StreamOutput::Clear) {
            self.clear_waiting = false;
        }
    }

    /// Sends one frame; `false` when there was nothing but silence to send.
    fn send_frame(&mut self, now: Instant, core: &mut LegCore) -> bool {
        let position = core.position().plus(u64::from(self.ahead) * ROUNDING);
        let moment = Moment {
            now,
            position,
            wire: self.ledger.wire(),
        };
        let mut frame = [0; FRAME_SAMPLES];
        let content = core
            .outbound
            .next_frame(&mut frame, moment, &mut core.events);
        if content == Content::Silence && !self.send.silence {
            return false;
        }
        core.sent_audio(position, &frame);
        let mut native = [0; NATIVE_MAX];
        let mut encoded = [0; ENCODED_MAX];
        let len = self.send.down.process(&frame, &mut native).unwrap_or(0);
        let bytes = self.send.encoder.encode(&native[..len], &mut encoded);
        let encoded = &encoded[..bytes.unwrap_or(0)];
        let pieces = encoded.len().div_ceil(STREAM_PAYLOAD_MAX).max(1);
        for piece in encoded.chunks(encoded.len().div_ceil(pieces).max(1)) {
            if let Some(payload) = StreamPayload::new(piece) {
                self.queues.push(StreamOutput::Audio(payload));
                core.statistics.packets_sent += 1;
            }
        }
        self.ledger.sent(now, ROUNDING);
        self.ahead += 1;
        self.mark(now, content, core);
        self.remember(core, position, &frame, &native[..len]);
        true
    }

    fn mark(&mut self, now: Instant, content: Content, core: &LegCore) {
        let playout = &core.outbound.playout;
        let segment_end = content == Content::Speech && !playout.in_segment() && playout.is_empty();
        if content == Content::Speech {
            self.unmarked += ROUNDING;
        }
        if segment_end || self.unmarked >= self.send.mark_every {
            let id = self.ledger.mark(now);
            self.queues.push(StreamOutput::Mark { id, segment_end });
            self.unmarked = 0;
        }
    }

    fn remember(&mut self, core: &LegCore, position: SamplePosition, wide: &[i16], native: &[i16]) {
        let Some(tap) = &core.tap else {
            return;
        };
        let source = if tap.rate() == self.send.rate {
            native
        } else {
            wide
        };
        let mut pcm = [0; FRAME_SAMPLES];
        let len = source.len().min(FRAME_SAMPLES);
        pcm[..len].copy_from_slice(&source[..len]);
        if self.unplayed.len() < self.unplayed.capacity() {
            self.unplayed.push_back(Unplayed { position, len, pcm });
        }
    }

    fn record_played(&mut self, core: &mut LegCore) {
        let due = core.position();
        let Some(tap) = &mut core.tap else {
            return;
        };
        while let Some(frame) = self.unplayed.front()
            && frame.position <= due
        {
            tap.write(Channel::Agent, frame.position, &frame.pcm[..frame.len]);
            self.unplayed.pop_front();
        }
    }
}

impl Receive {
    fn packet(&mut self, now: Instant, packet: &StreamPacket, core: &mut LegCore) {
        core.watch.alive(now);
        core.statistics.packets_received += 1;
        if let Some(last) = self.last_sequence {
            if packet.sequence <= last {
                core.statistics.packets_duplicate += 1;
                return;
            }
            core.statistics.packets_lost += packet.sequence - last - 1;
        }
        self.last_sequence = Some(packet.sequence);
        let mut native = [0; NATIVE_MAX];
        let payload = packet.payload.as_bytes();
        let Ok(samples) = self.decoder.decode(payload, &mut native) else {
            core.statistics.packets_rejected += 1;
            return;
        };
        let mut wide = [0; WIDE_MAX];
        let Ok(len) = self.up.process(&native[..samples], &mut wide) else {
            return;
        };
        let run = Run {
            pcm: &wide[..len],
            position: self.position(now, packet.timestamp_ms, core),
            origin: FrameOrigin::Received,
            received_at: now,
        };
        core.heard_audio((&native[..samples], self.rate), run);
    }

    /// Where audio of `timestamp` lies: the first where it arrived, the others by their
    /// timestamps, as far as these go forward.
    fn position(&mut self, now: Instant, timestamp: u64, core: &LegCore) -> SamplePosition {
        let arrived = core.position_at(now);
        let (Some((anchor, origin)), Some(end)) = (self.anchor, core.inbound.end()) else {
            self.anchor = Some((timestamp, arrived));
            return arrived;
        };
        let since = timestamp.saturating_sub(anchor);
        let samples = since.saturating_mul(u64::from(FRAME_RATE) / 1000);
        let stated = origin.0.saturating_add(samples);
        if stated.abs_diff(end.0) <= ROUNDING {
            return end;
        }
        // The clock went back, or ahead of real time: it began anew.
        if stated < end.0 || stated > arrived.0.max(end.0) + u64::from(FRAME_RATE) {
            self.anchor = Some((timestamp, end));
            return end;
        }
        SamplePosition(stated)
    }
}

impl fmt::Debug for StreamLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamLink")
            .field("ahead", &self.ahead)
            .field("ledger", &self.ledger)
            .finish_non_exhaustive()
    }
}
