//! Reliable provisional responses (RFC 3262) in both roles.

use std::time::Duration;

use super::lone::{Lone, SDP, first_lines, header, request};
use super::pair::{Pair, Side};
use super::{ALICE, BOB, answer_of, offer_of};
use crate::event::{Command, Event, SessionEnd};
use crate::message::StatusCode;

fn early(pair: &mut Pair) -> crate::event::SessionId {
    pair.invite();
    let (bob, _) = pair.incoming();
    let status = StatusCode::SESSION_PROGRESS;
    let sdp = Some(answer_of(BOB, &offer_of(ALICE)));
    pair.bob(bob, Command::Progress { status, sdp }).unwrap();
    bob
}

#[test]
fn early_media_is_acknowledged_and_the_answer_waits_for_it() {
    let mut pair = Pair::new();
    // The first PRACK is lost, so the 183 comes again and the 200 must wait.
    let mut lost = false;
    pair.lose = Box::new(move |from, text| {
        from == Side::Alice && text.starts_with("PRACK") && !std::mem::replace(&mut lost, true)
    });
    let bob = early(&mut pair);
    let sdp = answer_of(BOB, &offer_of(ALICE));
    pair.bob(
        bob,
        Command::Answer {
            sdp,
            headers: Vec::new(),
        },
    )
    .unwrap();
    assert!(
        pair.sent_by(Side::Bob, "SIP/2.0 200").is_empty(),
        "no 2xx before the PRACK"
    );
    pair.run_until(|pair| {
        pair.bob_events
            .iter()
            .any(|e| matches!(e, Event::Confirmed { .. }))
    });
    let progress = pair.sent_by(Side::Bob, "SIP/2.0 183");
    assert!(progress.len() >= 2);
    assert_eq!(header(&progress[0].text, "Require"), "100rel");
    let rseq = header(&progress[0].text, "RSeq");
    let prack = pair.sent_by(Side::Alice, "PRACK");
    assert_eq!(header(&prack[0].text, "RAck"), format!("{rseq} 1 INVITE"));
    assert_eq!(header(&prack[0].text, "CSeq"), "2 PRACK");
    let early: Vec<_> = pair
        .alice_events
        .iter()
        .filter(|e| matches!(e, Event::Provisional { .. }))
        .collect();
    assert_eq!(early.len(), 1, "the repeated 183 is no news");
    let alice = pair.alice_session();
    pair.alice(alice, Command::End { reason: None }).unwrap();
    pair.run_to_rest();
}

#[test]
fn without_a_prack_the_call_is_refused() {
    let mut pair = Pair::new();
    pair.lose = Box::new(|from, text| from == Side::Alice && text.starts_with("PRACK"));
    early(&mut pair);
    pair.run_until(|pair| !Pair::end_of(&pair.bob_events).is_empty());
    assert_eq!(Pair::end_of(&pair.bob_events), [SessionEnd::AckTimeout]);
    assert!((31..=33).contains(&pair.elapsed().as_secs()));
    pair.run_to_rest();
}

fn insisting(lone: &mut Lone) -> (crate::event::SessionId, String) {
    let invite = request(
        "INVITE",
        "z9hG4bKi",
        1,
        "",
        &format!("Require: 100rel\n{SDP}"),
    );
    lone.feed(&invite);
    let session = lone.events()[0].session().unwrap();
    let status = StatusCode::RINGING;
    lone.endpoint
        .handle_command(lone.now, session, Command::Progress { status, sdp: None })
        .unwrap();
    let sent = lone.sent();
    (session, sent[0].clone())
}

#[test]
fn a_peer_that_insists_gets_even_ringing_reliably() {
    let mut lone = Lone::new();
    let (session, ringing) = insisting(&mut lone);
    assert_eq!(header(&ringing, "Require"), "100rel");
    let rseq = header(&ringing, "RSeq").to_owned();
    let tag = header(&ringing, "To")
        .split_once("tag=")
        .unwrap()
        .1
        .to_owned();
    let again = lone.pass(Duration::from_millis(3_600));
    assert_eq!(again.len(), 3, "after 0.5, 1.5 and 3.5 s");
    let wrong = request("PRACK", "z9hG4bKp1", 2, &tag, "RAck: 1 1 INVITE");
    assert_eq!(
        first_lines(&lone.feed(&wrong))[0],
        "SIP/2.0 481 Call/Transaction Does Not Exist"
    );
    let status = StatusCode::SESSION_PROGRESS;
    lone.endpoint
        .handle_command(lone.now, session, Command::Progress { status, sdp: None })
        .unwrap();
    assert!(lone.sent().is_empty(), "one at a time");
    let right = request(
        "PRACK",
        "z9hG4bKp2",
        3,
        &tag,
        &format!("RAck: {rseq} 1 INVITE"),
    );
    let sent = lone.feed(&right);
    assert_eq!(
        first_lines(&sent),
        ["SIP/2.0 200 OK", "SIP/2.0 183 Session Progress"]
    );
    let next: u32 = header(&sent[1], "RSeq").parse().unwrap();
    assert_eq!(next, rseq.parse::<u32>().unwrap() + 1);
}
