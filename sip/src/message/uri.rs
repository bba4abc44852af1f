//! URIs of requests and header fields (RFC 3261 §19.1).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Params, ParseError};

/// Port of SIP over UDP and TCP when none is written.
pub const DEFAULT_PORT: u16 = 5060;

/// A host: an address, or a name to be resolved. Names keep their spelling.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Host {
    /// An address literal.
    Ip(IpAddr),
    /// A domain name.
    Name(String),
}

impl Host {
    /// Reads an IPv4 address, an IPv6 address in brackets, or a name.
    ///
    /// # Errors
    /// [`ParseError::Host`].
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(ParseError::Host)?;
            let address = inner.parse::<Ipv6Addr>().map_err(|_| ParseError::Host)?;
            return Ok(Self::Ip(address.into()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return if address.is_ipv4() {
                Ok(Self::Ip(address))
            } else {
                Err(ParseError::Host)
            };
        }
        let valid = !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
        if valid {
            Ok(Self::Name(text.to_owned()))
        } else {
            Err(ParseError::Host)
        }
    }

    /// The address if it is one.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Name(_) => None,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(address)) => address.fmt(f),
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Splits `host[:port]`; white space around the colon is allowed in Via.
pub(super) fn host_port(text: &str) -> Result<(Host, Option<u16>), ParseError> {
    let text = text.trim();
    let colon = if text.starts_with('[') {
        let end = text.find(']').ok_or(ParseError::Host)? + 1;
        let rest = text[end..].trim_start();
        if rest.is_empty() {
            None
        } else if rest.starts_with(':') {
            Some(text.len() - rest.len())
        } else {
            return Err(ParseError::Host);
        }
    } else {
        text.find(':')
    };
    let Some(colon) = colon else {
        return Ok((Host::parse(text)?, None));
    };
    let port = text[colon + 1..].trim();
    if !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ParseError::Host);
    }
    let port = port.parse().map_err(|_| ParseError::Host)?;
    Ok((Host::parse(text[..colon].trim_end())?, Some(port)))
}

/// A `sip:` or `sips:` URI. The user part keeps its escapes (and a password, if any).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SipUri {
    /// Whether the scheme is `sips`.
    pub secure: bool,
    /// What stands before `@`, escapes kept.
    pub user: Option<String>,
    /// Host.
    pub host: Host,
    /// Port, if written.
    pub port: Option<u16>,
    /// URI parameters.
    pub params: Params,
    /// What follows `?`, escapes kept.
    pub headers: Option<String>,
}

/// A URI of any scheme.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Uri {
    /// `sip:` or `sips:`.
    Sip(Box<SipUri>),
    /// Another scheme (`tel:` and the like), kept as written.
    Other(String),
}

impl Uri {
    /// `sip:user@address`; no user if it is empty.
    #[must_use]
    pub fn sip(user: &str, address: SocketAddr) -> Self {
        Self::Sip(Box::new(SipUri {
            secure: false,
            user: (!user.is_empty()).then(|| user.to_owned()),
            host: Host::Ip(address.ip()),
            port: Some(address.port()),
            params: Params::new(),
            headers: None,
        }))
    }

