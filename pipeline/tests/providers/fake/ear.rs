//! Hears words in PCM: a word is a stretch of constant level, `level * 1000` standing for the
//! word with that number. What a fake recogniser says was therefore really in the audio it got.

use serde_json::{Value, json};

/// Words by level, from 1.
pub(crate) const WORDS: [&str; 10] = [
    "hello", "i", "would", "like", "a", "table", "for", "two", "tonight", "please",
];
/// Shortest stretch that is a word, in blocks of 10 ms.
const WORD_MIN: usize = 5;
/// Silence after which a turn is probably over, and is over, in blocks.
const EAGER: usize = 25;
const END: usize = 50;

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Word {
    pub(crate) text: &'static str,
    pub(crate) start_ms: usize,
    pub(crate) end_ms: usize,
}

/// What has been noticed since the last look.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Noticed {
    Interim(Vec<Word>),
    Eager(Vec<Word>),
    Resumed(Vec<Word>),
    End(Vec<Word>),
}

pub(crate) struct Ear {
    /// Samples in a block of 10 ms.
    block: usize,
    odd: Option<u8>,
    samples: Vec<i16>,
    levels: Vec<usize>,
    /// Blocks that belong to turns that are over.
    done: usize,
    words: usize,
    eager: bool,
}

impl Ear {
    pub(crate) fn new(rate: usize) -> Self {
        Self {
            block: rate / 100,
            odd: None,
            samples: Vec::new(),
            levels: Vec::new(),
            done: 0,
            words: 0,
            eager: false,
        }
    }

    pub(crate) fn ms(&self) -> usize {
        self.levels.len() * 10
    }

    /// Takes 16-bit little-endian PCM, cut anywhere.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match self.odd.take() {
                None => self.odd = Some(byte),
                Some(low) => self.samples.push(i16::from_le_bytes([low, byte])),
            }
            if self.samples.len() == self.block {
                let sum: i64 = self.samples.drain(..).map(i64::from).sum();
                let mean = sum / i64::try_from(self.block).unwrap();
                self.levels
                    .push(usize::try_from((mean + 500).max(0) / 1000).unwrap());
            }
        }
    }

    /// Words of the running turn, the last one perhaps unfinished.
    pub(crate) fn heard(&self) -> Vec<Word> {
        let mut words = Vec::new();
        let mut at = self.done;
        while at < self.levels.len() {
            let level = self.levels[at];
            let run = self.levels[at..]
                .iter()
                .take_while(|l| **l == level)
                .count();
            if level > 0 && run >= WORD_MIN {
                words.push(Word {
                    text: WORDS[(level - 1).min(WORDS.len() - 1)],
                    start_ms: at * 10,
                    end_ms: (at + run) * 10,
                });
            }
            at += run;
        }
        words
    }

    fn silence(&self) -> usize {
        self.levels.iter().rev().take_while(|l| **l == 0).count()
    }

    /// What is new since the last look.
    pub(crate) fn notice(&mut self) -> Option<Noticed> {
        let words = self.heard();
        if words.is_empty() {
            return None;
        }
        let silence = self.silence();
        if silence >= END {
            return Some(Noticed::End(self.end()));
        }
        if silence >= EAGER && !self.eager {
            self.eager = true;
            return Some(Noticed::Eager(words));
        }
        if words.len() != self.words {
            self.words = words.len();
            if std::mem::take(&mut self.eager) {
                return Some(Noticed::Resumed(words));
            }
            return Some(Noticed::Interim(words));
        }
        None
    }

    /// Takes an end back: the turn goes on.
    pub(crate) fn keep(&mut self, words: &[Word]) {
        self.done = words.first().map_or(self.done, |word| word.start_ms / 10);
        self.words = words.len();
        self.eager = true;
    }

    /// Ends the turn and gives its words.
    pub(crate) fn end(&mut self) -> Vec<Word> {
        let words = self.heard();
        self.done = self.levels.len();
        self.words = 0;
        self.eager = false;
        words
    }
}

pub(crate) fn text(words: &[Word]) -> String {
    let words: Vec<&str> = words.iter().map(|word| word.text).collect();
    words.join(" ")
}

/// Words as JSON with this field for the text and times in these units per ms.
pub(crate) fn listed(words: &[Word], key: &str, seconds: bool) -> Value {
    let time = |ms: usize| {
        if seconds {
            json!(ms as f64 / 1e3)
        } else {
            json!(ms)
        }
    };
    words
        .iter()
        .map(|word| {
            json!({
                key: word.text,
                "start": time(word.start_ms),
                "end": time(word.end_ms),
                "confidence": 0.9,
                "word_is_final": true,
            })
        })
        .collect()
}
