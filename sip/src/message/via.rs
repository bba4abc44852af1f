//! The Via header field (RFC 3261 §20.42, RFC 3581).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::uri::host_port;
use super::{DEFAULT_PORT, Host, Params, ParseError};
use crate::transport::{Hop, Transport};

/// Prefix of branches that are unique by RFC 3261 §8.1.1.7.
pub const BRANCH_COOKIE: &str = "z9hG4bK";

/// One Via value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Via {
    /// Protocol version, `2.0` from every peer alive.
    version: String,
    /// Transport, as written.
    pub transport: String,
    /// Host of sent-by.
    pub host: Host,
    /// Port of sent-by, if written.
    pub port: Option<u16>,
    /// `branch`, `rport`, `received` and others.
    pub params: Params,
}

impl Via {
    /// A Via of our own, asking for `rport`.
    #[must_use]
    pub fn new(transport: Transport, sent_by: SocketAddr, branch: &str) -> Self {
        let mut params = Params::new();
        params.set("rport", None);
        params.set("branch", Some(branch));
        Self {
            version: "2.0".to_owned(),
            transport: transport.via_name().to_owned(),
            host: Host::Ip(sent_by.ip()),
            port: Some(sent_by.port()),
            params,
        }
    }

    /// Reads one value.
    ///
    /// # Errors
    /// [`ParseError::Via`] or what its parts report.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut via = Self::parse_sent_by(text)?;
        if let Some((_, params)) = text.split_once(';') {
            via.params = Params::parse(params)?;
        }
        Ok(via)
    }

    /// Reads everything before the parameters: enough to route an answer to a broken request.
    ///
    /// # Errors
    /// [`ParseError::Via`] or what its parts report.
    pub fn parse_sent_by(text: &str) -> Result<Self, ParseError> {
        let end = text.find(';').unwrap_or(text.len());
        let mut parts = text[..end].splitn(3, '/');
        let name = parts.next().ok_or(ParseError::Via)?.trim();
        let version = parts.next().ok_or(ParseError::Via)?.trim();
        let rest = parts.next().ok_or(ParseError::Via)?.trim();
        let (transport, sent_by) = rest
            .split_once(|c: char| c.is_ascii_whitespace())
            .ok_or(ParseError::Via)?;
        if !name.eq_ignore_ascii_case("SIP") || version.is_empty() {
            return Err(ParseError::Via);
        }
        let (host, port) = host_port(sent_by)?;
        Ok(Self {
            version: version.to_owned(),
            transport: transport.to_owned(),
            host,
            port,
            params: Params::new(),
        })
    }

    /// The branch, if it carries the RFC 3261 cookie and something after it.
    #[must_use]
    pub fn unique_branch(&self) -> Option<&str> {
        self.params.value("branch").filter(|branch| {
            branch
                .get(..BRANCH_COOKIE.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(BRANCH_COOKIE))
                && branch.len() > BRANCH_COOKIE.len()
        })
    }

    /// Notes where the request came from: `received` if sent-by differs, `rport` if asked for
    /// (RFC 3261 §18.2.1, RFC 3581 §4).
    pub fn note_source(&mut self, source: SocketAddr) {
        let ip = source.ip().to_canonical();
        if self.params.contains("rport") {
            self.params.set("rport", Some(&source.port().to_string()));
            self.params.set("received", Some(&ip.to_string()));
        } else if self.host.ip().map(|ip| ip.to_canonical()) != Some(ip) {
            self.params.set("received", Some(&ip.to_string()));
        }
    }

    /// Where the response to a request from `source` goes: on streams back on the connection
    /// (RFC 3261 §18.2.2), else by `rport` (RFC 3581 §4) or the port of sent-by.
    #[must_use]
    pub fn response_destination(&self, source: Hop) -> Hop {
        if source.transport.is_reliable() || self.params.contains("rport") {
            return source;
        }
        let port = self.port.unwrap_or(DEFAULT_PORT);
        Hop::udp(SocketAddr::new(source.address.ip(), port))
    }

    /// Address and port the peer saw us at, when it wrote both.
    #[must_use]
    pub fn seen_at(&self) -> Option<SocketAddr> {
        let text = self.params.value("received")?;
        let ip: IpAddr = text
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .ok()?;
        Some(SocketAddr::new(
            ip,
            self.params.value("rport")?.parse().ok()?,
        ))
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/{}/{} {}", self.version, self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.params.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_allowed_between_the_parts() {
        let via = Via::parse("SIP  /   2.0 /UDP 192.0.2.2 : 5062 ; branch = z9hG4bK1").unwrap();
        assert_eq!(
            via.to_string(),
            "SIP/2.0/UDP 192.0.2.2:5062;branch=z9hG4bK1"
        );
        assert_eq!(via.unique_branch(), Some("z9hG4bK1"));
    }

    #[test]
    fn bare_cookie_is_not_a_unique_branch() {
        let via = Via::parse("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK").unwrap();
        assert_eq!(via.unique_branch(), None);
    }

    #[test]
    fn answers_follow_rport_else_sent_by_port() {
        let source: SocketAddr = "203.0.113.7:40000".parse().unwrap();
        let mut via = Via::parse("SIP/2.0/UDP 10.0.0.1:5070;rport;branch=z9hG4bKa").unwrap();
        via.note_source(source);
        assert_eq!(via.response_destination(source.into()).address, source);
        assert_eq!(via.seen_at(), Some(source));
        let via = Via::parse("SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bKa").unwrap();
        let by_sent_by = via.response_destination(source.into());
        assert_eq!(by_sent_by.address, "203.0.113.7:5070".parse().unwrap());
        let on_stream = Hop::new(Transport::Tcp, source);
        assert_eq!(via.response_destination(on_stream), on_stream);
    }
}
