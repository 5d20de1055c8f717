//! Learning the weights. Everything that is chosen besides them (balance, slope, limits) is chosen on validation
//! images distorted as other acquisitions would have distorted them: plain ones resemble the training images more
//! than those of other devices do, and a network that is judged by them calls the healthy of elsewhere ill.

mod checkpoint;
mod choices;
mod distort;
mod learner;

use std::ops::ControlFlow;

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::checkpoint::{Head, Kept};
use self::distort::distort;
use self::learner::Learner;
use super::conditioning::{Square, square};
use super::decision::XrayDecision;
use super::familiarity::Subspace;
use super::image::LabelledXray;
use super::network::{MemberValues, Network, VECTOR, tensor};
use crate::Backend;
use crate::chance::Chance;

/// Networks that learn from other chance and are averaged.
const MEMBERS: usize = 4;
/// Images of one step, half of them with pneumonia: of the training images three quarters show one, and a network
/// that learns this expects it everywhere.
const BATCH: usize = 64;
/// Answers are learned as 0.05 and 0.95: a label from three readers is not certain either (Szegedy et al., CVPR 2016).
const SMOOTHING: f32 = 0.1;
const PEAK_RATE: f64 = 4e-3;
const DECAY: f32 = 0.01;
/// Images over which the moments of batch normalisation are taken at the end of an epoch, half of each class.
const MOMENT_IMAGES: usize = 512;
/// The least images of each class.
const LEAST_OF_CLASS: usize = BATCH / 2;
/// Streams of chance: of a member, and within it of an epoch.
const STREAMS_A_MEMBER: u64 = 10_000;
/// Streams for choices, after those of all members.
const CHOICES: u64 = 1 << 32;

/// What an epoch brought, mean over the members. An epoch is as many images as twice the rarer class has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct XrayEpoch {
    /// From 1.
    pub epoch: usize,
    /// Of how many.
    pub epochs: usize,
    /// Cross-entropy on distorted training images, each class counting the same, answers smoothed.
    pub train_loss: f64,
    /// Cross-entropy on validation images as they are, each class counting the same.
    pub validation_loss: f64,
}

/// Who hears of progress.
pub struct XrayWatch<'a> {
    /// Hears of each step that is done, out of how many, from several threads.
    pub step: &'a (dyn Fn(usize, usize) + Sync),
    /// Hears of each epoch, with a checkpoint from which training goes on as if it had not stopped; may stop it.
    pub epoch: &'a mut dyn FnMut(&XrayEpoch, &[u8]) -> ControlFlow<()>,
}

/// What was learned.
#[derive(Clone, Debug)]
pub struct XrayTrained {
    /// The weights, in burn's own format, as numbers of 16 bits.
    pub weights: Vec<u8>,
    /// What was chosen besides.
    pub decision: XrayDecision,
    /// What each epoch brought.
    pub curve: Vec<XrayEpoch>,
}

/// Why nothing was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XrayTrainError {
    /// Too few images of a class, for training or for validation.
    #[error(
        "at least {LEAST_OF_CLASS} images with and without pneumonia are needed, to train and to validate"
    )]
    TooFew,
    /// Not a checkpoint, or a damaged one.
    #[error("the checkpoint cannot be read")]
    Checkpoint,
    /// A checkpoint of other images, another seed or another recipe.
    #[error("the checkpoint belongs to another training")]
    OtherTraining,
    /// It was stopped by whoever watched.
    #[error("training was stopped")]
    Stopped,
    /// The weights could not be written in burn's format.
    #[error("the weights could not be written")]
    Weights,
}

/// How much is learned.
#[derive(Clone, Copy)]
struct Recipe {
    members: usize,
    epochs: usize,
}

/// Learns from images; `validation` is for choices only. Resumes from the bytes of a checkpoint of the same training.
/// The same images, seed and machine give the same bytes.
///
/// # Errors
/// [`XrayTrainError`] for too few images, a checkpoint that does not fit, and when the watcher stops it.
pub fn train(
    training: &[LabelledXray],
    validation: &[LabelledXray],
    seed: u64,
    resume: Option<&[u8]>,
    watch: XrayWatch<'_>,
) -> Result<XrayTrained, XrayTrainError> {
    train_with(Recipe { members: MEMBERS, epochs: 24 }, [training, validation], seed, resume, watch)
}

/// Images as the network sees them, by class.
struct Squares {
    /// Without and with pneumonia.
    of: [Vec<Square>; 2],
}

impl Squares {
    fn of(images: &[LabelledXray]) -> Result<Squares, XrayTrainError> {
        let mut of = [Vec::new(), Vec::new()];
        for labelled in images {
            of[usize::from(labelled.pneumonia)].push(square(&labelled.image));
        }
        if of.iter().all(|class| class.len() >= LEAST_OF_CLASS) {
            Ok(Squares { of })
        } else {
            Err(XrayTrainError::TooFew)
        }
    }

