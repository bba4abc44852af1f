//! Key presses as telephone-events (RFC 4733 §2).

use std::time::{Duration, Instant};

use super::packetizer::Packetizer;
use super::{RtpError, RtpHeader, RtpTimestamp, Ssrc};

/// Octets of an event payload.
pub const EVENT_BYTES: usize = 4;
/// Keys by event code 0 to 15 (RFC 4733 §3.2).
const KEYS: &[u8; 16] = b"0123456789*#ABCD";
/// A press whose packets stop is over after this time.
const ABANDONED_AFTER: Duration = Duration::from_millis(100);
/// Closed presses remembered, so that stragglers and repeats report nothing.
const REMEMBERED: usize = 8;
/// Longest duration a payload can say; a longer press goes on in a new segment.
const SEGMENT_TICKS: u32 = 0xffff;
/// How far before its limit a sender may close a segment, in ticks.
const SEGMENT_EARLY_TICKS: u32 = 0x1000;

/// The payload of a telephone-event packet (RFC 4733 §2.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TelephoneEvent {
    /// Event code; 0 to 15 are keys.
    pub event: u8,
    /// The press is over.
    pub end: bool,
    /// Level in -dBm0, 0 to 63.
    pub volume: u8,
    /// Length so far in ticks of the event's clock.
    pub duration: u16,
}

impl TelephoneEvent {
    /// Reads the first event of a payload. The reserved bit is ignored, since senders set it.
    ///
    /// # Errors
    /// [`RtpError::Truncated`] when the payload is shorter than an event.
    pub fn parse(payload: &[u8]) -> Result<Self, RtpError> {
        let octets = payload
            .first_chunk::<EVENT_BYTES>()
            .ok_or(RtpError::Truncated)?;
        Ok(Self {
            event: octets[0],
            end: octets[1] & 0x80 != 0,
            volume: octets[1] & 0x3f,
            duration: u16::from_be_bytes([octets[2], octets[3]]),
        })
    }

    /// The payload.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; EVENT_BYTES] {
        let [high, low] = self.duration.to_be_bytes();
        let flags = ((self.end as u8) << 7) | (self.volume & 0x3f);
        [self.event, flags, high, low]
    }

    /// The key, one of `0-9*#A-D`; `None` for other events.
    #[must_use]
    pub fn key(self) -> Option<u8> {
        KEYS.get(usize::from(self.event)).copied()
    }
}

/// Event code of a key, one of `0-9*#A-D`.
#[must_use]
pub fn event_code(key: u8) -> Option<u8> {
    let at = KEYS.iter().position(|known| *known == key)?;
    u8::try_from(at).ok()
}

/// A key went down. Reported once per press, on the first of its packets that came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyPressed {
    /// One of `0-9*#A-D`.
    pub key: u8,
    /// When the press began on the sender's media clock.
    pub timestamp: RtpTimestamp,
}

/// A key came up, or its packets stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyReleased {
    /// One of `0-9*#A-D`.
    pub key: u8,
    /// Length of the press as far as it was reported.
    pub duration: Duration,
}

/// What one packet changed: a new press closes the one before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KeyChange {
    /// The press that is over.
    pub released: Option<KeyReleased>,
    /// The press that began.
    pub pressed: Option<KeyPressed>,
}

/// Turns telephone-event packets into key presses.
#[derive(Clone, Debug)]
pub struct DtmfReceiver {
    clock_hz: u32,
    open: Option<Press>,
    /// The last closed presses, newest last.
    closed: [Option<Press>; REMEMBERED],
}

#[derive(Clone, Copy, Debug)]
struct Press {
    ssrc: Ssrc,
    /// Of the current segment.
    timestamp: RtpTimestamp,
    event: u8,
    key: u8,
    /// Ticks of earlier segments.
    before: u32,
    /// Ticks of the current segment as last reported.
    duration: u16,
    last_packet: Instant,
    /// Whether the sender said that it is over.
    ended: bool,
}

