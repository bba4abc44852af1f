//! Challenges in both directions, end to end.

use super::lone::{Lone, first_lines, header, request};
use super::pair::{Pair, Side};
use super::{ALICE, BOB, answer_of, invite_to, offer_of};
use crate::auth::{AuthenticatorConfig, Credentials, User, UserSecret, Users};
use crate::event::{Command, Event, SessionEnd};
use crate::message::StatusCode;
use crate::registrar::RegistrarConfig;

fn users() -> Users {
    let mut users = Users::new();
    let secret = UserSecret::Password("wonderland".to_owned());
    users.insert(
        "alice",
        User {
            secret,
            may_register: true,
        },
    );
    users
}

/// Bob challenges the first INVITE; the session of the second and its user.
fn challenged_call(pair: &mut Pair, password: &str) {
    pair.with_bob(|bob, now| {
        bob.configure_users(now, AuthenticatorConfig::new("bob.example"), users())
    });
    let mut invite = invite_to(BOB, Some(offer_of(ALICE)));
    invite.credentials = Some(Credentials::new("alice", password));
    pair.invite_by(invite);
    let (bob, _) = pair.incoming();
    pair.bob_events.clear();
    pair.bob(bob, Command::Challenge).unwrap();
}

#[test]
fn a_challenged_call_comes_again_with_credentials_and_its_ack_carries_them() {
    let mut pair = Pair::new();
    challenged_call(&mut pair, "wonderland");
    let (bob, user) = {
        let mut found = None;
        pair.run_until(|pair| {
            found = pair.bob_events.iter().find_map(|event| match event {
                Event::Incoming { session, invite } => Some((*session, invite.user.clone())),
                _ => None,
            });
            found.is_some()
        });
        found.unwrap()
    };
    assert_eq!(user.as_deref(), Some("alice"));
    let sdp = answer_of(BOB, &offer_of(ALICE));
    pair.bob(
        bob,
        Command::Answer {
            sdp,
            headers: Vec::new(),
        },
    )
    .unwrap();
    pair.run_until(|pair| {
        pair.bob_events
            .iter()
            .any(|e| matches!(e, Event::Confirmed { .. }))
    });
    let invites = pair.sent_by(Side::Alice, "INVITE");
    assert_eq!(invites.len(), 2);
    let first: Vec<_> = ["Call-ID", "From"]
        .map(|name| header(&invites[0].text, name))
        .into();
    let second: Vec<_> = ["Call-ID", "From"]
        .map(|name| header(&invites[1].text, name))
        .into();
    assert_eq!(first, second);
    assert_eq!(header(&invites[1].text, "CSeq"), "2 INVITE");
    assert!(header(&invites[1].text, "Authorization").contains("SHA-512-256"));
    let acks = pair.sent_by(Side::Alice, "ACK");
    assert!(header(&acks.last().unwrap().text, "Authorization").contains("nc=00000001"));
    // A BYE carries the next count without being asked.
    let alice = pair.alice_session();
    pair.alice(alice, Command::End { reason: None }).unwrap();
    let bye = pair.sent_by(Side::Alice, "BYE");
    assert!(header(&bye[0].text, "Authorization").contains("nc=00000002"));
    pair.run_to_rest();
}

#[test]
fn a_wrong_password_ends_the_call_after_two_tries() {
    let mut pair = Pair::new();
    challenged_call(&mut pair, "wrong");
    pair.run_until(|pair| !Pair::end_of(&pair.alice_events).is_empty());
    let SessionEnd::Refused { status, .. } = &Pair::end_of(&pair.alice_events)[0] else {
        panic!("{:?}", pair.alice_events);
    };
    assert_eq!(*status, StatusCode::UNAUTHORIZED);
    assert_eq!(pair.sent_by(Side::Alice, "INVITE").len(), 3);
    pair.run_to_rest();
}

#[test]
fn without_credentials_a_challenge_is_a_refusal() {
    let mut pair = Pair::new();
    pair.with_bob(|bob, now| {
        bob.configure_users(now, AuthenticatorConfig::new("bob.example"), users())
    });
    pair.invite();
    let (bob, _) = pair.incoming();
    pair.bob(bob, Command::Challenge).unwrap();
    pair.run_until(|pair| !Pair::end_of(&pair.alice_events).is_empty());
    pair.run_to_rest();
}

#[test]
fn register_is_refused_when_the_registrar_is_off() {
    let mut lone = Lone::new();
    let sent = lone.feed(&request("REGISTER", "z9hG4bKr", 1, "", ""));
    assert_eq!(first_lines(&sent), ["SIP/2.0 405 Method Not Allowed"]);
}

#[test]
fn register_without_credentials_is_challenged_by_every_algorithm() {
    let mut lone = Lone::new();
    lone.endpoint
        .configure_users(lone.now, AuthenticatorConfig::new("pbx"), users());
    lone.endpoint.enable_registrar(RegistrarConfig::default());
    let sent = lone.feed(&request("REGISTER", "z9hG4bKr", 1, "", ""));
    assert_eq!(first_lines(&sent), ["SIP/2.0 401 Unauthorized"]);
    let offered: Vec<_> = sent[0]
        .lines()
        .filter(|line| line.starts_with("WWW-Authenticate: Digest realm=\"pbx\""))
        .collect();
    assert_eq!(offered.len(), 3);
    assert!(offered[0].contains("SHA-512-256") && offered[2].contains("MD5"));
}
