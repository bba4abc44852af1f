//! HTTP side of the carriers: webhooks that announce calls, and the streams' upgrade requests.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::adapter::CarrierAdapter;
use super::exotel::ExotelAdapter;
use super::request_origin::{
    BasicCredentials, base_url, basic_credentials, full_url, is_direct_allowed, websocket_base_url,
};
use super::stream::{self, MESSAGE_BYTES_MAX, StreamRequest};
use super::stream_token::AnnouncedCall;
use super::twilio::{self, TwilioAdapter};
use super::twilio_signature::{self, SignedBody};
use crate::agents::Agent;
use crate::api::error::ApiError;
use crate::calls::admission::Refusal;
use crate::numbers::routing::{CallFacts, Destination, Rejection, outside_line};
use crate::services::Services;
use crate::telemetry::metrics as meters;

const SIGNATURE_HEADER: &str = "x-twilio-signature";
/// Largest message the websocket layer reads at all; beyond [`MESSAGE_BYTES_MAX`] it is refused
/// with a proper close.
const SOCKET_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;

type Shared = State<Arc<Services>>;
type Peer = ConnectInfo<SocketAddr>;

/// `/carriers/twilio/voice`: the agent is found by the number called.
pub(crate) async fn twilio_voice(
    State(services): Shared,
    ConnectInfo(peer): Peer,
    request: WebhookRequest,
) -> Result<Response, ApiError> {
    let fields = twilio_fields(&services, peer, &request)?;
    let to = field(&fields, "To").unwrap_or_default().to_owned();
    Ok(twilio_answer(&services, &request, &fields, &to).await)
}

/// `/carriers/twilio/{agent}/voice`.
pub(crate) async fn twilio_agent_voice(
    State(services): Shared,
    ConnectInfo(peer): Peer,
    Path(agent_id): Path<String>,
    request: WebhookRequest,
) -> Result<Response, ApiError> {
    let fields = twilio_fields(&services, peer, &request)?;
    find_agent(&services, &agent_id).await?;
    Ok(twilio_answer(&services, &request, &fields, &agent_id).await)
}

/// `/carriers/twilio/status`: stream and call status callbacks, for the log.
pub(crate) async fn twilio_status(
    State(services): Shared,
    ConnectInfo(peer): Peer,
    request: WebhookRequest,
) -> Result<StatusCode, ApiError> {
    let fields = twilio_fields(&services, peer, &request)?;
    tracing::info!(
        carrier_call_id = field(&fields, "CallSid"),
        call_status = field(&fields, "CallStatus"),
        stream_event = field(&fields, "StreamEvent"),
        stream_error = field(&fields, "StreamError"),
        "twilio status"
    );
    Ok(StatusCode::NO_CONTENT)
}

