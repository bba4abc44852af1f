//! From the configuration to agents that can take calls.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use pipeline::call::AgentProfile;
use pipeline::guarded_http::AddressGuard;
use pipeline::llm::fallback::FallbackModel;
use pipeline::llm::record_tools::{RECORD_TOOLS, RecordTools};
use pipeline::llm::records::RecordStore;
use pipeline::llm::tools::{CompositeToolRunner, HttpToolRunner};
use pipeline::llm::{LanguageModel, ToolDefinition, ToolRunner};
use pipeline::provider_error::ProviderError;
use pipeline::provider_health::ProviderHealth;
use pipeline::providers::llm_kind::{self, LLM_KINDS};
use pipeline::providers::stt_kind::{self, STT_KINDS};
use pipeline::providers::tts_kind::{self, TTS_KINDS};
use pipeline::secret::Secret as ProviderSecret;
use pipeline::stt::SpeechToText;
use pipeline::stt::fallback::FallbackRecogniser;
use pipeline::tts::TextToSpeech;
use pipeline::tts::cache::CachedVoice;
use pipeline::tts::fallback::FallbackVoice;
use pipeline::workflow::{Workflow, WorkflowModel};

use super::remote::{chat_completions, kind, settings};
use super::{Agent, AgentCatalogue, Probe};
use crate::config::{AgentLlm, AgentSection, Config, Names, ProviderSection};
use crate::records::StoredRecords;
use crate::store::Store;
use crate::telemetry::metrics as meters;
use crate::tools::runner::AgentTools;

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
        known: String,
    },
    /// The configuration names no provider where one is needed.
    #[error("agent `{agent}`: the list of {part} providers is empty or names one twice")]
    BadProviderList {
        /// The agent.
        agent: String,
        /// `stt`, `tts` or `llm`.
        part: &'static str,
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
    /// Records of providers by part and name.
    healths: HashMap<(&'static str, String), Arc<ProviderHealth>>,
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
            healths: HashMap::new(),
            probes: Vec::new(),
        })
    }
}

