//! Tools: the engine's own and those the runner knows.

use std::time::Instant;

use media::leg::{DigitString, LegCommand};
use serde_json::json;

use super::action::Action;
use super::answer::{Answer, Then, ToolStage, ToolUse};
use super::event::ToolRunId;
use super::state::Conversation;
use crate::call::{CallEvent, EndReason, TransferFailure};
use crate::llm::engine_tools::{END_CALL, SEND_DIGITS, TRANSFER_CALL};
use crate::llm::{Message, ToolCall};

impl Conversation {
    pub(super) fn tool_called(&mut self, call: ToolCall) {
        self.next_run.0 += 1;
        let run = self.next_run;
        let rounds_max = self.config.tool_rounds_max;
        let Some(answer) = &mut self.answer else {
            return;
        };
        if answer.rounds > rounds_max {
            // It was told to speak; what it says, if anything, is all that counts now.
            return;
        }
        answer.tools.push(ToolUse {
            run,
            call,
            stage: ToolStage::Held,
        });
    }

    /// Starts the tools that waited for the turn to be sure.
    pub(super) fn launch_held_tools(&mut self, now: Instant) {
        let held = |answer: &mut Answer| {
            !answer.gate_closed && answer.tools.iter().any(|t| t.stage == ToolStage::Held)
        };
        let Some(mut answer) = self.answer.take_if(held) else {
            return;
        };
        for at in 0..answer.tools.len() {
            if answer.tools[at].stage == ToolStage::Held {
                self.seal();
                let stage = self.launch(&mut answer, at, now);
                answer.tools[at].stage = stage;
            }
        }
        self.answer = Some(answer);
    }

    fn launch(&mut self, answer: &mut Answer, at: usize, now: Instant) -> ToolStage {
        let ToolUse { run, call, .. } = &answer.tools[at];
        if answer.rounds >= self.config.tool_rounds_max {
            return failed("too many tools in a row: speak to the caller now");
        }
        let argument = |name: &str| call.arguments.get(name).and_then(|v| v.as_str());
        match call.name.as_str() {
            END_CALL => {
                answer.then = Then::HangUp(EndReason::AgentHungUp);
                self.report_tool(answer, at, json!({"ok": true}), false, 0)
            }
            TRANSFER_CALL => match argument("target").map(str::trim).filter(|t| !t.is_empty()) {
                Some(target) => ToolStage::AwaitsPlayout {
                    target: target.to_owned(),
                },
                None => {
                    let result = failure_result(TransferFailure::InvalidTarget);
                    self.report_tool(answer, at, result, true, 0)
                }
            },
            SEND_DIGITS => {
                let digits = DigitString::new(argument("digits").unwrap_or_default());
                if digits.as_bytes().is_empty() {
                    let result = json!({"error": "no digits"});
                    return self.report_tool(answer, at, result, true, 0);
                }
                self.leg(LegCommand::SendDigits(digits));
                self.report_tool(answer, at, json!({"ok": true}), false, 0)
            }
            _ => {
                self.actions.push_back(Action::RunTool {
                    run: *run,
                    call: call.clone(),
                });
                ToolStage::Running {
                    due: now + self.config.tool_max,
                    since: now,
                }
            }
        }
    }

