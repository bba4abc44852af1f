//! Where events are sent.

use serde_json::{Value, json};
use uuid::Uuid;

use super::outbox::{TEST, insert_delivery, insert_event};
use super::signature::new_secret;
use crate::api::failure::Failure;
use crate::clock::{now_us, rfc3339};
use crate::config::Secret;
use crate::identity::accounts::uuid;
use crate::identity::audit::Actor;
use crate::identity::vault::{Place, Vault, VaultError};
use crate::store::{Connection, Row, Store, StoreError, Tenant, sql};

/// Endpoints that an organisation may have.
const ENDPOINTS_MAX: i64 = 50;
/// How long the secret before the last rotation signs too.
const ROTATION_US: i64 = 24 * 3600 * 1_000_000;
/// Deliveries of one replay.
const REPLAY_MAX: i64 = 10_000;

/// An endpoint.
#[derive(Clone, Debug)]
pub struct WebhookEndpoint {
    /// Id.
    pub id: Uuid,
    /// The organisation.
    pub org: Uuid,
    /// Where to.
    pub url: String,
    /// `standard` or `kupe`.
    pub format: String,
    /// Kinds of events; none means all.
    pub events: Value,
    /// Whether it is told.
    pub enabled: bool,
    /// Why not, where we have switched it off.
    pub disabled_reason: Option<String>,
    /// Since when every delivery has failed.
    pub failing_since: Option<i64>,
    /// Microseconds since 1970.
    pub last_success_at: Option<i64>,
    /// Microseconds since 1970.
    pub created_at: i64,
    secret: Vec<u8>,
    old_secret: Option<Vec<u8>>,
    old_until: Option<i64>,
}

/// What an endpoint is made or changed to.
#[derive(Clone, Debug)]
pub struct EndpointChange {
    /// Where to.
    pub url: String,
    /// `standard` or `kupe`.
    pub format: String,
    /// Kinds of events.
    pub events: Value,
    /// Whether it is told.
    pub enabled: bool,
}

pub(super) fn endpoint(row: &Row) -> Result<WebhookEndpoint, StoreError> {
    Ok(WebhookEndpoint {
        id: uuid(row, "id")?,
        org: uuid(row, "org_id")?,
        url: row.get("url")?,
        format: row.get("format")?,
        events: row.json("events")?,
        enabled: row.flag("enabled")?,
        disabled_reason: row.get("disabled_reason")?,
        failing_since: row.get("failing_since")?,
        last_success_at: row.get("last_success_at")?,
        created_at: row.get("created_at")?,
        secret: row.get("secret")?,
        old_secret: row.get("old_secret")?,
        old_until: row.get("old_until")?,
    })
}

const fn place(id: Uuid, org: Uuid) -> Place {
    Place {
        table: "webhook_endpoints",
        row: id,
        organisation: org,
    }
}

impl WebhookEndpoint {
    /// The secrets that sign at `now`, the newest first.
    ///
    /// # Errors
    /// When they were sealed under another master key or are damaged.
    pub(super) fn secrets(&self, vault: &Vault, now: i64) -> Result<Vec<Secret>, VaultError> {
        let place = place(self.id, self.org);
        let mut secrets = vec![vault.open(place, &self.secret)?];
        if let Some(old) = &self.old_secret
            && self.old_until.is_some_and(|until| now < until)
        {
            secrets.push(vault.open(place, old)?);
        }
        Ok(secrets)
    }

    /// As the API shows it; the secret is shown once, when it is made.
    #[must_use]
    pub fn to_json(&self, secret: Option<&str>) -> Value {
        let time = |at: Option<i64>| at.map(rfc3339);
        let mut shown = json!({
            "id": self.id,
            "url": self.url,
            "format": self.format,
            "events": self.events,
            "enabled": self.enabled,
            "disabled_reason": self.disabled_reason,
            "failing_since": time(self.failing_since),
            "last_success_at": time(self.last_success_at),
            "created_at": rfc3339(self.created_at),
        });
        if let Some(secret) = secret {
            shown["secret"] = json!(secret);
        }
        shown
    }
}

fn declined(failure: Failure) -> StoreError {
    StoreError::Declined(Box::new(failure))
}

