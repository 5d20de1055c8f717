//! What is stored of the patient: who it is, vital signs with known units, the newest recording and picture.

use inference::fusion::{Score, VitalSign, score};
use jiff::civil::Date;
use records::Source;
use records::measurement::measurement;
use serde_json::Value;

use super::super::problem::{Problem, Tried};
use super::super::records::{encoded, no_such_resource};
use super::super::{Node, xray};

/// Observations of vital signs that are looked at, the newest first.
const MOST_OBSERVATIONS: usize = 200;
/// Records among which the newest recording or picture is looked for.
const MOST_DOCUMENTS: usize = 20;
/// States in which an Observation may be used (FHIR R4, ObservationStatus).
const FIRM: [&str; 3] = ["final", "amended", "corrected"];
/// Pregnancy status (LOINC), pregnant (SNOMED CT), and how long such an answer holds, in hours.
const PREGNANCY_STATUS: &str = "82810-3";
const PREGNANT: &str = "77386006";
const PREGNANCY_H: f64 = 300.0 * 24.0;
/// A clock that is a little ahead makes no record a record of the future, in hours.
const AHEAD_H: f64 = 1.0;
const HOUR_S: f64 = 3_600.0;
const YEAR_DAYS: f64 = 365.25;

/// LOINC codes of each vital sign (FHIR R4 vital signs), and its UCUM units.
const SIGNS: [(VitalSign, &[&str], &[&str]); 5] = [
    (
        VitalSign::PulsePerMin,
        &["8867-4"],
        &["/min", "{beats}/min", "{Beats}/min", "beats/min", "beats/minute"],
    ),
    (VitalSign::BreathsPerMin, &["9279-1"], &["/min", "{breaths}/min", "breaths/min", "breaths/minute"]),
    (VitalSign::Spo2Percent, &["59408-5", "2708-6"], &["%"]),
    (VitalSign::SystolicMmhg, &["8480-6"], &["mm[Hg]", "mmHg"]),
    (VitalSign::TemperatureC, &["8310-5"], &["Cel", "[degF]"]),
];
/// Panels that hold the systolic pressure as a component.
const PANELS: &[&str] = &["85354-9"];

/// Whose readings these are.
pub(super) struct Person {
    pub(super) source: Source,
    pub(super) age_years: Option<f64>,
    pub(super) sex: Option<inference::triage::Sex>,
    pub(super) died: bool,
    pub(super) record: keys::RecordId,
}

/// A stored recording or picture.
pub(super) struct Document {
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) date: Option<String>,
    pub(super) age_h: Option<f64>,
}

/// Vital signs that can be used, and why others cannot.
#[derive(Default)]
pub(super) struct Signs {
    pub(super) scores: Vec<Score>,
    pub(super) set_aside: Vec<String>,
}

/// Hours from a written time to now, and whether the hour is said at all.
pub(super) fn hours_since(text: &str, now_s: i64) -> Option<(f64, bool)> {
    let (then, exact) = match text.parse::<jiff::Timestamp>() {
        Ok(time) => (time.as_second(), true),
        Err(_) => {
            let date: Date = text.get(..10)?.parse().ok()?;
            (date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second(), false)
        }
    };
    Some(((now_s - then) as f64 / HOUR_S, exact))
}

impl Node {
    pub(super) fn person(
        &self,
        patient: &str,
        source: Option<Source>,
        now_s: i64,
    ) -> Result<Person, Problem> {
        let record = self.find("Patient", patient, source)?;
        let source = self.read_index().source(&record).ok_or_else(no_such_resource)?;
        let stored = self.stored(&record)?.ok_or_else(no_such_resource)?;
        let person: Value = serde_json::from_str(stored.resource.text()).tried("read the record")?;
        let dead = |name: &str| !matches!(person.get(name), None | Some(Value::Null | Value::Bool(false)));
        let born = person["birthDate"].as_str().and_then(|text| hours_since(&whole_date(text), now_s));
        let age_years = born.map(|(hours, _)| hours / 24.0 / YEAR_DAYS);
        let sex = match person["gender"].as_str() {
            Some("female") => Some(inference::triage::Sex::Female),
            Some("male") => Some(inference::triage::Sex::Male),
            _ => None,
        };
        Ok(Person {
            source,
            age_years: age_years.filter(|years| (0.0..=125.0).contains(years)),
            sex,
            died: dead("deceasedBoolean") || dead("deceasedDateTime"),
            record,
        })
    }

