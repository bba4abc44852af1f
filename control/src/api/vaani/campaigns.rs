//! `/api/v/`: campaigns of the dialler. A campaign dials as long as it is active, and takes new
//! prospects while it does.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use futures_util::Stream;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::kupe::{MESSAGE, variables};
use super::super::route::{Answer, Context, Fields as _, Rate, Route, message, reply, route};
use super::super::schema::{Field, Kind, Shape, may, need, parse_uuid, shape};
use super::super::upload::{FileTaker, read_upload};
use crate::campaigns::campaign::{self, Campaign, CampaignFilter, Counts, NewCampaign, State};
use crate::campaigns::hours::CallingHours;
use crate::campaigns::import::{ImportOptions, ImportReport, import};
use crate::campaigns::recipients::{self, NewRecipient, phone_of};
use crate::campaigns::rules::Rules;
use crate::clock::rfc3339;
use crate::identity::accounts::uuid;
use crate::numbers::lines::{self, Target};
use crate::store::{Connection, StoreError, Tenant, sql};

/// Campaigns of a list.
const LIST_MAX: i64 = 1000;
/// Calls of the live view.
const LIVE_MAX: i64 = 1000;

const FIELDS: [Field; 15] = [
    may("agent_id", Kind::Uuid),
    may("workspace", Kind::Text(0, 64)),
    may("email", Kind::Text(0, 254)),
    may("locale_name", Kind::Text(0, 32)),
    may("active", Kind::Boolean),
    may("call_ratio", Kind::Number(0.1, 10.0)),
    may("dialer_interval", Kind::Integer(2, 15)),
    may("max_active_calls", Kind::Integer(0, 10_000)),
    may("max_number_calls", Kind::Integer(1, 100)),
    may("min_time_between_calls", Kind::Integer(0, 100_000)),
    may("dupe_days", Kind::Integer(0, 3650)),
    may("expire_days", Kind::Integer(0, 3650)),
    may("earliest_prospect_time", Kind::Text(5, 8)),
    may("latest_prospect_time", Kind::Text(5, 8)),
    may("agent_phone_number", Kind::Phone),
];
static CREATE: Shape = shape(
    "DialerCampaignCreate",
    &[
        need("name", Kind::Text(1, 200)),
        FIELDS[0],
        FIELDS[1],
        FIELDS[2],
        FIELDS[3],
        FIELDS[4],
        FIELDS[5],
        FIELDS[6],
        FIELDS[7],
        FIELDS[8],
        FIELDS[9],
        FIELDS[10],
        FIELDS[11],
        FIELDS[12],
        FIELDS[13],
        FIELDS[14],
    ],
);
static CHANGE: Shape = shape(
    "DialerCampaignChange",
    &[
        may("name", Kind::Text(1, 200)),
        FIELDS[0],
        FIELDS[1],
        FIELDS[2],
        FIELDS[3],
        FIELDS[4],
        FIELDS[5],
        FIELDS[6],
        FIELDS[7],
        FIELDS[8],
        FIELDS[9],
        FIELDS[10],
        FIELDS[11],
        FIELDS[12],
        FIELDS[13],
        FIELDS[14],
    ],
);
static CAMPAIGN: Shape = shape(
    "DialerCampaign",
    &[
        need("id", Kind::Uuid),
        need("slug", Kind::Text(0, 0)),
        need("name", Kind::Text(0, 0)),
        need("active", Kind::Boolean),
        need("created_at", Kind::Time),
    ],
);
const COUNT: Kind = Kind::Integer(0, i64::MAX);
static STATUS: Shape = shape(
    "DialerStatus",
    &[
        need("slug", Kind::Text(0, 0)),
        need("active", Kind::Boolean),
        need("dialing", COUNT),
        need("connected", COUNT),
        need("remaining", COUNT),
        need("completed", COUNT),
        need("failed", COUNT),
    ],
);
static UPLOAD: Shape = shape(
    "DialerUpload",
    &[
        need("uuid", Kind::Uuid),
        need("status", Kind::Text(0, 0)),
        need("accepted", COUNT),
        need("rejected", COUNT),
    ],
);
static PROSPECT: Shape = shape(
    "Prospect",
    &[
        need("phone_number", Kind::Text(1, 64)),
        may("name", Kind::Text(0, 200)),
        may("variables", Kind::Map),
    ],
);
static PROSPECT_MADE: Shape = shape(
    "ProspectMade",
    &[need("uuid", Kind::Uuid), need("phone_number", Kind::Phone)],
);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Vaani GET "/api/v/campaign/", Cookie "any" 200, list)
            .does("Campaigns of the workspace, newest first")
            .query(
                const {
                    &[
                        may("email", Kind::Text(0, 254)),
                        may("workspace", Kind::Text(0, 64)),
                    ]
                },
            )
            .answers(const { Kind::List(&Kind::Object(&CAMPAIGN), 0) }),
        route!(Vaani POST "/api/v/campaign/", Cookie "any" 201, create)
            .does("Makes a campaign; its slug is made of its name")
            .takes(&CREATE)
            .answers(Kind::Object(&CAMPAIGN)),
        route!(Vaani GET "/api/v/campaign/{slug}/", Cookie "any" 200, show)
            .does("A campaign")
            .answers(Kind::Object(&CAMPAIGN)),
        route!(Vaani PUT "/api/v/campaign/{slug}/", Cookie "any" 200, replace)
            .does("Changes a campaign; what is not sent gets its default")
            .takes(&CREATE)
            .answers(Kind::Object(&CAMPAIGN)),
        route!(Vaani PATCH "/api/v/campaign/{slug}/", Cookie "any" 200, change)
            .does("Changes what is sent")
            .takes(&CHANGE)
            .answers(Kind::Object(&CAMPAIGN)),
        route!(Vaani DELETE "/api/v/campaign/{slug}/", Cookie "any" 204, delete)
            .does("Deletes a campaign without open calls")
            .answers_with(Answer::Empty),
        route!(Vaani GET "/api/v/campaign/{slug}/status/", None "" 200, status)
            .does("Counts of a campaign, for everybody who knows its slug")
            .answers(Kind::Object(&STATUS))
            .rate(Rate::Open),
        route!(Vaani POST "/api/v/upload/{slug}/", Cookie "any" 201, upload)
            .does("Adds prospects out of a CSV with the column phone_number")
            .uploads(&[])
            .answers(Kind::Object(&UPLOAD)),
        route!(Vaani POST "/api/v/prospect/{uuid}/", Cookie "any" 201, prospect)
            .does("Adds a prospect to the campaign with this id")
            .takes(&PROSPECT)
            .answers(Kind::Object(&PROSPECT_MADE)),
        route!(Vaani GET "/api/v/options/", Cookie "any" 200, options)
            .does("What the fields of a campaign may be"),
        route!(Vaani GET "/api/v/live/", Cookie "any" 200, live)
            .does("Calls of campaigns on the line")
            .answers(const { Kind::List(&Kind::Map, 0) }),
        route!(Vaani DELETE "/api/v/delete-cache/", Cookie "any" 200, delete_cache)
            .does("Has the dialler read campaigns anew; it keeps nothing longer than two seconds")
            .answers(Kind::Object(&MESSAGE)),
    ]
}

