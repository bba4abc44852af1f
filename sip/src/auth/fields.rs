//! `Digest name=value, name="value"` as in challenges and credentials.

use crate::message::split_list;

/// The parameters of one Digest header field value. Quotes and escapes are taken off.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct DigestFields(Vec<(String, String)>);

impl DigestFields {
    /// Reads a value; `None` if its scheme is another or it is malformed.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let (scheme, rest) = value.trim_start().split_once(char::is_whitespace)?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let mut fields = Vec::new();
        for part in split_list(rest) {
            let (name, value) = part.ok()?.split_once('=')?;
            fields.push((name.trim().to_ascii_lowercase(), unquote(value.trim())));
        }
        Some(Self(fields))
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }
}

fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

/// Text as a quoted string.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}
