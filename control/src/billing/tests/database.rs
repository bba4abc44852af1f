//! The ledger on both databases.

use std::sync::Arc;

use uuid::Uuid;

use super::super::book::{By, Refusal};
use super::super::rating::{Component, Price, Tariff, UsageLine};
use super::super::settlement::{CallTerms, CallUsage, Payer, settle};
use super::super::verify::Invariant;
use super::super::wallet::Owner;
use super::super::{audit, journal, wallets};
use crate::store::testing::on_both_databases;
use crate::store::{Dialect, Store, StoreError, sql};

pub(super) const START: i64 = 1_708_992_000_000_000;

/// A call of so many seconds that costs 60,000 a minute and what the test says on top.
pub(super) fn usage(call: Uuid, org: Uuid, payer: Option<(Uuid, Uuid)>, seconds: i64) -> CallUsage {
    let price = Price {
        id: Uuid::from_u128(9),
        component: Component::Telephony,
        provider: "*".to_owned(),
        price: 60_000,
        cost: 20_000,
        per_units: 60,
        increment_s: 1,
        minimum_s: 0,
    };
    CallUsage {
        terms: CallTerms {
            call,
            org,
            owner: None,
            agent: "clinic".to_owned(),
            call_type: "phone".to_owned(),
            tariff: Tariff::new(vec![price]),
            currency: "USD".to_owned(),
            markup_bps: 2000,
            commission_bps: 1000,
            payer: payer.map(|(wallet, hold)| Payer { wallet, hold }),
        },
        duration_ms: seconds * 1000,
        lines: vec![UsageLine {
            component: Component::Telephony,
            provider: "sip".to_owned(),
            quantity: seconds * 1000,
        }],
    }
}

async fn funded(store: &Store, amount: i64) -> (Uuid, Uuid) {
    let org = Uuid::now_v7();
    let made = store.write(move |conn| {
        Box::pin(async move {
            let owner = Owner::Organisation(org);
            let wallet = journal::ensure_wallet(conn, org, owner, "USD", START).await?;
            let book = journal::open_book(conn, wallet, None).await?;
            let mut book = book.ok_or(StoreError::Malformed("wallet"))?;
            let terms = wallets::terms(None, None);
            book.grant(START, amount, terms, By::engine(format!("g{wallet}")))
                .unwrap();
            journal::keep(conn, &book).await?;
            Ok(wallet)
        })
    });
    (org, made.await.unwrap())
}

async fn try_hold(store: &Store, wallet: Uuid, call: Uuid, amount: i64) -> Result<Uuid, Refusal> {
    let hold = Uuid::now_v7();
    let placed = store.write(move |conn| {
        Box::pin(async move {
            let book = journal::open_book(conn, wallet, None).await?;
            let mut book = book.ok_or(StoreError::Malformed("wallet"))?;
            if let Err(refusal) = book.hold(START, hold, call, (amount, amount), START) {
                return Ok(Err(refusal));
            }
            journal::keep(conn, &book).await?;
            Ok(Ok(hold))
        })
    });
    placed.await.unwrap()
}

async fn settled(store: &Store, usage: CallUsage) -> super::super::settlement::Settlement {
    let done =
        store.write(move |conn| Box::pin(async move { settle(conn, &usage, START + 1).await }));
    done.await.unwrap()
}

