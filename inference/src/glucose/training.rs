//! Learning the weights: five members, each of which never sees a fifth of the persons, so that every figure is of persons
//! that the weights in question never saw. What belongs to a member beside its weights is chosen on the other four fifths,
//! by what the members say of persons that *they* never saw.

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::HORIZONS_MIN;
use super::baseline::extrapolated;
use super::forecaster::{Decision, LEVEL, MemberDecision};
use super::labelled::{Example, LabelledPerson, examples};
use super::network::{Changes, Member, Network, Row, SCALE_MG_DL, changes, gather};
use crate::chance::Chance;
use crate::dense::Numbering;
use crate::training::{LearningCurve, Trained, Training, one_cycle};
use crate::{Backend, Precision};

/// Members, each with persons of its own that it never sees.
const MEMBERS: usize = 5;
/// Windows of one step.
const BATCH: usize = 512;
/// Two persons for each member to be judged on.
const LEAST_PERSONS: usize = 2 * MEMBERS;
const EPOCHS: usize = 12;
const PEAK_RATE: f64 = 4e-3;
const DECAY: f32 = 0.01;
/// Numbers of parameters that one member may take.
const NUMBERS_A_MEMBER: u64 = 100;
const TIMES: usize = HORIZONS_MIN.len();

/// Why nothing was learned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// Too few persons with readings that can be learned from.
    #[error("at least {LEAST_PERSONS} persons with an hour of readings and their future are needed, not {0}")]
    TooFewPersons(usize),
    /// What was learned could not be written.
    #[error("what was learned could not be written")]
    Written,
}

/// The windows of a person, and the member that never sees them.
struct Person<'a> {
    person: &'a LabelledPerson,
    examples: Vec<Example>,
    fold: usize,
}

/// Learns from persons. A step of progress is an epoch of a member; each member is saved when it is done.
///
/// # Errors
/// [`TrainError`] when there is too little to learn from.
pub fn train(persons: &[LabelledPerson], training: &Training<'_>) -> Result<Trained, TrainError> {
    let persons = folded(persons, training.seed);
    if persons.len() < LEAST_PERSONS {
        return Err(TrainError::TooFewPersons(persons.len()));
    }
    let mut members = Vec::new();
    let mut losses = Vec::new();
    for fold in 0..MEMBERS {
        let (member, lost) = match Saved::load(fold, training) {
            Some(done) => done,
            None => {
                let (member, lost) = learned(fold, &persons, training);
                Saved::save(fold, &member, &lost, training);
                (member, lost)
            }
        };
        members.push(member);
        losses.push(lost);
        (training.progress)((fold + 1) * EPOCHS, MEMBERS * EPOCHS);
    }
    let said: Vec<Vec<Changes>> =
        persons.iter().map(|person| said(&members[person.fold], &person.examples)).collect();
    let decisions = (0..MEMBERS).map(|fold| decision(fold, &persons, &said)).collect();
    let decision = toml::Table::try_from(Decision { members: decisions }).map_err(|_| TrainError::Written)?;
    let weights = Network::of(members).write(Precision::Single).ok_or(TrainError::Written)?;
    Ok(Trained { weights, decision, curves: vec![mean_curve(&losses)] })
}

/// Persons in folds, each data set spread evenly over them by chance.
fn folded(persons: &[LabelledPerson], seed: u64) -> Vec<Person<'_>> {
    let mut order: Vec<&LabelledPerson> = persons.iter().collect();
    Chance::new(seed, u64::MAX).shuffle(&mut order);
    order.sort_by(|left, right| left.data_set.cmp(&right.data_set));
    let whole = order.into_iter().map(|person| (person, examples(person).0));
    let usable = whole.filter(|(_, examples)| !examples.is_empty());
    let person = |(at, (person, examples))| Person { person, examples, fold: at % MEMBERS };
    usable.enumerate().map(person).collect()
}

/// The mean loss after each epoch: on what was learned from, on the persons held back.
#[derive(Clone, Serialize, Deserialize)]
struct Losses {
    learned: Vec<f64>,
    held: Vec<f64>,
}

struct Saved;

impl Saved {
    fn load(fold: usize, training: &Training<'_>) -> Option<(Member, Losses)> {
        let losses = String::from_utf8((training.load)(&format!("member-{fold}.losses"))?).ok()?;
        let weights = (training.load)(&format!("member-{fold}.weights"))?;
        let network = Network::read(&weights, 1, &Backend::default().device())?;
        Some((network.into_members().into_iter().next()?, toml::from_str(&losses).ok()?))
    }

    /// The weights are saved last: where they are, the member is done.
    fn save(fold: usize, member: &Member, losses: &Losses, training: &Training<'_>) {
        let (Ok(losses), Some(weights)) =
            (toml::to_string(losses), Network::of(vec![member.clone()]).write(Precision::Single))
        else {
            return;
        };
        (training.save)(&format!("member-{fold}.losses"), losses.as_bytes());
        (training.save)(&format!("member-{fold}.weights"), &weights);
    }
}

