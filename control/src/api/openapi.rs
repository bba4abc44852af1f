//! The OpenAPI document, made of the route table: what it says is what the router does.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{Html, IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::route::{Answer, Auth, BodyKind, Rate, Route};
use super::schema::{Kind, Shape, need, shape};
use super::table;
use crate::identity::principal::Product;
use crate::services::Services;

static INVALID: Shape = shape(
    "InvalidField",
    &[
        need("path", Kind::Text(0, 0)),
        need("code", Kind::Text(0, 0)),
        need("message", Kind::Text(0, 0)),
    ],
);
static DETAIL: Shape = shape(
    "Error",
    &[
        need("detail", Kind::Text(0, 0)),
        need("code", Kind::Text(0, 0)),
        need("errors", Kind::List(&Kind::Object(&INVALID), 0)),
    ],
);
static KROS_DETAIL: Shape = shape(
    "EndpointError",
    &[
        need("error", Kind::Text(0, 0)),
        need("code", Kind::Text(0, 0)),
        need("details", Kind::Map),
    ],
);
/// The viewer; it loads nothing from elsewhere.
const VIEWER: &str = include_str!("docs_page.html");

/// The document of one surface, or of all.
#[must_use]
pub fn document(product: Option<Product>) -> Value {
    let mut shapes = Map::new();
    let mut paths = Map::new();
    let wanted = |route: &&Route| product.is_none_or(|product| route.product == product);
    for route in table::routes().iter().filter(wanted) {
        let operation = operation(route, &mut shapes);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.to_ascii_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Samvad",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "AI voice agents on phone and web.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": shapes,
            "securitySchemes": {
                "session": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
                "key": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
                "cookie": { "type": "apiKey", "in": "cookie", "name": "access_token" },
                "refresh": { "type": "apiKey", "in": "cookie", "name": "refresh_token" },
            },
        },
    })
}

/// Method and words of the path. Paths that differ only in their punctuation are numbered.
fn operation_id(route: &Route) -> String {
    let words = |route: &Route| -> Vec<&'static str> {
        let words = route.path.split(['/', '-', '_', '{', '}', '.']);
        words.filter(|word| !word.is_empty()).collect()
    };
    let own = words(route);
    let alike = table::routes()
        .iter()
        .take_while(|other| (other.method, other.path) != (route.method, route.path))
        .filter(|other| other.method == route.method && words(other) == own)
        .count();
    let id = format!("{}_{}", route.method.to_ascii_lowercase(), own.join("_"));
    if alike == 0 {
        id
    } else {
        format!("{id}_{}", alike + 1)
    }
}

fn operation(route: &'static Route, shapes: &mut Map<String, Value>) -> Value {
    let mut parameters: Vec<Value> = route
        .parameters()
        .map(|name| {
            let schema = match name {
                "number" => json!({ "type": "string", "minLength": 1 }),
                _ => json!({ "type": "string", "format": "uuid" }),
            };
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        })
        .collect();
    for field in route.query {
        let schema = field.kind.schema(shapes, false);
        parameters.push(json!({
            "name": field.name, "in": "query", "required": field.required, "schema": schema,
        }));
    }
    let mut operation = json!({
        "operationId": operation_id(route),
        "tags": [route.product.name()],
        "summary": route.summary,
        "parameters": parameters,
        "responses": responses(route, shapes),
        "security": security(route.auth),
        "x-roles": route.roles,
    });
    match route.body {
        BodyKind::Empty => {}
        BodyKind::Json(shape) => {
            let schema = shape.schema(shapes, false);
            operation["requestBody"] = json!({
                "required": true, "content": { "application/json": { "schema": schema } },
            });
        }
        BodyKind::Upload(fields) => {
            let mut properties = Map::new();
            properties.insert(
                "file".to_owned(),
                json!({ "type": "string", "format": "binary" }),
            );
            for field in fields {
                properties.insert((*field).to_owned(), json!({ "type": "string" }));
            }
            let form = json!({ "type": "object", "properties": properties, "required": ["file"] });
            operation["requestBody"] = json!({
                "required": true,
                "content": { "multipart/form-data": { "schema": form } },
            });
        }
        BodyKind::List(shape, most) => {
            let items = shape.schema(shapes, false);
            let schema = json!({ "type": "array", "items": items, "maxItems": most });
            operation["requestBody"] = json!({
                "required": true, "content": { "application/json": { "schema": schema } },
            });
        }
        BodyKind::Raw => {
            operation["requestBody"] = json!({
                "required": true,
                "content": { "application/webhook+json": { "schema": { "type": "object" } } },
            });
        }
    }
    operation
}

