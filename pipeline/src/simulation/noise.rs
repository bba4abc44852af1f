//! Sounds that are not the caller's words.

use super::random::Random;
use super::speech::{LINE_RATE, SPEECH_DBFS, Speaker, SpeechStore, set_level};

/// A steady background.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Background {
    /// Even noise, as of a bad line.
    White,
    /// Noise that falls by 3 dB an octave, as of a fan or a street.
    Pink,
    /// Many voices at once.
    Babble,
    /// One voice that talks on: a television.
    Television,
}

/// A short sound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Burst {
    /// A cough.
    Cough,
    /// A door that falls shut.
    Door,
    /// Keys of a keyboard.
    Keyboard,
    /// Clearing the throat.
    Throat,
}

/// Bursts in all their kinds.
pub const BURSTS: [Burst; 4] = [Burst::Cough, Burst::Door, Burst::Keyboard, Burst::Throat];

const BROADCAST: [&str; 6] = [
    "the weather for the weekend looks mostly dry with some clouds in the north",
    "and now for the sports news the home team won by three goals to one last night",
    "the minister said that the new road would be finished by the end of the year",
    "prices for bread and milk have gone up again this month according to the report",
    "our next guest has written a book about the history of the railway in this country",
    "please stay with us we will be back after a short break with more music",
];

fn seconds(s: f64) -> usize {
    (s * f64::from(LINE_RATE)) as usize
}

/// `length` samples of a background at this level.
pub fn background(
    kind: Background,
    dbfs: f64,
    length: usize,
    store: &SpeechStore,
    random: &mut Random,
) -> Vec<i16> {
    let mut pcm = match kind {
        Background::White => (0..length).map(|_| white(random)).collect(),
        Background::Pink => pink(length, random),
        Background::Babble => {
            let voices: Vec<Vec<i16>> = (0..7).map(|_| talk(length, store, random)).collect();
            (0..length)
                .map(|i| (voices.iter().map(|v| i32::from(v[i])).sum::<i32>() / 7) as i16)
                .collect()
        }
        Background::Television => {
            // The level is that of the speech, pauses left out.
            let mut pcm = talk(length, store, random);
            scale(&mut pcm, dbfs - SPEECH_DBFS);
            return pcm;
        }
    };
    set_level(&mut pcm, dbfs);
    pcm
}

fn white(random: &mut Random) -> i16 {
    (random.between(-1.0, 1.0) * 8_000.0) as i16
}

/// Sum of one-pole filters an octave apart (Voss).
fn pink(length: usize, random: &mut Random) -> Vec<i16> {
    let mut rows = [0.0f64; 10];
    (0..length)
        .map(|n| {
            let row = (n.trailing_zeros() as usize).min(rows.len() - 1);
            rows[row] = random.between(-1.0, 1.0);
            (rows.iter().sum::<f64>() * 2_000.0) as i16
        })
        .collect()
}

/// Somebody who talks on and on.
fn talk(length: usize, store: &SpeechStore, random: &mut Random) -> Vec<i16> {
    let speaker = Speaker::draw(random);
    let mut pcm = Vec::with_capacity(length);
    while pcm.len() < length {
        let speech = store.say(speaker, random.pick::<&str>(&BROADCAST));
        // Not everybody begins a sentence at once.
        let skip = if pcm.is_empty() {
            random.below(speech.pcm.len())
        } else {
            0
        };
        pcm.extend_from_slice(&speech.pcm[skip..]);
        pcm.resize(pcm.len() + seconds(random.between(0.1, 0.7)), 0);
    }
    pcm.truncate(length);
    pcm
}

/// Changes the level by decibels.
pub fn scale(pcm: &mut [i16], decibel: f64) {
    let factor = 10f64.powf(decibel / 20.0);
    for sample in pcm {
        *sample = (f64::from(*sample) * factor).clamp(-32_768.0, 32_767.0) as i16;
    }
}

/// A short sound at this peak-window level.
pub fn burst(kind: Burst, dbfs: f64, random: &mut Random) -> Vec<i16> {
    let mut pcm = match kind {
        Burst::Cough => {
            // One or two puffs of noise, coloured by the mouth.
            let mut pcm = puff(random.between(0.12, 0.22), 500.0, 0.5, random);
            if random.chance(0.5) {
                pcm.resize(pcm.len() + seconds(random.between(0.06, 0.15)), 0);
                pcm.extend(puff(random.between(0.1, 0.18), 600.0, 0.5, random));
            }
            pcm
        }
        Burst::Door => puff(random.between(0.15, 0.3), 120.0, 0.85, random),
        Burst::Throat => puff(random.between(0.2, 0.28), 300.0, 0.7, random),
        Burst::Keyboard => {
            let mut pcm = Vec::new();
            for _ in 0..3 + random.below(5) {
                pcm.extend(puff(0.02, 1_800.0, 0.3, random));
                pcm.resize(pcm.len() + seconds(random.between(0.06, 0.16)), 0);
            }
            pcm
        }
    };
    set_level(&mut pcm, dbfs);
    pcm
}

/// Noise around a resonance, quick to rise and slow to fall.
fn puff(length: f64, hz: f64, resonance: f64, random: &mut Random) -> Vec<i16> {
    let length = seconds(length);
    let radius = 0.8 + 0.19 * resonance;
    let angle = std::f64::consts::TAU * hz / f64::from(LINE_RATE);
    let (a1, a2) = (2.0 * radius * angle.cos(), -radius * radius);
    let (mut y1, mut y2) = (0.0, 0.0);
    (0..length)
        .map(|i| {
            let y = random.between(-1.0, 1.0) + a1 * y1 + a2 * y2;
            (y2, y1) = (y1, y);
            let rise = (i as f64 / (0.01 * f64::from(LINE_RATE))).min(1.0);
            let fall = (-4.0 * i as f64 / length as f64).exp();
            (y * rise * fall * 2_000.0).clamp(-32_000.0, 32_000.0) as i16
        })
        .collect()
}
