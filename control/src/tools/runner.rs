//! One call of a tool: checked, sent, logged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pipeline::llm::tools::HttpToolRunner;
use pipeline::llm::{ToolCall, ToolDefinition, ToolRunner};
use pipeline::provider_error::ProviderError;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::arguments::Schema;
use super::invocations::Invocation;
use super::mcp::McpServer;
use super::stored::MASK;
use crate::store::Store;

/// How a tool is reached.
#[derive(Debug)]
pub(super) enum Way {
    /// One HTTP request; the runner knows it under the name it is called by.
    Http(HttpToolRunner),
    /// A tool of an MCP server.
    Mcp {
        server: Arc<McpServer>,
        /// Its name there.
        name: String,
        longest: Duration,
    },
}

/// A tool as an agent calls it.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) tool: Option<Uuid>,
    pub(super) definition: ToolDefinition,
    pub(super) schema: Schema,
    /// Arguments that are the same in every call of this agent.
    pub(super) fixed: Map<String, Value>,
    pub(super) way: Way,
}

/// The tools of one agent.
#[derive(Debug)]
pub struct AgentTools {
    pub(super) store: Store,
    pub(super) org: Uuid,
    /// Whether arguments and results are logged.
    pub(super) content: bool,
    pub(super) agent: String,
    pub(super) tools: BTreeMap<String, Ready>,
}

impl AgentTools {
    /// What a model is told.
    #[must_use]
    pub fn definitions(&self) -> Vec<ToolDefinition> {
        self.tools
            .values()
            .map(|tool| tool.definition.clone())
            .collect()
    }

    /// Names the tools are called by.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tools.keys().map(String::as_str)
    }

    /// Shows the request that a call makes and, with `send`, what comes of it.
    pub async fn trial(
        &self,
        call: &ToolCall,
        variables: &BTreeMap<String, String>,
        send: bool,
    ) -> Value {
        let Some(ready) = self.tools.get(&call.name) else {
            return json!({ "valid": false, "error": format!("unknown tool `{}`", call.name) });
        };
        if let Err(wrong) = ready.schema.check(&call.arguments) {
            return json!({ "valid": false, "error": format!("arguments: {wrong}") });
        }
        let Way::Http(runner) = &ready.way else {
            return json!({ "valid": true });
        };
        let request = match runner.request(call, variables) {
            Ok(request) => request,
            Err(error) => return json!({ "valid": false, "error": error.to_string() }),
        };
        let body = request.body().and_then(reqwest::Body::as_bytes);
        let body = body.map(|bytes| serde_json::from_slice::<Value>(bytes).unwrap_or_default());
        let headers: BTreeMap<&str, &str> = request
            .headers()
            .iter()
            .map(|(name, value)| {
                let shown = if value.is_sensitive() {
                    MASK
                } else {
                    value.to_str().unwrap_or(MASK)
                };
                (name.as_str(), shown)
            })
            .collect();
        let mut shown = json!({
            "valid": true,
            "request": {
                "method": request.method().as_str(),
                "url": request.url().as_str(),
                "headers": headers,
                "body": body,
            },
        });
        if send {
            match self.run(call, variables).await {
                Ok(value) => shown["result"] = value,
                Err(error) => shown["error"] = json!(error.to_string()),
            }
        }
        shown
    }

    async fn send(
        ready: &Ready,
        call: &ToolCall,
        variables: &BTreeMap<String, String>,
    ) -> Result<Value, ProviderError> {
        match &ready.way {
            Way::Http(runner) => runner.run(call, variables).await,
            Way::Mcp {
                server,
                name,
                longest,
            } => server.call(name, &call.arguments, *longest).await,
        }
    }
}

#[async_trait]
impl ToolRunner for AgentTools {
    async fn run(
        &self,
        call: &ToolCall,
        variables: &BTreeMap<String, String>,
    ) -> Result<Value, ProviderError> {
        let unknown = || ProviderError::Rejected(format!("unknown tool `{}`", call.name));
        let ready = self.tools.get(&call.name).ok_or_else(unknown)?;
        let mut call = call.clone();
        if let Value::Object(arguments) = &mut call.arguments {
            arguments.extend(ready.fixed.clone());
        }
        let mut log = Invocation::begin(
            &self.store,
            (self.org, self.content),
            ready.tool,
            &self.agent,
            (
                variables.get("call_id").cloned(),
                &call.name,
                &call.arguments,
            ),
        );
        if let Err(wrong) = ready.schema.check(&call.arguments) {
            let error = ProviderError::Rejected(format!("arguments: {wrong}"));
            log.ended("refused", &error.to_string());
            return Err(error);
        }
        let outcome = Self::send(ready, &call, variables).await;
        match &outcome {
            Ok(value) => log.ended("ok", &value.to_string()),
            Err(error) => log.ended("failed", &error.to_string()),
        }
        outcome
    }
}