    fn hash(&self, hasher: &mut Sha256) {
        for class in &self.of {
            hasher.update((class.len() as u64).to_le_bytes());
            class.iter().flatten().for_each(|grey| hasher.update(grey.to_le_bytes()));
        }
    }

    /// Steps of an epoch.
    fn steps(&self) -> usize {
        self.of[0].len().min(self.of[1].len()) / (BATCH / 2)
    }
}

fn train_with(
    recipe: Recipe,
    [training, validation]: [&[LabelledXray]; 2],
    seed: u64,
    resume: Option<&[u8]>,
    XrayWatch { step, epoch: hear }: XrayWatch<'_>,
) -> Result<XrayTrained, XrayTrainError> {
    let (training, validation) = (Squares::of(training)?, Squares::of(validation)?);
    let mut hasher = Sha256::new();
    training.hash(&mut hasher);
    validation.hash(&mut hasher);
    hasher.update((recipe.members as u64).to_le_bytes());
    hasher.update((recipe.epochs as u64).to_le_bytes());
    let data = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let fresh = Head { seed, data, curve: Vec::new() };
    let (mut head, mut members) = match resume {
        None => (fresh, (0..recipe.members).map(|member| Student::new(seed, member)).collect()),
        Some(bytes) => resumed(bytes, &fresh, recipe)?,
    };
    let steps = training.steps();
    let done = std::sync::atomic::AtomicUsize::new(head.curve.len() * steps * recipe.members);
    let total = recipe.epochs * steps * recipe.members;
    let step = || {
        let done = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        step(done, total);
    };
    for epoch in head.curve.len()..recipe.epochs {
        let lesson = Lesson { training: &training, seed, epoch, epochs: recipe.epochs, step: &step };
        let losses = each(&mut members, |student| lesson.give(student));
        let values = each(&mut members, |student| student.folded(&training, seed));
        let validation_loss = validation_loss(&values, &validation)?;
        let train_loss = losses.iter().sum::<f64>() / losses.len().max(1) as f64;
        let brought = XrayEpoch { epoch: epoch + 1, epochs: recipe.epochs, train_loss, validation_loss };
        head.curve.push(brought);
        let kept = members.iter().map(Student::kept).collect::<Result<Vec<_>, _>>()?;
        if hear(&brought, &checkpoint::write(&head, &kept)?).is_break() {
            return Err(XrayTrainError::Stopped);
        }
    }
    let values = each(&mut members, |student| student.folded(&training, seed));
    let (weights, decision) = choices::finish(&values, &training, &validation, seed)?;
    Ok(XrayTrained { weights, decision, curve: head.curve })
}

/// Students and curve of a checkpoint, if it is one of this training.
fn resumed(bytes: &[u8], fresh: &Head, recipe: Recipe) -> Result<(Head, Vec<Student>), XrayTrainError> {
    let (head, kept) = checkpoint::read(bytes)?;
    let same = head.seed == fresh.seed
        && head.data == fresh.data
        && kept.len() == recipe.members
        && head.curve.len() <= recipe.epochs;
    if !same {
        return Err(XrayTrainError::OtherTraining);
    }
    let students = kept.iter().enumerate().map(|(member, kept)| Student::resumed(head.seed, member, kept));
    let students = students.collect::<Result<_, _>>()?;
    Ok((head, students))
}

/// Does something for each student, on all cores; their order does not matter, as each has its own chance.
fn each<T: Send>(students: &mut [Student], what: impl Fn(&mut Student) -> T + Sync) -> Vec<T> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut results = Vec::with_capacity(students.len());
    for few in students.chunks_mut(workers) {
        std::thread::scope(|scope| {
            let threads: Vec<_> = few.iter_mut().map(|student| scope.spawn(|| what(student))).collect();
            for thread in threads {
                results.push(thread.join().expect("a student does not panic: its shapes are fixed"));
            }
        });
    }
    results
}

/// A member with what its optimiser remembers.
struct Student {
    member: usize,
    learner: Option<Learner>,
    optimiser: ModuleOptimizer,
}

impl Student {
    fn new(seed: u64, member: usize) -> Student {
        let mut chance = Chance::new(seed, (member as u64 + 1) * STREAMS_A_MEMBER - 1);
        let learner = Learner::new(&mut chance, &Backend::default().device().autodiff());
        let optimiser = AdamWConfig::new().with_weight_decay(DECAY).init();
        Student { member, learner: Some(learner), optimiser }
    }

    fn resumed(seed: u64, member: usize, kept: &Kept) -> Result<Student, XrayTrainError> {
        let mut student = Student::new(seed, member);
        let damaged = |_| XrayTrainError::Checkpoint;
        let bytes = |bytes: &[u8]| Bytes::from_bytes_vec(bytes.to_vec());
        let record = ModuleRecord::from_bytes(bytes(&kept.weights)).map_err(damaged)?;
        student.learner = match student.learner.take() {
            Some(learner) => Some(learner.try_load_record(record).map_err(damaged)?),
            None => None,
        };
        student.optimiser = student.optimiser.from_bytes(bytes(&kept.optimiser)).map_err(damaged)?;
        Ok(student)
    }

