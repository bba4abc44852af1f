//! Calls that go as they should.

use super::pair::{Pair, Side};
use super::{ALICE, BOB, answer_of, offer_of};
use crate::event::{Command, Event, SessionEnd};
use crate::message::{Header, HeaderName, StatusCode};

#[test]
fn call_rings_is_answered_and_ended_by_the_caller() {
    let mut pair = Pair::new();
    let alice = pair.invite();
    let (bob, offer) = pair.incoming();
    pair.ring(bob);
    pair.run_until(|pair| {
        matches!(
            pair.alice_events.as_slice(),
            [Event::Provisional { status, sdp: None, .. }] if *status == StatusCode::RINGING
        )
    });
    let sdp = answer_of(BOB, &offer.unwrap());
    let headers = vec![Header::new(HeaderName::new("X-Agent"), "one")];
    pair.bob(
        bob,
        Command::Answer {
            sdp: sdp.clone(),
            headers,
        },
    )
    .unwrap();
    pair.run_until(|pair| pair.bob_events.len() == 2 && pair.alice_events.len() == 2);
    let Event::Answered {
        sdp: answer,
        headers,
        ..
    } = &pair.alice_events[1]
    else {
        panic!("{:?}", pair.alice_events);
    };
    assert_eq!(answer.as_ref(), Some(&sdp));
    assert_eq!(headers.named("x-agent"), Some("one"));
    assert!(matches!(
        pair.bob_events[1],
        Event::Confirmed { sdp: None, .. }
    ));
    let reason = Some("Q.850;cause=16".to_owned());
    pair.alice(
        alice,
        Command::End {
            reason: reason.clone(),
        },
    )
    .unwrap();
    pair.run_to_rest();
    assert_eq!(Pair::end_of(&pair.alice_events), [SessionEnd::LocalBye]);
    assert_eq!(
        Pair::end_of(&pair.bob_events),
        [SessionEnd::RemoteBye { reason }]
    );
}

#[test]
fn callee_hangs_up() {
    let mut pair = Pair::new();
    let (alice, bob) = pair.establish();
    pair.bob(bob, Command::End { reason: None }).unwrap();
    pair.run_to_rest();
    assert_eq!(
        Pair::end_of(&pair.alice_events),
        [SessionEnd::RemoteBye { reason: None }]
    );
    assert_eq!(Pair::end_of(&pair.bob_events), [SessionEnd::LocalBye]);
    assert!(pair.alice(alice, Command::End { reason: None }).is_err());
}

#[test]
fn refusal_reaches_the_caller_with_its_header_fields() {
    let mut pair = Pair::new();
    pair.invite();
    let (bob, _) = pair.incoming();
    let reject = Command::Reject {
        status: StatusCode::BUSY_HERE,
        reason: Some("In a meeting".to_owned()),
        headers: vec![Header::new(HeaderName::Reason, "Q.850;cause=17")],
    };
    pair.bob(bob, reject).unwrap();
    pair.run_to_rest();
    let ends = Pair::end_of(&pair.alice_events);
    let [
        SessionEnd::Refused {
            status,
            reason,
            headers,
        },
    ] = ends.as_slice()
    else {
        panic!("{ends:?}");
    };
    assert_eq!(*status, StatusCode::BUSY_HERE);
    assert_eq!(reason, "In a meeting");
    assert_eq!(headers.first(&HeaderName::Reason), Some("Q.850;cause=17"));
    assert_eq!(Pair::end_of(&pair.bob_events), [SessionEnd::LocalReject]);
    assert_eq!(pair.sent_by(Side::Alice, "ACK").len(), 1);
}

#[test]
fn early_media_is_told_apart_from_the_answer() {
    let mut pair = Pair::new();
    pair.invite();
    let (bob, offer) = pair.incoming();
    let sdp = Some(answer_of(BOB, &offer.unwrap()));
    let status = StatusCode::SESSION_PROGRESS;
    pair.bob(
        bob,
        Command::Progress {
            status,
            sdp: sdp.clone(),
        },
    )
    .unwrap();
    pair.run_until(|pair| !pair.alice_events.is_empty());
    assert!(matches!(
        &pair.alice_events[0],
        Event::Provisional { sdp: got, .. } if *got == sdp
    ));
    pair.bob(bob, Command::End { reason: None }).unwrap();
    pair.run_to_rest();
}

#[test]
fn late_offer_is_made_by_the_callee_and_answered_in_the_ack() {
    let mut pair = Pair::new();
    let alice = pair.invite_without_offer();
    let (bob, offer) = pair.incoming();
    assert_eq!(offer, None);
    let ours = offer_of(BOB);
    let headers = Vec::new();
    pair.bob(
        bob,
        Command::Answer {
            sdp: ours.clone(),
            headers,
        },
    )
    .unwrap();
    pair.run_until(|pair| !pair.alice_events.is_empty());
    assert!(matches!(
        &pair.alice_events[0],
        Event::Answered { sdp: Some(sdp), .. } if *sdp == ours
    ));
    assert!(pair.sent_by(Side::Alice, "ACK").is_empty());
    let answer = answer_of(ALICE, &ours);
    pair.alice(
        alice,
        Command::Acknowledge {
            sdp: answer.clone(),
        },
    )
    .unwrap();
    pair.run_until(|pair| pair.bob_events.len() == 2);
    assert!(matches!(
        &pair.bob_events[1],
        Event::Confirmed { sdp: Some(sdp), .. } if *sdp == answer
    ));
    pair.alice(alice, Command::End { reason: None }).unwrap();
    pair.run_to_rest();
}

#[test]
fn late_offer_without_an_answer_in_the_ack_ends_the_call() {
    let mut pair = Pair::new();
    let alice = pair.invite_without_offer();
    let (bob, _) = pair.incoming();
    let headers = Vec::new();
    pair.bob(
        bob,
        Command::Answer {
            sdp: offer_of(BOB),
            headers,
        },
    )
    .unwrap();
    pair.run_until(|pair| !pair.alice_events.is_empty());
    // Alice's application hangs up instead of answering: ACK without a body, then BYE.
    pair.lose = Box::new(|from, text| from == Side::Alice && text.starts_with("BYE"));
    pair.alice(alice, Command::End { reason: None }).unwrap();
    pair.run_to_rest();
    assert_eq!(Pair::end_of(&pair.bob_events), [SessionEnd::NoAnswer]);
}
