//! A ledger in memory: what a database keeps, without one.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::super::book::Book;
use super::super::entry::{Account, Entry};
use super::super::verify::{ChargeRow, Report, Verifier};
use super::super::wallet::{Grant, Hold, HoldState, Wallet};

#[derive(Clone, Default)]
pub(super) struct Ledger {
    pub(super) wallets: BTreeMap<Uuid, Wallet>,
    pub(super) grants: BTreeMap<Uuid, (Uuid, Grant)>,
    pub(super) holds: BTreeMap<Uuid, (Uuid, Hold)>,
    pub(super) entries: Vec<Entry>,
    pub(super) accounts: BTreeMap<(Uuid, Account), i64>,
    pub(super) charges: Vec<ChargeRow>,
}

impl Ledger {
    pub(super) fn open(&self, wallet: Uuid) -> Book {
        let own = |(owner, grant): &(Uuid, Grant)| {
            (*owner == wallet && grant.remaining > 0).then(|| grant.clone())
        };
        let open = |(owner, hold): &(Uuid, Hold)| {
            (*owner == wallet && hold.state == HoldState::Open).then(|| hold.clone())
        };
        Book::new(
            self.wallets[&wallet].clone(),
            self.grants.values().filter_map(own).collect(),
            self.holds.values().filter_map(open).collect(),
        )
    }

    pub(super) fn keep(&mut self, book: Book) {
        let id = book.wallet.id;
        for grant in book.grants {
            if book.touched_grants.contains(&grant.id) {
                self.grants.insert(grant.id, (id, grant));
            }
        }
        for hold in book.holds {
            if book.touched_holds.contains(&hold.id) {
                self.holds.insert(hold.id, (id, hold));
            }
        }
        for entry in book.entries {
            for posting in entry
                .postings
                .iter()
                .filter(|p| p.account != Account::Available)
            {
                *self
                    .accounts
                    .entry((posting.wallet, posting.account))
                    .or_default() += posting.amount;
            }
            self.entries.push(entry);
        }
        self.wallets.insert(id, book.wallet);
    }

    pub(super) fn verify(&self, now: i64) -> Report {
        let mut verifier = Verifier::new(now);
        for wallet in self.wallets.values() {
            verifier.wallet(wallet.clone());
        }
        for (wallet, grant) in self.grants.values() {
            verifier.grant(*wallet, grant.clone());
        }
        for entry in &self.entries {
            verifier.entry(entry);
        }
        for (&(wallet, account), &posted) in &self.accounts {
            verifier.account(wallet, account, posted);
        }
        for (wallet, hold) in self.holds.values() {
            verifier.hold(*wallet, hold);
        }
        for charge in &self.charges {
            verifier.charge(charge.clone());
        }
        verifier.finish()
    }
}
