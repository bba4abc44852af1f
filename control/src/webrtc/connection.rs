//! The driver of a browser's connection: between the leg's port, the sans-IO transport and the
//! signalling.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::codec::Codec;
use media::leg_queue::MediaLeg;
use media::net::control::{ControlError, LegControl};
use media::net::datagram_port::DatagramPort;
use media::protocol::MediaLimits;
use media::protocol::rtp::{
    RtpLegConfig, RtpMedia, RtpPayload, RtpRemote, RtpSource, TelephoneEvent,
};
use media::webrtc::sdp::{Answering, AudioPayloads, Offer, OfferError, write_answer};
use media::webrtc::transport::TransportEnd;
use media::webrtc::{Certificate, IceCredentials, PeerTransport, TransportEvent};
use rand::distr::{Alphanumeric, SampleString};

use super::addresses::reachable;
use crate::services::Services;

/// Letters of our credentials: 48 and 143 bits (RFC 8445 §5.3 wants 24 and 128).
const UFRAG_LETTERS: usize = 8;
const PASSWORD_LETTERS: usize = 24;
/// When a change that the leg had no room for is offered again.
const RETRY: Duration = Duration::from_millis(20);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The offer.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// Our side.
    #[error("no media resources are free: {0}")]
    Media(String),
}

/// What is asked of a new connection.
pub(crate) struct ConnectionRequest<'a> {
    /// Where the signalling came from.
    pub(crate) peer: IpAddr,
    /// The offer.
    pub(crate) offer: &'a str,
    /// Where to record.
    pub(crate) recording: Option<PathBuf>,
    /// Name of the call.
    pub(crate) cname: String,
    /// Stream and track of the agent's voice, as the page is to see them.
    pub(crate) voice: (String, String),
}

/// What happens on a connection.
#[derive(Debug)]
pub(crate) enum ConnectionEvent {
    /// Audio flows.
    Connected,
    /// A data channel is open.
    ChannelOpen(String),
    /// A message came on a channel.
    Message {
        /// Name of the channel.
        label: String,
        /// The message.
        data: Vec<u8>,
    },
    /// It is over.
    Closed(Option<TransportEnd>),
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    /// The description.
    pub(crate) sdp: String,
    /// Section that carries the agent's voice.
    pub(crate) voice_mid: Option<String>,
}

/// One connection, from its first offer on.
#[derive(Debug)]
pub(crate) struct Connection {
    transport: PeerTransport,
    port: DatagramPort,
    control: LegControl,
    certificate: Arc<Certificate>,
    ice: IceCredentials,
    payloads: AudioPayloads,
    media: RtpMedia,
    /// The leg has not been told of `media` yet.
    untold: bool,
    candidates: Vec<std::net::SocketAddr>,
    ssrc: u32,
    cname: String,
    voice: (String, String),
    voice_mid: Option<String>,
    version: u32,
}

impl Connection {
    /// Opens a leg for `request` and answers its offer.
    pub(crate) fn open(
        services: &Services,
        request: ConnectionRequest<'_>,
    ) -> Result<(Self, MediaLeg, LegControl, Answer), ConnectError> {
        let offer = Offer::read(request.offer)?;
        let payloads = offer.audio_payloads();
        let payloads = payloads.ok_or(OfferError::Missing("audio section with opus/48000/2"))?;
        let media_error = |error: &dyn std::fmt::Display| ConnectError::Media(error.to_string());
        let config = &services.config;
        let ports = services.engine.reserve_rtp(config.media.rtp_bind);
        let ports = ports.map_err(|error| media_error(&error))?;
        let candidates = reachable(config, request.peer, ports.rtp_address().port());
        let media = media_of(payloads);
        let mut leg_config =
            RtpLegConfig::new(media.clone(), request.cname.clone(), rand::random());
        leg_config.limits = MediaLimits {
            stopped: config.media.silence_timeout,
            ..MediaLimits::default()
        };
        leg_config.recording = request.recording;
        // Browsers take our voice out of theirs themselves.
        leg_config.echo_control = false;
        let ssrc = leg_config.ssrc().0;
        let opened = services.engine.open_bundled_leg(ports, leg_config);
        let (leg, control, port) = opened.map_err(|error| media_error(&error))?;
        let ice = IceCredentials {
            ufrag: letters(UFRAG_LETTERS),
            password: letters(PASSWORD_LETTERS),
        };
        let certificate = Arc::clone(&services.web.certificate);
        let transport = PeerTransport::new(now(), ice.clone(), &certificate, offer.fingerprint);
        let mut connection = Self {
            transport: transport.map_err(|error| media_error(&error))?,
            port,
            control: control.clone(),
            certificate,
            ice,
            payloads,
            media,
            untold: false,
            candidates,
            ssrc,
            cname: request.cname,
            voice: request.voice,
            voice_mid: None,
            version: 0,
        };
        let answer = connection.answer_offer(&offer);
        Ok((connection, leg, control, answer))
    }

