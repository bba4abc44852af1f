//! A leg over a carrier's media stream: the queues between the leg and the task that speaks the
//! carrier's websocket.
//!
//! The task does JSON and base64; the leg does audio, pacing and marks.
//!
//! | queue | capacity | when full |
//! |---|---|---|
//! | input, socket to leg | [`INPUT_CAPACITY`] | [`StreamPort::send`] refuses; try again after a few ms |
//! | output, leg to socket | [`OUTPUT_CAPACITY`] | speech waits in the leg's playout queue |

use std::fmt;
use std::future::poll_fn;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::codec::Codec;
use crate::leg::{Generation, LegEnd, LegId};
use crate::leg_queue::LegWaker;
use crate::protocol::MediaLimits;

/// Most bytes of audio in one piece: 20 ms of 16-bit audio at 16 kHz. Audio at 24 kHz travels in
/// pieces of 10 ms.
pub const STREAM_PAYLOAD_MAX: usize = 640;
/// Pieces, marks and digits that may wait for the leg.
pub const INPUT_CAPACITY: usize = 24;
/// Pieces, marks and orders that may wait for the socket.
pub const OUTPUT_CAPACITY: usize = 24;

/// How to set up a stream leg.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamLegConfig {
    /// Encoding of the audio that comes.
    pub receive: Codec,
    /// Encoding of the audio we send.
    pub send: Codec,
    /// Media timeouts.
    pub limits: MediaLimits,
    /// How far ahead of real time speech is sent, in ms. The carrier's buffer then survives our
    /// and the network's jitter, and a clear still loses little.
    pub lead_ms: u32,
    /// Speech between two marks, in ms; rounded to whole frames.
    pub mark_every_ms: u32,
    /// Whether silence is sent while there is no speech; carriers' streams need none.
    pub send_silence: bool,
    /// Where to record both parties; `None` records nothing.
    pub recording: Option<PathBuf>,
    /// Whether our own voice is taken out of what comes back: carriers have no echo canceller.
    pub echo_control: bool,
}

impl StreamLegConfig {
    /// 200 ms ahead, a mark every 200 ms, nothing sent while idle, echo control.
    #[must_use]
    pub fn new(receive: Codec, send: Codec) -> Self {
        Self {
            receive,
            send,
            limits: MediaLimits::default(),
            lead_ms: 200,
            mark_every_ms: 200,
            send_silence: false,
            recording: None,
            echo_control: true,
        }
    }
}

/// Encoded audio, stored inline.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StreamPayload {
    len: u16,
    bytes: [u8; STREAM_PAYLOAD_MAX],
}

impl StreamPayload {
    /// Copies `bytes`; `None` when they exceed [`STREAM_PAYLOAD_MAX`].
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut payload = Self {
            len: u16::try_from(bytes.len()).ok()?,
            bytes: [0; STREAM_PAYLOAD_MAX],
        };
        payload.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(payload)
    }

    /// The encoded audio.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for StreamPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamPayload({} bytes)", self.len)
    }
}

/// A piece of the caller's audio.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamPacket {
    /// Counts pieces without a gap, unless some were lost on the way.
    pub sequence: u64,
    /// Presentation time of the first sample in ms since the stream began.
    pub timestamp_ms: u64,
    /// The audio.
    pub payload: StreamPayload,
}

/// What the socket's task tells the leg.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "audio travels by value, without heap"
)]
pub enum StreamInput {
    /// Audio.
    Packet(StreamPacket),
    /// The carrier gave this mark back.
    Mark(MarkId),
    /// The carrier reported a key press, one of `0-9*#A-D`.
    Digit(u8),
    /// The stream is over; the leg ends with [`LegEnd::RemoteEnded`].
    End,
}

/// What the leg asks of the socket's task, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "audio travels by value, without heap"
)]
pub enum StreamOutput {
    /// Audio to play after what was sent before. Between two marks of one segment lies a whole
    /// number of [`StreamLegConfig::mark_every_ms`], so a task that must send larger chunks can
    /// gather up to the next mark and pads only at the end of a segment.
    Audio(StreamPayload),
    /// Ask for this mark back once all audio before it has played.
    Mark {
        /// The mark.
        id: MarkId,
        /// Whether it stands at the end of a segment: nothing may follow for a while, so what
        /// has been gathered goes out now.
        segment_end: bool,
    },
    /// Drop everything sent and not played. Audio and marks that stood before it in the queue
    /// are not delivered any more.
    Clear,
    /// The leg is over; last item.
    End(LegEnd),
}

/// Names a mark; written `generation-number`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MarkId {
    /// Generation whose audio it follows.
    pub generation: Generation,
    /// Counts the marks of the leg.
    pub number: u32,
}

impl fmt::Display for MarkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.generation.0, self.number)
    }
}

/// The text is not the name of a mark of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not the name of a mark")]
pub struct MarkIdError;

impl FromStr for MarkId {
    type Err = MarkIdError;

    fn from_str(text: &str) -> Result<Self, MarkIdError> {
        let (generation, number) = text.split_once('-').ok_or(MarkIdError)?;
        Ok(Self {
            generation: Generation(generation.parse().map_err(|_| MarkIdError)?),
            number: number.parse().map_err(|_| MarkIdError)?,
        })
    }
}

/// What travels to the socket's task: an output and the clear count it was made under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    clears: u32,
    output: StreamOutput,
}

/// The socket task's end of a stream leg. Dropping it ends the leg.
#[derive(Debug)]
pub struct StreamPort {
    id: LegId,
    input: Producer<StreamInput>,
    output: Consumer<Outgoing>,
    clears: Arc<AtomicU32>,
    waker: Arc<LegWaker>,
}

