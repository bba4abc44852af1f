//! Checks a JSGF grammar before it reaches the decoder's C parser, and rewrites it to what the
//! decoder needs.
//!
//! Grammars are written by the authors of workflows, so they are input from outside. The C
//! parser would follow imports to files, expand rules without limit and pick any of several
//! public rules. What is passed on here imports nothing, has one public rule, expands to a
//! bounded number of words and contains only plain lower-case words.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::hash::{Hash as _, Hasher as _};

/// Longest grammar text in bytes.
pub const GRAMMAR_BYTES_MAX: usize = 256 * 1024;
/// Most words after all rules are written out in place.
pub const GRAMMAR_WORDS_MAX: u64 = 50_000;
/// Deepest nesting of groups: the C parser's stack is finite.
const NESTING_MAX: usize = 100;

/// Why a grammar cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrammarError {
    /// Longer than [`GRAMMAR_BYTES_MAX`].
    #[error("grammar is longer than {GRAMMAR_BYTES_MAX} bytes")]
    TooLong,
    /// Expands beyond [`GRAMMAR_WORDS_MAX`].
    #[error("grammar expands to more than {GRAMMAR_WORDS_MAX} words")]
    TooLarge,
    /// Something stands where the syntax does not allow it.
    #[error("grammar is malformed near byte {at}: {what}")]
    Syntax {
        /// Byte offset in the text.
        at: usize,
        /// What was met.
        what: &'static str,
    },
    /// Rules of other grammars cannot be imported.
    #[error("grammar imports another one")]
    Import,
    /// No rule is public.
    #[error("grammar has no public rule")]
    NoPublicRule,
    /// A rule is used but not defined.
    #[error("rule <{0}> is not defined")]
    UndefinedRule(String),
    /// A rule is defined twice.
    #[error("rule <{0}> is defined twice")]
    DuplicateRule(String),
    /// A rule contains itself; use `*` or `+` to repeat.
    #[error("rule <{0}> contains itself")]
    Recursive(String),
    /// No pronunciation can be made for a word.
    #[error("word {0:?} cannot be pronounced")]
    Word(String),
    /// The decoder refused what passed all checks.
    #[error("grammar does not compile")]
    Refused,
}

/// A grammar that is safe to compile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckedGrammar {
    text: String,
    words: BTreeSet<String>,
    key: u64,
}

impl CheckedGrammar {
    /// Checks `source` and rewrites it.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn parse(source: &str) -> Result<Self, GrammarError> {
        if source.len() > GRAMMAR_BYTES_MAX {
            return Err(GrammarError::TooLong);
        }
        let rules = Parser::new(source).rules()?;
        let public: Vec<&Rule> = rules.iter().filter(|rule| rule.public).collect();
        if public.is_empty() {
            return Err(GrammarError::NoPublicRule);
        }
        check_size(&rules)?;

        let mut text = String::from("#JSGF V1.0;\ngrammar checked;\n");
        let roots: Vec<String> = public
            .iter()
            .map(|rule| format!("<r_{}>", rule.name))
            .collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "public <root> = {};", roots.join(" | "));
        let mut words = BTreeSet::new();
        for rule in rules {
            let _ = writeln!(text, "<r_{}> = {};", rule.name, rule.body);
            words.extend(rule.words);
        }
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Ok(Self {
            key: hasher.finish(),
            text,
            words,
        })
    }

    /// The rewritten grammar.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Every word in it.
    #[must_use]
    pub const fn words(&self) -> &BTreeSet<String> {
        &self.words
    }

    /// Equal for equal grammars, within one process.
    #[must_use]
    pub const fn key(&self) -> u64 {
        self.key
    }
}

struct Rule {
    name: String,
    public: bool,
    body: String,
    words: BTreeSet<String>,
    word_count: u64,
    references: Vec<String>,
}

