//! `/api/v1/api-keys`: keys of the three surfaces.

use axum::response::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::route::{Context, Fields as _, Route, message, reply, route};
use super::super::schema::{Kind, Shape, may, need, shape};
use super::flags::administrated;
use super::workflows::MESSAGE;
use crate::clock::rfc3339;
use crate::config::Secret;
use crate::identity::api_key::OWN_KEY_CHARACTERS_MIN;
use crate::identity::keys::{self, KeyRequest, KeyRow};
use crate::identity::principal::{Mode, Product, Role};
use crate::store::sql;

static CREATE: Shape = shape(
    "ApiKeyCreate",
    &[
        may("api_key", Kind::Text(1, 500)),
        may("user_id", Kind::Uuid),
        may("provider_name", Kind::Text(1, 100)),
        may("name", Kind::Text(0, 200)),
        may("product", Kind::OneOf(&["kupe", "kros", "vaani"])),
        may("mode", Kind::OneOf(&["live", "test"])),
    ],
);
static EXISTS: Shape = shape(
    "ApiKeyExists",
    &[
        need("user_id", Kind::Uuid),
        need("provider_name", Kind::Text(1, 100)),
    ],
);
static RENAME: Shape = shape("ApiKeyRename", &[need("name", Kind::Text(0, 200))]);
static KEY: Shape = shape(
    "ApiKey",
    &[
        need("id", Kind::Uuid),
        need("name", Kind::Nullable(&Kind::Text(0, 0))),
        need("prefix", Kind::Text(0, 0)),
        need("provider_name", Kind::Nullable(&Kind::Text(0, 0))),
        need("product", Kind::Text(0, 0)),
        need("mode", Kind::Text(0, 0)),
        need("created_at", Kind::Time),
        need("last_used_at", Kind::Nullable(&Kind::Time)),
    ],
);
static CREATED: Shape = shape(
    "ApiKeyCreated",
    &[
        need("message", Kind::Text(0, 0)),
        need("api_key", Kind::Object(&KEY)),
    ],
);

const OWNERS: &str = "self|org_admin same org";

pub(super) fn routes() -> Vec<Route> {
    let routes = vec![
        route!(Kupe POST "/api/v1/api-keys", KeyOrBearer "self|org_admin scope" 200, create)
            .does("Makes a key, shown this once; or keeps a key the caller brings")
            .takes(&CREATE)
            .answers(Kind::Object(&CREATED)),
        route!(Kupe GET "/api/v1/api-keys/fetch/{user_id}", KeyOrBearer "self|org_admin same org" 200, list)
            .does("Active keys of a user")
            .answers(const { Kind::List(&Kind::Object(&KEY), 0) }),
        route!(Kupe POST "/api/v1/api-keys/exists", KeyOrBearer "self|org_admin same org" 200, exists)
            .does("Whether a user has an active key for a provider")
            .takes(&EXISTS)
            .answers(Kind::Boolean),
        route!(Kupe PATCH "/api/v1/api-keys/{key_id}", KeyOrBearer "self|org_admin same org" 200, rename)
            .does("Labels a key; an empty label clears it")
            .takes(&RENAME)
            .answers(Kind::Object(&KEY)),
        route!(Kupe DELETE "/api/v1/api-keys/{key_id}", KeyOrBearer "self|org_admin same org" 200, revoke)
            .does("Revokes a key from the next request on")
            .answers(Kind::Object(&MESSAGE)),
    ];
    debug_assert!(routes[1..].iter().all(|route| route.roles == OWNERS));
    routes
}

