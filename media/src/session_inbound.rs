//! The caller's direction from decoded PCM on: one rate, frames of 20 ms, voice activity, and
//! the queue to the conversation.

use std::time::Instant;

use rtrb::Producer;

use crate::dsp::echo::{EchoControl, EchoVerdict};
use crate::frame::{FRAME_RATE, FRAME_SAMPLES, Frame, FrameOrigin, SamplePosition};
use crate::recording::Channel;
use crate::recording::tap::RecordingTap;
use crate::vad::{NeuralDetector, VoiceActivityDetector};

/// Longest hole, in samples, that is filled with concealed silence; a longer one is left out of
/// the frames, whose positions tell.
const FILL_MAX: u64 = FRAME_RATE as u64;

/// Cuts runs of PCM at [`FRAME_RATE`] into frames.
#[derive(Debug)]
pub(crate) struct Inbound {
    frame: Frame,
    filled: usize,
    /// Just behind the last sample taken; `None` before the first.
    end: Option<SamplePosition>,
    /// `None` when nobody asks for it: the frames go to another leg.
    vad: Option<NeuralDetector>,
    /// Takes our own voice out of the caller's, on legs that need it.
    pub(crate) echo: Option<Box<EchoControl>>,
    /// Samples made by concealment.
    concealed: u64,
    dropped: u64,
}

impl Inbound {
    pub(crate) fn new(origin: Instant, echo: Option<Box<EchoControl>>) -> Self {
        Self {
            frame: Frame::silence(SamplePosition(0), origin),
            filled: 0,
            end: None,
            vad: Some(NeuralDetector::new()),
            echo,
            concealed: 0,
            dropped: 0,
        }
    }

    /// Takes a run whose first sample lies at `position`; returns whether a frame was completed.
    /// A run behind the last one is taken as its continuation, a hole before it is closed.
    pub(crate) fn take(&mut self, run: Run<'_>, frames: &mut Producer<Frame>) -> bool {
        let mut completed = false;
        let end = self.end.unwrap_or(run.position);
        let hole = run.position.0.saturating_sub(end.0);
        if hole > FILL_MAX {
            completed |= self.close_frame(frames);
            self.end = Some(run.position);
        } else if hole > 0 {
            let silence = [0; FRAME_SAMPLES];
            let mut left = hole as usize;
            while left > 0 {
                let part = left.min(FRAME_SAMPLES);
                let fill = Run {
                    pcm: &silence[..part],
                    origin: FrameOrigin::Concealed,
                    ..run
                };
                completed |= self.append(&fill, frames);
                left -= part;
            }
        } else {
            self.end = Some(end);
        }
        completed | self.append(&run, frames)
    }

    /// Completes a frame that has begun, with silence.
    pub(crate) fn close_frame(&mut self, frames: &mut Producer<Frame>) -> bool {
        if self.filled == 0 {
            return false;
        }
        self.frame.samples[self.filled..].fill(0);
        self.emit(frames);
        true
    }

    /// Just behind the last sample taken.
    pub(crate) fn end(&self) -> Option<SamplePosition> {
        self.end
    }

    /// Stops looking for speech.
    pub(crate) fn forgo_vad(&mut self) {
        self.vad = None;
    }

    /// Whether speech is looked for.
    pub(crate) const fn has_vad(&self) -> bool {
        self.vad.is_some()
    }

    /// Speech probability of the last complete frame.
    pub(crate) const fn voice(&self) -> f32 {
        self.frame.voice
    }

    pub(crate) const fn concealed_ms(&self) -> u64 {
        self.concealed * 1000 / FRAME_RATE as u64
    }

    /// Frames the conversation was too slow to take.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }

    fn append(&mut self, run: &Run<'_>, frames: &mut Producer<Frame>) -> bool {
        let mut completed = false;
        let mut rest = run.pcm;
        if run.origin == FrameOrigin::Concealed {
            self.concealed += rest.len() as u64;
        }
        while !rest.is_empty() {
            let position = self.end.unwrap_or(run.position);
            if self.filled == 0 {
                self.frame.position = position;
                self.frame.origin = run.origin;
            } else {
                self.frame.origin = mixed(self.frame.origin, run.origin);
            }
            let (part, behind) = rest.split_at(rest.len().min(FRAME_SAMPLES - self.filled));
            self.frame.samples[self.filled..self.filled + part.len()].copy_from_slice(part);
            self.filled += part.len();
            self.end = Some(position.plus(part.len() as u64));
            self.frame.received_at = run.received_at;
            rest = behind;
            if self.filled == FRAME_SAMPLES {
                self.emit(frames);
                completed = true;
            }
        }
        completed
    }

    fn emit(&mut self, frames: &mut Producer<Frame>) {
        let frame = &mut self.frame;
        let known = frame.origin == FrameOrigin::Received;
        let verdict = self.echo.as_mut().map_or(EchoVerdict::Idle, |echo| {
            echo.process(&mut frame.samples, frame.position, known)
        });
        // The detector hears every frame, so that its memory has no holes.
        let voice = self
            .vad
            .as_mut()
            .map_or(0.0, |vad| vad.process(&frame.samples));
        frame.voice = if verdict == EchoVerdict::Echo {
            0.0
        } else {
            voice
        };
        self.filled = 0;
        if frames.push(self.frame).is_err() {
            self.dropped += 1;
        }
    }
}

