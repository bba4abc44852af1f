//! Deepgram's `/v1/listen` and `/v2/listen`.

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Response};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::ear::{Ear, Noticed, Word, listed, text};
use super::{Line, Mode, Shared, answer, key};

type Parameters = HashMap<String, String>;

fn checked(query: &Parameters, needed: &[&str]) -> Result<(), Response<Body>> {
    for name in needed {
        if query.get(*name).is_none_or(String::is_empty) {
            return Err(answer(
                400,
                &json!({"err_code": "INVALID_QUERY_PARAMETER", "err_msg": format!("no {name}")}),
            ));
        }
    }
    if query.get("encoding").is_some_and(|e| e != "linear16") {
        return Err(answer(400, &json!({"err_msg": "encoding"})));
    }
    Ok(())
}

pub(crate) async fn nova(
    State(fake): State<Shared>,
    headers: HeaderMap,
    Query(query): Query<Parameters>,
    upgrade: WebSocketUpgrade,
) -> Response<Body> {
    let mode = match fake.admit("deepgram", &key(&headers, "authorization", "Token ")) {
        Ok(mode) => mode,
        Err(refused) => return refused,
    };
    if let Err(refused) = checked(&query, &["model", "encoding", "sample_rate"]) {
        return refused;
    }
    let rate = query["sample_rate"].parse().unwrap();
    let interim = query.get("interim_results").is_some_and(|v| v == "true");
    upgrade
        .on_upgrade(async move |socket| {
            let mut line = Line { socket, mode };
            let mut ear = Ear::new(rate);
            let mut start = 0;
            while let Some(message) = line.next().await {
                match message {
                    Message::Binary(audio) => {
                        ear.push(&audio);
                        if line.breaks(&ear) {
                            return;
                        }
                        if line.mode == Mode::Error && ear.ms() >= 400 {
                            line.say(&json!({"type": "Error", "description": "DATA-0000"}))
                                .await;
                            return;
                        }
                        match ear.notice() {
                            Some(Noticed::End(words)) => {
                                let done = results(&words, start, ear.ms(), true, true, false);
                                start = ear.ms();
                                line.conclude(&done).await;
                            }
                            Some(Noticed::Interim(words) | Noticed::Resumed(words)) if interim => {
                                let news = results(&words, start, ear.ms(), false, false, false);
                                line.say(&news).await;
                            }
                            _ => {}
                        }
                    }
                    Message::Text(control) => {
                        let control: Value = serde_json::from_str(&control).unwrap();
                        let kind = control["type"].as_str().unwrap_or_default();
                        fake.note("deepgram", kind);
                        match kind {
                            "Finalize" => {
                                let words = ear.end();
                                let done = results(&words, start, ear.ms(), true, false, true);
                                start = ear.ms();
                                line.conclude(&done).await;
                            }
                            "CloseStream" => {
                                line.say(&json!({
                                    "type": "Metadata", "transaction_key": "deprecated",
                                    "request_id": "00000000-0000-0000-0000-000000000000",
                                    "sha256": "", "created": "2026-01-01T00:00:00Z",
                                    "duration": ear.ms() as f64 / 1e3, "channels": 1,
                                }))
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

fn results(
    words: &[Word],
    start: usize,
    end: usize,
    is_final: bool,
    speech_final: bool,
    from_finalize: bool,
) -> Value {
    json!({
        "type": "Results",
        "channel_index": [0, 1],
        "start": start as f64 / 1e3,
        "duration": (end - start) as f64 / 1e3,
        "is_final": is_final,
        "speech_final": speech_final,
        "from_finalize": from_finalize,
        "channel": {"alternatives": [{
            "transcript": text(words), "confidence": 0.9, "languages": ["en"],
            "words": listed(words, "word", true),
        }]},
        "metadata": {"request_id": "r", "model_uuid": "m",
            "model_info": {"name": "nova-3", "version": "1", "arch": "nova-3"}},
    })
}

pub(crate) async fn flux(
    State(fake): State<Shared>,
    headers: HeaderMap,
    Query(query): Query<Parameters>,
    upgrade: WebSocketUpgrade,
) -> Response<Body> {
    let mode = match fake.admit("deepgram_flux", &key(&headers, "authorization", "Token ")) {
        Ok(mode) => mode,
        Err(refused) => return refused,
    };
    if let Err(refused) = checked(&query, &["model"]) {
        return refused;
    }
    let rate = query
        .get("sample_rate")
        .map_or(16_000, |rate| rate.parse().unwrap());
    let eager = query.contains_key("eager_eot_threshold");
    upgrade
        .on_upgrade(async move |socket| {
            let mut line = Line { socket, mode };
            let mut turns = Turns::default();
            let mut ear = Ear::new(rate);
            line.say(&json!({"type": "Connected", "request_id": "r", "sequence_id": 0}))
                .await;
            while let Some(message) = line.next().await {
                match message {
                    Message::Binary(audio) => {
                        ear.push(&audio);
                        if audio.iter().all(|byte| *byte == 0) {
                            fake.note("deepgram_flux", "silence");
                        }
                        if line.breaks(&ear) {
                            return;
                        }
                        if line.mode == Mode::Error && ear.ms() >= 400 {
                            line.say(&json!({"type": "Error", "sequence_id": 1,
                                "code": "INTERNAL_SERVER_ERROR", "description": "oh"}))
                                .await;
                            return;
                        }
                        match ear.notice() {
                            Some(Noticed::Interim(words)) => {
                                let event = if turns.open { "Update" } else { "StartOfTurn" };
                                line.say(&turns.info(event, &words, ear.ms())).await;
                            }
                            Some(Noticed::Eager(words)) if eager => {
                                line.say(&turns.info("EagerEndOfTurn", &words, ear.ms()))
                                    .await;
                            }
                            Some(Noticed::Resumed(words)) if eager => {
                                line.say(&turns.info("TurnResumed", &words, ear.ms())).await;
                            }
                            Some(Noticed::End(words)) => {
                                line.conclude(&turns.info("EndOfTurn", &words, ear.ms()))
                                    .await;
                            }
                            _ => {}
                        }
                    }
                    Message::Text(control) => {
                        let control: Value = serde_json::from_str(&control).unwrap();
                        let kind = control["type"].as_str().unwrap_or_default();
                        fake.note("deepgram_flux", kind);
                        match kind {
                            // Without a running turn there is none to end.
                            "ForceEndTurn" => {
                                let words = ear.end();
                                if !words.is_empty() {
                                    line.conclude(&turns.info("EndOfTurn", &words, ear.ms()))
                                        .await;
                                }
                            }
                            "CloseStream" => return,
                            _ => {}
                        }
                    }
                    _ => {}
                }
            }
        })
        .into_response()
}

#[derive(Default)]
struct Turns {
    index: u32,
    sequence: u32,
    open: bool,
}

impl Turns {
    fn info(&mut self, event: &str, words: &[Word], now_ms: usize) -> Value {
        self.sequence += 1;
        let info = json!({
            "type": "TurnInfo", "request_id": "r", "sequence_id": self.sequence,
            "event": event, "turn_index": self.index,
            "audio_window_start": words.first().map_or(0.0, |w| w.start_ms as f64 / 1e3),
            "audio_window_end": now_ms as f64 / 1e3,
            "transcript": text(words),
            "words": listed(words, "word", true),
            "end_of_turn_confidence": if event == "EndOfTurn" { 0.8 } else { 0.4 },
        });
        self.open = event != "EndOfTurn";
        self.index += u32::from(!self.open);
        info
    }
}
