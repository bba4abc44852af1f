//! The task that joins a [`Conversation`] with its leg, its providers and the clock.
//!
//! | queue | capacity | when full |
//! |---|---|---|
//! | providers to task | [`INBOX`] | providers wait |
//! | task to recogniser | [`STT_BACKLOG`] beside the session's own | the session counts as failed |
//! | task to leg | [`LEG_BACKLOG`] beside the leg's own | providers are not read until there is room |
//! | task to product | [`EVENT_BACKLOG`] beside the product's own | partial texts are dropped |

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use media::frame::FRAME_MS;
use media::leg::LegCommand;
use media::leg_queue::{LegOutput, MediaLeg};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep_until;

use crate::call::{CallEvent, CallServices, CallSetup, EndReason};
use crate::conversation::event::{JobId, RequestId, SttSession, ToolRunId};
use crate::conversation::{Action, Conversation, ConversationConfig, Event};
use crate::llm::{
    FaultReport, LanguageModel, LanguageModelSession, LlmEvent, LlmSessionRequest, Message,
    ToolCall, engine_tools,
};
use crate::provider_error::ProviderError;
use crate::stt::{SttCommand, SttEvent, SttRequest, SttStream};
use crate::tts::{TtsEvent, TtsRequest};
use crate::usage_meter::UsageMeter;

/// Events of providers that may wait for the task.
pub const INBOX: usize = 128;
/// Commands that may wait for the recogniser: 3 s of frames.
pub const STT_BACKLOG: usize = 150;
/// Commands that may wait for the leg before providers are made to wait.
pub const LEG_BACKLOG: usize = 256;
/// Events that may wait for the product before partial texts are dropped.
pub const EVENT_BACKLOG: usize = 256;
/// Orders that may wait for the model's task.
const MODEL_ORDERS: usize = 8;
/// The product has this long to take the last events.
const LAST_EVENTS_MAX: Duration = Duration::from_secs(5);
/// A session with a provider must be open within this.
const OPEN_MAX: Duration = Duration::from_secs(5);

/// Runs the conversation of one answered call to its end, with the shipped turn-taking values.
/// The last event sent is [`CallEvent::Ended`]; dropping the future closes the leg.
pub async fn run(setup: CallSetup) -> EndReason {
    run_with(setup, ConversationConfig::default()).await
}

/// [`run`] with other turn-taking values.
pub async fn run_with(setup: CallSetup, config: ConversationConfig) -> EndReason {
    let CallSetup {
        agent,
        services,
        leg,
        variables,
        events,
        mut orders,
        meter,
    } = setup;
    let (inbox_in, mut inbox) = mpsc::channel(INBOX);
    let request = LlmSessionRequest {
        system_prompt: agent.system_prompt.clone(),
        language: agent.language.clone(),
        tools: agent
            .tools
            .iter()
            .cloned()
            .chain(engine_tools::definitions())
            .collect(),
        variables: variables.clone(),
        time_zone: agent.time_zone.clone(),
    };
    let (model, model_orders) = mpsc::channel(MODEL_ORDERS);
    let mut tasks = JoinSet::new();
    tasks.spawn(serve_model(
        Arc::clone(&services.llm),
        request,
        model_orders,
        inbox_in.clone(),
    ));
    let mut session = Session {
        conversation: Conversation::new(agent, config),
        services,
        variables: Arc::new(variables),
        leg,
        leg_backlog: VecDeque::new(),
        stt: None,
        stt_session: SttSession::default(),
        stt_backlog: VecDeque::new(),
        model,
        jobs: HashMap::new(),
        tools: HashMap::new(),
        tasks,
        inbox: inbox_in,
        events,
        event_backlog: VecDeque::new(),
        ended: None,
        meter,
    };
    let reason = AssertUnwindSafe(session.serve(&mut inbox, &mut orders))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| session.fail());
    session.deliver_last_events().await;
    reason
}

/// What the tasks of a call report. Events are boxed: a queue reserves room for many, and the
/// largest kind of event, a frame of audio, never comes this way.
enum Report {
    Event(Box<Event>),
    SttOpened {
        session: SttSession,
        stream: SttStream,
    },
}

