//! PHQ-9 and GAD-7 against the published cut-offs. Vectors of `METACLINIC_VECTORS`, a file of the form of
//! `{"vectors": [{"score": "phq9", "inputs": {"responses": […]}, "expected": {…}}]}`, are checked too when it is there.

#![expect(clippy::unwrap_used, reason = "the whole target is a test")]

use metaclinic_inference::questionnaire::{Answer, Filling, Instrument, InstrumentError, Score};
use proptest::prelude::*;
use serde_json::Value;

/// The score of a questionnaire that is filled as a person would.
fn fill(instrument: Instrument, responses: &[Option<u8>]) -> (Score, Vec<Answer>) {
    let questionnaire = instrument.questionnaire().unwrap();
    let mut filling = Filling::new(&questionnaire);
    for (link_id, response) in instrument.items().iter().zip(responses) {
        if let Some(points) = response {
            let answer = questionnaire.item(link_id).unwrap().parse(&points.to_string()).unwrap();
            filling.answer(link_id, vec![answer]).unwrap();
        }
    }
    assert!(filling.faults().is_empty());
    let total = if instrument == Instrument::Phq9 { "/44261-6" } else { "/70274-6" };
    (instrument.score(&filling), filling.answers(total).to_vec())
}

fn check(instrument: Instrument, responses: &[u8], total: u8, band: &str, crisis: bool) {
    let responses: Vec<Option<u8>> = responses.iter().copied().map(Some).collect();
    let (score, calculated) = fill(instrument, &responses);
    assert_eq!((score.total, score.band.unwrap().name, score.crisis.is_some()), (Some(total), band, crisis));
    assert_eq!(calculated, [Answer::Integer(total.into())]);
    assert_eq!(instrument.score_responses(&responses), Ok(score));
}

#[test]
fn cut_offs_are_the_published_ones() {
    let phq = Instrument::Phq9;
    check(phq, &[0; 9], 0, "none-minimal", false);
    check(phq, &[1, 1, 1, 1, 0, 0, 0, 0, 0], 4, "none-minimal", false);
    check(phq, &[1, 1, 1, 1, 1, 0, 0, 0, 0], 5, "mild", false);
    check(phq, &[3, 3, 3, 0, 0, 0, 0, 0, 0], 9, "mild", false);
    check(phq, &[3, 3, 3, 1, 0, 0, 0, 0, 0], 10, "moderate", false);
    check(phq, &[3, 3, 3, 3, 2, 0, 0, 0, 0], 14, "moderate", false);
    check(phq, &[3, 3, 3, 3, 3, 0, 0, 0, 0], 15, "moderately severe", false);
    check(phq, &[3, 3, 3, 3, 3, 3, 1, 0, 0], 19, "moderately severe", false);
    check(phq, &[3, 3, 3, 3, 3, 3, 2, 0, 0], 20, "severe", false);
    check(phq, &[3; 9], 27, "severe", true);
    check(phq, &[0, 0, 0, 0, 0, 0, 0, 0, 1], 1, "none-minimal", true);
    let gad = Instrument::Gad7;
    check(gad, &[0; 7], 0, "minimal", false);
    check(gad, &[1, 1, 1, 1, 0, 0, 0], 4, "minimal", false);
    check(gad, &[2, 2, 1, 0, 0, 0, 0], 5, "mild", false);
    check(gad, &[3, 3, 3, 0, 0, 0, 0], 9, "mild", false);
    check(gad, &[3, 3, 3, 1, 0, 0, 0], 10, "moderate", false);
    check(gad, &[2; 7], 14, "moderate", false);
    check(gad, &[3, 3, 3, 3, 3, 0, 0], 15, "severe", false);
    check(gad, &[3; 7], 21, "severe", false);
}

#[test]
fn missing_items_give_no_total_and_hide_no_crisis() {
    let mut responses = [Some(0); 9];
    responses[3] = None;
    responses[8] = Some(2);
    let (score, calculated) = fill(Instrument::Phq9, &responses);
    assert_eq!((score.total, score.band, score.missing.as_slice()), (None, None, &["/44254-1"][..]));
    let crisis = score.crisis.unwrap();
    assert!(crisis.text.contains("988") && crisis.text_zh.contains("12356") && crisis.task.contains("today"));
    assert!(!crisis.text_zh.contains("  ") && !crisis.text.contains("  "));
    assert!(calculated.is_empty());
    let few = Instrument::Gad7.score_responses(&[Some(0)]).unwrap_err();
    assert_eq!(few, InstrumentError::Items { instrument: "gad7", items: 7 });
    let high = Instrument::Gad7.score_responses(&[None, Some(4), None, None, None, None, None]);
    assert_eq!(high, Err(InstrumentError::Range(2)));
}

