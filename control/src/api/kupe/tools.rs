//! `/api/v1/tool-endpoint-defs` and `/api/v1/tools-mcp-server-defs`: tools that users define.

use std::collections::BTreeMap;

use axum::response::Response;
use pipeline::llm::ToolCall;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::route::{Context, Fields as _, Route, message, reply, reply_versioned, route};
use super::super::schema::{Kind, Shape, may, need, shape};
use super::workflows::MESSAGE;
use crate::clock::rfc3339;
use crate::identity::principal::Role;
use crate::tools::arguments::{Schema, normalized};
use crate::tools::invocations::{self, LogFilter};
use crate::tools::room::ToolFault;
use crate::tools::stored::{self, MASK, Reached, StoredTool, ToolChange, ToolKind};

/// What a trial stands under in the receiver's idempotency keys.
const TRIAL: &str = "trial";

const HEADERS: Kind = Kind::MapOf(&Kind::Text(0, 4_000));
static HTTP: Shape = shape(
    "HttpTool",
    &[
        need("name", Kind::Text(1, 100)),
        may("description", Kind::Text(0, 4_000)),
        need("url", Kind::Url(&["http", "https"])),
        may(
            "method",
            Kind::OneOf(&["GET", "POST", "PUT", "PATCH", "DELETE"]),
        ),
        may("headers", HEADERS),
        may("tool_schema", Kind::Map),
        may("body", Kind::Any),
        may("timeout_ms", Kind::Integer(100, 20_000)),
    ],
);
static MCP: Shape = shape(
    "McpServer",
    &[
        need("name", Kind::Text(1, 100)),
        may("description", Kind::Text(0, 4_000)),
        need("url", Kind::Url(&["http", "https"])),
        may(
            "transport",
            Kind::OneOf(&["streamable_http", "streamable-http", "http"]),
        ),
        may("headers", HEADERS),
        may("allowed_tools", Kind::List(&Kind::Text(1, 200), 128)),
        may("timeout_ms", Kind::Integer(100, 20_000)),
    ],
);
static HTTP_ROW: Shape = shape(
    "HttpToolRow",
    &[
        need("id", Kind::Uuid),
        need("name", Kind::Text(0, 0)),
        need("description", Kind::Text(0, 0)),
        need("url", Kind::Text(0, 0)),
        need("method", Kind::Text(0, 0)),
        need("headers", Kind::Map),
        need("tool_schema", Kind::Map),
        need("timeout_ms", Kind::Integer(1, 60_000)),
        need("user_id", Kind::Uuid),
        need("version", Kind::Integer(1, i64::MAX)),
        need("created_at", Kind::Time),
        need("updated_at", Kind::Time),
    ],
);
static OFFER: Shape = shape(
    "McpTool",
    &[
        need("name", Kind::Text(0, 0)),
        need("description", Kind::Text(0, 0)),
        need("parameters", Kind::Map),
    ],
);
static MCP_ROW: Shape = shape(
    "McpServerRow",
    &[
        need("id", Kind::Uuid),
        need("name", Kind::Text(0, 0)),
        need("description", Kind::Text(0, 0)),
        need("url", Kind::Text(0, 0)),
        need("transport", Kind::Text(0, 0)),
        need("headers", Kind::Map),
        need("tools", Kind::List(&Kind::Object(&OFFER), 0)),
        need("status", Kind::OneOf(&["connected", "unreachable"])),
        need("user_id", Kind::Uuid),
        need("version", Kind::Integer(1, i64::MAX)),
        need("created_at", Kind::Time),
        need("updated_at", Kind::Time),
    ],
);
static DRY_RUN: Shape = shape(
    "ToolDryRun",
    &[
        need("arguments", Kind::Map),
        may("variables", Kind::MapOf(&Kind::Text(0, 4_000))),
        may("send", Kind::Boolean),
    ],
);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Kupe POST "/api/v1/tool-endpoint-defs", KeyOrBearer "any" 201, create_http)
            .does("Makes a tool that is one HTTP request")
            .takes(&HTTP)
            .answers(Kind::Object(&HTTP_ROW))
            .idempotent(),
        route!(Kupe GET "/api/v1/tool-endpoint-defs", KeyOrBearer "any" 200, list_http)
            .does("HTTP tools: one's own, for admins those of the organisation")
            .answers(const { Kind::List(&Kind::Object(&HTTP_ROW), 0) }),
        route!(Kupe GET "/api/v1/tool-endpoint-defs/{tool_id}", KeyOrBearer "owner" 200, show_http)
            .does("An HTTP tool; values of its header fields are not shown")
            .answers(Kind::Object(&HTTP_ROW)),
        route!(Kupe PUT "/api/v1/tool-endpoint-defs/{tool_id}", KeyOrBearer "owner" 200, update_http)
            .does("Changes an HTTP tool; a header value of `***` keeps the one there is")
            .takes(&HTTP)
            .answers(Kind::Object(&HTTP_ROW)),
        route!(Kupe DELETE "/api/v1/tool-endpoint-defs/{tool_id}", KeyOrBearer "owner" 200, delete_http)
            .does("Deletes an HTTP tool and takes it from its agents")
            .answers(Kind::Object(&MESSAGE)),
        route!(Kupe POST "/api/v1/tool-endpoint-defs/{tool_id}/dry-run", KeyOrBearer "owner" 200, dry_run)
            .does("Checks arguments and shows the request they make; with `send` sends it")
            .takes(&DRY_RUN)
            .answers(Kind::Map)
            .added(),
        route!(Kupe POST "/api/v1/tools-mcp-server-defs", KeyOrBearer "any" 201, create_mcp)
            .does("Adds an MCP server and asks what tools it offers")
            .takes(&MCP)
            .answers(Kind::Object(&MCP_ROW))
            .idempotent(),
        route!(Kupe GET "/api/v1/tools-mcp-server-defs", KeyOrBearer "any" 200, list_mcp)
            .does("MCP servers: one's own, for admins those of the organisation")
            .answers(const { Kind::List(&Kind::Object(&MCP_ROW), 0) }),
        route!(Kupe GET "/api/v1/tools-mcp-server-defs/{tool_id}", KeyOrBearer "owner" 200, show_mcp)
            .does("An MCP server with the tools it offered when it was last asked")
            .answers(Kind::Object(&MCP_ROW)),
        route!(Kupe PUT "/api/v1/tools-mcp-server-defs/{tool_id}", KeyOrBearer "owner" 200, update_mcp)
            .does("Changes an MCP server and asks again what tools it offers")
            .takes(&MCP)
            .answers(Kind::Object(&MCP_ROW)),
        route!(Kupe DELETE "/api/v1/tools-mcp-server-defs/{tool_id}", KeyOrBearer "owner" 200, delete_mcp)
            .does("Deletes an MCP server and takes its tools from agents")
            .answers(Kind::Object(&MESSAGE)),
        route!(Kupe GET "/api/v1/tool-invocations", KeyOrBearer "any" 200, log)
            .does("What tools were called with and what they answered, newest first")
            .query(
                const {
                    &[
                        may("tool_id", Kind::Uuid),
                        may("call_id", Kind::Uuid),
                        may("agent_id", Kind::Uuid),
                        may("page", Kind::Integer(1, 1_000_000)),
                        may("page_size", Kind::Integer(1, 100)),
                    ]
                },
            )
            .answers(Kind::Map)
            .added(),
    ]
}

