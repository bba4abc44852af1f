//! Passwords: argon2id (RFC 9106) on blocking threads, a few at a time.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

use crate::config::Secret;

/// OWASP's floor: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
/// Hashes computed at a time; each takes a core and 19 MiB for some 20 ms.
const AT_A_TIME: usize = 2;
/// What is checked when there is no such account, so that the answer takes as long.
const NOBODY: &str =
    "$argon2id$m=19456,t=2$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Makes and checks hashes. Cloneable.
#[derive(Clone, Debug)]
pub struct Passwords {
    places: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(AT_A_TIME)),
        }
    }
}

impl Passwords {
    /// Text to store for `password`.
    pub async fn hash(&self, password: Secret) -> String {
        self.run(move || {
            let salt: [u8; SALT_BYTES] = rand::random();
            let hash = derive(&password, &salt, MEMORY_KIB, PASSES).unwrap_or_default();
            format!(
                "$argon2id$m={MEMORY_KIB},t={PASSES}${}${}",
                STANDARD_NO_PAD.encode(salt),
                STANDARD_NO_PAD.encode(hash)
            )
        })
        .await
        .unwrap_or_default()
    }

    /// Whether `password` belongs to the stored text; takes as long when there is none.
    pub async fn verify(&self, password: Secret, stored: Option<String>) -> bool {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| NOBODY.to_owned());
        let fine = self.run(move || matches(&password, &stored)).await;
        known && fine.unwrap_or(false)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let _place = self.places.acquire().await.ok()?;
        tokio::task::spawn_blocking(work).await.ok()
    }
}

fn matches(password: &Secret, stored: &str) -> bool {
    let fields: Vec<&str> = stored.split('$').collect();
    let ["", "argon2id", costs, salt, hash] = fields[..] else {
        return false;
    };
    let cost = |name: &str| -> Option<u32> {
        let found = costs.split(',').find_map(|cost| cost.strip_prefix(name));
        found?.strip_prefix('=')?.parse().ok()
    };
    let (Some(memory), Some(passes)) = (cost("m"), cost("t")) else {
        return false;
    };
    let (Ok(salt), Ok(hash)) = (STANDARD_NO_PAD.decode(salt), STANDARD_NO_PAD.decode(hash)) else {
        return false;
    };
    derive(password, &salt, memory, passes).is_some_and(|own| own[..].ct_eq(&hash[..]).into())
}

fn derive(password: &Secret, salt: &[u8], memory: u32, passes: u32) -> Option<[u8; HASH_BYTES]> {
    let params = Params::new(memory, passes, 1, Some(HASH_BYTES)).ok()?;
    let mut hash = [0; HASH_BYTES];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.reveal().as_bytes(), salt, &mut hash)
        .ok()?;
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_itself_matches() {
        let passwords = Passwords::default();
        let stored = passwords.hash(Secret::new("correct horse")).await;
        assert!(stored.starts_with("$argon2id$m=19456,t=2$"));
        let check = async |password: &str, stored: Option<&str>| {
            let stored = stored.map(str::to_owned);
            passwords.verify(Secret::new(password), stored).await
        };
        assert!(check("correct horse", Some(&stored)).await);
        assert!(!check("correct horsf", Some(&stored)).await);
        for wrong in [
            None,
            Some(""),
            Some("$argon2id$"),
            Some("$argon2id$m=8,t=0$AA$AA"),
        ] {
            assert!(!check("correct horse", wrong).await, "{wrong:?}");
        }
        assert!(!check("", None).await);
    }
}
