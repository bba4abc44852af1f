//! Reading a datagram: one pass over the lines, everything bounded.

use super::scan::{is_token, split_unquoted};
use super::{
    CSeq, HeaderName, Headers, Message, Method, NameAddr, ParseError, Request, Response,
    StatusCode, Uri, Via,
};

/// Longest message read, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 65_536;
/// Longest header field after unfolding, in bytes.
pub const LINE_BYTES_MAX: usize = 8_192;
/// Most header fields read.
pub const HEADERS_MAX: usize = 256;
/// Most Via values read.
pub const VIAS_MAX: usize = 70;

/// Header fields that every message needs, read once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Essentials {
    /// The topmost Via.
    pub via: Via,
    /// From.
    pub from: NameAddr,
    /// To.
    pub to: NameAddr,
    /// Call-ID.
    pub call_id: String,
    /// CSeq.
    pub cseq: CSeq,
    /// Max-Forwards, if present.
    pub max_forwards: Option<u8>,
}

/// A message with its essential header fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parsed {
    /// The message as it came.
    pub message: Message,
    /// Its essentials.
    pub essentials: Essentials,
}

/// A datagram that is not a proper SIP message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MalformedMessage {
    /// What is wrong.
    pub error: ParseError,
    /// What could be read, if it is a request that can be answered.
    pub request: Option<Box<BrokenRequest>>,
}

/// The readable part of a malformed request: enough for an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokenRequest {
    /// The method, if it could be read.
    pub method: Option<Method>,
    /// The topmost Via, possibly without parameters.
    pub via: Via,
    /// Header fields read before and after the fault.
    pub headers: Headers,
}

/// Reads one datagram. `None` for keep-alives: nothing but white space or zeros.
///
/// Bytes beyond Content-Length are dropped (RFC 3261 §18.3). A message that ends after a header
/// line without the empty line is taken as one without body: such peers exist.
///
/// # Errors
/// [`MalformedMessage`] says what is wrong and whether an answer can be routed.
pub fn parse(datagram: &[u8]) -> Result<Option<Parsed>, MalformedMessage> {
    if datagram.len() > MESSAGE_BYTES_MAX {
        return Err(silent(ParseError::TooLong));
    }
    let start = datagram
        .iter()
        .position(|b| !matches!(b, b'\r' | b'\n' | b' ' | b'\t' | 0));
    let Some(bytes) = start.and_then(|start| datagram.get(start..)) else {
        return Ok(None);
    };
    let mut lines = Lines { rest: bytes };
    let first = lines.next().unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    let (headers, header_error) = read_headers(&mut lines);
    let start_line = StartLine::parse(&first);
    let result = header_error
        .map_or(Ok(()), Err)
        .and_then(|()| assemble(start_line.clone(), &headers, lines.rest));
    match result {
        Ok((essentials, body)) => Ok(Some(Parsed {
            message: match start_line.expect("assemble() fails without a start line") {
                StartLine::Request(method, uri) => Message::Request(Request {
                    method,
                    uri,
                    headers,
                    body,
                }),
                StartLine::Response(status, reason) => Message::Response(Response {
                    status,
                    reason,
                    headers,
                    body,
                }),
            },
            essentials,
        })),
        Err(error) => Err(MalformedMessage {
            error,
            request: broken_request(&first, headers),
        }),
    }
}

#[derive(Clone)]
enum StartLine {
    Request(Method, Uri),
    Response(StatusCode, String),
}

impl StartLine {
    fn parse(line: &str) -> Result<Self, ParseError> {
        if let Some(rest) = line.strip_prefix("SIP/2.0 ") {
            let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
            if code.len() != 3 || !code.bytes().all(|b| b.is_ascii_digit()) {
                return Err(ParseError::StartLine);
            }
            let status = code
                .parse()
                .ok()
                .and_then(StatusCode::new)
                .ok_or(ParseError::StartLine)?;
            return Ok(Self::Response(status, reason.to_owned()));
        }
        let mut parts = line.split(' ');
        let (Some(method), Some(uri), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ParseError::StartLine);
        };
        let method = Method::parse(method)?;
        if !version.eq_ignore_ascii_case("SIP/2.0") {
            return Err(
                if version
                    .get(..4)
                    .is_some_and(|v| v.eq_ignore_ascii_case("SIP/"))
                {
                    ParseError::Version
                } else {
                    ParseError::StartLine
                },
            );
        }
        let uri = Uri::parse(uri)?;
        // RFC 3261 §19.1.1: header components are not allowed in a Request-URI.
        if uri.as_sip().is_some_and(|uri| uri.headers.is_some()) {
            return Err(ParseError::Uri);
        }
        Ok(Self::Request(method, uri))
    }
}