/// `/carriers/twilio/{agent}/stream`.
pub(crate) async fn twilio_stream(
    State(services): Shared,
    ConnectInfo(peer): Peer,
    Path(agent_id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    find_agent(&services, &agent_id).await?;
    let signed = match signature(&headers) {
        None => false,
        Some(signature) => {
            let base = websocket_base_url(&services.config, &headers);
            let url = full_url(&base, uri.path_and_query());
            let token = services.config.carriers.twilio.auth_token.as_ref();
            let fine = token.is_some_and(|token| {
                twilio_signature::verify(token, signature, &url, SignedBody::None)
            });
            // A signature that cannot be checked, for want of a token, proves nothing.
            if token.is_some() && !fine {
                return Err(bad_signature());
            }
            fine
        }
    };
    let request = StreamRequest {
        needs_token: !signed && !is_direct_allowed(&services.config, peer, &headers),
        services,
        carrier: "twilio",
        agent_id,
        announced: None,
    };
    Ok(accept_stream(
        upgrade,
        Box::new(TwilioAdapter::new()),
        request,
    ))
}

/// `/carriers/exotel/voice`: the agent is found by the number called.
pub(crate) async fn exotel_voice(
    State(services): Shared,
    ConnectInfo(peer): Peer,
    request: WebhookRequest,
) -> Result<Response, ApiError> {
    authorize_exotel(&services, peer, &request.headers)?;
    let fields = request.fields();
    let to = field(&fields, "To")
        .or_else(|| field(&fields, "CallTo"))
        .unwrap_or_default()
        .to_owned();
    exotel_answer(&services, &request, &fields, &to).await
}

/// `/carriers/exotel/{agent}/voice`.
pub(crate) async fn exotel_agent_voice(
    State(services): Shared,
    ConnectInfo(peer): Peer,
    Path(agent_id): Path<String>,
    request: WebhookRequest,
) -> Result<Response, ApiError> {
    authorize_exotel(&services, peer, &request.headers)?;
    exotel_answer(&services, &request, &request.fields(), &agent_id).await
}

/// `/carriers/exotel/{agent}/stream`.
pub(crate) async fn exotel_stream(
    State(services): Shared,
    ConnectInfo(peer): Peer,
    Path(agent_id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    find_agent(&services, &agent_id).await?;
    let query = form_fields(uri.query().unwrap_or_default().as_bytes());
    let announced = field(&query, "token")
        .and_then(|token| services.tokens.redeem(super::now(), token))
        .filter(|call| call.agent_id == agent_id);
    if announced.is_none() {
        authorize_exotel(&services, peer, &headers)?;
    }
    let rate = field(&query, "sample-rate").unwrap_or("8000");
    let adapter = rate
        .parse()
        .ok()
        .and_then(ExotelAdapter::new)
        .ok_or_else(|| ApiError::invalid("sample-rate", "must be 8000, 16000 or 24000"))?;
    let request = StreamRequest {
        services,
        carrier: "exotel",
        agent_id,
        announced,
        needs_token: false,
    };
    Ok(accept_stream(upgrade, Box::new(adapter), request))
}

fn accept_stream(
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    adapter: Box<dyn CarrierAdapter>,
    request: StreamRequest,
) -> Response {
    match upgrade {
        Ok(upgrade) => upgrade
            .max_message_size(SOCKET_BYTES_MAX)
            .max_frame_size(SOCKET_BYTES_MAX)
            .on_upgrade(|socket| stream::serve(socket, adapter, request)),
        Err(rejection) => ApiError::new(
            rejection.status(),
            "websocket_expected",
            "this address takes websocket connections",
        )
        .into_response(),
    }
}

async fn find_agent(services: &Services, agent_id: &str) -> Result<Arc<Agent>, ApiError> {
    services
        .controller
        .find(agent_id)
        .await
        .map_err(|refusal| match refusal {
            Refusal::UnknownAgent => {
                ApiError::not_found("agent").hint("GET /v1/agents lists the agents there are")
            }
            _ => ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "agent_unavailable",
                "the agent is not available on this installation",
            )
            .hint("see the log of the start"),
        })
}

/// Whether one more call would be refused right now.
fn busy(services: &Services) -> Option<Refusal> {
    let registry = &services.registry;
    if registry.is_draining() {
        return Some(Refusal::Draining);
    }
    (registry.len() >= services.config.server.calls_max).then_some(Refusal::AtCapacity)
}

async fn twilio_answer(
    services: &Services,
    request: &WebhookRequest,
    fields: &[(String, String)],
    called: &str,
) -> Response {
    let twiml = |text: String| ([(header::CONTENT_TYPE, "text/xml")], text).into_response();
    let found = match services.controller.find(called).await {
        Err(Refusal::UnknownAgent) => match sent_on(services, "twilio", fields, called).await {
            None => Err(Refusal::UnknownAgent),
            Some(Destination::Sip(address)) => return twiml(twilio::dial_sip(&address)),
            Some(Destination::Number(number)) => return twiml(twilio::dial_number(&number)),
            Some(Destination::Reject(why)) => {
                return twiml(twilio::reject(why == Rejection::Busy));
            }
            Some(Destination::Agent(agent)) => services.controller.find(&agent.to_string()).await,
        },
        found => found,
    };
    let agent = match found {
        Ok(agent) => agent,
        Err(refusal) => {
            meters::call_refused("twilio", refusal);
            return twiml(twilio::reject(false));
        }
    };
    if let Some(refusal) = busy(services) {
        meters::call_refused("twilio", refusal);
        return twiml(twilio::reject(true));
    }
    let Some(token) = issue(services, &agent, fields, ["From", "To"]) else {
        return twiml(twilio::reject(true));
    };
    let base = websocket_base_url(&services.config, &request.headers);
    let url = format!("{base}/carriers/twilio/{}/stream", agent.id);
    twiml(twilio::connect_stream(&url, &[("token", &token)]))
}

/// Where a call for a line that an endpoint outside answers goes; `None` for other lines.
async fn sent_on(
    services: &Services,
    carrier: &'static str,
    fields: &[(String, String)],
    called: &str,
) -> Option<Destination> {
    let outside = match outside_line(&services.store, called).await {
        Ok(outside) => outside?,
        Err(error) => {
            tracing::error!(%error, "who answers a call cannot be read");
            return None;
        }
    };
    let facts = CallFacts {
        carrier,
        carrier_call_id: field(fields, "CallSid"),
        caller: field(fields, "From"),
    };
    let storage = (&services.store, &services.identity.vault);
    Some(
        outside
            .destination(storage, &services.endpoint_client, facts)
            .await,
    )
}

async fn exotel_answer(
    services: &Services,
    request: &WebhookRequest,
    fields: &[(String, String)],
    called: &str,
) -> Result<Response, ApiError> {
    let asked = match services.controller.find(called).await {
        Err(Refusal::UnknownAgent) => sent_on(services, "exotel", fields, called).await,
        _ => None,
    };
    let agent = match asked {
        // Exotel's applet can do nothing else than connect a stream.
        Some(Destination::Agent(agent)) => find_agent(services, &agent.to_string()).await?,
        _ => find_agent(services, called).await?,
    };
    let no_room = |refusal| {
        meters::call_refused("exotel", refusal);
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            refusal.name(),
            refusal.to_string(),
        )
    };
    if let Some(refusal) = busy(services) {
        return Err(no_room(refusal));
    }
    let token = issue(services, &agent, fields, ["From", "To"])
        .ok_or_else(|| no_room(Refusal::AtCapacity))?;
    let base = websocket_base_url(&services.config, &request.headers);
    let rate = field(fields, "sample-rate").unwrap_or("8000");
    if !matches!(rate, "8000" | "16000" | "24000") {
        return Err(ApiError::invalid(
            "sample-rate",
            "must be 8000, 16000 or 24000",
        ));
    }
    let url = format!(
        "{base}/carriers/exotel/{}/stream?token={token}&sample-rate={rate}",
        agent.id
    );
    Ok(Json(json!({ "url": url })).into_response())
}

