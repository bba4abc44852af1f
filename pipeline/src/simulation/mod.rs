//! Simulated calls on a virtual clock: scenes with labels exact to the sample, played against
//! the real media leg, voice activity detector and conversation, with providers whose latencies
//! are drawn from published figures.

pub mod latency;
pub mod noise;
pub mod observe;
pub mod random;
pub mod report;
pub mod scene;
pub mod scenes;
pub mod speech;
pub mod statistics;
pub mod suite;
pub mod world;
