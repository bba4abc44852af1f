//! The sections of the configuration file with their defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use pipeline::llm::tools::HttpTool;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::billing::BillingSection;
use super::duration;
use super::secret::Secret;
use super::sip::{SipSection, TrunkSection};

/// The HTTP side and the process as a whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSection {
    /// Address of the HTTP listener: API, webhooks, carrier websockets. Loopback by default, since
    /// carriers reach it through a TLS proxy; `0.0.0.0:8080` opens it to the network.
    pub http: SocketAddr,
    /// How carriers reach us from outside, for example `https://voice.example.org`. Without it the
    /// address is taken from the request's `Host` header.
    pub public_url: Option<String>,
    /// Bearer token of the API; without it one is made at the first start and kept in
    /// `<data_dir>/admin.token`.
    pub api_token: Option<Secret>,
    /// Calls at a time; more are refused with 503.
    pub calls_max: usize,
    /// How long running calls may go on after a shutdown signal.
    #[serde(with = "duration")]
    pub drain_deadline: Duration,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            public_url: None,
            api_token: None,
            calls_max: 200,
            drain_deadline: Duration::from_secs(30),
        }
    }
}

/// Where records are kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseSection {
    /// `postgres://user:password@host/database`; SQLite in the data directory when not given.
    pub url: Option<Secret>,
}

/// Endpoints outside that answer calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EndpointsSection {
    /// Networks in CIDR notation that endpoints may be in although they are private, local or
    /// reserved. Whoever may make endpoints can have calls and requests sent there.
    pub allowed_networks: Vec<String>,
    /// How long an endpoint may ring before the call is given up.
    #[serde(with = "duration")]
    pub ring_timeout: Duration,
    /// How long a webhook that is asked where a call goes may take.
    #[serde(with = "duration")]
    pub webhook_timeout: Duration,
}

impl Default for EndpointsSection {
    fn default() -> Self {
        Self {
            allowed_networks: Vec::new(),
            ring_timeout: Duration::from_secs(60),
            webhook_timeout: Duration::from_secs(4),
        }
    }
}

/// Users, sessions and keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdentitySection {
    /// Seals the secrets at rest: base64 of 32 bytes. Without it `<data_dir>/master.key` is made.
    pub master_key: Option<Secret>,
    /// Secret of an outside issuer of HS256 session tokens (a Supabase project's JWT secret).
    pub jwt_secret: Option<Secret>,
    /// Public keys (JWKS) of an outside issuer of ES256 or RS256 session tokens.
    pub jwks_url: Option<String>,
    /// `iss` that tokens of the outside issuer must have; any when not given.
    pub jwt_issuer: Option<String>,
    /// Whether anybody may sign up.
    pub signup: bool,
    /// Origins besides our own whose pages may use the cookie session.
    pub allowed_origins: Vec<String>,
    /// Sign-in with Google, or another OpenID provider that speaks the same.
    pub google: GoogleSection,
}

impl Default for IdentitySection {
    fn default() -> Self {
        Self {
            master_key: None,
            jwt_secret: None,
            jwks_url: None,
            jwt_issuer: None,
            signup: true,
            allowed_origins: Vec::new(),
            google: GoogleSection::default(),
        }
    }
}

/// Sign-in with Google.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GoogleSection {
    /// OAuth client id; without it nobody can sign in with Google.
    pub client_id: Option<String>,
    /// Secret of that client, for signing in with a `code`.
    pub client_secret: Option<Secret>,
    /// Where the code was asked for from.
    pub redirect_uri: Option<String>,
    /// `iss` of its tokens.
    pub issuer: String,
    /// Where a code is exchanged.
    pub token_url: String,
    /// Its public keys.
    pub jwks_url: String,
}

impl Default for GoogleSection {
    fn default() -> Self {
        Self {
            client_id: None,
            client_secret: None,
            redirect_uri: None,
            issuer: "https://accounts.google.com".to_owned(),
            token_url: "https://oauth2.googleapis.com/token".to_owned(),
            jwks_url: "https://www.googleapis.com/oauth2/v3/certs".to_owned(),
        }
    }
}

