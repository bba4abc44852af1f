//! Times of day as callers say them.

use crate::workflow::grammar::{Expr, Tag};
use crate::workflow::hours::{OpeningHours, TimeOfDay};
use crate::workflow::text::cardinal;

/// The expression for a time of day; `wide` adds single minutes and the 24-hour clock.
pub(crate) fn time_expression(wide: bool) -> Expr {
    let hour = hours(1, 12).rule("hour");
    let half_day = Expr::Choice(vec![
        Expr::phrase("a m").tagged(Tag::Am),
        Expr::phrase("p m").tagged(Tag::Pm),
        Expr::phrase("in the morning").tagged(Tag::Am),
        Expr::any_of(&["in the afternoon", "in the evening"]).tagged(Tag::Pm),
    ])
    .rule("halfday");
    let said = Expr::Choice(vec![
        Expr::Sequence(vec![
            hour.clone(),
            Expr::Choice(vec![minutes(wide), Expr::phrase("o'clock")]).optional(),
        ]),
        Expr::Sequence(vec![past(wide), hour.clone()]),
        Expr::Sequence(vec![to(wide), hour]),
    ]);
    let mut choices = vec![
        Expr::Sequence(vec![said, half_day.optional()]),
        Expr::any_of(&["noon", "midday"]).tagged(Tag::Noon),
        Expr::phrase("midnight").tagged(Tag::Midnight),
    ];
    if wide {
        let late = Expr::Choice(vec![
            hours(13, 23),
            Expr::phrase("zero").tagged(Tag::Hour(0)),
        ]);
        choices.push(Expr::Sequence(vec![
            late,
            Expr::Choice(vec![minutes(true), Expr::any_of(&["o'clock", "hundred"])]).optional(),
        ]));
        choices.push(Expr::any_of(&["twelve noon", "twelve o'clock noon"]).tagged(Tag::Noon));
    }
    Expr::Choice(choices)
}

fn hours(from: u16, to: u16) -> Expr {
    Expr::Choice(
        (from..=to)
            .map(|hour| Expr::phrase(&cardinal(hour.into())).tagged(Tag::Hour(hour)))
            .collect(),
    )
}

fn minutes(wide: bool) -> Expr {
    let step = if wide { 1 } else { 5 };
    let mut choices: Vec<Expr> = (10..60)
        .step_by(step)
        .map(|minute| Expr::phrase(&cardinal(minute.into())).tagged(Tag::Minute(minute)))
        .collect();
    for minute in (0..10).step_by(step).skip(1) {
        let word = cardinal(minute.into());
        for zero in ["oh", "o", "zero"].iter().take(if wide { 3 } else { 1 }) {
            choices.push(Expr::phrase(&format!("{zero} {word}")).tagged(Tag::Minute(minute)));
        }
    }
    Expr::Choice(choices).rule(if wide { "minutes" } else { "fives" })
}

fn past(wide: bool) -> Expr {
    let connective = if wide {
        Expr::any_of(&["past", "after"])
    } else {
        Expr::phrase("past")
    };
    let mut choices = vec![
        Expr::phrase("half past").tagged(Tag::Minute(30)),
        Expr::Sequence(vec![
            Expr::Sequence(vec![article(wide), Expr::phrase("quarter")]).tagged(Tag::Minute(15)),
            connective.clone(),
        ]),
    ];
    for minute in spoken_minutes(wide) {
        choices.push(Expr::Sequence(vec![
            Expr::phrase(&cardinal(minute.into())).tagged(Tag::Minute(minute)),
            connective.clone(),
        ]));
    }
    Expr::Choice(choices)
}

fn to(wide: bool) -> Expr {
    let connective = if wide {
        Expr::any_of(&["to", "till", "before"])
    } else {
        Expr::phrase("to")
    };
    let mut choices = vec![Expr::Sequence(vec![
        Expr::Sequence(vec![article(wide), Expr::phrase("quarter")]).tagged(Tag::MinutesTo(15)),
        connective.clone(),
    ])];
    for minute in spoken_minutes(wide) {
        choices.push(Expr::Sequence(vec![
            Expr::phrase(&cardinal(minute.into())).tagged(Tag::MinutesTo(minute)),
            connective.clone(),
        ]));
    }
    Expr::Choice(choices)
}

fn article(wide: bool) -> Expr {
    if wide {
        Expr::phrase("a").optional()
    } else {
        Expr::Sequence(Vec::new())
    }
}

