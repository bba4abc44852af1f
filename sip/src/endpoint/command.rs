//! What the application asks for.

use std::sync::Arc;
use std::time::Instant;

use super::Endpoint;
use super::send::{ALLOW, SUPPORTED, is_reserved};
use super::tables::Purpose;
use crate::auth::ClientAuth;
use crate::dialog::{Attempt, MIN_SESSION_EXPIRES_S};
use crate::dialog::{Dialog, OwnOffer, Phase, Resend, Session, SessionTimer, Transfer};
use crate::event::{Command, CommandError, InviteRequest, OfferMethod, SessionEnd, SessionId};
use crate::message::{Header, HeaderName, Headers, Method, NameAddr, Response, StatusCode, Uri};
use crate::sdp::{SDP_MEDIA_TYPE, SessionDescription};
use crate::transaction::Repeat;
use crate::transport::Transport;

type Outcome = Result<(), CommandError>;

impl Endpoint {
    /// Places a call.
    ///
    /// # Errors
    /// [`CommandError::AtCapacity`] when the session table is full.
    pub fn invite(
        &mut self,
        now: Instant,
        invite: InviteRequest,
    ) -> Result<SessionId, CommandError> {
        if self.sessions.len() >= self.config.sessions_max {
            self.counters.refused_at_capacity += 1;
            return Err(CommandError::AtCapacity);
        }
        let local_tag = self.new_tag();
        let mut from = invite.from;
        from.params.set("tag", Some(&local_tag));
        let mut to = invite
            .to
            .unwrap_or_else(|| NameAddr::new(invite.target.clone()));
        to.params.remove("tag");
        let call_id = invite.call_id.unwrap_or_else(|| self.new_call_id());
        let mut dialog = Dialog::outgoing(call_id, from, to, invite.target, invite.destination);
        let mut request = dialog.request(Method::Invite, None);
        request
            .headers
            .replace_first(&HeaderName::MaxForwards, invite.max_forwards.to_string());
        let local_sdp = invite.offer.as_ref().map(sdp_bytes);
        let transport = invite.destination.transport;
        self.add_capabilities(&mut request.headers, transport, &invite.headers);
        if let Some(seconds) = self.config.session_expires_s {
            let seconds = seconds.max(MIN_SESSION_EXPIRES_S);
            request
                .headers
                .push(HeaderName::SessionExpires, seconds.to_string());
            request
                .headers
                .push(HeaderName::MinSe, MIN_SESSION_EXPIRES_S.to_string());
        }
        set_body(
            &mut request.headers,
            &mut request.body,
            local_sdp.as_deref(),
        );
        let phase = Phase::Outgoing {
            transaction: 0,
            late_offer: invite.offer.is_none(),
            cancel: None,
            cancelled: false,
        };
        let mut session = Session::new(phase, dialog, true);
        session.local_sdp = local_sdp;
        session.auth = invite.credentials.map(ClientAuth::new);
        session.attempt = Some(Box::new(Attempt {
            allowed: invite
                .alternatives
                .iter()
                .chain([&invite.destination])
                .map(|hop| hop.address.ip())
                .collect(),
            alternatives: invite.alternatives.into(),
            redirects_left: invite.redirects_max,
            visited: vec![request.uri.clone()],
            interval_raised: false,
        }));
        let id = self.sessions.insert(local_tag, session);
        let client = self.send_request(now, request, invite.destination, Purpose::Invite(id));
        self.sessions.update(id, |session| {
            if let Phase::Outgoing { transaction, .. } = &mut session.phase {
                *transaction = client;
            }
        });
        self.counters.invites_sent += 1;
        Ok(SessionId(id))
    }

