//! ElevenLabs over its multi-context websocket: one context a request.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::provider_error::ProviderError;
use crate::providers::http::headers;
use crate::providers::settings::{ProviderSettings, primary_language};
use crate::providers::socket::{Address, Incoming, Outgoing};
use crate::providers::stt_codec::{json as parsed, text};
use crate::providers::tts_codec::{Cancel, Spoken, SpokenWord, TtsCodec};
use crate::tts::TtsRequest;

/// The vendor allows five contexts a connection.
const CONTEXTS_MAX: usize = 4;
/// A connection without a message is closed after 20 s.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

pub(crate) struct ElevenLabs {
    address: Address,
    /// Words under way, by context.
    words: HashMap<String, Words>,
}

/// Times come by character and begin anew with each message.
#[derive(Default)]
struct Words {
    offset_ms: u64,
    word: String,
    end_ms: u64,
}

impl ElevenLabs {
    pub(crate) fn new(
        settings: &ProviderSettings,
        request: &TtsRequest,
    ) -> Result<Self, ProviderError> {
        let voice = settings.voice_or(&request.voice, "21m00Tcm4TlvDq8ikWAM");
        if !voice
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        {
            return Err(ProviderError::Rejected(format!(
                "voice: `{voice}` is no id"
            )));
        }
        let path = format!("/v1/text-to-speech/{voice}/multi-stream-input");
        let mut url = settings.socket_url("wss://api.elevenlabs.io", &path)?;
        let model = settings.model_or("eleven_flash_v2_5");
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("model_id", model)
                .append_pair("output_format", "pcm_16000")
                .append_pair("auto_mode", "true");
            // English models know one language and refuse the parameter.
            if model.contains("v2_5") || model.contains("multilingual") {
                query.append_pair("language_code", primary_language(&request.language));
            }
        }
        settings.add_options(&mut url);
        let headers = headers(&[("xi-api-key", settings.key())])?;
        Ok(Self {
            address: Address { url, headers },
            words: HashMap::new(),
        })
    }
}

impl Words {
    fn take(&mut self, alignment: &Value) -> Vec<SpokenWord> {
        let list = |key: &str| alignment[key].as_array().cloned().unwrap_or_default();
        let (chars, starts) = (list("chars"), list("charStartTimesMs"));
        let lengths = match list("charDurationsMs") {
            lengths if lengths.is_empty() => list("charsDurationsMs"),
            lengths => lengths,
        };
        let mut out = Vec::new();
        let mut last = 0;
        for ((char, start), length) in chars.iter().zip(&starts).zip(&lengths) {
            let end = start.as_u64().unwrap_or(0) + length.as_u64().unwrap_or(0);
            last = last.max(end);
            match char.as_str() {
                Some(char) if !char.trim().is_empty() => {
                    self.word.push_str(char);
                    self.end_ms = self.offset_ms + end;
                }
                _ => out.extend(self.end()),
            }
        }
        self.offset_ms += last;
        out
    }

    fn end(&mut self) -> Option<SpokenWord> {
        let text = std::mem::take(&mut self.word);
        (!text.is_empty()).then_some(SpokenWord {
            text,
            end_ms: self.end_ms,
        })
    }
}

fn message(value: &Value) -> Outgoing {
    Outgoing::Text(value.to_string())
}

impl TtsCodec for ElevenLabs {
    fn address(&self) -> Address {
        self.address.clone()
    }

    fn contexts_max(&self) -> usize {
        CONTEXTS_MAX
    }

    fn begin(&mut self, context: &str, request: &TtsRequest) -> Vec<Outgoing> {
        self.words.insert(context.to_owned(), Words::default());
        let mut first = json!({"text": " ", "context_id": context});
        if (request.speed - 1.0).abs() > f32::EPSILON {
            first["voice_settings"] = json!({"speed": request.speed.clamp(0.7, 1.2)});
        }
        vec![
            message(&first),
            // A piece ends with a space, or its last word waits for more.
            message(&json!({
                "text": format!("{} ", request.text.trim_end()),
                "context_id": context,
                "flush": true,
            })),
            message(&json!({"context_id": context, "close_context": true})),
        ]
    }

    fn cancel(&mut self, context: &str) -> Cancel {
        self.words.remove(context);
        Cancel::Send(vec![message(
            &json!({"context_id": context, "close_context": true}),
        )])
    }

    /// Empty text keeps the connection; it needs some context.
    fn keep_alive(&self) -> Option<(Duration, Outgoing)> {
        let context = self.words.keys().next().map_or("keep", String::as_str);
        Some((
            KEEP_ALIVE,
            message(&json!({"text": "", "context_id": context})),
        ))
    }

    fn closing(&self) -> Option<Outgoing> {
        Some(message(&json!({"close_socket": true})))
    }

    fn take(&mut self, incoming: Incoming) -> Result<Vec<(Option<String>, Spoken)>, ProviderError> {
        let incoming = parsed(&incoming)?;
        if let Some(error) = incoming.get("error") {
            let words = text(&incoming, "message");
            let words = if words.is_empty() {
                error.to_string()
            } else {
                words.to_owned()
            };
            return Err(match error.as_str() {
                Some("invalid_api_key" | "needs_authorization") => ProviderError::Unauthorized,
                Some("quota_exceeded" | "rate_limit_exceeded" | "too_many_requests") => {
                    ProviderError::RateLimited { retry_after: None }
                }
                Some("voice_id_does_not_exist" | "model_not_found") => {
                    ProviderError::Rejected(words)
                }
                _ => ProviderError::Failed(words),
            });
        }
        let key = match incoming["contextId"].as_str() {
            Some(context) => context.to_owned(),
            None => text(&incoming, "context_id").to_owned(),
        };
        let mut out = Vec::new();
        let mut say = |spoken| out.push((Some(key.clone()), spoken));
        if let Some(words) = self.words.get_mut(&key) {
            let words = words.take(&incoming["alignment"]);
            if !words.is_empty() {
                say(Spoken::Words(words));
            }
        }
        if let Some(audio) = incoming["audio"].as_str().filter(|audio| !audio.is_empty()) {
            let bytes = STANDARD
                .decode(audio)
                .map_err(|error| ProviderError::Failed(format!("audio: {error}")))?;
            say(Spoken::Audio(bytes));
        }
        if incoming["isFinal"] == true || incoming["is_final"] == true {
            if let Some(word) = self.words.remove(&key).and_then(|mut words| words.end()) {
                say(Spoken::Words(vec![word]));
            }
            say(Spoken::Done);
        }
        Ok(out)
    }
}
