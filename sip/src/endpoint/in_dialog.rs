//! Requests from peers within a dialog (RFC 3261 §12.2.2, §14.2, §15.1.2).

use std::time::Instant;

use rand::RngExt as _;

use super::Endpoint;
use super::request::{acceptable_offer, capabilities};
use super::tables::Purpose;
use crate::dialog::{
    MIN_SESSION_EXPIRES_S, PeerOffer, Phase, SessionTimer, info_digit, refer_status,
    session_description, session_interval_too_small,
};
use crate::event::{Event, OfferMethod, ReferProgress, SessionEnd, SessionId};
use crate::message::{Essentials, Header, HeaderName, Method, Request, StatusCode};
use crate::transport::Hop;

/// Longest Retry-After for a request that came while another was open (RFC 3261 §14.2).
const BUSY_RETRY_S_MAX: u32 = 10;

impl Endpoint {
    pub(super) fn on_in_dialog(
        &mut self,
        now: Instant,
        transaction: u64,
        source: Hop,
        request: &Request,
        essentials: &Essentials,
    ) {
        let Some(id) = self.find_session(essentials) else {
            return self.reply(now, transaction, StatusCode::CALL_DOES_NOT_EXIST, []);
        };
        let in_order = self.sessions.update(id, |session| {
            session.dialog.peer = source;
            session.dialog.accept_cseq(essentials.cseq.number)
        });
        if in_order != Some(true) {
            return self.reply(now, transaction, StatusCode::SERVER_INTERNAL_ERROR, []);
        }
        match request.method {
            Method::Bye => self.on_bye(now, transaction, id, request),
            Method::Invite => self.on_reinvite(now, transaction, id, request, essentials),
            Method::Update => self.on_update(now, transaction, id, request, essentials),
            Method::Info => self.on_info(now, transaction, id, request),
            Method::Prack => self.on_prack(now, transaction, id, request),
            Method::Notify => self.on_notify(now, transaction, id, request),
            Method::Options => self.reply(now, transaction, StatusCode::OK, capabilities()),
            _ => self.reply(now, transaction, StatusCode::CALL_DOES_NOT_EXIST, []),
        }
    }

    /// The ACK of a 2xx of ours.
    pub(super) fn on_dialog_ack(
        &mut self,
        now: Instant,
        source: Hop,
        request: &Request,
        essentials: &Essentials,
    ) {
        let Some(id) = self.find_session(essentials) else {
            return;
        };
        let Some(Some((resend, bye))) = self.sessions.update(id, |session| {
            session.dialog.peer = source;
            let resend = session
                .resend
                .take_if(|resend| resend.cseq == essentials.cseq.number)?;
            Some((resend, session.bye_after_ack.take()))
        }) else {
            return;
        };
        if let Some(reason) = bye {
            return self.send_bye(now, id, reason.as_deref(), SessionEnd::LocalBye);
        }
        let sdp = session_description(&request.headers, &request.body)
            .ok()
            .flatten()
            .filter(|_| resend.awaits_answer);
        if resend.awaits_answer && sdp.is_none() {
            return self.send_bye(now, id, None, SessionEnd::NoAnswer);
        }
        let session = SessionId(id);
        if resend.initial {
            self.events.push_back(Event::Confirmed { session, sdp });
        } else if let Some(sdp) = sdp {
            self.events
                .push_back(Event::OfferConfirmed { session, sdp });
        }
    }

    /// Sends BYE; the session ends for good with its answer or timeout.
    pub(super) fn send_bye(
        &mut self,
        now: Instant,
        id: u64,
        reason: Option<&str>,
        end: SessionEnd,
    ) {
        self.refuse_open_offer(now, id, StatusCode::REQUEST_TERMINATED);
        let Some((mut bye, next_hop)) = self.sessions.update(id, |session| {
            session.phase = Phase::Ending(end);
            session.resend = None;
            session.own_offer = None;
            session.transfer = None;
            (session.request(Method::Bye), session.dialog.next_hop())
        }) else {
            return;
        };
        if let Some(reason) = reason {
            bye.headers.push(HeaderName::Reason, reason);
        }
        self.send_request(now, bye, next_hop, Purpose::Bye(id));
    }

    /// Answers an open re-INVITE or UPDATE of the peer by a refusal.
    pub(super) fn refuse_open_offer(&mut self, now: Instant, id: u64, status: StatusCode) {
        let open = self
            .sessions
            .update(id, |session| session.peer_offer.take())
            .flatten();
        if let Some(open) = open {
            self.reply(now, open.transaction, status, []);
        }
    }

