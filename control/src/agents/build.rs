//! From the configuration to agents that can take calls.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use pipeline::call::AgentProfile;
use pipeline::llm::address_guard::AddressGuard;
use pipeline::llm::record_tools::{RECORD_TOOLS, RecordTools};
use pipeline::llm::records::RecordStore;
use pipeline::llm::tools::{CompositeToolRunner, HttpToolRunner};
use pipeline::llm::{LanguageModel, ToolDefinition, ToolRunner};
use pipeline::providers::openai_llm::{OpenAiConfig, OpenAiModel};
use pipeline::secret::Secret as ProviderSecret;
use pipeline::stt::SpeechToText;
use pipeline::tts::TextToSpeech;
use pipeline::tts::cache::CachedVoice;
use pipeline::workflow::{Workflow, WorkflowModel};

use super::{Agent, AgentCatalogue, Probe};
use crate::config::{AgentLlm, AgentSection, Config};
use crate::records::StoredRecords;
use crate::store::Store;
use crate::telemetry::metrics as meters;

/// Why an agent cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The configuration names a provider this program does not have.
    #[error("agent `{agent}`: there is no {part} provider `{name}` (there is: {known})")]
    UnknownProvider {
        /// The agent.
        agent: String,
        /// `stt`, `tts` or `llm`.
        part: &'static str,
        /// What was named.
        name: String,
        /// What there is.
        known: &'static str,
    },
    /// A workflow is wrong.
    #[error("{origin}: {source}")]
    Workflow {
        /// The file.
        origin: String,
        /// Everything wrong with it.
        source: pipeline::workflow::WorkflowError,
    },
    /// A workflow calls a tool nobody has.
    #[error("{origin}: there is no tool `{tool}`")]
    UnknownTool {
        /// The workflow's file.
        origin: String,
        /// The tool.
        tool: String,
    },
    /// A provider cannot be set up.
    #[error("agent `{agent}`: {name}: {source}")]
    Provider {
        /// The agent.
        agent: String,
        /// The provider.
        name: String,
        /// Why.
        source: pipeline::provider_error::ProviderError,
    },
    /// A setting of tools is wrong.
    #[error("tools: {0}")]
    Tools(String),
}

/// Sets up all agents of `config`. Loads models, which takes some tenths of a second: call it
/// where blocking is allowed.
///
/// # Errors
/// The first thing that is wrong.
pub fn build_agents(config: &Config, store: &Store) -> Result<AgentCatalogue, AgentError> {
    let mut parts = Parts::new(config)?;
    let records = Arc::new(StoredRecords::new(store.clone()));
    let mut builder = Builder::new(config, records, &mut parts);
    let agents: Result<Vec<Agent>, AgentError> = config
        .agents
        .values()
        .map(|agent| builder.agent(agent, None))
        .collect();
    Ok(AgentCatalogue::new(agents?).with_parts(config, store, parts))
}

/// The services that agents share.
pub(super) struct Parts {
    http_tools: Arc<HttpToolRunner>,
    /// One recogniser and one voice of a kind serve all agents.
    stt: HashMap<String, Arc<dyn SpeechToText>>,
    tts: HashMap<String, Arc<dyn TextToSpeech>>,
    /// What services show at a scrape.
    pub(super) probes: Vec<Probe>,
}

impl Parts {
    /// None yet but the tools.
    pub(super) fn new(config: &Config) -> Result<Self, AgentError> {
        Ok(Self {
            http_tools: http_tools(config)?,
            stt: HashMap::new(),
            tts: HashMap::new(),
            probes: Vec::new(),
        })
    }
}

pub(super) struct Builder<'a> {
    config: &'a Config,
    records: Arc<dyn RecordStore>,
    parts: &'a mut Parts,
}

/// What leads a conversation.
struct Mind {
    llm: Arc<dyn LanguageModel>,
    tools: Arc<dyn ToolRunner>,
    definitions: Vec<ToolDefinition>,
    prompt: String,
    /// Language, where the mind has one of its own.
    language: Option<String>,
    /// Whether it opens the conversation itself.
    opens: bool,
}

impl<'a> Builder<'a> {
    pub(super) fn new(
        config: &'a Config,
        records: Arc<dyn RecordStore>,
        parts: &'a mut Parts,
    ) -> Self {
        Self {
            config,
            records,
            parts,
        }
    }

