//! From files and environment to a resolved [`Config`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::sections::{AgentSection, File};
use super::{Config, WorkflowSource, normalize_number};

/// The workflow of the built-in agent `clinic`.
pub const EMBEDDED_WORKFLOW: &str = include_str!("../../../fixtures/workflows/clinic.toml");
const EMBEDDED_AGENT: &str = "clinic";
const VARIABLE_PREFIX: &str = "SAMVAD_";
/// Longest id of an agent or workflow.
const ID_LEN_MAX: usize = 64;

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not valid TOML, names an unknown key or has a value of the wrong kind.
    #[error("{origin}: {message}")]
    Malformed {
        /// The file.
        origin: String,
        /// What and where.
        message: String,
    },
    /// An environment variable names an unknown key or has a value of the wrong kind.
    #[error("environment variable {variable}: {message}")]
    Variable {
        /// Its name.
        variable: String,
        /// What is wrong.
        message: String,
    },
    /// Each value is fine by itself, but they do not go together.
    #[error("{key}: {message}")]
    Inconsistent {
        /// The key.
        key: String,
        /// What is wrong.
        message: String,
    },
}

pub(super) fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
    let variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with(VARIABLE_PREFIX))
        .collect();
    let default = Path::new("samvad.toml");
    let path = path.or_else(|| default.exists().then_some(default));
    let Some(path) = path else {
        return from_toml("built-in configuration", "", &variables, Path::new("."));
    };
    let text = read(path)?;
    let base = path.parent().unwrap_or(Path::new("."));
    from_toml(&path.display().to_string(), &text, &variables, base)
}

pub(super) fn from_toml(
    origin: &str,
    text: &str,
    variables: &[(String, String)],
    base: &Path,
) -> Result<Config, ConfigError> {
    let malformed = |error: toml::de::Error| ConfigError::Malformed {
        origin: origin.to_owned(),
        message: error.to_string(),
    };
    // Read as a whole first, so that a mistake in the file is reported with its line.
    toml::from_str::<File>(text).map_err(malformed)?;
    let mut table: Table = toml::from_str(text).map_err(malformed)?;
    for (name, value) in variables {
        table = apply_variable(table, name, value)?;
    }
    let file = File::deserialize_table(table).map_err(malformed)?;
    resolve(file, base)
}

impl File {
    fn deserialize_table(table: Table) -> Result<Self, toml::de::Error> {
        serde::Deserialize::deserialize(Value::Table(table))
    }
}

/// Sets one key. The value is taken as a string where the key takes one, else as a TOML value.
fn apply_variable(table: Table, name: &str, value: &str) -> Result<Table, ConfigError> {
    let wrong = |message: String| ConfigError::Variable {
        variable: name.to_owned(),
        message,
    };
    let path: Vec<String> = name[VARIABLE_PREFIX.len()..]
        .split("__")
        .map(str::to_ascii_lowercase)
        .collect();
    let set = |value: Value| -> Result<Table, String> {
        let mut table = table.clone();
        set_path(&mut table, &path, value)?;
        Ok(table)
    };
    let as_string = set(Value::String(value.to_owned())).map_err(wrong)?;
    let Err(string_error) = File::deserialize_table(as_string.clone()) else {
        return Ok(as_string);
    };
    let parsed = toml::from_str::<Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut table| table.remove("value"));
    let Some(parsed) = parsed else {
        return Err(wrong(string_error.message().to_owned()));
    };
    let as_value = set(parsed).map_err(wrong)?;
    match File::deserialize_table(as_value.clone()) {
        Ok(_) => Ok(as_value),
        Err(error) => Err(wrong(error.message().to_owned())),
    }
}

fn set_path(table: &mut Table, path: &[String], value: Value) -> Result<(), String> {
    let Some((last, parents)) = path.split_last() else {
        return Err("no key given".to_owned());
    };
    let mut current = table;
    for parent in parents {
        let entry = current
            .entry(parent.clone())
            .or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(next) = entry else {
            return Err(format!("`{parent}` is not a section"));
        };
        current = next;
    }
    current.insert(last.clone(), value);
    Ok(())
}

