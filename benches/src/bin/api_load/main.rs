//! The API beside a peer in the incumbent's stack (FastAPI on uvicorn), one after the other on the
//! same machine with the same requests: read an agent, list twenty, write one.
//!
//! For each: as many requests as the server takes from 16 connections, and at half of that rate
//! the 99th percentile. Requests per core are those per second of the server's own CPU time, so
//! that the client's share of the machine does not count.

#![expect(clippy::print_stdout, reason = "it is there to print figures")]

mod client;
mod servers;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use benches::process;
use clap::Parser;
use serde_json::Value;

use crate::client::{Request, ask};
use crate::servers::Server;

/// Compares the API with a FastAPI peer.
#[derive(Debug, Parser)]
struct Arguments {
    /// The server's program, built in release mode
    #[arg(long, default_value = "target/release/samvad")]
    samvad: PathBuf,
    /// Seconds of each run
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Connections
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Leave PostgreSQL out
    #[arg(long)]
    sqlite_only: bool,
}

/// Figures of one kind of request at one server.
#[derive(Clone, Debug)]
struct Figures {
    name: &'static str,
    /// Requests a second.
    rate: f64,
    /// Requests a second of the server's CPU time.
    per_core: f64,
    /// At half of the rate.
    p99_half: Duration,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    println!("{}", process::machine());
    println!("| database | request | server | requests/s | per core | p99 at half load |");
    println!("|---|---|---|---:|---:|---:|");
    let mut databases = vec![("SQLite", None)];
    if !arguments.sqlite_only {
        databases.push(("PostgreSQL", Some(())));
    }
    for (name, postgres) in databases {
        let folder = tempfile::tempdir()?;
        let url = |()| fixtures::postgres::new_database();
        let ours = Server::samvad(
            &arguments.samvad,
            folder.path(),
            postgres.map(url).as_deref(),
        )?;
        let (first, mut samvad) = measure(&ours, &arguments)?;
        drop(ours);
        let peer = Server::peer(folder.path(), postgres.map(url).as_deref(), &first)?;
        let (_, fastapi) = measure(&peer, &arguments)?;
        drop(peer);
        for (ours, theirs) in samvad.drain(..).zip(fastapi) {
            line(name, "samvad", &ours);
            line(name, "FastAPI", &theirs);
            println!(
                "| {name} | {} | **ratio** | {:.1} | **{:.1}** | |",
                ours.name,
                ours.rate / theirs.rate,
                ours.per_core / theirs.per_core
            );
        }
    }
    Ok(())
}

fn line(database: &str, server: &str, figures: &Figures) {
    println!(
        "| {database} | {} | {server} | {:.0} | {:.0} | {:.1} ms |",
        figures.name,
        figures.rate,
        figures.per_core,
        figures.p99_half.as_secs_f64() * 1e3
    );
}

/// An agent as the server shows it, and the figures.
fn measure(server: &Server, arguments: &Arguments) -> anyhow::Result<(Value, Vec<Figures>)> {
    let write = server.request(
        "POST",
        "/api/v1/agents/simple",
        Some(r#"{"name": "agent {n}", "description": "answers the telephone"}"#),
    );
    for _ in 0..100 {
        server.done(&write)?;
    }
    let made = server.done(&write)?;
    let id = made["agent"]["id"].as_str().context("no id")?;
    let read = server.request("GET", &format!("/api/v1/agents/{id}"), None);
    let list = server.request("GET", "/api/v1/agents?page=1&page_size=20", None);
    let agent = server.done(&read)?;
    let mut figures = Vec::new();
    for (name, request) in [("read", &read), ("list", &list), ("write", &write)] {
        figures.push(load(server, (name, request), arguments)?);
    }
    Ok((agent, figures))
}

fn load(
    server: &Server,
    (name, request): (&'static str, &Request),
    arguments: &Arguments,
) -> anyhow::Result<Figures> {
    let time = Duration::from_secs(arguments.seconds);
    let size = (arguments.connections, time);
    let warm = (arguments.connections, Duration::from_secs(1));
    ask(&server.address, request, warm, None)?;
    let before = process::cpu_time(server.pid())?;
    let full = ask(&server.address, request, size, None)?;
    let cpu = process::cpu_time(server.pid())?.saturating_sub(before);
    let half = ask(&server.address, request, size, Some(full.rate() / 2.0))?;
    Ok(Figures {
        name,
        rate: full.rate(),
        per_core: full.requests as f64 / cpu.as_secs_f64().max(0.01),
        p99_half: half.percentile(99.0),
    })
}
