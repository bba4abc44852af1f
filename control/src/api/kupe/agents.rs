//! `/api/v1/agents`.

use axum::response::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::route::{Context, Fields as _, Route, reply, reply_versioned, route};
use super::super::schema::{Kind, Shape, may, need, shape};
use super::agent_schema::{self, CREATE, SUMMARY, UPDATE, WHOLE};
use crate::agents::stored::{self, AgentChange, AgentFilter};
use crate::agents::workflows;
use crate::clock::rfc3339;
use crate::identity::principal::Role;
use crate::store::Tenant;

/// Most agents in the list that has no pages.
const UNPAGED_MAX: i64 = 1000;

static SIMPLE: Shape = shape(
    "SimpleAgent",
    &[
        need("name", Kind::Text(1, 200)),
        may("description", Kind::Text(0, 2_000)),
    ],
);
static SIMPLE_MADE: Shape = shape(
    "SimpleAgentMade",
    &[
        need("agent", SUMMARY),
        need("configurations", Kind::Map),
        need("validation_status", Kind::OneOf(&["valid"])),
    ],
);
static DELETED: Shape = shape(
    "Deleted",
    &[
        need("message", Kind::Text(0, 0)),
        need("data", Kind::Nullable(&Kind::Map)),
    ],
);
static VERSION: Shape = shape(
    "AgentVersion",
    &[
        need("version", Kind::Integer(1, i64::MAX)),
        need("user_id", Kind::Uuid),
        need("created_at", Kind::Time),
    ],
);
static ROLL_BACK: Shape = shape(
    "AgentRollback",
    &[need("version", Kind::Integer(1, i64::MAX))],
);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Kupe GET "/api/v1/agents", KeyOrBearer "any" 200, list)
            .does("Agents: a list, or a page when `page` is sent")
            .query(const { &[
                may("page", Kind::Integer(1, 1_000_000)),
                may("page_size", Kind::Integer(1, 100)),
                may("scope", Kind::OneOf(&["mine", "all"])),
                may("q", Kind::Text(0, 200)),
            ] })
            .answers(Kind::Any),
        route!(Kupe POST "/api/v1/agents", KeyOrBearer "any" 201, create)
            .does("Makes an agent of all its sections")
            .takes(&CREATE)
            .answers(Kind::Object(&WHOLE))
            .added()
            .idempotent(),
        route!(Kupe POST "/api/v1/agents/simple", KeyOrBearer "any" 201, create_simple)
            .does("Makes an agent with the defaults of the platform")
            .takes(&SIMPLE)
            .answers(Kind::Object(&SIMPLE_MADE))
            .idempotent(),
        route!(Kupe GET "/api/v1/agents/{agent_id}", KeyOrBearer "owner|org_admin|super_admin" 200, show)
            .does("An agent with its sections")
            .answers(Kind::Object(&WHOLE)),
        route!(Kupe PUT "/api/v1/agents/{agent_id}", KeyOrBearer "owner|org_admin|super_admin" 200, update)
            .does("Changes the given sections; absent ones stay")
            .query(const { &[may("force_update", Kind::Boolean)] })
            .takes(&UPDATE)
            .answers(Kind::Object(&WHOLE)),
        route!(Kupe DELETE "/api/v1/agents/{agent_id}", KeyOrBearer "owner|org_admin|super_admin" 200, delete)
            .does("Deletes an inactive agent, or any when forced, with its mappings")
            .query(const { &[may("force_delete", Kind::Boolean)] })
            .answers(Kind::Object(&DELETED)),
        route!(Kupe GET "/api/v1/agents/{agent_id}/versions", KeyOrBearer "owner|org_admin|super_admin" 200, versions)
            .does("The versions of an agent, newest first")
            .answers(const { Kind::List(&Kind::Object(&VERSION), 0) })
            .added(),
        route!(Kupe POST "/api/v1/agents/{agent_id}/rollback", KeyOrBearer "owner|org_admin|super_admin" 200, roll_back)
            .does("Makes an earlier version the current one, as a new version")
            .takes(&ROLL_BACK)
            .answers(Kind::Object(&WHOLE))
            .added(),
    ]
}

async fn list(cx: Context) -> Result<Response, Failure> {
    let who = cx.who()?;
    let everywhere = cx.query.text("scope") == Some("all");
    if everywhere && !who.superuser {
        return Err(Failure::forbidden("scope=all is for super admins"));
    }
    let filter = AgentFilter {
        owner: (!who.has(Role::Admin)).then_some(who.user),
        search: cx.query.owned("q").filter(|text| !text.is_empty()),
        everywhere,
    };
    let page = cx.query.integer("page");
    let size = cx.query.integer("page_size").unwrap_or(20);
    let (offset, limit) = page.map_or((0, UNPAGED_MAX), |page| ((page - 1) * size, size));
    let listed = stored::list(&cx.services.store, who.tenant, &filter, offset, limit).await?;
    let (agents, total) = listed;
    let agents: Vec<Value> = agents.iter().map(agent_schema::summary).collect();
    let body = match page {
        None => json!(agents),
        Some(page) => json!({ "items": agents, "total": total, "page": page, "page_size": size }),
    };
    Ok(reply(&cx, body))
}

