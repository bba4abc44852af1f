//! When the caller begins to speak, pauses, and is done.

pub mod acoustic;
pub mod completeness;
pub mod detector;
pub mod foreground;
pub mod lexicon;
pub mod prosody;
pub mod silence;
pub mod speech_segmenter;
