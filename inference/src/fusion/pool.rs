//! Weights, the pool, and the level of attention.

use super::contradiction::apart;
use super::source::{Kind, Level, Source};

/// Concerns are kept within these, so that no reading alone is certain.
const LEAST_CONCERN: f64 = 0.02;
const MOST_CONCERN: f64 = 0.98;
/// From this concern on a reading alone asks that somebody looks soon.
const SOON_FROM: f64 = 0.5;
/// A reading older than so many half-lives is not used: it would weigh less than a sixteenth.
pub const OLDEST_HALF_LIVES: f64 = 4.0;
/// A record without a date counts as this many half-lives old.
const UNDATED_HALF_LIVES: f64 = 2.0;

/// Nothing can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing is known of this patient that could be put together")]
pub struct NothingKnown;

/// What a reading has to do with the whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Contribution {
    /// The reading.
    pub source: Source,
    /// 1 when new, halved with each half-life.
    pub freshness: f64,
    /// Its share of all weight.
    pub share: f64,
    /// The concern of all others; none when there is no other.
    pub without: Option<f64>,
    /// The level that it alone asks for.
    pub level: Level,
}

/// Everything together.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// How soon somebody should look.
    pub level: Level,
    /// The pooled concern.
    pub concern: f64,
    /// The pool of all lower and of all upper ends.
    pub range: [f64; 2],
    /// Each reading, the weightiest first.
    pub sources: Vec<Contribution>,
    /// Who contradicts whom.
    pub contradictions: Vec<String>,
    /// Kinds of which there is nothing.
    pub missing: Vec<Kind>,
}

impl Source {
    /// How many half-lives old.
    pub fn half_lives(&self) -> f64 {
        let age = self.age_h.map(|age| age.max(0.0) / self.kind.half_life_h());
        age.filter(|it| it.is_finite()).unwrap_or(UNDATED_HALF_LIVES)
    }

    /// 1 when new, halved with each half-life.
    pub fn freshness(&self) -> f64 {
        0.5_f64.powf(self.half_lives())
    }

    /// Whether it is too old to be used.
    pub fn is_too_old(&self) -> bool {
        self.half_lives() > OLDEST_HALF_LIVES
    }

    /// The level that it alone asks for: what was urgent one half-life ago is to be looked at soon.
    pub fn level(&self) -> Level {
        let by_concern = if self.concern >= SOON_FROM { Level::Soon } else { Level::NothingStandsOut };
        let level = self.floor.max(by_concern);
        if self.half_lives() > 1.0 { level.min(Level::Soon) } else { level }
    }

    fn weight(&self) -> f64 {
        self.reliability.clamp(0.0, 1.0) * self.freshness()
    }
}

fn logit(concern: f64) -> f64 {
    let clamped = concern.clamp(LEAST_CONCERN, MOST_CONCERN);
    (clamped / (1.0 - clamped)).ln()
}

/// The weighted mean of log-odds (Genest and Zidek, Statistical Science 1986).
fn pool<'a>(sources: impl Iterator<Item = &'a Source>, of: fn(&Source) -> f64) -> Option<f64> {
    let (mut sum, mut weights) = (0.0, 0.0);
    for source in sources {
        sum += source.weight() * logit(of(source));
        weights += source.weight();
    }
    (weights > 0.0).then(|| 1.0 / (1.0 + (-sum / weights).exp()))
}

