//! A server with two organisations, their people, keys and things, on either database.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "every test file uses its own part of it"
)]

use std::collections::BTreeMap;

use control::api::route::{Auth, Route};
use control::config::Secret;
use control::identity::accounts::{self, NewUser};
use control::identity::jwt::sign_hs256;
use control::identity::principal::{Product, Role};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::in_process::{self, Server};

/// Secret of the outside issuer of session tokens.
pub const JWT_SECRET: &str = "a secret that an outside issuer signs with";
pub const PASSWORD: &str = "correct horse battery";
pub const LIVEKIT_SECRET: &str = "a secret that livekit signs with";
pub const CLINIC: &str = include_str!("../../../fixtures/workflows/clinic.toml");

#[derive(Clone, Copy, Debug)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// Somebody with every kind of credential.
#[derive(Clone, Debug)]
pub struct Person {
    pub id: Uuid,
    pub cookie: String,
    pub bearer: String,
    pub keys: BTreeMap<&'static str, String>,
}

/// An organisation with people and things.
#[derive(Debug)]
pub struct Organisation {
    pub id: Uuid,
    pub admin: Person,
    pub developer: Person,
    pub member: Person,
    /// Ids by what they are of.
    pub things: BTreeMap<&'static str, String>,
    pub number: String,
    /// Somebody who is there to be removed.
    pub leaver: Uuid,
}

pub struct World {
    pub server: Server,
    pub one: Organisation,
    pub other: Organisation,
    pub superuser: Person,
}

/// How a request proves who sends it.
#[derive(Clone, Debug)]
pub enum Proof {
    None,
    Key(String),
    Bearer(String),
    Cookie(String),
}

/// A server with limits that no test reaches.
pub async fn start(database: Database) -> Server {
    start_with(database, "").await
}

pub async fn start_with(database: Database, more: &str) -> Server {
    let database = match database {
        Database::Sqlite => String::new(),
        Database::Postgres => {
            let url = tokio::task::spawn_blocking(fixtures::postgres::new_database);
            format!("[database]\nurl = \"{}\"\n", url.await.expect("a database"))
        }
    };
    in_process::server(&format!(
        "---\n{database}[identity]\njwt_secret = \"{JWT_SECRET}\"\n\
         [limits]\nrequests_per_second = 1000000\nlogins_per_minute = 1000000\n\
         open_per_minute = 1000000\nexports_per_minute = 1000000\n\
         [tools]\nallowed_networks = [\"127.0.0.0/8\"]\n\
         [livekit]\nurl = \"wss://livekit.example\"\napi_key = \"lk\"\napi_secret = \"{LIVEKIT_SECRET}\"\n\
         {more}"
    ))
    .await
}

impl Server {
    pub fn ask(&self, method: &str, path: &str, proof: &Proof) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).expect("method");
        let request = self.client.request(method, self.url(path));
        match proof {
            Proof::None => request,
            Proof::Key(key) => request.header("x-api-key", key),
            Proof::Bearer(token) => request.bearer_auth(token),
            Proof::Cookie(token) => request.header("cookie", format!("access_token={token}")),
        }
    }

    /// JSON of a successful request.
    pub async fn done(&self, method: &str, path: &str, proof: &Proof, body: Value) -> Value {
        let request = self.ask(method, path, proof);
        let request = if body.is_null() {
            request
        } else {
            request.json(&body)
        };
        let reply = request.send().await.expect("an answer");
        let status = reply.status();
        let text = reply.text().await.expect("text");
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }
}

/// A session token of the outside issuer.
pub fn outside_token(user: Uuid, email: &str, expires_in_s: i64) -> String {
    let now = control::clock::now_us() / 1_000_000;
    let claims = json!({
        "sub": user, "email": email, "aud": "authenticated", "exp": now + expires_in_s,
    });
    sign_hs256(JWT_SECRET.as_bytes(), &claims)
}

pub fn clinic() -> Value {
    let definition: toml::Value = toml::from_str(CLINIC).expect("the workflow is TOML");
    serde_json::to_value(definition).expect("JSON")
}

impl World {
    pub async fn new(database: Database) -> Self {
        Self::new_with(database, "").await
    }

    pub async fn new_with(database: Database, more: &str) -> Self {
        let server = start_with(database, more).await;
        let superuser = person(&server, "root@super.example", None, true).await;
        let one = organisation(&server, "one", "+15550100001").await;
        let other = organisation(&server, "other", "+15550100002").await;
        Self {
            server,
            one,
            other,
            superuser,
        }
    }
}

