//! Scripted calls in virtual time.

use std::time::{Duration, Instant};

use media::leg::{LegCommand, LegEvent};
use serde_json::json;

use super::*;
use crate::call::{
    AgentProfile, CallEvent, CallOrder, EndReason, OverlapVerdict, Speaker, TransferFailure,
};
use crate::llm::Message;
use crate::stt::{AnswerKind, RecognitionHints, SttCommand};
use crate::testing::leg::CallerScript;
use crate::testing::llm::Reply;
use crate::testing::rig::{Rig, agent};
use crate::testing::stt::Said;
use crate::turn_timings::adds_up;

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
fn call(agent: AgentProfile, said: &[(u64, u64, &str)], replies: Vec<Reply>) -> Rig {
    let caller = CallerScript {
        said: said
            .iter()
            .map(|(from, to, text)| Said::new(*from, *to, text))
            .collect(),
        ..CallerScript::default()
    };
    Rig::new(Instant::now(), agent, caller, replies)
}

fn greeting(text: &str) -> AgentProfile {
    AgentProfile {
        first_message: Some(text.to_owned()),
        ..agent()
    }
}

fn verdicts(rig: &Rig) -> Vec<OverlapVerdict> {
    rig.events()
        .filter_map(|e| match e {
            CallEvent::Overlap { verdict, .. } => Some(*verdict),
            _ => None,
        })
        .collect()
}

const LONG: &str = "one two three four five six seven eight nine ten, \
                    eleven twelve thirteen fourteen fifteen sixteen.";

#[test]
fn a_turn_is_heard_answered_and_timed() {
    let mut rig = call(
        agent(),
        &[(500, 2500, "I need a taxi")],
        vec![Reply::say("Where to?")],
    );
    rig.run_until(6000);
    assert_eq!(rig.transcript(), ["c: I need a taxi", "a: Where to?"]);
    let turns = rig.turns();
    assert_eq!(
        (turns[0].start_ms, turns[0].end_ms),
        (500, 2500),
        "dated back to the samples"
    );
    let timings = turns[1].timings.expect("an answer is timed");
    assert!(adds_up(&timings));
    assert_eq!(timings.vad_lag, 200_000);
    assert_eq!(
        timings.vad_lag + timings.endpoint_wait,
        540_000,
        "one owner of the wait"
    );
    assert!(
        timings.stt_ttfs.unwrap() <= 660_000,
        "finished early: {timings:?}"
    );
    assert!(timings.voice_to_voice < 850_000, "{timings:?}");
    assert_eq!(
        rig.last_asked(),
        [Message::User {
            text: "I need a taxi".to_owned(),
            dtmf: false
        }]
    );
}

#[test]
fn the_recogniser_gets_pre_roll_and_every_frame_once() {
    let mut rig = call(
        agent(),
        &[(1000, 2000, "one two"), (2700, 3400, "three")],
        vec![],
    );
    rig.run_until(5000);
    let mut expected = None;
    let mut starts = Vec::new();
    for (_, action) in &rig.actions {
        match action {
            Action::Stt(SttCommand::Start { position, .. }) => {
                starts.push(position.as_ms());
                assert!(expected.is_none_or(|e| *position >= e), "no frame twice");
                expected = Some(*position);
            }
            Action::Stt(SttCommand::Audio(frame)) => {
                assert_eq!(Some(frame.position), expected);
                expected = Some(frame.end());
            }
            _ => {}
        }
    }
    assert_eq!(starts[0], 640);
}

#[test]
fn a_caller_who_goes_on_before_the_answer_is_audible_makes_one_turn() {
    let mut rig = call(
        agent(),
        &[(500, 1500, "I need a taxi"), (2140, 3200, "to the airport")],
        vec![Reply::say("Where to?"), Reply::say("It comes soon.")],
    );
    rig.run_until(7000);
    assert_eq!(
        rig.transcript(),
        ["c: I need a taxi to the airport", "a: It comes soon."]
    );
    assert_eq!(rig.model.asked().len(), 2);
    assert_eq!(
        rig.last_asked(),
        [Message::User {
            text: "I need a taxi to the airport".to_owned(),
            dtmf: false
        }],
        "the discarded run leaves no trace"
    );
}

