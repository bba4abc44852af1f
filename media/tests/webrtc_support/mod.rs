//! The browser's end of a connection: sends checks, opens DTLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use dimpl::{Config, Dtls, DtlsCertificate, Output};
use media::webrtc::{IceCredentials, PeerTransport, TransportEvent};

pub(crate) struct Browser {
    pub(crate) address: SocketAddr,
    dtls: Dtls,
    fingerprint: [u8; 32],
    material: Option<Vec<u8>>,
}

impl Browser {
    pub(crate) fn new(now: Instant, address: SocketAddr) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["browser".to_owned()]).expect("made");
        let der = made.cert.der().to_vec();
        let fingerprint = <sha2::Sha256 as sha2::Digest>::digest(&der).into();
        let own = DtlsCertificate {
            certificate: der,
            private_key: made.signing_key.serialize_der(),
        };
        let config = Arc::new(Config::builder().build().expect("a configuration"));
        let mut dtls = Dtls::new_12(config, own, now);
        dtls.set_active(true);
        Self {
            address,
            dtls,
            fingerprint,
            material: None,
        }
    }

    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// Exchanges datagrams until neither end has anything to say.
    pub(crate) fn connect(
        &mut self,
        now: Instant,
        transport: &mut PeerTransport,
        theirs: &IceCredentials,
    ) -> Vec<TransportEvent> {
        let check = media::webrtc::write_check(theirs, "them", [1; 12]);
        transport.handle_datagram(now, self.address, &check);
        let mut events = Vec::new();
        self.dtls.handle_timeout(now).expect("started");
        for _ in 0..50 {
            for packet in self.poll() {
                transport.handle_datagram(now, self.address, &packet);
            }
            while let Some((to, packet)) = transport.poll_transmit() {
                assert_eq!(to, self.address);
                if (20..64).contains(&packet[0]) {
                    let _ = self.dtls.handle_packet(&packet);
                }
            }
            events.extend(std::iter::from_fn(|| transport.poll_event()));
        }
        events
    }

    fn poll(&mut self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        let mut buffer = vec![0; 4_096];
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(packet) => packets.push(packet.to_vec()),
                Output::KeyingMaterial(material, _) => self.material = Some(material.to_vec()),
                Output::Timeout(_) => return packets,
                _ => {}
            }
        }
    }

    /// Key and salt of what it sends and of what it receives, if the profile is AEAD_AES_256_GCM,
    /// AEAD_AES_128_GCM or AES_CM_128 by the length of the material.
    pub(crate) fn keys(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let material = self.material.as_ref()?;
        let (key, salt) = match material.len() {
            88 => (32, 12),
            60 => (16, 14),
            56 => (16, 12),
            _ => return None,
        };
        let part = |at: usize, len: usize| material[at..at + len].to_vec();
        let client = [part(0, key), part(2 * key, salt)].concat();
        let server = [part(key, key), part(2 * key + salt, salt)].concat();
        Some((client, server))
    }
}
