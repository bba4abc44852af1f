//! What all HTTP adapters share: the client, headers that never print, and what a refusal means.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::provider_error::ProviderError;

/// Most of an error's body that is read.
const ERROR_BYTES_MAX: usize = 4 * 1024;
/// Longest time to a connection unless a setting says otherwise.
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(2);

/// A client that keeps connections between requests and follows no redirects. A process-wide TLS
/// crypto provider must have been installed before.
pub(crate) fn client(
    headers: HeaderMap,
    connect_max: Duration,
) -> Result<reqwest::Client, ProviderError> {
    reqwest::Client::builder()
        .default_headers(headers)
        .connect_timeout(connect_max)
        .tcp_nodelay(true)
        .pool_idle_timeout(Duration::from_secs(90))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| ProviderError::Unavailable(error.to_string()))
}

/// Headers out of names and texts; empty texts are left out.
pub(crate) fn headers(pairs: &[(&str, &str)]) -> Result<HeaderMap, ProviderError> {
    let mut map = HeaderMap::new();
    for (name, text) in pairs.iter().filter(|(_, text)| !text.is_empty()) {
        let header: HeaderName = name
            .parse()
            .map_err(|_| ProviderError::Rejected(format!("headers.{name}: not a name")))?;
        map.insert(header, header_value(name, text)?);
    }
    Ok(map)
}

/// A header value that does not print.
pub(crate) fn header_value(setting: &str, text: &str) -> Result<HeaderValue, ProviderError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| ProviderError::Rejected(format!("{setting}: not a header value")))?;
    value.set_sensitive(true);
    Ok(value)
}

/// What a status outside 2xx means, with the vendor's own words out of the body.
pub(crate) async fn refusal(mut response: Response, deadline: Instant) -> ProviderError {
    let status = response.status();
    let retry_after = retry_after(response.headers());
    if let Some(error) = plain_refusal(status, retry_after) {
        return error;
    }
    let mut body = Vec::new();
    while body.len() < ERROR_BYTES_MAX
        && let Ok(Ok(Some(chunk))) = timeout_at(deadline, response.chunk()).await
    {
        body.extend_from_slice(&chunk);
    }
    refusal_of(status, retry_after, &body)
}

/// The same for a status, a wait and a body at hand.
pub(crate) fn refusal_of(
    status: StatusCode,
    retry_after: Option<Duration>,
    body: &[u8],
) -> ProviderError {
    if let Some(error) = plain_refusal(status, retry_after) {
        return error;
    }
    let body = serde_json::from_slice::<Value>(body).ok();
    let message = body
        .as_ref()
        .and_then(|body| {
            let told = ["error", "detail", "message", "err_msg"];
            told.iter().find_map(|key| body.get(*key))
        })
        .map(error_message)
        .unwrap_or_default();
    let text = format!("status {} {message}", status.as_u16());
    if status.is_client_error() || status.is_redirection() {
        ProviderError::Rejected(text)
    } else {
        ProviderError::Failed(text)
    }
}

/// 529 is what Anthropic says when it is overloaded.
fn plain_refusal(status: StatusCode, retry_after: Option<Duration>) -> Option<ProviderError> {
    match status.as_u16() {
        401 | 403 => Some(ProviderError::Unauthorized),
        429 => Some(ProviderError::RateLimited { retry_after }),
        408 => Some(ProviderError::TimedOut),
        529 => Some(match retry_after {
            None => ProviderError::AtCapacity,
            some => ProviderError::RateLimited { retry_after: some },
        }),
        _ => None,
    }
}

/// `Retry-After` in seconds.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    Duration::try_from_secs_f64(text.trim().parse().ok()?).ok()
}

/// The words of an error object, or the object.
pub(crate) fn error_message(error: &Value) -> String {
    error
        .as_str()
        .or_else(|| error.get("message").and_then(Value::as_str))
        .map_or_else(|| error.to_string(), str::to_owned)
}

/// A failed connection, without the address, which may hold more than it should.
pub(crate) fn transport(error: reqwest::Error) -> ProviderError {
    if error.is_timeout() {
        return ProviderError::TimedOut;
    }
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    ProviderError::Connection(cause.to_string())
}
