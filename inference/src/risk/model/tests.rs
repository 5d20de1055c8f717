//! The engine on people made up by a rule, and the shipped models on people of whom something is known.

use super::super::RISK_MODELS;
use super::*;

/// Somebody of the shipped model, by name and text.
fn of(model: &RiskModel, pairs: &[(&str, &str)]) -> Values {
    Values::read(model.fields(), pairs.iter().copied()).unwrap().values
}

fn shipped(name: &str) -> RiskModel {
    RiskModel::of(&Model::named(name).unwrap(), Backend::default()).unwrap()
}

const SICK: [(&str, &str); 6] = [
    ("age", "66"),
    ("sex", "male"),
    ("chest-pain", "4"),
    ("exercise-angina", "yes"),
    ("st-depression", "2.5"),
    ("maximum-heart-rate", "105"),
];

#[test]
fn parts_add_up_to_the_answer() {
    let model = shipped("heart");
    for known in 5..=SICK.len() {
        let said = model.assess(&of(&model, &SICK[..known])).unwrap();
        let sum = said.base + said.parts.iter().map(|part| part.log_odds).sum::<f64>();
        assert!((sum - said.logit).abs() < 1e-12);
        assert!((said.probability - probability(said.logit)).abs() < 1e-12);
        assert!(said.interval[0] <= said.probability && said.probability <= said.interval[1]);
        assert_eq!(said.parts.len(), model.fields().fields.len());
    }
}

#[test]
fn what_is_missing_is_named_and_adds_nothing() {
    let model = shipped("heart");
    let said = model.assess(&of(&model, &SICK)).unwrap();
    assert_eq!(said.missing.len(), model.fields().fields.len() - SICK.len());
    for missing in &said.missing {
        assert_eq!(said.parts[missing.field].log_odds, 0.0, "no indicator of missing values here");
        let field = &model.fields().fields[missing.field];
        assert_eq!(missing.counted_as.is_some(), field.kind == Kind::Number);
        if let (Some(mean), Some([low, high])) = (missing.counted_as, field.range) {
            assert!((low..=high).contains(&mean), "{}", field.name);
        }
    }
}

#[test]
fn what_a_clinician_knows_to_be_worse_is_said_to_be_worse() {
    let model = shipped("heart");
    let base = SICK.map(|(name, text)| match name {
        "chest-pain" => (name, "2"),
        "exercise-angina" => (name, "no"),
        "st-depression" => (name, "0"),
        "maximum-heart-rate" => (name, "170"),
        _ => (name, text),
    });
    let said = |pairs: &[(&str, &str)]| model.assess(&of(&model, pairs)).unwrap().probability;
    assert!(said(&base) + 0.3 < said(&SICK));
    for (at, worse) in SICK.iter().enumerate().skip(3) {
        let mut one = base;
        one[at] = *worse;
        assert!(said(&one) > said(&base), "{}", worse.0);
    }
}

#[test]
fn too_little_is_refused_with_what_is_missing() {
    let model = shipped("heart");
    let refused = |pairs: &[(&str, &str)]| model.assess(&of(&model, pairs)).unwrap_err();
    assert_eq!(refused(&[]), Refusal::Needed("age".into()));
    assert_eq!(refused(&[("age", "50"), ("sex", "female")]), Refusal::Needed("chest-pain".into()));
    let Refusal::TooLittle { known: 4, least: 5, missing, .. } = refused(&SICK[..4]) else { panic!() };
    assert!(missing.contains("cholesterol"), "{missing}");
    for name in RISK_MODELS {
        let model = shipped(name);
        assert!(model.assess(&Values::none(model.fields())).is_err());
    }
}

#[test]
fn what_was_not_learned_from_is_said() {
    let model = shipped("heart");
    let mut pairs = SICK;
    pairs[0].1 = "99";
    let said = model.assess(&of(&model, &pairs)).unwrap();
    assert_eq!(said.unusual.len(), 1);
    assert_eq!(said.unusual[0].0, model.fields().find("age").unwrap());
}

#[test]
fn weights_of_other_fields_and_impossible_decisions_are_refused() {
    let model = Model::named("heart").unwrap();
    let fields = Fields::of("heart-disease").unwrap();
    let decision: RiskDecision = model.card.figures.decision.clone().try_into().unwrap();
    let load = |fields: &Fields, decision: &RiskDecision, weights: &[u8]| {
        RiskModel::load(weights, fields.clone(), decision.clone(), Backend::default()).err()
    };
    assert_eq!(load(&fields, &decision, &model.weights), None);
    let mut other = fields.clone();
    other.fields[3].name = "diastolic".into();
    assert_eq!(load(&other, &decision, &model.weights), Some(ModelError::Weights));
    for change in [
        (|it: &mut RiskDecision| it.calibration.slope = f64::NAN) as fn(&mut RiskDecision),
        |it| it.calibration.slope = -1.0,
        |it| it.part_calibration.truncate(1),
        |it| it.draws = 1_000,
        |it| it.share = 2.0,
    ] {
        let mut changed = decision.clone();
        change(&mut changed);
        assert_eq!(load(&fields, &changed, &model.weights), Some(ModelError::Card));
    }
    for end in [0, 1, 100, model.weights.len() / 2, model.weights.len() - 1] {
        assert_eq!(load(&fields, &decision, &model.weights[..end]), Some(ModelError::Weights));
    }
    let mut damaged = model.clone();
    damaged.weights.to_mut()[200] ^= 1;
    assert!(matches!(RiskModel::of(&damaged, Backend::default()), Err(ModelError::Hash)));
}