    fn find_session(&self, essentials: &Essentials) -> Option<u64> {
        // Our tag is unique among sessions, so it alone finds the session.
        let id = self.sessions.find(&essentials.to.tag()?.to_owned())?;
        let session = self.sessions.get(id)?;
        session.dialog.matches(essentials).then_some(id)
    }

    fn on_bye(&mut self, now: Instant, transaction: u64, id: u64, request: &Request) {
        let Some(session) = self.sessions.get(id) else {
            return;
        };
        let reason = request
            .headers
            .first(&HeaderName::Reason)
            .map(str::to_owned);
        match &session.phase {
            Phase::Outgoing { .. } => {
                return self.reply(now, transaction, StatusCode::CALL_DOES_NOT_EXIST, []);
            }
            // Crossing BYEs: ours stays in charge of the end.
            Phase::Ending(_) => return self.reply(now, transaction, StatusCode::OK, []),
            Phase::Incoming {
                transaction: invite,
                ..
            } => {
                let invite = *invite;
                self.reply(now, transaction, StatusCode::OK, []);
                self.reply(now, invite, StatusCode::REQUEST_TERMINATED, []);
                return self.end_session(id, SessionEnd::Cancelled { reason });
            }
            Phase::Confirmed | Phase::AwaitingLateAnswer { .. } => {}
        }
        self.reply(now, transaction, StatusCode::OK, []);
        self.refuse_open_offer(now, id, StatusCode::REQUEST_TERMINATED);
        self.end_session(id, SessionEnd::RemoteBye { reason });
    }

    fn on_reinvite(
        &mut self,
        now: Instant,
        transaction: u64,
        id: u64,
        request: &Request,
        essentials: &Essentials,
    ) {
        if let Some(status) = self.glare(id) {
            return self.refuse_for_now(now, transaction, status);
        }
        let offer = match acceptable_offer(request) {
            Ok(offer) => offer,
            Err((status, headers)) => return self.reply(now, transaction, status, headers),
        };
        if session_interval_too_small(&request.headers) {
            let minimum = Header::new(HeaderName::MinSe, MIN_SESSION_EXPIRES_S.to_string());
            let status = StatusCode::SESSION_INTERVAL_TOO_SMALL;
            return self.reply(now, transaction, status, [minimum]);
        }
        let session = SessionId(id);
        // The peer goes on although its ACK has not come: it has our 2xx, only the ACK was lost.
        let was_lost = self
            .sessions
            .update(id, |session| session.resend.take())
            .flatten();
        if was_lost.is_some_and(|resend| resend.initial) {
            self.events
                .push_back(Event::Confirmed { session, sdp: None });
        }
        self.open_offer(
            now,
            transaction,
            id,
            OfferMethod::Invite,
            request,
            essentials,
            offer.is_some(),
        );
        self.reply(now, transaction, StatusCode::TRYING, []);
        self.events.push_back(Event::Offer {
            session,
            method: OfferMethod::Invite,
            sdp: offer,
        });
    }

    fn on_update(
        &mut self,
        now: Instant,
        transaction: u64,
        id: u64,
        request: &Request,
        essentials: &Essentials,
    ) {
        if request.body.is_empty() {
            return self.on_refresh(now, transaction, id, request);
        }
        if let Some(status) = self.glare(id) {
            return self.refuse_for_now(now, transaction, status);
        }
        let offer = match acceptable_offer(request) {
            Ok(offer) => offer,
            Err((status, headers)) => return self.reply(now, transaction, status, headers),
        };
        self.open_offer(
            now,
            transaction,
            id,
            OfferMethod::Update,
            request,
            essentials,
            true,
        );
        self.events.push_back(Event::Offer {
            session: SessionId(id),
            method: OfferMethod::Update,
            sdp: offer,
        });
    }

    /// UPDATE without a body: a new target, and a refresh of the session timer.
    fn on_refresh(&mut self, now: Instant, transaction: u64, id: u64, request: &Request) {
        let timer = SessionTimer::for_request(now, &request.headers);
        let contact = self.session_contact(id);
        self.sessions.update(id, |session| {
            session.dialog.refresh_target(&request.headers);
            session.timer = timer.or(session.timer);
        });
        let Some(server) = self.servers.get(transaction) else {
            return;
        };
        let mut response = server.template.response(StatusCode::OK, None);
        response.headers.push(HeaderName::Contact, contact);
        if let Some(timer) = timer {
            timer.answer(&mut response.headers);
        }
        self.send_response(now, transaction, response);
    }