/// Lines without their CRLF or LF.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.iter().position(|&b| b == b'\n');
        let line = &self.rest[..end.unwrap_or(self.rest.len())];
        self.rest = &self.rest[end.map_or(self.rest.len(), |end| end + 1)..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// Reads up to the empty line. The first fault is reported; reading goes on so that an answer
/// can carry the fields that follow it.
fn read_headers(lines: &mut Lines<'_>) -> (Headers, Option<ParseError>) {
    let mut headers = Headers::with_capacity(16);
    let mut fault = None;
    let mut pending: Option<(HeaderName, String)> = None;
    for line in lines.by_ref() {
        if line.is_empty() {
            break;
        }
        let text = String::from_utf8_lossy(line);
        if text.starts_with([' ', '\t']) {
            match &mut pending {
                Some((_, value)) if value.len() + text.len() <= LINE_BYTES_MAX => {
                    if !value.is_empty() {
                        value.push(' ');
                    }
                    value.push_str(text.trim());
                }
                Some(_) => fault = fault.or(Some(ParseError::LineTooLong)),
                None => fault = fault.or(Some(ParseError::HeaderLine)),
            }
            continue;
        }
        if let Some((name, value)) = pending.take() {
            headers.push(name, value);
        }
        if headers.len() == HEADERS_MAX {
            fault = fault.or(Some(ParseError::TooManyHeaders));
            continue;
        }
        if text.len() > LINE_BYTES_MAX {
            fault = fault.or(Some(ParseError::LineTooLong));
            continue;
        }
        match text.split_once(':') {
            Some((name, value)) if is_token(name.trim_end()) => {
                let name = HeaderName::new(name.trim_end());
                pending = Some((name, value.trim().to_owned()));
            }
            _ => fault = fault.or(Some(ParseError::HeaderLine)),
        }
    }
    if let Some((name, value)) = pending {
        headers.push(name, value);
    }
    (headers, fault)
}

fn assemble(
    start_line: Result<StartLine, ParseError>,
    headers: &Headers,
    rest: &[u8],
) -> Result<(Essentials, Vec<u8>), ParseError> {
    let start_line = start_line?;
    let essentials = read_essentials(headers)?;
    if let StartLine::Request(method, _) = &start_line
        && *method != essentials.cseq.method
    {
        return Err(ParseError::CSeqMethod);
    }
    Ok((essentials, body(headers, rest)?))
}

fn read_essentials(headers: &Headers) -> Result<Essentials, ParseError> {
    let single = |name| {
        let mut values = headers.all(name);
        let value = values.next().ok_or(ParseError::MissingHeader)?;
        match values.next() {
            None => Ok(value),
            Some(_) => Err(ParseError::RepeatedHeader),
        }
    };
    let max_forwards = match single(&HeaderName::MaxForwards) {
        Ok(value) => Some(decimal(value).ok_or(ParseError::MaxForwards)?),
        Err(ParseError::MissingHeader) => None,
        Err(error) => return Err(error),
    };
    let call_id = single(&HeaderName::CallId)?;
    if call_id.is_empty() {
        return Err(ParseError::MissingHeader);
    }
    Ok(Essentials {
        via: Via::parse(top_via(headers)?)?,
        from: NameAddr::parse(single(&HeaderName::From)?)?,
        to: NameAddr::parse(single(&HeaderName::To)?)?,
        call_id: call_id.to_owned(),
        cseq: read_cseq(single(&HeaderName::CSeq)?)?,
        max_forwards,
    })
}

/// The first Via value, all being counted.
fn top_via(headers: &Headers) -> Result<&str, ParseError> {
    let mut top = None;
    let mut count = 0;
    for line in headers.all(&HeaderName::Via) {
        for value in split_unquoted(line, b',') {
            let value = value?;
            top = top.or(Some(value));
            count += 1;
            if count > VIAS_MAX {
                return Err(ParseError::TooManyHeaders);
            }
        }
    }
    top.ok_or(ParseError::MissingHeader)
}

fn read_cseq(value: &str) -> Result<CSeq, ParseError> {
    let (number, method) = value
        .split_once(|c: char| c.is_ascii_whitespace())
        .ok_or(ParseError::CSeq)?;
    let number: u32 = decimal(number).ok_or(ParseError::CSeq)?;
    if number >= 1 << 31 {
        return Err(ParseError::CSeq);
    }
    Ok(CSeq {
        number,
        method: Method::parse(method.trim()).map_err(|_| ParseError::CSeq)?,
    })
}

fn body(headers: &Headers, rest: &[u8]) -> Result<Vec<u8>, ParseError> {
    let mut lengths = headers.all(&HeaderName::ContentLength);
    let body = match (lengths.next(), lengths.next()) {
        (None, _) => rest,
        (Some(length), None) => {
            let length: usize = decimal(length).ok_or(ParseError::ContentLength)?;
            rest.get(..length).ok_or(ParseError::ContentLength)?
        }
        (Some(_), Some(_)) => return Err(ParseError::RepeatedHeader),
    };
    Ok(body.to_vec())
}

/// Digits only: `str::parse` would take a sign.
fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

/// An answer needs a readable top Via. ACK is never answered, responses neither.
fn broken_request(first_line: &str, headers: Headers) -> Option<Box<BrokenRequest>> {
    let (method, rest) = first_line.split_once(' ')?;
    let looks_like_request = rest.trim_end().rsplit(' ').next()?.get(..4)?;
    if !looks_like_request.eq_ignore_ascii_case("SIP/") {
        return None;
    }
    let method = Method::parse(method).ok();
    if method == Some(Method::Ack) {
        return None;
    }
    // Only a few bytes of the first line are needed: no quotes can stand before sent-by.
    let top = headers.first(&HeaderName::Via)?;
    let top = top.split(',').next().unwrap_or(top);
    let via = Via::parse(top).or_else(|_| Via::parse_sent_by(top)).ok()?;
    Some(Box::new(BrokenRequest {
        method,
        via,
        headers: headers
            .iter()
            .filter(|header| {
                matches!(
                    header.name,
                    HeaderName::Via
                        | HeaderName::From
                        | HeaderName::To
                        | HeaderName::CallId
                        | HeaderName::CSeq
                )
            })
            .cloned()
            .collect::<Headers>(),
    }))
}

fn silent(error: ParseError) -> MalformedMessage {
    MalformedMessage {
        error,
        request: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &str = "OPTIONS sip:a@example.com SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
        From: <sip:b@example.com>;tag=1\r\n\
        t: <sip:a@example.com>\r\n\
        i: x@y\r\n\
        CSeq: 7 OPTIONS\r\n";

    fn error_of(text: &str) -> ParseError {
        parse(text.as_bytes()).unwrap_err().error
    }

    #[test]
    fn body_is_cut_at_content_length() {
        let parsed = parse(format!("{OPTIONS}l: 2\r\n\r\nabcd").as_bytes());
        let Message::Request(request) = parsed.unwrap().unwrap().message else {
            panic!("not a request");
        };
        assert_eq!(request.body, b"ab");
        assert_eq!(
            error_of(&format!("{OPTIONS}l: 5\r\n\r\nabcd")),
            ParseError::ContentLength
        );
        assert_eq!(
            error_of(&format!("{OPTIONS}l: +2\r\n\r\nabcd")),
            ParseError::ContentLength
        );
    }

    #[test]
    fn keep_alives_are_not_messages() {
        assert_eq!(parse(b"\r\n\r\n"), Ok(None));
        assert_eq!(parse(&[0, 0, 0, 0]), Ok(None));
        assert_eq!(parse(b""), Ok(None));
    }

    #[test]
    fn bounds_are_enforced() {
        let many = "X: 1\r\n".repeat(HEADERS_MAX + 1);
        assert_eq!(
            error_of(&format!("{OPTIONS}{many}\r\n")),
            ParseError::TooManyHeaders
        );
        let vias = "Via: SIP/2.0/UDP a;branch=z9hG4bKx\r\n".repeat(VIAS_MAX);
        assert_eq!(
            error_of(&format!("{OPTIONS}{vias}\r\n")),
            ParseError::TooManyHeaders
        );
        let long = "y".repeat(LINE_BYTES_MAX);
        assert_eq!(
            error_of(&format!("{OPTIONS}X: {long}\r\n\r\n")),
            ParseError::LineTooLong
        );
        let folded = " y\r\n".repeat(LINE_BYTES_MAX);
        assert_eq!(
            error_of(&format!("{OPTIONS}X: 1\r\n{folded}\r\n")),
            ParseError::LineTooLong
        );
        assert_eq!(
            parse(&vec![b'a'; MESSAGE_BYTES_MAX + 1]).unwrap_err().error,
            ParseError::TooLong
        );
    }

    #[test]
    fn only_requests_with_a_readable_via_can_be_answered() {
        let broken = OPTIONS.replace("7 OPTIONS", "x OPTIONS") + "\r\n";
        let malformed = parse(broken.as_bytes()).unwrap_err();
        assert_eq!(malformed.error, ParseError::CSeq);
        assert!(malformed.request.is_some());
        let no_via = broken.replace("Via", "X-Via");
        assert!(parse(no_via.as_bytes()).unwrap_err().request.is_none());
        let ack = broken.replace("OPTIONS", "ACK");
        assert!(parse(ack.as_bytes()).unwrap_err().request.is_none());
    }
}
