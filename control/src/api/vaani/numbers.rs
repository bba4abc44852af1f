//! `/phonenumbers`: the workspace's numbers and SIP trunks.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::kupe::MESSAGE;
use super::super::route::{Context, Fields as _, Rate, Route, is_local, message, reply, route};
use super::super::schema::{Field, Invalid, Kind, Shape, e164, may, need, shape};
use crate::carriers::request_origin::base_url;
use crate::carriers::twilio_numbers::{TwilioNumbers, TwilioNumbersError};
use crate::clock::rfc3339;
use crate::config::Secret;
use crate::numbers::lines::{self, Line, NewLine, Target};
use crate::numbers::trunks::{self, Trunk, TrunkFields};
use crate::store::StoreError;

const TRUNK_FIELDS: [Field; 7] = [
    may("email", Kind::Text(0, 254)),
    may("provider", Kind::Text(0, 100)),
    may("auth_username", Kind::Text(0, 200)),
    may("auth_password", Kind::Text(0, 200)),
    may("krisp_enabled", Kind::Boolean),
    may("label", Kind::Text(0, 200)),
    may("country_code", Kind::Text(0, 2)),
];
static TRUNK: Shape = shape(
    "SipTrunkCreate",
    &[
        need("sip_address", Kind::Text(1, 255)),
        need("phone_number", Kind::Phone),
        TRUNK_FIELDS[0],
        TRUNK_FIELDS[1],
        TRUNK_FIELDS[2],
        TRUNK_FIELDS[3],
        TRUNK_FIELDS[4],
        TRUNK_FIELDS[5],
        TRUNK_FIELDS[6],
    ],
);
static TRUNK_CHANGE: Shape = shape(
    "SipTrunkUpdate",
    &[
        may("sip_address", Kind::Text(1, 255)),
        TRUNK_FIELDS[0],
        TRUNK_FIELDS[1],
        TRUNK_FIELDS[2],
        TRUNK_FIELDS[3],
        TRUNK_FIELDS[4],
        TRUNK_FIELDS[5],
    ],
);
static MAP: Shape = shape(
    "MapAgent",
    &[
        need("phone_number", Kind::Phone),
        need("agent_id", Kind::Uuid),
    ],
);
static PURCHASE: Shape = shape(
    "PurchaseNumber",
    &[
        need("phone_number", Kind::Phone),
        need("provider", Kind::OneOf(&["twilio", "vonage"])),
        need("country_code", Kind::Text(2, 2)),
    ],
);
static AVAILABLE: Shape = shape(
    "AvailableNumber",
    &[
        need("phone_number", Kind::Any),
        need("locality", Kind::Any),
        need("region", Kind::Any),
        need("capabilities", Kind::Any),
        need("monthly_price", Kind::Any),
    ],
);
static NUMBER: Shape = shape(
    "PhoneNumber",
    &[
        need("id", Kind::Uuid),
        need("phone_number", Kind::Phone),
        need("provider", Kind::Text(0, 0)),
        need("label", Kind::Nullable(&Kind::Text(0, 0))),
        need("agent_id", Kind::Nullable(&Kind::Uuid)),
        need("sip_address", Kind::Nullable(&Kind::Text(0, 0))),
        need("auth_username", Kind::Nullable(&Kind::Text(0, 0))),
        need("is_active", Kind::Boolean),
        need("created_at", Kind::Time),
    ],
);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Vaani GET "/phonenumbers", CookieOrKey "M|D|A" 200, list)
            .does("Numbers of the workspace")
            .answers(const { Kind::List(&Kind::Object(&NUMBER), 0) }),
        route!(Vaani GET "/phonenumbers/search", None "" 200, search)
            .does("Numbers that may be bought; for this machine unless opened")
            .query(
                const {
                    &[
                        need("country_code", Kind::Text(2, 2)),
                        may("area_code", Kind::Integer(0, 999_999)),
                        need("provider", Kind::OneOf(&["twilio", "vonage"])),
                    ]
                },
            )
            .answers(const { Kind::List(&Kind::Object(&AVAILABLE), 0) })
            .rate(Rate::Open),
        route!(Vaani POST "/phonenumbers/purchase", CookieOrKey "D|A" 201, purchase)
            .does("Buys a number and has its calls announced here")
            .takes(&PURCHASE)
            .answers(Kind::Object(&NUMBER))
            .idempotent(),
        route!(Vaani POST "/phonenumbers/sip_trunk", CookieOrKey "D|A" 201, register)
            .does("Registers a SIP trunk with its number; the password is never shown again")
            .takes(&TRUNK)
            .answers(Kind::Object(&NUMBER))
            .idempotent(),
        route!(Vaani PUT "/phonenumbers/map_agent", CookieOrKey "M|D|A" 200, map)
            .does("Has an agent answer a number from the next call on")
            .takes(&MAP)
            .answers(Kind::Object(&NUMBER)),
        route!(Vaani PUT "/phonenumbers/update_sip/{number}", CookieOrKey "D|A" 200, update)
            .does("Changes the trunk of a number")
            .takes(&TRUNK_CHANGE)
            .answers(Kind::Object(&NUMBER)),
        route!(Vaani DELETE "/phonenumbers/delete_sip/{number}", CookieOrKey "D|A" 200, delete)
            .does("Removes a number with its trunk")
            .answers(Kind::Object(&MESSAGE)),
    ]
}

