//! Simulated scenes, few enough for every test run.
#![cfg(feature = "simulation")]

use pipeline::conversation::ConversationConfig;
use pipeline::simulation::suite::TurnTakingSuite;

fn suite(scenes: usize, seed: u64) -> TurnTakingSuite {
    TurnTakingSuite {
        scenes,
        seed,
        only: None,
        curve: false,
        config: ConversationConfig::default(),
    }
}

#[test]
fn the_same_seed_gives_the_same_report() {
    let [one, two] = [0, 1].map(|_| suite(8, 5).run_all(&|_, _| {}));
    assert!(one == two, "one seed, two outcomes");
    assert!(one.1 != suite(8, 6).run_all(&|_, _| {}).1);
}

#[test]
fn turns_are_answered_and_spans_add_up() {
    let report = suite(24, 1_000_000).run(&|_, _| {});
    assert_eq!(report.spans_add_up.value(), Some(1.0));
    assert!(report.answered.value() > Some(0.8), "{}", report.text());
    assert!(report.yields.value() > Some(0.8), "{}", report.text());
    // 600 scenes give 100 % and 0 %; the slack is for the few of this run.
    assert!(
        report.backchannels_ignored.value() >= Some(0.8),
        "{}",
        report.text()
    );
    assert_eq!(
        report.self_interrupted.value(),
        Some(0.0),
        "{}",
        report.text()
    );
}
