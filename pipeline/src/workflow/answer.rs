//! What callers may answer to a question: the grammar for the recogniser, and the values in what
//! was recognised.

use std::sync::Arc;

use chrono::NaiveDate;
use serde_json::{Value, json};

use crate::stt::{AnswerKind, RecognitionHints};
use crate::workflow::calendar::{date_expression, resolve_date, speak_date};
use crate::workflow::clock_time::{resolve_time, speak_time, time_expression};
use crate::workflow::file::{Command, Entry, Slot};
use crate::workflow::grammar::{Expr, Tag};
use crate::workflow::hours::OpeningHours;
use crate::workflow::template::{Known, name_case, speak_digits};
use crate::workflow::text::{NumeralStyle, Words, cardinal, digit_word, words};

/// Most key phrases handed to a recogniser.
const PHRASES_MAX: usize = 100;
/// Numbers up to here are listed one by one in grammars.
const LISTED_NUMBERS_MAX: u32 = 199;
/// Longest run of digits that is looked at.
const DIGIT_RUN_MAX: usize = 40;
/// Longest spelled name.
const LETTERS_MAX: usize = 24;
/// Most slots one answer is expected to hold.
const ITEMS_MAX: usize = 3;

const HESITATIONS: &[&str] = &["um", "uh", "well", "so"];
const COURTESIES: &[&str] = &["please", "thank you", "thanks"];
const CORRECTIONS: &[&str] = &[
    "no", "sorry", "actually", "rather", "mean", "instead", "not",
];
const YES: &[&str] = &[
    "yes",
    "yeah",
    "yep",
    "sure",
    "correct",
    "right",
    "that's right",
    "that is right",
    "that's correct",
    "yes please",
    "of course",
    "okay",
    "please do",
    "that works",
    "sounds good",
];
const NO: &[&str] = &[
    "no",
    "nope",
    "no thanks",
    "no thank you",
    "not really",
    "wrong",
    "that's wrong",
    "that's not right",
    "not right",
    "not correct",
];
/// Words that a freely said name does not hold; they show that something else was meant.
const NOT_NAMES: &[&str] = &[
    "what",
    "why",
    "how",
    "who",
    "when",
    "where",
    "you",
    "your",
    "sorry",
    "pardon",
    "hello",
    "repeat",
    "again",
    "don't",
    "do",
    "not",
    "know",
    "can",
    "could",
    "the",
    "wait",
    "no",
    "yes",
    "yeah",
    "appointment",
    "help",
    "okay",
];

/// A slot as it stands in a question.
#[derive(Clone, Debug)]
pub(crate) struct ExpectedSlot {
    /// Its name.
    pub(crate) name: String,
    /// Its kind.
    pub(crate) slot: Slot,
    /// Entries, where the kind has them.
    entries: Vec<Entry>,
    /// What its answers parse with; `None` for dictation.
    expression: Option<Expr>,
    /// Whether the recogniser listens for it.
    listened: bool,
}

impl ExpectedSlot {
    /// The slot `name` of kind `slot` with the entries of its list.
    pub(crate) fn new(name: &str, slot: &Slot, entries: Vec<Entry>, listened: bool) -> Self {
        Self {
            listened,
            name: name.to_owned(),
            slot: slot.clone(),
            expression: slot_expression(slot, &entries, true),
            entries,
        }
    }

    const fn style(&self) -> NumeralStyle {
        match self.slot {
            Slot::Digits(_) => NumeralStyle::Digits,
            Slot::Choice(_)
            | Slot::YesNo(_)
            | Slot::Number(_)
            | Slot::Date(_)
            | Slot::Time(_)
            | Slot::Name(_)
            | Slot::Text(_) => NumeralStyle::Number,
        }
    }
}

/// When and where an answer is understood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerContext<'a> {
    /// The date at the place of the call.
    pub(crate) today: NaiveDate,
    /// Opening hours.
    pub(crate) hours: &'a OpeningHours,
}

/// Everything a question expects.
#[derive(Clone, Debug)]
pub(crate) struct Listening {
    slots: Vec<ExpectedSlot>,
    commands: Vec<Expr>,
    command_keys: Vec<Option<char>>,
    hints: Arc<RecognitionHints>,
    #[cfg(test)]
    spoken: Option<Expr>,
}

