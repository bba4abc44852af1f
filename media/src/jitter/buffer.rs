//! Puts packets back in order, waits a bounded time for what is missing, and says where each
//! span of media lies on the leg's timeline.

use std::time::{Duration, Instant};

use super::config::{JitterConfig, payload_samples};
use super::delay_estimator::DelayEstimator;
use super::span::{BufferedPacket, Insert, JitterCounters, LostSpan, PacketKind, Pop, SilentSpan};
use super::timeline::{MediaTimeline, SKEW_MAX};
use crate::frame::{FRAME_RATE, FRAME_SAMPLES, SamplePosition};
use crate::rtp::sequence::{SequenceTracker, SequenceVerdict};
use crate::rtp::{ExtendedSequence, RtpPacket, RtpTimestamp, SequenceNumber, Ssrc};

/// Steps of the timestamp below this, in samples, are the sender's rounding, not silence (5 ms).
const SLACK: i64 = FRAME_RATE as i64 / 200;
/// A sender whose clock stood still is recognised by this many packets behind the timeline…
const BEHIND_PACKETS: u32 = 5;
/// …that arrive spread over at least this time; a burst after a stall comes faster.
const BEHIND_SPREAD: Duration = Duration::from_millis(80);
/// Longest silent span in one piece: 1 s.
const SILENCE_MAX: u32 = FRAME_RATE;

/// The buffer of one leg's incoming media.
///
/// All memory is allocated at construction: `depth` slots of `payload_bytes_max` octets. Insert
/// each packet as it arrives, then pop until [`Pop::Wait`].
#[derive(Debug)]
pub struct JitterBuffer {
    config: JitterConfig,
    slots: Box<[Slot]>,
    /// One payload per slot, and a last one for the packet on probation.
    payloads: Box<[u8]>,
    source: Option<Ssrc>,
    tracker: SequenceTracker,
    candidate: Option<Candidate>,
    estimator: DelayEstimator,
    timeline: MediaTimeline,
    counters: JitterCounters,
    /// First number of the current sync.
    first: u64,
    /// Next number to give out.
    expected: u64,
    /// Least number that slots may hold; above `expected` after an overflow.
    floor: u64,
    /// Highest number stored or noted.
    highest: u64,
    /// Numbers received, bit 0 being `highest`.
    history: u128,
    /// Numbers given up since the last span that had a packet.
    missing: u64,
    /// The next packet given out is the first of its sync.
    fresh: bool,
    /// The timeline knows the timestamps of this sync.
    anchored: bool,
    /// The timeline has jumped ahead of the next packet.
    jumped: bool,
    /// The sender has announced silence, or a key is pressed.
    quiet: bool,
    /// Spans were given out for want of packets since the last packet.
    filled: bool,
    /// Length of the last audio packet.
    packet_samples: u32,
    /// Real time up to which media has been given out.
    covered_until: Instant,
    /// Arrival of the last packet given out.
    last_media: Instant,
    /// Packets behind the timeline in a row, and the first one's arrival.
    behind: Option<(Instant, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    sequence: u64,
    state: SlotState,
}

#[derive(Clone, Copy, Debug)]
enum SlotState {
    /// Nothing, or given out.
    Empty,
    /// A younger packet came at `noticed`.
    Missing { noticed: Instant },
    /// Given up; kept to learn how late the packet was.
    GivenUp { noticed: Instant },
    /// Holds a packet.
    Held(Held),
}

/// A packet's fields beside its payload.
#[derive(Clone, Copy, Debug)]
struct Held {
    kind: PacketKind,
    payload_type: u8,
    marker: bool,
    timestamp: RtpTimestamp,
    received_at: Instant,
    length: usize,
    samples: u32,
}

/// A packet that may open a new sync.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    ssrc: Ssrc,
    sequence: SequenceNumber,
    held: Held,
}

/// [`Pop`] by slot instead of by reference, so that the search for it can change the buffer.
#[derive(Clone, Copy, Debug)]
enum Step {
    Again,
    Packet {
        index: usize,
        held: Held,
        sequence: u64,
        position: SamplePosition,
        sync: bool,
        jumped: bool,
    },
    Lost {
        position: SamplePosition,
        samples: u32,
        next: Option<usize>,
    },
    Silent(SilentSpan),
    Wait(Option<Instant>),
}

