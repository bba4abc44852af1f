//! A pocketsphinx decoder as a slot: grammars compiled once, caller's state put in and taken out.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::pocketsphinx_ffi::{ChannelMean, Decoder, DecoderError, SAMPLES_PER_DECODER_FRAME};
use super::recogniser_pool::SlotDecoder;

/// Compiled grammars a decoder keeps. Full-policy: the one unused longest is forgotten.
const GRAMMARS_MAX: usize = 16;
/// Words added to a decoder before it is replaced, since words cannot be removed.
const WORDS_MAX: usize = 50_000;
/// Name of the open dictation search.
const DICTATION: &str = "dictation";

/// What to assume of a telephone line with a filled upper band before it has been heard.
///
/// The model's own assumption is a wideband microphone, and the first answer of a call suffers
/// from it. Mean of the flite voices slt, rms and awb behind 8 kHz mu-law, filled at -9 dB. When
/// it is taken from slt alone and awb speaks, 2 of 111 words in first answers are wrong instead
/// of 13; for rms none instead of 4.
const TELEPHONE_MEAN: ChannelMean = ChannelMean([
    49.2, 3.2, 5.6, 17.9, 9.9, -8.3, 15.2, -7.6, -4.8, 8.0, -6.5, 13.2, -3.6,
]);

/// Most that one utterance may move what is known of a caller, per coefficient. Speech moves it
/// by less; a burst of noise taken for a word would otherwise spoil the answers after it.
const MEAN_STEP_MAX: f32 = 3.0;

/// A word with the ways it may be said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct WordPronunciations {
    pub(crate) word: String,
    pub(crate) pronunciations: Vec<String>,
}

/// What is listened for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Search {
    /// A checked grammar; equal names mean equal grammars.
    Grammar {
        name: String,
        text: String,
        words: Vec<WordPronunciations>,
    },
    /// Free speech.
    Dictation,
}

/// What is known of one caller's voice and line, carried from utterance to utterance.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallerState(Arc<Mutex<Option<ChannelMean>>>);

/// One utterance's needs.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) search: Arc<Search>,
    pub(crate) caller: CallerState,
    /// The audio comes from a narrow-band line and its upper band is filled.
    pub(crate) band_filled: bool,
}

/// A word and its samples from the utterance's start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PlacedWord {
    pub(crate) text: String,
    pub(crate) first_sample: u64,
    pub(crate) end_sample: u64,
}

/// What was understood.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Recognition {
    pub(crate) text: String,
    pub(crate) confidence: Option<f32>,
    pub(crate) words: Vec<PlacedWord>,
}

/// One slot.
pub(crate) struct PocketsphinxDecoder {
    decoder: Decoder,
    /// What the model assumes of a line before it has heard it.
    initial_mean: Option<ChannelMean>,
    /// Compiled grammars, the one used last at the end.
    grammars: Vec<String>,
    words: HashSet<String>,
    dictation: bool,
    broken: bool,
}

impl PocketsphinxDecoder {
    pub(crate) fn new(model_dir: &Path, dictation: bool) -> Result<Self, String> {
        let mut decoder = Decoder::new(model_dir, dictation).map_err(|error| error.to_string())?;
        if dictation {
            decoder
                .add_language_model(DICTATION, &model_dir.join("en-us.lm.bin"))
                .map_err(|error| error.to_string())?;
        }
        Ok(Self {
            initial_mean: decoder.channel_mean(),
            decoder,
            grammars: Vec::new(),
            words: HashSet::new(),
            dictation,
            broken: false,
        })
    }

    /// What is known of the caller, or else assumed of such a line.
    fn known_mean(&self, task: &Task) -> Option<ChannelMean> {
        let assumed = if task.band_filled {
            Some(TELEPHONE_MEAN)
        } else {
            self.initial_mean
        };
        let known = *task.caller.lock();
        known.or(assumed)
    }