/// What was found in an answer.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Understood {
    /// Values by slot name.
    pub(crate) values: Vec<(String, Known)>,
    /// Index of a command.
    pub(crate) command: Option<usize>,
}

impl Listening {
    /// A question for these slots; the first decides the kind of answer.
    pub(crate) fn new(slots: Vec<ExpectedSlot>, commands: &[Command]) -> Self {
        let command_phrases: Vec<Expr> = commands.iter().map(|c| phrases(&c.phrases)).collect();
        let spoken = spoken_expression(&slots, &command_phrases);
        let mut key_phrases: Vec<String> = slots
            .iter()
            .flat_map(|expected| &expected.entries)
            .flat_map(|entry| entry.phrases.iter().cloned())
            .collect();
        key_phrases.extend(commands.iter().flat_map(|c| c.phrases.iter().cloned()));
        key_phrases.truncate(PHRASES_MAX);
        let hints = RecognitionHints {
            kind: slots
                .first()
                .map_or(AnswerKind::Open, |e| answer_kind(&e.slot)),
            grammar: spoken.as_ref().map(|expr| Arc::from(expr.to_jsgf())),
            phrases: key_phrases,
        };
        Self {
            slots,
            commands: command_phrases,
            command_keys: commands.iter().map(|command| command.key).collect(),
            hints: Arc::new(hints),
            #[cfg(test)]
            spoken,
        }
    }

    /// What the recogniser is told.
    pub(crate) fn hints(&self) -> Arc<RecognitionHints> {
        Arc::clone(&self.hints)
    }

    /// The expression the grammar was written from.
    #[cfg(test)]
    pub(crate) const fn spoken(&self) -> Option<&Expr> {
        self.spoken.as_ref()
    }

    /// The values and commands in what was said.
    pub(crate) fn understand(&self, text: &str, context: AnswerContext<'_>) -> Understood {
        let numbers = words(text, NumeralStyle::Number);
        if let Some(command) = self.whole_command(&numbers.words) {
            return Understood {
                values: Vec::new(),
                command: Some(command),
            };
        }
        let digits = words(text, NumeralStyle::Digits);
        let mut values = self.scan(&numbers, &digits, context);
        let mut command = None;
        if values.is_empty() {
            command = self.command_inside(&numbers.words);
        }
        if values.is_empty() && command.is_none() {
            values = self.dictated(text, &numbers.words);
        }
        Understood { values, command }
    }

    /// The values and commands in keys pressed.
    pub(crate) fn understand_keys(&self, keys: &str) -> Understood {
        let digits: String = keys.chars().filter(char::is_ascii_digit).collect();
        let known = |name: &str, value, spoken: &str| Understood {
            values: vec![(
                name.to_owned(),
                Known {
                    value,
                    spoken: spoken.to_owned(),
                },
            )],
            command: None,
        };
        let mut one = keys.chars().filter(|key| *key != '#');
        let single = match (one.next(), one.next()) {
            (Some(key), None) => Some(key),
            _ => None,
        };
        for expected in &self.slots {
            match &expected.slot {
                Slot::Digits(slot) if (slot.min..=slot.max).contains(&digits.len()) => {
                    return known(&expected.name, json!(digits), &speak_digits(&digits));
                }
                Slot::Number(slot) => {
                    if let Ok(number) = digits.parse::<u32>()
                        && (slot.min..=slot.max).contains(&number)
                    {
                        return known(&expected.name, json!(number), &cardinal(number));
                    }
                }
                Slot::YesNo(slot) if slot.keys => match single {
                    Some('1') => return known(&expected.name, json!(true), "yes"),
                    Some('2') => return known(&expected.name, json!(false), "no"),
                    Some(_) | None => {}
                },
                Slot::Choice(_) | Slot::Name(_) => {
                    let chosen = expected
                        .entries
                        .iter()
                        .find(|entry| single.is_some() && entry.key == single);
                    if let Some(entry) = chosen {
                        return known(&expected.name, json!(entry.value), entry.spoken());
                    }
                }
                Slot::Digits(_)
                | Slot::YesNo(_)
                | Slot::Date(_)
                | Slot::Time(_)
                | Slot::Text(_) => {}
            }
        }
        let command = self
            .command_keys
            .iter()
            .position(|key| single.is_some() && *key == single);
        Understood {
            values: Vec::new(),
            command,
        }
    }

