//! Sarvam's `/speech-to-text-realtime/ws` in manual and vad endpointing.

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Response};
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::ear::{Ear, Noticed, text};
use super::{Line, Mode, Shared, answer, key};

pub(crate) async fn streaming(
    State(fake): State<Shared>,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response<Body> {
    let mode = match fake.admit("sarvam", &key(&headers, "api-subscription-key", "")) {
        Ok(mode) => mode,
        Err(refused) => return refused,
    };
    let Some(language) = query.get("language_code").cloned() else {
        return answer(
            400,
            &json!({"error": {"message": "language_code is required"}}),
        );
    };
    let rate = query
        .get("sample_rate")
        .map_or(16_000, |rate| rate.parse().unwrap());
    let manual = query.get("endpointing").is_some_and(|e| e == "manual");
    upgrade
        .on_upgrade(async move |socket| {
            let mut line = Line { socket, mode };
            let mut ear = Ear::new(rate);
            let mut index = 0;
            let said = |event: &str, index: u32, text: String| {
                json!({"event": event, "utterance_idx": index, "text": text,
                    "language": language})
            };
            line.say(&json!({"event": "session.begin", "request_id": "r"}))
                .await;
            while let Some(message) = line.next().await {
                let Message::Text(message) = message else {
                    return;
                };
                let message: Value = serde_json::from_str(&message).unwrap();
                let kind = message["event"].as_str().unwrap_or_default();
                if kind != "audio_input" {
                    fake.note("sarvam", kind);
                }
                match kind {
                    "audio_input" => {
                        ear.push(&STANDARD.decode(message["audio"].as_str().unwrap()).unwrap());
                        if line.breaks(&ear) {
                            return;
                        }
                        if line.mode == Mode::Error && ear.ms() >= 400 {
                            line.say(&json!({"event": "error", "code": "internal",
                                "is_fatal": true, "message": "oh", "status_code": 500}))
                                .await;
                            return;
                        }
                        if ear.heard().is_empty() {
                            continue;
                        }
                        match ear.notice() {
                            Some(Noticed::Interim(words) | Noticed::Resumed(words)) => {
                                line.say(&said("transcript.partial", index, text(&words)))
                                    .await;
                            }
                            Some(Noticed::End(words)) if !manual => {
                                line.say(&json!({"event": "vad.speech_end",
                                    "utterance_idx": index}))
                                    .await;
                                line.conclude(&said("transcript.final", index, text(&words)))
                                    .await;
                                index += 1;
                            }
                            // In manual mode only the client ends an utterance.
                            Some(Noticed::End(words)) => ear.keep(&words),
                            _ => {}
                        }
                    }
                    "speech_end" | "flush" => {
                        let words = ear.end();
                        line.conclude(&said("transcript.final", index, text(&words)))
                            .await;
                        index += 1;
                    }
                    "ping" => line.say(&json!({"event": "pong"})).await,
                    "end" => {
                        line.say(&json!({"event": "session.end", "request_id": "r",
                            "total_duration_s": ear.ms() as f64 / 1e3,
                            "total_utterances": index}))
                            .await;
                        return;
                    }
                    _ => {}
                }
            }
        })
        .into_response()
}
