//! Trunks before a running server: whose calls are taken, with sipp and our own user agent.

mod support;

use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use sip::message::{NameAddr, StatusCode, Uri};
use sip::net::{UserAgent, UserAgentConfig};
use sip::transport::Hop;
use support::conversation::fixture;
use support::server::{Server, free_udp_port, peer};

/// Status of an OPTIONS from this address; `None` if the server keeps silent.
async fn options_from(source: [u8; 4], server: &Server) -> Option<StatusCode> {
    let mut config = UserAgentConfig::new((source, 0).into());
    config.endpoint.timers.t1 = Duration::from_millis(20);
    let (agent, _incoming) = UserAgent::bind(config).await.expect("socket");
    let address: SocketAddr = server.sip_address().parse().expect("address");
    let from = NameAddr::new(Uri::sip("probe", agent.local_addr()));
    let asked = agent.options(Uri::sip("clinic", address), Hop::udp(address), from);
    asked.await.expect("agent runs").0
}

fn sipp(scenario: &str, server: &Server, more: &[&str]) -> Output {
    Command::new(peer("sipp"))
        .arg(server.sip_address())
        .arg("-sf")
        .arg(fixture(&format!("sipp/{scenario}")))
        .args(["-s", "clinic", "-i", "127.0.0.1", "-mi", "127.0.0.1"])
        .args(["-p", &free_udp_port().to_string()])
        .args(["-mp", &free_udp_port().to_string()])
        .args(["-m", "1", "-timeout", "30s", "-timeout_error", "-nostdin"])
        .args(more)
        .stdin(Stdio::null())
        .output()
        .expect("sipp starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_silence_and_the_trunk_gets_answers() {
    let trunk = "[[trunks]]\nname = \"pbx\"\naddresses = [\"127.0.0.2\"]\n";
    let server = Server::start_with(&[("SAMVAD_SIP__STRANGERS", "silence")], trunk).await;
    assert_eq!(
        options_from([127, 0, 0, 2], &server).await,
        Some(StatusCode::OK)
    );
    assert_eq!(options_from([127, 0, 0, 1], &server).await, None);
    assert!(server.metric("samvad_sip_dropped_total").await >= 1.0);
    assert_eq!(server.metric("samvad_sip_malformed_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_with_a_password_proves_itself_and_its_limit_holds() {
    let trunk = "[[sip.users]]\nname = \"trunk\"\npassword = \"wonderland\"\n\
                 [[trunks]]\nname = \"pbx\"\ninbound_user = \"trunk\"\ndomain = \"127.0.0.1\"\n\
                 calls_max = 1\n";
    let server = Server::start_with(&[], trunk).await;
    let right = sipp(
        "uac_auth.xml",
        &server,
        &["-au", "trunk", "-ap", "wonderland"],
    );
    let text = String::from_utf8_lossy(&right.stdout).into_owned();
    assert!(right.status.success(), "{text}\n{}", server.log_tail());
    let call = server.ended_call(Duration::from_secs(20)).await;
    assert_eq!(call["caller"], "trunk", "{call}");
    assert_eq!(
        call["variables"]["sip_trunk"].as_str().unwrap_or("pbx"),
        "pbx"
    );
    let wrong = sipp("uac_auth.xml", &server, &["-au", "trunk", "-ap", "guess"]);
    assert!(!wrong.status.success());
    assert!(server.metric("samvad_sip_auth_failures_total").await >= 1.0);
}

fn trunk_test(config: &std::path::Path, name: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_samvad"))
        .args(["trunk", "test", name, "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .output()
        .expect("samvad starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    (output.status.success(), format!("{text}{errors}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn trunk_test_says_what_works_and_why_not() {
    let users =
        "[[sip.users]]\nname = \"desk\"\npassword = \"secret\"\n[sip.registrar]\nenabled = true\n";
    let server = Server::start_with(&[], users).await;
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("samvad.toml");
    let trunk = |name: &str, password: &str| {
        format!(
            "[[trunks]]\nname = \"{name}\"\nuris = [\"sip:{}\"]\nregister = true\n\
             username = \"desk\"\npassword = \"{password}\"\n",
            server.sip_address()
        )
    };
    let dead = format!(
        "[[trunks]]\nname = \"dead\"\nuris = [\"sip:127.0.0.1:{};transport=tcp\"]\n",
        free_udp_port()
    );
    std::fs::write(
        &file,
        format!(
            "[sip]\nbind = \"127.0.0.1:5060\"\n{}{}{dead}",
            trunk("right", "secret"),
            trunk("wrong", "guess")
        ),
    )
    .expect("file");
    let (works, text) = trunk_test(&file, "right");
    assert!(works, "{text}\n{}", server.log_tail());
    assert!(text.contains("ok   REGISTER: granted for 600 s"), "{text}");
    let (works, text) = trunk_test(&file, "wrong");
    assert!(!works);
    assert!(
        text.contains("FAIL REGISTER: `username` or `password` is wrong"),
        "{text}"
    );
    let (works, text) = trunk_test(&file, "dead");
    assert!(!works);
    assert!(text.contains("FAIL OPTIONS tcp:127.0.0.1:"), "{text}");
    let (works, text) = trunk_test(&file, "nobody");
    assert!(
        !works && text.contains("there is no enabled trunk"),
        "{text}"
    );
}
