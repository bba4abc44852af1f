//! The embedded recogniser: pocketsphinx, by grammar.
//!
//! It understands what the running question allows, told by [`RecognitionHints::grammar`].
//! Which search an utterance gets:
//!
//! 1. the hints' grammar, if it passes [`PocketsphinxRecogniser::check_grammar`];
//! 2. open dictation, if the hints have no grammar and [`PocketsphinxConfig::dictation`] is on;
//! 3. any of the hints' phrases, if there are some;
//! 4. a small built-in grammar: yes, no, and what callers say to an agent ("repeat", "help").
//!
//! A grammar that cannot be used is logged once, counted and replaced by the later steps; the
//! call goes on. An utterance that finds no capacity ends in an empty final text and is
//! counted ([`PoolStatistics::overloaded`]); the session is not failed, since the next
//! utterance may well find a free slot.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use media::frame::SamplePosition;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::band_fill::{BandFill, BandFillMode};
use super::grammar::{CheckedGrammar, GrammarError};
use super::lexicon::Lexicon;
use super::pocketsphinx_decoder::{
    CallerState, PocketsphinxDecoder, Recognition, Search, Task, WordPronunciations,
};
use super::recogniser_pool::{
    Outcome, PoolCounters, PoolStatistics, RecogniserPool, UtteranceHandle,
};
use crate::provider_error::ProviderError;
use crate::stt::{
    RecognisedWord, RecognitionHints, SpeechToText, SttCommand, SttEvent, SttRequest, SttStream,
    UtteranceId,
};

/// Commands a session holds: 2 s of frames. Full-policy: the sender waits.
const COMMANDS_MAX: usize = 100;
/// Events a session holds. Full-policy: partials are dropped, finals wait.
const EVENTS_MAX: usize = 32;
/// Grammars kept ready across calls. Full-policy: the oldest is forgotten.
const SEARCHES_MAX: usize = 256;

/// What callers may say when nothing better is known.
const COMMON_ANSWERS: &str = "public <common> = yes | yeah | yep | sure | okay | correct | right \
     | no | nope | not now | wrong | hello | repeat | [please] repeat that | say that again \
     | help | operator | wait | hold on | one moment | stop | cancel | goodbye | bye \
     | thanks | thank you | nothing | that's all;";

/// Settings of the embedded recogniser.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PocketsphinxConfig {
    /// Folder with `en-us/` (acoustic model), `cmudict-en-us.dict` and `en-us.lm.bin`.
    pub model_dir: PathBuf,
    /// Most decoders, that is, callers who can be decoded at the same time.
    pub slots_max: NonZeroUsize,
    /// Most utterances that wait for a decoder; more are given up as overloaded.
    pub waiting_max: usize,
    /// Worker threads; `None` for one per core, never more than slots.
    pub threads: Option<NonZeroUsize>,
    /// Whether utterances without a grammar are decoded as free speech: slow, large, and on the
    /// telephone mostly wrong.
    pub dictation: bool,
    /// When the empty band above 4 kHz of telephone audio is filled.
    pub band_fill: BandFillMode,
    /// Level of the filling against the speech, in dB.
    pub band_fill_gain_db: f32,
}

impl Default for PocketsphinxConfig {
    fn default() -> Self {
        Self {
            model_dir: PathBuf::from("/usr/share/pocketsphinx/model/en-us"),
            slots_max: NonZeroUsize::new(4).expect("four is not zero"),
            waiting_max: 64,
            threads: None,
            dictation: false,
            band_fill: BandFillMode::Auto,
            band_fill_gain_db: -9.0,
        }
    }
}

/// The embedded recogniser; one per process serves all calls.
pub struct PocketsphinxRecogniser {
    engine: Arc<Engine>,
}

struct Engine {
    config: PocketsphinxConfig,
    pool: RecogniserPool<PocketsphinxDecoder>,
    lexicon: Lexicon,
    searches: Mutex<SearchCache>,
    grammars_refused: AtomicU64,
}

