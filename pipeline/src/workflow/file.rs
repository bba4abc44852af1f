//! The workflow file: what an author writes, in TOML or JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::llm::records::Collection;
use crate::workflow::hours::OpeningHours;

/// The file as a whole, before nodes and slots are read one by one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFile {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) language: String,
    pub(crate) start: String,
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) hours: OpeningHours,
    #[serde(default)]
    pub(crate) collections: Vec<Collection>,
    pub(crate) policy: Policy,
    #[serde(default)]
    pub(crate) commands: Vec<Value>,
    #[serde(default)]
    pub(crate) lists: BTreeMap<String, Vec<Value>>,
    #[serde(default)]
    pub(crate) slots: BTreeMap<String, Value>,
    pub(crate) nodes: BTreeMap<String, Value>,
}

/// What happens when an answer is not understood or does not come.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// How often one question is asked again before the fallback.
    pub tries_max: u32,
    /// Node that takes over after that.
    pub fallback: String,
    /// Said before the question is repeated.
    pub no_match: Vec<String>,
    /// Said when the caller is silent, before the question is repeated.
    pub silence: Vec<String>,
}

/// Something the caller may say at any question.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// For messages.
    pub name: String,
    /// How it is said.
    pub phrases: Vec<String>,
    /// The key that does the same, where digits are not being asked for.
    #[serde(default)]
    pub key: Option<char>,
    /// What it does.
    #[serde(rename = "do")]
    pub action: CommandAction,
}

/// What a command does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandAction {
    /// Says the last words again.
    Repeat,
    /// Says the question's help, then the question.
    Help,
    /// Goes to a node.
    Goto(String),
}

/// One entry of a list of names.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What is stored.
    pub value: String,
    /// How the agent says it; the value when absent.
    #[serde(default)]
    pub say: Option<String>,
    /// How callers say it.
    pub phrases: Vec<String>,
    /// The key that chooses it.
    #[serde(default)]
    pub key: Option<char>,
}

impl Entry {
    /// How the agent says it.
    #[must_use]
    pub fn spoken(&self) -> &str {
        self.say.as_deref().unwrap_or(&self.value)
    }
}

/// A piece of information the caller gives, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Slot {
    /// One of a few phrases.
    Choice(ChoiceSlot),
    /// Yes or no, stored as a boolean.
    YesNo(YesNoSlot),
    /// A whole number.
    Number(NumberSlot),
    /// A string of digits, said or keyed in.
    Digits(DigitsSlot),
    /// A calendar date, stored as `YYYY-MM-DD`.
    Date(DateSlot),
    /// A time of day, stored as `HH:MM`.
    Time(TimeSlot),
    /// A name, from a list, spelled, or said freely.
    Name(NameSlot),
    /// Anything; needs a recogniser with open dictation.
    Text(TextSlot),
}

/// See [`Slot::Choice`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChoiceSlot {
    /// A named list; instead of `options`.
    #[serde(default)]
    pub list: Option<String>,
    /// The choices.
    #[serde(default)]
    pub options: Vec<Entry>,
}

/// See [`Slot::YesNo`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct YesNoSlot {
    /// Whether keys 1 and 2 mean yes and no.
    #[serde(default)]
    pub keys: bool,
}

/// See [`Slot::Number`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberSlot {
    /// Smallest.
    pub min: u32,
    /// Largest, below a million.
    pub max: u32,
}

/// See [`Slot::Digits`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigitsSlot {
    /// Fewest digits.
    pub min: usize,
    /// Most digits, up to 20.
    pub max: usize,
}

/// See [`Slot::Date`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DateSlot {
    /// Whether only days with opening hours count.
    #[serde(default)]
    pub open_only: bool,
    /// Said when the day is closed.
    #[serde(default)]
    pub closed: Vec<String>,
    /// Farthest day from today.
    #[serde(default)]
    pub days_ahead_max: Option<u32>,
    /// Said when the day is farther.
    #[serde(default)]
    pub too_far: Vec<String>,
}

/// See [`Slot::Time`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeSlot {
    /// The date slot this time belongs to: opening hours are then those of the day, and the time
    /// must not have passed.
    #[serde(default)]
    pub date: Option<String>,
    /// Whether only times in the opening hours count.
    #[serde(default)]
    pub open_only: bool,
    /// Said when it is closed then.
    #[serde(default)]
    pub closed: Vec<String>,
    /// Said when the time has passed.
    #[serde(default)]
    pub past: Vec<String>,
    /// Times must be a multiple of this after the hour.
    #[serde(default)]
    pub step_minutes: Option<u16>,
    /// Said when they are not.
    #[serde(default)]
    pub off_step: Vec<String>,
}

/// See [`Slot::Name`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameSlot {
    /// A named list; instead of or beside `options`.
    #[serde(default)]
    pub list: Option<String>,
    /// Names that are recognised when said.
    #[serde(default)]
    pub options: Vec<Entry>,
    /// Whether it may be spelled letter by letter.
    #[serde(default)]
    pub spelled: bool,
    /// Whether any few words are taken as a name; only recognisers with open dictation hear them.
    #[serde(default)]
    pub free: bool,
}

/// See [`Slot::Text`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextSlot {}

