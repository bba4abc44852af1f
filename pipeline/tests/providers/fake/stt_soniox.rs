//! Soniox' transcription websocket.

use axum::body::Body;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::http::{HeaderMap, Response};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::ear::{Ear, Noticed, Word};
use super::{Line, Mode, Shared, key};

pub(crate) async fn streaming(
    State(fake): State<Shared>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response<Body> {
    let mode = match fake.admit("soniox", &key(&headers, "authorization", "Bearer ")) {
        Ok(mode) => mode,
        Err(refused) => return refused,
    };
    upgrade
        .on_upgrade(async move |socket| {
            let mut line = Line { socket, mode };
            let Some(Message::Text(start)) = line.next().await else {
                return;
            };
            let start: Value = serde_json::from_str(&start).unwrap();
            let known = start["model"].is_string() && start["audio_format"] == "pcm_s16le";
            let rate = start["sample_rate"].as_u64().filter(|_| known);
            let Some(rate) = rate.and_then(|rate| usize::try_from(rate).ok()) else {
                line.say(&json!({"tokens": [], "error_code": 400, "error_message": "start"}))
                    .await;
                return;
            };
            let mut ear = Ear::new(rate);
            while let Some(message) = line.next().await {
                match message {
                    Message::Binary(audio) if !audio.is_empty() => {
                        ear.push(&audio);
                        if line.breaks(&ear) {
                            return;
                        }
                        if line.mode == Mode::Error && ear.ms() >= 400 {
                            line.say(&json!({"tokens": [], "error_code": 503,
                                "error_message": "Cannot continue request"}))
                                .await;
                            return;
                        }
                        match ear.notice() {
                            Some(Noticed::End(words)) => {
                                line.conclude(&tokens(&words, true, "<end>", &ear)).await;
                            }
                            Some(
                                Noticed::Interim(words)
                                | Noticed::Resumed(words)
                                | Noticed::Eager(words),
                            ) => line.say(&tokens(&words, false, "", &ear)).await,
                            None => {}
                        }
                    }
                    Message::Text(control) if !control.is_empty() => {
                        let control: Value = serde_json::from_str(&control).unwrap();
                        let kind = control["type"].as_str().unwrap_or_default();
                        fake.note("soniox", kind);
                        if kind == "finalize" {
                            let words = ear.end();
                            line.conclude(&tokens(&words, true, "<fin>", &ear)).await;
                        }
                    }
                    // An empty frame of either kind.
                    _ => {
                        let words = ear.end();
                        fake.note("soniox", "end");
                        let mut last = tokens(&words, true, "", &ear);
                        last["finished"] = json!(true);
                        line.say(&last).await;
                        return;
                    }
                }
            }
        })
        .into_response()
}

/// Tokens are pieces of words: each word is cut in two.
fn tokens(words: &[Word], is_final: bool, mark: &str, ear: &Ear) -> Value {
    let mut tokens = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let (head, tail) = word.text.split_at(word.text.len().div_ceil(2));
        let space = if index > 0 { " " } else { "" };
        let middle = match tail {
            "" => word.end_ms,
            _ => usize::midpoint(word.start_ms, word.end_ms),
        };
        for (text, start, end) in [
            (format!("{space}{head}"), word.start_ms, middle),
            (tail.to_owned(), middle, word.end_ms),
        ] {
            if !text.is_empty() {
                tokens.push(json!({"text": text, "start_ms": start, "end_ms": end,
                    "confidence": 0.9, "is_final": is_final, "language": "en"}));
            }
        }
    }
    if !mark.is_empty() {
        tokens.push(json!({"text": mark, "is_final": true, "confidence": 1.0}));
    }
    json!({"tokens": tokens, "final_audio_proc_ms": ear.ms(), "total_audio_proc_ms": ear.ms()})
}
