//! Files of every kind, whole, packed, cut and hostile.

use std::borrow::Cow;
use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn options() -> ImportOptions {
    ImportOptions { patient: Some("p1".to_owned()), now: Timestamp::from_millis(1_700_000_000_000) }
}

/// Resources and rejections of a file that has these siblings.
fn import(name: &str, bytes: &[u8], siblings: &[(&str, &[u8])]) -> (Vec<Imported>, Vec<Rejection>) {
    let (mut imported, mut rejected) = (Vec::new(), Vec::new());
    let mut sibling =
        |wanted: &str| siblings.iter().find(|(name, _)| *name == wanted).map(|(_, bytes)| bytes.to_vec());
    import_file(name, bytes.to_vec(), &mut sibling, &options(), &mut |part| {
        match part {
            Ok(part) => imported.push(part),
            Err(rejection) => rejected.push(rejection),
        }
        ControlFlow::Continue(())
    });
    (imported, rejected)
}

fn texts(name: &str, bytes: &[u8]) -> (Vec<String>, Vec<Rejection>) {
    let (imported, rejected) = import(name, bytes, &[]);
    let text = |part: &Imported| match part {
        Imported::Resource(resource) => resource.text().to_owned(),
        Imported::Signal(signal) => signal.id.clone(),
    };
    (imported.iter().map(text).collect(), rejected)
}

const BASIC: &str = r#"{"resourceType":"Basic","id":"a"}"#;

#[test]
fn one_resource_is_kept_byte_for_byte_apart_from_its_mark() {
    let text = format!(" {BASIC}\r\n");
    assert_eq!(texts("a.json", text.as_bytes()), (vec![text.clone()], vec![]));
    let marked = [b"\xef\xbb\xbf", text.as_bytes()].concat();
    assert_eq!(texts("a.json", &marked), (vec![text], vec![]));
}

#[test]
fn lines_are_imported_one_by_one() {
    let lines = format!("{BASIC}\r\n\n{{\"resourceType\":\"Basic\",}}\n{BASIC}\nnonsense\n");
    for name in ["a.ndjson", "a.jsonl", "download"] {
        let (found, rejected) = texts(name, lines.as_bytes());
        assert_eq!(found, [BASIC, BASIC], "{name}");
        assert_eq!(rejected.iter().map(|r| r.line).collect::<Vec<_>>(), [3, 5]);
        assert_eq!(rejected[0].source, name);
    }
}

#[test]
fn a_parcel_is_opened_and_its_addresses_become_ids() {
    let bundle = r#"{"resourceType":"Bundle","type":"transaction","entry":[
 {"fullUrl":"urn:uuid:1","resource":{"resourceType":"Patient","id":"p"}},
 {"fullUrl":"urn:uuid:2","resource":{ "resourceType":"Observation","id":"o","note":[{"text":"urn:uuid:1"}],
   "code":{"text":"reference\":\"urn:uuid:1"}, "value":1.00,
   "subject":{"reference" : "urn:uuid:1"},"performer":[{"reference":"urn\u003auuid:1"},{"reference":"urn:uuid:9"}],
   "x":{"myreference":"urn:uuid:1","reference":7,"y":"reference","z":["reference","urn:uuid:1"]}}},
 {"request":{"method":"DELETE","url":"Patient/9"}},
 {"fullUrl":"urn:uuid:3","resource":{"resourceType":"Bundle","id":"inner","type":"collection","entry":[]}},
 {"resource":{"resourceType":"Basic","id":"bad id"}},
 7
]}"#;
    let (found, rejected) = texts("b.json", bundle.as_bytes());
    assert_eq!(found.len(), 3);
    let expected = r#"{ "resourceType":"Observation","id":"o","note":[{"text":"urn:uuid:1"}],
   "code":{"text":"reference\":\"urn:uuid:1"}, "value":1.00,
   "subject":{"reference" : "Patient/p"},"performer":[{"reference":"Patient/p"},{"reference":"urn:uuid:9"}],
   "x":{"myreference":"urn:uuid:1","reference":7,"y":"reference","z":["reference","urn:uuid:1"]}}"#;
    assert_eq!(found[1], expected);
    assert!(found[2].contains("\"inner\""));
    assert_eq!(rejected.iter().map(|r| r.line).collect::<Vec<_>>(), [9, 10]);
}

