//! Reliable provisional responses (RFC 3262), ours and the peer's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::message::StatusCode;
use crate::transaction::Repeat;
use crate::transport::Hop;

/// A reliable provisional response of ours without its PRACK yet.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) rseq: u32,
    /// CSeq number of the INVITE.
    pub(crate) cseq: u32,
    pub(crate) response: Arc<[u8]>,
    pub(crate) destination: Hop,
    pub(crate) repeat: Repeat,
    pub(crate) give_up: Instant,
    /// Whether it carries a description: then the 2xx must wait for the PRACK (§3).
    pub(crate) has_sdp: bool,
    /// Whether that description is our offer, which the PRACK must answer.
    pub(crate) is_offer: bool,
}

/// A provisional response that waits for the PRACK of the one before.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) status: StatusCode,
    pub(crate) body: Option<Arc<[u8]>>,
}

/// Both directions of one session.
#[derive(Debug)]
pub(crate) struct Reliable {
    /// Whether the caller understands reliable responses.
    pub(crate) peer_supports: bool,
    /// Whether the caller insists on them.
    pub(crate) peer_requires: bool,
    /// Number of our last reliable response; 0 before the first.
    pub(crate) rseq: u32,
    pub(crate) pending: Option<Pending>,
    pub(crate) queued: VecDeque<Queued>,
    /// Highest number seen from each fork of our call, by its To-tag.
    pub(crate) seen: Vec<(String, u32)>,
}

impl Reliable {
    pub(crate) const fn new() -> Self {
        Self {
            peer_supports: false,
            peer_requires: false,
            rseq: 0,
            pending: None,
            queued: VecDeque::new(),
            seen: Vec::new(),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.pending
            .as_ref()
            .map(|pending| pending.repeat.at.min(pending.give_up))
    }

    /// Whether a reliable response of the peer is the next one; then it is noted (§4).
    pub(crate) fn accept(&mut self, tag: &str, rseq: u32) -> bool {
        match self.seen.iter_mut().find(|(known, _)| known == tag) {
            Some((_, last)) if *last + 1 == rseq => {
                *last = rseq;
                true
            }
            Some(_) => false,
            None => {
                self.seen.push((tag.to_owned(), rseq));
                true
            }
        }
    }
}
