//! Where a browser can reach our media.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::config::Config;

/// TEST-NET-1 (RFC 5737): routed like the rest of the world, and never sent to.
const WORLD: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// The addresses told to a peer whose signalling came from `peer`, best first: the advertised one
/// alone if there is one, else the one that is bound, else those that lead to the world and to
/// the peer.
pub(crate) fn reachable(config: &Config, peer: IpAddr, port: u16) -> Vec<SocketAddr> {
    if let Some(address) = config.webrtc.advertised_address {
        return vec![SocketAddr::new(address, port)];
    }
    let bound = config.media.rtp_bind;
    if !bound.is_unspecified() {
        return vec![SocketAddr::new(bound, port)];
    }
    let mut found: Vec<IpAddr> = Vec::new();
    for target in [WORLD, SocketAddr::new(peer, 9)] {
        if let Some(ip) = towards(target)
            && ip.is_ipv4() == bound.is_ipv4()
            && !found.contains(&ip)
        {
            found.push(ip);
        }
    }
    found
        .into_iter()
        .map(|ip| SocketAddr::new(ip, port))
        .collect()
}

/// Our address on the way to `target`. No packet is sent for it.
fn towards(target: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(target).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}
