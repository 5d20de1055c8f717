//! The demonstration that `make demo` shows.

use metaclinic_tests::harness;

#[test]
fn every_step_of_the_demonstration_holds() {
    let dir = harness::temp_dir();
    let shown = harness::run_json(&dir.path().join("unused"), &["demo", "--headless"]);
    let steps = shown["steps"].as_array().expect("steps");
    assert!(steps.len() >= 10, "{} steps", steps.len());
    for step in steps {
        assert_eq!(step["ok"], true, "{step}");
    }
    assert_eq!(shown["ok"], true);
}