async fn list(cx: Context) -> Result<Response, Failure> {
    let filter = CampaignFilter {
        kind: campaign::Kind::VaaniCampaign,
        owner: None,
        everywhere: false,
    };
    let mut conn = cx.services.store.read().await?;
    let (found, _) = campaign::list(&mut conn, cx.who()?.tenant, filter, 0, LIST_MAX).await?;
    let email = cx.query.text("email");
    let shown = found
        .iter()
        .filter(|one| email.is_none_or(|email| one.extra.text("email") == Some(email)));
    let shown: Vec<Value> = shown.map(to_json).collect();
    Ok(reply(&cx, json!(shown)))
}

/// Letters and digits of a name, as in an address.
fn slug_of(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    slug.chars().take(80).collect()
}

async fn create(cx: Context) -> Result<Response, Failure> {
    let (tenant, owner, actor) = (cx.who()?.tenant, cx.who()?.user, cx.actor()?);
    let name = cx.body.owned("name").unwrap_or_default();
    let slug = slug_of(&name);
    if slug.is_empty() {
        let message = "must have a letter or digit";
        return Err(Failure::field("name", "slug", message));
    }
    let settings = settings(&cx, &Map::new()).await?;
    let new = NewCampaign {
        kind: campaign::Kind::VaaniCampaign,
        slug: Some(slug),
        name,
        description: None,
        target: settings.target,
        line: settings.line,
        variable_names: Vec::new(),
        rules: settings.rules,
        extra: settings.extra,
        state: settings.state,
        scheduled_at: None,
        time_zone: None,
    };
    let made = cx.services.store.write(move |conn| {
        Box::pin(async move { campaign::create(conn, tenant, owner, new, &actor).await })
    });
    let made = made.await?;
    cx.services.dial_now.notify_one();
    Ok(reply(&cx, to_json(&made)))
}

