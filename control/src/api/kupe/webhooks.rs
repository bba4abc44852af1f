//! `/api/v1/webhooks`: where events of calls are sent.

use axum::response::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::route::{Context, Fields as _, Route, message, reply, route};
use super::super::schema::{Kind, Shape, may, need, parse_time, shape};
use super::workflows::MESSAGE;
use crate::identity::principal::Role;
use crate::store::Tenant;
use crate::webhooks::endpoints::{self, EndpointChange};
use crate::webhooks::outbox::{CALL_ENDED, CALL_FAILED, KINDS};

static ENDPOINT: Shape = shape(
    "WebhookWrite",
    &[
        need("url", Kind::Url(&["http", "https"])),
        may("format", Kind::OneOf(&["standard", "kupe"])),
        may(
            "events",
            Kind::List(&Kind::OneOf(&[CALL_ENDED, CALL_FAILED]), KINDS.len()),
        ),
        may("enabled", Kind::Boolean),
    ],
);
static ROW: Shape = shape(
    "Webhook",
    &[
        need("id", Kind::Uuid),
        need("url", Kind::Text(0, 0)),
        need("format", Kind::OneOf(&["standard", "kupe"])),
        need("events", Kind::List(&Kind::Text(0, 0), 0)),
        need("enabled", Kind::Boolean),
        need("disabled_reason", Kind::Nullable(&Kind::Text(0, 0))),
        need("failing_since", Kind::Nullable(&Kind::Time)),
        need("last_success_at", Kind::Nullable(&Kind::Time)),
        need("created_at", Kind::Time),
        may("secret", Kind::Text(0, 0)),
    ],
);
static REPLAY: Shape = shape(
    "WebhookReplay",
    &[may("delivery_id", Kind::Uuid), may("since", Kind::Time)],
);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Kupe GET "/api/v1/webhooks", KeyOrBearer "any" 200, list)
            .does("Webhooks of the organisation with their health")
            .answers(const { Kind::List(&Kind::Object(&ROW), 0) })
            .added(),
        route!(Kupe POST "/api/v1/webhooks", KeyOrBearer "any" 201, create)
            .does("Adds a webhook; its secret is shown this once")
            .takes(&ENDPOINT)
            .answers(Kind::Object(&ROW))
            .added()
            .idempotent(),
        route!(Kupe GET "/api/v1/webhooks/{webhook_id}", KeyOrBearer "any" 200, show)
            .does("A webhook with its health")
            .answers(Kind::Object(&ROW))
            .added(),
        route!(Kupe PUT "/api/v1/webhooks/{webhook_id}", KeyOrBearer "any" 200, update)
            .does("Changes a webhook, or switches it on again")
            .takes(&ENDPOINT)
            .answers(Kind::Object(&ROW))
            .added(),
        route!(Kupe POST "/api/v1/webhooks/{webhook_id}/rotate-secret", KeyOrBearer "any" 200, rotate)
            .does("Makes a new secret; the old one signs too for a day")
            .answers(Kind::Object(&ROW))
            .added(),
        route!(Kupe POST "/api/v1/webhooks/{webhook_id}/test", KeyOrBearer "any" 200, test)
            .does("Sends a test event")
            .answers(Kind::Map)
            .added(),
        route!(Kupe POST "/api/v1/webhooks/{webhook_id}/replay", KeyOrBearer "any" 200, replay)
            .does("Sends one delivery again, or all since a time that have not arrived")
            .takes(&REPLAY)
            .answers(Kind::Map)
            .added(),
        route!(Kupe GET "/api/v1/webhooks/{webhook_id}/deliveries", KeyOrBearer "any" 200, deliveries)
            .does("Deliveries of a webhook, newest first")
            .query(
                const {
                    &[
                        may("page", Kind::Integer(1, 1_000_000)),
                        may("page_size", Kind::Integer(1, 100)),
                    ]
                },
            )
            .answers(Kind::Map)
            .added(),
        route!(Kupe DELETE "/api/v1/webhooks/{webhook_id}", KeyOrBearer "any" 200, delete)
            .does("Deletes a webhook with its deliveries")
            .answers(Kind::Object(&MESSAGE))
            .added(),
    ]
}

/// Whose webhooks, for those who may write them.
fn writer(cx: &Context) -> Result<Tenant, Failure> {
    let who = cx.who()?;
    if who.has(Role::Developer) {
        Ok(who.tenant)
    } else {
        Err(Failure::forbidden("this needs the role developer"))
    }
}

async fn list(cx: Context) -> Result<Response, Failure> {
    let endpoints = endpoints::list(&cx.services.store, cx.who()?.tenant).await?;
    Ok(reply(
        &cx,
        endpoints
            .iter()
            .map(|endpoint| endpoint.to_json(None))
            .collect(),
    ))
}

