//! Requests without a dialog, limits and rubbish.

use std::time::Duration;

use super::lone::{Lone, SDP, first_lines, header, request};
use super::pair::{Pair, Side};
use super::{ALICE, BOB, config, invite_to, offer_of};
use crate::endpoint::Endpoint;
use crate::event::{CommandError, Event};

fn answer(text: &str) -> String {
    let mut lone = Lone::new();
    let mut sent = lone.feed(text);
    assert_eq!(sent.len(), 1, "{sent:?}");
    lone.pass(Duration::from_secs(70));
    assert!(lone.endpoint.is_idle());
    sent.remove(0)
}

#[test]
fn options_tell_what_we_can() {
    let sent = answer(&request("OPTIONS", "z9hG4bK1", 1, "", ""));
    assert!(sent.starts_with("SIP/2.0 200 OK"));
    assert!(header(&sent, "Allow").contains("UPDATE"));
    assert_eq!(header(&sent, "Accept"), "application/sdp");
    assert!(header(&sent, "To").contains(";tag="));
    assert!(header(&sent, "Via").contains("rport=5070;branch"));
}

#[test]
fn what_we_cannot_do_is_refused_by_the_right_status() {
    for (text, status) in [
        (request("REGISTER", "z9hG4bK1", 1, "", ""), "405"),
        (request("REFER", "z9hG4bK1", 1, "", ""), "405"),
        (request("NEWMETHOD", "z9hG4bK1", 1, "", ""), "501"),
        (request("BYE", "z9hG4bK1", 1, "", ""), "481"),
        (request("INFO", "z9hG4bK1", 1, "none", ""), "481"),
        (request("INVITE", "z9hG4bK1", 1, "", "Require: gruu"), "420"),
        (
            request(
                "INVITE",
                "z9hG4bK1",
                1,
                "",
                "Content-Type: text/plain\n\nhello",
            ),
            "415",
        ),
        (
            request(
                "INVITE",
                "z9hG4bK1",
                1,
                "",
                "Content-Type: application/sdp\n\nhello",
            ),
            "400",
        ),
        (
            request(
                "INVITE",
                "z9hG4bK1",
                1,
                "",
                &format!("Accept: text/plain\n{SDP}"),
            ),
            "406",
        ),
        (
            request(
                "INVITE",
                "z9hG4bK1",
                1,
                "",
                &format!("Supported: timer\nSession-Expires: 30\n{SDP}"),
            ),
            "422",
        ),
    ] {
        let sent = answer(&text);
        assert_eq!(sent.get(8..11), Some(status), "{text}\n{sent}");
        match status {
            "405" | "501" => assert!(header(&sent, "Allow").contains("INVITE")),
            "420" => assert_eq!(header(&sent, "Unsupported"), "gruu"),
            "415" => assert_eq!(header(&sent, "Accept"), "application/sdp"),
            "422" => assert_eq!(header(&sent, "Min-SE"), "90"),
            _ => {}
        }
    }
}

#[test]
fn copy_of_an_invite_by_another_way_is_482() {
    let mut lone = Lone::new();
    lone.feed(&request("INVITE", "z9hG4bKa", 1, "", SDP));
    let sent = lone.feed(&request("INVITE", "z9hG4bKb", 1, "", SDP));
    assert_eq!(first_lines(&sent), ["SIP/2.0 482 Loop Detected"]);
    assert_eq!(lone.events().len(), 1);
}

#[test]
fn full_table_and_draining_refuse_with_retry_after() {
    let mut config = config();
    config.sessions_max = 1;
    let mut endpoint = Endpoint::new(config, ALICE, [3; 32]);
    let mut lone = Lone::new();
    std::mem::swap(&mut lone.endpoint, &mut endpoint);
    assert_eq!(
        first_lines(&lone.feed(&request("INVITE", "z9hG4bKa", 1, "", SDP))),
        ["SIP/2.0 100 Trying"]
    );
    let other = request("INVITE", "z9hG4bKb", 1, "", SDP).replace("lone@", "other@");
    let sent = lone.feed(&other);
    assert_eq!(first_lines(&sent), ["SIP/2.0 503 Service Unavailable"]);
    let retry: u32 = header(&sent[0], "Retry-After").parse().unwrap();
    assert!((5..=10).contains(&retry));
    assert_eq!(lone.endpoint.counters().refused_at_capacity, 1);
    assert_eq!(
        lone.endpoint
            .invite(lone.now, invite_to(BOB, Some(offer_of(ALICE)))),
        Err(CommandError::AtCapacity)
    );
    lone.endpoint.drain();
    let sent = lone.feed(&request("OPTIONS", "z9hG4bKc", 1, "", ""));
    assert_eq!(first_lines(&sent), ["SIP/2.0 503 Service Unavailable"]);
}

