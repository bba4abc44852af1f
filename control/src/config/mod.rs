//! Typed configuration: defaults, then the TOML file, then `SAMVAD_SECTION__KEY` variables.
//!
//! The only reader of files and environment for settings. What comes out is resolved: references
//! between agents, workflows and numbers hold, and an `Option` remains only where absence means
//! something.

mod billing;
pub mod duration;
mod load;
mod secret;
mod sections;
pub(crate) mod sip;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

pub use self::billing::{Amount, BillingSection, PriceSection, ReserveSection};
pub use self::load::{ConfigError, EMBEDDED_WORKFLOW};
pub use self::secret::Secret;
pub use self::sections::{
    AgentLlm, AgentSection, CampaignsSection, CarriersSection, DatabaseSection, DirectStreams,
    EndpointsSection, ExotelSection, FliteSection, GoogleSection, IdentitySection, LimitsSection,
    LivekitSection, LlmSection, LogFormat, LogSection, MediaSection, Names, NumberSection,
    OpenAiSection, OpennessSection, OutboundSection, PocketsphinxSection, PortRange,
    ProviderSection, RecordingSection, ServerSection, SipCodec, SttSection, ToolsSection,
    TtsSection, TwilioSection, WebRtcSection, WorkflowSection,
};
pub use self::sip::{
    CallerIdForm, DigestAlgorithm, GuardSection, RegistrarSection, SipSection, SipUserSection,
    SrtpPolicy, StrangerPolicy, TrunkPreset, TrunkSection,
};

/// The resolved configuration.
#[derive(Clone, Debug, Serialize)]
pub struct Config {
    /// Where the store, recordings and the API token live.
    pub data_dir: PathBuf,
    /// HTTP and the process as a whole.
    pub server: ServerSection,
    /// Where records are kept.
    pub database: DatabaseSection,
    /// Users, sessions and keys.
    pub identity: IdentitySection,
    /// Which routes are open as published.
    pub openness: OpennessSection,
    /// How often one caller may call.
    pub limits: LimitsSection,
    /// What calls cost.
    pub billing: BillingSection,
    /// LiveKit.
    pub livekit: LivekitSection,
    /// Calls of browsers.
    pub webrtc: WebRtcSection,
    /// Logging.
    pub log: LogSection,
    /// SIP.
    pub sip: SipSection,
    /// Carriers and PBXs reached by SIP.
    pub trunks: Vec<TrunkSection>,
    /// Endpoints outside that answer calls.
    pub endpoints: EndpointsSection,
    /// The media engine.
    pub media: MediaSection,
    /// Carriers over websockets.
    pub carriers: CarriersSection,
    /// Recording.
    pub recording: RecordingSection,
    /// Speech to text.
    pub stt: SttSection,
    /// Text to speech.
    pub tts: TtsSection,
    /// Language models.
    pub llm: LlmSection,
    /// Tools of workflows.
    pub tools: ToolsSection,
    /// Calls we place.
    pub outbound: OutboundSection,
    /// Batches and campaigns.
    pub campaigns: CampaignsSection,
    /// Agents by id; never empty.
    pub agents: BTreeMap<String, AgentSection>,
    /// Workflow sources by id.
    #[serde(skip)]
    pub workflows: BTreeMap<String, WorkflowSource>,
    /// Agent ids by normalized number.
    pub numbers: BTreeMap<String, String>,
}

/// The text of a workflow and where it came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkflowSource {
    /// File name for messages.
    pub origin: String,
    /// TOML text.
    pub text: String,
}

impl Config {
    /// Loads `path`, or `./samvad.toml` if that exists, or the built-in defaults; then applies the
    /// process environment.
    ///
    /// # Errors
    /// [`ConfigError`] naming the file or variable and the key.
    pub fn load(path: Option<&std::path::Path>) -> Result<Self, ConfigError> {
        load::load(path)
    }

    /// Reads a configuration from TOML text and the given variables; relative workflow paths are
    /// taken from `base`.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn from_toml(
        text: &str,
        variables: &[(String, String)],
        base: &std::path::Path,
    ) -> Result<Self, ConfigError> {
        load::from_toml("configuration", text, variables, base)
    }

    /// Where recordings go.
    #[must_use]
    pub fn recordings_dir(&self) -> PathBuf {
        self.recording
            .dir
            .clone()
            .unwrap_or_else(|| self.data_dir.join("recordings"))
    }

    /// The agent that answers `called`: an agent's id, or a number mapped to one.
    #[must_use]
    pub fn agent_for(&self, called: &str) -> Option<&AgentSection> {
        self.agents.get(called).or_else(|| {
            self.numbers
                .get(&normalize_number(called)?)
                .and_then(|id| self.agents.get(id))
        })
    }
}

/// The digits of a telephone number without punctuation and leading `+`; `None` when something
/// else is in it.
#[must_use]
pub fn normalize_number(text: &str) -> Option<String> {
    let mut digits = String::with_capacity(text.len());
    for (index, character) in text.trim().chars().enumerate() {
        match character {
            '0'..='9' => digits.push(character),
            '+' if index == 0 => {}
            ' ' | '-' | '(' | ')' | '.' => {}
            _ => return None,
        }
    }
    (!digits.is_empty()).then_some(digits)
}
