//! Webhooks: signatures as the official package has them, tries, order, and death in between.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod in_process;
mod published;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::post;
use control::calls::outcome::CallOutcome;
use control::calls::queries;
use pipeline::call::EndReason;
use published::{Database, Proof, World};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const WAIT_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
struct Got {
    headers: BTreeMap<String, String>,
    body: String,
}

impl Got {
    fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A receiver that answers from a list of statuses, the last for ever.
#[derive(Clone)]
struct Receiver {
    url: String,
    got: Arc<Mutex<Vec<Got>>>,
    statuses: Arc<Mutex<Vec<u16>>>,
}

impl Receiver {
    async fn start(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            url: format!("http://{}/hook", listener.local_addr().unwrap()),
            got: Arc::default(),
            statuses: Arc::new(Mutex::new(statuses.to_vec())),
        };
        let own = receiver.clone();
        let take = move |headers: HeaderMap, body: String| {
            let own = own.clone();
            async move {
                let headers = headers
                    .iter()
                    .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                    .collect();
                own.got.lock().unwrap().push(Got { headers, body });
                let mut statuses = own.statuses.lock().unwrap();
                let status = if statuses.len() > 1 {
                    statuses.remove(0)
                } else {
                    statuses[0]
                };
                let status = StatusCode::from_u16(status).unwrap();
                (status, [("retry-after", "0"), ("location", "/else")]).into_response()
            }
        };
        let router = Router::new().route("/hook", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    async fn messages(&self, count: usize) -> Vec<Got> {
        let came = async {
            loop {
                let got = self.got();
                if got.len() >= count {
                    return got;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let came = tokio::time::timeout(WAIT_MAX, came).await;
        came.unwrap_or_else(|_| panic!("{} of {count} messages came", self.got().len()))
    }
}

/// What the official package says of each message.
async fn verdicts(secret: &str, messages: Vec<Got>) -> Vec<String> {
    let lines: Vec<String> = messages
        .iter()
        .map(|m| json!({ "secret": secret, "headers": m.headers, "body": m.body }).to_string())
        .collect();
    let run = tokio::task::spawn_blocking(move || {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join("../target/python-peers/bin/python");
        assert!(
            python.is_file(),
            "`make python-peers` installs what this test talks to"
        );
        let mut child = Command::new(python)
            .arg(root.join("tests/peers/verify_webhook.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(lines.join("\n").as_bytes())
            .unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    });
    run.await.unwrap().lines().map(str::to_owned).collect()
}

async fn add(world: &World, receiver: &Receiver, format: &str) -> (String, String) {
    let bearer = Proof::Bearer(world.one.admin.bearer.clone());
    let hook = json!({ "url": receiver.url, "format": format });
    let hook = world
        .server
        .done("POST", "/api/v1/webhooks", &bearer, hook)
        .await;
    let text = |name: &str| hook[name].as_str().unwrap().to_owned();
    (text("id"), text("secret"))
}

/// Ends a call of the first organisation as a carrier's side would, twice.
async fn end_call(world: &World, reason: EndReason) -> String {
    let store = &world.server.app.services().store;
    let id = uuid::Uuid::now_v7().to_string();
    let insert = control::store::sql(
        "INSERT INTO calls (id, boot_id, agent_id, direction, carrier, caller, called, status, \
           started_at, answered_at, org_id) SELECT $1, id, $2, 'inbound', 'sip', '+15550100', \
           '+15550101', 'active', $3, $3, $4 FROM boots LIMIT 1",
    )
    .bind(&id)
    .bind(&world.one.things["agent"])
    .bind(control::clock::now_us())
    .bind(world.one.id);
    store.execute(insert).await.unwrap();
    let turn = control::store::sql(
        "INSERT INTO call_turns (call_id, number, speaker, text, start_ms, end_ms, interrupted, \
           dtmf) VALUES ($1, 1, 'caller', 'hello there', 0, 900, 0, 0)",
    );
    store.execute(turn.bind(&id)).await.unwrap();
    for _ in 0..2 {
        let outcome = CallOutcome::from(reason);
        let at = control::clock::now_us() + 61_000_000;
        queries::finish_call(store, id.parse().unwrap(), outcome, at, None)
            .await
            .unwrap();
    }
    world.server.app.services().webhooks.wake();
    id
}

async fn an_ended_call_is_told_once_signed_as_the_official_package_has_it(database: Database) {
    let world = World::new_with(database, "").await;
    let (standard, kupe) = (Receiver::start(&[200]).await, Receiver::start(&[204]).await);
    let (hook, secret) = add(&world, &standard, "standard").await;
    let (_, kupe_secret) = add(&world, &kupe, "kupe").await;
    let ended = end_call(&world, EndReason::CallerHungUp).await;
    let messages = standard.messages(1).await;
    let body = messages[0].json();
    assert_eq!(body["type"], "call.ended");
    assert_eq!(body["sequence"], 1);
    assert_eq!(body["data"]["call_id"], json!(ended));
    assert_eq!(body["data"]["transcript"][0]["text"], "hello there");
    assert_eq!(
        body["data"]["duration_ms"].as_i64().map(|ms| ms / 1_000),
        Some(61)
    );
    let spoilt = Got {
        body: messages[0].body.replace("hello", "hullo"),
        ..messages[0].clone()
    };
    let said = verdicts(&secret, vec![messages[0].clone(), spoilt]).await;
    assert_eq!(said[0], "valid");
    assert!(said[1].starts_with("invalid"), "{said:?}");
    let told = kupe.messages(1).await;
    assert_eq!(told[0].json()["event"], "voiceCallCompleted");
    assert_eq!(told[0].json()["call_duration"], 61);
    assert_eq!(told[0].json()["full_conversation"], "User: hello there");
    assert!(told[0].headers["x-webhook-signature"].starts_with("sha256="));
    assert_eq!(verdicts(&kupe_secret, told).await, ["valid"]);
    end_call(&world, EndReason::ProviderFailed).await;
    let told = kupe.messages(2).await;
    assert_eq!(told[1].json()["event"], "voiceCallError");
    assert_eq!(told[1].json()["error_reason"], "provider_failed");
    standard.messages(2).await;
    // During a rotation both secrets hold.
    let bearer = Proof::Bearer(world.one.admin.bearer.clone());
    let path = format!("/api/v1/webhooks/{hook}");
    let rotated = format!("{path}/rotate-secret");
    let rotated = world
        .server
        .done("POST", &rotated, &bearer, Value::Null)
        .await;
    world
        .server
        .done("POST", &format!("{path}/test"), &bearer, Value::Null)
        .await;
    let messages = standard.messages(3).await;
    let last = vec![messages[2].clone()];
    let new = rotated["secret"].as_str().unwrap();
    assert_eq!(verdicts(new, last.clone()).await, ["valid"]);
    assert_eq!(verdicts(&secret, last).await, ["valid"]);
    let shown = world.server.done("GET", &path, &bearer, Value::Null).await;
    assert!(
        shown.get("secret").is_none() && shown["last_success_at"].is_string(),
        "{shown}"
    );
    // Each was told once, although the end came twice.
    assert_eq!(standard.got().len(), 3);
    assert_eq!(kupe.got().len(), 2);
}

async fn a_failed_delivery_is_tried_again_under_the_same_id(database: Database) {
    let world = World::new_with(database, "").await;
    let bearer = Proof::Bearer(world.one.admin.bearer.clone());
    let receiver = Receiver::start(&[500, 302, 200]).await;
    let (hook, secret) = add(&world, &receiver, "standard").await;
    let path = format!("/api/v1/webhooks/{hook}");
    world
        .server
        .done("POST", &format!("{path}/test"), &bearer, Value::Null)
        .await;
    receiver.messages(1).await;
    let deliveries = format!("{path}/deliveries");
    // Noted as failed and due again; a replay need not wait for the time.
    let noted = async {
        loop {
            let list = world
                .server
                .done("GET", &deliveries, &bearer, Value::Null)
                .await;
            if list["items"][0]["attempts"] == 1 {
                return list;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let list = tokio::time::timeout(WAIT_MAX, noted).await.unwrap();
    let first = &list["items"][0];
    assert_eq!(first["state"], "pending");
    assert_eq!(first["last_status"], 500);
    assert!(first["next_at"].is_string());
    // The second try comes by itself after about five seconds, is redirected and fails; the third
    // is asked for.
    receiver.messages(2).await;
    let delivery = json!({ "delivery_id": first["id"] });
    let failed_twice = async {
        loop {
            let list = world
                .server
                .done("GET", &deliveries, &bearer, Value::Null)
                .await;
            if list["items"][0]["attempts"] == 2 {
                return list["items"][0]["last_status"].clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert_eq!(
        tokio::time::timeout(WAIT_MAX, failed_twice).await.unwrap(),
        302
    );
    world
        .server
        .done("POST", &format!("{path}/replay"), &bearer, delivery)
        .await;
    let messages = receiver.messages(3).await;
    let ids: BTreeSet<&str> = messages.iter().map(Got::id).collect();
    assert_eq!(ids.len(), 1);
    assert_ne!(
        messages[0].headers["webhook-timestamp"],
        messages[1].headers["webhook-timestamp"]
    );
    assert_eq!(
        verdicts(&secret, messages).await,
        ["valid", "valid", "valid"]
    );
    // Who answers 410 is not told again.
    *receiver.statuses.lock().unwrap() = vec![410];
    world
        .server
        .done("POST", &format!("{path}/test"), &bearer, Value::Null)
        .await;
    receiver.messages(4).await;
    let off = async {
        loop {
            let shown = world.server.done("GET", &path, &bearer, Value::Null).await;
            if shown["enabled"] == false {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let shown = tokio::time::timeout(WAIT_MAX, off).await.unwrap();
    assert!(
        shown["disabled_reason"].as_str().unwrap().contains("410"),
        "{shown}"
    );
}

/// Answers every message twice over: one effect for one id, whatever dies in between.
#[tokio::test(flavor = "multi_thread")]
async fn every_event_arrives_though_the_process_is_killed_and_has_one_effect() {
    const EVENTS: usize = 120;
    let receiver = Receiver::start(&[200]).await;
    let settings = [
        ("SAMVAD_LIMITS__REQUESTS_PER_SECOND", "1000000"),
        ("SAMVAD_LIMITS__LOGINS_PER_MINUTE", "1000000"),
        ("SAMVAD_TOOLS__ALLOWED_NETWORKS", "[\"127.0.0.0/8\"]"),
    ];
    let mut server = support::server::Server::start(&settings).await;
    let client = reqwest::Client::new();
    let person = json!({ "email": "a@kill.example", "password": published::PASSWORD });
    let mut admin = Command::new(env!("CARGO_BIN_EXE_samvad"))
        .arg("--config")
        .arg(server.config())
        .args(["admin", "create", "--email", "a@kill.example"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    admin
        .stdin
        .take()
        .unwrap()
        .write_all(published::PASSWORD.as_bytes())
        .unwrap();
    assert!(admin.wait().unwrap().success());
    let url = server.url();
    let ask = async |method: &str, path: &str, token: &str, body: Value| -> Option<Value> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = client
            .request(method, format!("{url}{path}"))
            .bearer_auth(token);
        let reply = request.json(&body).send().await.ok()?;
        reply
            .status()
            .is_success()
            .then_some(reply.json().await.ok()?)
    };
    let session = ask("POST", "/auth/login", "", person).await.unwrap();
    let token = session["access_token"].as_str().unwrap().to_owned();
    let hook = ask(
        "POST",
        "/api/v1/webhooks",
        &token,
        json!({ "url": receiver.url }),
    )
    .await
    .unwrap();
    let test = format!("/api/v1/webhooks/{}/test", hook["id"].as_str().unwrap());
    let mut noted = BTreeSet::new();
    for round in 0..3 {
        for _ in 0..EVENTS / 3 {
            let event = ask("POST", &test, &token, Value::Null).await.unwrap();
            noted.insert(event["event_id"].as_str().unwrap().to_owned());
        }
        // In the middle of sending: not all have arrived, or they were quick.
        if round < 2 {
            server.kill();
            server.restart().await;
        }
    }
    let arrived = async {
        loop {
            let ids: BTreeSet<String> = receiver
                .got()
                .iter()
                .map(|got| got.id().to_owned())
                .collect();
            if ids.is_superset(&noted) {
                return ids;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    // What was under way when the process died comes once its lease has run out.
    let ids = tokio::time::timeout(Duration::from_secs(180), arrived)
        .await
        .unwrap();
    assert_eq!(ids, noted, "nothing else was told");
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
    an_ended_call_is_told_once_signed_as_the_official_package_has_it
    a_failed_delivery_is_tried_again_under_the_same_id
}
