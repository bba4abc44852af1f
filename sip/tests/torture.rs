//! RFC 4475 and RFC 5118: for each message, whether it is read, what goes back on the wire, and
//! why.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sip::endpoint::{Endpoint, EndpointConfig};
use sip::event::Event;
use sip::message::parse;

/// What happens to a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// Read; a call is offered to the application and 100 sent.
    Call,
    /// Read; answered with this status.
    Answer(u16),
    /// Read; nothing is sent (a response without a transaction).
    Stray,
    /// Not a proper message; answered with this status.
    Refused(u16),
    /// Not a proper message; nothing is sent.
    Dropped,
}

use Fate::{Answer, Call, Dropped, Refused, Stray};

const RFC_4475: [(&str, Fate, &str); 49] = [
    (
        "badaspec",
        Refused(400),
        "3.1.2.14: white space inside <> of To",
    ),
    (
        "badbranch",
        Answer(200),
        "3.2.1: bare cookie is matched by the rules of RFC 2543",
    ),
    (
        "baddate",
        Call,
        "3.1.2.12: Date is not needed, so its zone EST is not looked at",
    ),
    (
        "baddn",
        Answer(200),
        "3.1.2.15: unquoted commas in a display name are common, so accepted; the missing empty line too",
    ),
    (
        "badinv01",
        Refused(400),
        "3.1.2.1: empty parameters in Via; answered by source and sent-by alone",
    ),
    ("badvers", Refused(505), "3.1.2.16: SIP/7.0"),
    ("bcast", Stray, "3.3.10: not our Via"),
    (
        "bext01",
        Answer(420),
        "3.3.5: unknown Require; Proxy-Require is not for us",
    ),
    ("bigcode", Dropped, "3.1.2.19: status code of ten digits"),
    (
        "clerr",
        Refused(400),
        "3.1.2.2: Content-Length beyond the datagram",
    ),
    (
        "cparam01",
        Answer(405),
        "3.3.12: valid REGISTER; we are no registrar",
    ),
    (
        "cparam02",
        Answer(405),
        "3.3.13: valid REGISTER; we are no registrar",
    ),
    (
        "dblreq",
        Answer(405),
        "3.1.1.8: what follows Content-Length is dropped, only the REGISTER counts",
    ),
    ("esc01", Call, "3.1.1.3: valid use of escapes"),
    (
        "esc02",
        Answer(501),
        "3.1.1.5: escapes are not decoded in a method: RE%47IST%45R is unknown",
    ),
    (
        "escnull",
        Answer(405),
        "3.1.1.4: escaped NULs are no end of anything",
    ),
    (
        "escruri",
        Refused(400),
        "3.1.2.11: header components in a Request-URI",
    ),
    (
        "insuf",
        Refused(400),
        "3.3.1: From, To and Call-ID are missing",
    ),
    (
        "intmeth",
        Answer(501),
        "3.1.1.2: every odd character is valid; the method is unknown",
    ),
    (
        "inv2543",
        Call,
        "3.4.1: caller of RFC 2543: no branch, tag, Max-Forwards, Contact",
    ),
    ("invut", Answer(415), "3.3.6: unknown body type"),
    ("longreq", Call, "3.1.1.7: long values are valid"),
    (
        "ltgtruri",
        Refused(400),
        "3.1.2.7: <> around the Request-URI",
    ),
    (
        "lwsdisp",
        Answer(200),
        "3.1.1.6: no space between display name and <",
    ),
    ("lwsruri", Refused(400), "3.1.2.8: space in the Request-URI"),
    (
        "lwsstart",
        Refused(400),
        "3.1.2.9: several spaces in the request line",
    ),
    ("mcl01", Refused(400), "3.3.9: two Content-Lengths"),
    (
        "mismatch01",
        Refused(400),
        "3.1.2.17: CSeq names another method",
    ),
    (
        "mismatch02",
        Refused(501),
        "3.1.2.18: as before, but the method is unknown altogether",
    ),
    (
        "mpart01",
        Answer(405),
        "3.1.1.11: valid MESSAGE with a binary body; we take none",
    ),
    (
        "multi01",
        Refused(400),
        "3.3.8: several From, To, Call-ID, CSeq",
    ),
    ("ncl", Refused(400), "3.1.2.3: negative Content-Length"),
    (
        "noreason",
        Stray,
        "3.1.1.13: empty reason phrase is valid; not our Via",
    ),
    ("novelsc", Answer(416), "3.3.3: unknown scheme"),
    ("quotbal", Refused(400), "3.1.2.6: unbalanced quote in To"),
    (
        "regaut01",
        Answer(405),
        "3.3.7: we are no registrar, whatever the credentials",
    ),
    (
        "regbadct",
        Answer(405),
        "3.1.2.13: bad Contact of a REGISTER we do not take anyway",
    ),
    (
        "regescrt",
        Answer(405),
        "3.3.14: valid; we are no registrar",
    ),
    ("scalar02", Refused(400), "3.1.2.4: CSeq number beyond 2^31"),
    (
        "scalarlg",
        Dropped,
        "3.1.2.5: response with a CSeq number beyond 2^31",
    ),
    (
        "sdp01",
        Answer(406),
        "3.3.15: the caller takes no session description",
    ),
    (
        "semiuri",
        Answer(200),
        "3.1.1.9: semicolon in the user part",
    ),
    (
        "transports",
        Answer(200),
        "3.1.1.10: unknown transports in lower Vias",
    ),
    (
        "trws",
        Refused(400),
        "3.1.2.10: white space after the version",
    ),
    ("unkscm", Answer(416), "3.3.2: unknown scheme"),
    (
        "unksm2",
        Answer(405),
        "3.3.4: unknown schemes in To and Contact matter only to a registrar",
    ),
    (
        "unreason",
        Stray,
        "3.1.1.12: non-ASCII reason phrase is valid; not our Via",
    ),
    (
        "wsinv",
        Answer(481),
        "3.1.1.1: every legal white space; To has a tag of no dialog here",
    ),
    (
        "zeromf",
        Answer(200),
        "3.3.11: we are the target, so nothing is forwarded",
    ),
];

