//! Usage of ended calls that the database did not take: one file per call, replayed later.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::settlement::CallUsage;

/// Folder within the data directory.
const SPOOL_DIR: &str = "spool/usage";

/// Where usage waits.
#[must_use]
pub fn dir(data_dir: &Path) -> PathBuf {
    data_dir.join(SPOOL_DIR)
}

/// Keeps the usage of a call on disk, whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub async fn keep(dir: &Path, usage: &CallUsage) -> std::io::Result<()> {
    let (dir, name) = (dir.to_owned(), usage.terms.call.to_string());
    let text = serde_json::to_vec(usage)?;
    let written = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&dir)?;
        let unfinished = dir.join(format!("{name}.part"));
        let mut file = std::fs::File::create(&unfinished)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, dir.join(format!("{name}.json")))?;
        std::fs::File::open(&dir)?.sync_all()
    });
    written.await.map_err(std::io::Error::other)?
}

/// What waits, with the files to remove once it is settled.
///
/// # Errors
/// When the folder cannot be read; a file that is not understood is left and told of in the log.
pub async fn waiting(dir: &Path) -> std::io::Result<Vec<(PathBuf, CallUsage)>> {
    let dir = dir.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match serde_json::from_slice(&std::fs::read(&path)?) {
                Ok(usage) => found.push((path, usage)),
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "usage is not readable");
                }
            }
        }
        Ok(found)
    });
    read.await.map_err(std::io::Error::other)?
}
