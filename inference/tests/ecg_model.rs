//! The model on recordings that are made up, so that every beat is known.

#![expect(clippy::unwrap_used, reason = "the whole target is a test")]

use std::borrow::Cow;

use metaclinic_inference::ecg::{
    BeatClass, ECG_MODEL, EcgModel, EcgSignal, Lead, Reason, Refusal, TOLERANCE_S,
};
use metaclinic_inference::{Backend, Model, ModelError, sha256};

/// Half widths in seconds and heights in millivolts of P, R, S and T around a beat.
const USUAL: [(f64, f64, f64); 4] =
    [(-0.16, 0.025, 0.15), (0.0, 0.011, 1.0), (0.03, 0.010, -0.2), (0.28, 0.05, 0.3)];
/// A wide complex without P wave, its T wave turned.
const WIDE: [(f64, f64, f64); 3] = [(0.0, 0.040, 1.6), (0.08, 0.030, -0.8), (0.32, 0.06, -0.5)];
/// An early beat from the atria: another P wave, the usual complex.
const ATRIAL: [(f64, f64, f64); 4] =
    [(-0.12, 0.018, -0.12), (0.0, 0.011, 1.0), (0.03, 0.010, -0.2), (0.28, 0.05, 0.3)];

/// Two leads of beats at 75 a minute; every `every`th is ectopic, early by a third of the interval.
fn recording(
    rate_hz: f64,
    beats: usize,
    every: usize,
    ectopic: &[(f64, f64, f64)],
) -> (EcgSignal, Vec<usize>) {
    let mut samples = vec![0.0f64; (rate_hz * (beats as f64 * 0.8 + 1.0)) as usize];
    let mut odd = Vec::new();
    for beat in 0..beats {
        let is_ectopic = beat % every == every - 1;
        let wobble = 0.01 * (beat as f64 * 1.7).sin();
        let at_s = 0.5 + 0.8 * beat as f64 + wobble - if is_ectopic { 0.27 } else { 0.0 };
        if is_ectopic {
            odd.push((at_s * rate_hz).round() as usize);
        }
        for (offset, width, height) in if is_ectopic { ectopic } else { &USUAL } {
            for (index, sample) in samples.iter_mut().enumerate() {
                let distance = (index as f64 / rate_hz - at_s - offset) / width;
                if distance.abs() < 6.0 {
                    *sample += height * (-0.5 * distance * distance).exp();
                }
            }
        }
    }
    // A little noise that repeats nowhere, the same on every machine.
    let noise = |index: usize| 0.01 * ((index as f64 * 12.9898).sin() * 43_758.545_3).fract();
    let lead = |name: &str, scale: f64| Lead {
        name: name.to_owned(),
        samples_mv: samples.iter().enumerate().map(|(i, mv)| (mv * scale + noise(i)) as f32).collect(),
    };
    (EcgSignal::new(rate_hz, vec![lead("MLII", 1.0), lead("V1", -0.6)]).unwrap(), odd)
}

fn model() -> EcgModel {
    EcgModel::built_in(Backend::default()).unwrap()
}

fn check_named(rate_hz: f64, ectopic: &[(f64, f64, f64)], class: BeatClass) {
    let (signal, odd) = recording(rate_hz, 120, 12, ectopic);
    let finding = model().read(&signal).unwrap();
    assert!(finding.beats.len().abs_diff(120) <= 1, "{} beats at {rate_hz} Hz", finding.beats.len());
    let close =
        |beat: usize| odd.iter().any(|sample| sample.abs_diff(beat) < (TOLERANCE_S * rate_hz) as usize);
    let named = finding.beats.iter().filter(|beat| beat.class == class && close(beat.beat.sample)).count();
    let wrongly = finding
        .beats
        .iter()
        .filter(|beat| beat.class != BeatClass::Normal && !close(beat.beat.sample))
        .count();
    assert!(named >= 9, "{named} of 10 at {rate_hz} Hz");
    assert!(wrongly <= 1, "{wrongly} usual beats at {rate_hz} Hz");
    for beat in finding.beats.iter().filter(|beat| beat.class == class) {
        let early =
            |reason: &Reason| matches!(reason, Reason::Early { interval_share } if *interval_share < 0.8);
        assert!(beat.reasons.iter().any(early), "{:?}", beat.reasons);
        assert!((0.0..=1.0).contains(&beat.probability));
    }
}

