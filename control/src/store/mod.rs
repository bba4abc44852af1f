//! The database: one writer that commits in groups, readers beside it.
//!
//! Each product area keeps its statements in its own file and hands them here. Statements stay
//! within the SQL that SQLite and PostgreSQL share, as far as that is cheap.

mod writer;

use std::path::Path;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, SqlSafeStr};
use tokio::sync::{mpsc, oneshot};

use self::writer::{Job, TypedJob};

/// Writes that may wait for the writer; a sender beyond that waits itself.
pub const WRITE_CAPACITY: usize = 1024;
/// Connections that read at a time.
const READERS: u32 = 4;
/// The migrations in order; numbers are never reused.
const MIGRATIONS: &[(i64, &str, &str)] =
    &[(1, "calls", include_str!("../../migrations/0001_calls.sql"))];

/// Why something was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database refused or failed.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("database schema: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The group this write belonged to was not committed.
    #[error("database commit: {0}")]
    Commit(String),
    /// The writer has stopped.
    #[error("the store is closed")]
    Closed,
    /// A record was refused; nothing was written.
    #[error(transparent)]
    Refused(pipeline::llm::records::RecordError),
    /// A stored value is not what this version writes.
    #[error("stored {0} is malformed")]
    Malformed(&'static str),
}

impl StoreError {
    /// Whether a unique key is taken already.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error)) if error.is_unique_violation())
    }
}

/// The database. Cloneable.
#[derive(Clone, Debug)]
pub struct Store {
    writes: mpsc::Sender<Box<dyn Job>>,
    readers: SqlitePool,
}

impl Store {
    /// Opens the database at `path`, creating and migrating it as needed.
    ///
    /// # Errors
    /// When the file cannot be opened or is newer than this program.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A committed write survives a power cut; the group commit pays for it.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .disable_statement_logging();
        let mut writer = options.connect().await?;
        migrator().run(&mut writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(options.read_only(true).create_if_missing(false))
            .await?;
        let (writes, jobs) = mpsc::channel(WRITE_CAPACITY);
        tokio::spawn(writer::run(writer, jobs));
        Ok(Self { writes, readers })
    }

    /// Runs `job` in the next group and answers once the group is on disk. A job that fails
    /// changes nothing, and does not spoil the others of its group.
    ///
    /// # Errors
    /// The job's own, or [`StoreError::Commit`] when the group failed.
    pub async fn write<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>>
            + Send
            + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.writes
            .send(Box::new(TypedJob::new(job, reply)))
            .await
            .map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Connections for reading.
    #[must_use]
    pub const fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Writes that wait now.
    #[must_use]
    pub fn queue_len(&self) -> usize {
        self.writes.max_capacity() - self.writes.capacity()
    }

    /// Whether the writer runs.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.writes.is_closed()
    }
}

fn migrator() -> Migrator {
    Migrator::with_migrations(
        MIGRATIONS
            .iter()
            .map(|&(version, description, sql)| {
                Migration::new(
                    version,
                    description.into(),
                    MigrationType::Simple,
                    sql.into_sql_str(),
                    false,
                )
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use sqlx::Row;

    use super::*;

    async fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("test.db")).await.unwrap();
        (dir, store)
    }

    async fn insert(store: &Store, id: &str) -> Result<(), StoreError> {
        let id = id.to_owned();
        store
            .write(move |conn| {
                Box::pin(async move {
                    sqlx::query("INSERT INTO boots (id, started_at) VALUES (?1, 1)")
                        .bind(id)
                        .execute(conn)
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    async fn count(store: &Store) -> i64 {
        sqlx::query("SELECT count(*) FROM boots")
            .fetch_one(store.readers())
            .await
            .unwrap()
            .get(0)
    }

    #[tokio::test]
    async fn a_failing_write_spoils_no_other_of_its_group() {
        let (_dir, store) = store().await;
        let results =
            futures_util::future::join_all(["a", "b", "a", "c", "b"].map(|id| insert(&store, id)))
                .await;
        let failed: Vec<bool> = results.iter().map(Result::is_err).collect();
        assert_eq!(failed, [false, false, true, false, true]);
        assert!(
            results[2]
                .as_ref()
                .is_err_and(StoreError::is_unique_violation)
        );
        assert_eq!(count(&store).await, 3);
    }

    #[tokio::test]
    async fn many_writes_share_commits_and_all_are_readable_once_answered() {
        let (_dir, store) = store().await;
        let writes = (0..1000).map(|i| {
            let store = store.clone();
            async move { insert(&store, &format!("{i:04}")).await }
        });
        for result in futures_util::future::join_all(writes).await {
            result.unwrap();
        }
        assert_eq!(count(&store).await, 1000);
        assert_eq!(store.queue_len(), 0);
    }

    #[tokio::test]
    async fn an_abandoned_write_rolls_back_alone() {
        let (_dir, store) = store().await;
        let outcome: Result<(), StoreError> = store
            .write(|conn| {
                Box::pin(async move {
                    sqlx::query("INSERT INTO boots (id, started_at) VALUES ('x', 1)")
                        .execute(conn)
                        .await?;
                    Err(StoreError::Malformed("test"))
                })
            })
            .await;
        assert!(matches!(outcome, Err(StoreError::Malformed("test"))));
        assert_eq!(count(&store).await, 0);
    }

    #[tokio::test]
    async fn what_was_answered_is_there_after_reopening() {
        let (dir, store) = store().await;
        insert(&store, "kept").await.unwrap();
        // No orderly close: the second store reads what the first one's commits left on disk.
        let again = Store::open(&dir.path().join("test.db")).await.unwrap();
        assert_eq!(count(&again).await, 1);
    }
}