    /// Carries out a command on a session.
    ///
    /// # Errors
    /// [`CommandError::UnknownSession`] after its end, [`CommandError::WrongState`] when it does
    /// not fit; nothing has happened then.
    pub fn handle_command(
        &mut self,
        now: Instant,
        session: SessionId,
        command: Command,
    ) -> Outcome {
        let id = session.0;
        if self.sessions.get(id).is_none() {
            return Err(CommandError::UnknownSession);
        }
        match command {
            Command::Progress { status, sdp } => self.progress(now, id, status, sdp.as_ref()),
            Command::Answer { sdp, headers } => self.answer(now, id, &sdp, &headers),
            Command::Reject {
                status,
                reason,
                headers,
            } => self.reject(now, id, status, reason.as_deref(), &headers),
            Command::Challenge => self.challenge_caller(now, id),
            Command::Acknowledge { sdp } => self.acknowledge_late_offer(id, Some(&sdp)),
            Command::AnswerOffer { sdp } => self.answer_offer(now, id, &sdp),
            Command::RejectOffer { status } => self.reject_offer(now, id, status),
            Command::Reinvite { sdp } => self.reinvite(now, id, &sdp),
            Command::Refer {
                target,
                referred_by,
            } => self.refer(now, id, &target, referred_by.as_ref()),
            Command::End { reason } => self.end(now, id, reason),
        }
    }

    fn progress(
        &mut self,
        now: Instant,
        id: u64,
        status: StatusCode,
        sdp: Option<&SessionDescription>,
    ) -> Outcome {
        let (transaction, _) = self.incoming(id)?;
        if !status.is_provisional() || status == StatusCode::TRYING {
            return Err(CommandError::WrongState);
        }
        let body = sdp.map(sdp_bytes);
        let reliable = self.sessions.get(id).is_some_and(|session| {
            let reliable = &session.reliable;
            // What carries a description must arrive; for the rest it is enough if it may.
            reliable.peer_requires || (reliable.peer_supports && body.is_some())
        });
        if reliable {
            return self.send_reliable(now, id, status, body);
        }
        let mut response = self.session_response(transaction, status, None)?;
        self.add_session_headers(&mut response.headers, id, &[]);
        set_body(&mut response.headers, &mut response.body, body.as_deref());
        self.send_response(now, transaction, response);
        Ok(())
    }

    fn answer(
        &mut self,
        now: Instant,
        id: u64,
        sdp: &SessionDescription,
        headers: &[Header],
    ) -> Outcome {
        self.incoming(id)?;
        let body = sdp_bytes(sdp);
        // RFC 3262 §3: no 2xx while a description waits for its PRACK.
        let must_wait = self.sessions.update(id, |session| {
            let open = session.reliable.pending.as_ref();
            let waits = open.is_some_and(|pending| pending.has_sdp);
            if waits {
                session.answer_waiting = Some((Arc::clone(&body), headers.to_vec()));
            }
            waits
        });
        if must_wait == Some(true) {
            return Ok(());
        }
        self.answer_with(now, id, &body, headers)
    }

    /// Sends the 200 with this description.
    pub(super) fn answer_with(
        &mut self,
        now: Instant,
        id: u64,
        body: &Arc<[u8]>,
        headers: &[Header],
    ) -> Outcome {
        let (transaction, offered) = self.incoming(id)?;
        let Some(Phase::Incoming { invite, cseq, .. }) =
            self.sessions.get(id).map(|session| &session.phase)
        else {
            return Err(CommandError::WrongState);
        };
        let cseq = *cseq;
        let timer = SessionTimer::for_request(now, invite);
        let mut response = self.session_response(transaction, StatusCode::OK, None)?;
        self.add_session_headers(&mut response.headers, id, headers);
        self.sessions.update(id, |session| {
            session.phase = Phase::Confirmed;
            session.local_sdp = Some(Arc::clone(body));
            session.timer = timer;
            session.reliable.pending = None;
            session.reliable.queued.clear();
        });
        self.send_success(
            now,
            id,
            transaction,
            response,
            body,
            Success {
                cseq: Some(cseq),
                timer,
                awaits_answer: !offered,
                initial: true,
            },
        );
        Ok(())
    }

