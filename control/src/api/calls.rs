//! `/v1/calls`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use pipeline::call::EndReason;
use serde_json::json;

use super::error::ApiError;
use super::pagination::QueryParameters;
use crate::billing::usage;
use crate::calls::id::CallId;
use crate::calls::queries::{self, CallFilter};
use crate::services::Services;

type Shared = State<Arc<Services>>;

/// `GET /v1/calls`: newest first; `cursor` continues where the last page ended.
pub(crate) async fn list(
    State(services): Shared,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut query = QueryParameters::new(query.as_deref());
    let limit = query.limit()?;
    let filter = CallFilter {
        status: query.text("status"),
        carrier_call_id: query.text("carrier_call_id"),
        before: query.parsed("cursor", "the next_cursor of an earlier page")?,
    };
    query.finish()?;
    if let Some(status) = &filter.status
        && !matches!(status.as_str(), "active" | "ended")
    {
        return Err(ApiError::invalid("status", "must be `active` or `ended`"));
    }
    // One more than asked for tells whether there is a next page.
    let mut calls = queries::list_calls(&services.store, &filter, limit + 1).await?;
    let more = calls.len() > limit as usize;
    calls.truncate(limit as usize);
    let next = calls.last().filter(|_| more).map(|call| call.id);
    let dir = services.config.recordings_dir();
    let calls: Vec<_> = calls
        .into_iter()
        .map(|call| call.located_in(&dir))
        .collect();
    Ok(Json(json!({ "calls": calls, "next_cursor": next })).into_response())
}

/// `GET /v1/calls/{id}`: the record with its transcript.
pub(crate) async fn show(
    State(services): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    let detail = queries::find_call_detail(&services.store, id).await?;
    let mut detail = detail.ok_or_else(|| ApiError::not_found("call"))?;
    detail.call = detail.call.located_in(&services.config.recordings_dir());
    let mut body = serde_json::to_value(detail).map_err(|_| ApiError::internal())?;
    // A workspace's session may look at its calls here; what they cost us is the operator's.
    let token = headers.get("authorization").and_then(|it| it.to_str().ok());
    let token = token.and_then(|it| it.strip_prefix("Bearer "));
    let our_cost = token.is_some_and(|token| services.admin.matches(token));
    body["bill"] = json!(usage::bill(&services.store, id.uuid(), None, our_cost).await?);
    Ok(Json(body).into_response())
}

/// `POST /v1/calls/{id}/hangup`: accepted; the end follows as an event.
pub(crate) async fn hang_up(
    State(services): Shared,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    if services.registry.hang_up(id, EndReason::OperatorHungUp) {
        let body = Json(json!({ "id": id, "status": "ending" }));
        return Ok((StatusCode::ACCEPTED, body).into_response());
    }
    match queries::find_call(&services.store, id).await? {
        None => Err(ApiError::not_found("call")),
        Some(_) => Err(ApiError::new(
            StatusCode::CONFLICT,
            "call_ended",
            "the call has ended",
        )),
    }
}

/// Reads a call id from a path.
pub(super) fn parse_id(text: &str) -> Result<CallId, ApiError> {
    text.parse()
        .map_err(|_| ApiError::invalid("id", "must be a call id, a UUID"))
}
