//! Learning the weights: for each hospital, or each tenth of the patients, members that never see it, so that every figure
//! is of people whom the weights in question never saw. Nothing of the part left out goes into centres and scales either.

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData};

use super::decision::{Platt, RiskDecision};
use super::design::{Row, row};
use super::fields::{Fields, Split};
use super::model::{columns_hash, part_of};
use super::network::{MAX_PARTS, Network, PartValues};
use super::people::LabelledPerson;
use super::reading::Value;
use crate::chance::Chance;
use crate::training::{LearningCurve, Trained, Training, one_cycle};
use crate::{Backend, Precision};

/// Parts of the patients where no hospital is told.
const PATIENT_PARTS: usize = 10;
/// People of one step: more only takes memory.
const BATCH: usize = 4_096;
const PEAK_RATE: f64 = 0.05;
/// The least people of each answer, in every part's rest.
const LEAST: usize = 20;
/// A column that hardly moves is not blown up.
const LEAST_DEVIATION: f64 = 1e-6;
/// Epochs between two looks at what was held back.
const LOOK: usize = 10;

/// Why nothing was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RiskTrainError {
    /// Too few people of an answer.
    #[error("at least {LEAST} people of each answer are needed beside every part that is left out")]
    TooFew,
    /// Too few or too many hospitals.
    #[error("between 2 and {MAX_PARTS} hospitals are needed, to leave out one after the other")]
    Sites,
    /// What was learned could not be written.
    #[error("what was learned could not be written")]
    Written,
}

/// Learns from people. The same people, seed and machine give the same bytes.
///
/// # Errors
/// [`RiskTrainError`] for too few people or hospitals.
pub fn train(
    fields: &Fields,
    people: &[LabelledPerson],
    training: &Training<'_>,
) -> Result<Trained, RiskTrainError> {
    let parts = parts(fields, people)?;
    let rows: Vec<Row> = people.iter().map(|person| row(fields, &person.values)).collect();
    let own: Vec<usize> = people
        .iter()
        .map(|person| part_of(fields.learning.split, &parts, person).unwrap_or(usize::MAX))
        .collect();
    let device = Backend::default().device();
    let columns = fields.columns().len();
    let (mut learned, mut curves) = (Vec::new(), Vec::new());
    for (part, name) in parts.iter().enumerate() {
        let lesson = Lesson { fields, people, rows: &rows, own: &own, part, seed: training.seed };
        let kept = (training.load)(name);
        let kept = kept.and_then(|bytes| Network::read(&bytes, 1, columns, fields.learning.draws, &device));
        let values = match kept.and_then(|mut kept| kept.pop()) {
            Some(values) => values,
            None => {
                let (values, curve) = lesson.give()?;
                curves.push(LearningCurve { name: name.clone(), ..curve });
                let bytes = Network::of(std::slice::from_ref(&values), &device).write(Precision::Single);
                (training.save)(name, &bytes.ok_or(RiskTrainError::Written)?);
                values
            }
        };
        learned.push(values);
        (training.progress)(part + 1, parts.len());
    }
    let decision = decide(fields, people, &rows, &own, &parts, &learned);
    let weights = Network::of(&learned, &device).write(Precision::Single).ok_or(RiskTrainError::Written)?;
    let decision = toml::Table::try_from(decision).map_err(|_| RiskTrainError::Written)?;
    Ok(Trained { weights, decision, curves })
}

/// What is left out, one after the other.
fn parts(fields: &Fields, people: &[LabelledPerson]) -> Result<Vec<String>, RiskTrainError> {
    if fields.learning.split == Split::Patient {
        return Ok((1..=PATIENT_PARTS).map(|part| format!("part-{part}")).collect());
    }
    let mut sites: Vec<String> = people.iter().map(|person| person.site.clone()).collect();
    sites.sort();
    sites.dedup();
    if (2..=MAX_PARTS).contains(&sites.len()) { Ok(sites) } else { Err(RiskTrainError::Sites) }
}

/// What is learned without one part.
struct Lesson<'a> {
    fields: &'a Fields,
    people: &'a [LabelledPerson],
    rows: &'a [Row],
    own: &'a [usize],
    part: usize,
    seed: u64,
}

/// The weighted sums of all draws.
#[derive(Module, Debug)]
struct Learner {
    /// `[columns, draws]`
    weight: Param<Tensor<2>>,
    /// `[draws]`
    bias: Param<Tensor<1>>,
}

impl Learner {
    /// `[people, columns]` to `[people, draws]`
    fn forward(&self, columns: Tensor<2>) -> Tensor<2> {
        columns.matmul(self.weight.val()) + self.bias.val().unsqueeze()
    }
}

