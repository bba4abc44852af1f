//! Calls by one HTTP request: an offer in, an answer out (WHIP, RFC 9725, with audio both ways).

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use pipeline::call::{CallOrder, CarrierActions, EndReason, TransferFailure};
use sha2::Sha256;
use tokio::sync::oneshot;

use super::connection::{ConnectError, Connection, ConnectionEvent, ConnectionRequest};
use crate::calls::admission::Refusal;
use crate::calls::controller::CallOrigin;
use crate::calls::id::CallId;
use crate::calls::outcome::SetupEnd;
use crate::clock::now_us;
use crate::livekit::grant;
use crate::services::Services;
use crate::telemetry::metrics as meters;

/// What brought the call, in records and metrics.
const CARRIER: &str = "whip";
const SDP: &str = "application/sdp";

type Shared = State<Arc<Services>>;

/// `OPTIONS`: what pages of other origins may send.
pub(crate) async fn preflight() -> Response {
    allowed(StatusCode::NO_CONTENT, String::new())
}

/// `POST /whip/{agent}`: a call with that agent.
pub(crate) async fn call(
    State(services): Shared,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(agent): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let caller = match authorize(&services, &headers, &agent) {
        Ok(caller) => caller,
        Err(refused) => return *refused,
    };
    let kind = headers
        .get(header::CONTENT_TYPE)
        .map(|kind| kind.as_bytes());
    if !kind.is_some_and(|kind| kind.starts_with(SDP.as_bytes())) {
        let text = "the body must be an offer of type application/sdp";
        return allowed(StatusCode::UNSUPPORTED_MEDIA_TYPE, text.to_owned());
    }
    let Ok(offer) = std::str::from_utf8(&body) else {
        return allowed(StatusCode::BAD_REQUEST, "the offer is not UTF-8".to_owned());
    };
    let (agent, admission) = match services.controller.admit(&agent, CARRIER).await {
        Ok(admitted) => admitted,
        Err(Refusal::UnknownAgent) => {
            return allowed(StatusCode::NOT_FOUND, Refusal::UnknownAgent.to_string());
        }
        Err(refusal) => return allowed(StatusCode::SERVICE_UNAVAILABLE, refusal.to_string()),
    };
    let id = admission.id();
    let request = ConnectionRequest {
        peer: peer.ip(),
        offer,
        recording: services.controller.recording_path(id),
        cname: id.to_string(),
        voice: ("agent".to_owned(), "voice".to_owned()),
    };
    let recorded = request.recording.is_some();
    let (mut connection, leg, control, answer) = match Connection::open(&services, request) {
        Ok(opened) => opened,
        Err(ConnectError::Offer(error)) => {
            return allowed(StatusCode::BAD_REQUEST, error.to_string());
        }
        Err(error @ ConnectError::Media(_)) => {
            meters::call_refused(CARRIER, Refusal::NoMedia);
            return allowed(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
        }
    };
    let origin = CallOrigin {
        called: Some(agent.id.clone()),
        agent,
        carrier: CARRIER,
        carrier_call_id: None,
        caller,
        codec: Some("opus".to_owned()),
        variables: std::collections::BTreeMap::new(),
    };
    let orders = admission.orders();
    let supervisor = services.controller.clone();
    let location = format!("/whip/sessions/{}", capability(&services, id));
    let call = async move {
        let mut call = services.controller.open(admission, origin, recorded).await;
        let (start, started) = oneshot::channel();
        let outcome = {
            let conversation = async {
                // Dropped when the caller is gone before audio flows.
                started.await.ok()?;
                call.answered().await;
                Some(call.converse(leg, Arc::new(NoTransfer)).await)
            };
            tokio::pin!(conversation);
            tokio::select! {
                reason = &mut conversation => {
                    connection.shut_down();
                    reason
                }
                () = carry(&mut connection, start) => {
                    // A full queue holds orders to end already.
                    let _ = orders.try_send(CallOrder::RemoteHungUp);
                    conversation.await
                }
            }
        };
        let outcome = outcome.map_or_else(|| SetupEnd::CallerCancelled.into(), Into::into);
        call.finish(outcome, Some(control)).await;
    };
    supervisor.supervise(id, CARRIER, call);
    let mut response = allowed(StatusCode::CREATED, answer.sdp);
    let fields = response.headers_mut();
    if let (Ok(kind), Ok(location)) = (SDP.parse(), location.parse()) {
        fields.insert(header::CONTENT_TYPE, kind);
        fields.insert(header::LOCATION, location);
    }
    response
}

/// `DELETE /whip/sessions/{session}`: hangs up.
pub(crate) async fn hang_up(State(services): Shared, Path(session): Path<String>) -> Response {
    let id = session.split_once('.').and_then(|(id, _)| id.parse().ok());
    let known = id.filter(|id| {
        let expected = capability(&services, *id);
        subtle::ConstantTimeEq::ct_eq(expected.as_bytes(), session.as_bytes()).into()
    });
    match known {
        Some(id) if services.registry.hang_up(id, EndReason::CallerHungUp) => {
            allowed(StatusCode::OK, String::new())
        }
        _ => allowed(StatusCode::NOT_FOUND, "there is no such session".to_owned()),
    }
}

/// Keeps the connection until it ends.
async fn carry(connection: &mut Connection, start: oneshot::Sender<()>) {
    let mut start = Some(start);
    loop {
        match connection.next().await {
            ConnectionEvent::Connected => {
                if let Some(start) = start.take() {
                    // Whoever waited has gone; then the call is over anyway.
                    let _ = start.send(());
                }
            }
            ConnectionEvent::Closed(end) => {
                tracing::info!(?end, "connection ended");
                return;
            }
            ConnectionEvent::ChannelOpen(_) | ConnectionEvent::Message { .. } => {}
        }
    }
}

/// Who calls: the name in a token for this agent, nobody known for the installation's own token.
fn authorize(
    services: &Services,
    headers: &HeaderMap,
    agent: &str,
) -> Result<Option<String>, Box<Response>> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default()
        .trim();
    if services.admin.matches(token) {
        return Ok(None);
    }
    let refused = |text: String| Box::new(allowed(StatusCode::UNAUTHORIZED, text));
    let grant = grant::read(&services.web.keys, token, now_us() / 1_000_000)
        .map_err(|error| refused(error.to_string()))?;
    if grant.agent != agent || !grant.can_publish {
        return Err(refused("the token is for another agent".to_owned()));
    }
    Ok(Some(grant.caller().to_owned()))
}

/// Names a call so that only who was told can hang it up.
fn capability(services: &Services, id: CallId) -> String {
    let secret = services.web.keys.secret.reveal().as_bytes();
    let tag = Hmac::<Sha256>::new_from_slice(secret).map(|mut mac| {
        mac.update(b"whip session ");
        mac.update(id.to_string().as_bytes());
        mac.finalize().into_bytes().to_vec()
    });
    format!("{id}.{}", URL_SAFE_NO_PAD.encode(tag.unwrap_or_default()))
}

/// An answer that pages of every origin may read: the token decides.
fn allowed(status: StatusCode, text: String) -> Response {
    let fields: [(HeaderName, &str); 4] = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, DELETE"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type",
        ),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "location"),
    ];
    (status, fields, text).into_response()
}

struct NoTransfer;

#[async_trait]
impl CarrierActions for NoTransfer {
    async fn transfer(&self, _target: &str) -> Result<(), TransferFailure> {
        Err(TransferFailure::Unsupported)
    }
}
