//! Reliable provisional responses: ours with their repeats, the peer's with our PRACK (RFC 3262).

use std::sync::Arc;
use std::time::Instant;

use rand::RngExt as _;

use super::Endpoint;
use super::command::set_body;
use super::tables::Purpose;
use crate::dialog::{Pending, Phase, Queued, session_description};
use crate::event::{CommandError, Event, SessionEnd, SessionId};
use crate::message::{Essentials, HeaderName, Method, Request, Response, StatusCode};

/// Provisional responses that may wait for the PRACK of an earlier one.
const QUEUED_MAX: usize = 8;

impl Endpoint {
    /// Sends a provisional response reliably, now or when the one before has its PRACK.
    pub(super) fn send_reliable(
        &mut self,
        now: Instant,
        id: u64,
        status: StatusCode,
        body: Option<Arc<[u8]>>,
    ) -> Result<(), CommandError> {
        let Some(session) = self.sessions.get(id) else {
            return Err(CommandError::UnknownSession);
        };
        let Phase::Incoming {
            transaction,
            cseq,
            offered,
            ..
        } = session.phase
        else {
            return Err(CommandError::WrongState);
        };
        if session.reliable.pending.is_some() {
            if session.reliable.queued.len() >= QUEUED_MAX {
                return Err(CommandError::AtCapacity);
            }
            self.sessions.update(id, |session| {
                session.reliable.queued.push_back(Queued { status, body });
            });
            return Ok(());
        }
        let rseq = match session.reliable.rseq {
            // §3: between 1 and 2^31 - 1; small enough never to reach the end.
            0 => self.random.random_range(1..=1_u32 << 24),
            last => last + 1,
        };
        let mut response = self.session_response(transaction, status, None)?;
        self.add_session_headers(&mut response.headers, id, &[]);
        response.headers.push(HeaderName::Require, "100rel");
        response.headers.push(HeaderName::RSeq, rseq.to_string());
        set_body(&mut response.headers, &mut response.body, body.as_deref());
        let destination = self
            .servers
            .get(transaction)
            .map(|server| server.template.destination);
        let sent = self.send_response(now, transaction, response);
        let (Some(response), Some(destination)) = (sent, destination) else {
            return Err(CommandError::WrongState);
        };
        // §3: repeated over every transport, since proxies in between may lose it.
        let timers = self.config.timers;
        self.sessions.update(id, |session| {
            session.reliable.rseq = rseq;
            session.reliable.pending = Some(Pending {
                rseq,
                cseq,
                response,
                destination,
                repeat: crate::transaction::Repeat::new(now, timers.t1, timers.timeout()),
                give_up: now + timers.timeout(),
                has_sdp: body.is_some(),
                is_offer: body.is_some() && !offered,
            });
        });
        Ok(())
    }

    /// A PRACK for a reliable response of ours.
    pub(super) fn on_prack(&mut self, now: Instant, transaction: u64, id: u64, request: &Request) {
        let named = request.headers.first(&HeaderName::RAck).and_then(read_rack);
        let acknowledged = self.sessions.update(id, |session| {
            session.reliable.pending.take_if(|pending| {
                named.as_ref().is_some_and(|(rseq, cseq, method)| {
                    *rseq == pending.rseq && *cseq == pending.cseq && method == "INVITE"
                })
            })
        });
        let Some(Some(pending)) = acknowledged else {
            return self.reply(now, transaction, StatusCode::CALL_DOES_NOT_EXIST, []);
        };
        self.reply(now, transaction, StatusCode::OK, []);
        let sdp = session_description(&request.headers, &request.body)
            .ok()
            .flatten()
            .filter(|_| pending.is_offer);
        self.events.push_back(Event::EarlyConfirmed {
            session: SessionId(id),
            sdp,
        });
        self.go_on(now, id);
    }

    /// Sends what waited for a PRACK.
    fn go_on(&mut self, now: Instant, id: u64) {
        let Some((answer, queued)) = self.sessions.update(id, |session| {
            let answer = session.answer_waiting.take();
            let queued = session.reliable.queued.pop_front();
            (answer, queued)
        }) else {
            return;
        };
        if let Some((body, headers)) = answer {
            // The session may have been cancelled in the meantime.
            let _ = self.answer_with(now, id, &body, &headers);
        } else if let Some(queued) = queued {
            let _ = self.send_reliable(now, id, queued.status, queued.body);
        }
    }

    /// No PRACK came: §3 refuses the INVITE.
    pub(super) fn on_prack_timeout(&mut self, now: Instant, id: u64) {
        let Some(Phase::Incoming { transaction, .. }) =
            self.sessions.get(id).map(|session| &session.phase)
        else {
            return;
        };
        let transaction = *transaction;
        self.reply(now, transaction, StatusCode::SERVER_TIMEOUT, []);
        self.end_session(id, SessionEnd::AckTimeout);
    }

    pub(super) fn repeat_reliable(&mut self, id: u64) {
        let copy = self.sessions.get(id).and_then(|session| {
            let pending = session.reliable.pending.as_ref()?;
            Some((Arc::clone(&pending.response), pending.destination))
        });
        if let Some((response, destination)) = copy {
            self.counters.retransmits += 1;
            self.transmit(response, destination);
        }
    }

    /// Acknowledges a reliable provisional response of the peer. `false` if it is a repeat or out
    /// of order, and must be ignored (§4).
    pub(super) fn acknowledge_provisional(
        &mut self,
        now: Instant,
        id: u64,
        response: &Response,
        essentials: &Essentials,
        source: crate::transport::Hop,
    ) -> bool {
        if !response.headers.lists(&HeaderName::Require, "100rel") {
            return true;
        }
        let rseq = response
            .headers
            .first(&HeaderName::RSeq)
            .and_then(|value| value.trim().parse::<u32>().ok());
        let (Some(rseq), Some(tag)) = (rseq, essentials.to.tag()) else {
            return true;
        };
        let Some(Some((mut prack, hop))) = self.sessions.update(id, |session| {
            if !session.reliable.accept(tag, rseq) {
                return None;
            }
            // Each fork is a dialog of its own; the CSeq numbers may be shared by all.
            let mut early = session.dialog.clone();
            early.confirm(response, essentials, source);
            let request = early.request(Method::Prack, None);
            session.dialog.local_cseq = early.local_cseq;
            Some((request, early.next_hop()))
        }) else {
            return false;
        };
        prack.headers.push(
            HeaderName::RAck,
            format!("{rseq} {} INVITE", essentials.cseq.number),
        );
        self.send_request(now, prack, hop, Purpose::Prack(id));
        true
    }
}

/// `rseq cseq method`.
fn read_rack(value: &str) -> Option<(u32, u32, String)> {
    let mut parts = value.split_ascii_whitespace();
    let rack = (
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
        parts.next()?.to_owned(),
    );
    parts.next().is_none().then_some(rack)
}
