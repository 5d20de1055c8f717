//! A risk out of what is known of a person: from a table or from stored records; written back as a record only when a
//! clinician confirmed it.

mod confirming;
mod gathering;
mod labelled;
mod table;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use inference::chart::{Bar, Bars};
use inference::risk::{Assessment, Fields, Known, RISK_MODELS, Refusal, RiskModel, Values};
use inference::{About, Backend, sha256};
use jiff::civil::Date;
use keys::{AuditAction, RecordId};

use super::models::work::ModelWork;
use super::models::{Answered, Chosen, Ended, InUse, ModelCache, Reader, Run};
use super::problem::{Problem, Tried};
use super::records::parse_source;
use super::{Node, audit, blocking};
use crate::api::types::{
    Risk, RiskAnswer, RiskConfirmRequest, RiskConfirmed, RiskExplanation, RiskMissing, RiskPart, RiskReport,
    RiskRequest, RiskSetAside, RiskValue,
};
use crate::clock;
use gathering::{Gathered, SetAside, Told};

pub(crate) use labelled::LabelledPeople;

/// Where a value came from that nobody stored.
const GIVEN: &str = "given";
/// How the parts are found out.
const METHOD: &str = "each value's own terms of the weighted sum, in log-odds against the average person it was \
                      learned from; they add up to the answer";
/// Names that nobody asked for, as far as a report lists them.
const MAX_IGNORED: usize = 50;

/// The networks of this process, of each model by itself: built-in ones have no name but the place.
static MODELS: [ModelCache<RiskModel>; RISK_MODELS.len()] = [const { ModelCache::new() }; RISK_MODELS.len()];

/// A model of risk that is loaded, with its card.
pub(crate) struct RiskReader(Reader<RiskModel>);

/// What is known of a person, before the model sees it.
struct Person {
    values: Values,
    told: Vec<Told>,
    set_aside: Vec<SetAside>,
    ignored: Vec<String>,
}

/// The place of a model among those of risk, by its name or its short name.
fn place_of(name: &str) -> Result<usize, Problem> {
    let known = About::named(name).ok();
    let place = known.and_then(|about| RISK_MODELS.iter().position(|other| *other == about.name));
    place.ok_or_else(|| {
        Problem::wrong_use(format!("there is no model of risk called {name}"))
            .next("use one of: heart, readmission, breast; see: metaclinic models list")
    })
}

impl RiskReader {
    /// The compiled-in model of this name or short name, for people who belong to no home.
    ///
    /// # Errors
    /// [`Problem`] when there is no such model of risk.
    pub(crate) fn built_in(name: &str) -> Result<RiskReader, Problem> {
        let place = place_of(name)?;
        RiskReader::of(place, &Chosen::built_in(RISK_MODELS[place])?)
    }

    fn of(place: usize, chosen: &Chosen) -> Result<RiskReader, Problem> {
        MODELS[place].get(chosen, Backend::default(), RiskModel::of).map(RiskReader)
    }

    /// What it asks for.
    pub(crate) fn fields(&self) -> &Fields {
        self.0.network.fields()
    }

    /// Reads values that were given by hand.
    ///
    /// # Errors
    /// [`Problem`] for a name that the model does not ask for, and a value that cannot be.
    pub(crate) fn given(&self, set: &BTreeMap<String, String>) -> Result<Values, Problem> {
        let pairs = set.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let names =
            || self.fields().fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join(", ");
        let read = Values::read(self.fields(), pairs).map_err(|error| {
            Problem::wrong_use(format!("cannot take --set: {error}"))
                .next("give it as --set name=value, e.g. --set age=54")
        })?;
        match read.ignored.first() {
            None => Ok(read.values),
            Some(name) => Err(Problem::wrong_use(format!("the model asks for nothing called {name}"))
                .next(format!("it asks for: {}", names()))),
        }
    }

