//! OpenAI realtime transcription. Our own pauses cut the audio, so the server's detector is off
//! unless the options turn it on.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::provider_error::ProviderError;
use crate::providers::http::{error_message, headers};
use crate::providers::settings::{ProviderSettings, primary_language};
use crate::providers::socket::{Address, Incoming, Outgoing};
use crate::providers::stt_codec::{self, AudioFormat, Heard, Idle, SttCodec, text};
use crate::stt::{SttRequest, TurnSignal};

pub(crate) struct OpenAiRealtime {
    address: Address,
    update: String,
    /// Pieces of audio whose text is not complete.
    open: BTreeSet<String>,
    running: String,
    finishing: bool,
    committed: bool,
}

impl OpenAiRealtime {
    pub(crate) fn new(
        settings: &ProviderSettings,
        request: &SttRequest,
    ) -> Result<Self, ProviderError> {
        let url =
            settings.socket_url("wss://api.openai.com/v1", "/realtime?intent=transcription")?;
        let mut transcription = json!({
            "model": settings.model_or("gpt-4o-mini-transcribe"),
            "language": primary_language(&request.language),
        });
        if !request.hints.phrases.is_empty() {
            transcription["prompt"] = json!(request.hints.phrases.join(", "));
        }
        let mut input = json!({
            "format": {"type": "audio/pcm", "rate": 24_000},
            "transcription": transcription,
            "turn_detection": null,
        });
        settings.merge_options(&mut input);
        let update = json!({
            "type": "session.update",
            "session": {"type": "transcription", "audio": {"input": input}},
        });
        let bearer = format!("Bearer {}", settings.key());
        let headers = headers(&[("authorization", bearer.as_str())])?;
        Ok(Self {
            address: Address { url, headers },
            update: update.to_string(),
            open: BTreeSet::new(),
            running: String::new(),
            finishing: false,
            committed: false,
        })
    }

    fn finished(&mut self, heard: &mut Vec<Heard>) {
        if self.finishing && self.committed && self.open.is_empty() {
            self.finishing = false;
            heard.push(Heard::Finished);
        }
    }
}

impl SttCodec for OpenAiRealtime {
    fn address(&self) -> Address {
        self.address.clone()
    }

    fn format(&self) -> AudioFormat {
        AudioFormat {
            rate: 24_000,
            message_ms: 40,
        }
    }

    fn opening(&mut self) -> Vec<Outgoing> {
        vec![Outgoing::Text(self.update.clone())]
    }

    fn audio(&mut self, pcm: Vec<u8>) -> Outgoing {
        let audio = STANDARD.encode(pcm);
        Outgoing::Text(json!({"type": "input_audio_buffer.append", "audio": audio}).to_string())
    }

    fn finish(&mut self) -> Vec<Outgoing> {
        self.finishing = true;
        self.committed = false;
        vec![Outgoing::Text(
            r#"{"type":"input_audio_buffer.commit"}"#.to_owned(),
        )]
    }

    fn idle(&self) -> Idle {
        Idle::Nothing
    }

    fn take(&mut self, message: &Incoming) -> Result<Vec<Heard>, ProviderError> {
        let message = stt_codec::json(message)?;
        let item = text(&message, "item_id").to_owned();
        let mut heard = Vec::new();
        match text(&message, "type") {
            "input_audio_buffer.committed" => {
                self.committed = true;
                self.open.insert(item);
            }
            "input_audio_buffer.speech_stopped" => {
                heard.push(Heard::Turn(TurnSignal::End { confidence: None }));
            }
            "conversation.item.input_audio_transcription.delta" => {
                self.running.push_str(text(&message, "delta"));
                heard.push(Heard::Interim(self.running.trim().to_owned()));
            }
            "conversation.item.input_audio_transcription.completed" => {
                self.running.clear();
                self.open.remove(&item);
                heard.push(Heard::Final {
                    text: text(&message, "transcript").trim().to_owned(),
                    confidence: None,
                    words: Vec::new(),
                });
                self.finished(&mut heard);
            }
            "conversation.item.input_audio_transcription.failed" => {
                let error = error_message(&message["error"]);
                return Err(ProviderError::Failed(error));
            }
            "error" => {
                let error = &message["error"];
                match text(error, "code") {
                    // Under 100 ms of audio: nothing to understand.
                    "input_audio_buffer_commit_empty" => {
                        self.committed = true;
                        self.finished(&mut heard);
                    }
                    "invalid_api_key" => return Err(ProviderError::Unauthorized),
                    "rate_limit_exceeded" => {
                        return Err(ProviderError::RateLimited { retry_after: None });
                    }
                    _ if text(error, "type") == "invalid_request_error" => {
                        return Err(ProviderError::Rejected(error_message(error)));
                    }
                    _ => return Err(ProviderError::Failed(error_message(error))),
                }
            }
            _ => {}
        }
        Ok(heard)
    }
}
