//! The whole API on a page.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, Request, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, delete, get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::TraceLayer;

use super::error::ApiError;
use super::{auth, calls, events, health, openapi, recording, resources, serve, web_calls};
use crate::carriers::webhooks;
use crate::console;
use crate::livekit::endpoint;
use crate::services::Services;
use crate::webrtc::whip;

/// Largest body of a request.
const BODY_BYTES_MAX: usize = 64 * 1024;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Every address the server answers at.
pub fn router(services: Arc<Services>) -> Router {
    let administration = Router::new()
        .route("/v1/agents", only(get(resources::list_agents)))
        .route("/v1/web-calls", only(post(web_calls::create)))
        .route("/v1/calls", only(get(calls::list)))
        .route("/v1/calls/{id}", only(get(calls::show)))
        .route("/v1/calls/{id}/recording", only(get(recording::download)))
        .route("/v1/calls/{id}/events", only(get(events::stream_events)))
        .route("/v1/calls/{id}/hangup", only(post(calls::hang_up)))
        .route(
            "/v1/records/{collection}",
            only(get(resources::list_records)),
        )
        .route("/v1/{*rest}", any(nothing_here))
        .layer(from_fn_with_state(
            Arc::clone(&services),
            auth::require_operator,
        ));

    // Not nested: a nested route hides the prefix of the URL that Twilio has signed.
    let carriers = Router::new()
        .route("/carriers/twilio/voice", webhook(webhooks::twilio_voice))
        .route("/carriers/twilio/status", webhook(webhooks::twilio_status))
        .route(
            "/carriers/twilio/{agent}/voice",
            webhook(webhooks::twilio_agent_voice),
        )
        .route(
            "/carriers/twilio/{agent}/stream",
            any(webhooks::twilio_stream),
        )
        .route("/carriers/exotel/voice", webhook(webhooks::exotel_voice))
        .route(
            "/carriers/exotel/{agent}/voice",
            webhook(webhooks::exotel_agent_voice),
        )
        .route(
            "/carriers/exotel/{agent}/stream",
            any(webhooks::exotel_stream),
        );

    Router::new()
        .route("/openapi.json", only(get(openapi::whole)))
        .route("/openapi/{surface}", only(get(openapi::of_surface)))
        .route("/docs", only(get(openapi::viewer)))
        .route("/", only(get(console::home)))
        .route("/console", only(get(console::home)))
        .route("/console/", only(get(console::page)))
        .route("/console/{file}", only(get(console::file)))
        .route("/ready", only(get(health::ready)))
        .route("/metrics", only(get(health::metrics)))
        .route(
            "/whip/{agent}",
            only(post(whip::call).options(whip::preflight)),
        )
        .route(
            "/whip/sessions/{session}",
            only(delete(whip::hang_up).options(whip::preflight)),
        )
        .route("/rtc/v1", any(endpoint::join))
        .route("/rtc/v1/validate", only(get(endpoint::validate)))
        .merge(serve::published())
        .merge(carriers)
        .merge(administration)
        .fallback(nothing_here)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(TraceLayer::new_for_http().make_span_with(request_span))
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
        .with_state(services)
}

/// Answers other methods than the route's with 405 in JSON.
fn only(route: MethodRouter<Arc<Services>>) -> MethodRouter<Arc<Services>> {
    route.fallback(wrong_method)
}

/// Webhooks come as GET or POST, as the carrier's console is set.
fn webhook<H, T>(handler: H) -> MethodRouter<Arc<Services>>
where
    H: axum::handler::Handler<T, Arc<Services>>,
    T: 'static,
{
    only(get(handler.clone()).post(handler))
}

async fn nothing_here() -> ApiError {
    ApiError::not_found("address")
}

async fn wrong_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this address does not take this method",
    )
}

fn panicked(_payload: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a request panicked");
    ApiError::internal().into_response()
}

fn request_span<B>(request: &Request<B>) -> tracing::Span {
    let id = request
        .headers()
        .get(&REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    // The query may hold a token or a telephone number.
    tracing::debug_span!(
        "http",
        method = %request.method(),
        path = request.uri().path(),
        request_id = id,
    )
}
