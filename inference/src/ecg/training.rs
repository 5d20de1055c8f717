//! Learning the weights: for each patient one member that never sees that patient, so that every figure
//! reported is of patients the weights in question never saw. The choices here (features, sizes, epochs) were
//! made by the same cross-validation inside the given recordings.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::classifier::EcgModel;
use super::decision::{Decision, Rule};
use super::detection::{Beat, detect};
use super::evaluation::{LabelledRecording, match_beats};
use super::features::{HELD, column, features};
use super::network::{Head, Network, QUESTIONS, Question, gather};
use super::novelty::Novelty;
use super::rhythm::BeatClass;
use super::signal::EcgSignal;
use crate::chance::Chance;
use crate::dense::Numbering;
use crate::training::{LearningCurve, Trained, Training, one_cycle};
use crate::{Backend, Precision};

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
    /// What was learned could not be written.
    #[error("what was learned could not be written")]
    Written,
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

/// Learns from recordings. Paced recordings are left out. A step of progress is a member; each is saved when it is
/// done.
pub fn train(recordings: &[LabelledRecording], training: &Training<'_>) -> Result<Trained, TrainError> {
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
    let learned = each_member(&patients, &views, training);
    let curves = mean_curves(&learned);
    let network = Network::of(learned.into_iter().map(|member| member.heads).collect());
    let weights = network.write(Precision::Half).ok_or(TrainError::Written)?;
    // What is chosen is chosen for the weights that are shipped.
    let shipped = Network::read(&weights, patients.len(), &Backend::default().device());
    let shipped = shipped.ok_or(TrainError::Written)?;
    let rules = rules(&shipped, &patients, &whole);
    let mut model = EcgModel::of(shipped, Decision { patients, rules, novelty_limit: None });
    model.decision.novelty_limit =
        Novelty::of(&model, recordings, &|_, _| {}).map(|novelty| novelty.limit).filter(|limit| *limit > 0.0);
    let decision = toml::Table::try_from(model.decision).map_err(|_| TrainError::Written)?;
    Ok(Trained { weights, decision, curves })
}

/// A member that is done.
struct LearnedMember {
    heads: Vec<Head>,
    losses: [Losses; QUESTIONS],
}

/// The mean loss after each epoch: on what was learned from, on the patient held back.
type Losses = [Vec<f64>; 2];

impl LearnedMember {
    fn load(index: usize, training: &Training<'_>) -> Option<LearnedMember> {
        let losses = String::from_utf8((training.load)(&format!("member-{index}.losses"))?).ok()?;
        let losses: [Losses; QUESTIONS] = toml::from_str::<SavedLosses>(&losses).ok()?.losses;
        let weights = (training.load)(&format!("member-{index}.weights"))?;
        let heads = Network::read(&weights, 1, &Backend::default().device())?.into_heads().next()?;
        Some(LearnedMember { heads, losses })
    }

    /// The weights are saved last: where they are, the member is done.
    fn save(&self, index: usize, training: &Training<'_>) {
        let losses = toml::to_string(&SavedLosses { losses: self.losses.clone() });
        let weights = Network::of(vec![self.heads.clone()]).write(Precision::Single);
        if let (Ok(losses), Some(weights)) = (losses, weights) {
            (training.save)(&format!("member-{index}.losses"), losses.as_bytes());
            (training.save)(&format!("member-{index}.weights"), &weights);
        }
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct SavedLosses {
    losses: [Losses; QUESTIONS],
}

/// Trains the members on all cores; each has its own stream of chance, so that their order does not matter.
fn each_member(patients: &[String], views: &[&View], training: &Training<'_>) -> Vec<LearnedMember> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let finished: Mutex<Vec<(usize, LearnedMember)>> = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(patients.len());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(patient) = patients.get(index) else { return };
                    let member = LearnedMember::load(index, training).unwrap_or_else(|| {
                        let (held, seen): (Vec<&View>, Vec<&View>) =
                            views.iter().partition(|view| view.patient == *patient);
                        let heads = Question::ALL
                            .map(|question| head(question, index as u64, &seen, &held, training.seed));
                        let losses = heads.each_ref().map(|(_, losses)| losses.clone());
                        let heads = heads.into_iter().map(|(head, _)| head).collect();
                        let member = LearnedMember { heads, losses };
                        member.save(index, training);
                        member
                    });
                    finished.lock().expect("no worker panics while it holds the lock").push((index, member));
                    (training.progress)(done.fetch_add(1, Ordering::Relaxed) + 1, patients.len());
                }
            });
        }
    });
    let mut finished = finished.into_inner().expect("no worker panics while it holds the lock");
    finished.sort_by_key(|(index, _)| *index);
    finished.into_iter().map(|(_, member)| member).collect()
}

