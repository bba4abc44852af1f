//! Tools that are HTTP requests, and the routing of tool calls by name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, redirect};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::llm::address_guard::AddressGuard;
use crate::llm::{ToolCall, ToolDefinition, ToolRunner};
use crate::provider_error::ProviderError;
use crate::secret::Secret;

/// Longest time to a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A tool that is one HTTP request. Placeholders `{name}` stand for an argument or, failing that,
/// a call variable; header values may also hold `{secret:NAME}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpTool {
    /// Name the model or workflow calls it by.
    pub name: String,
    /// For the model.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of the arguments.
    #[serde(default = "any_object")]
    pub parameters: Value,
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    #[serde(default = "post")]
    pub method: String,
    /// Address; placeholders stand in path and query only and are percent-encoded.
    pub url: String,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// JSON body, whose strings may hold placeholders. Absent: the arguments themselves, except
    /// for `GET` and `DELETE`, which then have no body.
    #[serde(default)]
    pub body: Option<Value>,
    /// Longest time from request to the end of the answer.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// Longest answer.
    #[serde(default = "default_response_bytes_max")]
    pub response_bytes_max: usize,
}

impl HttpTool {
    /// What a model is told of it.
    #[must_use]
    pub fn definition(&self) -> ToolDefinition {
        ToolDefinition {
            name: self.name.clone(),
            description: self.description.clone(),
            parameters: self.parameters.clone(),
        }
    }
}

fn any_object() -> Value {
    json!({"type": "object"})
}

fn post() -> String {
    "POST".to_owned()
}

const fn default_timeout_ms() -> u64 {
    10_000
}

const fn default_response_bytes_max() -> usize {
    64 * 1024
}

/// Runs [`HttpTool`]s. The answer's JSON (or its text, as a JSON string) is the result; a status
/// outside 2xx, redirects included, is a failure.
#[derive(Debug)]
pub struct HttpToolRunner {
    tools: BTreeMap<String, CheckedTool>,
    guard: AddressGuard,
    secrets: BTreeMap<String, Secret>,
    client: reqwest::Client,
}

#[derive(Debug)]
struct CheckedTool {
    tool: HttpTool,
    method: Method,
}

impl HttpToolRunner {
    /// A runner whose connections all pass `guard`. A process-wide TLS crypto provider must have
    /// been installed before.
    ///
    /// # Errors
    /// [`ProviderError::Rejected`] names the tool and field that is wrong.
    pub fn new(
        tools: Vec<HttpTool>,
        guard: AddressGuard,
        secrets: BTreeMap<String, Secret>,
    ) -> Result<Self, ProviderError> {
        let client = reqwest::Client::builder()
            .dns_resolver(guard.resolver())
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| ProviderError::Unavailable(error.to_string()))?;
        let mut checked = BTreeMap::new();
        for tool in tools {
            let entry = check_tool(tool, &secrets)?;
            checked.insert(entry.tool.name.clone(), entry);
        }
        Ok(Self {
            tools: checked,
            guard,
            secrets,
            client,
        })
    }

    /// Names of the tools.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tools.keys().map(String::as_str)
    }

    /// The definitions for a language model.
    #[must_use]
    pub fn definitions(&self) -> Vec<ToolDefinition> {
        self.tools
            .values()
            .map(|entry| entry.tool.definition())
            .collect()
    }

    fn request(
        &self,
        entry: &CheckedTool,
        call: &ToolCall,
        variables: &BTreeMap<String, String>,
    ) -> Result<reqwest::Request, ProviderError> {
        let tool = &entry.tool;
        let lookup = |name: &str| lookup(name, &call.arguments, variables);
        let url = fill(&tool.url, |name| lookup(name).map(|text| encode(&text)))?;
        let url = Url::parse(&url)
            .map_err(|error| ProviderError::Rejected(format!("url of {}: {error}", tool.name)))?;
        self.guard
            .check(&url)
            .map_err(|refused| ProviderError::Rejected(refused.to_string()))?;
        let mut headers = HeaderMap::new();
        for (name, template) in &tool.headers {
            let text = fill(template, |name| match name.strip_prefix("secret:") {
                Some(secret) => self.secrets.get(secret).map(|s| s.expose().to_owned()),
                None => lookup(name),
            })?;
            let name: HeaderName = name
                .parse()
                .map_err(|_| ProviderError::Rejected(format!("header name `{name}`")))?;
            let mut value = HeaderValue::from_str(&text)
                .map_err(|_| ProviderError::Rejected(format!("value of header `{name}`")))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let mut request = self
            .client
            .request(entry.method.clone(), url)
            .headers(headers)
            .timeout(Duration::from_millis(tool.timeout_ms));
        let bodiless = matches!(entry.method, Method::GET | Method::DELETE);
        match &tool.body {
            Some(template) => request = request.json(&fill_json(template, &lookup)?),
            None if bodiless => {}
            None => request = request.json(&call.arguments),
        }
        request
            .build()
            .map_err(|error| ProviderError::Rejected(error.without_url().to_string()))
    }
}

