//! A transfer we asked for (RFC 3515).

use std::time::Instant;

/// The open implicit subscription.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    /// CSeq number of the REFER, which names the subscription (RFC 3515 §2.4.6).
    pub(crate) cseq: u32,
    /// When the wait for an outcome ends.
    pub(crate) give_up: Instant,
}
