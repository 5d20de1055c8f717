//! Queries against small indexes: every parameter type, prefix and page.

use keys::{IdentityId, RecordId};
use proptest::prelude::*;

use super::*;
use crate::resource::Resource;
use crate::terms::Terms;

fn record(number: usize) -> RecordId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    RecordId::from_bytes(bytes)
}

/// An index of texts; record n is the text n.
fn index(texts: &[&str]) -> Index {
    let mut index = Index::new();
    for (number, text) in texts.iter().enumerate() {
        index.insert(record(number), Source::Own, Terms::of(&Resource::parse(text).unwrap()));
    }
    index
}

/// The numbers of the texts that a query finds, in its order.
fn found(index: &Index, query: &str) -> Vec<usize> {
    let page = index.search(&Query::parse(query).unwrap()).unwrap();
    assert_eq!(page.total as usize, page.ids.len());
    page.ids.iter().map(|id| (0..100).find(|number| record(*number) == *id).unwrap()).collect()
}

fn observation(id: &str, rest: &str) -> String {
    format!(r#"{{"resourceType":"Observation","id":"{id}",{rest}}}"#)
}

fn observations() -> Index {
    let coding = |coding: &str| format!("\"code\":{{\"coding\":[{coding}]}}");
    let texts = [
        observation(
            "a",
            &(coding(r#"{"system":"urn:s","code":"1"}"#) + r#","subject":{"reference":"Patient/x"}"#),
        ),
        observation(
            "b",
            &(coding(r#"{"system":"urn:t","code":"1"}"#) + r#","subject":{"reference":"Patient/y"}"#),
        ),
        observation("c", &(coding(r#"{"code":"1"},{"code":"2"}"#) + r#","subject":{"reference":"Group/x"}"#)),
        observation("d", &(coding(r#"{"system":"urn:s","code":"a,b|c"}"#) + r#","status":"final""#)),
    ];
    index(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn tokens_match_with_and_without_system() {
    let index = observations();
    let check = |query: &str, expected: &[usize]| assert_eq!(found(&index, query), expected, "{query}");
    check("Observation?code=1", &[0, 1, 2]);
    check("Observation?code=urn:s|1", &[0]);
    check("Observation?code=urn%3As%7C1", &[0]);
    check("Observation?code=|1", &[2]);
    check("Observation?code=urn:s|", &[0, 3]);
    check("Observation?code=urn:s|,2", &[0, 2, 3]);
    check("Observation?code=1&code=2", &[2]);
    check("Observation?code=a%5C,b%5C%7Cc", &[3]);
    check("Observation?code=nowhere", &[]);
    check("Observation?code=nowhere,2", &[2]);
    check("Observation?status=final", &[3]);
    check("Patient?_id=a", &[]);
}

#[test]
fn patients_are_named_by_reference_or_id() {
    let index = observations();
    let check = |query: &str, expected: &[usize]| assert_eq!(found(&index, query), expected, "{query}");
    check("Observation?patient=x", &[0]);
    check("Observation?patient=Patient/x", &[0]);
    check("Observation?subject=x", &[0, 2]);
    check("Observation?subject=Group/x", &[2]);
    check("Observation?subject:Patient=x", &[0]);
    check("Observation?patient=x,y&code=urn:t|1", &[1]);
    check("Observation?_id=a,d,zz", &[0, 3]);
    check("Observation?_id=d,a&_sort=-_id", &[3, 0]);
}

#[test]
fn addresses_elsewhere_are_found_as_they_are_written() {
    let text = observation("a", r#""subject":{"reference":"http://h/Patient/x"}"#);
    let index = index(&[&text]);
    assert_eq!(found(&index, "Observation?subject=http://h/Patient/x"), [0]);
    assert_eq!(found(&index, "Observation?subject=x"), [0; 0]);
}

#[test]
fn date_prefixes_compare_intervals() {
    let dated = |id: &str, date: &str| observation(id, &format!("\"effectiveDateTime\":\"{date}\""));
    let texts = [
        dated("a", "2019"),
        dated("b", "2020-03"),
        dated("c", "2020-03-15T10:00:00Z"),
        dated("d", "2020-03-31"),
        observation("e", r#""effectivePeriod":{"start":"2020-03-30"}"#),
        observation("f", r#""status":"final""#),
    ];
    let index = index(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let check = |value: &str, expected: &[usize]| {
        assert_eq!(found(&index, &format!("Observation?date={value}")), expected, "{value}");
    };
    check("2020-03", &[1, 2, 3]);
    check("eq2020-03", &[1, 2, 3]);
    check("ne2020-03", &[0, 4]);
    check("2020-03-15", &[2]);
    check("2020-03-15T10:00Z", &[2]);
    check("2020-03-15T12:00:00%2B02:00", &[2]);
    check("2020-03-15T12:00:00+02:00", &[2]);
    check("gt2020-03-31", &[4]);
    check("ge2020-03-31", &[1, 3, 4]);
    check("lt2020-03", &[0]);
    check("lt2020-03-15T10:00:00Z", &[0, 1]);
    check("le2020-03", &[0, 1, 2, 3, 4]);
    check("sa2020-03-30", &[3]);
    check("eb2020", &[0]);
    check("ap2020-03-14", &[1, 2]);
    check("ge2020-01&date=lt2020-03-30", &[1, 2]);
    check("2019,2020-03-31", &[0, 3]);
}

#[test]
fn order_is_by_date_with_the_undated_last() {
    let dated = |id: &str, date: &str| observation(id, &format!("\"effectiveDateTime\":\"{date}\""));
    let texts = [
        dated("a", "2020-02"),
        observation("b", r#""status":"final""#),
        dated("c", "2019"),
        dated("d", "2020"),
    ];
    let index = index(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(found(&index, "Observation?_sort=date"), [2, 3, 0, 1]);
    assert_eq!(found(&index, "Observation?_sort=-date"), [3, 0, 2, 1]);
    assert_eq!(found(&index, "Observation"), [0, 1, 2, 3]);
    let condition = |id: &str, rest: &str| format!(r#"{{"resourceType":"Condition","id":"{id}",{rest}}}"#);
    let (early, late) =
        (condition("b", r#""onsetDateTime":"2000""#), condition("a", r#""onsetDateTime":"2001""#));
    let index = tests::index(&[&early, &late]);
    assert_eq!(found(&index, "Condition?_sort=date"), [0, 1]);
    assert_eq!(found(&index, "Condition?onset-date=gt2000"), [1]);
}

#[test]
fn names_match_from_their_start_without_accents() {
    let index = index(&[
        r#"{"resourceType":"Patient","id":"a","name":[{"family":"Müller","given":["José","Maria"]}]}"#,
        r#"{"resourceType":"Patient","id":"b","name":[{"family":"Mullen","given":["Anna"]}]}"#,
    ]);
    assert_eq!(found(&index, "Patient?name=mul"), [0, 1]);
    assert_eq!(found(&index, "Patient?family=M%C3%9CLLER"), [0]);
    assert_eq!(found(&index, "Patient?given=jose"), [0]);
    assert_eq!(found(&index, "Patient?given=ose"), [0; 0]);
    assert_eq!(found(&index, "Patient?given=maria&family=mul"), [0]);
}

#[test]
fn replacing_and_removing_leave_nothing_behind() {
    let mut index = observations();
    let other = observation("a", r#""code":{"coding":[{"code":"9"}]}"#);
    index.insert(record(0), Source::Own, Terms::of(&Resource::parse(&other).unwrap()));
    assert_eq!(index.len(), 4);
    assert_eq!(found(&index, "Observation?code=urn:s|1"), [0; 0]);
    assert_eq!(found(&index, "Observation?code=9"), [0]);
    assert!(index.remove(&record(0)) && !index.remove(&record(0)));
    assert_eq!(found(&index, "Observation?code=9"), [0; 0]);
    for number in 1..4 {
        assert!(index.remove(&record(number)));
    }
    assert!(index.is_empty() && index.types().is_empty());
    assert_eq!(found(&index, "Observation"), [0; 0]);
}

#[test]
fn sources_keep_copies_of_the_same_id_apart() {
    let mut index = observations();
    let peer = Source::Peer(IdentityId::from_bytes([3; 32]));
    let copy = observation("a", r#""subject":{"reference":"Patient/x"}"#);
    index.insert(record(50), peer, Terms::of(&Resource::parse(&copy).unwrap()));
    assert_eq!(index.find(Source::Own, "Observation", "a"), Some(record(0)));
    assert_eq!(index.find(peer, "Observation", "a"), Some(record(50)));
    assert_eq!(index.find(peer, "Observation", "b"), None);
    assert_eq!(index.source(&record(50)), Some(peer));
    assert_eq!(found(&index, "Observation?patient=x").len(), 2);
    assert_eq!(index.types(), [("Observation".to_owned(), 5)]);
    let facts = index.facts(&record(3)).unwrap();
    assert_eq!((facts.codes, facts.patient), (vec!["urn:s|a,b|c".to_owned()], None));
}

#[test]
fn queries_that_are_not_understood_are_refused() {
    let check =
        |query: &str, expected: QueryError| assert_eq!(Query::parse(query).unwrap_err(), expected, "{query}");
    let unknown = |name: &str| QueryError::UnknownParameter { name: name.to_owned() };
    let value = |name: &str| QueryError::Value { name: name.to_owned() };
    check("Observation?colour=red", unknown("colour"));
    check("Observation?birthdate=2020", unknown("birthdate"));
    check("Unheard?code=1", unknown("code"));
    check("Observation?date=soon", value("date"));
    check("Observation?date=", value("date"));
    check("Observation?code=1,,2", value("code"));
    check("Observation?code=a|b|c", value("code"));
    check("Observation?code=|", value("code"));
    check("Observation?patient=Group/1", value("patient"));
    check("Observation?_count=-1", value("_count"));
    check("Observation?_sort=colour", value("_sort"));
    check("Observation?_format=xml", value("_format"));
    check("Observation?code:exact=1", QueryError::Modifier { name: "code".to_owned() });
    check("Observation?patient:exact=1", QueryError::Modifier { name: "patient".to_owned() });
    check("observation", QueryError::ResourceType);
    check("?code=1", QueryError::ResourceType);
    check("Observation?code=%zz", QueryError::Encoding);
    check("Observation?code=%ff", QueryError::Encoding);
    check(&format!("Observation?code={}", "1".repeat(9_000)), QueryError::TooLong);
    check(&format!("Observation?{}", "code=1&".repeat(65)), QueryError::TooLong);
    assert!(Query::parse(&format!("Observation?{}", "code=1&".repeat(64))).is_ok());
    let lenient = Query::parse_lenient("Observation?colour=red&code=1").unwrap();
    assert_eq!(lenient.ignored(), ["colour"]);
    assert_eq!(lenient.to_string(), "Observation?code=1");
    assert_eq!(Query::parse("Observation?_count=5000").unwrap().count(), 1_000);
    assert!(!format!("{lenient:?}").contains('1'));
}

#[test]
fn a_count_of_zero_gives_the_total_alone() {
    let page = observations().search(&Query::parse("Observation?_count=0").unwrap()).unwrap();
    assert_eq!(page, Page { total: 4, ids: Vec::new(), next: None });
}

#[test]
fn a_cursor_is_good_for_its_own_query_only() {
    let index = observations();
    let query = Query::parse("Observation?_count=1").unwrap();
    let next = index.search(&query).unwrap().next;
    assert!(index.search(&query.with_cursor(next.clone())).is_ok());
    let other = Query::parse("Observation?code=1").unwrap().with_cursor(next.clone());
    assert_eq!(index.search(&other), Err(QueryError::Cursor));
    let larger = Query::parse("Observation?_count=3").unwrap().with_cursor(next);
    assert_eq!(index.search(&larger).unwrap().ids.len(), 3);
    for junk in ["", "a", "aaaaaaaa", "zz11"] {
        let query = query.with_cursor(Some(junk.to_owned()));
        assert_eq!(index.search(&query), Err(QueryError::Cursor));
    }
    assert_eq!(Query::parse("Observation?_cursor=%00"), Err(QueryError::Cursor));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn pages_visit_each_match_once(
        days in prop::collection::vec(prop::option::of(0_u8..6), 1..90),
        count in 1_usize..20,
        order in prop::sample::select(vec!["_id", "-_id", "date", "-date", "_lastUpdated"]),
    ) {
        let texts: Vec<String> = days.iter().enumerate().map(|(n, day)| {
            let date = day.map(|day| format!(",\"effectiveDateTime\":\"2020-01-0{}\"", day + 1)).unwrap_or_default();
            observation(&format!("o{n}"), &format!("\"status\":\"final\"{date}"))
        }).collect();
        let index = index(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let whole = found_all(&index, &format!("Observation?_sort={order}&_count=1000"));
        prop_assert_eq!(whole.len(), days.len());
        let paged = found_all(&index, &format!("Observation?_sort={order}&_count={count}"));
        prop_assert_eq!(paged, whole);
    }

    #[test]
    fn queries_read_back_what_they_print(
        value in "[a-zA-Z0-9 ,|\\\\$%&=+/:é-]{1,20}",
        count in 0_usize..50,
        order in prop::sample::select(vec!["_id", "-_id", "date", "-date", "-_lastUpdated"]),
    ) {
        let encoded: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
        if let Ok(query) = Query::parse(&format!("Observation?code={encoded}&_count={count}&_sort={order}")) {
            prop_assert!(Query::parse(&query.to_string()).unwrap() == query, "{}", query);
        }
    }

    #[test]
    fn any_text_is_a_query_or_an_error(text in "\\PC{0,80}", more in "[a-z_:&=%,|\\\\0-9-]{0,60}") {
        let _ = Query::parse(&text);
        let _ = Query::parse(&format!("Observation?{more}"));
        let _ = Query::parse(&format!("Observation?date={more}"));
        let _ = date::Interval::parse(&more);
        let _ = date::Interval::parse(&text);
    }
}

fn found_all(index: &Index, query: &str) -> Vec<RecordId> {
    let mut query = Query::parse(query).unwrap();
    let mut ids = Vec::new();
    loop {
        let page = index.search(&query).unwrap();
        ids.extend(page.ids);
        let Some(next) = page.next else { return ids };
        query = Query::parse(&query.with_cursor(Some(next)).to_string()).unwrap();
    }
}

/// Bob is `Patient/p1` here, Alice is `Patient/p1` at a peer.
fn two_sources() -> (Index, Source) {
    let peer = Source::Peer(IdentityId::from_bytes([7; 32]));
    let mut index = Index::new();
    let subject = r#""subject":{"reference":"Patient/p1"}"#;
    let texts = [
        (Source::Own, r#"{"resourceType":"Patient","id":"p1","name":[{"family":"Bob"}]}"#.to_owned()),
        (peer, r#"{"resourceType":"Patient","id":"p1","name":[{"family":"Alice"}]}"#.to_owned()),
        (Source::Own, observation("o1", subject)),
        (peer, observation("o1", subject)),
    ];
    for (number, (source, text)) in texts.iter().enumerate() {
        index.insert(record(number), *source, Terms::of(&Resource::parse(text).unwrap()));
    }
    (index, peer)
}

#[test]
fn one_source_is_searched_when_it_is_named() {
    let (index, peer) = two_sources();
    assert_eq!(found(&index, "Observation?patient=p1&_source=own"), [2]);
    assert_eq!(found(&index, &format!("Observation?patient=p1&_source={peer}")), [3]);
    let query = Query::parse("Observation?patient=p1").unwrap();
    assert_eq!(index.sources(&query), [Source::Own, peer]);
    assert_eq!(index.sources(&query.with_source(Some(peer))), [peer]);
    assert_eq!(index.sources_of("Patient", "p1"), [Source::Own, peer]);
    assert_eq!(index.sources_of("Patient", "p2"), []);
    let only = query.with_source(Some(Source::Own));
    assert_eq!(Query::parse(&only.to_string()).unwrap().source(), Some(Source::Own));
    assert!(matches!(Query::parse("Patient?_source=bob"), Err(QueryError::Value { .. })));
}

#[test]
fn a_query_tells_whether_it_names_a_resource() {
    let names = |text: &str| Query::parse(text).unwrap().names_a_resource();
    assert!(
        names("Observation?patient=p1") && names("Observation?code=1&subject=p1") && names("Patient?_id=p1")
    );
    assert!(!names("Patient?name=bob") && !names("Observation?code=1&_sort=-date"));
}

#[test]
fn what_is_not_let_through_counts_nowhere() {
    let texts: Vec<String> = (0..10).map(|n| observation(&format!("o{n}"), r#""status":"final""#)).collect();
    let index = index(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let query = Query::parse("Observation?_count=2").unwrap();
    let even: Vec<RecordId> = (0..10).step_by(2).map(record).collect();
    let (mut seen, mut next) = (Vec::new(), None);
    loop {
        let page = index.search_where(&query.with_cursor(next), &mut |id| even.contains(id)).unwrap();
        assert_eq!(page.total, 5);
        seen.extend(page.ids);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(seen, even);
}

#[test]
fn copies_of_two_sources_have_addresses_of_their_own() {
    let (index, peer) = two_sources();
    let query = Query::parse("Patient").unwrap();
    let page = index.search(&query).unwrap();
    let text = r#"{"resourceType":"Patient","id":"p1"}"#.to_owned();
    let found = [Source::Own, peer].map(|source| crate::Found { source, text: text.clone() });
    let bundle = crate::searchset("/fhir/R4/", &query, &page, &found, Some("more elsewhere"));
    let bundle: serde_json::Value = serde_json::from_str(&bundle).unwrap();
    assert_eq!(bundle["entry"][0]["fullUrl"], "/fhir/R4/Patient/p1");
    assert_eq!(bundle["entry"][1]["fullUrl"], format!("urn:metaclinic:{peer}/Patient/p1"));
    assert_eq!(bundle["entry"][1]["link"][0]["url"], format!("/fhir/R4/Patient/p1?_source={peer}"));
    assert_eq!(bundle["entry"][2]["search"]["mode"], "outcome");
    assert_eq!(bundle["entry"][2]["resource"]["issue"][0]["diagnostics"], "more elsewhere");
    let empty = crate::searchset("/fhir/R4", &query, &page, &[], None);
    assert!(!empty.contains("entry"));
}
