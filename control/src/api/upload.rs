//! Files of uploads: a part of a form, or the body alone.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest as _, Multipart, Request};
use axum::http::{StatusCode, header};
use futures_util::Stream;

use super::failure::Failure;
use super::route::Context;

/// Largest text field of a form.
const FIELD_BYTES_MAX: usize = 16 * 1024;
/// Most parts of a form.
const PARTS_MAX: usize = 32;

/// Who takes the file while it arrives. Fields of the form that came before it are given with it.
pub(super) trait FileTaker {
    /// What comes of it.
    type Taken;
    /// Takes the file.
    fn take<E: Send>(
        &mut self,
        fields: &BTreeMap<String, String>,
        file: impl Stream<Item = Result<Bytes, E>> + Send + Unpin,
    ) -> impl Future<Output = Result<Self::Taken, Failure>> + Send;
}

/// Gives the file of an upload to `taker`; returns what came of it and all fields of the form.
///
/// # Errors
/// 400 without a file, 415 for another media type, and what `taker` fails with.
pub(super) async fn read_upload<T: FileTaker + Send>(
    cx: &Context,
    taker: &mut T,
) -> Result<(T::Taken, BTreeMap<String, String>), Failure>
where
    T::Taken: Send,
{
    let body = {
        let mut upload = cx
            .upload
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        upload.take().unwrap_or_default()
    };
    let kind = cx.headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.to_ascii_lowercase();
    let mut fields = BTreeMap::new();
    if !kind.starts_with("multipart/form-data") {
        if !kind.starts_with("text/csv") && !kind.starts_with("application/octet-stream") {
            let message = "send the list as multipart/form-data with a part `file`, or as text/csv";
            return Err(Failure::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media_type",
                message,
            ));
        }
        let taken = taker.take(&fields, body.into_data_stream()).await?;
        return Ok((taken, fields));
    }
    let mut form = form(cx, body).await?;
    let broken = |error: axum::extract::multipart::MultipartError| {
        Failure::bad_request("multipart", error.body_text())
    };
    let mut taken = None;
    for _ in 0..PARTS_MAX {
        let Some(mut part) = form.next_field().await.map_err(broken)? else {
            let missing = || Failure::field("file", "missing", "is required");
            return Ok((taken.ok_or_else(missing)?, fields));
        };
        let name = part.name().unwrap_or_default().to_owned();
        if name == "file" {
            if taken.is_some() {
                return Err(Failure::field("file", "twice", "must be there once"));
            }
            taken = Some(taker.take(&fields, part).await?);
            continue;
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = part.chunk().await.map_err(broken)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > FIELD_BYTES_MAX {
                return Err(Failure::field(&name, "length", "is too long"));
            }
        }
        let text = String::from_utf8(bytes)
            .ok()
            .filter(|text| !text.contains('\0'))
            .ok_or_else(|| Failure::field(&name, "encoding", "must be UTF-8"))?;
        fields.insert(name, text);
    }
    Err(Failure::bad_request(
        "multipart",
        "the form has too many parts",
    ))
}

async fn form(cx: &Context, body: Body) -> Result<Multipart, Failure> {
    let mut request = Request::new(body);
    *request.headers_mut() = cx.headers.clone();
    // Limits are the taker's.
    request.extensions_mut().insert(());
    let made = Multipart::from_request(request, &()).await;
    made.map_err(|error| Failure::bad_request("multipart", error.body_text()))
}