    /// Reads a URI that has no white space around or inside it.
    ///
    /// # Errors
    /// [`ParseError::Uri`] or what its parts report.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let forbidden = |b: u8| b <= b' ' || b == 0x7f || matches!(b, b'<' | b'>' | b'"');
        if text.bytes().any(forbidden) {
            return Err(ParseError::Uri);
        }
        let (scheme, rest) = text.split_once(':').ok_or(ParseError::Uri)?;
        let secure = scheme.eq_ignore_ascii_case("sips");
        if !secure && !scheme.eq_ignore_ascii_case("sip") {
            return if is_scheme(scheme) && !rest.is_empty() {
                Ok(Self::Other(text.to_owned()))
            } else {
                Err(ParseError::Uri)
            };
        }
        // The user part may hold `;` and `?`, so the last `@` decides where it ends.
        let (user, rest) = match rest.rsplit_once('@') {
            Some(("", _)) => return Err(ParseError::Uri),
            Some((user, rest)) => (Some(user.to_owned()), rest),
            None => (None, rest),
        };
        let (rest, headers) = match rest.split_once('?') {
            Some((rest, headers)) => (rest, Some(headers.to_owned())),
            None => (rest, None),
        };
        let (host, params) = match rest.split_once(';') {
            Some((host, params)) => (host, Params::parse(params)?),
            None => (rest, Params::new()),
        };
        let (host, port) = host_port(host)?;
        Ok(Self::Sip(Box::new(SipUri {
            secure,
            user,
            host,
            port,
            params,
            headers,
        })))
    }

    /// The SIP URI if it is one.
    #[must_use]
    pub const fn as_sip(&self) -> Option<&SipUri> {
        match self {
            Self::Sip(uri) => Some(uri),
            Self::Other(_) => None,
        }
    }

    /// User part with escapes decoded and without a password; for `tel:` the number.
    #[must_use]
    pub fn user(&self) -> Option<String> {
        match self {
            Self::Sip(uri) => {
                let user = uri.user.as_deref()?;
                Some(unescape(user.split(':').next().unwrap_or(user)))
            }
            Self::Other(text) => {
                let rest = text.split_once(':')?.1;
                Some(unescape(rest.split(';').next().unwrap_or(rest)))
            }
        }
    }

    /// Where a request for this URI goes, if the URI names an address.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        let uri = self.as_sip()?;
        let port = uri.port.unwrap_or_else(|| {
            let transport = crate::transport::Transport::of_uri(self);
            transport.map_or(DEFAULT_PORT, crate::transport::Transport::default_port)
        });
        Some(SocketAddr::new(uri.host.ip()?, port))
    }

    /// Whether the `lr` parameter is present (loose routing).
    #[must_use]
    pub fn is_loose_router(&self) -> bool {
        self.as_sip().is_some_and(|uri| uri.params.contains("lr"))
    }
}

impl FromStr for Uri {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uri = match self {
            Self::Other(text) => return f.write_str(text),
            Self::Sip(uri) => uri,
        };
        f.write_str(if uri.secure { "sips:" } else { "sip:" })?;
        if let Some(user) = &uri.user {
            write!(f, "{user}@")?;
        }
        uri.host.fmt(f)?;
        if let Some(port) = uri.port {
            write!(f, ":{port}")?;
        }
        uri.params.fmt(f)?;
        if let Some(headers) = &uri.headers {
            write!(f, "?{headers}")?;
        }
        Ok(())
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// Decodes `%41`; a broken escape stays as it is.
fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let decoded = (byte == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match decoded {
            Some(value) => {
                out.push(value);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_part_may_hold_semicolons_and_questions() {
        let uri = Uri::parse("sip:user;par=u%40example.net@example.com:5070;lr?x=y").unwrap();
        let sip = uri.as_sip().unwrap();
        assert_eq!(sip.user.as_deref(), Some("user;par=u%40example.net"));
        assert_eq!(sip.port, Some(5070));
        assert!(uri.is_loose_router());
        assert_eq!(
            uri.to_string(),
            "sip:user;par=u%40example.net@example.com:5070;lr?x=y"
        );
    }

    #[test]
    fn ipv6_needs_brackets_and_a_port_stands_outside_them() {
        assert!(Uri::parse("sip:2001:db8::10").is_err());
        assert!(Uri::parse("sip:[2001:db8:::192.0.2.1]").is_err());
        let uri = Uri::parse("sip:[2001:db8::10]:5070").unwrap();
        assert_eq!(
            uri.socket_addr(),
            Some("[2001:db8::10]:5070".parse().unwrap())
        );
    }

    #[test]
    fn numbers_are_read_from_sip_and_tel() {
        let user = |text: &str| Uri::parse(text).unwrap().user();
        assert_eq!(user("tel:+15550100;ext=5").as_deref(), Some("+15550100"));
        assert_eq!(user("sip:%2B1555:pw@h").as_deref(), Some("+1555"));
        assert_eq!(user("sip:h"), None);
    }
}