/// Routes that are published without credentials. Each switch restores that openness; rate limits
/// hold either way.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpennessSection {
    /// Kupe: the search routes for every agent, not only for public ones.
    pub kupe: bool,
    /// Vaani: call tokens for every agent, number search and the workload for everybody.
    pub vaani: bool,
}

/// How often one caller may call.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSection {
    /// Requests of one user or key in general; twice as many at once.
    pub requests_per_second: u32,
    /// Logins, sign-ups and mails asked for from one address.
    pub logins_per_minute: u32,
    /// Requests from one address to what needs no credential.
    pub open_per_minute: u32,
    /// Exports asked for from one address.
    pub exports_per_minute: u32,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            requests_per_second: 100,
            logins_per_minute: 10,
            open_per_minute: 60,
            exports_per_minute: 10,
        }
    }
}

/// A LiveKit server.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LivekitSection {
    /// `wss://…`, told to clients with their token.
    pub url: Option<String>,
    /// Key of tokens and webhooks.
    pub api_key: Option<String>,
    /// Secret of that key.
    pub api_secret: Option<Secret>,
}

/// Calls of browsers and apps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebRtcSection {
    /// Address told to browsers for their media; needed behind a translator.
    pub advertised_address: Option<IpAddr>,
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Logging.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// How lines look.
    pub format: LogFormat,
    /// Filter in `tracing` syntax, for example `info,sip=debug`.
    pub filter: String,
    /// Whether telephone numbers and transcripts may appear in logs.
    pub personal_data: bool,
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            format: LogFormat::Human,
            filter: "info".to_owned(),
            personal_data: false,
        }
    }
}

/// A codec offered to SIP peers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SipCodec {
    /// Opus (RFC 7587).
    Opus,
    /// G.722.
    G722,
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
}

/// An inclusive range of UDP ports, written `20000-29999`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PortRange {
    /// First port.
    pub min: u16,
    /// Last port.
    pub max: u16,
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a port range; write for example \"20000-29999\"");
        let (min, max) = text.split_once('-').ok_or_else(wrong)?;
        let min: u16 = min.trim().parse().map_err(|_| wrong())?;
        let max: u16 = max.trim().parse().map_err(|_| wrong())?;
        if min < 1024 || min >= max {
            return Err(format!(
                "port range `{text}` must begin at 1024 or higher and end above its begin"
            ));
        }
        Ok(Self { min, max })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.min, self.max)
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PortRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// The media engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MediaSection {
    /// UDP ports for RTP; outside the ephemeral range of the system.
    pub rtp_ports: PortRange,
    /// Local address of RTP sockets.
    pub rtp_bind: IpAddr,
    /// Media worker threads; 0 means one per processor.
    pub workers: usize,
    /// A call without any media for so long has ended.
    #[serde(with = "duration")]
    pub silence_timeout: Duration,
    /// Whether the agent's own voice is taken out of what telephones send back.
    pub echo_control: bool,
}

impl Default for MediaSection {
    fn default() -> Self {
        Self {
            rtp_ports: PortRange {
                min: 20_000,
                max: 29_999,
            },
            rtp_bind: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            workers: 0,
            silence_timeout: Duration::from_secs(30),
            echo_control: true,
        }
    }
}

/// Who may open a carrier websocket without credentials.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DirectStreams {
    /// Clients on this machine.
    #[default]
    Loopback,
    /// Anyone. For closed networks.
    Any,
    /// Nobody.
    Off,
}

/// Twilio.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TwilioSection {
    /// Primary auth token of the account: webhooks must then carry a valid `X-Twilio-Signature`.
    pub auth_token: Option<Secret>,
    /// The account that numbers are searched and bought with.
    pub account_sid: Option<String>,
    /// Where its REST API is.
    pub api_url: String,
}

