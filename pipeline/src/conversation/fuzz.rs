//! Random calls, seeded, and what must hold in each.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use media::frame::SamplePosition;
use media::leg::{Generation, LegCommand, LegEvent, SegmentId};
use serde_json::json;

use super::event::{JobId, RequestId, SttSession, ToolRunId};
use super::*;
use crate::call::{AgentProfile, CallEvent, CallOrder, TransferFailure};
use crate::llm::{LlmEvent, Message};
use crate::stt::{AnswerKind, RecognitionHints, SttEvent, UtteranceId};
use crate::testing::leg::CallerScript;
use crate::testing::llm::Reply;
use crate::testing::rig::{Rig, agent};
use crate::testing::stt::Said;
use crate::tts::TtsEvent;
use crate::turn_timings::adds_up;

/// SplitMix64: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len() as u64) as usize]
    }
}

const LINES: &[&str] = &[
    "",
    "yes",
    "okay",
    "no stop",
    "I want to book a table",
    "um and",
    "hello",
    "wait",
    "five five",
];
const ANSWERS: &[&str] = &[
    "Sure. ",
    "Shall I book that for you? ",
    "One moment please, let me look that up for you. Here it is, we have a table at eight. ",
    "",
];

fn random_reply(random: &mut Random, id: u64) -> Reply {
    let mut reply = Reply::default();
    for at in 0..random.below(3) {
        reply = reply.and_say(random.pick(ANSWERS));
        match random.below(9) {
            0 | 1 => reply = reply.and_call(&format!("t{id}-{at}"), "lookup", json!({})),
            2 => {
                reply = reply.and_call(
                    &format!("t{id}-{at}"),
                    "transfer_call",
                    json!({"target": "1"}),
                )
            }
            3 if random.below(4) == 0 => {
                reply = reply.and_call(&format!("t{id}-{at}"), "end_call", json!({}));
            }
            4 => {
                reply = reply.and_expect(RecognitionHints {
                    kind: AnswerKind::YesNo,
                    ..RecognitionHints::default()
                });
            }
            _ => {}
        }
    }
    if random.below(12) == 0 {
        reply.fault = Reply::fail(true).fault;
    }
    reply
}

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
fn random_call(random: &mut Random) -> Rig {
    let mut at = 0;
    let mut said = Vec::new();
    for _ in 0..random.below(14) {
        let from = at + 100 + random.below(3000);
        let to = from + 60 + random.below(1800);
        said.push(Said::new(from, to, random.pick(LINES)));
        at = to;
    }
    let keys = (0..random.below(4)).map(|_| (random.below(20_000), b'1'));
    let caller = CallerScript {
        said,
        keys: keys.collect(),
        hangs_up_at: None,
    };
    let agent = AgentProfile {
        first_message: (random.below(2) == 0).then(|| ANSWERS[2].to_owned()),
        model_opens: random.below(2) == 0,
        silence_prompt_after: Duration::from_secs(4),
        ..agent()
    };
    let replies = (0..12)
        .map(|id| random_reply(random, id))
        .collect::<Vec<_>>();
    let mut rig = Rig::new(Instant::now(), agent.clone(), caller, replies);
    if random.below(2) == 0 {
        // With answers prepared ahead.
        rig.conversation = Conversation::new(agent, ConversationConfig::default());
    }
    let ms = |random: &mut Random, n| Duration::from_millis(random.below(n));
    rig.behaviour.final_after = ms(random, 900);
    rig.behaviour.partial_after =
        (random.below(4) > 0).then(|| Duration::from_millis(random.below(300)));
    rig.behaviour.first_token = ms(random, 700);
    rig.behaviour.first_audio = ms(random, 500);
    rig.behaviour.tool_takes = ms(random, 3000);
    rig.behaviour.stt_mute = random.below(12) == 0;
    rig.behaviour.transfer = Err(TransferFailure::NoAnswer);
    rig
}

