//! Time stamps, exact to the nanosecond.

/// How a stamp is written. Only stamps of one kind can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number of seconds since whatever.
    Seconds,
    /// A date without an offset.
    Local,
    /// A date with an offset from UTC.
    Zoned,
}

const NANOS: i128 = 1_000_000_000;

/// A stamp \[ns\], dates since 1970-01-01; none if it is neither a number of zero or more nor a date.
pub(super) fn parse(text: &str) -> Option<(Kind, i128)> {
    match seconds(text) {
        Some(nanos) if nanos < 0 => None,
        Some(nanos) => Some((Kind::Seconds, nanos)),
        None => date(text),
    }
}

/// A decimal number of seconds in nanoseconds, rounded to the nearest, halves away from zero.
pub(super) fn seconds(text: &str) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().ok()?),
        None => (text, 0),
    };
    let (sign, unsigned) = match mantissa.strip_prefix('-') {
        Some(unsigned) => (-1, unsigned),
        None => (1, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_number = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit());
    if !(is_number(whole) && is_number(fraction)) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    // Digits before the point, were it at the nanosecond.
    let before = whole.len() as i64 + i64::from(exponent) + 9;
    let mut digits = whole.bytes().chain(fraction.bytes()).map(|digit| i128::from(digit - b'0'));
    let mut nanos: i128 = 0;
    for _ in 0..before {
        nanos = nanos.checked_mul(10)?.checked_add(digits.next().unwrap_or(0))?;
    }
    let half = before >= 0 && digits.next().is_some_and(|digit| digit >= 5);
    Some(sign * (nanos + i128::from(half)))
}

/// `YYYY-MM-DD`, a space or `T`, `HH:MM:SS`, up to 9 digits of a second, `Z` or `+hh:mm` or `-hh:mm`.
fn date(text: &str) -> Option<(Kind, i128)> {
    let (moment, rest) = text.split_at_checked(19)?;
    let marks = [(4, "-"), (7, "-"), (13, ":"), (16, ":")];
    if !marks.iter().all(|(at, mark)| moment.get(*at..at + 1) == Some(mark)) {
        return None;
    }
    if !matches!(moment.get(10..11)?, " " | "T") {
        return None;
    }
    let part = |from: usize, to: usize, max: i64| number(moment.get(from..to)?).filter(|n| *n <= max);
    let (year, month, day) = (part(0, 4, 9999)?, part(5, 7, 12)?, part(8, 10, 31)?);
    let (hour, minute, second) = (part(11, 13, 23)?, part(14, 16, 59)?, part(17, 19, 59)?);
    if month < 1 || day < 1 || day > days_of_month(year, month) {
        return None;
    }
    let (fraction_ns, zone) = match rest.strip_prefix('.') {
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (digits, zone) = rest.split_at(end);
            if digits.len() > 9 {
                return None;
            }
            (number(digits)? * 10_i64.pow(9 - digits.len() as u32), zone)
        }
        None => (0, rest),
    };
    let (kind, offset_s) = match zone {
        "" => (Kind::Local, 0),
        "Z" => (Kind::Zoned, 0),
        _ => (Kind::Zoned, offset(zone)?),
    };
    let of_day_s = (hour * 60 + minute) * 60 + second;
    let since_s = days_since_1970(year, month, day) * 86_400 + of_day_s - offset_s;
    Some((kind, i128::from(since_s) * NANOS + i128::from(fraction_ns)))
}

/// `+hh:mm` or `-hh:mm` \[s\].
fn offset(zone: &str) -> Option<i64> {
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let hours = number(hours).filter(|hours| *hours <= 23)?;
    let minutes = number(minutes).filter(|minutes| *minutes <= 59)?;
    let seconds = (hours * 60 + minutes) * 60;
    match zone.get(..1)? {
        "+" => Some(seconds),
        "-" => Some(-seconds),
        _ => None,
    }
}

/// Digits alone, at least one.
fn number(digits: &str) -> Option<i64> {
    if digits.bytes().all(|digit| digit.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// Of the Gregorian calendar, carried back before its time.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let leap_days = |years: i64| years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400);
    let before_year = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969);
    let before_month: i64 = (1..month).map(|month| days_of_month(year, month)).sum();
    before_year + before_month + day - 1
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_keep_their_digits() {
        let table = [
            ("0", 0),
            ("12", 12 * NANOS),
            ("-0.5", -NANOS / 2),
            (".25", NANOS / 4),
            ("3.", 3 * NANOS),
            ("1700000000.123456789", 1_700_000_000_123_456_789),
            ("0.549999952316", 549_999_952),
            ("0.0000000005", 1),
            ("0.00000000049", 0),
            ("1e-3", 1_000_000),
            ("1.5E+2", 150 * NANOS),
            ("5e-10", 1),
            ("9e-11", 0),
            ("1e-300", 0),
        ];
        for (text, expected) in table {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for text in ["", ".", "-", "e5", "1e", "1e400000", "1e300", "nan", "inf", "1 2", "1,5", "0x10", "--1"]
        {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn dates_are_exact() {
        let day = 86_400 * NANOS;
        let table = [
            ("1970-01-01 00:00:00", Kind::Local, 0),
            ("1970-01-01T00:00:00.000000001", Kind::Local, 1),
            ("1969-12-31 23:59:59.9", Kind::Local, -NANOS / 10),
            ("2000-03-01T00:00:00Z", Kind::Zoned, 11_017 * day),
            ("2023-11-16 18:17:03.9799600", Kind::Local, 1_700_158_623_979_960_000),
            ("2024-02-29T23:30:00-01:30", Kind::Zoned, 19_783 * day + 3_600 * NANOS),
            ("2026-01-01T01:00:00+01:00", Kind::Zoned, 20_454 * day),
            ("0000-01-01 00:00:00", Kind::Local, -719_528 * day),
            ("9999-12-31 00:00:00", Kind::Local, 2_932_896 * day),
        ];
        for (text, kind, expected) in table {
            assert_eq!(parse(text), Some((kind, expected)), "{text}");
        }
        let refused = [
            "2023-02-29 00:00:00",
            "1900-02-29 00:00:00",
            "2023-13-01 00:00:00",
            "2023-00-01 00:00:00",
            "2023-04-31 00:00:00",
            "2023-04-00 00:00:00",
            "2023-04-01 24:00:00",
            "2023-04-01 23:59:60",
            "2023-04-01",
            "2023-04-01 10:00",
            "2023-04-01_10:00:00",
            "2023-04-01 10:00:00.",
            "2023-04-01 10:00:00.1234567891",
            "2023-04-01 10:00:00+1:00",
            "2023-04-01 10:00:00+24:00",
            "2023-04-01 10:00:00 UTC",
            "+023-04-01 10:00:00",
            "2023-04-01 10:00:0é",
        ];
        for text in refused {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
