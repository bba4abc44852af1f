//! Campaigns as stored, and what may be done with them in which state.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::rules::Rules;
use crate::api::failure::Failure;
use crate::clock::now_us;
use crate::identity::accounts::{optional_uuid, uuid};
use crate::identity::audit::Actor;
use crate::numbers::lines::Target;
use crate::store::{Connection, Row, StoreError, Tenant, sql};

/// What published surface a campaign is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Kupe's batch.
    KupeBatch,
    /// Vaani's batch.
    VaaniBatch,
    /// Vaani's campaign; takes new recipients while it runs, and never completes.
    VaaniCampaign,
}

impl Kind {
    /// Name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KupeBatch => "kupe_batch",
            Self::VaaniBatch => "vaani_batch",
            Self::VaaniCampaign => "vaani_campaign",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::KupeBatch, Self::VaaniBatch, Self::VaaniCampaign]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// Where a campaign stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Being prepared.
    NotStarted,
    /// Starts at its time.
    Scheduled,
    /// Dials.
    Running,
    /// Dials nobody new; calls on the line go on.
    Paused,
    /// Every recipient is done.
    Completed,
    /// Given up.
    Cancelled,
}

impl State {
    /// Name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [
            Self::NotStarted,
            Self::Scheduled,
            Self::Running,
            Self::Paused,
            Self::Completed,
            Self::Cancelled,
        ]
        .into_iter()
        .find(|state| state.name() == name)
    }
}

/// A campaign.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// Id.
    pub id: Uuid,
    /// The organisation it belongs to.
    pub org: Uuid,
    /// Who made it.
    pub owner: Uuid,
    /// Of which surface.
    pub kind: Kind,
    /// Name in addresses.
    pub slug: Option<String>,
    /// For people.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// Who speaks.
    pub target: Option<Target>,
    /// The line its calls go out by.
    pub line: Option<Uuid>,
    /// Variables that every recipient should have.
    pub variable_names: Vec<String>,
    /// What it may do.
    pub rules: Rules,
    /// The surface's own fields.
    pub extra: Map<String, Value>,
    /// Where it stands.
    pub state: State,
    /// Why, if it got there by itself.
    pub state_reason: Option<String>,
    /// When it is to start; microseconds since 1970.
    pub scheduled_at: Option<i64>,
    /// Zone of recipients whose country is not known.
    pub time_zone: Option<String>,
    /// Microseconds since 1970.
    pub started_at: Option<i64>,
    /// Microseconds since 1970.
    pub ended_at: Option<i64>,
    /// Counts changes, from 1.
    pub version: i64,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Microseconds since 1970.
    pub updated_at: i64,
}

/// A campaign to make.
#[derive(Clone, Debug)]
pub struct NewCampaign {
    /// Of which surface.
    pub kind: Kind,
    /// Name in addresses, unique on the installation.
    pub slug: Option<String>,
    /// For people.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// Who speaks.
    pub target: Option<Target>,
    /// The line.
    pub line: Option<Uuid>,
    /// Variables that every recipient should have.
    pub variable_names: Vec<String>,
    /// What it may do.
    pub rules: Rules,
    /// The surface's own fields.
    pub extra: Map<String, Value>,
    /// Where it begins.
    pub state: State,
    /// When it is to start.
    pub scheduled_at: Option<i64>,
    /// Zone of recipients whose country is not known.
    pub time_zone: Option<String>,
}