/// Counts words with every reference written out; finds undefined and recursive rules.
fn check_size(rules: &[Rule]) -> Result<(), GrammarError> {
    fn size<'a>(
        name: &'a str,
        rules: &BTreeMap<&'a str, &'a Rule>,
        sizes: &mut BTreeMap<&'a str, Option<u64>>,
        depth: usize,
    ) -> Result<u64, GrammarError> {
        match sizes.get(name) {
            Some(Some(size)) => return Ok(*size),
            Some(None) => return Err(GrammarError::Recursive(name.to_owned())),
            None => {}
        }
        let Some(rule) = rules.get(name) else {
            return Err(GrammarError::UndefinedRule(name.to_owned()));
        };
        if depth > NESTING_MAX {
            return Err(GrammarError::TooLarge);
        }
        sizes.insert(name, None);
        let mut total = rule.word_count;
        for reference in &rule.references {
            total = total.saturating_add(size(reference, rules, sizes, depth + 1)?);
        }
        if total > GRAMMAR_WORDS_MAX {
            return Err(GrammarError::TooLarge);
        }
        sizes.insert(name, Some(total));
        Ok(total)
    }

    let mut by_name = BTreeMap::new();
    for rule in rules {
        if by_name.insert(rule.name.as_str(), rule).is_some() {
            return Err(GrammarError::DuplicateRule(rule.name.clone()));
        }
    }
    let mut sizes = BTreeMap::new();
    let mut public_total = 0_u64;
    for rule in rules {
        let size = size(&rule.name, &by_name, &mut sizes, 0)?;
        if rule.public {
            public_total = public_total.saturating_add(size);
        }
    }
    if public_total > GRAMMAR_WORDS_MAX {
        return Err(GrammarError::TooLarge);
    }
    Ok(())
}