struct Settings {
    target: Option<Target>,
    line: Option<Uuid>,
    rules: Rules,
    extra: Map<String, Value>,
    state: State,
}

/// What the body says, over `before` where it says nothing.
async fn settings(cx: &Context, before: &Map<String, Value>) -> Result<Settings, Failure> {
    let defaults = json!({
        "locale_name": "USCA", "active": true, "call_ratio": 1.0, "dialer_interval": 10,
        "max_active_calls": 0, "max_number_calls": 10, "min_time_between_calls": 30,
        "dupe_days": 90, "expire_days": 90, "earliest_prospect_time": "09:00:00",
        "latest_prospect_time": "21:00:00",
    });
    let mut extra = defaults.as_object().cloned().unwrap_or_default();
    extra.extend(before.clone());
    for field in FIELDS {
        if let Some(value) = cx.body.value(field.name) {
            extra.insert(field.name.to_owned(), value.clone());
        }
    }
    let time = |name: &'static str| {
        let text = extra.text(name).unwrap_or_default();
        let text = text
            .rsplit_once(":00")
            .filter(|_| text.len() == 8)
            .map_or(text, |(t, _)| t);
        Ok::<_, Failure>(text.to_owned())
    };
    let hours = format!(
        "{}-{}",
        time("earliest_prospect_time")?,
        time("latest_prospect_time")?
    );
    if hours.parse::<CallingHours>().is_err() {
        let message =
            "earliest_prospect_time must be before latest_prospect_time, both like 09:00:00";
        return Err(Failure::field("earliest_prospect_time", "hours", message));
    }
    let target = extra.uuid("agent_id").map(Target::Agent);
    let tenant = cx.who()?.tenant;
    let mut conn = cx.services.store.read().await?;
    let line = match extra.phone("agent_phone_number") {
        Some(number) => {
            let line = lines::find_by_number(&mut conn, tenant, &number).await?;
            let unknown = || {
                Failure::field(
                    "agent_phone_number",
                    "unknown",
                    "is no number of this workspace",
                )
            };
            Some(line.ok_or_else(unknown)?.id)
        }
        None => {
            drop(conn);
            let wanted = crate::outbound::line::Wanted { line: None, target };
            let chosen = crate::outbound::line::choose(&cx.services.store, tenant, wanted).await?;
            chosen.map(|line| line.id)
        }
    };
    let config = &cx.services.config;
    let number = |name: &str| {
        extra
            .integer(name)
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(0)
    };
    let pause_s = number("min_time_between_calls").saturating_mul(60);
    let active = number("max_active_calls");
    let rules = Rules {
        // Nothing said is as many as the organisation may have.
        calls_max: if active == 0 {
            config.campaigns.organisation_calls_max
        } else {
            active
        },
        hours,
        attempts_max: number("max_number_calls").max(1),
        retry_busy_s: pause_s,
        retry_no_answer_s: pause_s,
        retry_failed_s: pause_s,
        ..Rules::of(&config.campaigns, &config.outbound)
    };
    let ready = target.is_some() && line.is_some();
    let state = match extra.flag("active") {
        Some(true) if ready => State::Running,
        _ => State::Paused,
    };
    Ok(Settings {
        target,
        line,
        rules,
        extra,
        state,
    })
}

async fn find(cx: &Context) -> Result<Campaign, Failure> {
    let slug = cx.path.get("slug").map_or("", String::as_str);
    let tenant = Some(cx.who()?.tenant);
    let mut conn = cx.services.store.read().await?;
    let found = campaign::find_by_slug(&mut conn, tenant, slug).await?;
    found.ok_or_else(Failure::not_found)
}

