//! What the published routes do together, on both databases.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod in_process;
mod published;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use control::identity::jwt::sign_hs256;
use in_process::Server;
use published::{
    Database, LIVEKIT_SECRET, PASSWORD, Proof, World, outside_token, start, start_with,
};
use reqwest::StatusCode;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Longest wait for anything.
const WAIT_MAX: Duration = Duration::from_secs(20);

fn cookies(reply: &reqwest::Response) -> Vec<String> {
    let set = reply.headers().get_all("set-cookie").iter();
    set.map(|value| value.to_str().unwrap().to_owned())
        .collect()
}

fn value_of(cookies: &[String], name: &str) -> String {
    let cookie = cookies
        .iter()
        .find(|cookie| cookie.starts_with(name))
        .expect("the cookie is set");
    cookie[name.len() + 1..]
        .split(';')
        .next()
        .unwrap()
        .to_owned()
}

async fn sign_up(server: &Server, email: &str) -> (String, String) {
    let body = json!({ "email": email, "password": PASSWORD, "name": "Somebody" });
    server
        .done("POST", "/auth/signup", &Proof::None, body)
        .await;
    let login = json!({ "email": email.to_uppercase(), "password": PASSWORD });
    let reply = server
        .ask("POST", "/auth/login", &Proof::None)
        .json(&login)
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), StatusCode::OK);
    let cookies = cookies(&reply);
    for cookie in &cookies {
        for attribute in ["HttpOnly", "SameSite=Lax", "Secure"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
    }
    (
        value_of(&cookies, "access_token"),
        value_of(&cookies, "refresh_token"),
    )
}

async fn refresh(server: &Server, token: &str) -> reqwest::Response {
    let request = server.ask("POST", "/auth/refresh", &Proof::None);
    request
        .header("cookie", format!("refresh_token={token}"))
        .send()
        .await
        .unwrap()
}

/// Makes every refresh token so old that its reuse is no accident of two tabs.
async fn grow_old(server: &Server) {
    let store = &server.app.services().store;
    let age = control::store::sql("UPDATE refresh_tokens SET used_at = used_at - 60000000");
    store.execute(age).await.unwrap();
}

async fn a_session_lives_and_ends(database: Database) {
    let server = start(database).await;
    let (access, first) = sign_up(&server, "one@flow.example").await;
    let cookie = Proof::Cookie(access.clone());
    server
        .done("GET", "/workspaces", &cookie, Value::Null)
        .await;
    let taken = json!({ "email": "One@flow.example", "password": PASSWORD });
    let reply = server
        .ask("POST", "/auth/signup", &Proof::None)
        .json(&taken)
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), StatusCode::CONFLICT);
    for (email, password) in [
        ("one@flow.example", "wrong password"),
        ("no@flow.example", PASSWORD),
    ] {
        let body = json!({ "email": email, "password": password });
        let reply = server
            .ask("POST", "/auth/login", &Proof::None)
            .json(&body)
            .send()
            .await
            .unwrap();
        assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
        let body: Value = reply.json().await.unwrap();
        assert_eq!(body["detail"], "the mail address or the password is wrong");
    }
    // Each refresh token serves once; two tabs at once are forgiven, a thief later is not.
    let second = refresh(&server, &first).await;
    assert_eq!(second.status(), StatusCode::OK);
    let second = value_of(&cookies(&second), "refresh_token");
    assert_ne!(first, second);
    assert_eq!(refresh(&server, &first).await.status(), StatusCode::OK);
    grow_old(&server).await;
    assert_eq!(
        refresh(&server, &first).await.status(),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        refresh(&server, &second).await.status(),
        StatusCode::UNAUTHORIZED
    );
    let reply = server
        .ask("GET", "/workspaces", &cookie)
        .send()
        .await
        .unwrap();
    assert_eq!(
        reply.status(),
        StatusCode::UNAUTHORIZED,
        "the stolen session goes on"
    );
    assert_eq!(
        refresh(&server, "nonsense").await.status(),
        StatusCode::UNAUTHORIZED
    );
    // A new password by mail ends all sessions.
    let login = json!({ "email": "one@flow.example", "password": PASSWORD });
    let session = server
        .done("POST", "/auth/login", &Proof::None, login.clone())
        .await;
    let cookie = Proof::Cookie(session["access_token"].as_str().unwrap().to_owned());
    for email in ["nobody@flow.example", "one@flow.example"] {
        let answer = server.done(
            "POST",
            "/auth/forgot-password",
            &Proof::None,
            json!({ "email": email }),
        );
        assert_eq!(
            answer.await["message"],
            "if there is such an account, a mail is on its way"
        );
    }
    let mail = mail(&server, "Your new password").await;
    let token = mail
        .lines()
        .find(|line| line.len() == 43)
        .expect("a token")
        .to_owned();
    let new = json!({ "token": token, "new_password": "another password" });
    server
        .done("POST", "/auth/reset-password", &Proof::None, new.clone())
        .await;
    let again = server
        .ask("POST", "/auth/reset-password", &Proof::None)
        .json(&new)
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), StatusCode::BAD_REQUEST);
    let reply = server
        .ask("GET", "/workspaces", &cookie)
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
    let reply = server
        .ask("POST", "/auth/login", &Proof::None)
        .json(&login)
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
    let login = json!({ "email": "one@flow.example", "password": "another password" });
    let session = server
        .done("POST", "/auth/login", &Proof::None, login)
        .await;
    // Pages of others cannot use the cookie to change something.
    let cookie = Proof::Cookie(session["access_token"].as_str().unwrap().to_owned());
    let host = server.app.http_address().to_string();
    let own = format!("http://{host}");
    for (header, value, status) in [
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
        ("sec-fetch-site", "same-origin", 201),
        ("origin", own.as_str(), 201),
    ] {
        let request = server
            .ask("POST", "/workspaces", &cookie)
            .header(header, value);
        let reply = request
            .json(&json!({ "name": "More" }))
            .send()
            .await
            .unwrap();
        assert_eq!(reply.status().as_u16(), status, "{header}: {value}");
    }
    server
        .done("POST", "/auth/logout", &cookie, Value::Null)
        .await;
    let reply = server
        .ask("GET", "/workspaces", &cookie)
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
}

