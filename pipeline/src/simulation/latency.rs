//! How long providers take, drawn from published figures.

use std::time::Duration;

use super::random::Random;

/// A log-normal distribution through two published percentiles, in ms.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// Standard deviations between the median and the 99th percentile.
const Z99: f64 = 2.326;

impl Latency {
    /// A draw.
    pub fn draw(&self, random: &mut Random) -> Duration {
        let sigma = (self.p99 / self.p50).ln() / Z99;
        let ms = self.p50 * (sigma * random.normal()).exp();
        Duration::from_secs_f64(ms.clamp(1.0, 10_000.0) / 1000.0)
    }
}

/// A recogniser by its published time from speech end to final text.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ears {
    /// Name.
    pub name: &'static str,
    /// From the last speech sample to the final text when it is asked for at once.
    pub final_text: Latency,
}

/// Recognisers a telephone agent would be given: those with a published median below 0.4 s.
pub const EARS: [Ears; 4] = [
    ears("nemotron", 221.0, 252.0),
    ears("nova-3", 247.0, 326.0),
    ears("soniox-v4", 249.0, 310.0),
    ears("assemblyai", 256.0, 417.0),
];

const fn ears(name: &'static str, p50: f64, p99: f64) -> Ears {
    Ears {
        name,
        final_text: Latency { p50, p99 },
    }
}

/// From a word's end to the partial text with it. Streaming recognisers send partials every 100
/// to 250 ms; their lag has the same sources as that of finals.
pub const PARTIAL: Latency = Latency {
    p50: 180.0,
    p99: 330.0,
};
/// Way to a recogniser and back: no final comes sooner after it was asked for.
pub const ROUND_TRIP: Duration = Duration::from_millis(50);
/// From the request to the first token of a fast hosted model: practitioners report 100 to 200 ms
/// for models of 70 billion parameters on inference hardware, with a long tail.
pub const FIRST_TOKEN: Latency = Latency {
    p50: 170.0,
    p99: 500.0,
};
/// Between two words of such a model: some 280 tokens a second.
pub const TOKEN: Duration = Duration::from_millis(5);
/// From the request to the first speech of a fast streaming voice: vendors state 40 to 90 ms
/// without the network, measurements from outside find medians of 150 to 190 ms.
pub const FIRST_AUDIO: Latency = Latency {
    p50: 150.0,
    p99: 330.0,
};
/// Speech is delivered this many times faster than it plays.
pub const SPEECH_SPEED: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_published_percentiles() {
        let mut random = Random::new(1, 9);
        let mut draws: Vec<u128> = (0..10_000)
            .map(|_| FIRST_TOKEN.draw(&mut random).as_millis())
            .collect();
        draws.sort_unstable();
        let at = |share: f64| draws[(draws.len() as f64 * share) as usize];
        assert!((162..178).contains(&at(0.5)), "{}", at(0.5));
        assert!((455..550).contains(&at(0.99)), "{}", at(0.99));
    }
}
