//! Voices that take a whole text over HTTP: OpenAI-compatible servers, Azure, Google.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::provider_error::ProviderError;
use crate::providers::http::{CONNECT_MAX, client, headers, refusal, transport};
use crate::providers::settings::ProviderSettings;
use crate::providers::stt_codec::text;
use crate::providers::tts_codec::RATE;
use crate::providers::tts_speech::{FIRST_MAX, STALL_MAX, Speech, chunked, conclude};
use crate::tts::{TextToSpeech, TtsEvent, TtsRequest};

/// Events that wait for the conversation.
const EVENTS_MAX: usize = 64;

/// How a vendor is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Vendor {
    /// `POST /audio/speech`, answered by PCM at 24 kHz.
    OpenAi,
    /// SSML to `/cognitiveservices/v1`, answered by PCM.
    Azure,
    /// `POST /v1/text:synthesize`, answered by a WAV file in JSON.
    Google,
}

struct Shared {
    vendor: Vendor,
    settings: ProviderSettings,
    url: Url,
    client: reqwest::Client,
}

/// A voice over HTTP.
pub(crate) struct HttpVoice(Arc<Shared>);

impl HttpVoice {
    pub(crate) fn new(vendor: Vendor, settings: ProviderSettings) -> Result<Self, ProviderError> {
        let bearer = match settings.key() {
            "" => String::new(),
            key => format!("Bearer {key}"),
        };
        let (url, headers) = match vendor {
            Vendor::OpenAi => (
                settings.http_url("https://api.openai.com/v1", "/audio/speech")?,
                headers(&[("authorization", bearer.as_str())])?,
            ),
            // The host names a region: there is no address that holds for all.
            Vendor::Azure if settings.base_url.is_empty() => {
                return Err(ProviderError::Rejected(
                    "base_url: is needed, for example https://westeurope.tts.speech.microsoft.com"
                        .to_owned(),
                ));
            }
            Vendor::Azure => (
                settings.http_url("", "/cognitiveservices/v1")?,
                headers(&[
                    ("ocp-apim-subscription-key", settings.key()),
                    ("x-microsoft-outputformat", "raw-16khz-16bit-mono-pcm"),
                    ("content-type", "application/ssml+xml"),
                    ("user-agent", "samvad"),
                ])?,
            ),
            Vendor::Google => (
                settings.http_url("https://texttospeech.googleapis.com", "/v1/text:synthesize")?,
                headers(&[("x-goog-api-key", settings.key())])?,
            ),
        };
        let client = client(headers, CONNECT_MAX)?;
        Ok(Self(Arc::new(Shared {
            vendor,
            settings,
            url,
            client,
        })))
    }
}

#[async_trait]
impl TextToSpeech for HttpVoice {
    fn name(&self) -> &str {
        match self.0.vendor {
            Vendor::OpenAi => "openai",
            Vendor::Azure => "azure",
            Vendor::Google => "google",
        }
    }

    async fn synthesize(
        &self,
        request: TtsRequest,
    ) -> Result<mpsc::Receiver<TtsEvent>, ProviderError> {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            let outcome = tokio::select! {
                // Dropping the request drops its connection, which is how it is cancelled.
                () = sender.closed() => return,
                outcome = shared.speak(&request, &sender) => outcome,
            };
            conclude(&sender, outcome).await;
        });
        Ok(receiver)
    }
}

impl Shared {
    async fn speak(
        &self,
        request: &TtsRequest,
        sender: &mpsc::Sender<TtsEvent>,
    ) -> Result<(), ProviderError> {
        let first = Instant::now() + FIRST_MAX;
        let mut response = timeout_at(first, self.request(request).send())
            .await
            .map_err(|_| ProviderError::TimedOut)?
            .map_err(transport)?;
        if !response.status().is_success() {
            return Err(refusal(response, first).await);
        }
        if self.vendor == Vendor::Google {
            let body: Value = timeout_at(first, response.json())
                .await
                .map_err(|_| ProviderError::TimedOut)?
                .map_err(transport)?;
            for event in chunked(&wav_samples(text(&body, "audioContent"))?) {
                let _ = sender.send(event).await;
            }
            return Ok(());
        }
        let rate = if self.vendor == Vendor::OpenAi {
            24_000
        } else {
            RATE
        };
        let mut speech = Speech::new(&request.text, rate)?;
        let mut deadline = first;
        loop {
            let chunk = timeout_at(deadline, response.chunk())
                .await
                .map_err(|_| ProviderError::TimedOut)?
                .map_err(transport)?;
            let Some(chunk) = chunk else { return Ok(()) };
            if let Some(event) = speech.audio(&chunk) {
                // A reader that has gone cancels the whole request elsewhere.
                let _ = sender.send(event).await;
                deadline = Instant::now() + STALL_MAX;
            }
        }
    }

    fn request(&self, request: &TtsRequest) -> RequestBuilder {
        let post = self.client.post(self.url.clone());
        let settings = &self.settings;
        let language = &request.language;
        match self.vendor {
            Vendor::OpenAi => {
                let mut body = json!({
                    "model": settings.model_or("gpt-4o-mini-tts"),
                    "voice": settings.voice_or(&request.voice, "alloy"),
                    "input": request.text,
                    "response_format": "pcm",
                });
                if (request.speed - 1.0).abs() > f32::EPSILON {
                    body["speed"] = json!(request.speed);
                }
                settings.merge_options(&mut body);
                post.json(&body)
            }
            Vendor::Azure => {
                let voice = settings.voice_or(&request.voice, "en-US-AvaMultilingualNeural");
                let rate = format!("{:+.0}%", (request.speed - 1.0) * 100.0);
                let (voice, language) = (escaped(voice), escaped(language));
                post.body(format!(
                    "<speak version='1.0' xmlns='http://www.w3.org/2001/10/synthesis' \
                     xml:lang='{language}'><voice name='{voice}'><prosody rate='{rate}'>{}\
                     </prosody></voice></speak>",
                    escaped(&request.text)
                ))
            }
            Vendor::Google => {
                let mut voice = json!({"languageCode": language});
                let name = settings.voice_or(&request.voice, "");
                if !name.is_empty() {
                    voice["name"] = json!(name);
                }
                let mut body = json!({
                    "input": {"text": request.text},
                    "voice": voice,
                    "audioConfig": {
                        "audioEncoding": "LINEAR16",
                        "sampleRateHertz": RATE,
                        "speakingRate": request.speed,
                    },
                });
                settings.merge_options(&mut body);
                post.json(&body)
            }
        }
    }
}

/// Text as XML character data or attribute value.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            // Control characters are no XML.
            char if char.is_control() && char != '\n' && char != '\t' => {}
            char => out.push(char),
        }
    }
    out
}

/// Samples of a base64 WAV file: what lies behind the header of its `data` chunk.
fn wav_samples(base64: &str) -> Result<Vec<i16>, ProviderError> {
    let bytes = STANDARD
        .decode(base64)
        .map_err(|error| ProviderError::Failed(format!("audio: {error}")))?;
    let data = match bytes.windows(4).position(|window| window == b"data") {
        Some(at) if bytes.starts_with(b"RIFF") => bytes.get(at + 8..).unwrap_or_default(),
        _ => &bytes,
    };
    Ok(data
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_cannot_be_smuggled_into_ssml() {
        assert_eq!(escaped("a<break/>&'\u{7}"), "a&lt;break/&gt;&amp;&apos;");
    }
}
