//! A whole server in the test's process, with scripted services instead of real ones.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file uses its own part of it"
)]

use std::sync::Arc;
use std::time::Duration;

use control::agents::{Agent, AgentCatalogue};
use control::app::App;
use control::config::Config;
use pipeline::call::AgentProfile;
use pipeline::testing::llm::{Reply, ScriptedModel};
use pipeline::testing::stt::ScriptedEars;
use pipeline::testing::tools::ScriptedTools;
use pipeline::testing::tts::ScriptedVoice;
use serde_json::Value;

/// What the agent `greeter` opens with.
pub const GREETING: &str = "Hello and welcome.";
/// Token of the API.
pub const TOKEN: &str = "test-token-of-some-length";
/// Longest wait for anything.
const WAIT_MAX: Duration = Duration::from_secs(20);

pub struct Server {
    pub app: App,
    pub client: reqwest::Client,
    pub _dir: tempfile::TempDir,
}

/// A server with the agent `greeter` and these further settings (TOML).
pub async fn server(settings: &str) -> Server {
    let dir = tempfile::tempdir().expect("scratch folder");
    let (server_settings, rest) = settings.split_once("---\n").unwrap_or(("", settings));
    let text = format!(
        "data_dir = {:?}\n\
         [server]\nhttp = \"127.0.0.1:0\"\napi_token = \"{TOKEN}\"\n{server_settings}\n\
         [sip]\nbind = \"127.0.0.1:0\"\n\
         [[agents]]\nid = \"greeter\"\n[agents.llm]\n{rest}",
        dir.path().join("data")
    );
    let config = Config::from_toml(&text, &[], dir.path()).expect("settings are valid");
    let app = App::start_with(config, |_, _| {
        let mut model = ScriptedModel::new([]);
        model.otherwise = Reply::say(GREETING);
        Ok(AgentCatalogue::new([greeter(model)]))
    })
    .await
    .expect("server starts");
    Server {
        app,
        client: reqwest::Client::new(),
        _dir: dir,
    }
}

impl Server {
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.app.http_address())
    }

    pub fn socket_url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.app.http_address())
    }

    /// A POST of form fields.
    pub fn post_form(&self, path: &str, fields: &[(String, String)]) -> reqwest::RequestBuilder {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let kind = "application/x-www-form-urlencoded";
        let request = self.client.post(self.url(path));
        request.header("content-type", kind).body(body)
    }

    /// An authorized GET of JSON.
    pub async fn get(&self, path: &str) -> Value {
        let reply = self.client.get(self.url(path)).bearer_auth(TOKEN).send();
        let text = reply.await.expect("answer").text().await.expect("text");
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path} is not JSON: {text}"))
    }

    /// The only call there is, once it has ended.
    pub async fn ended_call(&self) -> Value {
        let ended = async {
            loop {
                let calls = self.get("/v1/calls?status=ended").await;
                if let Some(id) = calls["calls"][0]["id"].as_str() {
                    return self.get(&format!("/v1/calls/{id}")).await;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(WAIT_MAX, ended)
            .await
            .expect("the call ends")
    }
}

fn greeter(model: ScriptedModel) -> Agent {
    Agent {
        id: "greeter".to_owned(),
        name: "Greeter".to_owned(),
        organisation: Agent::CONFIGURED,
        profile: AgentProfile {
            first_message: None,
            model_opens: true,
            system_prompt: String::new(),
            language: "en-US".to_owned(),
            voice: String::new(),
            speed: 1.0,
            time_zone: "UTC".to_owned(),
            tools: Vec::new(),
            call_duration_max: Duration::from_secs(300),
            silence_prompt_after: Duration::from_secs(30),
            silence_prompts_max: 2,
        },
        stt: Arc::new(ScriptedEars {
            script: Vec::new(),
            final_after: Duration::from_millis(100),
            partials: false,
        }),
        llm: Arc::new(model),
        tts: Arc::new(ScriptedVoice::default()),
        tools: Arc::new(ScriptedTools::default()),
        transfer_targets: Vec::new(),
    }
}
