//! The task that dials: it has intents written, places their calls and writes what came of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::campaign::{self, Campaign, State};
use super::claims::{self, Claim, Intent, Room};
use super::dialler::{Dialler, INTENT_STALE_US};
use crate::agents::Agent;
use crate::calls::id::CallId;
use crate::clock::now_us;
use crate::numbers::lines::{self, Line};
use crate::outbound::budget::Payer;
use crate::outbound::line::{self, Carrier};
use crate::outbound::outcome::{DialDetail, DialEnd};
use crate::outbound::place::{PlaceCall, place};
use crate::services::Services;
use crate::sip_line::trunks::Health;
use crate::store::{Connection, Dialect, StoreError, Tenant, sql};

/// Time between two looks while campaigns run.
const TURN: Duration = Duration::from_millis(50);
/// The same while none does; a start wakes the dialler anyway.
const IDLE_TURN: Duration = Duration::from_secs(1);
/// Time between two looks for dead diallers and lost calls.
const SWEEP: Duration = Duration::from_secs(2);
/// How long agent, line and trunk of a campaign are taken for unchanged.
const SETUP_KEPT: Duration = Duration::from_secs(2);
/// Before a result is written again that could not be.
const WRITE_AGAIN: Duration = Duration::from_millis(500);
/// Longest first step of a call's setup: what takes longer is given up.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// What a campaign's calls need.
#[derive(Clone, Debug)]
struct Setup {
    agent: Arc<Agent>,
    line: Line,
    carrier: Carrier,
}

/// What this process keeps of a running campaign.
#[derive(Debug)]
struct Kept {
    version: i64,
    dialler: Arc<Mutex<Dialler>>,
    setup: Option<(Instant, Setup)>,
}

/// Dials for campaigns until the server stops.
pub async fn run(services: Arc<Services>, node: String) {
    if !services.config.campaigns.enabled || !services.config.sip.enabled {
        return;
    }
    let mut driver = Driver {
        id: Uuid::now_v7(),
        node,
        kept: HashMap::new(),
        placing: Arc::default(),
        swept: None,
        renewed: None,
        services,
    };
    driver.begin().await;
    loop {
        let active = match driver.turn().await {
            Ok(active) => active,
            Err(error) => {
                tracing::error!(%error, "campaigns could not be looked at");
                false
            }
        };
        let wait = if active { TURN } else { IDLE_TURN };
        // Woken or not, the next look is due.
        let _ = timeout(wait, driver.services.dial_now.notified()).await;
        if active {
            // A start does not take the pace out of those that run.
            sleep(TURN / 10).await;
        }
    }
}

struct Driver {
    services: Arc<Services>,
    /// This process, for the others; another one once it was taken for dead.
    id: Uuid,
    node: String,
    kept: HashMap<Uuid, Kept>,
    /// Calls of ours from intent to end.
    placing: Arc<AtomicUsize>,
    swept: Option<Instant>,
    renewed: Option<Instant>,
}

