//! What this installation can recognise, answer and speak with.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::config::Config;

/// The parts of an agent that come from providers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Language model.
    Model,
    /// Voice.
    Tts,
    /// Recogniser.
    Stt,
    /// Voice activity detector.
    Vad,
}

/// An entry of the catalogue.
#[derive(Clone, Debug)]
pub struct Provider {
    /// The same on every start.
    pub id: Uuid,
    /// What it does.
    pub part: Part,
    /// The name the configuration knows it by.
    pub provider: String,
    /// Its model.
    pub model: String,
    /// BCP 47 tags; empty for any.
    pub languages: &'static [&'static str],
    /// Whether agents that name none get it.
    pub is_default: bool,
}

/// A voice.
#[derive(Clone, Debug)]
pub struct Voice {
    /// The same on every start.
    pub id: Uuid,
    /// Entry of the catalogue it belongs to.
    pub provider: Uuid,
    /// Name.
    pub name: String,
    /// BCP 47 tag.
    pub language: Option<String>,
    /// `female` or `male`.
    pub gender: Option<String>,
    /// Where it can be heard.
    pub sample_url: Option<String>,
}

/// Everything this installation can use.
#[must_use]
pub fn catalogue(config: &Config) -> Vec<Provider> {
    let entry = |part, provider: &str, model: &str, languages, default: &str| Provider {
        id: id(&format!("{part:?}/{provider}/{model}")),
        part,
        provider: provider.to_owned(),
        model: model.to_owned(),
        languages,
        is_default: provider == default,
    };
    let mut entries = vec![
        entry(
            Part::Model,
            "openai",
            &config.llm.openai.model,
            &[],
            config.llm.provider.first(),
        ),
        entry(Part::Vad, "earshot", "earshot", &[], "earshot"),
    ];
    if cfg!(feature = "embedded-speech") {
        let english: &[&str] = &["en-US"];
        entries.push(entry(
            Part::Stt,
            "pocketsphinx",
            "pocketsphinx",
            english,
            config.stt.provider.first(),
        ));
        entries.push(entry(
            Part::Tts,
            "flite",
            "flite",
            english,
            config.tts.provider.first(),
        ));
    }
    for (part, providers, default) in [
        (Part::Model, &config.llm.providers, &config.llm.provider),
        (Part::Stt, &config.stt.providers, &config.stt.provider),
        (Part::Tts, &config.tts.providers, &config.tts.provider),
    ] {
        entries.retain(|e| e.part != part || !providers.contains_key(&e.provider));
        entries.extend(providers.iter().map(|(name, remote)| {
            let model = if remote.model.is_empty() {
                name
            } else {
                &remote.model
            };
            entry(part, name, model, &[], default.first())
        }));
    }
    entries
}

/// The voices that come with the embedded voice.
#[must_use]
pub fn voices(config: &Config) -> Vec<Voice> {
    let flite = catalogue(config)
        .into_iter()
        .find(|p| p.part == Part::Tts && p.provider == "flite");
    let Some(flite) = flite else {
        return Vec::new();
    };
    [
        ("slt", "en-US", "female"),
        ("rms", "en-US", "male"),
        ("awb", "en-GB", "male"),
        ("kal16", "en-US", "male"),
    ]
    .into_iter()
    .map(|(name, language, gender)| Voice {
        id: id(&format!("voice/flite/{name}")),
        provider: flite.id,
        name: name.to_owned(),
        language: Some(language.to_owned()),
        gender: Some(gender.to_owned()),
        sample_url: None,
    })
    .collect()
}

/// The entry that a client names by id, by model or by provider, in that order.
#[must_use]
pub fn find(config: &Config, part: Part, name: &str) -> Option<Provider> {
    let entries: Vec<Provider> = catalogue(config)
        .into_iter()
        .filter(|entry| entry.part == part)
        .collect();
    let wanted = loose(name);
    let by_id = |entry: &&Provider| entry.id.to_string() == name;
    let by_model = |entry: &&Provider| entry.model == name;
    let by_provider = |entry: &&Provider| loose(&entry.provider) == wanted;
    let found = entries
        .iter()
        .find(by_id)
        .or_else(|| entries.iter().find(by_model));
    found.or_else(|| entries.iter().find(by_provider)).cloned()
}

/// Clients write `open ai`, `Open-AI`, `openai`.
fn loose(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// An id that follows from a name (RFC 9562 §5.8).
fn id(name: &str) -> Uuid {
    let hash = Sha256::digest(format!("samvad/catalogue/{name}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

impl Provider {
    /// As Kupe publishes it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "provider_name": self.provider,
            "model_name": self.model,
            "supported_languages": self.languages,
            "is_default": self.is_default,
            "is_available": true,
        })
    }
}

impl Voice {
    /// As Kupe publishes it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "provider_id": self.provider,
            "voice_name": self.name,
            "language": self.language,
            "gender": self.gender,
            "sample_url": self.sample_url,
        })
    }
}
