//! Who may authenticate towards us.

use std::collections::HashMap;
use std::fmt;

use super::digest::{Algorithm, Ha1};

/// What is known of a user's password. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum UserSecret {
    /// The password: good for every algorithm.
    Password(String),
    /// Hashes: good for their algorithms only.
    Hashes(Vec<Ha1>),
}

impl UserSecret {
    fn ha1(&self, algorithm: Algorithm, user: &str, realm: &str) -> Option<Ha1> {
        match self {
            Self::Password(password) => Some(Ha1::new(algorithm, user, realm, password)),
            Self::Hashes(hashes) => hashes
                .iter()
                .find(|hash| hash.algorithm() == algorithm)
                .cloned(),
        }
    }
}

impl fmt::Debug for UserSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserSecret(***)")
    }
}

/// One user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// Secret.
    pub secret: UserSecret,
    /// Whether the user may register an address here.
    pub may_register: bool,
}

/// Users by name.
#[derive(Clone, Debug, Default)]
pub struct Users(HashMap<String, User>);

impl Users {
    /// Nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a user, or replaces the one of that name.
    pub fn insert(&mut self, name: impl Into<String>, user: User) {
        self.0.insert(name.into(), user);
    }

    /// The user of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&User> {
        self.0.get(name)
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn ha1(&self, name: &str, algorithm: Algorithm, realm: &str) -> Option<Ha1> {
        self.find(name)?.secret.ha1(algorithm, name, realm)
    }
}
