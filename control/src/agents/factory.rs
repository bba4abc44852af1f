//! Agents made over the API become ready at their first call and stay so until they change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use uuid::Uuid;

use super::Agent;
use super::build::{AgentError, Builder, Parts};
use super::stored::{self, StoredAgent};
use super::workflows::{self, StoredWorkflow};
use crate::api::schema::{e164, parse_uuid};
use crate::calls::admission::Refusal;
use crate::clock::now_us;
use crate::config::Config;
use crate::numbers::lines::{self, Target};
use crate::records::StoredRecords;
use crate::store::{Store, StoreError, Tenant};
use crate::tools::{Equipment, ToolRoom};

/// Agents kept ready at most; beyond that all are made anew.
const READY_MAX: usize = 4096;

/// Versions of agent, workflow and tools, and what was made of them.
type Ready = ((i64, i64, String), Arc<Agent>);

/// Makes agents of rows.
pub struct AgentFactory {
    config: Arc<Config>,
    store: Store,
    /// The services that agents share.
    parts: Mutex<Parts>,
    /// Made agents.
    ready: Mutex<HashMap<Uuid, Ready>>,
    /// Makes tools of rows, once there is one.
    tools: OnceLock<ToolRoom>,
}

impl std::fmt::Debug for AgentFactory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AgentFactory")
    }
}

impl AgentFactory {
    /// With the services that `parts` has already.
    pub(super) fn new(config: Arc<Config>, store: Store, parts: Parts) -> Self {
        Self {
            config,
            store,
            parts: Mutex::new(parts),
            ready: Mutex::default(),
            tools: OnceLock::new(),
        }
    }

    /// Gives agents the tools that users have defined; the first room stays.
    pub(crate) fn equip(&self, tools: ToolRoom) {
        let _ = self.tools.set(tools);
    }

    /// Who answers `called`: an agent's id, or a number that is mapped. Read from the database for
    /// every call, so that a change counts from the next call on, whichever server made it.
    ///
    /// # Errors
    /// Why the call must be refused.
    pub async fn find(self: &Arc<Self>, called: &str) -> Result<Arc<Agent>, Refusal> {
        let found = self.look_up(called).await.map_err(|error| {
            tracing::error!(%error, "who answers a call cannot be read");
            Refusal::AgentUnavailable
        })?;
        let (agent, workflow) = found.ok_or(Refusal::UnknownAgent)?;
        self.ready(agent, workflow).await
    }

    /// The tenant's own agent or workflow, made ready to speak.
    ///
    /// # Errors
    /// [`Refusal::UnknownAgent`] for what is not the tenant's or takes no calls,
    /// [`Refusal::AgentUnavailable`] for what cannot be set up.
    pub async fn speaking(
        self: &Arc<Self>,
        tenant: Tenant,
        target: Target,
    ) -> Result<Arc<Agent>, Refusal> {
        let found = async {
            let mut conn = self.store.read().await?;
            Ok::<_, StoreError>(match target {
                Target::Agent(id) => {
                    let agent = stored::find(&mut conn, tenant, id).await?;
                    drop(conn);
                    match agent.filter(|agent| agent.active) {
                        Some(agent) => {
                            let workflow = self.workflow_of(&agent).await?;
                            Some((agent, workflow))
                        }
                        None => None,
                    }
                }
                Target::Workflow(id) => {
                    let workflow = workflows::find(&mut conn, tenant, id).await?;
                    workflow.map(|w| (agent_for_workflow(&w), Some(w)))
                }
                Target::Endpoint(_) => None,
            })
        };
        let found = found.await.map_err(|error| {
            tracing::error!(%error, "who speaks in a call cannot be read");
            Refusal::AgentUnavailable
        })?;
        let (agent, workflow) = found.ok_or(Refusal::UnknownAgent)?;
        self.ready(agent, workflow).await
    }

