//! Deepgram's streaming recogniser, `/v1/listen` (nova models).

use std::time::Duration;

use crate::provider_error::ProviderError;
use crate::providers::http::headers;
use crate::providers::settings::ProviderSettings;
use crate::providers::socket::{Address, Incoming, Outgoing};
use crate::providers::stt_codec::{
    AudioFormat, Heard, Idle, SttCodec, json, seconds, share, text, timed_words,
};
use crate::stt::{SttRequest, TurnSignal};

/// Ten seconds without a message close the connection (NET-0001).
const KEEP_ALIVE: Duration = Duration::from_secs(4);

pub(crate) struct Deepgram {
    address: Address,
}

impl Deepgram {
    pub(crate) fn new(
        settings: &ProviderSettings,
        request: &SttRequest,
    ) -> Result<Self, ProviderError> {
        let mut url = settings.socket_url("wss://api.deepgram.com", "/v1/listen")?;
        let model = settings.model_or("nova-3");
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("model", model)
                .append_pair("language", &request.language)
                .append_pair("encoding", "linear16")
                .append_pair("sample_rate", "16000")
                .append_pair("channels", "1")
                .append_pair("interim_results", "true")
                .append_pair("punctuate", "true")
                .append_pair("smart_format", "true")
                .append_pair("endpointing", "300")
                .append_pair("utterance_end_ms", "1000");
            if model.starts_with("nova-3") {
                for phrase in &request.hints.phrases {
                    query.append_pair("keyterm", phrase);
                }
            }
        }
        settings.add_options(&mut url);
        let token = format!("Token {}", settings.key());
        let headers = headers(&[("authorization", token.as_str())])?;
        Ok(Self {
            address: Address { url, headers },
        })
    }
}

impl SttCodec for Deepgram {
    fn address(&self) -> Address {
        self.address.clone()
    }

    fn format(&self) -> AudioFormat {
        AudioFormat {
            rate: 16_000,
            message_ms: 20,
        }
    }

    fn finish(&mut self) -> Vec<Outgoing> {
        vec![Outgoing::Text(r#"{"type":"Finalize"}"#.to_owned())]
    }

    fn idle(&self) -> Idle {
        let message = Outgoing::Text(r#"{"type":"KeepAlive"}"#.to_owned());
        Idle::Message(KEEP_ALIVE, message)
    }

    fn closing(&mut self) -> Option<Outgoing> {
        Some(Outgoing::Text(r#"{"type":"CloseStream"}"#.to_owned()))
    }

    fn take(&mut self, message: &Incoming) -> Result<Vec<Heard>, ProviderError> {
        let message = json(message)?;
        let mut heard = Vec::new();
        match text(&message, "type") {
            "Results" => {
                let best = &message["channel"]["alternatives"][0];
                let said = text(best, "transcript").to_owned();
                if let Some(language) = best["languages"][0].as_str() {
                    heard.push(Heard::Language(language.to_owned()));
                }
                if message["is_final"] == true {
                    heard.push(Heard::Final {
                        text: said,
                        confidence: share(&best["confidence"]),
                        words: timed_words(&best["words"], "word", seconds),
                    });
                } else if !said.is_empty() {
                    heard.push(Heard::Interim(said));
                }
                if message["speech_final"] == true {
                    heard.push(Heard::Turn(TurnSignal::End { confidence: None }));
                }
                if message["from_finalize"] == true {
                    heard.push(Heard::Finished);
                }
            }
            // Noise may have kept `speech_final` away.
            "UtteranceEnd" => heard.push(Heard::Turn(TurnSignal::End { confidence: None })),
            "Error" => {
                let what = [text(&message, "description"), text(&message, "message")];
                return Err(ProviderError::Failed(what.concat()));
            }
            // Metadata, SpeechStarted and what may be added.
            _ => {}
        }
        Ok(heard)
    }
}
