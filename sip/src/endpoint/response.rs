//! Responses to our requests.

use std::time::{Duration, Instant};

use rand::RngExt as _;

use super::Endpoint;
use super::tables::{ClientKind, Purpose};
use crate::dialog::{Dialog, Phase, SessionTimer, session_description};
use crate::event::{Event, ReferProgress, SessionEnd, SessionId};
use crate::message::{Essentials, HeaderName, Method, NameAddr, Request, Response, StatusCode};
use crate::sdp::SessionDescription;
use crate::transaction::{ClientKey, InviteResponse};
use crate::transport::Hop;

/// A response with what was read of it.
struct Received<'a> {
    now: Instant,
    source: Hop,
    response: &'a Response,
    essentials: &'a Essentials,
    /// Client transaction.
    client: u64,
}

impl Received<'_> {
    fn to_tag(&self) -> &str {
        self.essentials.to.tag().unwrap_or_default()
    }

    fn sdp(&self) -> Option<SessionDescription> {
        session_description(&self.response.headers, &self.response.body)
            .ok()
            .flatten()
    }
}

impl Endpoint {
    pub(super) fn on_response(
        &mut self,
        now: Instant,
        source: Hop,
        response: &Response,
        essentials: &Essentials,
    ) {
        let client = ClientKey::of_response(essentials).and_then(|key| self.clients.find(&key));
        let Some(client) = client else {
            self.counters.stray_responses += 1;
            return;
        };
        let status = response.status;
        let Some((verdict, purpose)) = self.clients.update(client, |client| {
            let verdict = match &mut client.kind {
                ClientKind::Invite(invite) => invite.on_response(now, status),
                ClientKind::Other(other) => {
                    if other.on_response(now, status) {
                        InviteResponse::Deliver
                    } else {
                        InviteResponse::Ignore
                    }
                }
            };
            (verdict, client.purpose)
        }) else {
            return;
        };
        let received = Received {
            now,
            source,
            response,
            essentials,
            client,
        };
        match verdict {
            InviteResponse::Ignore => {}
            InviteResponse::RepeatAck => self.repeat_ack(client),
            InviteResponse::Deliver if essentials.cseq.method == Method::Invite => {
                self.on_invite_response(&received, purpose);
            }
            InviteResponse::Deliver => self.on_other_response(&received, purpose),
        }
    }

    fn repeat_ack(&mut self, client: u64) {
        let Some(client) = self.clients.get(client) else {
            return;
        };
        let destination = client.destination;
        if let ClientKind::Invite(invite) = &client.kind
            && let Some(ack) = invite.ack()
        {
            self.counters.retransmits += 1;
            self.transmit(ack, destination);
        }
    }

    fn limit_wait(&mut self, now: Instant, client: u64) {
        self.clients.update(client, |client| {
            if let ClientKind::Invite(invite) = &mut client.kind {
                invite.limit_wait(now);
            }
        });
    }

    fn on_invite_response(&mut self, received: &Received<'_>, purpose: Purpose) {
        let status = received.response.status;
        if status.is_provisional() {
            match purpose {
                Purpose::Invite(id) => self.on_provisional(received, id),
                // Nobody rings for a re-INVITE: one without a final response must not stay.
                _ => self.limit_wait(received.now, received.client),
            }
            return;
        }
        if !status.is_success() {
            self.send_failure_ack(received.client, received.response);
            let failure = Some((status, &received.response.headers));
            if self.try_again(received.now, received.client, purpose, failure) {
                return;
            }
            return self.on_failure(received, purpose);
        }
        if self.repeat_dialog_ack(received) {
            return;
        }
        match purpose {
            Purpose::Invite(id) => self.on_invite_success(received, id),
            Purpose::Reinvite(id) => self.on_reinvite_success(received, id),
            _ => {}
        }
    }

    /// Whether this 2xx has been acknowledged before: then the same ACK goes out again.
    fn repeat_dialog_ack(&mut self, received: &Received<'_>) -> bool {
        let known = self.clients.get(received.client).and_then(|client| {
            let ack = client
                .acks
                .iter()
                .find(|ack| ack.to_tag == received.to_tag())?;
            Some((ack.bytes.clone(), ack.destination))
        });
        let Some((bytes, destination)) = known else {
            return false;
        };
        self.counters.retransmits += 1;
        self.transmit(bytes, destination);
        true
    }

    fn on_provisional(&mut self, received: &Received<'_>, id: u64) {
        let status = received.response.status;
        // A wish to cancel had to wait for this response (§9.1).
        let cancel = self
            .sessions
            .update(id, |session| match &mut session.phase {
                Phase::Outgoing {
                    cancel: Some(reason),
                    cancelled,
                    ..
                } if !*cancelled => {
                    *cancelled = true;
                    Some(reason.clone())
                }
                _ => None,
            })
            .flatten();
        if let Some(reason) = cancel {
            return self.send_cancel(received.now, received.client, reason.as_deref());
        }
        let is_wanted = self
            .sessions
            .get(id)
            .is_some_and(|session| matches!(session.phase, Phase::Outgoing { cancel: None, .. }));
        if status > StatusCode::TRYING {
            let in_order = self.acknowledge_provisional(
                received.now,
                id,
                received.response,
                received.essentials,
                received.source,
            );
            if !in_order {
                return;
            }
        }
        if is_wanted && status > StatusCode::TRYING {
            self.events.push_back(Event::Provisional {
                session: SessionId(id),
                status,
                sdp: received.sdp(),
            });
        }
    }

