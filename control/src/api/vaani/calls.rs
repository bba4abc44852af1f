//! `/calls`: lists, exports, details.

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::route::{Answer, Context, Fields as _, Rate, Route, reply, route};
use super::super::schema::{Field, Kind, Shape, may, need, parse_time, shape};
use crate::agents::stored::{self, StoredAgent};
use crate::billing::usage;
use crate::calls::history::{self, HistoryFilter};
use crate::calls::id::CallId;
use crate::calls::record::CallRecord;
use crate::campaigns::csv;
use crate::carriers::request_origin::websocket_base_url;
use crate::clock::now_us;
use crate::livekit::keys::TokenRequest;
use crate::numbers::lines::{self, Target};
use crate::store::StoreError;

/// Rows of an export read at a time.
const EXPORT_PAGE: i64 = 500;

const FILTERS: [Field; 7] = [
    may("call_type", Kind::OneOf(&["web", "phone"])),
    may("call_direction", Kind::OneOf(&["inbound", "outbound"])),
    may("agent_id", Kind::Text(1, 64)),
    may("disposition", Kind::Text(1, 200)),
    may("start_datetime", Kind::Text(1, 40)),
    may("end_datetime", Kind::Text(1, 40)),
    may("batch_id", Kind::Uuid),
];
static CALL: Shape = shape(
    "Call",
    &[
        need("id", Kind::Uuid),
        need("agent_id", Kind::Text(0, 0)),
        need("call_type", Kind::OneOf(&["web", "phone"])),
        need("call_direction", Kind::OneOf(&["inbound", "outbound"])),
        need("from_number", Kind::Nullable(&Kind::Text(0, 0))),
        need("to_number", Kind::Nullable(&Kind::Text(0, 0))),
        need("status", Kind::Text(0, 0)),
        need("started_at", Kind::Time),
        need("ended_at", Kind::Nullable(&Kind::Time)),
        need("duration_seconds", Kind::Nullable(&Kind::Number(0.0, 1e9))),
        need("disposition", Kind::Nullable(&Kind::Text(0, 0))),
    ],
);
static TOKEN: Shape = shape(
    "CallToken",
    &[
        need("token", Kind::Text(0, 0)),
        need("url", Kind::Text(0, 0)),
        need("room", Kind::Text(0, 0)),
    ],
);
static PAGE: Shape = shape(
    "CallPage",
    &[
        need("items", Kind::List(&Kind::Object(&CALL), 0)),
        need("total", Kind::Integer(0, i64::MAX)),
        need("page", Kind::Integer(1, i64::MAX)),
        need("page_size", Kind::Integer(1, 100)),
        need("has_next", Kind::Boolean),
        need("has_prev", Kind::Boolean),
    ],
);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Vaani GET "/calls", CookieOrKey "M|D|A" 200, list)
            .does("Calls of the workspace, newest first")
            .query(
                const {
                    &[
                        may("page", Kind::Integer(1, 1_000_000)),
                        may("page_size", Kind::Integer(1, 100)),
                        FILTERS[0],
                        FILTERS[1],
                        FILTERS[2],
                        FILTERS[3],
                        FILTERS[4],
                        FILTERS[5],
                        FILTERS[6],
                        may("status", Kind::OneOf(&["active", "ended"])),
                    ]
                },
            )
            .answers(Kind::Object(&PAGE)),
        route!(Vaani GET "/calls/export", CookieOrKey "M|D|A" 200, export)
            .does("The same calls as CSV")
            .query(&FILTERS)
            .answers_with(Answer::Other("text/csv"))
            .rate(Rate::Export),
        route!(Vaani GET "/calls/generate-token", None "" 200, generate_token)
            .does("A LiveKit token for a web call with a public agent, by the agent's number")
            .query(const { &[need("phone", Kind::Phone), need("id", Kind::Text(1, 100))] })
            .answers(Kind::Object(&TOKEN))
            .rate(Rate::Open),
        route!(Vaani GET "/calls/{id}", CookieOrKey "M|D|A" 200, show)
            .does("A call with its transcript")
            .answers(Kind::Object(&CALL)),
    ]
}

pub(super) fn filter(cx: &Context) -> Result<HistoryFilter, Failure> {
    let time = |name: &str| {
        let Some(text) = cx.query.text(name) else {
            return Ok(None);
        };
        let wrong = || Failure::field(name, "time", "must be a time like 2030-01-31T10:00:00Z");
        parse_time(text).map(Some).ok_or_else(wrong)
    };
    Ok(HistoryFilter {
        call_type: cx.query.owned("call_type"),
        direction: cx.query.owned("call_direction"),
        agent: cx.query.owned("agent_id"),
        disposition: cx.query.owned("disposition"),
        from: time("start_datetime")?,
        until: time("end_datetime")?,
        batch: cx.query.uuid("batch_id"),
        status: cx.query.owned("status"),
        everywhere: false,
    })
}

async fn list(cx: Context) -> Result<Response, Failure> {
    let page = cx.query.integer("page").unwrap_or(1);
    let size = cx.query.integer("page_size").unwrap_or(25);
    let (store, tenant) = (&cx.services.store, cx.who()?.tenant);
    let found = history::list(store, tenant, &filter(&cx)?, (page - 1) * size, size).await?;
    let (calls, total) = found;
    let items: Vec<Value> = calls.iter().map(to_json).collect();
    let body = json!({
        "items": items,
        "total": total,
        "page": page,
        "page_size": size,
        "has_next": page * size < total,
        "has_prev": page > 1,
    });
    Ok(reply(&cx, body))
}