impl DtmfReceiver {
    /// A receiver for events of an RTP clock of `clock_hz`, from the payload type's rtpmap.
    #[must_use]
    pub const fn new(clock_hz: u32) -> Self {
        Self {
            clock_hz: if clock_hz == 0 { 1 } else { clock_hz },
            open: None,
            closed: [None; REMEMBERED],
        }
    }

    /// Takes a telephone-event packet that arrived at `now`.
    ///
    /// # Errors
    /// [`RtpError::Truncated`] when the payload is shorter than an event.
    pub fn on_packet(
        &mut self,
        now: Instant,
        header: &RtpHeader,
        payload: &[u8],
    ) -> Result<KeyChange, RtpError> {
        let event = TelephoneEvent::parse(payload)?;
        let mut change = KeyChange::default();
        let Some(key) = event.key() else {
            return Ok(change);
        };
        if let Some(open) = &mut self.open
            && open.takes(now, header, event)
        {
            if event.end {
                change.released = self.close();
            }
            return Ok(change);
        }
        if self.is_straggler(now, header, event) {
            return Ok(change);
        }
        change.released = self.close();
        change.pressed = Some(KeyPressed {
            key,
            timestamp: header.timestamp,
        });
        self.open = Some(Press {
            ssrc: header.ssrc,
            timestamp: header.timestamp,
            event: event.event,
            key,
            before: 0,
            duration: event.duration,
            last_packet: now,
            ended: event.end,
        });
        if event.end {
            // Everything but an end packet was lost. Both presses cannot be told of in one
            // change, so the longer-standing one goes first and this one closes by time.
            if change.released.is_none() {
                change.released = self.close();
            }
        }
        Ok(change)
    }

    /// Closes a press whose packets have stopped.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<KeyReleased> {
        (self.poll_timeout()? <= now).then(|| self.close())?
    }

    /// When [`Self::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.open
            .as_ref()
            .map(|press| press.last_packet + ABANDONED_AFTER)
    }

    fn close(&mut self) -> Option<KeyReleased> {
        let press = self.open.take()?;
        self.closed.rotate_left(1);
        self.closed[REMEMBERED - 1] = Some(press);
        let ticks = u64::from(press.before) + u64::from(press.duration);
        Some(KeyReleased {
            key: press.key,
            duration: Duration::from_micros(ticks * 1_000_000 / u64::from(self.clock_hz)),
        })
    }

    /// Whether the packet belongs to a press that has been closed.
    fn is_straggler(&mut self, now: Instant, header: &RtpHeader, event: TelephoneEvent) -> bool {
        self.closed
            .iter_mut()
            .flatten()
            .any(|press| press.takes(now, header, event))
    }
}

impl Press {
    /// Whether the packet belongs to this press; if so, it is taken into it.
    fn takes(&mut self, now: Instant, header: &RtpHeader, event: TelephoneEvent) -> bool {
        if header.ssrc != self.ssrc || event.event != self.event {
            return false;
        }
        if header.timestamp != self.timestamp {
            if !self.goes_on_at(header) {
                return self.is_earlier_segment(header);
            }
            let ticks = header.timestamp.ticks_since(self.timestamp);
            self.before = self.before.saturating_add(ticks.unsigned_abs());
            self.timestamp = header.timestamp;
            self.duration = 0;
        }
        // Reordered packets must not shorten the press.
        self.duration = self.duration.max(event.duration);
        self.last_packet = now;
        self.ended |= event.end;
        true
    }

    /// Whether the packet opens the next segment of a press longer than a duration field can
    /// say (RFC 4733 §2.5.1.3): the old segment is full and had no end, the new one begins where
    /// it stopped and bears no marker.
    fn goes_on_at(&self, header: &RtpHeader) -> bool {
        let ticks = header.timestamp.ticks_since(self.timestamp);
        let full = u32::try_from(ticks).is_ok_and(|ticks| {
            (SEGMENT_TICKS - SEGMENT_EARLY_TICKS..=SEGMENT_TICKS).contains(&ticks)
        });
        full && !self.ended
            && !header.marker
            && u32::from(self.duration) >= SEGMENT_TICKS - 2 * SEGMENT_EARLY_TICKS
    }