impl Report {
    fn event(event: Event) -> Self {
        Self::Event(Box::new(event))
    }
}

enum ModelOrder {
    Respond {
        request: RequestId,
        history: Vec<Message>,
    },
    Cancel {
        request: RequestId,
    },
}

struct Session {
    conversation: Conversation,
    services: CallServices,
    variables: Arc<BTreeMap<String, String>>,
    leg: MediaLeg,
    leg_backlog: VecDeque<LegCommand>,
    stt: Option<SttStream>,
    stt_session: SttSession,
    stt_backlog: VecDeque<SttCommand>,
    model: mpsc::Sender<ModelOrder>,
    jobs: HashMap<JobId, AbortHandle>,
    tools: HashMap<ToolRunId, AbortHandle>,
    tasks: JoinSet<()>,
    inbox: mpsc::Sender<Report>,
    events: mpsc::Sender<CallEvent>,
    event_backlog: VecDeque<CallEvent>,
    ended: Option<EndReason>,
    meter: Arc<UsageMeter>,
}

impl Session {
    async fn serve(
        &mut self,
        inbox: &mut mpsc::Receiver<Report>,
        orders: &mut mpsc::Receiver<crate::call::CallOrder>,
    ) -> EndReason {
        self.handle(Event::Started);
        let mut leg_gone = false;
        let mut orders_gone = false;
        loop {
            if let Some(reason) = self.ended {
                return reason;
            }
            self.flush();
            let deadline = self.conversation.poll_timeout();
            let backlog = self.has_backlog();
            let event = tokio::select! {
                biased;
                order = orders.recv(), if !orders_gone => match order {
                    Some(order) => Event::Order(order),
                    None => {
                        orders_gone = true;
                        continue;
                    }
                },
                output = self.leg.recv(), if !leg_gone => match output {
                    Some(LegOutput::Event(event)) => Event::Leg(event),
                    Some(LegOutput::Frame(frame)) => Event::Frame(frame),
                    None => {
                        leg_gone = true;
                        Event::LegGone
                    }
                },
                event = stt_event(&mut self.stt) => {
                    let session = self.stt_session;
                    let event = event.unwrap_or_else(|| {
                        self.stt = None;
                        closed_early()
                    });
                    Event::Stt { session, event }
                }
                Some(report) = inbox.recv(), if self.leg_backlog.len() < LEG_BACKLOG => {
                    match report {
                        Report::Event(event) => *event,
                        Report::SttOpened { session, stream } => {
                            if session != self.stt_session {
                                continue;
                            }
                            self.stt = Some(stream);
                            self.stt_backlog.clear();
                            Event::SttOpened { session }
                        }
                    }
                }
                () = wait(deadline, backlog) => Event::Timeout,
            };
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        self.conversation.handle(now(), event);
        while let Some(action) = self.conversation.poll_action() {
            self.perform(action);
        }
        while self.tasks.try_join_next().is_some() {}
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::OpenStt { session, request } => self.open_stt(session, request),
            Action::Stt(command) => {
                if matches!(command, SttCommand::Audio(_)) {
                    self.meter.heard(FRAME_MS.into());
                }
                self.stt_backlog.push_back(command);
            }
            Action::Respond { request, history } => {
                self.order_model(ModelOrder::Respond { request, history });
            }
            Action::CancelRespond { request } => self.order_model(ModelOrder::Cancel { request }),
            Action::Synthesize { job, request } => {
                self.meter.spoke(&request.text);
                self.synthesize(job, request);
            }
            Action::CancelSynthesis { job } => abort(self.jobs.remove(&job)),
            Action::RunTool { run, call } => self.run_tool(run, call),
            Action::CancelTool { run } => abort(self.tools.remove(&run)),
            Action::Transfer { run, target } => self.transfer(run, target),
            Action::Leg(command) => {
                if let LegCommand::Clear { generation } = &command {
                    let first = *generation;
                    self.leg_backlog.retain(
                        |c| !matches!(c, LegCommand::Play(chunk) if chunk.generation < first),
                    );
                }
                self.leg_backlog.push_back(command);
            }
            Action::Emit(event) => self.emit(event),
            Action::Finished(reason) => self.ended = Some(reason),
        }
    }

