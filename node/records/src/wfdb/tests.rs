//! Headers, signal formats and annotations, right and wrong.

use proptest::prelude::*;

use super::*;

/// Reads one signal of `format` from `data`.
fn samples(format: &str, count: usize, data: &[u8]) -> Result<Vec<i32>, WfdbError> {
    let header = format!("r 1 100 {count}\nr.dat {format} 100 12 0 5\n");
    read("r.hea", header.as_bytes(), &mut |_| Some(data.to_vec())).map(|mut r| r.signals.remove(0).samples)
}

#[test]
fn every_plain_format_is_read() {
    let check = |format: &str, data: &[u8], expected: &[i32]| {
        assert_eq!(samples(format, expected.len(), data).as_deref(), Ok(expected), "{format}");
        assert_eq!(
            samples(format, 0, data).map(|s| s.len() >= expected.len()),
            Ok(true),
            "{format} inferred"
        );
        let short = samples(format, expected.len(), &data[..data.len() - 1]);
        assert_eq!(short, Err(WfdbError::Truncated { signal: 0 }), "{format}");
    };
    check("8", &[1, 0xff, 0x80], &[6, 5, -123]);
    check("16", &[1, 0, 0xff, 0xff, 0, 0x80], &[1, -1, -32_768]);
    check("24", &[1, 0, 0, 0xff, 0xff, 0xff, 0, 0, 0x80], &[1, -1, -8_388_608]);
    check("32", &[1, 0, 0, 0, 0, 0, 0, 0x80], &[1, i32::MIN]);
    check("61", &[0, 1, 0xff, 0xff], &[1, -1]);
    check("80", &[0x81, 0x7f, 0], &[1, -1, -128]);
    check("160", &[1, 0x80, 0, 0], &[1, -32_768]);
    check("212", &[0x01, 0xf0, 0xff, 0x00, 0x08], &[1, -1, -2_048]);
    // Three samples of 10 bits: 1, 2 and -1; the third lies in the upper bits of both words.
    check("310", &[0x02, 0xf8, 0x04, 0xf8], &[1, 2, -1]);
    check("311", &[0x01, 0x08, 0xf0, 0x3f], &[1, 2, -1]);
}

#[test]
fn cut_groups_hold_the_samples_that_fit() {
    assert_eq!(samples("310", 4, &[0x02, 0xf8, 0x04, 0xf8, 0x02, 0]).unwrap(), [1, 2, -1, 1]);
    assert_eq!(samples("311", 5, &[0x01, 0x08, 0xf0, 0x3f, 0x01, 0x08, 0]).unwrap(), [1, 2, -1, 1, 2]);
    assert_eq!(samples("212", 3, &[1, 0x20, 3, 4, 0]).unwrap(), [1, 515, 4]);
}

#[test]
fn frames_offsets_and_skews_are_honoured() {
    let header = "r 2 100 3\nr.dat 16x2+1 100\nr.dat 16:1+1 100\n";
    let data: Vec<u8> = [&[99][..], &[1, 0, 2, 0, 11, 0, 3, 0, 4, 0, 12, 0, 5, 0, 6, 0, 13, 0]].concat();
    let record = read("r.hea", header.as_bytes(), &mut |_| Some(data.clone())).unwrap();
    assert_eq!(record.signals[0].samples, [1, 2, 3, 4, 5, 6]);
    assert_eq!(record.signals[1].samples, [12, 13, -32_768]);
    assert_eq!(record.signals[1].physical(2), None);
    assert_eq!((record.frames, record.signals[0].samples_per_frame), (3, 2));
}

#[test]
fn the_header_gives_every_field() {
    let text = "# first\nname 1 360.5/12(3) 2 1:02:03.25 28/02/2001\n\
        d.dat 212 -50.5(-7)/mm[Hg] 11 1024 995 65535 0 blood pressure\n#  second \n";
    let record = read("x.hea", text.as_bytes(), &mut |name| {
        assert_eq!(name, "d.dat");
        Some(vec![0, 0xf0, 0xff])
    })
    .unwrap();
    let signal = &record.signals[0];
    assert_eq!((record.name.as_str(), record.sampling_rate_hz), ("name", 360.5));
    assert_eq!(record.comments, ["first", "second"]);
    assert_eq!(record.base_time, Some(jiff::civil::time(1, 2, 3, 250_000_000)));
    assert_eq!(record.base_date, Some(jiff::civil::date(2001, 2, 28)));
    assert_eq!((signal.gain_per_unit, signal.baseline, signal.units.as_str()), (-50.5, -7, "mm[Hg]"));
    assert_eq!((signal.resolution_bits, signal.description.as_str()), (11, "blood pressure"));
    assert_eq!(signal.physical(1), Some(-6.0 / 50.5));
}

#[test]
fn defaults_are_those_of_the_guide() {
    let record = read("r.hea", b"r 1\nr.dat 16\n", &mut |_| Some(vec![1, 0])).unwrap();
    let signal = &record.signals[0];
    assert_eq!((record.sampling_rate_hz, record.frames, record.base_date), (250.0, 1, None));
    assert_eq!((signal.gain_per_unit, signal.baseline, signal.units.as_str()), (200.0, 0, "mV"));
    let record = read("r.hea", b"r 1 1 1\nr.dat 16 0 12 1024\n", &mut |_| Some(vec![1, 0])).unwrap();
    assert_eq!((record.signals[0].gain_per_unit, record.signals[0].baseline), (200.0, 1024));
}

