//! The conversation: turns, speech-to-text, language model, text-to-speech, interruption.

pub mod call;
pub mod llm;
pub mod provider_error;
pub mod stt;
pub mod tts;