const RFC_5118: [(&str, Fate, &str); 12] = [
    ("ipv4-mapped-ipv6", Call, "4.9: mapped addresses are valid"),
    (
        "ipv6-bad",
        Refused(400),
        "4.2: IPv6 address without brackets",
    ),
    (
        "ipv6-bug-abnf-3-colons",
        Refused(400),
        "4.10: three colons are no address",
    ),
    (
        "ipv6-correct-abnf-2-colons",
        Answer(200),
        "4.10: the corrected form",
    ),
    (
        "ipv6-good",
        Answer(405),
        "4.1: valid REGISTER; we are no registrar",
    ),
    (
        "ipv6-in-sdp",
        Refused(400),
        "4.6: the archive's Content-Length of 268 exceeds the 251 bytes of its body",
    ),
    (
        "mult-ip-in-header",
        Answer(481),
        "4.7: valid BYE of no dialog here",
    ),
    (
        "mult-ip-in-sdp",
        Call,
        "4.8: each stream has its own address family",
    ),
    (
        "port-ambiguous",
        Answer(405),
        "4.3: the port inside the brackets is part of the address",
    ),
    ("port-unambiguous", Answer(405), "4.4: valid REGISTER"),
    (
        "via-received-param-no-delim",
        Answer(200),
        "4.5: received without brackets",
    ),
    (
        "via-received-param-with-delim",
        Answer(481),
        "4.5: received with brackets; no dialog here",
    ),
];

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../fixtures/sip/{name}"))
}

/// Bytes of a message; the IPv6 set has bare LF in some files.
fn message(set: &str, name: &str) -> Vec<u8> {
    if set == "rfc4475" {
        return std::fs::read(folder(set).join(format!("{name}.dat"))).unwrap();
    }
    let text = std::fs::read_to_string(folder(set).join(name)).unwrap();
    text.replace("\r\n", "\n")
        .replace('\n', "\r\n")
        .into_bytes()
}