    /// Whether the packet is a late one of an earlier segment of this press.
    fn is_earlier_segment(&self, header: &RtpHeader) -> bool {
        let ticks = self.timestamp.ticks_since(header.timestamp);
        u32::try_from(ticks).is_ok_and(|ticks| ticks > 0 && ticks <= self.before)
    }
}

/// How keys are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DtmfConfig {
    /// Payload type of telephone-event in the peer's session description.
    pub payload_type: u8,
    /// Clock of that payload type in Hz.
    pub clock_hz: u32,
    /// RTP clock of the audio codec in Hz, in which timestamps advance.
    pub audio_clock_hz: u32,
    /// Length of a tone; rounded up to whole ticks and kept within 100 to 160 ms.
    pub tone: Duration,
    /// Pause between tones; rounded up to whole ticks, at least 70 ms.
    pub gap: Duration,
    /// Level in -dBm0, 0 to 63.
    pub volume: u8,
}

impl DtmfConfig {
    /// 100 ms tones at -10 dBm0 with 80 ms between them.
    #[must_use]
    pub const fn new(payload_type: u8, clock_hz: u32, audio_clock_hz: u32) -> Self {
        Self {
            payload_type,
            clock_hz,
            audio_clock_hz,
            tone: Duration::from_millis(100),
            gap: Duration::from_millis(80),
            volume: 10,
        }
    }
}

/// Length of a tick of [`DtmfSender::tick`], the interval of tone updates.
const TICK_MS: u32 = 20;
/// How often the end of a tone is sent (RFC 4733 §2.5.1.4).
const END_PACKETS: u32 = 3;
/// Keys that may wait to be sent; more are refused.
pub const QUEUE_CAPACITY: usize = 32;

/// What a tick of [`DtmfSender`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DtmfTick {
    /// No key is being sent: audio may use this tick.
    Idle,
    /// A packet of this length was written; audio is paused.
    Packet(usize),
    /// Nothing is sent in this tick; audio is paused.
    Pause,
}

/// Sends key presses within an audio source: same SSRC and sequence numbers, audio paused
/// meanwhile. Driven by the leg's 20 ms tick, it needs no clock.
#[derive(Clone, Debug)]
pub struct DtmfSender {
    config: DtmfConfig,
    queue: [u8; QUEUE_CAPACITY],
    queued: usize,
    tone_ticks: u32,
    gap_ticks: u32,
    sending: Option<Tone>,
}

#[derive(Clone, Copy, Debug)]
struct Tone {
    event: u8,
    timestamp: RtpTimestamp,
    /// Ticks since the tone began.
    ticks: u32,
}

impl DtmfSender {
    /// A sender with nothing to send.
    #[must_use]
    pub fn new(config: DtmfConfig) -> Self {
        let tone_ms = config.tone.as_millis().clamp(100, 160);
        let gap_ms = config.gap.as_millis().clamp(70, 1000);
        let ticks = |ms: u128| u32::try_from(ms.div_ceil(u128::from(TICK_MS))).unwrap_or(u32::MAX);
        Self {
            config,
            queue: [0; QUEUE_CAPACITY],
            queued: 0,
            tone_ticks: ticks(tone_ms),
            gap_ticks: ticks(gap_ms),
            sending: None,
        }
    }

    /// Queues keys `0-9*#A-D`; returns how many were taken before one was unknown or the queue
    /// was full.
    pub fn send(&mut self, keys: &[u8]) -> usize {
        for (taken, key) in keys.iter().enumerate() {
            let Some(event) = event_code(*key).filter(|_| self.queued < QUEUE_CAPACITY) else {
                return taken;
            };
            self.queue[self.queued] = event;
            self.queued += 1;
        }
        keys.len()
    }

