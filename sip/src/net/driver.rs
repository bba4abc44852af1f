//! The task that owns the endpoint: feeds it datagrams, commands and time, and carries out what
//! it returns.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::TlsSettings;
use super::call::{IncomingCall, OutgoingCall};
use super::stream::{self, StreamEvent, Writer};
use super::udp::UdpTransport;
use super::user_agent::UserAgentError;
use crate::endpoint::Endpoint;
use crate::event::{
    Command, CommandError, Counters, Event, IncomingInvite, InviteRequest, QueryId,
    RegisterRequest, RegistrationId, RegistrationState, SessionEnd, SessionId,
};
use crate::message::{Header, HeaderName, Headers, MESSAGE_BYTES_MAX, NameAddr, StatusCode, Uri};
use crate::transport::{Hop, Transport};

/// Events of one session the application has not taken yet. When it is full an offer is refused
/// with 500 and other news is dropped; the end of a session is never lost.
const SESSION_EVENTS_MAX: usize = 32;
/// Datagrams handled before timers and commands get their turn.
const DATAGRAMS_PER_TURN: usize = 64;

/// Something done to the endpoint at once.
type EndpointChange = Box<dyn FnOnce(&mut Endpoint, Instant) + Send>;

/// What handles ask of the driver.
pub(super) enum Instruction {
    Invite {
        request: Box<InviteRequest>,
        link: Link,
        reply: oneshot::Sender<Result<OutgoingCall, CommandError>>,
    },
    Command {
        session: SessionId,
        command: Box<Command>,
        reply: oneshot::Sender<Result<(), CommandError>>,
    },
    /// Anything else that is done to the endpoint at once.
    Endpoint(EndpointChange),
    /// Registers an address; its changes go to the sender.
    Register {
        request: Box<RegisterRequest>,
        changes: watch::Sender<Option<RegistrationState>>,
        reply: oneshot::Sender<Result<RegistrationId, CommandError>>,
    },
    /// Asks a peer by OPTIONS.
    Options {
        target: Box<Uri>,
        destination: Hop,
        from: Box<NameAddr>,
        reply: oneshot::Sender<(Option<StatusCode>, Headers)>,
    },
    /// The name the certificate of a peer at this address must show.
    Name { address: SocketAddr, name: String },
}

impl std::fmt::Debug for Instruction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Instruction")
    }
}

/// A session just opened, as handed to its handle.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) session: SessionId,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) end: Arc<OnceLock<SessionEnd>>,
}

/// Commands left behind by dropped handles: at most two per session, so it is bounded by the
/// number of sessions and a drop never has to wait.
#[derive(Debug, Default)]
struct Released {
    commands: Mutex<Vec<(SessionId, Command)>>,
    registrations: Mutex<Vec<RegistrationId>>,
    wake: Notify,
}

/// A handle's way to the driver.
#[derive(Clone, Debug)]
pub(super) struct Link {
    instructions: mpsc::Sender<Instruction>,
    released: Arc<Released>,
}

/// The driver's own link, which does not keep it alive.
#[derive(Debug)]
pub(super) struct WeakLink {
    instructions: mpsc::WeakSender<Instruction>,
    released: Arc<Released>,
}

impl Link {
    pub(super) fn new(instructions: mpsc::Sender<Instruction>) -> Self {
        Self {
            instructions,
            released: Arc::default(),
        }
    }

    pub(super) fn downgrade(&self) -> WeakLink {
        WeakLink {
            instructions: self.instructions.downgrade(),
            released: Arc::clone(&self.released),
        }
    }

    pub(super) async fn send(&self, instruction: Instruction) -> Result<(), UserAgentError> {
        self.instructions
            .send(instruction)
            .await
            .map_err(|_| UserAgentError::Stopped)
    }

    pub(super) async fn command(
        &self,
        session: SessionId,
        command: Command,
    ) -> Result<(), UserAgentError> {
        let (reply, answer) = oneshot::channel();
        self.send(Instruction::Command {
            session,
            command: Box::new(command),
            reply,
        })
        .await?;
        Ok(answer.await.map_err(|_| UserAgentError::Stopped)??)
    }

    /// Withdraws a registration without waiting.
    pub(super) fn unregister(&self, registration: RegistrationId) {
        self.released
            .registrations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(registration);
        self.released.wake.notify_one();
    }

    /// Leaves a command behind without waiting.
    pub(super) fn release(&self, session: SessionId, command: Command) {
        self.released
            .commands
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((session, command));
        self.released.wake.notify_one();
    }
}

impl WeakLink {
    fn upgrade(&self) -> Option<Link> {
        Some(Link {
            instructions: self.instructions.upgrade()?,
            released: Arc::clone(&self.released),
        })
    }
}

/// The driver's end of a session's handle.
#[derive(Debug)]
struct Listener {
    events: mpsc::Sender<Event>,
    end: Arc<OnceLock<SessionEnd>>,
}

