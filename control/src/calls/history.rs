//! A tenant's calls: lists, details, sums.

use serde_json::{Value, json};
use uuid::Uuid;

use super::id::CallId;
use super::queries::{COLUMNS, call_record, turn};
use super::record::{CallDetail, CallRecord};
use crate::store::{Query, Row, Store, StoreError, Tenant, sql};

/// Which calls are meant.
#[derive(Clone, Debug, Default)]
pub struct HistoryFilter {
    /// `phone` or `web`.
    pub call_type: Option<String>,
    /// `inbound` or `outbound`.
    pub direction: Option<String>,
    /// Of this agent.
    pub agent: Option<String>,
    /// With this disposition.
    pub disposition: Option<String>,
    /// Began at this time or later, in microseconds.
    pub from: Option<i64>,
    /// Began before this time, in microseconds.
    pub until: Option<i64>,
    /// Dialled by this batch.
    pub batch: Option<Uuid>,
    /// `active` or `ended`.
    pub status: Option<String>,
    /// Any organisation's, for superusers.
    pub everywhere: bool,
}

impl HistoryFilter {
    fn condition(&self, tenant: Tenant, query: &mut Query) {
        query.push(" FROM calls WHERE ");
        if self.everywhere {
            query.push("1 = 1");
        } else {
            query.push("org_id = ").push_bind(tenant.organisation());
        }
        let batch = self.batch.map(|id| id.to_string());
        for (column, value) in [
            ("call_type", &self.call_type),
            ("direction", &self.direction),
            ("agent_id", &self.agent),
            ("disposition", &self.disposition),
            ("batch_id", &batch),
            ("status", &self.status),
        ] {
            if let Some(value) = value {
                query
                    .push(" AND ")
                    .push(column)
                    .push(" = ")
                    .push_bind(value);
            }
        }
        if let Some(from) = self.from {
            query.push(" AND started_at >= ").push_bind(from);
        }
        if let Some(until) = self.until {
            query.push(" AND started_at < ").push_bind(until);
        }
    }
}

/// Calls, newest first, and how many there are in all.
///
/// # Errors
/// When the store fails.
pub async fn list(
    store: &Store,
    tenant: Tenant,
    filter: &HistoryFilter,
    offset: i64,
    limit: i64,
) -> Result<(Vec<CallRecord>, i64), StoreError> {
    let mut count = sql("SELECT count(*) AS n");
    filter.condition(tenant, &mut count);
    let mut rows = sql(format!("SELECT {COLUMNS}"));
    filter.condition(tenant, &mut rows);
    rows.push(" ORDER BY id DESC LIMIT ").push_bind(limit);
    rows.push(" OFFSET ").push_bind(offset);
    let mut conn = store.read().await?;
    let total = count.fetch_one(&mut conn).await?.get("n")?;
    let rows = rows.fetch_all(&mut conn).await?;
    Ok((
        rows.iter().map(call_record).collect::<Result<_, _>>()?,
        total,
    ))
}

/// A tenant's call with its transcript.
///
/// # Errors
/// When the store fails.
pub async fn find(
    store: &Store,
    tenant: Tenant,
    id: CallId,
) -> Result<Option<CallDetail>, StoreError> {
    let mut conn = store.read().await?;
    let row = sql(format!(
        "SELECT {COLUMNS} FROM calls WHERE id = $1 AND org_id = $2"
    ))
    .bind(id.to_string())
    .bind(tenant.organisation())
    .fetch_optional(&mut conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let turns = sql(
        "SELECT speaker, text, start_ms, end_ms, interrupted, dtmf, timings \
                     FROM call_turns WHERE call_id = $1 ORDER BY number",
    )
    .bind(id.to_string())
    .fetch_all(&mut conn)
    .await?;
    Ok(Some(CallDetail {
        call: call_record(&row)?,
        turns: turns.iter().map(turn).collect::<Result<_, _>>()?,
    }))
}

/// How many calls there were and how long they took.
///
/// # Errors
/// When the store fails.
pub async fn totals(
    store: &Store,
    tenant: Tenant,
    filter: &HistoryFilter,
) -> Result<Value, StoreError> {
    let mut query = sql("SELECT count(*) AS calls, \
           CAST(COALESCE(SUM(CASE WHEN status = 'active' THEN 1 ELSE 0 END), 0) AS BIGINT) AS active, \
           CAST(COALESCE(SUM(CASE WHEN direction = 'inbound' THEN 1 ELSE 0 END), 0) AS BIGINT) AS inbound, \
           CAST(COALESCE(SUM(CASE WHEN answered_at IS NOT NULL THEN 1 ELSE 0 END), 0) AS BIGINT) AS answered, \
           CAST(COALESCE(SUM(CASE WHEN outcome_class = 'completed' THEN 1 ELSE 0 END), 0) AS BIGINT) AS completed, \
           CAST(COALESCE(SUM(ended_at - answered_at), 0) AS BIGINT) AS talk_us");
    filter.condition(tenant, &mut query);
    let row = store.fetch_one(query).await?;
    let number = |column: &str| row.get::<i64>(column);
    let (calls, inbound, answered) = (number("calls")?, number("inbound")?, number("answered")?);
    let talk_s = number("talk_us")? / 1_000_000;
    Ok(json!({
        "total_calls": calls,
        "active_calls": number("active")?,
        "inbound_calls": inbound,
        "outbound_calls": calls - inbound,
        "answered_calls": answered,
        "completed_calls": number("completed")?,
        "total_duration_seconds": talk_s,
        "average_duration_seconds": if answered > 0 { talk_s / answered } else { 0 },
    }))
}

/// Calls and talk a day (UTC), oldest first.
///
/// # Errors
/// When the store fails.
pub async fn trend(
    store: &Store,
    tenant: Tenant,
    filter: &HistoryFilter,
) -> Result<Vec<Value>, StoreError> {
    const DAY_US: i64 = 86_400_000_000;
    let mut query = sql(
        "SELECT started_at / 86400000000 AS day, count(*) AS calls, \
           CAST(COALESCE(SUM(ended_at - answered_at), 0) AS BIGINT) AS talk_us",
    );
    filter.condition(tenant, &mut query);
    query.push(" GROUP BY started_at / 86400000000 ORDER BY day LIMIT 400");
    let day = |row: &Row| -> Result<Value, StoreError> {
        let start: i64 = row.get("day")?;
        let date = crate::clock::rfc3339(start * DAY_US);
        Ok(json!({
            "date": date[..10],
            "calls": row.get::<i64>("calls")?,
            "duration_seconds": row.get::<i64>("talk_us")? / 1_000_000,
        }))
    };
    store.fetch_all(query).await?.iter().map(day).collect()
}

/// How many calls have which disposition, the most frequent first.
///
/// # Errors
/// When the store fails.
pub async fn dispositions(
    store: &Store,
    tenant: Tenant,
    filter: &HistoryFilter,
) -> Result<Vec<Value>, StoreError> {
    let mut query =
        sql("SELECT COALESCE(disposition, outcome_reason, 'active') AS label, count(*) AS n");
    filter.condition(tenant, &mut query);
    query.push(" GROUP BY COALESCE(disposition, outcome_reason, 'active') ORDER BY n DESC, label LIMIT 500");
    let entry = |row: &Row| -> Result<Value, StoreError> {
        let label: String = row.get("label")?;
        Ok(json!({ "disposition": label, "count": row.get::<i64>("n")? }))
    };
    store.fetch_all(query).await?.iter().map(entry).collect()
}