    /// A command that is all that was said, courtesies aside.
    fn whole_command(&self, said: &[String]) -> Option<usize> {
        let polite = |word: &String| {
            HESITATIONS.contains(&word.as_str()) || COURTESIES.contains(&word.as_str())
        };
        let start = said.iter().position(|word| !polite(word))?;
        let end = said.iter().rposition(|word| !polite(word))? + 1;
        self.commands.iter().position(|command| {
            command
                .matches(said, start)
                .iter()
                .any(|(matched, _)| *matched >= end)
        })
    }

    fn command_inside(&self, said: &[String]) -> Option<usize> {
        (0..said.len()).find_map(|start| {
            self.commands
                .iter()
                .position(|command| !command.matches(said, start).is_empty())
        })
    }

    /// Takes, from left to right, the slot that explains the most words; other words are skipped.
    fn scan(
        &self,
        numbers: &Words,
        digits: &Words,
        context: AnswerContext<'_>,
    ) -> Vec<(String, Known)> {
        let mut values: Vec<(String, Known)> = Vec::new();
        let mut corrected = false;
        let token_count = numbers.tokens.last().map_or(0, |last| last + 1);
        let mut token = 0;
        while token < token_count {
            let mut best: Option<(usize, &str, Known)> = None;
            let mut spoiled = token + 1;
            for expected in &self.slots {
                let said = match expected.style() {
                    NumeralStyle::Number => numbers,
                    NumeralStyle::Digits => digits,
                };
                match match_at(expected, said, token, context) {
                    Some(Match::Value(end, known))
                        if best.as_ref().is_none_or(|(longest, _, _)| end > *longest) =>
                    {
                        best = Some((end, &expected.name, known));
                    }
                    Some(Match::Spoiled(end)) => spoiled = spoiled.max(end),
                    Some(Match::Value(..)) | None => {}
                }
            }
            let Some((end, name, known)) = best else {
                let word = numbers.tokens.iter().position(|of| *of == token);
                corrected |=
                    word.is_some_and(|word| CORRECTIONS.contains(&numbers.words[word].as_str()));
                token = spoiled;
                continue;
            };
            let refusal = known.value == json!(false);
            match values.iter_mut().find(|(filled, _)| filled == name) {
                None => values.push((name.to_owned(), known)),
                Some((_, earlier)) if corrected => *earlier = known,
                Some(_) => {}
            }
            corrected = refusal;
            token = end;
        }
        values
    }

    fn dictated(&self, text: &str, said: &[String]) -> Vec<(String, Known)> {
        for expected in &self.slots {
            match &expected.slot {
                Slot::Text(_) if !said.is_empty() => {
                    return vec![(expected.name.clone(), Known::plain(json!(text.trim())))];
                }
                Slot::Name(slot) if slot.free => {
                    if let Some(name) = free_name(said) {
                        return vec![(expected.name.clone(), Known::plain(json!(name)))];
                    }
                }
                Slot::Choice(_)
                | Slot::YesNo(_)
                | Slot::Number(_)
                | Slot::Digits(_)
                | Slot::Date(_)
                | Slot::Time(_)
                | Slot::Name(_)
                | Slot::Text(_) => {}
            }
        }
        Vec::new()
    }
}

/// What a slot makes of the words from a place on.
enum Match {
    /// A value, and the token after it.
    Value(usize, Known),
    /// Digits or a number that cannot be the answer, up to this token; no part of them is it
    /// either.
    Spoiled(usize),
}

/// What `expected` has from the written token `token` on.
fn match_at(
    expected: &ExpectedSlot,
    said: &Words,
    token: usize,
    context: AnswerContext<'_>,
) -> Option<Match> {
    let start = said.tokens.iter().position(|of| *of == token)?;
    let expression = expected.expression.as_ref()?;
    let whole = matches!(expected.slot, Slot::Digits(_) | Slot::Number(_));
    for (end, tags) in expression.matches(&said.words, start) {
        if end == start {
            continue;
        }
        // A match must not end inside a written token ("10:30" is not "ten").
        let last = said.tokens.get(end - 1).copied()?;
        if said.tokens.get(end) == Some(&last) {
            continue;
        }
        match slot_value(expected, &tags, context) {
            Some(known) => return Some(Match::Value(last + 1, known)),
            None if whole => return Some(Match::Spoiled(last + 1)),
            None => {}
        }
    }
    None
}

