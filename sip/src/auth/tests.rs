use std::time::{Duration, Instant};

use super::*;
use crate::message::{Header, HeaderName, Headers, Method, Request, Uri};

#[expect(clippy::disallowed_methods, reason = "only an origin for virtual time")]
fn origin() -> Instant {
    Instant::now()
}

fn request(method: Method) -> Request {
    Request {
        method,
        uri: Uri::parse("sip:pbx.example").unwrap(),
        headers: Headers::new(),
        body: Vec::new(),
    }
}

fn secret(user: &str, algorithm: Algorithm) -> Option<Ha1> {
    (user == "alice").then(|| Ha1::new(algorithm, "alice", "pbx.example", "wonder\"land"))
}

fn authenticator(now: Instant) -> Authenticator {
    Authenticator::new(AuthenticatorConfig::new("pbx.example"), [7; 32], now)
}

/// RFC 7616 §3.9.1 gives challenge, credentials and responses of MD5 and SHA-256.
#[test]
fn rfc_7616_examples_give_the_printed_responses() {
    let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
    let client_nonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
    for (algorithm, expected) in [
        (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
        (
            Algorithm::Sha256,
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ] {
        let ha1 = Ha1::new(
            algorithm,
            "Mufasa",
            "http-auth@example.org",
            "Circle of Life",
        );
        let response = ha1.response(
            nonce,
            Some(("00000001", client_nonce)),
            "GET",
            "/dir/index.html",
        );
        assert_eq!(response, expected, "{algorithm:?}");
    }
}

#[test]
fn each_algorithm_is_met_and_replays_are_not() {
    for algorithm in Algorithm::ALL {
        let now = origin();
        let mut server = authenticator(now);
        let challenge = server
            .challenge(now, false)
            .into_iter()
            .filter(|header| {
                header
                    .value()
                    .contains(&format!("algorithm={},", algorithm.name()))
            })
            .collect::<Headers>();
        assert_eq!(challenge.len(), 1);
        let mut client = ClientAuth::new(Credentials::new("alice", "wonder\"land"));
        assert!(client.take_challenge(&challenge));
        let mut first = request(Method::Register);
        client.authorize(&mut first, "c1");
        assert_eq!(
            server.verify(now, &first, secret),
            Verdict::Accepted("alice".to_owned())
        );
        assert_eq!(server.verify(now, &first, secret), Verdict::Stale);
        let mut second = request(Method::Invite);
        client.authorize(&mut second, "c2");
        assert!(
            second
                .headers
                .first(&HeaderName::Authorization)
                .unwrap()
                .contains("nc=00000002")
        );
        assert_eq!(
            server.verify(now + Duration::from_secs(299), &second, secret),
            Verdict::Accepted("alice".to_owned())
        );
        let mut late = request(Method::Invite);
        client.authorize(&mut late, "c3");
        assert_eq!(
            server.verify(now + Duration::from_secs(301), &late, secret),
            Verdict::Stale
        );
    }
}

#[test]
fn unknown_users_and_wrong_passwords_look_alike() {
    let now = origin();
    let mut server = authenticator(now);
    assert_eq!(
        server.verify(now, &request(Method::Register), secret),
        Verdict::Missing
    );
    for credentials in [
        Credentials::new("alice", "wrong"),
        Credentials::new("mallory", "wonder\"land"),
    ] {
        let mut client = ClientAuth::new(credentials);
        let challenge: Headers = server.challenge(now, false).into_iter().collect();
        assert!(client.take_challenge(&challenge));
        let mut request = request(Method::Register);
        client.authorize(&mut request, "c");
        assert_eq!(server.verify(now, &request, secret), Verdict::Refused);
    }
}

#[test]
fn credentials_for_another_method_are_refused() {
    let now = origin();
    let mut server = authenticator(now);
    let mut client = ClientAuth::new(Credentials::new("alice", "wonder\"land"));
    let challenge: Headers = server.challenge(now, false).into_iter().collect();
    client.take_challenge(&challenge);
    let mut register = request(Method::Register);
    client.authorize(&mut register, "c");
    // A proxy may have changed the target on the way, but never the method.
    register.uri = Uri::parse("sip:192.0.2.9").unwrap();
    register.method = Method::Invite;
    assert_eq!(server.verify(now, &register, secret), Verdict::Refused);
    register.method = Method::Register;
    let accepted = Verdict::Accepted("alice".to_owned());
    assert_eq!(server.verify(now, &register, secret), accepted);
}

#[test]
fn the_strongest_challenge_in_front_is_taken_and_foreign_ones_are_skipped() {
    let headers: Headers = [
        "Bearer realm=\"a\"",
        "Digest realm=\"a\", nonce=\"n0\", algorithm=SHA-1024",
        "Digest realm=\"a\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth,auth-int\", opaque=\"o\"",
        "Digest realm=\"a\", nonce=\"n2\", algorithm=MD5",
    ]
    .map(|value| Header::new(HeaderName::ProxyAuthenticate, value))
    .into_iter()
    .collect();
    let mut client = ClientAuth::new(Credentials::new("u", "p"));
    assert!(client.take_challenge(&headers));
    let mut request = request(Method::Invite);
    client.authorize(&mut request, "c");
    let value = request
        .headers
        .first(&HeaderName::ProxyAuthorization)
        .unwrap();
    assert!(
        value.contains("nonce=\"n1\"") && value.contains("opaque=\"o\""),
        "{value}"
    );
    assert_eq!(
        request.headers.all(&HeaderName::ProxyAuthorization).count(),
        1
    );
}

#[test]
fn a_refused_password_is_not_tried_for_ever() {
    let challenge = |stale: &str| -> Headers {
        [Header::new(
            HeaderName::WwwAuthenticate,
            format!("Digest realm=\"a\", nonce=\"n\"{stale}"),
        )]
        .into_iter()
        .collect()
    };
    let mut client = ClientAuth::new(Credentials::new("u", "p"));
    assert!(client.take_challenge(&challenge("")));
    assert!(client.take_challenge(&challenge(", stale=true")));
    assert!(client.take_challenge(&challenge("")));
    assert!(!client.take_challenge(&challenge("")));
    client.accepted();
}

#[test]
fn secrets_are_never_printed() {
    let credentials = Credentials::new("alice", "hunter2");
    let text = format!(
        "{credentials:?} {:?}",
        Ha1::new(Algorithm::Md5, "a", "b", "hunter2")
    );
    assert!(!text.contains("hunter2") && text.contains("***"), "{text}");
}
