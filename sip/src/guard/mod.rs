//! What stands before the parser: who may speak, scanners, and rates per source.
//!
//! A trunk's addresses are known. In `strangers = Silence` everybody else is not even answered.
//! Requests within a dialog, ACK, BYE and CANCEL are never limited: a call that runs must end well.

mod network;
mod sources;

pub use network::{Network, NetworkError};

use std::net::IpAddr;
use std::time::{Duration, Instant};

use self::sources::Sources;
use crate::message::{Essentials, HeaderName, Method, Request};

/// What happens to who is on no list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Strangers {
    /// They are served, within the rates.
    #[default]
    Serve,
    /// Nothing they send is answered.
    Silence,
}

/// New requests a source may send: a bucket that fills at `per_second` up to `burst`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rate {
    /// Requests a second in the long run; 0 turns the limit off.
    pub per_second: f64,
    /// Requests at once.
    pub burst: f64,
}

impl Rate {
    /// A rate.
    #[must_use]
    pub const fn new(per_second: f64, burst: f64) -> Self {
        Self { per_second, burst }
    }

    /// No limit.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self::new(0.0, 0.0)
    }
}

/// Limits and lists of the guard.
#[derive(Clone, PartialEq, Debug)]
pub struct GuardConfig {
    /// Addresses of trunks: never silenced, never banned, limited by their trunk only.
    pub trusted: Vec<Network>,
    /// Addresses that get nothing, whoever they are.
    pub denied: Vec<Network>,
    /// Everybody else.
    pub strangers: Strangers,
    /// New INVITEs of one stranger.
    pub invites: Rate,
    /// REGISTERs of one stranger.
    pub registers: Rate,
    /// OPTIONS and all other requests outside dialogs of one stranger.
    pub others: Rate,
    /// Parts of User-Agent, From or the Request-URI (in lower case) by which scanners are known.
    pub scanners: Vec<String>,
    /// How long a scanner, or a source that kept exceeding its rates, gets nothing.
    pub ban: Duration,
    /// Excesses after which a source is banned.
    pub excesses_max: u32,
    /// Wrong passwords after which a source is banned.
    pub auth_failures_max: u32,
    /// Sources remembered; beyond that the one unseen for longest is forgotten.
    pub sources_max: usize,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            trusted: Vec::new(),
            denied: Vec::new(),
            strangers: Strangers::Serve,
            invites: Rate::new(200.0, 1_000.0),
            registers: Rate::new(5.0, 20.0),
            others: Rate::new(10.0, 50.0),
            scanners: SCANNERS.iter().map(|&mark| mark.to_owned()).collect(),
            ban: Duration::from_secs(600),
            excesses_max: 100,
            auth_failures_max: 10,
            sources_max: 10_000,
        }
    }
}

/// Marks of tools that look for open SIP servers.
pub const SCANNERS: [&str; 8] = [
    "friendly-scanner",
    "friendly-request",
    "sipvicious",
    "sip-scan",
    "sipcli",
    "pplsip",
    "sundayddr",
    "vaxsipuseragent",
];

/// Why a message was dropped without an answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum DropReason {
    /// The source is on the list of denied addresses.
    Denied,
    /// The source is no trunk, and strangers get silence.
    Stranger,
    /// The source is banned for a while.
    Banned,
    /// The request carries a scanner's mark.
    Scanner,
    /// More new requests than one source may send.
    Rate,
}

impl DropReason {
    /// Every reason, in the order of [`GuardCounters`].
    pub const ALL: [Self; 5] = [
        Self::Denied,
        Self::Stranger,
        Self::Banned,
        Self::Scanner,
        Self::Rate,
    ];

    /// Name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Stranger => "stranger",
            Self::Banned => "banned",
            Self::Scanner => "scanner",
            Self::Rate => "rate",
        }
    }
}

/// Sums of the guard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GuardCounters {
    dropped: [u64; 5],
    /// Sources banned so far.
    pub bans: u64,
    /// Sources remembered now.
    pub sources: usize,
}

impl GuardCounters {
    /// Messages dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }
}

/// Decides about messages by their source.
#[derive(Debug)]
pub(crate) struct Guard {
    config: GuardConfig,
    sources: Sources,
    counters: GuardCounters,
}

impl Guard {
    pub(crate) fn new(config: GuardConfig) -> Self {
        Self {
            sources: Sources::new(config.sources_max),
            config,
            counters: GuardCounters::default(),
        }
    }

    /// Takes other lists; what is known of sources stays.
    pub(crate) fn configure(&mut self, config: GuardConfig) {
        self.config = config;
    }

    /// Before the parser: whether the message is read at all.
    pub(crate) fn admit(&mut self, now: Instant, source: IpAddr) -> bool {
        let source = source.to_canonical();
        let reason = if listed(&self.config.denied, source) {
            DropReason::Denied
        } else if listed(&self.config.trusted, source) {
            return true;
        } else if self.config.strangers == Strangers::Silence {
            DropReason::Stranger
        } else if self.sources.is_banned(now, source) {
            DropReason::Banned
        } else {
            return true;
        };
        self.count(reason);
        false
    }

    /// After the parser, for a request that opens a transaction: whether it is served.
    pub(crate) fn admit_request(
        &mut self,
        now: Instant,
        source: IpAddr,
        request: &Request,
        essentials: &Essentials,
    ) -> bool {
        let source = source.to_canonical();
        if listed(&self.config.trusted, source) {
            return true;
        }
        if self.is_scanner(request, essentials) {
            self.count(DropReason::Scanner);
            self.ban(now, source);
            return false;
        }
        let rate = match request.method {
            _ if essentials.to.tag().is_some() => return true,
            Method::Ack | Method::Cancel | Method::Bye => return true,
            Method::Invite => (0, self.config.invites),
            Method::Register => (1, self.config.registers),
            _ => (2, self.config.others),
        };
        if self.sources.take(now, source, rate.0, rate.1) {
            return true;
        }
        self.count(DropReason::Rate);
        if self.sources.note_excess(now, source) > self.config.excesses_max {
            self.ban(now, source);
        }
        false
    }

    /// Notes a wrong password.
    pub(crate) fn note_auth_failure(&mut self, now: Instant, source: IpAddr) {
        let source = source.to_canonical();
        if !listed(&self.config.trusted, source)
            && self.sources.note_auth_failure(now, source) > self.config.auth_failures_max
        {
            self.ban(now, source);
        }
    }

    pub(crate) fn counters(&self) -> GuardCounters {
        GuardCounters {
            sources: self.sources.len(),
            ..self.counters
        }
    }

    fn ban(&mut self, now: Instant, source: IpAddr) {
        self.counters.bans += 1;
        self.sources.ban(now, source, now + self.config.ban);
    }

    fn count(&mut self, reason: DropReason) {
        self.counters.dropped[reason as usize] += 1;
    }

    fn is_scanner(&self, request: &Request, essentials: &Essentials) -> bool {
        if self.config.scanners.is_empty() {
            return false;
        }
        let user_agent = request.headers.first(&HeaderName::UserAgent);
        let from = essentials.from.display_name();
        let from_user = essentials.from.uri.user();
        [user_agent, from.as_deref(), from_user.as_deref()]
            .into_iter()
            .flatten()
            .any(|text| {
                let text = text.to_ascii_lowercase();
                self.config.scanners.iter().any(|mark| text.contains(mark))
            })
    }
}

fn listed(networks: &[Network], source: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(source))
}
