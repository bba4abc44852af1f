//! The media side of an RTP leg: from datagrams to PCM and back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::frame::{FRAME_RATE, FRAME_SAMPLES, FrameOrigin, SamplePosition};
use crate::jitter::{BufferedPacket, LostSpan, PacketKind, Pop, SilentSpan};
use crate::leg::{DigitString, Generation, LegEvent};
use crate::leg_core::LegCore;
use crate::leg_orders::OrderPort;
use crate::protocol::datagrams::DatagramSender;
use crate::protocol::rtcp_session::RtcpSession;
use crate::protocol::rtp::{RtpLegConfig, RtpSource};
use crate::protocol::rtp_media::{
    ClockBuffer, PACKET_SAMPLES_MAX, PayloadDecoder, PreparedMedia, SrtpPair, tick_samples,
};
use crate::protocol::source_latch::{SourceLatch, Verdict};
use crate::protocol::transmit::{RtpPort, Transmit, TransmitQueue};
use crate::random::SplitMix;
use crate::recording::Channel;
use crate::rtp::dtmf_event::DtmfTick;
use crate::rtp::packetizer::{Packetizer, PacketizerStart};
use crate::rtp::{NtpTime, PacketClass, RtpPacket, RtpTimestamp, SequenceNumber, Ssrc, classify};
use crate::session_inbound::{Run, record};
use crate::session_outbound::Moment;
use crate::speech_journal::WirePosition;

/// Longest encrypted packet read; an Ethernet frame holds no more.
const RECEIVED_BYTES_MAX: usize = 2_048;
/// Most samples a received packet can hold at its codec's rate: 120 ms of Opus at 16 kHz.
const NATIVE_MAX: usize = 1_920;
/// The same at [`FRAME_RATE`], with room for what a resampler may add.
const WIDE_MAX: usize = NATIVE_MAX + 64;
/// Opus packets of this size or less announce silence (RFC 7587 §3.1.3).
const OPUS_SILENCE_BYTES: usize = 2;
/// Buffering assumed at the peer at least, in ms, when RTCP tells the rest of the way.
const PEER_BUFFER_MS: u64 = 40;
/// Longest one-way delay believed.
const ONE_WAY_MAX: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct RtpLink {
    media: Box<PreparedMedia>,
    orders: OrderPort<Box<PreparedMedia>>,
    latch: SourceLatch,
    rtcp: RtcpSession,
    packetizer: Packetizer,
    /// Index of the decoder that was used last.
    decoder: usize,
    /// Index of the buffer that was fed last.
    buffer: usize,
    /// Samples waiting until a packet is full.
    pending: [i16; PACKET_SAMPLES_MAX],
    pending_len: usize,
    one_way: Duration,
    transmits: TransmitQueue,
    /// Where datagrams go that are part of the connection, not of the media.
    datagrams: Option<DatagramSender>,
}

impl RtpLink {
    /// `ntp` is the wall clock at the leg's origin.
    pub(crate) fn new(
        config: &RtpLegConfig,
        media: Box<PreparedMedia>,
        orders: OrderPort<Box<PreparedMedia>>,
        origin: Instant,
        ntp: NtpTime,
    ) -> Self {
        let mut random = SplitMix::new(config.seed);
        let start = PacketizerStart {
            ssrc: Ssrc(random.next_u32()),
            sequence: SequenceNumber(random.next_u32() as u16),
            timestamp: RtpTimestamp(random.next_u32()),
        };
        let clock = media.description.send.codec.rtp_clock();
        let receive_clock = media.buffers.first().map_or(clock, |b| b.codec.rtp_clock());
        Self {
            latch: SourceLatch::new(media.description.remote.map(|remote| remote.rtp)),
            rtcp: RtcpSession::new(&config.cname, receive_clock, origin, ntp, random),
            packetizer: Packetizer::new(start, media.description.send.payload_type),
            decoder: 0,
            buffer: 0,
            pending: [0; PACKET_SAMPLES_MAX],
            pending_len: 0,
            one_way: Duration::from_millis(u64::from(config.one_way_ms)),
            transmits: TransmitQueue::new(),
            datagrams: None,
            media,
            orders,
        }
    }

    /// Has STUN and DTLS go to `datagrams`.
    pub(crate) fn forward_datagrams(&mut self, datagrams: DatagramSender) {
        self.datagrams = Some(datagrams);
    }

    /// The way to the task that keeps the connection.
    pub(crate) const fn datagrams_mut(&mut self) -> Option<&mut DatagramSender> {
        self.datagrams.as_mut()
    }

