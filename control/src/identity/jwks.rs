//! Public keys of token issuers, fetched when they are needed and kept for a while.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use serde::Deserialize;

use super::jwt::Jwk;
use crate::clock::now_us;

/// How long keys are taken as current.
const FRESH_US: i64 = 600_000_000;
/// Shortest time between two fetches, so that bad tokens do not make us ask again and again.
const REFETCH_US: i64 = 30_000_000;
const FETCH_MAX: Duration = Duration::from_secs(5);
const BODY_BYTES_MAX: usize = 256 * 1024;

/// Key sets by address.
#[derive(Debug, Default)]
pub struct KeySets {
    sets: Mutex<HashMap<String, (i64, Vec<Jwk>)>>,
    client: reqwest::Client,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Jwk>,
}

impl KeySets {
    /// The keys at `url`. `unknown` says that a token names a key that is not among those kept.
    pub async fn get(&self, url: &str, unknown: bool) -> Vec<Jwk> {
        let now = now_us();
        let kept = self
            .sets
            .lock()
            .ok()
            .and_then(|sets| sets.get(url).cloned());
        if let Some((at, keys)) = &kept {
            let age = now - at;
            if age < REFETCH_US || (age < FRESH_US && !unknown) {
                return keys.clone();
            }
        }
        match self.fetch(url).await {
            Ok(keys) => {
                if let Ok(mut sets) = self.sets.lock() {
                    sets.insert(url.to_owned(), (now, keys.clone()));
                }
                keys
            }
            Err(error) => {
                tracing::warn!(%error, url, "public keys were not fetched");
                // Rather the keys of before than nobody signed in.
                kept.map(|(_, keys)| keys).unwrap_or_default()
            }
        }
    }

    async fn fetch(&self, url: &str) -> Result<Vec<Jwk>, String> {
        let reply = self.client.get(url).timeout(FETCH_MAX).send().await;
        let reply = reply.and_then(reqwest::Response::error_for_status);
        let body = reply.map_err(|error| error.to_string())?;
        let body = body.bytes().await.map_err(|error| error.to_string())?;
        if body.len() > BODY_BYTES_MAX {
            return Err("the key set is too large".to_owned());
        }
        let document: Document =
            serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        Ok(document.keys)
    }
}
