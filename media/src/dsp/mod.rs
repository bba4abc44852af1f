//! Signal processing on 16-bit mono PCM. Nothing here allocates after construction.

pub mod echo;
pub mod gain;
pub mod level;
pub mod resample;
pub mod tone;
