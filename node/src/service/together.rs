//! Readings of one stored patient in one panel: the newest of each kind goes to its own service, what comes back is put
//! together by constants. Off until a clinician enables it.

mod gathering;
mod reading;
mod switch;

use std::collections::BTreeMap;
use std::sync::Arc;

use inference::fusion::{
    ADVICE, Contribution, Kind, LIMITS, METHOD, Panel, Source as Reading, bars, panel, rates_differ,
};
use keys::AuditAction;

use super::problem::{Problem, Tried};
use super::records::parse_source;
use super::{Node, audit, blocking};
use crate::api::types::{TogetherAnswer, TogetherMissing, TogetherReport, TogetherRequest, TogetherSource};
use crate::clock;
use gathering::Person;
use switch::Enabled;

/// What there is of one kind.
struct Found {
    reading: Reading,
    from: String,
    date: Option<String>,
    model: Option<String>,
}

/// A reading, or why there is none.
type Maybe = Result<Found, String>;

/// What is asked of whom.
struct Question {
    patient: String,
    person: Person,
    text: Option<String>,
    set: BTreeMap<String, String>,
    now_s: i64,
}

/// Rates that are compared: per minute, hours since.
#[derive(Default)]
struct Rates {
    ecg: Option<(f64, f64)>,
    pulse: Option<(f64, f64)>,
}

impl Node {
    /// Puts the readings of a stored patient together; audited as a reading of the Patient, and each reading by itself.
    ///
    /// # Errors
    /// [`Problem`] when it is off, or there is no such Patient. Nothing known is no error.
    pub(crate) async fn diagnose_together(
        self: &Arc<Self>,
        request: TogetherRequest,
    ) -> Result<TogetherAnswer, Problem> {
        let enabled = self.enabled()?;
        let source = request.source.as_deref().map(parse_source).transpose()?;
        let now = clock::now();
        let now_s = now.as_millis().div_euclid(1_000);
        let node = Arc::clone(self);
        let question = blocking(move || {
            let person = node.person(&request.patient, source, now_s)?;
            let mut event = audit::event(now, AuditAction::Read, 1);
            event.1.object = Some(*person.record.as_bytes());
            node.note(vec![event])?;
            let TogetherRequest { patient, text, set, chart, .. } = request;
            Ok((Question { patient, person, text, set, now_s }, chart))
        });
        let (question, chart) = question.await?;
        let question = Arc::new(question);
        if question.person.died {
            let report = empty(&enabled, "the record says that this person has died");
            return Ok(TogetherAnswer { report, svg: None });
        }
        let mut rates = Rates::default();
        let found = [
            (Kind::Ecg, self.read_newest_ecg(&question, &mut rates).await?),
            (Kind::Image, self.read_newest_picture(&question).await?),
            (Kind::Risk, self.read_heart(&question).await?),
            (Kind::Glucose, self.read_glucose(&question).await?),
            (Kind::SelfCheck, self.read_words(&question).await?),
            (Kind::Vitals, self.read_vitals(&question, &mut rates).await?),
        ];
        let told = reported(&enabled, &found, &rates);
        let svg = match &told.panel {
            Some(panel) if chart => Some(bars(panel).svg().tried("draw the panel")?),
            _ => None,
        };
        Ok(TogetherAnswer { report: told.report, svg })
    }
}

/// A report with the panel that it tells of.
struct Told {
    report: TogetherReport,
    panel: Option<Panel>,
}

fn empty(enabled: &Enabled, refused: &str) -> TogetherReport {
    TogetherReport {
        refused: Some(refused.to_owned()),
        enabled_by: enabled.by.clone(),
        enabled_at: clock::rfc3339(enabled.at),
        level: None,
        level_from: Vec::new(),
        concern: None,
        range: None,
        sources: Vec::new(),
        missing: Vec::new(),
        contradictions: Vec::new(),
        method: METHOD.to_owned(),
        advice: ADVICE.to_owned(),
        limits: LIMITS.iter().map(|&limit| limit.to_owned()).collect(),
    }
}

fn reported(enabled: &Enabled, found: &[(Kind, Maybe)], rates: &Rates) -> Told {
    let readings: Vec<Reading> =
        found.iter().filter_map(|(_, it)| it.as_ref().ok().map(|it| it.reading.clone())).collect();
    let put_together = panel(&readings);
    let refused = put_together.as_ref().err().map(ToString::to_string);
    let mut report = empty(enabled, &refused.clone().unwrap_or_default());
    report.refused = refused;
    let panel = put_together.ok();
    let used = |kind: Kind| {
        panel.as_ref().is_some_and(|panel| panel.sources.iter().any(|it| it.source.kind == kind))
    };
    let missing = found.iter().filter(|(kind, _)| !used(*kind)).map(|(kind, it)| TogetherMissing {
        kind: kind.name().to_owned(),
        why: match it {
            Ok(it) if it.reading.is_too_old() => "what is stored is too old to be used".to_owned(),
            Ok(_) => "what is stored has no weight".to_owned(),
            Err(why) => why.clone(),
        },
        bring: kind.bring().to_owned(),
    });
    report.missing = missing.collect();
    if let Some(panel) = &panel {
        report.level = Some(panel.level.name().to_owned());
        let asking = panel.sources.iter().filter(|it| it.level == panel.level);
        report.level_from = asking.map(|it| it.source.kind.name().to_owned()).collect();
        report.concern = Some(panel.concern);
        report.range = Some(panel.range);
        report.contradictions.clone_from(&panel.contradictions);
        let told = panel.sources.iter().filter_map(|it| {
            let (_, found) = found.iter().find(|(kind, _)| *kind == it.source.kind)?;
            Some(told(it, found.as_ref().ok()?))
        });
        report.sources = told.collect();
    }
    if let (Some((ecg, ecg_h)), Some((pulse, pulse_h))) = (rates.ecg, rates.pulse) {
        report.contradictions.extend(rates_differ(ecg, pulse, ecg_h - pulse_h));
    }
    Told { report, panel }
}

fn told(it: &Contribution, found: &Found) -> TogetherSource {
    let source = &it.source;
    TogetherSource {
        kind: source.kind.name().to_owned(),
        from: found.from.clone(),
        date: found.date.clone(),
        age_h: source.age_h,
        concern: source.concern,
        interval: source.interval,
        reliability: source.reliability,
        freshness: it.freshness,
        share: it.share,
        without: it.without,
        level: it.level.name().to_owned(),
        words: source.words.clone(),
        model: found.model.clone(),
    }
}
