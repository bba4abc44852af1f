//! `/api/v1/agents/{agent_id}/tools`: which agent has which tools.

use axum::response::Response;
use serde_json::Value;
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::route::{Context, Fields as _, Route, message, reply, route};
use super::super::schema::{Kind, Shape, may, need, shape};
use super::agents::reach;
use super::workflows::MESSAGE;
use crate::tools::mapping::{self, AGENT_TOOLS_MAX, Wanted};
use crate::tools::stored::ToolKind;

static CONFIG: Shape = shape(
    "AgentToolConfig",
    &[
        may("name", Kind::Text(1, 64)),
        may("description", Kind::Text(0, 4_000)),
        may("timeout_ms", Kind::Integer(100, 20_000)),
        may("arguments", Kind::Map),
    ],
);
static WANTED: Shape = shape(
    "AgentToolMapping",
    &[
        need("tool_id", Kind::Uuid),
        need("type", Kind::OneOf(&["http", "mcp"])),
        may("enabled", Kind::Boolean),
        may("config", Kind::Object(&CONFIG)),
    ],
);
static ROW: Shape = shape(
    "AgentTool",
    &[
        need("agent_id", Kind::Uuid),
        need("tool_id", Kind::Uuid),
        need("type", Kind::OneOf(&["http", "mcp"])),
        need("name", Kind::Text(0, 0)),
        need("enabled", Kind::Boolean),
        need("config", Kind::Map),
    ],
);
const ROWS: Kind = Kind::List(&Kind::Object(&ROW), 0);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Kupe GET "/api/v1/agents/{agent_id}/tools", KeyOrBearer "owner" 200, list)
            .does("Tools of an agent in their order")
            .answers(ROWS),
        route!(Kupe POST "/api/v1/agents/{agent_id}/tools", KeyOrBearer "owner" 200, add)
            .does("Adds tools to an agent; one it has already is changed")
            .takes_list(&WANTED, AGENT_TOOLS_MAX)
            .answers(ROWS),
        route!(Kupe PATCH "/api/v1/agents/{agent_id}/tools", KeyOrBearer "owner" 200, replace)
            .does("Makes these all the tools an agent has, in this order")
            .query(const { &[may("force_update", Kind::Boolean)] })
            .takes_list(&WANTED, AGENT_TOOLS_MAX)
            .answers(ROWS),
        route!(Kupe DELETE "/api/v1/agents/{agent_id}/tools/{tool_id}", KeyOrBearer "owner" 200, remove)
            .does("Takes a tool from an agent; the tool stays")
            .answers(Kind::Object(&MESSAGE)),
    ]
}

async fn list(cx: Context) -> Result<Response, Failure> {
    let (_, agent, _) = reach(&cx).await?;
    answer(&cx, agent).await
}

async fn add(cx: Context) -> Result<Response, Failure> {
    put(cx, false).await
}

async fn replace(cx: Context) -> Result<Response, Failure> {
    put(cx, true).await
}

async fn put(cx: Context, replace: bool) -> Result<Response, Failure> {
    let (tenant, agent, _) = reach(&cx).await?;
    let wanted = |mapping: &serde_json::Map<String, Value>| {
        Some(Wanted {
            tool: mapping.uuid("tool_id")?,
            kind: ToolKind::of(mapping.text("type")?)?,
            enabled: mapping.flag("enabled").unwrap_or(true),
            config: mapping
                .value("config")
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default(),
        })
    };
    // Every entry has passed the shape.
    let wanted: Vec<Wanted> = cx.list.iter().filter_map(wanted).collect();
    let actor = cx.actor()?;
    let done = cx.services.store.write(move |conn| {
        Box::pin(async move { mapping::put(conn, tenant, agent, wanted, replace, &actor).await })
    });
    done.await?;
    answer(&cx, agent).await
}

async fn remove(cx: Context) -> Result<Response, Failure> {
    let (_, agent, _) = reach(&cx).await?;
    let (tool, actor) = (cx.id("tool_id")?, cx.actor()?);
    let removed = cx.services.store.write(move |conn| {
        Box::pin(async move { mapping::remove(conn, agent, tool, &actor).await })
    });
    removed.await?;
    Ok(message(&cx, "the agent no longer has the tool"))
}

async fn answer(cx: &Context, agent: Uuid) -> Result<Response, Failure> {
    let tools = mapping::of_agent(&mut cx.services.store.read().await?, agent).await?;
    Ok(reply(
        cx,
        tools.iter().map(|tool| tool.to_json(agent)).collect(),
    ))
}