/// Makes an endpoint and its secret.
///
/// # Errors
/// 409 when there are too many; when the store fails.
pub async fn create(
    conn: &mut Connection,
    vault: &Vault,
    (tenant, owner): (Tenant, Uuid),
    change: EndpointChange,
    actor: &Actor,
) -> Result<(WebhookEndpoint, String), StoreError> {
    let org = tenant.organisation();
    let count = sql("SELECT count(*) AS n FROM webhook_endpoints WHERE org_id = $1").bind(org);
    let count: i64 = count.fetch_one(conn).await?.get("n")?;
    if count >= ENDPOINTS_MAX {
        let message = format!("there are {ENDPOINTS_MAX} webhooks already");
        return Err(declined(Failure::conflict(message)));
    }
    let (id, secret) = (Uuid::now_v7(), new_secret());
    sql(
        "INSERT INTO webhook_endpoints (id, org_id, owner_id, url, format, events, enabled, secret, \
           created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
    )
    .bind(id)
    .bind(org)
    .bind(owner)
    .bind(&change.url)
    .bind(&change.format)
    .bind(&change.events)
    .bind(change.enabled)
    .bind(vault.seal(place(id, org), &secret))
    .bind(now_us())
    .execute(conn)
    .await?;
    actor.did(conn, "create", ("webhook", id)).await?;
    Ok((find(conn, tenant, id).await?, secret))
}

/// Changes an endpoint; one that is switched on again has a clean record.
///
/// # Errors
/// 404; when the store fails.
pub async fn update(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
    change: EndpointChange,
    actor: &Actor,
) -> Result<WebhookEndpoint, StoreError> {
    find(conn, tenant, id).await?;
    sql(
        "UPDATE webhook_endpoints SET url = $2, format = $3, events = $4, enabled = $5, \
           updated_at = $6, disabled_reason = NULL, failing_since = NULL WHERE id = $1",
    )
    .bind(id)
    .bind(&change.url)
    .bind(&change.format)
    .bind(&change.events)
    .bind(change.enabled)
    .bind(now_us())
    .execute(conn)
    .await?;
    actor.did(conn, "update", ("webhook", id)).await?;
    find(conn, tenant, id).await
}

/// Makes a new secret; the one before signs too for a day.
///
/// # Errors
/// 404; when the store fails.
pub async fn rotate(
    conn: &mut Connection,
    vault: &Vault,
    tenant: Tenant,
    id: Uuid,
    actor: &Actor,
) -> Result<(WebhookEndpoint, String), StoreError> {
    let there = find(conn, tenant, id).await?;
    let secret = new_secret();
    sql(
        "UPDATE webhook_endpoints SET old_secret = secret, secret = $2, old_until = $3, \
           updated_at = $4 WHERE id = $1",
    )
    .bind(id)
    .bind(vault.seal(place(id, there.org), &secret))
    .bind(now_us() + ROTATION_US)
    .bind(now_us())
    .execute(conn)
    .await?;
    actor.did(conn, "rotate_secret", ("webhook", id)).await?;
    Ok((find(conn, tenant, id).await?, secret))
}

/// Deletes an endpoint with its deliveries.
///
/// # Errors
/// 404; when the store fails.
pub async fn delete(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
    actor: &Actor,
) -> Result<(), StoreError> {
    find(conn, tenant, id).await?;
    sql("DELETE FROM webhook_endpoints WHERE id = $1")
        .bind(id)
        .execute(conn)
        .await?;
    actor.did(conn, "delete", ("webhook", id)).await
}

/// An endpoint of the tenant.
///
/// # Errors
/// 404; when the store fails.
pub async fn find(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
) -> Result<WebhookEndpoint, StoreError> {
    let row = sql("SELECT * FROM webhook_endpoints WHERE id = $1 AND org_id = $2")
        .bind(id)
        .bind(tenant.organisation())
        .fetch_optional(conn)
        .await?;
    row.as_ref()
        .map(endpoint)
        .transpose()?
        .ok_or_else(|| declined(Failure::not_found()))
}

