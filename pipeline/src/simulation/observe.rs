//! What came of one scene, held against its labels.

use std::sync::Arc;
use std::time::Instant;

use media::frame::{FRAME_MS, FRAME_RATE};
use media::leg::LegCommand;
use serde::Serialize;

use super::scene::{Role, Scene, SceneKind};
use super::speech::{LINE_RATE, SpeechStore};
use super::world::{DOWNLINK_MS, World};
use crate::call::{AgentProfile, CallEvent, Speaker};
use crate::conversation::{Action, Conversation, ConversationConfig};
use crate::llm::Message;
use crate::testing::rig::{Rig, agent};
use crate::turn_timings::adds_up;

/// A commit this close before the last sample is none: frames are 20 ms long.
const GRID_MS: u64 = 40;
/// An agent that is silent for this long has stopped.
const STOP_MS: u64 = 600;
/// An agent that has not stopped within this has not yielded.
const YIELD_MAX_MS: u64 = 2_000;
/// What follows an overlap within this is its consequence.
const AFTERMATH_MS: u64 = 2_500;
/// An echo path may be learnt for this long.
const CONVERGENCE_MS: u64 = 3_000;

/// A turn of the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct TurnSeen {
    /// Times the turn was taken before its end.
    pub cut_off: u32,
    /// Whether the agent was heard in the middle of it.
    pub talked_into: bool,
    /// From its last sample to the moment it was taken, in ms.
    pub wait_ms: Option<u64>,
    /// From its last sample at the engine's ingress to the agent at the caller's ear, in ms.
    pub voice_to_voice_ms: Option<u64>,
}

/// Something that sounded over the agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct OverlapSeen {
    /// From its onset to the last of the agent at the caller's ear, if the agent yielded.
    pub yield_ms: Option<u64>,
    /// The agent was stopped, or answered it.
    pub reacted: bool,
    /// Stopped, and went on of itself.
    pub resumed: bool,
    /// How long the agent held its breath.
    pub held_ms: u64,
}

/// What the model was told of an answer that was cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct CutSeen {
    /// Whether the voice told where words lie.
    pub word_timings: bool,
    /// Words told less words heard.
    pub words_off: i64,
    /// Whether the sound on the wire agrees with the leg's account; `None` in a pause.
    pub account: Option<bool>,
}

/// A scene's outcome.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Observation {
    /// What it tested.
    pub kind: SceneKind,
    /// Its seed.
    pub seed: u64,
    /// The caller's turns.
    pub turns: Vec<TurnSeen>,
    /// What sounded over the agent.
    pub overlaps: Vec<OverlapSeen>,
    /// Answers that were cut.
    pub cuts: Vec<CutSeen>,
    /// Answers with spans, and those of them whose spans do not add up.
    pub spans: (u32, u32),
    /// Times the agent took itself for the caller: before its echo was learnt, and after.
    pub self_interruptions: (u32, u32),
    /// Requests to the model, and those of them that were dropped.
    pub requests: (u32, u32),
    /// Length in ms.
    pub length_ms: u64,
}

/// Plays a scene against an engine of this configuration.
#[must_use]
pub fn play(
    scene: &Arc<Scene>,
    store: &Arc<SpeechStore>,
    config: &ConversationConfig,
    origin: Instant,
) -> Observation {
    let (rig, length_ms) = run(scene, store, config, origin);
    Watcher {
        scene,
        rig: &rig,
        length_ms,
    }
    .observe()
}

/// Plays a scene; gives the rig as it was left.
#[must_use]
pub fn run(
    scene: &Arc<Scene>,
    store: &Arc<SpeechStore>,
    config: &ConversationConfig,
    origin: Instant,
) -> (Rig<World>, u64) {
    let profile = AgentProfile {
        model_opens: true,
        ..agent()
    };
    let world = World::new(Arc::clone(scene), Arc::clone(store), origin);
    let conversation = Conversation::new(profile, config.clone());
    let mut rig = Rig::around(origin, conversation, world);
    let mut idle_since = None;
    loop {
        let ms = rig.elapsed_ms();
        rig.run_until(ms + 100);
        let idle = rig.is_played_out() && rig.agent_is_done(rig.now());
        let since = if idle {
            *idle_since.get_or_insert(ms)
        } else {
            ms
        };
        if !idle {
            idle_since = None;
        }
        let over = idle && ms >= since + scene.tail_ms;
        if over || ms >= super::scenes::SCENE_MS_MAX || rig.finished().is_some() {
            return (rig, ms);
        }
    }
}

struct Watcher<'a> {
    scene: &'a Scene,
    rig: &'a Rig<World>,
    length_ms: u64,
}

