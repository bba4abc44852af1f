//! `/v1/calls/{id}/recording`.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::calls::parse_id;
use super::error::ApiError;
use crate::calls::queries;
use crate::services::Services;

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;

/// Sends the WAV file once the call has ended: caller left, agent right.
pub(crate) async fn download(
    State(services): State<Arc<Services>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    let call = queries::find_call(&services.store, id).await?;
    let call = call.ok_or_else(|| ApiError::not_found("call"))?;
    let recording = call
        .recording
        .ok_or_else(|| ApiError::not_found("recording"))?;
    if call.status == "active" {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "call_active",
            "the recording is complete when the call has ended",
        ));
    }
    let path = services.config.recordings_dir().join(&recording.file);
    // The file may have been removed by whoever looks after the directory.
    let file = File::open(&path)
        .await
        .map_err(|_| ApiError::not_found("recording"))?;
    let length = file
        .metadata()
        .await
        .map_err(|_| ApiError::internal())?
        .len();
    let chunks = stream::try_unfold(file, |mut file| async move {
        let mut chunk = vec![0; CHUNK];
        let read = file.read(&mut chunk).await?;
        chunk.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then(|| (Bytes::from(chunk), file)))
    });
    let headers = [
        (header::CONTENT_TYPE, "audio/wav".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{}\"", recording.file),
        ),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}
