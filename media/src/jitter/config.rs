//! Sizes, times and payload arithmetic of the jitter buffer.

use std::time::{Duration, Instant};

use super::delay_estimator::DelayConfig;
use crate::codec::Codec;
use crate::frame::FRAME_RATE;

/// Default number of slots: 1 s of 20 ms packets, 500 ms of 10 ms packets.
pub const DEPTH: usize = 50;
/// Sizes and times of a [`super::JitterBuffer`].
#[derive(Clone, Copy, Debug)]
pub struct JitterConfig {
    /// When the leg began: position zero of its timeline.
    pub origin: Instant,
    /// Encoding; sets the RTP clock and how long a payload lasts.
    pub codec: Codec,
    /// Largest payload in octets; larger ones are refused and counted.
    pub payload_bytes_max: usize,
    /// Slots, at least 2. When a packet comes that lies further ahead, the oldest are dropped
    /// and counted.
    pub depth: usize,
    /// Bounds of the reorder wait.
    pub delay: DelayConfig,
    /// How long nothing at all may come before the lack is reported as loss.
    pub stall_after: Duration,
    /// How long nothing may come before the lack is taken for the sender's silence. Without
    /// this, a caller behind a gateway that stops sending in silence would never be answered.
    pub silence_after: Duration,
}

impl JitterConfig {
    /// The usual sizes for packets of `codec` up to 60 ms, with the leg beginning at `origin`.
    #[must_use]
    pub fn new(origin: Instant, codec: Codec) -> Self {
        Self {
            origin,
            codec,
            payload_bytes_max: payload_bytes_max(codec, 60),
            depth: DEPTH,
            delay: DelayConfig::default(),
            stall_after: Duration::from_millis(200),
            silence_after: Duration::from_millis(500),
        }
    }
}

/// Octets of the largest payload of `ptime_ms`.
#[must_use]
pub const fn payload_bytes_max(codec: Codec, ptime_ms: usize) -> usize {
    match codec {
        Codec::Pcmu | Codec::Pcma | Codec::G722 => 8 * ptime_ms,
        // The largest Opus frame (RFC 6716 §3.2.1).
        Codec::Opus => 1275,
        Codec::L16Le(rate) => rate as usize / 1000 * 2 * ptime_ms,
    }
}

/// How long a payload lasts, in samples at [`FRAME_RATE`]; zero when it holds no audio.
#[must_use]
pub fn payload_samples(codec: Codec, payload: &[u8]) -> u32 {
    let ticks = match codec {
        // One octet per tick; with G.722 it holds two samples, but its RTP clock is 8 kHz.
        Codec::Pcmu | Codec::Pcma | Codec::G722 => payload.len() as u64,
        Codec::L16Le(_) => payload.len() as u64 / 2,
        Codec::Opus => opus_ticks(payload),
    };
    let samples = ticks * u64::from(FRAME_RATE) / u64::from(codec.rtp_clock().max(1));
    u32::try_from(samples).unwrap_or(u32::MAX)
}

/// Duration of an Opus packet at 48 kHz by its first octets (RFC 6716 §3.1, §3.2); at most the
/// 120 ms the format allows.
fn opus_ticks(payload: &[u8]) -> u64 {
    let Some(toc) = payload.first() else {
        return 0;
    };
    let frame = match toc >> 3 {
        config @ 0..=11 => [480, 960, 1920, 2880][usize::from(config & 3)],
        config @ 12..=15 => [480, 960][usize::from(config & 1)],
        config => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => payload.get(1).map_or(0, |count| u64::from(count & 0x3f)),
    };
    (frame * frames).min(5760)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_lengths_follow_the_codec() {
        assert_eq!(payload_samples(Codec::Pcmu, &[0; 160]), 320);
        assert_eq!(payload_samples(Codec::G722, &[0; 160]), 320);
        assert_eq!(payload_samples(Codec::L16Le(24_000), &[0; 960]), 320);
        assert_eq!(payload_samples(Codec::Opus, &[]), 0);
        // SILK wideband 20 ms, one frame; CELT 2.5 ms, two frames; hybrid 10 ms, three frames.
        assert_eq!(payload_samples(Codec::Opus, &[9 << 3, 1]), 320);
        assert_eq!(payload_samples(Codec::Opus, &[(16 << 3) | 1, 1]), 80);
        assert_eq!(payload_samples(Codec::Opus, &[(12 << 3) | 3, 3]), 480);
        // 63 frames of 60 ms are not allowed and are cut to 120 ms.
        assert_eq!(payload_samples(Codec::Opus, &[(3 << 3) | 3, 63]), 1920);
    }
}
