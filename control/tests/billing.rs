//! Money from outside: calls that are paid, and the routes of wallets, usage and earnings.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod in_process;
mod published;

use std::time::Duration;

use control::billing::{audit, journal, wallet::Owner};
use control::identity::principal::INSTALLATION;
use futures_util::{SinkExt, StreamExt};
use in_process::{Server, server};
use published::{Database, Proof, World};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Longest wait for anything.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A cent a second, of which a fifth is the carrier's.
fn settings(opening_credit: &str) -> String {
    format!(
        "[billing]\nenabled = true\nopening_credit = \"{opening_credit}\"\n\
         [[billing.prices]]\ncomponent = \"telephony\"\nprice = \"0.60\"\ncost = \"0.12\"\n\
         [[billing.prices]]\ncomponent = \"tts\"\nprovider = \"no such voice\"\nprice = \"9\"\n"
    )
}

async fn call(server: &Server) -> Socket {
    let url = server.socket_url("/carriers/exotel/greeter/stream");
    let (mut socket, _) = connect_async(url).await.unwrap();
    let start = json!({
        "event": "start", "sequence_number": "1", "stream_sid": "s1",
        "start": {
            "stream_sid": "s1", "call_sid": "c1", "account_sid": "a1",
            "from": "0987", "to": "0123",
            "media_format": {"encoding": "audio/x-raw", "sample_rate": "8000", "bit_rate": "16"},
        },
    });
    socket
        .send(Message::Text(start.to_string().into()))
        .await
        .unwrap();
    socket
}

/// Takes what the agent says until the server closes; confirms nothing.
async fn listen_to_the_end(socket: &mut Socket) -> Option<u16> {
    loop {
        match timeout(WAIT_MAX, socket.next()).await.unwrap() {
            Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return None,
        }
    }
}

