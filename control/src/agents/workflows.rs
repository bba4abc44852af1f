//! Workflows made over the API.

use pipeline::workflow::Workflow;
use serde_json::Value;
use uuid::Uuid;

use crate::api::failure::Failure;
use crate::api::schema::Invalid;
use crate::clock::now_us;
use crate::identity::accounts::uuid;
use crate::identity::audit::Actor;
use crate::store::{Connection, Row, Store, StoreError, Tenant, sql};

/// A workflow as stored.
#[derive(Clone, Debug)]
pub struct StoredWorkflow {
    /// Id.
    pub id: Uuid,
    /// The organisation it belongs to.
    pub org: Uuid,
    /// Who made it.
    pub owner: Uuid,
    /// For people.
    pub name: String,
    /// See `docs/workflows.md`.
    pub definition: Value,
    /// Counts changes, from 1.
    pub version: i64,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Microseconds since 1970.
    pub updated_at: i64,
}

fn stored(row: &Row) -> Result<StoredWorkflow, StoreError> {
    Ok(StoredWorkflow {
        id: uuid(row, "id")?,
        org: uuid(row, "org_id")?,
        owner: uuid(row, "owner_id")?,
        name: row.get("name")?,
        definition: row.json("definition")?,
        version: row.get("version")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

/// Reads a definition as calls will, so that what is stored cannot fail in a call.
///
/// # Errors
/// 400 with every problem at its node and field.
pub fn check(definition: &Value) -> Result<(), Failure> {
    let Err(error) = Workflow::from_json(&definition.to_string()) else {
        return Ok(());
    };
    let wrong = error.problems.into_iter().map(|problem| {
        let parts = ["definition", problem.place.as_str(), problem.field.as_str()];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        Invalid::new(parts.join("."), "workflow", problem.message)
    });
    Err(Failure::invalid(wrong.collect()))
}

/// Makes a workflow of a checked definition.
///
/// # Errors
/// When the store fails.
pub async fn create(
    conn: &mut Connection,
    tenant: Tenant,
    owner: Uuid,
    name: String,
    definition: Value,
    actor: &Actor,
) -> Result<StoredWorkflow, StoreError> {
    let now = now_us();
    let workflow = StoredWorkflow {
        id: Uuid::now_v7(),
        org: tenant.organisation(),
        owner,
        name,
        definition,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    sql(
        "INSERT INTO workflows (id, org_id, owner_id, name, definition, version, created_at, \
           updated_at) VALUES ($1, $2, $3, $4, $5, 1, $6, $6)",
    )
    .bind(workflow.id)
    .bind(workflow.org)
    .bind(owner)
    .bind(&workflow.name)
    .bind(&workflow.definition)
    .bind(now)
    .execute(conn)
    .await?;
    actor.did(conn, "create", ("workflow", workflow.id)).await?;
    Ok(workflow)
}

/// Changes name and definition, the latter checked before.
///
/// # Errors
/// 404, 412 for another version; when the store fails.
pub async fn update(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
    (name, definition): (Option<String>, Option<Value>),
    if_version: Option<i64>,
    actor: &Actor,
) -> Result<StoredWorkflow, StoreError> {
    let decline = |failure: Failure| StoreError::Declined(Box::new(failure));
    let select = format!(
        "SELECT * FROM workflows WHERE id = $1 AND org_id = $2{}",
        conn.for_update()
    );
    let row = sql(select)
        .bind(id)
        .bind(tenant.organisation())
        .fetch_optional(conn)
        .await?;
    let workflow = row.as_ref().map(stored).transpose()?;
    let mut workflow = workflow.ok_or_else(|| decline(Failure::not_found()))?;
    if if_version.is_some_and(|version| version != workflow.version) {
        return Err(decline(Failure::changed_meanwhile()));
    }
    workflow.name = name.unwrap_or(workflow.name);
    workflow.definition = definition.unwrap_or(workflow.definition);
    workflow.version += 1;
    workflow.updated_at = now_us();
    sql(
        "UPDATE workflows SET name = $2, definition = $3, version = $4, updated_at = $5 \
         WHERE id = $1",
    )
    .bind(id)
    .bind(&workflow.name)
    .bind(&workflow.definition)
    .bind(workflow.version)
    .bind(workflow.updated_at)
    .execute(conn)
    .await?;
    actor.did(conn, "update", ("workflow", id)).await?;
    Ok(workflow)
}

/// Deletes a workflow; lines mapped to it lose their target.
///
/// # Errors
/// When the store fails.
pub async fn delete(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
    actor: &Actor,
) -> Result<bool, StoreError> {
    let deleted = sql("DELETE FROM workflows WHERE id = $1 AND org_id = $2")
        .bind(id)
        .bind(tenant.organisation())
        .execute(conn)
        .await?;
    if deleted > 0 {
        actor.did(conn, "delete", ("workflow", id)).await?;
    }
    Ok(deleted > 0)
}

/// A workflow of the tenant.
///
/// # Errors
/// When the store fails.
pub async fn find(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
) -> Result<Option<StoredWorkflow>, StoreError> {
    let query = sql("SELECT * FROM workflows WHERE id = $1 AND org_id = $2");
    let row = query
        .bind(id)
        .bind(tenant.organisation())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(stored).transpose()
}

/// Workflows of the tenant, oldest first.
///
/// # Errors
/// When the store fails.
pub async fn list(store: &Store, tenant: Tenant) -> Result<Vec<StoredWorkflow>, StoreError> {
    let query = sql("SELECT * FROM workflows WHERE org_id = $1 ORDER BY created_at, id LIMIT 1000");
    let rows = store.fetch_all(query.bind(tenant.organisation())).await?;
    rows.iter().map(stored).collect()
}
