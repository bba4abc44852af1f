//! Keeps books in the database: locks a wallet, reads what is open in it, and writes what a
//! command has changed, all within the transaction of the caller.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::book::Book;
use super::entry::{Account, Entry, EntryKind, Hash, Posting};
use super::wallet::{Category, Grant, Hold, HoldState, Owner, Slice, Wallet};
use crate::identity::accounts::{optional_uuid, uuid};
use crate::store::{Connection, Row, StoreError, sql};

pub(super) const WALLET_COLUMNS: &str = "id, org_id, owner_kind, owner_id, currency, posted, \
     pending, loose, loose_pinned, overdraft, cap, period_start, period_spent, funded, last_at, \
     chain_seq, chain_hash";
pub(super) const GRANT_COLUMNS: &str = "id, wallet_id, amount, remaining, pinned, category, \
     priority, effective_at, expires_at, voided_at, source_id, note, created_at";
const HOLD_COLUMNS: &str =
    "id, wallet_id, call_id, amount, captured, state, lease_until, created_at, resolved_at";

/// Locks a wallet and reads its book: all credit with something left, and the open hold of a call
/// where one is named.
///
/// # Errors
/// When the store fails.
pub async fn open_book(
    conn: &mut Connection,
    wallet: Uuid,
    hold: Option<Uuid>,
) -> Result<Option<Book>, StoreError> {
    let mut query = sql("SELECT ");
    query.push(WALLET_COLUMNS).push(" FROM wallets WHERE id = ");
    query.push_bind(wallet).push(conn.for_update());
    let Some(row) = query.fetch_optional(conn).await? else {
        return Ok(None);
    };
    let wallet = read_wallet(&row)?;
    let mut query = sql("SELECT ");
    query
        .push(GRANT_COLUMNS)
        .push(" FROM grants WHERE remaining > 0 AND wallet_id = ")
        .push_bind(wallet.id);
    let rows = query.fetch_all(conn).await?;
    let grants = rows.iter().map(read_grant).collect::<Result<_, _>>()?;
    let mut holds = Vec::new();
    if let Some(hold) = hold {
        let mut query = sql("SELECT ");
        query
            .push(HOLD_COLUMNS)
            .push(" FROM holds WHERE state = 'open' AND id = ")
            .push_bind(hold);
        if let Some(row) = query.fetch_optional(conn).await? {
            let mut hold = read_hold(&row)?;
            hold.slices = slices(conn, hold.id).await?;
            holds.push(hold);
        }
    }
    Ok(Some(Book::new(wallet, grants, holds)))
}

/// Writes what the commands on a book have changed.
///
/// # Errors
/// When the store fails.
pub async fn keep(conn: &mut Connection, book: &Book) -> Result<(), StoreError> {
    let wallet = &book.wallet;
    for entry in &book.entries {
        insert_entry(conn, entry).await?;
    }
    add_to_accounts(conn, book).await?;
    for grant in &book.grants {
        if book.touched_grants.contains(&grant.id) {
            upsert_grant(conn, wallet.id, grant).await?;
        }
    }
    for hold in &book.holds {
        if book.touched_holds.contains(&hold.id) {
            upsert_hold(conn, wallet.id, hold).await?;
        }
    }
    sql(
        "UPDATE wallets SET posted = $2, pending = $3, loose = $4, loose_pinned = $5, cap = $6, \
           period_start = $7, period_spent = $8, funded = $9, last_at = $10, chain_seq = $11, \
           chain_hash = $12 WHERE id = $1",
    )
    .bind(wallet.id)
    .bind(wallet.posted)
    .bind(wallet.pending)
    .bind(wallet.loose)
    .bind(wallet.loose_pinned)
    .bind(wallet.cap)
    .bind(wallet.period_start)
    .bind(wallet.period_spent)
    .bind(wallet.funded)
    .bind(wallet.last_at)
    .bind(wallet.chain_seq)
    .bind(&wallet.chain_hash[..])
    .execute(conn)
    .await
    .map(drop)
}