    /// Takes a datagram that came to `port`.
    pub(crate) fn handle_packet(
        &mut self,
        now: Instant,
        port: RtpPort,
        from: SocketAddr,
        datagram: &[u8],
        core: &mut LegCore,
    ) {
        let remote = self.media.description.remote;
        let mux = remote.is_some_and(|r| r.rtcp_mux);
        if let Some(datagrams) = &mut self.datagrams
            && matches!(classify(datagram), PacketClass::Stun | PacketClass::Dtls)
        {
            // A muted caller still checks the path.
            if remote.is_some_and(|r| r.rtp == from) {
                core.watch.alive(now);
            }
            if !datagrams.push(from, datagram) {
                core.statistics.packets_rejected += 1;
            }
            return;
        }
        let mut plain = [0; RECEIVED_BYTES_MAX];
        let Some(datagram) = self.unprotected(datagram, &mut plain) else {
            core.statistics.packets_rejected += 1;
            return;
        };
        let taken = match (classify(datagram), port) {
            (PacketClass::Rtp, RtpPort::Rtp) => self.handle_rtp(now, from, datagram, core),
            (PacketClass::Rtcp, _) if mux || port == RtpPort::Rtcp => {
                self.handle_rtcp(now, from, datagram, core)
            }
            _ => None,
        };
        if taken.is_none() {
            core.statistics.packets_rejected += 1;
        }
    }

    /// The datagram as it is, or decrypted into `plain`; `None` if it is not authentic. What is
    /// not authentic must not move the latch either (RFC 3711 §3.3), so this comes first.
    fn unprotected<'a>(&mut self, datagram: &'a [u8], plain: &'a mut [u8]) -> Option<&'a [u8]> {
        let Some(srtp) = &mut self.media.srtp else {
            let plain = self.media.description.source == RtpSource::Address;
            return plain.then_some(datagram);
        };
        let packet = plain.get_mut(..datagram.len())?;
        packet.copy_from_slice(datagram);
        let len = match classify(datagram) {
            PacketClass::Rtp => srtp.receive.unprotect_rtp(packet)?,
            PacketClass::Rtcp => srtp.receive.unprotect_rtcp(packet)?,
            PacketClass::Stun | PacketClass::Dtls | PacketClass::Unknown => return None,
        };
        packet.get(..len)
    }

    /// Does the work of a tick: settles what is missing, sends what is due.
    pub(crate) fn tick(&mut self, now: Instant, core: &mut LegCore) {
        self.take_orders(now, core);
        self.drain(now, core);
        for keys in &mut self.media.key_receivers {
            keys.receiver.handle_timeout(now);
        }
        self.send(now, core);
        core.outbound
            .report_played(self.heard(core), &mut core.events);
        if let Some(to) = self.rtcp_target()
            && self.rtcp.is_due(now)
        {
            let port = self.rtcp_port();
            let (rtcp, packetizer) = (&mut self.rtcp, &self.packetizer);
            let srtp = &mut self.media.srtp;
            self.transmits.push(port, to, |out| {
                let len = rtcp.write_report(now, packetizer, false, out)?;
                protect_rtcp(srtp, out, len)
            });
        }
        self.count(core);
    }

    /// Leaves `ticks` out.
    pub(crate) fn skip(&mut self, ticks: u64) {
        let clock = self.media.description.send.codec.rtp_clock();
        self.pending_len = 0;
        self.packetizer
            .skip((clock / 50).wrapping_mul(ticks as u32));
    }

    /// Queues `keys`; `false` when the peer takes no events.
    pub(crate) fn send_keys(&mut self, keys: DigitString) -> bool {
        let Some(sender) = &mut self.media.key_sender else {
            return false;
        };
        sender.send(keys.as_bytes());
        true
    }

    /// Says goodbye (RFC 3550 §6.6).
    pub(crate) fn finish(&mut self, now: Instant) {
        if let Some(to) = self.rtcp_target() {
            let port = self.rtcp_port();
            let (rtcp, packetizer) = (&mut self.rtcp, &self.packetizer);
            let srtp = &mut self.media.srtp;
            self.transmits.push(port, to, |out| {
                let len = rtcp.write_report(now, packetizer, true, out)?;
                protect_rtcp(srtp, out, len)
            });
        }
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        self.transmits.pop()
    }

