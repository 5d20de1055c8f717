//! What must hold for each environment of the library, and what furniture is like.

use std::collections::BTreeMap;

use super::*;
use crate::environment::{Anchor, Text};

fn each_anchor(mut check: impl FnMut(&Environment, &Anchor)) {
    for environment in environments() {
        environment.anchors.iter().for_each(|anchor| check(environment, anchor));
    }
}

/// Where an anchor faces: −Z turned by its orientation, from the rotation matrix of a unit quaternion.
fn front(anchor: &Anchor) -> [f32; 3] {
    let [x, y, z, w] = anchor.pose.orientation;
    [-2.0 * (x * z + w * y), -2.0 * (y * z - w * x), -(1.0 - 2.0 * (x * x + y * y))]
}

fn ahead(anchor: &Anchor, metres: f32) -> [f32; 3] {
    let (position, front) = (anchor.pose.position_m, front(anchor));
    std::array::from_fn(|axis| position[axis] + metres * front[axis])
}

#[test]
fn each_file_of_the_library_is_an_environment() {
    for file in FILES {
        Environment::parse(file).unwrap();
    }
    let names: Vec<&str> = environments().iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["consulting-room", "operating-room", "rehab-room"]);
}

#[test]
fn environments_and_anchors_are_found_by_name() {
    assert_eq!(environment("operating-room").unwrap().anchor("surgical-lamp").unwrap().title.zh, "无影灯");
    assert!(environment("Operating-Room").is_none() && environment("").is_none());
    assert!(environment("consulting-room").unwrap().anchor("surgical-lamp").is_none());
}

#[test]
fn each_environment_has_ten_to_sixteen_anchors() {
    for environment in environments() {
        assert!((10..=16).contains(&environment.anchors.len()), "{}", environment.name);
    }
}

#[test]
fn each_text_is_in_both_languages() {
    let check = |of: &str, text: &Text| {
        assert!(text.en.is_ascii() && text.en.starts_with(|c: char| c.is_ascii_uppercase()), "{of}");
        assert!(text.zh.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)), "{of}");
    };
    for environment in environments() {
        check(&environment.name, &environment.title);
        check(&environment.name, &environment.description);
    }
    each_anchor(|_, anchor| check(&anchor.name, &anchor.title));
}

#[test]
fn one_name_means_one_thing() {
    // A couch is an examination couch here and a treatment couch there, a desk somebody else's.
    let mut titles: BTreeMap<&str, &Text> = BTreeMap::new();
    for name in ["door", "monitor", "light-box"] {
        for anchor in environments().iter().filter_map(|environment| environment.anchor(name)) {
            assert_eq!(*titles.entry(name).or_insert(&anchor.title), &anchor.title);
        }
    }
    assert_eq!(titles.len(), 3);
}

#[test]
fn rooms_measure_what_rooms_measure() {
    for environment in environments() {
        let [width, height, depth] = environment.size_m;
        assert!((15.0..=70.0).contains(&(width * depth)), "{}: floor in m²", environment.name);
        assert!((2.4..=3.5).contains(&height), "{}: height", environment.name);
    }
}

#[test]
fn each_anchor_faces_the_room() {
    each_anchor(|environment, anchor| {
        assert_eq!(anchor.pose.check(), Ok(()), "{}", anchor.name);
        assert!(environment.contains(ahead(anchor, 0.4)), "{}: {}", environment.name, anchor.name);
    });
}

#[test]
fn things_on_walls_are_on_walls() {
    let on_walls = ["door", "window", "mirror", "light-box", "checklist-board", "wall-bars", "wash-basin"];
    each_anchor(|environment, anchor| {
        if !on_walls.contains(&anchor.name.as_str()) {
            return;
        }
        let behind = ahead(anchor, -0.4);
        let [width, _, depth] = environment.size_m;
        assert!(behind[0].abs() >= width / 2.0 || behind[2].abs() >= depth / 2.0, "{}", anchor.name);
    });
}

/// Heights in metres at which people can use a thing. A standing adult's eyes are 1.5 to 1.75 m above the floor, the
/// reach overhead of a small one 1.85 m, a seat 0.4 to 0.6 m (ISO 7250-1 body measures, rounded).
#[test]
fn heights_fit_people() {
    let check = |names: &[&str], low: f32, high: f32| {
        for name in names {
            let mut seen = false;
            each_anchor(|environment, anchor| {
                if anchor.name == *name {
                    seen = true;
                    let height = anchor.pose.position_m[1];
                    assert!((low..=high).contains(&height), "{}: {name} at {height} m", environment.name);
                }
            });
            assert!(seen, "no environment has {name}");
        }
    };
    check(&["clinician-chair", "patient-chair", "companion-chair", "anaesthetist-stool"], 0.4, 0.6);
    check(&["desk", "hand-therapy-table"], 0.7, 0.78);
    check(&["bed"], 0.5, 0.9);
    check(&["mat"], 0.4, 0.55);
    check(&["operating-table", "instrument-table", "treatment-trolley", "wash-basin"], 0.7, 1.1);
    check(&["parallel-bars"], 0.7, 1.0);
    check(&["monitor", "light-box", "checklist-board", "endoscopy-tower"], 1.3, 1.75);
    check(&["surgical-lamp", "suspension-frame"], 1.85, 2.3);
    check(&["scale", "balance-board", "treadmill"], 0.0, 0.3);
    check(&["door", "mirror"], 1.0, 1.1);
}

#[test]
fn things_have_room_between_them() {
    for environment in environments() {
        for (at, a) in environment.anchors.iter().enumerate() {
            for b in &environment.anchors[at + 1..] {
                let gap = a.pose.distance_m(&b.pose);
                assert!(gap >= 0.4, "{}: {} and {} are {gap} m apart", environment.name, a.name, b.name);
            }
        }
    }
}

#[test]
fn things_that_belong_together_stand_together() {
    let check = |place: &str, a: &str, b: &str, most_m: f32| {
        let place = environment(place).unwrap();
        let (a, b) = (place.anchor(a).unwrap(), place.anchor(b).unwrap());
        let gap = a.pose.distance_m(&b.pose);
        assert!(gap <= most_m, "{} and {} are {gap} m apart", a.name, b.name);
    };
    check("consulting-room", "clinician-chair", "patient-chair", 1.5);
    check("consulting-room", "monitor", "bed", 1.5);
    check("operating-room", "surgical-lamp", "operating-table", 1.5);
    check("operating-room", "anaesthesia-machine", "monitor", 0.7);
    check("operating-room", "anaesthesia-machine", "anaesthetist-stool", 1.5);
    check("rehab-room", "mat", "suspension-frame", 1.6);
    check("rehab-room", "parallel-bars", "mirror", 3.0);
}