/// Puts readings together, one of each kind at most: of two the more worrying counts. Those that are too old count as
/// missing.
///
/// # Errors
/// [`NothingKnown`] when none can be used.
pub fn panel(sources: &[Source]) -> Result<Panel, NothingKnown> {
    let usable = |it: &&Source| !it.is_too_old() && it.concern.is_finite() && it.weight() > 0.0;
    let mut used: Vec<&Source> = sources.iter().filter(usable).collect();
    used.sort_by(|left, right| {
        left.kind
            .cmp(&right.kind)
            .then(right.level().cmp(&left.level()))
            .then(right.concern.total_cmp(&left.concern))
            .then(left.half_lives().total_cmp(&right.half_lives()))
    });
    used.dedup_by_key(|source| source.kind);
    let concern = pool(used.iter().copied(), |it| it.concern).ok_or(NothingKnown)?;
    let low = pool(used.iter().copied(), |it| it.interval[0].min(it.concern)).unwrap_or(concern);
    let high = pool(used.iter().copied(), |it| it.interval[1].max(it.concern)).unwrap_or(concern);
    let weights: f64 = used.iter().map(|source| source.weight()).sum();
    let contribution = |source: &&Source| Contribution {
        source: (*source).clone(),
        freshness: source.freshness(),
        share: source.weight() / weights,
        without: pool(used.iter().copied().filter(|other| other.kind != source.kind), |it| it.concern),
        level: source.level(),
    };
    let mut contributions: Vec<Contribution> = used.iter().map(contribution).collect();
    contributions.sort_by(|left, right| right.share.total_cmp(&left.share));
    Ok(Panel {
        level: used.iter().map(|source| source.level()).max().unwrap_or_default(),
        concern,
        range: [low, high],
        contradictions: apart(&contributions),
        missing: Kind::ALL.into_iter().filter(|kind| used.iter().all(|it| it.kind != *kind)).collect(),
        sources: contributions,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_source() -> impl Strategy<Value = Source> {
        let floor = prop_oneof![Just(Level::NothingStandsOut), Just(Level::Soon), Just(Level::Now)];
        (0..6_usize, 0.0..500.0_f64, any::<bool>(), 0.0..=1.0_f64, 0.0..=1.0_f64, 0.05..=1.0_f64, floor)
            .prop_map(|(kind, age, dated, concern, end, reliability, floor)| Source {
                kind: Kind::ALL[kind],
                age_h: dated.then_some(age),
                concern,
                interval: [concern.min(end), concern.max(end)],
                reliability,
                floor,
                words: String::new(),
            })
    }

    proptest! {
        #[test]
        fn a_source_raises_the_level_and_never_lowers_it(
            sources in proptest::collection::vec(any_source(), 1..8), more in any_source(),
        ) {
            let level = |sources: &[Source]| panel(sources).map(|it| it.level).unwrap_or_default();
            let before = level(&sources);
            let mut all = sources;
            let alone = level(std::slice::from_ref(&more));
            all.push(more);
            prop_assert!(level(&all) >= before && level(&all) >= alone);
        }

        #[test]
        fn shares_sum_to_one_and_order_does_not_matter(sources in proptest::collection::vec(any_source(), 1..8)) {
            let Ok(told) = panel(&sources) else { return Ok(()) };
            let sum: f64 = told.sources.iter().map(|it| it.share).sum();
            prop_assert!((sum - 1.0).abs() < 1e-9);
            prop_assert!(told.range[0] <= told.concern + 1e-9 && told.concern <= told.range[1] + 1e-9);
            let mut turned = sources;
            turned.reverse();
            let again = panel(&turned).unwrap();
            prop_assert!((again.concern - told.concern).abs() < 1e-9);
            prop_assert_eq!((again.level, again.missing), (told.level, told.missing));
        }

        #[test]
        fn an_older_source_weighs_less(source in any_source(), hours in 0.1..5.0_f64) {
            let other = Source { kind: Kind::Ecg, age_h: Some(0.0), ..source.clone() };
            let share = |age: f64| {
                let it = Source { kind: Kind::Vitals, age_h: Some(age), ..source.clone() };
                panel(&[it, other.clone()]).unwrap().sources.iter().find(|it| it.source.kind == Kind::Vitals).map(|it| it.share)
            };
            prop_assert!(share(hours) < share(0.0));
        }

        #[test]
        fn what_is_missing_is_named_and_counts_as_nothing(source in any_source()) {
            let Ok(told) = panel(std::slice::from_ref(&source)) else { return Ok(()) };
            prop_assert_eq!(told.missing.len(), 5);
            let expected = source.concern.clamp(LEAST_CONCERN, MOST_CONCERN);
            prop_assert!((told.concern - expected).abs() < 1e-9);
            prop_assert_eq!(told.sources[0].without, None);
        }
    }

    fn source(kind: Kind, concern: f64, floor: Level, age_h: f64) -> Source {
        let interval = [concern; 2];
        Source { kind, age_h: Some(age_h), concern, interval, reliability: 1.0, floor, words: String::new() }
    }

    #[test]
    fn an_urgent_reading_stands_whatever_the_others_say_and_old_ones_are_not_used() {
        let calm = [Kind::Ecg, Kind::Image, Kind::Risk].map(|kind| source(kind, 0.05, Level::default(), 0.0));
        let with = |urgent: Source| panel(&[&calm[..], &[urgent]].concat()).unwrap();
        assert_eq!(with(source(Kind::Vitals, 0.9, Level::Now, 1.0)).level, Level::Now);
        assert_eq!(with(source(Kind::Vitals, 0.9, Level::Now, 7.0)).level, Level::Soon);
        let old = with(source(Kind::Vitals, 0.9, Level::Now, 25.0));
        assert_eq!(old.level, Level::NothingStandsOut);
        assert!(old.missing.contains(&Kind::Vitals));
        assert_eq!(panel(&[]), Err(NothingKnown));
    }
}
