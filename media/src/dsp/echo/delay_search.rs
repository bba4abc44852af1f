//! How late our voice comes back: a long adaptive filter in the band below 1.6 kHz, whose largest
//! tap tells.

use realfft::num_complex::Complex32;

use super::adaptive_filter::AdaptiveFilter;
use super::spectrum::Transform;

/// Samples of a block at the search's rate of 4 kHz: 20 ms.
const BLOCK: usize = 80;
/// Bins of its spectrum that are used: up to 1.6 kHz, where speech is strongest.
const BINS: usize = 64;
/// Blocks searched: 0 to 440 ms.
pub(super) const PARTITIONS: usize = 22;
/// Cells of 2.5 ms, whose energy is compared.
const CELL: usize = 10;
const CELLS_PER_BLOCK: usize = BLOCK / CELL;
const CELLS: usize = PARTITIONS * CELLS_PER_BLOCK;
/// Samples at [`crate::frame::FRAME_RATE`] in a cell.
const CELL_SAMPLES: u64 = 40;
/// Partitions made free of wrapped taps, and looked at, in each frame.
const CONSTRAINED: usize = 4;
/// Cells about the largest that belong to the same echo: 20 ms on each side.
const ECHO_CELLS: usize = 8;
/// How far the largest cell must stand out of the mean of the others.
const PROMINENCE: f32 = 12.0;
/// Frames for which the largest cell must stay where it is.
const STEADY_FRAMES: u32 = 10;
/// Frames before which nothing is believed: before the echo of a long path comes, chance makes
/// the largest cell.
const FRAMES_MIN: u32 = 30;
/// Power gain of the worst path expected.
const GAIN_MAX: f32 = 0.1;

pub(super) struct DelaySearch {
    filter: AdaptiveFilter,
    transform: Transform,
    spectrum: [Complex32; BLOCK + 1],
    time: [f32; 2 * BLOCK],
    predicted: [f32; BLOCK],
    cells: [f32; CELLS],
    largest: usize,
    steady: u32,
    frames: u32,
}

impl DelaySearch {
    pub(super) fn new() -> Self {
        Self {
            filter: AdaptiveFilter::new(BLOCK, BINS, PARTITIONS, GAIN_MAX),
            transform: Transform::new(2 * BLOCK),
            spectrum: [Complex32::default(); BLOCK + 1],
            time: [0.0; 2 * BLOCK],
            predicted: [0.0; BLOCK],
            cells: [0.0; CELLS],
            largest: 0,
            steady: 0,
            frames: 0,
        }
    }

    /// Forgets the path.
    pub(super) fn forget(&mut self) {
        self.filter.forget();
        self.cells.fill(0.0);
        (self.steady, self.frames) = (0, 0);
    }

    /// Takes the spectrum of the newest two far blocks at [`crate::frame::FRAME_RATE`]; its lowest
    /// bins are the spectrum of the narrow band.
    pub(super) fn push_far(&mut self, spectrum: &[Complex32]) {
        self.filter.push_far(spectrum);
    }

    /// Puts the newest far spectrum right.
    pub(super) fn replace_far(&mut self, spectrum: &[Complex32]) {
        self.filter.replace_far(spectrum);
    }

    /// Takes the spectrum of the near block, an empty block before it.
    pub(super) fn take_near(&mut self, spectrum: &[Complex32]) {
        self.filter.predict(&mut self.predicted);
        self.spectrum.fill(Complex32::default());
        self.spectrum[..BINS].copy_from_slice(&spectrum[..BINS]);
        self.transform.inverse(&mut self.spectrum, &mut self.time);
        let rest = &mut self.time[BLOCK..];
        for (rest, predicted) in rest.iter_mut().zip(&self.predicted) {
            *rest -= predicted;
        }
        self.filter.adapt(rest);
        for _ in 0..CONSTRAINED {
            let (partition, taps) = self.filter.constrain();
            let cells = &mut self.cells[partition * CELLS_PER_BLOCK..];
            for (cell, taps) in cells.iter_mut().zip(taps.chunks_exact(CELL)) {
                *cell = taps.iter().map(|tap| tap * tap).sum();
            }
        }
        self.look();
    }

    fn look(&mut self) {
        self.frames = self.frames.saturating_add(1);
        let mut largest = 0;
        for (index, cell) in self.cells.iter().enumerate() {
            if *cell > self.cells[largest] {
                largest = index;
            }
        }
        let first = largest.saturating_sub(ECHO_CELLS);
        let last = (largest + ECHO_CELLS).min(CELLS - 1);
        let echo: f32 = self.cells[first..=last].iter().sum();
        let all: f32 = self.cells.iter().sum();
        let others = CELLS - (last - first + 1);
        let mean = (all - echo).max(0.0) / others as f32;
        let stands_out = self.cells[largest] > PROMINENCE * mean && self.cells[largest] > 0.0;
        if stands_out && largest.abs_diff(self.largest) <= 1 {
            self.steady += 1;
        } else {
            self.steady = 0;
        }
        self.largest = largest;
    }

    /// Delay of the largest echo in samples at [`crate::frame::FRAME_RATE`], once it is sure.
    pub(super) fn delay(&self) -> Option<u64> {
        (self.steady >= STEADY_FRAMES && self.frames >= FRAMES_MIN)
            .then(|| self.largest as u64 * CELL_SAMPLES + CELL_SAMPLES / 2)
    }
}
