//! Cost per packet of the jitter buffer, on a clean path and on a rough one.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fixtures::network_emulator::{NetworkEmulator, PathConditions};
use fixtures::virtual_clock::VirtualClock;
use media::codec::Codec;
use media::jitter::{JitterBuffer, JitterConfig, PacketKind, Pop};
use media::rtp::{RtpHeader, RtpPacket, RtpTimestamp, SequenceNumber, Ssrc};

const PACKETS: u16 = 3000;
const ROUGH: PathConditions = PathConditions {
    loss: 0.03,
    loss_continues: 0.3,
    duplicate: 0.01,
    delay: Duration::from_millis(30),
    jitter: Duration::from_millis(30),
    reorder: 0.05,
    reorder_delay: Duration::from_millis(60),
};

/// A minute of arrivals: when, and which packet.
fn arrivals(conditions: PathConditions, mut clock: VirtualClock) -> Vec<(Duration, u16)> {
    let mut network = NetworkEmulator::new(7, conditions);
    for number in 0..PACKETS {
        network.send(clock.now(), number);
        clock.advance(Duration::from_millis(20));
    }
    clock.advance(Duration::from_secs(1));
    std::iter::from_fn(|| network.receive(clock.now()))
        .map(|(at, number)| (at - clock.origin(), number))
        .collect()
}

fn run(clock: VirtualClock, arrivals: &[(Duration, u16)]) -> u64 {
    let mut buffer = JitterBuffer::new(JitterConfig::new(clock.origin(), Codec::Pcmu));
    let mut samples = 0;
    for (after, number) in arrivals {
        let now = clock.origin() + *after;
        let header = RtpHeader {
            sequence: SequenceNumber(*number),
            timestamp: RtpTimestamp(u32::from(*number) * 160),
            ssrc: Ssrc(1),
            ..RtpHeader::default()
        };
        let packet = RtpPacket::new(header, &[0x7f; 160]);
        buffer.insert(now, &packet, PacketKind::Audio);
        loop {
            samples += u64::from(match buffer.pop(now) {
                Pop::Packet(packet) => packet.samples,
                Pop::Lost(lost) => lost.samples,
                Pop::Silent(span) => span.samples,
                Pop::Wait { .. } => break,
            });
        }
    }
    samples
}

fn jitter_buffer(criterion: &mut Criterion) {
    let clock = VirtualClock::new();
    let mut group = criterion.benchmark_group("jitter_buffer");
    group.throughput(Throughput::Elements(u64::from(PACKETS)));
    for (name, conditions) in [("clean", PathConditions::default()), ("rough", ROUGH)] {
        let arrivals = arrivals(conditions, clock);
        group.bench_function(name, |bencher| bencher.iter(|| run(clock, &arrivals)));
    }
    group.finish();
}

criterion_group!(benches, jitter_buffer);
criterion_main!(benches);