#[cfg(feature = "train")]
mod learning {
    use super::super::super::train;
    use super::*;
    use crate::chance::Chance;
    use crate::training::Training;

    const FIELDS: &str = r#"
        called_from = 0.5
        called_why = "as likely as not"
        least_known = 1
        outcome = { label = "made up", when = "now" }
        learning = { split = "site", draws = 2, penalty = 0.01, epochs = 60, indicate_missing = true }
        [[fields]]
        name = "x"
        label = "x"
        kind = "number"
        range = [-10, 10]
        [[fields]]
        name = "y"
        label = "y"
        kind = "yes-no"
    "#;

    /// Whether it is so hangs on `x` and `y`; a third of `y` is missing.
    fn people(count: usize) -> (Fields, Vec<LabelledPerson>) {
        let fields = Fields::parse(FIELDS).unwrap();
        let mut chance = Chance::new(7, 0);
        let person = |at: usize| {
            let (x, y) = (f64::from(chance.normal()), chance.below(2));
            let truth = f64::from(chance.uniform()) < probability(1.5 * x + if y == 1 { 1.0 } else { -1.0 });
            let mut values = Values::none(&fields);
            values.set(0, Some(Value::Number(x)));
            values.set(1, (!at.is_multiple_of(3)).then_some(Value::Category(y)));
            let site = ["a", "b", "c"][at % 3 + usize::from(at.is_multiple_of(21))].to_owned();
            LabelledPerson { patient: at.to_string(), site, groups: Vec::new(), values, truth }
        };
        let people = (0..count).map(person).collect();
        (fields, people)
    }

    fn learned(fields: &Fields, people: &[LabelledPerson], seed: u64) -> (RiskModel, Vec<u8>) {
        let trained = train(fields, people, &Training::quiet(seed)).unwrap();
        let decision = trained.decision.try_into().unwrap();
        let model = RiskModel::load(&trained.weights, fields.clone(), decision, Backend::default()).unwrap();
        (model, trained.weights)
    }

    #[test]
    fn same_seed_gives_the_same_weights_and_another_others() {
        let (fields, people) = people(300);
        let (_, first) = learned(&fields, &people, 1);
        assert_eq!(sha256(&first), sha256(&learned(&fields, &people, 1).1));
        assert_ne!(sha256(&first), sha256(&learned(&fields, &people, 2).1));
    }

    #[test]
    fn a_hospital_left_out_does_not_touch_the_members_that_judge_it() {
        let (fields, people) = people(300);
        let (model, _) = learned(&fields, &people, 1);
        let mut turned = people.clone();
        for person in turned.iter_mut().filter(|person| person.site == "b") {
            person.truth = !person.truth;
            person.values.set(0, Some(Value::Number(9.0)));
        }
        let (other, _) = learned(&fields, &turned, 1);
        assert_eq!(model.decision.parts, ["a", "b", "c"]);
        assert_eq!(model.parts[1], other.parts[1]);
        assert_eq!(model.decision.part_calibration.len(), 3);
        assert_ne!(model.parts[0], other.parts[0]);
    }

    #[test]
    fn a_rule_is_found_again_and_its_probabilities_can_be_believed() {
        let (fields, people) = people(1_500);
        let (model, _) = learned(&fields, &people, 1);
        let measured = super::super::super::measure(&model, &people, &|_, _| {});
        assert!(measured.value("all", "AUROC").unwrap() > 0.8, "{measured:?}");
        assert!(measured.calibration.error < 0.05, "{measured:?}");
        assert!(measured.tables.iter().any(|table| table.title.contains("Each hospital")));
        let hidden = measured.tables.iter().find(|table| table.title.contains("hidden")).unwrap();
        let area = |row: &str| hidden.value(row, "AUROC").unwrap();
        assert!(area("as they are") > area("half hidden"));
    }

    #[test]
    fn too_few_people_and_one_hospital_are_refused() {
        let (fields, mut people) = people(300);
        assert!(train(&fields, &people[..30], &Training::quiet(1)).is_err());
        assert!(train(&fields, &[], &Training::quiet(1)).is_err());
        people.iter_mut().for_each(|person| person.site = "a".into());
        assert!(train(&fields, &people, &Training::quiet(1)).is_err());
    }
}

#[test]
fn reasons_are_counted_apart() {
    let little = Refusal::TooLittle { known: 1, of: 3, least: 2, missing: String::new() };
    let names = [Refusal::Died, Refusal::Needed("age".into()), little].map(|refusal| refusal.name());
    assert_eq!(names, Refusal::NAMES);
    assert!(names.iter().all(|name| names.iter().filter(|other| other == &name).count() == 1));
}
