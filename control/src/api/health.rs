//! Readiness and metrics.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::services::Services;
use crate::store::sql;
use crate::telemetry::metrics as meters;

/// `GET /ready`: whether calls can be taken, and why not.
pub(crate) async fn ready(State(services): State<Arc<Services>>) -> Response {
    let mut reasons = Vec::new();
    if services.registry.is_draining() {
        reasons.push("draining");
    }
    if services.config.sip.enabled && services.sip.get().is_none() {
        reasons.push("sip listener is not bound");
    }
    if services.agents.iter().next().is_none() {
        reasons.push("no agent is available");
    }
    if !services.store.is_open() || !store_answers(&services).await {
        reasons.push("store does not answer");
    }
    let status = if reasons.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({ "ready": reasons.is_empty(), "reasons": reasons });
    (status, Json(body)).into_response()
}

async fn store_answers(services: &Services) -> bool {
    services
        .store
        .fetch_one(sql("SELECT 1 AS one"))
        .await
        .is_ok()
}

/// `GET /metrics` in Prometheus' text format.
pub(crate) async fn metrics(State(services): State<Arc<Services>>) -> Response {
    meters::engine(&services.engine.counters());
    if let Some(agent) = services.sip.get() {
        meters::sip(&agent.counters());
        meters::trunks(&services.sip_trunks.all());
    }
    services.agents.probe();
    meters::product(services.registry.len(), services.store.queue_len());
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], services.metrics.render()).into_response()
}
