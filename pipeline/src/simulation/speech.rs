//! Speech of several speakers, synthesized once and kept.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use media::dsp::resample::Resampler;
use media::frame::FRAME_RATE;

use super::random::Random;
use crate::local::flite_ffi::{self, FliteVoiceName, SpokenToken, SynthesisSink};

/// Rate in Hz of the telephone line, and of all audio of a scene but the agent's.
pub const LINE_RATE: u32 = 8_000;
/// Level in dBFS of everybody's speech before a scene sets it.
pub const SPEECH_DBFS: f64 = -20.0;
/// Samples quieter than this at the ends are cut off.
const SILENCE: u16 = 150;

/// A speaker: an embedded voice at another pitch and rate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Speaker {
    voice: u8,
    /// Pitch and formants, in percent of the voice's own.
    pitch: u16,
    /// Rate, in percent of the voice's own.
    rate: u16,
}

const VOICES: [FliteVoiceName; 4] = [
    FliteVoiceName::Slt,
    FliteVoiceName::Rms,
    FliteVoiceName::Awb,
    FliteVoiceName::Kal16,
];
const PITCHES: [u16; 3] = [90, 100, 112];
const RATES: [u16; 3] = [85, 100, 120];

impl Speaker {
    /// The agent of all scenes.
    pub const AGENT: Self = Self {
        voice: 0,
        pitch: 100,
        rate: 105,
    };

    /// Somebody else.
    pub fn draw(random: &mut Random) -> Self {
        Self {
            voice: random.below(VOICES.len()) as u8,
            pitch: *random.pick(&PITCHES),
            rate: *random.pick(&RATES),
        }
    }
}

/// A word and where it lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpokenWord {
    /// As written.
    pub text: String,
    /// First sample.
    pub start: usize,
    /// Just behind the last sample.
    pub end: usize,
}

/// A piece of speech with its words.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Speech {
    /// Samples, at [`LINE_RATE`] or, for the agent, [`FRAME_RATE`].
    pub pcm: Vec<i16>,
    /// Words in order.
    pub words: Vec<SpokenWord>,
}

impl Speech {
    /// The text.
    #[must_use]
    pub fn text(&self) -> String {
        let words: Vec<&str> = self.words.iter().map(|w| w.text.as_str()).collect();
        words.join(" ")
    }

    /// The same with `pause` samples of silence behind each of the words named.
    #[must_use]
    pub fn with_pauses(&self, pauses: &[(usize, usize)]) -> Self {
        let mut out = Self::default();
        let mut from = 0;
        for (index, word) in self.words.iter().enumerate() {
            let shift = out.pcm.len() as i64 - from as i64;
            out.words.push(SpokenWord {
                text: word.text.clone(),
                start: (word.start as i64 + shift).max(0) as usize,
                end: (word.end as i64 + shift).max(0) as usize,
            });
            if let Some((_, pause)) = pauses.iter().find(|(at, _)| *at == index) {
                let cut = word.end.min(self.pcm.len());
                out.pcm.extend_from_slice(&self.pcm[from..cut.max(from)]);
                fade_end(&mut out.pcm);
                out.pcm.resize(out.pcm.len() + pause, 0);
                from = cut.max(from);
            }
        }
        out.pcm.extend_from_slice(&self.pcm[from..]);
        out
    }

    /// Puts `other` behind this, after a pause in samples.
    pub fn append(&mut self, pause: usize, other: &Self) {
        self.pcm.resize(self.pcm.len() + pause, 0);
        let shift = self.pcm.len();
        self.pcm.extend_from_slice(&other.pcm);
        self.words.extend(other.words.iter().map(|w| SpokenWord {
            text: w.text.clone(),
            start: w.start + shift,
            end: w.end + shift,
        }));
    }
}

/// Nobody stops within a millisecond: the voice dies away over the last 60 ms before a pause.
fn fade_end(pcm: &mut [i16]) {
    let len = pcm.len();
    let ramp = (LINE_RATE as usize * 60 / 1000).min(len);
    for (i, sample) in pcm[len - ramp..].iter_mut().enumerate() {
        *sample = (i32::from(*sample) * (ramp - i) as i32 / ramp as i32) as i16;
    }
}

type Key = (Speaker, u32, String);

/// Synthesizes speech once for each speaker and text.
#[derive(Debug, Default)]
pub struct SpeechStore(Mutex<HashMap<Key, Arc<Speech>>>);

impl SpeechStore {
    /// What `speaker` sounds like saying `text` on the telephone.
    pub fn say(&self, speaker: Speaker, text: &str) -> Arc<Speech> {
        self.at_rate(speaker, text, LINE_RATE)
    }

    /// The agent's speech before it goes on the line.
    pub fn agent(&self, text: &str) -> Arc<Speech> {
        self.at_rate(Speaker::AGENT, text, FRAME_RATE)
    }

    fn at_rate(&self, speaker: Speaker, text: &str, rate: u32) -> Arc<Speech> {
        let key = (speaker, rate, text.to_owned());
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = lock().get(&key) {
            return Arc::clone(kept);
        }
        let made = Arc::new(synthesize(speaker, text, rate));
        Arc::clone(lock().entry(key).or_insert(made))
    }
}

