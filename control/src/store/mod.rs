//! The database: one writer that commits in groups, readers beside it.
//!
//! Each product area keeps its statements in its own file and hands them here. Statements stay
//! within the SQL that SQLite and PostgreSQL share, as far as that is cheap.

pub mod connection;
pub mod query;
pub mod tenant;
#[cfg(test)]
pub(crate) mod testing;
mod writer;

use std::fmt;
use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, SqlSafeStr};
use tokio::sync::{mpsc, oneshot};

pub use self::connection::{Connection, Dialect};
pub use self::query::{Query, Row, Value, sql};
pub use self::tenant::Tenant;

use self::connection::Inner;
use self::writer::{Job, TypedJob};
use crate::config::Config;

/// Name of the SQLite database within the data directory.
const DATABASE: &str = "samvad.db";
/// Writes that may wait for the writer; a sender beyond that waits itself.
pub const WRITE_CAPACITY: usize = 1024;
/// Connections that read SQLite at a time.
const READERS: u32 = 4;
/// Connections to PostgreSQL.
const POSTGRES_CONNECTIONS: u32 = 16;
/// Longest pause within a transaction on PostgreSQL, which ends the connection then.
const POSTGRES_IDLE_MAX: &str = "10s";
/// Longest wait for a connection; then the request fails rather than queues without end.
const ACQUIRE_MAX: Duration = Duration::from_secs(10);
/// The migrations in order; numbers are never reused. Written for SQLite; see [`for_postgres`].
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "calls", include_str!("../../migrations/0001_calls.sql")),
    (
        2,
        "domain",
        include_str!("../../migrations/0002_domain.sql"),
    ),
    (
        10,
        "outbound",
        include_str!("../../migrations/0010_outbound.sql"),
    ),
    (
        11,
        "campaigns",
        include_str!("../../migrations/0011_campaigns.sql"),
    ),
    (
        20,
        "billing",
        include_str!("../../migrations/0020_billing.sql"),
    ),
    (30, "tools", include_str!("../../migrations/0030_tools.sql")),
    (
        31,
        "webhooks",
        include_str!("../../migrations/0031_webhooks.sql"),
    ),
];
/// Migrations in the words of one database only, where the two share none.
const OWN_MIGRATIONS: &[(Dialect, i64, &str, &str)] = &[
    (
        Dialect::Sqlite,
        21,
        "append only",
        include_str!("../../migrations/0021_append_only_sqlite.sql"),
    ),
    (
        Dialect::Postgres,
        21,
        "append only",
        include_str!("../../migrations/0021_append_only_postgres.sql"),
    ),
];

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
    /// The job was declined for a reason of its own; nothing was written.
    #[error("declined: {}", .0.message)]
    Declined(Box<crate::api::failure::Failure>),
    /// Text with U+0000 in it.
    #[error("text with a NUL character cannot be stored")]
    Unstorable,
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
#[derive(Clone)]
pub struct Store {
    backend: Backend,
}

#[derive(Clone)]
enum Backend {
    Sqlite {
        writes: mpsc::Sender<Box<dyn Job>>,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.dialect()).finish()
    }
}

impl Store {
    /// The configured database: PostgreSQL where there is a URL, else SQLite in the data directory.
    ///
    /// # Errors
    /// When it cannot be opened or is newer than this program.
    pub async fn of(config: &Config) -> Result<Self, StoreError> {
        match &config.database.url {
            Some(url) => Self::connect(url.reveal()).await,
            None => Self::open(&config.data_dir.join(DATABASE)).await,
        }
    }

    /// Opens the SQLite database at `path`, creating and migrating it as needed.
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
        migrator(Dialect::Sqlite).run(&mut writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(ACQUIRE_MAX)
            .connect_with(options.read_only(true).create_if_missing(false))
            .await?;
        let (writes, jobs) = mpsc::channel(WRITE_CAPACITY);
        tokio::spawn(writer::run(Connection(Inner::Sqlite(writer)), jobs));
        Ok(Self {
            backend: Backend::Sqlite { writes, readers },
        })
    }

