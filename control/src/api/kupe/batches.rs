//! `/api/v1/batch-call`: batches of calls.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use futures_util::{Stream, stream};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::route::{Answer, Context, Fields as _, Rate, Route, reply, route};
use super::super::schema::{Field, Kind, Shape, may, need, shape};
use super::super::upload::{FileTaker, read_upload};
use super::create_call::variables;
use super::flags;
use crate::campaigns::campaign::{self, Campaign, CampaignFilter, Counts, NewCampaign, State};
use crate::campaigns::claims;
use crate::campaigns::csv::written;
use crate::campaigns::import::{ImportOptions, ImportReport, import};
use crate::campaigns::recipients::{self, NewRecipient, Recipient, phone_of};
use crate::campaigns::rules::Rules;
use crate::clock::rfc3339;
use crate::identity::principal::Role;
use crate::numbers::lines::Target;
use crate::store::StoreError;

/// Recipients read at a time for lists and exports.
const PAGE: i64 = 500;
/// Most recipients of one answer of `/data`; the export gives them all.
const DATA_MAX: i64 = 10_000;
/// Most attempts of one answer.
const ATTEMPTS_MAX: i64 = 50_000;
/// Most rows of one JSON request.
const ROWS_MAX: usize = 100_000;
/// Most variables of a batch.
const VARIABLES_MAX: usize = 100;
/// Time between two looks of a progress stream.
const PROGRESS: std::time::Duration = std::time::Duration::from_millis(500);

