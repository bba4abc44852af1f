//! CPU and memory per call of a running `samvad`, with real callers.
//!
//! ```text
//! cargo build --release -p control
//! cargo run --release -p benches --bin density -- \
//!     --samvad target/release/samvad --calls 1,50,100 --seconds 60
//! ```
//!
//! For every step sipp places the calls over SIP and sends them 20 ms of mu-law every 20 ms; once
//! all are up and settled, the server's `/proc` entries and `/metrics` are read at the beginning
//! and at the end of a window. Everything stays on the loopback interface. The generator runs on
//! the same machine: its CPU time is shown beside the server's, for what it takes is not there for
//! the server.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measuring program reads the clock, waits and prints"
)]

mod callers;
mod report;
mod server;

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use benches::process;
use clap::Parser;

use callers::{Audio, Callers};
use report::{Idle, Step};
use server::{Attached, Server};

/// Calls that begin per second.
const CALLS_PER_SECOND: u32 = 20;
/// How long calls that were asked for may take to come up, beside the time to place them.
const SETUP_MAX: Duration = Duration::from_secs(20);
/// How long the end of a step may take.
const CLEARING_MAX: Duration = Duration::from_secs(60);
/// How long the server is watched without calls.
const IDLE_WINDOW: Duration = Duration::from_secs(5);
/// Between two looks at the server.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// CPU and memory per call of a running samvad.
#[derive(Debug, Parser)]
struct Args {
    /// Release build of samvad; it is started on free ports with a folder of its own
    #[arg(long, value_name = "PATH", required_unless_present = "pid")]
    samvad: Option<PathBuf>,
    /// A running server instead, with `--sip` and `--http`
    #[arg(long, requires = "sip", requires = "http", conflicts_with = "samvad")]
    pid: Option<u32>,
    /// SIP address of the running server
    #[arg(long, value_name = "IP:PORT")]
    sip: Option<String>,
    /// HTTP address of the running server
    #[arg(long, value_name = "IP:PORT")]
    http: Option<String>,
    /// File with the running server's API token, for the legs' counters
    #[arg(long, value_name = "FILE", requires = "pid")]
    token_file: Option<PathBuf>,
    /// The agent to call
    #[arg(long, default_value = "clinic")]
    agent: String,
    /// Calls at a time, one step each
    #[arg(long, value_delimiter = ',', default_value = "1,50,100")]
    calls: Vec<u32>,
    /// Length of the measured window
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Between the last answer and the window: greetings are over then
    #[arg(long, default_value_t = 10)]
    settle: u64,
    /// Callers who say nothing: the media path alone
    #[arg(long)]
    silent: bool,
    /// Raw mu-law at 8 kHz that callers play in a loop [default: fixtures/audio speech and pauses]
    #[arg(long, value_name = "FILE", conflicts_with = "silent")]
    audio: Option<PathBuf>,
    /// Whether the server that is started records the calls
    #[arg(long, default_value = "on", value_parser = ["on", "off"])]
    recording: String,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let scratch = tempfile::tempdir()?;
    let audio = match (&args.audio, args.silent) {
        (Some(path), _) => Audio::File(path.clone()),
        (None, true) => Audio::Silence,
        (None, false) => Audio::Speech,
    };
    let calls_max = args.calls.iter().copied().max().unwrap_or(1);
    let mut server = match (&args.samvad, args.pid) {
        (Some(program), _) => Server::start(&server::Settings {
            program,
            folder: scratch.path(),
            calls_max,
            silent: args.silent,
            recording: args.recording == "on",
        })?,
        (None, pid) => Server::attach(Attached {
            pid: pid.context("--pid")?,
            sip: args.sip.clone().context("--sip")?,
            http: args.http.clone().context("--http")?,
            token_file: args.token_file.clone(),
        })?,
    };
    let callers = Callers::new(scratch.path(), &audio, &args.agent)?;
    // What is made at the first call and then kept is no cost of a call.
    let warm_up = Duration::from_secs(8);
    eprintln!("warming up");
    let running = callers.place(&server.sip, 2, CALLS_PER_SECOND, warm_up)?;
    running.wait(warm_up + CLEARING_MAX)?;
    wait_until_empty(&mut server)?;
    let idle = measure_idle(&server)?;

