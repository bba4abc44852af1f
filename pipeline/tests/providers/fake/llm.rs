//! Chat completions, Anthropic's messages and Gemini's streamGenerateContent. The answer repeats
//! what the user said; asked to "look up" something, the model calls the tool `look_up`, and with
//! the tool's result at hand it says the result.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Response};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::{Fake, Mode, Shared, answer, key};

/// What the model makes of a request.
enum Reply {
    Text(String),
    Tool,
}

fn reply(last_user: &str, result: Option<&str>) -> Reply {
    match result {
        Some(result) => Reply::Text(format!("It is {result}.")),
        None if last_user.contains("look up") => Reply::Tool,
        None => Reply::Text(format!("You said: {last_user}. Thank you!")),
    }
}

/// Cuts a text into the pieces a model would stream.
fn pieces(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

/// Sends events; what the mode asks for happens behind the second.
fn streamed(
    fake: &Shared,
    vendor: &'static str,
    mode: Mode,
    mut events: Vec<String>,
    error: String,
) -> Response<Body> {
    struct Watch(Shared, &'static str);
    impl Drop for Watch {
        fn drop(&mut self) {
            self.0.note(self.1, "dropped");
        }
    }
    let hangs = mode == Mode::Silent || mode == Mode::Late;
    match mode {
        Mode::Good => {}
        Mode::Silent => events.clear(),
        Mode::Cut | Mode::Error | Mode::Late => events.truncate(3),
    }
    if mode == Mode::Error {
        events.push(error);
    }
    let head = stream::iter(
        events
            .into_iter()
            .map(|e| Ok::<_, io::Error>(Bytes::from(e))),
    );
    let body = if mode == Mode::Cut {
        let cut = stream::once(async {
            // Lets the server flush what came before.
            tokio::time::sleep(Duration::from_millis(20)).await;
            Err(io::Error::other("cut"))
        });
        Body::from_stream(head.chain(cut))
    } else if hangs {
        let watch = Watch(fake.clone(), vendor);
        let pending = stream::pending().inspect(move |_| {
            let _ = &watch;
        });
        Body::from_stream(head.chain(pending))
    } else {
        Body::from_stream(head)
    };
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(body)
        .unwrap()
}

fn begin(
    fake: &Fake,
    vendor: &'static str,
    key: &str,
    body: &Bytes,
) -> Result<(Mode, Value), Response<Body>> {
    let mode = fake.admit(vendor, key)?;
    let body: Value = serde_json::from_slice(body)
        .map_err(|_| answer(400, &json!({"error": {"message": "not JSON"}})))?;
    fake.bodies.lock().unwrap().push((vendor, body.clone()));
    Ok((mode, body))
}

pub(crate) async fn openai(
    State(fake): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let key = key(&headers, "authorization", "Bearer ");
    let (mode, body) = match begin(&fake, "openai", &key, &body) {
        Ok(begun) => begun,
        Err(refused) => return refused,
    };
    let messages = body["messages"].as_array().unwrap();
    let last = messages.last().unwrap();
    let result = (last["role"] == "tool").then(|| last["content"].as_str().unwrap());
    let delta = |delta: Value, finish: Value| {
        let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1,
            "model": body["model"],
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
        format!("data: {chunk}\n\n")
    };
    let mut events = vec![delta(
        json!({"role": "assistant", "content": ""}),
        Value::Null,
    )];
    match reply(last["content"].as_str().unwrap(), result) {
        Reply::Text(text) => {
            events.extend(
                pieces(&text)
                    .into_iter()
                    .map(|p| delta(json!({"content": p}), Value::Null)),
            );
            events.push(delta(json!({}), json!("stop")));
        }
        Reply::Tool => {
            let call = |call: Value| delta(json!({"tool_calls": [call]}), Value::Null);
            events.push(call(json!({"index": 0, "id": "call_1", "type": "function",
                "function": {"name": "look_up", "arguments": ""}})));
            events.push(call(
                json!({"index": 0, "function": {"arguments": "{\"day\":"}}),
            ));
            events.push(call(
                json!({"index": 0, "function": {"arguments": " \"monday\"}"}}),
            ));
            events.push(delta(json!({}), json!("tool_calls")));
        }
    }
    let usage = json!({"id": "c", "object": "chat.completion.chunk", "created": 1,
        "model": body["model"], "choices": [],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}});
    events.push(format!("data: {usage}\n\n"));
    events.push("data: [DONE]\n\n".to_owned());
    let error = format!("data: {}\n\n", json!({"error": {"message": "overloaded"}}));
    streamed(&fake, "openai", mode, events, error)
}

pub(crate) async fn anthropic(
    State(fake): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    // Newer SDKs send the same key as a bearer token.
    let bearer = key(&headers, "authorization", "Bearer ");
    let key = if bearer.is_empty() {
        key(&headers, "x-api-key", "")
    } else {
        bearer
    };
    let (mode, body) = match begin(&fake, "anthropic", &key, &body) {
        Ok(begun) => begun,
        Err(refused) => return refused,
    };
    let wrong = |what: &str| {
        answer(
            400,
            &json!({"type": "error",
            "error": {"type": "invalid_request_error", "message": what}}),
        )
    };
    if headers.get("anthropic-version").is_none() {
        return wrong("anthropic-version: header is required");
    }
    if !body["max_tokens"].is_u64() {
        return wrong("max_tokens: Field required");
    }
    let messages = body["messages"].as_array().unwrap();
    if messages[0]["role"] != "user" {
        return wrong("messages: first message must use the user role");
    }
    let content = &messages.last().unwrap()["content"];
    let last = content.as_array().and_then(|blocks| blocks.last());
    let user = last
        .map_or(content, |block| &block["text"])
        .as_str()
        .unwrap_or_default();
    let result = last
        .filter(|block| block["type"] == "tool_result")
        .map(|block| block["content"].as_str().unwrap());
    let event = |value: Value| {
        format!(
            "event: {}\ndata: {value}\n\n",
            value["type"].as_str().unwrap()
        )
    };
    let mut events = vec![
        event(
            json!({"type": "message_start", "message": {"id": "msg_1", "type": "message",
            "role": "assistant", "content": [], "model": body["model"], "stop_reason": null,
            "stop_sequence": null, "usage": {"input_tokens": 9, "cache_read_input_tokens": 2,
                "output_tokens": 1}}}),
        ),
        event(json!({"type": "ping"})),
    ];
    let mut stop = "end_turn";
    match reply(user, result) {
        Reply::Text(text) => {
            events.push(event(json!({"type": "content_block_start", "index": 0,
                "content_block": {"type": "text", "text": ""}})));
            events.extend(pieces(&text).into_iter().map(|piece| {
                event(json!({"type": "content_block_delta", "index": 0,
                    "delta": {"type": "text_delta", "text": piece}}))
            }));
        }
        Reply::Tool => {
            stop = "tool_use";
            events.push(event(json!({"type": "content_block_start", "index": 0,
                "content_block": {"type": "tool_use", "id": "toolu_1", "name": "look_up",
                    "input": {}}})));
            for piece in ["", "{\"day\":", " \"monday\"}"] {
                events.push(event(json!({"type": "content_block_delta", "index": 0,
                    "delta": {"type": "input_json_delta", "partial_json": piece}})));
            }
        }
    }
    events.push(event(json!({"type": "content_block_stop", "index": 0})));
    events.push(event(json!({"type": "message_delta",
        "delta": {"stop_reason": stop, "stop_sequence": null}, "usage": {"output_tokens": 7}})));
    events.push(event(json!({"type": "message_stop"})));
    let error = event(json!({"type": "error",
        "error": {"type": "overloaded_error", "message": "Overloaded"}}));
    // The ping is no progress; trouble comes behind the first word.
    if matches!(mode, Mode::Cut | Mode::Error | Mode::Late) {
        events.remove(1);
        let start = events.remove(1);
        events[0].push_str(&start);
    }
    streamed(&fake, "anthropic", mode, events, error)
}

pub(crate) async fn gemini(
    State(fake): State<Shared>,
    Path(call): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let key = key(&headers, "x-goog-api-key", "");
    let (mode, body) = match begin(&fake, "gemini", &key, &body) {
        Ok(begun) => begun,
        Err(refused) => return refused,
    };
    if !call.ends_with(":streamGenerateContent") {
        return answer(
            404,
            &json!({"error": {"code": 404, "message": "no such method"}}),
        );
    }
    let contents = body["contents"].as_array().unwrap();
    let part = contents.last().unwrap()["parts"]
        .as_array()
        .unwrap()
        .last()
        .unwrap();
    let user = part["text"].as_str().unwrap_or_default();
    let result = part["functionResponse"]["response"]["result"].as_str();
    if result.is_some() {
        // Both sides of a call must fit, signature included.
        let called = &contents[contents.len() - 2]["parts"][0];
        if called["thoughtSignature"] != "c2ln"
            || called["functionCall"]["name"] != part["functionResponse"]["name"]
        {
            return answer(
                400,
                &json!({"error": {"code": 400,
                "message": "function call is missing a thought_signature"}}),
            );
        }
    }
    let chunk = |parts: Value, finish: Option<&str>| {
        let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
        if let Some(finish) = finish {
            candidate["finishReason"] = json!(finish);
        }
        let chunk = json!({"candidates": [candidate], "modelVersion": "m", "responseId": "r",
            "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 7,
                "totalTokenCount": 18}});
        format!("data: {chunk}\r\n\r\n")
    };
    let mut events = Vec::new();
    match reply(user, result) {
        Reply::Text(text) => {
            events.push(chunk(json!([{"text": "hm", "thought": true}]), None));
            events.extend(
                pieces(&text)
                    .into_iter()
                    .map(|p| chunk(json!([{"text": p}]), None)),
            );
            events.push(chunk(json!([{"text": ""}]), Some("STOP")));
        }
        Reply::Tool => events.push(chunk(
            json!([{"functionCall": {"name": "look_up", "args": {"day": "monday"}},
                "thoughtSignature": "c2ln"}]),
            Some("STOP"),
        )),
    }
    let error = json!({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}});
    streamed(
        &fake,
        "gemini",
        mode,
        events,
        format!("data: {error}\r\n\r\n"),
    )
}