async fn list(cx: Context) -> Result<Response, Failure> {
    let (store, tenant) = (&cx.services.store, cx.who()?.tenant);
    let lines = lines::list(store, tenant).await?;
    let mut conn = store.read().await?;
    let mut numbers = Vec::with_capacity(lines.len());
    for line in &lines {
        let trunk = match line.trunk {
            Some(id) => trunks::find(&mut conn, tenant, id).await?,
            None => None,
        };
        numbers.push(to_json(line, trunk.as_ref()));
    }
    Ok(reply(&cx, json!(numbers)))
}

/// What the carrier is asked for costs its quota, so strangers may not ask unless told otherwise.
async fn search(cx: Context) -> Result<Response, Failure> {
    if !cx.services.config.openness.vaani && !is_local(&cx) {
        let message = "numbers are searched from this machine only; see openness.vaani";
        return Err(Failure::forbidden(message));
    }
    let country = country(cx.query.text("country_code"), "country_code")?;
    let twilio = twilio(&cx, cx.query.text("provider"))?;
    let area_code = cx.query.integer("area_code").map(|code| code.to_string());
    let found = twilio
        .search(&country, area_code.as_deref())
        .await
        .map_err(carrier_failed)?;
    Ok(reply(&cx, json!(found)))
}

async fn purchase(cx: Context) -> Result<Response, Failure> {
    let country = country(cx.body.text("country_code"), "country_code")?;
    let twilio = twilio(&cx, cx.body.text("provider"))?;
    let number = cx.body.phone("phone_number").unwrap_or_default();
    let tenant = cx.who()?.tenant;
    // Whoever has it, it cannot be bought again.
    let taken = lines::find_for_call(&mut cx.services.store.read().await?, &number).await?;
    if taken.is_some() {
        return Err(Failure::conflict("this number is registered already"));
    }
    let base = base_url(&cx.services.config, &cx.headers);
    let voice_url = format!("{base}/carriers/twilio/voice");
    let sid = twilio
        .buy(&number, &voice_url)
        .await
        .map_err(carrier_failed)?;
    let new = NewLine {
        number,
        friendly_name: None,
        country_code: Some(country),
        provider: "twilio".to_owned(),
        carrier_sid: Some(sid.clone()),
        trunk: None,
    };
    let actor = cx.actor()?;
    let made = cx
        .services
        .store
        .write(move |conn| Box::pin(async move { lines::create(conn, tenant, new, &actor).await }));
    match made.await {
        Ok(line) => Ok(reply(&cx, to_json(&line, None))),
        Err(error) => {
            // Nobody shall pay for a number that nobody has.
            if let Err(error) = twilio.release(&sid).await {
                tracing::error!(%error, sid, "a number that could not be kept was not given back");
            }
            Err(error.into())
        }
    }
}