impl Default for TwilioSection {
    fn default() -> Self {
        Self {
            auth_token: None,
            account_sid: None,
            api_url: "https://api.twilio.com".to_owned(),
        }
    }
}

/// Exotel.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExotelSection {
    /// User of the Basic credentials in the stream URL.
    pub key: Option<Secret>,
    /// Password of the Basic credentials in the stream URL.
    pub token: Option<Secret>,
}

/// Carriers that bring calls over websockets.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CarriersSection {
    /// Who may open a stream without credentials.
    pub direct_streams: DirectStreams,
    /// Twilio.
    pub twilio: TwilioSection,
    /// Exotel.
    pub exotel: ExotelSection,
}

/// Call recording.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordingSection {
    /// Whether calls are recorded.
    pub enabled: bool,
    /// Where to; `<data_dir>/recordings` when not given.
    pub dir: Option<PathBuf>,
}

impl Default for RecordingSection {
    fn default() -> Self {
        Self {
            enabled: true,
            dir: None,
        }
    }
}

/// A remote provider of speech or text under a name of one's own.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderSection {
    /// Which adapter; the name of the section when not given.
    pub kind: Option<String>,
    /// Base address; the vendor's own when empty.
    pub base_url: String,
    /// Key.
    pub api_key: Option<Secret>,
    /// Model; the adapter's default when empty.
    pub model: String,
    /// Voice of agents that name none for it.
    pub voice: String,
    /// Further parameters by the vendor's names.
    pub options: BTreeMap<String, serde_json::Value>,
}

/// One name, or several of which the later stand in for the earlier.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Names {
    /// One.
    One(String),
    /// The first, and those that stand in for it, in order.
    Several(Vec<String>),
}

impl Names {
    /// The best of them; empty when the list is, which setting up an agent refuses.
    #[must_use]
    pub fn first(&self) -> &str {
        self.as_slice().first().map_or("", String::as_str)
    }

    /// All of them, best first.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

impl From<&str> for Names {
    fn from(name: &str) -> Self {
        Self::One(name.to_owned())
    }
}

impl From<String> for Names {
    fn from(name: String) -> Self {
        Self::One(name)
    }
}

/// The embedded recogniser.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PocketsphinxSection {
    /// Recognisers that may run at a time; 0 chooses by the number of processors.
    pub slots: usize,
    /// Directory of the acoustic model, dictionary and language model; the system's when not given.
    pub model_dir: Option<PathBuf>,
}

/// Speech to text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SttSection {
    /// Recogniser of agents that name none.
    pub provider: Names,
    /// The embedded recogniser.
    pub pocketsphinx: PocketsphinxSection,
    /// Remote providers by name.
    pub providers: BTreeMap<String, ProviderSection>,
}

impl Default for SttSection {
    fn default() -> Self {
        Self {
            provider: "pocketsphinx".into(),
            pocketsphinx: PocketsphinxSection::default(),
            providers: BTreeMap::new(),
        }
    }
}

/// The embedded voice.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FliteSection {
    /// Synthesis threads; 0 chooses by the number of processors.
    pub slots: usize,
}

/// Text to speech.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TtsSection {
    /// Voice of agents that name none.
    pub provider: Names,
    /// Speech kept so that repeated sentences cost nothing, in MiB.
    pub cache_mib: usize,
    /// The embedded voice.
    pub flite: FliteSection,
    /// Remote providers by name.
    pub providers: BTreeMap<String, ProviderSection>,
}

impl Default for TtsSection {
    fn default() -> Self {
        Self {
            provider: "flite".into(),
            cache_mib: 64,
            flite: FliteSection::default(),
            providers: BTreeMap::new(),
        }
    }
}

/// A server that speaks the chat-completions protocol.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenAiSection {
    /// Base of the endpoint, up to and including the version.
    pub base_url: String,
    /// Key; local servers need none.
    pub api_key: Option<Secret>,
    /// Model of agents that name none.
    pub model: String,
}

