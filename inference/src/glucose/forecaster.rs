//! The model: its weights, its card, and what it says of readings.

use std::fmt;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::HORIZONS_MIN;
use super::baseline::damped_trend;
use super::labelled::Example;
use super::network::{Changes, Network, Row, row, without_course};
use super::series::{GlucoseReading, GlucoseSeries, HIGHEST_MG_DL, LOWEST_MG_DL, Refusal, STEP_S};
use crate::{Backend, Model, ModelError, Precision};

/// The name of the model in the list of models.
pub const GLUCOSE_MODEL: &str = "glucose-forecast";
/// The share of readings that the interval is to hold.
pub const LEVEL: f64 = 0.8;

const TIMES: usize = HORIZONS_MIN.len();
/// The most members that weights are read for.
const MAX_MEMBERS: usize = 64;
/// The most that an interval is stretched or shrunk: beyond it is none.
const MAX_STRETCH: f32 = 100.0;

/// What the model needs beside its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decision {
    /// One for each member.
    pub(crate) members: Vec<MemberDecision>,
}

/// What belongs to a member. Nothing of it was chosen on the persons that it never saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberDecision {
    /// Whom it never saw.
    pub(crate) unseen: Vec<String>,
    /// By how much its intervals are stretched, for each time.
    pub(crate) stretch: [f32; TIMES],
    /// How the trend is damped that it is compared with, for each time.
    pub(crate) damping: [f32; TIMES],
}

/// A forecast of one time.
#[derive(Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Minutes after the last reading.
    pub minutes: u32,
    /// As often less as more comes, mg/dL.
    pub mg_per_dl: f32,
    /// Low end of the interval, mg/dL.
    pub low: f32,
    /// High end of the interval, mg/dL.
    pub high: f32,
}

/// What a forecast is made of.
#[derive(Clone, Copy, PartialEq)]
pub struct Part {
    /// Minutes after the last reading.
    pub minutes: u32,
    /// The change that would be told after hours at the same level, mg/dL.
    pub level: f32,
    /// What the course of the last hours adds, mg/dL.
    pub course: f32,
}

/// What the model says.
#[derive(Clone, PartialEq)]
pub struct GlucoseForecast {
    /// When the last reading was, on the scale of the readings.
    pub at_s: i64,
    /// The last reading, mg/dL.
    pub last_mg_per_dl: f32,
    /// The change of the last 15 minutes, mg/dL a minute.
    pub rate_per_min: f32,
    /// For each time.
    pub forecasts: [Forecast; TIMES],
    /// What a trend that dies away says, mg/dL.
    pub damped_trend: [f32; TIMES],
    /// What each forecast is made of.
    pub parts: [Part; TIMES],
}

impl Decision {
    fn possible(&self) -> bool {
        let member = |member: &MemberDecision| {
            member.stretch.iter().all(|stretch| (0.0..=MAX_STRETCH).contains(stretch))
                && member.damping.iter().all(|damping| (0.0..=1.0).contains(damping))
        };
        (1..=MAX_MEMBERS).contains(&self.members.len()) && self.members.iter().all(member)
    }
}

impl GlucoseForecast {
    /// Whether all of it are numbers that a sensor shows, and each lies in its interval.
    fn possible(&self) -> bool {
        let shown = |value: f32| (LOWEST_MG_DL..=HIGHEST_MG_DL).contains(&value);
        let at = |it: &Forecast| {
            [it.low, it.mg_per_dl, it.high].into_iter().all(shown)
                && it.low <= it.mg_per_dl
                && it.mg_per_dl <= it.high
        };
        self.forecasts.iter().all(at)
            && self.damped_trend.iter().copied().all(shown)
            && self.parts.iter().all(|part| part.level.is_finite() && part.course.is_finite())
    }
}

macro_rules! debug_without_health_data {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(stringify!($name))
            }
        }
    )*};
}

debug_without_health_data!(Forecast, Part, GlucoseForecast);

/// The model, ready to work.
pub struct GlucoseModel {
    network: Network,
    decision: Decision,
    device: Device,
}

impl fmt::Debug for GlucoseModel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "GlucoseModel({} members)", self.decision.members.len())
    }
}

impl GlucoseModel {
    /// The model that is compiled in.
    ///
    /// # Errors
    /// [`ModelError`] when its weights are damaged.
    pub fn built_in(backend: Backend) -> Result<GlucoseModel, ModelError> {
        GlucoseModel::load(&Model::named(GLUCOSE_MODEL)?, backend)
    }

    /// Reads a model: its weights must have the hash that its card names.
    ///
    /// # Errors
    /// [`ModelError`] when they have not, or do not fit the network.
    pub fn load(model: &Model, backend: Backend) -> Result<GlucoseModel, ModelError> {
        model.verify()?;
        let decision: Decision =
            model.card.figures.decision.clone().try_into().map_err(|_| ModelError::Card)?;
        if !decision.possible() {
            return Err(ModelError::Card);
        }
        let device = backend.device();
        let network =
            Network::read(&model.weights, decision.members.len(), &device).ok_or(ModelError::Weights)?;
        Ok(GlucoseModel { network, decision, device })
    }