fn twilio<'a>(cx: &'a Context, provider: Option<&str>) -> Result<TwilioNumbers<'a>, Failure> {
    if provider != Some("twilio") {
        let message = "numbers of this provider cannot be bought on this installation";
        return Err(Failure::field("provider", "unknown_provider", message));
    }
    TwilioNumbers::new(&cx.services.config.carriers.twilio).map_err(carrier_failed)
}

fn carrier_failed(error: TwilioNumbersError) -> Failure {
    match error {
        TwilioNumbersError::NotSetUp => Failure::bad_request("not_set_up", error.to_string()),
        TwilioNumbersError::Refused(_) => Failure::bad_request("carrier", error.to_string()),
        TwilioNumbersError::Unreachable(_) => {
            tracing::warn!(%error, "the carrier failed");
            Failure::new(
                StatusCode::BAD_GATEWAY,
                "carrier",
                "the carrier does not answer",
            )
        }
    }
}

fn country(code: Option<&str>, field: &str) -> Result<String, Failure> {
    let code = code.unwrap_or_default();
    if code.len() == 2 && code.chars().all(|c| c.is_ascii_alphabetic()) {
        return Ok(code.to_ascii_uppercase());
    }
    Err(Failure::field(
        field,
        "country",
        "must be two letters, like US",
    ))
}

async fn register(cx: Context) -> Result<Response, Failure> {
    let fields = trunk_fields(&cx)?;
    let new = NewLine {
        number: cx.body.phone("phone_number").unwrap_or_default(),
        friendly_name: cx.body.owned("label"),
        country_code: cx
            .body
            .owned("country_code")
            .filter(|code| !code.is_empty()),
        provider: "sip".to_owned(),
        carrier_sid: None,
        trunk: None,
    };
    let (tenant, actor) = (cx.who()?.tenant, cx.actor()?);
    let vault = cx.services.identity.vault.clone();
    let made = cx.services.store.write(move |conn| {
        Box::pin(async move {
            let trunk = trunks::create(conn, tenant, &vault, fields, &actor).await?;
            let new = NewLine {
                trunk: Some(trunk.id),
                ..new
            };
            let line = lines::create(conn, tenant, new, &actor).await?;
            Ok((line, trunk))
        })
    });
    let (line, trunk) = made.await?;
    cx.services.trunks.changed();
    Ok(reply(&cx, to_json(&line, Some(&trunk))))
}

async fn map(cx: Context) -> Result<Response, Failure> {
    let number = cx.body.phone("phone_number").unwrap_or_default();
    let agent = cx.body.uuid("agent_id").unwrap_or_default();
    let (tenant, actor) = (cx.who()?.tenant, cx.actor()?);
    let mapped = cx.services.store.write(move |conn| {
        Box::pin(async move {
            let line = lines::find_by_number(conn, tenant, &number).await?;
            let line = line.ok_or_else(|| StoreError::Declined(Box::new(Failure::not_found())))?;
            let target = Some(Target::Agent(agent));
            let line = lines::map(conn, tenant, line.id, target, &actor).await?;
            let trunk = match line.trunk {
                Some(id) => trunks::find(conn, tenant, id).await?,
                None => None,
            };
            Ok((line, trunk))
        })
    });
    let (line, trunk) = mapped.await?;
    Ok(reply(&cx, to_json(&line, trunk.as_ref())))
}

