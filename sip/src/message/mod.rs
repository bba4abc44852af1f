//! SIP messages: reading, writing and their parts (RFC 3261 §7, §20, §25).

mod headers;
mod method;
mod name_addr;
mod params;
mod parse;
mod scan;
mod status;
mod uri;
mod via;
mod write;

pub(crate) use scan::split_list;

pub use headers::{Header, HeaderName, Headers};
pub use method::Method;
pub use name_addr::NameAddr;
pub use params::Params;
pub use parse::{
    BrokenRequest, Essentials, HEADERS_MAX, LINE_BYTES_MAX, MESSAGE_BYTES_MAX, MalformedMessage,
    Parsed, VIAS_MAX, parse,
};
pub use status::StatusCode;
pub use uri::{DEFAULT_PORT, Host, SipUri, Uri};
pub use via::{BRANCH_COOKIE, Via};

/// A request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Method of the request line.
    pub method: Method,
    /// Request-URI.
    pub uri: Uri,
    /// Header fields; Content-Length is written from the body.
    pub headers: Headers,
    /// Body.
    pub body: Vec<u8>,
}

/// A response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// Status code.
    pub status: StatusCode,
    /// Reason phrase, possibly empty.
    pub reason: String,
    /// Header fields; Content-Length is written from the body.
    pub headers: Headers,
    /// Body.
    pub body: Vec<u8>,
}

/// A request or a response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// Sequence number and method of CSeq.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CSeq {
    /// Sequence number, below 2^31.
    pub number: u32,
    /// Method.
    pub method: Method,
}

/// What makes a message or one of its parts unreadable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Longer than [`MESSAGE_BYTES_MAX`].
    #[error("message is too long")]
    TooLong,
    /// A line longer than [`LINE_BYTES_MAX`].
    #[error("line is too long")]
    LineTooLong,
    /// More than [`HEADERS_MAX`] fields or [`VIAS_MAX`] Vias.
    #[error("too many header fields")]
    TooManyHeaders,
    /// Request or status line.
    #[error("start line is malformed")]
    StartLine,
    /// Not SIP/2.0.
    #[error("protocol version is not SIP/2.0")]
    Version,
    /// A line that is no header field.
    #[error("header line is malformed")]
    HeaderLine,
    /// From, To, Call-ID, CSeq or Via is absent.
    #[error("a mandatory header field is missing")]
    MissingHeader,
    /// A field that may stand once stands several times.
    #[error("a single-valued header field is repeated")]
    RepeatedHeader,
    /// Content-Length is no number or exceeds the body.
    #[error("content length does not fit")]
    ContentLength,
    /// CSeq is malformed or its number too large.
    #[error("CSeq is malformed")]
    CSeq,
    /// CSeq names another method than the request line.
    #[error("CSeq names another method")]
    CSeqMethod,
    /// Max-Forwards is no number from 0 to 255.
    #[error("Max-Forwards is malformed")]
    MaxForwards,
    /// Unbalanced quotes.
    #[error("quotes are not balanced")]
    Quotes,
    /// A malformed parameter.
    #[error("parameter is malformed")]
    Parameter,
    /// A malformed host or port.
    #[error("host is malformed")]
    Host,
    /// A malformed URI.
    #[error("URI is malformed")]
    Uri,
    /// A malformed name and address.
    #[error("address is malformed")]
    NameAddr,
    /// A malformed Via.
    #[error("Via is malformed")]
    Via,
}

impl Request {
    /// Media type of the body without parameters, in lower case.
    #[must_use]
    pub fn content_type(&self) -> Option<String> {
        content_type(&self.headers)
    }
}

impl Response {
    /// Media type of the body without parameters, in lower case.
    #[must_use]
    pub fn content_type(&self) -> Option<String> {
        content_type(&self.headers)
    }
}

fn content_type(headers: &Headers) -> Option<String> {
    let value = headers.first(&HeaderName::ContentType)?;
    let media_type = value.split(';').next().unwrap_or(value);
    Some(media_type.trim().to_ascii_lowercase())
}
