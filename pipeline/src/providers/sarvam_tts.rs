//! Sarvam's voices for Indian languages: one request at a time, cancelled by closing.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::provider_error::ProviderError;
use crate::providers::http::{headers, refusal_of};
use crate::providers::sarvam_stt::indian_language;
use crate::providers::settings::ProviderSettings;
use crate::providers::socket::{Address, Incoming, Outgoing};
use crate::providers::stt_codec::{json as parsed, text};
use crate::providers::tts_codec::{Cancel, RATE, Spoken, TtsCodec};
use crate::tts::TtsRequest;

/// A silent connection is closed after 60 s.
const PING: Duration = Duration::from_secs(30);

pub(crate) struct SarvamVoice {
    address: Address,
    config: String,
}

impl SarvamVoice {
    pub(crate) fn new(
        settings: &ProviderSettings,
        request: &TtsRequest,
    ) -> Result<Self, ProviderError> {
        let mut url = settings.socket_url("wss://api.sarvam.ai", "/text-to-speech/ws")?;
        url.query_pairs_mut()
            .append_pair("model", settings.model_or("bulbul:v2"))
            .append_pair("send_completion_event", "true");
        let mut data = json!({
            "target_language_code": indian_language(&request.language),
            "speaker": settings.voice_or(&request.voice, "anushka"),
            "pace": request.speed.clamp(0.3, 3.0),
            "min_buffer_size": 50,
            "max_chunk_length": 150,
            "output_audio_codec": "linear16",
            "speech_sample_rate": RATE,
        });
        settings.merge_options(&mut data);
        let headers = headers(&[("api-subscription-key", settings.key())])?;
        Ok(Self {
            address: Address { url, headers },
            config: json!({"type": "config", "data": data}).to_string(),
        })
    }
}

impl TtsCodec for SarvamVoice {
    fn address(&self) -> Address {
        self.address.clone()
    }

    fn opening(&self) -> Vec<Outgoing> {
        vec![Outgoing::Text(self.config.clone())]
    }

    fn contexts_max(&self) -> usize {
        1
    }

    fn begin(&mut self, _: &str, request: &TtsRequest) -> Vec<Outgoing> {
        let speak = json!({"type": "text", "data": {"text": request.text}});
        vec![
            Outgoing::Text(speak.to_string()),
            Outgoing::Text(r#"{"type":"flush"}"#.to_owned()),
        ]
    }

    fn cancel(&mut self, _: &str) -> Cancel {
        Cancel::Close
    }

    fn keep_alive(&self) -> Option<(Duration, Outgoing)> {
        Some((PING, Outgoing::Text(r#"{"type":"ping"}"#.to_owned())))
    }

    fn take(&mut self, message: Incoming) -> Result<Vec<(Option<String>, Spoken)>, ProviderError> {
        let message = parsed(&message)?;
        let data = &message["data"];
        let spoken = match text(&message, "type") {
            "audio" => {
                let bytes = STANDARD
                    .decode(text(data, "audio"))
                    .map_err(|error| ProviderError::Failed(format!("audio: {error}")))?;
                Spoken::Audio(bytes)
            }
            "event" if text(data, "event_type") == "final" => Spoken::Done,
            "error" => {
                let status = data["code"]
                    .as_u64()
                    .and_then(|code| u16::try_from(code).ok())
                    .and_then(|code| reqwest::StatusCode::from_u16(code).ok())
                    .unwrap_or(reqwest::StatusCode::INTERNAL_SERVER_ERROR);
                let body = json!({"error": text(data, "message")}).to_string();
                return Err(refusal_of(status, None, body.as_bytes()));
            }
            _ => return Ok(Vec::new()),
        };
        Ok(vec![(None, spoken)])
    }
}
