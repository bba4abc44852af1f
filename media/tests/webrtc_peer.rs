//! Two ends of a connection, in virtual time: checks, handshake, keys, data channels.

#![cfg(feature = "webrtc")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::webrtc::{Certificate, IceCredentials, PeerTransport, TransportEvent};

mod webrtc_support;
use webrtc_support::Browser;

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

#[expect(clippy::disallowed_methods, reason = "origin of virtual time")]
fn origin() -> Instant {
    Instant::now()
}

fn ours() -> IceCredentials {
    IceCredentials {
        ufrag: "ours".to_owned(),
        password: "0123456789abcdefghijkl".to_owned(),
    }
}

#[test]
fn a_browser_gets_through_and_both_have_the_same_keys() {
    let now = origin();
    let certificate = Certificate::generate().expect("a certificate");
    let mut browser = Browser::new(now, address("192.0.2.7:5000"));
    let transport = PeerTransport::new(now, ours(), &certificate, browser.fingerprint());
    let mut transport = transport.expect("DTLS");
    let mut events = browser.connect(now, &mut transport, &ours());
    let (send, receive) = browser.keys().expect("keys");
    let selected =
        |e: &TransportEvent| matches!(e, TransportEvent::Selected(a) if *a == browser.address);
    assert!(events.iter().any(selected));
    let secured = events
        .iter()
        .position(|e| matches!(e, TransportEvent::Secured(_)));
    let TransportEvent::Secured(keys) = events.swap_remove(secured.expect("secured")) else {
        unreachable!("found as such");
    };
    // What the browser sends with, we receive with.
    assert_eq!(keys.receive.material(), send);
    assert_eq!(keys.send.material(), receive);
    // Thirty seconds without a check end it.
    transport.handle_timeout(now + Duration::from_secs(31));
    let last = std::iter::from_fn(|| transport.poll_event()).last();
    assert!(matches!(last, Some(TransportEvent::Closed(_))));
}

#[test]
fn a_certificate_that_was_not_announced_is_refused() {
    let now = origin();
    let certificate = Certificate::generate().expect("a certificate");
    let mut browser = Browser::new(now, address("192.0.2.7:5000"));
    let transport = PeerTransport::new(now, ours(), &certificate, [7; 32]);
    let mut transport = transport.expect("DTLS");
    let events = browser.connect(now, &mut transport, &ours());
    assert!(
        !events
            .iter()
            .any(|e| matches!(e, TransportEvent::Secured(_)))
    );
    assert!(
        events
            .iter()
            .any(|e| matches!(e, TransportEvent::Closed(_)))
    );
}

#[test]
fn strangers_are_not_answered() {
    let now = origin();
    let certificate = Certificate::generate().expect("a certificate");
    let mut transport = PeerTransport::new(now, ours(), &certificate, [7; 32]).expect("DTLS");
    let mut wrong = ours();
    wrong.password.push('x');
    let from = address("192.0.2.9:1");
    let check = media::webrtc::write_check(&wrong, "them", [1; 12]);
    for datagram in [&check[..], &[22, 254, 253, 0, 0][..], &[0; 20][..], &[][..]] {
        transport.handle_datagram(now, from, datagram);
        assert!(transport.poll_transmit().is_none());
        assert!(transport.poll_event().is_none());
    }
}