const NAMES: Kind = Kind::List(&Kind::Text(1, 100), VARIABLES_MAX);
static CREATE: Shape = shape(
    "BatchCreate",
    &[
        may("agent_id", Kind::Uuid),
        may("workflow_id", Kind::Uuid),
        need("caller_phone_id", Kind::Uuid),
        need("batch_name", Kind::Text(1, 200)),
        may("variable_names", NAMES),
        may("batch_size", Kind::Integer(1, 10_000)),
        may("description", Kind::Text(0, 2000)),
        may("user_id", Kind::Uuid),
        may("calls_per_second", Kind::Number(0.0, 1000.0)),
        may("calling_hours", Kind::Text(0, 500)),
        may("time_zone", Kind::Text(0, 64)),
        may("max_attempts", Kind::Integer(1, 20)),
        may("retry_busy_seconds", Kind::Integer(0, 604_800)),
        may("retry_no_answer_seconds", Kind::Integer(0, 604_800)),
        may("retry_failed_seconds", Kind::Integer(0, 604_800)),
        may("retry_interrupted", Kind::Boolean),
        may("ring_seconds", Kind::Integer(1, 180)),
        may("calls_per_number_and_day", Kind::Integer(0, 1000)),
        may("scheduled_at", Kind::Time),
    ],
);
static VARIABLES: Shape = shape("BatchVariables", &[need("variable_names", NAMES)]);
static ITEM: Shape = shape(
    "BatchItemUpsert",
    &[
        may("id", Kind::Uuid),
        need("to_phonenumber", Kind::Text(1, 64)),
        may("variable_values", Kind::Map),
    ],
);
static UPSERT: Shape = shape(
    "BatchUpsert",
    &[need("items", Kind::List(&Kind::Object(&ITEM), ROWS_MAX))],
);
static RECORDS: Shape = shape(
    "BatchRecords",
    &[need("records", Kind::List(&Kind::Map, ROWS_MAX))],
);
static BATCH: Shape = shape(
    "Batch",
    &[
        need("id", Kind::Uuid),
        need("batch_name", Kind::Text(0, 0)),
        need("status", Kind::Text(0, 0)),
        need("batch_size", Kind::Integer(1, i64::MAX)),
        need("variable_names", NAMES),
        need("created_at", Kind::Time),
    ],
);
const BATCH_FIELD: Field = need("data", Kind::Object(&BATCH));
static ONE: Shape = shape(
    "BatchAnswer",
    &[need("success", Kind::Boolean), BATCH_FIELD],
);
static MANY: Shape = shape(
    "BatchesAnswer",
    &[
        need("success", Kind::Boolean),
        need("data", Kind::List(&Kind::Object(&BATCH), 0)),
    ],
);
static PAGED: Shape = shape(
    "BatchPage",
    &[
        need("items", Kind::List(&Kind::Object(&BATCH), 0)),
        need("total", Kind::Integer(0, i64::MAX)),
        need("page", Kind::Integer(1, i64::MAX)),
        need("page_size", Kind::Integer(1, 100)),
    ],
);
static DONE: Shape = shape("BatchDone", &[need("success", Kind::Boolean)]);
static DATA: Shape = shape(
    "BatchData",
    &[need("success", Kind::Boolean), need("data", Kind::Any)],
);
const STATUSES: &[&str] = &["not_started", "calling", "completed", "failed", "no_answer"];

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Kupe POST "/api/v1/batch-call/create", KeyOrBearer "flag outbound" 201, create)
            .does("Makes a batch; recipients are uploaded next, then it is started")
            .takes(&CREATE)
            .answers(Kind::Object(&ONE))
            .idempotent(),
        route!(Kupe GET "/api/v1/batch-call/me", KeyOrBearer "flag outbound" 200, mine)
            .does("The caller's batches, newest first")
            .answers(Kind::Object(&MANY)),
        route!(Kupe GET "/api/v1/batch-call/browse", KeyOrBearer "super_admin scoping; others own" 200, browse)
            .does("Batches by page; superusers see those of all with scope=all")
            .query(
                const {
                    &[
                        may("page", Kind::Integer(1, 1_000_000)),
                        may("page_size", Kind::Integer(1, 100)),
                        may("scope", Kind::OneOf(&["mine", "all"])),
                    ]
                },
            )
            .answers(Kind::Object(&PAGED)),
        route!(Kupe GET "/api/v1/batch-call/user/{user_id}", KeyOrBearer "self|super_admin" 200, of_user)
            .does("A user's batches, newest first")
            .answers(Kind::Object(&MANY)),
        route!(Kupe GET "/api/v1/batch-call/{batch_id}", KeyOrBearer "owner" 200, show)
            .does("A batch")
            .answers(Kind::Object(&ONE)),
        route!(Kupe GET "/api/v1/batch-call/{batch_id}/status", KeyOrBearer "owner" 200, status)
            .does("A batch and its recipients counted by status")
            .answers(Kind::Object(&DATA)),
        route!(Kupe GET "/api/v1/batch-call/{batch_id}/events", KeyOrBearer "owner" 200, progress)
            .does("The counts as server-sent events, one whenever they change")
            .answers_with(Answer::Other("text/event-stream"))
            .added(),
        route!(Kupe GET "/api/v1/batch-call/{batch_id}/data", KeyOrBearer "owner" 200, data)
            .does("The recipients of a batch, ten thousand at most; after= pages on")
            .query(
                const {
                    &[
                        may("status", Kind::OneOf(STATUSES)),
                        may("after", Kind::Uuid),
                        may("limit", Kind::Integer(1, DATA_MAX)),
                    ]
                },
            )
            .answers(Kind::Object(&DATA)),
        route!(Kupe GET "/api/v1/batch-call/{batch_id}/attempts", KeyOrBearer "owner" 200, attempts)
            .does("Every call of a batch with what was decided on its result, oldest first; after= pages on")
            .query(const { &[may("after", Kind::Uuid), may("limit", Kind::Integer(1, ATTEMPTS_MAX))] })
            .answers(Kind::Object(&DATA))
            .added(),
        route!(Kupe GET "/api/v1/batch-call/{batch_id}/export", KeyOrBearer "owner" 200, export)
            .does("All recipients with their results as CSV")
            .answers_with(Answer::Other("text/csv"))
            .rate(Rate::Export)
            .added(),
        route!(Kupe POST "/api/v1/batch-call/{batch_id}/data/upsert", KeyOrBearer "owner" 200, upsert)
            .does("Adds recipients, or changes those whose id is given")
            .takes(&UPSERT)
            .large()
            .answers(Kind::Object(&DATA)),
        route!(Kupe PATCH "/api/v1/batch-call/{batch_id}/variables", KeyOrBearer "owner" 200, set_variables)
            .does("Declares the variables of the recipients")
            .takes(&VARIABLES)
            .answers(Kind::Object(&ONE)),
        route!(Kupe DELETE "/api/v1/batch-call/{batch_id}/data/{item_id}", KeyOrBearer "owner" 200, remove)
            .does("Removes a recipient")
            .answers(Kind::Object(&DONE)),
        route!(Kupe POST "/api/v1/batch-call/upload/{batch_id}", KeyOrBearer "owner" 200, upload)
            .does("Adds recipients out of a CSV with the column to_phonenumber; mode=strict keeps all or nothing, preview=true keeps nothing")
            .query(
                const {
                    &[
                        may("mode", Kind::OneOf(&["partial", "strict"])),
                        may("preview", Kind::OneOf(&["true", "false"])),
                        may("default_country_code", Kind::Text(1, 4)),
                    ]
                },
            )
            .uploads(&[])
            .answers(Kind::Object(&DATA)),
        route!(Kupe POST "/api/v1/batch-call/upload-json/{batch_id}", KeyOrBearer "owner" 200, upload_json)
            .does("Adds recipients out of flat records")
            .takes(&RECORDS)
            .large()
            .answers(Kind::Object(&DATA)),
        route!(Kupe POST "/api/v1/batch-call/start/{batch_id}", KeyOrBearer "owner" 200, start)
            .does("Starts a batch; answers at once")
            .answers(Kind::Object(&ONE))
            .idempotent(),
        route!(Kupe POST "/api/v1/batch-call/pause/{batch_id}", KeyOrBearer "owner" 200, pause)
            .does("Has a batch dial nobody new; calls on the line go on")
            .answers(Kind::Object(&ONE))
            .added(),
        route!(Kupe POST "/api/v1/batch-call/resume/{batch_id}", KeyOrBearer "owner" 200, resume)
            .does("Has a paused batch dial again")
            .answers(Kind::Object(&ONE))
            .added(),
        route!(Kupe POST "/api/v1/batch-call/cancel/{batch_id}", KeyOrBearer "owner" 200, cancel)
            .does("Gives a batch up; calls on the line go on")
            .answers(Kind::Object(&ONE))
            .added(),
        route!(Kupe DELETE "/api/v1/batch-call/{batch_id}", KeyOrBearer "owner" 200, delete)
            .does("Deletes a batch with its recipients")
            .answers(Kind::Object(&DONE)),
    ]
}