fn resolve(file: File, base: &Path) -> Result<Config, ConfigError> {
    let mut workflows = BTreeMap::new();
    let mut agents: BTreeMap<String, AgentSection> = BTreeMap::new();
    for workflow in &file.workflows {
        check_id("workflows.id", &workflow.id)?;
        let path = base.join(&workflow.path);
        let source = WorkflowSource {
            origin: path.display().to_string(),
            text: read(&path)?,
        };
        if workflows.insert(workflow.id.clone(), source).is_some() {
            return Err(inconsistent(
                "workflows.id",
                format!("`{}` is there twice", workflow.id),
            ));
        }
    }
    if file.agents.is_empty() {
        workflows
            .entry(EMBEDDED_AGENT.to_owned())
            .or_insert_with(|| WorkflowSource {
                origin: "built-in clinic.toml".to_owned(),
                text: EMBEDDED_WORKFLOW.to_owned(),
            });
        agents.insert(EMBEDDED_AGENT.to_owned(), embedded_agent());
    }
    for agent in file.agents {
        check_agent(&agent, &workflows)?;
        if agents.contains_key(&agent.id) {
            return Err(inconsistent(
                "agents.id",
                format!("`{}` is there twice", agent.id),
            ));
        }
        agents.insert(agent.id.clone(), agent);
    }
    let mut numbers = BTreeMap::new();
    for entry in file.numbers {
        let number = normalize_number(&entry.number).ok_or_else(|| {
            inconsistent(
                "numbers.number",
                format!("`{}` is not a telephone number", entry.number),
            )
        })?;
        if !agents.contains_key(&entry.agent) {
            return Err(inconsistent(
                "numbers.agent",
                format!("there is no agent `{}`", entry.agent),
            ));
        }
        if numbers.insert(number, entry.agent).is_some() {
            return Err(inconsistent(
                "numbers.number",
                format!("`{}` is there twice", entry.number),
            ));
        }
    }
    let mut server = file.server;
    server.public_url = server.public_url.map(|u| check_url(&u)).transpose()?;
    if server.calls_max == 0 {
        return Err(inconsistent("server.calls_max", "must be at least 1"));
    }
    if server
        .api_token
        .as_ref()
        .is_some_and(|t| t.reveal().len() < 16)
    {
        return Err(inconsistent(
            "server.api_token",
            "must have at least 16 characters",
        ));
    }
    super::sip::check(&file.sip, &file.trunks)
        .map_err(|(key, message)| inconsistent(key, message))?;
    super::billing::check(&file.billing).map_err(|(key, message)| inconsistent(key, message))?;
    for trunk in &file.trunks {
        if let Some(agent) = &trunk.agent
            && !agents.contains_key(agent)
        {
            return Err(inconsistent(
                format!("trunks.{}.agent", trunk.name),
                format!("there is no agent `{agent}`"),
            ));
        }
    }
    if file.carriers.exotel.key.is_some() != file.carriers.exotel.token.is_some() {
        return Err(inconsistent(
            "carriers.exotel",
            "`key` and `token` go together",
        ));
    }
    Ok(Config {
        data_dir: file.data_dir,
        server,
        database: file.database,
        identity: file.identity,
        openness: file.openness,
        limits: file.limits,
        billing: file.billing,
        livekit: file.livekit,
        webrtc: file.webrtc,
        log: file.log,
        sip: file.sip,
        trunks: file.trunks,
        endpoints: file.endpoints,
        media: file.media,
        carriers: file.carriers,
        recording: file.recording,
        stt: file.stt,
        tts: file.tts,
        llm: file.llm,
        tools: file.tools,
        outbound: file.outbound,
        campaigns: file.campaigns,
        agents,
        workflows,
        numbers,
    })
}

fn embedded_agent() -> AgentSection {
    let text = format!(
        "id = \"{EMBEDDED_AGENT}\"\nname = \"Clinic appointments\"\nworkflow = \"{EMBEDDED_AGENT}\""
    );
    toml::from_str(&text).expect("the built-in agent is a valid agent; a test loads it")
}

