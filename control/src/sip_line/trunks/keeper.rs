//! Keeps trunks registered, asks whether they are there, and tells the guard who they are.

use std::collections::HashMap;
use std::time::Duration;

use sip::event::{RegisterRequest, RegistrationState};
use sip::message::{NameAddr, Uri};
use sip::net::{Registration, Resolver, UserAgent};
use tokio::task::JoinHandle;

use super::registry::TrunkRegistry;
use super::trunk::{Health, Trunk};

/// Pause before names that could not be resolved are asked for again.
const RESOLVE_AGAIN: Duration = Duration::from_secs(30);

/// Serves the trunks until the user agent stops.
pub async fn keep_trunks(registry: TrunkRegistry, agent: UserAgent, resolver: Resolver) {
    let resolver = std::sync::Arc::new(resolver);
    let mut changes = registry.changes();
    let mut kept: HashMap<String, Kept> = HashMap::new();
    loop {
        changes.borrow_and_update();
        if agent.configure_guard(registry.guard()).await.is_err() {
            return;
        }
        let trunks = registry.all();
        kept.retain(|name, kept| {
            trunks
                .iter()
                .any(|trunk| trunk.name() == name && trunk.is_same_as(&kept.trunk))
        });
        for trunk in trunks {
            kept.entry(trunk.name().to_owned()).or_insert_with(|| Kept {
                trunk: trunk.clone(),
                task: tokio::spawn(keep(trunk, agent.clone(), std::sync::Arc::clone(&resolver))),
            });
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// A trunk's task; ends with it.
#[derive(Debug)]
struct Kept {
    /// What it was started with.
    trunk: Trunk,
    task: JoinHandle<()>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep(trunk: Trunk, agent: UserAgent, resolver: std::sync::Arc<Resolver>) {
    let register = async {
        if trunk.settings().register {
            keep_registered(&trunk, &agent, &resolver).await;
        }
    };
    let ask = async {
        if !trunk.settings().options_interval.is_zero() {
            keep_asking(&trunk, &agent, &resolver).await;
        }
    };
    tokio::join!(register, ask);
}

async fn keep_registered(trunk: &Trunk, agent: &UserAgent, resolver: &Resolver) {
    let mut registration = loop {
        match begin_registration(trunk, agent, resolver).await {
            Ok(registration) => break registration,
            Err(error) => {
                tracing::warn!(trunk = trunk.name(), error, "registration was not begun");
                tokio::time::sleep(RESOLVE_AGAIN).await;
            }
        }
    };
    while let Some(state) = registration.changed().await {
        match state {
            RegistrationState::Registered {
                expires_s,
                registrar,
            } => tracing::info!(trunk = trunk.name(), expires_s, %registrar, "registered"),
            RegistrationState::Failed { status, retry_in } => {
                let status = status.map_or(0, sip::message::StatusCode::code);
                tracing::warn!(
                    trunk = trunk.name(),
                    status,
                    ?retry_in,
                    "registration failed"
                );
            }
            RegistrationState::Unregistered => return,
        }
    }
}

/// Registers by the trunk's settings.
pub(crate) async fn begin_registration(
    trunk: &Trunk,
    agent: &UserAgent,
    resolver: &Resolver,
) -> Result<Registration, String> {
    let settings = trunk.settings();
    let uris = if settings.registrars.is_empty() {
        &settings.uris
    } else {
        &settings.registrars
    };
    let mut destinations = Vec::new();
    let mut first = None;
    let mut reason = String::new();
    for text in uris {
        let uri = Uri::parse(text).map_err(|error| format!("{text}: {error}"))?;
        match resolver.resolve(&uri).await {
            Ok(targets) => {
                for target in targets {
                    if let Some(name) = target.name {
                        let told = agent.expect_name(target.hop.address, name).await;
                        told.map_err(|error| error.to_string())?;
                    }
                    destinations.push(target.hop);
                }
                first.get_or_insert(uri);
            }
            Err(error) => reason = error.to_string(),
        }
    }
    let registrar = first.ok_or(reason)?;
    let user = settings.username.clone().unwrap_or_default();
    let host = settings.from_domain.clone().or_else(|| {
        let host = registrar.as_sip()?.host.to_string();
        Some(host)
    });
    let address = format!("sip:{user}@{}", host.unwrap_or_default());
    let address = Uri::parse(&address).map_err(|error| format!("{address}: {error}"))?;
    let request = RegisterRequest {
        address: NameAddr::new(address),
        registrar,
        destinations,
        credentials: trunk.credentials(),
        expires_s: u32::try_from(settings.register_interval.as_secs()).unwrap_or(u32::MAX),
        contact_user: user,
    };
    agent
        .register(request)
        .await
        .map_err(|error| error.to_string())
}

async fn keep_asking(trunk: &Trunk, agent: &UserAgent, resolver: &Resolver) {
    loop {
        let answered = ask(trunk, agent, resolver).await;
        if trunk.note_answer(answered) {
            let health = trunk.health();
            match health {
                Health::Down => tracing::warn!(trunk = trunk.name(), "trunk does not answer"),
                Health::Up | Health::Unknown => {
                    tracing::info!(trunk = trunk.name(), ?health, "trunk answers");
                }
            }
        }
        tokio::time::sleep(trunk.settings().options_interval).await;
    }
}

/// Whether any of the trunk's hosts answers OPTIONS, by whatever status.
async fn ask(trunk: &Trunk, agent: &UserAgent, resolver: &Resolver) -> bool {
    for text in &trunk.settings().uris {
        let Ok(uri) = Uri::parse(text) else {
            continue;
        };
        for target in resolver.resolve(&uri).await.unwrap_or_default() {
            if let Some(name) = target.name
                && agent.expect_name(target.hop.address, name).await.is_err()
            {
                return false;
            }
            let from = NameAddr::new(Uri::sip("samvad", agent.local_addr()));
            let asked = agent.options(uri.clone(), target.hop, from).await;
            if matches!(asked, Ok((Some(_), _))) {
                return true;
            }
        }
    }
    false
}
