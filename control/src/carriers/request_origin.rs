//! Where a request came from and how it named us.

use std::net::SocketAddr;

use axum::http::HeaderMap;
use axum::http::uri::PathAndQuery;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::config::{Config, DirectStreams, ExotelSection};

/// Headers by which proxies tell of the client they speak for.
const FORWARDING_HEADERS: [&str; 5] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Our base URL as the client sees it: the configured one, or what the request says.
#[must_use]
pub fn base_url(config: &Config, headers: &HeaderMap) -> String {
    if let Some(url) = &config.server.public_url {
        return url.clone();
    }
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = header("x-forwarded-host")
        .or_else(|| header("host"))
        .unwrap_or("localhost");
    let scheme = match header("x-forwarded-proto") {
        Some("https") => "https",
        _ => "http",
    };
    format!("{scheme}://{host}")
}

/// [`base_url`] with the scheme of websockets.
#[must_use]
pub fn websocket_base_url(config: &Config, headers: &HeaderMap) -> String {
    let base = base_url(config, headers);
    match base.split_once("://") {
        Some(("https", rest)) => format!("wss://{rest}"),
        Some((_, rest)) => format!("ws://{rest}"),
        None => base,
    }
}

/// The full URL of a request, for its signature.
#[must_use]
pub fn full_url(base: &str, path: Option<&PathAndQuery>) -> String {
    format!("{base}{}", path.map_or("/", PathAndQuery::as_str))
}

/// Whether the client may open a stream without credentials.
///
/// Behind a proxy every client looks local: a forwarding header, or a configured public URL,
/// therefore takes the exemption of local clients away.
#[must_use]
pub fn is_direct_allowed(config: &Config, peer: SocketAddr, headers: &HeaderMap) -> bool {
    match config.carriers.direct_streams {
        DirectStreams::Any => true,
        DirectStreams::Off => false,
        DirectStreams::Loopback => {
            peer.ip().to_canonical().is_loopback()
                && config.server.public_url.is_none()
                && !FORWARDING_HEADERS
                    .iter()
                    .any(|name| headers.contains_key(*name))
        }
    }
}

/// What Basic credentials say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BasicCredentials {
    /// None were sent.
    Absent,
    /// They are right.
    Right,
    /// They are wrong, or none are configured.
    Wrong,
}

/// Checks `Authorization: Basic` against the configured key and token.
#[must_use]
pub fn basic_credentials(config: &ExotelSection, headers: &HeaderMap) -> BasicCredentials {
    let Some(header) = headers.get("authorization") else {
        return BasicCredentials::Absent;
    };
    let (Some(key), Some(token)) = (&config.key, &config.token) else {
        return BasicCredentials::Wrong;
    };
    let decoded = header
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
        .and_then(|(_, encoded)| BASE64.decode(encoded.trim()).ok());
    let Some(decoded) = decoded else {
        return BasicCredentials::Wrong;
    };
    let colon = decoded.iter().position(|byte| *byte == b':');
    let (user, password) = decoded.split_at(colon.unwrap_or(decoded.len()));
    // Both are compared, so that time does not tell which one was wrong.
    let fine = key.matches(user) & token.matches(password.get(1..).unwrap_or_default());
    if fine {
        BasicCredentials::Right
    } else {
        BasicCredentials::Wrong
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(text: &str) -> Config {
        Config::from_toml(text, &[], Path::new(".")).unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| ((*name).try_into().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_base_url_follows_configuration_then_proxy_then_host() {
        let fixed = config("[server]\npublic_url = \"https://v.example/x/\"");
        let host = headers(&[("host", "h:8080")]);
        assert_eq!(base_url(&fixed, &host), "https://v.example/x");
        assert_eq!(websocket_base_url(&fixed, &host), "wss://v.example/x");
        let open = config("");
        assert_eq!(base_url(&open, &host), "http://h:8080");
        let proxied = headers(&[
            ("host", "inner"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "outer"),
        ]);
        assert_eq!(websocket_base_url(&open, &proxied), "wss://outer");
    }

    #[test]
    fn local_clients_are_direct_unless_a_proxy_speaks_for_them() {
        let local: SocketAddr = "127.0.0.1:5".parse().unwrap();
        let mapped: SocketAddr = "[::ffff:127.0.0.1]:5".parse().unwrap();
        let far: SocketAddr = "192.0.2.1:5".parse().unwrap();
        let none = HeaderMap::new();
        let forwarded = headers(&[("x-forwarded-for", "1.2.3.4")]);
        let default = config("");
        assert!(is_direct_allowed(&default, local, &none));
        assert!(is_direct_allowed(&default, mapped, &none));
        assert!(!is_direct_allowed(&default, far, &none));
        assert!(!is_direct_allowed(&default, local, &forwarded));
        let public = config("[server]\npublic_url = \"https://v.example\"");
        assert!(!is_direct_allowed(&public, local, &none));
        let any = config("[carriers]\ndirect_streams = \"any\"");
        assert!(is_direct_allowed(&any, far, &forwarded));
        let off = config("[carriers]\ndirect_streams = \"off\"");
        assert!(!is_direct_allowed(&off, local, &none));
    }

    #[test]
    fn basic_credentials_are_checked_whole() {
        let config = config("[carriers.exotel]\nkey = \"k\"\ntoken = \"t:1\"");
        let check = |value: &str| {
            basic_credentials(
                &config.carriers.exotel,
                &headers(&[("authorization", value)]),
            )
        };
        let encoded = BASE64.encode("k:t:1");
        assert_eq!(check(&format!("Basic {encoded}")), BasicCredentials::Right);
        assert_eq!(check(&format!("basic {encoded}")), BasicCredentials::Right);
        for wrong in ["k:t", "k", ":", "x:t:1"] {
            let encoded = BASE64.encode(wrong);
            assert_eq!(check(&format!("Basic {encoded}")), BasicCredentials::Wrong);
        }
        assert_eq!(check("Bearer x"), BasicCredentials::Wrong);
        assert_eq!(check("Basic !"), BasicCredentials::Wrong);
        let absent = basic_credentials(&config.carriers.exotel, &HeaderMap::new());
        assert_eq!(absent, BasicCredentials::Absent);
    }
}
