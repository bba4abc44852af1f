//! A conversation alone, in virtual time, with modelled providers and leg.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use media::frame::{FRAME_MS, FRAME_SAMPLES, SamplePosition};
use media::leg::{LegCommand, LegEvent};
use serde_json::Value;

use super::leg::{CallerScript, PlayoutModel, caller_frame};
use super::llm::{Reply, ScriptedModel};
use super::stt::heard_between;
use super::tts::{speech_of, timings_of};
use crate::call::{AgentProfile, CallEvent, EndReason, TranscriptTurn, TransferFailure};
use crate::conversation::event::{JobId, RequestId, SttSession, ToolRunId};
use crate::conversation::{Action, Conversation, ConversationConfig, Event};
use crate::llm::Message;
use crate::stt::{SttCommand, SttEvent, UtteranceId};
use crate::tts::TtsEvent;

/// How the modelled providers behave.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// From `Finish` to the final text.
    pub final_after: Duration,
    /// Whether partial texts are given, this long after a word's end.
    pub partial_after: Option<Duration>,
    /// From the request to the model's first event.
    pub first_token: Duration,
    /// From the request to the first speech.
    pub first_audio: Duration,
    /// Length of a tool's run.
    pub tool_takes: Duration,
    /// A tool's result.
    pub tool_result: Result<Value, String>,
    /// What a transfer comes to.
    pub transfer: Result<(), TransferFailure>,
    /// Whether the recogniser ever answers.
    pub stt_mute: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            final_after: Duration::from_millis(200),
            partial_after: Some(Duration::from_millis(100)),
            first_token: Duration::from_millis(100),
            first_audio: Duration::from_millis(100),
            tool_takes: Duration::from_millis(500),
            tool_result: Ok(Value::String("42".to_owned())),
            transfer: Ok(()),
            stt_mute: false,
        }
    }
}

#[derive(Clone, Debug)]
struct Utterance {
    id: UtteranceId,
    from: SamplePosition,
    until: SamplePosition,
    partial: String,
}

/// Events to come, each with the time until then.
pub type Plan = Vec<(Duration, Event)>;

/// Everything around a conversation: the leg, the recogniser, the model, the voice.
pub trait Surroundings {
    /// Whether audio on its way to the recogniser is kept among the rig's actions.
    const KEEPS_AUDIO: bool = true;

    /// Does what an action asks for; what comes of it goes into `plan`.
    fn perform(&mut self, action: Action, now: Instant, plan: &mut Plan);

    /// Lives through the 20 ms that end at `now`; what the leg brings goes into `events`.
    fn tick(&mut self, now: Instant, events: &mut Vec<Event>);
}

/// A conversation with everything around it modelled; [`Self::run_until`] moves it on. What is
/// around it can be read and changed through the rig.
#[derive(Debug)]
pub struct Rig<S = Scripted> {
    /// The conversation.
    pub conversation: Conversation,
    /// Every action so far, with its time in ms since the start.
    pub actions: Vec<(u64, Action)>,
    around: S,
    origin: Instant,
    now: Instant,
    due: Vec<(Instant, u64, Event)>,
    order: u64,
    plan: Plan,
    cancelled_requests: Vec<RequestId>,
    cancelled_jobs: Vec<JobId>,
    cancelled_runs: Vec<ToolRunId>,
    started: bool,
    finished: Option<EndReason>,
}

impl<S> Deref for Rig<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.around
    }
}

impl<S> DerefMut for Rig<S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.around
    }
}

/// Surroundings that follow a script: a leg without a wire, providers with set delays.
#[derive(Debug)]
pub struct Scripted {
    /// What the caller does.
    pub caller: CallerScript,
    /// How providers behave.
    pub behaviour: Behaviour,
    /// The model.
    pub model: ScriptedModel,
    /// The leg.
    pub playout: PlayoutModel,
    position: SamplePosition,
    session: SttSession,
    utterance: Option<Utterance>,
}

