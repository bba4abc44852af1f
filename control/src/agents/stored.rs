//! Agents made over the API: their rows, their versions, and what of them a call needs.

use std::time::Duration;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::api::failure::Failure;
use crate::api::route::Fields as _;
use crate::clock::now_us;
use crate::config::{AgentLlm, AgentSection, Names};
use crate::identity::accounts::uuid;
use crate::identity::audit::Actor;
use crate::store::{Connection, Row, Store, StoreError, Tenant, sql};

const COLUMNS: &str =
    "id, org_id, owner_id, name, active, public, sections, version, created_at, updated_at";

/// An agent as stored.
#[derive(Clone, Debug)]
pub struct StoredAgent {
    /// Id.
    pub id: Uuid,
    /// The organisation it belongs to.
    pub org: Uuid,
    /// Who made it.
    pub owner: Uuid,
    /// For people.
    pub name: String,
    /// Whether it takes calls.
    pub active: bool,
    /// Whether routes without credentials may reach it.
    pub public: bool,
    /// The configuration, in Kupe's sections.
    pub sections: Map<String, Value>,
    /// Counts changes, from 1.
    pub version: i64,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Microseconds since 1970.
    pub updated_at: i64,
}

/// Changes to an agent.
#[derive(Clone, Debug, Default)]
pub struct AgentChange {
    /// Another name.
    pub name: Option<String>,
    /// Whether it takes calls.
    pub active: Option<bool>,
    /// Whether routes without credentials may reach it.
    pub public: Option<bool>,
    /// Sections to merge in.
    pub sections: Map<String, Value>,
    /// The version that must be current.
    pub if_version: Option<i64>,
    /// Change it although it takes calls.
    pub force: bool,
    /// Only this user's agent, or any of the tenant's.
    pub only_owner: Option<Uuid>,
}

/// Which agents to list.
#[derive(Clone, Debug, Default)]
pub struct AgentFilter {
    /// Only this user's.
    pub owner: Option<Uuid>,
    /// Part of the name.
    pub search: Option<String>,
    /// Any organisation's, for superusers.
    pub everywhere: bool,
}

/// What an agent has when nothing is said.
#[must_use]
pub fn default_sections() -> Map<String, Value> {
    let sections = json!({
        "agent": { "description": "", "recording_enabled": true, "first_response_message": null,
                   "apply_noise_reduction": false },
        "agent_model_config": { "model_name": null, "temperature": null, "max_tokens": null,
                                "system_prompt": "" },
        "tts_config": { "tts_model_name": null, "language": "en-US", "voice_name": null,
                        "voice_parameters": {} },
        "transcriber_config": { "transcriber_model_name": null, "language": "en-US" },
        "vad_config": { "vad_provider_id": null, "threshold": 0.5, "min_speech_duration_ms": 200,
                        "min_silence_duration_ms": 500, "max_allowed_silence_duration": 8,
                        "sampling_rate": 16000 },
        "agent_specific_config": {
            "session_timeout": 180, "end_of_speech_timeout": 1.5,
            "llm_conversation_stop_enabled": false, "auto_terminate_call": false,
            "caller_gender_detection_enabled": true, "max_output_tokens": 370,
            "timezone": "Asia/Kolkata", "inbound_transfer_routes": [] },
    });
    match sections {
        Value::Object(sections) => sections,
        _ => Map::new(),
    }
}

