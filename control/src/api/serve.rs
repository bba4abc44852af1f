//! From the route table to a router: every request goes through the same gates in the same order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use futures_util::StreamExt as _;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::failure::Failure;
use super::json;
use super::route::{BodyKind, Context, Rate, Route};
use super::schema::{Field, Invalid};
use super::table;
use crate::clock::now_us;
use crate::identity::authenticate::authenticate;
use crate::identity::principal::{Credential, Principal, Product};
use crate::services::Services;
use crate::store::{StoreError, sql};

/// What is read of a body beyond its limit, so that its sender hears why it is refused.
const BODY_BYTES_DRAINED: usize = 4 * 1024 * 1024;
/// How long an answer is kept for its `Idempotency-Key`.
const IDEMPOTENCY_US: i64 = 24 * 3600 * 1_000_000;

/// Every published route at its path, with and without a trailing slash.
pub(crate) fn published() -> Router<Arc<Services>> {
    let mut paths: BTreeMap<String, Vec<&'static Route>> = BTreeMap::new();
    for route in table::routes() {
        let path = template(route.path);
        let twin = match path.strip_suffix('/') {
            Some(bare) => bare.to_owned(),
            None => format!("{path}/"),
        };
        // Its public base is /v1, its paths are written without.
        if route.product == Product::Kros {
            paths.entry(format!("/v1{path}")).or_default().push(route);
        }
        for path in [path, twin] {
            paths.entry(path).or_default().push(route);
        }
    }
    let mut router = Router::new();
    for (path, routes) in paths {
        let product = routes[0].product;
        let is_gone = routes.iter().any(|route| route.status == 410);
        let is_billing = path.starts_with("/api/v1/billing") || path.starts_with("/billing");
        let mut methods: MethodRouter<Arc<Services>> = MethodRouter::new();
        for route in routes {
            let filter = match route.method {
                "GET" => MethodFilter::GET,
                "POST" => MethodFilter::POST,
                "PUT" => MethodFilter::PUT,
                "PATCH" => MethodFilter::PATCH,
                _ => MethodFilter::DELETE,
            };
            methods = methods.merge(on(filter, move |state, request| {
                serve(route, state, request)
            }));
        }
        let methods = methods.fallback(move |headers: HeaderMap| async move {
            let failure = if is_billing && headers.contains_key("x-api-key") {
                Failure::forbidden("with a key billing can only be read")
            } else if is_gone {
                Failure::new(
                    StatusCode::GONE,
                    "gone",
                    "this address is not served any more",
                )
            } else {
                Failure::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "method_not_allowed",
                    "this address does not take this method",
                )
            };
            failure.into_response_for(product)
        });
        router = router.route(&path, methods);
    }
    router
}

/// The path with its parameters named by position: routes may name the same place differently.
fn template(path: &str) -> String {
    let mut count = 0;
    let parts = path.split('/').map(|part| {
        if part.starts_with('{') {
            count += 1;
            format!("{{p{count}}}")
        } else {
            part.to_owned()
        }
    });
    parts.collect::<Vec<_>>().join("/")
}

async fn serve(
    route: &'static Route,
    State(services): State<Arc<Services>>,
    request: Request,
) -> Response {
    match pass_gates(route, services, request).await {
        Ok(response) => response,
        Err(failure) => failure.into_response_for(route.product),
    }
}

async fn pass_gates(
    route: &'static Route,
    services: Arc<Services>,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let limits = &services.identity.limits;
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(std::net::IpAddr::from([127, 0, 0, 1]), |info| info.0.ip());
    if route.rate != Rate::Usual {
        limits.take(route.rate, &peer.to_string(), now_us())?;
    }
    let method: &Method = &parts.method;
    let principal =
        authenticate(&services, route.product, route.auth, method, &parts.headers).await?;
    if let Some(principal) = &principal {
        limits.take(Rate::Usual, &caller(principal), now_us())?;
        if let Some(role) = route.minimum_role()
            && !principal.has(role)
        {
            return Err(Failure::forbidden(format!(
                "this needs the role {}",
                role.name()
            )));
        }
    }
    let path = path_parameters(route, parts.uri.path())?;
    let query = read_query(route.query, parts.uri.query())?;
    let mut body = Some(body);
    let raw = match route.body {
        BodyKind::Upload(_) | BodyKind::Empty => Bytes::new(),
        _ => read_body(route, &parts.headers, body.take().unwrap_or_default()).await?,
    };
    let upload = body.filter(|_| matches!(route.body, BodyKind::Upload(_)));
    let (body, list) = read_json(route, &raw)?;
    let request_id = parts
        .headers
        .get("x-request-id")
        .and_then(|id| id.to_str().ok());
    let cx = Context {
        services,
        route,
        principal,
        path,
        query,
        body,
        list,
        raw,
        upload: std::sync::Mutex::new(upload),
        request_id: request_id.unwrap_or_default().to_owned(),
        headers: parts.headers,
        peer,
    };
    if route.idempotent
        && let Some(key) = cx.headers.get("idempotency-key")
    {
        let key = key
            .to_str()
            .ok()
            .filter(|key| (1..=255).contains(&key.len()));
        let wrong = || Failure::field("Idempotency-Key", "length", "must have 1 to 255 characters");
        let key = key.ok_or_else(wrong)?.to_owned();
        return once(cx, key).await;
    }
    (route.handler)(cx).await
}

