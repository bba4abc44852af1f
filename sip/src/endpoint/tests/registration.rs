//! REGISTER of ours against our own registrar, and against failure.

use std::time::Duration;

use super::pair::{Pair, Side};
use super::{ALICE, BOB};
use crate::auth::{AuthenticatorConfig, Credentials, User, UserSecret, Users};
use crate::event::{Event, RegisterRequest, RegistrationId, RegistrationState};
use crate::message::{NameAddr, StatusCode, Uri};
use crate::registrar::RegistrarConfig;
use crate::transport::Hop;

fn request(destinations: Vec<Hop>) -> RegisterRequest {
    RegisterRequest {
        address: NameAddr::new(Uri::parse("sip:desk@bob.example").unwrap()),
        registrar: Uri::parse("sip:bob.example").unwrap(),
        destinations,
        credentials: Some(Credentials::new("desk", "secret")),
        expires_s: 600,
        contact_user: "desk".to_owned(),
    }
}

fn registrar(pair: &mut Pair) {
    pair.with_bob(|bob, now| {
        let mut users = Users::new();
        let secret = UserSecret::Password("secret".to_owned());
        users.insert(
            "desk",
            User {
                secret,
                may_register: true,
            },
        );
        bob.configure_users(now, AuthenticatorConfig::new("bob.example"), users);
        bob.enable_registrar(RegistrarConfig::default());
    });
}

fn states(pair: &Pair) -> Vec<RegistrationState> {
    pair.alice_events
        .iter()
        .filter_map(|event| match event {
            Event::Registration { state, .. } => Some(state.clone()),
            _ => None,
        })
        .collect()
}

fn start(pair: &mut Pair, destinations: Vec<Hop>) -> RegistrationId {
    let mut id = None;
    pair.with_alice(|alice, now| id = Some(alice.register(now, request(destinations)).unwrap()));
    id.unwrap()
}

#[test]
fn an_address_is_registered_refreshed_and_withdrawn() {
    let mut pair = Pair::new();
    registrar(&mut pair);
    let id = start(&mut pair, vec![BOB.into()]);
    pair.run_until(|pair| !states(pair).is_empty());
    assert_eq!(
        states(&pair),
        [RegistrationState::Registered {
            expires_s: 600,
            registrar: BOB.into()
        }]
    );
    let mut bindings = Vec::new();
    pair.with_bob(|bob, now| bindings = bob.bindings(now, "desk"));
    assert_eq!(bindings.len(), 1);
    assert_eq!(bindings[0].hop, ALICE.into());
    assert_eq!(bindings[0].contact.to_string(), "sip:desk@192.0.2.1:5060");
    assert_eq!(
        pair.sent_by(Side::Alice, "REGISTER").len(),
        2,
        "one challenge"
    );
    // Refreshed between half and 85 % of the time, with credentials at once.
    pair.run_for(Duration::from_secs(520));
    let registers = pair.sent_by(Side::Alice, "REGISTER");
    // The nonce is five minutes old by then, so the refresh may be challenged as stale.
    assert!(matches!(registers.len(), 3 | 4), "{:?}", pair.lines());
    let refresh = registers[2].at;
    assert!((300..=511).contains(&refresh.as_secs()), "{refresh:?}");
    let keep_alives = pair.sent_by(Side::Alice, "\r\n\r\n").len();
    assert!((17..=35).contains(&keep_alives), "{keep_alives}");
    pair.with_alice(|alice, now| alice.unregister(now, id));
    pair.run_until(|pair| states(pair).last() == Some(&RegistrationState::Unregistered));
    pair.with_bob(|bob, now| bindings = bob.bindings(now, "desk"));
    assert!(bindings.is_empty());
    pair.run_to_rest();
}

#[test]
fn the_backup_registrar_takes_over() {
    let mut pair = Pair::new();
    registrar(&mut pair);
    let dead = Hop::udp(pair.nowhere());
    start(&mut pair, vec![dead, BOB.into()]);
    pair.run_until(|pair| !states(pair).is_empty());
    assert!(matches!(
        states(&pair)[0],
        RegistrationState::Registered { registrar, .. } if registrar == BOB.into()
    ));
}

#[test]
fn failures_back_off_and_the_granted_time_counts() {
    let mut pair = Pair::new();
    start(&mut pair, vec![BOB.into()]);
    pair.run_for(Duration::from_secs(4_000));
    let waits: Vec<u64> = states(&pair)
        .iter()
        .map(|state| match state {
            RegistrationState::Failed {
                status: Some(StatusCode::METHOD_NOT_ALLOWED),
                retry_in,
            } => retry_in.as_secs(),
            other => panic!("{other:?}"),
        })
        .collect();
    for (round, wait) in waits.iter().enumerate() {
        let full = (30 << round).min(1_800);
        assert!((full / 2..=full).contains(wait), "{round}: {wait}");
    }
    assert!(waits.len() >= 5, "{waits:?}");
}

#[test]
fn a_wrong_password_is_not_repeated_at_once() {
    let mut pair = Pair::new();
    registrar(&mut pair);
    let mut wrong = request(vec![BOB.into()]);
    wrong.credentials = Some(Credentials::new("desk", "guess"));
    pair.with_alice(|alice, now| {
        alice.register(now, wrong).unwrap();
    });
    pair.run_until(|pair| !states(pair).is_empty());
    assert!(matches!(states(&pair)[0], RegistrationState::Failed { .. }));
    assert_eq!(pair.sent_by(Side::Alice, "REGISTER").len(), 3);
}
