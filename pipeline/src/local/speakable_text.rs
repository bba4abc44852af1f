//! Rewrites text so that flite says it as a caller expects, keeping track of what came from where.
//!
//! flite reads most numbers, times and abbreviations well. What it gets wrong on the telephone
//! is put right here: long numbers (digit by digit, not billions), digit groups of telephone
//! numbers, dates with slashes or hyphens, midnight (which it leaves out), Indian digit
//! grouping, rupees, euros and pounds, addresses, and characters outside ASCII.

use std::ops::Range;

use super::transliteration::ascii_letters;

/// ASCII text for the voice, and the words of the source each part of it stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SpeakableText {
    pub(crate) text: String,
    /// Parts in order: where a part ends in `text`, and the byte range of its source word.
    parts: Vec<(usize, Range<usize>)>,
}

/// A whitespace-delimited word of the source without punctuation at its ends.
struct Word<'a> {
    before: &'a str,
    core: &'a str,
    after: &'a str,
    range: Range<usize>,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A run of this many digits is a number to be copied down, not a quantity.
const COPIED_DIGITS_MIN: usize = 7;

impl SpeakableText {
    /// Rewrites `source`; `language` decides between day-first and month-first dates.
    pub(crate) fn new(source: &str, language: &str) -> Self {
        let month_first = language.eq_ignore_ascii_case("en-us");
        let words: Vec<Word<'_>> = words(source).collect();
        let mut out = Self {
            text: String::with_capacity(source.len() + 16),
            parts: Vec::with_capacity(words.len()),
        };
        let mut index = 0;
        while index < words.len() {
            let group = telephone_group(&words[index..]);
            if group > 0 {
                for word in &words[index..index + group] {
                    out.push(word, &copied_digits(word.core), ",");
                }
                index += group;
                continue;
            }
            let word = &words[index];
            // "Rs. 500" is said "500 rupees".
            if matches!(word.core, "Rs" | "Rs." | "INR" | "\u{20b9}")
                && let Some(amount) = words.get(index + 1)
                && amount.core.starts_with(|c: char| c.is_ascii_digit())
            {
                out.push(word, "", "");
                let said = format!("{} rupees", regrouped(amount.core));
                out.push(amount, &said, amount.after);
                index += 2;
                continue;
            }
            let said = rewritten(word.core, month_first);
            out.push(word, &said, word.after);
            index += 1;
        }
        out
    }

    /// Whether there is anything to say.
    pub(crate) fn is_silent(&self) -> bool {
        !self.text.contains(|c: char| c.is_ascii_alphanumeric())
    }

    /// Source word at byte `at` of the rewritten text.
    pub(crate) fn source_word(&self, at: usize) -> Option<Range<usize>> {
        let index = self.parts.partition_point(|(end, _)| *end <= at);
        self.parts.get(index).map(|(_, range)| range.clone())
    }

    fn push(&mut self, word: &Word<'_>, said: &str, after: &str) {
        // Without a core (punctuation alone, or a unit that moved) only what follows is kept.
        let before = if word.core.is_empty() || !said.is_empty() {
            word.before
        } else {
            ""
        };
        self.text.extend(plain(before));
        self.text.extend(plain(said));
        self.text.extend(plain(after));
        self.text.push(' ');
        self.parts.push((self.text.len(), word.range.clone()));
    }
}

fn words(source: &str) -> impl Iterator<Item = Word<'_>> {
    source.split_whitespace().map(move |word| {
        let inner = |c: char| c.is_alphanumeric() || "+$#\u{20b9}\u{20ac}\u{a3}%'".contains(c);
        let base = word.as_ptr() as usize - source.as_ptr() as usize;
        let start = word.find(inner).unwrap_or(word.len());
        let end = word.rfind(inner).map_or(start, |at| {
            at + word[at..].chars().next().map_or(0, char::len_utf8)
        });
        // A word of punctuation alone keeps its place.
        let range = if start < end {
            base + start..base + end
        } else {
            base..base + word.len()
        };
        Word {
            before: &word[..start],
            core: &word[start..end],
            after: &word[end..],
            range,
        }
    })
}

