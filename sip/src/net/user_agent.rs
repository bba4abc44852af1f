//! The handle by which the application places and takes calls.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};

use super::call::{IncomingCall, OutgoingCall};
use super::driver::{Driver, Instruction, Link};
use super::udp::UdpTransport;
use crate::endpoint::{Endpoint, EndpointConfig};
use crate::event::{CommandError, Counters, InviteRequest};

/// Instructions waiting for the driver; a sender waits when it is full.
const INSTRUCTIONS_MAX: usize = 256;
/// Incoming calls the application has not taken yet; further ones get 503.
const INCOMING_MAX: usize = 64;

/// How a user agent is set up.
#[derive(Clone, Debug)]
pub struct UserAgentConfig {
    /// Address to bind; port 0 lets the system choose.
    pub bind: SocketAddr,
    /// Address peers are told (Via, Contact) if it is not the bound one, e.g. behind NAT.
    pub advertised: Option<SocketAddr>,
    /// Timers, limits and names.
    pub endpoint: EndpointConfig,
}

impl UserAgentConfig {
    /// Defaults on this address.
    #[must_use]
    pub fn new(bind: SocketAddr) -> Self {
        Self {
            bind,
            advertised: None,
            endpoint: EndpointConfig::default(),
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
        let endpoint = Endpoint::new(config.endpoint, advertised, rand::random());
        let (instructions, instruction_queue) = mpsc::channel(INSTRUCTIONS_MAX);
        let (incoming, incoming_queue) = mpsc::channel(INCOMING_MAX);
        let (draining, drain_watch) = watch::channel(false);
        let link = Link::new(instructions);
        let counters = Arc::new(Mutex::new(Counters::default()));
        let driver = Driver::new(
            endpoint,
            transport,
            incoming,
            link.downgrade(),
            Arc::clone(&counters),
        );
        tokio::spawn(driver.run(instruction_queue, drain_watch));
        let agent = Self {
            link,
            counters,
            draining: Arc::new(draining),
            local_addr,
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
