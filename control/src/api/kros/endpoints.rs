//! `/endpoints`: where calls are sent on to.

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::route::{Answer, Context, Fields as _, Route, reply, route};
use super::super::schema::{Kind, Shape, may, need, shape};
use crate::clock::now_us;
use crate::identity::vault::Place;
use crate::numbers::endpoints::{self, Endpoint, KINDS, STATES};
use crate::numbers::lines::{self, Target};
use crate::store::StoreError;

static CREATE: Shape = shape(
    "EndpointCreate",
    &[
        need("name", Kind::Text(1, 100)),
        need("type", Kind::OneOf(KINDS)),
        may("url", Kind::Text(1, 2_000)),
        may("provider_config", Kind::Map),
        may("phone_number_id", Kind::Uuid),
    ],
);
static UPDATE: Shape = shape(
    "EndpointUpdate",
    &[
        may("name", Kind::Text(1, 100)),
        may("url", Kind::Text(1, 2_000)),
        may("status", Kind::OneOf(STATES)),
        may("provider_config", Kind::Map),
    ],
);
static ENDPOINT: Shape = shape(
    "Endpoint",
    &[
        need("id", Kind::Uuid),
        need("name", Kind::Text(0, 0)),
        need("type", Kind::OneOf(KINDS)),
        need("url", Kind::Text(0, 0)),
        need("status", Kind::OneOf(STATES)),
        need("provider_config", Kind::Map),
        need("organization_id", Kind::Uuid),
        need("created_at", Kind::Time),
        need("updated_at", Kind::Time),
    ],
);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Kros GET "/endpoints", KeyOrBearer "org member" 200, list)
            .does("Endpoints of the organisation")
            .query(
                const {
                    &[
                        may("type", Kind::OneOf(KINDS)),
                        may("status", Kind::OneOf(STATES)),
                        may("limit", Kind::Integer(1, 100)),
                        may("offset", Kind::Integer(0, 1_000_000)),
                    ]
                },
            )
            .answers(const { Kind::List(&Kind::Object(&ENDPOINT), 0) }),
        route!(Kros POST "/endpoints", KeyOrBearer "org member" 201, create)
            .does("Makes an endpoint; a webhook's signing secret is shown this once")
            .takes(&CREATE)
            .answers(Kind::Object(&ENDPOINT))
            .idempotent(),
        route!(Kros GET "/endpoints/{id}", KeyOrBearer "org member" 200, show)
            .does("An endpoint")
            .answers(Kind::Object(&ENDPOINT)),
        route!(Kros DELETE "/endpoints/{id}", KeyOrBearer "org member" 204, delete)
            .does("Deletes an endpoint; lines mapped to it lose their target")
            .answers_with(Answer::Empty),
        route!(Kros PATCH "/endpoints/{id}", KeyOrBearer "org member" 200, update)
            .does("Changes an endpoint; its type stays")
            .takes(&UPDATE)
            .answers(Kind::Object(&ENDPOINT)),
    ]
}

async fn list(cx: Context) -> Result<Response, Failure> {
    let who = cx.who()?;
    let filter = (cx.query.text("type"), cx.query.text("status"));
    let page = (
        cx.query.integer("limit").unwrap_or(50),
        cx.query.integer("offset").unwrap_or(0),
    );
    let found = endpoints::list(&cx.services.store, who.tenant, who.mode, filter, page).await?;
    Ok(reply(&cx, found.iter().map(Endpoint::to_json).collect()))
}

