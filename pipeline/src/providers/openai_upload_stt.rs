//! Whisper-style upload, `/audio/transcriptions`: one request an utterance, as OpenAI and most
//! local servers take it. No partial texts.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use media::frame::{FRAME_RATE, SamplePosition};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::provider_error::ProviderError;
use crate::providers::http::{CONNECT_MAX, client, headers, refusal, transport};
use crate::providers::settings::{ProviderSettings, primary_language};
use crate::providers::stt_codec::{seconds, text, timed_words};
use crate::stt::{
    RecognisedWord, SpeechToText, SttCommand, SttEvent, SttRequest, SttStream, UtteranceId,
};

/// Commands that wait: 5 s of frames.
const COMMANDS: usize = 256;
/// Events that wait for the conversation.
const EVENTS: usize = 16;
/// Longest wait for the text of an utterance.
const ANSWER_MAX: Duration = Duration::from_secs(4);
/// Longest utterance that is kept: a minute.
const SAMPLES_MAX: usize = FRAME_RATE as usize * 60;
/// Parts of the form are divided by this; audio cannot hold it by accident.
const BOUNDARY: &str = "samvad-b2f1c6d07e6f4f0c9a55";

/// Settings and client, shared by all calls.
struct Upload {
    settings: ProviderSettings,
    url: Url,
    client: reqwest::Client,
}

/// A recogniser behind an upload API.
pub(crate) struct UploadRecogniser(Arc<Upload>);

impl UploadRecogniser {
    pub(crate) fn new(settings: ProviderSettings) -> Result<Self, ProviderError> {
        let url = settings.http_url("https://api.openai.com/v1", "/audio/transcriptions")?;
        let bearer = match settings.key() {
            "" => String::new(),
            key => format!("Bearer {key}"),
        };
        let headers = headers(&[("authorization", bearer.as_str())])?;
        let client = client(headers, CONNECT_MAX)?;
        Ok(Self(Arc::new(Upload {
            settings,
            url,
            client,
        })))
    }
}

#[async_trait]
impl SpeechToText for UploadRecogniser {
    fn name(&self) -> &str {
        "openai_upload"
    }

    async fn open(&self, request: SttRequest) -> Result<SttStream, ProviderError> {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (events, outbox) = mpsc::channel(EVENTS);
        tokio::spawn(serve(Arc::clone(&self.0), request, inbox, events));
        Ok(SttStream {
            commands,
            events: outbox,
        })
    }
}

struct Recording {
    id: UtteranceId,
    position: SamplePosition,
    pcm: Vec<u8>,
}

async fn serve(
    upload: Arc<Upload>,
    mut request: SttRequest,
    mut inbox: mpsc::Receiver<SttCommand>,
    events: mpsc::Sender<SttEvent>,
) {
    let mut recording: Option<Recording> = None;
    while let Some(command) = inbox.recv().await {
        match command {
            SttCommand::Start {
                utterance,
                position,
            } => {
                recording = Some(Recording {
                    id: utterance,
                    position,
                    pcm: Vec::new(),
                });
            }
            SttCommand::Audio(frame) => {
                if let Some(recording) = &mut recording
                    && recording.pcm.len() < SAMPLES_MAX * 2
                {
                    let bytes = frame.samples.iter().flat_map(|s| s.to_le_bytes());
                    recording.pcm.extend(bytes);
                }
            }
            SttCommand::Cancel { .. } => recording = None,
            SttCommand::Hints(hints) => request.hints = hints,
            SttCommand::Finish { utterance } => {
                let Some(done) = recording.take().filter(|r| r.id == utterance) else {
                    continue;
                };
                let answer = tokio::select! {
                    // The call is over: the request goes with its connection.
                    () = events.closed() => return,
                    answer = upload.ask(&request, &done) => answer,
                };
                let event = match answer {
                    Ok(event) => event,
                    Err(error) => SttEvent::Fault {
                        retryable: error.is_retryable(),
                        message: error.to_string(),
                    },
                };
                let failed = matches!(event, SttEvent::Fault { .. });
                if events.send(event).await.is_err() || failed {
                    return;
                }
            }
        }
    }
}

