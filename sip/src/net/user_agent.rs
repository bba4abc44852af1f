//! The handle by which the application places and takes calls.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_rustls::TlsAcceptor;

use super::call::{IncomingCall, OutgoingCall};
use super::driver::{Driver, Instruction, Link, Streams};
use super::stream;
use super::udp::UdpTransport;
use crate::auth::{AuthenticatorConfig, Users};
use crate::endpoint::{Endpoint, EndpointConfig};
use crate::event::{
    CommandError, Counters, InviteRequest, RegisterRequest, RegistrationId, RegistrationState,
};
use crate::guard::GuardConfig;
use crate::message::{Headers, NameAddr, StatusCode, Uri};
use crate::registrar::{Binding, RegistrarConfig};
use crate::transport::{Hop, Transport};

/// Instructions waiting for the driver; a sender waits when it is full.
const INSTRUCTIONS_MAX: usize = 256;
/// Messages of connections the driver has not taken yet; their readers wait when it is full.
const STREAM_EVENTS_MAX: usize = 1_024;
/// Incoming calls the application has not taken yet; further ones get 503.
const INCOMING_MAX: usize = 64;

/// Certificates and trust for TLS.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// For connections that peers open; `None` takes none.
    pub server: Option<Arc<rustls::ServerConfig>>,
    /// For connections of ours.
    pub client: Arc<rustls::ClientConfig>,
}

/// A listener besides UDP.
#[derive(Clone, Copy, Debug)]
pub struct ListenerConfig {
    /// By which transport; never UDP.
    pub transport: Transport,
    /// Address to bind; port 0 lets the system choose.
    pub bind: SocketAddr,
    /// Address peers are told if it is not the bound one.
    pub advertised: Option<SocketAddr>,
}

/// How a user agent is set up.
#[derive(Clone, Debug)]
pub struct UserAgentConfig {
    /// Address to bind; port 0 lets the system choose.
    pub bind: SocketAddr,
    /// Address peers are told (Via, Contact) if it is not the bound one, e.g. behind NAT.
    pub advertised: Option<SocketAddr>,
    /// Timers, limits and names.
    pub endpoint: EndpointConfig,
    /// Listeners for connections.
    pub listeners: Vec<ListenerConfig>,
    /// Needed for TLS and WSS, in either direction.
    pub tls: Option<TlsSettings>,
}

impl UserAgentConfig {
    /// Defaults on this address.
    #[must_use]
    pub fn new(bind: SocketAddr) -> Self {
        Self {
            bind,
            advertised: None,
            endpoint: EndpointConfig::default(),
            listeners: Vec::new(),
            tls: None,
        }
    }
}

/// Why the user agent could not do as asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserAgentError {
    /// The endpoint refused the command.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The driver has stopped.
    #[error("user agent has stopped")]
    Stopped,
}

/// A SIP user agent on one UDP socket. Clones share it; the last clone's end stops the driver
/// once no call is left.
#[derive(Clone, Debug)]
pub struct UserAgent {
    link: Link,
    counters: Arc<Mutex<Counters>>,
    draining: Arc<watch::Sender<bool>>,
    local_addr: SocketAddr,
    listening: Arc<[(Transport, SocketAddr)]>,
}

/// An address kept registered; withdrawn when dropped.
#[derive(Debug)]
pub struct Registration {
    link: Link,
    id: RegistrationId,
    changes: watch::Receiver<Option<RegistrationState>>,
}

impl Registration {
    /// How it stands; `None` until the first answer.
    #[must_use]
    pub fn state(&self) -> Option<RegistrationState> {
        self.changes.borrow().clone()
    }

    /// Waits for the next change and returns it; `None` once it is over.
    pub async fn changed(&mut self) -> Option<RegistrationState> {
        self.changes.changed().await.ok()?;
        self.changes.borrow_and_update().clone()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.link.unregister(self.id);
    }
}

impl UserAgent {
    /// Binds the socket and starts the driver task on the current tokio runtime.
    ///
    /// # Errors
    /// What the operating system reports about the socket.
    pub async fn bind(config: UserAgentConfig) -> io::Result<(Self, mpsc::Receiver<IncomingCall>)> {
        let transport = UdpTransport::bind(config.bind)?;
        let local_addr = transport.local_addr()?;
        let advertised = config.advertised.unwrap_or(local_addr);
        let mut endpoint = Endpoint::new(config.endpoint, advertised, rand::random());
        let (stream_sender, stream_events) = mpsc::channel(STREAM_EVENTS_MAX);
        let numbers = Arc::new(AtomicU64::new(1));
        let mut listening = Vec::new();
        for listener in config.listeners {
            let socket = stream::bind(listener.bind).await?;
            let bound = socket.local_addr()?;
            endpoint.advertise(listener.transport, listener.advertised.unwrap_or(bound));
            listening.push((listener.transport, bound));
            let tls = if listener.transport.is_secure() {
                let server = config.tls.as_ref().and_then(|tls| tls.server.clone());
                let server = server.ok_or_else(|| io::Error::other("TLS needs a certificate"))?;
                Some(TlsAcceptor::from(server))
            } else {
                None
            };
            tokio::spawn(stream::listen(
                socket,
                listener.transport,
                tls,
                stream_sender.clone(),
                Arc::clone(&numbers),
            ));
        }
        let streams = Streams {
            open: HashMap::new(),
            names: HashMap::new(),
            tls: config.tls,
            events: stream_sender,
            numbers,
        };
        let (instructions, instruction_queue) = mpsc::channel(INSTRUCTIONS_MAX);
        let (incoming, incoming_queue) = mpsc::channel(INCOMING_MAX);
        let (draining, drain_watch) = watch::channel(false);
        let link = Link::new(instructions);
        let counters = Arc::new(Mutex::new(Counters::default()));
        let driver = Driver::new(
            endpoint,
            transport,
            streams,
            incoming,
            link.downgrade(),
            Arc::clone(&counters),
        );
        tokio::spawn(driver.run(instruction_queue, drain_watch, stream_events));
        let agent = Self {
            link,
            counters,
            draining: Arc::new(draining),
            local_addr,
            listening: listening.into(),
        };
        Ok((agent, incoming_queue))
    }