#[test]
fn early_wide_beats_are_ventricular_at_any_sampling_rate() {
    for rate_hz in [125.0, 250.0, 360.0, 500.0, 1_000.0] {
        check_named(rate_hz, &WIDE, BeatClass::Ventricular);
    }
}

#[test]
fn early_beats_of_the_usual_shape_are_supraventricular() {
    for rate_hz in [250.0, 360.0] {
        check_named(rate_hz, &ATRIAL, BeatClass::Supraventricular);
    }
}

#[test]
fn pulse_before_each_beat_is_a_pacemaker() {
    let (signal, _) = recording(360.0, 60, 1_000, &WIDE);
    let mut leads = signal.leads().to_vec();
    for beat in 0..60 {
        let at = ((0.5 + 0.8 * f64::from(beat) - 0.08) * 360.0) as usize;
        leads[0].samples_mv[at] += 2.0;
    }
    let finding = model().read(&EcgSignal::new(360.0, leads).unwrap()).unwrap();
    let paced = finding.beats.iter().filter(|beat| beat.class == BeatClass::Unknown).count();
    assert!(paced >= 55, "{paced} of 60");
    assert!(finding.beats.iter().any(|beat| beat.reasons.contains(&Reason::PacingPulse)));
}

#[test]
fn the_same_recording_gives_the_same_answer() {
    let (signal, _) = recording(360.0, 60, 12, &WIDE);
    assert!(model().read(&signal).unwrap() == model().read(&signal).unwrap());
}

#[test]
fn what_lies_beyond_the_limit_of_the_card_is_refused_and_without_one_nothing_is() {
    let (signal, _) = recording(360.0, 60, 12, &WIDE);
    let with = |limit: Option<f64>| {
        let mut model = Model::named(ECG_MODEL).unwrap();
        match limit {
            Some(limit) => model.card.figures.decision.insert("novelty_limit".into(), limit.into()),
            None => model.card.figures.decision.remove("novelty_limit"),
        };
        EcgModel::load(&model, Backend::default()).map(|model| model.read(&signal))
    };
    assert_eq!(with(None).unwrap().unwrap().novelty, None);
    let novelty = with(Some(100.0)).unwrap().unwrap().novelty.unwrap();
    assert!(novelty > 0.0 && novelty < 0.1, "{novelty}");
    assert_eq!(with(Some(f64::from(novelty) * 99.0)).unwrap(), Err(Refusal::Unfamiliar));
    for impossible in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(with(Some(impossible)).unwrap_err(), ModelError::Card);
    }
}

#[cfg(feature = "ndarray")]
#[test]
fn both_backends_give_the_same_probabilities() {
    let (signal, _) = recording(360.0, 200, 7, &WIDE);
    let of = |backend| EcgModel::built_in(backend).unwrap().read(&signal).unwrap();
    let (flex, ndarray) = (of(Backend::Flex), of(Backend::NdArray));
    assert_eq!(flex.beats.len(), ndarray.beats.len());
    for (left, right) in flex.beats.iter().zip(&ndarray.beats) {
        assert_eq!(left.class, right.class);
        assert!((left.probability - right.probability).abs() <= 1e-5);
    }
}

#[test]
fn weights_of_another_network_are_refused() {
    let built_in = Model::named(ECG_MODEL).unwrap();
    let with = |weights: Vec<u8>| {
        let mut model = built_in.clone();
        model.card.figures.weights_sha256 = sha256(&weights);
        model.card.figures.weights_bytes = weights.len();
        model.weights = Cow::Owned(weights);
        EcgModel::load(&model, Backend::default()).map(|_| ())
    };
    assert_eq!(with(built_in.weights.to_vec()), Ok(()));
    for end in [0, 1, 100, 5_000, built_in.weights.len() / 2, built_in.weights.len() - 1] {
        assert_eq!(with(built_in.weights[..end].to_vec()), Err(ModelError::Weights), "cut at {end}");
    }
    assert_eq!(with(b"not a model".to_vec()), Err(ModelError::Weights));
    let mut fewer = built_in.clone();
    let patients = fewer.card.figures.decision.get_mut("patients").unwrap().as_array_mut().unwrap();
    patients.pop();
    assert_eq!(EcgModel::load(&fewer, Backend::default()).map(|_| ()), Err(ModelError::Weights));
}

#[cfg(feature = "train")]
mod training {
    use std::collections::HashMap;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use metaclinic_inference::ecg::{Counts, LabelledRecording, TrainError, train};
    use metaclinic_inference::training::Training;

    use super::*;

