//! The trunks in force. Rows can be added, changed and removed while calls run.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use sip::guard::{GuardConfig, Network, Rate, SCANNERS, Strangers};
use tokio::sync::watch;

use super::trunk::Trunk;
use crate::config::{SipSection, StrangerPolicy, TrunkSection};

/// The trunks by name. Cloneable; clones share.
#[derive(Clone, Debug)]
pub struct TrunkRegistry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    section: SipSection,
    trunks: RwLock<BTreeMap<String, Trunk>>,
    changes: watch::Sender<u64>,
}

/// Why a trunk was not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{key}: {message}")]
pub struct TrunkError {
    /// The setting.
    pub key: String,
    /// What is wrong and what to write.
    pub message: String,
}

impl TrunkRegistry {
    /// The trunks of the configuration.
    #[must_use]
    pub fn new(section: &SipSection, trunks: &[TrunkSection]) -> Self {
        let trunks = trunks
            .iter()
            .filter(|trunk| trunk.enabled)
            .map(|trunk| {
                (
                    trunk.name.clone(),
                    Trunk::new(trunk.clone(), Arc::default()),
                )
            })
            .collect();
        Self {
            shared: Arc::new(Shared {
                section: section.clone(),
                trunks: RwLock::new(trunks),
                changes: watch::channel(0).0,
            }),
        }
    }

    /// Adds a trunk or changes the one of that name. Calls on the line go on as they are, and go
    /// on counting.
    ///
    /// # Errors
    /// [`TrunkError`] naming the setting; nothing has changed then.
    pub fn upsert(&self, settings: TrunkSection) -> Result<(), TrunkError> {
        crate::config::sip::check_trunk(&self.shared.section, &settings)
            .map_err(|(key, message)| TrunkError { key, message })?;
        if !settings.enabled {
            self.remove(&settings.name);
            return Ok(());
        }
        let mut trunks = self.write();
        let standing = trunks
            .get(&settings.name)
            .map_or_else(Arc::default, |old| Arc::clone(old.standing()));
        trunks.insert(settings.name.clone(), Trunk::new(settings, standing));
        drop(trunks);
        self.changed();
        Ok(())
    }

    /// Removes a trunk; `false` if there was none. Calls on the line go on.
    pub fn remove(&self, name: &str) -> bool {
        let removed = self.write().remove(name).is_some();
        if removed {
            self.changed();
        }
        removed
    }

    /// The trunk of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Trunk> {
        self.read().get(name).cloned()
    }

    /// All trunks by name.
    #[must_use]
    pub fn all(&self) -> Vec<Trunk> {
        self.read().values().cloned().collect()
    }

    /// Changes whenever trunks do.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// The SIP section the registry was made with.
    #[must_use]
    pub fn section(&self) -> &SipSection {
        &self.shared.section
    }

    /// Who may speak to us, as trunks stand now.
    #[must_use]
    pub fn guard(&self) -> GuardConfig {
        let section = &self.shared.section;
        let blocks = |texts: &[String]| -> Vec<Network> {
            texts.iter().filter_map(|text| text.parse().ok()).collect()
        };
        let trunks = self.read();
        let rate = |per_second: f64| Rate::new(per_second, per_second * 5.0);
        GuardConfig {
            trusted: trunks
                .values()
                .flat_map(|trunk| trunk.addresses().iter().copied())
                .collect(),
            denied: blocks(&section.denied),
            strangers: match section.strangers {
                StrangerPolicy::Silence => Strangers::Silence,
                StrangerPolicy::Serve | StrangerPolicy::Challenge => Strangers::Serve,
            },
            invites: rate(section.guard.invites_per_second),
            registers: rate(section.guard.registers_per_second),
            others: rate(section.guard.others_per_second),
            scanners: SCANNERS
                .iter()
                .map(|&mark| mark.to_owned())
                .chain(section.guard.scanner_marks.iter().map(|m| m.to_lowercase()))
                .collect(),
            ban: section.guard.ban,
            ..GuardConfig::default()
        }
    }

    fn changed(&self) {
        self.shared.changes.send_modify(|number| *number += 1);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Trunk>> {
        self.shared
            .trunks
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<String, Trunk>> {
        self.shared
            .trunks
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
