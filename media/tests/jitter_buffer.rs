//! The jitter buffer in virtual time: order, loss, silence, key presses and the timeline.

use std::time::{Duration, Instant};

use fixtures::network_emulator::{NetworkEmulator, PathConditions};
use fixtures::virtual_clock::VirtualClock;
use media::codec::Codec;
use media::jitter::{Insert, JitterBuffer, JitterConfig, PacketKind, Pop};
use media::rtp::{RtpHeader, RtpPacket, RtpTimestamp, SequenceNumber, Ssrc};
use proptest::prelude::*;

const TICK: Duration = Duration::from_millis(20);

/// A span that came out, reduced to what tests compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Out {
    Packet { number: u16, at: u64, sync: bool },
    Lost { at: u64, samples: u32, next: bool },
    Silent { at: u64, samples: u32 },
}

/// A sender of 20 ms packets whose payload repeats the sequence number, and the buffer.
struct Rig {
    clock: VirtualClock,
    buffer: JitterBuffer,
    header: RtpHeader,
    end: Option<u64>,
}

impl Rig {
    fn new() -> Self {
        let clock = VirtualClock::new();
        Self {
            clock,
            buffer: JitterBuffer::new(JitterConfig::new(clock.origin(), Codec::Pcmu)),
            header: RtpHeader {
                sequence: SequenceNumber(65_530),
                timestamp: RtpTimestamp(u32::MAX - 500),
                ssrc: Ssrc(1),
                ..RtpHeader::default()
            },
            end: None,
        }
    }

    /// Header of the packet `step` after the first.
    fn at(&self, step: u16) -> RtpHeader {
        RtpHeader {
            sequence: self.header.sequence.plus(step),
            timestamp: self.header.timestamp.plus(u32::from(step) * 160),
            ..self.header
        }
    }

    fn insert(&mut self, header: RtpHeader, kind: PacketKind) -> Insert {
        let mut payload = [0; 160];
        payload[..2].copy_from_slice(&header.sequence.0.to_be_bytes());
        let length = if kind == PacketKind::Audio { 160 } else { 4 };
        let packet = RtpPacket::new(header, &payload[..length]);
        self.buffer.insert(self.clock.now(), &packet, kind)
    }

    fn audio(&mut self, step: u16) -> Insert {
        self.insert(self.at(step), PacketKind::Audio)
    }

    /// Everything that comes out now; spans must follow each other without hole or overlap.
    fn drain(&mut self) -> Vec<Out> {
        let (outs, _) = self.drain_until();
        outs
    }

    fn drain_until(&mut self) -> (Vec<Out>, Option<Instant>) {
        let mut outs = Vec::new();
        loop {
            let (out, samples, jumped) = match self.buffer.pop(self.clock.now()) {
                Pop::Wait { until } => return (outs, until),
                Pop::Packet(packet) => {
                    let number = packet.sequence.wire().0;
                    if packet.kind == PacketKind::Audio {
                        assert_eq!(packet.payload[..2], number.to_be_bytes());
                    }
                    let out = Out::Packet {
                        number: number.wrapping_sub(self.header.sequence.0),
                        at: packet.position.0,
                        sync: packet.sync,
                    };
                    (out, packet.samples, packet.jumped)
                }
                Pop::Lost(lost) => {
                    assert!(lost.samples <= 320 && lost.samples > 0);
                    let out = Out::Lost {
                        at: lost.position.0,
                        samples: lost.samples,
                        next: lost.next.is_some(),
                    };
                    (out, lost.samples, false)
                }
                Pop::Silent(span) => {
                    assert!(span.samples > 0);
                    let out = Out::Silent {
                        at: span.position.0,
                        samples: span.samples,
                    };
                    (out, span.samples, false)
                }
            };
            let (Out::Packet { at, .. } | Out::Lost { at, .. } | Out::Silent { at, .. }) = out;
            if let Some(end) = self.end {
                assert!(at == end || (jumped && at > end), "{out:?} after {end}");
            }
            self.end = Some(at + u64::from(samples));
            outs.push(out);
        }
    }

