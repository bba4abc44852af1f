//! `/webhook/livekit`: which rooms there are, as the LiveKit server tells.

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::super::failure::Failure;
use super::super::route::{Context, Rate, Route, reply, route};
use super::super::schema::{Kind, Shape, need, shape};
use crate::clock::now_us;
use crate::config::Secret;
use crate::identity::jwt::{self, Expectation};
use crate::store::sql;

/// How long an announcement is remembered, so that its repetition changes nothing.
const REMEMBER_US: i64 = 24 * 3600 * 1_000_000;

static RECEIVED: Shape = shape("Received", &[need("received", Kind::Boolean)]);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Vaani POST "/webhook/livekit", None "" 200, livekit)
            .does("Takes a signed event of the LiveKit server")
            .raw()
            .answers(Kind::Object(&RECEIVED))
            .rate(Rate::Open),
    ]
}

async fn livekit(cx: Context) -> Result<Response, Failure> {
    verify(&cx)?;
    let event = super::super::json::parse(&cx.raw);
    let event = event.map_err(|error| Failure::bad_request("json", error))?;
    let text = |value: &Value| {
        value
            .as_str()
            .filter(|text| text.len() <= 200)
            .map(str::to_owned)
    };
    let id = text(&event["id"]).ok_or_else(|| Failure::field("id", "missing", "is required"))?;
    let kind = text(&event["event"]).unwrap_or_default();
    let room = text(&event["room"]["sid"]);
    let name = text(&event["room"]["name"]).unwrap_or_default();
    let written = cx.services.store.write(move |conn| {
        Box::pin(async move {
            let now = now_us();
            sql("DELETE FROM livekit_events WHERE at < $1")
                .bind(now - REMEMBER_US)
                .execute(conn)
                .await?;
            let fresh = sql(
                "INSERT INTO livekit_events (id, at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
            );
            if fresh.bind(id).bind(now).execute(conn).await? == 0 {
                return Ok(());
            }
            // A set of rooms instead of a counter: nothing can be counted twice or below zero.
            let query = match (kind.as_str(), room) {
                ("room_started", Some(sid)) => sql(
                    "INSERT INTO livekit_rooms (sid, name, started_at) VALUES ($1, $2, $3) \
                         ON CONFLICT (sid) DO NOTHING",
                )
                .bind(sid)
                .bind(name)
                .bind(now),
                ("room_finished", Some(sid)) => {
                    sql("DELETE FROM livekit_rooms WHERE sid = $1").bind(sid)
                }
                _ => return Ok(()),
            };
            query.execute(conn).await.map(drop)
        })
    });
    written.await?;
    Ok(reply(&cx, json!({ "received": true })))
}

/// The token in the `Authorization` header is signed with the API secret and holds the SHA-256 of
/// the body.
fn verify(cx: &Context) -> Result<(), Failure> {
    let settings = &cx.services.config.livekit;
    let (Some(key), Some(secret)) = (&settings.api_key, &settings.api_secret) else {
        return Err(Failure::unauthorized("no LiveKit server is set up here"));
    };
    let token = cx
        .headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let token = token.ok_or_else(|| Failure::unauthorized("the event is not signed"))?;
    let token = token.strip_prefix("Bearer ").unwrap_or(token);
    let claims = claims(secret, key, token)
        .ok_or_else(|| Failure::unauthorized("the signature is wrong"))?;
    let said = claims["sha256"]
        .as_str()
        .and_then(|hash| STANDARD.decode(hash).ok());
    let found = Sha256::digest(&cx.raw);
    match said {
        Some(said) if said[..].ct_eq(&found[..]).into() => Ok(()),
        _ => Err(Failure::unauthorized("the signature is for another body")),
    }
}

fn claims(secret: &Secret, key: &str, token: &str) -> Option<Value> {
    let expectation = Expectation {
        audience: None,
        issuer: Some(key),
        now_s: now_us() / 1_000_000,
    };
    jwt::verify_hs256(secret.reveal().as_bytes(), token, &expectation).ok()
}
