//! What a call has produced survives the death of the process.

mod support;

use std::time::Duration;

use control::cli::caller::carrier_stream::{CarrierCall, CarrierKind, dial};
use fixtures::tone::rms_dbfs;
use fixtures::wav::Wav;
use support::conversation::caller;
use support::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_call_is_interrupted_and_its_recording_playable() {
    let mut server = Server::start(&[]).await;
    let caller = caller("clinic_book", &server).await;
    let line = dial(CarrierCall {
        kind: CarrierKind::Twilio,
        server: server.url().parse().expect("address"),
        agent: "clinic".to_owned(),
        from: "+15550123".to_owned(),
        to: "+15550199".to_owned(),
        secret: None,
        record: None,
    })
    .await
    .expect("the line comes up");
    let talking = tokio::spawn(caller.talk(line));

    let id = server
        .wait_for("two turns", Duration::from_secs(40), async |server| {
            let calls = server.get("/v1/calls?limit=1").await;
            let id = calls["calls"][0]["id"].as_str()?.to_owned();
            let call = server.get(&format!("/v1/calls/{id}")).await;
            (call["turns"].as_array()?.len() >= 2).then_some(id)
        })
        .await;
    let before = server.get(&format!("/v1/calls/{id}")).await;
    server.kill();
    talking.abort();
    server.restart().await;

    let after = server.get(&format!("/v1/calls/{id}")).await;
    assert_eq!(after["outcome"]["reason"], "interrupted", "{after}");
    assert!(!after["ended_at"].is_null(), "{after}");
    assert!(
        after["turns"].as_array().map(Vec::len) >= before["turns"].as_array().map(Vec::len),
        "turns were lost: {before} {after}"
    );
    let recording = Wav::read(server.recording(&after)).expect("playable");
    let spoken_ms = before["turns"][1]["end_ms"].as_u64().expect("time");
    let seconds = recording.channels[0].len() as u64 / u64::from(recording.rate);
    assert!(
        seconds + 1 >= spoken_ms / 1000,
        "{seconds} s of recording for {spoken_ms} ms of talk"
    );
    assert!(
        rms_dbfs(&recording.channels[1]) > -50.0,
        "the agent is missing"
    );
}