#[derive(Default)]
struct SearchCache {
    by_source: HashMap<Arc<str>, Arc<Search>>,
    order: VecDeque<Arc<str>>,
}

impl std::fmt::Debug for PocketsphinxRecogniser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PocketsphinxRecogniser")
            .field("config", &self.engine.config)
            .field("statistics", &self.statistics())
            .finish()
    }
}

impl PocketsphinxRecogniser {
    /// Loads the model and one decoder (blocks for some tenths of a second); further decoders
    /// are made when callers speak at the same time.
    ///
    /// # Errors
    /// [`ProviderError::Unavailable`] when the model is not there or cannot be loaded.
    pub fn new(config: PocketsphinxConfig) -> Result<Self, ProviderError> {
        check_model(&config)?;
        let dictionary = config.model_dir.join("cmudict-en-us.dict");
        let lexicon = Lexicon::load(&dictionary).map_err(|error| {
            ProviderError::Unavailable(format!("{}: {error}", dictionary.display()))
        })?;
        let model_dir = config.model_dir.clone();
        let dictation = config.dictation;
        let make = move || PocketsphinxDecoder::new(&model_dir, dictation);
        let first = make().map_err(ProviderError::Unavailable)?;
        let threads = config
            .threads
            .or_else(|| std::thread::available_parallelism().ok())
            .map_or(1, NonZeroUsize::get);
        let pool = RecogniserPool::new(
            "pocketsphinx",
            first,
            Box::new(make),
            config.slots_max.get(),
            config.waiting_max,
            threads,
        )
        .map_err(|error| ProviderError::Unavailable(format!("worker threads: {error}")))?;
        Ok(Self {
            engine: Arc::new(Engine {
                config,
                pool,
                lexicon,
                searches: Mutex::default(),
                grammars_refused: AtomicU64::new(0),
            }),
        })
    }

