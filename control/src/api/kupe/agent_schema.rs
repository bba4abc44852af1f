//! The sections of an agent, as bodies and as answers.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::route::Fields as _;
use super::super::schema::{Field, Kind, Shape, may, need, shape};
use crate::agents::providers::{self, Part};
use crate::agents::stored::{AgentChange, StoredAgent};
use crate::clock::rfc3339;
use crate::config::Config;

const TEXT: Kind = Kind::Text(0, 200);
const PROMPT: Kind = Kind::Text(0, 100_000);

macro_rules! agent_fields {
    ($name:expr) => {
        &[
            $name,
            may("description", Kind::Text(0, 2_000)),
            may("is_active", Kind::Boolean),
            may("is_public", Kind::Boolean),
            may("recording_enabled", Kind::Boolean),
            may("first_response_message", Kind::Text(0, 5_000)),
            may("welcome_message", Kind::Text(0, 5_000)),
            may("apply_noise_reduction", Kind::Boolean),
            may("workflow_id", Kind::Uuid),
        ]
    };
}

static AGENT: Shape = shape("AgentPart", agent_fields!(need("name", Kind::Text(1, 200))));
static AGENT_CHANGE: Shape = shape(
    "AgentPartChange",
    agent_fields!(may("name", Kind::Text(1, 200))),
);
static MODEL: Shape = shape(
    "AgentModel",
    &[
        may("model_name", TEXT),
        may("model_provider_id", TEXT),
        may("temperature", Kind::Number(0.0, 2.0)),
        may("max_tokens", Kind::Integer(1, 32_768)),
        may("system_prompt", PROMPT),
    ],
);
static TTS: Shape = shape(
    "AgentVoice",
    &[
        may("tts_model_name", TEXT),
        may("tts_provider_id", TEXT),
        may("language", Kind::Any),
        may("voice_name", TEXT),
        may("voice_parameters", Kind::Map),
    ],
);
static STT: Shape = shape(
    "AgentTranscriber",
    &[
        may("transcriber_model_name", TEXT),
        may("provider_id", TEXT),
        may("language", Kind::Any),
    ],
);
static VAD: Shape = shape(
    "AgentVoiceActivity",
    &[
        may("vad_provider_id", TEXT),
        may("threshold", Kind::Number(0.0, 1.0)),
        may("min_speech_duration_ms", Kind::Integer(0, 10_000)),
        may("min_silence_duration_ms", Kind::Integer(0, 10_000)),
        may("max_allowed_silence_duration", Kind::Number(0.0, 3_600.0)),
        may("sampling_rate", Kind::Integer(8_000, 48_000)),
    ],
);
static TRANSFER_ROUTE: Shape = shape(
    "TransferRoute",
    &[
        may("route_id", TEXT),
        may("display_name", TEXT),
        may("enabled", Kind::Boolean),
        may("condition_when_to_transfer", Kind::Text(0, 2_000)),
        need("phone_number", Kind::Phone),
    ],
);
static MORE: Shape = shape(
    "AgentSpecific",
    &[
        may("session_timeout", Kind::Integer(1, 86_400)),
        may("end_of_speech_timeout", Kind::Number(0.0, 60.0)),
        may("llm_conversation_stop_enabled", Kind::Boolean),
        may("auto_terminate_call", Kind::Boolean),
        may("caller_gender_detection_enabled", Kind::Boolean),
        may("max_output_tokens", Kind::Integer(1, 32_768)),
        may("timezone", TEXT),
        may(
            "inbound_transfer_routes",
            Kind::List(&Kind::Object(&TRANSFER_ROUTE), 50),
        ),
        may("time_to_cut", Kind::Integer(0, 86_400)),
        may("message_of_cut", Kind::Text(0, 2_000)),
        may(
            "end_call_message_mode",
            Kind::OneOf(&["fixed", "context_aware"]),
        ),
        may("noise_cancellation_strength", Kind::Integer(0, 100)),
        may("background_noise_id", TEXT),
        may("background_noise_volume", Kind::Integer(0, 100)),
        may("conversation_stop_words", Kind::List(&TEXT, 100)),
    ],
);

const SECTIONS: [Field; 5] = [
    may("agent_model_config", Kind::Object(&MODEL)),
    may("tts_config", Kind::Object(&TTS)),
    may("transcriber_config", Kind::Object(&STT)),
    may("vad_config", Kind::Object(&VAD)),
    may("agent_specific_config", Kind::Object(&MORE)),
];

pub(super) static CREATE: Shape = shape(
    "AgentCreate",
    &[
        need("agent", Kind::Object(&AGENT)),
        SECTIONS[0],
        SECTIONS[1],
        SECTIONS[2],
        SECTIONS[3],
        SECTIONS[4],
    ],
);
pub(super) static UPDATE: Shape = shape(
    "AgentUpdate",
    &[
        may("agent", Kind::Object(&AGENT_CHANGE)),
        SECTIONS[0],
        SECTIONS[1],
        SECTIONS[2],
        SECTIONS[3],
        SECTIONS[4],
    ],
);

