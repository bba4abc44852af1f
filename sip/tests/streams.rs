//! Calls over TCP, TLS and a websocket on the loopback interface.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use media::codec::Codec;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sip::auth::{AuthenticatorConfig, Credentials, User, UserSecret, Users};
use sip::event::{InviteRequest, RegisterRequest, RegistrationState};
use sip::message::{NameAddr, StatusCode, Uri};
use sip::net::{
    DialogEvent, IncomingCall, ListenerConfig, OutgoingEvent, TlsSettings, UserAgent,
    UserAgentConfig,
};
use sip::registrar::RegistrarConfig;
use sip::sdp::{CodecPreference, Direction, LocalMedia, negotiate, offer};
use sip::transport::{Hop, Transport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

const PATIENCE: Duration = Duration::from_secs(20);

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("took too long")
}

/// A certificate for `localhost` that only these tests trust.
fn tls() -> TlsSettings {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsSettings {
        server: Some(Arc::new(server)),
        client: Arc::new(client),
    }
}

async fn agent(
    transports: &[Transport],
    tls: &TlsSettings,
) -> (UserAgent, mpsc::Receiver<IncomingCall>) {
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let mut config = UserAgentConfig::new(any);
    config.listeners = transports
        .iter()
        .map(|&transport| ListenerConfig {
            transport,
            bind: any,
            advertised: None,
        })
        .collect();
    config.tls = Some(tls.clone());
    UserAgent::bind(config).await.unwrap()
}

fn local() -> LocalMedia {
    LocalMedia {
        address: [127, 0, 0, 1].into(),
        rtp_port: 40_000,
        rtcp_port: None,
        rtcp_mux: true,
        codecs: vec![Codec::Pcmu],
        preference: CodecPreference::Ours,
        telephone_event: true,
        ptime_ms: 20,
        direction: Direction::SendRecv,
        session_id: 1,
        session_version: 1,
        srtp: None,
    }
}

fn invite(hop: Hop) -> InviteRequest {
    let from = NameAddr::new("sip:caller@example.com".parse().unwrap());
    let target = format!("sip:agent@{};transport={}", hop.address, hop.transport);
    let mut invite = InviteRequest::new(target.parse().unwrap(), hop, from);
    invite.offer = Some(offer(&local()));
    invite
}