    /// Reads a file row by row; `given` goes before what stands in it.
    ///
    /// # Errors
    /// [`Problem`] when the file is no table of what the model asks for.
    pub(crate) fn file(
        &self,
        path: &Path,
        given: &Values,
        draw: bool,
        each: &mut dyn FnMut(usize, RiskAnswer) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let stem = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        table::read(path, self.fields(), &mut |row, read| {
            let mut person = Person {
                values: Values::none(self.fields()),
                told: Vec::new(),
                set_aside: Vec::new(),
                ignored: Vec::new(),
            };
            let read = read.map(|Known { values, ignored }| {
                let source = format!("{stem} row {row}");
                person.told = told(&values, &source);
                (person.values, person.ignored) = (values, ignored);
            });
            person.give(given);
            let assess = |()| self.0.network.assess(&person.values).map_err(|refusal| refusal.to_string());
            let said = read.and_then(assess);
            each(row, self.answer(&person, said.as_ref().map_err(String::clone), None, draw)?)
        })
    }

    fn answer(
        &self,
        person: &Person,
        said: Result<&Assessment, String>,
        today: Option<Date>,
        draw: bool,
    ) -> Result<RiskAnswer, Problem> {
        let mut report = self.report(person, today);
        let is_said = said.is_ok();
        match said {
            Ok(said) => self.tell(said, person, &mut report),
            Err(reason) => report.refused = Some(reason),
        }
        report.digest = digest(&report)?;
        let svg = (is_said && draw).then(|| self.bars(&report).svg().tried("draw the chart"));
        Ok(RiskAnswer { report, svg: svg.transpose()? })
    }

    /// Everything but what the model says.
    fn report(&self, person: &Person, today: Option<Date>) -> RiskReport {
        let fields = &self.fields().fields;
        let value = |told: &Told| {
            let field = fields.get(told.field)?;
            let days = |date: Date| {
                today.and_then(|today| date.until(today).ok()).map(|it| i64::from(it.get_days()))
            };
            Some(RiskValue {
                name: field.name.clone(),
                label: field.label.clone(),
                value: field.shown(person.values.get(told.field)?),
                source: told.source.clone(),
                date: told.date.map(|date| date.to_string()),
                days_old: told.date.and_then(days),
                outside_of: None,
            })
        };
        let aside = |(at, source, reason): &SetAside| RiskSetAside {
            name: fields.get(*at).map_or_else(String::new, |field| field.name.clone()),
            source: source.clone(),
            reason: reason.clone(),
        };
        RiskReport {
            refused: None,
            risks: Vec::new(),
            probability: None,
            explanation: None,
            missing: fields
                .iter()
                .enumerate()
                .filter(|(at, _)| person.values.get(*at).is_none())
                .map(|(_, field)| RiskMissing {
                    name: field.name.clone(),
                    label: field.label.clone(),
                    counted_as: "nothing was said".to_owned(),
                })
                .collect(),
            values: person.told.iter().filter_map(value).collect(),
            set_aside: person.set_aside.iter().map(aside).collect(),
            ignored: person.ignored.iter().take(MAX_IGNORED).cloned().collect(),
            model: self.0.info(),
            advice: self.0.advice(),
            digest: String::new(),
            opinion: None,
        }
    }

