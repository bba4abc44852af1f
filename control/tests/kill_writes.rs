//! Every write that was answered survives the death of the process, whole, on both databases, and
//! the next start is quick.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the time of the start is measured and told"
)]

mod support;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::server::Server;

const WRITES: usize = 1000;
const WRITERS: usize = 50;
const EMAIL: &str = "root@kill.example";
const PASSWORD: &str = "correct horse battery";
/// How long the start after a kill may take on a machine that has much else to do. The bar
/// is two seconds on a free one; the time is printed.
const START_MAX: Duration = Duration::from_secs(20);

fn admin(server: &Server, database: Option<&str>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_samvad"))
        .envs(database.map(|url| ("SAMVAD_DATABASE__URL", url)))
        .arg("--config")
        .arg(server.config())
        .args(["admin", "create", "--email", EMAIL])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("samvad runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(PASSWORD.as_bytes()).expect("written");
    drop(stdin);
    assert!(child.wait().expect("an end").success());
}

async fn log_in(server: &Server, client: &reqwest::Client) -> String {
    let url = format!("{}/auth/login", server.url());
    let body = json!({ "email": EMAIL, "password": PASSWORD });
    let reply = client
        .post(url)
        .json(&body)
        .send()
        .await
        .expect("an answer");
    let session: Value = reply.json().await.expect("JSON");
    session["access_token"]
        .as_str()
        .expect("a token")
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn answered_writes_survive_a_kill_and_none_is_half_there_on_sqlite() {
    answered_writes_survive_a_kill(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answered_writes_survive_a_kill_and_none_is_half_there_on_postgres() {
    let made = tokio::task::spawn_blocking(fixtures::postgres::new_database);
    answered_writes_survive_a_kill(Some(made.await.expect("a database"))).await;
}

async fn answered_writes_survive_a_kill(database: Option<String>) {
    let mut settings = vec![
        ("SAMVAD_LIMITS__REQUESTS_PER_SECOND", "1000000"),
        ("SAMVAD_LIMITS__LOGINS_PER_MINUTE", "1000000"),
    ];
    if let Some(url) = &database {
        settings.push(("SAMVAD_DATABASE__URL", url));
    }
    let mut server = Server::start(&settings).await;
    admin(&server, database.as_deref());
    let client = reqwest::Client::new();
    let token = log_in(&server, &client).await;
    let url = format!("{}/api/v1/agents/simple", server.url());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (client, token, url) = (client.clone(), token.clone(), url.clone());
            tokio::spawn(async move {
                let mut answered = Vec::new();
                for number in 0..WRITES / WRITERS {
                    let name = format!("agent {writer} {number}");
                    let request = client.post(&url).bearer_auth(&token);
                    let Ok(reply) = request.json(&json!({ "name": name })).send().await else {
                        break;
                    };
                    if reply.status().as_u16() == 201 {
                        answered.push(name);
                    }
                }
                answered
            })
        })
        .collect();
    // In the middle of it: some hundred are answered, the others under way.
    let list = format!("{}/api/v1/agents?page=1&page_size=1", server.url());
    let under_way = async {
        loop {
            let reply = client
                .get(&list)
                .bearer_auth(&token)
                .send()
                .await
                .expect("an answer");
            let page: Value = reply.json().await.expect("JSON");
            if page["total"].as_u64().expect("a number") >= 300 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), under_way)
        .await
        .expect("the writes come on");
    server.kill();
    let mut answered = BTreeSet::new();
    for writer in writers {
        answered.extend(writer.await.expect("a writer"));
    }
    assert!(answered.len() >= 250, "{}", answered.len());
    let begun = Instant::now();
    server.restart().await;
    let took = Instant::now().duration_since(begun);
    let name = if database.is_some() {
        "PostgreSQL"
    } else {
        "SQLite"
    };
    println!(
        "{name}: {} answered writes, ready {} ms after the start",
        answered.len(),
        took.as_millis()
    );
    assert!(took < START_MAX, "{took:?}");
    let token = log_in(&server, &client).await;
    let mut there = BTreeSet::new();
    for page in 1.. {
        let list = format!("{}/api/v1/agents?page={page}&page_size=100", server.url());
        let reply = client
            .get(list)
            .bearer_auth(&token)
            .send()
            .await
            .expect("an answer");
        let page: Value = reply.json().await.expect("JSON");
        let items = page["items"].as_array().expect("items");
        if items.is_empty() {
            break;
        }
        for item in items {
            there.insert(item["name"].as_str().expect("a name").to_owned());
            // The version is written with the agent, in one step.
            let id = item["id"].as_str().expect("an id");
            if there.len() % 25 == 0 {
                let url = format!("{}/api/v1/agents/{id}/versions", server.url());
                let reply = client
                    .get(url)
                    .bearer_auth(&token)
                    .send()
                    .await
                    .expect("an answer");
                let versions: Value = reply.json().await.expect("JSON");
                assert_eq!(versions.as_array().map(Vec::len), Some(1), "{versions}");
            }
        }
    }
    let lost: Vec<_> = answered.difference(&there).collect();
    assert!(
        lost.is_empty(),
        "{} of {} are lost: {lost:?}",
        lost.len(),
        answered.len()
    );
}
