//! `;name=value` parameters of URIs and header fields.

use std::fmt;

use super::ParseError;
use super::scan::split_unquoted;

/// One parameter; the value keeps its quotes and escapes.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Param {
    name: String,
    value: Option<String>,
}

/// Parameters in the order they were written. Names compare without case (RFC 3261 §7.3.1).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Params(Vec<Param>);

impl Params {
    /// No parameters.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Reads `a=1;b;c="x;y"` (the text after the first semicolon).
    ///
    /// # Errors
    /// [`ParseError::Parameter`] for an empty name, stray quotes or control characters.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut params = Self::new();
        for part in split_unquoted(text, b';') {
            let part = part?;
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value.trim())),
                None => (part.trim(), None),
            };
            if !is_name(name) || value.is_some_and(|value| !is_value(value)) {
                return Err(ParseError::Parameter);
            }
            params.0.push(Param {
                name: name.to_owned(),
                value: value.map(str::to_owned),
            });
        }
        Ok(params)
    }

    /// Sets a parameter, replacing one of the same name.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let value = value.map(str::to_owned);
        match self
            .0
            .iter_mut()
            .find(|p| p.name.eq_ignore_ascii_case(name))
        {
            Some(param) => param.value = value,
            None => self.0.push(Param {
                name: name.to_owned(),
                value,
            }),
        }
    }

    /// Removes a parameter.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|p| !p.name.eq_ignore_ascii_case(name));
    }

    /// Value of a parameter that has one.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.find(name).and_then(|p| p.value.as_deref())
    }

    /// Whether the parameter is there, with or without a value.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|p| (p.name.as_str(), p.value.as_deref()))
    }

    fn find(&self, name: &str) -> Option<&Param> {
        self.0.iter().find(|p| p.name.eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for param in &self.0 {
            match &param.value {
                Some(value) => write!(f, ";{}={value}", param.name)?,
                None => write!(f, ";{}", param.name)?,
            }
        }
        Ok(())
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b > b' ' && b != 0x7f && !matches!(b, b'"' | b'<' | b'>' | b',' | b'@'))
}

fn is_value(value: &str) -> bool {
    if value.starts_with('"') {
        return value.len() >= 2 && value.ends_with('"');
    }
    value
        .bytes()
        .all(|b| b > b' ' && b != 0x7f && !matches!(b, b'"' | b'<' | b'>' | b','))
}
