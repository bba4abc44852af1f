//! How messages travel: the protocols, one hop of a way, and the framing of streams.

mod framing;
pub mod select;

pub use framing::{Frame, Framer, FramingError};

use std::fmt;
use std::net::SocketAddr;

use crate::message::{Params, Uri};

/// A transport protocol of SIP.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Transport {
    /// Datagrams (RFC 3261 §18).
    #[default]
    Udp,
    /// A stream.
    Tcp,
    /// A stream under TLS.
    Tls,
    /// A websocket (RFC 7118).
    Ws,
    /// A websocket under TLS.
    Wss,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 5] = [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss];

    /// Name in Via.
    #[must_use]
    pub const fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// Value of the `transport` parameter of a URI.
    #[must_use]
    pub const fn uri_name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// The transport of that name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|transport| name.eq_ignore_ascii_case(transport.uri_name()))
    }

    /// Whether the transport itself repeats what is lost; then transactions do not.
    #[must_use]
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Whether nobody on the way can read along.
    #[must_use]
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Port when none is written (RFC 3261 §19.1.2, RFC 7118 §5.2.3).
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    /// The transport a URI asks for: its parameter, else TLS for `sips`, else none.
    #[must_use]
    pub fn of_uri(uri: &Uri) -> Option<Self> {
        let uri = uri.as_sip()?;
        let named = uri.params.value("transport").and_then(Self::from_name);
        match named {
            // RFC 3261 §26.2.2: `sips` over TCP means TLS; over websockets WSS.
            Some(Self::Tcp) if uri.secure => Some(Self::Tls),
            Some(Self::Ws) if uri.secure => Some(Self::Wss),
            None if uri.secure => Some(Self::Tls),
            named => named,
        }
    }

    /// Notes the transport in URI parameters; UDP is the default and goes without.
    pub(crate) fn note(self, params: &mut Params) {
        if self != Self::Udp {
            params.set("transport", Some(self.uri_name()));
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.uri_name())
    }
}

/// Where a message comes from or goes to. On a stream it names the connection: by the peer's
/// address, which no two connections of one transport share.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Hop {
    /// By which protocol.
    pub transport: Transport,
    /// The peer's address.
    pub address: SocketAddr,
}

impl Hop {
    /// A hop.
    #[must_use]
    pub const fn new(transport: Transport, address: SocketAddr) -> Self {
        Self { transport, address }
    }

    /// A hop over UDP.
    #[must_use]
    pub const fn udp(address: SocketAddr) -> Self {
        Self::new(Transport::Udp, address)
    }
}

impl From<SocketAddr> for Hop {
    fn from(address: SocketAddr) -> Self {
        Self::udp(address)
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport, self.address)
    }
}
