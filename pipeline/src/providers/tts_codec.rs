//! What a streaming voice's wire protocol has to say for itself; free of I/O and clock.

use std::time::Duration;

use crate::provider_error::ProviderError;
use crate::providers::socket::{Address, Incoming, Outgoing};
use crate::tts::TtsRequest;

/// Sample rate, in Hz, that streaming voices are asked for: the engine's own.
pub(crate) const RATE: u32 = media::frame::FRAME_RATE;

/// A word and the end of it, from the first sample of its request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SpokenWord {
    pub(crate) text: String,
    pub(crate) end_ms: u64,
}

/// What a message of the provider comes down to.
#[derive(Clone, Debug)]
pub(crate) enum Spoken {
    /// 16-bit little-endian PCM.
    Audio(Vec<u8>),
    /// Words, in order.
    Words(Vec<SpokenWord>),
    /// The request has been spoken whole.
    Done,
    /// The request has failed; others of the connection go on.
    Fault(ProviderError),
    /// The connection is free again after a cancellation.
    Cleared,
}

/// How a request is cancelled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Cancel {
    /// By these messages; what is on its way is recognised by its context and dropped.
    Send(Vec<Outgoing>),
    /// By these messages; nothing else may be asked before [`Spoken::Cleared`].
    Await(Vec<Outgoing>),
    /// Only by closing the connection.
    Close,
}

/// The wire protocol of one streaming voice, for one connection.
pub(crate) trait TtsCodec: Send {
    /// Where and how to connect.
    fn address(&self) -> Address;
    /// What is said first. With the address it decides which requests a connection can serve.
    fn opening(&self) -> Vec<Outgoing> {
        Vec::new()
    }
    /// Requests that may run at a time.
    fn contexts_max(&self) -> usize;
    /// Speaks a whole request.
    fn begin(&mut self, context: &str, request: &TtsRequest) -> Vec<Outgoing>;
    /// Cancels a request.
    fn cancel(&mut self, context: &str) -> Cancel;
    /// What keeps an idle connection, and how often.
    fn keep_alive(&self) -> Option<(Duration, Outgoing)>;
    /// What is said last.
    fn closing(&self) -> Option<Outgoing> {
        None
    }
    /// Reads a message. `None` stands for the only request of the connection. An error ends the
    /// connection.
    fn take(&mut self, message: Incoming) -> Result<Vec<(Option<String>, Spoken)>, ProviderError>;
}
