//! Events, written in the transaction of what they tell of.

use uuid::Uuid;

use crate::calls::outcome::{CallOutcome, OutcomeClass};
use crate::clock::now_us;
use crate::store::{Connection, StoreError, sql};

/// A call has ended as calls do.
pub const CALL_ENDED: &str = "call.ended";
/// A call has failed.
pub const CALL_FAILED: &str = "call.failed";
/// Sent on request, to try an endpoint.
pub const TEST: &str = "test";

/// What an endpoint may ask for.
pub const KINDS: [&str; 2] = [CALL_ENDED, CALL_FAILED];

/// Which event the end of a call is.
#[must_use]
pub const fn kind_of(outcome: CallOutcome) -> &'static str {
    match outcome.class {
        OutcomeClass::Completed
        | OutcomeClass::Abandoned
        | OutcomeClass::NotReached
        | OutcomeClass::Stopped => CALL_ENDED,
        OutcomeClass::CarrierFailed
        | OutcomeClass::ProviderFailed
        | OutcomeClass::EngineFailed
        | OutcomeClass::Interrupted => CALL_FAILED,
    }
}

/// Notes that a call has ended, and a delivery for each endpoint that wants to know. An
/// organisation without endpoints gets neither.
///
/// # Errors
/// When the store fails.
pub async fn call_ended(
    conn: &mut Connection,
    call: &str,
    kind: &'static str,
) -> Result<(), StoreError> {
    let row = sql("SELECT org_id FROM calls WHERE id = $1").bind(call);
    let Some(row) = row.fetch_optional(conn).await? else {
        return Ok(());
    };
    let org: String = row.get("org_id")?;
    let rows = sql("SELECT id, events FROM webhook_endpoints WHERE org_id = $1 AND enabled = 1")
        .bind(&org)
        .fetch_all(conn)
        .await?;
    let mut wanted = Vec::new();
    for row in &rows {
        let events = row.json("events")?;
        let events = events.as_array().cloned().unwrap_or_default();
        if events.is_empty() || events.iter().any(|event| event == kind) {
            wanted.push(row.get::<String>("id")?);
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let event = insert_event(conn, &org, kind, Some(call)).await?;
    for endpoint in wanted {
        insert_delivery(conn, &org, event, &endpoint).await?;
    }
    Ok(())
}

/// Notes an event of a kind.
///
/// # Errors
/// When the store fails.
pub(super) async fn insert_event(
    conn: &mut Connection,
    org: &str,
    kind: &str,
    call: Option<&str>,
) -> Result<Uuid, StoreError> {
    let id = Uuid::now_v7();
    sql(
        "INSERT INTO webhook_events (id, org_id, kind, call_id, sequence, at) \
         VALUES ($1, $2, $3, $4, \
           (SELECT COALESCE(MAX(sequence), 0) + 1 FROM webhook_events WHERE call_id = $4), $5)",
    )
    .bind(id)
    .bind(org)
    .bind(kind)
    .bind(call.map(str::to_owned))
    .bind(now_us())
    .execute(conn)
    .await?;
    Ok(id)
}

/// Notes that an endpoint is to be told of an event, now.
///
/// # Errors
/// When the store fails.
pub(super) async fn insert_delivery(
    conn: &mut Connection,
    org: &str,
    event: Uuid,
    endpoint: &str,
) -> Result<(), StoreError> {
    sql(
        "INSERT INTO webhook_deliveries (id, org_id, event_id, endpoint_id, state, not_before) \
         VALUES ($1, $2, $3, $4, 'pending', $5)",
    )
    .bind(Uuid::now_v7())
    .bind(org)
    .bind(event)
    .bind(endpoint)
    .bind(now_us())
    .execute(conn)
    .await
    .map(drop)
}
