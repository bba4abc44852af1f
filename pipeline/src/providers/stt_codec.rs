//! What a streaming recogniser's wire protocol has to say for itself; free of I/O and clock.

use std::time::Duration;

use serde_json::Value;

use crate::provider_error::ProviderError;
use crate::providers::socket::{Address, Incoming, Outgoing};
use crate::stt::TurnSignal;

/// How a provider wants its audio.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AudioFormat {
    /// Samples per second of 16-bit little-endian PCM.
    pub(crate) rate: u32,
    /// Length of a message in ms; a multiple of 20. The last of an utterance is filled up with silence.
    pub(crate) message_ms: u32,
}

/// What is sent while no utterance runs, so that the connection stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Idle {
    /// Nothing is needed.
    Nothing,
    /// A message, after so long without another.
    Message(Duration, Outgoing),
    /// Silence in real time: without audio the provider's own detectors stand still.
    Silence,
}

/// A word and its place on the provider's timeline, which counts the audio of the connection.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct TimedWord {
    pub(crate) text: String,
    pub(crate) start_ms: u64,
    pub(crate) end_ms: u64,
}

/// What a message of the provider comes down to.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Heard {
    /// Text behind the last final text; replaces the last interim text.
    Interim(String),
    /// Text that will not change any more, behind what was final before.
    Final {
        text: String,
        confidence: Option<f32>,
        words: Vec<TimedWord>,
    },
    /// The provider's opinion on the turn.
    Turn(TurnSignal),
    /// The language heard.
    Language(String),
    /// Everything that [`SttCodec::finish`] asked for has been said.
    Finished,
}

/// The wire protocol of one streaming recogniser, for one connection.
pub(crate) trait SttCodec: Send {
    /// Where and how to connect.
    fn address(&self) -> Address;
    /// The audio it takes.
    fn format(&self) -> AudioFormat;
    /// What is said first.
    fn opening(&mut self) -> Vec<Outgoing> {
        Vec::new()
    }
    /// What is said when an utterance begins.
    fn begin(&mut self) -> Vec<Outgoing> {
        Vec::new()
    }
    /// Audio on its way.
    fn audio(&mut self, pcm: Vec<u8>) -> Outgoing {
        Outgoing::Binary(pcm)
    }
    /// Asks for the final text of everything sent. [`Heard::Finished`] answers it.
    fn finish(&mut self) -> Vec<Outgoing>;
    /// What keeps the connection while nobody speaks.
    fn idle(&self) -> Idle;
    /// What is said last.
    fn closing(&mut self) -> Option<Outgoing> {
        None
    }
    /// Reads a message. An error ends the connection.
    fn take(&mut self, message: &Incoming) -> Result<Vec<Heard>, ProviderError>;
}

/// JSON out of a text message.
pub(crate) fn json(message: &Incoming) -> Result<Value, ProviderError> {
    let Incoming::Text(text) = message else {
        return Err(ProviderError::Failed("a binary message".to_owned()));
    };
    serde_json::from_str(text)
        .map_err(|error| ProviderError::Failed(format!("unreadable message: {error}")))
}

/// A text field, or an empty text.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// A number between 0 and 1.
pub(crate) fn share(value: &Value) -> Option<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "a confidence")]
    value.as_f64().map(|number| number as f32)
}

/// Milliseconds out of a number of seconds.
pub(crate) fn seconds(value: &Value) -> Option<u64> {
    let ms = value.as_f64()? * 1e3;
    (ms.is_finite() && ms >= 0.0).then_some(ms.round() as u64)
}

/// Words out of a list whose entries have these fields for text, begin and end.
pub(crate) fn timed_words(
    list: &Value,
    text_key: &str,
    time: fn(&Value) -> Option<u64>,
) -> Vec<TimedWord> {
    let entries = list.as_array().map(Vec::as_slice).unwrap_or_default();
    entries
        .iter()
        .filter_map(|word| {
            Some(TimedWord {
                text: text(word, text_key).to_owned(),
                start_ms: time(&word["start"])?,
                end_ms: time(&word["end"])?,
            })
        })
        .collect()
}
