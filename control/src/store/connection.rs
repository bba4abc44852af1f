//! A connection to either database.

use std::fmt;

use sqlx::pool::PoolConnection;
use sqlx::postgres::Postgres;
use sqlx::sqlite::{Sqlite, SqliteConnection};

/// Which database answers; the few places where SQL differs ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// A connection to either database; statements are run by [`super::query::Query`].
pub struct Connection(pub(super) Inner);

pub(super) enum Inner {
    /// The one that writes.
    Sqlite(SqliteConnection),
    /// One that reads.
    SqliteReader(PoolConnection<Sqlite>),
    /// Reads and writes.
    Postgres(PoolConnection<Postgres>),
}

impl Connection {
    /// Which database it leads to.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        match self.0 {
            Inner::Sqlite(_) | Inner::SqliteReader(_) => Dialect::Sqlite,
            Inner::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Suffix of a SELECT whose rows this transaction is going to change. SQLite has one writer
    /// and needs none.
    #[must_use]
    pub const fn for_update(&self) -> &'static str {
        match self.dialect() {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR UPDATE",
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection").field(&self.dialect()).finish()
    }
}