async fn create(cx: Context) -> Result<Response, Failure> {
    let who = cx.who()?;
    let user = cx.body.uuid("user_id").unwrap_or(who.user);
    if user != who.user {
        administrated(&cx, user).await?;
    }
    let product = cx
        .body
        .text("product")
        .and_then(|product| product.parse().ok());
    let provider_name = cx.body.owned("provider_name");
    let own = cx.body.owned("api_key");
    if provider_name.is_none()
        && own
            .as_ref()
            .is_some_and(|own| own.chars().count() < OWN_KEY_CHARACTERS_MIN)
    {
        let message =
            format!("a key of your own must have at least {OWN_KEY_CHARACTERS_MIN} characters");
        return Err(Failure::field("api_key", "length", message));
    }
    let product = product.unwrap_or(Product::Kupe);
    // A workspace key acts as a developer.
    if product == Product::Vaani && !who.has(Role::Developer) {
        return Err(Failure::forbidden(
            "workspace keys are made by developers and admins",
        ));
    }
    let request = KeyRequest {
        product,
        mode: if cx.body.text("mode") == Some("test") {
            Mode::Test
        } else {
            Mode::Live
        },
        user,
        name: cx.body.owned("name").filter(|name| !name.is_empty()),
        provider_name,
        own: own.map(Secret::new),
    };
    let brought = request.own.is_some();
    let (tenant, actor, vault) = (who.tenant, cx.actor()?, cx.services.identity.vault.clone());
    let made = cx.services.store.write(move |conn| {
        Box::pin(async move {
            let made = keys::create(conn, tenant, &vault, request).await?;
            actor.did(conn, "create", ("api_key", made.0.id)).await?;
            Ok(made)
        })
    });
    let (row, secret) = match made.await {
        Err(error) if error.is_unique_violation() => {
            return Err(Failure::conflict("this key is registered already"));
        }
        made => made?,
    };
    let mut key = to_json(&row);
    // What the caller brought, the caller has.
    if !brought {
        key["key"] = json!(secret.reveal());
    }
    Ok(reply(
        &cx,
        json!({ "message": "the key was created", "api_key": key }),
    ))
}

async fn list(cx: Context) -> Result<Response, Failure> {
    let user = cx.id("user_id")?;
    let who = cx.who()?;
    if user != who.user {
        administrated(&cx, user).await?;
    }
    let keys = keys::list(&cx.services.store, who.tenant, user).await?;
    Ok(reply(&cx, keys.iter().map(to_json).collect()))
}

async fn exists(cx: Context) -> Result<Response, Failure> {
    let who = cx.who()?;
    let user = cx.body.uuid("user_id").unwrap_or(who.user);
    if user != who.user {
        administrated(&cx, user).await?;
    }
    let provider = cx.body.owned("provider_name");
    let keys = keys::list(&cx.services.store, who.tenant, user).await?;
    let found = keys.iter().any(|key| key.provider_name == provider);
    Ok(reply(&cx, json!(found)))
}

async fn rename(cx: Context) -> Result<Response, Failure> {
    let id = own_key(&cx).await?;
    let tenant = cx.who()?.tenant;
    let name = cx.body.owned("name").filter(|name| !name.is_empty());
    let actor = cx.actor()?;
    let renamed = cx.services.store.write(move |conn| {
        Box::pin(async move {
            sql("UPDATE api_keys SET name = $3 WHERE id = $1 AND org_id = $2")
                .bind(id)
                .bind(tenant.organisation())
                .bind(name)
                .execute(conn)
                .await?;
            actor.did(conn, "rename", ("api_key", id)).await?;
            keys::find(conn, tenant, id).await
        })
    });
    let key = renamed.await?.ok_or_else(Failure::not_found)?;
    Ok(reply(&cx, to_json(&key)))
}

async fn revoke(cx: Context) -> Result<Response, Failure> {
    let id = own_key(&cx).await?;
    let (tenant, actor) = (cx.who()?.tenant, cx.actor()?);
    let revoked = cx.services.store.write(move |conn| {
        Box::pin(async move {
            actor.did(conn, "revoke", ("api_key", id)).await?;
            keys::revoke(conn, tenant, id).await
        })
    });
    if revoked.await? {
        Ok(message(&cx, "the key was revoked"))
    } else {
        Err(Failure::not_found())
    }
}

/// The key of the path, which is the caller's or one an admin may touch.
async fn own_key(cx: &Context) -> Result<Uuid, Failure> {
    let who = cx.who()?;
    let id = cx.id("key_id")?;
    let key = keys::find(&mut cx.services.store.read().await?, who.tenant, id).await?;
    let key = key.ok_or_else(Failure::not_found)?;
    if key.user != who.user && !who.has(Role::Admin) {
        return Err(Failure::forbidden("the key belongs to another user"));
    }
    Ok(id)
}

fn to_json(key: &KeyRow) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "provider_name": key.provider_name,
        "product": key.product,
        "mode": key.mode,
        "created_at": rfc3339(key.created_at),
        "last_used_at": key.last_used_at.map(rfc3339),
    })
}