#[test]
fn a_cough_before_the_answer_is_audible_does_not_discard_it() {
    let mut rig = call(
        agent(),
        &[(500, 1500, "I need a taxi"), (2120, 2240, "")],
        vec![Reply::say("Where to?")],
    );
    rig.run_until(6000);
    assert_eq!(rig.transcript(), ["c: I need a taxi", "a: Where to?"]);
    assert_eq!(rig.model.asked().len(), 1);
}

#[test]
fn an_interruption_goes_in_order_and_leaves_only_what_was_heard() {
    let mut rig = call(
        greeting(LONG),
        &[(2000, 3500, "no I want a taxi")],
        vec![Reply::say("Sure.")],
    );
    rig.run_until(8000);
    let steps = rig.steps();
    let names: Vec<&str> = steps.iter().map(|(_, s)| s.as_str()).collect();
    assert_eq!(
        names,
        [
            "duck",
            // Fading out, the breath is held.
            "duck",
            "clear",
            "gain back",
            "agent turn",
            "respond",
            "caller turn",
            "agent turn"
        ]
    );
    assert!(
        steps[0].0 <= 2100,
        "ducked within the onset time: {steps:?}"
    );
    assert!(steps[1].0 <= 2500, "decided by 500 ms: {steps:?}");
    let said = &rig.transcript()[0];
    assert_eq!(
        said,
        "a: one two three four five six seven|",
        "{:?}",
        rig.transcript()
    );
    assert_eq!(verdicts(&rig), [OverlapVerdict::Takeover]);
    let asked = rig.last_asked();
    assert!(
        matches!(&asked[0], Message::Assistant { text, interrupted: true } if text == "one two three four five six seven")
    );
    assert!(matches!(&asked[1], Message::User { text, .. } if text == "no I want a taxi"));
}

#[test]
fn everything_of_the_old_answer_is_cancelled_after_the_leg_has_cleared() {
    let long = format!("{LONG} {LONG} {LONG}");
    let mut rig = call(
        agent(),
        &[(500, 1500, "tell me"), (4000, 5500, "no I want a taxi")],
        vec![Reply::say(&long)],
    );
    rig.behaviour.first_audio = Duration::from_millis(300);
    rig.run_until(9000);
    let names: Vec<String> = rig.steps().into_iter().map(|(_, s)| s).collect();
    let at = |name: &str| names.iter().position(|n| n == name).unwrap_or(usize::MAX);
    assert!(
        at("duck") < at("clear") && at("clear") < at("agent turn"),
        "{names:?}"
    );
    let second = names.iter().rposition(|n| n == "respond").unwrap();
    assert!(
        at("agent turn") < second,
        "the heard text is committed before the next request"
    );
    let generation = rig.actions.iter().filter_map(|(_, a)| match a {
        Action::Leg(LegCommand::Clear { generation }) => Some(*generation),
        _ => None,
    });
    assert_eq!(generation.count(), 1);
}

#[test]
fn a_backchannel_is_ignored_and_the_agent_goes_on() {
    let mut rig = call(greeting(LONG), &[(2000, 2360, "okay")], vec![]);
    rig.run_until(9000);
    assert_eq!(verdicts(&rig), [OverlapVerdict::Backchannel]);
    assert_eq!(rig.transcript(), [format!("a: {LONG}")]);
    assert_eq!(rig.playout.gain(), 0.0);
    assert!(rig.model.asked().is_empty());
}

#[test]
fn noise_over_the_agent_is_ignored() {
    let mut rig = call(greeting(LONG), &[(2000, 2160, "")], vec![]);
    rig.run_until(9000);
    assert_eq!(verdicts(&rig), [OverlapVerdict::Noise]);
    assert_eq!(rig.transcript(), [format!("a: {LONG}")]);
}

#[test]
fn a_yes_to_a_question_is_a_turn_even_over_the_agent() {
    let text = "Shall I book the table? I can also offer you the terrace at eight in the evening.";
    let mut rig = call(
        greeting(text),
        &[(2000, 2400, "yes")],
        vec![Reply::say("Booked.")],
    );
    rig.run_until(8000);
    assert_eq!(rig.transcript()[1..], ["c: yes", "a: Booked."]);
}

#[test]
fn an_acknowledgement_at_the_agents_end_is_an_answer() {
    // The greeting sounds from about 100 to 2200 ms.
    let mut rig = call(
        greeting("We will now book your table then."),
        &[(1700, 2040, "okay")],
        vec![Reply::say("Done.")],
    );
    rig.run_until(6000);
    assert_eq!(rig.transcript()[1..], ["c: okay", "a: Done."]);
}

