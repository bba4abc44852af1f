//! All language models, one contract.

use std::time::Duration;

use futures_util::future::join_all;
use pipeline::llm::{
    LanguageModelSession, LlmEvent, LlmSessionRequest, LlmUsage, Message, ToolCall, ToolDefinition,
};
use pipeline::providers::llm_kind::{LLM_KINDS, model};
use pipeline::providers::settings::ProviderSettings;
use pipeline::secret::Secret;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::fake::serve;

/// Nothing may take longer than this, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

async fn session(kind: &str, base: &str, key: &str) -> Box<dyn LanguageModelSession> {
    let path = if kind == "openai" { "/openai" } else { "" };
    let settings = ProviderSettings {
        base_url: format!("{base}{path}"),
        api_key: Some(Secret::new(key)),
        model: "m".into(),
        ..ProviderSettings::default()
    };
    let model = model(kind, settings).unwrap();
    assert_eq!(model.name(), kind);
    let request = LlmSessionRequest {
        system_prompt: "Be brief.".into(),
        tools: vec![ToolDefinition {
            name: "look_up".into(),
            description: "Looks a day up".into(),
            parameters: json!({"type": "object", "properties": {"day": {"type": "string"}}}),
        }],
        ..LlmSessionRequest::default()
    };
    model.open(request).await.unwrap()
}

fn user(text: &str) -> Message {
    Message::User {
        text: text.into(),
        dtmf: false,
    }
}

async fn all(mut events: mpsc::Receiver<LlmEvent>) -> Vec<LlmEvent> {
    let mut out = Vec::new();
    while let Some(event) = timeout(PATIENCE, events.recv()).await.expect("it ends") {
        out.push(event);
    }
    out
}

fn text(events: &[LlmEvent]) -> String {
    events
        .iter()
        .filter_map(|event| match event {
            LlmEvent::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

fn fault(events: &[LlmEvent]) -> (bool, &str) {
    match events.last() {
        Some(LlmEvent::Fault(report)) => (report.retryable, &report.message),
        other => panic!("no fault but {other:?}"),
    }
}

async fn each<F: Future<Output = ()>>(check: impl Fn(&'static str) -> F) {
    join_all(LLM_KINDS.iter().map(|kind| check(kind))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_comes_in_pieces_with_its_usage() {
    each(async |kind| {
        let (fake, base) = serve().await;
        let mut session = session(kind, &base, "good").await;
        let events = all(session.respond(&[user("hello")]).await).await;
        assert_eq!(text(&events), "You said: hello. Thank you!", "{kind}");
        assert!(events.len() > 4, "{kind}: {events:?}");
        let usage = Some(LlmUsage {
            input_tokens: 11,
            output_tokens: 7,
        });
        assert_eq!(events.last(), Some(&LlmEvent::Done { usage }), "{kind}");
        let bodies = fake.bodies.lock().unwrap();
        assert!(bodies[0].1.to_string().contains("Be brief."), "{kind}");
        assert!(
            bodies[0].1.to_string().contains("end_call"),
            "{kind}: the engine's tools"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_is_called_and_its_result_answered() {
    each(async |kind| {
        let (_, base) = serve().await;
        let mut session = session(kind, &base, "good").await;
        let mut history = vec![user("please look up monday")];
        let events = all(session.respond(&history).await).await;
        let [LlmEvent::ToolCall(call), LlmEvent::Done { .. }] = &events[..] else {
            panic!("{kind}: {events:?}");
        };
        let ToolCall {
            id,
            name,
            arguments,
        } = call;
        assert_eq!(
            (name.as_str(), arguments),
            ("look_up", &json!({"day": "monday"})),
            "{kind}"
        );
        history.push(Message::ToolCall(call.clone()));
        history.push(Message::ToolResult {
            id: id.clone(),
            content: "free".into(),
            is_error: false,
        });
        let events = all(session.respond(&history).await).await;
        assert_eq!(text(&events), "It is free.", "{kind}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_before_the_first_word_are_told_apart() {
    each(async |kind| {
        for (key, retryable, words) in [
            ("wrong", false, "credentials"),
            ("limited", true, "limits the rate"),
            ("overloaded", true, "at capacity"),
        ] {
            let (fake, base) = serve().await;
            let mut session = session(kind, &base, key).await;
            let events = all(session.respond(&[user("x")]).await).await;
            let (told, message) = fault(&events);
            assert!(
                told == retryable && message.contains(words),
                "{kind} {key}: {message}"
            );
            // One more try, behind the wait the vendor asks for; none for a wrong key.
            let tries = if retryable { 2 } else { 1 };
            assert_eq!(fake.seen.lock().unwrap()[kind], tries, "{kind} {key}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_in_the_middle_is_a_fault_and_not_repeated() {
    each(async |kind| {
        for key in ["cut-always", "error"] {
            let (fake, base) = serve().await;
            let mut session = session(kind, &base, key).await;
            let events = all(session.respond(&[user("x y z")]).await).await;
            assert!(fault(&events).0, "{kind} {key}");
            assert!(
                text(&events).starts_with("You "),
                "{kind} {key}: {events:?}"
            );
            assert_eq!(fake.seen.lock().unwrap()[kind], 1, "{kind} {key}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_says_nothing_is_given_up_in_time() {
    each(async |kind| {
        let (_, base) = serve().await;
        let mut session = session(kind, &base, "silent").await;
        let events = all(session.respond(&[user("x")]).await).await;
        let (retryable, message) = fault(&events);
        assert!(
            retryable && message.contains("in time"),
            "{kind}: {message}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_answer_drops_the_request() {
    each(async |kind| {
        let (fake, base) = serve().await;
        let mut session = session(kind, &base, "late").await;
        let mut events = session.respond(&[user("x y z")]).await;
        let first = timeout(PATIENCE, events.recv()).await.unwrap();
        assert_eq!(first, Some(LlmEvent::Text("You ".into())), "{kind}");
        drop(events);
        timeout(PATIENCE, async {
            while fake.noted(kind, "dropped") == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .expect("the server sees the connection go");
    })
    .await;
}