#[derive(Default)]
struct Sink {
    pcm: Vec<i16>,
    tokens: Vec<SpokenToken>,
    rate: u32,
}

impl SynthesisSink for Sink {
    fn tokens(&mut self, tokens: Vec<SpokenToken>) {
        self.tokens = tokens;
    }

    fn samples(&mut self, samples: &[i16], rate: u32) -> ControlFlow<()> {
        self.rate = rate;
        self.pcm.extend_from_slice(samples);
        ControlFlow::Continue(())
    }
}

fn synthesize(speaker: Speaker, text: &str, rate: u32) -> Speech {
    let voice = VOICES[usize::from(speaker.voice)];
    let pitch = f64::from(speaker.pitch) / 100.0;
    let stretch = pitch * 100.0 / f64::from(speaker.rate);
    let mut sink = Sink::default();
    flite_ffi::synthesize_repeatably(voice, text, stretch as f32, &mut sink);
    let pcm = resample_by(&sink.pcm, pitch);
    let first = pcm.iter().position(|s| s.unsigned_abs() > SILENCE);
    let last = pcm.iter().rposition(|s| s.unsigned_abs() > SILENCE);
    let (Some(first), Some(last)) = (first, last) else {
        return Speech::default();
    };
    let mut pcm = pcm[first..=last].to_vec();
    set_level(&mut pcm, SPEECH_DBFS);
    let to_line = |seconds: f64| (seconds * f64::from(rate)) as usize;
    let lead = first as f64 / f64::from(FRAME_RATE);
    if rate != FRAME_RATE {
        pcm = Resampler::convert(FRAME_RATE, rate, &pcm).unwrap_or_default();
    }
    let mut start = 0;
    let texts = text.split_whitespace();
    let mut words = Vec::new();
    // Tokens are the whitespace-separated words of the text.
    for (text, token) in texts.zip(&sink.tokens) {
        let end = to_line((f64::from(token.end_s) / pitch - lead).max(0.0)).min(pcm.len());
        words.push(SpokenWord {
            text: text.to_owned(),
            start,
            end: end.max(start),
        });
        start = end.max(start);
    }
    if let Some(last) = words.last_mut() {
        last.end = pcm.len();
    }
    Speech { pcm, words }
}

/// Plays samples `factor` times as fast, by linear interpolation.
fn resample_by(pcm: &[i16], factor: f64) -> Vec<i16> {
    if (factor - 1.0).abs() < 1e-6 {
        return pcm.to_vec();
    }
    let len = (pcm.len() as f64 / factor) as usize;
    (0..len)
        .filter_map(|i| {
            let at = i as f64 * factor;
            let index = at as usize;
            let share = at - index as f64;
            let a = f64::from(*pcm.get(index)?);
            let b = f64::from(*pcm.get(index + 1)?);
            Some((a + (b - a) * share) as i16)
        })
        .collect()
}

/// Scales samples so that their active part has this level.
pub(super) fn set_level(pcm: &mut [i16], dbfs: f64) {
    let energy: f64 = pcm.iter().map(|s| f64::from(*s).powi(2)).sum();
    if energy <= 0.0 {
        return;
    }
    let rms = (energy / pcm.len() as f64).sqrt();
    let factor = 32_768.0 * 10f64.powf(dbfs / 20.0) / rms;
    for sample in pcm {
        *sample = (f64::from(*sample) * factor).clamp(-32_768.0, 32_767.0) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_cover_the_speech_and_pauses_move_what_follows() {
        let store = SpeechStore::default();
        let speech = store.say(Speaker::AGENT, "i would like a table");
        assert_eq!(speech.text(), "i would like a table");
        assert_eq!(speech.words[4].end, speech.pcm.len());
        let paused = speech.with_pauses(&[(1, 4_000)]);
        assert_eq!(paused.pcm.len(), speech.pcm.len() + 4_000);
        assert_eq!(paused.words[1].end, speech.words[1].end);
        assert_eq!(paused.words[2].end, speech.words[2].end + 4_000);
        let gap = &paused.pcm[paused.words[1].end..paused.words[1].end + 4_000];
        assert!(gap.iter().all(|s| *s == 0));
    }

    #[test]
    fn speakers_differ_in_length_and_not_in_level() {
        let store = SpeechStore::default();
        let slow = Speaker {
            voice: 1,
            pitch: 90,
            rate: 85,
        };
        let fast = Speaker {
            voice: 1,
            pitch: 112,
            rate: 120,
        };
        let [slow, fast] = [slow, fast].map(|s| store.say(s, "nine o'clock please"));
        assert!(slow.pcm.len() > fast.pcm.len() * 12 / 10);
        for speech in [slow, fast] {
            let level = f64::from(media::dsp::level::rms_dbfs(&speech.pcm));
            assert!((level - SPEECH_DBFS).abs() < 1.5, "{level}");
        }
    }
}