async fn show(cx: Context) -> Result<Response, Failure> {
    let found = find(&cx).await?;
    Ok(reply(&cx, to_json(&found)))
}

async fn replace(cx: Context) -> Result<Response, Failure> {
    let found = find(&cx).await?;
    save(cx, found, Map::new()).await
}

async fn change(cx: Context) -> Result<Response, Failure> {
    let found = find(&cx).await?;
    let before = found.extra.clone();
    save(cx, found, before).await
}

async fn save(
    cx: Context,
    found: Campaign,
    before: Map<String, Value>,
) -> Result<Response, Failure> {
    let settings = settings(&cx, &before).await?;
    let name = cx.body.owned("name").unwrap_or(found.name);
    let (tenant, id) = (cx.who()?.tenant, found.id);
    let saved = cx.services.store.write(move |conn| {
        Box::pin(async move {
            let mut found = campaign::lock(conn, tenant, id).await?;
            found.name = name;
            found.target = settings.target;
            found.line = settings.line;
            found.rules = settings.rules;
            found.extra = settings.extra;
            campaign::save(conn, &found).await?;
            if found.state != settings.state {
                campaign::set_state(conn, id, settings.state, None).await?;
            }
            let saved = campaign::find(conn, tenant, id).await?;
            saved.ok_or(StoreError::Malformed("campaigns"))
        })
    });
    let saved = saved.await?;
    cx.services.dial_now.notify_one();
    Ok(reply(&cx, to_json(&saved)))
}

async fn delete(cx: Context) -> Result<Response, Failure> {
    let id = find(&cx).await?.id;
    let (tenant, actor) = (cx.who()?.tenant, cx.actor()?);
    let deleted = cx.services.store.write(move |conn| {
        Box::pin(async move { campaign::delete(conn, tenant, id, &actor).await })
    });
    deleted.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Anybody may ask: counts, and nothing else.
async fn status(cx: Context) -> Result<Response, Failure> {
    let slug = cx.path.get("slug").map_or("", String::as_str);
    let mut conn = cx.services.store.read().await?;
    let found = campaign::find_by_slug(&mut conn, None, slug).await?;
    let found = found.ok_or_else(Failure::not_found)?;
    let counts = campaign::counts(&mut conn, found.id).await?;
    let connected = connected(&mut conn, found.id).await?;
    Ok(reply(&cx, status_json(&found, &counts, connected)))
}

async fn connected(conn: &mut Connection, id: Uuid) -> Result<i64, StoreError> {
    let query = sql(
        "SELECT COUNT(*) AS n FROM dial_attempts a JOIN calls c ON c.id = a.id \
         WHERE a.campaign_id = $1 AND a.state = 'open' AND c.answered_at IS NOT NULL \
         AND c.status = 'active'",
    );
    query.bind(id).fetch_one(conn).await?.get("n")
}

fn status_json(found: &Campaign, counts: &Counts, connected: i64) -> Value {
    json!({
        "slug": found.slug,
        "active": found.state == State::Running,
        "dialing": (counts.calling - connected).max(0),
        "connected": connected,
        "remaining": counts.waiting,
        "completed": counts.completed,
        "failed": counts.failed + counts.no_answer + counts.cancelled,
    })
}

struct ListTaker<'a> {
    cx: &'a Context,
    found: Campaign,
}

impl FileTaker for ListTaker<'_> {
    type Taken = ImportReport;

    async fn take<E: Send>(
        &mut self,
        _fields: &BTreeMap<String, String>,
        file: impl Stream<Item = Result<Bytes, E>> + Send + Unpin,
    ) -> Result<ImportReport, Failure> {
        let options = ImportOptions {
            phone_column: "phone_number",
            default_code: None,
            preview: false,
            strict: false,
        };
        let tenant: Tenant = self.cx.who()?.tenant;
        import(&self.cx.services.store, tenant, &self.found, file, options).await
    }
}

