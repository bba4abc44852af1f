//! Building requests and responses and handing them to their transactions.

use std::sync::Arc;
use std::time::Instant;

use rand::RngExt as _;

use super::Endpoint;
use super::tables::{Client, ClientKind, ForkAck, Purpose};
use crate::event::Transmit;
use crate::message::{
    BRANCH_COOKIE, Header, HeaderName, Headers, Method, NameAddr, Request, Response, StatusCode,
    Uri, Via,
};
use crate::sdp::SDP_MEDIA_TYPE;
use crate::transaction::{ClientInvite, ClientKey, ClientNonInvite};
use crate::transport::{Hop, Transport};

/// Methods we take.
pub(super) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, NOTIFY";
/// Extensions we know.
pub(super) const SUPPORTED: [&str; 2] = ["timer", "100rel"];

/// Header fields of an application's request or response that the endpoint writes itself.
pub(super) fn is_reserved(name: &HeaderName) -> bool {
    matches!(
        name,
        HeaderName::Via
            | HeaderName::From
            | HeaderName::To
            | HeaderName::CallId
            | HeaderName::CSeq
            | HeaderName::MaxForwards
            | HeaderName::Contact
            | HeaderName::ContentLength
            | HeaderName::ContentType
            | HeaderName::RecordRoute
    )
}

impl Endpoint {
    /// A fresh tag: 64 random bits.
    pub(super) fn new_tag(&mut self) -> String {
        format!("{:016x}", self.random.random::<u64>())
    }

    fn new_branch(&mut self) -> String {
        format!("{BRANCH_COOKIE}{:024x}", self.random.random::<u128>() >> 32)
    }

    /// A fresh Call-ID: 128 random bits.
    pub(super) fn new_call_id(&mut self) -> String {
        format!("{:032x}", self.random.random::<u128>())
    }

    /// Retry-After in seconds, spread so that refused peers do not come back at once together.
    pub(super) fn retry_after(&mut self) -> Header {
        let low = self.config.retry_after_s.max(1);
        let seconds = self.random.random_range(low..=low.saturating_mul(2));
        Header::new(HeaderName::RetryAfter, seconds.to_string())
    }

    /// Contact for a peer reached by this transport.
    pub(super) fn contact(&self, transport: Transport) -> String {
        let mut uri = Uri::sip(&self.config.contact_user, self.local_address(transport));
        if let Uri::Sip(uri) = &mut uri {
            transport.note(&mut uri.params);
        }
        NameAddr::new(uri).to_string()
    }

    pub(super) fn transmit(&mut self, payload: Arc<[u8]>, destination: Hop) {
        self.transmits.push_back(Transmit {
            destination,
            payload,
        });
    }

    /// Header fields of every request and response of ours.
    pub(super) fn sign(&self, headers: &mut Headers, name: HeaderName) {
        if !self.config.user_agent.is_empty() {
            headers.push(name, self.config.user_agent.clone());
        }
    }

    /// Sends a request in a new client transaction.
    pub(super) fn send_request(
        &mut self,
        now: Instant,
        request: Request,
        destination: Hop,
        purpose: Purpose,
    ) -> u64 {
        self.send_request_by(now, request, destination, purpose, true)
    }

    /// [`Self::send_request`]; `may_move` tells whether a large request may leave UDP.
    pub(super) fn send_request_by(
        &mut self,
        now: Instant,
        mut request: Request,
        destination: Hop,
        purpose: Purpose,
        may_move: bool,
    ) -> u64 {
        let branch = self.new_branch();
        self.sign(&mut request.headers, HeaderName::UserAgent);
        let client_nonce = self.new_tag();
        self.with_auth(purpose, |auth| {
            if auth.is_challenged() {
                auth.authorize(&mut request, &client_nonce);
            }
        });
        // Via is still to come: some 80 bytes.
        let is_large = request.to_bytes().len() + 80 > self.config.udp_request_bytes_max;
        let moves = may_move
            && is_large
            && destination.transport == Transport::Udp
            && self.listens(Transport::Tcp);
        let fallback = moves.then_some(destination);
        let destination = if moves {
            Hop::new(Transport::Tcp, destination.address)
        } else {
            destination
        };
        let request = self.with_via(request, destination.transport, &branch);
        let timers = self.timers_towards(destination);
        let kind = if request.method == Method::Invite {
            ClientKind::Invite(ClientInvite::new(now, timers))
        } else {
            ClientKind::Other(ClientNonInvite::new(now, timers))
        };
        let client = self.start_client(&branch, request, destination, purpose, kind);
        if fallback.is_some() {
            self.clients
                .update(client, |client| client.fallback = fallback);
        }
        client
    }

    /// Sends the CANCEL of an INVITE: the same branch, so that it takes the same way (§9.1).
    pub(super) fn send_cancel(&mut self, now: Instant, invite: u64, reason: Option<&str>) {
        let Some(client) = self.clients.get(invite) else {
            return;
        };
        let mut request = derived(&client.request, Method::Cancel, client.cseq);
        let destination = client.destination;
        if let Some(reason) = reason {
            request.headers.push(HeaderName::Reason, reason);
        }
        let Some(branch) = branch_of(&client.request) else {
            return;
        };
        let timers = self.timers_towards(destination);
        let kind = ClientKind::Other(ClientNonInvite::new(now, timers));
        self.start_client(&branch, request, destination, Purpose::Unwatched, kind);
        self.clients.update(invite, |client| {
            if let ClientKind::Invite(invite) = &mut client.kind {
                invite.limit_wait(now);
            }
        });
    }

