//! Beats of real recordings. Needs `METACLINIC_DATA`, a folder with `ecg-mitbih` in it; says so and passes when
//! there is none.

#![expect(clippy::unwrap_used, reason = "the whole target is a test")]

mod mitbih;

use std::time::{Duration, Instant};

use metaclinic_inference::ecg::{
    Beat, BeatClass, Counts, ECG_MODEL, EcgModel, EcgSignal, Evaluation, Novelty, assess,
};
use metaclinic_inference::{Backend, Measured, Model};

/// Every recording was readable to cardiologists; at least this share of each is read here.
const READABLE: f64 = 0.80;

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
    let measured = evaluation.measured();
    for (table, told) in measured.tables.iter().zip(&card.measured.tables) {
        // Who a patient is, is told by the recordings' own comments, which only the program reads.
        if table.title != "Groups of patients" {
            assert!(table.agrees(told, Measured::ROUNDING), "{table:?}\nthe card says {told:?}");
        }
    }
    let f1 = |name: &str| card.measured.value(name, "F1").unwrap();
    assert!(f1("detection") >= 0.998 && f1("V") >= 0.88 && f1("S") >= 0.60);
}

/// The limit is a choice by rule, so the card's must come out again.
#[test]
fn the_limit_of_novelty_is_that_of_patients_that_the_weights_never_saw() {
    let Some(folder) = mitbih::folder() else {
        println!("skipped: METACLINIC_DATA names no folder with ecg-mitbih");
        return;
    };
    let model = EcgModel::built_in(Backend::default()).unwrap();
    let recordings: Vec<_> = mitbih::names(&folder).iter().map(|name| mitbih::read(&folder, name)).collect();
    let novelty = Novelty::of(&model, &recordings, &|_, _| {}).unwrap();
    println!("{novelty:?}");
    let card = Model::named(ECG_MODEL).unwrap().card.figures;
    let told = card.decision["novelty_limit"].as_float().unwrap();
    assert!((f64::from(novelty.limit) / told - 1.0).abs() < 0.01, "{} and {told}", novelty.limit);
}

/// What is read of a recording, each beat with its class.
fn found(model: &EcgModel, signal: &EcgSignal) -> Vec<(Beat, BeatClass)> {
    let finding = model.read(signal).unwrap();
    finding.beats.iter().map(|beat| (beat.beat, beat.class)).collect()
}

/// The shares that the card tells in its limits, beat by beat. In none of the unpaced recordings a beat is called paced
/// (0 of 53,291); some of them stand for all here.
#[test]
fn paced_beats_are_marked_and_no_others() {
    let Some(folder) = mitbih::folder() else {
        println!("skipped: METACLINIC_DATA names no folder with ecg-mitbih");
        return;
    };
    let model = EcgModel::built_in(Backend::default()).unwrap();
    for (name, sensitivity) in [("107", 0.962), ("217", 0.612)] {
        let recording = mitbih::read(&folder, name);
        let paced = Counts::of(&recording, &found(&model, &recording.signal)).class(BeatClass::Unknown);
        println!("{name}: {paced:?}");
        assert!((paced.sensitivity - sensitivity).abs() <= Measured::ROUNDING, "{name}: {paced:?}");
        assert!(paced.precision >= 0.999, "{name}: {paced:?}");
    }
    for name in ["101", "118", "203", "208", "220"] {
        let found = found(&model, &mitbih::read(&folder, name).signal);
        assert!(found.iter().all(|(_, class)| *class != BeatClass::Unknown), "{name}");
    }
}

/// Another gain of the amplifier is not another heart. Of all 53,291 beats one changes its class (a V more in 208, at
/// 0.4 of its size); the recordings with most S and V stand for all here.
#[test]
fn amplitude_changes_no_more_than_a_class_or_two() {
    let Some(folder) = mitbih::folder() else {
        println!("skipped: METACLINIC_DATA names no folder with ecg-mitbih");
        return;
    };
    let model = EcgModel::built_in(Backend::default()).unwrap();
    for name in ["106", "207", "208", "209"] {
        let recording = mitbih::read(&folder, name);
        let [usual, large, small] = [1.0, 2.5, 0.4].map(|factor| {
            let mut leads = recording.signal.leads().to_vec();
            leads.iter_mut().for_each(|lead| lead.samples_mv.iter_mut().for_each(|mv| *mv *= factor));
            let scaled = EcgSignal::new(recording.signal.sampling_rate_hz(), leads).unwrap();
            let found = found(&model, &scaled);
            let of = |wanted| found.iter().filter(|(_, class)| *class == wanted).count();
            [of(BeatClass::Supraventricular), of(BeatClass::Ventricular), found.len()]
        });
        println!("{name}: S, V, beats: {usual:?}, × 2.5 {large:?}, × 0.4 {small:?}");
        for scaled in [large, small] {
            let differ = usual.iter().zip(scaled).map(|(usual, scaled)| usual.abs_diff(scaled)).max();
            assert!(differ <= Some(2), "{name}: {usual:?}, scaled {scaled:?}");
        }
    }
}
