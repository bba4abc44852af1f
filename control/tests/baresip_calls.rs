//! A real softphone books an appointment in every codec.

mod support;

use std::time::Duration;

use control::cli::caller::CallReport;
use fixtures::tone::rms_dbfs;
use fixtures::wav::Wav;
use support::baresip::{CODECS, Phone, PhoneCodec, PhoneRecords};
use support::conversation::{assert_good, caller};
use support::server::{Server, free_tcp_port};

async fn books_an_appointment(codec: PhoneCodec) {
    let server = Server::start(&[]).await;
    let caller = caller("clinic_book", &server).await;
    let (line, phone) = Phone::start(codec).await.dial("clinic", &server).await;
    let report = caller.talk(line).await;
    booked_and_heard(&report, &phone, &server).await;
}

async fn booked_and_heard(report: &CallReport, phone: &PhoneRecords, server: &Server) {
    assert_good(report, server);
    let record = report.record.clone().expect("record");
    let booked = server.get("/v1/records/appointments").await;
    assert_eq!(
        booked["records"].as_array().map(Vec::len),
        Some(1),
        "{booked}"
    );

    let (heard, rate) = phone.heard();
    assert!(
        heard.len() as u64 / u64::from(rate) >= 10 && rms_dbfs(&heard) > -45.0,
        "the phone heard {} s at {:.0} dBFS",
        heard.len() as u64 / u64::from(rate),
        rms_dbfs(&heard)
    );
    let id = record["id"].as_str().expect("id");
    let recording = Wav::read(server.recording(&record))
        .unwrap_or_else(|error| panic!("recording of {id}: {error}"));
    channels_fit_the_transcript(&recording, &record);
}

/// Each turn is heard on its own channel where the record says, and the channels line up.
fn channels_fit_the_transcript(recording: &Wav, record: &serde_json::Value) {
    let [caller, agent] = &recording.channels[..] else {
        panic!("{} channels", recording.channels.len());
    };
    for turn in record["turns"].as_array().expect("turns") {
        let at = |key: &str| {
            let ms = turn[key].as_u64().expect("time");
            ((ms * u64::from(recording.rate) / 1000) as usize).min(agent.len())
        };
        let (start, end) = (at("start_ms"), at("end_ms"));
        if turn["dtmf"] == true || end <= start {
            continue;
        }
        let (own, other) = if turn["speaker"] == "agent" {
            (agent, caller)
        } else {
            (caller, agent)
        };
        assert!(rms_dbfs(&own[start..end]) > -45.0, "silent turn: {turn}");
        assert!(
            rms_dbfs(&own[start..end]) > rms_dbfs(&other[start..end]) + 10.0,
            "the wrong channel speaks: {turn}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pcmu_phone_books_an_appointment() {
    books_an_appointment(CODECS[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pcma_phone_books_an_appointment() {
    books_an_appointment(CODECS[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g722_phone_books_an_appointment() {
    books_an_appointment(CODECS[2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opus_phone_books_an_appointment() {
    books_an_appointment(CODECS[3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_phone_books_an_appointment_over_tcp() {
    let tcp = format!("127.0.0.1:{}", free_tcp_port());
    let settings = [
        ("SAMVAD_SIP__TCP_BIND", tcp.as_str()),
        ("SAMVAD_SIP__SRTP", "required"),
    ];
    let server = Server::start(&settings).await;
    let caller = caller("clinic_book", &server).await;
    let target = format!("sip:clinic@{tcp};transport=tcp");
    let phone = Phone::start_with(CODECS[1], ";mediaenc=srtp-mand").await;
    let (line, phone) = phone.dial_uri(&target, &server).await;
    let report = caller.talk(line).await;
    booked_and_heard(&report, &phone, &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vanished_phone_ends_with_a_named_outcome() {
    let server = Server::start(&[("SAMVAD_MEDIA__SILENCE_TIMEOUT", "3s")]).await;
    let (_line, phone) = Phone::start(CODECS[0]).await.dial("clinic", &server).await;
    phone.vanish();
    let call = server.ended_call(Duration::from_secs(30)).await;
    assert_eq!(call["outcome"]["reason"], "media_timeout", "{call}");
    server
        .wait_for(
            "the release of the leg",
            Duration::from_secs(30),
            async |s| (s.metric("samvad_calls_active").await == 0.0).then_some(()),
        )
        .await;
}
