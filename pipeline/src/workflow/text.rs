//! From what a recogniser writes ("10:30 a.m., please.") to plain words ("ten thirty a m please").

/// How digits in the text are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NumeralStyle {
    /// `15` is "fifteen".
    Number,
    /// `15` is "one five".
    Digits,
}

/// Words of an utterance, each with the number of the written token it came from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words {
    /// Lower-case words.
    pub(crate) words: Vec<String>,
    /// Token index of each word.
    pub(crate) tokens: Vec<usize>,
}

/// Longest text that is looked at, in bytes; a turn beyond it is not an answer to a question.
const TEXT_BYTES_MAX: usize = 2_000;

/// Splits `text` into words.
pub(crate) fn words(text: &str, style: NumeralStyle) -> Words {
    let mut out = Words::default();
    let mut after_number = false;
    for (token, written) in tokens(text).iter().enumerate() {
        let number = written.starts_with(|c: char| c.is_ascii_digit());
        let spelled = spell(written, style, after_number);
        after_number = number || is_hour_word(written);
        for word in spelled.split_whitespace() {
            out.words.push(word.to_owned());
            out.tokens.push(token);
        }
    }
    out
}

fn tokens(text: &str) -> Vec<String> {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text[..end].to_lowercase().replace(['’', '‘'], "'");
    let text = text
        .replace("a.m.", " a m ")
        .replace("p.m.", " p m ")
        .replace("a.m", " a m ")
        .replace("p.m", " p m ");
    let characters: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut current = String::new();
    let digit_at = |index: usize| characters.get(index).is_some_and(char::is_ascii_digit);
    for (index, &c) in characters.iter().enumerate() {
        let last = current.chars().next_back();
        let joins = match c {
            ':' => index > 0 && digit_at(index - 1) && digit_at(index + 1),
            '\'' => last.is_some(),
            _ => c.is_alphanumeric(),
        };
        let digits_end = last.is_some_and(|last| last.is_ascii_digit());
        let turns = (digits_end && c.is_alphabetic() && !is_ordinal_suffix(&characters[index..]))
            || (c.is_ascii_digit() && last.is_some_and(char::is_alphabetic));
        if !joins || turns {
            push_token(&mut out, &mut current);
        }
        if joins {
            current.push(c);
        }
    }
    push_token(&mut out, &mut current);
    out
}

fn push_token(out: &mut Vec<String>, current: &mut String) {
    let token = current.trim_matches('\'');
    if !token.is_empty() {
        out.push(token.to_owned());
    }
    current.clear();
}

fn is_ordinal_suffix(rest: &[char]) -> bool {
    let suffix: String = rest.iter().take(2).collect();
    let ends = rest.get(2).is_none_or(|c| !c.is_alphanumeric());
    ends && matches!(suffix.as_str(), "st" | "nd" | "rd" | "th")
}

fn is_hour_word(word: &str) -> bool {
    (1..=59).any(|n| cardinal(n) == word) || word == "o'clock"
}

fn spell(token: &str, style: NumeralStyle, after_number: bool) -> String {
    match token {
        "am" if after_number => return "a m".into(),
        "pm" => return "p m".into(),
        "ok" => return "okay".into(),
        _ => {}
    }
    if !token.starts_with(|c: char| c.is_ascii_digit()) {
        return token.to_owned();
    }
    if style == NumeralStyle::Digits {
        return digits(token);
    }
    if let Some((hour, minute)) = token.split_once(':') {
        return clock(hour, minute);
    }
    let (figures, suffix) = token.split_at(
        token
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(token.len()),
    );
    match (figures.parse::<u32>(), suffix) {
        (Ok(day @ 1..=31), "st" | "nd" | "rd" | "th") => ordinal(day),
        (Ok(number), _) if figures.len() <= 6 => cardinal(number),
        (Ok(_) | Err(_), _) => digits(figures),
    }
}

fn clock(hour: &str, minute: &str) -> String {
    match (hour.parse::<u32>(), minute.parse::<u32>()) {
        (Ok(hour @ 0..=24), Ok(0)) => format!("{} o'clock", cardinal(hour)),
        (Ok(hour @ 0..=24), Ok(minute @ 1..=9)) => {
            format!("{} oh {}", cardinal(hour), cardinal(minute))
        }
        (Ok(hour @ 0..=24), Ok(minute @ 10..=59)) => {
            format!("{} {}", cardinal(hour), cardinal(minute))
        }
        _ => format!("{} {}", digits(hour), digits(minute)),
    }
}

fn digits(text: &str) -> String {
    let words: Vec<&str> = text
        .chars()
        .filter_map(|c| c.to_digit(10))
        .map(|digit| ONES[digit as usize])
        .collect();
    words.join(" ")
}

const ONES: [&str; 20] = [
    "zero",
    "one",
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
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] = [
    "", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
];
const ORDINALS: [&str; 20] = [
    "zeroth",
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
];

/// `n` in words, below a million; from there on, digit by digit.
pub(crate) fn cardinal(n: u32) -> String {
    let (rest, high) = match n {
        0..=19 => return ONES[n as usize].to_owned(),
        20..=99 => (n % 10, TENS[(n / 10) as usize].to_owned()),
        100..=999 => (n % 100, format!("{} hundred", cardinal(n / 100))),
        1_000..=999_999 => (n % 1_000, format!("{} thousand", cardinal(n / 1_000))),
        _ => return digits(&n.to_string()),
    };
    if rest == 0 {
        high
    } else {
        format!("{high} {}", cardinal(rest))
    }
}

/// `n` as an ordinal, below a hundred.
pub(crate) fn ordinal(n: u32) -> String {
    match n {
        0..=19 => ORDINALS[n as usize].to_owned(),
        20 => "twentieth".to_owned(),
        30 => "thirtieth".to_owned(),
        21..=99 if !n.is_multiple_of(10) => {
            format!(
                "{} {}",
                TENS[(n / 10) as usize],
                ORDINALS[(n % 10) as usize]
            )
        }
        _ => format!("{}th", cardinal(n)),
    }
}

/// The English word of a decimal digit; other characters have none.
pub(crate) fn digit_word(c: char) -> Option<&'static str> {
    c.to_digit(10).map(|digit| ONES[digit as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> String {
        words(text, NumeralStyle::Number).words.join(" ")
    }

    #[test]
    fn what_cloud_recognisers_write_becomes_words() {
        for (written, plain) in [
            ("Yes.", "yes"),
            (
                "Tuesday at 10:30 a.m., please",
                "tuesday at ten thirty a m please",
            ),
            ("10AM", "ten a m"),
            ("I am at 9:05pm", "i am at nine oh five p m"),
            ("3:00", "three o'clock"),
            ("March 3rd", "march third"),
            ("the 21st", "the twenty first"),
            ("twenty-five", "twenty five"),
            ("S-M-I-T-H", "s m i t h"),
            ("That’s right!", "that's right"),
            ("125", "one hundred twenty five"),
            ("'quoted'", "quoted"),
            ("OK", "okay"),
            ("…", ""),
        ] {
            assert_eq!(number(written), plain, "{written}");
        }
    }

    #[test]
    fn telephone_numbers_become_digits() {
        let said = words("(555) 010-4477", NumeralStyle::Digits);
        assert_eq!(
            said.words.join(" "),
            "five five five zero one zero four four seven seven"
        );
        assert_eq!(said.tokens, [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]);
    }

    #[test]
    fn ordinals_are_spelled_out() {
        assert_eq!(ordinal(12), "twelfth");
        assert_eq!(ordinal(20), "twentieth");
        assert_eq!(ordinal(31), "thirty first");
    }
}
