//! Reading session descriptions, tolerant of order and odd spacing.

use std::net::IpAddr;

use super::{Attribute, Connection, MediaDescription, Origin, SessionDescription};

/// Most lines read.
pub const SDP_LINES_MAX: usize = 512;
/// Most `m=` lines read.
pub const MEDIA_MAX: usize = 32;

/// What makes a description unreadable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SdpError {
    /// Not UTF-8.
    #[error("description is not UTF-8")]
    Encoding,
    /// More than [`SDP_LINES_MAX`] lines or [`MEDIA_MAX`] streams.
    #[error("description has too many lines")]
    TooLong,
    /// A line that is not `x=...`.
    #[error("line is malformed")]
    Line,
    /// `v=` missing or not zero.
    #[error("version is not 0")]
    Version,
    /// `o=` missing or malformed.
    #[error("origin is malformed")]
    Origin,
    /// A malformed `c=`.
    #[error("connection is malformed")]
    Connection,
    /// A malformed `m=`.
    #[error("media line is malformed")]
    Media,
}

impl SessionDescription {
    /// Reads a description.
    ///
    /// # Errors
    /// [`SdpError`] for the first line that cannot be understood.
    pub fn parse(bytes: &[u8]) -> Result<Self, SdpError> {
        let text = std::str::from_utf8(bytes).map_err(|_| SdpError::Encoding)?;
        let mut lines = text
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty())
            .enumerate();
        match lines.next() {
            Some((_, "v=0")) => {}
            _ => return Err(SdpError::Version),
        }
        let mut origin = None;
        let mut session = Self {
            origin: Origin {
                username: "-".to_owned(),
                session_id: "0".to_owned(),
                session_version: "0".to_owned(),
                address: Connection::Name(String::new()),
            },
            name: String::new(),
            connection: None,
            time: "0 0".to_owned(),
            other: Vec::new(),
            attributes: Vec::new(),
            media: Vec::new(),
        };
        for (index, line) in lines {
            if index >= SDP_LINES_MAX {
                return Err(SdpError::TooLong);
            }
            let (kind, value) = line.split_once('=').ok_or(SdpError::Line)?;
            let mut letters = kind.trim().chars();
            let (Some(kind), None) = (letters.next(), letters.next()) else {
                return Err(SdpError::Line);
            };
            let value = value.trim();
            if kind == 'm' && session.media.len() == MEDIA_MAX {
                return Err(SdpError::TooLong);
            }
            match (kind, session.media.last_mut()) {
                ('m', _) => session.media.push(parse_media(value)?),
                ('c', Some(media)) => {
                    // Several c= lines mean hierarchical multicast; the first one is enough.
                    let connection = parse_connection(value)?;
                    media.connection.get_or_insert(connection);
                }
                ('c', None) => session.connection = Some(parse_connection(value)?),
                ('a', Some(media)) => media.attributes.push(parse_attribute(value)),
                ('a', None) => session.attributes.push(parse_attribute(value)),
                ('o', None) => origin = Some(parse_origin(value)?),
                ('s', None) => value.clone_into(&mut session.name),
                ('t', None) => value.clone_into(&mut session.time),
                ('v', _) => return Err(SdpError::Version),
                (kind, Some(media)) => media.other.push((kind, value.to_owned())),
                (kind, None) => session.other.push((kind, value.to_owned())),
            }
        }
        session.origin = origin.ok_or(SdpError::Origin)?;
        Ok(session)
    }
}

fn parse_origin(value: &str) -> Result<Origin, SdpError> {
    let fields: Vec<&str> = value.split_ascii_whitespace().collect();
    let [username, id, version, _, kind, address] = fields[..] else {
        return Err(SdpError::Origin);
    };
    Ok(Origin {
        username: username.to_owned(),
        session_id: id.to_owned(),
        session_version: version.to_owned(),
        // Origins are only names: a wrong address type must not fail a call.
        address: address_of(kind, address).unwrap_or_else(|| Connection::Name(address.to_owned())),
    })
}