async fn create(cx: Context) -> Result<Response, Failure> {
    let who = cx.who()?.clone();
    let target = match (cx.body.uuid("agent_id"), cx.body.uuid("workflow_id")) {
        (Some(agent), None) => Target::Agent(agent),
        (None, Some(workflow)) => Target::Workflow(workflow),
        _ => {
            let message = "send either agent_id or workflow_id";
            return Err(Failure::field("agent_id", "exactly_one", message));
        }
    };
    let owner = cx.body.uuid("user_id").unwrap_or(who.user);
    if owner != who.user {
        flags::administrated(&cx, owner).await?;
    }
    let allowed = flags::is_set(&mut cx.services.store.read().await?, owner, "outbound").await?;
    if !allowed {
        return Err(Failure::forbidden(
            "the flag `outbound` is not set for this user",
        ));
    }
    let scheduled_at = cx.body.text("scheduled_at");
    let scheduled_at = scheduled_at.and_then(super::super::schema::parse_time);
    let time_zone = cx.body.owned("time_zone");
    if let Some(zone) = &time_zone
        && zone.parse::<chrono_tz::Tz>().is_err()
    {
        let message = "must be a time zone like Asia/Kolkata";
        return Err(Failure::field("time_zone", "time_zone", message));
    }
    let new = NewCampaign {
        kind: campaign::Kind::KupeBatch,
        slug: None,
        name: cx.body.owned("batch_name").unwrap_or_default(),
        description: cx.body.owned("description"),
        target: Some(target),
        line: cx.body.uuid("caller_phone_id"),
        variable_names: names(&cx),
        rules: rules(&cx)?,
        extra: Map::new(),
        state: State::NotStarted,
        scheduled_at,
        time_zone,
    };
    let actor = cx.actor()?;
    let made = cx.services.store.write(move |conn| {
        Box::pin(async move { campaign::create(conn, who.tenant, owner, new, &actor).await })
    });
    answer(&cx, &made.await?, None)
}

