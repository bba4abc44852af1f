//! Voices that say a text as levels: a word is 200 ms of `length * 500`, 50 ms of silence behind
//! it, 100 ms of silence before the first. What arrives can therefore be counted and timed.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Response};
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::{Line, Mode, Shared, answer, key};

type Parameters = HashMap<String, String>;

/// Silence before the first word, length of a word, and silence behind it, in ms.
pub(crate) const LEAD: usize = 100;
pub(crate) const WORD: usize = 200;
pub(crate) const GAP: usize = 50;

/// The level of a word.
pub(crate) fn level(word: &str) -> i16 {
    i16::try_from(word.chars().count() * 500).unwrap()
}

/// PCM of a text.
pub(crate) fn pcm(text: &str, rate: usize) -> Vec<i16> {
    let ms = rate / 1000;
    let mut samples = vec![0; LEAD * ms];
    for word in text.split_whitespace() {
        samples.extend(std::iter::repeat_n(level(word), WORD * ms));
        samples.extend(std::iter::repeat_n(0, GAP * ms));
    }
    samples
}

/// Words with begin and end in ms.
fn timed(text: &str) -> Vec<(&str, usize, usize)> {
    let words = text.split_whitespace().enumerate();
    words
        .map(|(index, word)| {
            let start = LEAD + index * (WORD + GAP);
            (word, start, start + WORD)
        })
        .collect()
}

fn bytes(samples: &[i16]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect()
}

/// PCM in pieces of 200 ms, one byte off so that samples are cut.
fn pieces(text: &str, rate: usize) -> Vec<Vec<u8>> {
    let all = bytes(&pcm(text, rate));
    let size = rate / 5 * 2 + 1;
    all.chunks(size).map(<[u8]>::to_vec).collect()
}

/// Where trouble comes: behind the third piece.
const TROUBLE: usize = 3;

pub(crate) async fn elevenlabs_multi(
    State(fake): State<Shared>,
    Path(voice): Path<String>,
    headers: HeaderMap,
    Query(query): Query<Parameters>,
    upgrade: WebSocketUpgrade,
) -> Response<Body> {
    elevenlabs(fake, &voice, &headers, &query, upgrade, true)
}

pub(crate) async fn elevenlabs_single(
    State(fake): State<Shared>,
    Path(voice): Path<String>,
    headers: HeaderMap,
    Query(query): Query<Parameters>,
    upgrade: WebSocketUpgrade,
) -> Response<Body> {
    elevenlabs(fake, &voice, &headers, &query, upgrade, false)
}

