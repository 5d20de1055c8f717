//! What a strip must keep: scale, gaps, bounds, and harmless text.

use proptest::prelude::*;

use super::*;
use crate::ecg::Lead;

fn lead(name: &str, samples_mv: Vec<f32>) -> Lead {
    Lead { name: name.to_owned(), samples_mv }
}

fn one(rate_hz: f64, samples_mv: Vec<f32>) -> EcgSignal {
    EcgSignal::new(rate_hz, vec![lead("II", samples_mv)]).unwrap()
}

fn raw<'a>(signal: &'a EcgSignal, range: Range<usize>) -> Strip<'a> {
    Strip { filter: Filter::None, ..Strip::new(signal, range) }
}

/// The lines of each trace, in the order of the picture.
fn traces(svg: &str) -> Vec<Vec<Vec<(f64, f64)>>> {
    let paths = svg.split("<path class=\"trace\" d=\"").skip(1);
    paths.map(|rest| lines_of(rest.split('"').next().unwrap())).collect()
}

fn lines_of(path: &str) -> Vec<Vec<(f64, f64)>> {
    let point = |text: &str| {
        let (x, y) = text.trim_end_matches("h.01").split_once(' ').unwrap();
        (x.parse().unwrap(), y.parse().unwrap())
    };
    path.split('M').skip(1).map(|line| line.split('L').map(point).collect()).collect()
}

fn attribute(svg: &str, name: &str) -> String {
    svg.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned()
}

#[test]
fn a_second_is_25_mm_and_a_millivolt_10_mm() {
    for rate_hz in [128.0, 360.0, 500.0, 2_000.0] {
        let mut samples = vec![0.0; (rate_hz * 4.0) as usize];
        samples[rate_hz as usize] = 1.0;
        samples[2 * rate_hz as usize] = -2.0;
        let signal = one(rate_hz, samples);
        let svg = raw(&signal, 0..signal.len()).svg().unwrap();
        let points: Vec<(f64, f64)> = traces(&svg).concat().concat();
        let up = points.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        let down = points.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        assert!((down.0 - up.0 - 25.0).abs() < 0.011, "{rate_hz} Hz: {up:?} {down:?}");
        assert!((down.1 - up.1 - 30.0).abs() < 0.011, "{rate_hz} Hz: {up:?} {down:?}");
    }
}

#[test]
fn the_picture_is_measured_in_millimetres() {
    let signal = one(100.0, vec![0.0; 1_000]);
    let svg = raw(&signal, 0..1_000).svg().unwrap();
    let (width, height) = (attribute(&svg, " width"), attribute(&svg, " height"));
    let (width, height) = (width.strip_suffix("mm").unwrap(), height.strip_suffix("mm").unwrap());
    assert_eq!(attribute(&svg, "viewBox"), format!("0 0 {width} {height}"));
    assert_eq!(width, "277");
    assert!(svg.contains("v-10h5v10h4\" fill"), "the calibration pulse is 1 mV for 0.2 s");
}

#[test]
fn peaks_of_one_sample_stay() {
    let mut samples = vec![0.0; 20_000];
    for at in [1_001, 5_003, 19_999] {
        samples[at] = 1.5;
    }
    let signal = one(2_000.0, samples);
    let svg = raw(&signal, 0..20_000).svg().unwrap();
    let points = traces(&svg).concat().concat();
    let top = points.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let baseline = points.iter().map(|point| point.1).fold(0.0, f64::max);
    assert!((baseline - top - 15.0).abs() < 0.011);
    assert_eq!(points.iter().filter(|point| point.1 == top).count(), 3);
    assert!(points.len() <= 2 * 4 * 250 + 2, "{} points", points.len());
}

