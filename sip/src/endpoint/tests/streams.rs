//! The same over streams: nothing is repeated, answers go back on the connection.

use std::net::SocketAddr;
use std::time::Duration;

use super::lone::{Lone, SDP, first_lines, header, request};
use super::{ALICE, BOB, answer_of, invite_to, offer_of};
use crate::event::Command;
use crate::transport::{Hop, Transport};

const EPHEMERAL: Hop = Hop::new(
    Transport::Tcp,
    SocketAddr::new(
        std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)),
        41_000,
    ),
);

fn feed(lone: &mut Lone, text: &str) -> Vec<(Hop, String)> {
    let text = text
        .replace("SIP/2.0/UDP", "SIP/2.0/TCP")
        .replace("\r\n", "\n")
        .replace('\n', "\r\n");
    lone.endpoint
        .handle_datagram(lone.now, EPHEMERAL, text.as_bytes());
    std::iter::from_fn(|| lone.endpoint.poll_transmit())
        .map(|transmit| {
            let text = String::from_utf8_lossy(&transmit.payload).into_owned();
            (transmit.destination, text)
        })
        .collect()
}

#[test]
fn a_call_over_tcp_stays_on_its_connection() {
    let mut lone = Lone::new();
    lone.endpoint.advertise(Transport::Tcp, ALICE);
    let sent = feed(&mut lone, &request("INVITE", "z9hG4bKi", 1, "", SDP));
    assert_eq!(sent[0].0, EPHEMERAL);
    let session = lone.events()[0].session().unwrap();
    let sdp = answer_of(ALICE, &offer_of(BOB));
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
    let answer = lone.sent();
    assert!(
        header(&answer[0], "Contact").contains("transport=tcp"),
        "{}",
        answer[0]
    );
    // The 2xx is repeated end to end even on a stream (RFC 3261 §13.3.1.4).
    assert_eq!(lone.pass(Duration::from_secs(1)).len(), 1);
    let tag = header(&answer[0], "To")
        .split_once("tag=")
        .unwrap()
        .1
        .to_owned();
    assert!(feed(&mut lone, &request("ACK", "z9hG4bKa", 1, &tag, "")).is_empty());
    lone.endpoint
        .handle_command(lone.now, session, Command::End { reason: None })
        .unwrap();
    let bye = lone.endpoint.poll_transmit().unwrap();
    assert_eq!(
        bye.destination, EPHEMERAL,
        "not the Contact's port: the phone is behind NAT"
    );
    let text = String::from_utf8_lossy(&bye.payload);
    assert!(header(&text, "Via").starts_with("SIP/2.0/TCP"), "{text}");
    assert!(
        lone.pass(Duration::from_secs(10)).is_empty(),
        "a stream repeats by itself"
    );
}

#[test]
fn a_large_request_moves_to_tcp_and_back() {
    let mut lone = Lone::new();
    lone.endpoint.advertise(Transport::Tcp, ALICE);
    let mut invite = invite_to(BOB, Some(offer_of(ALICE)));
    invite.headers = vec![crate::message::Header::new(
        crate::message::HeaderName::Subject,
        "x".repeat(1_300),
    )];
    lone.endpoint.invite(lone.now, invite).unwrap();
    let first = lone.endpoint.poll_transmit().unwrap();
    let tcp = Hop::new(Transport::Tcp, BOB);
    assert_eq!(first.destination, tcp);
    lone.endpoint.handle_transport_error(lone.now, tcp);
    let second = lone.endpoint.poll_transmit().unwrap();
    assert_eq!(second.destination, Hop::udp(BOB));
    let text = String::from_utf8_lossy(&second.payload);
    assert!(header(&text, "Via").starts_with("SIP/2.0/UDP"));
    assert!(!header(&text, "Contact").contains("tcp"));
}

#[test]
fn a_small_request_stays_on_udp() {
    let mut lone = Lone::new();
    lone.endpoint.advertise(Transport::Tcp, ALICE);
    lone.endpoint
        .invite(lone.now, invite_to(BOB, Some(offer_of(ALICE))))
        .unwrap();
    let sent = lone.endpoint.poll_transmit().unwrap();
    assert_eq!(sent.destination, Hop::udp(BOB));
}

#[test]
fn refusals_over_tcp_linger_for_nobody() {
    let mut lone = Lone::new();
    let bye = request("BYE", "z9hG4bKb", 1, "tag", "");
    let sent = feed(&mut lone, &bye);
    assert_eq!(
        first_lines(&[sent[0].1.clone()]),
        ["SIP/2.0 481 Call/Transaction Does Not Exist"]
    );
    lone.pass(Duration::ZERO);
    assert!(lone.endpoint.is_idle());
}