    /// Sends packets `steps` in order, 20 ms apart.
    fn play(&mut self, steps: std::ops::Range<u16>) -> Vec<Out> {
        let mut outs = Vec::new();
        for step in steps {
            self.audio(step);
            outs.extend(self.drain());
            self.clock.advance(TICK);
        }
        outs
    }

    /// Lets time pass in ticks without packets.
    fn idle(&mut self, ms: u64) -> Vec<Out> {
        let mut outs = Vec::new();
        let end = self.clock.now() + Duration::from_millis(ms);
        while self.clock.now() < end {
            self.clock.advance(TICK);
            outs.extend(self.drain());
        }
        outs
    }
}

const fn packet(number: u16, at: u64) -> Out {
    Out::Packet {
        number,
        at,
        sync: number == 0,
    }
}

#[test]
fn packets_in_order_leave_at_once_across_the_wrap() {
    let mut rig = Rig::new();
    rig.clock.advance(Duration::from_millis(100));
    let outs = rig.play(0..500);
    let expected: Vec<_> = (0..500)
        .map(|step| packet(step, 1600 + 320 * u64::from(step)))
        .collect();
    assert_eq!(outs, expected);
    assert_eq!(rig.buffer.counters().lost, 0);
    assert_eq!(rig.buffer.counters().syncs, 1);
}

#[test]
fn an_overtaken_packet_is_waited_for_and_leaves_in_order() {
    let mut rig = Rig::new();
    rig.play(0..3);
    rig.audio(4);
    let (outs, until) = rig.drain_until();
    assert_eq!(outs, []);
    assert_eq!(until, Some(rig.clock.now() + Duration::from_millis(40)));
    rig.clock.advance(Duration::from_millis(39));
    assert_eq!(rig.audio(3), Insert::Stored);
    assert_eq!(rig.drain(), [packet(3, 960), packet(4, 1280)]);
    let counters = rig.buffer.counters();
    assert_eq!((counters.reordered, counters.lost), (1, 0));
}

#[test]
fn a_missing_packet_is_lost_once_its_wait_is_over() {
    let mut rig = Rig::new();
    rig.play(0..3);
    rig.audio(5);
    let (_, until) = rig.drain_until();
    rig.clock.advance_to(until.unwrap());
    let lost = |at, next| Out::Lost {
        at,
        samples: 320,
        next,
    };
    assert_eq!(
        rig.drain(),
        [lost(960, false), lost(1280, true), packet(5, 1600)]
    );
    assert_eq!(rig.buffer.counters().lost, 2);
    assert_eq!(rig.audio(4), Insert::Late);
    assert_eq!(rig.audio(4), Insert::Duplicate);
    let counters = rig.buffer.counters();
    assert_eq!((counters.lost, counters.late), (1, 1));
    assert_eq!(rig.drain(), []);
}

#[test]
fn duplicates_are_dropped_before_and_after_their_turn() {
    let mut rig = Rig::new();
    rig.play(0..3);
    assert_eq!(rig.audio(2), Insert::Duplicate);
    rig.audio(4);
    assert_eq!(rig.audio(4), Insert::Duplicate);
    rig.audio(3);
    assert_eq!(rig.drain(), [packet(3, 960), packet(4, 1280)]);
    assert_eq!(rig.buffer.counters().duplicate, 2);
}

#[test]
fn the_wait_grows_with_the_reordering_seen() {
    let mut rig = Rig::new();
    rig.play(0..2);
    for step in (2..40).step_by(4) {
        for later in 1..4 {
            rig.audio(step + later);
            rig.drain();
            rig.clock.advance(TICK);
        }
        rig.audio(step); // 60 ms behind the packet that overtook it
        rig.drain();
        rig.clock.advance(TICK);
    }
    assert_eq!(rig.buffer.reorder_wait(), Duration::from_millis(65));
    // The first came when the wait was still 40 ms; from then on all were in time.
    let counters = rig.buffer.counters();
    assert_eq!((counters.late, counters.lost), (1, 0));
}

