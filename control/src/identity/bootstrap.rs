//! Keys for the first steps on a fresh installation.
//!
//! They follow from the master key, so that a start can show them again; whoever can read the one
//! can read all secrets anyway. Revoked ones stay revoked.

use uuid::Uuid;

use super::accounts::{self, NewUser};
use super::keys::{self, KeyRequest};
use super::password::Passwords;
use super::principal::{INSTALLATION, Mode, Product, Role};
use super::vault::Vault;
use crate::config::Secret;
use crate::store::{Store, StoreError, Tenant, sql};

/// The user that the keys belong to: nobody can log in as it.
const USER: Uuid = Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0002);

/// A key of each surface to the installation's own organisation; makes them at the first start.
///
/// # Errors
/// When the store fails.
pub async fn keys(store: &Store, vault: &Vault) -> Result<Vec<(Product, Secret)>, StoreError> {
    let texts = [Product::Kupe, Product::Kros, Product::Vaani].map(|product| {
        let key = vault.derive(&format!("bootstrap-key/{}", product.name()));
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        (product, Secret::new(hex))
    });
    let (vault, wanted) = (vault.clone(), texts.clone());
    let made = store.write(move |conn| {
        Box::pin(async move {
            if accounts::find_user(conn, USER).await?.is_some() {
                return Ok(());
            }
            let new = NewUser {
                id: Some(USER),
                name: Some("Bootstrap".to_owned()),
                superuser: true,
                ..NewUser::default()
            };
            accounts::create_user(conn, new).await?;
            accounts::add_member(conn, INSTALLATION, USER, Role::Admin).await?;
            accounts::set_current(conn, USER, Some(INSTALLATION)).await?;
            for (product, text) in wanted {
                let request = KeyRequest {
                    product,
                    mode: Mode::Live,
                    user: USER,
                    name: Some("bootstrap".to_owned()),
                    provider_name: None,
                    own: Some(text),
                };
                keys::create(conn, Tenant::of(INSTALLATION), &vault, request).await?;
            }
            Ok(())
        })
    });
    made.await?;
    Ok(texts.to_vec())
}

/// Whom the first administrator logs in as.
pub const ADMINISTRATOR: &str = "admin@localhost";

/// The password of [`ADMINISTRATOR`], who is made on an installation that has no administrator yet;
/// `None` once it was changed, or when others administrate.
///
/// # Errors
/// When the store fails.
pub async fn administrator(
    store: &Store,
    vault: &Vault,
    passwords: &Passwords,
) -> Result<Option<Secret>, StoreError> {
    let hex = vault
        .derive("bootstrap-password")
        .map(|byte| format!("{byte:02x}"));
    let password = Secret::new(hex[..10].concat());
    let known = {
        let mut conn = store.read().await?;
        let known = accounts::find_user_by_email(&mut conn, ADMINISTRATOR).await?;
        let others = sql("SELECT id FROM users WHERE superuser = $1 AND email IS NOT NULL LIMIT 1")
            .bind(true)
            .fetch_optional(&mut conn)
            .await?;
        if known.is_none() && others.is_some() {
            return Ok(None);
        }
        known
    };
    if let Some(user) = known {
        let valid = passwords.verify(password.clone(), user.password_hash).await;
        return Ok(valid.then_some(password));
    }
    let new = NewUser {
        email: Some(ADMINISTRATOR.to_owned()),
        name: Some("Administrator".to_owned()),
        password_hash: Some(passwords.hash(password.clone()).await),
        superuser: true,
        ..NewUser::default()
    };
    let made = store.write(move |conn| {
        Box::pin(async move {
            let id = accounts::create_user(conn, new).await?;
            accounts::add_member(conn, INSTALLATION, id, Role::Admin).await?;
            accounts::set_current(conn, id, Some(INSTALLATION)).await
        })
    });
    made.await?;
    Ok(Some(password))
}
