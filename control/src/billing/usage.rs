//! What was used and what it cost, for those who pay and those who earn.

use std::fmt::Write as _;

use serde_json::{Value, json};
use uuid::Uuid;

use super::money;
use crate::campaigns::csv;
use crate::clock::rfc3339;
use crate::store::{Query, Row, Store, StoreError, contains, sql};

/// A day in microseconds.
pub const DAY_US: i64 = 86_400_000_000;
/// Buckets of one answer.
const BUCKETS_MAX: i64 = 1000;

/// A span of time that ends now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Period {
    /// 24 hours.
    Day,
    /// 7 days.
    Week,
    /// 30 days.
    Month,
    /// 120 days.
    FourMonths,
    /// 365 days.
    Year,
    /// From the beginning.
    All,
}

impl Period {
    /// Names in the API.
    pub const NAMES: [&'static str; 6] = ["day", "week", "month", "4months", "year", "all"];

    /// The period with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            "4months" => Self::FourMonths,
            "year" => Self::Year,
            "all" => Self::All,
            _ => return None,
        })
    }

    /// When it began, in microseconds.
    #[must_use]
    pub const fn start(self, now: i64) -> Option<i64> {
        let days = match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 30,
            Self::FourMonths => 120,
            Self::Year => 365,
            Self::All => return None,
        };
        Some(now - days * DAY_US)
    }

    /// Width of a bucket in a chart of it: an hour, a day, or 30 days.
    #[must_use]
    pub const fn bucket(self) -> i64 {
        match self {
            Self::Day => DAY_US / 24,
            Self::Week | Self::Month | Self::FourMonths => DAY_US,
            Self::Year | Self::All => 30 * DAY_US,
        }
    }
}

/// Which calls are meant.
#[derive(Clone, Debug, Default)]
pub struct UsageFilter {
    /// Of this organisation; of all when `None`.
    pub org: Option<Uuid>,
    /// Of agents of this user.
    pub owner: Option<Uuid>,
    /// Of these agents, if any are named.
    pub agents: Vec<String>,
    /// Of these types, if any are named.
    pub call_types: Vec<String>,
    /// With this in the id of call or agent.
    pub search: Option<String>,
    /// Ended at this time or later.
    pub from: Option<i64>,
    /// Ended before this time.
    pub until: Option<i64>,
    /// None at all.
    pub is_empty: bool,
}

impl UsageFilter {
    fn condition(&self, query: &mut Query) {
        query.push(" FROM call_charges WHERE ");
        query.push(if self.is_empty { "1 = 0" } else { "1 = 1" });
        for (column, value) in [("org_id", self.org), ("owner_id", self.owner)] {
            if let Some(value) = value {
                query
                    .push(" AND ")
                    .push(column)
                    .push(" = ")
                    .push_bind(value);
            }
        }
        for (column, values) in [("agent_id", &self.agents), ("call_type", &self.call_types)] {
            if values.is_empty() {
                continue;
            }
            query.push(" AND ").push(column).push(" IN (");
            for (index, value) in values.iter().enumerate() {
                query
                    .push(if index == 0 { "" } else { ", " })
                    .push_bind(value);
            }
            query.push(")");
        }
        if let Some(search) = &self.search {
            let pattern = contains(search);
            query
                .push(" AND (lower(agent_id) LIKE ")
                .push_bind(&pattern);
            query
                .push(" ESCAPE '!' OR call_id LIKE ")
                .push_bind(&pattern);
            query.push(" ESCAPE '!')");
        }
        if let Some(from) = self.from {
            query.push(" AND at >= ").push_bind(from);
        }
        if let Some(until) = self.until {
            query.push(" AND at < ").push_bind(until);
        }
    }
}

