//! How much energy our own voice can account for in what comes back.

/// Frames of an average: 500 ms, so that the pauses of both sides are inside.
const FRAMES: usize = 25;
/// Averages, one after another, of which the smallest counts: 2 s of our speech.
const WINDOWS: usize = 4;

/// The smallest ratio of what came to what was expected, over the last seconds. The caller's own
/// voice only adds to what comes, so the smallest ratio is that of the moments without it.
#[derive(Debug)]
pub(super) struct RatioFloor {
    came: [f32; FRAMES],
    expected: [f32; FRAMES],
    at: usize,
    filled: usize,
    /// Smallest ratio of the running window and of those before it.
    windows: [f32; WINDOWS],
    in_window: usize,
}

impl RatioFloor {
    pub(super) const fn new() -> Self {
        Self {
            came: [0.0; FRAMES],
            expected: [0.0; FRAMES],
            at: 0,
            filled: 0,
            windows: [f32::INFINITY; WINDOWS],
            in_window: 0,
        }
    }

    /// Takes the power of a frame that came and of what was expected.
    pub(super) fn take(&mut self, came: f32, expected: f32) {
        self.came[self.at] = came;
        self.expected[self.at] = expected;
        self.at = (self.at + 1) % FRAMES;
        self.filled = (self.filled + 1).min(FRAMES);
        if self.filled < FRAMES {
            return;
        }
        let expected: f32 = self.expected.iter().sum();
        if expected > 0.0 {
            let ratio = self.came.iter().sum::<f32>() / expected;
            self.windows[0] = self.windows[0].min(ratio);
        }
        self.in_window += 1;
        if self.in_window == FRAMES {
            self.in_window = 0;
            self.windows.rotate_right(1);
            self.windows[0] = f32::INFINITY;
        }
    }

    /// The smallest ratio, if enough has come to tell.
    pub(super) fn floor(&self) -> Option<f32> {
        let floor = self.windows.iter().copied().fold(f32::INFINITY, f32::min);
        floor.is_finite().then_some(floor)
    }

    /// Begins anew.
    pub(super) const fn forget(&mut self) {
        *self = Self::new();
    }
}

/// The level of the line without speech, as mean square. Falls at once and rises slowly, so
/// speech passes without raising it.
#[derive(Debug)]
pub(super) struct NoiseFloor(f32);

impl NoiseFloor {
    /// About -70 dBFS: a quiet line.
    pub(super) const fn new() -> Self {
        Self(100.0)
    }

    /// Takes the power of a frame without echo.
    pub(super) fn take(&mut self, power: f32) {
        if power < self.0 {
            self.fall(power);
        } else {
            // 3 dB/s.
            self.0 = (self.0 * 1.014).min(power);
        }
    }

    /// Takes the power of a frame with echo, which can only prove a lower floor.
    pub(super) fn fall(&mut self, power: f32) {
        if power < self.0 {
            self.0 = (self.0 + 0.3 * (power - self.0)).max(10.0);
        }
    }

    pub(super) const fn power(&self) -> f32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_voice_does_not_raise_the_ratio_until_no_moment_is_without_it() {
        let mut floor = RatioFloor::new();
        for _ in 0..24 {
            floor.take(1.0, 10.0);
        }
        assert_eq!(floor.floor(), None);
        floor.take(1.0, 10.0);
        let close = |floor: &RatioFloor, expected: f32| {
            let ratio = floor.floor().expect("enough has come");
            assert!((ratio / expected - 1.0).abs() < 0.01, "{ratio} {expected}");
        };
        close(&floor, 0.1);
        for _ in 0..70 {
            floor.take(50.0, 10.0);
        }
        close(&floor, 0.1);
        for _ in 0..60 {
            floor.take(50.0, 10.0);
        }
        close(&floor, 5.0);
    }

    #[test]
    fn the_noise_floor_falls_at_once_and_rises_slowly() {
        let mut noise = NoiseFloor::new();
        for _ in 0..50 {
            noise.take(1e6);
        }
        assert!((150.0..250.0).contains(&noise.power()), "{noise:?}");
        for _ in 0..10 {
            noise.take(40.0);
        }
        assert!(noise.power() < 50.0, "{noise:?}");
        for _ in 0..100 {
            noise.fall(1e6);
        }
        assert!(noise.power() < 50.0, "{noise:?}");
    }
}
