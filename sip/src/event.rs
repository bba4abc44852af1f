//! What goes into and comes out of the endpoint, as plain data.

use std::time::Duration;

use crate::auth::Credentials;
use crate::guard::GuardCounters;
use crate::message::{Essentials, Header, Headers, NameAddr, Request, StatusCode, Uri};
use crate::sdp::SessionDescription;
use crate::transport::Hop;

/// Identifies one INVITE session of an endpoint, from its INVITE to its end. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId(pub u64);

/// A call to place.
#[derive(Clone, PartialEq, Debug)]
pub struct InviteRequest {
    /// Request-URI, `sip:` or `tel:`; also To unless `to` is given.
    pub target: Uri,
    /// Where the INVITE is sent: the resolved next hop.
    pub destination: Hop,
    /// From, without a tag.
    pub from: NameAddr,
    /// To, if it differs from `target`.
    pub to: Option<NameAddr>,
    /// Further header fields. Those the endpoint itself writes (Via, CSeq, ...) are left out.
    pub headers: Vec<Header>,
    /// Our offer; without one the peer offers in its 200 (late offer).
    pub offer: Option<SessionDescription>,
    /// Answers challenges of the peer, for the whole session.
    pub credentials: Option<Credentials>,
    /// Next hops tried in turn when `destination` answers 503, cannot be reached or stays silent.
    pub alternatives: Vec<Hop>,
    /// Redirections (3xx) followed; only to addresses of `destination` and `alternatives`, so that
    /// nobody can send our calls elsewhere.
    pub redirects_max: u8,
    /// Call-ID; one of the endpoint's making if absent. Must be unique to the call for all time
    /// (RFC 3261 §8.1.1.4) and consist of characters a Call-ID may have.
    pub call_id: Option<String>,
    /// Max-Forwards. Whoever joins two calls writes one less than came in, so that calls that lead
    /// back to where they came from end (RFC 7332 §4).
    pub max_forwards: u8,
}

/// Hops a request of ours may take (RFC 3261 §8.1.1.6).
pub const MAX_FORWARDS: u8 = 70;

impl InviteRequest {
    /// A call without offer, credentials and further header fields.
    #[must_use]
    pub fn new(target: Uri, destination: impl Into<Hop>, from: NameAddr) -> Self {
        Self {
            target,
            destination: destination.into(),
            from,
            to: None,
            headers: Vec::new(),
            offer: None,
            credentials: None,
            alternatives: Vec::new(),
            redirects_max: 0,
            call_id: None,
            max_forwards: MAX_FORWARDS,
        }
    }
}

/// Identifies one registration of an endpoint. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RegistrationId(pub u64);

/// An address to register, and to keep registered.
#[derive(Clone, PartialEq, Debug)]
pub struct RegisterRequest {
    /// Address of record: To and From.
    pub address: NameAddr,
    /// Request-URI: the registrar's domain, without user part.
    pub registrar: Uri,
    /// Where the REGISTER is sent, best first; further ones are tried when one fails.
    pub destinations: Vec<Hop>,
    /// Answers challenges.
    pub credentials: Option<Credentials>,
    /// Time asked for, in seconds.
    pub expires_s: u32,
    /// User part of our Contact.
    pub contact_user: String,
}

/// How a registration stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RegistrationState {
    /// Registered; will be refreshed in time.
    Registered {
        /// Time granted, in seconds.
        expires_s: u32,
        /// Who granted it.
        registrar: Hop,
    },
    /// Not registered; tried again later.
    Failed {
        /// Why: the final status; `None` if nobody answered.
        status: Option<StatusCode>,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// Given up on request.
    Unregistered,
}

/// Identifies an OPTIONS request of ours. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct QueryId(pub u64);