fn elevenlabs(
    fake: Shared,
    voice: &str,
    headers: &HeaderMap,
    query: &Parameters,
    upgrade: WebSocketUpgrade,
    multi: bool,
) -> Response<Body> {
    let mode = match fake.admit("elevenlabs", &key(headers, "xi-api-key", "")) {
        Ok(mode) => mode,
        Err(refused) => return refused,
    };
    if voice.is_empty() || query.get("output_format").is_none_or(|f| f != "pcm_16000") {
        return answer(400, &json!({"detail": {"message": "output_format"}}));
    }
    upgrade
        .on_upgrade(async move |socket| {
            let mut line = Line { socket, mode };
            // Text by context, until it is flushed.
            let mut contexts: HashMap<String, String> = HashMap::new();
            while let Some(Message::Text(message)) = line.next().await {
                let message: Value = serde_json::from_str(&message).unwrap();
                let context = message["context_id"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                if message["close_socket"] == true {
                    fake.note("elevenlabs", "close_socket");
                    return;
                }
                if message["close_context"] == true {
                    fake.note("elevenlabs", "close_context");
                    if contexts.remove(&context).is_some() {
                        line.say(&json!({"isFinal": true, "contextId": context}))
                            .await;
                    }
                    continue;
                }
                let text = message["text"].as_str().unwrap_or_default();
                let known = contexts.contains_key(&context);
                let kept = contexts.entry(context.clone()).or_default();
                assert!(
                    !multi || known || text == " ",
                    "a context begins with a space"
                );
                if !multi && text.is_empty() || message["flush"] == true {
                    kept.push_str(text);
                    let text = std::mem::take(kept);
                    if !say_aligned(&mut line, &text, &context, multi).await {
                        return;
                    }
                    if !multi {
                        line.say(&json!({"isFinal": true})).await;
                        let _ = line
                            .socket
                            .send(Message::Close(Some(axum::extract::ws::CloseFrame {
                                code: 1000,
                                reason: "".into(),
                            })))
                            .await;
                        return;
                    }
                } else {
                    kept.push_str(text);
                }
            }
        })
        .into_response()
}

/// One message a word, with the characters' times from the message's own start.
async fn say_aligned(line: &mut Line, text: &str, context: &str, multi: bool) -> bool {
    let samples = pcm(text, 16_000);
    let mut at = 0;
    for (index, (word, start, end)) in timed(text).into_iter().enumerate() {
        if index == TROUBLE {
            match line.mode {
                Mode::Cut => return false,
                Mode::Error => {
                    line.say(&json!({"error": "something_went_wrong", "message": "oh"}))
                        .await;
                    return false;
                }
                Mode::Late => tokio::time::sleep(Duration::from_millis(2_800)).await,
                Mode::Good | Mode::Silent => {}
            }
        }
        let until = (end + GAP) * 16;
        let audio = STANDARD.encode(bytes(&samples[at * 16..until]));
        let base = start - at;
        let count = word.chars().count();
        let each = WORD / count;
        let mut chars: Vec<String> = word.chars().map(String::from).collect();
        let mut starts: Vec<usize> = (0..count).map(|i| base + i * each).collect();
        let mut lengths: Vec<usize> = (0..count).map(|_| each).collect();
        lengths[count - 1] = WORD - each * (count - 1);
        chars.push(" ".into());
        starts.push(base + WORD);
        lengths.push(GAP);
        let mut message = json!({
            "audio": audio,
            "alignment": {"chars": chars, "charStartTimesMs": starts, "charDurationsMs": lengths,
                "charsDurationsMs": lengths},
            "normalizedAlignment": null,
        });
        if multi {
            message["contextId"] = json!(context);
        }
        line.say(&message).await;
        at = end + GAP;
    }
    true
}

pub(crate) async fn cartesia(
    State(fake): State<Shared>,
    headers: HeaderMap,
    Query(query): Query<Parameters>,
    upgrade: WebSocketUpgrade,
) -> Response<Body> {
    // The SDK sends a bearer token, as browsers do in the query.
    let keys = [
        key(&headers, "x-api-key", ""),
        key(&headers, "authorization", "Bearer "),
        query.get("api_key").cloned().unwrap_or_default(),
    ];
    let key = keys
        .into_iter()
        .find(|key| !key.is_empty())
        .unwrap_or_default();
    let mode = match fake.admit("cartesia", &key) {
        Ok(mode) => mode,
        Err(refused) => return refused,
    };
    if !headers.contains_key("cartesia-version") && !query.contains_key("cartesia_version") {
        return answer(400, &json!({"error": "cartesia-version is required"}));
    }
    upgrade
        .on_upgrade(async move |socket| {
            let mut line = Line { socket, mode };
            while let Some(Message::Text(message)) = line.next().await {
                let message: Value = serde_json::from_str(&message).unwrap();
                let context = &message["context_id"];
                if message["cancel"] == true {
                    fake.note("cartesia", "cancel");
                    continue;
                }
                let format = &message["output_format"];
                assert_eq!(
                    (&format["container"], &format["encoding"]),
                    (&json!("raw"), &json!("pcm_s16le"))
                );
                let rate = usize::try_from(format["sample_rate"].as_u64().unwrap()).unwrap();
                let text = message["transcript"].as_str().unwrap();
                let words = timed(text);
                let said = |kind: &str, mut more: Value| {
                    more["type"] = json!(kind);
                    more["context_id"] = context.clone();
                    more["status_code"] = json!(206);
                    more["done"] = json!(kind == "done");
                    more
                };
                if message["add_timestamps"] == true {
                    let seconds = |ms: usize| ms as f64 / 1e3;
                    line.say(&said(
                        "timestamps",
                        json!({"word_timestamps": {
                            "words": words.iter().map(|w| w.0).collect::<Vec<_>>(),
                            "start": words.iter().map(|w| seconds(w.1)).collect::<Vec<_>>(),
                            "end": words.iter().map(|w| seconds(w.2)).collect::<Vec<_>>(),
                        }}),
                    ))
                    .await;
                }
                for (index, piece) in pieces(text, rate).into_iter().enumerate() {
                    if index == TROUBLE {
                        match line.mode {
                            Mode::Cut => return,
                            Mode::Error => break,
                            Mode::Late => tokio::time::sleep(Duration::from_millis(2_800)).await,
                            Mode::Good | Mode::Silent => {}
                        }
                    }
                    let data = STANDARD.encode(piece);
                    line.say(&said("chunk", json!({"data": data, "step_time": 1.0})))
                        .await;
                }
                if line.mode == Mode::Error {
                    let mut error = said(
                        "error",
                        json!({"error": "oh", "title": "oh",
                        "message": "oh", "error_code": "internal", "request_id": "r"}),
                    );
                    error["status_code"] = json!(500);
                    error["done"] = json!(true);
                    line.say(&error).await;
                } else if message["continue"] != true {
                    line.say(&said("done", json!({}))).await;
                }
            }
        })
        .into_response()
}

pub(crate) async fn deepgram(
    State(fake): State<Shared>,
    headers: HeaderMap,
    Query(query): Query<Parameters>,
    upgrade: WebSocketUpgrade,
) -> Response<Body> {
    let mode = match fake.admit("deepgram", &key(&headers, "authorization", "Token ")) {
        Ok(mode) => mode,
        Err(refused) => return refused,
    };
    let known = query.get("encoding").is_some_and(|e| e == "linear16");
    let Some(rate) = query
        .get("sample_rate")
        .and_then(|r| r.parse().ok())
        .filter(|_| known)
    else {
        return answer(400, &json!({"err_msg": "encoding and sample_rate"}));
    };
    upgrade
        .on_upgrade(async move |socket| {
            let mut line = Line { socket, mode };
            line.say(
                &json!({"type": "Metadata", "request_id": "r", "model_name": "m",
                "model_version": "1", "model_uuid": "u"}),
            )
            .await;
            let (mut text, mut sequence) = (String::new(), 0);
            while let Some(Message::Text(message)) = line.next().await {
                let message: Value = serde_json::from_str(&message).unwrap();
                let kind = message["type"].as_str().unwrap();
                if kind != "Speak" {
                    fake.note("deepgram", kind);
                }
                match kind {
                    "Speak" => text.push_str(message["text"].as_str().unwrap()),
                    "Flush" => {
                        let said = std::mem::take(&mut text);
                        for (index, piece) in pieces(&said, rate).into_iter().enumerate() {
                            if index == TROUBLE {
                                match line.mode {
                                    Mode::Cut => return,
                                    Mode::Error => {
                                        line.say(&json!({"type": "Error", "description": "oh",
                                            "code": "INTERNAL"}))
                                            .await;
                                        return;
                                    }
                                    Mode::Late => {
                                        tokio::time::sleep(Duration::from_millis(2_800)).await;
                                    }
                                    Mode::Good | Mode::Silent => {}
                                }
                            }
                            if line.mode != Mode::Silent {
                                let _ = line.socket.send(Message::binary(piece)).await;
                            }
                        }
                        line.say(&json!({"type": "Flushed", "sequence_id": sequence}))
                            .await;
                        sequence += 1;
                    }
                    "Clear" => {
                        text.clear();
                        line.say(&json!({"type": "Cleared", "sequence_id": sequence}))
                            .await;
                    }
                    "Close" => return,
                    _ => {}
                }
            }
        })
        .into_response()
}

pub(crate) async fn sarvam(
    State(fake): State<Shared>,
    headers: HeaderMap,
    Query(query): Query<Parameters>,
    upgrade: WebSocketUpgrade,
) -> Response<Body> {
    let mode = match fake.admit("sarvam", &key(&headers, "api-subscription-key", "")) {
        Ok(mode) => mode,
        Err(refused) => return refused,
    };
    let completion = query
        .get("send_completion_event")
        .is_some_and(|v| v == "true");
    upgrade
        .on_upgrade(async move |socket| {
            let mut line = Line { socket, mode };
            let mut rate = None;
            let mut text = String::new();
            while let Some(Message::Text(message)) = line.next().await {
                let message: Value = serde_json::from_str(&message).unwrap();
                let data = &message["data"];
                match message["type"].as_str().unwrap() {
                    "config" => {
                        assert_eq!(data["output_audio_codec"], "linear16");
                        rate = data["speech_sample_rate"]
                            .as_u64()
                            .or_else(|| data["speech_sample_rate"].as_str()?.parse().ok())
                            .and_then(|rate| usize::try_from(rate).ok());
                    }
                    "text" => text.push_str(data["text"].as_str().unwrap()),
                    "ping" => fake.note("sarvam", "ping"),
                    "flush" => {
                        let Some(rate) = rate else {
                            line.say(&json!({"type": "error",
                                "data": {"message": "config first", "code": 400}}))
                                .await;
                            return;
                        };
                        let said = std::mem::take(&mut text);
                        for (index, piece) in pieces(&said, rate).into_iter().enumerate() {
                            if index == TROUBLE {
                                match line.mode {
                                    Mode::Cut => return,
                                    Mode::Error => {
                                        line.say(&json!({"type": "error",
                                            "data": {"message": "oh", "code": 500}}))
                                            .await;
                                        return;
                                    }
                                    Mode::Late => {
                                        tokio::time::sleep(Duration::from_millis(2_800)).await;
                                    }
                                    Mode::Good | Mode::Silent => {}
                                }
                            }
                            line.say(
                                &json!({"type": "audio", "data": {"content_type": "audio/wav",
                                "audio": STANDARD.encode(piece), "request_id": "r"}}),
                            )
                            .await;
                        }
                        if completion {
                            line.say(&json!({"type": "event", "data": {"event_type": "final"}}))
                                .await;
                        }
                    }
                    _ => {}
                }
            }
        })
        .into_response()
}

/// PCM as the body of an answer; what the mode asks for happens on its way.
fn streamed(
    fake: &Shared,
    vendor: &'static str,
    mode: Mode,
    text: &str,
    rate: usize,
) -> Response<Body> {
    struct Watch(Shared, &'static str);
    impl Drop for Watch {
        fn drop(&mut self) {
            self.0.note(self.1, "dropped");
        }
    }
    let mut parts = pieces(text, rate);
    match mode {
        Mode::Good => {}
        Mode::Silent => parts.clear(),
        Mode::Cut | Mode::Error | Mode::Late => parts.truncate(TROUBLE),
    }
    let head = stream::iter(
        parts
            .into_iter()
            .map(|p| Ok::<_, io::Error>(Bytes::from(p))),
    );
    Response::new(match mode {
        Mode::Good => Body::from_stream(head),
        Mode::Cut | Mode::Error => {
            let cut = stream::once(async {
                // Lets the server flush what came before.
                tokio::time::sleep(Duration::from_millis(20)).await;
                Err(io::Error::other("cut"))
            });
            Body::from_stream(head.chain(cut))
        }
        Mode::Silent | Mode::Late => {
            let watch = Watch(fake.clone(), vendor);
            Body::from_stream(head.chain(stream::pending().inspect(move |_| {
                let _ = &watch;
            })))
        }
    })
}

pub(crate) async fn openai(
    State(fake): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let mode = match fake.admit("openai", &key(&headers, "authorization", "Bearer ")) {
        Ok(mode) => mode,
        Err(refused) => return refused,
    };
    let body: Value = serde_json::from_slice(&body).unwrap();
    let (Some(text), Some(_), "pcm") = (
        body["input"].as_str(),
        body["voice"].as_str(),
        body["response_format"].as_str().unwrap_or_default(),
    ) else {
        return answer(
            400,
            &json!({"error": {"message": "input, voice, response_format"}}),
        );
    };
    streamed(&fake, "openai", mode, text, 24_000)
}

pub(crate) async fn azure(
    State(fake): State<Shared>,
    headers: HeaderMap,
    body: String,
) -> Response<Body> {
    let mode = match fake.admit("azure", &key(&headers, "ocp-apim-subscription-key", "")) {
        Ok(mode) => mode,
        Err(refused) => return refused,
    };
    let known = headers["content-type"] == "application/ssml+xml"
        && headers["x-microsoft-outputformat"] == "raw-16khz-16bit-mono-pcm"
        && headers.contains_key("user-agent")
        && body.starts_with("<speak ")
        && body.contains("<voice name='");
    if !known {
        return answer(400, &json!({}));
    }
    let text = body
        .split("%'>")
        .nth(1)
        .and_then(|rest| rest.split("</prosody>").next());
    streamed(&fake, "azure", mode, text.unwrap().trim(), 16_000)
}

pub(crate) async fn google(
    State(fake): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let mode = match fake.admit("google", &key(&headers, "x-goog-api-key", "")) {
        Ok(mode) => mode,
        Err(refused) => return refused,
    };
    let body: Value = serde_json::from_slice(&body).unwrap();
    let config = &body["audioConfig"];
    assert_eq!(
        (&config["audioEncoding"], &config["sampleRateHertz"]),
        (&json!("LINEAR16"), &json!(16_000))
    );
    let text = body["input"]["text"].as_str().unwrap();
    match mode {
        Mode::Good => {}
        Mode::Silent | Mode::Late => std::future::pending().await,
        Mode::Cut | Mode::Error => {
            return answer(
                503,
                &json!({"error": {"code": 503, "message": "unavailable"}}),
            );
        }
    }
    let samples = bytes(&pcm(text, 16_000));
    let length = u32::try_from(samples.len()).unwrap();
    let mut wav =
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data"
            .to_vec();
    wav.extend_from_slice(&length.to_le_bytes());
    wav.extend_from_slice(&samples);
    answer(200, &json!({"audioContent": STANDARD.encode(wav)}))
}