#[test]
fn output_stopped_for_nothing_resumes_with_the_cut_word() {
    let mut rig = call(greeting(LONG), &[(2000, 2700, "")], vec![]);
    rig.run_until(14_000);
    assert_eq!(verdicts(&rig), [OverlapVerdict::Takeover]);
    assert_eq!(
        rig.transcript(),
        [format!("a: {LONG}")],
        "whole, said once, not interrupted"
    );
    assert!(rig.model.asked().is_empty(), "resume excludes commit");
    let synthesized = rig
        .actions
        .iter()
        .filter(|(_, a)| matches!(a, Action::Synthesize { .. }));
    assert_eq!(synthesized.count(), 2, "resumed from kept speech");
}

#[test]
fn words_during_a_hold_commit_the_interruption_once() {
    let mut rig = call(
        greeting(LONG),
        &[(2000, 3600, "what about tomorrow")],
        vec![Reply::say("Fine.")],
    );
    rig.behaviour.partial_after = None;
    rig.run_until(9000);
    assert_eq!(
        rig.transcript(),
        [
            "a: one two three four five six seven eight|",
            "c: what about tomorrow",
            "a: Fine."
        ]
    );
}

#[test]
fn keys_stop_the_agent_and_make_one_turn() {
    let mut rig = call(greeting(LONG), &[], vec![Reply::say("Thanks.")]);
    rig.caller.keys = vec![(2000, b'4'), (2400, b'2'), (2800, b'#')];
    rig.run_until(6000);
    assert_eq!(rig.transcript()[1..], ["c: 42", "a: Thanks."]);
    assert!(rig.turns()[0].interrupted && rig.turns()[1].dtmf);
    let clear = rig.steps().into_iter().find(|(_, s)| s == "clear").unwrap();
    assert!(clear.0 <= 2040, "the first key stops speech");
    assert_eq!(
        rig.last_asked().last(),
        Some(&Message::User {
            text: "42".to_owned(),
            dtmf: true
        })
    );
}

#[test]
fn keys_without_end_mark_are_complete_after_a_pause_and_outrank_speech() {
    let mut rig = call(agent(), &[(500, 1900, "my number is")], vec![]);
    rig.caller.keys = vec![(2000, b'1'), (2500, b'2')];
    rig.run_until(8000);
    assert_eq!(rig.transcript(), ["c: 12", "a: All right."]);
    let asked = rig
        .steps()
        .into_iter()
        .find(|(_, s)| s == "respond")
        .unwrap();
    assert!((5500..5600).contains(&asked.0), "{asked:?}");
}

#[test]
fn a_silent_caller_is_asked_and_then_left() {
    let nothing = Reply::default();
    let mut rig = call(agent(), &[], vec![nothing, Reply::say("Hello?")]);
    rig.run_until(60_000);
    assert_eq!(rig.finished(), Some(EndReason::CallerSilent));
    assert_eq!(
        rig.transcript(),
        [
            "a: Are you still there?",
            "a: Hello?",
            "a: I can't hear you, so I will hang up now. Goodbye."
        ]
    );
    let asked = rig.model.asked();
    assert_eq!(asked[0], [Message::Silence { count: 1 }]);
    assert_eq!(asked[1].last(), Some(&Message::Silence { count: 2 }));
}

#[test]
fn speech_without_words_is_a_turn_without_text_and_noise_is_none() {
    let mut rig = call(
        agent(),
        &[(500, 1000, ""), (6000, 6200, "")],
        vec![Reply::say("Pardon?")],
    );
    rig.run_until(9000);
    assert_eq!(rig.transcript(), ["c: ", "a: Pardon?"]);
}

#[test]
fn a_tool_runs_while_the_announcement_plays_and_its_result_is_told() {
    let reply =
        Reply::say("Let me look that up for you. ").and_call("c1", "lookup", json!({"q": 1}));
    let mut rig = call(
        agent(),
        &[(500, 1500, "what is it")],
        vec![reply, Reply::say("It is 42.")],
    );
    rig.run_until(9000);
    assert_eq!(
        rig.transcript(),
        ["c: what is it", "a: Let me look that up for you. It is 42."]
    );
    let asked = rig.last_asked();
    assert!(
        matches!(&asked[1], Message::Assistant { text, .. } if text == "Let me look that up for you.")
    );
    assert!(matches!(&asked[2], Message::ToolCall(c) if c.id == "c1"));
    assert!(
        matches!(&asked[3], Message::ToolResult { content, is_error: false, .. } if content == "42")
    );
    assert!(adds_up(&rig.turns()[1].timings.unwrap()));
}