/// The newest mail with this subject, once it is there.
async fn mail(server: &Server, subject: &str) -> String {
    let dir = server.app.services().config.data_dir.join("mail");
    let found = async {
        loop {
            let mut mails: Vec<_> = std::fs::read_dir(&dir)
                .map(|entries| {
                    entries
                        .filter_map(|entry| Some(entry.ok()?.path()))
                        .collect()
                })
                .unwrap_or_default();
            mails.sort();
            let texts = mails
                .iter()
                .rev()
                .filter_map(|path| std::fs::read_to_string(path).ok());
            if let Some(text) = texts.into_iter().find(|text| text.contains(subject)) {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WAIT_MAX, found)
        .await
        .expect("the mail comes")
}

async fn members_come_and_go(database: Database) {
    let world = World::new(database).await;
    let server = &world.server;
    let admin = Proof::Cookie(world.one.admin.cookie.clone());
    let base = format!("/workspaces/{}", world.one.id);
    let invite = json!({ "email": "guest@flow.example", "role": "developer" });
    server
        .done("POST", &format!("{base}/invite"), &admin, invite)
        .await;
    let letter = mail(server, "invited").await;
    assert!(letter.contains("To: <guest@flow.example>"), "{letter}");
    let token = letter.lines().find(|line| line.len() == 43).unwrap();
    // The address alone invites nobody: somebody else may have signed up with it.
    let (access, _) = sign_up(server, "guest@flow.example").await;
    let mine = server
        .done("GET", "/workspaces", &Proof::Cookie(access), Value::Null)
        .await;
    assert_eq!(mine.as_array().unwrap().len(), 1);
    let login =
        json!({ "email": "guest@flow.example", "password": PASSWORD, "invite_token": token });
    let session = server
        .done("POST", "/auth/login", &Proof::None, login.clone())
        .await;
    let guest = Proof::Cookie(session["access_token"].as_str().unwrap().to_owned());
    let again = server
        .ask("POST", "/auth/login", &Proof::None)
        .json(&login)
        .send()
        .await
        .unwrap();
    assert_eq!(
        again.status(),
        StatusCode::BAD_REQUEST,
        "an invitation serves once"
    );
    let switch = json!({ "workspace_id": world.one.id });
    server
        .done("POST", "/workspaces/switch", &guest, switch)
        .await;
    let agents = server.done("GET", "/agents", &guest, Value::Null).await;
    assert!(agents.to_string().contains("belongs-to-one"));
    let made = json!({ "agent_name": "By the guest" });
    server.done("POST", "/agents", &guest, made).await;
    let members = server
        .done("GET", &format!("{base}/members"), &guest, Value::Null)
        .await;
    let guest_id = members
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["email"] == "guest@flow.example");
    let guest_id = guest_id.expect("the guest is a member")["user_id"]
        .as_str()
        .unwrap();
    server
        .done(
            "DELETE",
            &format!("{base}/members/{guest_id}"),
            &admin,
            Value::Null,
        )
        .await;
    let agents = server.done("GET", "/agents", &guest, Value::Null).await;
    assert_eq!(
        agents,
        json!([]),
        "the guest is back in their own workspace"
    );
    let last = format!("{base}/members/{}", world.one.admin.id);
    let reply = server.ask("DELETE", &last, &admin).send().await.unwrap();
    assert_eq!(
        reply.status(),
        StatusCode::BAD_REQUEST,
        "the last admin stays"
    );
    // Whoever leaves leaves their keys behind.
    let key = Proof::Key(world.one.developer.keys["kupe"].clone());
    server
        .done("GET", "/api/v1/agents", &key, Value::Null)
        .await;
    let leaves = format!("{base}/members/{}", world.one.developer.id);
    server.done("DELETE", &leaves, &admin, Value::Null).await;
    let reply = server
        .ask("GET", "/api/v1/agents", &key)
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
    // Another organisation is chosen among one's own only.
    let own = Proof::Bearer(world.one.admin.bearer.clone());
    for (org, status) in [(world.one.id, 200), (world.other.id, 403)] {
        let request = server
            .ask("GET", "/endpoints", &own)
            .header("x-organization-id", org.to_string());
        assert_eq!(request.send().await.unwrap().status().as_u16(), status);
    }
    let both = server
        .ask("GET", "/api/v1/me", &own)
        .header("x-api-key", &world.one.admin.keys["kupe"]);
    assert_eq!(both.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    let root = Proof::Cookie(world.superuser.cookie.clone());
    let all = server.done("GET", "/workspaces", &root, Value::Null).await;
    assert!(all.as_array().unwrap().len() >= 5);
}

async fn outside_issuers_and_google_are_believed_by_their_signature(database: Database) {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
    let point = pair.public_key().as_ref();
    let keys = json!({ "keys": [{
        "kty": "EC", "crv": "P-256", "kid": "k1",
        "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]),
    }] });
    let sign = |claims: &Value| {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","kid":"k1"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = pair.sign(&random, signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    };
    let now = control::clock::now_us() / 1_000_000;
    let google = |subject: &str, email: &str, verified: bool, audience: &str| {
        sign(
            &json!({ "iss": "https://id.example", "aud": audience, "sub": subject, "email": email,
                      "email_verified": verified, "name": "G", "exp": now + 600 }),
        )
    };
    let by_code = google("g-2", "code@flow.example", true, "our-client");
    let provider = axum::Router::new()
        .route(
            "/keys",
            axum::routing::get(move || async move { axum::Json(keys) }),
        )
        .route(
            "/token",
            axum::routing::post(move |form: String| async move {
                let right = form.contains("code=the-code") && form.contains("client_secret=hush");
                let status = if right {
                    StatusCode::OK
                } else {
                    StatusCode::BAD_REQUEST
                };
                (status, axum::Json(json!({ "id_token": by_code })))
            }),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, provider).await });
    let server = start_with(database, &format!(
        "[identity.google]\nclient_id = \"our-client\"\nclient_secret = \"hush\"\n\
         issuer = \"https://id.example\"\njwks_url = \"{issuer}/keys\"\ntoken_url = \"{issuer}/token\"\n"
    )).await;
    // A user of an outside issuer is made when first seen, once.
    let user = Uuid::now_v7();
    let token = Proof::Bearer(outside_token(user, "Out@side.example", 600));
    let asks = (0..8).map(|_| server.done("GET", "/api/v1/me", &token, Value::Null));
    for me in futures_util::future::join_all(asks).await {
        assert_eq!(
            (&me["user_id"], &me["email"]),
            (&json!(user), &json!("out@side.example"))
        );
    }
    let forged = sign_hs256(
        b"another secret",
        &json!({ "sub": user, "aud": "authenticated", "exp": now + 600 }),
    );
    let reply = server
        .ask("GET", "/api/v1/me", &Proof::Bearer(forged))
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
    // An address that somebody has here is not taken over by the issuer's word.
    sign_up(&server, "victim@flow.example").await;
    let stranger = Proof::Bearer(outside_token(Uuid::now_v7(), "victim@flow.example", 600));
    let me = server
        .done("GET", "/api/v1/me", &stranger, Value::Null)
        .await;
    assert_eq!(me["email"], Value::Null);
    // Google: the audience must be ours, the address proved.
    let ask = async |body: Value| {
        let reply = server
            .ask("POST", "/auth/google", &Proof::None)
            .json(&body)
            .send()
            .await
            .unwrap();
        (reply.status(), reply.json::<Value>().await.unwrap())
    };
    let (status, first) =
        ask(json!({ "id_token": google("g-1", "g@flow.example", true, "our-client") })).await;
    assert_eq!(status, StatusCode::OK, "{first}");
    let (_, second) =
        ask(json!({ "id_token": google("g-1", "g@flow.example", true, "our-client") })).await;
    assert_eq!(first["user"]["id"], second["user"]["id"]);
    let (status, by_code) = ask(json!({ "code": "the-code" })).await;
    assert_eq!(
        (status, &by_code["user"]["email"]),
        (StatusCode::OK, &json!("code@flow.example"))
    );
    let (status, unproved) =
        ask(json!({ "id_token": google("g-3", "victim@flow.example", false, "our-client") })).await;
    assert_eq!(
        (status, &unproved["user"]["email"]),
        (StatusCode::OK, &Value::Null)
    );
    for bad in [
        json!({ "id_token": google("g-1", "g@flow.example", true, "another-client") }),
        json!({ "id_token": outside_token(user, "g@flow.example", 600) }),
        json!({ "code": "wrong" }),
    ] {
        assert_eq!(ask(bad.clone()).await.0, StatusCode::UNAUTHORIZED, "{bad}");
    }
    assert_eq!(ask(json!({})).await.0, StatusCode::BAD_REQUEST);
}

async fn changes_at_once_lose_nothing(database: Database) {
    let world = World::new(database).await;
    let server = &world.server;
    let admin = Proof::Bearer(world.one.admin.bearer.clone());
    let path = format!("/api/v1/agents/{}", world.one.things["agent"]);
    let writes = (0..10).map(|n| {
        let body = json!({ "agent_specific_config": { format!("mine_{n}"): n } });
        server.done("PUT", &path, &admin, body)
    });
    futures_util::future::join_all(writes).await;
    let reply = server.ask("GET", &path, &admin).send().await.unwrap();
    assert_eq!(reply.headers()["etag"], "\"11\"");
    let agent: Value = reply.json().await.unwrap();
    for n in 0..10 {
        assert_eq!(
            agent["configurations"]["agent_specific_config"][format!("mine_{n}")],
            n
        );
    }
    // With If-Match of ten writers exactly one wins.
    let writes = (0..10).map(|n| {
        let request = server
            .ask("PUT", &path, &admin)
            .header("if-match", "\"11\"");
        request
            .json(&json!({ "agent": { "description": format!("{n}") } }))
            .send()
    });
    let replies = futures_util::future::join_all(writes).await;
    let statuses: Vec<u16> = replies
        .into_iter()
        .map(|reply| reply.unwrap().status().as_u16())
        .collect();
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|status| **status == 412).count(),
        9,
        "{statuses:?}"
    );
    let versions = server
        .done("GET", &format!("{path}/versions"), &admin, Value::Null)
        .await;
    assert_eq!(versions.as_array().unwrap().len(), 12);
    let back = server
        .done(
            "POST",
            &format!("{path}/rollback"),
            &admin,
            json!({ "version": 1 }),
        )
        .await;
    assert_eq!(back["agent"]["version"], 13);
    assert_eq!(
        back["configurations"]["agent_specific_config"]["mine_1"],
        Value::Null
    );
    // Of ten times the same request one is carried out, and its answer repeated.
    let same = || {
        let request = server
            .ask("POST", "/api/v1/agents/simple", &admin)
            .header("idempotency-key", "k");
        request.json(&json!({ "name": "once" })).send()
    };
    let replies = futures_util::future::join_all((0..10).map(|_| same())).await;
    let statuses: Vec<u16> = replies
        .into_iter()
        .map(|reply| reply.unwrap().status().as_u16())
        .collect();
    assert!(
        statuses.iter().all(|status| matches!(status, 201 | 409)),
        "{statuses:?}"
    );
    assert_eq!(same().await.unwrap().status(), StatusCode::CREATED);
    let found = server
        .done("GET", "/api/v1/agents?q=ONCE", &admin, Value::Null)
        .await;
    assert_eq!(found.as_array().unwrap().len(), 1);
    let other = server
        .ask("POST", "/api/v1/agents/simple", &admin)
        .header("idempotency-key", "k");
    let other = other
        .json(&json!({ "name": "another" }))
        .send()
        .await
        .unwrap();
    assert_eq!(other.status(), StatusCode::UNPROCESSABLE_ENTITY);
    // Deleting an active agent needs force, and takes its mappings along.
    let line = json!({ "phone_number_id": world.one.things["line"], "agent_id": world.one.things["agent"] });
    server
        .done("POST", "/api/v1/phone/mapping", &admin, line)
        .await;
    let reply = server.ask("DELETE", &path, &admin).send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::BAD_REQUEST);
    server
        .done(
            "DELETE",
            &format!("{path}?force_delete=true"),
            &admin,
            Value::Null,
        )
        .await;
    let cookie = Proof::Cookie(world.one.admin.cookie.clone());
    let numbers = server
        .done("GET", "/phonenumbers", &cookie, Value::Null)
        .await;
    assert_eq!(numbers[0]["agent_id"], Value::Null);
}