    /// Does the work of one 20 ms tick. When it returns anything but [`DtmfTick::Idle`], the
    /// tick's audio is not sent and the packetizer's timestamp has moved past it.
    ///
    /// # Errors
    /// As [`Packetizer::packetize`]; the tick is over then all the same.
    pub fn tick(
        &mut self,
        packetizer: &mut Packetizer,
        out: &mut [u8],
    ) -> Result<DtmfTick, RtpError> {
        let Some(mut tone) = self
            .sending
            .take()
            .or_else(|| self.begin(packetizer.timestamp()))
        else {
            return Ok(DtmfTick::Idle);
        };
        tone.ticks += 1;
        packetizer.skip(self.config.audio_clock_hz / 1000 * TICK_MS);
        let written = self.write(&tone, packetizer, out);
        if tone.ticks < self.tone_ticks + self.gap_ticks {
            self.sending = Some(tone);
        }
        written
    }

    /// Drops the keys that wait; a tone that sounds is ended properly.
    pub const fn clear(&mut self) {
        self.queued = 0;
    }

    /// Whether a key is being sent or waits.
    #[must_use]
    pub const fn is_sending(&self) -> bool {
        self.sending.is_some() || self.queued > 0
    }

    fn begin(&mut self, timestamp: RtpTimestamp) -> Option<Tone> {
        let event = *self.queue[..self.queued].first()?;
        self.queue.copy_within(1..self.queued, 0);
        self.queued -= 1;
        Some(Tone {
            event,
            timestamp,
            ticks: 0,
        })
    }

    fn write(
        &self,
        tone: &Tone,
        packetizer: &mut Packetizer,
        out: &mut [u8],
    ) -> Result<DtmfTick, RtpError> {
        if tone.ticks >= self.tone_ticks + END_PACKETS {
            return Ok(DtmfTick::Pause);
        }
        let ticks = tone.ticks.min(self.tone_ticks);
        let duration = ticks * TICK_MS * (self.config.clock_hz / 1000);
        let event = TelephoneEvent {
            event: tone.event,
            end: tone.ticks >= self.tone_ticks,
            volume: self.config.volume,
            duration: u16::try_from(duration).unwrap_or(u16::MAX),
        };
        packetizer
            .packetize_at(
                self.config.payload_type,
                tone.ticks == 1,
                tone.timestamp,
                &event.to_bytes(),
                out,
            )
            .map(DtmfTick::Packet)
    }
}

#[cfg(test)]
mod tests {
    use fixtures::virtual_clock::VirtualClock;
    use proptest::prelude::*;

    use super::*;
    use crate::rtp::packetizer::PacketizerStart;
    use crate::rtp::{RtpPacket, SequenceNumber};

    fn header(timestamp: u32, marker: bool) -> RtpHeader {
        RtpHeader {
            marker,
            payload_type: 101,
            timestamp: RtpTimestamp(timestamp),
            ssrc: Ssrc(7),
            ..RtpHeader::default()
        }
    }

    fn payload(event: u8, end: bool, duration: u16) -> [u8; 4] {
        TelephoneEvent {
            event,
            end,
            volume: 10,
            duration,
        }
        .to_bytes()
    }

    #[test]
    fn a_press_is_reported_once_on_its_first_packet_and_closed_by_its_end() {
        let mut clock = VirtualClock::new();
        let mut receiver = DtmfReceiver::new(8000);
        let mut changes = Vec::new();
        for (duration, end) in [
            (160, false),
            (320, false),
            (480, false),
            (800, true),
            (800, true),
            (800, true),
        ] {
            clock.advance(Duration::from_millis(20));
            let header = header(1000, duration == 160);
            let payload = payload(5, end, duration);
            changes.push(receiver.on_packet(clock.now(), &header, &payload).unwrap());
        }
        assert_eq!(changes[0].pressed.map(|press| press.key), Some(b'5'));
        assert!(changes[1..].iter().all(|change| change.pressed.is_none()));
        let released = KeyReleased {
            key: b'5',
            duration: Duration::from_millis(100),
        };
        assert_eq!(changes[3].released, Some(released));
        let quiet = KeyChange::default();
        assert_eq!(changes[4..], [quiet, quiet]);
        assert_eq!(receiver.poll_timeout(), None);
    }

