//! Failures of the published surfaces, each in its surface's own form.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::schema::Invalid;
use crate::identity::principal::Product;
use crate::store::StoreError;

/// A request that is not answered with success.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Status.
    pub status: StatusCode,
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// The fields that are wrong.
    pub errors: Vec<Invalid>,
    /// When to try again, in seconds.
    pub retry_after: Option<u64>,
}

impl Failure {
    /// A failure with this status and code.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// 400: fields are wrong.
    #[must_use]
    pub fn invalid(errors: Vec<Invalid>) -> Self {
        let message = errors.first().map_or_else(
            || "the request is not valid".to_owned(),
            |first| format!("{}: {}", first.path, first.message),
        );
        Self {
            errors,
            ..Self::new(StatusCode::BAD_REQUEST, "validation_error", message)
        }
    }

    /// 400: this field is wrong.
    #[must_use]
    pub fn field(path: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self::invalid(vec![Invalid::new(path, code, message)])
    }

    /// 400.
    #[must_use]
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 401.
    #[must_use]
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// 403.
    #[must_use]
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// 404, the same for what never was and for what is another tenant's.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such thing")
    }

    /// 409.
    #[must_use]
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// 412: the row has changed since it was read.
    #[must_use]
    pub fn changed_meanwhile() -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "changed_meanwhile",
            "it has changed since it was read; read it again and repeat the change",
        )
    }

    /// 500: our fault; the log has the details.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "the server failed",
        )
    }

    /// In the form of a surface.
    #[must_use]
    pub fn into_response_for(self, product: Product) -> Response {
        let errors: Vec<_> = self
            .errors
            .iter()
            .map(|e| json!({ "path": e.path, "code": e.code, "message": e.message }))
            .collect();
        let body = match product {
            Product::Kros => json!({
                "error": self.message,
                "code": self.code,
                "details": { "errors": errors },
            }),
            Product::Kupe | Product::Vaani => json!({
                "detail": self.message,
                "code": self.code,
                "errors": errors,
            }),
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Declined(failure) => *failure,
            StoreError::Unstorable => Self::bad_request("nul_character", error.to_string()),
            error => {
                tracing::error!(%error, "store failed for a request");
                Self::internal()
            }
        }
    }
}
