//! Requests from peers: repeats, ACK, CANCEL, and what comes outside dialogs (RFC 3261 §8.2).

use std::sync::Arc;
use std::time::Instant;

use super::Endpoint;
use super::authentication::Caller;
use super::send::{ALLOW, SUPPORTED};
use super::tables::{MergeKey, Server, ServerKind};
use super::template::ResponseTemplate;
use crate::dialog::MIN_SESSION_EXPIRES_S;
use crate::dialog::{Dialog, Phase, Session, session_description, session_interval_too_small};
use crate::event::{Event, IncomingInvite, SessionEnd, SessionId};
use crate::message::{
    Essentials, Header, HeaderName, MalformedMessage, Method, ParseError, Request, StatusCode, Uri,
};
use crate::sdp::{SDP_MEDIA_TYPE, SessionDescription};
use crate::transaction::{ServerInvite, ServerKey, ServerNonInvite};
use crate::transport::Hop;

impl Endpoint {
    pub(super) fn on_request(
        &mut self,
        now: Instant,
        source: Hop,
        request: Request,
        essentials: Essentials,
    ) {
        let key = ServerKey::new(&essentials, &request.method);
        let known = self.servers.find(&key);
        if request.method == Method::Ack {
            return self.on_ack(now, known, source, &request, &essentials);
        }
        if let Some(transaction) = known {
            return self.on_repeat(transaction);
        }
        if self.servers.len() >= self.config.transactions_max {
            return self.refuse_without_transaction(source, &request, &essentials);
        }
        let source_ip = source.address.ip();
        if !self
            .guard
            .admit_request(now, source_ip, &request, &essentials)
        {
            return;
        }
        let transaction = self.open_server(key, source, &request, &essentials);
        if request.method == Method::Cancel {
            return self.on_cancel(now, transaction, &request, &essentials);
        }
        if let Some((status, headers)) = refusal(&request, &essentials) {
            return self.reply(now, transaction, status, headers);
        }
        if essentials.to.tag().is_some() {
            return self.on_in_dialog(now, transaction, source, &request, &essentials);
        }
        match request.method {
            Method::Invite => self.on_invite(now, transaction, source, request, essentials),
            Method::Options => self.on_options(now, transaction),
            Method::Register => {
                self.on_register(now, transaction, source, &request, &essentials);
            }
            _ => self.reply(now, transaction, StatusCode::CALL_DOES_NOT_EXIST, []),
        }
    }

    /// Answers a datagram that is no proper request, if it says where to.
    pub(super) fn refuse_malformed(&mut self, source: Hop, malformed: MalformedMessage) {
        let Some(broken) = malformed.request else {
            return;
        };
        let unknown_method = matches!(broken.method, Some(Method::Other(_)));
        let (status, reason) = match malformed.error {
            ParseError::Version => (StatusCode::VERSION_NOT_SUPPORTED, None),
            // RFC 4475 §3.1.2.18: a method we do not know at all is the better reason.
            ParseError::CSeqMethod if unknown_method => (StatusCode::NOT_IMPLEMENTED, None),
            error => (
                StatusCode::BAD_REQUEST,
                Some(format!("Bad Request: {error}")),
            ),
        };
        let tag = self.new_tag();
        let template = ResponseTemplate::new(&broken.headers, &broken.via, &tag, source);
        let mut response = template.response(status, reason.as_deref());
        self.sign(&mut response.headers, HeaderName::Server);
        let bytes: Arc<[u8]> = response.to_bytes().into();
        self.transmit(bytes, template.destination);
    }

    fn open_server(
        &mut self,
        key: ServerKey,
        source: Hop,
        request: &Request,
        essentials: &Essentials,
    ) -> u64 {
        let tag = self.new_tag();
        let timers = self.timers_towards(source);
        let merge_key = MergeKey::of(essentials)
            .filter(|key| request.method != Method::Cancel && !self.merged.contains_key(key));
        let transaction = self.servers.insert(
            key,
            Server {
                kind: if request.method == Method::Invite {
                    ServerKind::Invite(ServerInvite::new(timers))
                } else {
                    ServerKind::Other(ServerNonInvite::new(timers))
                },
                template: ResponseTemplate::of(request, &essentials.via, &tag, source),
                merge_key: merge_key.clone(),
                session: None,
            },
        );
        if let Some(key) = merge_key {
            self.merged.insert(key, transaction);
        }
        transaction
    }

