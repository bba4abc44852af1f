//! Random commands, checked after every step against a model in which every single micro is a thing
//! of its own, and against the twelve invariants.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::super::book::{Book, By, Refusal, Terms, transfer};
use super::super::hold::{Bill, Payment};
use super::super::money::month_start;
use super::super::verify::{ChargeRow, Invariant};
use super::super::wallet::{Category, HoldState, Owner, Wallet};
use super::Random;
use super::ledger::Ledger;

/// 2024-02-27T00:00:00Z: the leap day and the end of the month are near.
const START: i64 = 1_708_992_000_000_000;
const DAY: i64 = 86_400_000_000;
const STEPS: usize = 250;
const SEEDS: u64 = 40;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Place {
    Free,
    /// Set aside for a hold, as the how-manieth thing ever set aside.
    Held(Uuid, u64),
}

#[derive(Clone, Debug)]
struct Micro {
    grant: Option<Uuid>,
    place: Place,
}

#[derive(Clone, Debug)]
struct Origin {
    order: (i64, i64, Category, i64, Uuid),
    from: i64,
    until: i64,
    is_void: bool,
    transferred: bool,
}

/// A wallet as a heap of micros.
#[derive(Clone, Default, Debug)]
struct Heap {
    micros: Vec<Micro>,
    origins: BTreeMap<Uuid, Origin>,
    cap: Option<i64>,
    month: i64,
    spent: i64,
    last: i64,
    held: u64,
}

impl Heap {
    fn now(&self, now: i64) -> i64 {
        now.max(self.last)
    }

    fn usable(&self, micro: &Micro, now: i64) -> bool {
        micro.place == Place::Free
            && micro.grant.is_none_or(|grant| {
                let origin = &self.origins[&grant];
                origin.from <= now && now < origin.until && !origin.is_void
            })
    }

    fn count(&self, test: impl Fn(&Micro) -> bool) -> i64 {
        self.micros.iter().filter(|micro| test(micro)).count() as i64
    }

    fn spendable(&self, now: i64) -> i64 {
        let now = self.now(now);
        self.count(|micro| self.usable(micro, now))
    }

    fn cap_left(&self, now: i64) -> i64 {
        let spent = if month_start(self.now(now)) > self.month {
            0
        } else {
            self.spent
        };
        let held = self.count(|micro| matches!(micro.place, Place::Held(..)));
        self.cap.map_or(i64::MAX, |cap| (cap - spent - held).max(0))
    }

    fn changed(&mut self, now: i64) {
        self.last = now;
        if month_start(now) > self.month {
            self.month = month_start(now);
            self.spent = 0;
        }
    }

    /// Places of the next `amount` usable micros in the order they are used up.
    fn next(&self, now: i64, amount: i64) -> Vec<usize> {
        let mut usable: Vec<usize> = (0..self.micros.len())
            .filter(|&index| self.usable(&self.micros[index], now))
            .collect();
        usable.sort_by_key(|&index| match self.micros[index].grant {
            Some(grant) => (0, Some(self.origins[&grant].order)),
            None => (1, None),
        });
        usable.truncate(amount as usize);
        usable
    }

    fn remove(&mut self, mut places: Vec<usize>) {
        places.sort_unstable();
        for place in places.into_iter().rev() {
            self.micros.remove(place);
        }
    }

    fn add(&mut self, amount: i64, grant: Option<Uuid>) {
        for _ in 0..amount {
            self.micros.push(Micro {
                grant,
                place: Place::Free,
            });
        }
    }

    fn expire(&mut self, now: i64) {
        let origins = &self.origins;
        self.micros.retain(|micro| {
            micro.place != Place::Free
                || micro.grant.is_none_or(|grant| {
                    let origin = &origins[&grant];
                    now < origin.until && !origin.is_void
                })
        });
    }

    fn of_hold(&self, hold: Uuid) -> Vec<usize> {
        let mut places: Vec<(u64, usize)> = self
            .micros
            .iter()
            .enumerate()
            .filter_map(|(index, micro)| match micro.place {
                Place::Held(of, turn) if of == hold => Some((turn, index)),
                _ => None,
            })
            .collect();
        places.sort_unstable();
        places.into_iter().map(|(_, index)| index).collect()
    }

