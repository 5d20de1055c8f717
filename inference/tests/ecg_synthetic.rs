//! The ECG on signals that are made up, so that every beat is known: what is found, what is refused, and that
//! nothing makes it panic.

#![expect(clippy::unwrap_used, reason = "the whole target is a test")]

use std::sync::OnceLock;

use metaclinic_inference::Backend;
use metaclinic_inference::ecg::{
    Beat, EcgFinding, EcgModel, EcgSignal, Lead, Problem, Refusal, assess, detect, features, match_beats,
};
use proptest::prelude::*;

/// Waves of one beat: offset in seconds, half width in seconds, height in millivolts (after McSharry, Clifford,
/// Tarassenko and Smith, IEEE Trans Biomed Eng 2003).
const WAVES: [(f64, f64, f64); 5] = [
    (-0.17, 0.025, 0.12),
    (-0.03, 0.010, -0.10),
    (0.0, 0.011, 1.0),
    (0.03, 0.010, -0.20),
    (0.28, 0.050, 0.30),
];

/// Numbers that look random, from a seed.
struct Noise(u64);

impl Noise {
    /// About normally distributed, mean 0, deviation 1.
    fn next(&mut self) -> f64 {
        let mut uniform = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as f64 / f64::from(1u32 << 31)
        };
        (0..12).map(|_| uniform()).sum::<f64>() - 6.0
    }
}

/// Times of beats at a rate, in seconds; not quite regular.
fn beat_times(seconds: f64, rate_per_min: f64) -> Vec<f64> {
    let mut times = vec![0.5];
    while let Some(last) = times.last().copied().filter(|last| last + 0.5 < seconds) {
        times.push(last + 60.0 / rate_per_min * (1.0 + 0.03 * (times.len() as f64 * 1.7).sin()));
    }
    times.retain(|time| *time < seconds - 0.3);
    times
}

fn lead(times: &[f64], seconds: f64, rate_hz: f64, height: f64, noise_mv: f64) -> Vec<f32> {
    let mut noise = Noise(7);
    let mut samples: Vec<f64> = (0..(seconds * rate_hz) as usize)
        .map(|index| 0.2 * (index as f64 / rate_hz * 1.5).sin() + noise_mv * noise.next())
        .collect();
    for time in times {
        for (offset, width, wave) in WAVES {
            let centre = (time + offset) * rate_hz;
            let reach = 5.0 * width * rate_hz;
            for index in (centre - reach).max(0.0) as usize..((centre + reach) as usize).min(samples.len()) {
                let distance = (index as f64 - centre) / (width * rate_hz);
                samples[index] += height * wave * (-0.5 * distance * distance).exp();
            }
        }
    }
    samples.into_iter().map(|sample| sample as f32).collect()
}

fn signal(rate_hz: f64, leads: Vec<Vec<f32>>) -> EcgSignal {
    let name = |index: usize| ["II", "V1"].get(index).unwrap_or(&"X").to_string();
    let leads = leads.into_iter().enumerate();
    EcgSignal::new(rate_hz, leads.map(|(index, samples_mv)| Lead { name: name(index), samples_mv }).collect())
        .unwrap()
}

fn read(signal: &EcgSignal) -> Result<EcgFinding, Refusal> {
    static MODEL: OnceLock<EcgModel> = OnceLock::new();
    MODEL.get_or_init(|| EcgModel::built_in(Backend::default()).unwrap()).read(signal)
}

fn at(beats: &[Beat]) -> Vec<usize> {
    beats.iter().map(|beat| beat.sample).collect()
}

fn check_all_found(seconds: f64, rate_hz: f64, rate_per_min: f64, noise_mv: f64) {
    let times = beat_times(seconds, rate_per_min);
    let beats = detect(&signal(rate_hz, vec![lead(&times, seconds, rate_hz, 1.0, noise_mv)]));
    let reference: Vec<usize> = times.iter().map(|time| (time * rate_hz) as usize).collect();
    let matched = match_beats(&reference, &at(&beats), (0.03 * rate_hz) as usize);
    assert!(
        matched.missed.is_empty() && matched.extra.is_empty(),
        "{rate_hz} Hz, {rate_per_min} per minute: {matched:?}"
    );
}

