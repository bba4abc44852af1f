//! `/api/v1/billing`: what was used and what it cost. Also mounted at `/billing`.

use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::route::{Answer, Context, Fields as _, Rate, Route, message, reply, route};
use super::super::schema::{Field, Kind, Shape, may, need, parse_time, shape};
use super::wallets::{may_see_user, paying};
use crate::billing::money;
use crate::billing::usage::{self, Period, UsageFilter};
use crate::clock::now_us;
use crate::identity::accounts;
use crate::identity::mail::Message;

const AMOUNT: Kind = Kind::Number(-1e12, 1e12);
/// Lines of one mailed or downloaded export.
const EXPORT_MAX: i64 = 50_000;

const SCOPE: Field = may("scope", Kind::OneOf(&["mine", "org", "all"]));
const USER: Field = may("user_id", Kind::Uuid);
const FILTERS: [Field; 11] = [
    may("time_filter", Kind::OneOf(&Period::NAMES)),
    may("usage_type", Kind::OneOf(&["calls", "chat", "embedding"])),
    may("search", Kind::Text(1, 100)),
    may("limit", Kind::Integer(1, 200)),
    may("offset", Kind::Integer(0, 1_000_000_000)),
    may("page", Kind::Integer(1, 1_000_000)),
    may("page_size", Kind::Integer(1, 100)),
    SCOPE,
    USER,
    may("session_types", Kind::Text(1, 100)),
    may("agent_ids", Kind::Text(1, 2000)),
];
const EXPORT: [Field; 9] = [
    may("time_filter", Kind::OneOf(&Period::NAMES)),
    may("usage_type", Kind::OneOf(&["calls", "chat", "embedding"])),
    may("session_types", Kind::Text(1, 100)),
    may("agent_ids", Kind::Text(1, 2000)),
    may("from_date", Kind::Date),
    may("to_date", Kind::Date),
    SCOPE,
    USER,
    may("download", Kind::Boolean),
];
static SESSION: Shape = shape(
    "UsageSession",
    &[
        need("session_id", Kind::Uuid),
        need("agent_id", Kind::Text(0, 0)),
        need("session_type", Kind::Text(0, 0)),
        need("duration_seconds", Kind::Integer(0, i64::MAX)),
        need("cost_usd", AMOUNT),
        need("currency", Kind::Text(0, 0)),
        need("created_at", Kind::Time),
    ],
);
static RECORDS: Shape = shape(
    "UsageRecords",
    &[
        need("grouped_sessions", Kind::List(&Kind::Object(&SESSION), 0)),
        need("total", Kind::Integer(0, i64::MAX)),
    ],
);
static SUMMARY: Shape = shape(
    "UsageSummary",
    &[
        need("buckets", Kind::List(&Kind::Map, 0)),
        need("totals", Kind::Map),
    ],
);
static OVERVIEW: Shape = shape(
    "UsageOverview",
    &[need("total", Kind::Map), need("this_month", Kind::Map)],
);
static ITEMS: Shape = shape(
    "UsageOfSession",
    &[
        need("session_id", Kind::Uuid),
        need("items", Kind::List(&Kind::Map, 0)),
        need("total_usd", AMOUNT),
    ],
);
static BALANCE: Shape = shape(
    "CreditBalance",
    &[
        need("available_balance_usd", AMOUNT),
        need("credit_balance_usd", AMOUNT),
        need("monthly_cap_usd", Kind::Nullable(&AMOUNT)),
        need("monthly_cap_used_usd", AMOUNT),
    ],
);

pub(super) fn routes() -> Vec<Route> {
    let mut routes = vec![
        route!(Kupe GET "/api/v1/billing/usage-records", KeyOrBearer "any|super scoping" 200, records)
            .does("Usage by call, newest first")
            .query(&FILTERS)
            .answers(Kind::Object(&RECORDS)),
        route!(Kupe GET "/api/v1/billing/usage/records", KeyOrBearer "any|super scoping" 200, records)
            .does("Usage by call, newest first")
            .query(&FILTERS)
            .answers(Kind::Object(&RECORDS)),
        route!(Kupe GET "/api/v1/billing/usage/summary", KeyOrBearer "any|super scoping" 200, summary)
            .does("Usage by hour, day or month")
            .query(const { &[may("time_period", Kind::OneOf(&Period::NAMES)), SCOPE, USER] })
            .answers(Kind::Object(&SUMMARY)),
        route!(Kupe GET "/api/v1/billing/usage/overview", KeyOrBearer "any|super scoping" 200, overview)
            .does("Usage in all and this month")
            .query(const { &[SCOPE, USER] })
            .answers(Kind::Object(&OVERVIEW)),
        route!(Kupe GET "/api/v1/billing/usage/sessions/{session_id}", KeyOrBearer "any|super scoping" 200, session)
            .does("The bill of a call, line by line")
            .answers(Kind::Object(&ITEMS)),
        route!(Kupe GET "/api/v1/billing/usage/export", KeyOrBearer "any|super scoping" 200, export)
            .does("Usage as CSV: by mail, or at once with `download=true`")
            .query(&EXPORT)
            .answers_with(Answer::JsonOr(Kind::Any, "text/csv"))
            .rate(Rate::Export),
        route!(Kupe GET "/api/v1/billing/credit-balance", KeyOrBearer "any|super scoping" 200, balance)
            .does("What is left to spend")
            .answers(Kind::Object(&BALANCE)),
    ];
    // Each has a second address.
    let twins: Vec<Route> = routes
        .iter()
        .map(|route| Route {
            path: route.path.strip_prefix("/api/v1").unwrap_or(route.path),
            ..*route
        })
        .collect();
    routes.extend(twins);
    routes
}

