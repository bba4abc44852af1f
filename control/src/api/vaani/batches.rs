//! `/batch`: lists of numbers that an agent calls.

use std::collections::BTreeMap;
use std::path::PathBuf;

use axum::body::Bytes;
use axum::response::Response;
use futures_util::{Stream, StreamExt as _, stream};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::kupe::MESSAGE;
use super::super::route::{Context, Fields as _, Route, message, reply, route};
use super::super::schema::{Kind, Shape, e164, may, need, parse_time, parse_uuid, shape};
use super::super::upload::{FileTaker, read_upload};
use crate::campaigns::campaign::{self, Campaign, CampaignFilter, Counts, NewCampaign, State};
use crate::campaigns::import::{ImportOptions, UPLOAD_BYTES_MAX, import};
use crate::campaigns::rules::Rules;
use crate::clock::{now_us, rfc3339};
use crate::numbers::lines::{self, Target};
use crate::store::StoreError;

/// Calls at a time of a batch.
const CALLS_MAX: u32 = 10;
/// Bytes of a kept list read at a time.
const READ_BYTES: usize = 64 * 1024;
/// Batches of a list.
const LIST_MAX: i64 = 1000;

static CHANGE: Shape = shape(
    "VaaniBatchChange",
    &[
        need("scheduled_time", Kind::Time),
        may("timezone", Kind::Text(0, 64)),
    ],
);
static BATCH: Shape = shape(
    "VaaniBatch",
    &[
        need("id", Kind::Uuid),
        need("name", Kind::Text(0, 0)),
        need(
            "status",
            Kind::OneOf(&["scheduled", "running", "completed", "failed"]),
        ),
        need("created_at", Kind::Time),
    ],
);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Vaani GET "/batch", CookieOrKey "M|D|A" 200, list)
            .does("Batches of the workspace, newest first")
            .answers(const { Kind::List(&Kind::Object(&BATCH), 0) }),
        route!(Vaani POST "/batch/upload", CookieOrKey "M|D|A" 201, upload)
            .does("Makes a batch out of a CSV with the column phone_number; starts at scheduled_time, else at once")
            .uploads(&["name", "agent_id", "agent_phone_number", "scheduled_time", "timezone"])
            .answers(Kind::Object(&BATCH)),
        route!(Vaani GET "/batch/{id}", CookieOrKey "M|D|A" 200, show)
            .does("A batch with its progress")
            .answers(Kind::Object(&BATCH)),
        route!(Vaani PATCH "/batch/{id}", CookieOrKey "M|D|A" 200, reschedule)
            .does("Gives a batch that has not begun another time")
            .takes(&CHANGE)
            .answers(Kind::Object(&BATCH)),
        route!(Vaani DELETE "/batch/{id}", CookieOrKey "M|D|A" 200, delete)
            .does("Deletes a batch that is not running")
            .answers(Kind::Object(&MESSAGE)),
    ]
}

async fn list(cx: Context) -> Result<Response, Failure> {
    let filter = CampaignFilter {
        kind: campaign::Kind::VaaniBatch,
        owner: None,
        everywhere: false,
    };
    let mut conn = cx.services.store.read().await?;
    let (found, _) = campaign::list(&mut conn, cx.who()?.tenant, filter, 0, LIST_MAX).await?;
    let mut batches = Vec::with_capacity(found.len());
    for one in &found {
        batches.push(to_json(one, &campaign::counts(&mut conn, one.id).await?));
    }
    Ok(reply(&cx, json!(batches)))
}

async fn batch(cx: &Context) -> Result<Campaign, Failure> {
    let id = cx.id("id")?;
    let mut conn = cx.services.store.read().await?;
    let found = campaign::find(&mut conn, cx.who()?.tenant, id).await?;
    found
        .filter(|found| found.kind == campaign::Kind::VaaniBatch)
        .ok_or_else(Failure::not_found)
}

async fn show(cx: Context) -> Result<Response, Failure> {
    let found = batch(&cx).await?;
    answer(&cx, &found).await
}

async fn answer(cx: &Context, found: &Campaign) -> Result<Response, Failure> {
    let counts = campaign::counts(&mut cx.services.store.read().await?, found.id).await?;
    Ok(reply(cx, to_json(found, &counts)))
}

