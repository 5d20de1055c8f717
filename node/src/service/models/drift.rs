//! What models did here, day by day, as counts: runs, refusals by reason, how unusual what was read was, and how often
//! the person who looked agreed. No health data. A day is a small sealed document, written as a whole.

use std::collections::BTreeMap;

use inference::ecg;
use inference::measure::{CLEARLY_ABOVE_SIGMA, rate_above};
use keys::codec;
use serde::{Deserialize, Serialize};
use store::{DocumentKind, Store, StoreError};

use super::offers::full_name;
use crate::api::types::{DriftDay, DriftReport, DriftSpan};
use crate::clock;
use crate::service::problem::Problem;
use crate::service::{Node, read, write};

const VERSION: u8 = 1;
/// Days that are kept of each model: a year with a month to compare with.
const KEPT_DAYS: usize = 400;
/// The days that are compared with all before them.
const RECENT_DAYS: i64 = 30;
const MAX_DAY_BYTES: usize = 16 * 1024;
const DAY_MS: i64 = 86_400_000;

/// One day of one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Day {
    version: u8,
    pub(crate) runs: u64,
    /// By the names of reasons, a closed list.
    pub(crate) refused: BTreeMap<String, u64>,
    novelty_sum: f64,
    novelties: u64,
    pub(crate) agreed: u64,
    pub(crate) disagreed: u64,
}

/// All days of all models of a home.
#[derive(Default)]
pub(crate) struct Days(BTreeMap<(String, String), Day>);

/// How a run ended, for the counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) refused: Option<&'static str>,
    /// 0 to 1 where it was read.
    pub(crate) novelty: Option<f32>,
}

impl Day {
    fn add(&mut self, run: Ended) {
        self.runs += 1;
        if let Some(reason) = run.refused {
            *self.refused.entry(reason.to_owned()).or_default() += 1;
        }
        if let Some(novelty) = run.novelty.filter(|novelty| novelty.is_finite()) {
            self.novelty_sum += f64::from(novelty);
            self.novelties += 1;
        }
    }

    fn all_refused(&self) -> u64 {
        self.refused.values().sum()
    }
}

impl Days {
    /// Reads them. Counts that cannot be read are begun anew: they must not keep a home closed.
    pub(crate) fn load(store: &Store) -> Days {
        let documents = match store.documents(DocumentKind::ModelDay) {
            Ok(documents) => documents,
            Err(error) => {
                tracing::error!(%error, "the counts of models are begun anew");
                return Days::default();
            }
        };
        let day = |(key, bytes): store::KeyedDocument| {
            let key = String::from_utf8(key).ok()?;
            let (name, date) = key.split_once('/')?;
            let day: Day = codec::decode("day of a model", &bytes, MAX_DAY_BYTES).ok()?;
            (day.version == VERSION).then(|| ((name.to_owned(), date.to_owned()), day))
        };
        Days(documents.into_iter().filter_map(day).collect())
    }

    /// Changes a day, and forgets the days beyond those that are kept.
    fn change(
        &mut self,
        store: &Store,
        name: &str,
        date: &str,
        change: impl FnOnce(&mut Day),
    ) -> Result<(), StoreError> {
        let key = (name.to_owned(), date.to_owned());
        let mut day = self.0.get(&key).cloned().unwrap_or_default();
        change(&mut day);
        day.version = VERSION;
        store.put_document(DocumentKind::ModelDay, &document_key(&key), &codec::encode(&day), Vec::new())?;
        self.0.insert(key, day);
        let mut old: Vec<(String, String)> = self.of(name).map(|(key, _)| key.clone()).collect();
        old.truncate(old.len().saturating_sub(KEPT_DAYS));
        for key in old {
            store.remove_document(DocumentKind::ModelDay, &document_key(&key), Vec::new())?;
            self.0.remove(&key);
        }
        Ok(())
    }

    /// The days of a model, the oldest first.
    fn of(&self, name: &str) -> impl Iterator<Item = (&(String, String), &Day)> {
        self.0.iter().filter(move |((model, _), _)| model == name)
    }
}

fn document_key((name, date): &(String, String)) -> Vec<u8> {
    format!("{name}/{date}").into_bytes()
}

impl Node {
    /// Counts a run. What cannot be counted is no reason to keep an answer back.
    pub(crate) fn count_run(&self, name: &str, run: Ended) {
        self.change_day(name, &clock::date(clock::now()), |day| day.add(run));
    }

    /// Changes the counts of a day.
    pub(crate) fn change_day(&self, name: &str, date: &str, change: impl FnOnce(&mut Day)) {
        let mut models = write(&self.models);
        if let Err(error) = models.days.change(&self.store, name, date, change) {
            tracing::error!(%error, "the counts of a model were not kept");
        }
    }

    /// What a model did here, the last thirty days against those before, and what is clearly worse.
    ///
    /// # Errors
    /// [`Problem`] when there is no such model, or the one in use does not open.
    pub(crate) async fn drift(&self, name: &str) -> Result<DriftReport, Problem> {
        let name = full_name(name)?;
        let from =
            clock::date(keys::Timestamp::from_millis(clock::now().as_millis() - (RECENT_DAYS - 1) * DAY_MS));
        let in_use = self.in_use(&name).await?;
        let told = refused_of_card(&in_use.active.model.card.figures.measured);
        Ok(report(&name, &read(&self.models).days, &from, told))
    }
}

/// Refused of all, as the card tells of its data; none where it does not tell.
fn refused_of_card(measured: &inference::Measured) -> Option<[u64; 2]> {
    let row = measured.tables.iter().find(|table| table.title == "Refused")?.rows.first()?;
    let (all, refused) = row.counts.split_first()?;
    Some([refused.iter().sum::<usize>() as u64, *all as u64])
}

