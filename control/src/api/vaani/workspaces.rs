//! `/workspaces`: organisations and their members.

use axum::response::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::kupe::MESSAGE;
use super::super::route::{Context, Fields as _, Rate, Route, message, reply, route};
use super::super::schema::{Kind, Shape, may, need, shape};
use crate::clock::{now_us, rfc3339};
use crate::identity::accounts::{self, Organisation, role, uuid};
use crate::identity::mail::Message;
use crate::identity::principal::{INSTALLATION, Role};
use crate::identity::sessions;
use crate::store::{Connection, StoreError, sql};

/// How long an invitation is good for.
const INVITE_US: i64 = 7 * 24 * 3600 * 1_000_000;
const KINDS: &[&str] = &["personal", "team"];

static CREATE: Shape = shape(
    "WorkspaceCreate",
    &[
        need("name", Kind::Text(1, 200)),
        may("type", Kind::OneOf(KINDS)),
    ],
);
static UPDATE: Shape = shape(
    "WorkspaceUpdate",
    &[
        may("name", Kind::Text(1, 200)),
        may("type", Kind::OneOf(KINDS)),
    ],
);
static SWITCH: Shape = shape("WorkspaceSwitch", &[need("workspace_id", Kind::Uuid)]);
static INVITE: Shape = shape(
    "WorkspaceInvite",
    &[
        need("email", Kind::Email),
        may(
            "role",
            Kind::OneOf(&["member", "developer", "admin", "M", "D", "A"]),
        ),
    ],
);
static WORKSPACE: Shape = shape(
    "Workspace",
    &[
        need("id", Kind::Uuid),
        need("slug", Kind::Text(0, 0)),
        need("name", Kind::Text(0, 0)),
        need("type", Kind::OneOf(KINDS)),
        need("created_at", Kind::Time),
        need("updated_at", Kind::Time),
    ],
);
static SWITCHED: Shape = shape(
    "WorkspaceSwitched",
    &[need("current_workspace_id", Kind::Uuid)],
);
static MEMBER: Shape = shape(
    "WorkspaceMember",
    &[
        need("user_id", Kind::Uuid),
        need("name", Kind::Nullable(&Kind::Text(0, 0))),
        need("email", Kind::Nullable(&Kind::Text(0, 0))),
        need("role", Kind::OneOf(&["member", "developer", "admin"])),
    ],
);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Vaani POST "/workspaces", Cookie "any" 201, create)
            .does("Makes a workspace whose admin is the caller")
            .takes(&CREATE)
            .answers(Kind::Object(&WORKSPACE)),
        route!(Vaani GET "/workspaces", Cookie "any; S sees all" 200, list)
            .does("The caller's workspaces")
            .answers(const { Kind::List(&Kind::Object(&WORKSPACE), 0) }),
        route!(Vaani POST "/workspaces/switch", Cookie "any" 200, switch)
            .does("Chooses the workspace that later requests mean")
            .takes(&SWITCH)
            .answers(Kind::Object(&SWITCHED)),
        route!(Vaani GET "/workspaces/{id}", CookieOrKey "M|D|A" 200, show)
            .does("A workspace")
            .answers(Kind::Object(&WORKSPACE)),
        route!(Vaani PATCH "/workspaces/{id}", CookieOrKey "A" 200, update)
            .does("Changes a workspace")
            .takes(&UPDATE)
            .answers(Kind::Object(&WORKSPACE)),
        route!(Vaani DELETE "/workspaces/{id}", CookieOrKey "A" 200, delete)
            .does("Deletes a workspace with all that belongs to it")
            .answers(Kind::Object(&MESSAGE)),
        route!(Vaani GET "/workspaces/{id}/members", CookieOrKey "M|D|A" 200, members)
            .does("Members of a workspace")
            .answers(const { Kind::List(&Kind::Object(&MEMBER), 0) }),
        route!(Vaani POST "/workspaces/{id}/invite", CookieOrKey "A" 200, invite)
            .does("Mails an invitation; the answer is the same for every address")
            .takes(&INVITE)
            .answers(Kind::Object(&MESSAGE))
            .rate(Rate::Login),
        route!(Vaani DELETE "/workspaces/{id}/members/{uid}", CookieOrKey "A" 200, remove)
            .does("Removes a member; the last admin stays")
            .answers(Kind::Object(&MESSAGE)),
    ]
}

async fn create(cx: Context) -> Result<Response, Failure> {
    let user = cx.who()?.user;
    let name = cx.body.owned("name").unwrap_or_default();
    let kind = cx.body.owned("type").unwrap_or_else(|| "team".to_owned());
    let actor = cx.actor()?;
    let made = cx.services.store.write(move |conn| {
        Box::pin(async move {
            let org = accounts::create_organisation(conn, &name, &kind, user).await?;
            actor.did(conn, "create", ("workspace", org.id)).await?;
            Ok(org)
        })
    });
    let org = made.await?;
    Ok(reply(&cx, to_json(&org)))
}

