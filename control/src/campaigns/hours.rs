//! When a number may be called: days and half-open hours, in the civil time of where it is.

use std::fmt;
use std::str::FromStr;

use chrono::{
    DateTime, Datelike, Duration, NaiveDate, NaiveDateTime, TimeZone, Timelike, Utc, Weekday,
};
use chrono_tz::Tz;

/// Minutes of a day.
const DAY_MIN: u16 = 24 * 60;
/// How far ahead an opening is looked for; a week of days, and what a change of clocks may cost.
const DAYS_AHEAD: i64 = 9;
/// Rounds in which several zones are brought to agree.
const ROUNDS_MAX: usize = 64;
/// Longest gap of civil time that a change of clocks makes, in steps of a minute.
const GAP_MIN: i64 = 24 * 60;

/// Some days' hours, `[start, end)` in minutes of the civil day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Window {
    /// Bit 0 is Monday.
    days: u8,
    start_min: u16,
    end_min: u16,
}

/// The hours in which calls may be placed. Written as `09:00-20:00`, or by days as
/// `mon-fri 09:00-18:00; sat 10:00-14:00`; a window past midnight is written as two.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CallingHours {
    /// Empty: at any time.
    windows: Vec<Window>,
}

/// Why hours were not understood.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{text}` is no calling hours; write `09:00-20:00` or `mon-fri 09:00-18:00; sat 10:00-14:00`"
)]
pub struct HoursError {
    text: String,
}

impl CallingHours {
    /// At any time.
    #[must_use]
    pub const fn always() -> Self {
        Self {
            windows: Vec::new(),
        }
    }

    /// Whether there is no limit.
    #[must_use]
    pub const fn is_always(&self) -> bool {
        self.windows.is_empty()
    }

    /// Whether a call may be placed at `at` where the clocks show `zone`.
    #[must_use]
    pub fn is_open(&self, at: DateTime<Utc>, zone: Tz) -> bool {
        if self.is_always() {
            return true;
        }
        let local = at.with_timezone(&zone);
        let minute = u16::try_from(local.hour() * 60 + local.minute()).unwrap_or(0);
        self.windows
            .iter()
            .any(|w| w.is_on(local.weekday()) && (w.start_min..w.end_min).contains(&minute))
    }

    /// The first moment from `now` on at which a call may be placed in all of `zones`; `None` if
    /// there is none within some days, so that none will come.
    #[must_use]
    pub fn next_open(&self, now: DateTime<Utc>, zones: &[Tz]) -> Option<DateTime<Utc>> {
        if self.is_always() {
            return Some(now);
        }
        let mut at = now;
        for _ in 0..ROUNDS_MAX {
            let closed = zones.iter().find(|zone| !self.is_open(at, **zone));
            let Some(zone) = closed else {
                return Some(at);
            };
            at = self.opening_after(at, *zone)?;
            if at - now > Duration::days(DAYS_AHEAD) {
                return None;
            }
        }
        None
    }

    /// The first opening in `zone` after `at`, where it is closed.
    fn opening_after(&self, at: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let today = at.with_timezone(&zone).date_naive();
        (0..=DAYS_AHEAD)
            .filter_map(|ahead| today.checked_add_signed(Duration::days(ahead)))
            .find_map(|date| self.opening_on(date, at, zone))
    }

    fn opening_on(&self, date: NaiveDate, at: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let mut openings: Vec<DateTime<Utc>> = self
            .windows
            .iter()
            .filter(|window| window.is_on(date.weekday()))
            .filter_map(|window| {
                let minute = u32::from(window.start_min);
                let start = date.and_hms_opt(minute / 60, minute % 60, 0)?;
                first_moment(start, zone)
            })
            .filter(|opening| *opening > at && self.is_open(*opening, zone))
            .collect();
        openings.sort_unstable();
        openings.first().copied()
    }
}

/// The first moment at which clocks of `zone` show `local` or, where they jump over it, later.
fn first_moment(local: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    (0..=GAP_MIN).find_map(|minutes| {
        let shifted = local.checked_add_signed(Duration::minutes(minutes))?;
        let moment = zone.from_local_datetime(&shifted).earliest()?;
        Some(moment.with_timezone(&Utc))
    })
}

impl Window {
    fn is_on(&self, day: Weekday) -> bool {
        self.days & (1 << day.num_days_from_monday()) != 0
    }
}

impl FromStr for CallingHours {
    type Err = HoursError;

    fn from_str(text: &str) -> Result<Self, HoursError> {
        let wrong = || HoursError {
            text: text.to_owned(),
        };
        if text.trim().is_empty() {
            return Ok(Self::always());
        }
        let windows = text
            .split(';')
            .map(|part| window(part.trim()).ok_or_else(wrong))
            .collect::<Result<_, _>>()?;
        Ok(Self { windows })
    }
}

fn window(text: &str) -> Option<Window> {
    let (days, hours) = match text.rsplit_once(' ') {
        Some((days, hours)) => (read_days(days)?, hours),
        None => (0b111_1111, text),
    };
    let (start, end) = hours.split_once('-')?;
    let (start_min, end_min) = (minute_of_day(start)?, minute_of_day(end)?);
    // An empty window would close for ever what somebody meant to open.
    (start_min < end_min).then_some(Window {
        days,
        start_min,
        end_min,
    })
}