#[test]
fn entries_without_an_id_are_reachable_under_the_one_they_get() {
    let bundle = r#"{"resourceType":"Bundle","type":"batch","entry":[
        {"fullUrl":"http://h/Patient/1","resource":{"resourceType":"Patient"}},
        {"resource":{"resourceType":"Flag","id":"f","subject":{"reference":"http://h/Patient/1"}}}]}"#;
    let (imported, rejected) = import("b", bundle.as_bytes(), &[]);
    let [Imported::Resource(patient), Imported::Resource(flag)] = &imported[..] else {
        panic!("two resources")
    };
    assert!(rejected.is_empty());
    assert_eq!(flag.patient(), Some(format!("Patient/{}", patient.id()).as_str()));
}

#[test]
fn a_bundle_that_means_something_as_a_whole_stays_one_resource() {
    for kind in ["document", "message", "history", "batch-response"] {
        let text = format!(
            r#"{{"resourceType":"Bundle","id":"d","type":"{kind}","entry":[{{"resource":{BASIC}}}]}}"#
        );
        assert_eq!(texts("d.json", text.as_bytes()), (vec![text.clone()], vec![]));
    }
    assert_eq!(texts("e.json", br#"{"resourceType":"Bundle","type":"batch"}"#), (vec![], vec![]));
}

#[test]
fn rejections_name_the_line_and_nothing_else() {
    let check = |bytes: &[u8], line: u64, reason: &str| {
        let (found, rejected) = texts("secret.json", bytes);
        assert!(found.is_empty());
        assert_eq!(rejected.len(), 1);
        assert_eq!(rejected[0].line, line);
        assert!(rejected[0].reason.contains(reason), "{}", rejected[0].reason);
        assert!(!rejected[0].reason.contains("canary"));
    };
    check(
        b"{\"resourceType\":\"Bundle\",\n\"type\":\"batch\",\"entry\":[{\"x\":\"canary\"",
        2,
        "ends too early",
    );
    check(b"{\"resourceType\":\n\n\"canary\" \"canary\"}", 3, "syntax is wrong");
    check(b"{\n\"resourceType\":\"canary\"}", 1, "resourceType");
    check(b"{\n\"canary\": \"\xff\"}", 2, "not UTF-8 at byte 13");
    check(b"<Patient>canary</Patient>", 1, "neither");
    check(b"", 1, "neither");
    check(b"\x1f\x8bcanary", 0, "gzip");
    check(b"\xfd7zXZ\0canary", 0, "xz");
}

const HEADER: &str = "rec 2 500 3 10:20:30 05/06/2019\n\
    rec.dat 16 100(5)/mV 16 0 1 6 0 II\n\
    rec.dat 16 0 16 0 -1 -6 0 odd \"lead\"\n# comment\n";
const DATA: &[u8] = &[1, 0, 255, 255, 2, 0, 254, 255, 3, 0, 253, 255];

#[test]
fn a_recording_becomes_an_observation_and_a_blob() {
    let (imported, rejected) =
        import("rec.hea", HEADER.as_bytes(), &[("rec.dat", DATA), ("rec.atr", &[0, 0])]);
    assert_eq!(rejected, []);
    let [Imported::Signal(signal)] = &imported[..] else { panic!("one signal") };
    let resource = signal.resource(&[0xab; 32], 1234);
    assert_eq!((resource.id(), resource.patient()), (signal.id.as_str(), Some("Patient/p1")));
    assert_eq!(resource.facts().codes, ["http://loinc.org|11524-6"]);
    let pretty: serde_json::Value = serde_json::from_str(resource.text()).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&pretty).unwrap());
    let record = crate::wfdb::from_container(&signal.blob).unwrap();
    assert_eq!(record.signals[0].samples, [1, 2, 3]);
    assert_eq!(record.signals[1].samples, [-1, -2, -3]);
    assert!(signal.blob.windows(7).any(|w| w == b"rec.atr"));
}

#[test]
fn the_same_files_give_the_same_id_packed_or_not() {
    let id = |siblings: &[(&str, &[u8])]| match &import("rec.hea", HEADER.as_bytes(), siblings).0[..] {
        [Imported::Signal(signal)] => signal.id.clone(),
        _ => panic!("one signal"),
    };
    let mut packed = Vec::new();
    lzma_rs::xz_compress(&mut &DATA[..], &mut packed).unwrap();
    assert_eq!(id(&[("rec.dat", DATA)]), id(&[("rec.dat.xz", &packed)]));
    let mut other = DATA.to_vec();
    other.swap(0, 4);
    assert_ne!(id(&[("rec.dat", DATA)]), id(&[("rec.dat", &other)]));
}

