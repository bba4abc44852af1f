//! The HTTP interface of a running server.

mod in_process;

use control::carriers::twilio_signature::sign;
use control::config::Secret;
use in_process::{TOKEN, server};
use reqwest::{Method, StatusCode};
use serde_json::Value;

#[tokio::test]
async fn health_and_readiness_need_no_token_and_administration_does() {
    let server = server("").await;
    for path in ["/health", "/ready", "/metrics"] {
        let reply = server.client.get(server.url(path)).send().await.unwrap();
        assert_eq!(reply.status(), StatusCode::OK, "{path}");
    }
    for path in ["/v1/calls", "/v1/agents", "/v1/records/x", "/v1/nothing"] {
        let plain = server.client.get(server.url(path));
        for request in [
            plain.try_clone().unwrap(),
            plain.try_clone().unwrap().bearer_auth("wrong"),
            plain.basic_auth("admin", Some(TOKEN)),
        ] {
            let reply = request.send().await.unwrap();
            assert_eq!(reply.status(), StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(reply.headers()["www-authenticate"], "Bearer");
            let body: Value = reply.json().await.unwrap();
            assert_eq!(body["error"]["code"], "unauthorized");
        }
    }
    let agents = server.get("/v1/agents").await;
    assert_eq!(agents["agents"][0]["id"], "greeter");
    assert_eq!(
        server.get("/v1/calls").await["calls"],
        serde_json::json!([])
    );
}

#[tokio::test]
async fn bad_requests_are_explained_and_never_our_fault() {
    let server = server("").await;
    let unknown = "/v1/calls/01900000-0000-7000-8000-000000000000";
    let deep = "/v1/calls/%00%ff/recording";
    for (method, path, status, code) in [
        (Method::GET, "/nothing", 404, "not_found"),
        (Method::GET, "/v1/nothing", 404, "not_found"),
        (Method::DELETE, "/ready", 405, "method_not_allowed"),
        (Method::POST, "/v1/calls", 405, "method_not_allowed"),
        (Method::GET, "/v1/calls?limit=0", 400, "invalid_request"),
        (Method::GET, "/v1/calls?cursor=x", 400, "invalid_request"),
        (Method::GET, "/v1/calls?status=x", 400, "invalid_request"),
        (Method::GET, "/v1/calls?limt=5", 400, "invalid_request"),
        (Method::GET, "/v1/calls/abc", 400, "invalid_request"),
        (Method::GET, deep, 400, ""),
        (Method::GET, unknown, 404, "not_found"),
        (Method::GET, &format!("{unknown}/events"), 404, "not_found"),
        (
            Method::GET,
            &format!("{unknown}/recording"),
            404,
            "not_found",
        ),
        (Method::POST, &format!("{unknown}/hangup"), 404, "not_found"),
        (
            Method::GET,
            "/v1/records/x?cursor=%27",
            400,
            "invalid_request",
        ),
        (
            Method::POST,
            "/carriers/twilio/nobody/voice",
            404,
            "not_found",
        ),
        (
            Method::GET,
            "/carriers/exotel/nobody/stream",
            404,
            "not_found",
        ),
    ] {
        let request = server.client.request(method, server.url(path));
        let reply = request.bearer_auth(TOKEN).send().await.unwrap();
        assert_eq!(reply.status().as_u16(), status, "{path}");
        assert!(reply.headers().contains_key("x-request-id"), "{path}");
        if !code.is_empty() {
            let body: Value = reply.json().await.unwrap();
            assert_eq!(body["error"]["code"], code, "{path}: {body}");
        }
    }
    let large = vec![b'a'; 100_000];
    let url = server.url("/carriers/twilio/greeter/voice");
    let reply = server.client.post(url).body(large).send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_webhook_is_answered_with_a_stream_and_a_fresh_token() {
    let server = server("[[numbers]]\nnumber = \"+15550100100\"\nagent = \"greeter\"").await;
    let ask = async |path: &str, form: &[(&str, &str)]| {
        let form: Vec<(String, String)> = form
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let reply = server.post_form(path, &form).send();
        let reply = reply.await.unwrap();
        assert_eq!(reply.status(), StatusCode::OK);
        assert_eq!(reply.headers()["content-type"], "text/xml");
        reply.text().await.unwrap()
    };
    let first = ask("/carriers/twilio/greeter/voice", &[]).await;
    let stream = server.socket_url("/carriers/twilio/greeter/stream");
    assert!(
        first.contains(&format!("<Stream url=\"{stream}\">")),
        "{first}"
    );
    assert_ne!(first, ask("/carriers/twilio/greeter/voice", &[]).await);
    let mapped = ask("/carriers/twilio/voice", &[("To", "+15550100100")]).await;
    assert!(
        mapped.contains("/carriers/twilio/greeter/stream"),
        "{mapped}"
    );
    let unmapped = ask("/carriers/twilio/voice", &[("To", "+15550199999")]).await;
    assert!(
        unmapped.contains("<Reject reason=\"rejected\"/>"),
        "{unmapped}"
    );

    let url = server.url("/carriers/exotel/voice?CallTo=015550100100");
    let unmapped = server.client.get(url).send().await.unwrap();
    assert_eq!(unmapped.status(), StatusCode::NOT_FOUND);
    let url = server.url("/carriers/exotel/voice?CallTo=15550100100&sample-rate=16000");
    let body: Value = server
        .client
        .get(url)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let stream = body["url"].as_str().unwrap();
    assert!(
        stream.starts_with("ws://") && stream.ends_with("&sample-rate=16000"),
        "{stream}"
    );
}

#[tokio::test]
async fn with_an_auth_token_only_signed_webhooks_pass() {
    let server = server(
        "public_url = \"https://voice.example\"\n---\n\
         [carriers.twilio]\nauth_token = \"secret\"\n\
         [carriers.exotel]\nkey = \"k\"\ntoken = \"t\"",
    )
    .await;
    let path = "/carriers/twilio/greeter/voice?x=1";
    let fields = [("To".to_owned(), "+1 555".to_owned())];
    let send = async |signature: Option<&str>| {
        let mut request = server.post_form(path, &fields);
        if let Some(signature) = signature {
            request = request.header("x-twilio-signature", signature);
        }
        request.send().await.unwrap()
    };
    let seen = format!("https://voice.example{path}");
    let right = sign(&Secret::new("secret"), &seen, &fields);
    let reply = send(Some(&right)).await;
    assert_eq!(reply.status(), StatusCode::OK);
    let twiml = reply.text().await.unwrap();
    assert!(twiml.contains("wss://voice.example/carriers/"), "{twiml}");
    let other = sign(&Secret::new("other"), &seen, &fields);
    for wrong in [None, Some(""), Some("é"), Some(other.as_str())] {
        assert_eq!(
            send(wrong).await.status(),
            StatusCode::FORBIDDEN,
            "{wrong:?}"
        );
    }

    let exotel = server
        .client
        .get(server.url("/carriers/exotel/greeter/voice"));
    let anonymous = exotel.try_clone().unwrap().send().await.unwrap();
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);
    let known = exotel.basic_auth("k", Some("t")).send().await.unwrap();
    assert_eq!(known.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_draining_server_is_not_ready_and_sends_callers_away() {
    let server = server("").await;
    server.app.services().registry.drain();
    let reply = server
        .client
        .get(server.url("/ready"))
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body: Value = reply.json().await.unwrap();
    assert_eq!(body["reasons"], serde_json::json!(["draining"]));
    let url = server.url("/carriers/twilio/greeter/voice");
    let twiml = server
        .client
        .post(url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(twiml.contains("<Reject reason=\"busy\"/>"), "{twiml}");
}
