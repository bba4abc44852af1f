//! The same test on either database.

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

/// A new PostgreSQL database.
pub(crate) async fn postgres() -> Store {
    let url = tokio::task::spawn_blocking(fixtures::postgres::new_database);
    Store::connect(&url.await.unwrap()).await.unwrap()
}
