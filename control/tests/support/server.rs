//! A real `samvad serve` process on ports of its own.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::conversation::fixture;

/// Even start of the next server's RTP range; every server of a test process gets its own.
static NEXT_RTP_PORT: AtomicU16 = AtomicU16::new(0);
/// RTP ports per server.
const RTP_PORTS: u16 = 600;

/// A running server with its own data folder; killed when dropped.
pub struct Server {
    child: Child,
    settings: Vec<(&'static str, String)>,
    config: PathBuf,
    data_dir: PathBuf,
    log: PathBuf,
    http: u16,
    sip: u16,
    client: reqwest::Client,
    // Removed last.
    _folder: TempDir,
}

impl Server {
    /// Starts a server with the built-in agent and these settings from the environment
    /// (`SAMVAD_SECTION__KEY`), and waits until it is ready.
    pub async fn start(settings: &[(&'static str, &str)]) -> Self {
        Self::start_with(settings, "").await
    }

    /// As [`Self::start`], with an agent `name` that follows `fixtures/workflows/<name>.toml`.
    pub async fn start_with_workflow(settings: &[(&'static str, &str)], name: &str) -> Self {
        let path = fixture(&format!("workflows/{name}.toml"));
        let path = path.canonicalize().expect("workflow");
        let agents = format!(
            "[[workflows]]\nid = \"{name}\"\npath = {path:?}\n\
             [[agents]]\nid = \"{name}\"\nworkflow = \"{name}\"\n"
        );
        Self::start_with(settings, &agents).await
    }

    /// As [`Self::start`], with further configuration as TOML.
    pub async fn start_with(settings: &[(&'static str, &str)], agents: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("scratch folder");
        let data_dir = folder.path().join("data");
        let http = free_tcp_port();
        let sip = free_udp_port();
        let first = 20_000 + NEXT_RTP_PORT.fetch_add(RTP_PORTS, Ordering::Relaxed);
        let config = folder.path().join("samvad.toml");
        fs::write(
            &config,
            format!(
                "data_dir = {data_dir:?}\n\
                 [server]\nhttp = \"127.0.0.1:{http}\"\n\
                 [sip]\nbind = \"127.0.0.1:{sip}\"\n\
                 [media]\nrtp_ports = \"{first}-{}\"\nrtp_bind = \"127.0.0.1\"\n{agents}",
                first + RTP_PORTS - 1
            ),
        )
        .expect("configuration is written");
        let log = folder.path().join("server.log");
        let settings: Vec<(&'static str, String)> = settings
            .iter()
            .map(|(key, value)| (*key, (*value).to_owned()))
            .collect();
        let child = spawn(&config, &settings, &log);
        let mut server = Self {
            child,
            settings,
            config,
            data_dir,
            log,
            http,
            sip,
            client: reqwest::Client::new(),
            _folder: folder,
        };
        server.wait_until_ready().await;
        server
    }

    /// Kills the process at once, as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().expect("server is running");
        self.child.wait().expect("server is reaped");
    }

    /// Starts the process again on the same data.
    pub async fn restart(&mut self) {
        self.child = spawn(&self.config, &self.settings, &self.log);
        self.wait_until_ready().await;
    }

    /// Base URL of the HTTP side.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// Address of the SIP side.
    pub fn sip_address(&self) -> String {
        format!("127.0.0.1:{}", self.sip)
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The API token.
    pub fn token(&self) -> String {
        fs::read_to_string(self.data_dir.join("admin.token"))
            .expect("server left its token")
            .trim()
            .to_owned()
    }

    /// File of a call's recording.
    pub fn recording(&self, call: &Value) -> PathBuf {
        let file = call["recording"]["file"].as_str();
        self.data_dir
            .join("recordings")
            .join(file.unwrap_or_else(|| panic!("no recording: {call}")))
    }

    /// JSON at `path` of the API.
    pub async fn get(&self, path: &str) -> Value {
        let text = self.get_text(path).await;
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path} is not JSON: {text}"))
    }

    /// Text at `path` of the API.
    pub async fn get_text(&self, path: &str) -> String {
        let reply = self
            .client
            .get(format!("{}{path}", self.url()))
            .bearer_auth(self.token())
            .send()
            .await
            .unwrap_or_else(|error| panic!("{path}: {error}\n{}", self.log_tail()));
        let status = reply.status();
        let text = reply.text().await.expect("body");
        assert!(status.is_success(), "{path}: {status} {text}");
        text
    }

    /// Value of a metric without labels, or the sum over its labels; zero when absent.
    pub async fn metric(&self, name: &str) -> f64 {
        self.get_text("/metrics")
            .await
            .lines()
            .filter(|line| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(['{', ' ']))
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Looks every 50 ms until `condition` gives a value.
    pub async fn wait_for<T>(
        &self,
        what: &str,
        limit: Duration,
        mut condition: impl AsyncFnMut(&Self) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(value) = condition(self).await {
                return value;
            }
            assert!(
                Instant::now() < deadline,
                "{what} did not happen within {limit:?}\n{}",
                self.log_tail()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The newest call, once it has ended.
    pub async fn ended_call(&self, limit: Duration) -> Value {
        self.wait_for("the end of the call", limit, async |server| {
            let calls = server.get("/v1/calls?limit=1").await;
            let id = calls["calls"][0]["id"].as_str()?.to_owned();
            let call = server.get(&format!("/v1/calls/{id}")).await;
            (!call["ended_at"].is_null()).then_some(call)
        })
        .await
    }

    /// The end of the server's log.
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    async fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let url = format!("{}/ready", self.url());
        loop {
            if let Ok(reply) = self.client.get(&url).send().await
                && reply.status().is_success()
            {
                return;
            }
            if let Some(status) = self.child.try_wait().expect("child") {
                panic!("the server ended with {status}\n{}", self.log_tail());
            }
            assert!(
                Instant::now() < deadline,
                "not ready in time\n{}",
                self.log_tail()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(config: &Path, settings: &[(&'static str, String)], log: &Path) -> Child {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .expect("log file");
    Command::new(env!("CARGO_BIN_EXE_samvad"))
        .args(["serve", "--config"])
        .arg(config)
        .envs(settings.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("log handle"))
        .stderr(log)
        .spawn()
        .expect("samvad starts")
}

/// A free TCP port; also for listeners of the server.
pub fn free_tcp_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a free port")
        .port()
}

/// A free UDP port; also for peers.
pub fn free_udp_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a free port")
        .port()
}

/// Path of a peer program that `make test` installs; a missing peer fails the test.
pub fn peer(program: &str) -> PathBuf {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join(program))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("{program} is not installed; `make test` installs the peers the tests call with")
    })
}
