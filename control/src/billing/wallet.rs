//! A wallet, the credit in it and what open calls have set aside.

use uuid::Uuid;

use super::entry::Hash;

/// Whose a wallet is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Owner {
    /// The organisation's as a whole.
    Organisation(Uuid),
    /// One member's.
    User(Uuid),
}

impl Owner {
    /// Name of the kind in the database and the API.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Organisation(_) => "org",
            Self::User(_) => "user",
        }
    }

    /// Id of the organisation or user.
    #[must_use]
    pub const fn id(self) -> Uuid {
        match self {
            Self::Organisation(id) | Self::User(id) => id,
        }
    }
}

/// A wallet with its projections. Amounts in micros of its currency.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wallet {
    /// Identifies it.
    pub id: Uuid,
    /// The organisation it belongs to.
    pub org: Uuid,
    /// Whose it is.
    pub owner: Owner,
    /// ISO 4217 code.
    pub currency: String,
    /// What the postings to it come to.
    pub posted: i64,
    /// What open holds have set aside.
    pub pending: i64,
    /// The part of `posted` that no grant stands for.
    pub loose: i64,
    /// The part of `pending` that is set aside of it.
    pub loose_pinned: i64,
    /// How far it may be overdrawn.
    pub overdraft: i64,
    /// Most that calls may spend in a calendar month (UTC).
    pub cap: Option<i64>,
    /// Beginning of the month that `period_spent` is of.
    pub period_start: i64,
    /// What calls have spent in that month.
    pub period_spent: i64,
    /// Whether anything was ever credited to it.
    pub funded: bool,
    /// Time of the last change.
    pub last_at: i64,
    /// Place of the last entry of its chain.
    pub chain_seq: i64,
    /// Hash of that entry.
    pub chain_hash: Hash,
}

impl Wallet {
    /// An empty wallet.
    #[must_use]
    pub fn new(id: Uuid, org: Uuid, owner: Owner, currency: &str) -> Self {
        Self {
            id,
            org,
            owner,
            currency: currency.to_owned(),
            posted: 0,
            pending: 0,
            loose: 0,
            loose_pinned: 0,
            overdraft: 0,
            cap: None,
            period_start: 0,
            period_spent: 0,
            funded: false,
            last_at: 0,
            chain_seq: 0,
            chain_hash: [0; 32],
        }
    }

    /// What is left beside what is set aside. May include credit that has expired a moment ago and
    /// credit that is not in force yet; neither can be spent.
    #[must_use]
    pub const fn available(&self) -> i64 {
        self.posted.saturating_sub(self.pending)
    }

    /// What calls have spent in the month of `now`.
    #[must_use]
    pub fn spent_in_month_of(&self, now: i64) -> i64 {
        if super::money::month_start(now) > self.period_start {
            0
        } else {
            self.period_spent
        }
    }
}

/// How credit came about; promotional credit is used up before what was paid for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Category {
    /// Given away.
    Promo,
    /// Paid for, or transferred from what was.
    Paid,
}

impl Category {
    /// Name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Promo => "promo",
            Self::Paid => "paid",
        }
    }

    /// The category with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Promo, Self::Paid]
            .into_iter()
            .find(|category| category.name() == name)
    }
}

/// Credit with its time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Identifies it.
    pub id: Uuid,
    /// As granted.
    pub amount: i64,
    /// What is left of it, set aside or not.
    pub remaining: i64,
    /// What holds have set aside of it.
    pub pinned: i64,
    /// How it came about.
    pub category: Category,
    /// Lower ones are used up first.
    pub priority: i64,
    /// In force from then on.
    pub effective_at: i64,
    /// Not to be used from then on.
    pub expires_at: Option<i64>,
    /// When it was taken back.
    pub voided_at: Option<i64>,
    /// The wallet it was transferred from.
    pub source: Option<Uuid>,
    /// A remark.
    pub note: Option<String>,
    /// When it was granted.
    pub created_at: i64,
}

impl Grant {
    /// What is left and not set aside.
    #[must_use]
    pub const fn free(&self) -> i64 {
        self.remaining - self.pinned
    }

    /// Whether it may be used at `now`.
    #[must_use]
    pub fn is_in_force(&self, now: i64) -> bool {
        self.effective_at <= now
            && self.voided_at.is_none()
            && self.expires_at.is_none_or(|expiry| now < expiry)
    }

    /// The order in which credit is used up: priority, then what expires first, then what was given
    /// away, then the oldest.
    #[must_use]
    pub fn burn_order(&self) -> (i64, i64, Category, i64, Uuid) {
        let expiry = self.expires_at.unwrap_or(i64::MAX);
        (
            self.priority,
            expiry,
            self.category,
            self.created_at,
            self.id,
        )
    }
}

/// Where a hold stands; it is resolved once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HoldState {
    /// The money is set aside.
    Open,
    /// The call was paid from it; the rest is free again.
    Captured,
    /// Nothing was taken.
    Released,
    /// Its owner was not heard of; nothing was taken.
    Expired,
}

impl HoldState {
    /// Name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Captured => "captured",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }

    /// The state with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Open, Self::Captured, Self::Released, Self::Expired]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// Money set aside of one grant, or of what has none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slice {
    /// The grant.
    pub grant: Option<Uuid>,
    /// In micros, above zero.
    pub amount: i64,
}

/// Money set aside for a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hold {
    /// Identifies it.
    pub id: Uuid,
    /// The call.
    pub call: Uuid,
    /// All that was ever set aside.
    pub amount: i64,
    /// What was taken.
    pub captured: i64,
    /// Where it stands.
    pub state: HoldState,
    /// Its owner says before then that the call goes on.
    pub lease_until: i64,
    /// When it was placed.
    pub created_at: i64,
    /// When it was resolved.
    pub resolved_at: Option<i64>,
    /// Of which credit, in the order it is used up; empty once resolved.
    pub slices: Vec<Slice>,
}
