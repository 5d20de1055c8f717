//! Times as tables write them. Seconds count from 1970; a time without a zone counts as if it were UTC, which is good for
//! differences and nothing else.

use jiff::civil::{Date, Time};

/// Why a column of times is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeError {
    /// One of them is no time.
    #[error("line {line} has no time that is understood; write YYYY-MM-DD hh:mm:ss")]
    Malformed {
        /// Counted from 1.
        line: u64,
    },
    /// Day and month could be either way round in all lines.
    #[error("day and month cannot be told apart; write YYYY-MM-DD hh:mm:ss")]
    DayOrMonth,
    /// Some with a zone, some without.
    #[error("some times have a zone and some have none")]
    Zones,
}

/// A column of times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    /// In the order of the lines.
    pub seconds: Vec<i64>,
    /// Whether they say where they are on the one time of the world.
    pub zoned: bool,
}

/// One time, as far as it can be understood alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamp {
    Zoned(i64),
    Local(i64),
    /// Two numbers of which one is the day, the year, seconds since midnight.
    Either(i8, i8, i16, i64),
    /// Seconds since midnight of a day that is not said.
    Clock(i64),
}

const DAY_S: i64 = 86_400;

/// Reads one time: `YYYY-MM-DD hh:mm[:ss]`, with `T` and a zone or not.
pub fn time(text: &str) -> Option<i64> {
    match stamp(text)? {
        Stamp::Zoned(seconds) | Stamp::Local(seconds) => Some(seconds),
        Stamp::Either(..) | Stamp::Clock(_) => None,
    }
}

/// Reads a column of texts with their lines. Times of the clock without a day go on to the next day when they fall.
///
/// # Errors
/// [`TimeError`] when one is malformed, or all together leave open what they mean.
pub fn times<'a>(column: impl Iterator<Item = (u64, &'a str)>) -> Result<Times, TimeError> {
    let stamps: Vec<Stamp> = column
        .map(|(line, text)| stamp(text).ok_or(TimeError::Malformed { line }))
        .collect::<Result<_, _>>()?;
    let zoned = stamps.iter().filter(|stamp| matches!(stamp, Stamp::Zoned(_))).count();
    if zoned > 0 && zoned < stamps.len() {
        return Err(TimeError::Zones);
    }
    let either = || {
        stamps.iter().filter_map(|it| if let Stamp::Either(a, b, ..) = it { Some((*a, *b)) } else { None })
    };
    let (day_first, month_first) = (either().any(|(a, _)| a > 12), either().any(|(_, b)| b > 12));
    if either().next().is_some() && day_first == month_first {
        return Err(TimeError::DayOrMonth);
    }
    let (mut day, mut before) = (0, None);
    let mut second = |stamp: &Stamp| match *stamp {
        Stamp::Zoned(seconds) | Stamp::Local(seconds) => Some(seconds),
        Stamp::Either(a, b, year, clock) => {
            let (month, day) = if day_first { (b, a) } else { (a, b) };
            Some(midnight(year, month, day)? + clock)
        }
        Stamp::Clock(clock) => {
            if before.is_some_and(|before| clock < before) {
                day += DAY_S;
            }
            before = Some(clock);
            Some(day + clock)
        }
    };
    let seconds = stamps.iter().map(|stamp| second(stamp).ok_or(TimeError::DayOrMonth));
    Ok(Times { seconds: seconds.collect::<Result<_, _>>()?, zoned: zoned > 0 })
}

/// A time as text, with Z where its zone was said.
pub fn written(seconds: i64, zoned: bool) -> String {
    let text =
        jiff::Timestamp::from_second(seconds).map(|time| time.strftime("%Y-%m-%dT%H:%M:%S").to_string());
    text.map_or_else(|_| "beyond the calendar".to_owned(), |text| if zoned { text + "Z" } else { text })
}

fn stamp(text: &str) -> Option<Stamp> {
    let text = text.trim();
    if text.len() > 40 || !text.is_ascii() {
        return None;
    }
    if text.len() >= 10 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: i64 = text.parse().ok()?;
        // Seconds have ten digits from 2001 to 2286, milliseconds thirteen.
        return match text.len() {
            10 => Some(Stamp::Zoned(number)),
            13 => Some(Stamp::Zoned(number / 1_000)),
            _ => None,
        };
    }
    if let Ok(instant) = text.replacen(' ', "T", 1).parse::<jiff::Timestamp>() {
        return Some(Stamp::Zoned(instant.as_second()));
    }
    let Some((date, clock)) = text.split_once(['T', ' ']).filter(|(date, _)| date.contains(['-', '/', '.']))
    else {
        return if text.contains(':') { Some(Stamp::Clock(clock_s(text)?)) } else { day(text, 0) };
    };
    day(date, clock_s(clock.trim_start())?)
}

