//! Tools and a carrier that do as they are told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::call::{CarrierActions, TransferFailure};
use crate::llm::{ToolCall, ToolRunner};
use crate::provider_error::ProviderError;

/// Gives every tool the same result, after a while.
#[derive(Clone, Debug)]
pub struct ScriptedTools {
    /// How long a run takes.
    pub takes: Duration,
    /// The result; `None` fails.
    pub result: Option<Value>,
}

impl Default for ScriptedTools {
    fn default() -> Self {
        Self {
            takes: Duration::from_millis(300),
            result: Some(serde_json::json!({"ok": true})),
        }
    }
}

#[async_trait]
impl ToolRunner for ScriptedTools {
    async fn run(
        &self,
        _call: &ToolCall,
        _variables: &BTreeMap<String, String>,
    ) -> Result<Value, ProviderError> {
        tokio::time::sleep(self.takes).await;
        self.result
            .clone()
            .ok_or_else(|| ProviderError::Failed("scripted to fail".to_owned()))
    }
}

/// A carrier that transfers, or does not.
#[derive(Clone, Debug)]
pub struct ScriptedCarrier {
    /// What a transfer comes to.
    pub outcome: Result<(), TransferFailure>,
    targets: Arc<Mutex<Vec<String>>>,
}

impl ScriptedCarrier {
    /// A carrier whose transfers end like this.
    #[must_use]
    pub fn new(outcome: Result<(), TransferFailure>) -> Self {
        Self {
            outcome,
            targets: Arc::default(),
        }
    }

    /// Where callers were to be handed over to.
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        self.targets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[async_trait]
impl CarrierActions for ScriptedCarrier {
    async fn transfer(&self, target: &str) -> Result<(), TransferFailure> {
        self.targets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(target.to_owned());
        self.outcome
    }
}
