//! `/api/v1/call-analytics`: what calls were about.

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::route::{Answer, Context, Fields as _, Rate, Route, reply, route};
use super::super::schema::{Kind, may, parse_time};
use super::super::zip::Zip;
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
        route!(Kupe GET "/api/v1/call-analytics/export", KeyOrBearer "any" 200, export)
            .does("A call, or the calls of a range of days, as a ZIP archive")
            .query(
                const {
                    &[
                        may("request_id", Kind::Uuid),
                        may("start_date", Kind::Date),
                        may("end_date", Kind::Date),
                        may("include_recordings", Kind::Boolean),
                    ]
                },
            )
            .answers_with(Answer::Other("application/zip"))
            .rate(Rate::Export),
    ]
}

/// Calls and megabytes of one archive; larger ranges are asked for in parts.
const EXPORT_CALLS_MAX: i64 = 5_000;
const EXPORT_BYTES_MAX: u64 = 256 * 1024 * 1024;

async fn export(cx: Context) -> Result<Response, Failure> {
    let (store, tenant) = (&cx.services.store, cx.who()?.tenant);
    let calls = match cx.query.uuid("request_id") {
        Some(id) => {
            let id: CallId = id.to_string().parse().map_err(|_| Failure::not_found())?;
            let call = history::find(store, tenant, id).await?;
            vec![call.ok_or_else(Failure::not_found)?.call]
        }
        None => {
            let day = |name: &str| {
                let text = cx.query.text(name);
                let missing = || Failure::field(name, "missing", "is required without request_id");
                text.and_then(parse_time).ok_or_else(missing)
            };
            let filter = HistoryFilter {
                from: Some(day("start_date")?),
                until: Some(day("end_date")?.saturating_add(86_400_000_000)),
                ..HistoryFilter::default()
            };
            let found = history::list(store, tenant, &filter, 0, EXPORT_CALLS_MAX).await?;
            let (calls, total) = found;
            if total > EXPORT_CALLS_MAX {
                let message =
                    format!("the range has {total} calls, at most {EXPORT_CALLS_MAX} at once");
                return Err(Failure::field("end_date", "too_many", message));
            }
            calls
        }
    };
    let mut zip = Zip::default();
    let mut recordings = 0;
    for call in &calls {
        let whole = history::find(store, tenant, call.id).await?;
        let text = whole
            .map(|whole| detail(&whole).to_string())
            .unwrap_or_default();
        zip.add(&format!("{}.json", call.id), text.as_bytes());
        let wanted = cx.query.flag("include_recordings") == Some(true) && call.status == "ended";
        let Some(recording) = call.recording.as_ref().filter(|_| wanted) else {
            continue;
        };
        let path = cx.services.config.recordings_dir().join(&recording.file);
        // The file may have been removed by whoever looks after the directory.
        let Ok(about) = tokio::fs::metadata(&path).await else {
            continue;
        };
        recordings += about.len();
        if recordings > EXPORT_BYTES_MAX {
            let message = "the recordings of the range are too large for one archive";
            return Err(Failure::field("include_recordings", "too_large", message));
        }
        if let Ok(bytes) = tokio::fs::read(&path).await {
            zip.add(&format!("{}.wav", call.id), &bytes);
        }
    }
    let headers = [
        (header::CONTENT_TYPE, "application/zip"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"calls.zip\"",
        ),
    ];
    Ok((headers, zip.finish()).into_response())
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
