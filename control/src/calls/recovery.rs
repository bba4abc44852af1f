//! What a start does about the calls an earlier process left behind.

use std::path::Path;

use media::recording::wav::{Repair, repair};

use super::queries::{self, InterruptedCall};
use crate::store::{Store, StoreError};

/// Ends the calls of other boots as interrupted and makes their recordings readable. Returns how
/// many there were.
///
/// # Errors
/// When the store fails; a recording that cannot be repaired is logged and left.
pub async fn recover(
    store: &Store,
    boot_id: &str,
    recordings_dir: &Path,
) -> Result<usize, StoreError> {
    let interrupted = queries::interrupt_calls_of_earlier_boots(store, boot_id).await?;
    for call in &interrupted {
        tracing::warn!(call_id = %call.id, "call was interrupted by the end of an earlier process");
        let length = recording_length(call, recordings_dir).await;
        queries::set_recording_length(store, call.id, length).await?;
    }
    Ok(interrupted.len())
}

/// Repairs the call's recording; `None` when there is none to speak of.
async fn recording_length(call: &InterruptedCall, dir: &Path) -> Option<u64> {
    let path = dir.join(call.recording.as_ref()?);
    let repaired = tokio::task::spawn_blocking(move || {
        let outcome = repair(&path)?;
        let duration_ms = length_ms(&path)?;
        Ok::<_, std::io::Error>((outcome, duration_ms))
    })
    .await;
    match repaired {
        Ok(Ok((outcome, duration_ms))) => {
            if let Repair::Fixed { claimed, found } = outcome {
                tracing::info!(call_id = %call.id, claimed, found, "recording was repaired");
            }
            Some(duration_ms)
        }
        Ok(Err(error)) => {
            tracing::warn!(call_id = %call.id, %error, "recording cannot be repaired");
            None
        }
        Err(error) => {
            tracing::error!(call_id = %call.id, %error, "repair of the recording failed");
            None
        }
    }
}

fn length_ms(path: &Path) -> std::io::Result<u64> {
    let reader = hound::WavReader::open(path).map_err(std::io::Error::other)?;
    Ok(u64::from(reader.duration()) * 1000 / u64::from(reader.spec().sample_rate).max(1))
}
