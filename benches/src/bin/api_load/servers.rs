//! The two servers under the same requests.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::client::{Connection, Request, now};

/// How long a server may take to be ready.
const READY_MAX: Duration = Duration::from_secs(60);
/// The peer's program.
const PEER: &str = include_str!("peer.py");
/// `.ci/install-fastapi` puts it there.
const PYTHON: &str = "target/fastapi/bin/python";
const EMAIL: &str = "bench@bench.example";
const PASSWORD: &str = "correct horse battery";

/// A server at work; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    pub(crate) key: String,
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Starts Samvad with an account and its key.
    pub(crate) fn samvad(program: &Path, folder: &Path, url: Option<&str>) -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let program = fs::canonicalize(program).context("--samvad")?;
        let command = |arguments: &[&str]| {
            let mut command = Command::new(&program);
            command
                .args(arguments)
                .env("SAMVAD_DATA_DIR", folder.join("data"))
                .env("SAMVAD_SERVER__HTTP", &address)
                .env("SAMVAD_SIP__ENABLED", "false")
                .env("SAMVAD_LIMITS__REQUESTS_PER_SECOND", "1000000")
                .env("SAMVAD_LOG__FILTER", "warn");
            if let Some(url) = url {
                command.env("SAMVAD_DATABASE__URL", url);
            }
            command
        };
        let log = fs::File::create(folder.join("samvad.log"))?;
        let child = command(&["serve"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut server = Self {
            child,
            address: address.clone(),
            key: String::new(),
        };
        server.wait_until_ready()?;
        let mut admin = command(&["admin", "create", "--email", EMAIL])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let mut stdin = admin.stdin.take().context("no pipe")?;
        stdin.write_all(PASSWORD.as_bytes())?;
        drop(stdin);
        if !admin.wait()?.success() {
            bail!("no account was made");
        }
        let login = json!({ "email": EMAIL, "password": PASSWORD });
        let session = server.post("/auth/login", &login, &[])?;
        let token = session["access_token"].as_str().context("no session")?;
        let bearer = ("authorization".to_owned(), format!("Bearer {token}"));
        let body = json!({ "name": "bench", "product": "kupe" });
        let key = server.post("/api/v1/api-keys", &body, &[bearer])?;
        let key = key["api_key"]["key"].as_str().context("no key")?;
        server.key = key.to_owned();
        Ok(server)
    }

    /// Starts the peer, which keeps `sections` of each agent.
    pub(crate) fn peer(folder: &Path, url: Option<&str>, sections: &Value) -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let program = folder.join("peer.py");
        fs::write(&program, PEER)?;
        let python: PathBuf = fs::canonicalize(Path::new(PYTHON).parent().context("path")?)
            .context("`.ci/install-fastapi` installs the peer")?
            .join("python");
        let file = folder.join("peer.db");
        let key = "bench_key_of_forty_characters_or_more_000";
        let log = fs::File::create(folder.join("peer.log"))?;
        let child = Command::new(python)
            .arg(&program)
            .arg(address.port().to_string())
            .env(
                "PEER_DATABASE",
                url.map_or(file.as_os_str(), |url| url.as_ref()),
            )
            .env("PEER_KEY", key)
            .env("PEER_SECTIONS", sections.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut server = Self {
            child,
            address: address.to_string(),
            key: key.to_owned(),
        };
        if let Err(error) = server.wait_until_ready() {
            let log = fs::read_to_string(folder.join("peer.log")).unwrap_or_default();
            return Err(error.context(log));
        }
        Ok(server)
    }

    /// A request with the key.
    pub(crate) fn request(&self, method: &'static str, path: &str, body: Option<&str>) -> Request {
        Request {
            method,
            path: path.to_owned(),
            headers: vec![("x-api-key".to_owned(), self.key.clone())],
            body: body.map(str::to_owned),
        }
    }

    /// JSON of a request that must succeed.
    pub(crate) fn done(&self, request: &Request) -> anyhow::Result<Value> {
        let (status, body) = Connection::open(&self.address)?.ask(request, 0)?;
        if !(200..300).contains(&status) {
            let text = String::from_utf8_lossy(&body);
            bail!("{} {}: {status} {text}", request.method, request.path);
        }
        Ok(serde_json::from_slice(&body)?)
    }

    fn post(
        &self,
        path: &str,
        body: &Value,
        headers: &[(String, String)],
    ) -> anyhow::Result<Value> {
        self.done(&Request {
            method: "POST",
            path: path.to_owned(),
            headers: headers.to_vec(),
            body: Some(body.to_string()),
        })
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let ready = Request {
            method: "GET",
            path: "/health".to_owned(),
            headers: Vec::new(),
            body: None,
        };
        let begun = now();
        while now().duration_since(begun) < READY_MAX {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status}");
            }
            let answered = Connection::open(&self.address).and_then(|mut c| c.ask(&ready, 0));
            if answered.is_ok_and(|(status, _)| status == 200) {
                return Ok(());
            }
            pause();
        }
        bail!("the server is not ready in time")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "waits for another process")]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}