impl JitterBuffer {
    /// An empty buffer.
    #[must_use]
    pub fn new(config: JitterConfig) -> Self {
        let depth = config.depth.max(2);
        let config = JitterConfig { depth, ..config };
        let empty = Slot {
            sequence: 0,
            state: SlotState::Empty,
        };
        Self {
            slots: vec![empty; depth].into(),
            payloads: vec![0; (depth + 1) * config.payload_bytes_max].into(),
            source: None,
            // Whoever owns the socket judges the source (payload type, latch, SRTP), so that the
            // first packet of a call is not held back.
            tracker: SequenceTracker::new(1),
            candidate: None,
            estimator: DelayEstimator::new(config.delay),
            timeline: MediaTimeline::new(config.origin, config.codec.rtp_clock()),
            counters: JitterCounters::default(),
            first: 0,
            expected: 0,
            floor: 0,
            highest: 0,
            history: 0,
            missing: 0,
            fresh: false,
            anchored: false,
            jumped: false,
            quiet: false,
            filled: false,
            packet_samples: u32::try_from(FRAME_SAMPLES).unwrap_or(0),
            covered_until: config.origin,
            last_media: config.origin,
            behind: None,
            config,
        }
    }

    /// Takes a packet that arrived at `now`.
    pub fn insert(&mut self, now: Instant, packet: &RtpPacket<'_>, kind: PacketKind) -> Insert {
        self.counters.received += 1;
        if kind != PacketKind::Event && packet.payload.len() > self.config.payload_bytes_max {
            self.counters.oversized += 1;
            return Insert::Oversized;
        }
        let header = &packet.header;
        let held = self.held(now, packet, kind);
        if self.source != Some(header.ssrc) {
            return self.insert_other_source(packet, held);
        }
        if kind == PacketKind::Event && !self.tracker.is_near(header.sequence) {
            return Insert::Foreign;
        }
        // The current source is alive: another one must be steady on its own.
        self.candidate = self.candidate.filter(|other| other.ssrc == header.ssrc);
        match self.tracker.update(header.sequence) {
            SequenceVerdict::Ahead(at) => self.insert_ahead(at.0, held, packet.payload),
            SequenceVerdict::Behind(at) => self.insert_behind(at.0, held, packet.payload),
            SequenceVerdict::Probation | SequenceVerdict::Suspect => {
                self.keep_candidate(packet, held);
                Insert::Probation
            }
            SequenceVerdict::Started(at) | SequenceVerdict::Restarted(at) => {
                self.begin_with_candidate(header.ssrc, at.0, held, packet.payload);
                Insert::NewSync
            }
        }
    }

    /// The next span of media, in order and without delay unless something is missing.
    pub fn pop(&mut self, now: Instant) -> Pop<'_> {
        // Every `Again` moves `expected` or clears `missing`, so this ends.
        let step = loop {
            match self.step(now) {
                Step::Again => {}
                step => break step,
            }
        };
        match step {
            Step::Again => Pop::Wait { until: None },
            Step::Wait(until) => Pop::Wait { until },
            Step::Silent(span) => Pop::Silent(span),
            Step::Lost {
                position,
                samples,
                next,
            } => Pop::Lost(LostSpan {
                position,
                samples,
                next: next.map(|index| self.payload(index)),
            }),
            Step::Packet {
                index,
                held,
                sequence,
                position,
                sync,
                jumped,
            } => Pop::Packet(BufferedPacket {
                payload: &self.payload(index)[..held.length],
                payload_type: held.payload_type,
                kind: held.kind,
                sequence: ExtendedSequence(sequence),
                timestamp: held.timestamp,
                position,
                samples: held.samples,
                received_at: held.received_at,
                sync,
                jumped,
            }),
        }
    }

    /// What happened so far.
    #[must_use]
    pub const fn counters(&self) -> JitterCounters {
        self.counters
    }

    /// Packets held.
    #[must_use]
    pub fn len(&self) -> usize {
        let held = |slot: &&Slot| matches!(slot.state, SlotState::Held(_));
        self.slots.iter().filter(held).count()
    }

    /// Whether no packet is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How long a gap is waited for at present.
    #[must_use]
    pub const fn reorder_wait(&self) -> Duration {
        self.estimator.wait()
    }

    /// Just behind the last sample given out.
    #[must_use]
    pub const fn end(&self) -> SamplePosition {
        SamplePosition(self.timeline.end().unsigned_abs())
    }
}