impl Lesson<'_> {
    /// AdamW (Loshchilov and Hutter, ICLR 2019) without decay: what holds weights back is in the loss.
    fn give(&self) -> Result<(PartValues, LearningCurve), RiskTrainError> {
        let seen: Vec<usize> = (0..self.rows.len()).filter(|at| self.own[*at] != self.part).collect();
        let so = seen.iter().filter(|at| self.people[**at].truth).count();
        if so < LEAST || seen.len() - so < LEAST {
            return Err(RiskTrainError::TooFew);
        }
        let held: Vec<usize> = (0..self.rows.len()).filter(|at| self.own[*at] == self.part).collect();
        let learning = self.fields.learning;
        let (columns, draws) = (self.rows[0].len(), learning.draws);
        let (centre, scale) = moments(self.rows, &seen, columns);
        let mut chance = Chance::new(self.seed, self.part as u64);
        let times = self.draw(&seen, draws, &mut chance);
        let all: Vec<f32> = seen.iter().flat_map(|at| normal(&self.rows[*at], &centre, &scale)).collect();
        let device = Backend::default().device().autodiff();
        let mut learner = Learner {
            weight: Param::from_tensor(Tensor::zeros([columns, draws], &device)),
            bias: Param::from_tensor(Tensor::zeros([draws], &device)),
        };
        let mut optimiser = AdamWConfig::new().with_weight_decay(0.0).init();
        let mut order: Vec<usize> = (0..seen.len()).collect();
        let steps = seen.len().div_ceil(BATCH);
        let mut curve = LearningCurve::default();
        for epoch in 0..learning.epochs {
            if steps > 1 {
                chance.shuffle(&mut order);
            }
            let mut sum = 0.0;
            for step in 0..steps {
                let picked = &order[step * BATCH..((step + 1) * BATCH).min(order.len())];
                let truth = |at: &usize| self.people[seen[*at]].truth;
                let batch = Batch::of(picked, columns, draws, &all, &times, &truth, &device);
                let entropy = batch.loss(&learner);
                sum += f64::from(entropy.clone().into_scalar::<f32>()) / draws as f64;
                let held_back = (learner.weight.val().powi_scalar(2)).sum() * (learning.penalty / 2.0);
                let gradients = GradientsParams::from_grads((entropy + held_back).backward(), &learner);
                let share = (epoch * steps + step) as f64 / (learning.epochs * steps) as f64;
                learner = optimiser.step(one_cycle(share, PEAK_RATE), learner, gradients);
            }
            if epoch % LOOK == LOOK - 1 {
                curve.learned.push(sum / steps as f64);
                curve.held.push(self.held_loss(&held, &values(&learner, &centre, &scale)?));
            }
        }
        Ok((values(&learner, &centre, &scale)?, curve))
    }

    /// How often each person counts in each draw: as many patients as there are, with replacement, all of a patient
    /// together (Efron and Tibshirani 1993). `[people, draws]`
    fn draw(&self, seen: &[usize], draws: usize, chance: &mut Chance) -> Vec<f32> {
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        let patients: Vec<usize> = seen
            .iter()
            .map(|at| {
                let next = numbers.len();
                *numbers.entry(self.people[*at].patient.as_str()).or_insert(next)
            })
            .collect();
        let mut times = vec![vec![0.0f32; numbers.len()]; draws];
        for draw in &mut times {
            (0..numbers.len()).for_each(|_| draw[chance.below(numbers.len())] += 1.0);
        }
        patients.iter().flat_map(|patient| times.iter().map(|draw| draw[*patient])).collect()
    }

    fn held_loss(&self, held: &[usize], values: &PartValues) -> f64 {
        let draws = values.bias.len().max(1) as f64;
        let loss = |at: &usize| {
            let sum =
                (0..values.bias.len()).map(|draw| values.sum(draw, &self.rows[*at])).sum::<f64>() / draws;
            (if self.people[*at].truth { -sum } else { sum }).exp().ln_1p()
        };
        held.iter().map(loss).sum::<f64>() / held.len().max(1) as f64
    }
}

/// People of one step.
struct Batch {
    /// `[people, columns]`
    columns: Tensor<2>,
    /// `[people, 1]`
    answers: Tensor<2>,
    /// `[people, draws]`
    times: Tensor<2>,
}

impl Batch {
    fn of(
        picked: &[usize],
        columns: usize,
        draws: usize,
        all: &[f32],
        times: &[f32],
        truth: &dyn Fn(&usize) -> bool,
        device: &Device,
    ) -> Batch {
        let gather = |values: &[f32], width: usize| {
            let rows = picked.iter().flat_map(|at| &values[at * width..(at + 1) * width]).copied();
            Tensor::from_data(TensorData::new(rows.collect::<Vec<f32>>(), [picked.len(), width]), device)
        };
        let answers: Vec<f32> = picked.iter().map(|at| if truth(at) { 1.0 } else { 0.0 }).collect();
        Batch {
            columns: gather(all, columns),
            answers: Tensor::from_data(TensorData::new(answers, [picked.len(), 1]), device),
            times: gather(times, draws),
        }
    }

