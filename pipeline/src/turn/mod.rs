//! When the caller begins to speak, pauses, and is done.

pub mod acoustic;
pub mod detector;
pub mod lexicon;
pub mod silence;
pub mod speech_segmenter;
