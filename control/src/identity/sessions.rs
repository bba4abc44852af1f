//! Sessions of our own login: a short access token, and a refresh token that changes at each use.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use uuid::Uuid;

use super::accounts::{self, User, uuid};
use super::jwt;
use super::vault::Vault;
use crate::clock::now_us;
use crate::store::{Connection, StoreError, sql};

/// Issuer of our own tokens.
pub const ISSUER: &str = "samvad";
/// Audience of session tokens, ours and Supabase's.
pub const AUDIENCE: &str = "authenticated";
/// How long an access token is good for.
pub const ACCESS_S: i64 = 15 * 60;
/// How long a login lasts.
pub const SESSION_S: i64 = 30 * 24 * 3600;
/// A refresh token used twice within this time was used by two tabs, not by a thief.
const GRACE_US: i64 = 10_000_000;

/// The tokens of a session.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// For requests.
    pub access: String,
    /// For a new access token.
    pub refresh: String,
}

/// What came of a refresh.
#[derive(Clone, Debug)]
pub enum Refreshed {
    /// New tokens for this user.
    Tokens(Tokens, Box<User>),
    /// The token is unknown, too old, or of a session that was closed.
    Invalid,
    /// The token had been used: it was stolen, and its session is closed.
    Reused,
}

/// Secret under which our access tokens are signed.
#[must_use]
pub fn signing_key(vault: &Vault) -> [u8; 32] {
    vault.derive("access-token")
}

/// Opens a session.
///
/// # Errors
/// When the store fails.
pub async fn open(conn: &mut Connection, vault: &Vault, user: &User) -> Result<Tokens, StoreError> {
    let session = Uuid::now_v7();
    let now = now_us();
    sql("INSERT INTO sessions (id, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)")
        .bind(session)
        .bind(user.id)
        .bind(now)
        .bind(now + SESSION_S * 1_000_000)
        .execute(conn)
        .await?;
    issue(conn, vault, user, session).await
}

/// Exchanges a refresh token for new tokens.
///
/// # Errors
/// When the store fails.
pub async fn refresh(
    conn: &mut Connection,
    vault: &Vault,
    token: &str,
) -> Result<Refreshed, StoreError> {
    let now = now_us();
    let hash = hash(vault, "refresh", token);
    let select = format!(
        "SELECT t.session_id, t.used_at, s.user_id FROM refresh_tokens t \
         JOIN sessions s ON s.id = t.session_id \
         WHERE t.hash = $1 AND s.revoked_at IS NULL AND s.expires_at > $2{}",
        conn.for_update()
    );
    let row = sql(select)
        .bind(&hash)
        .bind(now)
        .fetch_optional(conn)
        .await?;
    let Some(row) = row else {
        return Ok(Refreshed::Invalid);
    };
    let session = uuid(&row, "session_id")?;
    let used_at: Option<i64> = row.get("used_at")?;
    if used_at.is_some_and(|used| now - used > GRACE_US) {
        revoke(conn, session).await?;
        return Ok(Refreshed::Reused);
    }
    let Some(user) = accounts::find_user(conn, uuid(&row, "user_id")?).await? else {
        return Ok(Refreshed::Invalid);
    };
    sql("UPDATE refresh_tokens SET used_at = $2 WHERE hash = $1 AND used_at IS NULL")
        .bind(&hash)
        .bind(now)
        .execute(conn)
        .await?;
    let tokens = issue(conn, vault, &user, session).await?;
    Ok(Refreshed::Tokens(tokens, Box::new(user)))
}

/// Closes a session; its tokens are refused from now on.
///
/// # Errors
/// When the store fails.
pub async fn revoke(conn: &mut Connection, session: Uuid) -> Result<(), StoreError> {
    sql("UPDATE sessions SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
        .bind(session)
        .bind(now_us())
        .execute(conn)
        .await
        .map(drop)
}

/// Closes all sessions of a user.
///
/// # Errors
/// When the store fails.
pub async fn revoke_all(conn: &mut Connection, user: Uuid) -> Result<(), StoreError> {
    sql("UPDATE sessions SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL")
        .bind(user)
        .bind(now_us())
        .execute(conn)
        .await
        .map(drop)
}

/// A random token for a link or a cookie.
#[must_use]
pub fn random_token() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// What is stored of a random token.
#[must_use]
pub fn hash(vault: &Vault, purpose: &str, token: &str) -> String {
    URL_SAFE_NO_PAD.encode(vault.digest(purpose, token))
}

async fn issue(
    conn: &mut Connection,
    vault: &Vault,
    user: &User,
    session: Uuid,
) -> Result<Tokens, StoreError> {
    let refresh = random_token();
    sql("INSERT INTO refresh_tokens (hash, session_id, created_at) VALUES ($1, $2, $3)")
        .bind(hash(vault, "refresh", &refresh))
        .bind(session)
        .bind(now_us())
        .execute(conn)
        .await?;
    let now_s = now_us() / 1_000_000;
    let claims = json!({
        "sub": user.id,
        "email": user.email,
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now_s,
        "exp": now_s + ACCESS_S,
        "sid": session,
    });
    Ok(Tokens {
        access: jwt::sign_hs256(&signing_key(vault), &claims),
        refresh,
    })
}
