//! Dates as callers say them.

use chrono::{Datelike, Days, NaiveDate, Weekday};

use crate::workflow::grammar::{Expr, Tag};
use crate::workflow::hours::{WEEKDAYS, weekday_name};
use crate::workflow::text::{cardinal, ordinal};

const MONTHS: [(&str, u32); 12] = [
    ("january", 31),
    ("february", 29),
    ("march", 31),
    ("april", 30),
    ("may", 31),
    ("june", 30),
    ("july", 31),
    ("august", 31),
    ("september", 30),
    ("october", 31),
    ("november", 30),
    ("december", 31),
];

/// Farthest that a day of the month is looked for, in days: past two months without it.
const DAY_SEARCH_MAX: usize = 92;
/// A 29 February comes within eight years.
const YEARS_AHEAD_MAX: i32 = 8;

/// The expression for a date; `wide` adds what recognisers write but nobody should be listened for.
pub(crate) fn date_expression(wide: bool) -> Expr {
    let relative = Expr::Choice(vec![
        Expr::Sequence(vec![
            Expr::phrase("the").optional(),
            Expr::phrase("day after tomorrow").tagged(Tag::InDays(2)),
        ]),
        Expr::phrase("today").tagged(Tag::InDays(0)),
        Expr::phrase("tomorrow").tagged(Tag::InDays(1)),
    ]);
    let weekday = Expr::Choice(
        WEEKDAYS
            .iter()
            .map(|day| Expr::phrase(weekday_name(*day)).tagged(Tag::Weekday(*day)))
            .collect(),
    )
    .rule("weekday");
    let month_day = month_day_expression(wide);
    let day = Expr::Sequence(vec![
        Expr::phrase("the").optional(),
        day_of_month(31, false),
    ]);
    let mut choices = vec![
        relative,
        Expr::Sequence(vec![
            Expr::Choice(vec![
                Expr::phrase("next").tagged(Tag::NextWeek),
                Expr::any_of(&["this", "coming", "this coming"]),
            ])
            .optional(),
            weekday.clone(),
            Expr::Choice(vec![day.clone(), month_day.clone()]).optional(),
        ]),
        day,
        month_day,
    ];
    if wide {
        choices.push(Expr::any_of(&["a week from today", "in a week"]).tagged(Tag::InDays(7)));
        choices.push(Expr::Sequence(vec![
            weekday,
            Expr::phrase("next week").tagged(Tag::NextWeek),
        ]));
    }
    Expr::Choice(choices)
}

fn month_day_expression(wide: bool) -> Expr {
    let mut choices = Vec::new();
    for days in [31, 30, 29] {
        let months = Expr::Choice(
            MONTHS
                .iter()
                .zip(1..)
                .filter(|((_, length), _)| *length == days)
                .map(|((name, _), number)| Expr::phrase(name).tagged(Tag::Month(number)))
                .collect(),
        );
        choices.push(Expr::Sequence(vec![
            months.clone(),
            Expr::phrase("the").optional(),
            day_of_month(days, wide),
        ]));
        choices.push(Expr::Sequence(vec![
            Expr::phrase("the").optional(),
            day_of_month(days, false),
            Expr::phrase("of").optional(),
            months,
        ]));
    }
    Expr::Choice(choices)
}

fn day_of_month(last: u32, cardinals: bool) -> Expr {
    let mut days: Vec<Expr> = (1..=last)
        .map(|day| Expr::phrase(&ordinal(day)).tagged(Tag::Day(day)))
        .collect();
    if cardinals {
        days.extend((1..=last).map(|day| Expr::phrase(&cardinal(day)).tagged(Tag::Day(day))));
    }
    let name = match (last, cardinals) {
        (31, false) => "day31",
        (30, false) => "day30",
        (_, false) => "day29",
        (31, true) => "number31",
        (30, true) => "number30",
        (_, true) => "number29",
    };
    Expr::Choice(days).rule(name)
}