    /// Sends the ACK of a non-2xx final response: hop by hop, in the INVITE's transaction
    /// (§17.1.1.3).
    pub(super) fn send_failure_ack(&mut self, invite: u64, response: &Response) {
        let Some((bytes, destination)) = self.clients.update(invite, |client| {
            let mut ack = derived(&client.request, Method::Ack, client.cseq);
            if let Some(to) = response.headers.first(&HeaderName::To) {
                ack.headers.set(HeaderName::To, to);
            }
            let bytes: Arc<[u8]> = ack.to_bytes().into();
            if let ClientKind::Invite(invite) = &mut client.kind {
                invite.set_ack(Arc::clone(&bytes));
            }
            (bytes, client.destination)
        }) else {
            return;
        };
        self.transmit(bytes, destination);
    }

    /// Sends the ACK of a 2xx and remembers it for repeats of that 2xx.
    pub(super) fn send_dialog_ack(
        &mut self,
        invite: u64,
        to_tag: &str,
        mut ack: Request,
        body: Option<Arc<[u8]>>,
        destination: Hop,
    ) {
        let branch = self.new_branch();
        // RFC 3261 §22.1: an ACK cannot be challenged, so it carries what its INVITE carried.
        if let Some(client) = self.clients.get(invite) {
            let answers = client.request.headers.iter().filter(|header| {
                matches!(
                    header.name,
                    HeaderName::Authorization | HeaderName::ProxyAuthorization
                )
            });
            for answer in answers {
                ack.headers.push_header(answer.clone());
            }
        }
        if let Some(body) = body {
            ack.headers.push(HeaderName::ContentType, SDP_MEDIA_TYPE);
            ack.body = body.to_vec();
        }
        self.sign(&mut ack.headers, HeaderName::UserAgent);
        let bytes: Arc<[u8]> = self
            .with_via(ack, destination.transport, &branch)
            .to_bytes()
            .into();
        self.clients.update(invite, |client| {
            client.acks.push(ForkAck {
                to_tag: to_tag.to_owned(),
                bytes: Arc::clone(&bytes),
                destination,
            });
        });
        self.transmit(bytes, destination);
    }

    /// Sends a response in a server transaction; nothing happens if it has a final one already.
    /// Returns the bytes if they went out.
    pub(super) fn send_response(
        &mut self,
        now: Instant,
        transaction: u64,
        mut response: Response,
    ) -> Option<Arc<[u8]>> {
        self.sign(&mut response.headers, HeaderName::Server);
        let status = response.status;
        let bytes: Arc<[u8]> = response.to_bytes().into();
        let (goes_out, destination) = self.servers.update(transaction, |server| {
            (
                server.on_respond(now, status, &bytes),
                server.template.destination,
            )
        })?;
        if !goes_out {
            return None;
        }
        self.transmit(Arc::clone(&bytes), destination);
        Some(bytes)
    }

    /// Answers a request by status and header fields alone.
    pub(super) fn reply(
        &mut self,
        now: Instant,
        transaction: u64,
        status: StatusCode,
        headers: impl IntoIterator<Item = Header>,
    ) {
        let Some(server) = self.servers.get(transaction) else {
            return;
        };
        let mut response = server.template.response(status, None);
        for header in headers {
            response.headers.push_header(header);
        }
        self.send_response(now, transaction, response);
    }

    fn start_client(
        &mut self,
        branch: &str,
        request: Request,
        destination: Hop,
        purpose: Purpose,
        kind: ClientKind,
    ) -> u64 {
        let bytes: Arc<[u8]> = request.to_bytes().into();
        let cseq = request
            .headers
            .first(&HeaderName::CSeq)
            .and_then(|value| value.split(' ').next()?.parse().ok())
            .unwrap_or_default();
        let key = ClientKey::new(branch, &request.method);
        self.transmit(Arc::clone(&bytes), destination);
        self.clients.insert(
            key,
            Client {
                kind,
                purpose,
                request,
                bytes,
                destination,
                fallback: None,
                cseq,
                acks: Vec::new(),
            },
        )
    }

    fn with_via(&self, request: Request, transport: Transport, branch: &str) -> Request {
        let mut headers = Headers::with_capacity(request.headers.len() + 1);
        headers.push(
            HeaderName::Via,
            Via::new(transport, self.local_address(transport), branch).to_string(),
        );
        for header in request.headers.iter() {
            headers.push_header(header.clone());
        }
        Request { headers, ..request }
    }
}

/// CANCEL or ACK of an INVITE of ours: same way, same dialog fields, own method.
fn derived(invite: &Request, method: Method, cseq: u32) -> Request {
    let mut headers: Headers = invite
        .headers
        .iter()
        .filter(|header| {
            matches!(
                header.name,
                HeaderName::Via
                    | HeaderName::MaxForwards
                    | HeaderName::From
                    | HeaderName::To
                    | HeaderName::CallId
                    | HeaderName::Route
            )
        })
        .cloned()
        .collect();
    headers.push(HeaderName::CSeq, format!("{cseq} {method}"));
    Request {
        method,
        uri: invite.uri.clone(),
        headers,
        body: Vec::new(),
    }
}

fn branch_of(request: &Request) -> Option<String> {
    let via = Via::parse(request.headers.first(&HeaderName::Via)?).ok()?;
    via.unique_branch().map(str::to_owned)
}