    /// `stored` is the workflow's definition in JSON where it is not one of the configuration's.
    pub(super) fn agent(
        &mut self,
        section: &AgentSection,
        stored: Option<&str>,
    ) -> Result<Agent, AgentError> {
        let mind = match (&section.workflow, &section.llm) {
            (Some(workflow), _) => self.workflow(workflow, stored)?,
            (None, Some(llm)) => self.model(section, llm)?,
            (None, None) => self.model(section, &AgentLlm::default())?,
        };
        let profile = AgentProfile {
            first_message: section.first_message.clone(),
            model_opens: mind.opens,
            system_prompt: mind.prompt,
            language: mind.language.unwrap_or_else(|| section.language.clone()),
            voice: section.voice.clone(),
            speed: section.speed,
            time_zone: section.time_zone.clone(),
            tools: mind.definitions,
            call_duration_max: section.call_duration_max,
            silence_prompt_after: section.silence_prompt_after,
            silence_prompts_max: section.silence_prompts_max,
        };
        Ok(Agent {
            id: section.id.clone(),
            name: section.name.clone().unwrap_or_else(|| section.id.clone()),
            organisation: Agent::CONFIGURED,
            profile,
            stt: self.recogniser(section)?,
            llm: mind.llm,
            tts: self.voice(section)?,
            tools: mind.tools,
            transfer_targets: section.transfer_targets.clone(),
        })
    }

    fn workflow(&self, id: &str, stored: Option<&str>) -> Result<Mind, AgentError> {
        // Loading has made sure that the reference holds; an empty text fails as a workflow.
        let source = self.config.workflows.get(id);
        let (origin, text) = source.map_or((id, ""), |s| (s.origin.as_str(), s.text.as_str()));
        let read = stored.map_or_else(|| Workflow::from_toml(text), Workflow::from_json);
        let workflow = read.map_err(|source| AgentError::Workflow {
            origin: origin.to_owned(),
            source,
        })?;
        let records = RecordTools::new(Arc::clone(&self.records), workflow.collections().to_vec());
        let http: Vec<&str> = self.parts.http_tools.names().collect();
        let unknown = workflow
            .tools()
            .into_iter()
            .find(|tool| !RECORD_TOOLS.contains(tool) && !http.contains(tool));
        if let Some(tool) = unknown {
            return Err(AgentError::UnknownTool {
                origin: origin.to_owned(),
                tool: tool.to_owned(),
            });
        }
        let tools = CompositeToolRunner::new()
            .route(self.parts.http_tools.names(), self.parts.http_tools.clone())
            .route(RECORD_TOOLS, Arc::new(records));
        let language = workflow.language().to_owned();
        Ok(Mind {
            llm: Arc::new(WorkflowModel::new(
                Arc::new(workflow),
                Arc::new(chrono::Utc::now),
            )),
            tools: Arc::new(tools),
            definitions: Vec::new(),
            prompt: String::new(),
            language: Some(language),
            opens: true,
        })
    }

    fn model(&self, section: &AgentSection, llm: &AgentLlm) -> Result<Mind, AgentError> {
        let name = llm.provider.as_ref().unwrap_or(&self.config.llm.provider);
        if name != "openai" {
            return Err(unknown(section, "llm", name, "openai"));
        }
        let settings = &self.config.llm.openai;
        let config = OpenAiConfig {
            base_url: settings.base_url.clone(),
            api_key: settings
                .api_key
                .as_ref()
                .map(|key| ProviderSecret::new(key.reveal())),
            model: llm.model.clone().unwrap_or_else(|| settings.model.clone()),
            ..OpenAiConfig::default()
        };
        let model = OpenAiModel::new(config).map_err(|source| failed(section, name, source))?;
        Ok(Mind {
            llm: Arc::new(model),
            tools: self.parts.http_tools.clone(),
            definitions: self.parts.http_tools.definitions(),
            prompt: llm.prompt.clone(),
            language: None,
            opens: section.first_message.is_none(),
        })
    }

    fn recogniser(&mut self, section: &AgentSection) -> Result<Arc<dyn SpeechToText>, AgentError> {
        let name = section.stt.as_ref().unwrap_or(&self.config.stt.provider);
        if let Some(recogniser) = self.parts.stt.get(name) {
            return Ok(Arc::clone(recogniser));
        }
        let recogniser = new_recogniser(self.config, section, name, &mut self.parts.probes)?;
        self.parts.stt.insert(name.clone(), Arc::clone(&recogniser));
        Ok(recogniser)
    }

