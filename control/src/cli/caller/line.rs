//! The caller's end of a telephone line, whatever carries it.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

/// Orders that may wait for the line.
pub const ORDER_CAPACITY: usize = 16;
/// Events that may wait for the caller: 10 s of audio.
pub const EVENT_CAPACITY: usize = 512;

/// What the caller does on the line.
#[derive(Clone, Debug)]
pub enum LineOrder {
    /// Speak this PCM (16 kHz mono); [`LineEvent::Said`] follows when it has left.
    Speak(Arc<[i16]>),
    /// Press these keys; [`LineEvent::Said`] follows.
    Digits(String),
    /// Hang up; [`LineEvent::Ended`] follows.
    HangUp,
}

/// What happens on the line.
#[derive(Clone, Debug)]
pub enum LineEvent {
    /// 20 ms were heard.
    Heard {
        /// Probability of speech.
        voice: f32,
        /// When.
        at: Instant,
    },
    /// The last order to speak or press keys has been carried out.
    Said {
        /// When its last sample left.
        at: Instant,
    },
    /// The line is dead; last event.
    Ended {
        /// Who or what ended it, for people.
        how: String,
        /// Whether the call was cut by a fault rather than hung up.
        failed: bool,
    },
}

/// Both directions of a line. Dropping it hangs up.
#[derive(Debug)]
pub struct Line {
    /// How the server knows this call: its own id where it tells, else the carrier's.
    pub server_call: ServerCall,
    /// Towards the line.
    pub orders: mpsc::Sender<LineOrder>,
    /// From the line.
    pub events: mpsc::Receiver<LineEvent>,
}

/// How a call can be found in the server's records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ServerCall {
    /// By the server's own call id.
    Id(String),
    /// By the carrier's call id.
    Carrier(String),
    /// Not at all: the other side is not Samvad.
    Unknown,
}
