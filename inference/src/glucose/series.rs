//! Readings of a continuous monitor, and the stretch of them that a forecast rests on. What cannot carry a forecast is
//! refused with the reason.

use std::fmt;

/// What sensors show (user guides of Dexcom G6 and FreeStyle Libre 2, which write LOW and HIGH beyond or shortly above):
/// readings are cut here, and no forecast lies outside.
pub const LOWEST_MG_DL: f32 = 40.0;
/// As [`LOWEST_MG_DL`].
pub const HIGHEST_MG_DL: f32 = 400.0;
/// One mmol/L of glucose in mg/dL: its molar mass is 180.156 g/mol.
pub const MG_DL_PER_MMOL_L: f32 = 18.0156;
/// The oldest last reading that is still forecast from: a sensor that reads every 15 minutes, and one that is late.
pub const MAX_AGE_S: i64 = 20 * 60;

/// No sensor shows less as a number: what is, is in another unit or no reading.
const LEAST_NUMBER_MG_DL: f32 = 30.0;
/// No sensor shows more (FreeStyle Libre 2: 500).
const MOST_NUMBER_MG_DL: f32 = 600.0;
/// A whole series below this can only be in mmol/L: 35 mmol/L is more than any sensor shows.
const MMOL_BELOW: f32 = 35.0;
/// The grid of the network.
pub(crate) const STEP_S: i64 = 5 * 60;
/// Steps back that the network sees.
pub(crate) const STEPS: usize = 12;
/// Readings that the network sees in summary.
const HISTORY_S: i64 = 3 * 3600;
/// Between two readings of the last hour may lie one that a 15-minute sensor takes late, or three of a 5-minute sensor.
const MAX_GAP_S: i64 = 20 * 60;
/// The readings must reach back nearly as far as the network looks.
const LEAST_S: i64 = STEPS as i64 * STEP_S - STEP_S;
/// All the same for this long: a sensor that hangs.
const FLAT_S: i64 = 2 * 3600;
/// Glucose changes by 4 to 5 mg/dL a minute at the most (Dunn et al., Diabetes Res Clin Pract 2004, saw 4 or less in
/// 99 %); twice as much is a new sensor, a calibration or pressure on it.
const MAX_RATE_MG_DL_PER_MIN: f32 = 10.0;

/// One reading.
#[derive(Clone, Copy, PartialEq)]
pub struct GlucoseReading {
    /// Seconds on any even scale.
    pub at_s: i64,
    /// Glucose in mg/dL.
    pub mg_per_dl: f32,
}

impl fmt::Debug for GlucoseReading {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("GlucoseReading")
    }
}

/// Why there is no forecast.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nothing to forecast from.
    #[error("there is no reading")]
    Empty,
    /// All values are what mmol/L would be.
    #[error("all values are below 35: they look like mmol/L, not mg/dL; say so with the unit")]
    Millimoles,
    /// All values are above what any sensor shows.
    #[error("all values are above 600 mg/dL: they look like mg/dL that were taken for mmol/L")]
    Milligrams,
    /// One reading that no sensor shows.
    #[error("reading {number} is no number that a sensor shows (30 to 600 mg/dL): units may be mixed")]
    Value {
        /// Counted from 1.
        number: usize,
    },
    /// Time does not rise.
    #[error("reading {number} is not later than the one before it")]
    Order {
        /// Counted from 1.
        number: usize,
    },
    /// The last reading is old.
    #[error("the last reading is {minutes} minutes old; a forecast needs one of the last 20")]
    Old {
        /// How old.
        minutes: i64,
    },
    /// Too little before the last reading.
    #[error("readings reach back {minutes} minutes without a break; a forecast needs 55")]
    TooFew {
        /// How far.
        minutes: i64,
    },
    /// A hole in the last hour.
    #[error("{minutes} minutes are missing in the last hour; at most 20 may lie between two readings")]
    Gap {
        /// How long.
        minutes: i64,
    },
    /// Nothing changes.
    #[error("all readings of the last two hours are the same: the sensor may hang")]
    Flat,
    /// A change that blood cannot make.
    #[error("a change of more than 10 mg/dL a minute in the last hour: a new sensor, or one that is pressed")]
    Jump,
}

