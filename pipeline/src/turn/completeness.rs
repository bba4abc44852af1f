//! How complete a text is, by the words it ends and begins with.
//!
//! A list of words knows no grammar, but it knows what a sentence cannot end in: articles,
//! prepositions, conjunctions, possessives, verbs that want an object, the first half of a fixed
//! phrase. It also knows what has no verb yet.

use crate::turn::lexicon::{Lexicon, words};

/// What a text says about its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completeness {
    /// No words yet.
    Unknown,
    /// It breaks off: more must come.
    Open,
    /// It could end here, but lacks something.
    Thin,
    /// It could end here.
    Whole,
    /// It is marked as ended, by punctuation or as a whole answer.
    Ended,
}

/// Words that something must follow.
const DANGLING: &[&str] = &[
    // articles, determiners, possessives
    "a",
    "an",
    "the",
    "my",
    "your",
    "our",
    "their",
    "his",
    "this",
    "these",
    "those",
    "some",
    "any",
    "every",
    "each",
    "both",
    "another",
    "which",
    "whose",
    "no",
    "its",
    // prepositions
    "of",
    "to",
    "for",
    "from",
    "with",
    "at",
    "in",
    "on",
    "by",
    "about",
    "into",
    "between",
    "under",
    "without",
    "before",
    "after",
    "since",
    "until",
    "during",
    "near",
    "behind",
    "around",
    "than",
    "as",
    "per",
    "via",
    "towards",
    // conjunctions and relatives
    "and",
    "or",
    "but",
    "because",
    "so",
    "if",
    "whether",
    "when",
    "while",
    "although",
    "though",
    "unless",
    "that",
    "who",
    "where",
    "why",
    "how",
    "what",
    "then",
    // auxiliaries, copulas
    "is",
    "are",
    "was",
    "were",
    "am",
    "be",
    "been",
    "has",
    "have",
    "had",
    "do",
    "does",
    "did",
    "will",
    "would",
    "can",
    "could",
    "should",
    "shall",
    "might",
    "must",
    "im",
    "ive",
    "id",
    "ill",
    "its",
    "dont",
    "doesnt",
    "cant",
    "isnt",
    "wont",
    "not",
    // pronouns as subjects
    "i",
    "we",
    "they",
    "he",
    "she",
    // verbs that want an object
    "need",
    "want",
    "like",
    "book",
    "change",
    "send",
    "tell",
    "ask",
    "get",
    "make",
    "give",
    "bring",
    "buy",
    "bought",
    "order",
    "pay",
    "cancel",
    "move",
    "visit",
    "check",
    "know",
    "think",
    "wanted",
    "needed",
    "said",
    "told",
    "called",
    "calling",
    "moved",
    "looking",
    "speak",
    "talk",
    "find",
    "take",
    "put",
    "accept",
    "repair",
    "trying",
    "tried",
    "going",
    "prefer",
    "register",
    "went",
    "makes",
    "leaves",
    // fillers
    "um",
    "uh",
    "uhm",
    "er",
    "erm",
    "hmm",
    "well",
    "like",
    "actually",
    "basically",
    "also",
    "very",
    "next",
    "new",
    "old",
    "large",
    "small",
    "older",
    "larger",
    "whole",
    "quite",
    "really",
    "just",
    "only",
    "even",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "twenty",
    "thirty",
    "forty",
    "fifty",
    "hundred",
    "one",
    "half",
    "dot",
];

/// Verbs without which a text of several words is thin.
const VERBS: &[&str] = &[
    "is", "are", "was", "were", "am", "be", "have", "has", "had", "do", "does", "did", "can",
    "could", "will", "would", "should", "need", "want", "like", "book", "change", "cancel", "send",
    "tell", "call", "called", "calling", "get", "got", "make", "give", "bought", "buy", "order",
    "pay", "paid", "move", "moved", "came", "come", "think", "know", "said", "told", "lost",
    "forgot", "arrive", "arrived", "cost", "costs", "open", "works", "work", "wanted", "prefer",
    "please", "thank", "thanks", "leaves", "leave", "says", "starts", "looking", "speak", "charge",
    "im", "ive", "id", "its", "repeat", "deliver", "happened", "broke", "stopped", "means", "ends",
];

/// First words of clauses that lean on another one.
const SUBORDINATE: &[&str] = &[
    "because", "if", "since", "although", "while", "before", "after",
];

/// How complete `text` is in the language of `lexicon`.
#[must_use]
pub fn judge(text: &str, lexicon: &Lexicon) -> Completeness {
    let text = text.trim_end();
    let all: Vec<String> = words(text).collect();
    let Some(last) = all.last() else {
        return Completeness::Unknown;
    };
    if text.ends_with(['.', '!', '?', '।', '。']) && !text.ends_with("...") {
        return Completeness::Ended;
    }
    if lexicon.breaks_off(text) {
        return Completeness::Open;
    }
    if !lexicon.is_english() {
        return Completeness::Whole;
    }
    let dangling = DANGLING.contains(&last.as_str());
    // "Two", said alone, answers; behind other words it counts something.
    if dangling && all.len() > 1 {
        return Completeness::Open;
    }
    let has_verb = all.iter().any(|w| VERBS.contains(&w.as_str()));
    let leans = SUBORDINATE.contains(&all[0].as_str()) && all.len() < 8;
    if leans || (!has_verb && (2..=6).contains(&all.len())) {
        return Completeness::Thin;
    }
    Completeness::Whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_texts_are_told_apart() {
        use Completeness::{Ended, Open, Thin, Unknown, Whole};
        let judge = |text| judge(text, &Lexicon::of("en"));
        assert_eq!(judge(""), Unknown);
        assert_eq!(judge("I need a taxi."), Ended);
        assert_eq!(judge("I need a taxi"), Whole);
        for text in [
            "i would like to",
            "for four people on",
            "my name is",
            "so",
            "we are two",
            "um",
        ] {
            assert_eq!(judge(text), Open, "{text}");
        }
        for text in ["my daughter", "the delivery", "because my flight leaves"] {
            assert!(matches!(judge(text), Thin | Open), "{text}");
        }
        assert_eq!(judge("two"), Whole);
    }
}
