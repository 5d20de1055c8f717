//! Learning the weights: for each patient one member that never sees that patient, so that every figure
//! reported is of patients the weights in question never saw. The choices here (features, sizes, epochs) were
//! made by the same cross-validation inside the given recordings.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::chance::Chance;
use super::decision::{Decision, Rule};
use super::detection::{Beat, detect};
use super::evaluation::{LabelledRecording, match_beats};
use super::features::{HELD, column, features};
use super::network::{Head, Network, Numbering, QUESTIONS, Question, gather};
use super::rhythm::BeatClass;
use super::signal::EcgSignal;
use crate::Backend;

/// Beats of one step.
const BATCH: usize = 512;
/// A supraventricular beat is learned from only where a rhythm holds by this: elsewhere it cannot be told.
const LEAST_HELD: f32 = 0.5;
/// Beats of a recording of half an hour; weights are made so that each recording counts like one.
const USUAL_BEATS: f64 = 2_300.0;
/// Numbers of parameters that one member may take.
const NUMBERS_A_MEMBER: u64 = 1_000;

/// Why nothing was learned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// Fewer than three patients with beats that are not paced.
    #[error("at least three patients with unpaced beats are needed, not {0}")]
    TooFewPatients(usize),
    /// A class that no recording has.
    #[error("no recording holds a beat of class {0}")]
    NoExample(char),
    /// The weights could not be written in burn's format.
    #[error("the weights could not be written")]
    Weights,
}

/// What was learned.
#[derive(Debug)]
pub struct Trained {
    /// The weights, in burn's own format.
    pub weights: Vec<u8>,
    /// How answers become classes.
    pub decision: Decision,
    /// The patient whom each member never saw, in the order of the members.
    pub patients: Vec<String>,
}

/// How one question is learned.
struct Recipe {
    epochs: usize,
    peak_rate: f64,
    decay: f32,
    /// Deviation of the noise added to normalised columns.
    noise: f32,
    dropout: f32,
    /// Weight of a beat that the question is about, and the most such beats of one recording that count fully:
    /// a few recordings hold most of them.
    positive: f64,
    most: f64,
}

impl Recipe {
    fn of(question: Question) -> Recipe {
        let shape = Recipe {
            epochs: 4,
            peak_rate: 4e-3,
            decay: 0.05,
            noise: 0.3,
            dropout: 0.3,
            positive: 2.0,
            most: 150.0,
        };
        match question {
            Question::Ventricular => shape,
            Question::Artefact => Recipe { positive: 4.0, most: 60.0, ..shape },
            Question::Supraventricular => Recipe {
                epochs: 3,
                peak_rate: 6e-3,
                decay: 0.01,
                noise: 0.0,
                dropout: 0.0,
                positive: 4.0,
                most: 60.0,
            },
        }
    }
}

/// Rows of a recording as seen with some of its leads.
struct View {
    patient: String,
    rows: Vec<Vec<f32>>,
    truths: Vec<Truth>,
}

impl View {
    fn of(recording: &LabelledRecording, signal: &EcgSignal) -> View {
        let beats = detect(signal);
        View {
            patient: recording.patient.clone(),
            truths: truth(recording, &beats),
            rows: features(signal, &beats).rows,
        }
    }

    /// Whether a beat answers a question with yes or no, and how much it counts.
    fn answers(&self, question: Question, held: usize) -> Vec<(usize, bool, f64)> {
        let recipe = Recipe::of(question);
        let label = |(index, truth): (usize, &Truth)| {
            let yes = match (question, truth) {
                (_, Truth::Excluded) => return None,
                (Question::Artefact, truth) => *truth == Truth::Artefact,
                (_, Truth::Artefact | Truth::Beat(BeatClass::Unknown)) => return None,
                (Question::Ventricular, Truth::Beat(BeatClass::Fusion)) => return None,
                (Question::Ventricular, Truth::Beat(class)) => *class == BeatClass::Ventricular,
                (Question::Supraventricular, Truth::Beat(BeatClass::Normal)) => false,
                (Question::Supraventricular, Truth::Beat(BeatClass::Supraventricular)) => {
                    if self.rows[index][held] < LEAST_HELD {
                        return None;
                    }
                    true
                }
                (Question::Supraventricular, _) => return None,
            };
            Some((index, yes))
        };
        let labelled: Vec<(usize, bool)> = self.truths.iter().enumerate().filter_map(label).collect();
        let positives = labelled.iter().filter(|(_, yes)| *yes).count() as f64;
        let even = match question {
            Question::Supraventricular => 1.0,
            _ => USUAL_BEATS / labelled.len().max(1) as f64,
        };
        let yes_weight = recipe.positive * (recipe.most / positives.max(1.0)).min(1.0);
        labelled
            .into_iter()
            .map(|(index, yes)| (index, yes, even * if yes { yes_weight } else { 1.0 }))
            .collect()
    }
}