async fn what_is_mapped_takes_the_next_call(database: Database) {
    let world = World::new(database).await;
    let server = &world.server;
    let admin = Proof::Bearer(world.one.admin.bearer.clone());
    let answer = async || {
        let form = [
            ("To".to_owned(), world.one.number.clone()),
            ("From".to_owned(), "+15550100".to_owned()),
        ];
        server
            .post_form("/carriers/twilio/voice", &form)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    };
    assert!(answer().await.contains("<Reject"), "nobody is mapped yet");
    let agent = &world.one.things["workflow_agent"];
    let map = json!({ "phone_number_id": world.one.things["line"], "agent_id": agent });
    server
        .done("POST", "/api/v1/phone/mapping", &admin, map)
        .await;
    let twiml = answer().await;
    assert!(
        twiml.contains(&format!("/carriers/twilio/{agent}/stream")),
        "{twiml}"
    );
    // A workflow alone, then nobody.
    let workflow = &world.one.things["workflow"];
    let map = json!({ "phone_number_id": world.one.things["line"], "workflow_id": workflow });
    server
        .done("POST", "/api/v1/phone/mapping", &admin, map)
        .await;
    let twiml = answer().await;
    assert!(
        twiml.contains(&format!("/carriers/twilio/{workflow}/stream")),
        "{twiml}"
    );
    let path = format!("/api/v1/workflows/{workflow}");
    let mut broken = published::clinic();
    broken["start"] = json!("nowhere");
    let reply = server
        .ask("PUT", &path, &admin)
        .json(&json!({ "definition": broken }));
    let reply = reply.send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::BAD_REQUEST);
    let body: Value = reply.json().await.unwrap();
    assert!(
        body["errors"][0]["path"]
            .as_str()
            .unwrap()
            .starts_with("definition"),
        "{body}"
    );
    server.done("DELETE", &path, &admin, Value::Null).await;
    assert!(answer().await.contains("<Reject"));
    let inactive = json!({ "agent": { "is_active": false } });
    server
        .done("PUT", &format!("/api/v1/agents/{agent}"), &admin, inactive)
        .await;
    let map = json!({ "phone_number_id": world.one.things["line"], "agent_id": agent });
    server
        .done("POST", "/api/v1/phone/mapping", &admin, map)
        .await;
    assert!(
        answer().await.contains("<Reject"),
        "an inactive agent takes no calls"
    );
}

