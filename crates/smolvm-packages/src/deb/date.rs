//! The dates of release files: `Sat, 11 Jul 2026 10:16:37 UTC`.

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds since 1970 of an RFC 1123 date in UTC.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    let mut words = text.split_ascii_whitespace();
    words.next().filter(|weekday| weekday.ends_with(','))?;
    let day: i64 = words.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)?;
    let year: i64 = words.next()?.parse().ok().filter(|year| (1970..10_000).contains(year))?;
    let mut clock =
        words.next()?.split(':').map(|part| part.parse::<i64>().ok().filter(|part| (0..=60).contains(part)));
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let zone = words.next()?;
    if !matches!(zone, "UTC" | "GMT" | "+0000") || clock.next().is_some() || words.next().is_some() {
        return None;
    }
    let month = i64::try_from(month).ok()? + 1;
    Some(days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// The inverse of [`parse_date`].
pub(crate) fn format_date(seconds: i64) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let (days, clock) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let weekday = WEEKDAYS[usize::try_from(days.rem_euclid(7)).unwrap_or(0)];
    let mut year = 1970 + days / 366;
    while days_since_1970(year + 1, 1, 1) <= days {
        year += 1;
    }
    let mut month = 1;
    while month < 12 && days_since_1970(year, month + 1, 1) <= days {
        month += 1;
    }
    let day = days - days_since_1970(year, month, 1) + 1;
    let name = MONTHS[usize::try_from(month - 1).unwrap_or(0)];
    let (hour, minute, second) = (clock / 3_600, clock / 60 % 60, clock % 60);
    format!("{weekday}, {day:02} {name} {year} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
///
/// The year is taken to begin in March, so that the leap day is its last one and the months before it have a fixed pattern.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_and_written() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 UTC", 0),
            ("Tue, 29 Feb 2000 12:00:00 UTC", 951_825_600),
            ("Sat, 11 Jul 2026 10:16:37 UTC", 1_783_764_997),
            ("Fri, 31 Dec 2027 23:59:59 UTC", 1_830_297_599),
        ] {
            assert_eq!(parse_date(text), Some(seconds), "{text}");
            assert_eq!(format_date(seconds), text);
        }
        for day in 0..40_000 {
            let text = format_date(day * 86_400 + 1);
            assert_eq!(parse_date(&text), Some(day * 86_400 + 1), "{text}");
        }
        assert_eq!(parse_date("Sat, 11 Jul 2026 10:16:37 GMT"), Some(1_783_764_997));
        for wrong in ["", "11 Jul 2026 10:16:37 UTC", "Sat, 11 Jul 2026 10:16:37 CEST", "Sat, 32 Jul 2026 10:16:37 UTC"]
        {
            assert_eq!(parse_date(wrong), None, "{wrong}");
        }
    }
}