/// An agent that waits for the caller.
#[must_use]
pub fn agent() -> AgentProfile {
    AgentProfile {
        first_message: None,
        model_opens: false,
        system_prompt: "Be helpful.".to_owned(),
        language: "en-US".to_owned(),
        voice: String::new(),
        speed: 1.0,
        time_zone: "UTC".to_owned(),
        tools: Vec::new(),
        call_duration_max: Duration::from_secs(1200),
        silence_prompt_after: Duration::from_secs(10),
        silence_prompts_max: 2,
    }
}

impl Rig<Scripted> {
    /// A call that has just been answered at `origin`.
    #[must_use]
    pub fn new(
        origin: Instant,
        agent: AgentProfile,
        caller: CallerScript,
        replies: impl IntoIterator<Item = Reply>,
    ) -> Self {
        let around = Scripted {
            caller,
            behaviour: Behaviour::default(),
            model: ScriptedModel::new(replies),
            playout: PlayoutModel::default(),
            position: SamplePosition(0),
            session: SttSession::default(),
            utterance: None,
        };
        // Scripted replies come one after another: none is to be used up by an answer that is
        // prepared in vain.
        let config = ConversationConfig {
            speculations_max: 0,
            ..ConversationConfig::default()
        };
        let conversation = Conversation::new(agent, config);
        Self::around(origin, conversation, around)
    }

    /// What the model was asked last.
    #[must_use]
    pub fn last_asked(&self) -> Vec<Message> {
        self.model.asked().pop().unwrap_or_default()
    }
}

impl<S: Surroundings> Rig<S> {
    /// `conversation`, not yet started, in these surroundings.
    #[must_use]
    pub const fn around(origin: Instant, conversation: Conversation, around: S) -> Self {
        Self {
            conversation,
            actions: Vec::new(),
            around,
            origin,
            now: origin,
            due: Vec::new(),
            order: 0,
            plan: Vec::new(),
            cancelled_requests: Vec::new(),
            cancelled_jobs: Vec::new(),
            cancelled_runs: Vec::new(),
            started: false,
            finished: None,
        }
    }

    /// Runs until the call has lasted `ms`, or is over.
    pub fn run_until(&mut self, ms: u64) -> &mut Self {
        if !std::mem::replace(&mut self.started, true) {
            self.feed(Event::Started);
        }
        while self.elapsed_ms() < ms && self.finished.is_none() {
            self.tick();
        }
        self
    }

    /// Tells the conversation something, now.
    pub fn feed(&mut self, event: Event) {
        self.conversation.handle(self.now, event);
        while let Some(action) = self.conversation.poll_action() {
            if S::KEEPS_AUDIO || !matches!(action, Action::Stt(SttCommand::Audio(_))) {
                self.actions.push((self.elapsed_ms(), action.clone()));
            }
            match &action {
                Action::CancelRespond { request } => self.cancelled_requests.push(*request),
                Action::CancelSynthesis { job } => self.cancelled_jobs.push(*job),
                Action::CancelTool { run } => self.cancelled_runs.push(*run),
                Action::Finished(reason) => self.finished = Some(*reason),
                _ => {}
            }
            self.around.perform(action, self.now, &mut self.plan);
            for (after, event) in std::mem::take(&mut self.plan) {
                self.later(after, event);
            }
        }
    }

    /// Plans an event.
    pub fn later(&mut self, after: Duration, event: Event) {
        self.order += 1;
        self.due.push((self.now + after, self.order, event));
    }