#[derive(Debug)]
pub(super) struct Driver {
    endpoint: Endpoint,
    transport: UdpTransport,
    incoming: mpsc::Sender<IncomingCall>,
    listeners: HashMap<SessionId, Listener>,
    link: WeakLink,
    counters: Arc<Mutex<Counters>>,
    streams: Streams,
    registrations: HashMap<RegistrationId, watch::Sender<Option<RegistrationState>>>,
    queries: HashMap<QueryId, oneshot::Sender<(Option<StatusCode>, Headers)>>,
}

/// Connections by their peer.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) open: HashMap<Hop, Writer>,
    pub(super) names: HashMap<SocketAddr, String>,
    pub(super) tls: Option<TlsSettings>,
    pub(super) events: mpsc::Sender<StreamEvent>,
    pub(super) numbers: Arc<AtomicU64>,
}

impl Streams {
    /// Sends on the connection of this peer, opened if need be. `false` if it cannot.
    fn send(&mut self, hop: Hop, message: Arc<[u8]>) -> bool {
        if let Some(writer) = self.open.get(&hop) {
            if writer.send(Arc::clone(&message)) {
                return true;
            }
            self.open.remove(&hop);
        }
        if matches!(hop.transport, Transport::Ws | Transport::Wss) {
            // Browsers are reached on the connection they opened, or not at all.
            return false;
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let name = self.names.get(&hop.address).cloned();
        let writer = stream::open(hop, name, self.tls.as_ref(), number, self.events.clone());
        let sent = writer.send(message);
        self.open.insert(hop, writer);
        sent
    }
}

impl Driver {
    pub(super) fn new(
        endpoint: Endpoint,
        transport: UdpTransport,
        streams: Streams,
        incoming: mpsc::Sender<IncomingCall>,
        link: WeakLink,
        counters: Arc<Mutex<Counters>>,
    ) -> Self {
        Self {
            streams,
            registrations: HashMap::new(),
            queries: HashMap::new(),
            endpoint,
            transport,
            incoming,
            listeners: HashMap::new(),
            link,
            counters,
        }
    }

    /// Runs until no handle is left and the last session and transaction have ended.
    pub(super) async fn run(
        mut self,
        mut instructions: mpsc::Receiver<Instruction>,
        mut draining: watch::Receiver<bool>,
        mut stream_events: mpsc::Receiver<StreamEvent>,
    ) {
        let mut buffer = vec![0_u8; MESSAGE_BYTES_MAX + 1];
        let mut open = true;
        while open || !self.endpoint.is_idle() {
            let deadline = self.endpoint.poll_timeout();
            let released = Arc::clone(&self.link.released);
            tokio::select! {
                received = self.transport.receive(&mut buffer) => match received {
                    Ok((length, source)) => self.take_datagrams(&mut buffer, length, source),
                    // ICMP errors of earlier sends surface here; the timers deal with them.
                    Err(error) => tracing::debug!(%error, "sip receive failed"),
                },
                instruction = instructions.recv(), if open => match instruction {
                    Some(instruction) => self.carry_out(instruction),
                    None => {
                        open = false;
                        self.endpoint.drain();
                    }
                },
                Some(event) = stream_events.recv() => self.take_stream(event),
                () = released.wake.notified() => {}
                changed = draining.changed(), if open => {
                    if changed.is_ok() && *draining.borrow() {
                        self.endpoint.drain();
                    }
                    if changed.is_err() {
                        open = instructions.sender_strong_count() > 0;
                    }
                }
                () = sleep_until(deadline) => {}
            }
            self.take_released();
            self.endpoint.handle_timeout(now());
            self.flush().await;
        }
    }

    fn take_stream(&mut self, event: StreamEvent) {
        match event {
            StreamEvent::Opened { hop, writer } => {
                // Who is not heard keeps no connection either: dropping the writer closes it.
                if self.endpoint.admits(now(), hop) {
                    self.streams.open.insert(hop, writer);
                }
            }
            StreamEvent::Message { hop, bytes } => {
                self.endpoint.handle_datagram(now(), hop, &bytes);
                self.deliver_events();
            }
            StreamEvent::Closed { hop, connection } => {
                let is_current = self
                    .streams
                    .open
                    .get(&hop)
                    .is_some_and(|writer| writer.connection == connection);
                if is_current {
                    self.streams.open.remove(&hop);
                    self.endpoint.handle_transport_error(now(), hop);
                }
            }
        }
    }

    fn take_datagrams(&mut self, buffer: &mut [u8], length: usize, source: std::net::SocketAddr) {
        let now = now();
        self.endpoint
            .handle_datagram(now, source, &buffer[..length]);
        self.deliver_events();
        for _ in 1..DATAGRAMS_PER_TURN {
            let Ok((length, source)) = self.transport.try_receive(buffer) else {
                break;
            };
            self.endpoint
                .handle_datagram(now, source, &buffer[..length]);
            self.deliver_events();
        }
    }

