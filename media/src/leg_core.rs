//! What every leg has, whatever carries it.

use std::time::{Duration, Instant};

use crate::dsp::echo::{EchoBand, EchoControl};
use crate::frame::{FRAME_MS, FRAME_RATE, FRAME_SAMPLES, FrameOrigin, SamplePosition};
use crate::leg::{LegEnd, LegEvent, LegStatistics};
use crate::leg_queue::LegPort;
use crate::protocol::MediaLimits;
use crate::recording::Channel;
use crate::recording::tap::RecordingTap;
use crate::session_events::EventBacklog;
use crate::session_inbound::{Inbound, Run, record};
use crate::session_outbound::Outbound;

/// Speech probability from which a frame may be the first of an utterance; far below the onset
/// threshold of any conversation.
const VOICE_TRACE: f32 = 0.15;
/// Frames of a pause after which nothing can depend on the next frame alone: 4 s, longer than any
/// wait for the end of a turn.
const LONG_PAUSE_FRAMES: u32 = 200;
/// Frames handed over at a time in a long pause: 100 ms.
const FRAMES_PER_WAKE: u32 = 5;

/// The parts of a leg that its link works with.
#[derive(Debug)]
pub(crate) struct LegCore {
    pub(crate) port: LegPort,
    pub(crate) inbound: Inbound,
    pub(crate) outbound: Outbound,
    pub(crate) events: EventBacklog,
    pub(crate) tap: Option<RecordingTap>,
    /// When position zero was.
    pub(crate) origin: Instant,
    /// Ticks done.
    pub(crate) ticks: u64,
    pub(crate) statistics: LegStatistics,
    pub(crate) watch: MediaWatch,
    /// Something was queued for the conversation.
    pub(crate) wake: bool,
    quiet: Quiet,
}

impl LegCore {
    pub(crate) fn new(
        port: LegPort,
        origin: Instant,
        limits: MediaLimits,
        tap: Option<RecordingTap>,
        echo: Option<EchoBand>,
    ) -> Self {
        let echo = echo.map(|band| Box::new(EchoControl::new(band)));
        Self {
            port,
            inbound: Inbound::new(origin, echo),
            outbound: Outbound::new(),
            events: EventBacklog::new(),
            tap,
            origin,
            ticks: 0,
            statistics: LegStatistics::default(),
            watch: MediaWatch::new(limits, origin),
            wake: false,
            quiet: Quiet::default(),
        }
    }

    /// Position of the current tick's audio.
    pub(crate) const fn position(&self) -> SamplePosition {
        SamplePosition(self.ticks * FRAME_SAMPLES as u64)
    }

    /// Position of what happens at `now`.
    pub(crate) fn position_at(&self, now: Instant) -> SamplePosition {
        let us = now.saturating_duration_since(self.origin).as_micros() as u64;
        SamplePosition(us * u64::from(FRAME_RATE) / 1_000_000)
    }

    /// Takes decoded audio: `native` at the codec's rate, `wide` the same at [`FRAME_RATE`].
    pub(crate) fn heard_audio(&mut self, native: (&[i16], u32), run: Run<'_>) {
        if let Some(tap) = &mut self.tap
            && run.origin != FrameOrigin::ComfortNoise
        {
            let end = self.inbound.end().unwrap_or(run.position);
            let position = run.position.max(end);
            record(tap, Channel::Caller, position, native, run.pcm);
        }
        if self.inbound.take(run, &mut self.port.frames) && self.inbound.has_vad() {
            self.wake |= self.quiet.is_worth_waking(self.inbound.voice());
        }
    }

    /// Notes audio that goes out at `position`, as the echo's reference.
    pub(crate) fn sent_audio(&mut self, position: SamplePosition, wide: &[i16]) {
        if let Some(echo) = &mut self.inbound.echo {
            echo.sent(position, wide);
        }
    }

    /// Reports a key press.
    pub(crate) fn digit(&mut self, key: u8, duration: Option<Duration>, position: SamplePosition) {
        self.events.push(LegEvent::Digit {
            key,
            duration,
            position,
        });
    }

    /// The counters, those of other parts included.
    pub(crate) fn statistics(&self) -> LegStatistics {
        LegStatistics {
            concealed_ms: self.inbound.concealed_ms(),
            frames_dropped: self.inbound.dropped(),
            underruns: self.outbound.underruns(),
            echo: self.inbound.echo.as_ref().map(|echo| echo.report()),
            ..self.statistics
        }
    }
}

/// Decides when the conversation is woken for a frame: for each while somebody speaks or has just
/// spoken, for a few at a time when a pause has become long. Waking a task costs as much as all the
/// signal processing of a silent frame.
#[derive(Debug, Default)]
struct Quiet {
    /// Frames without a trace of speech in a row.
    frames: u32,
    /// Frames queued since the conversation was last woken.
    queued: u32,
}

impl Quiet {
    /// Takes the speech probability of a frame that was queued.
    fn is_worth_waking(&mut self, voice: f32) -> bool {
        if voice >= VOICE_TRACE {
            self.frames = 0;
        } else {
            self.frames = self.frames.saturating_add(1);
        }
        self.queued += 1;
        let due = self.frames <= LONG_PAUSE_FRAMES || self.queued >= FRAMES_PER_WAKE;
        if due {
            self.queued = 0;
        }
        due
    }
}

/// Notices when no media comes any more.
#[derive(Debug)]
pub(crate) struct MediaWatch {
    limits: MediaLimits,
    expecting: bool,
    /// Last sign of life, or when one began to be expected.
    since: Instant,
    heard: bool,
}

impl MediaWatch {
    const fn new(limits: MediaLimits, origin: Instant) -> Self {
        Self {
            limits,
            expecting: true,
            since: origin,
            heard: false,
        }
    }

    /// Media or its control traffic came.
    pub(crate) const fn alive(&mut self, now: Instant) {
        self.since = now;
        self.heard = true;
    }

    /// Whether media is expected; when that begins, the limits begin to run.
    pub(crate) const fn expect(&mut self, expecting: bool, now: Instant) {
        if expecting && !self.expecting {
            self.since = now;
        }
        self.expecting = expecting;
    }

    /// Why the leg must end, if it must.
    pub(crate) fn check(&self, now: Instant) -> Option<LegEnd> {
        let limit = if self.heard {
            self.limits.stopped
        } else {
            self.limits.never_came
        };
        let silent = now.saturating_duration_since(self.since);
        (self.expecting && silent >= limit).then_some(LegEnd::MediaTimeout)
    }
}

/// Length of a tick.
pub(crate) const TICK: Duration = Duration::from_millis(FRAME_MS as u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conversation_is_woken_for_each_frame_near_speech_and_rarely_in_long_pauses() {
        let mut quiet = Quiet::default();
        let mut wakes = |frames: u32, voice: f32| {
            (0..frames).filter(|_| quiet.is_worth_waking(voice)).count() as u32
        };
        assert_eq!(wakes(LONG_PAUSE_FRAMES, 0.0), LONG_PAUSE_FRAMES);
        assert_eq!(wakes(100, 0.1), 20);
        assert_eq!(wakes(3, 0.0), 0);
        assert_eq!(wakes(1, 0.2), 1);
        assert_eq!(wakes(50, 0.9), 50);
        assert_eq!(wakes(LONG_PAUSE_FRAMES, 0.0), LONG_PAUSE_FRAMES);
    }
}
