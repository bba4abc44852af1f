//! Whole calls with the clinic's front desk.

use std::sync::Arc;

use pipeline::llm::records::{Fields, MemoryRecordStore, RecordStore};
use pipeline::stt::AnswerKind;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::scripted_call::{Heard, ScriptedCall, clinic};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    workflow: String,
    lines: Vec<Line>,
    /// Answers to a time that is taken, which it is not here.
    #[serde(rename = "replies", default)]
    _replies: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    say: Option<String>,
    dtmf: Option<String>,
    expect_agent: Option<String>,
    #[serde(rename = "interrupt_after_ms")]
    _interrupt_after_ms: Option<u64>,
}

const BOOK: &str = include_str!("../../../fixtures/conversations/clinic_book.toml");
const BARGE_IN: &str = include_str!("../../../fixtures/conversations/clinic_book_barge_in.toml");
const MOVE: &str = include_str!("../../../fixtures/conversations/clinic_move.toml");
const CANCEL: &str = include_str!("../../../fixtures/conversations/clinic_cancel.toml");

/// Plays a script on a call that begins at `now`; it must end with the agent hanging up.
async fn play(script: &str, store: &Arc<MemoryRecordStore>, now: &str) {
    let script: Script = toml::from_str(script).unwrap();
    assert_eq!(script.workflow, "clinic");
    let mut call = ScriptedCall::new(clinic(), store.clone(), now).await;
    let mut heard = call.opening().await;
    for line in &script.lines {
        if let Some(expected) = &line.expect_agent {
            assert!(
                heard.text.contains(expected),
                "{now}: expected `{expected}`, heard `{}`",
                heard.text
            );
        }
        assert!(!heard.ended && heard.transferred_to.is_none());
        heard = match (&line.say, &line.dtmf) {
            (Some(text), None) => call.say(text).await,
            (None, Some(keys)) => call.press(keys).await,
            _ => panic!("a line either speaks or presses keys"),
        };
    }
    assert!(heard.ended, "{now}: not ended after `{}`", heard.text);
}

async fn appointments(store: &MemoryRecordStore) -> Vec<Value> {
    let workflow = clinic();
    let found = store
        .find(&workflow.collections()[0], &Fields::new(), 100)
        .await
        .unwrap();
    found
        .into_iter()
        .map(|record| Value::Object(record.fields))
        .collect()
}

#[tokio::test]
async fn the_scripts_book_move_and_cancel_on_any_day() {
    for day in 16..30 {
        for hour in ["05", "14", "23"] {
            let now = format!("2026-11-{day}T{hour}:10:00Z");
            let store = Arc::new(MemoryRecordStore::default());
            play(BOOK, &store, &now).await;
            let booked = appointments(&store).await;
            assert_eq!(booked.len(), 1, "{now}");
            assert_eq!(booked[0]["doctor"], "patel");
            assert_eq!(booked[0]["time"], "10:30");
            assert_eq!(booked[0]["name"], "Carter");
            assert_eq!(booked[0]["phone"], "5550104477");
            play(BARGE_IN, &store, &now).await;
            assert_eq!(appointments(&store).await.len(), 2);
            play(MOVE, &store, &now).await;
            let moved = appointments(&store).await;
            assert_eq!(moved[0]["time"], "15:00", "{now}");
            assert_ne!(moved[0]["date"], booked[0]["date"]);
            play(CANCEL, &store, &now).await;
            let left = appointments(&store).await;
            assert_eq!(left.len(), 1);
            assert_eq!(left[0]["name"], "Johnson");
        }
    }
}

async fn until_confirmation(call: &mut ScriptedCall) -> Heard {
    call.opening().await;
    call.say("Book an appointment with Dr... uh, doctor Rossi, next Tuesday at 10:30 a.m.")
        .await;
    call.say("It's C-A-R-T-E-R.").await;
    call.say("(555) 010-4477").await
}