fn issue(
    services: &Services,
    agent: &Agent,
    fields: &[(String, String)],
    [from, to]: [&str; 2],
) -> Option<String> {
    let call = AnnouncedCall {
        agent_id: agent.id.clone(),
        from: field(fields, from).map(str::to_owned),
        to: field(fields, to).map(str::to_owned),
    };
    services.tokens.issue(super::now(), call)
}

/// The request's fields once its signature, or the want of one, has been accepted.
fn twilio_fields(
    services: &Services,
    peer: SocketAddr,
    request: &WebhookRequest,
) -> Result<Vec<(String, String)>, ApiError> {
    let config = &services.config;
    let Some(auth_token) = &config.carriers.twilio.auth_token else {
        if is_direct_allowed(config, peer, &request.headers) {
            return Ok(request.fields());
        }
        return Err(forbidden("webhooks from other machines must be signed")
            .hint("set carriers.twilio.auth_token"));
    };
    let signature = signature(&request.headers).ok_or_else(bad_signature)?;
    let url = full_url(
        &base_url(config, &request.headers),
        request.uri.path_and_query(),
    );
    let form = request.form();
    let body = match (&form, request.method == Method::GET) {
        (_, true) => SignedBody::None,
        (Some(form), false) => SignedBody::Form(form),
        (None, false) => SignedBody::Raw(&request.body),
    };
    if twilio_signature::verify(auth_token, signature, &url, body) {
        Ok(request.fields())
    } else {
        Err(bad_signature())
    }
}

fn authorize_exotel(
    services: &Services,
    peer: SocketAddr,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    match basic_credentials(&services.config.carriers.exotel, headers) {
        BasicCredentials::Right => Ok(()),
        BasicCredentials::Absent if is_direct_allowed(&services.config, peer, headers) => Ok(()),
        BasicCredentials::Absent | BasicCredentials::Wrong => Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "key and token are missing or wrong",
        )
        .hint("use wss://key:token@host/... with carriers.exotel.key and carriers.exotel.token")),
    }
}

fn signature(headers: &HeaderMap) -> Option<&str> {
    headers.get(SIGNATURE_HEADER)?.to_str().ok()
}

fn forbidden(message: &'static str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "forbidden", message)
}

fn bad_signature() -> ApiError {
    forbidden("X-Twilio-Signature is missing or wrong")
        .hint("behind a proxy, server.public_url must be the URL Twilio calls")
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields
        .iter()
        .find(|(field, _)| field == name)
        .map(|(_, value)| value.as_str())
}

fn form_fields(encoded: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(encoded).into_owned().collect()
}

/// A webhook's request, whatever its method and body.
#[derive(Debug)]
pub(crate) struct WebhookRequest {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl WebhookRequest {
    /// The form in the body, if it is one.
    fn form(&self) -> Option<Vec<(String, String)>> {
        let kind = self.headers.get(header::CONTENT_TYPE);
        let is_form = match kind.and_then(|value| value.to_str().ok()) {
            Some(kind) => kind
                .to_ascii_lowercase()
                .starts_with("application/x-www-form-urlencoded"),
            None => self.body.is_empty(),
        };
        is_form.then(|| form_fields(&self.body))
    }

    /// Fields of the body, then of the query.
    fn fields(&self) -> Vec<(String, String)> {
        let mut fields = self.form().unwrap_or_default();
        fields.extend(form_fields(self.uri.query().unwrap_or_default().as_bytes()));
        fields
    }
}

impl<S: Send + Sync> axum::extract::FromRequest<S> for WebhookRequest {
    type Rejection = ApiError;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let (method, uri, headers) = (
            parts.method.clone(),
            parts.uri.clone(),
            parts.headers.clone(),
        );
        let request = axum::extract::Request::from_parts(parts, body);
        let body =
            Bytes::from_request(request, state)
                .await
                .map_err(|rejection: BytesRejection| {
                    ApiError::new(rejection.status(), "body_unreadable", rejection.body_text())
                })?;
        Ok(Self {
            method,
            uri,
            headers,
            body,
        })
    }
}