/// The leg's end.
#[derive(Debug)]
pub struct StreamQueues {
    input: Consumer<StreamInput>,
    output: Producer<Outgoing>,
    clears: Arc<AtomicU32>,
    waker: Arc<LegWaker>,
    /// Something was queued since the task was last announced.
    wake: bool,
}

/// Makes the two ends of a stream.
#[must_use]
pub fn stream_queue(id: LegId) -> (StreamPort, StreamQueues) {
    let (input, input_out) = RingBuffer::new(INPUT_CAPACITY);
    let (output_in, output) = RingBuffer::new(OUTPUT_CAPACITY);
    let clears = Arc::new(AtomicU32::new(0));
    let waker = Arc::new(LegWaker::default());
    let port = StreamPort {
        id,
        input,
        output,
        clears: Arc::clone(&clears),
        waker: Arc::clone(&waker),
    };
    let queues = StreamQueues {
        input: input_out,
        output: output_in,
        clears,
        waker,
        wake: false,
    };
    (port, queues)
}

impl StreamPort {
    /// Hands `input` to the leg, which takes it within 5 ms; gives it back when the queue is
    /// full or the leg is gone (see [`Self::is_closed`]).
    ///
    /// # Errors
    /// The input itself, not taken.
    #[expect(
        clippy::result_large_err,
        reason = "the input goes back to the sender, without heap"
    )]
    pub fn send(&mut self, input: StreamInput) -> Result<(), StreamInput> {
        if self.input.is_abandoned() {
            return Err(input);
        }
        self.input
            .push(input)
            .map_err(|rtrb::PushError::Full(input)| input)
    }

    /// Waits for the next output; `None` once the leg is gone and everything has been read.
    /// Cancel safe.
    pub async fn recv(&mut self) -> Option<StreamOutput> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Poll form of [`Self::recv`].
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<StreamOutput>> {
        if let Some(output) = self.try_recv() {
            return Poll::Ready(Some(output));
        }
        self.waker.register(cx.waker());
        // Looked at before the queue: what was pushed before the leg let go is still read.
        let abandoned = self.output.is_abandoned();
        match self.try_recv() {
            Some(output) => Poll::Ready(Some(output)),
            None if abandoned => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// The next output if one is waiting.
    pub fn try_recv(&mut self) -> Option<StreamOutput> {
        while let Ok(outgoing) = self.output.pop() {
            let stale = outgoing.clears != self.clears.load(Ordering::Acquire);
            match outgoing.output {
                StreamOutput::Audio(_) | StreamOutput::Mark { .. } if stale => {}
                output => return Some(output),
            }
        }
        None
    }

    /// Whether the leg is gone; what it left can still be read.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.input.is_abandoned()
    }

    /// The leg's id.
    #[must_use]
    pub const fn id(&self) -> LegId {
        self.id
    }
}

impl StreamQueues {
    /// The next input if one is waiting.
    pub(crate) fn pop(&mut self) -> Option<StreamInput> {
        self.input.pop().ok()
    }

    /// Whether the next input is audio.
    pub(crate) fn next_is_packet(&self) -> bool {
        matches!(self.input.peek(), Ok(StreamInput::Packet(_)))
    }

    /// Queues `output`; `false` when the queue is full.
    pub(crate) fn push(&mut self, output: StreamOutput) -> bool {
        let clears = self.clears.load(Ordering::Relaxed);
        let queued = self.output.push(Outgoing { clears, output }).is_ok();
        self.wake |= queued;
        queued
    }

    /// Makes audio and marks that the task has not taken yet undeliverable.
    pub(crate) fn invalidate(&mut self) {
        self.clears.fetch_add(1, Ordering::Release);
    }

    /// Outputs that fit.
    pub(crate) fn room(&self) -> usize {
        self.output.slots()
    }

    /// Whether the task has let go of its end.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.output.is_abandoned()
    }

    /// The task's waker when it must be woken.
    pub(crate) fn poll_wake(&mut self) -> Option<Arc<LegWaker>> {
        let wake = std::mem::take(&mut self.wake) && self.waker.announce();
        wake.then(|| Arc::clone(&self.waker))
    }

    /// The task's waker.
    #[cfg(feature = "net")]
    pub(crate) const fn waker(&self) -> &Arc<LegWaker> {
        &self.waker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audio(byte: u8) -> StreamOutput {
        StreamOutput::Audio(StreamPayload::new(&[byte; 160]).expect("160 bytes fit"))
    }

    #[test]
    fn a_clear_overtakes_audio_the_task_has_not_taken() {
        let (mut port, mut queues) = stream_queue(LegId(1));
        assert!(queues.push(audio(1)));
        assert!(queues.push(audio(2)));
        assert_eq!(port.try_recv(), Some(audio(1)));
        queues.invalidate();
        assert!(queues.push(StreamOutput::Clear));
        assert!(queues.push(audio(3)));
        assert_eq!(port.try_recv(), Some(StreamOutput::Clear));
        assert_eq!(port.try_recv(), Some(audio(3)));
        assert_eq!(port.try_recv(), None);
    }

    #[test]
    fn marks_survive_their_text_form_and_strangers_are_refused() {
        let id = MarkId {
            generation: Generation(3),
            number: 17,
        };
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "3", "3-", "-3", "a-1", "1-99999999999", "1-2-3"] {
            assert_eq!(text.parse::<MarkId>(), Err(MarkIdError), "{text}");
        }
    }

    #[test]
    fn payloads_are_bounded() {
        assert!(StreamPayload::new(&[0; STREAM_PAYLOAD_MAX + 1]).is_none());
        assert_eq!(
            StreamPayload::new(&[7; 3]).map(|p| p.as_bytes().to_vec()),
            Some(vec![7; 3])
        );
    }
}
