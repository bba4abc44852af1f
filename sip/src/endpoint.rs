//! The sans-IO whole: datagrams, commands and time in; datagrams and events out.
//!
//! After each `handle_*` call drain [`Endpoint::poll_transmit`] and [`Endpoint::poll_event`],
//! then sleep until [`Endpoint::poll_timeout`].

mod authentication;
mod command;
mod in_dialog;
mod provisional;
mod query;
mod registration;
mod request;
mod response;
mod retry;
mod send;
mod tables;
mod template;
mod timeout;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use self::authentication::Authentication;
use self::registration::Registration;
use self::tables::{Client, MergeKey, Server};
use crate::dialog::Session;
use crate::event::{Counters, Event, SessionEnd, SessionId, Transmit};
use crate::guard::{Guard, GuardConfig};
use crate::message::{Message, parse};
use crate::transaction::{ClientKey, ServerKey, Table, Timers};
use crate::transport::{Hop, Transport};

/// Timers, limits and names of an endpoint.
#[derive(Clone, PartialEq, Debug)]
pub struct EndpointConfig {
    /// Value of User-Agent and Server.
    pub user_agent: String,
    /// User part of Contact; empty for none.
    pub contact_user: String,
    /// Who may speak to the endpoint, and how often.
    pub guard: GuardConfig,
    /// Session interval asked for in INVITEs of ours, in seconds (RFC 4028); `None` asks for none.
    pub session_expires_s: Option<u32>,
    /// Requests longer than this go by TCP instead of UDP, if a TCP listener is advertised
    /// (RFC 3261 §18.1.1), and back to UDP if that fails.
    pub udp_request_bytes_max: usize,
    /// Base timers.
    pub timers: Timers,
    /// Most sessions at once; further INVITEs get 503 with Retry-After.
    pub sessions_max: usize,
    /// Most server transactions at once; further requests outside dialogs are refused without
    /// one (INVITE, OPTIONS) or dropped (others, which the peer repeats).
    pub transactions_max: usize,
    /// Longest wait for the outcome of a transfer.
    pub refer_timeout: Duration,
    /// Retry-After of 503, in seconds; the real value is spread over this and twice this.
    pub retry_after_s: u32,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            user_agent: "Samvad".to_owned(),
            contact_user: String::new(),
            guard: GuardConfig::default(),
            session_expires_s: None,
            udp_request_bytes_max: 1_300,
            timers: Timers::default(),
            sessions_max: 4_096,
            transactions_max: 65_536,
            refer_timeout: Duration::from_secs(60),
            retry_after_s: 5,
        }
    }
}

/// A SIP user agent without socket and clock.
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
    /// Our address as peers see it, over UDP and where a transport has none of its own.
    advertised: SocketAddr,
    /// Addresses of listeners of further transports.
    listeners: Vec<(Transport, SocketAddr)>,
    guard: Guard,
    authentication: Authentication,
    random: StdRng,
    registrations: Table<u64, Registration>,
    sessions: Table<String, Session>,
    servers: Table<ServerKey, Server>,
    clients: Table<ClientKey, Client>,
    /// Open requests without To-tag, to detect copies that came by another way.
    merged: HashMap<MergeKey, u64>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    draining: bool,
    counters: Counters,
}

impl Endpoint {
    /// An endpoint that tells peers `advertised` as its address. `seed` feeds tags and branches,
    /// which keep strangers out of dialogs: random in production, fixed in tests.
    #[must_use]
    pub fn new(config: EndpointConfig, advertised: SocketAddr, seed: [u8; 32]) -> Self {
        Self {
            guard: Guard::new(config.guard.clone()),
            config,
            advertised,
            listeners: Vec::new(),
            authentication: Authentication::default(),
            random: StdRng::from_seed(seed),
            registrations: Table::new(),
            sessions: Table::new(),
            servers: Table::new(),
            clients: Table::new(),
            merged: HashMap::new(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            draining: false,
            counters: Counters::default(),
        }
    }

    /// Names the address peers reach us at by a transport besides UDP.
    pub fn advertise(&mut self, transport: Transport, address: SocketAddr) {
        self.listeners.retain(|(known, _)| *known != transport);
        self.listeners.push((transport, address));
    }

    /// Takes other lists and limits of who may speak to us; bans and rates in force stay.
    pub fn configure_guard(&mut self, config: GuardConfig) {
        self.guard.configure(config);
    }

    /// Whether what comes from this peer is read at all.
    pub fn admits(&mut self, now: Instant, peer: Hop) -> bool {
        self.guard.admit(now, peer.address.ip())
    }

    /// Takes a datagram, or a message out of a stream, that came from `source`. Whatever it holds,
    /// at most one answer goes out at once, and none for what is not a request.
    pub fn handle_datagram(&mut self, now: Instant, source: impl Into<Hop>, datagram: &[u8]) {
        let source = source.into();
        self.counters.datagrams_received += 1;
        if !self.guard.admit(now, source.address.ip()) {
            return;
        }
        match parse(datagram) {
            Ok(None) => {}
            Ok(Some(parsed)) => match parsed.message {
                Message::Request(request) => {
                    self.on_request(now, source, request, parsed.essentials);
                }
                Message::Response(response) => {
                    self.on_response(now, source, &response, &parsed.essentials);
                }
            },
            Err(malformed) => {
                self.counters.malformed += 1;
                self.refuse_malformed(source, malformed);
            }
        }
    }

    /// Fires every timer that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.fire_timers(now);
    }

    /// From here on new INVITEs and OPTIONS get 503; sessions in progress go on.
    pub const fn drain(&mut self) {
        self.draining = true;
    }

    /// Next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        let transmit = self.transmits.pop_front()?;
        self.counters.datagrams_sent += 1;
        Some(transmit)
    }

    /// Next event for the application.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] is due next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [
            self.sessions.next_deadline(),
            self.servers.next_deadline(),
            self.clients.next_deadline(),
            self.registrations.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether every table is empty.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.sessions.len() == 0
            && self.servers.len() == 0
            && self.clients.len() == 0
            && self.registrations.len() == 0
    }

    /// Sizes and sums.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            sessions: self.sessions.len(),
            client_transactions: self.clients.len(),
            server_transactions: self.servers.len(),
            guard: self.guard.counters(),
            registered_users: self.registered_users(),
            ..self.counters
        }
    }

    /// Our address as a peer reached by this transport sees it.
    fn local_address(&self, transport: Transport) -> SocketAddr {
        self.listeners
            .iter()
            .find(|(known, _)| *known == transport)
            .map_or(self.advertised, |(_, address)| *address)
    }

    /// Whether peers can reach us by this transport.
    fn listens(&self, transport: Transport) -> bool {
        transport == Transport::Udp || self.listeners.iter().any(|(known, _)| *known == transport)
    }

    /// Timers of a transaction with this peer.
    fn timers_towards(&self, hop: Hop) -> Timers {
        if hop.transport.is_reliable() {
            self.config.timers.on_stream()
        } else {
            self.config.timers
        }
    }

    /// Ends a session towards the application and forgets it.
    fn end_session(&mut self, id: u64, end: SessionEnd) {
        if self.sessions.remove(id).is_some() {
            self.events.push_back(Event::Ended {
                session: SessionId(id),
                end: Box::new(end),
            });
        }
    }
}
