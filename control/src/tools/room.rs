//! From rows to tools that can be called.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pipeline::guarded_http::{AddressGuard, GuardedClient};
use pipeline::llm::ToolDefinition;
use pipeline::llm::engine_tools::is_engine_tool;
use pipeline::llm::tools::{HttpTool, HttpToolRunner};
use pipeline::secret::Secret as ProviderSecret;
use serde_json::{Map, Value, json};
use url::Url;
use uuid::Uuid;

use super::arguments::{Schema, normalized, without};
use super::mapping::{self, AgentTool};
use super::mcp::McpServer;
use super::runner::{AgentTools, Ready, Way};
use super::stored::{StoredTool, ToolChange, ToolKind};
use crate::agents::stored::StoredAgent;
use crate::api::route::Fields as _;
use crate::config::Config;
use crate::identity::vault::Vault;
use crate::store::{Store, StoreError, sql};

/// Longest name of a tool that all vendors of models take.
const NAME_CHARS_MAX: usize = 64;
/// Time a tool has when nothing is said.
const TIMEOUT_MS: u64 = 10_000;
/// Longest answer of a tool: a model reads it while the caller waits.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;
/// Redirects of a tool.
const REDIRECTS_MAX: usize = 3;

/// What making tools of rows needs. Cloneable.
#[derive(Clone, Debug)]
pub struct ToolRoom {
    store: Store,
    vault: Vault,
    client: GuardedClient,
    secrets: BTreeMap<String, ProviderSecret>,
}

/// The tools of an agent as rows, and a text that changes when they do.
#[derive(Clone, Debug, Default)]
pub struct Equipment {
    tools: Vec<AgentTool>,
    functions: Vec<Value>,
    content: bool,
    /// Differs whenever the tools do.
    pub fingerprint: String,
}

/// Why a definition cannot become a tool.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {message}")]
pub struct ToolFault {
    /// The field that is wrong.
    pub field: &'static str,
    /// Why.
    pub message: String,
}

fn fault(field: &'static str, message: impl ToString) -> ToolFault {
    ToolFault {
        field,
        message: message.to_string(),
    }
}

impl ToolRoom {
    /// With the networks that the operator allows.
    ///
    /// # Errors
    /// When a network is malformed or TLS cannot be set up.
    pub fn new(config: &Config, store: &Store, vault: &Vault) -> Result<Self, String> {
        let networks = config.tools.allowed_networks.iter();
        let guard = AddressGuard {
            allowed_networks: networks
                .map(|text| text.parse())
                .collect::<Result<_, _>>()?,
            ..AddressGuard::default()
        };
        let client = GuardedClient::new(guard).map_err(|error| error.to_string())?;
        Ok(Self {
            store: store.clone(),
            vault: vault.clone(),
            client,
            secrets: BTreeMap::new(),
        })
    }

    /// The client for addresses that users write.
    #[must_use]
    pub const fn client(&self) -> &GuardedClient {
        &self.client
    }