    fn emit(&mut self, mut event: CallEvent) {
        if let CallEvent::ProviderFault { part, provider, .. } = &mut event {
            *provider = match part.as_str() {
                "stt" => self.services.stt.name().to_owned(),
                "llm" => self.services.llm.name().to_owned(),
                "tts" => self.services.tts.name().to_owned(),
                _ => String::new(),
            };
        }
        if let CallEvent::Usage(usage) = &event {
            self.meter.answered(usage.input_tokens, usage.output_tokens);
        }
        let is_partial = matches!(event, CallEvent::CallerPartial { .. });
        if !(is_partial && self.event_backlog.len() >= EVENT_BACKLOG) {
            self.event_backlog.push_back(event);
        }
    }

    /// Hands on what waits, as far as there is room.
    fn flush(&mut self) {
        while let Some(command) = self.leg_backlog.pop_front() {
            if let Err(command) = self.leg.send(command) {
                self.leg_backlog.push_front(command);
                break;
            }
        }
        while let Some(event) = self.event_backlog.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.event_backlog.push_front(event);
                    break;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => self.event_backlog.clear(),
            }
        }
        let Some(stt) = &self.stt else {
            self.stt_backlog.clear();
            return;
        };
        while let Some(command) = self.stt_backlog.pop_front() {
            if let Err(refused) = stt.commands.try_send(command) {
                // A closed session reports itself through its events.
                if let mpsc::error::TrySendError::Full(command) = refused {
                    self.stt_backlog.push_front(command);
                }
                break;
            }
        }
        if self.stt_backlog.len() > STT_BACKLOG {
            self.stt = None;
            self.stt_backlog.clear();
            let event = Event::Stt {
                session: self.stt_session,
                event: SttEvent::Fault {
                    retryable: true,
                    message: "too slow: its queue is full".to_owned(),
                },
            };
            self.handle(event);
        }
    }

    fn has_backlog(&self) -> bool {
        !(self.leg_backlog.is_empty()
            && self.event_backlog.is_empty()
            && self.stt_backlog.is_empty())
    }

    fn open_stt(&mut self, session: SttSession, request: SttRequest) {
        self.stt = None;
        self.stt_session = session;
        let stt = Arc::clone(&self.services.stt);
        let inbox = self.inbox.clone();
        self.tasks.spawn(async move {
            let report = match within(OPEN_MAX, stt.open(request)).await {
                Ok(stream) => Report::SttOpened { session, stream },
                Err(error) => Report::event(Event::Stt {
                    session,
                    event: SttEvent::Fault {
                        retryable: error.is_retryable(),
                        message: error.to_string(),
                    },
                }),
            };
            let _ = inbox.send(report).await;
        });
    }

    fn order_model(&mut self, order: ModelOrder) {
        // A model task that does not even take orders is caught by the conversation's deadline.
        if self.model.try_send(order).is_err() {
            tracing::warn!("model task takes no orders");
        }
    }

    fn synthesize(&mut self, job: JobId, request: TtsRequest) {
        let tts = Arc::clone(&self.services.tts);
        let inbox = self.inbox.clone();
        let handle = self.tasks.spawn(async move {
            let report = |event| Report::event(Event::Tts { job, event });
            let mut events = match tts.synthesize(request).await {
                Ok(events) => events,
                Err(error) => {
                    let fault = TtsEvent::Fault {
                        retryable: error.is_retryable(),
                        message: error.to_string(),
                    };
                    let _ = inbox.send(report(fault)).await;
                    return;
                }
            };
            while let Some(event) = events.recv().await {
                let is_last = matches!(event, TtsEvent::Done | TtsEvent::Fault { .. });
                if inbox.send(report(event)).await.is_err() || is_last {
                    return;
                }
            }
            let fault = TtsEvent::Fault {
                retryable: true,
                message: "speech ended without a last event".to_owned(),
            };
            let _ = inbox.send(report(fault)).await;
        });
        self.jobs.retain(|_, handle| !handle.is_finished());
        self.jobs.insert(job, handle);
    }

    fn run_tool(&mut self, run: ToolRunId, call: ToolCall) {
        let tools = Arc::clone(&self.services.tools);
        let variables = Arc::clone(&self.variables);
        let inbox = self.inbox.clone();
        let handle = self.tasks.spawn(async move {
            let result = tools.run(&call, &variables).await;
            let result = result.map_err(|error| error.to_string());
            let _ = inbox
                .send(Report::event(Event::ToolDone { run, result }))
                .await;
        });
        self.keep_tool(run, handle);
    }

    fn transfer(&mut self, run: ToolRunId, target: String) {
        let carrier = Arc::clone(&self.services.carrier);
        let inbox = self.inbox.clone();
        let handle = self.tasks.spawn(async move {
            let result = carrier.transfer(&target).await;
            let _ = inbox
                .send(Report::event(Event::TransferDone { run, result }))
                .await;
        });
        self.keep_tool(run, handle);
    }

    fn keep_tool(&mut self, run: ToolRunId, handle: AbortHandle) {
        self.tools.retain(|_, handle| !handle.is_finished());
        self.tools.insert(run, handle);
    }

    /// The conversation itself has failed: only this call ends.
    fn fail(&mut self) -> EndReason {
        tracing::error!("conversation failed");
        let _ = self.leg.send(LegCommand::Close);
        self.event_backlog.push_back(CallEvent::Ended {
            reason: EndReason::InternalError,
            statistics: media::leg::LegStatistics::default(),
        });
        EndReason::InternalError
    }

    async fn deliver_last_events(&mut self) {
        while let Some(command) = self.leg_backlog.pop_front() {
            if self.leg.send(command).is_err() {
                break;
            }
        }
        let backlog = std::mem::take(&mut self.event_backlog);
        let deliver = async {
            for event in backlog {
                if self.events.send(event).await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(LAST_EVENTS_MAX, deliver)
            .await
            .is_err()
        {
            tracing::error!("last events of the call were not taken");
        }
    }
}

/// Owns the session with the model: opens it, and forwards one answer at a time.
async fn serve_model(
    llm: Arc<dyn LanguageModel>,
    request: LlmSessionRequest,
    mut orders: mpsc::Receiver<ModelOrder>,
    inbox: mpsc::Sender<Report>,
) {
    let session = match within(OPEN_MAX, llm.open(request.clone())).await {
        Err(error) if error.is_retryable() => within(OPEN_MAX, llm.open(request)).await,
        outcome => outcome,
    };
    let mut session = match session {
        Ok(session) => session,
        Err(error) => {
            let message = error.to_string();
            let _ = inbox
                .send(Report::event(Event::LlmRefused { message }))
                .await;
            return;
        }
    };
    let mut next = orders.recv().await;
    while let Some(order) = next {
        next = match order {
            ModelOrder::Respond { request, history } => {
                forward_answer(session.as_mut(), request, &history, &mut orders, &inbox).await
            }
            ModelOrder::Cancel { .. } => orders.recv().await,
        };
    }
}

/// Forwards one answer to its end or its cancellation; returns the next order.
async fn forward_answer(
    session: &mut dyn LanguageModelSession,
    request: RequestId,
    history: &[Message],
    orders: &mut mpsc::Receiver<ModelOrder>,
    inbox: &mpsc::Sender<Report>,
) -> Option<ModelOrder> {
    let report = |event| Report::event(Event::Llm { request, event });
    let fault = |message: &str| {
        report(LlmEvent::Fault(FaultReport {
            retryable: true,
            message: message.to_owned(),
        }))
    };
    // Not cancelled half-way: a session's state changes only with the events read.
    let Ok(mut events) = tokio::time::timeout(OPEN_MAX, session.respond(history)).await else {
        let _ = inbox.send(fault("no answer in time")).await;
        return orders.recv().await;
    };
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(ModelOrder::Cancel { request: other }) if other != request => {}
                Some(ModelOrder::Cancel { .. }) => return orders.recv_dropping(events).await,
                order => return order,
            },
            event = events.recv() => {
                let Some(event) = event else {
                    let _ = inbox.send(fault("answer ended without a last event")).await;
                    return orders.recv().await;
                };
                let is_last = matches!(event, LlmEvent::Done { .. } | LlmEvent::Fault(_));
                if inbox.send(report(event)).await.is_err() {
                    return None;
                }
                if is_last {
                    return orders.recv_dropping(events).await;
                }
            }
        }
    }
}