#[test]
fn nothing_is_drawn_over_a_gap() {
    for rate_hz in [100.0, 1_000.0] {
        let mut samples: Vec<f32> =
            (0..(rate_hz * 4.0) as usize).map(|index| (index % 7) as f32 * 0.1).collect();
        samples[rate_hz as usize..2 * rate_hz as usize].fill(f32::NAN);
        let one_missing = 3 * rate_hz as usize;
        samples[one_missing] = f32::NAN;
        let signal = one(rate_hz, samples);
        for filter in [Filter::None, Filter::Baseline, Filter::Monitor] {
            let svg = Strip { filter, ..raw(&signal, 0..signal.len()) }.svg().unwrap();
            let lines = traces(&svg).concat();
            assert!(lines.len() >= 3, "{} lines at {rate_hz} Hz", lines.len());
            let x_mm = |second: f64| 20.0 + second * 25.0;
            for line in lines {
                let (from, to) = (line[0].0, line[line.len() - 1].0);
                assert!(to < x_mm(1.0) || from > x_mm(1.999) - 0.01, "{from} to {to} at {rate_hz} Hz");
                assert!(to < x_mm(3.0) || from > x_mm(3.0), "{from} to {to} at {rate_hz} Hz");
            }
        }
    }
}

#[test]
fn a_lone_sample_between_gaps_is_a_dot() {
    for rate_hz in [50.0, 100.0, 2_000.0] {
        let mut samples = vec![f32::NAN; 4_000];
        samples[50] = 0.3;
        let signal = one(rate_hz, samples);
        let svg = raw(&signal, 0..200).svg().unwrap();
        assert_eq!(traces(&svg).concat().concat().len(), 1);
        assert_eq!(svg.matches("h.01\"").count(), 1);
    }
    let nothing = one(100.0, vec![f32::NAN; 200]);
    assert!(traces(&raw(&nothing, 0..200).svg().unwrap()).is_empty());
}

#[test]
fn hostile_text_stays_text() {
    let name = "</text><script>alert('\"')</script>\u{0}\u{202e}&";
    let signal = EcgSignal::new(100.0, vec![lead(name, vec![0.0; 300])]).unwrap();
    let hostile = Strip {
        title: name.to_owned(),
        footer: vec![name.to_owned()],
        explanation: Some(Explanation { lead: 0, weights: &[] }),
        ..raw(&signal, 0..300)
    };
    let svg = hostile.svg().unwrap();
    assert!(!svg.contains("<script") && !svg.contains('\u{0}') && !svg.contains('\u{202e}'));
    assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    assert!(svg.contains("&lt;script&gt;alert("));
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let signal = one(50.0, vec![0.0; 48 * 3_600 * 50]);
    let refused = |range: Range<usize>| raw(&signal, range).svg().unwrap_err();
    assert_eq!(refused(7..7), StripError::Empty);
    assert_eq!(refused(Range { start: 9, end: 7 }), StripError::Empty);
    assert_eq!(refused(0..signal.len()), StripError::TooLong);
    assert_eq!(refused(0..61 * 50), StripError::TooLong);
    let (end, samples) = (signal.len() + 1, signal.len());
    assert_eq!(refused(samples - 5..end), StripError::Outside { end, samples });
    assert!(raw(&signal, samples - 3_000..samples).svg().is_ok());
    let explanation = Some(Explanation { lead: 1, weights: &[] });
    assert_eq!(Strip { explanation, ..raw(&signal, 0..50) }.svg(), Err(StripError::Lead(1)));
}

#[test]
fn numbers_of_things_are_limited() {
    let signal = one(50.0, vec![0.0; 3_000]);
    let mark = Mark { sample: 5, class: BeatClass::Normal, probability: 0.5 };
    let limit = |count: usize| Strip { marks: &vec![mark; count], ..raw(&signal, 0..100) }.svg();
    assert!(limit(MAX_MARKS).is_ok());
    assert!(matches!(limit(MAX_MARKS + 1), Err(StripError::TooMany { what: "marks", .. })));
    let stretches = vec![0..3_000; MAX_STRETCHES + 1];
    assert!(Strip { unreadable: &stretches[1..], ..raw(&signal, 0..3_000) }.svg().is_ok());
    assert!(Strip { unreadable: &stretches, ..raw(&signal, 0..3_000) }.svg().is_err());
    let weights = vec![(0..3_000, 0.5); MAX_STRETCHES + 1];
    let explained = |weights| {
        Strip { explanation: Some(Explanation { lead: 0, weights }), ..raw(&signal, 0..3_000) }.svg()
    };
    assert!(explained(&weights[1..]).is_ok());
    assert!(explained(&weights).is_err());
    let lines = |count| Strip { footer: vec![String::from("x"); count], ..raw(&signal, 0..100) }.svg();
    assert!(lines(MAX_FOOTER_LINES).is_ok());
    assert!(lines(MAX_FOOTER_LINES + 1).is_err());
}

