//! Users, organisations and who belongs to which.

use uuid::Uuid;

use super::principal::Role;
use crate::api::failure::Failure;
use crate::clock::now_us;
use crate::store::{Connection, Row, Store, StoreError, sql};

const USER_COLUMNS: &str = "id, email, name, phone, profile_image_url, password_hash, metadata, \
     superuser, current_org_id, created_at";
/// Names of organisations may repeat; their slugs get so many random characters.
const SLUG_SUFFIX: usize = 6;

/// A user.
#[derive(Clone, Debug)]
pub struct User {
    /// Id.
    pub id: Uuid,
    /// Mail address in lower case.
    pub email: Option<String>,
    /// For people.
    pub name: Option<String>,
    /// Telephone.
    pub phone: Option<String>,
    /// Picture.
    pub profile_image_url: Option<String>,
    /// See [`super::password`].
    pub password_hash: Option<String>,
    /// What an outside issuer says of the user.
    pub metadata: serde_json::Value,
    /// Whether every test of roles is passed.
    pub superuser: bool,
    /// The organisation chosen last.
    pub current_org: Option<Uuid>,
}

/// A user to be made.
#[derive(Clone, Debug, Default)]
pub struct NewUser {
    /// Id, where an outside issuer has given one.
    pub id: Option<Uuid>,
    /// Mail address.
    pub email: Option<String>,
    /// For people.
    pub name: Option<String>,
    /// Telephone.
    pub phone: Option<String>,
    /// See [`super::password`].
    pub password_hash: Option<String>,
    /// Google's id.
    pub google_subject: Option<String>,
    /// Whether every test of roles is passed.
    pub superuser: bool,
}

/// An organisation.
#[derive(Clone, Debug)]
pub struct Organisation {
    /// Id.
    pub id: Uuid,
    /// Unique name in addresses.
    pub slug: String,
    /// For people.
    pub name: String,
    /// `personal` or `team`.
    pub kind: String,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Microseconds since 1970.
    pub updated_at: i64,
}

/// Reads a column with a UUID.
///
/// # Errors
/// When it holds something else.
pub fn uuid(row: &Row, column: &'static str) -> Result<Uuid, StoreError> {
    let text: String = row.get(column)?;
    text.parse().map_err(|_| StoreError::Malformed(column))
}

/// Reads a column with a UUID or NULL.
///
/// # Errors
/// When it holds something else.
pub fn optional_uuid(row: &Row, column: &'static str) -> Result<Option<Uuid>, StoreError> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse())
        .transpose()
        .map_err(|_| StoreError::Malformed(column))
}

fn user(row: &Row) -> Result<User, StoreError> {
    Ok(User {
        id: uuid(row, "id")?,
        email: row.get("email")?,
        name: row.get("name")?,
        phone: row.get("phone")?,
        profile_image_url: row.get("profile_image_url")?,
        password_hash: row.get("password_hash")?,
        metadata: row.json("metadata")?,
        superuser: row.flag("superuser")?,
        current_org: optional_uuid(row, "current_org_id")?,
    })
}

