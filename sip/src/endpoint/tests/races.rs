//! Requests and responses that cross on the wire (RFC 3261 §9, §13.2.2.4, §15).

use std::time::Duration;

use super::lone::{Lone, SDP, first_lines, header, request};
use super::pair::{Pair, Side};
use super::{BOB, answer_of, invite_to, offer_of};
use crate::event::{Command, Event, SessionEnd};
use crate::message::StatusCode;

fn end() -> Command {
    Command::End { reason: None }
}

#[test]
fn cancel_waits_for_a_provisional_response() {
    let mut pair = Pair::new();
    let alice = pair.invite();
    pair.alice(alice, end()).unwrap();
    assert!(pair.sent_by(Side::Alice, "CANCEL").is_empty());
    pair.run_to_rest();
    let cancel = pair.sent_by(Side::Alice, "CANCEL");
    assert_eq!(cancel.len(), 1);
    let invite = pair.sent_by(Side::Alice, "INVITE")[0];
    for name in ["Via", "Call-ID", "From", "To"] {
        assert_eq!(
            header(&cancel[0].text, name),
            header(&invite.text, name),
            "{name}"
        );
    }
    assert_eq!(header(&cancel[0].text, "CSeq"), "1 CANCEL");
    assert_eq!(pair.sent_by(Side::Bob, "SIP/2.0 487").len(), 1);
    assert_eq!(Pair::end_of(&pair.alice_events), [SessionEnd::LocalReject]);
    assert_eq!(
        Pair::end_of(&pair.bob_events),
        [SessionEnd::Cancelled { reason: None }]
    );
}

#[test]
fn cancel_while_ringing_ends_both_sides() {
    let mut pair = Pair::new();
    let alice = pair.invite();
    let (bob, _) = pair.incoming();
    pair.ring(bob);
    pair.run_until(|pair| !pair.alice_events.is_empty());
    let reason = Some("SIP;cause=200".to_owned());
    pair.alice(
        alice,
        Command::End {
            reason: reason.clone(),
        },
    )
    .unwrap();
    pair.run_to_rest();
    assert_eq!(
        Pair::end_of(&pair.bob_events),
        [SessionEnd::Cancelled { reason }]
    );
    assert!(pair.bob(bob, end()).is_err());
}

#[test]
fn answer_that_crosses_our_cancel_is_acknowledged_and_hung_up() {
    let mut pair = Pair::new();
    let alice = pair.invite();
    let (bob, offer) = pair.incoming();
    pair.ring(bob);
    pair.run_until(|pair| !pair.alice_events.is_empty());
    let sdp = answer_of(BOB, &offer.unwrap());
    pair.bob(
        bob,
        Command::Answer {
            sdp,
            headers: Vec::new(),
        },
    )
    .unwrap();
    pair.alice(alice, end()).unwrap();
    pair.run_to_rest();
    // The CANCEL came after the final response: answered, without effect.
    assert!(pair.sent_by(Side::Bob, "SIP/2.0 487").is_empty());
    assert_eq!(pair.sent_by(Side::Alice, "ACK").len(), 1);
    assert_eq!(pair.sent_by(Side::Alice, "BYE").len(), 1);
    assert_eq!(Pair::end_of(&pair.alice_events), [SessionEnd::LocalReject]);
    assert_eq!(
        Pair::end_of(&pair.bob_events),
        [SessionEnd::RemoteBye { reason: None }]
    );
}

#[test]
fn cancel_without_a_final_response_is_given_up() {
    let mut pair = Pair::new();
    let alice = pair.invite();
    let (bob, _) = pair.incoming();
    pair.ring(bob);
    pair.run_until(|pair| !pair.alice_events.is_empty());
    pair.lose = Box::new(|from, _| from == Side::Bob);
    let before = pair.elapsed();
    pair.alice(alice, end()).unwrap();
    pair.run_until(|pair| !Pair::end_of(&pair.alice_events).is_empty());
    assert_eq!(pair.elapsed() - before, Duration::from_secs(32));
    pair.run_to_rest();
}