#[test]
fn the_largest_picture_stays_below_its_bound() {
    let samples: Vec<f32> = (0..120_000)
        .map(|index| if index % 1_000 == 7 { f32::NAN } else { (index * 7_919 % 1_000) as f32 * 0.01 - 5.0 })
        .collect();
    let everywhere: Vec<f32> =
        samples.iter().enumerate().map(|(i, s)| if i % 3 == 0 { f32::NAN } else { *s }).collect();
    for samples in [samples, everywhere] {
        let leads = vec![lead(&"&".repeat(500), samples); MAX_DRAWN_LEADS];
        let signal = EcgSignal::new(2_000.0, leads).unwrap();
        let marks: Vec<Mark> = (0..MAX_MARKS)
            .map(|index| Mark { sample: index * 200, class: BeatClass::Ventricular, probability: 0.999 })
            .collect();
        let weights = vec![(0..signal.len(), 1.0); MAX_STRETCHES];
        let unreadable: Vec<Range<usize>> =
            (0..MAX_STRETCHES).map(|index| index * 40..index * 40 + 20).collect();
        let strip = Strip {
            marks: &marks,
            unreadable: &unreadable,
            explanation: Some(Explanation { lead: 14, weights: &weights }),
            title: "&".repeat(10_000),
            footer: vec!["\"".repeat(10_000); MAX_FOOTER_LINES],
            ..raw(&signal, 0..signal.len())
        };
        let bytes = strip.svg().unwrap().len();
        assert!(bytes <= MAX_SVG_BYTES, "{bytes} bytes");
        assert!(bytes > MAX_SVG_BYTES / 2, "{bytes} bytes: the bound is far from what is reached");
    }
}

#[test]
fn what_lies_outside_the_strip_is_not_drawn() {
    let signal = one(100.0, vec![0.0; 3_000]);
    let mark = |sample| Mark { sample, class: BeatClass::Ventricular, probability: 0.9 };
    let marks = [mark(999), mark(2_000), mark(usize::MAX)];
    let strip =
        Strip { marks: &marks, unreadable: &[0..1_000, 2_000..usize::MAX], ..raw(&signal, 1_000..2_000) };
    assert_eq!(strip.svg().unwrap(), raw(&signal, 1_000..2_000).svg().unwrap());
    let inside = Strip { marks: &[mark(1_000), mark(1_999)], ..raw(&signal, 1_000..2_000) }.svg().unwrap();
    assert_eq!(inside.matches("class=\"beat\"").count(), 2);
}

#[test]
fn longer_strips_go_on_in_further_rows() {
    let signal =
        EcgSignal::new(100.0, vec![lead("II", vec![0.0; 6_100]), lead("V1", vec![0.0; 6_100])]).unwrap();
    let rows = |range: Range<usize>| traces(&raw(&signal, range).svg().unwrap()).len();
    assert_eq!(rows(0..1_000), 2);
    assert_eq!(rows(50..1_060), 2, "a tenth of a second opens no row");
    assert_eq!(rows(0..1_100), 4);
    assert_eq!(rows(13..6_013), 12);
    let drawn: usize = traces(&raw(&signal, 13..6_013).svg().unwrap()).concat().iter().map(Vec::len).sum();
    assert_eq!(drawn, 2 * 6_000, "each sample is drawn once");
}