#[test]
fn questions_are_asked_in_both_languages() {
    for instrument in Instrument::ALL {
        let questionnaire = instrument.questionnaire().unwrap();
        for item in questionnaire.items() {
            let (english, chinese) = (item.text.in_language("en"), item.text.in_language("zh-CN"));
            assert!(english.is_ascii() && !chinese.is_ascii() && !chinese.is_empty(), "{}", item.link_id);
            for option in &item.options {
                let Answer::Coding(coding) = &option.value else { panic!("no code") };
                assert_eq!(item.parse(coding.display.in_language("zh")), Some(option.value.clone()));
            }
        }
        let open = Filling::new(&questionnaire).open_questions().len();
        assert_eq!(open, instrument.items().len());
    }
}

#[test]
fn difficulty_is_asked_once_there_is_a_problem() {
    let questionnaire = Instrument::Phq9.questionnaire().unwrap();
    let mut filling = Filling::new(&questionnaire);
    let asked =
        |filling: &Filling<'_>| filling.open_questions().iter().any(|item| item.link_id == "/69722-7");
    for link_id in Instrument::Phq9.items() {
        filling
            .answer(link_id, vec![questionnaire.item(link_id).unwrap().parse("Not at all").unwrap()])
            .unwrap();
    }
    assert!(!asked(&filling) && filling.missing().is_empty());
    let item = questionnaire.item("/44254-1").unwrap();
    filling.answer("/44254-1", vec![item.parse("几乎每天").unwrap()]).unwrap();
    assert!(asked(&filling));
    let response = filling.response("2024-05-31T08:00:00+08:00", "zh").unwrap();
    assert_eq!(response["status"], "completed");
    assert_eq!(response["questionnaire"], "urn:metaclinic:questionnaire:phq-9|1.0.0");
    let again = Filling::of_response(&questionnaire, &response).unwrap();
    assert_eq!(Instrument::Phq9.score(&again).total, Some(3));
}

#[test]
fn vectors_agree() {
    let Some(file) = std::env::var_os("METACLINIC_VECTORS") else {
        println!("skipped: METACLINIC_VECTORS names no file");
        return;
    };
    let vectors: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let mut checked = 0;
    for vector in vectors["vectors"].as_array().unwrap() {
        let Some(instrument) = Instrument::ALL.into_iter().find(|it| vector["score"] == it.name()) else {
            continue;
        };
        let responses = vector["inputs"]["responses"].as_array().unwrap();
        let responses: Vec<Option<u8>> =
            responses.iter().map(|it| it.as_u64().map(|points| points as u8)).collect();
        let score = instrument.score_responses(&responses).unwrap();
        let expected = &vector["expected"];
        assert_eq!(expected["total"].as_u64(), score.total.map(u64::from));
        assert_eq!(expected["band"].as_str(), score.band.map(|band| band.name));
        if let Some(flag) = expected["item9_flag"].as_bool() {
            assert_eq!(flag, score.crisis.is_some());
        }
        checked += 1;
    }
    assert!(checked > 0);
}

proptest! {
    /// More of any symptom never lowers a score, and a total is the sum.
    #[test]
    fn scores_rise_with_their_items(responses in prop::collection::vec(0_u8..=3, 9), item in 0_usize..9) {
        let score = |responses: &[u8]| {
            let responses: Vec<Option<u8>> = responses.iter().copied().map(Some).collect();
            Instrument::Phq9.score_responses(&responses).unwrap()
        };
        let before = score(&responses);
        prop_assert_eq!(before.total, Some(responses.iter().sum()));
        let mut more = responses.clone();
        more[item] = 3;
        let after = score(&more);
        prop_assert!(after.total >= before.total && after.band.unwrap().from >= before.band.unwrap().from);
        prop_assert!(after.crisis.is_some() || before.crisis.is_none());
    }
}
