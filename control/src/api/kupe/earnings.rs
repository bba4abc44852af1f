//! `/api/v1/earnings` and the terms of resellers at `/api/v1/orgs`.

use axum::response::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::route::{Context, Fields as _, Route, reply, route};
use super::super::schema::{Field, Kind, Shape, may, need, shape};
use super::wallets::{own_organisation, super_only};
use crate::billing::money;
use crate::billing::usage::{self, Period};
use crate::clock::now_us;
use crate::identity::principal::Role;
use crate::store::{Row, StoreError, sql};

const AMOUNT: Kind = Kind::Number(-1e12, 1e12);
const PERIODS: [&str; 5] = ["day", "week", "month", "year", "all"];
static EARNINGS: Shape = shape(
    "Earnings",
    &[
        need("period", Kind::OneOf(&PERIODS)),
        need("markup_usd", AMOUNT),
        need("commission_usd", AMOUNT),
        need("total_usd", AMOUNT),
        need("calls", Kind::Integer(0, i64::MAX)),
    ],
);
static BREAKDOWN: Shape = shape(
    "EarningsBreakdown",
    &[
        need("period", Kind::OneOf(&PERIODS)),
        need("buckets", Kind::List(&Kind::Map, 0)),
    ],
);
static TERMS: Shape = shape(
    "ResellerTerms",
    &[
        need("id", Kind::Uuid),
        need("name", Kind::Text(0, 0)),
        need("org_type", Kind::Text(0, 0)),
        need("markup_percentage", Kind::Number(0.0, 1000.0)),
        need("commission_percentage", Kind::Number(0.0, 100.0)),
        need("currency", Kind::Text(0, 0)),
    ],
);
static MODEL: Shape = Shape {
    name: "BusinessModel",
    fields: &[need(
        "org_type",
        Kind::OneOf(&["internal", "channel_partner", "distributor"]),
    )],
    closed: true,
};
static COMMISSION: Shape = Shape {
    name: "Commission",
    fields: &[need("commission_percentage", Kind::Number(0.0, 100.0))],
    closed: true,
};
static MARKUP: Shape = Shape {
    name: "Markup",
    fields: &[
        need("markup_percentage", Kind::Number(0.0, 1000.0)),
        may("currency", Kind::Text(3, 3)),
    ],
    closed: true,
};
const PERIOD: [Field; 1] = [may("period", Kind::OneOf(&PERIODS))];

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Kupe POST "/api/v1/orgs/{org_id}/business-model", Bearer "super_admin" 200, set_model)
            .does("Whether an organisation resells")
            .takes(&MODEL)
            .answers(Kind::Object(&TERMS)),
        route!(Kupe POST "/api/v1/orgs/{org_id}/commission", Bearer "super_admin" 200, set_commission)
            .does("An organisation's share of our price")
            .takes(&COMMISSION)
            .answers(Kind::Object(&TERMS)),
        route!(Kupe POST "/api/v1/orgs/{org_id}/markup", Bearer "org_admin of a reseller org|super_admin" 200, set_markup)
            .does("What an organisation puts on top of our price for its members")
            .takes(&MARKUP)
            .answers(Kind::Object(&TERMS)),
        route!(Kupe GET "/api/v1/earnings/me", KeyOrBearer "org_admin of a reseller org" 200, mine)
            .does("What the caller's organisation has earned")
            .query(&PERIOD)
            .answers(Kind::Object(&EARNINGS)),
        route!(Kupe GET "/api/v1/earnings/me/breakdown", KeyOrBearer "org_admin of a reseller org" 200, breakdown)
            .does("The same by day or month")
            .query(&PERIOD)
            .answers(Kind::Object(&BREAKDOWN)),
        route!(Kupe GET "/api/v1/earnings/orgs/{org_id}", KeyOrBearer "super_admin" 200, of_organisation)
            .does("What an organisation has earned")
            .query(&PERIOD)
            .answers(Kind::Object(&EARNINGS)),
    ]
}

async fn set_model(cx: Context) -> Result<Response, Failure> {
    let org = own_organisation(&cx, "org_id").await?;
    super_only(&cx)?;
    let model = cx.body.owned("org_type").unwrap_or_default();
    set(
        &cx,
        org,
        "UPDATE organisations SET org_type = $2 WHERE id = $1",
        model,
    )
    .await
}

async fn set_commission(cx: Context) -> Result<Response, Failure> {
    let org = own_organisation(&cx, "org_id").await?;
    super_only(&cx)?;
    let bps = percentage(&cx, "commission_percentage")?;
    set(
        &cx,
        org,
        "UPDATE organisations SET commission_bps = $2 WHERE id = $1",
        bps,
    )
    .await
}

