//! How messages find their transaction (RFC 3261 §17.1.3, §17.2.3).

use crate::message::{Essentials, Method};

/// Identifies a client transaction: our own branch, and the method so that a CANCEL differs from
/// the INVITE it shares the branch with.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ClientKey {
    branch: String,
    method: Method,
}

impl ClientKey {
    pub(crate) fn new(branch: &str, method: &Method) -> Self {
        Self {
            branch: branch.to_owned(),
            method: method.clone(),
        }
    }

    /// Key of the transaction a response belongs to.
    pub(crate) fn of_response(essentials: &Essentials) -> Option<Self> {
        let branch = essentials.via.unique_branch()?;
        Some(Self::new(branch, &essentials.cseq.method))
    }
}

/// Identifies a server transaction.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ServerKey {
    /// The branch, or what RFC 2543 peers are told apart by.
    branch: String,
    sent_by: String,
    method: Method,
}

impl ServerKey {
    /// Key of the transaction of a request with this method; an ACK belongs to its INVITE, and a
    /// CANCEL finds its INVITE by asking for that method.
    pub(crate) fn new(essentials: &Essentials, method: &Method) -> Self {
        let via = &essentials.via;
        let branch = match via.unique_branch() {
            Some(branch) => branch.to_ascii_lowercase(),
            // RFC 3261 §17.2.3: without a unique branch the whole request decides.
            None => format!(
                "{}\n{}\n{}\n{via}",
                essentials.call_id,
                essentials.cseq.number,
                essentials.from.tag().unwrap_or_default(),
            ),
        };
        Self {
            branch,
            sent_by: format!("{}:{}", via.host, via.port.unwrap_or_default()).to_ascii_lowercase(),
            method: match method {
                Method::Ack => Method::Invite,
                other => other.clone(),
            },
        }
    }
}