    /// How far the wire has been heard before this tick's audio.
    pub(crate) fn heard(&self, core: &LegCore) -> WirePosition {
        let delay = self.rtcp.one_way().map_or(self.one_way, |way| {
            (way + Duration::from_millis(PEER_BUFFER_MS)).min(ONE_WAY_MAX)
        });
        let rate = self.media.description.send.codec.pcm_rate();
        let pending = self.pending_len as u64 * u64::from(FRAME_RATE) / u64::from(rate.max(1));
        let delay = delay.as_micros() as u64 * u64::from(FRAME_RATE) / 1_000_000;
        core.position().0.saturating_sub(pending + delay)
    }

    /// The source that has proved itself.
    pub(crate) const fn peer(&self) -> Option<SocketAddr> {
        self.latch.peer()
    }

    fn take_orders(&mut self, now: Instant, core: &mut LegCore) {
        core.watch.expect(self.media.description.receiving, now);
        let Some(mut media) = self.orders.pop() else {
            return;
        };
        media.adopt(&mut self.media);
        self.latch.describe(media.description.remote.map(|r| r.rtp));
        let payload = media.description.send;
        if payload.codec != self.media.description.send.codec {
            self.pending_len = 0;
        }
        self.packetizer.set_payload_type(payload.payload_type);
        (self.decoder, self.buffer) = (0, 0);
        core.watch.expect(media.description.receiving, now);
        self.orders
            .retire(std::mem::replace(&mut self.media, media));
    }

    fn handle_rtp(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        core: &mut LegCore,
    ) -> Option<()> {
        let packet = RtpPacket::parse(datagram).ok()?;
        let header = packet.header;
        let media = &mut *self.media;
        let payload_type = header.payload_type;
        let decoder = media
            .decoders
            .iter()
            .position(|d| d.payload.payload_type == payload_type);
        let keys = media
            .key_receivers
            .iter_mut()
            .find(|k| k.payload_type == payload_type);
        let kind = match (decoder, &keys) {
            (Some(index), _) => audio_kind(&media.decoders[index], packet.payload),
            (None, Some(_)) => PacketKind::Event,
            (None, None) if media.description.comfort_noise == Some(payload_type) => {
                PacketKind::ComfortNoise
            }
            (None, None) => return None,
        };
        let verdict = match media.description.source {
            RtpSource::Address => self.latch.judge(now, from, &header),
            RtpSource::Authentic => Verdict::Accept,
        };
        match verdict {
            Verdict::Accept | Verdict::Latched => {}
            Verdict::Probation => return Some(()),
            Verdict::Reject => return None,
        }
        core.watch.alive(now);
        core.statistics.packets_received += 1;
        if kind == PacketKind::Event {
            self.rtcp.reception.on_event_packet(&header);
        } else {
            self.rtcp.reception.on_packet(now, &header);
        }
        if let Some(keys) = keys {
            let change = keys.receiver.on_packet(now, &header, packet.payload).ok()?;
            if let Some(pressed) = change.pressed {
                core.digit(pressed.key, None, core.position_at(now));
            }
        }
        if let Some(index) = decoder {
            let clock = media.decoders[index].payload.codec.rtp_clock();
            let same = |b: &ClockBuffer| b.codec.rtp_clock() == clock;
            self.buffer = media.buffers.iter().position(same).unwrap_or(self.buffer);
        }
        if media.description.receiving {
            let buffer = media.buffers.get_mut(self.buffer)?;
            buffer.jitter.insert(now, &packet, kind);
            self.drain(now, core);
        }
        Some(())
    }

    fn handle_rtcp(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        core: &mut LegCore,
    ) -> Option<()> {
        let described = self.media.description.remote.map(|r| r.rtp);
        let known = [self.latch.target(), described];
        if !known.iter().flatten().any(|peer| peer.ip() == from.ip()) {
            return None;
        }
        self.rtcp
            .handle(now, from, self.packetizer.ssrc(), datagram)?;
        core.watch.alive(now);
        Some(())
    }

