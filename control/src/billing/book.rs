//! The book of one wallet: takes commands and the time, changes its projections, and returns the
//! entries to be posted. It knows no database; whoever keeps it writes everything or nothing.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::entry::{Account, Entry, EntryKind, Posting};
use super::money::{AMOUNT_MAX, month_start};
use super::wallet::{Category, Grant, Hold, Slice, Wallet};

/// Why a command was not followed. Nothing has changed then.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// There is less than that to spend.
    #[error("the wallet has {spendable} micros to spend, {wanted} are needed")]
    Short {
        /// What may be spent.
        spendable: i64,
        /// What was asked for.
        wanted: i64,
    },
    /// The month's cap leaves less than that.
    #[error("the monthly cap leaves {left} micros, {wanted} are needed")]
    CapReached {
        /// What the cap leaves.
        left: i64,
        /// What was asked for.
        wanted: i64,
    },
    /// A cap that is already exceeded.
    #[error("{used} micros are spent or set aside this month, more than the cap of {cap}")]
    CapBelowUse {
        /// Spent and set aside.
        used: i64,
        /// The cap asked for.
        cap: i64,
    },
    /// Zero, negative where that has no meaning, or larger than any real amount.
    #[error("the amount must be above 0 and at most 1,000,000,000")]
    Amount,
    /// The wallet cannot count so far.
    #[error("the wallet would hold more than it can count")]
    Overflow,
    /// Credit that would have expired before it begins.
    #[error("the credit would have expired already")]
    ExpiredGrant,
    /// No such grant is left in this wallet.
    #[error("there is no such grant, or nothing of it is left")]
    NoSuchGrant,
    /// It was transferred; the other wallet has it.
    #[error("credit that was transferred is given back by a transfer, not voided")]
    Transferred,
    /// Both ends of a transfer are one wallet.
    #[error("a transfer goes to another wallet")]
    SameWallet,
    /// Wallets of different currencies.
    #[error("the wallets have different currencies")]
    Currency,
    /// No open hold.
    #[error("the hold is not open")]
    NotOpen,
}

/// Who does something, and the ids it gets.
#[derive(Clone, Debug)]
pub struct By {
    /// A user's id, or `engine`.
    pub actor: String,
    /// Why, where a person said so.
    pub reason: Option<String>,
    /// Makes the entry happen once.
    pub idem_key: String,
    /// Ids of the entry, and of one for credit that expires with it.
    pub ids: [Uuid; 2],
}

impl By {
    /// The engine itself, with fresh ids.
    #[must_use]
    pub fn engine(idem_key: impl Into<String>) -> Self {
        Self {
            actor: "engine".to_owned(),
            reason: None,
            idem_key: idem_key.into(),
            ids: [Uuid::now_v7(), Uuid::now_v7()],
        }
    }

    /// A user, for a reason.
    #[must_use]
    pub fn user(user: Uuid, reason: Option<String>, idem_key: impl Into<String>) -> Self {
        Self {
            actor: user.to_string(),
            reason,
            ..Self::engine(idem_key)
        }
    }
}

/// Terms of credit.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Id of the grant.
    pub id: Uuid,
    /// How it comes about.
    pub category: Category,
    /// Lower ones are used up first.
    pub priority: i64,
    /// In force from then on; at once where it lies in the past.
    pub effective_at: i64,
    /// Not to be used from then on.
    pub expires_at: Option<i64>,
    /// A remark.
    pub note: Option<String>,
}

/// The book of one wallet, as far as it is not over: credit that is left, and open holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Book {
    /// The wallet.
    pub wallet: Wallet,
    /// Its credit with something left, and what a command has just used up.
    pub grants: Vec<Grant>,
    /// Its open holds that a command may be about, and what a command has just resolved.
    pub holds: Vec<Hold>,
    /// Entries to be posted, oldest first.
    pub entries: Vec<Entry>,
    /// Grants that are new or changed.
    pub touched_grants: BTreeSet<Uuid>,
    /// Holds that are new or changed.
    pub touched_holds: BTreeSet<Uuid>,
}

impl Book {
    /// The book of a wallet with what is open in it.
    #[must_use]
    pub const fn new(wallet: Wallet, grants: Vec<Grant>, holds: Vec<Hold>) -> Self {
        Self {
            wallet,
            grants,
            holds,
            entries: Vec::new(),
            touched_grants: BTreeSet::new(),
            touched_holds: BTreeSet::new(),
        }
    }

