//! Data channels (RFC 8831): SCTP inside DTLS.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sctp_proto::{
    Association, AssociationHandle, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier as Ppid, ReliabilityType, ServerConfig, StreamEvent, Transmit,
    TransportConfig,
};

use super::dcep::{ACKNOWLEDGED, ChannelOpen};

/// Largest message we take; announced as `a=max-message-size`.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Octets that may wait on one channel before messages are refused.
const BUFFERED_MAX: usize = 256 * 1024;
/// Channels a peer may open.
const CHANNELS_MAX: usize = 16;
/// Octets of one SCTP packet: fits a DTLS record in 1200 octets.
const PACKET_BYTES_MAX: u32 = 1_120;
/// SCTP wants an address; inside DTLS there is none.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);

/// What happens on the channels.
#[derive(Debug)]
pub(crate) enum ChannelEvent {
    Open {
        label: String,
    },
    Message {
        label: String,
        binary: bool,
        data: Vec<u8>,
    },
    Lost,
}

pub(crate) struct DataChannels {
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
    labels: BTreeMap<u16, String>,
    established: bool,
}

impl DataChannels {
    /// Waits for the peer to begin.
    pub(crate) fn new() -> Self {
        let mut config = EndpointConfig::default();
        config.max_payload_size(PACKET_BYTES_MAX);
        let mut server = ServerConfig::default();
        server.transport = Arc::new(
            TransportConfig::default()
                .with_max_receive_message_size(MESSAGE_BYTES_MAX as u32)
                .with_max_send_message_size(MESSAGE_BYTES_MAX as u32),
        );
        Self {
            endpoint: Endpoint::new(Arc::new(config), Some(Arc::new(server))),
            association: None,
            labels: BTreeMap::new(),
            established: false,
        }
    }

    /// Takes a decrypted packet.
    pub(crate) fn handle_packet(&mut self, now: Instant, packet: &[u8]) {
        let packet = Bytes::copy_from_slice(packet);
        match self.endpoint.handle(now, NOWHERE, None, None, packet) {
            // One association to a connection; a repeated INIT does not replace it.
            Some((handle, DatagramEvent::NewAssociation(new))) if self.association.is_none() => {
                self.association = Some((handle, new));
            }
            Some((_, DatagramEvent::AssociationEvent(event))) => {
                if let Some((_, association)) = &mut self.association {
                    association.handle_event(event);
                }
            }
            _ => {}
        }
        self.exchange();
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some((_, association)) = &mut self.association {
            association.handle_timeout(now);
        }
        self.exchange();
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.association.as_ref()?.1.poll_timeout()
    }

    /// Packets to be encrypted and sent.
    pub(crate) fn poll_packets(&mut self, now: Instant) -> Option<Vec<Bytes>> {
        let transmit: Transmit = self.endpoint.poll_transmit().or_else(|| {
            let (_, association) = self.association.as_mut()?;
            association.poll_transmit(now)
        })?;
        match transmit.payload {
            Payload::RawEncode(packets) => Some(packets),
            Payload::PartialDecode(_) => Some(Vec::new()),
        }
    }

    /// Reads what has come; `out` gets the events in order.
    pub(crate) fn poll_events(&mut self, out: &mut Vec<ChannelEvent>) {
        let Some((_, association)) = &mut self.association else {
            return;
        };
        while let Some(event) = association.poll() {
            match event {
                Event::Connected => self.established = true,
                Event::AssociationLost { .. } => out.push(ChannelEvent::Lost),
                Event::Stream(StreamEvent::Readable { id }) => {
                    read(association, &mut self.labels, id, out);
                }
                Event::Stream(StreamEvent::Finished { id }) => {
                    self.labels.remove(&id);
                }
                _ => {}
            }
        }
    }

    /// Queues a message on the channel named `label`; `false` when there is no such channel, the
    /// message is too long, or too much waits already.
    pub(crate) fn send(&mut self, label: &str, data: &[u8]) -> bool {
        let Some((_, association)) = &mut self.association else {
            return false;
        };
        let id = self.labels.iter().find(|(_, name)| *name == label);
        let (Some((&id, _)), true) = (id, data.len() <= MESSAGE_BYTES_MAX) else {
            return false;
        };
        association.stream(id).is_ok_and(|mut stream| {
            let waiting = stream.buffered_amount().unwrap_or(usize::MAX);
            waiting < BUFFERED_MAX && stream.write_with_ppi(data, Ppid::Binary).is_ok()
        })
    }

    /// Passes on what endpoint and association have to tell each other.
    fn exchange(&mut self) {
        let Some((handle, association)) = &mut self.association else {
            return;
        };
        while let Some(event) = association.poll_endpoint_event() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                association.handle_event(event);
            }
        }
    }
}

fn read(
    association: &mut Association,
    labels: &mut BTreeMap<u16, String>,
    id: u16,
    out: &mut Vec<ChannelEvent>,
) {
    let Ok(mut stream) = association.stream(id) else {
        return;
    };
    while let Ok(Some(chunks)) = stream.read() {
        let ppid = chunks.ppi;
        let mut data = vec![0; chunks.len()];
        if chunks.read(&mut data).is_err() {
            return;
        }
        match ppid {
            Ppid::Dcep => {
                let Some(open) = ChannelOpen::read(&data) else {
                    continue;
                };
                if labels.len() >= CHANNELS_MAX {
                    continue;
                }
                let kind = match open.reliability {
                    1 => ReliabilityType::Rexmit,
                    2 => ReliabilityType::Timed,
                    _ => ReliabilityType::Reliable,
                };
                let set = stream.set_reliability_params(open.unordered, kind, open.parameter);
                let acknowledged = stream.write_with_ppi(&ACKNOWLEDGED, Ppid::Dcep);
                if set.is_ok() && acknowledged.is_ok() {
                    labels.insert(id, open.label.clone());
                    out.push(ChannelEvent::Open { label: open.label });
                }
            }
            Ppid::String | Ppid::Binary => {
                if let Some(label) = labels.get(&id) {
                    out.push(ChannelEvent::Message {
                        label: label.clone(),
                        binary: ppid == Ppid::Binary,
                        data,
                    });
                }
            }
            _ => {}
        }
    }
}

impl std::fmt::Debug for DataChannels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataChannels")
            .field("labels", &self.labels)
            .field("established", &self.established)
            .finish_non_exhaustive()
    }
}