#[async_trait]
impl ToolRunner for HttpToolRunner {
    async fn run(
        &self,
        call: &ToolCall,
        variables: &BTreeMap<String, String>,
    ) -> Result<Value, ProviderError> {
        let entry = self
            .tools
            .get(&call.name)
            .ok_or_else(|| ProviderError::Rejected(format!("unknown tool `{}`", call.name)))?;
        let request = self.request(entry, call, variables)?;
        let response = self.client.execute(request).await.map_err(transport)?;
        let status = response.status();
        if !status.is_success() {
            return Err(refused(status));
        }
        let mut body = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(transport)?;
            if body.len() + chunk.len() > entry.tool.response_bytes_max {
                return Err(ProviderError::Failed(format!(
                    "answer is over {} bytes",
                    entry.tool.response_bytes_max
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(serde_json::from_slice(&body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned())))
    }
}

/// Routes tool calls by name to other runners.
#[derive(Default)]
pub struct CompositeToolRunner {
    routes: BTreeMap<String, Arc<dyn ToolRunner>>,
}

impl std::fmt::Debug for CompositeToolRunner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.routes.keys()).finish()
    }
}

impl CompositeToolRunner {
    /// A runner without tools.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends calls of `names` to `runner`, replacing earlier routes of the same names.
    #[must_use]
    pub fn route<I, S>(mut self, names: I, runner: Arc<dyn ToolRunner>) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        for name in names {
            self.routes.insert(name.into(), Arc::clone(&runner));
        }
        self
    }
}

#[async_trait]
impl ToolRunner for CompositeToolRunner {
    async fn run(
        &self,
        call: &ToolCall,
        variables: &BTreeMap<String, String>,
    ) -> Result<Value, ProviderError> {
        match self.routes.get(&call.name) {
            Some(runner) => runner.run(call, variables).await,
            None => Err(ProviderError::Rejected(format!(
                "unknown tool `{}`",
                call.name
            ))),
        }
    }
}

fn check_tool(
    tool: HttpTool,
    secrets: &BTreeMap<String, Secret>,
) -> Result<CheckedTool, ProviderError> {
    let wrong = |field: &str, why: String| {
        ProviderError::Rejected(format!("tool `{}`, field `{field}`: {why}", tool.name))
    };
    let method = match tool.method.as_str() {
        "GET" => Method::GET,
        "POST" => Method::POST,
        "PUT" => Method::PUT,
        "PATCH" => Method::PATCH,
        "DELETE" => Method::DELETE,
        other => return Err(wrong("method", format!("`{other}` is not supported"))),
    };
    // The host is the operator's choice, never an argument's.
    let sample = fill(&tool.url, |_| Some("\u{1}".into()))?;
    let rest = sample.split_once("://").map_or("", |(_, rest)| rest);
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    if rest[..authority_end].contains('\u{1}') || sample.starts_with('\u{1}') {
        return Err(wrong("url", "a placeholder stands before the path".into()));
    }
    Url::parse(&sample.replace('\u{1}', "x")).map_err(|error| wrong("url", error.to_string()))?;
    for (name, template) in &tool.headers {
        fill(template, |placeholder| {
            match placeholder.strip_prefix("secret:") {
                Some(secret) if !secrets.contains_key(secret) => None,
                Some(_) | None => Some(String::new()),
            }
        })
        .map_err(|error| wrong(&format!("headers.{name}"), error.to_string()))?;
    }
    Ok(CheckedTool { method, tool })
}

fn lookup(name: &str, arguments: &Value, variables: &BTreeMap<String, String>) -> Option<String> {
    match arguments.get(name) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(value) => Some(value.to_string()),
        None => variables.get(name).cloned(),
    }
}

/// Replaces each `{name}`; `{{` stands for a brace.
fn fill(
    template: &str,
    mut value: impl FnMut(&str) -> Option<String>,
) -> Result<String, ProviderError> {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        out.push_str(&rest[..start]);
        rest = &rest[start + 1..];
        if let Some(after) = rest.strip_prefix('{') {
            out.push('{');
            rest = after;
            continue;
        }
        let Some((name, after)) = rest.split_once('}') else {
            return Err(ProviderError::Rejected("placeholder without end".into()));
        };
        let text = value(name)
            .ok_or_else(|| ProviderError::Rejected(format!("nothing is known for `{name}`")))?;
        out.push_str(&text);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn fill_json(
    template: &Value,
    lookup: &impl Fn(&str) -> Option<String>,
) -> Result<Value, ProviderError> {
    Ok(match template {
        Value::String(text) => Value::String(fill(text, lookup)?),
        Value::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| fill_json(item, lookup))
                .collect::<Result<_, _>>()?,
        ),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, value)| Ok((name.clone(), fill_json(value, lookup)?)))
                .collect::<Result<_, ProviderError>>()?,
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => template.clone(),
    })
}

/// Percent-encodes all but RFC 3986 unreserved characters.
fn encode(text: &str) -> String {
    use std::fmt::Write as _;

    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn refused(status: StatusCode) -> ProviderError {
    match status.as_u16() {
        401 | 403 => ProviderError::Unauthorized,
        429 => ProviderError::RateLimited { retry_after: None },
        300..=399 => ProviderError::Rejected(format!("redirect ({status}) is not followed")),
        400..=499 => ProviderError::Rejected(format!("status {status}")),
        _ => ProviderError::Failed(format!("status {status}")),
    }
}

fn transport(error: reqwest::Error) -> ProviderError {
    if error.is_timeout() {
        return ProviderError::TimedOut;
    }
    // The URL may hold arguments; the cause says enough.
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    ProviderError::Connection(text)
}
