//! The voices there are, by name.

use std::sync::Arc;

use crate::provider_error::ProviderError;
use crate::providers::cartesia_tts::Cartesia;
use crate::providers::deepgram_tts::Aura;
use crate::providers::elevenlabs_tts::ElevenLabs;
use crate::providers::sarvam_tts::SarvamVoice;
use crate::providers::settings::ProviderSettings;
use crate::providers::tts_codec::TtsCodec;
use crate::providers::tts_http::{HttpVoice, Vendor};
use crate::providers::tts_socket::StreamingVoice;
use crate::tts::{TextToSpeech, TtsRequest};

/// Names of all remote voices, as configuration and metrics use them.
pub const TTS_KINDS: [&str; 7] = [
    "azure",
    "cartesia",
    "deepgram",
    "elevenlabs",
    "google",
    "openai",
    "sarvam",
];

/// The voice provider `kind` with these settings. Connects to nothing yet.
///
/// # Errors
/// [`ProviderError::Unavailable`] for an unknown kind, [`ProviderError::Rejected`] naming the
/// setting that is wrong.
pub fn voice(
    kind: &str,
    settings: ProviderSettings,
) -> Result<Arc<dyn TextToSpeech>, ProviderError> {
    Ok(match kind {
        "azure" => Arc::new(HttpVoice::new(Vendor::Azure, settings)?),
        "cartesia" => streaming("cartesia", settings, Cartesia::new)?,
        "deepgram" => streaming("deepgram", settings, Aura::new)?,
        "elevenlabs" => streaming("elevenlabs", settings, ElevenLabs::new)?,
        "google" => Arc::new(HttpVoice::new(Vendor::Google, settings)?),
        "openai" => Arc::new(HttpVoice::new(Vendor::OpenAi, settings)?),
        "sarvam" => streaming("sarvam", settings, SarvamVoice::new)?,
        other => {
            return Err(ProviderError::Unavailable(format!(
                "there is no voice `{other}`"
            )));
        }
    })
}

fn streaming<C: TtsCodec + 'static>(
    name: &'static str,
    settings: ProviderSettings,
    new: fn(&ProviderSettings, &TtsRequest) -> Result<C, ProviderError>,
) -> Result<Arc<dyn TextToSpeech>, ProviderError> {
    let trial = TtsRequest {
        text: String::new(),
        voice: String::new(),
        language: "en-US".to_owned(),
        speed: 1.0,
    };
    new(&settings, &trial)?;
    let make = Box::new(move |request: &TtsRequest| {
        Ok(Box::new(new(&settings, request)?) as Box<dyn TtsCodec>)
    });
    Ok(Arc::new(StreamingVoice::new(name, make)))
}
