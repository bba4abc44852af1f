//! Answers that are prepared while it is not yet sure that the caller's turn is over.
//!
//! Such an answer is made behind a closed gate: nothing of it is heard, none of its tools runs and
//! what it expects next is not in force until the turn is taken. It is kept if the caller's text is then still
//! what was answered, and leaves no trace if not.

use std::time::Instant;

use super::answer::Trigger;
use super::caller_turn::{Speculation, spoken_form};
use super::interruption::Floor;
use super::state::Conversation;
use crate::llm::Message;
use crate::stt::AnswerKind;
use crate::turn_timings::TurnMarks;

impl Conversation {
    /// Begins an answer when the caller pauses on a text, and gives it up when the text grows.
    pub(super) fn consider_speculation(&mut self, now: Instant) {
        if let Some(speculation) = &self.speculation {
            let same = self
                .caller
                .as_ref()
                .is_some_and(|turn| spoken_form(&turn.text()) == speculation.text);
            if same {
                return;
            }
            self.speculations += 1;
            self.drop_speculation();
        }
        if self.answer.is_some()
            || self.floor != Floor::Settled
            || self.keys.is_some()
            || self.parked.is_some()
            || self.model_refused
            || self.speculations >= self.config.speculations_max
        {
            return;
        }
        let Some(turn) = &self.caller else { return };
        let pause = self.segmenter.pause();
        if pause < self.config.speculate_after
            || turn.forced
            || turn.spoken > self.config.speculate_speech_max
        {
            return;
        }
        // While something dictated is going on most pauses are not the last.
        let dictated = matches!(self.hints.kind, AnswerKind::Digits | AnswerKind::Spelling);
        if dictated && pause < self.config.speculate_after * 6 {
            return;
        }
        let text = turn.text();
        let Some(text_at) = turn.text_at.filter(|_| !text.is_empty()) else {
            return;
        };
        // The last word comes some way into the pause: a text older than that misses it.
        let fresh = now.saturating_duration_since(text_at) < pause;
        if !fresh && pause < self.config.speculate_late {
            return;
        }
        let entry = self.history.push(Message::User {
            text: text.clone(),
            dtmf: false,
        });
        self.speculation = Some(Speculation {
            text: spoken_form(&text),
            entry,
            expected: None,
        });
        self.begin_answer(Trigger::Caller, now);
        if let Some(answer) = &mut self.answer {
            answer.gate_closed = true;
        }
        self.ask_model(now);
    }

    /// The prepared answer, if it answers `text`; another one is given up.
    pub(super) fn take_speculation(&mut self, text: &str) -> Option<Speculation> {
        if self
            .speculation
            .as_ref()
            .is_some_and(|s| s.text == spoken_form(text))
        {
            return self.speculation.take();
        }
        self.drop_speculation();
        None
    }

    /// The turn is taken, and its answer is at hand: the gate opens.
    pub(super) fn open_prepared(&mut self, prepared: Speculation, marks: TurnMarks) {
        if let Some(answer) = &mut self.answer {
            answer.gate_closed = false;
            let made = answer.marks;
            answer.marks = TurnMarks {
                request: made.request,
                first_token: made.first_token,
                first_chunk: made.first_chunk,
                first_audio: made.first_audio,
                first_voice: made.first_voice,
                ..marks
            };
        }
        if let Some(hints) = prepared.expected {
            self.expect(hints);
        }
    }