type Object = Map<String, Value>;

/// The body as the object or the list of objects that the route takes.
fn read_json(route: &Route, raw: &[u8]) -> Result<(Object, Vec<Object>), Failure> {
    let parsed = || json::parse(raw).map_err(|error| Failure::bad_request("json", error));
    let mut wrong = Vec::new();
    let value = match route.body {
        BodyKind::Json(shape) => {
            let value = parsed()?;
            wrong = shape.check(&value);
            value
        }
        BodyKind::List(shape, most) => {
            let value = parsed()?;
            match &value {
                Value::Array(items) if items.len() > most => wrong.push(Invalid::new(
                    "body",
                    "too_long",
                    format!("must have at most {most} entries"),
                )),
                Value::Array(items) => {
                    for (index, item) in items.iter().enumerate() {
                        wrong.extend(shape.check(item).into_iter().map(|mut invalid| {
                            invalid.path = format!("[{index}].{}", invalid.path);
                            invalid
                        }));
                    }
                }
                _ => wrong.push(Invalid::new("body", "type", "must be a list")),
            }
            value
        }
        BodyKind::Empty | BodyKind::Raw | BodyKind::Upload(_) => Value::Null,
    };
    if !wrong.is_empty() {
        return Err(Failure::invalid(wrong));
    }
    Ok(match value {
        Value::Object(object) => (object, Vec::new()),
        Value::Array(items) => {
            let objects = items.into_iter().filter_map(|item| match item {
                Value::Object(object) => Some(object),
                _ => None,
            });
            (Map::new(), objects.collect())
        }
        _ => (Map::new(), Vec::new()),
    })
}

fn caller(principal: &Principal) -> String {
    match principal.credential {
        Credential::Key(id) => id.to_string(),
        Credential::Bearer | Credential::Cookie => principal.user.to_string(),
    }
}

fn path_parameters(
    route: &'static Route,
    path: &str,
) -> Result<BTreeMap<&'static str, String>, Failure> {
    // Kros is mounted below /v1 as well.
    let path = match path.strip_prefix("/v1/") {
        Some(rest) if route.product == Product::Kros => rest,
        _ => path.strip_prefix('/').unwrap_or(path),
    };
    let template = route.path.strip_prefix('/').unwrap_or(route.path);
    let mut found = BTreeMap::new();
    for (part, text) in template.split('/').zip(path.split('/')) {
        let Some(name) = part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) else {
            continue;
        };
        let text = percent_decode(text).ok_or_else(|| {
            Failure::field(name, "encoding", "must be UTF-8 without NUL characters")
        })?;
        found.insert(name, text);
    }
    Ok(found)
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'))
}

fn read_query(
    fields: &'static [Field],
    query: Option<&str>,
) -> Result<Map<String, Value>, Failure> {
    let query = query.unwrap_or_default();
    let mut found = Map::new();
    let mut wrong = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text: &str| percent_decode(&text.replace('+', " "));
        let (Some(name), Some(value)) = (decode(name), decode(value)) else {
            return Err(Failure::bad_request("encoding", "the query is not UTF-8"));
        };
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            continue;
        };
        // What may be left out may be left empty.
        if value.is_empty() && !field.required {
            continue;
        }
        match field.kind.read(&value, &name) {
            Ok(value) => drop(found.insert(name, value)),
            Err(invalid) => wrong.push(invalid),
        }
    }
    for field in fields.iter().filter(|field| field.required) {
        if !found.contains_key(field.name) && !wrong.iter().any(|w| w.path == field.name) {
            wrong.push(Invalid::new(field.name, "missing", "is required"));
        }
    }
    if wrong.is_empty() {
        Ok(found)
    } else {
        Err(Failure::invalid(wrong))
    }
}

