//! Adapters to remote providers, one file each; `docs/providers.md` has the table.
//!
//! | kind | codec | driver |
//! |---|---|---|
//! | streaming recognisers | [`stt_codec`] | [`stt_socket`] |
//! | language models | `llm_stream::AnswerDecoder` | [`llm_stream`] |
//! | streaming voices | [`tts_codec`] | [`tts_socket`] |
//! | voices over HTTP | | [`tts_http`] |

mod anthropic_llm;
mod assemblyai_stt;
mod cartesia_tts;
mod deepgram_flux_stt;
mod deepgram_stt;
mod deepgram_tts;
mod elevenlabs_tts;
mod gemini_llm;
mod http;
pub mod llm_kind;
mod llm_stream;
pub mod openai_llm;
mod openai_messages;
mod openai_realtime_stt;
mod openai_upload_stt;
mod sarvam_stt;
mod sarvam_tts;
pub mod settings;
mod socket;
mod soniox_stt;
pub mod sse;
mod stt_codec;
pub mod stt_kind;
mod stt_socket;
mod tts_codec;
mod tts_http;
pub mod tts_kind;
mod tts_socket;
mod tts_speech;
