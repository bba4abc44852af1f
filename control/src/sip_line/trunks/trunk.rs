//! One trunk with its counts and its health.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use sip::guard::Network;

use super::limits::{Full, Place, Usage};
use super::preset;
use crate::config::TrunkSection;

/// OPTIONS without an answer after which a trunk counts as down.
const MISSES_MAX: u32 = 2;

/// Whether a trunk can take calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It is not asked, or has not answered yet.
    Unknown,
    /// It answered last time.
    Up,
    /// It did not answer several times.
    Down,
}

/// What of a trunk outlives a change of its settings.
#[derive(Debug, Default)]
pub(super) struct Standing {
    usage: Arc<Usage>,
    misses: AtomicU32,
    answered: std::sync::atomic::AtomicBool,
    /// The carrier asked us not to call before then (Retry-After of a 503).
    resting_until: Mutex<Option<Instant>>,
}

/// One trunk.
#[derive(Clone, Debug)]
pub struct Trunk {
    settings: Arc<TrunkSection>,
    addresses: Arc<[Network]>,
    standing: Arc<Standing>,
}

impl Trunk {
    /// A trunk of checked settings.
    pub(super) fn new(settings: TrunkSection, standing: Arc<Standing>) -> Self {
        let settings = preset::filled(settings);
        let addresses = settings
            .addresses
            .iter()
            .filter_map(|block| block.parse().ok())
            .collect();
        Self {
            settings: Arc::new(settings),
            addresses,
            standing,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Whether nothing was changed between the two.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.settings, &other.settings)
    }

    /// Whether it was made of these settings, secrets included.
    pub(super) fn is_made_of(&self, settings: &TrunkSection) -> bool {
        let own = &self.settings;
        own.uris == settings.uris
            && own.addresses == settings.addresses
            && own.username == settings.username
            && own.password == settings.password
    }

    /// Its settings, the preset's among them.
    #[must_use]
    pub fn settings(&self) -> &TrunkSection {
        &self.settings
    }

    /// Addresses its calls come from.
    #[must_use]
    pub fn addresses(&self) -> &[Network] {
        &self.addresses
    }

    pub(super) const fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }

    pub(super) fn holds(&self, source: IpAddr) -> bool {
        self.addresses.iter().any(|block| block.contains(source))
    }

    /// Takes a place for one more call.
    pub(super) fn take_place(&self, now: Instant) -> Result<Place, Full> {
        let settings = &self.settings;
        self.standing
            .usage
            .take(now, settings.calls_max, settings.calls_per_second)
    }

    /// Calls on the line.
    #[must_use]
    pub fn calls(&self) -> u32 {
        self.standing.usage.calls()
    }

    /// Whether it can take calls.
    #[must_use]
    pub fn health(&self) -> Health {
        if self.standing.misses.load(Ordering::Relaxed) >= MISSES_MAX {
            Health::Down
        } else if self.standing.answered.load(Ordering::Relaxed) {
            Health::Up
        } else {
            Health::Unknown
        }
    }

    /// Notes whether an OPTIONS was answered, by whatever status. Returns whether that changed
    /// its health.
    pub(super) fn note_answer(&self, answered: bool) -> bool {
        let before = self.health();
        if answered {
            self.standing.misses.store(0, Ordering::Relaxed);
            self.standing.answered.store(true, Ordering::Relaxed);
        } else {
            self.standing.misses.fetch_add(1, Ordering::Relaxed);
        }
        self.health() != before
    }

    /// Notes that the carrier wants no calls for a while.
    pub fn rest(&self, now: Instant, time: Duration) {
        *self
            .standing
            .resting_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(now + time);
    }

    /// Whether the carrier wants no calls now.
    #[must_use]
    pub fn is_resting(&self, now: Instant) -> bool {
        self.standing
            .resting_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some_and(|until| until > now)
    }
}