fn day(date: &str, clock: i64) -> Option<Stamp> {
    let parts: Vec<&str> = date.split(['-', '/', '.']).collect();
    let [a, b, c] = parts[..] else { return None };
    if a.len() == 4 {
        return Some(Stamp::Local(midnight(a.parse().ok()?, b.parse().ok()?, c.parse().ok()?)? + clock));
    }
    let (a, b) = (a.parse().ok()?, b.parse().ok()?);
    let year = (c.len() == 4).then(|| c.parse().ok())??;
    ((1..=31).contains(&a) && (1..=31).contains(&b)).then_some(Stamp::Either(a, b, year, clock))
}

fn midnight(year: i16, month: i8, day: i8) -> Option<i64> {
    let date = Date::new(year, month, day).ok()?;
    let since = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(since.timestamp().as_second())
}

/// Seconds since midnight, with or without seconds, a fraction, AM or PM.
fn clock_s(text: &str) -> Option<i64> {
    let upper = text.to_ascii_uppercase();
    let (clock, half) = match (upper.strip_suffix("AM"), upper.strip_suffix("PM")) {
        (Some(clock), _) => (clock, Some(0)),
        (_, Some(clock)) => (clock, Some(12)),
        _ => (upper.as_str(), None),
    };
    let whole = clock.trim().split('.').next()?;
    let mut parts = whole.split(':').map(|part| part.parse::<i8>().ok());
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    let hour = match half {
        Some(half) if (1..=12).contains(&hour) => hour % 12 + half,
        Some(_) => return None,
        None => hour,
    };
    let time = Time::new(hour, minute, second, 0).ok().filter(|_| parts.next().is_none())?;
    Some(i64::from(time.hour()) * 3_600 + i64::from(time.minute()) * 60 + i64::from(time.second()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(texts: &[&str]) -> Result<Vec<i64>, TimeError> {
        times((1..).zip(texts.iter().copied())).map(|times| times.seconds)
    }

    #[test]
    fn the_ways_that_programs_write_times_are_understood() {
        let noon = 1_581_595_200; // 2020-02-13 12:00 UTC
        for text in [
            "2020-02-13 12:00:00",
            "2020-02-13T12:00",
            "2020-02-13T12:00:00Z",
            "2020-02-13T14:00:00+02:00",
            "2020/02/13 12:00:00.5",
            "13.02.2020 12:00",
            "13-02-2020 12:00 PM",
            "02/13/2020 12:00:00 PM",
            "1581595200",
            "1581595200000",
        ] {
            assert_eq!(seconds(&[text]), Ok(vec![noon]), "{text}");
        }
        assert_eq!(seconds(&["2020-02-13"]), Ok(vec![noon - 43_200]));
        assert_eq!(seconds(&["02/13/2020 12:00:00 AM"]), Ok(vec![noon - 43_200]));
    }

    #[test]
    fn a_clock_that_falls_is_the_next_day() {
        assert_eq!(seconds(&["23:50:00", "00:05:00", "00:10:00"]), Ok(vec![85_800, 86_700, 87_000]));
    }

    #[test]
    fn what_is_unclear_is_refused() {
        assert_eq!(seconds(&["01/02/2020 10:00"]), Err(TimeError::DayOrMonth));
        assert_eq!(seconds(&["13/02/2020 10:00", "02/13/2020 10:00"]), Err(TimeError::DayOrMonth));
        assert_eq!(seconds(&["2020-02-13T12:00:00Z", "2020-02-13T12:05:00"]), Err(TimeError::Zones));
        for text in
            ["", "now", "2020-02-30 10:00", "25:00", "10:60", "13:00 PM", "9".repeat(60).as_str(), "é"]
        {
            assert_eq!(seconds(&["2020-01-01 00:00", text]), Err(TimeError::Malformed { line: 2 }), "{text}");
        }
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        assert_eq!(written(1_581_595_200, false), "2020-02-13T12:00:00");
        assert_eq!(time(&written(1_581_595_200, true)), Some(1_581_595_200));
        assert_eq!(written(i64::MAX, false), "beyond the calendar");
    }
}