/// Taking packets in.
impl JitterBuffer {
    fn insert_other_source(&mut self, packet: &RtpPacket<'_>, held: Held) -> Insert {
        let header = &packet.header;
        if held.kind == PacketKind::Event {
            return Insert::Foreign;
        }
        let confirmed = self.candidate.is_some_and(|candidate| {
            candidate.ssrc == header.ssrc && candidate.sequence.plus(1) == header.sequence
        });
        if self.source.is_some() && !confirmed {
            self.keep_candidate(packet, held);
            return Insert::Probation;
        }
        self.tracker.restart();
        if let SequenceVerdict::Started(at) = self.tracker.update(header.sequence) {
            self.begin_with_candidate(header.ssrc, at.0, held, packet.payload);
        }
        Insert::NewSync
    }

    fn keep_candidate(&mut self, packet: &RtpPacket<'_>, held: Held) {
        self.write_payload(self.config.depth, packet.payload);
        self.candidate = Some(Candidate {
            ssrc: packet.header.ssrc,
            sequence: packet.header.sequence,
            held,
        });
    }

    /// Starts a sync with the packet numbered `at`, and the one on probation if it is its
    /// predecessor.
    fn begin_with_candidate(&mut self, ssrc: Ssrc, at: u64, held: Held, payload: &[u8]) {
        let before = ExtendedSequence(at - 1);
        let candidate = self
            .candidate
            .take()
            .filter(|other| other.ssrc == ssrc && other.sequence == before.wire());
        self.counters.overflowed += self.len() as u64;
        self.counters.syncs += 1;
        for slot in &mut self.slots {
            slot.state = SlotState::Empty;
        }
        let first = if candidate.is_some() { before.0 } else { at };
        self.source = Some(ssrc);
        self.first = first;
        self.expected = first;
        self.floor = first;
        self.highest = at;
        self.missing = 0;
        self.fresh = true;
        self.anchored = false;
        self.jumped = false;
        self.behind = None;
        self.history = 1;
        if let Some(candidate) = candidate {
            self.history |= 2;
            let from = self.config.depth * self.config.payload_bytes_max;
            let to = self.index(first) * self.config.payload_bytes_max;
            self.payloads
                .copy_within(from..from + candidate.held.length, to);
            self.hold(first, candidate.held);
        }
        self.store(at, held, payload);
    }

    fn insert_ahead(&mut self, at: u64, held: Held, payload: &[u8]) -> Insert {
        let step = at - self.highest;
        self.history = u32::try_from(step)
            .ok()
            .and_then(|step| self.history.checked_shl(step))
            .unwrap_or(0)
            | 1;
        let gap_start = self.highest + 1;
        self.make_room(at);
        for sequence in gap_start.max(self.base())..at {
            let index = self.index(sequence);
            self.slots[index] = Slot {
                sequence,
                state: SlotState::Missing {
                    noticed: held.received_at,
                },
            };
        }
        self.highest = at;
        self.store(at, held, payload);
        Insert::Stored
    }

    fn insert_behind(&mut self, at: u64, held: Held, payload: &[u8]) -> Insert {
        // MISORDER_MAX keeps this below the width of the history.
        let bit = 1u128 << (self.highest - at).min(127);
        if self.history & bit != 0 {
            self.counters.duplicate += 1;
            return Insert::Duplicate;
        }
        self.history |= bit;
        let index = self.index(at);
        let slot = self.slots[index];
        let noticed = match slot.state {
            SlotState::Missing { noticed } | SlotState::GivenUp { noticed }
                if slot.sequence == at =>
            {
                Some(noticed)
            }
            _ => None,
        };
        if let Some(noticed) = noticed {
            let lateness = held.received_at.saturating_duration_since(noticed);
            self.estimator.observe(lateness);
        }
        if at < self.base() {
            self.counters.late += 1;
            if at >= self.first {
                self.counters.lost = self.counters.lost.saturating_sub(1);
            }
            return Insert::Late;
        }
        self.counters.reordered += 1;
        self.store(at, held, payload);
        Insert::Stored
    }

