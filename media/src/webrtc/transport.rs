//! One connection as a sans-IO whole: datagrams that are not RTP, and time, go in; datagrams, keys
//! and messages come out.
//!
//! We answer: the peer sends the connectivity checks (we are ICE lite) and opens DTLS.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls, DtlsCertificate, Output, SrtpProfile};

use super::WebRtcError;
use super::certificate::{Certificate, fingerprint_of};
use super::data_channels::{ChannelEvent, DataChannels};
use super::stun::{IceCredentials, read_check, write_success};
use crate::rtp::srtp::{SrtpKey, SrtpKeys, SrtpSuite};
use crate::rtp::{PacketClass, classify};

/// A peer that has stopped checking the path for so long is gone (RFC 7675 §5.1).
const CONSENT_MAX: Duration = Duration::from_secs(30);
/// How long the connection may take to come about.
const SETUP_MAX: Duration = Duration::from_secs(30);
/// Octets of our DTLS datagrams.
const MTU: usize = 1_200;
/// Room for one output of the DTLS stack.
const OUTPUT_BYTES: usize = 2_048;
/// Messages and events that may wait to be polled; a driver polls after every input.
const EVENTS_MAX: usize = 1_024;

/// What happens on a connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransportEvent {
    /// The peer wants its media sent here.
    Selected(SocketAddr),
    /// The handshake is done: the keys of both directions.
    Secured(Box<SrtpKeys>),
    /// A data channel is open.
    ChannelOpen {
        /// Its name.
        label: String,
    },
    /// A message came.
    Message {
        /// Name of the channel.
        label: String,
        /// Whether it was sent as octets rather than text.
        binary: bool,
        /// The message.
        data: Vec<u8>,
    },
    /// The connection is over: nothing further comes.
    Closed(TransportEnd),
}

/// Why a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportEnd {
    /// The peer said goodbye.
    #[error("the peer closed the connection")]
    Closed,
    /// No path came about in time.
    #[error("no connection came about within 30 s")]
    SetupTimeout,
    /// The peer no longer checks the path.
    #[error("the peer was not heard for 30 s")]
    ConsentExpired,
    /// The peer's certificate is not the one its SDP announced.
    #[error("the certificate does not have the announced fingerprint")]
    Fingerprint,
    /// The handshake failed.
    #[error("the DTLS handshake failed")]
    Handshake,
}

/// One connection.
pub struct PeerTransport {
    local: IceCredentials,
    fingerprint: [u8; 32],
    dtls: Dtls,
    dtls_due: Instant,
    channels: DataChannels,
    /// Where the peer is.
    selected: Option<SocketAddr>,
    verified: bool,
    secured: bool,
    /// Last authentic check, or the beginning.
    alive_at: Instant,
    transmits: VecDeque<(SocketAddr, Vec<u8>)>,
    events: VecDeque<TransportEvent>,
    closed: bool,
}

impl PeerTransport {
    /// A connection that waits for the peer with that fingerprint of its certificate (SHA-256).
    ///
    /// # Errors
    /// [`WebRtcError::Dtls`].
    pub fn new(
        now: Instant,
        local: IceCredentials,
        certificate: &Certificate,
        fingerprint: [u8; 32],
    ) -> Result<Self, WebRtcError> {
        // ICE has verified the return path; a cookie would only cost a round trip.
        let config = Config::builder().use_server_cookie(false).mtu(MTU).build();
        let config = Arc::new(config.map_err(|_| WebRtcError::Dtls)?);
        let own = DtlsCertificate {
            certificate: certificate.der.clone(),
            private_key: certificate.key.clone(),
        };
        let mut transport = Self {
            local,
            fingerprint,
            dtls: Dtls::new_auto(config, own, now),
            dtls_due: now,
            channels: DataChannels::new(),
            selected: None,
            verified: false,
            secured: false,
            alive_at: now,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            closed: false,
        };
        transport.handle_timeout(now);
        Ok(transport)
    }

