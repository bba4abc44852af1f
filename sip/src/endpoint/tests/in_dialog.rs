//! Changes, key presses, transfers and refreshes within a call.

use std::time::Duration;

use super::lone::{Lone, SDP, first_lines, header, request};
use super::pair::{Pair, Side};
use super::{ALICE, BOB, answer_of, local_media, offer_of};
use crate::event::{Command, Event, OfferMethod, ReferProgress, SessionEnd, SessionId};
use crate::message::{StatusCode, Uri};
use crate::sdp::{self, Direction};

fn end() -> Command {
    Command::End { reason: None }
}

/// A call from Bob that we answered: the harness, its session and our tag.
fn answered() -> (Lone, SessionId, String) {
    answered_with("")
}

fn answered_with(headers: &str) -> (Lone, SessionId, String) {
    let mut lone = Lone::new();
    lone.feed(&request(
        "INVITE",
        "z9hG4bKinv",
        1,
        "",
        &format!("{headers}{SDP}"),
    ));
    let Some(Event::Incoming { session, invite }) = lone.events().pop() else {
        panic!("no call");
    };
    let sdp = answer_of(ALICE, invite.offer.as_ref().unwrap());
    lone.endpoint
        .handle_command(
            lone.now,
            session,
            Command::Answer {
                sdp,
                headers: Vec::new(),
            },
        )
        .unwrap();
    let ok = lone.sent().remove(0);
    let tag = header(&ok, "To").split_once(";tag=").unwrap().1.to_owned();
    lone.feed(&request("ACK", "z9hG4bKack", 1, &tag, ""));
    assert!(matches!(
        lone.events().as_slice(),
        [Event::Confirmed { .. }]
    ));
    (lone, session, tag)
}

fn at_rest(mut lone: Lone, session: SessionId) {
    let _ = lone.endpoint.handle_command(lone.now, session, end());
    lone.pass(Duration::from_secs(120));
    assert!(lone.endpoint.is_idle(), "{:?}", lone.endpoint.counters());
}

#[test]
fn hold_and_resume_by_reinvite() {
    let mut pair = Pair::new();
    let (alice, bob) = pair.establish();
    for (version, direction) in [(2, Direction::SendOnly), (3, Direction::SendRecv)] {
        let offer = sdp::offer(&local_media(ALICE, direction, version));
        pair.alice(alice, Command::Reinvite { sdp: offer.clone() })
            .unwrap();
        pair.run_until(|pair| !pair.bob_events.is_empty());
        let Some(Event::Offer {
            method: OfferMethod::Invite,
            sdp: Some(got),
            ..
        }) = pair.bob_events.pop()
        else {
            panic!();
        };
        assert_eq!(got, offer);
        let (answer, audio) =
            sdp::negotiate(&got, &local_media(BOB, Direction::SendRecv, version)).unwrap();
        assert_eq!(audio.direction, direction.reversed());
        pair.bob(
            bob,
            Command::AnswerOffer {
                sdp: answer.clone(),
            },
        )
        .unwrap();
        pair.run_until(|pair| !pair.alice_events.is_empty());
        assert!(matches!(
            pair.alice_events.pop(),
            Some(Event::ReinviteAnswered { sdp: Some(sdp), .. }) if sdp == answer
        ));
        pair.run_for(Duration::from_millis(100));
        assert!(pair.bob_events.is_empty());
    }
    pair.alice(alice, end()).unwrap();
    pair.run_to_rest();
}

#[test]
fn refused_change_leaves_the_call_as_it_was() {
    let mut pair = Pair::new();
    let (alice, bob) = pair.establish();
    pair.alice(
        alice,
        Command::Reinvite {
            sdp: offer_of(ALICE),
        },
    )
    .unwrap();
    pair.run_until(|pair| !pair.bob_events.is_empty());
    let status = StatusCode::NOT_ACCEPTABLE_HERE;
    pair.bob(bob, Command::RejectOffer { status }).unwrap();
    pair.run_until(|pair| !pair.alice_events.is_empty());
    assert!(matches!(
        pair.alice_events[0],
        Event::ReinviteFailed { status: got, .. } if got == status
    ));
    pair.alice(
        alice,
        Command::Reinvite {
            sdp: offer_of(ALICE),
        },
    )
    .unwrap();
    pair.bob(bob, end()).unwrap();
    pair.run_to_rest();
}

