//! Requests that pass the guard, with bounded answers.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Method, Request, Response, StatusCode, redirect};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::address_guard::{AddressGuard, Lookup, RefusedUrl};

/// Longest time to a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How much of the other side's time and bytes is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// From the request to the last byte of the answer, redirects included.
    pub total: Duration,
    /// Longest body of the answer.
    pub response_bytes_max: usize,
    /// Redirects that are followed; with 0 the redirect itself is the answer.
    pub redirects_max: usize,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Header fields.
    pub headers: HeaderMap,
    /// Body, whole.
    pub body: Vec<u8>,
}

impl Answer {
    /// `Retry-After` in seconds.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?;
        Duration::try_from_secs_f64(text.trim().parse().ok()?).ok()
    }
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The URL, one it redirected to, or an address of its name may not be asked.
    #[error("{0}")]
    Refused(RefusedUrl),
    /// The request cannot be sent as it is.
    #[error("the request is malformed: {0}")]
    Malformed(String),
    /// More redirects than allowed.
    #[error("more than {0} redirects")]
    TooManyRedirects(usize),
    /// A redirect without a usable address.
    #[error("the redirect leads nowhere")]
    BadRedirect,
    /// The answer is longer than allowed.
    #[error("answer is over {0} bytes")]
    TooLarge(usize),
    /// The time ran out.
    #[error("no complete answer in time")]
    TimedOut,
    /// The connection failed or broke.
    #[error("connection failed: {0}")]
    Connection(String),
}

impl RequestError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::TimedOut | Self::Connection(_))
    }
}

/// A client whose every connection passes the guard. Cloneable; clones share connections.
#[derive(Clone, Debug)]
pub struct GuardedClient {
    http: reqwest::Client,
    guard: AddressGuard,
}

impl GuardedClient {
    /// With names looked up by the system. A process-wide TLS crypto provider must have been
    /// installed before.
    ///
    /// # Errors
    /// When the platform's TLS roots cannot be used.
    pub fn new(guard: AddressGuard) -> Result<Self, RequestError> {
        let resolver = guard.resolver();
        Self::with_resolver(guard, resolver)
    }

    /// With names looked up by `lookup`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_lookup(guard: AddressGuard, lookup: Arc<dyn Lookup>) -> Result<Self, RequestError> {
        let resolver = guard.resolver_over(lookup);
        Self::with_resolver(guard, resolver)
    }

    fn with_resolver(
        guard: AddressGuard,
        resolver: Arc<dyn reqwest::dns::Resolve>,
    ) -> Result<Self, RequestError> {
        let http = reqwest::Client::builder()
            .dns_resolver(resolver)
            .redirect(redirect::Policy::none())
            // A proxy would resolve names itself.
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| RequestError::Malformed(error.to_string()))?;
        Ok(Self { http, guard })
    }

    /// What it lets through.
    #[must_use]
    pub const fn guard(&self) -> &AddressGuard {
        &self.guard
    }

    /// Begins a request; [`Self::send`] checks where it goes.
    pub fn request(&self, method: Method, url: Url) -> reqwest::RequestBuilder {
        self.http.request(method, url)
    }

    /// The client beneath, for protocols that speak HTTP themselves and ask `url` only. It follows
    /// no redirects and connects to permitted addresses only.
    ///
    /// # Errors
    /// When `url` may not be asked.
    pub fn beneath(&self, url: &Url) -> Result<reqwest::Client, RefusedUrl> {
        self.guard.check(url)?;
        Ok(self.http.clone())
    }

    /// Sends a request and reads the answer to its end.
    ///
    /// Towards another origin a redirect carries no header fields of the request but its content
    /// type, and never a body.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn send(&self, request: Request, limits: &Limits) -> Result<Answer, RequestError> {
        let deadline = Instant::now() + limits.total;
        let mut request = request;
        for _ in 0..=limits.redirects_max {
            self.guard
                .check(request.url())
                .map_err(RequestError::Refused)?;
            let again = request.try_clone();
            let sent = timeout_at(deadline, self.http.execute(request)).await;
            let response = sent
                .map_err(|_| RequestError::TimedOut)?
                .map_err(transport)?;
            if limits.redirects_max == 0 || !is_redirect(&response) {
                return read(response, limits.response_bytes_max, deadline).await;
            }
            let again = again.ok_or(RequestError::BadRedirect)?;
            request = redirected(again, &response)?;
        }
        Err(RequestError::TooManyRedirects(limits.redirects_max))
    }
}

fn is_redirect(response: &Response) -> bool {
    matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308)
        && response.headers().contains_key(LOCATION)
}

/// The request that follows a redirect (RFC 9110 §15.4).
fn redirected(mut request: Request, response: &Response) -> Result<Request, RequestError> {
    let location = response.headers().get(LOCATION);
    let location = location.and_then(|value| value.to_str().ok());
    let target = location.and_then(|text| request.url().join(text).ok());
    let target = target.ok_or(RequestError::BadRedirect)?;
    let status = response.status().as_u16();
    let becomes_get = match status {
        303 => *request.method() != Method::HEAD,
        301 | 302 => *request.method() == Method::POST,
        _ => false,
    };
    if becomes_get {
        *request.method_mut() = Method::GET;
    }
    let leaves = target.origin() != request.url().origin();
    if becomes_get || leaves {
        *request.body_mut() = None;
        request.headers_mut().remove(CONTENT_TYPE);
        request.headers_mut().remove(CONTENT_LENGTH);
    }
    if leaves {
        // Credentials are for the origin they were written for.
        request.headers_mut().clear();
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(RequestError::BadRedirect);
        }
    }
    *request.url_mut() = target;
    Ok(request)
}

async fn read(response: Response, most: usize, deadline: Instant) -> Result<Answer, RequestError> {
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = timeout_at(deadline, chunks.next())
        .await
        .map_err(|_| RequestError::TimedOut)?
    {
        let chunk = chunk.map_err(transport)?;
        if body.len() + chunk.len() > most {
            return Err(RequestError::TooLarge(most));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer {
        status,
        headers,
        body,
    })
}

fn transport(error: reqwest::Error) -> RequestError {
    if error.is_timeout() {
        return RequestError::TimedOut;
    }
    // The URL may hold arguments; the cause says enough.
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    loop {
        if let Some(refused) = cause.downcast_ref::<RefusedUrl>() {
            return RequestError::Refused(refused.clone());
        }
        match cause.source() {
            Some(source) => cause = source,
            None => return RequestError::Connection(cause.to_string()),
        }
    }
}