    /// Vital signs of the patient, the newest of each.
    pub(super) fn signs(&self, patient: &str, source: Source, now_s: i64) -> Result<Signs, Problem> {
        let codes = SIGNS.iter().flat_map(|it| it.1).chain(PANELS).copied().collect::<Vec<_>>().join(",");
        let query = format!("Observation?patient={}&code={codes}&_sort=-date", encoded(patient));
        let texts = self.texts(&query, Some(source), MOST_OBSERVATIONS)?;
        let texts: Vec<&String> = texts.iter().filter(|text| is_firm(text)).collect();
        let mut signs = Signs::default();
        for (sign, codes, units) in SIGNS {
            for found in texts.iter().filter_map(|text| measurement(text, codes)) {
                let age_h = (now_s - found.at_s) as f64 / HOUR_S;
                let value = if found.unit == "[degF]" { (found.value - 32.0) / 1.8 } else { found.value };
                let why = if !units.contains(&found.unit.as_str()) {
                    "a unit that is not known"
                } else if age_h < -AHEAD_H {
                    "a date in the future"
                } else if score(sign, value).is_none() {
                    "a value that no patient can have"
                } else {
                    signs.scores.push(Score { sign, value, age_h: age_h.max(0.0) });
                    break;
                };
                signs.set_aside.push(format!("{} with {why}", sign.title()));
            }
        }
        Ok(signs)
    }

    /// Whether the newest record of it says that she is pregnant.
    pub(super) fn is_pregnant(&self, patient: &str, source: Source, now_s: i64) -> Result<bool, Problem> {
        let query = format!("Observation?patient={}&code={PREGNANCY_STATUS}&_sort=-date", encoded(patient));
        let texts = self.texts(&query, Some(source), 1)?;
        let said = texts.first().filter(|text| is_firm(text));
        let Some(said) = said.and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
            return Ok(false);
        };
        let coded = said["valueCodeableConcept"]["coding"].as_array();
        let pregnant = coded.is_some_and(|all| all.iter().any(|it| it["code"] == PREGNANT));
        let since = said["effectiveDateTime"].as_str().and_then(|text| hours_since(text, now_s));
        Ok(pregnant && since.is_none_or(|(hours, _)| hours <= PREGNANCY_H))
    }

    /// The newest ECG recording.
    pub(super) fn newest_ecg(
        &self,
        patient: &str,
        source: Source,
        now_s: i64,
    ) -> Result<Option<Document>, Problem> {
        let query = format!("Observation?patient={}&code=11524-6&_sort=-date", encoded(patient));
        let texts = self.texts(&query, Some(source), MOST_DOCUMENTS)?;
        Ok(texts
            .iter()
            .filter(|text| is_firm(text))
            .find_map(|text| document(text, "effectiveDateTime", now_s)))
    }

    /// The newest picture of a DocumentReference or a Media.
    pub(super) fn newest_picture(
        &self,
        patient: &str,
        source: Source,
        now_s: i64,
    ) -> Result<Option<Document>, Problem> {
        let mut found: Vec<Document> = Vec::new();
        for (kind, date) in [("DocumentReference", "date"), ("Media", "createdDateTime")] {
            let query = format!("{kind}?patient={}&_sort=-date", encoded(patient));
            let texts = self.texts(&query, Some(source), MOST_DOCUMENTS)?;
            let picture = |text: &&String| {
                let resource = serde_json::from_str::<Value>(text);
                resource
                    .is_ok_and(|it| it["status"] != "entered-in-error" && xray::inline_picture(&it).is_some())
            };
            found.extend(texts.iter().filter(picture).find_map(|text| document(text, date, now_s)));
        }
        found.sort_by(|left, right| {
            let age = |it: &Document| it.age_h.unwrap_or(f64::INFINITY);
            age(left).total_cmp(&age(right))
        });
        Ok(found.into_iter().next())
    }
}

fn is_firm(text: &str) -> bool {
    let resource = serde_json::from_str::<Value>(text);
    resource.is_ok_and(|it| it["status"].as_str().is_some_and(|status| FIRM.contains(&status)))
}

fn document(text: &str, date: &str, now_s: i64) -> Option<Document> {
    let resource: Value = serde_json::from_str(text).ok()?;
    let date = resource[date].as_str().map(str::to_owned);
    let hours = date.as_deref().and_then(|text| hours_since(text, now_s)).map(|it| it.0);
    // What is dated in the future cannot be told from a wrong clock: it is not used.
    if hours.is_some_and(|hours| hours < -24.0) {
        return None;
    }
    Some(Document {
        kind: resource["resourceType"].as_str()?.to_owned(),
        id: resource["id"].as_str()?.to_owned(),
        date,
        age_h: hours.map(|it| it.max(0.0)),
    })
}

/// A date of a year or a month alone, taken in its middle.
fn whole_date(text: &str) -> String {
    match text.len() {
        4 => format!("{text}-07-01"),
        7 => format!("{text}-15"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_days_have_an_age_and_nonsense_has_none() {
        let now = 1_767_323_045 + 7_200;
        assert_eq!(hours_since("2026-01-02T03:04:05Z", now), Some((2.0, true)));
        assert_eq!(hours_since("2026-01-02", now).map(|it| it.1), Some(false));
        for wrong in ["", "2026", "tomorrow at noon", "２０２６-01-02"] {
            assert_eq!(hours_since(wrong, now), None, "{wrong}");
        }
        assert!(hours_since(&whole_date("1960"), now).is_some_and(|(hours, _)| hours > 65.0 * 365.0 * 24.0));
    }
}