pub(super) fn campaign(row: &Row) -> Result<Campaign, StoreError> {
    let agent = optional_uuid(row, "agent_id")?.map(Target::Agent);
    let workflow = optional_uuid(row, "workflow_id")?.map(Target::Workflow);
    let malformed = |what| move || StoreError::Malformed(what);
    let kind: String = row.get("kind")?;
    let state: String = row.get("state")?;
    let names = serde_json::from_value(row.json("variable_names")?);
    let rules = serde_json::from_value(row.json("rules")?);
    let Value::Object(extra) = row.json("extra")? else {
        return Err(StoreError::Malformed("extra"));
    };
    Ok(Campaign {
        id: uuid(row, "id")?,
        org: uuid(row, "org_id")?,
        owner: uuid(row, "owner_id")?,
        kind: Kind::named(&kind).ok_or_else(malformed("kind"))?,
        slug: row.get("slug")?,
        name: row.get("name")?,
        description: row.get("description")?,
        target: agent.or(workflow),
        line: optional_uuid(row, "line_id")?,
        variable_names: names.map_err(|_| StoreError::Malformed("variable_names"))?,
        rules: rules.map_err(|_| StoreError::Malformed("rules"))?,
        extra,
        state: State::named(&state).ok_or_else(malformed("state"))?,
        state_reason: row.get("state_reason")?,
        scheduled_at: row.get("scheduled_at")?,
        time_zone: row.get("time_zone")?,
        started_at: row.get("started_at")?,
        ended_at: row.get("ended_at")?,
        version: row.get("version")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

fn declined(failure: Failure) -> StoreError {
    StoreError::Declined(Box::new(failure))
}

/// That target and line are the tenant's own.
async fn check_own(
    conn: &mut Connection,
    tenant: Tenant,
    target: Option<Target>,
    line: Option<Uuid>,
) -> Result<(), StoreError> {
    let target = target.map(|target| match target {
        Target::Agent(id) => ("agents", "agent_id", id),
        Target::Workflow(id) => ("workflows", "workflow_id", id),
        Target::Endpoint(id) => ("endpoints", "endpoint_id", id),
    });
    let line = line.map(|id| ("phone_numbers", "caller_phone_id", id));
    for (table, field, id) in target.into_iter().chain(line) {
        let own = sql(format!(
            "SELECT id FROM {table} WHERE id = $1 AND org_id = $2"
        ))
        .bind(id)
        .bind(tenant.organisation())
        .fetch_optional(conn)
        .await?;
        if own.is_none() {
            let message = "there is no such row of yours";
            return Err(declined(Failure::field(field, "unknown", message)));
        }
    }
    Ok(())
}

/// Makes a campaign.
///
/// # Errors
/// 400 for a target or line that is not the tenant's, 409 for a slug that is taken.
pub async fn create(
    conn: &mut Connection,
    tenant: Tenant,
    owner: Uuid,
    new: NewCampaign,
    actor: &Actor,
) -> Result<Campaign, StoreError> {
    check_own(conn, tenant, new.target, new.line).await?;
    let id = Uuid::now_v7();
    let now = now_us();
    let (agent, workflow) = columns(new.target);
    let inserted = sql(
        "INSERT INTO campaigns (id, org_id, owner_id, kind, slug, name, description, agent_id, \
           workflow_id, line_id, variable_names, rules, extra, state, scheduled_at, time_zone, \
           started_at, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, \
           $18, $18)",
    )
    .bind(id)
    .bind(tenant.organisation())
    .bind(owner)
    .bind(new.kind.name())
    .bind(new.slug)
    .bind(&new.name)
    .bind(new.description)
    .bind(agent)
    .bind(workflow)
    .bind(new.line.map(|id| id.to_string()))
    .bind(json_text(&new.variable_names))
    .bind(json_text(&new.rules))
    .bind(json_text(&new.extra))
    .bind(new.state.name())
    .bind(new.scheduled_at)
    .bind(new.time_zone)
    .bind((new.state == State::Running).then_some(now))
    .bind(now)
    .execute(conn)
    .await;
    match inserted {
        Err(error) if error.is_unique_violation() => {
            return Err(declined(Failure::conflict("this slug is taken")));
        }
        other => other?,
    };
    actor.did(conn, "create", ("campaign", id)).await?;
    let made = find(conn, tenant, id).await?;
    made.ok_or(StoreError::Malformed("campaigns"))
}

fn columns(target: Option<Target>) -> (Option<String>, Option<String>) {
    match target {
        Some(Target::Agent(id)) => (Some(id.to_string()), None),
        Some(Target::Workflow(id)) => (None, Some(id.to_string())),
        Some(Target::Endpoint(_)) | None => (None, None),
    }
}

fn json_text<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

/// A campaign of the tenant.
///
/// # Errors
/// When the store fails.
pub async fn find(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
) -> Result<Option<Campaign>, StoreError> {
    let query = sql("SELECT * FROM campaigns WHERE id = $1 AND org_id = $2");
    let row = query
        .bind(id)
        .bind(tenant.organisation())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(campaign).transpose()
}

/// A campaign by its slug; `tenant` is asked where the surface asks who calls.
///
/// # Errors
/// When the store fails.
pub async fn find_by_slug(
    conn: &mut Connection,
    tenant: Option<Tenant>,
    slug: &str,
) -> Result<Option<Campaign>, StoreError> {
    let row = sql("SELECT * FROM campaigns WHERE slug = $1")
        .bind(slug)
        .fetch_optional(conn)
        .await?;
    let found = row.as_ref().map(campaign).transpose()?;
    Ok(found.filter(|c| tenant.is_none_or(|tenant| tenant.organisation() == c.org)))
}

/// Which campaigns to list.
#[derive(Clone, Copy, Debug)]
pub struct CampaignFilter {
    /// Of which surface.
    pub kind: Kind,
    /// Only this user's.
    pub owner: Option<Uuid>,
    /// Any organisation's, for superusers.
    pub everywhere: bool,
}

/// Campaigns, newest first, and how many there are in all.
///
/// # Errors
/// When the store fails.
pub async fn list(
    conn: &mut Connection,
    tenant: Tenant,
    filter: CampaignFilter,
    offset: i64,
    limit: i64,
) -> Result<(Vec<Campaign>, i64), StoreError> {
    let condition = |head: &'static str| {
        let mut query = sql(head);
        query.push_bind(filter.kind.name());
        if !filter.everywhere {
            query
                .push(" AND org_id = ")
                .push_bind(tenant.organisation());
        }
        if let Some(owner) = filter.owner {
            query.push(" AND owner_id = ").push_bind(owner);
        }
        query
    };
    let total = condition("SELECT COUNT(*) AS n FROM campaigns WHERE kind = ");
    let total: i64 = total.fetch_one(conn).await?.get("n")?;
    let mut query = condition("SELECT * FROM campaigns WHERE kind = ");
    query.push(" ORDER BY created_at DESC, id DESC LIMIT ");
    query.push_bind(limit).push(" OFFSET ").push_bind(offset);
    let rows = query.fetch_all(conn).await?;
    let found = rows.iter().map(campaign).collect::<Result<_, _>>()?;
    Ok((found, total))
}

/// The campaign, locked for what this transaction is going to change.
///
/// # Errors
/// 404 when it is not the tenant's.
pub async fn lock(conn: &mut Connection, tenant: Tenant, id: Uuid) -> Result<Campaign, StoreError> {
    let text = format!(
        "SELECT * FROM campaigns WHERE id = $1 AND org_id = $2{}",
        conn.for_update()
    );
    let row = sql(text)
        .bind(id)
        .bind(tenant.organisation())
        .fetch_optional(conn)
        .await?;
    let row = row.ok_or_else(|| declined(Failure::not_found()))?;
    campaign(&row)
}

/// That a campaign can still be prepared.
///
/// # Errors
/// 409 otherwise.
pub fn check_editable(campaign: &Campaign) -> Result<(), StoreError> {
    if matches!(campaign.state, State::NotStarted | State::Scheduled)
        || campaign.kind == Kind::VaaniCampaign
    {
        return Ok(());
    }
    let message = "the batch has been started; it can no longer be changed";
    Err(declined(Failure::conflict(message)))
}

/// Writes what may be changed of a campaign.
///
/// # Errors
/// When the store fails.
pub async fn save(conn: &mut Connection, campaign: &Campaign) -> Result<(), StoreError> {
    let tenant = Tenant::of(campaign.org);
    check_own(conn, tenant, campaign.target, campaign.line).await?;
    let (agent, workflow) = columns(campaign.target);
    sql(
        "UPDATE campaigns SET name = $2, description = $3, agent_id = $4, workflow_id = $5, \
           line_id = $6, variable_names = $7, rules = $8, extra = $9, scheduled_at = $10, \
           time_zone = $11, version = version + 1, updated_at = $12 WHERE id = $1",
    )
    .bind(campaign.id)
    .bind(&campaign.name)
    .bind(campaign.description.clone())
    .bind(agent)
    .bind(workflow)
    .bind(campaign.line.map(|id| id.to_string()))
    .bind(json_text(&campaign.variable_names))
    .bind(json_text(&campaign.rules))
    .bind(json_text(&campaign.extra))
    .bind(campaign.scheduled_at)
    .bind(campaign.time_zone.clone())
    .bind(now_us())
    .execute(conn)
    .await
    .map(drop)
}

/// Moves a campaign from one of `from` to `to`.
///
/// # Errors
/// 409 with `otherwise` when it is in another state.
pub async fn shift(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
    from: &[State],
    to: State,
    otherwise: &str,
) -> Result<Campaign, StoreError> {
    let found = lock(conn, tenant, id).await?;
    if !from.contains(&found.state) {
        return Err(declined(Failure::conflict(otherwise)));
    }
    set_state(conn, id, to, None).await?;
    let moved = find(conn, tenant, id).await?;
    moved.ok_or(StoreError::Malformed("campaigns"))
}

/// Writes a campaign's state; the caller has made sure that it may.
///
/// # Errors
/// When the store fails.
pub async fn set_state(
    conn: &mut Connection,
    id: Uuid,
    to: State,
    reason: Option<&str>,
) -> Result<(), StoreError> {
    let now = now_us();
    let over = matches!(to, State::Completed | State::Cancelled);
    sql("UPDATE campaigns SET state = $2, state_reason = $3, \
           started_at = COALESCE(started_at, $4), ended_at = $5, version = version + 1, \
           updated_at = $6 WHERE id = $1")
    .bind(id)
    .bind(to.name())
    .bind(reason.map(str::to_owned))
    .bind((to == State::Running).then_some(now))
    .bind(over.then_some(now))
    .bind(now)
    .execute(conn)
    .await
    .map(drop)
}

/// Starts a campaign: of two starts one is refused.
///
/// # Errors
/// 404; 409 when it was started before; 400 when it has no recipients, or nobody to speak, or a
/// recipient lacks a variable.
pub async fn start(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
    actor: &Actor,
) -> Result<Campaign, StoreError> {
    let found = lock(conn, tenant, id).await?;
    let message = match found.state {
        State::NotStarted => None,
        State::Scheduled => Some("the batch is scheduled already"),
        State::Running | State::Paused => Some("the batch is running already"),
        State::Completed => Some("the batch is completed; make a new one"),
        State::Cancelled => Some("the batch is cancelled; make a new one"),
    };
    if let Some(message) = message {
        return Err(declined(Failure::conflict(message)));
    }
    let open = sql(
        "SELECT id FROM recipient_imports WHERE campaign_id = $1 AND status = 'running' LIMIT 1",
    )
    .bind(id)
    .fetch_optional(conn)
    .await?;
    if open.is_some() {
        let message = "an upload of this batch is still running";
        return Err(declined(Failure::conflict(message)));
    }
    let any = sql("SELECT id FROM recipients WHERE campaign_id = $1 LIMIT 1")
        .bind(id)
        .fetch_optional(conn)
        .await?;
    if any.is_none() {
        let message = "the batch has no recipients; upload some first";
        return Err(declined(Failure::bad_request("empty", message)));
    }
    if found.target.is_none() || found.line.is_none() {
        let message = "the agent or the line of the batch is gone; name another";
        return Err(declined(Failure::bad_request("incomplete", message)));
    }
    let later = found.scheduled_at.is_some_and(|at| at > now_us());
    let to = if later {
        State::Scheduled
    } else {
        State::Running
    };
    set_state(conn, id, to, None).await?;
    actor.did(conn, "start", ("campaign", id)).await?;
    let started = find(conn, tenant, id).await?;
    started.ok_or(StoreError::Malformed("campaigns"))
}

/// Gives a campaign up: nobody is dialled any more; calls on the line end by themselves.
///
/// # Errors
/// 404; 409 when it is over.
pub async fn cancel(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
    actor: &Actor,
) -> Result<Campaign, StoreError> {
    let from = [
        State::NotStarted,
        State::Scheduled,
        State::Running,
        State::Paused,
    ];
    let otherwise = "the batch is over";
    let moved = shift(conn, tenant, id, &from, State::Cancelled, otherwise).await?;
    sql(
        "UPDATE recipients SET state = 'cancelled', reason = 'cancelled', updated_at = $2 \
         WHERE campaign_id = $1 AND state IN ('pending', 'retry')",
    )
    .bind(id)
    .bind(now_us())
    .execute(conn)
    .await?;
    actor.did(conn, "cancel", ("campaign", id)).await?;
    Ok(moved)
}

/// Deletes a campaign with its recipients.
///
/// # Errors
/// 404; 409 while it runs or calls are open.
pub async fn delete(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
    actor: &Actor,
) -> Result<(), StoreError> {
    let found = lock(conn, tenant, id).await?;
    let open = sql(
        "SELECT id FROM recipients WHERE campaign_id = $1 AND state IN ('dialing', 'unknown') \
         LIMIT 1",
    )
    .bind(id)
    .fetch_optional(conn)
    .await?;
    let running = found.state == State::Running && found.kind != Kind::VaaniCampaign;
    if running || open.is_some() {
        let message = "the batch is running; cancel it and wait for its calls to end";
        return Err(declined(Failure::conflict(message)));
    }
    // Attempts stay out of the way of the frequency cap: what was dialled was dialled.
    sql("DELETE FROM campaigns WHERE id = $1")
        .bind(id)
        .execute(conn)
        .await?;
    actor.did(conn, "delete", ("campaign", id)).await
}

/// Recipients by state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// To be dialled, now or again.
    pub waiting: i64,
    /// On the line, or lost and being looked for.
    pub calling: i64,
    /// Reached.
    pub completed: i64,
    /// Busy or not answered.
    pub no_answer: i64,
    /// Not reached.
    pub failed: i64,
    /// Given up.
    pub cancelled: i64,
}

impl Counts {
    /// All recipients.
    #[must_use]
    pub const fn total(&self) -> i64 {
        self.waiting + self.calling + self.completed + self.no_answer + self.failed + self.cancelled
    }
}

/// Counts a campaign's recipients.
///
/// # Errors
/// When the store fails.
pub async fn counts(conn: &mut Connection, id: Uuid) -> Result<Counts, StoreError> {
    let rows =
        sql("SELECT state, COUNT(*) AS n FROM recipients WHERE campaign_id = $1 GROUP BY state")
            .bind(id)
            .fetch_all(conn)
            .await?;
    let mut counts = Counts::default();
    for row in &rows {
        let state: String = row.get("state")?;
        let n: i64 = row.get("n")?;
        *match state.as_str() {
            "pending" | "retry" => &mut counts.waiting,
            "dialing" | "unknown" => &mut counts.calling,
            "completed" => &mut counts.completed,
            "no_answer" => &mut counts.no_answer,
            "failed" => &mut counts.failed,
            "cancelled" => &mut counts.cancelled,
            _ => return Err(StoreError::Malformed("state")),
        } += n;
    }
    Ok(counts)
}