async fn organisation(server: &Server, name: &'static str, number: &str) -> Organisation {
    let admin = person(server, &format!("admin@{name}.example"), None, false).await;
    let store = &server.app.services().store;
    let memberships = accounts::memberships(&mut store.read().await.unwrap(), admin.id).await;
    let id = memberships.unwrap()[0].0;
    let member = |role: &'static str, kind| {
        let email = format!("{role}@{name}.example");
        async move { person(server, &email, Some((id, kind)), false).await }
    };
    let developer = member("developer", Role::Developer).await;
    let member_of_it = member("member", Role::Member).await;
    let leaver = member("leaver", Role::Member).await.id;
    let mut things = things(server, &admin, name, number).await;
    let wallet = money(server, id, member_of_it.id, (name, &things["call"])).await;
    things.insert("wallet", wallet);
    Organisation {
        id,
        admin,
        developer,
        member: member_of_it,
        things,
        number: number.to_owned(),
        leaver,
    }
}

/// Signs up, logs in, and gets a key of each surface where the role allows.
async fn person(
    server: &Server,
    email: &str,
    joins: Option<(Uuid, Role)>,
    superuser: bool,
) -> Person {
    let store = &server.app.services().store;
    let hash = server
        .app
        .services()
        .identity
        .passwords
        .hash(Secret::new(PASSWORD))
        .await;
    let email_of = email.to_owned();
    let id = store
        .write(move |conn| {
            Box::pin(async move {
                let new = NewUser {
                    email: Some(email_of.clone()),
                    name: Some(email_of),
                    password_hash: Some(hash),
                    superuser,
                    ..NewUser::default()
                };
                let id = accounts::create_user(conn, new).await?;
                if let Some((org, role)) = joins {
                    accounts::add_member(conn, org, id, role).await?;
                    // Their own workspace would be another tenant of theirs.
                    control::store::sql(
                        "DELETE FROM memberships WHERE user_id = $1 AND org_id <> $2",
                    )
                    .bind(id)
                    .bind(org)
                    .execute(conn)
                    .await?;
                    accounts::set_current(conn, id, Some(org)).await?;
                }
                Ok(id)
            })
        })
        .await
        .unwrap();
    let login = json!({ "email": email, "password": PASSWORD });
    let session = server
        .done("POST", "/auth/login", &Proof::None, login)
        .await;
    let token = session["access_token"].as_str().unwrap().to_owned();
    let mut keys = BTreeMap::new();
    for product in ["kupe", "kros", "vaani"] {
        let body = json!({ "name": product, "product": product });
        let reply = server.ask("POST", "/api/v1/api-keys", &Proof::Bearer(token.clone()));
        let reply = reply.json(&body).send().await.unwrap();
        if product == "vaani" && reply.status() == StatusCode::FORBIDDEN {
            continue;
        }
        let key: Value = reply.json().await.unwrap();
        keys.insert(
            product,
            key["api_key"]["key"].as_str().expect("a key").to_owned(),
        );
    }
    Person {
        id,
        cookie: token.clone(),
        bearer: token,
        keys,
    }
}

