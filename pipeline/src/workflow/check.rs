//! Reading and checking a workflow file: whatever passes here cannot fail for the file's sake in a
//! call.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::llm::engine_tools::is_engine_tool;
use crate::llm::records::Collection;
use crate::workflow::RESUME;
use crate::workflow::answer::{ExpectedSlot, Listening};
use crate::workflow::file::{
    Case, Command, CommandAction, Entry, Node, Policy, RawFile, Slot, YesNoSlot,
};
use crate::workflow::hours::OpeningHours;
use crate::workflow::template::placeholders;

/// The slot that a confirmation fills.
pub(crate) const CONFIRMATION: &str = "@confirmed";
/// Why the last transfer failed.
pub(crate) const TRANSFER_FAILURE: &str = "transfer_failure";
/// What the last tool's failure said.
pub(crate) const TOOL_ERROR: &str = "tool_error";
/// Variables every call has.
const CALL_VARIABLES: [&str; 4] = ["caller", "called", TRANSFER_FAILURE, TOOL_ERROR];
/// The placeholder for the opening hours table.
pub(crate) const HOURS: &str = "@hours";

/// What is wrong in a workflow file, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// For example `nodes.ask_day`, or empty for the file as a whole.
    pub place: String,
    /// The field, if one is to blame.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.place.as_str(), self.field.as_str()) {
            ("", "") => write!(f, "{}", self.message),
            ("", field) => write!(f, "`{field}`: {}", self.message),
            (place, "") => write!(f, "{place}: {}", self.message),
            (place, field) => write!(f, "{place}, field `{field}`: {}", self.message),
        }
    }
}

/// Everything that is wrong in a workflow file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkflowError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for WorkflowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for WorkflowError {}

/// A checked workflow.
#[derive(Clone, Debug)]
pub struct Workflow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) language: String,
    pub(crate) start: String,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) hours: OpeningHours,
    pub(crate) collections: Vec<Collection>,
    pub(crate) policy: Policy,
    pub(crate) commands: Vec<Command>,
    pub(crate) lists: BTreeMap<String, Vec<Entry>>,
    pub(crate) slots: BTreeMap<String, Slot>,
    pub(crate) nodes: BTreeMap<String, Node>,
    pub(crate) listening: BTreeMap<String, Listening>,
}

impl Workflow {
    /// Reads a workflow written in TOML.
    ///
    /// # Errors
    /// Everything wrong with it, by node and field.
    pub fn from_toml(text: &str) -> Result<Self, WorkflowError> {
        let file: Value = toml::from_str(text).map_err(|error| whole(error.to_string()))?;
        Self::from_value(&file)
    }

    /// Reads a workflow written in JSON.
    ///
    /// # Errors
    /// Everything wrong with it, by node and field.
    pub fn from_json(text: &str) -> Result<Self, WorkflowError> {
        let file: Value = serde_json::from_str(text).map_err(|error| whole(error.to_string()))?;
        Self::from_value(&file)
    }

    /// Identifier, for the model's name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Name for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// BCP 47 language tag.
    #[must_use]
    pub fn language(&self) -> &str {
        &self.language
    }

    /// The record collections its tools use.
    #[must_use]
    pub fn collections(&self) -> &[Collection] {
        &self.collections
    }

    /// Names of the tools it calls, the engine's own aside.
    #[must_use]
    pub fn tools(&self) -> BTreeSet<&str> {
        self.nodes
            .values()
            .filter_map(|node| match node {
                Node::Tool(tool) => Some(tool.tool.as_str()),
                _ => None,
            })
            .collect()
    }

    /// Every recognition grammar it can ask for, by node, for trying them out beforehand.
    #[must_use]
    pub fn grammars(&self) -> BTreeMap<&str, std::sync::Arc<str>> {
        self.listening
            .iter()
            .filter_map(|(node, listening)| {
                Some((node.as_str(), listening.hints().grammar.clone()?))
            })
            .collect()
    }

