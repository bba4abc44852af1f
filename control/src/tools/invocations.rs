//! The log of calls of tools.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::{now_us, rfc3339};
use crate::store::{Row, Store, StoreError, Tenant, sql};

/// Most characters kept of arguments and of a result.
const BODY_CHARS_MAX: usize = 16 * 1024;

/// One call of a tool. Written when dropped, so that a call that was given up is logged too.
#[derive(Debug)]
pub struct Invocation {
    store: Store,
    /// The organisation.
    pub org: Uuid,
    /// Whether arguments and result are kept.
    pub content: bool,
    /// The tool, where it has a row.
    pub tool: Option<Uuid>,
    /// The agent.
    pub agent: String,
    /// The call or chat.
    pub call: Option<String>,
    /// Name it was called by.
    pub name: String,
    arguments: String,
    result: Option<String>,
    outcome: &'static str,
    started_at: i64,
}

impl Invocation {
    /// Begins one.
    #[must_use]
    pub fn begin(
        store: &Store,
        (org, content): (Uuid, bool),
        tool: Option<Uuid>,
        agent: &str,
        call: (Option<String>, &str, &Value),
    ) -> Self {
        Self {
            store: store.clone(),
            org,
            content,
            tool,
            agent: agent.to_owned(),
            call: call.0,
            name: call.1.to_owned(),
            arguments: shortened(&call.2.to_string()),
            result: None,
            outcome: "cancelled",
            started_at: now_us(),
        }
    }

    /// Notes how it went: `ok`, `refused` before anything was sent, `failed`.
    pub fn ended(&mut self, outcome: &'static str, result: &str) {
        self.outcome = outcome;
        self.result = Some(shortened(result));
    }
}

impl Drop for Invocation {
    fn drop(&mut self) {
        let duration_ms = (now_us() - self.started_at).max(0) / 1_000;
        let kept = |text: Option<String>| text.filter(|_| self.content);
        let query = sql(
            "INSERT INTO tool_invocations (id, org_id, tool_id, agent_id, call_id, name, \
               arguments, result, outcome, duration_ms, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(Uuid::now_v7())
        .bind(self.org)
        .bind(self.tool.map(|id| id.to_string()))
        .bind(&self.agent)
        .bind(self.call.take())
        .bind(&self.name)
        .bind(kept(Some(std::mem::take(&mut self.arguments))))
        .bind(kept(self.result.take()))
        .bind(self.outcome)
        .bind(duration_ms)
        .bind(self.started_at);
        let store = self.store.clone();
        // A tool runs inside a runtime; without one there is nothing left to write to.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            if let Err(error) = store.execute(query).await {
                tracing::error!(%error, "call of a tool was not logged");
            }
        });
    }
}

/// Cut to what is kept, without the character no database takes.
fn shortened(text: &str) -> String {
    text.chars()
        .filter(|c| *c != '\0')
        .take(BODY_CHARS_MAX)
        .collect()
}

/// Which entries of the log.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    /// Of this tool.
    pub tool: Option<Uuid>,
    /// In this call or chat.
    pub call: Option<Uuid>,
    /// Of this agent.
    pub agent: Option<Uuid>,
}

/// The log, newest first, and how many entries there are.
///
/// # Errors
/// When the store fails.
pub async fn list(
    store: &Store,
    tenant: Tenant,
    filter: &LogFilter,
    offset: i64,
    limit: i64,
) -> Result<(Vec<Value>, i64), StoreError> {
    let condition = |query: &mut crate::store::Query| {
        query.push(" FROM tool_invocations WHERE org_id = ");
        query.push_bind(tenant.organisation());
        for (column, value) in [
            ("tool_id", filter.tool),
            ("call_id", filter.call),
            ("agent_id", filter.agent),
        ] {
            if let Some(id) = value {
                query.push(" AND ").push(column).push(" = ").push_bind(id);
            }
        }
    };
    let mut count = sql("SELECT count(*) AS n");
    condition(&mut count);
    let mut rows = sql("SELECT *");
    condition(&mut rows);
    rows.push(" ORDER BY id DESC LIMIT ").push_bind(limit);
    rows.push(" OFFSET ").push_bind(offset);
    let mut conn = store.read().await?;
    let total = count.fetch_one(&mut conn).await?.get("n")?;
    let rows = rows.fetch_all(&mut conn).await?;
    Ok((rows.iter().map(entry).collect::<Result<_, _>>()?, total))
}

fn entry(row: &Row) -> Result<Value, StoreError> {
    let content = |text: Option<String>| {
        text.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text)))
    };
    Ok(json!({
        "id": row.get::<String>("id")?,
        "tool_id": row.get::<Option<String>>("tool_id")?,
        "agent_id": row.get::<String>("agent_id")?,
        "call_id": row.get::<Option<String>>("call_id")?,
        "name": row.get::<String>("name")?,
        "arguments": content(row.get("arguments")?),
        "result": content(row.get("result")?),
        "outcome": row.get::<String>("outcome")?,
        "duration_ms": row.get::<i64>("duration_ms")?,
        "at": rfc3339(row.get("at")?),
    }))
}
