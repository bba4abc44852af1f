//! One task per call: its record, its conversation, its end.
//!
//! A carrier's side (SIP dialog, websocket) brings the leg and reports what happens on its line;
//! what all calls have in common is here.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use media::leg::LegStatistics;
use media::leg_queue::MediaLeg;
use media::net::control::LegControl;
use pipeline::call::{
    CallEvent, CallOrder, CallServices, CallSetup, CarrierActions, EndReason, TranscriptTurn,
};
use serde_json::json;
use tokio::sync::{broadcast, mpsc};
use tokio::task::AbortHandle;
use tracing::Instrument as _;

use super::admission::Refusal;
use super::events::NumberedEvent;
use super::id::CallId;
use super::outcome::CallOutcome;
use super::queries;
use super::record::{Direction, NewCall};
use super::registry::{Admission, CallRegistry};
use crate::agents::placeholders::with_variables;
use crate::agents::{Agent, AgentCatalogue};
use crate::billing::calls::{CallAccount, CallBilling, MoneyNotice};
use crate::clock::now_us;
use crate::config::Config;
use crate::outbound::outcome::DialEnd;
use crate::store::Store;
use crate::telemetry::metrics as meters;
use crate::webhooks::sender::Sender;

/// Events that may wait for the record; beyond that the conversation's record keeping waits.
const EVENT_CAPACITY: usize = 256;
/// How long the end of a leg and of its recording is waited for.
const CLOSE_MAX: Duration = Duration::from_secs(10);
/// A conversation that goes on for longer after the end of its credit is broken off.
const OVERTIME_MAX: Duration = Duration::from_secs(2);
/// Notices of the account that may wait.
const NOTICE_CAPACITY: usize = 4;

/// Takes calls in and sees them through. Cloneable.
#[derive(Clone, Debug)]
pub struct CallController {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Arc<Config>,
    store: Store,
    boot_id: String,
    registry: CallRegistry,
    agents: AgentCatalogue,
    billing: CallBilling,
    /// Told when a call has ended.
    webhooks: OnceLock<Sender>,
}

