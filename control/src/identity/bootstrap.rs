//! Keys for the first steps on a fresh installation.
//!
//! They follow from the master key, so that a start can show them again; whoever can read the one
//! can read all secrets anyway. Revoked ones stay revoked.

use uuid::Uuid;

use super::accounts::{self, NewUser};
use super::keys::{self, KeyRequest};
use super::principal::{INSTALLATION, Mode, Product, Role};
use super::vault::Vault;
use crate::config::Secret;
use crate::store::{Store, StoreError, Tenant};

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
