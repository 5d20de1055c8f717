//! A model, ready to work: what it says of a person, how sure it is, and what each field had to do with it.

use std::fmt;

use sha2::{Digest, Sha256};

use super::decision::{Platt, RiskDecision, probability};
use super::design::{row, widths};
use super::fields::{Fields, Kind, Split};
use super::network::{Network, PartValues};
use super::people::LabelledPerson;
use super::reading::{Value, Values};
use crate::{Backend, Model, ModelError, Precision, sha256};

/// The share of members that lies within the interval.
const INTERVAL: f64 = 0.9;

/// What a model says of a person.
#[derive(Clone, PartialEq)]
pub struct Assessment {
    /// 0 to 1, calibrated on people that the members never saw.
    pub probability: f64,
    /// Where nine of ten members lie: what other people to learn from would have changed.
    pub interval: [f64; 2],
    /// The log-odds of `probability`.
    pub logit: f64,
    /// The log-odds of somebody of whom nothing is known: the parts add up from here to `logit`.
    pub base: f64,
    /// What each field added, in the order of the fields.
    pub parts: Vec<Part>,
    /// Fields that are not known.
    pub missing: Vec<Missing>,
    /// Known numbers outside of what was learned from: place of the field, lowest, highest.
    pub unusual: Vec<(usize, [f64; 2])>,
}

impl fmt::Debug for Assessment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Assessment({} parts, {} missing)", self.parts.len(), self.missing.len())
    }
}

/// What a field added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// Its place.
    pub field: usize,
    /// In log-odds: above 0 it spoke for the outcome.
    pub log_odds: f64,
}

/// A field that is not known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Missing {
    /// Its place.
    pub field: usize,
    /// For a number: the mean that it was counted as.
    pub counted_as: Option<f64>,
}

/// Why nothing is said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nothing can still happen to them.
    #[error("the record says that this person has died")]
    Died,
    /// A field without which the model says nothing.
    #[error("{0} must be known")]
    Needed(String),
    /// Too few fields.
    #[error("too little is known: {known} of {of} values, at least {least} are needed; missing: {missing}")]
    TooLittle {
        /// Fields that are known.
        known: usize,
        /// Fields that there are.
        of: usize,
        /// Fields that must be known.
        least: usize,
        /// Those that are not, by name.
        missing: String,
    },
}

impl Refusal {
    /// All names, for counting.
    pub const NAMES: [&'static str; 3] = ["died", "needed", "too-little"];

    /// Its name in counts.
    pub const fn name(&self) -> &'static str {
        match self {
            Refusal::Died => Self::NAMES[0],
            Refusal::Needed(_) => Self::NAMES[1],
            Refusal::TooLittle { .. } => Self::NAMES[2],
        }
    }
}

/// The model.
pub struct RiskModel {
    fields: Fields,
    parts: Vec<PartValues>,
    decision: RiskDecision,
}

impl fmt::Debug for RiskModel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RiskModel({} fields, {} parts)", self.fields.fields.len(), self.parts.len())
    }
}

impl RiskModel {
    /// Reads a model: its weights must have the hash that its card names.
    ///
    /// # Errors
    /// [`ModelError`] for other weights, or a card without a decision.
    pub fn of(model: &Model, backend: Backend) -> Result<RiskModel, ModelError> {
        model.verify()?;
        let fields = Fields::of(&model.card.about.name).map_err(|_| ModelError::Card)?;
        let decision = model.card.figures.decision.clone().try_into().map_err(|_| ModelError::Card)?;
        RiskModel::load(&model.weights, fields, decision, backend)
    }