/// For each question the losses, averaged over the members. A patient without a beat to ask about has no held loss.
fn mean_curves(members: &[LearnedMember]) -> Vec<LearningCurve> {
    let mean = |question: Question, of: usize| -> Vec<f64> {
        let all: Vec<&Vec<f64>> =
            members.iter().map(|member| &member.losses[question as usize][of]).collect();
        let epochs = all.iter().map(|losses| losses.len()).max().unwrap_or(0);
        let at = |epoch: usize| {
            let finite = all.iter().filter_map(|losses| losses.get(epoch)).filter(|loss| loss.is_finite());
            let (sum, count) = finite.fold((0.0, 0), |(sum, count), loss| (sum + loss, count + 1));
            sum / f64::from(count.max(1))
        };
        (0..epochs).map(at).collect()
    };
    let curve = |question: Question| LearningCurve {
        name: question.name().to_owned(),
        learned: mean(question, 0),
        held: mean(question, 1),
    };
    Question::ALL.map(curve).to_vec()
}

/// What a question is learned from: rows, answers as 0 or 1, weights.
#[derive(Default)]
struct Lessons {
    rows: Vec<Vec<f32>>,
    answers: Vec<f32>,
    weights: Vec<f32>,
}

impl Lessons {
    fn of(question: Question, views: &[&View]) -> Lessons {
        let held = column(HELD);
        let mut lessons = Lessons::default();
        for view in views {
            for (index, yes, weight) in view.answers(question, held) {
                lessons.rows.push(view.rows[index].clone());
                lessons.answers.push(f32::from(u8::from(yes)));
                lessons.weights.push(weight as f32);
            }
        }
        lessons
    }

    /// The weighted cross-entropy of a head on all of them; not a number when there are none.
    fn loss(&self, question: Question, head: &Head) -> f64 {
        let columns = gather(&self.rows, question, &Backend::default().device());
        let logits = head.logits(head.normalise(columns), None); // [beats, 1]
        let logits = logits.into_data().try_to_vec::<f32>().unwrap_or_default();
        let each = logits.iter().zip(&self.answers).zip(&self.weights);
        let loss = |((logit, answer), weight): ((&f32, &f32), &f32)| {
            let entropy = logit.max(0.0) - logit * answer + (-logit.abs()).exp().ln_1p();
            f64::from(entropy * weight)
        };
        each.map(loss).sum::<f64>() / self.rows.len() as f64
    }
}

/// One head: AdamW (Loshchilov and Hutter, ICLR 2019) with a rate that rises and falls once, noise on the columns and
/// dropout; with the losses after each epoch.
fn head(question: Question, member: u64, seen: &[&View], held: &[&View], seed: u64) -> (Head, Losses) {
    let recipe = Recipe::of(question);
    let device = Backend::default().device().autodiff();
    let mut chance = Chance::new(seed, member * 16 + question as u64);
    let Lessons { rows, answers, weights } = Lessons::of(question, seen);
    let held = Lessons::of(question, held);
    let plain = Backend::default().device();
    let columns = gather(&rows, question, &plain);
    let normal = normalisation(&rows, question);
    let mut numbering = Numbering(member * NUMBERS_A_MEMBER + question as u64 * 100);
    let mut fill = |shape: &[usize]| -> Vec<f32> {
        let bound = (1.0 / shape[0] as f32).sqrt(); // as PyTorch's Linear
        (0..shape.iter().product()).map(|_| (chance.uniform() * 2.0 - 1.0) * bound).collect()
    };
    let mut head = Head::new(&mut numbering, question, normal, &mut fill, &device);
    let normalised = head.clone().valid().normalise(columns); // [beats, columns]
    let mut optimiser = AdamWConfig::new().with_weight_decay(recipe.decay).init();
    let mut order: Vec<i64> = (0..rows.len() as i64).collect();
    let steps = (rows.len() / BATCH).max(1);
    let mut losses = Losses::default();
    for epoch in 0..recipe.epochs {
        chance.shuffle(&mut order);
        let mut sum = 0.0;
        for step in 0..steps {
            let picked = &order[step * BATCH..((step + 1) * BATCH).min(order.len())];
            let loss = loss(&head, picked, &normalised, (&answers, &weights), &recipe, &mut chance, &device);
            sum += f64::from(loss.clone().into_scalar::<f32>());
            let gradients = GradientsParams::from_grads(loss.backward(), &head);
            let share = (epoch * steps + step) as f64 / (recipe.epochs * steps) as f64;
            head = optimiser.step(one_cycle(share, recipe.peak_rate), head, gradients);
        }
        losses[0].push(sum / steps as f64);
        losses[1].push(held.loss(question, &head.clone().valid()));
    }
    (head.valid(), losses)
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
    let kept = head.hidden_units().map(|units| {
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