    fn prepare(&mut self, search: &Search) -> Result<(), DecoderError> {
        let Search::Grammar { name, text, words } = search else {
            return self.decoder.select_search(DICTATION);
        };
        if let Some(index) = self.grammars.iter().position(|known| known == name) {
            let name = self.grammars.remove(index);
            self.grammars.push(name);
        } else {
            for word in words {
                self.add_word(word)?;
            }
            self.decoder.add_grammar(name, text)?;
            self.grammars.push(name.clone());
        }
        self.decoder.select_search(name)?;
        // Only now, when the oldest is certainly not the selected one.
        if self.grammars.len() > GRAMMARS_MAX {
            let oldest = self.grammars.remove(0);
            self.decoder.remove_search(&oldest)?;
        }
        Ok(())
    }

    fn add_word(&mut self, word: &WordPronunciations) -> Result<(), DecoderError> {
        if !self.words.insert(word.word.clone())
            || (self.dictation && self.decoder.has_word(&word.word))
        {
            return Ok(());
        }
        for (index, phones) in word.pronunciations.iter().enumerate() {
            if index == 0 {
                self.decoder.add_word(&word.word, phones)?;
            } else {
                let alternative = format!("{}({})", word.word, index + 1);
                self.decoder.add_word(&alternative, phones)?;
            }
        }
        Ok(())
    }
}

impl SlotDecoder for PocketsphinxDecoder {
    type Task = Task;
    type Result = Recognition;

    fn is_prepared_for(&self, task: &Task) -> bool {
        match task.search.as_ref() {
            Search::Grammar { name, .. } => self.grammars.contains(name),
            Search::Dictation => true,
        }
    }

    fn begin(&mut self, task: &Task) -> Result<(), String> {
        let begun = self.prepare(&task.search).and_then(|()| {
            if let Some(mean) = self.known_mean(task) {
                self.decoder.set_channel_mean(&mean);
            }
            self.decoder.start()
        });
        begun.map_err(|error| error.to_string())
    }

    fn process(&mut self, samples: &[i16]) -> Result<(), String> {
        self.decoder
            .process(samples)
            .map_err(|error| error.to_string())
    }

    fn partial(&mut self) -> String {
        self.decoder.hypothesis()
    }

    fn finish(&mut self, task: &Task) -> Result<Recognition, String> {
        self.decoder.end().map_err(|error| {
            self.broken = true;
            error.to_string()
        })?;
        let text = self.decoder.hypothesis();
        if text.is_empty() {
            return Ok(Recognition::default());
        }
        // Silence and noise say nothing about the caller's voice, so they do not get here.
        let before = self.known_mean(task);
        if let (Some(before), Some(after)) = (before, self.decoder.channel_mean()) {
            *task.caller.lock() = Some(before.towards(&after));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a probability needs no more digits"
        )]
        let confidence = self.decoder.posterior().clamp(0.0, 1.0) as f32;
        let words = self
            .decoder
            .segments()
            .into_iter()
            .filter(|segment| is_spoken(&segment.word))
            .map(|segment| PlacedWord {
                text: base_word(&segment.word).to_owned(),
                first_sample: segment.first_frame * SAMPLES_PER_DECODER_FRAME,
                end_sample: (segment.last_frame + 1) * SAMPLES_PER_DECODER_FRAME,
            })
            .collect();
        Ok(Recognition {
            text,
            confidence: Some(confidence),
            words,
        })
    }

    fn abandon(&mut self) {
        self.broken |= self.decoder.end().is_err();
    }

    fn is_usable(&self) -> bool {
        !self.broken && self.words.len() <= WORDS_MAX
    }
}

impl ChannelMean {
    fn towards(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|index| {
            let step = other.0[index] - self.0[index];
            self.0[index] + step.clamp(-MEAN_STEP_MAX, MEAN_STEP_MAX)
        }))
    }
}

impl CallerState {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<ChannelMean>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fillers are written in angle brackets, square brackets or pluses.
fn is_spoken(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphanumeric() || c == '\'')
}

/// `new(2)` is `new`.
fn base_word(word: &str) -> &str {
    word.split_once('(').map_or(word, |(base, _)| base)
}