    /// What may be spent or set aside at `now`, the overdraft included; never below zero.
    #[must_use]
    pub fn spendable(&self, now: i64) -> i64 {
        let now = self.not_before(now);
        let granted: i128 = self
            .grants
            .iter()
            .filter(|grant| grant.is_in_force(now))
            .map(|grant| i128::from(grant.free()))
            .sum();
        let spendable = granted + i128::from(self.free_loose());
        i64::try_from(spendable.max(0)).unwrap_or(i64::MAX)
    }

    /// What the month's cap leaves for calls at `now`.
    #[must_use]
    pub fn cap_left(&self, now: i64) -> i64 {
        let now = self.not_before(now);
        match self.wallet.cap {
            None => i64::MAX,
            Some(cap) => cap
                .saturating_sub(self.wallet.spent_in_month_of(now))
                .saturating_sub(self.wallet.pending)
                .max(0),
        }
    }

    /// Makes credit out of nothing.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn grant(&mut self, now: i64, amount: i64, terms: Terms, by: By) -> Result<(), Refusal> {
        let now = self.not_before(now);
        check_amount(amount)?;
        self.check_credit(now, amount, &terms)?;
        self.begin(now);
        let mut postings = self.credit(now, amount, terms, None);
        let reference = self.grants.last().map(|grant| grant.id.to_string());
        postings.push(self.posting(Account::Minted, -amount));
        self.post(EntryKind::Grant, now, by, reference, postings);
        Ok(())
    }

    /// Takes back what is left of a grant and not set aside, and tells how much that was.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn void(&mut self, now: i64, grant: Uuid, by: By) -> Result<i64, Refusal> {
        let now = self.not_before(now);
        let found = self.grants.iter_mut().find(|own| own.id == grant);
        let found = found.ok_or(Refusal::NoSuchGrant)?;
        if found.source.is_some() {
            return Err(Refusal::Transferred);
        }
        let free = found.free();
        if free == 0 || found.voided_at.is_some() {
            return Err(Refusal::NoSuchGrant);
        }
        found.remaining -= free;
        found.voided_at = Some(now);
        self.touched_grants.insert(grant);
        self.begin(now);
        self.wallet.posted -= free;
        let postings = vec![
            Posting {
                grant: Some(grant),
                ..self.posting(Account::Available, -free)
            },
            self.posting(Account::Minted, free),
        ];
        let reference = Some(grant.to_string());
        self.post(EntryKind::Void, now, by, reference, postings);
        Ok(free)
    }

    /// Corrects the balance up or down; down only as far as may be spent.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn adjust(&mut self, now: i64, amount: i64, by: By) -> Result<(), Refusal> {
        let now = self.not_before(now);
        check_amount(amount.checked_abs().ok_or(Refusal::Amount)?)?;
        let mut postings = if amount > 0 {
            self.check_room(amount)?;
            self.begin(now);
            self.wallet.posted += amount;
            self.wallet.loose += amount;
            self.wallet.funded = true;
            vec![self.posting(Account::Available, amount)]
        } else {
            let slices = self.pick(now, -amount)?;
            self.begin(now);
            self.spend(&slices, false)
        };
        postings.push(self.posting(Account::Adjustments, -amount));
        self.post(EntryKind::Adjust, now, by, None, postings);
        Ok(())
    }

    /// Sets or clears the monthly cap.
    ///
    /// # Errors
    /// [`Refusal::CapBelowUse`], [`Refusal::Amount`].
    pub fn set_cap(&mut self, now: i64, cap: Option<i64>) -> Result<(), Refusal> {
        let now = self.not_before(now);
        if let Some(cap) = cap {
            if !(0..=AMOUNT_MAX).contains(&cap) {
                return Err(Refusal::Amount);
            }
            let used = self.wallet.spent_in_month_of(now) + self.wallet.pending;
            if used > cap {
                return Err(Refusal::CapBelowUse { used, cap });
            }
        }
        self.begin(now);
        self.wallet.cap = cap;
        Ok(())
    }

    /// Takes credit out of force that has expired, except what is set aside; tells how much.
    pub fn expire_grants(&mut self, now: i64, by: By) -> i64 {
        let now = self.not_before(now);
        self.begin(now);
        let [id, spare] = by.ids;
        let by = By {
            ids: [spare, id],
            ..by
        };
        self.expire(now, &by)
    }

    /// Credits the wallet and tells the postings.
    pub(super) fn credit(
        &mut self,
        now: i64,
        amount: i64,
        terms: Terms,
        source: Option<Uuid>,
    ) -> Vec<Posting> {
        // What was spent without credit is paid first.
        let owed = amount.min((-self.wallet.loose).max(0));
        let id = terms.id;
        self.wallet.posted += amount;
        self.wallet.loose += owed;
        self.wallet.funded = true;
        self.grants.push(Grant {
            id,
            amount,
            remaining: amount - owed,
            pinned: 0,
            category: terms.category,
            priority: terms.priority,
            effective_at: terms.effective_at.max(now),
            expires_at: terms.expires_at,
            voided_at: None,
            source,
            note: terms.note,
            created_at: now,
        });
        self.touched_grants.insert(id);
        let mut postings = Vec::with_capacity(3);
        if amount > owed {
            postings.push(Posting {
                grant: Some(id),
                ..self.posting(Account::Available, amount - owed)
            });
        }
        if owed > 0 {
            postings.push(self.posting(Account::Available, owed));
        }
        postings
    }

    pub(super) fn check_credit(&self, now: i64, amount: i64, terms: &Terms) -> Result<(), Refusal> {
        self.check_room(amount)?;
        let begins = terms.effective_at.max(now);
        match terms.expires_at {
            Some(expiry) if expiry <= begins => Err(Refusal::ExpiredGrant),
            _ => Ok(()),
        }
    }

    fn check_room(&self, amount: i64) -> Result<(), Refusal> {
        let room = self.wallet.posted.checked_add(amount);
        room.map(drop).ok_or(Refusal::Overflow)
    }

    /// Chooses credit for `amount` in the order it is used up; what has no grant comes last.
    pub(super) fn pick(&self, now: i64, amount: i64) -> Result<Vec<Slice>, Refusal> {
        let spendable = self.spendable(now);
        if amount > spendable {
            return Err(Refusal::Short {
                spendable,
                wanted: amount,
            });
        }
        let mut usable: Vec<&Grant> = self
            .grants
            .iter()
            .filter(|grant| grant.is_in_force(now) && grant.free() > 0)
            .collect();
        usable.sort_by_key(|grant| grant.burn_order());
        let mut left = amount;
        let mut slices = Vec::new();
        for grant in usable {
            let taken = left.min(grant.free());
            if taken == 0 {
                break;
            }
            slices.push(Slice {
                grant: Some(grant.id),
                amount: taken,
            });
            left -= taken;
        }
        if left > 0 {
            slices.push(Slice {
                grant: None,
                amount: left,
            });
        }
        Ok(slices)
    }

    /// Debits slices and tells the postings. Held ones were set aside before.
    pub(super) fn spend(&mut self, slices: &[Slice], held: bool) -> Vec<Posting> {
        let mut postings = Vec::with_capacity(slices.len() + 3);
        for slice in slices {
            self.wallet.posted -= slice.amount;
            match slice.grant {
                None => self.wallet.loose -= slice.amount,
                Some(id) => {
                    if let Some(grant) = self.grants.iter_mut().find(|grant| grant.id == id) {
                        grant.remaining -= slice.amount;
                    }
                    self.touched_grants.insert(id);
                }
            }
            postings.push(Posting {
                grant: slice.grant,
                held,
                ..self.posting(Account::Available, -slice.amount)
            });
        }
        postings
    }

    /// Sets slices aside, or frees them.
    pub(super) fn pin(&mut self, slices: &[Slice], free: bool) {
        for slice in slices {
            let amount = if free { -slice.amount } else { slice.amount };
            self.wallet.pending += amount;
            match slice.grant {
                None => self.wallet.loose_pinned += amount,
                Some(id) => {
                    if let Some(grant) = self.grants.iter_mut().find(|grant| grant.id == id) {
                        grant.pinned += amount;
                    }
                    self.touched_grants.insert(id);
                }
            }
        }
    }

    /// Posts what has expired, or has come back to a voided grant; `by.ids[1]` is the entry's id.
    pub(super) fn expire(&mut self, now: i64, by: &By) -> i64 {
        let due = |grant: &Grant| {
            grant.voided_at.is_some() || grant.expires_at.is_some_and(|expiry| expiry <= now)
        };
        let slices: Vec<Slice> = self
            .grants
            .iter()
            .filter(|grant| due(grant) && grant.free() > 0)
            .map(|grant| Slice {
                grant: Some(grant.id),
                amount: grant.free(),
            })
            .collect();
        let total: i64 = slices.iter().map(|slice| slice.amount).sum();
        if total == 0 {
            return 0;
        }
        let mut postings = self.spend(&slices, false);
        postings.push(self.posting(Account::Breakage, total));
        let expiry = By {
            actor: "engine".to_owned(),
            reason: None,
            idem_key: format!("expire:{}", by.ids[1]),
            ids: [by.ids[1], by.ids[0]],
        };
        self.post(EntryKind::Expire, now, expiry, None, postings);
        total
    }

    pub(super) const fn posting(&self, account: Account, amount: i64) -> Posting {
        Posting {
            wallet: self.wallet.id,
            account,
            grant: None,
            held: false,
            amount,
        }
    }

    /// Adds an entry to the wallet's chain.
    pub(super) fn post(
        &mut self,
        kind: EntryKind,
        now: i64,
        by: By,
        reference: Option<String>,
        postings: Vec<Posting>,
    ) {
        let mut entry = Entry {
            id: by.ids[0],
            wallet: self.wallet.id,
            seq: self.wallet.chain_seq + 1,
            kind,
            idem_key: by.idem_key,
            reference,
            actor: by.actor,
            reason: by.reason,
            at: now,
            prev_hash: self.wallet.chain_hash,
            hash: [0; 32],
            postings: postings.into_iter().filter(|p| p.amount != 0).collect(),
        };
        debug_assert_eq!(entry.sum(), 0, "{entry:?}");
        entry.hash = entry.computed_hash();
        self.wallet.chain_seq = entry.seq;
        self.wallet.chain_hash = entry.hash;
        self.entries.push(entry);
    }

    /// Time that does not run backwards: a clock that was set back must not bring expired credit
    /// or a closed month back.
    pub(super) fn not_before(&self, now: i64) -> i64 {
        now.max(self.wallet.last_at)
    }

    /// Notes the time of a change; a new month begins at nothing spent.
    pub(super) fn begin(&mut self, now: i64) {
        self.wallet.last_at = now;
        let month = month_start(now);
        if month > self.wallet.period_start {
            self.wallet.period_start = month;
            self.wallet.period_spent = 0;
        }
    }

    const fn free_loose(&self) -> i64 {
        self.wallet
            .loose
            .saturating_sub(self.wallet.loose_pinned)
            .saturating_add(self.wallet.overdraft)
    }
}