    /// Gives up a prepared answer without a trace.
    pub(super) fn drop_speculation(&mut self) {
        let Some(speculation) = self.speculation.take() else {
            return;
        };
        if let Some(mut answer) = self.answer.take() {
            self.drop_generation(&mut answer);
        }
        self.history.withdraw(speculation.entry);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
mod tests {
    use serde_json::json;

    use super::super::{Action, ConversationConfig};
    use super::*;
    use crate::call::CallEvent;
    use crate::stt::RecognitionHints;
    use crate::testing::leg::CallerScript;
    use crate::testing::llm::Reply;
    use crate::testing::rig::{Rig, agent};
    use crate::testing::stt::Said;
    use media::leg::LegCommand;

    fn call(said: &[(u64, u64, &str)], replies: Vec<Reply>) -> Rig {
        let caller = CallerScript {
            said: said
                .iter()
                .map(|(a, b, text)| Said::new(*a, *b, text))
                .collect(),
            ..CallerScript::default()
        };
        let mut rig = Rig::new(Instant::now(), agent(), caller, replies);
        rig.conversation = Conversation::new(agent(), ConversationConfig::default());
        rig
    }

    fn time_of(rig: &Rig, wanted: fn(&Action) -> bool) -> Option<u64> {
        rig.actions
            .iter()
            .find(|(_, a)| wanted(a))
            .map(|(ms, _)| *ms)
    }

    const fn is_taken(action: &Action) -> bool {
        matches!(action, Action::Emit(CallEvent::TurnTaken { .. }))
    }

    #[test]
    fn an_answer_is_ready_when_the_turn_is_taken_and_not_heard_before() {
        let mut rig = call(
            &[(500, 2500, "I need a taxi")],
            vec![Reply::say("Where to?")],
        );
        rig.run_until(6000);
        let taken = time_of(&rig, is_taken).unwrap();
        let asked = time_of(&rig, |a| matches!(a, Action::Respond { .. })).unwrap();
        let played = |a: &Action| matches!(a, Action::Leg(LegCommand::Play(_)));
        let played = time_of(&rig, played).unwrap();
        assert!(
            asked + 200 <= taken && taken <= played,
            "{asked} {taken} {played}"
        );
        let timings = rig.turns()[1].timings.unwrap();
        assert!(timings.dispatch < 0 && timings.gate_hold > 0, "{timings:?}");
        assert!(crate::turn_timings::adds_up(&timings));
        assert_eq!(rig.transcript(), ["c: I need a taxi", "a: Where to?"]);
        assert_eq!(rig.model.asked().len(), 1);
    }

    #[test]
    fn an_answer_to_half_a_turn_leaves_no_trace() {
        let expects = RecognitionHints {
            kind: AnswerKind::Digits,
            ..RecognitionHints::default()
        };
        let mut rig = call(
            &[(500, 1500, "I need a taxi"), (1800, 2800, "to the airport")],
            vec![
                Reply::say("What number?").and_expect(expects),
                Reply::say("It comes soon."),
            ],
        );
        rig.run_until(7000);
        assert_eq!(
            rig.transcript(),
            ["c: I need a taxi to the airport", "a: It comes soon."]
        );
        assert_eq!(
            rig.last_asked(),
            [Message::User {
                text: "I need a taxi to the airport".to_owned(),
                dtmf: false
            }]
        );
        assert_eq!(rig.conversation.hints.kind, AnswerKind::Open);
        let digits = |a: &Action| matches!(a, Action::Stt(crate::stt::SttCommand::Hints(h)) if h.kind == AnswerKind::Digits);
        assert_eq!(time_of(&rig, digits), None);
    }

    #[test]
    fn no_tool_runs_before_the_turn_is_taken() {
        let reply = Reply::say("One moment.").and_call("1", "book", json!({}));
        let mut rig = call(&[(500, 2500, "book it")], vec![reply, Reply::say("Done.")]);
        rig.run_until(8000);
        let taken = time_of(&rig, is_taken).unwrap();
        let ran = time_of(&rig, |a| matches!(a, Action::RunTool { .. })).unwrap();
        assert!(ran >= taken, "{ran} {taken}");
        assert_eq!(rig.turns()[1].text, "One moment. Done.");
    }

    #[test]
    fn a_failure_of_what_is_prepared_is_not_the_callers() {
        let mut rig = call(
            &[(500, 2500, "hello")],
            vec![Reply::fail(false), Reply::say("Hi.")],
        );
        rig.run_until(6000);
        assert_eq!(rig.transcript(), ["c: hello", "a: Hi."]);
    }
}
