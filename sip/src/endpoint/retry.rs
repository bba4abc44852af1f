//! Requests of ours that are sent again in a new transaction: with credentials, a longer session
//! interval, to another next hop or another target (RFC 3261 §8.1.3, §22.2; RFC 3263 §4.3;
//! RFC 4028 §7.4).

use std::time::Instant;

use super::Endpoint;
use super::tables::{ClientKind, Purpose};
use crate::auth::ClientAuth;
use crate::dialog::Phase;
use crate::message::{HeaderName, Headers, Request, StatusCode};
use crate::transport::Hop;

/// Longest session interval taken from a 422, in seconds.
const MIN_SE_MAX: u32 = 86_400;

impl Endpoint {
    /// Whether a final non-2xx response (`None`: nobody answered, or the transport failed) was
    /// met by another try.
    pub(super) fn try_again(
        &mut self,
        now: Instant,
        client: u64,
        purpose: Purpose,
        failure: Option<(StatusCode, &Headers)>,
    ) -> bool {
        if let Purpose::Invite(id) = purpose
            && !self.is_wanted(id)
        {
            return false;
        }
        match failure {
            Some((
                StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED,
                headers,
            )) => self.meet_challenge(now, client, purpose, headers),
            Some((StatusCode::SESSION_INTERVAL_TOO_SMALL, headers)) => {
                self.raise_interval(now, client, purpose, headers)
            }
            Some((status, headers)) if matches!(status.code(), 300..=399) => {
                self.follow_redirection(now, client, purpose, headers)
            }
            None | Some((StatusCode::SERVICE_UNAVAILABLE, _)) => {
                self.fail_over(now, client, purpose)
            }
            Some(_) => false,
        }
    }

    /// Whether the application still wants the call.
    fn is_wanted(&self, id: u64) -> bool {
        self.sessions
            .get(id)
            .is_some_and(|session| matches!(session.phase, Phase::Outgoing { cancel: None, .. }))
    }

    fn meet_challenge(
        &mut self,
        now: Instant,
        client: u64,
        purpose: Purpose,
        headers: &Headers,
    ) -> bool {
        let usable = self.with_auth(purpose, |auth| auth.take_challenge(headers));
        if usable != Some(true) {
            return false;
        }
        let sent = self.send_again(now, client, None, |_| {});
        self.counters.challenges_met += u64::from(sent);
        sent
    }

    fn raise_interval(
        &mut self,
        now: Instant,
        client: u64,
        purpose: Purpose,
        headers: &Headers,
    ) -> bool {
        let Some(id) = purpose.session() else {
            return false;
        };
        let minimum = headers
            .first(&HeaderName::MinSe)
            .and_then(|value| value.split(';').next()?.trim().parse::<u32>().ok())
            .filter(|minimum| *minimum <= MIN_SE_MAX);
        let Some(minimum) = minimum else {
            return false;
        };
        let is_first = self.sessions.update(id, |session| {
            if let Some(timer) = &mut session.timer {
                let raises = timer.interval_s < minimum;
                timer.interval_s = timer.interval_s.max(minimum);
                return raises;
            }
            match &mut session.attempt {
                Some(attempt) => !std::mem::replace(&mut attempt.interval_raised, true),
                None => false,
            }
        });
        is_first == Some(true)
            && self.send_again(now, client, None, |request| {
                let who = request
                    .headers
                    .first(&HeaderName::SessionExpires)
                    .and_then(|value| value.split_once(';'))
                    .map_or_else(String::new, |(_, params)| format!(";{params}"));
                let value = format!("{minimum}{who}");
                request.headers.set(HeaderName::SessionExpires, value);
                request.headers.set(HeaderName::MinSe, minimum.to_string());
            })
    }

    /// Calls the first Contact, by `q`, that is allowed and new.
    fn follow_redirection(
        &mut self,
        now: Instant,
        client: u64,
        purpose: Purpose,
        headers: &Headers,
    ) -> bool {
        let Purpose::Invite(id) = purpose else {
            return false;
        };
        let mut contacts = headers.addresses(&HeaderName::Contact).unwrap_or_default();
        let weight = |contact: &crate::message::NameAddr| {
            let q = contact
                .params
                .value("q")
                .and_then(|q| q.parse::<f32>().ok());
            q.unwrap_or(1.0)
        };
        contacts.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
        let found = self.sessions.update(id, |session| {
            let attempt = session.attempt.as_mut()?;
            attempt.redirects_left = attempt.redirects_left.checked_sub(1)?;
            let target = contacts
                .into_iter()
                .map(|contact| contact.uri)
                .find(|uri| {
                    let allowed = uri
                        .socket_addr()
                        .is_some_and(|address| attempt.allowed.contains(&address.ip()));
                    allowed && !attempt.visited.contains(uri)
                })?;
            attempt.visited.push(target.clone());
            session.dialog.remote_target = target.clone();
            Some(target)
        });
        let Some(Some(target)) = found else {
            return false;
        };
        let transport = crate::transport::Transport::of_uri(&target).unwrap_or_default();
        let Some(address) = target.socket_addr() else {
            return false;
        };
        let hop = Hop::new(transport, address);
        self.send_again(now, client, Some(hop), |request| request.uri = target)
    }

