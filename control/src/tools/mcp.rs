//! Tools of MCP servers, over streamable HTTP by the official SDK.
//!
//! A server is connected to when one of its tools is first called and stays connected; a broken
//! connection is made again at the next call. Its offers are asked for when it is saved or
//! refreshed, never while a caller waits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use pipeline::guarded_http::GuardedClient;
use pipeline::provider_error::ProviderError;
use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::{RoleClient, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ServiceError, ServiceExt as _};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::timeout;
use url::Url;

/// Longest answer.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Tools taken of one server.
const OFFERED_MAX: usize = 128;
/// Longest time to a session with a server, and to the list of its tools.
const CONNECT_MAX: Duration = Duration::from_secs(5);
const LIST_MAX: Duration = Duration::from_secs(10);

type Session = Arc<RunningService<RoleClient, ()>>;

/// An MCP server.
pub struct McpServer {
    url: Url,
    headers: BTreeMap<String, String>,
    client: GuardedClient,
    session: Mutex<Option<Session>>,
}

impl std::fmt::Debug for McpServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("McpServer").finish_non_exhaustive()
    }
}

impl McpServer {
    /// Not connected yet.
    #[must_use]
    pub fn new(url: Url, headers: BTreeMap<String, String>, client: GuardedClient) -> Self {
        Self {
            url,
            headers,
            client,
            session: Mutex::new(None),
        }
    }

    async fn session(&self) -> Result<Session, ProviderError> {
        let mut session = self.session.lock().await;
        if let Some(session) = session.as_ref().filter(|session| !session.is_closed()) {
            return Ok(Arc::clone(session));
        }
        let http = self.client.beneath(&self.url);
        let http = http.map_err(|refused| ProviderError::Rejected(refused.to_string()))?;
        let mut headers = HashMap::new();
        for (name, value) in &self.headers {
            let parsed = name.parse().ok().zip(value.parse().ok());
            let malformed = || ProviderError::Rejected(format!("header `{name}` is malformed"));
            let (name, value) = parsed.ok_or_else(malformed)?;
            headers.insert(name, value);
        }
        let config = StreamableHttpClientTransportConfig::with_uri(self.url.as_str())
            .custom_headers(headers)
            .max_sse_event_size(ANSWER_BYTES_MAX)
            .max_json_response_size(ANSWER_BYTES_MAX);
        let transport = StreamableHttpClientTransport::with_client(http, config);
        let connected = timeout(CONNECT_MAX, ().serve(transport)).await;
        let connected = connected
            .map_err(|_| ProviderError::TimedOut)?
            .map_err(|error| ProviderError::Connection(cause(&error)))?;
        let connected = Arc::new(connected);
        *session = Some(Arc::clone(&connected));
        Ok(connected)
    }

    /// What the server offers: `[{name, description, parameters}]`.
    ///
    /// # Errors
    /// When it cannot be reached or does not speak the protocol.
    pub async fn offers(&self) -> Result<Value, ProviderError> {
        let session = self.session().await?;
        let tools = timeout(LIST_MAX, session.list_all_tools()).await;
        let tools = tools
            .map_err(|_| ProviderError::TimedOut)?
            .map_err(failed)?;
        let offers = tools.into_iter().take(OFFERED_MAX).map(|tool| {
            json!({
                "name": tool.name,
                "description": tool.description.unwrap_or_default(),
                "parameters": Value::Object((*tool.input_schema).clone()),
            })
        });
        Ok(offers.collect())
    }

    /// Calls a tool of the server.
    ///
    /// # Errors
    /// When the server cannot be reached, does not answer in time, or says that the tool failed.
    pub async fn call(
        &self,
        tool: &str,
        arguments: &Value,
        longest: Duration,
    ) -> Result<Value, ProviderError> {
        let called = async {
            let session = self.session().await?;
            let mut params = CallToolRequestParams::new(tool.to_owned());
            params.arguments = arguments.as_object().cloned();
            let answer = session.call_tool(params).await;
            if matches!(
                answer,
                Err(ServiceError::TransportSend(_) | ServiceError::TransportClosed)
            ) {
                // The next call connects anew; whether this one had an effect is not known.
                *self.session.lock().await = None;
            }
            answer.map_err(failed)
        };
        let answer = timeout(longest, called).await;
        result(answer.map_err(|_| ProviderError::TimedOut)??)
    }
}

fn result(answer: CallToolResult) -> Result<Value, ProviderError> {
    let texts: Vec<String> = answer
        .content
        .iter()
        .filter_map(|block| block.as_text().map(|text| text.text.clone()))
        .collect();
    let text = texts.join("\n");
    if text.len() > ANSWER_BYTES_MAX {
        let message = format!("answer is over {ANSWER_BYTES_MAX} bytes");
        return Err(ProviderError::Failed(message));
    }
    if answer.is_error == Some(true) {
        return Err(ProviderError::Rejected(text));
    }
    Ok(match answer.structured_content {
        Some(value) => value,
        None => serde_json::from_str(&text).unwrap_or(Value::String(text)),
    })
}

fn failed(error: ServiceError) -> ProviderError {
    match error {
        ServiceError::Timeout { .. } => ProviderError::TimedOut,
        ServiceError::McpError(error) => ProviderError::Rejected(error.message.into_owned()),
        error => ProviderError::Connection(cause(&error)),
    }
}

/// The innermost cause, which has no address in it.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
