//! The task that owns the endpoint: feeds it datagrams, commands and time, and carries out what
//! it returns.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::call::{IncomingCall, OutgoingCall};
use super::udp::UdpTransport;
use super::user_agent::UserAgentError;
use crate::endpoint::Endpoint;
use crate::event::{
    Command, CommandError, Counters, Event, IncomingInvite, InviteRequest, SessionEnd, SessionId,
};
use crate::message::{Header, HeaderName, MESSAGE_BYTES_MAX, StatusCode};

/// Events of one session the application has not taken yet. When it is full an offer is refused
/// with 500 and other news is dropped; the end of a session is never lost.
const SESSION_EVENTS_MAX: usize = 32;
/// Datagrams handled before timers and commands get their turn.
const DATAGRAMS_PER_TURN: usize = 64;

/// What handles ask of the driver.
#[derive(Debug)]
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
}

impl Driver {
    pub(super) fn new(
        endpoint: Endpoint,
        transport: UdpTransport,
        incoming: mpsc::Sender<IncomingCall>,
        link: WeakLink,
        counters: Arc<Mutex<Counters>>,
    ) -> Self {
        Self {
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
            let sent = self
                .transport
                .send(&transmit.payload, transmit.destination)
                .await;
            if let Err(error) = sent {
                // The transaction's timers repeat it or give up.
                tracing::debug!(%error, destination = %transmit.destination, "sip send failed");
            }
        }
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        *counters = self.endpoint.counters();
    }

    fn deliver_events(&mut self) {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Incoming { session, invite } => self.announce(session, invite),
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
        let session = event.session();
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