async fn create_http(cx: Context) -> Result<Response, Failure> {
    let change = read_http(&cx)?;
    create(cx, ToolKind::Http, change).await
}

async fn create_mcp(cx: Context) -> Result<Response, Failure> {
    let mut change = read_mcp(&cx)?;
    ask_server(&cx, &mut change).await?;
    create(cx, ToolKind::Mcp, change).await
}

async fn create(cx: Context, kind: ToolKind, change: ToolChange) -> Result<Response, Failure> {
    if change.headers.values().any(|value| value == MASK) {
        return Err(Failure::field("headers", "unknown", "has no value to keep"));
    }
    let (who, actor) = (cx.who()?, cx.actor()?);
    let (whose, vault) = (
        (who.tenant, who.user, kind),
        cx.services.tools.vault().clone(),
    );
    let made = cx.services.store.write(move |conn| {
        Box::pin(async move { stored::create(conn, &vault, whose, change, &actor).await })
    });
    let tool = made.await?;
    Ok(reply_versioned(&cx, to_json(&cx, &tool), tool.version))
}

async fn list_http(cx: Context) -> Result<Response, Failure> {
    list(cx, ToolKind::Http).await
}

async fn list_mcp(cx: Context) -> Result<Response, Failure> {
    list(cx, ToolKind::Mcp).await
}

async fn list(cx: Context, kind: ToolKind) -> Result<Response, Failure> {
    let who = cx.who()?;
    let owner = (!who.has(Role::Admin)).then_some(who.user);
    let tools = stored::list(&cx.services.store, who.tenant, kind, owner).await?;
    Ok(reply(
        &cx,
        tools.iter().map(|tool| to_json(&cx, tool)).collect(),
    ))
}

