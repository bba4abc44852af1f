//! A telephone line: 8 kHz, mu-law, and back.

use std::f32::consts::PI;

/// Half of the taps of the half-band low-pass on either side of its centre.
const REACH: i32 = 48;

/// What 16 kHz audio sounds like behind a G.711 trunk, converted back to 16 kHz.
pub(crate) fn through_mu_law(samples: &[i16]) -> Vec<i16> {
    let low: Vec<i16> = (0..samples.len() / 2)
        .map(|n| decode(encode(clip(filtered(samples, 2 * n as i32)))))
        .collect();
    let mut stuffed = vec![0_i16; low.len() * 2];
    for (n, sample) in low.iter().enumerate() {
        stuffed[2 * n] = *sample;
    }
    (0..stuffed.len())
        .map(|n| clip(2.0 * filtered(&stuffed, n as i32)))
        .collect()
}

/// Low-pass at 3.7 kHz around sample `centre`.
fn filtered(samples: &[i16], centre: i32) -> f32 {
    const CUT: f32 = 3_700.0 / 16_000.0;
    let mut sum = 0.0;
    for k in -REACH..=REACH {
        let Some(sample) = usize::try_from(centre + k)
            .ok()
            .and_then(|at| samples.get(at))
        else {
            continue;
        };
        let x = k as f32;
        let sinc = if k == 0 {
            2.0 * CUT
        } else {
            (2.0 * PI * CUT * x).sin() / (PI * x)
        };
        let window = 0.54 + 0.46 * (PI * x / REACH as f32).cos();
        sum += f32::from(*sample) * sinc * window;
    }
    sum
}

fn clip(value: f32) -> i16 {
    value.round() as i16
}

/// ITU-T G.711 mu-law.
fn encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = (i32::from(sample).abs().min(32_635)) + 132;
    let exponent = 31 - (magnitude as u32).leading_zeros() as i32 - 7;
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !(sign | (exponent << 4) as u8 | mantissa as u8)
}

fn decode(byte: u8) -> i16 {
    let byte = !byte;
    let exponent = i32::from((byte >> 4) & 7);
    let magnitude = (((i32::from(byte & 0x0f) << 3) + 132) << exponent) - 132;
    (if byte & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }) as i16
}
