//! History and tools as the chat completions API takes them.

use serde_json::{Value, json};

use crate::llm::{Message, ToolCall, ToolDefinition, engine_tools};

/// The `messages` of a request. Every tool call is followed at once by exactly one result, as the
/// API demands, wherever the results stand in the history.
pub(crate) fn messages(system_prompt: &str, history: &[Message]) -> Vec<Value> {
    let mut out = Vec::new();
    if !system_prompt.is_empty() {
        out.push(json!({"role": "system", "content": system_prompt}));
    }
    let mut interrupted = false;
    let mut index = 0;
    while let Some(message) = history.get(index) {
        index += 1;
        match message {
            Message::System { text } => out.push(json!({"role": "system", "content": text})),
            Message::User { text, dtmf } => {
                let note = match (dtmf, std::mem::take(&mut interrupted)) {
                    (true, true) => "(interrupting you, keyed in) ",
                    (true, false) => "(keyed in) ",
                    (false, true) => "(interrupting you) ",
                    (false, false) => "",
                };
                out.push(json!({"role": "user", "content": format!("{note}{text}")}));
            }
            Message::Silence { count } => {
                let text = format!("(The caller is silent, {count} in a row.)");
                out.push(json!({"role": "user", "content": text}));
            }
            Message::Assistant {
                text,
                interrupted: cut,
            } => {
                interrupted = *cut;
                if !text.is_empty() {
                    out.push(json!({"role": "assistant", "content": text}));
                }
            }
            Message::ToolCall(first) => {
                let mut calls = vec![first];
                while let Some(Message::ToolCall(call)) = history.get(index) {
                    calls.push(call);
                    index += 1;
                }
                push_calls(&mut out, &calls, &history[index..]);
            }
            // Written with its call.
            Message::ToolResult { .. } => {}
        }
    }
    if !out.iter().any(|message| message["role"] != "system") {
        out.push(json!({"role": "user", "content": "(The call is answered. Greet the caller.)"}));
    }
    out
}

fn push_calls(out: &mut Vec<Value>, calls: &[&ToolCall], later: &[Message]) {
    let written: Vec<Value> = calls
        .iter()
        .map(|call| {
            json!({
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments.to_string()},
            })
        })
        .collect();
    match out.last_mut() {
        // Words before the call belong to the same message.
        Some(last) if last["role"] == "assistant" && last.get("tool_calls").is_none() => {
            last["tool_calls"] = Value::Array(written);
        }
        _ => out.push(json!({"role": "assistant", "content": null, "tool_calls": written})),
    }
    for call in calls {
        let result = later.iter().find_map(|message| match message {
            Message::ToolResult {
                id,
                content,
                is_error,
            } if *id == call.id => Some((content.as_str(), *is_error)),
            _ => None,
        });
        let content = match result {
            Some((content, false)) => content.to_owned(),
            Some((content, true)) => json!({"error": content}).to_string(),
            None => json!({"error": "cancelled"}).to_string(),
        };
        out.push(json!({"role": "tool", "tool_call_id": call.id, "content": content}));
    }
}

/// The `tools` of a request: those offered and, where they are not among them, the engine's own.
pub(crate) fn tools(offered: &[ToolDefinition]) -> Vec<Value> {
    let own = engine_tools::definitions();
    let missing = own
        .iter()
        .filter(|own| offered.iter().all(|tool| tool.name != own.name));
    offered
        .iter()
        .chain(missing)
        .map(|tool| {
            json!({
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                },
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str) -> Message {
        Message::ToolCall(ToolCall {
            id: id.into(),
            name: "look_up".into(),
            arguments: json!({"x": 1}),
        })
    }

    fn result(id: &str, is_error: bool) -> Message {
        Message::ToolResult {
            id: id.into(),
            content: "fine".into(),
            is_error,
        }
    }

    fn user(text: &str, dtmf: bool) -> Message {
        Message::User {
            text: text.into(),
            dtmf,
        }
    }

    #[test]
    fn every_call_has_one_result_right_behind_it() {
        let history = [
            user("hello", false),
            Message::Assistant {
                text: "One moment.".into(),
                interrupted: false,
            },
            call("a"),
            call("b"),
            call("c"),
            result("b", true),
            user("still there?", false),
            result("a", false),
            result("stray", false),
        ];
        let written = messages("Be brief.", &history);
        let roles: Vec<&str> = written.iter().filter_map(|m| m["role"].as_str()).collect();
        assert_eq!(
            roles,
            [
                "system",
                "user",
                "assistant",
                "tool",
                "tool",
                "tool",
                "user"
            ]
        );
        assert_eq!(written[2]["content"], "One moment.");
        assert_eq!(written[2]["tool_calls"].as_array().map(Vec::len), Some(3));
        assert_eq!(
            written[2]["tool_calls"][0]["function"]["arguments"],
            "{\"x\":1}"
        );
        assert_eq!(written[3]["content"], "fine");
        assert_eq!(written[4]["content"], "{\"error\":\"fine\"}");
        assert_eq!(written[5]["content"], "{\"error\":\"cancelled\"}");
        assert_eq!(written[5]["tool_call_id"], "c");
    }

    #[test]
    fn an_interruption_is_told_with_the_words_that_made_it() {
        let history = [
            Message::Assistant {
                text: "We are open".into(),
                interrupted: true,
            },
            user("stop", false),
            user("12", true),
        ];
        let written = messages("", &history);
        assert_eq!(written[0]["content"], "We are open");
        assert_eq!(written[1]["content"], "(interrupting you) stop");
        assert_eq!(written[2]["content"], "(keyed in) 12");
    }

    #[test]
    fn an_opening_has_something_to_answer() {
        assert_eq!(
            messages("x", &[]).last().map(|m| m["role"].clone()),
            Some(json!("user"))
        );
    }

    #[test]
    fn the_engines_tools_are_offered_once() {
        let own = engine_tools::definitions();
        assert_eq!(tools(&own).len(), own.len());
        assert_eq!(tools(&own[..1]).len(), own.len());
    }
}
