//! The language models there are, by name.

use std::sync::Arc;

use crate::llm::LanguageModel;
use crate::provider_error::ProviderError;
use crate::providers::anthropic_llm::AnthropicModel;
use crate::providers::gemini_llm::GeminiModel;
use crate::providers::openai_llm::{OpenAiConfig, OpenAiModel};
use crate::providers::settings::ProviderSettings;

/// Names of all remote language models, as configuration and metrics use them.
pub const LLM_KINDS: [&str; 3] = ["anthropic", "gemini", "openai"];

/// The model provider `kind` with these settings. Connects to nothing yet.
///
/// # Errors
/// [`ProviderError::Unavailable`] for an unknown kind, [`ProviderError::Rejected`] naming the
/// setting that is wrong.
pub fn model(
    kind: &str,
    settings: ProviderSettings,
) -> Result<Arc<dyn LanguageModel>, ProviderError> {
    Ok(match kind {
        "anthropic" => Arc::new(AnthropicModel::new(settings)?),
        "gemini" => Arc::new(GeminiModel::new(settings)?),
        "openai" => Arc::new(OpenAiModel::new(openai(&settings)?)?),
        other => {
            return Err(ProviderError::Unavailable(format!(
                "there is no language model `{other}`"
            )));
        }
    })
}

/// Options of the OpenAI-compatible adapter are its own settings.
fn openai(settings: &ProviderSettings) -> Result<OpenAiConfig, ProviderError> {
    let options = serde_json::to_value(&settings.options)
        .map_err(|error| ProviderError::Rejected(format!("options: {error}")))?;
    let mut config: OpenAiConfig = serde_json::from_value(options)
        .map_err(|error| ProviderError::Rejected(format!("options: {error}")))?;
    if !settings.base_url.is_empty() {
        config.base_url.clone_from(&settings.base_url);
    }
    if !settings.model.is_empty() {
        config.model.clone_from(&settings.model);
    }
    config.api_key.clone_from(&settings.api_key);
    Ok(config)
}
