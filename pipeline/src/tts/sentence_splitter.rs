//! Cuts a stream of text into chunks that can be spoken one by one.

use std::collections::VecDeque;

/// Words after which the first chunk may end at a clause.
const FIRST_CLAUSE_WORDS: usize = 3;
/// Words after which the first chunk ends at the next blank.
const FIRST_WORDS: usize = 10;
/// Words after which a long sentence may end at a clause.
const LATER_CLAUSE_WORDS: usize = 20;
/// Words after which a sentence without any pause ends at the next blank.
const LATER_WORDS: usize = 40;

const ABBREVIATIONS: &[&str] = &[
    "mr", "mrs", "ms", "dr", "prof", "sr", "jr", "st", "no", "vs", "etc", "approx", "dept", "est",
    "ext", "fig", "inc", "ltd", "co", "corp", "ave", "blvd", "rd", "jan", "feb", "mar", "apr",
    "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "rs", "e.g", "i.e", "a.m", "p.m",
    "u.s", "u.k", "tel", "smt", "shri",
];

/// Turns text deltas into speakable chunks: the first one short, so that speech begins early,
/// the later ones whole sentences. Numbers, abbreviations and addresses are never cut.
#[derive(Clone, Debug, Default)]
pub struct SentenceSplitter {
    pending: String,
    ready: VecDeque<String>,
    /// Whether a chunk has been cut already.
    begun: bool,
}

impl SentenceSplitter {
    /// A splitter at the start of an answer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes more text.
    pub fn push(&mut self, delta: &str) {
        self.pending.push_str(delta);
        while let Some(end) = self.cut() {
            let rest = self.pending.split_off(end);
            let chunk = std::mem::replace(&mut self.pending, rest);
            self.emit(&chunk);
        }
    }

    /// The answer is complete: what is left becomes the last chunk.
    pub fn finish(&mut self) {
        let chunk = std::mem::take(&mut self.pending);
        self.emit(&chunk);
    }

    /// The next chunk, if one is complete.
    pub fn pop(&mut self) -> Option<String> {
        self.ready.pop_front()
    }

    fn emit(&mut self, chunk: &str) {
        let chunk = chunk.split_whitespace().collect::<Vec<_>>().join(" ");
        // A chunk without a letter or digit gives no sound; a voice may refuse it.
        if chunk.chars().any(char::is_alphanumeric) {
            self.begun = true;
            self.ready.push_back(chunk);
        }
    }

    /// Where the pending text can be cut, as a byte offset behind the cut.
    fn cut(&self) -> Option<usize> {
        let (clause_words, max_words) = if self.begun {
            (LATER_CLAUSE_WORDS, LATER_WORDS)
        } else {
            (FIRST_CLAUSE_WORDS, FIRST_WORDS)
        };
        let text = self.pending.as_str();
        let mut words = 0;
        let mut word_start = None;
        for (at, c) in text.char_indices() {
            let behind = at + c.len_utf8();
            if matches!(c, '。' | '！' | '？') {
                return Some(behind);
            }
            if !c.is_whitespace() {
                word_start.get_or_insert(at);
                continue;
            }
            let Some(start) = word_start.take() else {
                if c == '\n' && words > 0 {
                    return Some(behind);
                }
                continue;
            };
            words += 1;
            let word = &text[start..at];
            let next = text[behind..].trim_start();
            if c == '\n' {
                return Some(behind);
            }
            // The next word decides whether a number goes on or a sentence begins.
            let following = next.chars().next()?;
            if ends_sentence(word, following) {
                return Some(behind);
            }
            let in_number = ends_in_digit(word) && following.is_ascii_digit();
            let clause = word.ends_with([',', ';', ':', '—', '–']);
            if !in_number && (words >= max_words || clause && words >= clause_words) {
                return Some(behind);
            }
        }
        None
    }
}