#[test]
fn a_tool_that_does_not_answer_gets_a_result_by_its_limit() {
    let reply = Reply::default().and_call("c1", "lookup", json!({}));
    let mut rig = call(agent(), &[(500, 1500, "what is it")], vec![reply]);
    rig.behaviour.tool_takes = Duration::from_secs(60);
    rig.run_until(15_000);
    assert!(matches!(
        rig.last_asked().last(),
        Some(Message::ToolResult { is_error: true, .. })
    ));
    assert_eq!(rig.transcript().last().unwrap(), "a: All right.");
}

#[test]
fn an_interrupted_tool_has_a_result_and_its_late_one_changes_nothing() {
    let reply = Reply::say(LONG).and_call("c1", "lookup", json!({}));
    let mut rig = call(
        agent(),
        &[
            (500, 1500, "what is it"),
            (4000, 5000, "no never mind that"),
        ],
        vec![reply, Reply::say("Fine.")],
    );
    rig.behaviour.tool_takes = Duration::from_secs(8);
    rig.run_until(14_000);
    assert_eq!(rig.transcript().last().unwrap(), "a: Fine.");
    let results = rig
        .last_asked()
        .into_iter()
        .filter(|m| matches!(m, Message::ToolResult { .. }));
    assert_eq!(results.count(), 1);
}

#[test]
fn tools_in_a_row_end_in_speech() {
    let replies = (0..20).map(|i| Reply::default().and_call(&format!("c{i}"), "again", json!({})));
    let mut rig = call(agent(), &[(500, 1500, "go")], replies.collect());
    rig.run_until(20_000);
    assert_eq!(
        rig.transcript(),
        [
            "c: go",
            "a: I'm sorry, I could not complete that. What else can I do for you?"
        ]
    );
    assert_eq!(
        rig.steps().iter().filter(|(_, s)| s == "run tool").count(),
        8
    );
}

#[test]
fn end_call_hangs_up_after_the_last_word() {
    let reply = Reply::say("Goodbye and thank you.").and_call("c1", "end_call", json!({}));
    let mut rig = call(agent(), &[(500, 1500, "that is all")], vec![reply]);
    rig.run_until(10_000);
    assert_eq!(rig.finished(), Some(EndReason::AgentHungUp));
    assert_eq!(
        rig.transcript(),
        ["c: that is all", "a: Goodbye and thank you."]
    );
    assert!(!rig.turns()[1].interrupted);
}

#[test]
fn a_failed_transfer_goes_back_to_the_model() {
    let reply = Reply::say("Transferring you now. ").and_call(
        "c1",
        "transfer_call",
        json!({"target": "+49"}),
    );
    let mut rig = call(
        agent(),
        &[(500, 1500, "a human")],
        vec![reply, Reply::say("They are busy.")],
    );
    rig.behaviour.transfer = Err(TransferFailure::Busy);
    rig.run_until(10_000);
    assert_eq!(
        rig.transcript(),
        ["c: a human", "a: Transferring you now. They are busy."]
    );
    assert!(
        matches!(rig.last_asked().last(), Some(Message::ToolResult { content, is_error: true, .. }) if content.contains("busy"))
    );
    assert_eq!(rig.finished(), None);
}

#[test]
fn a_transfer_begins_after_its_announcement_and_ends_the_call() {
    let reply = Reply::say("Transferring you now. ").and_call(
        "c1",
        "transfer_call",
        json!({"target": "+49"}),
    );
    let mut rig = call(agent(), &[(500, 1500, "a human")], vec![reply]);
    rig.run_until(10_000);
    assert_eq!(rig.finished(), Some(EndReason::Transferred));
    let transfer = rig
        .steps()
        .into_iter()
        .find(|(_, s)| s == "transfer")
        .unwrap();
    assert!(transfer.0 >= rig.turns()[1].end_ms, "after the last word");
}

#[test]
fn digits_are_sent_and_transfers_without_target_fail() {
    let reply = Reply::default()
        .and_call("c1", "send_digits", json!({"digits": "12#"}))
        .and_call("c2", "transfer_call", json!({}));
    let mut rig = call(agent(), &[(500, 1500, "go")], vec![reply]);
    rig.run_until(6000);
    assert_eq!(rig.playout.digits(), b"12#");
    assert!(matches!(
        rig.last_asked().last(),
        Some(Message::ToolResult { is_error: true, .. })
    ));
}