/// Bills of calls, newest first, and how many there are.
///
/// # Errors
/// When the store fails.
pub async fn sessions(
    store: &Store,
    filter: &UsageFilter,
    skip: i64,
    count: i64,
) -> Result<(Vec<Value>, i64), StoreError> {
    let mut query = sql("SELECT call_id, agent_id, call_type, duration_s, retail, currency, at");
    filter.condition(&mut query);
    query
        .push(" ORDER BY at DESC, call_id DESC LIMIT ")
        .push_bind(count);
    query.push(" OFFSET ").push_bind(skip);
    let session = |row: &Row| -> Result<Value, StoreError> {
        Ok(json!({
            "session_id": row.get::<String>("call_id")?,
            "agent_id": row.get::<String>("agent_id")?,
            "session_type": row.get::<String>("call_type")?,
            "duration_seconds": row.get::<i64>("duration_s")?,
            "cost_usd": money::number(row.get("retail")?),
            "currency": row.get::<String>("currency")?,
            "created_at": rfc3339(row.get("at")?),
        }))
    };
    let found = store.fetch_all(query).await?;
    let found = found.iter().map(session).collect::<Result<_, _>>()?;
    let mut total = sql("SELECT count(*) AS n");
    filter.condition(&mut total);
    Ok((found, store.fetch_one(total).await?.get("n")?))
}

/// Sums over calls.
///
/// # Errors
/// When the store fails.
pub async fn totals(store: &Store, filter: &UsageFilter) -> Result<Value, StoreError> {
    let mut query = sql("SELECT count(*) AS calls, \
         CAST(COALESCE(SUM(duration_s), 0) AS BIGINT) AS duration, \
         CAST(COALESCE(SUM(retail), 0) AS BIGINT) AS retail");
    filter.condition(&mut query);
    totals_json(&store.fetch_one(query).await?)
}

/// The same sums by spans of time, oldest first; spans without calls are left out.
///
/// # Errors
/// When the store fails.
pub async fn buckets(
    store: &Store,
    filter: &UsageFilter,
    width: i64,
) -> Result<Vec<Value>, StoreError> {
    let mut query = sql(format!(
        "SELECT at / {width} AS bucket, count(*) AS calls, \
           CAST(SUM(duration_s) AS BIGINT) AS duration, CAST(SUM(retail) AS BIGINT) AS retail"
    ));
    filter.condition(&mut query);
    query.push(&format!(
        " GROUP BY at / {width} ORDER BY bucket LIMIT {BUCKETS_MAX}"
    ));
    let bucket = |row: &Row| -> Result<Value, StoreError> {
        let mut body = totals_json(row)?;
        body["start"] = json!(rfc3339(row.get::<i64>("bucket")? * width));
        Ok(body)
    };
    store.fetch_all(query).await?.iter().map(bucket).collect()
}

fn totals_json(row: &Row) -> Result<Value, StoreError> {
    let retail: i64 = row.get("retail")?;
    Ok(json!({
        "calls": row.get::<i64>("calls")?,
        "duration": row.get::<i64>("duration")?,
        "cost": money::number(retail),
        "cost_usd": money::number(retail),
    }))
}

/// The bill of a call with its lines; with `our_cost` also what it cost us. `None` when there is
/// none, or it is not the organisation's.
///
/// # Errors
/// When the store fails.
pub async fn bill(
    store: &Store,
    call: Uuid,
    org: Option<Uuid>,
    our_cost: bool,
) -> Result<Option<Value>, StoreError> {
    let mut query = sql(
        "SELECT retail, markup, cost, currency, written_off, wallet_id \
                         FROM call_charges WHERE call_id = ",
    );
    query.push_bind(call);
    if let Some(org) = org {
        query.push(" AND org_id = ").push_bind(org);
    }
    let Some(charge) = store.fetch_optional(query).await? else {
        return Ok(None);
    };
    let lines = sql(
        "SELECT component, provider, unit, billed, amount, cost FROM usage_events \
                     WHERE call_id = $1 ORDER BY id",
    );
    let line = |row: &Row| -> Result<Value, StoreError> {
        let (amount, cost): (i64, i64) = (row.get("amount")?, row.get("cost")?);
        let mut line = json!({
            "service": row.get::<String>("component")?,
            "provider": row.get::<String>("provider")?,
            "unit": row.get::<String>("unit")?,
            "units": row.get::<i64>("billed")?,
            "cost_usd": money::number(amount),
            "cost": money::decimal(amount),
        });
        if our_cost {
            line["provider_cost_usd"] = money::number(cost);
        }
        Ok(line)
    };
    let rows = store.fetch_all(lines.bind(call)).await?;
    let mut items = rows.iter().map(line).collect::<Result<Vec<_>, _>>()?;
    let (retail, markup, cost): (i64, i64, i64) = (
        charge.get("retail")?,
        charge.get("markup")?,
        charge.get("cost")?,
    );
    if markup > 0 {
        items.push(json!({
            "service": "markup",
            "provider": "reseller",
            "unit": "call",
            "units": 1,
            "cost_usd": money::number(markup),
            "cost": money::decimal(markup),
        }));
    }
    let mut body = json!({
        "session_id": call,
        "items": items,
        "total_usd": money::number(retail),
        "total": money::decimal(retail),
        "currency": charge.get::<String>("currency")?,
        "charged": charge.get::<Option<String>>("wallet_id")?.is_some(),
    });
    if our_cost {
        body["provider_cost_usd"] = money::number(cost);
        body["margin_usd"] = money::number(retail.saturating_sub(markup).saturating_sub(cost));
        body["written_off_usd"] = money::number(charge.get("written_off")?);
    }
    Ok(Some(body))
}