fn responses(route: &'static Route, shapes: &mut Map<String, Value>) -> Value {
    let mut responses = Map::new();
    let mut success = json!({ "description": "Success" });
    match route.answer {
        Answer::Empty => {}
        Answer::Json(kind) => {
            let schema = kind.schema(shapes, true);
            success["content"] = json!({ "application/json": { "schema": schema } });
        }
        Answer::Other(media) => {
            success["content"] = json!({ media: { "schema": { "type": "string" } } });
        }
        Answer::JsonOr(kind, media) => {
            let schema = kind.schema(shapes, true);
            success["content"] = json!({
                "application/json": { "schema": schema },
                media: { "schema": { "type": "string" } },
            });
        }
    }
    responses.insert(route.status.to_string(), success);
    let error = match route.product {
        Product::Kros => &KROS_DETAIL,
        Product::Kupe | Product::Vaani => &DETAIL,
    };
    let schema = error.schema(shapes, true);
    let mut failure = |status: &str, description: &str| {
        let content = json!({ "application/json": { "schema": schema } });
        let response = json!({ "description": description, "content": content });
        responses.insert(status.to_owned(), response);
    };
    let takes_more = !route.query.is_empty() || !matches!(route.body, BodyKind::Empty);
    if takes_more || route.parameters().next().is_some() {
        failure("400", "A field is wrong");
    }
    if route.auth != Auth::None {
        failure("401", "No credential, or a bad one");
        failure("403", "Not allowed");
    }
    if route.parameters().next().is_some() {
        failure("404", "There is no such thing");
    }
    if !matches!(route.body, BodyKind::Empty) {
        failure("413", "The body is too large");
        failure("415", "Not JSON");
    }
    if route.rate != Rate::Usual || route.auth != Auth::None {
        failure("429", "Too many requests");
    }
    failure("4XX", "The request cannot be served");
    failure("5XX", "The server, or a service it asked, failed");
    Value::Object(responses)
}

fn security(auth: Auth) -> Value {
    match auth {
        Auth::None => json!([]),
        Auth::KeyOrBearer => json!([{ "session": [] }, { "key": [] }]),
        Auth::Bearer => json!([{ "session": [] }]),
        Auth::CookieOrKey => json!([{ "cookie": [] }, { "key": [] }]),
        Auth::Cookie => json!([{ "cookie": [] }]),
        Auth::RefreshCookie => json!([{ "refresh": [] }]),
    }
}

/// `GET /openapi.json`.
pub(crate) async fn whole() -> Response {
    Json(document(None)).into_response()
}

/// `GET /openapi/{surface}`: `kupe.json`, `kros.json`, `vaani.json`.
pub(crate) async fn of_surface(Path(name): Path<String>) -> Result<Response, ApiError> {
    let product = name
        .strip_suffix(".json")
        .and_then(|name| name.parse().ok());
    let product = product.ok_or_else(|| ApiError::not_found("surface"))?;
    Ok(Json(document(Some(product))).into_response())
}

/// `GET /docs`: reads the document in the browser.
pub(crate) async fn viewer(State(_): State<Arc<Services>>) -> Response {
    let policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                  connect-src 'self'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(VIEWER)).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_is_whole() {
        let document = document(None);
        let text = document.to_string();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        assert!(schemas.values().all(Value::is_object));
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name}");
        }
        let mut ids = BTreeSet::new();
        for route in table::routes() {
            let operation = &document["paths"][route.path][route.method.to_ascii_lowercase()];
            assert!(
                ids.insert(operation["operationId"].to_string()),
                "{route:?} has no id of its own"
            );
            assert!(!route.summary.is_empty(), "{route:?} says nothing");
            assert_eq!(operation["security"], security(route.auth));
        }
    }
}
