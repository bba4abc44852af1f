//! One endpoint and hand-written messages.

use std::time::{Duration, Instant};

use super::{ALICE, BOB, config, origin};
use crate::endpoint::Endpoint;
use crate::event::Event;

pub(super) struct Lone {
    pub(super) endpoint: Endpoint,
    pub(super) now: Instant,
}

impl Lone {
    /// An endpoint at [`ALICE`]; its peer is at [`BOB`].
    pub(super) fn new() -> Self {
        Self {
            endpoint: Endpoint::new(config(), ALICE, [3; 32]),
            now: origin(),
        }
    }

    /// Feeds a message (line ends may be bare LF) and returns what is sent in turn.
    pub(super) fn feed(&mut self, text: &str) -> Vec<String> {
        let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
        self.endpoint
            .handle_datagram(self.now, BOB, text.as_bytes());
        self.sent()
    }

    pub(super) fn sent(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.endpoint.poll_transmit())
            .map(|transmit| String::from_utf8_lossy(&transmit.payload).into_owned())
            .collect()
    }

    pub(super) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.endpoint.poll_event()).collect()
    }

    /// Lets time pass, timer by timer; what was sent meanwhile.
    pub(super) fn pass(&mut self, time: Duration) -> Vec<String> {
        let end = self.now + time;
        let mut sent = Vec::new();
        while let Some(at) = self.endpoint.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
            sent.extend(self.sent());
        }
        self.now = end;
        sent
    }
}

/// First lines, for comparing.
pub(super) fn first_lines(messages: &[String]) -> Vec<&str> {
    messages
        .iter()
        .map(|text| text.lines().next().unwrap_or_default())
        .collect()
}

/// Value of a header field of a message.
pub(super) fn header<'a>(message: &'a str, name: &str) -> &'a str {
    message
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(found, _)| *found == name)
        .map_or("", |(_, value)| value)
}

/// A request of Bob's. `to_tag` empty: outside a dialog.
pub(super) fn request(method: &str, branch: &str, cseq: u32, to_tag: &str, more: &str) -> String {
    let tag = if to_tag.is_empty() {
        String::new()
    } else {
        format!(";tag={to_tag}")
    };
    let (headers, body) = more.split_once("\n\n").unwrap_or((more, ""));
    let headers = if headers.is_empty() {
        String::new()
    } else {
        format!("{headers}\n")
    };
    format!(
        "{method} sip:alice@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.2:5070;rport;branch={branch}\n\
         Max-Forwards: 70\nFrom: <sip:bob@example.com>;tag=bob\nTo: <sip:alice@example.com>{tag}\n\
         Call-ID: lone@example.com\nCSeq: {cseq} {method}\nContact: <sip:bob@192.0.2.2:5070>\n{headers}\n{body}"
    )
}

pub(super) const SDP: &str = "Content-Type: application/sdp\n\nv=0\no=- 1 1 IN IP4 192.0.2.2\n\
    s=-\nc=IN IP4 192.0.2.2\nt=0 0\nm=audio 4000 RTP/AVP 0\n";