fn spoken_minutes(wide: bool) -> Vec<u16> {
    if wide {
        (1..=29).collect()
    } else {
        vec![5, 10, 20]
    }
}

/// The time meant. Where morning or afternoon was not said, the one inside `hours` is taken, and
/// without such a one the usual reading: one to six is afternoon, seven to twelve morning.
pub(crate) fn resolve_time(tags: &[Tag], hours: &OpeningHours) -> Option<TimeOfDay> {
    let mut hour = None;
    let mut minute = 0;
    let mut before = 0;
    let mut half_day = None;
    for tag in tags {
        match tag {
            Tag::Noon => return TimeOfDay::new(12, 0),
            Tag::Midnight => return TimeOfDay::new(0, 0),
            Tag::Hour(said) => hour = Some(*said),
            Tag::Minute(said) => minute = *said,
            Tag::MinutesTo(said) => before = *said,
            Tag::Am | Tag::Pm => half_day = Some(*tag),
            _ => return None,
        }
    }
    let hour = hour?;
    let day = 24 * 60;
    let at = |hour: u16| {
        let minutes = (hour * 60 + minute + day - before) % day;
        TimeOfDay::new(minutes / 60, minutes % 60)
    };
    match half_day {
        Some(Tag::Am) => at(hour % 12),
        Some(_) => at(hour % 12 + 12),
        None if hour == 0 || hour > 12 => at(hour),
        None => {
            let usual = if (1..7).contains(&hour) {
                hour + 12
            } else {
                hour
            };
            let candidates = [at(hour % 12), at(hour % 12 + 12)];
            let open = candidates
                .into_iter()
                .flatten()
                .find(|time| hours.contains_any_day(*time));
            open.or_else(|| at(usual))
        }
    }
}

/// "ten thirty in the morning".
pub(crate) fn speak_time(time: TimeOfDay) -> String {
    let (hour, minute) = (time.hour(), time.minute());
    match (hour, minute) {
        (0, 0) => return "midnight".to_owned(),
        (12, 0) => return "noon".to_owned(),
        _ => {}
    }
    let said_hour = cardinal(u32::from(if hour % 12 == 0 { 12 } else { hour % 12 }));
    let clock = match minute {
        0 => said_hour,
        1..=9 => format!("{said_hour} oh {}", cardinal(minute.into())),
        _ => format!("{said_hour} {}", cardinal(minute.into())),
    };
    let part = match hour {
        0..=11 => "in the morning",
        12..=17 => "in the afternoon",
        _ => "in the evening",
    };
    format!("{clock} {part}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::text::{NumeralStyle, words};

    fn resolve(text: &str) -> Option<String> {
        let hours = toml::from_str("monday = [[\"09:00\", \"17:30\"]]").unwrap();
        let said = words(text, NumeralStyle::Number);
        let found = time_expression(true).matches(&said.words, 0);
        let (end, tags) = found.first()?;
        assert_eq!(*end, said.words.len(), "{text} is not matched to its end");
        resolve_time(tags, &hours).map(|time| time.to_string())
    }

    #[test]
    fn said_times_fall_into_the_opening_hours() {
        for (said, time) in [
            ("ten", "10:00"),
            ("ten thirty", "10:30"),
            ("10:30", "10:30"),
            ("half past two", "14:30"),
            ("three p m", "15:00"),
            ("3 PM", "15:00"),
            ("noon", "12:00"),
            ("twelve", "12:00"),
            ("twelve thirty", "12:30"),
            ("quarter to five", "16:45"),
            ("a quarter past nine", "09:15"),
            ("quarter to one", "12:45"),
            ("five", "17:00"),
            ("nine oh five", "09:05"),
            ("four o'clock", "16:00"),
            ("15:45", "15:45"),
            ("ten in the morning", "10:00"),
            ("seven", "07:00"),
            ("six", "18:00"),
            ("eight p m", "20:00"),
            ("twelve a m", "00:00"),
            ("midnight", "00:00"),
            ("ten to twelve a m", "23:50"),
        ] {
            assert_eq!(resolve(said).as_deref(), Some(time), "{said}");
        }
    }

    #[test]
    fn times_are_spoken_in_words() {
        let speak = |text: &str| speak_time(text.parse().unwrap());
        assert_eq!(speak("10:30"), "ten thirty in the morning");
        assert_eq!(speak("15:00"), "three in the afternoon");
        assert_eq!(speak("09:05"), "nine oh five in the morning");
        assert_eq!(speak("12:00"), "noon");
        assert_eq!(speak("00:15"), "twelve fifteen in the morning");
    }
}