fn slot_value(expected: &ExpectedSlot, tags: &[Tag], context: AnswerContext<'_>) -> Option<Known> {
    let entry = || match tags {
        [Tag::Entry(index)] => expected.entries.get(*index).map(|entry| Known {
            value: json!(entry.value),
            spoken: entry.spoken().to_owned(),
        }),
        _ => None,
    };
    match &expected.slot {
        Slot::Choice(_) => entry(),
        Slot::YesNo(_) => match tags {
            [Tag::Yes] => Some(known(json!(true), "yes")),
            [Tag::No] => Some(known(json!(false), "no")),
            _ => None,
        },
        Slot::Number(slot) => {
            let number = fold_number(tags)?;
            (slot.min..=slot.max)
                .contains(&number)
                .then(|| known(json!(number), &cardinal(number)))
        }
        Slot::Digits(slot) => {
            let digits = fold_characters(tags)?;
            (slot.min..=slot.max)
                .contains(&digits.len())
                .then(|| known(json!(digits), &speak_digits(&digits)))
        }
        Slot::Date(_) => {
            let date = resolve_date(tags, context.today)?;
            Some(known(json!(date), &speak_date(date)))
        }
        Slot::Time(_) => {
            let time = resolve_time(tags, context.hours)?;
            Some(known(json!(time), &speak_time(time)))
        }
        Slot::Name(_) => entry().or_else(|| {
            let name = name_case(&fold_characters(tags)?);
            Some(known(json!(name), &name))
        }),
        Slot::Text(_) => None,
    }
}

fn known(value: Value, spoken: &str) -> Known {
    Known {
        value,
        spoken: spoken.to_owned(),
    }
}

fn fold_number(tags: &[Tag]) -> Option<u32> {
    let mut total: u32 = 0;
    let mut group: u32 = 0;
    for tag in tags {
        match tag {
            Tag::Number(number) => group = group.checked_add(*number)?,
            Tag::Hundred => group = group.max(1).checked_mul(100)?,
            Tag::Thousand => {
                total = total.checked_add(group.max(1).checked_mul(1_000)?)?;
                group = 0;
            }
            _ => return None,
        }
    }
    total.checked_add(group)
}

fn fold_characters(tags: &[Tag]) -> Option<String> {
    let mut out = String::new();
    let mut times = 1;
    for tag in tags {
        match tag {
            Tag::Character(c) => {
                out.extend(std::iter::repeat_n(*c, times));
                times = 1;
            }
            Tag::Times(count) => times = *count,
            _ => return None,
        }
    }
    Some(out)
}

/// A few words that can be a name, after "my name is" and the like.
fn free_name(said: &[String]) -> Option<String> {
    let text = said.join(" ");
    let mut rest = text.as_str();
    let mut stripped = true;
    while stripped {
        stripped = false;
        for lead in HESITATIONS.iter().chain(NAME_LEADS) {
            if let Some(after) = rest.strip_prefix(lead).and_then(|r| r.strip_prefix(' ')) {
                rest = after;
                stripped = true;
            }
        }
    }
    let rest = rest.strip_suffix(" please").unwrap_or(rest);
    let words: Vec<&str> = rest.split_whitespace().collect();
    let plausible = (1..=4).contains(&words.len())
        && words.iter().all(|word| {
            word.chars().all(|c| c.is_alphabetic() || c == '\'')
                && !NOT_NAMES.contains(word)
                && !HESITATIONS.contains(word)
        })
        && words.iter().any(|word| word.chars().count() > 1);
    plausible.then(|| name_case(rest))
}

const NAME_LEADS: &[&str] = &[
    "my name is",
    "my last name is",
    "the name is",
    "the last name is",
    "it's",
    "it is",
    "this is",
    "i'm",
    "i am",
];

const fn answer_kind(slot: &Slot) -> AnswerKind {
    match slot {
        Slot::Choice(_) => AnswerKind::Choice,
        Slot::YesNo(_) => AnswerKind::YesNo,
        Slot::Number(_) => AnswerKind::Number,
        Slot::Digits(_) => AnswerKind::Digits,
        Slot::Date(_) => AnswerKind::Date,
        Slot::Time(_) => AnswerKind::Time,
        Slot::Name(_) => AnswerKind::Spelling,
        Slot::Text(_) => AnswerKind::Open,
    }
}