    /// What an agent has at this moment.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn equipment(&self, agent: &StoredAgent) -> Result<Equipment, StoreError> {
        let mut conn = self.store.read().await?;
        let tools = mapping::of_agent(&mut conn, agent.id).await?;
        let hipaa = sql("SELECT hipaa FROM organisations WHERE id = $1").bind(agent.org);
        let hipaa = hipaa.fetch_one(&mut conn).await?.flag("hipaa")?;
        let more = agent.section("agent_specific_config");
        let functions = more.value("custom_functions").and_then(Value::as_array);
        let parts = tools.iter().map(|tool| {
            format!(
                "{}:{}:{}:{}",
                tool.tool.id,
                tool.tool.version,
                tool.enabled,
                json!(tool.config)
            )
        });
        let fingerprint = parts.collect::<Vec<_>>().join("/");
        Ok(Equipment {
            fingerprint: format!("{hipaa}/{fingerprint}"),
            functions: functions.cloned().unwrap_or_default(),
            tools,
            content: !hipaa,
        })
    }

    /// Tools that can be called. One that cannot be set up is left out and logged.
    #[must_use]
    pub fn ready(&self, agent: &StoredAgent, equipment: Equipment) -> AgentTools {
        let mut tools = BTreeMap::new();
        let mut add = |origin: &str, made: Result<Vec<Ready>, ToolFault>| match made {
            Ok(made) => {
                for mut tool in made {
                    let name = free_name(&tool.definition.name, &tools);
                    if name != tool.definition.name {
                        rename(&mut tool, &name);
                    }
                    tools.insert(name, tool);
                }
            }
            Err(error) => {
                tracing::error!(agent = %agent.id, tool = origin, %error, "tool cannot be set up");
            }
        };
        for tool in equipment.tools.iter().filter(|tool| tool.enabled) {
            add(
                &tool.tool.id.to_string(),
                self.make(&tool.tool, &tool.config),
            );
        }
        for function in &equipment.functions {
            add(
                "custom function",
                self.function(function).map(|tool| vec![tool]),
            );
        }
        AgentTools {
            store: self.store.clone(),
            org: agent.org,
            content: equipment.content,
            agent: agent.id.to_string(),
            tools,
        }
    }

    /// The tools that a definition stands for, as an agent with this `config` has them.
    ///
    /// # Errors
    /// The field that is wrong.
    pub(crate) fn make_for_trial(&self, tool: &StoredTool) -> Result<AgentTools, ToolFault> {
        let made = self.make(tool, &Map::new())?;
        Ok(AgentTools {
            store: self.store.clone(),
            org: tool.org,
            content: true,
            agent: String::new(),
            tools: made
                .into_iter()
                .map(|tool| (tool.definition.name.clone(), tool))
                .collect(),
        })
    }

    /// Checks what an HTTP tool is to be changed to.
    ///
    /// # Errors
    /// The field that is wrong.
    pub fn check_http(&self, change: &ToolChange) -> Result<(), ToolFault> {
        let example = filled_with_example(&change.url);
        self.check_url(&example)?;
        let http = self.http_tool(
            (&change.name, &change.description, &change.url),
            &change.settings,
            change.headers.clone(),
            &Map::new(),
        );
        HttpToolRunner::over(self.client.clone(), vec![http], self.secrets.clone())
            .map(drop)
            .map_err(|error| fault("url", error))
    }

    fn make(
        &self,
        tool: &StoredTool,
        config: &Map<String, Value>,
    ) -> Result<Vec<Ready>, ToolFault> {
        let headers = tool
            .headers(&self.vault)
            .map_err(|error| fault("headers", error))?;
        match tool.kind {
            ToolKind::Http => Ok(vec![self.http(tool, headers, config)?]),
            ToolKind::Mcp => self.mcp(tool, headers, config),
        }
    }

    fn http(
        &self,
        tool: &StoredTool,
        headers: BTreeMap<String, String>,
        config: &Map<String, Value>,
    ) -> Result<Ready, ToolFault> {
        let fixed = config.value("arguments").and_then(Value::as_object);
        let fixed = fixed.cloned().unwrap_or_default();
        let words = (&*tool.name, &*tool.description, &*tool.url);
        let mut http = self.http_tool(words, &tool.settings, headers, config);
        let schema = http.parameters.clone();
        http.parameters = without(schema.clone(), &fixed);
        self.request(Some(tool.id), http, &schema, fixed)
    }

    fn http_tool(
        &self,
        (name, description, url): (&str, &str, &str),
        settings: &Map<String, Value>,
        headers: BTreeMap<String, String>,
        config: &Map<String, Value>,
    ) -> HttpTool {
        let time = milliseconds(config).or_else(|| milliseconds(settings));
        HttpTool {
            name: function_name(config.text("name").unwrap_or(name)),
            description: config.text("description").unwrap_or(description).to_owned(),
            parameters: settings
                .get("tool_schema")
                .cloned()
                .unwrap_or_else(|| json!({})),
            method: settings
                .owned("method")
                .unwrap_or_else(|| "POST".to_owned()),
            url: url.to_owned(),
            headers,
            body: settings.value("body").cloned(),
            timeout_ms: time.unwrap_or(TIMEOUT_MS),
            response_bytes_max: RESPONSE_BYTES_MAX,
            redirects_max: REDIRECTS_MAX,
            arguments_in_query: true,
        }
    }

    fn function(&self, function: &Value) -> Result<Ready, ToolFault> {
        let text = |name: &str| function[name].as_str().unwrap_or_default().to_owned();
        let schema = normalized(function.get("parameters").unwrap_or(&Value::Null));
        let method = text("method");
        let method = if method.is_empty() { "POST" } else { &method };
        let settings = json!({ "method": method, "tool_schema": schema });
        let settings = settings.as_object().cloned().unwrap_or_default();
        let (name, description, url) = (text("name"), text("description"), text("url"));
        let words = (&*name, &*description, &*url);
        let http = self.http_tool(words, &settings, BTreeMap::new(), &Map::new());
        self.request(None, http, &schema, Map::new())
    }

    fn request(
        &self,
        tool: Option<Uuid>,
        http: HttpTool,
        schema: &Value,
        fixed: Map<String, Value>,
    ) -> Result<Ready, ToolFault> {
        let schema = Schema::new(schema).map_err(|error| fault("tool_schema", error))?;
        let definition = http.definition();
        let runner = HttpToolRunner::over(self.client.clone(), vec![http], self.secrets.clone())
            .map_err(|error| fault("url", error))?;
        Ok(Ready {
            tool,
            definition,
            schema,
            fixed,
            way: Way::Http(runner),
        })
    }

    fn mcp(
        &self,
        tool: &StoredTool,
        headers: BTreeMap<String, String>,
        config: &Map<String, Value>,
    ) -> Result<Vec<Ready>, ToolFault> {
        let url = self.check_url(&tool.url)?;
        let server = Arc::new(McpServer::new(url, headers, self.client.clone()));
        let allowed = tool
            .settings
            .value("allowed_tools")
            .and_then(Value::as_array);
        let allowed: Option<BTreeSet<&str>> =
            allowed.map(|names| names.iter().filter_map(Value::as_str).collect());
        let longest = milliseconds(config).or_else(|| milliseconds(&tool.settings));
        let longest = Duration::from_millis(longest.unwrap_or(TIMEOUT_MS));
        let mut made = Vec::new();
        for offer in tool.offered.as_array().into_iter().flatten() {
            let name = offer["name"].as_str().unwrap_or_default();
            if name.is_empty()
                || allowed
                    .as_ref()
                    .is_some_and(|allowed| !allowed.contains(name))
            {
                continue;
            }
            let parameters = normalized(&offer["parameters"]);
            let schema = Schema::new(&parameters).map_err(|error| fault("offered", error))?;
            made.push(Ready {
                tool: Some(tool.id),
                definition: ToolDefinition {
                    name: function_name(name),
                    description: offer["description"].as_str().unwrap_or_default().to_owned(),
                    parameters,
                },
                schema,
                fixed: Map::new(),
                way: Way::Mcp {
                    server: Arc::clone(&server),
                    name: name.to_owned(),
                    longest,
                },
            });
        }
        Ok(made)
    }

    /// The MCP server at an address, for asking what it offers.
    ///
    /// # Errors
    /// When the address may not be asked.
    pub fn server(
        &self,
        url: &str,
        headers: BTreeMap<String, String>,
    ) -> Result<McpServer, ToolFault> {
        Ok(McpServer::new(
            self.check_url(url)?,
            headers,
            self.client.clone(),
        ))
    }

    /// Checks an address as far as that can be done without resolving its name, which is checked
    /// at every connection.
    ///
    /// # Errors
    /// Why it may not be asked.
    pub fn check_url(&self, text: &str) -> Result<Url, ToolFault> {
        let url = Url::parse(text).map_err(|error| fault("url", error))?;
        self.client
            .guard()
            .check(&url)
            .map_err(|refused| fault("url", refused))?;
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        let local = host == "localhost" || host.ends_with(".localhost");
        if local && !self.client.guard().permits([127, 0, 0, 1].into()) {
            return Err(fault("url", "names of this machine are not allowed"));
        }
        Ok(url)
    }

    /// Opens what seals the secrets of tools.
    #[must_use]
    pub const fn vault(&self) -> &Vault {
        &self.vault
    }
}

