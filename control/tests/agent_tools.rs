//! Tools that users define, called by a model and by a workflow: an HTTP server of the test's own,
//! and an MCP server made with the official Python package.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod fake_model;
mod in_process;
mod published;

use std::io::BufRead as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use fake_model::{Answer, FakeModel};
use published::{Database, Proof, World};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A request that the customer's server has seen.
#[derive(Clone, Debug)]
struct Seen {
    method: String,
    uri: String,
    key: String,
    idempotency: String,
    body: Value,
}

/// The customer's server: answers what it was sent.
async fn customer() -> (String, Arc<Mutex<Vec<Seen>>>) {
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let kept = Arc::clone(&seen);
    let answer = move |request: Request| {
        let kept = Arc::clone(&kept);
        async move {
            let (parts, body) = request.into_parts();
            let header = |name: &str| {
                let value = parts.headers.get(name).and_then(|v| v.to_str().ok());
                value.unwrap_or_default().to_owned()
            };
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let entry = Seen {
                method: parts.method.to_string(),
                uri: parts.uri.to_string(),
                key: header("x-key"),
                idempotency: header("idempotency-key"),
                body: serde_json::from_slice(&body).unwrap_or_default(),
            };
            kept.lock().unwrap().push(entry);
            json!({ "free": true, "slot": "10:30" }).to_string()
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(any(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, seen)
}

struct McpPeer {
    child: Child,
    url: String,
}

impl Drop for McpPeer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mcp_server() -> McpPeer {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("../target/python-peers/bin/python");
    assert!(
        python.is_file(),
        "`make python-peers` installs what this test talks to"
    );
    let mut child = Command::new(python)
        .arg(root.join("tests/peers/mcp_server.py"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let out = child.stdout.take().unwrap();
    std::io::BufReader::new(out).read_line(&mut line).unwrap();
    let url = format!("http://127.0.0.1:{}/mcp", line.trim());
    McpPeer { child, url }
}

async fn log_of(world: &World, agent: &str, entries: u64) -> Value {
    let bearer = Proof::Bearer(world.one.admin.bearer.clone());
    let path = format!("/api/v1/tool-invocations?agent_id={agent}");
    for _ in 0..500 {
        let log = world.server.done("GET", &path, &bearer, Value::Null).await;
        if log["total"].as_u64() >= Some(entries) {
            return log;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the log does not get {entries} entries");
}

/// An agent led by the model, with its id.
async fn agent(world: &World, sections: Value) -> String {
    let bearer = Proof::Bearer(world.one.admin.bearer.clone());
    let made = world
        .server
        .done("POST", "/api/v1/agents", &bearer, sections)
        .await;
    made["agent"]["id"].as_str().unwrap().to_owned()
}

fn results(asked: &Value) -> Vec<String> {
    let messages = asked["messages"].as_array().unwrap();
    let tools = messages.iter().filter(|message| message["role"] == "tool");
    tools
        .map(|message| message["content"].as_str().unwrap().to_owned())
        .collect()
}

async fn a_model_calls_an_http_tool_within_its_schema(database: Database) {
    let model = FakeModel::start().await;
    let (url, seen) = customer().await;
    let world = World::new_with(database, &model.settings()).await;
    let server = &world.server;
    let bearer = Proof::Bearer(world.one.admin.bearer.clone());
    let cookie = Proof::Cookie(world.one.admin.cookie.clone());
    let tool = json!({
        "name": "Book a table", "description": "Books.", "method": "POST",
        "url": format!("{url}/book/{{day}}?by={{call_id}}"),
        "headers": { "X-Key": "tool-secret" },
        "tool_schema": { "type": "object", "additionalProperties": false,
            "properties": { "day": { "type": "string", "pattern": "^\\d{4}-\\d\\d-\\d\\d$" },
                            "party": { "type": "integer" }, "house": { "type": "string" } },
            "required": ["day", "party", "house"] },
    });
    let tool = server
        .done("POST", "/api/v1/tool-endpoint-defs", &bearer, tool)
        .await;
    assert_eq!(tool["headers"], json!({ "x-key": "***" }));
    let id = tool["id"].as_str().unwrap();
    let agent = agent(
        &world,
        json!({ "agent": { "name": "Books" },
        "agent_model_config": { "system_prompt": "You book tables." } }),
    )
    .await;
    let mapping = json!([{ "tool_id": id, "type": "http",
        "config": { "name": "book", "arguments": { "house": "north" } } }]);
    let path = format!("/api/v1/agents/{agent}/tools");
    server.done("POST", &path, &bearer, mapping).await;

    model.will([
        Answer::Call("book", json!({ "day": "tomorrow", "party": "two" })),
        Answer::Call("book", json!({ "day": "2030-01-31", "party": 2 })),
        Answer::Say("Booked.".to_owned()),
    ]);
    let turn = json!({ "agent_id": agent, "message": "a table for two" });
    let turn = server.done("POST", "/chats", &cookie, turn).await;
    assert!(
        turn["reply"].as_str().unwrap().contains("Booked."),
        "{turn}"
    );

    let seen = seen.lock().unwrap().clone();
    assert_eq!(
        seen.len(),
        1,
        "the call outside the schema was not sent: {seen:?}"
    );
    let chat = turn["session_id"].as_str().unwrap();
    assert_eq!(seen[0].method, "POST");
    assert_eq!(seen[0].uri, format!("/book/2030-01-31?by={chat}"));
    assert_eq!(seen[0].key, "tool-secret");
    assert!(
        seen[0].idempotency.starts_with(&format!("{chat}-call-")),
        "{seen:?}"
    );
    assert_eq!(
        seen[0].body,
        json!({ "day": "2030-01-31", "party": 2, "house": "north" })
    );
    // The model is told of the tool without what is fixed, and what was wrong with its call.
    let asked = model.asked();
    let told = asked[0]["tools"].as_array().unwrap();
    let told = told
        .iter()
        .find(|tool| tool["function"]["name"] == "book")
        .unwrap();
    let parameters = &told["function"]["parameters"];
    assert!(parameters["properties"].get("house").is_none(), "{told}");
    assert_eq!(parameters["required"], json!(["day", "party"]));
    let wrong = results(&asked[1]);
    assert!(
        wrong[0].contains("/day") && wrong[0].contains("/party"),
        "{wrong:?}"
    );
    assert!(results(&asked[2])[1].contains("10:30"));

    let log = log_of(&world, &agent, 2).await;
    let entries = log["items"].as_array().unwrap();
    let outcomes: Vec<&str> = entries
        .iter()
        .map(|e| e["outcome"].as_str().unwrap())
        .collect();
    assert!(
        outcomes.contains(&"ok") && outcomes.contains(&"refused"),
        "{log}"
    );
    assert!(!log.to_string().contains("tool-secret"));
    let fine = entries
        .iter()
        .find(|entry| entry["outcome"] == "ok")
        .unwrap();
    assert_eq!(fine["call_id"], json!(chat));
    assert_eq!(fine["result"]["slot"], "10:30");

    // A change of the tool counts from the next turn on: with the same secret, another address.
    let moved = json!({ "name": "Book a table", "url": format!("{url}/moved"), "method": "GET",
        "headers": { "x-key": "***" }, "tool_schema": { "properties": { "q": {} } } });
    let path = format!("/api/v1/tool-endpoint-defs/{id}");
    server.done("PUT", &path, &bearer, moved).await;
    let dry = json!({ "arguments": { "q": "a b&c" } });
    let dry = server
        .done("POST", &format!("{path}/dry-run"), &bearer, dry)
        .await;
    assert_eq!(dry["request"]["url"], format!("{url}/moved?q=a+b%26c"));
    assert_eq!(dry["request"]["headers"]["x-key"], "***");
    model.will([
        Answer::Call("book", json!({ "q": "x" })),
        Answer::Say("Done.".to_owned()),
    ]);
    let again = json!({ "agent_id": agent, "message": "again" });
    server.done("POST", "/chats", &cookie, again).await;
    log_of(&world, &agent, 3).await;
}

async fn a_workflow_calls_the_same_tool(database: Database) {
    let (url, seen) = customer().await;
    let world = World::new_with(database, "").await;
    let server = &world.server;
    let bearer = Proof::Bearer(world.one.admin.bearer.clone());
    let cookie = Proof::Cookie(world.one.admin.cookie.clone());
    let tool = json!({ "name": "check_slot", "url": format!("{url}/slots"), "method": "GET",
        "tool_schema": { "properties": { "day": { "type": "string" } } } });
    let tool = server
        .done("POST", "/api/v1/tool-endpoint-defs", &bearer, tool)
        .await;
    let definition = json!({
        "id": "slots", "name": "slots", "language": "en-US", "start": "look",
        "policy": { "tries_max": 2, "fallback": "sorry", "no_match": ["Pardon?"], "silence": ["Hello?"] },
        "nodes": {
            "look": { "type": "tool", "tool": "check_slot", "arguments": { "day": "2030-01-31" },
                      "save": { "slot": "slot" }, "next": "tell", "on_error": "sorry" },
            "tell": { "type": "hangup", "say": ["There is {slot}."] },
            "sorry": { "type": "hangup", "say": ["Sorry."] },
        },
    });
    let workflow = json!({ "name": "Slots", "definition": definition });
    let workflow = server
        .done("POST", "/api/v1/workflows", &bearer, workflow)
        .await;
    let agent = agent(
        &world,
        json!({ "agent": { "name": "S", "workflow_id": workflow["id"] } }),
    )
    .await;
    let mapping = json!([{ "tool_id": tool["id"], "type": "http" }]);
    server
        .done(
            "POST",
            &format!("/api/v1/agents/{agent}/tools"),
            &bearer,
            mapping,
        )
        .await;
    let turn = json!({ "agent_id": agent, "message": "hello" });
    let turn = server.done("POST", "/chats", &cookie, turn).await;
    assert!(
        turn["reply"].as_str().unwrap().contains("There is 10:30."),
        "{turn}"
    );
    assert_eq!(seen.lock().unwrap()[0].uri, "/slots?day=2030-01-31");
}

async fn a_model_calls_tools_of_an_mcp_server(database: Database) {
    let peer = tokio::task::spawn_blocking(mcp_server).await.unwrap();
    let model = FakeModel::start().await;
    let world = World::new_with(database, &model.settings()).await;
    let server = &world.server;
    let bearer = Proof::Bearer(world.one.admin.bearer.clone());
    let cookie = Proof::Cookie(world.one.admin.cookie.clone());
    let definition = json!({ "name": "stock", "url": peer.url, "timeout_ms": 15_000 });
    let mcp = server
        .done(
            "POST",
            "/api/v1/tools-mcp-server-defs",
            &bearer,
            definition.clone(),
        )
        .await;
    assert_eq!(mcp["status"], "connected", "{mcp}");
    let offered: Vec<&str> = mcp["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["name"].as_str().unwrap())
        .collect();
    assert_eq!(offered, ["stock_level", "failing"]);
    let agent = agent(&world, json!({ "agent": { "name": "Stock" } })).await;
    let mapping = json!([{ "tool_id": mcp["id"], "type": "mcp" }]);
    server
        .done(
            "POST",
            &format!("/api/v1/agents/{agent}/tools"),
            &bearer,
            mapping,
        )
        .await;
    model.will([
        Answer::Call("stock_level", json!({ "item": "shoe" })),
        Answer::Call("stock_level", json!({ "item": "shoe", "size": 1 })),
        Answer::Call("failing", json!({})),
        Answer::Say("Forty-two.".to_owned()),
    ]);
    let turn = json!({ "agent_id": agent, "message": "how many shoes?" });
    let turn = server.done("POST", "/chats", &cookie, turn).await;
    assert!(
        turn["reply"].as_str().unwrap().contains("Forty-two."),
        "{turn}"
    );
    let told = results(&model.asked()[3]);
    assert!(told[0].contains("size"), "{told:?}");
    assert!(told[1].contains("\"pieces\":42"), "{told:?}");
    assert!(told[2].contains("the warehouse is closed"), "{told:?}");
    log_of(&world, &agent, 3).await;
    // Only what is allowed is offered to the agent.
    let mut fewer = definition;
    fewer["allowed_tools"] = json!(["failing"]);
    let path = format!(
        "/api/v1/tools-mcp-server-defs/{}",
        mcp["id"].as_str().unwrap()
    );
    server.done("PUT", &path, &bearer, fewer).await;
    let turn = json!({ "agent_id": agent, "message": "and now?" });
    server.done("POST", "/chats", &cookie, turn).await;
    let last = model.asked().pop().unwrap()["tools"].to_string();
    assert!(
        last.contains("failing") && !last.contains("stock_level"),
        "{last}"
    );
}

async fn addresses_inside_are_refused_when_saved_and_when_called(database: Database) {
    let world = World::new_with(database, "").await;
    let bearer = Proof::Bearer(world.one.admin.bearer.clone());
    for url in [
        "https://10.0.0.1/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[fd00:ec2::254]/",
        "https://0xa000001/",
        "http://tools.example/",
        "https://tools.example:22/",
        "https://user:pass@tools.example/",
        "https://{host}/x",
        "https://tools.example{port}/x",
    ] {
        for path in [
            "/api/v1/tool-endpoint-defs",
            "/api/v1/tools-mcp-server-defs",
        ] {
            let body = json!({ "name": "x", "url": url });
            let reply = world
                .server
                .ask("POST", path, &bearer)
                .json(&body)
                .send()
                .await
                .unwrap();
            if url.contains('{') && path.contains("mcp") {
                continue;
            }
            assert_eq!(reply.status().as_u16(), 400, "{path} {url}");
        }
    }
}

macro_rules! on_both_databases {
    ($($name:ident)*) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread")]
            async fn on_sqlite() {
                super::$name(super::Database::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_postgres() {
                super::$name(super::Database::Postgres).await;
            }
        }
    )*};
}

on_both_databases! {
    a_model_calls_an_http_tool_within_its_schema
    a_workflow_calls_the_same_tool
    a_model_calls_tools_of_an_mcp_server
    addresses_inside_are_refused_when_saved_and_when_called
}
