//! The queue of speech a leg has still to say.

use std::collections::VecDeque;
use std::sync::Arc;

use rtrb::{Consumer, Producer};

use crate::frame::FRAME_SAMPLES;
use crate::leg::{Generation, LegCommand, SegmentId, SpeechChunk};
use crate::leg_queue::COMMAND_CAPACITY;

/// Chunks that may wait to be said. Synthesis is far faster than speech, so a whole utterance
/// lies here; when it is full, further chunks wait in the command queue.
pub(crate) const PLAYOUT_CHUNKS: usize = 256;
/// Length of the ramp, in samples, by which speech is cut off: 8 ms.
pub(crate) const CUT_SAMPLES: usize = 128;

/// Chunks that one frame may take: bounds the events a tick can cause.
const CHUNKS_PER_FRAME: usize = 8;

/// A run of one segment's samples within a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Said {
    pub(crate) segment: SegmentId,
    /// Where in the frame it begins.
    pub(crate) offset: usize,
    pub(crate) len: usize,
    /// Samples of the segment before it.
    pub(crate) first: u64,
    /// Whether these are the first samples of the segment.
    pub(crate) begins: bool,
    /// Whether the segment ends with it.
    pub(crate) ends: bool,
}

#[derive(Debug)]
pub(crate) struct Playout {
    queue: VecDeque<SpeechChunk>,
    /// Samples in the queue.
    queued: usize,
    /// What has been said and must go back to be freed. Together with the queue never more than
    /// its capacity, so that clearing always fits.
    spent: VecDeque<Arc<[i16]>>,
    /// Oldest generation that may play.
    accepted: Generation,
    /// Segment that has begun and not ended, and its samples said so far.
    open: Option<(SegmentId, u64)>,
}

impl Playout {
    pub(crate) fn new() -> Self {
        Self {
            queue: VecDeque::with_capacity(PLAYOUT_CHUNKS),
            queued: 0,
            spent: VecDeque::with_capacity(PLAYOUT_CHUNKS + COMMAND_CAPACITY),
            accepted: Generation(0),
            open: None,
        }
    }

