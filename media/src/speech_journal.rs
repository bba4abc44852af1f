//! Which speech lies where on the wire, so that what was heard can be told from how far the wire
//! was heard.

use std::collections::VecDeque;

use crate::frame::SamplePosition;
use crate::leg::{Heard, SegmentId};

/// Runs remembered. A run ends only where speech is interrupted by something else, so this is
/// far more than what can be under way; the oldest is forgotten.
const RUNS_MAX: usize = 32;
/// Ends of segments that may wait to be heard; the oldest then counts as heard.
pub(crate) const ENDS_MAX: usize = 64;

/// A place on the wire: samples at [`crate::frame::FRAME_RATE`] sent since the leg began. For
/// RTP, where every tick sends, it equals the place on the timeline.
pub(crate) type WirePosition = u64;

/// Samples of one segment that lie next to each other on the wire.
#[derive(Clone, Copy, Debug)]
struct Run {
    segment: SegmentId,
    /// Samples of the segment before this run.
    first: u64,
    wire: WirePosition,
    len: u64,
}

/// The end of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentEnd {
    pub(crate) segment: SegmentId,
    pub(crate) position: SamplePosition,
    wire: WirePosition,
}

#[derive(Debug)]
pub(crate) struct SpeechJournal {
    runs: VecDeque<Run>,
    ends: VecDeque<SegmentEnd>,
}

impl SpeechJournal {
    pub(crate) fn new() -> Self {
        Self {
            runs: VecDeque::with_capacity(RUNS_MAX),
            ends: VecDeque::with_capacity(ENDS_MAX),
        }
    }

    /// Notes that `len` samples of `segment`, after `first` earlier ones, lie at `wire`.
    pub(crate) fn sent(&mut self, segment: SegmentId, first: u64, wire: WirePosition, len: u64) {
        if let Some(last) = self.runs.back_mut()
            && last.segment == segment
            && last.wire + last.len == wire
            && last.first + last.len == first
        {
            last.len += len;
            return;
        }
        if self.runs.len() == RUNS_MAX {
            self.runs.pop_front();
        }
        self.runs.push_back(Run {
            segment,
            first,
            wire,
            len,
        });
    }

    /// Notes that `segment` ends before `wire`; returns an end that must count as heard to make
    /// room.
    pub(crate) fn ended(
        &mut self,
        segment: SegmentId,
        wire: WirePosition,
        position: SamplePosition,
    ) -> Option<SegmentEnd> {
        let overdue = if self.ends.len() == ENDS_MAX {
            self.ends.pop_front()
        } else {
            None
        };
        self.ends.push_back(SegmentEnd {
            segment,
            position,
            wire,
        });
        overdue
    }

    /// The next segment that has been heard to its end, now that the wire was heard up to `heard`.
    pub(crate) fn pop_heard(&mut self, heard: WirePosition) -> Option<SegmentEnd> {
        if self.ends.front()?.wire > heard {
            return None;
        }
        self.ends.pop_front()
    }

    /// Forgets what lies behind `heard`: nobody will hear it.
    pub(crate) fn truncate(&mut self, heard: WirePosition) {
        self.ends.clear();
        while let Some(last) = self.runs.back_mut() {
            if last.wire < heard {
                last.len = last.len.min(heard - last.wire);
                break;
            }
            self.runs.pop_back();
        }
    }

    /// What has been heard of our speech, now that the wire was heard up to `heard`.
    pub(crate) fn heard_at(&self, heard: WirePosition) -> Option<Heard> {
        let run = self.runs.iter().rev().find(|run| run.wire < heard)?;
        Some(Heard {
            segment: run.segment,
            samples: run.first + run.len.min(heard - run.wire),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: SegmentId = SegmentId(1);
    const B: SegmentId = SegmentId(2);

    #[test]
    fn heard_follows_the_wire_through_gaps_and_segments() {
        let mut journal = SpeechJournal::new();
        journal.sent(A, 0, 320, 320);
        journal.sent(A, 320, 640, 100);
        // A pause of the synthesis, then the rest and the next segment.
        journal.sent(A, 420, 960, 200);
        journal.sent(B, 0, 1160, 120);
        let heard = |wire| journal.heard_at(wire).map(|h| (h.segment, h.samples));
        assert_eq!(heard(320), None);
        assert_eq!(heard(321), Some((A, 1)));
        assert_eq!(heard(740), Some((A, 420)));
        assert_eq!(heard(960), Some((A, 420)));
        assert_eq!(heard(1000), Some((A, 460)));
        assert_eq!(heard(1161), Some((B, 1)));
        assert_eq!(heard(9999), Some((B, 120)));
    }

    #[test]
    fn what_is_cut_off_is_never_heard_later() {
        let mut journal = SpeechJournal::new();
        journal.sent(A, 0, 0, 640);
        journal.ended(A, 640, SamplePosition(640));
        journal.sent(B, 0, 640, 640);
        journal.ended(B, 1280, SamplePosition(1280));
        assert_eq!(journal.pop_heard(639), None);
        assert_eq!(journal.pop_heard(700).map(|e| e.segment), Some(A));
        journal.truncate(700);
        assert_eq!(journal.pop_heard(u64::MAX), None);
        let heard = journal.heard_at(u64::MAX).expect("something was heard");
        assert_eq!((heard.segment, heard.samples), (B, 60));
        journal.truncate(640);
        let heard = journal.heard_at(u64::MAX).expect("A was heard");
        assert_eq!((heard.segment, heard.samples), (A, 640));
    }

    #[test]
    fn memory_is_bounded_and_the_newest_is_kept() {
        let mut journal = SpeechJournal::new();
        let mut overdue = 0;
        for i in 0..1000u64 {
            journal.sent(SegmentId(i), 0, i * 10, 5);
            overdue += u64::from(
                journal
                    .ended(SegmentId(i), i * 10 + 5, SamplePosition(i))
                    .is_some(),
            );
        }
        assert_eq!(overdue, 1000 - ENDS_MAX as u64);
        assert_eq!(
            journal.heard_at(u64::MAX).map(|h| h.segment),
            Some(SegmentId(999))
        );
    }
}