/// Bills of calls as CSV, newest first, at most `most`.
///
/// # Errors
/// When the store fails.
pub async fn export(
    store: &Store,
    filter: &UsageFilter,
    most: i64,
    our_cost: bool,
) -> Result<String, StoreError> {
    let mut query =
        sql("SELECT call_id, agent_id, call_type, duration_s, retail, cost, currency, at");
    filter.condition(&mut query);
    query
        .push(" ORDER BY at DESC, call_id DESC LIMIT ")
        .push_bind(most);
    let mut text =
        String::from("session_id,ended_at,agent_id,session_type,duration_seconds,cost,currency");
    text.push_str(if our_cost {
        ",provider_cost\r\n"
    } else {
        "\r\n"
    });
    for row in &store.fetch_all(query).await? {
        let agent = csv::written(&row.get::<String>("agent_id")?);
        // Writing to a text does not fail.
        let _ = write!(
            text,
            "{},{},{agent},{},{},{},{}",
            row.get::<String>("call_id")?,
            rfc3339(row.get("at")?),
            row.get::<String>("call_type")?,
            row.get::<i64>("duration_s")?,
            money::decimal(row.get("retail")?),
            row.get::<String>("currency")?,
        );
        if our_cost {
            let _ = write!(text, ",{}", money::decimal(row.get("cost")?));
        }
        text.push_str("\r\n");
    }
    Ok(text)
}

/// What a reseller has earned.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Earned {
    /// On top of our price.
    pub markup: i64,
    /// As a share of it.
    pub commission: i64,
    /// With how many calls.
    pub calls: i64,
}

const EARNED: &str = "count(*) AS calls, CAST(COALESCE(SUM(markup), 0) AS BIGINT) AS markup, \
     CAST(COALESCE(SUM(commission), 0) AS BIGINT) AS commission";
const EARNING: &str = " FROM call_charges WHERE (markup > 0 OR commission > 0) \
     AND wallet_id IS NOT NULL AND org_id = ";

/// What an organisation has earned since a time.
///
/// # Errors
/// When the store fails.
pub async fn earnings(store: &Store, org: Uuid, from: Option<i64>) -> Result<Earned, StoreError> {
    let mut query = sql("SELECT ");
    query.push(EARNED).push(EARNING).push_bind(org);
    if let Some(from) = from {
        query.push(" AND at >= ").push_bind(from);
    }
    let row = store.fetch_one(query).await?;
    Ok(Earned {
        markup: row.get("markup")?,
        commission: row.get("commission")?,
        calls: row.get("calls")?,
    })
}

/// The same by spans of time, oldest first.
///
/// # Errors
/// When the store fails.
pub async fn earnings_by(
    store: &Store,
    org: Uuid,
    from: Option<i64>,
    width: i64,
) -> Result<Vec<Value>, StoreError> {
    let mut query = sql(format!("SELECT at / {width} AS bucket, "));
    query.push(EARNED).push(EARNING).push_bind(org);
    if let Some(from) = from {
        query.push(" AND at >= ").push_bind(from);
    }
    query.push(&format!(
        " GROUP BY at / {width} ORDER BY bucket LIMIT {BUCKETS_MAX}"
    ));
    let bucket = |row: &Row| -> Result<Value, StoreError> {
        Ok(json!({
            "start": rfc3339(row.get::<i64>("bucket")? * width),
            "markup_usd": money::number(row.get("markup")?),
            "commission_usd": money::number(row.get("commission")?),
            "calls": row.get::<i64>("calls")?,
        }))
    };
    store.fetch_all(query).await?.iter().map(bucket).collect()
}
