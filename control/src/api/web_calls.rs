//! `/v1/web-calls`: what a page needs to call an agent.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::ApiError;
use super::json::parse;
use crate::calls::admission::Refusal;
use crate::carriers::request_origin::websocket_base_url;
use crate::clock::now_us;
use crate::livekit::keys::{TOKEN_S, TokenRequest};
use crate::services::Services;

/// Longest agent, identity and name.
const TEXT_BYTES_MAX: usize = 200;

/// `POST /v1/web-calls`: a LiveKit token for one call with `agent`, and where to join.
pub(crate) async fn create(
    State(services): State<Arc<Services>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let body = parse(&body).map_err(|error| ApiError::invalid("body", error))?;
    let text = |name: &'static str| match &body[name] {
        Value::Null => Ok(None),
        Value::String(text) if !text.is_empty() && text.len() <= TEXT_BYTES_MAX => {
            Ok(Some(text.clone()))
        }
        _ => Err(ApiError::invalid(name, "must be a text of 1 to 200 octets")),
    };
    let agent = text("agent")?;
    let agent = agent.ok_or_else(|| ApiError::invalid("agent", "is needed: an agent's id"))?;
    let (identity, name) = (text("identity")?, text("name")?);
    match services.controller.find(&agent).await {
        Ok(_) => {}
        Err(Refusal::UnknownAgent) => return Err(ApiError::not_found("agent")),
        Err(refusal) => {
            let code = StatusCode::SERVICE_UNAVAILABLE;
            return Err(ApiError::new(
                code,
                "agent_unavailable",
                refusal.to_string(),
            ));
        }
    }
    let identity = identity.unwrap_or_else(|| format!("caller-{}", Uuid::now_v7()));
    let room = format!("web-{}", Uuid::now_v7());
    let token = services.web.keys.sign(&TokenRequest {
        identity: &identity,
        name: name.as_deref().unwrap_or_default(),
        room: &room,
        agent: &agent,
        now_s: now_us() / 1_000_000,
    });
    let url = services.config.livekit.url.clone();
    let url = url.unwrap_or_else(|| websocket_base_url(&services.config, &headers));
    let body = json!({
        "url": url,
        "token": token,
        "room": room,
        "identity": identity,
        "agent": agent,
        "expires_in": TOKEN_S,
    });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}
