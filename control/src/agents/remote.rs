//! Remote providers of the configuration as the adapters take them.

use pipeline::providers::settings::ProviderSettings;
use pipeline::secret::Secret;

use crate::config::{OpenAiSection, ProviderSection};

/// The adapter of a provider: its `kind`, or its name.
pub(super) fn kind<'a>(name: &'a str, provider: &'a ProviderSection) -> &'a str {
    provider.kind.as_deref().unwrap_or(name)
}

/// Its settings.
pub(super) fn settings(provider: &ProviderSection) -> ProviderSettings {
    ProviderSettings {
        base_url: provider.base_url.clone(),
        api_key: provider
            .api_key
            .as_ref()
            .map(|key| Secret::new(key.reveal())),
        model: provider.model.clone(),
        voice: provider.voice.clone(),
        options: provider.options.clone(),
    }
}

/// The section `[llm.openai]` as a provider like the others.
pub(super) fn chat_completions(section: &OpenAiSection) -> ProviderSection {
    ProviderSection {
        base_url: section.base_url.clone(),
        api_key: section.api_key.clone(),
        model: section.model.clone(),
        ..ProviderSection::default()
    }
}
