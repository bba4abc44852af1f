//! Writing messages.

use std::fmt::Write as _;

use super::{HeaderName, Headers, Message, Request, Response};

impl Request {
    /// The request as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = String::with_capacity(1_024);
        put(
            &mut text,
            format_args!("{} {} SIP/2.0\r\n", self.method, self.uri),
        );
        finish(text, &self.headers, &self.body)
    }
}

impl Response {
    /// The response as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = String::with_capacity(1_024);
        put(
            &mut text,
            format_args!(
                "SIP/2.0 {} {}\r\n",
                self.status,
                self.reason.replace(['\r', '\n'], " ")
            ),
        );
        finish(text, &self.headers, &self.body)
    }
}

impl Message {
    /// The message as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Request(request) => request.to_bytes(),
            Self::Response(response) => response.to_bytes(),
        }
    }
}

fn finish(mut text: String, headers: &Headers, body: &[u8]) -> Vec<u8> {
    for header in headers.iter() {
        if header.name != HeaderName::ContentLength {
            put(
                &mut text,
                format_args!("{}: {}\r\n", header.name, header.value()),
            );
        }
    }
    put(
        &mut text,
        format_args!("{}: {}\r\n\r\n", HeaderName::ContentLength, body.len()),
    );
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("writing to a String cannot fail");
}
