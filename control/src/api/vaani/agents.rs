//! `/agents`: the workspace's agents, in Vaani's flat form over the same rows.

use axum::response::Response;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::kupe::{MESSAGE, resolve_parts};
use super::super::route::{Context, Fields as _, Route, message, reply, reply_versioned, route};
use super::super::schema::{Field, Kind, Shape, e164, may, need, shape};
use crate::agents::providers::{self, Part};
use crate::agents::stored::{self, AgentChange, AgentFilter, StoredAgent};
use crate::clock::rfc3339;
use crate::identity::audit::Actor;
use crate::numbers::lines::{self, Target};
use crate::store::{Connection, StoreError, Tenant};

/// Most agents in the list, which has no pages.
const UNPAGED_MAX: i64 = 1000;
/// Stands in the sections for what Vaani calls custom functions.
const FUNCTIONS: &str = "custom_functions";

static FUNCTION: Shape = shape(
    "CustomFunction",
    &[
        need("name", Kind::Text(1, 64)),
        may("description", Kind::Text(0, 2_000)),
        need("url", Kind::Url(&["http", "https"])),
        may(
            "method",
            Kind::OneOf(&["GET", "POST", "PUT", "PATCH", "DELETE"]),
        ),
        may("parameters", Kind::Map),
    ],
);
const FUNCTION_OBJECT: Kind = Kind::Object(&FUNCTION);
const FIELDS: [Field; 12] = [
    may("phone_number", Kind::Phone),
    may("LLM_provider", Kind::Text(0, 100)),
    may("LLM_model", Kind::Text(0, 200)),
    may("STT_provider", Kind::Text(0, 100)),
    may("TTS_provider", Kind::Text(0, 100)),
    may("system_prompt", Kind::Text(0, 100_000)),
    may("first_message", Kind::Text(0, 5_000)),
    may("temperature", Kind::Number(0.0, 2.0)),
    may("max_tokens", Kind::Integer(1, 32_768)),
    may("max_call_duration", Kind::Integer(1, 86_400)),
    may(FUNCTIONS, Kind::List(&FUNCTION_OBJECT, 50)),
    may("is_public", Kind::Boolean),
];
static CREATE: Shape = shape(
    "WorkspaceAgentCreate",
    &[
        need("agent_name", Kind::Text(1, 200)),
        FIELDS[0],
        FIELDS[1],
        FIELDS[2],
        FIELDS[3],
        FIELDS[4],
        FIELDS[5],
        FIELDS[6],
        FIELDS[7],
        FIELDS[8],
        FIELDS[9],
        FIELDS[10],
        FIELDS[11],
    ],
);
static UPDATE: Shape = shape(
    "WorkspaceAgentUpdate",
    &[
        may("agent_name", Kind::Text(1, 200)),
        FIELDS[0],
        FIELDS[1],
        FIELDS[2],
        FIELDS[3],
        FIELDS[4],
        FIELDS[5],
        FIELDS[6],
        FIELDS[7],
        FIELDS[8],
        FIELDS[9],
        FIELDS[10],
        FIELDS[11],
    ],
);
static AGENT: Shape = shape(
    "WorkspaceAgent",
    &[
        need("id", Kind::Uuid),
        need("workspace_id", Kind::Uuid),
        need("agent_name", Kind::Text(0, 0)),
        need("phone_number", Kind::Nullable(&Kind::Phone)),
        need("LLM_provider", Kind::Nullable(&Kind::Text(0, 0))),
        need("LLM_model", Kind::Nullable(&Kind::Text(0, 0))),
        need("STT_provider", Kind::Nullable(&Kind::Text(0, 0))),
        need("TTS_provider", Kind::Nullable(&Kind::Text(0, 0))),
        need("system_prompt", Kind::Text(0, 0)),
        need("first_message", Kind::Nullable(&Kind::Text(0, 0))),
        need("is_public", Kind::Boolean),
        need("created_at", Kind::Time),
        need("updated_at", Kind::Time),
    ],
);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Vaani GET "/agents", CookieOrKey "M|D|A" 200, list)
            .does("Agents of the workspace")
            .answers(const { Kind::List(&Kind::Object(&AGENT), 0) }),
        route!(Vaani POST "/agents", CookieOrKey "D|A" 201, create)
            .does("Makes an agent; with `phone_number` it answers that line at once")
            .takes(&CREATE)
            .answers(Kind::Object(&AGENT))
            .idempotent(),
        route!(Vaani GET "/agents/{id}", CookieOrKey "M|D|A" 200, show)
            .does("An agent")
            .answers(Kind::Object(&AGENT)),
        route!(Vaani PUT "/agents/{id}", CookieOrKey "D|A" 200, update)
            .does("Changes the given fields")
            .takes(&UPDATE)
            .answers(Kind::Object(&AGENT)),
        route!(Vaani DELETE "/agents/{id}", CookieOrKey "D|A" 200, delete)
            .does("Deletes an agent")
            .answers(Kind::Object(&MESSAGE)),
    ]
}