impl CallController {
    /// A controller that writes to `store` as part of `boot_id`.
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        store: Store,
        boot_id: String,
        registry: CallRegistry,
        agents: AgentCatalogue,
        billing: CallBilling,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                config,
                store,
                boot_id,
                registry,
                agents,
                billing,
                webhooks: OnceLock::new(),
            }),
        }
    }

    /// Has webhooks sent as soon as a call has ended; the first sender stays.
    pub fn tell_endings_to(&self, webhooks: Sender) {
        let _ = self.shared.webhooks.set(webhooks);
    }

    /// Finds who answers `called` (an agent's id or a number) and takes a place for the call.
    ///
    /// # Errors
    /// Why the call must be refused.
    pub async fn admit(
        &self,
        called: &str,
        carrier: &'static str,
    ) -> Result<(Arc<Agent>, Admission), Refusal> {
        let admitted = match self.find(called).await {
            Ok(agent) => self.take_in(agent, carrier).await,
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = &admitted {
            meters::call_refused(carrier, *refusal);
        }
        admitted
    }

    /// Takes a place for a call that `agent` answers, and opens its account.
    async fn take_in(
        &self,
        agent: Arc<Agent>,
        carrier: &'static str,
    ) -> Result<(Arc<Agent>, Admission), Refusal> {
        let admission = self.shared.registry.admit()?;
        let account = self.account(admission.id(), &agent, carrier, None).await?;
        Ok((agent, admission.on_account(account)))
    }

    /// Opens the account of a call that `agent` speaks in. A call that a user places is charged to
    /// that user, any other to whose agent it is.
    ///
    /// # Errors
    /// Why the call must not begin.
    pub async fn account(
        &self,
        call: CallId,
        agent: &Agent,
        carrier: &str,
        user: Option<uuid::Uuid>,
    ) -> Result<CallAccount, Refusal> {
        self.shared.billing.begin(call, agent, carrier, user).await
    }

    /// Who would answer `called`.
    ///
    /// # Errors
    /// [`Refusal::UnknownAgent`], or [`Refusal::AgentUnavailable`] for one that is configured but
    /// could not be set up.
    pub async fn find(&self, called: &str) -> Result<Arc<Agent>, Refusal> {
        if let Some(agent) = self.shared.config.agent_for(called) {
            let agent = self.shared.agents.find(&agent.id);
            return agent.ok_or(Refusal::AgentUnavailable);
        }
        let factory = self.shared.agents.factory();
        factory.ok_or(Refusal::UnknownAgent)?.find(called).await
    }

    /// Where the recording of a call goes, if calls are recorded.
    #[must_use]
    pub fn recording_path(&self, id: CallId) -> Option<PathBuf> {
        let config = &self.shared.config;
        config
            .recording
            .enabled
            .then(|| config.recordings_dir().join(recording_file(id)))
    }

    /// Runs `call` in a task of its own. If it panics, that call alone ends, recorded as ours to
    /// blame; what it held (leg, ports, place in the registry) is freed as it unwinds.
    pub fn supervise<F>(&self, id: CallId, carrier: &'static str, call: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let span = tracing::info_span!("call", call_id = %id, carrier);
        let task = tokio::spawn(call.instrument(span));
        let store = self.shared.store.clone();
        tokio::spawn(async move {
            let Err(error) = task.await else { return };
            tracing::error!(call_id = %id, %error, "call task failed");
            let outcome = CallOutcome::from(EndReason::InternalError);
            let finished = queries::finish_call(&store, id, outcome, now_us(), None).await;
            if let Err(error) = finished {
                tracing::error!(call_id = %id, %error, "end of the call was not stored");
            }
        });
    }

    /// Opens the record of an admitted call. `recorded` tells whether its leg writes a recording.
    pub async fn open(&self, admission: Admission, call: CallOrigin, recorded: bool) -> OpenCall {
        self.open_as(admission, call, recorded, Way::default())
            .await
    }

    /// Opens the record of a call that goes the given way.
    pub async fn open_as(
        &self,
        mut admission: Admission,
        call: CallOrigin,
        recorded: bool,
        way: Way,
    ) -> OpenCall {
        let id = admission.id();
        let carrier = call.carrier;
        let new = NewCall {
            id,
            agent_id: call.agent.id.clone(),
            organisation: call.agent.organisation,
            direction: way.direction,
            carrier,
            carrier_call_id: call.carrier_call_id,
            caller: call.caller.clone(),
            called: call.called.clone(),
            codec: call.codec,
            recording: recorded.then(|| recording_file(id)),
            batch_id: way.batch_id,
            variables: match way.direction {
                Direction::Inbound => BTreeMap::new(),
                Direction::Outbound => call.variables.clone(),
            },
        };
        self.begin(new).await;
        let mut variables = call.variables;
        variables.insert("call_id".to_owned(), id.to_string());
        for (name, value) in [("caller", call.caller), ("called", call.called)] {
            if let Some(value) = value {
                variables.insert(name.to_owned(), value);
            }
        }
        OpenCall {
            controller: self.clone(),
            record: self.recorder(&admission),
            account: admission.take_account(),
            admission,
            agent: call.agent,
            carrier,
            variables,
            statistics: None,
        }
    }

    /// Stores a call that begins.
    pub(super) async fn begin(&self, new: NewCall) {
        let (shared, carrier) = (&self.shared, new.carrier);
        let stored = queries::insert_call(&shared.store, &shared.boot_id, new, now_us()).await;
        if let Err(error) = stored {
            // An admitted call survives a failing store.
            tracing::error!(%error, "call was not stored");
        }
        meters::call_began(carrier);
    }

    /// Writes down what happens in an admitted call.
    pub(super) fn recorder(&self, admission: &Admission) -> CallRecorder {
        CallRecorder {
            id: admission.id(),
            store: self.shared.store.clone(),
            viewers: admission.viewers(),
            events: 0,
        }
    }

    /// Notes the answer.
    pub(super) async fn note_answered(&self, id: CallId) {
        let stored = queries::set_answered(&self.shared.store, id, now_us()).await;
        if let Err(error) = stored {
            tracing::error!(%error, "answer was not stored");
        }
    }

    /// Closes a record once the leg and its recording are finished.
    pub(super) async fn close(
        &self,
        id: CallId,
        carrier: &'static str,
        outcome: CallOutcome,
        leg: Option<LegControl>,
        mut statistics: Option<LegStatistics>,
        account: Option<CallAccount>,
    ) {
        let ended_at = now_us();
        let mut recording = None;
        if let Some(leg) = &leg {
            leg.close();
            let closing = async {
                let summary = leg.closed().await;
                (summary, leg.recording_finished().await)
            };
            match tokio::time::timeout(CLOSE_MAX, closing).await {
                Ok((summary, finished)) => {
                    statistics = Some(summary.statistics);
                    recording = finished;
                }
                Err(_) => tracing::error!("leg did not end in time"),
            }
        }
        if let Some(recording) = &recording {
            if let Some(error) = recording.error {
                tracing::error!(?error, "recording is incomplete");
            }
            meters::recording_finished(recording);
        }
        if let Some(echo) = statistics.and_then(|statistics| statistics.echo) {
            meters::leg_echo(carrier, &echo);
        }
        // Before the record is closed, so that a call that shows as ended has its bill.
        if let Some(account) = account {
            account.settle(now()).await;
        }
        let store = &self.shared.store;
        let length = recording.map(|r| r.duration_ms);
        let stored = async {
            queries::set_recording_length(store, id, length).await?;
            queries::finish_call(store, id, outcome, ended_at, statistics).await
        };
        if let Err(error) = stored.await {
            tracing::error!(%error, "end of the call was not stored");
        }
        if let Some(webhooks) = self.shared.webhooks.get() {
            webhooks.wake();
        }
        meters::call_ended(carrier, outcome);
        tracing::info!(
            class = outcome.class_name(),
            reason = outcome.reason_name(),
            "call ended"
        );
    }
}