#[test]
fn lost_cancel_is_repeated() {
    let mut pair = Pair::new();
    let alice = pair.invite();
    let (bob, _) = pair.incoming();
    pair.ring(bob);
    pair.run_until(|pair| !pair.alice_events.is_empty());
    let mut lost = 0;
    pair.lose = Box::new(move |_, text| {
        lost += u32::from(text.starts_with("CANCEL"));
        text.starts_with("CANCEL") && lost <= 2
    });
    pair.alice(alice, end()).unwrap();
    pair.run_to_rest();
    assert_eq!(pair.sent_by(Side::Alice, "CANCEL").len(), 3);
    assert_eq!(Pair::end_of(&pair.bob_events).len(), 1);
}

#[test]
fn crossing_byes_end_both_sides_once() {
    let mut pair = Pair::new();
    let (alice, bob) = pair.establish();
    pair.alice(alice, end()).unwrap();
    pair.bob(bob, end()).unwrap();
    pair.run_to_rest();
    assert_eq!(Pair::end_of(&pair.alice_events), [SessionEnd::LocalBye]);
    assert_eq!(Pair::end_of(&pair.bob_events), [SessionEnd::LocalBye]);
    assert_eq!(pair.sent_by(Side::Alice, "SIP/2.0 200").len(), 1);
}

#[test]
fn bye_of_the_callee_waits_for_the_ack() {
    let mut pair = Pair::new();
    pair.invite();
    let (bob, offer) = pair.incoming();
    let sdp = answer_of(BOB, &offer.unwrap());
    pair.bob(
        bob,
        Command::Answer {
            sdp,
            headers: Vec::new(),
        },
    )
    .unwrap();
    pair.bob(bob, end()).unwrap();
    assert!(pair.sent_by(Side::Bob, "BYE").is_empty());
    pair.run_to_rest();
    let ack = pair.sent_by(Side::Alice, "ACK")[0].at;
    assert!(pair.sent_by(Side::Bob, "BYE")[0].at > ack);
    assert_eq!(Pair::end_of(&pair.bob_events), [SessionEnd::LocalBye]);
}

#[test]
fn caller_hangs_up_before_its_ack_arrived() {
    let mut pair = Pair::new();
    let alice = pair.invite();
    let (bob, offer) = pair.incoming();
    pair.lose = Box::new(|_, text| text.starts_with("ACK"));
    let sdp = answer_of(BOB, &offer.unwrap());
    pair.bob(
        bob,
        Command::Answer {
            sdp,
            headers: Vec::new(),
        },
    )
    .unwrap();
    pair.run_until(|pair| !pair.alice_events.is_empty());
    pair.alice(alice, end()).unwrap();
    pair.run_to_rest();
    assert_eq!(
        Pair::end_of(&pair.bob_events),
        [SessionEnd::RemoteBye { reason: None }]
    );
}

#[test]
fn bye_ends_an_open_reinvite_with_487() {
    let mut pair = Pair::new();
    let (alice, _bob) = pair.establish();
    pair.alice(
        alice,
        Command::Reinvite {
            sdp: offer_of(super::ALICE),
        },
    )
    .unwrap();
    pair.run_until(|pair| !pair.bob_events.is_empty());
    pair.alice(alice, end()).unwrap();
    pair.run_to_rest();
    assert_eq!(pair.sent_by(Side::Bob, "SIP/2.0 487").len(), 1);
    assert_eq!(pair.sent_by(Side::Alice, "ACK").len(), 1);
    assert_eq!(Pair::end_of(&pair.alice_events), [SessionEnd::LocalBye]);
}