/// Keeps the list in a file until the whole form is there: its other fields say what it is for,
/// and may come after it.
struct Keeper {
    path: PathBuf,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Nothing can be done about a file that does not go.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl FileTaker for Keeper {
    type Taken = ();

    async fn take<E: Send>(
        &mut self,
        _fields: &BTreeMap<String, String>,
        mut file: impl Stream<Item = Result<Bytes, E>> + Send + Unpin,
    ) -> Result<(), Failure> {
        let kept = |error: std::io::Error| {
            tracing::error!(%error, "a list could not be kept");
            Failure::internal()
        };
        let mut out = tokio::fs::File::create(&self.path).await.map_err(kept)?;
        let mut length = 0;
        while let Some(chunk) = file.next().await {
            let chunk = chunk.map_err(|_| Failure::bad_request("body", "the body broke off"))?;
            length += chunk.len();
            if length > UPLOAD_BYTES_MAX {
                let message = format!("the list must have at most {UPLOAD_BYTES_MAX} bytes");
                let status = axum::http::StatusCode::PAYLOAD_TOO_LARGE;
                return Err(Failure::new(status, "too_large", message));
            }
            out.write_all(&chunk).await.map_err(kept)?;
        }
        out.flush().await.map_err(kept)
    }
}

async fn upload(cx: Context) -> Result<Response, Failure> {
    let data_dir = &cx.services.config.data_dir;
    let mut keeper = Keeper {
        path: data_dir.join(format!("upload-{}.csv", Uuid::now_v7())),
    };
    let ((), fields) = read_upload(&cx, &mut keeper).await?;
    let new = described(&cx, &fields).await?;
    let scheduled_at = new.scheduled_at;
    let (tenant, owner, actor) = (cx.who()?.tenant, cx.who()?.user, cx.actor()?);
    let store = &cx.services.store;
    let made = {
        let actor = actor.clone();
        store.write(move |conn| {
            Box::pin(async move { campaign::create(conn, tenant, owner, new, &actor).await })
        })
    };
    let made = made.await?;
    let file = tokio::fs::File::open(&keeper.path).await.map_err(|error| {
        tracing::error!(%error, "a kept list could not be read");
        Failure::internal()
    })?;
    let chunks = Box::pin(stream::try_unfold(file, |mut file| async move {
        let mut buffer = vec![0; READ_BYTES];
        let length = file.read(&mut buffer).await?;
        buffer.truncate(length);
        Ok::<_, std::io::Error>((length > 0).then(|| (Bytes::from(buffer), file)))
    }));
    let options = ImportOptions {
        phone_column: "phone_number",
        default_code: None,
        preview: false,
        strict: false,
    };
    let id = made.id;
    let started = async {
        let report = import(store, tenant, &made, chunks, options).await?;
        if report.inserted == 0 {
            let message = report.errors.first().map_or_else(
                || "the list has no rows".to_owned(),
                |first| format!("no row can be dialled; row {}: {}", first.row, first.error),
            );
            return Err(Failure::field("file", "empty", message));
        }
        let actor = actor.clone();
        let started = store.write(move |conn| {
            Box::pin(async move { campaign::start(conn, tenant, id, &actor).await })
        });
        Ok((started.await?, report))
    };
    let (started, report) = match started.await {
        Ok(started) => started,
        Err(failure) => {
            // A batch that was refused is not left behind.
            let gone = store.write(move |conn| {
                Box::pin(async move { campaign::delete(conn, tenant, id, &actor).await })
            });
            gone.await?;
            return Err(failure);
        }
    };
    if scheduled_at.is_none() {
        cx.services.dial_now.notify_one();
    }
    let counts = campaign::counts(&mut store.read().await?, id).await?;
    let mut body = to_json(&started, &counts);
    body["accepted"] = json!(report.inserted);
    body["rejected"] = json!(report.failed);
    body["errors"] = json!(report.errors);
    Ok(reply(&cx, body))
}

/// The batch that the form describes.
async fn described(
    cx: &Context,
    fields: &BTreeMap<String, String>,
) -> Result<NewCampaign, Failure> {
    let text = |name: &str| {
        fields
            .get(name)
            .map(|text| text.trim())
            .filter(|t| !t.is_empty())
    };
    let required = |name: &'static str| {
        text(name).ok_or_else(|| Failure::field(name, "missing", "is required"))
    };
    let name = required("name")?;
    if name.chars().count() > 200 {
        return Err(Failure::field(
            "name",
            "length",
            "must have at most 200 characters",
        ));
    }
    let agent = parse_uuid(required("agent_id")?)
        .ok_or_else(|| Failure::field("agent_id", "uuid", "must be a UUID"))?;
    let number = e164(required("agent_phone_number")?).ok_or_else(|| {
        Failure::field("agent_phone_number", "phone", "must be a number in E.164")
    })?;
    let tenant = cx.who()?.tenant;
    let line = {
        let mut conn = cx.services.store.read().await?;
        lines::find_by_number(&mut conn, tenant, &number).await?
    };
    let line = line.ok_or_else(|| {
        Failure::field(
            "agent_phone_number",
            "unknown",
            "is no number of this workspace",
        )
    })?;
    let scheduled_at = text("scheduled_time").map(scheduled).transpose()?;
    let time_zone = text("timezone").map(zoned).transpose()?;
    let config = &cx.services.config;
    Ok(NewCampaign {
        kind: campaign::Kind::VaaniBatch,
        slug: None,
        name: name.to_owned(),
        description: None,
        target: Some(Target::Agent(agent)),
        line: Some(line.id),
        variable_names: Vec::new(),
        rules: Rules {
            calls_max: CALLS_MAX,
            ..Rules::of(&config.campaigns, &config.outbound)
        },
        extra: Map::new(),
        state: State::NotStarted,
        scheduled_at,
        time_zone,
    })
}