async fn web_callers_get_tokens_for_public_agents(database: Database) {
    let world = World::new(database).await;
    let server = &world.server;
    let admin = Proof::Bearer(world.one.admin.bearer.clone());
    let agent = &world.one.things["agent"];
    let path = format!(
        "/calls/generate-token?phone={}&id=visitor-1",
        world.one.number.replace('+', "%2B")
    );
    let ask = async || server.ask("GET", &path, &Proof::None).send().await.unwrap();
    assert_eq!(
        ask().await.status(),
        StatusCode::NOT_FOUND,
        "nobody is mapped"
    );
    let map = json!({ "phone_number_id": world.one.things["line"], "agent_id": agent });
    server
        .done("POST", "/api/v1/phone/mapping", &admin, map)
        .await;
    assert_eq!(
        ask().await.status(),
        StatusCode::NOT_FOUND,
        "the agent is not public"
    );
    let public = json!({ "agent": { "is_public": true } });
    server
        .done("PUT", &format!("/api/v1/agents/{agent}"), &admin, public)
        .await;
    let token: Value = ask().await.json().await.unwrap();
    let payload = token["token"].as_str().unwrap().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    assert_eq!(claims["video"]["room"], token["room"]);
    assert_eq!(claims["iss"], "lk");
    for wrong in [
        "/calls/generate-token",
        "/calls/generate-token?phone=x&id=y",
        "/calls/generate-token?phone=15550100001&id=a%20b",
    ] {
        let reply = server.ask("GET", wrong, &Proof::None).send().await.unwrap();
        assert_eq!(reply.status(), StatusCode::BAD_REQUEST, "{wrong}");
    }
}