    fn from_value(file: &Value) -> Result<Self, WorkflowError> {
        let mut problems = Vec::new();
        let Some(raw) = read::<RawFile>("", file, &mut problems) else {
            return Err(WorkflowError { problems });
        };
        let mut commands = Vec::new();
        for (index, value) in raw.commands.iter().enumerate() {
            commands.extend(read(&format!("commands[{index}]"), value, &mut problems));
        }
        let mut lists = BTreeMap::new();
        for (name, values) in &raw.lists {
            let mut entries = Vec::new();
            for (index, value) in values.iter().enumerate() {
                entries.extend(read(
                    &format!("lists.{name}[{index}]"),
                    value,
                    &mut problems,
                ));
            }
            lists.insert(name.clone(), entries);
        }
        let slots = read_all("slots", &raw.slots, &mut problems);
        let nodes = read_all("nodes", &raw.nodes, &mut problems);
        let mut workflow = Self {
            id: raw.id,
            name: raw.name,
            language: raw.language,
            start: raw.start,
            variables: raw.variables,
            hours: raw.hours,
            collections: raw.collections,
            policy: raw.policy,
            commands,
            lists,
            slots,
            nodes,
            listening: BTreeMap::new(),
        };
        // References into parts that could not be read would only add noise.
        if problems.is_empty() {
            let mut checker = Checker {
                known: workflow.known_variables(),
                workflow: &workflow,
                problems: Vec::new(),
            };
            checker.check();
            problems = checker.problems;
        }
        if !problems.is_empty() {
            return Err(WorkflowError { problems });
        }
        workflow.listening = workflow.listen();
        Ok(workflow)
    }

    fn listen(&self) -> BTreeMap<String, Listening> {
        let mut out = BTreeMap::new();
        for (name, node) in &self.nodes {
            let mut slots = Vec::new();
            let names: Vec<&String> = match node {
                Node::Ask(ask) => ask
                    .expect
                    .iter()
                    .chain(&ask.also)
                    .chain(&ask.accept)
                    .collect(),
                Node::Confirm(confirm) => {
                    let slot = Slot::YesNo(YesNoSlot { keys: confirm.keys });
                    slots.push(ExpectedSlot::new(CONFIRMATION, &slot, Vec::new(), true));
                    confirm.also.iter().collect()
                }
                _ => continue,
            };
            let accepted: &[String] = match node {
                Node::Ask(ask) => &ask.accept,
                _ => &[],
            };
            for slot_name in names {
                if let Some(slot) = self.slots.get(slot_name) {
                    let listened = !accepted.contains(slot_name);
                    let entries = self.entries(slot);
                    slots.push(ExpectedSlot::new(slot_name, slot, entries, listened));
                }
            }
            out.insert(name.clone(), Listening::new(slots, &self.commands));
        }
        out
    }

    /// The entries of a slot: its own and those of its list.
    pub(crate) fn entries(&self, slot: &Slot) -> Vec<Entry> {
        let (list, options) = match slot {
            Slot::Choice(choice) => (&choice.list, &choice.options),
            Slot::Name(name) => (&name.list, &name.options),
            _ => return Vec::new(),
        };
        let listed = list.as_ref().and_then(|list| self.lists.get(list));
        let mut entries = options.clone();
        entries.extend(listed.into_iter().flatten().cloned());
        entries
    }

    fn known_variables(&self) -> BTreeSet<String> {
        let mut known: BTreeSet<String> = CALL_VARIABLES.map(str::to_owned).into();
        known.insert(HOURS.to_owned());
        known.extend(self.variables.keys().cloned());
        known.extend(self.slots.keys().cloned());
        for node in self.nodes.values() {
            match node {
                Node::Set(set) => known.extend(set.set.keys().cloned()),
                Node::Tool(tool) => known.extend(tool.save.keys().cloned()),
                _ => {}
            }
        }
        known
    }
}

fn whole(message: String) -> WorkflowError {
    WorkflowError {
        problems: vec![Problem {
            place: String::new(),
            field: String::new(),
            message,
        }],
    }
}

