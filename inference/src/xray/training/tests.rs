//! Learning from made-up pictures: it can be broken off, and refuses what does not belong to it.

use std::cell::RefCell;

use super::*;
use crate::ModelError;
use crate::xray::{GrayImage, Refusal, XrayModel};

/// Made-up pictures that need no data set: two dark fields on grey with fine stripes; those with "pneumonia" have a
/// bright patch in one field.
fn pictures(count: usize, seed: u64) -> Vec<LabelledXray> {
    let mut chance = Chance::new(seed, 0);
    let picture = |index: usize| {
        let pneumonia = index % 2 == 1;
        let (lift, patch) = (chance.uniform() * 0.1, 8.0 + 10.0 * chance.uniform());
        let pixels = (0..28 * 28).map(|at| {
            let (row, column) = ((at / 28) as f32, (at % 28) as f32);
            let field = |middle: f32| ((column - middle) / 5.0).powi(2) + ((row - 14.0) / 9.0).powi(2) < 1.0;
            let base = if field(8.0) || field(20.0) { 0.35 } else { 0.65 };
            let ribs = 0.04 * (row * 1.6).sin();
            let ill = pneumonia && (column - 20.0).abs() < 4.0 && (row - patch).abs() < 4.0;
            (base + ribs + lift + if ill { 0.25 } else { 0.0 } + 0.02 * chance.normal()).clamp(0.0, 1.0)
        });
        let pixels = pixels.collect();
        LabelledXray { image: GrayImage::new(28, 28, pixels).unwrap(), pneumonia }
    };
    (0..count).map(picture).collect()
}

const SMALL: Recipe = Recipe { members: 1, epochs: 2 };

fn run(
    resume: Option<&[u8]>,
    stop_after: usize,
    checkpoints: &RefCell<Vec<Vec<u8>>>,
) -> Result<XrayTrained, XrayTrainError> {
    let (training, validation) = (pictures(128, 1), pictures(64, 2));
    let mut epoch = |epoch: &XrayEpoch, bytes: &[u8]| {
        checkpoints.borrow_mut().push(bytes.to_vec());
        if epoch.epoch == stop_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let watch = XrayWatch { step: &|_, _| (), epoch: &mut epoch };
    train_with(SMALL, [&training, &validation], 7, resume, watch)
}

#[test]
fn training_stopped_and_resumed_gives_the_same_weights_and_they_can_be_read() {
    let checkpoints = RefCell::new(Vec::new());
    let whole = run(None, usize::MAX, &checkpoints).unwrap();
    assert_eq!(whole.curve.len(), 2);
    assert!(
        whole.curve.iter().all(|epoch| epoch.train_loss.is_finite() && epoch.validation_loss.is_finite())
    );
    assert!(whole.weights.len() < 1_100_000, "{}", whole.weights.len());

    let halves = RefCell::new(Vec::new());
    assert_eq!(run(None, 1, &halves).unwrap_err(), XrayTrainError::Stopped);
    let first = halves.borrow()[0].clone();
    let again = run(Some(&first), usize::MAX, &halves).unwrap();
    assert!(again.weights == whole.weights, "the weights differ");
    assert_eq!(again.decision, whole.decision);
    assert_eq!(again.curve, whole.curve);

    let model = XrayModel::load(&whole.weights, whole.decision, Backend::default()).unwrap();
    for labelled in pictures(8, 3) {
        let finding = model.read(&labelled.image).unwrap();
        assert!((0.0..=1.0).contains(&finding.probability));
        assert_eq!(finding, model.read(&labelled.image).unwrap());
    }
    let noise: Vec<f32> = {
        let mut chance = Chance::new(5, 5);
        (0..784).map(|_| chance.uniform()).collect()
    };
    assert_eq!(model.read(&GrayImage::new(28, 28, noise).unwrap()), Err(Refusal::Rough));

    let other = XrayDecision { members: 3, ..whole.decision };
    let load = |weights: &[u8], decision| XrayModel::load(weights, decision, Backend::default()).unwrap_err();
    assert_eq!(load(&whole.weights, other), ModelError::Weights);
    assert_eq!(load(&whole.weights[..1_000], whole.decision), ModelError::Weights);
    assert_eq!(load(&[], whole.decision), ModelError::Weights);
    let nothing = XrayDecision { slope: f32::NAN, ..whole.decision };
    assert_eq!(load(&whole.weights, nothing), ModelError::Card);
}

#[test]
fn a_checkpoint_of_another_training_and_too_few_images_are_refused() {
    let halves = RefCell::new(Vec::new());
    assert_eq!(run(None, 1, &halves).unwrap_err(), XrayTrainError::Stopped);
    let bytes = halves.borrow()[0].clone();
    let (training, validation) = (pictures(128, 1), pictures(64, 2));
    let mut ignore = |_: &XrayEpoch, _: &[u8]| ControlFlow::Continue(());
    let mut go = |training: &[LabelledXray], seed: u64, bytes: &[u8]| {
        let watch = XrayWatch { step: &|_, _| (), epoch: &mut ignore };
        train_with(SMALL, [training, &validation], seed, Some(bytes), watch).unwrap_err()
    };
    assert_eq!(go(&training, 8, &bytes), XrayTrainError::OtherTraining);
    assert_eq!(go(&training[1..], 7, &bytes), XrayTrainError::OtherTraining);
    assert_eq!(go(&training, 7, &bytes[..bytes.len() - 1]), XrayTrainError::Checkpoint);
    assert_eq!(go(&training[..10], 7, &bytes), XrayTrainError::TooFew);
}