#[test]
fn full_transaction_table_is_survived() {
    let mut config = config();
    config.transactions_max = 4;
    let mut lone = Lone::new();
    lone.endpoint = Endpoint::new(config, ALICE, [3; 32]);
    for number in 0..20 {
        let text = request("OPTIONS", &format!("z9hG4bK{number}"), number, "", "");
        let sent = lone.feed(&text);
        let expected = if number < 4 { "200" } else { "503" };
        assert_eq!(sent[0].get(8..11), Some(expected));
    }
    assert_eq!(lone.endpoint.counters().server_transactions, 4);
    assert!(
        lone.feed(&request("BYE", "z9hG4bKx", 1, "x", ""))
            .is_empty()
    );
    lone.pass(Duration::from_secs(33));
    assert!(lone.endpoint.is_idle());
}

#[test]
fn rubbish_is_counted_and_answered_only_if_a_via_can_be_read() {
    let mut lone = Lone::new();
    for text in [
        "hello",
        "SIP/2.0 200",
        "INVITE sip:a@b SIP/2.0\nFrom: x\n\n",
        "\u{1}\u{2}",
    ] {
        assert!(lone.feed(text).is_empty(), "{text}");
    }
    assert_eq!(lone.endpoint.counters().malformed, 4);
    let broken = request("INVITE", "z9hG4bKa", 1, "", SDP).replace("CSeq: 1", "CSeq: one");
    let sent = lone.feed(&broken);
    assert!(sent[0].starts_with("SIP/2.0 400"), "{sent:?}");
    assert!(lone.feed(&broken.replace("INVITE", "ACK")).is_empty());
    assert!(lone.endpoint.is_idle());
    assert!(lone.events().is_empty());
}

#[test]
fn responses_nobody_asked_for_send_nothing() {
    let mut lone = Lone::new();
    for status in ["100 Trying", "200 OK", "486 Busy Here"] {
        for branch in ["z9hG4bKnone", "old"] {
            let text = format!(
                "SIP/2.0 {status}\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch={branch}\n\
                 From: <sip:a@b>;tag=1\nTo: <sip:c@d>;tag=2\nCall-ID: x\nCSeq: 1 INVITE\n\n"
            );
            for _ in 0..50 {
                assert!(lone.feed(&text).is_empty());
            }
        }
    }
    assert_eq!(lone.endpoint.counters().stray_responses, 300);
}

#[test]
fn answer_goes_to_the_sent_by_port_without_rport() {
    let mut lone = Lone::new();
    let text = request("OPTIONS", "z9hG4bKa", 1, "", "")
        .replace("192.0.2.2:5070;rport", "10.0.0.1:5999")
        .replace('\n', "\r\n");
    lone.endpoint
        .handle_datagram(lone.now, BOB, text.as_bytes());
    let sent = lone.endpoint.poll_transmit().unwrap();
    assert_eq!(sent.destination.address, "192.0.2.2:5999".parse().unwrap());
    let text = String::from_utf8_lossy(&sent.payload).into_owned();
    assert!(header(&text, "Via").contains("received=192.0.2.2"));
}

#[test]
fn peer_of_rfc_2543_can_call_us() {
    let mut lone = Lone::new();
    let invite = request("INVITE", "1", 1, "", SDP)
        .replace(";branch=1", "")
        .replace("Contact: <sip:bob@192.0.2.2:5070>\n", "")
        .replace("Max-Forwards: 70\n", "");
    assert_eq!(first_lines(&lone.feed(&invite)), ["SIP/2.0 100 Trying"]);
    assert_eq!(first_lines(&lone.feed(&invite)), ["SIP/2.0 100 Trying"]);
    assert!(matches!(lone.events().as_slice(), [Event::Incoming { .. }]));
}

#[test]
fn messages_of_ours_carry_what_they_must() {
    let mut pair = Pair::new();
    pair.establish();
    let mut fresh = Pair::new();
    fresh.invite();
    let invite = &fresh.sent_by(Side::Alice, "INVITE")[0].text;
    for name in [
        "Via",
        "Max-Forwards",
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Contact",
        "Allow",
        "Supported",
        "User-Agent",
        "Content-Type",
        "Content-Length",
    ] {
        assert!(!header(invite, name).is_empty(), "{name}");
    }
    assert!(header(invite, "From").starts_with("\"Alice\" <sip:alice@example.com>;tag="));
    assert!(header(invite, "Via").contains(";rport;branch=z9hG4bK"));
}