    fn agrees_with(&self, book: &Book, now: i64) {
        let wallet = &book.wallet;
        assert_eq!(wallet.posted, self.micros.len() as i64, "posted");
        let held = self.count(|micro| matches!(micro.place, Place::Held(..)));
        assert_eq!(wallet.pending, held, "pending");
        assert_eq!(book.spendable(now), self.spendable(now), "spendable");
        assert_eq!(book.cap_left(now), self.cap_left(now), "cap left");
        for grant in &book.grants {
            let of = |micro: &Micro| micro.grant == Some(grant.id);
            assert_eq!(grant.remaining, self.count(of), "remaining");
            let pinned = self.count(|micro| of(micro) && micro.place != Place::Free);
            assert_eq!(grant.pinned, pinned, "pinned");
        }
    }
}

struct World {
    random: Random,
    ledger: Ledger,
    heaps: Vec<(Uuid, Heap)>,
    open: Vec<(usize, Uuid, Uuid)>,
    now: i64,
    counts: BTreeMap<&'static str, u32>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut ledger = Ledger::default();
        let org = random.id();
        let mut heaps = Vec::new();
        for owner in [
            Owner::Organisation(org),
            Owner::User(random.id()),
            Owner::User(random.id()),
        ] {
            let wallet = Wallet::new(random.id(), org, owner, "USD");
            heaps.push((wallet.id, Heap::default()));
            ledger.wallets.insert(wallet.id, wallet);
        }
        Self {
            random,
            ledger,
            heaps,
            open: Vec::new(),
            now: START,
            counts: BTreeMap::new(),
        }
    }

    fn by(&mut self) -> By {
        By {
            actor: "test".to_owned(),
            reason: None,
            idem_key: self.random.id().to_string(),
            ids: [self.random.id(), self.random.id()],
        }
    }

    fn terms(&mut self) -> Terms {
        let pick = |random: &mut Random, span| random.below(span) - DAY;
        Terms {
            id: self.random.id(),
            category: [Category::Promo, Category::Paid][self.random.below(2) as usize],
            priority: self.random.below(2),
            effective_at: self.now + pick(&mut self.random, 2 * DAY),
            expires_at: match self.random.below(3) {
                0 => None,
                _ => Some(self.now + pick(&mut self.random, 5 * DAY)),
            },
            note: None,
        }
    }

    fn step(&mut self) {
        self.now += match self.random.below(12) {
            0 => -self.random.below(2 * DAY),
            1 => self.random.below(4 * DAY),
            2 => month_start(self.now + 32 * DAY) - self.now - self.random.below(2),
            _ => self.random.below(DAY / 24),
        };
        let which = self.random.below(3) as usize;
        let (did, done) = match self.random.below(16) {
            0 | 1 => ("grant", self.grant(which)),
            2 => ("adjust", self.adjust(which)),
            3 | 4 => ("transfer", self.transfer(which)),
            5 => ("cap", self.cap(which)),
            6 | 7 => ("hold", self.hold(which)),
            8 => ("extend", self.extend()),
            9 | 10 => ("settle", self.settle()),
            11 => ("release", self.release()),
            13..=15 => ("extend", self.extend()),
            _ => match self.random.below(2) {
                0 => ("void", self.void(which)),
                _ => ("expire", self.expire(which)),
            },
        };
        if done {
            *self.counts.entry(did).or_default() += 1;
        }
    }

    fn grant(&mut self, which: usize) -> bool {
        let (amount, terms, by) = (self.random.below(60) - 3, self.terms(), self.by());
        let (id, heap) = &mut self.heaps[which];
        let mut book = self.ledger.open(*id);
        let (now, given) = (heap.now(self.now), terms.clone());
        let until = terms.expires_at.unwrap_or(i64::MAX);
        let from = terms.effective_at.max(now);
        let expected = if amount <= 0 {
            Err(Refusal::Amount)
        } else if until <= from {
            Err(Refusal::ExpiredGrant)
        } else {
            Ok(())
        };
        assert_eq!(book.grant(self.now, amount, given, by), expected);
        if expected.is_err() {
            return false;
        }
        heap.changed(now);
        heap.add(amount, Some(terms.id));
        heap.origins.insert(
            terms.id,
            Origin {
                order: (terms.priority, until, terms.category, now, terms.id),
                from,
                until,
                is_void: false,
                transferred: false,
            },
        );
        self.ledger.keep(book);
        true
    }

    fn adjust(&mut self, which: usize) -> bool {
        let (amount, by) = (self.random.below(60) - 30, self.by());
        let (id, heap) = &mut self.heaps[which];
        let mut book = self.ledger.open(*id);
        let now = heap.now(self.now);
        let done = book.adjust(self.now, amount, by);
        if amount == 0 {
            assert_eq!(done, Err(Refusal::Amount));
            return false;
        }
        if amount < 0 && -amount > heap.spendable(now) {
            assert!(matches!(done, Err(Refusal::Short { .. })), "{done:?}");
            return false;
        }
        assert_eq!(done, Ok(()));
        heap.changed(now);
        if amount > 0 {
            heap.add(amount, None);
        } else {
            let places = heap.next(now, -amount);
            heap.remove(places);
        }
        self.ledger.keep(book);
        true
    }

    fn transfer(&mut self, which: usize) -> bool {
        let target = (which + 1 + self.random.below(2) as usize) % 3;
        let (amount, terms, by) = (self.random.below(50) + 1, self.terms(), self.by());
        let (from, to) = (self.heaps[which].0, self.heaps[target].0);
        let (mut source, mut sink) = (self.ledger.open(from), self.ledger.open(to));
        let now = self.heaps[which].1.now(self.heaps[target].1.now(self.now));
        let heap = &self.heaps[which].1;
        let places = heap.next(now, amount);
        let inherited = places.iter().filter_map(|&place| {
            let grant = heap.micros[place].grant?;
            Some(heap.origins[&grant].until).filter(|until| *until < i64::MAX)
        });
        let until = inherited.chain(terms.expires_at).min().unwrap_or(i64::MAX);
        let begins = terms.effective_at.max(now);
        let done = transfer(&mut source, &mut sink, self.now, amount, terms.clone(), by);
        if amount > heap.spendable(now) {
            assert!(matches!(done, Err(Refusal::Short { .. })), "{done:?}");
            return false;
        }
        if until <= begins {
            assert_eq!(done, Err(Refusal::ExpiredGrant));
            return false;
        }
        assert_eq!(done, Ok(()));
        let heap = &mut self.heaps[which].1;
        heap.changed(now);
        heap.remove(places);
        let heap = &mut self.heaps[target].1;
        heap.changed(now);
        heap.add(amount, Some(terms.id));
        heap.origins.insert(
            terms.id,
            Origin {
                order: (terms.priority, until, terms.category, now, terms.id),
                from: begins,
                until,
                is_void: false,
                transferred: true,
            },
        );
        self.ledger.keep(sink);
        self.ledger.keep(source);
        true
    }

    fn cap(&mut self, which: usize) -> bool {
        let cap = match self.random.below(3) {
            0 => None,
            _ => Some(self.random.below(150) - 5),
        };
        let (id, heap) = &mut self.heaps[which];
        let mut book = self.ledger.open(*id);
        let now = heap.now(self.now);
        let unlimited = Heap {
            cap: Some(i64::MAX),
            ..heap.clone()
        };
        let used = i64::MAX - unlimited.cap_left(now);
        let expected = match cap {
            Some(cap) if cap < 0 => Err(Refusal::Amount),
            Some(cap) if used > cap => Err(Refusal::CapBelowUse { used, cap }),
            _ => Ok(()),
        };
        assert_eq!(book.set_cap(self.now, cap), expected);
        if expected.is_err() {
            return false;
        }
        heap.changed(now);
        heap.cap = cap;
        self.ledger.keep(book);
        true
    }

    /// Holds, or extends the given hold.
    fn set_aside(&mut self, which: usize, hold: Option<Uuid>) -> bool {
        let least = self.random.below(40);
        let wanted = least + self.random.below(40);
        let (new, call) = (self.random.id(), self.random.id());
        let (id, heap) = &mut self.heaps[which];
        let mut book = self.ledger.open(*id);
        let now = heap.now(self.now);
        let done = match hold {
            None => book.hold(self.now, new, call, (wanted, least), self.now + DAY),
            Some(hold) => book.extend(self.now, hold, (wanted, least)),
        };
        let (spendable, left) = (heap.spendable(now), heap.cap_left(now));
        if left < least {
            assert_eq!(
                done,
                Err(Refusal::CapReached {
                    left,
                    wanted: least
                })
            );
            return false;
        }
        if spendable < least {
            assert_eq!(
                done,
                Err(Refusal::Short {
                    spendable,
                    wanted: least
                })
            );
            return false;
        }
        let amount = wanted.min(spendable).min(left);
        assert_eq!(done, Ok(amount));
        heap.changed(now);
        let of = hold.unwrap_or(new);
        for place in heap.next(now, amount) {
            heap.held += 1;
            heap.micros[place].place = Place::Held(of, heap.held);
        }
        self.ledger.keep(book);
        if hold.is_none() {
            self.open.push((which, new, call));
        }
        true
    }

    fn hold(&mut self, which: usize) -> bool {
        self.set_aside(which, None)
    }

    fn pick_open(&mut self) -> Option<usize> {
        let open = self.open.len() as i64;
        (open > 0).then(|| self.random.below(open) as usize)
    }

    fn extend(&mut self) -> bool {
        let Some(index) = self.pick_open() else {
            return false;
        };
        let (which, hold, _) = self.open[index];
        self.set_aside(which, Some(hold))
    }

    fn settle(&mut self) -> bool {
        let Some(index) = self.pick_open() else {
            return false;
        };
        let (which, hold, call) = self.open.swap_remove(index);
        let wholesale = self.random.below(80);
        let bill = Bill {
            wholesale,
            markup: self.random.below(10),
            commission: self.random.below(wholesale + 1),
        };
        let by = self.by();
        let entry = by.ids[0];
        let (id, heap) = &mut self.heaps[which];
        let mut book = self.ledger.open(*id);
        let now = heap.now(self.now);
        let payment = book.settle(self.now, Some(hold), bill, by);
        heap.changed(now);
        let held = heap.of_hold(hold);
        for &place in &held {
            heap.micros[place].place = Place::Free;
        }
        let paid: Vec<usize> = held.into_iter().take(bill.retail() as usize).collect();
        let captured = paid.len() as i64;
        heap.spent += captured;
        heap.remove(paid);
        let more = (bill.retail() - captured)
            .min(heap.spendable(now))
            .min(heap.cap_left(now));
        let places = heap.next(now, more);
        heap.remove(places);
        heap.spent += more;
        heap.expire(now);
        let captured = captured + more;
        let written_off = bill.retail() - captured;
        assert_eq!(
            payment,
            Payment {
                captured,
                written_off
            }
        );
        self.ledger.charges.push(ChargeRow {
            call,
            wallet: Some(*id),
            retail: bill.retail(),
            markup: bill.markup,
            commission: bill.commission,
            captured,
            written_off,
            entry: (bill.retail() > 0).then_some(entry),
        });
        // Resolved once: a second end changes nothing.
        self.ledger.keep(book);
        let mut again = self.ledger.open(*id);
        let second = By::engine("again");
        assert_eq!(
            again.release(now, hold, HoldState::Released, second),
            Err(Refusal::NotOpen)
        );
        true
    }

    fn release(&mut self) -> bool {
        let Some(index) = self.pick_open() else {
            return false;
        };
        let (which, hold, _) = self.open.swap_remove(index);
        let by = self.by();
        let (id, heap) = &mut self.heaps[which];
        let mut book = self.ledger.open(*id);
        let now = heap.now(self.now);
        let state = [HoldState::Released, HoldState::Expired][index % 2];
        assert_eq!(book.release(self.now, hold, state, by), Ok(()));
        heap.changed(now);
        for place in heap.of_hold(hold) {
            heap.micros[place].place = Place::Free;
        }
        heap.expire(now);
        self.ledger.keep(book);
        true
    }

    fn void(&mut self, which: usize) -> bool {
        let by = self.by();
        let grants = self.ledger.open(self.heaps[which].0).grants;
        let Some(grant) = grants.first().map(|grant| grant.id) else {
            return false;
        };
        let (id, heap) = &mut self.heaps[which];
        let mut book = self.ledger.open(*id);
        let now = heap.now(self.now);
        let free = heap.count(|m| m.grant == Some(grant) && m.place == Place::Free);
        let done = book.void(self.now, grant, by);
        let origin = heap.origins.get_mut(&grant).unwrap();
        if origin.transferred {
            assert_eq!(done, Err(Refusal::Transferred));
            return false;
        }
        if free == 0 || origin.is_void {
            assert_eq!(done, Err(Refusal::NoSuchGrant));
            return false;
        }
        assert_eq!(done, Ok(free));
        origin.is_void = true;
        heap.changed(now);
        heap.micros
            .retain(|m| m.grant != Some(grant) || m.place != Place::Free);
        self.ledger.keep(book);
        true
    }

    fn expire(&mut self, which: usize) -> bool {
        let by = self.by();
        let (id, heap) = &mut self.heaps[which];
        let mut book = self.ledger.open(*id);
        let now = heap.now(self.now);
        let before = heap.micros.len();
        let expired = book.expire_grants(self.now, by);
        heap.changed(now);
        heap.expire(now);
        assert_eq!(expired, (before - heap.micros.len()) as i64);
        self.ledger.keep(book);
        expired > 0
    }

    fn check(&self) {
        for (id, heap) in &self.heaps {
            heap.agrees_with(&self.ledger.open(*id), self.now);
        }
        // Holds here have no owner that renews them.
        let report = self.ledger.verify(0);
        assert!(report.findings.is_empty(), "{:#?}", report.findings);
    }
}