fn scheduled(text: &str) -> Result<i64, Failure> {
    parse_time(text).ok_or_else(|| {
        let message = "must be a time like 2030-01-31T10:00:00Z";
        Failure::field("scheduled_time", "time", message)
    })
}

fn zoned(zone: &str) -> Result<String, Failure> {
    let message = "must be a time zone like Asia/Kolkata";
    let known = zone.parse::<chrono_tz::Tz>().is_ok();
    let wrong = || Failure::field("timezone", "time_zone", message);
    known.then(|| zone.to_owned()).ok_or_else(wrong)
}

async fn reschedule(cx: Context) -> Result<Response, Failure> {
    let id = batch(&cx).await?.id;
    let scheduled_at = scheduled(cx.body.text("scheduled_time").unwrap_or_default())?;
    let zone = cx.body.text("timezone").filter(|zone| !zone.is_empty());
    let zone = zone.map(zoned).transpose()?;
    let tenant = cx.who()?.tenant;
    let saved = cx.services.store.write(move |conn| {
        Box::pin(async move {
            let mut found = campaign::lock(conn, tenant, id).await?;
            if !matches!(found.state, State::NotStarted | State::Scheduled) {
                let failure = Failure::conflict("the batch has begun");
                return Err(StoreError::Declined(Box::new(failure)));
            }
            found.scheduled_at = Some(scheduled_at);
            found.time_zone = zone.or(found.time_zone);
            campaign::save(conn, &found).await?;
            Ok(found)
        })
    });
    let saved = saved.await?;
    if scheduled_at <= now_us() {
        cx.services.dial_now.notify_one();
    }
    answer(&cx, &saved).await
}

async fn delete(cx: Context) -> Result<Response, Failure> {
    let id = batch(&cx).await?.id;
    let (tenant, actor) = (cx.who()?.tenant, cx.actor()?);
    let deleted = cx.services.store.write(move |conn| {
        Box::pin(async move { campaign::delete(conn, tenant, id, &actor).await })
    });
    deleted.await?;
    Ok(message(&cx, "the batch was deleted"))
}

fn to_json(found: &Campaign, counts: &Counts) -> Value {
    let status = match found.state {
        State::NotStarted | State::Scheduled => "scheduled",
        State::Running | State::Paused => "running",
        State::Completed => "completed",
        State::Cancelled => "failed",
    };
    let agent = match found.target {
        Some(Target::Agent(id)) => Some(id),
        _ => None,
    };
    json!({
        "id": found.id,
        "name": found.name,
        "agent_id": agent,
        "status": status,
        "paused": (found.state == State::Paused).then_some(&found.state_reason),
        "scheduled_time": found.scheduled_at.map(rfc3339),
        "timezone": found.time_zone,
        "total": counts.total(),
        "pending": counts.waiting,
        "calling": counts.calling,
        "completed": counts.completed,
        "failed": counts.failed + counts.no_answer + counts.cancelled,
        "created_at": rfc3339(found.created_at),
        "updated_at": rfc3339(found.updated_at),
    })
}
