//! A year of campaigns in virtual time, against a world that keeps its own account of what is
//! allowed.

use std::collections::BTreeMap;

use chrono::{Datelike, Timelike};
use proptest::prelude::*;

use super::*;

const MINUTE_US: i64 = 60 * SECOND_US;

fn at(text: &str) -> i64 {
    let time: DateTime<chrono::Utc> = text.parse().unwrap();
    time.timestamp_micros()
}

fn due(phone: &str) -> Due {
    Due {
        recipient: Uuid::nil(),
        phone: phone.to_owned(),
        zone: None,
        attempts: 0,
        called_at: Vec::new(),
        do_not_call: false,
    }
}

fn step(dialler: &Dialler, now: i64, due: Due) -> Step {
    let mut steps = dialler.plan(now, 1, &[due]);
    assert_eq!(steps.len(), 1);
    steps.remove(0)
}

fn rules() -> Rules {
    Rules {
        hours: "09:00-20:00".to_owned(),
        attempts_max: 3,
        ..Rules::default()
    }
}

#[test]
fn the_zone_of_the_list_then_of_the_country_then_of_the_campaign_counts() {
    let dialler = Dialler::new(rules(), "Europe/Berlin");
    let now = at("2026-01-05T03:30:00Z");
    // Nine in the morning in India.
    assert!(matches!(
        step(&dialler, now, due("+919812345678")),
        Step::Dial { attempt: 1, .. }
    ));
    let abroad = Due {
        zone: Some("Europe/London".to_owned()),
        ..due("+919812345678")
    };
    let later = Step::Defer {
        recipient: Uuid::nil(),
        until: at("2026-01-05T09:00:00Z"),
        reason: Reason::OutsideHours,
    };
    assert_eq!(step(&dialler, now, abroad), later);
    let unknown = step(&dialler, now, due("+99912345678"));
    assert!(matches!(unknown, Step::Defer { until, .. } if until == at("2026-01-05T08:00:00Z")));
}

#[test]
fn what_cannot_be_read_is_closed_not_open() {
    let broken = Rules {
        hours: "whenever".to_owned(),
        ..rules()
    };
    let zoneless = Due {
        zone: Some("Mars/Olympus".to_owned()),
        ..due("+919812345678")
    };
    for (dialler, due) in [
        (Dialler::new(broken, "UTC"), due("+919812345678")),
        (Dialler::new(rules(), "UTC"), zoneless),
        (Dialler::new(rules(), "nowhere"), due("+99912345678")),
    ] {
        let step = step(&dialler, at("2026-01-05T10:00:00Z"), due);
        assert!(
            matches!(
                step,
                Step::Close {
                    reason: Reason::WindowNever,
                    ..
                }
            ),
            "{step:?}"
        );
    }
}

#[test]
fn lists_caps_and_room_hold() {
    let dialler = Dialler::new(rules(), "UTC");
    let now = at("2026-01-05T10:00:00Z");
    let barred = Due {
        do_not_call: true,
        ..due("+919812345678")
    };
    assert!(matches!(
        step(&dialler, now, barred),
        Step::Close {
            reason: Reason::DoNotCall,
            ..
        }
    ));
    let called = Due {
        called_at: vec![
            now - 20 * 60 * MINUTE_US,
            now - 2 * MINUTE_US,
            now - MINUTE_US,
        ],
        ..due("+919812345678")
    };
    let until = now + 4 * 60 * MINUTE_US;
    assert!(matches!(step(&dialler, now, called),
        Step::Defer { until: u, reason: Reason::FrequencyCap, .. } if u == until));
    let many: Vec<Due> = (0..5).map(|_| due("+919812345678")).collect();
    assert_eq!(dialler.plan(now, 2, &many).len(), 2);
}

