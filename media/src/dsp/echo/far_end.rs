//! What we really sent, on the leg's timeline: the echo canceller's reference.

use crate::frame::SamplePosition;

/// Samples kept: 768 ms. A carrier's stream writes up to about 250 ms ahead of real time, the
/// filter reads back 500 ms.
const KEPT: usize = 12_288;
/// Samples of one energy cell: 10 ms.
const CELL: usize = 160;
/// Cells kept: 1,020 ms, since the bound looks back as far as an echo and its tail can reach.
const CELLS: usize = 102;
/// Mean square below which a cell is silence: about -66 dBFS, dither and rounding included.
const SILENT: f32 = 300.0;

/// A ring of sent samples and the energy of each 10 ms of them.
pub(super) struct FarEnd {
    pcm: Box<[i16; KEPT]>,
    energy: [f32; CELLS],
    /// Just behind the newest sample written.
    end: u64,
    /// Just behind the newest sample that was not silent.
    loud_end: u64,
}

impl FarEnd {
    pub(super) fn new() -> Self {
        Self {
            pcm: Box::new([0; KEPT]),
            energy: [0.0; CELLS],
            end: 0,
            loud_end: 0,
        }
    }

    /// Notes what was sent at `position`; what was left out before it counts as silence.
    pub(super) fn write(&mut self, position: SamplePosition, pcm: &[i16]) {
        let begin = position.0;
        if begin > self.end {
            let gap = (begin - self.end).min(KEPT as u64);
            for at in begin - gap..begin {
                self.pcm[at as usize % KEPT] = 0;
            }
        }
        for (at, &sample) in (begin..).zip(pcm) {
            self.pcm[at as usize % KEPT] = sample;
        }
        let from = begin
            .min(self.end)
            .max(begin.saturating_sub(KEPT as u64 / 2));
        self.end = begin + pcm.len() as u64;
        self.measure(from);
    }

    /// What was to be sent from `position` on is not, after all.
    pub(super) fn drop_from(&mut self, position: SamplePosition) {
        if position.0 >= self.end {
            return;
        }
        let from = position.0.max(self.end.saturating_sub(KEPT as u64));
        for at in from..self.end {
            self.pcm[at as usize % KEPT] = 0;
        }
        self.measure(from);
        self.loud_end = self.loud_end.min(from);
    }

    /// Measures the cells from the one `from` lies in up to the last one begun.
    fn measure(&mut self, from: u64) {
        let cell = CELL as u64;
        for index in from / cell..self.end.div_ceil(cell) {
            let begin = index * cell;
            let end = (begin + cell).min(self.end);
            let sum: f32 = (begin..end)
                .map(|at| f32::from(self.pcm[at as usize % KEPT]).powi(2))
                .sum();
            let energy = sum / CELL as f32;
            self.energy[index as usize % CELLS] = energy;
            if energy > SILENT {
                self.loud_end = self.loud_end.max(end);
            }
        }
    }

    /// Whether anything audible was sent in the `reach` samples before `end`.
    pub(super) const fn is_active(&self, end: u64, reach: u64) -> bool {
        self.loud_end > 0 && self.loud_end + reach > end
    }

    /// Whether everything before `end` has been written: a tick may come after the packet.
    pub(super) const fn is_written(&self, end: u64) -> bool {
        end <= self.end
    }

    /// Copies the samples from `begin` on; what lies outside is silence.
    pub(super) fn read(&self, begin: i64, out: &mut [f32]) {
        let oldest = self.end.saturating_sub(KEPT as u64) as i64;
        for (at, out) in (begin..).zip(out) {
            let known = at >= oldest && at < self.end as i64;
            *out = if known {
                f32::from(self.pcm[at as usize % KEPT])
            } else {
                0.0
            };
        }
    }

    /// Largest mean square of a whole frame (two cells) between two positions.
    pub(super) fn peak_energy(&self, begin: i64, end: i64) -> f32 {
        let first = begin.max(0) as u64 / CELL as u64;
        let last = (end.max(0) as u64).min(self.end) / CELL as u64;
        let last = last.min(first + CELLS as u64 - 1);
        let mut peak = 0f32;
        let mut before = 0f32;
        for index in first..=last {
            let energy = self.energy_of(index);
            peak = peak.max((energy + before) / 2.0);
            before = energy;
        }
        peak
    }

    /// Mean square of the samples between two positions, by whole cells.
    pub(super) fn mean_energy(&self, begin: i64, end: i64) -> f32 {
        let first = begin.max(0) as u64 / CELL as u64;
        let behind = end.max(0) as u64 / CELL as u64;
        if behind <= first {
            return 0.0;
        }
        let sum: f32 = (first..behind).map(|index| self.energy_of(index)).sum();
        sum / (behind - first) as f32
    }

    fn energy_of(&self, index: u64) -> f32 {
        let begun = self.end.div_ceil(CELL as u64);
        if index < begun && index + CELLS as u64 > begun {
            self.energy[index as usize % CELLS]
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_read_back_where_it_lay_and_gaps_are_silent() {
        let mut far = FarEnd::new();
        far.write(SamplePosition(320), &[1_000; 320]);
        far.write(SamplePosition(960), &[2_000; 320]);
        let mut out = [9.0; 4];
        for (begin, expected) in [
            (318, [0.0, 0.0, 1_000.0, 1_000.0]),
            (638, [1_000.0, 1_000.0, 0.0, 0.0]),
            (958, [0.0, 0.0, 2_000.0, 2_000.0]),
            (1_278, [2_000.0, 2_000.0, 0.0, 0.0]),
            (-2, [0.0; 4]),
        ] {
            far.read(begin, &mut out);
            assert_eq!(out, expected, "{begin}");
        }
        assert_eq!(far.peak_energy(0, 1_280), 4e6);
        assert_eq!(far.peak_energy(320, 640), 1e6);
        assert_eq!(far.mean_energy(320, 1_280), 5e6 / 3.0);
    }

    #[test]
    fn a_clear_takes_back_what_lies_ahead() {
        let mut far = FarEnd::new();
        for n in 0..20 {
            far.write(SamplePosition(n * 320), &[1_000; 320]);
        }
        assert!(far.is_active(6_400 + 1_000, 1_001));
        far.drop_from(SamplePosition(3_200));
        assert!(far.is_active(3_200 + 1_000, 1_001));
        assert!(!far.is_active(3_200 + 1_000, 1_000));
        assert_eq!(far.peak_energy(3_200, 6_400), 0.0);
        // Sent again at the same place.
        far.write(SamplePosition(3_200), &[500; 320]);
        assert_eq!(far.peak_energy(3_200, 6_400), 250_000.0);
    }

    #[test]
    fn old_audio_is_forgotten_and_long_gaps_are_cheap() {
        let mut far = FarEnd::new();
        far.write(SamplePosition(0), &[1_000; 320]);
        far.write(SamplePosition(10_000_000_000), &[1_000; 320]);
        let mut out = [9.0; 2];
        far.read(0, &mut out);
        assert_eq!(out, [0.0; 2]);
        assert_eq!(far.mean_energy(9_999_990_000, 9_999_999_999), 0.0);
    }
}
