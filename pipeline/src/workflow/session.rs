//! A workflow as a language model: the history decides how far the dialogue has come.
//!
//! Every answer is computed from the state before it, and the state after it counts only once the
//! history shows that the answer was used: a tool call by its result, a question by having been
//! read or heard. A history that diverges from the one answered (a speculation that was dropped, a
//! turn that was merged with the next) takes the dialogue back to where both agree.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use tokio::sync::mpsc;

use crate::llm::{
    ExpectedAnswer, FaultReport, LanguageModel, LanguageModelSession, LlmEvent, LlmSessionRequest,
    Message,
};
use crate::provider_error::ProviderError;
use crate::workflow::check::Workflow;
use crate::workflow::machine::{Input, Machine, MachineFault, Output, State, Taken, Wait};

/// Tells the time; a test hands in a fixed one.
pub type WorkflowClock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Answers kept to go back to.
const SNAPSHOTS_MAX: usize = 32;

/// A workflow that answers calls; its name is `workflow:<id>`.
pub struct WorkflowModel {
    workflow: Arc<Workflow>,
    clock: WorkflowClock,
    name: String,
}

impl fmt::Debug for WorkflowModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkflowModel")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl WorkflowModel {
    /// A model that walks `workflow`, with dates and times counted from `clock`.
    #[must_use]
    pub fn new(workflow: Arc<Workflow>, clock: WorkflowClock) -> Self {
        Self {
            name: format!("workflow:{}", workflow.id()),
            workflow,
            clock,
        }
    }
}

#[async_trait]
impl LanguageModel for WorkflowModel {
    fn name(&self) -> &str {
        &self.name
    }

    async fn open(
        &self,
        request: LlmSessionRequest,
    ) -> Result<Box<dyn LanguageModelSession>, ProviderError> {
        let time_zone = match request.time_zone.as_str() {
            "" => Tz::UTC,
            name => name
                .parse()
                .map_err(|_| ProviderError::Rejected(format!("unknown time zone `{name}`")))?,
        };
        Ok(Box::new(WorkflowSession {
            machine: Machine {
                workflow: Arc::clone(&self.workflow),
                variables: request.variables,
                time_zone,
            },
            clock: Arc::clone(&self.clock),
            snapshots: Vec::new(),
            last: None,
        }))
    }
}

struct WorkflowSession {
    machine: Machine,
    clock: WorkflowClock,
    /// The states before the latest answers, oldest first.
    snapshots: Vec<Snapshot>,
    last: Option<Answer>,
}

struct Snapshot {
    /// How many inputs had been dealt with.
    consumed: usize,
    state: State,
}

/// The answer last begun.
struct Answer {
    /// All inputs of the history it answered.
    inputs: Vec<Input>,
    /// The state, if it was used.
    after: State,
    /// Whether it called a tool.
    calls: bool,
    /// Set once the reader has taken what to expect next.
    expectation_read: Arc<AtomicBool>,
}

/// One contribution in the history.
struct Turn {
    input: Input,
    /// Whether the caller had heard something of the answer before it.
    after_speech: bool,
}

/// Where to go on from, and with what.
struct Resumption {
    state: State,
    consumed: usize,
    inputs: Vec<Input>,
}

#[async_trait]
impl LanguageModelSession for WorkflowSession {
    async fn respond(&mut self, history: &[Message]) -> mpsc::Receiver<LlmEvent> {
        let now = (self.clock)().with_timezone(&self.machine.time_zone);
        let turns = turns(history);
        let resumption = self.resume(&turns, now);
        let before = resumption.state.clone();
        let expectation_read = Arc::new(AtomicBool::new(false));
        let events = match self.answer(resumption.state, &resumption.inputs, now) {
            Ok((after, outputs)) => {
                self.snapshots.truncate(
                    self.snapshots
                        .partition_point(|snapshot| snapshot.consumed <= resumption.consumed),
                );
                if self.snapshots.len() == SNAPSHOTS_MAX {
                    self.snapshots.remove(0);
                }
                self.snapshots.push(Snapshot {
                    consumed: resumption.consumed,
                    state: before,
                });
                let events = events(outputs);
                self.last = Some(Answer {
                    inputs: turns.into_iter().map(|turn| turn.input).collect(),
                    after,
                    calls: events.iter().any(|e| matches!(e, LlmEvent::ToolCall(_))),
                    expectation_read: Arc::clone(&expectation_read),
                });
                events
            }
            Err(fault) => vec![LlmEvent::Fault(FaultReport {
                retryable: false,
                message: fault.to_string(),
            })],
        };
        deliver(events, expectation_read)
    }
}