async fn list(cx: Context) -> Result<Response, Failure> {
    let tenant = cx.who()?.tenant;
    let store = &cx.services.store;
    let filter = AgentFilter::default();
    let (agents, _) = stored::list(store, tenant, &filter, 0, UNPAGED_MAX).await?;
    let lines = lines::list(store, tenant).await?;
    let number = |id: Uuid| {
        let line = lines
            .iter()
            .find(|line| line.target == Some(Target::Agent(id)));
        line.map(|line| line.number.clone())
    };
    Ok(reply(
        &cx,
        agents
            .iter()
            .map(|agent| to_json(agent, number(agent.id)))
            .collect(),
    ))
}

async fn show(cx: Context) -> Result<Response, Failure> {
    let (tenant, id) = (cx.who()?.tenant, cx.id("id")?);
    let mut conn = cx.services.store.read().await?;
    let agent = stored::find(&mut conn, tenant, id)
        .await?
        .ok_or_else(Failure::not_found)?;
    drop(conn);
    answer(&cx, tenant, &agent).await
}

async fn create(cx: Context) -> Result<Response, Failure> {
    let who = cx.who()?;
    let change = read(&cx)?;
    let number = cx.body.phone("phone_number");
    let (tenant, user, actor) = (who.tenant, who.user, cx.actor()?);
    let made = cx.services.store.write(move |conn| {
        Box::pin(async move {
            let agent = stored::create(conn, tenant, user, change, &actor).await?;
            map_number(conn, tenant, agent.id, number, &actor).await?;
            Ok(agent)
        })
    });
    let agent = made.await?;
    answer(&cx, tenant, &agent).await
}

async fn update(cx: Context) -> Result<Response, Failure> {
    let (who, id) = (cx.who()?, cx.id("id")?);
    let mut change = read(&cx)?;
    change.if_version = cx.if_match()?;
    // Vaani knows no refusal of a change during a call; the call goes on as it began.
    change.force = true;
    let number = cx.body.phone("phone_number");
    let (tenant, user, actor) = (who.tenant, who.user, cx.actor()?);
    let changed = cx.services.store.write(move |conn| {
        Box::pin(async move {
            let agent = stored::update(conn, tenant, id, user, change, &actor).await?;
            map_number(conn, tenant, id, number, &actor).await?;
            Ok(agent)
        })
    });
    let agent = changed.await?;
    answer(&cx, tenant, &agent).await
}

async fn delete(cx: Context) -> Result<Response, Failure> {
    let (tenant, id, actor) = (cx.who()?.tenant, cx.id("id")?, cx.actor()?);
    let deleted = cx.services.store.write(move |conn| {
        Box::pin(async move { stored::delete(conn, tenant, id, None, true, &actor).await })
    });
    deleted.await?;
    Ok(message(&cx, "the agent was deleted"))
}

async fn answer(cx: &Context, tenant: Tenant, agent: &StoredAgent) -> Result<Response, Failure> {
    let lines = lines::list(&cx.services.store, tenant).await?;
    let line = lines
        .into_iter()
        .find(|line| line.target == Some(Target::Agent(agent.id)));
    let body = to_json(agent, line.map(|line| line.number));
    Ok(reply_versioned(cx, body, agent.version))
}

