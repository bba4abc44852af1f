//! Turns a script into sound before the call begins.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use media::dsp::resample::Resampler;
use media::frame::FRAME_RATE;
use pipeline::tts::{TextToSpeech, TtsEvent, TtsRequest};

use super::script::Script;

/// The voice that scripted callers speak with.
///
/// # Errors
/// When this build has no embedded voice, or it does not start.
#[cfg(feature = "embedded-speech")]
pub fn embedded_voice() -> anyhow::Result<Box<dyn TextToSpeech>> {
    use pipeline::local::flite::{FliteConfig, FliteVoice};
    Ok(Box::new(FliteVoice::new(&FliteConfig::default())?))
}

/// The voice that scripted callers speak with.
///
/// # Errors
/// Always: this build has no embedded voice.
#[cfg(not(feature = "embedded-speech"))]
pub fn embedded_voice() -> anyhow::Result<Box<dyn TextToSpeech>> {
    bail!("this build has no embedded voice; build it with the feature embedded-speech")
}

/// PCM (16 kHz mono) of everything a script may say.
#[derive(Clone, Debug, Default)]
pub struct SpokenScript {
    /// By line; empty for key presses.
    pub lines: Vec<Arc<[i16]>>,
    /// By reply.
    pub replies: Vec<Arc<[i16]>>,
}

impl SpokenScript {
    /// Speaks the texts with `voice` and reads the WAV files.
    ///
    /// # Errors
    /// When the voice fails or a file is not a 16-bit WAV file.
    pub async fn render(
        script: &Script,
        tts: &dyn TextToSpeech,
        voice: &str,
    ) -> anyhow::Result<Self> {
        let mut spoken = Self::default();
        for line in &script.lines {
            let pcm = match (&line.say, &line.wav) {
                (Some(text), _) => speak(tts, voice, text).await?,
                (None, Some(path)) => read_wav(path)?,
                (None, None) => Vec::new(),
            };
            spoken.lines.push(pcm.into());
        }
        for reply in &script.replies {
            spoken
                .replies
                .push(speak(tts, voice, &reply.say).await?.into());
        }
        Ok(spoken)
    }
}

async fn speak(tts: &dyn TextToSpeech, voice: &str, text: &str) -> anyhow::Result<Vec<i16>> {
    let request = TtsRequest {
        text: text.to_owned(),
        voice: voice.to_owned(),
        language: "en-US".to_owned(),
        speed: 1.0,
    };
    let mut events = tts
        .synthesize(request)
        .await
        .with_context(|| format!("cannot speak \"{text}\""))?;
    let mut pcm = Vec::new();
    while let Some(event) = events.recv().await {
        match event {
            TtsEvent::Audio(chunk) => pcm.extend_from_slice(&chunk),
            TtsEvent::Done => return Ok(pcm),
            TtsEvent::Fault { message, .. } => bail!("cannot speak \"{text}\": {message}"),
            _ => {}
        }
    }
    bail!("the voice stopped in the middle of \"{text}\"")
}

/// Reads a WAV file as 16 kHz mono (the mean of its channels).
fn read_wav(path: &Path) -> anyhow::Result<Vec<i16>> {
    let mut wav =
        hound::WavReader::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let spec = wav.spec();
    if spec.bits_per_sample != 16 || spec.sample_format != hound::SampleFormat::Int {
        bail!("{} is not 16-bit PCM", path.display());
    }
    let channels = usize::from(spec.channels.max(1));
    let samples: Vec<i16> = wav
        .samples::<i16>()
        .collect::<Result<_, _>>()
        .with_context(|| format!("{} is damaged", path.display()))?;
    let mono: Vec<i16> = samples
        .chunks_exact(channels)
        .map(|frame| {
            let sum: i32 = frame.iter().map(|sample| i32::from(*sample)).sum();
            // The mean of 16-bit values is a 16-bit value.
            i16::try_from(sum / channels as i32).unwrap_or_default()
        })
        .collect();
    convert(&mono, spec.sample_rate)
        .with_context(|| format!("cannot convert {} to 16 kHz", path.display()))
}

fn convert(pcm: &[i16], rate: u32) -> anyhow::Result<Vec<i16>> {
    if rate == FRAME_RATE {
        return Ok(pcm.to_vec());
    }
    let mut resampler = Resampler::new(rate, FRAME_RATE)?;
    let block = rate as usize / 50;
    let mut out = vec![0; FRAME_RATE as usize / 50];
    let mut converted = Vec::with_capacity(pcm.len() * FRAME_RATE as usize / rate as usize);
    let mut padded = pcm.to_vec();
    padded.resize(pcm.len().next_multiple_of(block), 0);
    for block in padded.chunks_exact(block) {
        let written = resampler.process(block, &mut out)?;
        converted.extend_from_slice(&out[..written]);
    }
    Ok(converted)
}