impl Refusal {
    /// All names, for counting.
    pub const NAMES: [&'static str; 10] = [
        "empty",
        "millimoles",
        "milligrams",
        "no-such-reading",
        "order",
        "old",
        "too-few",
        "gap",
        "flat",
        "jump",
    ];

    /// Its name in counts.
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::Empty => Self::NAMES[0],
            Refusal::Millimoles => Self::NAMES[1],
            Refusal::Milligrams => Self::NAMES[2],
            Refusal::Value { .. } => Self::NAMES[3],
            Refusal::Order { .. } => Self::NAMES[4],
            Refusal::Old { .. } => Self::NAMES[5],
            Refusal::TooFew { .. } => Self::NAMES[6],
            Refusal::Gap { .. } => Self::NAMES[7],
            Refusal::Flat => Self::NAMES[8],
            Refusal::Jump => Self::NAMES[9],
        }
    }
}

/// Readings in order of time, each one that a sensor can show.
#[derive(Clone, PartialEq)]
pub struct GlucoseSeries(Vec<GlucoseReading>);

impl fmt::Debug for GlucoseSeries {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "GlucoseSeries({} readings)", self.0.len())
    }
}

impl GlucoseSeries {
    /// Checks unit, values and order.
    ///
    /// # Errors
    /// [`Refusal`] with the first thing that is wrong.
    pub fn new(readings: Vec<GlucoseReading>) -> Result<GlucoseSeries, Refusal> {
        if readings.is_empty() {
            return Err(Refusal::Empty);
        }
        let all = |holds: fn(f32) -> bool| readings.iter().all(|reading| holds(reading.mg_per_dl));
        if all(|value| value > 0.0 && value < MMOL_BELOW) {
            return Err(Refusal::Millimoles);
        }
        if all(|value| value.is_finite() && value > MOST_NUMBER_MG_DL) {
            return Err(Refusal::Milligrams);
        }
        let shown = LEAST_NUMBER_MG_DL..=MOST_NUMBER_MG_DL;
        if let Some(at) = readings.iter().position(|reading| !shown.contains(&reading.mg_per_dl)) {
            return Err(Refusal::Value { number: at + 1 });
        }
        if let Some(at) = readings.windows(2).position(|pair| pair[1].at_s <= pair[0].at_s) {
            return Err(Refusal::Order { number: at + 2 });
        }
        let cut = |reading: GlucoseReading| GlucoseReading {
            mg_per_dl: reading.mg_per_dl.clamp(LOWEST_MG_DL, HIGHEST_MG_DL),
            ..reading
        };
        Ok(GlucoseSeries(readings.into_iter().map(cut).collect()))
    }

    /// The readings, each cut to what all sensors show.
    pub fn readings(&self) -> &[GlucoseReading] {
        &self.0
    }

    /// What a forecast at a time rests on; without a time at the last reading.
    ///
    /// # Errors
    /// [`Refusal`] when the readings before that time do not carry a forecast.
    pub fn window(&self, at_s: Option<i64>) -> Result<Window<'_>, Refusal> {
        let until = at_s.map_or(self.0.len(), |at_s| self.0.partition_point(|reading| reading.at_s <= at_s));
        let last = self.0[..until].last().ok_or(Refusal::Empty)?;
        if let Some(age) = at_s.map(|at_s| at_s.saturating_sub(last.at_s)).filter(|age| *age > MAX_AGE_S) {
            return Err(Refusal::Old { minutes: age / 60 });
        }
        Window::ending(&self.0[..until])
    }
}

/// The readings of the last hours before a forecast, found good enough for one.
#[derive(Clone, Copy, PartialEq)]
pub struct Window<'a> {
    /// At most three hours, without a break.
    readings: &'a [GlucoseReading],
    last: GlucoseReading,
}

impl fmt::Debug for Window<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Window({} readings)", self.readings.len())
    }
}

