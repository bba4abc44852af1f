//! `samvad demo`: a server and a caller in one process, over real SIP and RTP.

use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use anyhow::Context;

use super::call::{self, CallOptions};
use super::caller::script::Script;
use super::caller::server_view::ServerView;
use crate::app::App;
use crate::config::Config;
use crate::identity::bootstrap;
use crate::shutdown::ShutdownSignals;
use crate::telemetry::tracing;

/// What the demo's caller says.
const SCRIPT: &str = include_str!("../../../fixtures/conversations/clinic_book.toml");
/// Agent of the built-in configuration.
const AGENT: &str = "clinic";
/// Where the workflow keeps what it booked.
const COLLECTION: &str = "appointments";

/// Arguments of `samvad demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// End after the call instead of serving on
    #[arg(long)]
    pub once: bool,
}

/// Serves `config`, calls the clinic agent once and shows the call; then serves on, unless told
/// otherwise. The exit code is 1 when the call was not a good one.
///
/// # Errors
/// When the server does not start or the call cannot be placed.
pub fn run(args: DemoArgs, mut config: Config) -> anyhow::Result<ExitCode> {
    // The call itself is the show; faults are still told.
    if config.log.filter == "info" {
        "warn".clone_into(&mut config.log.filter);
    }
    tracing::install(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(demo(args, config))
}

#[expect(clippy::print_stdout, reason = "the command line talks to its user")]
async fn demo(args: DemoArgs, config: Config) -> anyhow::Result<ExitCode> {
    let mut signals = ShutdownSignals::install()?;
    let app = App::start(config.clone()).await.context(
        "the demo needs its ports for itself; choose others with SAMVAD_SERVER__HTTP and SAMVAD_SIP__BIND",
    )?;
    let style = call::style();
    println!(
        "{}",
        style.bold("A caller books an appointment with the clinic's agent over SIP and RTP:")
    );
    let outcome = tokio::select! {
        outcome = show_call(&app, &config) => Some(outcome),
        () = signals.recv() => None,
    };
    let code = match outcome {
        Some(outcome) => outcome?,
        None => {
            app.drain(signals.recv()).await;
            return Ok(ExitCode::FAILURE);
        }
    };
    if !args.once {
        println!("\n{}", app.banner());
        let services = app.services();
        let keys = bootstrap::keys(&services.store, &services.identity.vault).await?;
        for (product, key) in keys {
            println!("  key   {:<6} x-api-key: {}", product.name(), key.reveal());
        }
        let (vault, passwords) = (&services.identity.vault, &services.identity.passwords);
        let password = bootstrap::administrator(&services.store, vault, passwords).await?;
        println!("{}", style.bold("Look at the call in the console:"));
        let http = reachable(app.http_address());
        println!("  http://{http}/console/#/calls");
        if let Some(password) = password {
            println!(
                "  sign in as {} with the password {}",
                bootstrap::ADMINISTRATOR,
                password.reveal()
            );
        }
        println!(
            "Call it yourself: a softphone to the SIP address above, or\n  {} call {AGENT} --say \"i'd like to book an appointment\"",
            program()
        );
        if std::io::stdout().is_terminal() {
            println!("Ctrl-C ends the server.");
        }
        signals.recv().await;
    }
    app.drain(signals.recv()).await;
    Ok(code)
}

/// Places the call and prints what came of it.
#[expect(clippy::print_stdout, reason = "the command line talks to its user")]
async fn show_call(app: &App, config: &Config) -> anyhow::Result<ExitCode> {
    let script: Script = toml::from_str(SCRIPT).context("the demo's script")?;
    let http = reachable(app.http_address());
    let sip = app
        .sip_address()
        .context("the demo calls over SIP, which sip.enabled = false turns off")?;
    let server = ServerView::for_server(format!("http://{http}").parse()?, config)
        .context("the server's API token cannot be read")?;
    let before = server.records(COLLECTION).await?.len();
    let options = CallOptions::sip(AGENT, reachable(sip), script, Some(server.clone()));
    let report = call::place(options).await?;
    call::print_summary(&report, &config.recordings_dir(), call::style());
    let booked = server.records(COLLECTION).await?;
    let fresh = booked.get(before..).unwrap_or_default();
    println!();
    for appointment in fresh {
        println!("booked: {}", appointment["fields"]);
    }
    if fresh.is_empty() {
        println!("nothing was booked");
    }
    Ok(if report.faults.is_empty() && !fresh.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The address at which this machine reaches a listener.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()))
    } else {
        address
    }
}

fn program() -> String {
    std::env::args()
        .next()
        .unwrap_or_else(|| "samvad".to_owned())
}