#[test]
fn reinvites_that_cross_are_settled_by_491_and_another_try() {
    let mut pair = Pair::new();
    let (alice, bob) = pair.establish();
    pair.alice(
        alice,
        Command::Reinvite {
            sdp: offer_of(ALICE),
        },
    )
    .unwrap();
    pair.bob(bob, Command::Reinvite { sdp: offer_of(BOB) })
        .unwrap();
    pair.run_until(|pair| !pair.alice_events.is_empty());
    assert_eq!(pair.sent_by(Side::Alice, "SIP/2.0 491").len(), 1);
    assert_eq!(pair.sent_by(Side::Bob, "SIP/2.0 491").len(), 1);
    // Bob did not make the Call-ID, so he tries again first, within 2 s.
    assert!(pair.elapsed() < Duration::from_millis(2_200));
    let Some(Event::Offer {
        sdp: Some(offer), ..
    }) = pair.alice_events.pop()
    else {
        panic!();
    };
    let sdp = answer_of(ALICE, &offer);
    pair.alice(alice, Command::AnswerOffer { sdp }).unwrap();
    pair.run_until(|pair| {
        pair.bob_events
            .iter()
            .any(|e| matches!(e, Event::Offer { .. }))
    });
    let sdp = answer_of(BOB, &offer_of(ALICE));
    pair.bob(bob, Command::AnswerOffer { sdp }).unwrap();
    pair.run_until(|pair| {
        pair.alice_events
            .iter()
            .any(|e| matches!(e, Event::ReinviteAnswered { .. }))
    });
    pair.alice(alice, end()).unwrap();
    pair.run_to_rest();
}

#[test]
fn reinvite_while_another_is_open_is_500_with_retry_after() {
    let (mut lone, session, tag) = answered();
    lone.feed(&request("INVITE", "z9hG4bKr1", 2, &tag, SDP));
    let sent = lone.feed(&request("INVITE", "z9hG4bKr2", 3, &tag, SDP));
    assert_eq!(first_lines(&sent), ["SIP/2.0 500 Server Internal Error"]);
    let retry: u32 = header(&sent[0], "Retry-After").parse().unwrap();
    assert!(retry <= 10);
    at_rest(lone, session);
}

#[test]
fn reinvite_without_offer_is_answered_by_ours_and_settled_in_the_ack() {
    let (mut lone, session, tag) = answered();
    let sent = lone.feed(&request("INVITE", "z9hG4bKr1", 2, &tag, ""));
    assert_eq!(first_lines(&sent), ["SIP/2.0 100 Trying"]);
    assert!(matches!(
        lone.events().as_slice(),
        [Event::Offer { sdp: None, .. }]
    ));
    let sdp = offer_of(ALICE);
    lone.endpoint
        .handle_command(lone.now, session, Command::AnswerOffer { sdp })
        .unwrap();
    let sent = lone.sent();
    assert!(sent[0].contains("m=audio 40000"), "{}", sent[0]);
    // While our offer is open another one of the peer has to wait.
    let sent = lone.feed(&request("INVITE", "z9hG4bKr2", 3, &tag, SDP));
    assert_eq!(first_lines(&sent), ["SIP/2.0 491 Request Pending"]);
    lone.feed(&request("ACK", "z9hG4bKr3", 2, &tag, SDP));
    assert!(matches!(
        lone.events().as_slice(),
        [Event::OfferConfirmed { .. }]
    ));
    at_rest(lone, session);
}

#[test]
fn target_follows_the_contact_of_a_reinvite() {
    let (mut lone, session, tag) = answered();
    let moved = request("INVITE", "z9hG4bKr1", 2, &tag, SDP).replace(
        "Contact: <sip:bob@192.0.2.2:5070>",
        "Contact: <sip:bob@192.0.2.9:6000>",
    );
    lone.feed(&moved);
    let sdp = answer_of(ALICE, &offer_of(BOB));
    lone.endpoint
        .handle_command(lone.now, session, Command::AnswerOffer { sdp })
        .unwrap();
    lone.feed(&request("ACK", "z9hG4bKr2", 2, &tag, ""));
    lone.endpoint
        .handle_command(lone.now, session, end())
        .unwrap();
    let bye = std::iter::from_fn(|| lone.endpoint.poll_transmit())
        .last()
        .unwrap();
    assert_eq!(bye.destination.address, "192.0.2.9:6000".parse().unwrap());
    assert!(
        bye.payload
            .starts_with(b"BYE sip:bob@192.0.2.9:6000 SIP/2.0")
    );
    at_rest(lone, session);
}

