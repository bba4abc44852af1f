//! From the per-frame probability of voice to the beginnings and ends of speech.

use std::time::{Duration, Instant};

use media::frame::{FRAME_MS, Frame, FrameOrigin, SamplePosition};

/// Thresholds of the segmenter.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SegmenterPolicy {
    /// Probability at or above which speech may begin.
    pub enter: f32,
    /// Probability below which a frame of running speech counts as pause.
    pub leave: f32,
    /// Speech needed before a beginning is reported.
    pub onset: Duration,
    /// Pause needed before an end is reported; the end itself is dated back.
    pub offset: Duration,
}

impl Default for SegmenterPolicy {
    fn default() -> Self {
        Self {
            enter: 0.5,
            leave: 0.35,
            onset: Duration::from_millis(80),
            offset: Duration::from_millis(200),
        }
    }
}

/// What the segmenter reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpeechEdge {
    /// Speech began at this sample, some frames ago.
    Started {
        /// First sample of speech.
        onset: SamplePosition,
    },
    /// Speech ended at this sample, some frames ago.
    Stopped {
        /// Just behind the last sample of speech.
        end: SamplePosition,
    },
}

/// Hysteresis over voice probabilities. Time is counted in frames that arrived: concealed ones
/// are unknown, so they neither begin, end nor lengthen anything.
#[derive(Clone, Debug)]
pub struct SpeechSegmenter {
    policy: SegmenterPolicy,
    in_speech: bool,
    onset: SamplePosition,
    /// Voiced milliseconds of a beginning that is not yet sure.
    candidate_voiced: u32,
    /// All milliseconds of that beginning; they become pause if it comes to nothing.
    candidate_total: u32,
    end: SamplePosition,
    end_at: Option<Instant>,
    pause_ms: u32,
}

impl SpeechSegmenter {
    /// A segmenter that has heard nothing yet.
    #[must_use]
    pub const fn new(policy: SegmenterPolicy) -> Self {
        Self {
            policy,
            in_speech: false,
            onset: SamplePosition(0),
            candidate_voiced: 0,
            candidate_total: 0,
            end: SamplePosition(0),
            end_at: None,
            pause_ms: 0,
        }
    }

    /// Takes the next frame.
    pub fn frame(&mut self, frame: &Frame) -> Option<SpeechEdge> {
        if frame.origin == FrameOrigin::Concealed {
            return None;
        }
        if self.in_speech {
            self.frame_in_speech(frame)
        } else {
            self.frame_in_pause(frame)
        }
    }

    fn frame_in_speech(&mut self, frame: &Frame) -> Option<SpeechEdge> {
        if frame.voice >= self.policy.leave {
            self.mark_speech(frame);
            return None;
        }
        self.pause_ms = self.pause_ms.saturating_add(FRAME_MS);
        if self.pause() < self.policy.offset {
            return None;
        }
        self.in_speech = false;
        Some(SpeechEdge::Stopped { end: self.end })
    }

    fn frame_in_pause(&mut self, frame: &Frame) -> Option<SpeechEdge> {
        if frame.voice >= self.policy.enter {
            if self.candidate_total == 0 {
                self.onset = frame.position;
            }
            self.candidate_voiced += FRAME_MS;
            self.candidate_total += FRAME_MS;
        } else if frame.voice >= self.policy.leave && self.candidate_total > 0 {
            self.candidate_total += FRAME_MS;
        } else {
            self.pause_ms = self
                .pause_ms
                .saturating_add(self.candidate_total + FRAME_MS);
            self.candidate_total = 0;
            self.candidate_voiced = 0;
        }
        if self.candidate_total == 0
            || Duration::from_millis(self.candidate_voiced.into()) < self.policy.onset
        {
            return None;
        }
        self.candidate_total = 0;
        self.candidate_voiced = 0;
        self.in_speech = true;
        self.mark_speech(frame);
        Some(SpeechEdge::Started { onset: self.onset })
    }

    fn mark_speech(&mut self, frame: &Frame) {
        self.end = frame.end();
        self.end_at = Some(frame.received_at);
        self.pause_ms = 0;
    }

    /// What has passed for speech in the last `pause` was none; nothing is reported.
    pub fn overrule(&mut self, pause: Duration, now: SamplePosition) {
        self.in_speech = false;
        self.candidate_total = 0;
        self.candidate_voiced = 0;
        self.pause_ms = u32::try_from(pause.as_millis()).unwrap_or(u32::MAX);
        self.end = SamplePosition(
            now.0
                .saturating_sub(SamplePosition::from_ms(u64::from(self.pause_ms)).0),
        );
    }

