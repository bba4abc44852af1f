//! The agents of this installation, ready to take calls.

mod build;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use pipeline::call::AgentProfile;
use pipeline::llm::{LanguageModel, ToolRunner};
use pipeline::stt::SpeechToText;
use pipeline::tts::TextToSpeech;

pub use self::build::{AgentError, build_agents};

/// An agent with the services it works with.
#[derive(Clone)]
pub struct Agent {
    /// Identifies it.
    pub id: String,
    /// For people.
    pub name: String,
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
    probes: Vec<Probe>,
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
            probes: Vec::new(),
        }
    }

    /// The same, with services whose gauges are read at each scrape.
    #[must_use]
    pub(crate) fn with_probes(mut self, probes: Vec<Probe>) -> Self {
        self.probes = probes;
        self
    }

    /// Brings the gauges of all services up to date.
    pub(crate) fn probe(&self) {
        for probe in &self.probes {
            probe();
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
