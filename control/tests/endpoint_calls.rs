//! Live calls to lines that endpoints outside answer: joined with a second call, or sent where a
//! webhook says. The peers are baresip, sipp and our own user agent.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod in_process;
mod published;
mod support;

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fixtures::tone;
use hmac::{Hmac, Mac as _};
use in_process::{Server, TOKEN};
use published::{Database, Proof, World};
use serde_json::{Value, json};
use sha2::Sha256;
use sip::event::{InviteRequest, SessionEnd};
use sip::message::{NameAddr, StatusCode, Uri};
use sip::net::{Dialog, DialogEvent, IncomingCall, OutgoingEvent, UserAgent, UserAgentConfig};
use sip::sdp::{CodecPreference, Direction, LocalMedia, SessionDescription, negotiate, offer};
use support::baresip::{CODECS, Phone};
use support::server::{free_udp_port, peer};
use tokio::sync::mpsc;

/// Longest wait for anything.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Endpoints on this machine are allowed, and ring shortly.
const SETTINGS: &str = "[endpoints]\nallowed_networks = [\"127.0.0.0/8\"]\nring_timeout = \"2s\"\nwebhook_timeout = \"2s\"\n";

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(WAIT_MAX, future).await;
    done.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// A user agent that takes and places calls.
struct Peer {
    agent: UserAgent,
    incoming: mpsc::Receiver<IncomingCall>,
}

impl Peer {
    async fn new() -> Self {
        let config = UserAgentConfig::new("127.0.0.1:0".parse().unwrap());
        let (agent, incoming) = UserAgent::bind(config).await.unwrap();
        Self { agent, incoming }
    }

    fn uri(&self) -> String {
        format!("sip:desk@{}", self.agent.local_addr())
    }

    async fn taken(&mut self) -> IncomingCall {
        in_time("a call", self.incoming.recv()).await.unwrap()
    }

    async fn call(&self, server: &Server, number: &str) -> sip::net::OutgoingCall {
        let address = server.app.sip_address().unwrap();
        let from = NameAddr::new(Uri::sip("+15550123", self.agent.local_addr()));
        let mut invite = InviteRequest::new(Uri::sip(number, address), address, from);
        invite.offer = Some(offer(&local()));
        self.agent.invite(invite).await.unwrap()
    }

    /// How an attempt ends: the dialog, or the final status.
    async fn outcome(mut attempt: sip::net::OutgoingCall) -> Result<Dialog, u16> {
        let ended = async {
            loop {
                match attempt.next_event().await {
                    Some(OutgoingEvent::Answered { dialog, .. }) => return Ok(dialog),
                    Some(OutgoingEvent::Failed(SessionEnd::Refused { status, .. })) => {
                        return Err(status.code());
                    }
                    Some(OutgoingEvent::Failed(_)) | None => return Err(0),
                    Some(_) => {}
                }
            }
        };
        in_time("the end of the attempt", ended).await
    }

    async fn final_status(&self, server: &Server, number: &str) -> u16 {
        let attempt = self.call(server, number).await;
        match Self::outcome(attempt).await {
            Ok(dialog) => {
                let _ = dialog.bye(None).await;
                200
            }
            Err(status) => status,
        }
    }
}

fn local() -> LocalMedia {
    LocalMedia {
        address: "127.0.0.1".parse().unwrap(),
        rtp_port: free_udp_port(),
        rtcp_port: None,
        rtcp_mux: true,
        codecs: vec![media::codec::Codec::Pcmu],
        preference: CodecPreference::Ours,
        telephone_event: true,
        ptime_ms: 20,
        direction: Direction::SendRecv,
        session_id: 7,
        session_version: 1,
        srtp: None,
    }
}

fn answer(call: &IncomingCall) -> SessionDescription {
    negotiate(call.offer().unwrap(), &local()).unwrap().0
}

/// How the call that a dialog is part of ended.
async fn ended(dialog: &mut Dialog) -> SessionEnd {
    let ended = async {
        loop {
            if let DialogEvent::Ended(end) = dialog.next_event().await {
                return end;
            }
        }
    };
    in_time("the end of the dialog", ended).await
}

