//! Pronunciations of the words a grammar contains.
//!
//! Decoders in grammar mode are loaded without the dictionary, which would cost each of them
//! tens of megabytes; they are given just the words of their grammars from this one copy.

use std::fs;
use std::io;
use std::path::Path;

/// A pronouncing dictionary in the format of the CMU dictionary: one `word PHONE PHONE…` per
/// line, alternatives as `word(2)`.
#[derive(Debug)]
pub(crate) struct Lexicon {
    text: String,
    /// Offsets of lines, ordered by the word they begin with.
    lines: Vec<u32>,
}

impl Lexicon {
    pub(crate) fn load(path: &Path) -> io::Result<Self> {
        Ok(Self::new(fs::read_to_string(path)?))
    }

    fn new(text: String) -> Self {
        let mut lines = Vec::new();
        let mut offset = 0;
        for line in text.split_inclusive('\n') {
            if let Ok(start) = u32::try_from(offset)
                && !line.trim().is_empty()
            {
                lines.push(start);
            }
            offset += line.len();
        }
        lines.sort_by_key(|start| entry(&text, *start).0);
        Self { text, lines }
    }

    /// All pronunciations of `word`, the usual one first: from the dictionary, else made by
    /// rule. Empty when the word has no letters.
    pub(crate) fn pronunciations(&self, word: &str) -> Vec<String> {
        let mut found: Vec<String> = self.lookup(word).map(str::to_owned).into_iter().collect();
        if !found.is_empty() {
            found.extend(
                (2..10)
                    .map_while(|number| self.lookup(&format!("{word}({number})")))
                    .map(str::to_owned),
            );
            if word == "z" {
                // Outside North America the letter is "zed".
                found.push("Z EH D".to_owned());
            }
            return found;
        }
        let parts: Vec<Vec<String>> = word
            .split(|c: char| !c.is_ascii_alphabetic() && c != '\'')
            .filter(|part| !part.is_empty())
            .map(|part| match self.lookup(part) {
                Some(phones) => vec![phones.to_owned()],
                None => letter_to_sound(part).into_iter().collect(),
            })
            .collect();
        if parts.is_empty() || parts.iter().any(Vec::is_empty) || word.contains(char::is_numeric) {
            return Vec::new();
        }
        vec![parts.concat().join(" ")]
    }

    fn lookup(&self, word: &str) -> Option<&str> {
        let index = self
            .lines
            .binary_search_by_key(&word, |start| entry(&self.text, *start).0)
            .ok()?;
        Some(entry(&self.text, self.lines[index]).1)
    }
}

fn entry(text: &str, start: u32) -> (&str, &str) {
    let line = text[start as usize..].lines().next().unwrap_or_default();
    let (word, phones) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    (word, phones.trim())
}

/// Phones of an unknown word, from the rules of the embedded voice.
#[cfg(feature = "tts-flite")]
fn letter_to_sound(word: &str) -> Option<String> {
    super::flite_ffi::letter_to_sound(word).or_else(|| by_spelling(word))
}

#[cfg(not(feature = "tts-flite"))]
fn letter_to_sound(word: &str) -> Option<String> {
    by_spelling(word)
}

/// Phones of an unknown word by its spelling alone, longest pattern first. Rough, but names are
/// mostly spelled as they sound.
fn by_spelling(word: &str) -> Option<String> {
    const PATTERNS: [(&str, &str); 65] = [
        ("tion", "SH AH N"),
        ("sch", "SH"),
        ("igh", "AY"),
        ("aa", "AA"),
        ("ai", "EY"),
        ("au", "AO"),
        ("aw", "AO"),
        ("ay", "EY"),
        ("bh", "B"),
        ("ch", "CH"),
        ("ck", "K"),
        ("dh", "D"),
        ("ea", "IY"),
        ("ee", "IY"),
        ("ei", "EY"),
        ("er", "ER"),
        ("ew", "Y UW"),
        ("ey", "IY"),
        ("gh", "G"),
        ("ie", "IY"),
        ("ir", "ER"),
        ("jh", "JH"),
        ("kh", "K"),
        ("kn", "N"),
        ("ng", "NG"),
        ("oa", "OW"),
        ("oi", "OY"),
        ("oo", "UW"),
        ("ou", "AW"),
        ("ow", "OW"),
        ("oy", "OY"),
        ("ph", "F"),
        ("qu", "K W"),
        ("sh", "SH"),
        ("th", "TH"),
        ("ur", "ER"),
        ("wh", "W"),
        ("wr", "R"),
        ("zh", "ZH"),
        ("a", "AA"),
        ("b", "B"),
        ("c", "K"),
        ("d", "D"),
        ("e", "EH"),
        ("f", "F"),
        ("g", "G"),
        ("h", "HH"),
        ("i", "IH"),
        ("j", "JH"),
        ("k", "K"),
        ("l", "L"),
        ("m", "M"),
        ("n", "N"),
        ("o", "OW"),
        ("p", "P"),
        ("q", "K"),
        ("r", "R"),
        ("s", "S"),
        ("t", "T"),
        ("u", "UW"),
        ("v", "V"),
        ("w", "W"),
        ("x", "K S"),
        ("y", "IY"),
        ("z", "Z"),
    ];
    let word = word.to_ascii_lowercase();
    let mut rest = word.as_str();
    let mut phones: Vec<&str> = Vec::new();
    while let Some(first) = rest.chars().next() {
        match PATTERNS
            .iter()
            .find(|(pattern, _)| rest.starts_with(pattern))
        {
            Some((pattern, sound)) => {
                // A doubled consonant sounds once.
                if phones.last() != Some(sound) {
                    phones.push(sound);
                }
                rest = &rest[pattern.len()..];
            }
            None => rest = &rest[first.len_utf8()..],
        }
    }
    (!phones.is_empty()).then(|| phones.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lexicon() -> Lexicon {
        Lexicon::new(
            "a AH\na(2) EY\na's EY Z\nz Z IY\nnew N UW\nnew(2) N Y UW\ndelhi D EH L IY\n".into(),
        )
    }

    #[test]
    fn alternatives_come_with_the_word() {
        assert_eq!(lexicon().pronunciations("new"), ["N UW", "N Y UW"]);
        assert_eq!(lexicon().pronunciations("a"), ["AH", "EY"]);
        assert_eq!(lexicon().pronunciations("z"), ["Z IY", "Z EH D"]);
    }

    #[test]
    fn parts_of_a_compound_are_looked_up() {
        assert_eq!(lexicon().pronunciations("new-delhi"), ["N UW D EH L IY"]);
    }

    #[test]
    fn an_unknown_name_gets_phones_and_a_number_gets_none() {
        assert_eq!(
            by_spelling("Meenakshi").as_deref(),
            Some("M IY N AA K SH IH")
        );
        assert_eq!(by_spelling("Anna").as_deref(), Some("AA N AA"));
        let phones = lexicon().pronunciations("meenakshi");
        assert_eq!(phones.len(), 1);
        assert!(lexicon().pronunciations("42").is_empty());
        assert!(lexicon().pronunciations("b2b").is_empty());
        assert!(lexicon().pronunciations("--").is_empty());
    }
}