impl WorkflowSession {
    fn resume(&mut self, turns: &[Turn], now: DateTime<Tz>) -> Resumption {
        let Some(last) = &self.last else {
            return self.go_back(turns, 0);
        };
        let agreeing = last
            .inputs
            .iter()
            .zip(turns)
            .take_while(|(old, new)| **old == new.input)
            .count();
        let Some(new) = turns.get(last.inputs.len()) else {
            return self.go_back(turns, agreeing);
        };
        if agreeing < last.inputs.len() {
            return self.go_back(turns, agreeing);
        }
        let forward = || Resumption {
            state: last.after.clone(),
            consumed: agreeing,
            inputs: inputs(&turns[agreeing..]),
        };
        match &last.after.wait {
            Wait::Tool { id, .. } => {
                let answered =
                    matches!(&new.input, Input::ToolResult { id: given, .. } if given == id);
                if answered {
                    forward()
                } else {
                    self.instead(turns, agreeing)
                }
            }
            Wait::Ended | Wait::Opening => forward(),
            Wait::Answer(_) => {
                let heard = new.after_speech;
                let read = heard || last.expectation_read.load(Ordering::Acquire);
                let fits_after = self.machine.understands(&last.after, &new.input, now);
                if heard || (read && (fits_after || last.calls)) {
                    return forward();
                }
                if let Some(merged) = self.merged(turns, agreeing, now)
                    && read
                {
                    return merged;
                }
                let instead = self.instead(turns, agreeing);
                if !last.calls && self.understands_first(&instead, now) {
                    return instead;
                }
                if read || fits_after {
                    return forward();
                }
                // Nothing of the answer came through: it is given again, with what came since.
                self.go_back(turns, agreeing.saturating_sub(1))
            }
        }
    }

    fn understands_first(&self, resumption: &Resumption, now: DateTime<Tz>) -> bool {
        resumption
            .inputs
            .first()
            .is_some_and(|input| self.machine.understands(&resumption.state, input, now))
    }

    /// From the latest state both histories agree on.
    fn go_back(&mut self, turns: &[Turn], agreeing: usize) -> Resumption {
        let consumed_max = agreeing.min(turns.len().saturating_sub(1));
        let found = self
            .snapshots
            .iter()
            .rposition(|snapshot| snapshot.consumed <= consumed_max);
        match found.and_then(|index| self.snapshots.get(index)) {
            Some(snapshot) => Resumption {
                state: snapshot.state.clone(),
                consumed: snapshot.consumed,
                inputs: inputs(turns.get(snapshot.consumed..).unwrap_or_default()),
            },
            None => Resumption {
                state: State::new(),
                consumed: 0,
                inputs: inputs(turns),
            },
        }
    }

    /// The new words answer the earlier question instead of the words that were answered before,
    /// whose answer came to nothing.
    fn instead(&self, turns: &[Turn], agreeing: usize) -> Resumption {
        let new = inputs(&turns[agreeing..]);
        match self.snapshots.last() {
            Some(snapshot) if matches!(snapshot.state.wait, Wait::Answer(_)) => Resumption {
                state: snapshot.state.clone(),
                consumed: snapshot.consumed,
                inputs: new,
            },
            Some(snapshot) => Resumption {
                state: snapshot.state.clone(),
                consumed: snapshot.consumed,
                inputs: inputs(turns.get(snapshot.consumed..).unwrap_or_default()),
            },
            None => Resumption {
                state: State::new(),
                consumed: 0,
                inputs: inputs(turns),
            },
        }
    }

    /// The caller went on speaking before hearing anything: both pieces are one answer.
    fn merged(&self, turns: &[Turn], agreeing: usize, now: DateTime<Tz>) -> Option<Resumption> {
        let last = self.last.as_ref()?;
        let snapshot = self.snapshots.last()?;
        let (
            Some(Input::Said(first)),
            [
                Turn {
                    input: Input::Said(second),
                    ..
                },
            ],
        ) = (last.inputs.last(), &turns[agreeing..])
        else {
            return None;
        };
        let whole = Input::Said(format!("{first} {second}"));
        let fits = !last.calls && self.machine.understands(&snapshot.state, &whole, now);
        fits.then(|| Resumption {
            state: snapshot.state.clone(),
            consumed: snapshot.consumed,
            inputs: vec![whole],
        })
    }

