//! One row of the route table, and what its handler is given.
//!
//! From these rows come the router, the OpenAPI document, the check against the published list and
//! the isolation tests; there is no other place where a published route is declared.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::failure::Failure;
use super::schema::{Field, Kind, Shape, parse_uuid};
use crate::identity::audit::Actor;
use crate::identity::principal::{Principal, Product, Role};
use crate::services::Services;

/// Which credentials a route takes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Auth {
    /// None.
    None,
    /// A key, or a session token in the `Authorization` header.
    KeyOrBearer,
    /// A session token only; a key is refused with 403.
    Bearer,
    /// A session cookie, or a key.
    CookieOrKey,
    /// A session cookie only.
    Cookie,
    /// The cookie with the refresh token.
    RefreshCookie,
}

impl Auth {
    /// Name in the published list.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::KeyOrBearer => "key_or_bearer",
            Self::Bearer => "bearer",
            Self::CookieOrKey => "cookie_or_key",
            Self::Cookie => "cookie",
            Self::RefreshCookie => "refresh_cookie",
        }
    }
}

/// How often a route may be called by one caller.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Rate {
    /// As often as requests in general.
    Usual,
    /// Guessing passwords, sending mail.
    Login,
    /// What is open to everybody.
    Open,
    /// What reads much.
    Export,
}