    fn tell(&self, said: &Assessment, person: &Person, report: &mut RiskReport) {
        let fields = self.fields();
        let outcome = &fields.outcome;
        report.probability = Some(said.probability);
        report.risks = vec![Risk {
            code: outcome.snomed.clone(),
            label: outcome.label.clone(),
            when: outcome.when.clone(),
            probability: said.probability,
            interval: said.interval,
            share_learned_from: self.0.network.share(),
        }];
        let mut parts: Vec<RiskPart> = said
            .parts
            .iter()
            .map(|part| {
                let field = &fields.fields[part.field];
                RiskPart {
                    name: field.name.clone(),
                    label: field.label.clone(),
                    value: person.values.get(part.field).map(|value| field.shown(value)),
                    log_odds: part.log_odds,
                }
            })
            .collect();
        parts.sort_by(|left, right| right.log_odds.abs().total_cmp(&left.log_odds.abs()));
        report.explanation = Some(RiskExplanation {
            method: METHOD.to_owned(),
            base_log_odds: said.base,
            log_odds: said.logit,
            parts,
        });
        let missing = said.missing.iter().map(|missing| {
            let field = &fields.fields[missing.field];
            let average = missing.counted_as.map(|mean| {
                format!("the average, {} {}", significant(mean), field.unit_in_words()).trim_end().to_owned()
            });
            RiskMissing {
                name: field.name.clone(),
                label: field.label.clone(),
                counted_as: average.unwrap_or_else(|| "the average of all".to_owned()),
            }
        });
        report.missing = missing.collect();
        for (at, seen) in &said.unusual {
            let name = &fields.fields[*at].name;
            report
                .values
                .iter_mut()
                .filter(|value| value.name == *name)
                .for_each(|it| it.outside_of = Some(*seen));
        }
    }

    /// What each value added, as bars.
    fn bars(&self, report: &RiskReport) -> Bars {
        let percent = report.probability.unwrap_or_default() * 100.0;
        let parts = report.explanation.iter().flat_map(|it| &it.parts);
        let bar = |part: &RiskPart| {
            let value = part.value.as_deref().unwrap_or("not known");
            Bar { label: format!("{}: {value}", part.label), value: part.log_odds }
        };
        Bars {
            title: format!("{}: {percent:.0} %", self.fields().outcome.label),
            axis: "log-odds against the average: to the right for it, to the left against it".to_owned(),
            bars: parts.map(bar).collect(),
        }
    }
}

impl Person {
    /// What is given by hand goes before what was read.
    fn give(&mut self, given: &Values) {
        for told in told(given, GIVEN) {
            self.values.set(told.field, given.get(told.field));
            self.told.retain(|other| other.field != told.field);
            self.told.push(told);
        }
        self.told.sort_by_key(|told| told.field);
    }
}

fn told(values: &Values, source: &str) -> Vec<Told> {
    values.places().map(|field| Told { field, source: source.to_owned(), date: None }).collect()
}

/// A number to three digits that say something.
fn significant(number: f64) -> String {
    let digits = if number == 0.0 { 0 } else { number.abs().log10().floor() as i32 };
    let places = usize::try_from((2 - digits).clamp(0, 6)).unwrap_or(0);
    format!("{number:.places$}")
}

/// What was read: values, and where each came from. Not how old they are, which changes by itself.
fn read_of(report: &RiskReport) -> Vec<(&str, &str, &str)> {
    report.values.iter().map(|it| (it.name.as_str(), it.value.as_str(), it.source.as_str())).collect()
}

/// What a clinician confirms: model, values and answer.
fn digest(report: &RiskReport) -> Result<String, Problem> {
    let model = &report.model;
    let probability = report.probability.map(f64::to_bits);
    let model = (&model.name, &model.version, &model.weights_sha256);
    let told = (model, read_of(report), probability, &report.refused);
    Ok(sha256(&serde_json::to_vec(&told).tried("write the answer")?))
}