struct Parser<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    const fn new(source: &'a str) -> Self {
        Self { source, at: 0 }
    }

    fn rules(mut self) -> Result<Vec<Rule>, GrammarError> {
        self.skip_header()?;
        let mut rules = Vec::new();
        loop {
            self.skip_blank()?;
            if self.rest().is_empty() {
                return Ok(rules);
            }
            if self.keyword("import") {
                return Err(GrammarError::Import);
            }
            if self.keyword("grammar") {
                self.skip_past(';')?;
                continue;
            }
            let public = self.keyword("public");
            self.skip_blank()?;
            let name = self.rule_name()?;
            self.skip_blank()?;
            self.expect('=')?;
            rules.push(self.body(name, public)?);
        }
    }

    /// The header is optional here; the rewritten text always has one.
    fn skip_header(&mut self) -> Result<(), GrammarError> {
        self.skip_blank()?;
        if self.rest().starts_with('\u{feff}') {
            self.at += '\u{feff}'.len_utf8();
        }
        if self.rest().starts_with("#JSGF") {
            self.skip_past(';')?;
        }
        Ok(())
    }

    fn body(&mut self, name: String, public: bool) -> Result<Rule, GrammarError> {
        let mut rule = Rule {
            name,
            public,
            body: String::new(),
            words: BTreeSet::new(),
            word_count: 0,
            references: Vec::new(),
        };
        let mut open = Vec::new();
        // Whether something that can be repeated or closed has just been written.
        let mut has_item = false;
        loop {
            self.skip_blank()?;
            let start = self.at;
            let Some(next) = self.rest().chars().next() else {
                return Err(self.syntax("the text ends inside a rule"));
            };
            match next {
                ';' => {
                    if !open.is_empty() {
                        return Err(self.syntax("a group is not closed"));
                    }
                    if !has_item {
                        return Err(self.syntax("an empty alternative"));
                    }
                    self.at += 1;
                    return Ok(rule);
                }
                '(' | '[' => {
                    open.push(if next == '(' { ')' } else { ']' });
                    if open.len() > NESTING_MAX {
                        return Err(self.syntax("groups are nested too deep"));
                    }
                    rule.body.push(next);
                    self.at += 1;
                    has_item = false;
                }
                ')' | ']' => {
                    if open.pop() != Some(next) {
                        return Err(self.syntax("a bracket that does not match"));
                    }
                    if !has_item {
                        return Err(self.syntax("an empty alternative"));
                    }
                    rule.body.push(next);
                    self.at += 1;
                }
                '|' => {
                    if !has_item {
                        return Err(self.syntax("an empty alternative"));
                    }
                    rule.body.push_str(" | ");
                    self.at += 1;
                    has_item = false;
                }
                '*' | '+' => {
                    if !has_item || rule.body.ends_with(['*', '+']) {
                        return Err(self.syntax("a repetition of nothing"));
                    }
                    rule.body.push(next);
                    self.at += 1;
                }
                '{' => self.skip_tag()?,
                '/' => {
                    let weight = self.weight()?;
                    if has_item {
                        return Err(self.syntax("a weight that does not begin an alternative"));
                    }
                    let _ = write!(rule.body, "/{weight}/ ");
                }
                '<' => {
                    let name = self.rule_name()?;
                    if name == "NULL" || name == "VOID" {
                        let _ = write!(rule.body, " <{name}>");
                    } else {
                        let _ = write!(rule.body, " <r_{name}>");
                        rule.references.push(name);
                    }
                    has_item = true;
                }
                '"' => {
                    self.at += 1;
                    let Some(length) = self.rest().find('"') else {
                        return Err(self.syntax("a quotation that does not end"));
                    };
                    let quoted = &self.rest()[..length];
                    if quoted.trim().is_empty() {
                        return Err(self.syntax("an empty quotation"));
                    }
                    rule.body.push_str(" (");
                    for word in quoted.split_whitespace() {
                        add_word(&mut rule, word, start)?;
                    }
                    rule.body.push(')');
                    self.at += length + 1;
                    has_item = true;
                }
                _ => {
                    let length = self
                        .rest()
                        .find(|c: char| c.is_whitespace() || "()[]{}<>|*+;=/\"#".contains(c))
                        .unwrap_or(self.rest().len());
                    let word = &self.rest()[..length];
                    add_word(&mut rule, word, start)?;
                    self.at += length;
                    has_item = true;
                }
            }
        }
    }

    fn rule_name(&mut self) -> Result<String, GrammarError> {
        self.expect('<')?;
        let Some(length) = self.rest().find('>') else {
            return Err(self.syntax("a rule name that does not end"));
        };
        let name = &self.rest()[..length];
        if name.is_empty()
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        {
            return Err(self.syntax("a rule name with characters that are not allowed"));
        }
        self.at += length + 1;
        Ok(name.to_owned())
    }

    fn weight(&mut self) -> Result<f32, GrammarError> {
        self.expect('/')?;
        let weight = self
            .rest()
            .find('/')
            .and_then(|length| {
                let weight: f32 = self.rest()[..length].trim().parse().ok()?;
                self.at += length + 1;
                Some(weight)
            })
            .filter(|weight| weight.is_finite() && *weight > 0.0 && *weight <= 1e6);
        weight.ok_or_else(|| self.syntax("a weight that is no positive number"))
    }

    fn skip_tag(&mut self) -> Result<(), GrammarError> {
        let mut escaped = false;
        for (offset, c) in self.rest().char_indices() {
            if c == '}' && !escaped {
                self.at += offset + 1;
                return Ok(());
            }
            escaped = c == '\\' && !escaped;
        }
        Err(self.syntax("a tag that does not end"))
    }

    fn skip_blank(&mut self) -> Result<(), GrammarError> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("//") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if trimmed.starts_with("/*") {
                let Some(length) = trimmed.find("*/") else {
                    return Err(self.syntax("a comment that does not end"));
                };
                self.at += length + 2;
            } else {
                return Ok(());
            }
        }
    }

    fn skip_past(&mut self, end: char) -> Result<(), GrammarError> {
        let Some(length) = self.rest().find(end) else {
            return Err(self.syntax("a declaration that does not end"));
        };
        self.at += length + end.len_utf8();
        Ok(())
    }

    fn keyword(&mut self, word: &str) -> bool {
        let found = self
            .rest()
            .strip_prefix(word)
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_whitespace() || c == '<'));
        if found {
            self.at += word.len();
        }
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), GrammarError> {
        if self.rest().starts_with(wanted) {
            self.at += wanted.len_utf8();
            Ok(())
        } else {
            Err(self.syntax("something else than a rule `<name> = …;`"))
        }
    }

    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    const fn syntax(&self, what: &'static str) -> GrammarError {
        GrammarError::Syntax { at: self.at, what }
    }
}