#[tokio::test]
async fn one_sentence_fills_several_slots_and_cloud_spelling_is_understood() {
    let (mut call, store) = ScriptedCall::clinic().await;
    let heard = until_confirmation(&mut call).await;
    assert!(
        heard.text.contains(
            "So that's Doctor Rossi, on Tuesday, November the twenty fourth, at ten thirty in \
             the morning, for Carter, phone five five five, zero one zero, four four seven seven."
        ),
        "{}",
        heard.text
    );
    let heard = call.say("Yes, that's right.").await;
    assert!(heard.text.contains("You are booked"), "{}", heard.text);
    assert_eq!(
        appointments(&store).await,
        [json!({
            "doctor": "rossi", "date": "2026-11-24", "time": "10:30", "name": "Carter",
            "phone": "5550104477"
        })]
    );
}

#[tokio::test]
async fn a_taken_time_leads_to_the_next_free_one() {
    let (mut call, store) = ScriptedCall::clinic().await;
    let all = clinic().collections()[0].clone();
    for time in ["10:30", "11:00"] {
        let taken = json!({"doctor": "rossi", "date": "2026-11-24", "time": time});
        store
            .create(&all, taken.as_object().unwrap().clone())
            .await
            .unwrap();
    }
    call.opening().await;
    call.say("book").await;
    let heard = call.say("doctor rossi on tuesday at ten thirty").await;
    assert!(
        heard
            .text
            .contains("free on Tuesday, November the twenty fourth at eleven thirty"),
        "{}",
        heard.text
    );
    call.say("yes please").await;
    call.say("carter").await;
    call.press("5550104477#").await;
    // Somebody takes the slot while the caller makes up their mind.
    let taken = json!({"doctor": "rossi", "date": "2026-11-24", "time": "11:30"});
    store
        .create(&all, taken.as_object().unwrap().clone())
        .await
        .unwrap();
    let heard = call.say("yes").await;
    assert!(heard.text.contains("that time is taken"), "{}", heard.text);
    let heard = call.say("sure").await;
    assert!(heard.text.contains("at noon"), "{}", heard.text);
    let heard = call.say("correct").await;
    assert!(heard.text.contains("You are booked"), "{}", heard.text);
    assert_eq!(appointments(&store).await.len(), 4);
}

#[tokio::test]
async fn closed_days_odd_minutes_and_late_hours_are_refused_politely() {
    let (mut call, _) = ScriptedCall::clinic().await;
    call.opening().await;
    call.say("book an appointment").await;
    call.say("doctor chen, no, doctor patel").await;
    let heard = call.say("on sunday").await;
    assert!(heard.text.contains("closed on Sunday"), "{}", heard.text);
    assert!(heard.text.contains("Which day"), "{}", heard.text);
    let heard = call.say("the day after tomorrow at eight p m").await;
    assert!(
        heard.text.contains("open from nine to five"),
        "{}",
        heard.text
    );
    let heard = call.say("ten fifteen").await;
    assert!(heard.text.contains("half hour"), "{}", heard.text);
    let heard = call.say("half past two").await;
    assert!(heard.text.contains("last name"), "{}", heard.text);
}

#[tokio::test]
async fn what_is_not_understood_is_asked_again_and_then_handed_to_a_person() {
    let (mut call, _) = ScriptedCall::clinic().await;
    call.opening().await;
    let first = call.say("the weather is nice").await;
    assert!(first.text.contains("didn't catch that"), "{}", first.text);
    assert!(first.text.contains("book, move or cancel"));
    let second = call.say("").await;
    assert!(
        second.text.contains("still didn't get that"),
        "{}",
        second.text
    );
    assert!(call.silence().await.hints.is_some());
    let last = call.say("hmm").await;
    assert_eq!(last.transferred_to.as_deref(), Some("+15550100100"));
    // The transfer failed, so the agent has to end it.
    assert!(
        last.text.contains("nobody is free") && last.ended,
        "{}",
        last.text
    );
}

