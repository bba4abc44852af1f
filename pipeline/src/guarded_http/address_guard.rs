//! Keeps requests to user-supplied URLs away from the operator's own networks.
//!
//! Names are checked in the resolver the connection itself uses, so a name cannot point elsewhere
//! between check and use; hosts written as addresses skip the resolver and are checked in the URL.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::{Deserialize, Deserializer};
use url::{Host, Url};

/// A block of addresses, written `10.0.0.0/8` or `fd00::/8`; a single address is a block of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subnet {
    address: IpAddr,
    prefix: u8,
}

impl Subnet {
    /// Whether the address lies in the block.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.prefix);
                let mask = u32::MAX.checked_shl(shift).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.prefix);
                let mask = u128::MAX.checked_shl(shift).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("`{text}` is not an address block such as 10.0.0.0/8");
        let (address, prefix) = text
            .split_once('/')
            .map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| fault())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), |digits| digits.parse().map_err(|_| fault()))?;
        if prefix > longest {
            return Err(fault());
        }
        Ok(Self { address, prefix })
    }
}

impl<'de> Deserialize<'de> for Subnet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Why a URL is not requested.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefusedUrl {
    /// Not https, and plain http is not allowed.
    #[error("scheme `{0}` is not allowed")]
    Scheme(String),
    /// A user name or password in the URL.
    #[error("credentials in the URL are not allowed")]
    Credentials,
    /// No host.
    #[error("the URL has no host")]
    NoHost,
    /// Not one of the allowed ports.
    #[error("port {0} is not allowed")]
    Port(u16),
    /// An address of a private, local or reserved network.
    #[error("address {0} is not allowed")]
    Address(IpAddr),
}

/// Decides which URLs and addresses may be requested.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AddressGuard {
    /// Whether plain http is allowed. Addresses of `allowed_networks` may always be asked in http.
    pub allow_http: bool,
    /// Ports allowed. Empty: any. Addresses of `allowed_networks` may be asked on any port.
    pub allowed_ports: Vec<u16>,
    /// Blocks that are allowed though private, local or reserved.
    pub allowed_networks: Vec<Subnet>,
}

impl Default for AddressGuard {
    fn default() -> Self {
        Self {
            allow_http: false,
            allowed_ports: vec![443, 8443],
            allowed_networks: Vec::new(),
        }
    }
}

impl AddressGuard {
    /// Whether a connection to this address may be made.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.is_allow_listed(address) || !is_reserved(address)
    }

    /// Checks everything about a URL but what its name resolves to.
    ///
    /// # Errors
    /// [`RefusedUrl`].
    pub fn check(&self, url: &Url) -> Result<(), RefusedUrl> {
        let literal = match url.host() {
            None | Some(Host::Domain("")) => return Err(RefusedUrl::NoHost),
            Some(Host::Domain(_)) => None,
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        };
        let listed = literal.is_some_and(|address| self.is_allow_listed(address.to_canonical()));
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http || listed => {}
            other => return Err(RefusedUrl::Scheme(other.to_owned())),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(RefusedUrl::Credentials);
        }
        let port = url.port_or_known_default().ok_or(RefusedUrl::NoHost)?;
        let any_port = listed || self.allowed_ports.is_empty();
        let plain_default = self.allow_http && port == 80;
        if !any_port && !plain_default && !self.allowed_ports.contains(&port) {
            return Err(RefusedUrl::Port(port));
        }
        match literal {
            Some(address) if !self.permits(address) => Err(RefusedUrl::Address(address)),
            Some(_) | None => Ok(()),
        }
    }

    /// A resolver for `reqwest` that gives out permitted addresses only; if any address of a name
    /// is refused, the name is refused.
    #[must_use]
    pub fn resolver(&self) -> Arc<dyn Resolve> {
        self.resolver_over(Arc::new(SystemLookup))
    }

    /// The same over another source of addresses.
    #[must_use]
    pub fn resolver_over(&self, lookup: Arc<dyn Lookup>) -> Arc<dyn Resolve> {
        Arc::new(GuardedResolver {
            guard: self.clone(),
            lookup,
        })
    }

    fn is_allow_listed(&self, address: IpAddr) -> bool {
        self.allowed_networks
            .iter()
            .any(|network| network.contains(address))
    }

    fn check_answers(&self, answers: &[SocketAddr]) -> Result<(), RefusedUrl> {
        match answers.iter().find(|answer| !self.permits(answer.ip())) {
            Some(refused) => Err(RefusedUrl::Address(refused.ip())),
            None => Ok(()),
        }
    }
}

/// Where addresses of names come from.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// All addresses of `name`; their ports do not matter.
    ///
    /// # Errors
    /// When the name has none.
    async fn addresses(&self, name: &str) -> std::io::Result<Vec<SocketAddr>>;
}

struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn addresses(&self, name: &str) -> std::io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.collect())
    }
}

struct GuardedResolver {
    guard: AddressGuard,
    lookup: Arc<dyn Lookup>,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, lookup) = (self.guard.clone(), Arc::clone(&self.lookup));
        Box::pin(async move {
            let answers = lookup.addresses(name.as_str()).await?;
            guard.check_answers(&answers)?;
            Ok(Box::new(answers.into_iter()) as Addrs)
        })
    }
}

/// Private, local, documentation, translation and other special-purpose blocks (IANA registries of
/// RFC 6890).
fn is_reserved(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_reserved_v4(address),
        IpAddr::V6(address) => is_reserved_v6(address),
    }
}

fn is_reserved_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    match a {
        0 | 10 | 127 => true,
        100 => b & 0xc0 == 64,
        169 => b == 254,
        172 => b & 0xf0 == 16,
        192 => matches!((b, c), (0, 0 | 2) | (88, 99) | (168, _)),
        198 => b & 0xfe == 18 || (b, c) == (51, 100),
        203 => (b, c) == (0, 113),
        _ => a >= 224,
    }
}

fn is_reserved_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, _, _] = address.segments();
    a == 0 // ::, ::1, v4-compatible, and 0000::/16 as a whole
        || (a == 0x64 && b == 0xff9b && (c == 1 || (c, d, e, f) == (0, 0, 0, 0)))
        || (a == 0x100 && b == 0 && c == 0 && d == 0)
        || (a == 0x2001 && (b < 0x200 || b == 0xdb8))
        || a == 0x2002
        || a & 0xfe00 == 0xfc00
        || a & 0xffc0 == 0xfe80
        || a & 0xffc0 == 0xfec0
        || a & 0xff00 == 0xff00
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str) -> Result<(), RefusedUrl> {
        let guard = AddressGuard {
            allow_http: true,
            allowed_ports: Vec::new(),
            ..AddressGuard::default()
        };
        guard.check(&Url::parse(url).unwrap())
    }

    #[test]
    fn every_spelling_of_a_local_address_is_refused() {
        for host in [
            "127.0.0.1",
            "2130706433",
            "0177.0.0.1",
            "0x7f.1",
            "127.1",
            "[::ffff:127.0.0.1]",
            "[::1]",
            "[::]",
            "0",
            "10.1.2.3",
            "100.64.0.1",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.0.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "[fd00::1]",
            "[fe80::1]",
            "[64:ff9b::a00:1]",
            "[2002:7f00:1::]",
            "[2001:db8::1]",
        ] {
            let verdict = check(&format!("http://{host}/"));
            assert!(
                matches!(verdict, Err(RefusedUrl::Address(_))),
                "{host}: {verdict:?}"
            );
        }
    }

    #[test]
    fn public_addresses_and_names_pass() {
        for url in [
            "https://8.8.8.8/",
            "https://[2606:4700::1111]/",
            "https://example.com/x?y=1",
            "http://172.32.0.1/",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn the_default_takes_https_on_its_ports_only() {
        let guard = AddressGuard::default();
        let refused = |url: &str| guard.check(&Url::parse(url).unwrap()).unwrap_err();
        assert_eq!(
            refused("http://example.com/"),
            RefusedUrl::Scheme("http".into())
        );
        assert_eq!(refused("https://example.com:22/"), RefusedUrl::Port(22));
        assert_eq!(refused("https://u:p@example.com/"), RefusedUrl::Credentials);
        assert_eq!(refused("file:///etc/passwd"), RefusedUrl::NoHost);
    }

    #[test]
    fn one_private_answer_among_public_ones_refuses_the_name() {
        let guard = AddressGuard::default();
        let answers = ["93.184.216.34:0", "10.0.0.1:0"].map(|text| text.parse().unwrap());
        assert!(guard.check_answers(&answers).is_err());
        assert!(guard.check_answers(&answers[..1]).is_ok());
    }

    #[tokio::test]
    async fn a_name_for_this_machine_does_not_resolve() {
        let resolver = AddressGuard::default().resolver();
        for name in ["localhost", "localhost."] {
            let outcome = resolver.resolve(name.parse().unwrap()).await;
            assert!(outcome.is_err(), "{name}");
        }
    }

    #[test]
    fn an_allow_listed_block_passes() {
        let guard = AddressGuard {
            allowed_networks: vec!["10.20.0.0/16".parse().unwrap()],
            ..AddressGuard::default()
        };
        assert!(guard.permits("10.20.3.4".parse().unwrap()));
        assert!(!guard.permits("10.21.3.4".parse().unwrap()));
        assert!("10.0.0.0/33".parse::<Subnet>().is_err());
        assert!("x/8".parse::<Subnet>().is_err());
    }
}