    /// Answers a further offer.
    pub(crate) fn answer(&mut self, offer: &str) -> Result<Answer, OfferError> {
        let offer = Offer::read(offer)?;
        Ok(self.answer_offer(&offer))
    }

    fn answer_offer(&mut self, offer: &Offer) -> Answer {
        let known = self.voice_mid.as_ref();
        let kept = offer.sections.iter().position(|section| {
            known == Some(&section.mid) && section.direction.receives && !section.rejected
        });
        let voice_section = kept.or_else(|| offer.voice_section());
        self.voice_mid = voice_section.map(|at| offer.sections[at].mid.clone());
        self.version += 1;
        let ours = Answering {
            ice: &self.ice,
            fingerprint: &self.certificate.fingerprint(),
            candidates: &self.candidates,
            ssrc: self.ssrc,
            cname: &self.cname,
            voice: (&self.voice.0, &self.voice.1),
            voice_section,
            version: self.version,
        };
        Answer {
            sdp: write_answer(offer, &ours, self.payloads),
            voice_mid: self.voice_mid.clone(),
        }
    }

    /// Waits until something happens. Cancel safe.
    pub(crate) async fn next(&mut self) -> ConnectionEvent {
        loop {
            self.flush();
            if let Some(event) = self.poll_event() {
                return event;
            }
            let mut due = self.transport.poll_timeout();
            if self.untold {
                due = due.min(now() + RETRY);
            }
            tokio::select! {
                datagram = self.port.recv() => match datagram {
                    Some(datagram) => {
                        let bytes = datagram.as_bytes();
                        self.transport.handle_datagram(now(), datagram.from, bytes);
                    }
                    None => return ConnectionEvent::Closed(None),
                },
                () = tokio::time::sleep_until(due.into()) => {
                    self.transport.handle_timeout(now());
                    self.tell_leg();
                }
            }
        }
    }

    /// Sends a message on the data channel `label`; `false` when it cannot be sent.
    pub(crate) fn send(&mut self, label: &str, data: &[u8]) -> bool {
        let queued = self.transport.send(now(), label, data);
        self.flush();
        queued
    }

    /// Says goodbye to the peer.
    pub(crate) fn shut_down(&mut self) {
        self.transport.shut_down(now());
        self.flush();
    }

    /// Reports a key press that signalling brought.
    pub(crate) fn press(&self, key: u8) {
        // More in a tick than a leg takes is no person pressing keys.
        let _ = self.control.press(key);
    }

    fn flush(&mut self) {
        while let Some((to, datagram)) = self.transport.poll_transmit() {
            self.port.send(to, &datagram);
        }
    }

    fn poll_event(&mut self) -> Option<ConnectionEvent> {
        loop {
            match self.transport.poll_event()? {
                TransportEvent::Selected(address) => {
                    self.media.remote = Some(RtpRemote {
                        rtp: address,
                        rtcp: None,
                        rtcp_mux: true,
                    });
                    self.untold = self.media.srtp.is_some();
                    self.tell_leg();
                }
                TransportEvent::Secured(keys) => {
                    self.media.srtp = Some(*keys);
                    self.untold = true;
                    self.tell_leg();
                    return Some(ConnectionEvent::Connected);
                }
                TransportEvent::ChannelOpen { label } => {
                    return Some(ConnectionEvent::ChannelOpen(label));
                }
                TransportEvent::Message { label, data, .. } => {
                    return Some(ConnectionEvent::Message { label, data });
                }
                TransportEvent::Closed(end) => return Some(ConnectionEvent::Closed(Some(end))),
                _ => {}
            }
        }
    }

    fn tell_leg(&mut self) {
        if !self.untold {
            return;
        }
        match self.control.update_rtp(self.media.clone()) {
            Err(ControlError::Busy) => {}
            // A leg that is over shows as the end of its datagrams.
            Ok(()) | Err(_) => self.untold = false,
        }
    }
}

/// Opus both ways, encrypted; nothing flows before the keys are known.
fn media_of(payloads: AudioPayloads) -> RtpMedia {
    let opus = RtpPayload {
        payload_type: payloads.opus,
        codec: Codec::Opus,
    };
    let event = payloads.telephone_event.map(|payload_type| TelephoneEvent {
        payload_type,
        clock: 48_000,
    });
    RtpMedia {
        source: RtpSource::Authentic,
        comfort_noise: None,
        send_events: event,
        receive_events: event.into_iter().collect(),
        ..RtpMedia::new(opus, None)
    }
}

fn letters(count: usize) -> String {
    Alphanumeric.sample_string(&mut rand::rng(), count)
}

#[expect(clippy::disallowed_methods, reason = "driver: clock of the connection")]
fn now() -> Instant {
    Instant::now()
}
