//! Every retransmission timer of RFC 3261 §17 and §13.3.1.4, at its exact times.

use std::time::Duration;

use super::pair::{Pair, Side};
use super::{BOB, answer_of};
use crate::event::{Command, SessionEnd};
use crate::message::StatusCode;

fn seconds(pair: &Pair, from: Side, start: &str) -> Vec<f64> {
    pair.sent_by(from, start)
        .iter()
        .map(|sent| sent.at.as_secs_f64())
        .collect()
}

#[test]
fn unanswered_invite_is_repeated_doubling_and_given_up_after_32_s() {
    let mut pair = Pair::new();
    pair.lose = Box::new(|_, _| true);
    pair.invite();
    pair.run_to_rest();
    assert_eq!(
        seconds(&pair, Side::Alice, "INVITE"),
        [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    );
    assert_eq!(Pair::end_of(&pair.alice_events), [SessionEnd::Timeout]);
    assert_eq!(pair.elapsed(), Duration::from_secs(32));
}

#[test]
fn unanswered_bye_is_repeated_up_to_t2_and_given_up_after_32_s() {
    let mut pair = Pair::new();
    let (alice, _) = pair.establish();
    pair.lose = Box::new(|from, _| from == Side::Alice);
    let start = pair.elapsed().as_secs_f64();
    pair.alice(alice, Command::End { reason: None }).unwrap();
    pair.run_until(|pair| !Pair::end_of(&pair.alice_events).is_empty());
    let times: Vec<f64> = seconds(&pair, Side::Alice, "BYE")
        .iter()
        .map(|at| ((at - start) * 1_000.0).round() / 1_000.0)
        .collect();
    assert_eq!(
        times,
        [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    );
    assert_eq!(Pair::end_of(&pair.alice_events), [SessionEnd::LocalBye]);
}

#[test]
fn unacknowledged_200_is_repeated_and_ends_in_bye_after_32_s() {
    let mut pair = Pair::new();
    pair.invite();
    let (bob, offer) = pair.incoming();
    pair.lose = Box::new(|_, text| text.starts_with("ACK"));
    let start = pair.elapsed().as_secs_f64();
    let sdp = answer_of(BOB, &offer.unwrap());
    pair.bob(
        bob,
        Command::Answer {
            sdp,
            headers: Vec::new(),
        },
    )
    .unwrap();
    pair.run_to_rest();
    let times: Vec<f64> = seconds(&pair, Side::Bob, "SIP/2.0 200")
        .iter()
        .map(|at| ((at - start) * 1_000.0).round() / 1_000.0)
        .collect();
    assert_eq!(
        times,
        [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    );
    // Each copy is acknowledged again, although every ACK is lost.
    assert_eq!(pair.sent_by(Side::Alice, "ACK").len(), times.len());
    assert_eq!(pair.sent_by(Side::Bob, "BYE").len(), 1);
    assert_eq!(Pair::end_of(&pair.bob_events), [SessionEnd::AckTimeout]);
    assert_eq!(
        Pair::end_of(&pair.alice_events),
        [SessionEnd::RemoteBye { reason: None }]
    );
}

#[test]
fn lost_ack_is_made_good_by_the_next_copy_of_the_200() {
    let mut pair = Pair::new();
    pair.invite();
    let (bob, offer) = pair.incoming();
    let mut first = true;
    pair.lose = Box::new(move |_, text| text.starts_with("ACK") && std::mem::take(&mut first));
    let sdp = answer_of(BOB, &offer.unwrap());
    pair.bob(
        bob,
        Command::Answer {
            sdp,
            headers: Vec::new(),
        },
    )
    .unwrap();
    pair.run_until(|pair| pair.bob_events.len() == 2);
    assert_eq!(pair.sent_by(Side::Bob, "SIP/2.0 200").len(), 2);
    let acks = pair.sent_by(Side::Alice, "ACK");
    assert_eq!(acks[0].text, acks[1].text);
    pair.bob(bob, Command::End { reason: None }).unwrap();
    pair.run_to_rest();
}

#[test]
fn refusal_is_repeated_until_its_ack() {
    let mut pair = Pair::new();
    pair.invite();
    let (bob, _) = pair.incoming();
    let mut acks = 0;
    pair.lose = Box::new(move |_, text| {
        acks += u32::from(text.starts_with("ACK"));
        text.starts_with("ACK") && acks <= 3
    });
    let start = pair.elapsed().as_secs_f64();
    let reject = Command::Reject {
        status: StatusCode::BUSY_HERE,
        reason: None,
        headers: Vec::new(),
    };
    pair.bob(bob, reject).unwrap();
    pair.run_to_rest();
    let times: Vec<f64> = seconds(&pair, Side::Bob, "SIP/2.0 486")
        .iter()
        .map(|at| ((at - start) * 1_000.0).round() / 1_000.0)
        .collect();
    assert_eq!(times, [0.0, 0.5, 1.5, 3.5]);
    assert_eq!(pair.sent_by(Side::Alice, "ACK").len(), 4);
}

#[test]
fn refusal_without_any_ack_is_forgotten_after_32_s() {
    let mut pair = Pair::new();
    pair.invite();
    let (bob, _) = pair.incoming();
    pair.lose = Box::new(|from, _| from == Side::Alice);
    pair.bob(bob, Command::End { reason: None }).unwrap();
    pair.run_to_rest();
    assert_eq!(pair.sent_by(Side::Bob, "SIP/2.0 480").len(), 11);
}

#[test]
fn repeated_invite_gets_the_last_provisional_and_no_second_call() {
    let mut pair = Pair::new();
    // Bob's answers are lost for a while, so Alice repeats her INVITE.
    pair.lose = Box::new(|from, _| from == Side::Bob);
    pair.invite();
    let (bob, _) = pair.incoming();
    pair.ring(bob);
    pair.run_for(Duration::from_secs(4));
    pair.lose = Box::new(|_, _| false);
    pair.run_until(|pair| !pair.alice_events.is_empty());
    assert_eq!(pair.bob_events.len(), 1);
    // The first INVITE was answered by 100 and then 180, each repeat by 180.
    let invites = pair.sent_by(Side::Alice, "INVITE").len();
    assert_eq!(pair.sent_by(Side::Bob, "SIP/2.0 180").len(), invites);
    pair.bob(bob, Command::End { reason: None }).unwrap();
    pair.run_to_rest();
}

#[test]
fn timers_follow_the_configuration() {
    let mut config = super::config();
    config.timers.t1 = Duration::from_millis(50);
    config.timers.t2 = Duration::from_millis(100);
    let mut pair = Pair::with(config, super::pair::CALM, 1);
    pair.lose = Box::new(|_, _| true);
    pair.invite();
    pair.run_to_rest();
    assert_eq!(pair.elapsed(), Duration::from_millis(3_200));
}