fn report(name: &str, days: &Days, from: &str, card: Option<[u64; 2]>) -> DriftReport {
    let (mut recent, mut earlier) = (Day::default(), Day::default());
    let mut told = Vec::new();
    for ((_, date), day) in days.of(name) {
        sum(if date.as_str() >= from { &mut recent } else { &mut earlier }, day);
        told.push(DriftDay {
            date: date.clone(),
            runs: day.runs,
            refused: day.refused.clone(),
            mean_novelty: mean_novelty(day),
            agreed: day.agreed,
            disagreed: day.disagreed,
        });
    }
    let mut warnings = Vec::new();
    let mut warn = |what: &str, now: [u64; 2], before: [u64; 2], whose: &str| {
        if let Some(sigma) = rate_above(now, before).filter(|sigma| *sigma >= CLEARLY_ABOVE_SIGMA) {
            warnings.push(format!(
                "{what}: {} of {} in the last {RECENT_DAYS} days against {} of {} {whose}, {sigma:.1} standard errors more",
                now[0], now[1], before[0], before[1]
            ));
        }
    };
    let refused = |day: &Day| [day.all_refused(), day.runs];
    let disagreed = |day: &Day| [day.disagreed, day.agreed + day.disagreed];
    warn("refused more often", refused(&recent), refused(&earlier), "before");
    warn("disagreed with more often", disagreed(&recent), disagreed(&earlier), "before");
    if let Some(card) = card {
        warn("refused more often than the card tells", refused(&recent), card, "on the card");
    }
    DriftReport {
        model: name.to_owned(),
        recent: span(&recent),
        earlier: span(&earlier),
        warnings,
        days: told,
    }
}

fn sum(into: &mut Day, day: &Day) {
    into.runs += day.runs;
    for (reason, count) in &day.refused {
        *into.refused.entry(reason.clone()).or_default() += count;
    }
    into.novelty_sum += day.novelty_sum;
    into.novelties += day.novelties;
    into.agreed += day.agreed;
    into.disagreed += day.disagreed;
}

fn mean_novelty(day: &Day) -> Option<f64> {
    (day.novelties > 0).then(|| day.novelty_sum / day.novelties as f64)
}

fn span(day: &Day) -> DriftSpan {
    let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    let unfamiliar = day.refused.get(ecg::Refusal::Unfamiliar.name()).copied().unwrap_or_default();
    DriftSpan {
        runs: day.runs,
        refused: day.refused.clone(),
        refused_share: share(day.all_refused(), day.runs),
        unfamiliar_share: share(unfamiliar, day.runs),
        mean_novelty: mean_novelty(day),
        agreed: day.agreed,
        disagreed: day.disagreed,
        disagreed_share: share(day.disagreed, day.agreed + day.disagreed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(of: &[(&str, u64, u64, u64, u64)]) -> Days {
        let day = |&(date, runs, refused, agreed, disagreed): &(&str, u64, u64, u64, u64)| {
            let refused = BTreeMap::from([("no-signal".to_owned(), refused)]);
            let day = Day { version: VERSION, runs, refused, agreed, disagreed, ..Day::default() };
            (("ecg-beats".to_owned(), date.to_owned()), day)
        };
        Days(of.iter().map(day).collect())
    }

    #[test]
    fn a_rate_that_rises_clearly_is_warned_of_and_one_that_wavers_is_not() {
        let quiet = days(&[("2026-01-01", 500, 20, 90, 10), ("2026-03-01", 100, 6, 45, 5)]);
        assert_eq!(report("ecg-beats", &quiet, "2026-02-01", None).warnings, Vec::<String>::new());
        let worse = days(&[("2026-01-01", 500, 20, 90, 10), ("2026-03-01", 100, 30, 25, 25)]);
        let told = report("ecg-beats", &worse, "2026-02-01", None);
        assert_eq!(told.warnings.len(), 2, "{:?}", told.warnings);
        assert!(told.warnings[0].contains("30 of 100") && told.warnings[1].contains("25 of 50"));
        assert_eq!((told.recent.refused_share, told.earlier.disagreed_share), (Some(0.3), Some(0.1)));
        let few = days(&[("2026-03-01", 10, 9, 0, 9)]);
        let told = report("ecg-beats", &few, "2026-02-01", Some([2, 524]));
        assert!(told.warnings.is_empty(), "ten runs tell nothing: {:?}", told.warnings);
        let card = days(&[("2026-03-01", 100, 20, 0, 0)]);
        let told = report("ecg-beats", &card, "2026-02-01", Some([2, 524]));
        assert_eq!(told.warnings.len(), 1, "{:?}", told.warnings);
        assert_eq!(told.earlier.refused_share, None);
    }

    #[test]
    fn what_the_card_tells_of_refusals_is_read() {
        let card = inference::Model::named("image").expect("compiled in").card;
        assert!(matches!(refused_of_card(&card.figures.measured), Some([1..=10, 524])));
        let card = inference::Model::named("ecg").expect("compiled in").card;
        assert_eq!(refused_of_card(&card.figures.measured), None);
    }

    #[test]
    fn a_run_that_is_no_number_spoils_no_mean() {
        let mut day = Day::default();
        for novelty in [Some(0.2), Some(f32::NAN), None, Some(0.4)] {
            day.add(Ended { refused: None, novelty });
        }
        assert_eq!(day.runs, 4);
        assert!((mean_novelty(&day).expect("some") - 0.3).abs() < 1e-6);
    }
}