    /// Decodes everything that is ready.
    fn drain(&mut self, now: Instant, core: &mut LegCore) {
        let media = &mut *self.media;
        if !media.description.receiving {
            return;
        }
        let Some(buffer) = media.buffers.get_mut(self.buffer) else {
            return;
        };
        loop {
            match buffer.jitter.pop(now) {
                Pop::Packet(packet) => {
                    if packet.jumped {
                        core.wake |= core.inbound.close_frame(&mut core.port.frames);
                    }
                    let payload_type = packet.payload_type;
                    let known = |d: &PayloadDecoder| d.payload.payload_type == payload_type;
                    if packet.kind == PacketKind::Audio
                        && let Some(index) = media.decoders.iter().position(known)
                    {
                        if index != self.decoder {
                            media.decoders[index].concealer.reset();
                        }
                        self.decoder = index;
                        media.decoders[index].decode(&packet, core);
                    }
                }
                Pop::Lost(span) => {
                    if let Some(decoder) = media.decoders.get_mut(self.decoder) {
                        decoder.conceal(now, &span, core);
                    }
                }
                Pop::Silent(span) => {
                    if let Some(decoder) = media.decoders.get_mut(self.decoder) {
                        decoder.concealer.reset();
                    }
                    silence(now, &span, core);
                }
                Pop::Wait { .. } => return,
            }
        }
    }

    fn send(&mut self, now: Instant, core: &mut LegCore) {
        let clear = core.outbound.take_clear();
        if let Some(generation) = clear {
            let heard = self.heard(core);
            core.outbound.report_played(heard, &mut core.events);
            core.outbound.truncate(heard);
            core.events.push(LegEvent::Cleared {
                generation,
                heard: core.outbound.heard(heard),
                at: now,
            });
        }
        let media = &mut *self.media;
        let to = self.latch.target().filter(|_| media.description.sending);
        let Some(to) = to else {
            if let Some(generation) = clear {
                core.outbound.drop_speech(generation);
            }
            return self.skip(1);
        };
        if let Some(sender) = &mut media.key_sender
            && sender.is_sending()
        {
            let packetizer = &mut self.packetizer;
            let srtp = &mut media.srtp;
            self.pending_len = 0;
            self.transmits
                .push(RtpPort::Rtp, to, |out| match sender.tick(packetizer, out) {
                    Ok(DtmfTick::Packet(len)) => protect_rtp(srtp, out, len),
                    Ok(DtmfTick::Idle | DtmfTick::Pause) | Err(_) => None,
                });
            if let Some(generation) = clear {
                core.outbound.drop_speech(generation);
            }
            return;
        }
        self.send_frame(now, to, clear, core);
    }

    fn send_frame(
        &mut self,
        now: Instant,
        to: SocketAddr,
        clear: Option<Generation>,
        core: &mut LegCore,
    ) {
        let media = &mut *self.media;
        let position = core.position();
        let mut wide = [0; FRAME_SAMPLES];
        match clear {
            Some(generation) => core.outbound.cut(&mut wide, generation),
            None => {
                let moment = Moment {
                    now,
                    position,
                    wire: position.0,
                };
                core.outbound
                    .next_frame(&mut wide, moment, &mut core.events);
            }
        }
        core.sent_audio(position, &wide);
        let codec = media.description.send.codec;
        let rate = codec.pcm_rate();
        let mut native = [0; FRAME_SAMPLES + 64];
        let len = media.down.process(&wide, &mut native).unwrap_or(0);
        let native = &native[..len];
        if let Some(tap) = &mut core.tap {
            record(tap, Channel::Agent, position, (native, rate), &wide);
        }
        let room = self.pending.len() - self.pending_len;
        let len = len.min(room);
        self.pending[self.pending_len..self.pending_len + len].copy_from_slice(&native[..len]);
        self.pending_len += len;
        let packet_samples = tick_samples(rate) * media.description.ptime_ms as usize / 20;
        let ticks = codec.rtp_clock() / 1000 * media.description.ptime_ms;
        let mut start = 0;
        while self.pending_len - start >= packet_samples {
            let pcm = &self.pending[start..start + packet_samples];
            start += packet_samples;
            let (encoder, packetizer) = (&mut media.encoder, &mut self.packetizer);
            let srtp = &mut media.srtp;
            self.transmits.push(RtpPort::Rtp, to, |out| {
                let mut payload = [0; PACKET_SAMPLES_MAX];
                let bytes = encoder.encode(pcm, &mut payload).ok()?;
                let len = packetizer.packetize(&payload[..bytes], ticks, out).ok()?;
                protect_rtp(srtp, out, len)
            });
        }
        self.pending.copy_within(start..self.pending_len, 0);
        self.pending_len -= start;
    }

    fn rtcp_port(&self) -> RtpPort {
        let mux = self.media.description.remote.is_some_and(|r| r.rtcp_mux);
        if mux { RtpPort::Rtp } else { RtpPort::Rtcp }
    }

