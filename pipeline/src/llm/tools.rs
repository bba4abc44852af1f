//! Tools that are HTTP requests, and the routing of tool calls by name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Request};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::guarded_http::{AddressGuard, Answer, GuardedClient, Limits, RequestError};
use crate::llm::{ToolCall, ToolDefinition, ToolRunner};
use crate::provider_error::ProviderError;
use crate::secret::Secret;

/// Most of an error's body that is told.
const ERROR_CHARS_MAX: usize = 300;

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
    /// Redirects followed, each checked like the address itself.
    #[serde(default)]
    pub redirects_max: usize,
    /// Whether arguments that no placeholder of the address names become parameters of its query,
    /// for methods without a body.
    #[serde(default)]
    pub arguments_in_query: bool,
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
    secrets: BTreeMap<String, Secret>,
    client: GuardedClient,
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
        let client = GuardedClient::new(guard)
            .map_err(|error| ProviderError::Unavailable(error.to_string()))?;
        Self::over(client, tools, secrets)
    }

    /// The same over a client that others use too.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn over(
        client: GuardedClient,
        tools: Vec<HttpTool>,
        secrets: BTreeMap<String, Secret>,
    ) -> Result<Self, ProviderError> {
        let mut checked = BTreeMap::new();
        for tool in tools {
            let entry = check_tool(tool, &secrets)?;
            checked.insert(entry.tool.name.clone(), entry);
        }
        Ok(Self {
            tools: checked,
            secrets,
            client,
        })
    }

    /// Calls a tool by another name from now on.
    pub fn rename(&mut self, from: &str, to: &str) {
        if let Some(mut entry) = self.tools.remove(from) {
            to.clone_into(&mut entry.tool.name);
            self.tools.insert(to.to_owned(), entry);
        }
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

    /// The request that a call makes, for showing or sending.
    ///
    /// # Errors
    /// [`ProviderError::Rejected`] when the tool is unknown, something is missing, or the address
    /// may not be asked.
    pub fn request(
        &self,
        call: &ToolCall,
        variables: &BTreeMap<String, String>,
    ) -> Result<Request, ProviderError> {
        let entry = self.find(&call.name)?;
        let tool = &entry.tool;
        let lookup = |name: &str| lookup(name, &call.arguments, variables);
        let mut used = Vec::new();
        let url = fill(&tool.url, |name| {
            used.push(name.to_owned());
            lookup(name).map(|text| encode(&text))
        })?;
        let mut url = Url::parse(&url)
            .map_err(|error| ProviderError::Rejected(format!("url of {}: {error}", tool.name)))?;
        let bodiless = matches!(entry.method, Method::GET | Method::DELETE);
        if tool.arguments_in_query
            && bodiless
            && let Value::Object(arguments) = &call.arguments
        {
            let spare = arguments
                .iter()
                .filter(|(name, value)| !value.is_null() && !used.contains(name));
            for (name, _) in spare {
                if let Some(text) = lookup(name) {
                    url.query_pairs_mut().append_pair(name, &text);
                }
            }
        }
        self.client
            .guard()
            .check(&url)
            .map_err(|refused| ProviderError::Rejected(refused.to_string()))?;
        let mut headers = HeaderMap::new();
        if entry.method != Method::GET
            && let Some(scope) = variables.get("call_id")
            && let Ok(key) = HeaderValue::from_str(&format!("{scope}-{}", call.id))
        {
            // One effect for one call of the tool, however often the request arrives.
            headers.insert("idempotency-key", key);
        }
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
            .headers(headers);
        match &tool.body {
            Some(template) => request = request.json(&fill_json(template, &lookup)?),
            None if bodiless => {}
            None => request = request.json(&call.arguments),
        }
        request
            .build()
            .map_err(|error| ProviderError::Rejected(error.without_url().to_string()))
    }

    fn find(&self, name: &str) -> Result<&CheckedTool, ProviderError> {
        let unknown = || ProviderError::Rejected(format!("unknown tool `{name}`"));
        self.tools.get(name).ok_or_else(unknown)
    }
}

#[async_trait]
impl ToolRunner for HttpToolRunner {
    async fn run(
        &self,
        call: &ToolCall,
        variables: &BTreeMap<String, String>,
    ) -> Result<Value, ProviderError> {
        let entry = self.find(&call.name)?;
        let request = self.request(call, variables)?;
        let limits = Limits {
            total: Duration::from_millis(entry.tool.timeout_ms),
            response_bytes_max: entry.tool.response_bytes_max,
            redirects_max: entry.tool.redirects_max,
        };
        let answer = self.client.send(request, &limits).await.map_err(failed)?;
        if !answer.status.is_success() {
            return Err(refused(&answer));
        }
        let body = answer.body;
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

/// A status outside 2xx; the first words of the answer often tell the model what to correct.
fn refused(answer: &Answer) -> ProviderError {
    let status = answer.status;
    let told = || {
        let text = String::from_utf8_lossy(&answer.body);
        let words: String = text.trim().chars().take(ERROR_CHARS_MAX).collect();
        if words.is_empty() {
            format!("status {status}")
        } else {
            format!("status {status}: {words}")
        }
    };
    match status.as_u16() {
        401 | 403 => ProviderError::Unauthorized,
        429 => ProviderError::RateLimited {
            retry_after: answer.retry_after(),
        },
        300..=399 => ProviderError::Rejected(format!("redirect ({status}) is not followed")),
        400..=499 => ProviderError::Rejected(told()),
        _ => ProviderError::Failed(told()),
    }
}

fn failed(error: RequestError) -> ProviderError {
    match error {
        RequestError::TimedOut => ProviderError::TimedOut,
        RequestError::Connection(cause) => ProviderError::Connection(cause),
        RequestError::TooLarge(_) => ProviderError::Failed(error.to_string()),
        _ => ProviderError::Rejected(error.to_string()),
    }
}
