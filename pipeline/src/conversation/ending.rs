//! The call's beginning and end, and what happens when nobody speaks or a provider fails.

use std::time::Instant;

use media::leg::{Heard, LegCommand, LegEnd, LegEvent};

use super::action::Action;
use super::answer::{Then, ToolStage, Trigger};
use super::event::Event;
use super::interruption::Floor;
use super::state::{Conversation, Phase};
use crate::call::{CallEvent, CallOrder, EndReason};
use crate::llm::Message;

/// Why a call ended whose leg ended first.
pub(super) const fn reason_of(end: LegEnd) -> EndReason {
    match end {
        LegEnd::Closed | LegEnd::RemoteEnded => EndReason::CallerHungUp,
        LegEnd::MediaTimeout => EndReason::MediaTimeout,
        LegEnd::Failed => EndReason::InternalError,
        _ => EndReason::InternalError,
    }
}

impl Conversation {
    pub(super) fn start(&mut self, now: Instant) {
        if self.phase != Phase::Waiting {
            return;
        }
        self.phase = Phase::Live;
        self.started_at = Some(now);
        self.open_stt();
        if let Some(text) = self
            .agent
            .first_message
            .clone()
            .filter(|t| !t.trim().is_empty())
        {
            self.announce(&text, Trigger::Opening, Then::Listen, now);
        } else if self.agent.model_opens {
            self.begin_answer(Trigger::Opening, now);
            self.ask_model(now);
        }
    }

    /// Nobody speaks and nothing is due: the silence ladder runs, and a pending warning is given.
    pub(super) fn consider_idle(&mut self, now: Instant) {
        let idle = self.phase == Phase::Live
            && self.answer.is_none()
            && self.caller.is_none()
            && self.keys.is_none();
        if !idle {
            self.quiet_since = None;
            return;
        }
        self.quiet_since.get_or_insert(now);
        if self.warning_pending {
            self.warning_pending = false;
            let phrases = self.phrases;
            self.announce(phrases.warning, Trigger::Notice, Then::Listen, now);
        }
    }

    pub(super) fn silence_due(&self) -> Option<Instant> {
        let wait = self.agent.silence_prompt_after;
        self.quiet_since
            .filter(|_| !wait.is_zero())
            .map(|since| since + wait)
    }

    pub(super) fn caller_is_silent(&mut self, now: Instant) {
        let stalled = self
            .frame_at
            .is_none_or(|at| now.saturating_duration_since(at) > self.config.stall_max);
        if stalled {
            // What the caller does cannot be known while no audio comes.
            self.quiet_since = Some(now);
            return;
        }
        self.quiet_since = None;
        self.silences += 1;
        if self.silences > self.agent.silence_prompts_max {
            let phrases = self.phrases;
            return self.farewell(phrases.goodbye_silent, EndReason::CallerSilent, now);
        }
        let entry = self.history.push(Message::Silence {
            count: self.silences,
        });
        self.begin_answer(Trigger::Silence(entry), now);
        self.ask_model(now);
    }

    pub(super) fn duration_limit(&mut self, now: Instant) {
        self.limit_reached = true;
        let phrases = self.phrases;
        self.farewell(phrases.goodbye_limit, EndReason::DurationLimit, now);
    }

    /// The call is paid up to `until`.
    pub(super) fn fund(&mut self, until: Instant) {
        self.funded_until = Some(until);
    }

    /// No more was paid in time: says goodbye.
    pub(super) fn credit_is_low(&mut self, now: Instant) {
        self.credit_goodbye_said = true;
        let phrases = self.phrases;
        self.farewell(phrases.goodbye_credit, EndReason::CreditExhausted, now);
    }

    /// A provider is lost: says so, if the voice works, and ends the call.
    pub(super) fn fail_call(&mut self, now: Instant) {
        let phrases = self.phrases;
        self.farewell(phrases.apology, EndReason::ProviderFailed, now);
    }

