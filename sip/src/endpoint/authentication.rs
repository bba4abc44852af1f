//! Whom we challenge: phones that register here, and callers the application wants to prove
//! themselves.

use std::time::Instant;

use super::Endpoint;
use crate::auth::{Authenticator, AuthenticatorConfig, Users, Verdict};
use crate::event::{CommandError, SessionEnd};
use crate::message::{Essentials, Header, Request, StatusCode};
use crate::registrar::{Binding, Registrar, RegistrarConfig};
use crate::transport::Hop;

/// What the endpoint knows of users.
#[derive(Debug, Default)]
pub(super) struct Authentication {
    authenticator: Option<Authenticator>,
    users: Users,
    registrar: Option<Registrar>,
}

/// What the credentials of a caller say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Caller {
    /// None were given.
    Anonymous,
    /// They are right.
    User(String),
    /// They are wrong or too old: challenged (again).
    Refused {
        /// Whether only the nonce was too old.
        stale: bool,
    },
}

impl Endpoint {
    /// From here on credentials of our realm are checked against these users. Users may be
    /// changed at any time; nonces stay good as long as realm and algorithms do.
    pub fn configure_users(&mut self, now: Instant, config: AuthenticatorConfig, users: Users) {
        let authentication = &mut self.authentication;
        let is_same = authentication
            .authenticator
            .as_ref()
            .is_some_and(|authenticator| *authenticator.config() == config);
        if !is_same {
            let key = rand::RngExt::random(&mut self.random);
            authentication.authenticator = Some(Authenticator::new(config, key, now));
        }
        authentication.users = users;
    }

    /// Takes REGISTER from users that may, from here on.
    pub fn enable_registrar(&mut self, config: RegistrarConfig) {
        self.authentication.registrar = Some(Registrar::new(config));
    }

    /// Where a registered user can be reached, the latest address first.
    #[must_use]
    pub fn bindings(&self, now: Instant, user: &str) -> Vec<Binding> {
        self.authentication
            .registrar
            .as_ref()
            .map_or_else(Vec::new, |registrar| registrar.lookup(now, user))
    }

    pub(super) fn registered_users(&self) -> usize {
        self.authentication
            .registrar
            .as_ref()
            .map_or(0, Registrar::len)
    }

    /// Checks the credentials of a request from outside dialogs.
    pub(super) fn check_caller(&mut self, now: Instant, source: Hop, request: &Request) -> Caller {
        let Authentication {
            authenticator,
            users,
            ..
        } = &mut self.authentication;
        let Some(authenticator) = authenticator else {
            return Caller::Anonymous;
        };
        let realm = authenticator.realm().to_owned();
        let verdict = authenticator.verify(now, request, |user, algorithm| {
            users.ha1(user, algorithm, &realm)
        });
        match verdict {
            Verdict::Missing => Caller::Anonymous,
            Verdict::Accepted(user) => Caller::User(user),
            Verdict::Stale => Caller::Refused { stale: true },
            Verdict::Refused => {
                self.counters.auth_failures += 1;
                self.guard.note_auth_failure(now, source.address.ip());
                Caller::Refused { stale: false }
            }
        }
    }

    /// 401 with our challenges.
    pub(super) fn challenge(&mut self, now: Instant, transaction: u64, stale: bool) {
        let challenges = self.challenges(now, stale);
        self.reply(now, transaction, StatusCode::UNAUTHORIZED, challenges);
    }

    fn challenges(&mut self, now: Instant, stale: bool) -> Vec<Header> {
        self.authentication
            .authenticator
            .as_mut()
            .map_or_else(Vec::new, |authenticator| {
                authenticator.challenge(now, stale)
            })
    }

    /// Asks the caller of a session to prove who it is. The session ends; the caller comes back
    /// with a new INVITE.
    pub(super) fn challenge_caller(&mut self, now: Instant, id: u64) -> Result<(), CommandError> {
        let (transaction, _) = self.incoming(id)?;
        if self.authentication.authenticator.is_none() {
            return Err(CommandError::WrongState);
        }
        self.challenge(now, transaction, false);
        self.end_session(id, SessionEnd::LocalReject);
        Ok(())
    }

    pub(super) fn on_register(
        &mut self,
        now: Instant,
        transaction: u64,
        source: Hop,
        request: &Request,
        essentials: &Essentials,
    ) {
        if self.authentication.registrar.is_none() {
            let allow = Header::new(crate::message::HeaderName::Allow, super::send::ALLOW);
            return self.reply(now, transaction, StatusCode::METHOD_NOT_ALLOWED, [allow]);
        }
        let user = match self.check_caller(now, source, request) {
            Caller::User(user) => user,
            Caller::Anonymous => return self.challenge(now, transaction, false),
            Caller::Refused { stale } => return self.challenge(now, transaction, stale),
        };
        // §10.3 step 4: nobody registers an address for somebody else.
        let may = self
            .authentication
            .users
            .find(&user)
            .is_some_and(|user| user.may_register);
        let is_own = essentials.to.uri.user().as_deref() == Some(&*user);
        if !may || !is_own {
            return self.reply(now, transaction, StatusCode::FORBIDDEN, []);
        }
        let Some(registrar) = &mut self.authentication.registrar else {
            return;
        };
        let (status, headers) = registrar.register(now, &user, source, request, essentials);
        self.reply(now, transaction, status, headers);
    }
}