fn stored(row: &Row) -> Result<StoredAgent, StoreError> {
    let Value::Object(sections) = row.json("sections")? else {
        return Err(StoreError::Malformed("sections"));
    };
    Ok(StoredAgent {
        id: uuid(row, "id")?,
        org: uuid(row, "org_id")?,
        owner: uuid(row, "owner_id")?,
        name: row.get("name")?,
        active: row.flag("active")?,
        public: row.flag("public")?,
        sections,
        version: row.get("version")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

/// Makes an agent of these sections over the defaults.
///
/// # Errors
/// When the store fails.
pub async fn create(
    conn: &mut Connection,
    tenant: Tenant,
    owner: Uuid,
    change: AgentChange,
    actor: &Actor,
) -> Result<StoredAgent, StoreError> {
    let now = now_us();
    let mut sections = default_sections();
    merge(&mut sections, change.sections);
    let agent = StoredAgent {
        id: Uuid::now_v7(),
        org: tenant.organisation(),
        owner,
        name: change.name.unwrap_or_default(),
        active: change.active.unwrap_or(true),
        public: change.public.unwrap_or(false),
        sections,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    sql(
        "INSERT INTO agents (id, org_id, owner_id, name, active, public, sections, version, \
           created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
    )
    .bind(agent.id)
    .bind(agent.org)
    .bind(owner)
    .bind(&agent.name)
    .bind(agent.active)
    .bind(agent.public)
    .bind(&Value::Object(agent.sections.clone()))
    .bind(agent.version)
    .bind(now)
    .execute(conn)
    .await?;
    keep_version(conn, &agent, owner).await?;
    actor.did(conn, "create", ("agent", agent.id)).await?;
    Ok(agent)
}

/// Changes an agent in one step: of two at once none is lost.
///
/// # Errors
/// 404, 409 for one that takes calls unless forced, 412 for another version; when the store fails.
pub async fn update(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
    author: Uuid,
    change: AgentChange,
    actor: &Actor,
) -> Result<StoredAgent, StoreError> {
    let decline = |failure: Failure| StoreError::Declined(Box::new(failure));
    let select = format!(
        "SELECT {COLUMNS} FROM agents WHERE id = $1 AND org_id = $2{}",
        conn.for_update()
    );
    let row = sql(select)
        .bind(id)
        .bind(tenant.organisation())
        .fetch_optional(conn)
        .await?;
    let mut agent = row
        .as_ref()
        .map(stored)
        .transpose()?
        .ok_or_else(|| decline(Failure::not_found()))?;
    if change.only_owner.is_some_and(|owner| owner != agent.owner) {
        return Err(decline(Failure::forbidden(
            "the agent belongs to another user",
        )));
    }
    if change
        .if_version
        .is_some_and(|version| version != agent.version)
    {
        return Err(decline(Failure::changed_meanwhile()));
    }
    if !change.force && live_calls(conn, id).await? > 0 {
        let message = "the agent is on a call; send force_update=true to change it nevertheless";
        return Err(decline(Failure::conflict(message)));
    }
    merge(&mut agent.sections, change.sections);
    agent.name = change.name.unwrap_or(agent.name);
    agent.active = change.active.unwrap_or(agent.active);
    agent.public = change.public.unwrap_or(agent.public);
    agent.version += 1;
    agent.updated_at = now_us();
    write(conn, &agent).await?;
    keep_version(conn, &agent, author).await?;
    actor.did(conn, "update", ("agent", id)).await?;
    Ok(agent)
}

/// Makes an earlier version the current one again, as a new version.
///
/// # Errors
/// 404; when the store fails.
pub async fn roll_back(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
    version: i64,
    author: Uuid,
    actor: &Actor,
) -> Result<StoredAgent, StoreError> {
    let decline = || StoreError::Declined(Box::new(Failure::not_found()));
    let select = format!(
        "SELECT {COLUMNS} FROM agents WHERE id = $1 AND org_id = $2{}",
        conn.for_update()
    );
    let row = sql(select)
        .bind(id)
        .bind(tenant.organisation())
        .fetch_optional(conn)
        .await?;
    let mut agent = row.as_ref().map(stored).transpose()?.ok_or_else(decline)?;
    let row = sql("SELECT name, sections FROM agent_versions WHERE agent_id = $1 AND version = $2")
        .bind(id)
        .bind(version)
        .fetch_optional(conn)
        .await?;
    let row = row.ok_or_else(decline)?;
    let Value::Object(sections) = row.json("sections")? else {
        return Err(StoreError::Malformed("sections"));
    };
    agent.sections = sections;
    agent.name = row.get("name")?;
    agent.version += 1;
    agent.updated_at = now_us();
    write(conn, &agent).await?;
    keep_version(conn, &agent, author).await?;
    actor.did(conn, "roll_back", ("agent", id)).await?;
    Ok(agent)
}

/// Deletes an agent with its mappings.
///
/// # Errors
/// 404; 400 for an active one unless forced; when the store fails.
pub async fn delete(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
    only_owner: Option<Uuid>,
    force: bool,
    actor: &Actor,
) -> Result<(), StoreError> {
    let decline = |failure: Failure| StoreError::Declined(Box::new(failure));
    let Some(agent) = find(conn, tenant, id).await? else {
        return Err(decline(Failure::not_found()));
    };
    if only_owner.is_some_and(|owner| owner != agent.owner) {
        return Err(decline(Failure::forbidden(
            "the agent belongs to another user",
        )));
    }
    if agent.active && !force {
        let message = "the agent is active; deactivate it first or send force_delete=true";
        return Err(decline(Failure::bad_request("agent_active", message)));
    }
    sql("DELETE FROM agents WHERE id = $1 AND org_id = $2")
        .bind(id)
        .bind(tenant.organisation())
        .execute(conn)
        .await?;
    actor.did(conn, "delete", ("agent", id)).await
}

/// An agent of the tenant.
///
/// # Errors
/// When the store fails.
pub async fn find(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
) -> Result<Option<StoredAgent>, StoreError> {
    let text = format!("SELECT {COLUMNS} FROM agents WHERE id = $1 AND org_id = $2");
    let row = sql(text)
        .bind(id)
        .bind(tenant.organisation())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(stored).transpose()
}

/// The agent that a call is for: whose it is is decided by the line, not by a caller of the API.
///
/// # Errors
/// When the store fails.
pub(crate) async fn find_for_call(
    conn: &mut Connection,
    id: Uuid,
) -> Result<Option<StoredAgent>, StoreError> {
    let text = format!("SELECT {COLUMNS} FROM agents WHERE id = $1");
    let row = sql(text).bind(id).fetch_optional(conn).await?;
    row.as_ref().map(stored).transpose()
}

/// Agents of the tenant, oldest first, and how many there are in all.
///
/// # Errors
/// When the store fails.
pub async fn list(
    store: &Store,
    tenant: Tenant,
    filter: &AgentFilter,
    offset: i64,
    limit: i64,
) -> Result<(Vec<StoredAgent>, i64), StoreError> {
    let condition = |query: &mut crate::store::Query| {
        query.push(" FROM agents WHERE ");
        if filter.everywhere {
            query.push("1 = 1");
        } else {
            query.push("org_id = ").push_bind(tenant.organisation());
        }
        if let Some(owner) = filter.owner {
            query.push(" AND owner_id = ").push_bind(owner);
        }
        if let Some(search) = &filter.search {
            query
                .push(" AND lower(name) LIKE ")
                .push_bind(crate::store::contains(search));
            query.push(" ESCAPE '!'");
        }
    };
    let mut count = sql("SELECT count(*) AS n");
    condition(&mut count);
    let mut rows = sql(format!("SELECT {COLUMNS}"));
    condition(&mut rows);
    rows.push(" ORDER BY created_at, id LIMIT ")
        .push_bind(limit);
    rows.push(" OFFSET ").push_bind(offset);
    let mut conn = store.read().await?;
    let total = count.fetch_one(&mut conn).await?.get("n")?;
    let rows = rows.fetch_all(&mut conn).await?;
    Ok((rows.iter().map(stored).collect::<Result<_, _>>()?, total))
}

/// Versions of an agent, newest first: number, author, time.
///
/// # Errors
/// When the store fails.
pub async fn versions(
    store: &Store,
    tenant: Tenant,
    id: Uuid,
) -> Result<Vec<(i64, Uuid, i64)>, StoreError> {
    let query = sql(
        "SELECT v.version, v.author_id, v.created_at FROM agent_versions v \
                     JOIN agents a ON a.id = v.agent_id \
                     WHERE v.agent_id = $1 AND a.org_id = $2 ORDER BY v.version DESC LIMIT 200",
    )
    .bind(id)
    .bind(tenant.organisation());
    let rows = store.fetch_all(query).await?;
    rows.iter()
        .map(|row| {
            Ok((
                row.get("version")?,
                uuid(row, "author_id")?,
                row.get("created_at")?,
            ))
        })
        .collect()
}

async fn write(conn: &mut Connection, agent: &StoredAgent) -> Result<(), StoreError> {
    sql(
        "UPDATE agents SET name = $2, active = $3, public = $4, sections = $5, version = $6, \
           updated_at = $7 WHERE id = $1",
    )
    .bind(agent.id)
    .bind(&agent.name)
    .bind(agent.active)
    .bind(agent.public)
    .bind(&Value::Object(agent.sections.clone()))
    .bind(agent.version)
    .bind(agent.updated_at)
    .execute(conn)
    .await
    .map(drop)
}

async fn keep_version(
    conn: &mut Connection,
    agent: &StoredAgent,
    author: Uuid,
) -> Result<(), StoreError> {
    sql(
        "INSERT INTO agent_versions (agent_id, version, name, active, sections, author_id, \
           created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(agent.id)
    .bind(agent.version)
    .bind(&agent.name)
    .bind(agent.active)
    .bind(&Value::Object(agent.sections.clone()))
    .bind(author)
    .bind(agent.updated_at)
    .execute(conn)
    .await
    .map(drop)
}

async fn live_calls(conn: &mut Connection, agent: Uuid) -> Result<i64, StoreError> {
    let query = sql("SELECT count(*) AS n FROM calls WHERE status = 'active' AND agent_id = $1");
    query.bind(agent).fetch_one(conn).await?.get("n")
}

/// Puts `changes` over `base`, object by object; lists and plain values are replaced.
pub fn merge(base: &mut Map<String, Value>, changes: Map<String, Value>) {
    for (name, change) in changes {
        match (base.get_mut(&name), change) {
            (Some(Value::Object(inner)), Value::Object(changes)) => merge(inner, changes),
            (_, change) => drop(base.insert(name, change)),
        }
    }
}

impl StoredAgent {
    /// One of its sections.
    #[must_use]
    pub fn section(&self, name: &str) -> Map<String, Value> {
        match self.sections.get(name) {
            Some(Value::Object(section)) => section.clone(),
            _ => Map::new(),
        }
    }

    /// The same agent as the configuration file would have it. `workflow` is the key its workflow
    /// is kept under, where it has one.
    #[must_use]
    pub fn to_section(&self, workflow: Option<String>) -> AgentSection {
        let agent = self.section("agent");
        let model = self.section("agent_model_config");
        let tts = self.section("tts_config");
        let stt = self.section("transcriber_config");
        let vad = self.section("vad_config");
        let more = self.section("agent_specific_config");
        let seconds = |section: &Map<String, Value>, name: &str, default: f64| {
            let value = section
                .value(name)
                .and_then(Value::as_f64)
                .unwrap_or(default);
            Duration::from_secs_f64(value.clamp(1.0, 86_400.0))
        };
        let routes = more
            .value("inbound_transfer_routes")
            .and_then(Value::as_array);
        let transfer_targets = routes
            .into_iter()
            .flatten()
            .filter(|route| route["enabled"] != json!(false))
            .filter_map(|route| route["phone_number"].as_str().map(str::to_owned))
            .collect();
        let language = stt.owned("language").or_else(|| tts.owned("language"));
        AgentSection {
            id: self.id.to_string(),
            name: Some(self.name.clone()),
            first_message: agent
                .owned("first_response_message")
                .filter(|text| !text.is_empty()),
            llm: workflow.is_none().then(|| AgentLlm {
                provider: model.owned("provider_name").map(Names::from),
                model: model.owned("model_name"),
                prompt: model.owned("system_prompt").unwrap_or_default(),
            }),
            workflow,
            stt: stt.owned("provider_name").map(Names::from),
            tts: tts.owned("provider_name").map(Names::from),
            voice: tts.owned("voice_name").unwrap_or_default(),
            speed: 1.0,
            language: language.unwrap_or_else(|| "en-US".to_owned()),
            time_zone: more.owned("timezone").unwrap_or_else(|| "UTC".to_owned()),
            call_duration_max: seconds(&more, "session_timeout", 180.0),
            silence_prompt_after: seconds(&vad, "max_allowed_silence_duration", 8.0),
            silence_prompts_max: 2,
            transfer_targets,
        }
    }
}