async fn map_number(
    conn: &mut Connection,
    tenant: Tenant,
    agent: Uuid,
    number: Option<String>,
    actor: &Actor,
) -> Result<(), StoreError> {
    let Some(number) = number else { return Ok(()) };
    let Some(line) = lines::find_by_number(conn, tenant, &number).await? else {
        let message = "is not a number of this workspace";
        let failure = Failure::field("phone_number", "unknown", message);
        return Err(StoreError::Declined(Box::new(failure)));
    };
    if line
        .target
        .is_some_and(|target| target != Target::Agent(agent))
    {
        let failure = Failure::conflict("another target answers this number");
        return Err(StoreError::Declined(Box::new(failure)));
    }
    lines::map(conn, tenant, line.id, Some(Target::Agent(agent)), actor)
        .await
        .map(drop)
}

/// Vaani's flat keys in Kupe's sections.
fn read(cx: &Context) -> Result<AgentChange, Failure> {
    let (body, config) = (&cx.body, &cx.services.config);
    let mut sections = Map::new();
    for (key, part, section, name) in [
        (
            "LLM_provider",
            Part::Model,
            "agent_model_config",
            "model_name",
        ),
        (
            "STT_provider",
            Part::Stt,
            "transcriber_config",
            "transcriber_model_name",
        ),
        ("TTS_provider", Part::Tts, "tts_config", "tts_model_name"),
    ] {
        let Some(given) = body.text(key).filter(|given| !given.is_empty()) else {
            continue;
        };
        let found = providers::find(config, part, given).ok_or_else(|| {
            Failure::field(
                key,
                "unknown_provider",
                "is not a provider of this installation",
            )
        })?;
        put(&mut sections, section, name, json!(found.model));
    }
    resolve_parts(config, &mut sections)?;
    for (key, section, name) in [
        ("LLM_model", "agent_model_config", "model_name"),
        ("system_prompt", "agent_model_config", "system_prompt"),
        ("temperature", "agent_model_config", "temperature"),
        ("max_tokens", "agent_model_config", "max_tokens"),
        ("first_message", "agent", "first_response_message"),
        (
            "max_call_duration",
            "agent_specific_config",
            "session_timeout",
        ),
        (FUNCTIONS, "agent_specific_config", FUNCTIONS),
    ] {
        if let Some(value) = body.value(key) {
            put(&mut sections, section, name, value.clone());
        }
    }
    Ok(AgentChange {
        name: body.owned("agent_name"),
        public: body.flag("is_public"),
        sections,
        ..AgentChange::default()
    })
}

fn put(sections: &mut Map<String, Value>, section: &str, name: &str, value: Value) {
    let section = sections
        .entry(section.to_owned())
        .or_insert_with(|| json!({}));
    section[name] = value;
}

fn to_json(agent: &StoredAgent, number: Option<String>) -> Value {
    let general = agent.section("agent");
    let model = agent.section("agent_model_config");
    let stt = agent.section("transcriber_config");
    let tts = agent.section("tts_config");
    let more = agent.section("agent_specific_config");
    let get =
        |section: &Map<String, Value>, name: &str| section.get(name).cloned().unwrap_or_default();
    json!({
        "id": agent.id,
        "workspace_id": agent.org,
        "agent_name": agent.name,
        "phone_number": number.as_deref().and_then(e164),
        "LLM_provider": get(&model, "provider_name"),
        "LLM_model": get(&model, "model_name"),
        "STT_provider": get(&stt, "provider_name"),
        "TTS_provider": get(&tts, "provider_name"),
        "system_prompt": model.text("system_prompt").unwrap_or_default(),
        "first_message": get(&general, "first_response_message"),
        "temperature": get(&model, "temperature"),
        "max_tokens": get(&model, "max_tokens"),
        "max_call_duration": get(&more, "session_timeout"),
        FUNCTIONS: more.get(FUNCTIONS).cloned().unwrap_or_else(|| json!([])),
        "is_public": agent.public,
        "created_at": rfc3339(agent.created_at),
        "updated_at": rfc3339(agent.updated_at),
    })
}
