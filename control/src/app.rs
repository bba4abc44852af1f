//! The server as a whole: built, running, drained.

use std::fmt;
use std::fs::{File, TryLockError};
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use media::net::engine::{EngineError, MediaConfig, MediaEngine};
use pipeline::call::EndReason;
use sip::net::Resolver;
use sip::transport::Transport;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::agents::{AgentCatalogue, AgentError, build_agents};
use crate::api::auth::load_or_make_token;
use crate::api::router::router;
use crate::billing::calls::CallBilling;
use crate::billing::{prices, sweep};
use crate::calls::controller::CallController;
use crate::calls::registry::CallRegistry;
use crate::calls::{queries, recovery};
use crate::campaigns;
use crate::carriers::stream_token::StreamTokens;
use crate::clock::now_us;
use crate::config::Config;
use crate::descriptors;
use crate::housekeeping;
use crate::numbers::trunks::TrunkDirectory;
use crate::numbers::webhook::WebhookClient;
use crate::services::{AdminToken, Identity, Services, WebCalls};
use crate::sip_line;
use crate::sip_line::trunks::{TrunkRegistry, follow_directory, keep_trunks};
use crate::store::{Store, StoreError};
use crate::telemetry::{install_tls_provider, metrics};
use crate::tools::ToolRoom;
use crate::webhooks::sender::Sender;