pub(super) struct Builder<'a> {
    config: &'a Config,
    records: Arc<dyn RecordStore>,
    parts: &'a mut Parts,
    /// Tools that the agent alone has.
    own_tools: Option<Arc<AgentTools>>,
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
            own_tools: None,
        }
    }

    /// With tools that the next agent alone has.
    pub(super) fn with_tools(mut self, tools: Option<Arc<AgentTools>>) -> Self {
        self.own_tools = tools;
        self
    }

    /// Tools of the installation, and over them those of the agent.
    fn tools(&self) -> (CompositeToolRunner, Vec<ToolDefinition>) {
        let http = &self.parts.http_tools;
        let mut runner = CompositeToolRunner::new().route(http.names(), http.clone());
        let mut definitions = http.definitions();
        if let Some(own) = &self.own_tools {
            let names: Vec<String> = own.names().map(str::to_owned).collect();
            definitions.retain(|tool| !names.contains(&tool.name));
            definitions.extend(own.definitions());
            runner = runner.route(names, own.clone());
        }
        (runner, definitions)
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
        let (tools, known) = self.tools();
        let is_known = |name: &str| known.iter().any(|tool| tool.name == name);
        let unknown = workflow
            .tools()
            .into_iter()
            .find(|tool| !RECORD_TOOLS.contains(tool) && !is_known(tool));
        if let Some(tool) = unknown {
            return Err(AgentError::UnknownTool {
                origin: origin.to_owned(),
                tool: tool.to_owned(),
            });
        }
        let tools = tools.route(RECORD_TOOLS, Arc::new(records));
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

    fn model(&mut self, section: &AgentSection, llm: &AgentLlm) -> Result<Mind, AgentError> {
        let names = llm.provider.as_ref().unwrap_or(&self.config.llm.provider);
        let names = checked(section, "llm", names)?.to_vec();
        let mut models = Vec::new();
        for (place, name) in names.iter().enumerate() {
            let mut provider = match self.config.llm.providers.get(name) {
                Some(provider) => provider.clone(),
                None if name == "openai" => chat_completions(&self.config.llm.openai),
                None => {
                    let own = self.config.llm.providers.keys();
                    return Err(unknown(section, "llm", name, &["openai"], own));
                }
            };
            // A model's name means something to its own provider only.
            if let (0, Some(model)) = (place, &llm.model) {
                provider.model.clone_from(model);
            }
            let model = llm_kind::model(kind(name, &provider), settings(&provider))
                .map_err(|source| refused(section, "llm", name, &provider, source, &LLM_KINDS))?;
            models.push(model);
        }
        let model: Arc<dyn LanguageModel> = if models.len() == 1 {
            models.swap_remove(0)
        } else {
            let healths = names.iter().map(|name| self.health("llm", name));
            Arc::new(FallbackModel::new(
                models.into_iter().zip(healths).collect(),
            ))
        };
        let (tools, definitions) = self.tools();
        Ok(Mind {
            llm: model,
            tools: Arc::new(tools),
            definitions,
            prompt: llm.prompt.clone(),
            language: None,
            opens: section.first_message.is_none(),
        })
    }

    fn recogniser(&mut self, section: &AgentSection) -> Result<Arc<dyn SpeechToText>, AgentError> {
        let names = section.stt.as_ref().unwrap_or(&self.config.stt.provider);
        let names = checked(section, "stt", names)?.to_vec();
        if let [only] = &names[..] {
            return self.one_recogniser(section, only);
        }
        let mut members = Vec::new();
        for name in &names {
            let recogniser = self.one_recogniser(section, name)?;
            members.push((recogniser, self.health("stt", name)));
        }
        Ok(Arc::new(FallbackRecogniser::new(members)))
    }

    fn one_recogniser(
        &mut self,
        section: &AgentSection,
        name: &str,
    ) -> Result<Arc<dyn SpeechToText>, AgentError> {
        if let Some(recogniser) = self.parts.stt.get(name) {
            return Ok(Arc::clone(recogniser));
        }
        let recogniser = match self.config.stt.providers.get(name) {
            Some(provider) => stt_kind::recogniser(kind(name, provider), settings(provider))
                .map_err(|source| refused(section, "stt", name, provider, source, &STT_KINDS))?,
            None => new_recogniser(self.config, section, name, &mut self.parts.probes)?,
        };
        self.parts
            .stt
            .insert(name.to_owned(), Arc::clone(&recogniser));
        Ok(recogniser)
    }

    fn voice(&mut self, section: &AgentSection) -> Result<Arc<dyn TextToSpeech>, AgentError> {
        let names = section.tts.as_ref().unwrap_or(&self.config.tts.provider);
        let names = checked(section, "tts", names)?.to_vec();
        if let [only] = &names[..] {
            return self.one_voice(section, only);
        }
        let mut members = Vec::new();
        for name in &names {
            let voice = self.one_voice(section, name)?;
            members.push((voice, self.health("tts", name)));
        }
        Ok(Arc::new(FallbackVoice::new(members)))
    }

    /// A voice with its cache. Each has its own: what two voices said between them is not kept.
    fn one_voice(
        &mut self,
        section: &AgentSection,
        name: &str,
    ) -> Result<Arc<dyn TextToSpeech>, AgentError> {
        if let Some(voice) = self.parts.tts.get(name) {
            return Ok(Arc::clone(voice));
        }
        let voice = match self.config.tts.providers.get(name) {
            Some(provider) => tts_kind::voice(kind(name, provider), settings(provider))
                .map_err(|source| refused(section, "tts", name, provider, source, &TTS_KINDS))?,
            None => new_voice(self.config, section, name)?,
        };
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
        self.parts.tts.insert(name.to_owned(), Arc::clone(&voice));
        Ok(voice)
    }

    fn health(&mut self, part: &'static str, name: &str) -> Arc<ProviderHealth> {
        let key = (part, name.to_owned());
        if let Some(health) = self.parts.healths.get(&key) {
            return Arc::clone(health);
        }
        let health = Arc::new(ProviderHealth::new(part, name));
        let probed = Arc::clone(&health);
        self.parts
            .probes
            .push(Arc::new(move || meters::provider_health(&probed)));
        self.parts.healths.insert(key, Arc::clone(&health));
        health
    }
}

/// The names, if there are some and none comes twice.
fn checked<'a>(
    section: &AgentSection,
    part: &'static str,
    names: &'a Names,
) -> Result<&'a [String], AgentError> {
    let names = names.as_slice();
    let twice = names
        .iter()
        .enumerate()
        .any(|(at, name)| names[..at].contains(name));
    if names.is_empty() || twice {
        return Err(AgentError::BadProviderList {
            agent: section.id.clone(),
            part,
        });
    }
    Ok(names)
}

