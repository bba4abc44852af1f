//! Holds of a call and its payment, on a wallet's [`Book`].

use uuid::Uuid;

use super::book::{Book, By, Refusal};
use super::entry::{Account, EntryKind};
use super::wallet::{Hold, HoldState, Slice};

/// What a call costs its payer, and who gets it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bill {
    /// Our price: the sum of the rated lines.
    pub wholesale: i64,
    /// What the reseller puts on top.
    pub markup: i64,
    /// The reseller's share of our price.
    pub commission: i64,
}

impl Bill {
    /// What the payer pays.
    #[must_use]
    pub const fn retail(&self) -> i64 {
        self.wholesale.saturating_add(self.markup)
    }
}

/// What came of paying a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Payment {
    /// Paid by the wallet.
    pub captured: i64,
    /// What the wallet could not pay, which is our loss.
    pub written_off: i64,
}

impl Book {
    /// Sets money aside for a call: `wanted`, or as much of it as there is if that is at least
    /// `least`. Tells how much.
    ///
    /// # Errors
    /// [`Refusal::Short`] or [`Refusal::CapReached`].
    pub fn hold(
        &mut self,
        now: i64,
        id: Uuid,
        call: Uuid,
        (wanted, least): (i64, i64),
        lease_until: i64,
    ) -> Result<i64, Refusal> {
        let now = self.not_before(now);
        let amount = self.within_means(now, wanted, least)?;
        let slices = self.pick(now, amount)?;
        self.begin(now);
        self.pin(&slices, false);
        self.holds.push(Hold {
            id,
            call,
            amount,
            captured: 0,
            state: HoldState::Open,
            lease_until,
            created_at: now,
            resolved_at: None,
            slices,
        });
        self.touched_holds.insert(id);
        Ok(amount)
    }

    /// Sets more aside for a call, as [`Self::hold`] does. Tells how much more.
    ///
    /// # Errors
    /// [`Refusal::Short`], [`Refusal::CapReached`] or [`Refusal::NotOpen`]; the hold is then as it
    /// was.
    pub fn extend(
        &mut self,
        now: i64,
        hold: Uuid,
        (wanted, least): (i64, i64),
    ) -> Result<i64, Refusal> {
        let now = self.not_before(now);
        let index = self.open_hold(hold)?;
        let amount = self.within_means(now, wanted, least)?;
        let slices = self.pick(now, amount)?;
        self.begin(now);
        self.pin(&slices, false);
        let hold = &mut self.holds[index];
        hold.amount += amount;
        hold.slices.extend(slices);
        self.touched_holds.insert(hold.id);
        Ok(amount)
    }

    /// Notes that the call goes on.
    ///
    /// # Errors
    /// [`Refusal::NotOpen`].
    pub fn renew(&mut self, hold: Uuid, lease_until: i64) -> Result<(), Refusal> {
        let index = self.open_hold(hold)?;
        let hold = &mut self.holds[index];
        hold.lease_until = hold.lease_until.max(lease_until);
        self.touched_holds.insert(hold.id);
        Ok(())
    }

    /// Pays a call: from its open hold, then from what else may be spent. What remains is written
    /// off, and what the hold did not need is free again. A bill of nothing posts nothing.
    pub fn settle(&mut self, now: i64, hold: Option<Uuid>, bill: Bill, by: By) -> Payment {
        let now = self.not_before(now);
        self.begin(now);
        let retail = bill.retail();
        let mut postings = Vec::new();
        let mut captured = 0;
        if let Some(index) = hold.and_then(|hold| self.open_hold(hold).ok()) {
            let slices = std::mem::take(&mut self.holds[index].slices);
            self.pin(&slices, true);
            let used = first_of(&slices, retail);
            captured = used.iter().map(|slice| slice.amount).sum();
            postings = self.spend(&used, true);
            let hold = &mut self.holds[index];
            hold.captured = captured;
            hold.state = if captured > 0 {
                HoldState::Captured
            } else {
                HoldState::Released
            };
            hold.resolved_at = Some(now);
            self.touched_holds.insert(hold.id);
        }
        // Counted at once: what the hold paid lowers what the cap leaves for the rest.
        self.wallet.period_spent += captured;
        let more = (retail - captured)
            .min(self.spendable(now))
            .min(self.cap_left(now));
        if more > 0
            && let Ok(slices) = self.pick(now, more)
        {
            postings.extend(self.spend(&slices, false));
            self.wallet.period_spent += more;
            captured += more;
        }
        let payment = Payment {
            captured,
            written_off: retail - captured,
        };
        let ids = by.ids;
        if retail > 0 {
            let reference = Some(by.idem_key.clone());
            postings.extend([
                self.posting(Account::Adjustments, -payment.written_off),
                self.posting(Account::Revenue, bill.wholesale - bill.commission),
                self.posting(Account::EarningsMarkup, bill.markup),
                self.posting(Account::EarningsCommission, bill.commission),
            ]);
            self.post(EntryKind::Settle, now, by, reference, postings);
        }
        let rest = By {
            ids,
            ..By::engine(String::new())
        };
        self.expire(now, &rest);
        payment
    }

    /// Frees a hold of a call that did not come about, or whose owner is not heard of any more.
    ///
    /// # Errors
    /// [`Refusal::NotOpen`].
    pub fn release(
        &mut self,
        now: i64,
        hold: Uuid,
        state: HoldState,
        by: By,
    ) -> Result<(), Refusal> {
        let now = self.not_before(now);
        let index = self.open_hold(hold)?;
        self.begin(now);
        let slices = std::mem::take(&mut self.holds[index].slices);
        self.pin(&slices, true);
        let hold = &mut self.holds[index];
        hold.state = state;
        hold.resolved_at = Some(now);
        self.touched_holds.insert(hold.id);
        self.expire(now, &by);
        Ok(())
    }

    fn open_hold(&self, id: Uuid) -> Result<usize, Refusal> {
        let open = |hold: &Hold| hold.id == id && hold.state == HoldState::Open;
        self.holds.iter().position(open).ok_or(Refusal::NotOpen)
    }

    /// How much of `wanted` there is, if that is `least` or more.
    fn within_means(&self, now: i64, wanted: i64, least: i64) -> Result<i64, Refusal> {
        if least < 0 || wanted < least {
            return Err(Refusal::Amount);
        }
        let left = self.cap_left(now);
        if left < least {
            return Err(Refusal::CapReached {
                left,
                wanted: least,
            });
        }
        let spendable = self.spendable(now);
        if spendable < least {
            return Err(Refusal::Short {
                spendable,
                wanted: least,
            });
        }
        Ok(wanted.min(left).min(spendable))
    }
}

/// The slices up to an amount.
fn first_of(slices: &[Slice], amount: i64) -> Vec<Slice> {
    let mut left = amount;
    let mut first = Vec::with_capacity(slices.len());
    for slice in slices {
        let taken = slice.amount.min(left);
        if taken <= 0 {
            break;
        }
        first.push(Slice {
            amount: taken,
            ..*slice
        });
        left -= taken;
    }
    first
}
