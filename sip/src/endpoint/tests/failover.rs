//! Calls that go on to another next hop, another target or a longer interval.

use super::lone::header;
use super::pair::{Pair, Side};
use super::{ALICE, BOB, invite_to, offer_of};
use crate::event::{Command, Event, SessionEnd};
use crate::message::{Header, HeaderName, StatusCode};
use crate::transport::Hop;

#[test]
fn a_silent_next_hop_is_left_for_the_second() {
    let mut pair = Pair::new();
    let nowhere = pair.nowhere();
    let mut invite = invite_to(nowhere, Some(offer_of(ALICE)));
    invite.alternatives = vec![BOB.into()];
    pair.invite_by(invite);
    let (_, offer) = pair.incoming();
    assert!(offer.is_some());
    let invites = pair.sent_by(Side::Alice, "INVITE");
    let branches: std::collections::HashSet<_> = invites
        .iter()
        .map(|sent| header(&sent.text, "Via"))
        .collect();
    assert_eq!(branches.len(), 2, "a branch of its own for each hop");
}

#[test]
fn a_transport_error_moves_on_at_once_and_503_too() {
    let mut pair = Pair::new();
    let nowhere = pair.nowhere();
    let mut invite = invite_to(nowhere, Some(offer_of(ALICE)));
    invite.alternatives = vec![BOB.into()];
    pair.invite_by(invite);
    pair.with_alice(|alice, now| alice.handle_transport_error(now, Hop::udp(nowhere)));
    let (bob, _) = pair.incoming();
    assert!(pair.elapsed().as_millis() < 100);
    let status = StatusCode::SERVICE_UNAVAILABLE;
    pair.bob(
        bob,
        Command::Reject {
            status,
            reason: None,
            headers: Vec::new(),
        },
    )
    .unwrap();
    pair.run_until(|pair| !Pair::end_of(&pair.alice_events).is_empty());
    assert!(matches!(
        &Pair::end_of(&pair.alice_events)[0],
        SessionEnd::Refused { status, .. } if *status == StatusCode::SERVICE_UNAVAILABLE
    ));
    pair.run_to_rest();
}

#[test]
fn busy_is_an_answer_and_not_a_failure() {
    let mut pair = Pair::new();
    let nowhere = pair.nowhere();
    let mut invite = invite_to(BOB, Some(offer_of(ALICE)));
    invite.alternatives = vec![nowhere.into()];
    pair.invite_by(invite);
    let (bob, _) = pair.incoming();
    let status = StatusCode::BUSY_HERE;
    pair.bob(
        bob,
        Command::Reject {
            status,
            reason: None,
            headers: Vec::new(),
        },
    )
    .unwrap();
    pair.run_until(|pair| !Pair::end_of(&pair.alice_events).is_empty());
    assert_eq!(pair.sent_by(Side::Alice, "INVITE").len(), 1);
}

fn redirected(contact: &str, redirects_max: u8) -> Pair {
    let mut pair = Pair::new();
    let mut invite = invite_to(BOB, Some(offer_of(ALICE)));
    invite.redirects_max = redirects_max;
    pair.invite_by(invite);
    let (bob, _) = pair.incoming();
    pair.bob_events.clear();
    let headers = vec![Header::new(HeaderName::Contact, contact)];
    let status = StatusCode::MOVED_TEMPORARILY;
    pair.bob(
        bob,
        Command::Reject {
            status,
            reason: None,
            headers,
        },
    )
    .unwrap();
    pair
}

#[test]
fn redirections_are_followed_by_weight_to_allowed_addresses_only() {
    let mut pair = redirected(
        "<sip:evil@203.0.113.9>;q=1.0, <sip:+15550100@192.0.2.2:5070>;q=0.9, \
         <sip:second@192.0.2.2:5070>;q=0.5",
        5,
    );
    pair.run_until(|pair| {
        pair.bob_events
            .iter()
            .any(|event| matches!(event, Event::Incoming { .. }))
    });
    let invites = pair.sent_by(Side::Alice, "INVITE");
    // The first allowed one is where the call came from: a loop.
    assert!(
        invites[1].first_line().contains("sip:second@"),
        "{:?}",
        pair.lines()
    );
}

#[test]
fn redirections_are_not_followed_unless_asked() {
    let mut pair = redirected("<sip:second@192.0.2.2:5070>", 0);
    pair.run_until(|pair| !Pair::end_of(&pair.alice_events).is_empty());
    assert_eq!(pair.sent_by(Side::Alice, "INVITE").len(), 1);
    pair.run_to_rest();
}

#[test]
fn a_422_is_met_once_with_the_longer_interval() {
    let mut pair = Pair::new();
    pair.with_alice(|alice, _| alice.config.session_expires_s = Some(90));
    pair.invite_by(invite_to(BOB, Some(offer_of(ALICE))));
    let (bob, _) = pair.incoming();
    let status = StatusCode::SESSION_INTERVAL_TOO_SMALL;
    let headers = vec![Header::new(HeaderName::MinSe, "1200")];
    pair.bob_events.clear();
    pair.bob(
        bob,
        Command::Reject {
            status,
            reason: None,
            headers: headers.clone(),
        },
    )
    .unwrap();
    let (bob, _) = pair.incoming();
    let invites = pair.sent_by(Side::Alice, "INVITE");
    assert_eq!(header(&invites[0].text, "Session-Expires"), "90");
    assert_eq!(header(&invites[1].text, "Session-Expires"), "1200");
    assert_eq!(header(&invites[1].text, "Min-SE"), "1200");
    pair.bob(
        bob,
        Command::Reject {
            status,
            reason: None,
            headers,
        },
    )
    .unwrap();
    pair.run_until(|pair| !Pair::end_of(&pair.alice_events).is_empty());
    assert_eq!(pair.sent_by(Side::Alice, "INVITE").len(), 2);
}