fn names(cx: &Context) -> Vec<String> {
    let names = cx.body.value("variable_names").and_then(Value::as_array);
    let names = names.into_iter().flatten().filter_map(Value::as_str);
    let mut found: Vec<String> = names.map(|name| name.trim().to_owned()).collect();
    found.dedup();
    found
}

fn rules(cx: &Context) -> Result<Rules, Failure> {
    let config = &cx.services.config;
    let defaults = Rules::of(&config.campaigns, &config.outbound);
    let number = |name: &str, otherwise: u32| {
        let value = cx.body.integer(name);
        value
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(otherwise)
    };
    let rules = Rules {
        calls_max: number("batch_size", 1),
        calls_per_second: cx
            .body
            .value("calls_per_second")
            .and_then(Value::as_f64)
            .unwrap_or(defaults.calls_per_second),
        hours: cx
            .body
            .owned("calling_hours")
            .unwrap_or(defaults.hours.clone()),
        attempts_max: number("max_attempts", defaults.attempts_max),
        retry_busy_s: number("retry_busy_seconds", defaults.retry_busy_s),
        retry_no_answer_s: number("retry_no_answer_seconds", defaults.retry_no_answer_s),
        retry_failed_s: number("retry_failed_seconds", defaults.retry_failed_s),
        retry_interrupted: cx.body.flag("retry_interrupted").unwrap_or(false),
        ring_s: number("ring_seconds", defaults.ring_s),
        calls_per_number_and_day: number(
            "calls_per_number_and_day",
            defaults.calls_per_number_and_day,
        ),
        ..defaults
    };
    if rules.calling_hours().is_none() {
        let message = "must be like `09:00-20:00` or `mon-fri 09:00-18:00; sat 10:00-14:00`";
        return Err(Failure::field("calling_hours", "hours", message));
    }
    Ok(rules)
}

/// The caller's batch of the path, if it is theirs to see.
async fn batch(cx: &Context) -> Result<Campaign, Failure> {
    let who = cx.who()?;
    let id = cx.id("batch_id")?;
    let found = campaign::find(&mut cx.services.store.read().await?, who.tenant, id).await?;
    let found = found.filter(|found| found.kind == campaign::Kind::KupeBatch);
    found
        .filter(|found| found.owner == who.user || who.has(Role::Admin))
        .ok_or_else(Failure::not_found)
}

async fn mine(cx: Context) -> Result<Response, Failure> {
    let user = cx.who()?.user;
    list_of(&cx, user).await
}

async fn of_user(cx: Context) -> Result<Response, Failure> {
    let user = cx.id("user_id")?;
    if user != cx.who()?.user {
        flags::administrated(&cx, user).await?;
    }
    list_of(&cx, user).await
}

async fn list_of(cx: &Context, owner: Uuid) -> Result<Response, Failure> {
    let filter = CampaignFilter {
        kind: campaign::Kind::KupeBatch,
        owner: Some(owner),
        everywhere: false,
    };
    let mut conn = cx.services.store.read().await?;
    let (found, _) = campaign::list(&mut conn, cx.who()?.tenant, filter, 0, 1000).await?;
    let found: Vec<Value> = found.iter().map(to_json).collect();
    Ok(reply(cx, json!({ "success": true, "data": found })))
}

async fn browse(cx: Context) -> Result<Response, Failure> {
    let who = cx.who()?;
    let page = cx.query.integer("page").unwrap_or(1);
    let size = cx.query.integer("page_size").unwrap_or(20);
    let everywhere = who.superuser && cx.query.text("scope") == Some("all");
    let filter = CampaignFilter {
        kind: campaign::Kind::KupeBatch,
        owner: (!everywhere).then_some(who.user),
        everywhere,
    };
    let mut conn = cx.services.store.read().await?;
    let found = campaign::list(&mut conn, who.tenant, filter, (page - 1) * size, size).await?;
    let (found, total) = found;
    let items: Vec<Value> = found.iter().map(to_json).collect();
    let body = json!({ "items": items, "total": total, "page": page, "page_size": size });
    Ok(reply(&cx, body))
}

async fn show(cx: Context) -> Result<Response, Failure> {
    let found = batch(&cx).await?;
    answer(&cx, &found, None)
}

