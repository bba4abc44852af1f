//! Timers of transactions and sessions.

use std::time::Instant;

use super::Endpoint;
use super::tables::Purpose;
use crate::dialog::{Phase, TimerDue};
use crate::event::{Event, ReferProgress, SessionEnd, SessionId};
use crate::message::StatusCode;
use crate::transaction::Due;

/// What a session's timer calls for.
enum SessionDue {
    Nothing,
    Repeat2xx,
    RepeatReliable,
    PrackTimeout,
    AckTimeout,
    RetryOffer,
    TransferUnknown,
    Refresh,
    Expired,
}

impl Endpoint {
    pub(super) fn fire_timers(&mut self, now: Instant) {
        while let Some(id) = self.servers.due(now) {
            self.on_server_timeout(now, id);
        }
        while let Some(id) = self.clients.due(now) {
            self.on_client_timeout(now, id);
        }
        while let Some(id) = self.registrations.due(now) {
            self.on_registration_timeout(now, id);
        }
        while let Some(id) = self.sessions.due(now) {
            self.on_session_timeout(now, id);
        }
    }

    fn on_server_timeout(&mut self, now: Instant, id: u64) {
        let due = self.servers.update(id, |server| server.on_timeout(now));
        match due {
            Some(Due::Repeat) => {
                if let Some(server) = self.servers.get(id) {
                    let destination = server.template.destination;
                    if let Some(response) = server.last_response() {
                        self.counters.retransmits += 1;
                        self.transmit(response, destination);
                    }
                }
            }
            Some(Due::Terminated | Due::TimedOut) => {
                let removed = self.servers.remove(id);
                if let Some(key) = removed.and_then(|server| server.merge_key) {
                    self.merged.remove(&key);
                }
            }
            Some(Due::Nothing) | None => {}
        }
    }

    fn on_client_timeout(&mut self, now: Instant, id: u64) {
        let due = self.clients.update(id, |client| client.on_timeout(now));
        match due {
            Some(Due::Repeat) => {
                if let Some(client) = self.clients.get(id) {
                    let (bytes, destination) = (client.bytes.clone(), client.destination);
                    self.counters.retransmits += 1;
                    self.transmit(bytes, destination);
                }
            }
            Some(Due::Terminated) => {
                self.clients.remove(id);
            }
            Some(Due::TimedOut) => {
                let Some(purpose) = self.clients.get(id).map(|client| client.purpose) else {
                    return;
                };
                if !self.try_again(now, id, purpose, None) {
                    self.on_request_timeout(now, purpose);
                }
                self.clients.remove(id);
            }
            Some(Due::Nothing) | None => {}
        }
    }

    /// No final response came in 64 × T1 (RFC 3261 §8.1.3.1: as if it were 408).
    pub(super) fn on_request_timeout(&mut self, now: Instant, purpose: Purpose) {
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
                    SessionEnd::Timeout
                };
                self.end_session(id, end);
            }
            Purpose::Reinvite(id) => self.give_up_session(now, id, SessionEnd::Timeout),
            Purpose::Bye(id) => self.finish_ending(id),
            Purpose::Refer(id) => {
                let open = self
                    .sessions
                    .update(id, |session| session.transfer.take())
                    .flatten();
                if open.is_some() {
                    self.events.push_back(Event::Refer {
                        session: SessionId(id),
                        progress: ReferProgress::Refused(StatusCode::REQUEST_TIMEOUT),
                    });
                }
            }
            Purpose::Register(id) => self.on_register_result(now, id, None),
            Purpose::Options(id) => self.on_query_result(id, None),
            Purpose::Prack(_) | Purpose::Unwatched => {}
        }
    }

    fn on_session_timeout(&mut self, now: Instant, id: u64) {
        let due = self.sessions.update(id, |session| {
            if let Some(resend) = &mut session.resend {
                if resend.give_up <= now {
                    return SessionDue::AckTimeout;
                }
                if resend.repeat.at <= now {
                    resend.repeat.advance(now);
                    return SessionDue::Repeat2xx;
                }
            }
            if let Some(pending) = &mut session.reliable.pending {
                if pending.give_up <= now {
                    session.reliable.pending = None;
                    return SessionDue::PrackTimeout;
                }
                if pending.repeat.at <= now {
                    pending.repeat.advance(now);
                    return SessionDue::RepeatReliable;
                }
            }
            if let Some(offer) = &mut session.own_offer
                && offer.retry_at.is_some_and(|at| at <= now)
            {
                offer.retry_at = None;
                return SessionDue::RetryOffer;
            }
            if session
                .transfer
                .take_if(|transfer| transfer.give_up <= now)
                .is_some()
            {
                return SessionDue::TransferUnknown;
            }
            match session.timer.as_mut().map(|timer| timer.on_timeout(now)) {
                Some(TimerDue::Refresh) => SessionDue::Refresh,
                Some(TimerDue::Expired) => SessionDue::Expired,
                Some(TimerDue::Nothing) | None => SessionDue::Nothing,
            }
        });
        match due {
            None | Some(SessionDue::Nothing) => {}
            Some(SessionDue::Repeat2xx) => self.repeat_success(id),
            Some(SessionDue::RepeatReliable) => self.repeat_reliable(id),
            Some(SessionDue::PrackTimeout) => self.on_prack_timeout(now, id),
            Some(SessionDue::AckTimeout) => {
                self.send_bye(now, id, None, SessionEnd::AckTimeout);
            }
            Some(SessionDue::RetryOffer) => self.retry_offer(now, id),
            Some(SessionDue::TransferUnknown) => self.events.push_back(Event::Refer {
                session: SessionId(id),
                progress: ReferProgress::Unknown,
            }),
            Some(SessionDue::Refresh) => self.send_refresh(now, id),
            Some(SessionDue::Expired) => self.send_bye(now, id, None, SessionEnd::Expired),
        }
    }

    fn repeat_success(&mut self, id: u64) {
        let copy = self.sessions.get(id).and_then(|session| {
            let resend = session.resend.as_ref()?;
            Some((resend.response.clone(), resend.destination))
        });
        if let Some((response, destination)) = copy {
            self.counters.retransmits += 1;
            self.transmit(response, destination);
        }
    }

    /// Tries our offer again after 491; it waits further while the peer's own is open.
    fn retry_offer(&mut self, now: Instant, id: u64) {
        let offer = self
            .sessions
            .update(id, |session| {
                if session.peer_offer.is_some() || session.resend.is_some() {
                    let wait = std::time::Duration::from_millis(500);
                    if let Some(offer) = &mut session.own_offer {
                        offer.retry_at = Some(now + wait);
                    }
                    return None;
                }
                session.own_offer.take()
            })
            .flatten();
        if let Some(offer) = offer {
            self.send_offer(now, id, offer.sdp, offer.refresh);
        }
    }
}
