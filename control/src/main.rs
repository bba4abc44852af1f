//! The `samvad` program.

use std::process::ExitCode;

use clap::Parser;
use control::cli::Cli;

fn main() -> ExitCode {
    control::cli::run(Cli::parse())
}
