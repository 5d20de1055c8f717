//! What does not fit together, in words.

use super::pool::Contribution;

/// A reading of weight says that there is concern from here on, or that there is little up to here.
const CONCERNED: f64 = 0.6;
const UNCONCERNED: f64 = 0.2;
/// A reading with less than this share contradicts nobody.
const OF_WEIGHT: f64 = 0.1;
/// Mean rate of an ECG and a pulse that differ by more than this are not of the same state.
pub const RATES_APART_PER_MIN: f64 = 20.0;
/// As long as they were measured within this time.
pub const RATES_WITHIN_H: f64 = 1.0;

/// Readings of weight of which one is concerned and the other is not.
pub fn apart(sources: &[Contribution]) -> Vec<String> {
    let of_weight = || sources.iter().filter(|it| it.share >= OF_WEIGHT);
    let concerned = || of_weight().filter(|it| it.source.concern >= CONCERNED);
    let pairs = concerned().flat_map(|worried| {
        of_weight().filter(|it| it.source.concern <= UNCONCERNED).map(move |calm| (worried, calm))
    });
    let told = |(worried, calm): (&Contribution, &Contribution)| {
        format!(
            "{} says: {}; {} says: {}. Both cannot be the whole story: look at both.",
            worried.source.kind.title(),
            worried.source.words.trim_end_matches('.'),
            calm.source.kind.title(),
            calm.source.words.trim_end_matches('.')
        )
    };
    pairs.map(told).collect()
}

/// An ECG's mean rate against a pulse.
pub fn rates_differ(ecg_per_min: f64, pulse_per_min: f64, hours_apart: f64) -> Option<String> {
    let differ =
        (ecg_per_min - pulse_per_min).abs() > RATES_APART_PER_MIN && hours_apart.abs() <= RATES_WITHIN_H;
    differ.then(|| {
        format!(
            "The ECG has a mean rate of {ecg_per_min:.0}/min, the pulse was {pulse_per_min:.0}/min within the hour: \
             beats that do not reach the wrist, a changed state, or another patient's recording."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::pool::panel;
    use super::super::source::{Kind, Level, Source};
    use super::*;

    #[test]
    fn a_worried_and_a_calm_reading_are_named() {
        let source = |kind, concern, words: &str| Source {
            kind,
            age_h: Some(0.0),
            concern,
            interval: [concern; 2],
            reliability: 1.0,
            floor: Level::default(),
            words: words.into(),
        };
        let told = panel(&[source(Kind::Ecg, 0.1, "calm"), source(Kind::SelfCheck, 0.9, "worse")]).unwrap();
        assert_eq!(told.contradictions.len(), 1);
        assert!(told.contradictions[0].starts_with("Self-check says: worse; ECG says: calm"));
        let agree = panel(&[source(Kind::Ecg, 0.5, ""), source(Kind::SelfCheck, 0.9, "")]).unwrap();
        assert!(agree.contradictions.is_empty());
    }

    #[test]
    fn rates_contradict_only_within_the_hour() {
        assert!(rates_differ(80.0, 101.0, 0.5).is_some());
        assert!(rates_differ(80.0, 100.0, 0.5).is_none());
        assert!(rates_differ(80.0, 150.0, 1.5).is_none());
        assert!(rates_differ(f64::NAN, 150.0, 0.0).is_none());
    }
}
