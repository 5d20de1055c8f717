//! One number over time.

use std::fmt;

/// The most points of a series; the methods here look at pairs.
pub const MAX_POINTS: usize = 100_000;

/// Why numbers are no series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeriesError {
    /// Too few for anything to be said.
    #[error("at least {needed} measurements are needed, not {found}")]
    TooFew {
        /// What the method needs.
        needed: usize,
        /// What there is.
        found: usize,
    },
    /// More than are looked at.
    #[error("more than {MAX_POINTS} measurements")]
    TooMany,
    /// Not a number, or one that is not finite.
    #[error("a measurement is not a finite number")]
    NotFinite,
    /// All at one time.
    #[error("all measurements are of one time")]
    OneTime,
}

/// Measurements in order of time, one for each time.
#[derive(Clone, PartialEq)]
pub struct Series(Vec<(i64, f64)>);

impl fmt::Debug for Series {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Series({} points)", self.0.len())
    }
}

impl Series {
    /// Orders measurements by time (seconds); of several at one time the mean counts.
    ///
    /// # Errors
    /// [`SeriesError`] when there are fewer than three times, too many, or one is no number.
    pub fn new(mut points: Vec<(i64, f64)>) -> Result<Series, SeriesError> {
        const NEEDED: usize = 3;
        if points.len() > MAX_POINTS {
            return Err(SeriesError::TooMany);
        }
        if points.iter().any(|(_, value)| !value.is_finite()) {
            return Err(SeriesError::NotFinite);
        }
        points.sort_by_key(|(at_s, _)| *at_s);
        let mean = |same: &[(i64, f64)]| {
            (same[0].0, same.iter().map(|(_, value)| value / same.len() as f64).sum::<f64>())
        };
        let merged: Vec<(i64, f64)> = points.chunk_by(|one, other| one.0 == other.0).map(mean).collect();
        match merged.len() {
            1 if points.len() >= NEEDED => Err(SeriesError::OneTime),
            found if found < NEEDED => Err(SeriesError::TooFew { needed: NEEDED, found }),
            _ => Ok(Series(merged)),
        }
    }

    /// Times in seconds, and values.
    pub fn points(&self) -> &[(i64, f64)] {
        &self.0
    }

    pub(crate) fn at_least(&self, needed: usize) -> Result<(), SeriesError> {
        let found = self.0.len();
        if found < needed { Err(SeriesError::TooFew { needed, found }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_ordered_and_those_of_one_time_joined() {
        let series = Series::new(vec![(30, 3.0), (10, 1.0), (10, 2.0), (20, 5.0)]).unwrap();
        assert_eq!(series.points(), [(10, 1.5), (20, 5.0), (30, 3.0)]);
    }

    #[test]
    fn what_is_no_series_is_refused() {
        let of = |points: &[(i64, f64)]| Series::new(points.to_vec()).unwrap_err();
        assert_eq!(of(&[]), SeriesError::TooFew { needed: 3, found: 0 });
        assert_eq!(of(&[(1, 1.0), (1, 2.0), (1, 3.0)]), SeriesError::OneTime);
        assert_eq!(of(&[(1, 1.0), (2, f64::NAN), (3, 3.0)]), SeriesError::NotFinite);
        assert_eq!(Series::new(vec![(1, 1.0); MAX_POINTS + 1]), Err(SeriesError::TooMany));
    }
}
