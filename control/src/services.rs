//! What all parts of the running server share.

use std::sync::{Arc, OnceLock};

use media::net::engine::MediaEngine;
use media::webrtc::Certificate;
use metrics_exporter_prometheus::PrometheusHandle;
use sha2::{Digest, Sha256};
use sip::net::{Resolver, UserAgent};
use subtle::ConstantTimeEq;

use crate::agents::AgentCatalogue;
use crate::api::limits::Limits;
use crate::calls::controller::CallController;
use crate::calls::registry::CallRegistry;
use crate::carriers::stream_token::StreamTokens;
use crate::config::{Config, Secret};
use crate::identity::jwks::KeySets;
use crate::identity::mail::Mailer;
use crate::identity::password::Passwords;
use crate::identity::sessions;
use crate::identity::vault::Vault;
use crate::livekit::keys::LiveKitKeys;
use crate::numbers::trunks::TrunkDirectory;
use crate::numbers::webhook::WebhookClient;
use crate::sip_line::trunks::TrunkRegistry;
use crate::store::Store;
use crate::tools::ToolRoom;
use crate::webhooks::sender::Sender;

/// What all parts of the running server share.
pub struct Services {
    /// Settings.
    pub config: Arc<Config>,
    /// Database.
    pub store: Store,
    /// Live calls.
    pub registry: CallRegistry,
    /// Takes calls in.
    pub controller: CallController,
    /// Agents.
    pub agents: AgentCatalogue,
    /// Media workers.
    pub engine: MediaEngine,
    /// Tokens of announced streams.
    pub tokens: StreamTokens,
    /// Metrics.
    pub metrics: PrometheusHandle,
    /// The API's token.
    pub admin: AdminToken,
    /// Users, sessions, keys.
    pub identity: Identity,
    /// Trunks registered over the API.
    pub trunks: TrunkDirectory,
    /// Asks endpoints' webhooks where calls go.
    pub endpoint_client: WebhookClient,
    /// SIP trunks in force.
    pub sip_trunks: TrunkRegistry,
    /// Finds the next hops of calls out, once SIP is bound.
    pub resolver: OnceLock<Resolver>,
    /// Has the dialler of campaigns look at once.
    pub dial_now: Arc<tokio::sync::Notify>,
    /// What calls of browsers need.
    pub web: WebCalls,
    /// The SIP user agent once it is bound.
    pub sip: OnceLock<UserAgent>,
    /// Tools that users define, and the client for their addresses.
    pub tools: ToolRoom,
    /// Sends webhooks.
    pub webhooks: Sender,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services")
            .field("config", &self.config)
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}

/// What calls of browsers need.
#[derive(Debug)]
pub struct WebCalls {
    /// Our certificate in DTLS handshakes.
    pub certificate: Arc<Certificate>,
    /// Key and secret of LiveKit tokens.
    pub keys: LiveKitKeys,
}

impl WebCalls {
    /// As configured; makes a key pair at the first start, and a certificate at every one.
    ///
    /// # Errors
    /// When the key pair or the certificate cannot be had.
    pub fn new(config: &Config) -> std::io::Result<Self> {
        let certificate = Certificate::generate().map_err(std::io::Error::other)?;
        Ok(Self {
            certificate: Arc::new(certificate),
            keys: LiveKitKeys::load(config)?,
        })
    }
}

/// What proving who calls needs.
#[derive(Debug)]
pub struct Identity {
    /// Seals secrets and derives keys.
    pub vault: Vault,
    /// Signs our access tokens.
    pub signing_key: [u8; 32],
    /// Makes and checks hashes of passwords.
    pub passwords: Passwords,
    /// Public keys of outside issuers.
    pub key_sets: KeySets,
    /// Sends mail.
    pub mailer: Mailer,
    /// How often one may call.
    pub limits: Limits,
}

impl Identity {
    /// As configured; makes the master key if there is none.
    ///
    /// # Errors
    /// When the master key cannot be had.
    pub fn new(config: &Config) -> std::io::Result<Self> {
        let vault = Vault::load(config.identity.master_key.as_ref(), &config.data_dir)?;
        Ok(Self {
            signing_key: sessions::signing_key(&vault),
            vault,
            passwords: Passwords::default(),
            key_sets: KeySets::default(),
            mailer: Mailer::new(&config.data_dir),
            limits: Limits::new(config.limits.clone()),
        })
    }
}

/// The API's bearer token, kept as its hash.
#[derive(Clone, Debug)]
pub struct AdminToken([u8; 32]);

impl AdminToken {
    /// Accepts `token`.
    #[must_use]
    pub fn new(token: &Secret) -> Self {
        Self(Sha256::digest(token.reveal()).into())
    }

    /// Whether `token` is the one, in time that tells nothing.
    #[must_use]
    pub fn matches(&self, token: &str) -> bool {
        let hash: [u8; 32] = Sha256::digest(token).into();
        self.0.ct_eq(&hash).into()
    }
}
