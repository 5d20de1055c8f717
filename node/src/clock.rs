//! The one place that reads the wall clock and draws randomness; everything below is told both.

use std::time::{SystemTime, UNIX_EPOCH};

use getrandom::SysRng;
use keys::Timestamp;
use rand_core::UnwrapErr;

/// Now, as the system's clock says.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// `time` as RFC 3339 text in UTC, to the second.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.as_millis())
        .map(|t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        .unwrap_or_else(|_| "beyond the calendar".to_owned())
}

/// The day of `time` in UTC, as YYYY-MM-DD.
pub(crate) fn date(time: Timestamp) -> String {
    rfc3339(time).chars().take(10).collect()
}

/// The operating system's random numbers. The process ends if it has none: no key may be made without.
pub(crate) fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}
