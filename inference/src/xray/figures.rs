//! The figures of labelled images.

use super::classifier::{CALLED_FROM, XrayModel};
use super::image::LabelledXray;
use crate::card::Measured;
use crate::measure::{Case, Cases, Table, TableRow};

/// A part of a data set with its name.
type Part<'a> = (&'a str, &'a [LabelledXray]);

/// Figures of the parts of a data set, the first being that of the calibration curve; each image counts as a patient,
/// because the data do not say whose it is. A refused image is left out, and counted.
pub fn measure(model: &XrayModel, parts: &[Part<'_>], progress: &(dyn Fn(usize, usize) + Sync)) -> Measured {
    measured(&judge(model, parts, progress))
}

/// The figures of two models on the same images, and what the second does differently.
pub fn compare(
    models: [&XrayModel; 2],
    parts: &[Part<'_>],
    progress: &(dyn Fn(usize, usize) + Sync),
) -> ([Measured; 2], Vec<Table>) {
    let first = judge(models[0], parts, &|done, of| progress(done, 2 * of));
    let second = judge(models[1], parts, &|done, of| progress(of + done, 2 * of));
    let row = |(one, other): (&Judged, &Judged)| one.cases.difference(&other.cases, &one.name, CALLED_FROM);
    let rows = first.iter().zip(&second).map(row).collect();
    let table = Cases::difference_table("Pneumonia: the new model less the old", rows);
    ([measured(&first), measured(&second)], vec![table])
}

/// What a model said of a part.
struct Judged {
    name: String,
    images: usize,
    cases: Cases,
    /// Without and with pneumonia.
    refused: [usize; 2],
}

fn judge(model: &XrayModel, parts: &[Part<'_>], progress: &(dyn Fn(usize, usize) + Sync)) -> Vec<Judged> {
    let all: usize = parts.iter().map(|(_, images)| images.len()).sum();
    let mut done = 0;
    let mut part = |(name, images): &Part<'_>| {
        let mut cases = Vec::new();
        let mut refused = [0usize; 2];
        for (patient, labelled) in images.iter().enumerate() {
            match model.read(&labelled.image) {
                Ok(finding) => {
                    cases.push(Case { patient, truth: labelled.pneumonia, probability: finding.probability });
                }
                Err(_) => refused[usize::from(labelled.pneumonia)] += 1,
            }
            done += 1;
            progress(done, all);
        }
        Judged { name: (*name).to_owned(), images: images.len(), cases: cases.into_iter().collect(), refused }
    };
    parts.iter().map(&mut part).collect()
}

fn measured(parts: &[Judged]) -> Measured {
    let rows = parts.iter().map(|part| part.cases.row(&part.name, CALLED_FROM)).collect();
    let refusal = |part: &Judged| TableRow {
        name: part.name.clone(),
        counts: vec![part.images, part.refused[0], part.refused[1]],
        values: Vec::new(),
    };
    let counts = ["images", "refused without pneumonia", "refused with pneumonia"];
    let refusals = Table {
        title: "Refused".into(),
        counts: counts.map(str::to_owned).to_vec(),
        measures: Vec::new(),
        rows: parts.iter().map(refusal).collect(),
    };
    let title =
        "Pneumonia, called from 0.5 on (each image counts as a patient: the data do not say whose it is)";
    Measured {
        calibration: parts.first().map(|part| part.cases.calibration()).unwrap_or_default(),
        tables: vec![Cases::table(title, rows), refusals],
    }
}
