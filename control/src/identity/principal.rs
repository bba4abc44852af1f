//! Who calls: resolved once per request; rules look at this, never at headers.

use std::str::FromStr;

use uuid::Uuid;

use crate::store::Tenant;

/// The organisation that agents and numbers of the configuration file belong to.
pub const INSTALLATION: Uuid = Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0001);

/// What a member may do in an organisation; each includes those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// Reads, maps numbers, runs batches.
    Member,
    /// Also writes agents and numbers.
    Developer,
    /// Also members, invitations and others' keys.
    Admin,
}

impl Role {
    /// Name in the database and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Developer => "developer",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "member" => Ok(Self::Member),
            "developer" => Ok(Self::Developer),
            "admin" => Ok(Self::Admin),
            _ => Err(()),
        }
    }
}

/// The published surfaces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Product {
    /// Voice-agent platform.
    Kupe,
    /// Call-routing endpoints.
    Kros,
    /// Workspace voice AI and dialler.
    Vaani,
}

impl Product {
    /// Name in the database and the route list.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kupe => "kupe",
            Self::Kros => "kros",
            Self::Vaani => "vaani",
        }
    }

    /// What its keys begin with.
    #[must_use]
    pub const fn key_brand(self) -> &'static str {
        match self {
            Self::Kupe => "kp",
            Self::Kros => "kros",
            Self::Vaani => "vk",
        }
    }
}

impl FromStr for Product {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "kupe" => Ok(Self::Kupe),
            "kros" => Ok(Self::Kros),
            "vaani" => Ok(Self::Vaani),
            _ => Err(()),
        }
    }
}

/// Which data a key sees.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mode {
    /// Real traffic.
    Live,
    /// Set apart for trying.
    Test,
}

impl Mode {
    /// Name in the database and in keys.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

/// What a request proved itself with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Credential {
    /// A session token in the `Authorization` header.
    Bearer,
    /// A session token in a cookie.
    Cookie,
    /// An API key with this id.
    Key(Uuid),
}

impl Credential {
    /// Name in the audit log.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Bearer => "bearer".to_owned(),
            Self::Cookie => "cookie".to_owned(),
            Self::Key(id) => format!("key:{id}"),
        }
    }
}

/// Who calls.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The user, or the owner of the key.
    pub user: Uuid,
    /// Whose rows are meant.
    pub tenant: Tenant,
    /// What the user may do there.
    pub role: Role,
    /// Passes every test of roles, in every organisation.
    pub superuser: bool,
    /// How it was proved.
    pub credential: Credential,
    /// Which data is seen.
    pub mode: Mode,
}

impl Principal {
    /// Whether the user has `role` here, or more.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.superuser || self.role >= role
    }

    /// Whether a key was used.
    #[must_use]
    pub const fn is_key(&self) -> bool {
        matches!(self.credential, Credential::Key(_))
    }
}
