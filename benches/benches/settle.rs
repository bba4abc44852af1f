//! Calls begun, kept and settled a second, on SQLite and on PostgreSQL: what money costs a call in
//! database work. `cargo bench -p benches --bench settle`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use control::billing::book::By;
use control::billing::rating::{Component, Price, Tariff, UsageLine};
use control::billing::settlement::{CallTerms, CallUsage, Payer, settle};
use control::billing::wallet::Owner;
use control::billing::{audit, journal, wallets};
use control::store::{Store, StoreError};
use uuid::Uuid;

/// Calls that end at the same time.
const TASKS: usize = 64;
/// For how long each case runs.
const RUN: Duration = Duration::from_secs(5);
const NOW: i64 = 1_708_992_000_000_000;

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

async fn funded(store: &Store) -> Result<Uuid, StoreError> {
    let org = Uuid::now_v7();
    let made = store.write(move |conn| {
        Box::pin(async move {
            let owner = Owner::Organisation(org);
            let wallet = journal::ensure_wallet(conn, org, owner, "USD", NOW).await?;
            let book = journal::open_book(conn, wallet, None).await?;
            let mut book = book.ok_or(StoreError::Malformed("wallet"))?;
            let by = By::engine(format!("bench {wallet}"));
            let done = book.grant(NOW, 1_000_000_000_000, wallets::terms(None, None), by);
            done.map_err(|_| StoreError::Malformed("grant"))?;
            journal::keep(conn, &book).await?;
            Ok(wallet)
        })
    });
    made.await
}

fn usage(call: Uuid, wallet: Uuid, hold: Uuid, tariff: &Tariff) -> CallUsage {
    let line = |component, quantity| UsageLine {
        component,
        provider: "x".to_owned(),
        quantity,
    };
    CallUsage {
        terms: CallTerms {
            call,
            org: wallet,
            owner: None,
            agent: "bench".to_owned(),
            call_type: "phone".to_owned(),
            tariff: tariff.clone(),
            currency: "USD".to_owned(),
            markup_bps: 1000,
            commission_bps: 500,
            payer: Some(Payer { wallet, hold }),
        },
        duration_ms: 61_000,
        lines: vec![
            line(Component::Telephony, 61_000),
            line(Component::Platform, 61_000),
            line(Component::Stt, 40_000),
            line(Component::LlmInput, 12_000),
            line(Component::LlmOutput, 800),
            line(Component::Tts, 2_000),
        ],
    }
}

fn tariff() -> Tariff {
    let price = |component: Component| Price {
        id: Uuid::now_v7(),
        component,
        provider: "*".to_owned(),
        price: 12_345,
        cost: 10_000,
        per_units: 60,
        increment_s: 6,
        minimum_s: 0,
    };
    Tariff::new(Component::ALL.map(price).to_vec())
}

/// Places a hold, then settles the call; two transactions.
async fn one_call(store: &Store, wallet: Uuid, tariff: &Tariff) -> Result<(), StoreError> {
    let (call, hold) = (Uuid::now_v7(), Uuid::now_v7());
    let placed = store.write(move |conn| {
        Box::pin(async move {
            let book = journal::open_book(conn, wallet, None).await?;
            let mut book = book.ok_or(StoreError::Malformed("wallet"))?;
            let held = book.hold(NOW, hold, call, (10_000_000, 10_000_000), NOW);
            held.map_err(|_| StoreError::Malformed("hold"))?;
            journal::keep(conn, &book).await
        })
    });
    placed.await?;
    let usage = usage(call, wallet, hold, tariff);
    let settled = store.write(move |conn| Box::pin(async move { settle(conn, &usage, NOW).await }));
    settled.await.map(drop)
}

#[expect(clippy::print_stdout, reason = "a benchmark tells its figures")]
async fn measure(name: &str, store: Store, wallets: usize) -> Result<(), StoreError> {
    let mut ids = Vec::new();
    for _ in 0..wallets {
        ids.push(funded(&store).await?);
    }
    let (store, tariff) = (Arc::new(store), Arc::new(tariff()));
    let started = now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (store, tariff, wallet) = (store.clone(), tariff.clone(), ids[task % wallets]);
            tokio::spawn(async move {
                let mut calls = 0_u32;
                while now().duration_since(started) < RUN {
                    one_call(&store, wallet, &tariff).await?;
                    calls += 1;
                }
                Ok::<_, StoreError>(calls)
            })
        })
        .collect();
    let mut calls = 0;
    for task in tasks {
        calls += task.await.map_err(|_| StoreError::Closed)??;
    }
    let seconds = now().duration_since(started).as_secs_f64();
    let checked = now();
    let report = audit::verify(&store, NOW).await?;
    println!(
        "{name:<10} {wallets:>3} wallets: {:>6.0} calls/s held and settled, verified {} entries in {:.2} s, {} findings",
        f64::from(calls) / seconds,
        report.counts.1,
        now().duration_since(checked).as_secs_f64(),
        report.findings.len(),
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        for wallets in [1, 64] {
            let dir = tempfile::tempdir()?;
            let store = Store::open(&dir.path().join("bench.db")).await?;
            measure("SQLite", store, wallets).await?;
        }
        for wallets in [1, 64] {
            let url = tokio::task::spawn_blocking(fixtures::postgres::new_database).await?;
            measure("PostgreSQL", Store::connect(&url).await?, wallets).await?;
        }
        Ok(())
    })
}