/// One of everything, named after its organisation.
async fn things(
    server: &Server,
    admin: &Person,
    name: &str,
    number: &str,
) -> BTreeMap<&'static str, String> {
    let bearer = Proof::Bearer(admin.bearer.clone());
    let cookie = Proof::Cookie(admin.cookie.clone());
    let mark = format!("belongs-to-{name}");
    let id = |value: &Value| value["id"].as_str().expect("an id").to_owned();
    let mut things = BTreeMap::new();
    let agent = json!({ "name": mark });
    let agent = server
        .done("POST", "/api/v1/agents/simple", &bearer, agent)
        .await;
    things.insert("agent", id(&agent["agent"]));
    let workflow = json!({ "name": mark, "definition": clinic() });
    let workflow = server
        .done("POST", "/api/v1/workflows", &bearer, workflow)
        .await;
    things.insert("workflow", id(&workflow));
    let workflow_agent = json!({ "agent": { "name": mark, "workflow_id": id(&workflow) } });
    let workflow_agent = server
        .done("POST", "/api/v1/agents", &bearer, workflow_agent)
        .await;
    things.insert("workflow_agent", id(&workflow_agent["agent"]));
    let trunk = json!({ "sip_address": "sip.example.org", "phone_number": number, "label": mark,
                        "auth_username": "u", "auth_password": "trunk-password" });
    let line = server
        .done("POST", "/phonenumbers/sip_trunk", &cookie, trunk)
        .await;
    things.insert("line", id(&line));
    let endpoint = json!({ "name": mark, "type": "custom_sip", "url": "sip:a@b.example" });
    let endpoint = server.done("POST", "/endpoints", &bearer, endpoint).await;
    things.insert("endpoint", id(&endpoint));
    let tool = json!({ "name": mark, "url": "https://tools.example/{id}", "method": "GET",
                       "headers": { "x-key": "tool-secret" } });
    let tool = server
        .done("POST", "/api/v1/tool-endpoint-defs", &bearer, tool)
        .await;
    things.insert("tool", id(&tool));
    // Nobody listens there.
    let mcp = json!({ "name": mark, "url": "http://127.0.0.1:9/mcp" });
    let mcp = server
        .done("POST", "/api/v1/tools-mcp-server-defs", &bearer, mcp)
        .await;
    things.insert("mcp", id(&mcp));
    // Never told: the tests' calls are rows only.
    let hook = json!({ "url": format!("https://hooks.example/{mark}"), "enabled": false });
    let hook = server.done("POST", "/api/v1/webhooks", &bearer, hook).await;
    things.insert("webhook", id(&hook));
    let chat = json!({ "agent_id": things["workflow_agent"], "message": "hello" });
    let chat = server.done("POST", "/chats", &cookie, chat).await;
    things.insert(
        "chat",
        chat["session_id"].as_str().expect("a chat").to_owned(),
    );
    let batch = json!({ "agent_id": things["workflow_agent"], "caller_phone_id": things["line"],
                        "batch_name": mark });
    let batch = server
        .done("POST", "/api/v1/batch-call/create", &bearer, batch)
        .await;
    things.insert("batch", id(&batch["data"]));
    let records = json!({ "records": [{ "to_phonenumber": "+15550100201", "name": mark },
                                      { "to_phonenumber": "+15550100202", "name": mark }] });
    let path = format!("/api/v1/batch-call/upload-json/{}", things["batch"]);
    server.done("POST", &path, &bearer, records).await;
    let path = format!("/api/v1/batch-call/{}/data", things["batch"]);
    let data = server.done("GET", &path, &bearer, Value::Null).await;
    things.insert("item", id(&data["data"][0]));
    let form = format!(
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n\
         phone_number,name\n+15550100203,{mark}\n\r\n{}--b--\r\n",
        [
            ("name", mark.as_str()),
            ("agent_id", &things["workflow_agent"]),
            ("agent_phone_number", number),
            ("scheduled_time", "2099-01-01T00:00:00Z")
        ]
        .map(|(name, value)| format!(
            "--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        ))
        .concat()
    );
    let made = server.ask("POST", "/batch/upload", &cookie);
    let made = made
        .header("content-type", "multipart/form-data; boundary=b")
        .body(form);
    let made = made
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("text");
    let made: Value = serde_json::from_str(&made).expect("JSON");
    things.insert("vaani_batch", id(&made));
    let dialler = json!({ "name": mark, "active": false });
    let dialler = server
        .done("POST", "/api/v/campaign/", &cookie, dialler)
        .await;
    things.insert("campaign", id(&dialler));
    things.insert("slug", dialler["slug"].as_str().expect("a slug").to_owned());
    let fetched = format!("/api/v1/api-keys/fetch/{}", admin.id);
    let keys = server.done("GET", &fetched, &bearer, Value::Null).await;
    things.insert("key", id(&keys[0]));
    things.insert("call", call(server, admin, &things["agent"], &mark).await);
    things
}

/// An organisation that resells, with credit, some of it a member's, and a bill for its call. Tells
/// the member's wallet.
async fn money(server: &Server, org: Uuid, member: Uuid, (name, call): (&str, &str)) -> String {
    use control::billing::book::By;
    use control::billing::settlement::{CallTerms, CallUsage, settle};
    use control::billing::wallet::Owner;
    use control::billing::{journal, wallets};
    let now = control::clock::now_us();
    let usage = CallUsage {
        terms: CallTerms {
            call: call.parse().unwrap(),
            org,
            owner: Some(member),
            agent: format!("belongs-to-{name}"),
            call_type: "phone".to_owned(),
            tariff: control::billing::rating::Tariff::default(),
            currency: "USD".to_owned(),
            markup_bps: 0,
            commission_bps: 0,
            payer: None,
        },
        duration_ms: 61_000,
        lines: Vec::new(),
    };
    let note = Some(format!("belongs-to-{name}"));
    let made = server.app.services().store.write(move |conn| {
        Box::pin(async move {
            control::store::sql(
                "UPDATE organisations SET org_type = 'channel_partner' WHERE id = $1",
            )
            .bind(org)
            .execute(conn)
            .await?;
            let section = control::config::BillingSection::default();
            let source = wallets::of_organisation(conn, org, &section, now).await?;
            let target = journal::ensure_wallet(conn, org, Owner::User(member), "USD", now).await?;
            let mut book = journal::open_book(conn, source, None).await?.unwrap();
            let terms = wallets::terms(None, note.clone());
            book.grant(
                now,
                1_000_000_000,
                terms,
                By::engine(format!("test {source}")),
            )
            .unwrap();
            journal::keep(conn, &book).await?;
            let by = By::engine(format!("test {target}"));
            let terms = wallets::terms(Some(now + 86_400_000_000), note);
            let way = (source, target);
            wallets::transfer(conn, way, (now, 5_000_000), terms, by)
                .await?
                .unwrap();
            settle(conn, &usage, now).await?;
            Ok(target)
        })
    });
    made.await.unwrap().to_string()
}

/// A call as a carrier would have brought it.
async fn call(server: &Server, admin: &Person, agent: &str, caller: &str) -> String {
    let store = &server.app.services().store;
    let id = Uuid::now_v7();
    let org = accounts::memberships(&mut store.read().await.unwrap(), admin.id)
        .await
        .unwrap()[0]
        .0;
    let boot = control::store::sql("SELECT id FROM boots LIMIT 1");
    let boot: String = store.fetch_one(boot).await.unwrap().get("id").unwrap();
    let insert = control::store::sql(
        "INSERT INTO calls (id, boot_id, agent_id, direction, carrier, caller, called, status, \
           started_at, answered_at, ended_at, outcome_class, outcome_reason, org_id) \
         VALUES ($1, $2, $3, 'inbound', 'sip', $4, '+15550100', 'ended', $5, $5, $6, 'completed', \
           'caller_hung_up', $7)",
    )
    .bind(id)
    .bind(boot)
    .bind(agent)
    .bind(caller)
    .bind(control::clock::now_us())
    .bind(control::clock::now_us() + 61_000_000)
    .bind(org);
    store.execute(insert).await.unwrap();
    id.to_string()
}

impl Person {
    /// Every way in which this person may ask for a route.
    pub fn proofs(&self, route: &Route) -> Vec<Proof> {
        let key = self.keys.get(route.product.name()).cloned().map(Proof::Key);
        match route.auth {
            Auth::None | Auth::RefreshCookie => vec![Proof::None],
            Auth::KeyOrBearer => {
                let session = Proof::Bearer(self.bearer.clone());
                key.into_iter().chain([session]).collect()
            }
            Auth::Bearer => vec![Proof::Bearer(self.bearer.clone())],
            Auth::CookieOrKey => {
                let session = Proof::Cookie(self.cookie.clone());
                key.into_iter().chain([session]).collect()
            }
            Auth::Cookie => vec![Proof::Cookie(self.cookie.clone())],
        }
    }

    pub fn session(&self, route: &Route) -> Proof {
        match (route.auth, route.product) {
            (Auth::None | Auth::RefreshCookie, _) => Proof::None,
            (_, Product::Vaani) => Proof::Cookie(self.cookie.clone()),
            _ => Proof::Bearer(self.bearer.clone()),
        }
    }
}

/// An example of a request to a route: path with query, and body.
pub fn example(route: &Route, org: &Organisation) -> (String, Value) {
    let thing = |name: &str| org.things[name].clone();
    let mut path = route.path.to_owned();
    for parameter in route.parameters() {
        let value = match (parameter, route.path) {
            ("agent_id", _) => thing("agent"),
            ("workflow_id", _) => thing("workflow"),
            ("slug", _) => thing("slug"),
            ("uuid", _) => thing("campaign"),
            ("batch_id", _) => thing("batch"),
            ("item_id", _) => thing("item"),
            ("id", path) if path.starts_with("/batch") => thing("vaani_batch"),
            ("webhook_id", _) => thing("webhook"),
            ("tool_id", path) if path.contains("mcp-server") => thing("mcp"),
            ("tool_id", _) => thing("tool"),
            ("voice_id", _) => thing_or_voice(),
            ("provider_id", _) => Uuid::now_v7().to_string(),
            ("user_id", _) => org.member.id.to_string(),
            ("wallet_id", _) => thing("wallet"),
            ("org_id", _) => org.id.to_string(),
            ("session_id", _) => thing("call"),
            ("key_id", _) => thing("key"),
            ("number", _) => org.number.replace('+', "%2B"),
            ("id", path) if path.starts_with("/organizations") => org.id.to_string(),
            ("uid", _) => org.leaver.to_string(),
            ("id", path) if path.starts_with("/workspaces") => org.id.to_string(),
            ("id", path) if path.starts_with("/endpoints") => thing("endpoint"),
            ("id", path) if path.starts_with("/agents") => thing("agent"),
            ("id", path) if path.starts_with("/calls") => thing("call"),
            (other, path) => panic!("no example of {other} in {path}"),
        };
        path = path.replace(&format!("{{{parameter}}}"), &value);
    }
    if route.path == "/api/v1/call-analytics/export" {
        path.push_str("?start_date=2020-01-01&end_date=2100-01-01");
    }
    let body = match (route.method, route.path) {
        ("POST", "/api/v1/batch-call/create") => json!({
            "agent_id": thing("workflow_agent"), "caller_phone_id": thing("line"),
            "batch_name": "Another", "calling_hours": "09:00-20:00",
        }),
        ("POST", "/api/v1/batch-call/{batch_id}/data/upsert") => json!({
            "items": [{ "to_phonenumber": "+15550100209", "variable_values": { "name": "x" } }],
        }),
        ("PATCH", "/api/v1/batch-call/{batch_id}/variables") => {
            json!({ "variable_names": ["name"] })
        }
        ("POST", "/api/v1/batch-call/upload-json/{batch_id}") => json!({
            "records": [{ "to_phonenumber": "+15550100210", "name": "belongs-still" }],
        }),
        ("POST", "/api/v/campaign/") => json!({ "name": Uuid::now_v7(), "active": false }),
        ("PUT", "/api/v/campaign/{slug}/") => json!({ "name": "belongs-still", "active": false }),
        ("PATCH", "/api/v/campaign/{slug}/") => json!({ "max_active_calls": 3 }),
        ("POST", "/api/v/prospect/{uuid}/") => json!({ "phone_number": "+15550100220" }),
        ("PATCH", "/batch/{id}") => json!({ "scheduled_time": "2098-01-01T00:00:00Z" }),
        ("POST", "/calls/outbound_call") => json!({
            "agent_phone_number": org.number, "phone_number_to_dial": "+15550100300",
        }),
        ("POST", "/api/v1/phone/mapping") => {
            json!({ "phone_number_id": thing("line"), "workflow_id": thing("workflow") })
        }
        ("POST", "/api/v1/agents") => json!({
            "agent": { "name": "Full", "workflow_id": thing("workflow") },
            "agent_specific_config": { "session_timeout": 60 },
            "transcriber_config": { "transcriber_model_name": "pocketsphinx", "language": ["en-US"] },
        }),
        ("POST", "/api/v1/agents/simple") => json!({ "name": "Simple" }),
        ("PUT", "/api/v1/agents/{agent_id}") => {
            json!({ "agent": { "description": "changed" }, "vad_config": { "threshold": 0.4 } })
        }
        ("POST", "/api/v1/agents/{agent_id}/rollback") => json!({ "version": 1 }),
        ("POST" | "PATCH", "/api/v1/agents/{agent_id}/tools") => {
            json!([{ "tool_id": thing("tool"), "type": "http", "config": { "timeout_ms": 900 } }])
        }
        ("POST", "/api/v1/webhooks") | ("PUT", "/api/v1/webhooks/{webhook_id}") => {
            json!({ "url": "https://hooks.example/belongs-still", "enabled": false })
        }
        ("POST", "/api/v1/webhooks/{webhook_id}/replay") => {
            json!({ "since": "2030-01-01T00:00:00Z" })
        }
        ("POST", "/api/v1/tool-endpoint-defs") => {
            json!({ "name": "look up", "url": "https://tools.example/x", "tool_schema": {} })
        }
        ("PUT", "/api/v1/tool-endpoint-defs/{tool_id}") => json!({ "name": "belongs-still",
            "url": "https://tools.example/{id}", "method": "GET", "headers": { "x-key": "***" } }),
        ("POST", "/api/v1/tool-endpoint-defs/{tool_id}/dry-run") => {
            json!({ "arguments": { "id": "7" } })
        }
        ("POST", "/api/v1/tools-mcp-server-defs")
        | ("PUT", "/api/v1/tools-mcp-server-defs/{tool_id}") => {
            json!({ "name": "belongs-still", "url": "http://127.0.0.1:9/mcp" })
        }
        ("POST", "/api/v1/workflows") => json!({ "name": "Clinic", "definition": clinic() }),
        ("POST", "/api/v1/workflows/check") => json!({ "definition": clinic() }),
        ("PUT", "/api/v1/workflows/{workflow_id}") => json!({ "name": "belongs-still" }),
        ("POST", "/api/v1/tts-voices") => {
            json!({ "provider_id": org.things["tts"], "voice_name": format!("voice {}", Uuid::now_v7()) })
        }
        ("PUT", "/api/v1/feature-flags/{user_id}") => json!({ "outbound": false }),
        ("POST", "/api/v1/api-keys") => json!({ "name": "more" }),
        ("POST", "/api/v1/api-keys/exists") => {
            json!({ "user_id": org.member.id, "provider_name": "openai" })
        }
        ("PATCH", "/api/v1/api-keys/{key_id}") => json!({ "name": "label" }),
        ("POST", "/endpoints") => {
            json!({ "name": "hook", "type": "webhook", "url": "https://hook.example/x" })
        }
        ("PATCH", "/endpoints/{id}") => json!({ "status": "inactive" }),
        ("POST", "/auth/login") => {
            json!({ "email": format!("{}", "admin@one.example"), "password": PASSWORD })
        }
        ("POST", "/auth/signup") => {
            json!({ "email": format!("{}@new.example", Uuid::now_v7()), "password": PASSWORD })
        }
        ("POST", "/auth/forgot-password") => json!({ "email": "nobody@nowhere.example" }),
        ("POST", "/agents") => json!({ "agent_name": "Flat", "LLM_provider": "open ai" }),
        ("PUT", "/agents/{id}") => json!({ "first_message": "Hello" }),
        ("POST", "/phonenumbers/sip_trunk") => {
            let digits = Uuid::now_v7().as_u128() % 1_000_000_000;
            json!({ "sip_address": "sip.example.org", "phone_number": format!("+1{digits:09}0") })
        }
        ("PUT", "/phonenumbers/map_agent") => {
            json!({ "phone_number": org.number, "agent_id": thing("agent") })
        }
        ("PUT", "/phonenumbers/update_sip/{number}") => json!({ "label": "belongs-still" }),
        ("POST", "/workspaces") => json!({ "name": "Another" }),
        ("POST", "/workspaces/switch") => json!({ "workspace_id": org.id }),
        ("PATCH", "/workspaces/{id}") => json!({ "name": "belongs-still" }),
        ("POST", "/workspaces/{id}/invite") => {
            json!({ "email": "guest@far.example", "role": "member" })
        }
        ("POST", "/api/v1/wallets/{wallet_id}/grants") => json!({ "amount_usd": 1.25 }),
        ("POST", "/api/v1/wallets/{wallet_id}/cap") => json!({ "monthly_cap_usd": 50 }),
        ("POST", "/api/v1/wallets/{wallet_id}/adjust") => {
            json!({ "amount_usd": -0.5, "reason": "counted wrong" })
        }
        ("POST", "/api/v1/orgs/{org_id}/business-model") => json!({ "org_type": "distributor" }),
        ("POST", "/api/v1/orgs/{org_id}/commission") => json!({ "commission_percentage": 5 }),
        ("POST", "/api/v1/orgs/{org_id}/markup") => {
            json!({ "markup_percentage": 12.5, "currency": "USD" })
        }
        ("POST", "/chats") => json!({ "agent_id": thing("workflow_agent"), "message": "hello" }),
        _ => Value::Null,
    };
    (path, body)
}

fn thing_or_voice() -> String {
    Uuid::nil().to_string()
}