    fn reject(
        &mut self,
        now: Instant,
        id: u64,
        status: StatusCode,
        reason: Option<&str>,
        headers: &[Header],
    ) -> Outcome {
        let (transaction, _) = self.incoming(id)?;
        if status.code() < 300 {
            return Err(CommandError::WrongState);
        }
        let mut response = self.session_response(transaction, status, reason)?;
        // The Contact of a redirection is where the call shall go, not where we are (RFC 3261 §8.1.3.4).
        let redirects = status.code() < 400;
        let own =
            |name: &HeaderName| !is_reserved(name) || (redirects && *name == HeaderName::Contact);
        for header in headers.iter().filter(|header| own(&header.name)) {
            response.headers.push_header(header.clone());
        }
        self.send_response(now, transaction, response);
        self.end_session(id, SessionEnd::LocalReject);
        Ok(())
    }

    fn acknowledge_late_offer(&mut self, id: u64, sdp: Option<&SessionDescription>) -> Outcome {
        let body = sdp.map(sdp_bytes);
        let local_sdp = body.clone();
        let (ack, next_hop, transaction, tag) = self
            .sessions
            .update(id, |session| {
                let Phase::AwaitingLateAnswer { cseq, transaction } = session.phase else {
                    return None;
                };
                session.phase = Phase::Confirmed;
                session.local_sdp = local_sdp;
                let tag = session.dialog.remote.tag().unwrap_or_default().to_owned();
                let ack = session.dialog.request(Method::Ack, Some(cseq));
                Some((ack, session.dialog.next_hop(), transaction, tag))
            })
            .flatten()
            .ok_or(CommandError::WrongState)?;
        self.send_dialog_ack(transaction, &tag, ack, body, next_hop);
        Ok(())
    }

    fn answer_offer(&mut self, now: Instant, id: u64, sdp: &SessionDescription) -> Outcome {
        let open = self
            .sessions
            .update(id, |session| session.peer_offer.take())
            .flatten()
            .ok_or(CommandError::WrongState)?;
        let mut response = self.session_response(open.transaction, StatusCode::OK, None)?;
        self.add_session_headers(&mut response.headers, id, &[]);
        let body = sdp_bytes(sdp);
        self.sessions.update(id, |session| {
            session.local_sdp = Some(Arc::clone(&body));
            session.timer = open.timer.or(session.timer);
        });
        self.send_success(
            now,
            id,
            open.transaction,
            response,
            &body,
            Success {
                cseq: (open.method == OfferMethod::Invite).then_some(open.cseq),
                timer: open.timer,
                awaits_answer: !open.offered,
                initial: false,
            },
        );
        Ok(())
    }

    fn reject_offer(&mut self, now: Instant, id: u64, status: StatusCode) -> Outcome {
        let is_open = self
            .sessions
            .get(id)
            .is_some_and(|session| session.peer_offer.is_some());
        if !is_open || status.code() < 400 {
            return Err(CommandError::WrongState);
        }
        self.refuse_open_offer(now, id, status);
        Ok(())
    }

    fn reinvite(&mut self, now: Instant, id: u64, sdp: &SessionDescription) -> Outcome {
        let is_free = self.sessions.get(id).is_some_and(|session| {
            session.is_confirmed()
                && session.own_offer.is_none()
                && session.peer_offer.is_none()
                && session.resend.is_none()
                && session.bye_after_ack.is_none()
        });
        if !is_free {
            return Err(CommandError::WrongState);
        }
        self.send_offer(now, id, sdp_bytes(sdp), false);
        Ok(())
    }

    /// Sends a re-INVITE with this description.
    pub(super) fn send_offer(&mut self, now: Instant, id: u64, sdp: Arc<[u8]>, refresh: bool) {
        let Some((mut request, next_hop)) = self.sessions.update(id, |session| {
            session.own_offer = Some(OwnOffer {
                sdp: Arc::clone(&sdp),
                refresh,
                retry_at: None,
            });
            (session.request(Method::Invite), session.dialog.next_hop())
        }) else {
            return;
        };
        self.add_session_headers(&mut request.headers, id, &[]);
        self.add_session_expires(id, &mut request.headers);
        set_body(&mut request.headers, &mut request.body, Some(&sdp));
        self.send_request(now, request, next_hop, Purpose::Reinvite(id));
    }

