//! A browser calls an agent with LiveKit's own SDK; no other server takes part.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use control::cli::caller::script::Script;
use control::cli::caller::speech::{SpokenScript, embedded_voice};
use fixtures::tone::rms_dbfs;
use fixtures::wav::Wav;
use serde_json::{Value, json};
use support::conversation::{fixture, transcript};
use support::server::Server;

/// Longest call of a test.
const CALL_MAX_S: u64 = 150;
const RATE: u32 = 16_000;

/// Media may go over any interface: a browser does not use loopback's alone.
const SETTINGS: [(&str, &str); 1] = [("SAMVAD_MEDIA__RTP_BIND", "0.0.0.0")];

/// What a caller of the clinic says to which words of the agent, as `lines` of a task.
async fn lines(folder: &Path) -> Value {
    let script = Script::load(&fixture("conversations/clinic_book.toml")).expect("script");
    let voice = embedded_voice().expect("embedded voice");
    let spoken = SpokenScript::render(&script, voice.as_ref(), "rms").await;
    let spoken = spoken.expect("spoken script");
    let lines = script.lines.iter().zip(&spoken.lines).enumerate();
    let lines = lines.map(|(index, (line, sound))| {
        let wav = folder.join(format!("{index}.wav"));
        write(&wav, 0, sound);
        json!({ "expect": line.expect_agent, "wav": wav })
    });
    Value::Array(lines.collect())
}

/// A file for a browser's microphone: a pause, then the caller's first line.
async fn microphone(folder: &Path, pause_s: u32) -> PathBuf {
    let lines = lines(folder).await;
    let line = Wav::read(Path::new(lines[0]["wav"].as_str().expect("a line"))).expect("a line");
    let path = folder.join("microphone.wav");
    write(&path, pause_s * RATE, &line.channels[0]);
    path
}

fn write(path: &Path, silence: u32, sound: &[i16]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec).expect("a file");
    let silence = std::iter::repeat_n(0, silence as usize);
    for sample in silence.chain(sound.iter().copied()) {
        file.write_sample(sample).expect("written");
    }
    file.finalize().expect("written");
}

fn sdk_folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/browser-sdk");
    let folder = folder.canonicalize().unwrap_or_else(|_| {
        panic!("livekit-client is not installed; `make test-packages` installs it")
    });
    assert!(
        Path::new("/usr/bin/chromium").is_file(),
        "chromium is not installed; `make test-packages` installs it"
    );
    folder
}

async fn token(server: &Server, agent: &str) -> Value {
    let reply = reqwest::Client::new()
        .post(format!("{}/v1/web-calls", server.url()))
        .bearer_auth(server.token())
        .body(json!({ "agent": agent, "identity": "page-1", "name": "Asha" }).to_string())
        .send()
        .await
        .expect("an answer");
    assert_eq!(reply.status(), 201);
    serde_json::from_str(&reply.text().await.expect("text")).expect("JSON")
}

async fn browse(server: &Server, mut task: Value) -> Value {
    let admitted = token(server, "clinic").await;
    if task["whip"] == true {
        task["whip"] = json!(format!("{}/whip/clinic", server.url()));
    }
    task["sdk"] = json!(sdk_folder());
    task["url"] = admitted["url"].clone();
    task["token"] = admitted["token"].clone();
    task["limit_s"] = json!(CALL_MAX_S);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/web/call.mjs");
    let mut page = Command::new("node");
    page.arg(script).arg(task.to_string());
    run(server, page).await
}

/// Runs a caller to its end, which it sets itself, and reads what it has seen.
async fn run(server: &Server, mut caller: Command) -> Value {
    let output = move || caller.stdin(Stdio::null()).output();
    let caller = tokio::task::spawn_blocking(output).await;
    let caller = caller
        .expect("no panic")
        .expect("the caller's program runs");
    let text = String::from_utf8_lossy(&caller.stdout);
    serde_json::from_str(text.trim()).unwrap_or_else(|_| {
        let errors = String::from_utf8_lossy(&caller.stderr);
        panic!("{text}\n{errors}\n{}", server.log_tail())
    })
}

