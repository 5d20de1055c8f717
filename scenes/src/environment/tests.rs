//! Good and bad descriptions, and measuring in a room.

use std::error::Error as _;

use proptest::prelude::*;

use super::*;

const GOOD: &str = r#"
version = 1
name = "ward"
title = { en = "Ward", zh = "病房" }
description = { en = "Two things.", zh = "两样东西。" }
size_m = [4.0, 3.0, 6.0]
[[anchor]]
name = "bed"
title = { en = "Bed", zh = "病床" }
position_m = [-1.0, 0.5, 0.0]
yaw_deg = 90
[[anchor]]
name = "wall-clock"
title = { en = "Clock", zh = "时钟" }
position_m = [2.0, 2.0, 0.0]
yaw_deg = 90.0
"#;

fn ward() -> Environment {
    Environment::parse(GOOD).unwrap()
}

fn refused(from: &str, to: &str) -> SceneError {
    assert!(GOOD.contains(from), "{from}");
    Environment::parse(&GOOD.replacen(from, to, 1)).expect_err(to)
}

#[test]
fn description_is_read() {
    let ward = ward();
    assert_eq!((ward.name.as_str(), ward.size_m), ("ward", [4.0, 3.0, 6.0]));
    let names: Vec<&str> = ward.anchors.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(names, ["bed", "wall-clock"]);
    assert_eq!(ward.anchor("bed").unwrap().title.zh, "病床");
}

#[test]
fn yaw_turns_counter_clockwise_seen_from_above() {
    // A quarter turn about Y: x, y, z, w = 0, sin 45°, 0, cos 45°.
    let [x, y, z, w] = ward().anchor("bed").unwrap().pose.orientation;
    let half = std::f32::consts::FRAC_1_SQRT_2;
    assert!((x, z) == (0.0, 0.0) && (y - half).abs() < 1e-6 && (w - half).abs() < 1e-6);
}

#[test]
fn each_fault_is_told_with_its_place() {
    let check = |from: &str, to: &str, message: &str| {
        let error = refused(from, to);
        assert!(error.to_string().contains(message), "{to}: {error}");
    };
    check("version = 1", "version = 2", "format 2");
    check("\"ward\"", "\"Ward 3\"", "the name of the environment");
    check("\"wall-clock\"", "\"wall--clock\"", "the name of anchor 2");
    check("\"wall-clock\"", "\"\"", "the name of anchor 2");
    check("\"wall-clock\"", "\"bed\"", "anchor bed is there twice");
    check("zh = \"病床\"", "zh = \" \"", "bed needs a text in 'zh'");
    check("en = \"Ward\"", "en = \"\"", "ward needs a text in 'en'");
    check("[4.0, 3.0, 6.0]", "[4.0, 0.5, 6.0]", "a room measures 2 to 100 m");
    check("[4.0, 3.0, 6.0]", "[4.0, nan, 6.0]", "a room measures 2 to 100 m");
    check("[2.0, 2.0, 0.0]", "[2.01, 2.0, 0.0]", "anchor wall-clock lies outside");
    check("[2.0, 2.0, 0.0]", "[2.0, -0.1, 0.0]", "anchor wall-clock lies outside");
    check("[2.0, 2.0, 0.0]", "[inf, 2.0, 0.0]", "anchor wall-clock has no usable position");
    check("yaw_deg = 90.0", "yaw_deg = 270", "anchor wall-clock is turned by 270 degrees");
    check("yaw_deg = 90.0", "yaw_deg = nan", "anchor wall-clock is turned by NaN degrees");
}

#[test]
fn unknown_missing_and_mistyped_fields_are_refused_with_their_line() {
    let check = |from: &str, to: &str, source: &str| {
        let error = refused(from, to);
        let cause = error.source().unwrap().to_string();
        assert!(cause.contains(source) && cause.contains("line"), "{to}: {cause}");
    };
    check("yaw_deg = 90.0", "yaw_deg = 90.0\ncolour = 1", "colour");
    check("yaw_deg = 90.0", "", "yaw_deg");
    check("zh = \"病房\"", "fr = \"salle\"", "fr");
    check("[2.0, 2.0, 0.0]", "[2.0, 2.0]", "3");
    check("version = 1", "version = [", "line");
}