    /// Reads weights in burn's own format. Whoever calls has compared their hash with that on the card.
    ///
    /// # Errors
    /// [`ModelError::Weights`] when they do not fit the fields, [`ModelError::Card`] for an impossible decision.
    pub fn load(
        weights: &[u8],
        fields: Fields,
        decision: RiskDecision,
        backend: Backend,
    ) -> Result<RiskModel, ModelError> {
        let calibrations = std::iter::once(&decision.calibration).chain(&decision.part_calibration);
        let possible = calibrations.into_iter().all(|it| it.possible())
            && decision.part_calibration.len() == decision.parts.len()
            && decision.draws == fields.learning.draws
            && decision.seen.values().flatten().all(|end| end.is_finite())
            && (0.0..=1.0).contains(&decision.share);
        if !possible {
            return Err(ModelError::Card);
        }
        let columns = fields.columns();
        if decision.columns_sha256 != columns_hash(&columns) {
            return Err(ModelError::Weights);
        }
        let device = backend.device();
        let parts = Network::read(weights, decision.parts.len(), columns.len(), decision.draws, &device);
        Ok(RiskModel { fields, parts: parts.ok_or(ModelError::Weights)?, decision })
    }

    /// What it asks for.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Its weights, stored with this many bits. `None` when they do not fit.
    pub fn weights(self, precision: Precision) -> Option<Vec<u8>> {
        Network::of(&self.parts, &Backend::default().device()).write(precision)
    }

    /// The number of learned values: of each part a centre and a scale for each column, of each draw a weight for each
    /// column and a bias.
    pub fn parameters(&self) -> usize {
        let of = |part: &PartValues| {
            part.centre.len()
                + part.scale.len()
                + part.bias.len()
                + part.weights.iter().map(Vec::len).sum::<usize>()
        };
        self.parts.iter().map(of).sum()
    }

    /// The share that was so among those it was learned from.
    pub fn share(&self) -> f64 {
        self.decision.share
    }

    /// Whether people at the low end, in the middle and at the high end of every field get probabilities.
    pub(crate) fn self_test(&self) -> Result<(), ModelError> {
        let person = |share: f64| {
            let values = self.fields.fields.iter().map(|field| Some(field.within(share)));
            Values(values.collect())
        };
        let works = [0.0, 0.5, 1.0].into_iter().all(|share| {
            self.assess(&person(share)).is_ok_and(|said| {
                let sums = said.parts.iter().map(|part| part.log_odds).chain([said.base, said.logit]);
                let [low, high] = said.interval;
                let probabilities = [said.probability, low, high];
                probabilities.iter().all(|it| (0.0..=1.0).contains(it))
                    && low <= high
                    && sums.into_iter().all(f64::is_finite)
            })
        });
        if works { Ok(()) } else { Err(ModelError::Answers) }
    }

    /// What the model says of somebody, or why it says nothing.
    ///
    /// # Errors
    /// [`Refusal`] when too little is known.
    pub fn assess(&self, values: &Values) -> Result<Assessment, Refusal> {
        self.admit(values)?;
        let row = row(&self.fields, values);
        let platt = self.decision.calibration;
        let members: Vec<(&PartValues, usize)> =
            self.parts.iter().flat_map(|part| (0..part.bias.len()).map(move |draw| (part, draw))).collect();
        let count = members.len().max(1) as f64;
        let mut columns = vec![0.0; row.len()];
        let (mut bias, mut said) = (0.0, Vec::with_capacity(members.len()));
        for (part, draw) in &members {
            bias += part.bias[*draw] / count;
            let mut sum = part.bias[*draw];
            for (total, term) in columns.iter_mut().zip(part.terms(*draw, &row)) {
                *total += term / count;
                sum += term;
            }
            said.push(probability(platt.logit(sum)));
        }
        let mut rest = columns.as_slice();
        let mut parts = Vec::with_capacity(self.fields.fields.len());
        for (field, width) in widths(&self.fields).into_iter().enumerate() {
            let (own, after) = rest.split_at(width.min(rest.len()));
            parts.push(Part { field, log_odds: platt.slope * own.iter().sum::<f64>() });
            rest = after;
        }
        let base = platt.logit(bias);
        let logit = base + parts.iter().map(|part| part.log_odds).sum::<f64>();
        Ok(Assessment {
            probability: probability(logit),
            interval: middle_of(said, INTERVAL),
            logit,
            base,
            parts,
            missing: self.missing(values),
            unusual: self.unusual(values),
        })
    }

