//! Cutting a stream into messages (RFC 3261 §18.3) and keep-alives (RFC 5626 §3.5.1).

use crate::message::{HeaderName, MESSAGE_BYTES_MAX};

/// Longest run of header bytes without the empty line that ends them.
const HEAD_BYTES_MAX: usize = 32_768;

/// One unit of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// A whole message.
    Message(Vec<u8>),
    /// CRLF CRLF between messages: the peer asks whether we are there.
    Ping,
    /// A single CRLF: the answer to a ping of ours.
    Pong,
}

/// Why a stream cannot be read on: it must be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FramingError {
    /// The header fields do not end, or header and body are longer than a message may be.
    #[error("message on the stream is too long")]
    TooLong,
    /// No Content-Length, several, or one that is no number: the end cannot be found.
    #[error("message on the stream has no usable Content-Length")]
    ContentLength,
    /// What begins the message is no text.
    #[error("stream carries something other than SIP")]
    NotSip,
}

/// Takes bytes as they come and gives frames.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Bytes of the front that were searched for the empty line already.
    searched: usize,
}

impl Framer {
    /// Nothing read yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            buffer: Vec::new(),
            searched: 0,
        }
    }

    /// Whether nothing waits for its end.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Adds bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame; `None` until more bytes come.
    ///
    /// # Errors
    /// [`FramingError`], after which nothing more can be read.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FramingError> {
        match self.buffer.as_slice() {
            [] => return Ok(None),
            [b'\r', b'\n', b'\r', b'\n', ..] => {
                self.take(4);
                return Ok(Some(Frame::Ping));
            }
            // The other half of a ping may still be on its way; a pong stands alone.
            [b'\r'] => return Ok(None),
            [b'\r', b'\n'] => {
                self.take(2);
                return Ok(Some(Frame::Pong));
            }
            [b'\r', b'\n', b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] => {
                self.take(2);
                return Ok(Some(Frame::Pong));
            }
            [first, ..] if !first.is_ascii_alphabetic() => return Err(FramingError::NotSip),
            _ => {}
        }
        let from = self.searched.saturating_sub(3);
        let found = self
            .buffer
            .get(from..)
            .and_then(|rest| rest.windows(4).position(|window| window == b"\r\n\r\n"));
        let Some(at) = found else {
            self.searched = self.buffer.len();
            return if self.buffer.len() > HEAD_BYTES_MAX {
                Err(FramingError::TooLong)
            } else {
                Ok(None)
            };
        };
        let head = from + at + 4;
        let length = content_length(self.buffer.get(..head).unwrap_or_default())?;
        let total = head
            .checked_add(length)
            .filter(|total| *total <= MESSAGE_BYTES_MAX)
            .ok_or(FramingError::TooLong)?;
        if self.buffer.len() < total {
            self.searched = head.saturating_sub(4);
            return Ok(None);
        }
        Ok(Some(Frame::Message(self.take(total))))
    }

    /// Cuts `count` bytes off the front.
    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(count);
        self.searched = 0;
        std::mem::replace(&mut self.buffer, rest)
    }
}

/// The one Content-Length of a message head.
fn content_length(head: &[u8]) -> Result<usize, FramingError> {
    let mut found = None;
    for line in head.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            continue;
        };
        let Ok(name) = std::str::from_utf8(line.get(..colon).unwrap_or_default()) else {
            continue;
        };
        if HeaderName::new(name.trim_end()) != HeaderName::ContentLength {
            continue;
        }
        let value = std::str::from_utf8(line.get(colon + 1..).unwrap_or_default())
            .map_err(|_| FramingError::ContentLength)?
            .trim();
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let length = is_number
            .then(|| value.parse().ok())
            .flatten()
            .ok_or(FramingError::ContentLength)?;
        if found.replace(length).is_some() {
            return Err(FramingError::ContentLength);
        }
    }
    found.ok_or(FramingError::ContentLength)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\n";

    fn frames(framer: &mut Framer) -> Vec<Frame> {
        std::iter::from_fn(|| framer.next_frame().unwrap()).collect()
    }

    #[test]
    fn messages_come_out_whole_however_they_are_cut() {
        let one = format!("{HEAD}l: 4\r\n\r\nabcd");
        let stream = format!("{one}\r\n\r\n{one}{HEAD}Content-Length: 0\r\n\r\n");
        for size in [1, 3, 7, stream.len()] {
            let mut framer = Framer::new();
            let mut messages = Vec::new();
            for piece in stream.as_bytes().chunks(size) {
                framer.push(piece);
                messages.extend(frames(&mut framer).into_iter().filter_map(|f| match f {
                    Frame::Message(bytes) => Some(String::from_utf8(bytes).unwrap()),
                    Frame::Ping | Frame::Pong => None,
                }));
            }
            let last = format!("{HEAD}Content-Length: 0\r\n\r\n");
            assert_eq!(messages, [one.clone(), one.clone(), last], "{size}");
        }
    }

    #[test]
    fn keep_alives_stand_between_messages() {
        let mut framer = Framer::new();
        framer.push(b"\r\n\r\n");
        assert_eq!(frames(&mut framer), [Frame::Ping]);
        framer.push(b"\r\n");
        assert_eq!(frames(&mut framer), [Frame::Pong]);
    }

    #[test]
    fn what_cannot_be_framed_closes_the_stream() {
        for (text, error) in [
            (format!("{HEAD}\r\n"), FramingError::ContentLength),
            (format!("{HEAD}l: -1\r\n\r\n"), FramingError::ContentLength),
            (
                format!("{HEAD}l: 1\r\nl: 1\r\n\r\nx"),
                FramingError::ContentLength,
            ),
            (format!("{HEAD}l: 99999999\r\n\r\n"), FramingError::TooLong),
            (
                format!("{HEAD}{}", "x".repeat(40_000)),
                FramingError::TooLong,
            ),
            ("\u{16}\u{3}\u{1}".to_owned(), FramingError::NotSip),
        ] {
            let mut framer = Framer::new();
            framer.push(text.as_bytes());
            assert_eq!(framer.next_frame(), Err(error), "{text:.80}");
        }
    }
}
