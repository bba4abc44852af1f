//! Scanning of header values: commas and semicolons that are not inside quotes or brackets.

use super::ParseError;

/// Index just past the closing quote of the quoted string that begins at byte 0 of `text`.
pub(super) fn quoted_end(text: &str) -> Result<usize, ParseError> {
    let bytes = text.as_bytes();
    let mut at = 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return Ok(at + 1),
            _ => at += 1,
        }
    }
    Err(ParseError::Quotes)
}

/// Pieces of `text` between separators that stand outside quoted strings and `<...>`.
pub(super) fn split_unquoted(text: &str, separator: u8) -> SplitUnquoted<'_> {
    SplitUnquoted {
        rest: Some(text),
        separator,
    }
}

/// Elements of a comma-separated list.
pub(crate) fn split_list(text: &str) -> impl Iterator<Item = Result<&str, ParseError>> {
    split_unquoted(text, b',')
}

pub(super) struct SplitUnquoted<'a> {
    rest: Option<&'a str>,
    separator: u8,
}

impl<'a> Iterator for SplitUnquoted<'a> {
    type Item = Result<&'a str, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.rest.take()?;
        let bytes = text.as_bytes();
        let mut at = 0;
        let mut in_brackets = false;
        while let Some(&byte) = bytes.get(at) {
            if byte == b'"' && !in_brackets {
                match quoted_end(&text[at..]) {
                    Ok(length) => at += length,
                    Err(error) => return Some(Err(error)),
                }
                continue;
            }
            match byte {
                b'<' => in_brackets = true,
                b'>' => in_brackets = false,
                _ if byte == self.separator && !in_brackets => {
                    self.rest = Some(&text[at + 1..]);
                    return Some(Ok(&text[..at]));
                }
                _ => {}
            }
            at += 1;
        }
        Some(Ok(text))
    }
}

/// Whether `text` is a token of RFC 3261 §25.1.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| {
            b.is_ascii_alphanumeric()
                || matches!(
                    b,
                    b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
                )
        })
}