#[test]
fn requests_follow_the_recorded_route() {
    let (mut lone, session, _) =
        answered_with("Record-Route: <sip:192.0.2.7;lr>, <sip:proxy.example.com:5080;lr>\n");
    lone.endpoint
        .handle_command(lone.now, session, end())
        .unwrap();
    let bye = lone.endpoint.poll_transmit().unwrap();
    let text = String::from_utf8_lossy(&bye.payload).into_owned();
    assert_eq!(bye.destination.address, "192.0.2.7:5060".parse().unwrap());
    assert!(text.starts_with("BYE sip:bob@192.0.2.2:5070 SIP/2.0"));
    let routes: Vec<&str> = text.lines().filter(|l| l.starts_with("Route:")).collect();
    assert_eq!(
        routes,
        [
            "Route: <sip:192.0.2.7;lr>",
            "Route: <sip:proxy.example.com:5080;lr>"
        ]
    );
    at_rest(lone, session);
}

#[test]
fn strict_router_takes_the_place_of_the_request_uri() {
    let (mut lone, session, _) =
        answered_with("Record-Route: <sip:192.0.2.7>, <sip:192.0.2.8;lr>\n");
    lone.endpoint
        .handle_command(lone.now, session, end())
        .unwrap();
    let bye = lone.sent().remove(0);
    assert!(bye.starts_with("BYE sip:192.0.2.7 SIP/2.0"), "{bye}");
    let routes: Vec<&str> = bye.lines().filter(|l| l.starts_with("Route:")).collect();
    assert_eq!(
        routes,
        [
            "Route: <sip:192.0.2.8;lr>",
            "Route: <sip:bob@192.0.2.2:5070>"
        ]
    );
    at_rest(lone, session);
}

#[test]
fn update_carries_an_offer_or_refreshes() {
    let (mut lone, session, tag) = answered();
    let sent = lone.feed(&request("UPDATE", "z9hG4bKu1", 2, &tag, ""));
    assert_eq!(first_lines(&sent), ["SIP/2.0 200 OK"]);
    assert!(lone.events().is_empty());
    assert!(
        lone.feed(&request("UPDATE", "z9hG4bKu2", 3, &tag, SDP))
            .is_empty()
    );
    assert!(matches!(
        lone.events().as_slice(),
        [Event::Offer {
            method: OfferMethod::Update,
            sdp: Some(_),
            ..
        }]
    ));
    let sdp = answer_of(ALICE, &offer_of(BOB));
    lone.endpoint
        .handle_command(lone.now, session, Command::AnswerOffer { sdp })
        .unwrap();
    let sent = lone.sent();
    assert_eq!(first_lines(&sent), ["SIP/2.0 200 OK"]);
    assert!(sent[0].contains("m=audio 40000"));
    // UPDATE has no ACK: nothing is repeated.
    assert!(lone.pass(Duration::from_secs(10)).is_empty());
    at_rest(lone, session);
}

#[test]
fn info_is_answered_and_its_digit_reported() {
    let (mut lone, session, tag) = answered();
    let body = "Content-Type: application/dtmf-relay\n\nSignal=#\nDuration=160\n";
    let sent = lone.feed(&request("INFO", "z9hG4bKi1", 2, &tag, body));
    assert_eq!(first_lines(&sent), ["SIP/2.0 200 OK"]);
    let Some(Event::Info {
        digit: Some(digit), ..
    }) = lone.events().pop()
    else {
        panic!();
    };
    assert_eq!((digit.key, digit.duration_ms), (b'#', Some(160)));
    // A repeat is answered again and reported once.
    let sent = lone.feed(&request("INFO", "z9hG4bKi1", 2, &tag, body));
    assert_eq!(first_lines(&sent), ["SIP/2.0 200 OK"]);
    assert!(lone.events().is_empty());
    lone.feed(&request("INFO", "z9hG4bKi2", 3, &tag, ""));
    assert!(matches!(
        lone.events().as_slice(),
        [Event::Info { digit: None, .. }]
    ));
    at_rest(lone, session);
}

#[test]
fn order_and_dialog_of_requests_are_checked() {
    let (mut lone, session, tag) = answered();
    lone.feed(&request("INFO", "z9hG4bKa", 20, &tag, ""));
    let lines = |lone: &mut Lone, text: &str| lone.feed(text)[0].lines().next().unwrap().to_owned();
    let old = request("INFO", "z9hG4bKb", 19, &tag, "");
    assert_eq!(lines(&mut lone, &old), "SIP/2.0 500 Server Internal Error");
    let other = request("BYE", "z9hG4bKc", 21, "nobody", "");
    assert_eq!(
        lines(&mut lone, &other),
        "SIP/2.0 481 Call/Transaction Does Not Exist"
    );
    let stranger = request("BYE", "z9hG4bKd", 22, &tag, "").replace("tag=bob", "tag=eve");
    assert_eq!(
        lines(&mut lone, &stranger),
        "SIP/2.0 481 Call/Transaction Does Not Exist"
    );
    let options = request("OPTIONS", "z9hG4bKe", 23, &tag, "");
    assert_eq!(lines(&mut lone, &options), "SIP/2.0 200 OK");
    let refer = request(
        "REFER",
        "z9hG4bKf",
        24,
        &tag,
        "Refer-To: <sip:x@example.com>",
    );
    assert_eq!(lines(&mut lone, &refer), "SIP/2.0 405 Method Not Allowed");
    at_rest(lone, session);
}

