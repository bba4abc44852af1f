//! A workflow moves only as far as the history shows.

use pipeline::llm::{LlmEvent, Message, ToolCall};

use crate::scripted_call::{ScriptedCall, agent, read_all, text_of, user};

fn tool_call(events: &[LlmEvent]) -> Option<ToolCall> {
    events.iter().find_map(|event| match event {
        LlmEvent::ToolCall(call) => Some(call.clone()),
        _ => None,
    })
}

#[tokio::test]
async fn an_answer_nobody_read_has_not_happened() {
    let (mut call, _) = ScriptedCall::clinic().await;
    call.opening().await;
    let mut history = call.history.clone();
    history.push(user("book"));
    drop(call.session.respond(&history).await);
    let again = read_all(call.session.as_mut(), &history).await;
    assert!(text_of(&again).contains("Which doctor"));

    // Unread again, and the caller goes on: the words answer the question that was heard.
    let (mut call, _) = ScriptedCall::clinic().await;
    call.opening().await;
    drop(call.session.respond(&history).await);
    history.push(user("cancel"));
    let other = read_all(call.session.as_mut(), &history).await;
    assert!(text_of(&other).contains("phone number"), "{other:?}");
}

#[tokio::test]
async fn a_speculation_on_other_words_leaves_no_trace() {
    let (mut call, _) = ScriptedCall::clinic().await;
    call.opening().await;
    call.say("book").await;
    call.say("doctor patel").await;
    let mut guess = call.history.clone();
    guess.push(user("next tuesday"));
    assert!(text_of(&read_all(call.session.as_mut(), &guess).await).contains("what time"));
    let heard = call.say("next tuesday at ten").await;
    assert!(heard.text.contains("last name"), "{}", heard.text);
}

#[tokio::test]
async fn both_halves_of_a_sentence_count_when_nothing_was_heard_between() {
    let (mut call, _) = ScriptedCall::clinic().await;
    call.opening().await;
    call.say("book").await;
    call.say("doctor patel").await;
    call.say("tuesday at ten").await;
    call.say("carter").await;
    let mut history = call.history.clone();
    history.push(user("five five five zero one zero"));
    assert!(text_of(&read_all(call.session.as_mut(), &history).await).contains("all ten digits"));
    history.push(user("four four seven seven"));
    let whole = read_all(call.session.as_mut(), &history).await;
    assert!(text_of(&whole).contains("Is that right"), "{whole:?}");
}

#[tokio::test]
async fn the_callers_words_over_a_question_answer_that_question() {
    let (mut call, _) = ScriptedCall::clinic().await;
    call.opening().await;
    let mut history = call.history.clone();
    history.push(user("book"));
    read_all(call.session.as_mut(), &history).await;
    history.push(agent("Certainly. Which", true));
    history.push(user("doctor morgan"));
    let events = read_all(call.session.as_mut(), &history).await;
    assert!(text_of(&events).contains("What day"), "{events:?}");
}

#[tokio::test]
async fn a_tool_that_was_not_run_is_taken_back() {
    let (mut call, store) = ScriptedCall::clinic().await;
    call.opening().await;
    call.say("book doctor patel tuesday at ten").await;
    call.say("carter").await;
    call.press("5550104477").await;
    let mut history = call.history.clone();
    history.push(user("yes"));
    let events = read_all(call.session.as_mut(), &history).await;
    assert_eq!(
        tool_call(&events).map(|call| call.name).as_deref(),
        Some("record_create")
    );
    history.push(user("no wait"));
    let events = read_all(call.session.as_mut(), &history).await;
    assert!(
        text_of(&events).contains("What should I change"),
        "{events:?}"
    );
    drop(store);
}

#[tokio::test]
async fn words_during_a_tool_do_not_swallow_its_outcome() {
    let (mut call, _) = ScriptedCall::clinic().await;
    call.opening().await;
    call.say("book doctor patel tuesday at ten").await;
    call.say("carter").await;
    call.press("5550104477").await;
    let mut history = call.history.clone();
    history.push(user("yes"));
    let events = read_all(call.session.as_mut(), &history).await;
    let tool = tool_call(&events).expect("the booking");
    history.push(Message::ToolCall(tool.clone()));
    history.push(Message::ToolResult {
        id: tool.id,
        content: "{\"status\":\"created\"}".into(),
        is_error: false,
    });
    history.push(user("hello are you there"));
    let events = read_all(call.session.as_mut(), &history).await;
    assert!(text_of(&events).contains("You are booked"), "{events:?}");
    assert!(text_of(&events).contains("anything else"), "{events:?}");
}

#[tokio::test]
async fn an_opening_said_by_another_is_not_repeated() {
    let (mut call, _) = ScriptedCall::clinic().await;
    let history = [
        agent("Lakeside Clinic, how can I help?", false),
        user("book please"),
    ];
    let events = read_all(call.session.as_mut(), &history).await;
    assert!(
        text_of(&events).ends_with("Patel, Morgan or Rossi?"),
        "{events:?}"
    );
    assert!(!text_of(&events).contains("book, move or cancel"));
}

#[tokio::test]
async fn a_failing_tool_apologises_and_hands_over() {
    let (mut call, _) = ScriptedCall::clinic().await;
    call.opening().await;
    let mut history = call.history.clone();
    history.push(user("cancel"));
    read_all(call.session.as_mut(), &history).await;
    history.push(agent("Of course. What is the number?", false));
    history.push(user("five five five zero one zero four four seven seven"));
    let events = read_all(call.session.as_mut(), &history).await;
    let tool = tool_call(&events).expect("the search");
    history.push(Message::ToolCall(tool.clone()));
    history.push(Message::ToolResult {
        id: tool.id,
        content: "store is gone".into(),
        is_error: true,
    });
    let events = read_all(call.session.as_mut(), &history).await;
    assert!(text_of(&events).contains("can't reach the appointment book"));
    assert_eq!(
        tool_call(&events).map(|call| call.name).as_deref(),
        Some("transfer_call")
    );
}
