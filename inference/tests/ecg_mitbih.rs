//! Beats of real recordings. Needs `METACLINIC_DATA`, a folder with `ecg-mitbih` in it; says so and passes when
//! there is none.

#![expect(clippy::unwrap_used, reason = "the whole target is a test")]

mod mitbih;

use std::time::{Duration, Instant};

use metaclinic_inference::ecg::{ECG_MODEL, EcgModel, Evaluation, assess};
use metaclinic_inference::{Backend, Model};

/// Every recording was readable to cardiologists; at least this share of each is read here.
const READABLE: f64 = 0.80;
/// A build with other rounding may call a few beats of 53,000 otherwise than the card says.
const ROUNDING: f64 = 0.002;

#[test]
fn card_tells_the_figures_of_patients_that_the_weights_never_saw() {
    let Some(folder) = mitbih::folder() else {
        println!("skipped: METACLINIC_DATA names no folder with ecg-mitbih");
        return;
    };
    let model = EcgModel::built_in(Backend::default()).unwrap();
    let card = Model::named(ECG_MODEL).unwrap().card.figures;
    let mut evaluation = Evaluation::default();
    let mut slowest = Duration::ZERO;
    for name in mitbih::names(&folder) {
        let recording = mitbih::read(&folder, &name);
        let started = Instant::now();
        if !recording.is_paced() {
            evaluation.add(&model, &recording);
        }
        slowest = slowest.max(started.elapsed());
        let readable = assess(&recording.signal).readable_share();
        assert!(readable >= READABLE, "{name}: only {readable} readable");
    }
    assert!(evaluation.refused().is_empty());
    println!("slowest half hour: {slowest:?}");
    for (row, told) in evaluation.rows().iter().zip(&card.gross) {
        println!("{row:?}");
        assert_eq!((&row.name, row.beats), (&told.name, told.beats));
        for (figure, told) in row.figures.iter().zip(told.figures) {
            assert!((figure - told).abs() <= ROUNDING, "{}: {figure}, the card says {told}", row.name);
        }
    }
    let f1 = |name: &str| card.gross.iter().find(|row| row.name == name).unwrap().figures[2];
    assert!(f1("detection") >= 0.998 && f1("V") >= 0.88 && f1("S") >= 0.60);
}

#[test]
fn paced_beats_are_marked_and_no_others() {
    let Some(folder) = mitbih::folder() else {
        println!("skipped: METACLINIC_DATA names no folder with ecg-mitbih");
        return;
    };
    let model = EcgModel::built_in(Backend::default()).unwrap();
    let share = |name: &str| {
        let finding = model.read(&mitbih::read(&folder, name).signal).unwrap();
        let paced = finding.beats.iter().filter(|beat| beat.class.letter() == 'Q').count();
        paced as f64 / finding.beats.len() as f64
    };
    assert!(share("107") > 0.9 && share("217") > 0.5);
    for name in ["101", "118", "220"] {
        assert_eq!(share(name), 0.0, "{name}");
    }
}
