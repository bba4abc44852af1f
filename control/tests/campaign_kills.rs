//! A campaign whose server is killed at random moments: every recipient ends in one final state,
//! nobody is dialled twice without a recorded decision, nobody is lost, and the called party's own
//! log agrees.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a failed step fails the test; figures are told; real peers are watched by the clock"
)]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::called_party::CalledParty;
use support::owner::Owner;
use support::server::Server;

/// Longest campaign.
const CAMPAIGN_MAX: Duration = Duration::from_secs(1500);

struct Plan {
    recipients: usize,
    kills: usize,
    calls_max: u32,
    calls_per_second: &'static str,
    /// Between a start and the next kill, in ms.
    alive_ms: std::ops::Range<u64>,
}

fn number(index: usize) -> String {
    // The last digit says how the call is taken.
    format!("+1555{index:07}")
}

async fn campaign(plan: Plan) {
    let party = CalledParty::start();
    let per_second = plan.calls_per_second;
    let settings = [
        ("SAMVAD_CAMPAIGNS__CALLS_PER_SECOND", per_second),
        ("SAMVAD_CAMPAIGNS__RECONCILE", "3s"),
        ("SAMVAD_CAMPAIGNS__INBOUND_RESERVE_PERCENT", "0"),
        ("SAMVAD_RECORDING__ENABLED", "false"),
        ("SAMVAD_LIMITS__LOGINS_PER_MINUTE", "100000"),
        ("SAMVAD_LOG__FILTER", "warn"),
    ];
    let mut server = Server::start(&settings).await;
    let batch = prepare(&server, &party, &plan).await;
    let begun = Instant::now();
    let mut seed = rand::random::<u64>();
    println!("seed {seed}");
    for kill in 0..plan.kills {
        // A linear congruential generator (Knuth) is random enough for moments.
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let span = plan.alive_ms.end - plan.alive_ms.start;
        let alive = plan.alive_ms.start + (seed >> 33) % span;
        tokio::time::sleep(Duration::from_millis(alive)).await;
        server.kill();
        println!("kill {} after {alive} ms", kill + 1);
        server.restart().await;
    }
    let counts = server
        .wait_for("the end of the campaign", CAMPAIGN_MAX, async |server| {
            let status = Owner::again(server).await;
            let status = status
                .get(&format!("/api/v1/batch-call/{batch}/status"))
                .await;
            let done = status["data"]["batch"]["status"] == "completed";
            if !done {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            done.then(|| status["data"]["status_counts"].clone())
        })
        .await;
    println!(
        "{} recipients in {:?}: {counts}",
        plan.recipients,
        begun.elapsed()
    );
    let owner = Owner::again(&server).await;
    compare(&owner, &party, &batch, &plan).await;
}

async fn prepare(server: &Server, party: &CalledParty, plan: &Plan) -> String {
    let owner = Owner::new(server, &party.address()).await;
    let create = json!({
        "agent_id": owner.agent, "caller_phone_id": owner.line, "batch_name": "Kill test",
        "batch_size": plan.calls_max, "ring_seconds": 3, "max_attempts": 2,
        "retry_busy_seconds": 2, "retry_no_answer_seconds": 2, "retry_failed_seconds": 2,
    });
    let batch = owner.ask("POST", "/api/v1/batch-call/create", create).await;
    let batch = batch["data"]["id"].as_str().unwrap().to_owned();
    let mut csv = "to_phonenumber,name\n".to_owned();
    for index in 0..plan.recipients {
        csv.push_str(&format!("{},Person {index}\n", number(index)));
    }
    let path = format!("/api/v1/batch-call/upload/{batch}");
    let upload = owner
        .request("POST", &path)
        .header("content-type", "text/csv")
        .body(csv);
    let report: Value = upload.send().await.unwrap().json().await.unwrap();
    assert_eq!(report["data"]["inserted"], plan.recipients, "{report}");
    owner
        .ask(
            "POST",
            &format!("/api/v1/batch-call/start/{batch}"),
            Value::Null,
        )
        .await;
    let path = format!("/api/v1/batch-call/start/{batch}");
    let again = owner.status("POST", &path, Value::Null);
    assert_eq!(again.await, 409, "a batch starts once");
    batch
}

/// Rows against rows, and rows against what reached the called party.
async fn compare(owner: &Owner<'_>, party: &CalledParty, batch: &str, plan: &Plan) {
    let mut rows: BTreeMap<String, Value> = BTreeMap::new();
    let mut after = String::new();
    loop {
        let path = format!("/api/v1/batch-call/{batch}/data?limit=5000{after}");
        let page = owner.get(&path).await;
        let page = page["data"].as_array().unwrap().clone();
        let Some(last) = page.last() else { break };
        after = format!("&after={}", last["id"].as_str().unwrap());
        for row in page {
            let phone = row["to_phonenumber"].as_str().unwrap().to_owned();
            assert!(rows.insert(phone, row).is_none(), "two rows of one number");
        }
    }
    assert_eq!(rows.len(), plan.recipients, "a recipient is lost");
    let attempts = owner
        .get(&format!("/api/v1/batch-call/{batch}/attempts"))
        .await;
    let mut decided: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    let mut by_id: BTreeMap<&str, &Value> = BTreeMap::new();
    for attempt in attempts["data"].as_array().unwrap() {
        decided
            .entry(attempt["phone"].as_str().unwrap())
            .or_default()
            .push(attempt);
        by_id.insert(attempt["id"].as_str().unwrap(), attempt);
    }
    let reached = party.calls();
    let mut interrupted = 0;
    for (phone, row) in &rows {
        let status = row["status"].as_str().unwrap();
        assert!(
            ["completed", "failed", "no_answer"].contains(&status),
            "{row}"
        );
        let attempts = decided.get(phone.as_str()).cloned().unwrap_or_default();
        assert!((1..=2).contains(&attempts.len()), "{row} {attempts:?}");
        for attempt in &attempts {
            assert_eq!(attempt["state"], "closed", "{attempt}");
        }
        // Every attempt but the last has a recorded decision to dial again, and not one that
        // follows from a result nobody knows.
        for attempt in &attempts[..attempts.len() - 1] {
            let decision = attempt["decision"].as_str().unwrap();
            assert!(decision.starts_with("retry: "), "{attempt}");
            assert!(attempt["detail"] != "interrupted", "{attempt}");
        }
        let last = attempts[attempts.len() - 1];
        assert!(
            last["decision"].as_str().unwrap().starts_with("done: "),
            "{last}"
        );
        if last["detail"] == "interrupted" {
            interrupted += 1;
            assert_eq!(status, "failed", "{row}");
            continue;
        }
        let expected = match phone.as_bytes()[phone.len() - 1] {
            b'4' | b'5' => "no_answer",
            b'6' | b'7' | b'9' => "failed",
            _ => "completed",
        };
        assert_eq!(status, expected, "{row} {attempts:?}");
    }
    let mut calls = 0;
    for (phone, ids) in &reached {
        let attempts = decided.get(phone.as_str()).map_or(0, Vec::len);
        assert!(
            ids.len() <= attempts,
            "{phone} was called {ids:?} by {attempts} attempts"
        );
        for id in ids {
            calls += 1;
            assert_eq!(
                by_id.get(id.as_str()).unwrap()["phone"],
                **phone,
                "a call without an intent"
            );
        }
    }
    // What did not reach the called party is known not to have, or not known.
    for (id, attempt) in &by_id {
        let phone = attempt["phone"].as_str().unwrap();
        let arrived = reached
            .get(phone)
            .is_some_and(|ids| ids.iter().any(|known| known == id));
        assert!(
            arrived || attempt["outcome"] == "failed",
            "{attempt} never arrived"
        );
    }
    println!(
        "{} attempts, {calls} calls arrived, {interrupted} recipients interrupted",
        by_id.len()
    );
    assert!(
        interrupted < plan.recipients / 2,
        "the kills decided the campaign"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_survives_kills() {
    campaign(Plan {
        recipients: 200,
        kills: 3,
        calls_max: 40,
        calls_per_second: "20",
        alive_ms: 500..3000,
    })
    .await;
}

/// `cargo test -p control --test campaign_kills -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a quarter of an hour"]
async fn ten_thousand_recipients_and_twenty_kills() {
    campaign(Plan {
        recipients: 10_000,
        kills: 20,
        calls_max: 280,
        calls_per_second: "60",
        alive_ms: 2000..9000,
    })
    .await;
}

fn signal(server: &Server, name: &str) {
    let sent = std::process::Command::new("kill")
        .args([name, &server.pid().to_string()])
        .status();
    assert!(sent.expect("kill runs").success());
}

/// Two servers on one PostgreSQL: one stands still past its lease and wakes up again, the other is
/// killed; the promises hold for both together.
#[tokio::test(flavor = "multi_thread")]
async fn two_servers_share_a_campaign_while_one_freezes_and_one_dies() {
    let plan = Plan {
        recipients: 200,
        kills: 1,
        calls_max: 40,
        calls_per_second: "20",
        alive_ms: 0..1,
    };
    let database = tokio::task::spawn_blocking(fixtures::postgres::new_database);
    let database = database.await.unwrap();
    let party = CalledParty::start();
    let settings = [
        ("SAMVAD_DATABASE__URL", database.as_str()),
        (
            "SAMVAD_IDENTITY__MASTER_KEY",
            "c2FtdmFkIHRlc3QgbWFzdGVyIGtleSAzMiBieXRlcyE=",
        ),
        ("SAMVAD_CAMPAIGNS__CALLS_PER_SECOND", plan.calls_per_second),
        ("SAMVAD_CAMPAIGNS__LEASE", "2s"),
        ("SAMVAD_CAMPAIGNS__RECONCILE", "8s"),
        ("SAMVAD_CAMPAIGNS__INBOUND_RESERVE_PERCENT", "0"),
        ("SAMVAD_RECORDING__ENABLED", "false"),
        ("SAMVAD_LIMITS__LOGINS_PER_MINUTE", "100000"),
        ("SAMVAD_LOG__FILTER", "warn"),
    ];
    let mut one = Server::start(&settings).await;
    let batch = prepare(&one, &party, &plan).await;
    // Started now, it knows the trunk that was registered on the first.
    let other = Server::start(&settings).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    signal(&other, "-STOP");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    one.kill();
    one.restart().await;
    // The lease of the one that stands still has run out by now, and its calls are lost.
    tokio::time::sleep(Duration::from_secs(3)).await;
    signal(&other, "-CONT");
    let counts = one
        .wait_for("the end of the campaign", CAMPAIGN_MAX, async |server| {
            let status = Owner::again(server).await;
            let status = status
                .get(&format!("/api/v1/batch-call/{batch}/status"))
                .await;
            let done = status["data"]["batch"]["status"] == "completed";
            done.then(|| status["data"]["status_counts"].clone())
        })
        .await;
    println!("{counts}");
    compare(&Owner::again(&one).await, &party, &batch, &plan).await;
}
