//! The command line: one file per subcommand.

pub mod admin;
pub mod call;
pub mod caller;
pub mod demo;
pub mod doctor;
pub mod init;
pub mod ledger;
pub mod routes;
mod serve;
#[cfg(feature = "embedded-speech")]
pub mod simulate;
pub mod trunk;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::Config;

/// An open, self-hosted engine that puts AI voice agents on the phone.
#[derive(Debug, Parser)]
#[command(
    name = "samvad",
    version,
    about = "AI voice agents on the phone and on the web, on a machine of yours"
)]
pub struct Cli {
    /// Configuration file [default: ./samvad.toml if there is one, else built-in defaults]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the resolved configuration and exit
    #[arg(long, global = true)]
    pub check_config: bool,
    /// What to do [default: serve]
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer calls until told to stop
    Serve,
    /// Call an agent over SIP, Twilio or Exotel, as a caller would
    Call(Box<call::CallArgs>),
    /// Show the published routes that are served, or compare them with a list
    Routes(routes::RoutesArgs),
    /// Look after accounts
    #[command(subcommand)]
    Admin(admin::AdminCommand),
    /// Check the books, credit a wallet
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Look into a SIP trunk
    Trunk(trunk::TrunkArgs),
    /// Write a commented configuration to begin with
    Init(init::InitArgs),
    /// Look for what would keep calls from working here, and change nothing
    Doctor(doctor::DoctorArgs),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Serve and call the clinic agent once, all in this process
    Demo(demo::DemoArgs),
    /// Play simulated calls on a virtual clock and report how the agent takes turns
    #[cfg(feature = "embedded-speech")]
    Simulate(simulate::SimulateArgs),
}

/// Runs the command line; every failure is printed with its causes.
#[must_use]
#[expect(clippy::print_stderr, reason = "the command line talks to its user")]
pub fn run(cli: Cli) -> ExitCode {
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("samvad: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the command line talks to its user")]
fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    crate::telemetry::install_tls_provider();
    // These need no configuration, and may be there to make one.
    match &cli.command {
        Some(Command::Init(args)) => return init::run(args),
        Some(Command::Completions { shell }) => {
            let mut command = Cli::command();
            clap_complete::generate(*shell, &mut command, "samvad", &mut std::io::stdout());
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let config = Config::load(cli.config.as_deref())?;
    if cli.check_config {
        print!("{}", toml::to_string_pretty(&config)?);
        return Ok(ExitCode::SUCCESS);
    }
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(config),
        Command::Call(args) => call::run(*args, &config),
        Command::Routes(args) => routes::run(&args),
        Command::Admin(command) => admin::run(command, &config),
        Command::Ledger(command) => ledger::run(command, &config),
        Command::Trunk(args) => trunk::run(&args, &config),
        Command::Doctor(args) => doctor::run(&args, &config),
        // Done above, before a configuration was looked for.
        Command::Init(_) | Command::Completions { .. } => Ok(ExitCode::SUCCESS),
        Command::Demo(args) => demo::run(args, config),
        #[cfg(feature = "embedded-speech")]
        Command::Simulate(args) => simulate::run(args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        let cli = Cli::parse_from(["samvad", "serve", "--config", "x.toml", "--check-config"]);
        assert!(cli.check_config && cli.config.is_some());
    }
}