async fn set_markup(cx: Context) -> Result<Response, Failure> {
    let org = own_organisation(&cx, "org_id").await?;
    let bps = percentage(&cx, "markup_percentage")?;
    let currency = &cx.services.config.billing.currency;
    if cx
        .body
        .text("currency")
        .is_some_and(|code| code != currency)
    {
        let wrong = format!("there is no rate to it; amounts are in {currency}");
        return Err(Failure::field("currency", "currency", wrong));
    }
    if model(&cx, org).await? == "internal" {
        return Err(Failure::forbidden("the organisation does not resell"));
    }
    set(
        &cx,
        org,
        "UPDATE organisations SET markup_bps = $2 WHERE id = $1",
        bps,
    )
    .await
}

async fn mine(cx: Context) -> Result<Response, Failure> {
    let org = reselling(&cx).await?;
    show(&cx, org).await
}

async fn of_organisation(cx: Context) -> Result<Response, Failure> {
    let org = own_organisation(&cx, "org_id").await?;
    super_only(&cx)?;
    show(&cx, org).await
}

async fn breakdown(cx: Context) -> Result<Response, Failure> {
    let org = reselling(&cx).await?;
    let (name, period) = period(&cx);
    let store = &cx.services.store;
    let buckets = usage::earnings_by(store, org, period.start(now_us()), period.bucket()).await?;
    Ok(reply(&cx, json!({ "period": name, "buckets": buckets })))
}

async fn show(cx: &Context, org: Uuid) -> Result<Response, Failure> {
    let (name, period) = period(cx);
    let earned = usage::earnings(&cx.services.store, org, period.start(now_us())).await?;
    let body = json!({
        "period": name,
        "markup_usd": money::number(earned.markup),
        "commission_usd": money::number(earned.commission),
        "total_usd": money::number(earned.markup.saturating_add(earned.commission)),
        "calls": earned.calls,
    });
    Ok(reply(cx, body))
}

fn period(cx: &Context) -> (&str, Period) {
    let name = cx.query.text("period").unwrap_or("month");
    (name, Period::named(name).unwrap_or(Period::Month))
}

/// The caller's organisation, if it resells and the caller is its admin.
async fn reselling(cx: &Context) -> Result<Uuid, Failure> {
    let who = cx.who()?;
    let org = who.tenant.organisation();
    if !who.has(Role::Admin) {
        return Err(Failure::forbidden("this is for admins"));
    }
    if model(cx, org).await? == "internal" {
        return Err(Failure::forbidden("the organisation does not resell"));
    }
    Ok(org)
}

async fn model(cx: &Context, org: Uuid) -> Result<String, Failure> {
    let query = sql("SELECT org_type FROM organisations WHERE id = $1").bind(org);
    let row = cx.services.store.fetch_optional(query).await?;
    Ok(row.ok_or_else(Failure::not_found)?.get("org_type")?)
}

/// A percentage of the body in hundredths of a percent; finer ones are refused.
fn percentage(cx: &Context, name: &str) -> Result<i64, Failure> {
    let value = cx.body.value(name).and_then(money::from_json);
    let hundredth = money::MICROS / 100;
    value
        .filter(|micros| micros % hundredth == 0)
        .map(|micros| micros / hundredth)
        .ok_or_else(|| Failure::field(name, "precision", "must have at most two decimals"))
}

async fn set(
    cx: &Context,
    org: Uuid,
    statement: &'static str,
    value: impl Into<crate::store::Value>,
) -> Result<Response, Failure> {
    let (actor, value) = (cx.actor()?, value.into());
    let currency = cx.services.config.billing.currency.clone();
    let written = cx.services.store.write(move |conn| {
        Box::pin(async move {
            sql(statement).bind(org).bind(value).execute(conn).await?;
            actor
                .did(conn, "set_reseller_terms", ("organisation", org))
                .await?;
            let query = "SELECT id, name, org_type, markup_bps, commission_bps \
                         FROM organisations WHERE id = $1";
            let row = sql(query).bind(org).fetch_one(conn).await?;
            terms_json(&row, &currency)
        })
    });
    Ok(reply(cx, written.await?))
}

fn terms_json(row: &Row, currency: &str) -> Result<Value, StoreError> {
    let percent = |column: &str| -> Result<Value, StoreError> {
        Ok(money::number(
            row.get::<i64>(column)?.saturating_mul(10_000),
        ))
    };
    Ok(json!({
        "id": row.get::<String>("id")?,
        "name": row.get::<String>("name")?,
        "org_type": row.get::<String>("org_type")?,
        "markup_percentage": percent("markup_bps")?,
        "commission_percentage": percent("commission_bps")?,
        "currency": currency,
    }))
}