    /// Whether `grammar` can be used: checks its syntax, size and words. For the place where
    /// grammars are written.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_grammar(&self, grammar: &str) -> Result<(), GrammarError> {
        self.engine.grammar_search(grammar).map(drop)
    }

    /// The pool's counters now.
    #[must_use]
    pub fn statistics(&self) -> PoolStatistics {
        self.engine.pool.counters().read()
    }

    /// The pool's counters, to be read at any time.
    #[must_use]
    pub fn counters(&self) -> Arc<PoolCounters> {
        self.engine.pool.counters()
    }

    /// Grammars that could not be used so far, each time one was met.
    #[must_use]
    pub fn grammars_refused(&self) -> u64 {
        self.engine.grammars_refused.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl SpeechToText for PocketsphinxRecogniser {
    fn name(&self) -> &str {
        "pocketsphinx"
    }

    async fn open(&self, request: SttRequest) -> Result<SttStream, ProviderError> {
        let language = request.language.to_ascii_lowercase();
        if !language.is_empty() && language != "en" && !language.starts_with("en-") {
            return Err(ProviderError::Rejected(format!(
                "language {} is not English",
                request.language
            )));
        }
        let (commands, commands_in) = mpsc::channel(COMMANDS_MAX);
        let (events_out, events) = mpsc::channel(EVENTS_MAX);
        let session = Session {
            band_fill: BandFill::new(
                self.engine.config.band_fill,
                self.engine.config.band_fill_gain_db,
            ),
            search: self.engine.search(&request.hints),
            caller: CallerState::default(),
            engine: Arc::clone(&self.engine),
            running: None,
            events: events_out,
        };
        tokio::spawn(session.run(commands_in));
        Ok(SttStream { commands, events })
    }
}

fn check_model(config: &PocketsphinxConfig) -> Result<(), ProviderError> {
    // The library ends the process on some broken models, so what is missing is found first.
    let mut needed = vec![
        "cmudict-en-us.dict",
        "en-us/mdef",
        "en-us/means",
        "en-us/variances",
        "en-us/transition_matrices",
        "en-us/feat.params",
        "en-us/noisedict",
    ];
    if config.dictation {
        needed.push("en-us.lm.bin");
    }
    for leaf in needed {
        let path = config.model_dir.join(leaf);
        if !Path::is_file(&path) {
            return Err(ProviderError::Unavailable(format!(
                "{} is not there",
                path.display()
            )));
        }
    }
    Ok(())
}

impl Engine {
    /// The search for `hints`, by the order in the module's description.
    fn search(&self, hints: &RecognitionHints) -> Arc<Search> {
        if let Some(grammar) = &hints.grammar {
            match self.grammar_search(grammar) {
                Ok(search) => return search,
                Err(error) => {
                    self.grammars_refused.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, "grammar cannot be used");
                }
            }
        } else if self.config.dictation {
            return Arc::new(Search::Dictation);
        }
        let phrases = phrase_grammar(&hints.phrases);
        phrases
            .and_then(|grammar| self.grammar_search(&grammar).ok())
            .or_else(|| self.grammar_search(COMMON_ANSWERS).ok())
            .expect("the built-in grammar is checked by a test")
    }

    fn grammar_search(&self, source: &str) -> Result<Arc<Search>, GrammarError> {
        let lock = || self.searches.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(search) = lock().by_source.get(source) {
            return Ok(Arc::clone(search));
        }
        let grammar = CheckedGrammar::parse(source)?;
        let mut words = Vec::with_capacity(grammar.words().len());
        for word in grammar.words() {
            let pronunciations = self.lexicon.pronunciations(word);
            if pronunciations.is_empty() {
                return Err(GrammarError::Word(word.clone()));
            }
            words.push(WordPronunciations {
                word: word.clone(),
                pronunciations,
            });
        }
        let search = Arc::new(Search::Grammar {
            name: format!("{:016x}", grammar.key()),
            text: grammar.text().to_owned(),
            words,
        });
        let mut cache = lock();
        let source: Arc<str> = Arc::from(source);
        if cache
            .by_source
            .insert(Arc::clone(&source), Arc::clone(&search))
            .is_none()
        {
            cache.order.push_back(source);
        }
        if cache.order.len() > SEARCHES_MAX
            && let Some(oldest) = cache.order.pop_front()
        {
            cache.by_source.remove(&oldest);
        }
        Ok(search)
    }
}