/// The address with a word in every place that an argument fills.
fn filled_with_example(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    let mut inside = false;
    for c in url.chars() {
        match c {
            '{' => inside = true,
            '}' if inside => {
                inside = false;
                out.push('x');
            }
            _ if inside => {}
            c => out.push(c),
        }
    }
    out
}

fn milliseconds(settings: &Map<String, Value>) -> Option<u64> {
    u64::try_from(settings.integer("timeout_ms")?).ok()
}

/// What people call a tool, in the characters that models take for a function's name.
#[must_use]
pub fn function_name(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' {
            c
        } else {
            '_'
        }
    };
    let name: String = name
        .trim()
        .chars()
        .map(plain)
        .take(NAME_CHARS_MAX)
        .collect();
    if name.is_empty() {
        "tool".to_owned()
    } else {
        name
    }
}

/// A name that is neither another tool's nor the engine's own.
fn free_name(name: &str, taken: &BTreeMap<String, Ready>) -> String {
    let free = |name: &str| !taken.contains_key(name) && !is_engine_tool(name);
    if free(name) {
        return name.to_owned();
    }
    let short: String = name.chars().take(NAME_CHARS_MAX - 4).collect();
    let mut number = 2;
    loop {
        let candidate = format!("{short}_{number}");
        if free(&candidate) {
            return candidate;
        }
        number += 1;
    }
}

fn rename(tool: &mut Ready, name: &str) {
    if let Way::Http(runner) = &mut tool.way {
        runner.rename(&tool.definition.name, name);
    }
    tool.definition.name = name.to_owned();
}
