//! HTTP tools against a local server.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::Redirect;
use axum::routing::{get, post};
use pipeline::guarded_http::address_guard::AddressGuard;
use pipeline::llm::tools::{CompositeToolRunner, HttpTool, HttpToolRunner};
use pipeline::llm::{ToolCall, ToolRunner};
use pipeline::provider_error::ProviderError;
use pipeline::secret::Secret;
use serde_json::{Value, json};

use crate::openai::install_crypto;

async fn server() -> String {
    install_crypto();
    let router = Router::new()
        .route(
            "/customers/{id}",
            get(|request: Request| async move {
                let key = request.headers().get("x-key").and_then(|v| v.to_str().ok());
                json!({"uri": request.uri().to_string(), "key": key}).to_string()
            }),
        )
        .route("/echo", post(|body: String| async move { body }))
        .route("/text", get(|| async { "just words" }))
        .route("/large", get(|| async { "x".repeat(5_000) }))
        .route(
            "/away",
            get(|| async { Redirect::temporary("http://169.254.169.254/latest") }),
        )
        .route(
            "/never",
            get(|| async { std::future::pending::<String>().await }),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn tool(value: Value) -> HttpTool {
    serde_json::from_value(value).unwrap()
}

fn runner(tools: Vec<HttpTool>, open: bool) -> Result<HttpToolRunner, ProviderError> {
    let mut guard = AddressGuard::default();
    if open {
        guard.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    }
    let secrets = BTreeMap::from([("crm".to_owned(), Secret::new("s3cret"))]);
    HttpToolRunner::new(tools, guard, secrets)
}

async fn run(
    runner: &dyn ToolRunner,
    name: &str,
    arguments: Value,
) -> Result<Value, ProviderError> {
    let call = ToolCall {
        id: "1".into(),
        name: name.into(),
        arguments,
    };
    let variables = BTreeMap::from([("caller".to_owned(), "+1555".to_owned())]);
    runner.run(&call, &variables).await
}

#[tokio::test]
async fn placeholders_secrets_and_bodies_reach_the_server() {
    let url = server().await;
    let tools = runner(
        vec![
            tool(json!({"name": "get", "method": "GET",
                "url": format!("{url}/customers/{{id}}?from={{caller}}"),
                "headers": {"x-key": "Key {secret:crm}"}})),
            tool(json!({"name": "echo", "url": format!("{url}/echo"),
                "body": {"who": "{caller}", "list": ["{day}"], "n": 1}})),
            tool(json!({"name": "plain", "url": format!("{url}/echo")})),
            tool(json!({"name": "text", "method": "GET", "url": format!("{url}/text")})),
        ],
        true,
    )
    .unwrap();
    assert_eq!(
        run(&tools, "get", json!({"id": "a/../b c"})).await.unwrap(),
        json!({"uri": "/customers/a%2F..%2Fb%20c?from=%2B1555", "key": "Key s3cret"})
    );
    assert_eq!(
        run(&tools, "echo", json!({"day": "tuesday"}))
            .await
            .unwrap(),
        json!({"who": "+1555", "list": ["tuesday"], "n": 1})
    );
    assert_eq!(
        run(&tools, "plain", json!({"day": "tuesday"}))
            .await
            .unwrap(),
        json!({"day": "tuesday"})
    );
    assert_eq!(
        run(&tools, "text", json!({})).await.unwrap(),
        json!("just words")
    );
    assert!(!format!("{tools:?}").contains("s3cret"));
    let missing = run(&tools, "get", json!({})).await;
    assert!(matches!(missing, Err(ProviderError::Rejected(why)) if why.contains("`id`")));
}

#[tokio::test]
async fn limits_hold() {
    let url = server().await;
    let get = |name: &str| {
        json!({"name": name, "method": "GET", "url": format!("{url}/{name}"),
        "timeout_ms": 200, "response_bytes_max": 1_000})
    };
    let names = ["large", "away", "never", "missing"];
    let tools = runner(names.map(|name| tool(get(name))).to_vec(), true).unwrap();
    let outcome = async |name| run(&tools, name, json!({})).await;
    assert!(
        matches!(outcome("large").await, Err(ProviderError::Failed(why)) if why.contains("1000"))
    );
    assert!(
        matches!(outcome("away").await, Err(ProviderError::Rejected(why)) if why.contains("redirect"))
    );
    assert!(matches!(
        outcome("never").await,
        Err(ProviderError::TimedOut)
    ));
    assert!(
        matches!(outcome("missing").await, Err(ProviderError::Rejected(why)) if why.contains("404"))
    );
    assert!(matches!(
        outcome("unknown").await,
        Err(ProviderError::Rejected(_))
    ));
}

#[tokio::test]
async fn this_machine_is_out_of_reach_by_default() {
    let url = server().await;
    let port = url.rsplit(':').next().unwrap();
    for host in ["127.0.0.1", "localhost", "[::ffff:7f00:1]", "2130706433"] {
        let spec =
            json!({"name": "t", "method": "GET", "url": format!("http://{host}:{port}/text")});
        let guard = AddressGuard {
            allow_http: true,
            allowed_ports: Vec::new(),
            ..AddressGuard::default()
        };
        let tools = HttpToolRunner::new(vec![tool(spec)], guard, BTreeMap::new()).unwrap();
        let outcome = run(&tools, "t", json!({})).await;
        assert!(outcome.is_err(), "{host}: {outcome:?}");
        assert!(
            outcome.unwrap_err().to_string().contains("not allowed"),
            "{host}"
        );
    }
}

#[tokio::test]
async fn faulty_definitions_are_refused_by_field() {
    install_crypto();
    for (spec, place) in [
        (
            json!({"name": "t", "url": "https://{host}/x"}),
            "field `url`",
        ),
        (json!({"name": "t", "url": "{base}/x"}), "field `url`"),
        (json!({"name": "t", "url": "not a url"}), "field `url`"),
        (
            json!({"name": "t", "url": "https://a.example", "method": "BREW"}),
            "field `method`",
        ),
        (
            json!({"name": "t", "url": "https://a.example", "headers": {"x": "{secret:none}"}}),
            "field `headers.x`",
        ),
    ] {
        let error = runner(vec![tool(spec)], false)
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("tool `t`") && error.contains(place),
            "{error}"
        );
    }
}

#[tokio::test]
async fn calls_are_routed_by_name() {
    let url = server().await;
    let text = json!({"name": "text", "method": "GET", "url": format!("{url}/text")});
    let all = CompositeToolRunner::new()
        .route(["text"], Arc::new(runner(vec![tool(text)], true).unwrap()));
    assert_eq!(
        run(&all, "text", json!({})).await.unwrap(),
        json!("just words")
    );
    assert!(matches!(
        run(&all, "other", json!({})).await,
        Err(ProviderError::Rejected(_))
    ));
}
