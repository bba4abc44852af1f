//! Definitions of tools as stored.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::api::failure::Failure;
use crate::clock::now_us;
use crate::identity::accounts::uuid;
use crate::identity::audit::Actor;
use crate::identity::vault::{Place, Vault, VaultError};
use crate::store::{Connection, Row, Store, StoreError, Tenant, sql};

/// Tools of one kind that an organisation may have.
const TOOLS_MAX: i64 = 1_000;
/// What stands for a kept value in answers; sent back, it keeps the value.
pub const MASK: &str = "***";

/// How a tool is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ToolKind {
    /// One HTTP request.
    Http,
    /// A server that speaks the Model Context Protocol.
    Mcp,
}

impl ToolKind {
    /// Name in the database and in mappings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Mcp => "mcp",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        [Self::Http, Self::Mcp]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// A tool.
#[derive(Clone, Debug)]
pub struct StoredTool {
    /// Id.
    pub id: Uuid,
    /// The organisation it belongs to.
    pub org: Uuid,
    /// Who made it.
    pub owner: Uuid,
    /// How it is reached.
    pub kind: ToolKind,
    /// For people; models are told a form of it without spaces.
    pub name: String,
    /// For the model.
    pub description: String,
    /// Where it is.
    pub url: String,
    /// Method, schema, limits.
    pub settings: Map<String, Value>,
    /// Header fields, sealed.
    headers: Vec<u8>,
    /// What an MCP server has offered: name, description, schema.
    pub offered: Value,
    /// Counts changes, from 1.
    pub version: i64,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Microseconds since 1970.
    pub updated_at: i64,
}

/// What a tool is made or changed to.
#[derive(Clone, Debug)]
pub struct ToolChange {
    /// For people.
    pub name: String,
    /// For the model.
    pub description: String,
    /// Where it is.
    pub url: String,
    /// Method, schema, limits.
    pub settings: Map<String, Value>,
    /// Header fields; [`MASK`] keeps the value there is.
    pub headers: BTreeMap<String, String>,
    /// What an MCP server offers.
    pub offered: Value,
}

pub(super) fn stored(row: &Row) -> Result<StoredTool, StoreError> {
    let kind: String = row.get("kind")?;
    let Value::Object(settings) = row.json("settings")? else {
        return Err(StoreError::Malformed("settings"));
    };
    Ok(StoredTool {
        id: uuid(row, "id")?,
        org: uuid(row, "org_id")?,
        owner: uuid(row, "owner_id")?,
        kind: ToolKind::of(&kind).ok_or(StoreError::Malformed("kind"))?,
        name: row.get("name")?,
        description: row.get("description")?,
        url: row.get("url")?,
        settings,
        headers: row.get("headers")?,
        offered: row.json("offered")?,
        version: row.get("version")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

impl StoredTool {
    /// Header fields in the clear, for the request alone.
    ///
    /// # Errors
    /// When they were sealed under another master key or are damaged.
    pub fn headers(&self, vault: &Vault) -> Result<BTreeMap<String, String>, VaultError> {
        let text = vault.open(place(self.id, self.org), &self.headers)?;
        serde_json::from_str(text.reveal()).map_err(|_| VaultError::Damaged)
    }
}

const fn place(id: Uuid, org: Uuid) -> Place {
    Place {
        table: "tools",
        row: id,
        organisation: org,
    }
}

fn seal(vault: &Vault, id: Uuid, org: Uuid, headers: &BTreeMap<String, String>) -> Vec<u8> {
    vault.seal(place(id, org), &json!(headers).to_string())
}

/// Makes a tool.
///
/// # Errors
/// 409 when there are too many; when the store fails.
pub async fn create(
    conn: &mut Connection,
    vault: &Vault,
    (tenant, owner, kind): (Tenant, Uuid, ToolKind),
    change: ToolChange,
    actor: &Actor,
) -> Result<StoredTool, StoreError> {
    let count = sql("SELECT count(*) AS n FROM tools WHERE org_id = $1 AND kind = $2")
        .bind(tenant.organisation())
        .bind(kind.name());
    let count: i64 = count.fetch_one(conn).await?.get("n")?;
    if count >= TOOLS_MAX {
        let failure = Failure::conflict(format!("there are {TOOLS_MAX} tools already"));
        return Err(StoreError::Declined(Box::new(failure)));
    }
    let (id, now) = (Uuid::now_v7(), now_us());
    let tool = StoredTool {
        id,
        org: tenant.organisation(),
        owner,
        kind,
        headers: seal(vault, id, tenant.organisation(), &change.headers),
        name: change.name,
        description: change.description,
        url: change.url,
        settings: change.settings,
        offered: change.offered,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    sql(
        "INSERT INTO tools (id, org_id, owner_id, kind, name, description, url, settings, headers, \
           offered, version, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, $11)",
    )
    .bind(id)
    .bind(tool.org)
    .bind(owner)
    .bind(kind.name())
    .bind(&tool.name)
    .bind(&tool.description)
    .bind(&tool.url)
    .bind(&Value::Object(tool.settings.clone()))
    .bind(tool.headers.clone())
    .bind(&tool.offered)
    .bind(now)
    .execute(conn)
    .await?;
    actor.did(conn, "create", ("tool", id)).await?;
    Ok(tool)
}

/// Changes a tool; calls that run keep the one they began with.
///
/// # Errors
/// 404, 403 for another's tool, 412 for another version; when the store fails.
pub async fn update(
    conn: &mut Connection,
    vault: &Vault,
    reached: &Reached,
    mut change: ToolChange,
    if_version: Option<i64>,
    actor: &Actor,
) -> Result<StoredTool, StoreError> {
    let decline = |failure: Failure| StoreError::Declined(Box::new(failure));
    let mut tool = locked(conn, reached).await?;
    if if_version.is_some_and(|version| version != tool.version) {
        return Err(decline(Failure::changed_meanwhile()));
    }
    if change.headers.values().any(|value| value == MASK) {
        let kept = tool.headers(vault).unwrap_or_default();
        for (name, value) in &mut change.headers {
            if value == MASK {
                let old = kept.get(name).cloned();
                let unknown = || Failure::field("headers", "unknown", "has no value to keep");
                *value = old.ok_or_else(|| decline(unknown()))?;
            }
        }
    }
    tool.headers = seal(vault, tool.id, tool.org, &change.headers);
    tool.name = change.name;
    tool.description = change.description;
    tool.url = change.url;
    tool.settings = change.settings;
    tool.offered = change.offered;
    tool.version += 1;
    tool.updated_at = now_us();
    sql(
        "UPDATE tools SET name = $2, description = $3, url = $4, settings = $5, headers = $6, \
           offered = $7, version = $8, updated_at = $9 WHERE id = $1",
    )
    .bind(tool.id)
    .bind(&tool.name)
    .bind(&tool.description)
    .bind(&tool.url)
    .bind(&Value::Object(tool.settings.clone()))
    .bind(tool.headers.clone())
    .bind(&tool.offered)
    .bind(tool.version)
    .bind(tool.updated_at)
    .execute(conn)
    .await?;
    actor.did(conn, "update", ("tool", tool.id)).await?;
    Ok(tool)
}

/// Deletes a tool and takes it from its agents.
///
/// # Errors
/// 404, 403 for another's tool; when the store fails.
pub async fn delete(
    conn: &mut Connection,
    reached: &Reached,
    actor: &Actor,
) -> Result<(), StoreError> {
    let tool = locked(conn, reached).await?;
    sql("DELETE FROM tools WHERE id = $1")
        .bind(tool.id)
        .execute(conn)
        .await?;
    actor.did(conn, "delete", ("tool", tool.id)).await
}

/// Which tool is meant, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Reached {
    /// Whose rows.
    pub tenant: Tenant,
    /// The tool.
    pub id: Uuid,
    /// Its kind.
    pub kind: ToolKind,
    /// Only this user's tool, or any of the tenant's.
    pub only_owner: Option<Uuid>,
}

async fn locked(conn: &mut Connection, reached: &Reached) -> Result<StoredTool, StoreError> {
    let text = format!(
        "SELECT * FROM tools WHERE id = $1 AND org_id = $2 AND kind = $3{}",
        conn.for_update()
    );
    let row = sql(text)
        .bind(reached.id)
        .bind(reached.tenant.organisation())
        .bind(reached.kind.name())
        .fetch_optional(conn)
        .await?;
    let decline = |failure: Failure| StoreError::Declined(Box::new(failure));
    let tool = row.as_ref().map(stored).transpose()?;
    let tool = tool.ok_or_else(|| decline(Failure::not_found()))?;
    if reached.only_owner.is_some_and(|owner| owner != tool.owner) {
        return Err(decline(Failure::forbidden(
            "the tool belongs to another user",
        )));
    }
    Ok(tool)
}

/// A tool for reading.
///
/// # Errors
/// As [`delete`].
pub async fn find(store: &Store, reached: &Reached) -> Result<StoredTool, StoreError> {
    let mut conn = store.read().await?;
    let row = sql("SELECT * FROM tools WHERE id = $1 AND org_id = $2 AND kind = $3")
        .bind(reached.id)
        .bind(reached.tenant.organisation())
        .bind(reached.kind.name())
        .fetch_optional(&mut conn)
        .await?;
    let decline = |failure: Failure| StoreError::Declined(Box::new(failure));
    let tool = row.as_ref().map(stored).transpose()?;
    let tool = tool.ok_or_else(|| decline(Failure::not_found()))?;
    if reached.only_owner.is_some_and(|owner| owner != tool.owner) {
        return Err(decline(Failure::forbidden(
            "the tool belongs to another user",
        )));
    }
    Ok(tool)
}

/// Tools of a kind, oldest first; of one user only where `owner` is given.
///
/// # Errors
/// When the store fails.
pub async fn list(
    store: &Store,
    tenant: Tenant,
    kind: ToolKind,
    owner: Option<Uuid>,
) -> Result<Vec<StoredTool>, StoreError> {
    let mut query = sql("SELECT * FROM tools WHERE org_id = ");
    query.push_bind(tenant.organisation());
    query.push(" AND kind = ").push_bind(kind.name());
    if let Some(owner) = owner {
        query.push(" AND owner_id = ").push_bind(owner);
    }
    query.push(" ORDER BY created_at, id LIMIT 1000");
    store.fetch_all(query).await?.iter().map(stored).collect()
}