/// Whose usage is meant: the organisation's, one user's, or everybody's for super administrators.
async fn filter(cx: &Context) -> Result<UsageFilter, Failure> {
    let who = cx.who()?;
    let mut filter = UsageFilter {
        org: Some(who.tenant.organisation()),
        ..UsageFilter::default()
    };
    match cx.query.text("scope") {
        Some("mine") => filter.owner = Some(who.user),
        Some("all") if who.superuser => filter.org = None,
        Some("all") => return Err(Failure::forbidden("this is for super administrators")),
        _ => {}
    }
    if let Some(user) = cx.query.uuid("user_id") {
        may_see_user(cx, user).await?;
        filter.owner = Some(user);
        if who.superuser {
            filter.org = None;
        }
    }
    // Chats and embeddings are not charged; there are no such records.
    filter.is_empty = cx
        .query
        .text("usage_type")
        .is_some_and(|kind| kind != "calls");
    filter.search = cx.query.owned("search");
    let words = |name: &str| -> Vec<String> {
        let text = cx.query.text(name).unwrap_or_default();
        let words = text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    };
    filter.call_types = words("session_types");
    filter.agents = words("agent_ids");
    let now = now_us();
    if let Some(period) = cx.query.text("time_filter").and_then(Period::named) {
        filter.from = period.start(now);
    }
    if let Some(from) = cx.query.text("from_date").and_then(parse_time) {
        filter.from = Some(from);
    }
    if let Some(until) = cx.query.text("to_date").and_then(parse_time) {
        filter.until = Some(until.saturating_add(usage::DAY_US));
    }
    Ok(filter)
}

async fn records(cx: Context) -> Result<Response, Failure> {
    let filter = filter(&cx).await?;
    let (skip, count) = match cx.query.integer("page") {
        Some(page) => {
            let size = cx.query.integer("page_size").unwrap_or(50);
            ((page - 1) * size, size)
        }
        None => (
            cx.query.integer("offset").unwrap_or(0),
            cx.query.integer("limit").unwrap_or(50),
        ),
    };
    let (sessions, total) = usage::sessions(&cx.services.store, &filter, skip, count).await?;
    let body = json!({ "grouped_sessions": sessions, "total": total });
    Ok(reply(&cx, body))
}

async fn summary(cx: Context) -> Result<Response, Failure> {
    let mut filter = filter(&cx).await?;
    let period = cx.query.text("time_period").and_then(Period::named);
    let period = period.unwrap_or(Period::Month);
    filter.from = period.start(now_us());
    let buckets = usage::buckets(&cx.services.store, &filter, period.bucket()).await?;
    let totals = usage::totals(&cx.services.store, &filter).await?;
    let body = json!({ "buckets": buckets, "totals": totals });
    Ok(reply(&cx, body))
}

async fn overview(cx: Context) -> Result<Response, Failure> {
    let filter = filter(&cx).await?;
    let store = &cx.services.store;
    let total = usage::totals(store, &filter).await?;
    let month = UsageFilter {
        from: Some(money::month_start(now_us())),
        ..filter
    };
    let this_month = usage::totals(store, &month).await?;
    Ok(reply(
        &cx,
        json!({ "total": total, "this_month": this_month }),
    ))
}

async fn session(cx: Context) -> Result<Response, Failure> {
    let id = cx.id("session_id")?;
    let who = cx.who()?;
    let org = (!who.superuser).then(|| who.tenant.organisation());
    let found = usage::bill(&cx.services.store, id, org, who.superuser).await?;
    let body = found.ok_or_else(Failure::not_found)?;
    Ok(reply(&cx, body))
}

async fn export(cx: Context) -> Result<Response, Failure> {
    let filter = filter(&cx).await?;
    let store = &cx.services.store;
    let with_cost = cx.who()?.superuser;
    let csv = usage::export(store, &filter, EXPORT_MAX, with_cost).await?;
    if cx.query.flag("download") == Some(true) {
        let headers = [
            (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
            (
                header::CONTENT_DISPOSITION,
                "attachment; filename=\"usage.csv\"",
            ),
        ];
        return Ok((headers, Bytes::from(csv)).into_response());
    }
    let user = accounts::find_user(&mut store.read().await?, cx.who()?.user).await?;
    let to = user.and_then(|user| user.email).ok_or_else(|| {
        Failure::bad_request(
            "no_email",
            "the account has no mail address; ask with download=true",
        )
    })?;
    let sent = cx.services.identity.mailer.send(Message {
        to,
        subject: "Your usage",
        text: csv,
    });
    sent.await.map_err(|error| {
        tracing::error!(%error, "usage was not mailed");
        Failure::internal()
    })?;
    Ok(message(&cx, "the usage is on its way to your mail address"))
}

async fn balance(cx: Context) -> Result<Response, Failure> {
    let wallet = paying(&cx).await?;
    let body: Value = json!({
        "available_balance_usd": money::number(wallet.available()),
        "credit_balance_usd": money::number(wallet.posted),
        "monthly_cap_usd": wallet.cap.map(money::number),
        "monthly_cap_used_usd": money::number(wallet.spent_in_month_of(now_us())),
    });
    Ok(reply(&cx, body))
}
