//! Two user agents on real sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::time::Duration;

use media::codec::Codec;
use sip::event::{InviteRequest, OfferMethod, SessionEnd};
use sip::message::{NameAddr, StatusCode, Uri};
use sip::net::{DialogEvent, IncomingCall, OutgoingEvent, UserAgent, UserAgentConfig};
use sip::sdp::{
    CodecPreference, Direction, LocalMedia, SessionDescription, accept_answer, negotiate, offer,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

async fn agent() -> (UserAgent, mpsc::Receiver<IncomingCall>) {
    let mut config = UserAgentConfig::new("127.0.0.1:0".parse().unwrap());
    // Lingering transactions go away quickly, so that a test can watch the tables empty.
    config.endpoint.timers.t1 = Duration::from_millis(20);
    config.endpoint.timers.t4 = Duration::from_millis(50);
    UserAgent::bind(config).await.unwrap()
}

fn local(direction: Direction, version: u64) -> LocalMedia {
    LocalMedia {
        address: [127, 0, 0, 1].into(),
        rtp_port: 40_000,
        rtcp_port: None,
        rtcp_mux: true,
        codecs: vec![Codec::Opus, Codec::Pcmu],
        preference: CodecPreference::Ours,
        telephone_event: true,
        ptime_ms: 20,
        direction,
        session_id: 1,
        session_version: version,
        srtp: None,
    }
}

fn invite(to: SocketAddr, offer: Option<SessionDescription>) -> InviteRequest {
    let from = NameAddr::new("sip:caller@example.com".parse().unwrap());
    let mut invite = InviteRequest::new(Uri::sip("agent", to), to, from);
    invite.offer = offer;
    invite
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("took too long")
}

/// Waits until every table of the agent is empty.
async fn at_rest(agent: &UserAgent) {
    within(async {
        loop {
            let counters = agent.counters();
            if counters.sessions + counters.client_transactions + counters.server_transactions == 0
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn call_is_placed_changed_and_ended() {
    let (caller, _none) = agent().await;
    let (callee, mut incoming) = agent().await;
    let ours = offer(&local(Direction::SendRecv, 1));
    let request = invite(callee.local_addr(), Some(ours.clone()));
    let mut outgoing = caller.invite(request).await.unwrap();
    let call = within(incoming.recv()).await.unwrap();
    assert_eq!(call.uri().user().as_deref(), Some("agent"));
    assert_eq!(call.source().address, caller.local_addr());
    call.ring().await.unwrap();
    let Some(OutgoingEvent::Provisional { status, .. }) = within(outgoing.next_event()).await
    else {
        panic!("not ringing");
    };
    assert_eq!(status, StatusCode::RINGING);
    let (answer, heard) = negotiate(call.offer().unwrap(), &local(Direction::SendRecv, 1)).unwrap();
    assert_eq!(heard.codec, Codec::Opus);
    let mut callee_dialog = call.answer(answer, Vec::new()).await.unwrap();
    let Some(OutgoingEvent::Answered {
        sdp: Some(sdp),
        mut dialog,
        ..
    }) = within(outgoing.next_event()).await
    else {
        panic!("not answered");
    };
    assert_eq!(accept_answer(&ours, &sdp).unwrap().codec, Codec::Opus);
    assert!(within(outgoing.next_event()).await.is_none());
    assert!(matches!(
        within(callee_dialog.next_event()).await,
        DialogEvent::Confirmed { sdp: None }
    ));

    // The callee puts the caller on hold.
    let hold = offer(&local(Direction::SendOnly, 2));
    callee_dialog.reinvite(hold).await.unwrap();
    let DialogEvent::Offer {
        method: OfferMethod::Invite,
        sdp: Some(sdp),
        responder,
    } = within(dialog.next_event()).await
    else {
        panic!("no offer");
    };
    assert!(sdp.is_hold());
    let (answer, audio) = negotiate(&sdp, &local(Direction::SendRecv, 2)).unwrap();
    assert_eq!(audio.direction, Direction::RecvOnly);
    responder.answer(answer).await.unwrap();
    assert!(matches!(
        within(callee_dialog.next_event()).await,
        DialogEvent::ReinviteAnswered { sdp: Some(_) }
    ));

    let reason = Some("Q.850;cause=16".to_owned());
    dialog.bye(reason.clone()).await.unwrap();
    assert!(matches!(
        within(dialog.next_event()).await,
        DialogEvent::Ended(SessionEnd::LocalBye)
    ));
    let DialogEvent::Ended(end) = within(callee_dialog.next_event()).await else {
        panic!("not ended");
    };
    assert_eq!(end, SessionEnd::RemoteBye { reason });
    at_rest(&caller).await;
    at_rest(&callee).await;
}

#[tokio::test]
async fn cancelled_call_is_seen_by_the_callee() {
    let (caller, _none) = agent().await;
    let (callee, mut incoming) = agent().await;
    let request = invite(
        callee.local_addr(),
        Some(offer(&local(Direction::SendRecv, 1))),
    );
    let mut outgoing = caller.invite(request).await.unwrap();
    let mut call = within(incoming.recv()).await.unwrap();
    outgoing.cancel(None).await.unwrap();
    assert_eq!(
        within(call.cancelled()).await,
        SessionEnd::Cancelled { reason: None }
    );
    assert!(matches!(
        within(outgoing.next_event()).await,
        Some(OutgoingEvent::Failed(SessionEnd::LocalReject))
    ));
    at_rest(&caller).await;
    at_rest(&callee).await;
}

#[tokio::test]
async fn dropped_handles_end_their_calls() {
    let (caller, _none) = agent().await;
    let (callee, mut incoming) = agent().await;
    let request = || {
        invite(
            callee.local_addr(),
            Some(offer(&local(Direction::SendRecv, 1))),
        )
    };

    // An incoming call nobody answers is refused.
    let mut outgoing = caller.invite(request()).await.unwrap();
    drop(within(incoming.recv()).await.unwrap());
    let Some(OutgoingEvent::Failed(SessionEnd::Refused { status, .. })) =
        within(outgoing.next_event()).await
    else {
        panic!("not refused");
    };
    assert_eq!(status, StatusCode::TEMPORARILY_UNAVAILABLE);

    // An outgoing call given up is cancelled.
    let outgoing = caller.invite(request()).await.unwrap();
    let mut call = within(incoming.recv()).await.unwrap();
    drop(outgoing);
    assert!(matches!(
        within(call.cancelled()).await,
        SessionEnd::Cancelled { .. }
    ));

    // A dialog let go is hung up.
    let mut outgoing = caller.invite(request()).await.unwrap();
    let call = within(incoming.recv()).await.unwrap();
    let (answer, _) = negotiate(call.offer().unwrap(), &local(Direction::SendRecv, 1)).unwrap();
    drop(call.answer(answer, Vec::new()).await.unwrap());
    let Some(OutgoingEvent::Answered { mut dialog, .. }) = within(outgoing.next_event()).await
    else {
        panic!("not answered");
    };
    assert!(matches!(
        within(dialog.next_event()).await,
        DialogEvent::Ended(SessionEnd::RemoteBye { .. })
    ));
    at_rest(&caller).await;
    at_rest(&callee).await;
}

#[tokio::test]
async fn late_offer_is_answered_by_the_caller() {
    let (caller, _none) = agent().await;
    let (callee, mut incoming) = agent().await;
    let mut outgoing = caller
        .invite(invite(callee.local_addr(), None))
        .await
        .unwrap();
    let call = within(incoming.recv()).await.unwrap();
    assert_eq!(call.offer(), None);
    let ours = offer(&local(Direction::SendRecv, 1));
    let mut callee_dialog = call.answer(ours.clone(), Vec::new()).await.unwrap();
    let Some(OutgoingEvent::Offered { offer: late }) = within(outgoing.next_event()).await else {
        panic!("no offer");
    };
    let (answer, _) = negotiate(late.sdp(), &local(Direction::SendRecv, 1)).unwrap();
    let _dialog = late.acknowledge(answer).await.unwrap();
    let DialogEvent::Confirmed { sdp: Some(sdp) } = within(callee_dialog.next_event()).await else {
        panic!("no answer");
    };
    assert_eq!(accept_answer(&ours, &sdp).unwrap().codec, Codec::Opus);
}

#[tokio::test]
async fn slow_application_and_draining_refuse_new_calls() {
    let (caller, _none) = agent().await;
    let (callee, incoming) = agent().await;
    let request = || {
        invite(
            callee.local_addr(),
            Some(offer(&local(Direction::SendRecv, 1))),
        )
    };
    // The application takes no calls: what exceeds its queue is refused.
    let mut calls = Vec::new();
    for _ in 0..70 {
        calls.push(caller.invite(request()).await.unwrap());
    }
    let mut refused = 0;
    for call in &mut calls[64..] {
        let Some(OutgoingEvent::Failed(SessionEnd::Refused {
            status, headers, ..
        })) = within(call.next_event()).await
        else {
            panic!("taken");
        };
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(headers.named("Retry-After").is_some());
        refused += 1;
    }
    assert_eq!(refused, 6);
    drop(calls);
    drop(incoming);
    callee.drain();
    at_rest(&callee).await;
    let mut outgoing = caller.invite(request()).await.unwrap();
    assert!(matches!(
        within(outgoing.next_event()).await,
        Some(OutgoingEvent::Failed(SessionEnd::Refused { status, .. }))
            if status == StatusCode::SERVICE_UNAVAILABLE
    ));
    at_rest(&caller).await;
}
