//! Soniox real-time recogniser: tokens, with end and finalization as tokens among them.

use std::time::Duration;

use serde_json::json;

use crate::provider_error::ProviderError;
use crate::providers::http::{headers, refusal_of};
use crate::providers::settings::{ProviderSettings, primary_language};
use crate::providers::socket::{Address, Incoming, Outgoing};
use crate::providers::stt_codec::{self, AudioFormat, Heard, Idle, SttCodec, TimedWord, text};
use crate::stt::{SttRequest, TurnSignal};

const KEEP_ALIVE: Duration = Duration::from_secs(5);

pub(crate) struct Soniox {
    address: Address,
    start: String,
    /// Final tokens since the last end: they come once only.
    said: String,
    words: Vec<TimedWord>,
    language: String,
}

impl Soniox {
    pub(crate) fn new(
        settings: &ProviderSettings,
        request: &SttRequest,
    ) -> Result<Self, ProviderError> {
        let url = settings.socket_url("wss://stt-rt.soniox.com", "/transcribe-websocket")?;
        let mut start = json!({
            "model": settings.model_or("stt-rt-v4"),
            "audio_format": "pcm_s16le",
            "sample_rate": 16_000,
            "num_channels": 1,
            "language_hints": [primary_language(&request.language)],
            "enable_language_identification": true,
            "enable_endpoint_detection": true,
        });
        if !request.hints.phrases.is_empty() {
            start["context"] = json!({"terms": request.hints.phrases});
        }
        settings.merge_options(&mut start);
        let bearer = format!("Bearer {}", settings.key());
        let headers = headers(&[("authorization", bearer.as_str())])?;
        Ok(Self {
            address: Address { url, headers },
            start: start.to_string(),
            said: String::new(),
            words: Vec::new(),
            language: String::new(),
        })
    }

    fn end(&mut self, heard: &mut Vec<Heard>) {
        let words = std::mem::take(&mut self.words);
        let said = std::mem::take(&mut self.said);
        if !said.trim().is_empty() {
            heard.push(Heard::Final {
                text: said.trim().to_owned(),
                confidence: None,
                words,
            });
        }
    }

    /// Tokens are pieces of words; one that begins a word begins with a space.
    fn add(&mut self, token: &serde_json::Value) {
        let piece = text(token, "text");
        let (start, end) = (token["start_ms"].as_u64(), token["end_ms"].as_u64());
        let begins = self.said.is_empty() || self.said.ends_with(' ') || piece.starts_with(' ');
        self.said.push_str(piece);
        match (self.words.last_mut(), start, end) {
            (Some(word), _, Some(end)) if !begins => {
                word.text.push_str(piece.trim_end());
                word.end_ms = end;
            }
            (_, Some(start_ms), Some(end_ms)) if !piece.trim().is_empty() => {
                self.words.push(TimedWord {
                    text: piece.trim().to_owned(),
                    start_ms,
                    end_ms,
                });
            }
            _ => {}
        }
    }
}

impl SttCodec for Soniox {
    fn address(&self) -> Address {
        self.address.clone()
    }

    fn format(&self) -> AudioFormat {
        AudioFormat {
            rate: 16_000,
            message_ms: 40,
        }
    }

    fn opening(&mut self) -> Vec<Outgoing> {
        vec![Outgoing::Text(self.start.clone())]
    }

    fn finish(&mut self) -> Vec<Outgoing> {
        vec![Outgoing::Text(r#"{"type":"finalize"}"#.to_owned())]
    }

    fn idle(&self) -> Idle {
        let message = Outgoing::Text(r#"{"type":"keepalive"}"#.to_owned());
        Idle::Message(KEEP_ALIVE, message)
    }

    /// An empty frame ends the stream.
    fn closing(&mut self) -> Option<Outgoing> {
        Some(Outgoing::Text(String::new()))
    }

    fn take(&mut self, message: &Incoming) -> Result<Vec<Heard>, ProviderError> {
        let message = stt_codec::json(message)?;
        if let Some(code) = message["error_code"].as_u64() {
            let status = u16::try_from(code)
                .ok()
                .and_then(|code| reqwest::StatusCode::from_u16(code).ok())
                .unwrap_or(reqwest::StatusCode::INTERNAL_SERVER_ERROR);
            let body = json!({"error": message["error_message"]}).to_string();
            return Err(refusal_of(status, None, body.as_bytes()));
        }
        let mut heard = Vec::new();
        let mut running = String::new();
        let mut news = false;
        for token in message["tokens"].as_array().into_iter().flatten() {
            match text(token, "text") {
                "<end>" => {
                    self.end(&mut heard);
                    heard.push(Heard::Turn(TurnSignal::End { confidence: None }));
                }
                "<fin>" => {
                    self.end(&mut heard);
                    heard.push(Heard::Finished);
                }
                piece => {
                    news = true;
                    let language = text(token, "language");
                    if !language.is_empty() && language != self.language {
                        language.clone_into(&mut self.language);
                        heard.push(Heard::Language(language.to_owned()));
                    }
                    if token["is_final"] == true {
                        self.add(token);
                    } else {
                        running.push_str(piece);
                    }
                }
            }
        }
        let interim = format!("{}{running}", self.said);
        if news && !interim.trim().is_empty() {
            heard.push(Heard::Interim(interim.trim().to_owned()));
        }
        Ok(heard)
    }
}