fn check_agent(
    agent: &AgentSection,
    workflows: &BTreeMap<String, WorkflowSource>,
) -> Result<(), ConfigError> {
    check_id("agents.id", &agent.id)?;
    let key = |field: &str| format!("agents.{}.{field}", agent.id);
    match (&agent.workflow, &agent.llm) {
        (Some(workflow), None) if !workflows.contains_key(workflow) => Err(inconsistent(
            key("workflow"),
            format!("there is no workflow `{workflow}`"),
        )),
        (Some(_), None) | (None, Some(_)) => Ok(()),
        (Some(_), Some(_)) | (None, None) => Err(inconsistent(
            key("workflow"),
            "an agent has either a `workflow` or an `llm`",
        )),
    }?;
    if agent.time_zone.parse::<chrono_tz::Tz>().is_err() {
        return Err(inconsistent(
            key("time_zone"),
            format!("`{}` is not an IANA time zone", agent.time_zone),
        ));
    }
    if !(0.25..=4.0).contains(&agent.speed) {
        return Err(inconsistent(key("speed"), "must lie between 0.25 and 4.0"));
    }
    if agent.call_duration_max.as_secs() < 30 {
        return Err(inconsistent(
            key("call_duration_max"),
            "must be at least 30s, the length of the spoken warning before the end",
        ));
    }
    Ok(())
}

fn check_id(key: &str, id: &str) -> Result<(), ConfigError> {
    let fine = !id.is_empty()
        && id.len() <= ID_LEN_MAX
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if fine {
        return Ok(());
    }
    Err(inconsistent(
        key,
        format!(
            "`{id}` must have 1 to {ID_LEN_MAX} characters out of a-z, A-Z, 0-9, `-`, `_`, `.`"
        ),
    ))
}