fn read_days(text: &str) -> Option<u8> {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let day = |name: &str| {
        DAYS.iter()
            .position(|day| name.trim().eq_ignore_ascii_case(day))
    };
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(part)?, day(part)?),
        };
        let length = (last + 7 - first) % 7;
        for offset in 0..=length {
            days |= 1 << ((first + offset) % 7);
        }
    }
    Some(days)
}

fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let plain = |t: &str| (1..=2).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
    if !plain(hour) || !plain(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let total = hour * 60 + minute;
    (minute < 60 && total <= DAY_MIN).then_some(total)
}

impl fmt::Display for CallingHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        for (index, window) in self.windows.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            if window.days != 0b111_1111 {
                let days: Vec<&str> = (0..7)
                    .filter(|day| window.days & (1 << day) != 0)
                    .map(|day| DAYS[day])
                    .collect();
                write!(f, "{} ", days.join(","))?;
            }
            let (start, end) = (window.start_min, window.end_min);
            write!(
                f,
                "{:02}:{:02}-{:02}:{:02}",
                start / 60,
                start % 60,
                end / 60,
                end % 60
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hours(text: &str) -> CallingHours {
        text.parse().unwrap()
    }

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn hours_are_read_and_written() {
        for text in [
            "09:00-20:00",
            "mon,tue,wed,thu,fri 09:00-18:00; sat 10:00-14:00",
            "",
        ] {
            assert_eq!(hours(text).to_string(), text);
        }
        assert_eq!(
            hours("fri-mon 9:00-24:00").to_string(),
            "mon,fri,sat,sun 09:00-24:00"
        );
        for wrong in [
            "09:00",
            "20:00-09:00",
            "09:00-09:00",
            "9-17",
            "someday 09:00-10:00",
            "09:00-24:01",
            "09:60-10:00",
            "-1:00-02:00",
            ";",
            "mon 09:00-10:00;",
        ] {
            assert!(wrong.parse::<CallingHours>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_end_is_outside_and_the_start_inside() {
        let hours = hours("09:00-20:00");
        let zone = chrono_tz::Asia::Kolkata;
        assert!(!hours.is_open(utc("2026-01-05T03:29:59Z"), zone));
        assert!(hours.is_open(utc("2026-01-05T03:30:00Z"), zone));
        assert!(hours.is_open(utc("2026-01-05T14:29:59Z"), zone));
        assert!(!hours.is_open(utc("2026-01-05T14:30:00Z"), zone));
        let next = hours.next_open(utc("2026-01-05T14:30:00Z"), &[zone]);
        assert_eq!(next, Some(utc("2026-01-06T03:30:00Z")));
    }

    #[test]
    fn clocks_that_jump_move_the_opening() {
        let zone = chrono_tz::America::New_York;
        // 2026-03-08 02:00 EST becomes 03:00 EDT: 02:30 does not exist.
        let early = hours("02:30-06:00");
        let next = early.next_open(utc("2026-03-08T05:00:00Z"), &[zone]);
        assert_eq!(next, Some(utc("2026-03-08T07:00:00Z")));
        // The same civil hour an hour earlier in UTC from that day on.
        let day = hours("09:00-20:00");
        let before = day.next_open(utc("2026-03-07T05:00:00Z"), &[zone]);
        assert_eq!(before, Some(utc("2026-03-07T14:00:00Z")));
        let after = day.next_open(utc("2026-03-09T05:00:00Z"), &[zone]);
        assert_eq!(after, Some(utc("2026-03-09T13:00:00Z")));
        // 2026-11-01 01:30 comes twice: open both times.
        let twice = hours("01:00-02:00");
        for at in ["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"] {
            assert!(twice.is_open(utc(at), zone), "{at}");
        }
    }

    #[test]
    fn several_zones_must_all_be_open() {
        let zones = [
            chrono_tz::America::New_York,
            chrono_tz::America::Los_Angeles,
        ];
        let next = hours("09:00-20:00").next_open(utc("2026-01-05T14:30:00Z"), &zones);
        assert_eq!(next, Some(utc("2026-01-05T17:00:00Z")));
        let far = [chrono_tz::Pacific::Auckland, chrono_tz::America::New_York];
        assert_eq!(
            hours("09:00-10:00").next_open(utc("2026-01-05T00:00:00Z"), &far),
            None
        );
    }

    proptest! {
        /// The next opening is open, and nothing before it is, minute by minute.
        #[test]
        fn the_next_opening_is_the_first(
            start in 0_u16..1430, length in 1_u16..600, days in 1_u8..128,
            at in 1_700_000_000_i64..1_900_000_000, zone in 0..chrono_tz::TZ_VARIANTS.len(),
        ) {
            let hours = CallingHours { windows: vec![Window {
                days, start_min: start, end_min: (start + length).min(DAY_MIN),
            }]};
            let zone = chrono_tz::TZ_VARIANTS[zone];
            let now = DateTime::from_timestamp(at, 0).unwrap();
            if let Some(next) = hours.next_open(now, &[zone]) {
                prop_assert!(hours.is_open(next, zone));
                prop_assert!(next >= now);
                let mut before = next - Duration::minutes(1);
                let mut looked = 0;
                while before >= now && looked < 12 * 24 * 60 {
                    prop_assert!(!hours.is_open(before, zone), "{before} is open too");
                    before -= Duration::minutes(7);
                    looked += 1;
                }
            }
        }
    }
}