async fn show(cx: Context) -> Result<Response, Failure> {
    let id = cx.id("webhook_id")?;
    let mut conn = cx.services.store.read().await?;
    let endpoint = endpoints::find(&mut conn, cx.who()?.tenant, id).await?;
    drop(conn);
    Ok(reply(&cx, endpoint.to_json(None)))
}

async fn create(cx: Context) -> Result<Response, Failure> {
    let tenant = writer(&cx)?;
    let change = read(&cx)?;
    let (whose, actor) = ((tenant, cx.who()?.user), cx.actor()?);
    let vault = cx.services.identity.vault.clone();
    let made = cx.services.store.write(move |conn| {
        Box::pin(async move { endpoints::create(conn, &vault, whose, change, &actor).await })
    });
    let (endpoint, secret) = made.await?;
    Ok(reply(&cx, endpoint.to_json(Some(&secret))))
}

async fn update(cx: Context) -> Result<Response, Failure> {
    let (tenant, id) = (writer(&cx)?, cx.id("webhook_id")?);
    let (change, actor) = (read(&cx)?, cx.actor()?);
    let changed = cx.services.store.write(move |conn| {
        Box::pin(async move { endpoints::update(conn, tenant, id, change, &actor).await })
    });
    let endpoint = changed.await?;
    cx.services.webhooks.wake();
    Ok(reply(&cx, endpoint.to_json(None)))
}

async fn rotate(cx: Context) -> Result<Response, Failure> {
    let (tenant, id, actor) = (writer(&cx)?, cx.id("webhook_id")?, cx.actor()?);
    let vault = cx.services.identity.vault.clone();
    let rotated = cx.services.store.write(move |conn| {
        Box::pin(async move { endpoints::rotate(conn, &vault, tenant, id, &actor).await })
    });
    let (endpoint, secret) = rotated.await?;
    Ok(reply(&cx, endpoint.to_json(Some(&secret))))
}

async fn test(cx: Context) -> Result<Response, Failure> {
    let (tenant, id, actor) = (writer(&cx)?, cx.id("webhook_id")?, cx.actor()?);
    let sent = cx.services.store.write(move |conn| {
        Box::pin(async move { endpoints::send_test(conn, tenant, id, &actor).await })
    });
    let event: Uuid = sent.await?;
    cx.services.webhooks.wake();
    Ok(reply(&cx, json!({ "event_id": event })))
}

async fn replay(cx: Context) -> Result<Response, Failure> {
    let (tenant, id, actor) = (writer(&cx)?, cx.id("webhook_id")?, cx.actor()?);
    let which = (
        cx.body.uuid("delivery_id"),
        cx.body.text("since").and_then(parse_time),
    );
    let replayed = cx.services.store.write(move |conn| {
        Box::pin(async move { endpoints::replay(conn, tenant, id, which, &actor).await })
    });
    let count = replayed.await?;
    cx.services.webhooks.wake();
    Ok(reply(&cx, json!({ "replayed": count })))
}

async fn deliveries(cx: Context) -> Result<Response, Failure> {
    let id = cx.id("webhook_id")?;
    let store = &cx.services.store;
    endpoints::find(&mut store.read().await?, cx.who()?.tenant, id).await?;
    let page = cx.query.integer("page").unwrap_or(1);
    let size = cx.query.integer("page_size").unwrap_or(25);
    let (items, total) = endpoints::deliveries(store, id, (page - 1) * size, size).await?;
    let body = json!({ "items": items, "total": total, "page": page, "page_size": size });
    Ok(reply(&cx, body))
}

async fn delete(cx: Context) -> Result<Response, Failure> {
    let (tenant, id, actor) = (writer(&cx)?, cx.id("webhook_id")?, cx.actor()?);
    let deleted = cx.services.store.write(move |conn| {
        Box::pin(async move { endpoints::delete(conn, tenant, id, &actor).await })
    });
    deleted.await?;
    Ok(message(&cx, "the webhook was deleted"))
}

fn read(cx: &Context) -> Result<EndpointChange, Failure> {
    let url = cx.body.owned("url").unwrap_or_default();
    let checked = cx.services.tools.check_url(&url);
    checked.map_err(|fault| Failure::field("url", "address", fault.message))?;
    Ok(EndpointChange {
        url,
        format: cx
            .body
            .owned("format")
            .unwrap_or_else(|| "standard".to_owned()),
        events: cx
            .body
            .value("events")
            .cloned()
            .unwrap_or_else(|| Value::Array(Vec::new())),
        enabled: cx.body.flag("enabled").unwrap_or(true),
    })
}