/// Whether an entry with this key was posted already.
///
/// # Errors
/// When the store fails.
pub async fn is_posted(conn: &mut Connection, idem_key: &str) -> Result<bool, StoreError> {
    let query = sql("SELECT id FROM ledger_entries WHERE idem_key = $1").bind(idem_key);
    Ok(query.fetch_optional(conn).await?.is_some())
}

/// The wallet of an owner in an organisation, made if there is none.
///
/// # Errors
/// When the store fails.
pub async fn ensure_wallet(
    conn: &mut Connection,
    org: Uuid,
    owner: Owner,
    currency: &str,
    now: i64,
) -> Result<Uuid, StoreError> {
    if let Some(found) = find_wallet(conn, org, owner, currency).await? {
        return Ok(found.id);
    }
    sql(
        "INSERT INTO wallets (id, org_id, owner_kind, owner_id, currency, posted, pending, loose, \
           loose_pinned, overdraft, cap, period_start, period_spent, funded, last_at, chain_seq, \
           chain_hash, created_at) \
         VALUES ($1, $2, $3, $4, $5, 0, 0, 0, 0, 0, NULL, 0, 0, 0, 0, 0, $6, $7) \
         ON CONFLICT (org_id, owner_kind, owner_id, currency) DO NOTHING",
    )
    .bind(Uuid::now_v7())
    .bind(org)
    .bind(owner.kind())
    .bind(owner.id())
    .bind(currency)
    .bind(&[0_u8; 32][..])
    .bind(now)
    .execute(conn)
    .await?;
    // Another writer may have been faster.
    let found = find_wallet(conn, org, owner, currency).await?;
    found
        .map(|wallet| wallet.id)
        .ok_or(StoreError::Malformed("wallet"))
}

/// The wallet of an owner in an organisation.
///
/// # Errors
/// When the store fails.
pub async fn find_wallet(
    conn: &mut Connection,
    org: Uuid,
    owner: Owner,
    currency: &str,
) -> Result<Option<Wallet>, StoreError> {
    let mut query = sql("SELECT ");
    query
        .push(WALLET_COLUMNS)
        .push(" FROM wallets WHERE org_id = ");
    query.push_bind(org).push(" AND owner_kind = ");
    query.push_bind(owner.kind()).push(" AND owner_id = ");
    query.push_bind(owner.id()).push(" AND currency = ");
    query.push_bind(currency);
    let row = query.fetch_optional(conn).await?;
    row.as_ref().map(read_wallet).transpose()
}

/// A wallet by its id.
///
/// # Errors
/// When the store fails.
pub async fn wallet(conn: &mut Connection, id: Uuid) -> Result<Option<Wallet>, StoreError> {
    let mut query = sql("SELECT ");
    query.push(WALLET_COLUMNS).push(" FROM wallets WHERE id = ");
    query.push_bind(id);
    let row = query.fetch_optional(conn).await?;
    row.as_ref().map(read_wallet).transpose()
}