/// What the caller may say as a whole; `None` when a slot needs dictation.
fn spoken_expression(slots: &[ExpectedSlot], commands: &[Expr]) -> Option<Expr> {
    let slots: Vec<&ExpectedSlot> = slots.iter().filter(|slot| slot.listened).collect();
    let items: Vec<Expr> = slots
        .iter()
        .map(|expected| slot_expression(&expected.slot, &expected.entries, false))
        .collect::<Option<_>>()?;
    let item = Expr::Choice(items).rule("item");
    let more = slots.len().clamp(1, ITEMS_MAX) - 1;
    let mut sequence = vec![Expr::any_of(HESITATIONS).rule("hesitation").optional()];
    let leads = lead_phrases(&slots);
    if !leads.is_empty() {
        sequence.push(Expr::any_of(&leads).rule("lead").optional());
    }
    sequence.push(item.clone());
    if more > 0 {
        let glue = Expr::any_of(&["at", "on", "with", "and", "for", "um"]).rule("glue");
        let next = Expr::Sequence(vec![glue.optional(), item]);
        sequence.push(Expr::Repeat(Box::new(next), 0, Some(more)));
    }
    sequence.push(Expr::any_of(COURTESIES).rule("courtesy").optional());
    let mut choices = vec![Expr::Sequence(sequence)];
    if !commands.is_empty() {
        choices.push(Expr::Choice(commands.to_vec()).rule("command"));
    }
    Some(Expr::Choice(choices))
}

fn lead_phrases(slots: &[&ExpectedSlot]) -> Vec<&'static str> {
    let mut out: Vec<&'static str> = Vec::new();
    for expected in slots {
        let leads: &[&str] = match expected.slot {
            Slot::YesNo(_) | Slot::Text(_) => &[],
            Slot::Choice(_) => &[
                "i would like",
                "i'd like",
                "i would like to",
                "i'd like to",
                "i want to",
                "i need to",
                "can i",
                "the",
                "a",
                "with",
            ],
            Slot::Number(_) => &["i would like", "i'd like", "it's"],
            Slot::Digits(_) => &["it's", "it is", "my number is"],
            Slot::Date(_) => &["on", "for", "i would like", "how about", "can i come"],
            Slot::Time(_) => &["at", "for", "i would like", "how about", "can i come at"],
            Slot::Name(_) => &["my name is", "my last name is", "it's", "it is"],
        };
        for lead in leads {
            if !out.contains(lead) {
                out.push(lead);
            }
        }
    }
    out
}

fn slot_expression(slot: &Slot, entries: &[Entry], wide: bool) -> Option<Expr> {
    match slot {
        Slot::Choice(_) => Some(entries_expression(entries)),
        Slot::YesNo(_) => Some(Expr::Choice(vec![
            Expr::any_of(YES).tagged(Tag::Yes),
            Expr::any_of(NO).tagged(Tag::No),
        ])),
        Slot::Number(slot) => Some(number_expression(slot.min, slot.max, wide)),
        Slot::Digits(slot) => Some(digits_expression(slot.min, slot.max, wide)),
        Slot::Date(_) => Some(date_expression(wide)),
        Slot::Time(_) => Some(time_expression(wide)),
        Slot::Name(slot) => {
            let mut choices = Vec::new();
            if !entries.is_empty() {
                choices.push(entries_expression(entries));
            }
            if slot.spelled {
                choices.push(letters_expression(wide));
            }
            (!choices.is_empty()).then_some(Expr::Choice(choices))
        }
        Slot::Text(_) => None,
    }
}

fn phrases(all: &[String]) -> Expr {
    Expr::Choice(all.iter().map(|text| Expr::phrase(text)).collect())
}

fn entries_expression(entries: &[Entry]) -> Expr {
    Expr::Choice(
        entries
            .iter()
            .enumerate()
            .map(|(index, entry)| phrases(&entry.phrases).tagged(Tag::Entry(index)))
            .collect(),
    )
}