    /// The sum over draws of their mean cross-entropy.
    fn loss(&self, learner: &Learner) -> Tensor<1> {
        let logits = learner.forward(self.columns.clone()); // [people, draws]
        // max(z, 0) − z·y + ln(1 + e^−|z|), which does not overflow
        let entropy = logits.clone().clamp_min(0.0) - logits.clone() * self.answers.clone()
            + (logits.abs().neg().exp() + 1.0).log();
        let people = self.times.dims()[0].max(1) as f64;
        (entropy * self.times.clone()).sum() / people
    }
}

/// Mean and deviation of each column over people; of what is known.
fn moments(rows: &[Row], seen: &[usize], columns: usize) -> (Vec<f64>, Vec<f64>) {
    let moments = |column: usize| {
        let known = || seen.iter().filter_map(|at| rows[*at][column]);
        let count = known().count().max(1) as f64;
        let mean = known().sum::<f64>() / count;
        let square = known().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        let deviation = square.sqrt();
        let scale = if deviation > LEAST_DEVIATION { deviation } else { 1.0 };
        // To the precision that is kept, so that what was learned is what is used.
        (f64::from(mean as f32), f64::from(scale as f32))
    };
    (0..columns).map(moments).unzip()
}

fn normal(row: &Row, centre: &[f64], scale: &[f64]) -> Vec<f32> {
    let moments = centre.iter().zip(scale);
    row.iter()
        .zip(moments)
        .map(|(value, (centre, scale))| value.map_or(0.0, |value| ((value - centre) / scale) as f32))
        .collect()
}

fn values(learner: &Learner, centre: &[f64], scale: &[f64]) -> Result<PartValues, RiskTrainError> {
    let [columns, draws] = learner.weight.val().dims();
    let weight = learner.weight.val().into_data().try_to_vec::<f32>().map_err(|_| RiskTrainError::Written)?;
    let bias = learner.bias.val().into_data().try_to_vec::<f32>().map_err(|_| RiskTrainError::Written)?;
    let of_draw = |draw: usize| (0..columns).map(|column| f64::from(weight[column * draws + draw])).collect();
    Ok(PartValues {
        centre: centre.to_vec(),
        scale: scale.to_vec(),
        weights: (0..draws).map(of_draw).collect(),
        bias: bias.into_iter().map(f64::from).collect(),
    })
}

/// Calibration on held-out answers, and what was seen.
fn decide(
    fields: &Fields,
    people: &[LabelledPerson],
    rows: &[Row],
    own: &[usize],
    parts: &[String],
    learned: &[PartValues],
) -> RiskDecision {
    let mut answers: Vec<(usize, (f64, bool))> = Vec::with_capacity(people.len());
    for ((row, own), person) in rows.iter().zip(own).zip(people) {
        let Some(part) = learned.get(*own) else { continue };
        let sum = (0..part.bias.len()).map(|draw| part.sum(draw, row)).sum::<f64>();
        answers.push((*own, (sum / part.bias.len().max(1) as f64, person.truth)));
    }
    let fit = |keep: &dyn Fn(usize) -> bool| {
        let kept = answers.iter().filter(|(own, _)| keep(*own)).map(|(_, pair)| *pair);
        // How often it is so differs between hospitals, and those that are known say nothing of another one's share:
        // fitted on them, a shift made it worse. How sure the members may be can be learned from them.
        Platt::fit(&kept.collect::<Vec<_>>(), fields.learning.split == Split::Patient)
    };
    let mut seen: BTreeMap<String, [f64; 2]> = BTreeMap::new();
    for person in people {
        for (at, field) in fields.fields.iter().enumerate() {
            if let Some(Value::Number(number)) = person.values.get(at) {
                let ends = seen.entry(field.name.clone()).or_insert([number, number]);
                *ends = [ends[0].min(number), ends[1].max(number)];
            }
        }
    }
    let so = people.iter().filter(|person| person.truth).count();
    RiskDecision {
        columns_sha256: columns_hash(&fields.columns()),
        parts: parts.to_vec(),
        draws: fields.learning.draws,
        share: so as f64 / people.len().max(1) as f64,
        seen,
        calibration: fit(&|_| true),
        part_calibration: (0..parts.len()).map(|part| fit(&|own| own != part)).collect(),
    }
}
