//! Workers, sockets and bridge on the loopback interface, in real time.

mod support;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use fixtures::tone;
use media::codec::Codec;
use media::leg::{Generation, LegCommand, LegEnd, LegEvent, SegmentId, SpeechChunk};
use media::leg_queue::{LegOutput, MediaLeg};
use media::net::control::{ControlError, LegControl};
use media::net::engine::{MediaConfig, MediaEngine, OpenError};
use media::net::ports::PortError;
use media::protocol::rtp::{RtpLegConfig, RtpMedia, RtpRemote};
use media::protocol::stream::{StreamLegConfig, StreamOutput};
use support::payload;

const IP: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// A limit for what takes a fraction of it on a free machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn engine(first_port: u16, pairs: u16) -> MediaEngine {
    MediaEngine::start(MediaConfig {
        workers: 2,
        rtp_ports: first_port..=first_port + 2 * pairs - 1,
        legs_per_worker_max: 2,
        port_rest: Duration::from_millis(10),
    })
    .expect("threads")
}

/// Two legs that send to each other.
fn call(engine: &MediaEngine, record: Option<&std::path::Path>) -> [(MediaLeg, LegControl); 2] {
    let ports = [(); 2].map(|()| engine.reserve_rtp(IP).expect("ports"));
    let addresses = [ports[1].rtp_address(), ports[0].rtp_address()];
    let mut seed = 1;
    let mut record = record;
    let mut remotes = addresses.into_iter();
    ports.map(|ports| {
        let remote = RtpRemote {
            rtp: remotes.next().expect("two"),
            rtcp: None,
            rtcp_mux: false,
        };
        let media = RtpMedia::new(payload(Codec::Pcmu), Some(remote));
        let mut config = RtpLegConfig::new(media, "test", seed);
        config.recording = record.take().map(Into::into);
        seed += 1;
        engine.open_rtp_leg(ports, config).expect("room")
    })
}

fn play(leg: &mut MediaLeg, ms: usize) {
    let chunk = SpeechChunk {
        segment: SegmentId(1),
        generation: Generation(0),
        pcm: tone::sine(16_000, 440.0, -20.0, 16 * ms).into(),
        start: 0,
        last: true,
    };
    leg.send(LegCommand::Play(chunk)).expect("room");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_legs_talk_over_real_sockets() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("call.wav");
    let engine = engine(21_000, 4);
    let [(mut a, a_control), (mut b, b_control)] = call(&engine, Some(&path));
    assert_eq!(engine.counters().legs, 2);
    assert_eq!(engine.counters().port_pairs_used, 2);
    play(&mut a, 1_000);
    let mut heard = Vec::new();
    let listening = async {
        while heard.len() < 16_000 * 3 / 2 {
            match b.recv().await {
                Some(LegOutput::Frame(frame)) => heard.extend_from_slice(&frame.samples),
                Some(LegOutput::Event(_)) => {}
                None => break,
            }
        }
    };
    tokio::time::timeout(PATIENCE, listening)
        .await
        .expect("frames keep coming");
    let onset = tone::onset(&heard, 16_000, 440.0, -30.0).expect("the tone");
    let level = tone::level_dbfs(&heard[onset + 1_600..onset + 11_200], 16_000, 440.0);
    assert!((level + 20.0).abs() < 1.5, "{level} dBFS");
    a_control.close();
    let summary = tokio::time::timeout(PATIENCE, a_control.closed())
        .await
        .expect("the leg ends");
    assert_eq!(summary.end, LegEnd::Closed);
    assert!(summary.remote.is_some());
    assert!(summary.statistics.packets_received > 40, "{summary:?}");
    let mut last = None;
    while let Some(output) = a.recv().await {
        if let LegOutput::Event(event) = output {
            last = Some(event);
        }
    }
    assert!(matches!(last, Some(LegEvent::Closed { .. })), "{last:?}");
    let media = RtpMedia::new(payload(Codec::Pcmu), None);
    assert_eq!(a_control.update_rtp(media), Err(ControlError::Ended));
    let recording = tokio::time::timeout(PATIENCE, a_control.recording_finished())
        .await
        .expect("the file is completed")
        .expect("a recording");
    assert_eq!(recording.error, None);
    let length = hound::WavReader::open(&path).expect("a WAV").duration();
    assert_eq!(u64::from(length) * 1_000 / 8_000, recording.duration_ms);
    assert!(recording.duration_ms >= 1_400, "{recording:?}");
    drop(b);
    tokio::time::timeout(PATIENCE, b_control.closed())
        .await
        .expect("a dropped handle ends its leg");
    let counters = engine.counters();
    assert_eq!((counters.legs, counters.port_pairs_used), (0, 0));
    assert_eq!((counters.legs_opened, counters.legs_finished), (2, 2));
    assert!(counters.slot_us.iter().sum::<u64>() > 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_leg_speaks_through_the_bridge() {
    let engine = engine(21_100, 1);
    let config = StreamLegConfig::new(Codec::Pcmu, Codec::Pcmu);
    let (mut leg, control, mut port) = engine.open_stream_leg(config).expect("room");
    play(&mut leg, 300);
    let mut pieces = 0;
    let carrier = async {
        loop {
            match port.recv().await {
                Some(StreamOutput::Audio(_)) => pieces += 1,
                Some(StreamOutput::Mark {
                    segment_end: true, ..
                }) => return true,
                Some(_) => {}
                None => return false,
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, carrier).await;
    assert_eq!(ended, Ok(true));
    assert_eq!(pieces, 15);
    drop(port);
    let summary = tokio::time::timeout(PATIENCE, control.closed()).await;
    assert_eq!(summary.map(|s| s.end), Ok(LegEnd::RemoteEnded));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused() {
    let engine = engine(21_200, 4);
    let calls = [call(&engine, None), call(&engine, None)];
    assert!(matches!(engine.reserve_rtp(IP), Err(PortError::Exhausted)));
    let config = StreamLegConfig::new(Codec::Pcmu, Codec::Pcmu);
    let refused = engine.open_stream_leg(config).err();
    assert_eq!(refused, Some(OpenError::Full));
    drop(calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_engine_ends_every_leg() {
    let engine = engine(21_300, 2);
    let [(mut a, control), _b] = call(&engine, None);
    let first = tokio::time::timeout(PATIENCE, a.recv()).await;
    assert!(matches!(first, Ok(Some(_))));
    let joined = tokio::task::spawn_blocking(move || drop(engine));
    tokio::time::timeout(PATIENCE, joined)
        .await
        .expect("the threads end")
        .expect("no panic");
    let summary = tokio::time::timeout(PATIENCE, control.closed()).await;
    assert_eq!(summary.map(|s| s.end), Ok(LegEnd::Closed));
    while a.recv().await.is_some() {}
}

#[tokio::test(flavor = "current_thread")]
async fn dropping_the_engine_on_the_only_runtime_thread_completes_recordings() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("call.wav");
    let engine = engine(21_400, 2);
    let [(mut a, control), _b] = call(&engine, Some(&path));
    for _ in 0..10 {
        let output = tokio::time::timeout(PATIENCE, a.recv()).await;
        assert!(matches!(output, Ok(Some(_))));
    }
    drop(engine);
    let recording = tokio::time::timeout(PATIENCE, control.recording_finished()).await;
    let recording = recording.expect("no deadlock").expect("a recording");
    assert!(recording.duration_ms >= 180, "{recording:?}");
    assert!(hound::WavReader::open(&path).is_ok());
}

#[test]
fn an_engine_needs_a_runtime() {
    assert!(MediaEngine::start(MediaConfig::default()).is_err());
}
