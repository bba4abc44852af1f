//! Deepgram Aura's websocket: one request at a time, cancelled by Clear.

use std::time::Duration;

use serde_json::json;

use crate::provider_error::ProviderError;
use crate::providers::http::headers;
use crate::providers::settings::ProviderSettings;
use crate::providers::socket::{Address, Incoming, Outgoing};
use crate::providers::stt_codec::{json as parsed, text};
use crate::providers::tts_codec::{Cancel, Spoken, TtsCodec};
use crate::tts::TtsRequest;

pub(crate) struct Aura {
    address: Address,
}

impl Aura {
    /// A voice is a model here.
    pub(crate) fn new(
        settings: &ProviderSettings,
        request: &TtsRequest,
    ) -> Result<Self, ProviderError> {
        let mut url = settings.socket_url("wss://api.deepgram.com", "/v1/speak")?;
        let voice = settings.voice_or(&request.voice, settings.model_or("aura-2-thalia-en"));
        url.query_pairs_mut()
            .append_pair("model", voice)
            .append_pair("encoding", "linear16")
            .append_pair("sample_rate", "16000");
        settings.add_options(&mut url);
        let token = format!("Token {}", settings.key());
        let headers = headers(&[("authorization", token.as_str())])?;
        Ok(Self {
            address: Address { url, headers },
        })
    }
}

impl TtsCodec for Aura {
    fn address(&self) -> Address {
        self.address.clone()
    }

    fn contexts_max(&self) -> usize {
        1
    }

    fn begin(&mut self, _: &str, request: &TtsRequest) -> Vec<Outgoing> {
        let speak = json!({"type": "Speak", "text": request.text});
        vec![
            Outgoing::Text(speak.to_string()),
            Outgoing::Text(r#"{"type":"Flush"}"#.to_owned()),
        ]
    }

    fn cancel(&mut self, _: &str) -> Cancel {
        Cancel::Await(vec![Outgoing::Text(r#"{"type":"Clear"}"#.to_owned())])
    }

    fn keep_alive(&self) -> Option<(Duration, Outgoing)> {
        None
    }

    fn closing(&self) -> Option<Outgoing> {
        Some(Outgoing::Text(r#"{"type":"Close"}"#.to_owned()))
    }

    fn take(&mut self, message: Incoming) -> Result<Vec<(Option<String>, Spoken)>, ProviderError> {
        let message = match message {
            Incoming::Binary(audio) => return Ok(vec![(None, Spoken::Audio(audio))]),
            text @ Incoming::Text(_) => parsed(&text)?,
        };
        let spoken = match text(&message, "type") {
            "Flushed" => Spoken::Done,
            "Cleared" => Spoken::Cleared,
            "Error" => {
                let words = [text(&message, "description"), text(&message, "message")].concat();
                return Err(ProviderError::Failed(words));
            }
            // Metadata, warnings.
            _ => return Ok(Vec::new()),
        };
        Ok(vec![(None, spoken)])
    }
}
