//! Grammars of answers: one expression is both what the recogniser listens for (JSGF) and what
//! recognised words are parsed with.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use chrono::Weekday;

/// What a matched piece of an answer means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tag {
    /// An entry of a list.
    Entry(usize),
    /// Agreement.
    Yes,
    /// Refusal.
    No,
    /// Added to a number.
    Number(u32),
    /// Multiplies what came before by a hundred.
    Hundred,
    /// Multiplies what came before by a thousand.
    Thousand,
    /// A digit or a letter.
    Character(char),
    /// The next character counts this often.
    Times(usize),
    /// Days from today.
    InDays(u32),
    /// Day of the week.
    Weekday(Weekday),
    /// In the coming calendar week.
    NextWeek,
    /// Day of the month.
    Day(u32),
    /// Month, from 1.
    Month(u32),
    /// Hour as said.
    Hour(u16),
    /// Minute after the hour.
    Minute(u16),
    /// Minutes before the hour that follows.
    MinutesTo(u16),
    /// Before noon.
    Am,
    /// After noon.
    Pm,
    /// Noon.
    Noon,
    /// Midnight.
    Midnight,
}

/// A regular expression over words.
#[derive(Clone, Debug)]
pub(crate) enum Expr {
    /// One word.
    Word(String),
    /// Any one word; for parsing only, a recogniser cannot listen for it.
    AnyWord,
    /// One after the other.
    Sequence(Vec<Self>),
    /// One of them; the first wins where several match the same words.
    Choice(Vec<Self>),
    /// Maybe.
    Optional(Box<Self>),
    /// `min` times or more, up to `max`.
    Repeat(Box<Self>, usize, Option<usize>),
    /// Means the tag.
    Tagged(Box<Self>, Tag),
    /// Written as a rule of its own.
    Rule(&'static str, Arc<Self>),
}

impl Expr {
    /// The words of `text`, separated by spaces.
    pub(crate) fn phrase(text: &str) -> Self {
        let mut words: Vec<Self> = text
            .split_whitespace()
            .map(|word| Self::Word(word.to_owned()))
            .collect();
        match words.len() {
            1 => words.remove(0),
            _ => Self::Sequence(words),
        }
    }

    /// Any of these phrases.
    pub(crate) fn any_of(phrases: &[&str]) -> Self {
        Self::Choice(phrases.iter().map(|text| Self::phrase(text)).collect())
    }

    /// This, meaning `tag`.
    pub(crate) fn tagged(self, tag: Tag) -> Self {
        Self::Tagged(Box::new(self), tag)
    }

    /// This or nothing.
    pub(crate) fn optional(self) -> Self {
        Self::Optional(Box::new(self))
    }

    /// This as the rule `<name>`; one name must always stand for one expression.
    pub(crate) fn rule(self, name: &'static str) -> Self {
        Self::Rule(name, Arc::new(self))
    }

    /// Every way to match `words` from `start`: the end and the tags, longest first, one for each
    /// end.
    pub(crate) fn matches(&self, words: &[String], start: usize) -> Vec<(usize, Vec<Tag>)> {
        let mut found = self.ends(words, start);
        found.sort_by_key(|(end, _)| std::cmp::Reverse(*end));
        found
    }

    fn ends(&self, words: &[String], start: usize) -> Vec<(usize, Vec<Tag>)> {
        match self {
            Self::Word(word) => match words.get(start) {
                Some(said) if said == word => vec![(start + 1, Vec::new())],
                Some(_) | None => Vec::new(),
            },
            Self::AnyWord if start < words.len() => vec![(start + 1, Vec::new())],
            Self::AnyWord => Vec::new(),
            Self::Sequence(parts) => {
                let mut found = vec![(start, Vec::new())];
                for part in parts {
                    found = extend(&found, part, words);
                }
                found
            }
            Self::Choice(parts) => {
                let mut found = Vec::new();
                for part in parts {
                    for hit in part.ends(words, start) {
                        add(&mut found, hit);
                    }
                }
                found
            }
            Self::Optional(part) => {
                let mut found = part.ends(words, start);
                add(&mut found, (start, Vec::new()));
                found
            }
            Self::Repeat(part, min, max) => {
                let mut found = Vec::new();
                let mut round = vec![(start, Vec::new())];
                let mut count = 0;
                loop {
                    if count >= *min {
                        for hit in &round {
                            add(&mut found, hit.clone());
                        }
                    }
                    if round.is_empty() || max.is_some_and(|max| count >= max) {
                        return found;
                    }
                    let next = extend(&round, part, words);
                    // A part that matches nothing would repeat for ever.
                    round = next
                        .into_iter()
                        .filter(|(end, _)| round.iter().all(|(before, _)| before < end))
                        .collect();
                    count += 1;
                }
            }
            Self::Tagged(part, tag) => part
                .ends(words, start)
                .into_iter()
                .map(|(end, mut tags)| {
                    tags.push(*tag);
                    (end, tags)
                })
                .collect(),
            Self::Rule(_, part) => part.ends(words, start),
        }
    }