async fn upload(cx: Context) -> Result<Response, Failure> {
    let found = find(&cx).await?;
    let mut taker = ListTaker { cx: &cx, found };
    let (report, _) = read_upload(&cx, &mut taker).await?;
    cx.services.dial_now.notify_one();
    let body = json!({
        "uuid": report.id,
        "status": "done",
        "accepted": report.inserted,
        "rejected": report.failed,
        "errors": report.errors,
    });
    Ok(reply(&cx, body))
}

async fn prospect(cx: Context) -> Result<Response, Failure> {
    let id = cx.path.get("uuid").and_then(|text| parse_uuid(text));
    let id = id.ok_or_else(Failure::not_found)?;
    let tenant = cx.who()?.tenant;
    let found = campaign::find(&mut cx.services.store.read().await?, tenant, id).await?;
    found
        .filter(|found| found.kind == campaign::Kind::VaaniCampaign)
        .ok_or_else(Failure::not_found)?;
    let phone = phone_of(cx.body.text("phone_number").unwrap_or_default(), None)
        .map_err(|error| Failure::field("phone_number", "phone", error))?;
    let mut values = match cx.body.value("variables").and_then(Value::as_object) {
        Some(values) => variables(values, "variables")?,
        None => BTreeMap::new(),
    };
    if let Some(name) = cx.body.owned("name") {
        values.entry("name".to_owned()).or_insert(name);
    }
    let new = NewRecipient {
        phone: phone.clone(),
        zone: None,
        variables: values,
    };
    let added = cx.services.store.write(move |conn| {
        Box::pin(async move { recipients::insert_many(conn, id, vec![new]).await })
    });
    let added = added.await?;
    let Some((made, true)) = added.first().copied() else {
        return Err(Failure::conflict("this number is in the campaign already"));
    };
    cx.services.dial_now.notify_one();
    Ok(reply(&cx, json!({ "uuid": made, "phone_number": phone })))
}

async fn options(cx: Context) -> Result<Response, Failure> {
    let body = json!({
        "locales": ["USCA", "IN", "GB", "AU", "EU"],
        "dispositions": ["completed", "no_answer", "failed"],
        "intervals": (2..=15).collect::<Vec<u32>>(),
    });
    Ok(reply(&cx, body))
}

async fn live(cx: Context) -> Result<Response, Failure> {
    let query = sql(
        "SELECT m.slug, m.name, a.id, a.intent_at, c.answered_at FROM dial_attempts a \
         JOIN campaigns m ON m.id = a.campaign_id LEFT JOIN calls c ON c.id = a.id \
         WHERE a.org_id = $1 AND a.state = 'open' ORDER BY a.id LIMIT $2",
    );
    let query = query.bind(cx.who()?.tenant.organisation()).bind(LIVE_MAX);
    let rows = cx.services.store.fetch_all(query).await?;
    let mut calls = Vec::with_capacity(rows.len());
    for row in &rows {
        let answered: Option<i64> = row.get("answered_at")?;
        let slug: Option<String> = row.get("slug")?;
        let name: String = row.get("name")?;
        calls.push(json!({
            "campaign": slug.unwrap_or(name),
            "call_id": uuid(row, "id")?,
            "state": if answered.is_some() { "connected" } else { "dialing" },
            "since": rfc3339(answered.unwrap_or(row.get("intent_at")?)),
        }));
    }
    Ok(reply(&cx, json!(calls)))
}

async fn delete_cache(cx: Context) -> Result<Response, Failure> {
    cx.who()?;
    cx.services.dial_now.notify_one();
    Ok(message(&cx, "the dialler reads campaigns anew"))
}

fn to_json(found: &Campaign) -> Value {
    let mut body = Value::Object(found.extra.clone());
    body["id"] = json!(found.id);
    body["uuid"] = json!(found.id);
    body["slug"] = json!(found.slug);
    body["name"] = json!(found.name);
    body["active"] = json!(found.state == State::Running);
    body["state"] = json!(found.state.name());
    body["state_reason"] = json!(found.state_reason);
    body["created_at"] = json!(rfc3339(found.created_at));
    body["updated_at"] = json!(rfc3339(found.updated_at));
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_fit_for_addresses() {
        assert_eq!(slug_of("  Spring Sale, 2026! "), "spring-sale-2026");
        assert_eq!(slug_of("औषधि"), "");
    }
}
