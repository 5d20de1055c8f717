//! Each kind of reading, by the service that reads it alone.

use std::sync::Arc;

use inference::ecg::ECG_MODEL;
use inference::fusion::{
    self, EcgFacts, GlucoseFacts, NEWS2_LEAST_AGE_YEARS, SelfCheckFacts, VitalSign, self_check, vitals,
};
use inference::glucose::GLUCOSE_MODEL;
use inference::risk::HEART_MODEL;
use inference::triage::{Basis, Known, Language, Person, assess, read_text};
use inference::xray::XRAY_MODEL;

use super::super::problem::{Kind, Problem};
use super::super::{Node, blocking};
use super::gathering::{Document, hours_since};
use super::{Found, Maybe, Question, Rates};
use crate::api::types::{EcgReport, EcgRequest, GlucoseRequest, ImageRequest, ModelInfo, RiskRequest};

/// The card of the model tells too little to weigh it.
const NO_FIGURES: &str = "the card of the model does not tell how well it does";
const SELF: &str = "given";

impl Node {
    pub(super) async fn read_newest_ecg(
        self: &Arc<Self>,
        question: &Arc<Question>,
        rates: &mut Rates,
    ) -> Result<Maybe, Problem> {
        let (node, asked) = (Arc::clone(self), Arc::clone(question));
        let newest =
            blocking(move || node.newest_ecg(&asked.patient, asked.person.source, asked.now_s)).await?;
        let Some(document) = newest else { return Ok(Err("no ECG is stored".to_owned())) };
        let request = EcgRequest {
            resource_type: document.kind.clone(),
            id: document.id.clone(),
            source: Some(question.person.source.to_string()),
            backend: None,
            strip: None,
            opinion: None,
        };
        let report = match self.diagnose_ecg(request).await {
            Ok(answer) => answer.report,
            Err(problem) => return unread(problem),
        };
        let Some(facts) = facts(&report) else {
            return Ok(Err(format!("the newest ECG is not read: {}", report.refused.unwrap_or_default())));
        };
        let exact = document.date.as_deref().and_then(|text| hours_since(text, question.now_s));
        rates.ecg = exact.filter(|it| it.1).map(|it| (facts.mean_rate_per_min, it.0));
        let card = &self.in_use(ECG_MODEL).await?.active.model.card;
        Ok(of_document(fusion::ecg(&facts, document.age_h, card), &document, &report.model))
    }

    pub(super) async fn read_newest_picture(
        self: &Arc<Self>,
        question: &Arc<Question>,
    ) -> Result<Maybe, Problem> {
        let (node, asked) = (Arc::clone(self), Arc::clone(question));
        let newest =
            blocking(move || node.newest_picture(&asked.patient, asked.person.source, asked.now_s)).await?;
        let Some(document) = newest else { return Ok(Err("no picture is stored".to_owned())) };
        let request = ImageRequest {
            resource_type: document.kind.clone(),
            id: document.id.clone(),
            source: Some(question.person.source.to_string()),
            backend: None,
            explain: false,
            opinion: None,
        };
        let report = match self.diagnose_image(request).await {
            Ok(answer) => answer.report,
            Err(problem) => return unread(problem),
        };
        let Some(finding) = report.findings.first() else {
            let why = report.refused.unwrap_or_default();
            return Ok(Err(format!("the newest picture is not read: {why}")));
        };
        let card = &self.in_use(XRAY_MODEL).await?.active.model.card;
        let reading = fusion::image(f64::from(finding.probability), document.age_h, card);
        Ok(of_document(reading, &document, &report.model))
    }

