//! `samvad doctor`: what would keep calls from working on this machine, before one is tried.

mod checks;

use std::process::ExitCode;

use serde::Serialize;

use crate::config::Config;

/// Arguments of `samvad doctor`.
#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
}

/// How a check came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// Works, but not for everybody or not for long.
    Warning,
    /// Calls or the server will fail.
    Failed,
}

/// One thing looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: String,
    /// How it came out.
    pub state: State,
    /// What was seen.
    pub detail: String,
    /// What can be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Finding {
    fn new(check: impl Into<String>, state: State, detail: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            state,
            detail: detail.into(),
            hint: None,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Looks at everything and prints it; the exit code is 1 when something failed. Nothing is changed.
///
/// # Errors
/// When the findings cannot be printed.
#[expect(clippy::print_stdout, reason = "the command line talks to its user")]
pub fn run(args: &DoctorArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let findings = runtime.block_on(checks::all(config));
    let failed = findings.iter().any(|f| f.state == State::Failed);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        for finding in &findings {
            let mark = match finding.state {
                State::Ok => "ok  ",
                State::Warning => "warn",
                State::Failed => "FAIL",
            };
            println!("{mark} {}: {}", finding.check, finding.detail);
            if let Some(hint) = &finding.hint {
                println!("     {hint}");
            }
        }
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