/// Whether `word`, followed by a blank and `following`, ends a sentence.
fn ends_sentence(word: &str, following: char) -> bool {
    let word = word.trim_end_matches(['"', '\'', ')', ']', '”', '’']);
    if word.ends_with(['!', '?', '।', '…']) {
        return true;
    }
    let Some(stem) = word.strip_suffix('.') else {
        return false;
    };
    if stem.ends_with('.') {
        // An ellipsis in the middle of a sentence goes on in lower case.
        return !following.is_lowercase();
    }
    let stem = stem.trim_start_matches(['"', '\'', '(', '[', '“', '‘']);
    let lower = stem.to_lowercase();
    let is_initial =
        stem.chars().count() == 1 && stem.chars().all(char::is_alphabetic) && stem != "I";
    // "No. 5" against "No. That is wrong."
    if lower == "no" {
        return !following.is_ascii_digit();
    }
    !(is_initial || ABBREVIATIONS.contains(&lower.as_str()) || following.is_lowercase())
}

fn ends_in_digit(word: &str) -> bool {
    word.trim_end_matches([',', '.', '-', ';', ':'])
        .ends_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(text: &str) -> Vec<String> {
        let mut splitter = SentenceSplitter::new();
        splitter.push(text);
        splitter.finish();
        std::iter::from_fn(|| splitter.pop()).collect()
    }

    #[test]
    fn the_first_chunk_is_a_clause_and_later_ones_are_sentences() {
        assert_eq!(
            split(
                "Sure, I can help with that, let me look. It opens at 9, then closes. Anything else?"
            ),
            [
                "Sure, I can help with that,",
                "let me look.",
                "It opens at 9, then closes.",
                "Anything else?"
            ]
        );
    }

    #[test]
    fn a_first_sentence_without_pause_is_cut_after_some_words() {
        let chunks = split("one two three four five six seven eight nine ten eleven twelve.");
        assert_eq!(
            chunks[0],
            "one two three four five six seven eight nine ten"
        );
        assert_eq!(chunks[1], "eleven twelve.");
    }

    #[test]
    fn numbers_abbreviations_and_addresses_stay_whole() {
        for text in [
            "Please call Dr. Smith at 3.5 percent.",
            "It is No. 5 at St. James.",
            "See www.example.com/a.b for more.",
            "The number is 555, 123, 4567 today.",
            "We meet at 5 p.m. today.",
        ] {
            let chunks = split(text);
            assert_eq!(chunks.join(" "), text);
            for broken in ["Dr.", "No.", "St.", "555,", "123,", "p.m."] {
                assert!(chunks.iter().all(|c| !c.ends_with(broken)), "{chunks:?}");
            }
        }
    }

    #[test]
    fn a_chunk_is_ready_as_soon_as_the_next_word_begins() {
        let mut splitter = SentenceSplitter::new();
        splitter.push("Hello there.");
        assert_eq!(splitter.pop(), None);
        splitter.push(" H");
        assert_eq!(splitter.pop().as_deref(), Some("Hello there."));
        splitter.push("ow are you?");
        splitter.finish();
        assert_eq!(splitter.pop().as_deref(), Some("How are you?"));
    }

    #[test]
    fn punctuation_alone_is_not_spoken() {
        assert!(split(" ... !").is_empty());
    }

    proptest! {
        #[test]
        fn words_survive_whatever_the_deltas(
            words in prop::collection::vec("[a-zA-Z0-9,.!?]{0,8}[a-z0-9]", 0..80),
            cuts in prop::collection::vec(1usize..9, 1..40),
        ) {
            let text = words.join(" ");
            let mut splitter = SentenceSplitter::new();
            let mut rest = text.as_str();
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() {
                let n = (*cuts.next().unwrap()).min(rest.len());
                splitter.push(&rest[..n]);
                rest = &rest[n..];
            }
            splitter.finish();
            let got: Vec<_> = std::iter::from_fn(|| splitter.pop()).collect();
            prop_assert_eq!(got.join(" "), text);
        }
    }
}
