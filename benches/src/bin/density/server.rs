//! The server under load and its own figures.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::ops::Sub;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

use crate::callers::{fixture, free_udp_port};

/// How long the server may take to be ready.
const READY_MAX: Duration = Duration::from_secs(60);
/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Calls the API lists at a time.
const PAGE: u32 = 200;
/// Endings that are nobody's failure.
const FINE_CLASSES: [&str; 2] = ["completed", "abandoned"];

/// How a server is started.
#[derive(Debug)]
pub(crate) struct Settings<'a> {
    pub(crate) program: &'a Path,
    pub(crate) folder: &'a Path,
    pub(crate) calls_max: u32,
    pub(crate) silent: bool,
    pub(crate) recording: bool,
}

/// Where a running server is.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) pid: u32,
    pub(crate) sip: String,
    pub(crate) http: String,
    pub(crate) token_file: Option<PathBuf>,
}

/// A server; one that was started here is killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Option<Child>,
    pub(crate) pid: u32,
    pub(crate) sip: String,
    http: String,
    token: Option<String>,
}

impl Server {
    /// Starts the built-in clinic agent, changed so that it never ends a call by itself, with a
    /// data folder and ports of its own.
    pub(crate) fn start(settings: &Settings<'_>) -> anyhow::Result<Self> {
        let workflow = endless(&fs::read_to_string(fixture("workflows/clinic.toml"))?)?;
        fs::write(settings.folder.join("clinic.toml"), workflow)?;
        // A silent caller would be asked, and given up, after a few seconds.
        let silence = if settings.silent { "12h" } else { "8s" };
        let config = settings.folder.join("samvad.toml");
        fs::write(
            &config,
            format!(
                "[[workflows]]\nid = \"clinic\"\npath = \"clinic.toml\"\n\
                 [[agents]]\nid = \"clinic\"\nworkflow = \"clinic\"\n\
                 call_duration_max = \"12h\"\nsilence_prompt_after = \"{silence}\"\n"
            ),
        )?;
        let http = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let sip = format!("127.0.0.1:{}", free_udp_port()?);
        let data_dir = settings.folder.join("data");
        let log = fs::File::create(settings.folder.join("samvad.log"))?;
        // Two RTP sockets a call may be more descriptors than the shell's limit allows.
        let child = Command::new("sh")
            .args(["-c", "ulimit -n \"$(ulimit -Hn)\"; exec \"$0\" \"$@\""])
            .arg(fs::canonicalize(settings.program).context("--samvad")?)
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .env("SAMVAD_DATA_DIR", &data_dir)
            .env("SAMVAD_SERVER__HTTP", http.to_string())
            .env(
                "SAMVAD_SERVER__CALLS_MAX",
                (settings.calls_max + 10).to_string(),
            )
            .env("SAMVAD_SIP__BIND", &sip)
            .env("SAMVAD_MEDIA__RTP_BIND", "127.0.0.1")
            .env("SAMVAD_RECORDING__ENABLED", settings.recording.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("samvad does not start")?;
        let mut server = Self {
            pid: child.id(),
            child: Some(child),
            sip,
            http: http.to_string(),
            token: None,
        };
        if let Err(error) = server.wait_until_ready() {
            let log = fs::read_to_string(settings.folder.join("samvad.log")).unwrap_or_default();
            return Err(error.context(log));
        }
        server.token = Some(fs::read_to_string(data_dir.join("admin.token"))?);
        Ok(server)
    }

    pub(crate) fn attach(attached: Attached) -> anyhow::Result<Self> {
        let token = attached.token_file.map(fs::read_to_string).transpose()?;
        Ok(Self {
            child: None,
            pid: attached.pid,
            sip: attached.sip,
            http: attached.http,
            token,
        })
    }

    /// The counters of `/metrics`.
    pub(crate) fn counters(&self) -> anyhow::Result<Counters> {
        Ok(Counters::parse(&self.get("/metrics")?))
    }

    /// Sums over the newest `calls` calls, when the API's token is known.
    pub(crate) fn leg_counters(&self, calls: u32) -> anyhow::Result<Option<LegCounters>> {
        if self.token.is_none() {
            return Ok(None);
        }
        let mut sum = LegCounters::default();
        let mut left = calls;
        let mut cursor = String::new();
        while left > 0 {
            let page = self.get(&format!("/v1/calls?limit={}{cursor}", left.min(PAGE)))?;
            let page: Value = serde_json::from_str(&page).context("/v1/calls")?;
            let listed = page["calls"].as_array().map_or(&[][..], Vec::as_slice);
            for call in listed {
                let of = |name: &str| call["statistics"][name].as_u64().unwrap_or(0);
                sum.frames_dropped += of("frames_dropped");
                sum.underruns += of("underruns");
                sum.packets_lost += of("packets_lost");
            }
            left = left.saturating_sub(u32::try_from(listed.len())?);
            match page["next_cursor"].as_str() {
                Some(next) if !listed.is_empty() => cursor = format!("&cursor={next}"),
                _ => break,
            }
        }
        Ok(Some(sum))
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_MAX;
        while self.get("/ready").is_err() {
            if let Some(status) = self
                .child
                .as_mut()
                .map(Child::try_wait)
                .transpose()?
                .flatten()
            {
                anyhow::bail!("samvad ended with {status}");
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "samvad is not ready in {READY_MAX:?}"
            );
            sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// The body at `path`. HTTP/1.0, so that it comes in one piece and ends with the connection.
    fn get(&self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(&self.http).context("samvad's HTTP address")?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        let token = self.token.as_deref().unwrap_or_default().trim();
        write!(
            stream,
            "GET {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        anyhow::ensure!(
            status == "200",
            "{path}: {}",
            head.lines().next().unwrap_or_default()
        );
        Ok(body.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The clinic's dialogue, which asks on and on instead of giving a caller up.
fn endless(workflow: &str) -> anyhow::Result<String> {
    let given_up = "fallback = \"to_operator\"";
    anyhow::ensure!(
        workflow.contains(given_up),
        "the clinic workflow has no `{given_up}`"
    );
    Ok(workflow.replace(given_up, "fallback = \"ask_intent\""))
}

/// Counters of the whole server.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Counters {
    /// Calls on the line; a difference of two readings means nothing.
    pub(crate) active: f64,
    /// Media slots that began late.
    pub(crate) late_slots: f64,
    /// Media ticks left out.
    pub(crate) ticks_skipped: f64,
    /// Packets a socket did not take.
    pub(crate) send_failures: f64,
    /// Calls refused.
    pub(crate) refused: f64,
    /// Calls that ended badly.
    pub(crate) failed: f64,
}

impl Counters {
    fn parse(text: &str) -> Self {
        let mut counters = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let value: f64 = value.parse().unwrap_or(0.0);
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let sum = match name {
                "samvad_calls_active" => &mut counters.active,
                "samvad_media_slots_late_total" => &mut counters.late_slots,
                "samvad_media_ticks_skipped_total" => &mut counters.ticks_skipped,
                "samvad_media_send_failures_total" => &mut counters.send_failures,
                "samvad_calls_refused_total" => &mut counters.refused,
                "samvad_calls_ended_total"
                    if !FINE_CLASSES
                        .iter()
                        .any(|class| labels.contains(&format!("class=\"{class}\""))) =>
                {
                    &mut counters.failed
                }
                _ => continue,
            };
            *sum += value;
        }
        counters
    }
}

impl Sub for Counters {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            active: self.active - earlier.active,
            late_slots: self.late_slots - earlier.late_slots,
            ticks_skipped: self.ticks_skipped - earlier.ticks_skipped,
            send_failures: self.send_failures - earlier.send_failures,
            refused: self.refused - earlier.refused,
            failed: self.failed - earlier.failed,
        }
    }
}

/// Counters of the legs of a step, over their whole life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct LegCounters {
    /// Frames the conversation was too slow to take.
    pub(crate) frames_dropped: u64,
    /// Ticks that found speech missing in the middle of a segment.
    pub(crate) underruns: u64,
    /// Packets of callers that never came.
    pub(crate) packets_lost: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_over_labels_and_good_ends_left_out() {
        let text = "# TYPE samvad_calls_active gauge\nsamvad_calls_active 3\n\
            samvad_calls_ended_total{carrier=\"sip\",class=\"completed\",reason=\"x\"} 5\n\
            samvad_calls_ended_total{carrier=\"sip\",class=\"engine_failed\",reason=\"x\"} 2\n\
            samvad_calls_refused_total{carrier=\"sip\",reason=\"a\"} 1\n\
            samvad_calls_refused_total{carrier=\"sip\",reason=\"b\"} 1\n";
        let counters = Counters::parse(text);
        assert_eq!(counters.active, 3.0);
        assert_eq!(counters.failed, 2.0);
        assert_eq!(counters.refused, 2.0);
    }

    #[test]
    fn the_dialogue_gives_nobody_up() {
        let text = fs::read_to_string(fixture("workflows/clinic.toml")).unwrap();
        assert!(
            !endless(&text)
                .unwrap()
                .contains("fallback = \"to_operator\"")
        );
        assert!(endless("id = \"x\"").is_err());
    }
}
