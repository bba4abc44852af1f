//! Short words that decide who has the floor, per language.

/// Word lists of one language, lower case.
#[derive(Clone, Copy, Debug)]
pub struct Lexicon {
    acknowledgements: &'static [&'static str],
    greetings: &'static [&'static str],
    stops: &'static [&'static str],
    affirmations: &'static [&'static str],
    negations: &'static [&'static str],
    hesitations: &'static [&'static str],
}

/// What a short text over the agent's speech amounts to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Utterance {
    /// No words.
    Nothing,
    /// Only words that keep the other one talking.
    Acknowledgement,
    /// At least one word that demands the floor.
    Stop,
    /// Other words, this many.
    Words(usize),
}

const ENGLISH: Lexicon = Lexicon {
    acknowledgements: &[
        "yeah", "yes", "yep", "yup", "ok", "okay", "mm", "mmm", "hmm", "hm", "mhm", "uh", "huh",
        "uhhuh", "mmhmm", "right", "sure", "alright", "aha", "ah", "oh", "good", "great", "fine",
        "cool", "i", "see", "got", "it", "thanks", "um",
    ],
    greetings: &["hello", "hi", "hey", "there"],
    stops: &[
        "stop", "wait", "no", "hold", "pause", "sorry", "excuse", "actually", "but", "cancel",
    ],
    affirmations: &[
        "yes", "yeah", "yep", "yup", "sure", "ok", "okay", "correct", "right", "please", "exactly",
        "true",
    ],
    negations: &["no", "nope", "nah", "not", "never", "wrong", "false"],
    hesitations: &[
        "um", "uh", "uhm", "er", "erm", "and", "or", "but", "so", "because", "the", "a", "an",
        "to", "of", "with", "for", "my", "is", "at", "in", "on", "if", "like", "well", "then",
        "that",
    ],
};

const HINDI: Lexicon = Lexicon {
    acknowledgements: &[
        "haan",
        "han",
        "haa",
        "ji",
        "accha",
        "acha",
        "theek",
        "thik",
        "hai",
        "hmm",
        "hm",
        "mm",
        "ok",
        "okay",
        "sahi",
        "yes",
        "हाँ",
        "हां",
        "जी",
        "अच्छा",
        "ठीक",
        "है",
        "हम्म",
        "सही",
    ],
    greetings: &["hello", "namaste", "हैलो", "हेलो", "नमस्ते"],
    stops: &[
        "ruko",
        "rukiye",
        "nahin",
        "nahi",
        "bas",
        "stop",
        "wait",
        "suniye",
        "suno",
        "रुको",
        "रुकिए",
        "नहीं",
        "बस",
        "सुनिए",
        "सुनो",
    ],
    affirmations: &[
        "haan",
        "han",
        "haa",
        "ji",
        "theek",
        "sahi",
        "yes",
        "ok",
        "हाँ",
        "हां",
        "जी",
        "ठीक",
        "सही",
    ],
    negations: &["nahin", "nahi", "na", "no", "नहीं", "ना", "मत"],
    hesitations: &[
        "aur",
        "ya",
        "lekin",
        "par",
        "matlab",
        "toh",
        "ki",
        "ka",
        "ke",
        "um",
        "uh",
        "और",
        "या",
        "लेकिन",
        "पर",
        "मतलब",
        "तो",
        "कि",
        "का",
        "के",
    ],
};

impl Lexicon {
    /// The lists for a BCP 47 tag; English where there are none.
    #[must_use]
    pub fn of(language: &str) -> Self {
        match language.split(['-', '_']).next() {
            Some("hi") => HINDI,
            _ => ENGLISH,
        }
    }

    /// Whether the lists are the English ones.
    #[must_use]
    pub fn is_english(&self) -> bool {
        std::ptr::eq(self.stops, ENGLISH.stops)
    }

    /// What `text`, said over the agent's speech, amounts to. `opening` while the agent's first
    /// sentence is under way: there a greeting only acknowledges.
    #[must_use]
    pub fn classify(&self, text: &str, opening: bool) -> Utterance {
        let mut count = 0;
        let mut only_acknowledged = true;
        let mut stop = false;
        for word in words(text) {
            count += 1;
            stop |= contains(self.stops, &word);
            only_acknowledged &= contains(self.acknowledgements, &word)
                || (opening && contains(self.greetings, &word));
        }
        match (count, stop, only_acknowledged) {
            (0, ..) => Utterance::Nothing,
            (_, true, _) => Utterance::Stop,
            (_, false, true) => Utterance::Acknowledgement,
            (_, false, false) => Utterance::Words(count),
        }
    }

    /// Whether `text` is a short yes or no.
    #[must_use]
    pub fn is_yes_or_no(&self, text: &str) -> bool {
        let mut count = 0;
        let mut found = false;
        for word in words(text) {
            count += 1;
            found |= contains(self.affirmations, &word) || contains(self.negations, &word);
        }
        found && count <= 4
    }

    /// Whether `text` breaks off in a filler or conjunction.
    #[must_use]
    pub fn breaks_off(&self, text: &str) -> bool {
        let text = text.trim_end();
        if text.ends_with(['-', ',', ':', '…']) || text.ends_with("...") {
            return true;
        }
        if text.ends_with(['.', '!', '?', '।', '。']) {
            return false;
        }
        words(text)
            .last()
            .is_some_and(|word| contains(self.hesitations, &word))
    }
}

/// Words of a text in lower case, without punctuation.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().filter_map(|word| {
        let word: String = word
            .chars()
            // Marks belong to the letters of Indic scripts and are not alphanumeric to `char`.
            .filter(|c| c.is_alphanumeric() || !c.is_ascii() && !is_punctuation(*c))
            .flat_map(char::to_lowercase)
            .collect();
        (!word.is_empty()).then_some(word)
    })
}

const fn is_punctuation(c: char) -> bool {
    matches!(
        c,
        '\u{2010}'..='\u{2027}' | '\u{3000}'..='\u{3003}' | '\u{0964}' | '\u{0965}' | '¿' | '¡'
    )
}

fn contains(list: &[&str], word: &str) -> bool {
    list.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_stops_and_words_are_told_apart() {
        let lexicon = Lexicon::of("en-US");
        assert_eq!(lexicon.classify("", false), Utterance::Nothing);
        assert_eq!(
            lexicon.classify("Mm-hmm, okay.", false),
            Utterance::Acknowledgement
        );
        assert_eq!(lexicon.classify("no wait", false), Utterance::Stop);
        assert_eq!(
            lexicon.classify("what about Tuesday", false),
            Utterance::Words(3)
        );
        assert_eq!(lexicon.classify("hello", false), Utterance::Words(1));
        assert_eq!(lexicon.classify("hello", true), Utterance::Acknowledgement);
        assert_eq!(
            Lexicon::of("hi-IN").classify("हाँ जी", false),
            Utterance::Acknowledgement
        );
    }

    #[test]
    fn fillers_conjunctions_and_open_punctuation_break_off() {
        let lexicon = Lexicon::of("en");
        for text in [
            "I would like to",
            "and",
            "my number is",
            "well,",
            "it was um",
        ] {
            assert!(lexicon.breaks_off(text), "{text}");
        }
        for text in ["book a table", "That is what it is for.", ""] {
            assert!(!lexicon.breaks_off(text), "{text}");
        }
    }
}