/// Today in UTC.
fn today() -> Date {
    let now = jiff::Timestamp::from_millisecond(clock::now().as_millis()).unwrap_or_default();
    now.to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// What a reading of stored records brought.
struct ReadPerson {
    reader: RiskReader,
    answer: RiskAnswer,
    gathered: Gathered,
    /// The Patient.
    record: RecordId,
    values: Values,
    said: Result<Assessment, Refusal>,
    took: Duration,
}

impl Node {
    /// Reads a person's risk out of stored records; audited as a reading of them.
    ///
    /// # Errors
    /// [`Problem`] when there is no such Patient, or a value by hand cannot be. Too little known is no error.
    pub(crate) async fn diagnose_risk(self: &Arc<Self>, request: RiskRequest) -> Result<RiskAnswer, Problem> {
        if request.to_confirm {
            self.may_confirm()?;
        }
        let place = place_of(&request.model)?;
        let in_use = self.in_use(RISK_MODELS[place]).await?;
        let node = Arc::clone(self);
        ModelWork::shared().run(move |_| node.answer_risk(place, &in_use, &request)).await
    }

    /// Reads with the model in use, and with the one beside it; the answer is that of the one in use.
    fn answer_risk(
        &self,
        place: usize,
        in_use: &InUse,
        request: &RiskRequest,
    ) -> Result<RiskAnswer, Problem> {
        let read = self.read_risk(place, &in_use.active, request)?;
        let ReadPerson { reader, mut answer, record, values, said, took, .. } = read;
        let report = &answer.report;
        let input = serde_json::to_vec(&read_of(report)).tried("write what was read")?;
        let ended = Ended { refused: said.as_ref().err().map(Refusal::name), novelty: None };
        let (input, output, model) = (&input[..], report.digest.as_bytes(), &report.model);
        let answered = Answered { model, record, input, output, ended };
        let opinion = self.note_answer(&answered, request.opinion.as_ref())?;
        answer.report.opinion = opinion;
        // What the records themselves say is refused before any model is asked.
        if let Some(shadow) = in_use.shadow.as_ref().filter(|_| !matches!(said, Err(Refusal::Died))) {
            let called_from = reader.fields().called_from;
            let assess = |network: &RiskModel| network.assess(&values);
            let beside = MODELS[place].beside(shadow, reader.0.backend, RiskModel::of, assess);
            self.note_shadow(shadow, (&said, took), beside, |said, took| {
                Run::of_risk(said, took, called_from)
            });
        }
        Ok(answer)
    }

    /// Keeps what a clinician confirmed as a RiskAssessment.
    ///
    /// # Errors
    /// [`Problem`] in a home that is not a clinic's, when nothing was said, and when it is no longer what was seen.
    pub(crate) async fn confirm_risk(
        self: &Arc<Self>,
        request: RiskConfirmRequest,
    ) -> Result<RiskConfirmed, Problem> {
        self.may_confirm()?;
        let place = place_of(&request.request.model)?;
        let in_use = self.in_use(RISK_MODELS[place]).await?;
        let node = Arc::clone(self);
        // The same reading once more, to see that nothing has changed: it counts as no further run.
        blocking(move || {
            let read = node.read_risk(place, &in_use.active, &request.request)?;
            node.keep_confirmed(&read, &request)
        })
        .await
    }

    fn read_risk(&self, place: usize, chosen: &Chosen, request: &RiskRequest) -> Result<ReadPerson, Problem> {
        let reader = RiskReader::of(place, chosen)?;
        let given = reader.given(&request.set)?;
        let source = request.source.as_deref().map(parse_source).transpose()?;
        let today = today();
        let gathered = self.gather(reader.fields(), &request.patient, source, today)?;
        let record = self.record_id(&gathered.source, "Patient", &request.patient);
        let mut event = audit::event(clock::now(), AuditAction::Read, gathered.opened);
        event.1.object = Some(*record.as_bytes());
        self.note(vec![event])?;
        let mut person = Person {
            values: gathered.values.clone(),
            told: gathered.told.clone(),
            set_aside: gathered.set_aside.clone(),
            ignored: Vec::new(),
        };
        person.give(&given);
        let started = Instant::now();
        let network = &reader.0.network;
        let said = if gathered.died { Err(Refusal::Died) } else { network.assess(&person.values) };
        let took = started.elapsed();
        let told = said.as_ref().map_err(ToString::to_string);
        let answer = reader.answer(&person, told, Some(today), request.chart)?;
        Ok(ReadPerson { reader, answer, gathered, record, values: person.values, said, took })
    }
}