#[test]
fn first_fork_wins_and_the_others_are_hung_up() {
    let mut lone = Lone::new();
    lone.endpoint
        .invite(lone.now, invite_to(BOB, Some(offer_of(super::ALICE))))
        .unwrap();
    let invite = lone.sent().remove(0);
    let answer = |tag: &str| {
        format!(
            "SIP/2.0 200 OK\nVia: {}\nFrom: {}\nTo: {};tag={tag}\nCall-ID: {}\nCSeq: 1 INVITE\n\
             Contact: <sip:{tag}@192.0.2.2:5070>\n{SDP}",
            header(&invite, "Via"),
            header(&invite, "From"),
            header(&invite, "To"),
            header(&invite, "Call-ID"),
        )
    };
    let sent = lone.feed(&answer("one"));
    assert_eq!(first_lines(&sent), ["ACK sip:one@192.0.2.2:5070 SIP/2.0"]);
    let sent = lone.feed(&answer("two"));
    assert_eq!(
        first_lines(&sent),
        [
            "ACK sip:two@192.0.2.2:5070 SIP/2.0",
            "BYE sip:two@192.0.2.2:5070 SIP/2.0"
        ]
    );
    // Repeats of both get the ACK alone.
    let again = lone.feed(&answer("two"));
    assert_eq!(first_lines(&again), ["ACK sip:two@192.0.2.2:5070 SIP/2.0"]);
    assert_eq!(again[0], sent[0]);
    assert_eq!(
        first_lines(&lone.feed(&answer("one"))),
        ["ACK sip:one@192.0.2.2:5070 SIP/2.0"]
    );
    let events = lone.events();
    assert!(matches!(events.as_slice(), [Event::Answered { .. }]));
    let Event::Answered { session, .. } = &events[0] else {
        panic!();
    };
    // The loser's BYE and ours run out; the tables are empty in the end.
    lone.endpoint
        .handle_command(lone.now, *session, end())
        .unwrap();
    lone.pass(Duration::from_secs(120));
    assert!(lone.endpoint.is_idle(), "{:?}", lone.endpoint.counters());
    assert_eq!(lone.events().len(), 1);
}

#[test]
fn cancel_for_an_unknown_invite_is_481_and_a_late_one_200() {
    let mut lone = Lone::new();
    let cancel = request("CANCEL", "z9hG4bKa", 1, "", "");
    assert_eq!(
        first_lines(&lone.feed(&cancel)),
        ["SIP/2.0 481 Call/Transaction Does Not Exist"]
    );
    lone.feed(&request("INVITE", "z9hG4bKb", 1, "", SDP));
    let Some(Event::Incoming { session, .. }) = lone.events().pop() else {
        panic!();
    };
    let reject = Command::Reject {
        status: StatusCode::BUSY_HERE,
        reason: None,
        headers: Vec::new(),
    };
    lone.endpoint
        .handle_command(lone.now, session, reject)
        .unwrap();
    lone.sent();
    let cancel = request("CANCEL", "z9hG4bKb", 1, "", "");
    assert_eq!(first_lines(&lone.feed(&cancel)), ["SIP/2.0 200 OK"]);
}

#[test]
fn early_bye_of_the_caller_cancels_the_call() {
    let mut lone = Lone::new();
    lone.feed(&request("INVITE", "z9hG4bKa", 1, "", SDP));
    let Some(Event::Incoming { session, .. }) = lone.events().pop() else {
        panic!();
    };
    let status = StatusCode::RINGING;
    lone.endpoint
        .handle_command(lone.now, session, Command::Progress { status, sdp: None })
        .unwrap();
    let ringing = lone.sent().remove(0);
    let tag = header(&ringing, "To")
        .split_once(";tag=")
        .unwrap()
        .1
        .to_owned();
    assert_eq!(
        first_lines(&lone.feed(&request("BYE", "z9hG4bKb", 2, &tag, ""))),
        ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]
    );
    lone.pass(Duration::from_secs(70));
    assert!(lone.endpoint.is_idle());
}
