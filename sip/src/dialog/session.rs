//! One INVITE session: its phase, what is open in it, and when it wants to be called back.

use std::sync::Arc;
use std::time::Instant;

use super::{Dialog, SessionTimer, Transfer};
use crate::auth::ClientAuth;
use crate::event::{OfferMethod, SessionEnd};
use crate::message::{Header, Headers, Request};
use crate::transaction::{Deadline, Repeat};
use crate::transport::Hop;

use super::reliable::Reliable;

/// Where a session stands.
#[derive(Debug)]
pub(crate) enum Phase {
    /// The peer called; our final response is still to come.
    Incoming {
        /// Server transaction of the INVITE.
        transaction: u64,
        /// Header fields of the INVITE.
        invite: Headers,
        /// CSeq number of the INVITE.
        cseq: u32,
        /// Whether the INVITE carried an offer.
        offered: bool,
    },
    /// We called; the final response is still to come.
    Outgoing {
        /// Client transaction of the INVITE.
        transaction: u64,
        /// Whether our INVITE carried no offer.
        late_offer: bool,
        /// The application gave up: with this Reason, CANCEL goes out once it may.
        cancel: Option<Option<String>>,
        /// Whether CANCEL has been sent.
        cancelled: bool,
    },
    /// The peer answered with its offer; our ACK waits for the application's answer.
    AwaitingLateAnswer {
        /// CSeq number of the INVITE.
        cseq: u32,
        /// Client transaction of the INVITE.
        transaction: u64,
    },
    /// Both sides agreed.
    Confirmed,
    /// BYE was sent; this is what the application will hear.
    Ending(SessionEnd),
}

/// A 2xx that is repeated until its ACK (RFC 3261 §13.3.1.4).
#[derive(Debug)]
pub(crate) struct Resend {
    /// The 2xx.
    pub(crate) response: Arc<[u8]>,
    /// Where it goes.
    pub(crate) destination: Hop,
    /// CSeq number of the INVITE.
    pub(crate) cseq: u32,
    /// When the next copy is due.
    pub(crate) repeat: Repeat,
    /// When the session is given up.
    pub(crate) give_up: Instant,
    /// Whether the 2xx carried our offer, so that the ACK must carry the answer.
    pub(crate) awaits_answer: bool,
    /// Whether it answers the first INVITE rather than a re-INVITE.
    pub(crate) initial: bool,
}

/// An offer of the peer within the dialog that the application has not answered yet.
#[derive(Debug)]
pub(crate) struct PeerOffer {
    /// Server transaction of the re-INVITE or UPDATE.
    pub(crate) transaction: u64,
    /// Which of the two.
    pub(crate) method: OfferMethod,
    /// CSeq number.
    pub(crate) cseq: u32,
    /// Whether it carried a description.
    pub(crate) offered: bool,
    /// Session timer our 2xx starts.
    pub(crate) timer: Option<SessionTimer>,
}

/// A re-INVITE or UPDATE of ours without a final response yet.
#[derive(Debug)]
pub(crate) struct OwnOffer {
    /// Our description.
    pub(crate) sdp: Arc<[u8]>,
    /// Whether it only refreshes the session timer: the application hears nothing of it.
    pub(crate) refresh: bool,
    /// After 491: when to try again. `None` while the transaction runs.
    pub(crate) retry_at: Option<Instant>,
}

/// What is still to be tried for a call of ours.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// Further next hops.
    pub(crate) alternatives: std::collections::VecDeque<Hop>,
    /// Addresses a redirection may lead to.
    pub(crate) allowed: Vec<std::net::IpAddr>,
    pub(crate) redirects_left: u8,
    /// Targets called already: a redirection back to one of them is a loop.
    pub(crate) visited: Vec<crate::message::Uri>,
    /// Whether a 422 was met already.
    pub(crate) interval_raised: bool,
}

/// One INVITE session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) phase: Phase,
    pub(crate) dialog: Dialog,
    /// Whether we made the Call-ID, which decides the wait after 491 (RFC 3261 §14.1).
    pub(crate) is_caller: bool,
    pub(crate) resend: Option<Resend>,
    /// The application hung up before the ACK of our 2xx: BYE goes out after it (§15).
    pub(crate) bye_after_ack: Option<Option<String>>,
    pub(crate) peer_offer: Option<PeerOffer>,
    pub(crate) own_offer: Option<OwnOffer>,
    pub(crate) transfer: Option<Transfer>,
    pub(crate) timer: Option<SessionTimer>,
    /// Whether the peer's Allow lists UPDATE.
    pub(crate) peer_allows_update: bool,
    /// Answers the peer's challenges.
    pub(crate) auth: Option<ClientAuth>,
    /// What is still to be tried for a call of ours without an answer.
    pub(crate) attempt: Option<Box<Attempt>>,
    /// Provisional responses that want a PRACK, ours and the peer's.
    pub(crate) reliable: Reliable,
    /// Our answer to the INVITE, held back until a PRACK comes.
    pub(crate) answer_waiting: Option<(Arc<[u8]>, Vec<Header>)>,
    /// Our last description sent, for refreshes that must not change anything.
    pub(crate) local_sdp: Option<Arc<[u8]>>,
}

impl Session {
    pub(crate) const fn new(phase: Phase, dialog: Dialog, is_caller: bool) -> Self {
        Self {
            phase,
            dialog,
            is_caller,
            resend: None,
            bye_after_ack: None,
            peer_offer: None,
            own_offer: None,
            transfer: None,
            timer: None,
            peer_allows_update: false,
            auth: None,
            attempt: None,
            reliable: Reliable::new(),
            answer_waiting: None,
            local_sdp: None,
        }
    }

    /// Whether BYE and re-INVITE make sense.
    pub(crate) const fn is_confirmed(&self) -> bool {
        matches!(self.phase, Phase::Confirmed)
    }

    /// A request of ours in the dialog, without Via.
    pub(crate) fn request(&mut self, method: crate::message::Method) -> Request {
        self.dialog.request(method, None)
    }
}

impl Deadline for Session {
    fn deadline(&self) -> Option<Instant> {
        if matches!(self.phase, Phase::Ending(_)) {
            // The BYE transaction ends it.
            return None;
        }
        [
            self.resend
                .as_ref()
                .map(|resend| resend.repeat.at.min(resend.give_up)),
            self.own_offer.as_ref().and_then(|offer| offer.retry_at),
            self.transfer.map(|transfer| transfer.give_up),
            self.reliable.deadline(),
            self.timer
                .filter(|_| self.is_confirmed())
                .map(|timer| timer.deadline()),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