    /// Whether a chunk fits.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.len() < PLAYOUT_CHUNKS
            && self.queue.len() + self.spent.len() < self.spent.capacity()
    }

    /// Appends `chunk`, which [`Self::has_room`] for; a stale one is dropped.
    pub(crate) fn push(&mut self, chunk: SpeechChunk) {
        if chunk.generation < self.accepted {
            self.spent.push_back(chunk.pcm);
            return;
        }
        self.queued += chunk.pcm.len().saturating_sub(chunk.start);
        self.queue.push_back(chunk);
    }

    /// Drops all speech of generations before `generation`, queued now or later.
    pub(crate) fn clear(&mut self, generation: Generation) {
        self.accepted = self.accepted.max(generation);
        self.open = None;
        self.queued = 0;
        for _ in 0..self.queue.len() {
            let Some(chunk) = self.queue.pop_front() else {
                break;
            };
            if chunk.generation < self.accepted {
                self.spent.push_back(chunk.pcm);
            } else {
                self.queued += chunk.pcm.len().saturating_sub(chunk.start);
                self.queue.push_back(chunk);
            }
        }
    }

    /// Says up to [`CUT_SAMPLES`] more, fading to nothing; to be followed by [`Self::clear`].
    pub(crate) fn cut(&mut self, frame: &mut [i16; FRAME_SAMPLES]) {
        self.fill_part(&mut frame[..CUT_SAMPLES], |_| {});
        for (i, sample) in frame[..CUT_SAMPLES].iter_mut().enumerate() {
            let left = (CUT_SAMPLES - 1 - i) as i32;
            *sample = (i32::from(*sample) * left / CUT_SAMPLES as i32) as i16;
        }
    }

    /// Fills `frame` with speech as far as there is any; the rest is left alone.
    pub(crate) fn fill(&mut self, frame: &mut [i16; FRAME_SAMPLES], said: impl FnMut(Said)) {
        self.fill_part(frame, said);
    }

    /// Whether a frame can be filled, or the last samples of a segment are there.
    pub(crate) fn has_frame(&self) -> bool {
        self.queued >= FRAME_SAMPLES || self.queue.back().is_some_and(|chunk| chunk.last)
    }

    /// Whether a segment has begun and not ended.
    pub(crate) const fn in_segment(&self) -> bool {
        self.open.is_some()
    }

    /// Whether there is nothing to say.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Hands back what has been said, as far as the queue takes it.
    pub(crate) fn return_spent(&mut self, to: &mut Producer<Arc<[i16]>>) {
        while !to.is_full() {
            let Some(pcm) = self.spent.pop_front() else {
                return;
            };
            // There is room, so the push cannot fail and nothing is freed here.
            let _ = to.push(pcm);
        }
    }

    fn fill_part(&mut self, part: &mut [i16], mut said: impl FnMut(Said)) {
        let mut offset = 0;
        for _ in 0..CHUNKS_PER_FRAME {
            let Some(chunk) = self.queue.front_mut() else {
                return;
            };
            let segment = chunk.segment;
            let rest = chunk.pcm.get(chunk.start..).unwrap_or(&[]);
            let len = rest.len().min(part.len() - offset);
            part[offset..offset + len].copy_from_slice(&rest[..len]);
            let done = len == rest.len();
            chunk.start += len;
            let ends = done && chunk.last;
            self.queued -= len;
            if done && let Some(chunk) = self.queue.pop_front() {
                self.spent.push_back(chunk.pcm);
            }
            let before = self.open.filter(|&(open, _)| open == segment);
            let first = before.map_or(0, |(_, samples)| samples);
            if len > 0 || ends {
                said(Said {
                    segment,
                    offset,
                    len,
                    first,
                    begins: len > 0 && first == 0,
                    ends,
                });
            }
            self.open = (!ends).then_some((segment, first + len as u64));
            offset += len;
            if offset == part.len() && !self.next_is_empty() {
                return;
            }
        }
    }

    /// Whether the next chunk adds no samples but perhaps the end of a segment.
    fn next_is_empty(&self) -> bool {
        self.queue
            .front()
            .is_some_and(|chunk| chunk.start >= chunk.pcm.len())
    }
}

/// The newest generation asked for by a clear that waits in `commands`: it must not wait behind
/// speech that finds no room.
pub(crate) fn waiting_clear(commands: &mut Consumer<LegCommand>) -> Option<Generation> {
    let waiting = commands.read_chunk(commands.slots()).ok()?;
    let (first, second) = waiting.as_slices();
    first
        .iter()
        .chain(second)
        .filter_map(|command| match command {
            LegCommand::Clear { generation } => Some(*generation),
            _ => None,
        })
        .max()
}

/// Whether a close waits in `commands`.
pub(crate) fn closes(commands: &mut Consumer<LegCommand>) -> bool {
    commands.read_chunk(commands.slots()).is_ok_and(|waiting| {
        let (first, second) = waiting.as_slices();
        let close = |command: &LegCommand| matches!(command, LegCommand::Close);
        first.iter().chain(second).any(close)
    })
}

#[cfg(test)]
mod tests {
    use rtrb::RingBuffer;

    use super::*;

    fn chunk(segment: u64, generation: u32, pcm: &[i16], last: bool) -> SpeechChunk {
        SpeechChunk {
            segment: SegmentId(segment),
            generation: Generation(generation),
            pcm: pcm.into(),
            start: 0,
            last,
        }
    }

    fn fill(playout: &mut Playout) -> ([i16; FRAME_SAMPLES], Vec<Said>) {
        let mut frame = [0; FRAME_SAMPLES];
        let mut said = Vec::new();
        playout.fill(&mut frame, |run| said.push(run));
        (frame, said)
    }

