//! HTTP/1.1 requests over connections that stay open, one thread each, and how long they took.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// One kind of request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<String>,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    pub(crate) elapsed: Duration,
    /// Sorted.
    pub(crate) latencies: Vec<Duration>,
}

impl Outcome {
    pub(crate) fn rate(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn percentile(&self, of_hundred: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        let index = (last as f64 * of_hundred / 100.0).round() as usize;
        self.latencies.get(index).copied().unwrap_or_default()
    }
}

/// Asks from `connections` connections for `time`: as fast as answers come, or `rate` requests a
/// second in all, whose latency counts from when each was due.
pub(crate) fn ask(
    server: &str,
    request: &Request,
    (connections, time): (usize, Duration),
    rate: Option<f64>,
) -> anyhow::Result<Outcome> {
    let started = now();
    let next = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..connections)
        .map(|_| {
            let (server, request, next) = (server.to_owned(), request.clone(), Arc::clone(&next));
            thread::spawn(move || one(&server, &request, &next, (started, time), rate))
        })
        .collect();
    let mut latencies = Vec::new();
    for thread in threads {
        let Ok(one) = thread.join() else {
            bail!("a client thread failed");
        };
        latencies.extend(one?);
    }
    let elapsed = now().duration_since(started);
    latencies.sort_unstable();
    Ok(Outcome {
        requests: latencies.len() as u64,
        elapsed,
        latencies,
    })
}

fn one(
    server: &str,
    request: &Request,
    next: &AtomicU64,
    (started, time): (Instant, Duration),
    rate: Option<f64>,
) -> anyhow::Result<Vec<Duration>> {
    let mut connection = Connection::open(server)?;
    let mut latencies = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let due = match rate {
            Some(rate) => started + Duration::from_secs_f64(number as f64 / rate),
            None => now(),
        };
        if due.saturating_duration_since(started) >= time {
            return Ok(latencies);
        }
        wait_until(due);
        let status = connection.ask(request, number)?.0;
        if !(200..300).contains(&status) {
            bail!("{} {}: {status}", request.method, request.path);
        }
        latencies.push(now().saturating_duration_since(due));
    }
}

/// A connection that stays open.
#[derive(Debug)]
pub(crate) struct Connection {
    server: String,
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(server: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(server).with_context(|| server.to_owned())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self {
            server: server.to_owned(),
            stream: BufReader::new(stream),
        })
    }

    /// Status and body of the answer. `{n}` in the request's body becomes `number`.
    pub(crate) fn ask(&mut self, request: &Request, number: u64) -> anyhow::Result<(u16, Vec<u8>)> {
        let body = request.body.as_deref().unwrap_or_default();
        let body = body.replace("{n}", &number.to_string());
        let mut text = format!(
            "{} {} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n",
            request.method,
            request.path,
            self.server,
            body.len()
        );
        if request.body.is_some() {
            text.push_str("content-type: application/json\r\n");
        }
        for (name, value) in &request.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.push_str(&body);
        self.stream.get_mut().write_all(text.as_bytes())?;
        self.read()
    }

    fn read(&mut self) -> anyhow::Result<(u16, Vec<u8>)> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.with_context(|| format!("no answer: {line:?}"))?;
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                bail!("answers in chunks are not read");
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, body))
    }
}

#[expect(clippy::disallowed_methods, reason = "measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "keeps a pace in real time")]
fn wait_until(due: Instant) {
    thread::sleep(due.saturating_duration_since(now()));
}
