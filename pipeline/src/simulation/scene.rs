//! A scene: what everybody does, with labels exact to the sample.

use super::latency::Ears;
use super::noise::Background;
use super::speech::{LINE_RATE, Speech, SpokenWord};
use crate::stt::AnswerKind;

/// What a scene tests.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum SceneKind {
    /// A turn without a pause worth the name.
    Plain,
    /// A turn with pauses of 0.1 to 2.5 s inside.
    Pauses,
    /// A number or code in groups with pauses between.
    Digits,
    /// An address or e-mail address, spelled or dictated in pieces.
    Spelled,
    /// One word.
    OneWord,
    /// "Mm-hm" while the agent speaks.
    Backchannel,
    /// A cough, a door, keys, while the agent speaks.
    Burst,
    /// The caller takes the floor.
    Takeover,
    /// The caller takes the floor with a word that demands it.
    StopWord,
    /// Somebody else near the caller speaks while the agent does.
    SideTalk,
    /// A turn over a television or another talker.
    Talker,
    /// A turn over noise.
    Noise,
    /// A line that sends the agent back, and a caller who listens.
    Echo,
    /// The same with a caller who takes the floor.
    EchoTakeover,
    /// A turn over a lossy, jittery line.
    Lossy,
    /// Both begin at once.
    BothBegin,
    /// The caller goes on right after the turn was taken.
    Resumes,
    /// "Yes" at the very end of the agent's question.
    YesAtEnd,
    /// The caller says nothing.
    Silence,
}

/// Every kind, in the order of the report.
pub const KINDS: [SceneKind; 19] = [
    SceneKind::Plain,
    SceneKind::Pauses,
    SceneKind::Digits,
    SceneKind::Spelled,
    SceneKind::OneWord,
    SceneKind::Backchannel,
    SceneKind::Burst,
    SceneKind::Takeover,
    SceneKind::StopWord,
    SceneKind::SideTalk,
    SceneKind::Talker,
    SceneKind::Noise,
    SceneKind::Echo,
    SceneKind::EchoTakeover,
    SceneKind::Lossy,
    SceneKind::BothBegin,
    SceneKind::Resumes,
    SceneKind::YesAtEnd,
    SceneKind::Silence,
];

/// When a step begins, in ms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cue {
    /// After the call was answered.
    At(u64),
    /// After the agent began to sound at the caller's ear, since the last step.
    IntoAgent(u64),
    /// After the agent has said all it has to say.
    AfterAgent(u64),
    /// Before the agent has said all it has to say.
    BeforeAgentEnds(u64),
    /// After the step before it ended.
    AfterStep(u64),
    /// After the caller's turn was taken (the model asked), by [`Self::AfterStep`] at the latest
    /// 3 s after the step before it.
    AfterCommit(u64),
}

/// What a step is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Something to be answered.
    Turn,
    /// The rest of the turn before it.
    GoesOn,
    /// Keeps the agent talking.
    Backchannel,
    /// No words.
    Burst,
    /// Takes the floor.
    Takeover,
    /// Not meant for the agent.
    Side,
}

/// Something the caller, or somebody near, does.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// When.
    pub cue: Cue,
    /// What.
    pub role: Role,
    /// The sound, at [`LINE_RATE`].
    pub pcm: Vec<i16>,
    /// Its words, as far as a recogniser would hear them.
    pub words: Vec<SpokenWord>,
}

impl Step {
    /// Speech at a gain in dB.
    #[must_use]
    pub fn speech(cue: Cue, role: Role, speech: &Speech, decibel: f64) -> Self {
        let mut pcm = speech.pcm.clone();
        super::noise::scale(&mut pcm, decibel);
        Self {
            cue,
            role,
            pcm,
            words: speech.words.clone(),
        }
    }

    /// A sound without words.
    #[must_use]
    pub const fn sound(cue: Cue, role: Role, pcm: Vec<i16>) -> Self {
        Self {
            cue,
            role,
            pcm,
            words: Vec::new(),
        }
    }

    /// Length in ms.
    #[must_use]
    pub const fn length_ms(&self) -> u64 {
        self.pcm.len() as u64 * 1000 / LINE_RATE as u64
    }
}

/// What the agent says next, and what it then expects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentLine {
    /// Words.
    pub text: String,
    /// The kind of answer it asks for.
    pub expects: AnswerKind,
}

/// The agent's sound coming back.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Echo {
    /// Gain in dB, below zero.
    pub decibel: f64,
    /// At the far end; both ways of the line come on top.
    pub delay_ms: u64,
}

/// The network between caller and engine.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Network {
    /// Share of packets lost, singly or in pairs.
    pub loss: f64,
    /// Longest extra delay of a packet, in ms.
    pub jitter_ms: f64,
}

/// A scene, complete.
#[derive(Clone, Debug)]
pub struct Scene {
    /// What it tests.
    pub kind: SceneKind,
    /// Where its chances come from.
    pub seed: u64,
    /// The agent's lines: the opening, then one for each turn of the caller.
    pub agent: Vec<AgentLine>,
    /// What the caller does, in order.
    pub steps: Vec<Step>,
    /// A background under everything, at [`LINE_RATE`], played in a loop; empty for none.
    pub background: Vec<i16>,
    /// Its kind and signal-to-noise ratio, for the report.
    pub background_kind: Option<(Background, f64)>,
    /// The line's echo.
    pub echo: Option<Echo>,
    /// The line's faults.
    pub network: Network,
    /// The recogniser.
    pub ears: Ears,
    /// Whether the voice tells where words lie.
    pub word_timings: bool,
    /// The scene ends this long after its last step has been answered.
    pub tail_ms: u64,
}