    /// Where our reports go: where the peer's came from, else what SDP says.
    fn rtcp_target(&self) -> Option<SocketAddr> {
        let remote = self.media.description.remote;
        if remote.is_some_and(|r| r.rtcp_mux) {
            return self.latch.target();
        }
        let described = remote.and_then(|r| r.rtcp).filter(|_| {
            // An address from behind a translator is of no use once the peer is known.
            self.latch
                .peer()
                .is_none_or(|peer| remote.is_some_and(|r| r.rtp == peer))
        });
        self.rtcp.peer().or(described).or_else(|| {
            let mut address = self.latch.target()?;
            address.set_port(address.port().checked_add(1)?);
            Some(address)
        })
    }

    fn count(&self, core: &mut LegCore) {
        let statistics = &mut core.statistics;
        let (mut lost, mut late, mut duplicate) = (0, 0, 0);
        for buffer in &self.media.buffers {
            let counters = buffer.jitter.counters();
            lost += counters.lost;
            late += counters.late;
            duplicate += counters.duplicate;
        }
        statistics.packets_lost = lost;
        statistics.packets_late = late;
        statistics.packets_duplicate = duplicate;
        statistics.packets_sent = u64::from(self.packetizer.packets());
        self.rtcp.count(statistics);
    }
}

impl PayloadDecoder {
    fn decode(&mut self, packet: &BufferedPacket<'_>, core: &mut LegCore) {
        let mut native = [0; NATIVE_MAX];
        let Ok(samples) = self.decoder.decode(packet.payload, &mut native) else {
            core.statistics.packets_rejected += 1;
            let span = LostSpan {
                position: packet.position,
                samples: packet.samples,
                next: None,
            };
            return self.conceal(packet.received_at, &span, core);
        };
        let native = &mut native[..samples];
        self.concealer.received(native);
        self.give(
            native,
            packet.position,
            FrameOrigin::Received,
            packet.received_at,
            core,
        );
    }

    fn conceal(&mut self, now: Instant, span: &LostSpan<'_>, core: &mut LegCore) {
        let rate = self.payload.codec.pcm_rate();
        let samples = u64::from(span.samples) * u64::from(rate) / u64::from(FRAME_RATE);
        let mut native = [0; NATIVE_MAX];
        let native = &mut native[..NATIVE_MAX.min(samples as usize)];
        if !self.decoder.conceal(span.next, native) {
            self.concealer.conceal(native);
        }
        self.give(native, span.position, FrameOrigin::Concealed, now, core);
    }

    fn give(
        &mut self,
        native: &[i16],
        position: SamplePosition,
        origin: FrameOrigin,
        received_at: Instant,
        core: &mut LegCore,
    ) {
        let mut wide = [0; WIDE_MAX];
        let len = self.up.process(native, &mut wide).unwrap_or(0);
        let run = Run {
            pcm: &wide[..len],
            position,
            origin,
            received_at,
        };
        core.heard_audio((native, self.payload.codec.pcm_rate()), run);
    }
}

/// Protects an RTP packet if the leg is encrypted.
fn protect_rtp(srtp: &mut Option<SrtpPair>, out: &mut [u8], len: usize) -> Option<usize> {
    match srtp {
        Some(pair) => pair.send.protect_rtp(out, len),
        None => Some(len),
    }
}

/// Protects an RTCP packet if the leg is encrypted.
fn protect_rtcp(srtp: &mut Option<SrtpPair>, out: &mut [u8], len: usize) -> Option<usize> {
    match srtp {
        Some(pair) => pair.send.protect_rtcp(out, len),
        None => Some(len),
    }
}

fn silence(now: Instant, span: &SilentSpan, core: &mut LegCore) {
    let pcm = [0; FRAME_SAMPLES];
    let mut done = 0;
    while done < span.samples as usize {
        let part = FRAME_SAMPLES.min(span.samples as usize - done);
        let run = Run {
            pcm: &pcm[..part],
            position: span.position.plus(done as u64),
            origin: FrameOrigin::ComfortNoise,
            received_at: now,
        };
        core.heard_audio((&pcm[..0], FRAME_RATE), run);
        done += part;
    }
}

fn audio_kind(decoder: &PayloadDecoder, payload: &[u8]) -> PacketKind {
    use crate::codec::Codec;
    match decoder.payload.codec {
        Codec::Opus if payload.len() <= OPUS_SILENCE_BYTES => PacketKind::ComfortNoise,
        Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::Opus | Codec::L16Le(_) => {
            PacketKind::Audio
        }
    }
}