#[test]
fn huge_and_empty_descriptions_are_refused() {
    let long = format!("{GOOD}#{}", "x".repeat(MAX_ENVIRONMENT_BYTES));
    assert!(matches!(Environment::parse(&long), Err(SceneError::TooLarge { .. })));
    assert!(matches!(Environment::parse(""), Err(SceneError::Syntax(_))));
    let (head, _) = GOOD.split_once("[[anchor]]").unwrap();
    assert!(matches!(Environment::parse(head), Err(SceneError::AnchorCount(0))));
}

#[test]
fn anchors_are_counted_at_the_limit() {
    let (head, _) = GOOD.split_once("[[anchor]]").unwrap();
    let many = |count: usize| {
        let anchor = |n| {
            format!(
                "[[anchor]]\nname = \"a{n}\"\ntitle = {{ en = \"A\", zh = \"甲\" }}\nposition_m = [0, 0, 0]\nyaw_deg = 0\n"
            )
        };
        Environment::parse(&(head.to_owned() + &(0..count).map(anchor).collect::<String>()))
    };
    assert_eq!(many(MAX_ANCHORS).unwrap().anchors.len(), MAX_ANCHORS);
    assert!(matches!(many(MAX_ANCHORS + 1), Err(SceneError::AnchorCount(count)) if count == MAX_ANCHORS + 1));
}

#[test]
fn walls_floor_and_ceiling_belong_to_the_room() {
    let ward = ward();
    let check = |position_m, expected| assert_eq!(ward.contains(position_m), expected, "{position_m:?}");
    check([0.0, 0.0, 0.0], true);
    check([2.0, 3.0, -3.0], true);
    check([-2.0, 0.0, 3.0], true);
    check([2.001, 1.0, 0.0], false);
    check([0.0, -0.001, 0.0], false);
    check([0.0, 3.001, 0.0], false);
    check([0.0, 1.0, 3.001], false);
    check([f32::NAN, 1.0, 0.0], false);
    check([0.0, f32::INFINITY, 0.0], false);
}

#[test]
fn nearest_thing_is_told_with_its_distance() {
    let ward = ward();
    let check = |position_m, name: &str, metres: f32| {
        let (anchor, distance_m) = ward.nearest(position_m).unwrap();
        assert!(anchor.name == name && (distance_m - metres).abs() < 1e-5, "{position_m:?}");
    };
    check([-1.0, 0.5, 0.0], "bed", 0.0);
    check([-1.0, 3.5, 4.0], "bed", 5.0);
    check([2.0, 1.0, 0.0], "wall-clock", 1.0);
    assert!(ward.nearest([f32::NAN, 0.0, 0.0]).is_none());
}

proptest! {
    #[test]
    fn damaged_descriptions_never_panic(at in 0..GOOD.len(), with in "\\PC{0,4}", cut in 0..64_usize) {
        let start = (0..=at).rev().find(|i| GOOD.is_char_boundary(*i)).unwrap();
        let end = ((start + cut).min(GOOD.len())..=GOOD.len()).find(|i| GOOD.is_char_boundary(*i)).unwrap();
        let _ = Environment::parse(&format!("{}{with}{}", &GOOD[..start], &GOOD[end..]));
    }

    #[test]
    fn no_anchor_is_nearer_than_the_nearest(x in -9.0_f32..9.0, y in -9.0_f32..9.0, z in -9.0_f32..9.0) {
        let (ward, pose) = (ward(), Pose::at(x, y, z).unwrap());
        let (_, least) = ward.nearest(pose.position_m).unwrap();
        for anchor in &ward.anchors {
            prop_assert!(anchor.pose.distance_m(&pose) >= least);
        }
    }
}