fn add_word(rule: &mut Rule, word: &str, at: usize) -> Result<(), GrammarError> {
    let word = word.to_lowercase().replace('\u{2019}', "'");
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '\'' | '.' | '-' | '_');
    if !word.chars().all(allowed) || !word.contains(char::is_alphanumeric) {
        return Err(GrammarError::Syntax {
            at,
            what: "a word with characters that are not allowed",
        });
    }
    let word: String = word
        .chars()
        .flat_map(super::transliteration::ascii_letters)
        .collect();
    if !word.contains(|c: char| c.is_ascii_alphanumeric()) {
        return Err(GrammarError::Word(word));
    }
    rule.body.push(' ');
    rule.body.push_str(&word);
    rule.words.insert(word);
    rule.word_count += 1;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syntax(source: &str) -> bool {
        matches!(
            CheckedGrammar::parse(source),
            Err(GrammarError::Syntax { .. })
        )
    }

    #[test]
    fn a_grammar_is_rewritten_with_one_public_rule_and_plain_words() {
        let grammar = CheckedGrammar::parse(
            "#JSGF V1.0;\n// comment\ngrammar answer;\n\
             public <answer> = [<polite>] /0.5/ Yes {tag; \\} } | /2/ (no | \"not now\")+;\n\
             /* more */ <polite> = Gar\u{e7}on's *; public <other> = <NULL> zero;",
        );
        // A weight after an item is refused, one that begins an alternative is not.
        assert!(matches!(grammar, Err(GrammarError::Syntax { .. })));

        let grammar = CheckedGrammar::parse(
            "#JSGF V1.0;\n// comment\ngrammar answer;\n\
             public <answer> = /0.5/ [<polite>] Yes {tag; \\} } | /2/ (no | \"not now\")+;\n\
             /* more */ <polite> = Gar\u{e7}on's *; public <other> = <NULL> zero;",
        )
        .unwrap();
        assert_eq!(
            grammar.text(),
            "#JSGF V1.0;\ngrammar checked;\n\
             public <root> = <r_answer> | <r_other>;\n\
             <r_answer> = /0.5/ [ <r_polite>] yes | /2/ ( no |  ( not now))+;\n\
             <r_polite> =  garcon's*;\n\
             <r_other> =  <NULL> zero;\n"
        );
        let words: Vec<&str> = grammar.words().iter().map(String::as_str).collect();
        assert_eq!(words, ["garcon's", "no", "not", "now", "yes", "zero"]);
    }

    #[test]
    fn what_the_c_parser_must_not_see_is_refused() {
        assert_eq!(
            CheckedGrammar::parse("import <file.*>; public <a> = b;"),
            Err(GrammarError::Import)
        );
        assert_eq!(
            CheckedGrammar::parse("<a> = b;"),
            Err(GrammarError::NoPublicRule)
        );
        assert_eq!(CheckedGrammar::parse(""), Err(GrammarError::NoPublicRule));
        assert_eq!(
            CheckedGrammar::parse("public <a> = <b>;"),
            Err(GrammarError::UndefinedRule("b".into()))
        );
        assert_eq!(
            CheckedGrammar::parse("public <a> = b | <c>; <c> = d <a>;"),
            Err(GrammarError::Recursive("a".into()))
        );
        assert_eq!(
            CheckedGrammar::parse("public <a> = b; <a> = c;"),
            Err(GrammarError::DuplicateRule("a".into()))
        );
        for source in [
            "public <a> = b\0c;",
            "public <a> = b",
            "public <a> = ;",
            "public <a> = (b;",
            "public <a> = b);",
            "public <a> = (b];",
            "public <a> = b | | c;",
            "public <a> = *;",
            "public <a> = b**;",
            "public <a> = \"b;",
            "public <a> = {b;",
            "public <a> = /x/ b;",
            "public <a> = /-1/ b;",
            "public <a b> = c;",
            "public a = c;",
            "/*",
            "#JSGF V1.0",
            "public <a> = ++sil++;",
            "public <a> = !;",
        ] {
            assert!(syntax(source), "{source:?}");
        }
    }

    #[test]
    fn a_grammar_that_explodes_is_refused() {
        let mut source = String::from("public <r0> = <r1> <r1>;");
        for level in 1..40 {
            source.push_str(&format!("<r{level}> = <r{0}> <r{0}>;", level + 1));
        }
        source.push_str("<r40> = word;");
        assert_eq!(CheckedGrammar::parse(&source), Err(GrammarError::TooLarge));

        let nested = format!("public <a> = {}b{};", "(".repeat(101), ")".repeat(101));
        assert!(syntax(&nested));
        let long = format!("public <a> = {};", "b ".repeat(GRAMMAR_BYTES_MAX / 2));
        assert_eq!(CheckedGrammar::parse(&long), Err(GrammarError::TooLong));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_accepted_text_is_stable(source in "(public )?<[a-c]> = [ a-c<>()|*+;=/{}\\[\\]\"0-9.\u{e9}]{0,60};") {
            if let Ok(grammar) = CheckedGrammar::parse(&source) {
                let again = CheckedGrammar::parse(grammar.text()).unwrap();
                proptest::prop_assert_eq!(grammar.words(), again.words());
            }
        }
    }
}
