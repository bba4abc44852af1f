//! From SDP to a leg.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use media::codec::Codec;
use media::net::ports::RtpPorts;
use media::protocol::rtp::{RtpMedia, RtpPayload, RtpRemote, RtpSource, TelephoneEvent};
use sip::sdp::{CodecPreference, Direction, LocalMedia, LocalSrtp, NegotiatedAudio};

use crate::config::{Config, SipCodec, SipSection, SrtpPolicy};

/// Payload type of RFC 3389 comfort noise.
const COMFORT_NOISE: u8 = 13;

/// Our side of a call's stream on `ports`, as `peer` must be told it.
pub(super) fn local_media(
    config: &Config,
    codecs: &[SipCodec],
    srtp: SrtpPolicy,
    ports: &RtpPorts,
    peer: SocketAddr,
) -> LocalMedia {
    let address = config
        .sip
        .advertised_address
        .unwrap_or_else(|| match config.media.rtp_bind {
            ip if ip.is_unspecified() => local_address_towards(peer),
            ip => ip,
        });
    LocalMedia {
        address,
        rtp_port: ports.rtp_address().port(),
        rtcp_port: None,
        rtcp_mux: true,
        codecs: codecs.iter().map(|codec| leg_codec(*codec)).collect(),
        preference: CodecPreference::Ours,
        telephone_event: true,
        ptime_ms: 20,
        direction: Direction::new(true, true),
        session_id: u64::from(rand::random::<u32>()),
        session_version: 1,
        srtp: match srtp {
            SrtpPolicy::Off => None,
            SrtpPolicy::Optional | SrtpPolicy::Required => Some(LocalSrtp {
                required: srtp == SrtpPolicy::Required,
                material: rand::random(),
            }),
        },
    }
}

/// What both sides agreed on, in the leg's words.
pub(crate) fn rtp_media(audio: &NegotiatedAudio) -> RtpMedia {
    let event = |event: &sip::sdp::TelephoneEvent| TelephoneEvent {
        payload_type: event.payload_type,
        clock: event.clock,
    };
    // The unspecified address is the old form of hold (RFC 3264 §8.4): nowhere to send to.
    let reachable = !audio.remote_rtp.ip().is_unspecified();
    RtpMedia {
        send: RtpPayload {
            payload_type: audio.send_payload_type,
            codec: audio.codec,
        },
        receive: audio
            .receive_payload_types
            .iter()
            .map(|&(payload_type, codec)| RtpPayload {
                payload_type,
                codec,
            })
            .collect(),
        send_events: audio.telephone_event_send.first().map(event),
        receive_events: audio.telephone_event_receive.iter().map(event).collect(),
        comfort_noise: Some(COMFORT_NOISE),
        remote: reachable.then_some(RtpRemote {
            rtp: audio.remote_rtp,
            rtcp: Some(audio.remote_rtcp),
            rtcp_mux: audio.rtcp_mux,
        }),
        ptime_ms: packet_ms(audio.ptime_ms),
        srtp: audio.srtp.clone(),
        sending: audio.direction.sends() && reachable,
        receiving: audio.direction.receives(),
        source: RtpSource::Address,
    }
}

/// The nearest packet time a leg can send.
fn packet_ms(asked: u16) -> u32 {
    match asked {
        0..=15 => 10,
        16..=25 => 20,
        26..=35 => 30,
        36..=55 => 40,
        _ => 60,
    }
}

/// The address peers are told for signalling, when it is not the bound one: as configured, or,
/// for a listener on all interfaces, the one that leads to the world.
pub(super) fn advertised_address(config: &SipSection, bind: SocketAddr) -> Option<SocketAddr> {
    let port = bind.port();
    if let Some(address) = config.advertised_address {
        return Some(SocketAddr::new(address, port));
    }
    bind.ip().is_unspecified().then(|| {
        // TEST-NET-1 (RFC 5737): routed like the rest of the world, and never sent to.
        let world = SocketAddr::from(([192, 0, 2, 1], 9));
        SocketAddr::new(local_address_towards(world), port)
    })
}

/// The address of the interface that leads to `peer`. No packet is sent for it.
fn local_address_towards(peer: SocketAddr) -> IpAddr {
    let any: SocketAddr = if peer.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let found = UdpSocket::bind(any).and_then(|socket| {
        socket.connect(peer)?;
        socket.local_addr()
    });
    found.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

const fn leg_codec(codec: SipCodec) -> Codec {
    match codec {
        SipCodec::Opus => Codec::Opus,
        SipCodec::G722 => Codec::G722,
        SipCodec::Pcmu => Codec::Pcmu,
        SipCodec::Pcma => Codec::Pcma,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiated(remote: &str, direction: Direction) -> NegotiatedAudio {
        let remote: SocketAddr = remote.parse().unwrap();
        NegotiatedAudio {
            codec: Codec::Pcma,
            send_payload_type: 8,
            receive_payload_types: vec![(8, Codec::Pcma)],
            telephone_event_send: Vec::new(),
            telephone_event_receive: Vec::new(),
            remote_rtp: remote,
            remote_rtcp: remote,
            rtcp_mux: false,
            ptime_ms: 30,
            direction,
            opus_inband_fec: false,
            srtp: None,
        }
    }

    #[test]
    fn both_forms_of_hold_stop_our_audio() {
        let active = rtp_media(&negotiated("192.0.2.1:4000", Direction::new(true, true)));
        assert!(active.sending && active.receiving);
        assert_eq!(active.ptime_ms, 30);
        let held = rtp_media(&negotiated("192.0.2.1:4000", Direction::new(false, true)));
        assert!(!held.sending && held.receiving);
        let old = rtp_media(&negotiated("0.0.0.0:4000", Direction::new(true, true)));
        assert!(!old.sending && old.remote.is_none());
    }

    #[test]
    fn a_local_peer_is_told_a_local_address() {
        let peer = "127.0.0.1:5060".parse().unwrap();
        assert!(local_address_towards(peer).is_loopback());
    }
}
