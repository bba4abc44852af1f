//! What every remote provider is configured with.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::provider_error::ProviderError;
use crate::secret::Secret;

/// Where a provider is and how it is asked. Empty texts stand for the adapter's defaults.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderSettings {
    /// Base address; `http` and `ws`, `https` and `wss` are taken for each other.
    pub base_url: String,
    /// Credential; sent in a header, never in an address.
    pub api_key: Option<Secret>,
    /// Model.
    pub model: String,
    /// Voice of requests that name none.
    pub voice: String,
    /// Further parameters of the vendor's own, by the vendor's names.
    pub options: BTreeMap<String, Value>,
}

impl ProviderSettings {
    /// The model, or `default`.
    pub(crate) fn model_or<'a>(&'a self, default: &'a str) -> &'a str {
        if self.model.is_empty() {
            default
        } else {
            &self.model
        }
    }

    /// The voice of a request, or the configured one, or `default`.
    pub(crate) fn voice_or<'a>(&'a self, asked: &'a str, default: &'a str) -> &'a str {
        [asked, self.voice.as_str()]
            .into_iter()
            .find(|voice| !voice.is_empty())
            .unwrap_or(default)
    }

    /// The credential; an empty one for servers that need none.
    pub(crate) fn key(&self) -> &str {
        self.api_key.as_ref().map_or("", Secret::expose)
    }

    /// `path` below the base address, for HTTP.
    pub(crate) fn http_url(&self, default_base: &str, path: &str) -> Result<Url, ProviderError> {
        self.url(default_base, path, ["http", "https"])
    }

    /// `path` below the base address, for a websocket.
    pub(crate) fn socket_url(&self, default_base: &str, path: &str) -> Result<Url, ProviderError> {
        self.url(default_base, path, ["ws", "wss"])
    }

    fn url(&self, default: &str, path: &str, schemes: [&str; 2]) -> Result<Url, ProviderError> {
        let wrong = |error: String| ProviderError::Rejected(format!("base_url: {error}"));
        let base = if self.base_url.is_empty() {
            default
        } else {
            &self.base_url
        };
        let (scheme, rest) = base
            .split_once("://")
            .ok_or_else(|| wrong("has no scheme".to_owned()))?;
        let scheme = match scheme {
            "http" | "ws" => schemes[0],
            "https" | "wss" => schemes[1],
            other => return Err(wrong(format!("scheme `{other}` is neither http nor ws"))),
        };
        let text = format!("{scheme}://{}{path}", rest.trim_end_matches('/'));
        Url::parse(&text).map_err(|error| wrong(error.to_string()))
    }

    /// Adds the options to the query of `url`; a list gives one parameter an entry.
    pub(crate) fn add_options(&self, url: &mut Url) {
        if self.options.is_empty() {
            return;
        }
        let kept: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| !self.options.contains_key(name.as_ref()))
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let mut query = url.query_pairs_mut();
        query.clear().extend_pairs(kept);
        for (name, value) in &self.options {
            match value {
                Value::Array(values) => values.iter().for_each(|value| {
                    query.append_pair(name, &plain(value));
                }),
                value => {
                    query.append_pair(name, &plain(value));
                }
            }
        }
    }

    /// Lays the options over a JSON object; what they name replaces what is there.
    pub(crate) fn merge_options(&self, object: &mut Value) {
        for (name, value) in &self.options {
            object[name.as_str()] = value.clone();
        }
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// The primary subtag of a BCP 47 tag: `en` of `en-US`.
pub(crate) fn primary_language(tag: &str) -> &str {
    tag.split(['-', '_']).next().unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_change_scheme_and_keep_their_path() {
        let mut settings = ProviderSettings {
            base_url: "http://127.0.0.1:9/vendor/".into(),
            ..ProviderSettings::default()
        };
        let url = settings.socket_url("wss://x", "/v1/listen?a=1").unwrap();
        assert_eq!(url.as_str(), "ws://127.0.0.1:9/vendor/v1/listen?a=1");
        settings.base_url.clear();
        assert_eq!(
            settings.http_url("wss://x", "/y").unwrap().as_str(),
            "https://x/y"
        );
        settings.base_url = "ftp://x".into();
        assert!(settings.http_url("", "/").is_err());
    }

    #[test]
    fn options_replace_parameters_and_lists_repeat_them() {
        let settings = ProviderSettings {
            options: [
                ("endpointing".to_owned(), json!(100)),
                ("keyterm".to_owned(), json!(["a b", "c"])),
            ]
            .into(),
            ..ProviderSettings::default()
        };
        let mut url = Url::parse("ws://x/?model=m&endpointing=300").unwrap();
        settings.add_options(&mut url);
        assert_eq!(
            url.query(),
            Some("model=m&endpointing=100&keyterm=a+b&keyterm=c")
        );
    }
}
