//! Names to hops by DNS, with what was found last kept for when DNS is away.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{RData, RecordType};
use rand::RngExt as _;

use crate::message::Uri;
use crate::transport::Transport;
use crate::transport::select::{Answer, Naptr, Query, Selection, Srv, Target};

/// URIs whose targets are remembered.
const REMEMBERED_MAX: usize = 1_024;

/// Why there is no target.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The system's DNS settings cannot be read.
    #[error("DNS settings of the system: {0}")]
    Settings(String),
    /// Neither services nor addresses were found, or none for our transports.
    #[error("no address was found for {0}")]
    NotFound(String),
}

/// Finds targets by the system's DNS servers. Answers are cached as long as their records live.
#[derive(Debug)]
pub struct Resolver {
    dns: TokioResolver,
    supported: Vec<Transport>,
    /// Targets found last, by URI.
    last_good: Mutex<HashMap<String, Vec<Target>>>,
}

impl Resolver {
    /// A resolver with the system's settings, for these transports, the preferred ones first.
    ///
    /// # Errors
    /// [`ResolveError::Settings`].
    pub fn from_system(supported: Vec<Transport>) -> Result<Self, ResolveError> {
        let wrong =
            |error: hickory_resolver::net::NetError| ResolveError::Settings(error.to_string());
        let dns = TokioResolver::builder_tokio()
            .map_err(wrong)?
            .build()
            .map_err(wrong)?;
        Ok(Self {
            dns,
            supported,
            last_good: Mutex::default(),
        })
    }

    /// Targets of a URI in the order in which they are to be tried.
    ///
    /// # Errors
    /// [`ResolveError::NotFound`] if there are none and never were.
    pub async fn resolve(&self, uri: &Uri) -> Result<Vec<Target>, ResolveError> {
        let mut selection = Selection::new(uri, &self.supported);
        while let Some(query) = selection.next_query() {
            let answer = self.ask(query).await;
            selection.take(answer, &mut |below| rand::rng().random_range(0..below));
        }
        let targets = selection.into_targets();
        let key = uri.to_string();
        let mut last_good = self
            .last_good
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if targets.is_empty() {
            return last_good
                .get(&key)
                .cloned()
                .ok_or(ResolveError::NotFound(key));
        }
        if last_good.len() < REMEMBERED_MAX || last_good.contains_key(&key) {
            last_good.insert(key, targets.clone());
        }
        Ok(targets)
    }

    /// Failures count as no records: the search goes on with what there is.
    async fn ask(&self, query: Query) -> Answer {
        match query {
            Query::Naptr(name) => Answer::Naptr(self.naptr(&name).await),
            Query::Srv(name) => Answer::Srv(self.srv(&name).await),
            Query::Address(name) => {
                let found = self.dns.lookup_ip(name).await;
                Answer::Address(found.map_or_else(|_| Vec::new(), |found| found.iter().collect()))
            }
        }
    }

    async fn naptr(&self, name: &str) -> Vec<Naptr> {
        let Ok(found) = self.dns.lookup(name, RecordType::NAPTR).await else {
            return Vec::new();
        };
        found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::NAPTR(naptr) => Some(Naptr {
                    order: naptr.order,
                    preference: naptr.preference,
                    service: String::from_utf8_lossy(&naptr.services).into_owned(),
                    replacement: naptr.replacement.to_ascii(),
                }),
                _ => None,
            })
            .collect()
    }

    async fn srv(&self, name: &str) -> Vec<Srv> {
        let Ok(found) = self.dns.lookup(name, RecordType::SRV).await else {
            return Vec::new();
        };
        found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) => Some(Srv {
                    priority: srv.priority,
                    weight: srv.weight,
                    port: srv.port,
                    target: srv.target.to_ascii(),
                }),
                _ => None,
            })
            .collect()
    }
}
