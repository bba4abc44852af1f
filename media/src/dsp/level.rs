//! Loudness of PCM.

/// What silence measures, in dBFS: below the level of one 16-bit step.
pub const SILENCE_DBFS: f32 = -100.0;

/// RMS level in dBFS, where a full-scale square wave is 0 and a full-scale sine -3.01 (the dBov
/// of RFC 3389 and RFC 6465). Never below [`SILENCE_DBFS`]; that is also the level of no samples.
#[must_use]
pub fn rms_dbfs(pcm: &[i16]) -> f32 {
    let energy: i64 = pcm
        .iter()
        .map(|&sample| i64::from(i32::from(sample) * i32::from(sample)))
        .sum();
    if energy == 0 {
        return SILENCE_DBFS;
    }
    let mean_square = energy as f64 / pcm.len() as f64 / (32_768.0 * 32_768.0);
    (10.0 * mean_square.log10()) as f32
}

/// Level of the largest sample in dBFS; 0 is full scale. Never below [`SILENCE_DBFS`].
#[must_use]
pub fn peak_dbfs(pcm: &[i16]) -> f32 {
    match pcm.iter().map(|sample| sample.unsigned_abs()).max() {
        None | Some(0) => SILENCE_DBFS,
        Some(peak) => 20.0 * (f32::from(peak) / 32_768.0).log10(),
    }
}

/// Amplitude factor of a change by `decibel`.
#[must_use]
pub fn factor(decibel: f32) -> f32 {
    10f32.powf(decibel / 20.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_signals_have_known_levels() {
        assert_eq!(rms_dbfs(&[]), SILENCE_DBFS);
        assert_eq!(rms_dbfs(&[0; 320]), SILENCE_DBFS);
        assert_eq!(rms_dbfs(&[i16::MIN; 320]), 0.0);
        assert_eq!(peak_dbfs(&[0, i16::MIN]), 0.0);
        assert_eq!(peak_dbfs(&[]), SILENCE_DBFS);
        let sine = fixtures::tone::sine(16_000, 1_000.0, -13.01, 1_600);
        assert!((rms_dbfs(&sine) + 13.01).abs() < 0.01);
        assert!((peak_dbfs(&sine) + 10.0).abs() < 0.01);
        assert!(rms_dbfs(&[1]) > SILENCE_DBFS);
    }

    #[test]
    fn six_decibels_double() {
        assert!((factor(6.0206) - 2.0).abs() < 1e-4);
        assert!((factor(-20.0) - 0.1).abs() < 1e-6);
    }
}
