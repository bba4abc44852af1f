//! Every published route, asked by everybody, on both databases.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod in_process;
mod published;

use control::api::route::{Auth, BodyKind, Route};
use control::api::table;
use control::identity::principal::{Product, Role};
use published::{Database, Organisation, Proof, World, example, outside_token};
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

/// Routes whose success needs more than a plain request; each has a test of its own.
const ELSEWHERE: &[&str] = &[
    "/api/call/create_call",
    "/api/v1/batch-call/upload/{batch_id}",
    "/api/v1/batch-call/start/{batch_id}",
    "/api/v1/batch-call/pause/{batch_id}",
    "/api/v1/batch-call/resume/{batch_id}",
    "/api/v1/batch-call/cancel/{batch_id}",
    "/api/v1/batch-call/{batch_id}/events",
    "/batch/upload",
    "/api/v/upload/{slug}/",
    "/calls/generate-token",
    "/phonenumbers/purchase",
    "/phonenumbers/search",
    "/auth/google",
    "/auth/refresh",
    "/auth/reset-password",
    "/webhook/livekit",
];

struct Answer {
    status: StatusCode,
    text: String,
}

async fn send(world: &World, route: &Route, org: &Organisation, proof: &Proof) -> Answer {
    let (path, body) = example(route, org);
    let request = world.server.ask(route.method, &path, proof);
    let request = if body.is_null() {
        request
    } else {
        request.json(&body)
    };
    let reply = request.send().await.expect("an answer");
    Answer {
        status: reply.status(),
        text: reply.text().await.expect("text"),
    }
}

/// Ids of the built-in catalogue, which requests name.
async fn with_catalogue(world: &mut World) -> String {
    let proof = Proof::Bearer(world.one.admin.bearer.clone());
    let engines = world
        .server
        .done("GET", "/api/v1/providers/tts", &proof, Value::Null)
        .await;
    let engine = engines[0]["id"].as_str().unwrap().to_owned();
    let voices = world
        .server
        .done("GET", "/api/v1/tts-voices", &proof, Value::Null)
        .await;
    for org in [&mut world.one, &mut world.other] {
        org.things.insert("tts", engine.clone());
    }
    voices[0]["id"].as_str().unwrap().to_owned()
}

async fn nobody_reaches_what_is_not_theirs(database: Database) {
    let mut world = World::new(database).await;
    with_catalogue(&mut world).await;
    let server = &world.server;
    // A key that is revoked, a token that has expired, a session that was closed.
    let admin = Proof::Bearer(world.one.admin.bearer.clone());
    let revoked = server
        .done("POST", "/api/v1/api-keys", &admin, json!({}))
        .await;
    let id = revoked["api_key"]["id"].as_str().unwrap();
    server
        .done(
            "DELETE",
            &format!("/api/v1/api-keys/{id}"),
            &admin,
            Value::Null,
        )
        .await;
    let revoked = Proof::Key(revoked["api_key"]["key"].as_str().unwrap().to_owned());
    let expired = outside_token(Uuid::now_v7(), "late@one.example", -100);
    let login = json!({ "email": "leaver@one.example", "password": published::PASSWORD });
    let closed = server
        .done("POST", "/auth/login", &Proof::None, login)
        .await;
    let closed = closed["access_token"].as_str().unwrap().to_owned();
    let logout = Proof::Cookie(closed.clone());
    server
        .done("POST", "/auth/logout", &logout, Value::Null)
        .await;

    let mut asked = 0;
    for route in table::routes() {
        let bad = [
            Proof::None,
            Proof::Key("nonsense".to_owned()),
            Proof::Bearer("nonsense".to_owned()),
            Proof::Bearer(expired.clone()),
            Proof::Bearer(closed.clone()),
            Proof::Cookie(closed.clone()),
            Proof::Cookie(expired.clone()),
            revoked.clone(),
        ];
        if !matches!(route.auth, Auth::None) {
            for proof in &bad {
                let answer = send(&world, route, &world.one, proof).await;
                let key_refused = matches!(proof, Proof::Key(_))
                    && matches!(route.auth, Auth::Bearer | Auth::Cookie);
                let expected = if key_refused {
                    StatusCode::FORBIDDEN
                } else {
                    StatusCode::UNAUTHORIZED
                };
                assert_eq!(
                    answer.status, expected,
                    "{route:?} with {proof:?}: {}",
                    answer.text
                );
                asked += 1;
            }
            // Keys of other surfaces.
            for (product, key) in &world.one.admin.keys {
                if *product != route.product.name() && !matches!(route.auth, Auth::RefreshCookie) {
                    let answer = send(&world, route, &world.one, &Proof::Key(key.clone())).await;
                    assert_eq!(
                        answer.status,
                        StatusCode::FORBIDDEN,
                        "{route:?} with a key of {product}"
                    );
                    asked += 1;
                }
            }
        }
        asked += others_are_kept_out(&world, route).await;
        asked += low_roles_are_kept_out(&world, route).await;
    }
    assert!(asked > 800, "{asked} requests");
    // After all that, what belongs to the first is as it was.
    for route in table::routes().iter().filter(|route| route.method == "GET") {
        if ELSEWHERE.contains(&route.path) || route.path.contains("voice_id") {
            continue;
        }
        let asker = match route.roles {
            "super_admin" => &world.superuser,
            _ => &world.one.admin,
        };
        let proof = asker.session(route);
        let answer = send(&world, route, &world.one, &proof).await;
        assert_eq!(
            answer.status.as_u16(),
            route.status,
            "{route:?}: {}",
            answer.text
        );
    }
}