async fn status(cx: Context) -> Result<Response, Failure> {
    let found = batch(&cx).await?;
    let counts = campaign::counts(&mut cx.services.store.read().await?, found.id).await?;
    let data = json!({ "batch": to_json(&found), "status_counts": counts_json(&counts) });
    Ok(reply(&cx, json!({ "success": true, "data": data })))
}

async fn progress(cx: Context) -> Result<Response, Failure> {
    let found = batch(&cx).await?;
    Ok(progress_stream(
        &cx,
        found.id,
        |found, counts| json!({ "batch": to_json(found), "status_counts": counts_json(counts) }),
    ))
}

/// Server-sent events of a campaign's progress: one whenever it changes, until it is over.
pub(in crate::api) fn progress_stream(
    cx: &Context,
    id: Uuid,
    show: fn(&Campaign, &Counts) -> Value,
) -> Response {
    let store = cx.services.store.clone();
    let Some(tenant) = cx.principal.as_ref().map(|who| who.tenant) else {
        return Failure::not_found().into_response_for(cx.route.product);
    };
    let events = stream::unfold((String::new(), false), move |(mut last, over)| {
        let store = store.clone();
        async move {
            if over {
                return None;
            }
            loop {
                let looked = async {
                    let mut conn = store.read().await?;
                    let found = campaign::find(&mut conn, tenant, id).await?;
                    let Some(found) = found else {
                        return Ok(None);
                    };
                    let counts = campaign::counts(&mut conn, id).await?;
                    Ok::<_, StoreError>(Some((found, counts)))
                };
                let (found, counts) = looked.await.ok().flatten()?;
                let text = show(&found, &counts).to_string();
                let over = matches!(found.state, State::Completed | State::Cancelled);
                if text != last {
                    let event = Bytes::from(format!("event: progress\ndata: {text}\n\n"));
                    last = text;
                    return Some((Ok::<_, std::io::Error>(event), (last, over)));
                }
                if over {
                    return None;
                }
                tokio::time::sleep(PROGRESS).await;
            }
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, Body::from_stream(events)).into_response()
}

/// The rows' states behind a published status.
fn states_of(status: Option<&str>) -> &'static [&'static str] {
    match status {
        Some("not_started") => &["pending", "retry"],
        Some("calling") => &["dialing", "unknown"],
        Some("completed") => &["completed"],
        Some("failed") => &["failed", "cancelled"],
        Some("no_answer") => &["no_answer"],
        _ => &[],
    }
}

fn published_status(state: &str) -> &'static str {
    match state {
        "pending" | "retry" => "not_started",
        "dialing" | "unknown" => "calling",
        "completed" => "completed",
        "no_answer" => "no_answer",
        _ => "failed",
    }
}

async fn data(cx: Context) -> Result<Response, Failure> {
    let found = batch(&cx).await?;
    let states = states_of(cx.query.text("status"));
    let limit = cx.query.integer("limit").unwrap_or(DATA_MAX);
    let after = cx.query.uuid("after");
    let mut conn = cx.services.store.read().await?;
    let rows = recipients::page(&mut conn, found.id, states, after, limit).await?;
    let rows: Vec<Value> = rows.iter().map(recipient_json).collect();
    Ok(reply(&cx, json!({ "success": true, "data": rows })))
}

async fn attempts(cx: Context) -> Result<Response, Failure> {
    let found = batch(&cx).await?;
    let limit = cx.query.integer("limit").unwrap_or(ATTEMPTS_MAX);
    let mut conn = cx.services.store.read().await?;
    let rows = claims::attempts(&mut conn, found.id, cx.query.uuid("after"), limit).await?;
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "id": row.id,
                "recipient_id": row.recipient,
                "number": row.number,
                "phone": row.phone,
                "state": row.state,
                "outcome": row.outcome,
                "detail": row.detail,
                "decision": row.decision,
                "sip_status": row.sip_status,
                "q850_cause": row.q850_cause,
                "intent_at": rfc3339(row.intent_at),
                "closed_at": row.closed_at.map(rfc3339),
            })
        })
        .collect();
    Ok(reply(&cx, json!({ "success": true, "data": rows })))
}

async fn export(cx: Context) -> Result<Response, Failure> {
    let found = batch(&cx).await?;
    Ok(export_stream(&cx, &found, "to_phonenumber"))
}

