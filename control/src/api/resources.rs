//! `/v1/agents` and `/v1/records`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::error::ApiError;
use super::pagination::QueryParameters;
use crate::records;
use crate::services::Services;

type Shared = State<Arc<Services>>;

/// `GET /v1/agents`.
pub(crate) async fn list_agents(State(services): Shared) -> Response {
    let config = &services.config;
    let agents: Vec<_> = config
        .agents
        .keys()
        .map(|id| {
            let numbers: Vec<&String> = config
                .numbers
                .iter()
                .filter(|(_, agent)| *agent == id)
                .map(|(number, _)| number)
                .collect();
            match services.agents.find(id) {
                None => json!({ "id": id, "available": false, "numbers": numbers }),
                Some(agent) => json!({
                    "id": id,
                    "name": agent.name,
                    "available": true,
                    "language": agent.profile.language,
                    "stt": agent.stt.name(),
                    "llm": agent.llm.name(),
                    "tts": agent.tts.name(),
                    "numbers": numbers,
                }),
            }
        })
        .collect();
    Json(json!({ "agents": agents })).into_response()
}

/// `GET /v1/records/{collection}`: what workflows stored, oldest first.
pub(crate) async fn list_records(
    State(services): Shared,
    Path(collection): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut query = QueryParameters::new(query.as_deref());
    let limit = query.limit()?;
    let after: Option<uuid::Uuid> = query.parsed("cursor", "the next_cursor of an earlier page")?;
    query.finish()?;
    let after = after.map(|id| id.to_string());
    let mut records =
        records::list(&services.store, &collection, after.as_deref(), limit + 1).await?;
    let more = records.len() > limit as usize;
    records.truncate(limit as usize);
    let next = records
        .last()
        .filter(|_| more)
        .map(|record| record.id.clone());
    Ok(Json(json!({ "records": records, "next_cursor": next })).into_response())
}