/// The final texts of the page, by speaker, in order.
fn finals(seen: &Value) -> BTreeMap<String, Vec<String>> {
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for piece in seen["segments"].as_array().expect("segments") {
        if piece["final"] == true {
            let who = piece["from"].as_str().unwrap_or_default();
            let text = piece["text"].as_str().unwrap_or_default();
            out.entry(who.to_owned()).or_default().push(text.to_owned());
        }
    }
    out
}

fn turns_of(record: &Value, speaker: &str) -> Vec<String> {
    let turns = record["turns"].as_array().map_or(&[][..], Vec::as_slice);
    turns
        .iter()
        .filter(|turn| turn["speaker"] == speaker)
        .filter_map(|turn| turn["text"].as_str().map(str::to_owned))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_books_an_appointment() {
    let server = Server::start(&SETTINGS).await;
    let folder = tempfile::tempdir().expect("scratch folder");
    let lines = lines(folder.path()).await;
    let seen = browse(&server, json!({ "rpc": true, "lines": lines })).await;
    assert!(seen["heard_energy"].as_f64() > Some(0.001), "{seen:#}");
    is_booked(&server, &seen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_books_an_appointment() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/livekit-python/bin/python");
    assert!(
        python.is_file(),
        "LiveKit's Python SDK is not installed; `make test-packages` installs it"
    );
    let server = Server::start(&SETTINGS).await;
    let folder = tempfile::tempdir().expect("scratch folder");
    let lines = lines(folder.path()).await;
    let admitted = token(&server, "clinic").await;
    let task = json!({
        "url": admitted["url"], "token": admitted["token"], "lines": lines, "limit_s": CALL_MAX_S,
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/web/caller.py");
    let mut caller = Command::new(python);
    caller.arg(script).arg(task.to_string());
    let seen = run(&server, caller).await;
    assert!(seen["heard_s"].as_f64() > Some(20.0), "{seen:#}");
    assert!(seen["loudest"].as_i64() > Some(1_000), "{seen:#}");
    is_booked(&server, &seen).await;
}

/// The appointment is in the store, the caller was told what the record keeps, and both directions
/// are on the recording.
async fn is_booked(server: &Server, seen: &Value) {
    let record = server.ended_call(Duration::from_secs(30)).await;
    let story = format!("{seen:#}\n{}\n{}", transcript(&record), server.log_tail());
    let booked = server.get("/v1/records/appointments").await;
    assert_eq!(
        booked["records"].as_array().map(Vec::len),
        Some(1),
        "{story}"
    );
    assert_eq!(record["outcome"]["reason"], "agent_hung_up", "{story}");
    assert_eq!(record["carrier"], "livekit");
    assert_eq!(record["caller"], "Asha");

    let finals = finals(seen);
    let agent = seen["agent"].as_str().expect("an agent");
    assert_eq!(
        finals.get("page-1"),
        Some(&turns_of(&record, "caller")),
        "{story}"
    );
    assert_eq!(
        finals.get(agent),
        Some(&turns_of(&record, "agent")),
        "{story}"
    );
    assert_eq!(seen["agent_is_agent"], true, "{story}");
    assert_eq!(seen["rpc"], 1400, "{story}");
    let states = seen["states"].as_array().expect("states");
    for state in ["listening", "thinking", "speaking"] {
        assert!(states.iter().any(|s| s == state), "{state}: {story}");
    }

    let recording = Wav::read(server.recording(&record)).expect("a recording");
    for (own, other, speaker) in [(0, 1, "caller"), (1, 0, "agent")] {
        let level = |channel: usize| rms_dbfs(&spoken(&recording, channel, &record, speaker));
        let (own, other) = (level(own), level(other));
        assert!(
            own > -40.0 && own > other + 10.0,
            "{speaker} {own} {other}: {story}"
        );
    }
}

/// What a channel holds during the turns of `speaker`.
fn spoken(recording: &Wav, channel: usize, record: &Value, speaker: &str) -> Vec<i16> {
    let channel = &recording.channels[channel];
    let at = |ms: &Value| {
        let sample = ms.as_u64().unwrap_or(0) * u64::from(recording.rate) / 1000;
        (sample as usize).min(channel.len())
    };
    let turns = record["turns"].as_array().map_or(&[][..], Vec::as_slice);
    let own = turns.iter().filter(|turn| turn["speaker"] == speaker);
    own.flat_map(|turn| &channel[at(&turn["start_ms"])..at(&turn["end_ms"])])
        .copied()
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_livekit_calls_by_one_request() {
    let server = Server::start(&SETTINGS).await;
    let folder = tempfile::tempdir().expect("scratch folder");
    let wav = microphone(folder.path(), 9).await;
    let task = json!({ "whip": true, "leave_after_s": 20, "wav": wav });
    let seen = browse(&server, task).await;
    let record = server.ended_call(Duration::from_secs(30)).await;
    let story = format!("{seen:#}\n{}\n{}", transcript(&record), server.log_tail());
    assert_eq!(seen["status"], 201, "{story}");
    assert_eq!(seen["hung_up"], 200, "{story}");
    assert!(seen["heard_energy"].as_f64() > Some(0.001), "{story}");
    assert_eq!(record["outcome"]["reason"], "caller_hung_up", "{story}");
    assert_eq!(record["carrier"], "whip");
    let caller = turns_of(&record, "caller");
    assert!(caller[0].contains("book an appointment"), "{story}");
    let agent = turns_of(&record, "agent");
    assert!(
        agent.len() >= 2 && agent[1].contains("Which doctor"),
        "{story}"
    );
}

/// Refusals come before any call, and say why.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_call_is_told_so() {
    let server = Server::start(&[]).await;
    let client = reqwest::Client::new();
    let admitted = token(&server, "clinic").await;
    let good = admitted["token"].as_str().expect("a token");
    let (signed, _) = good.rsplit_once('.').expect("three parts");
    let forged = format!("{signed}.{}", "A".repeat(43));
    let validate = async |token: &str| {
        let url = format!("{}/rtc/v1/validate?access_token={token}", server.url());
        let reply = client.get(url).send().await.expect("an answer");
        let origin = reply.headers().get("access-control-allow-origin").cloned();
        assert_eq!(origin.expect("any origin"), "*");
        (reply.status().as_u16(), reply.text().await.expect("text"))
    };
    assert_eq!(validate(good).await, (200, "success".to_owned()));
    for wrong in ["", "rubbish", &forged, &"x".repeat(20_000)] {
        assert_eq!(validate(wrong).await.0, 401);
    }
    let whip = async |token: &str, kind: &str, body: &str| {
        let request = client.post(format!("{}/whip/clinic", server.url()));
        let request = request.bearer_auth(token).header("content-type", kind);
        let reply = request
            .body(body.to_owned())
            .send()
            .await
            .expect("an answer");
        reply.status().as_u16()
    };
    assert_eq!(whip(&forged, "application/sdp", "v=0").await, 401);
    assert_eq!(whip(good, "text/plain", "v=0").await, 415);
    for rubbish in [
        "",
        "v=0",
        "hello",
        "v=0\r\nm=audio 9 X 111\r\n",
        &"v=0\r\n".repeat(9_000),
    ] {
        let refused = whip(good, "application/sdp", rubbish).await;
        assert!(matches!(refused, 400 | 413), "{refused}");
    }
    let unknown = format!("{}/whip/sessions/nothing.x", server.url());
    let reply = client.delete(unknown).send().await.expect("an answer");
    assert_eq!(reply.status(), 404);
    assert_eq!(server.metric("samvad_calls_active").await, 0.0);
    assert_eq!(server.get("/v1/calls").await["calls"], json!([]));
}