impl<'a> Window<'a> {
    fn ending(readings: &'a [GlucoseReading]) -> Result<Window<'a>, Refusal> {
        let last = *readings.last().ok_or(Refusal::Empty)?;
        let reach = |seconds: i64| last.at_s.saturating_sub(seconds);
        let from = readings.partition_point(|reading| reading.at_s < reach(HISTORY_S));
        let recent = &readings[from..];
        // The unbroken stretch up to the last reading.
        let breaks = recent.windows(2).rposition(|pair| pair[1].at_s - pair[0].at_s > MAX_GAP_S);
        let whole = &recent[breaks.map_or(0, |at| at + 1)..];
        let covered = last.at_s - whole[0].at_s;
        if covered < LEAST_S {
            return Err(match breaks.filter(|at| recent[*at].at_s >= reach(HISTORY_S / 2)) {
                Some(at) => Refusal::Gap { minutes: (recent[at + 1].at_s - recent[at].at_s) / 60 },
                None => Refusal::TooFew { minutes: covered / 60 },
            });
        }
        let flat = |reading: &&GlucoseReading| reading.at_s >= reach(FLAT_S);
        let alike = whole.iter().filter(flat).all(|reading| reading.mg_per_dl == last.mg_per_dl);
        if covered >= FLAT_S && alike {
            return Err(Refusal::Flat);
        }
        let jump = |pair: &[GlucoseReading]| {
            let minutes = ((pair[1].at_s - pair[0].at_s) as f32 / 60.0).max(1.0);
            pair[1].at_s > reach(LEAST_S)
                && (pair[1].mg_per_dl - pair[0].mg_per_dl).abs() / minutes > MAX_RATE_MG_DL_PER_MIN
        };
        if whole.windows(2).any(jump) {
            return Err(Refusal::Jump);
        }
        Ok(Window { readings: whole, last })
    }

    /// The reading that everything is counted from.
    pub fn last(&self) -> GlucoseReading {
        self.last
    }

    /// The readings, the last one included.
    pub fn readings(&self) -> &'a [GlucoseReading] {
        self.readings
    }

    /// Glucose at a time before the last reading, in mg/dL: between two readings on the straight line, before the first as
    /// the first.
    pub(crate) fn at(&self, at_s: i64) -> f32 {
        let after = self.readings.partition_point(|reading| reading.at_s < at_s);
        match (after.checked_sub(1).and_then(|before| self.readings.get(before)), self.readings.get(after)) {
            (Some(before), Some(after)) => {
                let share = (at_s - before.at_s) as f32 / (after.at_s - before.at_s) as f32;
                before.mg_per_dl + share * (after.mg_per_dl - before.mg_per_dl)
            }
            (None, Some(only)) | (Some(only), None) => only.mg_per_dl,
            (None, None) => self.last.mg_per_dl,
        }
    }

