//! The worker's end of a recording: a bounded queue of short runs of samples.
//!
//! | queue | capacity | when full |
//! |---|---|---|
//! | blocks, worker to recorder | [`TAP_MS`] of both channels | newest dropped, `RecordingSummary::blocks_dropped` counts |

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::frame::{FRAME_RATE, SamplePosition};
use crate::recording::Channel;

/// Samples in a full block: 20 ms at 8 kHz, 10 ms at 16 kHz.
pub const BLOCK_SAMPLES: usize = 160;
/// Audio, in ms, that may wait for the recorder.
pub const TAP_MS: u32 = 300;

/// A run of one channel's samples.
#[derive(Clone, Copy, Debug)]
pub struct RecordingBlock {
    /// Whose.
    pub channel: Channel,
    /// Place of the first sample, in samples at the recording's rate since the leg began.
    pub position: u64,
    len: u16,
    samples: [i16; BLOCK_SAMPLES],
}

impl RecordingBlock {
    /// Copies the first [`BLOCK_SAMPLES`] of `samples`.
    #[must_use]
    pub fn new(channel: Channel, position: u64, samples: &[i16]) -> Self {
        let len = samples.len().min(BLOCK_SAMPLES);
        let mut block = Self {
            channel,
            position,
            len: len as u16,
            samples: [0; BLOCK_SAMPLES],
        };
        block.samples[..len].copy_from_slice(&samples[..len]);
        block
    }

    /// The samples.
    #[must_use]
    pub fn samples(&self) -> &[i16] {
        &self.samples[..usize::from(self.len)]
    }
}

/// Takes a leg's audio on the worker.
#[derive(Debug)]
pub struct RecordingTap {
    blocks: Producer<RecordingBlock>,
    rate: u32,
    dropped: Arc<AtomicU64>,
}

/// The recorder's end.
#[derive(Debug)]
pub struct RecordingSource {
    blocks: Consumer<RecordingBlock>,
    rate: u32,
    dropped: Arc<AtomicU64>,
}

/// Makes the two ends for a recording at `rate` Hz (8000 or 16000).
#[must_use]
pub fn recording_queue(rate: u32) -> (RecordingTap, RecordingSource) {
    let blocks_per_channel = (rate / 1000 * TAP_MS) as usize / BLOCK_SAMPLES;
    let (blocks_in, blocks) = RingBuffer::new(2 * blocks_per_channel);
    let dropped = Arc::new(AtomicU64::new(0));
    let tap = RecordingTap {
        blocks: blocks_in,
        rate,
        dropped: Arc::clone(&dropped),
    };
    let source = RecordingSource {
        blocks,
        rate,
        dropped,
    };
    (tap, source)
}

impl RecordingTap {
    /// Records `samples` at [`Self::rate`], the first of which lies at `position`.
    pub fn write(&mut self, channel: Channel, position: SamplePosition, samples: &[i16]) {
        let mut position = position.0 / u64::from(FRAME_RATE / self.rate);
        for run in samples.chunks(BLOCK_SAMPLES) {
            let block = RecordingBlock::new(channel, position, run);
            position += run.len() as u64;
            if self.blocks.push(block).is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Rate in Hz of the samples wanted.
    #[must_use]
    pub const fn rate(&self) -> u32 {
        self.rate
    }
}

impl RecordingSource {
    /// The next block if one is waiting.
    pub fn pop(&mut self) -> Option<RecordingBlock> {
        self.blocks.pop().ok()
    }

    /// Rate in Hz of the samples.
    #[must_use]
    pub const fn rate(&self) -> u32 {
        self.rate
    }

    /// Blocks that found the queue full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Whether the leg has let go of its end; what it left can still be read.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.blocks.is_abandoned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_cut_into_blocks_with_positions_at_the_recordings_rate() {
        let (mut tap, mut source) = recording_queue(8_000);
        tap.write(Channel::Agent, SamplePosition(640), &[5; 240]);
        let first = source.pop().expect("first block");
        let second = source.pop().expect("second block");
        assert_eq!((first.position, first.samples().len()), (320, 160));
        assert_eq!((second.position, second.samples().len()), (480, 80));
        assert!(source.pop().is_none());
    }

    #[test]
    fn a_full_queue_drops_the_newest_and_counts() {
        let (mut tap, mut source) = recording_queue(8_000);
        for tick in 0..100 {
            tap.write(Channel::Agent, SamplePosition(tick * 320), &[1; 160]);
        }
        let mut seen = 0;
        while source.pop().is_some() {
            seen += 1;
        }
        assert_eq!(seen, 30);
        assert_eq!(source.dropped(), 70);
    }
}