    /// An agent of a tenant, made ready.
    ///
    /// # Errors
    /// Why it cannot be.
    pub async fn ready(
        self: &Arc<Self>,
        agent: StoredAgent,
        workflow: Option<StoredWorkflow>,
    ) -> Result<Arc<Agent>, Refusal> {
        let id = agent.id;
        let equipment = match self.tools.get() {
            None => Equipment::default(),
            Some(room) => room.equipment(&agent).await.map_err(|error| {
                tracing::error!(agent = %id, %error, "tools of an agent cannot be read");
                Refusal::AgentUnavailable
            })?,
        };
        let version = (
            agent.version,
            workflow.as_ref().map_or(0, |w| w.version),
            equipment.fingerprint.clone(),
        );
        if let Some((known, ready)) = lock(&self.ready).get(&id)
            && *known == version
        {
            return Ok(Arc::clone(ready));
        }
        let factory = Arc::clone(self);
        let made =
            tokio::task::spawn_blocking(move || factory.make(&agent, workflow, equipment)).await;
        let made = match made {
            Ok(Ok(agent)) => Arc::new(agent),
            Ok(Err(error)) => {
                tracing::error!(agent = %id, %error, "agent cannot be set up");
                return Err(Refusal::AgentUnavailable);
            }
            Err(error) => {
                tracing::error!(agent = %id, %error, "setting up an agent failed");
                return Err(Refusal::AgentUnavailable);
            }
        };
        let mut ready = lock(&self.ready);
        if ready.len() >= READY_MAX {
            ready.clear();
        }
        ready.insert(id, (version, Arc::clone(&made)));
        Ok(made)
    }

    /// The workflow an agent of a tenant follows, if it does.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn workflow_of(
        &self,
        agent: &StoredAgent,
    ) -> Result<Option<StoredWorkflow>, StoreError> {
        let id = agent.section("agent");
        let id = id
            .get("workflow_id")
            .and_then(|id| parse_uuid(id.as_str()?));
        let Some(id) = id else { return Ok(None) };
        let tenant = Tenant::of(agent.org);
        workflows::find(&mut self.store.read().await?, tenant, id).await
    }

    /// Brings the gauges of services up to date.
    pub(super) fn probe(&self) {
        for probe in &lock(&self.parts).probes {
            probe();
        }
    }

    fn make(
        &self,
        agent: &StoredAgent,
        workflow: Option<StoredWorkflow>,
        equipment: Equipment,
    ) -> Result<Agent, AgentError> {
        let records = StoredRecords::of(self.store.clone(), Tenant::of(agent.org));
        let mut parts = lock(&self.parts);
        let builder = Builder::new(&self.config, Arc::new(records), &mut parts);
        let definition = workflow.map(|workflow| workflow.definition.to_string());
        let section = agent.to_section(definition.as_ref().map(|_| agent.id.to_string()));
        let tools = self
            .tools
            .get()
            .map(|room| Arc::new(room.ready(agent, equipment)));
        let mut made = builder
            .with_tools(tools)
            .agent(&section, definition.as_deref())?;
        made.organisation = agent.org;
        Ok(made)
    }

    async fn look_up(
        &self,
        called: &str,
    ) -> Result<Option<(StoredAgent, Option<StoredWorkflow>)>, StoreError> {
        let mut conn = self.store.read().await?;
        let target = match parse_uuid(called) {
            Some(id) => Target::Agent(id),
            None => {
                let Some(number) = e164(called) else {
                    return Ok(None);
                };
                let line = lines::find_for_call(&mut conn, &number).await?;
                match line.and_then(|line| Some((line.target?, line.org))) {
                    None => return Ok(None),
                    Some((Target::Workflow(id), org)) => {
                        let workflow = workflows::find(&mut conn, Tenant::of(org), id).await?;
                        return Ok(workflow.map(|w| (agent_for_workflow(&w), Some(w))));
                    }
                    Some((target, _)) => target,
                }
            }
        };
        let Target::Agent(id) = target else {
            return Ok(None);
        };
        let agent = stored::find_for_call(&mut conn, id).await?;
        let Some(agent) = agent.filter(|agent| agent.active) else {
            return Ok(None);
        };
        drop(conn);
        let workflow = self.workflow_of(&agent).await?;
        Ok(Some((agent, workflow)))
    }
}

/// A line may name a workflow instead of an agent: then an agent with the defaults speaks for it.
fn agent_for_workflow(workflow: &StoredWorkflow) -> StoredAgent {
    StoredAgent {
        id: workflow.id,
        org: workflow.org,
        owner: workflow.owner,
        name: workflow.name.clone(),
        active: true,
        public: false,
        sections: stored::default_sections(),
        version: 0,
        created_at: now_us(),
        updated_at: now_us(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What these hold is whole after every single step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
