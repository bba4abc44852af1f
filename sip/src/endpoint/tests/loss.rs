//! Calls over a bad network: whatever is lost, repeated or reordered, both sides end and
//! nothing is left in any table.

use std::time::Duration;

use super::pair::{Pair, Weather};
use super::{BOB, answer_of, config};
use crate::event::{Command, Event};

const BAD: Weather = Weather {
    loss: 0.25,
    duplicate: 0.1,
    delay_ms: (1, 400),
};

#[test]
fn calls_over_a_bad_network_end_on_both_sides() {
    for seed in 0..60 {
        let mut pair = Pair::with(config(), BAD, seed);
        let alice = pair.invite();
        // Alice hangs up after a time that differs from seed to seed; Bob answers at once.
        let talk = Duration::from_millis(50 + seed * 137);
        let hang_up = pair.now + talk;
        let mut answered = false;
        let mut hung_up = false;
        loop {
            if !answered
                && let Some((bob, offer)) = pair.bob_events.iter().find_map(|e| match e {
                    Event::Incoming { session, invite } => Some((*session, invite.offer.clone())),
                    _ => None,
                })
            {
                answered = true;
                let sdp = answer_of(BOB, &offer.unwrap());
                let _ = pair.bob(
                    bob,
                    Command::Answer {
                        sdp,
                        headers: Vec::new(),
                    },
                );
            }
            if !hung_up && pair.now >= hang_up {
                hung_up = true;
                let _ = pair.alice(alice, Command::End { reason: None });
            }
            let wait = Duration::from_millis(20);
            if hung_up {
                break;
            }
            pair.run_for(wait);
        }
        // Bob may hear of the call only now, by a repeat of the INVITE.
        for _ in 0..2_000 {
            pair.run_for(Duration::from_millis(50));
            let open = pair.bob_events.iter().find_map(|e| match e {
                Event::Incoming { session, invite } => Some((*session, invite.offer.clone())),
                _ => None,
            });
            if !answered && let Some((bob, offer)) = open {
                answered = true;
                let sdp = answer_of(BOB, &offer.unwrap());
                let _ = pair.bob(
                    bob,
                    Command::Answer {
                        sdp,
                        headers: Vec::new(),
                    },
                );
            }
        }
        let heard = pair
            .bob_events
            .iter()
            .filter(|e| matches!(e, Event::Incoming { .. }))
            .count();
        assert_eq!(Pair::end_of(&pair.alice_events).len(), 1, "seed {seed}");
        assert!(heard <= 1, "seed {seed}: the call came {heard} times");
        assert_eq!(
            Pair::end_of(&pair.bob_events).len(),
            heard,
            "seed {seed}: {:#?}",
            pair.lines()
        );
        pair.run_to_rest();
    }
}
