//! The endpoint in virtual time.

mod authentication;
mod calls;
mod failover;
mod guard;
mod in_dialog;
mod lone;
mod loss;
mod outside_dialogs;
mod pair;
mod races;
mod registration;
mod reliable;
mod streams;
mod timers;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use media::codec::Codec;

use super::EndpointConfig;
use crate::event::InviteRequest;
use crate::message::{NameAddr, Uri};
use crate::sdp::{self, CodecPreference, Direction, LocalMedia, SessionDescription};

const ALICE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 5060);
const BOB: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 5070);

#[expect(clippy::disallowed_methods, reason = "only an origin for virtual time")]
fn origin() -> Instant {
    Instant::now()
}

fn config() -> EndpointConfig {
    EndpointConfig::default()
}

fn local_media(host: SocketAddr, direction: Direction, version: u64) -> LocalMedia {
    LocalMedia {
        address: host.ip(),
        rtp_port: 40_000,
        rtcp_port: None,
        rtcp_mux: false,
        codecs: vec![Codec::Pcmu],
        preference: CodecPreference::Ours,
        telephone_event: true,
        ptime_ms: 20,
        direction,
        session_id: 7,
        session_version: version,
        srtp: None,
    }
}

fn offer_of(host: SocketAddr) -> SessionDescription {
    sdp::offer(&local_media(host, Direction::SendRecv, 1))
}

fn answer_of(host: SocketAddr, offer: &SessionDescription) -> SessionDescription {
    sdp::negotiate(offer, &local_media(host, Direction::SendRecv, 1))
        .unwrap()
        .0
}

fn invite_to(destination: SocketAddr, offer: Option<SessionDescription>) -> InviteRequest {
    let from = NameAddr::new(Uri::parse("sip:alice@example.com").unwrap()).with_display("Alice");
    let mut invite = InviteRequest::new(Uri::sip("+15550100", destination), destination, from);
    invite.offer = offer;
    invite
}