    /// Takes a datagram; what is neither an authentic check nor DTLS from the peer is ignored.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        if self.closed {
            return;
        }
        match classify(datagram) {
            PacketClass::Stun => {
                let Some(check) = read_check(datagram, &self.local) else {
                    return;
                };
                self.alive_at = now;
                let answer = write_success(&check, from, &self.local.password);
                self.transmits.push_back((from, answer));
                // Until the peer has chosen, the path it was first heard on will do.
                if self.selected != Some(from) && (check.use_candidate || self.selected.is_none()) {
                    self.selected = Some(from);
                    self.event(TransportEvent::Selected(from));
                }
            }
            // Only a path that has been checked.
            PacketClass::Dtls if self.selected.is_some() => {
                if self.dtls.handle_packet(datagram).is_err() {
                    return self.close(if self.secured {
                        TransportEnd::Closed
                    } else {
                        TransportEnd::Handshake
                    });
                }
                self.drain(now);
            }
            _ => {}
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        let silent = now.saturating_duration_since(self.alive_at);
        if silent >= CONSENT_MAX && self.secured {
            return self.close(TransportEnd::ConsentExpired);
        }
        if silent >= SETUP_MAX && !self.secured {
            return self.close(TransportEnd::SetupTimeout);
        }
        if now >= self.dtls_due && self.dtls.handle_timeout(now).is_err() {
            return self.close(TransportEnd::Handshake);
        }
        self.channels.handle_timeout(now);
        self.drain(now);
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        let due = self.dtls_due.min(self.alive_at + CONSENT_MAX);
        self.channels.poll_timeout().map_or(due, |t| t.min(due))
    }

    /// The next datagram to be sent.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.transmits.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<TransportEvent> {
        self.events.pop_front()
    }

    /// Queues a message on a data channel; `false` when it cannot be sent.
    pub fn send(&mut self, now: Instant, label: &str, data: &[u8]) -> bool {
        let queued = !self.closed && self.channels.send(label, data);
        if queued {
            self.drain(now);
        }
        queued
    }

    /// Says goodbye.
    pub fn shut_down(&mut self, now: Instant) {
        if !self.closed && self.dtls.close().is_ok() {
            self.drain(now);
        }
        self.closed = true;
    }

    fn close(&mut self, end: TransportEnd) {
        self.closed = true;
        self.events.push_back(TransportEvent::Closed(end));
    }

    fn event(&mut self, event: TransportEvent) {
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(event);
        }
    }

    /// Moves everything that can move, through all layers.
    fn drain(&mut self, now: Instant) {
        loop {
            self.drain_dtls(now);
            if self.closed {
                return;
            }
            let mut events = Vec::new();
            self.channels.poll_events(&mut events);
            for event in events {
                match event {
                    ChannelEvent::Open { label } => {
                        self.event(TransportEvent::ChannelOpen { label });
                    }
                    ChannelEvent::Message {
                        label,
                        binary,
                        data,
                    } => {
                        self.event(TransportEvent::Message {
                            label,
                            binary,
                            data,
                        });
                    }
                    ChannelEvent::Lost => return self.close(TransportEnd::Closed),
                }
            }
            let Some(packets) = self.channels.poll_packets(now).filter(|_| self.secured) else {
                return;
            };
            for packet in packets {
                // Fails only when the connection is over, which the next input shows.
                let _ = self.dtls.send_application_data(&packet);
            }
        }
    }

    fn drain_dtls(&mut self, now: Instant) {
        let mut buffer = vec![0; OUTPUT_BYTES];
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(packet) => {
                    if let Some(to) = self.selected {
                        self.transmits.push_back((to, packet.to_vec()));
                    }
                }
                Output::BufferTooSmall { needed } => buffer.resize(needed, 0),
                Output::Timeout(at) => {
                    self.dtls_due = at;
                    return;
                }
                Output::PeerCert(der) => self.verified = fingerprint_of(der) == self.fingerprint,
                Output::KeyingMaterial(material, profile) => {
                    let keys = srtp_keys(&material, profile);
                    match keys.filter(|_| self.verified) {
                        Some(keys) => {
                            self.secured = true;
                            self.event(TransportEvent::Secured(Box::new(keys)));
                        }
                        None => return self.close(TransportEnd::Fingerprint),
                    }
                }
                Output::ApplicationData(data) if self.secured => {
                    self.channels.handle_packet(now, data);
                }
                Output::CloseNotify => return self.close(TransportEnd::Closed),
                // Without keys nobody speaks, so `Connected` alone changes nothing.
                _ => {}
            }
        }
    }
}

/// The keys of RFC 5764 §4.2: key of the client, key of the server, then their salts. We are the
/// server.
fn srtp_keys(material: &[u8], profile: SrtpProfile) -> Option<SrtpKeys> {
    let suite = match profile {
        SrtpProfile::AES128_CM_SHA1_80 => SrtpSuite::AesCm128HmacSha1_80,
        SrtpProfile::AEAD_AES_128_GCM => SrtpSuite::AeadAes128Gcm,
        SrtpProfile::AEAD_AES_256_GCM => SrtpSuite::AeadAes256Gcm,
        _ => return None,
    };
    let (keys, salts) = material.split_at_checked(2 * suite.key_len())?;
    let (client_key, server_key) = keys.split_at(suite.key_len());
    let (client_salt, rest) = salts.split_at_checked(suite.salt_len())?;
    let server_salt = rest.get(..suite.salt_len())?;
    Some(SrtpKeys {
        send: SrtpKey::new(suite, &[server_key, server_salt].concat()).ok()?,
        receive: SrtpKey::new(suite, &[client_key, client_salt].concat()).ok()?,
    })
}

impl std::fmt::Debug for PeerTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerTransport")
            .field("selected", &self.selected)
            .field("secured", &self.secured)
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}