/// What a found beat really is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Truth {
    /// A beat of this class.
    Beat(BeatClass),
    /// Nobody marked a beat there.
    Artefact,
    /// In a stretch that does not count.
    Excluded,
}

/// What each of the found beats really is.
fn truth(recording: &LabelledRecording, beats: &[Beat]) -> Vec<Truth> {
    let marked: Vec<usize> = recording.beats.iter().map(|(sample, _)| *sample).collect();
    let found: Vec<usize> = beats.iter().map(|beat| beat.sample).collect();
    let mut truths: Vec<Truth> = found
        .iter()
        .map(|sample| if recording.counts(*sample) { Truth::Artefact } else { Truth::Excluded })
        .collect();
    for (marked, found) in match_beats(&marked, &found, recording.tolerance()).pairs {
        if truths[found] == Truth::Artefact {
            truths[found] = Truth::Beat(recording.beats[marked].1);
        }
    }
    truths
}

/// Learns from recordings. Paced recordings are left out. `progress` hears of each member that is done, out of how many.
pub fn train(
    recordings: &[LabelledRecording],
    seed: u64,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Trained, TrainError> {
    let usable: Vec<&LabelledRecording> =
        recordings.iter().filter(|recording| !recording.is_paced()).collect();
    let mut patients: Vec<String> = usable.iter().map(|recording| recording.patient.clone()).collect();
    patients.sort();
    patients.dedup();
    if patients.len() < 3 {
        return Err(TrainError::TooFewPatients(patients.len()));
    }
    let whole: Vec<View> = usable.iter().map(|recording| View::of(recording, &recording.signal)).collect();
    let single = usable.iter().flat_map(|recording| {
        recording.signal.single_leads().into_iter().map(|signal| View::of(recording, &signal))
    });
    let partial: Vec<View> = single.collect();
    for (question, class) in [(Question::Ventricular, 'V'), (Question::Supraventricular, 'S')] {
        let held = column(HELD);
        if !whole.iter().any(|view| view.answers(question, held).iter().any(|(_, yes, _)| *yes)) {
            return Err(TrainError::NoExample(class));
        }
    }
    let views: Vec<&View> = whole.iter().chain(&partial).collect();
    let members = each_member(&patients, &views, seed, progress);
    let network = Network::of(members);
    let rules = rules(&network, &patients, &whole);
    let weights = network.write().ok_or(TrainError::Weights)?;
    Ok(Trained { weights, decision: Decision { rules }, patients })
}

/// Trains the members on all cores; each has its own stream of chance, so that their order does not matter.
fn each_member(
    patients: &[String],
    views: &[&View],
    seed: u64,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Vec<Vec<Head>> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let finished: Mutex<Vec<(usize, Vec<Head>)>> = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(patients.len());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(patient) = patients.get(index) else { return };
                    let seen: Vec<&View> =
                        views.iter().copied().filter(|view| view.patient != *patient).collect();
                    let heads = Question::ALL
                        .iter()
                        .map(|question| head(*question, index as u64, &seen, seed))
                        .collect();
                    finished.lock().expect("no worker panics while it holds the lock").push((index, heads));
                    progress(done.fetch_add(1, Ordering::Relaxed) + 1, patients.len());
                }
            });
        }
    });
    let mut finished = finished.into_inner().expect("no worker panics while it holds the lock");
    finished.sort_by_key(|(index, _)| *index);
    finished.into_iter().map(|(_, heads)| heads).collect()
}