/// The other organisation's admin asks for the first one's things: by path, in bodies, in lists.
async fn others_are_kept_out(world: &World, route: &Route) -> usize {
    if matches!(route.auth, Auth::None | Auth::RefreshCookie) {
        return 0;
    }
    // These end the session they are sent with, or make something of the sender's own.
    if route.path == "/auth/logout" {
        return 0;
    }
    let names_a_thing = |body: &Value, path: &str| {
        let text = format!("{path} {body}");
        let ids = world.one.things.values().chain([&world.one.number]);
        let known: Vec<String> = ids
            .cloned()
            .chain([
                world.one.id.to_string(),
                world.one.member.id.to_string(),
                world.one.leaver.to_string(),
                world.one.number.replace('+', "%2B"),
            ])
            .filter(|id| Some(id) != world.one.things.get("tts"))
            .collect();
        known.iter().any(|id| text.contains(id.as_str()))
    };
    let mut asked = 0;
    for proof in world.other.admin.proofs(route) {
        let (path, body) = example(route, &world.one);
        let answer = send(world, route, &world.one, &proof).await;
        asked += 1;
        if names_a_thing(&body, &path) {
            let refused = matches!(answer.status.as_u16(), 400 | 403 | 404);
            assert!(
                refused,
                "{route:?} with {proof:?}: {} {}",
                answer.status, answer.text
            );
            if path != route.path {
                // As unknown as what never was.
                assert_eq!(
                    answer.status,
                    StatusCode::NOT_FOUND,
                    "{route:?}: {}",
                    answer.text
                );
                let unknown = path_of_nothing(route);
                let request = world.server.ask(route.method, &unknown, &proof);
                let request = if body.is_null() {
                    request
                } else {
                    request.json(&body)
                };
                let reply = request.send().await.unwrap();
                assert_eq!(reply.status(), StatusCode::NOT_FOUND, "{route:?}");
                assert_eq!(reply.text().await.unwrap(), answer.text, "{route:?}");
            }
        }
        for mark in ["belongs-to-one", "@one.example"] {
            let own_text = body.to_string().contains(mark);
            assert!(
                own_text || !answer.text.contains(mark),
                "{route:?} leaks: {}",
                answer.text
            );
        }
    }
    asked
}

fn path_of_nothing(route: &Route) -> String {
    let mut path = route.path.to_owned();
    for parameter in route.parameters() {
        let value = match parameter {
            "number" => "%2B15559999999".to_owned(),
            _ => Uuid::now_v7().to_string(),
        };
        path = path.replace(&format!("{{{parameter}}}"), &value);
    }
    path
}

