//! A session description as data.

use std::net::IpAddr;

/// Where media goes, or who made the description: an address or a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Connection {
    /// An address literal; 0.0.0.0 is the hold of RFC 2543.
    Ip(IpAddr),
    /// A domain name.
    Name(String),
}

impl Connection {
    /// The address if it is one.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Name(_) => None,
        }
    }
}

/// The `o=` line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// User name, `-` if none.
    pub username: String,
    /// Session id: digits, kept as text because peers exceed 64 bits.
    pub session_id: String,
    /// Version: digits; grows by one whenever the description changes (RFC 3264 §8).
    pub session_version: String,
    /// Host that made the description.
    pub address: Connection,
}

/// An `a=` line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attribute {
    /// Name before the colon.
    pub name: String,
    /// Value after the colon.
    pub value: Option<String>,
}

impl Attribute {
    /// `a=name:value`.
    #[must_use]
    pub fn new(name: &str, value: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            value: Some(value.into()),
        }
    }

    /// `a=name`.
    #[must_use]
    pub fn flag(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            value: None,
        }
    }
}

/// Who sends, seen from the side that wrote the description.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Direction {
    /// Both.
    #[default]
    SendRecv,
    /// Only the writer.
    SendOnly,
    /// Only the reader.
    RecvOnly,
    /// Nobody.
    Inactive,
}

impl Direction {
    /// From whether the writer sends and receives.
    #[must_use]
    pub const fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether the writer sends.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the writer receives.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same seen from the other side.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    /// What both allow.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self::new(
            self.sends() && other.sends(),
            self.receives() && other.receives(),
        )
    }

    /// Attribute name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// Direction of that attribute name.
    #[must_use]
    pub const fn from_name(name: &str) -> Option<Self> {
        match name.as_bytes() {
            b"sendrecv" => Some(Self::SendRecv),
            b"sendonly" => Some(Self::SendOnly),
            b"recvonly" => Some(Self::RecvOnly),
            b"inactive" => Some(Self::Inactive),
            _ => None,
        }
    }
}

/// An `m=` line and what belongs to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MediaDescription {
    /// `audio`, `video`, ...
    pub kind: String,
    /// Port; zero refuses the stream.
    pub port: u16,
    /// Count of ports after `/`, if written.
    pub port_count: Option<u16>,
    /// `RTP/AVP`, ...
    pub protocol: String,
    /// Formats; payload types for RTP.
    pub formats: Vec<String>,
    /// `c=` of this stream.
    pub connection: Option<Connection>,
    /// Lines of other types, kept in order.
    pub other: Vec<(char, String)>,
    /// `a=` lines.
    pub attributes: Vec<Attribute>,
}

/// A whole description.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionDescription {
    /// `o=`.
    pub origin: Origin,
    /// `s=`.
    pub name: String,
    /// Session-level `c=`.
    pub connection: Option<Connection>,
    /// `t=`, as written.
    pub time: String,
    /// Lines of other types, kept in order.
    pub other: Vec<(char, String)>,
    /// Session-level `a=` lines.
    pub attributes: Vec<Attribute>,
    /// Streams.
    pub media: Vec<MediaDescription>,
}

impl MediaDescription {
    /// Whether the stream is audio over RTP and not refused.
    #[must_use]
    pub fn is_active_audio(&self) -> bool {
        self.kind == "audio" && self.port != 0
    }

    /// Value of the first attribute of that name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        find(&self.attributes, name)
    }

    /// Whether the attribute is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.attributes.iter().any(|a| is(a, name))
    }

    /// Values of `name` that begin with this payload type (`rtpmap`, `fmtp`).
    pub fn for_payload_type(&self, name: &str, payload_type: u8) -> Option<&str> {
        self.attributes
            .iter()
            .filter(|a| is(a, name))
            .filter_map(|a| a.value.as_deref()?.trim().split_once(char::is_whitespace))
            .find(|(number, _)| number.parse() == Ok(payload_type))
            .map(|(_, value)| value.trim())
    }
}

impl SessionDescription {
    /// The first audio stream that is not refused, with its index.
    #[must_use]
    pub fn audio(&self) -> Option<(usize, &MediaDescription)> {
        self.media
            .iter()
            .enumerate()
            .find(|(_, media)| media.is_active_audio())
    }

    /// Where a stream is: its own `c=` wins over that of the session.
    #[must_use]
    pub fn connection_of<'a>(&'a self, media: &'a MediaDescription) -> Option<&'a Connection> {
        media.connection.as_ref().or(self.connection.as_ref())
    }

    /// Direction of a stream: its own attribute wins over that of the session; the old hold
    /// address 0.0.0.0 takes away the reader's right to send (RFC 3264 §8.4).
    #[must_use]
    pub fn direction_of(&self, media: &MediaDescription) -> Direction {
        let of = |attributes: &[Attribute]| {
            attributes
                .iter()
                .find_map(|a| Direction::from_name(&a.name.to_ascii_lowercase()))
        };
        let written = of(&media.attributes)
            .or_else(|| of(&self.attributes))
            .unwrap_or_default();
        let nowhere = self
            .connection_of(media)
            .and_then(Connection::ip)
            .is_some_and(|ip| ip.is_unspecified());
        Direction::new(written.sends(), written.receives() && !nowhere)
    }

    /// Whether the peer that wrote this does not want our audio: hold.
    #[must_use]
    pub fn is_hold(&self) -> bool {
        self.audio()
            .is_some_and(|(_, media)| !self.direction_of(media).receives())
    }

    /// Value of the first session-level attribute of that name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        find(&self.attributes, name)
    }
}

fn is(attribute: &Attribute, name: &str) -> bool {
    attribute.name.eq_ignore_ascii_case(name)
}

fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    attributes.iter().find(|a| is(a, name))?.value.as_deref()
}