impl Driver {
    /// Takes the lease and over what earlier processes of this data directory left.
    async fn begin(&mut self) {
        loop {
            match self.try_begin().await {
                Ok(lost) => {
                    if lost > 0 {
                        tracing::warn!(lost, "calls of an earlier process have no result");
                    }
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "dialler could not begin; trying again");
                    sleep(IDLE_TURN).await;
                }
            }
        }
    }

    async fn try_begin(&mut self) -> Result<u64, StoreError> {
        self.renew().await?;
        let (id, node) = (self.id, self.node.clone());
        let lost = self.services.store.write(move |conn| {
            Box::pin(async move { claims::fence_dead(conn, id, &node, true, now_us()).await })
        });
        lost.await
    }

    /// Keeps the lease; takes another name if others have taken this process for dead.
    async fn renew(&mut self) -> Result<(), StoreError> {
        let lease = self.services.config.campaigns.lease;
        let due = |at: Instant| now().duration_since(at) >= lease / 3;
        if self.renewed.is_some_and(|at| !due(at)) {
            return Ok(());
        }
        loop {
            let (id, node) = (self.id, self.node.clone());
            let begun = now();
            let until = now_us() + micros(lease);
            let kept = self.services.store.write(move |conn| {
                Box::pin(async move { claims::renew(conn, id, &node, until).await })
            });
            if kept.await? {
                self.renewed = Some(begun);
                return Ok(());
            }
            self.id = Uuid::now_v7();
            tracing::warn!(dialler = %self.id, "this server was taken for dead; dialling goes on under another name");
        }
    }

    /// One look at everything; whether campaigns run.
    async fn turn(&mut self) -> Result<bool, StoreError> {
        if self.services.registry.is_draining() {
            return Ok(false);
        }
        self.renew().await?;
        self.sweep().await?;
        let rows =
            sql("SELECT * FROM campaigns WHERE state IN ('running', 'scheduled') ORDER BY id");
        let rows = self.services.store.fetch_all(rows).await?;
        let mut running = Vec::new();
        for row in &rows {
            match campaign::campaign(row) {
                Ok(found) => running.push(found),
                Err(error) => tracing::error!(%error, "a campaign cannot be read"),
            }
        }
        self.kept
            .retain(|id, _| running.iter().any(|found| found.id == *id));
        let mut active = false;
        for found in running {
            if found.state == State::Scheduled {
                self.start_if_due(&found).await?;
                continue;
            }
            active = true;
            if let Err(error) = self.dial_for(&found).await {
                tracing::error!(campaign = %found.id, %error, "campaign could not be served");
            }
        }
        Ok(active)
    }

    async fn sweep(&mut self) -> Result<(), StoreError> {
        if self
            .swept
            .is_some_and(|at| now().duration_since(at) < SWEEP)
        {
            return Ok(());
        }
        self.swept = Some(now());
        let (id, node) = (self.id, self.node.clone());
        let reconcile = micros(self.services.config.campaigns.reconcile);
        let swept = self.services.store.write(move |conn| {
            Box::pin(async move {
                claims::fence_dead(conn, id, &node, false, now_us()).await?;
                claims::reconcile(conn, reconcile, now_us()).await
            })
        });
        swept.await.map(drop)
    }

    async fn start_if_due(&self, found: &Campaign) -> Result<(), StoreError> {
        let now = now_us();
        if found.scheduled_at.is_some_and(|at| at > now) {
            return Ok(());
        }
        let start = sql(
            "UPDATE campaigns SET state = 'running', started_at = $2, updated_at = $2, \
               version = version + 1 WHERE id = $1 AND state = 'scheduled' \
               AND scheduled_at <= $2",
        );
        let start = start.bind(found.id).bind(now);
        self.services.store.execute(start).await.map(drop)
    }

    async fn dial_for(&mut self, found: &Campaign) -> Result<(), StoreError> {
        let room = self.server_room();
        if room == 0 {
            return Ok(());
        }
        let setup = match self.setup(found).await? {
            Ok(Some(setup)) => setup,
            // Trunks of the API come into force after the start, and on other servers later still.
            Ok(None) => return Ok(()),
            Err(reason) => return self.pause(found.id, reason).await,
        };
        let Carrier::Sip(trunk) = &setup.carrier;
        if trunk.health() == Health::Down || trunk.is_resting(now()) {
            return Ok(());
        }
        let settings = trunk.settings();
        let campaigns = &self.services.config.campaigns;
        let room = Room {
            dialler: self.id,
            server: room,
            trunk: trunk.name().to_owned(),
            trunk_calls_max: settings.calls_max,
            trunk_per_second: if settings.calls_per_second > 0.0 {
                settings.calls_per_second
            } else {
                campaigns.calls_per_second
            },
            organisation_calls_max: campaigns.organisation_calls_max,
        };
        let dialler = self.dialler(found);
        let planner = lock(&dialler).planner();
        let id = found.id;
        let claim = self.services.store.write(move |conn| {
            Box::pin(async move { claims::claim(conn, id, &planner, &room, now_us()).await })
        });
        match claim.await? {
            Claim::Intents(intents) => {
                for intent in intents {
                    self.place(found, &setup, &dialler, intent);
                }
            }
            Claim::Completed => tracing::info!(campaign = %id, "campaign completed"),
            // The next renewal finds out.
            Claim::Fenced => self.renewed = None,
            Claim::NotRunning => {}
        }
        Ok(())
    }

    /// Calls this server can take on for campaigns, a share left free for calls that come in.
    fn server_room(&self) -> usize {
        let config = &self.services.config;
        let reserve = config.campaigns.inbound_reserve_percent.min(100) as usize;
        let most = config.server.calls_max * (100 - reserve) / 100;
        let busy = self.services.registry.len();
        most.saturating_sub(busy.max(self.placing.load(Ordering::Relaxed)))
    }

    fn dialler(&mut self, found: &Campaign) -> Arc<Mutex<Dialler>> {
        let zone = found.time_zone.as_deref();
        let zone = zone.unwrap_or(&self.services.config.campaigns.time_zone);
        let kept = self.kept.entry(found.id).or_insert_with(|| Kept {
            version: found.version,
            dialler: Arc::new(Mutex::new(Dialler::new(found.rules.clone(), zone))),
            setup: None,
        });
        if kept.version != found.version {
            kept.version = found.version;
            kept.setup = None;
            lock(&kept.dialler).set_rules(found.rules.clone(), zone);
        }
        Arc::clone(&kept.dialler)
    }

    /// Agent, line and trunk, or none while this server does not know the trunk; else why the
    /// campaign must pause.
    async fn setup(
        &mut self,
        found: &Campaign,
    ) -> Result<Result<Option<Setup>, &'static str>, StoreError> {
        self.dialler(found);
        let known = self.kept.get(&found.id).and_then(|kept| kept.setup.clone());
        if let Some((at, setup)) = known
            && now().duration_since(at) < SETUP_KEPT
        {
            return Ok(Ok(Some(setup)));
        }
        let services = &self.services;
        let tenant = Tenant::of(found.org);
        let (Some(target), Some(line)) = (found.target, found.line) else {
            return Ok(Err("incomplete"));
        };
        let line = lines::find(&mut services.store.read().await?, tenant, line).await?;
        let Some(line) = line.filter(|line| line.active) else {
            return Ok(Err("line_unavailable"));
        };
        let Ok(carrier) = line::carrier(services, &line) else {
            return Ok(Ok(None));
        };
        let Some(factory) = services.agents.factory() else {
            return Ok(Err("agent_unavailable"));
        };
        let Ok(agent) = factory.speaking(tenant, target).await else {
            return Ok(Err("agent_unavailable"));
        };
        let setup = Setup {
            agent,
            line,
            carrier,
        };
        if let Some(kept) = self.kept.get_mut(&found.id) {
            kept.setup = Some((now(), setup.clone()));
        }
        Ok(Ok(Some(setup)))
    }

    async fn pause(&self, id: Uuid, reason: &'static str) -> Result<(), StoreError> {
        tracing::warn!(campaign = %id, reason, "campaign pauses");
        let paused = self.services.store.write(move |conn| {
            Box::pin(async move {
                if is_running(conn, id).await? {
                    campaign::set_state(conn, id, State::Paused, Some(reason)).await?;
                }
                Ok(())
            })
        });
        paused.await
    }

    fn place(
        &self,
        found: &Campaign,
        setup: &Setup,
        dialler: &Arc<Mutex<Dialler>>,
        intent: Intent,
    ) {
        let call = PlaceCall {
            id: CallId::of(intent.attempt),
            agent: Arc::clone(&setup.agent),
            line: setup.line.clone(),
            to: intent.phone.clone(),
            variables: intent.variables.clone(),
            batch_id: Some(found.id),
            payer: Payer {
                organisation: found.org,
                user: Some(found.owner),
            },
            ring_max: found.rules.ring_max(),
        };
        let services = Arc::clone(&self.services);
        let dialler = Arc::clone(dialler);
        let placing = Placing::new(&self.placing);
        tokio::spawn(async move {
            let _placing = placing;
            let end = follow(&services, call, intent.at).await;
            keep(&services, &dialler, &intent, end).await;
        });
    }
}

