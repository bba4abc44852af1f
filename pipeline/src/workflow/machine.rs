//! The dialogue's state machine: an input in, what is said and done out. It reads no clock and
//! keeps nothing but [`State`], so that an answer can be taken back by keeping the state before it.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Datelike, NaiveDate, Timelike};
use chrono_tz::Tz;
use serde_json::{Value, json};

use crate::llm::ToolCall;
use crate::llm::engine_tools::{END_CALL, TRANSFER_CALL};
use crate::stt::RecognitionHints;
use crate::workflow::RESUME;
use crate::workflow::answer::{AnswerContext, Understood};
use crate::workflow::calendar::speak_date;
use crate::workflow::check::{CONFIRMATION, HOURS, TOOL_ERROR, TRANSFER_FAILURE, Workflow};
use crate::workflow::clock_time::speak_time;
use crate::workflow::file::{AskNode, CommandAction, ConfirmNode, Node, Slot, ToolNode};
use crate::workflow::hours::TimeOfDay;
use crate::workflow::template::{Known, Style, fill, fill_json, written};

/// Most nodes walked through for one answer; more is a circle in the file.
const STEPS_MAX: usize = 100;

/// What the machine is waiting for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    /// The first request.
    Opening,
    /// The caller's answer to this node.
    Answer(String),
    /// The result of this call, made by this node.
    Tool {
        /// [`ToolCall::id`].
        id: String,
        /// Name of the node.
        node: String,
    },
    /// Nothing: the call has been ended or handed over.
    Ended,
}

/// Where the dialogue stands.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct State {
    /// What comes next.
    pub(crate) wait: Wait,
    known: BTreeMap<String, Known>,
    /// Failed tries at the present question.
    tries: u32,
    /// How often each node has spoken, to vary its words.
    spoken: BTreeMap<String, usize>,
    /// The question last asked.
    question: Option<String>,
    /// What was said last, for `repeat`.
    said: Vec<String>,
    calls: u32,
}

impl State {
    /// The state before the first word.
    pub(crate) const fn new() -> Self {
        Self {
            wait: Wait::Opening,
            known: BTreeMap::new(),
            tries: 0,
            spoken: BTreeMap::new(),
            question: None,
            said: Vec::new(),
            calls: 0,
        }
    }
}

/// What the caller or a tool contributed.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Input {
    /// Said.
    Said(String),
    /// Keyed in.
    Keys(String),
    /// Nothing was said.
    Silence,
    /// A tool has run.
    ToolResult {
        /// [`ToolCall::id`].
        id: String,
        /// JSON, or text.
        content: String,
        /// Whether it failed.
        is_error: bool,
    },
}

/// What the machine does.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// Says something that stands on its own.
    Say(String),
    /// Says a question.
    Question(String),
    /// Says what to listen for.
    Expect(Arc<RecognitionHints>),
    /// Runs a tool.
    Call(ToolCall),
}

/// Something in the file makes an answer impossible.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("node `{node}`: {message}")]
pub(crate) struct MachineFault {
    node: String,
    message: &'static str,
}

/// The fixed surroundings of one call.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// The dialogue.
    pub(crate) workflow: Arc<Workflow>,
    /// Variables of the call.
    pub(crate) variables: BTreeMap<String, String>,
    /// Where the call is.
    pub(crate) time_zone: Tz,
}

/// How an answer was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    /// As an answer or a command.
    Understood,
    /// Not at all.
    NotUnderstood,
}

impl Machine {
    /// Whether `input` would be understood as an answer in `state`.
    pub(crate) fn understands(&self, state: &State, input: &Input, now: DateTime<Tz>) -> bool {
        let Wait::Answer(node) = &state.wait else {
            return false;
        };
        self.understand(node, input, now)
            .is_some_and(|found| found != Understood::default())
    }