/// What is known of a call when it comes in.
#[derive(Clone, Debug)]
pub struct CallOrigin {
    /// Who answers.
    pub agent: Arc<Agent>,
    /// What brought it: `sip`, `twilio`, `exotel`.
    pub carrier: &'static str,
    /// The carrier's own id.
    pub carrier_call_id: Option<String>,
    /// Who calls.
    pub caller: Option<String>,
    /// Who was called.
    pub called: Option<String>,
    /// Codec towards the caller.
    pub codec: Option<String>,
    /// Custom parameters, as variables of the conversation.
    pub variables: BTreeMap<String, String>,
}

/// Which way a call goes, and for what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Way {
    /// To us or by us.
    pub direction: Direction,
    /// The batch that dials it.
    pub batch_id: Option<uuid::Uuid>,
}

impl Default for Way {
    fn default() -> Self {
        Self {
            direction: Direction::Inbound,
            batch_id: None,
        }
    }
}

/// A call whose record is open.
#[derive(Debug)]
pub struct OpenCall {
    controller: CallController,
    admission: Admission,
    record: CallRecorder,
    agent: Arc<Agent>,
    carrier: &'static str,
    variables: BTreeMap<String, String>,
    statistics: Option<LegStatistics>,
    account: Option<CallAccount>,
}

impl OpenCall {
    /// Notes how a call of ours was taken.
    pub async fn dialled(&self, end: DialEnd) {
        let store = &self.controller.shared.store;
        if let Err(error) = queries::set_dialled(store, self.id(), end).await {
            tracing::error!(%error, "how the call was taken was not stored");
        }
    }

    /// Waits until somebody orders the call to end, before [`Self::converse`]. Cancel safe.
    pub async fn ordered_to_end(&mut self) -> EndReason {
        self.admission.ordered_to_end().await
    }

    /// Notes the answer.
    pub async fn answered(&self) {
        if let Some(account) = &self.account {
            account.answered(now());
        }
        self.controller.note_answered(self.id()).await;
    }

