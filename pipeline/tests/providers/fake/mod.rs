//! One local server that speaks the protocols of all vendors. What goes wrong is chosen by the
//! credential, so that SDKs can ask for it as well.

pub(crate) mod ear;
mod llm;
mod stt_assemblyai;
mod stt_deepgram;
mod stt_openai;
mod stt_sarvam;
mod stt_soniox;
pub(crate) mod tts;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message, WebSocket};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::{get, post};
use serde_json::{Value, json};

use self::ear::Ear;

/// What the credential asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    Good,
    /// This connection breaks after some audio or text, without a close.
    Cut,
    /// Takes everything and says nothing.
    Silent,
    /// Reports a fault of its own in the middle.
    Error,
    /// The last word comes after everybody's patience.
    Late,
}

#[derive(Default)]
pub(crate) struct Fake {
    /// Connections or requests so far, by vendor.
    pub(crate) seen: Mutex<HashMap<&'static str, usize>>,
    /// Control messages received, as vendor and type.
    pub(crate) log: Mutex<Vec<(&'static str, String)>>,
    /// Requests as they came.
    pub(crate) bodies: Mutex<Vec<(&'static str, Value)>>,
}

pub(crate) type Shared = Arc<Fake>;

impl Fake {
    /// Lets a client in by its credential, or says what the vendor would.
    pub(crate) fn admit(&self, vendor: &'static str, key: &str) -> Result<Mode, Response<Body>> {
        let number = {
            let mut seen = self.seen.lock().unwrap();
            let count = seen.entry(vendor).or_default();
            *count += 1;
            *count
        };
        match key {
            "good" => Ok(Mode::Good),
            "cut" if number == 1 => Ok(Mode::Cut),
            "cut" => Ok(Mode::Good),
            "cut-always" => Ok(Mode::Cut),
            "silent" => Ok(Mode::Silent),
            "error" => Ok(Mode::Error),
            "late" if number == 1 => Ok(Mode::Late),
            "late" => Ok(Mode::Good),
            "limited" => Err(answer(429, &json!({"error": {"message": "slow down"}}))),
            "overloaded" => Err(answer(529, &json!({"error": {"message": "overloaded"}}))),
            _ => Err(answer(401, &json!({"error": {"message": "bad key"}}))),
        }
    }

    pub(crate) fn note(&self, vendor: &'static str, what: &str) {
        self.log.lock().unwrap().push((vendor, what.to_owned()));
    }

    pub(crate) fn noted(&self, vendor: &str, what: &str) -> usize {
        let log = self.log.lock().unwrap();
        log.iter()
            .filter(|(v, w)| *v == vendor && w == what)
            .count()
    }
}

pub(crate) fn answer(status: u16, body: &Value) -> Response<Body> {
    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    if status == 429 {
        response = response.header("retry-after", "1");
    }
    response
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

/// The credential out of a header with this prefix.
pub(crate) fn key(headers: &HeaderMap, name: &str, prefix: &str) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value
        .and_then(|value| value.strip_prefix(prefix))
        .unwrap_or_default()
        .to_owned()
}

/// A websocket whose peer may have asked for trouble.
pub(crate) struct Line {
    pub(crate) socket: WebSocket,
    pub(crate) mode: Mode,
}

impl Line {
    /// The next text or binary message; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            match self.socket.recv().await?.ok()? {
                Message::Close(_) => return None,
                Message::Ping(_) | Message::Pong(_) => {}
                message => return Some(message),
            }
        }
    }

    pub(crate) async fn say(&mut self, value: &Value) {
        if self.mode != Mode::Silent {
            let _ = self.socket.send(Message::text(value.to_string())).await;
        }
    }

    /// Says a last word, which may come late.
    pub(crate) async fn conclude(&mut self, value: &Value) {
        if self.mode == Mode::Late {
            tokio::time::sleep(Duration::from_millis(2_200)).await;
        }
        self.say(value).await;
    }

    /// Whether the time for trouble has come.
    pub(crate) fn breaks(&self, ear: &Ear) -> bool {
        self.mode == Mode::Cut && ear.ms() >= 400
    }
}

pub(crate) fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// Starts the server; gives its state and its base address, `http://127.0.0.1:port`.
pub(crate) async fn serve() -> (Shared, String) {
    install_crypto();
    let fake = Shared::default();
    let router = Router::new()
        .route("/v1/listen", get(stt_deepgram::nova))
        .route("/v2/listen", get(stt_deepgram::flux))
        .route("/v3/ws", get(stt_assemblyai::streaming))
        .route("/transcribe-websocket", get(stt_soniox::streaming))
        .route("/openai/realtime", get(stt_openai::realtime))
        .route("/openai/audio/transcriptions", post(stt_openai::upload))
        .route("/speech-to-text-realtime/ws", get(stt_sarvam::streaming))
        .route("/openai/chat/completions", post(llm::openai))
        .route("/v1/messages", post(llm::anthropic))
        .route("/v1beta/models/{call}", post(llm::gemini))
        // The SDK's own default; both versions speak alike.
        .route("/v1/models/{call}", post(llm::gemini))
        .route(
            "/v1/text-to-speech/{voice}/multi-stream-input",
            get(tts::elevenlabs_multi),
        )
        .route(
            "/v1/text-to-speech/{voice}/stream-input",
            get(tts::elevenlabs_single),
        )
        .route("/tts/websocket", get(tts::cartesia))
        .route("/v1/speak", get(tts::deepgram))
        .route("/text-to-speech/ws", get(tts::sarvam))
        .route("/openai/audio/speech", post(tts::openai))
        .route("/cognitiveservices/v1", post(tts::azure))
        .route("/v1/text:synthesize", post(tts::google))
        .with_state(Arc::clone(&fake));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (fake, base)
}
