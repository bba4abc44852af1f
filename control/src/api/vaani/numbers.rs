//! `/phonenumbers`: the workspace's numbers and SIP trunks.

use axum::response::Response;
use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::kupe::MESSAGE;
use super::super::route::{Context, Fields as _, Route, message, reply, route};
use super::super::schema::{Field, Invalid, Kind, Shape, e164, may, need, shape};
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
