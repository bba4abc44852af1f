//! The chat completions client against a local server that speaks the documented protocol.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, Once};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use axum::routing::post;
use futures_util::{StreamExt, stream};
use pipeline::llm::{LanguageModel, LanguageModelSession, LlmEvent, LlmSessionRequest, LlmUsage};
use pipeline::providers::openai_llm::{OpenAiConfig, OpenAiModel};
use pipeline::secret::Secret;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::scripted_call::{read_all, text_of, user};

pub(crate) fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// How a streamed answer goes on after its chunks.
#[derive(Clone, Copy)]
enum End {
    Closes,
    Breaks,
    Hangs,
}

enum Reply {
    Stream(Vec<Vec<u8>>, End),
    Status(u16, Option<&'static str>, &'static str),
}

#[derive(Default)]
struct Script {
    replies: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<(HeaderMap, Value)>>,
    /// A hanging body was dropped by the client.
    dropped: Notify,
}

struct NotifyOnDrop(Arc<Script>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.dropped.notify_one();
    }
}

async fn completions(
    State(script): State<Arc<Script>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let request = serde_json::from_slice(&body).unwrap();
    script.requests.lock().unwrap().push((headers, request));
    let reply = script.replies.lock().unwrap().pop_front();
    match reply.expect("a request too many") {
        Reply::Status(status, retry_after, body) => {
            let mut response = Response::builder().status(status);
            if let Some(seconds) = retry_after {
                response = response.header("retry-after", seconds);
            }
            response.body(Body::from(body)).unwrap()
        }
        Reply::Stream(chunks, end) => {
            let chunks = stream::iter(
                chunks
                    .into_iter()
                    .map(|c| Ok::<_, io::Error>(Bytes::from(c))),
            );
            let body = match end {
                End::Closes => Body::from_stream(chunks),
                End::Breaks => {
                    // The pause lets the server flush what came before.
                    let cut = stream::once(async {
                        tokio::task::yield_now().await;
                        Err(io::Error::other("cut"))
                    });
                    Body::from_stream(chunks.chain(cut))
                }
                End::Hangs => {
                    let guard = NotifyOnDrop(Arc::clone(&script));
                    let pending = stream::pending().inspect(move |_| {
                        let _ = &guard;
                    });
                    Body::from_stream(chunks.chain(pending))
                }
            };
            Response::builder()
                .header("content-type", "text/event-stream")
                .body(body)
                .unwrap()
        }
    }
}

async fn serve(replies: Vec<Reply>) -> (Arc<Script>, String) {
    install_crypto();
    let script = Arc::new(Script {
        replies: Mutex::new(replies.into()),
        ..Script::default()
    });
    let router = Router::new()
        .route("/v1/chat/completions", post(completions))
        .with_state(Arc::clone(&script));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (script, base_url)
}

async fn session(
    base_url: String,
    change: impl FnOnce(&mut OpenAiConfig),
) -> Box<dyn LanguageModelSession> {
    let mut config = OpenAiConfig {
        base_url,
        model: "test-model".into(),
        first_token_ms: 5_000,
        stall_ms: 5_000,
        ..OpenAiConfig::default()
    };
    change(&mut config);
    let request = LlmSessionRequest {
        system_prompt: "Be brief.".into(),
        ..LlmSessionRequest::default()
    };
    OpenAiModel::new(config)
        .unwrap()
        .open(request)
        .await
        .unwrap()
}

fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn delta(delta: &Value) -> String {
    data(&json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]}))
}

fn finish(reason: &str) -> String {
    data(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}))
}

fn stream_of(parts: &[String], end: End) -> Reply {
    Reply::Stream(
        parts.iter().map(|part| part.clone().into_bytes()).collect(),
        end,
    )
}

fn hello() -> Reply {
    let parts = [
        delta(&json!({"content": "Hello."})),
        finish("stop"),
        "data: [DONE]\n\n".into(),
    ];
    stream_of(&parts, End::Closes)
}

fn fault_of(events: &[LlmEvent]) -> (bool, String) {
    match events.last() {
        Some(LlmEvent::Fault(report)) => (report.retryable, report.message.clone()),
        other => panic!("expected a fault, got {other:?}"),
    }
}