    #[test]
    fn lost_start_and_marker_still_count_and_the_reserved_bit_is_ignored() {
        let clock = VirtualClock::new();
        let mut receiver = DtmfReceiver::new(8000);
        let mut octets = payload(11, true, 800);
        octets[1] |= 0x40;
        let change = receiver
            .on_packet(clock.now(), &header(9, false), &octets)
            .unwrap();
        assert_eq!(change.pressed.map(|press| press.key), Some(b'#'));
        assert!(change.released.is_some());
        let again = receiver
            .on_packet(clock.now(), &header(9, false), &octets)
            .unwrap();
        assert_eq!(again, KeyChange::default());
    }

    #[test]
    fn the_same_key_twice_counts_twice() {
        let clock = VirtualClock::new();
        let mut receiver = DtmfReceiver::new(8000);
        let mut keys = Vec::new();
        // The second timestamp lies within the first press, as one public generator writes it.
        for timestamp in [24_000, 24_400] {
            for (duration, end) in [(160, false), (1600, true)] {
                let change = receiver
                    .on_packet(
                        clock.now(),
                        &header(timestamp, false),
                        &payload(1, end, duration),
                    )
                    .unwrap();
                keys.extend(change.pressed.map(|press| press.key));
            }
        }
        assert_eq!(keys, *b"11");
    }

    #[test]
    fn a_new_press_closes_the_one_before() {
        let clock = VirtualClock::new();
        let mut receiver = DtmfReceiver::new(8000);
        receiver
            .on_packet(clock.now(), &header(0, true), &payload(1, false, 480))
            .unwrap();
        let change = receiver
            .on_packet(clock.now(), &header(2000, true), &payload(2, false, 160))
            .unwrap();
        assert_eq!(change.released.map(|release| release.key), Some(b'1'));
        assert_eq!(change.pressed.map(|press| press.key), Some(b'2'));
        // A straggler of the first press changes nothing.
        let late = receiver
            .on_packet(clock.now(), &header(0, false), &payload(1, false, 320))
            .unwrap();
        assert_eq!(late, KeyChange::default());
    }

    #[test]
    fn a_press_whose_packets_stop_is_closed_after_100_ms() {
        let mut clock = VirtualClock::new();
        let mut receiver = DtmfReceiver::new(8000);
        receiver
            .on_packet(clock.now(), &header(0, true), &payload(1, false, 480))
            .unwrap();
        clock.advance(Duration::from_millis(99));
        assert_eq!(receiver.handle_timeout(clock.now()), None);
        clock.advance(Duration::from_millis(1));
        let released = receiver.handle_timeout(clock.now()).unwrap();
        assert_eq!(released.duration, Duration::from_millis(60));
        let late = receiver
            .on_packet(clock.now(), &header(0, false), &payload(1, true, 800))
            .unwrap();
        assert_eq!(late, KeyChange::default());
    }

    #[test]
    fn a_press_longer_than_a_segment_stays_one_press() {
        let mut clock = VirtualClock::new();
        let mut receiver = DtmfReceiver::new(8000);
        let mut pressed = 0;
        let mut released = None;
        // 20 s at 8 kHz in segments of 65535 ticks, an update every 50 ms.
        for update in 1..=400u32 {
            clock.advance(Duration::from_millis(50));
            let elapsed = update * 400;
            let segment = (elapsed - 1) / SEGMENT_TICKS;
            let start = segment * SEGMENT_TICKS;
            let duration = u16::try_from(elapsed - start).unwrap();
            let change = receiver
                .on_packet(
                    clock.now(),
                    &header(77 + start, update == 1),
                    &payload(3, update == 400, duration),
                )
                .unwrap();
            pressed += u32::from(change.pressed.is_some());
            released = released.or(change.released);
        }
        assert_eq!(pressed, 1);
        assert_eq!(released.unwrap().duration, Duration::from_secs(20));
    }

    #[test]
    fn other_events_and_short_payloads_are_no_keys() {
        let clock = VirtualClock::new();
        let mut receiver = DtmfReceiver::new(8000);
        let flash = receiver
            .on_packet(clock.now(), &header(0, true), &payload(16, false, 160))
            .unwrap();
        assert_eq!(flash, KeyChange::default());
        assert_eq!(
            receiver.on_packet(clock.now(), &header(0, true), &[1, 2, 3]),
            Err(RtpError::Truncated)
        );
    }

