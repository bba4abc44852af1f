//! Which agent has which tools, in which order, and what is different for it.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::stored::{StoredTool, ToolKind, stored};
use crate::api::failure::Failure;
use crate::identity::accounts::uuid;
use crate::identity::audit::Actor;
use crate::store::{Connection, Row, StoreError, Tenant, sql};

/// Tools an agent may have; a model loses its way among more.
pub const AGENT_TOOLS_MAX: usize = 64;

/// A tool of an agent.
#[derive(Clone, Debug)]
pub struct AgentTool {
    /// The tool.
    pub tool: StoredTool,
    /// Whether the agent may call it.
    pub enabled: bool,
    /// What is different for this agent: `name`, `description`, `timeout_ms`, `arguments` (fixed).
    pub config: Map<String, Value>,
}

/// A mapping as a client writes it.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The tool.
    pub tool: Uuid,
    /// Its kind, as the client believes.
    pub kind: ToolKind,
    /// Whether the agent may call it.
    pub enabled: bool,
    /// What is different for this agent.
    pub config: Map<String, Value>,
}

impl AgentTool {
    /// As the API shows it.
    #[must_use]
    pub fn to_json(&self, agent: Uuid) -> Value {
        json!({
            "agent_id": agent,
            "tool_id": self.tool.id,
            "type": self.tool.kind.name(),
            "name": self.tool.name,
            "enabled": self.enabled,
            "config": self.config,
        })
    }
}

fn agent_tool(row: &Row) -> Result<AgentTool, StoreError> {
    let Value::Object(config) = row.json("config")? else {
        return Err(StoreError::Malformed("config"));
    };
    Ok(AgentTool {
        tool: stored(row)?,
        enabled: row.flag("enabled")?,
        config,
    })
}

/// Tools of an agent in their order.
///
/// # Errors
/// When the store fails.
pub async fn of_agent(conn: &mut Connection, agent: Uuid) -> Result<Vec<AgentTool>, StoreError> {
    let rows = sql(
        "SELECT t.*, m.enabled, m.config FROM agent_tools m JOIN tools t ON t.id = m.tool_id \
         JOIN agents a ON a.id = m.agent_id AND a.org_id = t.org_id \
         WHERE m.agent_id = $1 ORDER BY m.place, t.id",
    )
    .bind(agent)
    .fetch_all(conn)
    .await?;
    rows.iter().map(agent_tool).collect()
}

/// Adds tools to an agent of the tenant, or, with `replace`, makes them all it has.
///
/// # Errors
/// 400 for tools that are not the tenant's or too many; when the store fails.
pub async fn put(
    conn: &mut Connection,
    tenant: Tenant,
    agent: Uuid,
    wanted: Vec<Wanted>,
    replace: bool,
    actor: &Actor,
) -> Result<(), StoreError> {
    let decline = |failure: Failure| StoreError::Declined(Box::new(failure));
    if replace {
        sql("DELETE FROM agent_tools WHERE agent_id = $1")
            .bind(agent)
            .execute(conn)
            .await?;
    }
    let last = sql("SELECT COALESCE(MAX(place), -1) AS last, count(*) AS n FROM agent_tools WHERE agent_id = $1")
        .bind(agent)
        .fetch_one(conn)
        .await?;
    let first = last.get::<i64>("last")? + 1;
    for (place, (index, tool)) in (first..).zip(wanted.into_iter().enumerate()) {
        let row = sql("SELECT id FROM tools WHERE id = $1 AND org_id = $2 AND kind = $3")
            .bind(tool.tool)
            .bind(tenant.organisation())
            .bind(tool.kind.name())
            .fetch_optional(conn)
            .await?;
        let Some(row) = row else {
            let path = format!("[{index}].tool_id");
            let message = format!("there is no {} tool of this id", tool.kind.name());
            return Err(decline(Failure::field(&path, "unknown", message)));
        };
        let id = uuid(&row, "id")?;
        sql(
            "INSERT INTO agent_tools (agent_id, tool_id, place, enabled, config) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (agent_id, tool_id) \
             DO UPDATE SET enabled = excluded.enabled, config = excluded.config",
        )
        .bind(agent)
        .bind(id)
        .bind(place)
        .bind(tool.enabled)
        .bind(&Value::Object(tool.config))
        .execute(conn)
        .await?;
    }
    let count = sql("SELECT count(*) AS n FROM agent_tools WHERE agent_id = $1").bind(agent);
    let count: i64 = count.fetch_one(conn).await?.get("n")?;
    if usize::try_from(count).is_ok_and(|count| count > AGENT_TOOLS_MAX) {
        let message = format!("an agent may have {AGENT_TOOLS_MAX} tools");
        return Err(decline(Failure::bad_request("too_many", message)));
    }
    actor.did(conn, "map_tools", ("agent", agent)).await
}

/// Takes one tool from an agent; its definition stays.
///
/// # Errors
/// 404; when the store fails.
pub async fn remove(
    conn: &mut Connection,
    agent: Uuid,
    tool: Uuid,
    actor: &Actor,
) -> Result<(), StoreError> {
    let removed = sql("DELETE FROM agent_tools WHERE agent_id = $1 AND tool_id = $2")
        .bind(agent)
        .bind(tool)
        .execute(conn)
        .await?;
    if removed == 0 {
        return Err(StoreError::Declined(Box::new(Failure::not_found())));
    }
    actor.did(conn, "unmap_tool", ("agent", agent)).await
}
