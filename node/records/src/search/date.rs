//! Dates as closed intervals of milliseconds, as wide as they were written (FHIR R4, search, "date").

use jiff::civil::{Date, DateTime};
use serde::{Deserialize, Serialize};

/// From the first to the last millisecond that a written date can mean; both ends belong to it.
/// An open end of a period is `i64::MIN` or `i64::MAX`. A date without a zone is read as UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Interval {
    pub(crate) low: i64,
    pub(crate) high: i64,
}

/// The most time zones differ from UTC (FHIR R4, regular expression of `dateTime`).
const MAX_OFFSET_HOURS: i64 = 14;
const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

impl Interval {
    /// Reads `YYYY`, `YYYY-MM`, `YYYY-MM-DD` or a date and time, with or without seconds, fraction and zone.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if !text.is_ascii() || text.len() > 40 {
            return None;
        }
        match text.split_once('T') {
            None => Self::days(text),
            Some((date, time)) => Self::moment(date, time),
        }
    }

    /// A period, either end of which may be open.
    pub(crate) fn period(start: Option<&str>, end: Option<&str>) -> Option<Self> {
        if start.is_none() && end.is_none() {
            return None;
        }
        let low = start.map_or(Some(i64::MIN), |text| Self::parse(text).map(|i| i.low))?;
        let high = end.map_or(Some(i64::MAX), |text| Self::parse(text).map(|i| i.high))?;
        (low <= high).then_some(Self { low, high })
    }

    fn days(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let year = i16::try_from(digits(parts.next()?, 4)?).ok()?;
        let month = parts.next().map(|part| digits(part, 2)).map_or(Some(None), |m| m.map(Some))?;
        let day = parts.next().map(|part| digits(part, 2)).map_or(Some(None), |d| d.map(Some))?;
        if parts.next().is_some() {
            return None;
        }
        let first = Date::new(year, small(month.unwrap_or(1))?, small(day.unwrap_or(1))?).ok()?;
        let last = match (month, day) {
            (None, _) => first.last_of_year(),
            (Some(_), None) => first.last_of_month(),
            (Some(_), Some(_)) => first,
        };
        Some(Self { low: millis(first), high: millis(last) + DAY_MS - 1 })
    }

    fn moment(date: &str, time: &str) -> Option<Self> {
        let mut parts = date.split('-');
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let year = i16::try_from(digits(year, 4)?).ok()?;
        let day = Date::new(year, small(digits(month, 2)?)?, small(digits(day, 2)?)?).ok()?;
        // A blank is what is left of a plus sign that was not percent-encoded in a query.
        let zone_at = time.find(['Z', '+', '-', ' ']).unwrap_or(time.len());
        let (clock, zone) = time.split_at(zone_at);
        let (since_midnight, span) = clock_millis(clock)?;
        let low = millis(day) + since_midnight - zone_millis(zone)?;
        Some(Self { low, high: low + span - 1 })
    }
}

/// Milliseconds since midnight and the width of what was written: a minute, a second or a part of it.
fn clock_millis(clock: &str) -> Option<(i64, i64)> {
    let (whole, fraction) = clock.split_once('.').map_or((clock, None), |(w, f)| (w, Some(f)));
    let mut parts = whole.split(':');
    let hour = digits(parts.next()?, 2).filter(|hour| *hour < 24)?;
    let minute = digits(parts.next()?, 2).filter(|minute| *minute < 60)?;
    let second = parts.next().map(|part| digits(part, 2)).map_or(Some(None), |s| s.map(Some))?;
    if parts.next().is_some()
        || second.is_some_and(|second| second > 60)
        || (second.is_none() && fraction.is_some())
    {
        return None;
    }
    // A leap second has no place on the Unix scale and is read as the last second of its minute.
    let at = hour * HOUR_MS + minute * MINUTE_MS + second.unwrap_or(0).min(59) * SECOND_MS;
    let Some(fraction) = fraction else {
        return Some((at, if second.is_some() { SECOND_MS } else { MINUTE_MS }));
    };
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let kept = &fraction[..fraction.len().min(3)];
    let unit = [SECOND_MS, 100, 10, 1][kept.len()];
    Some((at + digits(kept, kept.len())? * unit, unit))
}

fn zone_millis(zone: &str) -> Option<i64> {
    let Some(sign) = zone.chars().next() else { return Some(0) };
    if sign == 'Z' {
        return (zone.len() == 1).then_some(0);
    }
    let (hours, minutes) = zone[1..].split_once(':')?;
    let hours = digits(hours, 2).filter(|hours| *hours <= MAX_OFFSET_HOURS)?;
    let offset = hours * HOUR_MS + digits(minutes, 2).filter(|minutes| *minutes < 60)? * MINUTE_MS;
    Some(if sign == '-' { -offset } else { offset })
}

/// Midnight in UTC. Civil arithmetic, so that 9999-12-31 works, which stands for "for ever" in real data.
fn millis(date: Date) -> i64 {
    const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    date.to_datetime(jiff::civil::Time::midnight()).duration_since(EPOCH).as_secs() * SECOND_MS
}

fn digits(text: &str, length: usize) -> Option<i64> {
    if text.len() != length || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn small(number: i64) -> Option<i8> {
    i8::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, low: &str, high: &str) {
        let moment = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        assert_eq!(Interval::parse(text), Some(Interval { low: moment(low), high: moment(high) }), "{text}");
    }

    #[test]
    fn a_date_is_as_wide_as_it_was_written() {
        check("2020", "2020-01-01T00:00:00Z", "2020-12-31T23:59:59.999Z");
        check("2020-02", "2020-02-01T00:00:00Z", "2020-02-29T23:59:59.999Z");
        check("2021-02-03", "2021-02-03T00:00:00Z", "2021-02-03T23:59:59.999Z");
        check("2021-02-03T04:05Z", "2021-02-03T04:05:00Z", "2021-02-03T04:05:59.999Z");
        check("2021-02-03T04:05:06+02:00", "2021-02-03T02:05:06Z", "2021-02-03T02:05:06.999Z");
        check("2021-02-03T04:05:06.7-05:30", "2021-02-03T09:35:06.700Z", "2021-02-03T09:35:06.799Z");
        check("2021-02-03T04:05:06.789123Z", "2021-02-03T04:05:06.789Z", "2021-02-03T04:05:06.789Z");
        check("1969-12-31T23:59:60Z", "1969-12-31T23:59:59Z", "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "20",
            "2020-13",
            "2021-02-29",
            "2020-1-1",
            "2020-01-01T25:00Z",
            "2020-01-01T10",
            "2020-01-01-01",
            "2020-01-01T10:00:00+15:00",
            "2020-01-01T10:00.5Z",
            "2020-01-01T10:00:00Zulu",
            "２０２０",
            "+020",
        ] {
            assert_eq!(Interval::parse(text), None, "{text}");
        }
    }

    #[test]
    fn for_ever_and_open_periods_have_values() {
        assert!(Interval::parse("9999-12-31").unwrap().high > Interval::parse("9999-12-30").unwrap().high);
        let open = Interval::period(Some("2020"), None).unwrap();
        assert_eq!((open.low, open.high), (Interval::parse("2020").unwrap().low, i64::MAX));
        assert_eq!(Interval::period(None, None), None);
        assert_eq!(Interval::period(Some("2021"), Some("2020")), None);
    }
}
