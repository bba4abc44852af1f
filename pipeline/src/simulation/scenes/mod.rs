//! The scene generator: from a seed to a scene, in proportions fixed for the suite.

mod corpus;
mod overlaps;
mod turns;

use std::sync::Arc;

use super::latency::EARS;
use super::noise::{Background, background};
use super::random::Random;
use super::scene::{AgentLine, Cue, KINDS, Network, Role, Scene, SceneKind, Step};
use super::speech::{LINE_RATE, SPEECH_DBFS, Speaker, SpeechStore};
use crate::stt::AnswerKind;

/// Seeds from here on draw from the sentences that are held apart from tuning.
pub const HELD_OUT: u64 = 1_000_000;
/// Longest scene, in ms.
pub const SCENE_MS_MAX: u64 = 45_000;

/// How many of every hundred scenes are of each kind.
const SHARES: [(SceneKind, u32); 19] = [
    (SceneKind::Plain, 8),
    (SceneKind::Pauses, 20),
    (SceneKind::Digits, 6),
    (SceneKind::Spelled, 6),
    (SceneKind::OneWord, 4),
    (SceneKind::Backchannel, 10),
    (SceneKind::Burst, 5),
    (SceneKind::Takeover, 9),
    (SceneKind::StopWord, 3),
    (SceneKind::SideTalk, 4),
    (SceneKind::Talker, 4),
    (SceneKind::Noise, 4),
    (SceneKind::Echo, 4),
    (SceneKind::EchoTakeover, 3),
    (SceneKind::Lossy, 3),
    (SceneKind::BothBegin, 2),
    (SceneKind::Resumes, 2),
    (SceneKind::YesAtEnd, 2),
    (SceneKind::Silence, 1),
];

/// Kinds of `count` scenes: every kind in its share, spread evenly.
#[must_use]
pub fn kinds(count: usize) -> Vec<SceneKind> {
    let mut owed = [0i64; KINDS.len()];
    (0..count)
        .map(|_| {
            for (owed, (_, share)) in owed.iter_mut().zip(SHARES) {
                *owed += i64::from(share);
            }
            let most = (0..owed.len())
                .max_by_key(|i| (owed[*i], usize::MAX - i))
                .unwrap_or(0);
            owed[most] -= 100;
            SHARES[most].0
        })
        .collect()
}

/// Draws scenes.
#[derive(Debug)]
pub struct SceneGenerator {
    store: Arc<SpeechStore>,
}

/// What a scene is drawn with.
struct Draw<'a> {
    store: &'a SpeechStore,
    random: Random,
    held_out: bool,
    caller: Speaker,
    /// Gain of the caller's speech in dB.
    level: f64,
}

impl SceneGenerator {
    /// A generator that takes its speech from `store`.
    #[must_use]
    pub const fn new(store: Arc<SpeechStore>) -> Self {
        Self { store }
    }

    /// The scene of this kind and seed.
    #[must_use]
    pub fn scene(&self, kind: SceneKind, seed: u64, index: u64) -> Scene {
        let scene_seed = Random::new(seed.wrapping_add(index << 20), 0x5c).bits();
        let mut random = Random::new(scene_seed, kind as u64);
        let caller = Speaker::draw(&mut random);
        // Callers reach a telephone server at -15 to -33 dBFS.
        let level = random.between(-13.0, 5.0);
        let mut draw = Draw {
            store: &self.store,
            random,
            held_out: seed >= HELD_OUT,
            caller,
            level,
        };
        let ears = *draw.random.pick(&EARS);
        let word_timings = draw.random.chance(0.5);
        let mut scene = Scene {
            kind,
            seed: scene_seed,
            agent: Vec::new(),
            steps: Vec::new(),
            background: Vec::new(),
            background_kind: None,
            echo: None,
            network: Network {
                loss: 0.0,
                jitter_ms: draw.random.between(0.0, 15.0),
            },
            ears,
            word_timings,
            tail_ms: 4_000,
        };
        draw.fill(&mut scene);
        scene
    }
}