    /// Its weights, stored with this many bits. `None` when they do not fit.
    pub fn weights(self, precision: Precision) -> Option<Vec<u8>> {
        self.network.write(precision)
    }

    /// The number of learned values.
    pub fn parameters(&self) -> usize {
        self.network.parameters()
    }

    /// Whether glucose that stays at either end, that falls and that rises is forecast within what sensors show.
    pub(crate) fn self_test(&self) -> Result<(), ModelError> {
        const READINGS: u8 = 16;
        let works = [(LOWEST_MG_DL, 0.0), (HIGHEST_MG_DL, 0.0), (250.0, -10.0), (80.0, 10.0)]
            .into_iter()
            .all(|(first, step)| {
                let reading = |at: u8| GlucoseReading {
                    at_s: i64::from(at) * STEP_S,
                    mg_per_dl: first + step * f32::from(at),
                };
                let series = GlucoseSeries::new((0..READINGS).map(reading).collect());
                let said = series.and_then(|series| self.forecast(&series, None));
                said.is_ok_and(|said| said.possible())
            });
        if works { Ok(()) } else { Err(ModelError::Answers) }
    }

    /// What comes after the last reading, or after the last one before a time.
    ///
    /// # Errors
    /// [`Refusal`] when the readings do not carry a forecast.
    pub fn forecast(&self, series: &GlucoseSeries, at_s: Option<i64>) -> Result<GlucoseForecast, Refusal> {
        let window = series.window(at_s)?;
        let (last, row) = (window.last(), row(&window));
        let members: Vec<usize> = (0..self.decision.members.len()).collect();
        let said = self.said(&[row, without_course(row)], &members);
        let middles = |at: usize| said.get(at).map_or([0.0; TIMES], |changes| changes.map(|it| it[1]));
        let (whole, level) = (middles(0), middles(1));
        let forecasts = said.first().map_or([[0.0; 3]; TIMES], |changes| placed(changes, last.mg_per_dl));
        let damping = self.mean_damping();
        Ok(GlucoseForecast {
            at_s: last.at_s,
            last_mg_per_dl: last.mg_per_dl,
            rate_per_min: window.rate_per_min(super::baseline::TREND_MIN),
            forecasts: std::array::from_fn(|time| {
                let [low, mg_per_dl, high] = forecasts[time];
                Forecast { minutes: HORIZONS_MIN[time], mg_per_dl, low, high }
            }),
            damped_trend: std::array::from_fn(|time| {
                damped_trend(&window, HORIZONS_MIN[time], damping[time])
            }),
            parts: std::array::from_fn(|time| Part {
                minutes: HORIZONS_MIN[time],
                level: level[time],
                course: whole[time] - level[time],
            }),
        })
    }

    /// Low end, middle and high end in mg/dL for windows of a person, said by the members that never saw that person; by all
    /// when every member is a stranger. With them how a trend is damped for that person.
    pub(crate) fn judge(&self, person: &str, examples: &[Example]) -> (Vec<Changes>, [f32; TIMES]) {
        let members = self.decision.members.iter().enumerate();
        let unseen: Vec<usize> = members
            .filter(|(_, member)| member.unseen.iter().any(|other| other == person))
            .map(|(index, _)| index)
            .collect();
        let damping =
            unseen.first().map_or_else(|| self.mean_damping(), |at| self.decision.members[*at].damping);
        let members = if unseen.is_empty() { (0..self.decision.members.len()).collect() } else { unseen };
        let rows: Vec<Row> = examples.iter().map(|example| example.row).collect();
        let said = self.said(&rows, &members);
        let placed = said.iter().zip(examples).map(|(changes, example)| placed(changes, example.last));
        (placed.collect(), damping)
    }

    fn mean_damping(&self) -> [f32; TIMES] {
        let count = self.decision.members.len() as f32;
        std::array::from_fn(|time| {
            self.decision.members.iter().map(|member| member.damping[time]).sum::<f32>() / count
        })
    }

    /// The changes that members say, stretched and averaged.
    fn said(&self, rows: &[Row], members: &[usize]) -> Vec<Changes> {
        let mut sum = vec![[[0.0; 3]; TIMES]; rows.len()];
        for member in members {
            let stretch = self.decision.members[*member].stretch;
            for (sum, said) in sum.iter_mut().zip(self.network.changes(rows, *member, &self.device)) {
                for (time, said) in said.iter().enumerate() {
                    for (end, value) in stretched(*said, stretch[time]).into_iter().enumerate() {
                        sum[time][end] += value / members.len() as f32;
                    }
                }
            }
        }
        sum
    }
}

/// An interval whose ends lie `stretch` times as far from its middle.
pub(crate) fn stretched([low, middle, high]: [f32; 3], stretch: f32) -> [f32; 3] {
    [middle - (middle - low) * stretch, middle, middle + (high - middle) * stretch]
}

/// Changes counted from the last reading, within what sensors show.
fn placed(changes: &Changes, last: f32) -> Changes {
    changes.map(|ends| ends.map(|change| (last + change).clamp(LOWEST_MG_DL, HIGHEST_MG_DL)))
}
