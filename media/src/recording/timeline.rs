//! Places runs of two channels on one timeline.

use crate::recording::Channel;
use crate::recording::tap::RecordingBlock;

/// How long, in ms, a place stays open for a run that comes late.
pub const WINDOW_MS: u32 = 500;

/// Puts blocks in order and fills gaps with silence; a place is closed [`WINDOW_MS`] after the
/// newest sample.
#[derive(Debug)]
pub struct StereoTimeline {
    /// Ring of sample pairs, index is position modulo length.
    window: Box<[[i16; 2]]>,
    /// Everything before has been handed out.
    base: u64,
    /// Just behind the newest sample.
    end: u64,
    late: u64,
}

impl StereoTimeline {
    /// An empty timeline at `rate` Hz.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        let samples = (rate / 1000 * WINDOW_MS) as usize;
        Self {
            window: vec![[0; 2]; samples].into_boxed_slice(),
            base: 0,
            end: 0,
            late: 0,
        }
    }

    /// Places `block`; what leaves the window goes to `out` as interleaved samples.
    pub fn place(&mut self, block: &RecordingBlock, mut out: impl FnMut(&[i16])) {
        let samples = block.samples();
        let end = block.position + samples.len() as u64;
        self.close_before(end.saturating_sub(self.window.len() as u64), &mut out);
        let skip = self.base.saturating_sub(block.position) as usize;
        if skip > 0 {
            self.late += 1;
        }
        let side = match block.channel {
            Channel::Caller => 0,
            Channel::Agent => 1,
        };
        for (i, &sample) in samples.iter().enumerate().skip(skip) {
            let index = self.index(block.position + i as u64);
            self.window[index][side] = sample;
        }
        self.end = self.end.max(end);
    }

    /// Hands out everything placed so far.
    pub fn finish(&mut self, mut out: impl FnMut(&[i16])) {
        self.close_before(self.end, &mut out);
    }

    /// Runs that came after their place was closed, wholly or in part.
    #[must_use]
    pub const fn late(&self) -> u64 {
        self.late
    }

    fn close_before(&mut self, position: u64, out: &mut impl FnMut(&[i16])) {
        while self.base < position {
            let start = self.index(self.base);
            let run = (position - self.base).min((self.window.len() - start) as u64) as usize;
            let part = &mut self.window[start..start + run];
            out(part.as_flattened());
            part.fill([0; 2]);
            self.base += run as u64;
        }
        self.end = self.end.max(self.base);
    }

    const fn index(&self, position: u64) -> usize {
        (position % self.window.len() as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(blocks: &[RecordingBlock]) -> (Vec<i16>, u64) {
        let mut timeline = StereoTimeline::new(8_000);
        let mut file = Vec::new();
        for block in blocks {
            timeline.place(block, |run| file.extend_from_slice(run));
        }
        timeline.finish(|run| file.extend_from_slice(run));
        (file, timeline.late())
    }

    #[test]
    fn channels_meet_at_equal_positions_whatever_their_order() {
        let caller = RecordingBlock::new(Channel::Caller, 160, &[1; 160]);
        let agent = RecordingBlock::new(Channel::Agent, 160, &[2; 160]);
        let later = RecordingBlock::new(Channel::Agent, 480, &[3; 160]);
        for order in [[caller, agent, later], [later, agent, caller]] {
            let (file, late) = recorded(&order);
            assert_eq!(late, 0);
            assert_eq!(file.len(), 2 * 640);
            assert_eq!(&file[..320], &[0; 320]);
            assert!(file[320..640].chunks(2).all(|pair| pair == [1, 2]));
            assert!(file[640..960].iter().all(|&s| s == 0));
            assert!(file[960..].chunks(2).all(|pair| pair == [0, 3]));
        }
    }

    #[test]
    fn a_run_behind_the_window_is_counted_not_placed() {
        let newest = RecordingBlock::new(Channel::Agent, 20_000, &[7; 160]);
        let late = RecordingBlock::new(Channel::Caller, 100, &[9; 160]);
        let (file, count) = recorded(&[newest, late]);
        assert_eq!(count, 1);
        assert_eq!(file.len(), 2 * 20_160);
        assert!(!file.contains(&9));
        assert_eq!(file.iter().filter(|&&s| s == 7).count(), 160);
    }

    #[test]
    fn long_gaps_become_silence_of_the_same_length() {
        let first = RecordingBlock::new(Channel::Caller, 0, &[4; 160]);
        let last = RecordingBlock::new(Channel::Caller, 80_000, &[5; 160]);
        let (file, late) = recorded(&[first, last]);
        assert_eq!(late, 0);
        assert_eq!(file.len(), 2 * 80_160);
        assert_eq!(file[2 * 80_000], 5);
        assert_eq!(file[0], 4);
    }
}
