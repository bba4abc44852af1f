//! The rows of API keys.

use uuid::Uuid;

use super::accounts::uuid;
use super::api_key;
use super::principal::{Mode, Product};
use super::vault::Vault;
use crate::clock::now_us;
use crate::config::Secret;
use crate::store::{Connection, Row, Store, StoreError, Tenant, sql};

/// How often the last use of a key is written down at most.
const LAST_USE_EVERY_US: i64 = 60_000_000;

/// A key as it may be shown.
#[derive(Clone, Debug)]
pub struct KeyRow {
    /// Id.
    pub id: Uuid,
    /// Its owner.
    pub user: Uuid,
    /// Its label.
    pub name: Option<String>,
    /// What of the key may be seen.
    pub prefix: String,
    /// Whose key it is, where it is a provider's.
    pub provider_name: Option<String>,
    /// Which data it sees.
    pub mode: String,
    /// Which surface it is for.
    pub product: String,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Microseconds since 1970.
    pub last_used_at: Option<i64>,
}

/// A key to be made.
#[derive(Clone, Debug)]
pub struct KeyRequest {
    /// Which surface it is for.
    pub product: Product,
    /// Which data it sees.
    pub mode: Mode,
    /// Its owner.
    pub user: Uuid,
    /// Its label.
    pub name: Option<String>,
    /// Whose key it is, where it is a provider's.
    pub provider_name: Option<String>,
    /// The key, where its owner brings it.
    pub own: Option<Secret>,
}

/// Who a presented key speaks for.
#[derive(Clone, Debug)]
pub struct KeyHolder {
    /// Id of the key.
    pub id: Uuid,
    /// Its owner.
    pub user: Uuid,
    /// The organisation it is bound to.
    pub organisation: Uuid,
    /// Which data it sees.
    pub mode: Mode,
    /// Which surface it is for.
    pub product: Product,
    last_used_at: Option<i64>,
}