async fn insert_entry(conn: &mut Connection, entry: &Entry) -> Result<(), StoreError> {
    sql(
        "INSERT INTO ledger_entries (id, wallet_id, seq, kind, idem_key, reference, actor, reason, \
           at, prev_hash, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(entry.id)
    .bind(entry.wallet)
    .bind(entry.seq)
    .bind(entry.kind.name())
    .bind(&entry.idem_key)
    .bind(entry.reference.clone())
    .bind(&entry.actor)
    .bind(entry.reason.clone())
    .bind(entry.at)
    .bind(&entry.prev_hash[..])
    .bind(&entry.hash[..])
    .execute(conn)
    .await?;
    let mut query = sql(
        "INSERT INTO ledger_postings (entry_id, number, wallet_id, account, grant_id, held, \
           amount) VALUES ",
    );
    for (number, posting) in (0_u32..).zip(&entry.postings) {
        query.push(if number == 0 { "(" } else { ", (" });
        query.push_bind(entry.id).push(", ").push_bind(number);
        query.push(", ").push_bind(posting.wallet);
        query.push(", ").push_bind(posting.account.name());
        query.push(", ").push_bind(posting.grant);
        query.push(", ").push_bind(posting.held);
        query.push(", ").push_bind(posting.amount).push(")");
    }
    query.execute(conn).await.map(drop)
}

/// Adds the postings to the kept sums of the wallet's own accounts; the sum of the balance itself
/// is in the wallet's row.
async fn add_to_accounts(conn: &mut Connection, book: &Book) -> Result<(), StoreError> {
    let mut sums: BTreeMap<Account, i64> = BTreeMap::new();
    let postings = book.entries.iter().flat_map(|entry| &entry.postings);
    for posting in postings.filter(|posting| posting.account != Account::Available) {
        *sums.entry(posting.account).or_default() += posting.amount;
    }
    if sums.is_empty() {
        return Ok(());
    }
    let mut query = sql("INSERT INTO ledger_accounts (wallet_id, account, posted) VALUES ");
    for (index, (account, amount)) in sums.into_iter().enumerate() {
        query.push(if index == 0 { "(" } else { ", (" });
        query.push_bind(book.wallet.id).push(", ");
        query.push_bind(account.name()).push(", ");
        query.push_bind(amount).push(")");
    }
    query.push(
        " ON CONFLICT (wallet_id, account) \
         DO UPDATE SET posted = ledger_accounts.posted + excluded.posted",
    );
    query.execute(conn).await.map(drop)
}

async fn upsert_grant(
    conn: &mut Connection,
    wallet: Uuid,
    grant: &Grant,
) -> Result<(), StoreError> {
    sql(
        "INSERT INTO grants (id, wallet_id, amount, remaining, pinned, category, priority, \
           effective_at, expires_at, voided_at, source_id, note, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
         ON CONFLICT (id) DO UPDATE SET remaining = excluded.remaining, \
           pinned = excluded.pinned, voided_at = excluded.voided_at",
    )
    .bind(grant.id)
    .bind(wallet)
    .bind(grant.amount)
    .bind(grant.remaining)
    .bind(grant.pinned)
    .bind(grant.category.name())
    .bind(grant.priority)
    .bind(grant.effective_at)
    .bind(grant.expires_at)
    .bind(grant.voided_at)
    .bind(grant.source)
    .bind(grant.note.clone())
    .bind(grant.created_at)
    .execute(conn)
    .await
    .map(drop)
}

async fn upsert_hold(conn: &mut Connection, wallet: Uuid, hold: &Hold) -> Result<(), StoreError> {
    sql(
        "INSERT INTO holds (id, wallet_id, call_id, amount, captured, state, lease_until, \
           created_at, resolved_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (id) DO UPDATE SET amount = excluded.amount, captured = excluded.captured, \
           state = excluded.state, lease_until = excluded.lease_until, \
           resolved_at = excluded.resolved_at",
    )
    .bind(hold.id)
    .bind(wallet)
    .bind(hold.call)
    .bind(hold.amount)
    .bind(hold.captured)
    .bind(hold.state.name())
    .bind(hold.lease_until)
    .bind(hold.created_at)
    .bind(hold.resolved_at)
    .execute(conn)
    .await?;
    sql("DELETE FROM hold_slices WHERE hold_id = $1")
        .bind(hold.id)
        .execute(conn)
        .await?;
    if hold.slices.is_empty() {
        return Ok(());
    }
    let mut query = sql("INSERT INTO hold_slices (hold_id, number, grant_id, amount) VALUES ");
    for (number, slice) in (0_u32..).zip(&hold.slices) {
        query.push(if number == 0 { "(" } else { ", (" });
        query.push_bind(hold.id).push(", ").push_bind(number);
        query.push(", ").push_bind(slice.grant);
        query.push(", ").push_bind(slice.amount).push(")");
    }
    query.execute(conn).await.map(drop)
}

async fn slices(conn: &mut Connection, hold: Uuid) -> Result<Vec<Slice>, StoreError> {
    let rows = sql("SELECT grant_id, amount FROM hold_slices WHERE hold_id = $1 ORDER BY number")
        .bind(hold)
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Slice {
                grant: optional_uuid(row, "grant_id")?,
                amount: row.get("amount")?,
            })
        })
        .collect()
}