fn refer(lone: &mut Lone, session: SessionId) -> String {
    let command = Command::Refer {
        target: Uri::parse("tel:+15550199").unwrap(),
        referred_by: Some(Uri::parse("sip:agent@example.com").unwrap()),
    };
    lone.endpoint
        .handle_command(lone.now, session, command)
        .unwrap();
    lone.sent().remove(0)
}

fn reply_to(request: &str, status: &str) -> String {
    let field = |name| header(request, name);
    format!(
        "SIP/2.0 {status}\nVia: {}\nFrom: {}\nTo: {}\nCall-ID: {}\nCSeq: {}\n\n",
        field("Via"),
        field("From"),
        field("To"),
        field("Call-ID"),
        field("CSeq"),
    )
}

fn notify(number: u32, tag: &str, state: &str, body: &str) -> String {
    let headers = format!(
        "Event: refer\nSubscription-State: {state}\nContent-Type: message/sipfrag\n\n{body}"
    );
    request(
        "NOTIFY",
        &format!("z9hG4bKn{number}"),
        number,
        tag,
        &headers,
    )
}

fn progress(lone: &mut Lone) -> Vec<ReferProgress> {
    lone.events()
        .into_iter()
        .map(|event| match event {
            Event::Refer { progress, .. } => progress,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn transfer_is_followed_to_its_success() {
    let (mut lone, session, tag) = answered();
    let sent = refer(&mut lone, session);
    assert_eq!(header(&sent, "Refer-To"), "<tel:+15550199>");
    assert_eq!(header(&sent, "Referred-By"), "<sip:agent@example.com>");
    lone.feed(&reply_to(&sent, "202 Accepted"));
    assert_eq!(progress(&mut lone), [ReferProgress::Accepted]);
    let answer = lone.feed(&notify(
        2,
        &tag,
        "active;expires=60",
        "SIP/2.0 100 Trying\r\n",
    ));
    assert_eq!(first_lines(&answer), ["SIP/2.0 200 OK"]);
    lone.feed(&notify(
        3,
        &tag,
        "active;expires=50",
        "SIP/2.0 180 Ringing\r\n",
    ));
    assert_eq!(
        progress(&mut lone),
        [
            ReferProgress::Trying(StatusCode::TRYING),
            ReferProgress::Trying(StatusCode::RINGING)
        ]
    );
    lone.feed(&notify(
        4,
        &tag,
        "terminated;reason=noresource",
        "SIP/2.0 200 OK\r\n",
    ));
    assert_eq!(progress(&mut lone), [ReferProgress::Succeeded]);
    // The subscription is over.
    let late = lone.feed(&notify(5, &tag, "active", "SIP/2.0 180 Ringing\r\n"));
    assert_eq!(
        first_lines(&late),
        ["SIP/2.0 481 Call/Transaction Does Not Exist"]
    );
    at_rest(lone, session);
}

#[test]
fn transfer_fails_is_refused_or_stays_unknown() {
    let (mut lone, session, tag) = answered();
    let sent = refer(&mut lone, session);
    lone.feed(&reply_to(&sent, "603 Decline"));
    assert_eq!(
        progress(&mut lone),
        [ReferProgress::Refused(StatusCode::DECLINE)]
    );

    let sent = refer(&mut lone, session);
    lone.feed(&reply_to(&sent, "202 Accepted"));
    lone.feed(&notify(2, &tag, "terminated", "SIP/2.0 486 Busy Here\r\n"));
    assert_eq!(
        progress(&mut lone),
        [
            ReferProgress::Accepted,
            ReferProgress::Failed(StatusCode::BUSY_HERE)
        ]
    );

    let sent = refer(&mut lone, session);
    lone.feed(&reply_to(&sent, "202 Accepted"));
    lone.feed(&notify(3, &tag, "terminated", "SIP/2.0 100 Trying\r\n"));
    assert_eq!(
        progress(&mut lone),
        [ReferProgress::Accepted, ReferProgress::Unknown]
    );

    let sent = refer(&mut lone, session);
    lone.feed(&reply_to(&sent, "202 Accepted"));
    lone.pass(Duration::from_secs(61));
    assert_eq!(
        progress(&mut lone),
        [ReferProgress::Accepted, ReferProgress::Unknown]
    );
    at_rest(lone, session);
}

#[test]
fn session_is_refreshed_by_us_when_the_peer_cannot() {
    let (mut lone, session, _) =
        answered_with("Session-Expires: 90;refresher=uas\nAllow: INVITE, UPDATE\n");
    let sent = lone.pass(Duration::from_secs(46));
    assert_eq!(
        first_lines(&sent),
        [
            "UPDATE sip:bob@192.0.2.2:5070 SIP/2.0",
            "UPDATE sip:bob@192.0.2.2:5070 SIP/2.0"
        ]
    );
    assert_eq!(header(&sent[0], "Session-Expires"), "90;refresher=uac");
    lone.feed(&reply_to(
        &sent[0],
        "200 OK\nSession-Expires: 90;refresher=uac",
    ));
    // The clock starts again: the next refresh is due 45 s after that answer.
    assert!(lone.pass(Duration::from_secs(44)).is_empty());
    assert!(!lone.pass(Duration::from_secs(2)).is_empty());
    at_rest(lone, session);
}

#[test]
fn refresh_by_reinvite_changes_nothing_and_is_not_reported() {
    let (mut lone, session, _) = answered_with("Session-Expires: 90;refresher=uas\n");
    let sent = lone.pass(Duration::from_millis(45_100));
    assert_eq!(
        first_lines(&sent),
        ["INVITE sip:bob@192.0.2.2:5070 SIP/2.0"]
    );
    assert!(sent[0].contains("o=- 7 1 IN IP4 192.0.2.1"));
    lone.feed(&reply_to(
        &sent[0],
        "200 OK\nContact: <sip:bob@192.0.2.2:5070>\nSession-Expires: 90;refresher=uac",
    ));
    assert!(lone.events().is_empty());
    at_rest(lone, session);
}

#[test]
fn session_the_peer_does_not_refresh_expires() {
    let (mut lone, session, tag) =
        answered_with("Session-Expires: 90;refresher=uac\nSupported: timer\n");
    lone.pass(Duration::from_secs(50));
    let sent = lone.feed(&request(
        "UPDATE",
        "z9hG4bKu1",
        2,
        &tag,
        "Session-Expires: 90;refresher=uac\nSupported: timer",
    ));
    assert_eq!(header(&sent[0], "Session-Expires"), "90;refresher=uac");
    assert_eq!(header(&sent[0], "Require"), "timer");
    assert!(lone.pass(Duration::from_secs(59)).is_empty());
    let sent = lone.pass(Duration::from_secs(2));
    assert!(sent[0].starts_with("BYE"), "{sent:?}");
    lone.feed(&reply_to(&sent[0], "200 OK"));
    assert!(matches!(
        lone.events().as_slice(),
        [Event::Ended { end, .. }] if **end == SessionEnd::Expired
    ));
    at_rest(lone, session);
}

#[test]
fn reinvite_of_ours_that_finds_no_dialog_ends_the_call() {
    let (mut lone, session, _) = answered();
    let sdp = offer_of(ALICE);
    lone.endpoint
        .handle_command(lone.now, session, Command::Reinvite { sdp })
        .unwrap();
    let invite = lone.sent().remove(0);
    let sent = lone.feed(&reply_to(&invite, "481 Call/Transaction Does Not Exist"));
    assert!(
        sent[0].starts_with("ACK") && sent[1].starts_with("BYE"),
        "{sent:?}"
    );
    lone.feed(&reply_to(&sent[1], "481 Call/Transaction Does Not Exist"));
    assert!(matches!(
        lone.events().as_slice(),
        [Event::Ended { end, .. }] if matches!(**end, SessionEnd::Refused { .. })
    ));
    at_rest(lone, session);
}

#[test]
fn reinvite_of_ours_that_stays_at_100_ends_the_call() {
    let (mut lone, session, _) = answered();
    let sdp = offer_of(ALICE);
    lone.endpoint
        .handle_command(lone.now, session, Command::Reinvite { sdp })
        .unwrap();
    let invite = lone.sent().remove(0);
    lone.feed(&reply_to(&invite, "100 Trying"));
    assert!(lone.pass(Duration::from_secs(31)).is_empty());
    let sent = lone.pass(Duration::from_secs(2));
    assert!(sent[0].starts_with("BYE"), "{sent:?}");
    lone.pass(Duration::from_secs(70));
    assert!(matches!(
        lone.events().as_slice(),
        [Event::Ended { end, .. }] if **end == SessionEnd::Timeout
    ));
    at_rest(lone, session);
}
