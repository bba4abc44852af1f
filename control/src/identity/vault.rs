//! Secrets at rest: every one is sealed with a key of its own, which is sealed with the master key.
//!
//! Layout: version 1, first four bytes of SHA-256 of the master key, nonce, sealed data key, nonce,
//! sealed text. XChaCha20-Poly1305 throughout; the associated data names table, row and
//! organisation, so that a sealed value copied into another row does not open.

use std::fmt;
use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::config::Secret;

/// Name of the file within the data directory that holds the master key made at the first start.
pub const MASTER_KEY_FILE: &str = "master.key";
const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const KEY_ID_BYTES: usize = 4;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const HEAD_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_BYTES + KEY_BYTES + TAG_BYTES + NONCE_BYTES;

/// Where a secret is kept: it opens nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Table.
    pub table: &'static str,
    /// Id of the row.
    pub row: Uuid,
    /// The organisation the row belongs to.
    pub organisation: Uuid,
}

impl Place {
    fn associated_data(&self) -> Vec<u8> {
        format!("{}/{}/{}", self.table, self.row, self.organisation).into_bytes()
    }
}

/// Why a sealed secret does not open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VaultError {
    /// Sealed under another master key.
    #[error(
        "the secret was sealed with another master key; restore master.key or set identity.master_key"
    )]
    OtherKey,
    /// Cut short, changed, or moved from another row.
    #[error("the sealed secret is damaged")]
    Damaged,
}

/// Seals and opens secrets, and derives the keys of signatures and digests.
#[derive(Clone)]
pub struct Vault {
    master: [u8; KEY_BYTES],
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(***)")
    }
}

impl Vault {
    /// With this master key.
    #[must_use]
    pub const fn new(master: [u8; KEY_BYTES]) -> Self {
        Self { master }
    }

    /// With the configured master key (base64 of 32 bytes), else with that of
    /// `<data_dir>/master.key`, which is made if it is not there.
    ///
    /// # Errors
    /// When the key is malformed or its file cannot be used.
    pub fn load(configured: Option<&Secret>, data_dir: &Path) -> std::io::Result<Self> {
        let malformed = || {
            std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                "a master key is the base64 text of 32 bytes",
            )
        };
        let decode = |text: &str| -> Option<[u8; KEY_BYTES]> {
            STANDARD.decode(text.trim()).ok()?.try_into().ok()
        };
        if let Some(secret) = configured {
            return decode(secret.reveal()).map(Self::new).ok_or_else(malformed);
        }
        let path = data_dir.join(MASTER_KEY_FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => return decode(&text).map(Self::new).ok_or_else(malformed),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let master: [u8; KEY_BYTES] = rand::random();
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path)?;
        writeln!(file, "{}", STANDARD.encode(master))?;
        file.sync_all()?;
        Ok(Self::new(master))
    }

    /// Seals `text` for its place.
    #[must_use]
    pub fn seal(&self, place: Place, text: &str) -> Vec<u8> {
        let associated = place.associated_data();
        let data_key: [u8; KEY_BYTES] = rand::random();
        let mut sealed = Vec::with_capacity(HEAD_BYTES + text.len() + TAG_BYTES);
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.key_id());
        for (key, plain) in [(&self.master, &data_key[..]), (&data_key, text.as_bytes())] {
            let nonce: [u8; NONCE_BYTES] = rand::random();
            let payload = Payload {
                msg: plain,
                aad: &associated,
            };
            let cipher = XChaCha20Poly1305::new(key.into())
                .encrypt(XNonce::from_slice(&nonce), payload)
                .expect("a message of this size can be sealed");
            sealed.extend_from_slice(&nonce);
            sealed.extend_from_slice(&cipher);
        }
        sealed
    }

    /// Opens what was sealed for `place`.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn open(&self, place: Place, sealed: &[u8]) -> Result<Secret, VaultError> {
        if sealed.len() < HEAD_BYTES + TAG_BYTES || sealed[0] != VERSION {
            return Err(VaultError::Damaged);
        }
        let (key_id, rest) = sealed[1..].split_at(KEY_ID_BYTES);
        if key_id != self.key_id() {
            return Err(VaultError::OtherKey);
        }
        let associated = place.associated_data();
        let open = |key: &[u8; KEY_BYTES], nonce: &[u8], cipher: &[u8]| {
            let payload = Payload {
                msg: cipher,
                aad: &associated,
            };
            XChaCha20Poly1305::new(key.into())
                .decrypt(XNonce::from_slice(nonce), payload)
                .map_err(|_| VaultError::Damaged)
        };
        let (nonce, rest) = rest.split_at(NONCE_BYTES);
        let (wrapped, rest) = rest.split_at(KEY_BYTES + TAG_BYTES);
        let data_key = open(&self.master, nonce, wrapped)?;
        let data_key: [u8; KEY_BYTES] = data_key.try_into().map_err(|_| VaultError::Damaged)?;
        let (nonce, cipher) = rest.split_at(NONCE_BYTES);
        let text = String::from_utf8(open(&data_key, nonce, cipher)?);
        text.map(Secret::new).map_err(|_| VaultError::Damaged)
    }

    /// Digest of a random credential under a key of this purpose, for looking it up or comparing.
    #[must_use]
    pub fn digest(&self, purpose: &str, credential: &str) -> [u8; 32] {
        let mut mac =
            <Hmac<Sha256> as hmac::Mac>::new_from_slice(&self.derive(purpose)).expect("any length");
        mac.update(credential.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// A key of this purpose, derived from the master key.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut mac =
            <Hmac<Sha256> as hmac::Mac>::new_from_slice(&self.master).expect("any length");
        mac.update(b"samvad/");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn key_id(&self) -> [u8; KEY_ID_BYTES] {
        let hash = Sha256::digest(self.master);
        [hash[0], hash[1], hash[2], hash[3]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            table: "trunks",
            row: Uuid::now_v7(),
            organisation: Uuid::now_v7(),
        }
    }

    #[test]
    fn a_secret_opens_in_its_place_only() {
        let vault = Vault::new([7; 32]);
        let place = place();
        for text in ["", "hunter2", "pässwörd ☎"] {
            let sealed = vault.seal(place, text);
            assert_eq!(vault.open(place, &sealed).unwrap().reveal(), text);
            assert_ne!(sealed, vault.seal(place, text), "nonces repeat");
            for other in [
                Place {
                    table: "endpoints",
                    ..place
                },
                Place {
                    row: Uuid::now_v7(),
                    ..place
                },
                Place {
                    organisation: Uuid::now_v7(),
                    ..place
                },
            ] {
                assert_eq!(vault.open(other, &sealed), Err(VaultError::Damaged));
            }
            let other = Vault::new([8; 32]);
            assert_eq!(other.open(place, &sealed), Err(VaultError::OtherKey));
            for cut in 0..sealed.len() {
                assert!(vault.open(place, &sealed[..cut]).is_err());
                let mut changed = sealed.clone();
                changed[cut] ^= 1;
                assert!(vault.open(place, &changed).is_err());
            }
        }
    }

    #[test]
    fn the_master_key_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let first = Vault::load(None, dir.path()).unwrap();
        let second = Vault::load(None, dir.path()).unwrap();
        assert_eq!(first.master, second.master);
        assert_ne!(first.derive("a"), first.derive("b"));
        assert!(Vault::load(Some(&Secret::new("short")), dir.path()).is_err());
    }
}