#[test]
fn every_beat_is_found_at_its_own_sample_number_at_any_sampling_rate() {
    for rate_hz in [100.0, 125.0, 128.0, 250.0, 360.0, 500.0, 1_000.0, 2_000.0] {
        check_all_found(60.0, rate_hz, 75.0, 0.02);
    }
}

#[test]
fn slow_and_fast_hearts_are_followed() {
    for rate_per_min in [30.0, 45.0, 100.0, 150.0, 180.0] {
        check_all_found(60.0, 360.0, rate_per_min, 0.02);
    }
}

#[test]
fn ten_seconds_are_enough() {
    check_all_found(10.0, 500.0, 70.0, 0.02);
}

#[test]
fn a_lead_that_comes_off_is_replaced_by_the_other() {
    let times = beat_times(120.0, 80.0);
    let mut first = lead(&times, 120.0, 360.0, 1.0, 0.02);
    let mut noise = Noise(3);
    first[60 * 360..].fill_with(|| noise.next() as f32 * 0.5);
    let beats = detect(&signal(360.0, vec![first, lead(&times, 120.0, 360.0, 0.7, 0.02)]));
    let reference: Vec<usize> = times.iter().map(|time| (time * 360.0) as usize).collect();
    let matched = match_beats(&reference, &at(&beats), 54);
    assert!(matched.missed.len() + matched.extra.len() <= 2, "{matched:?}");
}

#[test]
fn missing_samples_hide_only_their_own_stretch() {
    let times = beat_times(120.0, 80.0);
    let mut samples = lead(&times, 120.0, 360.0, 1.0, 0.02);
    samples[40 * 360..70 * 360].fill(f32::NAN);
    let reading = read(&signal(360.0, vec![samples])).unwrap();
    let stretch = 40 * 360..70 * 360;
    assert_eq!(reading.quality.unreadable(), [stretch]);
    assert_eq!(reading.quality.windows[5].leads, [Some(Problem::Missing)]);
    assert!(reading.rhythm.longest_pause_s < 1.0);
    let expected = times.iter().filter(|time| !(40.0..70.0).contains(*time)).count();
    assert!(reading.beats.len().abs_diff(expected) <= 1);
}

#[test]
fn noisy_stretch_is_named_and_the_rest_is_read() {
    let times = beat_times(120.0, 80.0);
    let mut samples = lead(&times, 120.0, 360.0, 1.0, 0.02);
    let mut noise = Noise(3);
    samples[30 * 360..60 * 360].fill_with(|| noise.next() as f32);
    let reading = read(&signal(360.0, vec![samples])).unwrap();
    let stretch = 30 * 360..60 * 360;
    assert_eq!(reading.quality.unreadable(), [stretch]);
    assert!((reading.rhythm.mean_rate_per_min - 80.0).abs() < 1.0);
}

fn check_refused(samples: Vec<f32>, refusal: Refusal) {
    assert_eq!(read(&signal(360.0, vec![samples])).unwrap_err(), refusal);
}

#[test]
fn what_cannot_be_read_is_refused_with_its_reason() {
    let ecg = || lead(&beat_times(60.0, 80.0), 60.0, 360.0, 1.0, 0.01);
    let scaled = |factor: f32| ecg().into_iter().map(|sample| sample * factor).collect::<Vec<f32>>();
    let noise = |scale: f64| {
        let mut noise = Noise(11);
        (0..60 * 360).map(|_| (noise.next() * scale) as f32).collect::<Vec<f32>>()
    };
    check_refused(vec![0.0; 60 * 360], Refusal::NoSignal);
    check_refused(vec![-5.12; 60 * 360], Refusal::NoSignal);
    check_refused(vec![f32::NAN; 60 * 360], Refusal::NoSignal);
    check_refused(noise(0.003), Refusal::NoSignal);
    check_refused(noise(0.5), Refusal::NoBeatsStandOut);
    check_refused(scaled(1_000.0), Refusal::TooLarge);
    check_refused(scaled(200.0), Refusal::TooLarge);
    check_refused(scaled(0.001), Refusal::TooSmall);
    let clipped = scaled(40.0).into_iter().map(|sample| (sample - 4.0).clamp(-5.12, 5.12)).collect();
    check_refused(clipped, Refusal::Saturated);
    let fibrillation = (0..60 * 360).map(|index| (f64::from(index) * 0.09).sin() as f32).collect();
    check_refused(fibrillation, Refusal::NoBeatsStandOut);
}