/// Moves credit from one wallet to another as one entry, in the chain of `from`. The new grant
/// expires no later than what it was made of. Both books must be kept together.
///
/// # Errors
/// See [`Refusal`].
pub fn transfer(
    from: &mut Book,
    to: &mut Book,
    now: i64,
    amount: i64,
    terms: Terms,
    by: By,
) -> Result<(), Refusal> {
    let now = from.not_before(to.not_before(now));
    check_amount(amount)?;
    if from.wallet.id == to.wallet.id {
        return Err(Refusal::SameWallet);
    }
    if from.wallet.currency != to.wallet.currency {
        return Err(Refusal::Currency);
    }
    let slices = from.pick(now, amount)?;
    let inherited = slices
        .iter()
        .filter_map(|slice| {
            from.grants
                .iter()
                .find(|grant| Some(grant.id) == slice.grant)
        })
        .filter_map(|grant| grant.expires_at)
        .min();
    let expires_at = terms.expires_at.into_iter().chain(inherited).min();
    let terms = Terms {
        expires_at,
        ..terms
    };
    to.check_credit(now, amount, &terms)?;
    from.begin(now);
    to.begin(now);
    let reference = Some(terms.id.to_string());
    let mut postings = from.spend(&slices, false);
    postings.extend(to.credit(now, amount, terms, Some(from.wallet.id)));
    from.post(EntryKind::Transfer, now, by, reference, postings);
    Ok(())
}

fn check_amount(amount: i64) -> Result<(), Refusal> {
    if (1..=AMOUNT_MAX).contains(&amount) {
        Ok(())
    } else {
        Err(Refusal::Amount)
    }
}