/// Members and developers of the same organisation ask for what needs more.
async fn low_roles_are_kept_out(world: &World, route: &Route) -> usize {
    let workspace = route.path.starts_with("/workspaces/{id}");
    let needed = match (route.roles, route.product) {
        ("D|A", Product::Vaani) => Role::Developer,
        ("A", Product::Vaani) => Role::Admin,
        _ => return 0,
    };
    let mut asked = 0;
    for (person, role) in [
        (&world.one.member, Role::Member),
        (&world.one.developer, Role::Developer),
    ] {
        if role >= needed {
            continue;
        }
        for proof in person.proofs(route) {
            // A workspace key acts as a developer, whoever made it.
            if matches!(proof, Proof::Key(_)) && needed == Role::Developer {
                continue;
            }
            let answer = send(world, route, &world.one, &proof).await;
            assert_eq!(
                answer.status,
                StatusCode::FORBIDDEN,
                "{route:?} {workspace} {}",
                answer.text
            );
            asked += 1;
        }
    }
    asked
}

async fn every_route_does_what_it_says(database: Database) {
    let mut world = World::new(database).await;
    let voice = with_catalogue(&mut world).await;
    // What is deleted is asked for last; the workspace after all.
    let mut routes: Vec<&Route> = table::routes().iter().collect();
    routes.sort_by_key(|route| {
        (
            route.path == "/auth/logout",
            route.method == "DELETE",
            route.path == "/workspaces/{id}",
        )
    });
    let mut done = 0;
    for route in routes {
        if ELSEWHERE.contains(&route.path) {
            continue;
        }
        let person = match route.path {
            "/api/v1/tts-voices" if route.method == "POST" => &world.superuser,
            _ if route.roles == "super_admin" => &world.superuser,
            _ => &world.one.admin,
        };
        let proofs = match route.method {
            "DELETE" => vec![person.session(route)],
            _ => person.proofs(route),
        };
        for proof in proofs {
            let (mut path, body) = example(route, &world.one);
            path = path.replace(&Uuid::nil().to_string(), &voice);
            if route.method == "DELETE" && route.path == "/api/v1/agents/{agent_id}" {
                path.push_str("?force_delete=true");
                // The flat route deletes the same row; it gets another.
                let made = json!({ "name": "for deletion" });
                let made = world
                    .server
                    .done("POST", "/api/v1/agents/simple", &proof, made)
                    .await;
                let id = made["agent"]["id"].as_str().unwrap();
                path = format!("/api/v1/agents/{id}?force_delete=true");
            }
            let request = world.server.ask(route.method, &path, &proof);
            let request = if body.is_null() {
                request
            } else {
                request.json(&body)
            };
            let reply = request.send().await.unwrap();
            let status = reply.status().as_u16();
            let kind = reply.headers().get("content-type").cloned();
            let text = reply.text().await.unwrap();
            // A workspace key acts as a developer and is refused what admins do.
            if matches!(proof, Proof::Key(_)) && route.roles == "A" {
                assert_eq!(status, 403, "{route:?}: {text}");
                continue;
            }
            assert_eq!(status, route.status, "{route:?} with {proof:?}: {text}");
            if let control::api::route::Answer::Json(kind) = route.answer {
                let value: Value = serde_json::from_str(&text).unwrap();
                let mut wrong = Vec::new();
                answer_kind_check(&kind, &value, &mut wrong);
                assert!(wrong.is_empty(), "{route:?}: {wrong:?} in {text}");
            } else {
                assert!(kind.is_some() || status == 204, "{route:?}");
            }
            done += 1;
        }
    }
    assert!(done >= 90, "{done}");
}

/// The documented shape of an answer, which has texts of any length.
fn answer_kind_check(kind: &control::api::schema::Kind, value: &Value, wrong: &mut Vec<String>) {
    use control::api::schema::Kind;
    match kind {
        Kind::Text(..) => {
            if !value.is_string() {
                wrong.push(format!("{value} is no text"))
            }
        }
        Kind::Nullable(_) if value.is_null() => {}
        Kind::Nullable(kind) => answer_kind_check(kind, value, wrong),
        Kind::List(kind, _) => match value.as_array() {
            Some(items) => items
                .iter()
                .for_each(|item| answer_kind_check(kind, item, wrong)),
            None => wrong.push(format!("{value} is no list")),
        },
        Kind::Object(shape) => {
            for field in shape.fields {
                match value.get(field.name) {
                    Some(value) => answer_kind_check(&field.kind, value, wrong),
                    None if field.required => wrong.push(format!("{} is missing", field.name)),
                    None => {}
                }
            }
        }
        other => {
            let mut invalid = Vec::new();
            other.check(value, "", &mut invalid);
            wrong.extend(invalid.into_iter().map(|invalid| invalid.message));
        }
    }
}