    /// Holds the conversation over `leg` to its end. Dropping the future ends it.
    pub async fn converse(&mut self, leg: MediaLeg, carrier: Arc<dyn CarrierActions>) -> EndReason {
        let (events, mut received) = mpsc::channel(EVENT_CAPACITY);
        let Some(orders) = self.admission.take_orders() else {
            return EndReason::InternalError;
        };
        let agent = &self.agent;
        let setup = CallSetup {
            agent: with_variables(agent.profile.clone(), &self.variables),
            services: CallServices {
                stt: Arc::clone(&agent.stt),
                llm: Arc::clone(&agent.llm),
                tts: Arc::clone(&agent.tts),
                tools: Arc::clone(&agent.tools),
                carrier,
            },
            leg,
            variables: self.variables.clone(),
            events,
            orders,
            meter: self
                .account
                .as_ref()
                .map(CallAccount::meter)
                .unwrap_or_default(),
        };
        let session = pipeline::call_session::run(setup).in_current_span();
        let session = tokio::spawn(session);
        let _abort = AbortOnDrop(session.abort_handle());
        let (notify, mut notices) = mpsc::channel(NOTICE_CAPACITY);
        let orders = self.admission.orders();
        let keeper = self.account.as_ref();
        let keeper = keeper.and_then(|account| account.keeper(orders, notify));
        let _keeper = keeper.map(|keeper| {
            let keeping = keeper.run().in_current_span();
            AbortOnDrop(tokio::spawn(keeping).abort_handle())
        });
        let mut reported = None;
        loop {
            let funded_until = self.account.as_ref().and_then(CallAccount::funded_until);
            let event = tokio::select! {
                event = received.recv() => match event {
                    Some(event) => event,
                    None => break,
                },
                Some(MoneyNotice::Low { seconds_left }) = notices.recv() => {
                    CallEvent::CreditLow { seconds_left }
                }
                // The conversation ends itself at the funded second; this is the second wall.
                () = overtime(funded_until) => {
                    if self.account.as_ref().and_then(CallAccount::funded_until) > funded_until {
                        continue;
                    }
                    tracing::error!("conversation went on without credit and is broken off");
                    reported = Some(EndReason::CreditExhausted);
                    session.abort();
                    break;
                }
            };
            if let CallEvent::Ended { reason, statistics } = &event {
                reported = Some(*reason);
                self.statistics = Some(*statistics);
                if let Some(account) = &self.account {
                    account.hung_up(now());
                }
            }
            meters::call_event(&event);
            self.record.keep(event).await;
        }
        match session.await {
            Ok(reason) => reason,
            Err(error) => {
                if !error.is_cancelled() {
                    tracing::error!(%error, "conversation failed");
                }
                reported.unwrap_or(EndReason::InternalError)
            }
        }
    }

    /// Closes the record once the leg and its recording are finished; frees the place.
    pub async fn finish(mut self, outcome: CallOutcome, leg: Option<LegControl>) {
        if let Some(account) = &self.account {
            account.hung_up(now());
        }
        let (id, carrier) = (self.id(), self.carrier);
        let account = self.account.take();
        self.controller
            .close(id, carrier, outcome, leg, self.statistics, account)
            .await;
    }

    /// Who answers.
    #[must_use]
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The call's id.
    #[must_use]
    pub const fn id(&self) -> CallId {
        self.admission.id()
    }

    /// Gives orders to the conversation.
    #[must_use]
    pub fn orders(&self) -> mpsc::Sender<CallOrder> {
        self.admission.orders()
    }
}

/// Writes what happens as it happens, then shows it to viewers.
#[derive(Debug)]
pub(super) struct CallRecorder {
    id: CallId,
    store: Store,
    viewers: broadcast::Sender<NumberedEvent>,
    events: i64,
}

impl CallRecorder {
    async fn keep(&mut self, event: CallEvent) {
        let Ok(data) = serde_json::to_value(&event) else {
            return;
        };
        let mut numbered = NumberedEvent {
            number: None,
            at: now_us(),
            data,
        };
        // Partial texts are replaced within the second; only viewers want them.
        if !matches!(event, CallEvent::CallerPartial { .. }) {
            self.events += 1;
            numbered.number = Some(self.events);
            let turn: Option<TranscriptTurn> = match event {
                CallEvent::Turn(turn) => Some(turn),
                _ => None,
            };
            self.store(numbered.clone(), turn).await;
        }
        // Nobody may be watching.
        let _ = self.viewers.send(numbered);
    }

    /// Keeps an event that is no conversation's.
    pub(super) async fn note(&mut self, data: serde_json::Value) {
        self.events += 1;
        let numbered = NumberedEvent {
            number: Some(self.events),
            at: now_us(),
            data,
        };
        self.store(numbered.clone(), None).await;
        let _ = self.viewers.send(numbered);
    }

    async fn store(&self, event: NumberedEvent, turn: Option<TranscriptTurn>) {
        let stored = queries::insert_event(&self.store, self.id, event, turn).await;
        if let Err(error) = stored {
            tracing::error!(%error, "event was not stored");
        }
    }
}

impl Drop for CallRecorder {
    fn drop(&mut self) {
        let _ = self.viewers.send(NumberedEvent {
            number: None,
            at: now_us(),
            data: json!({ "type": "closed" }),
        });
    }
}

#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits until a while after the end of the credit; for ever where nothing has to be paid.
async fn overtime(funded_until: Option<Instant>) {
    match funded_until.and_then(|until| until.checked_add(OVERTIME_MAX)) {
        Some(end) => tokio::time::sleep_until(end.into()).await,
        None => std::future::pending().await,
    }
}

/// The runtime's clock, which a test may have paused.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

pub(super) fn recording_file(id: CallId) -> String {
    format!("{id}.wav")
}