/// Anybody may ask, so the agent must be marked public (or the surface opened), the token is good
/// for one room and a short while, and what does not exist is not told from what is not public.
async fn generate_token(cx: Context) -> Result<Response, Failure> {
    let session = cx.query.text("id").unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if !session.chars().all(plain) {
        let message = "must be letters, digits, hyphens and underscores";
        return Err(Failure::field("id", "characters", message));
    }
    let number = cx.query.phone("phone").unwrap_or_default();
    let open = cx.services.config.openness.vaani;
    let agent = numbered_agent(&cx, &number).await?;
    let agent = agent.filter(|agent| agent.active && (agent.public || open));
    let agent = agent.ok_or_else(Failure::not_found)?;
    let room = format!("web-{}-{session}", agent.id);
    let id = agent.id.to_string();
    let token = cx.services.web.keys.sign(&TokenRequest {
        identity: session,
        name: "",
        room: &room,
        agent: &id,
        now_s: now_us() / 1_000_000,
    });
    let url = cx.services.config.livekit.url.clone();
    let url = url.unwrap_or_else(|| websocket_base_url(&cx.services.config, &cx.headers));
    Ok(reply(
        &cx,
        json!({ "token": token, "url": url, "room": room }),
    ))
}

async fn numbered_agent(cx: &Context, number: &str) -> Result<Option<StoredAgent>, StoreError> {
    let mut conn = cx.services.store.read().await?;
    let line = lines::find_for_call(&mut conn, number).await?;
    match line.and_then(|line| line.target) {
        Some(Target::Agent(id)) => stored::find_for_call(&mut conn, id).await,
        _ => Ok(None),
    }
}

async fn show(cx: Context) -> Result<Response, Failure> {
    let id: CallId = cx
        .id("id")?
        .to_string()
        .parse()
        .map_err(|_| Failure::not_found())?;
    let call = history::find(&cx.services.store, cx.who()?.tenant, id).await?;
    let call = call.ok_or_else(Failure::not_found)?;
    let mut body = to_json(&call.call);
    body["transcript"] = json!(call.turns);
    body["recording"] = json!(call.call.recording);
    let (store, org) = (&cx.services.store, cx.who()?.tenant.organisation());
    body["cost_breakdown"] = json!(usage::bill(store, id.uuid(), Some(org), false).await?);
    Ok(reply(&cx, body))
}

/// Rows are read page by page as the client takes them.
async fn export(cx: Context) -> Result<Response, Failure> {
    const HEADER: &str = "id,agent_id,call_type,call_direction,from_number,to_number,status,\
        started_at,ended_at,duration_seconds,disposition\r\n";
    let (store, tenant) = (cx.services.store.clone(), cx.who()?.tenant);
    let filter = filter(&cx)?;
    let rows = stream::try_unfold(Some(0), move |offset: Option<i64>| {
        let (store, filter) = (store.clone(), filter.clone());
        async move {
            let Some(offset) = offset else {
                return Ok(None);
            };
            let page = history::list(&store, tenant, &filter, offset, EXPORT_PAGE).await;
            let (calls, _) = page.map_err(std::io::Error::other)?;
            let mut text = if offset == 0 {
                HEADER.to_owned()
            } else {
                String::new()
            };
            for call in &calls {
                text.push_str(&csv_row(call));
            }
            let more = calls.len() as i64 == EXPORT_PAGE;
            let next = more.then_some(offset + EXPORT_PAGE);
            Ok::<_, std::io::Error>(Some((Bytes::from(text), next)))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"calls.csv\"",
        ),
    ];
    Ok((headers, Body::from_stream(rows)).into_response())
}

fn csv_row(call: &CallRecord) -> String {
    let seconds = call.duration_ms.map(|ms| (ms / 1000).to_string());
    let cells = [
        Some(call.id.to_string()),
        Some(call.agent_id.clone()),
        Some(call.call_type.clone()),
        Some(call.direction.clone()),
        call.caller.clone(),
        call.called.clone(),
        Some(call.status.clone()),
        Some(call.started_at.clone()),
        call.ended_at.clone(),
        seconds,
        call.disposition.clone(),
    ];
    let cells: Vec<String> = cells
        .iter()
        .map(|cell| csv::written(cell.as_deref().unwrap_or_default()))
        .collect();
    format!("{}\r\n", cells.join(","))
}

fn to_json(call: &CallRecord) -> Value {
    json!({
        "id": call.id,
        "agent_id": call.agent_id,
        "call_type": call.call_type,
        "call_direction": call.direction,
        "from_number": call.caller,
        "to_number": call.called,
        "status": call.status,
        "started_at": call.started_at,
        "answered_at": call.answered_at,
        "ended_at": call.ended_at,
        "duration_seconds": call.duration_ms.map(|ms| ms as f64 / 1000.0),
        "disposition": call.disposition,
        "batch_id": call.batch_id,
        "carrier": call.carrier,
        "outcome": call.outcome,
    })
}
