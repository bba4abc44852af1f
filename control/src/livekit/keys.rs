//! Key and secret by which this installation signs and checks LiveKit tokens.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::config::{Config, Secret};
use crate::identity::jwt::sign_hs256;

/// Name of the file within the data directory that holds a pair made at the first start.
pub const KEYS_FILE: &str = "livekit.keys";
/// How long a token for a web call is good.
pub const TOKEN_S: i64 = 600;

/// An API key with its secret.
#[derive(Clone, Debug)]
pub struct LiveKitKeys {
    /// The key (`iss` of tokens).
    pub key: String,
    /// The secret.
    pub secret: Secret,
    /// Where the pair was made, if it was.
    pub file: Option<PathBuf>,
}

/// Who a token is for.
#[derive(Clone, Copy, Debug)]
pub struct TokenRequest<'a> {
    /// Identity of the caller in the room.
    pub identity: &'a str,
    /// Name of the caller.
    pub name: &'a str,
    /// The room.
    pub room: &'a str,
    /// Id of the agent who is to answer.
    pub agent: &'a str,
    /// Seconds since 1970-01-01 UTC.
    pub now_s: i64,
}

impl LiveKitKeys {
    /// The configured pair, or one made at the first start and kept, readable for its owner only.
    ///
    /// # Errors
    /// When the file cannot be read or made.
    pub fn load(config: &Config) -> std::io::Result<Self> {
        let settings = &config.livekit;
        if let (Some(key), Some(secret)) = (&settings.api_key, &settings.api_secret) {
            return Ok(Self {
                key: key.clone(),
                secret: secret.clone(),
                file: None,
            });
        }
        Self::load_or_make(&config.data_dir)
    }

    fn load_or_make(data_dir: &Path) -> std::io::Result<Self> {
        let path = data_dir.join(KEYS_FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let (key, secret): ([u8; 9], [u8; 32]) = (rand::random(), rand::random());
                let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
                let text = format!("API{}: {}\n", encode(&key), encode(&secret));
                let mut file = std::fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&path)?;
                file.write_all(text.as_bytes())?;
                text
            }
            Err(error) => return Err(error),
        };
        // `key: secret`, as LiveKit's own key file has it.
        let pair = text.trim().split_once(':');
        let (key, secret) = pair.ok_or_else(|| {
            let message = "expected `key: secret`; delete the file to get a new pair";
            std::io::Error::new(std::io::ErrorKind::InvalidData, message)
        })?;
        Ok(Self {
            key: key.trim().to_owned(),
            secret: Secret::new(secret.trim()),
            file: Some(path),
        })
    }

    /// A token for one call, good for [`TOKEN_S`].
    #[must_use]
    pub fn sign(&self, request: &TokenRequest<'_>) -> String {
        let metadata = json!({ "agent_id": request.agent }).to_string();
        let claims: Value = json!({
            "iss": self.key,
            "sub": request.identity,
            "name": request.name,
            "nbf": request.now_s - 10,
            "exp": request.now_s + TOKEN_S,
            "metadata": metadata,
            "video": {
                "roomJoin": true,
                "room": request.room,
                "canPublish": true,
                "canSubscribe": true,
                "canPublishData": true,
            },
            "roomConfig": { "agents": [{ "agentName": request.agent, "metadata": metadata }] },
        });
        sign_hs256(self.secret.reveal().as_bytes(), &claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_pair_is_kept_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let made = LiveKitKeys::load_or_make(dir.path()).unwrap();
        let again = LiveKitKeys::load_or_make(dir.path()).unwrap();
        assert_eq!(made.key, again.key);
        assert_eq!(made.secret.reveal(), again.secret.reveal());
        let mode = std::fs::metadata(dir.path().join(KEYS_FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(dir.path().join(KEYS_FILE), "nothing").unwrap();
        assert!(LiveKitKeys::load_or_make(dir.path()).is_err());
    }
}
