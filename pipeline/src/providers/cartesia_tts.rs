//! Cartesia's websocket: one context a request, word timestamps.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::provider_error::ProviderError;
use crate::providers::http::{headers, refusal_of};
use crate::providers::settings::{ProviderSettings, primary_language};
use crate::providers::socket::{Address, Incoming, Outgoing};
use crate::providers::stt_codec::{json as parsed, seconds, text};
use crate::providers::tts_codec::{Cancel, RATE, Spoken, SpokenWord, TtsCodec};
use crate::tts::TtsRequest;

/// Version of the protocol, a header of the handshake.
const VERSION: &str = "2026-03-01";

pub(crate) struct Cartesia {
    address: Address,
    settings: ProviderSettings,
}

impl Cartesia {
    pub(crate) fn new(settings: &ProviderSettings, _: &TtsRequest) -> Result<Self, ProviderError> {
        let url = settings.socket_url("wss://api.cartesia.ai", "/tts/websocket")?;
        let headers = headers(&[("x-api-key", settings.key()), ("cartesia-version", VERSION)])?;
        Ok(Self {
            address: Address { url, headers },
            settings: settings.clone(),
        })
    }
}

impl TtsCodec for Cartesia {
    fn address(&self) -> Address {
        self.address.clone()
    }

    fn contexts_max(&self) -> usize {
        8
    }

    fn begin(&mut self, context: &str, request: &TtsRequest) -> Vec<Outgoing> {
        let voice = self
            .settings
            .voice_or(&request.voice, "694f9389-aac1-45b6-b726-9d9369183238");
        let mut message = json!({
            "model_id": self.settings.model_or("sonic-3"),
            "transcript": request.text,
            "voice": {"mode": "id", "id": voice},
            "language": primary_language(&request.language),
            "context_id": context,
            "output_format":
                {"container": "raw", "encoding": "pcm_s16le", "sample_rate": RATE},
            "add_timestamps": true,
            "continue": false,
        });
        if (request.speed - 1.0).abs() > f32::EPSILON {
            message["generation_config"] = json!({"speed": request.speed.clamp(0.6, 1.5)});
        }
        self.settings.merge_options(&mut message);
        vec![Outgoing::Text(message.to_string())]
    }

    /// Stops what has not been generated; what is on its way still comes.
    fn cancel(&mut self, context: &str) -> Cancel {
        let message = json!({"context_id": context, "cancel": true});
        Cancel::Send(vec![Outgoing::Text(message.to_string())])
    }

    fn keep_alive(&self) -> Option<(Duration, Outgoing)> {
        None
    }

    fn take(&mut self, message: Incoming) -> Result<Vec<(Option<String>, Spoken)>, ProviderError> {
        let message = parsed(&message)?;
        let context = message["context_id"].as_str().map(str::to_owned);
        let spoken = match text(&message, "type") {
            "chunk" => {
                let bytes = STANDARD
                    .decode(text(&message, "data"))
                    .map_err(|error| ProviderError::Failed(format!("audio: {error}")))?;
                Spoken::Audio(bytes)
            }
            "timestamps" => Spoken::Words(words(&message["word_timestamps"])),
            "done" => Spoken::Done,
            "error" => {
                let error = fault(&message);
                if context.is_none() {
                    return Err(error);
                }
                Spoken::Fault(error)
            }
            _ => return Ok(Vec::new()),
        };
        Ok(vec![(context, spoken)])
    }
}

fn words(stamps: &Value) -> Vec<SpokenWord> {
    let list = |key: &str| {
        stamps[key]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default()
    };
    list("words")
        .iter()
        .zip(list("end"))
        .filter_map(|(word, end)| {
            Some(SpokenWord {
                text: word.as_str()?.to_owned(),
                end_ms: seconds(end)?,
            })
        })
        .collect()
}

fn fault(message: &Value) -> ProviderError {
    let status = message["status_code"]
        .as_u64()
        .and_then(|code| u16::try_from(code).ok())
        .and_then(|code| reqwest::StatusCode::from_u16(code).ok());
    let mut words = text(message, "message");
    if words.is_empty() {
        words = text(message, "error");
    }
    match status {
        Some(status) => refusal_of(status, None, json!({"error": words}).to_string().as_bytes()),
        None => ProviderError::Failed(words.to_owned()),
    }
}