static AGENT_ANSWER: Shape = shape(
    "Agent",
    &[
        need("id", Kind::Uuid),
        need("name", Kind::Text(0, 0)),
        need("user_id", Kind::Uuid),
        need("is_active", Kind::Boolean),
        need("is_public", Kind::Boolean),
        need("version", Kind::Integer(1, i64::MAX)),
        need("created_at", Kind::Time),
        need("updated_at", Kind::Time),
    ],
);
static CONFIGURATIONS: Shape = shape(
    "AgentConfigurations",
    &[
        need("model_config", Kind::Map),
        need("tts_config", Kind::Map),
        need("transcriber_config", Kind::Map),
        need("vad_config", Kind::Map),
        need("inferencing_config", Kind::Map),
        need("tools", Kind::List(&Kind::Map, 0)),
        need("agent_specific_config", Kind::Map),
    ],
);
pub(super) static WHOLE: Shape = shape(
    "WholeAgent",
    &[
        need("agent", Kind::Object(&AGENT_ANSWER)),
        need("configurations", Kind::Object(&CONFIGURATIONS)),
    ],
);
pub(super) const SUMMARY: Kind = Kind::Object(&AGENT_ANSWER);

/// What a body asks for, with providers found in the catalogue.
pub(super) fn read(config: &Config, body: &Map<String, Value>) -> Result<AgentChange, Failure> {
    let mut change = AgentChange::default();
    for field in SECTIONS.iter().map(|field| field.name).chain(["agent"]) {
        if let Some(Value::Object(section)) = body.value(field) {
            change
                .sections
                .insert(field.to_owned(), Value::Object(section.clone()));
        }
    }
    if let Some(Value::Object(agent)) = change.sections.get_mut("agent") {
        change.name = agent.owned("name");
        change.active = agent.flag("is_active");
        change.public = agent.flag("is_public");
        if let Some(message) = agent.remove("welcome_message") {
            agent.entry("first_response_message").or_insert(message);
        }
        for kept_as_column in ["name", "is_active", "is_public"] {
            agent.remove(kept_as_column);
        }
    }
    resolve_parts(config, &mut change.sections)?;
    Ok(change)
}

/// Replaces what a client calls a provider by the name this installation knows it by.
pub(in crate::api) fn resolve_parts(
    config: &Config,
    sections: &mut Map<String, Value>,
) -> Result<(), Failure> {
    for (section, names, part) in [
        (
            "agent_model_config",
            ["model_name", "model_provider_id"],
            Part::Model,
        ),
        (
            "tts_config",
            ["tts_model_name", "tts_provider_id"],
            Part::Tts,
        ),
        (
            "transcriber_config",
            ["transcriber_model_name", "provider_id"],
            Part::Stt,
        ),
        (
            "vad_config",
            ["vad_provider_id", "vad_model_name"],
            Part::Vad,
        ),
    ] {
        let Some(Value::Object(values)) = sections.get_mut(section) else {
            continue;
        };
        for name in names {
            let Some(given) = values.owned(name).filter(|given| !given.is_empty()) else {
                continue;
            };
            let path = format!("{section}.{name}");
            let found = providers::find(config, part, &given).ok_or_else(|| {
                let message =
                    "is not in the catalogue of this installation; see /api/v1/providers/all";
                Failure::field(&path, "unknown_provider", message)
            })?;
            values.insert("provider_name".to_owned(), json!(found.provider));
            values.insert(names[0].to_owned(), json!(found.model));
            break;
        }
        one_language(section, values)?;
    }
    if let Some(Value::Object(more)) = sections.get("agent_specific_config")
        && let Some(zone) = more.text("timezone")
        && zone.parse::<chrono_tz::Tz>().is_err()
    {
        let path = "agent_specific_config.timezone";
        return Err(Failure::field(path, "timezone", "is not an IANA time zone"));
    }
    Ok(())
}

/// A list of one language is as good as the language.
fn one_language(section: &str, values: &mut Map<String, Value>) -> Result<(), Failure> {
    let language = match values.value("language") {
        None => return Ok(()),
        Some(Value::Array(several)) if several.len() == 1 => several[0].clone(),
        Some(language) => language.clone(),
    };
    let fits = language
        .as_str()
        .is_some_and(|text| (1..=35).contains(&text.len()));
    if !fits {
        let path = format!("{section}.language");
        return Err(Failure::field(
            &path,
            "language",
            "must be a language tag like en-US",
        ));
    }
    values.insert("language".to_owned(), language);
    Ok(())
}

/// The workflow a change wants the agent to follow.
pub(super) fn wanted_workflow(change: &AgentChange) -> Option<Uuid> {
    match change.sections.get("agent") {
        Some(Value::Object(agent)) => agent.uuid("workflow_id"),
        _ => None,
    }
}

/// Kupe's short form.
pub(super) fn summary(agent: &StoredAgent) -> Value {
    let mut summary = agent.section("agent");
    for (name, value) in [
        ("id", json!(agent.id)),
        ("name", json!(agent.name)),
        ("user_id", json!(agent.owner)),
        ("is_active", json!(agent.active)),
        ("is_public", json!(agent.public)),
        ("version", json!(agent.version)),
        ("created_at", json!(rfc3339(agent.created_at))),
        ("updated_at", json!(rfc3339(agent.updated_at))),
    ] {
        summary.insert(name.to_owned(), value);
    }
    Value::Object(summary)
}

/// Kupe's long form.
pub(super) fn whole(agent: &StoredAgent) -> Value {
    json!({
        "agent": summary(agent),
        "configurations": {
            "model_config": agent.section("agent_model_config"),
            "tts_config": agent.section("tts_config"),
            "transcriber_config": agent.section("transcriber_config"),
            "vad_config": agent.section("vad_config"),
            "inferencing_config": {},
            "tools": [],
            "agent_specific_config": agent.section("agent_specific_config"),
        },
    })
}