#[test]
fn another_source_takes_over_only_with_two_packets_in_order() {
    let mut rig = Rig::new();
    rig.play(0..10);
    let other = |rig: &Rig, step: u16| RtpHeader {
        ssrc: Ssrc(2),
        timestamp: RtpTimestamp(77 + u32::from(step) * 160),
        ..rig.at(100 + step)
    };
    let stray = other(&rig, 0);
    assert_eq!(rig.insert(stray, PacketKind::Audio), Insert::Probation);
    assert_eq!(rig.play(10..12).len(), 2);
    // The current source spoke in between: this is a first packet again.
    let again = other(&rig, 1);
    assert_eq!(rig.insert(again, PacketKind::Audio), Insert::Probation);
    assert_eq!(rig.drain(), []);
    rig.clock.advance(TICK);
    let confirming = other(&rig, 2);
    assert_eq!(rig.insert(confirming, PacketKind::Audio), Insert::NewSync);
    let outs = rig.drain();
    assert!(
        matches!(
            outs[..],
            [
                Out::Packet {
                    number: 101,
                    sync: true,
                    ..
                },
                Out::Packet {
                    number: 102,
                    sync: false,
                    ..
                }
            ]
        ),
        "{outs:?}"
    );
    assert_eq!(rig.buffer.counters().syncs, 2);
}

#[test]
fn a_restarted_sequence_loses_nothing() {
    let mut rig = Rig::new();
    rig.play(0..10);
    assert_eq!(rig.audio(20_000), Insert::Probation);
    rig.clock.advance(TICK);
    assert_eq!(rig.audio(20_001), Insert::NewSync);
    let outs = rig.drain();
    assert!(
        matches!(
            outs[..],
            [
                Out::Packet {
                    number: 20_000,
                    at: 3200,
                    sync: true
                },
                Out::Packet {
                    number: 20_001,
                    at: 3520,
                    sync: false
                }
            ]
        ),
        "{outs:?}"
    );
    assert_eq!(rig.buffer.counters().lost, 0);
}

#[test]
fn silence_without_sequence_gap_is_no_loss() {
    let mut rig = Rig::new();
    rig.play(0..5);
    rig.clock.advance(Duration::from_millis(100));
    rig.header.timestamp = rig.header.timestamp.plus(800);
    rig.audio(5);
    assert_eq!(
        rig.drain(),
        [
            Out::Silent {
                at: 1600,
                samples: 1600
            },
            packet(5, 3200)
        ]
    );
    assert_eq!(rig.buffer.counters().lost, 0);
}

#[test]
fn comfort_noise_lets_silence_go_on_by_the_clock() {
    let mut rig = Rig::new();
    rig.play(0..5);
    rig.insert(rig.at(5), PacketKind::ComfortNoise);
    rig.drain();
    let outs = rig.idle(1000);
    assert!(outs.len() >= 47, "{} spans", outs.len());
    assert!(outs.iter().all(|out| matches!(out, Out::Silent { .. })));
    // Speech resumes after exactly 1 s of real time; the timestamp says so too.
    rig.header.timestamp = rig.header.timestamp.plus(8000 - 160);
    rig.audio(6);
    let outs = rig.drain();
    assert_eq!(outs.last(), Some(&packet(6, 1600 + 16_000)));
    assert_eq!(rig.buffer.counters().lost, 0);
}

#[test]
fn a_key_press_in_the_sequence_is_no_loss() {
    let mut rig = Rig::new();
    rig.play(0..5);
    let start = rig.at(5).timestamp;
    let mut outs = Vec::new();
    for step in 5..13 {
        let header = RtpHeader {
            timestamp: start,
            ..rig.at(step)
        };
        // One event packet is lost on the way.
        if step != 8 {
            assert_eq!(rig.insert(header, PacketKind::Event), Insert::Stored);
        }
        outs.extend(rig.drain());
        rig.clock.advance(TICK);
    }
    outs.extend(rig.play(13..16));
    assert!(
        !outs.iter().any(|out| matches!(out, Out::Lost { .. })),
        "{outs:?}"
    );
    assert!(outs.contains(&packet(13, 320 * 13)), "{outs:?}");
    let silent: u32 = outs
        .iter()
        .map(|out| match out {
            Out::Silent { samples, .. } => *samples,
            Out::Packet { .. } | Out::Lost { .. } => 0,
        })
        .sum();
    assert_eq!(silent, 8 * 320);
}

