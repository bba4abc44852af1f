//! Deepgram Flux, `/v2/listen`: a recogniser that knows turns.

use crate::provider_error::ProviderError;
use crate::providers::http::headers;
use crate::providers::settings::{ProviderSettings, primary_language};
use crate::providers::socket::{Address, Incoming, Outgoing};
use crate::providers::stt_codec::{
    AudioFormat, Heard, Idle, SttCodec, json, seconds, share, text, timed_words,
};
use crate::stt::{SttRequest, TurnSignal};

pub(crate) struct Flux {
    address: Address,
    finishing: bool,
}

impl Flux {
    pub(crate) fn new(
        settings: &ProviderSettings,
        request: &SttRequest,
    ) -> Result<Self, ProviderError> {
        let mut url = settings.socket_url("wss://api.deepgram.com", "/v2/listen")?;
        let model = settings.model_or("flux-general-en");
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("model", model)
                .append_pair("encoding", "linear16")
                .append_pair("sample_rate", "16000")
                .append_pair("eager_eot_threshold", "0.4");
            if model.ends_with("-multi") {
                query.append_pair("language_hint", primary_language(&request.language));
            }
            for phrase in &request.hints.phrases {
                query.append_pair("keyterm", phrase);
            }
        }
        settings.add_options(&mut url);
        let token = format!("Token {}", settings.key());
        let headers = headers(&[("authorization", token.as_str())])?;
        Ok(Self {
            address: Address { url, headers },
            finishing: false,
        })
    }
}

impl SttCodec for Flux {
    fn address(&self) -> Address {
        self.address.clone()
    }

    fn format(&self) -> AudioFormat {
        AudioFormat {
            rate: 16_000,
            message_ms: 80,
        }
    }

    fn finish(&mut self) -> Vec<Outgoing> {
        self.finishing = true;
        vec![Outgoing::Text(r#"{"type":"ForceEndTurn"}"#.to_owned())]
    }

    /// After the start of a turn a gap in the audio would keep its end away for ever.
    fn idle(&self) -> Idle {
        Idle::Silence
    }

    fn closing(&mut self) -> Option<Outgoing> {
        Some(Outgoing::Text(r#"{"type":"CloseStream"}"#.to_owned()))
    }

    fn take(&mut self, message: &Incoming) -> Result<Vec<Heard>, ProviderError> {
        let message = json(message)?;
        match text(&message, "type") {
            "TurnInfo" => {}
            "Error" => {
                let text = format!(
                    "{} {}",
                    text(&message, "code"),
                    text(&message, "description")
                );
                return Err(ProviderError::Failed(text));
            }
            // Connected, answers to Configure, warnings.
            _ => return Ok(Vec::new()),
        }
        let said = text(&message, "transcript").to_owned();
        let confidence = share(&message["end_of_turn_confidence"]);
        let mut heard = Vec::new();
        if let Some(language) = message["languages"][0].as_str() {
            heard.push(Heard::Language(language.to_owned()));
        }
        match text(&message, "event") {
            "StartOfTurn" | "Update" => heard.push(Heard::Interim(said)),
            "EagerEndOfTurn" => {
                heard.push(Heard::Interim(said));
                heard.push(Heard::Turn(TurnSignal::EagerEnd { confidence }));
            }
            "TurnResumed" => {
                heard.push(Heard::Interim(said));
                heard.push(Heard::Turn(TurnSignal::Resumed));
            }
            "EndOfTurn" => {
                heard.push(Heard::Final {
                    text: said,
                    confidence: None,
                    words: timed_words(&message["words"], "word", seconds),
                });
                heard.push(Heard::Turn(TurnSignal::End { confidence }));
                if std::mem::take(&mut self.finishing) {
                    heard.push(Heard::Finished);
                }
            }
            _ => {}
        }
        Ok(heard)
    }
}
