//! Looks into the server's records while a call runs, when the other side is Samvad.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::sync::mpsc;
use url::Url;

use super::line::ServerCall;
use crate::api::auth::TOKEN_FILE;
use crate::config::Config;

/// Events that may wait to be shown.
const EVENT_CAPACITY: usize = 256;
/// How often the server is asked for a call that it may not have filed yet.
const LOOKUPS_MAX: u32 = 20;
const LOOKUP_PAUSE: Duration = Duration::from_millis(100);

/// Reads calls through the server's REST API.
#[derive(Clone)]
pub struct ServerView {
    client: reqwest::Client,
    base: Url,
    token: String,
}

impl std::fmt::Debug for ServerView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerView")
            .field("base", &self.base.as_str())
            .finish_non_exhaustive()
    }
}

impl ServerView {
    /// A view of the server at `base` with its API token.
    #[must_use]
    pub fn new(base: Url, token: String) -> Self {
        Self {
            client: reqwest::Client::new(),
            base,
            token,
        }
    }

    /// A view with the token that this file holds.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn from_token_file(base: Url, file: &Path) -> anyhow::Result<Self> {
        let token = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the API token in {}", file.display()))?;
        Ok(Self::new(base, token.trim().to_owned()))
    }

    /// A view of a server with this configuration: the token is configured, or in its data
    /// folder.
    ///
    /// # Errors
    /// When there is no token to be had.
    pub fn for_server(base: Url, config: &Config) -> anyhow::Result<Self> {
        match &config.server.api_token {
            Some(token) => Ok(Self::new(base, token.reveal().to_owned())),
            None => Self::from_token_file(base, &config.data_dir.join(TOKEN_FILE)),
        }
    }

    /// The server's id of a call that has just begun.
    ///
    /// # Errors
    /// When the server cannot be asked or does not know the call.
    pub async fn find(&self, call: &ServerCall) -> anyhow::Result<String> {
        match call {
            ServerCall::Id(id) => Ok(id.clone()),
            ServerCall::Unknown => bail!("the other side did not name the call"),
            ServerCall::Carrier(carrier_call_id) => {
                let path = format!("v1/calls?carrier_call_id={carrier_call_id}");
                for _ in 0..LOOKUPS_MAX {
                    let calls = self.get(&path).await?;
                    if let Some(id) = calls["calls"][0]["id"].as_str() {
                        return Ok(id.to_owned());
                    }
                    tokio::time::sleep(LOOKUP_PAUSE).await;
                }
                bail!("the server has no call {carrier_call_id}")
            }
        }
    }

    /// The record of a call, once it has ended.
    ///
    /// # Errors
    /// When the server cannot be asked, or the call does not end within ten seconds.
    pub async fn ended_call(&self, id: &str) -> anyhow::Result<Value> {
        for _ in 0..100 {
            let call = self.get(&format!("v1/calls/{id}")).await?;
            if !call["ended_at"].is_null() {
                return Ok(call);
            }
            tokio::time::sleep(LOOKUP_PAUSE).await;
        }
        bail!("the server still has call {id} open ten seconds after its end")
    }

    /// Everything that workflows keep in `collection`, oldest first.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn records(&self, collection: &str) -> anyhow::Result<Vec<Value>> {
        let mut records = Vec::new();
        let mut path = format!("v1/records/{collection}?limit=100");
        loop {
            let page = self.get(&path).await?;
            records.extend(page["records"].as_array().cloned().unwrap_or_default());
            let Some(cursor) = page["next_cursor"].as_str() else {
                return Ok(records);
            };
            path = format!("v1/records/{collection}?limit=100&cursor={cursor}");
        }
    }

    /// Whatever `path` (relative to the server) holds.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let url = self.base.join(path)?;
        let reply = self
            .client
            .get(url.clone())
            .bearer_auth(&self.token)
            .timeout(Duration::from_secs(10))
            .send()
            .await
            .with_context(|| format!("cannot reach {url}"))?;
        let status = reply.status();
        let text = reply.text().await?;
        if !status.is_success() {
            bail!("{url} answered {status}: {text}");
        }
        serde_json::from_str(&text).with_context(|| format!("{url} did not answer with JSON"))
    }

    /// The events of a call, past ones first, until it ends.
    #[must_use]
    pub fn follow(&self, id: &str) -> mpsc::Receiver<Value> {
        let (events_in, events) = mpsc::channel(EVENT_CAPACITY);
        let view = self.clone();
        let path = format!("v1/calls/{id}/events");
        tokio::spawn(async move {
            if let Err(error) = view.stream(&path, &events_in).await {
                tracing::debug!(%error, "the live transcript ended");
            }
        });
        events
    }

    async fn stream(&self, path: &str, events: &mpsc::Sender<Value>) -> anyhow::Result<()> {
        let reply = self
            .client
            .get(self.base.join(path)?)
            .bearer_auth(&self.token)
            .send()
            .await?
            .error_for_status()?;
        let mut body = reply.bytes_stream();
        let mut parser = pipeline::providers::sse::SseParser::default();
        while let Some(bytes) = body.next().await {
            for data in parser.push(&bytes?)? {
                let Ok(value) = serde_json::from_str(&data) else {
                    continue;
                };
                if events.send(value).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
