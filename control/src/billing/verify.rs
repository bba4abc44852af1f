//! The twelve invariants, checked over a whole ledger. It is told every row and says what is wrong;
//! it does not repair anything and does not use the code that made the rows, except the hash.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use uuid::Uuid;

use super::entry::{Account, Entry, EntryKind, Hash};
use super::wallet::{Grant, Hold, HoldState, Wallet};

/// Open holds may be so much older than their lease before they count as forgotten.
pub const GRACE_US: i64 = 15 * 60 * 1_000_000;

/// An invariant, numbered as in docs/billing.md.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Invariant(pub u8);

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "I{}", self.0)
    }
}

/// A broken invariant and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Which.
    pub invariant: Invariant,
    /// Where and how.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// The bill of a call as it is kept beside the ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChargeRow {
    /// The call.
    pub call: Uuid,
    /// Who paid.
    pub wallet: Option<Uuid>,
    /// What was due.
    pub retail: i64,
    /// The reseller's part on top.
    pub markup: i64,
    /// The reseller's share.
    pub commission: i64,
    /// What was paid.
    pub captured: i64,
    /// What was not.
    pub written_off: i64,
    /// The entry that paid it.
    pub entry: Option<Uuid>,
}

/// What of an entry that paid a call is compared with the call's bill.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Settled {
    captured: i64,
    markup: i64,
    commission: i64,
    adjusted: i64,
}

#[derive(Debug, Default)]
struct Seen {
    seq: i64,
    hash: Hash,
    spent_in_period: i64,
}

/// Checks a ledger. Tell it wallets and grants first, then the entries of each wallet in order,
/// then the rest, then ask [`Verifier::finish`].
#[derive(Debug, Default)]
pub struct Verifier {
    wallets: BTreeMap<Uuid, Wallet>,
    grants: HashMap<Uuid, (Uuid, Grant)>,
    seen: HashMap<Uuid, Seen>,
    /// Sums of postings by wallet and account, by grant, and of what has none.
    accounts: BTreeMap<(Uuid, Account), i128>,
    granted: HashMap<Uuid, i128>,
    loose: HashMap<Uuid, i128>,
    settled: HashMap<Uuid, Settled>,
    pinned_by_grant: HashMap<Uuid, i128>,
    pinned_loose: HashMap<Uuid, i128>,
    open: HashMap<Uuid, i128>,
    resolved: Vec<(Uuid, Uuid, i64)>,
    charges: HashMap<Uuid, ChargeRow>,
    entries: u64,
    postings: u64,
    now: i64,
    findings: Vec<Finding>,
}