fn parse_connection(value: &str) -> Result<Connection, SdpError> {
    let fields: Vec<&str> = value.split_ascii_whitespace().collect();
    let [net, kind, address] = fields[..] else {
        return Err(SdpError::Connection);
    };
    if !net.eq_ignore_ascii_case("IN") {
        return Err(SdpError::Connection);
    }
    // The part after `/` is the time to live of multicast.
    let address = address.split('/').next().unwrap_or(address);
    address_of(kind, address).ok_or(SdpError::Connection)
}

fn address_of(kind: &str, address: &str) -> Option<Connection> {
    let ip = address.parse::<IpAddr>().ok();
    match (kind, ip) {
        ("IP4", Some(ip)) if ip.is_ipv4() => Some(Connection::Ip(ip)),
        ("IP6", Some(ip)) if ip.is_ipv6() => Some(Connection::Ip(ip)),
        ("IP4" | "IP6", None) => Some(Connection::Name(address.to_owned())),
        _ => None,
    }
}

fn parse_attribute(value: &str) -> Attribute {
    match value.split_once(':') {
        Some((name, value)) => Attribute::new(name.trim(), value.trim()),
        None => Attribute::flag(value),
    }
}

fn parse_media(value: &str) -> Result<MediaDescription, SdpError> {
    let mut fields = value.split_ascii_whitespace();
    let (Some(kind), Some(port), Some(protocol)) = (fields.next(), fields.next(), fields.next())
    else {
        return Err(SdpError::Media);
    };
    let (port, count) = match port.split_once('/') {
        Some((port, count)) => (port, Some(count.parse().map_err(|_| SdpError::Media)?)),
        None => (port, None),
    };
    Ok(MediaDescription {
        kind: kind.to_owned(),
        port: port.parse().map_err(|_| SdpError::Media)?,
        port_count: count,
        protocol: protocol.to_owned(),
        formats: fields.map(str::to_owned).collect(),
        connection: None,
        other: Vec::new(),
        attributes: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::Direction;

    const HOLD: &str = "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 0.0.0.0\r\n\
        t=0 0\r\nm=audio 4000/2 RTP/AVP 0 101\r\nb=AS:64\r\nA=x\r\na=RTPMAP:101  telephone-event/8000\r\n\
        m =video 0 RTP/AVP 31\r\n";

    #[test]
    fn odd_spacing_and_old_hold_are_understood() {
        let session = SessionDescription::parse(HOLD.as_bytes()).unwrap();
        let (index, audio) = session.audio().unwrap();
        assert_eq!(index, 0);
        assert_eq!(audio.port_count, Some(2));
        assert_eq!(
            audio.for_payload_type("rtpmap", 101),
            Some("telephone-event/8000")
        );
        assert_eq!(session.direction_of(audio), Direction::SendOnly);
        assert!(session.is_hold());
        assert_eq!(session.media.len(), 2);
    }

    #[test]
    fn writing_what_was_read_gives_the_same_description() {
        let session = SessionDescription::parse(HOLD.as_bytes()).unwrap();
        let again = SessionDescription::parse(session.to_string().as_bytes()).unwrap();
        assert_eq!(session, again);
    }

    #[test]
    fn faults_are_named() {
        let error = |text: &str| SessionDescription::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error(""), SdpError::Version);
        assert_eq!(error("v=0\r\ns=-\r\n"), SdpError::Origin);
        assert_eq!(error("v=0\nhello\n"), SdpError::Line);
        assert_eq!(error("v=0\nc=IN IP4 ::1\n"), SdpError::Connection);
        assert_eq!(error("v=0\nm=audio 70000 RTP/AVP 0\n"), SdpError::Media);
        let long = "v=0\n".to_owned() + &"a=x\n".repeat(SDP_LINES_MAX + 1);
        assert_eq!(error(&long), SdpError::TooLong);
    }
}
