//! What the tables hold.

use std::sync::Arc;
use std::time::Instant;

use super::template::ResponseTemplate;
use crate::message::{Essentials, Method, Request, StatusCode};
use crate::transaction::{
    ClientInvite, ClientNonInvite, Deadline, Due, ServerInvite, ServerNonInvite,
};
use crate::transport::Hop;

/// Tells copies of one request apart that came by different ways (RFC 3261 §8.2.2.2).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct MergeKey {
    call_id: String,
    from_tag: String,
    cseq: u32,
    method: Method,
}

impl MergeKey {
    /// The key of a request outside dialogs; callers without a tag cannot be told apart.
    pub(super) fn of(essentials: &Essentials) -> Option<Self> {
        if essentials.to.tag().is_some() {
            return None;
        }
        Some(Self {
            call_id: essentials.call_id.clone(),
            from_tag: essentials.from.tag()?.to_owned(),
            cseq: essentials.cseq.number,
            method: essentials.cseq.method.clone(),
        })
    }
}

/// A server transaction with what its responses are made from.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) kind: ServerKind,
    pub(super) template: ResponseTemplate,
    pub(super) merge_key: Option<MergeKey>,
    /// Session of an INVITE, for CANCEL.
    pub(super) session: Option<u64>,
}

#[derive(Debug)]
pub(super) enum ServerKind {
    Invite(ServerInvite),
    Other(ServerNonInvite),
}

impl Server {
    pub(super) fn on_respond(
        &mut self,
        now: Instant,
        status: StatusCode,
        response: &Arc<[u8]>,
    ) -> bool {
        match &mut self.kind {
            ServerKind::Invite(invite) => invite.on_respond(now, status, response),
            ServerKind::Other(other) => other.on_respond(now, status, response),
        }
    }

    pub(super) fn last_response(&self) -> Option<Arc<[u8]>> {
        match &self.kind {
            ServerKind::Invite(invite) => invite.last_response(),
            ServerKind::Other(other) => other.last_response(),
        }
    }

    pub(super) fn is_proceeding(&self) -> bool {
        match &self.kind {
            ServerKind::Invite(invite) => invite.is_proceeding(),
            ServerKind::Other(other) => other.is_proceeding(),
        }
    }

    pub(super) fn on_timeout(&mut self, now: Instant) -> Due {
        match &mut self.kind {
            ServerKind::Invite(invite) => invite.on_timeout(now),
            ServerKind::Other(other) => other.on_timeout(now),
        }
    }
}

impl Deadline for Server {
    fn deadline(&self) -> Option<Instant> {
        match &self.kind {
            ServerKind::Invite(invite) => invite.deadline(),
            ServerKind::Other(other) => other.deadline(),
        }
    }
}

/// What a request of ours is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// The INVITE that opens this session.
    Invite(u64),
    /// A re-INVITE or UPDATE of this session.
    Reinvite(u64),
    /// The BYE that ends this session.
    Bye(u64),
    /// A REFER of this session.
    Refer(u64),
    /// A PRACK of this session.
    Prack(u64),
    /// A REGISTER of this registration.
    Register(u64),
    /// An OPTIONS of this number.
    Options(u64),
    /// A CANCEL, or the BYE of a fork that lost: nobody waits for the outcome.
    Unwatched,
}

impl Purpose {
    /// The session it belongs to.
    pub(super) const fn session(self) -> Option<u64> {
        match self {
            Self::Invite(id)
            | Self::Reinvite(id)
            | Self::Bye(id)
            | Self::Refer(id)
            | Self::Prack(id) => Some(id),
            Self::Register(_) | Self::Options(_) | Self::Unwatched => None,
        }
    }
}

/// A client transaction with its request.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) kind: ClientKind,
    pub(super) purpose: Purpose,
    /// The request with our Via.
    pub(super) request: Request,
    pub(super) bytes: Arc<[u8]>,
    pub(super) destination: Hop,
    /// Where a request that moved to TCP for its size goes if TCP fails.
    pub(super) fallback: Option<Hop>,
    pub(super) cseq: u32,
    /// ACKs of 2xx responses by To-tag: repeats of a 2xx get the same ACK again, also after the
    /// session has gone on or ended (RFC 3261 §13.2.2.4).
    pub(super) acks: Vec<ForkAck>,
}

/// The ACK sent to one fork.
#[derive(Debug)]
pub(super) struct ForkAck {
    pub(super) to_tag: String,
    pub(super) bytes: Arc<[u8]>,
    pub(super) destination: Hop,
}

#[derive(Debug)]
pub(super) enum ClientKind {
    Invite(ClientInvite),
    Other(ClientNonInvite),
}

impl Client {
    /// Whether a CANCEL may be sent now.
    pub(super) const fn may_cancel(&self) -> bool {
        match &self.kind {
            ClientKind::Invite(invite) => invite.is_proceeding(),
            ClientKind::Other(_) => false,
        }
    }

    pub(super) fn on_timeout(&mut self, now: Instant) -> Due {
        match &mut self.kind {
            ClientKind::Invite(invite) => invite.on_timeout(now),
            ClientKind::Other(other) => other.on_timeout(now),
        }
    }
}

impl Deadline for Client {
    fn deadline(&self) -> Option<Instant> {
        match &self.kind {
            ClientKind::Invite(invite) => invite.deadline(),
            ClientKind::Other(other) => Some(other.deadline()),
        }
    }
}