    #[expect(clippy::too_many_arguments, reason = "all of one request")]
    fn open_offer(
        &mut self,
        now: Instant,
        transaction: u64,
        id: u64,
        method: OfferMethod,
        request: &Request,
        essentials: &Essentials,
        offered: bool,
    ) {
        let timer = SessionTimer::for_request(now, &request.headers);
        self.sessions.update(id, |session| {
            session.dialog.refresh_target(&request.headers);
            session.peer_offer = Some(PeerOffer {
                transaction,
                method,
                cseq: essentials.cseq.number,
                offered,
                timer,
            });
        });
        self.servers
            .update(transaction, |server| server.session = Some(id));
    }

    /// Whether an offer of the peer must wait: 491 while ours is open, 500 while its own earlier
    /// one is (RFC 3261 §14.2, RFC 3311 §5.2).
    fn glare(&self, id: u64) -> Option<StatusCode> {
        let session = self.sessions.get(id)?;
        let own_open = session
            .own_offer
            .as_ref()
            .is_some_and(|offer| offer.retry_at.is_none());
        let answer_open = session
            .resend
            .as_ref()
            .is_some_and(|resend| resend.awaits_answer);
        match &session.phase {
            Phase::Ending(_) => Some(StatusCode::CALL_DOES_NOT_EXIST),
            Phase::Outgoing { .. } | Phase::AwaitingLateAnswer { .. } => {
                Some(StatusCode::REQUEST_PENDING)
            }
            Phase::Incoming { .. } => Some(StatusCode::SERVER_INTERNAL_ERROR),
            Phase::Confirmed if own_open || answer_open => Some(StatusCode::REQUEST_PENDING),
            Phase::Confirmed if session.peer_offer.is_some() => {
                Some(StatusCode::SERVER_INTERNAL_ERROR)
            }
            Phase::Confirmed => None,
        }
    }

    fn refuse_for_now(&mut self, now: Instant, transaction: u64, status: StatusCode) {
        let seconds = self.random.random_range(0..=BUSY_RETRY_S_MAX);
        let retry_after = (status == StatusCode::SERVER_INTERNAL_ERROR)
            .then(|| Header::new(HeaderName::RetryAfter, seconds.to_string()));
        self.reply(now, transaction, status, retry_after);
    }

    fn on_info(&mut self, now: Instant, transaction: u64, id: u64, request: &Request) {
        self.reply(now, transaction, StatusCode::OK, []);
        let content_type = request.content_type();
        self.events.push_back(Event::Info {
            session: SessionId(id),
            digit: info_digit(content_type.as_deref(), &request.body),
            content_type,
            body: request.body.clone(),
        });
    }

    /// News of our REFER (RFC 3515 §2.4.4, RFC 6665 §4.1.3).
    fn on_notify(&mut self, now: Instant, transaction: u64, id: u64, request: &Request) {
        let event = request
            .headers
            .first(&HeaderName::Event)
            .unwrap_or_default();
        let (package, named) = match event.split_once(';') {
            Some((package, params)) => (package.trim(), Some(params)),
            None => (event.trim(), None),
        };
        if !package.eq_ignore_ascii_case("refer") {
            return self.reply(now, transaction, StatusCode::BAD_EVENT, []);
        }
        let transfer = self.sessions.get(id).and_then(|session| session.transfer);
        let subscription = named
            .and_then(|params| params.trim().strip_prefix("id="))
            .and_then(|number| number.trim().parse::<u32>().ok());
        let Some(transfer) =
            transfer.filter(|transfer| subscription.is_none_or(|number| number == transfer.cseq))
        else {
            return self.reply(now, transaction, StatusCode::CALL_DOES_NOT_EXIST, []);
        };
        self.reply(now, transaction, StatusCode::OK, []);
        let terminated = request
            .headers
            .first(&HeaderName::SubscriptionState)
            .is_some_and(|state| {
                state
                    .trim_start()
                    .get(..10)
                    .is_some_and(|word| word.eq_ignore_ascii_case("terminated"))
            });
        let progress = match refer_status(&request.body) {
            Some(status) if status.is_success() => ReferProgress::Succeeded,
            Some(status) if !status.is_provisional() => ReferProgress::Failed(status),
            _ if terminated => ReferProgress::Unknown,
            Some(status) => ReferProgress::Trying(status),
            None => return,
        };
        let is_final = !matches!(progress, ReferProgress::Trying(_));
        self.sessions.update(id, |session| {
            session.transfer = (!is_final).then_some(transfer);
        });
        self.events.push_back(Event::Refer {
            session: SessionId(id),
            progress,
        });
    }
}