#[tokio::test]
async fn text_arrives_whole_from_bytes_split_anywhere() {
    let stream = format!(
        ": keep-alive\r\n\r\n{}{}{}{}data: [DONE]\n\n",
        delta(&json!({"role": "assistant", "content": ""})),
        delta(&json!({"content": "Grüße, "})),
        delta(&json!({"content": "wörld 👋"})).replace('\n', "\r\n"),
        finish("stop")
            + &data(&json!({"choices": [], "usage":
            {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}})),
    );
    let bytes = stream
        .into_bytes()
        .into_iter()
        .map(|byte| vec![byte])
        .collect();
    let (script, url) = serve(vec![Reply::Stream(bytes, End::Closes)]).await;
    let mut session = session(url, |config| {
        config.api_key = Some(Secret::new("key-1"));
        config.headers = [("x-team".to_owned(), Secret::new("phones"))].into();
        config.temperature = Some(0.5);
    })
    .await;
    let events = read_all(session.as_mut(), &[user("hello")]).await;
    assert_eq!(text_of(&events), "Grüße, wörld 👋");
    let usage = Some(LlmUsage {
        input_tokens: 12,
        output_tokens: 3,
    });
    assert_eq!(events.last(), Some(&LlmEvent::Done { usage }));
    let requests = script.requests.lock().unwrap();
    let (headers, body) = &requests[0];
    assert_eq!(headers["authorization"], "Bearer key-1");
    assert_eq!(headers["x-team"], "phones");
    assert_eq!(body["model"], "test-model");
    assert_eq!(body["stream"], true);
    assert_eq!(body["stream_options"]["include_usage"], true);
    assert_eq!(
        body["messages"][0],
        json!({"role": "system", "content": "Be brief."})
    );
    assert_eq!(
        body["messages"][1],
        json!({"role": "user", "content": "hello"})
    );
    let tools: Vec<&str> = body["tools"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|tool| tool["function"]["name"].as_str())
        .collect();
    assert_eq!(tools, ["end_call", "transfer_call", "send_digits"]);
}