    /// Takes one input and walks on to the next question, tool or end.
    pub(crate) fn step(
        &self,
        state: &mut State,
        input: Option<&Input>,
        now: DateTime<Tz>,
    ) -> Result<(Vec<Output>, Taken), MachineFault> {
        let mut walk = Walk {
            machine: self,
            state,
            now,
            out: Vec::new(),
        };
        let taken = walk.take(input)?;
        let out = walk.out;
        let said: Vec<String> = out
            .iter()
            .filter_map(|output| match output {
                Output::Say(text) | Output::Question(text) => Some(text.clone()),
                Output::Expect(_) | Output::Call(_) => None,
            })
            .collect();
        if !said.is_empty() {
            state.said = said;
        }
        Ok((out, taken))
    }

    fn understand(&self, node: &str, input: &Input, now: DateTime<Tz>) -> Option<Understood> {
        let listening = self.workflow.listening.get(node)?;
        let context = AnswerContext {
            today: now.date_naive(),
            hours: &self.workflow.hours,
        };
        match input {
            Input::Said(text) => Some(listening.understand(text, context)),
            Input::Keys(keys) => Some(listening.understand_keys(keys)),
            Input::Silence | Input::ToolResult { .. } => None,
        }
    }
}

struct Walk<'a> {
    machine: &'a Machine,
    state: &'a mut State,
    now: DateTime<Tz>,
    out: Vec<Output>,
}