#[test]
fn hostile_headers_are_refused_before_memory_is_taken() {
    let check = |header: &str, expected: WfdbError| {
        let result = read("r.hea", header.as_bytes(), &mut |_| Some(vec![0; 64]));
        assert_eq!(result.map(|_| ()), Err(expected), "{header}");
    };
    check("", WfdbError::Header { line: 1 });
    check("r", WfdbError::Header { line: 1 });
    check("r 0", WfdbError::NoSignals);
    check("r 257", WfdbError::TooLarge);
    check("r/3 1 1 1\n", WfdbError::MultiSegment);
    check("r 1 1 18446744073709551615\nr.dat 16\n", WfdbError::TooLarge);
    check("r 1 1 134217728\nr.dat 16x1048576\n", WfdbError::TooLarge);
    check("r 1 1 134217728\nr.dat 16\n", WfdbError::Truncated { signal: 0 });
    check("r 1 1 134217728\nr.dat 16+18446744073709551615\n", WfdbError::TooLarge);
    check("r 1 1 1\nr.dat 16+65\n", WfdbError::Truncated { signal: 0 });
    check("r 1 0 1\nr.dat 16\n", WfdbError::Header { line: 1 });
    check("r 1 nan 1\nr.dat 16\n", WfdbError::Header { line: 1 });
    check("r 1 1e-320 1\nr.dat 16\n", WfdbError::Header { line: 1 });
    check("r 1 inf 1\nr.dat 16\n", WfdbError::Header { line: 1 });
    check("r 2 1 1\nr.dat 16\n", WfdbError::Header { line: 1 });
    check("r 1 1 1\nr.dat 16 1e-320\n", WfdbError::Header { line: 2 });
    check("r 1 1 1\nr.dat 16x0\n", WfdbError::Header { line: 2 });
    check("r 1 1 1\nr.dat 99\n", WfdbError::Format { signal: 0 });
    check("r 2 1 1\nr.dat 16\nr.dat 80\n", WfdbError::Layout { signal: 1 });
    check("r 1 1 1\nr.dat 516\n", WfdbError::Flac { signal: 0 });
    check("r 1 1 1\nr.dat 16 1 16 0 0 7\n", WfdbError::Checksum { signal: 0 });
    check("r 1 1 1\n../r.dat 16\n", WfdbError::Layout { signal: 0 });
    let missing = read("r.hea", b"r 1 1 1\nr.dat 16\n", &mut |_| None);
    assert_eq!(missing.map(|_| ()), Err(WfdbError::Missing { signal: 0 }));
}

#[test]
fn annotations_give_beats_rhythms_and_long_intervals() {
    // A rhythm change at 18 with "(N", a normal beat 59 later, a skip of 100,000 and a ventricular beat.
    let bytes = [
        0x12, 0x70, 0x03, 0xfc, b'(', b'N', 0, 0, 0x3b, 0x04, 0x00, 0xec, 0x01, 0x00, 0xa0, 0x86, 0x05, 0x14,
        0x02, 0xf8, 0x07, 0xf4, 0, 0,
    ];
    let found = annotations(&bytes).unwrap();
    let seen: Vec<_> = found.iter().map(|a| (a.frame, a.symbol(), a.is_beat())).collect();
    assert_eq!(seen, [(18, '+', false), (77, 'N', true), (100_082, 'V', true)]);
    assert_eq!(found[0].auxiliary, b"(N");
    assert_eq!((found[2].channel, found[2].subtype), (2, 7));
    assert_eq!(annotations(&bytes[..5]), Err(WfdbError::Annotations { byte: 4 }));
    assert_eq!(annotations(&bytes[..1]), Err(WfdbError::Annotations { byte: 0 }));
}

#[test]
fn a_container_gives_back_the_record() {
    let files =
        [("r.dat".to_owned(), vec![1, 0, 2, 0]), ("r.hea".to_owned(), b"r 1 100 2\nr.dat 16 100\n".to_vec())];
    let bytes = container(&files);
    assert_eq!(from_container(&bytes).unwrap().signals[0].samples, [1, 2]);
    for end in 0..bytes.len() {
        assert!(from_container(&bytes[..end]).is_err());
    }
    assert_eq!(from_container(&container(&files[..1])).map(|_| ()), Err(WfdbError::Container));
}

proptest! {
    #[test]
    fn any_annotations_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = annotations(&bytes);
    }

    #[test]
    fn any_header_is_read_or_refused(
        record in "[a-z]{0,2} [0-9]{0,2} [0-9/(). ]{0,12}",
        format in prop::sample::select(vec!["8", "16", "24", "32", "61", "80", "160", "212", "310", "311", "508", "516"]),
        layout in "[x:+0-9]{0,8}",
        rest in "[ 0-9()/a-z.-]{0,20}",
        data in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let text = format!("{record}\nd {format}{layout} {rest}\nd {format}{layout} {rest}\n");
        let _ = read("r.hea", text.as_bytes(), &mut |_| Some(data.clone()));
        let text = format!("r 2 100\nd {format}{layout} {rest}\nd {format}{layout}\n");
        let _ = read("r.hea", text.as_bytes(), &mut |_| Some(data.clone()));
    }
}