#[test]
fn a_rate_that_no_heart_has_is_refused() {
    // A beat every five seconds.
    let times: Vec<f64> = (0..12).map(|beat| 5.0 + f64::from(beat) * 5.0).collect();
    check_refused(lead(&times, 65.0, 360.0, 1.0, 0.01), Refusal::RateTooSlow);
    // A fast heart at 145 a minute, given with twice its sampling rate.
    let samples = lead(&beat_times(60.0, 145.0), 60.0, 360.0, 1.0, 0.01);
    assert!(read(&signal(720.0, vec![samples])).is_err());
}

#[test]
fn a_pause_is_read_and_not_taken_for_a_lead_that_is_off() {
    let mut times = beat_times(120.0, 60.0);
    times.retain(|time| !(50.0..56.0).contains(time));
    let reading = read(&signal(360.0, vec![lead(&times, 120.0, 360.0, 1.0, 0.01)])).unwrap();
    assert!(reading.rhythm.longest_pause_s > 6.0);
    assert_eq!(reading.beats.len(), times.len());
}

#[test]
fn hearts_from_30_to_200_a_minute_are_read() {
    for rate_per_min in [30.0, 60.0, 120.0, 200.0] {
        let samples = lead(&beat_times(60.0, rate_per_min), 60.0, 360.0, 1.0, 0.03);
        let found = read(&signal(360.0, vec![samples])).unwrap().rhythm.mean_rate_per_min;
        assert!((found - rate_per_min).abs() < 0.02 * rate_per_min, "{found} for {rate_per_min}");
    }
}

#[test]
fn refusals_speak_to_people() {
    assert_eq!(
        Refusal::TooLarge.to_string(),
        "the waves are far larger than a heart's: check the unit and the gain (millivolts are expected)"
    );
}

#[test]
fn an_early_wide_beat_differs_in_its_features() {
    let mut times: Vec<f64> = (0..60).map(|beat| 1.0 + f64::from(beat)).collect();
    times[30] -= 0.4;
    let mut samples = lead(&times, 62.0, 360.0, 1.0, 0.01);
    let early = (times[30] * 360.0) as usize;
    for (index, sample) in samples.iter_mut().enumerate().skip(early - 60).take(120) {
        let distance = (index as f64 - early as f64) / 16.0;
        *sample = (1.5 * (-0.5 * distance * distance).exp() * (1.0 - 0.15 * distance)) as f32;
    }
    let signal = signal(360.0, vec![samples]);
    let beats = detect(&signal);
    assert_eq!(beats.len(), 60);
    let features = features(&signal, &beats);
    assert!(features.rows.iter().all(|row| row.len() == features.names.len()));
    let value = |beat: usize, name: &str| {
        let column = features.names.iter().position(|given| given == name).unwrap();
        features.rows[beat][column]
    };
    assert!(value(30, "ln_rr_previous_to_record") < -0.4 && value(30, "ln_rr_next_to_record") > 0.3);
    assert!(value(10, "ln_rr_previous_to_local").abs() < 0.05);
    assert!(value(30, "premature_in_regular_rhythm") < -0.4);
    assert!(value(30, "lead1_distance_to_usual") > 4.0 * value(10, "lead1_distance_to_usual"));
    assert!(value(30, "lead1_ln_qrs_width_to_usual") > 0.2, "{}", value(30, "lead1_ln_qrs_width_to_usual"));
    assert!(value(10, "lead1_qrs_correlation_with_usual") > 0.95);
    assert!(value(30, "ln_family_share") < value(10, "ln_family_share"));
    assert_eq!((value(10, "lead1_present"), value(10, "lead2_present")), (1.0, 0.0));
}