#[test]
fn only_what_may_change_is_dialled_again() {
    let mut dialler = Dialler::new(rules(), "UTC");
    let mut verdict = |attempt, end| dialler.ended(0, attempt, &end).verdict;
    let retry = |minutes, reason| Verdict::Retry {
        not_before: minutes * MINUTE_US,
        reason,
        counts: true,
    };
    assert_eq!(
        verdict(1, DialEnd::of(DialOutcome::Busy, None)),
        retry(15, Reason::Busy)
    );
    assert_eq!(
        verdict(2, DialEnd::of(DialOutcome::NoAnswer, None)),
        retry(60, Reason::NoAnswer)
    );
    assert_eq!(
        verdict(2, DialEnd::failed(DialDetail::CarrierError)),
        retry(5, Reason::CarrierError)
    );
    for (attempt, end, status) in [
        (3, DialEnd::of(DialOutcome::Busy, None), Status::NoAnswer),
        (1, DialEnd::ANSWERED, Status::Completed),
        (1, DialEnd::of(DialOutcome::Rejected, None), Status::Failed),
        (
            1,
            DialEnd::failed(DialDetail::InvalidNumber),
            Status::Failed,
        ),
        (1, DialEnd::failed(DialDetail::Interrupted), Status::Failed),
    ] {
        let done = verdict(attempt, end);
        assert!(
            matches!(done, Verdict::Done { status: s, .. } if s == status),
            "{end:?} {done:?}"
        );
    }
    // What never left does not count.
    let unsent = verdict(1, DialEnd::failed(DialDetail::LineUnavailable));
    assert!(matches!(unsent, Verdict::Retry { counts: false, .. }));
}

#[test]
fn an_interrupted_call_is_dialled_again_only_by_rule() {
    let asked = Rules {
        retry_interrupted: true,
        ..rules()
    };
    let mut dialler = Dialler::new(asked, "UTC");
    let end = DialEnd::failed(DialDetail::Interrupted);
    let verdict = dialler.ended(0, 1, &end).verdict;
    assert!(matches!(
        verdict,
        Verdict::Retry {
            reason: Reason::Interrupted,
            counts: true,
            ..
        }
    ));
    let verdict = dialler.ended(0, 3, &end).verdict;
    assert!(matches!(verdict, Verdict::Done { .. }));
}

#[test]
fn the_breaker_opens_for_the_line_and_not_for_the_called() {
    let mut dialler = Dialler::new(rules(), "UTC");
    for i in 0..100 {
        let ended = dialler.ended(i, 1, &DialEnd::of(DialOutcome::Busy, None));
        assert_eq!(ended.pause, None);
    }
    let mut dialler = Dialler::new(rules(), "UTC");
    let failed = DialEnd::failed(DialDetail::CarrierError);
    let pauses: Vec<_> = (0..20)
        .map(|i| dialler.ended(i, 1, &failed).pause)
        .collect();
    assert!(pauses[..19].iter().all(Option::is_none));
    assert_eq!(pauses[19], Some(Pause::TrunkFailing));
    // Failures that are five minutes old do not count.
    let mut dialler = Dialler::new(rules(), "UTC");
    for i in 0..40 {
        assert_eq!(
            dialler.ended(i * 20 * SECOND_US, 1, &failed).pause,
            None,
            "{i}"
        );
    }
}

/// What the world knows of a recipient.
#[derive(Clone, Debug)]
struct Person {
    due: Due,
    not_before: i64,
    calls: Vec<i64>,
    ends: Vec<DialEnd>,
    done: Option<Status>,
}

