//! The SIP side: listeners, who may speak to them, phones, trunks.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sip::auth::Algorithm;
use sip::guard::Network;

use super::duration;
use super::secret::Secret;
use super::sections::SipCodec;

/// The SIP side.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SipSection {
    /// Whether SIP is served at all.
    pub enabled: bool,
    /// UDP address of the listener.
    pub bind: SocketAddr,
    /// TCP listener.
    pub tcp_bind: Option<SocketAddr>,
    /// TLS listener.
    pub tls_bind: Option<SocketAddr>,
    /// Websocket listener (RFC 7118), for a TLS proxy in front.
    pub ws_bind: Option<SocketAddr>,
    /// Websocket listener under TLS.
    pub wss_bind: Option<SocketAddr>,
    /// Certificate chain of the TLS listeners, PEM.
    pub tls_certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub tls_key: Option<PathBuf>,
    /// Authorities trusted for connections of ours, PEM; the public ones when not given.
    pub tls_authorities: Option<PathBuf>,
    /// Address written into Contact and SDP; without it the address of the interface that leads to
    /// the peer.
    pub advertised_address: Option<IpAddr>,
    /// Codecs, best first.
    pub codecs: Vec<SipCodec>,
    /// Who may call without belonging to a trunk.
    pub strangers: StrangerPolicy,
    /// Address blocks that get nothing.
    pub denied: Vec<String>,
    /// Realm of our challenges.
    pub realm: String,
    /// Whether media is encrypted.
    pub srtp: SrtpPolicy,
    /// Algorithms of our challenges, best first. Many phones and gateways read only the first
    /// challenge and know only MD5.
    pub digest_algorithms: Vec<DigestAlgorithm>,
    /// Session interval asked for in calls of ours (RFC 4028); `"0s"` asks for none.
    #[serde(with = "duration")]
    pub session_interval: Duration,
    /// Limits for strangers.
    pub guard: GuardSection,
    /// Our own registrar for phones.
    pub registrar: RegistrarSection,
    /// Who may prove to be somebody.
    pub users: Vec<SipUserSection>,
}

impl Default for SipSection {
    fn default() -> Self {
        Self {
            enabled: true,
            bind: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 5060)),
            tcp_bind: None,
            tls_bind: None,
            ws_bind: None,
            wss_bind: None,
            tls_certificate: None,
            tls_key: None,
            tls_authorities: None,
            advertised_address: None,
            codecs: vec![
                SipCodec::Opus,
                SipCodec::G722,
                SipCodec::Pcmu,
                SipCodec::Pcma,
            ],
            strangers: StrangerPolicy::Serve,
            denied: Vec::new(),
            realm: "samvad".to_owned(),
            srtp: SrtpPolicy::Optional,
            digest_algorithms: vec![DigestAlgorithm::Md5],
            session_interval: Duration::ZERO,
            guard: GuardSection::default(),
            registrar: RegistrarSection::default(),
            users: Vec::new(),
        }
    }
}

/// A digest algorithm of our challenges.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DigestAlgorithm {
    /// MD5, known to everybody.
    #[serde(rename = "md5")]
    Md5,
    /// SHA-256 (RFC 8760).
    #[serde(rename = "sha-256")]
    Sha256,
    /// SHA-512/256 (RFC 8760); users with hashes cannot meet it.
    #[serde(rename = "sha-512-256")]
    Sha512_256,
}

impl DigestAlgorithm {
    /// In the words of the SIP side.
    #[must_use]
    pub const fn algorithm(self) -> Algorithm {
        match self {
            Self::Md5 => Algorithm::Md5,
            Self::Sha256 => Algorithm::Sha256,
            Self::Sha512_256 => Algorithm::Sha512_256,
        }
    }
}

/// What happens to calls that belong to no trunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StrangerPolicy {
    /// They are served, within the limits of `[sip.guard]`.
    #[default]
    Serve,
    /// They must prove to be one of `[[sip.users]]`.
    Challenge,
    /// What comes from addresses outside all trunks is not even answered.
    Silence,
}

/// Limits for strangers; trunks have their own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardSection {
    /// New calls a second from one address; 0 is no limit.
    pub invites_per_second: f64,
    /// REGISTERs a second from one address.
    pub registers_per_second: f64,
    /// Other requests a second from one address.
    pub others_per_second: f64,
    /// How long a scanner gets nothing.
    #[serde(with = "duration")]
    pub ban: Duration,
    /// Further marks of scanners in User-Agent and From.
    pub scanner_marks: Vec<String>,
}

impl Default for GuardSection {
    fn default() -> Self {
        Self {
            invites_per_second: 200.0,
            registers_per_second: 5.0,
            others_per_second: 10.0,
            ban: Duration::from_secs(600),
            scanner_marks: Vec::new(),
        }
    }
}

/// Our own registrar.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistrarSection {
    /// Whether phones may register here.
    pub enabled: bool,
    /// Time granted to phones that ask for none.
    #[serde(with = "duration")]
    pub expires: Duration,
}