    /// Takes the inputs one after the other. Of what an earlier one led to, questions are dropped
    /// when a later one answers them, and asked when it does not.
    fn answer(
        &self,
        mut state: State,
        inputs: &[Input],
        now: DateTime<Tz>,
    ) -> Result<(State, Vec<Output>), MachineFault> {
        if state.wait == Wait::Opening && !inputs.is_empty() {
            // The opening was somebody else's; the question it ends with is ours.
            let (outputs, _) = self.machine.step(&mut state, None, now)?;
            return self.go_on(state, outputs, inputs, now);
        }
        let Some((first, rest)) = inputs.split_first() else {
            let (outputs, _) = self.machine.step(&mut state, None, now)?;
            return Ok((state, outputs));
        };
        let (outputs, _) = self.machine.step(&mut state, Some(first), now)?;
        self.go_on(state, outputs, rest, now)
    }

    fn go_on(
        &self,
        mut state: State,
        mut outputs: Vec<Output>,
        inputs: &[Input],
        now: DateTime<Tz>,
    ) -> Result<(State, Vec<Output>), MachineFault> {
        for input in inputs {
            let mut next = state.clone();
            let (more, taken) = self.machine.step(&mut next, Some(input), now)?;
            if taken == Taken::Understood && !more.is_empty() {
                outputs.retain(|output| matches!(output, Output::Say(_)));
                outputs.extend(more);
                state = next;
            }
        }
        Ok((state, outputs))
    }
}

/// The contributions in a history; what the agent said is none.
fn turns(history: &[Message]) -> Vec<Turn> {
    let mut out = Vec::new();
    let mut after_speech = false;
    for message in history {
        let input = match message {
            Message::User { text, dtmf: true } => Input::Keys(text.clone()),
            Message::User { text, dtmf: false } => Input::Said(text.clone()),
            Message::Silence { .. } => Input::Silence,
            Message::ToolResult {
                id,
                content,
                is_error,
            } => Input::ToolResult {
                id: id.clone(),
                content: content.clone(),
                is_error: *is_error,
            },
            Message::Assistant { text, .. } => {
                after_speech |= !text.trim().is_empty();
                continue;
            }
            Message::System { .. } | Message::ToolCall(_) => continue,
        };
        out.push(Turn {
            input,
            after_speech,
        });
        after_speech = false;
    }
    out
}

fn inputs(turns: &[Turn]) -> Vec<Input> {
    turns.iter().map(|turn| turn.input.clone()).collect()
}

/// What to expect comes first, so that the recogniser is ready while the question is spoken.
fn events(outputs: Vec<Output>) -> Vec<LlmEvent> {
    let mut expectation = None;
    let mut texts = Vec::new();
    let mut calls = Vec::new();
    for output in outputs {
        match output {
            Output::Say(text) | Output::Question(text) => texts.push(text),
            Output::Expect(hints) => expectation = Some(LlmEvent::Expect(ExpectedAnswer(hints))),
            Output::Call(call) => calls.push(LlmEvent::ToolCall(call)),
        }
    }
    let mut out: Vec<LlmEvent> = expectation.into_iter().collect();
    let last = texts.len().saturating_sub(1);
    for (index, mut text) in texts.into_iter().enumerate() {
        if index < last {
            text.push(' ');
        }
        out.push(LlmEvent::Text(text));
    }
    out.extend(calls);
    out.push(LlmEvent::Done { usage: None });
    out
}

/// Hands the events over one by one, so that it shows which have been taken. The queue holds one
/// event and the sender waits; a dropped receiver ends it.
fn deliver(events: Vec<LlmEvent>, expectation_read: Arc<AtomicBool>) -> mpsc::Receiver<LlmEvent> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        for event in events {
            let is_expectation = matches!(event, LlmEvent::Expect(_));
            if sender.send(event).await.is_err() {
                return;
            }
            if is_expectation {
                // There is room again only when it has been taken.
                let Ok(_room) = sender.reserve().await else {
                    return;
                };
                expectation_read.store(true, Ordering::Release);
            }
        }
    });
    receiver
}