async fn numbers_are_bought_whole_or_not_at_all(database: Database) {
    use axum::extract::State;
    use axum::http::Method;
    use std::sync::{Arc, Mutex};

    // What the carrier was asked.
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let carrier = axum::Router::new()
        .fallback(
            |State(asked): State<Arc<Mutex<Vec<String>>>>, method: Method, uri: axum::http::Uri,
             headers: axum::http::HeaderMap, body: String| async move {
                let right = format!("Basic {}", STANDARD.encode("AC1:carrier-token"));
                if headers["authorization"] != right.as_str() {
                    return (StatusCode::UNAUTHORIZED, axum::Json(json!({ "message": "who are you" })));
                }
                asked.lock().unwrap().push(format!("{method} {uri} {body}"));
                if uri.path().ends_with("/Local.json") {
                    let number = json!({ "phone_number": "+15005550006", "locality": "X", "region": "CA",
                                         "capabilities": { "voice": true } });
                    return (StatusCode::OK, axum::Json(json!({ "available_phone_numbers": [number] })));
                }
                if method == Method::DELETE {
                    return (StatusCode::NO_CONTENT, axum::Json(Value::Null));
                }
                if body.contains("5005550000") {
                    return (StatusCode::BAD_REQUEST, axum::Json(json!({ "message": "not available" })));
                }
                (StatusCode::CREATED, axum::Json(json!({ "sid": "PN1" })))
            },
        )
        .with_state(Arc::clone(&asked));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, carrier).await });
    let more = format!(
        "[carriers.twilio]\naccount_sid = \"AC1\"\nauth_token = \"carrier-token\"\napi_url = \"http://{address}\"\n"
    );
    let world = World::new_with(database, &more).await;
    let server = &world.server;
    let search = "/phonenumbers/search?country_code=us&provider=twilio&area_code=510";
    let found = server.done("GET", search, &Proof::None, Value::Null).await;
    assert_eq!(found[0]["phone_number"], "+15005550006");
    let proxied = server
        .ask("GET", search, &Proof::None)
        .header("forwarded", "for=1.2.3.4");
    assert_eq!(
        proxied.send().await.unwrap().status(),
        StatusCode::FORBIDDEN
    );
    for wrong in [
        "country_code=u1&provider=twilio",
        "country_code=us&provider=vonage",
        "provider=twilio",
    ] {
        let reply = server.ask(
            "GET",
            &format!("/phonenumbers/search?{wrong}"),
            &Proof::None,
        );
        assert_eq!(
            reply.send().await.unwrap().status(),
            StatusCode::BAD_REQUEST,
            "{wrong}"
        );
    }
    let cookie = Proof::Cookie(world.one.developer.cookie.clone());
    let buy = |number: &str| json!({ "phone_number": number, "provider": "twilio", "country_code": "US" });
    let line = server
        .done(
            "POST",
            "/phonenumbers/purchase",
            &cookie,
            buy("+15005550006"),
        )
        .await;
    assert_eq!(
        (&line["phone_number"], &line["provider"]),
        (&json!("+15005550006"), &json!("twilio"))
    );
    let told = asked.lock().unwrap().last().cloned().unwrap();
    assert!(
        told.contains("PhoneNumber=%2B15005550006")
            && told.contains("%2Fcarriers%2Ftwilio%2Fvoice"),
        "{told}"
    );
    let post = async |number: &str| {
        let request = server
            .ask("POST", "/phonenumbers/purchase", &cookie)
            .json(&buy(number));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(post("+15005550000").await, 400, "the carrier refuses");
    let before = asked.lock().unwrap().len();
    assert_eq!(post("+15005550006").await, 409);
    assert_eq!(
        asked.lock().unwrap().len(),
        before,
        "what is there is not bought again"
    );
    // Two at once: one number is kept, the other purchase is given back.
    let both = futures_util::future::join(post("+15005550007"), post("+15005550007")).await;
    let asked = asked.lock().unwrap().clone();
    let bought = asked
        .iter()
        .filter(|a| a.starts_with("POST") && a.contains("5005550007"))
        .count();
    let released = asked.iter().filter(|a| a.starts_with("DELETE")).count();
    assert!(matches!(both, (201, 409) | (409, 201)), "{both:?}");
    assert_eq!(released, bought - 1, "{asked:?}");
}