#[tokio::test]
async fn silence_is_asked_after_and_an_answer_resets_the_count() {
    let (mut call, _) = ScriptedCall::clinic().await;
    call.opening().await;
    for _ in 0..3 {
        let heard = call.silence().await;
        assert!(
            heard.text.contains("book, move or cancel") && !heard.ended,
            "{}",
            heard.text
        );
    }
    let heard = call.say("book").await;
    assert!(heard.text.contains("Which doctor"));
    for _ in 0..3 {
        assert!(call.silence().await.transferred_to.is_none());
    }
}

#[tokio::test]
async fn keys_work_like_words() {
    let (mut call, store) = ScriptedCall::clinic().await;
    call.opening().await;
    assert!(call.press("1").await.text.contains("Which doctor"));
    assert!(call.press("2").await.text.contains("What day"));
    call.say("monday at nine").await;
    call.say("thompson").await;
    let short = call.press("555").await;
    assert!(short.text.contains("all ten digits"), "{}", short.text);
    assert!(
        call.press("5550102288#")
            .await
            .text
            .contains("Is that right")
    );
    assert!(call.press("1").await.text.contains("You are booked"));
    assert_eq!(appointments(&store).await[0]["doctor"], "morgan");
    let heard = call.press("0").await;
    assert!(heard.transferred_to.is_some());
}

#[tokio::test]
async fn commands_work_at_every_question() {
    let (mut call, _) = ScriptedCall::clinic().await;
    let opening = call.opening().await;
    assert_eq!(
        call.say("could you repeat that please").await.text,
        opening.text
    );
    let help = call.say("help").await;
    assert!(help.text.contains("Say operator"), "{}", help.text);
    call.transfer = Ok(());
    let heard = call.say("Operator!").await;
    assert!(heard.transferred_to.is_some() && !heard.ended);

    let (mut call, _) = ScriptedCall::clinic().await;
    call.opening().await;
    assert!(call.say("goodbye").await.ended);
}

#[tokio::test]
async fn a_refused_confirmation_changes_only_what_is_wrong() {
    let (mut call, _) = ScriptedCall::clinic().await;
    until_confirmation(&mut call).await;
    let heard = call.say("No, that's wrong").await;
    assert!(
        heard.text.contains("What should I change"),
        "{}",
        heard.text
    );
    let heard = call.say("the time").await;
    assert!(heard.text.contains("what time"), "{}", heard.text);
    let heard = call.say("make it four").await;
    assert!(
        heard.text.contains("Doctor Rossi, on Tuesday") && heard.text.contains("at four in"),
        "{}",
        heard.text
    );
}

#[tokio::test]
async fn an_unknown_number_finds_nothing_and_changes_nothing() {
    let (mut call, store) = ScriptedCall::clinic().await;
    call.opening().await;
    call.say("cancel").await;
    let heard = call.press("9999999999").await;
    assert!(
        heard.text.contains("can't find an appointment"),
        "{}",
        heard.text
    );
    assert!(call.say("no").await.ended);
    assert!(appointments(&store).await.is_empty());
    assert_eq!(call.tool_log, ["record_find"]);
}

#[tokio::test]
async fn each_question_says_what_kind_of_answer_it_expects() {
    let (mut call, _) = ScriptedCall::clinic().await;
    let kind = |heard: Heard| heard.hints.map(|hints| hints.kind);
    assert_eq!(kind(call.opening().await), Some(AnswerKind::Choice));
    assert_eq!(kind(call.say("book").await), Some(AnswerKind::Choice));
    assert_eq!(kind(call.say("patel").await), Some(AnswerKind::Date));
    assert_eq!(kind(call.say("tuesday").await), Some(AnswerKind::Time));
    assert_eq!(kind(call.say("ten").await), Some(AnswerKind::Spelling));
    assert_eq!(kind(call.say("carter").await), Some(AnswerKind::Digits));
    let heard = call.press("5550104477").await;
    let grammar = heard.hints.and_then(|hints| hints.grammar.clone()).unwrap();
    assert!(grammar.starts_with("#JSGF V1.0;"));
    assert!(grammar.contains("operator") && grammar.contains("yes"));
}
