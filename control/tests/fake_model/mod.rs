//! A chat-completions server that answers from a list, and remembers what it was asked.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "every test file uses its own part of it"
)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::response::IntoResponse as _;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[derive(Clone)]
pub struct FakeModel {
    pub url: String,
    asked: Arc<Mutex<Vec<Value>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

#[derive(Clone, Debug)]
pub enum Answer {
    Say(String),
    Call(&'static str, Value),
    /// A server error.
    Fail,
}

impl FakeModel {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let model = Self {
            url,
            asked: Arc::default(),
            answers: Arc::default(),
        };
        let own = model.clone();
        let complete = move |body: String| {
            let own = own.clone();
            async move {
                let body: Value = serde_json::from_str(&body).unwrap();
                let streamed = body["stream"] == true;
                own.asked.lock().unwrap().push(body);
                let answer = own.answers.lock().unwrap().pop_front();
                let answer = answer.unwrap_or(Answer::Say("All right.".to_owned()));
                respond(&answer, streamed)
            }
        };
        let router = Router::new().route("/v1/chat/completions", post(complete));
        tokio::spawn(async move { axum::serve(listener, router).await });
        model
    }

    pub fn will(&self, answers: impl IntoIterator<Item = Answer>) {
        self.answers.lock().unwrap().extend(answers);
    }

    pub fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }

    /// Settings that make it the model of agents that name none.
    pub fn settings(&self) -> String {
        format!(
            "[llm.openai]\nbase_url = {:?}\nmodel = \"fake\"\napi_key = \"k\"\n",
            self.url
        )
    }
}

fn respond(answer: &Answer, streamed: bool) -> axum::response::Response {
    let (message, reason) = match answer {
        Answer::Say(text) => (json!({ "role": "assistant", "content": text }), "stop"),
        Answer::Call(name, arguments) => {
            let call = json!({ "index": 0, "id": format!("call-{}", uuid::Uuid::now_v7()),
                "type": "function",
                "function": { "name": name, "arguments": arguments.to_string() } });
            (
                json!({ "role": "assistant", "tool_calls": [call] }),
                "tool_calls",
            )
        }
        Answer::Fail => return axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    if !streamed {
        let body = json!({ "id": "x", "object": "chat.completion", "choices": [
            { "index": 0, "message": message, "finish_reason": reason } ],
            "usage": { "prompt_tokens": 10, "completion_tokens": 5 } });
        return axum::Json(body).into_response();
    }
    let chunk = |choice: Value| {
        let chunk = json!({ "id": "x", "object": "chat.completion.chunk", "choices": [choice] });
        format!("data: {chunk}\n\n")
    };
    let text = [
        chunk(json!({ "index": 0, "delta": message, "finish_reason": null })),
        chunk(json!({ "index": 0, "delta": {}, "finish_reason": reason })),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    ([("content-type", "text/event-stream")], text).into_response()
}
