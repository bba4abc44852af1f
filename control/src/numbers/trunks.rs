//! SIP trunks registered over the API.

use tokio::sync::watch;
use uuid::Uuid;

use crate::clock::now_us;
use crate::config::Secret;
use crate::identity::accounts::uuid;
use crate::identity::audit::Actor;
use crate::identity::vault::{Place, Vault};
use crate::store::{Connection, Row, Store, StoreError, Tenant, sql};

/// A trunk.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// Id.
    pub id: Uuid,
    /// The organisation it belongs to.
    pub org: Uuid,
    /// For people.
    pub label: Option<String>,
    /// Who runs it.
    pub provider: Option<String>,
    /// Host, with port where it is not the usual one.
    pub sip_address: String,
    /// User of digest authentication.
    pub auth_username: Option<String>,
    /// Sealed; [`TrunkDirectory::read`] opens it.
    pub auth_password: Option<Vec<u8>>,
    /// Contact.
    pub email: Option<String>,
    /// Whether noise is to be removed.
    pub krisp_enabled: bool,
}

/// What a trunk is registered or changed with.
#[derive(Clone, Debug, Default)]
pub struct TrunkFields {
    /// For people.
    pub label: Option<String>,
    /// Who runs it.
    pub provider: Option<String>,
    /// Host, with port where it is not the usual one.
    pub sip_address: Option<String>,
    /// User of digest authentication.
    pub auth_username: Option<String>,
    /// Password of digest authentication.
    pub auth_password: Option<Secret>,
    /// Contact.
    pub email: Option<String>,
    /// Whether noise is to be removed.
    pub krisp_enabled: Option<bool>,
}

fn trunk(row: &Row) -> Result<Trunk, StoreError> {
    Ok(Trunk {
        id: uuid(row, "id")?,
        org: uuid(row, "org_id")?,
        label: row.get("label")?,
        provider: row.get("provider")?,
        sip_address: row.get("sip_address")?,
        auth_username: row.get("auth_username")?,
        auth_password: row.get("auth_password")?,
        email: row.get("email")?,
        krisp_enabled: row.flag("krisp_enabled")?,
    })
}

fn place(id: Uuid, org: Uuid) -> Place {
    Place {
        table: "trunks",
        row: id,
        organisation: org,
    }
}

fn password(vault: &Vault, trunk: &Trunk) -> Option<Secret> {
    let sealed = trunk.auth_password.as_ref()?;
    match vault.open(place(trunk.id, trunk.org), sealed) {
        Ok(password) => Some(password),
        Err(error) => {
            tracing::error!(trunk = %trunk.id, %error, "password of a trunk does not open");
            None
        }
    }
}

async fn all(store: &Store) -> Result<Vec<Trunk>, StoreError> {
    let rows = store
        .fetch_all(sql("SELECT * FROM trunks ORDER BY id"))
        .await?;
    rows.iter().map(trunk).collect()
}

/// Registers a trunk.
///
/// # Errors
/// When the store fails.
pub async fn create(
    conn: &mut Connection,
    tenant: Tenant,
    vault: &Vault,
    fields: TrunkFields,
    actor: &Actor,
) -> Result<Trunk, StoreError> {
    let id = Uuid::now_v7();
    let place = place(id, tenant.organisation());
    let sealed = fields
        .auth_password
        .as_ref()
        .map(|p| vault.seal(place, p.reveal()));
    sql(
        "INSERT INTO trunks (id, org_id, label, provider, sip_address, auth_username, \
           auth_password, email, krisp_enabled, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
    )
    .bind(id)
    .bind(tenant.organisation())
    .bind(fields.label)
    .bind(fields.provider)
    .bind(fields.sip_address.unwrap_or_default())
    .bind(fields.auth_username)
    .bind(sealed)
    .bind(fields.email)
    .bind(fields.krisp_enabled.unwrap_or(false))
    .bind(now_us())
    .execute(conn)
    .await?;
    actor.did(conn, "create", ("trunk", id)).await?;
    find(conn, tenant, id)
        .await?
        .ok_or(StoreError::Malformed("trunks"))
}

/// Changes the given fields of a trunk.
///
/// # Errors
/// When the store fails.
pub async fn update(
    conn: &mut Connection,
    tenant: Tenant,
    vault: &Vault,
    id: Uuid,
    fields: TrunkFields,
    actor: &Actor,
) -> Result<Option<Trunk>, StoreError> {
    let place = place(id, tenant.organisation());
    let sealed = fields
        .auth_password
        .as_ref()
        .map(|p| vault.seal(place, p.reveal()));
    sql(
        "UPDATE trunks SET label = COALESCE($3, label), provider = COALESCE($4, provider), \
           sip_address = COALESCE($5, sip_address), auth_username = COALESCE($6, auth_username), \
           auth_password = COALESCE($7, auth_password), email = COALESCE($8, email), \
           krisp_enabled = COALESCE($9, krisp_enabled), updated_at = $10 \
         WHERE id = $1 AND org_id = $2",
    )
    .bind(id)
    .bind(tenant.organisation())
    .bind(fields.label)
    .bind(fields.provider)
    .bind(fields.sip_address)
    .bind(fields.auth_username)
    .bind(sealed)
    .bind(fields.email)
    .bind(fields.krisp_enabled.map(i64::from))
    .bind(now_us())
    .execute(conn)
    .await?;
    actor.did(conn, "update", ("trunk", id)).await?;
    find(conn, tenant, id).await
}

/// A trunk of the tenant.
///
/// # Errors
/// When the store fails.
pub async fn find(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
) -> Result<Option<Trunk>, StoreError> {
    let query = sql("SELECT * FROM trunks WHERE id = $1 AND org_id = $2");
    let row = query
        .bind(id)
        .bind(tenant.organisation())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(trunk).transpose()
}

/// Removes a trunk.
///
/// # Errors
/// When the store fails.
pub async fn delete(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
    actor: &Actor,
) -> Result<(), StoreError> {
    sql("DELETE FROM trunks WHERE id = $1 AND org_id = $2")
        .bind(id)
        .bind(tenant.organisation())
        .execute(conn)
        .await?;
    actor.did(conn, "delete", ("trunk", id)).await
}

/// The registered trunks for whoever keeps them on the line: what there is, and word of changes.
#[derive(Clone, Debug)]
pub struct TrunkDirectory {
    store: Store,
    vault: Vault,
    changes: watch::Sender<u64>,
}

impl TrunkDirectory {
    /// Over the rows of `store`.
    #[must_use]
    pub fn new(store: Store, vault: Vault) -> Self {
        Self {
            store,
            vault,
            changes: watch::Sender::new(0),
        }
    }

    /// Every trunk with its password, opened for the answer to a challenge.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn read(&self) -> Result<Vec<(Trunk, Option<Secret>)>, StoreError> {
        let trunks = all(&self.store).await?;
        let opened = trunks.into_iter().map(|trunk| {
            let password = password(&self.vault, &trunk);
            (trunk, password)
        });
        Ok(opened.collect())
    }

    /// Says that trunks may have changed.
    pub fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Resolves when trunks may have changed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