    /// A repeated request gets the last response again and has no other effect.
    fn on_repeat(&mut self, transaction: u64) {
        self.counters.repeats_absorbed += 1;
        let Some(server) = self.servers.get(transaction) else {
            return;
        };
        let destination = server.template.destination;
        if let Some(response) = server.last_response() {
            self.transmit(response, destination);
        }
    }

    fn refuse_without_transaction(
        &mut self,
        source: Hop,
        request: &Request,
        essentials: &Essentials,
    ) {
        self.counters.refused_at_capacity += 1;
        if !matches!(request.method, Method::Invite | Method::Options) {
            return;
        }
        let tag = self.new_tag();
        let template = ResponseTemplate::of(request, &essentials.via, &tag, source);
        let mut response = template.response(StatusCode::SERVICE_UNAVAILABLE, None);
        let retry_after = self.retry_after();
        response.headers.push_header(retry_after);
        let bytes: Arc<[u8]> = response.to_bytes().into();
        self.transmit(bytes, template.destination);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        transaction: Option<u64>,
        source: Hop,
        request: &Request,
        essentials: &Essentials,
    ) {
        let absorbed = transaction
            .and_then(|id| {
                self.servers.update(id, |server| match &mut server.kind {
                    ServerKind::Invite(invite) => invite.on_ack(now),
                    ServerKind::Other(_) => false,
                })
            })
            .unwrap_or(false);
        if !absorbed {
            self.on_dialog_ack(now, source, request, essentials);
        }
    }

    /// RFC 3261 §9.2: 200 to the CANCEL whenever its INVITE is known; an effect only before the
    /// final response.
    fn on_cancel(
        &mut self,
        now: Instant,
        transaction: u64,
        request: &Request,
        essentials: &Essentials,
    ) {
        let Some(invite) = self
            .servers
            .find(&ServerKey::new(essentials, &Method::Invite))
        else {
            return self.reply(now, transaction, StatusCode::CALL_DOES_NOT_EXIST, []);
        };
        self.reply(now, transaction, StatusCode::OK, []);
        let Some(server) = self.servers.get(invite) else {
            return;
        };
        if !server.is_proceeding() {
            return;
        }
        let session = server.session;
        self.reply(now, invite, StatusCode::REQUEST_TERMINATED, []);
        let Some(id) = session else {
            return;
        };
        let is_initial = self
            .sessions
            .get(id)
            .is_some_and(|session| matches!(session.phase, Phase::Incoming { .. }));
        if is_initial {
            let reason = request
                .headers
                .first(&HeaderName::Reason)
                .map(str::to_owned);
            self.end_session(id, SessionEnd::Cancelled { reason });
        } else {
            self.sessions
                .update(id, |session| session.peer_offer = None);
        }
    }

    fn on_options(&mut self, now: Instant, transaction: u64) {
        if self.draining {
            let retry_after = self.retry_after();
            return self.reply(
                now,
                transaction,
                StatusCode::SERVICE_UNAVAILABLE,
                [retry_after],
            );
        }
        self.reply(now, transaction, StatusCode::OK, capabilities());
    }

    fn on_invite(
        &mut self,
        now: Instant,
        transaction: u64,
        source: Hop,
        request: Request,
        essentials: Essentials,
    ) {
        let is_copy = MergeKey::of(&essentials)
            .and_then(|key| self.merged.get(&key).copied())
            .is_some_and(|first| first != transaction);
        if is_copy {
            return self.reply(now, transaction, StatusCode::LOOP_DETECTED, []);
        }
        let offer = match acceptable_offer(&request) {
            Ok(offer) => offer,
            Err((status, headers)) => return self.reply(now, transaction, status, headers),
        };
        if self.draining || self.sessions.len() >= self.config.sessions_max {
            self.counters.refused_at_capacity += 1;
            let retry_after = self.retry_after();
            return self.reply(
                now,
                transaction,
                StatusCode::SERVICE_UNAVAILABLE,
                [retry_after],
            );
        }
        if session_interval_too_small(&request.headers) {
            let minimum = Header::new(HeaderName::MinSe, MIN_SESSION_EXPIRES_S.to_string());
            let status = StatusCode::SESSION_INTERVAL_TOO_SMALL;
            return self.reply(now, transaction, status, [minimum]);
        }
        let user = match self.check_caller(now, source, &request) {
            Caller::Anonymous => None,
            Caller::User(user) => Some(user),
            Caller::Refused { stale } => return self.challenge(now, transaction, stale),
        };
        let local_tag = self.new_tag();
        let Ok(dialog) = Dialog::from_request(&request, &essentials, &local_tag, source) else {
            return self.reply(now, transaction, StatusCode::BAD_REQUEST, []);
        };
        // The dialog's tag and that of all responses to this INVITE are the same.
        let template = ResponseTemplate::of(&request, &essentials.via, &local_tag, source);
        let phase = Phase::Incoming {
            transaction,
            invite: request.headers.clone(),
            cseq: essentials.cseq.number,
            offered: offer.is_some(),
        };
        let mut session = Session::new(phase, dialog, false);
        session.reliable.peer_requires = request.headers.lists(&HeaderName::Require, "100rel");
        session.reliable.peer_supports = session.reliable.peer_requires
            || request.headers.lists(&HeaderName::Supported, "100rel");
        session.peer_allows_update = request.headers.lists(&HeaderName::Allow, "UPDATE");
        let id = self.sessions.insert(local_tag, session);
        self.servers.update(transaction, |server| {
            server.template = template;
            server.session = Some(id);
        });
        self.counters.invites_received += 1;
        self.reply(now, transaction, StatusCode::TRYING, []);
        self.events.push_back(Event::Incoming {
            session: SessionId(id),
            invite: Box::new(IncomingInvite {
                request,
                essentials,
                source,
                offer,
                user,
            }),
        });
    }
}