impl Default for OpenAiSection {
    fn default() -> Self {
        Self {
            base_url: "https://api.openai.com/v1".to_owned(),
            api_key: None,
            model: "gpt-4o-mini".to_owned(),
        }
    }
}

/// Language models.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LlmSection {
    /// Model provider of agents that name none.
    pub provider: Names,
    /// A server that speaks the chat-completions protocol.
    pub openai: OpenAiSection,
    /// Remote providers by name.
    pub providers: BTreeMap<String, ProviderSection>,
}

impl Default for LlmSection {
    fn default() -> Self {
        Self {
            provider: "openai".into(),
            openai: OpenAiSection::default(),
            providers: BTreeMap::new(),
        }
    }
}

/// A language model as an agent's mind.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentLlm {
    /// Provider; `[llm] provider` when not given.
    pub provider: Option<Names>,
    /// Model; the provider's when not given.
    pub model: Option<String>,
    /// Instructions.
    pub prompt: String,
}

/// An agent as written in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentSection {
    /// Identifies the agent in SIP URIs, URLs and records.
    pub id: String,
    /// For people.
    #[serde(default)]
    pub name: Option<String>,
    /// Said when the call is answered.
    #[serde(default)]
    pub first_message: Option<String>,
    /// Id of a `[[workflows]]` entry that leads the conversation.
    #[serde(default)]
    pub workflow: Option<String>,
    /// A language model that leads the conversation.
    #[serde(default)]
    pub llm: Option<AgentLlm>,
    /// Recogniser, and those that stand in for it.
    #[serde(default)]
    pub stt: Option<Names>,
    /// Voice provider, and those that stand in for it.
    #[serde(default)]
    pub tts: Option<Names>,
    /// Voice name.
    #[serde(default)]
    pub voice: String,
    /// Speaking rate; 1.0 is the voice's own.
    #[serde(default = "one")]
    pub speed: f32,
    /// BCP 47 language tag.
    #[serde(default = "english")]
    pub language: String,
    /// IANA time zone.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// Longest call.
    #[serde(default = "ten_minutes", with = "duration")]
    pub call_duration_max: Duration,
    /// Silence after which the caller is asked whether they are there.
    #[serde(default = "eight_seconds", with = "duration")]
    pub silence_prompt_after: Duration,
    /// How many such prompts before the agent says goodbye.
    #[serde(default = "two")]
    pub silence_prompts_max: u32,
    /// Numbers and SIP URIs that callers may be transferred to; `*` closes a prefix. Empty:
    /// nobody.
    #[serde(default)]
    pub transfer_targets: Vec<String>,
}

fn one() -> f32 {
    1.0
}
fn english() -> String {
    "en-US".to_owned()
}
fn utc() -> String {
    "UTC".to_owned()
}
fn ten_minutes() -> Duration {
    Duration::from_secs(600)
}
fn eight_seconds() -> Duration {
    Duration::from_secs(8)
}
fn two() -> u32 {
    2
}

/// A workflow file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkflowSection {
    /// Name by which agents refer to it.
    pub id: String,
    /// File, relative to the configuration file.
    pub path: PathBuf,
}

/// A telephone number and who answers it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberSection {
    /// The number; punctuation is ignored.
    pub number: String,
    /// Id of the agent.
    pub agent: String,
}

/// Calls we place.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutboundSection {
    /// How long it may ring.
    #[serde(with = "duration")]
    pub ring_max: Duration,
    /// Trunk of lines that name none of their own.
    pub trunk: Option<String>,
    /// Origins of web pages that may place calls; requests without an `Origin` pass anyway.
    pub allowed_origins: Vec<String>,
}

impl Default for OutboundSection {
    fn default() -> Self {
        Self {
            ring_max: Duration::from_secs(30),
            trunk: None,
            allowed_origins: Vec::new(),
        }
    }
}