async fn calls_are_exported_whole(database: Database) {
    let world = World::new(database).await;
    let server = &world.server;
    let key = Proof::Key(world.one.admin.keys["kupe"].clone());
    let ask = async |query: &str| {
        let path = format!("/api/v1/call-analytics/export?{query}");
        server.ask("GET", &path, &key).send().await.unwrap()
    };
    let call = &world.one.things["call"];
    for query in [
        &format!("request_id={call}"),
        "start_date=2020-01-01&end_date=2100-01-01",
    ] {
        let reply = ask(query).await;
        assert_eq!(reply.headers()["content-type"], "application/zip");
        let bytes = reply.bytes().await.unwrap();
        assert!(bytes.starts_with(b"PK\x03\x04"));
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains(&format!("{call}.json")) && text.contains("belongs-to-one"));
        assert!(!text.contains("belongs-to-other"));
    }
    let theirs = format!("request_id={}", world.other.things["call"]);
    assert_eq!(ask(&theirs).await.status(), StatusCode::NOT_FOUND);
    for wrong in [
        "",
        "start_date=2020-01-01",
        "start_date=x&end_date=y",
        "request_id=1",
    ] {
        assert_eq!(
            ask(wrong).await.status(),
            StatusCode::BAD_REQUEST,
            "{wrong}"
        );
    }
    let cookie = Proof::Cookie(world.one.admin.cookie.clone());
    let reply = server
        .ask("GET", "/calls/export", &cookie)
        .send()
        .await
        .unwrap();
    let csv = reply.text().await.unwrap();
    assert!(
        csv.contains(call) && !csv.contains(&world.other.things["call"]),
        "{csv}"
    );
    let totals = server
        .done("GET", "/reports/call-summary", &cookie, Value::Null)
        .await;
    assert_eq!(
        (&totals["total_calls"], &totals["total_duration_seconds"]),
        (&json!(1), &json!(61))
    );
    let out = server
        .done(
            "GET",
            "/calls?call_direction=outbound",
            &cookie,
            Value::Null,
        )
        .await;
    assert_eq!(
        (&out["total"], &out["has_next"]),
        (&json!(0), &json!(false))
    );
}

/// The final answer to an INVITE for `number`, as a telephone sends it.
async fn invite(server: &Server, number: &str) -> String {
    let sip = server.app.sip_address().expect("sip is served");
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let here = socket.local_addr().unwrap();
    let branch = Uuid::new_v4().simple().to_string();
    let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
               m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";
    let request = format!(
        "INVITE sip:{number}@{sip} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{branch};rport\r\n\
         From: <sip:+15550123@{here}>;tag={branch}\r\nTo: <sip:{number}@{sip}>\r\n\
         Call-ID: {branch}\r\nCSeq: 1 INVITE\r\nContact: <sip:caller@{here}>\r\n\
         Max-Forwards: 70\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    );
    socket.send_to(request.as_bytes(), sip).await.unwrap();
    let answered = async {
        let mut buffer = vec![0; 4096];
        loop {
            let (length, _) = socket.recv_from(&mut buffer).await.unwrap();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if !text.starts_with("SIP/2.0 1") {
                return text;
            }
        }
    };
    tokio::time::timeout(WAIT_MAX, answered)
        .await
        .expect("a final answer")
}

async fn sip_calls_reach_what_is_mapped(database: Database) {
    let world = World::new(database).await;
    let server = &world.server;
    let admin = Proof::Bearer(world.one.admin.bearer.clone());
    let line = &world.one.things["line"];
    let number = &world.one.number;
    assert!(
        invite(server, number).await.starts_with("SIP/2.0 404"),
        "nobody is mapped yet"
    );
    let map = json!({ "phone_number_id": line, "agent_id": world.one.things["workflow_agent"] });
    server
        .done("POST", "/api/v1/phone/mapping", &admin, map)
        .await;
    let answer = invite(server, number).await;
    assert!(
        answer.starts_with("SIP/2.0 200") && answer.contains("m=audio"),
        "{answer}"
    );
    let calls = server
        .done("GET", "/api/v1/call-analytics", &admin, Value::Null)
        .await;
    assert_eq!(
        calls[0]["agent_id"],
        json!(world.one.things["workflow_agent"]),
        "{calls}"
    );
    // Endpoints outside; tests/endpoint_calls.rs calls some over SIP.
    let twilio = async || {
        let form = [("To".to_owned(), number.clone())];
        server
            .post_form("/carriers/twilio/voice", &form)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    };
    for (kind, url, config, expected) in [
        (
            "vapi",
            None,
            json!({ "assistant_id": "a1" }),
            "sip:a1@sip.vapi.ai".to_owned(),
        ),
        (
            "retell",
            None,
            json!({ "agent_id": "x" }),
            format!("sip:{number}@sip.retellai.com;transport=tcp"),
        ),
        (
            "elevenlabs",
            None,
            json!({ "agent_id": "x" }),
            format!("sip:{number}@sip.rtc.elevenlabs.io;transport=tcp"),
        ),
        (
            "livekit",
            None,
            json!({ "project_sip_host": "p.sip.livekit.cloud" }),
            format!("sip:{number}@p.sip.livekit.cloud"),
        ),
        (
            "vogent",
            None,
            json!({ "agent_id": "x" }),
            format!("sip:{number}@sip.vogent.ai"),
        ),
        (
            "custom_sip",
            Some("sip:desk@pbx.example"),
            json!({}),
            "sip:desk@pbx.example".to_owned(),
        ),
    ] {
        let body = json!({ "name": kind, "type": kind, "url": url, "provider_config": config,
                           "phone_number_id": line });
        let made = server.done("POST", "/endpoints", &admin, body).await;
        assert!(
            twilio()
                .await
                .contains(&format!("<Dial><Sip>{expected}</Sip></Dial>")),
            "{kind}"
        );
        let path = format!("/endpoints/{}", made["id"].as_str().unwrap());
        server
            .done("PATCH", &path, &admin, json!({ "status": "inactive" }))
            .await;
        assert!(
            invite(server, number).await.starts_with("SIP/2.0 404"),
            "{kind} is inactive"
        );
        server.done("DELETE", &path, &admin, Value::Null).await;
    }
    assert!(
        twilio().await.contains("<Reject"),
        "the line has lost its target"
    );
}

async fn chats_follow_the_same_dialogue_as_calls(database: Database) {
    let world = World::new(database).await;
    let server = &world.server;
    let cookie = Proof::Cookie(world.one.member.cookie.clone());
    let agent = &world.one.things["workflow_agent"];
    let mut session = Value::Null;
    let mut replies = Vec::new();
    for message in ["I'd like to book an appointment", "tomorrow"] {
        let mut body = json!({ "agent_id": agent, "message": message });
        if !session.is_null() {
            body["session_id"] = session.clone();
        }
        let answer = server.done("POST", "/chats", &cookie, body).await;
        session = answer["session_id"].clone();
        replies.push(answer["reply"].as_str().unwrap().to_owned());
    }
    assert!(
        replies.iter().all(|reply| !reply.trim().is_empty()),
        "{replies:?}"
    );
    assert_ne!(replies[0], replies[1], "the dialogue goes on");
    let chats = server.done("GET", "/chats", &cookie, Value::Null).await;
    let chat = &chats["items"][0];
    assert_eq!(chat["session_id"], session);
    let said: Vec<&str> = chat["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["role"].as_str().unwrap())
        .collect();
    assert_eq!(said, ["agent", "user", "agent", "user", "agent"]);
    let body = json!({ "agent_id": agent, "message": "hello", "stream": true });
    let reply = server
        .ask("POST", "/chats", &cookie)
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(reply.headers()["content-type"], "text/event-stream");
    assert!(reply.text().await.unwrap().contains("\"done\":true"));
    let stranger = Proof::Cookie(world.other.admin.cookie.clone());
    let other_agent = &world.other.things["workflow_agent"];
    let body =
        json!({ "agent_id": other_agent, "session_id": session, "message": "what was said?" });
    let reply = server
        .ask("POST", "/chats", &stranger)
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), StatusCode::NOT_FOUND);
}