#[test]
fn a_hang_up_in_any_state_ends_the_call_with_a_complete_record() {
    let reply = || Reply::say("Let me see. ").and_call("c1", "lookup", json!({}));
    for ms in (0..9000).step_by(140) {
        let mut rig = call(
            greeting("Hello, how can I help you today?"),
            &[(3000, 4000, "what is it"), (6500, 7500, "no stop that")],
            vec![reply(), Reply::say(LONG)],
        );
        rig.run_until(ms)
            .feed(Event::Order(CallOrder::RemoteHungUp));
        rig.run_until(ms + 2000);
        assert_eq!(rig.finished(), Some(EndReason::CallerHungUp), "at {ms}");
        let last: Vec<_> = rig.events().collect();
        assert!(
            matches!(last.last(), Some(CallEvent::Ended { .. })),
            "at {ms}"
        );
        let count = rig.actions.len();
        rig.feed(Event::LegGone);
        assert_eq!(rig.actions.len(), count, "nothing after the end");
        assert!(
            rig.turns()
                .iter()
                .filter_map(|t| t.timings)
                .all(|t| adds_up(&t))
        );
    }
}

#[test]
fn the_caller_hanging_up_mid_sentence_leaves_only_what_was_heard() {
    let mut rig = call(greeting(LONG), &[], vec![]);
    rig.caller.hangs_up_at = Some(900);
    rig.run_until(3000);
    assert_eq!(rig.finished(), Some(EndReason::CallerHungUp));
    assert_eq!(rig.transcript(), ["a: one two|"]);
}

#[test]
fn a_failed_model_is_asked_once_more_then_the_call_ends_with_an_apology() {
    let mut rig = call(
        agent(),
        &[(500, 1500, "hello")],
        vec![Reply::fail(true), Reply::say("Hi.")],
    );
    rig.run_until(5000);
    assert_eq!(rig.transcript(), ["c: hello", "a: Hi."]);
    let mut rig = call(
        agent(),
        &[(500, 1500, "hello")],
        vec![Reply::fail(true), Reply::fail(true)],
    );
    rig.run_until(15_000);
    assert_eq!(rig.finished(), Some(EndReason::ProviderFailed));
    assert!(rig.transcript()[1].contains("technical problem"));
}

#[test]
fn a_failed_recogniser_is_reopened_and_gets_the_audio_again() {
    let mut rig = call(
        agent(),
        &[(500, 2500, "I need a taxi")],
        vec![Reply::say("Where to?")],
    );
    rig.run_until(1500);
    let session = rig.actions.iter().rev().find_map(|(_, a)| match a {
        Action::OpenStt { session, .. } => Some(*session),
        _ => None,
    });
    rig.feed(Event::Stt {
        session: session.unwrap(),
        event: crate::stt::SttEvent::Fault {
            retryable: true,
            message: "gone".to_owned(),
        },
    });
    rig.run_until(6000);
    assert_eq!(rig.transcript(), ["c: I need a taxi", "a: Where to?"]);
}

#[test]
fn a_mute_recogniser_freezes_nothing() {
    let mut rig = call(
        agent(),
        &[(500, 1500, "I need a taxi")],
        vec![Reply::say("Where to?")],
    );
    rig.behaviour.stt_mute = true;
    rig.run_until(9000);
    assert_eq!(
        rig.transcript(),
        ["c: I need a taxi", "a: Where to?"],
        "the partial text counts"
    );
    let respond = rig
        .steps()
        .into_iter()
        .find(|(_, s)| s == "respond")
        .unwrap();
    assert!((6400..6600).contains(&respond.0), "{respond:?}");
}

#[test]
fn the_longest_call_is_announced_and_ended() {
    let agent = AgentProfile {
        call_duration_max: Duration::from_secs(90),
        silence_prompt_after: Duration::ZERO,
        ..agent()
    };
    let mut rig = call(agent, &[], vec![]);
    rig.run_until(100_000);
    assert_eq!(rig.finished(), Some(EndReason::DurationLimit));
    let turns = rig.turns();
    assert_eq!(turns.len(), 2);
    assert!((60_000..61_000).contains(&turns[0].start_ms));
    assert!((90_000..91_000).contains(&turns[1].start_ms));
}