#[test]
fn beats_that_do_not_exist_do_no_harm_to_features() {
    let signal = signal(360.0, vec![lead(&beat_times(10.0, 70.0), 10.0, 360.0, 1.0, 0.0)]);
    let wild: Vec<Beat> =
        [usize::MAX, 0, 5, 5, 1 << 40].map(|sample| Beat { sample, strength: f32::NAN }).to_vec();
    let features = features(&signal, &wild);
    assert_eq!(features.rows.len(), 5);
    assert!(features.rows.iter().flatten().all(|value| value.is_finite()));
}

fn any_sample() -> impl Strategy<Value = f32> {
    prop_oneof![
        6 => -3.0f32..3.0,
        1 => any::<f32>(),
        1 => Just(f32::NAN),
        1 => Just(f32::INFINITY),
        1 => Just(f32::MAX),
        1 => Just(0.0f32),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_makes_it_panic(
        samples in prop::collection::vec(any_sample(), 400..3_000),
        rate_hz in 50.0f64..200.0,
        leads in 1usize..4,
    ) {
        let given: Vec<Vec<f32>> = (0..leads).map(|shift| {
            let mut samples = samples.clone();
            samples.rotate_left(shift * 7);
            samples
        }).collect();
        let signal = signal(rate_hz, given);
        let beats = detect(&signal);
        prop_assert!(beats.windows(2).all(|two| two[0].sample < two[1].sample));
        prop_assert!(beats.iter().all(|beat| beat.sample < signal.len()));
        prop_assert!(features(&signal, &beats).rows.iter().flatten().all(|value| value.is_finite()));
        prop_assert_eq!(assess(&signal).windows.last().unwrap().samples.end, signal.len());
        let _ = read(&signal);
    }

    #[test]
    fn twice_the_size_gives_the_same_beats(rate_per_min in 40.0f64..140.0, noise_mv in 0.0f64..0.05) {
        let samples = lead(&beat_times(30.0, rate_per_min), 30.0, 360.0, 1.0, noise_mv);
        let doubled = samples.iter().map(|sample| sample * 2.0).collect();
        prop_assert_eq!(at(&detect(&signal(360.0, vec![samples]))), at(&detect(&signal(360.0, vec![doubled]))));
    }

    #[test]
    fn upside_down_gives_the_same_beats(rate_per_min in 40.0f64..140.0) {
        let samples = lead(&beat_times(30.0, rate_per_min), 30.0, 360.0, 1.0, 0.02);
        let turned = samples.iter().map(|sample| -sample).collect();
        prop_assert_eq!(at(&detect(&signal(360.0, vec![samples]))), at(&detect(&signal(360.0, vec![turned]))));
    }

    #[test]
    fn beats_move_with_the_signal(rate_per_min in 40.0f64..140.0, cut in 1usize..2_000) {
        let samples = lead(&beat_times(60.0, rate_per_min), 60.0, 360.0, 1.0, 0.02);
        let later = samples[cut..].to_vec();
        // The first and last second may differ: there a beat is cut.
        let whole: Vec<usize> = at(&detect(&signal(360.0, vec![samples])))
            .into_iter().filter(|sample| *sample > cut + 360 && *sample < 59 * 360).map(|sample| sample - cut).collect();
        let moved: Vec<usize> = at(&detect(&signal(360.0, vec![later])))
            .into_iter().filter(|sample| *sample > 354 && *sample < 59 * 360 - cut + 6).collect();
        let matched = match_beats(&whole, &moved, 3);
        prop_assert!(matched.missed.is_empty(), "{:?}", matched);
        prop_assert!(matched.extra.len() <= 2, "{:?}", matched);
    }
}