#[test]
fn audio_lost_before_a_key_press_is_reported() {
    let mut rig = Rig::new();
    rig.play(0..5);
    rig.clock.advance(TICK);
    rig.insert(rig.at(6), PacketKind::Event);
    let outs = rig.idle(40);
    let lost = Out::Lost {
        at: 1600,
        samples: 320,
        next: false,
    };
    assert_eq!(outs.first(), Some(&lost), "{outs:?}");
}

#[test]
fn events_of_a_foreign_sequence_do_not_disturb_audio() {
    let mut rig = Rig::new();
    rig.play(0..5);
    for step in 0..3 {
        let foreign = RtpHeader {
            ssrc: Ssrc(9),
            ..rig.at(step)
        };
        assert_eq!(rig.insert(foreign, PacketKind::Event), Insert::Foreign);
        let far = rig.at(30_000 + step);
        assert_eq!(rig.insert(far, PacketKind::Event), Insert::Foreign);
    }
    assert_eq!(rig.play(5..8).len(), 3);
    assert_eq!(rig.buffer.counters().syncs, 1);
}

#[test]
fn a_stall_goes_on_as_loss_then_as_silence_and_its_burst_is_late() {
    let mut rig = Rig::new();
    rig.play(0..5);
    // `play` ends 20 ms behind the last arrival, where that packet's audio is used up.
    let outs = rig.idle(180);
    assert_eq!(outs, []);
    let outs = rig.idle(120);
    assert_eq!(outs.len(), 6);
    assert!(outs.iter().all(|out| matches!(out, Out::Lost { .. })));
    // What was held up comes in one burst: 120 ms of it have been filled already.
    for step in 5..20 {
        rig.audio(step);
    }
    let outs = rig.drain();
    let expected: Vec<_> = (11..20)
        .map(|step| packet(step, 320 * u64::from(step)))
        .collect();
    assert_eq!(outs, expected);
    assert_eq!(rig.buffer.counters().late, 6);

    let outs = rig.idle(2000);
    let silent = |out: &&Out| matches!(out, Out::Silent { .. });
    let split = outs.iter().position(|out| silent(&out)).unwrap();
    // The last packet covers 20 ms; loss is reported 200 ms behind that, at 220, 240 … 480 ms,
    // and silence from 500 ms on.
    assert_eq!(split, 14);
    assert!(outs[split..].iter().all(|out| silent(&out)));
}

#[test]
fn a_sender_whose_clock_stood_still_is_heard_again() {
    let marked = |marker| {
        let mut rig = Rig::new();
        rig.play(0..5);
        rig.idle(30_000);
        let mut outs = Vec::new();
        for step in 5..25 {
            let header = RtpHeader {
                marker: marker && step == 5,
                ..rig.at(step)
            };
            rig.insert(header, PacketKind::Audio);
            outs.extend(rig.drain());
            rig.clock.advance(TICK);
        }
        outs.iter()
            .filter(|out| matches!(out, Out::Packet { .. }))
            .count()
    };
    assert_eq!(marked(true), 20);
    assert_eq!(marked(false), 15);
}

#[test]
fn a_full_buffer_drops_the_oldest_and_counts_them() {
    let mut rig = Rig::new();
    rig.play(0..5);
    // 5 is missing; nobody pops.
    for step in 6..60 {
        rig.audio(step);
        assert!(rig.buffer.len() <= media::jitter::config::DEPTH);
    }
    let counters = rig.buffer.counters();
    assert_eq!((counters.lost, counters.overflowed), (1, 4));
    rig.clock.advance(Duration::from_millis(40));
    let outs = rig.drain();
    assert_eq!(outs.len(), 5 + 50, "{outs:?}");
    assert!(matches!(outs[4], Out::Lost { next: true, .. }));
    assert_eq!(outs[5], packet(10, 3200));
}