/// What comes in the body.
#[derive(Clone, Copy, Debug)]
pub enum BodyKind {
    /// Nothing; what comes is not looked at.
    Empty,
    /// A JSON object.
    Json(&'static Shape),
    /// A JSON list of such objects, with at most so many.
    List(&'static Shape, usize),
    /// Bytes that the handler reads itself, like a signed webhook.
    Raw,
    /// A file, as `multipart/form-data` or alone, that the handler reads while it arrives; with the
    /// names of the form's other fields.
    Upload(&'static [&'static str]),
}

/// What a success answers.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// Nothing.
    Empty,
    /// JSON.
    Json(Kind),
    /// Another media type.
    Other(&'static str),
    /// JSON, or another media type when asked for it.
    JsonOr(Kind, &'static str),
}

/// Largest body in general.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Largest body that holds a list of many rows.
const LARGE_BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

type Handler = fn(Context) -> BoxFuture<'static, Result<Response, Failure>>;

/// One published route.
#[derive(Clone, Copy)]
pub struct Route {
    /// Surface.
    pub product: Product,
    /// Method.
    pub method: &'static str,
    /// Path with `{parameters}`.
    pub path: &'static str,
    /// Credentials.
    pub auth: Auth,
    /// Roles, in the words of the published list.
    pub roles: &'static str,
    /// Status of a success.
    pub status: u16,
    /// What it does, one line.
    pub summary: &'static str,
    /// Parameters of the query.
    pub query: &'static [Field],
    /// Body.
    pub body: BodyKind,
    /// Largest body in bytes; that of an upload is its handler's matter.
    pub body_bytes_max: usize,
    /// Answer.
    pub answer: Answer,
    /// Limit.
    pub rate: Rate,
    /// Whether it is ours rather than one of the published list.
    pub added: bool,
    /// Whether an `Idempotency-Key` is honoured.
    pub idempotent: bool,
    /// Does it.
    pub handler: Handler,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl Route {
    /// A route without query and body that answers an object.
    #[must_use]
    pub const fn new(
        (product, method, path): (Product, &'static str, &'static str),
        auth: Auth,
        roles: &'static str,
        status: u16,
        handler: Handler,
    ) -> Self {
        Self {
            product,
            method,
            path,
            auth,
            roles,
            status,
            summary: "",
            query: &[],
            body: BodyKind::Empty,
            body_bytes_max: BODY_BYTES_MAX,
            answer: Answer::Json(Kind::Map),
            rate: Rate::Usual,
            added: false,
            idempotent: false,
            handler,
        }
    }

    /// Says what it does.
    #[must_use]
    pub const fn does(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    /// With these parameters.
    #[must_use]
    pub const fn query(mut self, query: &'static [Field]) -> Self {
        self.query = query;
        self
    }

    /// With a JSON body.
    #[must_use]
    pub const fn takes(mut self, shape: &'static Shape) -> Self {
        self.body = BodyKind::Json(shape);
        self
    }

    /// With a body that may hold a list of many rows.
    #[must_use]
    pub const fn large(mut self) -> Self {
        self.body_bytes_max = LARGE_BODY_BYTES_MAX;
        self
    }

    /// With a JSON list as its body.
    #[must_use]
    pub const fn takes_list(mut self, shape: &'static Shape, most: usize) -> Self {
        self.body = BodyKind::List(shape, most);
        self
    }

    /// With a body that the handler reads itself.
    #[must_use]
    pub const fn raw(mut self) -> Self {
        self.body = BodyKind::Raw;
        self
    }

    /// With a file that the handler reads while it arrives.
    #[must_use]
    pub const fn uploads(mut self, fields: &'static [&'static str]) -> Self {
        self.body = BodyKind::Upload(fields);
        self
    }

    /// Answers JSON of this kind.
    #[must_use]
    pub const fn answers(mut self, kind: Kind) -> Self {
        self.answer = Answer::Json(kind);
        self
    }

    /// Answers nothing, or another media type.
    #[must_use]
    pub const fn answers_with(mut self, answer: Answer) -> Self {
        self.answer = answer;
        self
    }

    /// With this limit.
    #[must_use]
    pub const fn rate(mut self, rate: Rate) -> Self {
        self.rate = rate;
        self
    }

    /// Not in the published list.
    #[must_use]
    pub const fn added(mut self) -> Self {
        self.added = true;
        self
    }

    /// Repeats its answer for a repeated `Idempotency-Key`.
    #[must_use]
    pub const fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// The role in the organisation that the published letters ask for.
    #[must_use]
    pub fn minimum_role(&self) -> Option<Role> {
        // There the role in the workspace of the path counts, not in the current one.
        if self.path.starts_with("/workspaces/{id}") {
            return None;
        }
        match self.roles {
            "M|D|A" => Some(Role::Member),
            "D|A" => Some(Role::Developer),
            "A" => Some(Role::Admin),
            _ => None,
        }
    }

    /// Names of the path's parameters, in order.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

/// Declares a route: `route!(Kupe GET "/x", KeyOrBearer "any" 200, handler)`.
macro_rules! route {
    ($product:ident $method:ident $path:literal, $auth:ident $roles:literal $status:literal, $handler:path) => {
        $crate::api::route::Route::new(
            (
                $crate::identity::principal::Product::$product,
                stringify!($method),
                $path,
            ),
            $crate::api::route::Auth::$auth,
            $roles,
            $status,
            |cx| Box::pin($handler(cx)),
        )
    };
}
pub(crate) use route;

/// A checked request.
pub struct Context {
    /// The server.
    pub services: Arc<Services>,
    /// The row that matched.
    pub route: &'static Route,
    /// Who calls, where the route wants to know.
    pub principal: Option<Principal>,
    /// Path parameters by name, decoded.
    pub path: BTreeMap<&'static str, String>,
    /// Query parameters by name, checked.
    pub query: Map<String, Value>,
    /// The body, checked; an empty object where there is none.
    pub body: Map<String, Value>,
    /// The body where it is a list, checked.
    pub list: Vec<Map<String, Value>>,
    /// The body as it came.
    pub raw: axum::body::Bytes,
    /// The body of an upload, until the handler takes it.
    pub upload: std::sync::Mutex<Option<axum::body::Body>>,
    /// Header fields.
    pub headers: HeaderMap,
    /// Who is at the other end of the connection.
    pub peer: IpAddr,
    /// Under which the log tells of the request.
    pub request_id: String,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// Who calls.
    ///
    /// # Errors
    /// 401 on a route that asks nobody.
    pub fn who(&self) -> Result<&Principal, Failure> {
        let missing = || Failure::unauthorized("a credential is needed");
        self.principal.as_ref().ok_or_else(missing)
    }

    /// Who calls, for the audit log.
    ///
    /// # Errors
    /// As [`Self::who`].
    pub fn actor(&self) -> Result<Actor, Failure> {
        Ok(Actor::of(self.who()?, &self.request_id))
    }

    /// A path parameter that is an id.
    ///
    /// # Errors
    /// Kupe answers 400 for what is no UUID, the others 404.
    pub fn id(&self, name: &str) -> Result<Uuid, Failure> {
        let text = self.path.get(name).map_or("", String::as_str);
        parse_uuid(text).ok_or_else(|| match self.route.product {
            Product::Kupe => Failure::field(name, "uuid", "must be a UUID"),
            Product::Kros | Product::Vaani => Failure::not_found(),
        })
    }

    /// The version that `If-Match` asks for.
    ///
    /// # Errors
    /// 412 when it is not a version of ours.
    pub fn if_match(&self) -> Result<Option<i64>, Failure> {
        let Some(value) = self.headers.get("if-match") else {
            return Ok(None);
        };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(None);
        }
        let version = text
            .strip_prefix("W/")
            .unwrap_or(text)
            .trim_matches('"')
            .parse();
        version.map(Some).map_err(|_| Failure::changed_meanwhile())
    }
}

/// Reads optional fields of a checked object; null is as good as absent.
pub trait Fields {
    /// The value, unless absent or null.
    fn value(&self, name: &str) -> Option<&Value>;

    /// A text.
    fn text(&self, name: &str) -> Option<&str> {
        self.value(name)?.as_str()
    }

    /// A text of its own.
    fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    /// A whole number.
    fn integer(&self, name: &str) -> Option<i64> {
        self.value(name)?.as_i64()
    }

    /// A truth value.
    fn flag(&self, name: &str) -> Option<bool> {
        self.value(name)?.as_bool()
    }

    /// A UUID.
    fn uuid(&self, name: &str) -> Option<Uuid> {
        parse_uuid(self.text(name)?)
    }

    /// A telephone number as `+` and digits.
    fn phone(&self, name: &str) -> Option<String> {
        super::schema::e164(self.text(name)?)
    }
}

impl Fields for Map<String, Value> {
    fn value(&self, name: &str) -> Option<&Value> {
        self.get(name).filter(|value| !value.is_null())
    }
}

/// Whether the request comes from this machine, and for it: what a proxy passes on does not.
#[must_use]
pub fn is_local(cx: &Context) -> bool {
    let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip"];
    cx.peer.is_loopback() && !forwarded.iter().any(|name| cx.headers.contains_key(*name))
}

/// An answer of JSON with the route's status.
#[must_use]
pub fn reply(cx: &Context, body: Value) -> Response {
    let status = StatusCode::from_u16(cx.route.status).unwrap_or(StatusCode::OK);
    (status, Json(body)).into_response()
}

/// The same with the row's version as `ETag`.
#[must_use]
pub fn reply_versioned(cx: &Context, body: Value, version: i64) -> Response {
    let mut response = reply(cx, body);
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response
            .headers_mut()
            .insert(HeaderName::from_static("etag"), tag);
    }
    response
}

/// `{"message": …}`, as many published answers are.
#[must_use]
pub fn message(cx: &Context, text: &str) -> Response {
    reply(cx, json!({ "message": text }))
}
