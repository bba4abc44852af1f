//! Any other pair of rates, by the FFT resampler of rubato: for material prepared off the audio
//! path (voices at 22.05 or 44.1 kHz). Works in blocks of about 20 ms.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

use super::ResampleError;

/// Blocks longer than this part of a second are refused: the rates have too small a divisor.
const BLOCKS_PER_SECOND_MIN: u32 = 10;

#[derive(Debug)]
pub(super) struct FftResampler {
    library: Fft<f32>,
    from: u64,
    to: u64,
    input: Vec<f32>,
    filled: usize,
    output: Vec<f32>,
    /// Samples of the library's delay still to be dropped.
    skip: usize,
    taken: u64,
    given: u64,
}

impl FftResampler {
    pub(super) fn new(from: u32, to: u32) -> Result<Self, ResampleError> {
        let error = ResampleError::Rates { from, to };
        let wanted = (from / 50) as usize;
        let library =
            Fft::new(from as usize, to as usize, wanted, 1, FixedSync::Both).map_err(|_| error)?;
        let block = library.input_frames_next();
        if block > (from / BLOCKS_PER_SECOND_MIN) as usize {
            return Err(error);
        }
        Ok(Self {
            from: from.into(),
            to: to.into(),
            input: vec![0.0; block],
            filled: 0,
            output: vec![0.0; library.output_frames_max()],
            skip: library.output_delay(),
            taken: 0,
            given: 0,
            library,
        })
    }

    pub(super) fn process(&mut self, input: &[i16], output: &mut [i16]) -> usize {
        let mut written = 0;
        let mut rest = input;
        while !rest.is_empty() {
            let room = self.input.len() - self.filled;
            let (head, tail) = rest.split_at(room.min(rest.len()));
            for (place, &sample) in self.input[self.filled..].iter_mut().zip(head) {
                *place = f32::from(sample);
            }
            self.filled += head.len();
            self.taken += head.len() as u64;
            rest = tail;
            if self.filled == self.input.len() {
                written += self.convert_block(&mut output[written..]);
            }
        }
        written
    }

    pub(super) fn flush(&mut self, output: &mut [i16]) -> usize {
        let total = (self.taken * self.to).div_ceil(self.from);
        let mut written = 0;
        while self.given < total {
            let owed = (total - self.given) as usize;
            self.input[self.filled..].fill(0.0);
            written += self.convert_block(&mut output[written..]).min(owed);
        }
        self.reset();
        written
    }

    pub(super) fn reset(&mut self) {
        self.library.reset();
        self.filled = 0;
        self.skip = self.library.output_delay();
        self.taken = 0;
        self.given = 0;
    }

    pub(super) fn output_len_max(&self, input_len: usize) -> usize {
        (self.filled + input_len) / self.input.len() * self.output.len()
    }

    /// The unfinished block and the delay, each less than a block and both rounded up.
    pub(super) fn flush_len_max(&self) -> usize {
        3 * self.output.len()
    }

    fn convert_block(&mut self, output: &mut [i16]) -> usize {
        self.filled = 0;
        let block = InterleavedSlice::new(&self.input, 1, self.input.len())
            .expect("one channel, as many frames as samples");
        let frames = self.output.len();
        let mut converted = InterleavedSlice::new_mut(&mut self.output, 1, frames)
            .expect("one channel, as many frames as samples");
        let (_, made) = self
            .library
            .process_into_buffer(&block, &mut converted, None)
            .expect("buffers have the sizes the resampler asked for");
        let lead = self.skip.min(made);
        self.skip -= lead;
        let kept = &self.output[lead..made];
        for (place, &sample) in output.iter_mut().zip(kept) {
            // `as` saturates.
            *place = sample.round() as i16;
        }
        self.given += kept.len() as u64;
        kept.len()
    }
}