    /// A complete JSGF 1.0 grammar whose one public rule is this expression.
    pub(crate) fn to_jsgf(&self) -> String {
        let mut rules = BTreeMap::new();
        let mut body = String::new();
        self.write(&mut body, &mut rules);
        let mut text = format!("#JSGF V1.0;\ngrammar answer;\npublic <answer> = {body};\n");
        for (name, body) in rules {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "<{name}> = {body};");
        }
        text
    }

    fn write(&self, out: &mut String, rules: &mut BTreeMap<&'static str, String>) {
        match self {
            Self::Word(word) => out.push_str(word),
            Self::AnyWord => out.push_str("<VOID>"),
            Self::Sequence(parts) => write_list(parts, " ", out, rules),
            Self::Choice(parts) => {
                out.push_str("( ");
                write_list(parts, " | ", out, rules);
                out.push_str(" )");
            }
            Self::Optional(part) => {
                out.push_str("[ ");
                part.write(out, rules);
                out.push_str(" ]");
            }
            Self::Repeat(part, min, max) => {
                let mut one = String::new();
                part.write(&mut one, rules);
                let copies = vec![one.clone(); *min];
                out.push_str(&copies.join(" "));
                match max {
                    None => {
                        let _ = write!(out, " ( {one} )*");
                    }
                    Some(max) => {
                        let more = max.saturating_sub(*min);
                        for _ in 0..more {
                            let _ = write!(out, " [ {one}");
                        }
                        out.push_str(&" ]".repeat(more));
                    }
                }
            }
            Self::Tagged(part, _) => part.write(out, rules),
            Self::Rule(name, part) => {
                let _ = write!(out, "<{name}>");
                if !rules.contains_key(name) {
                    rules.insert(name, String::new());
                    let mut body = String::new();
                    part.write(&mut body, rules);
                    rules.insert(name, body);
                }
            }
        }
    }

    /// A sentence of the language; `pick(n)` chooses below `n`.
    #[cfg(test)]
    pub(crate) fn sample(&self, pick: &mut impl FnMut(usize) -> usize, out: &mut Vec<String>) {
        match self {
            Self::Word(word) => out.push(word.clone()),
            Self::AnyWord => out.push("something".to_owned()),
            Self::Sequence(parts) => parts.iter().for_each(|part| part.sample(pick, out)),
            Self::Choice(parts) => {
                if let Some(part) = parts.get(pick(parts.len().max(1))) {
                    part.sample(pick, out);
                }
            }
            Self::Optional(part) => {
                if pick(2) == 1 {
                    part.sample(pick, out);
                }
            }
            Self::Repeat(part, min, max) => {
                let extra = max.map_or(4, |max| max - min);
                for _ in 0..min + pick(extra + 1) {
                    part.sample(pick, out);
                }
            }
            Self::Tagged(part, _) => part.sample(pick, out),
            Self::Rule(_, part) => part.sample(pick, out),
        }
    }
}

fn extend(found: &[(usize, Vec<Tag>)], part: &Expr, words: &[String]) -> Vec<(usize, Vec<Tag>)> {
    let mut longer = Vec::new();
    for (end, tags) in found {
        for (next, more) in part.ends(words, *end) {
            let mut tags = tags.clone();
            tags.extend(more);
            add(&mut longer, (next, tags));
        }
    }
    longer
}

/// Keeps the first match for each end, which bounds the work by the square of the words.
fn add(found: &mut Vec<(usize, Vec<Tag>)>, hit: (usize, Vec<Tag>)) {
    if !found.iter().any(|(end, _)| *end == hit.0) {
        found.push(hit);
    }
}

fn write_list(
    parts: &[Expr],
    separator: &str,
    out: &mut String,
    rules: &mut BTreeMap<&'static str, String>,
) {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.push_str(separator);
        }
        part.write(out, rules);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn longest_match_comes_first_with_its_tags() {
        let expr = Expr::Choice(vec![
            Expr::phrase("ten").tagged(Tag::Number(10)),
            Expr::phrase("ten thirty").tagged(Tag::Number(30)),
        ]);
        let found = expr.matches(&words("ten thirty"), 0);
        assert_eq!(
            found,
            [(2, vec![Tag::Number(30)]), (1, vec![Tag::Number(10)])]
        );
    }

    #[test]
    fn repeats_respect_their_bounds() {
        let expr = Expr::Repeat(Box::new(Expr::phrase("a")), 2, Some(3));
        let ends = |text: &str| -> Vec<usize> {
            expr.matches(&words(text), 0).iter().map(|m| m.0).collect()
        };
        assert_eq!(ends("a"), Vec::<usize>::new());
        assert_eq!(ends("a a a a"), [3, 2]);
        let endless = Expr::Repeat(Box::new(Expr::phrase("a").optional()), 0, None);
        assert_eq!(endless.matches(&words("a a"), 0)[0].0, 2);
    }

    #[test]
    fn jsgf_names_each_rule_once() {
        let digit = Expr::any_of(&["one", "two"]).rule("digit");
        let expr = Expr::Sequence(vec![
            Expr::phrase("um").optional(),
            Expr::Repeat(Box::new(digit.clone()), 1, Some(2)),
            digit,
        ]);
        assert_eq!(
            expr.to_jsgf(),
            "#JSGF V1.0;\ngrammar answer;\n\
             public <answer> = [ um ] <digit> [ <digit> ] <digit>;\n\
             <digit> = ( one | two );\n"
        );
    }
}