/// An unknown kind names those that are known; other refusals speak for themselves.
fn refused(
    section: &AgentSection,
    part: &'static str,
    name: &str,
    provider: &ProviderSection,
    source: ProviderError,
    kinds: &[&'static str],
) -> AgentError {
    let kind = kind(name, provider);
    if kinds.contains(&kind) {
        failed(section, name, source)
    } else {
        unknown(section, part, kind, kinds, [])
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
        let own = config.stt.providers.keys();
        return Err(unknown(section, "stt", name, &["pocketsphinx"], own));
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
    config: &Config,
    section: &AgentSection,
    name: &str,
    _probes: &mut Vec<Probe>,
) -> Result<Arc<dyn SpeechToText>, AgentError> {
    let own = config.stt.providers.keys();
    Err(unknown(section, "stt", name, &[], own))
}

#[cfg(feature = "embedded-speech")]
fn new_voice(
    config: &Config,
    section: &AgentSection,
    name: &str,
) -> Result<Arc<dyn TextToSpeech>, AgentError> {
    use pipeline::local::flite::{FliteConfig, FliteVoice};

    if name != "flite" {
        let own = config.tts.providers.keys();
        return Err(unknown(section, "tts", name, &["flite"], own));
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
    config: &Config,
    section: &AgentSection,
    name: &str,
) -> Result<Arc<dyn TextToSpeech>, AgentError> {
    let own = config.tts.providers.keys();
    Err(unknown(section, "tts", name, &[], own))
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

fn unknown<'a>(
    section: &AgentSection,
    part: &'static str,
    name: &str,
    built_in: &[&'a str],
    own: impl IntoIterator<Item = &'a String>,
) -> AgentError {
    let own = own.into_iter().map(String::as_str);
    let known: Vec<&str> = built_in.iter().copied().chain(own).collect();
    AgentError::UnknownProvider {
        agent: section.id.clone(),
        part,
        name: name.to_owned(),
        known: if known.is_empty() {
            format!("none; `[{part}.providers]` may define some")
        } else {
            known.join(", ")
        },
    }
}

fn failed(section: &AgentSection, name: &str, source: ProviderError) -> AgentError {
    AgentError::Provider {
        agent: section.id.clone(),
        name: name.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn built(text: &str) -> Result<AgentCatalogue, AgentError> {
        crate::telemetry::install_tls_provider();
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("test.db")).await.unwrap();
        let path = dir.path().join("samvad.toml");
        std::fs::write(&path, text).unwrap();
        build_agents(&Config::load(Some(&path)).unwrap(), &store)
    }

    const REMOTE: &str = r#"
        [stt.providers.deepgram]
        [stt.providers.backup]
        kind = "soniox"
        [llm.providers.claude]
        kind = "anthropic"
        [tts.providers.cartesia]
        [tts.providers.sarvam]
    "#;

    #[tokio::test]
    async fn an_agent_names_providers_and_those_that_stand_in() {
        let text = format!(
            r#"{REMOTE}
            [[agents]]
            id = "shop"
            stt = ["deepgram", "backup"]
            tts = ["cartesia", "sarvam"]
            llm = {{ provider = ["claude", "openai"], prompt = "Be brief." }}
            "#
        );
        let agents = built(&text).await.unwrap();
        let agent = agents.find("shop").unwrap();
        assert_eq!(agent.stt.name(), "deepgram+soniox");
        assert_eq!(agent.llm.name(), "anthropic+openai");
        assert_eq!(agent.tts.name(), "cartesia+sarvam");
    }

    #[tokio::test]
    async fn a_wrong_provider_is_reported_with_those_there_are() {
        for (line, words) in [
            ("stt = \"ears\"", ["`ears`", "deepgram"]),
            ("tts = []", ["tts", "empty"]),
            ("tts = [\"cartesia\", \"cartesia\"]", ["tts", "twice"]),
        ] {
            let text =
                format!("{REMOTE}\n[[agents]]\nid = \"shop\"\n{line}\nllm = {{ prompt = \"x\" }}");
            let error = built(&text).await.unwrap_err().to_string();
            assert!(
                words.iter().all(|word| error.contains(word)),
                "{line}: {error}"
            );
        }
        let odd = "[tts.providers.x]\nkind = \"parrot\"\n[[agents]]\nid = \"a\"\ntts = \"x\"\n\
                   llm = { prompt = \"x\" }";
        let error = built(odd).await.unwrap_err().to_string();
        assert!(
            error.contains("parrot") && error.contains("elevenlabs"),
            "{error}"
        );
    }
}
