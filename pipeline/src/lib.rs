//! The conversation: turns, speech-to-text, language model, text-to-speech, interruption.

pub mod call;
pub mod call_session;
pub mod conversation;
pub mod guarded_http;
pub mod llm;
#[cfg(any(feature = "stt-pocketsphinx", feature = "tts-flite"))]
pub mod local;
pub mod playout;
pub mod provider_error;
pub mod provider_health;
mod provider_race;
pub mod providers;
pub mod secret;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod stt;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tts;
pub mod turn;
pub mod turn_timings;
pub mod usage_meter;
pub mod workflow;