    fn labelled(
        patient: &str,
        every: usize,
        shapes: &[(f64, f64, f64)],
        class: BeatClass,
    ) -> LabelledRecording {
        let (signal, odd) = recording(360.0, 150, every, shapes);
        let mut beats: Vec<(usize, BeatClass)> = odd.iter().map(|sample| (*sample, class)).collect();
        for beat in metaclinic_inference::ecg::detect(&signal) {
            if !odd.iter().any(|sample| sample.abs_diff(beat.sample) < 40) {
                beats.push((beat.sample, BeatClass::Normal));
            }
        }
        beats.sort_by_key(|(sample, _)| *sample);
        LabelledRecording {
            name: patient.into(),
            patient: patient.into(),
            groups: Vec::new(),
            signal,
            beats,
            excluded: Vec::new(),
        }
    }

    fn recordings() -> Vec<LabelledRecording> {
        vec![
            labelled("a", 7, &WIDE, BeatClass::Ventricular),
            labelled("b", 9, &ATRIAL, BeatClass::Supraventricular),
            labelled("c", 11, &WIDE, BeatClass::Ventricular),
            labelled("d", 13, &ATRIAL, BeatClass::Supraventricular),
        ]
    }

    #[test]
    fn the_same_seed_gives_the_same_weights_and_they_tell_beats_apart() {
        let recordings = recordings();
        let learn = |seed| train(&recordings, &Training::quiet(seed)).unwrap();
        let (first, again, other) = (learn(1), learn(1), learn(2));
        assert_eq!(sha256(&first.weights), sha256(&again.weights));
        assert_ne!(sha256(&first.weights), sha256(&other.weights));
        assert_eq!(first.decision["patients"].as_array().unwrap().len(), 4);
        let mut model = Model::named(ECG_MODEL).unwrap();
        model.card.figures.weights_sha256 = sha256(&first.weights);
        model.card.figures.weights_bytes = first.weights.len();
        model.card.figures.decision = first.decision;
        model.weights = Cow::Owned(first.weights);
        let model = EcgModel::load(&model, Backend::default()).unwrap();
        let mut counts = Counts::default();
        recordings.iter().for_each(|recording| counts.add(&model.evaluate(recording).unwrap()));
        assert!(counts.class(BeatClass::Ventricular).f1 > 0.8, "{:?}", counts.table);
        assert!(counts.class(BeatClass::Supraventricular).f1 > 0.6, "{:?}", counts.table);
    }

    #[test]
    fn broken_off_training_goes_on_to_the_same_weights() {
        let recordings = recordings();
        let whole = train(&recordings, &Training::quiet(1)).unwrap();
        let saved: Mutex<HashMap<String, Vec<u8>>> = Mutex::default();
        let save = |name: &str, bytes: &[u8]| {
            saved.lock().unwrap().insert(name.to_owned(), bytes.to_vec());
        };
        train(&recordings, &Training { save: &save, ..Training::quiet(1) }).unwrap();
        // As if it had been broken off after two members, the second half written.
        saved.lock().unwrap().retain(|name, _| name.contains("-0.") || name == "member-1.losses");
        assert_eq!(saved.lock().unwrap().len(), 3);
        let learned = AtomicUsize::new(0);
        let load = |name: &str| saved.lock().unwrap().get(name).cloned();
        let count = |_: &str, _: &[u8]| {
            learned.fetch_add(1, Ordering::Relaxed);
        };
        let again =
            train(&recordings, &Training { load: &load, save: &count, ..Training::quiet(1) }).unwrap();
        assert_eq!(sha256(&again.weights), sha256(&whole.weights));
        assert_eq!(again.curves, whole.curves);
        assert_eq!(learned.into_inner(), 3 * 2, "three members were left to learn");
    }

    #[test]
    fn losses_fall() {
        for curve in train(&recordings(), &Training::quiet(1)).unwrap().curves {
            assert!(curve.learned.last() < curve.learned.first(), "{curve:?}");
        }
    }

    #[test]
    fn too_little_to_learn_from_is_refused() {
        let all = recordings();
        let refused = |recordings: &[LabelledRecording]| train(recordings, &Training::quiet(1)).unwrap_err();
        assert!(matches!(refused(&all[..2]), TrainError::TooFewPatients(2)));
        let without = [all[0].clone(), all[2].clone(), labelled("e", 1_000, &WIDE, BeatClass::Ventricular)];
        assert!(matches!(refused(&without), TrainError::NoExample('S')));
    }
}
