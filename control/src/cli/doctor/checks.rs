//! The checks of `samvad doctor`.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::Duration;

use sqlx::{ConnectOptions as _, Connection as _};
use url::Url;

use super::{Finding, State};
use crate::agents::build_agents;
use crate::config::Config;
use crate::store::Store;

/// Less free space is worth a warning: an hour of recording takes 230 MB.
const DISK_FREE_MIN: u64 = 2 << 30;
/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Name of the SQLite database within the data directory.
const DATABASE: &str = "samvad.db";

pub(super) async fn all(config: &Config) -> Vec<Finding> {
    let mut findings = vec![data_directory(config), disk(config), database(config).await];
    findings.extend(ports(config).await);
    findings.push(media_ports(config));
    findings.push(public_address(config));
    findings.push(agents(config).await);
    findings.extend(providers(config).await);
    findings.push(clock());
    findings
}

fn data_directory(config: &Config) -> Finding {
    let dir = &config.data_dir;
    let (check, shown) = ("data directory", dir.display().to_string());
    if !dir.exists() {
        return Finding::new(
            check,
            State::Ok,
            format!("{shown} is made at the first start"),
        );
    }
    let probe = dir.join(format!(".doctor-{}", std::process::id()));
    match std::fs::write(&probe, b"") {
        Ok(()) => {
            let _ = std::fs::remove_file(&probe);
            Finding::new(check, State::Ok, format!("{shown} can be written"))
        }
        Err(error) => Finding::new(check, State::Failed, format!("{shown}: {error}"))
            .hint("let the server's user write there, or set data_dir"),
    }
}