async fn show_http(cx: Context) -> Result<Response, Failure> {
    show(cx, ToolKind::Http).await
}

async fn show_mcp(cx: Context) -> Result<Response, Failure> {
    show(cx, ToolKind::Mcp).await
}

async fn show(cx: Context, kind: ToolKind) -> Result<Response, Failure> {
    let tool = stored::find(&cx.services.store, &reached(&cx, kind)?).await?;
    Ok(reply_versioned(&cx, to_json(&cx, &tool), tool.version))
}

async fn update_http(cx: Context) -> Result<Response, Failure> {
    let change = read_http(&cx)?;
    update(cx, ToolKind::Http, change).await
}

async fn update_mcp(cx: Context) -> Result<Response, Failure> {
    let mut change = read_mcp(&cx)?;
    let there = stored::find(&cx.services.store, &reached(&cx, ToolKind::Mcp)?).await?;
    let kept = there.headers(cx.services.tools.vault()).unwrap_or_default();
    let sent = change.headers.clone();
    for (name, value) in &mut change.headers {
        if let Some(old) = kept.get(name).filter(|_| value == MASK) {
            value.clone_from(old);
        }
    }
    ask_server(&cx, &mut change).await?;
    change.headers = sent;
    update(cx, ToolKind::Mcp, change).await
}

async fn update(cx: Context, kind: ToolKind, change: ToolChange) -> Result<Response, Failure> {
    let (reached, version) = (reached(&cx, kind)?, cx.if_match()?);
    let (vault, actor) = (cx.services.tools.vault().clone(), cx.actor()?);
    let changed = cx.services.store.write(move |conn| {
        Box::pin(
            async move { stored::update(conn, &vault, &reached, change, version, &actor).await },
        )
    });
    let tool = changed.await?;
    Ok(reply_versioned(&cx, to_json(&cx, &tool), tool.version))
}

async fn delete_http(cx: Context) -> Result<Response, Failure> {
    delete(cx, ToolKind::Http).await
}

async fn delete_mcp(cx: Context) -> Result<Response, Failure> {
    delete(cx, ToolKind::Mcp).await
}

async fn delete(cx: Context, kind: ToolKind) -> Result<Response, Failure> {
    let (reached, actor) = (reached(&cx, kind)?, cx.actor()?);
    let deleted = cx
        .services
        .store
        .write(move |conn| Box::pin(async move { stored::delete(conn, &reached, &actor).await }));
    deleted.await?;
    Ok(message(&cx, "the tool was deleted"))
}

async fn dry_run(cx: Context) -> Result<Response, Failure> {
    let tool = stored::find(&cx.services.store, &reached(&cx, ToolKind::Http)?).await?;
    let ready = cx
        .services
        .tools
        .make_for_trial(&tool)
        .map_err(|fault| wrong(&fault))?;
    let variables = cx.body.value("variables").and_then(Value::as_object);
    let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    let mut variables: BTreeMap<String, String> =
        variables.into_iter().flatten().filter_map(text).collect();
    variables.insert("call_id".to_owned(), TRIAL.to_owned());
    let call = ToolCall {
        id: Uuid::now_v7().to_string(),
        name: ready.names().next().unwrap_or_default().to_owned(),
        arguments: cx
            .body
            .value("arguments")
            .cloned()
            .unwrap_or_else(|| json!({})),
    };
    let trial = ready
        .trial(&call, &variables, cx.body.flag("send") == Some(true))
        .await;
    Ok(reply(&cx, trial))
}

async fn log(cx: Context) -> Result<Response, Failure> {
    let page = cx.query.integer("page").unwrap_or(1);
    let size = cx.query.integer("page_size").unwrap_or(25);
    let filter = LogFilter {
        tool: cx.query.uuid("tool_id"),
        call: cx.query.uuid("call_id"),
        agent: cx.query.uuid("agent_id"),
    };
    let offset = (page - 1) * size;
    let tenant = cx.who()?.tenant;
    let (items, total) =
        invocations::list(&cx.services.store, tenant, &filter, offset, size).await?;
    let body = json!({ "items": items, "total": total, "page": page, "page_size": size });
    Ok(reply(&cx, body))
}

/// The tool of the path as far as the caller may reach it.
fn reached(cx: &Context, kind: ToolKind) -> Result<Reached, Failure> {
    let who = cx.who()?;
    Ok(Reached {
        tenant: who.tenant,
        id: cx.id("tool_id")?,
        kind,
        only_owner: (!who.has(Role::Admin)).then_some(who.user),
    })
}

