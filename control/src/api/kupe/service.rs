//! `/health` and `/api/v1/me`.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::super::failure::Failure;
use super::super::route::{Answer, Context, Rate, Route, reply, route};
use super::super::schema::{Kind, Shape, need, shape};
use crate::clock::now_us;
use crate::identity::accounts;
use crate::store::sql;

static HEALTH: Shape = shape(
    "Health",
    &[
        need("status", Kind::Text(0, 0)),
        need("timestamp", Kind::Number(0.0, 1e12)),
        need("service", Kind::Text(0, 0)),
        need("database", Kind::Text(0, 0)),
        need("version", Kind::Text(0, 0)),
    ],
);
static ME: Shape = shape(
    "Me",
    &[
        need("user_id", Kind::Uuid),
        need("email", Kind::Nullable(&Kind::Text(0, 0))),
        need("phone", Kind::Nullable(&Kind::Text(0, 0))),
        need("profile_image_url", Kind::Nullable(&Kind::Text(0, 0))),
        need("full_name", Kind::Nullable(&Kind::Text(0, 0))),
        need("auth", Kind::OneOf(&["bearer", "api_key"])),
        need("user_metadata", Kind::Map),
    ],
);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Kupe GET "/health", None "" 200, health)
            .does("Whether the server and its database answer")
            .answers(Kind::Object(&HEALTH))
            .rate(Rate::Usual),
        route!(Kupe GET "/api/v1/me", KeyOrBearer "any" 200, me)
            .does("Who calls")
            .answers(Kind::Object(&ME)),
        route!(Kupe POST "/organizations/{id}/billing/assign-credits", None "" 410, gone)
            .does("Was replaced by grants to wallets")
            .answers_with(Answer::Empty)
            .rate(Rate::Open),
        route!(Kupe GET "/api/v1/billing/balance-history", KeyOrBearer "any" 410, gone)
            .does("Was replaced by the ledger of a wallet")
            .answers_with(Answer::Empty),
    ]
}

async fn health(cx: Context) -> Result<Response, Failure> {
    let store = &cx.services.store;
    if !store.is_open() || store.fetch_one(sql("SELECT 1 AS one")).await.is_err() {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Err(Failure::new(
            status,
            "database",
            "the database does not answer",
        ));
    }
    let body = json!({
        "status": "healthy",
        "timestamp": now_us() as f64 / 1e6,
        "service": "samvad",
        "database": "connected",
        "version": env!("CARGO_PKG_VERSION"),
    });
    Ok(reply(&cx, body))
}

async fn gone(_: Context) -> Result<Response, Failure> {
    let message = "Gone; use POST /api/v1/wallets/{wallet_id}/grants";
    Err(Failure::new(StatusCode::GONE, "gone", message))
}

async fn me(cx: Context) -> Result<Response, Failure> {
    let who = cx.who()?;
    let user = accounts::find_user(&mut cx.services.store.read().await?, who.user).await?;
    let user = user.ok_or_else(|| Failure::unauthorized("the account is gone"))?;
    let body = json!({
        "user_id": user.id,
        "email": user.email,
        "phone": user.phone,
        "profile_image_url": user.profile_image_url,
        "full_name": user.name,
        "auth": if who.is_key() { "api_key" } else { "bearer" },
        "user_metadata": user.metadata,
    });
    Ok(reply(&cx, body))
}
