//! The recognisers there are, by name.

use std::sync::Arc;

use async_trait::async_trait;

use crate::provider_error::ProviderError;
use crate::providers::assemblyai_stt::AssemblyAi;
use crate::providers::deepgram_flux_stt::Flux;
use crate::providers::deepgram_stt::Deepgram;
use crate::providers::openai_realtime_stt::OpenAiRealtime;
use crate::providers::openai_upload_stt::UploadRecogniser;
use crate::providers::sarvam_stt::Sarvam;
use crate::providers::settings::ProviderSettings;
use crate::providers::soniox_stt::Soniox;
use crate::providers::stt_codec::SttCodec;
use crate::providers::stt_socket::{self, MakeCodec};
use crate::stt::{RecognitionHints, SpeechToText, SttRequest, SttStream};

/// Names of all remote recognisers, as configuration and metrics use them.
pub const STT_KINDS: [&str; 7] = [
    "assemblyai",
    "deepgram",
    "deepgram_flux",
    "openai_realtime",
    "openai_upload",
    "sarvam",
    "soniox",
];

/// The recogniser `kind` with these settings. Connects to nothing yet.
///
/// # Errors
/// [`ProviderError::Unavailable`] for an unknown kind, [`ProviderError::Rejected`] naming the
/// setting that is wrong.
pub fn recogniser(
    kind: &str,
    settings: ProviderSettings,
) -> Result<Arc<dyn SpeechToText>, ProviderError> {
    Ok(match kind {
        "assemblyai" => streaming("assemblyai", settings, AssemblyAi::new)?,
        "deepgram" => streaming("deepgram", settings, Deepgram::new)?,
        "deepgram_flux" => streaming("deepgram_flux", settings, Flux::new)?,
        "openai_realtime" => streaming("openai_realtime", settings, OpenAiRealtime::new)?,
        "openai_upload" => Arc::new(UploadRecogniser::new(settings)?),
        "sarvam" => streaming("sarvam", settings, Sarvam::new)?,
        "soniox" => streaming("soniox", settings, Soniox::new)?,
        other => {
            return Err(ProviderError::Unavailable(format!(
                "there is no recogniser `{other}`"
            )));
        }
    })
}

/// A recogniser over a websocket.
struct Streaming {
    name: &'static str,
    make: Arc<MakeCodec>,
}

fn streaming<C: SttCodec + 'static>(
    name: &'static str,
    settings: ProviderSettings,
    new: fn(&ProviderSettings, &SttRequest) -> Result<C, ProviderError>,
) -> Result<Arc<dyn SpeechToText>, ProviderError> {
    let trial = SttRequest {
        language: "en-US".to_owned(),
        hints: Arc::new(RecognitionHints::default()),
    };
    new(&settings, &trial)?;
    let make: MakeCodec =
        Box::new(move |request| Ok(Box::new(new(&settings, request)?) as Box<dyn SttCodec>));
    Ok(Arc::new(Streaming {
        name,
        make: Arc::new(make),
    }))
}

#[async_trait]
impl SpeechToText for Streaming {
    fn name(&self) -> &str {
        self.name
    }

    async fn open(&self, request: SttRequest) -> Result<SttStream, ProviderError> {
        stt_socket::open(Arc::clone(&self.make), request).await
    }
}