impl Walk<'_> {
    fn take(&mut self, input: Option<&Input>) -> Result<Taken, MachineFault> {
        let workflow = Arc::clone(&self.machine.workflow);
        match (self.state.wait.clone(), input) {
            (Wait::Opening, _) => self.walk(&workflow.start)?,
            (Wait::Answer(node), None) => self.ask(&node, false),
            (Wait::Answer(node), Some(Input::Silence)) => {
                self.retry(&node, &workflow.policy.silence)?;
            }
            (Wait::Answer(node), Some(input)) => return self.answer(&node, input),
            (
                Wait::Tool { id, node },
                Some(Input::ToolResult {
                    id: given,
                    content,
                    is_error,
                }),
            ) if id == *given => {
                self.tool_result(&node, content, *is_error)?;
            }
            // The caller speaks while a tool runs: the tool's result will move the dialogue.
            (Wait::Tool { .. }, _) => {}
            (Wait::Ended, Some(Input::ToolResult { .. })) => {}
            (Wait::Ended, _) => {
                self.call(END_CALL, json!({}));
            }
        }
        Ok(Taken::Understood)
    }

    fn answer(&mut self, node: &str, input: &Input) -> Result<Taken, MachineFault> {
        let workflow = Arc::clone(&self.machine.workflow);
        let understood = self
            .machine
            .understand(node, input, self.now)
            .unwrap_or_default();
        if let Some(command) = understood
            .command
            .and_then(|index| workflow.commands.get(index))
        {
            match &command.action {
                CommandAction::Repeat => self.repeat(node),
                CommandAction::Help => {
                    let help = match workflow.nodes.get(node) {
                        Some(Node::Ask(ask)) => ask.help.as_slice(),
                        Some(Node::Confirm(confirm)) => confirm.help.as_slice(),
                        _ => &[],
                    };
                    self.say(&format!("{node}/help"), help);
                    self.ask(node, false);
                }
                CommandAction::Goto(target) => {
                    self.state.tries = 0;
                    self.walk(target)?;
                }
            }
            return Ok(Taken::Understood);
        }
        if understood.values.is_empty() {
            self.retry(node, &workflow.policy.no_match)?;
            return Ok(Taken::NotUnderstood);
        }
        match workflow.nodes.get(node) {
            Some(Node::Ask(ask)) => self.answered(node, ask, understood)?,
            Some(Node::Confirm(confirm)) => self.confirmed(node, confirm, understood)?,
            _ => {}
        }
        Ok(Taken::Understood)
    }

    fn answered(
        &mut self,
        node: &str,
        ask: &AskNode,
        understood: Understood,
    ) -> Result<(), MachineFault> {
        let refused = self.fill_slots(understood.values);
        let open = ask
            .expect
            .iter()
            .any(|slot| !self.state.known.contains_key(slot));
        if !open {
            self.state.tries = 0;
            return self.walk(&ask.next);
        }
        if refused {
            return self.retry(node, &[]);
        }
        self.ask(node, true);
        Ok(())
    }

    fn confirmed(
        &mut self,
        node: &str,
        confirm: &ConfirmNode,
        mut understood: Understood,
    ) -> Result<(), MachineFault> {
        let verdict = understood
            .values
            .iter()
            .position(|(slot, _)| slot == CONFIRMATION)
            .map(|index| understood.values.remove(index).1.value == json!(true));
        if understood.values.is_empty() {
            self.state.tries = 0;
            let target = if verdict == Some(true) {
                &confirm.yes
            } else {
                &confirm.no
            };
            return self.walk(target);
        }
        if self.fill_slots(understood.values) && confirm.changed.is_none() {
            return self.retry(node, &[]);
        }
        self.state.tries = 0;
        match &confirm.changed {
            Some(changed) => self.walk(changed),
            None => Ok(()),
        }
    }

    /// Fills slots and empties again those whose value cannot be; says why. Returns whether there
    /// were any.
    fn fill_slots(&mut self, values: Vec<(String, Known)>) -> bool {
        let workflow = Arc::clone(&self.machine.workflow);
        for (slot, known) in values {
            self.state.known.insert(slot, known);
        }
        let mut refused = false;
        // Dates before times, whose hours depend on them.
        for dates in [true, false] {
            for (name, slot) in &workflow.slots {
                if matches!(slot, Slot::Date(_)) != dates {
                    continue;
                }
                let Some(reasons) = self.objection(name, slot) else {
                    continue;
                };
                let text = self.text(&format!("slots.{name}"), reasons);
                self.state.known.remove(name);
                self.out.extend(text.map(Output::Say));
                refused = true;
            }
        }
        refused
    }

    /// What to say about a value that cannot be accepted.
    fn objection<'s>(&self, name: &str, slot: &'s Slot) -> Option<&'s [String]> {
        let hours = &self.machine.workflow.hours;
        let today = self.now.date_naive();
        let value = self.state.known.get(name)?;
        match slot {
            Slot::Date(spec) => {
                let date: NaiveDate = written(&value.value).parse().ok()?;
                let ahead = (date - today).num_days();
                if spec
                    .days_ahead_max
                    .is_some_and(|max| ahead > i64::from(max))
                {
                    return Some(&spec.too_far);
                }
                (spec.open_only && !hours.is_open_day(date.weekday())).then_some(&spec.closed)
            }
            Slot::Time(spec) => {
                let time: TimeOfDay = written(&value.value).parse().ok()?;
                let date: Option<NaiveDate> = spec
                    .date
                    .as_ref()
                    .and_then(|date| self.state.known.get(date))
                    .and_then(|date| written(&date.value).parse().ok());
                let open = match date {
                    Some(date) => hours.contains(date.weekday(), time),
                    None => hours.contains_any_day(time),
                };
                if spec.open_only && !open {
                    return Some(&spec.closed);
                }
                if spec
                    .step_minutes
                    .is_some_and(|step| !time.minute().is_multiple_of(step.max(1)))
                {
                    return Some(&spec.off_step);
                }
                let minutes = self.now.hour() * 60 + self.now.minute();
                let past = date == Some(today) && u32::from(time.minutes()) <= minutes;
                past.then_some(&spec.past)
            }
            Slot::Choice(_)
            | Slot::YesNo(_)
            | Slot::Number(_)
            | Slot::Digits(_)
            | Slot::Name(_)
            | Slot::Text(_) => None,
        }
    }

    /// Counts a failed try: asks again, or gives up.
    fn retry(&mut self, node: &str, preface: &[String]) -> Result<(), MachineFault> {
        let workflow = Arc::clone(&self.machine.workflow);
        let (tries_max, fallback) = match workflow.nodes.get(node) {
            Some(Node::Ask(ask)) => (ask.tries_max, ask.fallback.as_ref()),
            Some(Node::Confirm(confirm)) => (confirm.tries_max, confirm.fallback.as_ref()),
            _ => (None, None),
        };
        self.state.tries += 1;
        if self.state.tries > tries_max.unwrap_or(workflow.policy.tries_max) {
            self.state.tries = 0;
            return self.walk(fallback.unwrap_or(&workflow.policy.fallback));
        }
        self.say("policy", preface);
        self.ask(node, true);
        Ok(())
    }

    fn repeat(&mut self, node: &str) {
        let said = self.state.said.clone();
        self.state.wait = Wait::Answer(node.to_owned());
        self.expect(node);
        self.out.extend(said.into_iter().map(Output::Question));
    }

    fn tool_result(
        &mut self,
        node: &str,
        content: &str,
        is_error: bool,
    ) -> Result<(), MachineFault> {
        let workflow = Arc::clone(&self.machine.workflow);
        match workflow.nodes.get(node) {
            Some(Node::Tool(tool)) if is_error => {
                self.remember(TOOL_ERROR, &json!(content));
                self.walk(&tool.on_error)
            }
            Some(Node::Tool(tool)) => {
                let result: Value =
                    serde_json::from_str(content).unwrap_or_else(|_| json!(content));
                for (name, path) in &tool.save {
                    match at_path(&result, path) {
                        Some(value) => self.remember(name, &value.clone()),
                        None => {
                            self.state.known.remove(name);
                        }
                    }
                }
                self.walk(after_tool(tool, &result))
            }
            Some(Node::Transfer(transfer)) if is_error => {
                self.remember(TRANSFER_FAILURE, &json!(content.trim_matches('"')));
                self.walk(&transfer.on_failure)
            }
            _ => {
                self.state.wait = Wait::Ended;
                Ok(())
            }
        }
    }

    /// Goes from node to node until one has to wait.
    fn walk(&mut self, start: &str) -> Result<(), MachineFault> {
        let workflow = Arc::clone(&self.machine.workflow);
        let mut name = start.to_owned();
        for _ in 0..STEPS_MAX {
            if name == RESUME {
                name = self
                    .state
                    .question
                    .clone()
                    .unwrap_or_else(|| workflow.start.clone());
            }
            let fault = |message| MachineFault {
                node: name.clone(),
                message,
            };
            let node = workflow
                .nodes
                .get(&name)
                .ok_or_else(|| fault("does not exist"))?;
            name = match node {
                Node::Say(say) => {
                    self.say(&name, &say.say);
                    say.next.clone()
                }
                Node::Ask(ask) if ask.expect.iter().all(|s| self.state.known.contains_key(s)) => {
                    ask.next.clone()
                }
                Node::Ask(_) | Node::Confirm(_) => {
                    self.state.tries = 0;
                    self.ask(&name, false);
                    return Ok(());
                }
                Node::Branch(branch) => {
                    let found = branch
                        .cases
                        .iter()
                        .find(|case| case.holds(self.lookup(&case.of).as_ref().map(|k| &k.value)));
                    found.map_or(&branch.otherwise, |case| &case.goto).clone()
                }
                Node::Set(set) => {
                    for variable in &set.clear {
                        self.state.known.remove(variable);
                    }
                    for (variable, template) in &set.set {
                        let value = fill_json(template, &|name: &str| self.lookup(name));
                        self.remember(variable, &value);
                    }
                    set.next.clone()
                }
                Node::Tool(tool) => {
                    self.say(&name, &tool.say);
                    let arguments = Value::Object(tool.arguments.clone());
                    let arguments = fill_json(&arguments, &|name: &str| self.lookup(name));
                    let id = self.call(&tool.tool, arguments);
                    self.state.wait = Wait::Tool { id, node: name };
                    return Ok(());
                }
                Node::Transfer(transfer) => {
                    self.say(&name, &transfer.say);
                    let target = fill(&transfer.target, Style::Raw, &|name: &str| {
                        self.lookup(name)
                    });
                    let id = self.call(TRANSFER_CALL, json!({"target": target}));
                    self.state.wait = Wait::Tool { id, node: name };
                    return Ok(());
                }
                Node::Hangup(hangup) => {
                    self.say(&name, &hangup.say);
                    self.call(END_CALL, json!({}));
                    self.state.wait = Wait::Ended;
                    return Ok(());
                }
                Node::Goto(goto) => goto.goto.clone(),
            };
        }
        Err(MachineFault {
            node: name,
            message: "the workflow goes round in circles",
        })
    }

    /// Asks the question of `node` and waits for the answer.
    fn ask(&mut self, node: &str, again: bool) {
        let workflow = Arc::clone(&self.machine.workflow);
        let (first, other) = match workflow.nodes.get(node) {
            Some(Node::Ask(ask)) => (&ask.ask, &ask.again),
            Some(Node::Confirm(confirm)) => (&confirm.ask, &confirm.again),
            _ => return,
        };
        let texts = if again && !other.is_empty() {
            other
        } else {
            first
        };
        self.state.wait = Wait::Answer(node.to_owned());
        self.state.question = Some(node.to_owned());
        self.expect(node);
        let text = self.text(node, texts);
        self.out.extend(text.map(Output::Question));
    }

    fn expect(&mut self, node: &str) {
        if let Some(listening) = self.machine.workflow.listening.get(node) {
            self.out.push(Output::Expect(listening.hints()));
        }
    }

    fn call(&mut self, tool: &str, arguments: Value) -> String {
        self.state.calls += 1;
        let id = format!("workflow-{}", self.state.calls);
        self.out.push(Output::Call(ToolCall {
            id: id.clone(),
            name: tool.to_owned(),
            arguments,
        }));
        id
    }

    fn say(&mut self, speaker: &str, variants: &[String]) {
        let text = self.text(speaker, variants);
        self.out.extend(text.map(Output::Say));
    }

    /// The next variant, filled in.
    fn text(&mut self, speaker: &str, variants: &[String]) -> Option<String> {
        let count = self.state.spoken.entry(speaker.to_owned()).or_default();
        let template = variants.get(*count % variants.len().max(1))?;
        *count = count.wrapping_add(1);
        Some(fill(template, Style::Spoken, &|name: &str| {
            self.lookup(name)
        }))
    }

    /// Stores a value, spoken as its slot's kind asks for.
    fn remember(&mut self, name: &str, value: &Value) {
        if value.is_null() {
            self.state.known.remove(name);
            return;
        }
        let workflow = Arc::clone(&self.machine.workflow);
        let text = written(value);
        let spoken = match workflow.slots.get(name) {
            Some(Slot::Date(_)) => text.parse().ok().map(speak_date),
            Some(Slot::Time(_)) => text.parse().ok().map(speak_time),
            Some(Slot::Digits(_)) => Some(crate::workflow::template::speak_digits(&text)),
            Some(slot @ (Slot::Choice(_) | Slot::Name(_))) => workflow
                .entries(slot)
                .iter()
                .find(|entry| entry.value == text)
                .map(|entry| entry.spoken().to_owned()),
            Some(Slot::YesNo(_) | Slot::Number(_) | Slot::Text(_)) | None => None,
        };
        let known = Known {
            value: value.clone(),
            spoken: spoken.unwrap_or(text),
        };
        self.state.known.insert(name.to_owned(), known);
    }

    fn lookup(&self, name: &str) -> Option<Known> {
        if name == HOURS {
            let hours = serde_json::to_value(&self.machine.workflow.hours).ok()?;
            return Some(Known::plain(hours));
        }
        let variable = || {
            self.machine
                .variables
                .get(name)
                .or_else(|| self.machine.workflow.variables.get(name))
        };
        self.state
            .known
            .get(name)
            .cloned()
            .or_else(|| Some(Known::plain(json!(variable()?))))
    }
}

fn after_tool<'t>(tool: &'t ToolNode, result: &Value) -> &'t str {
    tool.cases
        .iter()
        .find(|case| case.holds(at_path(result, &case.of)))
        .map_or(&tool.next, |case| &case.goto)
}

/// The value at a path such as `record.date` or `records.0.id`.
fn at_path<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        Value::Object(fields) => fields.get(part),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}