    pub(super) async fn read_heart(self: &Arc<Self>, question: &Question) -> Result<Maybe, Problem> {
        let request = RiskRequest {
            patient: question.patient.clone(),
            source: Some(question.person.source.to_string()),
            model: "heart".to_owned(),
            set: question.set.clone(),
            chart: false,
            to_confirm: false,
            opinion: None,
        };
        let report = match self.diagnose_risk(request).await {
            Ok(answer) => answer.report,
            Err(problem) => return unread(problem),
        };
        let Some(risk) = report.risks.first() else {
            return Ok(Err(format!("the model says nothing: {}", report.refused.unwrap_or_default())));
        };
        // It is as old as the oldest value that it rests on; what is given now is new.
        let oldest = report.values.iter().filter_map(|it| Some((it.days_old?, it.date.clone()))).max();
        let given = report.values.iter().any(|it| it.source == SELF);
        let age_h = oldest.as_ref().map(|it| it.0 as f64 * 24.0).or(given.then_some(0.0));
        let card = &self.in_use(HEART_MODEL).await?.active.model.card;
        let reading = fusion::risk(risk.probability, risk.interval, age_h, card);
        let mut from: Vec<&str> = report.values.iter().map(|it| it.source.as_str()).collect();
        from.sort_unstable();
        from.dedup();
        Ok(reading.ok_or_else(|| NO_FIGURES.to_owned()).map(|reading| Found {
            reading,
            from: from.join(", "),
            date: oldest.and_then(|it| it.1),
            model: Some(named(&report.model)),
        }))
    }

    pub(super) async fn read_glucose(self: &Arc<Self>, question: &Question) -> Result<Maybe, Problem> {
        let request = GlucoseRequest {
            patient: question.patient.clone(),
            source: Some(question.person.source.to_string()),
            at: None,
            backend: None,
            chart: false,
            opinion: None,
        };
        let report = match self.diagnose_glucose(request).await {
            Ok(answer) => answer.report,
            Err(problem) => return unread(problem),
        };
        let (Some(last), Some(urgency)) = (&report.last, &report.urgency) else {
            return Ok(Err(format!("there is no forecast: {}", report.refused.unwrap_or_default())));
        };
        let value = f64::from(last.mg_per_dl);
        let ends = report.forecasts.iter().map(|it| [f64::from(it.low), f64::from(it.high)]);
        let range_mg_per_dl = ends.fold([value; 2], |now, it| [now[0].min(it[0]), now[1].max(it[1])]);
        let facts = GlucoseFacts { urgency, last_mg_per_dl: value, range_mg_per_dl };
        let age_h = hours_since(&last.at, question.now_s).map(|it| it.0.max(0.0));
        let card = &self.in_use(GLUCOSE_MODEL).await?.active.model.card;
        let reading = fusion::glucose(&facts, age_h, card);
        Ok(reading.ok_or_else(|| NO_FIGURES.to_owned()).map(|reading| Found {
            reading,
            from: format!("{} readings of the monitor", report.readings),
            date: Some(last.at.clone()),
            model: Some(named(&report.model)),
        }))
    }

    pub(super) async fn read_words(self: &Arc<Self>, question: &Arc<Question>) -> Result<Maybe, Problem> {
        let (node, asked) = (Arc::clone(self), Arc::clone(question));
        blocking(move || {
            let Some(text) = asked.text.as_deref().filter(|text| !text.trim().is_empty()) else {
                return Ok(Err("no words of the patient were given".to_owned()));
            };
            let is_chinese = text.chars().any(|letter| ('\u{4E00}'..='\u{9FFF}').contains(&letter));
            let language = if is_chinese { Language::Zh } else { Language::En };
            let understood = read_text(text, language)
                .map_err(|error| Problem::wrong_use("the words cannot be read").because(error))?;
            let mut known = Known::default();
            known.hear(&understood);
            let pregnant = node.is_pregnant(&asked.patient, asked.person.source, asked.now_s)?;
            let person = Person {
                age_years: asked.person.age_years,
                sex: asked.person.sex,
                pregnant: pregnant.then_some(true),
            };
            let verdict = assess(&person, &known);
            let sure = verdict.basis == Basis::Rules && verdict.not_understood == 0;
            let mut reading = self_check(SelfCheckFacts { urgency: verdict.urgency, sure });
            let reasons = verdict.reasons.iter().filter(|it| it.urgency == verdict.urgency);
            let reasons: Vec<&str> = reasons.map(|it| it.text.text(Language::En)).take(2).collect();
            if !reasons.is_empty() {
                reading.words = format!("{}: {}", reading.words, reasons.join(" "));
            } else if verdict.basis == Basis::NotEnoughKnown {
                reading.words.push_str(", since too little is known");
            }
            Ok(Ok(Found { reading, from: SELF.to_owned(), date: None, model: None }))
        })
        .await
    }

