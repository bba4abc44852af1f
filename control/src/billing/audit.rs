//! Shows a whole ledger to the [`Verifier`], as it is at one moment.

use std::collections::HashMap;

use uuid::Uuid;

use super::entry::{Account, Posting};
use super::journal;
use super::verify::{ChargeRow, Report, Verifier};
use crate::identity::accounts::{optional_uuid, uuid};
use crate::store::{Connection, Dialect, Store, StoreError, sql};

/// Rows read at a time.
const PAGE: i64 = 2000;

/// Checks the ledger of a database. It may be in use: what is read is one snapshot.
///
/// # Errors
/// When the store fails, or holds what no version of this program writes.
pub async fn verify(store: &Store, now: i64) -> Result<Report, StoreError> {
    let mut conn = store.read().await?;
    let begin = match conn.dialect() {
        Dialect::Sqlite => "BEGIN",
        Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    };
    sql(begin).execute(&mut conn).await?;
    let report = read_all(&mut conn, now).await;
    // The connection goes back to others, whatever came of it.
    sql("ROLLBACK").execute(&mut conn).await?;
    report
}

async fn read_all(conn: &mut Connection, now: i64) -> Result<Report, StoreError> {
    let mut verifier = Verifier::new(now);
    let mut query = sql("SELECT ");
    query
        .push(journal::WALLET_COLUMNS)
        .push(" FROM wallets ORDER BY id");
    let mut wallets: Vec<Uuid> = Vec::new();
    for row in &query.fetch_all(conn).await? {
        let wallet = journal::read_wallet(row)?;
        wallets.push(wallet.id);
        verifier.wallet(wallet);
    }
    let mut query = sql("SELECT ");
    query.push(journal::GRANT_COLUMNS).push(" FROM grants");
    for row in &query.fetch_all(conn).await? {
        verifier.grant(uuid(row, "wallet_id")?, journal::read_grant(row)?);
    }
    for wallet in wallets {
        read_chain(conn, wallet, &mut verifier).await?;
    }
    let query = sql("SELECT wallet_id, account, posted FROM ledger_accounts");
    for row in &query.fetch_all(conn).await? {
        let account: String = row.get("account")?;
        let account = Account::named(&account).ok_or(StoreError::Malformed("account"))?;
        verifier.account(uuid(row, "wallet_id")?, account, row.get("posted")?);
    }
    read_holds(conn, &mut verifier).await?;
    read_charges(conn, &mut verifier).await?;
    Ok(verifier.finish())
}

async fn read_chain(
    conn: &mut Connection,
    wallet: Uuid,
    verifier: &mut Verifier,
) -> Result<(), StoreError> {
    let mut after = 0;
    loop {
        let entries = sql(
            "SELECT id, wallet_id, seq, kind, idem_key, reference, actor, reason, at, \
               prev_hash, hash FROM ledger_entries WHERE wallet_id = $1 AND seq > $2 \
             ORDER BY seq LIMIT $3",
        )
        .bind(wallet)
        .bind(after)
        .bind(PAGE)
        .fetch_all(conn)
        .await?;
        let Some(last) = entries.last() else {
            return Ok(());
        };
        let until: i64 = last.get("seq")?;
        let rows = sql(
            "SELECT p.entry_id, p.wallet_id, p.account, p.grant_id, p.held, p.amount \
             FROM ledger_postings p JOIN ledger_entries e ON e.id = p.entry_id \
             WHERE e.wallet_id = $1 AND e.seq > $2 AND e.seq <= $3 ORDER BY e.seq, p.number",
        )
        .bind(wallet)
        .bind(after)
        .bind(until)
        .fetch_all(conn)
        .await?;
        let mut postings: HashMap<Uuid, Vec<Posting>> = HashMap::new();
        for row in &rows {
            let entry = uuid(row, "entry_id")?;
            let posting = journal::read_posting(row)?;
            postings.entry(entry).or_default().push(posting);
        }
        for row in &entries {
            let own = postings.remove(&uuid(row, "id")?).unwrap_or_default();
            verifier.entry(&journal::read_entry(row, own)?);
        }
        after = until;
    }
}

async fn read_holds(conn: &mut Connection, verifier: &mut Verifier) -> Result<(), StoreError> {
    let slices = sql("SELECT hold_id, grant_id, amount FROM hold_slices ORDER BY hold_id, number");
    let mut by_hold: HashMap<Uuid, Vec<super::wallet::Slice>> = HashMap::new();
    for row in &slices.fetch_all(conn).await? {
        let slice = super::wallet::Slice {
            grant: optional_uuid(row, "grant_id")?,
            amount: row.get("amount")?,
        };
        by_hold
            .entry(uuid(row, "hold_id")?)
            .or_default()
            .push(slice);
    }
    let mut after = String::new();
    loop {
        let rows = sql(
            "SELECT id, wallet_id, call_id, amount, captured, state, lease_until, \
               created_at, resolved_at FROM holds WHERE id > $1 ORDER BY id LIMIT $2",
        )
        .bind(&after)
        .bind(PAGE)
        .fetch_all(conn)
        .await?;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        after = last.get("id")?;
        for row in &rows {
            let mut hold = journal::read_hold(row)?;
            hold.slices = by_hold.remove(&hold.id).unwrap_or_default();
            verifier.hold(uuid(row, "wallet_id")?, &hold);
        }
    }
}

async fn read_charges(conn: &mut Connection, verifier: &mut Verifier) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let rows = sql(
            "SELECT call_id, wallet_id, retail, markup, commission, captured, \
               written_off, entry_id FROM call_charges WHERE call_id > $1 \
             ORDER BY call_id LIMIT $2",
        )
        .bind(&after)
        .bind(PAGE)
        .fetch_all(conn)
        .await?;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        after = last.get("call_id")?;
        for row in &rows {
            verifier.charge(ChargeRow {
                call: uuid(row, "call_id")?,
                wallet: optional_uuid(row, "wallet_id")?,
                retail: row.get("retail")?,
                markup: row.get("markup")?,
                commission: row.get("commission")?,
                captured: row.get("captured")?,
                written_off: row.get("written_off")?,
                entry: optional_uuid(row, "entry_id")?,
            });
        }
    }
}
