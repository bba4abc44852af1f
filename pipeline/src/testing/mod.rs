//! Fakes of a call's services and of its leg, for tests and benches here and in other crates.
//!
//! [`rig::Rig`] drives a [`crate::conversation::Conversation`] alone in virtual time; the other
//! fakes stand behind the real traits, for [`crate::call_session::run`] and for whole systems.

pub mod leg;
pub mod llm;
pub mod rig;
pub mod stt;
pub mod tools;
pub mod tts;