/// One member: AdamW (Loshchilov and Hutter, ICLR 2019) on the pinball loss with a rate that rises and falls once.
fn learned(fold: usize, persons: &[Person<'_>], training: &Training<'_>) -> (Member, Losses) {
    let of = |held: bool| -> Vec<Example> {
        let wanted = persons.iter().filter(|person| (person.fold == fold) == held);
        wanted.flat_map(|person| person.examples.iter().copied()).collect()
    };
    let (seen, held) = (of(false), of(true));
    let device = Backend::default().device().autodiff();
    let mut chance = Chance::new(training.seed, fold as u64);
    let mut fill = |shape: &[usize]| -> Vec<f32> {
        let bound = (1.0 / shape[0] as f32).sqrt(); // as PyTorch's Linear
        (0..shape.iter().product()).map(|_| (chance.uniform() * 2.0 - 1.0) * bound).collect()
    };
    let mut member = Member::new(&mut Numbering(fold as u64 * NUMBERS_A_MEMBER), &mut fill, &device);
    let mut optimiser = AdamWConfig::new().with_weight_decay(DECAY).init();
    let mut order: Vec<usize> = (0..seen.len()).collect();
    let steps = seen.len().div_ceil(BATCH);
    let mut losses = Losses { learned: Vec::new(), held: Vec::new() };
    for epoch in 0..EPOCHS {
        chance.shuffle(&mut order);
        let mut sum = 0.0;
        for (step, picked) in order.chunks(BATCH).enumerate() {
            let batch: Vec<Example> = picked.iter().map(|at| seen[*at]).collect();
            let loss = pinball(&member, &batch, &device);
            sum += f64::from(loss.clone().into_scalar::<f32>());
            let gradients = GradientsParams::from_grads(loss.backward(), &member);
            let share = (epoch * steps + step) as f64 / (EPOCHS * steps) as f64;
            member = optimiser.step(one_cycle(share, PEAK_RATE), member, gradients);
        }
        losses.learned.push(sum / steps as f64);
        losses.held.push(mean_loss(&member.clone().valid(), &held));
        (training.progress)(fold * EPOCHS + epoch + 1, MEMBERS * EPOCHS);
    }
    (member.valid(), losses)
}

/// The tail on each side of the interval.
const TAIL: f64 = (1.0 - LEVEL) / 2.0;

/// The mean pinball loss of low end, middle and high end (Koenker and Bassett, Econometrica 1978).
fn pinball(member: &Member, batch: &[Example], device: &burn::tensor::Device) -> Tensor<1> {
    let rows: Vec<Row> = batch.iter().map(|example| example.row).collect();
    let truth: Vec<f32> = batch
        .iter()
        .flat_map(|example| example.truth.map(|truth| (truth - example.last) / SCALE_MG_DL))
        .collect();
    let truth = Tensor::<2>::from_data(TensorData::new(truth, [batch.len(), TIMES]), device);
    let said = member.forward(gather(&rows, device));
    let loss = |told: Tensor<2>, share: f64| {
        let short = truth.clone() - told; // [windows, times]
        (short.clone() * share as f32 + short.neg().clamp_min(0.0)).mean()
    };
    // The ends do not pull at the middle.
    let middle = said.change.clone().detach();
    loss(said.change, 0.5) + loss(middle.clone() - said.below, TAIL) + loss(middle + said.above, 1.0 - TAIL)
}

/// As [`pinball`], of a member that learns no more; not a number when there is nobody.
fn mean_loss(member: &Member, examples: &[Example]) -> f64 {
    let device = Backend::default().device();
    let chunks = examples.chunks(4 * BATCH);
    let loss = |chunk: &[Example]| {
        f64::from(pinball(member, chunk, &device).into_scalar::<f32>()) * chunk.len() as f64
    };
    chunks.map(loss).sum::<f64>() / examples.len() as f64
}

fn said(member: &Member, examples: &[Example]) -> Vec<Changes> {
    let rows: Vec<Row> = examples.iter().map(|example| example.row).collect();
    changes(member, &rows, &Backend::default().device())
}

/// What belongs to a member, from the persons of the other folds.
fn decision(fold: usize, persons: &[Person<'_>], said: &[Vec<Changes>]) -> MemberDecision {
    let own = persons.iter().filter(|person| person.fold == fold);
    let others: Vec<(&Example, &Changes)> = persons
        .iter()
        .zip(said)
        .filter(|(person, _)| person.fold != fold)
        .flat_map(|(person, said)| person.examples.iter().zip(said))
        .collect();
    MemberDecision {
        unseen: own.map(|person| person.person.person.clone()).collect(),
        stretch: std::array::from_fn(|time| stretch(time, &others)),
        damping: std::array::from_fn(|time| damping(time, &others)),
    }
}

/// The factor on the widths that makes the interval hold its share: split conformal prediction on scores relative to the
/// width (Romano, Patterson and Candès, NeurIPS 2019; Lei et al., JASA 2018).
fn stretch(time: usize, others: &[(&Example, &Changes)]) -> f32 {
    let score = |(example, said): &(&Example, &Changes)| {
        let [low, middle, high] = said[time];
        let off = example.truth[time] - example.last - middle;
        if off < 0.0 { -off / (middle - low).max(0.1) } else { off / (high - middle).max(0.1) }
    };
    let mut scores: Vec<f32> = others.iter().map(score).collect();
    scores.sort_by(f32::total_cmp);
    let rank = ((scores.len() + 1) as f64 * LEVEL).ceil() as usize;
    scores.get(rank.saturating_sub(1)).or(scores.last()).copied().unwrap_or(1.0)
}

/// The damping with the least mean square error.
fn damping(time: usize, others: &[(&Example, &Changes)]) -> f32 {
    let square = |damping: f32| -> f64 {
        let error = |(example, _): &(&Example, &Changes)| {
            let told = extrapolated(example.last, example.rate_per_min, HORIZONS_MIN[time], damping);
            f64::from(told - example.truth[time]).powi(2)
        };
        others.iter().map(error).sum()
    };
    let candidates = (0..=20).map(|step| step as f32 / 20.0);
    let judged = candidates.map(|damping| (damping, square(damping)));
    judged.min_by(|left, right| left.1.total_cmp(&right.1)).map_or(0.0, |(damping, _)| damping)
}

fn mean_curve(losses: &[Losses]) -> LearningCurve {
    let mean = |of: fn(&Losses) -> &Vec<f64>| {
        let at = |epoch: usize| {
            let all =
                losses.iter().filter_map(|losses| of(losses).get(epoch)).filter(|loss| loss.is_finite());
            let (sum, count) = all.fold((0.0, 0), |(sum, count), loss| (sum + loss, count + 1));
            sum / f64::from(count.max(1))
        };
        (0..EPOCHS).map(at).collect()
    };
    LearningCurve {
        name: "pinball".to_owned(),
        learned: mean(|losses| &losses.learned),
        held: mean(|losses| &losses.held),
    }
}

#[cfg(test)]
mod tests {
    use super::super::forecaster::{GLUCOSE_MODEL, GlucoseModel};
    use super::super::series::{GlucoseReading, GlucoseSeries};
    use super::*;
    use crate::{Model, sha256};

    /// Twelve synthetic persons whose glucose swings, each with a swing of their own.
    fn persons() -> Vec<LabelledPerson> {
        let person = |number: usize| {
            let value = |at: i64| 140.0 + 50.0 * (at as f32 / (10.0 + number as f32)).sin();
            let readings = (0..400).map(|at| GlucoseReading { at_s: at * 300, mg_per_dl: value(at) });
            LabelledPerson {
                person: format!("synthetic {number}"),
                data_set: "synthetic".into(),
                status: "none".into(),
                series: GlucoseSeries::new(readings.collect()).unwrap(),
            }
        };
        (0..12).map(person).collect()
    }

    #[test]
    fn a_member_never_sees_its_own_persons_and_the_same_seed_learns_the_same() {
        let persons = persons();
        let first = train(&persons, &Training::quiet(3)).unwrap();
        let again = train(&persons, &Training::quiet(3)).unwrap();
        assert_eq!(first.weights, again.weights);
        let decision: Decision = first.decision.clone().try_into().unwrap();
        let mut unseen: Vec<&String> = decision.members.iter().flat_map(|member| &member.unseen).collect();
        unseen.sort();
        unseen.dedup();
        assert_eq!(unseen.len(), persons.len());
        let mut model = Model::named(GLUCOSE_MODEL).unwrap();
        model.card.figures.weights_sha256 = sha256(&first.weights);
        model.card.figures.weights_bytes = first.weights.len();
        model.card.figures.decision = first.decision;
        model.weights = first.weights.into();
        let model = GlucoseModel::load(&model, Backend::default()).unwrap();
        // A sine is told better by what learned than by the last value.
        let series = &persons[0].series;
        let forecast = model.forecast(series, Some(100 * 300)).unwrap();
        let truth = series.readings()[106].mg_per_dl;
        let [soon, _] = forecast.forecasts;
        assert!((soon.mg_per_dl - truth).abs() < (forecast.last_mg_per_dl - truth).abs());
    }

    #[test]
    fn too_few_persons_are_refused() {
        let few = &persons()[..9];
        assert!(matches!(train(few, &Training::quiet(1)), Err(TrainError::TooFewPersons(9))));
    }
}
