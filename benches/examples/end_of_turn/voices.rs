//! Who speaks: the embedded voices, and people's prompts.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fixtures::wav::Wav;
use media::dsp::resample::Resampler;
use media::frame::FRAME_RATE;
use pipeline::local::flite::{FliteConfig, FliteVoice};
use pipeline::tts::{TextToSpeech as _, TtsEvent, TtsRequest};

use crate::examples::{Chance, Ending, Example, Split, examples_of};
use crate::texts;

/// Turns that each embedded voice speaks.
const TURNS: usize = 120;

/// A voice, and whether it is held out.
const FLITE: [(&str, Split); 4] = [
    ("slt", Split::Train),
    ("rms", Split::Train),
    ("kal16", Split::Train),
    ("awb", Split::HeldOut),
];

/// Examples by the embedded voices. The held-out voice speaks other texts.
pub(crate) fn flite() -> anyhow::Result<Vec<Example>> {
    let config = FliteConfig {
        trim_leading_silence: true,
        ..FliteConfig::default()
    };
    let voice = FliteVoice::new(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut all = Vec::new();
    for (index, (name, split)) in FLITE.into_iter().enumerate() {
        let mut chance = Chance(index as u64 + 1);
        for turn in 0..TURNS {
            let unfinished = turn % 3 == 0;
            let text = if unfinished {
                texts::fragment(&mut chance)
            } else {
                texts::turn(&mut chance)
            };
            let speed = [0.85, 1.0, 1.15][chance.below(3)];
            let (pcm, words) = runtime.block_on(speak(&voice, name, &text, speed))?;
            if unfinished {
                // The voice lets its tune fall at the end of whatever it is given: what it says is
                // cut before the last word, in the middle of the tune.
                let cut = words.len().checked_sub(2).map_or(pcm.len(), |n| words[n]);
                let pcm = faded(&pcm[..cut.min(pcm.len())]);
                all.extend(examples_of(
                    &pcm,
                    Ending::Unfinished,
                    name,
                    split,
                    &mut chance,
                ));
            } else {
                all.extend(examples_of(
                    &pcm,
                    Ending::Complete,
                    name,
                    split,
                    &mut chance,
                ));
            }
        }
    }
    Ok(all)
}

/// Lets the last 15 ms fade, so that the cut is no click.
fn faded(pcm: &[i16]) -> Vec<i16> {
    let ramp = (FRAME_RATE as usize * 15 / 1000).min(pcm.len());
    let mut pcm = pcm.to_vec();
    let len = pcm.len();
    for (n, sample) in pcm[len - ramp..].iter_mut().enumerate() {
        *sample = (f32::from(*sample) * (1.0 - n as f32 / ramp as f32)) as i16;
    }
    pcm
}

/// A place between two words: the quietest of the 40 ms windows in the middle half of the speech
/// about a place drawn by chance.
fn between_words(pcm: &[i16], chance: &mut Chance) -> Option<usize> {
    const STEP: usize = FRAME_RATE as usize / 100;
    let loud = |s: &i16| s.unsigned_abs() > 1_000;
    let (begin, end) = (pcm.iter().position(loud)?, pcm.iter().rposition(loud)?);
    if end - begin < FRAME_RATE as usize {
        return None;
    }
    let place = begin + ((end - begin) as f32 * (0.3 + 0.45 * chance.next())) as usize;
    let reach = FRAME_RATE as usize / 5;
    let energy = |at: usize| -> f32 {
        pcm[at - 2 * STEP..at + 2 * STEP]
            .iter()
            .map(|&s| f32::from(s).powi(2))
            .sum()
    };
    let places = (place - reach..place + reach).step_by(STEP);
    places
        .filter(|at| *at >= 2 * STEP && at + 2 * STEP < pcm.len())
        .min_by(|a, b| energy(*a).total_cmp(&energy(*b)))
}

/// The audio and the samples at which words end.
async fn speak(
    voice: &FliteVoice,
    name: &str,
    text: &str,
    speed: f32,
) -> anyhow::Result<(Vec<i16>, Vec<usize>)> {
    let request = TtsRequest {
        text: text.to_owned(),
        voice: name.to_owned(),
        language: "en".to_owned(),
        speed,
    };
    let mut events = voice.synthesize(request).await?;
    let (mut pcm, mut ends) = (Vec::new(), Vec::new());
    while let Some(event) = events.recv().await {
        match event {
            TtsEvent::Audio(piece) => pcm.extend_from_slice(&piece),
            TtsEvent::Words(words) => ends.extend(
                words
                    .iter()
                    .map(|w| (w.end.as_secs_f64() * f64::from(FRAME_RATE)) as usize),
            ),
            TtsEvent::Fault { message, .. } => anyhow::bail!("{text}: {message}"),
            _ => {}
        }
    }
    Ok((pcm, ends))
}

/// Folder, language and split of the people.
const PEOPLE: [(&str, &str, &str, Split); 5] = [
    ("en_US_f_Allison", "en", "Allison, English", Split::Train),
    ("es_MX_f_Allison", "es", "Allison, Spanish", Split::Train),
    ("fr_CA_f_June", "fr", "June, French", Split::Train),
    ("it_IT_m_Carlo", "it", "Carlo, Italian", Split::HeldOut),
    ("ru_RU_f_IvrvoiceRU", "ru", "Russian", Split::HeldOut),
];

/// Examples by people. A prompt that ends in a full stop is complete; one that ends in an
/// ellipsis, a comma or nothing after a word that wants another is not.
pub(crate) fn prompts(root: &Path) -> anyhow::Result<Vec<Example>> {
    let mut all = Vec::new();
    for (index, (folder, language, speaker, split)) in PEOPLE.into_iter().enumerate() {
        let list = root.join(format!(
            "usr/share/doc/asterisk-core-sounds-{language}/core-sounds-{language}.txt"
        ));
        let list = std::fs::read_to_string(&list)
            .with_context(|| format!("transcripts {}; gunzip them first", list.display()))?;
        let folder = root.join("usr/share/asterisk/sounds").join(folder);
        let texts: HashMap<&str, &str> = list
            .lines()
            .filter(|line| !line.starts_with(';'))
            .filter_map(|line| line.split_once(':'))
            .map(|(name, text)| (name.trim(), text.trim()))
            .collect();
        let mut names: Vec<&&str> = texts.keys().collect();
        names.sort_unstable();
        let mut chance = Chance(100 + index as u64);
        for name in names {
            let Some(pcm) = read(&folder.join(format!("{name}.wav")))? else {
                continue;
            };
            let (ending, sentences) = ending(texts[*name]);
            let found = examples_of(&pcm, ending, speaker, split, &mut chance);
            // Behind a full stop within a prompt the voice has ended its sentence: whether it goes
            // on is no matter of sound.
            all.extend(found.into_iter().filter(|e| e.is_last || sentences == 1));
            // A speaker who stops between two words to think. Narrators never do.
            if let Some(cut) = between_words(&pcm, &mut chance) {
                let pcm = faded(&pcm[..cut]);
                let found = examples_of(&pcm, Ending::Unfinished, speaker, split, &mut chance);
                all.extend(found.into_iter().filter(|e| e.is_last));
            }
        }
    }
    Ok(all)
}

/// How a prompt ends, and how many sentences it has.
fn ending(text: &str) -> (Ending, usize) {
    let text = text.trim_end_matches(['"', '”', ' ', ')']);
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let sentences = text
        .split(['.', '!', '?'])
        .filter(|part| part.chars().any(char::is_alphabetic))
        .count();
    let ending = if letters < 8 {
        Ending::Unknown
    } else if text.ends_with("...") || text.ends_with(['…', ',', ':']) {
        Ending::Unfinished
    } else if text.ends_with(['.', '!', '?']) {
        Ending::Complete
    } else {
        Ending::Unknown
    };
    (ending, sentences)
}

fn read(path: &PathBuf) -> anyhow::Result<Option<Vec<i16>>> {
    if !path.exists() {
        return Ok(None);
    }
    let mut wav = Wav::read(path).with_context(|| path.display().to_string())?;
    let pcm = wav.channels.swap_remove(0);
    // What the recording adds at its end is silence already.
    Ok(Some(Resampler::convert(wav.rate, FRAME_RATE, &pcm)?))
}
