//! The conversation's state: what it knows, and how it moves.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use media::frame::{Frame, SamplePosition};
use media::leg::{Generation, LegCommand, LegEvent, LegStatistics, SegmentId};

use super::action::Action;
use super::answer::{Answer, ToolStage};
use super::caller_turn::{CallerTurn, KeyEntry, Provisional, Speculation, Stage};
use super::config::ConversationConfig;
use super::event::{Event, JobId, RequestId, SttSession, ToolRunId};
use super::history::History;
use super::interruption::{Breath, Floor};
use super::phrases::Phrases;
use crate::call::{AgentProfile, CallEvent, CallOrder, EndReason};
use crate::stt::{RecognitionHints, SttCommand, UtteranceId};
use crate::turn::detector::TurnDetector;
use crate::turn::foreground::Foreground;
use crate::turn::lexicon::Lexicon;
use crate::turn::silence::SilenceDetector;
use crate::turn::speech_segmenter::SpeechSegmenter;
use std::sync::Arc;

/// Deadlines handled in one go; more would mean that one does not go away.
const DEADLINES_AT_ONCE: usize = 32;

/// How far the call has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Waiting,
    Live,
    /// The leg was told to close.
    Ending {
        reason: EndReason,
        due: Instant,
    },
    Ended,
}

/// The recogniser as the conversation sees it.
#[derive(Clone, Debug)]
pub(super) struct Recogniser {
    pub(super) session: SttSession,
    pub(super) open: bool,
    /// Failures since the last final text.
    pub(super) failures: u32,
    pub(super) reopen_at: Option<Instant>,
    /// Running estimate of `Finish` to final text.
    pub(super) delay: Duration,
    /// Partial texts have come in this call.
    pub(super) gives_partials: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deadline {
    CloseLeg,
    ClearLeg,
    Resume,
    Backstop,
    Keys,
    Model,
    Voice,
    Tool,
    Playout,
    ReopenStt,
    Silence,
    Warning,
    DurationLimit,
    Farewell,
    CreditLow,
    CreditGone,
}

/// The talk between one caller and one agent. Sans-IO: it is told what happens and when, and
/// says what is to be done; one event's actions are drained before the next event.
#[derive(Debug)]
pub struct Conversation {
    pub(super) config: ConversationConfig,
    pub(super) agent: AgentProfile,
    pub(super) lexicon: Lexicon,
    pub(super) phrases: Phrases,
    pub(super) actions: VecDeque<Action>,
    pub(super) phase: Phase,
    pub(super) started_at: Option<Instant>,

    pub(super) foreground: Foreground,
    pub(super) segmenter: SpeechSegmenter,
    pub(super) detector: Box<dyn TurnDetector>,
    /// The latest frames, for pre-roll and replay.
    pub(super) recent: VecDeque<Frame>,
    /// Just behind the latest frame.
    pub(super) clock: SamplePosition,
    pub(super) frame_at: Option<Instant>,
    /// Just behind the latest frame that belongs to an utterance.
    pub(super) transcribed_until: SamplePosition,
    pub(super) stt: Recogniser,
    pub(super) hints: Arc<RecognitionHints>,
    pub(super) caller: Option<CallerTurn>,
    /// An acknowledgement that becomes an answer if the agent ends soon.
    pub(super) parked: Option<CallerTurn>,
    pub(super) provisional: Option<Provisional>,
    /// The answer at hand was asked for before the turn was taken.
    pub(super) speculation: Option<Speculation>,
    /// Answers prepared in vain in this turn.
    pub(super) speculations: u32,
    pub(super) keys: Option<KeyEntry>,

    pub(super) answer: Option<Answer>,
    pub(super) floor: Floor,
    pub(super) breath: Breath,
    pub(super) gain: f32,
    pub(super) generation: Generation,
    pub(super) history: History,
    pub(super) next_utterance: UtteranceId,
    pub(super) next_request: RequestId,
    pub(super) next_job: JobId,
    pub(super) next_segment: SegmentId,
    pub(super) next_run: ToolRunId,

    pub(super) quiet_since: Option<Instant>,
    pub(super) silences: u32,
    pub(super) warned: bool,
    pub(super) warning_pending: bool,
    pub(super) limit_reached: bool,
    pub(super) farewell_due: Option<Instant>,
    /// The call is paid up to then; for as long as it likes when `None`.
    pub(super) funded_until: Option<Instant>,
    pub(super) credit_goodbye_said: bool,
    pub(super) model_refused: bool,
    pub(super) reported: &'static str,
    pub(super) statistics: LegStatistics,
}

impl Conversation {
    /// A conversation that waits for [`Event::Started`], judging turns by silence.
    #[must_use]
    pub fn new(agent: AgentProfile, config: ConversationConfig) -> Self {
        let detector = SilenceDetector::new(config.pauses, Lexicon::of(&agent.language));
        Self::with_detector(agent, config, Box::new(detector))
    }

