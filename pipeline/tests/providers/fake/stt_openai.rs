//! OpenAI's realtime transcription and its upload.

use std::collections::HashMap;

use axum::body::{Body, Bytes};
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Response};
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::ear::{Ear, Word, listed, text};
use super::{Line, Mode, Shared, answer, key};

pub(crate) async fn realtime(
    State(fake): State<Shared>,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response<Body> {
    let mode = match fake.admit(
        "openai_realtime",
        &key(&headers, "authorization", "Bearer "),
    ) {
        Ok(mode) => mode,
        Err(refused) => return refused,
    };
    if query
        .get("intent")
        .is_none_or(|intent| intent != "transcription")
    {
        return answer(400, &json!({"error": {"message": "intent"}}));
    }
    upgrade
        .on_upgrade(async move |socket| {
            let mut line = Line { socket, mode };
            let session = json!({"type": "transcription", "id": "s", "object": "realtime.session"});
            line.say(&json!({"type": "session.created", "event_id": "e", "session": session}))
                .await;
            let mut ear = Ear::new(24_000);
            let mut uncommitted = 0;
            let mut item = 0;
            while let Some(message) = line.next().await {
                let Message::Text(message) = message else {
                    return;
                };
                let message: Value = serde_json::from_str(&message).unwrap();
                let kind = message["type"].as_str().unwrap_or_default();
                match kind {
                    "session.update" => {
                        fake.note("openai_realtime", kind);
                        let input = &message["session"]["audio"]["input"];
                        assert_eq!(input["format"]["rate"], 24_000);
                        assert!(input["transcription"]["model"].is_string());
                        line.say(&json!({"type": "session.updated", "event_id": "e",
                            "session": message["session"]}))
                            .await;
                    }
                    "input_audio_buffer.append" => {
                        let audio = STANDARD.decode(message["audio"].as_str().unwrap()).unwrap();
                        uncommitted += audio.len();
                        ear.push(&audio);
                        if line.breaks(&ear) {
                            return;
                        }
                        if line.mode == Mode::Error && ear.ms() >= 400 {
                            line.say(&json!({"type": "error", "event_id": "e", "error":
                                {"type": "server_error", "code": null, "message": "oh"}}))
                                .await;
                            return;
                        }
                    }
                    "input_audio_buffer.commit" => {
                        fake.note("openai_realtime", kind);
                        if std::mem::take(&mut uncommitted) < 4_800 {
                            line.say(&json!({"type": "error", "event_id": "e", "error":
                                {"type": "invalid_request_error", "message": "buffer too small",
                                 "code": "input_audio_buffer_commit_empty"}}))
                                .await;
                            continue;
                        }
                        item += 1;
                        let id = format!("item_{item}");
                        let words = ear.end();
                        line.say(
                            &json!({"type": "input_audio_buffer.committed", "event_id": "e",
                            "previous_item_id": null, "item_id": id}),
                        )
                        .await;
                        transcribe(&mut line, &id, &words).await;
                    }
                    _ => {}
                }
            }
        })
        .into_response()
}

async fn transcribe(line: &mut Line, id: &str, words: &[Word]) {
    let name = "conversation.item.input_audio_transcription";
    for (index, word) in words.iter().enumerate() {
        let space = if index > 0 { " " } else { "" };
        line.say(
            &json!({"type": format!("{name}.delta"), "event_id": "e", "item_id": id,
            "content_index": 0, "delta": format!("{space}{}", word.text)}),
        )
        .await;
    }
    line.conclude(
        &json!({"type": format!("{name}.completed"), "event_id": "e", "item_id": id,
        "content_index": 0, "transcript": text(words),
        "usage": {"type": "duration", "seconds": 1}}),
    )
    .await;
}

pub(crate) async fn upload(
    State(fake): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let mode = match fake.admit("openai_upload", &key(&headers, "authorization", "Bearer ")) {
        Ok(mode) => mode,
        Err(refused) => return refused,
    };
    let kind = headers["content-type"].to_str().unwrap();
    let boundary = kind.split("boundary=").nth(1).unwrap().trim_matches('"');
    let mut audio = None;
    let mut fields = json!({});
    for part in parts(&body, boundary.as_bytes()) {
        let at = find(part, b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&part[..at]).to_lowercase();
        let value = &part[at + 4..];
        if head.contains("name=\"file\"") {
            assert_eq!(&value[..4], b"RIFF");
            let data = find(value, b"data").unwrap();
            audio = Some(&value[data + 8..]);
        } else if let Some(name) = head
            .split("name=\"")
            .nth(1)
            .and_then(|n| n.split('"').next())
        {
            fields[name] = json!(String::from_utf8_lossy(value));
        }
    }
    fake.bodies
        .lock()
        .unwrap()
        .push(("openai_upload", fields.clone()));
    let (Some(audio), Some(_)) = (audio, fields["model"].as_str()) else {
        return answer(
            400,
            &json!({"error": {"message": "file and model are required"}}),
        );
    };
    match mode {
        Mode::Error => return answer(500, &json!({"error": {"message": "oh"}})),
        Mode::Cut => {
            let cut =
                futures_util::stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut")) });
            return Response::new(Body::from_stream(cut));
        }
        Mode::Silent => std::future::pending::<()>().await,
        Mode::Late => tokio::time::sleep(std::time::Duration::from_millis(500)).await,
        Mode::Good => {}
    }
    let mut ear = Ear::new(16_000);
    ear.push(audio);
    let words = ear.end();
    let mut reply = json!({"text": text(&words), "usage": {"type": "duration", "seconds": 1}});
    if fields["response_format"] == "verbose_json" {
        reply["words"] = listed(&words, "word", true);
        reply["language"] = json!("english");
        reply["duration"] = json!(1.0);
    }
    answer(200, &reply)
}

fn parts<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<&'a [u8]> {
    let mark = [b"--", boundary].concat();
    let mut out = Vec::new();
    let mut rest = body;
    while let Some(at) = find(rest, &mark) {
        if at >= 2 {
            out.push(&rest[2..at - 2]);
        }
        rest = &rest[at + mark.len()..];
    }
    out
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