    /// The first 2xx makes the session; those of other forks are acknowledged and hung up
    /// (RFC 3261 §13.2.2.4).
    fn on_invite_success(&mut self, received: &Received<'_>, id: u64) {
        let phase = self.sessions.get(id).map(|session| &session.phase);
        let (late_offer, given_up) = match phase {
            Some(Phase::Outgoing {
                late_offer, cancel, ..
            }) => (*late_offer, cancel.clone()),
            Some(Phase::AwaitingLateAnswer { .. }) if self.is_same_fork(received, id) => return,
            _ => return self.hang_up_fork(received),
        };
        let now = received.now;
        let headers = &received.response.headers;
        let timer = SessionTimer::for_response(now, headers);
        self.sessions.update(id, |session| {
            session
                .dialog
                .confirm(received.response, received.essentials, received.source);
            session.timer = timer;
            session.peer_allows_update = headers.lists(&HeaderName::Allow, "UPDATE");
            session.attempt = None;
            if let Some(auth) = &mut session.auth {
                auth.accepted();
            }
            session.phase = Phase::Confirmed;
        });
        let sdp = received.sdp();
        if let Some(reason) = given_up {
            // The answer crossed our CANCEL.
            self.acknowledge(received, id);
            return self.send_bye(now, id, reason.as_deref(), SessionEnd::LocalReject);
        }
        if late_offer && sdp.is_some() {
            self.sessions.update(id, |session| {
                session.phase = Phase::AwaitingLateAnswer {
                    cseq: received.essentials.cseq.number,
                    transaction: received.client,
                };
            });
        } else {
            self.acknowledge(received, id);
        }
        self.events.push_back(Event::Answered {
            session: SessionId(id),
            sdp,
            headers: headers.clone(),
        });
    }

    fn is_same_fork(&self, received: &Received<'_>, id: u64) -> bool {
        self.sessions
            .get(id)
            .is_some_and(|session| session.dialog.remote.tag() == received.essentials.to.tag())
    }

    fn on_reinvite_success(&mut self, received: &Received<'_>, id: u64) {
        let headers = &received.response.headers;
        let timer = SessionTimer::for_response(received.now, headers);
        let Some(own_offer) = self.sessions.update(id, |session| {
            session.dialog.refresh_target(headers);
            session.timer = timer.or(session.timer);
            session.own_offer.take()
        }) else {
            // The session ended meanwhile; the 2xx wants its ACK all the same.
            let Some((mut dialog, cseq)) = self.dialog_of(received) else {
                return;
            };
            let ack = dialog.request(Method::Ack, Some(cseq));
            let next_hop = dialog.next_hop();
            return self.send_dialog_ack(received.client, received.to_tag(), ack, None, next_hop);
        };
        self.acknowledge(received, id);
        let Some(own_offer) = own_offer else {
            return;
        };
        self.sessions
            .update(id, |session| session.local_sdp = Some(own_offer.sdp));
        if !own_offer.refresh {
            self.events.push_back(Event::ReinviteAnswered {
                session: SessionId(id),
                sdp: received.sdp(),
            });
        }
    }

    /// ACK without a body, in the session's dialog.
    fn acknowledge(&mut self, received: &Received<'_>, id: u64) {
        let cseq = received.essentials.cseq.number;
        let Some((ack, next_hop)) = self.sessions.update(id, |session| {
            (
                session.dialog.request(Method::Ack, Some(cseq)),
                session.dialog.next_hop(),
            )
        }) else {
            return;
        };
        self.send_dialog_ack(received.client, received.to_tag(), ack, None, next_hop);
    }

    fn hang_up_fork(&mut self, received: &Received<'_>) {
        let Some((mut dialog, cseq)) = self.dialog_of(received) else {
            return;
        };
        let next_hop = dialog.next_hop();
        let ack = dialog.request(Method::Ack, Some(cseq));
        self.send_dialog_ack(received.client, received.to_tag(), ack, None, next_hop);
        let bye = dialog.request(Method::Bye, None);
        self.send_request(received.now, bye, next_hop, Purpose::Unwatched);
    }