    pub(super) fn voice_is_lost(&mut self, now: Instant) {
        let reason = match self.answer.as_ref().map(|a| a.then) {
            Some(Then::HangUp(reason)) => reason,
            _ => EndReason::ProviderFailed,
        };
        let due = now + self.config.farewell_max;
        let Some(mut answer) = self.answer.take() else {
            return;
        };
        self.drop_generation(&mut answer);
        for tool in &mut answer.tools {
            if matches!(
                tool.stage,
                ToolStage::Running { .. } | ToolStage::Transferring { .. }
            ) {
                self.actions.push_back(Action::CancelTool { run: tool.run });
            }
            if !matches!(tool.stage, ToolStage::Done { .. }) {
                tool.stage = ToolStage::Done {
                    content: "cancelled: the call ends".to_owned(),
                    is_error: true,
                };
            }
        }
        answer.playout.drop_unspoken();
        answer.then = Then::HangUp(reason);
        self.answer = Some(answer);
        self.farewell_due = Some(due);
    }

    /// Says a last sentence and hangs up; the caller cannot take the floor from it.
    fn farewell(&mut self, text: &str, reason: EndReason, now: Instant) {
        if self.farewell_due.is_some() {
            return;
        }
        self.drop_speculation();
        if self.answer.is_some() {
            if self
                .answer
                .as_ref()
                .is_some_and(|a| a.playout.handed_over())
            {
                self.close_gate();
            }
            self.record_present(None, now);
        }
        self.floor = Floor::Settled;
        self.duck(0.0);
        self.commit_remains();
        self.farewell_due = Some(now + self.config.farewell_max);
        self.announce(text, Trigger::Notice, Then::HangUp(reason), now);
    }

    /// Ends the call: the leg is closed, and what it says was heard completes the record.
    pub(super) fn end(&mut self, reason: EndReason, now: Instant) {
        if !matches!(self.phase, Phase::Live | Phase::Waiting) {
            return;
        }
        self.phase = Phase::Ending {
            reason,
            due: now + self.config.close_max,
        };
        self.leg(LegCommand::Close);
        self.drop_speculation();
        if let Some(mut answer) = self.answer.take() {
            self.drop_generation(&mut answer);
            self.answer = Some(answer);
        }
    }

    pub(super) fn handle_ending(&mut self, now: Instant, event: Event) {
        let Phase::Ending { reason, .. } = self.phase else {
            return;
        };
        match event {
            Event::Leg(LegEvent::Closed {
                heard, statistics, ..
            }) => {
                self.statistics = statistics;
                self.finish(reason, Some(heard), now);
            }
            Event::LegGone => self.finish(reason, None, now),
            Event::Leg(LegEvent::Played { segment, position }) => {
                self.segment_played(segment, position, now);
            }
            Event::Order(CallOrder::RemoteHungUp | CallOrder::HangUp(_)) => {}
            _ => {}
        }
    }

    /// Closes the record. `heard` is the leg's last word, if it gave one.
    pub(super) fn finish(&mut self, reason: EndReason, heard: Option<Option<Heard>>, now: Instant) {
        let reason = match self.phase {
            Phase::Ended => return,
            Phase::Ending { reason, .. } => reason,
            Phase::Waiting | Phase::Live => reason,
        };
        self.drop_speculation();
        self.seal();
        self.record_present(heard, now);
        self.commit_remains();
        self.phase = Phase::Ended;
        self.emit(CallEvent::State {
            state: "ended".to_owned(),
        });
        self.emit(CallEvent::Ended {
            reason,
            statistics: self.statistics,
        });
        self.act(Action::Finished(reason));
    }

    /// Gives up the present answer, whatever its state, and records what was heard of it.
    fn record_present(&mut self, heard: Option<Option<Heard>>, now: Instant) {
        let Some(mut answer) = self.answer.take() else {
            return;
        };
        self.seal();
        self.drop_generation(&mut answer);
        for tool in &mut answer.tools {
            if matches!(
                tool.stage,
                ToolStage::Running { .. } | ToolStage::Transferring { .. }
            ) {
                self.actions.push_back(Action::CancelTool { run: tool.run });
            }
            if !matches!(tool.stage, ToolStage::Done { .. }) {
                tool.stage = ToolStage::Done {
                    content: "cancelled: the call ends".to_owned(),
                    is_error: true,
                };
            }
        }
        let upto = match (self.floor, heard) {
            (Floor::Held { upto, .. }, _) => upto,
            (_, Some(heard)) => answer.playout.locate(heard),
            (_, None) => answer.playout.estimate(now),
        };
        self.record_heard(&mut answer, upto);
    }
}