fn organisation(row: &Row) -> Result<Organisation, StoreError> {
    Ok(Organisation {
        id: uuid(row, "id")?,
        slug: row.get("slug")?,
        name: row.get("name")?,
        kind: row.get("kind")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

/// A user by id.
///
/// # Errors
/// When the store fails.
pub async fn find_user(conn: &mut Connection, id: Uuid) -> Result<Option<User>, StoreError> {
    let text = format!("SELECT {USER_COLUMNS} FROM users WHERE id = $1");
    let row = sql(text).bind(id).fetch_optional(conn).await?;
    row.as_ref().map(user).transpose()
}

/// A user by mail address.
///
/// # Errors
/// When the store fails.
pub async fn find_user_by_email(
    conn: &mut Connection,
    email: &str,
) -> Result<Option<User>, StoreError> {
    let text = format!("SELECT {USER_COLUMNS} FROM users WHERE email = $1");
    let query = sql(text).bind(email.trim().to_lowercase());
    let row = query.fetch_optional(conn).await?;
    row.as_ref().map(user).transpose()
}

/// A user by Google's id.
///
/// # Errors
/// When the store fails.
pub async fn find_user_by_google(
    conn: &mut Connection,
    subject: &str,
) -> Result<Option<User>, StoreError> {
    let text = format!("SELECT {USER_COLUMNS} FROM users WHERE google_subject = $1");
    let row = sql(text).bind(subject).fetch_optional(conn).await?;
    row.as_ref().map(user).transpose()
}

/// Makes a user with a workspace of their own, of which they are the admin.
///
/// # Errors
/// 409 when the mail address is taken; when the store fails.
pub async fn create_user(conn: &mut Connection, new: NewUser) -> Result<Uuid, StoreError> {
    let id = new.id.unwrap_or_else(Uuid::now_v7);
    let email = new.email.map(|email| email.trim().to_lowercase());
    let now = now_us();
    let inserted = sql(
        "INSERT INTO users (id, email, name, phone, password_hash, google_subject, superuser, \
           created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
    )
    .bind(id)
    .bind(email.clone())
    .bind(new.name.clone())
    .bind(new.phone)
    .bind(new.password_hash)
    .bind(new.google_subject)
    .bind(new.superuser)
    .bind(now)
    .execute(conn)
    .await;
    match inserted {
        Err(error) if error.is_unique_violation() => {
            let failure = Failure::conflict("there is an account with this mail address");
            return Err(StoreError::Declined(Box::new(failure)));
        }
        other => other?,
    };
    let name = new.name.or(email).unwrap_or_else(|| "Personal".to_owned());
    let org = create_organisation(conn, &format!("{name}'s workspace"), "personal", id).await?;
    set_current(conn, id, Some(org.id)).await?;
    Ok(id)
}

/// Makes an organisation whose admin is `creator`.
///
/// # Errors
/// When the store fails.
pub async fn create_organisation(
    conn: &mut Connection,
    name: &str,
    kind: &str,
    creator: Uuid,
) -> Result<Organisation, StoreError> {
    let id = Uuid::now_v7();
    let random = Uuid::new_v4().simple().to_string();
    let slug = format!("{}-{}", slug(name), &random[..SLUG_SUFFIX]);
    let now = now_us();
    sql(
        "INSERT INTO organisations (id, slug, name, kind, org_type, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, 'internal', $5, $5)",
    )
    .bind(id)
    .bind(&slug)
    .bind(name)
    .bind(kind)
    .bind(now)
    .execute(conn)
    .await?;
    add_member(conn, id, creator, Role::Admin).await?;
    Ok(Organisation {
        id,
        slug,
        name: name.to_owned(),
        kind: kind.to_owned(),
        created_at: now,
        updated_at: now,
    })
}

/// Makes `user` a member, or changes what they may do.
///
/// # Errors
/// When the store fails.
pub async fn add_member(
    conn: &mut Connection,
    org: Uuid,
    user: Uuid,
    role: Role,
) -> Result<(), StoreError> {
    sql(
        "INSERT INTO memberships (org_id, user_id, role, created_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (org_id, user_id) DO UPDATE SET role = excluded.role",
    )
    .bind(org)
    .bind(user)
    .bind(role.name())
    .bind(now_us())
    .execute(conn)
    .await
    .map(drop)
}

/// Chooses the organisation that later requests mean.
///
/// # Errors
/// When the store fails.
pub async fn set_current(
    conn: &mut Connection,
    user: Uuid,
    org: Option<Uuid>,
) -> Result<(), StoreError> {
    sql("UPDATE users SET current_org_id = $2 WHERE id = $1")
        .bind(user)
        .bind(org.map(|org| org.to_string()))
        .execute(conn)
        .await
        .map(drop)
}

/// Where the user belongs, first joined first.
///
/// # Errors
/// When the store fails.
pub async fn memberships(
    conn: &mut Connection,
    user: Uuid,
) -> Result<Vec<(Uuid, Role)>, StoreError> {
    let rows = sql("SELECT org_id, role FROM memberships WHERE user_id = $1 \
                    ORDER BY created_at, org_id")
    .bind(user)
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| Ok((uuid(row, "org_id")?, role(row)?)))
        .collect()
}

/// Reads the column `role`.
///
/// # Errors
/// When it holds something else.
pub fn role(row: &Row) -> Result<Role, StoreError> {
    let text: String = row.get("role")?;
    text.parse().map_err(|()| StoreError::Malformed("role"))
}

/// An organisation by id.
///
/// # Errors
/// When the store fails.
pub async fn find_organisation(
    conn: &mut Connection,
    id: Uuid,
) -> Result<Option<Organisation>, StoreError> {
    let row = sql("SELECT * FROM organisations WHERE id = $1").bind(id);
    row.fetch_optional(conn)
        .await?
        .as_ref()
        .map(organisation)
        .transpose()
}

/// The organisations of a user, or all.
///
/// # Errors
/// When the store fails.
pub async fn list_organisations(
    store: &Store,
    member: Option<Uuid>,
) -> Result<Vec<Organisation>, StoreError> {
    let query = match member {
        Some(user) => sql(
            "SELECT o.* FROM organisations o JOIN memberships m ON m.org_id = o.id \
                           WHERE m.user_id = $1 ORDER BY o.created_at, o.id LIMIT 1000",
        )
        .bind(user),
        None => sql("SELECT * FROM organisations ORDER BY created_at, id LIMIT 1000"),
    };
    store
        .fetch_all(query)
        .await?
        .iter()
        .map(organisation)
        .collect()
}

/// Letters and digits of a name, joined by hyphens.
fn slug(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars().flat_map(char::to_lowercase).take(60) {
        if c.is_ascii_alphanumeric() {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    let out = out.trim_end_matches('-');
    if out.is_empty() {
        "workspace".to_owned()
    } else {
        out.to_owned()
    }
}
