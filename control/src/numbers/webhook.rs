//! Asks an endpoint's webhook where a call is to go.
//!
//! The request is signed as Standard Webhooks has it: `webhook-id`, `webhook-timestamp`, and
//! `webhook-signature` with `v1,` and the HMAC-SHA-256 of `id.timestamp.body` in base64, keyed by
//! what follows `whsec_` in the endpoint's secret.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac as _};
use pipeline::guarded_http::{AddressGuard, GuardedClient, Limits, RequestError};
use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use super::routing::CallFacts;
use crate::clock::{now_us, rfc3339};
use crate::config::{EndpointsSection, Secret};

/// Longest answer.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Header fields that the request itself has; an endpoint's own cannot replace them.
const RESERVED: [&str; 6] = [
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "content-type",
    "content-length",
    "host",
];

/// Asks webhooks. Cloneable; clones share connections.
#[derive(Clone, Debug)]
pub struct WebhookClient {
    client: GuardedClient,
    limits: Limits,
}

/// One question.
#[derive(Debug)]
pub struct Question<'a> {
    /// Where to ask.
    pub url: &'a str,
    /// Signs the question.
    pub secret: Option<&'a Secret>,
    /// The endpoint's own header fields.
    pub headers: BTreeMap<String, String>,
    /// The endpoint.
    pub endpoint: Uuid,
    /// Its organisation.
    pub organisation: Uuid,
    /// The number called.
    pub number: &'a str,
    /// The call.
    pub call: CallFacts<'a>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The address is none.
    #[error("the address is no URL")]
    NoUrl,
    /// The address is not to be asked, or does not answer as it must.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Another status than 2xx.
    #[error("the answer is {0}")]
    Status(StatusCode),
    /// The answer is no JSON.
    #[error("the answer is not JSON")]
    Body,
}

impl WebhookClient {
    /// A client for the networks and times of `section`.
    ///
    /// # Errors
    /// A network that is none, or TLS that cannot be set up.
    pub fn new(section: &EndpointsSection) -> Result<Self, String> {
        let client = GuardedClient::new(guard(section)?).map_err(|error| error.to_string())?;
        let limits = Limits {
            total: section.webhook_timeout,
            response_bytes_max: ANSWER_BYTES_MAX,
            redirects_max: 0,
        };
        Ok(Self { client, limits })
    }

    /// Says which addresses may be asked, and called.
    #[must_use]
    pub const fn guard(&self) -> &AddressGuard {
        self.client.guard()
    }

    /// Asks, and waits for the answer at most as long as configured.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn ask(&self, question: &Question<'_>) -> Result<Value, WebhookError> {
        let url = Url::parse(question.url).map_err(|_| WebhookError::NoUrl)?;
        let id = format!("msg_{}", Uuid::now_v7().simple());
        let now = now_us();
        let body = json!({
            "type": "call.inbound",
            "timestamp": rfc3339(now),
            "data": {
                "endpoint_id": question.endpoint,
                "organization_id": question.organisation,
                "from": question.call.caller,
                "to": question.number,
                "carrier": question.call.carrier,
                "carrier_call_id": question.call.carrier_call_id,
            },
        })
        .to_string();
        let seconds = now / 1_000_000;
        let mut request = self
            .client
            .request(Method::POST, url)
            .header("content-type", "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", seconds);
        if let Some(secret) = question.secret {
            let signature = signature(secret, &id, seconds, &body);
            request = request.header("webhook-signature", signature);
        }
        for (name, value) in &question.headers {
            if !RESERVED.iter().any(|own| own.eq_ignore_ascii_case(name)) {
                request = request.header(name, value);
            }
        }
        let request = request.body(body).build();
        let request = request.map_err(|error| RequestError::Malformed(error.to_string()))?;
        let answer = self.client.send(request, &self.limits).await?;
        if !answer.status.is_success() {
            return Err(WebhookError::Status(answer.status));
        }
        serde_json::from_slice(&answer.body).map_err(|_| WebhookError::Body)
    }
}

/// What endpoints may be at.
///
/// # Errors
/// A network that is none.
pub fn guard(section: &EndpointsSection) -> Result<AddressGuard, String> {
    let networks = section.allowed_networks.iter();
    Ok(AddressGuard {
        allowed_networks: networks
            .map(|network| network.parse())
            .collect::<Result<_, String>>()?,
        ..AddressGuard::default()
    })
}

fn signature(secret: &Secret, id: &str, seconds: i64, body: &str) -> String {
    let text = secret.reveal();
    let encoded = text.strip_prefix("whsec_").unwrap_or(text);
    let key = BASE64
        .decode(encoded)
        .unwrap_or_else(|_| text.as_bytes().to_vec());
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length is a key");
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        // The example of the specification's reference library.
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = r#"{"test": 2432232314}"#;
        assert_eq!(
            signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}
