//! What is learned from and judged on: persons with their readings, cut into windows whose future is known.

use super::baseline::TREND_MIN;
use super::network::{INPUTS, Row};
use super::series::{GlucoseReading, GlucoseSeries, HIGHEST_MG_DL, LOWEST_MG_DL, Refusal, Window};
use super::{HORIZONS_MIN, network};

/// Windows of one person lie at least this far apart: closer ones tell nearly the same.
const APART_S: i64 = 15 * 60;
/// Windows of one person that are taken, evenly over their time: two weeks, so that nobody counts for many.
const MOST_WINDOWS: usize = 14 * 24 * 4;
/// A reading this near to the forecast time is the truth of it.
const NEAR_S: i64 = 150;

/// A person with readings, for measuring and learning.
#[derive(Clone)]
pub struct LabelledPerson {
    /// Who, within the data: the same for all readings of one person.
    pub person: String,
    /// The data set.
    pub data_set: String,
    /// Type of diabetes, as the data set calls it.
    pub status: String,
    /// All readings that were measured; none that was filled in.
    pub series: GlucoseSeries,
}

impl std::fmt::Debug for LabelledPerson {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "LabelledPerson({}, {:?})", self.data_set, self.series)
    }
}

/// A window whose future is known.
#[derive(Clone, Copy)]
pub(crate) struct Example {
    pub(crate) row: Row,
    /// The last reading, mg/dL.
    pub(crate) last: f32,
    /// The change of the last 15 minutes, mg/dL a minute.
    pub(crate) rate_per_min: f32,
    /// What came after, mg/dL.
    pub(crate) truth: [f32; HORIZONS_MIN.len()],
}

/// The windows of a person, and how many would have been refused although their future is known.
pub(crate) fn examples(person: &LabelledPerson) -> (Vec<Example>, usize) {
    let readings = person.series.readings();
    let (mut all, mut refused, mut before) = (Vec::new(), 0, i64::MIN);
    for reading in readings {
        if reading.at_s < before.saturating_add(APART_S) {
            continue;
        }
        let future = HORIZONS_MIN.map(|minutes| near(readings, reading.at_s + i64::from(minutes) * 60));
        let [Some(soon), Some(later)] = future else { continue };
        match person.series.window(Some(reading.at_s)) {
            Ok(window) => all.push(example(&window, [soon, later])),
            // The first hour of a sensor is no failure.
            Err(Refusal::TooFew { .. } | Refusal::Gap { .. }) => continue,
            Err(_) => refused += 1,
        }
        before = reading.at_s;
    }
    let step = all.len().div_ceil(MOST_WINDOWS).max(1);
    (all.into_iter().step_by(step).collect(), refused)
}

fn example(window: &Window<'_>, truth: [f32; HORIZONS_MIN.len()]) -> Example {
    let row: [f32; INPUTS] = network::row(window);
    Example { row, last: window.last().mg_per_dl, rate_per_min: window.rate_per_min(TREND_MIN), truth }
}

/// The reading nearest to a time, if one is near.
fn near(readings: &[GlucoseReading], at_s: i64) -> Option<f32> {
    let after = readings.partition_point(|reading| reading.at_s < at_s);
    let around = [after.checked_sub(1), Some(after)].into_iter().flatten().filter_map(|at| readings.get(at));
    let nearest = around.min_by_key(|reading| (reading.at_s - at_s).abs())?;
    ((nearest.at_s - at_s).abs() <= NEAR_S).then(|| nearest.mg_per_dl.clamp(LOWEST_MG_DL, HIGHEST_MG_DL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_know_what_came_after_and_see_nothing_of_it() {
        let value = |at: i64| 100.0 + (at as f32 / 6.0).sin() * 20.0;
        let readings = (0..200).map(|at| GlucoseReading { at_s: at * 300, mg_per_dl: value(at) });
        let series = GlucoseSeries::new(readings.collect()).unwrap();
        let person =
            |series| LabelledPerson { person: "a".into(), data_set: "b".into(), status: "c".into(), series };
        let (all, refused) = examples(&person(series.clone()));
        assert_eq!(refused, 0);
        // From 55 minutes on every 15, as long as 60 minutes follow.
        assert_eq!(all.len(), (200usize - 11 - 12).div_ceil(3));
        assert_eq!(all[0].last, value(11));
        assert_eq!(all[0].truth, [value(17), value(23)]);
        let cut = GlucoseSeries::new(series.readings()[..12].to_vec()).unwrap();
        assert_eq!(network::row(&cut.window(None).unwrap()), all[0].row);
    }
}