async fn assert_sound(store: &Store) {
    let report = audit::verify(store, START).await.unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

on_both_databases! {
    async fn two_hundred_tasks_on_one_wallet_never_overspend(store) {
        // Enough for 73 calls and a half.
        let (org, wallet) = funded(&store, 73_500 * 10).await;
        let store = Arc::new(store);
        let tasks: Vec<_> = (0..200).map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let call = Uuid::now_v7();
                let hold = try_hold(&store, wallet, call, 10_000).await.ok()?;
                // Seven seconds cost 7,000, a reseller's 20 % on top.
                let done = settled(&store, usage(call, org, Some((wallet, hold)), 7)).await;
                assert_eq!(done.payment.written_off, 0);
                Some(done.payment.captured)
            })
        }).collect();
        let mut spent = 0;
        for task in tasks {
            spent += task.await.unwrap().unwrap_or(0);
        }
        let mut conn = store.read().await.unwrap();
        let left = journal::wallet(&mut conn, wallet).await.unwrap().unwrap();
        drop(conn);
        assert_eq!(left.posted, 735_000 - spent);
        assert_eq!(left.pending, 0);
        assert!((73 * 8_400..=735_000).contains(&spent), "{spent}");
        assert_sound(&store).await;
    }

    async fn two_hundred_holds_at_once_set_aside_no_more_than_there_is(store) {
        let (_, wallet) = funded(&store, 735_000).await;
        let holds = (0..200).map(|_| try_hold(&store, wallet, Uuid::now_v7(), 10_000));
        let placed = futures_util::future::join_all(holds).await;
        assert_eq!(placed.iter().filter(|hold| hold.is_ok()).count(), 73);
        assert_sound(&store).await;
    }

    async fn a_call_is_settled_once_however_often_it_is_told(store) {
        let (org, wallet) = funded(&store, 1_000_000).await;
        let call = Uuid::now_v7();
        let hold = try_hold(&store, wallet, call, 100_000).await.unwrap();
        let told = (0..20).map(|_| settled(&store, usage(call, org, Some((wallet, hold)), 30)));
        let done = futures_util::future::join_all(told).await;
        assert_eq!(done.iter().filter(|one| one.is_first).count(), 1);
        // 30,000 and 20 % on top; a tenth of it is the reseller's too.
        assert!(done.iter().all(|one| one.payment.captured == 36_000), "{done:?}");
        let sums = sql("SELECT account, posted FROM ledger_accounts ORDER BY account");
        let rows = store.fetch_all(sums).await.unwrap();
        let sums: Vec<(String, i64)> = rows
            .iter()
            .map(|row| (row.get("account").unwrap(), row.get("posted").unwrap()))
            .collect();
        let sums: Vec<(&str, i64)> = sums.iter().map(|(name, sum)| (name.as_str(), *sum)).collect();
        let expected = [
            ("earnings_commission", 3_000),
            ("earnings_markup", 6_000),
            ("minted", -1_000_000),
            ("revenue", 27_000),
        ];
        assert_eq!(sums, expected);
        let count = sql("SELECT count(*) AS n FROM usage_events");
        assert_eq!(store.fetch_one(count).await.unwrap().get::<i64>("n").unwrap(), 1);
        assert_sound(&store).await;
    }

    async fn the_ledger_refuses_to_be_rewritten_and_a_planted_change_is_found(store) {
        let (org, wallet) = funded(&store, 1_000_000).await;
        let call = Uuid::now_v7();
        let hold = try_hold(&store, wallet, call, 100_000).await.unwrap();
        settled(&store, usage(call, org, Some((wallet, hold)), 30)).await;
        for statement in [
            "UPDATE ledger_postings SET amount = amount * 2",
            "DELETE FROM ledger_postings",
            "UPDATE ledger_entries SET reason = 'x'",
            "DELETE FROM ledger_entries",
        ] {
            assert!(store.execute(sql(statement)).await.is_err(), "{statement}");
        }
        assert_sound(&store).await;
        // Somebody with the database in their hands takes the guard away.
        let unguard = match store.dialect() {
            Dialect::Sqlite => "DROP TRIGGER ledger_postings_are_not_changed",
            Dialect::Postgres => "DROP TRIGGER append_only ON ledger_postings",
        };
        store.execute(sql(unguard)).await.unwrap();
        let planted = sql("UPDATE ledger_postings SET amount = -35999 WHERE amount = -36000");
        assert_eq!(store.execute(planted).await.unwrap(), 1);
        let report = audit::verify(&store, START).await.unwrap();
        let found: Vec<Invariant> = report.findings.iter().map(|f| f.invariant).collect();
        for expected in [1, 2, 9] {
            assert!(found.contains(&Invariant(expected)), "{:?}", report.findings);
        }
    }

    async fn transfers_in_both_directions_at_once_do_not_wait_for_each_other(store) {
        let (_, one) = funded(&store, 500_000).await;
        let (_, other) = funded(&store, 500_000).await;
        let moves = (0..60).map(|number| {
            let way = if number % 2 == 0 { (one, other) } else { (other, one) };
            let terms = wallets::terms(None, None);
            let by = By::engine(format!("move {number}"));
            store.write(move |conn| {
                Box::pin(async move {
                    wallets::transfer(conn, way, (START, 1000), terms, by).await
                })
            })
        });
        for done in futures_util::future::join_all(moves).await {
            assert!(done.unwrap().is_ok());
        }
        assert_sound(&store).await;
    }
}