    pub(super) async fn read_vitals(
        self: &Arc<Self>,
        question: &Arc<Question>,
        rates: &mut Rates,
    ) -> Result<Maybe, Problem> {
        let (node, asked) = (Arc::clone(self), Arc::clone(question));
        let (signs, pregnant) = blocking(move || {
            let (patient, source) = (&asked.patient, asked.person.source);
            let signs = node.signs(patient, source, asked.now_s)?;
            Ok((signs, node.is_pregnant(patient, source, asked.now_s)?))
        })
        .await?;
        let pulse = signs.scores.iter().find(|it| it.sign == VitalSign::PulsePerMin);
        rates.pulse = pulse.map(|it| (it.value, it.age_h));
        if question.person.age_years.is_some_and(|years| years < NEWS2_LEAST_AGE_YEARS) {
            return Ok(Err("NEWS2 is not made for people under 16 years: left out".to_owned()));
        }
        if pregnant {
            return Ok(Err("NEWS2 is not made for pregnancy: left out".to_owned()));
        }
        let aside = signs.set_aside.join("; ");
        let fresh: Vec<_> = signs.scores.into_iter().filter(|it| it.age_h <= MAX_SIGN_AGE_H).collect();
        let Some(mut reading) = vitals(&fresh) else {
            let why = "no vital sign of the last 24 hours is stored";
            return Ok(Err(if aside.is_empty() {
                why.to_owned()
            } else {
                format!("{why}; not used: {aside}")
            }));
        };
        if !aside.is_empty() {
            reading.words = format!("{}; not used: {aside}", reading.words);
        }
        if question.person.age_years.is_none() {
            reading.words.push_str("; age not known, and NEWS2 is for 16 years and over");
        }
        Ok(Ok(Found { reading, from: "stored vital signs".to_owned(), date: None, model: None }))
    }
}

/// Vital signs older than this are not used: four half-lives.
const MAX_SIGN_AGE_H: f64 = fusion::OLDEST_HALF_LIVES * fusion::Kind::Vitals.half_life_h();

/// A reading that cannot be made is missing; a house that is too busy, and a question that is wrong, are told as that.
fn unread(problem: Problem) -> Result<Maybe, Problem> {
    if matches!(problem.kind, Kind::Busy | Kind::WrongUse) { Err(problem) } else { Ok(Err(problem.message)) }
}

fn named(model: &ModelInfo) -> String {
    format!("{} {}", model.name, model.version)
}

fn of_document(reading: Option<fusion::Source>, document: &Document, model: &ModelInfo) -> Maybe {
    let reading = reading.ok_or_else(|| NO_FIGURES.to_owned())?;
    Ok(Found {
        reading,
        from: format!("{}/{}", document.kind, document.id),
        date: document.date.clone(),
        model: Some(named(model)),
    })
}

fn facts(report: &EcgReport) -> Option<EcgFacts> {
    let rhythm = report.rhythm.as_ref()?;
    let unreadable: f64 = report.unreadable.iter().map(|it| it.to_s - it.from_s).sum();
    Some(EcgFacts {
        mean_rate_per_min: rhythm.mean_rate_per_min,
        longest_pause_s: rhythm.longest_pause_s,
        ventricular_burden_percent: rhythm.ventricular_burden_percent,
        irregularity: rhythm.irregularity,
        unreadable: unreadable / report.duration_s.max(f64::EPSILON),
    })
}