    /// The dialog a 2xx makes, out of the INVITE and the response alone.
    fn dialog_of(&self, received: &Received<'_>) -> Option<(Dialog, u32)> {
        let client = self.clients.get(received.client)?;
        let request: &Request = &client.request;
        let from = NameAddr::parse(request.headers.first(&HeaderName::From)?).ok()?;
        let mut dialog = Dialog::outgoing(
            received.essentials.call_id.clone(),
            from,
            received.essentials.to.clone(),
            request.uri.clone(),
            client.destination,
        );
        dialog.local_cseq = client.cseq;
        dialog.confirm(received.response, received.essentials, received.source);
        Some((dialog, client.cseq))
    }

    fn on_failure(&mut self, received: &Received<'_>, purpose: Purpose) {
        let status = received.response.status;
        match purpose {
            Purpose::Invite(id) => {
                let given_up = self.sessions.get(id).is_some_and(|session| {
                    matches!(
                        session.phase,
                        Phase::Outgoing {
                            cancel: Some(_),
                            ..
                        }
                    )
                });
                let end = if given_up {
                    SessionEnd::LocalReject
                } else {
                    refused(received.response)
                };
                self.end_session(id, end);
            }
            Purpose::Reinvite(id) => match status {
                StatusCode::REQUEST_PENDING => self.retry_later(received.now, id),
                StatusCode::CALL_DOES_NOT_EXIST | StatusCode::REQUEST_TIMEOUT => {
                    self.give_up_session(received.now, id, refused(received.response));
                }
                _ => self.reinvite_failed(id, status),
            },
            _ => {}
        }
    }

    /// Responses to everything but INVITE.
    fn on_other_response(&mut self, received: &Received<'_>, purpose: Purpose) {
        let status = received.response.status;
        if status.is_provisional() {
            return;
        }
        let outcome = (status, &received.response.headers);
        if !status.is_success()
            && self.try_again(received.now, received.client, purpose, Some(outcome))
        {
            return;
        }
        match purpose {
            Purpose::Register(id) => {
                self.on_register_result(received.now, id, Some(outcome));
            }
            Purpose::Options(id) => self.on_query_result(id, Some(outcome)),
            Purpose::Bye(id) => self.finish_ending(id),
            // A refresh by UPDATE.
            Purpose::Reinvite(id) if status.is_success() => {
                let timer = SessionTimer::for_response(received.now, &received.response.headers);
                self.sessions.update(id, |session| {
                    session.own_offer = None;
                    session.timer = timer.or(session.timer);
                });
            }
            Purpose::Reinvite(_) => self.on_failure(received, purpose),
            Purpose::Refer(id) => self.on_refer_response(id, status),
            Purpose::Invite(_) | Purpose::Prack(_) | Purpose::Unwatched => {}
        }
    }

    fn on_refer_response(&mut self, id: u64, status: StatusCode) {
        let Some(Some(transfer)) = self.sessions.update(id, |session| session.transfer.take())
        else {
            return;
        };
        let progress = if status.is_success() {
            self.sessions
                .update(id, |session| session.transfer = Some(transfer));
            ReferProgress::Accepted
        } else {
            ReferProgress::Refused(status)
        };
        self.events.push_back(Event::Refer {
            session: SessionId(id),
            progress,
        });
    }

    /// The BYE is through: the session is over.
    pub(super) fn finish_ending(&mut self, id: u64) {
        let end = match self.sessions.get(id).map(|session| &session.phase) {
            Some(Phase::Ending(end)) => end.clone(),
            _ => SessionEnd::LocalBye,
        };
        self.end_session(id, end);
    }

    /// A request in the dialog failed in a way that means the peer has no dialog any more: BYE
    /// for safety, and the end (RFC 3261 §12.2.1.2).
    pub(super) fn give_up_session(&mut self, now: Instant, id: u64, end: SessionEnd) {
        let is_ending = self
            .sessions
            .get(id)
            .is_none_or(|session| matches!(session.phase, Phase::Ending(_)));
        if !is_ending {
            self.send_bye(now, id, None, end);
        }
    }

    pub(super) fn reinvite_failed(&mut self, id: u64, status: StatusCode) {
        let own_offer = self
            .sessions
            .update(id, |session| session.own_offer.take())
            .flatten();
        if own_offer.is_some_and(|offer| !offer.refresh) {
            self.events.push_back(Event::ReinviteFailed {
                session: SessionId(id),
                status,
            });
        }
    }

    /// After 491 the side that made the Call-ID waits 2.1–4 s, the other 0–2 s (§14.1).
    fn retry_later(&mut self, now: Instant, id: u64) {
        let is_caller = self.sessions.get(id).is_some_and(|s| s.is_caller);
        let steps: u64 = if is_caller {
            self.random.random_range(210..=400)
        } else {
            self.random.random_range(0..=200)
        };
        let at = now + Duration::from_millis(steps * 10);
        self.sessions.update(id, |session| {
            if let Some(offer) = &mut session.own_offer {
                offer.retry_at = Some(at);
            }
        });
    }
}

fn refused(response: &Response) -> SessionEnd {
    SessionEnd::Refused {
        status: response.status,
        reason: response.reason.clone(),
        headers: response.headers.clone(),
    }
}
