//! The shipped models of risk on public tables: each hospital and each patient by weights that never saw them. Needs
//! METACLINIC_DATA, a folder with `uci-heart-disease`, `uci-diabetes-130` and `small-clinical-tables` in it; says so and
//! passes when there is none.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "the whole target is a test")]

use std::path::{Path, PathBuf};

use metaclinic_inference::measure::{Case, Cases, Measure};
use metaclinic_inference::risk::{
    BREAST_MODEL, HEART_MODEL, Header, LabelledPerson, READMISSION_MODEL, RISK_MODELS, RiskModel, Values,
};
use metaclinic_inference::{Backend, Model};

fn folder(name: &str) -> Option<PathBuf> {
    let folder =
        std::env::var_os("METACLINIC_DATA").map(|root| Path::new(&root).join(name)).filter(|it| it.is_dir());
    if folder.is_none() {
        println!("skipped: METACLINIC_DATA names no folder with {name}");
    }
    folder
}

fn model(name: &str) -> RiskModel {
    RiskModel::of(&Model::named(name).unwrap(), Backend::default()).unwrap()
}

/// A plain table: no field of these holds a comma.
struct Rows {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Rows {
    fn read(text: &str) -> Rows {
        let cells = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
        let mut lines = text.lines();
        Rows { names: cells(lines.next().unwrap()), rows: lines.map(cells).collect() }
    }

    fn people(
        &self,
        model: &RiskModel,
        of: impl Fn(&dyn Fn(&str) -> String) -> (String, String, bool),
    ) -> Vec<LabelledPerson> {
        let header = Header::of(model.fields(), self.names.iter().map(String::as_str)).unwrap();
        let person = |row: &Vec<String>| {
            let text = |name: &str| row[self.names.iter().position(|it| it == name).unwrap()].clone();
            let (patient, site, truth) = of(&text);
            let values = header.read(model.fields(), row.iter().map(String::as_str)).unwrap();
            LabelledPerson { patient, site, groups: Vec::new(), values, truth }
        };
        self.rows.iter().map(person).collect()
    }
}

fn unseen(model: &RiskModel, people: &[LabelledPerson]) -> Cases {
    let judged = people.iter().enumerate().filter_map(|(patient, person)| {
        let probability = model.assess_unseen(person, &person.values).ok()? as f32;
        Some(Case { patient, truth: person.truth, probability })
    });
    judged.collect()
}

fn heart(model: &RiskModel) -> Option<Vec<(&'static str, Vec<LabelledPerson>)>> {
    let folder = folder("uci-heart-disease")?;
    let site = |site: &'static str| {
        let text = std::fs::read_to_string(folder.join(format!("processed.{site}.csv"))).unwrap();
        let of = |text: &dyn Fn(&str) -> String| (String::new(), site.to_owned(), text("num") != "0");
        (site, Rows::read(&text).people(model, of))
    };
    Some(["cleveland", "hungarian", "switzerland", "va"].into_iter().map(site).collect())
}

#[test]
fn each_hospital_is_ordered_by_weights_that_never_saw_it() {
    let model = model(HEART_MODEL);
    let Some(sites) = heart(&model) else { return };
    // What was seen, rounded down.
    for ((site, people), least) in sites.iter().zip([0.84, 0.89, 0.66, 0.77]) {
        let cases = unseen(&model, people);
        let area = cases.value(Measure::Auroc, 0.5).unwrap();
        println!("{site}: {area:.3} of {}", cases.len());
        assert_eq!(cases.len(), people.len(), "nobody is refused");
        assert!(area >= least);
    }
    let all: Vec<LabelledPerson> = sites.into_iter().flat_map(|(_, people)| people).collect();
    assert!(unseen(&model, &all).value(Measure::Auroc, 0.5).unwrap() >= 0.83);
}

#[test]
fn a_person_is_told_the_parts_of_the_answer_and_they_add_up() {
    let model = model(HEART_MODEL);
    let Some(sites) = heart(&model) else { return };
    for person in sites.iter().flat_map(|(_, people)| people) {
        let said = model.assess(&person.values).unwrap();
        let sum = said.base + said.parts.iter().map(|part| part.log_odds).sum::<f64>();
        assert!((sum - said.logit).abs() < 1e-9);
        assert!((said.probability - 1.0 / (1.0 + (-sum).exp())).abs() < 1e-9);
        assert!(said.interval[0] <= said.probability && said.probability <= said.interval[1]);
        assert_eq!(said.missing.len() + person.values.known(), model.fields().fields.len());
    }
}

#[test]
fn breast_masses_are_told_apart_by_weights_that_never_saw_them() {
    let model = model(BREAST_MODEL);
    let Some(folder) = folder("small-clinical-tables") else { return };
    let rows = Rows::read(&std::fs::read_to_string(folder.join("wdbc.csv")).unwrap());
    let header: Vec<String> = rows.names.clone();
    let of = |text: &dyn Fn(&str) -> String| {
        let content = header.iter().map(|name| text(name)).collect::<Vec<_>>().join(",");
        (metaclinic_inference::sha256(content.as_bytes()), String::new(), text("benign") == "0")
    };
    let cases = unseen(&model, &rows.people(&model, of));
    let area = cases.value(Measure::Auroc, 0.3).unwrap();
    let sensitivity = cases.value(Measure::Sensitivity, model.fields().called_from).unwrap();
    println!("area {area:.4}, sensitivity {sensitivity:.3}");
    assert!(area >= 0.985 && sensitivity >= 0.96);
}

#[test]
fn patients_who_come_back_are_ranked_by_weights_that_never_saw_them() {
    let model = model(READMISSION_MODEL);
    let Some(folder) = folder("uci-diabetes-130") else { return };
    let packed = std::fs::read(folder.join("diabetic_data.csv.xz")).unwrap();
    let mut text = Vec::new();
    lzma_rs::xz_decompress(&mut packed.as_slice(), &mut text).unwrap();
    let mut rows = Rows::read(&String::from_utf8(text).unwrap());
    let left = rows.names.iter().position(|name| name == "discharge_disposition_id").unwrap();
    rows.rows.retain(|row| !["11", "13", "14", "19", "20", "21"].contains(&row[left].as_str()));
    let of =
        |text: &dyn Fn(&str) -> String| (text("patient_nbr"), String::new(), text("readmitted") == "<30");
    let cases = unseen(&model, &rows.people(&model, of));
    let area = cases.value(Measure::Auroc, 0.12).unwrap();
    let calibration = cases.calibration();
    println!("area {area:.4} of {}, calibration error {:.4}", cases.len(), calibration.error);
    assert!(area >= 0.65 && calibration.error <= 0.01);
}

#[test]
fn cards_tell_the_number_of_learned_values_and_nothing_known_is_refused() {
    for name in RISK_MODELS {
        let (card, model) = (Model::named(name).unwrap().card, model(name));
        assert_eq!(card.figures.parameters, model.parameters(), "{name}");
        assert!(model.assess(&Values::none(model.fields())).is_err());
    }
}