    fn tick(&mut self) {
        let end = self.now + Duration::from_millis(FRAME_MS.into());
        loop {
            let planned = self.due.iter().map(|(at, order, _)| (*at, *order)).min();
            let timeout = self.conversation.poll_timeout();
            match (planned, timeout) {
                (Some((at, order)), timeout) if at <= end && timeout.is_none_or(|t| at <= t) => {
                    let index = self.due.iter().position(|(_, o, _)| *o == order);
                    let (_, _, event) = self.due.swap_remove(index.unwrap_or_default());
                    self.now = self.now.max(at);
                    if !self.is_cancelled(&event) {
                        self.feed(event);
                    }
                }
                (_, Some(at)) if at <= end => {
                    self.now = self.now.max(at);
                    self.feed(Event::Timeout);
                }
                _ => break,
            }
        }
        self.now = end;
        let mut events = Vec::new();
        self.around.tick(self.now, &mut events);
        for event in events {
            self.feed(event);
        }
    }

    fn is_cancelled(&self, event: &Event) -> bool {
        match event {
            Event::Llm { request, .. } => self.cancelled_requests.contains(request),
            Event::Tts { job, .. } => self.cancelled_jobs.contains(job),
            Event::ToolDone { run, .. } | Event::TransferDone { run, .. } => {
                self.cancelled_runs.contains(run)
            }
            _ => false,
        }
    }

    /// Time since the call was answered.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        self.now.duration_since(self.origin).as_millis() as u64
    }

    /// The present instant.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Why the call ended, once it has.
    #[must_use]
    pub const fn finished(&self) -> Option<EndReason> {
        self.finished
    }

    /// Events reported, in order.
    pub fn events(&self) -> impl Iterator<Item = &CallEvent> {
        self.actions.iter().filter_map(|(_, action)| match action {
            Action::Emit(event) => Some(event),
            _ => None,
        })
    }

    /// The transcript.
    #[must_use]
    pub fn turns(&self) -> Vec<TranscriptTurn> {
        self.events()
            .filter_map(|event| match event {
                CallEvent::Turn(turn) => Some(turn.clone()),
                _ => None,
            })
            .collect()
    }

    /// The transcript in short: `c:` or `a:` and the text, with `|` behind what was cut.
    #[must_use]
    pub fn transcript(&self) -> Vec<String> {
        self.turns()
            .into_iter()
            .map(|turn| {
                let who = match turn.speaker {
                    crate::call::Speaker::Caller => "c",
                    crate::call::Speaker::Agent => "a",
                };
                let cut = if turn.interrupted { "|" } else { "" };
                format!("{who}: {}{cut}", turn.text)
            })
            .collect()
    }

    /// Names of the actions, in order, without audio and reports.
    #[must_use]
    pub fn steps(&self) -> VecDeque<(u64, String)> {
        self.actions
            .iter()
            .filter_map(|(at, action)| step(action).map(|name| (*at, name.to_owned())))
            .collect()
    }
}

impl Surroundings for Scripted {
    fn perform(&mut self, action: Action, now: Instant, plan: &mut Plan) {
        match action {
            Action::OpenStt { session, .. } => {
                self.session = session;
                self.utterance = None;
                plan.push((Duration::from_millis(20), Event::SttOpened { session }));
            }
            Action::Stt(command) => self.listen(command, plan),
            Action::Respond { request, history } => {
                let reply = self.model.reply_to(&history);
                let after = self.behaviour.first_token;
                let events = reply.into_events().into_iter();
                plan.extend(events.map(|event| (after, Event::Llm { request, event })));
            }
            Action::Synthesize { job, request } => {
                let events = [
                    TtsEvent::Words(timings_of(&request.text)),
                    TtsEvent::Audio(speech_of(&request.text)),
                    TtsEvent::Done,
                ];
                let after = self.behaviour.first_audio;
                plan.extend(events.map(|event| (after, Event::Tts { job, event })));
            }
            Action::RunTool { run, .. } => {
                let result = self.behaviour.tool_result.clone();
                plan.push((self.behaviour.tool_takes, Event::ToolDone { run, result }));
            }
            Action::Transfer { run, .. } => {
                let result = self.behaviour.transfer;
                plan.push((
                    self.behaviour.tool_takes,
                    Event::TransferDone { run, result },
                ));
            }
            Action::Leg(command) => {
                let mut events = Vec::new();
                self.playout.command(command, now, &mut events);
                // A leg answers at its next tick.
                let after = Duration::from_millis(10);
                plan.extend(events.into_iter().map(|event| (after, Event::Leg(event))));
            }
            Action::CancelRespond { .. }
            | Action::CancelSynthesis { .. }
            | Action::CancelTool { .. }
            | Action::Emit(_)
            | Action::Finished(_) => {}
        }
    }