    let mut steps = Vec::new();
    for &calls in &args.calls {
        eprintln!("{calls} calls");
        steps.push(measure(&mut server, &callers, &args, calls)?);
    }
    print!("{}", report::table(&args_line(&args), idle, &steps));
    Ok(())
}

fn args_line(args: &Args) -> String {
    let audio = match (&args.audio, args.silent) {
        (Some(path), _) => format!("callers play {}", path.display()),
        (None, true) => "silent callers".to_owned(),
        (None, false) => "talking callers".to_owned(),
    };
    let recording = match args.pid {
        Some(_) => "recording as configured".to_owned(),
        None => format!("recording {}", args.recording),
    };
    format!("{audio}, {recording}, windows of {} s", args.seconds)
}

/// What the server takes without calls.
fn measure_idle(server: &Server) -> anyhow::Result<Idle> {
    let begin = Instant::now();
    let cpu_begin = process::cpu_time(server.pid)?;
    sleep(IDLE_WINDOW);
    let cpu = process::cpu_time(server.pid)?.saturating_sub(cpu_begin);
    Ok(Idle {
        cpu_percent: percent(cpu, begin.elapsed()),
        memory: process::Memory::read(server.pid)?,
    })
}

/// Places `calls`, reads the server over a window, and waits until all is quiet again.
fn measure(
    server: &mut Server,
    callers: &Callers,
    args: &Args,
    calls: u32,
) -> anyhow::Result<Step> {
    let seconds = |s| Duration::from_secs(s);
    let placing = Duration::from_secs(u64::from(calls.div_ceil(CALLS_PER_SECOND)));
    let window = seconds(args.seconds);
    // The first caller stays until the window of the last one is over.
    let length = placing + SETUP_MAX + seconds(args.settle) + window;
    let before = server.counters()?;
    let running = callers.place(&server.sip, calls, CALLS_PER_SECOND, length)?;
    wait_until_up(server, calls, placing + SETUP_MAX)?;
    sleep(seconds(args.settle));

    let begin = Instant::now();
    let counters_begin = server.counters()?;
    let cpu_begin = process::cpu_time(server.pid)?;
    let callers_begin = running.cpu_time();
    let mut memory = process::Memory::read(server.pid)?;
    let mut active = Vec::new();
    while begin.elapsed() < window {
        sleep(SAMPLE_EVERY.min(window - begin.elapsed().min(window)));
        memory = memory.max(process::Memory::read(server.pid)?);
        active.push(server.counters()?.active);
    }
    let elapsed = begin.elapsed();
    let cpu = process::cpu_time(server.pid)?.saturating_sub(cpu_begin);
    let callers_cpu = running.cpu_time().saturating_sub(callers_begin);
    let counters_end = server.counters()?;

    let sipp_failures = running.wait(length + CLEARING_MAX)?;
    wait_until_empty(server)?;
    let after = server.counters()?;
    Ok(Step {
        calls,
        active: active.iter().sum::<f64>() / active.len().max(1) as f64,
        cpu_percent: percent(cpu, elapsed),
        callers_cpu_percent: percent(callers_cpu, elapsed),
        memory,
        window: counters_end - counters_begin,
        whole: after - before,
        sipp_failures,
        legs: server.leg_counters(calls)?,
    })
}

fn percent(cpu: Duration, elapsed: Duration) -> f64 {
    100.0 * cpu.as_secs_f64() / elapsed.as_secs_f64()
}

fn wait_until_up(server: &mut Server, calls: u32, limit: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        let active = server.counters()?.active;
        if active >= f64::from(calls) {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "only {active} of {calls} calls came up within {limit:?}"
        );
        sleep(Duration::from_millis(200));
    }
}

fn wait_until_empty(server: &mut Server) -> anyhow::Result<()> {
    let deadline = Instant::now() + CLEARING_MAX;
    while server.counters()?.active > 0.0 {
        anyhow::ensure!(Instant::now() < deadline, "calls stay on the line");
        sleep(Duration::from_millis(200));
    }
    Ok(())
}