fn number_expression(min: u32, max: u32, wide: bool) -> Expr {
    let listed = |from: u32, to: u32| {
        Expr::Choice(
            (from..=to)
                .map(|n| Expr::phrase(&cardinal(n)).tagged(Tag::Number(n)))
                .collect(),
        )
    };
    if max <= LISTED_NUMBERS_MAX && !wide {
        return listed(min, max);
    }
    // What is composed may lie outside the range; the range is checked on the value.
    let small = listed(1, 99).rule("below100");
    let hundreds = Expr::Sequence(vec![
        Expr::Choice(vec![listed(1, 9).rule("below10"), Expr::phrase("a")]),
        Expr::phrase("hundred").tagged(Tag::Hundred),
        Expr::Sequence(vec![Expr::phrase("and").optional(), small.clone()]).optional(),
    ]);
    let group = Expr::Choice(vec![hundreds, small]).rule("below1000");
    let thousands = Expr::Sequence(vec![
        group.clone(),
        Expr::phrase("thousand").tagged(Tag::Thousand),
        Expr::Sequence(vec![Expr::phrase("and").optional(), group.clone()]).optional(),
    ]);
    Expr::Choice(vec![
        thousands,
        group,
        Expr::phrase("zero").tagged(Tag::Number(0)),
    ])
}

fn digits_expression(min: usize, max: usize, wide: bool) -> Expr {
    let mut digits: Vec<Expr> = ('0'..='9')
        .filter_map(|c| Some(Expr::phrase(digit_word(c)?).tagged(Tag::Character(c))))
        .collect();
    digits.push(Expr::phrase("oh").tagged(Tag::Character('0')));
    if !wide {
        let digit = Expr::Choice(digits).rule("digit");
        return Expr::Repeat(Box::new(digit), min, Some(max));
    }
    digits.push(Expr::phrase("o").tagged(Tag::Character('0')));
    Expr::Repeat(
        Box::new(repeated(Expr::Choice(digits))),
        1,
        Some(DIGIT_RUN_MAX),
    )
}

fn letters_expression(wide: bool) -> Expr {
    let letters = Expr::Choice(
        ('a'..='z')
            .map(|c| Expr::phrase(&c.to_string()).tagged(Tag::Character(c)))
            .collect(),
    )
    .rule("letter");
    let one = if wide {
        let example = Expr::Sequence(vec![Expr::any_of(&["as in", "for", "like"]), Expr::AnyWord]);
        Expr::Sequence(vec![letters, example.optional()])
    } else {
        letters
    };
    let most = wide.then_some(LETTERS_MAX);
    Expr::Repeat(Box::new(repeated(one)), 2, most)
}

