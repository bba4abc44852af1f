//! Sarvam's real-time recogniser for Indian languages, cut by our own pauses.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::provider_error::ProviderError;
use crate::providers::http::{headers, refusal_of};
use crate::providers::settings::{ProviderSettings, primary_language};
use crate::providers::socket::{Address, Incoming, Outgoing};
use crate::providers::stt_codec::{self, AudioFormat, Heard, Idle, SttCodec, text};
use crate::stt::SttRequest;

const PING: Duration = Duration::from_secs(15);

pub(crate) struct Sarvam {
    address: Address,
    finishing: bool,
}

impl Sarvam {
    pub(crate) fn new(
        settings: &ProviderSettings,
        request: &SttRequest,
    ) -> Result<Self, ProviderError> {
        let mut url = settings.socket_url("wss://api.sarvam.ai", "/speech-to-text-realtime/ws")?;
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("model", settings.model_or("saaras:v3-realtime"))
                .append_pair("language_code", &indian_language(&request.language))
                .append_pair("stream_type", "fast")
                .append_pair("endpointing", "manual")
                .append_pair("encoding", "linear16")
                .append_pair("sample_rate", "16000");
            if !request.hints.phrases.is_empty() {
                query.append_pair("keyterms", &json!(request.hints.phrases).to_string());
            }
        }
        settings.add_options(&mut url);
        let headers = headers(&[("api-subscription-key", settings.key())])?;
        Ok(Self {
            address: Address { url, headers },
            finishing: false,
        })
    }
}

/// The tag as Sarvam writes it: `hi-IN` for `hi`, `en-IN` for `en-US`.
pub(crate) fn indian_language(tag: &str) -> String {
    match primary_language(tag) {
        "" | "und" | "auto" => "auto".to_owned(),
        primary => format!("{primary}-IN"),
    }
}

fn event(name: &str) -> Vec<Outgoing> {
    vec![Outgoing::Text(json!({"event": name}).to_string())]
}

impl SttCodec for Sarvam {
    fn address(&self) -> Address {
        self.address.clone()
    }

    fn format(&self) -> AudioFormat {
        AudioFormat {
            rate: 16_000,
            message_ms: 40,
        }
    }

    fn begin(&mut self) -> Vec<Outgoing> {
        event("speech_start")
    }

    fn audio(&mut self, pcm: Vec<u8>) -> Outgoing {
        let audio = STANDARD.encode(pcm);
        Outgoing::Text(json!({"event": "audio_input", "audio": audio}).to_string())
    }

    fn finish(&mut self) -> Vec<Outgoing> {
        self.finishing = true;
        event("speech_end")
    }

    fn idle(&self) -> Idle {
        Idle::Message(PING, Outgoing::Text(r#"{"event":"ping"}"#.to_owned()))
    }

    fn closing(&mut self) -> Option<Outgoing> {
        event("end").pop()
    }

    fn take(&mut self, message: &Incoming) -> Result<Vec<Heard>, ProviderError> {
        let message = stt_codec::json(message)?;
        let mut heard = Vec::new();
        let language = text(&message, "language");
        match text(&message, "event") {
            "transcript.partial" => {
                heard.push(Heard::Interim(text(&message, "text").to_owned()));
            }
            "transcript.final" => {
                if !language.is_empty() {
                    heard.push(Heard::Language(language.to_owned()));
                }
                heard.push(Heard::Final {
                    text: text(&message, "text").to_owned(),
                    confidence: None,
                    words: Vec::new(),
                });
                if std::mem::take(&mut self.finishing) {
                    heard.push(Heard::Finished);
                }
            }
            "error" if message["is_fatal"] == false => {
                tracing::debug!(code = text(&message, "code"), "sarvam warns");
            }
            "error" => return Err(fault(&message)),
            _ => {}
        }
        Ok(heard)
    }
}

/// `status_code` speaks HTTP.
fn fault(message: &Value) -> ProviderError {
    let status = message["status_code"]
        .as_u64()
        .and_then(|code| u16::try_from(code).ok())
        .and_then(|code| reqwest::StatusCode::from_u16(code).ok())
        .unwrap_or(reqwest::StatusCode::INTERNAL_SERVER_ERROR);
    let words = [text(message, "code"), text(message, "message")].join(" ");
    let body = json!({"error": words}).to_string();
    refusal_of(status, None, body.as_bytes())
}