/// Any one of `phrases`; letters and digits other than plain words are left out.
fn phrase_grammar(phrases: &[String]) -> Option<String> {
    let alternatives: Vec<String> = phrases
        .iter()
        .map(|phrase| {
            phrase
                .split(|c: char| !c.is_alphabetic() && c != '\'' && c != '-')
                .filter(|word| word.contains(char::is_alphabetic))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .filter(|phrase| !phrase.is_empty())
        .collect();
    (!alternatives.is_empty()).then(|| format!("public <phrase> = {};", alternatives.join(" | ")))
}

/// One call's session: takes commands, keeps what is known of the caller, passes audio on.
struct Session {
    engine: Arc<Engine>,
    search: Arc<Search>,
    caller: CallerState,
    band_fill: BandFill,
    running: Option<Running>,
    events: mpsc::Sender<SttEvent>,
}

struct Running {
    id: UtteranceId,
    start: SamplePosition,
    handle: UtteranceHandle<PocketsphinxDecoder>,
}

impl Session {
    async fn run(mut self, mut commands: mpsc::Receiver<SttCommand>) {
        let mut finishing = FuturesOrdered::new();
        loop {
            let command = tokio::select! {
                biased;
                Some((id, start, outcome)) = finishing.next() => {
                    if !self.report(id, start, outcome).await {
                        return;
                    }
                    continue;
                }
                () = self.events.closed() => return,
                command = commands.recv() => command,
            };
            match command {
                None => return,
                Some(SttCommand::Start {
                    utterance,
                    position,
                }) => self.start(utterance, position),
                Some(SttCommand::Audio(mut frame)) => {
                    if let Some(running) = &self.running {
                        self.band_fill.process(&mut frame.samples);
                        running.handle.push(&frame.samples);
                    }
                }
                Some(SttCommand::Finish { utterance }) => match self.take(utterance) {
                    Some(running) => {
                        let start = running.start;
                        let outcome = running.handle.finish();
                        finishing.push_back(async move { (utterance, start, outcome.await.ok()) });
                    }
                    None => tracing::debug!(utterance = utterance.0, "finish of no utterance"),
                },
                Some(SttCommand::Cancel { utterance }) => drop(self.take(utterance)),
                Some(SttCommand::Hints(hints)) => self.search = self.engine.search(&hints),
            }
        }
    }

    fn start(&mut self, id: UtteranceId, position: SamplePosition) {
        let events = self.events.clone();
        let handle = self.engine.pool.start(
            Task {
                search: Arc::clone(&self.search),
                caller: self.caller.clone(),
                band_filled: self.band_fill.is_filling(),
            },
            Box::new(move |text| {
                // A full queue drops the partial: the next one replaces it anyway.
                let _ = events.try_send(SttEvent::Partial {
                    utterance: id,
                    text,
                });
            }),
        );
        // An utterance that was neither finished nor cancelled is cancelled by the next one.
        self.running = Some(Running {
            id,
            start: position,
            handle,
        });
    }

    fn take(&mut self, id: UtteranceId) -> Option<Running> {
        self.running.take_if(|running| running.id == id)
    }

    /// Sends the final event; `false` ends the session.
    async fn report(
        &self,
        utterance: UtteranceId,
        start: SamplePosition,
        outcome: Option<Outcome<Recognition>>,
    ) -> bool {
        let mut recognition = Recognition::default();
        match outcome {
            Some(Outcome::Recognised(result)) => recognition = result,
            Some(Outcome::Overloaded) => {
                tracing::warn!("no recogniser capacity for an utterance");
            }
            Some(Outcome::Failed(message)) => {
                tracing::warn!(message, "recogniser failed in an utterance");
            }
            None => tracing::error!("recogniser worker broke down in an utterance"),
            Some(Outcome::Broken(message)) => {
                let fault = SttEvent::Fault {
                    retryable: true,
                    message,
                };
                let _ = self.events.send(fault).await;
                return false;
            }
        }
        let words = recognition
            .words
            .into_iter()
            .map(|word| RecognisedWord {
                text: word.text,
                start: start.plus(word.first_sample),
                end: start.plus(word.end_sample),
            })
            .collect();
        let event = SttEvent::Final {
            utterance,
            text: recognition.text,
            confidence: recognition.confidence,
            words,
        };
        self.events.send(event).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_grammar_passes_the_check() {
        let grammar = CheckedGrammar::parse(COMMON_ANSWERS).unwrap();
        assert!(grammar.words().contains("goodbye"));
    }

    #[test]
    fn phrases_become_alternatives_of_plain_words() {
        let phrases = [
            "Billing, please!".into(),
            "24/7".into(),
            "it's urgent".into(),
        ];
        assert_eq!(
            phrase_grammar(&phrases).as_deref(),
            Some("public <phrase> = Billing please | it's urgent;")
        );
        assert_eq!(phrase_grammar(&["?".into()]), None);
    }

    #[test]
    fn settings_have_defaults_and_refuse_unknown_keys() {
        let config: PocketsphinxConfig = toml::from_str("slots_max = 2").unwrap();
        assert_eq!(config.slots_max.get(), 2);
        assert_eq!(config.waiting_max, 64);
        assert!(toml::from_str::<PocketsphinxConfig>("slots = 2").is_err());
        assert!(toml::from_str::<PocketsphinxConfig>("slots_max = 0").is_err());
    }
}