#[test]
fn random_commands_keep_every_invariant_and_agree_with_counting_micros() {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for step in 0..STEPS {
            let stepped = std::panic::AssertUnwindSafe(|| {
                world.step();
                world.check();
            });
            if let Err(panic) = std::panic::catch_unwind(stepped) {
                eprintln!("seed {seed}, step {step}");
                std::panic::resume_unwind(panic);
            }
        }
        for (did, count) in world.counts {
            *counts.entry(did).or_default() += count;
        }
    }
    // The test says something about every command.
    assert_eq!(counts.len(), 10, "{counts:?}");
    assert!(counts.values().all(|count| *count >= 30), "{counts:?}");
}

/// A world in which much has happened.
fn lived_in() -> World {
    let mut world = World::new(7);
    while world.counts.get("settle").is_none_or(|count| *count < 25) {
        world.step();
    }
    world.check();
    world
}

#[test]
fn what_is_planted_in_a_ledger_is_found() {
    type Plant = (u8, &'static str, fn(&mut Ledger));
    let plants: [Plant; 13] = [
        (1, "a posting that grew", |l| {
            l.entries[3].postings[0].amount += 1
        }),
        (2, "a balance that grew", |l| {
            l.wallets.values_mut().for_each(|w| w.posted += 1)
        }),
        (2, "an account that shrank", |l| {
            l.accounts.values_mut().for_each(|a| *a -= 1)
        }),
        (3, "a grant that grew", |l| {
            l.grants.values_mut().for_each(|(_, g)| g.remaining += 1)
        }),
        (4, "money set aside for nobody", |l| {
            l.wallets.values_mut().for_each(|w| w.pending += 1);
        }),
        (5, "an overdrawn wallet", |l| {
            l.wallets
                .values_mut()
                .for_each(|w| w.overdraft = -w.posted - 1);
        }),
        (6, "a bill that was lost", |l| {
            let paid = l.charges.iter().position(|c| c.captured > 0).unwrap();
            l.charges.remove(paid);
        }),
        (7, "a bill that does not add up", |l| {
            l.charges[0].written_off += 1
        }),
        (8, "credit used out of its time", |l| {
            l.grants
                .values_mut()
                .for_each(|(_, g)| g.expires_at = Some(START));
        }),
        (9, "an entry that was rewritten", |l| {
            l.entries[5].actor = "nobody".to_owned()
        }),
        (9, "an entry that was cut off", |l| drop(l.entries.pop())),
        (10, "a cap that was exceeded", |l| {
            l.wallets
                .values_mut()
                .for_each(|w| w.cap = Some(w.period_spent + w.pending - 1));
        }),
        (11, "earnings nobody posted", |l| {
            l.charges.iter_mut().for_each(|c| c.markup += 1)
        }),
    ];
    let world = lived_in();
    for (invariant, what, plant) in plants {
        let mut ledger = world.ledger.clone();
        plant(&mut ledger);
        let report = ledger.verify(0);
        let found = report
            .findings
            .iter()
            .any(|f| f.invariant == Invariant(invariant));
        assert!(found, "{what}: {:?}", report.findings);
    }
    // I12: a hold that nobody renewed.
    let mut world = world;
    while world.open.is_empty() {
        world.step();
    }
    let report = world.ledger.verify(i64::MAX / 2);
    assert!(report.findings.iter().any(|f| f.invariant == Invariant(12)));
}

#[test]
fn amounts_at_the_limits_are_refused_or_counted_right() {
    let mut random = Random::new(1);
    let owner = Owner::Organisation(random.id());
    let mut wallet = Wallet::new(random.id(), random.id(), owner, "USD");
    wallet.posted = i64::MAX - 5;
    wallet.loose = i64::MAX - 5;
    let mut book = Book::new(wallet, Vec::new(), Vec::new());
    let terms = || super::super::wallets::terms(None, None);
    assert_eq!(
        book.grant(START, 6, terms(), By::engine("a")),
        Err(Refusal::Overflow)
    );
    for amount in [i64::MIN, -1, 0, i64::MAX] {
        let done = book.grant(START, amount, terms(), By::engine("b"));
        assert_eq!(done, Err(Refusal::Amount), "{amount}");
    }
    assert_eq!(
        book.adjust(START, i64::MIN, By::engine("c")),
        Err(Refusal::Amount)
    );
    assert_eq!(book.grant(START, 5, terms(), By::engine("d")), Ok(()));
    assert_eq!(book.spendable(START), i64::MAX);
    let hold = random.id();
    let held = book.hold(START, hold, random.id(), (i64::MAX, i64::MAX), START);
    assert_eq!(held, Ok(i64::MAX));
    let bill = Bill {
        wholesale: i64::MAX,
        ..Bill::default()
    };
    let payment = book.settle(START, Some(hold), bill, By::engine("e"));
    assert_eq!((payment.captured, payment.written_off), (i64::MAX, 0));
    assert_eq!(book.wallet.posted, 0);
}

#[test]
fn an_overdraft_is_paid_back_by_the_next_credit() {
    let mut random = Random::new(1);
    let owner = Owner::User(random.id());
    let mut wallet = Wallet::new(random.id(), random.id(), owner, "USD");
    wallet.overdraft = 10;
    let mut book = Book::new(wallet, Vec::new(), Vec::new());
    let bill = Bill {
        wholesale: 25,
        ..Bill::default()
    };
    let payment = book.settle(START, None, bill, By::engine("a"));
    assert_eq!(
        payment,
        Payment {
            captured: 10,
            written_off: 15
        }
    );
    assert_eq!((book.wallet.posted, book.spendable(START)), (-10, 0));
    let terms = super::super::wallets::terms(None, None);
    book.grant(START, 30, terms, By::engine("b")).unwrap();
    assert_eq!((book.wallet.posted, book.wallet.loose), (20, 0));
    assert_eq!(book.grants[0].remaining, 20);
    assert_eq!(book.spendable(START), 30);
}
