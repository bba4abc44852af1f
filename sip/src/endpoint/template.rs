//! Responses made from the request they answer (RFC 3261 §8.2.6).

use crate::message::{Header, HeaderName, Headers, Request, Response, StatusCode, Via};
use crate::transport::Hop;

/// What a response copies from its request, and where it goes.
#[derive(Clone, Debug)]
pub(super) struct ResponseTemplate {
    headers: Headers,
    /// Tag put into To if the request had none.
    tag: Option<String>,
    pub(super) destination: Hop,
}

impl ResponseTemplate {
    /// A template for a request from `source`, whose top Via is `via`. `tag` is used if To has
    /// none.
    pub(super) fn new(headers: &Headers, via: &Via, tag: &str, source: Hop) -> Self {
        let mut top = via.clone();
        top.note_source(source.address);
        let mut copied = Headers::with_capacity(12);
        let mut has_tag = false;
        let mut is_top = true;
        for header in headers.iter() {
            match header.name {
                HeaderName::Via if is_top => {
                    is_top = false;
                    copied.push(HeaderName::Via, replace_top(header.value(), &top));
                }
                HeaderName::To => {
                    has_tag = crate::message::NameAddr::parse(header.value())
                        .is_ok_and(|to| to.tag().is_some());
                    copied.push_header(header.clone());
                }
                HeaderName::Via
                | HeaderName::From
                | HeaderName::CallId
                | HeaderName::CSeq
                | HeaderName::RecordRoute
                | HeaderName::Timestamp => copied.push_header(header.clone()),
                _ => {}
            }
        }
        Self {
            headers: copied,
            tag: (!has_tag).then(|| tag.to_owned()),
            destination: top.response_destination(source),
        }
    }

    /// As [`Self::new`] for a request that was read.
    pub(super) fn of(request: &Request, via: &Via, tag: &str, source: Hop) -> Self {
        Self::new(&request.headers, via, tag, source)
    }

    /// A response without body. Record-Route goes only into responses that make a dialog.
    pub(super) fn response(&self, status: StatusCode, reason: Option<&str>) -> Response {
        let makes_dialog = status > StatusCode::TRYING && status.code() < 300;
        let headers = self
            .headers
            .iter()
            .filter(|header| makes_dialog || header.name != HeaderName::RecordRoute)
            .map(|header| match (&header.name, &self.tag) {
                (HeaderName::To, Some(tag)) if status > StatusCode::TRYING => {
                    Header::new(HeaderName::To, format!("{};tag={tag}", header.value()))
                }
                _ => header.clone(),
            })
            .collect();
        Response {
            status,
            reason: reason.unwrap_or_else(|| status.reason()).to_owned(),
            headers,
            body: Vec::new(),
        }
    }
}

/// The line with its first value replaced; further values on the same line stay.
fn replace_top(line: &str, top: &Via) -> String {
    // No quoted string of a Via that parsed holds a comma before the end of the first value,
    // unless inside quotes.
    let mut quoted = false;
    let end = line.bytes().position(|b| {
        quoted ^= b == b'"';
        b == b',' && !quoted
    });
    match end {
        Some(end) => format!("{top}{}", &line[end..]),
        None => top.to_string(),
    }
}