async fn create(cx: Context) -> Result<Response, Failure> {
    let who = cx.who()?;
    let kind = cx.body.owned("type").unwrap_or_default();
    let mut config = provider_config(&cx.body);
    let url = endpoints::address(
        &kind,
        cx.body.text("url"),
        &config,
        cx.services.endpoint_client.guard(),
    )?;
    let id = Uuid::now_v7();
    let place = place(id, who.tenant.organisation());
    let signing = (kind == "webhook")
        .then(|| format!("whsec_{}", STANDARD.encode(rand::random::<[u8; 32]>())));
    let password = config
        .remove("password")
        .and_then(|p| p.as_str().map(str::to_owned));
    let secret = signing.clone().or(password);
    let sealed = secret.map(|secret| cx.services.identity.vault.seal(place, &secret));
    let now = now_us();
    let endpoint = Endpoint {
        id,
        org: who.tenant.organisation(),
        name: cx.body.owned("name").unwrap_or_default(),
        kind,
        url,
        status: "active".to_owned(),
        provider_config: Value::Object(config),
        sealed,
        created_at: now,
        updated_at: now,
    };
    let mut body = endpoint.to_json();
    if let Some(signing) = signing {
        body["secret"] = json!(signing);
    }
    let line = cx.body.uuid("phone_number_id");
    let (tenant, mode, actor) = (who.tenant, who.mode, cx.actor()?);
    let made = cx.services.store.write(move |conn| {
        Box::pin(async move {
            endpoints::create(conn, tenant, mode, endpoint, &actor).await?;
            if let Some(line) = line {
                lines::map(conn, tenant, line, Some(Target::Endpoint(id)), &actor).await?;
            }
            Ok(())
        })
    });
    made.await?;
    Ok(reply(&cx, body))
}

async fn show(cx: Context) -> Result<Response, Failure> {
    let (who, id) = (cx.who()?, cx.id("id")?);
    let mut conn = cx.services.store.read().await?;
    let endpoint = endpoints::find(&mut conn, who.tenant, who.mode, id).await?;
    let endpoint = endpoint.ok_or_else(Failure::not_found)?;
    Ok(reply(&cx, endpoint.to_json()))
}

async fn update(cx: Context) -> Result<Response, Failure> {
    let (who, id) = (cx.who()?, cx.id("id")?);
    let (tenant, mode, actor) = (who.tenant, who.mode, cx.actor()?);
    let vault = cx.services.identity.vault.clone();
    let guard = cx.services.endpoint_client.guard().clone();
    let body = cx.body.clone();
    let changed = cx.services.store.write(move |conn| {
        Box::pin(async move {
            let decline = |failure: Failure| StoreError::Declined(Box::new(failure));
            let found = endpoints::find(conn, tenant, mode, id).await?;
            let mut endpoint = found.ok_or_else(|| decline(Failure::not_found()))?;
            endpoint.name = body.owned("name").unwrap_or(endpoint.name);
            endpoint.status = body.owned("status").unwrap_or(endpoint.status);
            let given = ["webhook", "custom_sip"].contains(&endpoint.kind.as_str());
            if body.value("provider_config").is_some() || (given && body.text("url").is_some()) {
                let mut config = match body.value("provider_config") {
                    Some(_) => provider_config(&body),
                    None => endpoint
                        .provider_config
                        .as_object()
                        .cloned()
                        .unwrap_or_default(),
                };
                let url = body.text("url").or(given.then_some(endpoint.url.as_str()));
                endpoint.url =
                    endpoints::address(&endpoint.kind, url, &config, &guard).map_err(decline)?;
                if let Some(Value::String(password)) = config.remove("password") {
                    let place = place(id, tenant.organisation());
                    endpoint.sealed = Some(vault.seal(place, &password));
                }
                endpoint.provider_config = Value::Object(config);
            }
            endpoints::update(conn, tenant, &endpoint, &actor).await?;
            endpoints::find(conn, tenant, mode, id).await
        })
    });
    let endpoint = changed.await?.ok_or_else(Failure::not_found)?;
    Ok(reply(&cx, endpoint.to_json()))
}

async fn delete(cx: Context) -> Result<Response, Failure> {
    let (who, id) = (cx.who()?, cx.id("id")?);
    let (tenant, mode, actor) = (who.tenant, who.mode, cx.actor()?);
    let deleted = cx.services.store.write(move |conn| {
        Box::pin(async move { endpoints::delete(conn, tenant, mode, id, &actor).await })
    });
    if deleted.await? {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(Failure::not_found())
    }
}

fn provider_config(body: &Map<String, Value>) -> Map<String, Value> {
    match body.value("provider_config") {
        Some(Value::Object(config)) => config.clone(),
        _ => Map::new(),
    }
}

fn place(id: Uuid, org: Uuid) -> Place {
    Place {
        table: "endpoints",
        row: id,
        organisation: org,
    }
}
