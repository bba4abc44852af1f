//! Scenes in which the caller, or something near, sounds while the agent speaks.

use super::corpus;
use super::{AnswerKind, Cue, Draw, Role, Scene, Step};
use crate::simulation::noise::{BURSTS, burst};
use crate::simulation::scene::Echo;
use crate::simulation::speech::{SPEECH_DBFS, Speaker};

impl Draw<'_> {
    /// A turn of the caller that the agent answers at length: from it the engine knows how the
    /// caller sounds.
    fn begin(&mut self, scene: &mut Scene) {
        self.open(scene);
        let text = *self.of(&corpus::SHORT_TURNS);
        let speech = self.store.say(self.caller, text);
        let cue = Cue::AfterAgent(self.reaction());
        scene
            .steps
            .push(Step::speech(cue, Role::Turn, &speech, self.level));
        let line = self.line(&corpus::LONG_LINES, AnswerKind::Open);
        scene.agent.push(line);
        self.answer(scene);
    }

    /// Some way into the long answer, but well before its end.
    fn amid(&mut self) -> Cue {
        Cue::IntoAgent(self.random.between(700.0, 5_000.0) as u64)
    }

    pub(super) fn backchannel(&mut self, scene: &mut Scene) {
        self.begin(scene);
        for cue in [self.amid(), Cue::AfterStep(1_800)] {
            let word = *self.of(&corpus::BACKCHANNELS);
            let speech = self.store.say(self.caller, word);
            // They are softer than speech that is meant to be answered.
            let level = self.level - self.random.between(0.0, 8.0);
            scene
                .steps
                .push(Step::speech(cue, Role::Backchannel, &speech, level));
            if self.random.chance(0.5) {
                break;
            }
        }
    }

    pub(super) fn burst(&mut self, scene: &mut Scene) {
        self.begin(scene);
        let kind = *self.random.pick(&BURSTS);
        let dbfs = SPEECH_DBFS + self.level + self.random.between(-10.0, 3.0);
        let pcm = burst(kind, dbfs, &mut self.random);
        let cue = self.amid();
        scene.steps.push(Step::sound(cue, Role::Burst, pcm));
    }

    pub(super) fn takeover(&mut self, scene: &mut Scene, stop_word: bool) {
        self.begin(scene);
        let list: &[&str] = if stop_word {
            &corpus::STOPS
        } else {
            &corpus::TAKEOVERS
        };
        let text = *self.of(list);
        let speech = self.store.say(self.caller, text);
        let cue = self.amid();
        // Who wants the floor raises the voice a little.
        let level = self.level + self.random.between(-2.0, 4.0);
        scene
            .steps
            .push(Step::speech(cue, Role::Takeover, &speech, level));
    }

    pub(super) fn side_talk(&mut self, scene: &mut Scene) {
        self.begin(scene);
        let text = *self.of(&corpus::SIDE);
        // Somebody else in the room, or the caller turned away.
        let speaker = if self.random.chance(0.7) {
            Speaker::draw(&mut self.random)
        } else {
            self.caller
        };
        let speech = self.store.say(speaker, text);
        let below = self.random.between(10.0, 20.0);
        let cue = self.amid();
        let mut step = Step::speech(cue, Role::Side, &speech, self.level - below);
        // Recognisers write down what is not much softer than the caller.
        if below > 14.0 {
            step.words.clear();
        }
        scene.steps.push(step);
    }

    /// A line that sends the agent back at -10 to -40 dB after 20 to 400 ms.
    pub(super) fn echo(&mut self, scene: &mut Scene, takeover: bool) {
        scene.echo = Some(Echo {
            decibel: -self.random.between(10.0, 40.0),
            delay_ms: self.random.log_between(20.0, 400.0) as u64,
        });
        if takeover {
            self.takeover(scene, false);
        } else {
            self.begin(scene);
        }
    }

    /// The caller begins within 200 ms of the agent.
    pub(super) fn both_begin(&mut self, scene: &mut Scene) {
        self.begin(scene);
        let text = *self.of(&corpus::TAKEOVERS);
        let speech = self.store.say(self.caller, text);
        let cue = Cue::IntoAgent(self.random.between(0.0, 160.0) as u64);
        scene
            .steps
            .push(Step::speech(cue, Role::Takeover, &speech, self.level));
    }

    /// "Yes" from 400 ms before the agent's question ends to its end.
    pub(super) fn yes_at_end(&mut self, scene: &mut Scene) {
        self.open(scene);
        let first = *self.of(&corpus::SHORT_TURNS);
        let first = self.store.say(self.caller, first);
        let cue = Cue::AfterAgent(self.reaction());
        scene
            .steps
            .push(Step::speech(cue, Role::Turn, &first, self.level));
        let question = self.line(&corpus::YES_NO_QUESTIONS, AnswerKind::YesNo);
        scene.agent.push(question);
        let word = *self.of(&["yes", "yeah", "sure", "okay"]);
        let speech = self.store.say(self.caller, word);
        let cue = Cue::BeforeAgentEnds(self.random.between(60.0, 460.0) as u64);
        scene
            .steps
            .push(Step::speech(cue, Role::Turn, &speech, self.level));
        self.answer(scene);
    }
}