    fn packetizer() -> Packetizer {
        let start = PacketizerStart {
            ssrc: Ssrc(7),
            sequence: SequenceNumber(65_530),
            timestamp: RtpTimestamp(500),
        };
        Packetizer::new(start, 0)
    }

    #[test]
    fn keys_are_sent_with_marker_updates_three_ends_and_a_gap() {
        let mut packetizer = packetizer();
        let mut sender = DtmfSender::new(DtmfConfig::new(101, 8000, 8000));
        assert_eq!(sender.send(b"1#x2"), 2);
        let mut out = [0; 64];
        let mut log = Vec::new();
        let mut sequence = SequenceNumber(65_530);
        while sender.is_sending() {
            match sender.tick(&mut packetizer, &mut out).unwrap() {
                DtmfTick::Idle => panic!("idle while sending"),
                DtmfTick::Pause => log.push(None),
                DtmfTick::Packet(length) => {
                    let packet = RtpPacket::parse(&out[..length]).unwrap();
                    assert_eq!(packet.header.sequence, sequence);
                    assert_eq!(packet.header.payload_type, 101);
                    sequence = sequence.plus(1);
                    let event = TelephoneEvent::parse(packet.payload).unwrap();
                    log.push(Some((
                        packet.header.timestamp.0,
                        packet.header.marker,
                        event.event,
                        event.end,
                        event.duration,
                    )));
                }
            }
        }
        let tone = |start, event| {
            let mut expected: Vec<_> = (1..=5)
                .map(|tick| Some((start, tick == 1, event, tick == 5, tick * 160)))
                .collect();
            expected.extend([Some((start, false, event, true, 800)); 2]);
            expected.extend([None; 2]);
            expected
        };
        assert_eq!(log, [tone(500, 1), tone(500 + 9 * 160, 11)].concat());
        // Audio goes on in real time, with a marker.
        let length = packetizer.packetize(&[0; 20], 160, &mut out).unwrap();
        let header = RtpPacket::parse(&out[..length]).unwrap().header;
        assert_eq!(header.timestamp.0, 500 + 18 * 160);
        assert!(header.marker);
        assert_eq!(sender.tick(&mut packetizer, &mut out), Ok(DtmfTick::Idle));
    }

    #[test]
    fn what_is_sent_is_received_under_loss() {
        let keys = b"0123456789*#ABCD";
        for lost in 0..7 {
            let mut clock = VirtualClock::new();
            let mut packetizer = packetizer();
            let mut sender = DtmfSender::new(DtmfConfig::new(96, 48_000, 48_000));
            let mut receiver = DtmfReceiver::new(48_000);
            assert_eq!(sender.send(keys), 16);
            let mut out = [0; 64];
            let mut heard = Vec::new();
            let mut packets = 0;
            while sender.is_sending() {
                clock.advance(Duration::from_millis(20));
                receiver.handle_timeout(clock.now());
                let tick = sender.tick(&mut packetizer, &mut out).unwrap();
                if let DtmfTick::Packet(length) = tick {
                    packets += 1;
                    if packets % 7 == lost {
                        continue;
                    }
                    let packet = RtpPacket::parse(&out[..length]).unwrap();
                    let change = receiver
                        .on_packet(clock.now(), &packet.header, packet.payload)
                        .unwrap();
                    heard.extend(change.pressed.map(|press| press.key));
                }
            }
            assert_eq!(heard, keys, "packet {lost} of each press lost");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_packets_never_panic(
            packets in proptest::collection::vec(
                (any::<u32>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..6)),
                0..50,
            ),
        ) {
            let mut clock = VirtualClock::new();
            let mut receiver = DtmfReceiver::new(8000);
            for (timestamp, marker, payload) in packets {
                clock.advance(Duration::from_millis(20));
                receiver.handle_timeout(clock.now());
                let result = receiver.on_packet(clock.now(), &header(timestamp, marker), &payload);
                prop_assert_eq!(result.is_err(), payload.len() < 4);
            }
        }
    }
}
