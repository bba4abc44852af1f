//! Carriers' websockets of a running server: whole calls, and every way to misuse them.

mod in_process;

use std::collections::BTreeMap;
use std::future::ready;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use control::calls::controller::CallOrigin;
use futures_util::{SinkExt, StreamExt};
use in_process::{GREETING, Server, TOKEN, server};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const TWILIO: &str = "/carriers/twilio/greeter/stream";
const EXOTEL: &str = "/carriers/exotel/greeter/stream";
/// Longest wait for anything.
const WAIT_MAX: Duration = Duration::from_secs(20);

async fn open(server: &Server, path: &str) -> Socket {
    let (socket, _) = connect_async(server.socket_url(path))
        .await
        .expect("upgrade");
    socket
}

async fn send(socket: &mut Socket, message: Value) {
    let text = Message::Text(message.to_string().into());
    socket.send(text).await.expect("socket takes messages");
}

fn twilio_start(params: Value) -> Value {
    json!({
        "event": "start", "sequenceNumber": "1", "streamSid": "MZ1",
        "start": {
            "streamSid": "MZ1", "accountSid": "AC1", "callSid": "CA1", "tracks": ["inbound"],
            "customParameters": params,
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        },
    })
}

fn exotel_start() -> Value {
    json!({
        "event": "start", "sequence_number": "1", "stream_sid": "s1",
        "start": {
            "stream_sid": "s1", "call_sid": "c1", "account_sid": "a1",
            "from": "0987", "to": "0123",
            "media_format": {"encoding": "audio/x-raw", "sample_rate": "8000", "bit_rate": "16"},
        },
    })
}

fn twilio_media(chunk: u32) -> Value {
    json!({
        "event": "media", "sequenceNumber": "2", "streamSid": "MZ1",
        "media": {
            "track": "inbound", "chunk": chunk.to_string(),
            "timestamp": (chunk * 20).to_string(), "payload": BASE64.encode([0xff; 160]),
        },
    })
}