async fn create_simple(cx: Context) -> Result<Response, Failure> {
    let description = cx.body.text("description").unwrap_or_default();
    let sections = json!({ "agent": { "description": description } });
    let change = AgentChange {
        name: cx.body.owned("name"),
        sections: sections.as_object().cloned().unwrap_or_default(),
        ..AgentChange::default()
    };
    let agent = store_new(&cx, change).await?;
    let body = json!({
        "agent": agent_schema::summary(&agent),
        "configurations": {},
        "validation_status": "valid",
    });
    Ok(reply_versioned(&cx, body, agent.version))
}

async fn create(cx: Context) -> Result<Response, Failure> {
    let change = agent_schema::read(&cx.services.config, &cx.body)?;
    check_workflow(&cx, cx.who()?.tenant, &change).await?;
    let agent = store_new(&cx, change).await?;
    Ok(reply_versioned(
        &cx,
        agent_schema::whole(&agent),
        agent.version,
    ))
}

async fn store_new(cx: &Context, change: AgentChange) -> Result<stored::StoredAgent, Failure> {
    let who = cx.who()?;
    let (tenant, user, actor) = (who.tenant, who.user, cx.actor()?);
    let made = cx.services.store.write(move |conn| {
        Box::pin(async move { stored::create(conn, tenant, user, change, &actor).await })
    });
    Ok(made.await?)
}

async fn show(cx: Context) -> Result<Response, Failure> {
    let (tenant, id, _) = reach(&cx).await?;
    let agent = stored::find(&mut cx.services.store.read().await?, tenant, id).await?;
    let agent = agent.ok_or_else(Failure::not_found)?;
    Ok(reply_versioned(
        &cx,
        agent_schema::whole(&agent),
        agent.version,
    ))
}

async fn update(cx: Context) -> Result<Response, Failure> {
    let (tenant, id, only_owner) = reach(&cx).await?;
    let mut change = agent_schema::read(&cx.services.config, &cx.body)?;
    check_workflow(&cx, tenant, &change).await?;
    change.if_version = cx.if_match()?;
    change.force = cx.query.flag("force_update").unwrap_or(false);
    change.only_owner = only_owner;
    let (user, actor) = (cx.who()?.user, cx.actor()?);
    let changed = cx.services.store.write(move |conn| {
        Box::pin(async move { stored::update(conn, tenant, id, user, change, &actor).await })
    });
    let agent = changed.await?;
    Ok(reply_versioned(
        &cx,
        agent_schema::whole(&agent),
        agent.version,
    ))
}

async fn delete(cx: Context) -> Result<Response, Failure> {
    let (tenant, id, only_owner) = reach(&cx).await?;
    let force = cx.query.flag("force_delete").unwrap_or(false);
    let actor = cx.actor()?;
    let deleted = cx.services.store.write(move |conn| {
        Box::pin(async move { stored::delete(conn, tenant, id, only_owner, force, &actor).await })
    });
    deleted.await?;
    Ok(reply(
        &cx,
        json!({ "message": "the agent was deleted", "data": null }),
    ))
}

async fn versions(cx: Context) -> Result<Response, Failure> {
    let (tenant, id, _) = reach(&cx).await?;
    let versions = stored::versions(&cx.services.store, tenant, id).await?;
    let versions: Vec<Value> = versions
        .iter()
        .map(|(version, user, at)| {
            json!({ "version": version, "user_id": user, "created_at": rfc3339(*at) })
        })
        .collect();
    Ok(reply(&cx, json!(versions)))
}

async fn roll_back(cx: Context) -> Result<Response, Failure> {
    let (tenant, id, _) = reach(&cx).await?;
    let version = cx.body.integer("version").unwrap_or_default();
    let (user, actor) = (cx.who()?.user, cx.actor()?);
    let changed = cx.services.store.write(move |conn| {
        Box::pin(async move { stored::roll_back(conn, tenant, id, version, user, &actor).await })
    });
    let agent = changed.await?;
    Ok(reply_versioned(
        &cx,
        agent_schema::whole(&agent),
        agent.version,
    ))
}

/// The agent of the path as far as the caller may reach it: their own, as an admin those of the
/// organisation, as a super admin any. Who may only reach their own is told.
pub(super) async fn reach(cx: &Context) -> Result<(Tenant, Uuid, Option<Uuid>), Failure> {
    let who = cx.who()?;
    let id = cx.id("agent_id")?;
    let mut conn = cx.services.store.read().await?;
    let agent = match stored::find(&mut conn, who.tenant, id).await? {
        None if who.superuser => stored::find_for_call(&mut conn, id).await?,
        found => found,
    };
    let agent = agent.ok_or_else(Failure::not_found)?;
    let only_owner = (!who.has(Role::Admin)).then_some(who.user);
    if only_owner.is_some_and(|owner| owner != agent.owner) {
        return Err(Failure::forbidden("the agent belongs to another user"));
    }
    Ok((Tenant::of(agent.org), id, only_owner))
}

async fn check_workflow(cx: &Context, tenant: Tenant, change: &AgentChange) -> Result<(), Failure> {
    let Some(id) = agent_schema::wanted_workflow(change) else {
        return Ok(());
    };
    let found = workflows::find(&mut cx.services.store.read().await?, tenant, id).await?;
    let missing = || Failure::field("agent.workflow_id", "unknown", "there is no such workflow");
    found.map(drop).ok_or_else(missing)
}
