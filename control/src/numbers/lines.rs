//! Telephone numbers and who answers them.

use uuid::Uuid;

use crate::api::failure::Failure;
use crate::clock::now_us;
use crate::identity::accounts::{optional_uuid, uuid};
use crate::identity::audit::Actor;
use crate::store::{Connection, Row, Store, StoreError, Tenant, sql};

/// Who answers a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// An agent.
    Agent(Uuid),
    /// A workflow.
    Workflow(Uuid),
    /// An endpoint outside.
    Endpoint(Uuid),
}

/// A number.
#[derive(Clone, Debug)]
pub struct Line {
    /// Id.
    pub id: Uuid,
    /// The organisation it belongs to.
    pub org: Uuid,
    /// E.164 with its plus sign.
    pub number: String,
    /// For people.
    pub friendly_name: Option<String>,
    /// ISO 3166-1.
    pub country_code: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// `sip`, `twilio`, `exotel`.
    pub provider: String,
    /// Trunk it comes in by.
    pub trunk: Option<Uuid>,
    /// Whether calls are taken.
    pub active: bool,
    /// Who answers.
    pub target: Option<Target>,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Microseconds since 1970.
    pub updated_at: i64,
}

fn line(row: &Row) -> Result<Line, StoreError> {
    let agent = optional_uuid(row, "agent_id")?.map(Target::Agent);
    let workflow = optional_uuid(row, "workflow_id")?.map(Target::Workflow);
    let endpoint = optional_uuid(row, "endpoint_id")?.map(Target::Endpoint);
    Ok(Line {
        id: uuid(row, "id")?,
        org: uuid(row, "org_id")?,
        number: row.get("number")?,
        friendly_name: row.get("friendly_name")?,
        country_code: row.get("country_code")?,
        region: row.get("region")?,
        provider: row.get("provider")?,
        trunk: optional_uuid(row, "trunk_id")?,
        active: row.flag("active")?,
        target: agent.or(workflow).or(endpoint),
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

/// A number to be added.
#[derive(Clone, Debug)]
pub struct NewLine {
    /// E.164 with its plus sign.
    pub number: String,
    /// For people.
    pub friendly_name: Option<String>,
    /// ISO 3166-1.
    pub country_code: Option<String>,
    /// `sip`, `twilio`, `exotel`.
    pub provider: String,
    /// The carrier's id.
    pub carrier_sid: Option<String>,
    /// Trunk it comes in by.
    pub trunk: Option<Uuid>,
}

/// Adds a number.
///
/// # Errors
/// 409 when it is there, whoever has it; when the store fails.
pub async fn create(
    conn: &mut Connection,
    tenant: Tenant,
    new: NewLine,
    actor: &Actor,
) -> Result<Line, StoreError> {
    let id = Uuid::now_v7();
    let inserted = sql(
        "INSERT INTO phone_numbers (id, org_id, number, friendly_name, country_code, provider, \
           carrier_sid, trunk_id, active, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $9)",
    )
    .bind(id)
    .bind(tenant.organisation())
    .bind(&new.number)
    .bind(new.friendly_name)
    .bind(new.country_code)
    .bind(new.provider)
    .bind(new.carrier_sid)
    .bind(new.trunk.map(|id| id.to_string()))
    .bind(now_us())
    .execute(conn)
    .await;
    match inserted {
        Err(error) if error.is_unique_violation() => {
            let failure = Failure::conflict("this number is registered already");
            return Err(StoreError::Declined(Box::new(failure)));
        }
        other => other?,
    };
    actor.did(conn, "create", ("phone_number", id)).await?;
    find(conn, tenant, id)
        .await?
        .ok_or(StoreError::Malformed("phone_numbers"))
}

/// A number of the tenant by id.
///
/// # Errors
/// When the store fails.
pub async fn find(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
) -> Result<Option<Line>, StoreError> {
    let query = sql("SELECT * FROM phone_numbers WHERE id = $1 AND org_id = $2");
    let row = query
        .bind(id)
        .bind(tenant.organisation())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(line).transpose()
}

/// A number of the tenant by its digits.
///
/// # Errors
/// When the store fails.
pub async fn find_by_number(
    conn: &mut Connection,
    tenant: Tenant,
    number: &str,
) -> Result<Option<Line>, StoreError> {
    let query = sql("SELECT * FROM phone_numbers WHERE number = $1 AND org_id = $2");
    let row = query
        .bind(number)
        .bind(tenant.organisation())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(line).transpose()
}

/// The number that a call is for, whoever has it.
///
/// # Errors
/// When the store fails.
pub(crate) async fn find_for_call(
    conn: &mut Connection,
    number: &str,
) -> Result<Option<Line>, StoreError> {
    let query = sql("SELECT * FROM phone_numbers WHERE number = $1 AND active = 1").bind(number);
    query
        .fetch_optional(conn)
        .await?
        .as_ref()
        .map(line)
        .transpose()
}

/// Numbers of the tenant, oldest first.
///
/// # Errors
/// When the store fails.
pub async fn list(store: &Store, tenant: Tenant) -> Result<Vec<Line>, StoreError> {
    let query =
        sql("SELECT * FROM phone_numbers WHERE org_id = $1 ORDER BY created_at, id LIMIT 5000");
    let rows = store.fetch_all(query.bind(tenant.organisation())).await?;
    rows.iter().map(line).collect()
}

/// Has `target`, which is the tenant's own, answer a number of the tenant from the next call on.
///
/// # Errors
/// 404 when one of the two is not the tenant's; when the store fails.
pub async fn map(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
    target: Option<Target>,
    actor: &Actor,
) -> Result<Line, StoreError> {
    let not_found = || StoreError::Declined(Box::new(Failure::not_found()));
    let (agent, workflow, endpoint) = match target {
        None => (None, None, None),
        Some(Target::Agent(id)) => (Some(id), None, None),
        Some(Target::Workflow(id)) => (None, Some(id), None),
        Some(Target::Endpoint(id)) => (None, None, Some(id)),
    };
    if let Some(target) = target {
        let (table, target) = match target {
            Target::Agent(id) => ("agents", id),
            Target::Workflow(id) => ("workflows", id),
            Target::Endpoint(id) => ("endpoints", id),
        };
        let own = sql(format!(
            "SELECT id FROM {table} WHERE id = $1 AND org_id = $2"
        ));
        let own = own
            .bind(target)
            .bind(tenant.organisation())
            .fetch_optional(conn)
            .await?;
        own.ok_or_else(not_found)?;
    }
    let text = |id: Option<Uuid>| id.map(|id| id.to_string());
    let changed = sql(
        "UPDATE phone_numbers SET agent_id = $3, workflow_id = $4, endpoint_id = $5, \
           updated_at = $6 WHERE id = $1 AND org_id = $2",
    )
    .bind(id)
    .bind(tenant.organisation())
    .bind(text(agent))
    .bind(text(workflow))
    .bind(text(endpoint))
    .bind(now_us())
    .execute(conn)
    .await?;
    if changed == 0 {
        return Err(not_found());
    }
    actor.did(conn, "map", ("phone_number", id)).await?;
    find(conn, tenant, id).await?.ok_or_else(not_found)
}

/// Removes a number.
///
/// # Errors
/// When the store fails.
pub async fn delete(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
    actor: &Actor,
) -> Result<bool, StoreError> {
    let deleted = sql("DELETE FROM phone_numbers WHERE id = $1 AND org_id = $2")
        .bind(id)
        .bind(tenant.organisation())
        .execute(conn)
        .await?;
    if deleted > 0 {
        actor.did(conn, "delete", ("phone_number", id)).await?;
    }
    Ok(deleted > 0)
}
