//! Our side of a challenge.

use std::fmt;

use super::digest::{Algorithm, Ha1};
use super::fields::{DigestFields, quote};
use crate::message::{HeaderName, Headers, Request};

/// Challenges of one realm we try to meet before we take the refusal for an answer.
const ATTEMPTS_MAX: u8 = 2;

/// A user and a password for a peer that challenges us. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name within the realm.
    pub user: String,
    /// Password.
    pub password: String,
    /// Realm these are meant for; `None` answers any realm.
    pub realm: Option<String>,
}

impl Credentials {
    /// Credentials for any realm.
    #[must_use]
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            password: password.into(),
            realm: None,
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

/// Whether a server or a proxy asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// 401, answered in Authorization.
    Server,
    /// 407, answered in Proxy-Authorization.
    Proxy,
}

/// A challenge we answer, and how often we have.
#[derive(Clone, Debug)]
struct Challenge {
    kind: Kind,
    algorithm: Algorithm,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    /// Whether the peer knows `qop=auth`.
    protected: bool,
    ha1: Ha1,
    count: u32,
    attempts: u8,
}

/// What we know of a peer's challenges: kept for a call or a registration, so that later
/// requests carry the answer at once.
#[derive(Clone, Debug)]
pub struct ClientAuth {
    credentials: Credentials,
    challenges: Vec<Challenge>,
}

impl ClientAuth {
    /// Nothing asked yet.
    #[must_use]
    pub const fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            challenges: Vec::new(),
        }
    }

    /// Takes the challenges of a 401 or 407. `false` if there is nothing (more) to try.
    pub fn take_challenge(&mut self, headers: &Headers) -> bool {
        let mut usable = false;
        for (kind, name) in [
            (Kind::Server, HeaderName::WwwAuthenticate),
            (Kind::Proxy, HeaderName::ProxyAuthenticate),
        ] {
            let mut realms_taken: Vec<String> = Vec::new();
            for value in headers.all(&name) {
                let Some(fields) = DigestFields::parse(value) else {
                    continue;
                };
                let realm = fields.field("realm").unwrap_or_default();
                // RFC 8760 §2.4: of several for one realm the first that we understand.
                if realms_taken.iter().any(|taken| taken == realm) {
                    continue;
                }
                match self.take_one(kind, realm, &fields) {
                    Taken::NotUnderstood => {}
                    Taken::Exhausted => return false,
                    Taken::Usable => {
                        usable = true;
                        realms_taken.push(realm.to_owned());
                    }
                }
            }
        }
        usable
    }

    fn take_one(&mut self, kind: Kind, realm: &str, fields: &DigestFields) -> Taken {
        let algorithm = match fields.field("algorithm") {
            None => Algorithm::Md5,
            Some(name) => match Algorithm::from_name(name) {
                Some(algorithm) => algorithm,
                None => return Taken::NotUnderstood,
            },
        };
        let Some(nonce) = fields.field("nonce").filter(|nonce| !nonce.is_empty()) else {
            return Taken::NotUnderstood;
        };
        let protected = match fields.field("qop") {
            None => false,
            Some(list)
                if list
                    .split(',')
                    .any(|q| q.trim().eq_ignore_ascii_case("auth")) =>
            {
                true
            }
            Some(_) => return Taken::NotUnderstood,
        };
        let wanted = self.credentials.realm.as_deref();
        if wanted.is_some_and(|wanted| !wanted.eq_ignore_ascii_case(realm)) {
            return Taken::NotUnderstood;
        }
        let stale = fields
            .field("stale")
            .is_some_and(|stale| stale.eq_ignore_ascii_case("true"));
        let known = self
            .challenges
            .iter()
            .position(|known| known.kind == kind && known.realm == realm);
        let attempts = known.map_or(1, |at| {
            self.challenges.remove(at).attempts + u8::from(!stale)
        });
        // The first answer of a later request may meet an expired nonce without `stale`, so one
        // more try is fair; then the password is wrong.
        if attempts > ATTEMPTS_MAX {
            return Taken::Exhausted;
        }
        self.challenges.push(Challenge {
            kind,
            algorithm,
            realm: realm.to_owned(),
            nonce: nonce.to_owned(),
            opaque: fields.field("opaque").map(str::to_owned),
            protected,
            ha1: Ha1::new(
                algorithm,
                &self.credentials.user,
                realm,
                &self.credentials.password,
            ),
            count: 0,
            attempts,
        });
        Taken::Usable
    }

    /// Notes that a request was accepted: later challenges are new ones.
    pub fn accepted(&mut self) {
        for challenge in &mut self.challenges {
            challenge.attempts = 0;
        }
    }

    /// Puts our answers into a request, in place of earlier ones. `client_nonce` is fresh random
    /// text.
    pub fn authorize(&mut self, request: &mut Request, client_nonce: &str) {
        request.headers.remove(&HeaderName::Authorization);
        request.headers.remove(&HeaderName::ProxyAuthorization);
        let uri = request.uri.to_string();
        for challenge in &mut self.challenges {
            challenge.count += 1;
            let count = format!("{:08x}", challenge.count);
            let response = challenge.ha1.response(
                &challenge.nonce,
                challenge.protected.then_some((&*count, client_nonce)),
                request.method.as_str(),
                &uri,
            );
            let mut value = format!(
                "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\", \
                 algorithm={}",
                quote(&self.credentials.user),
                quote(&challenge.realm),
                quote(&challenge.nonce),
                quote(&uri),
                challenge.algorithm.name(),
            );
            if challenge.protected {
                value.push_str(&format!(
                    ", qop=auth, nc={count}, cnonce=\"{client_nonce}\""
                ));
            }
            if let Some(opaque) = &challenge.opaque {
                value.push_str(&format!(", opaque={}", quote(opaque)));
            }
            let name = match challenge.kind {
                Kind::Server => HeaderName::Authorization,
                Kind::Proxy => HeaderName::ProxyAuthorization,
            };
            request.headers.push(name, value);
        }
    }

    /// Whether a challenge is known, so that [`Self::authorize`] adds something.
    #[must_use]
    pub const fn is_challenged(&self) -> bool {
        !self.challenges.is_empty()
    }
}

enum Taken {
    /// Not for us: another algorithm, realm or protection.
    NotUnderstood,
    /// Answered often enough.
    Exhausted,
    /// Will be answered.
    Usable,
}
