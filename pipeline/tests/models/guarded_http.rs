//! What the guarded client must keep out: rebinding, redirects, slow and endless answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::any;
use futures_util::StreamExt as _;
use pipeline::guarded_http::{
    AddressGuard, GuardedClient, Limits, Lookup, RefusedUrl, RequestError,
};
use reqwest::Method;
use tokio::net::TcpListener;
use url::Url;

use crate::openai::install_crypto;

const LIMITS: Limits = Limits {
    total: Duration::from_secs(20),
    response_bytes_max: 1_000,
    redirects_max: 3,
};

/// Answers its lookups one after another, the last one for ever.
struct Changing {
    answers: Vec<Vec<&'static str>>,
    asked: AtomicUsize,
}

impl Changing {
    fn new(answers: &[&[&'static str]]) -> Arc<Self> {
        Arc::new(Self {
            answers: answers.iter().map(|answer| answer.to_vec()).collect(),
            asked: AtomicUsize::new(0),
        })
    }
}

#[async_trait]
impl Lookup for Changing {
    async fn addresses(&self, _: &str) -> std::io::Result<Vec<SocketAddr>> {
        let turn = self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = &self.answers[turn.min(self.answers.len() - 1)];
        let parsed = answer
            .iter()
            .map(|text| format!("{text}:0").parse().unwrap());
        Ok(parsed.collect())
    }
}

/// Only 127.0.0.2 stands for the public network here; all else of this machine is private.
fn guard() -> AddressGuard {
    AddressGuard {
        allow_http: true,
        allowed_ports: Vec::new(),
        allowed_networks: vec!["127.0.0.2/32".parse().unwrap()],
    }
}

/// A server on every address of this machine; counts who came.
async fn server() -> (u16, Arc<AtomicUsize>) {
    install_crypto();
    let hits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&hits);
    let answer = move |request: Request| {
        let counted = Arc::clone(&counted);
        async move {
            counted.fetch_add(1, Ordering::SeqCst);
            let headers = request.headers();
            let secret = headers.contains_key("x-secret") || headers.contains_key("authorization");
            match request.uri().path() {
                "/away" => {
                    let to = request.uri().query().unwrap_or_default().to_owned();
                    (StatusCode::FOUND, [(header::LOCATION, to)]).into_response()
                }
                "/keep" => {
                    let to = request.uri().query().unwrap_or_default().to_owned();
                    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response()
                }
                "/drip" => {
                    let drops = futures_util::stream::repeat(()).then(|()| async {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        Ok::<_, std::io::Error>("x")
                    });
                    Body::from_stream(drops).into_response()
                }
                "/endless" => {
                    let block = "x".repeat(100);
                    let blocks = futures_util::stream::repeat(block).map(Ok::<_, std::io::Error>);
                    Body::from_stream(blocks).into_response()
                }
                _ => format!("{} secret={secret}", request.method()).into_response(),
            }
        }
    };
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = Router::new().fallback(any(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (port, hits)
}

async fn fetch(client: &GuardedClient, method: Method, url: &str) -> Result<String, RequestError> {
    let request = client
        .request(method, Url::parse(url).unwrap())
        .header("connection", "close")
        .header("x-secret", "s3cret")
        .body("body")
        .build()
        .unwrap();
    let answer = client.send(request, &LIMITS).await?;
    Ok(String::from_utf8(answer.body).unwrap())
}

fn refused(outcome: &Result<String, RequestError>) -> bool {
    matches!(outcome, Err(RequestError::Refused(RefusedUrl::Address(_))))
}

#[tokio::test]
async fn a_name_that_changes_between_lookups_is_not_followed_inside() {
    let (port, hits) = server().await;
    let lookup = Changing::new(&[&["127.0.0.2"], &["127.0.0.1"]]);
    let client = GuardedClient::with_lookup(guard(), lookup.clone()).unwrap();
    let url = format!("http://rebind.example:{port}/");
    let first = fetch(&client, Method::GET, &url).await;
    assert_eq!(first.unwrap(), "GET secret=true");
    assert_eq!(
        lookup.asked.load(Ordering::SeqCst),
        1,
        "one lookup a request"
    );
    let second = fetch(&client, Method::GET, &url).await;
    assert!(refused(&second), "{second:?}");
    assert_eq!(hits.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn one_private_address_among_the_answers_refuses_the_name() {
    let (port, hits) = server().await;
    for answers in [
        &["127.0.0.2", "127.0.0.1"][..],
        &["127.0.0.2", "[::1]"],
        &["127.0.0.2", "[::ffff:169.254.169.254]"],
        &["127.0.0.2", "[fe80::1]"],
    ] {
        let client = GuardedClient::with_lookup(guard(), Changing::new(&[answers])).unwrap();
        let outcome = fetch(
            &client,
            Method::GET,
            &format!("http://mixed.example:{port}/"),
        )
        .await;
        assert!(refused(&outcome), "{answers:?}: {outcome:?}");
    }
    assert_eq!(hits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn every_step_of_a_redirect_is_checked_again() {
    let (port, hits) = server().await;
    let client = GuardedClient::new(guard()).unwrap();
    let from = |place: &str| format!("http://127.0.0.2:{port}/away?{place}");
    for inside in [
        format!("http://127.0.0.1:{port}/"),
        format!("//127.0.0.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0177.0.0.1:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://[::1]:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://[fd00:ec2::254]/latest/meta-data/".to_owned(),
        format!("http://localhost:{port}/"),
    ] {
        let before = hits.load(Ordering::SeqCst);
        let outcome = fetch(&client, Method::GET, &from(&inside)).await;
        assert!(refused(&outcome), "{inside}: {outcome:?}");
        assert_eq!(hits.load(Ordering::SeqCst), before + 1, "{inside}");
    }
    for odd in [
        "file:///etc/passwd",
        "gopher://127.0.0.2/",
        "http://u:p@127.0.0.2/",
    ] {
        let outcome = fetch(&client, Method::GET, &from(odd)).await;
        assert!(
            matches!(outcome, Err(RequestError::Refused(_))),
            "{odd}: {outcome:?}"
        );
    }
    let circle = format!("http://127.0.0.2:{port}/away?/away");
    let outcome = fetch(&client, Method::GET, &circle).await;
    assert_eq!(outcome, Err(RequestError::TooManyRedirects(3)));
}

#[tokio::test]
async fn credentials_and_bodies_stay_with_the_origin_they_were_for() {
    let (port, _) = server().await;
    let (other, _) = server().await;
    let client = GuardedClient::new(guard()).unwrap();
    let hop =
        |kind: &str, to: u16| format!("http://127.0.0.2:{port}/{kind}?http://127.0.0.2:{to}/end");
    let same = fetch(&client, Method::GET, &hop("away", port)).await;
    assert_eq!(same.unwrap(), "GET secret=true");
    let left = fetch(&client, Method::GET, &hop("away", other)).await;
    assert_eq!(left.unwrap(), "GET secret=false");
    let posted = fetch(&client, Method::POST, &hop("away", other)).await;
    assert_eq!(posted.unwrap(), "GET secret=false");
    let kept = fetch(&client, Method::POST, &hop("keep", port)).await;
    assert_eq!(kept.unwrap(), "POST secret=true");
    let kept = fetch(&client, Method::POST, &hop("keep", other)).await;
    assert_eq!(kept, Err(RequestError::BadRedirect));
}

#[tokio::test]
async fn slow_and_endless_answers_end() {
    let (port, _) = server().await;
    let client = GuardedClient::new(guard()).unwrap();
    let ask = |path: &str, total| {
        let url = Url::parse(&format!("http://127.0.0.2:{port}/{path}")).unwrap();
        let request = client.request(Method::GET, url).build().unwrap();
        let limits = Limits { total, ..LIMITS };
        let client = client.clone();
        async move {
            client
                .send(request, &limits)
                .await
                .map(|answer| answer.body)
        }
    };
    let slow = ask("drip", Duration::from_millis(300)).await;
    assert_eq!(slow, Err(RequestError::TimedOut));
    let endless = ask("endless", LIMITS.total).await;
    assert_eq!(endless, Err(RequestError::TooLarge(1_000)));
}