async fn read_body(route: &Route, headers: &HeaderMap, body: Body) -> Result<Bytes, Failure> {
    if matches!(route.body, BodyKind::Json(_) | BodyKind::List(..))
        && let Some(kind) = headers.get(header::CONTENT_TYPE)
    {
        let kind = kind.to_str().unwrap_or_default().to_ascii_lowercase();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if kind != "application/json" && !kind.ends_with("+json") {
            return Err(Failure::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media_type",
                "send the body as application/json",
            ));
        }
    }
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut length = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Failure::bad_request("body", "the body broke off"))?;
        length += chunk.len();
        if length <= route.body_bytes_max {
            bytes.extend_from_slice(&chunk);
        } else if length > route.body_bytes_max + BODY_BYTES_DRAINED {
            break;
        }
    }
    if length > route.body_bytes_max {
        return Err(Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!("the body must have at most {} bytes", route.body_bytes_max),
        ));
    }
    Ok(bytes.into())
}

/// Runs the handler once for a key; repeats its answer for the same request, refuses another.
async fn once(cx: Context, key: String) -> Result<Response, Failure> {
    let org = cx.who()?.tenant.organisation();
    let store = cx.services.store.clone();
    let route = format!("{} {}", cx.route.method, cx.route.path);
    let mut fingerprint = Sha256::new();
    let query = Value::Object(cx.query.clone()).to_string();
    let parts = cx.path.values().map(String::as_bytes);
    for part in parts.chain([query.as_bytes(), &cx.raw[..]]) {
        fingerprint.update((part.len() as u64).to_be_bytes());
        fingerprint.update(part);
    }
    let fingerprint = format!("{:x}", fingerprint.finalize());
    let claim = {
        let (route, key, fingerprint) = (route.clone(), key.clone(), fingerprint.clone());
        store.write(move |conn| {
            Box::pin(async move {
                let now = now_us();
                sql("DELETE FROM idempotency_keys WHERE org_id = $1 AND created_at < $2")
                    .bind(org)
                    .bind(now - IDEMPOTENCY_US)
                    .execute(conn)
                    .await?;
                let claimed = sql(
                    "INSERT INTO idempotency_keys (org_id, route, name, fingerprint, created_at) \
                     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (org_id, route, name) DO NOTHING",
                )
                .bind(org)
                .bind(&route)
                .bind(&key)
                .bind(&fingerprint)
                .bind(now)
                .execute(conn)
                .await?;
                if claimed == 1 {
                    return Ok(None);
                }
                sql("SELECT fingerprint, status, answer FROM idempotency_keys \
                     WHERE org_id = $1 AND route = $2 AND name = $3")
                .bind(org)
                .bind(&route)
                .bind(&key)
                .fetch_optional(conn)
                .await
            })
        })
    };
    if let Some(row) = claim.await? {
        let kept: String = row.get("fingerprint")?;
        if kept != fingerprint {
            return Err(Failure::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "the Idempotency-Key was used for another request",
            ));
        }
        let status: Option<i64> = row.get("status")?;
        let answer: Option<String> = row.get("answer")?;
        let (Some(status), Some(answer)) = (status, answer) else {
            return Err(Failure::conflict(
                "the first request with this key is still running",
            ));
        };
        let status = u16::try_from(status)
            .ok()
            .and_then(|s| StatusCode::from_u16(s).ok());
        let status = status.ok_or(StoreError::Malformed("status"))?;
        let headers = [(header::CONTENT_TYPE, "application/json")];
        return Ok((status, headers, answer).into_response());
    }
    let product = cx.route.product;
    let response = match (cx.route.handler)(cx).await {
        Ok(response) => response,
        Err(failure) => failure.into_response_for(product),
    };
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX)
        .await
        .map_err(|_| Failure::internal())?;
    let done = parts.status.is_success();
    let query = if done {
        sql("UPDATE idempotency_keys SET status = $4, answer = $5 \
             WHERE org_id = $1 AND route = $2 AND name = $3")
        .bind(org)
        .bind(&route)
        .bind(&key)
        .bind(i64::from(parts.status.as_u16()))
        .bind(String::from_utf8_lossy(&body).into_owned())
    } else {
        // What was refused may be tried again.
        sql("DELETE FROM idempotency_keys WHERE org_id = $1 AND route = $2 AND name = $3")
            .bind(org)
            .bind(&route)
            .bind(&key)
    };
    store.execute(query).await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}