/// The date meant, never before `today`. A bare weekday is the next one after today; "next
/// tuesday" is the one of the calendar week (from Monday) after today's.
pub(crate) fn resolve_date(tags: &[Tag], today: NaiveDate) -> Option<NaiveDate> {
    let mut weekday = None;
    let mut next_week = false;
    let mut day = None;
    let mut month = None;
    for tag in tags {
        match tag {
            Tag::InDays(days) => return today.checked_add_days(Days::new(u64::from(*days))),
            Tag::Weekday(said) => weekday = Some(*said),
            Tag::NextWeek => next_week = true,
            Tag::Day(said) => day = Some(*said),
            Tag::Month(said) => month = Some(*said),
            _ => return None,
        }
    }
    match (month, day, weekday) {
        (Some(month), Some(day), _) => (0..=YEARS_AHEAD_MAX)
            .filter_map(|ahead| NaiveDate::from_ymd_opt(today.year() + ahead, month, day))
            .find(|date| *date >= today),
        (None, Some(day), said) => {
            let mut days = today.iter_days().take(DAY_SEARCH_MAX);
            let matching = days.find(|date| {
                date.day() == day && said.is_none_or(|weekday| date.weekday() == weekday)
            });
            // A weekday that does not fit is a slip of the tongue: the number counts, and the
            // date is read back.
            matching.or_else(|| today.iter_days().find(|date| date.day() == day))
        }
        (None, None, Some(weekday)) => weekday_after(today, weekday, next_week),
        (Some(_), None, _) | (None, None, None) => None,
    }
}

fn weekday_after(today: NaiveDate, weekday: Weekday, next_week: bool) -> Option<NaiveDate> {
    let start = if next_week {
        let monday = 7 - today.weekday().num_days_from_monday();
        today.checked_add_days(Days::new(u64::from(monday)))?
    } else {
        today.succ_opt()?
    };
    start.iter_days().find(|date| date.weekday() == weekday)
}

/// "Tuesday, March the third".
pub(crate) fn speak_date(date: NaiveDate) -> String {
    let (month, _) = MONTHS[date.month0() as usize];
    format!(
        "{}, {} the {}",
        capitalised(weekday_name(date.weekday())),
        capitalised(month),
        ordinal(date.day())
    )
}

/// The first letter in upper case.
pub(crate) fn capitalised(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::text::{NumeralStyle, words};

    /// A Sunday.
    const TODAY: &str = "2026-11-22";

    fn resolve(text: &str, today: &str) -> Option<String> {
        let said = words(text, NumeralStyle::Number);
        let found = date_expression(true).matches(&said.words, 0);
        let (end, tags) = found.first()?;
        assert_eq!(*end, said.words.len(), "{text} is not matched to its end");
        resolve_date(tags, today.parse().unwrap()).map(|date| date.to_string())
    }

    #[test]
    fn said_dates_become_calendar_dates() {
        for (said, date) in [
            ("today", "2026-11-22"),
            ("tomorrow", "2026-11-23"),
            ("the day after tomorrow", "2026-11-24"),
            ("tuesday", "2026-11-24"),
            ("sunday", "2026-11-29"),
            ("next tuesday", "2026-11-24"),
            ("next sunday", "2026-11-29"),
            ("the twelfth", "2026-12-12"),
            ("the twenty second", "2026-11-22"),
            ("the thirty first", "2026-12-31"),
            ("march third", "2027-03-03"),
            ("March 3", "2027-03-03"),
            ("the third of march", "2027-03-03"),
            ("november twenty first", "2027-11-21"),
            ("february twenty ninth", "2028-02-29"),
            ("tuesday the twenty fourth", "2026-11-24"),
            ("tuesday the twenty fifth", "2026-11-25"),
            ("friday december fourth", "2026-12-04"),
            ("tuesday next week", "2026-11-24"),
        ] {
            assert_eq!(resolve(said, TODAY).as_deref(), Some(date), "{said}");
        }
    }

    #[test]
    fn next_weekday_is_in_the_following_calendar_week() {
        // A Monday.
        assert_eq!(
            resolve("tuesday", "2026-11-23").as_deref(),
            Some("2026-11-24")
        );
        assert_eq!(
            resolve("next tuesday", "2026-11-23").as_deref(),
            Some("2026-12-01")
        );
        assert_eq!(
            resolve("monday", "2026-11-23").as_deref(),
            Some("2026-11-30")
        );
    }

    #[test]
    fn the_last_representable_day_does_not_panic() {
        let last = NaiveDate::MAX;
        for tags in [
            vec![Tag::InDays(2)],
            vec![Tag::Weekday(Weekday::Mon)],
            vec![Tag::NextWeek, Tag::Weekday(Weekday::Mon)],
            vec![Tag::Day(1)],
            vec![Tag::Month(1), Tag::Day(1)],
        ] {
            let _ = resolve_date(&tags, last);
        }
    }

    #[test]
    fn dates_are_spoken_in_words() {
        assert_eq!(
            speak_date("2027-03-03".parse().unwrap()),
            "Wednesday, March the third"
        );
    }
}