    fn voice(&mut self, section: &AgentSection) -> Result<Arc<dyn TextToSpeech>, AgentError> {
        let name = section.tts.as_ref().unwrap_or(&self.config.tts.provider);
        if let Some(voice) = self.parts.tts.get(name) {
            return Ok(Arc::clone(voice));
        }
        let voice = new_voice(self.config, section, name)?;
        let bytes = self.config.tts.cache_mib * 1024 * 1024;
        let voice: Arc<dyn TextToSpeech> = if bytes > 0 {
            let cached = Arc::new(CachedVoice::new(voice, bytes));
            let probed = Arc::clone(&cached);
            self.parts
                .probes
                .push(Arc::new(move || meters::tts_cache(&probed.statistics())));
            cached
        } else {
            voice
        };
        self.parts.tts.insert(name.clone(), Arc::clone(&voice));
        Ok(voice)
    }
}

#[cfg(feature = "embedded-speech")]
fn new_recogniser(
    config: &Config,
    section: &AgentSection,
    name: &str,
    probes: &mut Vec<Probe>,
) -> Result<Arc<dyn SpeechToText>, AgentError> {
    use pipeline::local::pocketsphinx::{PocketsphinxConfig, PocketsphinxRecogniser};

    if name != "pocketsphinx" {
        return Err(unknown(section, "stt", name, "pocketsphinx"));
    }
    let settings = &config.stt.pocketsphinx;
    let mut own = PocketsphinxConfig::default();
    if let Some(model_dir) = &settings.model_dir {
        own.model_dir.clone_from(model_dir);
    }
    if let Some(slots) = std::num::NonZeroUsize::new(settings.slots) {
        own.slots_max = slots;
    }
    let recogniser =
        PocketsphinxRecogniser::new(own).map_err(|source| failed(section, name, source))?;
    let counters = recogniser.counters();
    probes.push(Arc::new(move || {
        let pool = counters.read();
        meters::recogniser(&meters::RecogniserGauges {
            slots_created: pool.slots_created,
            slots_busy: pool.slots_busy,
            waiting: pool.waiting,
            utterances: pool.utterances,
            overloaded: pool.overloaded,
            failed: pool.failed,
            truncated: pool.truncated,
        });
    }));
    Ok(Arc::new(recogniser))
}

#[cfg(not(feature = "embedded-speech"))]
fn new_recogniser(
    _config: &Config,
    section: &AgentSection,
    name: &str,
    _probes: &mut Vec<Probe>,
) -> Result<Arc<dyn SpeechToText>, AgentError> {
    Err(unknown(section, "stt", name, "none in this build"))
}

#[cfg(feature = "embedded-speech")]
fn new_voice(
    config: &Config,
    section: &AgentSection,
    name: &str,
) -> Result<Arc<dyn TextToSpeech>, AgentError> {
    use pipeline::local::flite::{FliteConfig, FliteVoice};

    if name != "flite" {
        return Err(unknown(section, "tts", name, "flite"));
    }
    let mut own = FliteConfig::default();
    if let Some(threads) = std::num::NonZeroUsize::new(config.tts.flite.slots) {
        own.threads = threads;
    }
    let voice = FliteVoice::new(&own).map_err(|source| failed(section, name, source))?;
    Ok(Arc::new(voice))
}

#[cfg(not(feature = "embedded-speech"))]
fn new_voice(
    _config: &Config,
    section: &AgentSection,
    name: &str,
) -> Result<Arc<dyn TextToSpeech>, AgentError> {
    Err(unknown(section, "tts", name, "none in this build"))
}

fn http_tools(config: &Config) -> Result<Arc<HttpToolRunner>, AgentError> {
    let settings = &config.tools;
    let allowed_networks = settings
        .allowed_networks
        .iter()
        .map(|network| network.parse())
        .collect::<Result<_, String>>()
        .map_err(AgentError::Tools)?;
    let guard = AddressGuard {
        allowed_networks,
        ..AddressGuard::default()
    };
    let secrets: BTreeMap<String, ProviderSecret> = settings
        .secrets
        .iter()
        .map(|(name, secret)| (name.clone(), ProviderSecret::new(secret.reveal())))
        .collect();
    HttpToolRunner::new(settings.http.clone(), guard, secrets)
        .map(Arc::new)
        .map_err(|error| AgentError::Tools(error.to_string()))
}

fn unknown(
    section: &AgentSection,
    part: &'static str,
    name: &str,
    known: &'static str,
) -> AgentError {
    AgentError::UnknownProvider {
        agent: section.id.clone(),
        part,
        name: name.to_owned(),
        known,
    }
}

fn failed(
    section: &AgentSection,
    name: &str,
    source: pipeline::provider_error::ProviderError,
) -> AgentError {
    AgentError::Provider {
        agent: section.id.clone(),
        name: name.to_owned(),
        source,
    }
}