/// What came of checking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Wallets, entries and postings seen.
    pub counts: (usize, u64, u64),
    /// The ends of all chains in one hash: noted elsewhere, it shows later that nothing before it
    /// was cut off or rewritten.
    pub anchor: String,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Verifier {
    /// A verifier that takes this for the present time.
    #[must_use]
    pub fn new(now: i64) -> Self {
        Self {
            now,
            ..Self::default()
        }
    }

    /// Takes a wallet.
    pub fn wallet(&mut self, wallet: Wallet) {
        self.wallets.insert(wallet.id, wallet);
    }

    /// Takes a grant of a wallet.
    pub fn grant(&mut self, wallet: Uuid, grant: Grant) {
        self.grants.insert(grant.id, (wallet, grant));
    }

    /// Takes the next entry of a wallet's chain.
    pub fn entry(&mut self, entry: &Entry) {
        self.entries += 1;
        self.check_sum(entry);
        self.check_chain(entry);
        let mut settled = Settled::default();
        for posting in &entry.postings {
            self.postings += 1;
            let amount = i128::from(posting.amount);
            *self
                .accounts
                .entry((posting.wallet, posting.account))
                .or_default() += amount;
            match posting.account {
                Account::Available => {
                    match posting.grant {
                        Some(grant) => *self.granted.entry(grant).or_default() += amount,
                        None => *self.loose.entry(posting.wallet).or_default() += amount,
                    }
                    self.check_use(entry, posting.grant, posting.held, posting.amount);
                    if entry.kind == EntryKind::Settle {
                        settled.captured -= posting.amount;
                    }
                }
                Account::EarningsMarkup => settled.markup += posting.amount,
                Account::EarningsCommission => settled.commission += posting.amount,
                Account::Adjustments => settled.adjusted += posting.amount,
                Account::Revenue | Account::Minted | Account::Breakage => {}
            }
        }
        if entry.kind == EntryKind::Settle {
            self.settled.insert(entry.id, settled);
            let period = self.wallets.get(&entry.wallet).map(|w| w.period_start);
            if period.is_some_and(|start| entry.at >= start) {
                self.seen.entry(entry.wallet).or_default().spent_in_period += settled.captured;
            }
        }
    }

    /// Takes the kept sum of an account.
    pub fn account(&mut self, wallet: Uuid, account: Account, posted: i64) {
        let sum = self.accounts.remove(&(wallet, account)).unwrap_or_default();
        if sum != i128::from(posted) {
            self.find(
                2,
                format!(
                    "{} of wallet {wallet} says {posted}, its postings come to {sum}",
                    account.name()
                ),
            );
        }
    }

    /// Takes a hold.
    pub fn hold(&mut self, wallet: Uuid, hold: &Hold) {
        let sliced: i128 = hold.slices.iter().map(|s| i128::from(s.amount)).sum();
        if hold.state == HoldState::Open {
            *self.open.entry(wallet).or_default() += i128::from(hold.amount);
            if sliced != i128::from(hold.amount) {
                let (id, amount) = (hold.id, hold.amount);
                self.find(4, format!("hold {id} of {amount} has slices of {sliced}"));
            }
            for slice in &hold.slices {
                let amount = i128::from(slice.amount);
                match slice.grant {
                    Some(grant) => *self.pinned_by_grant.entry(grant).or_default() += amount,
                    None => *self.pinned_loose.entry(wallet).or_default() += amount,
                }
            }
            if self.now > hold.lease_until.saturating_add(GRACE_US) {
                self.find(12, format!("hold {} is open, its lease is over", hold.id));
            }
        } else if hold.captured > 0 {
            self.resolved.push((hold.call, hold.id, hold.captured));
        }
        if hold.captured > hold.amount {
            self.find(7, format!("hold {} took more than was set aside", hold.id));
        }
    }

    /// Takes the bill of a call.
    pub fn charge(&mut self, charge: ChargeRow) {
        self.charges.insert(charge.call, charge);
    }

    /// Compares what was counted with what is kept.
    #[must_use]
    pub fn finish(mut self) -> Report {
        for (&(wallet, account), &sum) in &self.accounts.clone() {
            if account != Account::Available && sum != 0 {
                self.find(
                    2,
                    format!("{} of wallet {wallet} is not kept", account.name()),
                );
            }
        }
        for wallet in self.wallets.clone().into_values() {
            self.check_wallet(&wallet);
        }
        for (wallet, grant) in self.grants.clone().into_values() {
            self.check_grant(wallet, &grant);
        }
        self.check_charges();
        let mut anchor = super::entry::AnchorHash::default();
        for wallet in self.wallets.values() {
            anchor.add(wallet.id, wallet.chain_seq, &wallet.chain_hash);
        }
        self.findings
            .sort_by(|a, b| (a.invariant, &a.what).cmp(&(b.invariant, &b.what)));
        Report {
            counts: (self.wallets.len(), self.entries, self.postings),
            anchor: anchor.finish(),
            findings: self.findings,
        }
    }

    fn check_sum(&mut self, entry: &Entry) {
        let id = entry.id;
        if entry.sum() != 0 {
            self.find(1, format!("entry {id} comes to {}", entry.sum()));
        }
        let currency = |wallet: &Uuid| self.wallets.get(wallet).map(|w| w.currency.as_str());
        let own = currency(&entry.wallet);
        if own.is_none() || entry.postings.iter().any(|p| currency(&p.wallet) != own) {
            self.find(1, format!("entry {id} mixes currencies or names no wallet"));
        }
    }

    fn check_chain(&mut self, entry: &Entry) {
        let seen = self.seen.entry(entry.wallet).or_default();
        let fits = entry.seq == seen.seq + 1
            && entry.prev_hash == seen.hash
            && entry.computed_hash() == entry.hash;
        (seen.seq, seen.hash) = (entry.seq, entry.hash);
        if !fits {
            let (id, seq, wallet) = (entry.id, entry.seq, entry.wallet);
            self.find(
                9,
                format!("entry {id} (number {seq} of wallet {wallet}) does not continue the chain"),
            );
        }
    }

    fn check_use(&mut self, entry: &Entry, grant: Option<Uuid>, held: bool, amount: i64) {
        let Some(id) = grant else { return };
        let Some((_, grant)) = self.grants.get(&id) else {
            return self.find(8, format!("entry {} names an unknown grant {id}", entry.id));
        };
        let ending = matches!(entry.kind, EntryKind::Expire | EntryKind::Void);
        let in_force = grant.effective_at <= entry.at
            && grant.expires_at.is_none_or(|expiry| entry.at < expiry);
        if amount < 0 && !held && !ending && !in_force {
            self.find(
                8,
                format!("entry {} uses grant {id} out of its time", entry.id),
            );
        }
    }

    fn check_wallet(&mut self, wallet: &Wallet) {
        let id = wallet.id;
        let sum = self.accounts.get(&(id, Account::Available)).copied();
        let sum = sum.unwrap_or_default();
        if sum != i128::from(wallet.posted) {
            let posted = wallet.posted;
            self.find(
                2,
                format!("wallet {id} says {posted}, its postings come to {sum}"),
            );
        }
        let loose = self.loose.get(&id).copied().unwrap_or_default();
        if loose != i128::from(wallet.loose) {
            let kept = wallet.loose;
            self.find(
                3,
                format!("wallet {id} keeps {kept} without grant, postings say {loose}"),
            );
        }
        let remaining: i128 = self
            .grants
            .values()
            .filter(|(owner, _)| *owner == id)
            .map(|(_, grant)| i128::from(grant.remaining))
            .sum();
        if remaining + i128::from(wallet.loose) != i128::from(wallet.posted) {
            self.find(
                3,
                format!("wallet {id}: grants leave {remaining}, the balance differs"),
            );
        }
        let open = self.open.get(&id).copied().unwrap_or_default();
        if open != i128::from(wallet.pending) {
            let pending = wallet.pending;
            self.find(
                4,
                format!("wallet {id} sets {pending} aside, open holds come to {open}"),
            );
        }
        let pinned = self.pinned_loose.get(&id).copied().unwrap_or_default();
        if pinned != i128::from(wallet.loose_pinned) {
            self.find(4, format!("wallet {id} pins what no hold has sliced"));
        }
        if i128::from(wallet.posted) - i128::from(wallet.pending) < -i128::from(wallet.overdraft) {
            self.find(5, format!("wallet {id} is overdrawn"));
        }
        let seen = self.seen.remove(&id).unwrap_or_default();
        if (seen.seq, seen.hash) != (wallet.chain_seq, wallet.chain_hash) {
            self.find(
                9,
                format!(
                    "the chain of wallet {id} ends at {}, kept is {}",
                    seen.seq, wallet.chain_seq
                ),
            );
        }
        if wallet.period_start > 0 && seen.spent_in_period != wallet.period_spent {
            let (kept, found) = (wallet.period_spent, seen.spent_in_period);
            self.find(
                10,
                format!("wallet {id} spent {found} this month, kept is {kept}"),
            );
        }
        let used = wallet.spent_in_month_of(wallet.last_at) + wallet.pending;
        if wallet.cap.is_some_and(|cap| used > cap) {
            self.find(10, format!("wallet {id} is above its monthly cap"));
        }
    }

    fn check_grant(&mut self, wallet: Uuid, grant: &Grant) {
        let id = grant.id;
        let sum = self.granted.remove(&id).unwrap_or_default();
        if sum != i128::from(grant.remaining) {
            let remaining = grant.remaining;
            self.find(
                3,
                format!("grant {id} of wallet {wallet} keeps {remaining}, postings leave {sum}"),
            );
        }
        let pinned = self.pinned_by_grant.remove(&id).unwrap_or_default();
        if pinned != i128::from(grant.pinned) {
            self.find(
                4,
                format!(
                    "grant {id} pins {}, holds have sliced {pinned}",
                    grant.pinned
                ),
            );
        }
        if grant.remaining < 0 || grant.pinned < 0 || grant.pinned > grant.remaining {
            self.find(8, format!("grant {id} has less than nothing left"));
        }
    }

    fn check_charges(&mut self) {
        let charges = std::mem::take(&mut self.charges);
        let mut settled = std::mem::take(&mut self.settled);
        for charge in charges.values() {
            let call = charge.call;
            if charge.wallet.is_none() {
                continue;
            }
            if charge.captured + charge.written_off != charge.retail {
                self.find(
                    7,
                    format!("call {call} is neither paid nor written off in full"),
                );
            }
            let Some(entry) = charge.entry else {
                if charge.retail != 0 {
                    self.find(6, format!("call {call} was charged without an entry"));
                }
                continue;
            };
            let Some(paid) = settled.remove(&entry) else {
                self.find(
                    6,
                    format!("call {call} names an entry that does not settle it alone"),
                );
                continue;
            };
            if (paid.captured, -paid.adjusted) != (charge.captured, charge.written_off) {
                self.find(
                    7,
                    format!("call {call} was paid otherwise than its bill says"),
                );
            }
            if (paid.markup, paid.commission) != (charge.markup, charge.commission) {
                self.find(
                    11,
                    format!("earnings of call {call} differ from the postings"),
                );
            }
        }
        for entry in settled.into_keys() {
            self.find(6, format!("entry {entry} settles no call"));
        }
        for (call, hold, captured) in std::mem::take(&mut self.resolved) {
            match charges.get(&call) {
                None => self.find(
                    6,
                    format!("hold {hold} was taken for call {call} without a bill"),
                ),
                Some(charge) if charge.captured < captured => {
                    self.find(
                        7,
                        format!("hold {hold} took more than call {call} was charged"),
                    );
                }
                Some(_) => {}
            }
        }
    }

    fn find(&mut self, invariant: u8, what: String) {
        self.findings.push(Finding {
            invariant: Invariant(invariant),
            what,
        });
    }
}