    /// Gives up the oldest numbers until `at` has a slot.
    fn make_room(&mut self, at: u64) {
        let base = self.base();
        let floor = (at + 1).saturating_sub(self.config.depth as u64);
        if floor <= base {
            return;
        }
        let kept = base..floor.min(self.highest + 1);
        self.counters.lost += floor - base - (kept.end - kept.start);
        for sequence in kept {
            let index = self.index(sequence);
            match self.slots[index].state {
                SlotState::Held(_) => self.counters.overflowed += 1,
                SlotState::Missing { .. } | SlotState::GivenUp { .. } | SlotState::Empty => {
                    self.counters.lost += 1;
                }
            }
            self.slots[index].state = SlotState::Empty;
        }
        self.floor = floor;
    }

    fn store(&mut self, at: u64, held: Held, payload: &[u8]) {
        if held.length > 0 {
            self.write_payload(self.index(at), payload);
        }
        self.hold(at, held);
    }

    fn hold(&mut self, at: u64, held: Held) {
        let index = self.index(at);
        self.slots[index] = Slot {
            sequence: at,
            state: SlotState::Held(held),
        };
    }

    fn held(&self, now: Instant, packet: &RtpPacket<'_>, kind: PacketKind) -> Held {
        let audio = kind == PacketKind::Audio;
        Held {
            kind,
            payload_type: packet.header.payload_type,
            marker: packet.header.marker,
            timestamp: packet.header.timestamp,
            received_at: now,
            length: if kind == PacketKind::Event {
                0
            } else {
                packet.payload.len()
            },
            samples: if audio {
                payload_samples(self.config.codec, packet.payload)
            } else {
                0
            },
        }
    }

    fn write_payload(&mut self, index: usize, payload: &[u8]) {
        let start = index * self.config.payload_bytes_max;
        self.payloads[start..start + payload.len()].copy_from_slice(payload);
    }

    fn payload(&self, index: usize) -> &[u8] {
        let start = index * self.config.payload_bytes_max;
        let length = match self.slots[index].state {
            SlotState::Held(held) => held.length,
            SlotState::Empty | SlotState::Missing { .. } | SlotState::GivenUp { .. } => {
                self.config.payload_bytes_max
            }
        };
        &self.payloads[start..start + length]
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the remainder is below the depth, a usize"
    )]
    const fn index(&self, sequence: u64) -> usize {
        (sequence % self.config.depth as u64) as usize
    }

    /// Least number that may still be given out.
    fn base(&self) -> u64 {
        self.expected.max(self.floor)
    }
}

/// Giving media out.
impl JitterBuffer {
    fn step(&mut self, now: Instant) -> Step {
        if self.source.is_none() {
            return Step::Wait(None);
        }
        if self.expected < self.floor {
            self.missing += self.floor - self.expected;
            self.expected = self.floor;
        }
        if self.expected > self.highest {
            return self.fill(now);
        }
        let index = self.index(self.expected);
        match self.slots[index].state {
            SlotState::Missing { noticed } => {
                let until = noticed + self.estimator.wait();
                if now < until {
                    return Step::Wait(Some(until));
                }
                self.slots[index].state = SlotState::GivenUp { noticed };
                self.counters.lost += 1;
                self.missing += 1;
                self.expected += 1;
                Step::Again
            }
            SlotState::Held(held) if held.kind == PacketKind::Event => self.event(index, &held),
            SlotState::Held(held) => self.packet(index, held),
            // Between `base` and `highest` every slot is missing or held.
            SlotState::Empty | SlotState::GivenUp { .. } => {
                self.expected += 1;
                Step::Again
            }
        }
    }

    /// Passes over an event; only audio lost before it is reported.
    fn event(&mut self, index: usize, held: &Held) -> Step {
        if self.missing > 0 && !self.quiet && self.anchored {
            let start = self.timeline.position(held.timestamp);
            let arrival = self.timeline.arrival(held.received_at);
            let gap = start - self.timeline.end();
            if start <= arrival + SKEW_MAX.cast_signed()
                && let Some(lost) = self.lost(gap, None)
            {
                return lost;
            }
        }
        self.missing = 0;
        self.quiet = true;
        self.slots[index].state = SlotState::Empty;
        self.expected += 1;
        Step::Again
    }