/// The next message, as JSON.
async fn next(socket: &mut Socket) -> Option<Value> {
    loop {
        match timeout(WAIT_MAX, socket.next())
            .await
            .expect("a message in time")?
        {
            Ok(Message::Text(text)) => return serde_json::from_str(&text).ok(),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// The code the server closes with; messages before it are left out.
async fn close_code(socket: &mut Socket) -> u16 {
    loop {
        match timeout(WAIT_MAX, socket.next())
            .await
            .expect("a close in time")
        {
            Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
            Some(Ok(_)) => {}
            other => panic!("no close frame: {other:?}"),
        }
    }
}

/// Takes the greeting (three words of 300 ms) as a carrier does: marks come back at once. Returns
/// the audio.
async fn take_greeting(socket: &mut Socket, id: &str) -> Vec<u8> {
    let mut audio = Vec::new();
    loop {
        let message = next(socket).await.expect("the agent speaks");
        assert!(message[id].is_string(), "{message}");
        match message["event"].as_str() {
            Some("media") => {
                let payload = message["media"]["payload"].as_str().expect("payload");
                audio.extend(BASE64.decode(payload).expect("base64"));
            }
            Some("mark") => {
                send(socket, message).await;
                if audio.len() >= 900 * 8 {
                    return audio;
                }
            }
            _ => panic!("unexpected {message}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_twilio_call_is_held_and_recorded() {
    let server = server("").await;
    let mut socket = open(&server, TWILIO).await;
    send(
        &mut socket,
        json!({"event": "connected", "protocol": "Call", "version": "1.0.0"}),
    )
    .await;
    send(&mut socket, twilio_start(json!({"customer": "7"}))).await;
    for chunk in 1..10 {
        send(&mut socket, twilio_media(chunk)).await;
    }
    let audio = take_greeting(&mut socket, "streamSid").await;
    assert!(audio.iter().any(|byte| *byte != 0xff), "only silence");
    let active = server.get("/v1/calls?status=active").await;
    let id = active["calls"][0]["id"].as_str().expect("call").to_owned();
    let recording = server.url(&format!("/v1/calls/{id}/recording"));
    let early = server
        .client
        .get(&recording)
        .bearer_auth(TOKEN)
        .send()
        .await
        .unwrap();
    assert_eq!(early.status(), 409);
    send(
        &mut socket,
        json!({"event": "stop", "streamSid": "MZ1", "stop": {}}),
    )
    .await;
    assert_eq!(close_code(&mut socket).await, 1000);

    let call = server.ended_call().await;
    assert_eq!(call["outcome"]["reason"], "caller_hung_up", "{call}");
    assert_eq!(call["carrier_call_id"], "CA1");
    assert_eq!(call["codec"], "PCMU");
    assert_eq!(call["turns"][0]["text"], GREETING, "{call}");
    let wav = server
        .client
        .get(&recording)
        .bearer_auth(TOKEN)
        .send()
        .await
        .unwrap();
    assert_eq!(wav.headers()["content-type"], "audio/wav");
    assert!(wav.bytes().await.unwrap().starts_with(b"RIFF"));

    let events = server.url(&format!("/v1/calls/{id}/events"));
    let request = server.client.get(&events).bearer_auth(TOKEN);
    let all = request.send().await.unwrap().text().await.unwrap();
    assert!(
        all.contains("event: turn") && all.contains("event: ended"),
        "{all}"
    );
    let last = all.lines().filter(|line| line.starts_with("id: ")).count();
    let request = server.client.get(&events).bearer_auth(TOKEN);
    let request = request.header("last-event-id", (last - 1).to_string());
    let rest = request.send().await.unwrap().text().await.unwrap();
    assert_eq!(rest.matches("event: ").count(), 1, "{rest}");

    let metrics = server
        .client
        .get(server.url("/metrics"))
        .send()
        .await
        .unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(
        metrics.contains("samvad_calls_ended_total{carrier=\"twilio\""),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exotel_call_is_played_in_chunks_of_the_documented_size() {
    let server = server("").await;
    let mut socket = open(&server, EXOTEL).await;
    send(&mut socket, json!({"event": "connected"})).await;
    send(&mut socket, exotel_start()).await;
    let mut chunks = Vec::new();
    while chunks.len() < 4 {
        let message = next(&mut socket).await.expect("the agent speaks");
        match message["event"].as_str() {
            Some("media") => {
                let payload = message["media"]["payload"].as_str().expect("payload");
                chunks.push(BASE64.decode(payload).expect("base64").len());
            }
            _ => send(&mut socket, message).await,
        }
    }
    for length in &chunks {
        assert!(*length >= 3_200 && length % 320 == 0, "{chunks:?}");
    }
    // The carrier goes without a word.
    drop(socket);
    let call = server.ended_call().await;
    assert_eq!(call["outcome"]["reason"], "caller_hung_up", "{call}");
    assert_eq!(
        (&call["caller"], &call["called"]),
        (&json!("0987"), &json!("0123"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_do_not_begin_properly_are_closed_with_the_fitting_code() {
    let server = server("").await;
    let linear = twilio_start(json!({})).to_string().replace("mulaw", "l16");
    for (message, code) in [
        (Message::Text("{".into()), 1003),
        (Message::Text("[1]".into()), 1003),
        (Message::Binary(vec![1, 2, 3].into()), 1003),
        (Message::Text(linear.into()), 1003),
        (Message::Text(twilio_media(1).to_string().into()), 1008),
        (Message::Text("x".repeat(100_000).into()), 1009),
    ] {
        let mut socket = open(&server, TWILIO).await;
        let size = message.len();
        socket.send(message).await.expect("sent");
        assert_eq!(close_code(&mut socket).await, code, "{size} bytes");
    }
    // Beyond what is read at all the server hangs up on the first bytes; the reset may overtake
    // its close frame while the rest is still being sent.
    let mut socket = open(&server, TWILIO).await;
    let sent = socket
        .send(Message::Text("x".repeat(1_000_000).into()))
        .await;
    match timeout(WAIT_MAX, socket.next()).await.expect("an end") {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), 1009),
        Some(Ok(other)) => panic!("answered: {other:?}"),
        Some(Err(_)) | None => {}
    }
    drop(sent);
    assert_eq!(server.get("/v1/calls").await["calls"], json!([]));
    let unknown = connect_async(server.socket_url("/carriers/twilio/nobody/stream")).await;
    let Err(Error::Http(reply)) = unknown else {
        panic!("an unknown agent was let in");
    };
    assert_eq!(reply.status().as_u16(), 404);
    let rate = connect_async(server.socket_url(&format!("{EXOTEL}?sample-rate=1"))).await;
    assert!(matches!(rate, Err(Error::Http(reply)) if reply.status().as_u16() == 400));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_stream_survives_some_nonsense_but_not_any_amount() {
    let server = server("").await;
    let mut socket = open(&server, TWILIO).await;
    send(&mut socket, twilio_start(json!({}))).await;
    let wrong_stream = twilio_media(1).to_string().replace("MZ1", "MZ2");
    let wrong_audio = twilio_media(1).to_string().replace("////", "!!!!");
    for text in [
        "{",
        "[]",
        &wrong_stream,
        &wrong_audio,
        "{\"event\":\"new\",\"streamSid\":\"MZ1\"}",
    ] {
        socket.send(Message::Text(text.into())).await.expect("sent");
    }
    take_greeting(&mut socket, "streamSid").await;
    for _ in 0..100 {
        // The server may close in the middle of it.
        let _ = socket.send(Message::Text("{".into())).await;
    }
    assert_eq!(close_code(&mut socket).await, 1008);
    let call = server.ended_call().await;
    assert_eq!(call["status"], "ended");
    assert_eq!(call["turns"][0]["text"], GREETING);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_direct_streams_a_token_is_needed_and_good_once() {
    let server =
        server("[carriers]\ndirect_streams = \"off\"\n[carriers.twilio]\nauth_token = \"s\"").await;
    for params in [json!({}), json!({"token": "made-up"})] {
        let mut socket = open(&server, TWILIO).await;
        send(&mut socket, twilio_start(params)).await;
        assert_eq!(close_code(&mut socket).await, 1008);
    }
    let path = "/carriers/twilio/greeter/voice";
    let url = server.url(path);
    let fields = [("From".to_owned(), "+15550123".to_owned())];
    let secret = control::config::Secret::new("s");
    let signature = control::carriers::twilio_signature::sign(&secret, &url, &fields);
    let request = server.post_form(path, &fields);
    let request = request.header("x-twilio-signature", signature);
    let twiml = request.send().await.unwrap().text().await.unwrap();
    let token = twiml
        .split("value=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let params = json!({"token": token.expect("token")});

    let mut socket = open(&server, TWILIO).await;
    send(&mut socket, twilio_start(params.clone())).await;
    take_greeting(&mut socket, "streamSid").await;
    let mut again = open(&server, TWILIO).await;
    send(&mut again, twilio_start(params)).await;
    assert_eq!(close_code(&mut again).await, 1008);
    drop(socket);
    let call = server.ended_call().await;
    assert_eq!(call["caller"], "+15550123");
    assert!(connect_async(server.socket_url(EXOTEL)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_beyond_the_limit_are_told_to_try_again_later() {
    let server = server("calls_max = 1\n---\n").await;
    let mut first = open(&server, TWILIO).await;
    send(&mut first, twilio_start(json!({}))).await;
    take_greeting(&mut first, "streamSid").await;
    let mut second = open(&server, TWILIO).await;
    send(&mut second, twilio_start(json!({}))).await;
    assert_eq!(close_code(&mut second).await, 1013);
    send(&mut first, json!({"event": "stop", "streamSid": "MZ1"})).await;
    server.ended_call().await;
    let mut third = open(&server, TWILIO).await;
    send(&mut third, twilio_start(json!({}))).await;
    take_greeting(&mut third, "streamSid").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_one_call_ends_that_call_only() {
    let server = server("").await;
    let mut healthy = open(&server, TWILIO).await;
    send(&mut healthy, twilio_start(json!({}))).await;
    let controller = &server.app.services().controller;
    let (agent, admission) = controller.admit("greeter", "test").await.expect("admitted");
    let origin = CallOrigin {
        agent,
        carrier: "test",
        carrier_call_id: None,
        caller: None,
        called: None,
        codec: None,
        variables: BTreeMap::new(),
    };
    let call = controller.open(admission, origin, false).await;
    controller.supervise(call.id(), "test", async move {
        let _call = call;
        panic!("a bug in one call");
    });
    let ended = server.ended_call().await;
    assert_eq!(ended["carrier"], "test");
    assert_eq!(ended["outcome"]["reason"], "internal_error", "{ended}");
    take_greeting(&mut healthy, "streamSid").await;
    assert_eq!(server.app.services().registry.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_can_hang_up() {
    let server = server("").await;
    let mut socket = open(&server, TWILIO).await;
    send(&mut socket, twilio_start(json!({}))).await;
    take_greeting(&mut socket, "streamSid").await;
    let active = server.get("/v1/calls?status=active").await;
    let id = active["calls"][0]["id"].as_str().expect("call");
    let url = server.url(&format!("/v1/calls/{id}/hangup"));
    let hang_up = async || {
        server
            .client
            .post(&url)
            .bearer_auth(TOKEN)
            .send()
            .await
            .unwrap()
    };
    assert_eq!(hang_up().await.status(), 202);
    assert_eq!(close_code(&mut socket).await, 1000);
    let call = server.ended_call().await;
    assert_eq!(call["outcome"]["reason"], "operator_hung_up", "{call}");
    assert_eq!(call["outcome"]["class"], "stopped");
    assert_eq!(hang_up().await.status(), 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_in_a_hurry_ends_running_calls_and_says_so() {
    let server = server("").await;
    let mut socket = open(&server, TWILIO).await;
    send(&mut socket, twilio_start(json!({}))).await;
    take_greeting(&mut socket, "streamSid").await;
    let services = server.app.services().clone();
    let Server { app, _dir, .. } = server;
    app.drain(ready(())).await;
    assert_eq!(close_code(&mut socket).await, 1000);
    let filter = control::calls::queries::CallFilter::default();
    let calls = control::calls::queries::list_calls(&services.store, &filter, 5);
    let calls = calls.await.expect("store");
    let outcome = calls[0].outcome.as_ref().expect("outcome");
    assert_eq!(outcome.reason, "server_shutdown");
}
