//! One SQL text for both databases: placeholders are `$1`, `$2`, …, which both understand.
//!
//! Columns hold text, 64-bit integers and bytes, nothing else: times are microseconds, truth is 0
//! or 1, JSON is text. What differs between the databases is then nothing a statement shows.

use std::borrow::Cow;

use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::Query as SqlxQuery;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Decode, Row as _, Type};

use super::StoreError;
use super::connection::{Connection, Inner};

/// A value bound to a placeholder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// Text, or NULL.
    Text(Option<String>),
    /// An integer, or NULL.
    Int(Option<i64>),
    /// Bytes, or NULL.
    Bytes(Option<Vec<u8>>),
}

macro_rules! bound_as {
    ($($kind:ty => $variant:ident, $convert:expr;)*) => {$(
        impl From<$kind> for Value {
            fn from(value: $kind) -> Self {
                #[allow(clippy::redundant_closure_call)]
                Self::$variant(Some(($convert)(value)))
            }
        }
        impl From<Option<$kind>> for Value {
            fn from(value: Option<$kind>) -> Self {
                Self::$variant(value.map($convert))
            }
        }
    )*};
}

bound_as! {
    String => Text, |v| v;
    &str => Text, |v: &str| v.to_owned();
    &String => Text, |v: &String| v.clone();
    uuid::Uuid => Text, |v: uuid::Uuid| v.to_string();
    &serde_json::Value => Text, |v: &serde_json::Value| v.to_string();
    i64 => Int, |v| v;
    i32 => Int, i64::from;
    u32 => Int, i64::from;
    bool => Int, i64::from;
    Vec<u8> => Bytes, |v| v;
    &[u8] => Bytes, |v: &[u8]| v.to_vec();
}

/// A statement with its values.
#[derive(Clone, Debug)]
pub struct Query {
    text: Cow<'static, str>,
    values: Vec<Value>,
}

/// A statement. Its text never holds anything that came from outside; that is bound.
pub fn sql(text: impl Into<Cow<'static, str>>) -> Query {
    Query {
        text: text.into(),
        values: Vec::new(),
    }
}

impl Query {
    /// Binds the next placeholder.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Appends text.
    pub fn push(&mut self, text: &str) -> &mut Self {
        self.text.to_mut().push_str(text);
        self
    }

    /// Appends a placeholder for `value`.
    pub fn push_bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        let placeholder = format!("${}", self.values.len());
        self.push(&placeholder)
    }

    /// Runs it and tells how many rows it changed.
    ///
    /// # Errors
    /// When the database refuses or fails.
    pub async fn execute(self, connection: &mut Connection) -> Result<u64, StoreError> {
        self.check()?;
        Ok(match &mut connection.0 {
            Inner::Sqlite(c) => self.sqlite().execute(c).await?.rows_affected(),
            Inner::SqliteReader(c) => self.sqlite().execute(&mut **c).await?.rows_affected(),
            Inner::Postgres(c) => self.postgres().execute(&mut **c).await?.rows_affected(),
        })
    }

    /// All rows.
    ///
    /// # Errors
    /// When the database refuses or fails.
    pub async fn fetch_all(self, connection: &mut Connection) -> Result<Vec<Row>, StoreError> {
        self.check()?;
        Ok(match &mut connection.0 {
            Inner::Sqlite(c) => sqlite_rows(self.sqlite().fetch_all(c).await?),
            Inner::SqliteReader(c) => sqlite_rows(self.sqlite().fetch_all(&mut **c).await?),
            Inner::Postgres(c) => {
                let rows = self.postgres().fetch_all(&mut **c).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// When the database refuses or fails.
    pub async fn fetch_optional(
        self,
        connection: &mut Connection,
    ) -> Result<Option<Row>, StoreError> {
        self.check()?;
        Ok(match &mut connection.0 {
            Inner::Sqlite(c) => self.sqlite().fetch_optional(c).await?.map(Row::Sqlite),
            Inner::SqliteReader(c) => {
                let row = self.sqlite().fetch_optional(&mut **c).await?;
                row.map(Row::Sqlite)
            }
            Inner::Postgres(c) => {
                let row = self.postgres().fetch_optional(&mut **c).await?;
                row.map(Row::Postgres)
            }
        })
    }

    /// The first row, which there is (an aggregate).
    ///
    /// # Errors
    /// When there is none, or the database refuses or fails.
    pub async fn fetch_one(self, connection: &mut Connection) -> Result<Row, StoreError> {
        let row = self.fetch_optional(connection).await?;
        row.ok_or(StoreError::Database(sqlx::Error::RowNotFound))
    }

    /// PostgreSQL cannot store U+0000 in text, so neither database gets it.
    fn check(&self) -> Result<(), StoreError> {
        #[cfg(test)]
        super::testing::statement_boundary();
        let has_nul = |value: &Value| matches!(value, Value::Text(Some(t)) if t.contains('\0'));
        if self.values.iter().any(has_nul) {
            return Err(StoreError::Unstorable);
        }
        Ok(())
    }

    fn sqlite(self) -> SqlxQuery<'static, Sqlite, SqliteArguments> {
        let mut query = sqlx::query(AssertSqlSafe(self.text.into_owned()));
        for value in self.values {
            query = match value {
                Value::Text(value) => query.bind(value),
                Value::Int(value) => query.bind(value),
                Value::Bytes(value) => query.bind(value),
            };
        }
        query
    }

    fn postgres(self) -> SqlxQuery<'static, Postgres, PgArguments> {
        let mut query = sqlx::query(AssertSqlSafe(self.text.into_owned()));
        for value in self.values {
            query = match value {
                Value::Text(value) => query.bind(value),
                Value::Int(value) => query.bind(value),
                Value::Bytes(value) => query.bind(value),
            };
        }
        query
    }
}

fn sqlite_rows(rows: Vec<SqliteRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Sqlite).collect()
}

/// A row of either database.
pub enum Row {
    /// SQLite's.
    Sqlite(SqliteRow),
    /// PostgreSQL's.
    Postgres(PgRow),
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Row")
    }
}

/// What a column can be read as: text, integers, bytes, and options of them.
pub trait Column:
    for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

impl<T> Column for T where
    T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

impl Row {
    /// The value of a column.
    ///
    /// # Errors
    /// When there is no such column or it holds something else.
    pub fn get<T: Column>(&self, column: &str) -> Result<T, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// A truth value.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn flag(&self, column: &str) -> Result<bool, StoreError> {
        Ok(self.get::<i64>(column)? != 0)
    }

    /// JSON kept as text.
    ///
    /// # Errors
    /// As [`Self::get`], and when the text is not JSON.
    pub fn json(&self, column: &'static str) -> Result<serde_json::Value, StoreError> {
        let text: String = self.get(column)?;
        serde_json::from_str(&text).map_err(|_| StoreError::Malformed(column))
    }

    /// JSON kept as text, or NULL.
    ///
    /// # Errors
    /// As [`Self::json`].
    pub fn optional_json(
        &self,
        column: &'static str,
    ) -> Result<Option<serde_json::Value>, StoreError> {
        let text: Option<String> = self.get(column)?;
        text.map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|_| StoreError::Malformed(column))
    }
}