#[test]
fn what_is_clipped_or_left_out_is_said() {
    let mut tall = vec![0.0; 300];
    tall[100] = 1e30;
    let leads = (0..17)
        .map(|index| lead(&format!("L{index}"), if index == 2 { tall.clone() } else { vec![0.0; 300] }));
    let signal = EcgSignal::new(100.0, leads.collect()).unwrap();
    let svg = raw(&signal, 0..300).svg().unwrap();
    assert!(svg.contains("Clipped at 5 mV from the baseline: L2."));
    assert!(svg.contains("The first 15 of 17 leads are drawn."));
    assert!(!raw(&one(100.0, vec![0.0; 300]), 0..300).svg().unwrap().contains("Clipped"));
}

#[test]
fn filters_are_named_and_take_out_what_they_say() {
    let wander = |index: usize| (index as f32 / 500.0 * 0.1 * std::f32::consts::TAU).sin() * 2.0;
    let signal = one(500.0, (0..30_000).map(wander).collect());
    let height = |filter| {
        let svg = Strip { filter, ..raw(&signal, 10_000..15_000) }.svg().unwrap();
        let ys: Vec<f64> = traces(&svg).concat().concat().iter().map(|point| point.1).collect();
        ys.iter().fold(0.0, |a: f64, y| a.max(*y)) - ys.iter().fold(f64::INFINITY, |a: f64, y| a.min(*y))
    };
    assert!(height(Filter::None) > 39.0);
    assert!(height(Filter::Baseline) < 1.0);
    let words = |filter| Strip { filter, ..raw(&signal, 0..500) }.svg().unwrap();
    assert!(words(Filter::None).contains("· no filter ·"));
    assert!(words(Filter::Baseline).contains("filter: from 0.5 Hz (baseline), no low-pass"));
    assert!(words(Filter::Monitor).contains("filter: 0.5 to 40 Hz"));
    assert!(Filter::Monitor.words(60.0).contains("0.5 to 24 Hz"));
}

#[test]
fn a_small_strip_looks_like_this() {
    let wave = |index: usize| if index % 40 == 20 { 1.0 } else { (index % 40) as f32 * 0.005 - 0.1 };
    let mut samples: Vec<f32> = (0..120).map(wave).collect();
    samples[50..53].fill(f32::NAN);
    let signal = EcgSignal::new(50.0, vec![lead("MLII", samples), lead("V<1>", vec![0.05; 120])]).unwrap();
    let mark = |sample, class, probability| Mark { sample, class, probability };
    let strip = Strip {
        marks: &[mark(20, BeatClass::Normal, 0.98), mark(60, BeatClass::Ventricular, 0.874)],
        unreadable: &[90..100, 95..110],
        explanation: Some(Explanation {
            lead: 0,
            weights: &[(55..60, 0.25), (60..66, 1.0), (66..70, f32::NAN)],
        }),
        title: "Strip & title".to_owned(),
        footer: vec!["A clinician must check.".to_owned()],
        ..raw(&signal, 10..110)
    };
    insta::assert_snapshot!(strip.svg().unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_signal_is_drawn_within_its_page(
        rate_hz in 50.0..2_000.0f64,
        samples in prop::collection::vec(prop_oneof![9 => -8.0..8.0f32, 1 => any::<f32>(), 1 => Just(f32::NAN)], 4_000..9_000),
        start in 0..3_000usize,
        length in 1..1_000usize,
        filter in prop::sample::select(vec![Filter::None, Filter::Baseline, Filter::Monitor]),
    ) {
        prop_assume!(samples.len() as f64 / rate_hz >= 2.0);
        let signal = one(rate_hz, samples);
        let strip = Strip { filter, ..raw(&signal, start..start + length) };
        let svg = strip.svg().unwrap();
        prop_assert_eq!(&svg, &strip.svg().unwrap());
        prop_assert!(!svg.contains("NaN") && !svg.contains("inf"));
        let page: Vec<f64> = attribute(&svg, "viewBox").split(' ').map(|size| size.parse().unwrap()).collect();
        for (x, y) in traces(&svg).concat().concat() {
            prop_assert!((20.0..=page[2] - 5.0).contains(&x) && (18.0..page[3]).contains(&y), "{} {}", x, y);
        }
    }
}