    /// Connects to the PostgreSQL database at `url` (`postgres://…`), migrating it as needed.
    ///
    /// # Errors
    /// When it cannot be reached or is newer than this program.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        // A process that stands still within a transaction must not hold up the others for longer.
        let options = PgConnectOptions::from_str(url)?
            .options([("idle_in_transaction_session_timeout", POSTGRES_IDLE_MAX)])
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            .acquire_timeout(ACQUIRE_MAX)
            .connect_with(options)
            .await?;
        migrator(Dialect::Postgres).run(&pool).await?;
        Ok(Self {
            backend: Backend::Postgres(pool),
        })
    }

    /// Runs `job` as one transaction and answers once it is on disk. On SQLite jobs are committed
    /// in groups; a job that fails changes nothing, and does not spoil the others of its group.
    ///
    /// # Errors
    /// The job's own, or [`StoreError::Commit`] when the group failed.
    pub async fn write<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, StoreError>>
            + Send
            + 'static,
    {
        match &self.backend {
            Backend::Sqlite { writes, .. } => {
                let (reply, answer) = oneshot::channel();
                writes
                    .send(Box::new(TypedJob::new(job, reply)))
                    .await
                    .map_err(|_| StoreError::Closed)?;
                answer.await.map_err(|_| StoreError::Closed)?
            }
            Backend::Postgres(pool) => {
                let connection = Connection(Inner::Postgres(pool.acquire().await?));
                // A task of its own: a request that goes away does not stop a write half-way.
                let written = tokio::spawn(writer::run_alone(connection, job));
                written.await.map_err(|_| StoreError::Closed)?
            }
        }
    }

    /// Runs one statement as a write of its own and tells how many rows it changed.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn execute(&self, query: Query) -> Result<u64, StoreError> {
        self.write(move |conn| Box::pin(query.execute(conn))).await
    }

    /// A connection for reading.
    ///
    /// # Errors
    /// When none becomes free in time.
    pub async fn read(&self) -> Result<Connection, StoreError> {
        Ok(Connection(match &self.backend {
            Backend::Sqlite { readers, .. } => Inner::SqliteReader(readers.acquire().await?),
            Backend::Postgres(pool) => Inner::Postgres(pool.acquire().await?),
        }))
    }

    /// Reads all rows of a SELECT.
    ///
    /// # Errors
    /// When the database refuses or fails.
    pub async fn fetch_all(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        query.fetch_all(&mut self.read().await?).await
    }

    /// Reads the first row of a SELECT.
    ///
    /// # Errors
    /// When the database refuses or fails.
    pub async fn fetch_optional(&self, query: Query) -> Result<Option<Row>, StoreError> {
        query.fetch_optional(&mut self.read().await?).await
    }

    /// Reads the only row of an aggregate.
    ///
    /// # Errors
    /// When the database refuses or fails.
    pub async fn fetch_one(&self, query: Query) -> Result<Row, StoreError> {
        query.fetch_one(&mut self.read().await?).await
    }

    /// Which database it is.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        match self.backend {
            Backend::Sqlite { .. } => Dialect::Sqlite,
            Backend::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Writes that wait now.
    #[must_use]
    pub fn queue_len(&self) -> usize {
        match &self.backend {
            Backend::Sqlite { writes, .. } => writes.max_capacity() - writes.capacity(),
            Backend::Postgres(_) => 0,
        }
    }

    /// Whether writes are taken.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match &self.backend {
            Backend::Sqlite { writes, .. } => !writes.is_closed(),
            Backend::Postgres(pool) => !pool.is_closed(),
        }
    }
}

/// Pattern of LIKE (with `ESCAPE '!'`) for lower-case text that contains `text`.
#[must_use]
pub fn contains(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

fn migrator(dialect: Dialect) -> Migrator {
    let shared = MIGRATIONS.iter().map(|&(version, description, sql)| {
        let text = match dialect {
            Dialect::Sqlite => sql.into_sql_str(),
            Dialect::Postgres => AssertSqlSafe(for_postgres(sql)).into_sql_str(),
        };
        (version, description, text)
    });
    let own = OWN_MIGRATIONS
        .iter()
        .filter(|(of, ..)| *of == dialect)
        .map(|&(_, version, description, sql)| (version, description, sql.into_sql_str()));
    let mut all: Vec<_> = shared.chain(own).collect();
    all.sort_by_key(|(version, ..)| *version);
    let migration = |(version, description, text): (i64, &'static str, _)| {
        let simple = MigrationType::Simple;
        Migration::new(version, description.into(), simple, text, false)
    };
    Migrator::with_migrations(all.into_iter().map(migration).collect())
}

/// The schema in PostgreSQL's words: types are named differently, and its tables are strict anyway.
/// Text is compared byte by byte, as SQLite does, whatever the database's locale.
fn for_postgres(schema: &str) -> String {
    let mut out = String::with_capacity(schema.len() + 512);
    for line in schema.lines() {
        let statement = line.split("--").next().unwrap_or_default();
        let statement = statement
            .replace(") STRICT;", ");")
            .replace(" INTEGER", " BIGINT")
            .replace(" BLOB", " BYTEA")
            .replace(" TEXT", " TEXT COLLATE \"C\"");
        out.push_str(&statement);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::store::testing::on_both_databases;

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
                    sql("INSERT INTO boots (id, started_at) VALUES ($1, 1)")
                        .bind(id)
                        .execute(conn)
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    async fn count(store: &Store) -> i64 {
        let row = store.fetch_one(sql("SELECT count(*) AS n FROM boots"));
        row.await.unwrap().get("n").unwrap()
    }

    on_both_databases! {
        async fn a_failing_write_spoils_no_other_of_its_group(store) {
            let results =
                futures_util::future::join_all(["a", "b", "a", "c", "b"].map(|id| insert(&store, id)))
                    .await;
            let failed: Vec<bool> = results.iter().map(Result::is_err).collect();
            // Of two equal ones either may come first where there are several writers.
            assert!(failed[0] != failed[2] && failed[1] != failed[4] && !failed[3], "{failed:?}");
            for error in results.iter().filter_map(|result| result.as_ref().err()) {
                assert!(error.is_unique_violation(), "{error}");
            }
            assert_eq!(count(&store).await, 3);
        }

        async fn many_writes_share_commits_and_all_are_readable_once_answered(store) {
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

        async fn an_abandoned_write_rolls_back_alone(store) {
            let outcome: Result<(), StoreError> = store
                .write(|conn| {
                    Box::pin(async move {
                        sql("INSERT INTO boots (id, started_at) VALUES ('x', 1)")
                            .execute(conn)
                            .await?;
                        Err(StoreError::Malformed("test"))
                    })
                })
                .await;
            assert!(matches!(outcome, Err(StoreError::Malformed("test"))));
            assert_eq!(count(&store).await, 0);
        }
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