    /// Gives out the packet in `index`, after what lies between it and the span before.
    fn packet(&mut self, index: usize, held: Held) -> Step {
        if !self.anchored {
            self.anchored = true;
            self.timeline.sync(held.timestamp, held.received_at);
        }
        if !self.align(&held) {
            self.counters.late += 1;
            self.slots[index].state = SlotState::Empty;
            self.expected += 1;
            return Step::Again;
        }
        let gap = self.timeline.position(held.timestamp) - self.timeline.end();
        if self.missing > 0 {
            if !self.quiet
                && let Some(lost) = self.lost(gap, Some(index))
            {
                return lost;
            }
            self.missing = 0;
            return Step::Again;
        }
        if gap > 0 {
            let samples = u32::try_from(gap).unwrap_or(u32::MAX).min(SILENCE_MAX);
            let position = self.timeline.advance(samples);
            return Step::Silent(SilentSpan { position, samples });
        }
        let position = self.timeline.advance(held.samples);
        let step = Step::Packet {
            index,
            held,
            sequence: self.expected,
            position,
            sync: self.fresh,
            jumped: self.jumped,
        };
        self.jumped = self.timeline.delivered(held.timestamp, held.received_at);
        self.slots[index].state = SlotState::Empty;
        self.expected += 1;
        self.counters.delivered += 1;
        self.fresh = false;
        self.filled = false;
        self.behind = None;
        self.quiet = held.samples == 0;
        if held.samples > 0 {
            self.packet_samples = held.samples;
        }
        self.last_media = held.received_at;
        self.covered_until = held.received_at + samples_duration(held.samples);
        step
    }

    /// One packet's worth of the `gap` before the span in `next`, while packets are missing.
    fn lost(&mut self, gap: i64, next: Option<usize>) -> Option<Step> {
        if gap < SLACK {
            return None;
        }
        let samples = u32::try_from(gap)
            .unwrap_or(u32::MAX)
            .min(self.packet_samples);
        self.missing -= 1;
        let last = self.missing == 0 || gap - i64::from(samples) < SLACK;
        Some(Step::Lost {
            position: self.timeline.advance(samples),
            samples,
            next: next.filter(|_| last),
        })
    }

    /// Makes the timeline fit the packet. `false` when the time of the packet was given out for
    /// want of it and it must be dropped.
    fn align(&mut self, held: &Held) -> bool {
        let end = self.timeline.end();
        let arrival = self.timeline.arrival(held.received_at);
        let start = self.timeline.position(held.timestamp);
        if start > arrival + SKEW_MAX.cast_signed() {
            // A jump of the sender's clock, or one that runs fast.
            self.timeline.anchor(held.timestamp, end.max(arrival));
        } else if start < end && self.filled {
            if held.marker || self.stands_behind(held.received_at) {
                // The sender's clock stood still while it sent nothing.
                self.timeline.anchor(held.timestamp, end.max(arrival));
            } else if start + i64::from(held.samples / 2) < end {
                let (_, packets) = self.behind.get_or_insert((held.received_at, 0));
                *packets += 1;
                return false;
            } else {
                self.timeline.anchor(held.timestamp, end);
            }
        } else if start < end || (self.missing == 0 && start < end + SLACK && start != end) {
            self.timeline.anchor(held.timestamp, end);
        }
        true
    }

    /// Whether packets have been behind the timeline for so long that it is not a burst.
    fn stands_behind(&self, received_at: Instant) -> bool {
        self.behind.is_some_and(|(since, packets)| {
            packets >= BEHIND_PACKETS
                && received_at.saturating_duration_since(since) >= BEHIND_SPREAD
        })
    }

    /// Lets the media go on when no packet comes: one packet's length at a time.
    fn fill(&mut self, now: Instant) -> Step {
        let hold = if self.quiet {
            self.estimator.wait()
        } else {
            self.config.stall_after
        };
        let due = self.covered_until + hold;
        if now < due || !self.anchored {
            return Step::Wait(Some(due));
        }
        let samples = self.packet_samples;
        let position = self.timeline.advance(samples);
        self.filled = true;
        self.covered_until += samples_duration(samples);
        let silent_from = self.last_media + self.config.silence_after;
        if self.quiet || due >= silent_from {
            Step::Silent(SilentSpan { position, samples })
        } else {
            Step::Lost {
                position,
                samples,
                next: None,
            }
        }
    }
}

fn samples_duration(samples: u32) -> Duration {
    Duration::from_micros(u64::from(samples) * 1_000_000 / u64::from(FRAME_RATE))
}
