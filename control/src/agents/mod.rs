//! The agents of this installation, ready to take calls.

mod build;
pub mod factory;
pub mod placeholders;
pub mod providers;
mod remote;
pub mod stored;
pub mod workflows;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use pipeline::call::AgentProfile;
use pipeline::llm::{LanguageModel, ToolRunner};
use pipeline::stt::SpeechToText;
use pipeline::tts::TextToSpeech;

pub use self::build::{AgentError, build_agents};

use self::build::Parts;
use self::factory::AgentFactory;
use crate::config::Config;
use crate::identity::principal::INSTALLATION;
use crate::store::Store;

/// An agent with the services it works with.
#[derive(Clone)]
pub struct Agent {
    /// Identifies it.
    pub id: String,
    /// For people.
    pub name: String,
    /// The organisation its calls belong to.
    pub organisation: uuid::Uuid,
    /// What the conversation needs to know.
    pub profile: AgentProfile,
    /// Recogniser.
    pub stt: Arc<dyn SpeechToText>,
    /// Model or workflow.
    pub llm: Arc<dyn LanguageModel>,
    /// Voice.
    pub tts: Arc<dyn TextToSpeech>,
    /// Runner of tools.
    pub tools: Arc<dyn ToolRunner>,
    /// Numbers and SIP URIs that callers may be transferred to; `*` closes a prefix.
    pub transfer_targets: Vec<String>,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("id", &self.id)
            .field("stt", &self.stt.name())
            .field("llm", &self.llm.name())
            .field("tts", &self.tts.name())
            .finish_non_exhaustive()
    }
}

/// All agents by id.
#[derive(Clone, Default)]
pub struct AgentCatalogue {
    agents: BTreeMap<String, Arc<Agent>>,
    factory: Option<Arc<AgentFactory>>,
}

impl Agent {
    /// The organisation of agents that the configuration file names.
    pub const CONFIGURED: uuid::Uuid = INSTALLATION;
}

/// Brings the gauges of a service up to date.
pub(crate) type Probe = Arc<dyn Fn() + Send + Sync>;

impl fmt::Debug for AgentCatalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.agents).finish()
    }
}

impl AgentCatalogue {
    /// These agents; of two with one id the later stays.
    #[must_use]
    pub fn new(agents: impl IntoIterator<Item = Agent>) -> Self {
        Self {
            agents: agents
                .into_iter()
                .map(|agent| (agent.id.clone(), Arc::new(agent)))
                .collect(),
            factory: None,
        }
    }

    /// The same, with services that agents made over the API share.
    #[must_use]
    fn with_parts(mut self, config: &Config, store: &Store, parts: Parts) -> Self {
        let config = Arc::new(config.clone());
        self.factory = Some(Arc::new(AgentFactory::new(config, store.clone(), parts)));
        self
    }

    /// The same, able to make agents of what is stored.
    pub(crate) fn with_factory(self, config: &Config, store: &Store) -> Result<Self, AgentError> {
        if self.factory.is_some() {
            return Ok(self);
        }
        Ok(self.with_parts(config, store, Parts::new(config)?))
    }

    /// Makes agents of what is stored.
    #[must_use]
    pub(crate) const fn factory(&self) -> Option<&Arc<AgentFactory>> {
        self.factory.as_ref()
    }

    /// Brings the gauges of all services up to date.
    pub(crate) fn probe(&self) {
        if let Some(factory) = &self.factory {
            factory.probe();
        }
    }

    /// The agent with this id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Arc<Agent>> {
        self.agents.get(id).cloned()
    }

    /// All, in order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Agent> {
        self.agents.values().map(Arc::as_ref)
    }
}
