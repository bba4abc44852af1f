//! What is looked after beside the calls: usage that waits on disk, holds nobody renews, credit
//! that expires, and the ledger's invariants.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::audit;
use super::book::By;
use super::calls::{CallBilling, report};
use super::journal;
use super::settlement::{self, CallUsage};
use super::spool;
use super::wallet::HoldState;
use crate::clock::now_us;
use crate::identity::accounts::uuid;
use crate::store::{Store, StoreError, sql};

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(15);
/// Rounds between two checks of the whole ledger: an hour.
const ROUNDS_PER_CHECK: u32 = 240;
/// How long after its lease a hold is left alone: its owner may only be slow.
pub const GRACE_US: i64 = 30_000_000;
/// Rows looked after at a time.
const BATCH: i64 = 200;

/// Runs until its task is ended.
pub async fn run(store: Store, billing: CallBilling) {
    let mut rounds = interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in (0..ROUNDS_PER_CHECK).cycle() {
        rounds.tick().await;
        if let Err(error) = once(&store, &billing, now_us()).await {
            tracing::error!(%error, "money was not looked after");
        }
        if round == ROUNDS_PER_CHECK - 1 && billing.section().enabled {
            check(&store).await;
        }
    }
}

/// One round at `now`.
///
/// # Errors
/// When the store fails.
pub async fn once(store: &Store, billing: &CallBilling, now: i64) -> Result<(), StoreError> {
    replay(store, billing, now).await?;
    end_forgotten(store, now).await?;
    expire_credit(store, now).await
}

async fn check(store: &Store) {
    match audit::verify(store, now_us()).await {
        Ok(report) => {
            let failures = report.findings.len();
            metrics::gauge!("samvad_billing_invariant_failures").set(failures as f64);
            for finding in report.findings.iter().take(20) {
                tracing::error!(%finding, "the ledger is not in order");
            }
        }
        Err(error) => tracing::error!(%error, "the ledger was not checked"),
    }
}

/// Settles what waits on disk.
async fn replay(store: &Store, billing: &CallBilling, now: i64) -> Result<(), StoreError> {
    let waiting = match spool::waiting(billing.spool()).await {
        Ok(waiting) => waiting,
        Err(error) => {
            tracing::error!(%error, "usage on disk was not read");
            return Ok(());
        }
    };
    for (path, usage) in waiting {
        let call = usage.terms.call;
        let settled = store.write(move |conn| {
            Box::pin(async move { settlement::settle(conn, &usage, now).await })
        });
        report(call, &settled.await?);
        if let Err(error) = tokio::fs::remove_file(&path).await {
            // It would be settled again, which changes nothing.
            tracing::warn!(%error, path = %path.display(), "settled usage was not removed");
        }
    }
    Ok(())
}

/// Ends holds that nobody renews any more: the call is settled by what it had used when its owner
/// was last heard of, never by the time of day.
async fn end_forgotten(store: &Store, now: i64) -> Result<(), StoreError> {
    let query = sql(
        "SELECT id, wallet_id, usage FROM holds WHERE state = 'open' \
                     AND lease_until < $1 ORDER BY lease_until LIMIT $2",
    );
    let rows = store
        .fetch_all(query.bind(now - GRACE_US).bind(BATCH))
        .await?;
    for row in &rows {
        let (hold, wallet) = (uuid(row, "id")?, uuid(row, "wallet_id")?);
        let usage: Option<String> = row.get("usage")?;
        let usage = usage.and_then(|text| serde_json::from_str::<CallUsage>(&text).ok());
        match usage.filter(|usage| !usage.lines.is_empty()) {
            Some(usage) => {
                let call = usage.terms.call;
                tracing::warn!(call_id = %call, "call without an end is settled by its last heartbeat");
                let settled = store.write(move |conn| {
                    Box::pin(async move {
                        if !still_forgotten(conn, wallet, hold, now).await? {
                            return Ok(None);
                        }
                        settlement::settle(conn, &usage, now).await.map(Some)
                    })
                });
                if let Some(settlement) = settled.await? {
                    report(call, &settlement);
                }
            }
            None => release(store, wallet, hold, now).await?,
        }
    }
    Ok(())
}

/// Whether a hold is what it was when it was found, with its wallet locked.
async fn still_forgotten(
    conn: &mut crate::store::Connection,
    wallet: Uuid,
    hold: Uuid,
    now: i64,
) -> Result<bool, StoreError> {
    let book = journal::open_book(conn, wallet, Some(hold)).await?;
    let holds = book.map(|book| book.holds).unwrap_or_default();
    Ok(holds.iter().any(|hold| hold.lease_until < now - GRACE_US))
}

async fn release(store: &Store, wallet: Uuid, hold: Uuid, now: i64) -> Result<(), StoreError> {
    let released = store.write(move |conn| {
        Box::pin(async move {
            if !still_forgotten(conn, wallet, hold, now).await? {
                return Ok(());
            }
            let Some(mut book) = journal::open_book(conn, wallet, Some(hold)).await? else {
                return Ok(());
            };
            if book
                .release(now, hold, HoldState::Expired, By::engine(String::new()))
                .is_ok()
            {
                journal::keep(conn, &book).await?;
            }
            Ok(())
        })
    });
    released.await
}

/// Takes credit out of force that has expired.
async fn expire_credit(store: &Store, now: i64) -> Result<(), StoreError> {
    let query = sql(
        "SELECT DISTINCT wallet_id FROM grants WHERE remaining > pinned \
                     AND expires_at <= $1 LIMIT $2",
    );
    let rows = store.fetch_all(query.bind(now).bind(BATCH)).await?;
    for row in &rows {
        let wallet = uuid(row, "wallet_id")?;
        let expired = store.write(move |conn| {
            Box::pin(async move {
                let Some(mut book) = journal::open_book(conn, wallet, None).await? else {
                    return Ok(0);
                };
                let expired = book.expire_grants(now, By::engine(String::new()));
                if expired > 0 {
                    journal::keep(conn, &book).await?;
                }
                Ok(expired)
            })
        });
        let expired = expired.await?;
        if expired > 0 {
            tracing::info!(%wallet, micros = expired, "credit has expired");
        }
    }
    Ok(())
}