    fn tick(&mut self, now: Instant, events: &mut Vec<Event>) {
        let mut reports = Vec::new();
        self.playout.tick(self.position, now, &mut reports);
        let frame = caller_frame(&self.caller.said, self.position, now);
        let ms = self.position.as_ms();
        for &(at, key) in &self.caller.keys {
            if (ms..ms + u64::from(FRAME_MS)).contains(&at) {
                reports.push(LegEvent::Digit {
                    key,
                    duration: None,
                    position: self.position,
                });
            }
        }
        if self.caller.hangs_up_at.is_some_and(|at| ms >= at) {
            self.playout
                .close(media::leg::LegEnd::RemoteEnded, &mut reports);
        }
        self.position = self.position.plus(FRAME_SAMPLES as u64);
        events.extend(reports.into_iter().map(Event::Leg));
        events.push(Event::Frame(frame));
    }
}

impl Scripted {
    fn listen(&mut self, command: SttCommand, plan: &mut Plan) {
        let session = self.session;
        match command {
            SttCommand::Start {
                utterance,
                position,
            } => {
                self.utterance = Some(Utterance {
                    id: utterance,
                    from: position,
                    until: position,
                    partial: String::new(),
                });
            }
            SttCommand::Audio(frame) => {
                let said = &self.caller.said;
                let Some(utterance) = &mut self.utterance else {
                    return;
                };
                utterance.until = frame.end();
                let text = heard_between(said, utterance.from.as_ms(), utterance.until.as_ms());
                let (Some(after), false) =
                    (self.behaviour.partial_after, text == utterance.partial)
                else {
                    return;
                };
                utterance.partial.clone_from(&text);
                let utterance = utterance.id;
                let event = SttEvent::Partial { utterance, text };
                plan.push((after, Event::Stt { session, event }));
            }
            SttCommand::Finish { .. } => {
                let Some(utterance) = self.utterance.take() else {
                    return;
                };
                let (from, until) = (utterance.from.as_ms(), utterance.until.as_ms());
                let event = SttEvent::Final {
                    utterance: utterance.id,
                    text: heard_between(&self.caller.said, from, until),
                    confidence: None,
                    words: Vec::new(),
                };
                if !self.behaviour.stt_mute {
                    let after = self.behaviour.final_after;
                    plan.push((after, Event::Stt { session, event }));
                }
            }
            SttCommand::Cancel { .. } => self.utterance = None,
            SttCommand::Hints(_) => {}
        }
    }
}

fn step(action: &Action) -> Option<&'static str> {
    Some(match action {
        Action::Leg(LegCommand::Gain { decibel, .. }) if *decibel < 0.0 => "duck",
        Action::Leg(LegCommand::Gain { .. }) => "gain back",
        Action::Leg(LegCommand::Clear { .. }) => "clear",
        Action::Leg(LegCommand::Close) => "close",
        Action::CancelSynthesis { .. } => "cancel tts",
        Action::CancelRespond { .. } => "cancel llm",
        Action::CancelTool { .. } => "cancel tool",
        Action::RunTool { .. } => "run tool",
        Action::Transfer { .. } => "transfer",
        Action::Respond { .. } => "respond",
        Action::Emit(CallEvent::Turn(turn)) => match turn.speaker {
            crate::call::Speaker::Caller => "caller turn",
            crate::call::Speaker::Agent => "agent turn",
        },
        Action::Finished(_) => "finished",
        _ => return None,
    })
}