    /// Address the socket is bound to.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Places a call.
    ///
    /// # Errors
    /// [`UserAgentError`] when there is no room for it.
    pub async fn invite(&self, request: InviteRequest) -> Result<OutgoingCall, UserAgentError> {
        let (reply, answer) = oneshot::channel();
        self.link
            .send(Instruction::Invite {
                request: Box::new(request),
                link: self.link.clone(),
                reply,
            })
            .await?;
        Ok(answer.await.map_err(|_| UserAgentError::Stopped)??)
    }

    /// Address of the listener of a transport besides UDP.
    #[must_use]
    pub fn listener_addr(&self, transport: Transport) -> Option<SocketAddr> {
        self.listening
            .iter()
            .find(|(known, _)| *known == transport)
            .map(|(_, address)| *address)
    }

    /// Registers an address and keeps it registered as long as the handle lives.
    ///
    /// # Errors
    /// [`UserAgentError`] when it cannot be begun.
    pub async fn register(&self, request: RegisterRequest) -> Result<Registration, UserAgentError> {
        let (reply, answer) = oneshot::channel();
        let (changes, receiver) = watch::channel(None);
        self.link
            .send(Instruction::Register {
                request: Box::new(request),
                changes,
                reply,
            })
            .await?;
        let id = answer.await.map_err(|_| UserAgentError::Stopped)??;
        Ok(Registration {
            link: self.link.clone(),
            id,
            changes: receiver,
        })
    }

    /// Asks a peer by OPTIONS: the final status, `None` if nobody answered.
    ///
    /// # Errors
    /// [`UserAgentError::Stopped`].
    pub async fn options(
        &self,
        target: Uri,
        destination: Hop,
        from: NameAddr,
    ) -> Result<(Option<StatusCode>, Headers), UserAgentError> {
        let (reply, answer) = oneshot::channel();
        self.link
            .send(Instruction::Options {
                target: Box::new(target),
                destination,
                from: Box::new(from),
                reply,
            })
            .await?;
        answer.await.map_err(|_| UserAgentError::Stopped)
    }

    /// Tells the name that the certificate of the peer at this address must show.
    ///
    /// # Errors
    /// [`UserAgentError::Stopped`].
    pub async fn expect_name(
        &self,
        address: SocketAddr,
        name: String,
    ) -> Result<(), UserAgentError> {
        self.link.send(Instruction::Name { address, name }).await
    }

    /// Takes other lists and limits of who may speak to us.
    ///
    /// # Errors
    /// [`UserAgentError::Stopped`].
    pub async fn configure_guard(&self, config: GuardConfig) -> Result<(), UserAgentError> {
        let change = move |endpoint: &mut Endpoint, _: Instant| endpoint.configure_guard(config);
        self.link
            .send(Instruction::Endpoint(Box::new(change)))
            .await
    }

    /// Checks credentials of our realm against these users from here on.
    ///
    /// # Errors
    /// [`UserAgentError::Stopped`].
    pub async fn configure_users(
        &self,
        config: AuthenticatorConfig,
        users: Users,
    ) -> Result<(), UserAgentError> {
        let change = move |endpoint: &mut Endpoint, now: Instant| {
            endpoint.configure_users(now, config, users);
        };
        self.link
            .send(Instruction::Endpoint(Box::new(change)))
            .await
    }

    /// Takes REGISTER of users that may, from here on.
    ///
    /// # Errors
    /// [`UserAgentError::Stopped`].
    pub async fn enable_registrar(&self, config: RegistrarConfig) -> Result<(), UserAgentError> {
        let change = move |endpoint: &mut Endpoint, _: Instant| endpoint.enable_registrar(config);
        self.link
            .send(Instruction::Endpoint(Box::new(change)))
            .await
    }

    /// Where a user that registered here can be reached, the latest address first.
    ///
    /// # Errors
    /// [`UserAgentError::Stopped`].
    pub async fn bindings(&self, user: String) -> Result<Vec<Binding>, UserAgentError> {
        let (reply, answer) = oneshot::channel();
        let look = move |endpoint: &mut Endpoint, now: Instant| {
            let _ = reply.send(endpoint.bindings(now, &user));
        };
        self.link
            .send(Instruction::Endpoint(Box::new(look)))
            .await?;
        answer.await.map_err(|_| UserAgentError::Stopped)
    }

    /// Counters as of the driver's last turn.
    #[must_use]
    pub fn counters(&self) -> Counters {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on new INVITEs get 503; calls in progress go on.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }
}