fn read_all<T: DeserializeOwned>(
    section: &str,
    values: &BTreeMap<String, Value>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, T> {
    values
        .iter()
        .filter_map(|(name, value)| {
            Some((
                name.clone(),
                read(&format!("{section}.{name}"), value, problems)?,
            ))
        })
        .collect()
}

fn read<T: DeserializeOwned>(place: &str, value: &Value, problems: &mut Vec<Problem>) -> Option<T> {
    match serde_json::from_value::<T>(value.clone()) {
        Ok(read) => Some(read),
        Err(error) => {
            problems.push(Problem {
                place: place.to_owned(),
                field: guilty_field::<T>(value, &error.to_string()).unwrap_or_default(),
                message: error.to_string(),
            });
            None
        }
    }
}

/// The field without which the error would be another one.
fn guilty_field<T: DeserializeOwned>(value: &Value, message: &str) -> Option<String> {
    let fields = value.as_object()?;
    fields.keys().find_map(|name| {
        let mut rest = fields.clone();
        rest.remove(name);
        let error = serde_json::from_value::<T>(Value::Object(rest)).err();
        let missing = format!("missing field `{name}`");
        match error {
            None => Some(name.clone()),
            Some(error) => {
                let now = error.to_string();
                (now != message && (now == missing || !now.starts_with("missing field")))
                    .then(|| name.clone())
            }
        }
    })
}

struct Checker<'a> {
    workflow: &'a Workflow,
    known: BTreeSet<String>,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn check(&mut self) {
        let workflow = self.workflow;
        if workflow.id.is_empty() || !workflow.id.chars().all(is_identifier) {
            self.problem(
                "",
                "id",
                "must be made of lower-case letters, digits, `_` and `-`",
            );
        }
        self.target("", "start", &workflow.start);
        if let Err((day, message)) = workflow.hours.check() {
            self.problem("hours", &day, &message);
        }
        self.target("policy", "fallback", &workflow.policy.fallback);
        self.templates("policy", "no_match", &workflow.policy.no_match, true);
        self.templates("policy", "silence", &workflow.policy.silence, true);
        for (index, command) in workflow.commands.iter().enumerate() {
            let place = format!("commands[{index}]");
            self.phrases(&place, "phrases", &command.phrases);
            if let CommandAction::Goto(target) = &command.action {
                self.target(&place, "do", target);
            }
        }
        for (name, entries) in &workflow.lists {
            for (index, entry) in entries.iter().enumerate() {
                self.phrases(&format!("lists.{name}[{index}]"), "phrases", &entry.phrases);
            }
        }
        for (name, slot) in &workflow.slots {
            self.slot(name, slot);
        }
        for (name, node) in &workflow.nodes {
            self.node(&format!("nodes.{name}"), node);
        }
        self.unreachable();
    }

    fn problem(&mut self, place: &str, field: &str, message: &str) {
        self.problems.push(Problem {
            place: place.to_owned(),
            field: field.to_owned(),
            message: message.to_owned(),
        });
    }

    fn target(&mut self, place: &str, field: &str, target: &str) {
        if target != RESUME && !self.workflow.nodes.contains_key(target) {
            self.problem(place, field, &format!("there is no node `{target}`"));
        }
    }

    fn variable(&mut self, place: &str, field: &str, name: &str) {
        if !self.known.contains(name) {
            self.problem(place, field, &format!("nothing defines `{name}`"));
        }
    }

    fn templates(&mut self, place: &str, field: &str, all: &[String], required: bool) {
        if required && all.is_empty() {
            self.problem(place, field, "needs at least one text");
        }
        for template in all {
            self.template(place, field, template);
        }
    }

    fn template(&mut self, place: &str, field: &str, template: &str) {
        match placeholders(template) {
            Ok(names) => {
                for name in names {
                    self.variable(place, field, name);
                }
            }
            Err(message) => self.problem(place, field, &message),
        }
    }

    fn json_template(&mut self, place: &str, field: &str, template: &Value) {
        match template {
            Value::String(text) => self.template(place, field, text),
            Value::Array(items) => {
                for item in items {
                    self.json_template(place, field, item);
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.json_template(place, &format!("{field}.{name}"), value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Phrases go into grammars as they are, so they are plain lower-case words.
    fn phrases(&mut self, place: &str, field: &str, all: &[String]) {
        if all.is_empty() {
            self.problem(place, field, "needs at least one phrase");
        }
        for phrase in all {
            let plain = |c: char| c.is_ascii_lowercase() || c == '\'' || c == ' ';
            let starts = |word: &str| word.starts_with(|c: char| c.is_ascii_lowercase());
            if phrase.trim().is_empty()
                || !phrase.chars().all(plain)
                || !phrase.split_whitespace().all(starts)
            {
                let message = format!("`{phrase}` is not plain lower-case words");
                self.problem(place, field, &message);
            }
        }
    }

    fn slot(&mut self, name: &str, slot: &Slot) {
        let place = format!("slots.{name}");
        match slot {
            Slot::Choice(choice) => {
                self.entries(&place, choice.list.as_deref(), &choice.options);
                if self.workflow.entries(slot).is_empty() {
                    self.problem(&place, "options", "there is nothing to choose from");
                }
            }
            Slot::Name(spec) => {
                self.entries(&place, spec.list.as_deref(), &spec.options);
                if self.workflow.entries(slot).is_empty() && !spec.spelled && !spec.free {
                    self.problem(&place, "options", "no way to say the name is given");
                }
            }
            Slot::Number(number) => {
                if number.min > number.max || number.max >= 1_000_000 {
                    self.problem(&place, "max", "must be from `min` to 999999");
                }
            }
            Slot::Digits(digits) => {
                if digits.min == 0 || digits.min > digits.max || digits.max > 20 {
                    self.problem(&place, "max", "must be from `min` (at least 1) to 20");
                }
            }
            Slot::Date(date) => {
                if date.open_only && self.workflow.hours.is_empty() {
                    self.problem(&place, "open_only", "no opening hours are given");
                }
                self.templates(&place, "closed", &date.closed, date.open_only);
                self.templates(
                    &place,
                    "too_far",
                    &date.too_far,
                    date.days_ahead_max.is_some(),
                );
            }
            Slot::Time(time) => {
                if let Some(date) = &time.date
                    && !matches!(self.workflow.slots.get(date), Some(Slot::Date(_)))
                {
                    self.problem(&place, "date", &format!("there is no date slot `{date}`"));
                }
                if time.open_only && self.workflow.hours.is_empty() {
                    self.problem(&place, "open_only", "no opening hours are given");
                }
                self.templates(&place, "closed", &time.closed, time.open_only);
                self.templates(&place, "past", &time.past, time.date.is_some());
                self.templates(
                    &place,
                    "off_step",
                    &time.off_step,
                    time.step_minutes.is_some(),
                );
                if time.step_minutes.is_some_and(|step| step == 0 || step > 60) {
                    self.problem(&place, "step_minutes", "must be from 1 to 60");
                }
            }
            Slot::YesNo(_) | Slot::Text(_) => {}
        }
    }

    fn entries(&mut self, place: &str, list: Option<&str>, options: &[Entry]) {
        if let Some(list) = list
            && !self.workflow.lists.contains_key(list)
        {
            self.problem(place, "list", &format!("there is no list `{list}`"));
        }
        for (index, entry) in options.iter().enumerate() {
            self.phrases(place, &format!("options[{index}].phrases"), &entry.phrases);
        }
    }

    fn slot_names(&mut self, place: &str, field: &str, names: &[String]) {
        for name in names {
            if !self.workflow.slots.contains_key(name) {
                self.problem(place, field, &format!("there is no slot `{name}`"));
            }
        }
    }

    fn cases(&mut self, place: &str, cases: &[Case], variables: bool) {
        for (index, case) in cases.iter().enumerate() {
            let field = |name: &str| format!("cases[{index}].{name}");
            self.target(place, &field("goto"), &case.goto);
            if variables {
                self.variable(place, &field("of"), &case.of);
            }
            let tests = [
                case.is.is_some(),
                case.is_not.is_some(),
                case.one_of.is_some(),
                case.known.is_some(),
                case.below.is_some(),
                case.above.is_some(),
            ];
            if !tests.contains(&true) {
                self.problem(place, &field("is"), "the case tests nothing");
            }
        }
    }

    fn node(&mut self, place: &str, node: &Node) {
        match node {
            Node::Say(say) => {
                self.templates(place, "say", &say.say, true);
                self.target(place, "next", &say.next);
            }
            Node::Ask(ask) => {
                self.question(
                    place,
                    &ask.ask,
                    &ask.again,
                    &ask.help,
                    ask.fallback.as_deref(),
                );
                if ask.expect.is_empty() {
                    self.problem(place, "expect", "needs at least one slot");
                }
                self.slot_names(place, "expect", &ask.expect);
                self.slot_names(place, "also", &ask.also);
                self.slot_names(place, "accept", &ask.accept);
                self.target(place, "next", &ask.next);
            }
            Node::Confirm(confirm) => {
                let fallback = confirm.fallback.as_deref();
                self.question(place, &confirm.ask, &confirm.again, &confirm.help, fallback);
                self.slot_names(place, "also", &confirm.also);
                self.target(place, "yes", &confirm.yes);
                self.target(place, "no", &confirm.no);
                match &confirm.changed {
                    Some(changed) => self.target(place, "changed", changed),
                    None if !confirm.also.is_empty() => {
                        self.problem(place, "changed", "is needed with `also`");
                    }
                    None => {}
                }
            }
            Node::Branch(branch) => {
                self.cases(place, &branch.cases, true);
                self.target(place, "otherwise", &branch.otherwise);
            }
            Node::Set(set) => {
                for name in &set.clear {
                    self.variable(place, "clear", name);
                }
                for (name, template) in &set.set {
                    self.json_template(place, &format!("set.{name}"), template);
                }
                self.target(place, "next", &set.next);
            }
            Node::Tool(tool) => {
                self.templates(place, "say", &tool.say, false);
                if is_engine_tool(&tool.tool) {
                    let message = "the engine's own tools have nodes: `transfer`, `hangup`";
                    self.problem(place, "tool", message);
                }
                for (name, template) in &tool.arguments {
                    self.json_template(place, &format!("arguments.{name}"), template);
                }
                self.cases(place, &tool.cases, false);
                self.target(place, "next", &tool.next);
                self.target(place, "on_error", &tool.on_error);
            }
            Node::Transfer(transfer) => {
                self.templates(place, "say", &transfer.say, false);
                self.template(place, "target", &transfer.target);
                self.target(place, "on_failure", &transfer.on_failure);
            }
            Node::Hangup(hangup) => self.templates(place, "say", &hangup.say, false),
            Node::Goto(goto) => self.target(place, "goto", &goto.goto),
        }
    }

    fn question(
        &mut self,
        place: &str,
        ask: &[String],
        again: &[String],
        help: &[String],
        fallback: Option<&str>,
    ) {
        self.templates(place, "ask", ask, true);
        self.templates(place, "again", again, false);
        self.templates(place, "help", help, false);
        if let Some(fallback) = fallback {
            self.target(place, "fallback", fallback);
        }
    }

    /// Nodes nothing leads to are most often a misspelled target.
    fn unreachable(&mut self) {
        let workflow = self.workflow;
        let mut open: Vec<&str> = vec![&workflow.start, &workflow.policy.fallback];
        for command in &workflow.commands {
            if let CommandAction::Goto(target) = &command.action {
                open.push(target);
            }
        }
        let mut reached = BTreeSet::new();
        while let Some(name) = open.pop() {
            if reached.insert(name)
                && let Some(node) = workflow.nodes.get(name)
            {
                open.extend(targets(node));
            }
        }
        for name in workflow.nodes.keys() {
            if !reached.contains(name.as_str()) {
                self.problem(&format!("nodes.{name}"), "", "nothing leads to this node");
            }
        }
    }
}

fn targets(node: &Node) -> Vec<&str> {
    match node {
        Node::Say(say) => vec![&say.next],
        Node::Ask(ask) => {
            let mut out = vec![ask.next.as_str()];
            out.extend(ask.fallback.as_deref());
            out
        }
        Node::Confirm(confirm) => {
            let mut out = vec![confirm.yes.as_str(), &confirm.no];
            out.extend(confirm.changed.as_deref());
            out.extend(confirm.fallback.as_deref());
            out
        }
        Node::Branch(branch) => {
            let mut out = vec![branch.otherwise.as_str()];
            out.extend(branch.cases.iter().map(|case| case.goto.as_str()));
            out
        }
        Node::Set(set) => vec![&set.next],
        Node::Tool(tool) => {
            let mut out = vec![tool.next.as_str(), &tool.on_error];
            out.extend(tool.cases.iter().map(|case| case.goto.as_str()));
            out
        }
        Node::Transfer(transfer) => vec![&transfer.on_failure],
        Node::Hangup(_) => Vec::new(),
        Node::Goto(goto) => vec![&goto.goto],
    }
}

const fn is_identifier(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-'
}