fn check_url(text: &str) -> Result<String, ConfigError> {
    let wrong = |message: &str| {
        inconsistent(
            "server.public_url",
            format!("`{text}` {message}; write for example \"https://voice.example.org\""),
        )
    };
    let url = url::Url::parse(text).map_err(|_| wrong("is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong("must begin with http:// or https:// and a host"));
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(wrong("must be scheme, host, port and path only"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

fn inconsistent(key: impl Into<String>, message: impl Into<String>) -> ConfigError {
    ConfigError::Inconsistent {
        key: key.into(),
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::SipCodec;

    fn load_text(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let variables: Vec<_> = variables
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        from_toml("test.toml", text, &variables, Path::new("."))
    }

    #[test]
    fn without_a_file_the_clinic_agent_answers() {
        let config = load_text("", &[]).unwrap();
        assert_eq!(config.agent_for("clinic").unwrap().id, "clinic");
        assert!(config.agent_for("somebody").is_none());
        assert!(config.workflows.contains_key("clinic"));
        assert!(config.server.http.ip().is_loopback());
    }

    #[test]
    fn the_example_file_is_valid_and_complete() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let text = std::fs::read_to_string(root.join("docs/config.example.toml")).unwrap();
        from_toml("config.example.toml", &text, &[], &root).unwrap();
        // Every line that is commented out is a setting too, and must be one that exists.
        let uncommented: String = text
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .collect::<Vec<_>>()
            .join("\n");
        from_toml("config.example.toml, all lines", &uncommented, &[], &root).unwrap();
    }

    #[test]
    fn providers_come_in_lists_and_their_keys_from_the_environment() {
        let text = "[stt]\nprovider = [\"ears\", \"pocketsphinx\"]\n\
                    [stt.providers.ears]\nkind = \"deepgram\"\noptions = { endpointing = 100 }";
        let key = ("SAMVAD_STT__PROVIDERS__EARS__API_KEY", "s3cret-key");
        let config = load_text(text, &[key]).unwrap();
        assert_eq!(config.stt.provider.as_slice(), ["ears", "pocketsphinx"]);
        let ears = &config.stt.providers["ears"];
        assert_eq!(ears.kind.as_deref(), Some("deepgram"));
        assert_eq!(ears.options["endpointing"], 100);
        assert!(ears.api_key.as_ref().unwrap().matches(b"s3cret-key"));
        assert!(!format!("{config:?}").contains("s3cret-key"));
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        let error = load_text("[server]\nhtpp = \"127.0.0.1:1\"", &[]).unwrap_err();
        assert!(error.to_string().contains("htpp"), "{error}");
        let error = load_text("", &[("SAMVAD_SERVER__HTPP", "x")]).unwrap_err();
        assert!(error.to_string().contains("SAMVAD_SERVER__HTPP"), "{error}");
        assert!(error.to_string().contains("htpp"), "{error}");
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let config = load_text(
            "[server]\ncalls_max = 3\n[sip]\nbind = \"127.0.0.1:5070\"",
            &[
                ("SAMVAD_SERVER__CALLS_MAX", "7"),
                ("SAMVAD_DATA_DIR", "/var/lib/samvad"),
                ("SAMVAD_CARRIERS__TWILIO__AUTH_TOKEN", "12345"),
                ("SAMVAD_RECORDING__ENABLED", "false"),
                ("SAMVAD_SIP__CODECS", "[\"pcma\"]"),
                ("SAMVAD_MEDIA__SILENCE_TIMEOUT", "300ms"),
            ],
        )
        .unwrap();
        assert_eq!(config.server.calls_max, 7);
        assert_eq!(config.data_dir, Path::new("/var/lib/samvad"));
        assert_eq!(config.sip.bind.port(), 5070);
        assert_eq!(config.sip.codecs, [SipCodec::Pcma]);
        assert!(!config.recording.enabled);
        assert_eq!(config.media.silence_timeout, Duration::from_millis(300));
        let token = config.carriers.twilio.auth_token.unwrap();
        assert_eq!(token.reveal(), "12345");
    }

    #[test]
    fn references_must_hold() {
        for (text, key) in [
            ("[[agents]]\nid = \"a\"", "agents.a.workflow"),
            ("[[agents]]\nid = \"a b\"\nworkflow = \"x\"", "agents.id"),
            (
                "[[agents]]\nid = \"a\"\nworkflow = \"x\"",
                "agents.a.workflow",
            ),
            (
                "[[numbers]]\nnumber = \"1\"\nagent = \"x\"",
                "numbers.agent",
            ),
            (
                "[[numbers]]\nnumber = \"one\"\nagent = \"clinic\"",
                "numbers.number",
            ),
            ("[server]\npublic_url = \"ftp://x\"", "server.public_url"),
            ("[carriers.exotel]\nkey = \"x\"", "carriers.exotel"),
            (
                "[[agents]]\nid = \"a\"\ntime_zone = \"Mars\"\n[agents.llm]\nprompt = \"x\"",
                "agents.a.time_zone",
            ),
        ] {
            let error = load_text(text, &[]).unwrap_err();
            assert!(error.to_string().starts_with(key), "{text}: {error}");
        }
    }

    #[test]
    fn numbers_are_found_however_they_are_written() {
        let config = load_text(
            "[[numbers]]\nnumber = \"+1 (555) 010-0100\"\nagent = \"clinic\"",
            &[],
        )
        .unwrap();
        for number in ["+15550100100", "15550100100", "+1-555-010-0100"] {
            assert!(config.agent_for(number).is_some(), "{number}");
        }
        assert!(config.agent_for("5550100100").is_none());
        assert!(config.agent_for("").is_none());
    }

    #[test]
    fn secrets_do_not_appear_when_the_configuration_is_printed() {
        let config = load_text(
            "[server]\napi_token = \"a-very-secret-token\"\n[llm.openai]\napi_key = \"sk-1\"",
            &[],
        )
        .unwrap();
        let printed = toml::to_string_pretty(&config).unwrap();
        assert!(printed.contains("api_token = \"***\""), "{printed}");
        assert!(!printed.contains("sk-1"));
        assert!(!format!("{config:?}").contains("a-very-secret-token"));
    }
}
