//! Who is heard and who is not.

use std::time::Duration;

use super::lone::{Lone, first_lines, request};
use super::{ALICE, BOB, config};
use crate::endpoint::Endpoint;
use crate::guard::{DropReason, GuardConfig, Rate, Strangers};

fn guarded(guard: GuardConfig) -> Lone {
    let mut lone = Lone::new();
    let config = crate::endpoint::EndpointConfig { guard, ..config() };
    lone.endpoint = Endpoint::new(config, ALICE, [3; 32]);
    lone
}

fn options(number: u32) -> String {
    request("OPTIONS", &format!("z9hG4bKo{number}"), number, "", "")
        .replace("lone@", &format!("o{number}@"))
}

#[test]
fn strangers_get_silence_and_trunks_get_answers() {
    let mut lone = guarded(GuardConfig {
        strangers: Strangers::Silence,
        trusted: vec!["198.51.100.0/24".parse().unwrap()],
        ..GuardConfig::default()
    });
    assert!(lone.feed(&options(1)).is_empty());
    assert!(lone.feed("nothing like SIP").is_empty());
    assert!(
        lone.feed("INVITE sip:a SIP/9.0\nVia: SIP/2.0/UDP 192.0.2.2\n\n")
            .is_empty()
    );
    let counters = lone.endpoint.counters();
    assert_eq!(counters.guard.dropped(DropReason::Stranger), 3);
    assert_eq!(counters.malformed, 0, "strangers never reach the parser");
    lone.endpoint.configure_guard(GuardConfig {
        strangers: Strangers::Silence,
        trusted: vec!["192.0.2.0/24".parse().unwrap()],
        ..GuardConfig::default()
    });
    assert_eq!(first_lines(&lone.feed(&options(2))), ["SIP/2.0 200 OK"]);
}

#[test]
fn denied_addresses_get_nothing_even_when_trusted() {
    let block = "192.0.2.2".parse().unwrap();
    let mut lone = guarded(GuardConfig {
        trusted: vec![block],
        denied: vec![block],
        ..GuardConfig::default()
    });
    assert!(lone.feed(&options(1)).is_empty());
    assert_eq!(
        lone.endpoint.counters().guard.dropped(DropReason::Denied),
        1
    );
}

#[test]
fn scanners_are_banned_for_a_while() {
    let mut lone = guarded(GuardConfig::default());
    let scan = request("OPTIONS", "z9hG4bKs", 1, "", "User-Agent: Friendly-Scanner");
    assert!(lone.feed(&scan).is_empty());
    assert!(lone.feed(&options(1)).is_empty(), "the source is banned");
    let counters = lone.endpoint.counters().guard;
    assert_eq!(counters.dropped(DropReason::Scanner), 1);
    assert_eq!(counters.dropped(DropReason::Banned), 1);
    assert_eq!(counters.bans, 1);
    lone.pass(Duration::from_secs(601));
    assert_eq!(lone.feed(&options(2)).len(), 1);
}

#[test]
fn a_trunk_is_never_banned() {
    let mut lone = guarded(GuardConfig {
        trusted: vec!["192.0.2.2".parse().unwrap()],
        ..GuardConfig::default()
    });
    let scan = request("OPTIONS", "z9hG4bKs", 1, "", "User-Agent: sipvicious");
    assert_eq!(lone.feed(&scan).len(), 1);
    assert_eq!(lone.feed(&options(1)).len(), 1);
}

#[test]
fn new_requests_are_limited_and_running_calls_are_not() {
    let mut lone = guarded(GuardConfig {
        others: Rate::new(1.0, 3.0),
        ..GuardConfig::default()
    });
    let answered: usize = (0..10)
        .map(|number| lone.feed(&options(number)).len())
        .sum();
    assert_eq!(answered, 3);
    let guard = lone.endpoint.counters().guard;
    assert_eq!(guard.dropped(DropReason::Rate), 7);
    // Within a dialog, even an unknown one, an answer always comes.
    for number in 20..30 {
        let bye = request("BYE", &format!("z9hG4bKb{number}"), number, "tag", "");
        assert_eq!(first_lines(&lone.feed(&bye)).len(), 1);
    }
    lone.pass(Duration::from_secs(2));
    let answered: usize = (40..50)
        .map(|number| lone.feed(&options(number)).len())
        .sum();
    assert_eq!(answered, 2, "the bucket fills by one a second");
}

#[test]
fn who_keeps_exceeding_its_rate_is_banned() {
    let mut lone = guarded(GuardConfig {
        others: Rate::new(1.0, 1.0),
        excesses_max: 5,
        ..GuardConfig::default()
    });
    for number in 0..20 {
        lone.feed(&options(number));
    }
    let guard = lone.endpoint.counters().guard;
    assert_eq!(guard.bans, 1);
    assert_eq!(guard.dropped(DropReason::Rate), 6);
    assert_eq!(guard.dropped(DropReason::Banned), 13);
}

#[test]
fn the_memory_of_sources_is_bounded() {
    let mut lone = guarded(GuardConfig {
        sources_max: 100,
        ..GuardConfig::default()
    });
    for number in 0..1_000_u32 {
        let source = std::net::SocketAddr::from((
            std::net::Ipv4Addr::from_bits(0x0a00_0000 + number),
            BOB.port(),
        ));
        let text = options(number).replace('\n', "\r\n");
        lone.endpoint
            .handle_datagram(lone.now, source, text.as_bytes());
        lone.sent();
    }
    assert_eq!(lone.endpoint.counters().guard.sources, 100);
}
