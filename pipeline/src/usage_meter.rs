//! What a call uses of its providers, counted where it is used.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what a call uses while it runs; whoever shares it may read it at any time. Counting
/// takes no lock. A call that asks a provider again, because the first answer failed, uses it again.
#[derive(Debug, Default)]
pub struct UsageMeter {
    stt_audio_ms: AtomicU64,
    tts_characters: AtomicU64,
    llm_input_tokens: AtomicU64,
    llm_output_tokens: AtomicU64,
}

/// What was counted up to some moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MeteredUsage {
    /// Audio given to the recogniser, in milliseconds.
    pub stt_audio_ms: u64,
    /// Characters given to the voice, also those it had spoken before and kept.
    pub tts_characters: u64,
    /// Tokens the model says it read.
    pub llm_input_tokens: u64,
    /// Tokens the model says it wrote.
    pub llm_output_tokens: u64,
}

impl UsageMeter {
    /// Counts audio given to the recogniser.
    pub fn heard(&self, audio_ms: u64) {
        self.stt_audio_ms.fetch_add(audio_ms, Ordering::Relaxed);
    }

    /// Counts a text given to the voice.
    pub fn spoke(&self, text: &str) {
        let characters = text.chars().count() as u64;
        self.tts_characters.fetch_add(characters, Ordering::Relaxed);
    }

    /// Counts an answer of the model.
    pub fn answered(&self, input_tokens: u64, output_tokens: u64) {
        self.llm_input_tokens
            .fetch_add(input_tokens, Ordering::Relaxed);
        self.llm_output_tokens
            .fetch_add(output_tokens, Ordering::Relaxed);
    }

    /// What was counted so far.
    #[must_use]
    pub fn read(&self) -> MeteredUsage {
        MeteredUsage {
            stt_audio_ms: self.stt_audio_ms.load(Ordering::Relaxed),
            tts_characters: self.tts_characters.load(Ordering::Relaxed),
            llm_input_tokens: self.llm_input_tokens.load(Ordering::Relaxed),
            llm_output_tokens: self.llm_output_tokens.load(Ordering::Relaxed),
        }
    }
}