    /// Refreshes the session timer: by UPDATE if the peer takes it, else by a re-INVITE that
    /// changes nothing.
    pub(super) fn send_refresh(&mut self, now: Instant, id: u64) {
        let Some(session) = self.sessions.get(id) else {
            return;
        };
        if session.own_offer.is_some() || session.peer_offer.is_some() {
            // The exchange under way is the refresh.
            return;
        }
        let sdp = session.local_sdp.clone();
        if !session.peer_allows_update {
            if let Some(sdp) = sdp {
                self.send_offer(now, id, sdp, true);
            }
            return;
        }
        let Some((mut request, next_hop)) = self.sessions.update(id, |session| {
            (session.request(Method::Update), session.dialog.next_hop())
        }) else {
            return;
        };
        self.add_session_headers(&mut request.headers, id, &[]);
        self.add_session_expires(id, &mut request.headers);
        self.send_request(now, request, next_hop, Purpose::Reinvite(id));
    }

    fn refer(&mut self, now: Instant, id: u64, target: &Uri, referred_by: Option<&Uri>) -> Outcome {
        let give_up = now + self.config.refer_timeout;
        let contact = self.session_contact(id);
        let (mut request, next_hop) = self
            .sessions
            .update(id, |session| {
                let is_free = session.is_confirmed()
                    && session.transfer.is_none()
                    && session.bye_after_ack.is_none();
                if !is_free {
                    return None;
                }
                let request = session.request(Method::Refer);
                session.transfer = Some(Transfer {
                    cseq: session.dialog.local_cseq,
                    give_up,
                });
                Some((request, session.dialog.next_hop()))
            })
            .flatten()
            .ok_or(CommandError::WrongState)?;
        let headers = &mut request.headers;
        headers.push(HeaderName::Contact, contact);
        headers.push(HeaderName::ReferTo, format!("<{target}>"));
        if let Some(uri) = referred_by {
            headers.push(HeaderName::ReferredBy, format!("<{uri}>"));
        }
        self.send_request(now, request, next_hop, Purpose::Refer(id));
        Ok(())
    }

    fn end(&mut self, now: Instant, id: u64, reason: Option<String>) -> Outcome {
        let Some(session) = self.sessions.get(id) else {
            return Err(CommandError::UnknownSession);
        };
        match &session.phase {
            Phase::Incoming { .. } => {
                let headers: Vec<Header> = reason
                    .map(|reason| Header::new(HeaderName::Reason, reason))
                    .into_iter()
                    .collect();
                let status = StatusCode::TEMPORARILY_UNAVAILABLE;
                return self.reject(now, id, status, None, &headers);
            }
            Phase::Outgoing {
                transaction,
                cancel,
                ..
            } => {
                if cancel.is_none() {
                    let transaction = *transaction;
                    self.cancel(now, id, transaction, reason);
                }
            }
            Phase::AwaitingLateAnswer { .. } => {
                self.acknowledge_late_offer(id, None)?;
                self.send_bye(now, id, reason.as_deref(), SessionEnd::LocalBye);
            }
            Phase::Confirmed => {
                let ack_is_open = session.resend.as_ref().is_some_and(|resend| resend.initial);
                if ack_is_open {
                    self.sessions.update(id, |session| {
                        session.bye_after_ack.get_or_insert(reason);
                    });
                } else {
                    self.send_bye(now, id, reason.as_deref(), SessionEnd::LocalBye);
                }
            }
            Phase::Ending(_) => {}
        }
        Ok(())
    }

    fn cancel(&mut self, now: Instant, id: u64, transaction: u64, reason: Option<String>) {
        let may_cancel = self
            .clients
            .get(transaction)
            .is_some_and(|client| client.may_cancel());
        self.sessions.update(id, |session| {
            if let Phase::Outgoing {
                cancel, cancelled, ..
            } = &mut session.phase
            {
                *cancel = Some(reason.clone());
                *cancelled = may_cancel;
            }
        });
        if may_cancel {
            self.send_cancel(now, transaction, reason.as_deref());
        }
    }