#[test]
fn expected_answers_set_the_pause_and_hold_for_one_turn() {
    let digits = RecognitionHints {
        kind: AnswerKind::Digits,
        ..RecognitionHints::default()
    };
    let mut rig = call(
        agent(),
        &[
            (500, 1500, "hello"),
            (4000, 5000, "five five"),
            (5900, 6900, "one two"),
        ],
        vec![
            Reply::say("Your number?").and_expect(digits),
            Reply::say("Thanks."),
        ],
    );
    rig.run_until(11_000);
    assert_eq!(
        rig.transcript(),
        [
            "c: hello",
            "a: Your number?",
            "c: five five one two",
            "a: Thanks."
        ]
    );
    let hints: Vec<AnswerKind> = rig
        .actions
        .iter()
        .filter_map(|(_, a)| match a {
            Action::Stt(SttCommand::Hints(h)) => Some(h.kind),
            _ => None,
        })
        .collect();
    assert_eq!(
        hints,
        [AnswerKind::Open, AnswerKind::Digits, AnswerKind::Open]
    );
}

#[test]
fn what_belongs_to_an_old_generation_changes_nothing() {
    let mut rig = call(
        greeting(LONG),
        &[(2000, 3500, "no I want a taxi")],
        vec![Reply::say("Sure.")],
    );
    rig.run_until(4300);
    let actions = rig.actions.len();
    let stale = [
        Event::Tts {
            job: event::JobId(1),
            event: crate::tts::TtsEvent::Done,
        },
        Event::Llm {
            request: event::RequestId(0),
            event: crate::llm::LlmEvent::Text("old ".to_owned()),
        },
        Event::ToolDone {
            run: event::ToolRunId(7),
            result: Ok(json!(1)),
        },
        Event::Leg(LegEvent::Played {
            segment: media::leg::SegmentId(1),
            position: media::frame::SamplePosition(0),
        }),
        Event::Leg(LegEvent::Cleared {
            generation: media::leg::Generation(0),
            heard: None,
            at: rig.now(),
        }),
        Event::Stt {
            session: event::SttSession(1),
            event: crate::stt::SttEvent::Final {
                utterance: crate::stt::UtteranceId(1),
                text: "late".to_owned(),
                confidence: None,
                words: Vec::new(),
            },
        },
    ];
    for event in stale {
        rig.feed(event);
    }
    assert_eq!(rig.actions.len(), actions);
}

#[test]
fn the_callers_turn_comes_before_the_answer() {
    let mut rig = call(
        agent(),
        &[
            (500, 1500, "one"),
            (4000, 5000, "two"),
            (8000, 9000, "three"),
        ],
        vec![],
    );
    rig.run_until(13_000);
    let speakers: Vec<Speaker> = rig.turns().iter().map(|t| t.speaker).collect();
    use Speaker::{Agent, Caller};
    assert_eq!(speakers, [Caller, Agent, Caller, Agent, Caller, Agent]);
}

#[test]
fn a_call_says_goodbye_before_its_credit_ends_and_ends_with_it() {
    let patient = AgentProfile {
        silence_prompt_after: Duration::ZERO,
        ..greeting("Hello.")
    };
    let mut rig = call(patient, &[], vec![]);
    let start = rig.now();
    let funded =
        |seconds| Event::Order(CallOrder::FundedUntil(start + Duration::from_secs(seconds)));
    rig.feed(funded(20));
    rig.run_until(11_000);
    // More was paid in time: nothing is said, the call goes on.
    rig.feed(funded(40));
    rig.run_until(31_000);
    assert_eq!(rig.finished(), None);
    assert_eq!(rig.transcript(), ["a: Hello."]);
    rig.run_until(40_100);
    assert_eq!(rig.finished(), Some(EndReason::CreditExhausted));
    let said = rig.transcript();
    assert!(
        said.last().is_some_and(|line| line.contains("credit")),
        "{said:?}"
    );
}

#[test]
fn a_call_ends_at_the_funded_second_even_in_the_middle_of_a_word() {
    let mut rig = call(greeting(LONG), &[], vec![]);
    let until = rig.now() + Duration::from_millis(1500);
    rig.feed(Event::Order(CallOrder::FundedUntil(until)));
    rig.run_until(1480);
    assert_eq!(rig.finished(), None);
    rig.run_until(1700);
    assert_eq!(rig.finished(), Some(EndReason::CreditExhausted));
}
