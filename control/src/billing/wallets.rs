//! Commands on wallets by people: found or made, credited, capped, corrected.

use uuid::Uuid;

use super::book::{self, Book, By, Refusal, Terms};
use super::journal;
use super::wallet::{Category, Owner, Wallet};
use crate::config::BillingSection;
use crate::identity::audit::Actor;
use crate::store::{Connection, StoreError};

/// The wallet of an organisation; one that is new gets its opening credit.
///
/// # Errors
/// When the store fails.
pub async fn of_organisation(
    conn: &mut Connection,
    org: Uuid,
    section: &BillingSection,
    now: i64,
) -> Result<Uuid, StoreError> {
    let owner = Owner::Organisation(org);
    let wallet = journal::ensure_wallet(conn, org, owner, &section.currency, now).await?;
    let amount = section.opening_credit.0;
    if amount == 0 {
        return Ok(wallet);
    }
    let opened = journal::open_book(conn, wallet, None).await?;
    let mut book = opened.ok_or(StoreError::Malformed("wallet"))?;
    let key = format!("opening:{wallet}");
    if book.wallet.funded || journal::is_posted(conn, &key).await? {
        return Ok(wallet);
    }
    let terms = Terms {
        category: Category::Promo,
        ..terms(None, Some("opening credit".to_owned()))
    };
    if book.grant(now, amount, terms, By::engine(key)).is_ok() {
        journal::keep(conn, &book).await?;
    }
    Ok(wallet)
}

/// Terms of credit that was paid for, in force at once.
#[must_use]
pub fn terms(expires_at: Option<i64>, note: Option<String>) -> Terms {
    Terms {
        id: Uuid::now_v7(),
        category: Category::Paid,
        priority: 0,
        effective_at: 0,
        expires_at,
        note,
    }
}

/// Runs a command on a wallet's book and keeps what it changed; notes who did it.
///
/// # Errors
/// When the store fails. The command's own refusal is the inner error; nothing is written then.
pub async fn command<T>(
    conn: &mut Connection,
    wallet: Uuid,
    (actor, action): (&Actor, &str),
    run: impl FnOnce(&mut Book) -> Result<T, Refusal>,
) -> Result<Result<(T, Wallet), Refusal>, StoreError> {
    let opened = journal::open_book(conn, wallet, None).await?;
    let mut book = opened.ok_or(StoreError::Malformed("wallet"))?;
    let done = match run(&mut book) {
        Ok(done) => done,
        Err(refusal) => return Ok(Err(refusal)),
    };
    journal::keep(conn, &book).await?;
    actor.did(conn, action, ("wallet", wallet)).await?;
    Ok(Ok((done, book.wallet)))
}

/// Moves credit between two wallets; both are locked in the order of their ids, so that two
/// transfers never wait for each other.
///
/// # Errors
/// As [`command`].
pub async fn transfer(
    conn: &mut Connection,
    (from, to): (Uuid, Uuid),
    (now, amount): (i64, i64),
    terms: Terms,
    by: By,
) -> Result<Result<Wallet, Refusal>, StoreError> {
    if from == to {
        return Ok(Err(Refusal::SameWallet));
    }
    let missing = || StoreError::Malformed("wallet");
    let first = journal::open_book(conn, from.min(to), None).await?;
    let second = journal::open_book(conn, from.max(to), None).await?;
    let (first, second) = (first.ok_or_else(missing)?, second.ok_or_else(missing)?);
    let (mut source, mut target) = if from < to {
        (first, second)
    } else {
        (second, first)
    };
    match book::transfer(&mut source, &mut target, now, amount, terms, by) {
        Ok(()) => {}
        Err(refusal) => return Ok(Err(refusal)),
    }
    // The entry names the new grant, and is in the source's chain.
    journal::keep(conn, &target).await?;
    journal::keep(conn, &source).await?;
    Ok(Ok(target.wallet))
}