/// Name of the file that tells this server from others on its database.
const NODE: &str = "node.id";
/// Name of the file whose lock keeps a second server off the data directory.
const LOCK: &str = "samvad.lock";
/// How long calls that were told to end may take to say so, and requests to finish.
const FAREWELL_MAX: Duration = Duration::from_secs(10);
const HTTP_CLOSE_MAX: Duration = Duration::from_secs(2);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A directory or file in it cannot be used.
    #[error("{path}: {source}", path = path.display())]
    Path {
        /// What cannot be used.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another server uses the data directory.
    #[error("{path}: another samvad uses this data directory", path = path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The media workers.
    #[error(transparent)]
    Media(#[from] EngineError),
    /// The metrics.
    #[error("metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// The client for endpoints' webhooks.
    #[error("endpoints: {0}")]
    Endpoints(String),
    /// A listener cannot be bound.
    #[error("{name} {address}: {source}")]
    Bind {
        /// The setting.
        name: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The client for addresses that users write.
    #[error("tools: {0}")]
    Tools(String),
    /// A task of the start failed.
    #[error("start was interrupted: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// The running server. [`App::drain`] ends it in order.
#[derive(Debug)]
pub struct App {
    services: Arc<Services>,
    http_address: SocketAddr,
    sip_address: Option<SocketAddr>,
    token_file: Option<PathBuf>,
    http: JoinHandle<()>,
    http_stop: CancellationToken,
    calls: Option<JoinHandle<()>>,
    housekeeping: JoinHandle<()>,
    campaigns: JoinHandle<()>,
    sending: JoinHandle<()>,
    /// Held as long as the server runs.
    _lock: File,
}

impl App {
    /// Builds the server from its configuration and binds its listeners.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_with(config, build_agents).await
    }

    /// [`Self::start`] with agents made by `agents`, which may block.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start_with<F>(config: Config, agents: F) -> Result<Self, StartError>
    where
        F: FnOnce(&Config, &Store) -> Result<AgentCatalogue, AgentError> + Send + 'static,
    {
        install_tls_provider();
        descriptors::raise_limit(config.server.calls_max);
        let handle = metrics::install()?;
        let config = Arc::new(config);
        let lock = prepare_directories(&config)?;
        let (admin, token_file) = admin_token(&config)?;
        let store = Store::of(&config).await?;
        let identity = Identity::new(&config).map_err(|source| StartError::Path {
            path: config.data_dir.clone(),
            source,
        })?;
        let web = WebCalls::new(&config).map_err(|source| StartError::Path {
            path: config.data_dir.clone(),
            source,
        })?;
        let boot_id = Uuid::now_v7().to_string();
        let node_id = node_id(&config)?;
        queries::insert_boot(&store, &boot_id, &node_id, now_us()).await?;
        recovery::recover(&store, &boot_id, &config.recordings_dir()).await?;
        let agents = {
            let (config, store) = (Arc::clone(&config), store.clone());
            let built = move || agents(&config, &store)?.with_factory(&config, &store);
            tokio::task::spawn_blocking(built).await??
        };
        let tools = ToolRoom::new(&config, &store, &identity.vault).map_err(StartError::Tools)?;
        if let Some(factory) = agents.factory() {
            factory.equip(tools.clone());
        }
        let registry = CallRegistry::new(config.server.calls_max);
        let tariff = prices::bring_into_force(&store, &config.billing, now_us()).await?;
        let billing = CallBilling::new(&config, store.clone(), tariff);
        let controller = CallController::new(
            Arc::clone(&config),
            store.clone(),
            boot_id,
            registry.clone(),
            agents.clone(),
            billing.clone(),
        );
        let trunks = TrunkDirectory::new(store.clone(), identity.vault.clone());
        let endpoint_client =
            WebhookClient::new(&config.endpoints).map_err(StartError::Endpoints)?;
        let sip_trunks = TrunkRegistry::new(&config.sip, &config.trunks);
        let webhooks = Sender::new(
            store.clone(),
            identity.vault.clone(),
            tools.client().clone(),
        );
        controller.tell_endings_to(webhooks.clone());
        let services = Arc::new(Services {
            engine: MediaEngine::start(media_config(&config))?,
            config,
            store,
            registry,
            controller,
            agents,
            tokens: StreamTokens::new(),
            metrics: handle,
            admin,
            trunks,
            identity,
            endpoint_client,
            sip_trunks,
            resolver: OnceLock::new(),
            dial_now: Arc::default(),
            web,
            sip: OnceLock::new(),
            tools,
            webhooks: webhooks.clone(),
        });
        let sending = tokio::spawn(webhooks.run());
        let (sip_address, calls) = bind_sip(&services).await?.unzip();
        let beats = housekeeping::run(services.registry.clone(), services.metrics.clone());
        let sweeping = sweep::run(services.store.clone(), billing);
        let housekeeping = tokio::spawn(async move {
            tokio::join!(beats, sweeping);
        });
        let campaigns = tokio::spawn(campaigns::driver::run(Arc::clone(&services), node_id));
        let http_stop = CancellationToken::new();
        let (http_address, http) = bind_http(&services, http_stop.clone()).await?;
        Ok(Self {
            services,
            http_address,
            sip_address,
            token_file,
            http,
            http_stop,
            calls,
            housekeeping,
            campaigns,
            sending,
            _lock: lock,
        })
    }

    /// Refuses new calls, lets running ones finish for the configured time, or until `hurry`
    /// resolves, then ends them, and stops.
    pub async fn drain(self, hurry: impl Future<Output = ()>) {
        let Self {
            services,
            http,
            http_stop,
            calls,
            housekeeping,
            campaigns,
            sending,
            ..
        } = self;
        let registry = &services.registry;
        registry.drain();
        let deadline = services.config.server.drain_deadline;
        tracing::info!(calls = registry.len(), "draining");
        tokio::select! {
            finished = timeout(deadline, registry.emptied()) => {
                if finished.is_err() {
                    tracing::warn!(calls = registry.len(), "deadline reached, ending calls");
                }
            }
            () = hurry => tracing::warn!(calls = registry.len(), "ending calls at once"),
        }
        registry.hang_up_all(EndReason::ServerShutdown);
        if timeout(FAREWELL_MAX, registry.emptied()).await.is_err() {
            tracing::error!(calls = registry.len(), "calls did not end");
        }
        if let Some(agent) = services.sip.get() {
            agent.drain();
        }
        if let Some(calls) = calls {
            calls.abort();
        }
        housekeeping.abort();
        campaigns.abort();
        // What is not sent yet is sent by the next start.
        sending.abort();
        http_stop.cancel();
        let abort = http.abort_handle();
        if timeout(HTTP_CLOSE_MAX, http).await.is_err() {
            // Viewers of events hold their connections open.
            abort.abort();
        }
        tracing::info!("stopped");
    }

    /// Address of the HTTP listener.
    #[must_use]
    pub const fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Address of the SIP listener.
    #[must_use]
    pub const fn sip_address(&self) -> Option<SocketAddr> {
        self.sip_address
    }

    /// What all parts share.
    #[must_use]
    pub const fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// Each listener and how to reach it, for people.
    #[must_use]
    pub const fn banner(&self) -> Banner<'_> {
        Banner(self)
    }
}

/// Lines that tell how to reach the server.
#[derive(Debug)]
pub struct Banner<'a>(&'a App);

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let app = self.0;
        let config = &app.services.config;
        let reach = |address: SocketAddr| {
            if address.ip().is_unspecified() {
                SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()))
            } else {
                address
            }
        };
        writeln!(f, "samvad {} is running", env!("CARGO_PKG_VERSION"))?;
        let http = reach(app.http_address);
        let base = config
            .server
            .public_url
            .clone()
            .unwrap_or_else(|| format!("http://{http}"));
        writeln!(
            f,
            "  http       {} (listening on {})",
            base, app.http_address
        )?;
        writeln!(f, "  console    {base}/console/")?;
        match &app.token_file {
            Some(path) => writeln!(f, "  api        {base}/v1 (token in {})", path.display())?,
            None => writeln!(f, "  api        {base}/v1 (token from the configuration)")?,
        }
        writeln!(
            f,
            "  status     {base}/health  {base}/ready  {base}/metrics"
        )?;
        let websocket = base.replacen("http", "ws", 1);
        match &app.services.web.keys.file {
            Some(file) => writeln!(
                f,
                "  livekit    {websocket} (key and secret in {})",
                file.display()
            )?,
            None => writeln!(
                f,
                "  livekit    {websocket} (key and secret from the configuration)"
            )?,
        }
        for agent in app.services.agents.iter() {
            let id = &agent.id;
            writeln!(f, "  agent {id}")?;
            if let Some(sip) = app.sip_address {
                let host = config.sip.advertised_address.map_or_else(
                    || reach(sip),
                    |address| SocketAddr::new(address, sip.port()),
                );
                writeln!(f, "    sip      sip:{id}@{host} (UDP, listening on {sip})")?;
            }
            writeln!(f, "    twilio   {base}/carriers/twilio/{id}/voice")?;
            writeln!(f, "             {websocket}/carriers/twilio/{id}/stream")?;
            writeln!(f, "    exotel   {base}/carriers/exotel/{id}/voice")?;
            writeln!(f, "             {websocket}/carriers/exotel/{id}/stream")?;
        }
        for (number, agent) in &config.numbers {
            writeln!(f, "  number {number} -> {agent}")?;
        }
        Ok(())
    }
}

