//! The addresses at which LiveKit clients join.
//!
//! The single-connection protocol (`/rtc/v1`) is spoken. `/rtc` without a `join_request` is the
//! older one with two connections; it is answered as a server without it answers.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::grant::{self, Grant, GrantError};
use super::join;
use super::session::{self, Joining, MESSAGE_BYTES_MAX};
use crate::agents::Agent;
use crate::calls::admission::Refusal;
use crate::clock::now_us;
use crate::services::Services;

/// Octets read at a time: signalling is small, and a call keeps its buffer to its end.
const READ_BUFFER_BYTES: usize = 4 * 1024;

type Shared = State<Arc<Services>>;

/// `/rtc/v1`.
pub(crate) async fn join(
    State(services): Shared,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let query = Query::read(query.as_deref());
    let (grant, agent) = match admit(&services, &headers, &query).await {
        Ok(admitted) => admitted,
        Err(refused) => return refused,
    };
    let Ok(upgrade) = upgrade else {
        return answer(StatusCode::NOT_FOUND, "not found");
    };
    let join = match query.join_request.as_deref().map(join::read) {
        Some(Ok(join)) => join,
        Some(Err(error)) => return answer(StatusCode::BAD_REQUEST, &error.to_string()),
        None => return answer(StatusCode::NOT_FOUND, "join_request is missing"),
    };
    let joining = Joining {
        services,
        peer: peer.ip(),
        grant,
        agent,
        join,
    };
    upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .read_buffer_size(READ_BUFFER_BYTES)
        .on_upgrade(|socket| session::serve(socket, joining))
}

/// `/rtc/v1/validate`: why joining fails, for clients that saw only a failed upgrade.
pub(crate) async fn validate(
    State(services): Shared,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let query = Query::read(query.as_deref());
    match admit(&services, &headers, &query).await {
        Ok(_) => answer(StatusCode::OK, "success"),
        Err(refused) => refused,
    }
}

async fn admit(
    services: &Services,
    headers: &HeaderMap,
    query: &Query,
) -> Result<(Grant, Arc<Agent>), Response> {
    let header = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let token = header.or(query.access_token.as_deref()).unwrap_or_default();
    let grant = grant::read(&services.web.keys, token.trim(), now_us() / 1_000_000);
    let grant =
        grant.map_err(|error: GrantError| answer(StatusCode::UNAUTHORIZED, &error.to_string()))?;
    let agent = services.controller.find(&grant.agent).await;
    match agent {
        Ok(agent) => Ok((grant, agent)),
        // Clients try no other protocol after these words.
        Err(Refusal::UnknownAgent) => Err(answer(
            StatusCode::NOT_FOUND,
            "requested room does not exist: nobody answers there",
        )),
        Err(refusal) => Err(answer(
            StatusCode::SERVICE_UNAVAILABLE,
            &refusal.to_string(),
        )),
    }
}

/// Pages of every origin may join: the token decides.
fn answer(status: StatusCode, text: &str) -> Response {
    let any = (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    (status, [any], text.to_owned()).into_response()
}

#[derive(Default)]
struct Query {
    access_token: Option<String>,
    join_request: Option<String>,
}

impl Query {
    fn read(query: Option<&str>) -> Self {
        let mut out = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match name.as_ref() {
                "access_token" => out.access_token = Some(value.into_owned()),
                "join_request" => out.join_request = Some(value.into_owned()),
                _ => {}
            }
        }
        out
    }
}
