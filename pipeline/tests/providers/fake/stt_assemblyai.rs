//! AssemblyAI's `/v3/ws`.

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Response};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::ear::{Ear, Noticed, Word, listed, text};
use super::{Line, Mode, Shared, answer, key};

pub(crate) async fn streaming(
    State(fake): State<Shared>,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response<Body> {
    let mode = match fake.admit("assemblyai", &key(&headers, "authorization", "")) {
        Ok(mode) => mode,
        Err(refused) => return refused,
    };
    let Some(rate) = query.get("sample_rate").and_then(|rate| rate.parse().ok()) else {
        return answer(400, &json!({"error": "sample_rate is required"}));
    };
    if query.get("speech_model").is_none_or(String::is_empty) {
        return answer(400, &json!({"error": "speech_model is required"}));
    }
    upgrade
        .on_upgrade(async move |socket| {
            let mut line = Line { socket, mode };
            let mut ear = Ear::new(rate);
            let mut order = 0;
            line.say(&json!({"type": "Begin", "id": "b", "expires_at": 1_900_000_000}))
                .await;
            while let Some(message) = line.next().await {
                match message {
                    Message::Binary(audio) => {
                        // A message is 50 to 1000 ms long.
                        if !(rate / 10..=rate * 2).contains(&audio.len()) {
                            line.say(&json!({"type": "Error", "error_code": 3007,
                                "error": "Input Duration Error"}))
                                .await;
                            return;
                        }
                        ear.push(&audio);
                        if line.breaks(&ear) {
                            return;
                        }
                        if line.mode == Mode::Error && ear.ms() >= 400 {
                            line.say(&json!({"type": "Error", "error_code": 3005,
                                "error": "Server error"}))
                                .await;
                            return;
                        }
                        match ear.notice() {
                            Some(Noticed::Interim(words) | Noticed::Resumed(words)) => {
                                line.say(&turn(order, &words, "", false)).await;
                            }
                            Some(Noticed::Eager(words)) => {
                                line.say(&turn(order, &words, &text(&words), false)).await;
                            }
                            Some(Noticed::End(words)) => {
                                line.conclude(&turn(order, &words, &text(&words), true))
                                    .await;
                                // The formatted copy of the same turn.
                                let mut copy = turn(order, &words, &text(&words), true);
                                copy["turn_is_formatted"] = json!(true);
                                line.say(&copy).await;
                                order += 1;
                            }
                            None => {}
                        }
                    }
                    Message::Text(control) => {
                        let control: Value = serde_json::from_str(&control).unwrap();
                        let kind = control["type"].as_str().unwrap_or_default();
                        fake.note("assemblyai", kind);
                        match kind {
                            "ForceEndpoint" => {
                                let words = ear.end();
                                if !words.is_empty() {
                                    line.conclude(&turn(order, &words, &text(&words), true))
                                        .await;
                                    order += 1;
                                }
                            }
                            "Terminate" => {
                                line.say(&json!({"type": "Termination",
                                    "audio_duration_seconds": ear.ms() / 1000,
                                    "session_duration_seconds": ear.ms() / 1000}))
                                    .await;
                                return;
                            }
                            _ => {}
                        }
                    }
                    _ => {}
                }
            }
        })
        .into_response()
}

fn turn(order: u32, words: &[Word], utterance: &str, end: bool) -> Value {
    // `transcript` holds finished words only.
    let finished = if end {
        words
    } else {
        &words[..words.len() - 1]
    };
    json!({
        "type": "Turn", "turn_order": order, "turn_is_formatted": false, "end_of_turn": end,
        "transcript": text(finished), "utterance": utterance,
        "end_of_turn_confidence": if end { 0.7 } else { 0.2 },
        "words": listed(words, "text", false), "language_code": "en",
    })
}
