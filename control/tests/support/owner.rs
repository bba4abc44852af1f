//! Somebody with a workspace, an agent that only greets, and a number on a SIP trunk.

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use super::server::Server;

/// A user of a running server.
pub struct Owner<'a> {
    server: &'a Server,
    client: Client,
    token: String,
    /// Their agent.
    pub agent: String,
    /// Id of their number.
    pub line: String,
    /// Their number.
    pub number: String,
}

/// A dialogue that greets by name and waits.
fn greeting() -> Value {
    json!({
        "id": "reminder", "name": "Reminder", "language": "en-US", "start": "ask",
        "variables": { "name": "you" },
        "policy": { "tries_max": 3, "fallback": "again", "no_match": ["Sorry?"],
                    "silence": ["Are you there?"] },
        "slots": { "answer": { "type": "choice", "options": [
            { "value": "yes", "phrases": ["yes"] }, { "value": "no", "phrases": ["no"] } ] } },
        "nodes": {
            "ask": { "type": "ask", "ask": ["Hello {name}, will you come?"],
                     "expect": ["answer"], "next": "again" },
            "again": { "type": "set", "clear": ["answer"], "next": "ask" },
        },
    })
}

impl<'a> Owner<'a> {
    /// Signs up and sets up everything; calls go out to `sip_address`.
    pub async fn new(server: &'a Server, sip_address: &str) -> Self {
        let mut owner = Self {
            server,
            client: Client::new(),
            token: String::new(),
            agent: String::new(),
            line: String::new(),
            number: "+15550109999".to_owned(),
        };
        let account = json!({ "email": "owner@dial.example", "password": "a-password-of-mine" });
        owner.ask("POST", "/auth/signup", account.clone()).await;
        let session = owner.ask("POST", "/auth/login", account).await;
        session["access_token"]
            .as_str()
            .expect("a token")
            .clone_into(&mut owner.token);
        let workflow = json!({ "name": "Reminder", "definition": greeting() });
        let workflow = owner.ask("POST", "/api/v1/workflows", workflow).await;
        let agent = json!({ "agent": { "name": "Reminder", "workflow_id": workflow["id"] } });
        let agent = owner.ask("POST", "/api/v1/agents", agent).await;
        agent["agent"]["id"]
            .as_str()
            .expect("an agent")
            .clone_into(&mut owner.agent);
        let trunk = json!({ "sip_address": sip_address, "phone_number": owner.number });
        let line = owner.cookie("POST", "/phonenumbers/sip_trunk", trunk).await;
        line["id"]
            .as_str()
            .expect("a number")
            .clone_into(&mut owner.line);
        let map = json!({ "phone_number_id": owner.line, "agent_id": owner.agent });
        owner.ask("POST", "/api/v1/phone/mapping", map).await;
        owner
    }

    /// The same user in another session.
    pub async fn again(server: &'a Server) -> Self {
        let mut owner = Self {
            server,
            client: Client::new(),
            token: String::new(),
            agent: String::new(),
            line: String::new(),
            number: String::new(),
        };
        let account = json!({ "email": "owner@dial.example", "password": "a-password-of-mine" });
        let session = owner.ask("POST", "/auth/login", account).await;
        session["access_token"]
            .as_str()
            .expect("a token")
            .clone_into(&mut owner.token);
        owner
    }

    /// JSON at a path.
    pub async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, Value::Null).await
    }

    /// A request with the session as bearer.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).expect("method");
        let request = self
            .client
            .request(method, format!("{}{path}", self.server.url()));
        if self.token.is_empty() {
            request
        } else {
            request.bearer_auth(&self.token)
        }
    }

    /// JSON of a successful request.
    pub async fn ask(&self, method: &str, path: &str, body: Value) -> Value {
        answer(self.request(method, path), body).await
    }

    /// The same with the session as cookie.
    pub async fn cookie(&self, method: &str, path: &str, body: Value) -> Value {
        let method = Method::from_bytes(method.as_bytes()).expect("method");
        let request = self
            .client
            .request(method, format!("{}{path}", self.server.url()));
        answer(
            request.header("cookie", format!("access_token={}", self.token)),
            body,
        )
        .await
    }

    /// Status of a request.
    pub async fn status(&self, method: &str, path: &str, body: Value) -> u16 {
        let request = self.request(method, path);
        let request = if body.is_null() {
            request
        } else {
            request.json(&body)
        };
        request.send().await.expect("an answer").status().as_u16()
    }
}

async fn answer(request: RequestBuilder, body: Value) -> Value {
    let request = if body.is_null() {
        request
    } else {
        request.json(&body)
    };
    let reply = request.send().await.expect("an answer");
    let status = reply.status();
    let text = reply.text().await.expect("text");
    assert!(status.is_success(), "{status} {text}");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}