/// A step of the dialogue.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Node {
    /// Says something and goes on.
    Say(SayNode),
    /// Asks until its slots are filled.
    Ask(AskNode),
    /// Asks for yes or no.
    Confirm(ConfirmNode),
    /// Goes on by what is known.
    Branch(BranchNode),
    /// Sets and clears variables.
    Set(SetNode),
    /// Runs a tool.
    Tool(ToolNode),
    /// Hands the caller over.
    Transfer(TransferNode),
    /// Says goodbye and ends the call.
    Hangup(HangupNode),
    /// Goes elsewhere.
    Goto(GotoNode),
}

/// See [`Node::Say`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SayNode {
    /// Variants.
    pub say: Vec<String>,
    /// Next node.
    pub next: String,
}

/// See [`Node::Ask`]. Skipped when all of `expect` is known already.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskNode {
    /// The question, in variants.
    pub ask: Vec<String>,
    /// The question when it is asked again; `ask` when absent.
    #[serde(default)]
    pub again: Vec<String>,
    /// What `help` says.
    #[serde(default)]
    pub help: Vec<String>,
    /// Slots that must be filled.
    pub expect: Vec<String>,
    /// Slots that may be filled in the same breath.
    #[serde(default)]
    pub also: Vec<String>,
    /// Slots that are taken when they are understood, but not put into the recognition grammar:
    /// a small grammar is heard more surely.
    #[serde(default)]
    pub accept: Vec<String>,
    /// Next node.
    pub next: String,
    /// Instead of the policy's.
    #[serde(default)]
    pub tries_max: Option<u32>,
    /// Instead of the policy's.
    #[serde(default)]
    pub fallback: Option<String>,
}

/// See [`Node::Confirm`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmNode {
    /// The question, in variants.
    pub ask: Vec<String>,
    /// The question when it is asked again; `ask` when absent.
    #[serde(default)]
    pub again: Vec<String>,
    /// What `help` says.
    #[serde(default)]
    pub help: Vec<String>,
    /// Node after yes.
    pub yes: String,
    /// Node after no.
    pub no: String,
    /// Slots that may be corrected in the answer ("no, wednesday").
    #[serde(default)]
    pub also: Vec<String>,
    /// Node after a correction; needed with `also`.
    #[serde(default)]
    pub changed: Option<String>,
    /// Whether keys 1 and 2 mean yes and no.
    #[serde(default)]
    pub keys: bool,
    /// Instead of the policy's.
    #[serde(default)]
    pub tries_max: Option<u32>,
    /// Instead of the policy's.
    #[serde(default)]
    pub fallback: Option<String>,
}

/// See [`Node::Branch`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BranchNode {
    /// Tried in order.
    pub cases: Vec<Case>,
    /// Node when none holds.
    pub otherwise: String,
}

/// A condition and where it leads. All the tests given must hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Variable or slot; after a tool, a path into its result such as `record.date`.
    pub of: String,
    /// Equal to this.
    #[serde(default)]
    pub is: Option<Value>,
    /// Not equal to this.
    #[serde(default)]
    pub is_not: Option<Value>,
    /// Equal to one of these.
    #[serde(default)]
    pub one_of: Option<Vec<Value>>,
    /// Known, or not.
    #[serde(default)]
    pub known: Option<bool>,
    /// A number below this.
    #[serde(default)]
    pub below: Option<f64>,
    /// A number above this.
    #[serde(default)]
    pub above: Option<f64>,
    /// Node when it holds.
    pub goto: String,
}

impl Case {
    /// Whether the condition holds for the value found.
    #[must_use]
    pub fn holds(&self, value: Option<&Value>) -> bool {
        let value = value.filter(|value| !value.is_null());
        let number = value.and_then(|value| match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_f64(),
        });
        self.is.as_ref().is_none_or(|is| value == Some(is))
            && self.is_not.as_ref().is_none_or(|not| value != Some(not))
            && self
                .one_of
                .as_ref()
                .is_none_or(|all| value.is_some_and(|value| all.contains(value)))
            && self.known.is_none_or(|known| known == value.is_some())
            && self
                .below
                .is_none_or(|bound| number.is_some_and(|n| n < bound))
            && self
                .above
                .is_none_or(|bound| number.is_some_and(|n| n > bound))
    }
}

/// See [`Node::Set`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetNode {
    /// Forgotten first.
    #[serde(default)]
    pub clear: Vec<String>,
    /// Then set; strings are templates.
    #[serde(default)]
    pub set: BTreeMap<String, Value>,
    /// Next node.
    pub next: String,
}

/// See [`Node::Tool`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolNode {
    /// Said while it runs.
    #[serde(default)]
    pub say: Vec<String>,
    /// Name of the tool.
    pub tool: String,
    /// Arguments; strings are templates, and a string that is one placeholder keeps its type.
    #[serde(default)]
    pub arguments: serde_json::Map<String, Value>,
    /// Variables or slots taken from paths in the result.
    #[serde(default)]
    pub save: BTreeMap<String, String>,
    /// Tried in order on the result.
    #[serde(default)]
    pub cases: Vec<Case>,
    /// Node when no case holds.
    pub next: String,
    /// Node when the tool fails.
    pub on_error: String,
}

/// See [`Node::Transfer`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferNode {
    /// Said before.
    #[serde(default)]
    pub say: Vec<String>,
    /// Telephone number or SIP URI; a template.
    pub target: String,
    /// Node when the caller is still there afterwards; `transfer_failure` then says why.
    pub on_failure: String,
}

/// See [`Node::Hangup`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HangupNode {
    /// Said before.
    #[serde(default)]
    pub say: Vec<String>,
}

/// See [`Node::Goto`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GotoNode {
    /// Where to.
    pub goto: String,
}
