//! `samvad simulate`: thousands of calls on a virtual clock, and a report.

use std::io::IsTerminal;
use std::process::ExitCode;

use pipeline::conversation::ConversationConfig;
use pipeline::simulation::suite::TurnTakingSuite;

/// Arguments of `samvad simulate`.
#[derive(Debug, clap::Args)]
pub struct SimulateArgs {
    /// What to simulate
    #[arg(long, value_enum, default_value = "turn-taking")]
    pub suite: Suite,
    /// How many scenes
    #[arg(long, default_value_t = 2_000)]
    pub scenes: usize,
    /// Where all chances come from; the sentences of seeds from 1000000 on were never tuned with
    #[arg(long, default_value_t = 1_000_000)]
    pub seed: u64,
    /// Only scenes of this kind, for example `pauses`
    #[arg(long, value_name = "KIND")]
    pub only: Option<String>,
    /// Leave the operating curve out, which plays the turn scenes five more times
    #[arg(long)]
    pub no_curve: bool,
    /// Print JSON instead of a report for people
    #[arg(long)]
    pub json: bool,
    /// Print what was seen in each scene, one JSON object a line
    #[arg(long)]
    pub each: bool,
    /// Exit with code 1 when a bar is missed
    #[arg(long)]
    pub check: bool,
}

/// Suites of scenes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Suite {
    /// Ends of turns, interruptions, echo, background
    TurnTaking,
}

/// Runs a suite and prints its report.
///
/// # Errors
/// For an unknown kind of scene.
#[expect(clippy::print_stdout, reason = "the command line talks to its user")]
pub fn run(args: SimulateArgs) -> anyhow::Result<ExitCode> {
    let only = args
        .only
        .map(|kind| serde_json::from_value(serde_json::Value::String(kind)))
        .transpose()?;
    let suite = TurnTakingSuite {
        scenes: args.scenes,
        seed: args.seed,
        only,
        curve: !args.no_curve,
        config: ConversationConfig::default(),
    };
    let (report, seen) = suite.run_all(&progress());
    if args.each {
        for observation in &seen {
            println!("{}", serde_json::to_string(observation)?);
        }
    } else if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}", report.text());
    }
    Ok(if args.check && !report.passes() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Shows how far it has come, to people only.
#[expect(clippy::print_stderr, reason = "the command line talks to its user")]
fn progress() -> impl Fn(usize, usize) + Sync {
    let shown = std::io::stderr().is_terminal();
    move |done, all| {
        if shown && (done % 20 == 0 || done == all) {
            eprint!("\r{done} of {all} scenes ");
            if done == all {
                eprintln!();
            }
        }
    }
}