impl Draw<'_> {
    fn fill(&mut self, scene: &mut Scene) {
        match scene.kind {
            SceneKind::Plain => self.plain(scene),
            SceneKind::Pauses => self.pauses(scene),
            SceneKind::Digits => self.digits(scene),
            SceneKind::Spelled => self.spelled(scene),
            SceneKind::OneWord => self.one_word(scene),
            SceneKind::Resumes => self.resumes(scene),
            SceneKind::Talker => self.over_background(scene, &[Background::Television], 5.0, 15.0),
            SceneKind::Noise => self.over_background(
                scene,
                &[Background::White, Background::Pink, Background::Babble],
                5.0,
                20.0,
            ),
            SceneKind::Lossy => {
                self.plain(scene);
                scene.network = Network {
                    loss: self.random.between(0.01, 0.1),
                    jitter_ms: self.random.between(20.0, 80.0),
                };
            }
            SceneKind::Backchannel => self.backchannel(scene),
            SceneKind::Burst => self.burst(scene),
            SceneKind::Takeover => self.takeover(scene, false),
            SceneKind::StopWord => self.takeover(scene, true),
            SceneKind::SideTalk => self.side_talk(scene),
            SceneKind::Echo => self.echo(scene, false),
            SceneKind::EchoTakeover => self.echo(scene, true),
            SceneKind::BothBegin => self.both_begin(scene),
            SceneKind::YesAtEnd => self.yes_at_end(scene),
            SceneKind::Silence => self.open(scene),
        }
    }

    /// One of the half of a list that this seed may use.
    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        let half = list.len() / 2;
        &list[self.random.below(half) * 2 + usize::from(self.held_out)]
    }

    fn line(&mut self, list: &[&str], expects: AnswerKind) -> AgentLine {
        AgentLine {
            text: (*self.of(list)).to_owned(),
            expects,
        }
    }

    /// The agent opens with a question for anything.
    fn open(&mut self, scene: &mut Scene) {
        let line = self.line(&corpus::OPENINGS, AnswerKind::Open);
        scene.agent.push(line);
    }

    /// The agent answers a turn.
    fn answer(&mut self, scene: &mut Scene) {
        let line = self.line(&corpus::ANSWERS, AnswerKind::Open);
        scene.agent.push(line);
    }

    /// How long callers take to answer, in ms.
    fn reaction(&mut self) -> u64 {
        self.random.log_between(200.0, 1_200.0) as u64
    }

    fn over_background(&mut self, scene: &mut Scene, kinds: &[Background], from: f64, to: f64) {
        if self.random.chance(0.5) {
            self.plain(scene);
        } else {
            self.pauses(scene);
        }
        let kind = *self.random.pick(kinds);
        let snr = self.random.between(from, to);
        let dbfs = SPEECH_DBFS + self.level - snr;
        let length = 12 * LINE_RATE as usize;
        scene.background = background(kind, dbfs, length, self.store, &mut self.random);
        scene.background_kind = Some((kind, snr));
    }
}

fn samples(ms: f64) -> usize {
    (ms * f64::from(LINE_RATE) / 1000.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_every_kind_comes_early() {
        assert_eq!(SHARES.iter().map(|(_, share)| share).sum::<u32>(), 100);
        let drawn = kinds(100);
        for (kind, share) in SHARES {
            let count = drawn.iter().filter(|k| **k == kind).count();
            assert_eq!(count, share as usize, "{kind:?}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_scene_and_held_out_sentences_differ() {
        let generator = SceneGenerator::new(Arc::default());
        let scene = |seed| generator.scene(SceneKind::Pauses, seed, 3);
        assert_eq!(scene(5).steps, scene(5).steps);
        assert_ne!(scene(5).steps, scene(6).steps);
        let opening = |seed| scene(seed).agent[0].text.clone();
        let tuning: Vec<String> = (0..20).map(opening).collect();
        assert!(!tuning.contains(&opening(HELD_OUT)));
    }
}
