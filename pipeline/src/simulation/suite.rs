//! Plays many scenes, on every core, with the same outcome whatever the number of cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use super::observe::{Observation, play};
use super::report::{Report, curve_point};
use super::scene::SceneKind;
use super::scenes::{SceneGenerator, kinds};
use super::speech::SpeechStore;
use crate::conversation::ConversationConfig;

/// Shares of the shipped waits, in percent, of the operating curve.
const CURVE: [u32; 6] = [50, 70, 85, 100, 130, 170];

/// What to play.
#[derive(Clone, Debug)]
pub struct TurnTakingSuite {
    /// Scenes.
    pub scenes: usize,
    /// Seed; from [`super::scenes::HELD_OUT`] on sentences held apart from tuning are used.
    pub seed: u64,
    /// Only scenes of this kind.
    pub only: Option<SceneKind>,
    /// Whether the operating curve is measured too.
    pub curve: bool,
    /// The engine's turn-taking values.
    pub config: ConversationConfig,
}

impl TurnTakingSuite {
    /// Plays everything; `progress` hears of each scene that is done.
    #[must_use]
    pub fn run(&self, progress: &(dyn Fn(usize, usize) + Sync)) -> Report {
        let (report, _) = self.run_all(progress);
        report
    }

    /// [`Self::run`], with what was seen in each scene.
    #[must_use]
    pub fn run_all(&self, progress: &(dyn Fn(usize, usize) + Sync)) -> (Report, Vec<Observation>) {
        let mut jobs: Vec<(SceneKind, u64)> = kinds(self.scenes).into_iter().zip(0..).collect();
        if let Some(only) = self.only {
            jobs.retain(|(kind, _)| *kind == only);
        }
        let store = Arc::new(SpeechStore::default());
        let seen = self.play(&jobs, &self.config, &store, progress);
        let mut curve = Vec::new();
        if self.curve {
            let judged = [SceneKind::Plain, SceneKind::Pauses];
            jobs.retain(|(kind, _)| judged.contains(kind));
            for patience in CURVE {
                let mut config = self.config.clone();
                config.pauses.patience_percent = patience;
                curve.push(if patience == 100 {
                    curve_point(patience, &seen)
                } else {
                    curve_point(patience, &self.play(&jobs, &config, &store, progress))
                });
            }
        }
        (Report::new(self.seed, &seen, curve), seen)
    }

    fn play(
        &self,
        jobs: &[(SceneKind, u64)],
        config: &ConversationConfig,
        store: &Arc<SpeechStore>,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Vec<Observation> {
        let generator = SceneGenerator::new(Arc::clone(store));
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let origin = Instant::now();
        let next = AtomicUsize::new(0);
        let done = AtomicUsize::new(0);
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let work = || {
            let mut seen = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(&(kind, number)) = jobs.get(index) else {
                    return seen;
                };
                let scene = Arc::new(generator.scene(kind, self.seed, number));
                seen.push((index, play(&scene, store, config, origin)));
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, jobs.len());
            }
        };
        let mut seen: Vec<(usize, Observation)> = thread::scope(|scope| {
            let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .flat_map(|worker| match worker.join() {
                    Ok(seen) => seen,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
                .collect()
        });
        seen.sort_by_key(|(index, _)| *index);
        seen.into_iter()
            .map(|(_, observation)| observation)
            .collect()
    }
}
