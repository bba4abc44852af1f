//! Server-sent events (WHATWG HTML §9.2.6), as far as model providers use them.

/// Longest event; a longer one is a fault of the sender.
const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// The sender broke the format.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SseError {
    /// An event beyond `EVENT_BYTES_MAX`.
    #[error("event is over {EVENT_BYTES_MAX} bytes")]
    TooLong,
    /// A line is not UTF-8.
    #[error("event is not UTF-8")]
    NotUtf8,
}

/// Cuts a byte stream into events. Bytes may be split anywhere, also inside a character.
#[derive(Debug, Default)]
pub struct SseParser {
    /// The unfinished line.
    line: Vec<u8>,
    /// Data of the unfinished event.
    data: Option<String>,
    /// The last byte was a CR, whose LF may still come.
    after_cr: bool,
    /// A byte order mark may still come.
    started: bool,
}

impl SseParser {
    /// Takes bytes and returns the data of the events they complete.
    ///
    /// # Errors
    /// [`SseError`] when the sender broke the format.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, SseError> {
        let mut out = Vec::new();
        for &byte in bytes {
            match byte {
                b'\n' if self.after_cr => self.after_cr = false,
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    out.extend(self.end_line()?);
                }
                _ => {
                    self.after_cr = false;
                    self.line.push(byte);
                    if self.line.len() > EVENT_BYTES_MAX {
                        return Err(SseError::TooLong);
                    }
                }
            }
        }
        Ok(out)
    }

    fn end_line(&mut self) -> Result<Option<String>, SseError> {
        let bytes = std::mem::take(&mut self.line);
        let mut line = std::str::from_utf8(&bytes).map_err(|_| SseError::NotUtf8)?;
        if !self.started {
            self.started = true;
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            return Ok(self.data.take());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        // Comments have an empty field name; other fields say nothing we need.
        if field != "data" {
            return Ok(None);
        }
        let value = value.strip_prefix(' ').unwrap_or(value);
        match &mut self.data {
            None => self.data = Some(value.to_owned()),
            Some(data) => {
                data.push('\n');
                data.push_str(value);
            }
        }
        if self
            .data
            .as_ref()
            .is_some_and(|data| data.len() > EVENT_BYTES_MAX)
        {
            return Err(SseError::TooLong);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = ": hello\r\ndata: {\"a\":\"é\"}\r\n\r\nevent: x\ndata: one\ndata:two\n\n\
                          id: 4\n\ndata\n\ndata: [DONE]\r\r";

    fn expected() -> Vec<String> {
        ["{\"a\":\"é\"}", "one\ntwo", "", "[DONE]"]
            .map(str::to_owned)
            .to_vec()
    }

    #[test]
    fn events_come_out_whole_however_the_bytes_are_split() {
        for size in 1..STREAM.len() {
            let mut parser = SseParser::default();
            let mut out = Vec::new();
            for chunk in STREAM.as_bytes().chunks(size) {
                out.extend(parser.push(chunk).unwrap());
            }
            assert_eq!(out, expected(), "chunks of {size}");
        }
    }

    #[test]
    fn an_unfinished_event_is_not_given_out() {
        let mut parser = SseParser::default();
        assert_eq!(parser.push(b"data: half\n"), Ok(Vec::new()));
        assert_eq!(parser.push(b"\n"), Ok(vec!["half".to_owned()]));
    }

    #[test]
    fn endless_lines_are_refused() {
        let mut parser = SseParser::default();
        assert_eq!(
            parser.push(&vec![b'x'; EVENT_BYTES_MAX + 1]),
            Err(SseError::TooLong)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = SseParser::default().push(&bytes);
        }
    }
}