pub(super) fn read_wallet(row: &Row) -> Result<Wallet, StoreError> {
    let owner = uuid(row, "owner_id")?;
    let kind: String = row.get("owner_kind")?;
    Ok(Wallet {
        id: uuid(row, "id")?,
        org: uuid(row, "org_id")?,
        owner: match kind.as_str() {
            "org" => Owner::Organisation(owner),
            "user" => Owner::User(owner),
            _ => return Err(StoreError::Malformed("owner of a wallet")),
        },
        currency: row.get("currency")?,
        posted: row.get("posted")?,
        pending: row.get("pending")?,
        loose: row.get("loose")?,
        loose_pinned: row.get("loose_pinned")?,
        overdraft: row.get("overdraft")?,
        cap: row.get("cap")?,
        period_start: row.get("period_start")?,
        period_spent: row.get("period_spent")?,
        funded: row.flag("funded")?,
        last_at: row.get("last_at")?,
        chain_seq: row.get("chain_seq")?,
        chain_hash: read_hash(row, "chain_hash")?,
    })
}

pub(super) fn read_grant(row: &Row) -> Result<Grant, StoreError> {
    let category: String = row.get("category")?;
    Ok(Grant {
        id: uuid(row, "id")?,
        amount: row.get("amount")?,
        remaining: row.get("remaining")?,
        pinned: row.get("pinned")?,
        category: Category::named(&category).ok_or(StoreError::Malformed("category"))?,
        priority: row.get("priority")?,
        effective_at: row.get("effective_at")?,
        expires_at: row.get("expires_at")?,
        voided_at: row.get("voided_at")?,
        source: optional_uuid(row, "source_id")?,
        note: row.get("note")?,
        created_at: row.get("created_at")?,
    })
}

pub(super) fn read_hold(row: &Row) -> Result<Hold, StoreError> {
    let state: String = row.get("state")?;
    Ok(Hold {
        id: uuid(row, "id")?,
        call: uuid(row, "call_id")?,
        amount: row.get("amount")?,
        captured: row.get("captured")?,
        state: HoldState::named(&state).ok_or(StoreError::Malformed("state of a hold"))?,
        lease_until: row.get("lease_until")?,
        created_at: row.get("created_at")?,
        resolved_at: row.get("resolved_at")?,
        slices: Vec::new(),
    })
}

pub(super) fn read_entry(row: &Row, postings: Vec<Posting>) -> Result<Entry, StoreError> {
    let kind: String = row.get("kind")?;
    Ok(Entry {
        id: uuid(row, "id")?,
        wallet: uuid(row, "wallet_id")?,
        seq: row.get("seq")?,
        kind: EntryKind::named(&kind).ok_or(StoreError::Malformed("kind of an entry"))?,
        idem_key: row.get("idem_key")?,
        reference: row.get("reference")?,
        actor: row.get("actor")?,
        reason: row.get("reason")?,
        at: row.get("at")?,
        prev_hash: read_hash(row, "prev_hash")?,
        hash: read_hash(row, "hash")?,
        postings,
    })
}

pub(super) fn read_posting(row: &Row) -> Result<Posting, StoreError> {
    let account: String = row.get("account")?;
    Ok(Posting {
        wallet: uuid(row, "wallet_id")?,
        account: Account::named(&account).ok_or(StoreError::Malformed("account"))?,
        grant: optional_uuid(row, "grant_id")?,
        held: row.flag("held")?,
        amount: row.get("amount")?,
    })
}

fn read_hash(row: &Row, column: &'static str) -> Result<Hash, StoreError> {
    let bytes: Vec<u8> = row.get(column)?;
    bytes
        .try_into()
        .map_err(|_| StoreError::Malformed("hash of an entry"))
}