/// One head: AdamW (Loshchilov and Hutter, ICLR 2019) with a rate that rises and falls once (Smith and Topin,
/// "Super-convergence", 2019), noise on the columns and dropout.
fn head(question: Question, member: u64, views: &[&View], seed: u64) -> Head {
    let recipe = Recipe::of(question);
    let device = Backend::default().device().autodiff();
    let mut chance = Chance::new(seed, member * 16 + question as u64);
    let held = column(HELD);
    let (mut rows, mut answers, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for view in views {
        for (index, yes, weight) in view.answers(question, held) {
            rows.push(view.rows[index].clone());
            answers.push(f32::from(u8::from(yes)));
            weights.push(weight as f32);
        }
    }
    let plain = Backend::default().device();
    let columns = gather(&rows, question, &plain);
    let normal = normalisation(&rows, question);
    let mut numbering = Numbering(member * NUMBERS_A_MEMBER + question as u64 * 100);
    let mut fill = |shape: &[usize]| -> Vec<f32> {
        let bound = (1.0 / shape[0] as f32).sqrt(); // as PyTorch's Linear
        (0..shape.iter().product()).map(|_| (chance.uniform() * 2.0 - 1.0) * bound).collect()
    };
    let mut head = numbering.head(question, normal, &mut fill, &device);
    let normalised = head.clone().valid().normalise(columns); // [beats, columns]
    let mut optimiser = AdamWConfig::new().with_weight_decay(recipe.decay).init();
    let mut order: Vec<i64> = (0..rows.len() as i64).collect();
    let steps = (rows.len() / BATCH).max(1);
    for epoch in 0..recipe.epochs {
        chance.shuffle(&mut order);
        for step in 0..steps {
            let picked = &order[step * BATCH..((step + 1) * BATCH).min(order.len())];
            let loss = loss(&head, picked, &normalised, (&answers, &weights), &recipe, &mut chance, &device);
            let gradients = GradientsParams::from_grads(loss.backward(), &head);
            let share = (epoch * steps + step) as f64 / (recipe.epochs * steps) as f64;
            head = optimiser.step(rate(share, recipe.peak_rate), head, gradients);
        }
    }
    head.valid()
}

/// The weighted cross-entropy of one batch.
fn loss(
    head: &Head,
    picked: &[i64],
    normalised: &Tensor<2>,
    (answers, weights): (&[f32], &[f32]),
    recipe: &Recipe,
    chance: &mut Chance,
    device: &Device,
) -> Tensor<1> {
    let count = picked.len();
    let indices =
        Tensor::<1, Int>::from_data(TensorData::new(picked.to_vec(), [count]), &normalised.device());
    let rows = normalised.clone().select(0, indices); // [batch, columns]
    let columns = rows.dims()[1];
    let mut values = rows.into_data().try_to_vec::<f32>().expect("the features are 32-bit floats");
    if recipe.noise > 0.0 {
        values.iter_mut().for_each(|value| *value += recipe.noise * chance.normal());
    }
    let input = Tensor::<2>::from_data(TensorData::new(values, [count, columns]), device);
    let kept = head.hidden_units().filter(|_| recipe.dropout > 0.0).map(|units| {
        let keep = 1.0 / (1.0 - recipe.dropout);
        let mask: Vec<f32> =
            (0..count * units).map(|_| if chance.uniform() < recipe.dropout { 0.0 } else { keep }).collect();
        Tensor::<2>::from_data(TensorData::new(mask, [count, units]), device)
    });
    let of = |values: &[f32]| {
        let picked: Vec<f32> = picked.iter().map(|index| values[*index as usize]).collect();
        Tensor::<2>::from_data(TensorData::new(picked, [count, 1]), device)
    };
    let logits = head.logits(input, kept); // [batch, 1]
    let smooth = (logits.clone().abs().neg().exp() + 1.0).log();
    let entropy = logits.clone().clamp_min(0.0) - logits * of(answers) + smooth;
    (entropy * of(weights)).mean()
}

/// The rate of learning after a share of all steps: up over the first 30 %, down to nothing at the end.
fn rate(share: f64, peak: f64) -> f64 {
    const RISE: f64 = 0.3;
    const FIRST: f64 = 1.0 / 25.0;
    let wave =
        |from: f64, to: f64, at: f64| to + (from - to) * (1.0 + (std::f64::consts::PI * at).cos()) / 2.0;
    if share < RISE {
        wave(peak * FIRST, peak, share / RISE)
    } else {
        wave(peak, peak * FIRST / 1e4, (share - RISE) / (1.0 - RISE))
    }
}

/// Mean and deviation of the columns of a question.
fn normalisation(rows: &[Vec<f32>], question: Question) -> (Vec<f32>, Vec<f32>) {
    /// Added to each deviation, so that a column that hardly moves is not blown up.
    const LEAST: f64 = 1e-2;
    let moments = |column: usize| {
        let count = rows.len().max(1) as f64;
        let mean = rows.iter().map(|row| f64::from(row[column])).sum::<f64>() / count;
        let square = rows.iter().map(|row| (f64::from(row[column]) - mean).powi(2)).sum::<f64>() / count;
        (mean as f32, (square.sqrt() + LEAST) as f32)
    };
    question.columns().into_iter().map(moments).unzip()
}

/// Calibration and thresholds, from what each member says of the patient it never saw.
fn rules(network: &Network, patients: &[String], whole: &[View]) -> [Rule; QUESTIONS] {
    let device = Backend::default().device();
    let said: Vec<[Vec<f32>; QUESTIONS]> = whole
        .iter()
        .map(|view| {
            let member = patients.iter().position(|patient| *patient == view.patient);
            network.logits(&view.rows, &member.into_iter().collect::<Vec<_>>(), &device)
        })
        .collect();
    let held = column(HELD);
    Question::ALL.map(|question| {
        let mut answers = Vec::new();
        for (view, logits) in whole.iter().zip(&said) {
            let of_view = view.answers(question, held);
            let even = USUAL_BEATS / of_view.len().max(1) as f64;
            for (index, yes, _) in of_view {
                answers.push((logits[question as usize][index], yes, even));
            }
        }
        Rule::fit(&answers)
    })
}