impl Upload {
    async fn ask(
        &self,
        request: &SttRequest,
        recording: &Recording,
    ) -> Result<SttEvent, ProviderError> {
        let deadline = Instant::now() + ANSWER_MAX;
        let sending = self
            .client
            .post(self.url.clone())
            .header(
                "content-type",
                format!("multipart/form-data; boundary={BOUNDARY}"),
            )
            .body(self.form(request, &recording.pcm))
            .send();
        let response = timeout_at(deadline, sending)
            .await
            .map_err(|_| ProviderError::TimedOut)?
            .map_err(transport)?;
        if !response.status().is_success() {
            return Err(refusal(response, deadline).await);
        }
        let body: Value = timeout_at(deadline, response.json())
            .await
            .map_err(|_| ProviderError::TimedOut)?
            .map_err(transport)?;
        let place = |ms: u64| recording.position.plus(ms * u64::from(FRAME_RATE) / 1000);
        Ok(SttEvent::Final {
            utterance: recording.id,
            text: text(&body, "text").trim().to_owned(),
            confidence: None,
            words: timed_words(&body["words"], "word", seconds)
                .into_iter()
                .map(|word| RecognisedWord {
                    start: place(word.start_ms),
                    end: place(word.end_ms),
                    text: word.text,
                })
                .collect(),
        })
    }

    /// The form as RFC 7578 has it.
    fn form(&self, request: &SttRequest, pcm: &[u8]) -> Vec<u8> {
        let mut fields = vec![
            (
                "model".to_owned(),
                self.settings.model_or("whisper-1").to_owned(),
            ),
            (
                "language".to_owned(),
                primary_language(&request.language).to_owned(),
            ),
            ("response_format".to_owned(), "json".to_owned()),
        ];
        if !request.hints.phrases.is_empty() {
            fields.push(("prompt".to_owned(), request.hints.phrases.join(", ")));
        }
        for (name, value) in &self.settings.options {
            fields.retain(|(known, _)| known != name);
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            fields.push((name.clone(), value));
        }
        let mut form = Vec::with_capacity(pcm.len() + 1024);
        for (name, value) in fields {
            let part = format!(
                "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            );
            form.extend_from_slice(part.as_bytes());
        }
        let head = format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"file\"; \
             filename=\"speech.wav\"\r\ncontent-type: audio/wav\r\n\r\n"
        );
        form.extend_from_slice(head.as_bytes());
        form.extend_from_slice(&wav_header(pcm.len()));
        form.extend_from_slice(pcm);
        form.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        form
    }
}

/// Header of a mono 16-bit WAV file at [`FRAME_RATE`].
fn wav_header(bytes: usize) -> [u8; 44] {
    let length = u32::try_from(bytes).unwrap_or(u32::MAX - 36);
    let mut header = [0; 44];
    header[..4].copy_from_slice(b"RIFF");
    header[4..8].copy_from_slice(&(36 + length).to_le_bytes());
    header[8..16].copy_from_slice(b"WAVEfmt ");
    header[16..20].copy_from_slice(&16u32.to_le_bytes());
    header[20..22].copy_from_slice(&1u16.to_le_bytes());
    header[22..24].copy_from_slice(&1u16.to_le_bytes());
    header[24..28].copy_from_slice(&FRAME_RATE.to_le_bytes());
    header[28..32].copy_from_slice(&(FRAME_RATE * 2).to_le_bytes());
    header[32..34].copy_from_slice(&2u16.to_le_bytes());
    header[34..36].copy_from_slice(&16u16.to_le_bytes());
    header[36..40].copy_from_slice(b"data");
    header[40..44].copy_from_slice(&length.to_le_bytes());
    header
}