/// How many words from the first on form one telephone number: groups of digits, at least two,
/// or one long one, with [`COPIED_DIGITS_MIN`] digits together.
fn telephone_group(words: &[Word<'_>]) -> usize {
    let mut digits = 0;
    let mut count = 0;
    for word in words {
        let bare = word.core.strip_prefix('+').unwrap_or(word.core);
        let is_group = bare.starts_with(|c: char| c.is_ascii_digit())
            && bare
                .chars()
                .all(|c| c.is_ascii_digit() || matches!(c, '-' | '(' | ')' | '.'))
            && date(bare, true).is_none();
        // A decimal fraction is a quantity.
        let is_fraction = bare.matches('.').count() == 1 && !bare.contains('-');
        if !is_group || is_fraction || (count > 0 && word.core.starts_with('+')) {
            break;
        }
        digits += bare.bytes().filter(u8::is_ascii_digit).count();
        count += 1;
        if word.after.contains([',', ';', '.', '!', '?', ':']) {
            break;
        }
    }
    if digits >= COPIED_DIGITS_MIN || (count == 1 && words[0].core.starts_with('+')) {
        count
    } else {
        0
    }
}

/// "98-76" becomes "9 8, 7 6".
fn copied_digits(group: &str) -> String {
    let mut said = String::new();
    for c in group.chars() {
        match c {
            '0'..='9' => {
                said.push(c);
                said.push(' ');
            }
            '+' => said.push_str("plus "),
            _ => {
                let kept = said.trim_end_matches([' ', ',']).len();
                said.truncate(kept);
                if !said.is_empty() {
                    said.push_str(", ");
                }
            }
        }
    }
    said.trim_end().to_owned()
}

fn rewritten(word: &str, month_first: bool) -> String {
    if let Some(said) = date(word, month_first).or_else(|| clock(word)) {
        return said;
    }
    for (sign, unit) in [
        ('\u{20b9}', "rupees"),
        ('\u{20ac}', "euros"),
        ('\u{a3}', "pounds"),
    ] {
        if let Some(amount) = word.strip_prefix(sign).or_else(|| word.strip_suffix(sign))
            && amount.starts_with(|c: char| c.is_ascii_digit())
        {
            return format!("{} {unit}", regrouped(amount));
        }
    }
    if let Some(number) = word.strip_prefix('#')
        && number.starts_with(|c: char| c.is_ascii_digit())
    {
        return format!("number {number}");
    }
    if word.starts_with("http://") || word.starts_with("https://") || word.contains('@') {
        let address = word
            .trim_start_matches("https://")
            .trim_start_matches("http://");
        return address
            .replace('@', " at ")
            .replace('.', " dot ")
            .replace('/', " slash ");
    }
    if word == "Ms" {
        return "Miz".to_owned();
    }
    regrouped(word)
}

/// "12,50,000" becomes "1,250,000": flite knows only groups of three.
fn regrouped(number: &str) -> String {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let irregular = whole.contains(',')
        && whole.bytes().all(|b| b.is_ascii_digit() || b == b',')
        && whole.rsplit(',').skip(1).any(|group| group.len() == 2);
    if !irregular {
        return number.to_owned();
    }
    let digits: Vec<u8> = whole.bytes().filter(u8::is_ascii_digit).collect();
    let mut said = String::new();
    for (index, digit) in digits.iter().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            said.push(',');
        }
        said.push(char::from(*digit));
    }
    if !fraction.is_empty() {
        said.push('.');
        said.push_str(fraction);
    }
    said
}

/// "2026-05-17", "17/05/2026" and the like.
fn date(word: &str, month_first: bool) -> Option<String> {
    let separator = if word.contains('/') { '/' } else { '-' };
    let mut fields = word.split(separator);
    let (a, b, c) = (fields.next()?, fields.next()?, fields.next()?);
    let all_digits = [a, b, c]
        .iter()
        .all(|field| !field.is_empty() && field.bytes().all(|b| b.is_ascii_digit()));
    if fields.next().is_some() || !all_digits {
        return None;
    }
    let (year, month, day) = match (a.len(), b.len(), c.len()) {
        (4, 1..=2, 1..=2) => (a, b, c),
        (1..=2, 1..=2, 4) => {
            let (first, second): (u32, u32) = (a.parse().ok()?, b.parse().ok()?);
            if (month_first && first <= 12) || second > 12 {
                (c, a, b)
            } else {
                (c, b, a)
            }
        }
        _ => return None,
    };
    let month: usize = month.parse().ok()?;
    let day: u32 = day.parse().ok()?;
    let name = MONTHS.get(month.checked_sub(1)?)?;
    (1..=31)
        .contains(&day)
        .then(|| format!("{name} {day}, {year}"))
}