/// Makes an endpoint that answers the organisation's line.
async fn endpoint(world: &World, kind: &str, url: &str, config: Value) -> Value {
    let body = json!({ "name": kind, "type": kind, "url": url, "provider_config": config,
                       "phone_number_id": world.one.things["line"] });
    let admin = Proof::Bearer(world.one.admin.bearer.clone());
    world.server.done("POST", "/endpoints", &admin, body).await
}

/// The newest call, once it has ended.
async fn last_call(server: &Server) -> Value {
    let ended = async {
        loop {
            let calls = server.get("/v1/calls?limit=1").await;
            let call = &calls["calls"][0];
            if !call["ended_at"].is_null() {
                let id = call["id"].as_str().unwrap();
                return server.get(&format!("/v1/calls/{id}")).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    in_time("the end of the call", ended).await
}

/// The loudest 200 ms of a tone: a busy machine tears holes into what phones play.
fn level(pcm: &[i16], rate: u32, hz: f64) -> f64 {
    let windows = pcm.chunks_exact(rate as usize / 5);
    windows
        .map(|window| tone::level_dbfs(window, rate, hz))
        .fold(-99.0, f64::max)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_baresip_phones_hear_each_other_through_an_endpoint() {
    let world = World::new_with(Database::Sqlite, SETTINGS).await;
    let server = &world.server;
    let [pcmu, pcma, ..] = CODECS;
    let say = |hz| tone::sine(16_000, hz, -15.0, 16_000 * 60);
    let mut caller = Phone::start_playing(pcmu, "", &say(440.0)).await;
    let mut callee = Phone::start_playing(pcma, "", &say(1_000.0)).await;
    let made = endpoint(&world, "custom_sip", &callee.uri(), json!({})).await;
    // The mapping counts from the next call on.
    let sip = server.app.sip_address().unwrap();
    let number = &world.one.number;
    caller.call(&format!("sip:{number}@{sip}")).await;
    caller.wait_for("CALL_ESTABLISHED").await;
    callee.wait_for("CALL_ESTABLISHED").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    caller.hang_up().await;
    callee.wait_for("CALL_CLOSED").await;
    let (heard_by_caller, rate) = caller.quit().await.heard();
    let (heard_by_callee, rate_there) = callee.quit().await.heard();
    let levels = (
        level(&heard_by_caller, rate, 1_000.0),
        level(&heard_by_callee, rate_there, 440.0),
    );
    println!(
        "caller hears 1000 Hz at {:.1} dBFS, callee 440 Hz at {:.1} dBFS",
        levels.0, levels.1
    );
    assert!((levels.0 + 15.0).abs() < 3.0, "caller: {} dBFS", levels.0);
    assert!((levels.1 + 15.0).abs() < 3.0, "callee: {} dBFS", levels.1);
    let call = last_call(server).await;
    assert_eq!(call["agent_id"], made["id"], "{call}");
    assert_eq!(call["outcome"]["reason"], "caller_hung_up", "{call}");
    assert_eq!(call["called"], json!(number));
    assert!(call["duration_ms"].as_i64().unwrap() >= 3_000, "{call}");
    // Both are on the recording: the caller left, the callee right.
    let path = call["recording_path"].as_str().unwrap();
    let recording = fixtures::wav::Wav::read(std::path::Path::new(path)).unwrap();
    for (channel, hz) in [(0, 440.0), (1, 1_000.0)] {
        let level = level(&recording.channels[channel], recording.rate, hz);
        assert!(
            (level + 15.0).abs() < 3.0,
            "channel {channel}: {level} dBFS"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_calls_sipp_through_an_endpoint() {
    let world = World::new_with(Database::Sqlite, SETTINGS).await;
    let port = free_udp_port();
    let mut callee = Command::new(peer("sipp"))
        .args(["-sn", "uas", "-i", "127.0.0.1", "-mi", "127.0.0.1"])
        .args(["-p", &port.to_string(), "-mp", &free_udp_port().to_string()])
        .args(["-m", "10", "-nostdin", "-timeout", "60", "-timeout_error"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let url = format!("sip:desk@127.0.0.1:{port}");
    endpoint(&world, "custom_sip", &url, json!({})).await;
    let sip = world.server.app.sip_address().unwrap().to_string();
    let caller = Command::new(peer("sipp"))
        .args([&sip, "-sn", "uac", "-s", &world.one.number])
        .args(["-i", "127.0.0.1", "-mi", "127.0.0.1"])
        .args([
            "-p",
            &free_udp_port().to_string(),
            "-mp",
            &free_udp_port().to_string(),
        ])
        .args([
            "-m", "10", "-r", "5", "-d", "500", "-nostdin", "-timeout", "60",
        ])
        .stdin(Stdio::null())
        .output();
    let caller = tokio::task::spawn_blocking(move || caller)
        .await
        .unwrap()
        .unwrap();
    let text = String::from_utf8_lossy(&caller.stdout).into_owned();
    assert!(caller.status.success(), "{text}");
    let waited = tokio::task::spawn_blocking(move || callee.wait().unwrap());
    assert!(in_time("the callee's end", waited).await.unwrap().success());
    let ended = async {
        while !world.server.app.services().registry.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    in_time("the end of all calls", ended).await;
    let calls = world.server.get("/v1/calls?status=ended&limit=20").await;
    let joined = calls["calls"].as_array().unwrap().iter();
    let joined = joined.filter(|call| call["carrier"] == "sip" && !call["answered_at"].is_null());
    let reasons: Vec<&str> = joined
        .filter_map(|call| call["outcome"]["reason"].as_str())
        .collect();
    assert!(
        reasons.iter().filter(|r| **r == "caller_hung_up").count() >= 10,
        "{reasons:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_ringing_and_hanging_up_reach_the_other_side() {
    let world = World::new_with(Database::Sqlite, SETTINGS).await;
    let (server, number) = (&world.server, &world.one.number);
    let (mut desk, phone) = (Peer::new().await, Peer::new().await);
    endpoint(
        &world,
        "custom_sip",
        &desk.uri(),
        json!({ "headers": { "X-Line": "7" } }),
    )
    .await;

    // Busy.
    let attempt = phone.call(server, number).await;
    let call = desk.taken().await;
    assert_eq!(call.request().headers.named("X-Line"), Some("7"));
    assert_eq!(call.essentials().max_forwards, Some(69));
    assert_eq!(call.from().uri.user().as_deref(), Some("+15550123"));
    call.reject(StatusCode::BUSY_HERE, None, Vec::new())
        .await
        .unwrap();
    assert_eq!(Peer::outcome(attempt).await.err(), Some(486));
    let record = last_call(server).await;
    assert_eq!(
        record["outcome"],
        json!({ "class": "not_reached", "reason": "busy" })
    );
    assert!(record["answered_at"].is_null(), "{record}");

    // It rings, nobody answers, and it stops ringing.
    let attempt = phone.call(server, number).await;
    let mut call = desk.taken().await;
    call.ring().await.unwrap();
    assert_eq!(Peer::outcome(attempt).await.err(), Some(480));
    let end = in_time("the end of the ringing", call.cancelled()).await;
    assert!(matches!(end, SessionEnd::Cancelled { .. }), "{end:?}");
    assert_eq!(last_call(server).await["outcome"]["reason"], "no_answer");

    // The caller gives up.
    let attempt = phone.call(server, number).await;
    let mut call = desk.taken().await;
    attempt.cancel(None).await.unwrap();
    let end = in_time("the caller's cancel", call.cancelled()).await;
    assert!(matches!(end, SessionEnd::Cancelled { .. }), "{end:?}");
    assert_eq!(
        last_call(server).await["outcome"]["reason"],
        "caller_cancelled"
    );

    // The callee hangs up.
    let attempt = phone.call(server, number).await;
    let call = desk.taken().await;
    let sdp = answer(&call);
    let callee = call.answer(sdp, Vec::new()).await.unwrap();
    let mut caller = Peer::outcome(attempt).await.unwrap();
    let why = "Q.850;cause=16;text=\"done\"";
    callee.bye(Some(why.to_owned())).await.unwrap();
    let end = ended(&mut caller).await;
    assert_eq!(
        end,
        SessionEnd::RemoteBye {
            reason: Some(why.to_owned())
        }
    );
    assert_eq!(
        last_call(server).await["outcome"]["reason"],
        "agent_hung_up"
    );

    // An operator ends it.
    let attempt = phone.call(server, number).await;
    let call = desk.taken().await;
    let sdp = answer(&call);
    let mut callee = call.answer(sdp, Vec::new()).await.unwrap();
    let mut caller = Peer::outcome(attempt).await.unwrap();
    let calls = server.get("/v1/calls?status=active").await;
    let id = calls["calls"][0]["id"].as_str().unwrap();
    let url = server.url(&format!("/v1/calls/{id}/hangup"));
    let reply = server
        .client
        .post(url)
        .bearer_auth(TOKEN)
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status().as_u16(), 202);
    ended(&mut caller).await;
    ended(&mut callee).await;
    assert_eq!(
        last_call(server).await["outcome"]["reason"],
        "operator_hung_up"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_do_not_lead_into_the_operators_own_network() {
    let world = World::new_with(Database::Sqlite, "").await;
    let phone = Peer::new().await;
    endpoint(&world, "custom_sip", "sip:desk@127.0.0.1:5999", json!({})).await;
    let status = phone.final_status(&world.server, &world.one.number).await;
    assert_eq!(status, 502);
    let record = last_call(&world.server).await;
    assert_eq!(record["outcome"]["reason"], "dial_failed");
    // A call that leads back to us ends.
    let world = World::new_with(Database::Sqlite, SETTINGS).await;
    let sip = world.server.app.sip_address().unwrap();
    let own = format!("sip:{}@{sip}", world.one.number);
    endpoint(&world, "custom_sip", &own, json!({})).await;
    let status = phone.final_status(&world.server, &world.one.number).await;
    assert_ne!(status, 200);
}

/// What the webhook has been asked, and what it says.
#[derive(Clone, Default)]
struct Webhook {
    asked: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    says: Arc<Mutex<Value>>,
}

impl Webhook {
    /// Serves it; the address is this machine's.
    async fn serve(&self) -> SocketAddr {
        let hook = self.clone();
        let ask = async move |headers: HeaderMap, body: Bytes| {
            hook.asked.lock().unwrap().push((headers, body));
            let says = hook.says.lock().unwrap().clone();
            if says == json!("silence") {
                std::future::pending::<()>().await;
            }
            axum::Json(says)
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().route("/route", post(ask));
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    fn say(&self, what: Value) {
        *self.says.lock().unwrap() = what;
    }
}

async fn a_webhook_says_where_calls_go(database: Database) {
    let world = World::new_with(database, SETTINGS).await;
    let (server, number) = (&world.server, &world.one.number);
    let admin = Proof::Bearer(world.one.admin.bearer.clone());
    let hook = Webhook::default();
    let url = format!("http://{}/route", hook.serve().await);
    let made = endpoint(
        &world,
        "webhook",
        &url,
        json!({ "headers": { "X-Account": "9" } }),
    )
    .await;
    let path = format!("/endpoints/{}", made["id"].as_str().unwrap());
    let (mut desk, phone) = (Peer::new().await, Peer::new().await);
    let agent = &world.one.things["workflow_agent"];

    // An agent of ours; the question is signed.
    hook.say(json!({ "action": "agent", "agent_id": agent }));
    assert_eq!(phone.final_status(server, number).await, 200);
    assert_eq!(last_call(server).await["agent_id"], json!(agent));
    let (headers, body) = hook.asked.lock().unwrap()[0].clone();
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    let secret = made["secret"]
        .as_str()
        .unwrap()
        .trim_start_matches("whsec_");
    let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(secret).unwrap()).unwrap();
    mac.update(format!("{}.{}.", text("webhook-id"), text("webhook-timestamp")).as_bytes());
    mac.update(&body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(text("webhook-signature"), expected);
    assert_eq!(text("x-account"), "9");
    let question: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(question["type"], "call.inbound");
    assert_eq!(question["data"]["to"], json!(number));
    assert_eq!(question["data"]["from"], "+15550123");

    // A SIP address, refusals, and another organisation's agent.
    hook.say(json!({ "action": "sip", "uri": desk.uri() }));
    let attempt = phone.call(server, number).await;
    let call = desk.taken().await;
    let sdp = answer(&call);
    let mut callee = call.answer(sdp, Vec::new()).await.unwrap();
    let caller = Peer::outcome(attempt).await.unwrap();
    caller.bye(None).await.unwrap();
    ended(&mut callee).await;
    for (says, status) in [
        (json!({ "action": "reject", "reason": "busy" }), 486),
        (json!({ "action": "reject" }), 603),
        (
            json!({ "action": "agent", "agent_id": world.other.things["workflow_agent"] }),
            480,
        ),
        (json!({ "action": "sip", "uri": "sip:a@b\r\nX: y" }), 480),
        (json!({ "action": "dance" }), 480),
        (json!([]), 480),
        (json!("silence"), 480),
    ] {
        hook.say(says.clone());
        assert_eq!(phone.final_status(server, number).await, status, "{says}");
    }

    // A number goes out by the line's trunk.
    let trunk = json!({ "sip_address": desk.agent.local_addr().to_string() });
    let update = format!("/phonenumbers/update_sip/{}", number.replace('+', "%2B"));
    let cookie = Proof::Cookie(world.one.admin.cookie.clone());
    server.done("PUT", &update, &cookie, trunk).await;
    hook.say(json!({ "action": "number", "number": "+15550177" }));
    let dialled = async {
        loop {
            // The trunk is in force a moment after the answer.
            let attempt = phone.call(server, number).await;
            let taken = tokio::time::timeout(Duration::from_secs(2), desk.incoming.recv()).await;
            if let Ok(Some(call)) = taken {
                return (attempt, call);
            }
        }
    };
    let (attempt, call) = in_time("a call by the trunk", dialled).await;
    assert_eq!(call.uri().user().as_deref(), Some("+15550177"));
    call.reject(StatusCode::NOT_FOUND, None, Vec::new())
        .await
        .unwrap();
    assert_eq!(Peer::outcome(attempt).await.err(), Some(404));

    // Twilio is told the same.
    let twilio = async || {
        let form = [
            ("To".to_owned(), number.clone()),
            ("From".to_owned(), "+15550123".to_owned()),
        ];
        let reply = server
            .post_form("/carriers/twilio/voice", &form)
            .send()
            .await
            .unwrap();
        reply.text().await.unwrap()
    };
    assert!(
        twilio()
            .await
            .contains("<Dial><Number>+15550177</Number></Dial>")
    );
    hook.say(json!({ "action": "sip", "uri": "sip:desk@pbx.example" }));
    assert!(
        twilio()
            .await
            .contains("<Dial><Sip>sip:desk@pbx.example</Sip></Dial>")
    );
    hook.say(json!({ "action": "reject", "reason": "busy" }));
    assert!(twilio().await.contains("<Reject reason=\"busy\"/>"));
    hook.say(json!({ "action": "agent", "agent_id": agent }));
    let stream = format!("/carriers/twilio/{agent}/stream");
    assert!(twilio().await.contains(&stream));

    // Without an answer the fallback takes the call.
    let change = json!({ "provider_config": { "fallback_agent_id": agent } });
    server.done("PATCH", &path, &admin, change).await;
    hook.say(json!("silence"));
    assert_eq!(phone.final_status(server, number).await, 200);
    assert!(twilio().await.contains(&stream));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_says_where_calls_go_on_sqlite() {
    a_webhook_says_where_calls_go(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_says_where_calls_go_on_postgres() {
    a_webhook_says_where_calls_go(Database::Postgres).await;
}
