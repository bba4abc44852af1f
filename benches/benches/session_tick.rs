//! Cost of one leg's tick, both directions, voice activity included; the other side's work is
//! left out of the time.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use media::codec::Codec;
use media::leg::{Generation, LegCommand, LegId, SegmentId, SpeechChunk};
use media::leg_queue::MediaLeg;
use media::protocol::MediaLimits;
use media::protocol::rtp::{RtpLegConfig, RtpMedia, RtpPayload, RtpRemote};
use media::protocol::rtp_media::PreparedMedia;
use media::protocol::stream::{
    StreamInput, StreamLegConfig, StreamOutput, StreamPacket, StreamPayload, StreamPort,
};
use media::protocol::transmit::RtpPort;
use media::rtp::NtpTime;
use media::session::{MediaSession, SessionStart};

const TICK: Duration = Duration::from_millis(20);
const FOREVER: MediaLimits = MediaLimits {
    never_came: Duration::from_secs(1 << 30),
    stopped: Duration::from_secs(1 << 30),
};

fn start(origin: Instant) -> SessionStart {
    SessionStart {
        id: LegId(1),
        origin,
        ntp: NtpTime(1 << 60),
    }
}

/// Keeps the leg speaking and its queues empty.
fn converse(leg: &mut MediaLeg, tick: u64, speech: &Arc<[i16]>) {
    while let Some(output) = leg.try_recv() {
        black_box(&output);
    }
    if tick.is_multiple_of(50) {
        let chunk = SpeechChunk {
            segment: SegmentId(tick),
            generation: Generation(0),
            pcm: Arc::clone(speech),
            start: 0,
            last: true,
        };
        let _ = leg.send(LegCommand::Play(chunk));
    }
}

fn rtp(c: &mut Criterion, name: &str, codec: Codec, payload_type: u8) {
    let origin = Instant::now();
    let peer = SocketAddr::from(([127, 0, 0, 1], 40_000));
    let remote = RtpRemote {
        rtp: peer,
        rtcp: None,
        rtcp_mux: false,
    };
    let payload = RtpPayload {
        payload_type,
        codec,
    };
    let mut config = RtpLegConfig::new(RtpMedia::new(payload, Some(remote)), "bench", 7);
    // The far end hears nothing.
    config.limits = FOREVER;
    let prepared = PreparedMedia::new(config.media.clone(), origin).expect("usable");
    let (mut session, mut ends) = MediaSession::rtp(start(origin), &config, prepared, None);
    let mut far_config = config.clone();
    far_config.seed = 8;
    let prepared = PreparedMedia::new(config.media.clone(), origin).expect("usable");
    let (mut far, mut far_ends) = MediaSession::rtp(start(origin), &far_config, prepared, None);
    let speech: Arc<[i16]> = (0..16_000)
        .map(|i| ((f64::from(i) * 0.17).sin() * 8_000.0) as i16)
        .collect();
    let mut tick = 0;
    let mut packet = [0; 2_048];
    c.bench_function(name, |b| {
        b.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                let now = origin + TICK * u32::try_from(tick).expect("less than 994 days");
                converse(&mut far_ends.leg, tick, &speech);
                converse(&mut ends.leg, tick, &speech);
                far.tick(now);
                let mut len = 0;
                while let Some(transmit) = far.poll_transmit() {
                    if transmit.port == RtpPort::Rtp {
                        len = transmit.packet.len();
                        packet[..len].copy_from_slice(transmit.packet);
                    }
                }
                let began = Instant::now();
                session.handle_packet(now, RtpPort::Rtp, peer, &packet[..len]);
                session.tick(now);
                while let Some(transmit) = session.poll_transmit() {
                    black_box(transmit.packet);
                }
                black_box(session.poll_wake());
                spent += began.elapsed();
                tick += 1;
            }
            spent
        });
    });
    let statistics = session.statistics();
    assert_eq!(statistics.packets_rejected, 0);
    assert_eq!(statistics.frames_dropped, 0);
}

fn drain(port: &mut StreamPort) {
    while let Some(output) = port.try_recv() {
        if let StreamOutput::Mark { id, .. } = output {
            let _ = port.send(StreamInput::Mark(id));
        }
    }
}

fn stream(c: &mut Criterion) {
    let origin = Instant::now();
    let config = StreamLegConfig::new(Codec::Pcmu, Codec::Pcmu);
    let (mut session, mut ends) =
        MediaSession::stream(start(origin), &config, None).expect("usable");
    let speech: Arc<[i16]> = vec![1_000; 16_000].into();
    let payload = StreamPayload::new(&[0x55; 160]).expect("fits");
    let mut tick = 0;
    c.bench_function("stream leg, mu-law, one tick in and out", |b| {
        b.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                let now = origin + TICK * u32::try_from(tick).expect("less than 994 days");
                converse(&mut ends.leg, tick, &speech);
                drain(&mut ends.port);
                let packet = StreamPacket {
                    sequence: tick,
                    timestamp_ms: tick * 20,
                    payload,
                };
                let _ = ends.port.send(StreamInput::Packet(packet));
                let began = Instant::now();
                session.handle_stream(now);
                session.tick(now);
                black_box(session.poll_wake());
                spent += began.elapsed();
                tick += 1;
            }
            spent
        });
    });
}

fn benches(c: &mut Criterion) {
    rtp(c, "RTP leg, PCMU, one tick in and out", Codec::Pcmu, 0);
    rtp(c, "RTP leg, G.722, one tick in and out", Codec::G722, 9);
    rtp(c, "RTP leg, Opus, one tick in and out", Codec::Opus, 111);
    stream(c);
}

criterion_group! {
    name = session_tick;
    config = Criterion::default().sample_size(20);
    targets = benches
}
criterion_main!(session_tick);
