//! The figures of labelled images.

use super::classifier::{CALLED_FROM, XrayModel};
use super::image::LabelledXray;
use crate::card::Measured;
use crate::measure::{Case, Cases, Table, TableRow};

/// Figures of the parts of a data set, the first being that of the calibration curve; each image counts as a patient,
/// because the data do not say whose it is. A refused image is left out, and counted.
pub fn measure(
    model: &XrayModel,
    parts: &[(&str, &[LabelledXray])],
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Measured {
    let all: usize = parts.iter().map(|(_, images)| images.len()).sum();
    let mut done = 0;
    let (mut rows, mut refusals) = (Vec::new(), Vec::new());
    let mut calibration = None;
    for (name, images) in parts {
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
        let cases: Cases = cases.into_iter().collect();
        rows.push(cases.row(*name, CALLED_FROM));
        calibration.get_or_insert_with(|| cases.calibration());
        refusals.push(TableRow {
            name: (*name).to_owned(),
            counts: vec![images.len(), refused[0], refused[1]],
            values: Vec::new(),
        });
    }
    let counts = ["images", "refused without pneumonia", "refused with pneumonia"];
    let refusals = Table {
        title: "Refused".into(),
        counts: counts.map(str::to_owned).to_vec(),
        measures: Vec::new(),
        rows: refusals,
    };
    let title =
        "Pneumonia, called from 0.5 on (each image counts as a patient: the data do not say whose it is)";
    Measured {
        calibration: calibration.unwrap_or_default(),
        tables: vec![Cases::table(title, rows), refusals],
    }
}
