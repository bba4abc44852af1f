//! The one seam to streaming carriers: messages of any of them, in neutral words.

use std::collections::BTreeMap;

use media::codec::Codec;

/// What a carrier tells us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CarrierEvent {
    /// The stream begins; comes once, before any audio.
    Started(StreamStart),
    /// Audio of the caller, encoded as [`StreamStart::receive`].
    Audio {
        /// Counts messages from 1, if the carrier does.
        chunk: Option<u64>,
        /// Presentation time in ms since the stream began, if the carrier tells.
        timestamp_ms: Option<u64>,
        /// The audio.
        payload: Vec<u8>,
    },
    /// A key press.
    Dtmf {
        /// One of `0-9*#A-D`.
        digit: u8,
    },
    /// A fence of ours was reached, or dropped by a clear.
    Played {
        /// Its name.
        name: String,
    },
    /// The carrier has dropped what it had queued.
    Cleared,
    /// The stream is over.
    Ended {
        /// Why, if the carrier says.
        reason: Option<String>,
    },
    /// The carrier complains.
    Fault {
        /// Its code.
        code: String,
        /// Its text.
        text: String,
    },
}

/// How a stream begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamStart {
    /// The carrier's id of the call.
    pub call_ref: Option<String>,
    /// The carrier's id of the stream.
    pub stream_ref: String,
    /// Who calls, if told here.
    pub from: Option<String>,
    /// Who was called, if told here.
    pub to: Option<String>,
    /// Custom parameters.
    pub params: BTreeMap<String, String>,
    /// Encoding of the audio that comes.
    pub receive: Codec,
    /// Encoding of the audio we send.
    pub send: Codec,
}

/// What we ask of a carrier. Hanging up is closing the socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CarrierCommand<'a> {
    /// Play this audio, encoded as [`StreamStart::send`], after what was sent before.
    Play(&'a [u8]),
    /// Report when everything sent so far has been played.
    Fence {
        /// Name that comes back.
        name: &'a str,
        /// Whether nothing may follow for a while.
        segment_end: bool,
    },
    /// Drop everything sent and not played.
    Clear,
}

/// What a carrier can do and wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// How far ahead of real time speech should be sent, in ms.
    pub lead_ms: u32,
    /// Whether audio messages come in order.
    pub ordered: bool,
    /// Whether a clear brings back the names of the fences it dropped.
    pub clear_echoes_fences: bool,
}

/// Why a message of a carrier was not understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CarrierMessageError {
    /// Not a JSON object with an `event`.
    #[error("not a message")]
    NotAMessage,
    /// A field is missing or of the wrong kind.
    #[error("field `{0}` is missing or malformed")]
    Field(&'static str),
    /// Audio that is not base64, or not of whole samples.
    #[error("audio is malformed")]
    Audio,
    /// Of another stream than the one that began.
    #[error("unknown stream id")]
    UnknownStream,
    /// A message that may only come after the beginning, or a second beginning.
    #[error("message out of order")]
    OutOfOrder,
    /// An encoding we do not speak.
    #[error("unsupported media format")]
    Format,
}

/// Messages of one carrier, read and written for one stream. Knows nothing of sockets and time.
pub trait CarrierAdapter: Send {
    /// Reads one text message; `None` for one that means nothing to us.
    ///
    /// # Errors
    /// [`CarrierMessageError`]; the stream may go on.
    fn read(&mut self, text: &str) -> Result<Option<CarrierEvent>, CarrierMessageError>;

    /// Writes a command as zero or more text messages, in order.
    fn write(&mut self, command: CarrierCommand<'_>, messages: &mut Vec<String>);

    /// What the carrier can do.
    fn capabilities(&self) -> Capabilities;
}

/// Reads a number that the carrier may write as a string or as a number.
pub(super) fn number(value: Option<&serde_json::Value>) -> Option<u64> {
    match value? {
        serde_json::Value::Number(number) => number.as_u64(),
        serde_json::Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A key of `0-9*#A-D`.
pub(super) fn dtmf_key(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [key @ (b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D')] => Some(*key),
        [key @ b'a'..=b'd'] => Some(key.to_ascii_uppercase()),
        _ => None,
    }
}

/// Custom parameters: an object of strings; other values are taken in JSON form.
pub(super) fn params(value: Option<&serde_json::Value>) -> BTreeMap<String, String> {
    let Some(serde_json::Value::Object(object)) = value else {
        return BTreeMap::new();
    };
    object
        .iter()
        .map(|(name, value)| {
            let value = match value {
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            (name.clone(), value)
        })
        .collect()
}
