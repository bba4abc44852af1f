//! A voice that speaks a tone, as long as the text would take.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use media::frame::{FRAME_RATE, FRAME_SAMPLES};
use tokio::sync::mpsc;

use crate::provider_error::ProviderError;
use crate::tts::{TextToSpeech, TtsEvent, TtsRequest, WordTiming};

/// Length of one word.
pub const WORD: Duration = Duration::from_millis(300);
const WORD_SAMPLES: usize = (FRAME_RATE as usize) * 3 / 10;
/// Pieces of speech that wait for the reader.
const EVENTS: usize = 16;

/// Speaks every word for [`WORD`], after a delay.
#[derive(Clone, Debug)]
pub struct ScriptedVoice {
    /// Wait before the first piece of speech.
    pub first_audio: Duration,
    /// Whether it tells where words lie.
    pub word_timings: bool,
    /// Every request fails.
    pub broken: bool,
}

impl Default for ScriptedVoice {
    fn default() -> Self {
        Self {
            first_audio: Duration::from_millis(100),
            word_timings: true,
            broken: false,
        }
    }
}

/// The speech of a text: a 500 Hz square wave, [`WORD`] for each word.
#[must_use]
pub fn speech_of(text: &str) -> Arc<[i16]> {
    let words = text.split_whitespace().count();
    (0..words * WORD_SAMPLES)
        .map(|i| if i % 32 < 16 { 6000 } else { -6000 })
        .collect()
}

/// The places of the words in [`speech_of`] the text.
#[must_use]
pub fn timings_of(text: &str) -> Vec<WordTiming> {
    let mut from = 0;
    let mut end = Duration::ZERO;
    text.split_whitespace()
        .map(|word| {
            let start = text[from..].find(word).map_or(from, |at| from + at);
            from = start + word.len();
            end += WORD;
            WordTiming {
                text_range: start..from,
                end,
            }
        })
        .collect()
}

#[async_trait]
impl TextToSpeech for ScriptedVoice {
    fn name(&self) -> &str {
        "scripted"
    }

    async fn synthesize(
        &self,
        request: TtsRequest,
    ) -> Result<mpsc::Receiver<TtsEvent>, ProviderError> {
        if self.broken {
            return Err(ProviderError::Unavailable("scripted to fail".to_owned()));
        }
        let (events, receiver) = mpsc::channel(EVENTS);
        let voice = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(voice.first_audio).await;
            if voice.word_timings {
                let _ = events
                    .send(TtsEvent::Words(timings_of(&request.text)))
                    .await;
            }
            for piece in speech_of(&request.text).chunks(FRAME_SAMPLES * 10) {
                if events
                    .send(TtsEvent::Audio(Arc::from(piece)))
                    .await
                    .is_err()
                {
                    return;
                }
            }
            let _ = events.send(TtsEvent::Done).await;
        });
        Ok(receiver)
    }
}