#[test]
fn oversized_payloads_are_refused() {
    let mut rig = Rig::new();
    let payload = [0; 481];
    let packet = RtpPacket::new(rig.header, &payload);
    let result = rig
        .buffer
        .insert(rig.clock.now(), &packet, PacketKind::Audio);
    assert_eq!(result, Insert::Oversized);
    assert_eq!(rig.buffer.counters().oversized, 1);
}

#[test]
fn a_jump_of_the_timestamp_by_hours_stays_near_arrival() {
    let mut rig = Rig::new();
    rig.play(0..50);
    rig.header.timestamp = rig.header.timestamp.plus(8000 * 3600 * 5);
    let outs = rig.play(50..60);
    assert_eq!(outs.len(), 10);
    rig.header.timestamp = rig
        .header
        .timestamp
        .plus(0u32.wrapping_sub(8000 * 3600 * 9));
    let outs = rig.play(60..70);
    assert_eq!(outs.last(), Some(&packet(69, 69 * 320)));
}

#[test]
fn clock_drift_keeps_positions_near_arrival_for_an_hour() {
    for tick_us in [19_990, 20_010] {
        // 500 ppm, five times what real clocks do.
        let mut rig = Rig::new();
        for step in 0..180_000u32 {
            let header = RtpHeader {
                sequence: SequenceNumber((step & 0xffff) as u16),
                timestamp: RtpTimestamp(step * 160),
                ..rig.header
            };
            rig.insert(header, PacketKind::Audio);
            rig.drain();
            rig.clock.advance(Duration::from_micros(tick_us));
        }
        let arrival = rig.clock.elapsed().as_micros() as i64 * 16 / 1000;
        let skew = rig.buffer.end().0 as i64 - arrival;
        if tick_us > 20_000 {
            // A slow sender: the timeline jumps forward now and then.
            assert!(skew.abs() < 3200 + 2 * 320, "skew {skew}");
        } else {
            // A fast one gives more audio than time passes; none of it is dropped, so without a
            // pause of the sender the lead can only grow.
            assert_eq!(rig.buffer.counters().delivered, 180_000);
            assert!((0..=1_800 * 16 + 320).contains(&skew), "skew {skew}");
        }
        assert_eq!(rig.buffer.counters().lost, 0);
    }
}