impl Default for RegistrarSection {
    fn default() -> Self {
        Self {
            enabled: false,
            expires: Duration::from_secs(300),
        }
    }
}

/// A user who may register and call.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SipUserSection {
    /// Name: user part of the address, and user name of the credentials.
    pub name: String,
    /// Password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Instead of the password: MD5 of `name:realm:password` in hex.
    #[serde(default)]
    pub ha1_md5: Option<Secret>,
    /// Instead of the password: SHA-256 of `name:realm:password` in hex.
    #[serde(default)]
    pub ha1_sha256: Option<Secret>,
}

/// What a carrier is known to want.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrunkPreset {
    /// Twilio Elastic SIP Trunking.
    Twilio,
    /// Telnyx.
    Telnyx,
    /// Exotel vSIP.
    Exotel,
    /// Plivo Zentrunk.
    Plivo,
    /// Vonage.
    Vonage,
    /// LiveKit SIP.
    Livekit,
}

/// How a trunk is told who calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallerIdForm {
    /// In From only.
    #[default]
    From,
    /// In From and P-Asserted-Identity.
    AssertedIdentity,
    /// In From and Remote-Party-ID.
    RemotePartyId,
}

/// Whether media is encrypted (SDES, RFC 4568). Keys stand in the signalling: TLS should carry it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SrtpPolicy {
    /// Plain RTP only.
    Off,
    /// As the peer offers; our own offers are plain.
    #[default]
    Optional,
    /// SRTP or no call.
    Required,
}

/// A carrier or PBX.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrunkSection {
    /// Identifies the trunk in records, metrics and on the command line.
    pub name: String,
    /// Fills what is not given here.
    pub preset: Option<TrunkPreset>,
    /// Whether the trunk is used.
    pub enabled: bool,
    /// Inbound: addresses and blocks its calls come from.
    pub addresses: Vec<String>,
    /// Inbound: host of the Request-URI by which its calls are known.
    pub domain: Option<String>,
    /// Inbound: name of one of `[[sip.users]]` its calls must prove to be.
    pub inbound_user: Option<String>,
    /// Inbound: agent for numbers that `[[numbers]]` does not know.
    pub agent: Option<String>,
    /// Inbound: whether P-Asserted-Identity and the like are believed.
    pub trust_identity: bool,
    /// Outbound: where calls go, best first: `sip:host`, `sip:host:port;transport=tls`.
    pub uris: Vec<String>,
    /// Outbound: user name for challenges.
    pub username: Option<String>,
    /// Outbound: password for challenges.
    pub password: Option<Secret>,
    /// Whether we register with the carrier, with `username` and `password`.
    pub register: bool,
    /// Registrars, best first; `uris` when empty.
    pub registrars: Vec<String>,
    /// Time asked for at registration.
    #[serde(with = "duration")]
    pub register_interval: Duration,
    /// Outbound: host of From; the host of the first URI when not given.
    pub from_domain: Option<String>,
    /// Outbound: numbers that may be shown; `*` closes a prefix. Empty: any.
    pub caller_ids: Vec<String>,
    /// Outbound: shown when the caller's number is not among `caller_ids`.
    pub caller_id_default: Option<String>,
    /// Outbound: how the number is told.
    pub caller_id_form: CallerIdForm,
    /// Outbound: header fields added to INVITEs.
    pub headers: BTreeMap<String, String>,
    /// Outbound: numbers that may be called; `*` closes a prefix. Empty: any.
    pub destinations: Vec<String>,
    /// Outbound: whether numbers are written with `+`; as the preset says, else yes.
    pub plus: Option<bool>,
    /// Codecs, best first; those of `[sip]` when empty.
    pub codecs: Vec<SipCodec>,
    /// Calls at a time, both directions; 0 is no limit.
    pub calls_max: u32,
    /// New calls a second, both directions; 0 is no limit.
    pub calls_per_second: f64,
    /// Whether media is encrypted; as in `[sip]` when not given.
    pub srtp: Option<SrtpPolicy>,
    /// Pause between OPTIONS to the carrier; `"0s"` asks nothing.
    #[serde(with = "duration")]
    pub options_interval: Duration,
}

impl Default for TrunkSection {
    fn default() -> Self {
        Self {
            name: String::new(),
            preset: None,
            enabled: true,
            addresses: Vec::new(),
            domain: None,
            inbound_user: None,
            agent: None,
            trust_identity: true,
            uris: Vec::new(),
            username: None,
            password: None,
            register: false,
            registrars: Vec::new(),
            register_interval: Duration::from_secs(600),
            from_domain: None,
            caller_ids: Vec::new(),
            caller_id_default: None,
            caller_id_form: CallerIdForm::From,
            headers: BTreeMap::new(),
            destinations: Vec::new(),
            plus: None,
            codecs: Vec::new(),
            calls_max: 0,
            calls_per_second: 0.0,
            srtp: None,
            options_interval: Duration::ZERO,
        }
    }
}