/// Makes a key and tells its row and text. A third party's key is sealed instead of hashed, and
/// opens nothing here.
///
/// # Errors
/// When the store fails.
pub async fn create(
    conn: &mut Connection,
    tenant: Tenant,
    vault: &Vault,
    request: KeyRequest,
) -> Result<(KeyRow, Secret), StoreError> {
    let id = Uuid::now_v7();
    let third_party = request.provider_name.is_some() && request.own.is_some();
    let key = match &request.own {
        Some(own) if !third_party => api_key::adopt(vault, own.reveal()),
        _ => api_key::generate(vault, request.product, request.mode),
    };
    let place = super::vault::Place {
        table: "api_keys",
        row: id,
        organisation: tenant.organisation(),
    };
    let own = request.own.filter(|_| third_party);
    let sealed = own.as_ref().map(|own| vault.seal(place, own.reveal()));
    let now = now_us();
    sql(
        "INSERT INTO api_keys (id, prefix, digest, product, mode, org_id, user_id, name, \
           provider_name, sealed, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(id)
    .bind(&key.prefix)
    .bind(&key.digest[..])
    .bind(if third_party {
        "provider"
    } else {
        request.product.name()
    })
    .bind(request.mode.name())
    .bind(tenant.organisation())
    .bind(request.user)
    .bind(request.name.clone())
    .bind(request.provider_name.clone())
    .bind(sealed)
    .bind(now)
    .execute(conn)
    .await?;
    let row = KeyRow {
        id,
        user: request.user,
        name: request.name,
        prefix: key.prefix,
        provider_name: request.provider_name,
        mode: request.mode.name().to_owned(),
        product: request.product.name().to_owned(),
        created_at: now,
        last_used_at: None,
    };
    Ok((row, own.unwrap_or(key.text)))
}

/// Active keys of a user in an organisation, oldest first.
///
/// # Errors
/// When the store fails.
pub async fn list(store: &Store, tenant: Tenant, user: Uuid) -> Result<Vec<KeyRow>, StoreError> {
    let query = sql("SELECT id, user_id, name, prefix, provider_name, mode, product, created_at, \
                       last_used_at FROM api_keys \
                     WHERE org_id = $1 AND user_id = $2 AND revoked_at IS NULL ORDER BY id LIMIT 1000")
    .bind(tenant.organisation())
    .bind(user);
    store.fetch_all(query).await?.iter().map(key_row).collect()
}

/// An active key.
///
/// # Errors
/// When the store fails.
pub async fn find(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
) -> Result<Option<KeyRow>, StoreError> {
    let query = sql(
        "SELECT id, user_id, name, prefix, provider_name, mode, product, created_at, \
                       last_used_at FROM api_keys \
                     WHERE org_id = $1 AND id = $2 AND revoked_at IS NULL",
    )
    .bind(tenant.organisation())
    .bind(id);
    query
        .fetch_optional(conn)
        .await?
        .as_ref()
        .map(key_row)
        .transpose()
}

/// Revokes a key; from the next request on it opens nothing.
///
/// # Errors
/// When the store fails.
pub async fn revoke(conn: &mut Connection, tenant: Tenant, id: Uuid) -> Result<bool, StoreError> {
    let revoked = sql("UPDATE api_keys SET revoked_at = $3 \
                       WHERE org_id = $1 AND id = $2 AND revoked_at IS NULL")
    .bind(tenant.organisation())
    .bind(id)
    .bind(now_us())
    .execute(conn)
    .await?;
    Ok(revoked > 0)
}

/// Whom the presented key speaks for; `None` for one that is unknown, revoked or expired.
///
/// # Errors
/// When the store fails.
pub async fn holder(
    conn: &mut Connection,
    vault: &Vault,
    text: &str,
) -> Result<Option<KeyHolder>, StoreError> {
    let Some(prefix) = api_key::lookup(vault, text) else {
        return Ok(None);
    };
    let row = sql(
        "SELECT id, digest, product, mode, org_id, user_id, last_used_at FROM api_keys \
                   WHERE prefix = $1 AND revoked_at IS NULL \
                     AND (expires_at IS NULL OR expires_at > $2)",
    )
    .bind(prefix)
    .bind(now_us())
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let digest: Vec<u8> = row.get("digest")?;
    let product: String = row.get("product")?;
    let Ok(product) = product.parse() else {
        return Ok(None);
    };
    if !api_key::matches(vault, text, &digest) {
        return Ok(None);
    }
    let mode: String = row.get("mode")?;
    Ok(Some(KeyHolder {
        id: uuid(&row, "id")?,
        user: uuid(&row, "user_id")?,
        organisation: uuid(&row, "org_id")?,
        mode: if mode == "test" {
            Mode::Test
        } else {
            Mode::Live
        },
        product,
        last_used_at: row.get("last_used_at")?,
    }))
}

/// Notes the use of a key, at most once a minute, without making the request wait.
pub fn note_use(store: &Store, holder: &KeyHolder) {
    let now = now_us();
    if holder
        .last_used_at
        .is_some_and(|last| now - last < LAST_USE_EVERY_US)
    {
        return;
    }
    let query = sql("UPDATE api_keys SET last_used_at = $2 WHERE id = $1")
        .bind(holder.id)
        .bind(now);
    let store = store.clone();
    tokio::spawn(async move {
        if let Err(error) = store.execute(query).await {
            tracing::warn!(%error, "use of a key was not noted");
        }
    });
}

fn key_row(row: &Row) -> Result<KeyRow, StoreError> {
    Ok(KeyRow {
        id: uuid(row, "id")?,
        user: uuid(row, "user_id")?,
        name: row.get("name")?,
        prefix: row.get("prefix")?,
        provider_name: row.get("provider_name")?,
        mode: row.get("mode")?,
        product: row.get("product")?,
        created_at: row.get("created_at")?,
        last_used_at: row.get("last_used_at")?,
    })
}
