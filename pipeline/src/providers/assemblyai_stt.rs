//! AssemblyAI universal streaming, `/v3/ws`.

use crate::provider_error::ProviderError;
use crate::providers::http::headers;
use crate::providers::settings::{ProviderSettings, primary_language};
use crate::providers::socket::{Address, Incoming, Outgoing};
use crate::providers::stt_codec::{
    AudioFormat, Heard, Idle, SttCodec, TimedWord, json, share, text, timed_words,
};
use crate::stt::{SttRequest, TurnSignal};

pub(crate) struct AssemblyAi {
    address: Address,
    finishing: bool,
    /// Number of the last turn that ended; its formatted copy is no news.
    ended: Option<u64>,
    /// The running turn has been called eager already.
    eager: bool,
}

impl AssemblyAi {
    pub(crate) fn new(
        settings: &ProviderSettings,
        request: &SttRequest,
    ) -> Result<Self, ProviderError> {
        let mut url = settings.socket_url("wss://streaming.assemblyai.com", "/v3/ws")?;
        let english = primary_language(&request.language) == "en";
        let model = settings.model_or(if english {
            "universal-streaming-english"
        } else {
            "universal-streaming-multilingual"
        });
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("speech_model", model)
                .append_pair("encoding", "pcm_s16le")
                .append_pair("sample_rate", "16000");
            if !english {
                query.append_pair("language_detection", "true");
            }
            if !request.hints.phrases.is_empty() {
                let terms = serde_json::Value::from(request.hints.phrases.clone());
                query.append_pair("keyterms_prompt", &terms.to_string());
            }
        }
        settings.add_options(&mut url);
        let headers = headers(&[("authorization", settings.key())])?;
        Ok(Self {
            address: Address { url, headers },
            finishing: false,
            ended: None,
            eager: false,
        })
    }
}

impl SttCodec for AssemblyAi {
    fn address(&self) -> Address {
        self.address.clone()
    }

    /// Messages under 50 ms are refused.
    fn format(&self) -> AudioFormat {
        AudioFormat {
            rate: 16_000,
            message_ms: 60,
        }
    }

    fn finish(&mut self) -> Vec<Outgoing> {
        self.finishing = true;
        vec![Outgoing::Text(r#"{"type":"ForceEndpoint"}"#.to_owned())]
    }

    /// Unless an inactivity timeout is asked for, nothing closes a silent connection.
    fn idle(&self) -> Idle {
        Idle::Nothing
    }

    /// The time a session is open is paid for, three hours of it if it is not ended.
    fn closing(&mut self) -> Option<Outgoing> {
        Some(Outgoing::Text(r#"{"type":"Terminate"}"#.to_owned()))
    }

    fn take(&mut self, message: &Incoming) -> Result<Vec<Heard>, ProviderError> {
        let message = json(message)?;
        match text(&message, "type") {
            "Turn" => {}
            "Error" => return Err(ProviderError::Failed(text(&message, "error").to_owned())),
            // Begin, SpeechStarted, Termination, warnings.
            _ => return Ok(Vec::new()),
        }
        let order = message["turn_order"].as_u64();
        let confidence = share(&message["end_of_turn_confidence"]);
        let mut heard = Vec::new();
        if order.is_some() && order == self.ended {
            return Ok(heard);
        }
        if let Some(language) = message["language_code"].as_str() {
            heard.push(Heard::Language(language.to_owned()));
        }
        if message["end_of_turn"] == true {
            self.ended = order;
            self.eager = false;
            heard.push(Heard::Final {
                text: text(&message, "transcript").to_owned(),
                confidence: None,
                words: timed_words(&message["words"], "text", |ms| ms.as_u64()),
            });
            heard.push(Heard::Turn(TurnSignal::End { confidence }));
            if std::mem::take(&mut self.finishing) {
                heard.push(Heard::Finished);
            }
        } else {
            // `transcript` holds final words only; `words` the running one as well.
            let words = timed_words(&message["words"], "text", |ms| ms.as_u64());
            let texts: Vec<&str> = words.iter().map(|w: &TimedWord| w.text.as_str()).collect();
            heard.push(Heard::Interim(texts.join(" ")));
            let complete = !text(&message, "utterance").is_empty();
            if complete && !self.eager {
                heard.push(Heard::Turn(TurnSignal::EagerEnd { confidence }));
            } else if !complete && self.eager {
                heard.push(Heard::Turn(TurnSignal::Resumed));
            }
            self.eager = complete;
        }
        Ok(heard)
    }
}
