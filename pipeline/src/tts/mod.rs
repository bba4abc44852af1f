//! Text to speech: the provider-neutral trait and its events.

pub mod cache;
pub mod fallback;
pub mod sentence_splitter;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::provider_error::ProviderError;

/// One speakable chunk, usually a clause or a sentence.
#[derive(Clone, PartialEq, Debug)]
pub struct TtsRequest {
    /// Plain text.
    pub text: String,
    /// Voice name as the provider knows it; empty for its default.
    pub voice: String,
    /// BCP 47 language tag.
    pub language: String,
    /// Speaking rate; 1.0 is the voice's own.
    pub speed: f32,
}

/// Where a word lies in the audio of its request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WordTiming {
    /// Byte range of the word in [`TtsRequest::text`].
    pub text_range: std::ops::Range<usize>,
    /// Time of the word's end from the first sample of the request's audio.
    pub end: Duration,
}

/// What a voice delivers.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum TtsEvent {
    /// PCM at [`media::frame::FRAME_RATE`], in order.
    Audio(Arc<[i16]>),
    /// Places of words, in order; absent for voices that do not know.
    Words(Vec<WordTiming>),
    /// The chunk is complete; last event.
    Done,
    /// Synthesis failed; last event.
    Fault {
        /// Whether a retry may work.
        retryable: bool,
        /// For the log and the call record.
        message: String,
    },
}

/// A voice, local or remote.
#[async_trait]
pub trait TextToSpeech: Send + Sync {
    /// Name for records and metrics, for example `flite`.
    fn name(&self) -> &str;

    /// Begins to speak one chunk. Dropping the receiver cancels the synthesis.
    ///
    /// # Errors
    /// [`ProviderError`] when synthesis cannot begin.
    async fn synthesize(
        &self,
        request: TtsRequest,
    ) -> Result<mpsc::Receiver<TtsEvent>, ProviderError>;
}
