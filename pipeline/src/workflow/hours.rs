//! Opening hours and times of day.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::Weekday;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A time of day to the minute; written `HH:MM`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TimeOfDay {
    minutes: u16,
}

impl TimeOfDay {
    /// The time, if hour and minute are on the clock.
    #[must_use]
    pub const fn new(hour: u16, minute: u16) -> Option<Self> {
        if hour < 24 && minute < 60 {
            Some(Self {
                minutes: hour * 60 + minute,
            })
        } else {
            None
        }
    }

    /// Hour, 0 to 23.
    #[must_use]
    pub const fn hour(self) -> u16 {
        self.minutes / 60
    }

    /// Minute, 0 to 59.
    #[must_use]
    pub const fn minute(self) -> u16 {
        self.minutes % 60
    }

    /// Minutes since midnight.
    #[must_use]
    pub const fn minutes(self) -> u16 {
        self.minutes
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour(), self.minute())
    }
}

impl FromStr for TimeOfDay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once(':')
            .and_then(|(hour, minute)| Self::new(hour.parse().ok()?, minute.parse().ok()?))
            .ok_or_else(|| format!("`{text}` is not a time of the form HH:MM"))
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// When a place is open: spans by weekday name, for example `monday = [["09:00", "12:00"]]`. A
/// weekday that is absent is closed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpeningHours {
    days: BTreeMap<String, Vec<(TimeOfDay, TimeOfDay)>>,
}

impl OpeningHours {
    /// The open spans of a weekday, from (inclusive) to (exclusive).
    #[must_use]
    pub fn spans(&self, day: Weekday) -> &[(TimeOfDay, TimeOfDay)] {
        self.days.get(weekday_name(day)).map_or(&[], Vec::as_slice)
    }

    /// Whether the place opens at all on this weekday.
    #[must_use]
    pub fn is_open_day(&self, day: Weekday) -> bool {
        !self.spans(day).is_empty()
    }

    /// Whether it is open then.
    #[must_use]
    pub fn contains(&self, day: Weekday, time: TimeOfDay) -> bool {
        self.spans(day)
            .iter()
            .any(|(from, to)| *from <= time && time < *to)
    }

    /// Whether it is open then on any day of the week.
    #[must_use]
    pub fn contains_any_day(&self, time: TimeOfDay) -> bool {
        WEEKDAYS.iter().any(|day| self.contains(*day, time))
    }

    /// The times at which an appointment of `step_minutes` can begin, in order.
    pub fn slots(&self, day: Weekday, step_minutes: u16) -> impl Iterator<Item = TimeOfDay> {
        let step = step_minutes.max(1);
        self.spans(day).iter().flat_map(move |(from, to)| {
            (from.minutes..to.minutes)
                .step_by(usize::from(step))
                .filter(move |start| start + step <= to.minutes)
                .map(|minutes| TimeOfDay { minutes })
        })
    }

    /// What is wrong with the table, if anything: an unknown weekday, or a span that ends before
    /// it begins.
    ///
    /// # Errors
    /// The weekday and the fault.
    pub fn check(&self) -> Result<(), (String, String)> {
        for (name, spans) in &self.days {
            if !WEEKDAYS.iter().any(|day| weekday_name(*day) == name) {
                return Err((name.clone(), "is not a weekday in lower case".into()));
            }
            for (from, to) in spans {
                if from >= to {
                    return Err((name.clone(), format!("span {from} to {to} is empty")));
                }
            }
        }
        Ok(())
    }

    /// Whether no hours are given at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.days.is_empty()
    }
}

/// Monday to Sunday.
pub const WEEKDAYS: [Weekday; 7] = [
    Weekday::Mon,
    Weekday::Tue,
    Weekday::Wed,
    Weekday::Thu,
    Weekday::Fri,
    Weekday::Sat,
    Weekday::Sun,
];

/// English name in lower case.
#[must_use]
pub const fn weekday_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "monday",
        Weekday::Tue => "tuesday",
        Weekday::Wed => "wednesday",
        Weekday::Thu => "thursday",
        Weekday::Fri => "friday",
        Weekday::Sat => "saturday",
        Weekday::Sun => "sunday",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> TimeOfDay {
        text.parse().unwrap()
    }

    #[test]
    fn slots_fit_into_the_spans() {
        let hours: OpeningHours =
            toml::from_str("monday = [[\"09:00\", \"10:15\"], [\"14:00\", \"15:00\"]]").unwrap();
        let slots: Vec<String> = hours
            .slots(Weekday::Mon, 30)
            .map(|slot| slot.to_string())
            .collect();
        assert_eq!(slots, ["09:00", "09:30", "14:00", "14:30"]);
        assert!(!hours.is_open_day(Weekday::Tue));
        assert!(hours.contains(Weekday::Mon, time("10:14")));
        assert!(!hours.contains(Weekday::Mon, time("10:15")));
    }

    #[test]
    fn wrong_tables_are_named() {
        let hours: OpeningHours = toml::from_str("someday = [[\"09:00\", \"10:00\"]]").unwrap();
        assert_eq!(hours.check().unwrap_err().0, "someday");
        let hours: OpeningHours = toml::from_str("friday = [[\"10:00\", \"09:00\"]]").unwrap();
        assert!(hours.check().unwrap_err().1.contains("empty"));
        assert!("24:00".parse::<TimeOfDay>().is_err());
        assert!("9".parse::<TimeOfDay>().is_err());
    }
}