impl Watcher<'_> {
    fn observe(&self) -> Observation {
        let placed = &self.rig.placed;
        let mut turns = Vec::new();
        let mut overlaps = Vec::new();
        for (at, place) in placed.iter().enumerate() {
            let next = placed.get(at + 1);
            let until = next.map_or(self.length_ms, |next| next.from_ms);
            match self.scene.steps[place.step].role {
                Role::Turn => {
                    let rest = next.filter(|n| self.scene.steps[n.step].role == Role::GoesOn);
                    if rest.is_none() {
                        turns.push(self.turn(place.from_ms, place.to_ms, until));
                    }
                }
                Role::GoesOn => turns.push(self.turn(place.from_ms, place.to_ms, until)),
                Role::Takeover | Role::Backchannel | Role::Burst | Role::Side => {
                    if self.audible(place.from_ms.saturating_sub(100), place.from_ms + 100) {
                        overlaps.push(self.overlap(place.from_ms, place.to_ms));
                    }
                }
            }
        }
        Observation {
            kind: self.scene.kind,
            seed: self.scene.seed,
            turns,
            overlaps,
            cuts: self.cuts(),
            spans: self.spans(),
            self_interruptions: self.self_interruptions(),
            requests: self.requests(),
            length_ms: self.length_ms,
        }
    }

    /// Times at which a turn was taken, in ms.
    fn commits(&self) -> impl Iterator<Item = u64> {
        self.rig
            .actions
            .iter()
            .filter_map(|(ms, action)| match action {
                Action::Emit(CallEvent::TurnTaken { .. }) => Some(*ms),
                _ => None,
            })
    }

    fn clears(&self) -> impl Iterator<Item = u64> {
        self.rig
            .actions
            .iter()
            .filter_map(|(ms, action)| match action {
                Action::Leg(LegCommand::Clear { .. }) => Some(*ms),
                _ => None,
            })
    }

    /// Whether the agent was audible on the wire in some tick between two times.
    fn audible(&self, from: u64, to: u64) -> bool {
        self.first_audible(from, to).is_some()
    }

    fn first_audible(&self, from: u64, to: u64) -> Option<u64> {
        let tick = u64::from(FRAME_MS);
        (from.div_ceil(tick)..to.div_ceil(tick))
            .find(|at| self.rig.audible.get(*at as usize) == Some(&true))
            .map(|at| at * tick)
    }

    fn turn(&self, from: u64, to: u64, until: u64) -> TurnSeen {
        let early = |ms: &u64| *ms > from && ms + GRID_MS < to;
        let cut_off = self.commits().filter(early).count() as u32;
        let first_early = self.commits().find(early);
        let talked_into =
            first_early.is_some_and(|at| self.audible(at, to.saturating_sub(DOWNLINK_MS)));
        let wait_ms = self
            .commits()
            .find(|ms| ms + GRID_MS >= to && *ms < until)
            .map(|ms| ms.saturating_sub(to));
        let voice_to_voice_ms = self
            .first_audible(to, until.max(to))
            .filter(|_| wait_ms.is_some())
            .map(|ms| ms + DOWNLINK_MS - to);
        TurnSeen {
            cut_off,
            talked_into,
            wait_ms,
            voice_to_voice_ms,
        }
    }

    fn overlap(&self, from: u64, to: u64) -> OverlapSeen {
        let tick = u64::from(FRAME_MS);
        let stop = (from / tick..(from + YIELD_MAX_MS) / tick).find(|at| {
            let end = (to / tick).max(at + STOP_MS / tick);
            (*at..end).all(|at| self.rig.audible.get(at as usize) != Some(&true))
        });
        let aftermath = from..to + AFTERMATH_MS;
        let stopped = self.clears().find(|ms| aftermath.contains(ms));
        let taken = self.commits().find(|ms| aftermath.contains(ms));
        let resumed = stopped
            .is_some_and(|at| taken.is_none() && self.audible(at + 300, at + 300 + AFTERMATH_MS));
        OverlapSeen {
            yield_ms: stop
                .filter(|_| stopped.is_some() || taken.is_some())
                .map(|at| (at * tick + DOWNLINK_MS).saturating_sub(from)),
            reacted: stopped.is_some() || taken.is_some(),
            resumed,
            held_ms: self.held(from, to + STOP_MS),
        }
    }

    /// How long the leg was held between two times.
    fn held(&self, from: u64, to: u64) -> u64 {
        let mut since = None;
        let mut held = 0;
        for (ms, action) in &self.rig.actions {
            match action {
                Action::Leg(LegCommand::Hold(true)) if (from..to).contains(ms) => since = Some(*ms),
                Action::Leg(LegCommand::Hold(false)) => {
                    held += since.take().map_or(0, |since| ms - since);
                }
                _ => {}
            }
        }
        held
    }

    fn spans(&self) -> (u32, u32) {
        let timings = self
            .rig
            .actions
            .iter()
            .filter_map(|(_, action)| match action {
                Action::Emit(CallEvent::Turn(turn)) if turn.speaker == Speaker::Agent => {
                    turn.timings
                }
                _ => None,
            });
        timings.fold((0, 0), |(all, bad), t| {
            (all + 1, bad + u32::from(!adds_up(&t)))
        })
    }

    fn requests(&self) -> (u32, u32) {
        let count = |wanted: fn(&Action) -> bool| {
            self.rig.actions.iter().filter(|(_, a)| wanted(a)).count() as u32
        };
        (
            count(|a| matches!(a, Action::Respond { .. })),
            count(|a| matches!(a, Action::CancelRespond { .. })),
        )
    }

    /// Clears that none of the caller's steps explains.
    fn self_interruptions(&self) -> (u32, u32) {
        let first = self.first_audible(0, self.length_ms).unwrap_or(0);
        let explained = |ms: u64| {
            self.rig
                .placed
                .iter()
                .any(|p| (p.from_ms..p.to_ms + AFTERMATH_MS).contains(&ms))
        };
        let (mut early, mut late) = (0, 0);
        for ms in self
            .clears()
            .chain(self.commits())
            .filter(|ms| !explained(*ms))
        {
            if ms < first + CONVERGENCE_MS {
                early += 1;
            } else {
                late += 1;
            }
        }
        (early, late)
    }

    /// For every answer that was cut and told to the model: what was told against what was heard.
    fn cuts(&self) -> Vec<CutSeen> {
        let mut seen = Vec::new();
        for (at, cut) in self.rig.cuts.iter().enumerate() {
            let Some(heard) = cut.heard else { continue };
            let next_cut = self
                .rig
                .cuts
                .get(at + 1)
                .map_or(u64::MAX, |next| next.at_ms);
            let Some((_, index, base)) =
                self.rig.played.iter().find(|(id, ..)| *id == heard.segment)
            else {
                continue;
            };
            let (text, speech) = &self.rig.spoken[*index];
            let upto = base + heard.samples as usize;
            let words = speech.words.iter().filter(|w| w.end <= upto).count();
            let told = self
                .rig
                .actions
                .iter()
                .find_map(|(ms, action)| match action {
                    // What was resumed and cut again is told of the last cut alone.
                    Action::Respond { history, .. } if (cut.at_ms..next_cut).contains(ms) => {
                        history.iter().rev().find_map(|m| match m {
                            Message::Assistant { text, interrupted } if *interrupted => {
                                Some(text.split_whitespace().count())
                            }
                            _ => None,
                        })
                    }
                    _ => None,
                });
            let Some(told) = told else { continue };
            let Some(before) = self.words_before(text) else {
                continue;
            };
            seen.push(CutSeen {
                word_timings: self.scene.word_timings,
                words_off: told as i64 - (before + words) as i64,
                account: self.account(cut.at_ms, &speech.pcm, upto),
            });
        }
        seen
    }

    /// Words of the agent's line in front of a chunk of it.
    fn words_before(&self, chunk: &str) -> Option<usize> {
        let chunk: Vec<&str> = chunk.split_whitespace().collect();
        self.scene.agent.iter().find_map(|line| {
            let words: Vec<&str> = line.text.split_whitespace().collect();
            words.windows(chunk.len()).position(|w| w == chunk)
        })
    }

    /// Whether what lay on the wire one way before the clear sounds like the speech up to there.
    fn account(&self, at_ms: u64, speech: &[i16], upto: usize) -> Option<bool> {
        let window = LINE_RATE as usize / 10;
        let ratio = (FRAME_RATE / LINE_RATE) as usize;
        let said: Vec<f64> = speech
            .get(upto.checked_sub(window * ratio)?..upto)?
            .iter()
            .step_by(ratio)
            .map(|s| f64::from(*s))
            .collect();
        let energy = said.iter().map(|s| s * s).sum::<f64>();
        if energy / (window as f64) < 1e5 {
            return None;
        }
        // A held breath ended what was heard before the queue was cleared.
        let held = self
            .rig
            .actions
            .iter()
            .rev()
            .find_map(|(ms, action)| match action {
                Action::Leg(LegCommand::Hold(held)) if *ms < at_ms => Some((*ms, *held)),
                _ => None,
            });
        let end_ms = at_ms.saturating_sub(DOWNLINK_MS);
        let end_ms = match held {
            Some((ms, true)) => end_ms.min(ms),
            _ => end_ms,
        };
        let end = (end_ms * u64::from(LINE_RATE) / 1000) as usize;
        let slack = LINE_RATE as usize / 25;
        // The last frame before a held breath fades out; the one before it is compared.
        let best = (end.saturating_sub(slack)..end + slack)
            .filter_map(|end| {
                let sent = self.rig.sent.get(end.checked_sub(window)?..end)?;
                let product: f64 = sent.iter().zip(&said).map(|(a, b)| f64::from(*a) * b).sum();
                let other: f64 = sent.iter().map(|s| f64::from(*s).powi(2)).sum();
                Some(product / (energy * other.max(1.0)).sqrt())
            })
            .fold(0.0, f64::max);
        Some(best > 0.5)
    }
}
