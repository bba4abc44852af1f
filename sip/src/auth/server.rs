//! Our challenges to others: nonces that carry their own proof, and a replay check.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::digest::{Algorithm, Ha1};
use super::fields::{DigestFields, quote};
use crate::message::{Header, HeaderName, Request};

/// How we challenge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthenticatorConfig {
    /// Realm we ask for.
    pub realm: String,
    /// Algorithms offered, best first (RFC 8760 §2.3).
    pub algorithms: Vec<Algorithm>,
    /// How long a nonce is good.
    pub nonce_lifetime: Duration,
    /// Nonces in use that are remembered for the replay check; the oldest goes first.
    pub nonces_max: usize,
}

impl AuthenticatorConfig {
    /// All algorithms, nonces for five minutes.
    #[must_use]
    pub fn new(realm: impl Into<String>) -> Self {
        Self {
            realm: realm.into(),
            algorithms: Algorithm::ALL.to_vec(),
            nonce_lifetime: Duration::from_secs(300),
            nonces_max: 50_000,
        }
    }
}

/// What credentials are worth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// They are right: the user.
    Accepted(String),
    /// There are none for our realm.
    Missing,
    /// They were right once: the nonce is too old, or its count was used before.
    Stale,
    /// Unknown user or wrong password; peers cannot tell which.
    Refused,
}

/// Challenges and checks. A nonce names its time and is signed, so that issuing one keeps no
/// state; only nonces that were used rightly are remembered, for their count.
#[derive(Debug)]
pub struct Authenticator {
    config: AuthenticatorConfig,
    key: [u8; 32],
    origin: Instant,
    issued: u64,
    /// Highest count used, by nonce.
    used: HashMap<String, u32>,
    by_age: BTreeMap<u64, String>,
}

impl Authenticator {
    /// `key` signs nonces: random in production. `origin` is any time not after the first use.
    #[must_use]
    pub fn new(config: AuthenticatorConfig, key: [u8; 32], origin: Instant) -> Self {
        Self {
            config,
            key,
            origin,
            issued: 0,
            used: HashMap::new(),
            by_age: BTreeMap::new(),
        }
    }

    /// How we challenge.
    #[must_use]
    pub const fn config(&self) -> &AuthenticatorConfig {
        &self.config
    }

    /// Our realm.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.config.realm
    }

    /// The WWW-Authenticate fields of a 401, best algorithm first.
    pub fn challenge(&mut self, now: Instant, stale: bool) -> Vec<Header> {
        let algorithms = self.config.algorithms.clone();
        algorithms
            .into_iter()
            .map(|algorithm| {
                let nonce = self.nonce(now, algorithm);
                let stale = if stale { ", stale=true" } else { "" };
                let value = format!(
                    "Digest realm={}, nonce=\"{nonce}\", algorithm={}, qop=\"auth\"{stale}",
                    quote(&self.config.realm),
                    algorithm.name(),
                );
                Header::new(HeaderName::WwwAuthenticate, value)
            })
            .collect()
    }

    /// Checks the credentials of a request. `secret` gives the hash of a user under an
    /// algorithm, if it is known.
    pub fn verify(
        &mut self,
        now: Instant,
        request: &Request,
        secret: impl FnOnce(&str, Algorithm) -> Option<Ha1>,
    ) -> Verdict {
        let fields = request
            .headers
            .all(&HeaderName::Authorization)
            .filter_map(DigestFields::parse)
            .find(|fields| fields.field("realm") == Some(&*self.config.realm));
        let Some(fields) = fields else {
            return Verdict::Missing;
        };
        let field = |name| fields.field(name).unwrap_or_default();
        let algorithm = match fields.field("algorithm") {
            None => Algorithm::Md5,
            Some(name) => match Algorithm::from_name(name) {
                Some(algorithm) => algorithm,
                None => return Verdict::Refused,
            },
        };
        let (user, nonce, uri) = (field("username"), field("nonce"), field("uri"));
        let age = self.age(now, nonce, algorithm);
        // A user nobody knows costs as much time as a wrong password.
        let known = secret(user, algorithm).filter(|ha1| ha1.algorithm() == algorithm);
        let is_known = known.is_some();
        let ha1 = known.unwrap_or_else(|| Ha1::new(algorithm, user, &self.config.realm, ""));
        let (count_text, client_nonce) = (field("nc"), field("cnonce"));
        let protection = match fields.field("qop") {
            Some(qop) if qop.eq_ignore_ascii_case("auth") && !client_nonce.is_empty() => {
                Some((count_text, client_nonce))
            }
            // We always ask for it; a peer that leaves it out could replay at will.
            _ => return Verdict::Refused,
        };
        let expected = ha1.response(nonce, protection, request.method.as_str(), uri);
        let given = field("response").to_ascii_lowercase();
        let is_right = bool::from(expected.as_bytes().ct_eq(given.as_bytes()));
        // The `uri` of the credentials is not compared with the Request-URI: proxies rewrite the
        // one, and gateways write the other without user part. The nonce count keeps replays out.
        if !is_right || !is_known {
            return Verdict::Refused;
        }
        let Some(age) = age else {
            // Right, but the nonce is not ours: of an earlier run of ours, perhaps.
            return Verdict::Stale;
        };
        let Ok(count) = u32::from_str_radix(count_text, 16) else {
            return Verdict::Refused;
        };
        if age > self.config.nonce_lifetime || !self.use_count(nonce, count) {
            return Verdict::Stale;
        }
        Verdict::Accepted(user.to_owned())
    }

    /// `milliseconds-number-signature`, in hex.
    fn nonce(&mut self, now: Instant, algorithm: Algorithm) -> String {
        self.issued += 1;
        let at = u64::try_from(now.duration_since(self.origin).as_millis()).unwrap_or(u64::MAX);
        let head = format!("{at:x}-{:x}", self.issued);
        let signature = self.signature(&head, algorithm);
        format!("{head}-{signature}")
    }

    fn signature(&self, head: &str, algorithm: Algorithm) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(head.as_bytes());
        mac.update(algorithm.name().as_bytes());
        let code = mac.finalize().into_bytes();
        code.iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Age of a nonce of ours; `None` for others.
    fn age(&self, now: Instant, nonce: &str, algorithm: Algorithm) -> Option<Duration> {
        let (head, signature) = nonce.rsplit_once('-')?;
        let expected = self.signature(head, algorithm);
        if !bool::from(expected.as_bytes().ct_eq(signature.as_bytes())) {
            return None;
        }
        let at = u64::from_str_radix(head.split('-').next()?, 16).ok()?;
        Some(
            now.duration_since(self.origin)
                .saturating_sub(Duration::from_millis(at)),
        )
    }

    /// Whether the count is higher than any used with this nonce (RFC 7616 §3.4.3).
    fn use_count(&mut self, nonce: &str, count: u32) -> bool {
        if let Some(highest) = self.used.get_mut(nonce) {
            let is_new = count > *highest;
            *highest = count.max(*highest);
            return is_new;
        }
        if count == 0 {
            return false;
        }
        let number = nonce
            .split('-')
            .nth(1)
            .and_then(|number| u64::from_str_radix(number, 16).ok())
            .unwrap_or_default();
        self.used.insert(nonce.to_owned(), count);
        self.by_age.insert(number, nonce.to_owned());
        if self.used.len() > self.config.nonces_max
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.used.remove(&oldest);
        }
        true
    }
}