/// Waits for the next order with the finished answer already dropped.
trait ReceiveDropping {
    async fn recv_dropping(&mut self, events: mpsc::Receiver<LlmEvent>) -> Option<ModelOrder>;
}

impl ReceiveDropping for mpsc::Receiver<ModelOrder> {
    async fn recv_dropping(&mut self, events: mpsc::Receiver<LlmEvent>) -> Option<ModelOrder> {
        drop(events);
        self.recv().await
    }
}

async fn stt_event(stt: &mut Option<SttStream>) -> Option<SttEvent> {
    match stt {
        Some(stream) => stream.events.recv().await,
        None => pending().await,
    }
}

fn closed_early() -> SttEvent {
    SttEvent::Fault {
        retryable: true,
        message: "session closed".to_owned(),
    }
}

/// Waits for a deadline; one tick at most while something waits for room in a queue.
async fn wait(deadline: Option<Instant>, backlog: bool) {
    let tick = backlog.then(|| now() + Duration::from_millis(FRAME_MS.into()));
    match deadline.into_iter().chain(tick).min() {
        Some(due) => sleep_until(due.into()).await,
        None => pending().await,
    }
}

async fn within<T>(
    limit: Duration,
    attempt: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    tokio::time::timeout(limit, attempt)
        .await
        .unwrap_or(Err(ProviderError::TimedOut))
}