async fn update(cx: Context) -> Result<Response, Failure> {
    let fields = trunk_fields(&cx)?;
    let number = number(&cx)?;
    let (tenant, actor) = (cx.who()?.tenant, cx.actor()?);
    let vault = cx.services.identity.vault.clone();
    let changed = cx.services.store.write(move |conn| {
        Box::pin(async move {
            let not_found = || StoreError::Declined(Box::new(Failure::not_found()));
            let line = lines::find_by_number(conn, tenant, &number)
                .await?
                .ok_or_else(not_found)?;
            let id = line.trunk.ok_or_else(not_found)?;
            let trunk = trunks::update(conn, tenant, &vault, id, fields, &actor).await?;
            Ok((line, trunk))
        })
    });
    let (line, trunk) = changed.await?;
    cx.services.trunks.changed();
    Ok(reply(&cx, to_json(&line, trunk.as_ref())))
}

async fn delete(cx: Context) -> Result<Response, Failure> {
    let number = number(&cx)?;
    let (tenant, actor) = (cx.who()?.tenant, cx.actor()?);
    let deleted = cx.services.store.write(move |conn| {
        Box::pin(async move {
            let not_found = || StoreError::Declined(Box::new(Failure::not_found()));
            let line = lines::find_by_number(conn, tenant, &number)
                .await?
                .ok_or_else(not_found)?;
            let trunk = line.trunk.ok_or_else(not_found)?;
            lines::delete(conn, tenant, line.id, &actor).await?;
            trunks::delete(conn, tenant, trunk, &actor).await
        })
    });
    deleted.await?;
    cx.services.trunks.changed();
    Ok(message(&cx, "the number and its trunk were removed"))
}

fn number(cx: &Context) -> Result<String, Failure> {
    let text = cx.path.get("number").map_or("", String::as_str);
    e164(text).ok_or_else(Failure::not_found)
}

fn trunk_fields(cx: &Context) -> Result<TrunkFields, Failure> {
    let body = &cx.body;
    let sip_address = body.owned("sip_address");
    if let Some(address) = &sip_address {
        let host = address.strip_prefix("sip:").unwrap_or(address);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:[]".contains(c);
        if host.is_empty() || !host.chars().all(plain) {
            let message = "must be a host name or address, with a port where it is not 5060";
            return Err(Failure::invalid(vec![Invalid::new(
                "sip_address",
                "host",
                message,
            )]));
        }
    }
    let printable = |text: &String| text.chars().all(|c| !c.is_control() && c != '"');
    let auth_username = body.owned("auth_username");
    if auth_username.as_ref().is_some_and(|user| !printable(user)) {
        return Err(Failure::field(
            "auth_username",
            "characters",
            "must be plain text",
        ));
    }
    Ok(TrunkFields {
        label: body.owned("label"),
        provider: body.owned("provider"),
        sip_address: sip_address.map(|a| a.strip_prefix("sip:").unwrap_or(&a).to_owned()),
        auth_username,
        auth_password: body.owned("auth_password").map(Secret::new),
        email: body.owned("email"),
        krisp_enabled: body.flag("krisp_enabled"),
    })
}

fn to_json(line: &Line, trunk: Option<&Trunk>) -> Value {
    let agent = match line.target {
        Some(Target::Agent(id)) => Some(id),
        _ => None,
    };
    json!({
        "id": line.id,
        "phone_number": line.number,
        "provider": trunk.and_then(|t| t.provider.clone()).unwrap_or_else(|| line.provider.clone()),
        "label": trunk.and_then(|t| t.label.clone()).or_else(|| line.friendly_name.clone()),
        "agent_id": agent,
        "sip_address": trunk.map(|t| &t.sip_address),
        "auth_username": trunk.and_then(|t| t.auth_username.as_ref()),
        "email": trunk.and_then(|t| t.email.as_ref()),
        "krisp_enabled": trunk.is_some_and(|t| t.krisp_enabled),
        "is_active": line.active,
        "created_at": rfc3339(line.created_at),
    })
}