/// Endpoints of the tenant, oldest first.
///
/// # Errors
/// When the store fails.
pub async fn list(store: &Store, tenant: Tenant) -> Result<Vec<WebhookEndpoint>, StoreError> {
    let query = sql("SELECT * FROM webhook_endpoints WHERE org_id = $1 ORDER BY created_at, id");
    let rows = store.fetch_all(query.bind(tenant.organisation())).await?;
    rows.iter().map(endpoint).collect()
}

/// Has a test event sent to one endpoint alone.
///
/// # Errors
/// 404; when the store fails.
pub async fn send_test(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
    actor: &Actor,
) -> Result<Uuid, StoreError> {
    find(conn, tenant, id).await?;
    let org = tenant.organisation().to_string();
    let event = insert_event(conn, &org, TEST, None).await?;
    insert_delivery(conn, &org, event, &id.to_string()).await?;
    actor.did(conn, "test", ("webhook", id)).await?;
    Ok(event)
}

/// Sends one delivery again, or all since a time that did not arrive. They keep their ids, so that
/// a receiver that has had one knows it. Tells how many.
///
/// # Errors
/// 404; when the store fails.
pub async fn replay(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
    (delivery, since): (Option<Uuid>, Option<i64>),
    actor: &Actor,
) -> Result<u64, StoreError> {
    find(conn, tenant, id).await?;
    let mut query =
        sql("UPDATE webhook_deliveries SET state = 'pending', attempts = 0, not_before = ");
    query.push_bind(now_us());
    query.push(" WHERE endpoint_id = ").push_bind(id);
    match (delivery, since) {
        (Some(delivery), _) => query.push(" AND id = ").push_bind(delivery),
        (None, since) => {
            query.push(
                " AND state <> 'delivered' AND id IN (SELECT d.id FROM webhook_deliveries d \
                        JOIN webhook_events e ON e.id = d.event_id WHERE d.endpoint_id = ",
            );
            query.push_bind(id);
            query.push(" AND e.at >= ").push_bind(since.unwrap_or(0));
            query.push(" ORDER BY d.id LIMIT ").push_bind(REPLAY_MAX);
            query.push(")")
        }
    };
    let count = query.execute(conn).await?;
    if count == 0 && delivery.is_some() {
        return Err(declined(Failure::not_found()));
    }
    actor.did(conn, "replay", ("webhook", id)).await?;
    Ok(count)
}

/// Deliveries of an endpoint, newest first, and how many there are.
///
/// # Errors
/// When the store fails.
pub async fn deliveries(
    store: &Store,
    endpoint: Uuid,
    offset: i64,
    limit: i64,
) -> Result<(Vec<Value>, i64), StoreError> {
    let mut conn = store.read().await?;
    let count = sql("SELECT count(*) AS n FROM webhook_deliveries WHERE endpoint_id = $1");
    let total = count.bind(endpoint).fetch_one(&mut conn).await?.get("n")?;
    let rows = sql(
        "SELECT d.*, e.kind, e.call_id, e.sequence, e.at FROM webhook_deliveries d \
         JOIN webhook_events e ON e.id = d.event_id \
         WHERE d.endpoint_id = $1 ORDER BY d.id DESC LIMIT $2 OFFSET $3",
    )
    .bind(endpoint)
    .bind(limit)
    .bind(offset)
    .fetch_all(&mut conn)
    .await?;
    let entry = |row: &Row| -> Result<Value, StoreError> {
        let state: String = row.get("state")?;
        let next = (state == "pending")
            .then(|| row.get("not_before").map(rfc3339))
            .transpose()?;
        Ok(json!({
            "id": row.get::<String>("id")?,
            "event_id": row.get::<String>("event_id")?,
            "type": row.get::<String>("kind")?,
            "call_id": row.get::<Option<String>>("call_id")?,
            "sequence": row.get::<i64>("sequence")?,
            "state": state,
            "attempts": row.get::<i64>("attempts")?,
            "last_status": row.get::<Option<i64>>("last_status")?,
            "last_error": row.get::<Option<String>>("last_error")?,
            "last_at": row.get::<Option<i64>>("last_at")?.map(rfc3339),
            "next_at": next,
            "event_at": rfc3339(row.get("at")?),
        }))
    };
    Ok((rows.iter().map(entry).collect::<Result<_, _>>()?, total))
}
