//! How often callers would be cut off, against how long they would wait.

use pipeline::turn::acoustic::Model;

use crate::examples::{Chance, Example};

/// Waits in ms.
const SHORTEST: f32 = 200.0;
const LONGEST: f32 = 3_000.0;

/// Prints false cutoffs against the mean wait, by the model and by one wait for all. The lengths
/// of pauses within turns are drawn, since those of prompts are a narrator's: half beyond 550 ms,
/// one in twenty beyond 2.5 s.
pub(crate) fn print(model: &Model, examples: &[&Example]) {
    let mut chance = Chance(5);
    let pauses: Vec<(f32, f32)> = examples
        .iter()
        .filter(|e| !e.is_end)
        .flat_map(|e| (0..8).map(move |_| e))
        .map(|e| (model.log_odds(&e.features), pause_ms(&mut chance)))
        .collect();
    let ends: Vec<f32> = examples
        .iter()
        .filter(|e| e.is_end)
        .map(|e| model.log_odds(&e.features))
        .collect();
    println!("mean wait ms: cut off by one wait for all / by the model, of the pauses");
    for mean in [300.0, 400.0, 540.0, 700.0, 900.0, 1_200.0] {
        let fixed = cut(&pauses, |_| mean);
        // Of all waits that are linear in the log odds, the best with this mean.
        let mut best = fixed;
        for slope in (0..40).map(|n| n as f32 * 0.05) {
            let wait = |odds: f32, base: f32| {
                (base * (-slope * odds.clamp(-3.0, 3.0)).exp()).clamp(SHORTEST, LONGEST)
            };
            let (mut low, mut high) = (10.0, 20_000.0);
            for _ in 0..40 {
                let base = (low + high) / 2.0;
                let sum: f32 = ends.iter().map(|&odds| wait(odds, base)).sum();
                if sum / ends.len().max(1) as f32 > mean {
                    high = base;
                } else {
                    low = base;
                }
            }
            best = best.min(cut(&pauses, |odds| wait(odds, low)));
        }
        println!("  {mean}: {:.1} % / {:.1} %", 100.0 * fixed, 100.0 * best);
    }
}

fn cut(pauses: &[(f32, f32)], wait: impl Fn(f32) -> f32) -> f32 {
    let cut = pauses.iter().filter(|(odds, ms)| *ms > wait(*odds)).count();
    cut as f32 / pauses.len().max(1) as f32
}

/// A log-logistic length.
fn pause_ms(chance: &mut Chance) -> f32 {
    let u = chance.next().clamp(1e-3, 1.0 - 1e-3);
    (550.0 * (u / (1.0 - u)).sqrt()).max(120.0)
}