async fn livekit_tells_of_rooms_once(database: Database) {
    let server = start(database).await;
    let now = control::clock::now_us() / 1_000_000;
    let send = async |body: &str, secret: &str, hashed: &str| {
        let hash = STANDARD.encode(Sha256::digest(hashed));
        let claims = json!({ "iss": "lk", "exp": now + 60, "sha256": hash });
        let request = server.ask("POST", "/webhook/livekit", &Proof::None);
        let request = request.header("authorization", sign_hs256(secret.as_bytes(), &claims));
        let request = request
            .header("content-type", "application/webhook+json")
            .body(body.to_owned());
        request.send().await.unwrap().status().as_u16()
    };
    let rooms = async || {
        let reply = server
            .ask("GET", "/reports/workload", &Proof::None)
            .send()
            .await
            .unwrap();
        let text = reply.text().await.unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("samvad_workload_livekit_rooms "))
            .unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    let event = |id: &str, kind: &str, sid: &str| {
        json!({ "id": id, "event": kind, "room": { "sid": sid, "name": "r" } }).to_string()
    };
    for (id, kind, sid, expected) in [
        ("1", "room_started", "a", "1"),
        ("1", "room_started", "a", "1"),
        ("2", "room_started", "b", "2"),
        ("3", "room_finished", "a", "1"),
        ("4", "room_finished", "a", "1"),
        ("5", "room_finished", "never", "1"),
        ("6", "track_published", "b", "1"),
        ("7", "room_finished", "b", "0"),
    ] {
        let body = event(id, kind, sid);
        assert_eq!(send(&body, LIVEKIT_SECRET, &body).await, 200);
        assert_eq!(rooms().await, expected, "{id} {kind}");
    }
    let body = event("8", "room_started", "c");
    assert_eq!(send(&body, "another secret", &body).await, 401);
    assert_eq!(send(&body, LIVEKIT_SECRET, "another body").await, 401);
    assert_eq!(rooms().await, "0");
    let proxied = server
        .ask("GET", "/reports/workload", &Proof::None)
        .header("x-forwarded-for", "1.2.3.4");
    assert_eq!(
        proxied.send().await.unwrap().status(),
        StatusCode::FORBIDDEN
    );
}