/// What the application asks of a session.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Command {
    /// Send a provisional response (180, or 183 with early media).
    Progress {
        /// A code from 101 to 199.
        status: StatusCode,
        /// Early answer or offer.
        sdp: Option<SessionDescription>,
    },
    /// Accept an incoming call with 200.
    Answer {
        /// Our answer, or our offer if the INVITE had none.
        sdp: SessionDescription,
        /// Further header fields.
        headers: Vec<Header>,
    },
    /// Ask the caller to prove who it is (401). The session ends; the next INVITE of the caller
    /// has [`IncomingInvite::user`].
    Challenge,
    /// Refuse an incoming call.
    Reject {
        /// A code from 300 to 699.
        status: StatusCode,
        /// Reason phrase; the customary one if absent.
        reason: Option<String>,
        /// Further header fields.
        headers: Vec<Header>,
    },
    /// Answer a late offer: sent in the ACK.
    Acknowledge {
        /// Our answer.
        sdp: SessionDescription,
    },
    /// Accept the open offer of [`Event::Offer`].
    AnswerOffer {
        /// Our answer, or a full fresh offer if the re-INVITE had none.
        sdp: SessionDescription,
    },
    /// Refuse the open offer of [`Event::Offer`]; the session goes on as before.
    RejectOffer {
        /// A code from 400 to 699.
        status: StatusCode,
    },
    /// Change the session by a re-INVITE of ours.
    Reinvite {
        /// Our new offer.
        sdp: SessionDescription,
    },
    /// Ask the peer to call somebody else (blind transfer).
    Refer {
        /// Whom to call.
        target: Uri,
        /// Who asks, for Referred-By.
        referred_by: Option<Uri>,
    },
    /// End the session by what fits its state: CANCEL, a refusal or BYE.
    End {
        /// Value of a Reason header field, e.g. `Q.850;cause=16`.
        reason: Option<String>,
    },
}

/// Why a command was not carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The session has ended.
    #[error("session has ended")]
    UnknownSession,
    /// The session's state does not allow it.
    #[error("session state does not allow this")]
    WrongState,
    /// No room for another session or transaction.
    #[error("too many sessions")]
    AtCapacity,
}

/// An incoming INVITE that asks for a new session.
#[derive(Clone, PartialEq, Debug)]
pub struct IncomingInvite {
    /// The request as it came.
    pub request: Request,
    /// Its From, To, Call-ID and so on.
    pub essentials: Essentials,
    /// Where it came from.
    pub source: Hop,
    /// The caller's offer; `None` asks us to offer.
    pub offer: Option<SessionDescription>,
    /// The user whose credentials the INVITE carried, if it carried right ones.
    pub user: Option<String>,
}

/// Which request carried an offer within a dialog.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OfferMethod {
    /// Re-INVITE.
    Invite,
    /// UPDATE (RFC 3311).
    Update,
}

/// How a transfer goes (RFC 3515).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ReferProgress {
    /// The peer accepted the REFER and will report.
    Accepted,
    /// The peer reports a provisional status of the call it places.
    Trying(StatusCode),
    /// The other party answered: the transfer is done.
    Succeeded,
    /// The peer reports a final failure.
    Failed(StatusCode),
    /// The peer refused the REFER itself.
    Refused(StatusCode),
    /// The subscription ended, or the time ran out, without a final status.
    Unknown,
}

/// How a session ended.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SessionEnd {
    /// The peer hung up.
    RemoteBye {
        /// Value of its Reason header field.
        reason: Option<String>,
    },
    /// We hung up.
    LocalBye,
    /// The caller gave up before we answered.
    Cancelled {
        /// Value of its Reason header field.
        reason: Option<String>,
    },
    /// We refused the caller, or gave up our own attempt.
    LocalReject,
    /// The peer refused our INVITE, or a request of ours in the dialog ended it.
    Refused {
        /// Final status.
        status: StatusCode,
        /// Reason phrase.
        reason: String,
        /// Header fields of the final response (Reason, Retry-After, Warning, Contact...).
        headers: Headers,
    },
    /// No final response came in time.
    Timeout,
    /// Our 200 was never acknowledged.
    AckTimeout,
    /// The peer's ACK lacked the answer to our offer.
    NoAnswer,
    /// The peer did not refresh the session in time (RFC 4028).
    Expired,
}