fn prepare_directories(config: &Config) -> Result<File, StartError> {
    let unusable = |path: PathBuf| move |source| StartError::Path { path, source };
    for dir in [config.data_dir.clone(), config.recordings_dir()] {
        std::fs::create_dir_all(&dir).map_err(unusable(dir))?;
    }
    let path = config.data_dir.join(LOCK);
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(unusable(path.clone()))?;
    // A second server would take this one's calls for interrupted.
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse {
            path: config.data_dir.clone(),
        }),
        Err(TryLockError::Error(source)) => Err(StartError::Path { path, source }),
    }
}

/// Tells this data directory from those of other servers on the same database.
fn node_id(config: &Config) -> Result<String, StartError> {
    let path = config.data_dir.join(NODE);
    if let Ok(id) = std::fs::read_to_string(&path) {
        return Ok(id.trim().to_owned());
    }
    // The boots of a SQLite database are all of one node, also those before nodes had names.
    let id = match config.database.url {
        Some(_) => Uuid::now_v7().to_string(),
        None => String::new(),
    };
    std::fs::write(&path, &id).map_err(|source| StartError::Path { path, source })?;
    Ok(id)
}

fn admin_token(config: &Config) -> Result<(AdminToken, Option<PathBuf>), StartError> {
    if let Some(token) = &config.server.api_token {
        return Ok((AdminToken::new(token), None));
    }
    let (token, path) =
        load_or_make_token(&config.data_dir).map_err(|source| StartError::Path {
            path: config.data_dir.clone(),
            source,
        })?;
    Ok((AdminToken::new(&token), Some(path)))
}

fn media_config(config: &Config) -> MediaConfig {
    let ports = config.media.rtp_ports;
    MediaConfig {
        workers: config.media.workers,
        rtp_ports: ports.min..=ports.max,
        ..MediaConfig::default()
    }
}

async fn bind_sip(
    services: &Arc<Services>,
) -> Result<Option<(SocketAddr, JoinHandle<()>)>, StartError> {
    if !services.config.sip.enabled {
        return Ok(None);
    }
    let bound = sip_line::bind_user_agent(&services.sip_trunks).await;
    let (agent, incoming) = bound.map_err(|(name, address, source)| StartError::Bind {
        name,
        address,
        source,
    })?;
    let transports = vec![Transport::Udp, Transport::Tcp, Transport::Tls];
    let resolver = Resolver::from_system(transports).map_err(|error| StartError::Bind {
        name: "sip.bind",
        address: agent.local_addr(),
        source: std::io::Error::other(error),
    })?;
    let address = agent.local_addr();
    let keeper = keep_trunks(services.sip_trunks.clone(), agent.clone(), resolver);
    let for_calls = sip_line::outbound::resolver().map_err(|source| StartError::Bind {
        name: "sip.bind",
        address,
        source,
    })?;
    // Empty until here: this is the only place that sets them.
    let _ = services.resolver.set(for_calls);
    let _ = services.sip.set(agent);
    let accepting = sip_line::accept_calls(Arc::clone(services), incoming);
    let directory = follow_directory(services.trunks.clone(), services.sip_trunks.clone());
    let calls = tokio::spawn(async move {
        tokio::join!(accepting, keeper, directory);
    });
    Ok(Some((address, calls)))
}

async fn bind_http(
    services: &Arc<Services>,
    stop: CancellationToken,
) -> Result<(SocketAddr, JoinHandle<()>), StartError> {
    let address = services.config.server.http;
    let bind_error = |source| StartError::Bind {
        name: "server.http",
        address,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(bind_error)?;
    let bound = listener.local_addr().map_err(bind_error)?;
    let service = router(Arc::clone(services)).into_make_service_with_connect_info::<SocketAddr>();
    let http = tokio::spawn(async move {
        let served = axum::serve(listener, service)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "http server failed");
        }
    });
    Ok((bound, http))
}
