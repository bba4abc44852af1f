//! An entry of the ledger: postings that come to zero, chained to the entry before it.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Where a posting goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Account {
    /// What the wallet's owner may spend.
    Available,
    /// What we have earned from the wallet.
    Revenue,
    /// Credit made by an administrator; negative.
    Minted,
    /// Credit that expired unused.
    Breakage,
    /// What the reseller has put on top of the price.
    EarningsMarkup,
    /// The reseller's share of the price.
    EarningsCommission,
    /// Corrections and what was written off.
    Adjustments,
}

impl Account {
    /// All.
    pub const ALL: [Self; 7] = [
        Self::Available,
        Self::Revenue,
        Self::Minted,
        Self::Breakage,
        Self::EarningsMarkup,
        Self::EarningsCommission,
        Self::Adjustments,
    ];

    /// Name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Revenue => "revenue",
            Self::Minted => "minted",
            Self::Breakage => "breakage",
            Self::EarningsMarkup => "earnings_markup",
            Self::EarningsCommission => "earnings_commission",
            Self::Adjustments => "adjustments",
        }
    }

    /// The account with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|account| account.name() == name)
    }
}

/// What an entry tells of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EntryKind {
    /// Credit was made.
    Grant,
    /// Credit was taken back unused.
    Void,
    /// Credit went from one wallet to another.
    Transfer,
    /// An administrator's correction.
    Adjust,
    /// A call was paid.
    Settle,
    /// Credit expired.
    Expire,
}

impl EntryKind {
    /// All.
    pub const ALL: [Self; 6] = [
        Self::Grant,
        Self::Void,
        Self::Transfer,
        Self::Adjust,
        Self::Settle,
        Self::Expire,
    ];

    /// Name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Void => "void",
            Self::Transfer => "transfer",
            Self::Adjust => "adjust",
            Self::Settle => "settle",
            Self::Expire => "expire",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One movement; positive adds to the account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Posting {
    /// Whose account.
    pub wallet: Uuid,
    /// Which.
    pub account: Account,
    /// The grant added to or used up, where there is one.
    pub grant: Option<Uuid>,
    /// Whether a hold had set the money aside.
    pub held: bool,
    /// In micros, not zero.
    pub amount: i64,
}

/// Hash of an entry; of the empty chain all zeros.
pub type Hash = [u8; 32];

/// A transaction of the ledger. Its postings come to zero.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Identifies it.
    pub id: Uuid,
    /// In whose chain.
    pub wallet: Uuid,
    /// Place in the chain, from 1.
    pub seq: i64,
    /// What it tells of.
    pub kind: EntryKind,
    /// What makes it happen once.
    pub idem_key: String,
    /// The call or grant meant.
    pub reference: Option<String>,
    /// Who did it: a user's id or `engine`.
    pub actor: String,
    /// Why, where a person said so.
    pub reason: Option<String>,
    /// Microseconds since 1970 UTC.
    pub at: i64,
    /// Hash of the entry before it.
    pub prev_hash: Hash,
    /// Hash of this entry, which covers everything above and the postings.
    pub hash: Hash,
    /// The movements.
    pub postings: Vec<Posting>,
}

impl Entry {
    /// The hash this entry must have: SHA-256 over the previous hash and every field, each with its
    /// length before it, so that no two different entries are written alike.
    #[must_use]
    pub fn computed_hash(&self) -> Hash {
        let mut hash = Sha256::new();
        let mut field = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        let optional = |text: &Option<String>| match text {
            Some(text) => format!("+{text}"),
            None => "-".to_owned(),
        };
        field(&self.prev_hash);
        field(self.id.as_bytes());
        field(self.wallet.as_bytes());
        field(&self.seq.to_be_bytes());
        field(self.kind.name().as_bytes());
        field(self.idem_key.as_bytes());
        field(optional(&self.reference).as_bytes());
        field(self.actor.as_bytes());
        field(optional(&self.reason).as_bytes());
        field(&self.at.to_be_bytes());
        for posting in &self.postings {
            field(posting.wallet.as_bytes());
            field(posting.account.name().as_bytes());
            field(posting.grant.as_ref().map_or(&[], |grant| grant.as_bytes()));
            field(&[u8::from(posting.held)]);
            field(&posting.amount.to_be_bytes());
        }
        hash.finalize().into()
    }

    /// What the postings come to; zero in an entry that is whole.
    #[must_use]
    pub fn sum(&self) -> i128 {
        self.postings.iter().map(|p| i128::from(p.amount)).sum()
    }
}

/// One hash over the ends of many chains.
#[derive(Debug, Default)]
pub(super) struct AnchorHash(Sha256);

impl AnchorHash {
    /// Adds the end of a chain.
    pub(super) fn add(&mut self, wallet: Uuid, seq: i64, hash: &Hash) {
        self.0.update(wallet.as_bytes());
        self.0.update(seq.to_be_bytes());
        self.0.update(hash);
    }

    /// In hexadecimal.
    pub(super) fn finish(self) -> String {
        format!("{:x}", self.0.finalize())
    }
}