/// All recipients as CSV, read as the client takes them.
pub(in crate::api) fn export_stream(
    cx: &Context,
    found: &Campaign,
    phone: &'static str,
) -> Response {
    let store = cx.services.store.clone();
    let (id, names) = (found.id, found.variable_names.clone());
    let begin: Option<Option<Uuid>> = Some(None);
    let rows = stream::try_unfold(begin, move |after| {
        let (store, names) = (store.clone(), names.clone());
        async move {
            let Some(after) = after else {
                return Ok(None);
            };
            let page =
                async { recipients::page(&mut store.read().await?, id, &[], after, PAGE).await };
            let page: Vec<Recipient> = page.await.map_err(std::io::Error::other)?;
            let mut text = String::new();
            if after.is_none() {
                let fixed = [
                    phone,
                    "status",
                    "reason",
                    "attempts",
                    "call_id",
                    "updated_at",
                ];
                let head = fixed.into_iter().chain(names.iter().map(String::as_str));
                text.push_str(&head.map(written).collect::<Vec<_>>().join(","));
                text.push_str("\r\n");
            }
            for row in &page {
                let call = row.call.map(|id| id.to_string()).unwrap_or_default();
                let mut cells = vec![
                    written(&row.phone),
                    published_status(&row.state).to_owned(),
                    row.reason.clone().unwrap_or_default(),
                    row.attempts.to_string(),
                    call,
                    rfc3339(row.updated_at),
                ];
                for name in &names {
                    cells.push(written(row.variables[name].as_str().unwrap_or_default()));
                }
                text.push_str(&cells.join(","));
                text.push_str("\r\n");
            }
            let last = page.last().map(|row| row.id);
            let next = (page.len() as i64 == PAGE).then_some(last);
            Ok::<_, std::io::Error>(Some((Bytes::from(text), next)))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"recipients.csv\"",
        ),
    ];
    (headers, Body::from_stream(rows)).into_response()
}

struct Upserted {
    inserted: u64,
    updated: u64,
    failed: u64,
    errors: Vec<Value>,
}

impl Upserted {
    fn refuse(&mut self, row: usize, error: impl Into<String>) {
        self.failed += 1;
        if self.errors.len() < 1000 {
            self.errors
                .push(json!({ "row": row, "error": error.into() }));
        }
    }
}

async fn upsert(cx: Context) -> Result<Response, Failure> {
    let items = cx.body.value("items").and_then(Value::as_array).cloned();
    let rows = items.unwrap_or_default().into_iter().map(|item| {
        let id = item["id"].as_str().and_then(|id| id.parse().ok());
        let phone = item["to_phonenumber"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let values = item["variable_values"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        (id, phone, values)
    });
    let rows = rows.collect();
    let done = write_rows(&cx, rows).await?;
    let data = json!({ "inserted": done.inserted, "updated": done.updated, "failed": done.failed,
                       "errors": done.errors });
    Ok(reply(&cx, json!({ "success": true, "data": data })))
}

async fn upload_json(cx: Context) -> Result<Response, Failure> {
    let records = cx.body.value("records").and_then(Value::as_array).cloned();
    let rows = records.unwrap_or_default().into_iter().map(|record| {
        let mut values = record.as_object().cloned().unwrap_or_default();
        let phone = match values.remove("to_phonenumber") {
            Some(Value::String(text)) => text,
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        (None, phone, values)
    });
    let rows = rows.collect();
    let done = write_rows(&cx, rows).await?;
    let data = json!({ "inserted": done.inserted, "failed": done.failed, "errors": done.errors });
    Ok(reply(&cx, json!({ "success": true, "data": data })))
}

/// Adds or changes recipients in one step; what is wrong with a row is told, and the others stand.
async fn write_rows(
    cx: &Context,
    rows: Vec<(Option<Uuid>, String, Map<String, Value>)>,
) -> Result<Upserted, Failure> {
    let found = batch(cx).await?;
    let mut done = Upserted {
        inserted: 0,
        updated: 0,
        failed: 0,
        errors: Vec::new(),
    };
    let mut changes = Vec::new();
    let mut additions = Vec::new();
    for (index, (id, phone, values)) in rows.into_iter().enumerate() {
        let row = index + 1;
        let declared = &found.variable_names;
        let values: Map<String, Value> = values
            .into_iter()
            .filter(|(name, _)| declared.is_empty() || declared.contains(name))
            .collect();
        let read = phone_of(&phone, None).and_then(|phone| {
            let values =
                variables(&values, "variable_values").map_err(|failure| failure.message)?;
            Ok(NewRecipient {
                phone,
                zone: None,
                variables: values,
            })
        });
        match (read, id) {
            (Err(error), _) => done.refuse(row, error),
            (Ok(new), Some(id)) => changes.push((row, id, new)),
            (Ok(new), None) => additions.push((row, new)),
        }
    }
    let tenant = cx.who()?.tenant;
    let id = found.id;
    let written = cx.services.store.write(move |conn| {
        Box::pin(async move {
            let locked = campaign::lock(conn, tenant, id).await?;
            campaign::check_editable(&locked)?;
            for (row, recipient, new) in changes {
                if recipients::update(conn, id, recipient, &new).await? {
                    done.updated += 1;
                } else {
                    done.refuse(
                        row,
                        "there is no such recipient, or its number is there twice",
                    );
                }
            }
            for chunk in additions.chunks(2000) {
                let new = chunk.iter().map(|(_, new)| new.clone()).collect();
                let written = recipients::insert_many(conn, id, new).await?;
                for ((row, _), (_, inserted)) in chunk.iter().zip(written) {
                    if inserted {
                        done.inserted += 1;
                    } else {
                        done.refuse(*row, "this number is in the batch already");
                    }
                }
            }
            Ok(done)
        })
    });
    Ok(written.await?)
}

async fn set_variables(cx: Context) -> Result<Response, Failure> {
    let id = batch(&cx).await?.id;
    let names = names(&cx);
    let tenant = cx.who()?.tenant;
    let saved = cx.services.store.write(move |conn| {
        Box::pin(async move {
            let mut found = campaign::lock(conn, tenant, id).await?;
            campaign::check_editable(&found)?;
            found.variable_names = names;
            campaign::save(conn, &found).await?;
            Ok(found)
        })
    });
    answer(&cx, &saved.await?, None)
}

async fn remove(cx: Context) -> Result<Response, Failure> {
    let id = batch(&cx).await?.id;
    let item = cx.id("item_id")?;
    let tenant = cx.who()?.tenant;
    let removed = cx.services.store.write(move |conn| {
        Box::pin(async move {
            let found = campaign::lock(conn, tenant, id).await?;
            campaign::check_editable(&found)?;
            recipients::remove(conn, id, item).await
        })
    });
    if !removed.await? {
        return Err(Failure::not_found());
    }
    Ok(reply(&cx, json!({ "success": true })))
}

struct ListTaker<'a> {
    cx: &'a Context,
    found: Campaign,
    options: ImportOptions,
}

impl FileTaker for ListTaker<'_> {
    type Taken = ImportReport;

    async fn take<E: Send>(
        &mut self,
        _fields: &BTreeMap<String, String>,
        file: impl Stream<Item = Result<Bytes, E>> + Send + Unpin,
    ) -> Result<ImportReport, Failure> {
        let tenant = self.cx.who()?.tenant;
        let store = &self.cx.services.store;
        import(store, tenant, &self.found, file, self.options.clone()).await
    }
}

async fn upload(cx: Context) -> Result<Response, Failure> {
    let code = cx.query.text("default_country_code");
    let code = code.map(|code| code.trim_start_matches('+').to_owned());
    if code
        .as_deref()
        .is_some_and(|code| code.is_empty() || !code.bytes().all(|b| b.is_ascii_digit()))
    {
        let message = "must be a calling code like 91";
        return Err(Failure::field("default_country_code", "code", message));
    }
    let options = ImportOptions {
        phone_column: "to_phonenumber",
        default_code: code,
        preview: cx.query.text("preview") == Some("true"),
        strict: cx.query.text("mode") == Some("strict"),
    };
    let found = batch(&cx).await?;
    let mut taker = ListTaker {
        cx: &cx,
        found,
        options,
    };
    let (report, _) = read_upload(&cx, &mut taker).await?;
    Ok(reply(&cx, json!({ "success": true, "data": report })))
}

async fn start(cx: Context) -> Result<Response, Failure> {
    let id = batch(&cx).await?.id;
    let (tenant, actor) = (cx.who()?.tenant, cx.actor()?);
    let started = cx.services.store.write(move |conn| {
        Box::pin(async move { campaign::start(conn, tenant, id, &actor).await })
    });
    let started = started.await?;
    cx.services.dial_now.notify_one();
    answer(&cx, &started, Some("the batch was started"))
}

async fn shift(
    cx: Context,
    from: State,
    to: State,
    otherwise: &'static str,
) -> Result<Response, Failure> {
    let id = batch(&cx).await?.id;
    let tenant = cx.who()?.tenant;
    let moved = cx.services.store.write(move |conn| {
        Box::pin(async move { campaign::shift(conn, tenant, id, &[from], to, otherwise).await })
    });
    let moved = moved.await?;
    cx.services.dial_now.notify_one();
    answer(&cx, &moved, None)
}

async fn pause(cx: Context) -> Result<Response, Failure> {
    shift(
        cx,
        State::Running,
        State::Paused,
        "only a running batch can be paused",
    )
    .await
}

async fn resume(cx: Context) -> Result<Response, Failure> {
    shift(
        cx,
        State::Paused,
        State::Running,
        "only a paused batch can be resumed",
    )
    .await
}

async fn cancel(cx: Context) -> Result<Response, Failure> {
    let id = batch(&cx).await?.id;
    let (tenant, actor) = (cx.who()?.tenant, cx.actor()?);
    let cancelled = cx.services.store.write(move |conn| {
        Box::pin(async move { campaign::cancel(conn, tenant, id, &actor).await })
    });
    answer(&cx, &cancelled.await?, None)
}

async fn delete(cx: Context) -> Result<Response, Failure> {
    let id = batch(&cx).await?.id;
    let (tenant, actor) = (cx.who()?.tenant, cx.actor()?);
    let deleted = cx.services.store.write(move |conn| {
        Box::pin(async move { campaign::delete(conn, tenant, id, &actor).await })
    });
    deleted.await?;
    Ok(reply(&cx, json!({ "success": true })))
}

fn answer(cx: &Context, found: &Campaign, message: Option<&str>) -> Result<Response, Failure> {
    let mut body = json!({ "success": true, "data": to_json(found) });
    if let Some(message) = message {
        body["message"] = json!(message);
    }
    Ok(reply(cx, body))
}

fn to_json(found: &Campaign) -> Value {
    let (agent, workflow) = match found.target {
        Some(Target::Agent(id)) => (Some(id), None),
        Some(Target::Workflow(id)) => (None, Some(id)),
        Some(Target::Endpoint(_)) | None => (None, None),
    };
    let status = match found.state {
        State::Running => "in_progress",
        State::Scheduled => "not_started",
        state => state.name(),
    };
    json!({
        "id": found.id,
        "user_id": found.owner,
        "batch_name": found.name,
        "description": found.description,
        "agent_id": agent,
        "workflow_id": workflow,
        "caller_phone_id": found.line,
        "variable_names": found.variable_names,
        "batch_size": found.rules.calls_max,
        "status": status,
        "status_reason": found.state_reason,
        "rules": found.rules,
        "time_zone": found.time_zone,
        "scheduled_at": found.scheduled_at.map(rfc3339),
        "started_at": found.started_at.map(rfc3339),
        "completed_at": found.ended_at.map(rfc3339),
        "created_at": rfc3339(found.created_at),
        "updated_at": rfc3339(found.updated_at),
    })
}

fn counts_json(counts: &Counts) -> Value {
    json!({
        "not_started": counts.waiting,
        "calling": counts.calling,
        "completed": counts.completed,
        "failed": counts.failed + counts.cancelled,
        "no_answer": counts.no_answer,
        "total": counts.total(),
    })
}

fn recipient_json(row: &Recipient) -> Value {
    json!({
        "id": row.id,
        "batch_id": row.campaign,
        "to_phonenumber": row.phone,
        "variable_values": row.variables,
        "status": published_status(&row.state),
        "reason": row.reason,
        "error_message": row.error_message,
        "attempts": row.attempts,
        "call_session_id": row.call,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    })
}
