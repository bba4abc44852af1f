//! `samvad init`: a commented configuration to begin with.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::config::EMBEDDED_WORKFLOW;

/// Every key with its default; the same file that the documentation shows.
const EXAMPLE: &str = include_str!("../../../docs/config.example.toml");
/// Where the example has the workflow, seen from the repository.
const WORKFLOW_IN_EXAMPLE: &str = "fixtures/workflows/clinic.toml";
const WORKFLOW: &str = "clinic.toml";

/// Arguments of `samvad init`.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// Folder to write `samvad.toml` and `clinic.toml` to
    #[arg(default_value = ".")]
    pub folder: PathBuf,
}

/// Writes both files; what is there already stays as it is.
///
/// # Errors
/// When a file exists or cannot be written.
#[expect(clippy::print_stdout, reason = "the command line talks to its user")]
pub fn run(args: &InitArgs) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(&args.folder).with_context(|| args.folder.display().to_string())?;
    let config = args.folder.join("samvad.toml");
    write_new(&config, &EXAMPLE.replace(WORKFLOW_IN_EXAMPLE, WORKFLOW))?;
    let workflow = args.folder.join(WORKFLOW);
    write_new(&workflow, EMBEDDED_WORKFLOW)?;
    println!("wrote {} and {}", config.display(), workflow.display());
    println!("next: samvad doctor --config {}", config.display());
    Ok(ExitCode::SUCCESS)
}

fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = std::fs::File::create_new(path).with_context(|| path.display().to_string())?;
    file.write_all(text.as_bytes())
        .with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn what_is_written_is_a_configuration_and_overwrites_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let args = InitArgs {
            folder: dir.path().join("new"),
        };
        run(&args).unwrap();
        let path = args.folder.join("samvad.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let config = Config::from_toml(&text, &[], &args.folder).unwrap();
        assert!(config.workflows.contains_key("clinic"));
        let refused = run(&args).unwrap_err().to_string();
        assert!(refused.contains("samvad.toml"), "{refused}");
    }
}