fn abort(handle: Option<AbortHandle>) {
    if let Some(handle) = handle {
        handle.abort();
    }
}

/// The runtime's clock, which a test may have paused.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use media::leg::LegId;
    use media::leg_queue::leg_queue;
    use serde_json::json;

    use super::*;
    use crate::call::{CallOrder, Speaker, TransferFailure};
    use crate::testing::leg::{CallerScript, PlayoutModel, run_caller};
    use crate::testing::llm::{Reply, ScriptedModel};
    use crate::testing::rig::agent;
    use crate::testing::stt::{Said, ScriptedEars};
    use crate::testing::tools::{ScriptedCarrier, ScriptedTools};
    use crate::testing::tts::ScriptedVoice;
    use crate::turn_timings::adds_up;

    struct Call {
        said: Vec<Said>,
        model: ScriptedModel,
        voice: ScriptedVoice,
        carrier: ScriptedCarrier,
        hangs_up_at: Option<u64>,
        order: Option<(u64, CallOrder)>,
    }

    impl Call {
        fn new(said: &[(u64, u64, &str)], replies: impl IntoIterator<Item = Reply>) -> Self {
            Self {
                said: said.iter().map(|(f, t, s)| Said::new(*f, *t, s)).collect(),
                model: ScriptedModel::new(replies),
                voice: ScriptedVoice::default(),
                carrier: ScriptedCarrier::new(Ok(())),
                hangs_up_at: None,
                order: None,
            }
        }

        async fn run(self) -> (EndReason, Vec<CallEvent>, PlayoutModel) {
            let (leg, port) = leg_queue(LegId(1));
            let (events, mut event_receiver) = mpsc::channel(8);
            let (orders, order_receiver) = mpsc::channel(1);
            let setup = CallSetup {
                agent: agent(),
                services: CallServices {
                    stt: Arc::new(ScriptedEars {
                        script: self.said.clone(),
                        final_after: Duration::from_millis(150),
                        partials: true,
                    }),
                    llm: Arc::new(self.model),
                    tts: Arc::new(self.voice),
                    tools: Arc::new(ScriptedTools::default()),
                    carrier: Arc::new(self.carrier),
                },
                leg,
                variables: BTreeMap::new(),
                events,
                orders: order_receiver,
                meter: Arc::default(),
            };
            let script = CallerScript {
                said: self.said,
                keys: Vec::new(),
                hangs_up_at: self.hangs_up_at,
            };
            let caller = tokio::spawn(run_caller(port, Arc::new(script)));
            let order = self.order;
            tokio::spawn(async move {
                if let Some((ms, order)) = order {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    let _ = orders.send(order).await;
                }
            });
            let collected = tokio::spawn(async move {
                let mut all = Vec::new();
                while let Some(event) = event_receiver.recv().await {
                    all.push(event);
                }
                all
            });
            let reason = run(setup).await;
            (reason, collected.await.unwrap(), caller.await.unwrap())
        }
    }

    fn transcript(events: &[CallEvent]) -> Vec<(Speaker, String)> {
        events
            .iter()
            .filter_map(|event| match event {
                CallEvent::Turn(turn) => Some((turn.speaker, turn.text.clone())),
                _ => None,
            })
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_runs_from_answer_to_goodbye() {
        let lookup = Reply::say("One moment. ").and_call("a", "lookup", json!({}));
        let goodbye = Reply::say("It comes at nine. Goodbye.").and_call("b", "end_call", json!({}));
        let call = Call::new(&[(500, 2500, "when does it come")], [lookup, goodbye]);
        let model = call.model.clone();
        let (reason, events, _) = call.run().await;
        assert_eq!(reason, EndReason::AgentHungUp);
        assert_eq!(
            transcript(&events),
            [
                (Speaker::Caller, "when does it come".to_owned()),
                (
                    Speaker::Agent,
                    "One moment. It comes at nine. Goodbye.".to_owned()
                ),
            ]
        );
        assert!(matches!(
            events.last(),
            Some(CallEvent::Ended {
                reason: EndReason::AgentHungUp,
                ..
            })
        ));
        assert_eq!(model.asked().len(), 2);
        let timings = events.iter().find_map(|e| match e {
            CallEvent::Turn(turn) => turn.timings,
            _ => None,
        });
        let timings = timings.expect("the answer is timed");
        assert!(adds_up(&timings));
        assert!(
            (500_000..1_000_000).contains(&timings.voice_to_voice),
            "{timings:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_caller_takes_the_floor() {
        let long = "one two three four five six seven eight nine ten eleven twelve";
        let call = Call::new(
            &[(500, 1500, "tell me"), (4000, 5500, "no stop it please")],
            [Reply::say(long), Reply::say("Sorry.")],
        );
        let call = Call {
            hangs_up_at: Some(9000),
            ..call
        };
        let (reason, events, _) = call.run().await;
        assert_eq!(reason, EndReason::CallerHungUp);
        let turns = transcript(&events);
        assert_eq!(turns.len(), 4, "{turns:?}");
        assert!(long.starts_with(&turns[1].1) && turns[1].1.len() < long.len());
        assert_eq!(turns[2].1, "no stop it please");
        assert_eq!(turns[3].1, "Sorry.");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_voice_ends_the_call() {
        let mut call = Call::new(&[(500, 1500, "hello")], []);
        call.voice.broken = true;
        let (reason, events, _) = call.run().await;
        assert_eq!(reason, EndReason::ProviderFailed);
        assert!(events.iter().any(|e| matches!(
            e,
            CallEvent::ProviderFault { part, provider, .. } if part == "tts" && provider == "scripted"
        )));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_transfer_keeps_the_caller() {
        let transfer =
            Reply::say("I connect you. ").and_call("a", "transfer_call", json!({"target": "+491"}));
        let mut call = Call::new(
            &[(500, 1500, "a human")],
            [transfer, Reply::say("Nobody is there.")],
        );
        call.carrier = ScriptedCarrier::new(Err(TransferFailure::NoAnswer));
        call.hangs_up_at = Some(9000);
        let carrier = call.carrier.clone();
        let (reason, events, _) = call.run().await;
        assert_eq!(reason, EndReason::CallerHungUp);
        assert_eq!(carrier.targets(), ["+491"]);
        assert_eq!(transcript(&events)[1].1, "I connect you. Nobody is there.");
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_ends_the_call_with_its_reason() {
        let mut call = Call::new(&[], []);
        call.order = Some((700, CallOrder::HangUp(EndReason::ServerShutdown)));
        let (reason, events, leg) = call.run().await;
        assert_eq!(reason, EndReason::ServerShutdown);
        assert!(leg.is_closed());
        assert!(matches!(events.last(), Some(CallEvent::Ended { .. })));
    }
}