#[test]
fn a_recording_without_its_files_is_rejected() {
    let (imported, rejected) = import("rec.hea", HEADER.as_bytes(), &[]);
    assert!(imported.is_empty());
    assert_eq!(rejected[0].reason, "the file of signal 0 is missing");
    let (_, rejected) = import("rec.hea", HEADER.as_bytes(), &[("rec.dat", &DATA[1..])]);
    assert_eq!(rejected[0].reason, "the file of signal 0 is shorter than its header says");
    let (_, rejected) = import("rec.hea", b"rec 1\nrec.dat x\n", &[]);
    assert_eq!((rejected[0].line, rejected[0].reason.as_str()), (2, "the header is malformed in line 2"));
}

#[test]
fn only_files_beside_the_header_are_asked_for() {
    let mut asked = Vec::new();
    for name in ["../x.dat", "/etc/passwd", "a\\b", ".hidden", "-", "~"] {
        let header = format!("r 1 1 1\n{name} 16\n");
        import_file(
            "r.hea",
            header.into_bytes(),
            &mut |name| {
                asked.push(name.to_owned());
                None
            },
            &options(),
            &mut |part| {
                assert!(part.is_err());
                ControlFlow::Continue(())
            },
        );
    }
    assert!(asked.is_empty(), "{asked:?}");
}

#[test]
fn nothing_is_given_after_a_break() {
    let lines = [BASIC; 5].join("\n");
    let entries = [format!("{{\"resource\":{BASIC}}}"), "1".to_owned()].join(",");
    let bundle = format!(r#"{{"resourceType":"Bundle","type":"batch","entry":[{entries},{entries}]}}"#);
    for (name, text) in [("a.ndjson", lines), ("a.json", bundle)] {
        let mut given = 0;
        import_file(name, text.into_bytes(), &mut |_| None, &options(), &mut |_| {
            given += 1;
            ControlFlow::Break(())
        });
        assert_eq!(given, 1, "{name}");
    }
}

proptest! {
    #[test]
    fn rewriting_keeps_json_json(noise in "[\\\\\"a-z:{}, ]{0,40}", cut in 0_usize..80) {
        let targets = HashMap::from([(Cow::Borrowed("urn:uuid:1"), "Patient/1".to_owned())]);
        let quoted = serde_json::Value::from(noise.as_str()).to_string();
        let text = format!(r#"{{"k":{quoted},"reference":"urn:uuid:1",{quoted}:[{quoted}]}}"#);
        let expected = text.replacen("\"reference\":\"urn:uuid:1\"", "\"reference\":\"Patient/1\"", 1);
        prop_assert_eq!(bundle::rewrite(&text, &targets), Some(expected));
        let cut: String = noise.chars().chain(text.chars()).take(cut).collect();
        let _ = bundle::rewrite(&cut, &targets);
    }

    #[test]
    fn damaged_files_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), name in "[a-z]{1,3}(\\.hea|\\.ndjson|\\.json|\\.gz)?") {
        let _ = import(&name, &bytes, &[]);
    }

    #[test]
    fn damaged_headers_never_panic(at in 0..HEADER.len(), with in any::<char>(), cut in any::<bool>()) {
        let mut text: String = HEADER.chars().take(at).collect();
        text.push(with);
        if !cut {
            text.extend(HEADER.chars().skip(at + 1));
        }
        let (imported, _) = import("rec.hea", text.as_bytes(), &[("rec.dat", DATA)]);
        for part in imported {
            if let Imported::Signal(signal) = part {
                assert_eq!(signal.resource(&[0; 32], u64::MAX).id(), signal.id);
            }
        }
    }

    #[test]
    fn every_accepted_number_makes_an_observation(
        rate in "[0-9]{1,3}(e-?[0-9]{1,3})?", gain in "-?[0-9]{1,3}(e-?[0-9]{1,3})?(\\(-?[0-9]{1,4}\\))?",
        units in "/?\\PC{0,6}", label in "\\PC{0,20}", patient in prop::option::of("\\PC{1,3}"),
    ) {
        let header = format!("r 1 {rate} 1 0:0:{rate} 1/1/{rate}\nr.dat 16x2 {gain}{units} 16 0 0 0 0 {label}\n");
        let options = ImportOptions { patient, now: Timestamp::from_millis(i64::MIN) };
        import_file("r.hea", header.into_bytes(), &mut |_| Some(vec![0; 4]), &options, &mut |part| {
            if let Ok(Imported::Signal(signal)) = part {
                assert_eq!(signal.resource(&[0; 32], 1).id(), signal.id);
            }
            ControlFlow::Continue(())
        });
    }
}