#[expect(clippy::disallowed_methods, reason = "only an origin for virtual time")]
fn fate(bytes: &[u8]) -> Fate {
    let mut now = Instant::now();
    let here: SocketAddr = "192.0.2.200:5060".parse().unwrap();
    let source: SocketAddr = "198.51.100.7:5060".parse().unwrap();
    let mut endpoint = Endpoint::new(EndpointConfig::default(), here, [9; 32]);
    endpoint.handle_datagram(now, source, bytes);
    let status = endpoint.poll_transmit().map(|transmit| {
        // The answer goes back to where the request came from, and can itself be read.
        assert_eq!(transmit.destination.address.ip(), source.ip());
        let text = String::from_utf8_lossy(&transmit.payload).into_owned();
        if !text.contains("400") {
            parse(&transmit.payload).unwrap().unwrap();
        }
        text.get(8..11).unwrap().parse::<u16>().unwrap()
    });
    assert_eq!(endpoint.poll_transmit(), None);
    let call = match endpoint.poll_event() {
        Some(Event::Incoming { session, .. }) => Some(session),
        Some(other) => panic!("{other:?}"),
        None => None,
    };
    let fate = match (parse(bytes).is_ok(), call, status) {
        (true, Some(_), Some(100)) => Call,
        (true, None, Some(status)) => Answer(status),
        (true, None, None) => Stray,
        (false, None, Some(status)) => Refused(status),
        (false, None, None) => Dropped,
        other => panic!("{other:?}"),
    };
    // Nothing stays behind, whatever came in.
    if let Some(session) = call {
        let command = sip::event::Command::End { reason: None };
        endpoint.handle_command(now, session, command).unwrap();
    }
    let end = now + Duration::from_secs(120);
    while let Some(at) = endpoint.poll_timeout() {
        now = now.max(at);
        assert!(now < end, "a transaction outlives all its timers");
        endpoint.handle_timeout(now);
    }
    assert!(endpoint.is_idle());
    fate
}

fn check(set: &str, expected: &[(&str, Fate, &str)]) {
    let mut wrong = Vec::new();
    for (name, expected, reason) in expected {
        let found = fate(&message(set, name));
        if found != *expected {
            wrong.push(format!(
                "{name}: {found:?}, expected {expected:?} ({reason})"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let files = std::fs::read_dir(folder(set)).unwrap().count();
    assert_eq!(
        files,
        expected.len() + 1,
        "each message of {set} has its line, README aside"
    );
}

#[test]
fn torture_messages_meet_their_fate() {
    check("rfc4475", &RFC_4475);
}

#[test]
fn ipv6_messages_meet_their_fate() {
    check("rfc5118", &RFC_5118);
}

#[test]
fn ipv6_session_description_is_taken_with_its_true_length() {
    let text = String::from_utf8(message("rfc5118", "ipv6-in-sdp")).unwrap();
    assert_eq!(fate(text.replace("268", "251").as_bytes()), Call);
}

#[test]
fn torture_messages_that_are_read_survive_writing() {
    for (set, names) in [("rfc4475", &RFC_4475[..]), ("rfc5118", &RFC_5118[..])] {
        for (name, fate, _) in names {
            if matches!(fate, Refused(_) | Dropped) {
                continue;
            }
            let mut first = parse(&message(set, name)).unwrap().unwrap();
            let mut again = parse(&first.message.to_bytes()).unwrap().unwrap();
            for parsed in [&mut first, &mut again] {
                // Content-Length is written anew, at the end.
                let headers = match &mut parsed.message {
                    sip::message::Message::Request(request) => &mut request.headers,
                    sip::message::Message::Response(response) => &mut response.headers,
                };
                headers.remove(&sip::message::HeaderName::ContentLength);
            }
            assert_eq!(first, again, "{name}");
        }
    }
}