/// What the installation's wallet has left, with its books in order.
async fn left(server: &Server) -> i64 {
    let store = &server.app.services().store;
    let report = audit::verify(store, control::clock::now_us())
        .await
        .unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    let mut conn = store.read().await.unwrap();
    let owner = Owner::Organisation(INSTALLATION);
    let found = journal::find_wallet(&mut conn, INSTALLATION, owner, "USD").await;
    let wallet = found.unwrap().unwrap();
    assert_eq!(wallet.pending, 0, "nothing stays set aside");
    wallet.posted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_leaves_a_bill_that_its_wallet_has_paid() {
    let server = server(&settings("5")).await;
    let mut socket = call(&server).await;
    // The agent speaks: the call was answered.
    while !matches!(
        timeout(WAIT_MAX, socket.next()).await.unwrap(),
        Some(Ok(Message::Text(_)))
    ) {}
    let stop = json!({"event": "stop", "stream_sid": "s1", "stop": {"call_sid": "c1"}});
    socket
        .send(Message::Text(stop.to_string().into()))
        .await
        .unwrap();
    let call = server.ended_call().await;
    let bill = &call["bill"];
    let items = bill["items"].as_array().unwrap();
    let item = |service: &str| {
        items
            .iter()
            .find(|item| item["service"] == service)
            .unwrap()
    };
    let seconds = item("telephony")["units"].as_i64().unwrap();
    assert!(seconds >= 1, "{bill}");
    assert_eq!(item("telephony")["provider"], "exotel");
    assert!(item("tts")["units"].as_i64().unwrap() > 0, "{bill}");
    // No price is the voice's: it costs nothing.
    assert_eq!(item("tts")["cost"], "0.000000");
    let total = seconds * 10_000;
    assert_eq!(bill["total"], format!("0.{total:06}"), "{bill}");
    assert_eq!(bill["charged"], true);
    let margin = bill["margin_usd"].as_f64().unwrap() * 1e6;
    assert!(
        (margin - (total - seconds * 2_000) as f64).abs() < 0.5,
        "{bill}"
    );
    assert_eq!(left(&server).await, 5_000_000 - total);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_at_the_second_its_credit_does() {
    let server = server(&settings("0.04")).await;
    let mut socket = call(&server).await;
    listen_to_the_end(&mut socket).await;
    let call = server.ended_call().await;
    assert_eq!(call["outcome"]["reason"], "credit_exhausted", "{call}");
    assert_eq!(call["outcome"]["class"], "completed", "{call}");
    let duration = call["duration_ms"].as_i64().unwrap();
    // Late by as much as a busy machine is, never by the ten-second round of the keeper.
    assert!((3_900..9_000).contains(&duration), "{duration} ms");
    assert_eq!(call["bill"]["total"], "0.040000", "{call}");
    assert_eq!(left(&server).await, 0);
    // Then there is none.
    let mut socket = self::call(&server).await;
    assert_eq!(listen_to_the_end(&mut socket).await, Some(1008));
}

/// A request that is answered with this status; its body.
async fn answered(world: &World, request: (&str, &str, &Proof), body: Value, status: u16) -> Value {
    let (method, path, proof) = request;
    let asked = world.server.ask(method, path, proof);
    let asked = if body.is_null() {
        asked
    } else {
        asked.json(&body)
    };
    let reply = asked.send().await.unwrap();
    let got = reply.status().as_u16();
    let text = reply.text().await.unwrap();
    assert_eq!(got, status, "{method} {path}: {text}");
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

async fn money_moves_only_for_those_who_may(database: Database) {
    let world = World::new(database).await;
    let one = &world.one;
    let bearer = |person: &published::Person| Proof::Bearer(person.bearer.clone());
    let (admin, member, root) = (
        bearer(&one.admin),
        bearer(&one.member),
        bearer(&world.superuser),
    );
    let key = Proof::Key(one.admin.keys["kupe"].clone());
    let wallet = format!("/api/v1/wallets/{}", one.things["wallet"]);
    let path = |action: &str| format!("{wallet}/{action}");
    let grant = json!({ "amount_usd": 2.5 });
    // Who may not.
    answered(
        &world,
        ("POST", &path("grants"), &member),
        grant.clone(),
        403,
    )
    .await;
    answered(&world, ("POST", &path("grants"), &key), grant.clone(), 403).await;
    let fix = json!({ "amount_usd": 1, "reason": "x" });
    answered(&world, ("POST", &path("adjust"), &admin), fix, 403).await;
    answered(
        &world,
        ("DELETE", "/api/v1/billing/credit-balance", &key),
        Value::Null,
        403,
    )
    .await;
    answered(
        &world,
        ("DELETE", "/api/v1/billing/credit-balance", &admin),
        Value::Null,
        405,
    )
    .await;
    let gone = format!("/organizations/{}/billing/assign-credits", one.id);
    answered(&world, ("PUT", &gone, &Proof::None), Value::Null, 410).await;
    // Amounts that are none.
    for amount in [
        json!(0),
        json!(-1),
        json!(0.000_000_1),
        json!(1e12),
        json!("1"),
        json!(null),
    ] {
        let body = json!({ "amount_usd": amount });
        answered(&world, ("POST", &path("grants"), &admin), body, 400).await;
    }
    let late = json!({ "amount_usd": 1, "expires_at": "2020-01-01T00:00:00Z" });
    answered(&world, ("POST", &path("grants"), &admin), late, 400).await;
    // More than the organisation has.
    let much = json!({ "amount_usd": 999_999 });
    answered(&world, ("POST", &path("grants"), &admin), much, 402).await;
    // A transfer that is asked for twice happens once.
    for _ in 0..2 {
        let asked = world.server.ask("POST", &path("grants"), &admin);
        let reply = asked.header("idempotency-key", "k1").json(&grant).send();
        let body: Value = reply.await.unwrap().json().await.unwrap();
        assert_eq!(body["wallet"]["available_balance"], "7.500000", "{body}");
    }
    let organisation = answered(
        &world,
        ("GET", "/api/v1/wallets/me", &admin),
        Value::Null,
        200,
    );
    assert_eq!(organisation.await["available_balance"], "992.500000");
    let own = answered(
        &world,
        ("GET", "/api/v1/wallets/me", &member),
        Value::Null,
        200,
    )
    .await;
    assert_eq!(own["owner_type"], "user");
    // A member sees their own wallet, not the organisation's.
    let book = answered(&world, ("GET", &wallet, &member), Value::Null, 200).await;
    assert_eq!(book["ledger"][0]["type"], "transfer");
    assert_eq!(book["ledger"][0]["amount"], "2.500000");
    assert_eq!(
        book["upcoming_expiry"].as_array().unwrap().len(),
        1,
        "{book}"
    );
    let others = answered(
        &world,
        ("GET", "/api/v1/wallets/orgs", &root),
        Value::Null,
        200,
    )
    .await;
    let id = |org: uuid::Uuid| {
        let items = others["items"].as_array().unwrap();
        let wallet = items
            .iter()
            .find(|item| item["owner_id"] == org.to_string())
            .unwrap();
        format!("/api/v1/wallets/{}", wallet["wallet_id"].as_str().unwrap())
    };
    answered(&world, ("GET", &id(one.id), &member), Value::Null, 403).await;
    answered(&world, ("GET", &id(one.id), &admin), Value::Null, 200).await;
    answered(
        &world,
        ("GET", &id(world.other.id), &admin),
        Value::Null,
        404,
    )
    .await;
    // A cap, and none again.
    let capped = json!({ "monthly_cap_usd": 3 });
    let capped = answered(&world, ("POST", &path("cap"), &admin), capped, 200).await;
    assert_eq!(capped["monthly_cap_usd"], 3.0);
    let open = json!({ "monthly_cap_usd": null });
    let open = answered(&world, ("POST", &path("cap"), &admin), open, 200).await;
    assert!(open["monthly_cap_usd"].is_null());
    // Corrections go down as far as there is something.
    let down = json!({ "amount_usd": -8, "reason": "too much" });
    answered(&world, ("POST", &path("adjust"), &root), down, 400).await;
    // Terms of resellers.
    let org = format!("/api/v1/orgs/{}", one.id);
    let terms = |what: &str| format!("{org}/{what}");
    let fine = json!({ "markup_percentage": 20, "currency": "USD" });
    answered(
        &world,
        ("POST", &terms("markup"), &admin),
        fine.clone(),
        200,
    )
    .await;
    let foreign = json!({ "markup_percentage": 20, "currency": "EUR" });
    answered(&world, ("POST", &terms("markup"), &admin), foreign, 400).await;
    let fine_grained = json!({ "markup_percentage": 0.001 });
    answered(
        &world,
        ("POST", &terms("markup"), &admin),
        fine_grained,
        400,
    )
    .await;
    let internal = json!({ "org_type": "internal" });
    answered(
        &world,
        ("POST", &terms("business-model"), &admin),
        internal.clone(),
        403,
    )
    .await;
    answered(
        &world,
        ("POST", &terms("business-model"), &root),
        internal,
        200,
    )
    .await;
    answered(&world, ("POST", &terms("markup"), &admin), fine, 403).await;
    answered(
        &world,
        ("GET", "/api/v1/earnings/me", &admin),
        Value::Null,
        403,
    )
    .await;
    answered(
        &world,
        ("GET", "/api/v1/earnings/me?period=decade", &admin),
        Value::Null,
        400,
    )
    .await;
    // Usage goes out by mail, or at once.
    let export = "/billing/usage/export";
    let mailed = answered(&world, ("GET", export, &admin), Value::Null, 200).await;
    assert!(mailed["message"].is_string(), "{mailed}");
    let csv = format!("{export}?download=true");
    let csv = answered(&world, ("GET", &csv, &admin), Value::Null, 200).await;
    let csv = csv.as_str().unwrap();
    assert!(
        csv.starts_with("session_id,") && csv.contains("belongs-to-one"),
        "{csv}"
    );
    let bare = format!("{export}?download=true&scope=all");
    answered(&world, ("GET", &bare, &admin), Value::Null, 403).await;
    let store = &world.server.app.services().store;
    let report = audit::verify(store, control::clock::now_us())
        .await
        .unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn money_moves_only_for_those_who_may_on_sqlite() {
    money_moves_only_for_those_who_may(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn money_moves_only_for_those_who_may_on_postgres() {
    money_moves_only_for_those_who_may(Database::Postgres).await;
}
