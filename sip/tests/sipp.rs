//! Calls with SIPp, an independent implementation (Debian package `sip-tester`).
//!
//! Without the program a test prints that it was skipped; with `CI` set it fails instead.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::UdpSocket;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use media::codec::Codec;
use sip::event::{InviteRequest, SessionEnd};
use sip::message::{NameAddr, Uri};
use sip::net::{DialogEvent, OutgoingEvent, UserAgent, UserAgentConfig};
use sip::sdp::{CodecPreference, Direction, LocalMedia, accept_answer, negotiate, offer};
use tokio::process::{Child, Command};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(40);

fn local() -> LocalMedia {
    LocalMedia {
        address: [127, 0, 0, 1].into(),
        rtp_port: 40_000,
        rtcp_port: None,
        rtcp_mux: false,
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        preference: CodecPreference::Ours,
        telephone_event: true,
        ptime_ms: 20,
        direction: Direction::SendRecv,
        session_id: 1,
        session_version: 1,
        srtp: None,
    }
}

/// Whether the program is there.
#[expect(clippy::disallowed_methods, reason = "tests read CI and PATH")]
fn is_installed() -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let found = path
        .split(':')
        .any(|folder| Path::new(folder).join("sipp").exists());
    assert!(
        found || std::env::var("CI").is_err(),
        "sipp is missing: install the package sip-tester"
    );
    found
}

/// A port that was free just now.
fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

fn sipp(arguments: &[String]) -> Child {
    Command::new("sipp")
        .args(arguments)
        .args([
            "-i",
            "127.0.0.1",
            "-nostdin",
            "-timeout",
            "35",
            "-timeout_error",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn must_succeed(child: Child) {
    let output = timeout(PATIENCE, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert!(
        output.status.success(),
        "sipp: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

#[tokio::test]
async fn sipp_calls_us() {
    if !is_installed() {
        println!("skipped: sipp is not installed");
        return;
    }
    const CALLS: usize = 50;
    let config = UserAgentConfig::new("127.0.0.1:0".parse().unwrap());
    let (agent, mut incoming) = UserAgent::bind(config).await.unwrap();
    let child = sipp(&[
        agent.local_addr().to_string(),
        "-sn".into(),
        "uac".into(),
        "-p".into(),
        free_port().to_string(),
        "-m".into(),
        CALLS.to_string(),
        "-r".into(),
        "50".into(),
        "-d".into(),
        "100".into(),
    ]);
    let mut calls = Vec::new();
    for _ in 0..CALLS {
        let call = timeout(PATIENCE, incoming.recv()).await.unwrap().unwrap();
        calls.push(tokio::spawn(async move {
            call.ring().await.unwrap();
            let (answer, audio) = negotiate(call.offer().unwrap(), &local()).unwrap();
            assert_eq!(audio.codec, Codec::Pcmu);
            let mut dialog = call.answer(answer, Vec::new()).await.unwrap();
            assert!(matches!(
                dialog.next_event().await,
                DialogEvent::Confirmed { .. }
            ));
            dialog.next_event().await
        }));
    }
    for call in calls {
        let event = timeout(PATIENCE, call).await.unwrap().unwrap();
        assert!(matches!(
            event,
            DialogEvent::Ended(SessionEnd::RemoteBye { .. })
        ));
    }
    must_succeed(child).await;
    assert_eq!(agent.counters().sessions, 0);
    assert_eq!(agent.counters().malformed, 0);
}

#[tokio::test]
async fn we_call_sipp() {
    if !is_installed() {
        println!("skipped: sipp is not installed");
        return;
    }
    const CALLS: usize = 10;
    let config = UserAgentConfig::new("127.0.0.1:0".parse().unwrap());
    let (agent, _incoming) = UserAgent::bind(config).await.unwrap();
    let port = free_port();
    let child = sipp(&[
        "-sn".into(),
        "uas".into(),
        "-p".into(),
        port.to_string(),
        "-m".into(),
        CALLS.to_string(),
    ]);
    let destination: std::net::SocketAddr = ([127, 0, 0, 1], port).into();
    for _ in 0..CALLS {
        let ours = offer(&local());
        let from = NameAddr::new("sip:agent@127.0.0.1".parse().unwrap());
        let mut request = InviteRequest::new(Uri::sip("service", destination), destination, from);
        request.offer = Some(ours.clone());
        let mut call = agent.invite(request).await.unwrap();
        let mut dialog = loop {
            match timeout(PATIENCE, call.next_event()).await.unwrap() {
                Some(OutgoingEvent::Provisional { .. }) => {}
                Some(OutgoingEvent::Answered { sdp, dialog, .. }) => {
                    let audio = accept_answer(&ours, &sdp.unwrap()).unwrap();
                    assert_eq!(audio.codec, Codec::Pcmu);
                    break dialog;
                }
                other => panic!("{other:?}"),
            }
        };
        dialog.bye(None).await.unwrap();
        assert!(matches!(
            timeout(PATIENCE, dialog.next_event()).await.unwrap(),
            DialogEvent::Ended(SessionEnd::LocalBye)
        ));
    }
    must_succeed(child).await;
    assert_eq!(agent.counters().sessions, 0);
}