async fn list(cx: Context) -> Result<Response, Failure> {
    let who = cx.who()?;
    let member = (!who.superuser).then_some(who.user);
    let found = accounts::list_organisations(&cx.services.store, member).await?;
    Ok(reply(&cx, found.iter().map(to_json).collect()))
}

async fn switch(cx: Context) -> Result<Response, Failure> {
    let who = cx.who()?;
    let (user, superuser) = (who.user, who.superuser);
    let org = cx.body.uuid("workspace_id").unwrap_or_default();
    let switched = cx.services.store.write(move |conn| {
        Box::pin(async move {
            let memberships = accounts::memberships(conn, user).await?;
            let member = memberships.iter().any(|(id, _)| *id == org);
            let known = superuser && accounts::find_organisation(conn, org).await?.is_some();
            if member || known {
                accounts::set_current(conn, user, Some(org)).await?;
            }
            Ok(member || known)
        })
    });
    if !switched.await? {
        return Err(Failure::forbidden("you are not a member of this workspace"));
    }
    Ok(reply(&cx, json!({ "current_workspace_id": org })))
}

async fn show(cx: Context) -> Result<Response, Failure> {
    let id = reach(&cx, Role::Member).await?;
    let org = accounts::find_organisation(&mut cx.services.store.read().await?, id).await?;
    let org = org.ok_or_else(Failure::not_found)?;
    Ok(reply(&cx, to_json(&org)))
}

async fn update(cx: Context) -> Result<Response, Failure> {
    let id = reach(&cx, Role::Admin).await?;
    let (name, kind) = (cx.body.owned("name"), cx.body.owned("type"));
    let actor = cx.actor()?;
    let changed = cx.services.store.write(move |conn| {
        Box::pin(async move {
            sql(
                "UPDATE organisations SET name = COALESCE($2, name), kind = COALESCE($3, kind), \
                   updated_at = $4 WHERE id = $1",
            )
            .bind(id)
            .bind(name)
            .bind(kind)
            .bind(now_us())
            .execute(conn)
            .await?;
            actor.did(conn, "update", ("workspace", id)).await?;
            accounts::find_organisation(conn, id).await
        })
    });
    let org = changed.await?.ok_or_else(Failure::not_found)?;
    Ok(reply(&cx, to_json(&org)))
}

async fn delete(cx: Context) -> Result<Response, Failure> {
    let id = reach(&cx, Role::Admin).await?;
    if id == INSTALLATION {
        let message = "agents of the configuration file belong to this workspace; it stays";
        return Err(Failure::bad_request("installation", message));
    }
    let actor = cx.actor()?;
    let deleted = cx.services.store.write(move |conn| {
        Box::pin(async move {
            // Calls know their workspace by its id alone.
            for table in ["call_turns", "call_events"] {
                let text = format!(
                    "DELETE FROM {table} WHERE call_id IN (SELECT id FROM calls WHERE org_id = $1)"
                );
                sql(text).bind(id).execute(conn).await?;
            }
            sql("DELETE FROM calls WHERE org_id = $1")
                .bind(id)
                .execute(conn)
                .await?;
            // The collections of its workflows.
            let records = format!("{id}/%");
            for table in ["record_keys", "records"] {
                let text = format!("DELETE FROM {table} WHERE collection LIKE $1");
                sql(text).bind(&records).execute(conn).await?;
            }
            sql("DELETE FROM organisations WHERE id = $1")
                .bind(id)
                .execute(conn)
                .await?;
            actor.did(conn, "delete", ("workspace", id)).await
        })
    });
    deleted.await?;
    Ok(message(&cx, "the workspace was deleted"))
}

async fn members(cx: Context) -> Result<Response, Failure> {
    let id = reach(&cx, Role::Member).await?;
    let query = sql("SELECT u.id, u.name, u.email, m.role FROM memberships m \
                     JOIN users u ON u.id = m.user_id WHERE m.org_id = $1 \
                     ORDER BY m.created_at, u.id LIMIT 5000")
    .bind(id);
    let rows = cx.services.store.fetch_all(query).await?;
    let members: Result<Vec<Value>, StoreError> = rows
        .iter()
        .map(|row| {
            Ok(json!({
                "user_id": uuid(row, "id")?,
                "name": row.get::<Option<String>>("name")?,
                "email": row.get::<Option<String>>("email")?,
                "role": role(row)?.name(),
            }))
        })
        .collect();
    Ok(reply(&cx, json!(members?)))
}

