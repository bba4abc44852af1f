//! Addresses of softphones that registered here (RFC 3261 §10.3).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::message::{Essentials, Header, HeaderName, NameAddr, Request, StatusCode, Uri};
use crate::transport::Hop;

/// Limits of the registrar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegistrarConfig {
    /// Time granted to phones that ask for none, in seconds.
    pub expires_s: u32,
    /// Least time granted; who asks for less gets 423.
    pub expires_min_s: u32,
    /// Most time granted.
    pub expires_max_s: u32,
    /// Addresses one user may have at a time.
    pub contacts_max: usize,
    /// Users with addresses at a time.
    pub users_max: usize,
}

impl Default for RegistrarConfig {
    fn default() -> Self {
        Self {
            expires_s: 300,
            expires_min_s: 60,
            expires_max_s: 3_600,
            contacts_max: 5,
            users_max: 10_000,
        }
    }
}

/// Where a user can be reached.
#[derive(Clone, PartialEq, Debug)]
pub struct Binding {
    /// Contact: the Request-URI of calls to it.
    pub contact: Uri,
    /// Where the REGISTER came from: the way back, also through NAT.
    pub hop: Hop,
    /// When it ends unless refreshed.
    pub until: Instant,
    call_id: String,
    cseq: u32,
}

/// The addresses by user.
#[derive(Debug)]
pub(crate) struct Registrar {
    config: RegistrarConfig,
    bindings: HashMap<String, Vec<Binding>>,
}

/// A status with header fields.
type Answer = (StatusCode, Vec<Header>);

impl Registrar {
    pub(crate) fn new(config: RegistrarConfig) -> Self {
        Self {
            config,
            bindings: HashMap::new(),
        }
    }

    /// Addresses of a user that have not ended, the latest first.
    pub(crate) fn lookup(&self, now: Instant, user: &str) -> Vec<Binding> {
        let mut found: Vec<Binding> = self
            .bindings
            .get(user)
            .into_iter()
            .flatten()
            .filter(|binding| binding.until > now)
            .cloned()
            .collect();
        found.sort_by_key(|binding| std::cmp::Reverse(binding.until));
        found
    }

    /// Users with an address.
    pub(crate) fn len(&self) -> usize {
        self.bindings.len()
    }

    /// A REGISTER of an authenticated user: the answer.
    pub(crate) fn register(
        &mut self,
        now: Instant,
        user: &str,
        source: Hop,
        request: &Request,
        essentials: &Essentials,
    ) -> Answer {
        self.forget_ended(now);
        let contacts: Vec<&str> = request.headers.list(&HeaderName::Contact).collect();
        let asked = number(request.headers.first(&HeaderName::Expires));
        let key = (essentials.call_id.as_str(), essentials.cseq.number);
        if contacts.contains(&"*") {
            // §10.2.2: alone, and with Expires 0.
            if contacts.len() > 1 || asked != Some(0) {
                return (StatusCode::BAD_REQUEST, Vec::new());
            }
            self.bindings.remove(user);
            return (StatusCode::OK, Vec::new());
        }
        let mut changes = Vec::new();
        for contact in contacts {
            let Ok(contact) = NameAddr::parse(contact) else {
                return (StatusCode::BAD_REQUEST, Vec::new());
            };
            let own = number(contact.params.value("expires"));
            let expires = own.or(asked).unwrap_or(self.config.expires_s);
            if expires > 0 && expires < self.config.expires_min_s {
                let minimum = self.config.expires_min_s.to_string();
                let minimum = Header::new(HeaderName::MinExpires, minimum);
                return (StatusCode::INTERVAL_TOO_BRIEF, vec![minimum]);
            }
            changes.push((contact.uri, expires.min(self.config.expires_max_s)));
        }
        match self.change(now, user, source, changes, key) {
            Ok(()) => (StatusCode::OK, self.contacts(now, user)),
            Err(status) => (status, Vec::new()),
        }
    }

    /// All changes or none (§10.3 step 7).
    fn change(
        &mut self,
        now: Instant,
        user: &str,
        source: Hop,
        changes: Vec<(Uri, u32)>,
        (call_id, cseq): (&str, u32),
    ) -> Result<(), StatusCode> {
        let is_new = !self.bindings.contains_key(user);
        if is_new && changes.is_empty() {
            return Ok(());
        }
        if is_new && self.bindings.len() >= self.config.users_max {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        let mut bindings = self.bindings.get(user).cloned().unwrap_or_default();
        for (contact, expires) in changes {
            let known = bindings.iter().position(|b| b.contact == contact);
            if let Some(old) = known.and_then(|at| bindings.get(at))
                && old.call_id == call_id
                && old.cseq >= cseq
            {
                // A copy that was overtaken must not undo the later one.
                return Err(StatusCode::SERVER_INTERNAL_ERROR);
            }
            if let Some(at) = known {
                bindings.remove(at);
            }
            if expires == 0 {
                continue;
            }
            if bindings.len() >= self.config.contacts_max {
                // The oldest makes room: phones that changed their address leave it behind.
                bindings.remove(0);
            }
            bindings.push(Binding {
                contact,
                hop: source,
                until: now + Duration::from_secs(expires.into()),
                call_id: call_id.to_owned(),
                cseq,
            });
        }
        if bindings.is_empty() {
            self.bindings.remove(user);
        } else {
            self.bindings.insert(user.to_owned(), bindings);
        }
        Ok(())
    }

    fn contacts(&self, now: Instant, user: &str) -> Vec<Header> {
        self.lookup(now, user)
            .into_iter()
            .map(|binding| {
                let left = binding.until.duration_since(now).as_secs();
                let value = format!("<{}>;expires={left}", binding.contact);
                Header::new(HeaderName::Contact, value)
            })
            .collect()
    }

    fn forget_ended(&mut self, now: Instant) {
        self.bindings.retain(|_, bindings| {
            bindings.retain(|binding| binding.until > now);
            !bindings.is_empty()
        });
    }
}

fn number(text: Option<&str>) -> Option<u32> {
    let text = text?.trim();
    // RFC 3261 §20.19: more than fits counts as the most there is.
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u32::MAX))
}