    fn learner(&self) -> &Learner {
        self.learner.as_ref().expect("a learner is away only while it takes a step")
    }

    fn kept(&self) -> Result<Kept, XrayTrainError> {
        let weights = self.learner().clone().into_record().into_bytes();
        let optimiser = self.optimiser.into_bytes();
        let unwritten = |_| XrayTrainError::Weights;
        Ok(Kept {
            weights: weights.map_err(unwritten)?.to_vec(),
            optimiser: optimiser.map_err(unwritten)?.to_vec(),
        })
    }

    /// What it has learned; moments over distorted training images, the same for every epoch and member.
    fn folded(&self, training: &Squares, seed: u64) -> MemberValues {
        let mut chance = Chance::new(seed, CHOICES);
        let images: Vec<Square> = (0..MOMENT_IMAGES)
            .map(|index| {
                let class = &training.of[index % 2];
                distort(&class[chance.below(class.len())], 1.0, &mut chance)
            })
            .collect();
        self.learner().folded(tensor(&images, &Backend::default().device()))
    }
}

/// An epoch of a student.
struct Lesson<'a> {
    training: &'a Squares,
    seed: u64,
    epoch: usize,
    epochs: usize,
    step: &'a (dyn Fn() + Sync),
}

impl Lesson<'_> {
    /// AdamW (Loshchilov and Hutter, ICLR 2019) over distorted images, half of them of each class. Returns the mean loss.
    fn give(&self, student: &mut Student) -> f64 {
        let stream = student.member as u64 * STREAMS_A_MEMBER + self.epoch as u64;
        let mut chance = Chance::new(self.seed, stream);
        let mut order = [0, 1].map(|class| (0..self.training.of[class].len()).collect::<Vec<usize>>());
        order.iter_mut().for_each(|order| chance.shuffle(order));
        let device = Backend::default().device().autodiff();
        let steps = self.training.steps();
        let mut sum = 0.0;
        for step in 0..steps {
            let half = step * (BATCH / 2)..(step + 1) * (BATCH / 2);
            let picked = |class: usize| order[class][half.clone()].iter().map(move |index| (class, *index));
            let images: Vec<Square> = picked(0)
                .chain(picked(1))
                .map(|(class, index)| distort(&self.training.of[class][index], 1.0, &mut chance))
                .collect();
            let answers: Vec<f32> = (0..BATCH)
                .map(|at| if at < BATCH / 2 { SMOOTHING / 2.0 } else { 1.0 - SMOOTHING / 2.0 })
                .collect();
            let learner = student.learner.take().expect("a learner is away only while it takes a step");
            let logits = learner.forward(tensor(&images, &device)); // [BATCH, 1]
            let answers = Tensor::<2>::from_data(TensorData::new(answers, [BATCH, 1]), &device);
            // max(z, 0) − z·y + ln(1 + e^−|z|), which does not overflow
            let entropy = logits.clone().clamp_min(0.0) - logits.clone() * answers
                + (logits.abs().neg().exp() + 1.0).log();
            let loss = entropy.mean();
            let gradients = GradientsParams::from_grads(loss.backward(), &learner);
            let value: Vec<f32> = loss.into_data().try_to_vec().unwrap_or_default();
            sum += f64::from(value.first().copied().unwrap_or(f32::NAN));
            let share = (self.epoch * steps + step) as f64 / (self.epochs * steps) as f64;
            student.learner = Some(student.optimiser.step(rate(share), learner, gradients));
            (self.step)();
        }
        sum / steps.max(1) as f64
    }
}

/// The rate of learning after a share of all steps: up over the first 15 %, then down along a cosine.
fn rate(share: f64) -> f64 {
    const RISE: f64 = 0.15;
    const LEAST: f64 = 1e-6;
    let shape = if share < RISE {
        share / RISE
    } else {
        (1.0 + (std::f64::consts::PI * (share - RISE) / (1.0 - RISE)).cos()) / 2.0
    };
    PEAK_RATE * shape + LEAST
}

/// Cross-entropy on images as they are, mean over members, each class counting the same.
fn validation_loss(values: &[MemberValues], validation: &Squares) -> Result<f64, XrayTrainError> {
    let device = Backend::default().device();
    let mut sum = 0.0;
    for member in values {
        let network = Network::of(std::slice::from_ref(member), Subspace::empty(VECTOR), &device);
        let network = network.ok_or(XrayTrainError::Weights)?;
        for (class, sign) in [(0, 1.0), (1, -1.0)] {
            let said = network.say(&validation.of[class], &device);
            let losses = said.iter().map(|said| (sign * f64::from(said.logit)).exp().ln_1p());
            sum += losses.sum::<f64>() / said.len().max(1) as f64 / 2.0;
        }
    }
    Ok(sum / values.len().max(1) as f64)
}

#[cfg(test)]
mod tests;