fn wrong(fault: &ToolFault) -> Failure {
    Failure::field(fault.field, "tool", fault.message.clone())
}

fn read_http(cx: &Context) -> Result<ToolChange, Failure> {
    let schema = normalized(cx.body.value("tool_schema").unwrap_or(&Value::Null));
    Schema::new(&schema).map_err(|error| Failure::field("tool_schema", "schema", error))?;
    let mut settings = Map::new();
    settings.insert(
        "method".to_owned(),
        json!(cx.body.text("method").unwrap_or("POST")),
    );
    settings.insert("tool_schema".to_owned(), schema);
    for name in ["body", "timeout_ms"] {
        if let Some(value) = cx.body.value(name) {
            settings.insert(name.to_owned(), value.clone());
        }
    }
    let change = change(cx, settings)?;
    cx.services
        .tools
        .check_http(&change)
        .map_err(|fault| wrong(&fault))?;
    Ok(change)
}

fn read_mcp(cx: &Context) -> Result<ToolChange, Failure> {
    let mut settings = Map::new();
    for name in ["allowed_tools", "timeout_ms"] {
        if let Some(value) = cx.body.value(name) {
            settings.insert(name.to_owned(), value.clone());
        }
    }
    let change = change(cx, settings)?;
    cx.services
        .tools
        .check_url(&change.url)
        .map_err(|fault| wrong(&fault))?;
    Ok(change)
}

fn change(cx: &Context, settings: Map<String, Value>) -> Result<ToolChange, Failure> {
    let mut headers = BTreeMap::new();
    let sent = cx.body.value("headers").and_then(Value::as_object);
    for (name, value) in sent.into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        let fits = name.parse::<axum::http::HeaderName>().is_ok()
            && axum::http::HeaderValue::from_str(value).is_ok();
        if !fits {
            let path = format!("headers.{name}");
            return Err(Failure::field(&path, "header", "is not a header field"));
        }
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    Ok(ToolChange {
        name: cx.body.owned("name").unwrap_or_default(),
        description: cx.body.owned("description").unwrap_or_default(),
        url: cx.body.owned("url").unwrap_or_default(),
        settings,
        headers,
        offered: json!([]),
    })
}

/// Asks what an MCP server offers. One that does not answer is kept with nothing on offer, unless
/// its address is refused.
async fn ask_server(cx: &Context, change: &mut ToolChange) -> Result<(), Failure> {
    let server = cx
        .services
        .tools
        .server(&change.url, change.headers.clone());
    let server = server.map_err(|fault| wrong(&fault))?;
    match server.offers().await {
        Ok(offers) => change.offered = offers,
        Err(error) => {
            tracing::warn!(%error, "MCP server did not tell its tools");
            change
                .settings
                .insert("unreachable".to_owned(), json!(error.to_string()));
        }
    }
    Ok(())
}

fn to_json(cx: &Context, tool: &StoredTool) -> Value {
    // A master key that has changed must not take the tool out of reach.
    let headers = tool.headers(cx.services.tools.vault()).unwrap_or_default();
    let headers: BTreeMap<String, &str> = headers.into_keys().map(|name| (name, MASK)).collect();
    let mut row = json!({
        "id": tool.id,
        "name": tool.name,
        "description": tool.description,
        "url": tool.url,
        "headers": headers,
        "timeout_ms": tool.settings.integer("timeout_ms").unwrap_or(10_000),
        "user_id": tool.owner,
        "version": tool.version,
        "created_at": rfc3339(tool.created_at),
        "updated_at": rfc3339(tool.updated_at),
    });
    match tool.kind {
        ToolKind::Http => {
            row["method"] = json!(tool.settings.text("method").unwrap_or("POST"));
            row["tool_schema"] = tool
                .settings
                .get("tool_schema")
                .cloned()
                .unwrap_or_else(|| json!({}));
            row["body"] = tool.settings.get("body").cloned().unwrap_or_default();
        }
        ToolKind::Mcp => {
            let problem = tool.settings.text("unreachable");
            row["transport"] = json!("streamable_http");
            row["allowed_tools"] = tool
                .settings
                .get("allowed_tools")
                .cloned()
                .unwrap_or_default();
            row["tools"] = tool.offered.clone();
            row["status"] = json!(if problem.is_some() {
                "unreachable"
            } else {
                "connected"
            });
            row["error"] = json!(problem);
        }
    }
    row
}
