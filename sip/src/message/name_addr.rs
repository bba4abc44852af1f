//! Name and address as in From, To, Contact, Route and Refer-To.

use std::fmt;

use super::scan::quoted_end;
use super::{Params, ParseError, Uri};

/// `"Display" <uri>;params`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameAddr {
    display: Option<String>,
    /// The URI.
    pub uri: Uri,
    /// Header parameters (`tag`, `q`, ...), not those of the URI.
    pub params: Params,
}

impl NameAddr {
    /// An address without display name or parameters.
    #[must_use]
    pub const fn new(uri: Uri) -> Self {
        Self {
            display: None,
            uri,
            params: Params::new(),
        }
    }

    /// Sets the display name; quotes and line ends in it are made harmless.
    #[must_use]
    pub fn with_display(mut self, name: &str) -> Self {
        let mut quoted = String::with_capacity(name.len() + 2);
        quoted.push('"');
        for c in name.chars().filter(|c| !c.is_control()) {
            if matches!(c, '"' | '\\') {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        quoted.push('"');
        self.display = Some(quoted);
        self
    }

    /// Sets the `tag` parameter.
    #[must_use]
    pub fn with_tag(mut self, tag: &str) -> Self {
        self.params.set("tag", Some(tag));
        self
    }

    /// Reads one name-addr or addr-spec with its parameters.
    ///
    /// An unquoted display name may hold any text but quotes: some gateways write commas there.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let text = text.trim();
        let open = if text.starts_with('"') {
            let end = quoted_end(text)?;
            let rest = text[end..].trim_start();
            if !rest.starts_with('<') {
                return Err(ParseError::NameAddr);
            }
            Some(text.len() - rest.len())
        } else {
            text.find('<')
        };
        let Some(open) = open else {
            return Self::parse_addr_spec(text);
        };
        let display = text[..open].trim();
        if !display.starts_with('"') && display.contains(['"', '>', ';']) {
            return Err(ParseError::NameAddr);
        }
        let close = text[open..].find('>').ok_or(ParseError::NameAddr)? + open;
        Ok(Self {
            display: (!display.is_empty()).then(|| display.to_owned()),
            uri: Uri::parse(&text[open + 1..close])?,
            params: Self::parse_params(text[close + 1..].trim())?,
        })
    }

    fn parse_addr_spec(text: &str) -> Result<Self, ParseError> {
        // Without brackets the parameters belong to the header, and the URI may hold neither
        // comma nor question mark (RFC 3261 §20.10).
        let end = text.find(';').unwrap_or(text.len());
        let uri = text[..end].trim_end();
        if uri.contains([',', '?']) {
            return Err(ParseError::NameAddr);
        }
        Ok(Self {
            display: None,
            uri: Uri::parse(uri)?,
            params: Self::parse_params(&text[end..])?,
        })
    }

    fn parse_params(text: &str) -> Result<Params, ParseError> {
        if text.is_empty() {
            return Ok(Params::new());
        }
        Params::parse(text.strip_prefix(';').ok_or(ParseError::NameAddr)?)
    }

    /// The `tag` parameter; an empty one counts as none.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.params.value("tag").filter(|tag| !tag.is_empty())
    }

    /// Display name without quotes and escapes.
    #[must_use]
    pub fn display_name(&self) -> Option<String> {
        let raw = self.display.as_deref()?;
        let Some(inner) = raw.strip_prefix('"').and_then(|r| r.strip_suffix('"')) else {
            return Some(raw.to_owned());
        };
        let mut name = String::with_capacity(inner.len());
        let mut chars = inner.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => name.extend(chars.next()),
                c => name.push(c),
            }
        }
        Some(name)
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            write!(f, "{display} ")?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_without_brackets_belong_to_the_header() {
        let address = NameAddr::parse("sip:a@example.com;tag = x1").unwrap();
        assert_eq!(address.tag(), Some("x1"));
        assert_eq!(address.to_string(), "<sip:a@example.com>;tag=x1");
    }

    #[test]
    fn quoted_display_names_unescape() {
        let address = NameAddr::parse(r#""J \"R\" <x>" <sip:a@b>;q=0.3"#).unwrap();
        assert_eq!(address.display_name().as_deref(), Some("J \"R\" <x>"));
        let made = NameAddr::new(Uri::parse("sip:a@b").unwrap()).with_display("a\"\r\nb");
        assert_eq!(made.to_string(), r#""a\"b" <sip:a@b>"#);
    }

    #[test]
    fn unbalanced_or_spaced_forms_are_refused() {
        for text in [
            "\"Mr. J. User <sip:j@example.com>",
            "\"W\" < sip:t@example.org >",
            "<sip:a@b",
            "sip:user@example.com?Route=x",
            "<sip:a@b>;;;;",
        ] {
            assert!(NameAddr::parse(text).is_err(), "{text}");
        }
    }
}