async fn secrets_are_shown_once_and_kept_sealed(database: Database) {
    let world = World::new(database).await;
    let server = &world.server;
    let kros = Proof::Key(world.one.admin.keys["kros"].clone());
    let hook = json!({ "name": "hook", "type": "webhook", "url": "https://hook.example/" });
    let made = server.done("POST", "/v1/endpoints", &kros, hook).await;
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"));
    let sip = json!({ "name": "sip", "type": "custom_sip", "url": "sip:x@y.example",
                      "provider_config": { "username": "u", "password": "sip-password" } });
    server.done("POST", "/endpoints", &kros, sip).await;
    let listed = server
        .done("GET", "/endpoints", &kros, Value::Null)
        .await
        .to_string();
    assert!(
        !listed.contains(&secret) && !listed.contains("sip-password"),
        "{listed}"
    );
    // Test keys see their own endpoints only.
    let admin = Proof::Bearer(world.one.admin.bearer.clone());
    let test = json!({ "product": "kros", "mode": "test" });
    let test = server.done("POST", "/api/v1/api-keys", &admin, test).await;
    let test = test["api_key"]["key"].as_str().unwrap().to_owned();
    assert!(test.starts_with("kros_test_"), "{test}");
    // As a bearer too.
    let seen = server
        .done("GET", "/endpoints", &Proof::Bearer(test), Value::Null)
        .await;
    assert_eq!(seen, json!([]));
    // Nothing of a secret is in the database as it is.
    let store = &server.app.services().store;
    for (table, columns) in [
        ("endpoints", "name, url, provider_config"),
        ("api_keys", "prefix, name, scopes"),
        ("trunks", "label, sip_address"),
    ] {
        let query = control::store::sql(format!("SELECT {columns} FROM {table}"));
        for row in store.fetch_all(query).await.unwrap() {
            let text = format!("{row:?}");
            assert!(!text.contains("password"), "{text}");
        }
    }
    let query = control::store::sql("SELECT sealed FROM endpoints WHERE sealed IS NOT NULL");
    let sealed = store.fetch_all(query).await.unwrap();
    assert_eq!(sealed.len(), 2);
    for row in &sealed {
        let bytes: Vec<u8> = row.get("sealed").unwrap();
        let holds = |text: &str| {
            bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        };
        assert!(!holds(&secret) && !holds("sip-password"));
    }
    // A third party's key is kept, never shown, and opens nothing here.
    let foreign = "sk-0123456789abcdef0123456789abcdef";
    let body = json!({ "api_key": foreign, "provider_name": "openai" });
    let kept = server.done("POST", "/api/v1/api-keys", &admin, body).await;
    assert!(!kept.to_string().contains(foreign), "{kept}");
    let reply = server
        .ask("GET", "/api/v1/me", &Proof::Key(foreign.to_owned()))
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
    let exists = json!({ "user_id": world.one.admin.id, "provider_name": "openai" });
    assert_eq!(
        server
            .done("POST", "/api/v1/api-keys/exists", &admin, exists)
            .await,
        json!(true)
    );
    // A key of one's own serves as it is.
    let own = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c";
    server
        .done(
            "POST",
            "/api/v1/api-keys",
            &admin,
            json!({ "api_key": own }),
        )
        .await;
    server
        .done(
            "GET",
            "/api/v1/me",
            &Proof::Key(own.to_owned()),
            Value::Null,
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_too_often_is_told_when_to_come_again() {
    let server =
        in_process::server("---\n[limits]\nlogins_per_minute = 3\nrequests_per_second = 5\n").await;
    let login = json!({ "email": "a@b.example", "password": "guess" });
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let reply = server
            .ask("POST", "/auth/login", &Proof::None)
            .json(&login)
            .send()
            .await
            .unwrap();
        if reply.status() == StatusCode::TOO_MANY_REQUESTS {
            assert!(reply.headers().contains_key("retry-after"));
        }
        statuses.push(reply.status().as_u16());
    }
    assert_eq!(statuses, [401, 401, 401, 429, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_reaches_the_engine_as_far_as_its_organisation() {
    let world = World::new(Database::Sqlite).await;
    let call = |org: &published::Organisation| format!("/v1/calls/{}", org.things["call"]);
    let (own, others) = (call(&world.one), call(&world.other));
    let hang_up = format!("{own}/hangup");
    let cookie = |person: &published::Person| Proof::Cookie(person.cookie.clone());
    let member = cookie(&world.one.member);
    let superuser = cookie(&world.superuser);
    for (method, path, proof, status) in [
        ("GET", own.as_str(), &member, 200),
        ("GET", &format!("{own}/events"), &member, 200),
        ("GET", &others, &member, 404),
        ("GET", "/v1/calls", &member, 403),
        ("GET", "/v1/agents", &member, 403),
        ("POST", &hang_up, &member, 403),
        ("POST", &hang_up, &cookie(&world.one.developer), 409),
        ("GET", &others, &superuser, 200),
        ("GET", "/v1/calls", &superuser, 200),
        ("GET", "/v1/agents", &superuser, 200),
        ("GET", &own, &Proof::Cookie("wrong".to_owned()), 401),
        (
            "GET",
            &own,
            &Proof::Bearer(world.superuser.bearer.clone()),
            401,
        ),
    ] {
        let reply = world.server.ask(method, path, proof).send().await.unwrap();
        assert_eq!(reply.status().as_u16(), status, "{method} {path}");
    }
    // A page of another site may not hang up with its visitor's cookie.
    let foreign = world.server.ask("POST", &hang_up, &superuser);
    let foreign = foreign.header("origin", "https://elsewhere.example");
    assert_eq!(
        foreign.send().await.unwrap().status(),
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn the_console_is_sent_packed_and_once() {
    let server = start(Database::Sqlite).await;
    let ask = |path: &str| server.ask("GET", path, &Proof::None);
    let page = ask("/console/").send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'"),
        "{policy}"
    );
    let script = ask("/console/console.js").header("accept-encoding", "gzip");
    let script = script.send().await.unwrap();
    assert_eq!(script.headers()["content-encoding"], "gzip");
    let tag = script.headers()["etag"].clone();
    let again = ask("/console/console.js")
        .header("accept-encoding", "gzip")
        .header("if-none-match", tag);
    assert_eq!(
        again.send().await.unwrap().status(),
        StatusCode::NOT_MODIFIED
    );
    let none = ask("/console/nothing.js").send().await.unwrap();
    assert_eq!(none.status(), StatusCode::NOT_FOUND);
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
    a_session_lives_and_ends
    members_come_and_go
    outside_issuers_and_google_are_believed_by_their_signature
    changes_at_once_lose_nothing
    what_is_mapped_takes_the_next_call
    web_callers_get_tokens_for_public_agents
    sip_calls_reach_what_is_mapped
    numbers_are_bought_whole_or_not_at_all
    calls_are_exported_whole
    chats_follow_the_same_dialogue_as_calls
    livekit_tells_of_rooms_once
    secrets_are_shown_once_and_kept_sealed
}