    /// A conversation with another judge of turns.
    #[must_use]
    pub fn with_detector(
        agent: AgentProfile,
        config: ConversationConfig,
        detector: Box<dyn TurnDetector>,
    ) -> Self {
        Self {
            lexicon: Lexicon::of(&agent.language),
            phrases: Phrases::of(&agent.language),
            actions: VecDeque::new(),
            phase: Phase::Waiting,
            started_at: None,
            foreground: Foreground::default(),
            segmenter: SpeechSegmenter::new(config.segmenter),
            detector,
            recent: VecDeque::new(),
            clock: SamplePosition(0),
            frame_at: None,
            transcribed_until: SamplePosition(0),
            stt: Recogniser {
                session: SttSession(0),
                open: false,
                failures: 0,
                reopen_at: None,
                delay: Duration::from_millis(200),
                gives_partials: false,
            },
            hints: Arc::default(),
            caller: None,
            parked: None,
            provisional: None,
            speculation: None,
            speculations: 0,
            keys: None,
            answer: None,
            floor: Floor::Settled,
            breath: Breath::Flowing,
            gain: 0.0,
            generation: Generation(0),
            history: History::default(),
            next_utterance: UtteranceId(0),
            next_request: RequestId(0),
            next_job: JobId(0),
            next_segment: SegmentId(0),
            next_run: ToolRunId(0),
            quiet_since: None,
            silences: 0,
            warned: false,
            warning_pending: false,
            limit_reached: false,
            farewell_due: None,
            funded_until: None,
            credit_goodbye_said: false,
            model_refused: false,
            reported: "",
            statistics: LegStatistics::default(),
            config,
            agent,
        }
    }