/// Times of the first hour, of which flite drops the zero.
fn clock(word: &str) -> Option<String> {
    let (hour, minute) = word.split_once(':')?;
    if !matches!(hour, "0" | "00") || minute.len() != 2 {
        return None;
    }
    let value: u32 = minute.parse().ok()?;
    match value {
        0 => Some("midnight".to_owned()),
        1..=59 => Some(format!("12:{minute} A M")),
        _ => None,
    }
}

/// ASCII for flite; control characters vanish.
fn plain(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(|c| {
        let c = match c {
            '\u{2018}' | '\u{2019}' | '\u{2bc}' => '\'',
            '\u{201c}' | '\u{201d}' => '"',
            '\u{2010}'..='\u{2012}' => '-',
            '\u{2013}' | '\u{2014}' => ',',
            '\u{2026}' | '\u{964}' => '.',
            other => other,
        };
        ascii_letters(c).filter(|c| !c.is_ascii_control())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(source: &str) -> String {
        let text = SpeakableText::new(source, "en-IN").text;
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_flite_reads_well_is_left_alone() {
        let source = "On May 17, 2026 at 10:30 a.m., Dr. Rao pays $1,250.75 (50%) for room 305!";
        assert_eq!(said(source), source);
    }

    #[test]
    fn numbers_to_be_copied_are_said_digit_by_digit() {
        assert_eq!(said("9876543210."), "9 8 7 6 5 4 3 2 1 0,");
        assert_eq!(
            said("+91 98765 43210 please"),
            "plus 9 1, 9 8 7 6 5, 4 3 2 1 0, please"
        );
        assert_eq!(
            said("Call (080) 4123-4567, thanks"),
            "Call (0 8 0, 4 1 2 3, 4 5 6 7, thanks"
        );
        assert_eq!(said("2 3 4"), "2 3 4");
        assert_eq!(said("3.1415926"), "3.1415926");
    }

    #[test]
    fn dates_are_said_with_the_name_of_the_month() {
        assert_eq!(said("2026-05-17"), "May 17, 2026");
        assert_eq!(said("05/06/2026."), "June 5, 2026.");
        assert_eq!(
            SpeakableText::new("05/06/2026", "en-US").text.trim(),
            "May 6, 2026"
        );
        assert_eq!(said("05/17/2026"), "May 17, 2026");
        assert_eq!(said("99/99/2026"), "99/99/2026");
        assert_eq!(said("5/6"), "5/6");
    }

    #[test]
    fn money_addresses_and_midnight_are_said() {
        assert_eq!(said("₹500 Rs. 12,50,000"), "500 rupees 1,250,000 rupees");
        assert_eq!(said("€3.50"), "3.50 euros");
        assert_eq!(said("a@b.com"), "a at b dot com");
        assert_eq!(said("at 00:00, 0:05"), "at midnight, 12:05 A M");
        assert_eq!(
            said("#4 Ms. Lee’s café — naïve"),
            "number 4 Miz. Lee's cafe , naive"
        );
    }

    #[test]
    fn every_part_leads_back_to_its_word() {
        let source = "Zoë’s “number” is +91 98765 43210.";
        let text = SpeakableText::new(source, "en-IN");
        let at = |needle: &str| {
            let place = text.text.find(needle).unwrap();
            &source[text.source_word(place).unwrap()]
        };
        assert_eq!(at("Zoe"), "Zoë’s");
        assert_eq!(at("number"), "number");
        assert_eq!(at("plus"), "+91");
        assert_eq!(at("4 3 2"), "43210");
    }

    #[test]
    fn text_without_words_is_silent() {
        assert!(SpeakableText::new(" … — ?! नमस्ते", "en").is_silent());
        assert!(SpeakableText::new("", "en").is_silent());
        assert!(!SpeakableText::new("7", "en").is_silent());
    }

    proptest::proptest! {
        #[test]
        fn any_text_becomes_ascii_with_valid_ranges(source in "\\PC{0,80}") {
            let text = SpeakableText::new(&source, "en-US");
            proptest::prop_assert!(text.text.is_ascii());
            for at in 0..text.text.len() {
                let range = text.source_word(at).unwrap();
                proptest::prop_assert!(source.get(range).is_some());
            }
        }
    }
}