/// What the application learns.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A new call came in; 100 Trying has been sent.
    Incoming {
        /// Its session.
        session: SessionId,
        /// The INVITE.
        invite: Box<IncomingInvite>,
    },
    /// Our INVITE got a provisional response above 100.
    Provisional {
        /// The session.
        session: SessionId,
        /// Status.
        status: StatusCode,
        /// Early session description.
        sdp: Option<SessionDescription>,
    },
    /// Our INVITE was accepted.
    Answered {
        /// The session.
        session: SessionId,
        /// The answer; if our INVITE had no offer, the peer's offer, to be answered with
        /// [`Command::Acknowledge`]. `None` if the peer sent none although it had to.
        sdp: Option<SessionDescription>,
        /// Header fields of the response.
        headers: Headers,
    },
    /// The caller acknowledged a reliable provisional response of ours (RFC 3262).
    EarlyConfirmed {
        /// The session.
        session: SessionId,
        /// The answer, if that response carried our offer.
        sdp: Option<SessionDescription>,
    },
    /// The caller acknowledged our 200; the session is confirmed.
    Confirmed {
        /// The session.
        session: SessionId,
        /// The answer, if our 200 carried an offer.
        sdp: Option<SessionDescription>,
    },
    /// The peer wants to change the session; answer with [`Command::AnswerOffer`].
    Offer {
        /// The session.
        session: SessionId,
        /// Request that carried it.
        method: OfferMethod,
        /// The offer; `None` asks for ours.
        sdp: Option<SessionDescription>,
    },
    /// The peer acknowledged our offer made in answer to a re-INVITE without one.
    OfferConfirmed {
        /// The session.
        session: SessionId,
        /// Its answer.
        sdp: SessionDescription,
    },
    /// Our re-INVITE was accepted.
    ReinviteAnswered {
        /// The session.
        session: SessionId,
        /// The answer.
        sdp: Option<SessionDescription>,
    },
    /// Our re-INVITE was refused; the session goes on as before.
    ReinviteFailed {
        /// The session.
        session: SessionId,
        /// Final status.
        status: StatusCode,
    },
    /// The peer sent INFO; it has been answered with 200.
    Info {
        /// The session.
        session: SessionId,
        /// Key press of `application/dtmf-relay` or `application/dtmf`.
        digit: Option<InfoDigit>,
        /// Media type of the body in lower case.
        content_type: Option<String>,
        /// Body.
        body: Vec<u8>,
    },
    /// News of the transfer we asked for.
    Refer {
        /// The session.
        session: SessionId,
        /// How it goes.
        progress: ReferProgress,
    },
    /// A registration of ours changed.
    Registration {
        /// Which.
        registration: RegistrationId,
        /// How it stands now.
        state: RegistrationState,
    },
    /// Our OPTIONS was answered, or not.
    Queried {
        /// Which.
        query: QueryId,
        /// Final status; `None` if nobody answered. Any status proves that the peer is there.
        status: Option<StatusCode>,
        /// Header fields of the response.
        headers: Headers,
    },
    /// The session is over. Exactly one per session, and the last of its events.
    Ended {
        /// The session.
        session: SessionId,
        /// Why.
        end: Box<SessionEnd>,
    },
}

/// A key press carried by INFO.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InfoDigit {
    /// One of `0-9*#A-D` in ASCII.
    pub key: u8,
    /// Length of the press in ms, if told.
    pub duration_ms: Option<u32>,
}

/// A datagram to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// Where to.
    pub destination: Hop,
    /// What.
    pub payload: std::sync::Arc<[u8]>,
}

/// Sizes and sums of an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Sessions in the table now.
    pub sessions: usize,
    /// Client transactions in the table now.
    pub client_transactions: usize,
    /// Server transactions in the table now.
    pub server_transactions: usize,
    /// Datagrams taken.
    pub datagrams_received: u64,
    /// Datagrams sent, repeats included.
    pub datagrams_sent: u64,
    /// Datagrams that were no SIP message.
    pub malformed: u64,
    /// Requests and responses of ours sent again by a timer.
    pub retransmits: u64,
    /// Requests of peers absorbed as repeats.
    pub repeats_absorbed: u64,
    /// Responses without a transaction, dropped.
    pub stray_responses: u64,
    /// Requests refused because a table or the application was full.
    pub refused_at_capacity: u64,
    /// INVITEs taken.
    pub invites_received: u64,
    /// INVITEs sent.
    pub invites_sent: u64,
    /// Requests of ours sent again with credentials.
    pub challenges_met: u64,
    /// INVITEs of ours sent on to another next hop.
    pub failovers: u64,
    /// Users registered here now.
    pub registered_users: usize,
    /// Requests with wrong credentials.
    pub auth_failures: u64,
    /// What the guard dropped.
    pub guard: GuardCounters,
}

impl Event {
    /// The session it belongs to; `None` for what happens outside sessions.
    #[must_use]
    pub const fn session(&self) -> Option<SessionId> {
        match self {
            Self::Registration { .. } | Self::Queried { .. } => None,
            Self::Incoming { session, .. }
            | Self::Provisional { session, .. }
            | Self::Answered { session, .. }
            | Self::EarlyConfirmed { session, .. }
            | Self::Confirmed { session, .. }
            | Self::Offer { session, .. }
            | Self::OfferConfirmed { session, .. }
            | Self::ReinviteAnswered { session, .. }
            | Self::ReinviteFailed { session, .. }
            | Self::Info { session, .. }
            | Self::Refer { session, .. }
            | Self::Ended { session, .. } => Some(*session),
        }
    }
}