/// "double five", "triple a".
fn repeated(one: Expr) -> Expr {
    let times = |word: &str, count| Expr::phrase(word).tagged(Tag::Times(count));
    Expr::Sequence(vec![
        Expr::Choice(vec![times("double", 2), times("triple", 3)]).optional(),
        one,
    ])
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::workflow::check::Workflow;

    static WORKFLOW: LazyLock<Workflow> = LazyLock::new(|| {
        let text = include_str!("../../../fixtures/workflows/clinic.toml");
        Workflow::from_toml(text).unwrap_or_else(|error| panic!("{error}"))
    });

    fn listening(slots: &[(&str, Value)]) -> Listening {
        let slots = slots
            .iter()
            .map(|(name, value)| {
                let slot: Slot = serde_json::from_value(value.clone()).unwrap();
                let entries = match &slot {
                    Slot::Choice(choice) => choice.options.clone(),
                    Slot::Name(name) => name.options.clone(),
                    _ => Vec::new(),
                };
                ExpectedSlot::new(name, &slot, entries, true)
            })
            .collect();
        Listening::new(slots, &[])
    }

    fn understand(listening: &Listening, text: &str) -> Vec<(String, Value)> {
        let hours = toml::from_str("monday = [[\"09:00\", \"17:00\"]]").unwrap();
        let context = AnswerContext {
            today: "2026-11-22".parse().unwrap(),
            hours: &hours,
        };
        let found = listening.understand(text, context);
        found
            .values
            .into_iter()
            .map(|(name, known)| (name, known.value))
            .collect()
    }

    #[test]
    fn several_slots_come_out_of_one_sentence() {
        let both = listening(&[
            ("date", json!({"type": "date"})),
            ("time", json!({"type": "time"})),
        ]);
        let values = |date: &str, time: &str| {
            vec![
                ("date".to_owned(), json!(date)),
                ("time".to_owned(), json!(time)),
            ]
        };
        for said in ["tuesday at ten", "Um, Tuesday, maybe at 10:00?"] {
            assert_eq!(
                understand(&both, said),
                values("2026-11-24", "10:00"),
                "{said}"
            );
        }
        assert_eq!(
            understand(&both, "the third at half past three"),
            values("2026-12-03", "15:30")
        );
        assert_eq!(
            understand(&both, "monday no tuesday at ten"),
            values("2026-11-24", "10:00")
        );
    }

    #[test]
    fn digits_are_taken_whole_or_not_at_all() {
        let phone = listening(&[("phone", json!({"type": "digits", "min": 4, "max": 5}))]);
        let one = |said: &str| understand(&phone, said).pop().map(|(_, value)| value);
        assert_eq!(one("one two three four"), Some(json!("1234")));
        assert_eq!(one("it's 12-34 5"), Some(json!("12345")));
        assert_eq!(one("double five oh triple"), None);
        assert_eq!(one("double five triple nine"), Some(json!("55999")));
        assert_eq!(one("one two three four five six"), None);
        assert_eq!(one("123"), None);
    }

    #[test]
    fn names_are_said_spelled_or_free() {
        let name = listening(&[(
            "name",
            json!({"type": "name", "spelled": true, "free": true,
                "options": [{"value": "Carter", "phrases": ["carter"]}]}),
        )]);
        let one = |said: &str| understand(&name, said).pop().map(|(_, value)| value);
        assert_eq!(one("it's Carter"), Some(json!("Carter")));
        assert_eq!(one("s m i t h"), Some(json!("Smith")));
        assert_eq!(one("H-A-double L"), Some(json!("Hall")));
        assert_eq!(one("b as in boy o b"), Some(json!("Bob")));
        assert_eq!(one("My name is Anna O'Neil."), Some(json!("Anna O'neil")));
        assert_eq!(one("what did you say"), None);
        assert_eq!(one("uh"), None);
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let number = listening(&[("n", json!({"type": "number", "min": 2, "max": 5_000}))]);
        let one = |said: &str| understand(&number, said).pop().map(|(_, value)| value);
        assert_eq!(one("two"), Some(json!(2)));
        assert_eq!(one("a hundred and twenty five"), Some(json!(125)));
        assert_eq!(one("3400 please"), Some(json!(3_400)));
        assert_eq!(one("four thousand nine hundred"), Some(json!(4_900)));
        assert_eq!(one("six thousand"), None);
    }

    #[test]
    fn agreement_and_refusal_are_told_apart() {
        let confirm = listening(&[("ok", json!({"type": "yes_no"}))]);
        let one = |said: &str| understand(&confirm, said).pop().map(|(_, value)| value);
        for yes in ["Yes.", "that's right", "yeah sure", "OK"] {
            assert_eq!(one(yes), Some(json!(true)), "{yes}");
        }
        for no in [
            "No!",
            "that's not right",
            "nope",
            "no thank you",
            "no that's wrong",
        ] {
            assert_eq!(one(no), Some(json!(false)), "{no}");
        }
        assert_eq!(one("i don't know"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Whatever a recogniser can hear by the grammar is an answer or a command.
        #[test]
        fn every_sentence_of_a_grammar_is_understood(seed in any::<u64>()) {
            let workflow = &*WORKFLOW;
            let mut state = seed | 1;
            let mut pick = |below: usize| {
                // xorshift64
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                usize::try_from(state % below as u64).unwrap()
            };
            let context = AnswerContext {
                today: "2026-11-22".parse().unwrap(),
                hours: &workflow.hours,
            };
            for (node, listening) in &workflow.listening {
                let mut said = Vec::new();
                listening.spoken().unwrap().sample(&mut pick, &mut said);
                let text = said.join(" ");
                let found = listening.understand(&text, context);
                prop_assert!(found != Understood::default(), "{node}: `{text}`");
            }
        }

        #[test]
        fn any_text_is_survived(text in "\\PC{0,80}", keys in "\\PC{0,20}") {
            let all = listening(&[
                ("a", json!({"type": "date"})),
                ("b", json!({"type": "time"})),
                ("c", json!({"type": "digits", "min": 3, "max": 5})),
                ("d", json!({"type": "number", "min": 0, "max": 999_999})),
                ("e", json!({"type": "name", "spelled": true, "free": true})),
            ]);
            understand(&all, &text);
            all.understand_keys(&keys);
        }
    }
}
