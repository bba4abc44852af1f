//! Amounts: whole millionths of a currency, never floats.

use serde_json::{Number, Value};

/// Millionths in one unit of a currency.
pub const MICROS: i64 = 1_000_000;
/// Largest amount of one command: a thousand million units. What is larger is a mistake.
pub const AMOUNT_MAX: i64 = 1_000_000_000 * MICROS;
/// Hundredths of a percent in the whole.
const BPS: i128 = 10_000;

/// Reads a decimal number such as `12.34` or `1e-3` exactly; `None` when it is not one, has more
/// than six decimals, or is out of range.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    if !(-40..=40).contains(&exponent) || mantissa.len() > 40 {
        return None;
    }
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    if all.is_empty() || !all.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // Digits are worth 10^-decimals each; micros are 10^-6.
    let decimals = i32::try_from(fraction.len()).ok()? - exponent;
    let mut value: i128 = 0;
    for digit in &all {
        value = value
            .checked_mul(10)?
            .checked_add(i128::from(digit - b'0'))?;
    }
    let shift = 6 - decimals;
    let scale = 10_i128.checked_pow(shift.unsigned_abs())?;
    let value = if shift >= 0 {
        value.checked_mul(scale)?
    } else if value % scale == 0 {
        value / scale
    } else {
        return None;
    };
    i64::try_from(if negative { -value } else { value }).ok()
}

/// The amount of a JSON number or decimal text.
#[must_use]
pub fn from_json(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => parse(&number.to_string()),
        Value::String(text) => parse(text.trim()),
        _ => None,
    }
}

/// Decimal text with six places: `12.340000`.
#[must_use]
pub fn decimal(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let magnitude = micros.unsigned_abs();
    format!(
        "{sign}{}.{:06}",
        magnitude / 1_000_000,
        magnitude % 1_000_000
    )
}

/// The JSON number that an API field named `…_usd` shows. Clients that count use the decimal text.
#[must_use]
pub fn number(micros: i64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "shown, not counted with")]
    let units = micros as f64 / 1e6;
    Number::from_f64(units).map_or(Value::Null, Value::Number)
}

/// `numerator / denominator` rounded to the nearest whole, halves to the even neighbour.
///
/// # Panics
/// Never: a denominator below 1 counts as 1.
#[must_use]
pub fn round_half_even(numerator: i128, denominator: i128) -> i128 {
    let denominator = denominator.max(1);
    let (floor, rest) = (
        numerator.div_euclid(denominator),
        numerator.rem_euclid(denominator),
    );
    match (rest * 2).cmp(&denominator) {
        std::cmp::Ordering::Less => floor,
        std::cmp::Ordering::Greater => floor + 1,
        std::cmp::Ordering::Equal => floor + floor.rem_euclid(2),
    }
}

/// This share, in hundredths of a percent, of an amount, rounded once.
#[must_use]
pub fn share(amount: i64, bps: i64) -> i64 {
    let exact = i128::from(amount) * i128::from(bps);
    i64::try_from(round_half_even(exact, BPS)).unwrap_or(i64::MAX)
}

/// Beginning of the calendar month (UTC) that a time lies in, both in microseconds since 1970.
#[must_use]
pub fn month_start(at: i64) -> i64 {
    use chrono::Datelike as _;
    let time = chrono::DateTime::from_timestamp_micros(at).unwrap_or_default();
    let first = time.date_naive().with_day(1).unwrap_or_default();
    first
        .and_hms_opt(0, 0, 0)
        .unwrap_or_default()
        .and_utc()
        .timestamp_micros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly_or_not_at_all() {
        for (text, micros) in [
            ("0", 0),
            ("1", 1_000_000),
            ("-0.5", -500_000),
            ("0.000001", 1),
            ("12.34", 12_340_000),
            ("1e-6", 1),
            ("1.5E3", 1_500_000_000),
            ("9223372036854.775807", i64::MAX),
        ] {
            assert_eq!(parse(text), Some(micros), "{text}");
        }
        for text in [
            "",
            "-",
            ".",
            "1.0000001",
            "1e-7",
            "abc",
            "1,5",
            "9223372036854.775808",
            "1e30",
            "NaN",
            "0x1",
            "1e",
            "--1",
            "inf",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("1.0000000"), Some(1_000_000));
        assert_eq!(decimal(-12_340_000), "-12.340000");
        assert_eq!(decimal(i64::MIN), "-9223372036854.775808");
    }

    #[test]
    fn halves_go_to_the_even_neighbour() {
        for (numerator, expected) in [(5, 2), (15, 8), (25, 12), (24, 12), (26, 13), (-5, -2)] {
            assert_eq!(round_half_even(numerator, 2), expected, "{numerator}/2");
        }
        assert_eq!(round_half_even(1, 3), 0);
        assert_eq!(round_half_even(2, 3), 1);
        assert_eq!(share(1_000_001, 5_000), 500_000);
        assert_eq!(share(1_000_003, 5_000), 500_002);
    }

    #[test]
    fn months_begin_where_the_calendar_says() {
        let at = |text: &str| {
            chrono::DateTime::parse_from_rfc3339(text)
                .unwrap()
                .timestamp_micros()
        };
        for (time, start) in [
            ("2024-02-29T23:59:59.999999Z", "2024-02-01T00:00:00Z"),
            ("2024-03-01T00:00:00Z", "2024-03-01T00:00:00Z"),
            ("2025-12-31T23:00:00Z", "2025-12-01T00:00:00Z"),
        ] {
            assert_eq!(month_start(at(time)), at(start), "{time}");
        }
    }
}