/// What is wrong with a SIP section, and where.
pub(crate) type Fault = (String, String);

/// Checks what serde cannot.
pub(crate) fn check(section: &SipSection, trunks: &[TrunkSection]) -> Result<(), Fault> {
    let fault = |key: String, message: String| Err((key, message));
    if section.codecs.is_empty() {
        return fault("sip.codecs".into(), "must name at least one codec".into());
    }
    for block in &section.denied {
        if let Err(error) = block.parse::<Network>() {
            return fault("sip.denied".into(), error.to_string());
        }
    }
    let wants_certificate = section.tls_bind.is_some() || section.wss_bind.is_some();
    if wants_certificate && (section.tls_certificate.is_none() || section.tls_key.is_none()) {
        return fault(
            "sip.tls_certificate".into(),
            "`tls_bind` and `wss_bind` need `tls_certificate` and `tls_key`".into(),
        );
    }
    for user in &section.users {
        let key = format!("sip.users.{}", user.name);
        if user.name.is_empty() || user.name.contains(['"', ':', '@', ' ']) {
            return fault(key, "`name` must be the user part of an address".into());
        }
        let hashes = user.ha1_md5.is_some() || user.ha1_sha256.is_some();
        if user.password.is_some() == hashes {
            return fault(key, "give either `password` or `ha1_...`".into());
        }
        for (hash, digits) in [(&user.ha1_md5, 32), (&user.ha1_sha256, 64)] {
            let fits = |hash: &Secret| {
                let hash = hash.reveal();
                hash.len() == digits && hash.bytes().all(|b| b.is_ascii_hexdigit())
            };
            if hash.as_ref().is_some_and(|hash| !fits(hash)) {
                return fault(key, format!("a hash must have {digits} hex digits"));
            }
        }
    }
    if section.digest_algorithms.is_empty() {
        return fault(
            "sip.digest_algorithms".into(),
            "must name at least one algorithm".into(),
        );
    }
    if section.strangers == StrangerPolicy::Challenge && section.users.is_empty() {
        return fault(
            "sip.strangers".into(),
            "\"challenge\" needs `[[sip.users]]`, or nobody could call".into(),
        );
    }
    let mut names = std::collections::BTreeSet::new();
    for trunk in trunks {
        check_trunk(section, trunk)?;
        if trunk.name.starts_with(crate::sip_line::trunks::API_PREFIX) {
            let message =
                "names that begin with `api.` are those of trunks registered over the API";
            return fault("trunks.name".into(), message.into());
        }
        if !names.insert(&trunk.name) {
            let message = format!("`{}` is there twice", trunk.name);
            return fault("trunks.name".into(), message);
        }
    }
    Ok(())
}

/// Checks one trunk by itself.
pub(crate) fn check_trunk(section: &SipSection, trunk: &TrunkSection) -> Result<(), Fault> {
    let name_fits = !trunk.name.is_empty()
        && trunk.name.len() <= 64
        && trunk
            .name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !name_fits {
        let message = format!(
            "`{}` must have 1 to 64 characters out of a-z, A-Z, 0-9, `-`, `_`, `.`",
            trunk.name
        );
        return Err(("trunks.name".into(), message));
    }
    let fault =
        |field: &str, message: String| Err((format!("trunks.{}.{field}", trunk.name), message));
    for block in &trunk.addresses {
        if let Err(error) = block.parse::<Network>() {
            return fault("addresses", error.to_string());
        }
    }
    for (field, uris) in [("uris", &trunk.uris), ("registrars", &trunk.registrars)] {
        for uri in uris {
            let parsed = sip::message::Uri::parse(uri);
            if !parsed.is_ok_and(|uri| uri.as_sip().is_some()) {
                return fault(
                    field,
                    format!(
                        "`{uri}` is no SIP URI; write for example \"sip:sip.example.com;transport=tls\""
                    ),
                );
            }
        }
    }
    if let Some(user) = &trunk.inbound_user
        && !section.users.iter().any(|known| known.name == *user)
    {
        return fault(
            "inbound_user",
            format!("there is no `[[sip.users]]` entry `{user}`"),
        );
    }
    if trunk.username.is_some() != trunk.password.is_some() {
        return fault("username", "`username` and `password` go together".into());
    }
    if trunk.register && trunk.username.is_none() {
        return fault("register", "needs `username` and `password`".into());
    }
    if trunk.register && trunk.registrars.is_empty() && trunk.uris.is_empty() {
        return fault("register", "needs `uris` or `registrars`".into());
    }
    for (name, value) in &trunk.headers {
        let is_token =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !is_token || value.contains(['\r', '\n']) {
            return fault("headers", format!("`{name}` is no header field"));
        }
    }
    if !trunk.calls_per_second.is_finite() || trunk.calls_per_second < 0.0 {
        return fault("calls_per_second", "must be 0 or more".into());
    }
    Ok(())
}
