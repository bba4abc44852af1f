//! Writing session descriptions, lines in the order of RFC 4566 §5.

use std::fmt;
use std::net::IpAddr;

use super::{Attribute, Connection, MediaDescription, SessionDescription};

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip)) => write!(f, "IN IP4 {ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "IN IP6 {ip}"),
            Self::Name(name) => write!(f, "IN IP4 {name}"),
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "a={}:{value}\r\n", self.name),
            None => write!(f, "a={}\r\n", self.name),
        }
    }
}

impl fmt::Display for MediaDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m={} {}", self.kind, self.port)?;
        if let Some(count) = self.port_count {
            write!(f, "/{count}")?;
        }
        write!(f, " {}", self.protocol)?;
        for format in &self.formats {
            write!(f, " {format}")?;
        }
        f.write_str("\r\n")?;
        if let Some(connection) = &self.connection {
            write!(f, "c={connection}\r\n")?;
        }
        for (kind, value) in &self.other {
            write!(f, "{kind}={value}\r\n")?;
        }
        self.attributes.iter().try_for_each(|a| a.fmt(f))
    }
}

impl fmt::Display for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = &self.origin;
        write!(
            f,
            "v=0\r\no={} {} {} {}\r\ns={}\r\n",
            origin.username,
            origin.session_id,
            origin.session_version,
            origin.address,
            if self.name.is_empty() {
                " "
            } else {
                &self.name
            },
        )?;
        if let Some(connection) = &self.connection {
            write!(f, "c={connection}\r\n")?;
        }
        write!(f, "t={}\r\n", self.time)?;
        for (kind, value) in &self.other {
            write!(f, "{kind}={value}\r\n")?;
        }
        self.attributes.iter().try_for_each(|a| a.fmt(f))?;
        self.media.iter().try_for_each(|m| m.fmt(f))
    }
}
