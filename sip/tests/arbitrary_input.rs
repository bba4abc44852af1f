//! Properties of reading and writing, and of an endpoint fed with anything.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::time::Instant;

use proptest::prelude::*;
use sip::endpoint::{Endpoint, EndpointConfig};
use sip::message::{
    Header, HeaderName, Headers, Message, Method, NameAddr, Request, Response, StatusCode, Uri,
    parse,
};
use sip::sdp::SessionDescription;

fn seeds() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/sip/rfc4475");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "only an origin for virtual time")]
fn feed(datagrams: &[Vec<u8>]) {
    let mut now = Instant::now();
    let here: SocketAddr = "192.0.2.200:5060".parse().unwrap();
    let source: SocketAddr = "198.51.100.7:5060".parse().unwrap();
    let mut endpoint = Endpoint::new(EndpointConfig::default(), here, [9; 32]);
    for datagram in datagrams {
        endpoint.handle_datagram(now, source, datagram);
        let sent = std::iter::from_fn(|| endpoint.poll_transmit()).count();
        assert!(sent <= 2, "{sent} datagrams in answer to one");
        if let Some(at) = endpoint.poll_timeout() {
            now = now.max(at);
            endpoint.handle_timeout(now);
            while endpoint.poll_transmit().is_some() {}
        }
        while endpoint.poll_event().is_some() {}
    }
}

fn token() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9.!%*_+`'~-]{1,12}"
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9-]{0,8}\\.example",
        any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|ip| format!("[{ip}]")),
    ]
}

fn uri() -> impl Strategy<Value = String> {
    (
        prop_oneof![Just("sip"), Just("sips")],
        proptest::option::of("[a-z0-9+;?/&=$,%-]{1,10}"),
        host(),
        proptest::option::of(any::<u16>()),
        proptest::collection::vec((token(), proptest::option::of(token())), 0..3),
    )
        .prop_map(|(scheme, user, host, port, params)| {
            let user = user.map(|user| format!("{user}@")).unwrap_or_default();
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            let params: String = params
                .into_iter()
                .map(|(name, value)| match value {
                    Some(value) => format!(";{name}={value}"),
                    None => format!(";{name}"),
                })
                .collect();
            format!("{scheme}:{user}{host}{port}{params}")
        })
}

fn address() -> impl Strategy<Value = NameAddr> {
    (uri(), proptest::option::of("[ -~]{0,20}"), token()).prop_map(|(uri, display, tag)| {
        let address = NameAddr::new(Uri::parse(&uri).unwrap()).with_tag(&tag);
        match display {
            Some(display) => address.with_display(&display),
            None => address,
        }
    })
}

prop_compose! {
    fn headers(method: &'static str)(
        from in address(),
        to in address(),
        call_id in "[!-~]{1,20}",
        cseq in 0_u32..1 << 31,
        branch in token(),
        sent_by in host(),
        extra in proptest::collection::vec((token(), "[!-~]([ -~]{0,30}[!-~])?"), 0..8),
    ) -> Headers {
        let mut headers = Headers::new();
        headers.push(HeaderName::Via, format!("SIP/2.0/UDP {sent_by};branch=z9hG4bK{branch}"));
        headers.push(HeaderName::From, from.to_string());
        headers.push(HeaderName::To, to.to_string());
        headers.push(HeaderName::CallId, call_id);
        headers.push(HeaderName::CSeq, format!("{cseq} {method}"));
        for (name, value) in extra {
            headers.push_header(Header::new(HeaderName::new(&format!("X-{name}")), value));
        }
        headers
    }
}

fn read_back(message: &Message) -> Message {
    let mut parsed = parse(&message.to_bytes()).unwrap().unwrap().message;
    match &mut parsed {
        Message::Request(request) => request.headers.remove(&HeaderName::ContentLength),
        Message::Response(response) => response.headers.remove(&HeaderName::ContentLength),
    }
    parsed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn requests_read_back_as_written(
        uri in uri(),
        headers in headers("OPTIONS"),
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let message = Message::Request(Request {
            method: Method::Options,
            uri: Uri::parse(&uri).unwrap(),
            headers,
            body,
        });
        prop_assert_eq!(read_back(&message), message);
    }

    #[test]
    fn responses_read_back_as_written(
        code in 100_u16..700,
        reason in "[!-~]?[ -~]{0,20}",
        headers in headers("INVITE"),
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let message = Message::Response(Response {
            status: StatusCode::new(code).unwrap(),
            reason,
            headers,
            body,
        });
        prop_assert_eq!(read_back(&message), message);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = parse(&bytes);
        let _ = SessionDescription::parse(&bytes);
        feed(&[bytes]);
    }

    #[test]
    fn arbitrary_lines_never_panic(text in "([A-Za-z-]{1,12}[ \t]?:[ -~]{0,40}\r\n|[ -~]{0,40}\r?\n){0,30}") {
        let _ = parse(text.as_bytes());
        let _ = SessionDescription::parse(text.as_bytes());
        feed(&[text.into_bytes()]);
    }

    #[test]
    fn damaged_messages_never_panic(
        choices in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..12),
    ) {
        let seeds = seeds();
        let datagrams: Vec<Vec<u8>> = choices
            .into_iter()
            .map(|(which, place, byte, cut)| {
                let mut bytes = which.get(&seeds).clone();
                let place = place.index(bytes.len());
                if cut {
                    bytes.truncate(place);
                } else {
                    bytes[place] = byte;
                }
                bytes
            })
            .collect();
        feed(&datagrams);
    }
}