    /// The probability by those members only that never saw this person's hospital or patient; by all of them when
    /// none saw it. For figures.
    ///
    /// # Errors
    /// [`Refusal`] when too little is known.
    pub fn assess_unseen(&self, person: &LabelledPerson, values: &Values) -> Result<f64, Refusal> {
        self.admit(values)?;
        let row = row(&self.fields, values);
        let mean = |part: &PartValues| {
            (0..part.bias.len()).map(|draw| part.sum(draw, &row)).sum::<f64>() / part.bias.len().max(1) as f64
        };
        let unseen = part_of(self.fields.learning.split, &self.decision.parts, person);
        let (sum, platt): (f64, Platt) = match unseen.and_then(|at| Some((at, self.parts.get(at)?))) {
            Some((at, part)) => (mean(part), self.decision.part_calibration[at]),
            None => {
                let all = self.parts.iter().map(mean).sum::<f64>() / self.parts.len().max(1) as f64;
                (all, self.decision.calibration)
            }
        };
        Ok(probability(platt.logit(sum)))
    }

    fn admit(&self, values: &Values) -> Result<(), Refusal> {
        let fields = self.fields.fields.iter().enumerate();
        let unknown = || fields.clone().filter(|(at, _)| values.get(*at).is_none()).map(|(_, field)| field);
        if let Some(field) = unknown().find(|field| field.needed) {
            return Err(Refusal::Needed(field.name.clone()));
        }
        let (known, least) = (values.known(), self.fields.least_known);
        if known >= least {
            return Ok(());
        }
        let missing = unknown().map(|field| field.name.as_str()).collect::<Vec<_>>().join(", ");
        Err(Refusal::TooLittle { known, of: self.fields.fields.len(), least, missing })
    }

    /// The place of the first column of each field.
    fn first_columns(&self) -> Vec<usize> {
        let mut next = 0;
        let mut columns = Vec::with_capacity(self.fields.fields.len());
        for width in widths(&self.fields) {
            columns.push(next);
            next += width;
        }
        columns
    }

    fn missing(&self, values: &Values) -> Vec<Missing> {
        let mean = |column: usize| {
            self.parts.iter().map(|part| part.centre[column]).sum::<f64>() / self.parts.len().max(1) as f64
        };
        let first = self.first_columns();
        let fields = self.fields.fields.iter().enumerate().filter(|(at, _)| values.get(*at).is_none());
        fields
            .map(|(field, it)| Missing {
                field,
                counted_as: (it.kind == Kind::Number).then(|| mean(first[field])),
            })
            .collect()
    }

    fn unusual(&self, values: &Values) -> Vec<(usize, [f64; 2])> {
        let outside = |(at, name): (usize, &str)| {
            let Some(Value::Number(number)) = values.get(at) else { return None };
            let seen = *self.decision.seen.get(name)?;
            (number < seen[0] || number > seen[1]).then_some((at, seen))
        };
        let fields = self.fields.fields.iter().enumerate().map(|(at, field)| (at, field.name.as_str()));
        fields.filter_map(outside).collect()
    }
}

/// The part of the members that never saw a person, by the names of the parts.
pub(crate) fn part_of(split: Split, parts: &[String], person: &LabelledPerson) -> Option<usize> {
    match split {
        Split::Site => parts.iter().position(|part| *part == person.site),
        Split::Patient => {
            let hash = Sha256::digest(person.patient.as_bytes());
            let number = hash.iter().take(4).fold(0usize, |number, byte| number << 8 | usize::from(*byte));
            number.checked_rem(parts.len())
        }
    }
}

/// The names of the columns in one hash.
pub(crate) fn columns_hash(columns: &[String]) -> String {
    sha256(columns.join("\n").as_bytes())
}

/// The range that holds this share of the values, evenly cut at both ends.
fn middle_of(mut values: Vec<f64>, share: f64) -> [f64; 2] {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let cut = ((1.0 - share) / 2.0 * values.len() as f64).floor() as usize;
    let at = |index: usize| values.get(index).copied().unwrap_or(0.5);
    [at(cut.min(last)), at(last.saturating_sub(cut))]
}

#[cfg(test)]
mod tests;