    fn carry_out(&mut self, instruction: Instruction) {
        match instruction {
            Instruction::Invite {
                request,
                link,
                reply,
            } => {
                let late_offer = request.offer.is_none();
                let result = self
                    .endpoint
                    .invite(now(), *request)
                    .map(|session| OutgoingCall::new(link, self.open(session), late_offer));
                // If nobody waits for the reply any more, the handle in it ends the session.
                let _ = reply.send(result);
            }
            Instruction::Endpoint(change) => change(&mut self.endpoint, now()),
            Instruction::Register {
                request,
                changes,
                reply,
            } => {
                let result = self.endpoint.register(now(), *request);
                if let Ok(registration) = result {
                    self.registrations.insert(registration, changes);
                }
                let _ = reply.send(result);
            }
            Instruction::Options {
                target,
                destination,
                from,
                reply,
            } => {
                let query = self.endpoint.options(now(), *target, destination, *from);
                self.queries.insert(query, reply);
            }
            Instruction::Name { address, name } => {
                self.streams.names.insert(address, name);
            }
            Instruction::Command {
                session,
                command,
                reply,
            } => {
                let result = self.endpoint.handle_command(now(), session, *command);
                let _ = reply.send(result);
            }
        }
    }

    fn take_released(&mut self) {
        let commands = std::mem::take(
            &mut *self
                .link
                .released
                .commands
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        let registrations = std::mem::take(
            &mut *self
                .link
                .released
                .registrations
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for registration in registrations {
            self.endpoint.unregister(now(), registration);
        }
        for (session, command) in commands {
            // The session may have ended in the meantime.
            let _ = self.endpoint.handle_command(now(), session, command);
        }
    }

    /// Sends what is to be sent and hands out events, until nothing is left.
    async fn flush(&mut self) {
        loop {
            self.deliver_events();
            let Some(transmit) = self.endpoint.poll_transmit() else {
                break;
            };
            let hop = transmit.destination;
            if hop.transport.is_reliable() {
                if !self.streams.send(hop, transmit.payload) {
                    tracing::debug!(%hop, "sip connection does not take a message");
                    self.endpoint.handle_transport_error(now(), hop);
                }
                continue;
            }
            let sent = self.transport.send(&transmit.payload, hop.address).await;
            if let Err(error) = sent {
                // The transaction's timers repeat it or give up.
                tracing::debug!(%error, %hop, "sip send failed");
            }
        }
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        *counters = self.endpoint.counters();
    }

    fn deliver_events(&mut self) {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Incoming { session, invite } => self.announce(session, invite),
                Event::Registration {
                    registration,
                    state,
                } => {
                    let is_over = state == RegistrationState::Unregistered;
                    if let Some(changes) = self.registrations.get(&registration) {
                        changes.send_replace(Some(state));
                    }
                    if is_over {
                        self.registrations.remove(&registration);
                    }
                }
                Event::Queried {
                    query,
                    status,
                    headers,
                } => {
                    if let Some(reply) = self.queries.remove(&query) {
                        let _ = reply.send((status, headers));
                    }
                }
                Event::Ended { session, end } => {
                    if let Some(listener) = self.listeners.remove(&session) {
                        // Set before the queue closes; the handle reads it after the last event.
                        let _ = listener.end.set(*end);
                    }
                }
                event => self.deliver(event),
            }
        }
    }

    fn announce(&mut self, session: SessionId, invite: Box<IncomingInvite>) {
        let Some(link) = self.link.upgrade() else {
            return self.refuse(session);
        };
        let opened = self.open(session);
        let call = IncomingCall::new(link, opened, invite);
        if let Err(error) = self.incoming.try_send(call) {
            self.refuse(session);
            // The end is known now, so dropping the handle asks for nothing more.
            self.deliver_events();
            drop(error);
        }
    }

    fn refuse(&mut self, session: SessionId) {
        let command = Command::Reject {
            status: StatusCode::SERVICE_UNAVAILABLE,
            reason: None,
            headers: vec![Header::new(HeaderName::RetryAfter, "5")],
        };
        let _ = self.endpoint.handle_command(now(), session, command);
    }

    fn deliver(&mut self, event: Event) {
        let Some(session) = event.session() else {
            return;
        };
        let Some(listener) = self.listeners.get(&session) else {
            return;
        };
        let is_offer = matches!(event, Event::Offer { .. });
        if listener.events.try_send(event).is_err() {
            tracing::debug!(session = session.0, "sip event dropped");
            if is_offer {
                let status = StatusCode::SERVER_INTERNAL_ERROR;
                let command = Command::RejectOffer { status };
                let _ = self.endpoint.handle_command(now(), session, command);
            }
        }
    }

    fn open(&mut self, session: SessionId) -> Opened {
        let (events, receiver) = mpsc::channel(SESSION_EVENTS_MAX);
        let end = Arc::new(OnceLock::new());
        self.listeners.insert(
            session,
            Listener {
                events,
                end: Arc::clone(&end),
            },
        );
        Opened {
            session,
            events: receiver,
            end,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the driver is where the clock is read"
)]
fn now() -> Instant {
    Instant::now()
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
