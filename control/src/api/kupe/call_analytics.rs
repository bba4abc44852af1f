//! `/api/v1/call-analytics`: what calls were about.

use axum::response::Response;
use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::route::{Context, Fields as _, Route, reply, route};
use super::super::schema::{Kind, may};
use crate::calls::history::{self, HistoryFilter};
use crate::calls::id::CallId;
use crate::calls::record::{CallDetail, CallRecord};

/// Most calls in the list that has no pages.
const UNPAGED_MAX: i64 = 1000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Kupe GET "/api/v1/call-analytics", KeyOrBearer "any|super_admin scoping" 200, list)
            .does("One call by `request_id`, a page when `page` is sent, else a list")
            .query(
                const {
                    &[
                        may("request_id", Kind::Uuid),
                        may("page", Kind::Integer(1, 1_000_000)),
                        may("page_size", Kind::Integer(1, 100)),
                        may("filter", Kind::OneOf(&["inbound", "outbound", "all"])),
                        may("scope", Kind::OneOf(&["mine", "all"])),
                    ]
                },
            )
            .answers(Kind::Any),
    ]
}

async fn list(cx: Context) -> Result<Response, Failure> {
    let who = cx.who()?;
    let store = &cx.services.store;
    if let Some(id) = cx.query.uuid("request_id") {
        let id: CallId = id.to_string().parse().map_err(|_| Failure::not_found())?;
        let call = history::find(store, who.tenant, id).await?;
        let call = call.ok_or_else(Failure::not_found)?;
        return Ok(reply(&cx, detail(&call)));
    }
    let everywhere = cx.query.text("scope") == Some("all");
    if everywhere && !who.superuser {
        return Err(Failure::forbidden("scope=all is for super admins"));
    }
    let filter = HistoryFilter {
        direction: cx
            .query
            .owned("filter")
            .filter(|direction| direction != "all"),
        everywhere,
        ..HistoryFilter::default()
    };
    let page = cx.query.integer("page");
    let size = cx.query.integer("page_size").unwrap_or(20);
    let (offset, limit) = page.map_or((0, UNPAGED_MAX), |page| ((page - 1) * size, size));
    let (calls, total) = history::list(store, who.tenant, &filter, offset, limit).await?;
    let calls: Vec<Value> = calls.iter().map(session).collect();
    let body = match page {
        None => json!(calls),
        Some(page) => json!({ "items": calls, "total": total, "page": page, "page_size": size }),
    };
    Ok(reply(&cx, body))
}

fn session(call: &CallRecord) -> Value {
    json!({
        "request_id": call.id,
        "call_session_id": call.id,
        "agent_id": call.agent_id,
        "call_direction": call.direction,
        "from_number": call.caller,
        "to_number": call.called,
        "status": call.status,
        "call_status": call.outcome.as_ref().map(|outcome| &outcome.reason),
        "started_at": call.started_at,
        "answered_at": call.answered_at,
        "ended_at": call.ended_at,
        "duration_ms": call.duration_ms,
        "disposition": call.disposition,
        "recording": call.recording.is_some(),
    })
}

fn detail(call: &CallDetail) -> Value {
    let mut session = session(&call.call);
    session["transcript"] = json!(call.turns);
    session
}
