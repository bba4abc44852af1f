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
        self.wake |= self.inbound.take(run, &mut self.port.frames);
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