async fn call_over(transport: Transport) {
    let tls = tls();
    let (server, mut incoming) = agent(&[transport], &tls).await;
    let (client, _) = agent(&[], &tls).await;
    let address = server.listener_addr(transport).unwrap();
    client
        .expect_name(address, "localhost".to_owned())
        .await
        .unwrap();
    let mut outgoing = client
        .invite(invite(Hop::new(transport, address)))
        .await
        .unwrap();
    let call = within(incoming.recv()).await.unwrap();
    assert_eq!(call.source().transport, transport);
    let (answer, _) = negotiate(call.offer().unwrap(), &local()).unwrap();
    let mut callee = call.answer(answer, Vec::new()).await.unwrap();
    let mut caller = loop {
        match within(outgoing.next_event()).await {
            Some(OutgoingEvent::Answered { dialog, .. }) => break dialog,
            Some(OutgoingEvent::Provisional { .. }) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(
        within(callee.next_event()).await,
        DialogEvent::Confirmed { .. }
    ));
    // The callee hangs up: its BYE goes back on the caller's connection.
    callee.bye(None).await.unwrap();
    assert!(matches!(
        within(caller.next_event()).await,
        DialogEvent::Ended(_)
    ));
    assert!(matches!(
        within(callee.next_event()).await,
        DialogEvent::Ended(_)
    ));
    assert_eq!(server.counters().retransmits, 0);
}

#[tokio::test]
async fn a_call_goes_over_tcp() {
    call_over(Transport::Tcp).await;
}

#[tokio::test]
async fn a_call_goes_over_tls() {
    call_over(Transport::Tls).await;
}

#[tokio::test]
async fn a_certificate_of_another_name_is_not_spoken_to() {
    let tls = tls();
    let (server, _incoming) = agent(&[Transport::Tls], &tls).await;
    let (client, _) = agent(&[], &tls).await;
    let address = server.listener_addr(Transport::Tls).unwrap();
    client
        .expect_name(address, "carrier.example".to_owned())
        .await
        .unwrap();
    let hop = Hop::new(Transport::Tls, address);
    let mut outgoing = client.invite(invite(hop)).await.unwrap();
    let event = within(outgoing.next_event()).await;
    assert!(matches!(event, Some(OutgoingEvent::Failed(_))), "{event:?}");
}

#[tokio::test]
async fn an_unreachable_peer_is_known_at_once() {
    let (client, _) = agent(&[], &tls()).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let hop = Hop::new(Transport::Tcp, closed);
    let target: Uri = format!("sip:{closed};transport=tcp").parse().unwrap();
    let from = NameAddr::new("sip:us@127.0.0.1".parse().unwrap());
    let (status, _) = within(client.options(target, hop, from)).await.unwrap();
    assert_eq!(status, None);
}

#[tokio::test]
async fn options_and_registration_work_over_tcp() {
    let tls = tls();
    let (server, _incoming) = agent(&[Transport::Tcp], &tls).await;
    let mut users = Users::new();
    let secret = UserSecret::Password("secret".to_owned());
    users.insert(
        "desk",
        User {
            secret,
            may_register: true,
        },
    );
    server
        .configure_users(AuthenticatorConfig::new("pbx.example"), users)
        .await
        .unwrap();
    server
        .enable_registrar(RegistrarConfig::default())
        .await
        .unwrap();
    let (client, _) = agent(&[Transport::Tcp], &tls).await;
    let hop = Hop::new(
        Transport::Tcp,
        server.listener_addr(Transport::Tcp).unwrap(),
    );
    let target: Uri = format!("sip:{};transport=tcp", hop.address)
        .parse()
        .unwrap();
    let from = NameAddr::new("sip:us@127.0.0.1".parse().unwrap());
    let (status, headers) = within(client.options(target.clone(), hop, from))
        .await
        .unwrap();
    assert_eq!(status, Some(StatusCode::OK));
    assert!(headers.named("Allow").unwrap().contains("PRACK"));
    let mut registration = client
        .register(RegisterRequest {
            address: NameAddr::new("sip:desk@pbx.example".parse().unwrap()),
            registrar: target,
            destinations: vec![hop],
            credentials: Some(Credentials::new("desk", "secret")),
            expires_s: 120,
            contact_user: "desk".to_owned(),
        })
        .await
        .unwrap();
    let state = within(registration.changed()).await;
    assert!(matches!(
        state,
        Some(RegistrationState::Registered { expires_s: 120, .. })
    ));
    let found = server.bindings("desk".to_owned()).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].hop.transport, Transport::Tcp);
    drop(registration);
    within(async {
        while !server.bindings("desk".to_owned()).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn keep_alives_are_answered_and_rubbish_closes_the_connection() {
    let (server, _incoming) = agent(&[Transport::Tcp], &tls()).await;
    let address = server.listener_addr(Transport::Tcp).unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"\r\n\r\n").await.unwrap();
    let mut pong = [0; 2];
    within(stream.read_exact(&mut pong)).await.unwrap();
    assert_eq!(&pong, b"\r\n");
    stream
        .write_all(b"\x16\x03\x01 this is no SIP")
        .await
        .unwrap();
    let mut rest = Vec::new();
    within(stream.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_browser_asks_over_a_websocket() {
    let (server, _incoming) = agent(&[Transport::Ws], &tls()).await;
    let address = server.listener_addr(Transport::Ws).unwrap();
    let url = format!("ws://{address}/");
    let plain = tokio_tungstenite::connect_async(url.as_str().into_client_request().unwrap()).await;
    assert!(plain.is_err(), "without the subprotocol nobody is served");
    let mut request = url.as_str().into_client_request().unwrap();
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", "sip".parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let options = "OPTIONS sip:agent@example.com SIP/2.0\r\n\
        Via: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bKw1\r\nMax-Forwards: 70\r\n\
        From: <sip:b@example.com>;tag=1\r\nTo: <sip:agent@example.com>\r\nCall-ID: w1\r\n\
        CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
    socket.send(Message::text(options)).await.unwrap();
    let answer = within(socket.next()).await.unwrap().unwrap();
    assert!(
        answer.to_text().unwrap().starts_with("SIP/2.0 200 OK"),
        "{answer}"
    );
}