/// How the called take calls, by a seed.
fn takes(seed: u64, person: usize, attempt: usize) -> DialEnd {
    let mut x = seed ^ (person as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (attempt as u64) << 40;
    x ^= x >> 33;
    x = x.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    x ^= x >> 33;
    match x % 10 {
        0..=2 => DialEnd::ANSWERED,
        3..=4 => DialEnd::of(DialOutcome::Busy, None),
        5..=6 => DialEnd::of(DialOutcome::NoAnswer, None),
        7 => DialEnd::of(DialOutcome::Rejected, None),
        8 => DialEnd::failed(DialDetail::CarrierError),
        _ => DialEnd::failed(DialDetail::LineUnavailable),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever the rules, zones and results: everybody ends in one final state within the year,
    /// nobody is called outside the hours, more often than allowed, sooner than agreed, beyond the
    /// room, or once they are done.
    #[test]
    fn a_year_of_a_campaign_keeps_every_promise(
        seed in any::<u64>(),
        people in 1_usize..40,
        room in 1_usize..6,
        attempts_max in 1_u32..6,
        cap in 0_u32..4,
        first_day in 0_i64..365,
        open_h in 6_u32..12,
        length_h in 1_u32..10,
    ) {
        const ZONES: [Option<&str>; 6] = [None, Some("America/New_York"), Some("Asia/Kolkata"),
            Some("Australia/Lord_Howe"), Some("Europe/London"), Some("Pacific/Apia")];
        let close_h = open_h + length_h;
        let rules = Rules {
            hours: format!("mon-sat {open_h:02}:00-{close_h:02}:00"),
            attempts_max,
            calls_per_number_and_day: cap,
            breaker_setups_min: 0,
            ..Rules::default()
        };
        let mut dialler = Dialler::new(rules.clone(), "Europe/Berlin");
        let begin = at("2025-06-01T00:00:00Z") + first_day * DAY_US;
        let mut world: Vec<Person> = (0..people).map(|i| Person {
            due: Due {
                recipient: Uuid::from_u128(i as u128),
                zone: ZONES[(seed as usize >> (i % 20)) % ZONES.len()].map(str::to_owned),
                do_not_call: i % 17 == 16,
                ..due(&format!("+4930{:07}", i))
            },
            not_before: begin,
            calls: Vec::new(),
            ends: Vec::new(),
            done: None,
        }).collect();
        let by_id: BTreeMap<Uuid, usize> =
            world.iter().enumerate().map(|(i, p)| (p.due.recipient, i)).collect();
        let mut now = begin;
        let mut turns = 0;
        while world.iter().any(|person| person.done.is_none()) {
            turns += 1;
            prop_assert!(turns < 20_000, "the campaign does not end");
            prop_assert!(now < begin + 365 * DAY_US, "the campaign lasts longer than a year");
            let due: Vec<Due> = world.iter()
                .filter(|person| person.done.is_none() && person.not_before <= now)
                .map(|person| Due {
                    called_at: person.calls.iter().copied().filter(|c| c + DAY_US > now).collect(),
                    ..person.due.clone()
                })
                .collect();
            let steps = dialler.plan(now, room, &due);
            let dialled = steps.iter().filter(|s| matches!(s, Step::Dial { .. })).count();
            prop_assert!(dialled <= room);
            for step in steps {
                match step {
                    Step::Dial { recipient, attempt } => {
                        let index = by_id[&recipient];
                        let person = &mut world[index];
                        prop_assert!(person.done.is_none() && !person.due.do_not_call);
                        prop_assert_eq!(attempt, person.due.attempts + 1);
                        prop_assert!(attempt <= attempts_max);
                        // The hours, by the civil clock of where they are, told independently.
                        let zone: Tz = person.due.zone.as_deref().unwrap_or("Europe/Berlin")
                            .parse().unwrap();
                        let local = DateTime::from_timestamp_micros(now).unwrap().with_timezone(&zone);
                        prop_assert!((open_h..close_h).contains(&local.hour()), "{}", local);
                        prop_assert!(local.weekday() != chrono::Weekday::Sun);
                        if cap > 0 {
                            let today = person.calls.iter().filter(|c| **c + DAY_US > now).count();
                            prop_assert!(today < cap as usize);
                        }
                        let end = takes(seed, index, person.ends.len());
                        let unsent = end.detail.is_some_and(DialDetail::is_unsent);
                        // A call of up to two minutes; the results come at its end.
                        let ended = dialler.ended(now + 30 * SECOND_US, attempt, &end);
                        person.ends.push(end);
                        match ended.verdict {
                            Verdict::Done { status, .. } => person.done = Some(status),
                            Verdict::Retry { not_before, counts, .. } => {
                                prop_assert!(not_before > now);
                                prop_assert_eq!(counts, !unsent);
                                person.due.attempts += u32::from(counts);
                                person.not_before = not_before;
                            }
                        }
                        if !unsent {
                            person.calls.push(now);
                        }
                    }
                    Step::Defer { recipient, until, .. } => {
                        prop_assert!(until > now, "put off into the past");
                        world[by_id[&recipient]].not_before = until;
                    }
                    Step::Close { recipient, status, reason } => {
                        prop_assert_eq!(reason, Reason::DoNotCall);
                        world[by_id[&recipient]].done = Some(status);
                    }
                }
            }
            let waiting = world.iter().filter(|person| person.done.is_none());
            let next = waiting.map(|person| person.not_before).min().unwrap_or(now);
            now = next.max(now + SECOND_US);
        }
        for person in &world {
            let sent: Vec<&DialEnd> = person.ends.iter()
                .filter(|end| !end.detail.is_some_and(DialDetail::is_unsent)).collect();
            prop_assert!(sent.len() <= attempts_max as usize);
            // Who was reached, or does not want it, was the last to be called.
            for end in sent.iter().take(sent.len().saturating_sub(1)) {
                prop_assert!(!matches!(end.outcome, DialOutcome::Answered | DialOutcome::Rejected));
            }
            let answered = sent.last().is_some_and(|end| end.outcome == DialOutcome::Answered);
            prop_assert_eq!(answered, person.done == Some(Status::Completed));
        }
    }
}
