//! A leg without a wire: it plays what it is given in real time, and reports like a real one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::frame::{FRAME_MS, FRAME_SAMPLES, Frame, FrameOrigin, SamplePosition};
use media::leg::{
    Generation, Heard, LegCommand, LegEnd, LegEvent, LegStatistics, SegmentId, SpeechChunk,
};
use media::leg_queue::LegPort;

use super::stt::Said;

/// Sans-IO model of a leg's playout: one [`Self::tick`] every 20 ms.
#[derive(Clone, Debug, Default)]
pub struct PlayoutModel {
    queue: VecDeque<SpeechChunk>,
    /// Samples of the first chunk already played.
    offset: usize,
    playing: Option<SegmentId>,
    heard: Option<Heard>,
    generation: Generation,
    gain: f32,
    closed: bool,
    sent: Vec<i16>,
    digits: Vec<u8>,
}

impl PlayoutModel {
    /// Takes a command; its answer, if it has one, comes in `events`.
    pub fn command(&mut self, command: LegCommand, now: Instant, events: &mut Vec<LegEvent>) {
        match command {
            LegCommand::Play(chunk) if chunk.generation >= self.generation && !self.closed => {
                self.queue.push_back(chunk);
            }
            LegCommand::Clear { generation } => {
                self.queue.clear();
                self.offset = 0;
                self.playing = None;
                self.generation = generation;
                events.push(LegEvent::Cleared {
                    generation,
                    heard: self.heard,
                    at: now,
                });
            }
            LegCommand::Gain { decibel, .. } => self.gain = decibel,
            LegCommand::SendDigits(digits) => self.digits.extend(digits.as_bytes()),
            LegCommand::Close => self.close(LegEnd::Closed, events),
            _ => {}
        }
    }

    /// Ends the leg.
    pub fn close(&mut self, end: LegEnd, events: &mut Vec<LegEvent>) {
        if !std::mem::replace(&mut self.closed, true) {
            self.queue.clear();
            events.push(LegEvent::Closed {
                end,
                heard: self.heard,
                statistics: LegStatistics::default(),
            });
        }
    }

    /// Plays 20 ms that begin at `position`; the samples stay readable in [`Self::sent`].
    pub fn tick(&mut self, position: SamplePosition, now: Instant, events: &mut Vec<LegEvent>) {
        self.sent.clear();
        while self.sent.len() < FRAME_SAMPLES {
            let Some(chunk) = self.queue.front() else {
                break;
            };
            let at = position.plus(self.sent.len() as u64);
            let segment = chunk.segment;
            if self.playing != Some(segment) {
                if chunk.pcm.len() > chunk.start {
                    self.playing = Some(segment);
                    self.heard = Some(Heard {
                        segment,
                        samples: 0,
                    });
                    events.push(LegEvent::Playing {
                        segment,
                        position: at,
                        at: now,
                    });
                }
                self.offset = chunk.start;
            }
            let rest = &chunk.pcm[self.offset.min(chunk.pcm.len())..];
            let take = rest.len().min(FRAME_SAMPLES - self.sent.len());
            self.sent.extend_from_slice(&rest[..take]);
            self.offset += take;
            if let Some(heard) = &mut self.heard
                && heard.segment == segment
            {
                heard.samples += take as u64;
            }
            if self.offset >= chunk.pcm.len() {
                let last = chunk.last;
                self.queue.pop_front();
                self.offset = 0;
                if last {
                    self.playing = None;
                    events.push(LegEvent::Played {
                        segment,
                        position: position.plus(self.sent.len() as u64),
                    });
                }
            }
        }
    }

    /// What the last tick sent.
    #[must_use]
    pub fn sent(&self) -> &[i16] {
        &self.sent
    }

    /// The gain last asked for, in dB.
    #[must_use]
    pub const fn gain(&self) -> f32 {
        self.gain
    }

    /// Key presses sent.
    #[must_use]
    pub fn digits(&self) -> &[u8] {
        &self.digits
    }

    /// Whether the leg has ended.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }
}

/// A caller's frame: speech wherever the script has some.
#[must_use]
pub fn caller_frame(script: &[Said], position: SamplePosition, now: Instant) -> Frame {
    let speaks = script.iter().any(|s| s.covers(position.as_ms()));
    let mut frame = Frame::silence(position, now);
    frame.origin = FrameOrigin::Received;
    frame.voice = if speaks { 0.95 } else { 0.02 };
    frame
}

/// Keys pressed in a script: place in ms, and the key.
pub type ScriptedKey = (u64, u8);

/// What the caller does during a call.
#[derive(Clone, Debug, Default)]
pub struct CallerScript {
    /// Speech.
    pub said: Vec<Said>,
    /// Keys.
    pub keys: Vec<ScriptedKey>,
    /// When the caller hangs up, in ms.
    pub hangs_up_at: Option<u64>,
}

/// Plays a caller on the worker's end of a leg, in the runtime's time, until the leg is closed.
/// Returns the playout for inspection.
pub async fn run_caller(mut port: LegPort, script: Arc<CallerScript>) -> PlayoutModel {
    let mut model = PlayoutModel::default();
    let mut position = SamplePosition(0);
    let mut waiting: VecDeque<LegEvent> = VecDeque::new();
    let mut keys: VecDeque<ScriptedKey> = script.keys.iter().copied().collect();
    let mut tick = tokio::time::interval(Duration::from_millis(FRAME_MS.into()));
    loop {
        tick.tick().await;
        let now = tokio::time::Instant::now().into_std();
        let mut events = Vec::new();
        while let Ok(command) = port.commands.pop() {
            model.command(command, now, &mut events);
        }
        model.tick(position, now, &mut events);
        while let Some((_, key)) = keys.pop_front_if(|(ms, _)| *ms <= position.as_ms()) {
            events.push(LegEvent::Digit {
                key,
                duration: None,
                position,
            });
        }
        if script.hangs_up_at.is_some_and(|ms| position.as_ms() >= ms) {
            model.close(LegEnd::RemoteEnded, &mut events);
        }
        // A full frame queue drops the newest, like a real leg.
        let _ = port.frames.push(caller_frame(&script.said, position, now));
        position = position.plus(FRAME_SAMPLES as u64);
        waiting.extend(events);
        while !port.events.is_full()
            && let Some(event) = waiting.pop_front()
        {
            // There is room: nobody else pushes.
            let _ = port.events.push(event);
        }
        if port.waker.announce() {
            port.waker.wake();
        }
        if port.is_abandoned() || model.is_closed() && waiting.is_empty() {
            return model;
        }
    }
}
