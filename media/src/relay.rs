//! Two parties who talk to each other: what one leg hears is what the other says.
//!
//! | queue | capacity | when full |
//! |---|---|---|
//! | frames, leg to leg | [`FRAME_CAPACITY`] | newest dropped, `LegStatistics::frames_dropped` counts |
//!
//! Each leg may be on a worker of its own: a frame crosses through a wait-free ring, without the
//! asynchronous side, a lock or an allocation. The recogniser's direction has no playout clock
//! ([`crate::jitter`]), so the listening leg keeps a cushion of frames against the speaker's jitter,
//! which grows when it runs dry and shrinks while it is not needed.

use rtrb::{Consumer, Producer, RingBuffer};

use crate::frame::{FRAME_SAMPLES, Frame};
use crate::leg_queue::FRAME_CAPACITY;

/// Frames gathered before the first is said: 40 ms.
const CUSHION_MIN: usize = 2;
/// Most frames that are gathered: 160 ms, for peers that send 60 ms at a time over a bad network.
const CUSHION_MAX: usize = 8;
/// Frames above the cushion that may wait; older ones are left out, as delay is worse than a gap.
const SURPLUS_MAX: usize = 4;
/// Ticks over which the cushion is judged: 5 s.
const JUDGED_TICKS: u32 = 250;

/// One leg's part in a relay; see [`crate::session::MediaSession::join`].
#[derive(Debug)]
pub struct RelayPort {
    /// Where this leg's party is heard.
    pub(crate) voice: Producer<Frame>,
    /// What the other party says.
    pub(crate) other: Consumer<Frame>,
}

/// The parts of two legs that are to be joined.
#[must_use]
pub fn relay() -> [RelayPort; 2] {
    let (first_voice, first_heard) = RingBuffer::new(FRAME_CAPACITY);
    let (second_voice, second_heard) = RingBuffer::new(FRAME_CAPACITY);
    [
        RelayPort {
            voice: first_voice,
            other: second_heard,
        },
        RelayPort {
            voice: second_voice,
            other: first_heard,
        },
    ]
}

/// Says what the other party says, one frame a tick.
#[derive(Debug)]
pub(crate) struct RelayedVoice {
    frames: Consumer<Frame>,
    cushion: usize,
    speaking: bool,
    /// Fewest frames left behind a tick since the cushion was last judged.
    spare: usize,
    ticks: u32,
}

impl RelayedVoice {
    pub(crate) const fn new(frames: Consumer<Frame>) -> Self {
        Self {
            frames,
            cushion: CUSHION_MIN,
            speaking: false,
            spare: usize::MAX,
            ticks: 0,
        }
    }

    /// Writes the next 20 ms into `frame`; `false` when there is nothing to say.
    pub(crate) fn next(&mut self, frame: &mut [i16; FRAME_SAMPLES]) -> bool {
        let mut waiting = self.frames.slots();
        if !self.speaking && waiting < self.cushion {
            return false;
        }
        // After a hold, a stall or a burst.
        while waiting > self.cushion + SURPLUS_MAX {
            self.leave_out();
            waiting -= 1;
        }
        let Ok(next) = self.frames.pop() else {
            // The speaker's jitter, or the end of what it had to say (discontinuous transmission):
            // only the former calls for more, and the judgement takes it back if it was the latter.
            self.speaking = false;
            self.cushion = (self.cushion + 1).min(CUSHION_MAX);
            return false;
        };
        frame.copy_from_slice(&next.samples);
        self.speaking = true;
        self.judge(waiting - 1);
        true
    }

    /// Gives a frame back that has never been needed for a while: it is delay, by the speaker's
    /// faster clock or by a cushion that was too thick.
    fn judge(&mut self, left: usize) {
        self.spare = self.spare.min(left);
        self.ticks += 1;
        if self.ticks < JUDGED_TICKS {
            return;
        }
        if self.spare >= CUSHION_MIN {
            self.leave_out();
            self.cushion = self.cushion.saturating_sub(1).max(CUSHION_MIN);
        }
        (self.spare, self.ticks) = (usize::MAX, 0);
    }

    fn leave_out(&mut self) {
        // Nobody else reads the ring, so a frame that was counted is there.
        let _ = self.frames.pop();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::frame::SamplePosition;

    struct Rig {
        voice: Producer<Frame>,
        heard: RelayedVoice,
        said: i16,
        now: Instant,
    }

    fn rig() -> Rig {
        let [speaker, listener] = relay();
        #[expect(clippy::disallowed_methods, reason = "origin of virtual time")]
        let now = Instant::now();
        Rig {
            voice: speaker.voice,
            heard: RelayedVoice::new(listener.other),
            said: 0,
            now,
        }
    }

    impl Rig {
        fn say(&mut self, frames: usize) {
            for _ in 0..frames {
                self.said += 1;
                let mut frame = Frame::silence(SamplePosition(0), self.now);
                frame.samples.fill(self.said);
                let _ = self.voice.push(frame);
            }
        }

        fn hear(&mut self) -> Option<i16> {
            let mut frame = [0; FRAME_SAMPLES];
            self.heard.next(&mut frame).then_some(frame[0])
        }
    }

    #[test]
    fn a_cushion_is_gathered_first_and_the_order_is_kept() {
        let mut rig = rig();
        rig.say(1);
        assert_eq!(rig.hear(), None);
        rig.say(1);
        assert_eq!(rig.hear(), Some(1));
        for frame in 2..200 {
            rig.say(1);
            assert_eq!(rig.hear(), Some(frame));
        }
    }

    #[test]
    fn packets_of_60_ms_run_dry_once_or_twice_and_never_again() {
        let mut rig = rig();
        let mut gaps = 0;
        for tick in 0..1_000 {
            if tick % 3 == 0 {
                rig.say(3);
            }
            let heard = rig.hear();
            if tick > 100 && heard.is_none() {
                gaps += 1;
            }
        }
        assert!(gaps <= 2, "{gaps} gaps");
    }

    #[test]
    fn delay_is_bounded_after_a_burst_and_given_back_in_time() {
        let mut rig = rig();
        rig.say(20);
        assert_eq!(rig.hear(), Some(15), "all but six are left out");
        for _ in 0..5 * JUDGED_TICKS {
            rig.say(1);
            assert!(rig.hear().is_some());
        }
        assert_eq!(rig.heard.frames.slots(), CUSHION_MIN - 1);
    }

    #[test]
    fn a_speaker_whose_clock_is_fast_does_not_fall_behind() {
        let mut rig = rig();
        for tick in 0..20_000_u32 {
            rig.say(1);
            if tick % 500 == 0 {
                rig.say(1);
            }
            rig.hear();
            rig.said %= 1_000;
            assert!(rig.heard.frames.slots() <= CUSHION_MAX, "tick {tick}");
        }
    }

    #[test]
    fn a_cushion_that_grew_in_a_bad_minute_shrinks_in_a_good_one() {
        let mut rig = rig();
        for _ in 0..10 {
            rig.say(rig.heard.cushion);
            while rig.hear().is_some() {}
        }
        assert_eq!(rig.heard.cushion, CUSHION_MAX);
        rig.say(CUSHION_MAX);
        for _ in 0..10 * JUDGED_TICKS {
            rig.say(1);
            assert!(rig.hear().is_some());
            rig.said %= 1_000;
        }
        assert_eq!(rig.heard.cushion, CUSHION_MIN);
    }
}
