//! Questionnaires: what is asked, what is refused, what follows from answers.

#![expect(clippy::unwrap_used, reason = "the whole target is a test")]
#![expect(clippy::needless_pass_by_value, reason = "literals read better")]

use metaclinic_inference::questionnaire::{
    Answer, AnswerError, CalculationError, Coding, Filling, Questionnaire, QuestionnaireError, ResponseError,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const CALCULATED: &str =
    "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-calculatedExpression";

fn questionnaire(items: Value) -> Result<Questionnaire, QuestionnaireError> {
    Questionnaire::read(
        &json!({ "resourceType": "Questionnaire", "url": "urn:q", "version": "2", "item": items }),
    )
}

fn calculated(link_id: &str, kind: &str, expression: &str) -> Value {
    json!({ "linkId": link_id, "type": kind, "extension": [{ "url": CALCULATED,
        "valueExpression": { "language": "text/fhirpath", "expression": expression } }] })
}

fn open(filling: &Filling<'_>) -> Vec<String> {
    filling.open_questions().iter().map(|item| item.link_id.clone()).collect()
}

fn coding(code: &str) -> Answer {
    Answer::Coding(Coding { system: String::new(), code: code.to_owned(), display: Default::default() })
}

/// Asks `b` if the condition holds for the answers to `a`.
fn asks(kind: &str, operator: &str, with: (&str, Value), given: Vec<Answer>) -> bool {
    let questionnaire = questionnaire(json!([
        { "linkId": "a", "type": kind, "repeats": true,
          "answerOption": if kind == "choice" { json!([{ "valueCoding": { "code": "x" } }, { "valueCoding": { "code": "y" } }]) } else { json!([]) } },
        { "linkId": "b", "type": "boolean", "enableWhen": [{ "question": "a", "operator": operator, (with.0): with.1 }] },
    ]))
    .unwrap();
    let mut filling = Filling::new(&questionnaire);
    filling.answer("a", given).unwrap();
    open(&filling).contains(&"b".to_owned())
}

#[test]
fn every_operator_compares() {
    let whole = |n| vec![Answer::Integer(n)];
    let five = || ("answerInteger", json!(5));
    for (operator, less, same, more) in [
        ("=", false, true, false),
        ("!=", true, false, true),
        (">", false, false, true),
        ("<", true, false, false),
        (">=", false, true, true),
        ("<=", true, true, false),
    ] {
        assert_eq!(asks("integer", operator, five(), whole(4)), less, "4 {operator} 5");
        assert_eq!(asks("integer", operator, five(), whole(5)), same, "5 {operator} 5");
        assert_eq!(asks("integer", operator, five(), whole(6)), more, "6 {operator} 5");
        assert!(!asks("integer", operator, five(), Vec::new()), "nothing {operator} 5");
    }
    // Any of several answers is enough.
    assert!(asks("integer", "=", five(), vec![Answer::Integer(1), Answer::Integer(5)]));
    assert!(asks("integer", "exists", ("answerBoolean", json!(true)), whole(1)));
    assert!(!asks("integer", "exists", ("answerBoolean", json!(false)), whole(1)));
    assert!(asks("integer", "exists", ("answerBoolean", json!(false)), Vec::new()));
    assert!(asks("choice", "=", ("answerCoding", json!({ "code": "x" })), vec![coding("x")]));
    assert!(asks("choice", "!=", ("answerCoding", json!({ "code": "x" })), vec![coding("y")]));
    assert!(!asks(
        "choice",
        "=",
        ("answerCoding", json!({ "code": "x", "system": "urn:other" })),
        vec![coding("x")]
    ));
    let date = |text: &str| vec![Answer::Date(text.to_owned())];
    assert!(asks("date", ">", ("answerDate", json!("2024-02-28")), date("2024-02-29")));
    assert!(!asks("date", ">", ("answerDate", json!("2024")), date("2024-02-29")));
    assert!(asks("decimal", ">=", ("answerDecimal", json!(37.5)), vec![Answer::Decimal(38.0)]));
    assert!(asks("boolean", "=", ("answerBoolean", json!(false)), vec![Answer::Boolean(false)]));
    assert!(asks("string", "=", ("answerString", json!("a")), vec![Answer::Text("a".to_owned())]));
}

fn nested() -> Questionnaire {
    questionnaire(json!([
        { "linkId": "fever", "type": "boolean", "required": true },
        { "linkId": "about", "type": "group", "enableWhen": [{ "question": "fever", "operator": "=", "answerBoolean": true }], "item": [
            { "linkId": "note", "type": "display", "text": "Measure twice" },
            { "linkId": "degrees", "type": "decimal", "required": true, "item": [{ "linkId": "where", "type": "string" }],
              "extension": [{ "url": "http://hl7.org/fhir/StructureDefinition/minValue", "valueDecimal": 34.0 },
                            { "url": "http://hl7.org/fhir/StructureDefinition/maxValue", "valueDecimal": 43.0 },
                            { "url": "http://hl7.org/fhir/StructureDefinition/maxDecimalPlaces", "valueInteger": 1 }] },
        ]},
        { "linkId": "advice", "type": "display", "text": "Call", "enableWhen": [
            { "question": "degrees", "operator": ">=", "answerDecimal": 40 }, { "question": "fever", "operator": "exists", "answerBoolean": false }], "enableBehavior": "any" },
        { "linkId": "others", "type": "string", "repeats": true, "maxLength": 5, "initial": [{ "valueString": "cough" }] },
    ]))
    .unwrap()
}

#[test]
fn answers_open_and_close_questions() {
    let questionnaire = nested();
    let mut filling = Filling::new(&questionnaire);
    assert_eq!(open(&filling), ["fever"]);
    assert_eq!(filling.answers("others"), [Answer::Text("cough".to_owned())]);
    filling.answer("fever", vec![Answer::Boolean(true)]).unwrap();
    assert_eq!(open(&filling), ["degrees"]);
    assert_eq!(filling.missing().len(), 1);
    filling.answer("degrees", vec![Answer::Decimal(40.2)]).unwrap();
    assert_eq!(open(&filling), ["where"]);
    assert!(filling.enabled().iter().any(|item| item.link_id == "advice"));
    filling.answer("where", vec![Answer::Text("ear".to_owned())]).unwrap();
    let response = filling.response("2024-05-31T08:00:00Z", "en").unwrap();
    assert_eq!(
        response,
        json!({
            "resourceType": "QuestionnaireResponse", "status": "completed", "authored": "2024-05-31T08:00:00Z", "questionnaire": "urn:q|2",
            "item": [
                { "linkId": "fever", "answer": [{ "valueBoolean": true }] },
                { "linkId": "about", "item": [{ "linkId": "degrees", "answer": [{ "valueDecimal": 40.2,
                    "item": [{ "linkId": "where", "answer": [{ "valueString": "ear" }] }] }] }] },
                { "linkId": "others", "answer": [{ "valueString": "cough" }] },
            ]
        })
    );
    let again = Filling::of_response(&questionnaire, &response).unwrap();
    assert_eq!(again.response("2024-05-31T08:00:00Z", "en").unwrap(), response);
    // What is not asked any more does not count, and comes back with its question.
    filling.answer("fever", vec![Answer::Boolean(false)]).unwrap();
    assert!(filling.answers("degrees").is_empty() && filling.answers("where").is_empty());
    assert!(!filling.response("2024-05-31T08:00:00Z", "en").unwrap().to_string().contains("40.2"));
    filling.answer("fever", vec![Answer::Boolean(true)]).unwrap();
    assert_eq!(filling.answers("degrees"), [Answer::Decimal(40.2)]);
}

#[test]
fn answers_that_do_not_fit_are_refused_without_being_repeated() {
    let questionnaire = nested();
    let mut filling = Filling::new(&questionnaire);
    let mut refused = |link_id: &str, answers: Vec<Answer>| filling.answer(link_id, answers).unwrap_err();
    assert_eq!(refused("nobody", vec![]), AnswerError::Unknown("nobody".to_owned()));
    assert_eq!(refused("about", vec![Answer::Boolean(true)]), AnswerError::NotAsked("about".to_owned()));
    assert!(matches!(refused("degrees", vec![Answer::Text("hot".to_owned())]), AnswerError::Kind { .. }));
    assert_eq!(refused("degrees", vec![Answer::Decimal(43.1)]), AnswerError::Range("degrees".to_owned()));
    assert_eq!(refused("degrees", vec![Answer::Decimal(38.25)]), AnswerError::Length("degrees".to_owned()));
    assert_eq!(refused("fever", vec![Answer::Boolean(true); 2]), AnswerError::TooMany("fever".to_owned()));
    let long = refused("others", vec![Answer::Text("secret".to_owned())]);
    assert_eq!(long, AnswerError::Length("others".to_owned()));
    assert!(!format!("{long} {long:?} {:?}", Answer::Text("secret".to_owned())).contains("secret"));
    assert_eq!(filling.response("yesterday", "en").unwrap_err(), ResponseError::Authored);
}

#[test]
fn options_come_from_the_item_or_a_contained_value_set() {
    let resource = json!({ "resourceType": "Questionnaire", "contained": [{ "resourceType": "ValueSet", "id": "eyes", "compose": { "include": [{
        "system": "urn:gcs", "concept": [
            { "code": "1", "display": "none", "extension": [{ "url": "http://hl7.org/fhir/StructureDefinition/ordinalValue", "valueDecimal": 1 }] },
            { "code": "4", "display": "spontaneous", "extension": [{ "url": "http://hl7.org/fhir/StructureDefinition/itemWeight", "valueDecimal": 4 }] }] }] } }],
        "item": [{ "linkId": "eyes", "type": "choice", "answerValueSet": "#eyes" }, calculated("sum", "integer", "%resource.answers().value.ordinal().sum()")] });
    let questionnaire = Questionnaire::read(&resource).unwrap();
    let item = questionnaire.item("eyes").unwrap();
    assert_eq!(item.option_numbers(), [1, 4]);
    let mut filling = Filling::new(&questionnaire);
    assert!(filling.answer("eyes", vec![coding("4")]).is_err(), "a code of another system");
    filling.answer("eyes", vec![item.parse("Spontaneous").unwrap()]).unwrap();
    assert_eq!(filling.answers("sum"), [Answer::Integer(4)]);
    assert_eq!((item.parse("1"), item.parse("2")), (Some(item.options[0].value.clone()), None));
}

fn refusal(items: Value) -> String {
    let error = questionnaire(items).unwrap_err();
    format!("{error} {:?}", std::error::Error::source(&error).map(ToString::to_string))
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    let yes = |question: &str| json!([{ "question": question, "operator": "=", "answerBoolean": true }]);
    let check = |items: Value, expected: &str| {
        let refusal = refusal(items);
        assert!(refusal.contains(expected), "{refusal} has no {expected:?}");
    };
    check(json!([{ "type": "string" }]), "no usable linkId");
    check(json!([{ "linkId": "a", "type": "string" }, { "linkId": "a", "type": "string" }]), "two items");
    check(json!([{ "linkId": "a" }]), "type is missing");
    check(json!([{ "linkId": "a", "type": "attachment" }]), "the type attachment is not supported");
    check(json!([{ "linkId": "a", "type": "group", "repeats": true }]), "a group that repeats");
    check(json!([{ "linkId": "a", "type": "choice" }]), "answerOption");
    check(
        json!([{ "linkId": "a", "type": "choice", "answerOption": [{ "valueCoding": { "code": "x" } }, { "valueCoding": { "code": "x" } }] }]),
        "answerOption",
    );
    check(
        json!([{ "linkId": "a", "type": "choice", "answerValueSet": "http://loinc.org/vs/LL358-3" }]),
        "not contained",
    );
    check(json!([{ "linkId": "a", "type": "boolean", "modifierExtension": [] }]), "a modifier extension");
    check(
        json!([{ "linkId": "a", "type": "boolean", "enableWhen": yes("b") }]),
        "\"b\", which is no question",
    );
    check(json!([{ "linkId": "a", "type": "boolean", "enableWhen": yes("a") }]), "circle: [\"a\"]");
    check(
        json!([{ "linkId": "a", "type": "boolean", "enableWhen": yes("b") }, { "linkId": "g", "type": "group", "enableWhen": yes("a"), "item": [{ "linkId": "b", "type": "boolean" }] }]),
        "circle: [\"a\", \"g\", \"b\"]",
    );
    let both = json!([{ "question": "a", "operator": "exists", "answerBoolean": true }, { "question": "a", "operator": "exists", "answerBoolean": true }]);
    check(
        json!([{ "linkId": "a", "type": "boolean" }, { "linkId": "b", "type": "boolean", "enableWhen": both }]),
        "enableBehavior",
    );
    check(json!([calculated("a", "integer", "today()")]), "today() is not among");
    check(json!([calculated("a", "integer", "1 +")]), "at character 3");
    check(json!([calculated("a", "integer", "%weight * 2")]), "no variable %weight");
    check(json!([calculated("a", "integer", "linkId.matches('^a')")]), "matches() is not among");
    check(json!([calculated("a", "integer", &"(".repeat(40))]), "nests deeper");
    check(json!([calculated("a", "integer", &"1+".repeat(5_000))]), "bytes");
    let deep = (0..13).fold(
        json!({ "linkId": "x", "type": "string" }),
        |inner, n| json!({ "linkId": n.to_string(), "type": "group", "item": [inner] }),
    );
    check(json!([deep]), "deeper than 12");
    let many: Vec<Value> = (0..2_001).map(|n| json!({ "linkId": n.to_string(), "type": "string" })).collect();
    check(json!(many), "more than 2000 items");
    assert_eq!(Questionnaire::read(&json!([])).unwrap_err(), QuestionnaireError::NotAQuestionnaire);
}

/// What an expression gives over a whole number `n` = 7, a choice `c` worth 2, an unanswered choice `u`.
fn calculate(kind: &str, expression: &str) -> Result<Option<Answer>, CalculationError> {
    let options = json!([{ "valueCoding": { "code": "x" }, "extension": [{ "url": "http://hl7.org/fhir/StructureDefinition/ordinalValue", "valueDecimal": 2 }] }]);
    let questionnaire = questionnaire(json!([
        { "linkId": "g", "type": "group", "item": [{ "linkId": "n", "type": "integer" }] },
        { "linkId": "c", "type": "choice", "answerOption": options },
        { "linkId": "u", "type": "choice", "answerOption": options },
        calculated("r", kind, expression),
    ]))
    .unwrap();
    let mut filling = Filling::new(&questionnaire);
    filling.answer("n", vec![Answer::Integer(7)]).unwrap();
    filling.answer("c", vec![coding("x")]).unwrap();
    match filling.faults().first() {
        Some((_, fault)) => Err(*fault),
        None => Ok(filling.answers("r").first().cloned()),
    }
}

#[test]
fn expressions_give_what_fhirpath_gives() {
    let check = |kind: &str, expression: &str, expected: Option<Answer>| {
        assert_eq!(calculate(kind, expression), Ok(expected), "{expression}");
    };
    let whole = |number| Some(Answer::Integer(number));
    let truth = |truth| Some(Answer::Boolean(truth));
    check("integer", "1 + 2 * 3 - 4 / 2", whole(5));
    check("integer", "(1 + 2) * -3", whole(-9));
    check("integer", "%resource.item.where(linkId = 'c').answer.value.ordinal()", whole(2));
    check("integer", "%resource.item.item.where(linkId='n').answer.value + 1", whole(8));
    check("integer", "%resource.descendants().where(linkId = 'n').answer.value", whole(7));
    check("integer", "%resource.repeat(item).where(linkId = 'n').answer.value", whole(7));
    check("integer", "item.where(linkId = 'u').answer.value.ordinal() + 1", None);
    check("integer", "%resource.item.where(linkId in ('c' | 'u')).answer.value.weight().sum()", whole(2));
    check("integer", "%resource.item.where(linkId = 'c' or linkId = 'u').answer.count()", whole(1));
    check("integer", "iif(%resource.item.where(linkId='u').exists(), 5, 6)", whole(6));
    check("integer", "iif({}, 5)", None);
    check("integer", "%resource.answers().value.ordinal().aggregate($this + $total, 40)", whole(42));
    check("integer", "(3 | 9 | 3).max() + (3 | 9).min() + (3|9|3).count()", whole(14));
    check("integer", "(2.5).round()", whole(3));
    check("integer", "1 / 0", None);
    check(
        "boolean",
        "%resource.item.where(linkId != 'r').all(linkId.startsWith('g') or linkId.startsWith('c'))",
        truth(true),
    );
    check("boolean", "%resource.item.where(linkId = 'c').answer.value.code = 'x'", truth(true));
    check("boolean", "{} and false", truth(false));
    check("boolean", "{} or false", None);
    check("boolean", "1 < 2 and 2 >= 2 and 'a' != 'b' and (1 = 1.0).not() = false", truth(true));
    check("string", "'it\\'s'", Some(Answer::Text("it's".to_owned())));
    for (expression, fault) in [
        ("'a' + 1", CalculationError::Kinds),
        ("(1 | 2) + 1", CalculationError::Several),
        ("0.5", CalculationError::Result),
        ("99999999999", CalculationError::Result),
        ("'text'", CalculationError::Result),
    ] {
        assert_eq!(calculate("integer", expression), Err(fault), "{expression}");
    }
}

#[test]
fn variables_are_put_in_and_cannot_explode() {
    let variable = |name: &str, expression: &str| {
        json!({ "url": "http://hl7.org/fhir/StructureDefinition/variable",
        "valueExpression": { "name": name, "language": "text/fhirpath", "expression": expression } })
    };
    let read = |variables: Vec<Value>, expression: &str| {
        Questionnaire::read(&json!({ "resourceType": "Questionnaire", "extension": variables,
            "item": [{ "linkId": "n", "type": "integer" }, calculated("r", "integer", expression)] }))
    };
    let questionnaire = read(
        vec![variable("n", "%resource.item.where(linkId='n').answer.value"), variable("m", "%n * 2")],
        "%m + %n",
    )
    .unwrap();
    let mut filling = Filling::new(&questionnaire);
    filling.answer("n", vec![Answer::Integer(5)]).unwrap();
    assert_eq!(filling.answers("r"), [Answer::Integer(15)]);
    let mut doubling = vec![variable("v0", "1 + 1")];
    doubling.extend((1..40).map(|n| variable(&format!("v{n}"), &format!("%v{0} + %v{0}", n - 1))));
    assert!(matches!(read(doubling, "%v39"), Err(QuestionnaireError::Expression { .. })));
}

#[test]
fn calculations_end() {
    let circle = questionnaire(json!([
        calculated("a", "integer", "iif(%resource.item.where(linkId = 'b').exists(), 1, 1) + %resource.item.where(linkId = 'b').answer.value.sum()"),
        calculated("b", "integer", "%resource.item.where(linkId = 'a').answer.value + 1"),
    ]))
    .unwrap();
    let filling = Filling::new(&circle);
    assert!(filling.answers("a").is_empty());
    assert_eq!(filling.faults().first(), Some(&("a", CalculationError::NotSettled)));
    let mut items: Vec<Value> = (0..1_000)
        .map(|n| json!({ "linkId": n.to_string(), "type": "string", "initial": [{ "valueString": "x" }] }))
        .collect();
    items.push(calculated(
        "r",
        "integer",
        "%resource.item.where(%resource.item.where(%resource.item.exists()).exists()).count()",
    ));
    let questionnaire = questionnaire(json!(items)).unwrap();
    assert_eq!(Filling::new(&questionnaire).faults(), [("r", CalculationError::TooLong)]);
}

#[test]
fn responses_of_others_are_checked() {
    let questionnaire = nested();
    let read = |response: Value| Filling::of_response(&questionnaire, &response).unwrap_err();
    let with = |item: Value| json!({ "resourceType": "QuestionnaireResponse", "item": [item] });
    assert_eq!(read(json!({})), ResponseError::NotAResponse);
    let other = json!({ "resourceType": "QuestionnaireResponse", "questionnaire": "urn:other" });
    assert_eq!(read(other), ResponseError::OtherQuestionnaire);
    assert_eq!(
        read(with(json!({ "linkId": "x" }))),
        ResponseError::Answer(AnswerError::Unknown("x".to_owned()))
    );
    let hot = json!({ "linkId": "degrees", "answer": [{ "valueDecimal": 99 }] });
    assert_eq!(read(with(hot)), ResponseError::Answer(AnswerError::Range("degrees".to_owned())));
    let none = json!({ "linkId": "degrees", "answer": [{}] });
    assert_eq!(read(with(none)), ResponseError::Malformed("degrees".to_owned()));
    let deep =
        (0..100).fold(json!({ "linkId": "about" }), |inner, _| json!({ "linkId": "about", "item": [inner] }));
    assert_eq!(read(with(deep)), ResponseError::Malformed("about".to_owned()));
    // A hidden answer is taken and does not count.
    let hidden = with(json!({ "linkId": "degrees", "answer": [{ "valueDecimal": 39 }] }));
    assert!(Filling::of_response(&questionnaire, &hidden).unwrap().answers("degrees").is_empty());
}

/// Any JSON, with the words that matter here in it.
fn any_json() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "Questionnaire",
        "QuestionnaireResponse",
        "group",
        "choice",
        "integer",
        "a",
        "b",
        "=",
        "exists",
        "all",
        "text/fhirpath",
        "%resource.item.answer.value.ordinal()",
        "#s",
        CALCULATED,
        "http://hl7.org/fhir/StructureDefinition/ordinalValue",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    let names = prop::sample::select(vec![
        "resourceType",
        "item",
        "linkId",
        "type",
        "answerOption",
        "valueCoding",
        "valueInteger",
        "code",
        "enableWhen",
        "question",
        "operator",
        "answerBoolean",
        "extension",
        "url",
        "valueExpression",
        "expression",
        "language",
        "contained",
        "id",
        "compose",
        "include",
        "concept",
        "answerValueSet",
        "initial",
        "valueString",
        "answer",
        "required",
        "_text",
        "valueDecimal",
        "maxLength",
    ]);
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..7)
                .prop_map(|pairs| pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

/// Replaces the value that the numbers lead to.
fn replace(value: &mut Value, mut way: impl Iterator<Item = usize>, with: Value) {
    let length = match &*value {
        Value::Array(list) => list.len(),
        Value::Object(map) => map.len(),
        _ => 0,
    };
    match way.next() {
        Some(step) if length > 0 => {
            let inner = match value {
                Value::Array(list) => list.get_mut(step % length),
                Value::Object(map) => map.values_mut().nth(step % length),
                _ => None,
            };
            replace(inner.unwrap(), way, with);
        }
        _ => *value = with,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_json_is_read_or_refused(json in any_json()) {
        if let Ok(questionnaire) = Questionnaire::read(&json) {
            Filling::new(&questionnaire);
        }
        let _ = Filling::of_response(&nested(), &json);
    }

    #[test]
    fn damaged_questionnaires_never_panic(way in prop::collection::vec(0_usize..9, 1..8), with in any_json(), answer in any_json()) {
        let mut json: Value = serde_json::from_str(include_str!("../questionnaires/phq-9.json")).unwrap();
        replace(&mut json, way.into_iter(), with);
        let Ok(questionnaire) = Questionnaire::read(&json) else { return Ok(()) };
        let mut filling = Filling::new(&questionnaire);
        for item in questionnaire.items() {
            if let Some(answer) = item.parse("1").or(item.parse("yes")) {
                let _ = filling.answer(&item.link_id, vec![answer]);
            }
        }
        let response = filling.response("2024-05-31T08:00:00Z", "zh").unwrap();
        prop_assert!(Filling::of_response(&questionnaire, &response).is_ok());
        let _ = Filling::of_response(&questionnaire, &answer);
    }

    #[test]
    fn any_expression_is_read_or_refused(expression in "[a-z%$'(){}|+*/<>=., 0-9-]{0,60}", parts in prop::collection::vec(prop::sample::select(vec![
        "%resource", ".item", ".answer", ".value", ".ordinal()", ".sum()", ".where(", "linkId", "=", "'a'", ")", "(", "+", "iif(", ",", "$this", "$total", ".aggregate(", "1", "|", "{}", ".descendants()", ".not()",
    ]), 0..14)) {
        for expression in [expression, parts.concat()] {
            if let Ok(questionnaire) = questionnaire(json!([{ "linkId": "a", "type": "integer", "initial": [{ "valueInteger": 3 }] }, calculated("r", "integer", &expression)])) {
                Filling::new(&questionnaire).faults();
            }
        }
    }
}