    fn report_tool(
        &mut self,
        answer: &Answer,
        at: usize,
        result: serde_json::Value,
        is_error: bool,
        duration_ms: u64,
    ) -> ToolStage {
        let call = &answer.tools[at].call;
        let content = match &result {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        self.emit(CallEvent::Tool {
            name: call.name.clone(),
            arguments: call.arguments.clone(),
            result,
            is_error,
            duration_ms,
        });
        ToolStage::Done { content, is_error }
    }

    pub(super) fn tool_done(
        &mut self,
        run: ToolRunId,
        result: Result<serde_json::Value, String>,
        now: Instant,
    ) {
        let (result, is_error) = match result {
            Ok(result) => (result, false),
            Err(message) => (json!({ "error": message }), true),
        };
        self.tool_over(run, result, is_error, now);
    }

    fn tool_over(
        &mut self,
        run: ToolRunId,
        result: serde_json::Value,
        is_error: bool,
        now: Instant,
    ) {
        let Some(mut answer) = self.answer.take() else {
            return;
        };
        if let Some(at) = answer.tools.iter().position(|t| t.run == run)
            && let ToolStage::Running { since, .. } | ToolStage::Transferring { since, .. } =
                answer.tools[at].stage
        {
            let ms = now.saturating_duration_since(since).as_millis() as u64;
            answer.tools[at].stage = self.report_tool(&answer, at, result, is_error, ms);
        }
        self.answer = Some(answer);
    }

    pub(super) fn transfer_done(
        &mut self,
        run: ToolRunId,
        result: Result<(), TransferFailure>,
        now: Instant,
    ) {
        let transferring = self
            .answer
            .iter()
            .flat_map(|a| &a.tools)
            .any(|t| t.run == run && matches!(t.stage, ToolStage::Transferring { .. }));
        if !transferring {
            return;
        }
        match result {
            Ok(()) => {
                self.tool_over(run, json!({"ok": true}), false, now);
                self.end(EndReason::Transferred, now);
            }
            Err(failure) => self.tool_over(run, failure_result(failure), true, now),
        }
    }

    pub(super) fn tool_is_late(&mut self, now: Instant) {
        let late: Vec<(ToolRunId, bool)> = self
            .answer
            .iter()
            .flat_map(|a| &a.tools)
            .filter_map(|t| match t.stage {
                ToolStage::Running { due, .. } if due <= now => Some((t.run, false)),
                ToolStage::Transferring { due, .. } if due <= now => Some((t.run, true)),
                _ => None,
            })
            .collect();
        for (run, is_transfer) in late {
            self.act(Action::CancelTool { run });
            let result = if is_transfer {
                failure_result(TransferFailure::TimedOut)
            } else {
                json!({"error": "the tool did not answer in time"})
            };
            self.tool_over(run, result, true, now);
        }
    }

    /// The model has asked for tools and is done: waits for them, then asks it again.
    pub(super) fn advance_tools(&mut self, now: Instant) {
        let Some(answer) = &mut self.answer else {
            return;
        };
        let spoken = answer.is_spoken();
        for tool in &mut answer.tools {
            if let ToolStage::AwaitsPlayout { target } = &tool.stage
                && spoken
            {
                let target = target.clone();
                tool.stage = ToolStage::Transferring {
                    due: now + self.config.transfer_max,
                    since: now,
                };
                self.actions.push_back(Action::Transfer {
                    run: tool.run,
                    target,
                });
            }
        }
        if answer.awaits_tools() {
            return;
        }
        if let Then::HangUp(_) = answer.then {
            if spoken {
                self.answer_is_over(now);
            }
            return;
        }
        let silent = !answer.has_floor();
        if silent && self.turn_is_over() {
            // The caller has said more meanwhile: that is answered together with the results.
            return self.answer_is_over(now);
        }
        self.next_round(now);
    }

    fn answer_is_over(&mut self, now: Instant) {
        let then = self.answer.as_ref().map(|a| a.then);
        if let Some(Then::HangUp(reason)) = then {
            self.abandon_answer();
            self.end(reason, now);
        } else {
            self.abandon_answer();
        }
    }

    fn next_round(&mut self, now: Instant) {
        let Some(mut answer) = self.answer.take() else {
            return;
        };
        // What is still to be played counts as heard, until an interruption corrects it.
        let text = answer.text_of_part();
        let entry = self.history.push(Message::Assistant {
            text,
            interrupted: false,
        });
        answer.told.push(entry);
        self.push_tool_messages(&mut answer);
        answer.next_part();
        self.answer = Some(answer);
        self.ask_model(now);
    }
}

impl Answer {
    /// Text of the present part, asked of the voice or not.
    fn text_of_part(&self) -> String {
        let mut text = self.playout.text(self.part);
        for chunk in &self.waiting {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(chunk);
        }
        text
    }
}

fn failed(message: &str) -> ToolStage {
    ToolStage::Done {
        content: message.to_owned(),
        is_error: true,
    }
}

fn failure_result(failure: TransferFailure) -> serde_json::Value {
    json!({ "error": failure })
}