    #[test]
    fn segments_follow_one_another_within_a_frame() {
        let mut playout = Playout::new();
        playout.push(chunk(1, 0, &[1; 100], false));
        playout.push(chunk(1, 0, &[], true));
        playout.push(chunk(2, 0, &[2; 400], true));
        let (frame, said) = fill(&mut playout);
        assert_eq!(frame[..100], [1; 100]);
        assert_eq!(frame[100..], [2; 220]);
        let runs: Vec<_> = said
            .iter()
            .map(|s| (s.segment.0, s.offset, s.len, s.first, s.begins, s.ends))
            .collect();
        assert_eq!(
            runs,
            [
                (1, 0, 100, 0, true, false),
                (1, 100, 0, 100, false, true),
                (2, 100, 220, 0, true, false)
            ]
        );
        assert!(playout.in_segment());
        let (frame, said) = fill(&mut playout);
        assert_eq!(frame[..180], [2; 180]);
        assert_eq!(frame[180..], [0; 140]);
        assert!(said[0].ends && !said[0].begins && said[0].first == 220);
        assert!(!playout.in_segment() && playout.is_empty());
    }

    #[test]
    fn a_clear_drops_the_old_and_keeps_the_new_generation() {
        let mut playout = Playout::new();
        playout.push(chunk(1, 0, &[1; 640], true));
        playout.push(chunk(2, 1, &[2; 640], true));
        playout.clear(Generation(1));
        playout.push(chunk(3, 0, &[3; 640], true));
        let (frame, _) = fill(&mut playout);
        assert_eq!(frame, [2; FRAME_SAMPLES]);
        let (mut to, mut from) = RingBuffer::new(8);
        playout.return_spent(&mut to);
        assert_eq!(from.pop().map(|pcm| pcm[0]), Ok(1));
        assert_eq!(from.pop().map(|pcm| pcm[0]), Ok(3));
    }

    #[test]
    fn a_cut_fades_within_ten_milliseconds() {
        let mut playout = Playout::new();
        playout.push(chunk(1, 0, &[8_000; 640], true));
        let mut frame = [0; FRAME_SAMPLES];
        playout.cut(&mut frame);
        assert!(frame[0] > 7_800);
        assert!(frame.windows(2).all(|pair| pair[1] <= pair[0]));
        assert_eq!(
            frame[CUT_SAMPLES - 1..],
            [0; FRAME_SAMPLES - CUT_SAMPLES + 1]
        );
    }

    #[test]
    fn a_start_behind_the_end_is_an_empty_chunk() {
        let mut playout = Playout::new();
        playout.push(SpeechChunk {
            start: 999,
            ..chunk(1, 0, &[1; 10], true)
        });
        let (frame, said) = fill(&mut playout);
        assert_eq!(frame, [0; FRAME_SAMPLES]);
        assert_eq!(said.len(), 1);
        assert!(said[0].ends && said[0].len == 0);
    }

    #[test]
    fn a_clear_is_seen_behind_speech_that_finds_no_room() {
        let (mut producer, mut commands) = RingBuffer::new(4);
        for command in [
            LegCommand::Play(chunk(1, 0, &[1], true)),
            LegCommand::Clear {
                generation: Generation(7),
            },
        ] {
            assert!(producer.push(command).is_ok());
        }
        assert_eq!(waiting_clear(&mut commands), Some(Generation(7)));
        assert_eq!(commands.slots(), 2);
    }

    #[test]
    fn spent_speech_that_nobody_takes_stops_the_intake() {
        let mut playout = Playout::new();
        let mut taken = 0;
        while playout.has_room() {
            playout.push(chunk(taken, 0, &[1; 160], true));
            taken += 1;
            let _ = fill(&mut playout);
            assert!(taken < 1_000, "intake never stops");
        }
        playout.clear(Generation(1));
        assert!(playout.spent.len() <= PLAYOUT_CHUNKS + COMMAND_CAPACITY);
    }
}
