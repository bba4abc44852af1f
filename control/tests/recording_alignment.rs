//! Both channels of a recording lie on one clock: what a peer sends straight back appears on the
//! caller's channel when it was said, give or take a frame.

mod support;

use std::fs;
use std::time::Duration;

use fixtures::wav::Wav;
use support::conversation::fixture;
use support::server::{Server, free_udp_port};
use support::sipp::Sipp;

/// Most that the channels may differ by.
const OFFSET_MS_MAX: i64 = 20;
/// Shifts looked at.
const SHIFT_MS_MAX: i64 = 250;
/// Length of speech compared, and where in it: the whole greeting is longer.
const COMPARED_MS: i64 = 1_500;

#[tokio::test(flavor = "multi_thread")]
async fn an_echo_is_recorded_within_a_frame_of_its_source() {
    let server = Server::start(&[]).await;
    let folder = tempfile::tempdir().expect("scratch folder");
    let scenario =
        echo_scenario(&fs::read_to_string(fixture("sipp/uac_talk.xml")).expect("scenario"));
    let media_port = (free_udp_port() & !1).to_string();
    let caller = Sipp {
        scenario,
        agent: "clinic",
        calls: 1,
        call_ms: 4_000,
        options: &["-rtp_echo", "-mp", &media_port],
    };
    if let Err(errors) = caller.run(&server, folder.path()).await {
        panic!("{errors}\n{}", server.log_tail());
    }
    let call = server.ended_call(Duration::from_secs(30)).await;
    let recording = Wav::read(server.recording(&call)).expect("recording");
    let [caller, agent] = &recording.channels[..] else {
        panic!("{} channels", recording.channels.len());
    };
    let per_ms = i64::from(recording.rate) / 1000;
    let from = agent
        .iter()
        .position(|sample| sample.unsigned_abs() > 500)
        .expect("the agent speaks") as i64;
    let (shift, likeness) = (-SHIFT_MS_MAX * per_ms..=SHIFT_MS_MAX * per_ms)
        .map(|shift| {
            let end = from + COMPARED_MS * per_ms;
            (shift, correlation(agent, caller, from..end, shift))
        })
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .expect("shifts");
    let shift_ms = shift as f64 / per_ms as f64;
    println!("the echo lies {shift_ms:.1} ms behind its source, correlation {likeness:.3}");
    assert!(
        likeness > 0.9,
        "no echo on the caller's channel: {likeness:.3}"
    );
    assert!(
        shift.abs() <= OFFSET_MS_MAX * per_ms,
        "the channels are {shift_ms:.1} ms apart"
    );
}

/// The talking caller's scenario without its talk, and with the port whose packets sipp returns.
fn echo_scenario(talk: &str) -> String {
    let (before, rest) = talk.split_once("<nop>").expect("talk");
    let (_, after) = rest.split_once("</nop>").expect("talk");
    format!("{before}{after}").replace("[rtpstream_audio_port]", "[media_port]")
}

/// Normalised correlation of `a` over `range` with `b` moved back by `shift` samples.
fn correlation(a: &[i16], b: &[i16], range: std::ops::Range<i64>, shift: i64) -> f64 {
    let at = |samples: &[i16], index: i64| {
        let index = usize::try_from(index).ok();
        f64::from(index.and_then(|i| samples.get(i).copied()).unwrap_or(0))
    };
    let (mut product, mut energy_a, mut energy_b) = (0.0, 1.0, 1.0);
    for index in range {
        let (x, y) = (at(a, index), at(b, index + shift));
        product += x * y;
        energy_a += x * x;
        energy_b += y * y;
    }
    product / f64::sqrt(energy_a * energy_b)
}
