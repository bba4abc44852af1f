//! The booking over Twilio's and Exotel's protocols, with a barge-in.

mod support;

use control::cli::caller::carrier_stream::{CarrierCall, CarrierKind, dial};
use support::conversation::{assert_good, caller};
use support::server::Server;

async fn books_with_barge_in(kind: CarrierKind) {
    let server = Server::start(&[]).await;
    let caller = caller("clinic_book_barge_in", &server).await;
    let line = dial(CarrierCall {
        kind,
        server: server.url().parse().expect("address"),
        agent: "clinic".to_owned(),
        from: "+15550123".to_owned(),
        to: "+15550199".to_owned(),
        secret: None,
        record: None,
    })
    .await
    .expect("the line comes up");
    let report = caller.talk(line).await;
    assert_good(&report, &server);

    let record = report.record.expect("record");
    let cut = record["turns"]
        .as_array()
        .expect("turns")
        .iter()
        .find(|turn| turn["interrupted"] == true)
        .unwrap_or_else(|| panic!("no turn was cut short: {record}"));
    let heard = cut["text"].as_str().expect("text");
    // The greeting is longer than what was let through, and what is kept ends with a whole word.
    assert!(
        !heard.is_empty() && !heard.ends_with(['.', '?', '!']),
        "{heard}"
    );
    let booked = server.get("/v1/records/appointments").await;
    assert_eq!(
        booked["records"].as_array().map(Vec::len),
        Some(1),
        "{booked}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn twilio_caller_interrupts_and_books() {
    books_with_barge_in(CarrierKind::Twilio).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exotel_caller_interrupts_and_books() {
    books_with_barge_in(CarrierKind::Exotel).await;
}
