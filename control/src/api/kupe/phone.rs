//! `/api/v1/phone`: lines, and who answers them.

use axum::response::Response;
use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::route::{Context, Fields as _, Route, reply, route};
use super::super::schema::{Kind, Shape, may, need, shape};
use crate::clock::rfc3339;
use crate::numbers::lines::{self, Line, Target};

static LINE: Shape = shape(
    "PhoneLine",
    &[
        need("id", Kind::Uuid),
        need("phone_number", Kind::Phone),
        need("friendly_name", Kind::Nullable(&Kind::Text(0, 0))),
        need("country_code", Kind::Nullable(&Kind::Text(0, 0))),
        need("region", Kind::Nullable(&Kind::Text(0, 0))),
        need("is_active", Kind::Boolean),
        need("created_at", Kind::Time),
    ],
);
static LINES: Shape = shape(
    "PhoneLines",
    &[
        need("success", Kind::Boolean),
        need("phone_numbers", Kind::List(&Kind::Object(&LINE), 0)),
    ],
);
static MAP: Shape = shape(
    "PhoneMapping",
    &[
        need("phone_number_id", Kind::Uuid),
        may("agent_id", Kind::Uuid),
        may("workflow_id", Kind::Uuid),
    ],
);
static MAPPED: Shape = shape(
    "MappedLine",
    &[
        need("id", Kind::Uuid),
        need("phone_number_id", Kind::Uuid),
        need("phone_number", Kind::Phone),
        need("agent_id", Kind::Nullable(&Kind::Uuid)),
        need("workflow_id", Kind::Nullable(&Kind::Uuid)),
        need("created_at", Kind::Time),
        need("updated_at", Kind::Time),
    ],
);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Kupe GET "/api/v1/phone", KeyOrBearer "any" 200, list)
            .does("Lines of the organisation")
            .answers(Kind::Object(&LINES)),
        route!(Kupe POST "/api/v1/phone/mapping", KeyOrBearer "any" 200, map)
            .does("Has an agent or a workflow answer a line from the next call on")
            .takes(&MAP)
            .answers(Kind::Object(&MAPPED)),
    ]
}

async fn list(cx: Context) -> Result<Response, Failure> {
    let lines = lines::list(&cx.services.store, cx.who()?.tenant).await?;
    let lines: Vec<Value> = lines.iter().map(line_json).collect();
    Ok(reply(
        &cx,
        json!({ "success": true, "phone_numbers": lines }),
    ))
}

async fn map(cx: Context) -> Result<Response, Failure> {
    let target = match (cx.body.uuid("agent_id"), cx.body.uuid("workflow_id")) {
        (Some(agent), None) => Target::Agent(agent),
        (None, Some(workflow)) => Target::Workflow(workflow),
        _ => {
            let message = "send either agent_id or workflow_id";
            return Err(Failure::field("agent_id", "exactly_one", message));
        }
    };
    let id = cx
        .body
        .uuid("phone_number_id")
        .ok_or_else(Failure::not_found)?;
    let (tenant, actor) = (cx.who()?.tenant, cx.actor()?);
    let mapped = cx.services.store.write(move |conn| {
        Box::pin(async move { lines::map(conn, tenant, id, Some(target), &actor).await })
    });
    let line = mapped.await?;
    let (agent, workflow) = match line.target {
        Some(Target::Agent(id)) => (Some(id), None),
        Some(Target::Workflow(id)) => (None, Some(id)),
        Some(Target::Endpoint(_)) | None => (None, None),
    };
    let body = json!({
        "id": line.id,
        "phone_number_id": line.id,
        "phone_number": line.number,
        "agent_id": agent,
        "workflow_id": workflow,
        "created_at": rfc3339(line.created_at),
        "updated_at": rfc3339(line.updated_at),
    });
    Ok(reply(&cx, body))
}

fn line_json(line: &Line) -> Value {
    json!({
        "id": line.id,
        "phone_number": line.number,
        "friendly_name": line.friendly_name,
        "country_code": line.country_code,
        "region": line.region,
        "is_active": line.active,
        "created_at": rfc3339(line.created_at),
    })
}