/// Batches and campaigns.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CampaignsSection {
    /// Whether this server dials for campaigns.
    pub enabled: bool,
    /// Calls a second of a trunk whose own `calls_per_second` is 0.
    pub calls_per_second: f64,
    /// Calls of campaigns an organisation may have at a time.
    pub organisation_calls_max: u32,
    /// Per cent of `server.calls_max` that campaigns leave free for calls that come in.
    pub inbound_reserve_percent: u32,
    /// When calls may be placed at the called party, such as `09:00-20:00`; for batches that name
    /// no hours of their own. Empty: at any time.
    pub calling_hours: String,
    /// Time zone of numbers whose country is not known or has several, unless the campaign has one.
    pub time_zone: String,
    /// Calls to one number within 24 hours, over all campaigns of an organisation.
    pub calls_per_number_and_day: u32,
    /// How long the result of a call whose server died is looked for before the call is closed as
    /// interrupted.
    #[serde(with = "duration")]
    pub reconcile: Duration,
    /// How long a server may keep silent before its calls count as lost.
    #[serde(with = "duration")]
    pub lease: Duration,
}

impl Default for CampaignsSection {
    fn default() -> Self {
        Self {
            enabled: true,
            calls_per_second: 1.0,
            organisation_calls_max: 1000,
            inbound_reserve_percent: 30,
            calling_hours: String::new(),
            time_zone: "UTC".to_owned(),
            calls_per_number_and_day: 3,
            reconcile: Duration::from_secs(600),
            lease: Duration::from_secs(15),
        }
    }
}

/// The file as a whole, before it is resolved.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct File {
    pub(crate) data_dir: PathBuf,
    pub(crate) server: ServerSection,
    pub(crate) database: DatabaseSection,
    pub(crate) identity: IdentitySection,
    pub(crate) openness: OpennessSection,
    pub(crate) limits: LimitsSection,
    pub(crate) billing: BillingSection,
    pub(crate) livekit: LivekitSection,
    pub(crate) webrtc: WebRtcSection,
    pub(crate) log: LogSection,
    pub(crate) sip: SipSection,
    pub(crate) trunks: Vec<TrunkSection>,
    pub(crate) endpoints: EndpointsSection,
    pub(crate) media: MediaSection,
    pub(crate) carriers: CarriersSection,
    pub(crate) recording: RecordingSection,
    pub(crate) stt: SttSection,
    pub(crate) tts: TtsSection,
    pub(crate) llm: LlmSection,
    pub(crate) agents: Vec<AgentSection>,
    pub(crate) workflows: Vec<WorkflowSection>,
    pub(crate) numbers: Vec<NumberSection>,
    pub(crate) tools: ToolsSection,
    pub(crate) outbound: OutboundSection,
    pub(crate) campaigns: CampaignsSection,
}

impl Default for File {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./samvad-data"),
            server: ServerSection::default(),
            database: DatabaseSection::default(),
            identity: IdentitySection::default(),
            openness: OpennessSection::default(),
            limits: LimitsSection::default(),
            billing: BillingSection::default(),
            livekit: LivekitSection::default(),
            webrtc: WebRtcSection::default(),
            log: LogSection::default(),
            sip: SipSection::default(),
            endpoints: EndpointsSection::default(),
            trunks: Vec::new(),
            media: MediaSection::default(),
            carriers: CarriersSection::default(),
            recording: RecordingSection::default(),
            stt: SttSection::default(),
            tts: TtsSection::default(),
            llm: LlmSection::default(),
            agents: Vec::new(),
            workflows: Vec::new(),
            numbers: Vec::new(),
            tools: ToolsSection::default(),
            outbound: OutboundSection::default(),
            campaigns: CampaignsSection::default(),
        }
    }
}

/// Limits for the HTTP tools of workflows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToolsSection {
    /// Networks in CIDR notation that tools may reach although they are private.
    pub allowed_networks: Vec<String>,
    /// Values that headers of tools may hold as `{secret:NAME}`.
    pub secrets: BTreeMap<String, Secret>,
    /// The tools, each one HTTP request.
    #[serde(skip_serializing)]
    pub http: Vec<HttpTool>,
}