    /// The change over the minutes before the last reading, in mg/dL a minute.
    pub fn rate_per_min(&self, minutes: u32) -> f32 {
        let minutes = minutes.max(1);
        (self.last.mg_per_dl - self.at(self.last.at_s.saturating_sub(i64::from(minutes) * 60)))
            / minutes as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readings every `minutes`, of the values.
    fn every(minutes: i64, values: &[f32]) -> Vec<GlucoseReading> {
        let reading =
            |(at, value): (usize, &f32)| GlucoseReading { at_s: at as i64 * minutes * 60, mg_per_dl: *value };
        values.iter().enumerate().map(reading).collect()
    }

    fn rising(count: usize) -> Vec<f32> {
        (0..count).map(|at| 100.0 + at as f32).collect()
    }

    fn refusal(readings: Vec<GlucoseReading>) -> Option<Refusal> {
        match GlucoseSeries::new(readings) {
            Err(refusal) => Some(refusal),
            Ok(series) => series.window(None).err(),
        }
    }

    #[test]
    fn an_hour_of_readings_carries_a_forecast() {
        assert_eq!(refusal(every(5, &rising(12))), None);
        assert_eq!(refusal(every(15, &rising(5))), None);
        assert_eq!(refusal(every(1, &rising(70))), None);
    }

    #[test]
    fn what_carries_no_forecast_is_refused_with_the_reason() {
        let edited = |change: fn(&mut Vec<GlucoseReading>)| {
            let mut readings = every(5, &rising(40));
            change(&mut readings);
            refusal(readings)
        };
        assert_eq!(refusal(vec![]), Some(Refusal::Empty));
        assert_eq!(refusal(every(5, &rising(11))), Some(Refusal::TooFew { minutes: 50 }));
        assert_eq!(refusal(every(30, &rising(40))), Some(Refusal::Gap { minutes: 30 }));
        assert_eq!(refusal(every(5, &[5.4; 40])), Some(Refusal::Millimoles));
        assert_eq!(refusal(every(5, &[1_800.0; 40])), Some(Refusal::Milligrams));
        assert_eq!(refusal(every(5, &[140.0; 40])), Some(Refusal::Flat));
        assert_eq!(edited(|r| r[3].mg_per_dl = f32::NAN), Some(Refusal::Value { number: 4 }));
        assert_eq!(edited(|r| r[3].mg_per_dl = 6.1), Some(Refusal::Value { number: 4 }));
        assert_eq!(edited(|r| r[3].mg_per_dl = -1.0), Some(Refusal::Value { number: 4 }));
        assert_eq!(edited(|r| r.swap(8, 9)), Some(Refusal::Order { number: 10 }));
        assert_eq!(edited(|r| r[9].at_s = r[8].at_s), Some(Refusal::Order { number: 10 }));
        assert_eq!(edited(|r| r[38].mg_per_dl += 60.0), Some(Refusal::Jump));
        assert_eq!(edited(|r| drop(r.drain(33..37))), Some(Refusal::Gap { minutes: 25 }));
    }

    #[test]
    fn reasons_are_counted_apart() {
        let reasons = [
            Refusal::Empty,
            Refusal::Millimoles,
            Refusal::Milligrams,
            Refusal::Value { number: 4 },
            Refusal::Order { number: 4 },
            Refusal::Old { minutes: 4 },
            Refusal::TooFew { minutes: 4 },
            Refusal::Gap { minutes: 4 },
            Refusal::Flat,
            Refusal::Jump,
        ];
        assert_eq!(reasons.map(Refusal::name), Refusal::NAMES);
        let names: std::collections::BTreeSet<_> = Refusal::NAMES.into_iter().collect();
        assert_eq!(names.len(), Refusal::NAMES.len());
    }

    #[test]
    fn an_old_gap_and_an_old_jump_do_not_matter() {
        let mut readings = every(5, &rising(60));
        readings[20].mg_per_dl += 60.0;
        readings.drain(30..36);
        assert_eq!(refusal(readings), None);
    }

    #[test]
    fn the_last_reading_may_be_twenty_minutes_old() {
        let series = GlucoseSeries::new(every(5, &rising(20))).unwrap();
        let last = 19 * 300;
        assert!(series.window(Some(last + MAX_AGE_S)).is_ok());
        assert_eq!(series.window(Some(last + MAX_AGE_S + 60)), Err(Refusal::Old { minutes: 21 }));
        assert_eq!(series.window(Some(-1)), Err(Refusal::Empty));
        // A forecast in the past sees nothing of what came later.
        assert_eq!(series.window(Some(last - 300)).unwrap().last().mg_per_dl, 118.0);
        assert_eq!(series.window(Some(i64::MAX)), Err(Refusal::Old { minutes: (i64::MAX - last) / 60 }));
    }

    #[test]
    fn between_two_readings_lies_the_straight_line() {
        let series = GlucoseSeries::new(every(15, &[100.0, 130.0, 100.0, 100.0, 115.0])).unwrap();
        let window = series.window(None).unwrap();
        assert_eq!(window.at(5 * 60), 110.0);
        assert_eq!(window.at(-600), 100.0);
        assert_eq!(window.rate_per_min(15), 1.0);
    }
}
