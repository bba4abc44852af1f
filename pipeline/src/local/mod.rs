//! Engines that run in this process: a recogniser and a voice that need no network.
//!
//! Both call C libraries of the distribution and are behind features: `stt-pocketsphinx` and
//! `tts-flite`. A model never runs on a runtime thread: it has threads of its own and a fixed
//! number of slots, and calls attach to a slot only while they need one.

#[cfg(feature = "stt-pocketsphinx")]
pub mod band_fill;
#[cfg(feature = "tts-flite")]
pub mod flite;
#[cfg(feature = "tts-flite")]
#[expect(unsafe_code, reason = "the boundary to libflite")]
pub(crate) mod flite_ffi;
#[cfg(feature = "stt-pocketsphinx")]
pub mod grammar;
#[cfg(feature = "stt-pocketsphinx")]
mod lexicon;
#[cfg(feature = "stt-pocketsphinx")]
pub mod pocketsphinx;
#[cfg(feature = "stt-pocketsphinx")]
mod pocketsphinx_decoder;
#[cfg(feature = "stt-pocketsphinx")]
#[expect(unsafe_code, reason = "the boundary to libpocketsphinx")]
mod pocketsphinx_ffi;
#[cfg(feature = "stt-pocketsphinx")]
pub mod recogniser_pool;
#[cfg(feature = "tts-flite")]
mod speakable_text;
mod transliteration;