/// Sends a minute over `conditions` and checks what must hold on any path.
fn run_path(seed: u64, conditions: PathConditions) -> Result<(), TestCaseError> {
    const PACKETS: u16 = 3000;
    let mut rig = Rig::new();
    let mut network = NetworkEmulator::new(seed, conditions);
    let mut fate = vec![None; usize::from(PACKETS)];
    let mut outs = Vec::new();
    let mut next_send = rig.clock.now();
    let mut sent = 0;
    let mut wake = None;
    loop {
        // The next thing that happens: a packet sent, a packet arriving, a wait over.
        let send = (sent < PACKETS).then_some(next_send);
        let events = [send, network.next_arrival(), wake];
        let Some(next) = events.into_iter().flatten().min() else {
            break;
        };
        if sent == PACKETS && network.next_arrival().is_none() {
            break;
        }
        rig.clock.advance_to(next);
        if send == Some(rig.clock.now()) {
            network.send(rig.clock.now(), sent);
            sent += 1;
            next_send += TICK;
        }
        while let Some((_, step)) = network.receive(rig.clock.now()) {
            let result = rig.audio(step);
            let entry = &mut fate[usize::from(step)];
            match entry {
                None => *entry = Some(result),
                Some(_) => prop_assert_eq!(result, Insert::Duplicate, "packet {} again", step),
            }
            prop_assert!(rig.buffer.len() <= media::jitter::config::DEPTH);
        }
        let (now_out, until) = rig.drain_until();
        prop_assert!(until.is_none_or(|until| until > rig.clock.now()));
        wake = until;
        outs.extend(now_out);
    }
    rig.clock.advance(Duration::from_millis(300));
    outs.extend(rig.drain());

    let numbers: Vec<_> = outs
        .iter()
        .filter_map(|out| match out {
            Out::Packet { number, .. } => Some(*number),
            Out::Lost { .. } | Out::Silent { .. } => None,
        })
        .collect();
    prop_assert!(numbers.is_sorted_by(|a, b| a < b), "out of order");
    let counters = rig.buffer.counters();
    let stored = fate
        .iter()
        .filter(|fate| matches!(fate, Some(Insert::Stored | Insert::NewSync)))
        .count() as u64;
    let refused = fate
        .iter()
        .filter(|fate| matches!(fate, Some(Insert::Late)))
        .count() as u64;
    // Stored packets come out exactly once, save those whose time had been filled in a stall.
    prop_assert_eq!(numbers.len() as u64, counters.delivered);
    prop_assert_eq!(stored - counters.delivered, counters.late - refused);
    prop_assert_eq!(counters.overflowed, 0);
    let arrived = fate.iter().flatten().count() as u64;
    let first = fate.iter().position(|fate| *fate == Some(Insert::NewSync));
    let last = fate.iter().rposition(Option::is_some);
    if let (Some(first), Some(last)) = (first, last) {
        let before_first = fate[..first].iter().flatten().count() as u64;
        prop_assert_eq!(
            counters.lost,
            (last - first + 1) as u64 - (arrived - before_first)
        );
    }
    // Media time has kept pace with real time.
    let end = rig.buffer.end().as_ms();
    let real = rig.clock.elapsed().as_millis() as u64;
    prop_assert!(
        end.abs_diff(real) < 700,
        "media {} ms, real {} ms",
        end,
        real
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_path_gives_each_packet_once_and_in_order(
        seed in any::<u64>(),
        loss in 0.0..0.3f64,
        loss_continues in 0.0..0.9f64,
        duplicate in 0.0..0.2f64,
        jitter_ms in 0u64..120,
        reorder in 0.0..0.3f64,
        reorder_ms in 0u64..250,
    ) {
        run_path(seed, PathConditions {
            loss,
            loss_continues,
            duplicate,
            delay: Duration::from_millis(30),
            jitter: Duration::from_millis(jitter_ms),
            reorder,
            reorder_delay: Duration::from_millis(reorder_ms),
        })?;
    }

    #[test]
    fn arbitrary_packets_never_panic_nor_turn_time_back(
        packets in proptest::collection::vec(
            (any::<u16>(), any::<u32>(), 0u32..3, 0usize..600, 0u8..4, 0u64..300, any::<bool>()),
            1..300,
        ),
        near in any::<bool>(),
    ) {
        let mut rig = Rig::new();
        for (number, timestamp, ssrc, length, kind, wait_ms, marker) in packets {
            let header = RtpHeader {
                marker,
                payload_type: 0,
                // Near numbers keep one source going, so that its slots are exercised.
                sequence: SequenceNumber(if near { number % 200 } else { number }),
                timestamp: RtpTimestamp(if near { timestamp % 40_000 } else { timestamp }),
                ssrc: Ssrc(if near { 1 } else { ssrc }),
            };
            let kind = match kind {
                0 => PacketKind::Event,
                1 => PacketKind::ComfortNoise,
                _ => PacketKind::Audio,
            };
            let payload = [0; 600];
            let packet = RtpPacket::new(header, &payload[..length]);
            rig.buffer.insert(rig.clock.now(), &packet, kind);
            prop_assert!(rig.buffer.len() <= media::jitter::config::DEPTH);
            let mut end = rig.buffer.end();
            loop {
                match rig.buffer.pop(rig.clock.now()) {
                    Pop::Wait { .. } => break,
                    Pop::Packet(packet) => prop_assert!(packet.position >= end),
                    Pop::Lost(lost) => prop_assert_eq!(lost.position, end),
                    Pop::Silent(span) => prop_assert!(span.position >= end),
                }
                prop_assert!(rig.buffer.end() >= end);
                end = rig.buffer.end();
            }
            rig.clock.advance(Duration::from_millis(wait_ms));
        }
    }
}
