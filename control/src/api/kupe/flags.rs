//! `/api/v1/feature-flags`.

use axum::response::Response;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::route::{Context, Route, reply, route};
use super::super::schema::{Invalid, Kind, Shape};
use crate::identity::accounts;
use crate::identity::principal::Role;
use crate::store::{Connection, StoreError, sql};

/// Most flags of a user.
const FLAGS_MAX: usize = 200;
/// Flags everybody has, with what they are until somebody sets them.
const DEFAULTS: &[(&str, bool)] = &[("outbound", true), ("analytics", true)];

static FLAGS: Shape = Shape {
    name: "FeatureFlags",
    fields: &[],
    closed: false,
};
const ANSWER: Kind = Kind::MapOf(&Kind::Boolean);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Kupe GET "/api/v1/feature-flags/me", KeyOrBearer "any" 200, mine)
            .does("The caller's flags")
            .answers(ANSWER),
        route!(Kupe GET "/api/v1/feature-flags/{user_id}", KeyOrBearer "self|org_admin (same org)|super_admin" 200, show)
            .does("A user's flags")
            .answers(ANSWER),
        route!(Kupe PUT "/api/v1/feature-flags/{user_id}", KeyOrBearer "org_admin (same org)|super_admin" 200, set)
            .does("Sets flags of a user")
            .takes(&FLAGS)
            .answers(ANSWER),
    ]
}

async fn mine(cx: Context) -> Result<Response, Failure> {
    let flags = read(&mut cx.services.store.read().await?, cx.who()?.user).await?;
    Ok(reply(&cx, Value::Object(flags)))
}

async fn show(cx: Context) -> Result<Response, Failure> {
    let user = cx.id("user_id")?;
    if user != cx.who()?.user {
        administrated(&cx, user).await?;
    }
    let flags = read(&mut cx.services.store.read().await?, user).await?;
    Ok(reply(&cx, Value::Object(flags)))
}

async fn set(cx: Context) -> Result<Response, Failure> {
    let user = cx.id("user_id")?;
    if !cx.who()?.has(Role::Admin) {
        return Err(Failure::forbidden("flags are set by admins"));
    }
    administrated(&cx, user).await?;
    let mut flags = Vec::new();
    for (name, value) in &cx.body {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            return Err(Failure::invalid(vec![Invalid::new(
                name,
                "flag",
                "is not a flag's name",
            )]));
        }
        let value = value.as_bool().ok_or_else(|| {
            Failure::invalid(vec![Invalid::new(name, "type", "must be true or false")])
        })?;
        flags.push((name.clone(), value));
    }
    if flags.len() > FLAGS_MAX {
        return Err(Failure::bad_request(
            "too_many",
            format!("at most {FLAGS_MAX} flags"),
        ));
    }
    let actor = cx.actor()?;
    let written = cx.services.store.write(move |conn| {
        Box::pin(async move {
            for (name, value) in flags {
                sql(
                    "INSERT INTO feature_flags (user_id, flag, value) VALUES ($1, $2, $3) \
                     ON CONFLICT (user_id, flag) DO UPDATE SET value = excluded.value",
                )
                .bind(user)
                .bind(name)
                .bind(value)
                .execute(conn)
                .await?;
            }
            actor.did(conn, "set_flags", ("user", user)).await?;
            read(conn, user).await
        })
    });
    let flags = written.await?;
    Ok(reply(&cx, Value::Object(flags)))
}

/// That the caller may look after `user`: as admin of an organisation they belong to.
pub(super) async fn administrated(cx: &Context, user: Uuid) -> Result<(), Failure> {
    let who = cx.who()?;
    let mut conn = cx.services.store.read().await?;
    if who.superuser {
        let known = accounts::find_user(&mut conn, user).await?;
        return known.map(drop).ok_or_else(Failure::not_found);
    }
    let memberships = accounts::memberships(&mut conn, user).await?;
    if !memberships
        .iter()
        .any(|(org, _)| *org == who.tenant.organisation())
    {
        return Err(Failure::not_found());
    }
    if !who.has(Role::Admin) {
        return Err(Failure::forbidden("this is for the user or an admin"));
    }
    Ok(())
}

/// Whether a user's flag is set.
pub(super) async fn is_set(
    conn: &mut Connection,
    user: Uuid,
    flag: &str,
) -> Result<bool, StoreError> {
    let flags = read(conn, user).await?;
    Ok(flags.get(flag).and_then(Value::as_bool).unwrap_or(false))
}

async fn read(conn: &mut Connection, user: Uuid) -> Result<Map<String, Value>, StoreError> {
    let query = sql("SELECT flag, value FROM feature_flags WHERE user_id = $1 ORDER BY flag");
    let rows = query.bind(user).fetch_all(conn).await?;
    let mut flags: Map<String, Value> = DEFAULTS
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Value::Bool(*value)))
        .collect();
    for row in &rows {
        flags.insert(row.get("flag")?, Value::Bool(row.flag("value")?));
    }
    Ok(flags)
}
