//! The same test on either database.

use std::sync::atomic::{AtomicI64, Ordering};

use super::Store;

/// Runs each `async fn name(store)` as a test on SQLite and on PostgreSQL.
macro_rules! on_both_databases {
    ($($(#[$doc:meta])* async fn $name:ident($store:ident) $body:block)*) => {$(
        mod $name {
            use super::*;

            async fn check($store: $crate::store::Store) $body

            #[tokio::test]
            async fn on_sqlite() {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("test.db");
                check($crate::store::Store::open(&path).await.unwrap()).await;
            }

            #[tokio::test]
            async fn on_postgres() {
                check($crate::store::testing::postgres().await).await;
            }
        }
    )*};
}
pub(crate) use on_both_databases;

/// Statements until the process dies; below zero it lives.
static STATEMENTS_LEFT: AtomicI64 = AtomicI64::new(-1);

/// Lets the process die, as by `kill -9`, before the statement that comes after `count` others.
pub(crate) fn die_after(count: i64) {
    STATEMENTS_LEFT.store(count, Ordering::SeqCst);
}

/// Statements begun since [`die_after`] was told a large number.
pub(crate) fn statements_left() -> i64 {
    STATEMENTS_LEFT.load(Ordering::SeqCst)
}

/// Called before every statement.
pub(crate) fn statement_boundary() {
    if STATEMENTS_LEFT.load(Ordering::SeqCst) >= 0
        && STATEMENTS_LEFT.fetch_sub(1, Ordering::SeqCst) == 0
    {
        std::process::abort();
    }
}

/// A new PostgreSQL database.
pub(crate) async fn postgres() -> Store {
    Store::connect(&postgres_url().await).await.unwrap()
}

/// Address of a new PostgreSQL database.
pub(crate) async fn postgres_url() -> String {
    let url = tokio::task::spawn_blocking(fixtures::postgres::new_database);
    url.await.unwrap()
}