#[allow(unsafe_code)]
fn free_bytes(path: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut about = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` ends with NUL and `about` is as large as statvfs writes; it is read only when
    // the call says that it was filled.
    let about = unsafe {
        if libc::statvfs(path.as_ptr(), about.as_mut_ptr()) != 0 {
            return None;
        }
        about.assume_init()
    };
    Some(about.f_bavail.saturating_mul(about.f_frsize))
}

fn disk(config: &Config) -> Finding {
    let dir = config.recordings_dir();
    let existing = dir.ancestors().find(|path| path.exists());
    let existing = existing.unwrap_or_else(|| Path::new("."));
    match free_bytes(existing) {
        None => Finding::new("disk", State::Warning, "how much is free cannot be told"),
        Some(free) => {
            let detail = format!(
                "{:.1} GiB free for recordings",
                free as f64 / (1_u64 << 30) as f64
            );
            if free >= DISK_FREE_MIN {
                Finding::new("disk", State::Ok, detail)
            } else {
                Finding::new("disk", State::Warning, detail)
                    .hint("an hour of recording takes 230 MB; see recording.dir")
            }
        }
    }
}

/// Reads only, so that a newer program does not change the schema under an older server.
async fn database(config: &Config) -> Finding {
    let check = "database";
    if let Some(url) = &config.database.url {
        let asked = async {
            let mut conn = sqlx::PgConnection::connect(url.reveal()).await?;
            sqlx::query("SELECT 1").execute(&mut conn).await?;
            conn.close().await
        };
        return match tokio::time::timeout(CONNECT_MAX, asked).await {
            Ok(Ok(())) => Finding::new(check, State::Ok, "PostgreSQL answers"),
            Ok(Err(error)) => Finding::new(check, State::Failed, format!("PostgreSQL: {error}"))
                .hint("see database.url"),
            Err(_) => Finding::new(check, State::Failed, "PostgreSQL does not answer in 3 s")
                .hint("see database.url"),
        };
    }
    let path = config.data_dir.join(DATABASE);
    if !path.exists() {
        return Finding::new(check, State::Ok, "SQLite, made at the first start");
    }
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(&path)
        .read_only(true);
    let asked = async {
        let mut conn = options.connect().await?;
        let answer: String = sqlx::query_scalar("PRAGMA quick_check(1)")
            .fetch_one(&mut conn)
            .await?;
        conn.close().await?;
        Ok::<_, sqlx::Error>(answer)
    };
    match asked.await {
        Ok(answer) if answer == "ok" => Finding::new(check, State::Ok, "SQLite is sound"),
        Ok(answer) => Finding::new(check, State::Failed, format!("SQLite: {answer}"))
            .hint("stop the server and restore a backup"),
        Err(error) => Finding::new(check, State::Failed, format!("{}: {error}", path.display())),
    }
}

async fn ports(config: &Config) -> Vec<Finding> {
    let sip = &config.sip;
    let tcp = [
        ("http", Some(config.server.http)),
        ("sip tcp", sip.tcp_bind.filter(|_| sip.enabled)),
        ("sip tls", sip.tls_bind.filter(|_| sip.enabled)),
        ("sip ws", sip.ws_bind.filter(|_| sip.enabled)),
        ("sip wss", sip.wss_bind.filter(|_| sip.enabled)),
    ];
    let running = samvad_answers(config.server.http).await;
    let mut findings: Vec<Finding> = tcp
        .into_iter()
        .filter_map(|(name, address)| Some((name, address?)))
        .map(|(name, address)| port(name, address, TcpListener::bind(address).map(drop), running))
        .collect();
    if sip.enabled {
        let bound = UdpSocket::bind(sip.bind).map(drop);
        findings.push(port("sip udp", sip.bind, bound, running));
    }
    findings
}

fn port(name: &str, address: SocketAddr, bound: std::io::Result<()>, running: bool) -> Finding {
    let check = format!("port {name}");
    match bound {
        Ok(()) => Finding::new(check, State::Ok, format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse && running => Finding::new(
            check,
            State::Ok,
            format!("{address} is taken; a samvad runs here"),
        ),
        Err(error) => Finding::new(check, State::Failed, format!("{address}: {error}"))
            .hint("end the program that has it, or configure another address"),
    }
}

/// Whether the one that has the HTTP port is a samvad.
async fn samvad_answers(address: SocketAddr) -> bool {
    let client = reqwest::Client::builder().timeout(CONNECT_MAX).no_proxy();
    let Ok(client) = client.build() else {
        return false;
    };
    let host = if address.ip().is_unspecified() {
        SocketAddr::from(([127, 0, 0, 1], address.port()))
    } else {
        address
    };
    let Ok(reply) = client.get(format!("http://{host}/health")).send().await else {
        return false;
    };
    reply
        .text()
        .await
        .is_ok_and(|text| text.contains("\"samvad\""))
}

/// Sockets of calls are opened in pairs; a few at each end of the range tell whether it is usable.
fn media_ports(config: &Config) -> Finding {
    let range = config.media.rtp_ports;
    let pairs = u32::from(range.max - range.min).div_ceil(2);
    let tried: Vec<u16> = (range.min..=range.max).step_by(64).take(32).collect();
    let free = tried
        .iter()
        .filter(|port| UdpSocket::bind((config.media.rtp_bind, **port)).is_ok())
        .count();
    let detail = format!(
        "{}-{}, {pairs} calls at most; {free} of {} ports tried are free",
        range.min,
        range.max,
        tried.len()
    );
    if free * 2 >= tried.len() {
        Finding::new("media ports", State::Ok, detail)
    } else {
        Finding::new("media ports", State::Failed, detail)
            .hint("another program has them; see media.rtp_ports")
    }
}

/// What callers are told to send their audio to.
fn public_address(config: &Config) -> Finding {
    let check = "public address";
    if let Some(address) = config.sip.advertised_address {
        return Finding::new(
            check,
            State::Ok,
            format!("sip.advertised_address is {address}"),
        );
    }
    let bound = config.media.rtp_bind;
    let own = if bound.is_unspecified() {
        // Asks the routing table; nothing is sent (RFC 5737 address).
        UdpSocket::bind("0.0.0.0:0")
            .and_then(|socket| {
                socket.connect("192.0.2.1:9")?;
                socket.local_addr()
            })
            .map_or(bound, |address| address.ip())
    } else {
        bound
    };
    if reached_from_outside(own) {
        Finding::new(check, State::Ok, format!("calls are told {own}"))
    } else {
        let detail = format!("calls are told {own}, which other networks do not reach");
        Finding::new(check, State::Warning, detail).hint(
            "behind NAT set sip.advertised_address to the public address and forward the ports",
        )
    }
}

const fn reached_from_outside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified())
        }
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local()),
    }
}

/// Sets all agents up, models and codecs of the embedded speech included, on a store of its own.
async fn agents(config: &Config) -> Finding {
    let check = "agents";
    let dir = std::env::temp_dir().join(format!("samvad-doctor-{}", uuid::Uuid::now_v7()));
    let mut own = config.clone();
    own.data_dir.clone_from(&dir);
    own.database.url = None;
    let made = std::fs::create_dir_all(&dir);
    let finding = match made {
        Err(error) => Finding::new(check, State::Warning, format!("{}: {error}", dir.display())),
        Ok(()) => match Store::of(&own).await {
            Err(error) => Finding::new(check, State::Warning, error.to_string()),
            Ok(store) => {
                match tokio::task::spawn_blocking(move || build_agents(&own, &store)).await {
                    Ok(Ok(catalogue)) => {
                        let names: Vec<&str> = catalogue.iter().map(|a| a.id.as_str()).collect();
                        Finding::new(check, State::Ok, format!("set up: {}", names.join(", ")))
                    }
                    Ok(Err(error)) => Finding::new(check, State::Failed, error.to_string()),
                    Err(error) => Finding::new(check, State::Failed, error.to_string()),
                }
            }
        },
    };
    let _ = std::fs::remove_dir_all(&dir);
    finding
}

/// Whether the hosts of configured providers can be reached; keys are not tried.
async fn providers(config: &Config) -> Vec<Finding> {
    let sections = [
        ("stt", &config.stt.providers),
        ("tts", &config.tts.providers),
        ("llm", &config.llm.providers),
    ];
    let mut addresses: Vec<(String, &str)> = sections
        .into_iter()
        .flat_map(|(part, all)| {
            all.iter()
                .map(move |(name, section)| (format!("{part} {name}"), section.base_url.as_str()))
        })
        .filter(|(_, url)| !url.is_empty())
        .collect();
    // An installation of workflows only asks no model.
    let led_by_model = config.agents.values().any(|agent| agent.llm.is_some());
    let names = config.llm.provider.as_slice();
    if led_by_model && names.iter().any(|name| name == "openai") {
        addresses.push(("llm openai".to_owned(), &config.llm.openai.base_url));
    }
    let mut findings = Vec::with_capacity(addresses.len());
    for (name, url) in addresses {
        let check = format!("provider {name}");
        let target = Url::parse(url)
            .ok()
            .and_then(|url| Some((url.host_str()?.to_owned(), url.port_or_known_default()?)));
        let Some((host, port)) = target else {
            findings.push(Finding::new(
                check,
                State::Failed,
                format!("`{url}` is no address"),
            ));
            continue;
        };
        let connect = tokio::net::TcpStream::connect((host.as_str(), port));
        findings.push(match tokio::time::timeout(CONNECT_MAX, connect).await {
            Ok(Ok(_)) => Finding::new(check, State::Ok, format!("{host}:{port} takes connections")),
            Ok(Err(error)) => Finding::new(check, State::Failed, format!("{host}:{port}: {error}")),
            Err(_) => Finding::new(
                check,
                State::Failed,
                format!("{host}:{port} does not answer in 3 s"),
            ),
        });
    }
    findings
}

/// Tokens, signatures and nonces carry times: a clock that nobody sets goes astray.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn clock() -> Finding {
    // SAFETY: an all-zero `timex` is valid, asks for nothing to be changed (`modes` is 0), and
    // outlives the call.
    let state = unsafe {
        let mut about: libc::timex = std::mem::zeroed();
        libc::adjtimex(&raw mut about)
    };
    match state {
        libc::TIME_ERROR | -1 => Finding::new("clock", State::Warning, "nobody sets it")
            .hint("run a time service such as chrony or systemd-timesyncd"),
        _ => Finding::new("clock", State::Ok, "is kept by a time service"),
    }
}

#[cfg(not(target_os = "linux"))]
fn clock() -> Finding {
    Finding::new("clock", State::Warning, "who sets it cannot be told here")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &str) -> (tempfile::TempDir, Config) {
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            "data_dir = {:?}\n[server]\nhttp = \"127.0.0.1:0\"\n[sip]\nbind = \"127.0.0.1:0\"\n{more}",
            dir.path()
        );
        let config = Config::from_toml(&text, &[], dir.path()).unwrap();
        (dir, config)
    }

    #[tokio::test]
    async fn a_taken_port_and_a_broken_database_are_failures() {
        crate::telemetry::install_tls_provider();
        let (dir, mut config) = config("");
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        config.server.http = taken.local_addr().unwrap();
        let found = ports(&config).await;
        assert_eq!(found[0].state, State::Failed, "{found:?}");
        assert_eq!(found[1].state, State::Ok, "{found:?}");

        assert_eq!(database(&config).await.state, State::Ok);
        std::fs::write(dir.path().join(DATABASE), vec![7; 4096]).unwrap();
        assert_eq!(database(&config).await.state, State::Failed);
    }

    #[test]
    fn an_address_behind_nat_is_told() {
        let (_dir, mut config) = config("");
        config.media.rtp_bind = IpAddr::from([192, 168, 1, 5]);
        assert_eq!(public_address(&config).state, State::Warning);
        config.sip.advertised_address = Some(IpAddr::from([203, 0, 113, 9]));
        assert_eq!(public_address(&config).state, State::Ok);
        assert!(!reached_from_outside(IpAddr::from([127, 0, 0, 1])));
    }
}
