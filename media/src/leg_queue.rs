//! The bounded wait-free queues between a leg on its media worker and the asynchronous side.
//!
//! | queue | capacity | when full |
//! |---|---|---|
//! | frames, worker to conversation | [`FRAME_CAPACITY`] | newest dropped, `LegStatistics::frames_dropped` counts |
//! | events, worker to conversation | [`EVENT_CAPACITY`] | kept by the leg, tried again at its next tick |
//! | commands, conversation to worker | [`COMMAND_CAPACITY`] | refused to the sender |
//! | spent speech, worker to conversation | [`COMMAND_CAPACITY`] | kept by the leg, tried again |
//!
//! Spent speech goes back so that its memory is freed on the asynchronous side.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use atomic_waker::AtomicWaker;
use rtrb::{Consumer, Producer, RingBuffer};

use crate::frame::Frame;
use crate::leg::{LegCommand, LegEvent, LegId};

/// Frames that may wait for the conversation: 500 ms.
pub const FRAME_CAPACITY: usize = 25;
/// Events that may wait for the conversation.
pub const EVENT_CAPACITY: usize = 32;
/// Commands that may wait for the worker.
pub const COMMAND_CAPACITY: usize = 64;

/// Wakes the task that reads a [`MediaLeg`].
#[derive(Debug, Default)]
pub struct LegWaker {
    task: AtomicWaker,
    /// Set while a wake-up is on its way, so that a busy leg is announced once.
    announced: AtomicBool,
}

impl LegWaker {
    /// Marks the leg as having something to read; `true` when nobody has announced it yet, and
    /// the caller must see to it that [`Self::wake`] is called.
    pub fn announce(&self) -> bool {
        !self.announced.swap(true, Ordering::AcqRel)
    }

    /// Wakes the reading task. Not for the audio path: a runtime's waker may take a lock.
    pub fn wake(&self) {
        // Reads the last announcement, so that what was queued before it is visible to the task.
        self.announced.swap(false, Ordering::AcqRel);
        self.task.wake();
    }

    /// Has `task` woken by the next [`Self::wake`].
    pub fn register(&self, task: &Waker) {
        self.task.register(task);
    }
}

/// What a [`MediaLeg`] yields.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "frames travel by value, without heap"
)]
pub enum LegOutput {
    /// 20 ms of the caller's audio.
    Frame(Frame),
    /// Something happened.
    Event(LegEvent),
}

/// The asynchronous end of a leg. Dropping it closes the leg.
#[derive(Debug)]
pub struct MediaLeg {
    id: LegId,
    frames: Consumer<Frame>,
    events: Consumer<LegEvent>,
    commands: Producer<LegCommand>,
    spent: Consumer<Arc<[i16]>>,
    waker: Arc<LegWaker>,
}

/// The worker's end of a leg.
#[derive(Debug)]
pub struct LegPort {
    /// Frames towards the conversation.
    pub frames: Producer<Frame>,
    /// Events towards the conversation.
    pub events: Producer<LegEvent>,
    /// Commands from the conversation.
    pub commands: Consumer<LegCommand>,
    /// Speech that has been played, to be freed on the other side.
    pub spent: Producer<Arc<[i16]>>,
    /// Announces output.
    pub waker: Arc<LegWaker>,
}

/// Makes the two ends of a leg.
#[must_use]
pub fn leg_queue(id: LegId) -> (MediaLeg, LegPort) {
    let (frames_in, frames) = RingBuffer::new(FRAME_CAPACITY);
    let (events_in, events) = RingBuffer::new(EVENT_CAPACITY);
    let (commands, commands_out) = RingBuffer::new(COMMAND_CAPACITY);
    let (spent_in, spent) = RingBuffer::new(COMMAND_CAPACITY);
    let waker = Arc::new(LegWaker::default());
    let leg = MediaLeg {
        id,
        frames,
        events,
        commands,
        spent,
        waker: Arc::clone(&waker),
    };
    let port = LegPort {
        frames: frames_in,
        events: events_in,
        commands: commands_out,
        spent: spent_in,
        waker,
    };
    (leg, port)
}

impl MediaLeg {
    /// Queues a command; gives it back when the queue is full or the worker is gone.
    ///
    /// # Errors
    /// The command itself, not taken.
    pub fn send(&mut self, command: LegCommand) -> Result<(), LegCommand> {
        if self.commands.is_abandoned() {
            return Err(command);
        }
        self.commands
            .push(command)
            .map_err(|rtrb::PushError::Full(command)| command)
    }

    /// Waits for the next event or frame, events first; `None` once the worker has let go of the
    /// leg and everything has been read. Cancel safe.
    pub async fn recv(&mut self) -> Option<LegOutput> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Poll form of [`Self::recv`].
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<LegOutput>> {
        if let Some(output) = self.try_recv() {
            return Poll::Ready(Some(output));
        }
        self.waker.register(cx.waker());
        // Looked at before the queues: what was pushed before the worker let go is still read.
        let abandoned = self.events.is_abandoned();
        match self.try_recv() {
            Some(output) => Poll::Ready(Some(output)),
            None if abandoned => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// The next event or frame if one is waiting.
    pub fn try_recv(&mut self) -> Option<LegOutput> {
        while self.spent.pop().is_ok() {}
        if let Ok(event) = self.events.pop() {
            return Some(LegOutput::Event(event));
        }
        self.frames.pop().ok().map(LegOutput::Frame)
    }

    /// The leg's id.
    #[must_use]
    pub const fn id(&self) -> LegId {
        self.id
    }
}

impl LegPort {
    /// Whether the asynchronous end has been dropped.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.commands.is_abandoned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_refused_when_the_queue_is_full_or_the_worker_is_gone() {
        let (mut leg, port) = leg_queue(LegId(1));
        for _ in 0..COMMAND_CAPACITY {
            assert!(leg.send(LegCommand::Hold(true)).is_ok());
        }
        assert!(leg.send(LegCommand::Close).is_err());
        drop(port);
        let (mut leg, port) = leg_queue(LegId(2));
        drop(port);
        assert!(leg.send(LegCommand::Close).is_err());
        assert!(matches!(
            leg.poll_recv(&mut Context::from_waker(std::task::Waker::noop())),
            Poll::Ready(None)
        ));
    }

    #[test]
    fn a_leg_is_announced_once_until_it_is_woken() {
        let waker = LegWaker::default();
        assert!(waker.announce());
        assert!(!waker.announce());
        waker.wake();
        assert!(waker.announce());
    }
}