/// Header fields of a 200 to OPTIONS (RFC 3261 §11.2).
pub(super) fn capabilities() -> [Header; 3] {
    [
        Header::new(HeaderName::Allow, ALLOW),
        Header::new(HeaderName::Accept, SDP_MEDIA_TYPE),
        Header::new(HeaderName::Supported, SUPPORTED.join(", ")),
    ]
}

/// A status with header fields.
pub(super) type Refusal = (StatusCode, Vec<Header>);

/// Refusals that do not depend on state: method, scheme, required extensions.
fn refusal(request: &Request, essentials: &Essentials) -> Option<Refusal> {
    let allow = || vec![Header::new(HeaderName::Allow, ALLOW)];
    match &request.method {
        Method::Invite
        | Method::Ack
        | Method::Cancel
        | Method::Bye
        | Method::Options
        | Method::Register
        | Method::Info
        | Method::Update
        | Method::Prack
        | Method::Notify => {}
        Method::Other(_) => return Some((StatusCode::NOT_IMPLEMENTED, allow())),
        Method::Refer | Method::Subscribe | Method::Message | Method::Publish => {
            return Some((StatusCode::METHOD_NOT_ALLOWED, allow()));
        }
    }
    let scheme_known = match &request.uri {
        Uri::Sip(_) => true,
        Uri::Other(text) => text
            .get(..4)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("tel:")),
    };
    // Within a dialog the Request-URI is our own Contact, whatever the peer made of it.
    if !scheme_known && essentials.to.tag().is_none() {
        return Some((StatusCode::UNSUPPORTED_URI_SCHEME, Vec::new()));
    }
    let unsupported: Vec<&str> = request
        .headers
        .list(&HeaderName::Require)
        .filter(|extension| {
            !SUPPORTED
                .iter()
                .any(|known| extension.eq_ignore_ascii_case(known))
        })
        .collect();
    if unsupported.is_empty() {
        return None;
    }
    let unsupported = Header::new(HeaderName::Unsupported, unsupported.join(", "));
    Some((StatusCode::BAD_EXTENSION, vec![unsupported]))
}

/// The offer of an INVITE, or why it cannot be taken.
pub(super) fn acceptable_offer(request: &Request) -> Result<Option<SessionDescription>, Refusal> {
    let accept = || vec![Header::new(HeaderName::Accept, SDP_MEDIA_TYPE)];
    // RFC 4475 §3.3.15: a caller that takes no session description cannot be answered.
    let mut accepted = request.headers.list(&HeaderName::Accept).peekable();
    let takes_sdp = accepted.peek().is_none()
        || accepted.any(|range| {
            let range = range.split(';').next().unwrap_or(range).trim();
            [SDP_MEDIA_TYPE, "application/*", "*/*"]
                .iter()
                .any(|known| range.eq_ignore_ascii_case(known))
        });
    if !takes_sdp {
        return Err((StatusCode::NOT_ACCEPTABLE, Vec::new()));
    }
    session_description(&request.headers, &request.body).map_err(|error| match error {
        None => (StatusCode::UNSUPPORTED_MEDIA_TYPE, accept()),
        Some(error) => {
            let warning = format!("399 samvad \"{error}\"");
            (
                StatusCode::BAD_REQUEST,
                vec![Header::new(HeaderName::Warning, warning)],
            )
        }
    })
}