    /// Tries the next hop of the list; a large request that TCP did not take goes back to UDP.
    fn fail_over(&mut self, now: Instant, client: u64, purpose: Purpose) -> bool {
        let back_to_udp = self.clients.get(client).and_then(|client| client.fallback);
        if let Some(hop) = back_to_udp {
            return self.send_again(now, client, Some(hop), |_| {});
        }
        let Purpose::Invite(id) = purpose else {
            return false;
        };
        let next = self.sessions.update(id, |session| {
            session.attempt.as_mut()?.alternatives.pop_front()
        });
        let Some(Some(hop)) = next else {
            return false;
        };
        self.counters.failovers += 1;
        self.send_again(now, client, Some(hop), |_| {})
    }

    /// Sends the request of a client transaction in a new one with the next CSeq number.
    fn send_again(
        &mut self,
        now: Instant,
        client: u64,
        hop: Option<Hop>,
        change: impl FnOnce(&mut Request),
    ) -> bool {
        let Some(old) = self.clients.get(client) else {
            return false;
        };
        let purpose = old.purpose;
        let mut request = old.request.clone();
        let destination = hop.unwrap_or(old.destination);
        let moved = destination != old.destination;
        let no_upgrade = old.fallback.is_some() && hop.is_some();
        for name in [
            HeaderName::Via,
            HeaderName::UserAgent,
            HeaderName::Authorization,
            HeaderName::ProxyAuthorization,
        ] {
            request.headers.remove(&name);
        }
        let Some(number) = self.next_cseq(purpose, old.cseq) else {
            return false;
        };
        request
            .headers
            .replace_first(&HeaderName::CSeq, format!("{number} {}", request.method));
        if moved && request.headers.first(&HeaderName::Contact).is_some() {
            let contact = self.contact(destination.transport);
            if !matches!(purpose, Purpose::Register(_)) {
                request.headers.replace_first(&HeaderName::Contact, contact);
            }
        }
        change(&mut request);
        // The old transaction has its final response, or never will; it must not report again.
        self.clients
            .update(client, |client| client.purpose = Purpose::Unwatched);
        let new = self.send_request_by(now, request, destination, purpose, !no_upgrade);
        if let Purpose::Invite(id) = purpose {
            self.sessions.update(id, |session| {
                session.dialog.peer = destination;
                if let Phase::Outgoing { transaction, .. } = &mut session.phase {
                    *transaction = new;
                }
            });
        }
        true
    }

    fn next_cseq(&mut self, purpose: Purpose, old: u32) -> Option<u32> {
        if let Purpose::Register(id) = purpose {
            return self
                .registrations
                .update(id, |registration| registration.next_cseq());
        }
        let Some(id) = purpose.session() else {
            return match purpose {
                Purpose::Options(_) => Some(old + 1),
                _ => None,
            };
        };
        self.sessions.update(id, |session| {
            session.dialog.local_cseq += 1;
            let number = session.dialog.local_cseq;
            if let (Purpose::Refer(_), Some(transfer)) = (purpose, &mut session.transfer) {
                transfer.cseq = number;
            }
            number
        })
    }

    /// What answers challenges to a request of this purpose.
    pub(super) fn with_auth<R>(
        &mut self,
        purpose: Purpose,
        use_it: impl FnOnce(&mut ClientAuth) -> R,
    ) -> Option<R> {
        if let Purpose::Register(id) = purpose {
            return self
                .registrations
                .update(id, |registration| registration.auth.as_mut().map(use_it))
                .flatten();
        }
        let id = purpose.session()?;
        self.sessions
            .update(id, |session| session.auth.as_mut().map(use_it))
            .flatten()
    }

    /// A connection could not be opened, or broke: what waits for an answer on it fails, as if
    /// nobody had answered (RFC 3261 §17.1.4).
    pub fn handle_transport_error(&mut self, now: Instant, hop: Hop) {
        for client in self.clients.ids() {
            let waits = self.clients.get(client).is_some_and(|client| {
                client.destination == hop
                    && match &client.kind {
                        ClientKind::Invite(invite) => invite.is_calling(),
                        ClientKind::Other(other) => other.is_trying(),
                    }
            });
            if !waits {
                continue;
            }
            let Some(purpose) = self.clients.get(client).map(|client| client.purpose) else {
                continue;
            };
            if !self.try_again(now, client, purpose, None) {
                self.on_request_timeout(now, purpose);
            }
            self.clients.remove(client);
        }
        self.reregister_over(now, hop);
    }
}