    /// Whether speech has begun and its end has not been reported.
    #[must_use]
    pub const fn in_speech(&self) -> bool {
        self.in_speech
    }

    /// Known pause since the last speech sample. Stands still during loss and while a new
    /// beginning is being made sure of.
    #[must_use]
    pub fn pause(&self) -> Duration {
        Duration::from_millis(self.pause_ms.into())
    }

    /// First sample of the latest speech.
    #[must_use]
    pub const fn onset(&self) -> SamplePosition {
        self.onset
    }

    /// Just behind the last sample of speech so far.
    #[must_use]
    pub const fn end(&self) -> SamplePosition {
        self.end
    }

    /// When the packet with the last sample of speech arrived.
    #[must_use]
    pub const fn end_at(&self) -> Option<Instant> {
        self.end_at
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
mod tests {
    use super::*;

    struct Rig {
        segmenter: SpeechSegmenter,
        position: SamplePosition,
        edges: Vec<(u64, SpeechEdge)>,
        now: Instant,
    }

    impl Rig {
        fn new() -> Self {
            Self {
                segmenter: SpeechSegmenter::new(SegmenterPolicy::default()),
                position: SamplePosition(0),
                edges: Vec::new(),
                now: Instant::now(),
            }
        }

        fn feed(&mut self, ms: u64, voice: f32, origin: FrameOrigin) -> &mut Self {
            for _ in 0..ms / 20 {
                let mut frame = Frame::silence(self.position, self.now);
                frame.voice = voice;
                frame.origin = origin;
                self.position = frame.end();
                self.now += Duration::from_millis(20);
                if let Some(edge) = self.segmenter.frame(&frame) {
                    self.edges.push((self.position.as_ms(), edge));
                }
            }
            self
        }
    }

    #[test]
    fn beginnings_and_ends_are_dated_to_their_samples() {
        let mut rig = Rig::new();
        rig.feed(400, 0.1, FrameOrigin::Received)
            .feed(1000, 0.9, FrameOrigin::Received)
            .feed(600, 0.1, FrameOrigin::Received);
        assert_eq!(
            rig.edges,
            [
                (
                    480,
                    SpeechEdge::Started {
                        onset: SamplePosition::from_ms(400)
                    }
                ),
                (
                    1600,
                    SpeechEdge::Stopped {
                        end: SamplePosition::from_ms(1400)
                    }
                ),
            ]
        );
        assert_eq!(rig.segmenter.pause(), Duration::from_millis(600));
    }

    #[test]
    fn a_click_begins_nothing_and_still_counts_as_pause() {
        let mut rig = Rig::new();
        rig.feed(200, 0.9, FrameOrigin::Received)
            .feed(300, 0.1, FrameOrigin::Received)
            .feed(60, 0.9, FrameOrigin::Received);
        assert_eq!(rig.segmenter.pause(), Duration::from_millis(300));
        rig.feed(100, 0.1, FrameOrigin::Received);
        assert_eq!(rig.edges.len(), 2);
        assert_eq!(rig.segmenter.pause(), Duration::from_millis(460));
    }

    #[test]
    fn hysteresis_keeps_weak_frames_in_speech_but_does_not_begin_with_them() {
        let mut rig = Rig::new();
        rig.feed(500, 0.4, FrameOrigin::Received);
        assert!(rig.edges.is_empty());
        rig.feed(100, 0.9, FrameOrigin::Received)
            .feed(500, 0.4, FrameOrigin::Received);
        assert_eq!(rig.edges.len(), 1);
        assert!(rig.segmenter.in_speech());
    }

    #[test]
    fn concealed_frames_freeze_the_pause() {
        let mut rig = Rig::new();
        rig.feed(200, 0.9, FrameOrigin::Received)
            .feed(100, 0.0, FrameOrigin::Received)
            .feed(1000, 0.0, FrameOrigin::Concealed);
        assert!(rig.segmenter.in_speech());
        assert_eq!(rig.segmenter.pause(), Duration::from_millis(100));
        rig.feed(100, 0.0, FrameOrigin::ComfortNoise);
        assert!(!rig.segmenter.in_speech());
    }
}
