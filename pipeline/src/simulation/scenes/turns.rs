//! Scenes of the caller's own turns.

use super::corpus;
use super::{AgentLine, AnswerKind, Cue, Draw, Role, Scene, Step, samples};
use crate::simulation::latency::Latency;
use crate::simulation::speech::Speech;

/// Shortest and longest pause inside a turn, in ms.
const PAUSE_MS: (f64, f64) = (100.0, 2_500.0);
/// Pauses inside turns, in ms: log-normal, with a 95th percentile (1.8 s) between those published
/// for call centres (2.5 s) and for clean two-channel speech (1.4 s).
const PAUSES: Latency = Latency {
    p50: 420.0,
    p99: 3_290.0,
};

/// Digits between two pauses, as numbers are dictated.
const GROUPS: [&[usize]; 6] = [
    &[3, 3, 4],
    &[2, 2, 2, 2, 2],
    &[4, 4, 4, 4],
    &[3, 4],
    &[5, 6],
    &[4, 3, 4],
];

impl Draw<'_> {
    pub(super) fn plain(&mut self, scene: &mut Scene) {
        self.open(scene);
        for _ in 0..2 {
            let text = *self.of(&corpus::SHORT_TURNS);
            let speech = self.store.say(self.caller, text);
            let cue = Cue::AfterAgent(self.reaction());
            let step = Step::speech(cue, Role::Turn, &speech, self.level);
            scene.steps.push(step);
            self.answer(scene);
        }
    }

    /// Two turns, each with one or two pauses.
    pub(super) fn pauses(&mut self, scene: &mut Scene) {
        self.open(scene);
        for _ in 0..2 {
            let marked = *self.of(&corpus::TURNS);
            let speech = self.hesitant(marked);
            let cue = Cue::AfterAgent(self.reaction());
            let step = Step::speech(cue, Role::Turn, &speech, self.level);
            scene.steps.push(step);
            self.answer(scene);
        }
    }

    /// Says a text with pauses, most of them at its marks, some with a filler before.
    pub(super) fn hesitant(&mut self, marked: &str) -> Speech {
        let clauses: Vec<&str> = marked.split('|').map(str::trim).collect();
        let mut words: Vec<String> = Vec::new();
        let mut marks = Vec::new();
        for clause in &clauses {
            words.extend(clause.split_whitespace().map(str::to_owned));
            marks.push(words.len());
        }
        marks.pop();
        let count = 1 + usize::from(self.random.chance(0.4));
        let mut at: Vec<usize> = Vec::new();
        for _ in 0..count {
            let place = if self.random.chance(0.7) {
                *self.random.pick(&marks)
            } else {
                1 + self.random.below(words.len() - 1)
            };
            if !at.contains(&place) {
                at.push(place);
            }
        }
        at.sort_unstable();
        let mut text: Vec<String> = Vec::new();
        let mut pauses = Vec::new();
        let mut from = 0;
        for place in at {
            text.extend_from_slice(&words[from..place]);
            from = place;
            if self.random.chance(0.25) {
                text.push((*self.random.pick(&["um", "uh"])).to_owned());
            }
            pauses.push((text.len() - 1, samples(self.pause())));
        }
        text.extend_from_slice(&words[from..]);
        self.store
            .say(self.caller, &text.join(" "))
            .with_pauses(&pauses)
    }

    fn pause(&mut self) -> f64 {
        let drawn = PAUSES.draw(&mut self.random).as_secs_f64() * 1000.0;
        drawn.clamp(PAUSE_MS.0, PAUSE_MS.1)
    }

    /// Pieces said one after another, each a breath of its own.
    fn in_pieces(&mut self, pieces: &[String], from: f64, to: f64) -> Speech {
        let mut speech = Speech::default();
        for piece in pieces {
            let said = self.store.say(self.caller, piece);
            let pause = if speech.pcm.is_empty() {
                0
            } else {
                samples(self.random.log_between(from, to))
            };
            speech.append(pause, &said);
        }
        speech
    }

    fn ask(&mut self, scene: &mut Scene, questions: &[&str], expects: AnswerKind, speech: &Speech) {
        self.open(scene);
        let first = *self.of(&corpus::SHORT_TURNS);
        let first = self.store.say(self.caller, first);
        let cue = Cue::AfterAgent(self.reaction());
        scene
            .steps
            .push(Step::speech(cue, Role::Turn, &first, self.level));
        let question = self.line(questions, expects);
        scene.agent.push(question);
        let cue = Cue::AfterAgent(self.reaction());
        scene
            .steps
            .push(Step::speech(cue, Role::Turn, speech, self.level));
        self.answer(scene);
    }

    pub(super) fn digits(&mut self, scene: &mut Scene) {
        let groups = *self.random.pick(&GROUPS);
        let pieces: Vec<String> = groups
            .iter()
            .map(|len| {
                let digits: Vec<&str> = (0..*len)
                    .map(|_| *self.random.pick(&corpus::DIGITS))
                    .collect();
                digits.join(" ")
            })
            .collect();
        let speech = self.in_pieces(&pieces, 200.0, 1_400.0);
        self.ask(scene, &corpus::DIGIT_QUESTIONS, AnswerKind::Digits, &speech);
    }

    pub(super) fn spelled(&mut self, scene: &mut Scene) {
        let pieces: Vec<String> = match self.random.below(3) {
            0 => {
                let name = (*self.of(&corpus::NAMES)).to_owned();
                let domain = *self.of(&corpus::DOMAINS);
                vec![name, format!("at {domain}")]
            }
            1 => (0..2 + self.random.below(3))
                .map(|_| {
                    let letters: Vec<&str> = (0..2 + self.random.below(3))
                        .map(|_| *self.random.pick(&corpus::LETTERS))
                        .collect();
                    letters.join(" ")
                })
                .collect(),
            _ => {
                let street = *self.of(&corpus::STREETS);
                street.split('|').map(|p| p.trim().to_owned()).collect()
            }
        };
        let speech = self.in_pieces(&pieces, 200.0, 1_400.0);
        self.ask(
            scene,
            &corpus::SPELL_QUESTIONS,
            AnswerKind::Spelling,
            &speech,
        );
    }

    pub(super) fn one_word(&mut self, scene: &mut Scene) {
        let (word, kind) = *self.of(&corpus::ONE_WORD);
        let speech = self.store.say(self.caller, word);
        match kind {
            AnswerKind::YesNo => self.ask(scene, &corpus::YES_NO_QUESTIONS, kind, &speech),
            _ => self.ask(scene, &corpus::OPENINGS, kind, &speech),
        }
    }

    /// The caller goes on shortly after the turn was taken.
    pub(super) fn resumes(&mut self, scene: &mut Scene) {
        self.open(scene);
        let first = *self.of(&corpus::SHORT_TURNS);
        let first = self.store.say(self.caller, first);
        let cue = Cue::AfterAgent(self.reaction());
        scene
            .steps
            .push(Step::speech(cue, Role::Turn, &first, self.level));
        let rest = *self.of(&[
            "and it is rather urgent",
            "if that is possible",
            "because i am leaving soon",
            "for my sister",
        ]);
        let rest = self.store.say(self.caller, rest);
        let cue = Cue::AfterCommit(self.random.between(0.0, 250.0) as u64);
        scene
            .steps
            .push(Step::speech(cue, Role::GoesOn, &rest, self.level));
        self.answer(scene);
        let line: AgentLine = self.line(&corpus::ANSWERS, AnswerKind::Open);
        scene.agent.push(line);
    }
}