#[tokio::test]
async fn tool_calls_are_joined_by_index() {
    let piece = |index: u32, id: Option<&str>, name: Option<&str>, arguments: &str| {
        delta(
            &json!({"tool_calls": [{"index": index, "id": id, "type": "function",
            "function": {"name": name, "arguments": arguments}}]}),
        )
    };
    let parts = [
        delta(&json!({"content": "One moment."})),
        piece(0, Some("a"), Some("look_up"), ""),
        piece(1, Some("b"), Some("end_call"), ""),
        piece(0, None, None, "{\"day\": \"tu"),
        piece(0, None, None, "esday\"}"),
        finish("tool_calls"),
        "data: [DONE]\n\n".into(),
    ];
    let (_, url) = serve(vec![stream_of(&parts, End::Closes)]).await;
    let mut session = session(url, |_| {}).await;
    let events = read_all(session.as_mut(), &[user("x")]).await;
    let calls: Vec<(String, String, Value)> = events
        .iter()
        .filter_map(|event| match event {
            LlmEvent::ToolCall(call) => {
                Some((call.id.clone(), call.name.clone(), call.arguments.clone()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        calls,
        [
            ("a".into(), "look_up".into(), json!({"day": "tuesday"})),
            ("b".into(), "end_call".into(), json!({}))
        ]
    );
}

#[tokio::test]
async fn arguments_that_are_not_json_are_a_fault() {
    let parts = [
        delta(&json!({"tool_calls": [{"index": 0, "id": "a",
            "function": {"name": "look_up", "arguments": "{\"day\""}}]})),
        finish("tool_calls"),
    ];
    let (_, url) = serve(vec![stream_of(&parts, End::Closes)]).await;
    let mut session = session(url, |_| {}).await;
    let events = read_all(session.as_mut(), &[user("x")]).await;
    assert!(fault_of(&events).1.contains("arguments of look_up"));
}

#[tokio::test]
async fn refused_credentials_and_requests_are_not_retried() {
    let wrong = "{\"error\": {\"message\": \"no such model\"}}";
    let (script, url) = serve(vec![
        Reply::Status(401, None, ""),
        Reply::Status(404, None, wrong),
    ])
    .await;
    let mut session = session(url, |_| {}).await;
    let (retryable, message) = fault_of(&read_all(session.as_mut(), &[user("x")]).await);
    assert!(!retryable && message.contains("credentials"), "{message}");
    let (retryable, message) = fault_of(&read_all(session.as_mut(), &[user("x")]).await);
    assert!(!retryable && message.contains("no such model"), "{message}");
    assert_eq!(script.requests.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn one_retry_hides_a_failure_before_the_first_word() {
    let overloaded = data(&json!({"error": {"message": "overloaded"}}));
    for first in [
        Reply::Status(503, None, ""),
        Reply::Status(429, Some("0"), ""),
        stream_of(&[delta(&json!({"content": ""}))], End::Breaks),
        stream_of(&[overloaded], End::Closes),
    ] {
        let (script, url) = serve(vec![first, hello()]).await;
        let mut session = session(url, |_| {}).await;
        let events = read_all(session.as_mut(), &[user("x")]).await;
        assert_eq!(text_of(&events), "Hello.");
        assert!(matches!(events.last(), Some(LlmEvent::Done { .. })));
        assert_eq!(script.requests.lock().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_rate_limit_beyond_the_deadline_fails_at_once() {
    let (script, url) = serve(vec![Reply::Status(429, Some("30"), "")]).await;
    let mut session = session(url, |_| {}).await;
    let (retryable, message) = fault_of(&read_all(session.as_mut(), &[user("x")]).await);
    assert!(
        retryable && message.contains("limits the rate"),
        "{message}"
    );
    assert_eq!(script.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_second_failure_is_the_last() {
    let (script, url) = serve(vec![
        Reply::Status(500, None, ""),
        Reply::Status(502, None, ""),
    ])
    .await;
    let mut session = session(url, |_| {}).await;
    let (retryable, message) = fault_of(&read_all(session.as_mut(), &[user("x")]).await);
    assert!(retryable && message.contains("502"), "{message}");
    assert_eq!(script.requests.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn an_answer_cut_in_the_middle_is_a_fault_and_not_repeated() {
    let word = delta(&json!({"content": "We are "}));
    for end in [End::Breaks, End::Closes] {
        let (script, url) = serve(vec![stream_of(std::slice::from_ref(&word), end)]).await;
        let mut session = session(url, |_| {}).await;
        let events = read_all(session.as_mut(), &[user("x")]).await;
        assert_eq!(text_of(&events), "We are ");
        assert!(fault_of(&events).0);
        assert_eq!(script.requests.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_stalled_answer_and_a_late_first_word_are_faults() {
    let word = delta(&json!({"content": "We are "}));
    let (_, url) = serve(vec![stream_of(&[word], End::Hangs)]).await;
    let mut stalled = session(url, |config| config.stall_ms = 60).await;
    let events = read_all(stalled.as_mut(), &[user("x")]).await;
    assert_eq!(text_of(&events), "We are ");
    assert!(fault_of(&events).1.contains("in time"));

    let comment = ": still thinking\n\n".to_owned();
    let (script, url) = serve(vec![stream_of(&[comment], End::Hangs)]).await;
    let mut late = session(url, |config| config.first_token_ms = 150).await;
    let events = read_all(late.as_mut(), &[user("x")]).await;
    assert_eq!(
        fault_of(&events),
        (true, "provider did not answer in time".into())
    );
    assert_eq!(script.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn dropping_the_receiver_drops_the_connection() {
    let word = delta(&json!({"content": "We are "}));
    let (script, url) = serve(vec![stream_of(&[word], End::Hangs), hello()]).await;
    let mut session = session(url, |config| config.stall_ms = 60_000).await;
    let mut receiver = session.respond(&[user("x")]).await;
    assert_eq!(
        receiver.recv().await,
        Some(LlmEvent::Text("We are ".into()))
    );
    drop(receiver);
    tokio::time::timeout(
        std::time::Duration::from_secs(20),
        script.dropped.notified(),
    )
    .await
    .expect("the server sees the connection go");
    let events = read_all(session.as_mut(), &[user("y")]).await;
    assert_eq!(text_of(&events), "Hello.");
}

#[tokio::test]
async fn nobody_listening_is_a_retryable_fault() {
    install_crypto();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let mut session = session(url, |_| {}).await;
    assert!(fault_of(&read_all(session.as_mut(), &[user("x")]).await).0);
}
