//! What is shown of wallets and their ledgers.

use serde_json::{Value, json};
use uuid::Uuid;

use super::journal::{GRANT_COLUMNS, WALLET_COLUMNS, read_grant, read_wallet};
use super::money;
use super::wallet::{Grant, Wallet};
use crate::clock::rfc3339;
use crate::identity::accounts::uuid;
use crate::store::{Connection, Row, Store, StoreError, sql};

/// Grants shown of a wallet, the newest.
const GRANTS_MAX: i64 = 200;
/// What an entry did to the wallet it is shown for.
const LINE: &str = "SELECT e.id, e.kind, e.reference, e.actor, e.reason, e.at, \
     CAST(SUM(p.amount) AS BIGINT) AS amount \
     FROM ledger_postings p JOIN ledger_entries e ON e.id = p.entry_id \
     WHERE p.account = 'available' AND p.wallet_id = ";
const LINE_GROUP: &str = " GROUP BY e.id, e.kind, e.reference, e.actor, e.reason, e.at";

/// The newest grants of a wallet.
///
/// # Errors
/// When the store fails.
pub async fn grants(conn: &mut Connection, wallet: Uuid) -> Result<Vec<Grant>, StoreError> {
    let mut query = sql("SELECT ");
    query
        .push(GRANT_COLUMNS)
        .push(" FROM grants WHERE wallet_id = ");
    query
        .push_bind(wallet)
        .push(" ORDER BY created_at DESC, id LIMIT ");
    query.push_bind(GRANTS_MAX);
    query
        .fetch_all(conn)
        .await?
        .iter()
        .map(read_grant)
        .collect()
}

/// A grant.
///
/// # Errors
/// When the store fails.
pub async fn grant(conn: &mut Connection, id: Uuid) -> Result<Option<Grant>, StoreError> {
    let mut query = sql("SELECT ");
    query
        .push(GRANT_COLUMNS)
        .push(" FROM grants WHERE id = ")
        .push_bind(id);
    let row = query.fetch_optional(conn).await?;
    row.as_ref().map(read_grant).transpose()
}

/// What the ledger has of a wallet, newest first.
///
/// # Errors
/// When the store fails.
pub async fn lines(
    conn: &mut Connection,
    wallet: Uuid,
    skip: i64,
    count: i64,
) -> Result<Vec<Value>, StoreError> {
    let mut query = sql(LINE);
    query.push_bind(wallet).push(LINE_GROUP);
    query
        .push(" ORDER BY e.at DESC, e.id DESC LIMIT ")
        .push_bind(count);
    query.push(" OFFSET ").push_bind(skip);
    query.fetch_all(conn).await?.iter().map(line_json).collect()
}

/// One entry as a wallet shows it.
///
/// # Errors
/// When the store fails.
pub async fn line(conn: &mut Connection, wallet: Uuid, entry: Uuid) -> Result<Value, StoreError> {
    let mut query = sql(LINE);
    query
        .push_bind(wallet)
        .push(" AND e.id = ")
        .push_bind(entry);
    query.push(LINE_GROUP);
    line_json(&query.fetch_one(conn).await?)
}

/// Wallets of one kind of owner, and how many there are.
///
/// # Errors
/// When the store fails.
pub async fn wallets(
    store: &Store,
    owner_kind: &str,
    skip: i64,
    count: i64,
) -> Result<(Vec<Wallet>, i64), StoreError> {
    let mut query = sql("SELECT ");
    query
        .push(WALLET_COLUMNS)
        .push(" FROM wallets WHERE owner_kind = ");
    query
        .push_bind(owner_kind)
        .push(" ORDER BY created_at, id LIMIT ");
    query.push_bind(count).push(" OFFSET ").push_bind(skip);
    let rows = store.fetch_all(query).await?;
    let found = rows.iter().map(read_wallet).collect::<Result<_, _>>()?;
    let total = sql("SELECT count(*) AS n FROM wallets WHERE owner_kind = $1").bind(owner_kind);
    Ok((found, store.fetch_one(total).await?.get("n")?))
}

/// Organisations, oldest first, and how many there are.
///
/// # Errors
/// When the store fails.
pub async fn organisations(
    conn: &mut Connection,
    skip: i64,
    count: i64,
) -> Result<(Vec<Uuid>, i64), StoreError> {
    let query = sql("SELECT id FROM organisations ORDER BY created_at, id LIMIT $1 OFFSET $2");
    let rows = query.bind(count).bind(skip).fetch_all(conn).await?;
    let found = rows.iter().map(|row| uuid(row, "id"));
    let found = found.collect::<Result<_, _>>()?;
    let total = sql("SELECT count(*) AS n FROM organisations");
    Ok((found, total.fetch_one(conn).await?.get("n")?))
}

/// Members of an organisation.
///
/// # Errors
/// When the store fails.
pub async fn members(
    conn: &mut Connection,
    org: Uuid,
    most: usize,
) -> Result<Vec<Uuid>, StoreError> {
    let query = sql("SELECT user_id FROM memberships WHERE org_id = $1 \
                     ORDER BY created_at, user_id LIMIT $2");
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = query.bind(org).bind(most).fetch_all(conn).await?;
    rows.iter().map(|row| uuid(row, "user_id")).collect()
}

fn line_json(row: &Row) -> Result<Value, StoreError> {
    let amount: i64 = row.get("amount")?;
    Ok(json!({
        "id": row.get::<String>("id")?,
        "type": row.get::<String>("kind")?,
        "amount_usd": money::number(amount),
        "amount": money::decimal(amount),
        "reference": row.get::<Option<String>>("reference")?,
        "actor": row.get::<String>("actor")?,
        "reason": row.get::<Option<String>>("reason")?,
        "created_at": rfc3339(row.get("at")?),
    }))
}