/// Bodies that no client sends by accident: a clear 4xx each, never 5xx.
async fn hostile_bodies_are_refused(database: Database) {
    let mut world = World::new(database).await;
    with_catalogue(&mut world).await;
    let deep = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
    let huge = vec![b'a'; 600 * 1024];
    let bodies: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"{".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"\xff\xfe{}".to_vec(),
        b"{\"name\":\"\xc3\x28\"}".to_vec(),
        b"{\"name\":\"a\",\"name\":\"b\"}".to_vec(),
        b"{\"name\":\"\\u0000\"}".to_vec(),
        b"{\"n\":1e9999}".to_vec(),
        deep.into_bytes(),
        huge,
    ];
    for route in table::routes() {
        if !matches!(route.body, BodyKind::Json(_) | BodyKind::List(..)) {
            continue;
        }
        let proof = world.one.admin.session(route);
        let (path, _) = example(route, &world.one);
        for body in &bodies {
            let request = world.server.ask(route.method, &path, &proof);
            let request = request
                .header("content-type", "application/json")
                .body(body.clone());
            if matches!(route.body, BodyKind::List(..)) && body == b"[]" {
                continue;
            }
            let reply = request.send().await.expect("an answer");
            let status = reply.status();
            let text = reply.text().await.unwrap_or_default();
            assert!(status.is_client_error(), "{route:?}: {status} {text}");
        }
        let request = world
            .server
            .ask(route.method, &path, &proof)
            .header("content-type", "text/xml");
        let reply = request.body("<a/>").send().await.unwrap();
        assert_eq!(
            reply.status(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{route:?}"
        );
        // Every field with what it is not.
        let BodyKind::Json(shape) = route.body else {
            continue;
        };
        for field in shape.fields {
            for value in [
                json!(9_223_372_036_854_775_807_i64),
                json!(-1),
                json!(1e300),
                json!([]),
                json!({}),
                json!("'; DROP TABLE users; --"),
                json!("a\r\nX-Injected: 1"),
                json!("x".repeat(200_000)),
                json!(true),
                json!("\u{202e}\u{feff}"),
            ] {
                let (_, mut body) = example(route, &world.one);
                if !body.is_object() {
                    body = json!({});
                }
                body[field.name] = value;
                let request = world.server.ask(route.method, &path, &proof).json(&body);
                let reply = request.send().await.unwrap();
                let status = reply.status();
                let text = reply.text().await.unwrap_or_default();
                assert!(
                    !status.is_server_error(),
                    "{route:?} with {} = {}: {status} {text}",
                    field.name,
                    body[field.name]
                );
            }
        }
    }
    // Hostile paths and queries.
    for path in [
        "/api/v1/agents/%00",
        "/api/v1/agents/%ff",
        "/api/v1/agents/..%2f..%2fetc",
        "/agents/'",
        "/api/v1/agents?page=99999999999999999999",
        "/api/v1/agents?page=-1",
        "/api/v1/agents?q=%ff",
        "/api/v1/agents?q=%00",
        "/calls?page_size=101",
        "/calls?start_datetime=never",
        "/calls?batch_id=1",
        "/endpoints?limit=0",
        "/endpoints/%2e%2e%2f",
        "/phonenumbers/delete_sip/%2B",
        "/reports/dashboard?start_date=x",
    ] {
        let proof = match path {
            path if path.starts_with("/api") || path.starts_with("/endpoints") => {
                Proof::Bearer(world.one.admin.bearer.clone())
            }
            _ => Proof::Cookie(world.one.admin.cookie.clone()),
        };
        let reply = world.server.ask("GET", path, &proof).send().await.unwrap();
        assert!(
            reply.status().is_client_error(),
            "{path}: {}",
            reply.status()
        );
    }
}

macro_rules! on_both_databases {
    ($($name:ident)*) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread")]
            async fn on_sqlite() {
                super::$name(super::Database::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_postgres() {
                super::$name(super::Database::Postgres).await;
            }
        }
    )*};
}

on_both_databases! {
    nobody_reaches_what_is_not_theirs
    every_route_does_what_it_says
    hostile_bodies_are_refused
}
