//! `/api/v1/workflows`: dialogues that agents and lines follow.

use axum::response::Response;
use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::route::{Context, Fields as _, Route, message, reply, reply_versioned, route};
use super::super::schema::{Kind, Shape, may, need, shape};
use crate::agents::workflows::{self, StoredWorkflow};
use crate::clock::rfc3339;

static CREATE: Shape = shape(
    "WorkflowCreate",
    &[
        need("name", Kind::Text(1, 200)),
        need("definition", Kind::Map),
    ],
);
static UPDATE: Shape = shape(
    "WorkflowUpdate",
    &[
        may("name", Kind::Text(1, 200)),
        may("definition", Kind::Map),
    ],
);
static WORKFLOW: Shape = shape(
    "Workflow",
    &[
        need("id", Kind::Uuid),
        need("name", Kind::Text(0, 0)),
        need("definition", Kind::Map),
        need("user_id", Kind::Uuid),
        need("version", Kind::Integer(1, i64::MAX)),
        need("created_at", Kind::Time),
        need("updated_at", Kind::Time),
    ],
);
static CHECK: Shape = shape("WorkflowCheck", &[need("definition", Kind::Map)]);
static PROBLEM: Shape = shape(
    "WorkflowProblem",
    &[
        need("path", Kind::Text(0, 0)),
        need("message", Kind::Text(0, 0)),
    ],
);
static CHECKED: Shape = shape(
    "WorkflowChecked",
    &[
        need("valid", Kind::Boolean),
        need("problems", Kind::List(&Kind::Object(&PROBLEM), 0)),
    ],
);
pub(in crate::api) static MESSAGE: Shape = shape("Message", &[need("message", Kind::Text(0, 0))]);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Kupe GET "/api/v1/workflows", KeyOrBearer "any" 200, list)
            .does("Workflows of the organisation")
            .answers(const { Kind::List(&Kind::Object(&WORKFLOW), 0) })
            .added(),
        route!(Kupe POST "/api/v1/workflows", KeyOrBearer "any" 201, create)
            .does("Makes a workflow; what is wrong with it is told by node and field")
            .takes(&CREATE)
            .answers(Kind::Object(&WORKFLOW))
            .added()
            .idempotent(),
        route!(Kupe POST "/api/v1/workflows/check", KeyOrBearer "any" 200, check)
            .does("Says what is wrong with a definition, and keeps nothing")
            .takes(&CHECK)
            .answers(Kind::Object(&CHECKED))
            .added(),
        route!(Kupe GET "/api/v1/workflows/{workflow_id}", KeyOrBearer "any" 200, show)
            .does("A workflow")
            .answers(Kind::Object(&WORKFLOW))
            .added(),
        route!(Kupe PUT "/api/v1/workflows/{workflow_id}", KeyOrBearer "any" 200, update)
            .does("Changes name or definition")
            .takes(&UPDATE)
            .answers(Kind::Object(&WORKFLOW))
            .added(),
        route!(Kupe DELETE "/api/v1/workflows/{workflow_id}", KeyOrBearer "any" 200, delete)
            .does("Deletes a workflow; lines mapped to it lose their target")
            .answers(Kind::Object(&MESSAGE))
            .added(),
    ]
}

async fn list(cx: Context) -> Result<Response, Failure> {
    let workflows = workflows::list(&cx.services.store, cx.who()?.tenant).await?;
    Ok(reply(&cx, workflows.iter().map(to_json).collect()))
}

async fn create(cx: Context) -> Result<Response, Failure> {
    let definition = cx.body.value("definition").cloned().unwrap_or_default();
    workflows::check(&definition)?;
    let who = cx.who()?;
    let name = cx.body.owned("name").unwrap_or_default();
    let (tenant, user, actor) = (who.tenant, who.user, cx.actor()?);
    let made = cx.services.store.write(move |conn| {
        Box::pin(
            async move { workflows::create(conn, tenant, user, name, definition, &actor).await },
        )
    });
    let workflow = made.await?;
    Ok(reply_versioned(&cx, to_json(&workflow), workflow.version))
}

async fn check(cx: Context) -> Result<Response, Failure> {
    let definition = cx.body.value("definition").cloned().unwrap_or_default();
    let problems = match workflows::check(&definition) {
        Ok(()) => Vec::new(),
        Err(failure) => failure.errors,
    };
    let listed: Vec<Value> = problems
        .iter()
        .map(|problem| json!({ "path": problem.path, "message": problem.message }))
        .collect();
    Ok(reply(
        &cx,
        json!({ "valid": problems.is_empty(), "problems": listed }),
    ))
}

async fn show(cx: Context) -> Result<Response, Failure> {
    let id = cx.id("workflow_id")?;
    let mut conn = cx.services.store.read().await?;
    let workflow = workflows::find(&mut conn, cx.who()?.tenant, id).await?;
    let workflow = workflow.ok_or_else(Failure::not_found)?;
    Ok(reply_versioned(&cx, to_json(&workflow), workflow.version))
}

async fn update(cx: Context) -> Result<Response, Failure> {
    let id = cx.id("workflow_id")?;
    let definition = cx.body.value("definition").cloned();
    if let Some(definition) = &definition {
        workflows::check(definition)?;
    }
    let change = (cx.body.owned("name"), definition);
    let (tenant, actor, version) = (cx.who()?.tenant, cx.actor()?, cx.if_match()?);
    let changed = cx.services.store.write(move |conn| {
        Box::pin(async move { workflows::update(conn, tenant, id, change, version, &actor).await })
    });
    let workflow = changed.await?;
    Ok(reply_versioned(&cx, to_json(&workflow), workflow.version))
}

async fn delete(cx: Context) -> Result<Response, Failure> {
    let id = cx.id("workflow_id")?;
    let (tenant, actor) = (cx.who()?.tenant, cx.actor()?);
    let deleted = cx.services.store.write(move |conn| {
        Box::pin(async move { workflows::delete(conn, tenant, id, &actor).await })
    });
    if deleted.await? {
        Ok(message(&cx, "the workflow was deleted"))
    } else {
        Err(Failure::not_found())
    }
}

fn to_json(workflow: &StoredWorkflow) -> Value {
    json!({
        "id": workflow.id,
        "name": workflow.name,
        "definition": workflow.definition,
        "user_id": workflow.owner,
        "version": workflow.version,
        "created_at": rfc3339(workflow.created_at),
        "updated_at": rfc3339(workflow.updated_at),
    })
}