/// A run of PCM at [`FRAME_RATE`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    pub(crate) pcm: &'a [i16],
    pub(crate) position: SamplePosition,
    pub(crate) origin: FrameOrigin,
    pub(crate) received_at: Instant,
}

/// What a frame of two kinds of samples is: no silence may be counted from it if any part is
/// unknown, and it is no silence if any part was received.
fn mixed(a: FrameOrigin, b: FrameOrigin) -> FrameOrigin {
    match (a, b) {
        (FrameOrigin::Concealed, _) | (_, FrameOrigin::Concealed) => FrameOrigin::Concealed,
        (FrameOrigin::Received, _) | (_, FrameOrigin::Received) => FrameOrigin::Received,
        (FrameOrigin::ComfortNoise, FrameOrigin::ComfortNoise) => FrameOrigin::ComfortNoise,
    }
}

/// Records one run of one channel, of which `native` is the form at the codec's rate and `wide`
/// the same at [`FRAME_RATE`].
pub(crate) fn record(
    tap: &mut RecordingTap,
    channel: Channel,
    position: SamplePosition,
    (native, native_rate): (&[i16], u32),
    wide: &[i16],
) {
    if tap.rate() == native_rate {
        tap.write(channel, position, native);
    } else if tap.rate() == FRAME_RATE {
        tap.write(channel, position, wide);
    } else {
        // A narrow recording whose leg has changed to a wide codec: pairs are averaged, which is
        // filter enough for speech.
        let mut narrow = [0; FRAME_SAMPLES];
        for (part, at) in wide.chunks(2 * narrow.len()).zip(0..) {
            let pairs = part.chunks_exact(2);
            let len = pairs.len();
            for (out, pair) in narrow.iter_mut().zip(pairs) {
                *out = ((i32::from(pair[0]) + i32::from(pair[1])) / 2) as i16;
            }
            let offset = at * 2 * narrow.len() as u64;
            tap.write(channel, position.plus(offset), &narrow[..len]);
        }
    }
}

#[cfg(test)]
mod tests {
    use rtrb::{Consumer, RingBuffer};

    use super::*;

    struct Rig {
        inbound: Inbound,
        producer: Producer<Frame>,
        frames: Consumer<Frame>,
        now: Instant,
    }

    fn rig() -> Rig {
        #[expect(clippy::disallowed_methods, reason = "origin of virtual time")]
        let now = Instant::now();
        let (producer, frames) = RingBuffer::new(100);
        Rig {
            inbound: Inbound::new(now, None),
            producer,
            frames,
            now,
        }
    }

    impl Rig {
        fn take(&mut self, position: u64, pcm: &[i16], origin: FrameOrigin) {
            let run = Run {
                pcm,
                position: SamplePosition(position),
                origin,
                received_at: self.now,
            };
            self.inbound.take(run, &mut self.producer);
        }

        fn frames(&mut self) -> Vec<(u64, FrameOrigin)> {
            std::iter::from_fn(|| self.frames.pop().ok())
                .map(|frame| (frame.position.0, frame.origin))
                .collect()
        }
    }

    use FrameOrigin::{ComfortNoise, Concealed, Received};

    #[test]
    fn packets_of_any_length_become_frames_with_exact_positions() {
        for packet in [80, 160, 480, 960] {
            let mut rig = rig();
            for n in 0..(9_600 / packet as u64) {
                rig.take(1_000 + n * packet as u64, &vec![1; packet], Received);
            }
            let expected: Vec<_> = (0..30).map(|n| (1_000 + n * 320, Received)).collect();
            assert_eq!(rig.frames(), expected, "packets of {packet} samples");
        }
    }

    #[test]
    fn a_short_hole_is_concealed_and_a_long_one_left_out() {
        let mut rig = rig();
        rig.take(0, &[1; 320], Received);
        rig.take(960, &[1; 320], Received);
        assert_eq!(
            rig.frames(),
            [
                (0, Received),
                (320, Concealed),
                (640, Concealed),
                (960, Received)
            ]
        );
        assert_eq!(rig.inbound.concealed_ms(), 40);
        rig.take(1_280, &[1; 100], Received);
        rig.take(100_000, &[1; 320], Received);
        assert_eq!(rig.frames(), [(1_280, Received), (100_000, Received)]);
    }

    #[test]
    fn positions_never_go_back() {
        let mut rig = rig();
        rig.take(640, &[1; 320], Received);
        rig.take(320, &[1; 320], Received);
        assert_eq!(rig.frames(), [(640, Received), (960, Received)]);
    }

    #[test]
    fn a_frame_of_two_kinds_is_as_uncertain_as_its_worst_part() {
        let mut rig = rig();
        rig.take(0, &[1; 160], Received);
        rig.take(160, &[0; 160], ComfortNoise);
        rig.take(320, &[0; 160], ComfortNoise);
        rig.take(480, &[1; 160], Concealed);
        rig.take(640, &[0; 320], ComfortNoise);
        assert_eq!(
            rig.frames(),
            [(0, Received), (320, Concealed), (640, ComfortNoise)]
        );
    }

    #[test]
    fn what_the_conversation_does_not_take_is_dropped_and_counted() {
        let mut rig = rig();
        for n in 0..110 {
            rig.take(n * 320, &[1; 320], Received);
        }
        assert_eq!(rig.frames().len(), 100);
        assert_eq!(rig.inbound.dropped(), 10);
    }
}