async fn invite(cx: Context) -> Result<Response, Failure> {
    let id = reach(&cx, Role::Admin).await?;
    let email = cx.body.owned("email").unwrap_or_default().to_lowercase();
    let role = match cx.body.text("role") {
        Some("admin" | "A") => Role::Admin,
        Some("developer" | "D") => Role::Developer,
        _ => Role::Member,
    };
    let token = sessions::random_token();
    let hash = sessions::hash(&cx.services.identity.vault, "mailed", &token);
    let mail = Message {
        to: email.clone(),
        subject: "You are invited to a workspace",
        text: format!(
            "You are invited to a workspace. Sign up or log in within seven days with this \
             invitation token:\r\n\r\n{token}"
        ),
    };
    let actor = cx.actor()?;
    let written = cx.services.store.write(move |conn| {
        Box::pin(async move {
            sql(
                "INSERT INTO mailed_tokens (hash, purpose, org_id, email, role, expires_at) \
                 VALUES ($1, 'invite', $2, $3, $4, $5)",
            )
            .bind(hash)
            .bind(id)
            .bind(email)
            .bind(role.name())
            .bind(now_us() + INVITE_US)
            .execute(conn)
            .await?;
            actor.did(conn, "invite", ("workspace", id)).await
        })
    });
    written.await?;
    if let Err(error) = cx.services.identity.mailer.send(mail).await {
        tracing::error!(%error, "mail was not sent");
    }
    Ok(message(&cx, "an invitation is on its way"))
}

async fn remove(cx: Context) -> Result<Response, Failure> {
    let id = reach(&cx, Role::Admin).await?;
    let user = cx.id("uid")?;
    let actor = cx.actor()?;
    let removed = cx
        .services
        .store
        .write(move |conn| Box::pin(async move { remove_member(conn, id, user, &actor).await }));
    removed.await?;
    Ok(message(&cx, "the member was removed"))
}

async fn remove_member(
    conn: &mut Connection,
    org: Uuid,
    user: Uuid,
    actor: &crate::identity::audit::Actor,
) -> Result<(), StoreError> {
    let decline = |failure: Failure| StoreError::Declined(Box::new(failure));
    // All admins' rows are taken, so that two removals at once do not leave none.
    let text = format!(
        "SELECT user_id, role FROM memberships WHERE org_id = $1{}",
        conn.for_update()
    );
    let rows = sql(text).bind(org).fetch_all(conn).await?;
    let mut admins = 0;
    let mut found = None;
    for row in &rows {
        let role = role(row)?;
        admins += usize::from(role == Role::Admin);
        if uuid(row, "user_id")? == user {
            found = Some(role);
        }
    }
    match found {
        None => return Err(decline(Failure::not_found())),
        Some(Role::Admin) if admins == 1 => {
            let message = "the last admin cannot be removed";
            return Err(decline(Failure::bad_request("last_admin", message)));
        }
        Some(_) => {}
    }
    sql("DELETE FROM memberships WHERE org_id = $1 AND user_id = $2")
        .bind(org)
        .bind(user)
        .execute(conn)
        .await?;
    sql("UPDATE users SET current_org_id = NULL WHERE id = $2 AND current_org_id = $1")
        .bind(org)
        .bind(user)
        .execute(conn)
        .await?;
    actor.did(conn, "remove_member", ("user", user)).await
}

/// The workspace of the path, if the caller has `role` there: the current one of a key, any of
/// their own for a user. Another's is as unknown as none.
async fn reach(cx: &Context, needed: Role) -> Result<Uuid, Failure> {
    let who = cx.who()?;
    let id = cx.id("id")?;
    if id == who.tenant.organisation() {
        return if who.has(needed) {
            Ok(id)
        } else {
            Err(Failure::forbidden("this needs an admin"))
        };
    }
    if who.is_key() {
        return Err(Failure::not_found());
    }
    let mut conn = cx.services.store.read().await?;
    if who.superuser {
        let known = accounts::find_organisation(&mut conn, id).await?;
        return known.map(|org| org.id).ok_or_else(Failure::not_found);
    }
    let memberships = accounts::memberships(&mut conn, who.user).await?;
    match memberships.iter().find(|(org, _)| *org == id) {
        None => Err(Failure::not_found()),
        Some((_, role)) if *role < needed => Err(Failure::forbidden("this needs an admin")),
        Some(_) => Ok(id),
    }
}

fn to_json(org: &Organisation) -> Value {
    json!({
        "id": org.id,
        "slug": org.slug,
        "name": org.name,
        "type": org.kind,
        "created_at": rfc3339(org.created_at),
        "updated_at": rfc3339(org.updated_at),
    })
}