    /// Takes what has happened. Then drain [`Self::poll_action`].
    pub fn handle(&mut self, now: Instant, event: Event) {
        match self.phase {
            Phase::Ended => return,
            Phase::Ending { .. } => self.handle_ending(now, event),
            Phase::Waiting | Phase::Live => self.handle_live(now, event),
        }
        for _ in 0..DEADLINES_AT_ONCE {
            match self.next_deadline() {
                Some((due, deadline)) if due <= now => self.expire(deadline, now),
                _ => break,
            }
        }
        if self.phase == Phase::Live {
            self.settle(now);
        }
        self.report_state();
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Event::Timeout`] is due at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_deadline().map(|(due, _)| due)
    }

    /// What was really said so far.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// `listening`, `thinking`, `speaking`, `tool` or `ended`.
    #[must_use]
    pub fn state(&self) -> &'static str {
        if matches!(self.phase, Phase::Ending { .. } | Phase::Ended) {
            return "ended";
        }
        match &self.answer {
            None => "listening",
            Some(_) if self.speculation.is_some() => "listening",
            Some(answer) if answer.has_floor() => "speaking",
            Some(answer) if answer.awaits_tools() => "tool",
            Some(_) => "thinking",
        }
    }

    fn handle_live(&mut self, now: Instant, event: Event) {
        match event {
            Event::Started => self.start(now),
            Event::Frame(frame) => self.hear(&frame, now),
            Event::Leg(event) => self.handle_leg(event, now),
            Event::LegGone => self.finish(EndReason::CallerHungUp, None, now),
            Event::SttOpened { session } => self.stt_opened(session),
            Event::Stt { session, event } => self.handle_stt(session, event, now),
            Event::Llm { request, event } => self.handle_llm(request, event, now),
            Event::LlmRefused { message } => self.model_is_refused(message, now),
            Event::Tts { job, event } => self.handle_tts(job, event, now),
            Event::ToolDone { run, result } => self.tool_done(run, result, now),
            Event::TransferDone { run, result } => self.transfer_done(run, result, now),
            Event::Order(CallOrder::RemoteHungUp) => self.end(EndReason::CallerHungUp, now),
            Event::Order(CallOrder::HangUp(reason)) => self.end(reason, now),
            Event::Order(CallOrder::FundedUntil(until)) => self.fund(until),
            Event::Timeout => {}
        }
    }

    fn handle_leg(&mut self, event: LegEvent, now: Instant) {
        match event {
            LegEvent::Playing {
                segment,
                position,
                at,
            } => self.segment_playing(segment, position, at, now),
            LegEvent::Played { segment, position } => self.segment_played(segment, position, now),
            LegEvent::Cleared {
                generation, heard, ..
            } if generation == self.generation => self.gate_is_closed(Some(heard), now),
            LegEvent::Digit { key, position, .. } => self.key_pressed(key, position, now),
            LegEvent::Statistics(statistics) => self.statistics = statistics,
            LegEvent::Closed {
                end,
                heard,
                statistics,
            } => {
                self.statistics = statistics;
                self.finish(super::ending::reason_of(end), Some(heard), now);
            }
            _ => {}
        }
    }

    /// Moves on whatever can move.
    fn settle(&mut self, now: Instant) {
        self.consider_floor(now);
        self.consider_gate(now);
        self.consider_turn(now);
        self.advance_answer(now);
        // An answer that has just ended may have been all that a turn waited for.
        self.consider_turn(now);
        self.consider_idle(now);
        self.advance_answer(now);
    }

    fn next_deadline(&self) -> Option<(Instant, Deadline)> {
        let config = &self.config;
        let answer = self.answer.as_ref();
        let mut first: Option<(Instant, Deadline)> = None;
        let mut offer = |due: Option<Instant>, deadline| {
            if let Some(due) = due
                && first.is_none_or(|(earliest, _)| due < earliest)
            {
                first = Some((due, deadline));
            }
        };
        match self.phase {
            Phase::Ending { due, .. } => return Some((due, Deadline::CloseLeg)),
            Phase::Waiting | Phase::Ended => return None,
            Phase::Live => {}
        }
        if let Floor::Clearing { since } = self.floor {
            offer(Some(since + config.clear_max), Deadline::ClearLeg);
        }
        offer(self.resume_due(), Deadline::Resume);
        offer(self.backstop_due(), Deadline::Backstop);
        let keys = self.keys.as_ref().filter(|k| !k.complete);
        offer(keys.map(|k| k.last_at + config.key_idle), Deadline::Keys);
        offer(self.stt.reopen_at, Deadline::ReopenStt);
        offer(self.silence_due(), Deadline::Silence);
        offer(self.farewell_due, Deadline::Farewell);
        if let Some(until) = self.funded_until {
            offer(Some(until), Deadline::CreditGone);
            if !self.credit_goodbye_said {
                let goodbye = until.checked_sub(config.credit_goodbye);
                offer(goodbye.or(Some(until)), Deadline::CreditLow);
            }
        }
        if let Some(answer) = answer {
            offer(answer.request.map(|r| r.due), Deadline::Model);
            offer(answer.jobs.iter().map(|j| j.due).min(), Deadline::Voice);
            let tools = answer.tools.iter().filter_map(|t| match t.stage {
                ToolStage::Running { due, .. } | ToolStage::Transferring { due, .. } => Some(due),
                _ => None,
            });
            offer(tools.min(), Deadline::Tool);
            if self.floor == Floor::Settled && answer.playout.handed_over() {
                let due = answer.playout_at + answer.playout.unplayed() + config.playout_slack;
                offer(Some(due), Deadline::Playout);
            }
        }
        if let Some(started) = self.started_at
            && !self.agent.call_duration_max.is_zero()
            && !self.limit_reached
        {
            let limit = started + self.agent.call_duration_max;
            offer(Some(limit), Deadline::DurationLimit);
            if !self.warned && self.agent.call_duration_max > config.warning_before_end * 2 {
                offer(Some(limit - config.warning_before_end), Deadline::Warning);
            }
        }
        first
    }

    fn expire(&mut self, deadline: Deadline, now: Instant) {
        match deadline {
            Deadline::CloseLeg => self.finish(EndReason::InternalError, None, now),
            Deadline::ClearLeg => self.gate_is_closed(None, now),
            Deadline::Resume => self.resume_speech(now),
            Deadline::Backstop => self.force_turn(now),
            Deadline::Keys => {
                if let Some(keys) = &mut self.keys {
                    keys.complete = true;
                }
            }
            Deadline::Model => self.model_is_late(now),
            Deadline::Voice => self.voice_is_late(now),
            Deadline::Tool => self.tool_is_late(now),
            Deadline::Playout => {
                if let Some(answer) = &mut self.answer {
                    answer.playout.assume_played();
                    answer.playout_at = now;
                }
            }
            Deadline::ReopenStt => self.open_stt(),
            Deadline::Silence => self.caller_is_silent(now),
            Deadline::Warning => {
                self.warned = true;
                self.warning_pending = true;
            }
            Deadline::DurationLimit => self.duration_limit(now),
            Deadline::CreditLow => self.credit_is_low(now),
            Deadline::CreditGone => self.end(EndReason::CreditExhausted, now),
            Deadline::Farewell => {
                let reason = self.farewell_reason();
                self.farewell_due = None;
                self.end(reason, now);
            }
        }
    }

    pub(super) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(super) fn emit(&mut self, event: CallEvent) {
        self.actions.push_back(Action::Emit(event));
    }

    pub(super) fn leg(&mut self, command: LegCommand) {
        self.actions.push_back(Action::Leg(command));
    }

    pub(super) fn stt_command(&mut self, command: SttCommand) {
        if self.stt.open {
            self.actions.push_back(Action::Stt(command));
        }
    }

    fn report_state(&mut self) {
        let state = self.state();
        if state != self.reported && self.phase != Phase::Waiting && self.phase != Phase::Ended {
            self.reported = state;
            self.emit(CallEvent::State {
                state: state.to_owned(),
            });
        }
    }

    /// When the turn is committed whatever is missing.
    fn backstop_due(&self) -> Option<Instant> {
        let turn = self.caller.as_ref()?;
        let speaking = self.segmenter.in_speech();
        let stuck = turn.pieces.iter().any(|p| p.stage != Stage::Done);
        if speaking {
            return stuck.then(|| turn.began_at + self.config.monologue_max);
        }
        stuck.then(|| turn.end_at + self.config.backstop)
    }
}