fn disturbance(random: &mut Random, now: Instant) -> Event {
    let small = random.below(12);
    match random.below(9) {
        0 => Event::Llm {
            request: RequestId(small),
            event: LlmEvent::Text("stray ".to_owned()),
        },
        1 => Event::Llm {
            request: RequestId(small),
            event: LlmEvent::Done { usage: None },
        },
        2 => Event::Tts {
            job: JobId(small),
            event: TtsEvent::Done,
        },
        3 => Event::ToolDone {
            run: ToolRunId(small),
            result: Ok(json!(1)),
        },
        4 => Event::Leg(LegEvent::Cleared {
            generation: Generation(small as u32),
            heard: None,
            at: now,
        }),
        5 => Event::Leg(LegEvent::Played {
            segment: SegmentId(small),
            position: SamplePosition::from_ms(small),
        }),
        6 => Event::Stt {
            session: SttSession(1),
            event: SttEvent::Final {
                utterance: UtteranceId(small),
                text: "stray".to_owned(),
                confidence: None,
                words: Vec::new(),
            },
        },
        7 => Event::Stt {
            session: SttSession(1 + small as u32 / 4),
            event: SttEvent::Fault {
                retryable: true,
                message: String::new(),
            },
        },
        _ => Event::Timeout,
    }
}

fn check(rig: &Rig) {
    let mut generation = Generation(0);
    let mut finished = 0;
    let mut commits = HashSet::new();
    for (at, action) in &rig.actions {
        assert_eq!(finished, 0, "action after the end at {at}: {action:?}");
        match action {
            Action::Leg(LegCommand::Clear { generation: next }) => {
                assert!(*next > generation);
                generation = *next;
            }
            Action::Leg(LegCommand::Play(chunk)) => {
                assert_eq!(chunk.generation, generation, "stale speech at {at}");
            }
            Action::Emit(CallEvent::Turn(turn)) => {
                assert!(
                    commits.insert((turn.speaker, turn.dtmf, turn.start_ms)),
                    "twice: {turn:?}"
                );
                assert!(turn.end_ms >= turn.start_ms, "{turn:?}");
                assert!(turn.timings.is_none_or(|t| adds_up(&t)));
            }
            Action::Finished(_) => finished += 1,
            Action::Respond { history, .. } => check_history(history),
            _ => {}
        }
    }
}

fn check_history(history: &[Message]) {
    let mut calls = Vec::new();
    for message in history {
        match message {
            Message::ToolCall(call) => calls.push(call.id.as_str()),
            Message::ToolResult { id, .. } => {
                let at = calls
                    .iter()
                    .position(|c| c == id)
                    .expect("a result has its call");
                calls.remove(at);
            }
            Message::Assistant { text, .. } => assert!(!text.is_empty()),
            _ => assert!(calls.is_empty(), "a call without result: {history:?}"),
        }
    }
    assert!(calls.is_empty(), "a call without result: {history:?}");
}

/// What the transcript says the agent said is what the model is told it said.
fn check_heard(rig: &Rig) {
    let told: Vec<String> = rig
        .conversation
        .history()
        .messages()
        .filter_map(|m| match m {
            Message::Assistant { text, .. } => Some(text.clone()),
            _ => None,
        })
        .collect();
    let heard: Vec<String> = rig
        .turns()
        .into_iter()
        .filter(|t| t.speaker == crate::call::Speaker::Agent)
        .map(|t| t.text)
        .collect();
    assert_eq!(told.join(" "), heard.join(" "));
}

#[test]
fn random_calls_keep_the_invariants() {
    for seed in 0..60_u64 {
        let run = std::panic::catch_unwind(|| {
            let mut random = Random(seed);
            let mut rig = random_call(&mut random);
            let disturbed = random.below(2) == 0;
            for step in 0..150_u64 {
                rig.run_until(step * 200);
                if disturbed && random.below(6) == 0 {
                    let event = disturbance(&mut random, rig.now());
                    if rig.finished().is_none() {
                        rig.feed(event);
                    }
                }
            }
            // The caller is done. Nothing may be frozen: the silence ladder alone must end the
            // call, unless the caller does.
            if seed % 2 == 0 {
                rig.feed(Event::Order(CallOrder::RemoteHungUp));
            }
            rig.run_until(rig.elapsed_ms() + 60_000);
            assert!(
                rig.finished().is_some(),
                "frozen in {}",
                rig.conversation.state()
            );
            check(&rig);
            check_heard(&rig);
        });
        assert!(run.is_ok(), "seed {seed}");
    }
}