    /// Transaction and presence of an offer of a call not answered yet.
    pub(super) fn incoming(&self, id: u64) -> Result<(u64, bool), CommandError> {
        match self.sessions.get(id).map(|session| &session.phase) {
            Some(Phase::Incoming {
                transaction,
                offered,
                ..
            }) => Ok((*transaction, *offered)),
            Some(_) => Err(CommandError::WrongState),
            None => Err(CommandError::UnknownSession),
        }
    }

    pub(super) fn session_response(
        &self,
        transaction: u64,
        status: StatusCode,
        reason: Option<&str>,
    ) -> Result<Response, CommandError> {
        let server = self
            .servers
            .get(transaction)
            .ok_or(CommandError::WrongState)?;
        Ok(server.template.response(status, reason))
    }

    /// Header fields of INVITE, UPDATE and the responses that belong to a session.
    pub(super) fn add_session_headers(&self, headers: &mut Headers, id: u64, further: &[Header]) {
        self.add_capabilities(headers, self.session_transport(id), further);
    }

    /// By what the peer of a session is reached.
    fn session_transport(&self, id: u64) -> Transport {
        self.sessions
            .get(id)
            .map_or(Transport::Udp, |session| session.dialog.peer.transport)
    }

    pub(super) fn session_contact(&self, id: u64) -> String {
        self.contact(self.session_transport(id))
    }

    fn add_capabilities(&self, headers: &mut Headers, transport: Transport, further: &[Header]) {
        headers.push(HeaderName::Contact, self.contact(transport));
        headers.push(HeaderName::Allow, ALLOW);
        headers.push(HeaderName::Supported, SUPPORTED.join(", "));
        for header in further.iter().filter(|header| !is_reserved(&header.name)) {
            headers.push_header(header.clone());
        }
    }

    /// Keeps a running session timer going in a request of ours: we are the client now.
    fn add_session_expires(&self, id: u64, headers: &mut Headers) {
        if let Some(timer) = self.sessions.get(id).and_then(|session| session.timer) {
            timer.ask(headers);
        }
    }

    /// Sends a 2xx with a description, to be repeated until its ACK if it answers an INVITE.
    fn send_success(
        &mut self,
        now: Instant,
        id: u64,
        transaction: u64,
        mut response: Response,
        body: &Arc<[u8]>,
        success: Success,
    ) {
        if let Some(timer) = success.timer {
            timer.answer(&mut response.headers);
        }
        set_body(&mut response.headers, &mut response.body, Some(body));
        let timers = self.config.timers;
        let destination = self
            .servers
            .get(transaction)
            .map(|server| server.template.destination);
        let sent = self.send_response(now, transaction, response);
        let (Some(response), Some(destination), Some(cseq)) = (sent, destination, success.cseq)
        else {
            return;
        };
        self.sessions.update(id, |session| {
            session.resend = Some(Resend {
                response,
                destination,
                cseq,
                repeat: Repeat::new(now, timers.t1, timers.t2),
                give_up: now + timers.timeout(),
                awaits_answer: success.awaits_answer,
                initial: success.initial,
            });
        });
    }
}

/// What else is known of a 2xx with a description.
struct Success {
    /// CSeq number of the INVITE it answers; `None` for UPDATE, which has no ACK.
    cseq: Option<u32>,
    timer: Option<SessionTimer>,
    awaits_answer: bool,
    initial: bool,
}

fn sdp_bytes(sdp: &SessionDescription) -> Arc<[u8]> {
    sdp.to_string().into_bytes().into()
}

pub(super) fn set_body(headers: &mut Headers, body: &mut Vec<u8>, sdp: Option<&[u8]>) {
    if let Some(sdp) = sdp {
        headers.push(HeaderName::ContentType, SDP_MEDIA_TYPE);
        *body = sdp.to_vec();
    }
}