/// Places the call and waits for its end; `None` when its task failed.
async fn follow(services: &Arc<Services>, call: PlaceCall, intended_at: i64) -> Option<DialEnd> {
    // A process that was held up since may have been taken for dead.
    if now_us() - intended_at > INTENT_STALE_US {
        return Some(DialEnd::failed(DialDetail::NoCapacity));
    }
    let placed = place(services, call).await;
    timeout(NEVER, placed.ended).await.ok()?.ok()
}

/// Writes the result until it is written.
async fn keep(
    services: &Services,
    dialler: &Mutex<Dialler>,
    intent: &Intent,
    end: Option<DialEnd>,
) {
    let attempt = intent.attempt;
    let ended = end.map(|end| (end, lock(dialler).ended(now_us(), intent.number, &end)));
    loop {
        let written = services.store.write(move |conn| {
            Box::pin(async move {
                match ended {
                    Some((end, ended)) => {
                        claims::settle(conn, attempt, &end, ended, now_us()).await
                    }
                    None => claims::lose(conn, attempt, now_us()).await.map(|()| true),
                }
            })
        });
        match written.await {
            Ok(true) => return,
            Ok(false) => {
                tracing::warn!(%attempt, "result came after the call was decided; it is dropped");
                return;
            }
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::error!(%attempt, %error, "result was not written; trying again");
                sleep(WRITE_AGAIN).await;
            }
        }
    }
}

async fn is_running(conn: &mut Connection, id: Uuid) -> Result<bool, StoreError> {
    let lock = match conn.dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => " FOR UPDATE",
    };
    let text = format!("SELECT id FROM campaigns WHERE id = $1 AND state = 'running'{lock}");
    Ok(sql(text).bind(id).fetch_optional(conn).await?.is_some())
}

/// Counts a call from its intent to its end.
struct Placing(Arc<AtomicUsize>);

impl Placing {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Placing {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn lock(dialler: &Mutex<Dialler>) -> std::sync::MutexGuard<'_, Dialler> {
    // What it holds is whole after every single step.
    dialler.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "driver: leases are of real time")]
fn now() -> Instant {
    Instant::now()
}
